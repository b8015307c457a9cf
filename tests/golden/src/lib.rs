//! Samples of everything that is stored or sent, for golden files.
//!
//! One representative per shape, made of fixed values; the tests compare their bytes with
//! `files/*.hex`. A difference is a changed format: either a mistake, or a new version beside the
//! old one (`docs/src/internals/formats.md`). `FAIRGROUND_BLESS=1` writes the files anew.
#![expect(clippy::expect_used, reason = "samples are of fixed, valid values")]

mod commands;
mod events;
mod govern;
mod messages;
mod people;
mod stored;

use fairground_types::command::SealedContact;
use fairground_types::id::{
    AssetId, AuctionId, BidId, BlobHash, ChallengeId, ClusterId, CommandId, DeviceKeyId, Digest,
    EdgeId, EffectId, JoinTokenId, LogIndex, OfferId, OrderId, SaleLockId, SignInId, StoryId,
    UserId,
};
use fairground_types::journal::{
    Batch, Eligibility, Intake, JournalEntry, Mark, PlaceBid, Stamp, SubmitOffer, Tail,
};
use fairground_types::money::{Currency, Money};
use fairground_types::signature::DeviceSignature;
use fairground_types::text::{Handle, Region};
use fairground_types::time::Timestamp;
use fairground_wire::codec::{Decode, Encode};
use fairground_wire::{Versioned, from_bytes, to_bytes};

/// The bytes of one shape.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Name of its file, without `.hex`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Every sample.
#[must_use]
pub fn all() -> Vec<Sample> {
    [commands::samples(), events::samples(), messages::samples(), stored::samples()].concat()
}

/// A value in its envelope, read back and compared.
pub(crate) fn sealed<T>(name: impl Into<String>, value: &T) -> Sample
where
    T: Versioned + Encode + Decode + PartialEq + std::fmt::Debug,
{
    let bytes = to_bytes(value).expect("a sample is small");
    assert_eq!(&from_bytes::<T>(&bytes).expect("our own bytes"), value);
    Sample { name: name.into(), bytes }
}

pub(crate) const AUCTION: AuctionId = AuctionId::from_bits(0xA1);
pub(crate) const BID: BidId = BidId::from_bits(0xB1);
pub(crate) const USER: UserId = UserId::from_bits(0xC1);
pub(crate) const STORY: StoryId = StoryId::from_bits(0xD1);
pub(crate) const OFFER: OfferId = OfferId::from_bits(0xE1);
pub(crate) const LOCK: SaleLockId = SaleLockId::from_bits(0xF1);
pub(crate) const ORDER: OrderId = OrderId::from_bits(0xA2);
pub(crate) const ASSET: AssetId = AssetId::from_bits(0xB2);
pub(crate) const SIGN_IN: SignInId = SignInId::from_bits(0xC2);
pub(crate) const TOKEN: JoinTokenId = JoinTokenId::from_bits(0xD2);
pub(crate) const EFFECT: EffectId = EffectId::from_bits(0xE2);
pub(crate) const CHALLENGE: ChallengeId = ChallengeId::from_bits(0xF2);
pub(crate) const CLUSTER: ClusterId = ClusterId::from_bits(0xA3);
pub(crate) const COMMAND: CommandId = CommandId::from_bytes([0x11; 32]);
pub(crate) const DIGEST: Digest = Digest::from_bytes([0x22; 32]);
pub(crate) const BLOB: BlobHash = BlobHash::from_bytes([0x33; 32]);
pub(crate) const INDEX: LogIndex = LogIndex(77);

pub(crate) const fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_790_000_000_000 + second * 1_000)
}

pub(crate) const fn eur(minor: u64) -> Money {
    Money::new(minor, Currency::Eur)
}

pub(crate) fn edge() -> EdgeId {
    EdgeId::new("edge-1", 2).expect("a valid name")
}

pub(crate) fn region() -> Region {
    Region::parse("eu-north").expect("a valid name")
}

pub(crate) fn handle() -> Handle {
    Handle::parse("maker-1").expect("a valid name")
}

pub(crate) fn contact() -> SealedContact {
    SealedContact { wrapped_key: vec![1, 2, 3], sealed: vec![4, 5] }
}

pub(crate) const fn stamp() -> Stamp {
    Stamp { earliest: at(1), latest: at(2) }
}

pub(crate) const fn bid() -> Intake {
    Intake::Bid(PlaceBid {
        command: COMMAND,
        auction: AUCTION,
        bidder: USER,
        amount: eur(12_500),
        maximum: None,
        valid_until: at(120),
    })
}

pub(crate) const fn offer() -> Intake {
    Intake::Offer(SubmitOffer {
        command: COMMAND,
        offer: OFFER,
        auction: AUCTION,
        story: STORY,
        buyer: USER,
        amount: eur(9_900),
        note: None,
        ship_to: None,
        eligibility: Eligibility::Allowed,
        bid_if_open: true,
        valid_until: at(120),
    })
}

const fn signature() -> DeviceSignature {
    DeviceSignature { key: DeviceKeyId::from_bits(0xD3), bytes: [0x55; 64] }
}

/// What a device signed, behind what none did.
pub(crate) fn signed_journal() -> Vec<JournalEntry> {
    let bid = bid().signed(signature());
    let bid = JournalEntry::after(tail(), stamp(), bid);
    let offer = JournalEntry::after(bid.tail(), stamp(), offer().signed(signature()));
    vec![bid, offer]
}

pub(crate) fn journal() -> Vec<JournalEntry> {
    let first = JournalEntry::after(Tail::START, stamp(), bid());
    let second = JournalEntry::after(first.tail(), stamp(), offer());
    vec![first, second]
}

pub(crate) fn tail() -> Tail {
    journal().last().map_or(Tail::START, JournalEntry::tail)
}

pub(crate) fn mark() -> Mark {
    Mark { watermark: at(3), tail: tail() }
}

pub(crate) fn batch() -> Batch {
    Batch { edge: edge(), mark: Some(mark()), entries: journal() }
}
