//! A way back into an account: a token to its address, once, within a quarter of an hour.
//!
//! ```text
//!  text  fgw1.<request>.<secret>     the log holds the hash of the secret
//! ```
//! Made by the leader, whose memory alone holds the token until it is sent; the answer is the same
//! whether the address is known or not. Read next: `people/recovery.rs` of the market.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_runtime::ids::random_bytes;
use fairground_types::command::{Command, PeopleCommand, RedeemRecovery, RequestRecovery};
use fairground_types::limits::RECOVERY_LIFE;
use fairground_types::{ChallengeId, Code, Digest, SignInId, Verdict};
use serde::Serialize;

use crate::auth::{self, AuthError, CodeRequested, PendingCode, Tokens};
use crate::effects::recovery_words;
use crate::member::Member;

const PREFIX: &str = "fgw1";

/// A way back was voided.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Denied {
    denied: bool,
}

fn text_of(request: ChallengeId, secret: &[u8; 32]) -> String {
    format!("{PREFIX}.{request}.{}", URL_SAFE_NO_PAD.encode(secret))
}

fn parse(text: &str) -> Option<(ChallengeId, Digest)> {
    let mut parts = text.trim().split('.');
    let (Some(PREFIX), Some(request), Some(secret), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let secret = URL_SAFE_NO_PAD.decode(secret).ok().filter(|secret| secret.len() == 32)?;
    Some((request.parse().ok()?, Digest::of(&secret)))
}

fn not_one() -> AuthError {
    auth::rejected(Code::TokenExpired, "the way back does not count, ask for a new one")
}

/// What device a client says it is, in our words: a stranger may ask, and none of theirs go out.
fn device_of(agent: &str) -> &'static str {
    let known = [
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Android", "an Android device"),
        ("Windows", "a Windows computer"),
        ("Mac", "a Mac"),
        ("Linux", "a Linux computer"),
    ];
    let found = known.iter().find(|(name, _)| agent.contains(name));
    found.map_or("an unknown device", |(_, words)| words)
}

/// Makes a way back on this member, which should lead, and has it sent.
pub(crate) async fn request(
    member: &Member,
    identifier: &str,
    (origin, agent): (Option<&str>, &str),
) -> Result<CodeRequested, AuthError> {
    let channel = auth::channel_of(identifier);
    let address = auth::normalise(identifier, channel)
        .ok_or_else(|| auth::rejected(Code::ValidationFailed, "the address is not valid"))?;
    let digest = auth::identifier_digest(&member.secrets, &address);
    let recovery = ChallengeId::from_bits(member.new_bits());
    let secret = random_bytes::<32>();
    let command = Command::People(PeopleCommand::RequestRecovery(RequestRecovery {
        recovery,
        identifier: digest,
        secret: Digest::of(&secret),
        origin: origin.and_then(|origin| auth::origin_digest(&member.secrets, origin)),
    }));
    let token = text_of(recovery, &secret);
    let words = recovery_words(&token, (device_of(agent), origin), member.app_url.as_deref());
    let expires_at = member.now().plus(RECOVERY_LIFE);
    let pending = PendingCode { words, address, channel, expires_at };
    let envelope = auth::anonymous(member.new_command("recovery"), command);
    auth::send(member, (recovery, pending, RECOVERY_LIFE), envelope).await
}

/// Exchanges a way back for tokens; every other sign-in of the account ends.
pub(crate) async fn redeem(member: &Member, token: &str) -> Result<Tokens, AuthError> {
    let (recovery, shown) = parse(token).ok_or_else(not_one)?;
    let secret = random_bytes::<32>();
    let command = Command::People(PeopleCommand::RedeemRecovery(RedeemRecovery {
        recovery,
        secret: shown,
        sign_in: SignInId::from_bits(member.new_bits()),
        refresh: auth::refresh_digest(&secret),
    }));
    let envelope = auth::anonymous(member.new_command("redeem"), command);
    auth::sign_in(member, envelope, &secret).await.map(|(tokens, _)| tokens)
}

/// Voids a way back.
pub(crate) async fn deny(member: &Member, token: &str) -> Result<Denied, AuthError> {
    let (recovery, secret) = parse(token).ok_or_else(not_one)?;
    let command = Command::People(PeopleCommand::DenyRecovery { recovery, secret });
    let envelope = auth::anonymous(member.new_command("deny"), command);
    match member.proposer.submit(envelope).await?.verdict {
        Verdict::Accepted(_) => Ok(Denied { denied: true }),
        Verdict::Rejected(rejection) => Err(AuthError::Rejected(rejection)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_round_trips_and_nothing_else_is_one() {
        let request = ChallengeId::from_bits(7);
        let text = text_of(request, &[9; 32]);
        assert_eq!(parse(&text), Some((request, Digest::of(&[9; 32]))));
        assert_eq!(parse(&format!("{text}.x")), None);
        assert_eq!(parse("fgw1.x.y"), None);
    }

    #[test]
    fn what_a_client_calls_itself_is_told_in_our_words() {
        assert_eq!(device_of("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0)"), "an iPhone");
        assert_eq!(device_of("Mozilla/5.0 (Linux; Android 16)"), "an Android device");
        assert_eq!(device_of("see http://x.example\r\n"), "an unknown device");
    }
}
