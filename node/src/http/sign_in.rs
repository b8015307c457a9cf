//! Signing in by a one-time code, and out again: the cluster's to say, passed on.
//!
//! It must not log or keep addresses, codes or tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::CommandId;
use fairground_types::command::{AccountCommand, Channel, Command};
use fairground_types::text::{normalise_email, normalise_phone};
use fairground_wire::message::{ForwardRequest, PrivateText};
use serde::Deserialize;

use super::auth::SignedIn;
use super::call;
use crate::edge::Edge;

/// Characters of an address, a code or a refresh token at most.
const TEXT_MAX: usize = 512;

/// Where a code goes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CodeRequest {
    identifier: String,
    channel: Channel,
}

/// A code that was typed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CodeTyped {
    identifier: String,
    code: String,
}

/// A refresh token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefreshRequest {
    refresh_token: String,
}

fn bounded(field: &str, text: String) -> Result<PrivateText, Problem> {
    if text.is_empty() || text.len() > TEXT_MAX {
        return Err(Problem::invalid(field, "is empty or too long"));
    }
    Ok(PrivateText::new(text))
}

/// An answer that no cache may keep.
async fn private(edge: &Edge, request: &ForwardRequest) -> Result<Response, Problem> {
    let mut response = Json(call::document(edge, request).await?).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

/// `POST /v1/auth/otp/request`
pub(crate) async fn request_code(
    State(edge): State<Arc<Edge>>,
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
    private(&edge, &ForwardRequest::RequestCode { identifier, channel: body.channel }).await
}

/// `POST /v1/auth/otp/verify`
pub(crate) async fn verify_code(
    State(edge): State<Arc<Edge>>,
    ApiJson(body): ApiJson<CodeTyped>,
) -> Result<Response, Problem> {
    let identifier = bounded("identifier", body.identifier)?;
    let code = bounded("code", body.code)?;
    private(&edge, &ForwardRequest::VerifyCode { identifier, code }).await
}

/// `POST /v1/auth/refresh`
pub(crate) async fn refresh(
    State(edge): State<Arc<Edge>>,
    ApiJson(body): ApiJson<RefreshRequest>,
) -> Result<Response, Problem> {
    let refresh_token = bounded("refreshToken", body.refresh_token)?;
    private(&edge, &ForwardRequest::Refresh { refresh_token }).await
}

/// `POST /v1/auth/logout`
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
