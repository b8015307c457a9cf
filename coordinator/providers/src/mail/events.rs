//! What mail services say later: an address that is dead, a reader who complained.
//!
//! ```text
//!  SendGrid   X-Twilio-Email-Event-Webhook-Signature: base64 DER, ECDSA P-256 over timestamp + body
//!  Postmark   Authorization: Basic, as it was set for the hook; the body is not signed
//! ```
//! Only ends count: soft bounces, deliveries and opens are passed over. Events come in any sequence
//! and more than once. It must not know whose an address is.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fairground_runtime::config::Secret;
use fairground_runtime::secret::equal;
use fairground_types::{Millis, Timestamp};
use serde::Deserialize;

/// How old a signed delivery of SendGrid may be, or how far in the future.
const TOLERANCE: Millis = Millis::from_secs(600);
/// Events of one delivery that are looked at.
const EVENTS_MAX: usize = 1_000;
/// Bytes before the point of a P-256 key in its wrapping (RFC 5480).
const SPKI_PREFIX: usize = 26;

/// An address that takes no mail any more, or does not want any.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadAddress {
    /// The provider's id of the event.
    pub event: String,
    /// The address.
    pub address: String,
}

impl std::fmt::Debug for DeadAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadAddress").field("event", &self.event).finish_non_exhaustive()
    }
}

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailEventError {
    /// It is not signed by the provider, or too old.
    #[error("believe a delivery of the mail provider")]
    Unsigned,
    /// It is not in a shape that this version reads.
    #[error("read a delivery of the mail provider")]
    Unreadable,
}

/// What a delivery shows of who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// SendGrid's signature header.
    pub signature: &'a str,
    /// SendGrid's timestamp header, as it was sent.
    pub timestamp: &'a str,
    /// The `Authorization` header.
    pub authorization: &'a str,
}

#[derive(Deserialize)]
struct SendGridEvent {
    email: String,
    event: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    sg_event_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PostmarkEvent {
    record_type: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "ID")]
    id: Option<u64>,
    email: Option<String>,
    recipient: Option<String>,
    suppress_sending: Option<bool>,
}

/// Reads a delivery of SendGrid's event hook; `key` is its public key, base64 as its settings show it.
///
/// # Errors
/// See [`MailEventError`].
pub fn sendgrid_events(
    key: &Secret,
    shown: Shown<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Vec<DeadAddress>, MailEventError> {
    let unsigned = MailEventError::Unsigned;
    let at: u64 = shown.timestamp.trim().parse().map_err(|_| unsigned)?;
    let age = now.as_unix_seconds().abs_diff(at);
    let key = STANDARD.decode(key.expose().trim()).map_err(|_| unsigned)?;
    let point = key.get(SPKI_PREFIX..).ok_or(unsigned)?;
    let signature = STANDARD.decode(shown.signature.trim()).map_err(|_| unsigned)?;
    let signed = [shown.timestamp.as_bytes(), body].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&signed, &signature)
        .map_err(|_| unsigned)?;
    if age > TOLERANCE.as_millis() / 1_000 {
        return Err(unsigned);
    }
    let events: Vec<SendGridEvent> =
        serde_json::from_slice(body).map_err(|_| MailEventError::Unreadable)?;
    let dead = events.into_iter().take(EVENTS_MAX).filter(is_end_at_sendgrid);
    Ok(dead
        .map(|event| DeadAddress {
            event: event.sg_event_id.unwrap_or_default(),
            address: event.email,
        })
        .collect())
}

/// A block is the reader's provider's mood; a bounce is not.
fn is_end_at_sendgrid(event: &SendGridEvent) -> bool {
    match event.event.as_str() {
        "bounce" => event.kind.as_deref() != Some("blocked"),
        "dropped" | "spamreport" => true,
        _ => false,
    }
}

/// Reads a delivery of Postmark's hook; `login` is the `user:password` that was set for it.
///
/// # Errors
/// See [`MailEventError`].
pub fn postmark_events(
    login: &Secret,
    shown: Shown<'_>,
    body: &[u8],
) -> Result<Vec<DeadAddress>, MailEventError> {
    let expected = format!("Basic {}", STANDARD.encode(login.expose().trim()));
    if !equal(shown.authorization.trim().as_bytes(), expected.as_bytes()) {
        return Err(MailEventError::Unsigned);
    }
    let event: PostmarkEvent =
        serde_json::from_slice(body).map_err(|_| MailEventError::Unreadable)?;
    let is_end = match event.record_type.as_str() {
        "Bounce" => matches!(event.kind.as_deref(), Some("HardBounce" | "BadEmailAddress")),
        "SpamComplaint" => true,
        "SubscriptionChange" => event.suppress_sending == Some(true),
        _ => false,
    };
    let address = event.email.or(event.recipient).filter(|_| is_end);
    let id = event.id.map(|id| id.to_string()).unwrap_or_default();
    Ok(address.map(|address| DeadAddress { event: id, address }).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

    struct Hook {
        pair: EcdsaKeyPair,
    }

    impl Hook {
        fn new() -> Self {
            let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
            Self { pair: made }
        }

        fn key(&self) -> Secret {
            use aws_lc_rs::encoding::AsDer;
            let spki = self.pair.public_key().as_der().expect("encoded");
            Secret::from_text(STANDARD.encode(spki.as_ref()))
        }

        fn sign(&self, timestamp: &str, body: &[u8]) -> String {
            let signed = [timestamp.as_bytes(), body].concat();
            let signature = self.pair.sign(&SystemRandom::new(), &signed).expect("signed");
            STANDARD.encode(signature.as_ref())
        }
    }

    fn shown<'a>(timestamp: &'a str, signature: &'a str) -> Shown<'a> {
        Shown { signature, timestamp, authorization: "" }
    }

    #[test]
    fn sendgrids_ends_are_read_and_the_rest_is_passed_over() {
        let hook = Hook::new();
        let body = br#"[
            {"email":"a@x.example","event":"bounce","type":"bounce","sg_event_id":"e1","new":1},
            {"email":"b@x.example","event":"bounce","type":"blocked","sg_event_id":"e2"},
            {"email":"c@x.example","event":"delivered","sg_event_id":"e3"},
            {"email":"d@x.example","event":"spamreport","sg_event_id":"e4"},
            {"email":"e@x.example","event":"deferred","sg_event_id":"e5"},
            {"email":"f@x.example","event":"dropped","sg_event_id":"e6"}]"#;
        let signature = hook.sign("1700000000", body);
        let dead = sendgrid_events(&hook.key(), shown("1700000000", &signature), body, NOW);
        let dead: Vec<String> =
            dead.expect("believed").into_iter().map(|dead| dead.address).collect();
        assert_eq!(dead, ["a@x.example", "d@x.example", "f@x.example"]);
    }

    #[test]
    fn sendgrids_deliveries_are_believed_when_signed_and_new() {
        let hook = Hook::new();
        let body = br#"[{"email":"a@x.example","event":"bounce","sg_event_id":"e1"}]"#;
        let signature = hook.sign("1700000000", body);
        let read = |key: &Secret, timestamp: &str, body: &[u8], now| {
            sendgrid_events(key, shown(timestamp, &signature), body, now).map(|dead| dead.len())
        };
        let key = hook.key();
        assert_eq!(read(&key, "1700000000", body, NOW), Ok(1));
        let unsigned = Err(MailEventError::Unsigned);
        assert_eq!(read(&key, "1700000001", body, NOW), unsigned, "another time");
        assert_eq!(read(&key, "1700000000", b"[]", NOW), unsigned, "another body");
        assert_eq!(read(&Hook::new().key(), "1700000000", body, NOW), unsigned, "another key");
        let late = NOW.plus(Millis::from_secs(601));
        assert_eq!(read(&key, "1700000000", body, late), unsigned, "too old");
        let odd = br#"{"email":5}"#;
        let signature = hook.sign("1700000000", odd);
        let found = sendgrid_events(&key, shown("1700000000", &signature), odd, NOW);
        assert_eq!(found, Err(MailEventError::Unreadable));
    }

    #[test]
    fn postmarks_ends_are_read_for_who_knows_the_hooks_password() {
        let login = Secret::from_text("hook:secret");
        let authorization = format!("Basic {}", STANDARD.encode("hook:secret"));
        let read = |authorization: &str, body: &str| {
            let shown = Shown { signature: "", timestamp: "", authorization };
            let dead = postmark_events(&login, shown, body.as_bytes())?;
            Ok(dead.into_iter().map(|dead| dead.address).collect::<Vec<_>>())
        };
        let hard =
            r#"{"RecordType":"Bounce","Type":"HardBounce","ID":7,"Email":"a@x.example","Tag":""}"#;
        assert_eq!(read(&authorization, hard), Ok(vec!["a@x.example".to_owned()]));
        assert_eq!(read("Basic eDp5", hard), Err(MailEventError::Unsigned));
        assert_eq!(read("", hard), Err(MailEventError::Unsigned));
        let soft = r#"{"RecordType":"Bounce","Type":"SoftBounce","ID":8,"Email":"a@x.example"}"#;
        assert_eq!(read(&authorization, soft), Ok(vec![]));
        let spam = r#"{"RecordType":"SpamComplaint","ID":9,"Email":"b@x.example"}"#;
        assert_eq!(read(&authorization, spam), Ok(vec!["b@x.example".to_owned()]));
        let change = r#"{"RecordType":"SubscriptionChange","Recipient":"c@x.example",
            "SuppressSending":true}"#;
        assert_eq!(read(&authorization, change), Ok(vec!["c@x.example".to_owned()]));
        assert_eq!(read(&authorization, "no"), Err(MailEventError::Unreadable));
    }
}
