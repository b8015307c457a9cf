//! Figures of the market: what became of a maker's stories, and what the whole came to.
//!
//! Pure counts over the state, made when somebody asks; nothing is decided by them. What has left for
//! the history is not here: [`ArchivedSale::publication_row`] gives a story's last row from there. It
//! must not know who may read what. Read next: `archive.rs` for what leaves, `docs/src/operate`.

use std::collections::BTreeMap;

use fairground_types::event::CloseReason;
use fairground_types::{AuctionId, Currency, Money, StoryId, Timestamp, UserId, limits};
use serde::{Deserialize, Serialize};

use crate::auction::{Auction, AuctionState};
use crate::issue::IssueState;
use crate::order::{Order, OrderState};
use crate::story::{Story, StoryState};
use crate::treasury::{Payout, RefundState};
use crate::{ArchivedSale, Market};

/// What became of a story, for its maker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublicationRow {
    /// The story.
    pub story_id: StoryId,
    /// Its title.
    pub title: String,
    /// `draft`, `submitted`, `rejected`, `approved`, `scheduled`, `listed`, `live`, `sold`,
    /// `takenDown` or `archived`.
    pub state: String,
    /// When it was shown first; absent while it is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// Times it was looked at; approximate.
    pub views: u64,
    /// Accounts that like it.
    pub likes: u64,
    /// Accounts that saved it.
    pub saves: u64,
    /// Links made to it.
    pub shares: u64,
    /// Accounts that watch its auction.
    pub watchers: u32,
    /// Offers that were made before an auction opened.
    pub offers: u64,
    /// Bids that were accepted, in every auction of it.
    pub bids: u64,
    /// What it was sold for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sold: Option<Money>,
}

/// Stories of one maker and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublicationList {
    /// The stories, in no order.
    pub stories: Vec<PublicationRow>,
}

/// What the market came to in a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MarketReport {
    /// Counted from then on.
    pub from: Timestamp,
    /// Counted before then.
    pub until: Timestamp,
    /// Log time of the state that was counted.
    pub at: Timestamp,
    /// A sale that was over before then may have left for the history, and is not counted.
    pub complete_from: Timestamp,
    /// Accounts made in that time.
    pub accounts_made: u64,
    /// Auctions that ended in that time.
    pub auctions: AuctionOutcomes,
    /// Orders paid in that time, by where they stand now.
    pub orders: OrderTotals,
    /// Money of that time, by currency.
    pub money: Vec<MoneyTotals>,
    /// Every story, by where it stands now.
    pub stories: StoryTotals,
    /// Issues that are open now.
    pub open_issues: u64,
}

/// Auctions by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuctionOutcomes {
    /// Paid.
    pub sold: u64,
    /// Not paid by anybody who was asked.
    pub unsold: u64,
    /// Every bid had been taken back.
    pub no_bids: u64,
    /// Ended by an admin or with a takedown.
    pub cancelled: u64,
    /// Not ended: they run now, or wait for payment or a decision.
    pub running: u64,
}

/// Orders by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderTotals {
    /// The maker ships next.
    pub awaiting_shipment: u64,
    /// On their way.
    pub in_transit: u64,
    /// The buyer has them.
    pub delivered: u64,
    /// Done.
    pub completed: u64,
    /// Over, the money went back.
    pub cancelled: u64,
}

/// Stories by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoryTotals {
    /// Being written.
    pub draft: u64,
    /// Wait for a reviewer.
    pub submitted: u64,
    /// Refused.
    pub rejected: u64,
    /// May be listed.
    pub approved: u64,
    /// Will be listed.
    pub scheduled: u64,
    /// Open for offers.
    pub listed: u64,
    /// With an auction.
    pub live: u64,
    /// Sold.
    pub sold: u64,
    /// Hidden by a moderator.
    pub taken_down: u64,
    /// Put away.
    pub archived: u64,
}

/// Money of one currency, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MoneyTotals {
    /// The currency.
    pub currency: Currency,
    /// Sales that were paid.
    pub sales: u64,
    /// What buyers paid for them.
    pub gross_sales_minor: u64,
    /// The market's share of it, as computed when it was paid.
    pub fees_minor: u64,
    /// What buyers got back.
    pub refunds_minor: u64,
    /// What the market gave back of its share with it.
    pub fees_returned_minor: u64,
    /// What makers were sent.
    pub payouts_minor: u64,
}

fn one_more(count: &mut u64) {
    *count = count.saturating_add(1);
}

fn more(sum: &mut u64, amount: Money) {
    *sum = sum.saturating_add(amount.minor());
}

fn count(rows: impl Iterator) -> u64 {
    u64::try_from(rows.count()).unwrap_or(u64::MAX)
}

impl OrderTotals {
    fn add(&mut self, state: &OrderState) {
        one_more(match state {
            OrderState::AwaitingShipment => &mut self.awaiting_shipment,
            OrderState::InTransit { .. } => &mut self.in_transit,
            OrderState::Delivered { .. } => &mut self.delivered,
            OrderState::Completed { .. } => &mut self.completed,
            OrderState::Cancelled { .. } => &mut self.cancelled,
        });
    }
}

impl StoryTotals {
    fn add(&mut self, state: &StoryState) {
        one_more(match state {
            StoryState::Draft => &mut self.draft,
            StoryState::Submitted { .. } => &mut self.submitted,
            StoryState::Rejected { .. } => &mut self.rejected,
            StoryState::Approved { .. } => &mut self.approved,
            StoryState::Scheduled { .. } => &mut self.scheduled,
            StoryState::Listed { .. } => &mut self.listed,
            StoryState::Live { .. } => &mut self.live,
            StoryState::Sold { .. } => &mut self.sold,
            StoryState::TakenDown { .. } => &mut self.taken_down,
            StoryState::Archived { .. } => &mut self.archived,
        });
    }
}

/// Sums by currency while they are made.
#[derive(Default)]
struct Sums(BTreeMap<Currency, MoneyTotals>);

impl Sums {
    fn of(&mut self, amount: Money) -> &mut MoneyTotals {
        let currency = amount.currency();
        self.0.entry(currency).or_insert(MoneyTotals {
            currency,
            sales: 0,
            gross_sales_minor: 0,
            fees_minor: 0,
            refunds_minor: 0,
            fees_returned_minor: 0,
            payouts_minor: 0,
        })
    }
}

/// What an order that stands was sold for.
fn price_of(order: &Order) -> Option<Money> {
    match order.state {
        OrderState::Cancelled { .. } => None,
        OrderState::AwaitingShipment
        | OrderState::InTransit { .. }
        | OrderState::Delivered { .. }
        | OrderState::Completed { .. } => Some(order.amount),
    }
}

fn row_of(story: &Story) -> PublicationRow {
    let published_at = match &story.state {
        StoryState::Listed { listed_at } => Some(*listed_at),
        StoryState::Draft
        | StoryState::Submitted { .. }
        | StoryState::Rejected { .. }
        | StoryState::Approved { .. }
        | StoryState::Scheduled { .. }
        | StoryState::Live { .. }
        | StoryState::Sold { .. }
        | StoryState::TakenDown { .. }
        | StoryState::Archived { .. } => None,
    };
    PublicationRow {
        story_id: story.story,
        title: story.contents.title.as_str().to_owned(),
        state: story.state.name().to_owned(),
        published_at,
        views: story.counts.views,
        likes: story.counts.likes,
        saves: story.counts.saves,
        shares: story.counts.shares,
        watchers: 0,
        offers: 0,
        bids: 0,
        sold: None,
    }
}

impl ArchivedSale {
    /// What became of the story that was sold, for its maker.
    #[must_use]
    pub fn publication_row(&self, maker: UserId) -> Option<PublicationRow> {
        let story = self.story().filter(|story| story.maker == maker)?;
        let mut row = row_of(story);
        row.offers = count(self.offers());
        row.bids = count(self.auction().bids());
        row.sold = self.order().and_then(price_of);
        Some(row)
    }
}

impl Market {
    /// Stories of a maker that are in the state, and what became of them.
    #[must_use]
    pub fn publications_of(&self, maker: UserId) -> PublicationList {
        let mut auctions: BTreeMap<StoryId, Vec<&Auction>> = BTreeMap::new();
        for auction in self.auctions.values().filter(|auction| auction.maker == maker) {
            auctions.entry(auction.story).or_default().push(auction);
        }
        let sold: BTreeMap<StoryId, Money> = self
            .orders
            .values()
            .filter(|order| order.maker == maker)
            .filter_map(|order| Some((order.story, price_of(order)?)))
            .collect();
        let watchers = |auction: AuctionId| self.social.watched.get(&auction).copied();
        let stories = self.stories.values().filter(|story| story.maker == maker).map(|story| {
            let mut row = row_of(story);
            let theirs = auctions.get(&story.story).map(Vec::as_slice).unwrap_or_default();
            // The view knows when it was listed first, as long as it shows it.
            let shown = self.view.story(story.story).map(|shown| shown.listed_at);
            row.published_at = shown.or(row.published_at);
            let newest = theirs.iter().max_by_key(|auction| auction.seq);
            row.watchers = newest.and_then(|auction| watchers(auction.auction)).unwrap_or(0);
            row.bids = count(theirs.iter().flat_map(|auction| auction.bids()));
            let offers = self.offering.of_story.get(&story.story);
            row.offers = count(offers.into_iter().flatten());
            row.sold = sold.get(&story.story).copied();
            row
        });
        PublicationList { stories: stories.collect() }
    }

    /// What the market came to from one instant until before another.
    #[must_use]
    pub fn report(&self, from: Timestamp, until: Timestamp) -> MarketReport {
        let is_then = |at: Timestamp| from <= at && at < until;
        let accounts = self.accounts.users.values();
        let mut stories = StoryTotals::default();
        self.stories.values().for_each(|story| stories.add(&story.state));
        let mut orders = OrderTotals::default();
        let paid_then = self.orders.values().filter(|order| is_then(order.paid_at));
        paid_then.for_each(|order| orders.add(&order.state));
        let open = self.issues.values().filter(|issue| match issue.state {
            IssueState::Open
            | IssueState::UnderReview
            | IssueState::AwaitingResponse { .. }
            | IssueState::Escalated { .. } => true,
            IssueState::Resolved { .. } => false,
        });
        let complete_from = match self.archive.count {
            0 => Timestamp::EPOCH,
            _ => self.at.minus(limits::ARCHIVE_AFTER),
        };
        MarketReport {
            from,
            until,
            at: self.at,
            complete_from,
            accounts_made: count(accounts.filter(|account| is_then(account.created_at))),
            auctions: self.auction_outcomes(is_then),
            orders,
            money: self.money_totals(is_then),
            stories,
            open_issues: count(open),
        }
    }

    fn auction_outcomes(&self, is_then: impl Fn(Timestamp) -> bool) -> AuctionOutcomes {
        let mut outcomes = AuctionOutcomes::default();
        for auction in self.auctions.values() {
            match &auction.state {
                AuctionState::Closed { reason, closed_at, .. } if is_then(*closed_at) => {
                    one_more(match reason {
                        CloseReason::Sold => &mut outcomes.sold,
                        CloseReason::Unsold => &mut outcomes.unsold,
                        CloseReason::Cancelled => &mut outcomes.cancelled,
                        CloseReason::NoBids => &mut outcomes.no_bids,
                    });
                }
                AuctionState::Closed { .. } => {}
                AuctionState::Open
                | AuctionState::Locked { .. }
                | AuctionState::AwaitingDecision { .. } => one_more(&mut outcomes.running),
            }
        }
        outcomes
    }

    fn money_totals(&self, is_then: impl Fn(Timestamp) -> bool) -> Vec<MoneyTotals> {
        let mut sums = Sums::default();
        for charge in self.treasury.charges.values() {
            if is_then(charge.paid_at) {
                let sum = sums.of(charge.amount);
                one_more(&mut sum.sales);
                more(&mut sum.gross_sales_minor, charge.amount);
                more(&mut sum.fees_minor, charge.fee);
            }
            if let Payout::Sent { amount, at } = &charge.payout
                && is_then(*at)
            {
                more(&mut sums.of(*amount).payouts_minor, *amount);
            }
        }
        for refund in self.treasury.refunds.values() {
            if let RefundState::Succeeded { at } = &refund.state
                && is_then(*at)
            {
                let sum = sums.of(refund.amount);
                more(&mut sum.refunds_minor, refund.amount);
                more(&mut sum.fees_returned_minor, refund.fee);
            }
        }
        sums.0.into_values().collect()
    }
}
