//! What an operator does at a member's machine: join tokens and first accounts.
//!
//! By the key in `admin.key`, from loopback alone. The secret of a join token is in the answer and
//! nowhere else; the log holds its hash.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fairground_market::{JoinTokenList, MeRow};
use fairground_runtime::pki::JoinToken;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{
    AccountCommand, Actor, Channel, ClusterCommand, Command, CreateAccount, CreateJoinToken,
    JoinRole,
};
use fairground_types::limits::JOIN_TOKEN_LIFE_MAX;
use fairground_types::text::{Handle, Region};
use fairground_types::{Code, JoinTokenId, Millis, Role, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::guard::Caller;
use crate::auth;

/// Life of a join token when nothing else is asked for.
const TOKEN_LIFE: Millis = Millis::from_hours(1);
/// Addresses in one join token.
const ADDRESSES_MAX: usize = 16;

/// Body that makes a join token.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TokenBody {
    role: JoinRole,
    region: Option<String>,
    ttl_ms: Option<u64>,
}

/// A join token as it is shown once.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JoinTokenMade {
    /// What a new member or edge shows.
    token: String,
    token_id: JoinTokenId,
    expires_at: Timestamp,
}

/// Makes a join token.
#[utoipa::path(post, path = "/v1/cluster/tokens", operation_id = "createJoinToken", tag = "cluster",
    request_body = TokenBody,
    responses((status = 201, description = "The token; its secret is nowhere else.", body = JoinTokenMade)),
    security(("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "LIMIT_REACHED"]))))]
pub(super) async fn create_token(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiJson(body): ApiJson<TokenBody>,
) -> Result<Response, Problem> {
    caller.operator()?;
    let member = &api.member;
    let region = Region::parse(body.region.as_deref().unwrap_or("default"))
        .map_err(|error| Problem::invalid("region", error.to_string()))?;
    let life = body.ttl_ms.map_or(TOKEN_LIFE, Millis::new).min(JOIN_TOKEN_LIFE_MAX);
    let now = member.office.now().map_or_else(|| member.now(), |(_, now)| now);
    // The log may be a moment ahead of this clock; a life cut short by a second offends nobody.
    let life = life.min(Millis::new(JOIN_TOKEN_LIFE_MAX.as_millis() - 1_000));
    let expires_at = now.plus(life);
    let addresses: Vec<String> = member.state.read(|market| {
        market.members().map(|row| row.cluster_address.clone()).take(ADDRESSES_MAX).collect()
    });
    let token = JoinToken {
        cluster: member.cluster,
        ca_hash: member.admission.ca.hash(),
        id: JoinTokenId::from_bits(member.new_bits()),
        secret: JoinToken::new_secret(),
        role: body.role,
        region,
        addresses,
    };
    let command = Command::Cluster(ClusterCommand::CreateJoinToken(CreateJoinToken {
        token: token.id,
        secret: token.secret_digest(),
        role: token.role,
        region: token.region.clone(),
        expires_at,
    }));
    submit(member, Actor::Cluster, member.new_command("token"), command).await?;
    let text = token.expose_text().map_err(|error| Problem::internal(&error))?;
    let made = JoinTokenMade { token: text, token_id: token.id, expires_at };
    Ok((StatusCode::CREATED, fresh(made)).into_response())
}

/// Join tokens that are open, without their secrets.
#[utoipa::path(get, path = "/v1/cluster/tokens", operation_id = "listJoinTokens", tag = "cluster",
    responses((status = 200, description = "Open tokens.", body = JoinTokenList)),
    security(("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn tokens(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.operator()?;
    let tokens = api.member.state.read(fairground_market::Market::join_tokens);
    Ok(fresh(JoinTokenList { tokens }))
}

/// Ends a join token.
#[utoipa::path(delete, path = "/v1/cluster/tokens/{token}", operation_id = "deleteJoinToken", tag = "cluster",
    params(("token" = JoinTokenId, Path)),
    responses((status = 204, description = "It is gone.")),
    security(("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn revoke_token(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath(token): ApiPath<JoinTokenId>,
) -> Result<StatusCode, Problem> {
    caller.operator()?;
    let id = api.member.new_command("token");
    submit(
        &api.member,
        Actor::Cluster,
        id,
        Command::Cluster(ClusterCommand::RevokeJoinToken { token }),
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Body that makes an account.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AccountBody {
    identifier: String,
    channel: Channel,
    handle: Option<String>,
    #[serde(default)]
    roles: Vec<Role>,
}

/// Makes an account, or gives duties to the one that exists.
#[utoipa::path(post, path = "/v1/cluster/accounts", operation_id = "createAccount", tag = "cluster",
    request_body = AccountBody,
    responses((status = 200, description = "The account.", body = MeRow)),
    security(("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "HANDLE_TAKEN", "LIMIT_REACHED"]))))]
pub(super) async fn create_account(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiJson(body): ApiJson<AccountBody>,
) -> Result<Response, Problem> {
    caller.operator()?;
    let member = &api.member;
    let address = auth::normalise(&body.identifier, body.channel)
        .ok_or_else(|| Problem::invalid("identifier", "not an address of this channel"))?;
    let handle = body
        .handle
        .as_deref()
        .map(Handle::parse)
        .transpose()
        .map_err(|error| Problem::invalid("handle", error.to_string()))?;
    let identifier = auth::identifier_digest(&member.secrets, &address);
    let contact = auth::seal_contact(&member.secrets, &identifier, &address)
        .ok_or_else(|| Problem::from(Code::Internal))?;
    let command = Command::Account(AccountCommand::CreateAccount(CreateAccount {
        user: UserId::from_bits(member.new_bits()),
        identifier,
        contact,
        channel: body.channel,
        handle,
        roles: body.roles,
    }));
    submit(member, Actor::Cluster, member.new_command("account"), command).await?;
    let row =
        member.state.read(|market| market.me(market.account_by_identifier(&identifier)?.user()));
    row.map(fresh).ok_or_else(|| Problem::from(Code::Internal))
}
