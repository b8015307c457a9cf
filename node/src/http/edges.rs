//! What a client needs to choose an edge, to count down, and to check signatures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::command::KeyPurpose;
use fairground_types::{LogIndex, Timestamp};
use fairground_wire::message::EdgeStatus;
use serde::Serialize;

use crate::edge::Edge;

/// The edges of the cluster.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EdgeList {
    server_time: Timestamp,
    edges: Vec<EdgeStatus>,
}

/// The cluster's time as this edge knows it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TimeDocument {
    server_time: Timestamp,
    /// Not earlier than this; null while the edge does not know.
    earliest: Option<Timestamp>,
    /// Not later than this; null while the edge does not know.
    latest: Option<Timestamp>,
    log_index: LogIndex,
}

/// A public key of the cluster (Ed25519).
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublicKey {
    kid: String,
    purpose: KeyPurpose,
    /// 32 bytes in base64url without padding.
    public_key: String,
}

/// The public keys of the cluster.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PublicKeys {
    keys: Vec<PublicKey>,
}

/// Lists the edges, so that a client picks the nearest.
#[utoipa::path(get, path = "/v1/edges", operation_id = "listEdges", tag = "edges",
    responses((status = 200, description = "The edges.", body = EdgeList)))]
pub(crate) async fn list(State(edge): State<Arc<Edge>>) -> Json<EdgeList> {
    let edges = edge.directory.rows(edge.status());
    Json(EdgeList { server_time: edge.time.now(), edges })
}

/// Tells the cluster's time, for countdowns.
#[utoipa::path(get, path = "/v1/time", operation_id = "getTime", tag = "edges",
    responses((status = 200, description = "The time.", body = TimeDocument)))]
pub(crate) async fn time(
    State(edge): State<Arc<Edge>>,
) -> ([(HeaderName, &'static str); 1], Json<TimeDocument>) {
    let interval = edge.time.interval();
    let body = TimeDocument {
        server_time: edge.time.now(),
        earliest: interval.map(|stamp| stamp.earliest),
        latest: interval.map(|stamp| stamp.latest),
        log_index: edge.view.index(),
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}

/// Lists the keys that sign tokens and receipts.
#[utoipa::path(get, path = "/.well-known/keys", operation_id = "listKeys", tag = "edges",
    responses((status = 200, description = "The keys.", body = PublicKeys)))]
pub(crate) async fn keys(State(edge): State<Arc<Edge>>) -> Json<PublicKeys> {
    let keys = edge.view.read(|view| {
        let rows = view.keys().iter().map(|key| PublicKey {
            kid: key.kid.clone(),
            purpose: key.purpose,
            public_key: URL_SAFE_NO_PAD.encode(key.public),
        });
        rows.collect()
    });
    Json(PublicKeys { keys })
}
