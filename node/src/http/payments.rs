//! What a buyer has won and must pay: sale locks, and the checkout session of one.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, PaymentCommand, StartCheckout};
use fairground_types::{Accepted, SaleLockId};
use fairground_wire::message::ReadRequest;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// How long a request waits for the payment provider's page.
const SESSION_WAIT: Duration = Duration::from_secs(10);
const LOOK_PERIOD: Duration = Duration::from_millis(150);
const URL_BYTES_MAX: usize = 2_048;
/// Where buyers come back to on an edge.
const PURCHASES_PAGE: &str = "/#/purchases";

/// Where the buyer comes back to.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CheckoutRequest {
    return_url: Option<String>,
    cancel_url: Option<String>,
}

/// `GET /v1/users/me/payments`
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::MyLocks { user: who.user }).await.map(Json)
}

/// Scheme and authority of an absolute http address.
fn origin(url: &str) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| url.starts_with(scheme))?;
    let rest = url.get(scheme.len()..)?;
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..scheme.len().saturating_add(authority))
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

/// `POST /v1/sale-locks/{lock}/checkout`
pub(crate) async fn checkout(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(lock): ApiPath<SaleLockId>,
    ApiJson(body): ApiJson<CheckoutRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
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
        if let Some(session) = row.ok().and_then(|row| session_of(&row, attempt)) {
            return Ok((StatusCode::OK, Json(session)));
        }
        if Instant::now() + LOOK_PERIOD >= deadline {
            let pending = json!({ "saleLockId": lock, "attempt": attempt });
            return Ok((StatusCode::ACCEPTED, Json(pending)));
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

/// The page of an attempt, once the provider has made it.
fn session_of(row: &Value, attempt: u32) -> Option<Value> {
    let url = row.get("checkoutUrl")?.as_str()?;
    let newest = row.get("attempt")?.as_u64()?;
    if newest < u64::from(attempt) {
        return None;
    }
    Some(json!({
        "saleLockId": row.get("saleLockId"),
        "attempt": newest,
        "url": url,
        "expiresAt": row.get("checkoutExpiresAt").or_else(|| row.get("expiresAt")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_attempts_page_is_not_the_one_asked_for() {
        let row = json!({ "checkoutUrl": "https://pay.example/1", "attempt": 1, "expiresAt": "x" });
        assert!(session_of(&row, 2).is_none());
        let session = session_of(&row, 1).expect("open");
        assert_eq!(session["url"], "https://pay.example/1");
        assert!(session_of(&json!({ "attempt": 1 }), 1).is_none());
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
