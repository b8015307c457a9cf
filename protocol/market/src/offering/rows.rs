//! Offers, policies and a maker's dashboard, as shells answer them.
//!
//! Who may see what is decided here: an offer is its buyer's and its maker's. Read next: `mod.rs`.

use fairground_types::command::OfferPolicy;
use fairground_types::journal::{Eligibility, SubmitOffer};
use fairground_types::text::{Country, Note, OfferNote};
use fairground_types::{
    AuctionId, BidId, Code, CommandId, Money, OfferId, SaleLockId, StoryId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::{Offer, OfferState};
use crate::Market;
use crate::auction::{Auction, AuctionState};
use crate::story::StoryState;
use crate::view::AuctionStatus;

/// Where an offer stands, in the public API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OfferStep {
    /// Waits for the maker.
    Pending,
    /// Opened the auction, and leads or won.
    Accepted,
    /// Below the minimum.
    AutoRejected,
    /// Refused by the maker.
    Rejected,
    /// Taken back.
    Withdrawn,
    /// Another offer or bid came before it.
    Superseded,
}

/// An offer, for its buyer and its maker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferRow {
    /// Its id.
    pub offer_id: OfferId,
    /// The story.
    pub story_id: StoryId,
    /// The version of the story that it was made for.
    pub story_version: u64,
    /// Who made it.
    pub buyer_id: UserId,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub status: OfferStep,
    /// Whether it opened an auction.
    pub is_opening: bool,
    /// What the buyer wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<OfferNote>,
    /// Where the piece would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ship_to_country: Option<Country>,
    /// When it came.
    pub submitted_at: Timestamp,
    /// When it opens an auction by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// The auction that it opened, or that overtook it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auction_id: Option<AuctionId>,
    /// The minimum that it missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Money>,
    /// Why it was refused or withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

/// Offers, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferList {
    /// The offers.
    pub offers: Vec<OfferRow>,
}

/// What a maker takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferPolicyRow {
    /// Counts its changes; 0 for the default.
    pub version: u64,
    /// The policy.
    pub policy: OfferPolicy,
}

/// Whether an offer would be taken now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EligibilityRow {
    /// Whether it would.
    pub ok: bool,
    /// The least offer; while an auction is open the least bid.
    pub minimum: Money,
    /// Why not: a rule of eligibility, or an error code.
    pub rules: Vec<String>,
    /// Offers that the buyer has left in this listing cycle.
    pub offers_left: u32,
    /// The auction that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auction_id: Option<AuctionId>,
}

/// An auction of somebody.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnAuctionRow {
    /// Its id.
    pub auction_id: AuctionId,
    /// The story.
    pub story_id: StoryId,
    /// Where it stands.
    pub status: AuctionStatus,
    /// When it closes.
    pub closes_at: Timestamp,
    /// The highest bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<Money>,
    /// The highest bid, by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_bid_id: Option<BidId>,
    /// The least next bid.
    pub min_next_bid: Money,
    /// All bids.
    pub bid_count: u32,
    /// Whether the reader leads.
    pub leads: bool,
    /// The reader's highest bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_highest: Option<Money>,
    /// Up to how much the market bids on for the reader; for nobody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_maximum: Option<Money>,
    /// Until when the maker decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide_by: Option<Timestamp>,
    /// Its newest sale lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale_lock_id: Option<SaleLockId>,
    /// The bid that a second chance would go to; for the maker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_best_bid_id: Option<BidId>,
}

/// Auctions of somebody, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnAuctionList {
    /// The auctions.
    pub auctions: Vec<OwnAuctionRow>,
}

/// What waits for a maker.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MakerDashboard {
    /// Auctions that take bids.
    pub active_auctions: Vec<OwnAuctionRow>,
    /// Auctions that wait for a payment.
    pub awaiting_payment: Vec<OwnAuctionRow>,
    /// Auctions that wait for the maker's decision.
    pub to_decide: Vec<OwnAuctionRow>,
    /// Offers to review.
    pub offers_to_review: Vec<OfferRow>,
    /// Orders to ship.
    pub orders_to_ship: Vec<crate::OrderRow>,
    /// How many of them are overdue.
    pub overdue: u32,
}

fn offer_row(market: &Market, offer: &Offer) -> OfferRow {
    let mut row = OfferRow {
        offer_id: offer.offer,
        story_id: offer.story,
        story_version: offer.story_version,
        buyer_id: offer.buyer,
        amount: offer.amount,
        status: OfferStep::Pending,
        is_opening: false,
        note: offer.note.clone(),
        ship_to_country: offer.ship_to.clone(),
        submitted_at: offer.submitted_at,
        opens_at: None,
        decided_at: None,
        auction_id: None,
        minimum: None,
        reason: None,
    };
    match &offer.state {
        OfferState::Pending { opens_at } => row.opens_at = Some(*opens_at),
        OfferState::Accepted { at } => {
            let opening = BidId::of(&offer.command);
            let leads = market.auction(offer.opens).is_none_or(|auction| auction.leads(opening));
            row.status = if leads { OfferStep::Accepted } else { OfferStep::Superseded };
            row.is_opening = true;
            row.decided_at = Some(*at);
            row.auction_id = Some(offer.opens);
        }
        OfferState::AutoRejected { minimum } => {
            row.status = OfferStep::AutoRejected;
            row.decided_at = Some(offer.submitted_at);
            row.minimum = Some(*minimum);
        }
        OfferState::Rejected { at, reason } => {
            row.status = OfferStep::Rejected;
            row.decided_at = Some(*at);
            row.reason.clone_from(reason);
        }
        OfferState::Withdrawn { at, reason } => {
            row.status = OfferStep::Withdrawn;
            row.decided_at = Some(*at);
            row.reason.clone_from(reason);
        }
        OfferState::Superseded { at, auction } => {
            row.status = OfferStep::Superseded;
            row.decided_at = Some(*at);
            row.auction_id = Some(*auction);
        }
    }
    row
}

impl Market {
    /// Offers on a story: all for its maker, their own for a buyer. Newest first.
    #[must_use]
    pub fn offers_on(&self, story: StoryId, reader: UserId) -> Vec<OfferRow> {
        self.offering
            .on(story)
            .rev()
            .filter(|offer| offer.maker == reader || offer.buyer == reader)
            .map(|offer| offer_row(self, offer))
            .collect()
    }

    /// The same, unless the story is one that the reader knows nothing of.
    #[must_use]
    pub fn story_offers(&self, story: StoryId, reader: UserId) -> Option<OfferList> {
        let row = self.stories.get(&story)?;
        let is_known = row.maker == reader || row.state.is_public();
        is_known.then(|| OfferList { offers: self.offers_on(story, reader) })
    }

    /// Offers that somebody made, newest first.
    #[must_use]
    pub fn offers_of(&self, buyer: UserId) -> Vec<OfferRow> {
        let mut rows: Vec<OfferRow> = self
            .offering
            .offers
            .values()
            .filter(|offer| offer.buyer == buyer)
            .map(|offer| offer_row(self, offer))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.submitted_at, row.offer_id)));
        rows
    }

    /// One offer, for its buyer or its maker.
    #[must_use]
    pub fn offer_row(&self, id: OfferId, reader: UserId) -> Option<OfferRow> {
        let offer = self.offer(id).filter(|row| row.buyer == reader || row.maker == reader)?;
        Some(offer_row(self, offer))
    }

    /// What a maker takes.
    #[must_use]
    pub fn offer_policy_row(&self, maker: UserId) -> OfferPolicyRow {
        let known = self.offering.policies.get(&maker);
        let (version, policy) = known.cloned().unwrap_or_default();
        OfferPolicyRow { version, policy }
    }

    /// Whether an offer of somebody would be taken now. It takes no clock: `valid_until` is the shell's.
    #[must_use]
    pub fn eligibility(
        &self,
        buyer: UserId,
        story: StoryId,
        (amount, ship_to): (Option<Money>, Option<Country>),
    ) -> Option<EligibilityRow> {
        let row = self.stories.get(&story)?;
        let live = if let StoryState::Live { auction } = &row.state {
            self.auction(*auction)
        } else {
            None
        };
        let least = self.least_offer(row);
        let minimum = live.map_or(least, Auction::min_next);
        let amount_asked = amount.unwrap_or(minimum);
        let question = SubmitOffer {
            command: CommandId::from_bytes([0; 32]),
            offer: OfferId::from_bits(0),
            auction: AuctionId::from_bits(0),
            story,
            buyer,
            amount: amount_asked,
            note: None,
            ship_to,
            eligibility: Eligibility::Allowed,
            bid_if_open: true,
            valid_until: self.at,
        };
        let mut rules = Vec::new();
        if !row.state.is_public() {
            return None;
        }
        if matches!(row.state, StoryState::Sold { .. }) {
            rules.push("STORY_NOT_ELIGIBLE".to_owned());
        }
        if amount_asked.currency() != minimum.currency() {
            rules.push(Code::CurrencyMismatch.as_str().to_owned());
        } else if amount_asked.minor() < minimum.minor() {
            let code = if live.is_some() { Code::BidTooLow } else { Code::OfferMinViolation };
            rules.push(code.as_str().to_owned());
        }
        if row.maker == buyer {
            rules.push(Code::SelfBid.as_str().to_owned());
        }
        let barrier = self.trade_barrier(buyer).map_or(Ok(()), Err);
        let by_rule = if live.is_some() { Ok(()) } else { self.check_eligible(row, &question) };
        for refused in [barrier, by_rule].into_iter().filter_map(Result::err) {
            rules.extend(refused.rule.map(|rule| rule.as_str().to_owned()));
        }
        let made = row.offers.get(&buyer).copied().unwrap_or(0);
        let most = self.offer_policy(row.maker).max_offers_per_buyer;
        let most = most.min(self.cluster.policy.offers.per_cycle_max);
        Some(EligibilityRow {
            ok: rules.is_empty(),
            minimum,
            rules,
            offers_left: most.saturating_sub(made),
            auction_id: live.map(Auction::id),
        })
    }

    /// Auctions in which somebody bids, newest first.
    #[must_use]
    pub fn auctions_bid_in(&self, bidder: UserId) -> Vec<OwnAuctionRow> {
        self.own_auctions(|row| row.bidders.contains_key(&bidder), bidder)
    }

    /// Auctions of a maker, newest first.
    #[must_use]
    pub fn auctions_made_by(&self, maker: UserId) -> Vec<OwnAuctionRow> {
        self.own_auctions(|row| row.maker == maker, maker)
    }

    fn own_auctions(
        &self,
        is_theirs: impl Fn(&Auction) -> bool,
        reader: UserId,
    ) -> Vec<OwnAuctionRow> {
        let mut rows: Vec<&Auction> = self.auctions().filter(|row| is_theirs(row)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.opened_at, row.auction)));
        rows.into_iter().map(|row| self.own_auction(row, reader)).collect()
    }

    fn own_auction(&self, row: &Auction, reader: UserId) -> OwnAuctionRow {
        let (status, decide_by) = match &row.state {
            AuctionState::Open => (AuctionStatus::Open, None),
            AuctionState::Locked { .. } => (AuctionStatus::Locked, None),
            AuctionState::AwaitingDecision { decide_by, .. } => {
                (AuctionStatus::AwaitingDecision, Some(*decide_by))
            }
            AuctionState::Closed { .. } => (AuctionStatus::Closed, None),
        };
        let own = row.bids().filter(|bid| bid.bidder == reader).map(|bid| bid.amount);
        let next = row.next_best(|bidder| self.trade_barrier(bidder).is_none());
        let next = next.filter(|_| row.maker == reader && decide_by.is_some());
        let proxy = row.proxy.as_ref().filter(|proxy| proxy.bidder == reader);
        let lock = row.lock().and_then(|id| self.lock(id));
        let lock = lock.filter(|lock| lock.buyer == reader || lock.maker == reader);
        OwnAuctionRow {
            auction_id: row.auction,
            story_id: row.story,
            status,
            closes_at: row.closes_at,
            highest: row.leading().map(|bid| bid.amount),
            highest_bid_id: row.leading().map(|bid| bid.bid_id),
            min_next_bid: row.min_next(),
            bid_count: u32::try_from(row.bids().count()).unwrap_or(u32::MAX),
            leads: row.leader() == Some(reader),
            own_highest: own.max_by_key(|amount| amount.minor()),
            own_maximum: proxy.map(|proxy| proxy.maximum.reveal()),
            decide_by,
            sale_lock_id: lock.map(crate::SaleLock::id),
            next_best_bid_id: next.map(|bid| bid.bid_id),
        }
    }

    /// What waits for a maker: each count is the length of its list.
    #[must_use]
    pub fn maker_dashboard(&self, maker: UserId) -> MakerDashboard {
        let in_state = |status| -> Vec<OwnAuctionRow> {
            let rows = self.auctions_made_by(maker).into_iter();
            rows.filter(|row| row.status == status).collect()
        };
        let mut offers_to_review: Vec<OfferRow> = self
            .offering
            .offers
            .values()
            .filter(|offer| offer.maker == maker && !offer.state.is_final())
            .map(|offer| offer_row(self, offer))
            .collect();
        offers_to_review.sort_by_key(|row| (row.opens_at, row.offer_id));
        let orders_to_ship: Vec<crate::OrderRow> = self
            .orders
            .values()
            .filter(|order| order.maker == maker && order.waits_for_maker())
            .filter_map(|order| self.order_row(order.order, maker))
            .collect();
        let overdue = orders_to_ship.iter().filter(|row| row.overdue).count();
        MakerDashboard {
            active_auctions: in_state(AuctionStatus::Open),
            awaiting_payment: in_state(AuctionStatus::Locked),
            to_decide: in_state(AuctionStatus::AwaitingDecision),
            offers_to_review,
            orders_to_ship,
            overdue: u32::try_from(overdue).unwrap_or(u32::MAX),
        }
    }
}
