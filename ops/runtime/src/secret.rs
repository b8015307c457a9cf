//! Sealed values, keys and comparisons that leak nothing.
//!
//! AES-256-GCM-SIV (RFC 8452), so that a repeated nonce does not betray a key; HMAC-SHA256
//! (RFC 2104) for identifiers that must be found again but not read. It must not know what is sealed.
//!
//! ```text
//! sealed value:  version = 1 | nonce, 12 bytes | ciphertext | tag, 16 bytes
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{constant_time, hmac};
use fairground_types::Digest;

use crate::error::SecretError;
use crate::ids::random_bytes;

const VERSION: u8 = 1;
const USER_KEY_CONTEXT: &[u8] = b"fairground user key v1\0";

/// A key of 32 bytes for sealing. Its contents are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// Takes the bytes of a key that was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored in a place that only its owner can read.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals `plain`; it opens only with the same `context`.
    ///
    /// # Errors
    /// Only when the cryptographic library fails.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SecretError> {
        let nonce = random_bytes::<NONCE_LEN>();
        let mut body = plain.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut body,
            )
            .map_err(|_| SecretError::Seal)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens what [`DataKey::seal`] made.
    ///
    /// # Errors
    /// When key or context differ, the value was altered, or its version is not known.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
        let (version, rest) = sealed.split_first().ok_or(SecretError::Open)?;
        if *version != VERSION {
            return Err(SecretError::Version);
        }
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(SecretError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretError::Open)?;
        let mut body = body.to_vec();
        let plain = self
            .cipher()?
            .open_in_place(nonce, Aad::from(context), &mut body)
            .map_err(|_| SecretError::Open)?
            .len();
        body.truncate(plain);
        Ok(body)
    }

    /// Wraps a user's own key under this epoch key; it unwraps only for the same `user` text.
    ///
    /// # Errors
    /// As [`DataKey::seal`].
    pub fn wrap(&self, user: &[u8], key: &Self) -> Result<Vec<u8>, SecretError> {
        self.seal(&[USER_KEY_CONTEXT, user].concat(), &key.0)
    }

    /// Unwraps what [`DataKey::wrap`] made.
    ///
    /// # Errors
    /// As [`DataKey::open`].
    pub fn unwrap_key(&self, user: &[u8], wrapped: &[u8]) -> Result<Self, SecretError> {
        let plain = self.open(&[USER_KEY_CONTEXT, user].concat(), wrapped)?;
        plain.try_into().map(Self).map_err(|_| SecretError::Key)
    }

    fn cipher(&self) -> Result<LessSafeKey, SecretError> {
        UnboundKey::new(&AES_256_GCM_SIV, &self.0)
            .map(LessSafeKey::new)
            .map_err(|_| SecretError::Key)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// HMAC-SHA256 over length-prefixed parts: no two lists of parts collide.
#[must_use]
pub fn mac(key: &DataKey, parts: &[&[u8]]) -> Digest {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        context.update(part);
    }
    let mut bytes = [0_u8; 32];
    bytes.copy_from_slice(context.sign().as_ref());
    Digest::from_bytes(bytes)
}

/// HMAC-SHA256 of `body` under a shared secret, in hexadecimal digits, as webhooks carry it.
#[must_use]
pub fn mac_hex(secret: &[u8], body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, body);
    tag.as_ref().iter().fold(String::with_capacity(64), |text, byte| format!("{text}{byte:02x}"))
}

/// Compares in a time that does not depend on where the two differ.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// An Ed25519 key pair (RFC 8032): PKCS #8 private part, 32 public bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningPair {
    pkcs8: Vec<u8>,
    public: [u8; 32],
}

impl SigningPair {
    /// A new random pair.
    ///
    /// # Errors
    /// Only when the cryptographic library fails.
    pub fn generate() -> Result<Self, SecretError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&random_bytes::<32>())
            .map_err(|_| SecretError::Key)?;
        let document = pair.to_pkcs8().map_err(|_| SecretError::Key)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Takes a stored pair.
    ///
    /// # Errors
    /// When it is no Ed25519 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SecretError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| SecretError::Key)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| SecretError::Key)?;
        Ok(Self { pkcs8: pkcs8.to_vec(), public })
    }

    /// The private part, to be stored in a place that only its owner can read.
    #[must_use]
    pub fn expose_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Signs a message.
    ///
    /// # Errors
    /// Only when the cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], SecretError> {
        let pair = Ed25519KeyPair::from_pkcs8(&self.pkcs8).map_err(|_| SecretError::Key)?;
        pair.sign(message).as_ref().try_into().map_err(|_| SecretError::Key)
    }
}

impl fmt::Debug for SigningPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningPair").field("public", &Digest::from_bytes(self.public)).finish()
    }
}

/// Whether `signature` over `message` was made with the private part of `public`.
#[must_use]
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_only_with_their_key_and_context() {
        let key = DataKey::generate();
        let sealed = key.seal(b"usr_1", b"maker-1@mail.example").expect("sealed");
        assert_eq!(key.open(b"usr_1", &sealed).expect("opens"), b"maker-1@mail.example");
        assert_eq!(key.open(b"usr_2", &sealed), Err(SecretError::Open));
        assert_eq!(DataKey::generate().open(b"usr_1", &sealed), Err(SecretError::Open));
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open(b"usr_1", &altered).is_err(), "byte {at}");
        }
        assert!(key.open(b"usr_1", &sealed[..9]).is_err());
        assert_ne!(sealed, key.seal(b"usr_1", b"maker-1@mail.example").expect("sealed"));
    }

    #[test]
    fn wrapped_keys_belong_to_one_user() {
        let epoch = DataKey::generate();
        let own = DataKey::generate();
        let wrapped = epoch.wrap(b"usr_1", &own).expect("wrapped");
        assert!(epoch.unwrap_key(b"usr_1", &wrapped) == Ok(own));
        assert!(epoch.unwrap_key(b"usr_2", &wrapped).is_err());
        assert!(epoch.open(b"usr_1", &wrapped).is_err());
        assert_eq!(format!("{epoch:?}"), "DataKey(..)");
    }

    #[test]
    fn mac_is_that_of_rfc_2104_over_prefixed_parts() {
        let key = DataKey::from_bytes([7; 32]);
        assert_ne!(mac(&key, &[b"ab", b"c"]), mac(&key, &[b"a", b"bc"]));
        assert_eq!(mac(&key, &[b"ab"]), mac(&key, &[b"ab"]));
        assert_ne!(mac(&DataKey::generate(), &[b"ab"]), mac(&key, &[b"ab"]));
    }

    #[test]
    fn signatures_hold_for_one_message_and_one_key() {
        let pair = SigningPair::generate().expect("made");
        let again = SigningPair::from_pkcs8(pair.expose_pkcs8()).expect("read");
        let signature = again.sign(b"bid").expect("signed");
        assert!(verify(pair.public(), b"bid", &signature));
        assert!(!verify(pair.public(), b"bit", &signature));
        assert!(!verify(&[9; 32], b"bid", &signature));
        assert!(equal(b"abc", b"abc") && !equal(b"abc", b"abd") && !equal(b"abc", b"ab"));
    }
}
