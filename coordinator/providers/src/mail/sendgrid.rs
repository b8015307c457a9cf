//! Mail by SendGrid's v3 API: `POST /v3/mail/send`, 202 with `X-Message-Id`.
//!
//! Tracking is switched off: our mails carry no links to follow and no picture to load.

use fairground_runtime::config::Secret;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;

use super::{Accepted, Mail, Sender};
use crate::error::ProviderError;
use crate::http::{self, Answer, Waits};

const PROVIDER: &str = "SendGrid";
const BASE: &str = "https://api.sendgrid.com";
const WAITS: Waits = Waits::secs(3, 15);

/// How a refusal begins that speaks of the address alone.
const ADDRESS_CODE: &str = "400 personalizations.0.to";

/// How SendGrid is reached.
#[derive(Debug, Clone)]
pub struct SendGridOptions {
    /// Base URL; `https://api.sendgrid.com` when absent.
    pub base_url: Option<String>,
    /// The key.
    pub key: Secret,
    /// Sender of every mail.
    pub from: String,
    /// The right half of a message's id: the cluster's name.
    pub domain: String,
}

#[derive(Debug)]
pub(super) struct SendGrid {
    client: Client,
    url: String,
    key: Secret,
    sender: Sender,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    field: Option<String>,
}

impl SendGrid {
    pub(super) fn new(options: SendGridOptions) -> Result<Self, ProviderError> {
        let url = format!("{}/v3/mail/send", http::base(options.base_url.as_deref(), BASE));
        let sender = Sender::new(PROVIDER, &options.from, &options.domain)?;
        Ok(Self { client: http::client(PROVIDER, WAITS)?, url, key: options.key, sender })
    }

    pub(super) async fn send(&self, mail: &Mail<'_>) -> Result<Accepted, ProviderError> {
        let mut from = json!({"email": self.sender.from.email.to_string()});
        if let Some(name) = &self.sender.from.name {
            from["name"] = name.as_str().into();
        }
        let body = json!({
            "personalizations": [{
                "to": [{"email": mail.to}],
                "custom_args": {"op_id": mail.id},
                "headers": {"Message-ID": self.sender.message_id(mail.id)},
            }],
            "from": from,
            "subject": mail.subject,
            "content": [{"type": "text/plain", "value": mail.text}],
            "tracking_settings": {
                "click_tracking": {"enable": false},
                "open_tracking": {"enable": false},
            },
        });
        let request = self.client.post(&self.url).bearer_auth(self.key.expose().trim()).json(&body);
        let answer = http::send(PROVIDER, request).await?;
        match answer.status {
            202 | 200 => Ok(Accepted { id: answer.header("x-message-id").map(str::to_owned) }),
            401 | 403 => Err(answer.misconfigured(answer.status.to_string())),
            429 | 500..=599 => Err(answer.later("")),
            status => {
                let code = code(&answer, status);
                if code.starts_with(ADDRESS_CODE) {
                    return Err(ProviderError::Gone { provider: PROVIDER, code, since: None });
                }
                Err(answer.refused(code))
            }
        }
    }
}

/// The field at fault; the message may repeat an address.
fn code(answer: &Answer, status: u16) -> String {
    let errors = answer.json::<Errors>().map(|body| body.errors).unwrap_or_default();
    let field = errors.into_iter().find_map(|error| error.field);
    field.map_or_else(|| status.to_string(), |field| format!("{status} {field}"))
}
