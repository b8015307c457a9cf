//! JSON over HTTP, as phones and operators speak it.
//!
//! It must not decide what an answer means, but for "not now" in the set-up.

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// Longer than an edge waits for a verdict; not so long that a paused edge holds its bidders.
const ANSWER_WAIT: Duration = Duration::from_secs(12);
/// How long a daemon that says "not now" is asked again.
const PATIENCE: Duration = Duration::from_secs(40);
const AGAIN: Duration = Duration::from_millis(50);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body; text where it is no JSON.
    pub body: Value,
    /// The header `Fairground-Asset`.
    pub asset: Option<String>,
}

/// One account at one daemon. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    authorization: Option<String>,
}

impl Api {
    /// A client of `base`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .timeout(ANSWER_WAIT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), authorization: None })
    }

    /// The same with an `Authorization` header.
    #[must_use]
    pub fn with_authorization(self, authorization: &str) -> Self {
        Self { authorization: Some(authorization.to_owned()), ..self }
    }

    /// The same account elsewhere.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    /// Sends a request; headers are names and values.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Reply> {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = self.http.request(Method::from_bytes(method.as_bytes())?, url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await?;
        let asset = answer.headers().get("fairground-asset");
        let asset = asset.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply { status, body, asset })
    }

    /// Sends a command until it is answered otherwise than "not now", under one key.
    ///
    /// # Errors
    /// When it is refused or the patience ends.
    pub async fn command(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let key = uuid::Uuid::new_v4().to_string();
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", &key),
            ("prefer", "wait=10"),
        ];
        let text = body.to_string();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = match self.send(method, path, &headers, text.clone().into_bytes()).await {
                Ok(reply) if (200..300).contains(&reply.status) && reply.status != 202 => {
                    return Ok(reply.body);
                }
                Ok(reply) if matches!(reply.status, 202 | 429 | 500 | 502 | 503 | 504) => {
                    format!("{}: {}", reply.status, reply.body)
                }
                Ok(reply) => bail!("{method} {path}: {}: {}", reply.status, reply.body),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > deadline {
                bail!("{method} {path} was not done in {PATIENCE:?}: {last}");
            }
            sleep(AGAIN).await;
        }
    }

    /// As [`Self::command`].
    ///
    /// # Errors
    /// As [`Self::command`].
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.command("POST", path, body).await
    }

    /// Reads.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let reply = self.send("GET", path, &[], Vec::new()).await?;
        if reply.status != 200 {
            bail!("GET {path}: {}: {}", reply.status, reply.body);
        }
        Ok(reply.body)
    }

    /// Uploads by tus 1.0; answers the asset.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn upload(&self, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let body = serde_json::json!({"filename": name, "size": bytes.len()});
        let session = self.post("/v1/media/uploadSession", &body).await?;
        let url = session["uploadUrl"].as_str().context("no uploadUrl")?;
        let headers = [
            ("tus-resumable", "1.0.0"),
            ("upload-offset", "0"),
            ("content-type", "application/offset+octet-stream"),
        ];
        let reply = self.send("PATCH", url, &headers, bytes.to_vec()).await?;
        reply
            .asset
            .with_context(|| format!("the upload was answered {}: {}", reply.status, reply.body))
    }
}
