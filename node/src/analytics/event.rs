//! The catalogue of events that clients may tell, and what each may carry.
//!
//! An event is taken whole or not at all. Every member is a number, a choice, a public id or a plain
//! word: there is no place for an address, a mail or a number of a phone or card. Pure. Read next:
//! `super`.

use std::collections::BTreeMap;

use fairground_types::text::Country;
use fairground_types::{AuctionId, Currency, OrderId, StoryId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EVENT_BYTES_MAX, Pseudonyms};

/// What clients tell.
const CLIENT_EVENTS: [&str; 32] = [
    "add_tracking_opened",
    "bid_opened",
    "checkout_address_submitted",
    "checkout_pay_clicked",
    "checkout_payment_submitted",
    "checkout_review_viewed",
    "checkout_started",
    "feed_item_impression",
    "feed_like_tapped",
    "feed_longpress_actions_opened",
    "feed_page_loaded",
    "feed_preferences_updated",
    "feed_recommendation_served",
    "feed_view_story_tapped",
    "feed_viewed",
    "issue_report_opened",
    "maker_accept_clicked",
    "maker_dashboard_viewed",
    "notification_prefs_updated",
    "offer_opened",
    "offer_policy_updated",
    "offers_list_viewed",
    "order_viewed",
    "orders_list_viewed",
    "payment_required_viewed",
    "story_caption_toggled",
    "story_primary_cta",
    "story_saved",
    "story_share",
    "story_transcript_viewed",
    "story_viewed",
    "to_ship_viewed",
];
/// Clients may tell every step of writing a story.
const DRAFT_EVENTS: &str = "maker_draft_";
/// What the log tells: begins so, and is never a client's to say.
const SERVER_EVENTS: [&str; 12] = [
    "auction_",
    "auth_",
    "bid_",
    "capability_",
    "ff_",
    "issue_report_submitted",
    "media_",
    "offer_",
    "order_",
    "payment_",
    "payments.",
    "tracking_",
];
const NAME_MAX: usize = 64;
const WORD_MAX: usize = 64;
const VERSION_MAX: usize = 32;
const COUNTS_MAX: usize = 8;
/// Digits in a row that could be a number of somebody or something.
const DIGITS_MAX: usize = 6;

/// Why an event is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reason {
    /// Nobody knows the name.
    UnknownName,
    /// The log tells it.
    ServerOwned,
    /// A member is unknown, missing, too long or not plain.
    Malformed,
}

/// Something that a person did in an app.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AnalyticsEvent {
    /// From the catalogue of client events.
    #[schema(max_length = 64)]
    name: String,
    /// By the client's clock.
    occurred_at: Timestamp,
    context: EventContext,
    #[serde(default)]
    properties: EventProperties,
}

/// What the app runs on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ClientPlatform {
    Android,
    Ios,
    Web,
}

/// Where an event happened.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventContext {
    /// Letters, digits and `-_.`.
    #[schema(max_length = 32)]
    app_version: String,
    platform: ClientPlatform,
    /// As `de-DE`; letters, digits and `-_./:`, as every word here, and no long numbers.
    #[serde(default)]
    #[schema(max_length = 64)]
    locale: Option<String>,
    /// The screen or site before, without a query.
    #[serde(default)]
    #[schema(max_length = 64)]
    referrer: Option<String>,
    #[serde(default)]
    #[schema(max_length = 64)]
    screen: Option<String>,
    /// The app's own name for this run of it; it is kept as a pseudonym.
    #[schema(max_length = 64)]
    session_id: String,
}

/// What an event is about; every member may be absent.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventProperties {
    story_id: Option<StoryId>,
    auction_id: Option<AuctionId>,
    /// It is kept as a pseudonym.
    order_id: Option<OrderId>,
    #[schema(max_length = 64)]
    source: Option<String>,
    #[schema(max_length = 64)]
    channel: Option<String>,
    #[schema(max_length = 64)]
    algorithm: Option<String>,
    #[schema(value_type = Option<String>)]
    country: Option<Country>,
    has_validation_errors: Option<bool>,
    enabled: Option<bool>,
    position: Option<u32>,
    duration_ms: Option<u32>,
    /// A sum, in minor units of `currency`.
    total_minor: Option<u64>,
    /// A least offer, in minor units of `currency`.
    threshold_minor: Option<u64>,
    currency: Option<Currency>,
    /// At most eight, by a plain word.
    counts: BTreeMap<String, u32>,
}

/// An event as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventLine<'a> {
    received_at: Timestamp,
    occurred_at: Timestamp,
    name: &'a str,
    /// A pseudonym.
    person: &'a str,
    /// A pseudonym.
    session: String,
    app_version: &'a str,
    platform: ClientPlatform,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    screen: Option<&'a str>,
    /// The person let it be measured; without that there is no line.
    consents: [&'static str; 1],
    properties: PropertiesLine<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PropertiesLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    story_id: Option<StoryId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auction_id: Option<AuctionId>,
    /// A pseudonym.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a Country>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_validation_errors: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_minor: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold_minor: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    counts: &'a BTreeMap<String, u32>,
}

/// What is kept of an event that is not taken: no value of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuarantineLine<'a> {
    received_at: Timestamp,
    reason: Reason,
    /// Its name, where that is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    bytes: usize,
}

/// Whether a text says nothing about anybody: letters, digits and a few signs, no long number.
fn is_plain(text: &str) -> bool {
    let is_sign = |byte: u8| matches!(byte, b'-' | b'_' | b'.' | b'/' | b':');
    let mut digits = 0_usize;
    !text.is_empty()
        && text.len() <= WORD_MAX
        && text.bytes().all(|byte| {
            // Signs between digits do not make two numbers of one.
            digits = match byte {
                b'0'..=b'9' => digits.saturating_add(1),
                _ if is_sign(byte) => digits,
                _ => 0,
            };
            (byte.is_ascii_alphanumeric() || is_sign(byte)) && digits <= DIGITS_MAX
        })
}

/// Whether a text names a version of an app; those may have long numbers.
fn is_version(text: &str) -> bool {
    (1..=VERSION_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.')
}

fn judge_name(name: &str) -> Result<(), Reason> {
    let is_known = CLIENT_EVENTS.contains(&name)
        || name.strip_prefix(DRAFT_EVENTS).is_some_and(|step| !step.is_empty());
    if is_known && is_name(name) {
        return Ok(());
    }
    if SERVER_EVENTS.iter().any(|start| name.starts_with(start)) {
        return Err(Reason::ServerOwned);
    }
    Err(Reason::UnknownName)
}

/// Reads an event; says why not.
pub(super) fn judge(event: &Value) -> Result<AnalyticsEvent, Reason> {
    if size_of(event) > EVENT_BYTES_MAX {
        return Err(Reason::Malformed);
    }
    judge_name(event.get("name").and_then(Value::as_str).ok_or(Reason::Malformed)?)?;
    let event = AnalyticsEvent::deserialize(event).map_err(|_| Reason::Malformed)?;
    let (context, about) = (&event.context, &event.properties);
    let words = [&context.locale, &context.referrer, &context.screen];
    let words = words.into_iter().chain([&about.source, &about.channel, &about.algorithm]);
    let are_plain = words.flatten().all(|word| is_plain(word))
        && is_version(&context.app_version)
        && !context.session_id.is_empty()
        && context.session_id.len() <= WORD_MAX
        && about.counts.len() <= COUNTS_MAX
        && about.counts.keys().all(|word| is_plain(word));
    let has_sum = about.total_minor.or(about.threshold_minor).is_some();
    if are_plain && (!has_sum || about.currency.is_some()) {
        Ok(event)
    } else {
        Err(Reason::Malformed)
    }
}

fn size_of(event: &Value) -> usize {
    serde_json::to_vec(event).map_or(usize::MAX, |bytes| bytes.len())
}

fn ended(line: &impl Serialize) -> Vec<u8> {
    // Texts and numbers always have a JSON form.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The line of an event that is not taken.
pub(super) fn quarantined(event: &Value, reason: Reason, received_at: Timestamp) -> Vec<u8> {
    let name = event.get("name").and_then(Value::as_str).filter(|name| is_name(name));
    ended(&QuarantineLine { received_at, reason, name, bytes: size_of(event) })
}

impl AnalyticsEvent {
    /// The line of an event that is taken.
    pub(super) fn line(
        &self,
        names: &Pseudonyms<'_>,
        person: &str,
        received_at: Timestamp,
    ) -> Vec<u8> {
        let (context, about) = (&self.context, &self.properties);
        ended(&EventLine {
            received_at,
            occurred_at: self.occurred_at,
            name: &self.name,
            person,
            session: names.of("session", &context.session_id),
            app_version: &context.app_version,
            platform: context.platform,
            locale: context.locale.as_deref(),
            referrer: context.referrer.as_deref(),
            screen: context.screen.as_deref(),
            consents: ["analytics"],
            properties: PropertiesLine {
                story_id: about.story_id,
                auction_id: about.auction_id,
                order: about.order_id.map(|order| names.of("order", &order.to_string())),
                source: about.source.as_deref(),
                channel: about.channel.as_deref(),
                algorithm: about.algorithm.as_deref(),
                country: about.country.as_ref(),
                has_validation_errors: about.has_validation_errors,
                enabled: about.enabled,
                position: about.position,
                duration_ms: about.duration_ms,
                total_minor: about.total_minor,
                threshold_minor: about.threshold_minor,
                currency: about.currency,
                counts: &about.counts,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(change: impl FnOnce(&mut Value)) -> Result<(), Reason> {
        let mut event = json!({
            "name": "story_viewed",
            "occurredAt": "2026-11-24T10:00:00.000Z",
            "context": {
                "appVersion": "1.4.0-20261124", "platform": "android",
                "locale": "de-DE", "referrer": "feed", "screen": "story", "sessionId": "any text @ all",
            },
            "properties": {
                "storyId": StoryId::from_bits(3), "source": "feed", "position": 4,
                "totalMinor": 1_200, "currency": "EUR", "counts": { "toShip": 2 },
            },
        });
        change(&mut event);
        judge(&event).map(|_| ())
    }

    #[test]
    fn names_of_the_catalogue_are_taken_and_those_of_the_log_are_not() {
        for name in CLIENT_EVENTS {
            assert_eq!(judge_name(name), Ok(()), "{name}");
        }
        assert_eq!(judge_name("maker_draft_clip_added"), Ok(()));
        for name in ["bid_submitted", "payment_succeeded", "payments.checkout.completed"] {
            assert_eq!(judge_name(name), Err(Reason::ServerOwned), "{name}");
        }
        for name in ["", "maker_draft_", "maker_draft_<b>", "feed viewed", "FEED_VIEWED", "x"] {
            assert_eq!(judge_name(name), Err(Reason::UnknownName), "{name}");
        }
    }

    #[test]
    fn an_event_carries_only_what_is_known_bounded_and_says_nothing_of_a_person() {
        assert_eq!(with(|_| ()), Ok(()));
        let malformed = Err(Reason::Malformed);
        assert_eq!(with(|event| event["email"] = json!("x")), malformed);
        assert_eq!(with(|event| event["context"]["userId"] = json!("x")), malformed);
        assert_eq!(with(|event| event["properties"]["phone"] = json!("x")), malformed);
        assert_eq!(with(|event| event["context"]["platform"] = json!("toaster")), malformed);
        for word in
            ["buyer-7@shop.example", "+49 170 1234567", "4917-0123", "a".repeat(65).as_str(), ""]
        {
            assert_eq!(with(|event| event["context"]["screen"] = json!(word)), malformed, "{word}");
            assert_eq!(with(|event| event["properties"]["source"] = json!(word)), malformed);
        }
        assert_eq!(with(|event| event["properties"]["totalMinor"] = json!(1.5)), malformed);
        assert_eq!(with(|event| event["properties"]["currency"] = Value::Null), malformed);
        assert_eq!(with(|event| event["occurredAt"] = json!("yesterday")), malformed);
        assert_eq!(with(|event| event["name"] = json!(7)), malformed);
        assert_eq!(with(|event| event["properties"]["more"] = json!("x".repeat(5_000))), malformed);
        let many: BTreeMap<String, u32> = ('a'..='i').map(|word| (word.to_string(), 1)).collect();
        assert_eq!(with(|event| event["properties"]["counts"] = json!(many)), malformed);
        assert_eq!(judge(&json!("text")).map(|_| ()), malformed);
    }
}
