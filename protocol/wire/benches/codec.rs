//! The codec against bincode 1.3.3, whose bytes it writes (ADR 0002), in one run.
//!
//! Both write and read the same values to the same bytes; bincode by serde through the mirrors below.
//! serde visits a `[u8; 32]` byte by byte, so the mirrors have two `u128` there, which are the same
//! bytes and bincode's best case. The ratio is bincode's time over ours: above 1 the codec is faster. Read next: `docs/src/adr/0002-bincode-bytes-through-wincode.md`.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../../../tests/measure.rs"]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench has a clock, what it measures has none"
)]
mod measure;

use std::hint::black_box;
use std::time::Duration;

use fairground_types::id::{AuctionId, CommandId, EdgeId, UserId};
use fairground_types::journal::{Batch, Intake, JournalEntry, Mark, PlaceBid, Stamp, Tail};
use fairground_types::money::{Currency, Money};
use fairground_types::time::Timestamp;
use fairground_wire::codec;
use serde::{Deserialize, Serialize};

use crate::measure::{Effort, Figure, quotient, took};

const BIDS: u64 = 128;
const START: u64 = 1_764_000_000_000;

fn main() {
    let effort = Effort::from_environment();
    let batch = batch();
    let mirror = mirror::batch(&batch);
    let bytes = codec::encode_payload(&batch).expect("small");
    assert_eq!(bincode::serialize(&mirror).expect("small"), bytes, "one format");
    let sealed = codec::to_bytes(&batch).expect("small");
    let times = effort.size(4_000, 2);
    versus(
        effort,
        "codec: encode 128 bids",
        times,
        [
            &mut || drop(black_box(codec::encode_payload(black_box(&batch)).expect("small"))),
            &mut || drop(black_box(bincode::serialize(black_box(&mirror)).expect("small"))),
        ],
    );
    versus(
        effort,
        "codec: decode 128 bids",
        times,
        [
            &mut || {
                drop(black_box(codec::decode_payload::<Batch>(black_box(&bytes)).expect("ours")))
            },
            &mut || drop(black_box(bincode::deserialize::<mirror::Batch>(&bytes).expect("ours"))),
        ],
    );
    versus(
        effort,
        "codec: encode 128 bids, enveloped",
        times,
        [&mut || drop(black_box(codec::to_bytes(black_box(&batch)).expect("small"))), &mut || {
            drop(black_box(bincode::serialize(black_box(&mirror)).expect("small")))
        }],
    );
    versus(
        effort,
        "codec: decode 128 bids, enveloped",
        times,
        [
            &mut || drop(black_box(codec::from_bytes::<Batch>(black_box(&sealed)).expect("ours"))),
            &mut || drop(black_box(bincode::deserialize::<mirror::Batch>(&bytes).expect("ours"))),
        ],
    );
}

/// Measures ours and bincode's in turn; prints nanoseconds a bid of both and the ratio.
fn versus(effort: Effort, name: &str, times: usize, [ours, theirs]: [&mut dyn FnMut(); 2]) {
    let mut one = Figure::new(name, "ns/bid", 1);
    let mut other = Figure::new(format!("{name}: bincode"), "ns/bid", 1);
    let mut ratio = Figure::new(format!("{name}: ratio"), "x", 2);
    let bids = u128::from(BIDS) * u128::try_from(times).expect("small");
    let measured =
        |work: &mut dyn FnMut()| -> Duration { took(|| (0..times).for_each(|_| work())).0 };
    for _ in 0..=effort.rounds() {
        let (mine, its) = (measured(ours), measured(theirs));
        one.add(quotient(mine.as_nanos(), 10, bids));
        other.add(quotient(its.as_nanos(), 10, bids));
        ratio.add(quotient(its.as_nanos(), 100, mine.as_nanos()));
    }
    one.print();
    other.print();
    ratio.print();
}

fn batch() -> Batch {
    let mut tail = Tail::START;
    let entries = (0..BIDS).map(|number| {
        let at = START + number;
        let stamp = Stamp {
            earliest: Timestamp::from_unix_millis(at),
            latest: Timestamp::from_unix_millis(at + 3),
        };
        let bid = Intake::Bid(PlaceBid {
            command: CommandId::derive_system("bid", &number.to_string(), ""),
            auction: AuctionId::from_bits(u128::from(number % 7) << 64),
            bidder: UserId::from_bits(u128::from(number) << 32),
            amount: Money::new(10_000 + number, Currency::Eur),
            maximum: None,
            valid_until: Timestamp::from_unix_millis(at + 120_000),
        });
        let entry = JournalEntry::after(tail, stamp, bid);
        tail = entry.tail();
        entry
    });
    let entries = entries.collect();
    let mark = Mark { watermark: Timestamp::from_unix_millis(START), tail: Tail::START };
    Batch { edge: EdgeId::new("edge-1", 1).expect("a name"), mark: Some(mark), entries }
}

/// The shapes as serde sees them.
mod mirror {
    use super::{Deserialize, Intake, Serialize};

    /// 32 bytes.
    type Halves = (u128, u128);

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Batch {
        edge: (String, u64),
        mark: Option<Mark>,
        entries: Vec<Entry>,
    }

    #[derive(Serialize, Deserialize)]
    struct Mark {
        watermark: u64,
        tail: (u64, Halves),
    }

    #[derive(Serialize, Deserialize)]
    struct Entry {
        seq: u64,
        stamp: (u64, u64),
        intake: Taken,
        hash: Halves,
    }

    #[derive(Serialize, Deserialize)]
    enum Taken {
        Bid(Bid),
    }

    #[derive(Serialize, Deserialize)]
    struct Bid {
        command: Halves,
        auction: u128,
        bidder: u128,
        amount: Money,
        valid_until: u64,
    }

    #[derive(Serialize, Deserialize)]
    struct Money {
        minor: u64,
        currency: Currency,
    }

    #[derive(Serialize, Deserialize)]
    enum Currency {
        Eur,
    }

    fn halves(bytes: &[u8; 32]) -> Halves {
        let half = |at: usize| bytes.iter().skip(at).take(16).rev().fold(0, join);
        (half(0), half(16))
    }

    fn join(bits: u128, byte: &u8) -> u128 {
        (bits << 8) | u128::from(*byte)
    }

    pub(crate) fn batch(batch: &super::Batch) -> Batch {
        let mark = batch.mark.map(|mark| Mark {
            watermark: mark.watermark.as_unix_millis(),
            tail: (mark.tail.seq, halves(mark.tail.hash.as_bytes())),
        });
        let entries = batch.entries.iter().filter_map(|entry| {
            let Intake::Bid(bid) = &entry.intake else { return None };
            Some(Entry {
                seq: entry.seq,
                stamp: (entry.stamp.earliest.as_unix_millis(), entry.stamp.latest.as_unix_millis()),
                intake: Taken::Bid(Bid {
                    command: halves(bid.command.as_bytes()),
                    auction: bid.auction.to_bits(),
                    bidder: bid.bidder.to_bits(),
                    amount: Money { minor: bid.amount.minor(), currency: Currency::Eur },
                    valid_until: bid.valid_until.as_unix_millis(),
                }),
                hash: halves(entry.hash.as_bytes()),
            })
        });
        Batch {
            edge: (batch.edge.name().to_owned(), batch.edge.incarnation()),
            mark,
            entries: entries.collect(),
        }
    }
}
