//! Push by Firebase Cloud Messaging, HTTP v1, as a service account.
//!
//! An RS256 assertion is exchanged for an access token of an hour, renewed five minutes early by one
//! call at a time (RFC 7523).

use fairground_types::{Millis, Timestamp};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Platform, PushMessage, check_size, seconds_left};
use crate::error::ProviderError;
use crate::http::{self, Answer, Waits};
use crate::jwt::{KeyError, SigningKey};
use crate::mail::Accepted;
use crate::token::{Token, TokenCache};

pub(super) const PROVIDER: &str = "FCM";
const BASE: &str = "https://fcm.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const WAITS: Waits = Waits::secs(2, 10);
const RENEW_EARLY_SECS: u64 = 300;
const ASSERTION_LIFE_SECS: u64 = 3_600;
/// FCM keeps a message for four weeks at most.
const TTL_SECS_MAX: u64 = 4 * 7 * 24 * 3_600;
/// What to wait after a quota refusal that names no wait.
const QUOTA_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

/// A service account, as its file of JSON says.
#[derive(Debug)]
pub struct ServiceAccount {
    key: SigningKey,
    email: String,
    project: String,
    token_url: String,
}

#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

impl ServiceAccount {
    /// Reads the file's text.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let file: AccountFile =
            serde_json::from_str(text).map_err(|_| KeyError::Kind("a service account"))?;
        Ok(Self {
            key: SigningKey::rs256(&file.private_key, file.private_key_id)?,
            email: file.client_email,
            project: file.project_id,
            token_url: file.token_uri,
        })
    }
}

/// How FCM is reached.
#[derive(Debug)]
pub struct FcmOptions {
    /// Base URL; `https://fcm.googleapis.com` when absent.
    pub base_url: Option<String>,
    /// As whom.
    pub account: ServiceAccount,
}

pub(super) struct Fcm {
    client: Client,
    url: String,
    account: ServiceAccount,
    tokens: TokenCache,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Sent {
    name: String,
}

#[derive(Deserialize)]
struct Envelope {
    error: Problem,
}

#[derive(Deserialize)]
struct Problem {
    status: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    error_code: Option<String>,
    #[serde(default)]
    field_violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    field: String,
}

impl std::fmt::Debug for Fcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fcm").field("project", &self.account.project).finish_non_exhaustive()
    }
}

impl Fcm {
    pub(super) fn new(options: FcmOptions) -> Result<Self, ProviderError> {
        let url = format!(
            "{}/v1/projects/{}/messages:send",
            http::base(options.base_url.as_deref(), BASE),
            options.account.project
        );
        let client = http::client(PROVIDER, WAITS)?;
        Ok(Self { client, url, account: options.account, tokens: TokenCache::new(PROVIDER) })
    }

    pub(super) async fn send(
        &self,
        token: &str,
        platform: Platform,
        message: &PushMessage,
        now: Timestamp,
    ) -> Result<Accepted, ProviderError> {
        let seconds = seconds_left(PROVIDER, message, now)?.min(TTL_SECS_MAX);
        let body = body(token, platform, message, seconds).to_string();
        check_size(PROVIDER, &body)?;
        let access = self.tokens.token(now, || self.renew(now)).await?;
        let request = self
            .client
            .post(&self.url)
            .bearer_auth(&access)
            .header("Content-Type", "application/json")
            .body(body);
        let answer = http::send(PROVIDER, request).await?;
        if answer.is_success() {
            return Ok(Accepted { id: Some(answer.json::<Sent>()?.name) });
        }
        if answer.status == 401 {
            self.tokens.forget(&access);
        }
        Err(classified(&answer))
    }

    async fn renew(&self, now: Timestamp) -> Result<Token, ProviderError> {
        let issued = now.as_unix_seconds();
        let claims = json!({
            "iss": self.account.email,
            "scope": SCOPE,
            "aud": self.account.token_url,
            "iat": issued,
            "exp": issued.saturating_add(ASSERTION_LIFE_SECS),
        });
        let unsigned =
            |_| ProviderError::Misconfigured { provider: PROVIDER, code: "key".to_owned() };
        let assertion = self.account.key.sign(&claims).map_err(unsigned)?;
        let form = [("grant_type", GRANT), ("assertion", &assertion)];
        let request = self.client.post(&self.account.token_url).form(&form);
        let answer = http::send(PROVIDER, request).await?;
        match answer.status {
            200 => {
                let got: TokenAnswer = answer.json()?;
                let life = Millis::from_secs(got.expires_in.saturating_sub(RENEW_EARLY_SECS));
                Ok(Token { text: got.access_token, renew_at: now.plus(life) })
            }
            429 | 500..=599 => Err(answer.later("token")),
            _ => Err(answer.misconfigured("token")),
        }
    }
}

fn body(token: &str, platform: Platform, message: &PushMessage, seconds: u64) -> Value {
    let kind = if platform == Platform::FcmInstallation { "fid" } else { "token" };
    let mut android = json!({"priority": "HIGH", "ttl": format!("{seconds}s")});
    if let Some(key) = &message.collapse_key {
        android["collapseKey"] = key.as_str().into();
    }
    let mut fields: Map<String, Value> =
        message.fields.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
    fields.insert("noticeId".to_owned(), format!("{:032x}", message.id).into());
    let mut inner = json!({
        "notification": {"title": message.title, "body": message.body},
        "data": fields,
        "android": android,
    });
    inner[kind] = token.into();
    json!({"message": inner})
}

fn classified(answer: &Answer) -> ProviderError {
    let Ok(Envelope { error }) = answer.json::<Envelope>() else {
        return match answer.status {
            429 | 500..=599 => answer.later(""),
            401 | 403 => answer.misconfigured(answer.status.to_string()),
            status => answer.refused(status.to_string()),
        };
    };
    let named = error.details.iter().find_map(|detail| detail.error_code.clone());
    let code = named.unwrap_or(error.status);
    let names_token =
        error.details.iter().flat_map(|detail| &detail.field_violations).any(|violation| {
            let field = violation.field.as_str();
            field.ends_with("token") || field.ends_with("fid")
        });
    match (answer.status, code.as_str()) {
        (404, _) | (_, "UNREGISTERED" | "SENDER_ID_MISMATCH") => {
            ProviderError::Gone { provider: PROVIDER, code, since: None }
        }
        (400, _) if names_token => ProviderError::Gone { provider: PROVIDER, code, since: None },
        (401 | 403, _) => answer.misconfigured(code),
        (429, _) => ProviderError::Unavailable {
            provider: PROVIDER,
            status: 429,
            code,
            retry_after: Some(answer.retry_after().unwrap_or(QUOTA_WAIT)),
        },
        (500..=599, _) => answer.later(code),
        _ => answer.refused(code),
    }
}
