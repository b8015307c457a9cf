//! Apple's token endpoint: a code for tokens, and the end of a refresh token.
//!
//! The refresh token is kept to be revoked when the account is deleted, which Apple's store asks for.
//! A code works once, so an exchange that may have happened is not repeated.

use fairground_runtime::config::Secret;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;

use crate::call::{Guard, Policy, Ports, Repeat};
use crate::error::ProviderError;
use crate::http::{self, Answer, Waits};
use crate::jwt::SigningKey;

const PROVIDER: &str = "Apple's sign-in";
const BASE: &str = "https://appleid.apple.com";
const WAITS: Waits = Waits::secs(2, 5);
/// Apple takes six months; five minutes is all a call needs.
const SECRET_LIFE_SECS: u64 = 300;

/// How Apple's token endpoint is reached.
#[derive(Debug, Clone)]
pub struct AppleCodesOptions {
    /// Base URL; `https://appleid.apple.com` when absent.
    pub base_url: Option<String>,
    /// The key (`.p8`).
    pub key: Secret,
    /// The key's id.
    pub key_id: String,
    /// The team.
    pub team_id: String,
    /// The app's or service's id.
    pub client_id: String,
}

/// What a code was exchanged for.
pub struct AppleTokens {
    /// To be checked by [`crate::SignIn::verify`].
    pub id_token: String,
    /// To be revoked one day.
    pub refresh_token: Option<Secret>,
}

impl std::fmt::Debug for AppleTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppleTokens").finish_non_exhaustive()
    }
}

/// Exchanges and revokes.
#[derive(Debug)]
pub struct AppleCodes {
    client: Client,
    base: String,
    key: SigningKey,
    team: String,
    client_id: String,
    guard: Guard,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    error: String,
}

impl AppleCodes {
    /// A client.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`].
    pub fn new(options: AppleCodesOptions, ports: Ports) -> Result<Self, ProviderError> {
        let wrong = |_| misconfigured("key");
        let key = SigningKey::es256(options.key.expose(), options.key_id).map_err(wrong)?;
        let policy = Policy { repeat: Repeat::Unsent, ..Policy::default() };
        Ok(Self {
            client: http::client(PROVIDER, WAITS)?,
            base: http::base(options.base_url.as_deref(), BASE),
            key,
            team: options.team_id,
            client_id: options.client_id,
            guard: Guard::new(PROVIDER, policy, ports),
        })
    }

    /// Exchanges a code, once.
    ///
    /// # Errors
    /// See [`ProviderError`]; `Refused` when the code is used, old or another app's.
    pub async fn exchange(
        &self,
        code: &str,
        redirect_uri: Option<&str>,
    ) -> Result<AppleTokens, ProviderError> {
        let mut form = vec![("grant_type", "authorization_code"), ("code", code)];
        form.extend(redirect_uri.map(|uri| ("redirect_uri", uri)));
        let answer = self.guard.call(|_| self.post("/auth/token", &form)).await?;
        let got: TokenAnswer = answer.json()?;
        let id_token = got.id_token.ok_or(ProviderError::Unreadable { provider: PROVIDER })?;
        Ok(AppleTokens { id_token, refresh_token: got.refresh_token.map(Secret::from_text) })
    }

    /// Ends a refresh token; ending it twice is ending it once.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn revoke(&self, refresh_token: &Secret) -> Result<(), ProviderError> {
        let form = [("token", refresh_token.expose()), ("token_type_hint", "refresh_token")];
        self.guard.call(|_| self.post("/auth/revoke", &form)).await.map(drop)
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer, ProviderError> {
        let now = self.guard.time().wall().as_unix_seconds();
        let claims = json!({
            "iss": self.team,
            "sub": self.client_id,
            "aud": BASE,
            "iat": now,
            "exp": now.saturating_add(SECRET_LIFE_SECS),
        });
        let client_secret = self.key.sign(&claims).map_err(|_| misconfigured("key"))?;
        let mut form =
            vec![("client_id", self.client_id.as_str()), ("client_secret", client_secret.as_str())];
        form.extend_from_slice(fields);
        let request = self.client.post(format!("{}{path}", self.base)).form(&form);
        let answer = http::send(PROVIDER, request).await?;
        match answer.status {
            200 => Ok(answer),
            429 | 500..=599 => Err(answer.later("")),
            status => {
                let problem = answer.json::<Problem>().map(|problem| problem.error);
                let code = problem.unwrap_or_else(|_| status.to_string());
                Err(match code.as_str() {
                    "invalid_client" | "unauthorized_client" => answer.misconfigured(code),
                    _ => answer.refused(code),
                })
            }
        }
    }
}

fn misconfigured(code: &str) -> ProviderError {
    ProviderError::Misconfigured { provider: PROVIDER, code: code.to_owned() }
}
