//! What a buyer has won and must pay: sale locks, and the checkout session of one.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fairground_market::{LockList, LockRow, PaymentRow, ReceiptRow, ReceiptWithLink};
use fairground_runtime::guard::origin_of as origin;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, FinanceCommand, PaymentCommand, StartCheckout};
use fairground_types::{Accepted, Code, SaleLockId};
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// How long a request waits for the payment provider's page.
const SESSION_WAIT: Duration = Duration::from_secs(10);
const LOOK_PERIOD: Duration = Duration::from_millis(150);
const URL_BYTES_MAX: usize = 2_048;
const TOKEN_BYTES_MAX: usize = 256;
/// Where buyers come back to on an edge.
const PURCHASES_PAGE: &str = "/#/purchases";

/// Where the buyer comes back to.
#[derive(Deserialize, Default, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CheckoutRequest {
    return_url: Option<String>,
    cancel_url: Option<String>,
}

/// A checkout that was begun.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckoutAnswer {
    sale_lock_id: SaleLockId,
    /// Which attempt, from 1.
    attempt: u32,
    /// Where the buyer pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// When that page ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Lists what the account has won and must pay.
#[utoipa::path(get, path = "/v1/users/me/payments", operation_id = "listPayments",
    tag = "payments", responses((status = 200, description = "The sale locks.", body = LockList)),
    security(("bearer" = [])))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::MyLocks { user: who.user }).await.map(Json)
}

/// An address that the buyer is sent to: on an edge of this cluster, so that a payment page cannot
/// be made to lead anywhere else.
fn url(field: &str, given: Option<String>, edges: &[String]) -> Result<Option<String>, Problem> {
    let Some(given) = given else { return Ok(None) };
    // Parsers disagree about a backslash: some take it for the end of the authority.
    let is_plain = given.len() <= URL_BYTES_MAX
        && given.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let Some(asked) = origin(&given).filter(|_| is_plain) else {
        return Err(Problem::invalid(field, "is not an absolute http address"));
    };
    let mut known = edges.iter().filter_map(|edge| origin(edge));
    if known.any(|known| known.eq_ignore_ascii_case(asked)) {
        Ok(Some(given))
    } else {
        Err(Problem::invalid(field, "is not on an edge of this cluster"))
    }
}

/// Shows a sale lock of the account.
#[utoipa::path(get, path = "/v1/sale-locks/{lock}", operation_id = "getSaleLock",
    tag = "payments", params(("lock" = SaleLockId, Path)),
    responses((status = 200, description = "The sale lock.", body = LockRow)),
    security(("bearer" = [])))]
pub(crate) async fn lock(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(lock): ApiPath<SaleLockId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Lock { user: who.user, lock }).await.map(Json)
}

/// Shows a payment to its buyer or its maker; its id is that of its sale lock.
#[utoipa::path(get, path = "/v1/payments/{payment}", operation_id = "getPayment",
    tag = "payments", params(("payment" = SaleLockId, Path)),
    responses((status = 200, description = "The payment.", body = PaymentRow)),
    security(("bearer" = [])))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(payment): ApiPath<SaleLockId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Payment { user: who.user, payment }).await.map(Json)
}

/// Shows the receipt of a payment, with a link that lives for a day.
#[utoipa::path(get, path = "/v1/payments/{payment}/receipt", operation_id = "getReceipt",
    tag = "payments", params(("payment" = SaleLockId, Path)),
    responses((status = 200, description = "The receipt.", body = ReceiptWithLink)),
    security(("bearer" = [])))]
pub(crate) async fn receipt(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(payment): ApiPath<SaleLockId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Receipt { user: who.user, payment }).await.map(Json)
}

/// Shows the receipt that a link names.
#[utoipa::path(get, path = "/v1/receipts/{token}", operation_id = "getReceiptByLink",
    tag = "payments", params(("token" = String, Path)),
    responses((status = 200, description = "The receipt.", body = ReceiptRow)),
    security(()),
    extensions(("x-codes" = json!(["LINK_EXPIRED", "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn receipt_by_link(
    State(edge): State<Arc<Edge>>,
    ApiPath(token): ApiPath<String>,
) -> Result<Json<Value>, Problem> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Problem::from(Code::NotFound));
    }
    call::read(&edge, ReadRequest::ReceiptLink { token }).await.map(Json)
}

/// Where the maker comes back to.
#[derive(Deserialize, Default, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PayoutLinkRequest {
    return_url: Option<String>,
}

/// A link to the payment provider's onboarding: good once, for minutes.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PayoutLink {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Makes a link to the payment provider's onboarding of the account.
#[utoipa::path(post, path = "/v1/capabilities/payout-link", operation_id = "createPayoutLink",
    tag = "payments", params(IdempotencyKeyHeader), request_body = PayoutLinkRequest,
    responses((status = 200, description = "The link.", body = PayoutLink)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["EXTERNAL_SERVICE_UNAVAILABLE", "FEATURE_DISABLED"]))))]
pub(crate) async fn payout_link(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<PayoutLinkRequest>,
) -> Result<Json<PayoutLink>, Problem> {
    let rows = edge.directory.rows(edge.status());
    let edges: Vec<String> = rows.into_iter().map(|row| row.public_url).collect();
    let page = || format!("{}{PURCHASES_PAGE}", edge.public_url);
    let return_url = url("returnUrl", body.return_url, &edges)?.unwrap_or_else(page);
    let id = intent.command(&who, "payout-account", "");
    let open = Command::Finance(FinanceCommand::OpenPayoutAccount);
    call::command(&edge, &who, id, open).await?;
    let refresh_url = return_url.clone();
    let request = ForwardRequest::PayoutLink { user: who.user, refresh_url, return_url };
    call::typed(&edge, &request).await.map(Json)
}

/// Begins a checkout.
#[utoipa::path(post, path = "/v1/sale-locks/{lock}/checkout", operation_id = "startCheckout",
    tag = "payments", params(("lock" = SaleLockId, Path), IdempotencyKeyHeader),
    request_body = CheckoutRequest,
    responses(
        (status = 200, description = "Where the buyer pays.", body = CheckoutAnswer),
        (status = 202, description = "Planned; the page follows in the list of payments.",
            body = CheckoutAnswer),
    ),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["SESSION_ACTIVE", "PAYMENT_TIMEOUT", "RETRY_EXHAUSTED",
        "RETRY_LATER", "CAPABILITY_REQUIRED", "EXTERNAL_SERVICE_UNAVAILABLE"]))))]
pub(crate) async fn checkout(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(lock): ApiPath<SaleLockId>,
    ApiJson(body): ApiJson<CheckoutRequest>,
) -> Result<(StatusCode, Json<CheckoutAnswer>), Problem> {
    let rows = edge.directory.rows(edge.status());
    let edges: Vec<String> = rows.into_iter().map(|row| row.public_url).collect();
    let page = || format!("{}{PURCHASES_PAGE}", edge.public_url);
    let start = StartCheckout {
        lock,
        return_url: url("returnUrl", body.return_url, &edges)?.unwrap_or_else(page),
        cancel_url: url("cancelUrl", body.cancel_url, &edges)?.unwrap_or_else(page),
    };
    let id = intent.command(&who, "checkout", &lock.to_string());
    let planned =
        call::command(&edge, &who, id, Command::Payment(PaymentCommand::StartCheckout(start)))
            .await?;
    let Accepted::CheckoutPlanned { attempt, .. } = planned else {
        return Err(call::wrong_kind());
    };
    let deadline = Instant::now() + SESSION_WAIT;
    loop {
        // A read that fails is tried again: the attempt is planned whatever becomes of this answer.
        let row = call::read(&edge, ReadRequest::Lock { user: who.user, lock }).await;
        if let Some(session) = row.ok().and_then(|row| session_of(&row, (lock, attempt))) {
            return Ok((StatusCode::OK, Json(session)));
        }
        if Instant::now() + LOOK_PERIOD >= deadline {
            let pending =
                CheckoutAnswer { sale_lock_id: lock, attempt, url: None, expires_at: None };
            return Ok((StatusCode::ACCEPTED, Json(pending)));
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

/// The page of an attempt, once the provider has made it.
fn session_of(row: &Value, (lock, attempt): (SaleLockId, u32)) -> Option<CheckoutAnswer> {
    let url = row.get("checkoutUrl")?.as_str()?;
    let newest = u32::try_from(row.get("attempt")?.as_u64()?).ok()?;
    if newest < attempt {
        return None;
    }
    let expires_at = row.get("checkoutExpiresAt").or_else(|| row.get("expiresAt"));
    Some(CheckoutAnswer {
        sale_lock_id: lock,
        attempt: newest,
        url: Some(url.to_owned()),
        expires_at: expires_at.and_then(Value::as_str).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_older_attempts_page_is_not_the_one_asked_for() {
        let row = json!({ "checkoutUrl": "https://pay.example/1", "attempt": 1, "expiresAt": "x" });
        let lock = SaleLockId::from_bits(1);
        assert!(session_of(&row, (lock, 2)).is_none());
        let session = session_of(&row, (lock, 1)).expect("open");
        assert_eq!(session.url.as_deref(), Some("https://pay.example/1"));
        assert!(session_of(&json!({ "attempt": 1 }), (lock, 1)).is_none());
    }

    #[test]
    fn buyers_come_back_to_edges_of_the_cluster_only() {
        let edges = ["https://eu-1.example".to_owned(), "http://127.0.0.2:8080/market".to_owned()];
        let is_taken = |given: &str| url("returnUrl", Some(given.to_owned()), &edges).is_ok();
        for ours in [
            "https://eu-1.example",
            "https://EU-1.example/#/purchases",
            "https://eu-1.example?paid=1",
            "http://127.0.0.2:8080/#/purchases",
        ] {
            assert!(is_taken(ours), "{ours}");
        }
        for foreign in [
            "javascript:alert(1)",
            "/#/purchases",
            "//eu-1.example/",
            "http://eu-1.example/",
            "https://eu-1.example.evil.example/",
            "https://eu-1.example@evil.example/",
            "https://eu-1.example:444/",
            "https://eu-1.example\\@evil.example/",
            "https://eu-1.example/\r\nLocation: x",
        ] {
            assert!(!is_taken(foreign), "{foreign}");
        }
        assert_eq!(url("returnUrl", None, &edges).expect("left out"), None);
    }
}
