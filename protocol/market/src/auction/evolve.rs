//! How events change an auction. Cannot fail, decides nothing.
//!
//! Read next: `decide.rs` for where events come from.

use fairground_types::event::CloseReason;
use fairground_types::{BidId, LogIndex, SaleLockId, Timestamp};

use crate::auction::{
    Auction, AuctionState, Bid, Bidder, Ended, Extension, HeldBid, REFUSED_KEPT_MAX, RefusedBid,
};

/// What happened to an auction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AuctionEvent {
    /// A bid leads.
    Placed(Bid),
    /// A bid was refused.
    Refused(RefusedBid),
    /// A bid waits for the end.
    Held(HeldBid),
    /// The close moved later; by a bid, or after an outage.
    Extended { index: LogIndex, at: Timestamp, closes_at: Timestamp, cause: Option<BidId> },
    /// The bidding ended in favour of the leading bidder.
    Locked { ended: Ended, lock: SaleLockId },
    /// The lock expired.
    Unpaid { decide_by: Timestamp },
    /// It ended for good.
    Closed { reason: CloseReason, at: Timestamp },
}

impl Auction {
    pub(crate) fn evolve(&mut self, event: AuctionEvent) {
        match event {
            AuctionEvent::Placed(bid) => self.place(bid),
            AuctionEvent::Refused(refused) => self.refuse(refused),
            AuctionEvent::Held(held) => {
                self.held.insert(held.intake.user(), held);
            }
            AuctionEvent::Extended { index, at, closes_at, cause } => {
                if cause.is_none() {
                    let moved = closes_at.since(self.closes_at);
                    self.base_close = self.base_close.plus(moved);
                    self.closes_by = self.closes_by.plus(moved);
                }
                self.closes_at = self.closes_at.max(closes_at);
                self.extensions.push(Extension { index, at, closes_at, cause });
            }
            AuctionEvent::Locked { ended, lock } => {
                self.state = AuctionState::Locked { ended, lock };
            }
            AuctionEvent::Unpaid { decide_by } => {
                if let AuctionState::Locked { ended, lock } = &self.state {
                    self.state = AuctionState::AwaitingDecision {
                        ended: ended.clone(),
                        lock: *lock,
                        decide_by,
                    };
                }
            }
            AuctionEvent::Closed { reason, at } => {
                self.state = AuctionState::Closed {
                    ended: self.ended().cloned(),
                    lock: self.lock(),
                    reason,
                    closed_at: at,
                };
            }
        }
    }

    fn place(&mut self, bid: Bid) {
        let bidder =
            self.bidders.entry(bid.bidder).or_insert(Bidder { number: bid.number, judged: 0 });
        bidder.number = bid.number;
        self.numbered = self.numbered.max(bid.number);
        bidder.judged = bidder.judged.saturating_add(1);
        let before = std::mem::replace(&mut self.leading, bid);
        self.earlier.push(before);
    }

    fn refuse(&mut self, refused: RefusedBid) {
        let bidder = self.bidders.entry(refused.bidder).or_insert(Bidder { number: 0, judged: 0 });
        bidder.judged = bidder.judged.saturating_add(1);
        self.refused_count = self.refused_count.saturating_add(1);
        if self.refused.len() >= REFUSED_KEPT_MAX {
            self.refused.remove(0);
        }
        self.refused.push(refused);
    }
}
