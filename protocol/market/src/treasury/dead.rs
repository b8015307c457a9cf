//! What came of effects that move money, and those that failed for good.
//!
//! Nothing fails silently: a refusal or a loss is a dead letter that finance sees and may replay. One
//! that is known not to have happened is made anew under a new id; one that is not known keeps its
//! id, which is the key abroad, so that it cannot happen twice. Read next: [`crate::effect`].

use fairground_types::command::EffectResult;
use fairground_types::{Accepted, Code, EffectId, Rejection, Timestamp, limits};
use wincode::{SchemaRead, SchemaWrite};

use super::{fits, missing, too_long};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::{Effect, PendingEffect};

/// An effect that failed for good.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct DeadLetter {
    pub(crate) pending: PendingEffect,
    pub(crate) code: String,
    pub(crate) failed_at: Timestamp,
    /// It is known not to have happened.
    pub(crate) is_certain: bool,
}

impl DeadLetter {
    /// The effect.
    #[must_use]
    pub const fn pending(&self) -> &PendingEffect {
        &self.pending
    }
}

fn wrong_kind() -> Rejection {
    Rejection::new(Code::InvalidState, "this result is not one of this effect")
}

impl Market {
    /// An effect that moves money is over. Reporting it twice changes nothing.
    pub(super) fn report_effect(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &EffectResult,
    ) -> Answer {
        let Some(pending) = self.effect(id).cloned() else { return Ok(Accepted::Done) };
        let is_readable = match result {
            EffectResult::RefundMade { refund: text, .. }
            | EffectResult::TransferMade { transfer: text }
            | EffectResult::AccountMade { account: text }
            | EffectResult::Refused { code: text }
            | EffectResult::Lost { code: text } => fits([Some(text)]),
            EffectResult::ReversalMade { reversal, .. } => fits([reversal.as_ref()]),
            EffectResult::ChargeRead { charge, balance } => {
                fits([Some(charge), Some(&balance.record)])
            }
        };
        if !is_readable {
            return Err(too_long());
        }
        match (&pending.effect, result) {
            (Effect::CreateRefund(create), EffectResult::RefundMade { refund, state }) => {
                self.drop_effect(id);
                self.refund_made(turn, create.refund, (refund, *state));
            }
            (Effect::CreateTransfer(create), EffectResult::TransferMade { transfer }) => {
                self.drop_effect(id);
                self.transfer_made(turn, create.order, transfer);
            }
            (Effect::ReverseTransfer(reverse), EffectResult::ReversalMade { amount, .. }) => {
                if amount.currency() != reverse.amount.currency() {
                    return Err(wrong_kind());
                }
                self.drop_effect(id);
                self.reversal_made(turn, (reverse, id), *amount);
            }
            (Effect::CreateConnectedAccount { user }, EffectResult::AccountMade { account }) => {
                self.drop_effect(id);
                self.account_made(turn, *user, account);
            }
            (Effect::ReadCharge { order, .. }, EffectResult::ChargeRead { charge, balance }) => {
                self.drop_effect(id);
                self.charge_read(turn, *order, charge, balance);
            }
            (effect, EffectResult::Refused { code }) if effect.moves_money() => {
                self.refuse_effect(turn, &pending, code);
            }
            (effect, EffectResult::Lost { code }) if effect.moves_money() => {
                self.bury(turn, &pending, code, false);
            }
            (
                _,
                EffectResult::RefundMade { .. }
                | EffectResult::TransferMade { .. }
                | EffectResult::ReversalMade { .. }
                | EffectResult::AccountMade { .. }
                | EffectResult::ChargeRead { .. }
                | EffectResult::Refused { .. }
                | EffectResult::Lost { .. },
            ) => return Err(wrong_kind()),
        }
        Ok(Accepted::Done)
    }

    fn refuse_effect(&mut self, turn: &mut Turn, pending: &PendingEffect, code: &str) {
        match &pending.effect {
            Effect::CreateRefund(create) => self.refund_refused(create.refund, pending.id, code),
            Effect::CreateTransfer(create) => {
                self.transfer_refused(create.order, pending.id, code);
            }
            Effect::ReverseTransfer(reverse) => {
                // Nothing comes back: it stays a debt, and the buyer's refund goes on.
                self.drop_effect(pending.id);
                self.reversal_made(turn, (reverse, pending.id), reverse.amount.none());
                return;
            }
            Effect::CreateConnectedAccount { .. }
            | Effect::ReadCharge { .. }
            | Effect::SendCode { .. }
            | Effect::OpenCheckout(_)
            | Effect::ExpireCheckout { .. }
            | Effect::CheckStory(_)
            | Effect::Notify(_) => {}
        }
        self.bury(turn, pending, code, true);
    }

    /// Takes an effect out of the outbox and keeps it where finance sees it.
    fn bury(&mut self, turn: &Turn, pending: &PendingEffect, code: &str, is_certain: bool) {
        self.drop_effect(pending.id);
        let letter = DeadLetter {
            pending: pending.clone(),
            code: code.to_owned(),
            failed_at: turn.at,
            is_certain,
        };
        self.treasury.dead.insert(pending.id, letter);
        while self.treasury.dead.len() > limits::DEAD_LETTERS_MAX {
            self.treasury.dead.pop_first();
        }
    }

    /// Has a dead letter tried again.
    pub(super) fn replay(&mut self, turn: &mut Turn, id: EffectId) -> Answer {
        let letter = self.treasury.dead.get(&id).cloned().ok_or_else(|| missing("dead letter"))?;
        if !letter.is_certain {
            self.treasury.dead.remove(&id);
            self.put_back(turn, letter.pending);
            return Ok(Accepted::Done);
        }
        match &letter.pending.effect {
            Effect::CreateRefund(create) => {
                self.treasury.dead.remove(&id);
                self.send_refund(turn, create.refund);
            }
            Effect::CreateTransfer(create) => return self.retry_payout(turn, create.order),
            Effect::ReverseTransfer(_)
            | Effect::CreateConnectedAccount { .. }
            | Effect::ReadCharge { .. }
            | Effect::SendCode { .. }
            | Effect::OpenCheckout(_)
            | Effect::ExpireCheckout { .. }
            | Effect::CheckStory(_)
            | Effect::Notify(_) => {
                self.treasury.dead.remove(&id);
                self.add_effect(turn, letter.pending.effect.clone(), None);
            }
        }
        Ok(Accepted::Done)
    }
}
