//! Captions of a clip, set by its maker.
//!
//! ```text
//!   PUT    /v1/media/{asset}/captions/{language}   WebVTT -> read strictly, written anew --+
//!   DELETE /v1/media/{asset}/captions/{language}   ----------------------------------------+
//!                            next revision: the same clip, other captions -> members <-----+
//! ```
//! What shows the same captions already is no new revision, so asking again changes nothing. It must
//! not know what WebVTT is. Read next: `fairground_media::webvtt`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use bytes::Bytes;
use fairground_media::Manifest;
use fairground_media::manifest::{CAPTIONS_MAX, CaptionTrack, Language};
use fairground_media::webvtt::{CAPTIONS_BYTES_MAX, Captions};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiBytes, ApiPath, ApiQuery, Problem};
use fairground_types::command::{Command, MediaCommand, SetCaptions};
use fairground_types::{AssetId, BlobHash, Code};
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde::{Deserialize, Serialize};

use super::auth::{Intent, SignedIn};
use super::evidence::keep;
use super::{call, problem_map};
use crate::delivery::DeliveryError;
use crate::edge::Edge;

/// Captions in one language.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaptionsRow {
    /// A language tag (RFC 5646) in lower case.
    language: String,
    /// What a viewer chooses it by.
    label: String,
    /// Whether it tells sounds as well as speech.
    describes_sounds: bool,
}

/// The captions of a clip.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaptionsDocument {
    asset_id: AssetId,
    /// The revision that shows them.
    revision: u32,
    captions: Vec<CaptionsRow>,
}

/// What viewers read about captions.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CaptionsQuery {
    /// What a viewer chooses them by; no two languages of a clip have the same.
    #[param(min_length = 1, max_length = 40)]
    label: String,
    /// Whether they tell sounds as well as speech, for who cannot hear.
    #[serde(default)]
    describes_sounds: bool,
}

/// What the cluster says of a clip, as far as it is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Newest {
    revision: u32,
    manifest: Option<BlobHash>,
    takes_captions: bool,
}

/// A clip as it is shown now.
struct Shown {
    asset: AssetId,
    revision: u32,
    manifest: Arc<Manifest>,
    takes_captions: bool,
}

/// Captions are longer than other texts.
pub(super) const fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(CAPTIONS_BYTES_MAX)
}

/// Lists the captions of a clip of one's own.
#[utoipa::path(get, path = "/v1/media/{asset}/captions", operation_id = "listCaptions",
    tag = "media", params(("asset" = AssetId, Path)),
    responses((status = 200, description = "The captions.", body = CaptionsDocument)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["INVALID_STATE"]))))]
pub(crate) async fn list(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(asset): ApiPath<AssetId>,
) -> Result<Json<CaptionsDocument>, Problem> {
    Ok(Json(newest(&edge, &who, asset).await?.document()))
}

/// Shows a clip with these captions (WebVTT, at most 128 KiB) in that language, instead of any
/// before; a new playback shows them.
#[utoipa::path(put, path = "/v1/media/{asset}/captions/{language}", operation_id = "setCaptions",
    tag = "media", params(("asset" = AssetId, Path), ("language" = String, Path), CaptionsQuery,
        IdempotencyKeyHeader),
    request_body(content = Vec<u8>, content_type = "text/vtt"),
    responses((status = 200, description = "All captions of the clip.", body = CaptionsDocument)),
    security(("bearer" = [])), extensions(("x-codes" = json!([
        "MEDIA_REJECTED", "INVALID_STATE", "VERSION_CONFLICT", "LIMIT_REACHED"]))))]
pub(crate) async fn set(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath((asset, language)): ApiPath<(AssetId, String)>,
    ApiQuery(query): ApiQuery<CaptionsQuery>,
    ApiBytes(bytes): ApiBytes,
) -> Result<Json<CaptionsDocument>, Problem> {
    let language = language_of(&language)?;
    let refused = |reason: &'static str, detail: String| {
        Problem::new(Code::MediaRejected, detail).with("reason", reason)
    };
    let captions =
        Captions::parse(&bytes).map_err(|rejection| refused(rejection.reason, rejection.detail))?;
    let shown = newest(&edge, &who, asset).await?;
    let captions = captions.cut(shown.manifest.duration_ms);
    if captions.is_empty() {
        let detail = "nothing of it is shown before the clip ends";
        return Err(refused("captions", detail.to_owned()));
    }
    let text = Bytes::from(captions.to_text());
    let file = BlobHash::of(&text);
    let CaptionsQuery { label, describes_sounds } = query;
    let track = CaptionTrack { language, label, describes_sounds, file };
    let mut tracks = shown.without(&track.language);
    tracks.push(track);
    // Checked before anything is kept.
    let Some(next) = shown.with(tracks)? else { return Ok(Json(shown.document())) };
    keep(&edge, file, &text).await?;
    Ok(Json(publish(&edge, (&who, &intent), shown, next).await?.document()))
}

/// Shows a clip without captions in that language.
#[utoipa::path(delete, path = "/v1/media/{asset}/captions/{language}",
    operation_id = "removeCaptions", tag = "media",
    params(("asset" = AssetId, Path), ("language" = String, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "There are none.")),
    security(("bearer" = [])), extensions(("x-codes" = json!([
        "INVALID_STATE", "VERSION_CONFLICT", "LIMIT_REACHED"]))))]
pub(crate) async fn remove(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath((asset, language)): ApiPath<(AssetId, String)>,
) -> Result<StatusCode, Problem> {
    let language = language_of(&language)?;
    let shown = newest(&edge, &who, asset).await?;
    if let Some(next) = shown.with(shown.without(&language))? {
        publish(&edge, (&who, &intent), shown, next).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn language_of(tag: &str) -> Result<Language, Problem> {
    Language::new(tag).ok_or_else(|| {
        Problem::invalid("language", "a language tag: language, then script and region if need be")
    })
}

async fn newest(edge: &Edge, who: &SignedIn, asset: AssetId) -> Result<Shown, Problem> {
    let read = ForwardRequest::Read(ReadRequest::Asset { user: who.user, asset });
    let Newest { revision, manifest, takes_captions } = call::typed(edge, &read).await?;
    let hash = manifest
        .ok_or_else(|| Problem::new(Code::InvalidState, "the clip cannot be played yet"))?;
    let manifest = edge.delivery.origin.manifest(hash).await;
    let manifest =
        manifest.map_err(|error| problem_map::not_delivered(&DeliveryError::Unavailable(error)))?;
    Ok(Shown { asset, revision, manifest, takes_captions })
}

/// Makes a manifest the next revision.
async fn publish(
    edge: &Edge,
    (who, intent): (&SignedIn, &Intent),
    shown: Shown,
    next: Manifest,
) -> Result<Shown, Problem> {
    let bytes = next.to_bytes().map_err(|error| Problem::internal(&error))?;
    let (asset, revision, manifest) = (shown.asset, next.revision, BlobHash::of(&bytes));
    keep(edge, manifest, &bytes.into()).await?;
    // After a conflict the same request makes another manifest, which is another command.
    let id = intent.command(who, "set-captions", &manifest.to_string());
    let command = MediaCommand::SetCaptions(SetCaptions { asset, revision, manifest });
    call::command(edge, who, id, Command::Media(command)).await?;
    Ok(Shown { revision, manifest: Arc::new(next), ..shown })
}

impl Shown {
    /// The captions in all other languages.
    fn without(&self, language: &Language) -> Vec<CaptionTrack> {
        let tracks = self.manifest.captions.iter();
        tracks.filter(|track| track.language != *language).cloned().collect()
    }

    /// The next revision, with these captions by language; `None` when they are there already.
    fn with(&self, mut tracks: Vec<CaptionTrack>) -> Result<Option<Manifest>, Problem> {
        tracks.sort_by(|one, other| one.language.cmp(&other.language));
        if tracks == self.manifest.captions {
            return Ok(None);
        }
        // What the market would refuse in the end costs no blobs.
        if !self.takes_captions {
            return Err(Problem::new(Code::InvalidState, "the clip takes no captions now"));
        }
        if tracks.len() > CAPTIONS_MAX {
            let detail = format!("a clip has captions in {CAPTIONS_MAX} languages at most");
            return Err(Problem::new(Code::LimitReached, detail));
        }
        let next = self.manifest.with_captions(self.revision.saturating_add(1), tracks);
        next.map(Some).map_err(|error| Problem::invalid("label", error.to_string()))
    }

    fn document(&self) -> CaptionsDocument {
        let row = |track: &CaptionTrack| CaptionsRow {
            language: track.language.to_string(),
            label: track.label.clone(),
            describes_sounds: track.describes_sounds,
        };
        CaptionsDocument {
            asset_id: self.asset,
            revision: self.revision,
            captions: self.manifest.captions.iter().map(row).collect(),
        }
    }
}
