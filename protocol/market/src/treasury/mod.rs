//! The money behind a sale: what came, what goes back, what the maker gets, what a bank takes.
//!
//! ```text
//!  paid --> Charge: held --release--> payable, fee --transfer--> sent
//!             |  refund: held, payable or a debt of the maker --> buyer
//!             +  dispute: held back, clawed back, won or lost
//! ```
//! Everything is posted in the ledger once per cause; every call abroad is an effect whose outcome
//! is reported, and one that fails for good is a dead letter that a person sees. It must not call
//! anybody. Read next: `refund.rs`, `payout.rs`, `dispute.rs`, `hold.rs`, `dead.rs`; `check.rs` for
//! what always holds.

mod check;
mod dead;
mod dispute;
mod hold;
mod payout;
mod query;
mod refund;
mod row;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairground_types::command::{
    BalanceRecord, FinanceCommand, ProviderObject, ProviderObjectEvent,
};
use fairground_types::{
    Accepted, Code, Digest, DisputeId, EffectId, Money, OrderId, RefundId, Rejection, SaleLockId,
    Timestamp, UserId, limits,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

pub use dead::DeadLetter;
pub use dispute::{Dispute, DisputeState};
pub use payout::{Payout, PayoutAccount, PayoutHold, Transfer};
pub(crate) use query::{charge_row, order_of, payment_of, receipt_of};
pub(crate) use refund::RefundRequest;
pub use refund::{Refund, RefundState};
pub use row::{
    ChargeRow, DeadLetterRow, DisputeRow, HoldRow, LedgerList, LedgerRow, PaymentRow, ReceiptRow,
    ReceiptWithLink, RefundRow,
};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::cow_map::CowMap;
use crate::deadline::DueKind;
use crate::effect::Effect;
use crate::ledger::{LedgerAccount, LedgerCause, LedgerLine, credit, debit};
use crate::permission::Subject;
use crate::sale::SaleLock;

/// The number of a receipt: gap-free within a year.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, SchemaRead, SchemaWrite,
)]
pub struct ReceiptNumber {
    /// The year of log time, UTC.
    pub year: u32,
    /// From 1.
    pub number: u64,
}

impl std::fmt::Display for ReceiptNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RCPT-{:04}{:05}", self.year, self.number)
    }
}

/// One successful payment and everything that became of it.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Charge {
    pub(crate) order: OrderId,
    pub(crate) lock: SaleLockId,
    pub(crate) buyer: UserId,
    pub(crate) maker: UserId,
    pub(crate) payment: String,
    pub(crate) charge: Option<String>,
    pub(crate) balance: Option<BalanceRecord>,
    pub(crate) amount: Money,
    /// The market's share, computed once.
    pub(crate) fee: Money,
    pub(crate) paid_at: Timestamp,
    pub(crate) receipt: ReceiptNumber,
    pub(crate) receipt_hash: Digest,
    /// Of all refunds that were begun and not called off.
    pub(crate) refunded: Money,
    pub(crate) fee_returned: Money,
    /// Taken by a bank for good.
    pub(crate) lost: Money,
    /// The share is to be let go as soon as nothing holds it.
    pub(crate) due: bool,
    pub(crate) holds: BTreeSet<PayoutHold>,
    pub(crate) payout: Payout,
    pub(crate) transfers: Vec<Transfer>,
    /// To be taken back from a transfer that is under way.
    pub(crate) wanted_back: Money,
    /// Owed to the maker beyond a transfer that is under way.
    pub(crate) owed: Money,
    pub(crate) refunds: Vec<RefundId>,
    pub(crate) disputes: Vec<DisputeId>,
    /// Postings about it, oldest first.
    pub(crate) causes: Vec<LedgerCause>,
}

/// The money behind every sale.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Treasury {
    pub(crate) charges: CowMap<OrderId, Arc<Charge>>,
    pub(crate) by_payment: CowMap<String, OrderId>,
    pub(crate) by_charge: CowMap<String, OrderId>,
    pub(crate) refunds: CowMap<RefundId, Arc<Refund>>,
    pub(crate) disputes: CowMap<DisputeId, Arc<Dispute>>,
    pub(crate) accounts: CowMap<UserId, PayoutAccount>,
    pub(crate) by_account: CowMap<String, UserId>,
    pub(crate) parked: BTreeSet<OrderId>,
    pub(crate) dead: BTreeMap<EffectId, DeadLetter>,
    pub(crate) receipts: BTreeMap<u32, u64>,
    pub(crate) receipts_archived: u64,
}

impl Charge {
    /// What may still go back to the buyer.
    pub(crate) const fn left(&self) -> Money {
        self.amount.less(self.refunded).less(self.lost)
    }

    /// Whether its share was let go.
    pub(crate) const fn is_released(&self) -> bool {
        !matches!(self.payout, Payout::Waiting)
    }

    /// Whether nothing more will happen to it by itself.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.payout {
            Payout::Sent { .. } | Payout::Nothing => true,
            Payout::Waiting => self.left().is_zero(),
            Payout::Parked { .. } | Payout::Sending { .. } | Payout::Failed { .. } => false,
        }
    }
}

pub(crate) fn missing(what: &str) -> Rejection {
    Rejection::new(Code::NotFound, format!("no such {what}"))
}

pub(crate) fn too_long() -> Rejection {
    Rejection::new(Code::ValidationFailed, "an id or text of the provider is too long")
}

/// Whether the provider's texts are within their bound.
fn fits<'a>(texts: impl IntoIterator<Item = Option<&'a String>>) -> bool {
    texts
        .into_iter()
        .flatten()
        .all(|text| !text.is_empty() && text.len() <= limits::PROVIDER_TEXT_MAX)
}

/// Lines without those of nothing.
pub(crate) fn lines(all: impl IntoIterator<Item = LedgerLine>) -> Vec<LedgerLine> {
    all.into_iter().filter(|line| !line.amount.is_zero()).collect()
}

impl Market {
    pub(crate) fn run_finance(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &FinanceCommand,
    ) -> Answer {
        match command {
            FinanceCommand::OpenPayoutAccount => self.open_payout_account(turn, subject.user()?),
            FinanceCommand::RecordProviderObject(event) => self.record_object(turn, event),
            FinanceCommand::ReportEffect { effect, result } => {
                self.report_effect(turn, *effect, result)
            }
            FinanceCommand::OverrideWindow { lock, change, reason: _ } => {
                self.override_window(turn, *lock, *change)
            }
            FinanceCommand::ResolveHold { lock, event, decision, new_order, reason: _ } => {
                self.resolve_hold(turn, (*lock, event), *decision, *new_order)
            }
            FinanceCommand::ProposeRefund { order, amount, reason } => {
                self.propose_refund(turn, subject.user()?, (*order, *amount), reason)
            }
            FinanceCommand::DecideRefund { refund, decision, reason: _ } => {
                self.decide_refund(turn, subject.user()?, *refund, *decision)
            }
            FinanceCommand::HoldPayout { order, reason: _ } => {
                self.charge_of(*order)?;
                self.hold_payout(*order, PayoutHold::Finance);
                Ok(Accepted::Done)
            }
            FinanceCommand::UnholdPayout { order, reason: _ } => {
                self.unhold_by_finance(turn, *order)
            }
            FinanceCommand::RetryPayout { order, reason: _ } => self.retry_payout(turn, *order),
            FinanceCommand::ReplayEffect { effect, reason: _ } => self.replay(turn, *effect),
        }
    }

    pub(crate) fn charge_of(&self, order: OrderId) -> Result<Arc<Charge>, Rejection> {
        self.treasury.charges.get(&order).cloned().ok_or_else(|| missing("payment"))
    }

    pub(crate) fn change_charge(&mut self, order: OrderId, change: impl FnOnce(&mut Charge)) {
        if let Some(charge) = self.treasury.charges.get_mut(&order) {
            change(Arc::make_mut(charge));
        }
    }

    /// Posts about a charge, once per cause; says whether it did.
    pub(crate) fn post_for(
        &mut self,
        turn: &Turn,
        order: OrderId,
        cause: LedgerCause,
        all: Vec<LedgerLine>,
    ) -> bool {
        let all = lines(all);
        if all.is_empty() || !self.ledger.post(turn, cause.clone(), all) {
            return false;
        }
        self.change_charge(order, |charge| charge.causes.push(cause));
        true
    }

    /// What an account has on its debit side, in the currency of `like`.
    pub(crate) fn debit_balance(&self, account: LedgerAccount, like: Money) -> Money {
        let balance = self.ledger.balances.get(&(account, like.currency())).copied();
        let minor = u64::try_from(balance.unwrap_or_default().max(0)).unwrap_or(u64::MAX);
        Money::new(minor, like.currency())
    }

    /// Money came that bought a piece: charge, receipt and posting.
    pub(crate) fn take_charge(
        &mut self,
        turn: &mut Turn,
        lock: &SaleLock,
        order: OrderId,
        (payment, amount): (String, Money),
    ) {
        let year = time::year_of(turn.at);
        let count = self.treasury.receipts.entry(year).or_default();
        *count = count.saturating_add(1);
        let receipt = ReceiptNumber { year, number: *count };
        let fee = self.fee_of(lock.amount).at_most(amount);
        let text = format!(
            "{receipt}|{order}|{}|{}|{}|{amount}|{fee}|{}",
            lock.lock, lock.buyer, lock.maker, turn.at
        );
        let charge = Charge {
            order,
            lock: lock.lock,
            buyer: lock.buyer,
            maker: lock.maker,
            payment: payment.clone(),
            charge: None,
            balance: None,
            amount,
            fee,
            paid_at: turn.at,
            receipt,
            receipt_hash: Digest::of(text.as_bytes()),
            refunded: amount.none(),
            fee_returned: amount.none(),
            lost: amount.none(),
            due: false,
            holds: BTreeSet::new(),
            payout: Payout::Waiting,
            transfers: Vec::new(),
            wanted_back: amount.none(),
            owed: amount.none(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            causes: Vec::new(),
        };
        self.treasury.charges.insert(order, Arc::new(charge));
        self.treasury.by_payment.insert(payment.clone(), order);
        self.add_effect(turn, Effect::ReadCharge { order, payment }, None);
    }

    /// What the provider's books say about a charge: its fee, and when the money can be used.
    pub(crate) fn charge_read(
        &mut self,
        turn: &Turn,
        order: OrderId,
        charge: &str,
        balance: &BalanceRecord,
    ) {
        let Some(known) = self.treasury.charges.get(&order).cloned() else { return };
        self.treasury.by_charge.insert(charge.to_owned(), order);
        self.change_charge(order, |row| {
            row.charge = Some(charge.to_owned());
            row.balance = Some(balance.clone());
        });
        let cause = LedgerCause::ProviderFee(balance.record.clone());
        let (gross, fee) = (balance.gross, balance.fee);
        let mut all = vec![
            debit(LedgerAccount::CostProvider, fee),
            credit(LedgerAccount::ProviderPending, fee),
        ];
        if gross.currency() != known.amount.currency() {
            // The provider keeps its books in another currency: a pair for each of the two.
            all.push(debit(LedgerAccount::Conversion, known.amount));
            all.push(credit(LedgerAccount::ProviderPending, known.amount));
            all.push(debit(LedgerAccount::ProviderPending, gross));
            all.push(credit(LedgerAccount::Conversion, gross));
        }
        self.post_for(turn, order, cause, all);
        self.deadlines.add(balance.available_at, DueKind::Available(order));
    }

    /// The provider lets the money of a charge be used.
    pub(crate) fn money_available(&mut self, turn: &Turn, order: OrderId) {
        let Some(charge) = self.treasury.charges.get(&order).cloned() else { return };
        let Some(balance) = charge.balance.as_ref() else { return };
        let net = balance.gross.less(balance.fee);
        let all = vec![
            debit(LedgerAccount::ProviderAvailable, net),
            credit(LedgerAccount::ProviderPending, net),
        ];
        self.post_for(turn, order, LedgerCause::Available(balance.record.clone()), all);
    }

    /// Takes an object that the provider showed, once per event.
    fn record_object(&mut self, turn: &mut Turn, event: &ProviderObjectEvent) -> Answer {
        if !fits([Some(&event.event)]) {
            return Err(too_long());
        }
        let is_readable = match &event.object {
            ProviderObject::Refund { refund, payment, .. } => {
                fits([Some(refund), payment.as_ref()])
            }
            ProviderObject::Dispute { dispute, payment, charge, reason, .. } => {
                reason.len() <= limits::PROVIDER_TEXT_MAX
                    && fits([Some(dispute), payment.as_ref(), charge.as_ref()])
            }
            ProviderObject::Account { account, .. } => fits([Some(account)]),
            ProviderObject::FraudWarning { payment, charge } => {
                fits([payment.as_ref(), charge.as_ref()])
            }
            ProviderObject::BalanceAvailable => true,
        };
        if !is_readable {
            return Err(too_long());
        }
        if !self.payments.is_news(&event.event, turn.at) {
            return Ok(Accepted::Done);
        }
        match &event.object {
            ProviderObject::Refund { .. } => self.refund_told(turn, &event.object),
            ProviderObject::Dispute { .. } => self.dispute_told(turn, &event.object),
            ProviderObject::Account { account, user, state } => {
                self.account_told(turn, account, *user, *state);
            }
            ProviderObject::FraudWarning { payment, charge } => {
                match self.charge_named(payment.as_ref(), charge.as_ref()) {
                    Some(order) => self.hold_payout(order, PayoutHold::Warning),
                    None => self.payments.unmatched = self.payments.unmatched.saturating_add(1),
                }
            }
            ProviderObject::BalanceAvailable => self.send_parked(turn),
        }
        Ok(Accepted::Done)
    }

    /// The order whose payment or charge is named.
    pub(crate) fn charge_named(
        &self,
        payment: Option<&String>,
        charge: Option<&String>,
    ) -> Option<OrderId> {
        let by_payment = payment.and_then(|id| self.treasury.by_payment.get(id));
        by_payment.or_else(|| charge.and_then(|id| self.treasury.by_charge.get(id))).copied()
    }

    /// Whether nothing about the money of an order can change by itself any more.
    pub(crate) fn money_is_settled(&self, order: OrderId) -> bool {
        let Some(charge) = self.treasury.charges.get(&order) else { return true };
        charge.is_settled()
            && charge.holds.is_empty()
            && charge.refunds.iter().all(|id| {
                self.treasury.refunds.get(id).is_none_or(|refund| refund.state.is_final())
            })
            && charge.disputes.iter().all(|id| {
                self.treasury.disputes.get(id).is_none_or(|dispute| dispute.state.is_final())
            })
    }

    /// Lets the money of an archived order go: its charge, and the postings that leave with it.
    pub(crate) fn archive_charge(
        &mut self,
        order: OrderId,
    ) -> Option<(Arc<Charge>, Vec<Arc<Refund>>)> {
        let charge = self.treasury.charges.remove(&order)?;
        self.treasury.by_payment.remove(&charge.payment);
        if let Some(id) = &charge.charge {
            self.treasury.by_charge.remove(id);
        }
        let refunds =
            charge.refunds.iter().filter_map(|id| self.treasury.refunds.remove(id)).collect();
        for dispute in &charge.disputes {
            self.treasury.disputes.remove(dispute);
        }
        self.treasury.receipts_archived = self.treasury.receipts_archived.saturating_add(1);
        Some((charge, refunds))
    }
}
