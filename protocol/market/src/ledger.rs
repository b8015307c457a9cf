//! Double-entry bookkeeping: every posting balances to zero, every cause posts once.
//!
//! It must not know providers or orders beyond their ids. Read next: `payment.rs` and `order.rs`,
//! which post.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::{
    Currency, DisputeId, EffectId, LogIndex, Money, OrderId, RefundId, SaleLockId, Timestamp,
    UserId,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::Turn;

/// An account of the ledger.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
pub enum LedgerAccount {
    /// Money at the payment provider that cannot be used yet.
    ProviderPending,
    /// Money at the payment provider that can be used.
    ProviderAvailable,
    /// Money of a paid order whose share was not let go.
    Held(OrderId),
    /// Money that bought nothing: late, or not as its lock says.
    Unclaimed(SaleLockId),
    /// What goes back to buyers and is not with their banks.
    BuyerRefunds,
    /// What the market owes a maker.
    MakerPayable(UserId),
    /// What a maker owes the market.
    MakerDebt(UserId),
    /// The market's share.
    FeePlatform,
    /// What the payment provider keeps.
    CostProvider,
    /// What the payment provider takes for chargebacks.
    CostDispute,
    /// Money that a bank took back and that is argued about.
    DisputeOpen(DisputeId),
    /// Charges that the provider books in another currency.
    Conversion,
    /// What nobody pays.
    Writeoff,
}

/// Side of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Side {
    /// Adds to what the market has.
    Debit,
    /// Adds to what the market owes.
    Credit,
}

/// One line of a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct LedgerLine {
    /// The account.
    pub account: LedgerAccount,
    /// Its side.
    pub side: Side,
    /// How much.
    pub amount: Money,
}

/// Why something was posted; each cause posts once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub enum LedgerCause {
    /// A lock was paid.
    Paid(SaleLockId),
    /// An order was completed.
    Completed(OrderId),
    /// Money came that bought nothing; named by the provider's payment.
    Unwanted(String),
    /// What the provider kept; named by its record.
    ProviderFee(String),
    /// The money can be used; named by the provider's record.
    Available(String),
    /// A share reached its maker; named by the provider's transfer.
    Transferred(String),
    /// A debt of a maker was paid from a share: of this order, the so manieth posting.
    DebtPaid(OrderId, u32),
    /// A transfer came back; named by the effect that asked.
    Reversed(EffectId),
    /// A refund was begun.
    RefundOpened(RefundId),
    /// An attempt at a refund reached the buyer.
    RefundSettled(RefundId, u32),
    /// An attempt at a refund came back.
    RefundBounced(RefundId, u32),
    /// A refund was given up.
    RefundCancelled(RefundId),
    /// A bank took money back.
    DisputeOpened(DisputeId),
    /// What the maker has of it was asked back.
    DisputeClaimed(DisputeId),
    /// What the provider takes for it.
    DisputeFee(DisputeId),
    /// The money came back.
    DisputeWon(DisputeId),
    /// The money is gone.
    DisputeLost(DisputeId),
}

/// A posting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct Posting {
    /// The entry that posted it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// Its lines.
    pub lines: Vec<LedgerLine>,
}

/// Every posting and every balance.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Ledger {
    pub(crate) postings: BTreeMap<LedgerCause, Arc<Posting>>,
    pub(crate) balances: BTreeMap<(LedgerAccount, Currency), i128>,
    /// What postings that left the state add to the balances.
    pub(crate) archived: BTreeMap<(LedgerAccount, Currency), i128>,
}

impl Posting {
    /// Debits less credits of one currency: zero in a balanced posting.
    #[must_use]
    pub fn balance(&self, currency: Currency) -> i128 {
        self.lines
            .iter()
            .filter(|line| line.amount.currency() == currency)
            .fold(0_i128, |sum, line| sum.saturating_add(signed(line)))
    }
}

fn signed(line: &LedgerLine) -> i128 {
    let minor = i128::from(line.amount.minor());
    match line.side {
        Side::Debit => minor,
        Side::Credit => minor.saturating_neg(),
    }
}

impl Ledger {
    /// Lets a posting go; its part of the balances stays.
    pub(crate) fn archive(&mut self, cause: &LedgerCause) -> Option<Arc<Posting>> {
        let posting = self.postings.remove(cause)?;
        for line in &posting.lines {
            let carried = self.archived.entry((line.account, line.amount.currency())).or_default();
            *carried = carried.saturating_add(signed(line));
        }
        Some(posting)
    }

    /// Posts once per cause; says whether it did.
    pub(crate) fn post(&mut self, turn: &Turn, cause: LedgerCause, lines: Vec<LedgerLine>) -> bool {
        if self.postings.contains_key(&cause) {
            return false;
        }
        for line in &lines {
            let balance = self.balances.entry((line.account, line.amount.currency())).or_default();
            *balance = balance.saturating_add(signed(line));
            if *balance == 0 {
                self.balances.remove(&(line.account, line.amount.currency()));
            }
        }
        let posting = Posting { index: turn.index, at: turn.at, lines };
        self.postings.insert(cause, Arc::new(posting));
        true
    }
}

/// A line on the debit side.
pub(crate) const fn debit(account: LedgerAccount, amount: Money) -> LedgerLine {
    LedgerLine { account, side: Side::Debit, amount }
}

/// A line on the credit side.
pub(crate) const fn credit(account: LedgerAccount, amount: Money) -> LedgerLine {
    LedgerLine { account, side: Side::Credit, amount }
}

impl Market {
    /// Sum of all balances per currency: zero in each, always.
    #[must_use]
    pub fn ledger_totals(&self) -> BTreeMap<Currency, i128> {
        let mut totals = BTreeMap::new();
        for ((_, currency), carried) in &self.ledger.archived {
            let total = totals.entry(*currency).or_insert(0_i128);
            *total = total.saturating_add(*carried);
        }
        for line in self.ledger.postings.values().flat_map(|posting| &posting.lines) {
            let total = totals.entry(line.amount.currency()).or_insert(0_i128);
            *total = total.saturating_add(signed(line));
        }
        totals
    }

    /// Balances that are not zero: debits less credits.
    pub fn ledger_balances(&self) -> impl Iterator<Item = (LedgerAccount, Currency, i128)> {
        self.ledger
            .balances
            .iter()
            .map(|((account, currency), balance)| (*account, *currency, *balance))
    }

    /// Every posting.
    pub fn postings(&self) -> impl Iterator<Item = (&LedgerCause, &Posting)> {
        self.ledger.postings.iter().map(|(cause, posting)| (cause, posting.as_ref()))
    }
}
