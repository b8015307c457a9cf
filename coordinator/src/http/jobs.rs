//! Transcode jobs: how they go, and a failed one done again.
//!
//! It must not know who gets which job; that is the market's. Read next: `crate::progress`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use fairground_market::Market;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, MediaCommand};
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{AssetId, Code};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::guard::{Caller, IntentKey};
use crate::progress::{self, JobWithProgress};

/// Transcode jobs.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Jobs {
    jobs: Vec<JobWithProgress>,
}

/// Transcode jobs that are open, then those that failed, the newest clips first.
#[utoipa::path(get, path = "/v1/admin/jobs", operation_id = "listJobs", tag = "media",
    responses((status = 200, description = "The jobs.", body = Jobs)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let rows = api.member.state.read(Market::jobs);
    Ok(fresh(Jobs { jobs: progress::with_jobs(&api.member, rows).await }))
}

/// Body of a request to do a job again.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RequeueBody {
    reason: String,
}

/// Has a failed job done again, as if it had not been tried.
#[utoipa::path(post, path = "/v1/admin/jobs/{asset}/requeue", operation_id = "requeueJob", tag = "media",
    params(("asset" = AssetId, Path), IdempotencyKeyHeader),
    request_body = RequeueBody,
    responses((status = 200, description = "Where it stands.", body = JobWithProgress)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "INVALID_STATE"]))))]
pub(super) async fn requeue(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(asset): ApiPath<AssetId>,
    ApiJson(body): ApiJson<RequeueBody>,
) -> Result<Response, Problem> {
    let reason = Note::parse(&body.reason).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })?;
    let id = caller.command(&api, &key, "requeue-job", &asset.to_string())?;
    let command = Command::Media(MediaCommand::RequeueJob { asset, reason });
    submit(&api.member, caller.actor()?, id, command).await?;
    // Another member may have judged it. Without a quorum by now what is here is shown.
    let _ = api.member.linearize().await;
    let rows = api.member.state.read(|market| market.job(asset));
    let mut shown = progress::with_jobs(&api.member, rows.into_iter().collect()).await;
    shown.pop().map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}
