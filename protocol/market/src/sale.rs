//! Sale locks: a piece reserved for one buyer at one price, while the payment window is open.
//!
//! It must not know the payment provider. Read next: `payment.rs` for checkout attempts and what
//! the provider says; `order.rs` for what a payment makes.

use fairground_types::event::LockReason;
use fairground_types::{
    AuctionId, BidId, Money, OrderId, SaleLockId, StoryId, StrikeAbout, StrikeKind, Timestamp,
    UserId, limits,
};
use serde::Serialize;
use std::sync::Arc;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::Turn;
use crate::auction::{Auction, Bid};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::about_lock;
use crate::payment::{Attempt, FinanceHold};

/// A sale lock.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct SaleLock {
    pub(crate) lock: SaleLockId,
    pub(crate) auction: AuctionId,
    pub(crate) story: StoryId,
    pub(crate) maker: UserId,
    pub(crate) buyer: UserId,
    pub(crate) bid: BidId,
    pub(crate) amount: Money,
    pub(crate) reason: LockReason,
    pub(crate) locked_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) holds: Vec<FinanceHold>,
    pub(crate) state: LockState,
}

/// Where a sale lock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum LockState {
    /// The buyer may pay.
    Active,
    /// Paid.
    Paid {
        /// When.
        paid_at: Timestamp,
        /// The order that it made.
        order: OrderId,
    },
    /// The window is over; the provider is asked to end its sessions, which may have been paid.
    Ending {
        /// Since when.
        since: Timestamp,
    },
    /// Every attempt failed before the window ended.
    Released {
        /// When.
        released_at: Timestamp,
    },
    /// The window ended without payment.
    Expired {
        /// When.
        expired_at: Timestamp,
    },
}

impl SaleLock {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> SaleLockId {
        self.lock
    }

    /// Who may pay.
    #[must_use]
    pub const fn buyer(&self) -> UserId {
        self.buyer
    }

    /// The price.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.amount
    }

    /// Checkout attempts, oldest first.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Payments that do not match and wait for finance.
    #[must_use]
    pub fn holds(&self) -> &[FinanceHold] {
        &self.holds
    }

    /// Whether the piece is reserved by it.
    #[must_use]
    pub const fn reserves(&self) -> bool {
        matches!(self.state, LockState::Active | LockState::Ending { .. })
    }

    /// Whether the buyer may still pay.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.state, LockState::Active)
    }
}

impl Market {
    pub(crate) fn change_lock(&mut self, id: SaleLockId, change: impl FnOnce(&mut SaleLock)) {
        if let Some(lock) = self.locks.get_mut(&id) {
            change(Arc::make_mut(lock));
        }
    }

    /// Reserves the piece for the bidder of a bid, at its amount.
    pub(crate) fn make_lock(
        &mut self,
        turn: &mut Turn,
        auction: &Auction,
        (bid, reason): (&Bid, LockReason),
    ) -> SaleLockId {
        let id = SaleLockId::from_bits(turn.make_bits());
        let expires_at = turn.at.plus(self.cluster.policy.payment_window);
        let lock = SaleLock {
            lock: id,
            auction: auction.auction,
            story: auction.story,
            maker: auction.maker,
            buyer: bid.bidder,
            bid: bid.bid_id,
            amount: bid.amount,
            reason,
            locked_at: turn.at,
            expires_at,
            attempts: Vec::new(),
            holds: Vec::new(),
            state: LockState::Active,
        };
        let kind = match reason {
            LockReason::MakerAccepted | LockReason::AutoAtClose | LockReason::AutoAtCap => {
                NoticeKind::Won
            }
            LockReason::SecondChance => NoticeKind::SecondChance,
        };
        self.notify(turn, about_lock(lock.buyer, kind, &lock));
        self.notify(turn, about_lock(lock.maker, NoticeKind::Reserved, &lock));
        self.locks.insert(id, Arc::new(lock));
        self.plan_window(turn, id, expires_at);
        id
    }

    /// The end of a window, and the reminders before it.
    pub(crate) fn plan_window(&mut self, turn: &Turn, id: SaleLockId, ends_at: Timestamp) {
        self.deadlines.add(ends_at, DueKind::Payment(id));
        for before in [limits::PAYMENT_REMINDER_FIRST, limits::PAYMENT_REMINDER_LAST] {
            let at = ends_at.minus(before);
            if at > turn.at {
                self.deadlines.add(at, DueKind::PaymentReminder(id));
            }
        }
    }

    /// Tells a buyer that the window ends soon.
    pub(crate) fn remind_of_payment(&mut self, turn: &mut Turn, id: SaleLockId, due: Timestamp) {
        let Some(lock) = self.locks.get(&id).filter(|lock| lock.is_active()).cloned() else {
            return;
        };
        let kinds = [
            (limits::PAYMENT_REMINDER_FIRST, NoticeKind::PaymentReminder),
            (limits::PAYMENT_REMINDER_LAST, NoticeKind::PaymentLastReminder),
        ];
        for (before, kind) in kinds {
            if lock.expires_at.minus(before) == due {
                self.notify(turn, about_lock(lock.buyer, kind, &lock));
            }
        }
    }

    /// The payment window is over.
    pub(crate) fn end_payment_window(&mut self, turn: &mut Turn, id: SaleLockId, due: Timestamp) {
        let Some(lock) = self.locks.get(&id) else { return };
        if lock.is_active() && lock.expires_at == due {
            self.begin_ending(turn, id);
        }
    }

    /// No new session from here on. The lock goes once the provider says that no session of it can
    /// be paid any more, so that nobody pays for a piece that is given to another.
    pub(crate) fn begin_ending(&mut self, turn: &mut Turn, id: SaleLockId) {
        self.change_lock(id, |lock| lock.state = LockState::Ending { since: turn.at });
        self.end_attempts(turn, id);
        let Some(lock) = self.locks.get(&id).cloned() else { return };
        if let Some(settled_at) = lock.settled_at(turn.at) {
            self.deadlines.add(settled_at, DueKind::PaymentSettled(id));
        }
        self.end_lock(turn, id);
    }

    /// The provider has not said how the sessions stand, and each has ended there by itself.
    pub(crate) fn settle_window(&mut self, turn: &mut Turn, id: SaleLockId) {
        let is_ending =
            self.locks.get(&id).is_some_and(|lock| matches!(lock.state, LockState::Ending { .. }));
        if is_ending {
            self.expire_attempts(id);
            self.end_lock(turn, id);
        }
    }

    /// The lock goes, if nothing of it can be paid any more: its window is over, or no attempt is
    /// left.
    pub(crate) fn end_lock(&mut self, turn: &mut Turn, id: SaleLockId) {
        let Some(lock) = self.locks.get(&id).cloned() else { return };
        if lock.has_unfinished_attempt() {
            return;
        }
        let state = match lock.state {
            LockState::Ending { .. } => LockState::Expired { expired_at: turn.at },
            LockState::Active if lock.is_used_up() => {
                self.deadlines.remove(lock.expires_at, DueKind::Payment(id));
                LockState::Released { released_at: turn.at }
            }
            LockState::Active
            | LockState::Paid { .. }
            | LockState::Expired { .. }
            | LockState::Released { .. } => return,
        };
        // Whoever is asked a second time is invited, not bound.
        let is_default =
            matches!(state, LockState::Expired { .. }) && lock.reason != LockReason::SecondChance;
        self.change_lock(id, |lock| lock.state = state);
        self.lock_failed(turn, id);
        if is_default {
            self.add_strike(turn, lock.buyer, StrikeKind::NonPayment, StrikeAbout::Lock(id));
        }
    }
}
