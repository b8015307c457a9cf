//! The price rules once more: what a record of an auction must look like, read from its beginning.
//!
//! Written from the rules alone (least increment, half-open close, sequence of an entry), in as few
//! lines as they need; it must stay independent of the market's own code.

use super::load::{Auction, Judged};

/// The least next bid over a highest one.
pub(super) const fn min_next(auction: &Auction, highest: u64) -> u64 {
    let share = highest.saturating_mul(auction.increment_points).div_ceil(10_000);
    let step = if share > auction.increment_floor { share } else { auction.increment_floor };
    highest.saturating_add(if step == 0 { 1 } else { step })
}

/// How many bids were placed when a view had this index.
pub(super) fn placed_at(auction: &Auction, index: u64) -> usize {
    auction.placed.partition_point(|bid| bid.index <= index)
}

/// What is wrong with a judged bid, if anything.
pub(super) enum Fault {
    /// Accepted below the least bid, or refused as too low without being it.
    Price(String),
    /// A verdict that its stamp and the close do not explain.
    Close(String),
    /// Not where its entry's stamps put it.
    Sequence(String),
    /// A code that no rule of these clients explains.
    Code(String),
}

/// Replays all bids of a record; `rank` is the place of an edge in the sequence of edges.
pub(super) fn replay(
    auction: &Auction,
    code_text: impl Fn(u32) -> String,
    rank: impl Fn(u32) -> u32,
    valid_until: impl Fn(u32) -> Option<u64>,
    mut found: impl FnMut(&Judged, Fault),
) {
    let Some(opening) = auction.placed.first() else { return };
    let place = |bid: &Judged| {
        (bid.index, bid.earliest.saturating_add(bid.latest), rank(bid.edge), bid.seq)
    };
    for pair in auction.placed.windows(2) {
        let [before, after] = pair else { continue };
        if place(before) >= place(after) {
            found(after, Fault::Sequence(format!("accepted after entry {}", before.index)));
        }
    }
    let mut all: Vec<&Judged> = auction.placed.iter().skip(1).chain(&auction.refused).collect();
    all.sort_unstable_by_key(|bid| place(bid));
    let mut highest = opening.amount;
    for bid in all {
        let least = min_next(auction, highest);
        let Some(code) = bid.code else {
            if bid.amount < least {
                let text = format!("accepted at {} where {least} was the least", bid.amount);
                found(bid, Fault::Price(text));
            }
            if bid.earliest >= auction.closes_at {
                found(bid, Fault::Close("accepted with a stamp at or after the close".to_owned()));
            }
            highest = bid.amount;
            continue;
        };
        match code_text(code).as_str() {
            "BID_TOO_LOW" if bid.amount < least => {}
            "BID_TOO_LOW" => {
                let text = format!("too low at {} where {least} was the least", bid.amount);
                found(bid, Fault::Price(text));
            }
            "BID_EXPIRED" if valid_until(bid.bid).is_none_or(|until| until < bid.at) => {}
            "BID_EXPIRED" => {
                found(bid, Fault::Close("expired while it was still valid".to_owned()));
            }
            "AUCTION_CLOSED" => {
                if auction.ended_at.is_none_or(|ended| bid.at < ended) {
                    found(bid, Fault::Close("closed before the end".to_owned()));
                }
                if bid.late != (bid.earliest < auction.closes_at) {
                    let text = format!("`late` is {}, its stamp says otherwise", bid.late);
                    found(bid, Fault::Close(text));
                }
            }
            other => found(bid, Fault::Code(other.to_owned())),
        }
    }
}
