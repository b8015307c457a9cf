//! Verbs about money: duties, payout accounts, refunds, transfers, chargebacks, holds, windows.
//!
//! ```text
//!  duty f finance            account m            made m            ready m | closed m
//!  read A EUR 3.20           propose A f EUR 20.00  approve|reject|again|cancelled A f
//!  refunded A succeeded      told-refund A EUR 20.00 failed    unrefunded A
//!  sent A | unsent A         reversed A EUR 60.00   retry A f   hold A f   unhold A f   warn A
//!  dispute A EUR 100.00 open|inquiry|closed|won|lost
//!  extend A 1h   terminate A   resolve A f accept|refund EVENT   replay f
//! ```
//! Everything is about the order, lock or newest refund of the auction named. Read next: the parent.

use fairground_types::command::{
    AccountCommand, Actor, BalanceRecord, Command, EffectResult, FinanceCommand, HoldDecision,
    ProviderAccountState, ProviderDisputeState, ProviderObject, ProviderObjectEvent,
    ProviderRefundState, RefundDecision, WindowChange,
};
use fairground_types::text::Note;
use fairground_types::{
    Digest, EffectId, Millis, Money, OrderId, RefundId, Role, SaleLockId, Timestamp,
};

use super::{Words, World, auction_named, order_of, person};
use crate::Effect;
use crate::script::notation::parse_length;

fn reason() -> Result<Note, String> {
    Note::parse("as agreed").map_err(|why| why.to_string())
}

impl World {
    /// A line about money; none when the verb is another's.
    pub(super) fn read_money(
        &self,
        verb: &str,
        words: &mut Words<'_>,
        at: Timestamp,
    ) -> Result<Option<(Actor, Command)>, String> {
        let command = match verb {
            "duty" => {
                let user = person(words.next("person")?)?;
                let role = match words.next("role")? {
                    "finance" => Role::Finance,
                    "support" => Role::Support,
                    "admin" => Role::Admin,
                    other => return Err(format!("role {other}")),
                };
                let grant = Command::Account(AccountCommand::GrantRole { user, role });
                return Ok(Some((Actor::Cluster, grant)));
            }
            "account" => {
                let user = person(words.next("person")?)?;
                let open = Command::Finance(FinanceCommand::OpenPayoutAccount);
                return Ok(Some((Actor::User(user), open)));
            }
            "made" => {
                let name = words.next("person")?;
                let account = format!("acct_{name}");
                let effect =
                    self.waiting(|effect| matches!(effect, Effect::CreateConnectedAccount { .. }));
                report(effect, EffectResult::AccountMade { account })
            }
            "ready" | "closed" => {
                let name = words.next("person")?;
                let state = if verb == "ready" {
                    ProviderAccountState::Ready
                } else {
                    ProviderAccountState::Closed
                };
                let account = format!("acct_{name}");
                self.object(
                    at,
                    ProviderObject::Account { account, user: Some(person(name)?), state },
                )
            }
            "read" | "sent" | "unsent" | "reversed" | "refunded" | "unrefunded" | "lost" => {
                self.read_report(verb, words, at)?
            }
            "told-refund" | "dispute" | "warn" => self.read_object(verb, words, at)?,
            "extend" | "terminate" => {
                let lock = self.lock_in(words.next("auction")?)?;
                let change = if verb == "extend" {
                    WindowChange::Extend { by: parse_length(words.next("length")?)? }
                } else {
                    WindowChange::Terminate
                };
                FinanceCommand::OverrideWindow { lock, change, reason: reason()? }
            }
            "propose" | "approve" | "reject" | "again" | "cancelled" | "retry" | "hold"
            | "unhold" | "resolve" | "replay" => return self.read_decision(verb, words).map(Some),
            _ => return Ok(None),
        };
        Ok(Some((Actor::Cluster, Command::Finance(command))))
    }

    fn read_decision(&self, verb: &str, words: &mut Words<'_>) -> Result<(Actor, Command), String> {
        if verb == "replay" {
            let who = Actor::User(person(words.next("person")?)?);
            let effect = self.market.dead_letters().next().map(|letter| letter.pending().id);
            let effect = effect.unwrap_or(EffectId::from_bits(0));
            let replay = FinanceCommand::ReplayEffect { effect, reason: reason()? };
            return Ok((who, Command::Finance(replay)));
        }
        let name = words.next("auction")?;
        let order = order_of(name)?;
        let who = Actor::User(person(words.next("person")?)?);
        let reason = reason()?;
        let decide = |decision| {
            let refund = self.newest_refund(order);
            FinanceCommand::DecideRefund { refund, decision, reason: reason.clone() }
        };
        let command = match verb {
            "propose" => {
                let amount = words.money()?;
                FinanceCommand::ProposeRefund { order, amount, reason }
            }
            "approve" => decide(RefundDecision::Approve),
            "reject" => decide(RefundDecision::Reject),
            "again" => decide(RefundDecision::Retry),
            "cancelled" => decide(RefundDecision::Cancel),
            "retry" => FinanceCommand::RetryPayout { order, reason },
            "hold" => FinanceCommand::HoldPayout { order, reason },
            "unhold" => FinanceCommand::UnholdPayout { order, reason },
            _ => {
                let lock = self.lock_in(name)?;
                let decision = match words.next("decision")? {
                    "accept" => HoldDecision::Accept,
                    _ => HoldDecision::Refund,
                };
                let event = words.next("event")?.to_owned();
                FinanceCommand::ResolveHold { lock, event, decision, new_order: order, reason }
            }
        };
        Ok((who, Command::Finance(command)))
    }

    /// What came of the oldest effect of a kind.
    fn read_report(
        &self,
        verb: &str,
        words: &mut Words<'_>,
        at: Timestamp,
    ) -> Result<FinanceCommand, String> {
        let name = words.next("auction")?;
        let nth = self.log.len();
        let (is_meant, result): (fn(&Effect) -> bool, EffectResult) = match verb {
            "read" => {
                let fee = words.money()?;
                let gross = self.charge_in(name)?;
                let balance = BalanceRecord {
                    record: format!("txn_{nth}"),
                    fee,
                    gross,
                    available_at: at.plus(Millis::from_hours(1)),
                };
                let charge = format!("ch_{name}");
                let read = EffectResult::ChargeRead { charge, balance };
                (|effect| matches!(effect, Effect::ReadCharge { .. }), read)
            }
            "sent" => {
                let transfer = format!("tr_{nth}");
                (is_transfer, EffectResult::TransferMade { transfer })
            }
            "unsent" => {
                (is_transfer, EffectResult::Refused { code: "balance_insufficient".to_owned() })
            }
            "reversed" => {
                let amount = words.money()?;
                let reversal = Some(format!("trr_{nth}"));
                let made = EffectResult::ReversalMade { reversal, amount };
                (|effect| matches!(effect, Effect::ReverseTransfer(_)), made)
            }
            "refunded" => {
                let state = refund_state(words.next("state")?)?;
                let refund = format!("re_{name}_{nth}");
                (is_refund, EffectResult::RefundMade { refund, state })
            }
            "unrefunded" => (is_refund, EffectResult::Refused { code: "expired_card".to_owned() }),
            _ => (is_refund, EffectResult::Lost { code: "no_answer".to_owned() }),
        };
        Ok(report(self.waiting(is_meant), result))
    }

    fn read_object(
        &self,
        verb: &str,
        words: &mut Words<'_>,
        at: Timestamp,
    ) -> Result<FinanceCommand, String> {
        let order = order_of(words.next("auction")?)?;
        let payment = self.market.charge(order).map(|charge| charge.payment.clone());
        let object = match verb {
            "warn" => ProviderObject::FraudWarning { payment, charge: None },
            "told-refund" => {
                let amount = Some(words.money()?);
                let state = refund_state(words.next("state")?)?;
                let known =
                    self.market.refunds().find(|row| row.refund == self.newest_refund(order));
                let provider = known.and_then(|row| row.provider.clone());
                let refund = provider.unwrap_or_else(|| "re_by_hand".to_owned());
                ProviderObject::Refund { refund, ours: None, payment, amount, state }
            }
            _ => {
                let amount = words.money()?;
                let state = match words.next("state")? {
                    "inquiry" => ProviderDisputeState::Inquiry,
                    "closed" => ProviderDisputeState::InquiryClosed,
                    "won" => ProviderDisputeState::Won,
                    "lost" => ProviderDisputeState::Lost,
                    _ => ProviderDisputeState::Open,
                };
                let fee = words.money().ok();
                ProviderObject::Dispute {
                    dispute: format!("dp_{order}"),
                    payment,
                    charge: None,
                    amount: Some(amount),
                    fee,
                    reason: "fraudulent".to_owned(),
                    due_by: None,
                    state,
                }
            }
        };
        Ok(self.object(at, object))
    }

    fn object(&self, at: Timestamp, object: ProviderObject) -> FinanceCommand {
        let event = format!("ev_object_{}", self.log.len());
        let raw = Digest::of(event.as_bytes());
        let told = ProviderObjectEvent { event, created: at, object, raw };
        FinanceCommand::RecordProviderObject(told)
    }

    fn waiting(&self, is_meant: impl Fn(&Effect) -> bool) -> EffectId {
        let found = self.market.outbox().find(|pending| is_meant(&pending.effect));
        found.map_or(EffectId::from_bits(0), |pending| pending.id)
    }

    fn lock_in(&self, auction: &str) -> Result<SaleLockId, String> {
        let row = self.market.auction(auction_named(auction)?).ok_or("no such auction")?;
        row.lock().ok_or_else(|| "the auction has no lock".to_owned())
    }

    fn charge_in(&self, auction: &str) -> Result<Money, String> {
        let charge = self.market.charge(order_of(auction)?).ok_or("no such charge")?;
        Ok(charge.amount)
    }

    fn newest_refund(&self, order: OrderId) -> RefundId {
        let charge = self.market.charge(order);
        let newest = charge.and_then(|charge| charge.refunds.last().copied());
        newest.unwrap_or(RefundId::from_bits(0))
    }
}

const fn report(effect: EffectId, result: EffectResult) -> FinanceCommand {
    FinanceCommand::ReportEffect { effect, result }
}

const fn is_transfer(effect: &Effect) -> bool {
    matches!(effect, Effect::CreateTransfer(_))
}

const fn is_refund(effect: &Effect) -> bool {
    matches!(effect, Effect::CreateRefund(_))
}

fn refund_state(word: &str) -> Result<ProviderRefundState, String> {
    match word {
        "pending" => Ok(ProviderRefundState::Pending),
        "succeeded" => Ok(ProviderRefundState::Succeeded),
        "failed" => Ok(ProviderRefundState::Failed),
        "canceled" => Ok(ProviderRefundState::Cancelled),
        _ => Err(format!("refund state {word}")),
    }
}
