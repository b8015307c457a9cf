//! What an account does about itself: sign-ins, devices, capabilities, consents, whom it follows and
//! blocks, its data. All of it is the cluster's to say.
//!
//! Read next: `users.rs` for the public name, `fairground_market` for the rows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use fairground_market::{
    CapabilityList, ConsentList, DataRequestRow, DeviceList, FollowList, IdentityList, PrivacyRow,
    SignInList, TaskRow,
};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{AccountCommand, Command, PeopleCommand, RegisterDevice};
use fairground_types::people::{
    ConsentPurpose, DevicePlatform, DeviceSignals, IdentityProvider, PrivacySettings,
};
use fairground_types::text::IdempotencyKey;
use fairground_types::{
    Capability, CommandId, DataRequestId, DeviceId, Digest, SignInId, TaskId, UserId,
};
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use super::sign_in::private;
use crate::edge::Edge;
use crate::intake::derived_bits;

type Answer = Result<Json<Value>, Problem>;
type Done = Result<StatusCode, Problem>;

async fn give(edge: &Edge, who: &SignedIn, id: CommandId, command: PeopleCommand) -> Done {
    call::command(edge, who, id, Command::People(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends every sign-in of the account.
#[utoipa::path(post, path = "/v1/auth/logout-all", operation_id = "signOutEverywhere", tag = "auth",
    responses((status = 204, description = "Signed out everywhere.")), security(("bearer" = [])))]
pub(crate) async fn sign_out_everywhere(State(edge): State<Arc<Edge>>, who: SignedIn) -> Done {
    // Ending them twice is ending them: the sign-in that asks is among those that end.
    let id = CommandId::derive(who.user, &who.sign_in.to_string(), "sign-out-all", "");
    give(&edge, &who, id, PeopleCommand::SignOutEverywhere).await
}

/// Lists the sign-ins of the account.
#[utoipa::path(get, path = "/v1/users/me/sessions", operation_id = "listSessions", tag = "users",
    responses((status = 200, description = "The sign-ins.", body = SignInList)),
    security(("bearer" = [])))]
pub(crate) async fn sessions(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    let read = ReadRequest::SignIns { user: who.user, current: who.sign_in };
    call::read(&edge, read).await.map(Json)
}

/// Ends one sign-in of the account.
#[utoipa::path(delete, path = "/v1/users/me/sessions/{session}", operation_id = "endSession",
    tag = "users", params(("session" = SignInId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It has ended.")), security(("bearer" = [])))]
pub(crate) async fn end_session(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(sign_in): ApiPath<SignInId>,
) -> Done {
    let id = intent.command(&who, "end-session", &sign_in.to_string());
    let command = Command::Account(AccountCommand::SignOut { sign_in });
    call::command(&edge, &who, id, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A device and what it says about itself.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeviceBody {
    /// What the app calls itself on this device, 8 to 255 characters; the same each time.
    installation_id: IdempotencyKey,
    platform: DevicePlatform,
    #[serde(default)]
    signals: DeviceSignals,
}

/// A device by itself.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceNamed {
    device_id: DeviceId,
}

/// Names the device of this sign-in.
#[utoipa::path(post, path = "/v1/devices/register", operation_id = "registerDevice", tag = "users",
    params(IdempotencyKeyHeader), request_body = DeviceBody,
    responses((status = 200, description = "The device is known.", body = DeviceNamed)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn register_device(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<DeviceBody>,
) -> Result<Json<DeviceNamed>, Problem> {
    let named = CommandId::derive(who.user, body.installation_id.as_str(), "device", "");
    let device = DeviceId::from_bits(derived_bits("fairground 2026 device id v1", &named));
    let id = intent.command(&who, "register-device", &device.to_string());
    let register = RegisterDevice {
        device,
        sign_in: who.sign_in,
        platform: body.platform,
        signals: body.signals,
    };
    give(&edge, &who, id, PeopleCommand::RegisterDevice(register)).await?;
    Ok(Json(DeviceNamed { device_id: device }))
}

/// Lists the devices of the account.
#[utoipa::path(get, path = "/v1/devices", operation_id = "listDevices", tag = "users",
    responses((status = 200, description = "The devices.", body = DeviceList)),
    security(("bearer" = [])))]
pub(crate) async fn devices(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    call::read(&edge, ReadRequest::Devices { user: who.user }).await.map(Json)
}

/// Ends a device and the sign-ins on it.
#[utoipa::path(post, path = "/v1/devices/{device}/revoke", operation_id = "revokeDevice",
    tag = "users", params(("device" = DeviceId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It counts no more.")), security(("bearer" = [])))]
pub(crate) async fn revoke_device(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(device): ApiPath<DeviceId>,
) -> Done {
    let id = intent.command(&who, "revoke-device", &device.to_string());
    give(&edge, &who, id, PeopleCommand::RevokeDevice { device }).await
}

/// Shows where every capability of the account stands.
#[utoipa::path(get, path = "/v1/capabilities/status", operation_id = "getCapabilities",
    tag = "users", responses((status = 200, description = "The capabilities.", body = CapabilityList)),
    security(("bearer" = [])))]
pub(crate) async fn capabilities(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    call::read(&edge, ReadRequest::Capabilities { user: who.user }).await.map(Json)
}

/// Which capability.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CapabilityBody {
    capability: Capability,
}

/// Asks for a capability; asking again changes nothing.
#[utoipa::path(post, path = "/v1/capabilities/request", operation_id = "requestCapability",
    tag = "users", params(IdempotencyKeyHeader), request_body = CapabilityBody,
    responses((status = 200, description = "Where it stands.", body = CapabilityList)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["NOT_ELIGIBLE"]))))]
pub(crate) async fn request_capability(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<CapabilityBody>,
) -> Answer {
    let id = intent.command(&who, "request-capability", body.capability.as_str());
    let task = TaskId::from_bits(derived_bits("fairground 2026 task id v1", &id));
    let command = PeopleCommand::RequestCapability { capability: body.capability, task };
    give(&edge, &who, id, command).await?;
    call::read(&edge, ReadRequest::Capabilities { user: who.user }).await.map(Json)
}

/// Shows a check that a capability waits for.
#[utoipa::path(get, path = "/v1/capabilities/tasks/{task}", operation_id = "getCapabilityTask",
    tag = "users", params(("task" = TaskId, Path)),
    responses((status = 200, description = "The check.", body = TaskRow)),
    security(("bearer" = [])))]
pub(crate) async fn task(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(task): ApiPath<TaskId>,
) -> Answer {
    call::read(&edge, ReadRequest::Task { user: who.user, task }).await.map(Json)
}

/// Shows what others may see.
#[utoipa::path(get, path = "/v1/users/me/privacy-settings", operation_id = "getPrivacySettings",
    tag = "users", responses((status = 200, description = "The settings.", body = PrivacyRow)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn privacy(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    call::read(&edge, ReadRequest::Privacy { user: who.user }).await.map(Json)
}

/// What others may see, whole.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PrivacyBody {
    settings: PrivacySettings,
    /// The version that the author saw, 0 for never set.
    base_version: u64,
}

/// Sets what others may see.
#[utoipa::path(put, path = "/v1/users/me/privacy-settings", operation_id = "setPrivacySettings",
    tag = "users", params(IdempotencyKeyHeader), request_body = PrivacyBody,
    responses((status = 200, description = "The settings.", body = PrivacyRow)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["VERSION_CONFLICT", "NOT_FOUND"]))))]
pub(crate) async fn set_privacy(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<PrivacyBody>,
) -> Answer {
    let id = intent.command(&who, "set-privacy", "");
    let (settings, base_version) = (body.settings, body.base_version);
    give(&edge, &who, id, PeopleCommand::SetPrivacy { settings, base_version }).await?;
    call::read(&edge, ReadRequest::Privacy { user: who.user }).await.map(Json)
}

/// Shows what the account agreed to.
#[utoipa::path(get, path = "/v1/users/me/consents", operation_id = "getConsents", tag = "users",
    responses((status = 200, description = "The consents.", body = ConsentList)),
    security(("bearer" = [])))]
pub(crate) async fn consents(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    call::read(&edge, ReadRequest::Consents { user: who.user }).await.map(Json)
}

/// What somebody says about a purpose.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConsentBody {
    purpose: ConsentPurpose,
    granted: bool,
    /// Version of the text that was shown.
    #[schema(maximum = 2_147_483_647_u32)]
    policy_version: u32,
}

/// Gives or takes back a consent.
#[utoipa::path(put, path = "/v1/users/me/consents", operation_id = "setConsent", tag = "users",
    params(IdempotencyKeyHeader), request_body = ConsentBody,
    responses((status = 200, description = "The consents.", body = ConsentList)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub(crate) async fn set_consent(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<ConsentBody>,
) -> Answer {
    let id = intent.command(&who, "set-consent", "");
    let ConsentBody { purpose, granted, policy_version } = body;
    let command = PeopleCommand::SetConsent { purpose, granted, policy_version };
    give(&edge, &who, id, command).await?;
    call::read(&edge, ReadRequest::Consents { user: who.user }).await.map(Json)
}

/// Lists whom the account follows.
#[utoipa::path(get, path = "/v1/users/me/follows", operation_id = "listFollows", tag = "users",
    responses((status = 200, description = "The accounts.", body = FollowList)),
    security(("bearer" = [])))]
pub(crate) async fn follows(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    call::read(&edge, ReadRequest::Follows { user: who.user }).await.map(Json)
}

/// Follows a maker.
#[utoipa::path(put, path = "/v1/users/{user}/follow", operation_id = "follow", tag = "users",
    params(("user" = UserId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "Followed.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["LIMIT_REACHED"]))))]
pub(crate) async fn follow(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(user): ApiPath<UserId>,
) -> Done {
    let id = intent.command(&who, "follow", &user.to_string());
    give(&edge, &who, id, PeopleCommand::SetFollow { user, on: true }).await
}

/// Follows a maker no longer.
#[utoipa::path(delete, path = "/v1/users/{user}/follow", operation_id = "unfollow", tag = "users",
    params(("user" = UserId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "No longer followed.")), security(("bearer" = [])))]
pub(crate) async fn unfollow(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(user): ApiPath<UserId>,
) -> Done {
    let id = intent.command(&who, "unfollow", &user.to_string());
    give(&edge, &who, id, PeopleCommand::SetFollow { user, on: false }).await
}

/// Whom.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BlockBody {
    user_id: UserId,
}

/// Lists whom the account blocks.
#[utoipa::path(get, path = "/v1/users/me/blocked-users", operation_id = "listBlocked",
    tag = "users", responses((status = 200, description = "The accounts.", body = FollowList)),
    security(("bearer" = [])))]
pub(crate) async fn blocked(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    call::read(&edge, ReadRequest::Blocked { user: who.user }).await.map(Json)
}

/// Blocks somebody.
#[utoipa::path(post, path = "/v1/users/me/blocked-users", operation_id = "block", tag = "users",
    params(IdempotencyKeyHeader), request_body = BlockBody,
    responses((status = 204, description = "Blocked.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["LIMIT_REACHED", "NOT_FOUND"]))))]
pub(crate) async fn block(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<BlockBody>,
) -> Done {
    let id = intent.command(&who, "block", &body.user_id.to_string());
    give(&edge, &who, id, PeopleCommand::SetBlock { user: body.user_id, on: true }).await
}

/// Blocks somebody no longer.
#[utoipa::path(delete, path = "/v1/users/me/blocked-users/{user}", operation_id = "unblock",
    tag = "users", params(("user" = UserId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "No longer blocked.")), security(("bearer" = [])))]
pub(crate) async fn unblock(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(user): ApiPath<UserId>,
) -> Done {
    let id = intent.command(&who, "unblock", &user.to_string());
    give(&edge, &who, id, PeopleCommand::SetBlock { user, on: false }).await
}

/// Lists the ways to sign in.
#[utoipa::path(get, path = "/v1/users/me/identities", operation_id = "listIdentities",
    tag = "users", responses((status = 200, description = "The ways.", body = IdentityList)),
    security(("bearer" = [])))]
pub(crate) async fn identities(State(edge): State<Arc<Edge>>, who: SignedIn) -> Answer {
    call::read(&edge, ReadRequest::Identities { user: who.user }).await.map(Json)
}

/// Takes a way to sign in away; the last one stays.
#[utoipa::path(delete, path = "/v1/auth/identities/{provider}", operation_id = "unlinkIdentity",
    tag = "auth", params(("provider" = IdentityProvider, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It counts no more.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["LAST_IDENTITY"]))))]
pub(crate) async fn unlink(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(provider): ApiPath<IdentityProvider>,
) -> Done {
    let id = intent.command(&who, "unlink", provider.as_str());
    give(&edge, &who, id, PeopleCommand::UnlinkIdentity { provider }).await
}

fn request_named(id: &CommandId) -> DataRequestId {
    DataRequestId::from_bits(derived_bits("fairground 2026 data request id v1", id))
}

async fn request_row(edge: &Edge, who: &SignedIn, request: DataRequestId) -> Answer {
    call::read(edge, ReadRequest::DataRequest { user: who.user, request }).await.map(Json)
}

/// Asks for a copy of everything about the account; the sign-in must be fresh.
#[utoipa::path(post, path = "/v1/users/me/dsar/export", operation_id = "requestExport",
    tag = "users", params(IdempotencyKeyHeader),
    responses((status = 200, description = "The request.", body = DataRequestRow)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["STEP_UP_REQUIRED", "NOT_FOUND"]))))]
pub(crate) async fn export(State(edge): State<Arc<Edge>>, who: SignedIn, intent: Intent) -> Answer {
    let id = intent.command(&who, "export", "");
    let request = request_named(&id);
    let command = PeopleCommand::RequestExport { request, sign_in: who.sign_in };
    give(&edge, &who, id, command).await?;
    request_row(&edge, &who, request).await
}

/// Asks that the account goes, as soon as nothing is open; the sign-in must be fresh.
#[utoipa::path(post, path = "/v1/users/me/dsar/delete", operation_id = "requestDeletion",
    tag = "users", params(IdempotencyKeyHeader),
    responses((status = 200, description = "The request.", body = DataRequestRow)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["STEP_UP_REQUIRED", "NOT_FOUND"]))))]
pub(crate) async fn delete_later(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
) -> Answer {
    let id = intent.command(&who, "delete-later", "");
    let request = request_named(&id);
    let (sign_in, waits) = (who.sign_in, true);
    let command = PeopleCommand::RequestDeletion { request, sign_in, waits };
    give(&edge, &who, id, command).await?;
    request_row(&edge, &who, request).await
}

/// Ends the account now; refused while something is open. The sign-in must be fresh.
#[utoipa::path(delete, path = "/v1/users/me/account", operation_id = "deleteAccount",
    tag = "users", params(IdempotencyKeyHeader),
    responses((status = 204, description = "The account is closed.")),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["STEP_UP_REQUIRED", "OBLIGATIONS_OPEN", "NOT_FOUND"]))))]
pub(crate) async fn delete_now(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
) -> Done {
    let id = intent.command(&who, "delete-now", "");
    let (sign_in, waits) = (who.sign_in, false);
    let request = request_named(&id);
    give(&edge, &who, id, PeopleCommand::RequestDeletion { request, sign_in, waits }).await
}

/// Shows where a data request stands.
#[utoipa::path(get, path = "/v1/users/me/dsar/{request}", operation_id = "getDataRequest",
    tag = "users", params(("request" = DataRequestId, Path)),
    responses((status = 200, description = "The request.", body = DataRequestRow)),
    security(("bearer" = [])))]
pub(crate) async fn data_request(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(request): ApiPath<DataRequestId>,
) -> Answer {
    request_row(&edge, &who, request).await
}

/// Everything about an account, by kind.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct DataCopy {
    /// What is known, a member for each kind.
    #[schema(value_type = Object)]
    parts: Value,
}

/// Fetches the copy that was asked for, within seven days.
#[utoipa::path(get, path = "/v1/users/me/dsar/{request}/copy", operation_id = "getDataCopy",
    tag = "users", params(("request" = DataRequestId, Path)),
    responses((status = 200, description = "The copy.", body = DataCopy)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["LINK_EXPIRED"]))))]
pub(crate) async fn data_copy(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(request): ApiPath<DataRequestId>,
) -> Result<Response, Problem> {
    let read = ReadRequest::DataCopy { user: who.user, request };
    private::<DataCopy>(&edge, &ForwardRequest::Read(read)).await
}

/// Takes an invitation; five codes may be tried in an hour.
#[utoipa::path(post, path = "/v1/invitations/{code}/claim", operation_id = "claimInvitation",
    tag = "users", params(("code" = String, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where the capabilities stand.", body = CapabilityList)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["INVITATION_INVALID"]))))]
pub(crate) async fn claim(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(code): ApiPath<String>,
) -> Answer {
    let code = Digest::of(code.trim().as_bytes());
    let id = intent.command(&who, "claim-invitation", &code.to_string());
    give(&edge, &who, id, PeopleCommand::ClaimInvitation { code }).await?;
    call::read(&edge, ReadRequest::Capabilities { user: who.user }).await.map(Json)
}
