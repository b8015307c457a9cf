//! An asset: how it comes along, and how to play it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use fairground_runtime::problem::{ApiPath, Problem};
use fairground_types::AssetId;
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde_json::{Map, Value};

use super::auth::SignedIn;
use super::{call, problem_map};
use crate::delivery::DeliveryError;
use crate::edge::Edge;

/// `GET /v1/media/{asset}`
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(asset): ApiPath<AssetId>,
) -> Result<Json<Value>, Problem> {
    let row = call::read(&edge, ReadRequest::Asset { user: who.user, asset }).await?;
    let mut shown = Map::new();
    for name in ["assetId", "state", "revision", "codecs", "reason", "duration", "width", "height"]
    {
        if let Some(value) = row.get(name) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(report) = edge.work.report(asset)
        && let Ok(Value::Object(members)) = serde_json::to_value(report)
    {
        shown.extend(members);
    }
    Ok(Json(Value::Object(shown)))
}

/// `GET /v1/media/{asset}/playback`
pub(crate) async fn playback(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
    ApiPath(asset): ApiPath<AssetId>,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), Problem> {
    if !edge.view.is_fresh(edge.time.monotonic()) {
        return Err(problem_map::not_delivered(&DeliveryError::Stale));
    }
    let request = ForwardRequest::MintPlayback { user: who.map(|who| who.user), asset };
    let playback = call::document(&edge, &request).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(playback)))
}
