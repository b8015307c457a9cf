//! What can go wrong with a clip, by what the caller can do about it.
//!
//! A [`Rejection`] is the uploader's to fix and its text is public; every other variant is ours or
//! the operator's and its text may name paths and tools.

use std::time::Duration;

use crate::token::TokenError;

/// Why a step of the media pipeline did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The clip itself is not acceptable; tell the uploader.
    #[error("accept the clip: {0}")]
    Rejected(#[from] Rejection),
    /// A file or pipe failed; retry on another disk or machine.
    #[error("{action}")]
    Io {
        /// What was being done, as a lower-case fragment.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A tool is absent or could not be started; the operator must act.
    #[error("start {tool}")]
    ToolMissing {
        /// Name of the tool.
        tool: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A tool ended with an error on input that we made ourselves, or crashed.
    #[error("run {tool} ({status}): {detail}")]
    Tool {
        /// Name of the tool.
        tool: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it wrote to standard error.
        detail: String,
    },
    /// A tool used up the time it was given and was killed.
    #[error("finish {tool} within {limit:?}")]
    TimedOut {
        /// Name of the tool.
        tool: &'static str,
        /// The wall-clock time that it had.
        limit: Duration,
    },
    /// The jail could not be set up to the level that the configuration asks for.
    #[error("jail a tool: {0}")]
    Jail(String),
    /// A bitstream or box that we made or parsed is not what it must be.
    #[error("package the stream: {0}")]
    Stream(String),
    /// The encoder refused its settings or failed.
    #[error("encode: {0}")]
    Encoder(String),
    /// A manifest that does not parse or breaks its own rules.
    #[error("read the manifest: {0}")]
    Manifest(String),
    /// A playback token that is not good.
    #[error("accept the playback token")]
    Token(#[from] TokenError),
    /// The blob sink did not take a blob; retry later.
    #[error("store a blob: {0}")]
    Sink(String),
}

/// Why a clip is refused. Both parts may be shown to the person who uploaded it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// Stable machine reason, for example `not_a_video`.
    pub reason: &'static str,
    /// One sentence for a person, without names of files or tools.
    pub detail: String,
}

impl Rejection {
    /// Makes a rejection.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl MediaError {
    /// Whether a tool was killed, or ran out of memory or time: a clip may be made to do that, and a
    /// machine may be too small.
    #[must_use]
    pub fn is_kill(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Tool { status, detail, .. } => {
                status.starts_with("signal") || detail.contains("Cannot allocate memory")
            }
            _ => false,
        }
    }

    /// Attaches what was being done to an input or output error.
    pub fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    /// The public rejection, when the clip is at fault.
    #[must_use]
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }
}

#[cfg(feature = "transcode")]
impl From<mp4_atom::Error> for MediaError {
    fn from(error: mp4_atom::Error) -> Self {
        Self::Stream(error.to_string())
    }
}
