//! `Market::apply` of full entries, a state on its way to bytes and back, and how large it is.
//!
//! Every bid is accepted, leads, and outbids somebody: the dearest verdict there is. Entries are made
//! before the clock starts. No effect runner takes notices away, so the outbox grows to its bound.
//! Read next: `docs/src/internals/performance.md` for what to expect.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../../../tests/measure.rs"]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench has a clock, what it measures has none"
)]
mod measure;

mod floor;

use std::hint::black_box;

use fairground_market::{Market, SNAPSHOT_VERSION, Snapshot};
use fairground_wire::codec;

use crate::floor::{ENTRY_BIDS, Floor};
use crate::measure::{Effort, Figure, quotient, took};

fn main() {
    let effort = Effort::from_environment();
    bids(effort);
    state(effort);
    floor::memory::measure(effort);
}

/// Bids a second on one auction and on many, in turn, their ratio, and what refusals cost.
fn bids(effort: Effort) {
    let entries = effort.size(140, 2);
    let many = effort.size(10_000, 10);
    let mut hot = Floor::open(1);
    let mut cold = Floor::open(u64::try_from(many).expect("small"));
    let mut hot_rate = Figure::new("apply: one hot auction, 128 bids an entry", "bids/s", 0);
    let mut cold_rate =
        Figure::new(format!("apply: {many} auctions, 128 bids an entry"), "bids/s", 0);
    let mut ratio = Figure::new("apply: one hot auction against many", "x", 2);
    let mut decided_rate = Figure::new("apply: every second bid too low, decided", "bids/s", 0);
    let mut accepted_rate = Figure::new("apply: every second bid too low, accepted", "bids/s", 0);
    for _ in 0..=effort.rounds() {
        let (one, other) = (hot.round(entries), cold.round(entries));
        hot_rate.add(one);
        cold_rate.add(other);
        ratio.add(quotient(one.into(), 100, other.into()));
        let (decided, accepted) = hot.contested_round(entries);
        decided_rate.add(decided);
        accepted_rate.add(accepted);
    }
    for figure in [hot_rate, cold_rate, ratio, decided_rate, accepted_rate] {
        figure.print();
    }
}

/// A state of ten thousand live auctions: copied, written, read.
fn state(effort: Effort) {
    let auctions = effort.size(10_000, 20);
    let mut floor = Floor::open(u64::try_from(auctions).expect("small"));
    // Four bids an auction on top of the opening offer.
    floor.round(auctions * 4 / ENTRY_BIDS + 1);
    let mut size = Figure::new(format!("state: {auctions} live auctions"), "MB", 2);
    let mut copy = Figure::new("state: snapshot taken", "ms", 3);
    let mut write = Figure::new("state: snapshot written", "ms", 3);
    let mut read = Figure::new("state: snapshot read and restored", "ms", 3);
    for _ in 0..=effort.rounds() {
        let (copied, snapshot) = took(|| black_box(floor.market.snapshot()));
        let version = SNAPSHOT_VERSION;
        let (written, bytes) = took(|| codec::encode_state(version, &snapshot).expect("bounded"));
        drop(snapshot);
        let (restored, market) = took(|| {
            let (_, snapshot) =
                codec::decode_state::<Snapshot>(version, &bytes).expect("just written");
            Market::restore(snapshot)
        });
        assert!(market == floor.market, "the state that is read is the one that was written");
        size.add(quotient(bytes.len().try_into().expect("small"), 1, 10_000));
        copy.add(quotient(copied.as_nanos(), 1, 1_000));
        write.add(quotient(written.as_nanos(), 1, 1_000));
        read.add(quotient(restored.as_nanos(), 1, 1_000));
    }
    size.print();
    copy.print();
    write.print();
    read.print();
}
