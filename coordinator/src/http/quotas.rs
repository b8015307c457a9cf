//! How often an address may ask a member for what: the whole table.
//!
//! Numbers are requests per minute. Requests from this machine (its operator, a proxy in front) are not
//! limited here. It must not know what a route does. Read next: `fairground_runtime::guard`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fairground_runtime::guard::{self, General, Per, Quota, Subject};
use fairground_runtime::rate::RateLimit;
use fairground_types::Millis;

use super::Api;

/// Addresses remembered per row.
pub(super) const KEYS_MAX: usize = 16_384;

const GENERAL_RATE: RateLimit =
    RateLimit { burst: 100, refill: Millis::new(60), keys_max: KEYS_MAX };

/// An address: 1,000 per minute, 100 at once; the console asks for several lists at a time.
pub(super) const GENERAL: General = General { user: GENERAL_RATE, address: GENERAL_RATE };

/// Every row.
pub(super) fn table() -> Vec<Quota> {
    let row = |name, path, requests| Quota {
        name,
        route: (Method::POST, path),
        requests,
        time: Millis::from_mins(1),
        per: Per::Subject,
        counts_generally: true,
    };
    vec![
        row("codes", "/v1/auth/otp/request", 10),
        row("sign-ins", "/v1/auth/otp/verify", 10),
        row("refreshes", "/v1/auth/refresh", 20),
        Quota { counts_generally: false, ..row("webhooks", "/v1/webhooks/stripe", 1_000) },
    ]
}

/// Refuses an address that asks too often.
pub(super) async fn limit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|peer| peer.0.ip().to_canonical()).filter(|peer| !peer.is_loopback());
    let Some(peer) = peer else { return next.run(request).await };
    let route = guard::route_of(&request);
    let asked = (request.method(), route.as_str(), request.uri().path());
    match api.quotas.count(Subject::Address(peer), asked, api.member.clock.monotonic()) {
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
