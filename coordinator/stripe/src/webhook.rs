//! Whether a delivery is Stripe's, and the few fields of it that the market reads.
//!
//! Checks the raw bytes before any parser sees them, then reads leniently: an event whose object
//! has an odd shape is an event all the same, and a caller that needs more looks the object up.
//! It must not decide what an event means. The cap on the body (1 MiB) is the caller's. Read next:
//! `fairground_types::command::ProviderEvent` for what is stored of it.

use std::collections::BTreeMap;

use fairground_types::{ClusterId, Millis, Money, SaleLockId, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::checkout::{CheckoutSession, CheckoutStatus, PaymentStatus, metadata_id, money};
use crate::money::{DisputeShown, RefundShown};

/// How far the time in a signature may be from ours, in both directions.
pub const TOLERANCE: Millis = Millis::from_secs(300);
const HEADER_BYTES_MAX: usize = 4_096;
const SIGNATURES_MAX: usize = 16;

/// A delivery that was Stripe's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEvent {
    /// Stripe's id of the event (`evt_...`); the same event may come more than once.
    pub id: String,
    /// Its type, such as `checkout.session.completed`.
    pub kind: String,
    /// When Stripe made it, to the second.
    pub created: Timestamp,
    /// Whether it is about real money.
    pub livemode: bool,
    /// The connected account it is about, if any.
    pub account: Option<String>,
    /// What it is about.
    pub object: EventObject,
}

/// The object of an event, as far as we read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventObject {
    /// Of `checkout.session.*`.
    Checkout(CheckoutSession),
    /// Of `payment_intent.*`.
    PaymentIntent(PaymentIntent),
    /// Of `refund.*` and `charge.refund.updated`.
    Refund(RefundShown),
    /// Of `charge.dispute.*`.
    Dispute(DisputeShown),
    /// Of `account.*`, `capability.*` and their like: the account, to be read again.
    Account {
        /// Stripe's id of the account.
        id: String,
    },
    /// Of `radar.early_fraud_warning.created`.
    FraudWarning {
        /// Stripe's id of the payment.
        payment: Option<String>,
        /// Stripe's id of the charge.
        charge: Option<String>,
    },
    /// Anything else, or one of the above in a shape we do not read: look it up by its id.
    Other {
        /// The object's id, if it has one.
        id: Option<String>,
    },
}

/// A payment as an event shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentIntent {
    /// Stripe's id of the payment (`pi_...`).
    pub payment_intent: String,
    /// Stripe's word for where it stands.
    pub status: String,
    /// What we attached to it.
    pub metadata: BTreeMap<String, String>,
    /// The amount in Stripe's minor units.
    pub amount: Option<u64>,
    /// The currency in lower case.
    pub currency: Option<String>,
}

impl ProviderEvent {
    /// The sale lock it is about, by reference or by metadata.
    #[must_use]
    pub fn sale_lock(&self) -> Option<SaleLockId> {
        match &self.object {
            EventObject::Checkout(session) => session.sale_lock(),
            EventObject::PaymentIntent(intent) => metadata_id(&intent.metadata, "sale_lock"),
            EventObject::Refund(_)
            | EventObject::Dispute(_)
            | EventObject::Account { .. }
            | EventObject::FraudWarning { .. }
            | EventObject::Other { .. } => None,
        }
    }

    /// The cluster that caused it; an event of another one is not ours.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        match &self.object {
            EventObject::Checkout(session) => session.cluster(),
            EventObject::PaymentIntent(intent) => metadata_id(&intent.metadata, "cluster"),
            EventObject::Refund(_)
            | EventObject::Dispute(_)
            | EventObject::Account { .. }
            | EventObject::FraudWarning { .. }
            | EventObject::Other { .. } => None,
        }
    }

    /// The amount it is about, when the currency is one of ours.
    #[must_use]
    pub fn total(&self) -> Option<Money> {
        match &self.object {
            EventObject::Checkout(session) => session.total(),
            EventObject::PaymentIntent(intent) => money(intent.amount, intent.currency.as_deref()),
            EventObject::Refund(_)
            | EventObject::Dispute(_)
            | EventObject::Account { .. }
            | EventObject::FraudWarning { .. }
            | EventObject::Other { .. } => None,
        }
    }
}

/// Why a delivery is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The header is not `t=<seconds>,v1=<hex>...`.
    #[error("read the signature header")]
    MalformedHeader,
    /// No `v1` signature fits any secret: not Stripe's, or changed on the way.
    #[error("match a signature to a secret")]
    NoMatch,
    /// Signed more than [`TOLERANCE`] ago.
    #[error("accept an old delivery ({age} old)")]
    TooOld {
        /// How long ago.
        age: Millis,
    },
    /// Signed more than [`TOLERANCE`] from now: one of the two clocks is wrong.
    #[error("accept a delivery from the future ({ahead} ahead)")]
    FromTheFuture {
        /// How far ahead.
        ahead: Millis,
    },
    /// Signed by Stripe, and not an event.
    #[error("read a signed event")]
    MalformedBody(#[source] serde_json::Error),
}

/// Checks a delivery and reads it.
///
/// `raw` is the body as received; `header` is `Stripe-Signature`; `secrets` are the whole
/// `whsec_...` strings, two while one is being replaced.
///
/// # Errors
/// See [`WebhookError`]. The time is looked at only once a signature fits.
pub fn verify(
    raw: &[u8],
    header: &str,
    secrets: &[Vec<u8>],
    now: Timestamp,
) -> Result<ProviderEvent, WebhookError> {
    let signed = SignatureHeader::parse(header).ok_or(WebhookError::MalformedHeader)?;
    if !secrets.iter().any(|secret| signed.fits(raw, secret)) {
        return Err(WebhookError::NoMatch);
    }
    let at = Timestamp::from_unix_millis(signed.seconds.saturating_mul(1_000));
    let (age, ahead) = (now.since(at), at.since(now));
    if age > TOLERANCE {
        return Err(WebhookError::TooOld { age });
    }
    if ahead > TOLERANCE {
        return Err(WebhookError::FromTheFuture { ahead });
    }
    read_event(raw).map_err(WebhookError::MalformedBody)
}

struct SignatureHeader<'a> {
    /// The text as signed; it is not always what the number prints as.
    text: &'a str,
    seconds: u64,
    signatures: Vec<[u8; 32]>,
}

impl<'a> SignatureHeader<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        if header.len() > HEADER_BYTES_MAX {
            return None;
        }
        let mut time = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                "t" if time.is_none() => time = Some(value),
                "v1" if signatures.len() < SIGNATURES_MAX => signatures.extend(from_hex(value)),
                // `v0` is a test scheme that proves nothing; others are not known.
                _ => {}
            }
        }
        let text = time?;
        Some(Self { text, seconds: text.parse().ok()?, signatures })
    }

    fn fits(&self, raw: &[u8], secret: &[u8]) -> bool {
        // An empty secret is a setting gone wrong, and anyone can sign with it.
        if secret.is_empty() {
            return false;
        }
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            return false;
        };
        mac.update(self.text.as_bytes());
        mac.update(b".");
        mac.update(raw);
        // `verify_slice` compares in constant time.
        self.signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[derive(Deserialize)]
struct RawEvent {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: u64,
    livemode: bool,
    #[serde(default)]
    account: Option<String>,
    data: RawPayload,
}

#[derive(Deserialize)]
struct RawPayload {
    object: Value,
}

#[derive(Deserialize)]
struct RawCheckout {
    id: String,
    #[serde(default)]
    client_reference_id: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    payment_status: Option<String>,
    #[serde(default)]
    payment_intent: Option<Value>,
    #[serde(default)]
    amount_total: Option<u64>,
    #[serde(default)]
    currency: Option<String>,
}

#[derive(Deserialize)]
struct RawPaymentIntent {
    id: String,
    status: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    amount: Option<u64>,
    #[serde(default)]
    currency: Option<String>,
}

/// A notification of API v2: it shows no object, only names it.
#[derive(Deserialize)]
struct RawThin {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: Timestamp,
    livemode: bool,
    #[serde(default)]
    related_object: Option<RawRelated>,
}

#[derive(Deserialize)]
struct RawRelated {
    id: String,
}

fn read_event(raw: &[u8]) -> Result<ProviderEvent, serde_json::Error> {
    let value: Value = serde_json::from_slice(raw)?;
    if value.get("object").and_then(Value::as_str) == Some("v2.core.event") {
        let thin = RawThin::deserialize(&value)?;
        let id = thin.related_object.map(|object| object.id);
        let object = match id {
            Some(id) if thin.kind.starts_with("v2.core.account") => EventObject::Account { id },
            id => EventObject::Other { id },
        };
        return Ok(ProviderEvent {
            object,
            id: thin.id,
            kind: thin.kind,
            created: thin.created,
            livemode: thin.livemode,
            account: None,
        });
    }
    let event = RawEvent::deserialize(value)?;
    let object = read_object(&event);
    Ok(ProviderEvent {
        object: object.unwrap_or_else(|| EventObject::Other { id: id_of(&event.data.object) }),
        id: event.id,
        kind: event.kind,
        created: Timestamp::from_unix_millis(event.created.saturating_mul(1_000)),
        livemode: event.livemode,
        account: event.account,
    })
}

fn read_object(event: &RawEvent) -> Option<EventObject> {
    let object = &event.data.object;
    let kind = event.kind.as_str();
    if kind.starts_with("checkout.session.") {
        let session = RawCheckout::deserialize(object).ok()?;
        Some(EventObject::Checkout(session.into()))
    } else if kind.starts_with("payment_intent.") {
        let intent = RawPaymentIntent::deserialize(object).ok()?;
        Some(EventObject::PaymentIntent(intent.into()))
    } else if kind.starts_with("refund.") || kind == "charge.refund.updated" {
        RefundShown::of(object).map(EventObject::Refund)
    } else if kind.starts_with("charge.dispute.") {
        DisputeShown::of(object).map(EventObject::Dispute)
    } else if kind.starts_with("account.") || kind.starts_with("capability.") {
        let account = object.get("account").map_or_else(|| id_of(object), id_of);
        let id = event.account.clone().or(account)?;
        Some(EventObject::Account { id })
    } else if kind == "radar.early_fraud_warning.created" {
        Some(EventObject::FraudWarning {
            payment: object.get("payment_intent").and_then(id_of),
            charge: object.get("charge").and_then(id_of),
        })
    } else {
        None
    }
}

/// An id, or the id of an object that was put in its place.
fn id_of(value: &Value) -> Option<String> {
    let id = value.as_str().or_else(|| value.get("id").and_then(Value::as_str));
    id.map(str::to_owned)
}

impl From<RawCheckout> for CheckoutSession {
    fn from(raw: RawCheckout) -> Self {
        Self {
            session_id: raw.id,
            client_reference_id: raw.client_reference_id,
            metadata: raw.metadata.unwrap_or_default(),
            status: CheckoutStatus::parse(raw.status.as_deref().unwrap_or_default()),
            payment_status: PaymentStatus::parse(raw.payment_status.as_deref().unwrap_or_default()),
            payment_intent: raw.payment_intent.as_ref().and_then(id_of),
            amount_total: raw.amount_total,
            currency: raw.currency,
        }
    }
}

impl From<RawPaymentIntent> for PaymentIntent {
    fn from(raw: RawPaymentIntent) -> Self {
        Self {
            payment_intent: raw.id,
            status: raw.status,
            metadata: raw.metadata.unwrap_or_default(),
            amount: raw.amount,
            currency: raw.currency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::RefundStatus;

    const BODY: &[u8] = br#"{"id":"evt_1","type":"ping","created":1790000000,"livemode":false,"data":{"object":{"id":"obj_1"}}}"#;
    /// `openssl dgst -sha256 -hmac whsec_one` over `1790000000.` and [`BODY`].
    const SIGNATURE: &str = "3255af5cd0152aab7aaae1c1af293efbade03c642d2bab848c0bf90f2383a020";

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn secrets(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    fn header() -> String {
        format!("t=1790000000,v1={SIGNATURE}")
    }

    fn signed(body: &str) -> Result<ProviderEvent, WebhookError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_one").expect("any length is taken");
        mac.update(b"1790000000.");
        mac.update(body.as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let header = format!("t=1790000000,v1={hex}");
        verify(body.as_bytes(), &header, &secrets(&["whsec_one"]), at(1_790_000_000))
    }

    #[test]
    fn a_signature_made_elsewhere_is_accepted() {
        let event = verify(BODY, &header(), &secrets(&["whsec_one"]), at(1_790_000_001))
            .expect("the signature is right");
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("evt_1", "ping"));
        assert_eq!(event.object, EventObject::Other { id: Some("obj_1".to_owned()) });
    }

    #[test]
    fn any_signature_may_fit_any_secret() {
        let wrong = "0".repeat(64);
        let header = format!("t=1790000000,v1={wrong},v0={wrong},v1={SIGNATURE},v9=x");
        let secrets = secrets(&["whsec_two", "whsec_one"]);
        assert!(verify(BODY, &header, &secrets, at(1_790_000_000)).is_ok());
    }

    #[test]
    fn a_changed_byte_is_refused_wherever_it_is() {
        let secrets = secrets(&["whsec_one"]);
        for position in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[position] ^= 1;
            let refused = verify(&body, &header(), &secrets, at(1_790_000_000));
            assert!(matches!(refused, Err(WebhookError::NoMatch)), "byte {position}");
        }
        let later = format!("t=1790000001,v1={SIGNATURE}");
        let refused = verify(BODY, &later, &secrets, at(1_790_000_000));
        assert!(matches!(refused, Err(WebhookError::NoMatch)));
    }

    #[test]
    fn the_test_scheme_and_an_empty_secret_prove_nothing() {
        let v0 = format!("t=1790000000,v0={SIGNATURE}");
        let refused = verify(BODY, &v0, &secrets(&["whsec_one"]), at(1_790_000_000));
        assert!(matches!(refused, Err(WebhookError::NoMatch)));
        for none in [secrets(&[]), secrets(&[""])] {
            let refused = verify(BODY, &header(), &none, at(1_790_000_000));
            assert!(matches!(refused, Err(WebhookError::NoMatch)));
        }
    }

    #[test]
    fn tolerance_is_five_minutes_on_both_sides() {
        let secrets = secrets(&["whsec_one"]);
        let verdict = |now| verify(BODY, &header(), &secrets, at(now));
        assert!(verdict(1_790_000_300).is_ok());
        assert!(verdict(1_789_999_700).is_ok());
        assert!(matches!(verdict(1_790_000_301), Err(WebhookError::TooOld { .. })));
        assert!(matches!(verdict(1_789_999_699), Err(WebhookError::FromTheFuture { .. })));
    }

    #[test]
    fn headers_of_another_shape_are_malformed() {
        let long = format!("t=1,{}", "v1=00,".repeat(1_000));
        for header in ["", "t", "t=,v1=00", "v1=00", "t=x,v1=00", "t=-5,v1=00", long.as_str()] {
            let refused = verify(BODY, header, &secrets(&["whsec_one"]), at(1));
            assert!(matches!(refused, Err(WebhookError::MalformedHeader)), "{header:.20}");
        }
    }

    #[test]
    fn a_paid_checkout_shows_lock_cluster_and_amount() {
        let event = signed(
            r#"{"id":"evt_2","type":"checkout.session.completed","created":1,"livemode":false,
            "data":{"object":{"id":"cs_1","client_reference_id":"lck_00000000000000000000000007",
            "metadata":{"cluster":"clu_00000000000000000000000001"},"status":"complete",
            "payment_status":"paid","payment_intent":{"id":"pi_1","object":"payment_intent"},
            "amount_total":500,"currency":"eur","new_field":{"a":[1]}}}}"#,
        )
        .expect("an event");
        assert_eq!(event.sale_lock(), Some(SaleLockId::from_bits(7)));
        assert_eq!(event.cluster(), Some(ClusterId::from_bits(1)));
        assert_eq!(event.total().map(|total| total.to_string()).as_deref(), Some("EUR 5.00"));
        let EventObject::Checkout(session) = event.object else { panic!("not a checkout") };
        assert_eq!(session.payment_intent.as_deref(), Some("pi_1"));
        assert_eq!(session.payment_status, PaymentStatus::Paid);
        assert_eq!(session.status, CheckoutStatus::Complete);
    }

    #[test]
    fn an_odd_object_is_an_event_all_the_same() {
        let event = signed(
            r#"{"id":"evt_3","type":"checkout.session.completed","created":1,"livemode":true,
            "data":{"object":{"id":"cs_1","amount_total":"five hundred"}}}"#,
        )
        .expect("an event");
        assert_eq!(event.object, EventObject::Other { id: Some("cs_1".to_owned()) });
        assert!(event.livemode);
        assert!(matches!(signed("{}"), Err(WebhookError::MalformedBody(_))));
    }

    #[test]
    fn a_failed_payment_finds_its_lock_by_metadata() {
        let event = signed(
            r#"{"id":"evt_4","type":"payment_intent.payment_failed","created":1,"livemode":false,
            "data":{"object":{"id":"pi_1","status":"requires_payment_method","amount":500,
            "currency":"jpy","metadata":{"sale_lock":"lck_00000000000000000000000007"}}}}"#,
        )
        .expect("an event");
        assert_eq!(event.sale_lock(), Some(SaleLockId::from_bits(7)));
        assert_eq!(event.total().map(|total| total.to_string()).as_deref(), Some("JPY 500"));
    }

    fn event_of(kind: &str, account: Option<&str>, object: &str) -> ProviderEvent {
        let account = account.map_or_else(|| "null".to_owned(), |account| format!("\"{account}\""));
        let body = format!(
            r#"{{"id":"evt_9","type":"{kind}","created":1,"livemode":false,
            "account":{account},"data":{{"object":{object}}}}}"#
        );
        signed(&body).expect("an event")
    }

    fn printed(amount: Option<Money>) -> Option<String> {
        amount.map(|amount| amount.to_string())
    }

    #[test]
    fn refunds_are_read_with_our_name_and_their_state() {
        let refund = |kind: &str, status: &str| {
            let object = format!(
                r#"{{"id":"re_1","object":"refund","amount":250,"currency":"eur","charge":"ch_1",
                "payment_intent":"pi_1","status":"{status}",
                "metadata":{{"refund":"{}"}}}}"#,
                fairground_types::RefundId::from_bits(5)
            );
            let EventObject::Refund(shown) = event_of(kind, None, &object).object else {
                panic!("no refund in {kind}")
            };
            shown
        };
        for (kind, word, status) in [
            ("refund.created", "pending", RefundStatus::Pending),
            ("refund.updated", "requires_action", RefundStatus::Pending),
            ("refund.updated", "succeeded", RefundStatus::Succeeded),
            ("refund.failed", "failed", RefundStatus::Failed),
            ("charge.refund.updated", "canceled", RefundStatus::Cancelled),
        ] {
            let shown = refund(kind, word);
            assert_eq!(shown.status, status, "{word}");
            assert_eq!((shown.id.as_str(), shown.payment.as_deref()), ("re_1", Some("pi_1")));
            assert_eq!(shown.ours, Some(fairground_types::RefundId::from_bits(5)));
            assert_eq!(printed(shown.amount).as_deref(), Some("EUR 2.50"));
        }
        // The charge's own sum says nothing about one refund.
        let charge = r#"{"id":"ch_1","object":"charge","amount_refunded":250,"currency":"eur"}"#;
        let summed = event_of("charge.refunded", None, charge).object;
        assert_eq!(summed, EventObject::Other { id: Some("ch_1".to_owned()) });
    }

    #[test]
    fn disputes_are_read_with_their_fee_and_their_last_day() {
        let object = r#"{"id":"dp_1","object":"dispute","amount":500,"currency":"usd",
            "charge":{"id":"ch_1","object":"charge"},"payment_intent":"pi_1","reason":"fraudulent",
            "status":"needs_response","evidence_details":{"due_by":1790000000,"past_due":false},
            "balance_transactions":[{"id":"txn_1","amount":-500,"fee":1500,"currency":"usd"}]}"#;
        let event = event_of("charge.dispute.created", None, object);
        let EventObject::Dispute(shown) = event.object else { panic!("no dispute") };
        assert_eq!((shown.id.as_str(), shown.charge.as_deref()), ("dp_1", Some("ch_1")));
        assert_eq!(printed(shown.amount).as_deref(), Some("USD 5.00"));
        assert_eq!(printed(shown.fee).as_deref(), Some("USD 15.00"));
        assert_eq!(
            (shown.reason.as_str(), shown.status.as_str()),
            ("fraudulent", "needs_response")
        );
        assert_eq!(shown.due_by, Some(at(1_790_000_000)));
        let bare = event_of("charge.dispute.closed", None, r#"{"id":"dp_1","status":"won"}"#);
        let EventObject::Dispute(shown) = bare.object else { panic!("no dispute") };
        assert_eq!((shown.status.as_str(), shown.fee, shown.due_by), ("won", None, None));
    }

    #[test]
    fn events_about_accounts_name_the_account_and_show_nothing_else() {
        let account = |id: &str| EventObject::Account { id: id.to_owned() };
        let own = r#"{"id":"acct_1","object":"account","payouts_enabled":true}"#;
        assert_eq!(event_of("account.updated", None, own).object, account("acct_1"));
        assert_eq!(event_of("account.updated", Some("acct_1"), own).object, account("acct_1"));
        let capability = r#"{"id":"transfers","object":"capability","account":"acct_2"}"#;
        assert_eq!(event_of("capability.updated", None, capability).object, account("acct_2"));
        let app = r#"{"id":"ca_1","object":"application"}"#;
        let gone = event_of("account.application.deauthorized", Some("acct_3"), app);
        assert_eq!(gone.object, account("acct_3"), "not the application");
        let thin = signed(
            r#"{"id":"evt_8","object":"v2.core.event","livemode":false,
            "type":"v2.core.account[requirements].updated","created":"2026-11-24T12:00:00Z",
            "related_object":{"id":"acct_4","type":"v2.core.account","url":"/v2/x"}}"#,
        );
        assert_eq!(thin.expect("an event").object, account("acct_4"));
    }

    /// Stripe's own samples, where the setting names them.
    #[test]
    fn stripes_own_samples_are_read() {
        let Some(folder) = std::env::var_os("FAIRGROUND_TEST_SPECS") else {
            println!("skipped stripes_own_samples_are_read: FAIRGROUND_TEST_SPECS names no folder");
            return;
        };
        let path = std::path::Path::new(&folder).join("stripe-fixtures-subset.json");
        let text = std::fs::read_to_string(path).expect("readable");
        let samples: Value = serde_json::from_str(&text).expect("JSON");
        let of = |kind: &str, name: &str| {
            let sample = samples["resources"][name].to_string();
            event_of(kind, None, &sample).object
        };
        let EventObject::Refund(refund) = of("refund.updated", "refund") else { panic!("refund") };
        assert_eq!(refund.status, RefundStatus::Succeeded);
        assert!(refund.ours.is_none() && refund.amount.is_some());
        let EventObject::Dispute(dispute) = of("charge.dispute.created", "dispute") else {
            panic!("dispute")
        };
        assert!(dispute.charge.is_some() && dispute.due_by.is_some());
        assert_eq!(dispute.status, "warning_needs_response");
        let EventObject::Account { id } = of("account.updated", "account") else {
            panic!("account")
        };
        assert!(id.starts_with("acct_"));
        let EventObject::Account { id } = of("capability.updated", "capability") else {
            panic!("capability")
        };
        assert!(id.starts_with("acct_"), "{id}");
        let warning = of("radar.early_fraud_warning.created", "radar.early_fraud_warning");
        let EventObject::FraudWarning { charge, .. } = warning else { panic!("warning") };
        assert!(charge.is_some());
    }
}
