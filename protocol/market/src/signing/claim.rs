//! Keys and signatures of devices as pure functions of bytes.
//!
//! ```text
//!  entry, state -> Claim { key, bytes, signature } -> check, anywhere -> Checked
//!                                                                          \-> Verified, into apply
//! ```
//! A [`Checked`] is only made by [`Claim::check`], so [`Verified`] is a memory of a pure function: what
//! is not in it is computed, and the answer is the same with it and without it. It must not know who
//! must sign. Read next: the parent module.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::signature::SIGNATURE_LEN;
use fairground_types::{DevicePublicKey, Digest, KeyAlgorithm};
use p256::ecdsa::signature::Verifier as _;

/// Why bytes are not the public key of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the length of a key of this algorithm.
    #[error("a key of this algorithm has another length")]
    Length,
    /// Not a point of the curve, a point of small order, or a second encoding of one.
    #[error("the key is not a point of its curve in its canonical encoding")]
    Point,
}

/// Reads a public key as a client sends it: 32 bytes for Ed25519; for P-256 a point of SEC 1,
/// compressed (33 bytes) or not (65), which is kept compressed.
///
/// # Errors
/// When the bytes are no key that a signature could be checked with.
pub fn parse_key(algorithm: KeyAlgorithm, bytes: &[u8]) -> Result<DevicePublicKey, KeyError> {
    match algorithm {
        KeyAlgorithm::Ed25519 => {
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::Length)?;
            let key = DevicePublicKey::Ed25519(bytes);
            if is_sound_key(&key) { Ok(key) } else { Err(KeyError::Point) }
        }
        KeyAlgorithm::P256 => {
            if !matches!(bytes.len(), 33 | 65) {
                return Err(KeyError::Length);
            }
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes);
            let point = key.map_err(|_| KeyError::Point)?.to_sec1_point(true);
            point.as_bytes().try_into().map(DevicePublicKey::P256).map_err(|_| KeyError::Point)
        }
    }
}

/// Whether a key is a point of its curve, not of small order, in its only encoding.
pub(crate) fn is_sound_key(key: &DevicePublicKey) -> bool {
    match key {
        DevicePublicKey::Ed25519(bytes) => {
            let point = ed25519_dalek::VerifyingKey::from_bytes(bytes);
            point.is_ok_and(|point| {
                // Bytes that decode to the same point by another way are not the key's name.
                !point.is_weak() && point.to_edwards().compress().as_bytes() == bytes
            })
        }
        DevicePublicKey::P256(bytes) => p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).is_ok(),
    }
}

/// That a key has signed some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub(crate) key: DevicePublicKey,
    pub(crate) bytes: Vec<u8>,
    pub(crate) signature: [u8; SIGNATURE_LEN],
}

/// A claim that was looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    claim: Digest,
    holds: bool,
}

impl Claim {
    /// Looks into it: the only costly step of a signed bid.
    #[must_use]
    pub fn check(&self) -> Checked {
        Checked { claim: self.name(), holds: self.holds() }
    }

    fn holds(&self) -> bool {
        match &self.key {
            DevicePublicKey::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(&self.signature);
                // Strict: one answer for all machines, and no key that signs everything.
                ed25519_dalek::VerifyingKey::from_bytes(key)
                    .is_ok_and(|key| key.verify_strict(&self.bytes, &signature).is_ok())
            }
            DevicePublicKey::P256(key) => {
                let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(key) else { return false };
                p256::ecdsa::Signature::from_slice(&self.signature)
                    .is_ok_and(|signature| key.verify(&self.bytes, &signature).is_ok())
            }
        }
    }

    /// A hash of everything that the answer depends on. Key and signature have the length that the
    /// first byte says, so no two claims share their bytes.
    fn name(&self) -> Digest {
        let algorithm = match &self.key {
            DevicePublicKey::Ed25519(_) => 1,
            DevicePublicKey::P256(_) => 2,
        };
        Digest::of(&[&[algorithm], self.key.as_bytes(), &self.signature, &self.bytes].concat())
    }
}

impl Checked {
    /// Whether the key has signed.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.holds
    }
}

/// Claims that were looked into before an entry is applied.
#[derive(Clone, Debug, Default)]
pub struct Verified(Arc<BTreeMap<Digest, bool>>);

impl Verified {
    /// Whether a claim holds: known, or computed now.
    pub(crate) fn holds(&self, claim: &Claim) -> bool {
        if self.0.is_empty() {
            return claim.holds();
        }
        self.0.get(&claim.name()).copied().unwrap_or_else(|| claim.holds())
    }

    /// How many claims it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Checked> for Verified {
    fn from_iter<T: IntoIterator<Item = Checked>>(checked: T) -> Self {
        Self(Arc::new(checked.into_iter().map(|row| (row.claim, row.holds)).collect()))
    }
}
