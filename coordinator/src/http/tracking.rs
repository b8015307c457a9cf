//! Events of carriers: verified on raw bytes, committed, then answered.
//!
//! ```text
//!  POST /v1/webhooks/tracking/{carrier}   Fairground-Signature: hex HMAC-SHA256 of the body
//!  {"number": "...", "events": [{"id": "...", "at": "...", "status": "inTransit"}]}
//! ```
//! The normal form of a source that the operator runs (Karrio and the like map theirs to it). What is
//! older than what is known, or about a parcel that there is not, is counted and answered with 200: the
//! source must not send it for ever. Off unless a secret is set. Read next: `order/deliver.rs` of the
//! market.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use fairground_runtime::problem::{ApiBytes, ApiPath, Problem};
use fairground_runtime::secret::{equal, mac_hex};
use fairground_types::command::{Carrier, CarrierEvent, CarrierStatus, Command, OrderCommand};
use fairground_types::text::TrackingNumber;
use fairground_types::{Code, CommandId, Timestamp, Verdict};
use serde::Deserialize;

use super::Api;
use super::answer::propose_problem;

const SIGNATURE: &str = "fairground-signature";
/// Events of one delivery.
const EVENTS_MAX: usize = 50;

/// What a source says about one parcel.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Delivery {
    number: TrackingNumber,
    #[schema(max_items = 50)]
    events: Vec<EventBody>,
}

/// One event of a carrier.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventBody {
    /// The carrier's id of it.
    #[schema(min_length = 1, max_length = 128)]
    id: String,
    at: Timestamp,
    status: CarrierStatus,
}

fn count(outcome: &'static str) {
    metrics::counter!(crate::metrics::CARRIER_EVENTS, "outcome" => outcome).increment(1);
}

/// Takes what a carrier's source says about a parcel.
#[utoipa::path(post, path = "/v1/webhooks/tracking/{carrier}", operation_id = "receiveTracking",
    tag = "webhooks",
    params(("carrier" = Carrier, Path), ("Fairground-Signature" = String, Header)),
    request_body = Delivery,
    responses((status = 200, description = "Kept.")),
    extensions(("x-codes" = json!(["SIGNATURE_INVALID", "FEATURE_DISABLED",
        "COORDINATOR_UNAVAILABLE"]))))]
pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    ApiPath(carrier): ApiPath<Carrier>,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<StatusCode, Problem> {
    let Some(secret) = &api.webhooks.tracking else {
        return Err(Problem::new(Code::FeatureDisabled, "carriers are not listened to here"));
    };
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let expected = mac_hex(secret.expose().trim().as_bytes(), &body);
    if !equal(signature.trim().to_ascii_lowercase().as_bytes(), expected.as_bytes()) {
        count("refused");
        return Err(Problem::new(Code::SignatureInvalid, "the signature does not fit"));
    }
    let delivery: Delivery = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid("body", error.to_string()))?;
    if delivery.events.len() > EVENTS_MAX {
        return Err(Problem::invalid("events", "at most 50"));
    }
    let mut events = delivery.events;
    events.sort_by_key(|event| event.at);
    for event in events {
        record(&api, carrier, &delivery.number, event).await?;
    }
    Ok(StatusCode::OK)
}

async fn record(
    api: &Api,
    carrier: Carrier,
    number: &TrackingNumber,
    event: EventBody,
) -> Result<(), Problem> {
    let parcel = format!("{carrier:?} {number}");
    let id = CommandId::derive_system("carrier event", &parcel, &event.id);
    let event = CarrierEvent { id: event.id, at: event.at, status: event.status };
    let number = number.clone();
    let command = Command::Order(OrderCommand::RecordCarrierEvent { carrier, number, event });
    let judged = api.member.command(id, command).await.map_err(propose_problem)?;
    match judged.verdict {
        Verdict::Accepted(_) => count("recorded"),
        Verdict::Rejected(rejection) => {
            count("ignored");
            tracing::info!(code = %rejection.code, "carrier event not taken");
        }
    }
    Ok(())
}
