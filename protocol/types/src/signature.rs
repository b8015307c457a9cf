//! What a device signs of a bid or an offer, byte for byte, and the shapes of its key and signature.
//!
//! ```text
//!    0  24  "fairground-signed-bid-v1"
//!   24   1  1 bid, 2 offer
//!   25  16  cluster            41  16  auction of a bid, story of an offer
//!   57  16  account            73  32  command id, from the Idempotency-Key
//!  105   8  amount, minor units
//!  113   3  currency, ISO 4217
//!  116   8  valid until, milliseconds since 1970
//!  124  16  key id
//!  bid:    140  8  private maximum, minor units, 0 for none
//!  offer:  140  1  1 when it may become a bid, else 0
//!          141  2  length of the note, then the note; 1 length of the country, then the country
//! ```
//! Integers are big endian, ids their 16 bytes as a UUID has them. It must not know whether a key is a
//! point of its curve, nor how a signature is checked: that is `fairground-market`'s `signing`. Read
//! next: `docs/src/internals/formats.md` for the same table with test vectors.

use std::fmt;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::id::{ClusterId, DeviceKeyId};
use crate::journal::{Intake, PlaceBid, SubmitOffer};
use crate::text::{Country, OfferNote};

/// What every signed bid begins with. A change of the table is another text here.
pub const SIGNED_BID_DOMAIN: &[u8; 24] = b"fairground-signed-bid-v1";
/// Bytes of a signature of either algorithm.
pub const SIGNATURE_LEN: usize = 64;

/// The version of the rules from which on bids may be signed. Members with an older binary cannot read
/// the shapes that it brought, so none of them enters a log before.
pub const SIGNED_BIDS_RULES: u32 = 3;

static KEY_ID: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("fairground 2026 device key id v1"));

/// By what a device signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8032).
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA over NIST P-256 with SHA-256 (FIPS 186-5).
    #[serde(rename = "p256")]
    P256,
}

/// The public key of a device, in the one encoding that it has here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub enum DevicePublicKey {
    /// RFC 8032 section 5.1.2.
    Ed25519([u8; 32]),
    /// Compressed: SEC 1 section 2.3.3.
    P256([u8; 33]),
}

impl DevicePublicKey {
    /// By what it signs.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        match self {
            Self::Ed25519(_) => KeyAlgorithm::Ed25519,
            Self::P256(_) => KeyAlgorithm::P256,
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(bytes) => bytes,
            Self::P256(bytes) => bytes,
        }
    }

    /// Its name: a UUIDv8 (RFC 9562 section 5.8) over the algorithm and the bytes.
    #[must_use]
    pub fn id(&self) -> DeviceKeyId {
        let algorithm = match self {
            Self::Ed25519(_) => 1,
            Self::P256(_) => 2,
        };
        let mut hasher = blake3::Hasher::new_from_context_key(&KEY_ID);
        hasher.update(&[algorithm]).update(self.as_bytes());
        let mut half = [0; 16];
        hasher.finalize_xof().fill(&mut half);
        let cleared = u128::from_be_bytes(half) & !(0xF_u128 << 76) & !(0b11_u128 << 62);
        DeviceKeyId::from_bits(cleared | (0x8_u128 << 76) | (0b10_u128 << 62))
    }
}

impl fmt::Debug for DevicePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevicePublicKey({})", self.id())
    }
}

/// A device's signature under a bid or an offer.
#[derive(Clone, Copy, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct DeviceSignature {
    /// By which key of the account.
    pub key: DeviceKeyId,
    /// `R | S` of RFC 8032, or `r | s` of 32 bytes each (IEEE P1363) for P-256.
    pub bytes: [u8; SIGNATURE_LEN],
}

impl DeviceSignature {
    /// Whether it has the shape of a signature: neither half is nothing. No key makes another one,
    /// so this never becomes untrue.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let (first, second) = self.bytes.split_at(SIGNATURE_LEN / 2);
        [first, second].iter().all(|half| half.iter().any(|byte| *byte != 0))
    }
}

impl fmt::Debug for DeviceSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceSignature({})", self.key)
    }
}

/// The bytes that a device signs of a bid or an offer with one of its keys.
#[must_use]
pub fn signed_bytes(cluster: ClusterId, intake: &Intake, key: DeviceKeyId) -> Vec<u8> {
    let (kind, target) = match intake {
        Intake::Bid(bid) | Intake::SignedBid(bid, _) => (1, bid.auction.to_bits()),
        Intake::Offer(offer) | Intake::SignedOffer(offer, _) => (2, offer.story.to_bits()),
    };
    let amount = intake.amount();
    let mut bytes = Vec::with_capacity(160);
    bytes.extend_from_slice(SIGNED_BID_DOMAIN);
    bytes.push(kind);
    bytes.extend_from_slice(&cluster.to_bits().to_be_bytes());
    bytes.extend_from_slice(&target.to_be_bytes());
    bytes.extend_from_slice(&intake.user().to_bits().to_be_bytes());
    bytes.extend_from_slice(intake.command().as_bytes());
    bytes.extend_from_slice(&amount.minor().to_be_bytes());
    bytes.extend_from_slice(amount.currency().code().as_bytes());
    bytes.extend_from_slice(&intake.valid_until().as_unix_millis().to_be_bytes());
    bytes.extend_from_slice(&key.to_bits().to_be_bytes());
    match intake {
        Intake::Bid(bid) | Intake::SignedBid(bid, _) => push_maximum(&mut bytes, bid),
        Intake::Offer(offer) | Intake::SignedOffer(offer, _) => push_wishes(&mut bytes, offer),
    }
    bytes
}

fn push_maximum(bytes: &mut Vec<u8>, bid: &PlaceBid) {
    // It has the currency of the bid, else it is refused; no maximum is zero.
    let maximum = bid.maximum.map_or(0, |maximum| maximum.reveal().minor());
    bytes.extend_from_slice(&maximum.to_be_bytes());
}

fn push_wishes(bytes: &mut Vec<u8>, offer: &SubmitOffer) {
    let note = offer.note.as_ref().map_or("", OfferNote::as_str);
    let country = offer.ship_to.as_ref().map_or("", Country::as_str);
    bytes.push(u8::from(offer.bid_if_open));
    // A note has at most 240 characters, a country two: both lengths fit.
    bytes.extend_from_slice(&u16::try_from(note.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(note.as_bytes());
    bytes.push(u8::try_from(country.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(country.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AuctionId, CommandId, UserId};
    use crate::money::{Currency, Money};
    use crate::time::Timestamp;

    #[test]
    fn a_bid_is_148_bytes_in_the_order_of_the_table() {
        let bid = Intake::Bid(PlaceBid {
            command: CommandId::from_bytes([7; 32]),
            auction: AuctionId::from_bits(2),
            bidder: UserId::from_bits(3),
            amount: Money::new(12_500, Currency::Eur),
            maximum: None,
            valid_until: Timestamp::from_unix_millis(9),
        });
        let bytes = signed_bytes(ClusterId::from_bits(1), &bid, DeviceKeyId::from_bits(4));
        assert_eq!(bytes.len(), 148);
        assert_eq!(&bytes[..25], b"fairground-signed-bid-v1\x01");
        assert_eq!((bytes[40], bytes[56], bytes[72], bytes[73]), (1, 2, 3, 7));
        assert_eq!(&bytes[111..116], &[0x30, 0xd4, b'E', b'U', b'R']);
        assert_eq!((bytes[123], bytes[139]), (9, 4));
    }

    #[test]
    fn half_a_signature_is_none() {
        let key = DeviceKeyId::from_bits(1);
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[3] = 1;
        assert!(!DeviceSignature { key, bytes }.is_well_formed());
        bytes[40] = 1;
        assert!(DeviceSignature { key, bytes }.is_well_formed());
    }

    #[test]
    fn a_key_has_its_name_from_its_algorithm_and_its_bytes() {
        let one = DevicePublicKey::Ed25519([1; 32]);
        assert_eq!(one.id(), DevicePublicKey::Ed25519([1; 32]).id());
        assert_ne!(one.id(), DevicePublicKey::Ed25519([2; 32]).id());
        let mut longer = [1; 33];
        longer[32] = 0;
        assert_ne!(one.id(), DevicePublicKey::P256(longer).id());
    }
}
