//! Who must sign bids and offers, for admins; every write has a reason.
//!
//! Auctions that are open keep what they opened with. Read next: `govern.rs` for the other settings,
//! `fairground_market`'s `signing`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use fairground_market::{Authored, Market, SignaturePolicyVersion};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::command::{Command, GovernCommand, SetSignaturePolicy, SignaturePolicy};
use fairground_types::signature::SIGNED_BIDS_RULES;
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::govern::{may_read, reason_of};
use super::guard::{Caller, IntentKey};

/// One version of who must sign.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct SignaturesVersion {
    version: u64,
    /// Who put it in force and why; absent for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    authored: Option<Authored>,
    policy: SignaturePolicy,
}

/// Who must sign.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signatures {
    /// 0 for the default, which nobody set.
    version: u64,
    policy: SignaturePolicy,
    /// Whether the rules in force know signatures; nothing is asked of bids before.
    in_force: bool,
    /// What was in force before, newest first.
    before: Vec<SignaturesVersion>,
}

fn version(known: &SignaturePolicyVersion) -> SignaturesVersion {
    let SignaturePolicyVersion { version, authored, policy } = known.clone();
    SignaturesVersion { version, authored, policy }
}

fn signatures(market: &Market) -> Signatures {
    let current = market.signature_policy();
    Signatures {
        version: current.version,
        policy: current.policy,
        in_force: market.rules_version() >= SIGNED_BIDS_RULES,
        before: market.signature_policies_before().map(version).collect(),
    }
}

/// Who must sign bids and offers.
#[utoipa::path(get, path = "/v1/admin/signatures", operation_id = "getSignaturePolicy",
    tag = "operation",
    responses((status = 200, description = "The policy.", body = Signatures)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn policy(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    Ok(fresh(api.member.state.read(signatures)))
}

/// Body that says who must sign.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SignaturesChange {
    /// The version that was changed.
    base_version: u64,
    /// The policy, whole; what is left out has its default.
    policy: SignaturePolicy,
    reason: String,
}

/// Says who must sign from now on; auctions that are open keep what they opened with.
#[utoipa::path(put, path = "/v1/admin/signatures", operation_id = "setSignaturePolicy",
    tag = "operation", params(IdempotencyKeyHeader), request_body = SignaturesChange,
    responses((status = 200, description = "The policy now.", body = Signatures)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "VERSION_CONFLICT", "INVALID_STATE"]))))]
pub(super) async fn set_policy(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<SignaturesChange>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let SignaturesChange { base_version, policy, .. } = body;
    let set = SetSignaturePolicy { base_version, policy, reason };
    let id = caller.command(&api, &key, "signatures", "")?;
    let command = Command::Govern(GovernCommand::SetSignaturePolicy(set));
    submit(&api.member, caller.actor()?, id, command).await?;
    Ok(fresh(api.member.state.read(signatures)))
}
