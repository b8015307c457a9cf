//! Push by Apple's service: HTTP/2, one connection kept, an ES256 token renewed every 40 minutes.
//!
//! Apple refuses tokens older than an hour and complains of new ones within 20 minutes.

use fairground_runtime::config::Secret;
use fairground_types::{Millis, Timestamp};
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;

use super::{Platform, PushMessage, check_size, seconds_left};
use crate::error::ProviderError;
use crate::http::{self, Answer, Waits};
use crate::jwt::SigningKey;
use crate::mail::Accepted;
use crate::token::{Token, TokenCache};

pub(super) const PROVIDER: &str = "APNs";
const BASE: &str = "https://api.push.apple.com";
const SANDBOX_BASE: &str = "https://api.sandbox.push.apple.com";
const WAITS: Waits = Waits::secs(2, 10);
const TOKEN_LIFE: Millis = Millis::from_secs(40 * 60);
const COLLAPSE_BYTES_MAX: usize = 64;

/// How Apple's service is reached.
#[derive(Debug, Clone)]
pub struct ApnsOptions {
    /// Base URL for apps from the store; Apple's when absent.
    pub base_url: Option<String>,
    /// Base URL for development builds; Apple's when absent.
    pub sandbox_url: Option<String>,
    /// The key (`.p8`).
    pub key: Secret,
    /// The key's id.
    pub key_id: String,
    /// The team.
    pub team_id: String,
    /// The app's bundle id.
    pub topic: String,
}

pub(super) struct Apns {
    client: Client,
    sandbox_client: Client,
    base: String,
    sandbox_base: String,
    key: SigningKey,
    team: String,
    topic: String,
    tokens: TokenCache,
}

#[derive(Deserialize)]
struct Problem {
    reason: String,
    timestamp: Option<u64>,
}

impl std::fmt::Debug for Apns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apns").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Apns {
    pub(super) fn new(options: ApnsOptions) -> Result<Self, ProviderError> {
        let wrong = |_| ProviderError::Misconfigured { provider: PROVIDER, code: "key".to_owned() };
        let key = SigningKey::es256(options.key.expose(), options.key_id).map_err(wrong)?;
        let base = http::base(options.base_url.as_deref(), BASE);
        let sandbox_base = http::base(options.sandbox_url.as_deref(), SANDBOX_BASE);
        let client = |base: &str| http::http2_client(PROVIDER, WAITS, base.starts_with("http://"));
        Ok(Self {
            client: client(&base)?,
            sandbox_client: client(&sandbox_base)?,
            base,
            sandbox_base,
            key,
            team: options.team_id,
            topic: options.topic,
            tokens: TokenCache::new(PROVIDER),
        })
    }

    pub(super) async fn send(
        &self,
        token: &str,
        platform: Platform,
        message: &PushMessage,
        now: Timestamp,
    ) -> Result<Accepted, ProviderError> {
        seconds_left(PROVIDER, message, now)?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            // It would become part of the address.
            let code = "BadDeviceToken".to_owned();
            return Err(ProviderError::Gone { provider: PROVIDER, code, since: None });
        }
        let mut body = json!({
            "aps": {"alert": {"title": message.title, "body": message.body}, "sound": "default"},
        });
        for (name, text) in message.fields.iter().filter(|(name, _)| *name != "aps") {
            body[name] = text.as_str().into();
        }
        let body = body.to_string();
        check_size(PROVIDER, &body)?;
        let mut is_renewed = false;
        loop {
            let provider_token = self.tokens.token(now, || self.renew(now)).await?;
            let answer = self.send_once((token, platform), message, &body, &provider_token).await?;
            if answer.is_success() {
                return Ok(Accepted { id: answer.header("apns-id").map(str::to_owned) });
            }
            let problem = answer.json::<Problem>().ok();
            let reason = problem.as_ref().map_or("", |problem| problem.reason.as_str());
            if reason == "ExpiredProviderToken" && !is_renewed {
                self.tokens.forget(&provider_token);
                is_renewed = true;
                continue;
            }
            let since = problem.as_ref().and_then(|problem| problem.timestamp);
            return Err(classified(&answer, reason, since.map(Timestamp::from_unix_millis)));
        }
    }

    async fn send_once(
        &self,
        (token, platform): (&str, Platform),
        message: &PushMessage,
        body: &str,
        provider_token: &str,
    ) -> Result<Answer, ProviderError> {
        let is_sandbox = platform == Platform::ApnsSandbox;
        let (client, base) = if is_sandbox {
            (&self.sandbox_client, &self.sandbox_base)
        } else {
            (&self.client, &self.base)
        };
        let expiration = message.expires_at.as_unix_seconds();
        let mut request = client
            .post(format!("{base}/3/device/{token}"))
            .header("authorization", format!("bearer {provider_token}"))
            .header("apns-topic", &self.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-expiration", expiration.to_string())
            .header("apns-id", uuid::Uuid::from_u128(message.id).to_string())
            .header("content-type", "application/json");
        let collapse_key = message.collapse_key.as_deref();
        if let Some(key) = collapse_key.filter(|key| key.len() <= COLLAPSE_BYTES_MAX) {
            request = request.header("apns-collapse-id", key);
        }
        http::send(PROVIDER, request.body(body.to_owned())).await
    }

    async fn renew(&self, now: Timestamp) -> Result<Token, ProviderError> {
        let claims = json!({"iss": self.team, "iat": now.as_unix_seconds()});
        let unsigned =
            |_| ProviderError::Misconfigured { provider: PROVIDER, code: "key".to_owned() };
        let text = self.key.sign(&claims).map_err(unsigned)?;
        Ok(Token { text, renew_at: now.plus(TOKEN_LIFE) })
    }
}

fn classified(answer: &Answer, reason: &str, since: Option<Timestamp>) -> ProviderError {
    let code = if reason.is_empty() { answer.status.to_string() } else { reason.to_owned() };
    match (answer.status, reason) {
        (410, _) | (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => {
            ProviderError::Gone { provider: PROVIDER, code, since }
        }
        (400, "IdleTimeout") | (429 | 500..=599, _) => answer.later(code),
        (403..=405, _) | (400, "BadTopic" | "TopicDisallowed" | "MissingTopic") => {
            answer.misconfigured(code)
        }
        _ => answer.refused(code),
    }
}
