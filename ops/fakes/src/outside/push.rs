//! FCM with the token endpoint it trusts, and APNs.
//!
//! Both check who calls: an access token that this endpoint gave out, a provider token that Apple's
//! key signed within the hour.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawForm, State as Shared};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::mail::{Answered, bearer, plain_headers};
use super::{APPLE_APP, AppleKey, FCM_PROJECT, Outside, Part};
use crate::clock::wall;
use crate::error::FakesError;
use crate::form;

const ACCESS_MAX: usize = 1_000;
const PROVIDER_TOKEN_SECS_MAX: u64 = 3_600;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const MESSAGE_BYTES_MAX: usize = 4_096;
const TEAM: &str = "TEAM123456";

impl Outside {
    /// The file of a service account that FCM takes.
    ///
    /// # Errors
    /// [`FakesError::Key`].
    pub fn service_account(&self) -> Result<String, FakesError> {
        let account = json!({
            "type": "service_account",
            "project_id": FCM_PROJECT,
            "private_key_id": self.account.id,
            "private_key": self.account.pem()?,
            "client_email": format!("push@{FCM_PROJECT}.iam.gserviceaccount.com"),
            "token_uri": format!("{}/google/token", self.base_url),
        });
        Ok(account.to_string())
    }

    /// The key that APNs and Apple's token endpoint take.
    #[must_use]
    pub fn apple_key(&self) -> AppleKey {
        AppleKey {
            pem: self.apple_key.pem(),
            key_id: self.apple_key.id.to_owned(),
            team_id: TEAM.to_owned(),
        }
    }
}

/// `POST https://oauth2.googleapis.com/token`.
pub(super) async fn google_token(
    Shared(outside): Shared<Arc<Outside>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Response {
    let body = form_value(&body);
    let assertion = body["assertion"].as_str().unwrap_or_default();
    let claims = outside.account.open(assertion).unwrap_or_default();
    let now = wall().as_unix_seconds();
    let is_good = body["grant_type"] == GRANT
        && claims["aud"] == format!("{}/google/token", outside.base_url)
        && claims["exp"].as_u64().is_some_and(|exp| exp > now)
        && claims["scope"].as_str().is_some_and(|scope| scope.ends_with("firebase.messaging"));
    let (status, answer) = if is_good {
        let access = outside.ids.hex("ya29.", 40);
        let mut state = outside.state();
        while state.access.len() >= ACCESS_MAX {
            state.access.pop_first();
        }
        state.access.insert(access.clone());
        (200, json!({"access_token": access, "expires_in": 3_599, "token_type": "Bearer"}))
    } else {
        (400, json!({"error": "invalid_grant", "error_description": "Invalid JWT"}))
    };
    let (part, path, headers) = (Part::GoogleToken, "/token".to_owned(), plain_headers(&headers));
    Answered { part, path, headers, body, status, answer }.note(&outside)
}

/// `POST /v1/projects/{project}/messages:send`.
pub(super) async fn fcm(
    Shared(outside): Shared<Arc<Outside>>,
    Path((project, action)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let fault = |status: u16, word: &str, code: &str| {
        let details = json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
            "errorCode": code}]);
        let error = json!({"code": status, "message": code, "status": word, "details": details});
        (status, json!({"error": error}))
    };
    let message = &body["message"];
    let targets: Vec<&str> =
        ["fid", "token"].iter().filter_map(|kind| message[*kind].as_str()).collect();
    let has_access = bearer(&headers).is_some_and(|access| outside.state().access.contains(access));
    let (status, answer) = match targets.as_slice() {
        _ if !has_access => fault(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
        _ if project != FCM_PROJECT || action != "messages:send" => {
            fault(404, "NOT_FOUND", "UNSPECIFIED_ERROR")
        }
        [target] if outside.state().gone.contains(*target) => {
            fault(404, "NOT_FOUND", "UNREGISTERED")
        }
        ["another-sender"] => fault(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        [_] if bytes.len() <= MESSAGE_BYTES_MAX => {
            let id = outside.ids.hex("", 16);
            (200, json!({"name": format!("projects/{FCM_PROJECT}/messages/{id}")}))
        }
        _ => fault(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    };
    let path = format!("/v1/projects/{project}/{action}");
    let (part, headers) = (Part::Fcm, plain_headers(&headers));
    Answered { part, path, headers, body, status, answer }.note(&outside)
}

/// `POST /3/device/{token}`.
pub(super) async fn apns(
    Shared(outside): Shared<Arc<Outside>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (status, answer) = match outside.apns_fault(&token, &headers, &bytes) {
        None => (200, Value::Null),
        // When the device went is told only with 410.
        Some((410, reason)) => (
            410,
            json!({"reason": reason, "timestamp": wall()
            .as_unix_millis()}),
        ),
        Some((status, reason)) => (status, json!({"reason": reason})),
    };
    let path = format!("/3/device/{token}");
    let id = headers.get("apns-id").cloned();
    let (part, headers) = (Part::Apns, plain_headers(&headers));
    let mut response = Answered { part, path, headers, body, status, answer }.note(&outside);
    if let Some(id) = id {
        response.headers_mut().insert("apns-id", id);
    }
    response
}

impl Outside {
    fn apns_fault(
        &self,
        token: &str,
        headers: &HeaderMap,
        bytes: &[u8],
    ) -> Option<(u16, &'static str)> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(provider_token) = bearer(headers) else {
            return Some((403, "MissingProviderToken"));
        };
        let Some(claims) = self.apple_key.open(provider_token) else {
            return Some((403, "InvalidProviderToken"));
        };
        let age = claims["iat"].as_u64().map(|at| wall().as_unix_seconds().saturating_sub(at));
        let was_told = std::mem::take(&mut self.state().expire_provider_token);
        if was_told || age.is_none_or(|age| age > PROVIDER_TOKEN_SECS_MAX) {
            return Some((403, "ExpiredProviderToken"));
        }
        if claims["iss"] != TEAM {
            return Some((403, "InvalidProviderToken"));
        }
        let is_hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
        match header("apns-topic") {
            None => Some((400, "MissingTopic")),
            Some(topic) if topic != APPLE_APP => Some((400, "TopicDisallowed")),
            Some(_) if !is_hex || token.len() < 64 => Some((400, "BadDeviceToken")),
            Some(_) if self.state().gone.contains(token) => Some((410, "Unregistered")),
            Some(_) if bytes.is_empty() => Some((400, "PayloadEmpty")),
            Some(_) if bytes.len() > MESSAGE_BYTES_MAX => Some((413, "PayloadTooLarge")),
            Some(_) => None,
        }
    }
}

/// A form as an object of texts.
pub(super) fn form_value(body: &[u8]) -> Value {
    let fields = form::parse(body).unwrap_or_default();
    let named: Map<String, Value> = [
        "grant_type",
        "assertion",
        "client_id",
        "client_secret",
        "code",
        "redirect_uri",
        "token",
        "token_type_hint",
    ]
    .iter()
    .filter_map(|name| {
        let text = form::value_of(&fields, name)?;
        Some(((*name).to_owned(), text.into()))
    })
    .collect();
    Value::Object(named)
}
