//! Questions about money. Nothing here checks who asks.
//!
//! Read next: `row.rs`.

use fairground_types::{LogIndex, OrderId, SaleLockId, Timestamp, UserId, limits};

use super::row::{
    ChargeRow, DeadLetterRow, DisputeRow, HoldRow, LedgerList, LedgerRow, PaymentRow, ReceiptRow,
    RefundRow,
};
use super::{Charge, DeadLetter, Dispute, Payout, PayoutAccount, Refund, RefundState};
use crate::Market;
use crate::effect::Effect;
use crate::query::row_of_lock;
use crate::sale::{LockState, SaleLock};
use crate::story::Story;

impl Market {
    /// The charge that paid an order.
    #[must_use]
    pub fn charge(&self, order: OrderId) -> Option<&Charge> {
        self.treasury.charges.get(&order).map(AsRef::as_ref)
    }

    /// Every refund, by id.
    pub fn refunds(&self) -> impl Iterator<Item = &Refund> {
        self.treasury.refunds.values().map(AsRef::as_ref)
    }

    /// Every chargeback, by id.
    pub fn disputes(&self) -> impl Iterator<Item = &Dispute> {
        self.treasury.disputes.values().map(AsRef::as_ref)
    }

    /// A maker's account at the payment provider.
    #[must_use]
    pub fn payout_account(&self, maker: UserId) -> Option<&PayoutAccount> {
        self.treasury.accounts.get(&maker)
    }

    /// Effects that failed for good, oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.treasury.dead.values()
    }

    /// The same, for finance.
    #[must_use]
    pub fn dead_letter_rows(&self) -> Vec<DeadLetterRow> {
        self.dead_letters().map(dead_row).collect()
    }

    /// A payment, for its buyer or its maker; none for anybody else.
    #[must_use]
    pub fn payment_row(&self, id: SaleLockId, reader: UserId) -> Option<PaymentRow> {
        let lock = self.lock(id)?;
        let charge = order_of(lock).and_then(|order| self.charge(order));
        let shown = charge.map(|charge| (charge, self.charge_row(charge)));
        payment_of(lock, reader, shown, self.at)
    }

    fn charge_row(&self, charge: &Charge) -> ChargeRow {
        let refunds = charge.refunds.iter().filter_map(|id| self.treasury.refunds.get(id));
        charge_row(charge, refunds.map(AsRef::as_ref))
    }

    /// Charges whose share has not left, for finance.
    #[must_use]
    pub fn payouts_waiting(&self) -> Vec<ChargeRow> {
        let charges = self.treasury.charges.values();
        charges
            .filter(|charge| !charge.is_settled() || !charge.holds.is_empty())
            .map(|charge| self.charge_row(charge))
            .collect()
    }

    /// Refunds, oldest first: all, or those in a state.
    #[must_use]
    pub fn refund_rows(&self, state: Option<&str>) -> Vec<RefundRow> {
        let mut rows: Vec<RefundRow> = self
            .refunds()
            .filter(|refund| state.is_none_or(|state| refund.state.name() == state))
            .map(refund_row)
            .collect();
        rows.sort_by_key(|row| (row.asked_at, row.refund_id));
        rows
    }

    /// Payments that do not match and wait for a decision, oldest first.
    #[must_use]
    pub fn hold_rows(&self) -> Vec<HoldRow> {
        let mut rows: Vec<HoldRow> = self
            .locks
            .values()
            .flat_map(|lock| lock.holds.iter().map(move |hold| (lock, hold)))
            .filter(|(_, hold)| hold.resolved.is_none())
            .map(|(lock, hold)| HoldRow {
                sale_lock_id: lock.lock,
                event: hold.event.clone(),
                code: fairground_types::Code::AmountMismatch.as_str(),
                expected: lock.amount,
                came: hold.amount,
                at: hold.at,
                resolved: hold.resolved,
            })
            .collect();
        rows.sort_by_key(|row| (row.at, row.sale_lock_id));
        rows
    }

    /// Chargebacks, for finance.
    #[must_use]
    pub fn dispute_rows(&self) -> Vec<DisputeRow> {
        self.disputes().map(dispute_row).collect()
    }

    /// Lines of the ledger after an entry, oldest first; whole entries, about one page of them.
    #[must_use]
    pub fn ledger_lines(&self, after: LogIndex) -> LedgerList {
        let mut postings: Vec<_> =
            self.postings().filter(|(_, posting)| posting.index > after).collect();
        postings.sort_by_key(|(_, posting)| posting.index);
        let mut lines = Vec::new();
        let mut last = after;
        let mut has_more = false;
        for (cause, posting) in postings {
            if lines.len() >= limits::LEDGER_PAGE_MAX && posting.index != last {
                has_more = true;
                break;
            }
            last = posting.index;
            lines.extend(posting.lines.iter().map(|line| LedgerRow {
                log_index: posting.index,
                at: posting.at,
                cause: format!("{cause:?}"),
                account: line.account.to_string(),
                side: line.side,
                amount: line.amount,
            }));
        }
        LedgerList { lines, has_more }
    }

    /// The receipt of a payment.
    #[must_use]
    pub fn receipt_row(&self, id: SaleLockId) -> Option<ReceiptRow> {
        let lock = self.lock(id)?;
        let charge = self.charge(order_of(lock)?)?;
        Some(receipt_of(charge, self.stories.get(&lock.story).map(AsRef::as_ref)))
    }
}

/// A payment for one of its parties; with its charge, once there is one.
pub(crate) fn payment_of(
    lock: &SaleLock,
    reader: UserId,
    charge: Option<(&Charge, ChargeRow)>,
    at: Timestamp,
) -> Option<PaymentRow> {
    let is_maker = lock.maker == reader;
    if !is_maker && lock.buyer != reader {
        return None;
    }
    let mut sale_lock = row_of_lock(lock, at);
    if is_maker {
        // The page to pay on is the buyer's alone.
        sale_lock.checkout_url = None;
    }
    Some(PaymentRow {
        payment_id: lock.lock,
        sale_lock,
        status: status(lock, charge.as_ref().map(|(charge, _)| *charge)),
        charge: charge.map(|(_, mut row)| {
            for refund in &mut row.refunds {
                refund.proposer = None;
                refund.approver = None;
                refund.reason = None;
                refund.code = None;
            }
            if !is_maker {
                row.provider_fee = None;
                row.payout = None;
                row.payout_amount = None;
                row.holds = Vec::new();
            }
            row
        }),
    })
}

/// A charge with its refunds.
pub(crate) fn charge_row<'a>(
    charge: &Charge,
    refunds: impl Iterator<Item = &'a Refund>,
) -> ChargeRow {
    let payout_amount = match &charge.payout {
        Payout::Waiting => None,
        Payout::Parked { amount, .. }
        | Payout::Sending { amount, .. }
        | Payout::Sent { amount, .. }
        | Payout::Failed { amount, .. } => Some(*amount),
        Payout::Nothing => Some(charge.amount.none()),
    };
    ChargeRow {
        order_id: charge.order,
        amount: charge.amount,
        platform_fee: charge.fee.less(charge.fee_returned),
        provider_fee: charge.balance.as_ref().map(|balance| balance.fee),
        refunded: charge.refunded,
        paid_at: charge.paid_at,
        receipt: charge.receipt.to_string(),
        payout: Some(charge.payout.name()),
        payout_amount,
        holds: charge.holds.iter().copied().collect(),
        refunds: refunds.map(refund_row).collect(),
    }
}

/// The receipt of a charge.
pub(crate) fn receipt_of(charge: &Charge, story: Option<&Story>) -> ReceiptRow {
    ReceiptRow {
        number: charge.receipt.to_string(),
        order_id: charge.order,
        sale_lock_id: charge.lock,
        buyer_id: charge.buyer,
        maker_id: charge.maker,
        title: story.map(|story| story.contents.title.to_string()),
        amount: charge.amount,
        platform_fee: charge.fee,
        maker_share: charge.amount.less(charge.fee),
        refunded: charge.refunded,
        issued_at: charge.paid_at,
        hash: charge.receipt_hash,
    }
}

/// The order that a lock was paid for.
pub(crate) const fn order_of(lock: &SaleLock) -> Option<OrderId> {
    match lock.state {
        LockState::Paid { order, .. } => Some(order),
        LockState::Active
        | LockState::Ending { .. }
        | LockState::Released { .. }
        | LockState::Expired { .. } => None,
    }
}

fn status(lock: &SaleLock, charge: Option<&Charge>) -> &'static str {
    match (&lock.state, charge) {
        (LockState::Active | LockState::Ending { .. }, _) => "pending",
        (LockState::Released { .. }, _) => "failed",
        (LockState::Expired { .. }, _) => "expired",
        (LockState::Paid { .. }, Some(charge)) if charge.refunded == charge.amount => "refunded",
        (LockState::Paid { .. }, Some(charge)) if !charge.refunded.is_zero() => "partiallyRefunded",
        (LockState::Paid { .. }, _) => "succeeded",
    }
}

fn refund_row(refund: &Refund) -> RefundRow {
    let code = match &refund.state {
        RefundState::Failed { code, .. } => Some(code.clone()),
        RefundState::Proposed
        | RefundState::Pending { .. }
        | RefundState::Succeeded { .. }
        | RefundState::Cancelled => None,
    };
    RefundRow {
        refund_id: refund.refund,
        sale_lock_id: refund.lock,
        order_id: refund.order,
        amount: refund.amount,
        fee_returned: refund.fee,
        cause: refund.cause,
        state: refund.state.name(),
        asked_at: refund.asked_at,
        proposer: refund.proposer,
        approver: refund.approver,
        reason: refund.reason.clone(),
        code,
    }
}

fn dispute_row(dispute: &Dispute) -> DisputeRow {
    DisputeRow {
        dispute_id: dispute.dispute,
        provider_id: dispute.provider.clone(),
        order_id: dispute.order,
        amount: dispute.amount,
        fee: dispute.fee,
        reason: dispute.reason.clone(),
        due_by: dispute.due_by,
        state: dispute.state.name(),
        opened_at: dispute.opened_at,
        claimed: dispute.claimed,
    }
}

fn dead_row(letter: &DeadLetter) -> DeadLetterRow {
    let (order_id, amount) = match &letter.pending.effect {
        Effect::CreateRefund(create) => (create.order, Some(create.amount)),
        Effect::CreateTransfer(create) => (Some(create.order), Some(create.amount)),
        Effect::ReverseTransfer(reverse) => (Some(reverse.order), Some(reverse.amount)),
        Effect::ReadCharge { order, .. } => (Some(*order), None),
        Effect::CreateConnectedAccount { .. }
        | Effect::SendCode { .. }
        | Effect::OpenCheckout(_)
        | Effect::ExpireCheckout { .. }
        | Effect::CheckStory(_)
        | Effect::Notify(_) => (None, None),
    };
    DeadLetterRow {
        effect_id: letter.pending.id,
        kind: letter.pending.effect.kind(),
        code: letter.code.clone(),
        failed_at: letter.failed_at,
        certain: letter.is_certain,
        order_id,
        amount,
    }
}
