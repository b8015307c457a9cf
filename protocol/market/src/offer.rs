//! Bids and offers from the journals of edges: stamp, retry, decision, memory.
//!
//! ```text
//!  Candidate -> retry of a judged command?  answered with the first verdict
//!            -> stamp not to be believed?   STAMP_REFUSED
//!            -> not the bidder's own word?  SIGNATURE_REFUSED, SIGNATURE_REQUIRED (signing/)
//!            -> bid: auction/decide.rs      offer: opens an auction, or becomes a bid
//!            -> verdict remembered, told to the journal, put in the record
//! ```
//! It must not look at the order in which batches came: the turn's queue has the order of bids.
//! Read next: `auction/decide.rs`.

use std::sync::Arc;

use fairground_types::journal::{Intake, JournalEntry, Stamp, SubmitOffer};
use fairground_types::verdict::Judged;
use fairground_types::{
    Accepted, AuctionId, BidId, Code, CommandId, Digest, EdgeId, Money, PublicEvent, Rejection,
    UserId, Verdict,
};

use crate::Market;
use crate::apply::Turn;
use crate::auction::admission::{amount_in_range, currency_mismatch, locked, self_bid};
use crate::auction::{Auction, AuctionEvent, Decision, HeldBid, Offered, RefusedBid, decide_bid};
use crate::dedup::{Memory, Remembered};
use crate::edge_ledger::StampCheck;
use crate::effect::NoticeKind;
use crate::notice::about_auction;
use crate::offering::Taken;
use crate::signing::refusal_of;
use crate::story::StoryState;

/// A journal entry on its way to a verdict.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) edge: EdgeId,
    pub(crate) seq: u64,
    pub(crate) stamp: Stamp,
    pub(crate) intake: Intake,
    pub(crate) body: Digest,
    pub(crate) check: StampCheck,
    /// The auction that held it, if one did.
    pub(crate) held_in: Option<AuctionId>,
    /// Other journal entries that wait for the same verdict.
    pub(crate) copies: Vec<(EdgeId, u64)>,
}

/// How a candidate leaves.
enum Ruling {
    /// With a verdict that is remembered.
    Final(Verdict),
    /// With a verdict that is not.
    Passing(Rejection),
    /// Without one, for now.
    Waits,
}

impl Candidate {
    pub(crate) fn fresh(
        edge: EdgeId,
        entry: JournalEntry,
        body: Digest,
        check: StampCheck,
    ) -> Self {
        Self {
            edge,
            seq: entry.seq,
            stamp: entry.stamp,
            intake: entry.intake,
            body,
            check,
            held_in: None,
            copies: Vec::new(),
        }
    }

    pub(crate) fn held(bid: HeldBid, auction: AuctionId) -> Self {
        Self {
            edge: bid.edge,
            seq: bid.seq,
            stamp: bid.stamp,
            intake: bid.intake,
            body: bid.body,
            check: StampCheck::Good,
            held_in: Some(auction),
            copies: bid.copies,
        }
    }
}

impl Market {
    /// Gives a candidate its verdict, or holds it.
    pub(crate) fn judge(&mut self, turn: &mut Turn, candidate: Candidate) {
        let command = candidate.intake.command();
        let body = candidate.body;
        if let Some(known) = self.dedup.get(&command) {
            let judged = if known.body == body { known.judged.clone() } else { turn.reused() };
            turn.tell(&candidate, &judged);
            return;
        }
        // Before anything about the auction: a copy that is not the bidder's word joins nothing.
        let is_fresh = candidate.held_in.is_none() && candidate.check == StampCheck::Good;
        if is_fresh && let Err(rejection) = self.check_signature(&turn.verified, &candidate.intake)
        {
            self.refuse_signature(turn, &candidate, rejection);
            return;
        }
        let Some(candidate) = self.join_held(turn, candidate) else { return };
        let switched_off = self.switched_off(&candidate);
        let ruling = match candidate.check {
            StampCheck::Refused(why) => {
                Ruling::Final(Verdict::Rejected(Rejection::new(Code::StampRefused, why)))
            }
            StampCheck::Good if switched_off.is_some() => {
                switched_off.map_or(Ruling::Waits, reject)
            }
            StampCheck::Good => match (candidate.held_in, &candidate.intake) {
                (Some(auction), _) => self.rule_in_auction(turn, &candidate, auction),
                (None, Intake::Bid(bid) | Intake::SignedBid(bid, _)) => {
                    self.rule_in_auction(turn, &candidate, bid.auction)
                }
                (None, Intake::Offer(offer) | Intake::SignedOffer(offer, _)) => {
                    self.rule_on_offer(turn, &candidate, offer)
                }
            },
        };
        match ruling {
            Ruling::Waits => {}
            Ruling::Passing(rejection) => {
                let judged = turn.judged(Verdict::Rejected(rejection));
                turn.tell(&candidate, &judged);
            }
            Ruling::Final(verdict) => {
                let judged = turn.judged(verdict);
                turn.tell(&candidate, &judged);
                let user = Some(candidate.intake.user());
                self.dedup.remember(command, Memory::Long, Remembered { body, user, judged });
            }
        }
    }

    /// A refusal that stands for this journal entry alone: the same command, signed, is still judged.
    fn refuse_signature(&mut self, turn: &mut Turn, candidate: &Candidate, rejection: Rejection) {
        let judged = turn.judged(Verdict::Rejected(rejection));
        turn.tell(candidate, &judged);
        let name = refusal_of(&candidate.edge, candidate.seq);
        let entry = Remembered { body: candidate.body, user: None, judged };
        self.dedup.remember(name, Memory::Short, entry);
    }

    /// A copy of a held command joins it; the earlier stamp stands. Returns the candidate that is to
    /// be judged now, if there is one.
    fn join_held(&mut self, turn: &mut Turn, candidate: Candidate) -> Option<Candidate> {
        let user = candidate.intake.user();
        let meant = self.auction_meant(&candidate.intake).filter(|_| candidate.held_in.is_none());
        let Some(id) = meant else { return Some(candidate) };
        let command = candidate.intake.command();
        let is_held = |row: &Arc<Auction>| {
            row.held.get(&user).is_some_and(|bid| bid.intake.command() == command)
        };
        let Some(row) = self.auctions.get_mut(&id).filter(|row| is_held(row)) else {
            return Some(candidate);
        };
        let row = Arc::make_mut(row);
        let mut held = row.held.remove(&user)?;
        if held.body != candidate.body {
            row.held.insert(user, held);
            let judged = turn.reused();
            turn.tell(&candidate, &judged);
            return None;
        }
        let is_earlier =
            candidate.check == StampCheck::Good && candidate.stamp.earliest < held.stamp.earliest;
        if is_earlier {
            held.copies.push((held.edge, held.seq));
            held.edge = candidate.edge;
            held.seq = candidate.seq;
            held.stamp = candidate.stamp;
        } else {
            held.copies.push((candidate.edge, candidate.seq));
        }
        if held.stamp.earliest < row.closes_at {
            return Some(Candidate::held(held, id));
        }
        row.held.insert(user, held);
        None
    }

    /// The auction that a journal entry is a bid in, as things stand.
    pub(crate) fn auction_meant(&self, intake: &Intake) -> Option<AuctionId> {
        match intake {
            Intake::Bid(bid) | Intake::SignedBid(bid, _) => Some(bid.auction),
            Intake::Offer(offer) | Intake::SignedOffer(offer, _) => {
                match &self.stories.get(&offer.story)?.state {
                    StoryState::Live { auction } => Some(*auction),
                    StoryState::Draft
                    | StoryState::Submitted { .. }
                    | StoryState::Rejected { .. }
                    | StoryState::Approved { .. }
                    | StoryState::Scheduled { .. }
                    | StoryState::Listed { .. }
                    | StoryState::Sold { .. }
                    | StoryState::TakenDown { .. }
                    | StoryState::Archived { .. } => None,
                }
            }
        }
    }

    fn rule_in_auction(&mut self, turn: &mut Turn, candidate: &Candidate, id: AuctionId) -> Ruling {
        let Some(auction) = self.auctions.get(&id) else {
            return reject(Rejection::new(Code::NotFound, "no such auction"));
        };
        let offered = self.offered(turn, candidate);
        match decide_bid(auction, &offered) {
            Decision::Accept(events) => self.accept_bid(turn, id, events),
            Decision::Hold => {
                self.evolve_auction(id, AuctionEvent::Held(held_of(candidate)));
                Ruling::Waits
            }
            Decision::Pass(rejection) => Ruling::Passing(rejection),
            Decision::Outdone(rejection, events) => {
                self.run_events(turn, id, events);
                self.record_refusal(turn, id, &offered, &rejection);
                reject(rejection)
            }
            Decision::Refuse(rejection) => {
                self.record_refusal(turn, id, &offered, &rejection);
                reject(rejection)
            }
        }
    }

    fn offered(&self, turn: &Turn, candidate: &Candidate) -> Offered {
        let intake = &candidate.intake;
        Offered {
            command: intake.command(),
            bidder: intake.user(),
            amount: intake.amount(),
            maximum: intake.maximum(),
            valid_until: intake.valid_until(),
            edge: candidate.edge.clone(),
            seq: candidate.seq,
            stamp: candidate.stamp,
            was_held: candidate.held_in.is_some(),
            barrier: self.trade_barrier(intake.user()),
            index: turn.index,
            at: turn.at,
        }
    }

    fn accept_bid(&mut self, turn: &mut Turn, id: AuctionId, events: Vec<AuctionEvent>) -> Ruling {
        let before = self.auctions.get(&id).and_then(|row| row.leader());
        let first = self.run_events(turn, id, events);
        let (Some(row), Some((bid, bidder, amount))) = (self.auctions.get(&id).cloned(), first)
        else {
            return reject(Rejection::new(Code::NotFound, "no such auction"));
        };
        let outbid = if row.leader() == Some(bidder) { before } else { Some(bidder) };
        if let Some(outbid) = outbid.filter(|outbid| row.leader() != Some(*outbid)) {
            self.notify_outbid(turn, outbid, &row);
        }
        Ruling::Final(Verdict::Accepted(Accepted::BidPlaced {
            auction: id,
            bid,
            amount,
            min_next: row.min_next(),
            closes_at: row.closes_at,
        }))
    }

    /// Applies what a bid does; says which bid was placed first.
    fn run_events(
        &mut self,
        turn: &mut Turn,
        id: AuctionId,
        events: Vec<AuctionEvent>,
    ) -> Option<(BidId, UserId, Money)> {
        let mut first = None;
        for event in events {
            match event {
                AuctionEvent::Extended(_) => self.extend_auction(turn, id, event),
                AuctionEvent::Placed(bid) => {
                    let public = bid.public();
                    first.get_or_insert((bid.bid_id, bid.bidder, bid.amount));
                    self.evolve_auction(id, AuctionEvent::Placed(bid));
                    let Some(row) = self.auctions.get(&id) else { continue };
                    turn.events.push(PublicEvent::BidPlaced {
                        auction: id,
                        bid: public,
                        min_next: row.min_next(),
                    });
                    self.note_bid(turn, id);
                }
                AuctionEvent::Refused(_)
                | AuctionEvent::Held(_)
                | AuctionEvent::Proxied(_)
                | AuctionEvent::Retracted { .. }
                | AuctionEvent::EndLocked
                | AuctionEvent::EndTold
                | AuctionEvent::Acted(_)
                | AuctionEvent::Locked { .. }
                | AuctionEvent::Unpayable { .. }
                | AuctionEvent::DecisionMoved { .. }
                | AuctionEvent::Unpaid { .. }
                | AuctionEvent::Closed { .. } => self.evolve_auction(id, event),
            }
        }
        first
    }

    fn record_refusal(
        &mut self,
        turn: &mut Turn,
        id: AuctionId,
        offered: &Offered,
        rejection: &Rejection,
    ) {
        let refused = RefusedBid {
            bid_id: BidId::of(&offered.command),
            bidder: offered.bidder,
            amount: offered.amount,
            code: rejection.code,
            late: rejection.late,
            edge: offered.edge.clone(),
            seq: offered.seq,
            stamp: offered.stamp,
            index: turn.index,
            at: turn.at,
        };
        self.evolve_auction(id, AuctionEvent::Refused(refused));
        // Whoever holds a receipt and was cut off hears of it, wherever they are by now.
        if rejection.late || offered.was_held {
            let Some(row) = self.auctions.get(&id).cloned() else { return };
            let mut notice = about_auction(offered.bidder, NoticeKind::BidRefused, &row);
            notice.amount = Some(offered.amount);
            notice.text = Some(rejection.code.as_str().to_owned());
            self.notify(turn, notice);
        }
    }

    /// Why a fresh offer or bid is not taken at all, when a flag says so.
    fn switched_off(&self, candidate: &Candidate) -> Option<Rejection> {
        if candidate.held_in.is_some() {
            return None;
        }
        let region = self.edges.get(&candidate.edge).map(|edge| &edge.region);
        self.takes_bids(candidate.intake.user(), region).err()
    }

    fn rule_on_offer(
        &mut self,
        turn: &mut Turn,
        candidate: &Candidate,
        offer: &SubmitOffer,
    ) -> Ruling {
        match self.offer_target(offer) {
            Err(rejection) => reject(rejection),
            Ok(Some(auction)) => self.offer_while_live(turn, candidate, offer, auction),
            Ok(None) => self.open_by_offer(turn, candidate, offer),
        }
    }

    /// The auction that stands in the way of an offer; none when it may open one.
    fn offer_target(&self, offer: &SubmitOffer) -> Result<Option<AuctionId>, Rejection> {
        let missing = || Rejection::new(Code::NotFound, "no such story");
        let story = self.stories.get(&offer.story).ok_or_else(missing)?;
        let auction = match &story.state {
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Scheduled { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(missing()),
            StoryState::Listed { .. } => None,
            StoryState::Live { auction } => Some(*auction),
            StoryState::Sold { .. } => {
                return Err(Rejection::new(Code::InvalidState, "the piece is sold"));
            }
        };
        if story.contents.minimum_offer.currency() != offer.amount.currency() {
            return Err(currency_mismatch(story.contents.minimum_offer));
        }
        amount_in_range(offer.amount, self.cluster.policy.auction.amount_max_minor)?;
        if let Some(barrier) = self.trade_barrier(offer.buyer) {
            return Err(barrier);
        }
        if story.maker == offer.buyer {
            return Err(self_bid());
        }
        Ok(auction)
    }

    fn offer_while_live(
        &mut self,
        turn: &mut Turn,
        candidate: &Candidate,
        offer: &SubmitOffer,
        id: AuctionId,
    ) -> Ruling {
        let Some(auction) = self.auctions.get(&id) else {
            return reject(Rejection::new(Code::NotFound, "no such auction"));
        };
        if !auction.is_open() {
            return reject(locked().with_auction(id));
        }
        if offer.bid_if_open {
            return self.rule_in_auction(turn, candidate, id);
        }
        reject(
            Rejection::new(Code::AuctionActive, "an auction is open")
                .with_auction(id)
                .with_min_next(auction.min_next()),
        )
    }

    /// An offer on a listed story: it opens the auction, waits for the maker, or is refused.
    fn open_by_offer(
        &mut self,
        turn: &mut Turn,
        candidate: &Candidate,
        offer: &SubmitOffer,
    ) -> Ruling {
        let offered = self.offered(turn, candidate);
        match self.take_offer(turn, offer, &offered) {
            Err(rejection) => reject(rejection),
            Ok(Taken::Waits { opens_at }) => {
                Ruling::Final(Verdict::Accepted(Accepted::OfferSubmitted {
                    offer: offer.offer,
                    opens_at,
                }))
            }
            Ok(Taken::Opens) => match self.open_auction(turn, offer.offer) {
                Ok(opened) => Ruling::Final(Verdict::Accepted(opened)),
                Err(rejection) => reject(rejection),
            },
        }
    }

    /// The verdict on a journal entry that is applied: what its edge is told when it sends it again.
    /// None while it is held, and before it is applied.
    #[must_use]
    pub fn verdict_on_entry(&self, edge: &EdgeId, entry: &JournalEntry) -> Option<Judged> {
        let state = self.edges.get(edge)?;
        if entry.seq > state.applied.seq {
            return None;
        }
        let at_present = |verdict| Judged { index: self.index, at: self.at, verdict };
        if let Some(refused) = self.dedup.get(&refusal_of(edge, entry.seq)) {
            return Some(refused.judged.clone());
        }
        if let Some(known) = self.dedup.get(&entry.intake.command()) {
            if known.body == entry.intake.body_digest() {
                return Some(known.judged.clone());
            }
            return Some(at_present(Verdict::Rejected(reused())));
        }
        let auction = self.auction_meant(&entry.intake).and_then(|id| self.auctions.get(&id));
        let user = entry.intake.user();
        if auction.is_some_and(|row| is_waiting(row, user, &entry.intake.command())) {
            return None;
        }
        // Only two verdicts are not remembered, and both would be given again.
        let used_up =
            auction.is_some_and(|row| row.judged_of(user) >= row.policy.bids_per_bidder_max);
        let code = if used_up { Code::TooManyBids } else { Code::Closing };
        Some(at_present(Verdict::Rejected(Rejection::new(code, code.title().to_lowercase()))))
    }
}

fn is_waiting(auction: &Auction, user: UserId, command: &CommandId) -> bool {
    auction.held.get(&user).is_some_and(|bid| bid.intake.command() == *command)
}

/// The same key named another request before.
pub(crate) fn reused() -> Rejection {
    Rejection::new(Code::IdempotencyKeyReused, "the Idempotency-Key named another request")
}

const fn reject(rejection: Rejection) -> Ruling {
    Ruling::Final(Verdict::Rejected(rejection))
}

fn held_of(candidate: &Candidate) -> HeldBid {
    HeldBid {
        body: candidate.body,
        intake: candidate.intake.clone(),
        stamp: candidate.stamp,
        edge: candidate.edge.clone(),
        seq: candidate.seq,
        copies: candidate.copies.clone(),
    }
}
