//! The keys that devices sign bids with: registered at a sign-in, taken away again.
//!
//! Whether bytes are a key at all is looked into here; whose it is and when it counts is the cluster's
//! to say. Read next: `bids.rs` for what is signed with them, `fairground_market::parse_key`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_market::{PublicView, parse_key};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, PeopleCommand, RegisterDeviceKey};
use fairground_types::signature::SIGNED_BIDS_RULES;
use fairground_types::{ClusterId, Code, DeviceId, DeviceKeyId, KeyAlgorithm};
use serde::{Deserialize, Serialize};

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// A device's public key.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyBody {
    algorithm: KeyAlgorithm,
    /// The raw key, base64url without padding: 32 bytes of Ed25519 (RFC 8032), or a point of P-256,
    /// uncompressed (65) or compressed (33) (SEC 1). What WebCrypto exports as `raw`.
    #[schema(min_length = 43, max_length = 87)]
    public_key: String,
}

/// What a device needs to sign.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyRegistered {
    /// Names the key in signatures.
    key_id: DeviceKeyId,
    /// The cluster, which every signature names.
    cluster_id: ClusterId,
}

/// Refuses while the rules in force know no signatures.
fn require_rules(edge: &Edge) -> Result<ClusterId, Problem> {
    let (rules, cluster) = edge.view.read(|view| (PublicView::rules(view), view.cluster()));
    match cluster {
        Some(cluster) if rules >= SIGNED_BIDS_RULES => Ok(cluster),
        _ => Err(Problem::new(Code::FeatureDisabled, "the rules in force know no signatures yet")),
    }
}

/// Registers the key that a device signs bids with.
///
/// The device is the one that this sign-in has named. A sign-in has one key, given within ten minutes of
/// its begin; it ends with the sign-in. From its first key on an account signs every bid and offer.
#[utoipa::path(put, path = "/v1/devices/{device}/key", operation_id = "registerDeviceKey",
    tag = "users", params(("device" = DeviceId, Path), IdempotencyKeyHeader),
    request_body = KeyBody,
    responses((status = 200, description = "The key counts.", body = KeyRegistered)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["STEP_UP_REQUIRED", "INVALID_STATE", "FEATURE_DISABLED"]))))]
pub(crate) async fn register(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(device): ApiPath<DeviceId>,
    ApiJson(body): ApiJson<KeyBody>,
) -> Result<Json<KeyRegistered>, Problem> {
    let cluster_id = require_rules(&edge)?;
    let bytes = URL_SAFE_NO_PAD.decode(body.public_key);
    let bytes = bytes.map_err(|_| Problem::invalid("publicKey", "is not base64url"))?;
    let key = parse_key(body.algorithm, &bytes)
        .map_err(|error| Problem::invalid("publicKey", error.to_string()))?;
    let key_id = key.id();
    let id = intent.command(&who, "register-device-key", &device.to_string());
    let register = RegisterDeviceKey { device, sign_in: who.sign_in, key };
    let command = Command::People(PeopleCommand::RegisterDeviceKey(register));
    call::command(&edge, &who, id, command).await?;
    Ok(Json(KeyRegistered { key_id, cluster_id }))
}

/// Takes the key of a device away.
///
/// With the last one the account may bid unsigned again, where the amount allows it.
#[utoipa::path(delete, path = "/v1/devices/{device}/key", operation_id = "removeDeviceKey",
    tag = "users", params(("device" = DeviceId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It counts no more.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["STEP_UP_REQUIRED", "FEATURE_DISABLED"]))))]
pub(crate) async fn remove(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(device): ApiPath<DeviceId>,
) -> Result<StatusCode, Problem> {
    require_rules(&edge)?;
    let id = intent.command(&who, "remove-device-key", &device.to_string());
    let remove = PeopleCommand::RemoveDeviceKey { device, sign_in: who.sign_in };
    call::command(&edge, &who, id, Command::People(remove)).await?;
    Ok(StatusCode::NO_CONTENT)
}
