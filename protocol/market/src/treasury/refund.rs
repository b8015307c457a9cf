//! Refunds: asked for, approved, on their way, there; or failed, and then a person's to decide.
//!
//! ```text
//!  Proposed --approve--> Pending --succeeded--> Succeeded --bounced--> Failed --retry--> Pending
//!     +--reject--> Cancelled  +--refused----------------------------------^  +--cancel--> Cancelled
//! ```
//! Before the maker's share is let go the money is in the order's account; afterwards the market gives
//! back its fee pro rata and the maker's part is taken from what waits for the maker, or becomes a
//! debt that a reversal or later sales pay. Read next: `payout.rs`.

use std::sync::Arc;

use fairground_types::command::{ProviderObject, ProviderRefundState, RefundCause, RefundDecision};
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{
    Accepted, Code, EffectId, Money, OrderId, RefundId, Rejection, SaleLockId, Timestamp, UserId,
    limits,
};
use wincode::{SchemaRead, SchemaWrite};

use super::{Charge, Payout, lines, missing};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::{CreateRefund, Effect, NoticeKind};
use crate::ledger::{LedgerAccount, LedgerCause, LedgerLine, Side, credit, debit};
use crate::notice::about;

/// A refund.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Refund {
    pub(crate) refund: RefundId,
    pub(crate) lock: SaleLockId,
    /// None when the payment bought nothing.
    pub(crate) order: Option<OrderId>,
    pub(crate) buyer: UserId,
    pub(crate) payment: String,
    pub(crate) amount: Money,
    /// What the market gave back of its fee.
    pub(crate) fee: Money,
    pub(crate) cause: RefundCause,
    pub(crate) proposer: Option<UserId>,
    pub(crate) approver: Option<UserId>,
    pub(crate) reason: Option<Note>,
    pub(crate) asked_at: Timestamp,
    /// The debit side of its opening: what to give back if it is called off.
    pub(crate) sources: Vec<LedgerLine>,
    pub(crate) attempt: u32,
    pub(crate) provider: Option<String>,
    pub(crate) state: RefundState,
}

/// Where a refund stands.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum RefundState {
    /// Waits for a second person.
    Proposed,
    /// On its way.
    Pending {
        /// The effect that makes it, or that made it.
        effect: EffectId,
    },
    /// The buyer's bank has it.
    Succeeded {
        /// Since when.
        at: Timestamp,
    },
    /// It did not arrive: finance decides.
    Failed {
        /// The provider's word.
        code: String,
        /// The effect that failed.
        effect: EffectId,
    },
    /// It will not be.
    Cancelled,
}

impl RefundState {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Pending { .. } => "pending",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nobody needs to do anything about it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Cancelled)
    }
}

/// A refund that is asked for.
pub(crate) struct RefundRequest {
    pub(crate) order: OrderId,
    pub(crate) amount: Money,
    pub(crate) cause: RefundCause,
    /// Who decided; none for a rule of the market.
    pub(crate) proposer: Option<UserId>,
    pub(crate) reason: Option<Note>,
}

fn wrong_state(refund: &Refund) -> Rejection {
    Rejection::new(Code::InvalidState, format!("the refund is {}", refund.state.name()))
}

impl Market {
    fn change_refund(&mut self, id: RefundId, change: impl FnOnce(&mut Refund)) {
        if let Some(refund) = self.treasury.refunds.get_mut(&id) {
            change(Arc::make_mut(refund));
        }
    }

    /// Gives money of an order back, at once or after a second person's word.
    pub(crate) fn refund(
        &mut self,
        turn: &mut Turn,
        request: RefundRequest,
    ) -> Result<RefundId, Rejection> {
        let charge = self.charge_of(request.order)?;
        self.check_refund(&charge, request.amount)?;
        let awaits = self.needs_second(&request);
        let id = RefundId::from_bits(turn.make_bits());
        let refund = Refund {
            refund: id,
            lock: charge.lock,
            order: Some(charge.order),
            buyer: charge.buyer,
            payment: charge.payment.clone(),
            amount: request.amount,
            fee: request.amount.none(),
            cause: request.cause,
            proposer: request.proposer,
            approver: None,
            reason: request.reason,
            asked_at: turn.at,
            sources: Vec::new(),
            attempt: 0,
            provider: None,
            state: RefundState::Proposed,
        };
        self.treasury.refunds.insert(id, Arc::new(refund));
        self.change_charge(charge.order, |charge| charge.refunds.push(id));
        if !awaits {
            self.begin_refund(turn, id);
        }
        Ok(id)
    }

    /// Gives money back that two people of staff, or both parties, have agreed on.
    pub(crate) fn refund_agreed(
        &mut self,
        turn: &mut Turn,
        request: RefundRequest,
        approver: Option<UserId>,
    ) -> Result<RefundId, Rejection> {
        let id = self.refund(turn, request)?;
        if self.awaits_approval(id) {
            self.change_refund(id, |refund| refund.approver = approver);
            self.begin_refund(turn, id);
        }
        Ok(id)
    }

    /// What may go back of an order now.
    pub(crate) fn refundable(&self, order: OrderId) -> Result<Money, Rejection> {
        let charge = self.charge_of(order)?;
        let left = charge.left().less(self.proposed(&charge));
        if !left.is_zero() {
            self.check_refund(&charge, left)?;
        }
        Ok(left)
    }

    fn check_refund(&self, charge: &Charge, amount: Money) -> Result<(), Rejection> {
        if amount.currency() != charge.amount.currency() {
            return Err(Rejection::new(Code::CurrencyMismatch, "the payment has another currency"));
        }
        if charge.refunds.len() >= limits::REFUNDS_PER_ORDER_MAX {
            return Err(Rejection::new(Code::LimitReached, "too many refunds of this order"));
        }
        if charge.disputes.iter().any(|id| self.is_disputed(*id)) {
            let why = "the payment is disputed; the bank gives the money back or not";
            return Err(Rejection::new(Code::InvalidState, why));
        }
        let left = charge.left().less(self.proposed(charge));
        if amount.is_zero() || amount.minor() > left.minor() {
            let why = format!("a refund is above nothing and at most {left}");
            return Err(Rejection::new(Code::AmountOutOfRange, why));
        }
        Ok(())
    }

    /// What waits for a second person.
    fn proposed(&self, charge: &Charge) -> Money {
        charge
            .refunds
            .iter()
            .filter_map(|id| self.treasury.refunds.get(id))
            .filter(|refund| refund.state == RefundState::Proposed)
            .fold(charge.amount.none(), |sum, refund| sum.plus(refund.amount))
    }

    fn needs_second(&self, request: &RefundRequest) -> bool {
        let policy = &self.cluster.policy;
        let alone = request.amount.currency().from_hundredths(policy.refund_alone_max_minor);
        let is_large = request.amount.minor() > alone;
        match request.cause {
            // Rules of the market, not a person's word.
            RefundCause::OrderCancelled | RefundCause::TooLate | RefundCause::Mismatch => false,
            RefundCause::IssueResolved => is_large,
            RefundCause::Asked => {
                is_large || request.proposer.is_none_or(|user| !self.may(user, Action::MoveMoney))
            }
        }
    }

    /// The ledger's part of a refund, then the reversal of what the maker has, then the refund.
    fn begin_refund(&mut self, turn: &mut Turn, id: RefundId) {
        let Some(refund) = self.treasury.refunds.get(&id).cloned() else { return };
        let Some(charge) =
            refund.order.and_then(|order| self.treasury.charges.get(&order)).cloned()
        else {
            return;
        };
        let amount = refund.amount;
        let rest = charge.fee.less(charge.fee_returned);
        let fee = if charge.left() == amount {
            rest
        } else {
            charge.fee.pro_rata(amount, charge.amount).at_most(rest)
        };
        let fee = fee.at_most(amount);
        let mut back = amount.none();
        let sources = if charge.is_released() {
            let net = amount.less(fee);
            let payable = net.at_most(charge.payout.unsent(net));
            back = net.less(payable);
            self.take_unsent(charge.order, payable);
            lines([
                debit(LedgerAccount::FeePlatform, fee),
                debit(LedgerAccount::MakerPayable(charge.maker), payable),
                debit(LedgerAccount::MakerDebt(charge.maker), back),
            ])
        } else {
            vec![debit(LedgerAccount::Held(charge.order), amount)]
        };
        let mut all = sources.clone();
        all.push(credit(LedgerAccount::BuyerRefunds, amount));
        self.post_for(turn, charge.order, LedgerCause::RefundOpened(id), all);
        self.change_charge(charge.order, |charge| {
            charge.refunded = charge.refunded.plus(amount);
            charge.fee_returned = charge.fee_returned.plus(fee);
        });
        self.change_refund(id, |refund| {
            refund.sources = sources;
            refund.fee = fee;
        });
        // The maker's part first; the refund follows whatever comes of it.
        match self.claw_back(turn, charge.order, back, Some(id)) {
            Some(effect) => {
                self.change_refund(id, |refund| refund.state = RefundState::Pending { effect });
            }
            None => self.send_refund(turn, id),
        }
        self.settle_when_empty(charge.order);
    }

    /// Has the provider make a refund.
    pub(super) fn send_refund(&mut self, turn: &mut Turn, id: RefundId) {
        let Some(refund) = self.treasury.refunds.get(&id).cloned() else { return };
        let effect = Effect::CreateRefund(CreateRefund {
            refund: id,
            lock: refund.lock,
            order: refund.order,
            payment: refund.payment.clone(),
            amount: refund.amount,
            cause: refund.cause,
        });
        let effect = self.add_effect(turn, effect, None);
        self.change_refund(id, |refund| {
            refund.attempt = refund.attempt.saturating_add(1);
            refund.provider = None;
            refund.state = RefundState::Pending { effect };
        });
    }

    /// Gives back money that bought nothing: it waits in the lock's own account.
    pub(crate) fn refund_unclaimed(
        &mut self,
        turn: &mut Turn,
        (lock, buyer): (SaleLockId, UserId),
        (payment, amount): (String, Money),
        cause: RefundCause,
    ) {
        let id = RefundId::from_bits(turn.make_bits());
        let sources = vec![debit(LedgerAccount::Unclaimed(lock), amount)];
        let refund = Refund {
            refund: id,
            lock,
            order: None,
            buyer,
            payment,
            amount,
            fee: amount.none(),
            cause,
            proposer: None,
            approver: None,
            reason: None,
            asked_at: turn.at,
            sources: sources.clone(),
            attempt: 0,
            provider: None,
            state: RefundState::Proposed,
        };
        let mut all = sources;
        all.push(credit(LedgerAccount::BuyerRefunds, amount));
        self.ledger.post(turn, LedgerCause::RefundOpened(id), all);
        self.treasury.refunds.insert(id, Arc::new(refund));
        self.send_refund(turn, id);
    }

    pub(super) fn propose_refund(
        &mut self,
        turn: &mut Turn,
        proposer: UserId,
        (order, amount): (OrderId, Money),
        reason: &Note,
    ) -> Answer {
        let request = RefundRequest {
            order,
            amount,
            cause: RefundCause::Asked,
            proposer: Some(proposer),
            reason: Some(reason.clone()),
        };
        let refund = self.refund(turn, request)?;
        Ok(Accepted::Refunded { refund, awaits_approval: self.awaits_approval(refund) })
    }

    /// Whether a refund waits for a second person.
    pub(crate) fn awaits_approval(&self, refund: RefundId) -> bool {
        let refund = self.treasury.refunds.get(&refund);
        refund.is_some_and(|refund| refund.state == RefundState::Proposed)
    }

    pub(super) fn decide_refund(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: RefundId,
        decision: RefundDecision,
    ) -> Answer {
        let refund = self.treasury.refunds.get(&id).cloned().ok_or_else(|| missing("refund"))?;
        match (decision, &refund.state) {
            (RefundDecision::Approve, RefundState::Proposed) => {
                if refund.proposer.is_none_or(|proposer| proposer == user) {
                    let why = "somebody other than who asked for it must approve";
                    return Err(Rejection::new(Code::SecondApproverRequired, why));
                }
                let charge = refund.order.map(|order| self.charge_of(order)).transpose()?;
                if charge.is_some_and(|row| row.disputes.iter().any(|id| self.is_disputed(*id))) {
                    return Err(Rejection::new(Code::InvalidState, "the payment is disputed"));
                }
                self.change_refund(id, |refund| refund.approver = Some(user));
                self.begin_refund(turn, id);
            }
            (RefundDecision::Reject, RefundState::Proposed) => {
                self.change_refund(id, |refund| {
                    refund.approver = Some(user);
                    refund.state = RefundState::Cancelled;
                });
            }
            (RefundDecision::Retry, RefundState::Failed { effect, .. }) => {
                self.treasury.dead.remove(effect);
                self.send_refund(turn, id);
            }
            (RefundDecision::Cancel, RefundState::Failed { effect, .. }) => {
                self.treasury.dead.remove(effect);
                self.call_off(turn, &refund);
            }
            (
                RefundDecision::Approve
                | RefundDecision::Reject
                | RefundDecision::Retry
                | RefundDecision::Cancel,
                RefundState::Proposed
                | RefundState::Pending { .. }
                | RefundState::Succeeded { .. }
                | RefundState::Failed { .. }
                | RefundState::Cancelled,
            ) => return Err(wrong_state(&refund)),
        }
        Ok(Accepted::Refunded { refund: id, awaits_approval: false })
    }

    /// The money stays: each part goes back to where it came from.
    fn call_off(&mut self, turn: &mut Turn, refund: &Refund) {
        let id = refund.refund;
        let mut all = vec![debit(LedgerAccount::BuyerRefunds, refund.amount)];
        let mut to_maker = refund.amount.none();
        for line in &refund.sources {
            match line.account {
                // What the maker owed for it may be paid by now: then it waits for the maker.
                LedgerAccount::MakerDebt(_) | LedgerAccount::MakerPayable(_) => {
                    to_maker = to_maker.plus(line.amount);
                }
                LedgerAccount::Held(order) if self.was_released(order) => {
                    // The rest of the order was let go meanwhile: this part is shared likewise.
                    all.push(credit(LedgerAccount::FeePlatform, refund.fee));
                    to_maker = to_maker.plus(line.amount.less(refund.fee));
                }
                LedgerAccount::Held(_)
                | LedgerAccount::Unclaimed(_)
                | LedgerAccount::FeePlatform
                | LedgerAccount::ProviderPending
                | LedgerAccount::ProviderAvailable
                | LedgerAccount::BuyerRefunds
                | LedgerAccount::CostProvider
                | LedgerAccount::CostDispute
                | LedgerAccount::DisputeOpen(_)
                | LedgerAccount::Conversion
                | LedgerAccount::Writeoff => {
                    all.push(LedgerLine { side: Side::Credit, ..*line });
                }
            }
        }
        let cause = LedgerCause::RefundCancelled(id);
        match refund.order.and_then(|order| self.treasury.charges.get(&order)).cloned() {
            Some(charge) => {
                all.extend(self.owe_maker(charge.maker, charge.order, to_maker));
                self.change_charge(charge.order, |charge| {
                    charge.refunded = charge.refunded.less(refund.amount);
                    charge.fee_returned = charge.fee_returned.less(refund.fee);
                });
                self.post_for(turn, charge.order, cause, all);
                self.change_refund(id, |refund| refund.state = RefundState::Cancelled);
                self.try_payout(turn, charge.order);
            }
            None => {
                self.ledger.post(turn, cause, lines(all));
                self.change_refund(id, |refund| refund.state = RefundState::Cancelled);
            }
        }
    }

    fn was_released(&self, order: OrderId) -> bool {
        self.treasury.charges.get(&order).is_some_and(|charge| charge.is_released())
    }

    /// The provider has made a refund.
    pub(super) fn refund_made(
        &mut self,
        turn: &mut Turn,
        id: RefundId,
        (provider, state): (&str, ProviderRefundState),
    ) {
        self.change_refund(id, |refund| refund.provider = Some(provider.to_owned()));
        self.move_refund(turn, id, state);
    }

    /// A refund moves forward only, whatever the order in which its states are heard.
    fn move_refund(&mut self, turn: &mut Turn, id: RefundId, state: ProviderRefundState) {
        let Some(refund) = self.treasury.refunds.get(&id).cloned() else { return };
        let (effect, has_gone) = match refund.state {
            RefundState::Pending { effect } => (effect, false),
            RefundState::Succeeded { .. } => (EffectId::from_bits(0), true),
            RefundState::Proposed | RefundState::Failed { .. } | RefundState::Cancelled => return,
        };
        match state {
            ProviderRefundState::Pending => {}
            ProviderRefundState::Succeeded if has_gone => {}
            ProviderRefundState::Succeeded => {
                self.post_refund(turn, &refund, true);
                self.change_refund(id, |refund| {
                    refund.state = RefundState::Succeeded { at: turn.at };
                });
                self.tell_of_refund(turn, &refund);
            }
            ProviderRefundState::Failed | ProviderRefundState::Cancelled => {
                if has_gone {
                    self.post_refund(turn, &refund, false);
                }
                let code = "refund_failed".to_owned();
                self.change_refund(id, |refund| {
                    refund.state = RefundState::Failed { code, effect }
                });
            }
        }
    }

    /// Money leaves the provider's balance, or comes back to it.
    fn post_refund(&mut self, turn: &Turn, refund: &Refund, leaves: bool) {
        let (id, attempt) = (refund.refund, refund.attempt);
        let buyer = LedgerAccount::BuyerRefunds;
        // What bought nothing was never noted as available: it comes and goes in one account.
        let provider = match refund.order {
            Some(_) => LedgerAccount::ProviderAvailable,
            None => LedgerAccount::ProviderPending,
        };
        let (cause, all) = if leaves {
            let all = vec![debit(buyer, refund.amount), credit(provider, refund.amount)];
            (LedgerCause::RefundSettled(id, attempt), all)
        } else {
            let all = vec![debit(provider, refund.amount), credit(buyer, refund.amount)];
            (LedgerCause::RefundBounced(id, attempt), all)
        };
        match refund.order {
            Some(order) => {
                self.post_for(turn, order, cause, all);
            }
            None => {
                self.ledger.post(turn, cause, all);
            }
        }
    }

    fn tell_of_refund(&mut self, turn: &mut Turn, refund: &Refund) {
        let maker = refund.order.and_then(|order| self.treasury.charges.get(&order));
        let maker = maker.map(|charge| charge.maker);
        for user in std::iter::once(refund.buyer).chain(maker) {
            let mut notice = about(user, NoticeKind::RefundCompleted);
            notice.lock = Some(refund.lock);
            notice.order = refund.order;
            notice.story = self.locks.get(&refund.lock).map(|lock| lock.story);
            notice.amount = Some(refund.amount);
            self.notify(turn, notice);
        }
    }

    /// The provider refused a refund for good: finance decides.
    pub(super) fn refund_refused(&mut self, id: RefundId, effect: EffectId, code: &str) {
        let code = code.to_owned();
        self.change_refund(id, |refund| refund.state = RefundState::Failed { code, effect });
    }

    /// The provider tells of a refund: one of ours, or one that somebody made there by hand.
    pub(super) fn refund_told(&mut self, turn: &mut Turn, object: &ProviderObject) {
        let ProviderObject::Refund { refund, ours, payment, amount, state } = object else {
            return;
        };
        let known = ours.filter(|id| self.treasury.refunds.contains_key(id)).or_else(|| {
            let mut all = self.treasury.refunds.iter();
            all.find(|(_, row)| row.provider.as_ref() == Some(refund)).map(|(id, _)| *id)
        });
        if let Some(id) = known {
            let provider = self.treasury.refunds.get(&id).and_then(|row| row.provider.clone());
            // An older attempt says nothing about the newest one.
            if provider.as_ref().is_none_or(|known| known == refund) {
                self.refund_made(turn, id, (refund, *state));
            }
            return;
        }
        let order = self.charge_named(payment.as_ref(), None);
        let charge = order.and_then(|order| self.treasury.charges.get(&order)).cloned();
        let made = charge.zip(*amount).filter(|(charge, amount)| {
            amount.currency() == charge.amount.currency()
                && !amount.is_zero()
                && amount.minor() <= charge.left().minor()
        });
        let Some((charge, amount)) = made else {
            self.payments.unmatched = self.payments.unmatched.saturating_add(1);
            return;
        };
        self.adopt_refund(turn, &charge, amount, (refund, *state));
    }

    /// Somebody made a refund at the provider: the books follow.
    fn adopt_refund(
        &mut self,
        turn: &mut Turn,
        charge: &Charge,
        amount: Money,
        (provider, state): (&str, ProviderRefundState),
    ) {
        if matches!(state, ProviderRefundState::Failed | ProviderRefundState::Cancelled) {
            return;
        }
        let request = RefundRequest {
            order: charge.order,
            amount,
            cause: RefundCause::OrderCancelled,
            proposer: None,
            reason: None,
        };
        let Ok(id) = self.refund(turn, request) else {
            self.payments.unmatched = self.payments.unmatched.saturating_add(1);
            return;
        };
        self.change_refund(id, |refund| refund.cause = RefundCause::Asked);
        // It exists already: nothing is to be made abroad.
        let effect = self.treasury.refunds.get(&id).and_then(|row| match row.state {
            RefundState::Pending { effect } => Some(effect),
            RefundState::Proposed
            | RefundState::Succeeded { .. }
            | RefundState::Failed { .. }
            | RefundState::Cancelled => None,
        });
        if let Some(effect) = effect
            && self.effect(effect).is_some_and(|row| matches!(row.effect, Effect::CreateRefund(_)))
        {
            self.drop_effect(effect);
        }
        self.refund_made(turn, id, (provider, state));
    }
}

impl Payout {
    /// What waits and has not left, in the currency of `like`.
    pub(super) const fn unsent(&self, like: Money) -> Money {
        match self {
            Self::Parked { amount, .. } | Self::Failed { amount, .. } => *amount,
            Self::Waiting | Self::Sending { .. } | Self::Sent { .. } | Self::Nothing => like.none(),
        }
    }
}
