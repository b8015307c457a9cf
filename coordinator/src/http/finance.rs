//! What finance sees and decides: refunds, payouts, holds, chargebacks, the ledger, dead letters.
//!
//! Reads need the right to read the market, decisions go through the market, which checks duty and
//! state again. Every decision carries a reason. Read next: `fairground_market`'s treasury.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fairground_market::{ChargeRow, DeadLetterRow, DisputeRow, HoldRow, LedgerList, RefundRow};
use fairground_runtime::cursor::Paging;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem, WHOLE_NUMBER_MAX};
use fairground_types::command::{
    Command, FinanceCommand, HoldDecision, RefundDecision, WindowChange,
};
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{
    Accepted, Code, Currency, EffectId, LogIndex, Millis, Money, OrderId, RefundId, SaleLockId,
};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::guard::{Caller, IntentKey};

fn reason_of(text: &str) -> Result<Note, Problem> {
    Note::parse(text).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })
}

/// What was decided about.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Decided {
    /// Its id.
    id: String,
    /// Whether a second person must approve first.
    awaits_approval: bool,
}

/// A decision about money: its name and target make the intent.
async fn decide(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    (operation, target): (&str, String),
    command: FinanceCommand,
) -> Result<Response, Problem> {
    let id = caller.command(api, key, operation, &target)?;
    let made = submit(&api.member, caller.actor()?, id, Command::Finance(command)).await?;
    let decided = match made {
        Accepted::Refunded { refund, awaits_approval } => {
            Decided { id: refund.to_string(), awaits_approval }
        }
        _ => Decided { id: target, awaits_approval: false },
    };
    Ok(fresh(decided))
}

/// Body with nothing but a reason.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReasonBody {
    reason: String,
}

/// A page of refunds, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefundPage {
    refunds: Vec<RefundRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which refunds.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RefundsQuery {
    /// `proposed`, `pending`, `succeeded`, `failed` or `cancelled`.
    state: Option<String>,
    /// Rows of one page. Default 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    #[param(max_length = 1024)]
    cursor: Option<String>,
}

/// Lists refunds, newest first.
#[utoipa::path(get, path = "/v1/admin/refunds", operation_id = "listRefunds", tag = "finance",
    params(RefundsQuery),
    responses((status = 200, description = "The refunds.", body = RefundPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "VALIDATION_FAILED", "CURSOR_EXPIRED"]))))]
pub(super) async fn refunds(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<RefundsQuery>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let known = ["proposed", "pending", "succeeded", "failed", "cancelled"];
    if query.state.as_deref().is_some_and(|state| !known.contains(&state)) {
        return Err(Problem::invalid("state", "is not a state of refunds"));
    }
    let rows = api.member.state.read(|market| market.refund_rows(query.state.as_deref()));
    let keyed = rows.into_iter().map(|row| ((row.asked_at, row.refund_id), row));
    let list = format!("refunds {}", query.state.as_deref().unwrap_or_default());
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let page = paging.page(keyed, api.pager(&list))?;
    Ok(fresh(RefundPage { refunds: page.rows, next_cursor: page.next }))
}

/// Body of a refund that is asked for.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RefundBody {
    amount_minor: u64,
    currency: Currency,
    reason: String,
}

/// Asks for a refund; a large one waits for a second person.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/refunds", operation_id = "proposeRefund",
    tag = "finance", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = RefundBody,
    responses((status = 200, description = "It is on its way, or proposed.", body = Decided)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "CURRENCY_MISMATCH", "AMOUNT_OUT_OF_RANGE",
        "LIMIT_REACHED"]))))]
pub(super) async fn propose_refund(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<RefundBody>,
) -> Result<Response, Problem> {
    caller.account()?;
    let amount = Money::new(body.amount_minor, body.currency);
    let reason = reason_of(&body.reason)?;
    let command = FinanceCommand::ProposeRefund { order, amount, reason };
    decide(&api, (&caller, &key), ("propose-refund", order.to_string()), command).await
}

/// Body of a decision about a refund.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RefundDecisionBody {
    decision: RefundDecision,
    reason: String,
}

/// Approves, rejects, retries or cancels a refund.
#[utoipa::path(post, path = "/v1/admin/refunds/{refund}/decision", operation_id = "decideRefund",
    tag = "finance", params(("refund" = RefundId, Path), IdempotencyKeyHeader),
    request_body = RefundDecisionBody,
    responses((status = 200, description = "It is decided.", body = Decided)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "SECOND_APPROVER_REQUIRED"]))))]
pub(super) async fn decide_refund(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(refund): ApiPath<RefundId>,
    ApiJson(body): ApiJson<RefundDecisionBody>,
) -> Result<Response, Problem> {
    caller.account()?;
    let reason = reason_of(&body.reason)?;
    let command = FinanceCommand::DecideRefund { refund, decision: body.decision, reason };
    decide(&api, (&caller, &key), ("decide-refund", refund.to_string()), command).await
}

/// A page of charges whose share has not left, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PayoutPage {
    payouts: Vec<ChargeRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists charges whose share has not left, newest first.
#[utoipa::path(get, path = "/v1/admin/payouts", operation_id = "listPayouts", tag = "finance",
    params(Paging),
    responses((status = 200, description = "The charges.", body = PayoutPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn payouts(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let rows = api.member.state.read(|market| market.payouts_waiting());
    let keyed = rows.into_iter().map(|row| ((row.paid_at, row.order_id), row));
    let page = paging.page(keyed, api.pager("payouts"))?;
    Ok(fresh(PayoutPage { payouts: page.rows, next_cursor: page.next }))
}

/// What becomes of a payout.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum PayoutDecision {
    /// It is kept back.
    Hold,
    /// It may go.
    Unhold,
    /// A failed one is tried again.
    Retry,
}

/// Body of a decision about a payout.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PayoutBody {
    decision: PayoutDecision,
    reason: String,
}

/// Keeps a payout back, lets it go, or has it tried again.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/payout", operation_id = "decidePayout",
    tag = "finance", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = PayoutBody,
    responses((status = 200, description = "It is decided.", body = Decided)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn decide_payout(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<PayoutBody>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let (operation, command) = match body.decision {
        PayoutDecision::Hold => ("hold-payout", FinanceCommand::HoldPayout { order, reason }),
        PayoutDecision::Unhold => ("unhold-payout", FinanceCommand::UnholdPayout { order, reason }),
        PayoutDecision::Retry => ("retry-payout", FinanceCommand::RetryPayout { order, reason }),
    };
    decide(&api, (&caller, &key), (operation, order.to_string()), command).await
}

/// A page of payments that do not match, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HoldPage {
    holds: Vec<HoldRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists payments that do not match their sale lock, newest first.
#[utoipa::path(get, path = "/v1/admin/holds", operation_id = "listHolds", tag = "finance",
    params(Paging),
    responses((status = 200, description = "Those that wait for a decision.", body = HoldPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn holds(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let rows = api.member.state.read(|market| market.hold_rows());
    let keyed = rows.into_iter().map(|row| ((row.at, row.sale_lock_id, row.event.clone()), row));
    let page = paging.page(keyed, api.pager("holds"))?;
    Ok(fresh(HoldPage { holds: page.rows, next_cursor: page.next }))
}

/// Body of a decision about held money.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HoldBody {
    /// The provider's event that was held.
    event: String,
    decision: HoldDecision,
    reason: String,
}

/// Accepts held money as the price, or gives it back.
#[utoipa::path(post, path = "/v1/admin/sale-locks/{lock}/hold", operation_id = "resolveHold",
    tag = "finance", params(("lock" = SaleLockId, Path), IdempotencyKeyHeader),
    request_body = HoldBody,
    responses((status = 200, description = "It is decided.", body = Decided)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "CURRENCY_MISMATCH"]))))]
pub(super) async fn resolve_hold(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(lock): ApiPath<SaleLockId>,
    ApiJson(body): ApiJson<HoldBody>,
) -> Result<Response, Problem> {
    let command = FinanceCommand::ResolveHold {
        lock,
        event: body.event,
        decision: body.decision,
        new_order: OrderId::from_bits(api.member.new_bits()),
        reason: reason_of(&body.reason)?,
    };
    decide(&api, (&caller, &key), ("resolve-hold", lock.to_string()), command).await
}

/// What becomes of a payment window.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum WindowAction {
    /// It ends later.
    Extend,
    /// It ends now.
    Terminate,
}

/// Body of an override.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WindowBody {
    action: WindowAction,
    /// By how much, to extend.
    minutes: Option<u64>,
    reason: String,
}

/// Moves the end of a payment window.
#[utoipa::path(post, path = "/v1/payments/{payment}/window/override",
    operation_id = "overridePaymentWindow", tag = "finance",
    params(("payment" = SaleLockId, Path), IdempotencyKeyHeader), request_body = WindowBody,
    responses((status = 200, description = "It is moved.", body = Decided)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn override_window(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(lock): ApiPath<SaleLockId>,
    ApiJson(body): ApiJson<WindowBody>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let change = match (body.action, body.minutes) {
        (WindowAction::Extend, Some(minutes)) => {
            WindowChange::Extend { by: Millis::from_mins(minutes) }
        }
        (WindowAction::Extend, None) => {
            return Err(Problem::invalid("minutes", "is needed to extend"));
        }
        (WindowAction::Terminate, None) => WindowChange::Terminate,
        (WindowAction::Terminate, Some(_)) => {
            return Err(Problem::invalid("minutes", "has no meaning for an end now"));
        }
    };
    let command = FinanceCommand::OverrideWindow { lock, change, reason };
    decide(&api, (&caller, &key), ("override-window", lock.to_string()), command).await
}

/// A page of chargebacks, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChargebackPage {
    chargebacks: Vec<DisputeRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists chargebacks, newest first.
#[utoipa::path(get, path = "/v1/admin/chargebacks", operation_id = "listChargebacks",
    tag = "finance", params(Paging),
    responses((status = 200, description = "The chargebacks.", body = ChargebackPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn chargebacks(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let rows = api.member.state.read(|market| market.dispute_rows());
    let keyed = rows.into_iter().map(|row| ((row.opened_at, row.dispute_id), row));
    let page = paging.page(keyed, api.pager("chargebacks"))?;
    Ok(fresh(ChargebackPage { chargebacks: page.rows, next_cursor: page.next }))
}

/// A page of effects that failed for good, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetterPage {
    letters: Vec<DeadLetterRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists effects that failed for good, newest first.
#[utoipa::path(get, path = "/v1/admin/dlq", operation_id = "listDeadLetters", tag = "finance",
    params(Paging),
    responses((status = 200, description = "The dead letters.", body = DeadLetterPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn dead_letters(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let rows = api.member.state.read(|market| market.dead_letter_rows());
    let keyed = rows.into_iter().map(|row| ((row.failed_at, row.effect_id), row));
    let page = paging.page(keyed, api.pager("dead_letters"))?;
    Ok(fresh(DeadLetterPage { letters: page.rows, next_cursor: page.next }))
}

/// Has a dead letter tried again.
#[utoipa::path(post, path = "/v1/admin/dlq/{effect}/replay", operation_id = "replayDeadLetter",
    tag = "finance", params(("effect" = EffectId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "It is tried again.", body = Decided)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn replay(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(effect): ApiPath<EffectId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = FinanceCommand::ReplayEffect { effect, reason: reason_of(&body.reason)? };
    decide(&api, (&caller, &key), ("replay", effect.to_string()), command).await
}

/// In which form.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum LedgerFormat {
    Json,
    Csv,
}

/// Which part of the ledger.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LedgerQuery {
    /// Lines after this entry of the log; 0 from the beginning.
    after: Option<LogIndex>,
    /// `json` when absent.
    #[param(inline)]
    format: Option<LedgerFormat>,
}

/// Exports the ledger, oldest first, a page at a time.
#[utoipa::path(get, path = "/v1/admin/ledger", operation_id = "exportLedger", tag = "finance",
    params(LedgerQuery),
    responses((status = 200, description = "Lines of the ledger.", content(
        (LedgerList = "application/json"), (String = "text/csv")))),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn ledger(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<LedgerQuery>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let after = query.after.unwrap_or_default();
    if after.0 > WHOLE_NUMBER_MAX {
        return Err(Problem::invalid("after", "is no entry of a log"));
    }
    let page = api.member.state.read(|market| market.ledger_lines(after));
    if query.format != Some(LedgerFormat::Csv) {
        return Ok(fresh(page));
    }
    use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
    let head = [(CONTENT_TYPE, "text/csv; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    Ok((head, csv(&page)).into_response())
}

/// RFC 4180; no field of the ledger holds a line break.
fn csv(page: &LedgerList) -> String {
    let mut text = "logIndex,at,cause,account,side,amountMinor,currency\r\n".to_owned();
    for line in &page.lines {
        let side = match line.side {
            fairground_market::Side::Debit => "debit",
            fairground_market::Side::Credit => "credit",
        };
        let cause = line.cause.replace('"', "\"\"");
        let (minor, currency) = (line.amount.minor(), line.amount.currency());
        text.push_str(&format!(
            "{},{},\"{cause}\",{},{side},{minor},{currency}\r\n",
            line.log_index.0, line.at, line.account
        ));
    }
    text
}
