//! Playback tokens: a signed path segment that lets one playback read one asset for a while.
//!
//! An Ed25519 signature (RFC 8032) means that an edge can check tokens but not make them. A token
//! names an asset, never a hash. Keys are the cluster's; this module only signs and checks.
//!
//! ```text
//!  offset  0        1         5          21            37           41          49       51     52
//!          | version | key id | asset id | playback id | min rev   | expires   | rung   | flags |
//!          | u8 = 1  | u32    | 16 bytes | 16 bytes    | u32       | u64 ms    | u16    | u8    |
//!          +-----------------------------------------------------------------------------------+
//!          | 52..116 Ed25519 signature over DOMAIN and bytes 0..52                              |
//!
//!  integers are big-endian; text is base64url without padding, 155 characters
//! ```

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::{AssetId, PlaybackId, Timestamp};

/// Version of the layout.
pub const TOKEN_VERSION: u8 = 1;
/// Characters of every token.
pub const TOKEN_CHARS: usize = 155;

const DOMAIN: &[u8] = b"fairground playback token v1\0";
const BODY_BYTES: usize = 52;
const SIGNATURE_BYTES: usize = 64;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// Which key signed it.
    pub key_id: u32,
    /// The asset that may be read.
    pub asset: AssetId,
    /// The playback that it was made for.
    pub playback: PlaybackId,
    /// Lowest revision that may be served.
    pub min_revision: u32,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Tallest short side that may be served; `None` for all.
    pub rung_cap: Option<u16>,
    /// Policy bits.
    pub flags: TokenFlags,
}

/// Policy bits of a token; unknown bits are refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenFlags {
    /// Playback is a preview by the maker or a moderator, before publication.
    pub preview: bool,
    /// Segments must be the forensically marked variants.
    pub forensic: bool,
}

/// The public keys that tokens are checked against, by key id.
#[derive(Debug, Clone, Default)]
pub struct TokenKeys(BTreeMap<u32, [u8; 32]>);

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of this version.
    #[error("not a playback token")]
    Malformed,
    /// Signed with a key that is not known, or no longer.
    #[error("a playback token of an unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("a playback token with a wrong signature")]
    BadSignature,
    /// Its time is over.
    #[error("an expired playback token")]
    Expired,
}

/// Signs a token.
#[must_use]
pub fn mint(key: &Ed25519KeyPair, claims: &Claims) -> String {
    let body = claims.to_body();
    let signature = key.sign(&signed_text(&body));
    let mut token = body.to_vec();
    token.extend_from_slice(signature.as_ref());
    URL_SAFE_NO_PAD.encode(token)
}

/// Checks a token's form, key, signature and expiry, in this order.
///
/// # Errors
/// [`TokenError`] by what is wrong first.
pub fn verify(text: &str, keys: &TokenKeys, now: Timestamp) -> Result<Claims, TokenError> {
    if text.len() != TOKEN_CHARS {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    let (body, signature) = bytes.split_first_chunk::<BODY_BYTES>().ok_or(TokenError::Malformed)?;
    if signature.len() != SIGNATURE_BYTES {
        return Err(TokenError::Malformed);
    }
    let claims = Claims::from_body(body).ok_or(TokenError::Malformed)?;
    let key = keys.0.get(&claims.key_id).ok_or(TokenError::UnknownKey)?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&signed_text(body), signature)
        .map_err(|_| TokenError::BadSignature)?;
    if claims.expires_at <= now {
        return Err(TokenError::Expired);
    }
    Ok(claims)
}

impl Claims {
    /// Whether a revision of an asset may be served under this token.
    #[must_use]
    pub fn covers(&self, asset: AssetId, revision: u32) -> bool {
        self.asset == asset && revision >= self.min_revision
    }

    /// Whether a rendition of that short side (zero for sound) may be served.
    #[must_use]
    pub fn allows_rung(&self, short_side: u32) -> bool {
        self.rung_cap.is_none_or(|cap| short_side <= u32::from(cap))
    }

    fn to_body(self) -> [u8; BODY_BYTES] {
        let mut body = Vec::with_capacity(BODY_BYTES);
        body.push(TOKEN_VERSION);
        body.extend_from_slice(&self.key_id.to_be_bytes());
        body.extend_from_slice(&self.asset.to_bits().to_be_bytes());
        body.extend_from_slice(&self.playback.to_bits().to_be_bytes());
        body.extend_from_slice(&self.min_revision.to_be_bytes());
        body.extend_from_slice(&self.expires_at.as_unix_millis().to_be_bytes());
        body.extend_from_slice(&self.rung_cap.unwrap_or(0).to_be_bytes());
        body.push(self.flags.to_bits());
        let mut fixed = [0; BODY_BYTES];
        fixed.copy_from_slice(&body);
        fixed
    }

    fn from_body(body: &[u8; BODY_BYTES]) -> Option<Self> {
        let (version, rest) = body.split_first()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (asset, rest) = rest.split_first_chunk()?;
        let (playback, rest) = rest.split_first_chunk()?;
        let (min_revision, rest) = rest.split_first_chunk()?;
        let (expires_at, rest) = rest.split_first_chunk()?;
        let (rung_cap, rest) = rest.split_first_chunk()?;
        let rung_cap = u16::from_be_bytes(*rung_cap);
        if *version != TOKEN_VERSION {
            return None;
        }
        Some(Self {
            key_id: u32::from_be_bytes(*key_id),
            asset: AssetId::from_bits(u128::from_be_bytes(*asset)),
            playback: PlaybackId::from_bits(u128::from_be_bytes(*playback)),
            min_revision: u32::from_be_bytes(*min_revision),
            expires_at: Timestamp::from_unix_millis(u64::from_be_bytes(*expires_at)),
            rung_cap: (rung_cap != 0).then_some(rung_cap),
            flags: TokenFlags::from_bits(*rest.first()?)?,
        })
    }
}

impl TokenFlags {
    const PREVIEW: u8 = 0b01;
    const FORENSIC: u8 = 0b10;

    const fn to_bits(self) -> u8 {
        let preview = if self.preview { Self::PREVIEW } else { 0 };
        let forensic = if self.forensic { Self::FORENSIC } else { 0 };
        preview | forensic
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !(Self::PREVIEW | Self::FORENSIC) != 0 {
            return None;
        }
        Some(Self { preview: bits & Self::PREVIEW != 0, forensic: bits & Self::FORENSIC != 0 })
    }
}

impl TokenKeys {
    /// No keys: every token is refused.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds or replaces a public key (32 bytes, RFC 8032).
    pub fn insert(&mut self, key_id: u32, public_key: [u8; 32]) {
        self.0.insert(key_id, public_key);
    }

    /// Forgets a key: its tokens are refused from now on.
    pub fn remove(&mut self, key_id: u32) {
        self.0.remove(&key_id);
    }
}

fn signed_text(body: &[u8; BODY_BYTES]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::KeyPair as _;
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, public)
    }

    fn claims() -> Claims {
        Claims {
            key_id: 7,
            asset: AssetId::from_bits(0x0192_0000_0000_7000_8000_0000_0000_0001),
            playback: PlaybackId::from_bits(9),
            min_revision: 1,
            expires_at: Timestamp::from_unix_millis(1_000),
            rung_cap: Some(360),
            flags: TokenFlags { preview: true, forensic: false },
        }
    }

    fn keys() -> TokenKeys {
        let mut keys = TokenKeys::new();
        keys.insert(7, key(1).1);
        keys
    }

    const BEFORE: Timestamp = Timestamp::from_unix_millis(999);

    #[test]
    fn token_is_short_and_safe_in_a_path() {
        let token = mint(&key(1).0, &claims());
        assert_eq!(token.len(), TOKEN_CHARS);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(verify(&token, &keys(), BEFORE), Ok(claims()));
    }

    #[test]
    fn expiry_is_exclusive() {
        let token = mint(&key(1).0, &claims());
        let at = Timestamp::from_unix_millis(1_000);
        assert_eq!(verify(&token, &keys(), at), Err(TokenError::Expired));
    }

    #[test]
    fn other_keys_are_refused() {
        let forged = mint(&key(2).0, &claims());
        assert_eq!(verify(&forged, &keys(), BEFORE), Err(TokenError::BadSignature));
        let unknown = mint(&key(1).0, &Claims { key_id: 8, ..claims() });
        assert_eq!(verify(&unknown, &keys(), BEFORE), Err(TokenError::UnknownKey));
        let mut rotated = keys();
        rotated.remove(7);
        let token = mint(&key(1).0, &claims());
        assert_eq!(verify(&token, &rotated, BEFORE), Err(TokenError::UnknownKey));
    }

    #[test]
    fn signature_of_another_domain_is_refused() {
        let (pair, _) = key(1);
        let body = claims().to_body();
        let mut bytes = body.to_vec();
        bytes.extend_from_slice(pair.sign(&body).as_ref());
        let token = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(verify(&token, &keys(), BEFORE), Err(TokenError::BadSignature));
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in ["", "x", &"A".repeat(TOKEN_CHARS), &"=".repeat(TOKEN_CHARS)] {
            assert_eq!(verify(text, &keys(), BEFORE), Err(TokenError::Malformed), "{text}");
        }
    }

    #[test]
    fn scope_is_asset_revision_and_rung() {
        let claims = claims();
        assert!(claims.covers(claims.asset, 1));
        assert!(!claims.covers(claims.asset, 0));
        assert!(!claims.covers(AssetId::from_bits(5), 1));
        assert!(claims.allows_rung(360) && claims.allows_rung(0));
        assert!(!claims.allows_rung(720));
    }

    proptest! {
        #[test]
        fn token_round_trips(
            key_id: u32, asset: u128, playback: u128, min_revision: u32,
            expires in 1_u64.., cap: u16, bits in 0_u8..4,
        ) {
            let claims = Claims {
                key_id,
                asset: AssetId::from_bits(asset),
                playback: PlaybackId::from_bits(playback),
                min_revision,
                expires_at: Timestamp::from_unix_millis(expires),
                rung_cap: (cap != 0).then_some(cap),
                flags: TokenFlags::from_bits(bits).unwrap(),
            };
            let (pair, public) = key(3);
            let mut keys = TokenKeys::new();
            keys.insert(key_id, public);
            let before = Timestamp::from_unix_millis(expires - 1);
            prop_assert_eq!(verify(&mint(&pair, &claims), &keys, before), Ok(claims));
        }

        #[test]
        fn no_changed_character_survives(index in 0_usize..TOKEN_CHARS, bit in 0_u8..6) {
            let token = mint(&key(1).0, &claims());
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut bytes = token.into_bytes();
            let digit = alphabet.iter().position(|byte| *byte == bytes[index]).unwrap();
            bytes[index] = alphabet[digit ^ (1 << bit)];
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(verify(&changed, &keys(), BEFORE).is_err());
        }
    }
}
