//! When auctions end: by the horizon, by grace, by their maker, by an admin; and what an outage
//! does to their closes.
//!
//! Read next: `soft_close.rs` for the arithmetic, `../edge_ledger.rs` for marks and the horizon.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::event::{CloseMove, CloseReason, LockReason};
use fairground_types::journal::Mark;
use fairground_types::text::Note;
use fairground_types::{
    Accepted, AuctionId, BidId, Code, EdgeId, PublicEvent, Rejection, Timestamp, UserId,
};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::auction::admission::{closed, locked};
use crate::auction::decision::cannot_be_paid;
use crate::auction::{
    ActKind, AdminAct, Auction, AuctionEvent, AuctionState, Bid, Ended, Extension, HeldBid,
};
use crate::deadline::{Due, DueKind};
use crate::effect::NoticeKind;
use crate::notice::about_auction;
use crate::offer::Candidate;
use crate::outage::Outage;

impl Market {
    /// Whether an auction takes bids: the leader ticks every second then.
    #[must_use]
    pub fn has_open_auction(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether newer marks of edges would let some close happen at log time `at`: two edges together
    /// may complete a close that neither completes alone.
    #[must_use]
    pub fn completes_close(&self, marks: &BTreeMap<EdgeId, Mark>, at: Timestamp) -> bool {
        let Some((first, _)) = self.open.first() else { return false };
        if *first > at {
            return false;
        }
        self.intake().all(|edge| {
            let newer = marks.get(&edge.edge).filter(|mark| edge.would_count(mark));
            let watermark = newer.map_or(edge.watermark, |mark| edge.watermark.max(mark.watermark));
            watermark >= *first
        })
    }

    /// The earliest log time at which some auction closes without any further mark.
    pub(crate) fn next_close_without_marks(&self) -> Option<Timestamp> {
        let promised = self.intake().map(|edge| edge.watermark).min().unwrap_or(Timestamp::MAX);
        let mut earliest: Option<Timestamp> = None;
        for (closes_at, id) in self.open.iter() {
            if earliest.is_some_and(|known| known <= *closes_at) {
                break;
            }
            let by_grace = self.auctions.get(id).map(|row| row.grace_over_at(self.resumed_at));
            let due = if promised >= *closes_at { Some(*closes_at) } else { by_grace };
            earliest = [earliest, due].into_iter().flatten().min();
        }
        earliest
    }

    /// The first close whose grace is over at `at`.
    pub(crate) fn first_close_by_grace(&self, at: Timestamp) -> Option<Due> {
        self.open
            .iter()
            .take_while(|(closes_at, _)| *closes_at <= at)
            .filter_map(|(_, id)| self.auctions.get(id))
            .map(|row| Due {
                at: row.grace_over_at(self.resumed_at),
                kind: DueKind::Close(row.auction),
            })
            .filter(|due| due.at <= at)
            .min()
    }

    /// The first close at `at` that every edge of the intake has passed by its mark.
    pub(crate) fn first_close_heard(&self, at: Timestamp) -> Option<Due> {
        let (closes_at, auction) = self.open.first().copied()?;
        let is_reached = closes_at <= self.horizon(at);
        is_reached.then_some(Due { at: closes_at, kind: DueKind::Close(auction) })
    }

    /// Closes every auction whose close the horizon has reached.
    pub(crate) fn close_reached(&mut self, turn: &mut Turn) {
        let horizon = self.horizon(turn.at);
        while let Some((closes_at, auction)) = self.open.first().copied() {
            if closes_at > horizon {
                break;
            }
            self.close_by_time(turn, auction);
        }
    }

    /// Ends an auction by time, in favour of the leading bidder; names the edges not heard.
    pub(crate) fn close_by_time(&mut self, turn: &mut Turn, id: AuctionId) {
        let Some(auction) = self.auctions.get(&id).filter(|row| row.is_open()).cloned() else {
            return;
        };
        let closes_at = auction.closes_at;
        let unheard = self
            .intake()
            .filter(|edge| edge.counted(turn.at) < closes_at)
            .map(|edge| edge.edge.clone())
            .collect();
        let ended = self.ended(turn, &auction, (auction.time_reason(), unheard));
        let Some(leading) = auction.leading.clone() else {
            return self.close_without_bids(turn, &auction, ended);
        };
        if self.can_be_paid(auction.maker) {
            self.lock_auction(turn, &auction, ended, &leading);
        } else {
            self.await_capability(turn, &auction, ended);
        }
        self.notify(turn, about_auction(auction.maker, NoticeKind::Ended, &auction));
        self.refuse_held(turn, id);
    }

    fn close_without_bids(&mut self, turn: &mut Turn, auction: &Auction, ended: Ended) {
        self.end_auction_with(turn, auction, CloseReason::NoBids, Some(ended));
        self.refuse_held(turn, auction.auction);
        self.notify(turn, about_auction(auction.maker, NoticeKind::Unsold, auction));
    }

    fn lock_auction(&mut self, turn: &mut Turn, auction: &Auction, ended: Ended, bid: &Bid) {
        let id = auction.auction;
        let reason = ended.reason;
        let unheard = ended.unheard.clone();
        let lock = self.make_lock(turn, auction, (bid, reason));
        let event =
            AuctionEvent::Locked { ended, lock, buyer: bid.bidder, is_second_chance: false };
        self.evolve_auction(id, event);
        turn.events.push(PublicEvent::AuctionLocked {
            auction: id,
            reason,
            bid: bid.public(),
            unheard,
        });
        let winner = bid.bidder;
        let others = auction.bidders.keys().copied().filter(|user| *user != winner).collect();
        self.fan_out(turn, others, about_auction(winner, NoticeKind::Lost, auction));
    }

    pub(crate) fn accept_highest(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: AuctionId,
        expected: BidId,
    ) -> Answer {
        let auction = self.auction_or_reject(id)?;
        if auction.maker != user {
            return Err(Rejection::new(Code::Forbidden, "only the maker accepts a bid"));
        }
        match &auction.state {
            AuctionState::Open => {}
            AuctionState::Locked { .. } | AuctionState::AwaitingDecision { .. } => {
                return Err(locked().with_auction(id));
            }
            AuctionState::Closed { .. } => return Err(closed().with_auction(id)),
        }
        let Some(leading) = auction.leading.clone().filter(|bid| bid.bid_id == expected) else {
            return Err(Rejection::new(Code::HighestChanged, "another bid leads")
                .with_auction(id)
                .with_min_next(auction.min_next()));
        };
        if !self.can_be_paid(user) {
            return Err(cannot_be_paid());
        }
        let auction = Arc::clone(auction);
        let ended = self.ended(turn, &auction, (LockReason::MakerAccepted, Vec::new()));
        self.lock_auction(turn, &auction, ended, &leading);
        self.refuse_held(turn, id);
        self.notify(turn, about_auction(auction.maker, NoticeKind::Ended, &auction));
        let lock = self.auctions.get(&id).and_then(|row| row.lock());
        lock.map(|lock| Accepted::Locked { auction: id, lock })
            .ok_or_else(|| Rejection::new(Code::InvalidState, "the auction was not locked"))
    }

    /// Ends a running auction without a sale: by an admin, or because its story or its maker is no
    /// longer to be seen.
    pub(crate) fn cancel_auction(
        &mut self,
        turn: &mut Turn,
        id: AuctionId,
        (actor, reason): (Option<UserId>, &Note),
    ) -> Answer {
        let auction = self.auction_or_reject(id)?;
        match &auction.state {
            AuctionState::Open => {}
            AuctionState::Locked { .. } | AuctionState::AwaitingDecision { .. } => {
                return Err(locked().with_auction(id));
            }
            AuctionState::Closed { .. } => return Err(closed().with_auction(id)),
        }
        let auction = Arc::clone(auction);
        let act = AdminAct::new(turn, ActKind::Cancel, (actor, reason));
        self.evolve_auction(id, AuctionEvent::Acted(act));
        self.end_auction(turn, &auction, CloseReason::Cancelled);
        self.refuse_held(turn, id);
        let told = auction.bidders.keys().copied().chain(std::iter::once(auction.maker)).collect();
        let notice = about_auction(auction.maker, NoticeKind::AuctionCancelled, &auction);
        self.fan_out(turn, told, notice);
        Ok(Accepted::Done)
    }

    /// Ends an auction for good; unless it sold, its story takes offers again.
    pub(crate) fn end_auction(&mut self, turn: &mut Turn, auction: &Auction, reason: CloseReason) {
        self.end_auction_with(turn, auction, reason, None);
    }

    fn end_auction_with(
        &mut self,
        turn: &mut Turn,
        auction: &Auction,
        reason: CloseReason,
        ended: Option<Ended>,
    ) {
        let id = auction.auction;
        self.evolve_auction(id, AuctionEvent::Closed { reason, at: turn.at, ended });
        turn.events.push(PublicEvent::AuctionClosed { auction: id, reason });
        match reason {
            CloseReason::Sold => self.sell_story(turn, auction.story),
            CloseReason::Unsold | CloseReason::Cancelled | CloseReason::NoBids => {
                self.relist_story(auction.story);
            }
        }
    }

    /// Held bids get their verdict when the auction ends: the close did not move past them.
    pub(crate) fn refuse_held(&mut self, turn: &mut Turn, id: AuctionId) {
        let mut held = self.take_held(id, Timestamp::MAX);
        held.sort_by_key(|bid| (bid.stamp.doubled_middle(), bid.edge.clone(), bid.seq));
        for bid in held {
            self.judge(turn, Candidate::held(bid, id));
        }
    }

    /// Held bids that are in time now go back among the bids of this entry, in stamp order.
    fn release_held(&mut self, turn: &mut Turn, id: AuctionId, closes_at: Timestamp) {
        for bid in self.take_held(id, closes_at) {
            turn.release(Candidate::held(bid, id));
        }
    }

    fn take_held(&mut self, id: AuctionId, before: Timestamp) -> Vec<HeldBid> {
        let Some(auction) = self.auctions.get_mut(&id) else { return Vec::new() };
        if auction.held.is_empty() {
            return Vec::new();
        }
        let held = std::mem::take(&mut Arc::make_mut(auction).held);
        let (free, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            held.into_iter().partition(|(_, bid)| bid.stamp.earliest < before);
        Arc::make_mut(auction).held = kept;
        free.into_values().collect()
    }

    /// Applies one event to an auction and keeps the index of open ones.
    pub(crate) fn evolve_auction(&mut self, id: AuctionId, event: AuctionEvent) {
        let Some(auction) = self.auctions.get_mut(&id) else { return };
        if auction.is_open() {
            self.open.remove(&(auction.closes_at, id));
        }
        let was_closed = matches!(auction.state, AuctionState::Closed { .. });
        let auction = Arc::make_mut(auction);
        auction.evolve(event);
        if auction.is_open() {
            self.open.insert((auction.closes_at, id));
        }
        if let (false, AuctionState::Closed { closed_at, .. }) = (was_closed, &auction.state) {
            let closed_at = *closed_at;
            self.plan_archive(id, closed_at);
        }
    }

    /// Moves a close, tells everybody, and frees the held bids that it reaches.
    pub(crate) fn extend_auction(&mut self, turn: &mut Turn, id: AuctionId, event: AuctionEvent) {
        let AuctionEvent::Extended(Extension { closes_at, cause, by, .. }) = event else { return };
        self.unplan_end_notice(id);
        self.evolve_auction(id, event);
        self.plan_end_notice(turn, id);
        let Some(auction) = self.auctions.get(&id) else { return };
        turn.events.push(PublicEvent::CloseExtended {
            auction: id,
            closes_at,
            closes_by: auction.closes_by,
            by,
            cause,
            final_window: auction.is_final_window(),
        });
        self.tell_of_move(turn, id, cause);
        self.release_held(turn, id, closes_at);
    }

    /// After an outage, auctions that would have ended in it or shortly after it go on for a while.
    pub(crate) fn extend_after_outage(&mut self, turn: &mut Turn, outage: &Outage) {
        let moved: Vec<(AuctionId, Timestamp)> = self
            .open
            .iter()
            .filter_map(|(_, id)| self.auctions.get(id))
            .filter_map(|row| Some((row.auction, row.close_after_outage(outage)?)))
            .collect();
        for (id, closes_at) in moved {
            self.extend_auction(turn, id, moved_to(turn, closes_at, CloseMove::Outage));
        }
    }

    /// How the bidding ended, in this entry.
    fn ended(
        &self,
        turn: &Turn,
        auction: &Auction,
        (reason, unheard): (LockReason, Vec<EdgeId>),
    ) -> Ended {
        let lateness = turn.at.since(auction.closes_at);
        let lost = self.edges.values().flat_map(|edge| &edge.missing);
        let missing = lost.filter(|lost| lost.at >= auction.opened_at).cloned().collect();
        Ended { index: turn.index, at: turn.at, reason, lateness, unheard, missing }
    }

    pub(crate) fn auction_or_reject(&self, id: AuctionId) -> Result<&Arc<Auction>, Rejection> {
        self.auctions.get(&id).ok_or_else(|| Rejection::new(Code::NotFound, "no such auction"))
    }
}

/// The move of a close that no bid caused.
pub(crate) fn moved_to(turn: &Turn, closes_at: Timestamp, by: CloseMove) -> AuctionEvent {
    AuctionEvent::Extended(Extension { index: turn.index, at: turn.at, closes_at, by, cause: None })
}
