//! How large a member's market is: for each live auction, and after a million sales are over.
//!
//! Resident memory of this process, as the kernel counts it. Read next:
//! `docs/src/internals/performance.md` for what to expect.

use crate::floor::{ENTRY_BIDS, Floor};
use crate::measure::{Effort, Figure, quotient, took};

/// Sales of one day.
const DAY: usize = 1_000;

/// Prints how large it is.
pub(crate) fn measure(effort: Effort) {
    live(effort.size(100_000, 20));
    over(effort);
}

/// Live auctions of five bids each.
fn live(auctions: usize) {
    let before = resident_kb();
    let mut floor = Floor::open(u64::try_from(auctions).expect("small"));
    floor.round(auctions * 4 / ENTRY_BIDS + 1);
    let mut size = Figure::new(format!("memory: {auctions} live auctions"), "MB", 1);
    size.add(quotient(resident_kb().saturating_sub(before).into(), 10, 1_024));
    size.print();
    let (copied, snapshot) = took(|| floor.market.snapshot());
    let mut copy = Figure::new(format!("memory: snapshot of {auctions} taken"), "ms", 3);
    copy.add(quotient(copied.as_nanos(), 1, 1_000));
    copy.print();
    drop(snapshot);
}

/// Sales that are over: the state holds those of the last quarter of a year.
fn over(effort: Effort) {
    let wanted = u64::try_from(effort.size(1_000_000, 200)).expect("small");
    let day = u64::try_from(effort.size(DAY, 20)).expect("small");
    let mut floor = Floor::brief();
    let mut next = 10;
    let mut told = wanted / 10;
    while floor.market.archived() < wanted {
        floor.sell(next, day);
        next += day;
        if floor.market.archived() >= told {
            let name = format!("memory: {told} sales archived, {} held", held(&floor));
            let mut size = Figure::new(name, "MB", 1);
            size.add(quotient(resident_kb().into(), 10, 1_024));
            size.print();
            told = if told < wanted { wanted } else { u64::MAX };
        }
    }
}

fn held(floor: &Floor) -> usize {
    floor.market.auctions().count()
}

/// Resident memory of this process (proc(5), `statm`), in kB.
fn resident_kb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4
}
