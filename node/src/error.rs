//! What can break in an edge, by what the caller can do about it.
//!
//! Refusals that a client sees are not here but in `http/problem_map.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use fairground_media::MediaError;
use fairground_runtime::error::{ConfigError, PkiError, SecretError, TelemetryError};
use fairground_storage::StorageError;
use fairground_types::Rejection;
use fairground_wire::CodecError;

use crate::link::LinkError;

/// Why an edge did not start, join or stop well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration; the operator must mend it.
    #[error("use the configuration")]
    Config(#[from] ConfigError),
    /// An option has a value that cannot be used; the operator must mend it.
    #[error("use option `{option}`: {problem}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The data folder holds no identity; join first.
    #[error("find an identity in {}: run `fairground join` first", .0.display())]
    NotJoined(PathBuf),
    /// Certificates, keys or tokens.
    #[error("use the identity")]
    Pki(#[from] PkiError),
    /// The key that receipts are signed with is not one.
    #[error("use the receipt key")]
    ReceiptKey,
    /// A key cannot be made.
    #[error("make a key")]
    Secret(#[from] SecretError),
    /// A file of this edge.
    #[error("use {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A store of this edge.
    #[error("use the store")]
    Storage(#[from] StorageError),
    /// A value that does not become bytes or come back from them.
    #[error("read or write a value")]
    Codec(#[from] CodecError),
    /// A value that does not become JSON or come back from it.
    #[error("read or write JSON")]
    Json(#[source] serde_json::Error),
    /// TLS settings that QUIC does not take.
    #[error("set up QUIC")]
    QuicTls(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The address of a listener or socket is in use or not ours.
    #[error("listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The media tools are absent or cannot be fenced as configured.
    #[error("set up the media tools")]
    Media(#[from] MediaError),
    /// Metrics.
    #[error("set up metrics")]
    Telemetry(#[from] TelemetryError),
    /// No member could be reached to join.
    #[error("reach a member to join")]
    JoinUnreachable(#[source] Option<LinkError>),
    /// The cluster refused the join.
    #[error("join: refused with {} ({})", .0.code, .0.detail)]
    JoinRefused(Rejection),
    /// A member answered something else than it should.
    #[error("join: the member's answer is not of this release")]
    JoinAnswer,
    /// Something vital ended; the log says what.
    #[error("go on: a vital task ended")]
    Vital,
}

impl Error {
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
