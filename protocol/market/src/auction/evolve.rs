//! How events change an auction. Cannot fail, decides nothing.
//!
//! Read next: `decide.rs` for where events come from.

use std::collections::BTreeSet;

use fairground_types::event::{CloseMove, CloseReason};
use fairground_types::text::Note;
use fairground_types::{BidId, LogIndex, SaleLockId, Timestamp, UserId};

use crate::auction::{
    AdminAct, Auction, AuctionState, Bid, Bidder, Ended, Extension, HeldBid, Proxy,
    REFUSED_KEPT_MAX, RefusedBid, RetractedBid,
};

/// What happened to an auction.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "an event lives for one call")]
pub(crate) enum AuctionEvent {
    /// A bid leads.
    Placed(Bid),
    /// The market may bid on for the leading bidder, or not any more.
    Proxied(Option<Proxy>),
    /// Bids were taken back.
    Retracted { bids: BTreeSet<BidId>, reason: Note, index: LogIndex, at: Timestamp },
    /// No bid moves the close any more.
    EndLocked,
    /// Its watchers were told that it ends soon.
    EndTold,
    /// An admin did something.
    Acted(AdminAct),
    /// A bid was refused.
    Refused(RefusedBid),
    /// A bid waits for the end.
    Held(HeldBid),
    /// The close moved later.
    Extended(Extension),
    /// The piece is reserved for a bidder.
    Locked { ended: Ended, lock: SaleLockId, buyer: UserId, is_second_chance: bool },
    /// The bidding ended, but the maker cannot be paid.
    Unpayable { ended: Ended, decide_by: Timestamp },
    /// The time to decide was moved.
    DecisionMoved { decide_by: Timestamp },
    /// The lock expired.
    Unpaid { decide_by: Timestamp },
    /// It ended for good.
    Closed { reason: CloseReason, at: Timestamp, ended: Option<Ended> },
}

impl Auction {
    pub(crate) fn evolve(&mut self, event: AuctionEvent) {
        match event {
            AuctionEvent::Placed(bid) => self.place(bid),
            AuctionEvent::Refused(refused) => self.refuse(refused),
            AuctionEvent::Held(held) => {
                self.held.insert(held.intake.user(), held);
            }
            AuctionEvent::Proxied(proxy) => self.proxy = proxy,
            AuctionEvent::Retracted { bids, reason, index, at } => {
                self.retract(&bids, &reason, (index, at));
            }
            AuctionEvent::EndLocked => self.end_locked = true,
            AuctionEvent::EndTold => self.end_told = true,
            AuctionEvent::Acted(act) => self.acts.push(act),
            AuctionEvent::Extended(extension) => {
                let moved = extension.closes_at.since(self.closes_at);
                match extension.by {
                    CloseMove::Bid => {}
                    CloseMove::Outage => {
                        self.base_close = self.base_close.plus(moved);
                        self.closes_by = self.closes_by.plus(moved);
                    }
                    CloseMove::Admin => self.base_close = self.base_close.plus(moved),
                }
                self.closes_at = self.closes_at.max(extension.closes_at);
                self.extensions.push(extension);
            }
            AuctionEvent::Locked { ended, lock, buyer, is_second_chance } => {
                self.asked.insert(buyer);
                self.all_locks.push(lock);
                if is_second_chance {
                    self.second_chances = self.second_chances.saturating_add(1);
                }
                self.state = AuctionState::Locked { ended, lock };
            }
            AuctionEvent::Unpayable { ended, decide_by } => {
                self.state = AuctionState::AwaitingDecision { ended, lock: None, decide_by };
            }
            AuctionEvent::DecisionMoved { decide_by: moved } => {
                if let AuctionState::AwaitingDecision { decide_by, .. } = &mut self.state {
                    *decide_by = moved;
                }
            }
            AuctionEvent::Unpaid { decide_by } => {
                if let AuctionState::Locked { ended, lock } = &self.state {
                    self.state = AuctionState::AwaitingDecision {
                        ended: ended.clone(),
                        lock: Some(*lock),
                        decide_by,
                    };
                }
            }
            AuctionEvent::Closed { reason, at, ended } => {
                self.proxy = None;
                self.state = AuctionState::Closed {
                    ended: ended.or_else(|| self.ended().cloned()),
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
        if !bid.is_proxy {
            bidder.judged = bidder.judged.saturating_add(1);
        }
        self.earlier.extend(self.leading.replace(bid));
    }

    fn retract(
        &mut self,
        bids: &BTreeSet<BidId>,
        reason: &Note,
        (index, at): (LogIndex, Timestamp),
    ) {
        let all = std::mem::take(&mut self.earlier).into_iter().chain(self.leading.take());
        let (gone, kept): (Vec<Bid>, Vec<Bid>) = all.partition(|bid| bids.contains(&bid.bid_id));
        self.earlier = kept;
        self.leading = self.earlier.pop();
        self.proxy =
            self.proxy.take().filter(|proxy| gone.iter().all(|bid| bid.bidder != proxy.bidder));
        self.epoch = self.epoch.saturating_add(1);
        self.retracted.extend(gone.into_iter().map(|bid| RetractedBid {
            bid,
            reason: reason.clone(),
            index,
            at,
        }));
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
