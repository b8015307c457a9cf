//! Chargebacks: a card holder's bank takes a payment back, and gives it back or not.
//!
//! Kept apart from issues, which are between buyer and maker. States move by rank, so an event that
//! is late changes nothing: inquiry, open, won or lost.
//!
//! ```text
//!  opened   dispute.open <- provider's balance; the share is held; what was sent is asked back
//!  lost     dispute.open is paid: by what is held, by what waits, by the fee, then written off
//!  won      the money comes back, and what the maker gave for it with it
//! ```
//! Read next: `payout.rs`.

use std::sync::Arc;

use fairground_types::command::{ProviderDisputeState, ProviderObject};
use fairground_types::{Digest, DisputeId, Money, OrderId, Timestamp};
use wincode::{SchemaRead, SchemaWrite};

use super::{Charge, Payout, PayoutHold};
use crate::Market;
use crate::apply::Turn;
use crate::effect::NoticeKind;
use crate::ledger::{LedgerAccount, LedgerCause, credit, debit};
use crate::notice::about;

/// A chargeback.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Dispute {
    pub(crate) dispute: DisputeId,
    pub(crate) provider: String,
    pub(crate) order: OrderId,
    pub(crate) amount: Money,
    pub(crate) fee: Option<Money>,
    pub(crate) reason: String,
    pub(crate) due_by: Option<Timestamp>,
    pub(crate) opened_at: Timestamp,
    /// Asked back from the maker.
    pub(crate) claimed: Money,
    pub(crate) state: DisputeState,
}

/// Where a chargeback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub enum DisputeState {
    /// A question of the bank; no money has moved.
    Inquiry,
    /// The money was taken; it is argued about.
    Open,
    /// The question ended without a dispute.
    Closed,
    /// The money came back.
    Won,
    /// The money is gone.
    Lost,
}

impl DisputeState {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inquiry => "inquiry",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Closed | Self::Won | Self::Lost => true,
            Self::Inquiry | Self::Open => false,
        }
    }
}

/// The id that a provider's dispute has here.
fn dispute_id(provider: &str) -> DisputeId {
    let digest = Digest::of(provider.as_bytes());
    let (half, _) = digest.as_bytes().split_at(16);
    DisputeId::from_bits(half.try_into().map_or(0, u128::from_be_bytes))
}

impl Market {
    fn change_dispute(&mut self, id: DisputeId, change: impl FnOnce(&mut Dispute)) {
        if let Some(dispute) = self.treasury.disputes.get_mut(&id) {
            change(Arc::make_mut(dispute));
        }
    }

    /// Whether money is argued about.
    pub(super) fn is_disputed(&self, id: DisputeId) -> bool {
        self.treasury.disputes.get(&id).is_some_and(|dispute| !dispute.state.is_final())
    }

    /// The provider tells of a dispute.
    pub(super) fn dispute_told(&mut self, turn: &mut Turn, object: &ProviderObject) {
        let ProviderObject::Dispute {
            dispute,
            payment,
            charge,
            amount,
            fee,
            reason,
            due_by,
            state,
        } = object
        else {
            return;
        };
        let id = dispute_id(dispute);
        if !self.treasury.disputes.contains_key(&id) {
            let order = self.charge_named(payment.as_ref(), charge.as_ref());
            let charge = order.and_then(|order| self.treasury.charges.get(&order)).cloned();
            let known = charge.zip(*amount).filter(|(charge, amount)| {
                amount.currency() == charge.amount.currency() && !amount.is_zero()
            });
            let Some((charge, amount)) = known else {
                self.payments.unmatched = self.payments.unmatched.saturating_add(1);
                return;
            };
            let row = Dispute {
                dispute: id,
                provider: dispute.clone(),
                order: charge.order,
                amount: amount.at_most(charge.amount),
                fee: None,
                reason: reason.clone(),
                due_by: *due_by,
                opened_at: turn.at,
                claimed: amount.none(),
                state: DisputeState::Inquiry,
            };
            self.treasury.disputes.insert(id, Arc::new(row));
            self.change_charge(charge.order, |charge| charge.disputes.push(id));
            self.hold_payout(charge.order, PayoutHold::Dispute);
            self.tell_of_dispute(turn, &charge, amount, NoticeKind::ChargebackOpened);
        }
        if due_by.is_some() {
            self.change_dispute(id, |row| row.due_by = *due_by);
        }
        self.move_dispute(turn, id, *state);
        self.post_dispute_fee(turn, id, *fee);
    }

    fn move_dispute(&mut self, turn: &mut Turn, id: DisputeId, told: ProviderDisputeState) {
        let Some(row) = self.treasury.disputes.get(&id).cloned() else { return };
        if row.state.is_final() {
            return;
        }
        let was_open = row.state == DisputeState::Open;
        match told {
            ProviderDisputeState::Inquiry => {}
            ProviderDisputeState::InquiryClosed if was_open => {}
            ProviderDisputeState::InquiryClosed => self.end_dispute(turn, id, DisputeState::Closed),
            ProviderDisputeState::Open if was_open => {}
            ProviderDisputeState::Open => self.open_dispute(turn, id),
            ProviderDisputeState::Won | ProviderDisputeState::Lost => {
                if !was_open {
                    // The opening was not heard, or is late: the books need it all the same.
                    self.open_dispute(turn, id);
                }
                if told == ProviderDisputeState::Won {
                    self.win_dispute(turn, id);
                } else {
                    self.lose_dispute(turn, id);
                }
            }
        }
    }

    /// The bank took the money; what the maker has of it is asked back.
    fn open_dispute(&mut self, turn: &mut Turn, id: DisputeId) {
        let Some(row) = self.treasury.disputes.get(&id).cloned() else { return };
        let Some(charge) = self.treasury.charges.get(&row.order).cloned() else { return };
        let all = vec![
            debit(LedgerAccount::DisputeOpen(id), row.amount),
            credit(LedgerAccount::ProviderAvailable, row.amount),
        ];
        self.post_for(turn, row.order, LedgerCause::DisputeOpened(id), all);
        let with_maker = charge.with_maker();
        let claimed = row.amount.at_most(with_maker);
        let all = vec![
            debit(LedgerAccount::MakerDebt(charge.maker), claimed),
            credit(LedgerAccount::DisputeOpen(id), claimed),
        ];
        self.post_for(turn, row.order, LedgerCause::DisputeClaimed(id), all);
        self.change_dispute(id, |row| {
            row.claimed = claimed;
            row.state = DisputeState::Open;
        });
        self.claw_back(turn, row.order, claimed, None);
    }

    fn post_dispute_fee(&mut self, turn: &Turn, id: DisputeId, fee: Option<Money>) {
        let Some(row) = self.treasury.disputes.get(&id).cloned() else { return };
        let Some(fee) = fee.filter(|_| row.fee.is_none()) else { return };
        let all = vec![
            debit(LedgerAccount::CostDispute, fee),
            credit(LedgerAccount::ProviderAvailable, fee),
        ];
        self.post_for(turn, row.order, LedgerCause::DisputeFee(id), all);
        self.change_dispute(id, |row| row.fee = Some(fee));
    }

    fn win_dispute(&mut self, turn: &mut Turn, id: DisputeId) {
        let Some(row) = self.treasury.disputes.get(&id).cloned() else { return };
        let Some(charge) = self.treasury.charges.get(&row.order).cloned() else { return };
        let mut all = vec![
            debit(LedgerAccount::ProviderAvailable, row.amount),
            credit(LedgerAccount::DisputeOpen(id), row.amount.less(row.claimed)),
        ];
        all.extend(self.owe_maker(charge.maker, charge.order, row.claimed));
        self.post_for(turn, row.order, LedgerCause::DisputeWon(id), all);
        self.end_dispute(turn, id, DisputeState::Won);
    }

    fn lose_dispute(&mut self, turn: &mut Turn, id: DisputeId) {
        let Some(row) = self.treasury.disputes.get(&id).cloned() else { return };
        let Some(charge) = self.treasury.charges.get(&row.order).cloned() else { return };
        let open = row.amount.less(row.claimed);
        let (held, fee) = if charge.is_released() {
            (open.none(), charge.fee.less(charge.fee_returned))
        } else {
            (open.at_most(charge.left()), open.none())
        };
        let rest = open.less(held);
        let payable = rest.at_most(charge.payout.unsent(rest));
        let rest = rest.less(payable);
        let fee = rest.at_most(fee);
        let rest = rest.less(fee);
        let all = vec![
            debit(LedgerAccount::Held(charge.order), held),
            debit(LedgerAccount::MakerPayable(charge.maker), payable),
            debit(LedgerAccount::FeePlatform, fee),
            debit(LedgerAccount::Writeoff, rest),
            credit(LedgerAccount::DisputeOpen(id), open),
        ];
        self.post_for(turn, row.order, LedgerCause::DisputeLost(id), all);
        self.take_unsent(row.order, payable);
        let lost = if charge.is_released() { row.amount.at_most(charge.left()) } else { held };
        self.change_charge(row.order, |charge| {
            charge.lost = charge.lost.plus(lost);
            charge.fee_returned = charge.fee_returned.plus(fee);
        });
        self.settle_when_empty(row.order);
        self.end_dispute(turn, id, DisputeState::Lost);
    }

    fn end_dispute(&mut self, turn: &mut Turn, id: DisputeId, state: DisputeState) {
        self.change_dispute(id, |row| row.state = state);
        let Some(row) = self.treasury.disputes.get(&id).cloned() else { return };
        let Some(charge) = self.treasury.charges.get(&row.order).cloned() else { return };
        self.tell_of_dispute(turn, &charge, row.amount, NoticeKind::ChargebackClosed);
        if !charge.disputes.iter().any(|id| self.is_disputed(*id)) {
            self.unhold_payout(turn, row.order, PayoutHold::Dispute);
        }
    }

    fn tell_of_dispute(
        &mut self,
        turn: &mut Turn,
        charge: &Charge,
        amount: Money,
        kind: NoticeKind,
    ) {
        let mut notice = about(charge.maker, kind);
        notice.order = Some(charge.order);
        notice.lock = Some(charge.lock);
        notice.amount = Some(amount);
        self.notify(turn, notice);
    }
}

impl Charge {
    /// What was sent to the maker, or is being sent, and was not asked back.
    fn with_maker(&self) -> Money {
        let sent = self
            .transfers
            .last()
            .map_or_else(|| self.amount.none(), |sent| sent.amount.less(sent.reversed));
        match self.payout {
            Payout::Sending { amount, .. } => amount.less(self.wanted_back),
            Payout::Waiting
            | Payout::Parked { .. }
            | Payout::Sent { .. }
            | Payout::Failed { .. }
            | Payout::Nothing => sent,
        }
    }
}
