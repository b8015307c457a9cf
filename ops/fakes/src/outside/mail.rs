//! SendGrid and Postmark: what they take lands in the inbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Outside, OutsideCall, POSTMARK_TOKEN, Part, SENDGRID_KEY};
use crate::inbox::Mail;

/// An address that SendGrid and Postmark do not take.
const REFUSED: &str = "refused@";

/// What a call was answered: noted, then sent.
pub(super) struct Answered {
    pub(super) part: Part,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
    pub(super) status: u16,
    pub(super) answer: Value,
}

impl Answered {
    pub(super) fn note(self, outside: &Outside) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let response = if self.answer.is_null() {
            status.into_response()
        } else {
            (status, Json(self.answer.clone())).into_response()
        };
        outside.keep(OutsideCall {
            part: self.part,
            path: self.path,
            headers: self.headers,
            body: self.body,
            status: self.status,
            answer: self.answer,
        });
        response
    }
}

/// The headers without credentials.
pub(super) fn plain_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let is_secret = |name: &str| name == "authorization" || name.ends_with("-token");
    headers
        .iter()
        .filter(|(name, _)| !is_secret(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("bearer "))
}

/// `POST /v3/mail/send`.
pub(super) async fn sendgrid(
    Shared(outside): Shared<Arc<Outside>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = |status, message: &str, field: Option<&str>| {
        (status, json!({"errors": [{"message": message, "field": field}]}))
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let to = body.pointer("/personalizations/0/to/0/email").and_then(Value::as_str);
    let from = body.pointer("/from/email").and_then(Value::as_str);
    let text = body.pointer("/content/0/value").and_then(Value::as_str);
    let (status, answer) = if bearer(&headers) != Some(SENDGRID_KEY) {
        fault(401, "The provided authorization grant is invalid", None)
    } else {
        match (to, from, text) {
            (Some(to), _, _) if to.starts_with(REFUSED) || !to.contains('@') => {
                fault(400, "Does not contain a valid address.", Some("personalizations.0.to.0"))
            }
            (Some(to), Some(from), Some(text)) => {
                let subject = body["subject"].as_str().unwrap_or_default();
                outside.take_mail([from, to, subject, text]);
                (202, Value::Null)
            }
            _ => fault(400, "A required field is missing", Some("personalizations")),
        }
    };
    let (part, path, headers) =
        (Part::Sendgrid, "/v3/mail/send".to_owned(), plain_headers(&headers));
    let mut response = Answered { part, path, headers, body, status, answer }.note(&outside);
    if status == 202
        && let Ok(id) = outside.ids.hex("", 22).parse()
    {
        response.headers_mut().insert("x-message-id", id);
    }
    response
}

/// `POST /email`.
pub(super) async fn postmark(
    Shared(outside): Shared<Arc<Outside>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault =
        |status, code, message: &str| (status, json!({"ErrorCode": code, "Message": message}));
    let token = headers.get("x-postmark-server-token").and_then(|token| token.to_str().ok());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let field = |name: &str| body[name].as_str();
    let (status, answer) = if token != Some(POSTMARK_TOKEN) {
        fault(401, 10, "Bad or missing server API token")
    } else {
        match (field("To"), field("From"), field("Subject")) {
            (Some(to), _, _) if to.starts_with(REFUSED) => {
                fault(422, 406, "The recipient is marked inactive")
            }
            (Some(to), Some(from), Some(subject)) if to.contains('@') => {
                outside.take_mail([from, to, subject, field("TextBody").unwrap_or_default()]);
                let now = crate::clock::wall().to_string();
                let id = outside.ids.hex("", 32);
                let answer = json!({"ErrorCode": 0, "Message": "OK", "MessageID": id,
                    "SubmittedAt": now, "To": to});
                (200, answer)
            }
            _ => fault(422, 300, "Invalid email request"),
        }
    };
    let (part, path, headers) = (Part::Postmark, "/email".to_owned(), plain_headers(&headers));
    Answered { part, path, headers, body, status, answer }.note(&outside)
}

impl Outside {
    fn take_mail(&self, [from, to, subject, text]: [&str; 4]) {
        self.inbox.keep_mail(Mail {
            from: from.to_owned(),
            to: to.to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            received_at: crate::clock::wall(),
        });
    }
}
