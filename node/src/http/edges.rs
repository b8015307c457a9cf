//! What a client needs to choose an edge, to count down, and to check signatures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::edge::Edge;

/// `GET /v1/edges`
pub(crate) async fn list(State(edge): State<Arc<Edge>>) -> Json<Value> {
    let edges = edge.directory.rows(edge.status());
    Json(json!({ "serverTime": edge.time.now(), "edges": edges }))
}

/// `GET /v1/time`
pub(crate) async fn time(
    State(edge): State<Arc<Edge>>,
) -> ([(HeaderName, &'static str); 1], Json<Value>) {
    let now = edge.time.now();
    let interval = edge.time.interval();
    let body = json!({
        "serverTime": now,
        "earliest": interval.map(|stamp| stamp.earliest),
        "latest": interval.map(|stamp| stamp.latest),
        "logIndex": edge.view.index(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}

/// `GET /.well-known/keys`
pub(crate) async fn keys(State(edge): State<Arc<Edge>>) -> Json<Value> {
    let keys: Vec<Value> = edge.view.read(|view| {
        let rows = view.keys().iter().map(|key| {
            json!({
                "kid": key.kid,
                "purpose": key.purpose,
                "publicKey": URL_SAFE_NO_PAD.encode(key.public),
            })
        });
        rows.collect()
    });
    Json(json!({ "keys": keys }))
}
