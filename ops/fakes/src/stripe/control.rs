//! How a test tells the stand-in to misbehave, and sees what it received.
//!
//! Reached on loopback only, like everything here. Read next: `faults.rs`.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use fairground_types::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Faults, StripeFake};

/// The paths under `/_control`.
pub(super) fn routes() -> Router<Arc<StripeFake>> {
    Router::new()
        .route("/_control/faults", get(faults).put(set_faults).post(set_faults).delete(no_faults))
        .route("/_control/calls", get(calls))
        .route("/_control/sessions", get(sessions))
        .route("/_control/webhooks", get(webhooks))
        .route("/_control/violations", get(violations))
        .route("/_control/webhook-url", put(set_webhook_url))
        .route("/_control/clock", post(advance_clock))
        .route("/_control/accounts/{account}", put(set_account))
        .route("/_control/refunds/{refund}/{status}", post(move_refund))
        .route("/_control/disputes/{payment}/{status}", post(dispute))
        .route("/_control/events/{event}/resend", post(resend))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WebhookUrl {
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_ms: Millis,
}

async fn faults(Shared(fake): Shared<Arc<StripeFake>>) -> Json<Faults> {
    Json(fake.faults())
}

async fn set_faults(
    Shared(fake): Shared<Arc<StripeFake>>,
    Json(faults): Json<Faults>,
) -> Json<Faults> {
    fake.set_faults(faults);
    Json(fake.faults())
}

async fn no_faults(Shared(fake): Shared<Arc<StripeFake>>) -> Json<Faults> {
    fake.set_faults(Faults::default());
    Json(fake.faults())
}

async fn calls(Shared(fake): Shared<Arc<StripeFake>>) -> Json<Value> {
    Json(json!({"calls": fake.calls()}))
}

async fn sessions(Shared(fake): Shared<Arc<StripeFake>>) -> Json<Value> {
    let state = fake.state();
    let newest_first = state.sessions.order.iter().rev();
    let sessions: Vec<Value> = newest_first
        .filter_map(|id| state.sessions.get(id))
        .map(|session| fake.session_json(session, false))
        .collect();
    Json(json!({"sessions": sessions}))
}

async fn webhooks(Shared(fake): Shared<Arc<StripeFake>>) -> Json<Value> {
    Json(json!({"deliveries": fake.webhooks.records()}))
}

async fn violations(Shared(fake): Shared<Arc<StripeFake>>) -> Json<Value> {
    Json(json!({"checked": fake.contract.is_some(), "violations": fake.violations()}))
}

async fn set_webhook_url(
    Shared(fake): Shared<Arc<StripeFake>>,
    Json(body): Json<WebhookUrl>,
) -> StatusCode {
    fake.webhooks.set_url(body.url);
    StatusCode::NO_CONTENT
}

async fn advance_clock(
    Shared(fake): Shared<Arc<StripeFake>>,
    Json(body): Json<Advance>,
) -> Json<Value> {
    fake.advance_clock(body.advance_ms);
    Json(json!({"now": fake.state().now()}))
}

/// How a maker's account is to stand.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountChange {
    ready: Option<bool>,
    /// What its balance keeps at most.
    balance_minor: Option<u64>,
}

async fn set_account(
    Shared(fake): Shared<Arc<StripeFake>>,
    Path(account): Path<String>,
    Json(change): Json<AccountChange>,
) -> StatusCode {
    let ready = change.ready.is_none_or(|ready| fake.set_ready(&account, ready));
    let balance = change.balance_minor.is_none_or(|leave| fake.drain(&account, leave));
    if ready && balance { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn move_refund(
    Shared(fake): Shared<Arc<StripeFake>>,
    Path((refund, status)): Path<(String, String)>,
) -> StatusCode {
    let is_known = fake.move_refund(&refund, &status);
    if is_known { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn dispute(
    Shared(fake): Shared<Arc<StripeFake>>,
    Path((payment, status)): Path<(String, String)>,
) -> Response {
    match fake.dispute(&payment, &status) {
        Some(body) => Json(body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn resend(Shared(fake): Shared<Arc<StripeFake>>, Path(event): Path<String>) -> Response {
    let found = fake.state().events.iter().find(|known| known.id == event).cloned();
    match found {
        Some(event) => {
            // Nobody waits for it; `/_control/webhooks` shows how it went.
            drop(fake.webhooks.queue(&event));
            StatusCode::ACCEPTED.into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
