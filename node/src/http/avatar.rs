//! The picture of an account.
//!
//! ```text
//!   POST   /v1/users/me/avatar/upload   sent bytes -> jail -> 512 x 512 WebP -> members -> the market
//!   GET    /v1/users/{user}/avatar      what was drawn; never what was sent
//!   DELETE /v1/users/me/avatar
//! ```
//! Who may not see a profile does not see its picture. It must not know how a picture is drawn. Read
//! next: `crate::ingest::picture`, `profile.rs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairground_media::picture::PictureRules;
use fairground_media::sniff::picture;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiBytes, ApiPath, Problem};
use fairground_types::command::{Command, PeopleCommand};
use fairground_types::limits::AVATAR_BYTES_MAX;
use fairground_types::{BlobHash, Code, UserId};
use fairground_wire::message::ReadRequest;
use serde::Serialize;

use super::auth::{Intent, SignedIn};
use super::evidence::{fetch, keep};
use super::{call, problem_map};
use crate::delivery::range::names_tag;
use crate::edge::Edge;

/// How long what was shown to everybody may be shown again without asking.
const PUBLIC: &str = "public, max-age=300";
/// What one reader was shown.
const PRIVATE: &str = "private, max-age=300";

/// A picture that was taken.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AvatarTaken {
    /// The picture as it was drawn.
    avatar: BlobHash,
    /// Where it is shown, below this edge.
    avatar_url: String,
}

/// A picture is larger than other bodies.
pub(super) const fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(AVATAR_BYTES_MAX)
}

/// Refuses what does not begin as a picture.
pub(super) fn require_picture(bytes: &[u8]) -> Result<(), Problem> {
    match picture(bytes) {
        Some(_) => Ok(()),
        None => Err(Problem::new(Code::MediaUnsupported, "a picture is a JPEG, a PNG or a WebP")),
    }
}

/// Takes a picture (JPEG, PNG or WebP, at most 5 MiB and 2048 pixels a side) and shows its middle as a square.
#[utoipa::path(post, path = "/v1/users/me/avatar/upload", operation_id = "uploadAvatar",
    tag = "users", params(IdempotencyKeyHeader),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "It is the picture.", body = AvatarTaken)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["MEDIA_REJECTED", "FEATURE_DISABLED", "NOT_FOUND"]))))]
pub(crate) async fn upload(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiBytes(bytes): ApiBytes,
) -> Result<(StatusCode, Json<AvatarTaken>), Problem> {
    require_picture(&bytes)?;
    let drawn = edge.pictures.decode(bytes, PictureRules::AVATAR).await;
    let drawn = drawn.map_err(|error| problem_map::not_a_picture(&error))?;
    let avatar = BlobHash::of(&drawn);
    keep(&edge, avatar, &drawn).await?;
    let id = intent.command(&who, "set-avatar", "");
    let command = Command::People(PeopleCommand::SetAvatar { image: Some(avatar) });
    call::command(&edge, &who, id, command).await?;
    let avatar_url = format!("/v1/users/{}/avatar", who.user);
    Ok((StatusCode::CREATED, Json(AvatarTaken { avatar, avatar_url })))
}

/// Takes the picture away.
#[utoipa::path(delete, path = "/v1/users/me/avatar", operation_id = "removeAvatar", tag = "users",
    params(IdempotencyKeyHeader),
    responses((status = 204, description = "There is none.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn remove(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
) -> Result<StatusCode, Problem> {
    let id = intent.command(&who, "remove-avatar", "");
    let command = Command::People(PeopleCommand::SetAvatar { image: None });
    call::command(&edge, &who, id, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the picture of an account, where its profile is shown and has one.
#[utoipa::path(get, path = "/v1/users/{user}/avatar", operation_id = "getAvatar", tag = "users",
    params(("user" = UserId, Path)),
    responses(
        (status = 200, description = "The picture.", content((Vec<u8> = "image/webp"))),
        (status = 304, description = "The client has it."),
    ),
    security((), ("bearer" = [])))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
    ApiPath(user): ApiPath<UserId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caching = if who.is_some() { PRIVATE } else { PUBLIC };
    let reader = who.map(|who| who.user);
    let row = call::read(&edge, ReadRequest::PublicProfile { user, reader }).await?;
    let none = || Problem::new(Code::NotFound, "the account shows no picture");
    let avatar = row.get("avatar").cloned().ok_or_else(none)?;
    let avatar: BlobHash =
        serde_json::from_value(avatar).map_err(|error| Problem::internal(&error))?;
    let tag = format!("\"{avatar}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let mut response = if known.is_some_and(|known| names_tag(known, &tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = fetch(&edge, avatar).await?;
        ([(header::CONTENT_TYPE, "image/webp")], bytes).into_response()
    };
    let all = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        all.insert(header::ETAG, tag);
    }
    all.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    all.insert(header::VARY, HeaderValue::from_static("Authorization"));
    all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
