//! One HTTP call: bounded in time and in the size of its answer, its address kept out of errors.
//!
//! It must not know any provider. Read next: [`crate::error`].

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;

use crate::error::ProviderError;

const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// A wait that nobody means.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) connect: Duration,
    pub(crate) whole: Duration,
}

impl Waits {
    pub(crate) const fn secs(connect: u64, whole: u64) -> Self {
        Self { connect: Duration::from_secs(connect), whole: Duration::from_secs(whole) }
    }
}

/// A client that follows no redirect.
pub(crate) fn client(provider: &'static str, waits: Waits) -> Result<Client, ProviderError> {
    built(provider, builder(waits))
}

/// A client that speaks HTTP/2 alone, also without TLS, where it knows so beforehand.
pub(crate) fn http2_client(
    provider: &'static str,
    waits: Waits,
    is_plain: bool,
) -> Result<Client, ProviderError> {
    let builder = builder(waits)
        .http2_keep_alive_interval(Duration::from_secs(60))
        .http2_keep_alive_timeout(waits.whole)
        .pool_max_idle_per_host(1);
    built(provider, if is_plain { builder.http2_prior_knowledge() } else { builder })
}

fn builder(waits: Waits) -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(waits.connect)
        .timeout(waits.whole)
        .redirect(reqwest::redirect::Policy::none())
}

fn built(provider: &'static str, builder: reqwest::ClientBuilder) -> Result<Client, ProviderError> {
    let wrong = |_| ProviderError::Misconfigured { provider, code: "http client".to_owned() };
    builder.build().map_err(wrong)
}

/// An answer, whole.
pub(crate) struct Answer {
    provider: &'static str,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

/// Sends a request and reads its answer.
pub(crate) async fn send(
    provider: &'static str,
    request: RequestBuilder,
) -> Result<Answer, ProviderError> {
    let mut answered = request.send().await.map_err(|error| lost(provider, error))?;
    let (status, headers) = (answered.status().as_u16(), answered.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = answered.chunk().await.map_err(|error| lost(provider, error))? {
        if body.len().saturating_add(piece.len()) > ANSWER_BYTES_MAX {
            return Err(ProviderError::Unreadable { provider });
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { provider, status, headers, body: body.into() })
}

fn lost(provider: &'static str, error: reqwest::Error) -> ProviderError {
    // The address may hold an account or a device's token, which no log needs.
    let error = error.without_url();
    if error.is_connect() {
        ProviderError::Unreached { provider, source: Some(error) }
    } else if error.is_builder() {
        ProviderError::Misconfigured { provider, code: "request".to_owned() }
    } else {
        ProviderError::Unsettled { provider, status: None, source: Some(error) }
    }
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| ProviderError::Unreadable { provider: self.provider })
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// How long it asks to wait, in seconds (RFC 9110 section 10.2.3); a date is not read.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        let seconds = text.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
    }

    pub(crate) fn later(&self, code: impl Into<String>) -> ProviderError {
        ProviderError::Unavailable {
            provider: self.provider,
            status: self.status,
            code: code.into(),
            retry_after: self.retry_after(),
        }
    }

    pub(crate) fn refused(&self, code: impl Into<String>) -> ProviderError {
        ProviderError::Refused { provider: self.provider, code: code.into() }
    }

    pub(crate) fn misconfigured(&self, code: impl Into<String>) -> ProviderError {
        ProviderError::Misconfigured { provider: self.provider, code: code.into() }
    }
}

/// A base address without the slash at its end.
pub(crate) fn base(given: Option<&str>, own: &'static str) -> String {
    given.unwrap_or(own).trim_end_matches('/').to_owned()
}
