//! How an offer is taken: checked, counted, kept, and opened when it may be.
//!
//! Everything that can refuse an offer for good is asked before anything is counted; one that is too
//! low counts and is kept, so that its buyer and its maker see it. Read next: `review.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairground_types::command::{ExtensionMode, OpenMode, Popularity};
use fairground_types::journal::SubmitOffer;
use fairground_types::{
    Accepted, BidId, Code, Flag, OfferId, PublicEvent, Rejection, Timestamp, limits,
};

use super::{Offer, OfferState, Taken};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::auction::{Auction, AuctionState, Bid, Bidder, Offered, check_validity};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::{about, about_auction};
use crate::story::{Story, StoryState};

impl Market {
    /// Takes an offer on a listed story.
    pub(crate) fn take_offer(
        &mut self,
        turn: &mut Turn,
        offer: &SubmitOffer,
        offered: &Offered,
    ) -> Result<Taken, Rejection> {
        if self.auctions.contains_key(&offer.auction) {
            return Err(Rejection::new(Code::ValidationFailed, "the auction id is taken"));
        }
        if self.offering.offers.contains_key(&offer.offer) {
            return Err(Rejection::new(Code::ValidationFailed, "the offer id is taken"));
        }
        check_validity(offered)?;
        let missing = || Rejection::new(Code::NotFound, "no such story");
        let story = self.stories.get(&offer.story).cloned().ok_or_else(missing)?;
        self.check_eligible(&story, offer)?;
        let minimum = self.least_offer(&story);
        let policy = self.offer_policy(story.maker);
        let state = if offer.amount.minor() < minimum.minor() {
            OfferState::AutoRejected { minimum }
        } else {
            match policy.open_mode {
                OpenMode::Auto => OfferState::Accepted { at: turn.at },
                OpenMode::Review => {
                    let window = policy.review_window_ms.min(self.cluster.policy.offers.review);
                    OfferState::Pending { opens_at: turn.at.plus(window) }
                }
            }
        };
        if !state.is_final()
            && self.offering.pending_on(offer.story).len() >= limits::OFFERS_PENDING_MAX
        {
            return Err(Rejection::new(Code::LimitReached, "too many offers wait already"));
        }
        self.change_story(offer.story, |story| {
            let made = story.offers.entry(offer.buyer).or_default();
            *made = made.saturating_add(1);
        });
        self.offering.count(turn.at, offer.buyer);
        // What the buyer saw, whatever waits for its review.
        let shown = story.published.unwrap_or(story.version);
        self.keep_offer(turn, (offer, offered), (shown, story.maker), state)
    }

    fn keep_offer(
        &mut self,
        turn: &mut Turn,
        (offer, offered): (&SubmitOffer, &Offered),
        (story_version, maker): (u64, fairground_types::UserId),
        state: OfferState,
    ) -> Result<Taken, Rejection> {
        let id = offer.offer;
        self.offering.add(Offer {
            offer: id,
            story: offer.story,
            story_version,
            maker,
            buyer: offer.buyer,
            amount: offer.amount,
            note: offer.note.clone(),
            ship_to: offer.ship_to.clone(),
            command: offer.command,
            opens: offer.auction,
            edge: offered.edge.clone(),
            seq: offered.seq,
            stamp: offered.stamp,
            index: turn.index,
            submitted_at: turn.at,
            state: state.clone(),
        });
        match state {
            OfferState::AutoRejected { minimum } => {
                self.tell_offer(turn, id, NoticeKind::OfferAutoRejected);
                let detail = format!("the least offer is {minimum}");
                let rejection = Rejection::new(Code::OfferMinViolation, detail);
                Err(rejection.with_min_next(minimum))
            }
            OfferState::Pending { opens_at } => {
                self.deadlines.add(opens_at, DueKind::OfferReview(id));
                self.tell_offer(turn, id, NoticeKind::OfferSubmitted);
                self.tell_maker(turn, id, NoticeKind::OfferReceived);
                Ok(Taken::Waits { opens_at })
            }
            OfferState::Accepted { .. }
            | OfferState::Rejected { .. }
            | OfferState::Withdrawn { .. }
            | OfferState::Superseded { .. } => Ok(Taken::Opens),
        }
    }

    /// Opens the auction of a story with an offer; every other one that waits is overtaken.
    pub(crate) fn open_auction(&mut self, turn: &mut Turn, id: OfferId) -> Answer {
        let missing = || Rejection::new(Code::NotFound, "no such offer");
        let offer = self.offering.offers.get(&id).cloned().ok_or_else(missing)?;
        if self.auctions.contains_key(&offer.opens) {
            return Err(Rejection::new(Code::ValidationFailed, "the auction id is taken"));
        }
        let auction = self.new_auction(turn, &offer).ok_or_else(missing)?;
        let (auction_id, closes_at, story) = (auction.auction, auction.closes_at, auction.story);
        let Some(opening) = auction.leading().map(Bid::public) else { return Err(missing()) };
        let started = about_auction(auction.maker, NoticeKind::AuctionStarted, &auction);
        turn.events.push(PublicEvent::AuctionOpened {
            auction: auction_id,
            story,
            seq: auction.seq,
            maker: auction.maker,
            policy: auction.policy,
            closes_at,
            closes_by: auction.closes_by,
            opening,
            min_next: auction.min_next(),
        });
        self.notify(turn, about_auction(auction.maker, NoticeKind::AuctionOpened, &auction));
        self.change_story(story, |story| {
            story.auction_seq = auction.seq;
            story.state = StoryState::Live { auction: auction_id };
        });
        self.change_offer(id, |offer| offer.state = OfferState::Accepted { at: turn.at });
        self.open.insert((closes_at, auction_id));
        self.auctions.insert(auction_id, Arc::new(auction));
        self.freeze_signature_policy(auction_id);
        self.plan_end_notice(turn, auction_id);
        let mut told = BTreeSet::from([offer.buyer]);
        for other in self.offering.pending_on(story) {
            told.extend(self.offering.offers.get(&other).map(|row| row.buyer));
            self.unplan_review(other);
            self.change_offer(other, |offer| {
                offer.state = OfferState::Superseded { at: turn.at, auction: auction_id };
            });
            self.tell_offer(turn, other, NoticeKind::OfferSuperseded);
        }
        let followers = self.savers_of(story).filter(|user| !told.contains(user)).collect();
        self.fan_out(turn, followers, started);
        Ok(Accepted::AuctionOpened {
            offer: id,
            auction: auction_id,
            bid: BidId::of(&offer.command),
            closes_at,
        })
    }

    fn new_auction(&self, turn: &Turn, offer: &Offer) -> Option<Auction> {
        let story = self.stories.get(&offer.story)?;
        let mut policy = self.cluster.policy.auction;
        if policy.mode == ExtensionMode::Reset {
            policy = policy.frozen(self.popularity(turn.at, story), offer.amount);
        }
        policy.proxy_bids |= self.is_on(Flag::AuctionsProxyBids, Some(story.maker));
        let closes_by = turn.at.plus(policy.total_max);
        let base_close = self.first_close(turn.at, policy.initial.min(policy.total_max), closes_by);
        let least = self.least_offer(story);
        let opening_min = if least.minor() > offer.amount.minor() { offer.amount } else { least };
        Some(Auction {
            auction: offer.opens,
            story: offer.story,
            seq: story.auction_seq.saturating_add(1),
            maker: story.maker,
            policy,
            opened_at: turn.at,
            base_close,
            closes_at: base_close,
            closes_by,
            extensions: Vec::new(),
            end_locked: false,
            end_told: false,
            opening_min,
            earlier: Vec::new(),
            leading: Some(opening_bid(turn, offer)),
            proxy: None,
            retracted: Vec::new(),
            epoch: 0,
            bidders: BTreeMap::from([(offer.buyer, Bidder { number: 1, judged: 1 })]),
            numbered: 1,
            held: BTreeMap::new(),
            refused: Vec::new(),
            refused_count: 0,
            asked: BTreeSet::new(),
            second_chances: 0,
            all_locks: Vec::new(),
            acts: Vec::new(),
            state: AuctionState::Open,
        })
    }

    /// How wanted a story is among those that were listed in the last days and not sold: by how
    /// many saved it, since nobody watches an auction that is not open yet.
    fn popularity(&self, at: Timestamp, story: &Story) -> Popularity {
        let since = at.minus(limits::POPULARITY_SPAN);
        let listed: Vec<u64> = self
            .stories
            .values()
            .filter(|other| match &other.state {
                StoryState::Listed { listed_at } => *listed_at >= since,
                StoryState::Live { .. } => other.changed_at >= since,
                StoryState::Draft
                | StoryState::Submitted { .. }
                | StoryState::Rejected { .. }
                | StoryState::Approved { .. }
                | StoryState::Scheduled { .. }
                | StoryState::Sold { .. }
                | StoryState::TakenDown { .. }
                | StoryState::Archived { .. } => false,
            })
            .map(|other| other.counts.saves)
            .collect();
        let saves = story.counts.saves;
        let above = listed.iter().filter(|other| **other > saves).count();
        let is_within = |share: usize| above.saturating_mul(share) < listed.len();
        match saves {
            0 => Popularity::Common,
            _ if is_within(20) => Popularity::Top,
            _ if is_within(5) => Popularity::Popular,
            _ => Popularity::Common,
        }
    }

    pub(crate) fn tell_offer(&mut self, turn: &mut Turn, id: OfferId, kind: NoticeKind) {
        let Some(offer) = self.offering.offers.get(&id).cloned() else { return };
        let mut notice = about(offer.buyer, kind);
        notice.story = Some(offer.story);
        notice.amount = Some(offer.amount);
        self.notify(turn, notice);
    }

    pub(crate) fn tell_maker(&mut self, turn: &mut Turn, id: OfferId, kind: NoticeKind) {
        let Some(offer) = self.offering.offers.get(&id).cloned() else { return };
        let mut notice = about(offer.maker, kind);
        notice.story = Some(offer.story);
        notice.amount = Some(offer.amount);
        self.notify(turn, notice);
    }
}

fn opening_bid(turn: &Turn, offer: &Offer) -> Bid {
    Bid {
        bid_id: BidId::of(&offer.command),
        command: offer.command,
        bidder: offer.buyer,
        number: 1,
        amount: offer.amount,
        edge: offer.edge.clone(),
        seq: offer.seq,
        stamp: offer.stamp,
        index: turn.index,
        at: turn.at,
        // An offer that waited for its maker was judged when it came.
        is_late_commit: offer.submitted_at.since(offer.stamp.latest) > limits::LATE_COMMIT,
        is_proxy: false,
    }
}
