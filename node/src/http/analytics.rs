//! What apps tell about how they are used.
//!
//! Whether a person lets it be measured is the cluster's to say, each time. Read next:
//! `crate::analytics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::people::ConsentPurpose;
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde::Deserialize;
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::analytics::{AnalyticsEvent, BATCH_MAX, EventsTaken};
use crate::edge::Edge;

/// Bytes of one batch.
const BODY_MAX: usize = 256 * 1024;

/// Events, oldest first.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventBatch {
    /// At most 50; one that is unknown or malformed costs none of the others.
    #[schema(max_items = 50, value_type = Vec<AnalyticsEvent>)]
    events: Vec<Value>,
}

#[derive(Deserialize)]
struct Consents {
    consents: Vec<Consent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consent {
    purpose: ConsentPurpose,
    granted: bool,
    ask_again: bool,
}

/// A batch is larger than other bodies.
pub(super) const fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(BODY_MAX)
}

/// Takes what an app tells about its use, where the person has agreed to that. It may be lost.
#[utoipa::path(post, path = "/v1/analytics/events", operation_id = "recordEvents",
    tag = "analytics", params(IdempotencyKeyHeader), request_body = EventBatch,
    responses((status = 202, description = "What became of the events.", body = EventsTaken)),
    security(("bearer" = [])))]
pub(crate) async fn record(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(batch): ApiJson<EventBatch>,
) -> Result<(StatusCode, Json<EventsTaken>), Problem> {
    if batch.events.len() > BATCH_MAX {
        return Err(Problem::invalid("events", format!("at most {BATCH_MAX}")));
    }
    let id = intent.command(&who, "analytics", "");
    if let Some(told) = edge.analytics.known(&id) {
        return Ok((StatusCode::ACCEPTED, Json(told)));
    }
    let read = ForwardRequest::Read(ReadRequest::Consents { user: who.user });
    let Consents { consents } = call::typed(&edge, &read).await?;
    let agreed = consents.iter().any(|row| {
        matches!(row.purpose, ConsentPurpose::Analytics) && row.granted && !row.ask_again
    });
    let told = edge.analytics.take((who.user, id), &batch.events, (agreed, edge.time.now()));
    Ok((StatusCode::ACCEPTED, Json(told)))
}
