//! The viewer page, embedded: plain HTML, CSS and ES modules, and hls.js when it was there at build
//! time.
//!
//! The page goes on at another edge when the one that served it is lost, so its policy names them
//! all. It must not know what the page shows.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use fairground_runtime::problem::{ApiPath, Problem};
use fairground_runtime::web::{self, Asset, JAVASCRIPT, Pages, SHARED};
use fairground_types::Code;

use crate::edge::Edge;

const INDEX: Asset = Asset {
    name: "index.html",
    mime: "text/html; charset=utf-8",
    body: include_bytes!("../../web/index.html"),
};

macro_rules! modules {
    ($($name:literal),*) => {
        &[$(Asset {
            name: $name,
            mime: JAVASCRIPT,
            body: include_bytes!(concat!("../../web/", $name)),
        }),*]
    };
}

const MODULES: &[Asset] = modules!(
    "app.js",
    "time.js",
    "feed.js",
    "player.js",
    "mark.js",
    "tokens.js",
    "story.js",
    "auction.js",
    "device.js",
    "signed.js",
    "live.js",
    "edges.js",
    "purchases.js"
);

const OTHERS: &[Asset] = &[
    Asset {
        name: "viewer.css",
        mime: "text/css; charset=utf-8",
        body: include_bytes!("../../web/viewer.css"),
    },
    Asset {
        name: "hls.min.js",
        mime: JAVASCRIPT,
        body: include_bytes!(concat!(env!("OUT_DIR"), "/hls.min.js")),
    },
];

/// `/` and `/assets/{name}`.
pub(crate) fn routes(edge: &Arc<Edge>) -> Router {
    let pages = Pages::new([INDEX].iter().chain(MODULES).chain(OTHERS).chain(SHARED).copied());
    let index = get(index).with_state((Arc::clone(edge), pages.clone()));
    Router::new().route("/", index).route("/assets/{name}", get(asset)).with_state(pages)
}

fn found(pages: &Pages, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    pages.answer(name, headers).ok_or_else(|| Problem::from(Code::NotFound))
}

async fn index(State((edge, pages)): State<(Arc<Edge>, Pages)>) -> Result<Response, Problem> {
    // Always whole and without a tag: browsers keep the policy of a page that has not changed, and
    // this one's changes with the edges.
    let mut response = found(&pages, INDEX.name, &HeaderMap::new())?;
    let all = response.headers_mut();
    all.remove(header::ETAG);
    let origins = edge.origins();
    let policy = web::policy_reaching(origins.iter().map(String::as_str));
    all.insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

async fn asset(
    State(pages): State<Pages>,
    ApiPath(name): ApiPath<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    found(&pages, &name, &headers)
}
