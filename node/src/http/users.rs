//! The account that is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::Role;
use fairground_types::command::{AccountCommand, Command};
use fairground_types::text::Handle;
use fairground_wire::message::ReadRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// A public name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HandleChange {
    handle: Handle,
}

/// `GET /v1/users/me`
pub(crate) async fn me(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Me { user: who.user }).await.map(Json)
}

/// `PUT /v1/users/me/handle`
pub(crate) async fn set_handle(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<HandleChange>,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "set-handle", &who.user.to_string());
    let command = Command::Account(AccountCommand::SetHandle { handle: body.handle.clone() });
    call::command(&edge, &who, id, command).await?;
    Ok(Json(json!({ "userId": who.user, "handle": body.handle })))
}

/// `POST /v1/users/me/maker`
pub(crate) async fn become_maker(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "become-maker", &who.user.to_string());
    call::command(&edge, &who, id, Command::Account(AccountCommand::BecomeMaker)).await?;
    let me = call::read(&edge, ReadRequest::Me { user: who.user }).await?;
    Ok(Json(json!({ "roles": me.get("roles") })))
}

/// Whether an account is a maker now. A token that was made before it became one does not know.
pub(crate) async fn is_maker(edge: &Edge, who: &SignedIn) -> Result<bool, Problem> {
    if who.had(Role::Maker) {
        return Ok(true);
    }
    let me = call::read(edge, ReadRequest::Me { user: who.user }).await?;
    let roles: Vec<Role> = me
        .get("roles")
        .and_then(|roles| serde_json::from_value(roles.clone()).ok())
        .unwrap_or_default();
    Ok(roles.contains(&Role::Maker))
}
