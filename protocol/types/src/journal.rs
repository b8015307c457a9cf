//! What an edge writes down before it answers a bidder, and what it promises about it.
//!
//! ```text
//!  stamp      [earliest, latest] of coordinator time in which the edge received a bid
//!  entry n    { seq, stamp, intake, hash }      hash(n) = BLAKE3(hash(n-1) | seq | stamp | intake)
//!  tail       { seq, hash } of the last synced entry
//!  mark       { watermark, tail }: every entry after the tail is stamped above the watermark
//! ```
//! The rules are in `bids.md` terms: see `docs/src/internals/bids.md`.

use std::sync::LazyLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::id::{AuctionId, BidId, ChainHash, CommandId, Digest, EdgeId, OfferId, StoryId, UserId};
use crate::money::Money;
use crate::signature::{DeviceSignature, SIGNED_BIDS_RULES};
use crate::text::{Country, OfferNote};
use crate::time::{Millis, Timestamp};

// A context is hashed once, not once a bid.
static BODY_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("fairground 2026 intake body v1"));
static CHAIN_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("fairground 2026 journal chain v1"));

/// An interval of coordinator time; both ends never fall along a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stamp {
    /// The bid was received no earlier than this; decides whether it is in time.
    pub earliest: Timestamp,
    /// The bid was received no later than this.
    pub latest: Timestamp,
}

impl Stamp {
    /// How uncertain the edge was.
    #[must_use]
    pub const fn width(self) -> Millis {
        self.latest.since(self.earliest)
    }

    /// Twice the middle of the interval: the order of bids inside one log entry.
    #[must_use]
    pub const fn doubled_middle(self) -> u64 {
        self.earliest.as_unix_millis().saturating_add(self.latest.as_unix_millis())
    }
}

/// The last synced entry of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Tail {
    /// Sequence, from 1; 0 before the first entry.
    pub seq: u64,
    /// Hash of the journal up to that entry.
    pub hash: ChainHash,
}

impl Tail {
    /// The tail of an empty journal.
    pub const START: Self = Self { seq: 0, hash: ChainHash::START };
}

/// An edge's promise: every entry after `tail` has `earliest` above `watermark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Mark {
    /// The instant promised.
    pub watermark: Timestamp,
    /// Counts only once this is applied.
    pub tail: Tail,
}

/// A bid as its bidder sent it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PlaceBid {
    /// Identity of the intent.
    pub command: CommandId,
    /// The auction.
    pub auction: AuctionId,
    /// Who bids.
    pub bidder: UserId,
    /// How much.
    pub amount: Money,
    /// Up to how much the market bids on for the bidder; for nobody else's eyes.
    pub maximum: Option<Maximum>,
    /// Log time after which the bid must not take effect.
    pub valid_until: Timestamp,
}

/// A private maximum. It has no text form, so that it cannot slip into a log or an answer.
#[derive(Clone, Copy, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Maximum(Money);

impl Maximum {
    /// Seals an amount.
    #[must_use]
    pub const fn new(amount: Money) -> Self {
        Self(amount)
    }

    /// The amount, for the rules and for its owner.
    #[must_use]
    pub const fn reveal(self) -> Money {
        self.0
    }
}

impl std::fmt::Debug for Maximum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Maximum(..)")
    }
}

/// What a deployment's own check says of a buyer (domain 10.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Eligibility {
    /// Nothing speaks against the buyer, or there is no such check.
    Allowed,
    /// The check refuses the buyer.
    Denied,
    /// The check did not answer.
    Unknown,
}

/// An offer as its buyer sent it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SubmitOffer {
    /// Identity of the intent.
    pub command: CommandId,
    /// Id of the offer.
    pub offer: OfferId,
    /// Id that the auction gets when this offer opens it.
    pub auction: AuctionId,
    /// The story.
    pub story: StoryId,
    /// Who offers.
    pub buyer: UserId,
    /// How much.
    pub amount: Money,
    /// For the maker's eyes.
    pub note: Option<OfferNote>,
    /// Where the piece would go, if the buyer says so.
    pub ship_to: Option<Country>,
    /// What the deployment's check says of the buyer.
    pub eligibility: Eligibility,
    /// A bid instead, when an auction is open by then.
    pub bid_if_open: bool,
    /// Log time after which the offer must not take effect.
    pub valid_until: Timestamp,
}

/// What is journalled at an edge; every other command is forwarded.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Intake {
    /// A bid in an open auction.
    Bid(PlaceBid),
    /// An offer on a listed story.
    Offer(SubmitOffer),
    /// A bid with the signature of its bidder's device; since rules 3.
    SignedBid(PlaceBid, DeviceSignature),
    /// An offer with the signature of its buyer's device; since rules 3.
    SignedOffer(SubmitOffer, DeviceSignature),
}

impl Intake {
    /// With a device's signature, in place of any that it had.
    #[must_use]
    pub fn signed(self, signature: DeviceSignature) -> Self {
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => Self::SignedBid(bid, signature),
            Self::Offer(offer) | Self::SignedOffer(offer, _) => Self::SignedOffer(offer, signature),
        }
    }

    /// Without a signature.
    #[must_use]
    pub fn unsigned(self) -> Self {
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => Self::Bid(bid),
            Self::Offer(offer) | Self::SignedOffer(offer, _) => Self::Offer(offer),
        }
    }

    /// The device's signature, if it has one.
    #[must_use]
    pub const fn signature(&self) -> Option<&DeviceSignature> {
        match self {
            Self::Bid(_) | Self::Offer(_) => None,
            Self::SignedBid(_, signature) | Self::SignedOffer(_, signature) => Some(signature),
        }
    }

    /// The oldest rules under which a log may hold this shape.
    #[must_use]
    pub const fn rules_needed(&self) -> u32 {
        match self {
            Self::Bid(_) | Self::Offer(_) => 1,
            Self::SignedBid(..) | Self::SignedOffer(..) => SIGNED_BIDS_RULES,
        }
    }

    /// Identity of the intent.
    #[must_use]
    pub const fn command(&self) -> CommandId {
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => bid.command,
            Self::Offer(offer) | Self::SignedOffer(offer, _) => offer.command,
        }
    }

    /// Who sent it.
    #[must_use]
    pub const fn user(&self) -> UserId {
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => bid.bidder,
            Self::Offer(offer) | Self::SignedOffer(offer, _) => offer.buyer,
        }
    }

    /// How much.
    #[must_use]
    pub const fn amount(&self) -> Money {
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => bid.amount,
            Self::Offer(offer) | Self::SignedOffer(offer, _) => offer.amount,
        }
    }

    /// Up to how much the market bids on for its bidder.
    #[must_use]
    pub const fn maximum(&self) -> Option<Maximum> {
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => bid.maximum,
            Self::Offer(_) | Self::SignedOffer(..) => None,
        }
    }

    /// Log time after which it must not take effect.
    #[must_use]
    pub const fn valid_until(&self) -> Timestamp {
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => bid.valid_until,
            Self::Offer(offer) | Self::SignedOffer(offer, _) => offer.valid_until,
        }
    }

    /// The id the bid has, or would have if the offer becomes one.
    #[must_use]
    pub fn bid(&self) -> BidId {
        BidId::of(&self.command())
    }

    /// What makes two uses of one `Idempotency-Key` the same request. Ids that an edge makes,
    /// `valid_until` and the signature over it are left out: they differ between honest retries.
    #[must_use]
    pub fn body_digest(&self) -> Digest {
        let mut hasher = Hasher::new_from_context_key(&BODY_KEY);
        match self {
            Self::Bid(bid) | Self::SignedBid(bid, _) => {
                hasher.update(b"bid").update(&bid.auction.to_bits().to_le_bytes());
                if let Some(maximum) = bid.maximum {
                    hash_money(hasher.update(b"maximum"), maximum.reveal());
                }
            }
            Self::Offer(offer) | Self::SignedOffer(offer, _) => {
                hasher
                    .update(b"offer")
                    .update(&offer.story.to_bits().to_le_bytes())
                    .update(&[u8::from(offer.bid_if_open)]);
                let note = offer.note.as_ref().map_or("", OfferNote::as_str);
                let ship_to = offer.ship_to.as_ref().map_or("", Country::as_str);
                for text in [note, ship_to].into_iter().filter(|text| !text.is_empty()) {
                    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
                    hasher.update(&length.to_le_bytes()).update(text.as_bytes());
                }
            }
        }
        hash_money(&mut hasher, self.amount());
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }
}

fn hash_money(hasher: &mut Hasher, money: Money) {
    hasher.update(&money.minor().to_le_bytes()).update(money.currency().code().as_bytes());
}

/// One record of an edge's journal.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct JournalEntry {
    /// Sequence, from 1, without gaps.
    pub seq: u64,
    /// When the edge received it.
    pub stamp: Stamp,
    /// What it received.
    pub intake: Intake,
    /// Hash of the journal up to this entry; see [`JournalEntry::chain`].
    pub hash: ChainHash,
}

impl JournalEntry {
    /// Makes the entry that follows `tail`.
    #[must_use]
    pub fn after(tail: Tail, stamp: Stamp, intake: Intake) -> Self {
        let seq = tail.seq.saturating_add(1);
        let hash = Self::chain(tail.hash, seq, stamp, &intake);
        Self { seq, stamp, intake, hash }
    }

    /// Hash of a journal that had `previous` and got this entry.
    #[must_use]
    pub fn chain(previous: ChainHash, seq: u64, stamp: Stamp, intake: &Intake) -> ChainHash {
        Self::chain_of(previous, seq, stamp, (intake, &intake.body_digest()))
    }

    /// [`JournalEntry::chain`] for whoever has [`Intake::body_digest`] already.
    #[must_use]
    pub fn chain_of(
        previous: ChainHash,
        seq: u64,
        stamp: Stamp,
        (intake, body): (&Intake, &Digest),
    ) -> ChainHash {
        let mut hasher = Hasher::new_from_context_key(&CHAIN_KEY);
        hasher
            .update(previous.as_bytes())
            .update(&seq.to_le_bytes())
            .update(&stamp.earliest.as_unix_millis().to_le_bytes())
            .update(&stamp.latest.as_unix_millis().to_le_bytes())
            .update(intake.command().as_bytes())
            .update(&intake.user().to_bits().to_le_bytes())
            .update(body.as_bytes())
            .update(&intake.valid_until().as_unix_millis().to_le_bytes());
        if let Intake::Offer(offer) | Intake::SignedOffer(offer, _) = intake {
            hasher
                .update(&offer.offer.to_bits().to_le_bytes())
                .update(&offer.auction.to_bits().to_le_bytes())
                .update(&[match offer.eligibility {
                    Eligibility::Allowed => 0,
                    Eligibility::Denied => 1,
                    Eligibility::Unknown => 2,
                }]);
        }
        if let Some(signature) = intake.signature() {
            let key = signature.key.to_bits().to_le_bytes();
            hasher.update(b"signed").update(&key).update(&signature.bytes);
        }
        ChainHash::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Whether this entry follows `tail`: next sequence, matching hash.
    #[must_use]
    pub fn follows(&self, tail: Tail) -> bool {
        tail.seq.checked_add(1) == Some(self.seq)
            && Self::chain(tail.hash, self.seq, self.stamp, &self.intake) == self.hash
    }

    /// This entry as a tail.
    #[must_use]
    pub const fn tail(&self) -> Tail {
        Tail { seq: self.seq, hash: self.hash }
    }
}

/// Consecutive journal entries of one edge, as they travel.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Batch {
    /// Whose journal.
    pub edge: EdgeId,
    /// The newest mark that the sender holds of this edge.
    pub mark: Option<Mark>,
    /// At most [`crate::limits::BATCH_ENTRIES_MAX`], in order, without gaps.
    pub entries: Vec<JournalEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn bid(amount: u64) -> Intake {
        Intake::Bid(PlaceBid {
            command: CommandId::from_bytes([3; 32]),
            auction: AuctionId::from_bits(1),
            bidder: UserId::from_bits(2),
            amount: Money::new(amount, Currency::Eur),
            maximum: None,
            valid_until: Timestamp::from_unix_millis(9),
        })
    }

    #[test]
    fn an_altered_entry_does_not_follow() {
        let stamp = Stamp {
            earliest: Timestamp::from_unix_millis(1),
            latest: Timestamp::from_unix_millis(2),
        };
        let entry = JournalEntry::after(Tail::START, stamp, bid(100));
        assert!(entry.follows(Tail::START));
        let altered = JournalEntry { intake: bid(101), ..entry.clone() };
        assert!(!altered.follows(Tail::START));
        assert!(!entry.follows(entry.tail()));
    }

    #[test]
    fn a_signature_is_part_of_the_chain_and_not_of_the_request() {
        let stamp = Stamp {
            earliest: Timestamp::from_unix_millis(1),
            latest: Timestamp::from_unix_millis(2),
        };
        let signature =
            DeviceSignature { key: crate::id::DeviceKeyId::from_bits(1), bytes: [1; 64] };
        let entry = JournalEntry::after(Tail::START, stamp, bid(100).signed(signature));
        assert_eq!(entry.intake.body_digest(), bid(100).body_digest());
        assert_eq!(entry.intake.rules_needed(), SIGNED_BIDS_RULES);
        for intake in [bid(100), bid(100).signed(DeviceSignature { bytes: [2; 64], ..signature })] {
            assert!(!JournalEntry { intake, ..entry.clone() }.follows(Tail::START));
        }
    }
}
