//! Orders of the account, and what its two parties do with them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Carrier, Command, OrderCommand};
use fairground_types::text::TrackingNumber;
use fairground_types::{Code, CommandId, OrderId};
use fairground_wire::message::ReadRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// How a parcel is followed. The number is parsed apart: a wrong one has a code of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TrackingRequest {
    carrier: Carrier,
    number: String,
}

/// `GET /v1/orders`
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::MyOrders { user: who.user }).await.map(Json)
}

/// `GET /v1/orders/{order}`
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(order): ApiPath<OrderId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Order { user: who.user, order }).await.map(Json)
}

async fn change(
    edge: &Edge,
    who: &SignedIn,
    id: CommandId,
    (order, command): (OrderId, Command),
) -> Result<Json<Value>, Problem> {
    call::command(edge, who, id, command).await?;
    let row = call::read(edge, ReadRequest::Order { user: who.user, order }).await?;
    Ok(Json(json!({ "orderId": order, "state": row.get("state") })))
}

/// `POST /v1/orders/{order}/tracking`
pub(crate) async fn track(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<TrackingRequest>,
) -> Result<Json<Value>, Problem> {
    let number = TrackingNumber::parse(&body.number).map_err(|error| {
        Problem::new(Code::TrackingInvalid, "the tracking number is not valid")
            .with_field("number", error.to_string())
    })?;
    let id = intent.command(&who, "add-tracking", &order.to_string());
    let command =
        Command::Order(OrderCommand::AddTracking { order, carrier: body.carrier, number });
    change(&edge, &who, id, (order, command)).await
}

/// `POST /v1/orders/{order}/confirm-delivery`
pub(crate) async fn confirm(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "confirm-delivery", &order.to_string());
    change(&edge, &who, id, (order, Command::Order(OrderCommand::ConfirmDelivery { order }))).await
}
