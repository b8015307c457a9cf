//! The account that is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fairground_market::MeRow;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::command::{AccountCommand, Command};
use fairground_types::text::Handle;
use fairground_types::{Role, UserId};
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// A public name.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HandleChange {
    handle: Handle,
}

/// The public name of an account.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HandleChanged {
    user_id: UserId,
    handle: Handle,
}

/// The duties of an account.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Roles {
    roles: Vec<Role>,
}

/// Shows the account that is signed in.
#[utoipa::path(get, path = "/v1/users/me", operation_id = "getMe", tag = "users",
    responses((status = 200, description = "The account.", body = MeRow)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn me(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Me { user: who.user }).await.map(Json)
}

/// Takes a public name.
#[utoipa::path(put, path = "/v1/users/me/handle", operation_id = "setHandle", tag = "users",
    params(IdempotencyKeyHeader), request_body = HandleChange,
    responses((status = 200, description = "The name is taken.", body = HandleChanged)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["HANDLE_TAKEN", "NOT_FOUND"]))))]
pub(crate) async fn set_handle(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<HandleChange>,
) -> Result<Json<HandleChanged>, Problem> {
    let id = intent.command(&who, "set-handle", &who.user.to_string());
    let command = Command::Account(AccountCommand::SetHandle { handle: body.handle.clone() });
    call::command(&edge, &who, id, command).await?;
    Ok(Json(HandleChanged { user_id: who.user, handle: body.handle }))
}

/// Becomes a maker, where that is open.
#[utoipa::path(post, path = "/v1/users/me/maker", operation_id = "becomeMaker", tag = "users",
    params(IdempotencyKeyHeader),
    responses((status = 200, description = "The account's duties.", body = Roles)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn become_maker(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
) -> Result<Json<Roles>, Problem> {
    let id = intent.command(&who, "become-maker", &who.user.to_string());
    call::command(&edge, &who, id, Command::Account(AccountCommand::BecomeMaker)).await?;
    roles(&edge, who.user).await.map(Json)
}

/// Whether an account is a maker now. A token that was made before it became one does not know.
pub(crate) async fn is_maker(edge: &Edge, who: &SignedIn) -> Result<bool, Problem> {
    if who.had(Role::Maker) {
        return Ok(true);
    }
    Ok(roles(edge, who.user).await?.roles.contains(&Role::Maker))
}

async fn roles(edge: &Edge, user: UserId) -> Result<Roles, Problem> {
    call::typed(edge, &ForwardRequest::Read(ReadRequest::Me { user })).await
}
