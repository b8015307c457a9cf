//! What an account says about itself, and what everybody may see of it.
//!
//! Texts go to the cluster as they were typed, over its own connection; a member seals them. Read next:
//! `avatar.rs` for the picture, `people.rs`, `fairground_types::command::ProfileText`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use fairground_market::{ProfileRow, PublicProfileRow};
use fairground_runtime::openapi::{IdempotencyKeyHeader, IfMatchHeader};
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_runtime::version::{self, IfMatch};
use fairground_types::UserId;
use fairground_types::command::{Command, PeopleCommand, ProfileText, SealedText, SetProfile};
use fairground_types::limits::PROFILE_TEXT_MAX;
use fairground_wire::message::ReadRequest;
use serde::Deserialize;
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

type Tagged = ([(header::HeaderName, HeaderValue); 1], Json<Value>);

async fn own(edge: &Edge, who: &SignedIn) -> Result<Tagged, Problem> {
    let row = call::read(edge, ReadRequest::Profile { user: who.user }).await?;
    let version = row.get("version").and_then(Value::as_u64).unwrap_or(0);
    Ok(([(header::ETAG, version::tag(version))], Json(row)))
}

/// Shows what the account says about itself.
#[utoipa::path(get, path = "/v1/users/me/profile", operation_id = "getProfile", tag = "users",
    responses((status = 200, description = "The profile.", body = ProfileRow)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<impl IntoResponse, Problem> {
    own(&edge, &who).await
}

/// A profile, whole.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProfileBody {
    /// The version that was changed, where `If-Match` does not say it; 0 for never set.
    #[serde(default)]
    base_version: Option<u64>,
    profile: ProfileText,
}

/// Says what the account says about itself, whole.
#[utoipa::path(put, path = "/v1/users/me/profile", operation_id = "setProfile", tag = "users",
    params(IdempotencyKeyHeader, IfMatchHeader), request_body = ProfileBody,
    responses((status = 200, description = "The profile now.", body = ProfileRow)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["VERSION_CONFLICT", "NOT_FOUND"]))))]
pub(crate) async fn set(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    seen: IfMatch,
    ApiJson(body): ApiJson<ProfileBody>,
) -> Result<impl IntoResponse, Problem> {
    let base_version = seen.or("baseVersion", body.base_version)?;
    let zone = body.profile.time_zone.as_ref();
    if zone.is_some_and(|zone| !fairground_runtime::zone::is_known(zone.as_str())) {
        return Err(Problem::invalid("profile.timeZone", "no such time zone"));
    }
    let text = serde_json::to_string(&body.profile).map_err(|error| Problem::internal(&error))?;
    let sealed = SealedText::typed(&text, 1, PROFILE_TEXT_MAX)
        .map_err(|error| Problem::invalid("profile", error.to_string()))?;
    let id = intent.command(&who, "set-profile", "");
    let command = PeopleCommand::SetProfile(SetProfile { base_version, sealed });
    call::command(&edge, &who, id, Command::People(command))
        .await
        .map_err(|problem| seen.explain(problem))?;
    own(&edge, &who).await
}

/// Shows what everybody may see of an account; nothing of one that hides it or blocks the reader.
#[utoipa::path(get, path = "/v1/users/{user}/public-profile", operation_id = "getPublicProfile",
    tag = "users", params(("user" = UserId, Path)),
    responses((status = 200, description = "The profile.", body = PublicProfileRow)),
    security((), ("bearer" = [])))]
pub(crate) async fn public(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
    ApiPath(user): ApiPath<UserId>,
) -> Result<Json<Value>, Problem> {
    let reader = who.map(|who| who.user);
    call::read(&edge, ReadRequest::PublicProfile { user, reader }).await.map(Json)
}
