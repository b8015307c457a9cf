//! What staff do about accounts: look them up, suspend, give and take duties, strike, decide about
//! capabilities, invite.
//!
//! Each decision carries a reason. The code of an invitation is in the answer and nowhere else; the
//! log holds its hash. Read next: `fairground_market`'s `people`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_market::{AccountList, AccountRow, InvitationList};
use fairground_runtime::cursor::Paging;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_runtime::secret::mac;
use fairground_types::command::{CapabilityDecision, Command, Invite, PeopleCommand, StaffCommand};
use fairground_types::limits::INVITATION_LIFE;
use fairground_types::people::Blocker;
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{
    Capability, Code, Digest, InvitationId, Millis, Role, StrikeId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::guard::{Caller, IntentKey};
use crate::auth;

const INVITATION_PREFIX: &str = "fgi1";

fn reason_of(text: &str) -> Result<Note, Problem> {
    Note::parse(text).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })
}

async fn decide(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    (operation, target): (&str, &str),
    command: StaffCommand,
) -> Result<(), Problem> {
    let id = caller.command(api, key, operation, target)?;
    let command = Command::People(PeopleCommand::Staff(command));
    submit(&api.member, caller.actor()?, id, command).await.map(drop)
}

/// [`decide`] about an account; answers the account as it is then.
async fn change_account(
    api: &Api,
    by: (&Caller, &IntentKey),
    intent: (&str, &str),
    command: StaffCommand,
    user: UserId,
) -> Result<Response, Problem> {
    decide(api, by, intent, command).await?;
    account_of(api, user)
}

fn account_of(api: &Api, user: UserId) -> Result<Response, Problem> {
    let row = api.member.state.read(|market| market.account_row(user));
    row.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}

/// Which accounts.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AccountsQuery {
    /// How the public name begins.
    name: Option<String>,
    /// The whole mail address or telephone number.
    identifier: Option<String>,
    /// Where the page begins.
    cursor: Option<String>,
    /// How many, at most 100.
    limit: Option<usize>,
}

/// Finds accounts by name or address.
#[utoipa::path(get, path = "/v1/admin/users", operation_id = "findAccounts", tag = "users",
    params(AccountsQuery),
    responses((status = 200, description = "The accounts.", body = AccountList)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn find(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<AccountsQuery>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    let address = match &query.identifier {
        Some(typed) => {
            let normal = auth::normalise(typed, auth::channel_of(typed));
            let normal = normal.ok_or_else(|| Problem::invalid("identifier", "is no address"))?;
            Some(auth::identifier_digest(&api.member.secrets, &normal))
        }
        None => None,
    };
    let paging = Paging { cursor: query.cursor, limit: query.limit };
    let rows: Vec<AccountRow> = api.member.state.read(|market| {
        let found = market.find_accounts(query.name.as_deref(), address.as_ref());
        found.into_iter().filter_map(|user| market.account_row(user)).collect()
    });
    let keyed = rows.into_iter().map(|row| ((row.created_at, row.user_id), row));
    let page = paging.page(keyed, api.pager("accounts"))?;
    Ok(fresh(AccountList { accounts: page.rows, next_cursor: page.next }))
}

/// Shows one account.
#[utoipa::path(get, path = "/v1/admin/users/{user}", operation_id = "getAccount", tag = "users",
    params(("user" = UserId, Path)),
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath(user): ApiPath<UserId>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    account_of(&api, user)
}

/// Why.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReasonBody {
    reason: String,
}

/// Suspends an account.
#[utoipa::path(post, path = "/v1/admin/users/{user}/suspend", operation_id = "suspendAccount",
    tag = "users", params(("user" = UserId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn suspend(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(user): ApiPath<UserId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = StaffCommand::Suspend { user, reason: reason_of(&body.reason)? };
    change_account(&api, (&caller, &key), ("suspend", &user.to_string()), command, user).await
}

/// Takes a suspension back.
#[utoipa::path(post, path = "/v1/admin/users/{user}/reinstate", operation_id = "reinstateAccount",
    tag = "users", params(("user" = UserId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn reinstate(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(user): ApiPath<UserId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = StaffCommand::Reinstate { user, reason: reason_of(&body.reason)? };
    change_account(&api, (&caller, &key), ("reinstate", &user.to_string()), command, user).await
}

/// Ends every sign-in of an account.
#[utoipa::path(post, path = "/v1/admin/users/{user}/force-logout", operation_id = "forceSignOut",
    tag = "users", params(("user" = UserId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn force_sign_out(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(user): ApiPath<UserId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = StaffCommand::ForceSignOut { user, reason: reason_of(&body.reason)? };
    change_account(&api, (&caller, &key), ("force-sign-out", &user.to_string()), command, user)
        .await
}

/// Notes a strike for broken rules.
#[utoipa::path(post, path = "/v1/admin/users/{user}/strikes", operation_id = "strikeAccount",
    tag = "users", params(("user" = UserId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn strike(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(user): ApiPath<UserId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = StaffCommand::Strike { user, reason: reason_of(&body.reason)? };
    change_account(&api, (&caller, &key), ("strike", &user.to_string()), command, user).await
}

/// Takes a strike back, after an appeal.
#[utoipa::path(post, path = "/v1/admin/users/{user}/strikes/{strike}/lift",
    operation_id = "liftStrike", tag = "users",
    params(("user" = UserId, Path), ("strike" = StrikeId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn lift(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath((user, strike)): ApiPath<(UserId, StrikeId)>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let command = StaffCommand::LiftStrike { user, strike, reason: reason_of(&body.reason)? };
    change_account(&api, (&caller, &key), ("lift-strike", &strike.to_string()), command, user).await
}

/// Which duty, and why.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DutyBody {
    user_id: UserId,
    role: Role,
    reason: String,
}

/// Takes a duty.
#[utoipa::path(post, path = "/v1/admin/roles/revoke", operation_id = "revokeRole", tag = "users",
    params(IdempotencyKeyHeader), request_body = DutyBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "NOT_FOUND"]))))]
pub(super) async fn revoke_duty(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<DutyBody>,
) -> Result<Response, Problem> {
    let (user, role) = (body.user_id, body.role);
    let command = StaffCommand::RevokeDuty { user, role, reason: reason_of(&body.reason)? };
    change_account(&api, (&caller, &key), ("revoke-duty", &user.to_string()), command, user).await
}

/// Gives a duty, with the reason.
#[utoipa::path(post, path = "/v1/admin/roles/grant", operation_id = "grantDuty", tag = "users",
    params(IdempotencyKeyHeader), request_body = DutyBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "NOT_FOUND", "ACCOUNT_LOCKED"]))))]
pub(super) async fn grant_duty(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<DutyBody>,
) -> Result<Response, Problem> {
    let (user, role) = (body.user_id, body.role);
    let command = StaffCommand::GrantDuty { user, role, reason: reason_of(&body.reason)? };
    change_account(&api, (&caller, &key), ("grant-duty", &user.to_string()), command, user).await
}

/// What becomes of a capability.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum CapabilityVerdict {
    /// It is given.
    Approve,
    /// It is refused or taken.
    Block,
    /// It rests until it was looked at again.
    Review,
}

/// A decision about a capability.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CapabilityBody {
    capability: Capability,
    decision: CapabilityVerdict,
    #[serde(default)]
    blockers: Vec<Blocker>,
    reason: String,
}

/// Decides about a capability.
#[utoipa::path(post, path = "/v1/admin/users/{user}/capabilities", operation_id = "decideCapability",
    tag = "users", params(("user" = UserId, Path), IdempotencyKeyHeader),
    request_body = CapabilityBody,
    responses((status = 200, description = "The account.", body = AccountRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn decide_capability(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(user): ApiPath<UserId>,
    ApiJson(body): ApiJson<CapabilityBody>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let blockers = body.blockers;
    let decision = match body.decision {
        CapabilityVerdict::Approve => CapabilityDecision::Approve,
        CapabilityVerdict::Block => CapabilityDecision::Block { blockers },
        CapabilityVerdict::Review => CapabilityDecision::Review { blockers },
    };
    let capability = body.capability;
    let command = StaffCommand::DecideCapability { user, capability, decision, reason };
    change_account(&api, (&caller, &key), ("decide-capability", &user.to_string()), command, user)
        .await
}

/// Whom to invite.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InviteBody {
    email: String,
    roles: Vec<Role>,
    /// 1 to 30; 7 when it is not said.
    expires_in_days: Option<u32>,
    reason: String,
}

/// An invitation as it is shown once.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvitationMade {
    invitation_id: InvitationId,
    /// What the invited person shows.
    code: String,
    expires_at: Timestamp,
}

fn halves(digest: &Digest) -> [u128; 2] {
    let (high, low) = digest.as_bytes().split_at(16);
    [high, low].map(|half| half.try_into().map_or(0, u128::from_be_bytes))
}

/// Hash of an invitation's code, as the log holds it.
fn code_digest(code: &str) -> Digest {
    Digest::of(code.trim().as_bytes())
}

/// Invites somebody.
#[utoipa::path(post, path = "/v1/invitations", operation_id = "invite", tag = "users",
    params(IdempotencyKeyHeader), request_body = InviteBody,
    responses((status = 201, description = "The code; it is nowhere else.", body = InvitationMade)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "LIMIT_REACHED"]))))]
pub(super) async fn invite(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<InviteBody>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let address = fairground_types::text::normalise_email(&body.email)
        .ok_or_else(|| Problem::invalid("email", "is not a mail address"))?;
    let days = body.expires_in_days.map(u64::from);
    let life = days.map_or(INVITATION_LIFE, |days| Millis::from_hours(days.saturating_mul(24)));
    let member = &api.member;
    let recipient = auth::identifier_digest(&member.secrets, &address);
    // Made from the intent, so that the same request gives the same code again.
    let id = caller.command(&api, &key, "invite", &recipient.to_string())?;
    let made_from = |what: &[u8]| mac(&member.secrets.code, &[what, id.as_bytes()]);
    let secret = URL_SAFE_NO_PAD.encode(made_from(b"invitation code").as_bytes());
    let code = format!("{INVITATION_PREFIX}.{secret}");
    let [high, ..] = halves(&made_from(b"invitation id"));
    let invitation = InvitationId::from_bits(high);
    let command = StaffCommand::Invite(Invite {
        invitation,
        code: code_digest(&code),
        recipient,
        roles: body.roles,
        life,
        reason,
    });
    let command = Command::People(PeopleCommand::Staff(command));
    submit(member, caller.actor()?, id, command).await?;
    let rows = member.state.read(fairground_market::Market::invitations).invitations;
    let made = rows.into_iter().find(|row| row.invitation_id == invitation);
    let expires_at = made.map(|row| row.expires_at).ok_or(Code::Internal)?;
    let made = InvitationMade { invitation_id: invitation, code, expires_at };
    Ok((StatusCode::CREATED, fresh(made)).into_response())
}

/// Lists invitations, without their codes.
#[utoipa::path(get, path = "/v1/invitations", operation_id = "listInvitations", tag = "users",
    responses((status = 200, description = "The invitations.", body = InvitationList)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn invitations(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may(&api, Action::Administer)?;
    Ok(fresh(api.member.state.read(fairground_market::Market::invitations)))
}

/// Takes an invitation back.
#[utoipa::path(post, path = "/v1/invitations/{invitation}/revoke", operation_id = "revokeInvitation",
    tag = "users", params(("invitation" = InvitationId, Path), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 204, description = "It counts no more.")),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn revoke_invitation(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(invitation): ApiPath<InvitationId>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<StatusCode, Problem> {
    let reason = reason_of(&body.reason)?;
    let command = StaffCommand::RevokeInvitation { invitation, reason };
    decide(&api, (&caller, &key), ("revoke-invitation", &invitation.to_string()), command).await?;
    Ok(StatusCode::NO_CONTENT)
}
