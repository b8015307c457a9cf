//! Mail: one plain text to one address, by a relay (SMTP) or by SendGrid or Postmark.
//!
//! The message's id goes along, so that a relay or a reader can tell a repetition. It must not know
//! what a mail says. Read next: `smtp.rs`, `sendgrid.rs`, `postmark.rs`.

mod events;
mod postmark;
mod sendgrid;
mod smtp;

use lettre::message::Mailbox;

use crate::call::{Guard, Policy, Ports};
use crate::error::ProviderError;
pub use events::{DeadAddress, MailEventError, Shown, postmark_events, sendgrid_events};
use postmark::Postmark;
pub use postmark::PostmarkOptions;
use sendgrid::SendGrid;
pub use sendgrid::SendGridOptions;
use smtp::Smtp;
pub use smtp::SmtpOptions;

/// A mail.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// What tells a repetition: the effect's id.
    pub id: &'a str,
    /// To whom.
    pub to: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The plain text.
    pub text: &'a str,
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id of it, if it gave one.
    pub id: Option<String>,
}

/// Sends mail.
#[derive(Debug)]
pub struct Mailer {
    outlet: Outlet,
    guard: Guard,
}

#[derive(Debug)]
enum Outlet {
    Smtp(Box<Smtp>),
    SendGrid(SendGrid),
    Postmark(Postmark),
}

/// From whom, and the right half of a message's id.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    from: Mailbox,
    domain: String,
}

impl Sender {
    fn new(provider: &'static str, from: &str, domain: &str) -> Result<Self, ProviderError> {
        let wrong = |_| ProviderError::Misconfigured { provider, code: "sender".to_owned() };
        Ok(Self { from: from.parse().map_err(wrong)?, domain: domain.to_owned() })
    }

    fn message_id(&self, id: &str) -> String {
        format!("<{id}@{}.fairground>", self.domain)
    }
}

impl Mailer {
    /// Mail by a relay.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`].
    pub fn smtp(options: SmtpOptions, ports: Ports) -> Result<Self, ProviderError> {
        let outlet = Outlet::Smtp(Box::new(Smtp::new(options)?));
        Ok(Self { outlet, guard: Guard::new("the mail relay", Policy::default(), ports) })
    }

    /// Mail by SendGrid's v3 API.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`].
    pub fn sendgrid(options: SendGridOptions, ports: Ports) -> Result<Self, ProviderError> {
        let outlet = Outlet::SendGrid(SendGrid::new(options)?);
        Ok(Self { outlet, guard: Guard::new("SendGrid", Policy::default(), ports) })
    }

    /// Mail by Postmark.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`].
    pub fn postmark(options: PostmarkOptions, ports: Ports) -> Result<Self, ProviderError> {
        let outlet = Outlet::Postmark(Postmark::new(options)?);
        Ok(Self { outlet, guard: Guard::new("Postmark", Policy::default(), ports) })
    }

    /// Sends one mail.
    ///
    /// # Errors
    /// See [`ProviderError`]: `Gone` says that the address takes no mail any more.
    pub async fn send(&self, mail: &Mail<'_>) -> Result<Accepted, ProviderError> {
        self.guard
            .call(|_| async {
                match &self.outlet {
                    Outlet::Smtp(smtp) => smtp.send(mail).await,
                    Outlet::SendGrid(sendgrid) => sendgrid.send(mail).await,
                    Outlet::Postmark(postmark) => postmark.send(mail).await,
                }
            })
            .await
    }
}
