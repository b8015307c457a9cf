//! What staff does about orders and issues.
//!
//! Reads need a duty with the right; decisions go through the market, which checks again. Private
//! texts of the parties are opened for whoever looks after issues. Read next: `crate::private`.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use fairground_market::IssueRow;
use fairground_media::sniff::picture;
use fairground_runtime::cursor::Paging;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_types::command::{Command, Decision, IssueCommand, OrderCommand, Party};
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{Accepted, BlobHash, Code, Currency, IssueId, Money, OrderId, UserId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::admin::OrderPage;
use super::answer::{fresh, submit};
use super::guard::{Caller, IntentKey};
use crate::private;

/// Why something is done.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReasonBody {
    reason: String,
}

/// Who looks after an issue.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AssignBody {
    /// Whoever asks when absent.
    assignee: Option<UserId>,
    reason: String,
}

/// Who is asked what.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AskBody {
    party: Party,
    /// The question; both parties read it.
    reason: String,
}

/// How an issue ends.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum DecisionName {
    FullRefund,
    PartialRefund,
    Replacement,
    NoAction,
}

/// A decision.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ResolveBody {
    decision: DecisionName,
    /// How much goes back, of a partial refund.
    amount_minor: Option<u64>,
    currency: Option<Currency>,
    /// Both parties read it.
    reason: String,
}

/// An order after a step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderStep {
    order_id: OrderId,
    state: Option<&'static str>,
}

/// An issue after a step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssueStep {
    issue_id: IssueId,
    state: Option<&'static str>,
    /// Whether another person must give the same decision.
    awaits_approval: bool,
}

fn reason(text: &str) -> Result<Note, Problem> {
    Note::parse(text).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })
}

async fn order_step(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    operation: &'static str,
    (order, command): (OrderId, OrderCommand),
) -> Result<Response, Problem> {
    let id = caller.command(api, key, operation, &order.to_string())?;
    submit(&api.member, caller.actor()?, id, Command::Order(command)).await?;
    let state = api.member.state.read(|market| market.order(order).map(|row| row.state().name()));
    Ok(fresh(OrderStep { order_id: order, state }))
}

async fn issue_step(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    operation: &'static str,
    (issue, command): (IssueId, IssueCommand),
) -> Result<Response, Problem> {
    let id = caller.command(api, key, operation, &issue.to_string())?;
    let accepted = submit(&api.member, caller.actor()?, id, Command::Issue(command)).await?;
    let awaits_approval = matches!(accepted, Accepted::IssueChanged { awaits_approval: true, .. });
    let state = api.member.state.read(|market| market.issue(issue).map(|row| row.state().name()));
    Ok(fresh(IssueStep { issue_id: issue, state, awaits_approval }))
}

/// Lists orders that stand still for long and wait for staff.
#[utoipa::path(get, path = "/v1/admin/orders/review", operation_id = "listOrdersToReview",
    tag = "orders", params(Paging),
    responses((status = 200, description = "The orders, longest first.", body = OrderPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn to_review(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let rows = api.member.state.read(fairground_market::Market::orders_to_review);
    let keyed = rows.into_iter().map(|row| (Reverse((row.paid_at, row.order_id)), row));
    let page = paging.page(keyed, api.pager("orders to review"))?;
    Ok(fresh(OrderPage { orders: page.rows, next_cursor: page.next }))
}

/// Ends an order; the money goes back.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/cancel", operation_id = "adminCancelOrder",
    tag = "orders", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "It is over.", body = OrderStep)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "ISSUE_OPEN"]))))]
pub(super) async fn cancel_order(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = OrderCommand::AdminCancelOrder { order, reason: reason(&body.reason)? };
    order_step(&api, (&caller, &key), "cancel-order", (order, command)).await
}

/// Says that the buyer has the piece.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/confirm-delivery",
    operation_id = "adminConfirmDelivery", tag = "orders",
    params(("order" = OrderId, Path), IdempotencyKeyHeader), request_body = ReasonBody,
    responses((status = 200, description = "It is delivered.", body = OrderStep)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn deliver_order(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = OrderCommand::AdminConfirmDelivery { order, reason: reason(&body.reason)? };
    order_step(&api, (&caller, &key), "deliver-order", (order, command)).await
}

/// Completes an order.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/complete",
    operation_id = "adminCompleteOrder", tag = "orders",
    params(("order" = OrderId, Path), IdempotencyKeyHeader), request_body = ReasonBody,
    responses((status = 200, description = "It is complete.", body = OrderStep)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "ISSUE_OPEN"]))))]
pub(super) async fn complete_order(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = OrderCommand::AdminCompleteOrder { order, reason: reason(&body.reason)? };
    order_step(&api, (&caller, &key), "complete-order", (order, command)).await
}

/// Lists issues that are not settled: those that went up first, then by age.
#[utoipa::path(get, path = "/v1/admin/issues", operation_id = "listIssues", tag = "issues",
    params(Paging),
    responses((status = 200, description = "The issues.", body = IssuePage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn issues(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::HandleIssue)?;
    let rows = api.member.state.read(fairground_market::Market::open_issues);
    let keyed = rows.into_iter().map(|row| {
        let is_escalated = row.state == "escalated";
        ((is_escalated, Reverse((row.opened_at, row.issue_id))), row)
    });
    let page = paging.page(keyed, api.pager("issues"))?;
    let open = |row| private::open_issue(&api.member, row);
    let issues = page.rows.into_iter().map(open).collect();
    Ok(fresh(IssuePage { issues, next_cursor: page.next }))
}

/// A page of issues.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssuePage {
    issues: Vec<IssueRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Shows an issue with the words of its parties.
#[utoipa::path(get, path = "/v1/admin/issues/{issue}", operation_id = "getIssueForStaff",
    tag = "issues", params(("issue" = IssueId, Path)),
    responses((status = 200, description = "The issue.", body = IssueRow)),
    security(("bearer" = []), ("adminKey" = [])), extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn issue(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath(issue): ApiPath<IssueId>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::HandleIssue)?;
    let row = api.member.state.read(|market| market.issue_for_staff(issue));
    let row = row.map(|row| private::open_issue(&api.member, row));
    row.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}

/// Shows a picture of an issue to staff.
#[utoipa::path(get, path = "/v1/admin/issues/{issue}/evidence/{image}",
    operation_id = "getEvidenceForStaff", tag = "issues",
    params(("issue" = IssueId, Path), ("image" = BlobHash, Path)),
    responses((status = 200, description = "The picture.", content((Vec<u8> = "image/jpeg"),
        (Vec<u8> = "image/png"), (Vec<u8> = "image/webp")))),
    security(("bearer" = []), ("adminKey" = [])), extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn evidence(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath((issue, image)): ApiPath<(IssueId, BlobHash)>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::HandleIssue)?;
    let row = api.member.state.read(|market| market.issue_for_staff(issue));
    let is_shown = row.is_some_and(|row| row.evidence.iter().any(|one| one.image == Some(image)));
    let found = if is_shown { api.member.blobs.picture(image).await } else { None };
    let bytes = found.ok_or_else(|| Problem::from(Code::NotFound))?;
    let kind = picture(&bytes).ok_or_else(|| Problem::from(Code::NotFound))?;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "private, no-store"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ];
    Ok((headers, bytes).into_response())
}

/// Takes an issue on, or gives it to somebody.
#[utoipa::path(post, path = "/v1/admin/issues/{issue}/assign", operation_id = "assignIssue",
    tag = "issues", params(("issue" = IssueId, Path), IdempotencyKeyHeader),
    request_body = AssignBody,
    responses((status = 200, description = "It is looked after.", body = IssueStep)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn assign(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(issue): ApiPath<IssueId>,
    ApiJson(body): ApiJson<AssignBody>,
) -> Result<Response, Problem> {
    let reason = reason(&body.reason)?;
    let command = IssueCommand::AssignIssue { issue, assignee: body.assignee, reason };
    issue_step(&api, (&caller, &key), "assign-issue", (issue, command)).await
}

/// Asks a party.
#[utoipa::path(post, path = "/v1/admin/issues/{issue}/request-info",
    operation_id = "requestIssueInfo", tag = "issues",
    params(("issue" = IssueId, Path), IdempotencyKeyHeader), request_body = AskBody,
    responses((status = 200, description = "The party has 48 hours.", body = IssueStep)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn request_info(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(issue): ApiPath<IssueId>,
    ApiJson(body): ApiJson<AskBody>,
) -> Result<Response, Problem> {
    let reason = reason(&body.reason)?;
    let command = IssueCommand::RequestAnswer { issue, party: body.party, reason };
    issue_step(&api, (&caller, &key), "ask-issue", (issue, command)).await
}

/// Decides an issue. A refund above 500.00 needs the same decision of a second person.
#[utoipa::path(post, path = "/v1/admin/issues/{issue}/resolve", operation_id = "resolveIssue",
    tag = "issues", params(("issue" = IssueId, Path), IdempotencyKeyHeader),
    request_body = ResolveBody,
    responses((status = 200, description = "It is settled, or waits for a second person.",
        body = IssueStep)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "SECOND_APPROVER_REQUIRED",
        "CURRENCY_MISMATCH", "AMOUNT_OUT_OF_RANGE"]))))]
pub(super) async fn resolve(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(issue): ApiPath<IssueId>,
    ApiJson(body): ApiJson<ResolveBody>,
) -> Result<Response, Problem> {
    let reason = reason(&body.reason)?;
    let decision = match (body.decision, body.amount_minor, body.currency) {
        (DecisionName::PartialRefund, Some(minor), Some(currency)) => {
            Decision::PartialRefund { amount: Money::new(minor, currency) }
        }
        (DecisionName::PartialRefund, _, _) => {
            return Err(Problem::invalid("amountMinor", "say how much, with its currency"));
        }
        (_, Some(_), _) | (_, _, Some(_)) => {
            return Err(Problem::invalid("amountMinor", "belongs to a partial refund"));
        }
        (DecisionName::FullRefund, None, None) => Decision::FullRefund,
        (DecisionName::Replacement, None, None) => Decision::Replacement,
        (DecisionName::NoAction, None, None) => Decision::NoAction,
    };
    let command = IssueCommand::DecideIssue { issue, decision, reason };
    issue_step(&api, (&caller, &key), "resolve-issue", (issue, command)).await
}
