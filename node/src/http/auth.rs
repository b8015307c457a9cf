//! Who sends a request: the access token is checked offline, with the keys and the ended sign-ins
//! of the view.
//!
//! It must not decide what somebody may do; the market does. Read next:
//! `fairground_runtime::access`.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use fairground_runtime::problem::Problem;
use fairground_types::text::IdempotencyKey;
use fairground_types::{Code, CommandId, Millis, Role, SignInId, UserId};
use fairground_wire::message::PrivateText;

use super::problem_map;
use crate::edge::Edge;
use crate::link::forward::CallError;

const KEY_HEADER: &str = "idempotency-key";

/// The account behind a request.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) user: UserId,
    pub(crate) sign_in: SignInId,
    roles: Vec<Role>,
}

impl SignedIn {
    /// Whether the account had a duty when its token was made.
    pub(crate) fn had(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

fn bearer(headers: &HeaderMap) -> Option<Result<&str, Problem>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let malformed = || Problem::new(Code::AuthRequired, "the Authorization header is malformed");
    let Ok(text) = value.to_str() else { return Some(Err(malformed())) };
    let token = text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    Some(token.filter(|token| !token.is_empty()).ok_or_else(malformed))
}

fn check(edge: &Edge, token: &str) -> Result<SignedIn, Problem> {
    let keys = edge.view.keys();
    let Some(verifier) = &keys.access else {
        return Err(problem_map::call(CallError::Unavailable {
            retry_after: Millis::from_secs(1),
        }));
    };
    let claims = verifier.verify(token, edge.time.now()).map_err(problem_map::access)?;
    if edge.view.read(|view| view.is_revoked(claims.sid)) {
        return Err(Problem::new(Code::SessionRevoked, "this sign-in was ended"));
    }
    Ok(SignedIn { user: claims.sub, sign_in: claims.sid, roles: claims.roles.clone() })
}

/// Whoever a request comes from, found out once: an account, nobody, or a token that does not count.
#[derive(Clone, Debug)]
pub(crate) struct Identified(Option<Result<SignedIn, Problem>>);

impl Identified {
    /// The account, if there is one.
    pub(crate) fn account(&self) -> Option<&SignedIn> {
        self.0.as_ref()?.as_ref().ok()
    }
}

/// Finds out who sends a request.
pub(crate) fn identify(edge: &Edge, headers: &HeaderMap) -> Identified {
    let found = bearer(headers).map(|token| token.and_then(|token| check(edge, token)));
    Identified(found)
}

/// What [`identify`] found before the route, or finds now.
fn identified(parts: &Parts, edge: &Edge) -> Option<Result<SignedIn, Problem>> {
    let known = parts.extensions.get::<Identified>().cloned();
    known.unwrap_or_else(|| identify(edge, &parts.headers)).0
}

impl FromRequestParts<Arc<Edge>> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let first = || Err(Problem::new(Code::AuthRequired, "sign in first"));
        identified(parts, edge).unwrap_or_else(first)
    }
}

impl OptionalFromRequestParts<Arc<Edge>> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        edge: &Arc<Edge>,
    ) -> Result<Option<Self>, Problem> {
        identified(parts, edge).transpose()
    }
}

/// The name that a client gave its intent (`Idempotency-Key`).
#[derive(Clone, Debug)]
pub(crate) struct Intent(IdempotencyKey);

impl Intent {
    /// The command of this intent.
    pub(crate) fn command(&self, who: &SignedIn, operation: &str, target: &str) -> CommandId {
        CommandId::derive(who.user, self.0.as_str(), operation, target)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Intent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(KEY_HEADER) else {
            let detail = "name this request with an Idempotency-Key of 8 to 255 characters";
            return Err(Problem::new(Code::IdempotencyKeyRequired, detail));
        };
        let text = value.to_str().unwrap_or_default();
        IdempotencyKey::parse(text)
            .map(Self)
            .map_err(|error| Problem::invalid("Idempotency-Key", error.to_string()))
    }
}

/// The network address that a client comes from, for limits that the cluster counts; the cluster keeps
/// a keyed hash of it. None for this machine, where a proxy of the operator asks for many.
#[derive(Clone, Debug)]
pub(crate) struct Origin(pub(crate) Option<PrivateText>);

impl FromRequestParts<Arc<Edge>> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = peer.map(|peer| peer.0.ip().to_canonical());
        let counts = |address: &IpAddr| !address.is_loopback() || edge.options.limit_this_machine;
        Ok(Self(address.filter(counts).map(|address| PrivateText::new(address.to_string()))))
    }
}

/// How long a client wants to wait (`Prefer: wait=N`, RFC 7240 section 4.3), in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PreferredWait(pub(crate) Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for PreferredWait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let values = parts.headers.get_all("prefer").iter();
        let wait = values.filter_map(|value| value.to_str().ok()).find_map(wait_of);
        Ok(Self(wait))
    }
}

/// The `wait` preference among others; what is not understood is ignored, as the standard says.
fn wait_of(header: &str) -> Option<u64> {
    header.split([',', ';']).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_found_among_other_preferences() {
        assert_eq!(wait_of("wait=5"), Some(5));
        assert_eq!(wait_of("respond-async, wait=10"), Some(10));
        assert_eq!(wait_of("return=minimal; foo=\"x\", Wait = \"3\""), Some(3));
        assert_eq!(wait_of("wait=soon"), None);
        assert_eq!(wait_of("await=4"), None);
    }

    #[test]
    fn bearer_tokens_are_read_or_refused() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("header"));
            bearer(&headers).map(|token| token.map(str::to_owned).map_err(|_| ()))
        };
        assert_eq!(with("Bearer abc"), Some(Ok("abc".to_owned())));
        assert_eq!(with("bearer  abc "), Some(Ok("abc".to_owned())));
        assert_eq!(with("Basic abc"), Some(Err(())));
        assert_eq!(with("Bearer "), Some(Err(())));
        assert!(bearer(&HeaderMap::new()).is_none());
    }
}
