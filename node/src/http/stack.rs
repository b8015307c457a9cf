//! What every request goes through, outermost first.
//!
//! ```text
//!   request id, span, metrics     fairground_runtime::problem::wrap
//!   panic -> 500                  likewise
//!   body limit 64 KiB             likewise; uploads read their body as a stream
//!   cross-origin answers          players and pages of other edges read us; no cookies exist
//!   load shed                     too many requests in hand: 429 at once
//!   rate limit                    per address, loopback (a proxy of the operator) excepted
//!   time limit                    504; uploads excepted, whose silence the listener bounds
//!   route -> sign-in -> handler
//! ```
//! It must not know any route.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fairground_runtime::problem::Problem;
use fairground_runtime::rate::{RateLimit, RateLimiter};
use fairground_types::{Code, Millis};

use crate::edge::{Edge, REQUESTS_MAX};

/// How long a handler may take; a bid waits ten seconds at most, a checkout as long again.
const HANDLER_WAIT: Duration = Duration::from_secs(30);
/// One address: bursts of 400 requests, 200 per second for long.
const RATE: RateLimit = RateLimit { burst: 400, refill: Millis::new(5), keys_max: 16_384 };

const ALLOWED_METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, Range, \
     Tus-Resumable, Upload-Checksum, Upload-Length, Upload-Metadata, Upload-Offset, X-Request-Id",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Content-Range, ETag, Fairground-Asset, Location, Preference-Applied, \
     Retry-After, Tus-Resumable, Upload-Expires, Upload-Length, Upload-Offset, X-Request-Id",
);
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The limiter of addresses.
pub(crate) type AddressLimiter = RateLimiter<IpAddr>;

/// A limiter with the rate of this file.
pub(crate) fn limiter() -> Arc<AddressLimiter> {
    Arc::new(RateLimiter::new(RATE))
}

/// Lets pages and players of other origins read answers, and answers their preflights. Nothing here
/// is told by a cookie, so nothing is given away by it.
pub(crate) async fn cross_origin(request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if is_preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let mut set = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
    if is_preflight {
        set(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        set(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    } else {
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
    response
}

/// Counts a request as long as it is in hand.
struct InHand(Arc<Edge>);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Refuses at once what could not be answered in time.
pub(crate) async fn shed(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let before = edge.requests.fetch_add(1, Ordering::Relaxed);
    let _in_hand = InHand(edge);
    if before >= REQUESTS_MAX {
        return Problem::new(Code::RetryLater, "this edge is busy").into_response();
    }
    next.run(request).await
}

/// Refuses an address that asks too often.
pub(crate) async fn limit(
    State((edge, limiter)): State<(Arc<Edge>, Arc<AddressLimiter>)>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    if let Some(peer) = peer.filter(|peer| !peer.to_canonical().is_loopback())
        && let Err(wait) = limiter.check(&peer, edge.time.monotonic())
    {
        return Problem::new(Code::RateLimited, "too many requests from this address")
            .with_retry_after(wait)
            .into_response();
    }
    next.run(request).await
}

/// Ends what takes too long.
pub(crate) async fn time_limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(HANDLER_WAIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::UpstreamTimeout, "the answer took too long").into_response(),
    }
}
