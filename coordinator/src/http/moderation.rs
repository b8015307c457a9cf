//! Moderation: what waits for a person, and what people decide about stories.
//!
//! Reading the queue needs the duty; every write goes through the market, which checks again and
//! wants a reason. Read next: `fairground_market`'s stories.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use fairground_market::{QueueRow, StoryStatusRow, VersionDiff, VersionList};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, ReviewDecision, StoryCommand, TakeDown, TakedownGround};
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{Code, StoryId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::guard::{Caller, IntentKey};

/// Rows of the queue that are answered at a time.
const QUEUE_MAX: usize = 200;

/// What waits for a person, the most urgent first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModerationQueue {
    items: Vec<QueueRow>,
    /// How many wait in all.
    waiting: u64,
}

/// What is decided.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    /// It may be shown.
    Approve,
    /// It may not.
    Reject,
    /// What people reported is unfounded.
    DismissReports,
}

/// A decision about a story.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Decision {
    decision: Verdict,
    /// Required for anything but an approval; shown to the maker.
    #[serde(default)]
    notes: Option<String>,
}

/// A story to be hidden.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TakedownBody {
    story_id: StoryId,
    reason_code: TakedownGround,
    /// Shown to the maker.
    reason: String,
    /// Whether it counts against the maker.
    #[serde(default)]
    strike: bool,
}

/// Why.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReasonBody {
    reason: String,
}

fn reason_of(text: &str) -> Result<Note, Problem> {
    Note::parse(text).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })
}

fn status_of(api: &Api, story: StoryId) -> Result<Response, Problem> {
    let status = api.member.state.read(|market| market.story_status(story));
    status.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}

async fn decide(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    (operation, story): (&str, StoryId),
    command: StoryCommand,
) -> Result<Response, Problem> {
    let id = caller.command(api, key, operation, &story.to_string())?;
    submit(&api.member, caller.actor()?, id, Command::Story(command)).await?;
    status_of(api, story)
}

/// What waits for a moderator: flagged first, then by severity, then by age.
#[utoipa::path(get, path = "/v1/admin/moderation/queue", operation_id = "getModerationQueue",
    tag = "moderation",
    responses((status = 200, description = "What waits.", body = ModerationQueue)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn queue(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    let mut items = api.member.state.read(fairground_market::Market::moderation_queue);
    let waiting = u64::try_from(items.len()).unwrap_or(u64::MAX);
    items.truncate(QUEUE_MAX);
    Ok(fresh(ModerationQueue { items, waiting }))
}

/// Where a story stands.
#[utoipa::path(get, path = "/v1/admin/moderation/{story}", operation_id = "getModeratedStory",
    tag = "moderation", params(("story" = StoryId, Path)),
    responses((status = 200, description = "Where it stands.", body = StoryStatusRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn story(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    status_of(&api, story)
}

/// Decides about a story that waits.
#[utoipa::path(post, path = "/v1/admin/moderation/{story}/decision", operation_id = "decideStory",
    tag = "moderation", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    request_body = Decision,
    responses((status = 200, description = "Where it stands.", body = StoryStatusRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["NOTES_REQUIRED"]))))]
pub(super) async fn decision(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<Decision>,
) -> Result<Response, Problem> {
    let notes = || {
        Note::parse(body.notes.as_deref().unwrap_or_default()).map_err(|error| {
            Problem::new(Code::NotesRequired, "this decision needs notes")
                .with_field("notes", error.to_string())
        })
    };
    let command = match body.decision {
        Verdict::Approve => StoryCommand::ReviewStory { story, decision: ReviewDecision::Approve },
        Verdict::Reject => StoryCommand::ReviewStory {
            story,
            decision: ReviewDecision::Reject { notes: notes()? },
        },
        Verdict::DismissReports => StoryCommand::DismissReports { story, reason: notes()? },
    };
    decide(&api, (&caller, &key), ("decision", story), command).await
}

/// Hides a story everywhere.
#[utoipa::path(post, path = "/v1/admin/takedowns", operation_id = "takeDownStory",
    tag = "moderation", params(IdempotencyKeyHeader), request_body = TakedownBody,
    responses((status = 200, description = "Where it stands.", body = StoryStatusRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "NOT_FOUND"]))))]
pub(super) async fn take_down(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<TakedownBody>,
) -> Result<Response, Problem> {
    let story = body.story_id;
    let takedown = TakeDown {
        story,
        ground: body.reason_code,
        reason: reason_of(&body.reason)?,
        is_strike: body.strike,
    };
    let command = StoryCommand::TakeDownStory(takedown);
    decide(&api, (&caller, &key), ("takedown", story), command).await
}

/// Shows a story again.
#[utoipa::path(post, path = "/v1/admin/takedowns/{story}/restore", operation_id = "restoreStory",
    tag = "moderation", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "Where it stands.", body = StoryStatusRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn restore(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = StoryCommand::RestoreStory { story, reason: reason_of(&body.reason)? };
    decide(&api, (&caller, &key), ("restore", story), command).await
}

/// The frozen versions of a story, newest first.
#[utoipa::path(get, path = "/v1/admin/stories/{story}/versions",
    operation_id = "listVersionsForReview", tag = "moderation",
    params(("story" = StoryId, Path)),
    responses((status = 200, description = "The versions.", body = VersionList)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn versions(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    let versions = api.member.state.read(|market| market.story_versions(story));
    versions.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}

/// What differs between two versions.
#[utoipa::path(get, path = "/v1/admin/stories/{story}/versions/{from}/diff/{to}",
    operation_id = "compareVersionsForReview", tag = "moderation",
    params(("story" = StoryId, Path), ("from" = u64, Path), ("to" = u64, Path)),
    responses((status = 200, description = "What differs.", body = VersionDiff)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn diff(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath((story, from, to)): ApiPath<(StoryId, u64, u64)>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    let diff = api.member.state.read(|market| market.story_diff(story, from, to));
    diff.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}

/// Goes back to an earlier version, in place of the maker.
#[utoipa::path(post, path = "/v1/admin/stories/{story}/rollback/{version}",
    operation_id = "rollBackStoryAsAdmin", tag = "moderation",
    params(("story" = StoryId, Path), ("version" = u64, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "Where it stands.", body = StoryStatusRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "EDIT_LOCKED", "LIMIT_REACHED"]))))]
pub(super) async fn roll_back(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath((story, version)): ApiPath<(StoryId, u64)>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = StoryCommand::RollBackStory { story, version, reason: reason_of(&body.reason)? };
    decide(&api, (&caller, &key), ("rollback", story), command).await
}
