//! The transport: one pooled client, our keys, our retries.
//!
//! Implements async-stripe's `StripeClient`, so every request type of that family can be sent with
//! it. It must not know what a call is for. Read next: [`crate::checkout`] for the calls we make.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use stripe_client_core::{
    CustomizedStripeRequest, RequestBuilder, RequestStrategy, StripeClient, StripeMethod,
};
use tokio::sync::Semaphore;

use crate::error::StripeError;
use crate::retry::{
    Answer, CALL_BUDGET, Failure, READ_ATTEMPTS_MAX, WRITE_ATTEMPTS_MAX, parse_retry_after, seed_of,
};

/// Stripe's own address.
pub const DEFAULT_BASE_URL: &str = "https://api.stripe.com/";
/// The API version that every call names and that async-stripe's types are made for.
pub const API_VERSION: &str = "2026-09-30.endive";
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const CALLS_AT_A_TIME_MAX: usize = 8;
const IDLE_CONNECTIONS_MAX: usize = 8;
const REST_MIN: Duration = Duration::from_secs(1);

/// How to reach Stripe.
#[derive(Clone)]
pub struct StripeOptions {
    /// Where the API is. Default: [`DEFAULT_BASE_URL`]; a stand-in's address for tests.
    pub base_url: String,
    /// The secret or restricted key (`sk_...`, `rk_...`).
    pub secret_key: String,
    /// Longest wait for a connection. Default: 2 s.
    pub connect_timeout: Duration,
    /// Longest wait for one attempt at a call that changes something. Default: 10 s.
    pub call_timeout: Duration,
    /// Longest wait for one attempt at a call that reads. Default: 8 s.
    pub read_timeout: Duration,
    /// Seed of the jitter between attempts. Default: 0; give each process its own.
    pub retry_seed: u64,
}

impl StripeOptions {
    /// The defaults, with this key.
    #[must_use]
    pub fn new(secret_key: impl Into<String>) -> Self {
        Self {
            base_url: DEFAULT_BASE_URL.to_owned(),
            secret_key: secret_key.into(),
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(8),
            retry_seed: 0,
        }
    }
}

impl fmt::Debug for StripeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeOptions")
            .field("base_url", &self.base_url)
            .field("secret_key", &"(hidden)")
            .field("connect_timeout", &self.connect_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("retry_seed", &self.retry_seed)
            .finish()
    }
}

/// A client of Stripe. Cheap to clone; clones share connections and the bound on calls at a time.
#[derive(Clone)]
pub struct Stripe {
    http: reqwest::Client,
    base_url: String,
    call_timeout: Duration,
    read_timeout: Duration,
    retry_seed: u64,
    permits: Arc<Semaphore>,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// A call of ours. One with a key changes something.
#[derive(Default)]
pub(crate) struct Ask<'a> {
    pub(crate) path: &'a str,
    pub(crate) pairs: &'a [(String, String)],
    pub(crate) json: Option<&'a serde_json::Value>,
    pub(crate) key: Option<&'a str>,
    pub(crate) account: Option<&'a str>,
}

/// Pairs as a form.
fn form_of(pairs: &[(String, String)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        escape(&mut form, name);
        form.push('=');
        escape(&mut form, value);
    }
    form
}

/// Everything but letters, digits and a few marks by its bytes (WHATWG URL, form-urlencoded).
fn escape(form: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'[' | b']' => {
                form.push(char::from(byte));
            }
            _ => form.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// One call, the same bytes at every attempt.
struct Call {
    operation: String,
    method: Method,
    url: String,
    key: Option<HeaderValue>,
    body: Option<String>,
    /// Whether the body is JSON, not a form.
    is_json: bool,
    /// On behalf of which connected account.
    account: Option<HeaderValue>,
    timeout: Duration,
}

impl Call {
    fn writes(&self) -> bool {
        self.method != Method::GET
    }
}

impl Stripe {
    /// Makes the client; nothing is sent yet.
    ///
    /// # Errors
    /// [`StripeError::Misconfigured`] when the address or the key cannot be used.
    pub fn new(options: StripeOptions) -> Result<Self, StripeError> {
        let mut base = Url::parse(&options.base_url)
            .map_err(|error| misconfigured("base_url", error.to_string()))?;
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let on_loopback = is_loopback(&base);
        if base.scheme() != "https" && !on_loopback {
            return Err(misconfigured("base_url", "plain http beyond loopback".to_owned()));
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(fixed_headers(&options.secret_key)?)
            .user_agent(concat!("fairground/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never());
        if on_loopback {
            builder = builder.no_proxy();
        }
        let http =
            builder.build().map_err(|error| misconfigured("transport", error.to_string()))?;
        Ok(Self {
            http,
            base_url: base.to_string(),
            call_timeout: options.call_timeout,
            read_timeout: options.read_timeout,
            retry_seed: options.retry_seed,
            permits: Arc::new(Semaphore::new(CALLS_AT_A_TIME_MAX)),
        })
    }

    fn call(&self, request: CustomizedStripeRequest) -> Result<Call, StripeError> {
        let (RequestBuilder { query, body, path, method }, overrides) = request.into_pieces();
        let method = match method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let operation = format!("{method} {path}");
        let reads = method == Method::GET;
        let key = match overrides.request_strategy {
            Some(RequestStrategy::Idempotent(key)) => {
                Some(HeaderValue::from_str(key.as_str()).map_err(|_| {
                    StripeError::refused_here(&operation, "idempotency_key_invalid")
                })?)
            }
            _ if reads => None,
            // A write without a key of the caller's could be carried out twice.
            _ => return Err(StripeError::refused_here(&operation, "idempotency_key_missing")),
        };
        let query = query.filter(|query| !query.is_empty());
        let url = match query {
            Some(query) => format!("{}v1{path}?{query}", self.base_url),
            None => format!("{}v1{path}", self.base_url),
        };
        let timeout = if reads { self.read_timeout } else { self.call_timeout };
        Ok(Call {
            operation,
            method,
            url,
            key,
            body: (!reads).then(|| canonical_form(body.as_deref().unwrap_or_default())),
            is_json: false,
            account: None,
            timeout: overrides.timeout.unwrap_or(timeout),
        })
    }

    /// Sends a call of ours: a path below the base, pairs of a form or query, or a JSON body.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Bytes, StripeError> {
        let reads = ask.key.is_none();
        let method = if reads { Method::GET } else { Method::POST };
        let operation = format!("{method} {}", ask.path);
        let header = |text: &str, code: &str| {
            HeaderValue::from_str(text).map_err(|_| StripeError::refused_here(&operation, code))
        };
        let key = ask.key.map(|key| header(key, "idempotency_key_invalid")).transpose()?;
        let account = ask.account.map(|id| header(id, "account_invalid")).transpose()?;
        let pairs = form_of(ask.pairs);
        let query = if reads && !pairs.is_empty() { format!("?{pairs}") } else { String::new() };
        let (body, is_json) = match ask.json {
            Some(json) => (Some(json.to_string()), true),
            None => ((!reads).then(|| canonical_form(&pairs)), false),
        };
        let timeout = if reads { self.read_timeout } else { self.call_timeout };
        let url = format!("{}{}{query}", self.base_url, ask.path);
        let call = Call { operation, method, url, key, body, is_json, account, timeout };
        // The semaphore is never closed; without a permit the call would only be unbounded.
        let _permit = self.permits.acquire().await.ok();
        self.send(&call).await
    }

    async fn send(&self, call: &Call) -> Result<Bytes, StripeError> {
        let attempts = if call.writes() { WRITE_ATTEMPTS_MAX } else { READ_ATTEMPTS_MAX };
        let key = call.key.as_ref().and_then(|key| key.to_str().ok()).unwrap_or(&call.url);
        let seed = seed_of(self.retry_seed, key);
        let started = Instant::now();
        let mut doubt = false;
        let mut attempt = 1_u32;
        loop {
            let rest = CALL_BUDGET.saturating_sub(started.elapsed()).max(REST_MIN);
            let failure = match self.attempt(call, call.timeout.min(rest)).await {
                Ok(answer) if answer.is_success() => {
                    tracing::debug!(
                        operation = %call.operation, attempt, replayed = answer.replayed,
                        request_id = answer.request_id.as_deref(), "stripe answered"
                    );
                    return Ok(answer.body);
                }
                Ok(answer) => Failure::Answered(answer),
                Err(failure) => failure,
            };
            doubt |= call.writes() && failure.leaves_doubt();
            let wait = failure
                .wait_before(attempt.saturating_add(1), seed)
                .filter(|wait| attempt < attempts && started.elapsed() + *wait < CALL_BUDGET);
            let Some(wait) = wait else {
                return Err(failure.into_error(call.operation.clone(), doubt));
            };
            tracing::debug!(operation = %call.operation, attempt, ?failure, "stripe call repeated");
            tokio::time::sleep(wait).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn attempt(&self, call: &Call, timeout: Duration) -> Result<Answer, Failure> {
        let mut request = self.http.request(call.method.clone(), &call.url).timeout(timeout);
        if let Some(key) = &call.key {
            request = request.header("Idempotency-Key", key.clone());
        }
        if let Some(account) = &call.account {
            request = request.header("Stripe-Account", account.clone());
        }
        if let Some(body) = &call.body {
            let kind =
                if call.is_json { "application/json" } else { "application/x-www-form-urlencoded" };
            request = request.header(CONTENT_TYPE, kind).body(body.clone());
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                Failure::NotSent(error)
            } else {
                Failure::NoAnswer(error)
            }
        })?;
        read_answer(response).await
    }
}

impl StripeClient for Stripe {
    type Err = StripeError;

    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, StripeError> {
        let call = self.call(request)?;
        // The semaphore is never closed; without a permit the call would only be unbounded.
        let _permit = self.permits.acquire().await.ok();
        self.send(&call).await
    }
}

async fn read_answer(mut response: Response) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let text = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let request_id = text("Request-Id");
    let should_retry = text("Stripe-Should-Retry").and_then(|value| value.parse().ok());
    let retry_after = text(RETRY_AFTER.as_str()).as_deref().and_then(parse_retry_after);
    let replayed = text("Idempotent-Replayed").as_deref() == Some("true");
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::NoAnswer)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Failure::TooLong { status, request_id });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, request_id, should_retry, retry_after, replayed, body: body.freeze() })
}

fn fixed_headers(secret_key: &str) -> Result<HeaderMap, StripeError> {
    let mut authorization = HeaderValue::from_str(&format!("Bearer {secret_key}"))
        .map_err(|error| misconfigured("secret_key", error.to_string()))?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization);
    headers.insert("Stripe-Version", HeaderValue::from_static(API_VERSION));
    Ok(headers)
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn misconfigured(setting: &str, reason: String) -> StripeError {
    StripeError::Misconfigured { operation: setting.to_owned(), reason, request_id: None }
}

/// The pairs of a form in one fixed order. async-stripe keeps metadata in hash maps, so the same
/// request has other bytes in another process; a key must always come with the same ones. Arrays
/// are written with their indexes, so their order is not in the order of the pairs.
pub(crate) fn canonical_form(body: &str) -> String {
    let mut pairs: Vec<&str> = body.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_one_order() {
        assert_eq!(canonical_form("b=2&a[1]=y&a[0]=x"), "a[0]=x&a[1]=y&b=2");
        assert_eq!(canonical_form(""), "");
    }

    #[test]
    fn api_version_is_the_one_of_the_types() {
        assert_eq!(API_VERSION, stripe_client_core::VERSION.as_str());
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        let at = |base_url: &str| StripeOptions {
            base_url: base_url.to_owned(),
            ..StripeOptions::new("sk_test_1")
        };
        assert!(Stripe::new(at("http://127.0.0.1:1")).is_ok());
        assert!(Stripe::new(at("http://[::1]:1/")).is_ok());
        let refused = Stripe::new(at("http://stripe.example/")).map(|_| ());
        assert!(matches!(refused, Err(StripeError::Misconfigured { .. })));
    }

    #[test]
    fn the_key_is_not_in_debug_output() {
        let options = StripeOptions::new("sk_test_very_secret");
        assert!(!format!("{options:?}").contains("very_secret"));
        let client = Stripe::new(options).expect("options are valid");
        assert!(!format!("{client:?}").contains("very_secret"));
    }
}
