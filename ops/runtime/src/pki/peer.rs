//! What a certificate says about its holder: one URI, `fairground://{cluster}/{role}/{name}`.
//!
//! It does not verify anything: call it with a certificate that the handshake has verified.

use std::fmt;
use std::str::FromStr;

use fairground_types::{ClusterId, EdgeId, MemberId, Timestamp};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::PkiError;
use crate::pki::{EDGE_SERVER_NAME, MEMBER_SERVER_NAME};

const SCHEME: &str = "fairground://";

/// Which daemon of a cluster somebody is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// An edge.
    Edge(EdgeId),
    /// A member.
    Member(MemberId),
}

/// The holder of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its place there.
    pub role: Role,
}

impl Role {
    /// The DNS name in the certificates of this kind of daemon.
    #[must_use]
    pub const fn server_name(&self) -> &'static str {
        match self {
            Self::Edge(_) => EDGE_SERVER_NAME,
            Self::Member(_) => MEMBER_SERVER_NAME,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge(edge) => write!(f, "edge/{edge}"),
            Self::Member(member) => write!(f, "member/{member}"),
        }
    }
}

impl PeerIdentity {
    /// Reads the holder's name in a certificate (DER) that was verified before.
    ///
    /// # Errors
    /// When it is no certificate, or does not carry exactly one name of ours.
    pub fn from_cert(der: &[u8]) -> Result<Self, PkiError> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|_| PkiError::Encoding { what: "a certificate" })?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| PkiError::Name)?
            .ok_or(PkiError::Name)?;
        let mut ours = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
            _ => None,
        });
        match (ours.next(), ours.next()) {
            (Some(uri), None) => uri.parse(),
            _ => Err(PkiError::Name),
        }
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.cluster, self.role)
    }
}

impl FromStr for PeerIdentity {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let rest = text.strip_prefix(SCHEME).ok_or(PkiError::Name)?;
        let mut parts = rest.split('/');
        let (Some(cluster), Some(kind), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PkiError::Name);
        };
        let role = match kind {
            "edge" => Role::Edge(name.parse().map_err(|_| PkiError::Name)?),
            "member" => {
                let number = name.strip_prefix('m').ok_or(PkiError::Name)?;
                Role::Member(MemberId(number.parse().map_err(|_| PkiError::Name)?))
            }
            _ => return Err(PkiError::Name),
        };
        Ok(Self { cluster: cluster.parse().map_err(|_| PkiError::Name)?, role })
    }
}

/// First and last instant of a certificate.
pub(crate) fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), PkiError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| PkiError::Encoding { what: "a certificate" })?;
    let instant = |seconds: i64| {
        Timestamp::from_unix_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))
    };
    let validity = certificate.validity();
    Ok((instant(validity.not_before.timestamp()), instant(validity.not_after.timestamp())))
}
