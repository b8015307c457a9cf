//! The console page, embedded, and what anybody may ask: edges and metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use fairground_runtime::problem::{ApiPath, Problem};
use fairground_runtime::web::{self, Asset, JAVASCRIPT};
use fairground_types::Code;
use serde_json::json;

use super::Api;
use super::answer::fresh;
use super::guard::Caller;
use fairground_types::role::Action;

const PAGE: &str = include_str!("../../web/index.html");

const OWN: &[Asset] = &[
    Asset {
        name: "console.css",
        mime: "text/css; charset=utf-8",
        body: include_bytes!("../../web/console.css"),
    },
    Asset { name: "console.js", mime: JAVASCRIPT, body: include_bytes!("../../web/console.js") },
];

/// The page.
pub(super) async fn page() -> Response {
    (
        [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, web::CONTENT_SECURITY_POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CACHE_CONTROL, "no-cache"),
        ],
        PAGE,
    )
        .into_response()
}

/// A file of the page.
pub(super) async fn asset(ApiPath(name): ApiPath<String>) -> Result<Response, Problem> {
    let found = OWN.iter().chain(web::SHARED).find(|asset| asset.name == name);
    let asset = found.ok_or_else(|| Problem::from(Code::NotFound))?;
    let headers = [
        (CONTENT_TYPE, asset.mime),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, asset.body).into_response())
}

/// The edges, so that a client can measure and pick the nearest.
pub(super) async fn edges(State(api): State<Arc<Api>>) -> Response {
    let member = &api.member;
    let now = member.office.now().map_or_else(|| member.clock.now(), |(_, now)| now);
    let edges = member.edges.statuses(member.clock.monotonic());
    fresh(json!({ "serverTime": now, "edges": edges }))
}

/// Metrics in the Prometheus text format; from this machine or with a duty to read the market.
pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    match caller {
        Caller::Local => {}
        Caller::Operator | Caller::Account { .. } | Caller::Stranger => {
            caller.may(&api, Action::ReadMarket)?;
        }
    }
    let text = api.metrics.as_ref().map(fairground_runtime::metrics::render).unwrap_or_default();
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
