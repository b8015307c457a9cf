//! What can go wrong in a call to Stripe, sorted by what the caller can do about it.
//!
//! Nothing here holds a request or an answer's text: only codes and Stripe's request id, which may
//! be logged. Read next: [`crate::retry`] for how a failure gets its variant.

use fairground_types::Millis;
use stripe_client_core::StripeClientErr;

/// A call to Stripe that did not give an answer to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StripeError {
    /// Nobody knows whether it happened. Repeat it later with the same key and the same request.
    #[error("learn the outcome at Stripe of {operation} (status {status:?}, {request_id:?})")]
    Unknown {
        /// Method and path.
        operation: String,
        /// HTTP status of the last answer, if there was one.
        status: Option<u16>,
        /// Stripe's `Request-Id`, if there was an answer.
        request_id: Option<String>,
        /// What the network said.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// Stripe said no for good: repeating changes nothing.
    #[error("have {operation} accepted by Stripe ({code}, status {status}, {request_id:?})")]
    Refused {
        /// Method and path.
        operation: String,
        /// HTTP status; 0 when it was refused before it was sent.
        status: u16,
        /// Stripe's `error.type`, such as `card_error` or `idempotency_error`.
        kind: String,
        /// Stripe's `error.code`, or its type when it names none.
        code: String,
        /// The parameter at fault, if named.
        param: Option<String>,
        /// Stripe's `Request-Id`.
        request_id: Option<String>,
    },
    /// It did not happen. Call again, with the same key, after the wait.
    #[error("reach Stripe for {operation} (status {status:?}, {request_id:?})")]
    Unavailable {
        /// Method and path.
        operation: String,
        /// How long to wait at least.
        retry_after: Millis,
        /// HTTP status of the last answer, if there was one.
        status: Option<u16>,
        /// Stripe's `Request-Id`, if there was an answer.
        request_id: Option<String>,
        /// What the network said.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The key or its rights are wrong: an operator must act, then the same call may be repeated.
    #[error("use the Stripe settings for {operation} ({reason}, {request_id:?})")]
    Misconfigured {
        /// Method and path, or the setting.
        operation: String,
        /// Stripe's code or our reason.
        reason: String,
        /// Stripe's `Request-Id`, if there was an answer.
        request_id: Option<String>,
    },
    /// Stripe answered yes in a shape that this version does not read. It happened; look at it by
    /// other means, do not open another.
    #[error("read Stripe's answer ({reason})")]
    Unreadable {
        /// What the reader said.
        reason: String,
    },
}

impl StripeError {
    /// A request that is wrong before it is sent.
    pub(crate) fn refused_here(operation: &str, code: &str) -> Self {
        Self::Refused {
            operation: operation.to_owned(),
            status: 0,
            kind: "invalid_request_error".to_owned(),
            code: code.to_owned(),
            param: None,
            request_id: None,
        }
    }

    /// Stripe's `Request-Id`, for the log and for Stripe's support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Unknown { request_id, .. }
            | Self::Refused { request_id, .. }
            | Self::Unavailable { request_id, .. }
            | Self::Misconfigured { request_id, .. } => request_id.as_deref(),
            Self::Unreadable { .. } => None,
        }
    }

    /// Whether the same call with the same key may be made again later.
    #[must_use]
    pub const fn is_repeatable(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::Unavailable { .. } | Self::Misconfigured { .. } => true,
            Self::Refused { .. } | Self::Unreadable { .. } => false,
        }
    }
}

impl StripeClientErr for StripeError {
    fn deserialize_err(msg: impl std::fmt::Display) -> Self {
        Self::Unreadable { reason: msg.to_string() }
    }
}
