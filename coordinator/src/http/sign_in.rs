//! Signing in at the console: the same calls as at an edge.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::Response;
use fairground_market::MeRow;
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::Code;
use fairground_types::command::{AccountCommand, Actor, Channel, Command};
use serde::Deserialize;

use super::Api;
use super::answer::{auth_problem, forwarded, fresh, submit};
use super::guard::Caller;
use crate::auth::{self, CodeRequested, Tokens};
use crate::edge::forward::request_code_here;

/// Body of a request for a code.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RequestCodeBody {
    identifier: String,
    channel: Channel,
}

/// Body that redeems a code.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VerifyCodeBody {
    identifier: String,
    code: String,
}

/// Body of a refresh.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RefreshBody {
    refresh_token: String,
}

fn limit(api: &Api, peer: SocketAddr) -> Result<(), Problem> {
    let now = api.member.clock.monotonic();
    api.sign_in_rate
        .check(&peer.ip(), now)
        .map_err(|wait| Problem::from(Code::RateLimited).with_retry_after(wait))
}

/// Sends a one-time code; the answer is the same whether the address is known or not.
#[utoipa::path(post, path = "/v1/auth/otp/request", operation_id = "requestCode", tag = "auth",
    request_body = RequestCodeBody,
    responses((status = 200, description = "A code is on its way.", body = CodeRequested)),
    extensions(("x-codes" = json!(["ACCOUNT_LOCKED", "COORDINATOR_UNAVAILABLE"]))))]
pub(super) async fn request_code(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    ApiJson(body): ApiJson<RequestCodeBody>,
) -> Result<Response, Problem> {
    limit(&api, peer)?;
    let peer = peer.ip().to_canonical();
    // A proxy of the operator asks for many; it has limits of its own.
    let origin = (!peer.is_loopback()).then(|| peer.to_string());
    let (member, channel) = (&api.member, body.channel);
    let response = request_code_here(member, &body.identifier, channel, origin.as_deref()).await;
    Ok(forwarded(&api.member, response))
}

/// Redeems a one-time code.
#[utoipa::path(post, path = "/v1/auth/otp/verify", operation_id = "verifyCode", tag = "auth",
    request_body = VerifyCodeBody,
    responses((status = 200, description = "Signed in.", body = Tokens)),
    extensions(("x-codes" = json!(["OTP_INVALID", "OTP_EXPIRED", "ACCOUNT_LOCKED", "LIMIT_REACHED", "COORDINATOR_UNAVAILABLE"]))))]
pub(super) async fn verify_code(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    ApiJson(body): ApiJson<VerifyCodeBody>,
) -> Result<Response, Problem> {
    limit(&api, peer)?;
    let tokens = auth::verify_code(&api.member, &body.identifier, &body.code).await;
    Ok(fresh(tokens.map_err(|error| auth_problem(&api.member, error))?))
}

/// Exchanges a refresh token.
#[utoipa::path(post, path = "/v1/auth/refresh", operation_id = "refresh", tag = "auth",
    request_body = RefreshBody,
    responses((status = 200, description = "The next pair.", body = Tokens)),
    extensions(("x-codes" = json!(["AUTH_REQUIRED", "TOKEN_EXPIRED", "TOKEN_REUSED", "SESSION_REVOKED", "COORDINATOR_UNAVAILABLE"]))))]
pub(super) async fn refresh(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    ApiJson(body): ApiJson<RefreshBody>,
) -> Result<Response, Problem> {
    limit(&api, peer)?;
    let tokens = auth::refresh(&api.member, &body.refresh_token).await;
    Ok(fresh(tokens.map_err(|error| auth_problem(&api.member, error))?))
}

/// Ends the sign-in of the token shown.
#[utoipa::path(post, path = "/v1/auth/logout", operation_id = "signOut", tag = "auth",
    responses((status = 204, description = "Signed out.")),
    security(("bearer" = [])))]
pub(super) async fn logout(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let (user, sign_in) = caller.account()?;
    let command = Command::Account(AccountCommand::SignOut { sign_in });
    submit(&api.member, Actor::User(user), api.member.new_command("logout"), command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The account of the token shown.
#[utoipa::path(get, path = "/v1/users/me", operation_id = "getMe", tag = "users",
    responses((status = 200, description = "The account.", body = MeRow)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(super) async fn me(State(api): State<Arc<Api>>, caller: Caller) -> Result<Response, Problem> {
    let (user, _) = caller.account()?;
    let row = api.member.state.read(|market| market.me(user));
    row.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}
