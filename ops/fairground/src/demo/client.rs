//! A person's phone, as far as the demo needs one: signs in, uploads, bids, pays, over plain HTTP.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    /// The body when the status says success.
    pub(crate) fn ok(self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        bail!("answered {}: {}", self.status, self.body)
    }
}

/// One account at one edge or member.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(base: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: None })
    }

    /// The same account at another edge.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends with an `Authorization` header of the caller's.
    pub(crate) fn with_token(mut self, authorization: String) -> Self {
        self.token = Some(authorization);
        self
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.header("Authorization", token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        read(self.request(Method::GET, path)).await?.ok().with_context(|| format!("GET {path}"))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.post_patiently(path, body, None).await?.ok().with_context(|| format!("POST {path}"))
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let key = uuid::Uuid::new_v4().to_string();
        let request = self.request(Method::PUT, path).header("Idempotency-Key", key).json(body);
        read(request).await?.ok().with_context(|| format!("PUT {path}"))
    }

    /// As an admin: bids of any amount may come unsigned. Nobody here has a device that signs.
    pub(crate) async fn sign_nothing(&self) -> anyhow::Result<()> {
        let most = u64::pow(2, 53) - 1;
        let limits =
            json!({"eur": most, "usd": most, "gbp": most, "chf": most, "jpy": most, "kwd": most});
        let body = json!({
            "baseVersion": 0,
            "policy": {"unsignedMaxMinor": limits},
            "reason": "nobody here has a device that signs",
        });
        self.put("/v1/admin/signatures", &body).await.map(drop)
    }

    /// Sends a command until it is answered otherwise than "not now" (503), under one key.
    pub(crate) async fn post_patiently(
        &self,
        path: &str,
        body: &Value,
        wait: Option<u64>,
    ) -> anyhow::Result<Answer> {
        let key = uuid::Uuid::new_v4().to_string();
        until("an answer other than 503", Duration::from_secs(20), || async {
            let answer = self.post_with(path, body, &key, wait).await?;
            ensure!(answer.status != StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
            Ok(Some(answer))
        })
        .await
    }

    /// Sends a command under the caller's key; `wait` is the `Prefer` of RFC 7240 in seconds.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        key: &str,
        wait: Option<u64>,
    ) -> anyhow::Result<Answer> {
        let mut request =
            self.request(Method::POST, path).header("Idempotency-Key", key).json(body);
        if let Some(seconds) = wait {
            request = request.header("Prefer", format!("wait={seconds}"));
        }
        read(request).await
    }

    /// Signs in by the code that arrives in the fake inbox.
    pub(crate) async fn sign_in(&mut self, inbox: &str, address: &str) -> anyhow::Result<Value> {
        let known = self.mails(inbox, address).await?.len();
        let request = json!({"identifier": address, "channel": "email"});
        self.post("/v1/auth/otp/request", &request).await?;
        let code = self.next_code(inbox, address, known).await?;
        let answer =
            self.post("/v1/auth/otp/verify", &json!({"identifier": address, "code": code})).await?;
        let token = text_at(&answer, "accessToken")?;
        self.token = Some(format!("Bearer {token}"));
        Ok(answer)
    }

    async fn mails(&self, inbox: &str, address: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.get(&format!("{inbox}/mail?to={address}")).await?;
        Ok(answer["messages"].as_array().cloned().unwrap_or_default())
    }

    /// The code in a mail that comes after the `known` ones; notices to the same address are passed
    /// over.
    async fn next_code(&self, inbox: &str, address: &str, known: usize) -> anyhow::Result<String> {
        until("the mail with the code", Duration::from_secs(15), || async {
            let mails = self.mails(inbox, address).await?;
            let new = mails.get(..mails.len().saturating_sub(known)).unwrap_or_default();
            // A notice may hold six digits as well: the number of an order.
            let is_code = |mail: &&Value| {
                mail["subject"].as_str().is_some_and(|subject| subject.contains("code"))
            };
            let texts = new.iter().filter(is_code).filter_map(|mail| mail["text"].as_str());
            Ok(texts.flat_map(words_of_digits).find(|word| word.len() == 6).map(str::to_owned))
        })
        .await
    }

    /// Uploads a clip by tus 1.0 in chunks; answers the asset.
    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let session = self
            .post("/v1/media/uploadSession", &json!({"filename": name, "size": bytes.len()}))
            .await?;
        let url = text_at(&session, "uploadUrl")?;
        let mut offset = 0;
        for chunk in bytes.chunks(1024 * 1024) {
            let answer = self
                .request(Method::PATCH, &url)
                .header("Tus-Resumable", "1.0.0")
                .header("Upload-Offset", offset.to_string())
                .header("Content-Type", "application/offset+octet-stream")
                .body(chunk.to_vec())
                .send()
                .await?;
            let asset = answer
                .headers()
                .get("Fairground-Asset")
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            if let Some(asset) = asset {
                return Ok(asset);
            }
            if !answer.status().is_success() {
                bail!("upload answered {}: {}", answer.status(), answer.text().await?);
            }
            offset += chunk.len();
        }
        bail!("the upload ended without an asset")
    }
}

fn words_of_digits(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit())
}

async fn read(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}

/// A text member of an answer.
pub(crate) fn text_at(value: &Value, member: &str) -> anyhow::Result<String> {
    value[member]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("the answer has no text {member}: {value}"))
}

/// Asks until the answer is a value, or the patience ends.
pub(crate) async fn until<T, F, Fut>(
    what: &str,
    patience: Duration,
    mut ask: F,
) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = Instant::now() + patience;
    let mut last = None;
    loop {
        match ask().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if Instant::now() > deadline {
            let reason = last.map_or_else(|| "not yet".to_owned(), |error| format!("{error:#}"));
            bail!("{what} did not happen in {patience:?}: {reason}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}
