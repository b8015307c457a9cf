//! Signing in by a one-time code, and out again: the cluster's to say, passed on.
//!
//! It must not log or keep addresses, codes or tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::command::{AccountCommand, Channel, Command};
use fairground_types::text::{normalise_email, normalise_phone};
use fairground_types::{CommandId, Role, UserId};
use fairground_wire::message::{ForwardRequest, PrivateText};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::auth::{Origin, SignedIn};
use super::call;
use crate::edge::Edge;

/// Characters of an address, a code or a refresh token at most.
const TEXT_MAX: usize = 512;

/// Where a code goes.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CodeRequest {
    identifier: String,
    channel: Channel,
}

/// A code that was typed.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CodeTyped {
    identifier: String,
    code: String,
}

/// A refresh token.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    refresh_token: String,
}

/// What becomes of a request for a code; the same whether the address is known or not.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CodeRequested {
    /// How long a code counts.
    expires_in_ms: u64,
}

/// Who signed in.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedInUser {
    user_id: UserId,
    handle: Option<String>,
    roles: Vec<Role>,
}

/// Tokens of a sign-in.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// Exchanged once for the next pair.
    refresh_token: String,
    /// Life of the access token.
    expires_in_ms: u64,
    user: SignedInUser,
    /// Whether the account is new; absent after a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<bool>,
}

pub(crate) fn bounded(field: &str, text: String) -> Result<PrivateText, Problem> {
    if text.is_empty() || text.len() > TEXT_MAX {
        return Err(Problem::invalid(field, "is empty or too long"));
    }
    Ok(PrivateText::new(text))
}

/// An answer that no cache may keep.
pub(crate) async fn private<T: Serialize + DeserializeOwned>(
    edge: &Edge,
    request: &ForwardRequest,
) -> Result<Response, Problem> {
    let answer: T = call::typed(edge, request).await?;
    let mut response = Json(answer).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

/// Sends a one-time code.
#[utoipa::path(post, path = "/v1/auth/otp/request", operation_id = "requestCode", tag = "auth",
    request_body = CodeRequest,
    responses((status = 200, description = "A code is on its way.", body = CodeRequested)),
    extensions(("x-codes" = json!(["ACCOUNT_LOCKED", "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn request_code(
    State(edge): State<Arc<Edge>>,
    Origin(origin): Origin,
    ApiJson(body): ApiJson<CodeRequest>,
) -> Result<Response, Problem> {
    let is_one = match body.channel {
        Channel::Email => normalise_email(&body.identifier).is_some(),
        Channel::Sms => normalise_phone(&body.identifier).is_some(),
    };
    if !is_one {
        let detail = "is not an address of this channel";
        return Err(Problem::invalid("identifier", detail));
    }
    let identifier = bounded("identifier", body.identifier)?;
    let request = ForwardRequest::RequestCode { identifier, channel: body.channel, origin };
    private::<CodeRequested>(&edge, &request).await
}

/// Signs in with a one-time code.
#[utoipa::path(post, path = "/v1/auth/otp/verify", operation_id = "verifyCode", tag = "auth",
    request_body = CodeTyped,
    responses((status = 200, description = "Signed in.", body = Tokens)),
    extensions(("x-codes" = json!(["OTP_INVALID", "OTP_EXPIRED", "ACCOUNT_LOCKED",
        "LIMIT_REACHED", "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn verify_code(
    State(edge): State<Arc<Edge>>,
    ApiJson(body): ApiJson<CodeTyped>,
) -> Result<Response, Problem> {
    let identifier = bounded("identifier", body.identifier)?;
    let code = bounded("code", body.code)?;
    private::<Tokens>(&edge, &ForwardRequest::VerifyCode { identifier, code }).await
}

/// Exchanges a refresh token for the next pair.
#[utoipa::path(post, path = "/v1/auth/refresh", operation_id = "refresh", tag = "auth",
    request_body = RefreshRequest,
    responses((status = 200, description = "The next pair.", body = Tokens)),
    extensions(("x-codes" = json!(["AUTH_REQUIRED", "TOKEN_EXPIRED", "TOKEN_REUSED",
        "SESSION_REVOKED", "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn refresh(
    State(edge): State<Arc<Edge>>,
    ApiJson(body): ApiJson<RefreshRequest>,
) -> Result<Response, Problem> {
    let refresh_token = bounded("refreshToken", body.refresh_token)?;
    private::<Tokens>(&edge, &ForwardRequest::Refresh { refresh_token }).await
}

/// Ends the sign-in of the token shown.
#[utoipa::path(post, path = "/v1/auth/logout", operation_id = "signOut", tag = "auth",
    responses((status = 204, description = "Signed out.")), security(("bearer" = [])))]
pub(crate) async fn sign_out(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<StatusCode, Problem> {
    // Ending a sign-in twice is ending it: no key is asked of the client.
    let id = CommandId::derive(who.user, &who.sign_in.to_string(), "sign-out", "");
    call::command(
        &edge,
        &who,
        id,
        Command::Account(AccountCommand::SignOut { sign_in: who.sign_in }),
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
