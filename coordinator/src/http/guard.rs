//! Who is asking: an access token, or the key of this machine.
//!
//! The key counts from loopback alone, also when somebody has copied it. A token is checked offline
//! and against the sign-ins that the state knows as ended; duties come from the state, not from the
//! token, because here the state is at hand.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use fairground_runtime::error::AccessError;
use fairground_runtime::problem::Problem;
use fairground_runtime::secret;
use fairground_types::command::Actor;
use fairground_types::role::Action;
use fairground_types::text::IdempotencyKey;
use fairground_types::{Code, CommandId, SignInId, UserId};

use super::Api;

/// Whoever is asking.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// A command on this machine.
    Operator,
    /// A signed-in account.
    Account { user: UserId, sign_in: SignInId },
    /// Nobody that is known, from this machine.
    Local,
    /// Nobody that is known.
    Stranger,
}

impl Caller {
    /// On whose authority a command of this caller runs.
    pub(super) fn actor(&self) -> Result<Actor, Problem> {
        match self {
            Self::Operator => Ok(Actor::Cluster),
            Self::Account { user, .. } => Ok(Actor::User(*user)),
            Self::Local | Self::Stranger => Err(sign_in_first()),
        }
    }

    /// The command that this request is: of an account the same for the same key, of an operator a
    /// new one without a key.
    pub(super) fn command(
        &self,
        api: &Api,
        key: &IntentKey,
        operation: &str,
        target: &str,
    ) -> Result<CommandId, Problem> {
        match (self, &key.0) {
            (Self::Account { user, .. }, Some(key)) => {
                Ok(CommandId::derive(*user, key.as_str(), operation, target))
            }
            (Self::Account { .. }, None) => Err(Problem::from(Code::IdempotencyKeyRequired)),
            (Self::Operator, Some(key)) => {
                Ok(CommandId::derive_system(operation, target, key.as_str()))
            }
            (Self::Operator, None) => Ok(api.member.new_command(operation)),
            (Self::Local | Self::Stranger, _) => Err(sign_in_first()),
        }
    }

    /// The account, where only an account makes sense.
    pub(super) fn account(&self) -> Result<(UserId, SignInId), Problem> {
        match self {
            Self::Account { user, sign_in } => Ok((*user, *sign_in)),
            Self::Operator | Self::Local | Self::Stranger => Err(sign_in_first()),
        }
    }

    /// Passes who has a duty with this right, and this machine's operator.
    pub(super) fn may(&self, api: &Api, action: Action) -> Result<(), Problem> {
        let user = match self {
            Self::Operator => return Ok(()),
            Self::Account { user, .. } => *user,
            Self::Local | Self::Stranger => return Err(sign_in_first()),
        };
        let is_allowed = api.member.state.read(|market| {
            market
                .account(user)
                .is_some_and(|account| account.roles().iter().any(|role| role.may(action)))
        });
        if is_allowed { Ok(()) } else { Err(Problem::from(Code::Forbidden)) }
    }

    /// Passes this machine's operator alone.
    pub(super) fn operator(&self) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Account { .. } => Err(Problem::from(Code::Forbidden)),
            Self::Local | Self::Stranger => Err(sign_in_first()),
        }
    }
}

fn sign_in_first() -> Problem {
    Problem::from(Code::AuthRequired)
}

/// What a client names its intent by (`Idempotency-Key`).
#[derive(Clone, Debug)]
pub(super) struct IntentKey(Option<IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for IntentKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = header.to_str().unwrap_or_default();
        let key = IdempotencyKey::parse(text)
            .map_err(|error| Problem::invalid("Idempotency-Key", error.to_string()))?;
        Ok(Self(Some(key)))
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let is_local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            return Ok(if is_local { Self::Local } else { Self::Stranger });
        };
        let header = header.to_str().map_err(|_| sign_in_first())?;
        match header.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("admin") => {
                let fits = secret::equal(key.trim().as_bytes(), api.admin_key.as_bytes());
                if fits && is_local { Ok(Self::Operator) } else { Err(sign_in_first()) }
            }
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                account(api, token.trim())
            }
            Some(_) | None => Err(sign_in_first()),
        }
    }
}

fn account(api: &Api, token: &str) -> Result<Caller, Problem> {
    let member = &api.member;
    let claims =
        member.auth.verifier().verify(token, member.now()).map_err(|error| match error {
            AccessError::Expired => Problem::from(Code::TokenExpired),
            _ => sign_in_first(),
        })?;
    if member.state.read(|market| market.view().is_revoked(claims.sid)) {
        return Err(Problem::from(Code::SessionRevoked));
    }
    Ok(Caller::Account { user: claims.sub, sign_in: claims.sid })
}
