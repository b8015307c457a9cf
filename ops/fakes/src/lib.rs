//! Stand-ins for what Fairground talks to outside: Stripe, mail, SMS, push, sign-in.
//!
//! They speak the real wire formats on loopback, remember what they were sent within fixed bounds,
//! and misbehave on request, so that the demo and the tests run the product unchanged: only a base
//! address differs. They must not know the market, and never leave loopback. Read next: [`Fakes`],
//! then [`stripe`], [`inbox`] and [`outside`].
//!
//! ```text
//!             +---------------- fakes, one process, loopback ----------------+
//! coordinator | /v1/...      Stripe's API      /_control/...  faults, calls  | tests
//!     ^       | /pay/{id}    hosted page                                     | browser
//!     +-------| webhooks, signed, repeated                                   |
//! coordinator | /sendgrid /postmark /fcm /google /apple; APNs over HTTP/2    | tests
//! coordinator | SMTP, Twilio-shaped SMS        /  /mail  /sms   the inbox    | tests, browser
//!             +--------------------------------------------------------------+
//! ```

mod clock;
mod contract;
mod error;
mod form;
mod html;
mod ids;
pub mod inbox;
pub mod outside;
mod serve;
mod start;
pub mod stripe;

pub use contract::{Contract, ContractError};
pub use error::FakesError;
pub use inbox::{Mail, Sms};
pub use outside::{Fault, IdToken, Outside, OutsideCall, Part};
pub use start::{Fakes, FakesHandle, FakesOptions};
pub use stripe::{CallRecord, DeliveryRecord, Faults};
