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

use fairground_types::command::{
    CheckoutEnd, CheckoutOpened, HoldDecision, ProviderEvent, ProviderEventKind, RefundCause,
    StartCheckout,
};
use fairground_types::event::CloseReason;
use fairground_types::limits;
use fairground_types::{
    Accepted, Capability, Code, EffectId, LogIndex, Millis, Money, OrderId, Rejection, SaleLockId,
    Timestamp, UserId,
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
/// How long a session may outlive the end that the provider was told of.
const SESSION_MARGIN: Millis = Millis::from_mins(10);
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
    /// What finance decided.
    pub resolved: Option<HoldDecision>,
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

impl Payments {
    /// Whether an event was not seen before; from here on it was.
    pub(crate) fn is_news(&mut self, event: &str, at: Timestamp) -> bool {
        if self.events.insert(event.to_owned(), at).is_some() {
            return false;
        }
        self.events_by_age.push_back((at, event.to_owned()));
        true
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
    /// Whether an attempt may still be paid, so far as is known.
    pub(crate) fn has_unfinished_attempt(&self) -> bool {
        self.attempts.iter().any(Attempt::is_unfinished)
    }

    /// Whether no further attempt may be made.
    pub(crate) fn is_used_up(&self) -> bool {
        let made = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        made >= limits::CHECKOUT_ATTEMPTS_MAX
    }

    /// Before this no further attempt may be made, after one that failed.
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        let newest = self.attempts.last().filter(|_| self.is_active())?;
        let AttemptState::Failed { failed_at, .. } = &newest.state else { return None };
        let pause = COOL_DOWN.get(self.attempts.len().saturating_sub(1)).copied();
        Some(failed_at.plus(pause.unwrap_or(Millis::ZERO)))
    }

    /// When every session has ended at the provider by itself, if one may still be open.
    pub(crate) fn settled_at(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.attempts.iter().filter_map(|attempt| match &attempt.state {
            AttemptState::Planned => Some(attempt.planned_at.plus(limits::PAYMENT_SETTLE_MAX)),
            AttemptState::Open { expires_at, .. } => Some(expires_at.plus(SESSION_MARGIN)),
            AttemptState::Failed { .. } | AttemptState::Expired | AttemptState::Paid => None,
        });
        ends.max().map(|end| end.max(now.plus(SESSION_MARGIN)))
    }

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
}

impl SaleLock {
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
        self.check_payable(lock.maker)?;
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
        let is_ending = lock.reserves() && !is_active;
        let attempt = lock.attempts.iter().find(|attempt| attempt.number == opened.attempt);
        let state = attempt.map(|attempt| attempt.state.clone()).ok_or_else(missing)?;
        self.drop_effect(opened.effect);
        self.payments.checkout_sessions.insert(opened.checkout_session.clone(), opened.lock);
        let next = match state {
            AttemptState::Planned if is_active => {
                AttemptState::Open { url: opened.url.clone(), expires_at: opened.expires_at }
            }
            // Its window is over: it is ended, and the lock waits for the answer.
            AttemptState::Planned if is_ending => {
                AttemptState::Open { url: opened.url.clone(), expires_at: opened.expires_at }
            }
            AttemptState::Planned | AttemptState::Failed { .. } => AttemptState::Expired,
            AttemptState::Open { .. } | AttemptState::Expired | AttemptState::Paid => state.clone(),
        };
        let is_unwanted = (next == AttemptState::Expired
            && !matches!(state, AttemptState::Expired))
            || (is_ending && state == AttemptState::Planned);
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
        if let Some(lock) = self.locks.get(&lock).filter(|lock| lock.is_active()).cloned() {
            self.notify(turn, about_lock(lock.buyer, NoticeKind::PaymentFailed, &lock));
        }
        self.end_lock(turn, lock);
    }

    /// The provider was asked to end a session.
    pub(crate) fn checkout_ended(
        &mut self,
        turn: &mut Turn,
        effect: EffectId,
        (lock, attempt): (SaleLockId, u32),
        end: CheckoutEnd,
    ) -> Answer {
        self.drop_effect(effect);
        match end {
            CheckoutEnd::Ended => self.attempt_ended(turn, lock, attempt),
            // The event that tells of the payment decides.
            CheckoutEnd::Paid => {}
        }
        Ok(Accepted::Done)
    }

    /// A session cannot be paid any more.
    pub(crate) fn attempt_ended(&mut self, turn: &mut Turn, id: SaleLockId, number: u32) {
        self.change_lock(id, |lock| {
            for attempt in &mut lock.attempts {
                if attempt.number == number && attempt.is_unfinished() {
                    attempt.state = AttemptState::Expired;
                }
            }
        });
        self.end_lock(turn, id);
    }

    /// Takes every session for ended.
    pub(crate) fn expire_attempts(&mut self, id: SaleLockId) {
        self.change_lock(id, |lock| {
            for attempt in lock.attempts.iter_mut().filter(|attempt| attempt.is_unfinished()) {
                attempt.state = AttemptState::Expired;
            }
        });
    }

    /// A maker who cannot be paid out must not be paid for.
    fn check_payable(&self, maker: UserId) -> Result<(), Rejection> {
        self.require_capability(maker, Capability::CollectPayments)?;
        if self.cluster.policy.payout_account_required && !self.can_be_paid_out(maker) {
            let why = "the maker cannot be paid at the moment; the payment window goes on";
            return Err(Rejection::new(Code::CapabilityRequired, why));
        }
        Ok(())
    }

    /// Asks the provider to end every session of a lock. One that is being opened right now is ended
    /// when it is reported.
    pub(crate) fn end_attempts(&mut self, turn: &mut Turn, id: SaleLockId) {
        let Some(lock) = self.locks.get(&id).cloned() else { return };
        for attempt in lock.attempts.iter().filter(|attempt| attempt.is_unfinished()) {
            if let Some(session) = &attempt.checkout_session {
                self.expire_session(turn, id, attempt.number, session);
            }
        }
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
        if !self.payments.is_news(&event.event, turn.at) {
            return Ok(Accepted::Done);
        }
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
            ProviderEventKind::CheckoutExpired => self.session_expired(turn, id, event),
            ProviderEventKind::PaymentFailed => {
                if let Some(lock) = self.locks.get(&id).filter(|lock| lock.is_active()).cloned() {
                    self.notify(turn, about_lock(lock.buyer, NoticeKind::PaymentFailed, &lock));
                }
            }
            ProviderEventKind::Other => {}
        }
        Ok(Accepted::Done)
    }

    fn session_expired(&mut self, turn: &mut Turn, id: SaleLockId, event: &ProviderEvent) {
        self.change_lock(id, |lock| {
            for attempt in &mut lock.attempts {
                let is_meant = attempt.checkout_session.is_some()
                    && attempt.checkout_session == event.checkout_session;
                if is_meant && attempt.is_unfinished() {
                    attempt.state = AttemptState::Expired;
                }
            }
        });
        self.end_lock(turn, id);
    }

    fn take_payment(&mut self, turn: &mut Turn, id: SaleLockId, event: &ProviderEvent) {
        let Some(lock) = self.locks.get(&id).cloned() else { return };
        let payment = event.payment.clone().filter(|payment| payment.len() <= TEXT_MAX);
        let amount = event.amount.filter(|amount| *amount == lock.amount);
        let Some((payment, amount)) = payment.zip(amount) else {
            // AMOUNT_MISMATCH: never taken as the price; finance decides.
            self.hold_for_finance(turn, id, event);
            return;
        };
        let session = event.checkout_session.as_ref();
        if self.treasury.by_payment.contains_key(&payment) || lock.was_paid_by(session) {
            // The provider may tell of one payment in two events: it bought a piece already.
            return;
        }
        let buys = match lock.state {
            LockState::Active | LockState::Ending { .. } => true,
            LockState::Expired { .. } | LockState::Released { .. } => {
                event.created < lock.expires_at && self.is_still_there(&lock)
            }
            LockState::Paid { .. } => false,
        };
        if !buys {
            self.give_back(turn, &lock, (payment, amount));
        } else if self.orders.contains_key(&event.new_order) {
            // An id that was used cannot name a second order; the money must not be lost silently.
            self.hold_for_finance(turn, id, event);
        } else {
            let lines = vec![
                debit(LedgerAccount::ProviderPending, amount),
                credit(LedgerAccount::Held(event.new_order), amount),
            ];
            self.ledger.post(turn, LedgerCause::Paid(lock.lock), lines);
            self.sell(turn, &lock, (event.new_order, session), (payment, amount));
        }
    }

    /// Whether nobody else was given the piece since the lock went.
    pub(crate) fn is_still_there(&self, lock: &SaleLock) -> bool {
        self.auctions.get(&lock.auction).is_some_and(|row| match &row.state {
            AuctionState::AwaitingDecision { lock: newest, .. } => *newest == Some(lock.lock),
            AuctionState::Open | AuctionState::Locked { .. } | AuctionState::Closed { .. } => false,
        })
    }

    /// One payment: lock, auction, story, order, charge and receipt, all in this entry.
    pub(crate) fn sell(
        &mut self,
        turn: &mut Turn,
        lock: &Arc<SaleLock>,
        (order, session): (OrderId, Option<&String>),
        money: (String, Money),
    ) {
        self.change_lock(lock.lock, |row| {
            row.state = LockState::Paid { paid_at: turn.at, order };
            row.mark_paid(session);
        });
        self.end_attempts(turn, lock.lock);
        self.expire_attempts(lock.lock);
        self.deadlines.remove(lock.expires_at, DueKind::Payment(lock.lock));
        self.take_charge(turn, lock, order, money);
        self.change_charge(order, |charge| charge.causes.push(LedgerCause::Paid(lock.lock)));
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
            resolved: None,
        };
        self.hold_money(turn, id, hold);
    }

    /// Money that buys nothing any more goes back in full, once per payment.
    fn give_back(
        &mut self,
        turn: &mut Turn,
        lock: &Arc<SaleLock>,
        (payment, amount): (String, Money),
    ) {
        let lines = vec![
            debit(LedgerAccount::ProviderPending, amount),
            credit(LedgerAccount::Unclaimed(lock.lock), amount),
        ];
        if !self.ledger.post(turn, LedgerCause::Unwanted(payment.clone()), lines) {
            return;
        }
        let (id, buyer) = (lock.lock, lock.buyer);
        self.refund_unclaimed(turn, (id, buyer), (payment, amount), RefundCause::TooLate);
        self.notify(turn, about_lock(lock.buyer, NoticeKind::Refunding, lock));
    }
}

fn check_may_pay(lock: &SaleLock, at: Timestamp) -> Result<(), Rejection> {
    match lock.state {
        LockState::Active if at < lock.expires_at => {}
        LockState::Active | LockState::Ending { .. } | LockState::Expired { .. } => {
            return Err(Rejection::new(Code::PaymentTimeout, "the payment window has ended"));
        }
        LockState::Released { .. } => {
            return Err(Rejection::new(Code::RetryExhausted, "no payment attempt is left"));
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
    if let Some(retry_at) = lock.retry_at().filter(|retry_at| at < *retry_at) {
        return Err(Rejection::new(Code::RetryLater, "wait before the next attempt")
            .with_retry_at(retry_at));
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
