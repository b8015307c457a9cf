//! The layout of a token: a CBOR web token (RFC 8392) in a COSE_Sign1 (RFC 9052 section 4.2), without
//! tags, in deterministic CBOR.
//!
//! ```text
//!  [ << {1: -8, 4: key id (4 bytes)} >>,                        EdDSA, key
//!    {},
//!    << { 4: expires (seconds), 7: playback id (16 bytes),      exp, cti
//!         -65537: [ asset id, begun (ms), min revision, rung cap, flags
//!                   (, pseudonym of the viewer, sign-in id) ] } >>,
//!    Ed25519 signature over ["Signature1", header, '', claims] ]
//! ```
//! Every field stands where it is written here, so a token has one spelling.

use fairground_types::{AssetId, PlaybackId, SignInId, Timestamp};

use super::cbor::{Reader, Writer};
use super::{Claims, SIGNATURE_BYTES, TokenFlags, Viewer};

/// The first byte: an array of four.
pub(super) const FIRST_BYTE: u8 = 0x84;

/// Header parameters (RFC 9052 section 3.1) and the algorithm EdDSA (RFC 9053 section 2.2).
const ALGORITHM: i64 = 1;
const KEY_ID: i64 = 4;
const EDDSA: i64 = -8;
/// Claims (RFC 8392 section 3.1); the last one is of the range for private use.
const EXPIRES: i64 = 4;
const TOKEN_ID: i64 = 7;
const OWN: i64 = -65_537;
/// Items of our own claim, without and with a viewer.
const OWN_ITEMS: u64 = 5;
const OWN_ITEMS_WITH_VIEWER: u64 = 7;
/// The context string of COSE_Sign1 (RFC 9052 section 4.4).
const CONTEXT: &str = "Signature1";

/// The protected header of tokens by this key.
pub(super) fn header(key_id: u32) -> Vec<u8> {
    let mut header = Writer::default();
    header.map(2).int(ALGORITHM).int(EDDSA).int(KEY_ID).bytes(&key_id.to_be_bytes());
    header.into_bytes()
}

/// The claims, as they are signed.
pub(super) fn claims(claims: &Claims) -> Vec<u8> {
    let items = if claims.viewer.is_some() { OWN_ITEMS_WITH_VIEWER } else { OWN_ITEMS };
    let mut payload = Writer::default();
    payload.map(3).int(EXPIRES).uint(claims.expires_at.as_unix_seconds());
    payload.int(TOKEN_ID).bytes(&claims.playback.to_bits().to_be_bytes());
    payload.int(OWN).array(usize::try_from(items).unwrap_or(0));
    payload.bytes(&claims.asset.to_bits().to_be_bytes());
    payload.uint(claims.begun_at.as_unix_millis());
    payload.uint(claims.min_revision.into());
    payload.uint(claims.rung_cap.unwrap_or(0).into());
    payload.uint(claims.flags.to_bits().into());
    if let Some(viewer) = claims.viewer {
        payload.bytes(&viewer.pseudonym).bytes(&viewer.sign_in.to_bits().to_be_bytes());
    }
    payload.into_bytes()
}

/// What is signed (RFC 9052 section 4.4).
pub(super) fn signed_text(header: &[u8], claims: &[u8]) -> Vec<u8> {
    let mut structure = Writer::default();
    structure.array(4).text(CONTEXT).bytes(header).bytes(&[]).bytes(claims);
    structure.into_bytes()
}

/// Puts a token together.
pub(super) fn write(header: &[u8], claims: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut token = Writer::default();
    token.array(4).bytes(header).map(0).bytes(claims).bytes(signature);
    token.into_bytes()
}

/// Claims, signed text and signature of a token that has the layout; nothing is checked yet.
pub(super) fn parse(token: &[u8]) -> Option<(Claims, Vec<u8>, &[u8])> {
    let mut outer = Reader::new(token);
    (outer.array()? == 4).then_some(())?;
    let header = outer.bytes()?;
    (outer.map()? == 0).then_some(())?;
    let payload = outer.bytes()?;
    let signature = outer.bytes()?;
    (outer.is_empty() && signature.len() == SIGNATURE_BYTES).then_some(())?;
    let claims = read_claims(payload, read_key_id(header)?)?;
    Some((claims, signed_text(header, payload), signature))
}

fn read_key_id(header: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(header);
    (reader.map()? == 2 && reader.int()? == ALGORITHM && reader.int()? == EDDSA).then_some(())?;
    (reader.int()? == KEY_ID).then_some(())?;
    let key_id = u32::from_be_bytes(reader.fixed()?);
    reader.is_empty().then_some(key_id)
}

fn read_claims(payload: &[u8], key_id: u32) -> Option<Claims> {
    let mut reader = Reader::new(payload);
    (reader.map()? == 3 && reader.int()? == EXPIRES).then_some(())?;
    let expires_at = Timestamp::from_unix_millis(reader.uint()?.checked_mul(1_000)?);
    (reader.int()? == TOKEN_ID).then_some(())?;
    let playback = PlaybackId::from_bits(u128::from_be_bytes(reader.fixed()?));
    (reader.int()? == OWN).then_some(())?;
    let items = reader.array()?;
    let asset = AssetId::from_bits(u128::from_be_bytes(reader.fixed()?));
    let begun_at = Timestamp::from_unix_millis(reader.uint()?);
    let min_revision = reader.uint()?.try_into().ok()?;
    let rung_cap: u16 = reader.uint()?.try_into().ok()?;
    let flags = TokenFlags::from_bits(reader.uint()?.try_into().ok()?)?;
    let viewer = match items {
        OWN_ITEMS => None,
        OWN_ITEMS_WITH_VIEWER => {
            let pseudonym = reader.fixed()?;
            let sign_in = SignInId::from_bits(u128::from_be_bytes(reader.fixed()?));
            Some(Viewer { pseudonym, sign_in })
        }
        _ => return None,
    };
    let rung_cap = (rung_cap != 0).then_some(rung_cap);
    let read = Claims {
        key_id,
        asset,
        playback,
        min_revision,
        begun_at,
        expires_at,
        viewer,
        rung_cap,
        flags,
    };
    reader.is_empty().then_some(read)
}
