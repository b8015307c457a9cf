//! What a person decides about a lock's money: an odd payment, and the end of the window.
//!
//! A payment of another amount or currency than its lock's is never taken as the price: it waits in
//! the lock's own account until finance accepts it or gives it back. Read next: `payment.rs`.

use fairground_types::command::{HoldDecision, RefundCause, WindowChange};
use fairground_types::{Accepted, Code, Money, OrderId, Rejection, SaleLockId, Timestamp};

use super::missing;
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::ledger::{LedgerAccount, LedgerCause, credit, debit};
use crate::notice::about_lock;
use crate::payment::FinanceHold;
use crate::sale::LockState;

impl Market {
    /// Keeps a payment that does not match, with its money in the lock's own account.
    pub(crate) fn hold_money(&mut self, turn: &Turn, id: SaleLockId, hold: FinanceHold) {
        let is_known = self.locks.get(&id).is_none_or(|lock| {
            lock.holds.len() >= fairground_types::limits::FINANCE_HOLDS_MAX
                || lock.holds.iter().any(|row| row.payment.is_some() && row.payment == hold.payment)
        });
        if is_known {
            return;
        }
        if let (Some(payment), Some(amount)) = (&hold.payment, hold.amount) {
            let lines = vec![
                debit(LedgerAccount::ProviderPending, amount),
                credit(LedgerAccount::Unclaimed(id), amount),
            ];
            if amount.is_zero()
                || !self.ledger.post(turn, LedgerCause::Unwanted(payment.clone()), lines)
            {
                return;
            }
        }
        self.change_lock(id, |lock| lock.holds.push(hold));
    }

    pub(super) fn resolve_hold(
        &mut self,
        turn: &mut Turn,
        (id, event): (SaleLockId, &str),
        decision: HoldDecision,
        order: OrderId,
    ) -> Answer {
        let lock = self.locks.get(&id).cloned().ok_or_else(|| missing("sale lock"))?;
        let hold = lock.holds.iter().find(|hold| hold.event == event);
        let hold = hold.cloned().ok_or_else(|| missing("hold"))?;
        if hold.resolved.is_some() {
            return Err(Rejection::new(Code::InvalidState, "the hold is resolved"));
        }
        let money = hold.payment.clone().zip(hold.amount);
        match decision {
            HoldDecision::Refund => {
                if let Some((payment, amount)) = money {
                    let lock = (lock.lock, lock.buyer);
                    self.refund_unclaimed(turn, lock, (payment, amount), RefundCause::Mismatch);
                }
            }
            HoldDecision::Accept => {
                let Some((payment, amount)) = money else {
                    let why = "a payment without its id or amount cannot be accepted";
                    return Err(Rejection::new(Code::InvalidState, why));
                };
                self.check_acceptable(&lock, amount, order)?;
                let lines = vec![
                    debit(LedgerAccount::Unclaimed(id), amount),
                    credit(LedgerAccount::Held(order), amount),
                ];
                self.ledger.post(turn, LedgerCause::Paid(id), lines);
                self.sell(turn, &lock, (order, None), (payment, amount));
            }
        }
        self.change_lock(id, |lock| {
            for hold in lock.holds.iter_mut().filter(|hold| hold.event == event) {
                hold.resolved = Some(decision);
            }
        });
        Ok(Accepted::Done)
    }

    fn check_acceptable(
        &self,
        lock: &crate::SaleLock,
        amount: Money,
        order: OrderId,
    ) -> Result<(), Rejection> {
        if amount.currency() != lock.amount.currency() {
            return Err(Rejection::new(Code::CurrencyMismatch, "the sale has another currency"));
        }
        let is_free = match lock.state {
            LockState::Active | LockState::Ending { .. } => true,
            LockState::Expired { .. } | LockState::Released { .. } => self.is_still_there(lock),
            LockState::Paid { .. } => false,
        };
        if !is_free || self.orders.contains_key(&order) {
            return Err(Rejection::new(Code::InvalidState, "the piece is no longer to be had"));
        }
        Ok(())
    }

    pub(super) fn override_window(
        &mut self,
        turn: &mut Turn,
        id: SaleLockId,
        change: WindowChange,
    ) -> Answer {
        let lock = self.locks.get(&id).cloned().ok_or_else(|| missing("sale lock"))?;
        if !lock.is_active() {
            return Err(Rejection::new(Code::InvalidState, "the payment window is not open"));
        }
        let ends_at = match change {
            WindowChange::Extend { by } => {
                if by.as_millis() == 0 || by > self.cluster.policy.payment_extension_max {
                    let why = "a window is extended by more than nothing and at most the policy";
                    return Err(Rejection::new(Code::ValidationFailed, why));
                }
                lock.expires_at.plus(by)
            }
            WindowChange::Terminate => turn.at,
        };
        self.move_window(turn, &lock, ends_at);
        if matches!(change, WindowChange::Terminate) {
            self.begin_ending(turn, id);
        }
        Ok(Accepted::Done)
    }

    fn move_window(&mut self, turn: &mut Turn, lock: &crate::SaleLock, ends_at: Timestamp) {
        self.deadlines.remove(lock.expires_at, DueKind::Payment(lock.lock));
        self.change_lock(lock.lock, |lock| lock.expires_at = ends_at);
        if ends_at > turn.at {
            self.plan_window(turn, lock.lock, ends_at);
        }
        let mut moved = lock.clone();
        moved.expires_at = ends_at;
        for user in [lock.buyer, lock.maker] {
            self.notify(turn, about_lock(user, NoticeKind::PaymentWindowChanged, &moved));
        }
    }
}
