//! The viewer page, embedded: plain HTML, CSS and ES modules, and hls.js when it was there at build
//! time.
//!
//! It must not know what the page shows.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use fairground_runtime::problem::{ApiPath, Problem};
use fairground_runtime::web::{Asset, JAVASCRIPT, Pages, SHARED};
use fairground_types::Code;

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
    "story.js",
    "auction.js",
    "device.js",
    "signed.js",
    "live.js",
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
pub(crate) fn routes() -> Router {
    let pages = Pages::new([INDEX].iter().chain(MODULES).chain(OTHERS).chain(SHARED).copied());
    Router::new().route("/", get(index)).route("/assets/{name}", get(asset)).with_state(pages)
}

fn found(pages: &Pages, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    pages.answer(name, headers).ok_or_else(|| Problem::from(Code::NotFound))
}

async fn index(State(pages): State<Pages>, headers: HeaderMap) -> Result<Response, Problem> {
    found(&pages, INDEX.name, &headers)
}

async fn asset(
    State(pages): State<Pages>,
    ApiPath(name): ApiPath<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    found(&pages, &name, &headers)
}
