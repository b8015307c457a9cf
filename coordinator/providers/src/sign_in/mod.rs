//! Checks the identity tokens by which Apple and Google vouch for somebody (OpenID Connect Core 1.0,
//! section 3.1.3.7).
//!
//! The algorithm is bound to the kind of key in the issuer's key set, never taken from the token. The
//! audience is one of our client ids, the nonce the one of this sign-in. It must not know accounts:
//! who somebody is here is the market's to say. Read next: `keys.rs`, `apple.rs`.

mod apple;
mod keys;

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use crate::call::{Guard, Policy, Ports};
use crate::error::ProviderError;
pub use apple::{AppleCodes, AppleCodesOptions, AppleTokens};
use keys::{KeySet, PublicKey};

const TOKEN_BYTES_MAX: usize = 8_192;
const SUBJECT_CHARS_MAX: usize = 255;
const EMAIL_BYTES_MAX: usize = 320;
/// How far clocks may differ.
const LEEWAY_SECS: u64 = 60;

/// Who vouches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignInProvider {
    /// Sign in with Apple.
    Apple,
    /// Sign in with Google.
    Google,
}

/// Somebody, as vouched for. The pair of provider and subject is the identity; the address is not.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedIdentity {
    /// Who vouches.
    pub provider: SignInProvider,
    /// The provider's name for them; it never changes.
    pub subject: String,
    /// An address, if the provider told one.
    pub email: Option<String>,
    /// Whether the provider checked that the address is theirs.
    pub email_verified: bool,
    /// Whether the address is a relay of the provider's, which may be cut.
    pub is_relay: bool,
}

impl std::fmt::Debug for VerifiedIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedIdentity")
            .field("provider", &self.provider)
            .field("email_verified", &self.email_verified)
            .field("is_relay", &self.is_relay)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It is no token, or too long, or lacks a claim.
    Malformed,
    /// It is signed by another algorithm than its key's.
    Algorithm,
    /// No key of the issuer has its name.
    UnknownKey,
    /// The signature is not of that key.
    Signature,
    /// Somebody else issued it.
    Issuer,
    /// It was issued for another app.
    Audience,
    /// It has ended.
    Expired,
    /// It was issued in the future.
    Future,
    /// It belongs to another sign-in.
    Nonce,
}

/// Nobody was vouched for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// This provider is not configured.
    #[error("use a sign-in that is switched off")]
    Off,
    /// The token is not to be believed.
    #[error("believe the identity token ({0:?})")]
    Refused(TokenFault),
    /// The issuer's keys could not be had.
    #[error("fetch the issuer's keys")]
    Keys(#[source] ProviderError),
}

/// For which apps a provider vouches, and where its keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerOptions {
    /// Our client ids: web, Android, iOS.
    pub client_ids: Vec<String>,
    /// Where the keys are; the provider's own when absent.
    pub keys_url: Option<String>,
}

/// Checks identity tokens.
#[derive(Debug)]
pub struct SignIn {
    apple: Option<Issuer>,
    google: Option<Issuer>,
    ports: Ports,
}

#[derive(Debug)]
struct Issuer {
    provider: SignInProvider,
    names: &'static [&'static str],
    client_ids: Vec<String>,
    keys: KeySet,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: u64,
    iat: u64,
    nonce: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: Value,
    #[serde(default)]
    is_private_email: Value,
}

impl SignIn {
    /// Sign-in by what is configured.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`].
    pub fn new(
        apple: Option<IssuerOptions>,
        google: Option<IssuerOptions>,
        ports: Ports,
    ) -> Result<Self, ProviderError> {
        let issuer = |options: Option<IssuerOptions>, provider| {
            options.map(|options| Issuer::new(options, provider, &ports)).transpose()
        };
        let apple = issuer(apple, SignInProvider::Apple)?;
        let google = issuer(google, SignInProvider::Google)?;
        Ok(Self { apple, google, ports })
    }

    /// Whether this provider is configured.
    #[must_use]
    pub const fn is_on(&self, provider: SignInProvider) -> bool {
        match provider {
            SignInProvider::Apple => self.apple.is_some(),
            SignInProvider::Google => self.google.is_some(),
        }
    }

    /// Says whom a token vouches for.
    ///
    /// `nonce` is the one given out for this sign-in; the token holds it, or its SHA-256 in lower hex
    /// where the app hashed it.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub async fn verify(
        &self,
        provider: SignInProvider,
        id_token: &str,
        nonce: &str,
    ) -> Result<VerifiedIdentity, SignInError> {
        let issuer = match provider {
            SignInProvider::Apple => self.apple.as_ref(),
            SignInProvider::Google => self.google.as_ref(),
        };
        let issuer = issuer.ok_or(SignInError::Off)?;
        if id_token.len() > TOKEN_BYTES_MAX {
            return Err(SignInError::Refused(TokenFault::Malformed));
        }
        let header =
            decode_header(id_token).map_err(|_| SignInError::Refused(TokenFault::Malformed))?;
        let kid = header.kid.ok_or(SignInError::Refused(TokenFault::UnknownKey))?;
        let key = issuer.keys.key(&kid).await.map_err(SignInError::Keys)?;
        let key = key.ok_or(SignInError::Refused(TokenFault::UnknownKey))?;
        if header.alg != key.algorithm {
            return Err(SignInError::Refused(TokenFault::Algorithm));
        }
        let claims = signed_claims(id_token, &key).map_err(SignInError::Refused)?;
        let now = self.ports.time.wall().as_unix_seconds();
        issuer.judge(claims, nonce, now).map_err(SignInError::Refused)
    }
}

impl Issuer {
    fn new(
        options: IssuerOptions,
        provider: SignInProvider,
        ports: &Ports,
    ) -> Result<Self, ProviderError> {
        let (name, own, names): (_, _, &[&str]) = match provider {
            SignInProvider::Apple => (
                "Apple's keys",
                "https://appleid.apple.com/auth/keys",
                &["https://appleid.apple.com"],
            ),
            SignInProvider::Google => (
                "Google's keys",
                "https://www.googleapis.com/oauth2/v3/certs",
                &["https://accounts.google.com", "accounts.google.com"],
            ),
        };
        let url = options.keys_url.unwrap_or_else(|| own.to_owned());
        let guard = Guard::new(name, Policy::default(), ports.clone());
        let keys = KeySet::new(name, url, guard)?;
        Ok(Self { provider, names, client_ids: options.client_ids, keys })
    }

    fn judge(&self, claims: Claims, nonce: &str, now: u64) -> Result<VerifiedIdentity, TokenFault> {
        if !self.names.contains(&claims.iss.as_str()) {
            return Err(TokenFault::Issuer);
        }
        if !self.is_for_us(&claims.aud) {
            return Err(TokenFault::Audience);
        }
        if claims.exp.saturating_add(LEEWAY_SECS) <= now {
            return Err(TokenFault::Expired);
        }
        if claims.iat > now.saturating_add(LEEWAY_SECS) {
            return Err(TokenFault::Future);
        }
        if nonce.is_empty() || !claims.nonce.as_deref().is_some_and(|held| is_nonce(held, nonce)) {
            return Err(TokenFault::Nonce);
        }
        if claims.sub.is_empty() || claims.sub.chars().count() > SUBJECT_CHARS_MAX {
            return Err(TokenFault::Malformed);
        }
        let email = claims.email.filter(|email| {
            !email.is_empty() && email.len() <= EMAIL_BYTES_MAX && email.contains('@')
        });
        Ok(VerifiedIdentity {
            provider: self.provider,
            subject: claims.sub,
            email_verified: email.is_some() && is_true(&claims.email_verified),
            is_relay: email.is_some() && is_true(&claims.is_private_email),
            email,
        })
    }

    fn is_for_us(&self, audience: &Value) -> bool {
        // A list may name others beside us; both providers name one app.
        let Some(audience) = audience.as_str() else { return false };
        self.client_ids.iter().any(|id| id == audience)
    }
}

/// Checks the signature alone: time enters by a port, and the rest is ours to name.
fn signed_claims(token: &str, key: &PublicKey) -> Result<Claims, TokenFault> {
    let mut validation = Validation::new(key.algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key: &DecodingKey = &key.key;
    match decode::<Claims>(token, key, &validation) {
        Ok(decoded) => Ok(decoded.claims),
        Err(error) => match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => Err(TokenFault::Signature),
            _ => Err(TokenFault::Malformed),
        },
    }
}

fn is_nonce(held: &str, nonce: &str) -> bool {
    use aws_lc_rs::digest::{SHA256, digest};
    let hashed: String = digest(&SHA256, nonce.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    held == nonce || held == hashed
}

/// Apple sends some truths as text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}
