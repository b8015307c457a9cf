//! What is over for good leaves the state, by a command of its own.
//!
//! ```text
//!  closed --90 d, nothing open any more--> Archive --> Applied.archived --> history (shell, redb)
//! ```
//! An auction leaves together with everything that belongs to it: sale locks, the order, postings,
//! and the story when it was sold. What stays are balances, numbers and the memory of verdicts, which
//! ends by itself. A command about an archived thing is refused as one about a thing that is not
//! there: nothing can be done twice. It must not know where the history is kept. Read next:
//! `dedup.rs`.

use std::sync::Arc;

use fairground_types::{
    Accepted, AuctionId, IssueId, Millis, PublicEvent, SaleLockId, Timestamp, UserId, limits,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::apply::{Answer, Turn};
use crate::auction::{Auction, AuctionState};
use crate::audit::AuditEntry;
use crate::cow_map::CowSet;
use crate::issue::Issue;
use crate::issue::rows::issue_for;
use crate::ledger::{LedgerCause, Posting};
use crate::offering::Offer;
use crate::order::{Order, rows};
use crate::row::{AuctionRecord, AuditFilter, AuditRow, LockRow};
use crate::sale::{LockState, SaleLock};
use crate::story::{Story, StoryState};
use crate::treasury::{Charge, Refund, charge_row, order_of, payment_of, receipt_of};
use crate::{IssueRow, Market, MessageList, OrderRow, PaymentRow, ReceiptRow, query};

/// How long something that still waits for something else is left alone.
const LOOK_AGAIN: Millis = Millis::from_hours(24);

/// A sale that is over, with everything that belongs to it.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct ArchivedSale {
    /// Its place in the history, from 0.
    pub seq: u64,
    pub(crate) auction: Arc<Auction>,
    pub(crate) story: Option<Arc<Story>>,
    pub(crate) locks: Vec<Arc<SaleLock>>,
    pub(crate) order: Option<Arc<Order>>,
    pub(crate) charge: Option<Arc<Charge>>,
    pub(crate) refunds: Vec<Arc<Refund>>,
    pub(crate) issues: Vec<Arc<Issue>>,
    pub(crate) offers: Vec<Arc<Offer>>,
    pub(crate) postings: Vec<(LedgerCause, Arc<Posting>)>,
}

/// A part of the audit chain that has left.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct ArchivedAudit {
    /// Its place in the history, from 0.
    pub seq: u64,
    pub(crate) entries: Vec<Arc<AuditEntry>>,
}

impl ArchivedAudit {
    /// The rows that match, oldest first.
    pub fn rows<'a>(&'a self, filter: &'a AuditFilter) -> impl Iterator<Item = AuditRow> + 'a {
        self.entries.iter().map(|entry| AuditRow::of(entry)).filter(|row| filter.passes(row))
    }
}

/// What has left, and what will.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Archive {
    pub(crate) count: u64,
    /// Closed auctions by the log time from which on they may leave.
    pub(crate) due: CowSet<(Timestamp, AuctionId)>,
}

impl ArchivedSale {
    /// The auction.
    #[must_use]
    pub fn auction(&self) -> &Auction {
        &self.auction
    }

    /// The story, when it left as well.
    #[must_use]
    pub fn story(&self) -> Option<&Story> {
        self.story.as_deref()
    }

    /// The order, when there was one.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    /// Offers that were made before it opened, and were decided.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.offers.iter().map(AsRef::as_ref)
    }

    /// The sale locks.
    pub fn locks(&self) -> impl Iterator<Item = &SaleLock> {
        self.locks.iter().map(AsRef::as_ref)
    }

    /// Everything that explains how the auction came out.
    #[must_use]
    pub fn auction_record(&self) -> AuctionRecord {
        query::record_of(&self.auction)
    }

    /// The order, for one who takes part in it.
    #[must_use]
    pub fn order_row(&self, reader: UserId) -> Option<OrderRow> {
        let order = self.order()?;
        rows::role_in(order, reader)
            .map(|role| rows::order_row(order, role, self.charge.as_deref()))
    }

    /// The thread of the order, for one who takes part in it.
    #[must_use]
    pub fn messages(&self, reader: UserId) -> Option<MessageList> {
        rows::messages_of(self.order()?, reader)
    }

    /// Issues of the order.
    pub fn issues(&self) -> impl Iterator<Item = IssueId> {
        self.issues.iter().map(|issue| issue.issue)
    }

    /// One of them, for one of its parties.
    #[must_use]
    pub fn issue_row(&self, id: IssueId, reader: UserId) -> Option<IssueRow> {
        let issue = self.issues.iter().find(|issue| issue.issue == id)?;
        issue_for(issue, reader)
    }

    fn lock(&self, id: SaleLockId) -> Option<&SaleLock> {
        self.locks().find(|lock| lock.lock == id)
    }

    fn charge_of(&self, lock: &SaleLock) -> Option<&Charge> {
        order_of(lock).and(self.charge.as_deref())
    }

    /// A sale lock, for its buyer.
    #[must_use]
    pub fn lock_row(&self, id: SaleLockId, reader: UserId) -> Option<LockRow> {
        let lock = self.lock(id).filter(|lock| lock.buyer == reader)?;
        Some(query::row_of_lock(lock, lock.expires_at))
    }

    /// A payment, for its buyer or its maker.
    #[must_use]
    pub fn payment_row(&self, id: SaleLockId, reader: UserId) -> Option<PaymentRow> {
        let lock = self.lock(id)?;
        let shown = self.charge_of(lock).map(|charge| {
            let refunds = self.refunds.iter().map(AsRef::as_ref);
            (charge, charge_row(charge, refunds))
        });
        payment_of(lock, reader, shown, lock.expires_at)
    }

    /// The receipt of a payment.
    #[must_use]
    pub fn receipt_row(&self, id: SaleLockId) -> Option<ReceiptRow> {
        let charge = self.charge_of(self.lock(id)?)?;
        Some(receipt_of(charge, self.story()))
    }
}

impl Market {
    /// Sales that have left so far; also the place of the next one in the history.
    #[must_use]
    pub const fn archived(&self) -> u64 {
        self.archive.count
    }

    /// Whether an Archive step at log time `at` would look at something.
    #[must_use]
    pub fn archive_due(&self, at: Timestamp) -> bool {
        self.audit.has_surplus() || self.archive.due.first().is_some_and(|(due, _)| *due <= at)
    }

    /// Notes that an auction has closed.
    pub(crate) fn plan_archive(&mut self, auction: AuctionId, closed_at: Timestamp) {
        self.archive.due.insert((closed_at.plus(limits::ARCHIVE_AFTER), auction));
    }

    /// Lets at most `max` finished sales go.
    pub(crate) fn archive(&mut self, turn: &mut Turn, max: u32) -> Answer {
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(limits::ARCHIVE_STEP_MAX);
        for _ in 0..max {
            let next = self.archive.due.first().copied();
            let Some((due, auction)) = next.filter(|(due, _)| *due <= turn.at) else { break };
            self.archive.due.remove(&(due, auction));
            match self.settled_since(auction) {
                Some(since) if since.plus(limits::ARCHIVE_AFTER) <= turn.at => {
                    self.let_go(turn, auction);
                }
                Some(since) => {
                    self.archive.due.insert((since.plus(limits::ARCHIVE_AFTER), auction));
                }
                None => {
                    self.archive.due.insert((turn.at.plus(LOOK_AGAIN), auction));
                }
            }
        }
        self.archive_audit(turn);
        Ok(Accepted::Done)
    }

    /// Lets the oldest audit entries go.
    fn archive_audit(&mut self, turn: &mut Turn) {
        let entries = self.audit.take_oldest(limits::AUDIT_STEP_MAX);
        if entries.is_empty() {
            return;
        }
        let seq = self.archive.count;
        self.archive.count = seq.saturating_add(1);
        turn.archived_audit.push(ArchivedAudit { seq, entries });
    }

    /// Since when nothing about an auction can change any more.
    fn settled_since(&self, auction: AuctionId) -> Option<Timestamp> {
        let auction = self.auctions.get(&auction)?;
        let AuctionState::Closed { closed_at, .. } = &auction.state else { return None };
        let lock = auction.lock().and_then(|lock| self.locks.get(&lock));
        if lock.is_some_and(|lock| lock.holds.iter().any(|hold| hold.resolved.is_none())) {
            return None;
        }
        let Some(order) = self.order_sold_in(auction) else { return Some(*closed_at) };
        if !self.money_is_settled(order.order) {
            return None;
        }
        order.state.settled_at().map(|settled_at| settled_at.max(*closed_at))
    }

    fn order_sold_in(&self, auction: &Auction) -> Option<&Arc<Order>> {
        match self.locks.get(&auction.lock()?)?.state {
            LockState::Paid { order, .. } => self.orders.get(&order),
            LockState::Active
            | LockState::Ending { .. }
            | LockState::Released { .. }
            | LockState::Expired { .. } => None,
        }
    }

    fn let_go(&mut self, turn: &mut Turn, id: AuctionId) {
        let Some(auction) = self.auctions.get(&id).cloned() else { return };
        let order = self.order_sold_in(&auction).cloned();
        let story = self.stories.get(&auction.story).cloned().filter(|_| order.is_some());
        let story = story.filter(|row| matches!(row.state, StoryState::Sold { .. }));
        let locks: Vec<Arc<SaleLock>> =
            auction.all_locks.iter().filter_map(|lock| self.locks.get(lock)).cloned().collect();
        let money = order.as_ref().and_then(|order| self.archive_charge(order.order));
        let causes: Vec<LedgerCause> =
            money.iter().flat_map(|(charge, _)| charge.causes.iter().cloned()).collect();
        let postings = causes
            .into_iter()
            .filter_map(|cause| self.ledger.archive(&cause).map(|posting| (cause, posting)))
            .collect();
        let issues = self.let_issues_go(order.as_deref());
        self.auctions.remove(&id);
        self.signing.let_go(id);
        for lock in &locks {
            self.locks.remove(&lock.lock);
        }
        if let Some(order) = &order {
            self.orders.remove(&order.order);
            if let Some(parcel) = order.state.shipment() {
                self.parcels.remove(&parcel.key());
            }
        }
        if let Some(story) = &story {
            self.stories.remove(&story.story);
            self.by_maker.remove(&(story.maker, story.story));
        }
        turn.events.push(PublicEvent::AuctionArchived {
            auction: id,
            story: auction.story,
            with_story: story.is_some(),
        });
        let offers = self.offering.let_go(auction.story, auction.opened_at);
        let seq = self.archive.count;
        self.archive.count = seq.saturating_add(1);
        let (charge, refunds) = money.unzip();
        let refunds = refunds.unwrap_or_default();
        let sale = ArchivedSale {
            seq,
            auction,
            story,
            locks,
            order,
            issues,
            charge,
            refunds,
            offers,
            postings,
        };
        turn.archived.push(sale);
    }

    fn let_issues_go(&mut self, order: Option<&Order>) -> Vec<Arc<Issue>> {
        let ids = order.map(|order| order.issues.clone()).unwrap_or_default();
        let mut gone = Vec::new();
        for id in ids {
            let Some(issue) = self.issues.remove(&id) else { continue };
            for (at, kind) in crate::issue::deadlines_of(&issue) {
                self.deadlines.remove(at, kind);
            }
            gone.push(issue);
        }
        gone
    }
}
