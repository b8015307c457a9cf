//! After a lock that nobody paid: the next bidder, a new listing, or no sale.
//!
//! ```text
//!   Locked --not paid--> AwaitingDecision --second chance--> Locked      at most three times
//!                            |   ^                             |
//!                            |   +--------declined, not paid---+
//!                            +--relisted, or time over--> Closed(Unsold)
//!   Open --time over, maker cannot be paid--> AwaitingDecision --can again--> Locked
//! ```
//! Whoever is asked a second time is invited, not bound: declining, or letting the time go by, is no
//! strike. It must not know payments. Read next: `../sale.rs`.

use std::sync::Arc;

use fairground_types::event::{CloseReason, LockReason};
use fairground_types::{
    Accepted, AuctionId, BidId, Code, Millis, PublicEvent, Rejection, SaleLockId, Timestamp,
    UserId, limits,
};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::auction::admission::locked;
use crate::auction::{Auction, AuctionEvent, AuctionState, Bid, Ended};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::{about_auction, about_lock};
use crate::outage::Outage;
use crate::sale::{LockState, SaleLock};

pub(crate) fn cannot_be_paid() -> Rejection {
    Rejection::new(Code::CapabilityRequired, "set up how you are paid first")
}

fn nothing_to_decide(detail: &str, id: AuctionId) -> Rejection {
    Rejection::new(Code::DecisionWindowClosed, detail).with_auction(id)
}

impl Auction {
    /// The best bid of somebody who was not asked yet and who may trade.
    pub(crate) fn next_best(&self, may_trade: impl Fn(UserId) -> bool) -> Option<&Bid> {
        self.bids()
            .filter(|bid| !self.asked.contains(&bid.bidder) && may_trade(bid.bidder))
            .max_by_key(|bid| bid.amount.minor())
    }
}

impl Market {
    /// The bidding is over and the maker cannot be paid: the lock waits.
    pub(crate) fn await_capability(&mut self, turn: &mut Turn, auction: &Auction, ended: Ended) {
        let id = auction.auction;
        let decide_by = turn.at.plus(self.cluster.policy.capability_wait);
        let (reason, unheard) = (ended.reason, ended.unheard.clone());
        self.evolve_auction(id, AuctionEvent::Unpayable { ended, decide_by });
        self.deadlines.add(decide_by, DueKind::Decision(id));
        turn.events.push(PublicEvent::BiddingEnded { auction: id, reason, unheard });
        turn.events.push(PublicEvent::AuctionAwaitsDecision { auction: id, decide_by });
    }

    /// The maker can be paid again: auctions that wait for that get their locks.
    pub(crate) fn capability_restored(&mut self, turn: &mut Turn, maker: UserId) {
        let waiting: Vec<Arc<Auction>> = self
            .auctions
            .values()
            .filter(|row| row.maker == maker)
            .filter(|row| matches!(row.state, AuctionState::AwaitingDecision { lock: None, .. }))
            .cloned()
            .collect();
        for auction in waiting {
            let AuctionState::AwaitingDecision { ended, decide_by, .. } = &auction.state else {
                continue;
            };
            let Some(leading) = auction.leading() else { continue };
            self.deadlines.remove(*decide_by, DueKind::Decision(auction.auction));
            self.relock(turn, &auction, (ended, leading), false);
        }
    }

    /// A lock went without payment: the maker decides, unless enough were asked.
    pub(crate) fn lock_failed(&mut self, turn: &mut Turn, lock: SaleLockId) {
        let Some(lock) = self.locks.get(&lock).cloned() else { return };
        for user in [lock.buyer, lock.maker] {
            self.notify(turn, about_lock(user, NoticeKind::PaymentExpired, &lock));
        }
        let Some(auction) = self.auctions.get(&lock.auction).cloned() else { return };
        let id = auction.auction;
        if auction.second_chances >= self.cluster.policy.second_chances_max {
            return self.end_unsold(turn, &auction, NoticeKind::Unsold);
        }
        let decide_by = turn.at.plus(self.cluster.policy.decision_window);
        self.evolve_auction(id, AuctionEvent::Unpaid { decide_by });
        self.deadlines.add(decide_by, DueKind::Decision(id));
        turn.events.push(PublicEvent::AuctionAwaitsDecision { auction: id, decide_by });
    }

    fn end_unsold(&mut self, turn: &mut Turn, auction: &Auction, kind: NoticeKind) {
        self.end_auction(turn, auction, CloseReason::Unsold);
        self.notify(turn, about_auction(auction.maker, kind, auction));
    }

    /// The maker did not decide, or could not be paid in time: the piece is not sold.
    pub(crate) fn end_decision(&mut self, turn: &mut Turn, id: AuctionId, due: Timestamp) {
        let Some(auction) = self.auctions.get(&id).cloned() else { return };
        let (is_due, waited) = match &auction.state {
            AuctionState::AwaitingDecision { decide_by, lock, .. } => {
                (*decide_by == due, lock.is_none())
            }
            AuctionState::Open | AuctionState::Locked { .. } | AuctionState::Closed { .. } => {
                (false, false)
            }
        };
        if !is_due {
            return;
        }
        let kind = if waited { NoticeKind::Unsold } else { NoticeKind::DecisionTimeout };
        self.end_unsold(turn, &auction, kind);
        if waited {
            for bidder in auction.bidders.keys() {
                self.notify(turn, about_auction(*bidder, NoticeKind::AuctionCancelled, &auction));
            }
        }
    }

    /// What the maker decides about: an own auction whose lock was not paid.
    fn to_decide(&self, user: UserId, id: AuctionId) -> Result<Arc<Auction>, Rejection> {
        let auction = self.auction_or_reject(id)?;
        if auction.maker != user {
            return Err(Rejection::new(Code::Forbidden, "only the maker decides"));
        }
        match &auction.state {
            AuctionState::AwaitingDecision { lock: Some(_), .. } => Ok(Arc::clone(auction)),
            AuctionState::AwaitingDecision { lock: None, .. } => Err(cannot_be_paid()),
            AuctionState::Open => {
                Err(Rejection::new(Code::InvalidState, "the auction is open").with_auction(id))
            }
            AuctionState::Locked { .. } => Err(locked().with_auction(id)),
            AuctionState::Closed { .. } => Err(nothing_to_decide("the auction ended", id)),
        }
    }

    /// Reserves the piece for the best of the other bidders, at that bidder's own price.
    pub(crate) fn offer_second_chance(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        (id, bid): (AuctionId, Option<BidId>),
    ) -> Answer {
        let auction = self.to_decide(user, id)?;
        if !self.can_be_paid(user) {
            return Err(cannot_be_paid());
        }
        let next = auction.next_best(|bidder| self.trade_barrier(bidder).is_none());
        let Some(next) = next.filter(|next| bid.is_none_or(|bid| bid == next.bid_id)) else {
            let rejection = Rejection::new(Code::NoEligibleBid, "no such bid is the next best");
            return Err(rejection.with_auction(id));
        };
        let AuctionState::AwaitingDecision { ended, decide_by, .. } = &auction.state else {
            return Err(nothing_to_decide("the auction ended", id));
        };
        self.deadlines.remove(*decide_by, DueKind::Decision(id));
        let lock = self.relock(turn, &auction, (ended, next), true);
        Ok(Accepted::Locked { auction: id, lock })
    }

    fn relock(
        &mut self,
        turn: &mut Turn,
        auction: &Auction,
        (ended, bid): (&Ended, &Bid),
        is_second_chance: bool,
    ) -> SaleLockId {
        let reason = if is_second_chance { LockReason::SecondChance } else { ended.reason };
        let lock = self.make_lock(turn, auction, (bid, reason));
        let event = AuctionEvent::Locked {
            ended: ended.clone(),
            lock,
            buyer: bid.bidder,
            is_second_chance,
        };
        self.evolve_auction(auction.auction, event);
        turn.events.push(PublicEvent::AuctionLocked {
            auction: auction.auction,
            reason,
            bid: bid.public(),
            unheard: ended.unheard.clone(),
        });
        lock
    }

    /// The buyer does not want the second chance: the maker may ask the next one.
    pub(crate) fn decline_second_chance(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: SaleLockId,
    ) -> Answer {
        let missing = || Rejection::new(Code::NotFound, "no such lock");
        let lock = self.locks.get(&id).filter(|lock| lock.buyer == user).ok_or_else(missing)?;
        if lock.reason != LockReason::SecondChance {
            return Err(Rejection::new(Code::InvalidState, "a winning bid is binding"));
        }
        if !lock.is_active() {
            return Err(Rejection::new(Code::PaymentTimeout, "the time to pay is over"));
        }
        if lock.has_unfinished_attempt() {
            return Err(Rejection::new(Code::SessionActive, "a checkout session is still open"));
        }
        self.deadlines.remove(lock.expires_at, DueKind::Payment(id));
        self.change_lock(id, |lock| lock.state = LockState::Released { released_at: turn.at });
        self.lock_failed(turn, id);
        Ok(Accepted::Done)
    }

    /// The maker lists the piece again: a new cycle, the next auction gets the next number.
    pub(crate) fn relist(&mut self, turn: &mut Turn, user: UserId, id: AuctionId) -> Answer {
        let auction = self.to_decide(user, id)?;
        if let AuctionState::AwaitingDecision { decide_by, .. } = &auction.state {
            self.deadlines.remove(*decide_by, DueKind::Decision(id));
        }
        self.end_auction(turn, &auction, CloseReason::Unsold);
        Ok(Accepted::Done)
    }

    /// After an outage the windows that were open go on for as long as it was: nobody loses time in
    /// which the market could not take what they had to do.
    pub(crate) fn shift_sale_windows(&mut self, turn: &mut Turn, outage: &Outage) {
        let Some(gap) = outage.kept_from(|| self.first_sale_window()) else { return };
        // When it began is known only roughly: everybody has some time left.
        let least = turn.at.plus(limits::OUTAGE_EXTENSION);
        let locks: Vec<Arc<SaleLock>> =
            self.locks.values().filter(|lock| lock.is_active()).cloned().collect();
        for lock in locks {
            self.deadlines.remove(lock.expires_at, DueKind::Payment(lock.lock));
            let expires_at = lock.expires_at.plus(gap).max(least);
            self.change_lock(lock.lock, |lock| lock.expires_at = expires_at);
            self.plan_window(turn, lock.lock, expires_at);
        }
        self.shift_decisions(turn, (gap, least));
    }

    fn first_sale_window(&self) -> Option<Timestamp> {
        let locks = self.locks.values().filter(|lock| lock.is_active()).map(|lock| lock.expires_at);
        let decisions = self.auctions.values().filter_map(|row| match &row.state {
            AuctionState::AwaitingDecision { decide_by, .. } => Some(*decide_by),
            AuctionState::Open | AuctionState::Locked { .. } | AuctionState::Closed { .. } => None,
        });
        locks.chain(decisions).min()
    }

    fn shift_decisions(&mut self, turn: &mut Turn, (gap, least): (Millis, Timestamp)) {
        let waiting: Vec<(AuctionId, Timestamp)> = self
            .auctions
            .values()
            .filter_map(|row| match &row.state {
                AuctionState::AwaitingDecision { decide_by, .. } => Some((row.auction, *decide_by)),
                AuctionState::Open | AuctionState::Locked { .. } | AuctionState::Closed { .. } => {
                    None
                }
            })
            .collect();
        for (id, decide_by) in waiting {
            self.deadlines.remove(decide_by, DueKind::Decision(id));
            let decide_by = decide_by.plus(gap).max(least);
            self.evolve_auction(id, AuctionEvent::DecisionMoved { decide_by });
            self.deadlines.add(decide_by, DueKind::Decision(id));
            turn.events.push(PublicEvent::AuctionAwaitsDecision { auction: id, decide_by });
        }
    }
}
