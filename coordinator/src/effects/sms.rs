//! Text messages over a Twilio-shaped API: one form, basic authentication, 201.
//!
//! The API knows no idempotency key, so a message is never sent again once the request has left. It
//! must not know what a message says.

use std::time::Duration;

use fairground_runtime::config::Secret;

use super::mail::SendError;
use crate::error::Error;
use crate::options::SmsOptions;

const CONNECT_WAIT: Duration = Duration::from_secs(2);
const CALL_WAIT: Duration = Duration::from_secs(5);

/// Sends text messages.
pub(crate) struct Texter {
    client: reqwest::Client,
    url: String,
    account: String,
    token: Secret,
    from: String,
}

impl Texter {
    /// A texter, when an API is configured.
    pub(crate) fn new(options: &SmsOptions) -> Result<Option<Self>, Error> {
        let Some(base) = &options.url else { return Ok(None) };
        let missing = || Error::Setting {
            key: "sms.auth_token_file",
            problem: "needed when `sms.url` is set".to_owned(),
        };
        let token = Secret::from_option(options.auth_token_file.as_deref())?.ok_or_else(missing)?;
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .timeout(CALL_WAIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::HttpClient)?;
        let url = format!(
            "{}/2010-04-01/Accounts/{}/Messages.json",
            base.trim_end_matches('/'),
            options.account
        );
        let (account, from) = (options.account.clone(), options.from.clone());
        Ok(Some(Self { client, url, account, token, from }))
    }

    /// Sends one message.
    pub(crate) async fn send(&self, to: &str, text: &str) -> Result<(), SendError> {
        let form = [("To", to), ("From", &self.from), ("Body", text)];
        let answered = self
            .client
            .post(&self.url)
            .basic_auth(&self.account, Some(self.token.expose().trim()))
            .form(&form)
            .send()
            .await
            // The address of the call holds the account, which no log needs.
            .map_err(|error| SendError::Later(error.without_url().to_string()))?;
        let status = answered.status();
        if status.is_success() {
            Ok(())
        } else if status.is_client_error() && status != reqwest::StatusCode::TOO_MANY_REQUESTS {
            Err(SendError::Refused(format!("status {status}")))
        } else {
            Err(SendError::Later(format!("status {status}")))
        }
    }
}
