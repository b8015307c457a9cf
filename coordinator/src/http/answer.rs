//! From verdicts to answers: one place maps what the market or the proposer said to problem+json.

use axum::Json;
use axum::response::{IntoResponse, Response};
use fairground_runtime::problem::Problem;
use fairground_types::command::{Actor, Command, Envelope};
use fairground_types::{Accepted, Code, CommandId, Millis, Rejection, Verdict};
use fairground_wire::message::ForwardResponse;

use crate::auth::AuthError;
use crate::member::Member;
use crate::propose::ProposeError;

/// No verdict: the cluster cannot be reached, or did not say in time.
pub(super) fn propose_problem(error: ProposeError) -> Problem {
    match error {
        ProposeError::Unavailable => {
            Problem::new(Code::CoordinatorUnavailable, "no leader with a quorum answers")
                .with_retry_after(Millis::new(500))
        }
        ProposeError::Unknown => {
            Problem::new(Code::UpstreamTimeout, "whether it happened is not known yet")
                .with_retry_after(Millis::new(500))
        }
        ProposeError::TooLarge => {
            Problem::new(Code::BodyTooLarge, "the command is larger than an entry may be")
        }
    }
}

/// What the market said no to.
pub(super) fn rejected(member: &Member, rejection: &Rejection) -> Problem {
    Problem::from_rejection(rejection, member.now())
}

/// What sign-in said no to.
pub(super) fn auth_problem(member: &Member, error: AuthError) -> Problem {
    match error {
        AuthError::Rejected(rejection) => rejected(member, &rejection),
        AuthError::Propose(error) => propose_problem(error),
        AuthError::Internal => Problem::from(Code::Internal),
    }
}

/// Puts a command into the log and gives what it made, or the refusal.
pub(super) async fn submit(
    member: &Member,
    actor: Actor,
    id: CommandId,
    command: Command,
) -> Result<Accepted, Problem> {
    let judged =
        member.proposer.submit(Envelope { id, actor, command }).await.map_err(propose_problem)?;
    match judged.verdict {
        Verdict::Accepted(accepted) => Ok(accepted),
        Verdict::Rejected(rejection) => {
            Err(rejected(member, &rejection).with("logIndex", judged.index))
        }
    }
}

/// An answer that another member may have given.
pub(super) fn forwarded(member: &Member, response: ForwardResponse) -> Response {
    match response {
        ForwardResponse::Json(bytes) => private_json(bytes),
        ForwardResponse::Tokens(bytes) => private_json(bytes.expose().to_vec()),
        ForwardResponse::Rejected(rejection) => rejected(member, &rejection).into_response(),
        ForwardResponse::Unavailable { retry_after } => {
            propose_problem(ProposeError::Unavailable).with_retry_after(retry_after).into_response()
        }
        ForwardResponse::Judged(_) => Problem::from(Code::Internal).into_response(),
    }
}

fn private_json(bytes: Vec<u8>) -> Response {
    use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], bytes).into_response()
}

/// A document that no cache may keep.
pub(super) fn fresh<T: serde::Serialize>(value: T) -> Response {
    ([(axum::http::header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}
