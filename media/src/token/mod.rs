//! Playback tokens: a signed path segment that lets one playback read one asset for a while.
//!
//! An Ed25519 signature (RFC 8032) means that an edge can check tokens but not make them. A token
//! names an asset, never a hash, and its viewer by a pseudonym, never by an account. Keys are the
//! cluster's; this module only signs and checks. Text is base64url without padding.
//!
//! ```text
//!   first byte   0x84  v2: claims in a COSE_Sign1, what is made
//!                1     v1: a fixed layout without a viewer, still read
//! ```
//! It must not know who may watch. Read next: `v2.rs`.

pub mod cat;
mod cbor;
mod v1;
mod v2;

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::{AssetId, PlaybackId, SignInId, Timestamp};

/// Characters of the shortest token.
pub const TOKEN_CHARS_MIN: usize = 155;
/// Characters that no token exceeds.
pub const TOKEN_CHARS_MAX: usize = 256;

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
    /// When the playback began, which its renewals do not change; the epoch when that is unknown.
    pub begun_at: Timestamp,
    /// When the token ends, in whole seconds.
    pub expires_at: Timestamp,
    /// Who watches; `None` for a visitor without an account.
    pub viewer: Option<Viewer>,
    /// Tallest short side that may be served; `None` for all.
    pub rung_cap: Option<u16>,
    /// Policy bits.
    pub flags: TokenFlags,
}

/// Who watches, as far as an edge has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// Stands for the account, the same in all its tokens; only the cluster can tell whose it is.
    pub pseudonym: [u8; 16],
    /// The sign-in that it was made under: once that ends, so does the playback.
    pub sign_in: SignInId,
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
    /// Its time is to come.
    #[error("a playback token that is not valid yet")]
    NotYetValid,
    /// It says something that is not understood here.
    #[error("a playback token with unknown claims")]
    Unsupported,
}

/// Signs a token.
#[must_use]
pub fn mint(key: &Ed25519KeyPair, claims: &Claims) -> String {
    let header = v2::header(claims.key_id);
    let payload = v2::claims(claims);
    let signature = key.sign(&v2::signed_text(&header, &payload));
    URL_SAFE_NO_PAD.encode(v2::write(&header, &payload, signature.as_ref()))
}

/// Signs a token for an edge that knows the first layout only: without a viewer.
#[must_use]
pub fn mint_v1(key: &Ed25519KeyPair, claims: &Claims) -> String {
    let mut token = v1::write(claims);
    let signature = key.sign(&v1::signed_text(&token));
    token.extend_from_slice(signature.as_ref());
    URL_SAFE_NO_PAD.encode(token)
}

/// Checks a token's form, key, signature and expiry, in this order.
///
/// # Errors
/// [`TokenError`] by what is wrong first.
pub fn verify(text: &str, keys: &TokenKeys, now: Timestamp) -> Result<Claims, TokenError> {
    let claims = verify_signed(text, keys)?;
    if claims.expires_at <= now {
        return Err(TokenError::Expired);
    }
    Ok(claims)
}

/// Checks a token's form, key and signature: also one that has expired is what it says.
///
/// # Errors
/// [`TokenError`] by what is wrong first, never [`TokenError::Expired`].
pub fn verify_signed(text: &str, keys: &TokenKeys) -> Result<Claims, TokenError> {
    if !(TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&text.len()) {
        return Err(TokenError::Malformed);
    }
    let token = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    let parsed = match token.first() {
        Some(&v2::FIRST_BYTE) => v2::parse(&token),
        Some(&v1::VERSION) if token.len() == v1::TOKEN_BYTES => v1::parse(&token),
        Some(_) | None => None,
    };
    let (claims, signed_text, signature) = parsed.ok_or(TokenError::Malformed)?;
    let key = keys.0.get(&claims.key_id).ok_or(TokenError::UnknownKey)?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&signed_text, signature)
        .map_err(|_| TokenError::BadSignature)?;
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

    fn viewer() -> Viewer {
        Viewer { pseudonym: [5; 16], sign_in: SignInId::from_bits(6) }
    }

    fn claims() -> Claims {
        Claims {
            key_id: 7,
            asset: AssetId::from_bits(0x0192_0000_0000_7000_8000_0000_0000_0001),
            playback: PlaybackId::from_bits(9),
            min_revision: 1,
            begun_at: Timestamp::from_unix_millis(500),
            expires_at: Timestamp::from_unix_millis(1_000),
            viewer: Some(viewer()),
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
        assert!((TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&token.len()), "{}", token.len());
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(verify(&token, &keys(), BEFORE), Ok(claims()));
    }

    #[test]
    fn expiry_is_exclusive() {
        let token = mint(&key(1).0, &claims());
        let at = Timestamp::from_unix_millis(1_000);
        assert_eq!(verify(&token, &keys(), at), Err(TokenError::Expired));
        assert_eq!(verify_signed(&token, &keys()), Ok(claims()));
    }

    /// Worked out by hand from RFC 9052 and RFC 8392.
    #[test]
    fn claims_are_a_cbor_web_token() {
        let guest = Claims { viewer: None, ..claims() };
        let asset = guest.asset.to_bits().to_be_bytes();
        let playback = guest.playback.to_bits().to_be_bytes();
        let header: [u8; 9] = [0xa2, 0x01, 0x27, 0x04, 0x44, 0, 0, 0, 7];
        assert_eq!(v2::header(7), header);
        let payload = [
            &[0xa3, 0x04, 0x01, 0x07, 0x50][..],
            &playback,
            &[0x3a, 0x00, 0x01, 0x00, 0x00, 0x85, 0x50],
            &asset,
            &[0x19, 0x01, 0xf4, 0x01, 0x19, 0x01, 0x68, 0x01],
        ]
        .concat();
        assert_eq!(v2::claims(&guest), payload);
        let length = u8::try_from(payload.len()).unwrap();
        let structure =
            [&b"\x84\x6aSignature1\x49"[..], &header, &[0x40, 0x58, length], &payload].concat();
        assert_eq!(v2::signed_text(&header, &payload), structure);
    }

    #[test]
    fn first_layout_is_still_read_and_has_no_viewer() {
        let token = mint_v1(&key(1).0, &claims());
        assert_eq!(token.len(), TOKEN_CHARS_MIN);
        let begun_at = Timestamp::from_unix_millis(0);
        let read = Claims { viewer: None, begun_at, ..claims() };
        assert_eq!(verify(&token, &keys(), BEFORE), Ok(read));
        assert_eq!(
            verify(&mint_v1(&key(2).0, &read), &keys(), BEFORE),
            Err(TokenError::BadSignature)
        );
    }

    #[test]
    fn anything_beside_the_claims_is_malformed() {
        let (pair, _) = key(1);
        let (header, payload) = (v2::header(7), v2::claims(&claims()));
        let signed = |header: &[u8], payload: &[u8]| {
            let signature = pair.sign(&v2::signed_text(header, payload));
            v2::write(header, payload, signature.as_ref())
        };
        let read = |token: &[u8]| verify(&URL_SAFE_NO_PAD.encode(token), &keys(), BEFORE);
        let good = signed(&header, &payload);
        assert_eq!(read(&good), Ok(claims()));
        let longer = [&payload[..], &[0]].concat();
        let mut other_algorithm = header.clone();
        other_algorithm[2] = 0x26;
        let mut with_unprotected = good.clone();
        drop(with_unprotected.splice(11..12, [0xa1, 0x01, 0x27]));
        for token in [
            signed(&header, &longer),
            signed(&other_algorithm, &payload),
            with_unprotected,
            [&good[..], &[0]].concat(),
        ] {
            assert_eq!(read(&token), Err(TokenError::Malformed));
        }
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
        let (header, payload) = (v2::header(7), v2::claims(&claims()));
        let signature = pair.sign(&payload);
        let token = URL_SAFE_NO_PAD.encode(v2::write(&header, &payload, signature.as_ref()));
        assert_eq!(verify(&token, &keys(), BEFORE), Err(TokenError::BadSignature));
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in ["", "x", &"A".repeat(TOKEN_CHARS_MIN), &"=".repeat(TOKEN_CHARS_MIN)] {
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
            begun: u64, expires in 1_u64..1 << 50, cap: u16, bits in 0_u8..4,
            person: Option<([u8; 16], u128)>,
        ) {
            let claims = Claims {
                key_id,
                asset: AssetId::from_bits(asset),
                playback: PlaybackId::from_bits(playback),
                min_revision,
                begun_at: Timestamp::from_unix_millis(begun),
                expires_at: Timestamp::from_unix_millis(expires * 1_000),
                viewer: person.map(|(pseudonym, sign_in)| Viewer {
                    pseudonym,
                    sign_in: SignInId::from_bits(sign_in),
                }),
                rung_cap: (cap != 0).then_some(cap),
                flags: TokenFlags::from_bits(bits).unwrap(),
            };
            let (pair, public) = key(3);
            let mut keys = TokenKeys::new();
            keys.insert(key_id, public);
            let before = Timestamp::from_unix_millis(expires * 1_000 - 1);
            let token = mint(&pair, &claims);
            prop_assert!((TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&token.len()));
            prop_assert_eq!(verify(&token, &keys, before), Ok(claims));
        }

        #[test]
        fn no_changed_character_survives(index: usize, bit in 0_u8..6, is_first: bool) {
            let pair = key(1).0;
            let token = if is_first { mint_v1(&pair, &claims()) } else { mint(&pair, &claims()) };
            let index = index % token.len();
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut bytes = token.into_bytes();
            let digit = alphabet.iter().position(|byte| *byte == bytes[index]).unwrap();
            bytes[index] = alphabet[digit ^ (1 << bit)];
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(verify(&changed, &keys(), BEFORE).is_err());
        }
    }
}
