//! What can go wrong in a call to a provider, sorted by what the caller can do about it.
//!
//! Nothing here holds a request or an answer's text: only the provider's name, a status and a code,
//! which may be logged. Read next: [`crate::call`], which repeats what may be repeated.

use std::time::Duration;

use fairground_types::Timestamp;

/// A call to a provider that did not do what it was for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The request never left: nothing happened. Repeat it.
    #[error("connect to {provider}")]
    Unreached {
        /// Whom.
        provider: &'static str,
        /// What the network said.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The request left and nobody knows whether it was carried out.
    #[error("learn the outcome at {provider} (status {status:?})")]
    Unsettled {
        /// Whom.
        provider: &'static str,
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// What the network said.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The provider said later. Repeat it after the wait.
    #[error("have {provider} take it now (status {status}, {code})")]
    Unavailable {
        /// Whom.
        provider: &'static str,
        /// The status of the answer.
        status: u16,
        /// The provider's code, or empty.
        code: String,
        /// How long it asked to wait, if it said so.
        retry_after: Option<Duration>,
    },
    /// The provider said no for good: repeating changes nothing.
    #[error("have it taken by {provider} ({code})")]
    Refused {
        /// Whom.
        provider: &'static str,
        /// The provider's code, or the status.
        code: String,
    },
    /// The device's token, or the address, is not valid any more: forget it.
    #[error("find the reader at {provider} ({code})")]
    Gone {
        /// Whom.
        provider: &'static str,
        /// The provider's code.
        code: String,
        /// Since when, if it said so: a token registered after it is another one.
        since: Option<Timestamp>,
    },
    /// The settings are wrong: an operator must act, then the same call may be repeated.
    #[error("use the settings of {provider} ({code})")]
    Misconfigured {
        /// Whom.
        provider: &'static str,
        /// The provider's code, or our reason.
        code: String,
    },
    /// The answer is in a shape that this version does not read.
    #[error("read the answer of {provider}")]
    Unreadable {
        /// Whom.
        provider: &'static str,
    },
    /// Not called: it failed too often just now, or too many calls are under way.
    #[error("call {provider}, which is paused")]
    Paused {
        /// Whom.
        provider: &'static str,
        /// How long to wait at least.
        retry_after: Duration,
    },
}

impl ProviderError {
    /// Whether nothing was carried out and the same call may be made again.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreached { .. } | Self::Unavailable { .. } | Self::Paused { .. })
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreached { .. }
            | Self::Unsettled { .. }
            | Self::Unavailable { .. }
            | Self::Misconfigured { .. }
            | Self::Unreadable { .. }
            | Self::Paused { .. } => true,
            Self::Refused { .. } | Self::Gone { .. } => false,
        }
    }

    /// How long the provider, or its breaker, asked to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Paused { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether it speaks of the provider's health: five in a row open the breaker.
    pub(crate) const fn is_failure(&self) -> bool {
        match self {
            Self::Unreached { .. } | Self::Unsettled { .. } | Self::Unreadable { .. } => true,
            Self::Unavailable { status, .. } => *status != 429,
            Self::Refused { .. }
            | Self::Gone { .. }
            | Self::Misconfigured { .. }
            | Self::Paused { .. } => false,
        }
    }
}
