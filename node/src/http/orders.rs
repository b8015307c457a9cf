//! Orders of the account, and what its two parties do with them.
//!
//! Private texts (addresses, messages, reasons) go to the cluster as they were typed, over its own
//! connection; the member that takes them seals them. Read next: `issues.rs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fairground_market::{IssueEligibilityRow, MessageList, OrderRow, TrackingRow};
use fairground_runtime::cursor::Paging;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiBytes, ApiJson, ApiPath, ApiQuery, Problem};
use fairground_types::command::{
    Carrier, Command, OrderCommand, PostalAddress, Review, SealedText, ShippingAddress,
};
use fairground_types::text::{TextError, TrackingNumber};
use fairground_types::{Code, CommandId, OrderId, limits};
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

/// What the buyer thinks of the piece.
#[derive(Deserialize, Default, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ConfirmRequest {
    /// 1 to 5.
    #[schema(minimum = 1, maximum = 5)]
    rating: Option<u8>,
    /// In words.
    #[schema(max_length = 10000)]
    text: Option<String>,
}

/// Why somebody wants out.
#[derive(Deserialize, Default, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CancelRequest {
    /// A maker must say.
    #[schema(max_length = 10000)]
    reason: Option<String>,
}

/// A message to the other party.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MessageRequest {
    #[schema(min_length = 1, max_length = 10000)]
    text: String,
}

/// The state of an order after a step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderChanged {
    order_id: OrderId,
    /// `awaitingShipment`, `inTransit`, `delivered`, `completed` or `cancelled`.
    state: Option<String>,
}

/// Which orders.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrdersQuery {
    /// Only those in which the account has this role.
    #[param(inline)]
    role: Option<PartyRole>,
    /// Only those in this state.
    #[param(inline)]
    status: Option<OrderStatus>,
    /// Where the page begins: `nextCursor` of the one before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// A side of an order.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PartyRole {
    Buyer,
    Maker,
}

/// States of an order.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OrderStatus {
    AwaitingShipment,
    InTransit,
    Delivered,
    Completed,
    Cancelled,
}

impl PartyRole {
    const fn name(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Maker => "maker",
        }
    }
}

impl OrderStatus {
    const fn name(self) -> &'static str {
        match self {
            Self::AwaitingShipment => "awaitingShipment",
            Self::InTransit => "inTransit",
            Self::Delivered => "delivered",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A text that only its readers may see.
pub(super) fn private(
    field: &'static str,
    text: &str,
    (min, max): (usize, usize),
) -> Result<SealedText, Problem> {
    SealedText::typed(text, min, max)
        .map_err(|error: TextError| Problem::invalid(field, error.to_string()))
}

/// The body where there is one: a step that needs no words may be taken without any.
fn if_any<T: serde::de::DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Problem::invalid("body", error.to_string()))
}

/// A page of orders, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderPage {
    #[schema(value_type = Vec<OrderRow>)]
    orders: Vec<Value>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// How a parcel is followed; nothing before there is one.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderTracking {
    order_id: OrderId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TrackingRow>)]
    tracking: Option<Value>,
}

/// How long a cursor counts.
const CURSOR_LIFE: fairground_types::Millis = fairground_types::Millis::from_mins(10);
const LIST: &str = "orders";

fn member<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Lists own orders, as buyer or maker.
#[utoipa::path(get, path = "/v1/orders", operation_id = "listOrders", tag = "orders",
    params(OrdersQuery),
    responses((status = 200, description = "The orders, newest first.", body = OrderPage)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["CURSOR_EXPIRED"]))))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiQuery(query): ApiQuery<OrdersQuery>,
) -> Result<Json<OrderPage>, Problem> {
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let now = edge.time.now();
    let after: Option<OrderId> = paging.position(&edge.cursors, LIST, now)?;
    let mut all = call::read(&edge, ReadRequest::MyOrders { user: who.user }).await?;
    let rows = all.get_mut("orders").and_then(Value::as_array_mut).map(std::mem::take);
    let mut rows = rows.unwrap_or_default();
    if let Some(after) = after.map(|order| order.to_string()) {
        let place = rows.iter().position(|row| member(row, "orderId") == after);
        let place = place.ok_or_else(|| {
            Problem::new(Code::CursorExpired, "this cursor does not count any more; begin again")
        })?;
        rows.drain(..=place);
    }
    rows.retain(|row| {
        query.role.is_none_or(|role| member(row, "role") == role.name())
            && query.status.is_none_or(|status| member(row, "state") == status.name())
    });
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().and_then(|row| member(row, "orderId").parse::<OrderId>().ok());
    let next_cursor =
        last.filter(|_| has_more).map(|last| edge.cursors.seal(LIST, &last, (now, CURSOR_LIFE)));
    Ok(Json(OrderPage { orders: rows, next_cursor }))
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
    (order, command): (OrderId, OrderCommand),
) -> Result<Json<OrderChanged>, Problem> {
    call::command(edge, who, id, Command::Order(command)).await?;
    let row = call::read(edge, ReadRequest::Order { user: who.user, order }).await?;
    let state = row.get("state").and_then(Value::as_str).map(str::to_owned);
    Ok(Json(OrderChanged { order_id: order, state }))
}

/// Says where the piece goes, for the buyer, until it is shipped.
#[utoipa::path(put, path = "/v1/orders/{order}/shipping-address",
    operation_id = "changeShippingAddress", tag = "orders",
    params(("order" = OrderId, Path), IdempotencyKeyHeader), request_body = PostalAddress,
    responses((status = 200, description = "It goes there.", body = OrderChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["ADDRESS_LOCKED", "ADDRESS_INVALID"]))))]
pub(crate) async fn change_address(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<PostalAddress>,
) -> Result<Json<OrderChanged>, Problem> {
    let text = serde_json::to_string(&body).map_err(|error| Problem::internal(&error))?;
    let sealed = SealedText::typed(&text, 1, limits::ADDRESS_TEXT_MAX)
        .map_err(|_| Problem::new(Code::AddressInvalid, "the address is too long"))?;
    let address = ShippingAddress { country: body.country, sealed };
    let id = intent.command(&who, "change-address", &order.to_string());
    change(&edge, &who, id, (order, OrderCommand::ChangeAddress { order, address })).await
}

/// Shows how the parcel is followed.
#[utoipa::path(get, path = "/v1/orders/{order}/tracking", operation_id = "getTracking",
    tag = "orders", params(("order" = OrderId, Path)),
    responses((status = 200, description = "The parcel.", body = OrderTracking)),
    security(("bearer" = [])))]
pub(crate) async fn tracking(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(order): ApiPath<OrderId>,
) -> Result<Json<OrderTracking>, Problem> {
    let row = call::read(&edge, ReadRequest::Order { user: who.user, order }).await?;
    Ok(Json(OrderTracking { order_id: order, tracking: row.get("tracking").cloned() }))
}

fn number_of(text: &str) -> Result<TrackingNumber, Problem> {
    TrackingNumber::parse(text).map_err(|error| {
        Problem::new(Code::TrackingInvalid, "the tracking number is not valid")
            .with_field("number", error.to_string())
    })
}

/// Tells how the parcel is followed, for the maker.
#[utoipa::path(post, path = "/v1/orders/{order}/tracking", operation_id = "addTracking",
    tag = "orders", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = TrackingRequest,
    responses((status = 200, description = "It is on its way.", body = OrderChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["TRACKING_INVALID", "ISSUE_OPEN", "CAPABILITY_REQUIRED"]))))]
pub(crate) async fn track(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<TrackingRequest>,
) -> Result<Json<OrderChanged>, Problem> {
    let number = number_of(&body.number)?;
    let id = intent.command(&who, "add-tracking", &order.to_string());
    let command = OrderCommand::AddTracking { order, carrier: body.carrier, number };
    change(&edge, &who, id, (order, command)).await
}

/// Corrects the number of a parcel, for the maker, until it is delivered.
#[utoipa::path(put, path = "/v1/orders/{order}/tracking", operation_id = "correctTracking",
    tag = "orders", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = TrackingRequest,
    responses((status = 200, description = "The parcel has this number.", body = OrderChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["TRACKING_INVALID", "LIMIT_REACHED", "CAPABILITY_REQUIRED"]))))]
pub(crate) async fn correct(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<TrackingRequest>,
) -> Result<Json<OrderChanged>, Problem> {
    let number = number_of(&body.number)?;
    let id = intent.command(&who, "correct-tracking", &order.to_string());
    let command = OrderCommand::CorrectTracking { order, carrier: body.carrier, number };
    change(&edge, &who, id, (order, command)).await
}

/// Cancels an order: the buyer of an overdue one, the maker of one that is not shipped.
#[utoipa::path(post, path = "/v1/orders/{order}/cancel", operation_id = "cancelOrder",
    tag = "orders", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = Option<CancelRequest>,
    responses((status = 200, description = "It is over, the money goes back.", body = OrderChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CANCEL_NOT_ALLOWED", "REASON_REQUIRED"]))))]
pub(crate) async fn cancel(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiBytes(body): ApiBytes,
) -> Result<Json<OrderChanged>, Problem> {
    let body: CancelRequest = if_any(&body)?;
    let bounds = (1, limits::ORDER_TEXT_MAX);
    let reason = body.reason.map(|text| private("reason", &text, bounds)).transpose()?;
    let id = intent.command(&who, "cancel-order", &order.to_string());
    change(&edge, &who, id, (order, OrderCommand::CancelOrder { order, reason })).await
}

/// Confirms that the parcel came, and later that all is well, for the buyer.
#[utoipa::path(post, path = "/v1/orders/{order}/confirm-delivery",
    operation_id = "confirmDelivery", tag = "orders",
    params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = Option<ConfirmRequest>,
    responses((status = 200, description = "The order's new state.", body = OrderChanged)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["ISSUE_OPEN"]))))]
pub(crate) async fn confirm(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiBytes(body): ApiBytes,
) -> Result<Json<OrderChanged>, Problem> {
    let body: ConfirmRequest = if_any(&body)?;
    let bounds = (1, limits::ORDER_TEXT_MAX);
    let text = body.text.map(|text| private("text", &text, bounds)).transpose()?;
    let has_review = body.rating.is_some() || text.is_some();
    let review = has_review.then_some(Review { rating: body.rating, text });
    let id = intent.command(&who, "confirm-delivery", &order.to_string());
    change(&edge, &who, id, (order, OrderCommand::ConfirmDelivery { order, review })).await
}

/// Says whether, and about what, the buyer may complain now.
#[utoipa::path(get, path = "/v1/orders/{order}/issue-eligibility",
    operation_id = "getIssueEligibility", tag = "orders", params(("order" = OrderId, Path)),
    responses((status = 200, description = "What is possible.", body = IssueEligibilityRow)),
    security(("bearer" = [])))]
pub(crate) async fn eligibility(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(order): ApiPath<OrderId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::IssueEligibility { user: who.user, order }).await.map(Json)
}

/// Shows what the two parties wrote to each other.
#[utoipa::path(get, path = "/v1/orders/{order}/messages", operation_id = "listOrderMessages",
    tag = "orders", params(("order" = OrderId, Path)),
    responses((status = 200, description = "The thread, oldest first.", body = MessageList)),
    security(("bearer" = [])))]
pub(crate) async fn messages(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(order): ApiPath<OrderId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::OrderMessages { user: who.user, order }).await.map(Json)
}

/// Writes to the other party.
#[utoipa::path(post, path = "/v1/orders/{order}/messages", operation_id = "postOrderMessage",
    tag = "orders", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = MessageRequest,
    responses((status = 200, description = "It was taken.", body = OrderChanged)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["LIMIT_REACHED"]))))]
pub(crate) async fn post_message(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<MessageRequest>,
) -> Result<Json<OrderChanged>, Problem> {
    let text = private("text", &body.text, (1, limits::ORDER_TEXT_MAX))?;
    let id = intent.command(&who, "order-message", &order.to_string());
    change(&edge, &who, id, (order, OrderCommand::PostMessage { order, text })).await
}
