//! A daemon's own certificate, key and authority, as files.
//!
//! ```text
//! DIR/ca.pem       certificate of the authority
//! DIR/{name}.pem   leaf certificate and private key in one file, mode 0600
//! ```
//!
//! Leaf and key share a file so that a renewal replaces both at once: written under another name,
//! synced, renamed. It must not know who signs.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fairground_types::{Digest, Millis, Timestamp};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::PkiError;
use crate::pki::ca::certificate_pem;
use crate::pki::peer::{PeerIdentity, validity};

/// Longest file of an identity, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a daemon shows to its peers, and whom it trusts.
pub struct Identity {
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    key_pem: String,
    ca: CertificateDer<'static>,
    peer: PeerIdentity,
}

impl Identity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When the key is no PEM or the leaf carries no name of ours.
    pub fn new(
        leaf: CertificateDer<'static>,
        key_pem: String,
        ca: CertificateDer<'static>,
    ) -> Result<Self, PkiError> {
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|_| PkiError::Encoding { what: "a private key" })?;
        let peer = PeerIdentity::from_cert(&leaf)?;
        Ok(Self { leaf, key, key_pem, ca, peer })
    }

    /// Loads `DIR/{name}.pem` and `DIR/ca.pem`.
    ///
    /// # Errors
    /// When a file cannot be read, others can read the key, or the contents are of a wrong kind.
    pub fn load(dir: &Path, name: &str) -> Result<Self, PkiError> {
        let own = own_path(dir, name);
        let mode = fs::metadata(&own).map_err(file(&own))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(PkiError::FileReadable { path: own, mode });
        }
        let text = read(&own)?;
        let leaf = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| PkiError::Encoding { what: "the own certificate" })?;
        let start = text
            .find("-----BEGIN PRIVATE KEY-----")
            .ok_or(PkiError::Encoding { what: "the own private key" })?;
        let key_pem = text.get(start..).unwrap_or_default().to_owned();
        let ca = CertificateDer::from_pem_slice(read(&dir.join(CA_FILE))?.as_bytes())
            .map_err(|_| PkiError::Encoding { what: "the certificate of the authority" })?;
        Self::new(leaf, key_pem, ca)
    }

    /// Stores both files, each whole or not at all, readable by the owner alone.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path, name: &str) -> Result<(), PkiError> {
        write_private(&dir.join(CA_FILE), certificate_pem(&self.ca).as_bytes())?;
        let own = format!("{}{}", certificate_pem(&self.leaf), self.key_pem);
        write_private(&own_path(dir, name), own.as_bytes())
    }

    /// Who this is.
    #[must_use]
    pub const fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// The authority's certificate.
    #[must_use]
    pub const fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The own certificate.
    #[must_use]
    pub const fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    /// Hash of the authority's certificate, as join tokens carry it.
    #[must_use]
    pub fn ca_hash(&self) -> Digest {
        Digest::of(&self.ca)
    }

    /// End of the leaf's life.
    ///
    /// # Errors
    /// When the leaf is no certificate.
    pub fn expires_at(&self) -> Result<Timestamp, PkiError> {
        Ok(validity(&self.leaf)?.1)
    }

    /// When to renew: two thirds of the leaf's life.
    ///
    /// # Errors
    /// When the leaf is no certificate.
    pub fn renew_at(&self) -> Result<Timestamp, PkiError> {
        let (from, until) = validity(&self.leaf)?;
        let life = until.since(from).as_millis();
        Ok(from.plus(Millis::new(life - life / 3)))
    }

    /// Whether two thirds of the leaf's life are over; also true when it cannot be read.
    #[must_use]
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        !self.renew_at().is_ok_and(|at| now < at)
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        // The authority goes along so that a joiner can check it against its token.
        vec![self.leaf.clone(), self.ca.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            leaf: self.leaf.clone(),
            key: self.key.clone_key(),
            key_pem: self.key_pem.clone(),
            ca: self.ca.clone(),
            peer: self.peer.clone(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer", &self.peer).finish_non_exhaustive()
    }
}

const CA_FILE: &str = "ca.pem";

/// Writes a file that only its owner can read: whole or not at all, and durable on return.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), PkiError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = || {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    written().map_err(file(path))
}

fn own_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.pem"))
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> PkiError {
    let path = path.to_owned();
    move |source| PkiError::File { path, source }
}

fn read(path: &Path) -> Result<String, PkiError> {
    if fs::metadata(path).map_err(file(path))?.len() > FILE_BYTES_MAX {
        return Err(file(path)(std::io::Error::other("longer than 64 KiB")));
    }
    fs::read_to_string(path).map_err(file(path))
}
