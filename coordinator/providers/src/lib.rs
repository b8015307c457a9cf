//! Clients for outside services other than Stripe: mail, text messages, push, sign-in.
//!
//! Each client makes one call when it is told to and sorts the answer by what the caller can do about
//! it ([`ProviderError`]). Retries, breaker and bulkhead are the same for all ([`call`]); time and
//! chance enter through [`Ports`]. The crate must not know the log, the outbox or an account, and no
//! log line of it holds a body, a code, a token, a number or an address. Read next: [`call`], then
//! [`Mailer`], [`Texter`], [`Push`], [`SignIn`].
//!
//! ```text
//! effect runner --> Mailer | Texter | Push --> Guard (places, breaker, retries) --> HTTP or SMTP
//! forward handler ---------> SignIn ---------> Guard ----------------------------> key sets
//! ```

pub mod call;
mod error;
mod http;
mod jwt;
mod mail;
mod push;
mod sign_in;
mod sms;
mod token;

pub use call::{Guard, MachineTime, Policy, Ports, Repeat, Time};
pub use error::ProviderError;
pub use jwt::{KeyError, SigningKey};
pub use mail::{
    Accepted, DeadAddress, Mail, MailEventError, Mailer, PostmarkOptions, SendGridOptions, Shown,
    SmtpOptions, postmark_events, sendgrid_events,
};
pub use push::{ApnsOptions, FcmOptions, Platform, Push, PushMessage, ServiceAccount};
pub use sign_in::{
    AppleCodes, AppleCodesOptions, AppleTokens, IssuerOptions, SignIn, SignInError, SignInProvider,
    TokenFault, VerifiedIdentity,
};
pub use sms::{TextMessage, Texter, TexterOptions};
