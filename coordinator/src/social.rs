//! Sign-in by somebody else's word: Apple's or Google's.
//!
//! ```text
//!  identity token -> whom it vouches for -> SignInSocial -> tokens
//!                                                \-> the address has an account: a link token, to be
//!  link token + signed in -> LinkIdentity             shown by whoever signs in to that account
//!  text  fgl1.<provider, subject, address, end>.<mac>
//! ```
//! Which account somebody is, and whether it may be linked, is the market's to say. A link token holds
//! hashes alone and counts for the account of its address. Read next: `people/social.rs` of the market.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_market::IdentityList;
use fairground_providers::{
    IssuerOptions, Ports, SignIn, SignInError, SignInProvider, VerifiedIdentity,
};
use fairground_runtime::ids::random_bytes;
use fairground_runtime::secret::{equal, mac};
use fairground_types::command::{
    Actor, Channel, Command, Envelope, PeopleCommand, SealedContact, SignInSocial,
};
use fairground_types::limits::LINK_TOKEN_LIFE;
use fairground_types::people::{Identity, IdentityProvider};
use fairground_types::{Code, CommandId, Digest, Rejection, SignInId, Timestamp, UserId, Verdict};
use serde::Serialize;

use crate::auth::{self, AuthError, Tokens};
use crate::effects::warn_of;
use crate::error::Error;
use crate::identity::Secrets;
use crate::member::Member;
use crate::options::SignInOptions;

const LINK_PREFIX: &str = "fgl1";
const LINK_BYTES: usize = 1 + 32 + 32 + 8;

/// What signing in by a provider's word came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SocialSignIn {
    /// Whether the address has an account already, which must be signed in to first.
    link_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
}

/// Checks identity tokens as configured.
#[derive(Debug)]
pub struct Social {
    sign_in: SignIn,
}

impl Social {
    /// Sign-in for the apps that `options` names; without any, every token is refused as switched
    /// off.
    ///
    /// # Errors
    /// [`Error::Provider`] when no client can be made.
    pub fn new(options: &SignInOptions, ports: Ports) -> Result<Self, Error> {
        warn_of("sign_in.apple_keys_url", options.apple_keys_url.as_deref());
        warn_of("sign_in.google_keys_url", options.google_keys_url.as_deref());
        let issuer = |ids: &[String], keys_url: &Option<String>| {
            let (client_ids, keys_url) = (ids.to_vec(), keys_url.clone());
            (!ids.is_empty()).then_some(IssuerOptions { client_ids, keys_url })
        };
        let apple = issuer(&options.apple_client_ids, &options.apple_keys_url);
        let google = issuer(&options.google_client_ids, &options.google_keys_url);
        let sign_in = SignIn::new(apple, google, ports).map_err(Error::provider)?;
        Ok(Self { sign_in })
    }

    /// Whether anybody is believed at this provider's word.
    #[must_use]
    pub const fn is_on(&self, provider: SignInProvider) -> bool {
        self.sign_in.is_on(provider)
    }

    /// Says whom a token vouches for; `nonce` is the one given out for this sign-in.
    ///
    /// # Errors
    /// [`SignInError::Refused`] for a token that is not to be believed, [`SignInError::Off`] for a
    /// provider that is not configured, [`SignInError::Keys`] when its keys cannot be had now.
    pub async fn verify_social(
        &self,
        provider: SignInProvider,
        id_token: &str,
        nonce: &str,
    ) -> Result<VerifiedIdentity, SignInError> {
        self.sign_in.verify(provider, id_token, nonce).await
    }
}

const fn asked_of(provider: IdentityProvider) -> SignInProvider {
    match provider {
        IdentityProvider::Apple => SignInProvider::Apple,
        IdentityProvider::Google => SignInProvider::Google,
    }
}

fn not_believed(error: SignInError) -> AuthError {
    match error {
        SignInError::Off => {
            auth::rejected(Code::FeatureDisabled, "this way to sign in is switched off here")
        }
        SignInError::Keys(error) => {
            tracing::warn!(%error, "keys of a sign-in provider not had");
            let detail = "the provider cannot be asked now";
            auth::rejected(Code::ExternalServiceUnavailable, detail)
        }
        error => {
            tracing::info!(%error, "identity token refused");
            auth::rejected(Code::SocialTokenInvalid, "the provider's token is not valid")
        }
    }
}

/// Signs somebody in by a provider's token and the nonce that they gave it.
pub(crate) async fn sign_in(
    member: &Member,
    provider: IdentityProvider,
    (id_token, nonce): (&str, &str),
) -> Result<SocialSignIn, AuthError> {
    let vouched = member.social.verify_social(asked_of(provider), id_token, nonce).await;
    let vouched = vouched.map_err(not_believed)?;
    let secrets = &member.secrets;
    let subject =
        [b"identity".as_slice(), provider.as_str().as_bytes(), vouched.subject.as_bytes()];
    let identity = Identity { provider, subject: mac(&secrets.code, &subject) };
    // An address that was not checked says nothing.
    let address = vouched.email.filter(|_| vouched.email_verified);
    let address = address.and_then(|address| auth::normalise(&address, Channel::Email));
    let (identifier, contact) = match &address {
        Some(address) => {
            let identifier = auth::identifier_digest(secrets, address);
            let contact = auth::seal_contact(secrets, &identifier, address);
            (identifier, contact.ok_or(AuthError::Internal)?)
        }
        None => (identity.subject, SealedContact { wrapped_key: Vec::new(), sealed: Vec::new() }),
    };
    let secret = random_bytes::<32>();
    let command = Command::People(PeopleCommand::SignInSocial(SignInSocial {
        identity,
        identifier,
        contact,
        new_user: UserId::from_bits(member.new_bits()),
        sign_in: SignInId::from_bits(member.new_bits()),
        refresh: auth::refresh_digest(&secret),
    }));
    let envelope = auth::anonymous(member.new_command("social"), command);
    match auth::sign_in(member, envelope, &secret).await {
        Ok((tokens, created)) => Ok(SocialSignIn {
            link_required: false,
            link_token: None,
            tokens: Some(tokens.with_created(created)),
        }),
        Err(AuthError::Rejected(Rejection { code: Code::LinkRequired, .. })) => {
            let end = member.now().plus(LINK_TOKEN_LIFE);
            let link_token = Some(link_text(secrets, identity, identifier, end));
            Ok(SocialSignIn { link_required: true, link_token, tokens: None })
        }
        Err(error) => Err(error),
    }
}

fn link_text(secrets: &Secrets, identity: Identity, address: Digest, end: Timestamp) -> String {
    let provider = match identity.provider {
        IdentityProvider::Apple => 1_u8,
        IdentityProvider::Google => 2,
    };
    let mut told = vec![provider];
    told.extend_from_slice(identity.subject.as_bytes());
    told.extend_from_slice(address.as_bytes());
    told.extend_from_slice(&end.as_unix_millis().to_le_bytes());
    let seal = mac(&secrets.code, &[b"link token", &told]);
    let (told, seal) = (URL_SAFE_NO_PAD.encode(told), URL_SAFE_NO_PAD.encode(seal.as_bytes()));
    format!("{LINK_PREFIX}.{told}.{seal}")
}

fn parse_link(secrets: &Secrets, text: &str, now: Timestamp) -> Option<(Identity, Digest)> {
    let mut parts = text.trim().split('.');
    let (Some(LINK_PREFIX), Some(told), Some(seal), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let told = URL_SAFE_NO_PAD.decode(told).ok().filter(|told| told.len() == LINK_BYTES)?;
    let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
    if !equal(&seal, mac(&secrets.code, &[b"link token", &told]).as_bytes()) {
        return None;
    }
    let (provider, rest) = told.split_first()?;
    let (subject, rest) = rest.split_at_checked(32)?;
    let (address, end) = rest.split_at_checked(32)?;
    let end = Timestamp::from_unix_millis(u64::from_le_bytes(end.try_into().ok()?));
    let provider = match provider {
        1 => IdentityProvider::Apple,
        2 => IdentityProvider::Google,
        _ => return None,
    };
    let digest = |bytes: &[u8]| Some(Digest::from_bytes(bytes.try_into().ok()?));
    let identity = Identity { provider, subject: digest(subject)? };
    (end > now).then_some((identity, digest(address)?))
}

/// Adds the way to sign in that a link token names to the account that shows it.
pub(crate) async fn link(
    member: &Member,
    user: UserId,
    text: &str,
) -> Result<IdentityList, AuthError> {
    let parsed = parse_link(&member.secrets, text, member.now());
    let not_one = || auth::rejected(Code::TokenExpired, "the link does not count, sign in again");
    let (identity, identifier) = parsed.ok_or_else(not_one)?;
    // Linking twice is linking: no key is asked of the client.
    let id = CommandId::derive(user, &Digest::of(text.as_bytes()).to_string(), "link", "");
    let command = Command::People(PeopleCommand::LinkIdentity { identity, identifier });
    let envelope = Envelope { id, actor: Actor::User(user), command };
    match member.proposer.submit(envelope).await?.verdict {
        Verdict::Accepted(_) => Ok(member.state.read(|market| market.identities_of(user))),
        Verdict::Rejected(rejection) => Err(AuthError::Rejected(rejection)),
    }
}

#[cfg(test)]
mod tests {
    use fairground_types::Millis;

    use super::*;

    #[test]
    fn a_link_counts_as_it_was_made_and_in_time() {
        let secrets = Secrets::generate().expect("made");
        let now = Timestamp::from_unix_millis(1_000_000);
        let identity = Identity { provider: IdentityProvider::Google, subject: Digest::of(b"g-1") };
        let address = Digest::of(b"a");
        let text = link_text(&secrets, identity, address, now.plus(Millis::from_secs(1)));
        assert_eq!(parse_link(&secrets, &text, now), Some((identity, address)));
        assert_eq!(parse_link(&secrets, &text, now.plus(Millis::from_secs(1))), None, "over");
        let other = Secrets::generate().expect("made");
        assert_eq!(parse_link(&other, &text, now), None, "another cluster's");
        let forged = link_text(&other, identity, address, now.plus(Millis::from_secs(9)));
        let (told, _) = forged.rsplit_once('.').expect("three parts");
        let (_, seal) = text.rsplit_once('.').expect("three parts");
        assert_eq!(parse_link(&secrets, &format!("{told}.{seal}"), now), None, "another end");
    }
}
