//! The first layout of a token: fixed, without a viewer. It is still read, and made for edges that
//! know no other.
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

use fairground_types::{AssetId, PlaybackId, Timestamp};

use super::{Claims, SIGNATURE_BYTES, TokenFlags};

/// The first byte.
pub(super) const VERSION: u8 = 1;
/// Bytes of every token.
pub(super) const TOKEN_BYTES: usize = BODY_BYTES + SIGNATURE_BYTES;

const DOMAIN: &[u8] = b"fairground playback token v1\0";
const BODY_BYTES: usize = 52;

/// The signed part; who watches and since when is not in it.
pub(super) fn write(claims: &Claims) -> Vec<u8> {
    let mut body = Vec::with_capacity(TOKEN_BYTES);
    body.push(VERSION);
    body.extend_from_slice(&claims.key_id.to_be_bytes());
    body.extend_from_slice(&claims.asset.to_bits().to_be_bytes());
    body.extend_from_slice(&claims.playback.to_bits().to_be_bytes());
    body.extend_from_slice(&claims.min_revision.to_be_bytes());
    body.extend_from_slice(&claims.expires_at.as_unix_millis().to_be_bytes());
    body.extend_from_slice(&claims.rung_cap.unwrap_or(0).to_be_bytes());
    body.push(claims.flags.to_bits());
    body
}

/// What is signed: the body behind the name of what it is.
pub(super) fn signed_text(body: &[u8]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

/// Claims, signed text and signature of a token that has the layout; nothing is checked yet.
pub(super) fn parse(token: &[u8]) -> Option<(Claims, Vec<u8>, &[u8])> {
    let (body, signature) = token.split_first_chunk::<BODY_BYTES>()?;
    (signature.len() == SIGNATURE_BYTES).then_some(())?;
    Some((read(body)?, signed_text(body), signature))
}

fn read(body: &[u8; BODY_BYTES]) -> Option<Claims> {
    let (version, rest) = body.split_first()?;
    let (key_id, rest) = rest.split_first_chunk()?;
    let (asset, rest) = rest.split_first_chunk()?;
    let (playback, rest) = rest.split_first_chunk()?;
    let (min_revision, rest) = rest.split_first_chunk()?;
    let (expires_at, rest) = rest.split_first_chunk()?;
    let (rung_cap, rest) = rest.split_first_chunk()?;
    let rung_cap = u16::from_be_bytes(*rung_cap);
    (*version == VERSION).then_some(())?;
    Some(Claims {
        key_id: u32::from_be_bytes(*key_id),
        asset: AssetId::from_bits(u128::from_be_bytes(*asset)),
        playback: PlaybackId::from_bits(u128::from_be_bytes(*playback)),
        min_revision: u32::from_be_bytes(*min_revision),
        begun_at: Timestamp::from_unix_millis(0),
        expires_at: Timestamp::from_unix_millis(u64::from_be_bytes(*expires_at)),
        viewer: None,
        rung_cap: (rung_cap != 0).then_some(rung_cap),
        flags: TokenFlags::from_bits(*rest.first()?)?,
    })
}
