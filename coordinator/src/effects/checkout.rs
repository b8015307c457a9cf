//! Checkout sessions at Stripe: opened, ended, never twice.
//!
//! ```text
//!  key    v1:{cluster}:{operation}:{lock}:{attempt}       the same attempt is the same session
//!  opened -> CheckoutOpened    refused -> CheckoutRefused    anything else -> again later, same key
//! ```
//! The outcome of a payment arrives by webhook (`http/webhook.rs`), not here. Without a key payments
//! are off and every attempt is refused.

#[cfg(feature = "stripe")]
use std::time::Duration;

use fairground_market::{OpenCheckout, PendingEffect};
use fairground_types::SaleLockId;
#[cfg(feature = "stripe")]
use fairground_types::command::{self, CheckoutEnd, ProviderEventKind};
use fairground_types::command::{Command, EffectOutcome, PaymentCommand};

use super::{Carried, complete};
use crate::error::Error;
use crate::member::Member;
use crate::options::StripeSettings;

#[cfg(feature = "stripe")]
use fairground_stripe::{
    CheckoutSession, CheckoutStatus, PaymentStatus, Stripe, StripeError, StripeOptions,
};
#[cfg(feature = "stripe")]
use fairground_types::{CommandId, Digest, Millis, OrderId};

/// Age from which a key may be forgotten at the provider, so that repeating is not safe.
#[cfg(feature = "stripe")]
pub(super) const KEY_LIFE: Millis = Millis::from_hours(20);
/// Least wait before a call is made again.
#[cfg(feature = "stripe")]
const AGAIN: Duration = Duration::from_secs(1);

/// The payment provider, when one is configured. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Payments {
    #[cfg(feature = "stripe")]
    stripe: Option<Stripe>,
    #[cfg(feature = "stripe")]
    country: String,
}

impl Payments {
    /// Payments as configured.
    #[cfg(feature = "stripe")]
    pub(crate) fn new(settings: &StripeSettings, seed: u64) -> Result<Self, Error> {
        use fairground_runtime::config::Secret;
        let Some(key) = Secret::from_option(settings.secret_key_file.as_deref())? else {
            return Ok(Self { stripe: None, country: settings.country.clone() });
        };
        let mut options = StripeOptions::new(key.expose().trim());
        if let Some(base) = &settings.base_url {
            options.base_url.clone_from(base);
        }
        options.retry_seed = seed;
        let stripe = Stripe::new(options).map_err(|error| Error::Stripe(Box::new(error)))?;
        Ok(Self { stripe: Some(stripe), country: settings.country.clone() })
    }

    /// The client, when payments are on.
    #[cfg(feature = "stripe")]
    pub(crate) const fn stripe(&self) -> Option<&Stripe> {
        self.stripe.as_ref()
    }

    /// The country that makers' accounts are made in.
    #[cfg(feature = "stripe")]
    pub(super) fn country(&self) -> &str {
        if self.country.is_empty() { "US" } else { &self.country }
    }

    /// Payments as configured: off, in this build.
    #[cfg(not(feature = "stripe"))]
    pub(crate) fn new(_: &StripeSettings, _: u64) -> Result<Self, Error> {
        Ok(Self {})
    }

    #[cfg(not(feature = "stripe"))]
    pub(super) async fn open(
        &self,
        _: &Member,
        pending: &PendingEffect,
        open: &OpenCheckout,
    ) -> Carried {
        refused(pending, open, "payments are switched off")
    }

    #[cfg(not(feature = "stripe"))]
    pub(super) async fn expire(
        &self,
        _: &Member,
        pending: &PendingEffect,
        _: (SaleLockId, u32),
        _: &str,
    ) -> Carried {
        complete(pending.id, EffectOutcome::Abandoned)
    }

    /// Opens the session of an attempt.
    #[cfg(feature = "stripe")]
    pub(super) async fn open(
        &self,
        member: &Member,
        pending: &PendingEffect,
        open: &OpenCheckout,
    ) -> Carried {
        let Some(stripe) = &self.stripe else {
            return refused(pending, open, "payments are switched off");
        };
        if member.now().since(pending.at) > KEY_LIFE {
            return complete(pending.id, EffectOutcome::Unknown);
        }
        let request = fairground_stripe::OpenCheckout {
            amount: open.amount,
            title: open.title.clone(),
            sale_lock: open.lock,
            cluster: member.cluster,
            order: None,
            success_url: open.return_url.clone(),
            cancel_url: open.cancel_url.clone(),
            requested_at: member.outside(pending.at),
            expires_at: member.outside(open.expires_at),
        };
        let key = key(member, "checkout.open", open.lock, open.attempt);
        match stripe.open_checkout(&request, &key).await {
            Ok(opened) => Carried::Report(Command::Payment(PaymentCommand::CheckoutOpened(
                command::CheckoutOpened {
                    effect: pending.id,
                    lock: open.lock,
                    attempt: open.attempt,
                    checkout_session: opened.session_id,
                    url: opened.url,
                    expires_at: member.inside(opened.expires_at),
                },
            ))),
            Err(StripeError::Refused { code, .. }) => {
                tracing::warn!(lock = %open.lock, code, "checkout refused");
                refused(pending, open, &code)
            }
            Err(StripeError::Unreadable { reason }) => {
                tracing::error!(lock = %open.lock, reason, "checkout opened in a shape not read");
                complete(pending.id, EffectOutcome::Unknown)
            }
            Err(error) => {
                tracing::warn!(lock = %open.lock, %error, "checkout not opened yet");
                Carried::Later(again(&error))
            }
        }
    }

    /// Looks a session up; nothing without a key.
    #[cfg(feature = "stripe")]
    pub(crate) async fn look_up(
        &self,
        checkout_session: &str,
    ) -> Result<Option<CheckoutSession>, StripeError> {
        match &self.stripe {
            Some(stripe) => stripe.checkout(checkout_session).await.map(Some),
            None => Ok(None),
        }
    }

    /// Ends a session that must not be paid any more.
    #[cfg(feature = "stripe")]
    pub(super) async fn expire(
        &self,
        member: &Member,
        pending: &PendingEffect,
        (lock, attempt): (SaleLockId, u32),
        checkout_session: &str,
    ) -> Carried {
        let Some(stripe) = &self.stripe else {
            return complete(pending.id, EffectOutcome::Abandoned);
        };
        let key = key(member, "checkout.expire", lock, attempt);
        match stripe.expire_checkout(checkout_session, &key).await {
            Ok(_) => ended(pending, (lock, attempt), CheckoutEnd::Ended),
            // Not open any more: paid or expired, so it is looked up.
            Err(StripeError::Refused { .. }) => match stripe.checkout(checkout_session).await {
                Ok(found) if found.status == CheckoutStatus::Complete => {
                    self.told_by_look_up(member, &found).await;
                    ended(pending, (lock, attempt), CheckoutEnd::Paid)
                }
                Ok(found) if found.status == CheckoutStatus::Open => Carried::Later(AGAIN),
                Ok(_) | Err(StripeError::Refused { .. }) => {
                    ended(pending, (lock, attempt), CheckoutEnd::Ended)
                }
                Err(error) => {
                    tracing::warn!(%lock, %error, "checkout not looked up yet");
                    Carried::Later(again(&error))
                }
            },
            Err(error) => {
                tracing::warn!(%lock, %error, "checkout not ended yet");
                Carried::Later(again(&error))
            }
        }
    }
}

#[cfg(feature = "stripe")]
fn ended(pending: &PendingEffect, (lock, attempt): (SaleLockId, u32), end: CheckoutEnd) -> Carried {
    let effect = pending.id;
    let report = PaymentCommand::CheckoutEnded { effect, lock, attempt, end };
    Carried::Report(Command::Payment(report))
}

#[cfg(feature = "stripe")]
impl Payments {
    /// A session that was found paid tells of its payment like the webhook that may be lost.
    async fn told_by_look_up(&self, member: &Member, found: &CheckoutSession) {
        if found.payment_status != PaymentStatus::Paid {
            return;
        }
        let event = format!("look_up:{}", found.session_id);
        let digest = Digest::of(event.as_bytes());
        let (half, _) = digest.as_bytes().split_at(16);
        let told = command::ProviderEvent {
            event: event.clone(),
            kind: ProviderEventKind::CheckoutPaid,
            created: member.now(),
            lock: found.sale_lock(),
            checkout_session: Some(found.session_id.clone()),
            payment: found.payment_intent.clone(),
            amount: found.total(),
            raw: digest,
            new_order: OrderId::from_bits(half.try_into().map_or(0, u128::from_be_bytes)),
        };
        let id = CommandId::derive_system("stripe", &event, "");
        let record = Command::Payment(PaymentCommand::RecordProviderEvent(told));
        if let Err(error) = member.command(id, record).await {
            // The webhook tells of it as well.
            tracing::warn!(event, %error, "a payment that was looked up is not recorded");
        }
    }
}

#[cfg(feature = "stripe")]
fn key(member: &Member, operation: &str, lock: SaleLockId, attempt: u32) -> String {
    format!("v1:{}:{operation}:{lock}:{attempt}", member.cluster)
}

#[cfg(feature = "stripe")]
pub(super) fn again(error: &StripeError) -> Duration {
    match error {
        StripeError::Unavailable { retry_after, .. } => retry_after.to_duration().max(AGAIN),
        _ => AGAIN,
    }
}

fn refused(pending: &PendingEffect, open: &OpenCheckout, reason: &str) -> Carried {
    Carried::Report(Command::Payment(PaymentCommand::CheckoutRefused {
        effect: pending.id,
        lock: open.lock,
        attempt: open.attempt,
        reason: reason.to_owned(),
    }))
}
