//! Addresses that an account keeps for its orders.
//!
//! They go to the cluster as they were typed, over its own connection; a member seals them. Read next:
//! `fairground_types::command::PostalAddress`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fairground_market::AddressList;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, PeopleCommand, PostalAddress, SaveAddress, SealedText};
use fairground_types::limits::ADDRESS_TEXT_MAX;
use fairground_types::{AddressId, Code, CommandId};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;
use crate::intake::derived_bits;

/// An address to keep.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AddressBody {
    address: PostalAddress,
    /// Whether it is the one that is taken when none is named; the first always is.
    #[serde(default)]
    is_default: bool,
}

/// An address by itself.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressKept {
    address_id: AddressId,
}

async fn save(
    edge: &Edge,
    who: &SignedIn,
    id: CommandId,
    (address, is_change): (AddressId, bool),
    body: AddressBody,
) -> Result<Json<AddressKept>, Problem> {
    let text = serde_json::to_string(&body.address).map_err(|error| Problem::internal(&error))?;
    let sealed = SealedText::typed(&text, 1, ADDRESS_TEXT_MAX)
        .map_err(|_| Problem::new(Code::AddressInvalid, "the address is too long"))?;
    let save = SaveAddress { address, is_change, sealed, is_default: body.is_default };
    let command = Command::People(PeopleCommand::SaveAddress(save));
    call::command(edge, who, id, command).await?;
    Ok(Json(AddressKept { address_id: address }))
}

/// Lists the addresses that the account keeps.
#[utoipa::path(get, path = "/v1/users/me/addresses", operation_id = "listAddresses", tag = "users",
    responses((status = 200, description = "The addresses.", body = AddressList)),
    security(("bearer" = [])))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Addresses { user: who.user }).await.map(Json)
}

/// Keeps one address more, of 20.
#[utoipa::path(post, path = "/v1/users/me/addresses", operation_id = "addAddress", tag = "users",
    params(IdempotencyKeyHeader), request_body = AddressBody,
    responses((status = 200, description = "It is kept.", body = AddressKept)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["ADDRESS_INVALID", "LIMIT_REACHED", "NOT_FOUND"]))))]
pub(crate) async fn add(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<AddressBody>,
) -> Result<Json<AddressKept>, Problem> {
    let id = intent.command(&who, "add-address", "");
    let address = AddressId::from_bits(derived_bits("fairground 2026 address id v1", &id));
    save(&edge, &who, id, (address, false), body).await
}

/// Changes an address, whole.
#[utoipa::path(put, path = "/v1/users/me/addresses/{address}", operation_id = "changeAddress",
    tag = "users", params(("address" = AddressId, Path), IdempotencyKeyHeader),
    request_body = AddressBody,
    responses((status = 200, description = "It is changed.", body = AddressKept)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["ADDRESS_INVALID"]))))]
pub(crate) async fn change(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(address): ApiPath<AddressId>,
    ApiJson(body): ApiJson<AddressBody>,
) -> Result<Json<AddressKept>, Problem> {
    let id = intent.command(&who, "change-address", &address.to_string());
    save(&edge, &who, id, (address, true), body).await
}

/// Keeps an address no longer.
#[utoipa::path(delete, path = "/v1/users/me/addresses/{address}", operation_id = "removeAddress",
    tag = "users", params(("address" = AddressId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It is gone.")), security(("bearer" = [])))]
pub(crate) async fn remove(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(address): ApiPath<AddressId>,
) -> Result<StatusCode, Problem> {
    let id = intent.command(&who, "remove-address", &address.to_string());
    let command = Command::People(PeopleCommand::RemoveAddress { address });
    call::command(&edge, &who, id, command).await?;
    Ok(StatusCode::NO_CONTENT)
}
