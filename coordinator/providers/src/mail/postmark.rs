//! Mail by Postmark: `POST /email`, 200 with `ErrorCode` 0 and a `MessageID`.

use fairground_runtime::config::Secret;
use reqwest::Client;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use super::{Accepted, Mail, Sender};
use crate::error::ProviderError;
use crate::http::{self, Waits};

const PROVIDER: &str = "Postmark";
const BASE: &str = "https://api.postmarkapp.com";
const WAITS: Waits = Waits::secs(3, 15);
/// Codes that speak of the account, not of the mail: token, sender signature, pending approval.
const ACCOUNT_CODES: [u32; 6] = [10, 400, 401, 405, 412, 413];

/// Codes that speak of the address: not one, or one that bounced or complained before.
const ADDRESS_CODES: [u32; 2] = [300, 406];

/// How Postmark is reached.
#[derive(Debug, Clone)]
pub struct PostmarkOptions {
    /// Base URL; `https://api.postmarkapp.com` when absent.
    pub base_url: Option<String>,
    /// The server's token.
    pub token: Secret,
    /// Sender of every mail.
    pub from: String,
    /// The right half of a message's id: the cluster's name.
    pub domain: String,
}

#[derive(Debug)]
pub(super) struct Postmark {
    client: Client,
    url: String,
    token: HeaderValue,
    sender: Sender,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Taken {
    error_code: u32,
    #[serde(rename = "MessageID")]
    message_id: Option<String>,
}

impl Postmark {
    pub(super) fn new(options: PostmarkOptions) -> Result<Self, ProviderError> {
        let url = format!("{}/email", http::base(options.base_url.as_deref(), BASE));
        let sender = Sender::new(PROVIDER, &options.from, &options.domain)?;
        let wrong =
            |_| ProviderError::Misconfigured { provider: PROVIDER, code: "token".to_owned() };
        let mut token = HeaderValue::from_str(options.token.expose().trim()).map_err(wrong)?;
        token.set_sensitive(true);
        Ok(Self { client: http::client(PROVIDER, WAITS)?, url, token, sender })
    }

    pub(super) async fn send(&self, mail: &Mail<'_>) -> Result<Accepted, ProviderError> {
        let body = json!({
            "From": self.sender.from.to_string(),
            "To": mail.to,
            "Subject": mail.subject,
            "TextBody": mail.text,
            "MessageStream": "outbound",
            "TrackOpens": false,
            "TrackLinks": "None",
            "Headers": [{"Name": "Message-ID", "Value": self.sender.message_id(mail.id)}],
            "Metadata": {"op_id": mail.id},
        });
        let request = self
            .client
            .post(&self.url)
            .header("X-Postmark-Server-Token", self.token.clone())
            .header("Accept", "application/json")
            .json(&body);
        let answer = http::send(PROVIDER, request).await?;
        match answer.status {
            200 => {
                let taken: Taken = answer.json()?;
                match taken.error_code {
                    0 => Ok(Accepted { id: taken.message_id }),
                    code => Err(answer.refused(code.to_string())),
                }
            }
            401 | 403 => Err(answer.misconfigured(answer.status.to_string())),
            429 | 500..=599 => Err(answer.later("")),
            status => match answer.json::<Taken>() {
                Ok(taken) if ACCOUNT_CODES.contains(&taken.error_code) => {
                    Err(answer.misconfigured(taken.error_code.to_string()))
                }
                Ok(taken) if ADDRESS_CODES.contains(&taken.error_code) => {
                    let code = taken.error_code.to_string();
                    Err(ProviderError::Gone { provider: PROVIDER, code, since: None })
                }
                Ok(taken) => Err(answer.refused(taken.error_code.to_string())),
                Err(_) => Err(answer.refused(status.to_string())),
            },
        }
    }
}
