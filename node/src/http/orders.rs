//! Orders of the account, and what its two parties do with them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fairground_market::{OrderList, OrderRow};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Carrier, Command, OrderCommand};
use fairground_types::text::TrackingNumber;
use fairground_types::{Code, CommandId, OrderId};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// How a parcel is followed. The number is parsed apart: a wrong one has a code of its own.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TrackingRequest {
    carrier: Carrier,
    number: String,
}

/// The state of an order after a step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderChanged {
    order_id: OrderId,
    /// `awaitingShipment`, `inTransit`, `delivered` or `completed`.
    state: Option<String>,
}

/// Lists own orders, as buyer or maker.
#[utoipa::path(get, path = "/v1/orders", operation_id = "listOrders", tag = "orders",
    responses((status = 200, description = "The orders.", body = OrderList)),
    security(("bearer" = [])))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::MyOrders { user: who.user }).await.map(Json)
}

/// Shows an own order.
#[utoipa::path(get, path = "/v1/orders/{order}", operation_id = "getOrder", tag = "orders",
    params(("order" = OrderId, Path)),
    responses((status = 200, description = "The order.", body = OrderRow)),
    security(("bearer" = [])))]
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
) -> Result<Json<OrderChanged>, Problem> {
    call::command(edge, who, id, command).await?;
    let row = call::read(edge, ReadRequest::Order { user: who.user, order }).await?;
    let state = row.get("state").and_then(Value::as_str).map(str::to_owned);
    Ok(Json(OrderChanged { order_id: order, state }))
}

/// Tells how the parcel is followed, for the maker.
#[utoipa::path(post, path = "/v1/orders/{order}/tracking", operation_id = "addTracking",
    tag = "orders", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = TrackingRequest,
    responses((status = 200, description = "It is on its way.", body = OrderChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["TRACKING_INVALID", "ISSUE_OPEN"]))))]
pub(crate) async fn track(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<TrackingRequest>,
) -> Result<Json<OrderChanged>, Problem> {
    let number = TrackingNumber::parse(&body.number).map_err(|error| {
        Problem::new(Code::TrackingInvalid, "the tracking number is not valid")
            .with_field("number", error.to_string())
    })?;
    let id = intent.command(&who, "add-tracking", &order.to_string());
    let command =
        Command::Order(OrderCommand::AddTracking { order, carrier: body.carrier, number });
    change(&edge, &who, id, (order, command)).await
}

/// Confirms that the parcel came, for the buyer.
#[utoipa::path(post, path = "/v1/orders/{order}/confirm-delivery",
    operation_id = "confirmDelivery", tag = "orders",
    params(("order" = OrderId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "The order's new state.", body = OrderChanged)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["ISSUE_OPEN"]))))]
pub(crate) async fn confirm(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
) -> Result<Json<OrderChanged>, Problem> {
    let id = intent.command(&who, "confirm-delivery", &order.to_string());
    change(&edge, &who, id, (order, Command::Order(OrderCommand::ConfirmDelivery { order }))).await
}
