//! Secrets that the configuration names by the path of a file, or by the name of a credential that
//! systemd gave to the service (`LoadCredential=`, `LoadCredentialEncrypted=`).
//!
//! It must not print what it holds.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::ConfigError;

/// Longest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Where systemd says that a service's credentials are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// A secret text read from a file that only its owner can read. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads a secret; one line break at the end does not count. A name without a folder is that of
    /// a credential, when systemd gave the service any.
    ///
    /// # Errors
    /// When the file cannot be read, group or others may read it, or it is empty, over 64 KiB or no
    /// UTF-8.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let credentials = std::env::var_os(CREDENTIALS);
        Self::read(path, credentials.as_deref().map(Path::new))
    }

    pub(super) fn read(path: &Path, credentials: Option<&Path>) -> Result<Self, ConfigError> {
        let named = credentials.map(|folder| match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => folder.join(path),
            Some(_) | None => path.to_owned(),
        });
        let path = named.as_deref().unwrap_or(path);
        // systemd lets the service in by an access list, which shows as a right of the group; nobody
        // else gets into the folder.
        let is_credential = credentials.is_some() && path.parent() == credentials;
        let forbidden = if is_credential { 0o037 } else { 0o077 };
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let shape = |problem| ConfigError::SecretShape { path: path.to_owned(), problem };
        let file = File::open(path).map_err(read)?;
        // Asked of the open file, so that it cannot be exchanged in between.
        let mode = file.metadata().map_err(read)?.permissions().mode() & 0o777;
        if mode & forbidden != 0 {
            return Err(ConfigError::SecretReadable { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
            return Err(shape("longer than 64 KiB"));
        }
        let mut text = String::from_utf8(bytes).map_err(|_| shape("not UTF-8 text"))?;
        let kept = text
            .strip_suffix('\n')
            .map_or(text.len(), |rest| rest.strip_suffix('\r').unwrap_or(rest).len());
        text.truncate(kept);
        if text.is_empty() { Err(shape("empty")) } else { Ok(Self(text)) }
    }

    /// Reads the secret that an option names, if it names one.
    ///
    /// # Errors
    /// As [`Secret::from_file`].
    pub fn from_option(path: Option<&Path>) -> Result<Option<Self>, ConfigError> {
        path.map(Self::from_file).transpose()
    }

    /// Takes a text that did not come from a file, for tests and generated values.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
