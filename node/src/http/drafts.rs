//! A story's way from draft to listing and away: every step is the cluster's to decide.
//!
//! Read next: `fairground_market`'s stories for the rules.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fairground_market::{StoryStatusRow, VersionDiff, VersionList};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, StoryCommand};
use fairground_types::text::{Note, ZoneName};
use fairground_types::{Accepted, Code, StoryId, Timestamp};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// Where a story stands after a step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoryMoved {
    story_id: StoryId,
    /// `draft`, `submitted`, `rejected`, `approved`, `scheduled`, `listed`, `live`, `sold`,
    /// `takenDown` or `archived`.
    state: String,
}

/// What a maker says when handing a story to review.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Submission {
    /// The piece is own work and may be sold.
    attestation: bool,
}

/// When a story is to be listed.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Schedule {
    publish_at: Timestamp,
    /// The zone in which that time was chosen, such as `Europe/Berlin`; kept for display.
    timezone: ZoneName,
}

/// Why.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Reason {
    reason: String,
}

/// What a maker says against a takedown.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Appeal {
    text: Note,
}

/// A version that was made of an earlier one.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RolledBack {
    story_id: StoryId,
    version: u64,
}

async fn step(
    edge: &Edge,
    (who, intent): (&SignedIn, &Intent),
    (operation, story): (&str, StoryId),
    command: StoryCommand,
) -> Result<Json<StoryMoved>, Problem> {
    let id = intent.command(who, operation, &story.to_string());
    call::command(edge, who, id, Command::Story(command)).await?;
    let row = call::read(edge, ReadRequest::Story { user: who.user, story }).await?;
    let state = row.get("state").and_then(Value::as_str).map(str::to_owned);
    let state = state.ok_or_else(call::wrong_kind)?;
    Ok(Json(StoryMoved { story_id: story, state }))
}

/// Submits a story for review.
#[utoipa::path(post, path = "/v1/stories/{story}/submit", operation_id = "submitStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader), request_body = Submission,
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["STORY_INCOMPLETE", "CAPABILITY_REQUIRED", "RESUBMIT_LIMIT", "LIMIT_REACHED"]))))]
pub(crate) async fn submit(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<Submission>,
) -> Result<Json<StoryMoved>, Problem> {
    let command = StoryCommand::SubmitStory { story, attested: body.attestation };
    step(&edge, (&who, &intent), ("submit", story), command).await
}

/// Submits a refused story again; at most three times.
#[utoipa::path(post, path = "/v1/stories/{story}/resubmit", operation_id = "resubmitStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader), request_body = Submission,
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["STORY_INCOMPLETE", "CAPABILITY_REQUIRED", "RESUBMIT_LIMIT", "LIMIT_REACHED"]))))]
pub(crate) async fn resubmit(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<Submission>,
) -> Result<Json<StoryMoved>, Problem> {
    let command = StoryCommand::SubmitStory { story, attested: body.attestation };
    step(&edge, (&who, &intent), ("resubmit", story), command).await
}

/// Takes a story, or an edit of it, back from review.
#[utoipa::path(post, path = "/v1/stories/{story}/withdraw-review", operation_id = "withdrawStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED"]))))]
pub(crate) async fn withdraw(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<StoryMoved>, Problem> {
    let command = StoryCommand::WithdrawStory { story };
    step(&edge, (&who, &intent), ("withdraw-review", story), command).await
}

/// Lists an approved story.
#[utoipa::path(post, path = "/v1/stories/{story}/publish", operation_id = "publishStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED", "STORY_INCOMPLETE"]))))]
pub(crate) async fn publish(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<StoryMoved>, Problem> {
    let command = StoryCommand::PublishStory { story };
    step(&edge, (&who, &intent), ("publish", story), command).await
}

/// Plans when an approved story is listed.
#[utoipa::path(post, path = "/v1/stories/{story}/schedule", operation_id = "scheduleStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader), request_body = Schedule,
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED", "STORY_INCOMPLETE"]))))]
pub(crate) async fn schedule(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<Schedule>,
) -> Result<Json<StoryMoved>, Problem> {
    let command =
        StoryCommand::ScheduleStory { story, publish_at: body.publish_at, zone: body.timezone };
    step(&edge, (&who, &intent), ("schedule", story), command).await
}

/// Takes such a plan back.
#[utoipa::path(post, path = "/v1/stories/{story}/unschedule", operation_id = "unscheduleStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED"]))))]
pub(crate) async fn unschedule(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<StoryMoved>, Problem> {
    let command = StoryCommand::UnscheduleStory { story };
    step(&edge, (&who, &intent), ("unschedule", story), command).await
}

/// Puts a story away.
#[utoipa::path(post, path = "/v1/stories/{story}/archive", operation_id = "archiveStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["AUCTION_ACTIVE"]))))]
pub(crate) async fn archive(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<StoryMoved>, Problem> {
    let command = StoryCommand::ArchiveStory { story };
    step(&edge, (&who, &intent), ("archive", story), command).await
}

/// Asks moderators to look at a takedown again, once, within 14 days.
#[utoipa::path(post, path = "/v1/stories/{story}/appeal", operation_id = "appealTakedown",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader), request_body = Appeal,
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn appeal(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<Appeal>,
) -> Result<Json<StoryMoved>, Problem> {
    let command = StoryCommand::AppealTakedown { story, text: body.text };
    step(&edge, (&who, &intent), ("appeal", story), command).await
}

/// Tells where a story stands and what it still lacks.
#[utoipa::path(get, path = "/v1/stories/{story}/status", operation_id = "getStoryStatus",
    tag = "stories", params(("story" = StoryId, Path)),
    responses((status = 200, description = "Where it stands.", body = StoryStatusRow)),
    security(("bearer" = [])))]
pub(crate) async fn status(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::StoryStatus { user: who.user, story }).await.map(Json)
}

/// Lists the frozen versions of a story, newest first.
#[utoipa::path(get, path = "/v1/stories/{story}/versions", operation_id = "listStoryVersions",
    tag = "stories", params(("story" = StoryId, Path)),
    responses((status = 200, description = "The versions.", body = VersionList)),
    security(("bearer" = [])))]
pub(crate) async fn versions(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::StoryVersions { user: who.user, story }).await.map(Json)
}

/// Tells what differs between two versions.
#[utoipa::path(get, path = "/v1/stories/{story}/versions/{from}/diff/{to}",
    operation_id = "compareStoryVersions", tag = "stories",
    params(("story" = StoryId, Path), ("from" = u64, Path), ("to" = u64, Path)),
    responses((status = 200, description = "What differs.", body = VersionDiff)),
    security(("bearer" = [])))]
pub(crate) async fn diff(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath((story, from, to)): ApiPath<(StoryId, u64, u64)>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::StoryDiff { user: who.user, story, from, to }).await.map(Json)
}

/// Makes an earlier version of a listed story the newest one.
#[utoipa::path(post, path = "/v1/stories/{story}/rollback/{version}",
    operation_id = "rollBackStory", tag = "stories",
    params(("story" = StoryId, Path), ("version" = u64, Path), IdempotencyKeyHeader),
    request_body = Reason,
    responses((status = 200, description = "The new version.", body = RolledBack)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "EDIT_LOCKED", "LIMIT_REACHED"]))))]
pub(crate) async fn roll_back(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath((story, version)): ApiPath<(StoryId, u64)>,
    ApiJson(body): ApiJson<Reason>,
) -> Result<Json<RolledBack>, Problem> {
    let reason = Note::parse(&body.reason).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })?;
    let id = intent.command(&who, "rollback", &format!("{story} {version}"));
    let command = Command::Story(StoryCommand::RollBackStory { story, version, reason });
    match call::command(&edge, &who, id, command).await? {
        Accepted::StorySaved { story, version } => {
            Ok(Json(RolledBack { story_id: story, version }))
        }
        _ => Err(call::wrong_kind()),
    }
}
