//! An SMS gateway in the shape of Twilio's Messages resource (API 2010-04-01).
//!
//! Takes a message, answers as the gateway does, keeps the text. Read next: `page.rs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawForm, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Inbox, Sms};
use crate::form::{self, value_of};

const TEXT_MAX: usize = 1_600;

/// An error as the gateway words it.
struct GatewayError {
    status: StatusCode,
    code: u32,
    message: &'static str,
}

const fn bad(code: u32, message: &'static str) -> GatewayError {
    GatewayError { status: StatusCode::BAD_REQUEST, code, message }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status.as_u16(),
        });
        (self.status, Json(body)).into_response()
    }
}

/// `POST /2010-04-01/Accounts/{account}/Messages.json`.
pub(super) async fn send(
    Shared(inbox): Shared<Arc<Inbox>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Response {
    match inbox.take_text(&account, &headers, &body) {
        Ok(message) => (StatusCode::CREATED, Json(message)).into_response(),
        Err(error) => error.into_response(),
    }
}

impl Inbox {
    fn take_text(
        &self,
        account: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Value, GatewayError> {
        if !self.lets_in(account, headers) {
            return Err(GatewayError {
                status: StatusCode::UNAUTHORIZED,
                code: 20_003,
                message: "Authenticate",
            });
        }
        let fields = form::parse(body).map_err(|_| bad(20_001, "The form is not readable"))?;
        let field = |name| value_of(&fields, name).filter(|value| !value.is_empty());
        let to = field("To").ok_or_else(|| bad(21_604, "A 'To' phone number is required."))?;
        check_number(to)?;
        let service = field("MessagingServiceSid");
        let from = field("From").or(service);
        let from = from.ok_or_else(|| bad(21_603, "A 'From' phone number is required."))?;
        let text = field("Body").ok_or_else(|| bad(21_602, "Message body is required."))?;
        if text.chars().count() > TEXT_MAX {
            return Err(bad(21_617, "The message body exceeds the 1600 character limit."));
        }
        let sms = Sms {
            sid: self.ids.hex("SM", 32),
            from: from.to_owned(),
            to: to.to_owned(),
            text: text.to_owned(),
            received_at: crate::clock::wall(),
        };
        let answer = message(account, service, &sms);
        self.keep_text(sms);
        Ok(answer)
    }

    fn lets_in(&self, account: &str, headers: &HeaderMap) -> bool {
        let wanted = format!("{}:{}", self.account.account, self.account.token);
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let sent = sent.and_then(|value| value.strip_prefix("Basic "));
        let sent = sent.and_then(|packed| STANDARD.decode(packed).ok());
        account == self.account.account && sent.is_some_and(|sent| sent == wanted.as_bytes())
    }
}

/// E.164, and the gateway's magic numbers for tests.
fn check_number(number: &str) -> Result<(), GatewayError> {
    let digits = number.strip_prefix('+').unwrap_or_default();
    let plain = (8..=15).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    match number {
        "+15005550003" => Err(bad(21_408, "Permission to send an SMS has not been enabled")),
        "+15005550004" => Err(bad(21_610, "Attempt to send to unsubscribed recipient")),
        "+15005550009" => Err(bad(21_614, "'To' number is not a valid mobile number")),
        "+15005550001" => Err(bad(21_211, "Invalid 'To' Phone Number")),
        _ if plain => Ok(()),
        _ => Err(bad(21_211, "Invalid 'To' Phone Number")),
    }
}

fn message(account: &str, service: Option<&str>, sms: &Sms) -> Value {
    let path = format!("/2010-04-01/Accounts/{account}/Messages/{}", sms.sid);
    let from = if service == Some(&sms.from) { Value::Null } else { sms.from.as_str().into() };
    json!({
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": sms.text,
        "date_created": null,
        "date_sent": null,
        "date_updated": null,
        "direction": "outbound-api",
        "error_code": null,
        "error_message": null,
        "from": from,
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": sms.text.chars().count().div_ceil(160).max(1).to_string(),
        "price": null,
        "price_unit": "USD",
        "sid": sms.sid,
        "status": "queued",
        "subresource_uris": {"media": format!("{path}/Media.json")},
        "to": sms.to,
        "uri": format!("{path}.json"),
    })
}
