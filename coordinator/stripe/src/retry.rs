//! When a failed call is made again, after how long, and what it is called when it is not.
//!
//! Pure: no clock, no socket, no randomness of its own; the jitter comes from a seed so that a run
//! can be repeated. Rules from Stripe's low-level error guide: repeat on network failures, 409, 424,
//! 429 and 5xx, obey `Stripe-Should-Retry` and `Retry-After`. Read next: [`crate::client`].

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use fairground_types::Millis;
use serde::Deserialize;

use crate::error::StripeError;

/// Attempts at a call that changes something.
pub(crate) const WRITE_ATTEMPTS_MAX: u32 = 4;
/// Attempts at a call that only reads.
pub(crate) const READ_ATTEMPTS_MAX: u32 = 3;
/// No attempt starts later than this after the first one started.
pub(crate) const CALL_BUDGET: Duration = Duration::from_secs(30);
const BACKOFF_FIRST_MS: u64 = 500;
const BACKOFF_MAX_MS: u64 = 20_000;
const RETRY_AFTER_DEFAULT: Millis = Millis::from_secs(5);
const RETRY_AFTER_MAX_S: u64 = 3_600;

/// The parts of an HTTP answer that decide.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
    pub(crate) should_retry: Option<bool>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) replayed: bool,
    pub(crate) body: Bytes,
}

/// Without the body, which may hold personal data.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .field("should_retry", &self.should_retry)
            .field("retry_after", &self.retry_after)
            .field("replayed", &self.replayed)
            .finish_non_exhaustive()
    }
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// An attempt that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection, so nothing was sent.
    NotSent(reqwest::Error),
    /// Sent, and no whole answer came back.
    NoAnswer(reqwest::Error),
    /// The answer was longer than we read.
    TooLong { status: u16, request_id: Option<String> },
    /// An answer other than 2xx.
    Answered(Answer),
}

impl Failure {
    /// Whether the call may have been carried out all the same.
    pub(crate) const fn leaves_doubt(&self) -> bool {
        match self {
            Self::NotSent(_) => false,
            Self::NoAnswer(_) | Self::TooLong { .. } => true,
            Self::Answered(answer) => answer.status >= 500 || matches!(answer.status, 409 | 424),
        }
    }

    /// How long to wait before attempt `next` (the second is 2), or `None` to stop.
    pub(crate) fn wait_before(&self, next: u32, seed: u64) -> Option<Duration> {
        let backoff = jittered(next, seed);
        match self {
            Self::NotSent(_) | Self::NoAnswer(_) => Some(backoff),
            Self::TooLong { .. } => None,
            Self::Answered(answer) => {
                let transient = matches!(answer.status, 409 | 424 | 429) || answer.status >= 500;
                let wanted = answer.should_retry.unwrap_or(transient) && transient;
                wanted.then(|| backoff.max(answer.retry_after.unwrap_or_default()))
            }
        }
    }

    /// Names the failure for the caller. `doubt`: an attempt may have been carried out.
    pub(crate) fn into_error(self, operation: String, doubt: bool) -> StripeError {
        match self {
            Self::NotSent(source) | Self::NoAnswer(source) if doubt => StripeError::Unknown {
                operation,
                status: None,
                request_id: None,
                source: Some(source),
            },
            Self::NotSent(source) | Self::NoAnswer(source) => StripeError::Unavailable {
                operation,
                retry_after: RETRY_AFTER_DEFAULT,
                status: None,
                request_id: None,
                source: Some(source),
            },
            Self::TooLong { status, request_id } => {
                StripeError::Unknown { operation, status: Some(status), request_id, source: None }
            }
            Self::Answered(answer) => named_by_status(answer, operation, doubt),
        }
    }
}

fn named_by_status(answer: Answer, operation: String, doubt: bool) -> StripeError {
    let Answer { status, request_id, retry_after, body, .. } = answer;
    match status {
        401 | 403 => StripeError::Misconfigured {
            operation,
            reason: ErrorBody::parse(&body).code_or_kind(),
            request_id,
        },
        409 | 424 | 429 | 500.. if doubt => {
            StripeError::Unknown { operation, status: Some(status), request_id, source: None }
        }
        409 | 424 | 429 | 500.. => StripeError::Unavailable {
            operation,
            retry_after: retry_after.map_or(RETRY_AFTER_DEFAULT, in_millis),
            status: Some(status),
            request_id,
            source: None,
        },
        _ => {
            let error = ErrorBody::parse(&body);
            StripeError::Refused {
                operation,
                status,
                code: error.code_or_kind(),
                kind: error.kind,
                param: error.param,
                request_id,
            }
        }
    }
}

/// Stripe's error object, as far as we read it. Its message may hold personal data: not kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    #[serde(rename = "type")]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
}

impl ErrorBody {
    fn parse(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Envelope {
            error: ErrorBody,
        }
        serde_json::from_slice::<Envelope>(body).map_or_else(|_| Self::default(), |e| e.error)
    }

    fn code_or_kind(&self) -> String {
        let code = self.decline_code.as_ref().or(self.code.as_ref()).unwrap_or(&self.kind);
        if code.is_empty() { "unnamed".to_owned() } else { code.clone() }
    }
}

/// Reads `Retry-After` in seconds; the date form is not sent by Stripe.
pub(crate) fn parse_retry_after(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(RETRY_AFTER_MAX_S)))
}

/// A number for the jitter of one call, so that two calls of one process do not wait alike.
pub(crate) fn seed_of(seed: u64, key: &str) -> u64 {
    key.bytes().fold(seed, |state, byte| mixed(state ^ u64::from(byte)))
}

/// Full jitter: anything from nothing to the backoff of this attempt.
fn jittered(next: u32, seed: u64) -> Duration {
    let doublings = next.saturating_sub(2).min(16);
    let ceiling = BACKOFF_FIRST_MS.saturating_mul(1 << doublings).min(BACKOFF_MAX_MS);
    Duration::from_millis(mixed(seed ^ u64::from(next)) % ceiling.saturating_add(1))
}

/// The finaliser of SplitMix64.
const fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

fn in_millis(span: Duration) -> Millis {
    Millis::new(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, should_retry: Option<bool>, body: &'static str) -> Failure {
        Failure::Answered(Answer {
            status,
            request_id: Some("req_1".to_owned()),
            should_retry,
            retry_after: parse_retry_after("7"),
            replayed: false,
            body: Bytes::from_static(body.as_bytes()),
        })
    }

    #[test]
    fn transient_statuses_wait_as_long_as_stripe_says() {
        for status in [409, 424, 429, 500, 503] {
            let wait = answered(status, None, "{}").wait_before(2, 1);
            assert_eq!(wait, Some(Duration::from_secs(7)), "status {status}");
        }
    }

    #[test]
    fn refusals_and_a_no_from_stripe_stop_at_once() {
        for status in [400, 401, 402, 403, 404] {
            assert_eq!(answered(status, None, "{}").wait_before(2, 1), None);
            assert_eq!(answered(status, Some(true), "{}").wait_before(2, 1), None);
        }
        assert_eq!(answered(500, Some(false), "{}").wait_before(2, 1), None);
    }

    #[test]
    fn what_is_logged_of_an_answer_is_not_its_body() {
        let failure = answered(500, None, r#"{"email":"buyer-7@mail.example"}"#);
        let text = format!("{failure:?}");
        assert!(text.contains("req_1") && !text.contains("buyer-7"), "{text}");
    }

    #[test]
    fn jitter_stays_below_its_ceiling_and_repeats_with_its_seed() {
        for next in 2..40 {
            for seed in 0..50 {
                let wait = jittered(next, seed);
                assert_eq!(wait, jittered(next, seed));
                assert!(wait <= Duration::from_millis(BACKOFF_MAX_MS));
                assert!(next > 2 || wait <= Duration::from_millis(BACKOFF_FIRST_MS));
            }
        }
        assert_ne!(seed_of(1, "a"), seed_of(1, "b"));
    }

    #[test]
    fn a_declined_card_is_named_by_its_decline_code() {
        let body = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"generic_decline"}}"#;
        let error = answered(402, None, body).into_error("POST /x".to_owned(), false);
        assert!(matches!(error, StripeError::Refused { ref code, ref kind, status: 402, .. }
                if code == "generic_decline" && kind == "card_error"));
    }

    #[test]
    fn doubt_turns_unavailable_into_unknown() {
        let sure = answered(429, None, "{}").into_error("POST /x".to_owned(), false);
        assert!(matches!(sure, StripeError::Unavailable { retry_after, .. }
            if retry_after == Millis::from_secs(7)));
        let unsure = answered(429, None, "{}").into_error("POST /x".to_owned(), true);
        assert!(matches!(unsure, StripeError::Unknown { status: Some(429), .. }));
        assert!(answered(503, None, "{}").leaves_doubt());
        assert!(!answered(429, None, "{}").leaves_doubt());
    }

    #[test]
    fn a_wrong_key_is_the_operators_to_mend() {
        let error = answered(401, None, "no json").into_error("GET /x".to_owned(), false);
        assert!(
            matches!(error, StripeError::Misconfigured { ref reason, .. } if reason == "unnamed")
        );
    }
}
