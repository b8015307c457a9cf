//! An asset: how it comes along, and how to play it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use fairground_media::token;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::{AssetId, Millis, PlaybackId, Timestamp};
use fairground_wire::message::{ForwardRequest, PlaybackViewer, PrivateText, ReadRequest};
use serde::{Deserialize, Serialize};

use super::auth::SignedIn;
use super::{call, problem_map};
use crate::delivery::DeliveryError;
use crate::edge::Edge;
use crate::worker::{self, Figures, StageReport};

/// What the cluster knows of a clip.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetFacts {
    asset_id: AssetId,
    /// `queued`, `transcoding`, `ready` or `failed`.
    state: String,
    /// Newest revision that can be played; 0 for none.
    revision: u32,
    /// Whether that revision is a beginning, which later ones continue.
    is_growing: bool,
    codecs: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether its captions can be set now.
    takes_captions: bool,
    duration: Millis,
    width: u32,
    height: u32,
    /// How far the stage is that runs, as its worker told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<StageReport>,
}

/// A clip and how its making goes, for its owner.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetDocument {
    #[serde(flatten)]
    facts: AssetFacts,
    /// How long the stages took, once they are over; at the edge that made the clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

/// How to play a clip.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Playback {
    playback_id: PlaybackId,
    /// The multivariant playlist, below this edge.
    url: String,
    /// The same with H.264 alone.
    avc_url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    av1_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    poster_url: Option<String>,
    expires_at: Timestamp,
    revision: u32,
    /// A minute and a code that only the cluster can read: apps lay it over the video, moving, so that a
    /// recording tells who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    viewer_mark: Option<String>,
}

/// Tells how a clip of one's own comes along.
#[utoipa::path(get, path = "/v1/media/{asset}", operation_id = "getAsset", tag = "media",
    params(("asset" = AssetId, Path)),
    responses((status = 200, description = "The clip.", body = AssetDocument)),
    security(("bearer" = [])))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(asset): ApiPath<AssetId>,
) -> Result<Json<AssetDocument>, Problem> {
    let read = ForwardRequest::Read(ReadRequest::Asset { user: who.user, asset });
    let mut facts: AssetFacts = call::typed(&edge, &read).await?;
    if let Some(here) = worker::progress_here(&edge, asset) {
        facts.progress = Some(here);
    }
    let report = edge.work.report(asset).unwrap_or_default();
    Ok(Json(AssetDocument { facts, figures: report.figures }))
}

/// Starts a playback.
#[utoipa::path(get, path = "/v1/media/{asset}/playback", operation_id = "getPlayback",
    tag = "media", params(("asset" = AssetId, Path)),
    responses((status = 200, description = "Where to play it.", body = Playback)),
    security((), ("bearer" = [])),
    extensions(("x-codes" = json!(["PLAYBACK_DENIED"]))))]
pub(crate) async fn playback(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
    ApiPath(asset): ApiPath<AssetId>,
) -> Result<Answered, Problem> {
    if !edge.view.is_fresh(edge.time.monotonic()) {
        return Err(problem_map::not_delivered(&DeliveryError::Stale));
    }
    play(&edge, who, (asset, None)).await.map(answer)
}

/// A playback's newest token.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RenewRequest {
    /// What follows `/p/` in the addresses of the playback; it may have expired within half an hour.
    token: String,
}

/// Goes on with a playback under a new token.
///
/// The playback stays the same one, so that this is no second stream. Addresses of the new token are
/// those of the old one with the token exchanged; both are good until they expire. Six hours after its
/// beginning a playback is over.
#[utoipa::path(post, path = "/v1/playback/{playback}/renew", operation_id = "renewPlayback",
    tag = "media", params(("playback" = PlaybackId, Path)), request_body = RenewRequest,
    responses((status = 200, description = "Where to play it.", body = Playback)),
    security((), ("bearer" = [])),
    extensions(("x-codes" = json!(["TOKEN_EXPIRED", "PLAYBACK_DENIED"]))))]
pub(crate) async fn renew(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
    ApiPath(playback): ApiPath<PlaybackId>,
    ApiJson(body): ApiJson<RenewRequest>,
) -> Result<Answered, Problem> {
    let keys = edge.view.keys();
    let claims = token::verify_signed(&body.token, &keys.playback)
        .map_err(|error| problem_map::not_delivered(&DeliveryError::Token(error)))?;
    if claims.playback != playback {
        return Err(problem_map::not_delivered(&DeliveryError::Denied));
    }
    play(&edge, who, (claims.asset, Some(PrivateText::new(body.token)))).await.map(answer)
}

type Answered = ([(HeaderName, &'static str); 1], Json<Playback>);

fn answer(playback: Playback) -> Answered {
    ([(header::CACHE_CONTROL, "no-store")], Json(playback))
}

async fn play(
    edge: &Edge,
    who: Option<SignedIn>,
    (asset, renews): (AssetId, Option<PrivateText>),
) -> Result<Playback, Problem> {
    let viewer = who.map(|who| PlaybackViewer { user: who.user, sign_in: who.sign_in });
    call::typed(edge, &ForwardRequest::Play { viewer, asset, renews }).await
}
