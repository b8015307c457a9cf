//! What can break here, by what the caller can do about it.
//!
//! Refusals that a client sees are not here but in `problem`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use fairground_types::Code;

/// Why a configuration cannot be used. Every variant is the operator's to mend, and stops the start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no TOML.
    #[error("parse {}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that nothing reads.
    #[error("unknown key `{key}` in {origin}{}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// The key, with its sections.
        key: String,
        /// Where it stands: a file or an environment variable.
        origin: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// An environment variable's text does not fit its key.
    #[error("read environment variable {name}: {problem}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A value has the wrong shape.
    #[error("use the configuration")]
    Value {
        /// Which key, and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The defaults cannot be written down: a fault of ours.
    #[error("write down the default configuration")]
    Defaults {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A secret that others can read.
    #[error(
        "use secret {}: others can read it (mode {mode:03o}); run `chmod 600` on it",
        path.display()
    )]
    SecretReadable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret that is empty, too long, or no text.
    #[error("use secret {}: {problem}", path.display())]
    SecretShape {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Plain HTTP where strangers can listen.
    #[error("listen on {address} without TLS: plain HTTP is for loopback only; name a certificate")]
    PlainHttp {
        /// The address asked for.
        address: SocketAddr,
    },
    /// A certificate or its key cannot be used.
    #[error("use certificate {}: {problem}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `FAIRGROUND_LOG` is no filter.
    #[error("parse the log filter `{filter}`")]
    Filter {
        /// The text.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A text that names no format.
    #[error("read the log format `{text}`: it is `auto`, `json` or `text`")]
    Format {
        /// The text.
        text: String,
    },
    /// Logging was started before.
    #[error("start logging")]
    Started(#[source] tracing_subscriber::util::TryInitError),
    /// Another recorder of metrics is in place.
    #[error("start metrics: another recorder is in place")]
    Recorder,
    /// The buckets of the histograms are not accepted: a fault of ours.
    #[error("start metrics")]
    Buckets(#[source] metrics_exporter_prometheus::BuildError),
}

/// Why an access token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Not a token at all.
    #[error("read the token")]
    Malformed,
    /// Signed with a key that this cluster does not have now.
    #[error("find the token's key")]
    UnknownKey,
    /// Altered, or signed by somebody else.
    #[error("verify the token's signature")]
    Signature,
    /// For another cluster or another use.
    #[error("accept a token of another cluster")]
    Foreign,
    /// Its time is over.
    #[error("accept an expired token")]
    Expired,
}

impl AccessError {
    /// The code that a client gets.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Expired => Code::TokenExpired,
            Self::Malformed | Self::UnknownKey | Self::Signature | Self::Foreign => {
                Code::AuthRequired
            }
        }
    }
}

/// Why a secret cannot be sealed, opened or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Wrong key, wrong context, or altered.
    #[error("open a sealed value: wrong key or context, or altered")]
    Open,
    /// Sealed in a way that this binary does not know.
    #[error("open a sealed value of an unknown version")]
    Version,
    /// A key of the wrong length or kind.
    #[error("use a key of the wrong kind")]
    Key,
    /// The library refused; not expected.
    #[error("seal a value")]
    Seal,
}

/// Why a certificate, a join token or an identity cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the identity cannot be read or written.
    #[error("use identity file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the identity that others can read.
    #[error("use identity file {}: others can read it (mode {mode:03o})", path.display())]
    FileReadable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// PEM or DER of the wrong kind.
    #[error("read {what}")]
    Encoding {
        /// What was to be read.
        what: &'static str,
    },
    /// A certificate that names no peer of a cluster, or more than one.
    #[error("read the peer's name in its certificate")]
    Name,
    /// The library refused to make or sign a certificate.
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
    /// The library refused the certificate or key.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// The library refused the roots.
    #[error("set up the verification of peers")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// A text that is no join token, or was altered.
    #[error("read the join token: {problem}")]
    Token {
        /// What is wrong.
        problem: &'static str,
    },
}
