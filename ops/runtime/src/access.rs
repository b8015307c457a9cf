//! Access tokens: short-lived, checked offline by every edge with the cluster's public keys.
//!
//! A JWT (RFC 7519) signed with EdDSA (RFC 8037). Whether a sign-in was ended is not said here but
//! by the replicated state; a token outlives that by at most its 15 minutes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use fairground_types::limits::ACCESS_TOKEN_LIFE;
use fairground_types::{ClusterId, Digest, Role, SignInId, Timestamp, UserId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::error::{AccessError, SecretError};
use crate::ids::random_bytes;
use crate::secret::SigningPair;

/// Audience of every access token.
pub const AUDIENCE: &str = "fairground-api";
/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// Checked tokens that are remembered: a bidder sends the same one for a quarter of an hour.
const CHECKED_MAX: usize = 16_384;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The cluster that issued it.
    pub iss: ClusterId,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The account.
    pub sub: UserId,
    /// End of its life, Unix seconds.
    pub exp: u64,
    /// When it was issued, Unix seconds.
    pub iat: u64,
    /// Random, names this token.
    pub jti: String,
    /// The sign-in that it belongs to.
    pub sid: SignInId,
    /// What the account might do when the token was issued.
    pub roles: Vec<Role>,
}

impl AccessClaims {
    /// End of its life.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.exp.saturating_mul(1_000))
    }
}

/// Issues access tokens; lives on members only.
pub struct Minter {
    cluster: ClusterId,
    kid: String,
    key: EncodingKey,
}

impl Minter {
    /// Takes the cluster's private key (Ed25519, PKCS #8) and its name.
    ///
    /// # Errors
    /// When it is no Ed25519 key.
    pub fn new(cluster: ClusterId, pkcs8: &[u8], kid: &str) -> Result<Self, SecretError> {
        // The JWT library takes any bytes here and fails at the first token; look before.
        SigningPair::from_pkcs8(pkcs8)?;
        Ok(Self { cluster, kid: kid.to_owned(), key: EncodingKey::from_ed_der(pkcs8) })
    }

    /// Issues a token that lives for [`ACCESS_TOKEN_LIFE`].
    ///
    /// # Errors
    /// Only when the cryptographic library fails.
    pub fn mint(
        &self,
        user: UserId,
        sign_in: SignInId,
        roles: &[Role],
        now: Timestamp,
    ) -> Result<String, SecretError> {
        let claims = AccessClaims {
            iss: self.cluster,
            aud: AUDIENCE.to_owned(),
            sub: user,
            exp: now.plus(ACCESS_TOKEN_LIFE).as_unix_seconds(),
            iat: now.as_unix_seconds(),
            jti: format!("{:032x}", u128::from_be_bytes(random_bytes::<16>())),
            sid: sign_in,
            roles: roles.to_vec(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| SecretError::Key)
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Checks access tokens with public keys alone. Made anew when the cluster's keys change, so that
/// what it remembers was signed with a key in force.
pub struct Verifier {
    cluster: ClusterId,
    keys: BTreeMap<String, DecodingKey>,
    /// What tokens with a right signature say, by the hash of their whole text.
    checked: Cache<Digest, Arc<AccessClaims>>,
}

impl Verifier {
    /// Takes the keys in force: name and 32 public bytes.
    pub fn new<K: Into<String>>(
        cluster: ClusterId,
        keys: impl IntoIterator<Item = (K, [u8; 32])>,
    ) -> Self {
        let keys = keys
            .into_iter()
            .map(|(kid, public)| (kid.into(), DecodingKey::from_ed_der(&public)))
            .collect();
        Self { cluster, keys, checked: Cache::new(CHECKED_MAX) }
    }

    /// Checks a token at `now`.
    ///
    /// # Errors
    /// When it is malformed, of an unknown key, altered, of another cluster or expired.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<AccessClaims>, AccessError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AccessError::Malformed);
        }
        let text = Digest::of(token.as_bytes());
        let claims = match self.checked.get(&text) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.check(token)?);
                self.checked.insert(text, Arc::clone(&claims));
                claims
            }
        };
        if claims.exp <= now.as_unix_seconds() {
            return Err(AccessError::Expired);
        }
        Ok(claims)
    }

    /// Everything but time.
    fn check(&self, token: &str) -> Result<AccessClaims, AccessError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AccessError::Malformed)?;
        let kid = header.kid.ok_or(AccessError::UnknownKey)?;
        let key = self.keys.get(&kid).ok_or(AccessError::UnknownKey)?;

        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[self.cluster]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would read the system's clock; time is an argument here.
        validation.validate_exp = false;
        jsonwebtoken::decode::<AccessClaims>(token, key, &validation)
            .map(|token| token.claims)
            .map_err(|error| refusal(error.kind()))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("cluster", &self.cluster)
            .field("keys", &self.keys.keys())
            .finish()
    }
}

fn refusal(kind: &ErrorKind) -> AccessError {
    match kind {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => AccessError::Signature,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => AccessError::Foreign,
        ErrorKind::ExpiredSignature => AccessError::Expired,
        _ => AccessError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);
    const CLUSTER: ClusterId = ClusterId::from_bits(5);

    fn minted(cluster: ClusterId, kid: &str) -> (String, SigningPair) {
        let pair = SigningPair::generate().expect("made");
        let minter = Minter::new(cluster, pair.expose_pkcs8(), kid).expect("key");
        let token = minter
            .mint(UserId::from_bits(7), SignInId::from_bits(8), &[Role::Maker], NOW)
            .expect("minted");
        (token, pair)
    }

    #[test]
    fn a_token_lives_a_quarter_of_an_hour() {
        let (token, pair) = minted(CLUSTER, "a1");
        let verifier = Verifier::new(CLUSTER, [("a1", *pair.public())]);
        let claims = verifier.verify(&token, NOW).expect("valid");
        assert_eq!(claims.sub, UserId::from_bits(7));
        assert_eq!(claims.sid, SignInId::from_bits(8));
        assert_eq!(claims.roles, [Role::Maker]);
        assert_eq!(claims.expires_at(), NOW.plus(ACCESS_TOKEN_LIFE));
        let end = NOW.plus(ACCESS_TOKEN_LIFE);
        assert_eq!(verifier.verify(&token, end), Err(AccessError::Expired));
        assert_eq!(AccessError::Expired.code().as_str(), "TOKEN_EXPIRED");
    }

    #[test]
    fn tokens_of_other_keys_and_clusters_are_refused() {
        let (token, pair) = minted(CLUSTER, "a1");
        let (other, _) = minted(CLUSTER, "a1");
        let verifier = Verifier::new(CLUSTER, [("a1", *pair.public())]);
        assert_eq!(verifier.verify(&other, NOW), Err(AccessError::Signature));
        let renamed = Verifier::new(CLUSTER, [("a2", *pair.public())]);
        assert_eq!(renamed.verify(&token, NOW), Err(AccessError::UnknownKey));
        let foreign = Verifier::new(ClusterId::from_bits(6), [("a1", *pair.public())]);
        assert_eq!(foreign.verify(&token, NOW), Err(AccessError::Foreign));
    }

    #[test]
    fn altered_and_unsigned_tokens_are_refused() {
        let (token, pair) = minted(CLUSTER, "a1");
        let verifier = Verifier::new(CLUSTER, [("a1", *pair.public())]);
        let parts: Vec<&str> = token.split('.').collect();
        let flip = |text: &str| {
            let swapped = if text.ends_with('A') { 'Q' } else { 'A' };
            format!("{}{swapped}", &text[..text.len() - 1])
        };
        let altered = format!("{}.{}.{}", parts[0], flip(parts[1]), parts[2]);
        assert!(verifier.verify(&altered, NOW).is_err());
        let altered = format!("{}.{}.A{}", parts[0], parts[1], &parts[2][1..]);
        let altered = if altered == token { token.replacen(".A", ".B", 2) } else { altered };
        assert!(verifier.verify(&altered, NOW).is_err());
        // {"alg":"none","kid":"a1"}
        let unsigned = format!("eyJhbGciOiJub25lIiwia2lkIjoiYTEifQ.{}.", parts[1]);
        assert!(verifier.verify(&unsigned, NOW).is_err());
        assert_eq!(verifier.verify("not a token", NOW), Err(AccessError::Malformed));
    }
}
