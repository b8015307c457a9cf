//! Checkout attempts, and what the payment provider says about them.
//!
//! ```text
//!  StartCheckout -> Planned --CheckoutOpened--> Open --paid--> Paid: lock, order, ledger at once
//!                      |                         |
//!                      +--refused--> Failed      +--> Expired
//! ```
//! Events are matched by the sale lock that they name, so one that overtakes the answer of the call
//! that it is about does no harm. Each provider event counts once. It must not call anybody: calls
//! are effects. Read next: `order.rs`, `ledger.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fairground_types::command::{CheckoutOpened, ProviderEvent, ProviderEventKind, StartCheckout};
use fairground_types::event::CloseReason;
use fairground_types::limits;
use fairground_types::{
    Accepted, Code, EffectId, LogIndex, Millis, Money, Rejection, SaleLockId, Timestamp, UserId,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::auction::AuctionState;
use crate::deadline::DueKind;
use crate::effect::{Effect, NoticeKind, OpenCheckout};
use crate::ledger::{LedgerAccount, LedgerCause, credit, debit};
use crate::notice::about_lock;
use crate::sale::{LockState, SaleLock};

/// Bytes of a URL or reason that the state keeps.
const TEXT_MAX: usize = 2_048;
/// Finance holds of one lock.
const HOLDS_MAX: usize = 16;
/// How long a buyer waits after the provider refused to open a session.
const COOL_DOWN: [Millis; 3] = [Millis::from_mins(1), Millis::from_mins(5), Millis::from_mins(15)];

/// One attempt to pay a lock.
#[derive(Clone, Debug, PartialEq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it was asked for.
    pub planned_at: Timestamp,
    /// The effect that opens its session.
    pub effect: EffectId,
    /// The provider's id of the session, once known.
    pub checkout_session: Option<String>,
    /// Where it stands.
    pub state: AttemptState,
}

/// Where an attempt stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AttemptState {
    /// Its session is being opened.
    Planned,
    /// The buyer may pay.
    Open {
        /// Where.
        url: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// Its session was not opened.
    Failed {
        /// When that was known.
        failed_at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Its session ended without payment.
    Expired,
    /// It was paid.
    Paid,
}

/// Money that came and does not match; waits for finance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct FinanceHold {
    /// The provider's event.
    pub event: String,
    /// The provider's payment.
    pub payment: Option<String>,
    /// What came.
    pub amount: Option<Money>,
    /// The entry that held it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
}

/// What is remembered about the provider.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Payments {
    pub(crate) events: BTreeMap<String, Timestamp>,
    pub(crate) events_by_age: VecDeque<(Timestamp, String)>,
    pub(crate) checkout_sessions: BTreeMap<String, SaleLockId>,
    pub(crate) unmatched: u64,
}

impl Payments {
    /// Forgets events that the provider will not send again.
    pub(crate) fn forget(&mut self, at: Timestamp) {
        while let Some((seen_at, _)) = self.events_by_age.front() {
            if at.since(*seen_at) <= limits::PROVIDER_EVENT_MEMORY {
                break;
            }
            if let Some((_, event)) = self.events_by_age.pop_front() {
                self.events.remove(&event);
            }
        }
    }
}

impl Attempt {
    const fn is_unfinished(&self) -> bool {
        match &self.state {
            AttemptState::Planned | AttemptState::Open { .. } => true,
            AttemptState::Failed { .. } | AttemptState::Expired | AttemptState::Paid => false,
        }
    }
}

impl SaleLock {
    /// Marks the attempt that was paid: the one that has the session, else the newest one if its
    /// session is not known yet (the event came before the answer of the call).
    fn mark_paid(&mut self, session: Option<&String>) {
        let named = self
            .attempts
            .iter()
            .position(|attempt| session.is_some() && attempt.checkout_session.as_ref() == session);
        let newest = self.attempts.len().checked_sub(1);
        let place = named.or(newest);
        let Some(attempt) = place.and_then(|place| self.attempts.get_mut(place)) else { return };
        if named.is_some() || attempt.is_unfinished() {
            if attempt.checkout_session.is_none() {
                attempt.checkout_session = session.cloned();
            }
            attempt.state = AttemptState::Paid;
        }
    }

    /// Whether this is the session that paid the lock.
    fn was_paid_by(&self, session: Option<&String>) -> bool {
        session.is_some()
            && self.attempts.iter().any(|attempt| {
                attempt.state == AttemptState::Paid && attempt.checkout_session.as_ref() == session
            })
    }
}

fn missing() -> Rejection {
    Rejection::new(Code::NotFound, "no such sale lock")
}

impl Market {
    pub(crate) fn start_checkout(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        start: &StartCheckout,
    ) -> Answer {
        if start.return_url.len() > TEXT_MAX || start.cancel_url.len() > TEXT_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "a URL is too long"));
        }
        let lock =
            self.locks.get(&start.lock).filter(|lock| lock.buyer == user).ok_or_else(missing)?;
        check_may_pay(lock, turn.at)?;
        let number = u32::try_from(lock.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let title = self.stories.get(&lock.story).map(|story| story.contents.title.to_string());
        let effect = Effect::OpenCheckout(OpenCheckout {
            lock: lock.lock,
            attempt: number,
            buyer: lock.buyer,
            amount: lock.amount,
            title: title.unwrap_or_default(),
            return_url: start.return_url.clone(),
            cancel_url: start.cancel_url.clone(),
            expires_at: lock.expires_at,
        });
        let effect = self.add_effect(turn, effect, None);
        let attempt = Attempt {
            number,
            planned_at: turn.at,
            effect,
            checkout_session: None,
            state: AttemptState::Planned,
        };
        self.change_lock(start.lock, |lock| lock.attempts.push(attempt));
        Ok(Accepted::CheckoutPlanned { lock: start.lock, attempt: number })
    }

    /// A session is open at the provider. It may have been paid, or the window may be over, before
    /// this is heard.
    pub(crate) fn checkout_opened(&mut self, turn: &mut Turn, opened: &CheckoutOpened) -> Answer {
        if opened.url.len() > TEXT_MAX || opened.checkout_session.len() > TEXT_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "a URL or id is too long"));
        }
        let lock = self.locks.get(&opened.lock).ok_or_else(missing)?;
        let is_active = lock.is_active();
        let attempt = lock.attempts.iter().find(|attempt| attempt.number == opened.attempt);
        let state = attempt.map(|attempt| attempt.state.clone()).ok_or_else(missing)?;
        self.drop_effect(opened.effect);
        self.payments.checkout_sessions.insert(opened.checkout_session.clone(), opened.lock);
        let next = match state {
            AttemptState::Planned if is_active => {
                AttemptState::Open { url: opened.url.clone(), expires_at: opened.expires_at }
            }
            AttemptState::Planned | AttemptState::Failed { .. } => AttemptState::Expired,
            AttemptState::Open { .. } | AttemptState::Expired | AttemptState::Paid => state.clone(),
        };
        let is_unwanted = next == AttemptState::Expired && !matches!(state, AttemptState::Expired);
        self.change_lock(opened.lock, |lock| {
            for attempt in &mut lock.attempts {
                if attempt.number == opened.attempt {
                    attempt.checkout_session = Some(opened.checkout_session.clone());
                    attempt.state = next.clone();
                }
            }
        });
        if is_unwanted {
            self.expire_session(turn, opened.lock, opened.attempt, &opened.checkout_session);
        }
        Ok(Accepted::Done)
    }

    fn expire_session(&mut self, turn: &mut Turn, lock: SaleLockId, attempt: u32, session: &str) {
        let checkout_session = session.to_owned();
        self.add_effect(turn, Effect::ExpireCheckout { lock, attempt, checkout_session }, None);
    }

    pub(crate) fn checkout_refused(
        &mut self,
        turn: &mut Turn,
        effect: EffectId,
        lock: SaleLockId,
        attempt: u32,
        reason: &str,
    ) -> Answer {
        self.drop_effect(effect);
        self.fail_attempt(turn, lock, attempt, reason);
        Ok(Accepted::Done)
    }

    pub(crate) fn fail_attempt(
        &mut self,
        turn: &mut Turn,
        lock: SaleLockId,
        number: u32,
        reason: &str,
    ) {
        let reason: String = reason.chars().take(TEXT_MAX).collect();
        self.change_lock(lock, |lock| {
            for attempt in &mut lock.attempts {
                if attempt.number == number && attempt.state == AttemptState::Planned {
                    attempt.state =
                        AttemptState::Failed { failed_at: turn.at, reason: reason.clone() };
                }
            }
        });
        let Some(lock) = self.locks.get(&lock).filter(|lock| lock.is_active()).cloned() else {
            return;
        };
        self.notify(turn, about_lock(lock.buyer, NoticeKind::PaymentFailed, &lock));
    }

    /// No session of a lock may be paid any more.
    pub(crate) fn end_attempts(&mut self, turn: &mut Turn, id: SaleLockId) {
        let Some(lock) = self.locks.get(&id).cloned() else { return };
        for attempt in lock.attempts.iter().filter(|attempt| attempt.is_unfinished()) {
            match &attempt.checkout_session {
                Some(session) => self.expire_session(turn, id, attempt.number, session),
                // It may be opened right now: its report is answered with an end.
                None => self.drop_effect(attempt.effect),
            }
        }
        self.change_lock(id, |lock| {
            for attempt in lock.attempts.iter_mut().filter(|attempt| attempt.is_unfinished()) {
                if attempt.checkout_session.is_some() {
                    attempt.state = AttemptState::Expired;
                }
            }
        });
    }

    /// Takes an event of the provider, once.
    pub(crate) fn record_provider_event(
        &mut self,
        turn: &mut Turn,
        event: &ProviderEvent,
    ) -> Answer {
        if event.event.is_empty() || event.event.len() > TEXT_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "the event has no usable id"));
        }
        if self.payments.events.contains_key(&event.event) {
            return Ok(Accepted::Done);
        }
        self.payments.events.insert(event.event.clone(), turn.at);
        self.payments.events_by_age.push_back((turn.at, event.event.clone()));
        let by_session = event
            .checkout_session
            .as_ref()
            .and_then(|session| self.payments.checkout_sessions.get(session))
            .copied();
        let id = event.lock.or(by_session).filter(|id| self.locks.contains_key(id));
        let Some(id) = id else {
            self.payments.unmatched = self.payments.unmatched.saturating_add(1);
            return Ok(Accepted::Done);
        };
        match event.kind {
            ProviderEventKind::CheckoutPaid => self.take_payment(turn, id, event),
            ProviderEventKind::CheckoutExpired => self.session_expired(id, event),
            ProviderEventKind::PaymentFailed => {
                if let Some(lock) = self.locks.get(&id).filter(|lock| lock.is_active()).cloned() {
                    self.notify(turn, about_lock(lock.buyer, NoticeKind::PaymentFailed, &lock));
                }
            }
            ProviderEventKind::Other => {}
        }
        Ok(Accepted::Done)
    }

    fn session_expired(&mut self, id: SaleLockId, event: &ProviderEvent) {
        self.change_lock(id, |lock| {
            for attempt in &mut lock.attempts {
                let is_meant = attempt.checkout_session.is_some()
                    && attempt.checkout_session == event.checkout_session;
                if is_meant && attempt.is_unfinished() {
                    attempt.state = AttemptState::Expired;
                }
            }
        });
    }

    fn take_payment(&mut self, turn: &mut Turn, id: SaleLockId, event: &ProviderEvent) {
        let Some(lock) = self.locks.get(&id).cloned() else { return };
        let amount = event.amount.filter(|amount| *amount == lock.amount);
        let Some(amount) = amount else {
            self.hold_for_finance(turn, id, event);
            return;
        };
        match lock.state {
            LockState::Active => self.pay_lock(turn, &lock, event, amount),
            LockState::Expired { .. } if self.may_still_buy(&lock, event) => {
                self.pay_lock(turn, &lock, event, amount);
            }
            // The provider may tell of one payment in two events: it bought the piece already.
            LockState::Paid { .. } if lock.was_paid_by(event.checkout_session.as_ref()) => {}
            LockState::Expired { .. } | LockState::Paid { .. } => {
                self.give_back(turn, &lock, event, amount);
            }
        }
    }

    /// Paid in time by the provider's clock, heard late, and the piece is still there.
    fn may_still_buy(&self, lock: &SaleLock, event: &ProviderEvent) -> bool {
        let awaits = self.auctions.get(&lock.auction).is_some_and(|row| match &row.state {
            AuctionState::AwaitingDecision { lock: newest, .. } => *newest == lock.lock,
            AuctionState::Open | AuctionState::Locked { .. } | AuctionState::Closed { .. } => false,
        });
        awaits && event.created < lock.expires_at
    }

    /// One payment: lock, auction, story, order and ledger, all in this entry.
    fn pay_lock(
        &mut self,
        turn: &mut Turn,
        lock: &Arc<SaleLock>,
        event: &ProviderEvent,
        amount: Money,
    ) {
        if self.orders.contains_key(&event.new_order) {
            // An id that was used cannot name a second order; the money must not be lost silently.
            self.hold_for_finance(turn, lock.lock, event);
            return;
        }
        let order = event.new_order;
        self.change_lock(lock.lock, |row| {
            row.state = LockState::Paid { paid_at: turn.at, order };
            row.mark_paid(event.checkout_session.as_ref());
        });
        self.end_attempts(turn, lock.lock);
        self.deadlines.remove(lock.expires_at, DueKind::Payment(lock.lock));
        let lines = vec![
            debit(LedgerAccount::Provider, amount),
            credit(LedgerAccount::Escrow(order), amount),
        ];
        self.ledger.post(turn, LedgerCause::Paid(lock.lock), lines);
        self.make_order(turn, lock, order);
        if let Some(auction) = self.auctions.get(&lock.auction).cloned() {
            self.end_auction(turn, &auction, CloseReason::Sold);
        }
        self.notify(turn, about_lock(lock.buyer, NoticeKind::Paid, lock));
        self.notify(turn, about_lock(lock.maker, NoticeKind::Sold, lock));
    }

    fn hold_for_finance(&mut self, turn: &Turn, id: SaleLockId, event: &ProviderEvent) {
        let hold = FinanceHold {
            event: event.event.clone(),
            payment: event.payment.clone(),
            amount: event.amount,
            index: turn.index,
            at: turn.at,
        };
        self.change_lock(id, |lock| {
            if lock.holds.len() < HOLDS_MAX {
                lock.holds.push(hold);
            }
        });
    }

    /// Money that buys nothing any more goes back in full, once per payment.
    fn give_back(
        &mut self,
        turn: &mut Turn,
        lock: &Arc<SaleLock>,
        event: &ProviderEvent,
        amount: Money,
    ) {
        let Some(payment) = event.payment.clone() else {
            self.hold_for_finance(turn, lock.lock, event);
            return;
        };
        let lines = vec![
            debit(LedgerAccount::Provider, amount),
            credit(LedgerAccount::RefundDue(lock.lock), amount),
        ];
        if !self.ledger.post(turn, LedgerCause::Unwanted(payment.clone()), lines) {
            return;
        }
        self.add_effect(turn, Effect::RefundPayment { lock: lock.lock, payment, amount }, None);
        self.notify(turn, about_lock(lock.buyer, NoticeKind::Refunding, lock));
    }

    /// A refund happened abroad.
    pub(crate) fn post_refund(
        &mut self,
        turn: &Turn,
        lock: SaleLockId,
        payment: &str,
        amount: Money,
    ) {
        let lines = vec![
            debit(LedgerAccount::RefundDue(lock), amount),
            credit(LedgerAccount::Provider, amount),
        ];
        self.ledger.post(turn, LedgerCause::Refunded(payment.to_owned()), lines);
    }
}

fn check_may_pay(lock: &SaleLock, at: Timestamp) -> Result<(), Rejection> {
    match lock.state {
        LockState::Active if at < lock.expires_at => {}
        LockState::Active | LockState::Expired { .. } => {
            return Err(Rejection::new(Code::PaymentTimeout, "the payment window has ended"));
        }
        LockState::Paid { .. } => {
            return Err(Rejection::new(Code::InvalidState, "the lock is paid"));
        }
    }
    if lock.attempts.iter().any(|attempt| attempt_is_live(attempt, at)) {
        return Err(Rejection::new(Code::SessionActive, "a checkout session is still open"));
    }
    let made = lock.attempts.len();
    if u32::try_from(made).unwrap_or(u32::MAX) >= limits::CHECKOUT_ATTEMPTS_MAX {
        return Err(Rejection::new(Code::RetryExhausted, "no payment attempt is left"));
    }
    let Some(newest) = lock.attempts.last() else { return Ok(()) };
    if let AttemptState::Failed { failed_at, .. } = &newest.state {
        let pause = COOL_DOWN.get(made.saturating_sub(1)).copied().unwrap_or(Millis::ZERO);
        let retry_at = failed_at.plus(pause);
        if at < retry_at {
            return Err(Rejection::new(Code::RetryLater, "wait before the next attempt")
                .with_retry_at(retry_at));
        }
    }
    Ok(())
}

/// Whether an attempt's session may still be paid, so far as log time tells.
fn attempt_is_live(attempt: &Attempt, at: Timestamp) -> bool {
    match &attempt.state {
        AttemptState::Planned => true,
        AttemptState::Open { expires_at, .. } => at < *expires_at,
        AttemptState::Failed { .. } | AttemptState::Expired | AttemptState::Paid => false,
    }
}
