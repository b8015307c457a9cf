//! An independent reader of our bytes: bincode 1.3.3 (ADR 0002).
//!
//! The mirrors below are written from `docs/src/internals/formats.md`, share no code with the types
//! they mirror, and are read by another implementation of the format.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use fairground_tests_golden::all;
use serde::{Deserialize, Serialize};

const HEADER_LEN: usize = 9;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    earliest: u64,
    latest: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Currency {
    Eur,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Money {
    minor: u64,
    currency: Currency,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Eligibility {
    Allowed,
    Denied,
    Unknown,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Intake {
    Bid {
        command: [u8; 32],
        auction: u128,
        bidder: u128,
        amount: Money,
        maximum: Option<Money>,
        valid_until: u64,
    },
    Offer {
        command: [u8; 32],
        offer: u128,
        auction: u128,
        story: u128,
        buyer: u128,
        amount: Money,
        note: Option<String>,
        ship_to: Option<String>,
        eligibility: Eligibility,
        bid_if_open: bool,
        valid_until: u64,
    },
    SignedBid {
        command: [u8; 32],
        auction: u128,
        bidder: u128,
        amount: Money,
        maximum: Option<Money>,
        valid_until: u64,
        key: u128,
        signature: [[u8; 32]; 2],
    },
    SignedOffer {
        command: [u8; 32],
        offer: u128,
        auction: u128,
        story: u128,
        buyer: u128,
        amount: Money,
        note: Option<String>,
        ship_to: Option<String>,
        eligibility: Eligibility,
        bid_if_open: bool,
        valid_until: u64,
        key: u128,
        signature: [[u8; 32]; 2],
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct JournalEntry {
    seq: u64,
    stamp: Stamp,
    intake: Intake,
    hash: [u8; 32],
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Edge {
    name: String,
    incarnation: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tail {
    seq: u64,
    hash: [u8; 32],
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    watermark: u64,
    tail: Tail,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Batch {
    edge: Edge,
    mark: Option<Mark>,
    entries: Vec<JournalEntry>,
}

fn payload(name: &str) -> Vec<u8> {
    let sample = all().into_iter().find(|sample| sample.name == name).expect("a sample");
    let (_, payload) = sample.bytes.split_at(HEADER_LEN);
    payload.to_vec()
}

fn money(minor: u64) -> Money {
    Money { minor, currency: Currency::Eur }
}

const EPOCH: u64 = 1_790_000_000_000;

#[test]
fn bincode_reads_our_bytes() {
    let bytes = payload("batch");
    let batch: Batch = bincode::deserialize(&bytes).expect("bincode's own format");
    assert_eq!(batch.edge, Edge { name: "edge-1".to_owned(), incarnation: 2 });
    let mark = batch.mark.as_ref().expect("a mark");
    assert_eq!((mark.watermark, mark.tail.seq), (EPOCH + 3_000, 2));
    assert_eq!(batch.entries.len(), 2);
    assert_eq!(
        batch.entries[0].intake,
        Intake::Bid {
            command: [0x11; 32],
            auction: 0xA1,
            bidder: 0xC1,
            amount: money(12_500),
            maximum: None,
            valid_until: EPOCH + 120_000,
        }
    );
    assert_eq!(
        batch.entries[1].intake,
        Intake::Offer {
            command: [0x11; 32],
            offer: 0xE1,
            auction: 0xA1,
            story: 0xD1,
            buyer: 0xC1,
            amount: money(9_900),
            note: None,
            ship_to: None,
            eligibility: Eligibility::Allowed,
            bid_if_open: true,
            valid_until: EPOCH + 120_000,
        }
    );
    assert_eq!(batch.entries[1].hash, mark.tail.hash);
}

#[test]
fn bincode_writes_our_bytes() {
    for name in [
        "journal_entry_bid",
        "journal_entry_offer",
        "journal_entry_signed_bid",
        "journal_entry_signed_offer",
    ] {
        let bytes = payload(name);
        let entry: JournalEntry = bincode::deserialize(&bytes).expect("bincode's own format");
        assert_eq!(bincode::serialize(&entry).expect("small"), bytes, "{name}");
    }
}
