//! Text messages over Twilio's Messages resource: one form, basic authentication, 201.
//!
//! The API knows no idempotency key, so a message that may have left is never sent again. It must not
//! know what a message says.

use std::time::Duration;

use fairground_runtime::config::Secret;
use reqwest::Client;
use serde::Deserialize;

use crate::call::{Guard, Policy, Ports, Repeat};
use crate::error::ProviderError;
use crate::http::{self, Waits};
use crate::mail::Accepted;

const PROVIDER: &str = "the SMS gateway";
const BASE: &str = "https://api.twilio.com";
const WAITS: Waits = Waits::secs(2, 5);
/// What the gateway takes as `ValidityPeriod`.
const VALIDITY_MAX: Duration = Duration::from_secs(36_000);

/// How the gateway is reached.
#[derive(Debug, Clone)]
pub struct TexterOptions {
    /// Base URL; `https://api.twilio.com` when absent.
    pub base_url: Option<String>,
    /// The account (`AC...`).
    pub account: String,
    /// Its token.
    pub token: Secret,
    /// The sender: a number, or a messaging service (`MG...`).
    pub from: String,
}

/// A text message.
#[derive(Debug, Clone, Copy)]
pub struct TextMessage<'a> {
    /// To whom, E.164.
    pub to: &'a str,
    /// The text.
    pub text: &'a str,
    /// After this it need not be delivered any more.
    pub validity: Option<Duration>,
}

/// Sends text messages.
#[derive(Debug)]
pub struct Texter {
    client: Client,
    url: String,
    options: TexterOptions,
    guard: Guard,
}

#[derive(Deserialize)]
struct Sent {
    sid: String,
}

#[derive(Deserialize)]
struct Problem {
    code: u32,
}

impl Texter {
    /// A texter.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`].
    pub fn new(options: TexterOptions, ports: Ports) -> Result<Self, ProviderError> {
        let url = format!(
            "{}/2010-04-01/Accounts/{}/Messages.json",
            http::base(options.base_url.as_deref(), BASE),
            options.account
        );
        let policy = Policy { repeat: Repeat::Unsent, ..Policy::default() };
        let guard = Guard::new(PROVIDER, policy, ports);
        Ok(Self { client: http::client(PROVIDER, WAITS)?, url, options, guard })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// See [`ProviderError`]; after [`ProviderError::Unsettled`] it may have been sent.
    pub async fn send(&self, message: &TextMessage<'_>) -> Result<Accepted, ProviderError> {
        self.guard.call(|_| self.send_once(message)).await
    }

    async fn send_once(&self, message: &TextMessage<'_>) -> Result<Accepted, ProviderError> {
        let is_service = self.options.from.starts_with("MG");
        let sender = if is_service { "MessagingServiceSid" } else { "From" };
        let mut form = vec![
            ("To", message.to.to_owned()),
            (sender, self.options.from.clone()),
            ("Body", message.text.to_owned()),
        ];
        if let Some(validity) = message.validity {
            let seconds = validity.clamp(Duration::from_secs(1), VALIDITY_MAX).as_secs();
            form.push(("ValidityPeriod", seconds.to_string()));
        }
        let token = self.options.token.expose().trim();
        let request =
            self.client.post(&self.url).basic_auth(&self.options.account, Some(token)).form(&form);
        let answer = http::send(PROVIDER, request).await?;
        let code = || match answer.json::<Problem>() {
            Ok(problem) => problem.code.to_string(),
            Err(_) => answer.status.to_string(),
        };
        match answer.status {
            // It was taken, also when what it answered cannot be read: never send it again.
            200..=299 => Ok(Accepted { id: answer.json::<Sent>().ok().map(|sent| sent.sid) }),
            401 => Err(answer.misconfigured(code())),
            429 | 503 => Err(answer.later(code())),
            500..=599 => Err(ProviderError::Unsettled {
                provider: PROVIDER,
                status: Some(answer.status),
                source: None,
            }),
            _ => Err(answer.refused(code())),
        }
    }
}
