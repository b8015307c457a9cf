//! Answers of whoever checks people: verified on raw bytes, committed, then answered.
//!
//! ```text
//!  POST /v1/webhooks/verification/{task}   Fairground-Signature: hex HMAC-SHA256 of
//!  {"outcome": "passed"}                         the task's id, a point, the body
//! ```
//! The normal form of a source that the operator runs. The task is part of what is signed, so that an
//! answer to one check is none to another. Off unless a secret is set. Read next: `people/capability.rs`
//! of the market.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use fairground_runtime::problem::{ApiBytes, ApiPath, Problem};
use fairground_runtime::secret::{equal, mac_hex};
use fairground_types::command::{Command, CompleteTask, PeopleCommand, TaskOutcome};
use fairground_types::limits::BLOCKERS_MAX;
use fairground_types::people::Blocker;
use fairground_types::{Code, CommandId, Digest, TaskId, Verdict};
use serde::Deserialize;

use super::Api;
use super::answer::{propose_problem, rejected};

const SIGNATURE: &str = "fairground-signature";

/// How a check stands.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum CheckOutcome {
    /// It is being looked at.
    Pending,
    /// Passed.
    Passed,
    /// Not passed; `blockers` say why.
    Failed,
}

/// What a check came to.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CheckAnswer {
    outcome: CheckOutcome,
    /// Why it was not passed.
    #[serde(default)]
    #[schema(max_items = 8)]
    blockers: Vec<Blocker>,
}

/// Takes the answer to a check that a capability waits for.
#[utoipa::path(post, path = "/v1/webhooks/verification/{task}",
    operation_id = "completeCapabilityTask", tag = "webhooks",
    params(("task" = TaskId, Path), ("Fairground-Signature" = String, Header)),
    request_body = CheckAnswer,
    responses((status = 200, description = "Kept.")),
    extensions(("x-codes" = json!(["SIGNATURE_INVALID", "FEATURE_DISABLED",
        "COORDINATOR_UNAVAILABLE"]))))]
pub(super) async fn complete(
    State(api): State<Arc<Api>>,
    ApiPath(task): ApiPath<TaskId>,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<StatusCode, Problem> {
    let Some(secret) = &api.webhooks.verification else {
        return Err(Problem::new(Code::FeatureDisabled, "checks are not listened to here"));
    };
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let signed = [format!("{task}.").as_bytes(), &body].concat();
    let expected = mac_hex(secret.expose().trim().as_bytes(), &signed);
    if !equal(signature.trim().to_ascii_lowercase().as_bytes(), expected.as_bytes()) {
        return Err(Problem::new(Code::SignatureInvalid, "the signature does not fit"));
    }
    let answer: CheckAnswer = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid("body", error.to_string()))?;
    if answer.blockers.len() > BLOCKERS_MAX {
        return Err(Problem::invalid("blockers", "too many"));
    }
    let outcome = match answer.outcome {
        CheckOutcome::Pending => TaskOutcome::Pending,
        CheckOutcome::Passed => TaskOutcome::Passed,
        CheckOutcome::Failed => TaskOutcome::Failed { blockers: answer.blockers },
    };
    // The same answer again is the same command; another one is another.
    let digest = Digest::of(&body).to_string();
    let id = CommandId::derive_system("capability task", &task.to_string(), &digest);
    let command = Command::People(PeopleCommand::CompleteTask(CompleteTask { task, outcome }));
    let judged = api.member.command(id, command).await.map_err(propose_problem)?;
    match &judged.verdict {
        Verdict::Accepted(_) => Ok(StatusCode::OK),
        Verdict::Rejected(rejection) => Err(rejected(&api.member, rejection)),
    }
}
