//! Why a member cannot start, or had to stop.
//!
//! For operators: these are printed at the console and end the process. What clients see is a
//! `fairground_types::Code`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use fairground_runtime::error::{ConfigError, PkiError, SecretError, TelemetryError};
use fairground_storage::StorageError;
use fairground_types::Rejection;

/// Why a member cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used.
    #[error("use the configuration")]
    Config(#[from] ConfigError),
    /// Logging cannot be set up as the configuration says.
    #[error("start logging")]
    Telemetry(#[from] TelemetryError),
    /// A setting is not what it must be.
    #[error("use setting `{key}`: {problem}")]
    Setting {
        /// Which.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The data directory has something in it, or not what it must have.
    #[error("use data directory {}: {problem}", path.display())]
    DataDir {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file of the data directory cannot be read or written.
    #[error("read or write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the data directory is not what it must be.
    #[error("parse {}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Keys or certificates cannot be used.
    #[error("use keys and certificates")]
    Pki(#[from] PkiError),
    /// Secrets cannot be used.
    #[error("use the cluster's secrets")]
    Secret(#[from] SecretError),
    /// The QUIC layer refuses the TLS settings.
    #[error("set up QUIC")]
    QuicTls(#[source] quinn::crypto::rustls::NoInitialCipherSuite),
    /// An address cannot be listened on.
    #[error("listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Durable state cannot be opened.
    #[error("open durable state")]
    Storage(#[from] StorageError),
    /// The state cannot be rebuilt from what is durable.
    #[error("rebuild the state")]
    State(#[source] io::Error),
    /// Raft's settings contradict each other.
    #[error("use the Raft settings: {0}")]
    RaftConfig(String),
    /// Raft did not start, or stopped.
    #[error("run Raft: {0}")]
    Raft(String),
    /// Payments cannot be set up.
    #[cfg(feature = "stripe")]
    #[error("set up payments")]
    Stripe(#[source] Box<fairground_stripe::StripeError>),
    /// A part that the member cannot do without has ended; the log says which.
    #[error("keep every part running")]
    Vital,
    /// The client of an outside service cannot be made.
    #[error("set up an outside service")]
    Provider(#[source] Box<fairground_providers::ProviderError>),
    /// The listener for HTTP broke.
    #[error("serve HTTP")]
    Http(#[source] io::Error),
    /// No address of the join token answered.
    #[error("reach a member at {addresses:?}: {last}")]
    JoinUnreachable {
        /// The addresses tried.
        addresses: Vec<String>,
        /// What happened at the last one.
        last: String,
    },
    /// The cluster refused the join token.
    #[error("join: {} ({})", .0.detail, .0.code)]
    JoinRefused(Box<Rejection>),
}

impl Error {
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
