//! The id of a request: taken from the client or made, echoed, in the span and in every problem.
//!
//! It must not log addresses with secrets in them: the span holds the route's pattern, not the path.

use std::fmt;
use std::time::Duration;

use axum::extract::{MatchedPath, OriginalUri, Request};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::ids::uuid_v7_bits;

/// Header that carries the id in both directions.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: Current;
}

struct Current {
    request: RequestId,
    instance: String,
}

/// Names one request: 8 to 64 letters, digits, `-`, `_` or `.`. Handlers get it as an extension.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{:032x}", uuid_v7_bits(Clock::system().now())))
    }

    /// Takes an id that a client sent, when it is well formed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        ((8..=64).contains(&text.len()) && text.bytes().all(is_plain))
            .then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Middleware for `axum::middleware::from_fn`; belongs outside all others.
pub async fn request_context(mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(&REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    let id = sent.and_then(RequestId::parse).unwrap_or_else(RequestId::generate);
    let instance = request
        .extensions()
        .get::<OriginalUri>()
        .map_or_else(|| request.uri().path(), |uri| uri.path())
        .to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());

    let span = tracing::info_span!("request", request_id = %id, method = %method, route);
    let started = Clock::system().monotonic_fine();
    let current = Current { request: id.clone(), instance };
    let answer = async {
        let response = next.run(request).await;
        let took = Clock::system().monotonic_fine().saturating_sub(started);
        let status = response.status().as_u16();
        tracing::debug!(status, took_us = took.as_micros(), "request answered");
        record(&route, &method, status, took);
        response
    };
    let mut response = CURRENT.scope(current, answer.instrument(span.clone())).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

/// The request that is being answered; a fresh id outside of one.
pub(crate) fn current() -> (RequestId, Option<String>) {
    CURRENT
        .try_with(|current| (current.request.clone(), Some(current.instance.clone())))
        .unwrap_or_else(|_| (RequestId::generate(), None))
}

/// Labels come from closed sets: patterns of our routes, standard methods, classes of statuses.
fn record(route: &str, method: &Method, status: u16, took: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let class = match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    let route = route.to_owned();
    ::metrics::counter!(
        "fairground_http_requests_total",
        "route" => route.clone(), "method" => method, "status" => class
    )
    .increment(1);
    ::metrics::histogram!("fairground_http_request_seconds", "route" => route).record(took);
}
