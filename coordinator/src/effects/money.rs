//! Refunds, transfers, reversals, makers' accounts and the provider's books.
//!
//! ```text
//!  key    v1:{cluster}:{effect}      the same effect is the same thing abroad
//!  answer -> ReportEffect    refused -> Refused    no answer -> again later, same key
//! ```
//! Once a key may be forgotten abroad, what was made is looked for before it is made again. After
//! the last try the effect is reported lost: finance sees it. Read next: `checkout.rs`.

use fairground_market::{CreateRefund, CreateTransfer, PendingEffect, ReverseTransfer};
use fairground_types::UserId;
use fairground_types::command::{Command, EffectResult, FinanceCommand};

use super::{Carried, Payments};
use crate::member::Member;

/// Tries after which an effect whose outcome is not known is handed to finance: about a day.
#[cfg(feature = "stripe")]
const TRIES_MAX: u32 = 1_500;

fn report(pending: &PendingEffect, result: EffectResult) -> Carried {
    let effect = pending.id;
    Carried::Report(Command::Finance(FinanceCommand::ReportEffect { effect, result }))
}

fn off(pending: &PendingEffect) -> Carried {
    report(pending, EffectResult::Refused { code: "payments_off".to_owned() })
}

#[cfg(not(feature = "stripe"))]
impl Payments {
    pub(super) async fn refund(
        &self,
        _: &Member,
        (pending, _): (&PendingEffect, u32),
        _: &CreateRefund,
    ) -> Carried {
        off(pending)
    }

    pub(super) async fn transfer(
        &self,
        _: &Member,
        (pending, _): (&PendingEffect, u32),
        _: &CreateTransfer,
    ) -> Carried {
        off(pending)
    }

    pub(super) async fn reverse(
        &self,
        _: &Member,
        (pending, _): (&PendingEffect, u32),
        _: &ReverseTransfer,
    ) -> Carried {
        off(pending)
    }

    pub(super) async fn make_account(
        &self,
        _: &Member,
        (pending, _): (&PendingEffect, u32),
        _: UserId,
    ) -> Carried {
        off(pending)
    }

    pub(super) async fn read_charge(
        &self,
        _: &Member,
        (pending, _): (&PendingEffect, u32),
        _: &str,
    ) -> Carried {
        off(pending)
    }
}

#[cfg(feature = "stripe")]
mod stripe {
    use std::time::Duration;

    use fairground_stripe::{
        NewAccount, NewRefund, NewTransfer, RefundShown, RefundStatus, StripeError,
    };
    use fairground_types::Money;
    use fairground_types::command::{BalanceRecord, ProviderRefundState};

    use super::*;
    use crate::auth;
    use crate::effects::checkout::{KEY_LIFE, again};

    /// How long the provider's books are waited for before they are asked again.
    const BOOKS_WAIT: Duration = Duration::from_secs(2);

    fn key(member: &Member, pending: &PendingEffect) -> String {
        format!("v1:{}:{}", member.cluster, pending.id)
    }

    /// Whether the key may be forgotten abroad, so that repeating alone is not safe.
    fn is_old(member: &Member, pending: &PendingEffect) -> bool {
        member.now().since(pending.at) > KEY_LIFE
    }

    fn failed((pending, tries): (&PendingEffect, u32), error: &StripeError) -> Carried {
        let kind = pending.effect.kind();
        match error {
            StripeError::Refused { code, .. } => {
                tracing::error!(effect = %pending.id, kind, code, "refused by the provider");
                report(pending, EffectResult::Refused { code: code.clone() })
            }
            StripeError::Unreadable { reason } => {
                tracing::error!(effect = %pending.id, kind, reason, "an answer that is not read");
                report(pending, EffectResult::Lost { code: "unreadable".to_owned() })
            }
            error if tries >= TRIES_MAX => {
                tracing::error!(effect = %pending.id, kind, %error, "given up");
                report(pending, EffectResult::Lost { code: "no_answer".to_owned() })
            }
            error => {
                tracing::warn!(effect = %pending.id, kind, %error, "not done yet");
                Carried::Later(again(error))
            }
        }
    }

    pub(crate) const fn state_of(status: RefundStatus) -> ProviderRefundState {
        match status {
            RefundStatus::Pending => ProviderRefundState::Pending,
            RefundStatus::Succeeded => ProviderRefundState::Succeeded,
            RefundStatus::Failed => ProviderRefundState::Failed,
            RefundStatus::Cancelled => ProviderRefundState::Cancelled,
        }
    }

    fn made(shown: RefundShown) -> EffectResult {
        EffectResult::RefundMade { refund: shown.id, state: state_of(shown.status) }
    }

    impl Payments {
        /// Gives a payment or a part of it back.
        pub(in crate::effects) async fn refund(
            &self,
            member: &Member,
            (pending, tries): (&PendingEffect, u32),
            create: &CreateRefund,
        ) -> Carried {
            let Some(stripe) = self.stripe() else { return off(pending) };
            let work = async {
                if is_old(member, pending)
                    && let Some(found) = stripe.find_refund(&create.payment, pending.id).await?
                {
                    return Ok(made(found));
                }
                let new = NewRefund {
                    payment: create.payment.clone(),
                    amount: create.amount,
                    refund: create.refund,
                    effect: pending.id,
                    cluster: member.cluster,
                };
                stripe.create_refund(&new, &key(member, pending)).await.map(made)
            };
            match work.await {
                Ok(result) => report(pending, result),
                Err(error) => failed((pending, tries), &error),
            }
        }

        /// Sends a share to its maker.
        pub(in crate::effects) async fn transfer(
            &self,
            member: &Member,
            (pending, tries): (&PendingEffect, u32),
            create: &CreateTransfer,
        ) -> Carried {
            let Some(stripe) = self.stripe() else { return off(pending) };
            let group = create.lock.to_string();
            let work = async {
                if is_old(member, pending)
                    && let Some(transfer) = stripe.find_transfer(&group, pending.id).await?
                {
                    return Ok(Some(transfer));
                }
                let charge = match &create.charge {
                    Some(charge) => charge.clone(),
                    None => match stripe.charge_of(&create.payment).await? {
                        Some(record) => record.charge,
                        None => return Ok(None),
                    },
                };
                let new = NewTransfer {
                    account: create.account.clone(),
                    amount: create.amount,
                    charge,
                    group: group.clone(),
                    effect: pending.id,
                    cluster: member.cluster,
                };
                stripe.create_transfer(&new, &key(member, pending)).await.map(Some)
            };
            match work.await {
                Ok(Some(transfer)) => report(pending, EffectResult::TransferMade { transfer }),
                Ok(None) => Carried::Later(BOOKS_WAIT),
                Err(error) => failed((pending, tries), &error),
            }
        }

        /// Takes a transfer back, as far as the maker's balance goes.
        pub(in crate::effects) async fn reverse(
            &self,
            member: &Member,
            (pending, tries): (&PendingEffect, u32),
            back: &ReverseTransfer,
        ) -> Carried {
            let Some(stripe) = self.stripe() else { return off(pending) };
            let currency = back.amount.currency();
            let work = async {
                // A part that was taken changes the balance: what was made comes first, always.
                let found = stripe.find_reversal(&back.transfer, pending.id).await?;
                if let Some((reversal, minor)) = found {
                    return Ok((Some(reversal), Money::new(minor, currency)));
                }
                let has = stripe.balance_of(&back.account, currency).await?;
                let amount = back.amount.at_most(has);
                if amount.is_zero() {
                    return Ok((None, amount));
                }
                // The amount is in the key: another balance is another request.
                let key = format!("{}:{}", key(member, pending), amount.minor());
                let asked = (back.transfer.as_str(), amount);
                let reversal = stripe.reverse_transfer(asked, pending.id, &key).await?;
                Ok((Some(reversal), amount))
            };
            match work.await {
                Ok((reversal, amount)) => {
                    report(pending, EffectResult::ReversalMade { reversal, amount })
                }
                Err(error) => failed((pending, tries), &error),
            }
        }

        /// Makes a maker's account.
        pub(in crate::effects) async fn make_account(
            &self,
            member: &Member,
            (pending, tries): (&PendingEffect, u32),
            user: UserId,
        ) -> Carried {
            let Some(stripe) = self.stripe() else { return off(pending) };
            let maker = member.state.read(|market| {
                let account = market.account(user)?;
                let (identifier, contact) = (account.identifier(), account.contact());
                let email = auth::open_contact(&member.secrets, identifier, contact)?;
                let name = account.handle().map_or_else(|| user.to_string(), ToString::to_string);
                Some((email, name))
            });
            let Some((email, display_name)) = maker else {
                let code = "no_contact".to_owned();
                return report(pending, EffectResult::Refused { code });
            };
            let new = NewAccount {
                user,
                cluster: member.cluster,
                display_name,
                email,
                country: self.country().to_owned(),
            };
            match stripe.create_account(&new, &key(member, pending)).await {
                Ok(account) => report(pending, EffectResult::AccountMade { account }),
                Err(error) => failed((pending, tries), &error),
            }
        }

        /// Reads what the provider kept of a payment, once it is booked.
        pub(in crate::effects) async fn read_charge(
            &self,
            member: &Member,
            (pending, tries): (&PendingEffect, u32),
            payment: &str,
        ) -> Carried {
            let Some(stripe) = self.stripe() else { return off(pending) };
            match stripe.charge_of(payment).await {
                Ok(Some(found)) => {
                    let balance = BalanceRecord {
                        record: found.record,
                        fee: found.fee,
                        gross: found.gross,
                        available_at: member.inside(found.available_at),
                    };
                    let charge = found.charge;
                    report(pending, EffectResult::ChargeRead { charge, balance })
                }
                Ok(None) if tries < TRIES_MAX => Carried::Later(BOOKS_WAIT),
                Ok(None) => report(pending, EffectResult::Lost { code: "not_booked".to_owned() }),
                Err(error) => failed((pending, tries), &error),
            }
        }
    }
}

#[cfg(feature = "stripe")]
pub(crate) use self::stripe::state_of;
