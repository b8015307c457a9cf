//! Stripe: hosted checkout, refunds, transfers, makers' accounts, look-ups, the check of webhooks.
//!
//! Requests and answers are async-stripe's types; the transport, the retries and the webhook check
//! are ours, because a payment must be repeated with the caller's idempotency key and because one
//! odd field must not hide a paid event. This crate must not know the log, the outbox or an order:
//! it makes one call when it is told to. Read next: [`Stripe`], then [`webhook`], then
//! `docs/src/operate/payments.md`.
//!
//! ```text
//! effect runner --OpenCheckout, key--> Stripe --same key, same bytes, up to 4 times--> Stripe's API
//! admin API <----- ProviderEvent ----- webhook::verify <------- signed raw bytes ------ Stripe
//! ```

mod checkout;
mod client;
mod error;
mod money;
mod retry;
pub mod webhook;

pub use checkout::{CheckoutSession, CheckoutStatus, OpenCheckout, OpenedCheckout, PaymentStatus};
pub use client::{API_VERSION, DEFAULT_BASE_URL, Stripe, StripeOptions};
pub use error::StripeError;
pub use money::{
    AccountReadiness, ChargeRecord, DisputeShown, NewAccount, NewRefund, NewTransfer, RefundShown,
    RefundStatus,
};
pub use webhook::{EventObject, PaymentIntent, ProviderEvent, WebhookError};
