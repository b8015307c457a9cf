//! Signing in: one-time codes, access tokens, refresh tokens.
//!
//! ```text
//!  request   code made by the leader, kept in its memory; the log holds HMAC(code key, code)
//!  verify    HMAC of what was typed goes into the log; accepted -> tokens
//!  refresh   text  fgr1.<sign-in>.<secret>   the log holds the hash of the secret
//! ```
//! Addresses are normalised here, hashed under the code key to be found again, and sealed under a
//! key of their own to be read again. After a change of leader a code that was not sent is gone and
//! the person asks again. Read next: `effects/mod.rs` for how a code is sent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_runtime::access::{Minter, Verifier};
use fairground_runtime::ids::random_bytes;
use fairground_runtime::secret::{DataKey, mac};
use fairground_types::command::{
    AccountCommand, Actor, Channel, Command, Envelope, RefreshSignIn, RequestCode, SealedContact,
    VerifyCode,
};
use fairground_types::limits::{ACCESS_TOKEN_LIFE, CHALLENGES_MAX, CODE_LIFE};
use fairground_types::text::{normalise_email, normalise_phone};
use fairground_types::{
    Accepted, ChallengeId, Code, CommandId, Digest, Millis, Rejection, Role, SignInId, Timestamp,
    UserId, Verdict,
};
use serde::Serialize;

use crate::effects::code_words;
use crate::error::Error;
use crate::identity::Secrets;
use crate::member::Member;
use crate::propose::ProposeError;

const REFRESH_PREFIX: &str = "fgr1";

/// Keys and codes of this member.
pub(crate) struct Auth {
    minter: Minter,
    verifier: Verifier,
    codes: Mutex<BTreeMap<ChallengeId, PendingCode>>,
}

/// A code, or a way back, that waits to be sent.
#[derive(Clone)]
pub(crate) struct PendingCode {
    /// What it says, a subject and a text.
    pub(crate) words: (&'static str, String),
    pub(crate) address: String,
    pub(crate) channel: Channel,
    pub(crate) expires_at: Timestamp,
}

/// Why there are no tokens.
#[derive(Debug)]
pub(crate) enum AuthError {
    /// The market, or the form, said no.
    Rejected(Rejection),
    /// No verdict.
    Propose(ProposeError),
    /// A fault of ours; already logged.
    Internal,
}

impl From<ProposeError> for AuthError {
    fn from(error: ProposeError) -> Self {
        Self::Propose(error)
    }
}

pub(crate) fn rejected(code: Code, detail: &str) -> AuthError {
    AuthError::Rejected(Rejection::new(code, detail))
}

/// Tokens of a sign-in, as clients get them.
#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_in_ms: u64,
    user: SignedInUser,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<bool>,
}

impl Tokens {
    /// The same, saying whether the account is new.
    pub(crate) fn with_created(self, created: bool) -> Self {
        Self { created: Some(created), ..self }
    }
}

#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct SignedInUser {
    user_id: UserId,
    handle: Option<String>,
    roles: Vec<Role>,
}

/// What the answer to a request for a code says, whether the address is known or not.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CodeRequested {
    expires_in_ms: u64,
}

impl Auth {
    pub(crate) fn new(
        secrets: &Secrets,
        cluster: fairground_types::ClusterId,
    ) -> Result<Self, Error> {
        let minter = Minter::new(cluster, secrets.access.expose_pkcs8(), &secrets.access_kid)?;
        let keys = [(secrets.access_kid.clone(), *secrets.access.public())];
        let verifier = Verifier::new(cluster, keys);
        Ok(Self { minter, verifier, codes: Mutex::default() })
    }

    /// Checks access tokens.
    pub(crate) const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn codes(&self) -> MutexGuard<'_, BTreeMap<ChallengeId, PendingCode>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, challenge: ChallengeId, code: PendingCode, now: Timestamp) {
        let mut codes = self.codes();
        codes.retain(|_, pending| pending.expires_at > now);
        if codes.len() < CHALLENGES_MAX {
            codes.insert(challenge, code);
        }
    }

    /// Takes the code of a challenge, once: it is sent or it is not.
    pub(crate) fn take_code(&self, challenge: ChallengeId) -> Option<PendingCode> {
        self.codes().remove(&challenge)
    }
}

/// One spelling of an address.
pub(crate) fn normalise(identifier: &str, channel: Channel) -> Option<String> {
    match channel {
        Channel::Email => normalise_email(identifier),
        Channel::Sms => normalise_phone(identifier),
    }
}

/// How an address travels, by its look; what was typed at sign-in does not say.
pub(crate) fn channel_of(identifier: &str) -> Channel {
    if identifier.contains('@') { Channel::Email } else { Channel::Sms }
}

/// Finds an address again without being able to read it.
pub(crate) fn identifier_digest(secrets: &Secrets, normalised: &str) -> Digest {
    mac(&secrets.code, &[b"identifier", normalised.as_bytes()])
}

/// Tells requests from one network apart from others without keeping where they came from. A home
/// has a whole /64 of IPv6.
pub(crate) fn origin_digest(secrets: &Secrets, origin: &str) -> Option<Digest> {
    let address: IpAddr = origin.parse().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V4(address) => mac(&secrets.code, &[b"origin", &address.octets()]),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let (network, _) = octets.split_at(8);
            mac(&secrets.code, &[b"origin", network])
        }
    })
}

fn code_digest(secrets: &Secrets, identifier: &Digest, code: &str) -> Digest {
    mac(&secrets.code, &[b"code", identifier.as_bytes(), code.as_bytes()])
}

/// Seals an address under a key of its own, and that key under the epoch key.
pub(crate) fn seal_contact(
    secrets: &Secrets,
    identifier: &Digest,
    address: &str,
) -> Option<SealedContact> {
    let key = DataKey::generate();
    let wrapped_key = secrets.epoch.wrap(identifier.as_bytes(), &key).ok()?;
    let sealed = key.seal(identifier.as_bytes(), address.as_bytes()).ok()?;
    Some(SealedContact { wrapped_key, sealed })
}

/// Reads an address that [`seal_contact`] sealed.
pub(crate) fn open_contact(
    secrets: &Secrets,
    identifier: &Digest,
    contact: &SealedContact,
) -> Option<String> {
    let key = secrets.epoch.unwrap_key(identifier.as_bytes(), &contact.wrapped_key).ok()?;
    let address = key.open(identifier.as_bytes(), &contact.sealed).ok()?;
    String::from_utf8(address).ok()
}

/// Six digits, each code as likely as any other.
fn new_code() -> String {
    // The remainder of 2^64 by a million favours no code by more than one part in 10^13.
    format!("{:06}", u64::from_le_bytes(random_bytes::<8>()) % 1_000_000)
}

pub(crate) fn refresh_digest(secret: &[u8]) -> Digest {
    Digest::of(secret)
}

fn refresh_text(sign_in: SignInId, secret: &[u8; 32]) -> String {
    format!("{REFRESH_PREFIX}.{sign_in}.{}", URL_SAFE_NO_PAD.encode(secret))
}

fn parse_refresh(text: &str) -> Option<(SignInId, Vec<u8>)> {
    let mut parts = text.split('.');
    let (Some(REFRESH_PREFIX), Some(sign_in), Some(secret), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let secret = URL_SAFE_NO_PAD.decode(secret).ok().filter(|secret| secret.len() == 32)?;
    Some((sign_in.parse().ok()?, secret))
}

pub(crate) fn anonymous(id: CommandId, command: Command) -> Envelope {
    Envelope { id, actor: Actor::Anonymous, command }
}

/// Makes a code on this member, which should lead, and has it sent.
pub(crate) async fn request_code(
    member: &Member,
    identifier: &str,
    channel: Channel,
    origin: Option<&str>,
) -> Result<CodeRequested, AuthError> {
    let address = normalise(identifier, channel)
        .ok_or_else(|| rejected(Code::ValidationFailed, "the address is not valid"))?;
    let digest = identifier_digest(&member.secrets, &address);
    let contact = seal_contact(&member.secrets, &digest, &address).ok_or(AuthError::Internal)?;
    let challenge = ChallengeId::from_bits(member.new_bits());
    let code = new_code();
    let now = member.now();
    let command = Command::Account(AccountCommand::RequestCode(RequestCode {
        challenge,
        identifier: digest,
        contact,
        channel,
        code: code_digest(&member.secrets, &digest, &code),
        origin: origin.and_then(|origin| origin_digest(&member.secrets, origin)),
    }));
    let words = code_words(&code);
    let pending = PendingCode { words, address, channel, expires_at: now.plus(CODE_LIFE) };
    send(member, (challenge, pending, CODE_LIFE), anonymous(member.new_command("code"), command))
        .await
}

/// Puts a request into the log whose words wait in this leader's memory.
pub(crate) async fn send(
    member: &Member,
    (challenge, pending, life): (ChallengeId, PendingCode, Millis),
    envelope: Envelope,
) -> Result<CodeRequested, AuthError> {
    // Kept first: the effect may be looked for the moment the entry is applied.
    member.auth.keep(challenge, pending, member.now());
    let judged = member.proposer.submit(envelope).await;
    match judged.map(|judged| judged.verdict) {
        Ok(Verdict::Accepted(_)) => Ok(CodeRequested { expires_in_ms: life.as_millis() }),
        Ok(Verdict::Rejected(rejection)) => {
            member.auth.take_code(challenge);
            Err(AuthError::Rejected(rejection))
        }
        Err(error) => Err(error.into()),
    }
}

/// Exchanges a code for tokens.
pub(crate) async fn verify_code(
    member: &Member,
    identifier: &str,
    code: &str,
) -> Result<Tokens, AuthError> {
    let wrong = || rejected(Code::OtpInvalid, "the code is wrong");
    let address = normalise(identifier, channel_of(identifier)).ok_or_else(wrong)?;
    let code = code.trim();
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let digest = identifier_digest(&member.secrets, &address);
    let secret = random_bytes::<32>();
    let command = Command::Account(AccountCommand::VerifyCode(VerifyCode {
        identifier: digest,
        code: code_digest(&member.secrets, &digest, code),
        new_user: UserId::from_bits(member.new_bits()),
        sign_in: SignInId::from_bits(member.new_bits()),
        refresh: refresh_digest(&secret),
    }));
    let envelope = anonymous(member.new_command("verify"), command);
    let (tokens, created) = sign_in(member, envelope, &secret).await?;
    Ok(tokens.with_created(created))
}

/// Exchanges a refresh token for tokens.
pub(crate) async fn refresh(member: &Member, token: &str) -> Result<Tokens, AuthError> {
    let (sign_in_id, presented) = parse_refresh(token.trim())
        .ok_or_else(|| rejected(Code::AuthRequired, "the refresh token is not valid"))?;
    let secret = random_bytes::<32>();
    let command = Command::Account(AccountCommand::RefreshSignIn(RefreshSignIn {
        sign_in: sign_in_id,
        presented: refresh_digest(&presented),
        next: refresh_digest(&secret),
    }));
    let envelope = anonymous(member.new_command("refresh"), command);
    sign_in(member, envelope, &secret).await.map(|(tokens, _)| tokens)
}

/// Gives a command that signs somebody in, and makes their tokens.
pub(crate) async fn sign_in(
    member: &Member,
    envelope: Envelope,
    secret: &[u8; 32],
) -> Result<(Tokens, bool), AuthError> {
    let (user, sign_in, created, roles) = match member.proposer.submit(envelope).await?.verdict {
        Verdict::Accepted(Accepted::SignedIn { user, sign_in, created, roles }) => {
            (user, sign_in, created, roles)
        }
        Verdict::Rejected(rejection) => return Err(AuthError::Rejected(rejection)),
        Verdict::Accepted(_) => return Err(AuthError::Internal),
    };
    let now = member.now();
    let access = member.auth.minter.mint(user, sign_in, &roles, now);
    let access_token = access.map_err(|error| {
        tracing::error!(%error, "access token not minted");
        AuthError::Internal
    })?;
    let handle = member.state.read(|market| {
        let account = market.account(user)?;
        account.handle().map(ToString::to_string)
    });
    let tokens = Tokens {
        access_token,
        refresh_token: refresh_text(sign_in, secret),
        expires_in_ms: ACCESS_TOKEN_LIFE.as_millis(),
        user: SignedInUser { user_id: user, handle, roles },
        created: None,
    };
    Ok((tokens, created))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_spelling() {
        let mail = |text| normalise(text, Channel::Email);
        assert_eq!(mail(" Buyer-7@Example.EXAMPLE "), Some("buyer-7@example.example".to_owned()));
        assert_eq!(mail("nobody"), None);
        assert_eq!(mail("@example.example"), None);
        let number = |text| normalise(text, Channel::Sms);
        assert_eq!(number("+49 (170) 123-4567"), Some("+491701234567".to_owned()));
        assert_eq!(number("0170 1234567"), None);
        assert_eq!(number("+49abc1701234567"), None);
    }

    #[test]
    fn code_is_six_digits_and_its_hash_depends_on_the_address() {
        let secrets = Secrets::generate().expect("made");
        let code = new_code();
        assert_eq!(code.len(), 6);
        let one = identifier_digest(&secrets, "a@example.example");
        let other = identifier_digest(&secrets, "b@example.example");
        assert_ne!(code_digest(&secrets, &one, &code), code_digest(&secrets, &other, &code));
    }

    #[test]
    fn an_origin_is_a_network_and_nothing_else() {
        let secrets = Secrets::generate().expect("made");
        let of = |text: &str| origin_digest(&secrets, text);
        assert!(of("192.0.2.1").is_some());
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::7"), of("2001:db8:1:2:9::1"));
        assert_ne!(of("2001:db8:1:2::7"), of("2001:db8:1:3::7"));
        assert_eq!(of("somewhere"), None);
    }

    #[test]
    fn sealed_address_opens_for_its_account_alone() {
        let secrets = Secrets::generate().expect("made");
        let one = identifier_digest(&secrets, "a@example.example");
        let other = identifier_digest(&secrets, "b@example.example");
        let sealed = seal_contact(&secrets, &one, "a@example.example").expect("sealed");
        let opened = open_contact(&secrets, &one, &sealed);
        assert_eq!(opened.as_deref(), Some("a@example.example"));
        assert_eq!(open_contact(&secrets, &other, &sealed), None);
    }

    #[test]
    fn refresh_token_text_round_trips() {
        let sign_in = SignInId::from_bits(7);
        let text = refresh_text(sign_in, &[9; 32]);
        assert_eq!(parse_refresh(&text), Some((sign_in, vec![9; 32])));
        assert_eq!(parse_refresh("fgr1.sig_x.y"), None);
        assert_eq!(parse_refresh(&format!("{text}.more")), None);
    }
}
