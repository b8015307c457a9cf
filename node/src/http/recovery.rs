//! A way back into an account: the cluster's to make, send and judge.
//!
//! It must not log or keep addresses or tokens. Read next: `sign_in.rs`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::text::{normalise_email, normalise_phone};
use fairground_wire::message::{ForwardRequest, PrivateText};
use serde::Deserialize;

use super::auth::Origin;
use super::call;
use super::sign_in::{CodeRequested, Tokens, bounded, private};
use crate::edge::Edge;

/// Characters of what a client calls itself that are passed on.
const AGENT_MAX: usize = 256;

/// Whose account.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecoveryRequest {
    /// The account's mail address or telephone number.
    #[schema(min_length = 1, max_length = 512)]
    identifier: String,
}

/// What was sent.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecoveryToken {
    #[schema(min_length = 1, max_length = 512)]
    token: String,
}

/// Sends a way back; the answer is the same whether the address is known or not.
#[utoipa::path(post, path = "/v1/auth/recovery/send", operation_id = "sendRecovery", tag = "auth",
    request_body = RecoveryRequest,
    responses((status = 200, description = "It is on its way.", body = CodeRequested)),
    extensions(("x-codes" = json!(["ACCOUNT_LOCKED", "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn send(
    State(edge): State<Arc<Edge>>,
    Origin(origin): Origin,
    headers: HeaderMap,
    ApiJson(body): ApiJson<RecoveryRequest>,
) -> Result<Response, Problem> {
    let typed = &body.identifier;
    if normalise_email(typed).is_none() && normalise_phone(typed).is_none() {
        return Err(Problem::invalid("identifier", "is no address"));
    }
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let agent: String = agent.unwrap_or_default().chars().take(AGENT_MAX).collect();
    let identifier = bounded("identifier", body.identifier)?;
    let agent = PrivateText::new(agent);
    let request = ForwardRequest::RequestRecovery { identifier, origin, agent };
    private::<CodeRequested>(&edge, &request).await
}

/// Takes a way back: signs in here, and signs out everywhere else.
#[utoipa::path(post, path = "/v1/auth/recovery/verify", operation_id = "takeRecovery", tag = "auth",
    request_body = RecoveryToken,
    responses((status = 200, description = "Signed in.", body = Tokens)),
    extensions(("x-codes" = json!(["TOKEN_EXPIRED", "ACCOUNT_LOCKED", "LIMIT_REACHED",
        "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn verify(
    State(edge): State<Arc<Edge>>,
    ApiJson(body): ApiJson<RecoveryToken>,
) -> Result<Response, Problem> {
    let token = bounded("token", body.token)?;
    private::<Tokens>(&edge, &ForwardRequest::RedeemRecovery { token }).await
}

/// Says that somebody else asked: the way back counts no more.
#[utoipa::path(post, path = "/v1/auth/recovery/deny", operation_id = "denyRecovery", tag = "auth",
    request_body = RecoveryToken,
    responses((status = 204, description = "It counts no more.")),
    extensions(("x-codes" = json!(["TOKEN_EXPIRED", "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn deny(
    State(edge): State<Arc<Edge>>,
    ApiJson(body): ApiJson<RecoveryToken>,
) -> Result<StatusCode, Problem> {
    let token = bounded("token", body.token)?;
    call::document(&edge, &ForwardRequest::DenyRecovery { token }).await?;
    Ok(StatusCode::NO_CONTENT)
}
