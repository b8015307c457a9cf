//! Flags as they are for whoever asks, evaluated here from the view.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use fairground_runtime::problem::Problem;
use fairground_types::flag::{FlagKind, FlagSubject, FlagValue};
use fairground_types::text::{FlagText, Region};
use fairground_types::{Flag, LogIndex};
use serde::Serialize;

use super::auth::SignedIn;
use crate::edge::Edge;

/// How long a client may go on with an answer.
const TTL_MS: u64 = 60_000;

/// A flag for whoever asked; one of the three values is there, by its kind.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct EvaluatedFlag {
    key: Flag,
    kind: FlagKind,
    /// Of a switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// Of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    /// Of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<FlagText>,
}

/// Every flag for whoever asked.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvaluatedFlags {
    flags: Vec<EvaluatedFlag>,
    /// The entry of the log that changed a flag last.
    version: LogIndex,
    /// How long the answer may be used.
    ttl_ms: u64,
}

fn row(key: Flag, value: FlagValue) -> EvaluatedFlag {
    let (mut enabled, mut number, mut text) = (None, None, None);
    let kind = match value {
        FlagValue::Bool(value) => {
            enabled = Some(value);
            FlagKind::Bool
        }
        FlagValue::Percent(value) => {
            enabled = Some(value >= 100);
            FlagKind::Bool
        }
        FlagValue::Int(value) => {
            number = Some(value);
            FlagKind::Int
        }
        FlagValue::Text(value) => {
            text = Some(value);
            FlagKind::Text
        }
    };
    EvaluatedFlag { key, kind, enabled, number, text }
}

/// Every flag, evaluated for the account or the visitor, in this edge's region.
#[utoipa::path(get, path = "/v1/config/flags", operation_id = "listFlags", tag = "config",
    responses((status = 200, description = "The flags.", body = EvaluatedFlags)),
    security((), ("bearer" = [])))]
pub(crate) async fn list(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
) -> Result<impl IntoResponse, Problem> {
    let region = Region::parse(&edge.region).ok();
    let subject = FlagSubject { user: who.map(|who| who.user), region: region.as_ref() };
    let answer = edge.view.read(|view| EvaluatedFlags {
        flags: Flag::ALL.iter().map(|flag| row(*flag, view.flag(*flag, subject))).collect(),
        version: view.flags_changed(),
        ttl_ms: TTL_MS,
    });
    Ok(([(CACHE_CONTROL, "private, max-age=60")], Json(answer)))
}
