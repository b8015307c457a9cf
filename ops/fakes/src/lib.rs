//! Stand-ins for what Fairground talks to outside: Stripe, a mail relay, an SMS gateway.
//!
//! They speak the real wire formats on loopback, remember what they were sent within fixed bounds,
//! and misbehave on request, so that the demo and the tests run the product unchanged: only a base
//! address differs. They must not know the market, and never leave loopback. Read next: [`Fakes`],
//! then [`stripe`] and [`inbox`].
//!
//! ```text
//!             +---------------- fakes, one process, loopback ----------------+
//! coordinator | /v1/...      Stripe's API      /_control/...  faults, calls  | tests
//!     ^       | /pay/{id}    hosted page                                     | browser
//!     +-------| webhooks, signed, repeated                                   |
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
mod serve;
mod start;
pub mod stripe;

pub use contract::{Contract, ContractError};
pub use error::FakesError;
pub use inbox::{Mail, Sms};
pub use start::{Fakes, FakesHandle, FakesOptions, run_until};
pub use stripe::{CallRecord, DeliveryRecord, Faults};
