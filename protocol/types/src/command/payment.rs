//! Commands about payments and effects.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::{Digest, EffectId, OrderId, SaleLockId};
use crate::money::Money;
use crate::time::Timestamp;
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about payments and effects.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum PaymentCommand {
    /// The buyer asks for a checkout session.
    StartCheckout(StartCheckout),
    /// The effect runner opened the session.
    CheckoutOpened(CheckoutOpened),
    /// The provider refused to open it.
    CheckoutRefused {
        /// The effect.
        effect: EffectId,
        /// The lock.
        lock: SaleLockId,
        /// Which attempt.
        attempt: u32,
        /// Why, without anything private.
        reason: String,
    },
    /// The provider was asked to end a session and said how it stands.
    CheckoutEnded {
        /// The effect.
        effect: EffectId,
        /// The lock.
        lock: SaleLockId,
        /// Which attempt.
        attempt: u32,
        /// How it stands.
        end: CheckoutEnd,
    },
    /// A verified webhook of the payment provider.
    RecordProviderEvent(ProviderEvent),
    /// An effect happened, or never will.
    CompleteEffect {
        /// The effect.
        effect: EffectId,
        /// Whether it happened.
        outcome: EffectOutcome,
    },
}

/// See [`PaymentCommand::StartCheckout`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct StartCheckout {
    /// The lock.
    pub lock: SaleLockId,
    /// Where the buyer comes back to.
    pub return_url: String,
    /// Where the buyer comes back to without paying.
    pub cancel_url: String,
}

/// See [`PaymentCommand::CheckoutOpened`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CheckoutOpened {
    /// The effect.
    pub effect: EffectId,
    /// The lock.
    pub lock: SaleLockId,
    /// Which attempt.
    pub attempt: u32,
    /// The provider's id of the session.
    pub checkout_session: String,
    /// Where the buyer pays.
    pub url: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// How a session stands that was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum CheckoutEnd {
    /// It cannot be paid any more.
    Ended,
    /// It was paid before; the payment is told by an event of its own.
    Paid,
}

/// What a provider's event says about a checkout session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ProviderEventKind {
    /// The session was paid.
    CheckoutPaid,
    /// The session ended without payment.
    CheckoutExpired,
    /// An attempt failed; the session is still open.
    PaymentFailed,
    /// Anything else: kept, not interpreted.
    Other,
}

/// See [`PaymentCommand::RecordProviderEvent`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ProviderEvent {
    /// The provider's id of the event; processed once.
    pub event: String,
    /// What it says.
    pub kind: ProviderEventKind,
    /// When the provider made it.
    pub created: Timestamp,
    /// The sale lock it names, by reference or metadata.
    pub lock: Option<SaleLockId>,
    /// The provider's id of the session.
    pub checkout_session: Option<String>,
    /// The provider's id of the payment.
    pub payment: Option<String>,
    /// What was paid.
    pub amount: Option<Money>,
    /// Hash of the raw bytes.
    pub raw: Digest,
    /// Id that the order gets if this event makes one.
    pub new_order: OrderId,
}

/// How an effect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum EffectOutcome {
    /// It happened.
    Happened,
    /// It cannot be known whether it happened; it is not repeated.
    Unknown,
    /// It will not happen.
    Abandoned,
}
