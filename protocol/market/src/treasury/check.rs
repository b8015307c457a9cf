//! What always holds of the money: derived again from every charge, refund, dispute and hold.
//!
//! Slow on purpose. Read next: [`crate::invariant`].

use std::collections::{BTreeMap, BTreeSet};

use fairground_types::{Currency, Money};

use super::{Charge, Payout, RefundState};
use crate::Market;
use crate::ledger::LedgerAccount;

type Balances = BTreeMap<(LedgerAccount, Currency), i128>;

fn owe(balances: &mut Balances, account: LedgerAccount, amount: Money) {
    let balance = balances.entry((account, amount.currency())).or_default();
    *balance = balance.saturating_sub(i128::from(amount.minor()));
}

/// Accounts whose balance other state explains.
const fn is_explained(account: LedgerAccount) -> bool {
    match account {
        LedgerAccount::Held(_)
        | LedgerAccount::MakerPayable(_)
        | LedgerAccount::BuyerRefunds
        | LedgerAccount::Unclaimed(_)
        | LedgerAccount::DisputeOpen(_) => true,
        LedgerAccount::ProviderPending
        | LedgerAccount::ProviderAvailable
        | LedgerAccount::MakerDebt(_)
        | LedgerAccount::FeePlatform
        | LedgerAccount::CostProvider
        | LedgerAccount::CostDispute
        | LedgerAccount::Conversion
        | LedgerAccount::Writeoff => false,
    }
}

impl Market {
    pub(crate) fn check_money(&self, broken: &mut Vec<String>) {
        let mut expected = Balances::new();
        for charge in self.treasury.charges.values() {
            self.check_charge(charge, broken);
            if charge.is_released() {
                let payable = match &charge.payout {
                    Payout::Sending { amount, .. } => amount.plus(charge.owed),
                    other @ (Payout::Waiting
                    | Payout::Parked { .. }
                    | Payout::Sent { .. }
                    | Payout::Failed { .. }
                    | Payout::Nothing) => other.unsent(charge.amount),
                };
                owe(&mut expected, LedgerAccount::MakerPayable(charge.maker), payable);
            } else {
                owe(&mut expected, LedgerAccount::Held(charge.order), charge.left());
            }
        }
        for refund in self.treasury.refunds.values() {
            match refund.state {
                RefundState::Pending { .. } | RefundState::Failed { .. } => {
                    owe(&mut expected, LedgerAccount::BuyerRefunds, refund.amount);
                }
                RefundState::Proposed | RefundState::Succeeded { .. } | RefundState::Cancelled => {}
            }
        }
        for lock in self.locks.values() {
            for hold in lock.holds.iter().filter(|hold| hold.resolved.is_none()) {
                if let (Some(_), Some(amount)) = (&hold.payment, hold.amount) {
                    owe(&mut expected, LedgerAccount::Unclaimed(lock.lock), amount);
                }
            }
        }
        for dispute in self.treasury.disputes.values() {
            if dispute.state == super::DisputeState::Open {
                let open = dispute.amount.less(dispute.claimed);
                let account = LedgerAccount::DisputeOpen(dispute.dispute);
                let balance = expected.entry((account, open.currency())).or_default();
                *balance = balance.saturating_add(i128::from(open.minor()));
            }
        }
        expected.retain(|_, balance| *balance != 0);
        let explained: Balances = self
            .ledger
            .balances
            .iter()
            .filter(|((account, _), _)| is_explained(*account))
            .map(|(key, balance)| (*key, *balance))
            .collect();
        if explained != expected {
            broken.push(format!("the ledger says {explained:?}, the sales say {expected:?}"));
        }
        for ((account, currency), balance) in &self.ledger.balances {
            if matches!(account, LedgerAccount::MakerDebt(_)) && *balance < 0 {
                broken.push(format!("{account:?} is {balance} {currency}: a debt is not owed"));
            }
        }
        self.check_receipts(broken);
    }

    fn check_charge(&self, charge: &Charge, broken: &mut Vec<String>) {
        let gone = charge.refunded.plus(charge.lost);
        if gone.minor() > charge.amount.minor() {
            broken.push(format!("more than order {} paid went back", charge.order));
        }
        let sum = charge
            .refunds
            .iter()
            .filter_map(|id| self.treasury.refunds.get(id))
            .filter(|refund| {
                !matches!(refund.state, RefundState::Proposed | RefundState::Cancelled)
            })
            .fold(charge.amount.none(), |sum, refund| sum.plus(refund.amount));
        if sum != charge.refunded {
            broken.push(format!("refunds of order {} are not their sum", charge.order));
        }
        if charge.fee_returned.minor() > charge.fee.minor() {
            broken.push(format!("more than the fee of order {} was returned", charge.order));
        }
        let moves = matches!(charge.payout, Payout::Sending { .. });
        let outbox = match &charge.payout {
            Payout::Sending { effect, .. } => {
                self.effect(*effect).is_some() || self.treasury.dead.contains_key(effect)
            }
            Payout::Waiting
            | Payout::Parked { .. }
            | Payout::Sent { .. }
            | Payout::Failed { .. }
            | Payout::Nothing => true,
        };
        if moves && !outbox {
            broken.push(format!("the payout of order {} is sent by nobody", charge.order));
        }
    }

    fn check_receipts(&self, broken: &mut Vec<String>) {
        let numbers: BTreeSet<_> =
            self.treasury.charges.values().map(|charge| charge.receipt).collect();
        let given: u64 =
            self.treasury.receipts.values().fold(0, |sum, count| sum.saturating_add(*count));
        let live = u64::try_from(self.treasury.charges.len()).unwrap_or(u64::MAX);
        let kept = u64::try_from(numbers.len()).unwrap_or(u64::MAX);
        if kept != live || live.saturating_add(self.treasury.receipts_archived) != given {
            broken.push("receipt numbers have a gap or a twin".to_owned());
        }
        for order in self.orders.values() {
            if self.treasury.charges.get(&order.order).is_none_or(|row| row.lock != order.lock) {
                broken.push(format!("order {} has no charge", order.order));
            }
        }
    }
}
