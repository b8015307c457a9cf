//! What every request goes through, outermost first.
//!
//! ```text
//!   seed paths                    `seed.rs`: addresses without /v1
//!   headers, cross-origin         nosniff ...; pages of the allow-list and of our edges read us
//!   request id, span, metrics     fairground_runtime::problem::wrap
//!   panic -> 500                  likewise
//!   body limit 64 KiB             likewise; uploads read their body as a stream
//!   load shed                     too many requests in hand: 429 at once
//!   sign-in                       the access token is checked once, before anything is counted
//!   quotas                        per account or address, `quotas.rs`
//!   time limit                    504; uploads excepted, whose silence the listener bounds
//!   route -> handler
//! ```
//! It must not know any route.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fairground_runtime::guard::{self, Quotas, Reader, Subject};
use fairground_runtime::problem::Problem;
use fairground_types::Code;

use super::auth::{self, Identified};
use super::quotas;
use crate::edge::{Edge, REQUESTS_MAX};

/// How long a handler may take; a bid waits ten seconds at most, a checkout as long again.
const HANDLER_WAIT: Duration = Duration::from_secs(30);

/// The quotas of an edge.
pub(crate) fn limiter() -> Arc<Quotas> {
    Arc::new(Quotas::new(&quotas::table(), quotas::GENERAL, quotas::KEYS_MAX))
}

/// Lets pages of known origins read answers, and answers their preflights. Players load media from
/// anywhere; documents are for everybody.
pub(crate) async fn cross_origin(
    State(edge): State<Arc<Edge>>,
    request: Request,
    next: Next,
) -> Response {
    let reader = reader_of(&edge, &request);
    if guard::is_preflight(&request) {
        return guard::preflight(&reader);
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    guard::share(headers, &reader);
    guard::secure(headers, edge.public_url.starts_with("https://"));
    response
}

fn reader_of(edge: &Edge, request: &Request) -> Reader {
    let path = request.uri().path();
    let is_open = ["/p/", "/c/", "/openapi.json", "/.well-known/"];
    if is_open.iter().any(|open| path.starts_with(open)) {
        return Reader::Anybody;
    }
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Reader::Nobody };
    if may_read(edge, origin) { Reader::Origin(origin.clone()) } else { Reader::Nobody }
}

fn may_read(edge: &Edge, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let is_same = |known: &str| {
        known == "*"
            || guard::origin_of(known).is_some_and(|known| known.eq_ignore_ascii_case(origin))
    };
    is_same(&edge.public_url)
        || edge.options.allowed_origins.iter().any(|known| is_same(known))
        || edge.directory.any(|row| is_same(&row.public_url))
        // The directory forgets an edge that died, and its pages come to us just then.
        || edge.view.read(|view| view.edges().any(|row| is_same(&row.public_url)))
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

/// Finds out who asks, and refuses who asks too often.
pub(crate) async fn limit(
    State((edge, quotas)): State<(Arc<Edge>, Arc<Quotas>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let who = auth::identify(&edge, request.headers());
    let subject = subject_of(&edge, &request, &who);
    request.extensions_mut().insert(who);
    let Some(subject) = subject else { return next.run(request).await };
    let route = guard::route_of(&request);
    let asked = (request.method(), route.as_str(), request.uri().path());
    match quotas.count(subject, asked, edge.time.monotonic()) {
        Ok(standing) => {
            let mut response = next.run(request).await;
            standing.tell(response.headers_mut());
            response
        }
        Err(problem) => {
            let mut response = problem.into_response();
            guard::tell_refused(response.headers_mut());
            response
        }
    }
}

/// For whom a request counts: nobody when it comes from this machine.
fn subject_of(edge: &Edge, request: &Request, who: &Identified) -> Option<Subject> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    if peer.is_loopback() && !edge.options.limit_this_machine {
        return None;
    }
    Some(who.account().map_or(Subject::Address(peer), |who| Subject::User(who.user)))
}

/// Ends what takes too long.
pub(crate) async fn time_limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(HANDLER_WAIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::UpstreamTimeout, "the answer took too long").into_response(),
    }
}
