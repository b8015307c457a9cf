//! The console page, embedded, and what anybody may ask: edges and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fairground_runtime::problem::{ApiPath, Problem};
use fairground_runtime::web::{self, Asset, JAVASCRIPT, Pages};
use fairground_types::role::Action;
use fairground_types::{Code, Timestamp};
use fairground_wire::message::EdgeStatus;
use serde::Serialize;

use super::Api;
use super::answer::fresh;
use super::guard::Caller;

const INDEX: &str = "index.html";

const OWN: &[Asset] = &[
    Asset {
        name: INDEX,
        mime: "text/html; charset=utf-8",
        body: include_bytes!("../../web/index.html"),
    },
    Asset {
        name: "console.css",
        mime: "text/css; charset=utf-8",
        body: include_bytes!("../../web/console.css"),
    },
    Asset { name: "console.js", mime: JAVASCRIPT, body: include_bytes!("../../web/console.js") },
];

/// `/` and `/assets/{name}`.
pub(super) fn pages() -> Router {
    let pages = Pages::new(OWN.iter().chain(web::SHARED).copied());
    Router::new().route("/", get(index)).route("/assets/{name}", get(asset)).with_state(pages)
}

fn found(pages: &Pages, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    pages.answer(name, headers).ok_or_else(|| Problem::from(Code::NotFound))
}

async fn index(State(pages): State<Pages>, headers: HeaderMap) -> Result<Response, Problem> {
    found(&pages, INDEX, &headers)
}

async fn asset(
    State(pages): State<Pages>,
    ApiPath(name): ApiPath<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    found(&pages, &name, &headers)
}

/// The edges of the cluster.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EdgeList {
    server_time: Timestamp,
    edges: Vec<EdgeStatus>,
}

/// The edges, so that a client can measure and pick the nearest.
#[utoipa::path(get, path = "/v1/edges", operation_id = "listEdges", tag = "edges",
    responses((status = 200, description = "The edges.", body = EdgeList)))]
pub(super) async fn edges(State(api): State<Arc<Api>>) -> Response {
    let member = &api.member;
    let now = member.office.now().map_or_else(|| member.now(), |(_, now)| now);
    let edges = member.edges.statuses(member.clock.monotonic());
    fresh(EdgeList { server_time: now, edges })
}

/// Metrics in the Prometheus text format; from this machine or with a duty to read the market.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    responses((status = 200, description = "Prometheus text format.", body = String, content_type = "text/plain")),
    security((), ("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
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
