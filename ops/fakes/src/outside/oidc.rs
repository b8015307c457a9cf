//! Apple and Google as they vouch for people: key sets, identity tokens, Apple's code exchange.
//!
//! Tokens are made at a test's word, wrong ones too: another key, another audience, another time.

use std::sync::Arc;

use axum::extract::{RawForm, State as Shared};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::mail::{Answered, plain_headers};
use super::push::form_value;
use super::{APPLE_APP, Outside, Part};
use crate::clock::wall;
use crate::error::FakesError;

const CODES_MAX: usize = 1_000;
const LIFE_SECS: u64 = 600;

/// Whom a token is to vouch for, and what is to be wrong with it.
#[derive(Clone, Debug)]
pub struct IdToken {
    /// Whether Apple vouches; Google else.
    pub by_apple: bool,
    /// For which app.
    pub audience: String,
    /// The provider's name for the person.
    pub subject: String,
    /// The nonce.
    pub nonce: Option<String>,
    /// More claims, which also replace those above: `email`, `email_verified`, `exp`, `iss`.
    pub claims: Value,
    /// Signed by a key that is in no set, though it has the name of one that is.
    pub by_stranger: bool,
    /// The name of the key in the header; the right one when absent.
    pub key_id: Option<String>,
    /// The algorithm in the header; the right one when absent.
    pub algorithm: Option<String>,
}

impl IdToken {
    /// A good token of Google's.
    #[must_use]
    pub fn google(audience: &str, subject: &str, nonce: &str) -> Self {
        Self {
            by_apple: false,
            audience: audience.to_owned(),
            subject: subject.to_owned(),
            nonce: Some(nonce.to_owned()),
            claims: json!({"email": format!("{subject}@mail.example"), "email_verified": true}),
            by_stranger: false,
            key_id: None,
            algorithm: None,
        }
    }

    /// A good token of Apple's, with an address of its relay.
    #[must_use]
    pub fn apple(subject: &str, nonce: &str) -> Self {
        Self {
            by_apple: true,
            audience: APPLE_APP.to_owned(),
            claims: json!({
                "email": format!("{subject}@privaterelay.example"),
                "email_verified": "true",
                "is_private_email": "true",
            }),
            ..Self::google("", subject, nonce)
        }
    }
}

impl Outside {
    /// Makes a token.
    ///
    /// # Errors
    /// [`FakesError::Key`].
    pub fn mint(&self, token: &IdToken) -> Result<String, FakesError> {
        let right = if token.by_apple { &self.apple } else { &self.google };
        let key = if token.by_stranger { &self.account } else { right };
        let issuer = if token.by_apple {
            "https://appleid.apple.com"
        } else {
            "https://accounts.google.com"
        };
        let now = wall().as_unix_seconds();
        let mut claims = json!({
            "iss": issuer,
            "aud": token.audience,
            "sub": token.subject,
            "iat": now,
            "exp": now.saturating_add(LIFE_SECS),
        });
        if let Some(nonce) = &token.nonce {
            claims["nonce"] = nonce.as_str().into();
        }
        for (name, value) in token.claims.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let header = json!({
            "alg": token.algorithm.as_deref().unwrap_or("RS256"),
            "kid": token.key_id.as_deref().unwrap_or(right.id),
            "typ": "JWT",
        });
        key.sign(&header, &claims)
    }

    /// Gives out a code of Apple's that can be exchanged once for this token.
    pub fn apple_code(&self, id_token: String) -> String {
        let code = self.ids.hex("c", 32);
        let mut state = self.state();
        while state.codes.len() >= CODES_MAX {
            state.codes.pop_first();
        }
        state.codes.insert(code.clone(), id_token);
        code
    }

    /// Whether a refresh token of Apple's still stands.
    #[must_use]
    pub fn has_refresh_token(&self, token: &str) -> bool {
        self.state().refresh.contains(token)
    }

    fn knows_client(&self, body: &Value) -> bool {
        let secret = body["client_secret"].as_str().unwrap_or_default();
        let claims = self.apple_key.open(secret).unwrap_or_default();
        body["client_id"] == APPLE_APP
            && claims["sub"] == APPLE_APP
            && claims["iss"] == self.apple_key().team_id
            && claims["aud"] == "https://appleid.apple.com"
            && claims["exp"].as_u64().is_some_and(|exp| exp > wall().as_unix_seconds())
    }
}

/// `GET https://www.googleapis.com/oauth2/v3/certs`.
pub(super) async fn google_keys(
    Shared(outside): Shared<Arc<Outside>>,
    headers: HeaderMap,
) -> Response {
    let answer = json!({"keys": [outside.google.jwk()]});
    keys(&outside, (Part::GoogleKeys, "/oauth2/v3/certs"), &headers, answer)
}

/// `GET https://appleid.apple.com/auth/keys`.
pub(super) async fn apple_keys(
    Shared(outside): Shared<Arc<Outside>>,
    headers: HeaderMap,
) -> Response {
    let answer = json!({"keys": [outside.apple.jwk()]});
    keys(&outside, (Part::AppleKeys, "/auth/keys"), &headers, answer)
}

fn keys(
    outside: &Outside,
    (part, path): (Part, &str),
    headers: &HeaderMap,
    answer: Value,
) -> Response {
    let (path, headers) = (path.to_owned(), plain_headers(headers));
    let answered = Answered { part, path, headers, body: Value::Null, status: 200, answer };
    let mut response = answered.note(outside);
    let age = header::HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, age);
    response
}

/// `POST /auth/token`.
pub(super) async fn apple_token(
    Shared(outside): Shared<Arc<Outside>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Response {
    let body = form_value(&body);
    let (status, answer) = if !outside.knows_client(&body) {
        (400, json!({"error": "invalid_client"}))
    } else {
        let code = body["code"].as_str().unwrap_or_default();
        let exchanged = outside.state().codes.remove(code);
        match exchanged {
            None => (400, json!({"error": "invalid_grant"})),
            Some(id_token) => {
                let refresh = outside.ids.hex("r.", 32);
                outside.state().refresh.insert(refresh.clone());
                let answer = json!({"access_token": outside.ids.hex("a.", 32),
                    "token_type": "Bearer", "expires_in": 3_600, "refresh_token": refresh,
                    "id_token": id_token});
                (200, answer)
            }
        }
    };
    let (part, path, headers) =
        (Part::AppleToken, "/auth/token".to_owned(), plain_headers(&headers));
    Answered { part, path, headers, body, status, answer }.note(&outside)
}

/// `POST /auth/revoke`.
pub(super) async fn apple_revoke(
    Shared(outside): Shared<Arc<Outside>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Response {
    let body = form_value(&body);
    let (status, answer) = if outside.knows_client(&body) {
        outside.state().refresh.remove(body["token"].as_str().unwrap_or_default());
        (200, Value::Null)
    } else {
        (400, json!({"error": "invalid_client"}))
    };
    let (part, path, headers) =
        (Part::AppleToken, "/auth/revoke".to_owned(), plain_headers(&headers));
    Answered { part, path, headers, body, status, answer }.note(&outside)
}
