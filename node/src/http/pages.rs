//! The viewer page, embedded: plain HTML, CSS and ES modules, and hls.js when it was there at build
//! time.
//!
//! It must not know what the page shows.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fairground_runtime::problem::not_found;
use fairground_runtime::web::{Asset, CONTENT_SECURITY_POLICY, JAVASCRIPT, SHARED};

use crate::delivery::range::names_tag;

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

type Tagged = (Asset, HeaderValue);

struct Pages {
    index: Tagged,
    assets: Vec<Tagged>,
}

fn tagged(asset: Asset) -> Tagged {
    let hash = blake3::hash(asset.body).to_hex();
    let tag = format!("\"{}\"", hash.get(..32).unwrap_or_default());
    // Hexadecimal digits in quotes are always a header value.
    let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
    (asset, tag)
}

/// `/` and `/assets/{name}`.
pub(crate) fn routes() -> Router {
    let assets = MODULES.iter().chain(OTHERS).chain(SHARED).copied().map(tagged).collect();
    let pages = Arc::new(Pages { index: tagged(INDEX), assets });
    Router::new().route("/", get(index)).route("/assets/{name}", get(asset)).with_state(pages)
}

async fn index(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    answer(&pages.index, &headers)
}

async fn asset(
    State(pages): State<Arc<Pages>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match pages.assets.iter().find(|(asset, _)| asset.name == name) {
        Some(found) => answer(found, &headers),
        None => not_found().await.into_response(),
    }
}

fn answer((asset, tag): &Tagged, headers: &HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| tag.to_str().is_ok_and(|tag| names_tag(known, tag)));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.mime)], asset.body).into_response()
    };
    let all = response.headers_mut();
    all.insert(header::ETAG, tag.clone());
    all.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    all.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    all.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
