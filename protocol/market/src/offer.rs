//! Bids and offers from the journals of edges: stamp, retry, decision, memory.
//!
//! ```text
//!  Candidate -> retry of a judged command?  answered with the first verdict
//!            -> stamp not to be believed?   STAMP_REFUSED
//!            -> bid: auction/decide.rs      offer: opens an auction, or becomes a bid
//!            -> verdict remembered, told to the journal, put in the record
//! ```
//! It must not look at the order in which batches came: the turn's queue has the order of bids.
//! Read next: `auction/decide.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::journal::{Intake, JournalEntry, Stamp, SubmitOffer};
use fairground_types::verdict::Judged;
use fairground_types::{
    Accepted, AuctionId, BidId, Code, CommandId, Digest, EdgeId, PublicEvent, Rejection, UserId,
    Verdict, limits,
};

use crate::apply::Turn;
use crate::auction::admission::{amount_in_range, currency_mismatch, locked, self_bid};
use crate::auction::{
    Auction, AuctionEvent, AuctionState, Bidder, Decision, HeldBid, Offered, RefusedBid, decide_bid,
};
use crate::dedup::{Memory, Remembered};
use crate::edge_ledger::StampCheck;
use crate::effect::NoticeKind;
use crate::notice::about_auction;
use crate::story::StoryState;
use crate::{Market, auction};

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
                (None, Intake::Bid(bid)) => self.rule_in_auction(turn, &candidate, bid.auction),
                (None, Intake::Offer(offer)) => self.rule_on_offer(turn, &candidate, offer),
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
            Intake::Bid(bid) => Some(bid.auction),
            Intake::Offer(offer) => match &self.stories.get(&offer.story)?.state {
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
            },
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
            valid_until: intake.valid_until(),
            edge: candidate.edge.clone(),
            seq: candidate.seq,
            stamp: candidate.stamp,
            was_held: candidate.held_in.is_some(),
            is_known: self.may_trade(intake.user()).is_ok(),
            index: turn.index,
            at: turn.at,
        }
    }

    fn accept_bid(&mut self, turn: &mut Turn, id: AuctionId, events: Vec<AuctionEvent>) -> Ruling {
        let before = self.auctions.get(&id).map(|row| row.leading.bidder);
        for event in events {
            match event {
                AuctionEvent::Extended { .. } => self.extend_auction(turn, id, event),
                AuctionEvent::Placed(_) => {
                    self.evolve_auction(id, event);
                    let Some(row) = self.auctions.get(&id) else { continue };
                    turn.events.push(PublicEvent::BidPlaced {
                        auction: id,
                        bid: row.leading.public(),
                        min_next: row.min_next(),
                    });
                    self.note_bid(turn, id);
                }
                AuctionEvent::Refused(_)
                | AuctionEvent::Held(_)
                | AuctionEvent::Locked { .. }
                | AuctionEvent::Unpaid { .. }
                | AuctionEvent::Closed { .. } => self.evolve_auction(id, event),
            }
        }
        let Some(row) = self.auctions.get(&id).cloned() else {
            return reject(Rejection::new(Code::NotFound, "no such auction"));
        };
        if let Some(outbid) = before.filter(|bidder| *bidder != row.leading.bidder) {
            self.notify_outbid(turn, outbid, &row);
        }
        Ruling::Final(Verdict::Accepted(Accepted::BidPlaced {
            auction: id,
            bid: row.leading.bid_id,
            amount: row.leading.amount,
            min_next: row.min_next(),
            closes_at: row.closes_at,
        }))
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
        amount_in_range(offer.amount)?;
        self.may_trade(offer.buyer)?;
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

    fn open_by_offer(
        &mut self,
        turn: &mut Turn,
        candidate: &Candidate,
        offer: &SubmitOffer,
    ) -> Ruling {
        let offered = self.offered(turn, candidate);
        if let Err(rejection) = self.check_opening(offer, &offered) {
            return reject(rejection);
        }
        let Some(auction) = self.new_auction(offer, &offered) else {
            return reject(Rejection::new(Code::NotFound, "no such story"));
        };
        let id = auction.auction;
        let closes_at = auction.closes_at;
        turn.events.push(PublicEvent::AuctionOpened {
            auction: id,
            story: auction.story,
            seq: auction.seq,
            maker: auction.maker,
            policy: auction.policy,
            closes_at,
            closes_by: auction.closes_by,
            opening: auction.leading.public(),
            min_next: auction.min_next(),
        });
        self.notify(turn, about_auction(auction.maker, NoticeKind::AuctionOpened, &auction));
        self.change_story(auction.story, |story| {
            story.auction_seq = auction.seq;
            story.state = StoryState::Live { auction: id };
        });
        self.open.insert((closes_at, id));
        self.auctions.insert(id, Arc::new(auction));
        Ruling::Final(Verdict::Accepted(Accepted::AuctionOpened {
            offer: offer.offer,
            auction: id,
            bid: BidId::of(&offer.command),
            closes_at,
        }))
    }

    /// Counts the offer and checks what only an opening offer must meet.
    fn check_opening(&mut self, offer: &SubmitOffer, offered: &Offered) -> Result<(), Rejection> {
        if self.auctions.contains_key(&offer.auction) {
            return Err(Rejection::new(Code::ValidationFailed, "the auction id is taken"));
        }
        auction::check_validity(offered)?;
        let Some(story) = self.stories.get_mut(&offer.story) else { return Ok(()) };
        let minimum = story.contents.minimum_offer;
        let made = story.offers.get(&offer.buyer).copied().unwrap_or(0);
        if made >= limits::OFFERS_PER_BUYER_MAX {
            return Err(Rejection::new(Code::LimitReached, "no offer is left in this cycle"));
        }
        Arc::make_mut(story).offers.insert(offer.buyer, made.saturating_add(1));
        if offer.amount.minor() < minimum.minor() {
            return Err(Rejection::new(
                Code::OfferMinViolation,
                format!("the least offer is {minimum}"),
            )
            .with_min_next(minimum));
        }
        Ok(())
    }

    fn new_auction(&self, offer: &SubmitOffer, offered: &Offered) -> Option<Auction> {
        let story = self.stories.get(&offer.story)?;
        let policy = self.cluster.policy.auction;
        let closes_by = offered.at.plus(policy.total_max);
        let initial = policy.initial.min(policy.total_max);
        let base_close = self.first_close(offered.at, initial, closes_by);
        Some(Auction {
            auction: offer.auction,
            story: offer.story,
            seq: story.auction_seq.saturating_add(1),
            maker: story.maker,
            policy,
            opened_at: offered.at,
            base_close,
            closes_at: base_close,
            closes_by,
            extensions: Vec::new(),
            earlier: Vec::new(),
            leading: auction::bid_of(offered, 1),
            bidders: BTreeMap::from([(offer.buyer, Bidder { number: 1, judged: 1 })]),
            numbered: 1,
            held: BTreeMap::new(),
            refused: Vec::new(),
            refused_count: 0,
            state: AuctionState::Open,
        })
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
        let used_up = auction.is_some_and(|row| row.judged_of(user) >= limits::BIDS_PER_BIDDER_MAX);
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
