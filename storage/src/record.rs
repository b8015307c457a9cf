//! Records: every stored value, sealed and bound to its place.
//!
//! ```text
//!  0         1            13
//!  | version | nonce (12) | ciphertext ... | tag (16) |        AES-256-GCM-SIV (RFC 8452)
//!  additional data = table name | 0 | key bytes | version
//! ```
//! The key of a store is BLAKE3 `derive_key` of the root key in the daemon's key file, so a record
//! opens only in its store, table and place: bit rot, a value put elsewhere and another machine's
//! disk all look the same, [`StorageError::Damaged`]. The payload is `fairground_wire::codec`'s bare
//! payload of that version. It must not know tables or what a value means.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use fairground_wire::Versioned;
use fairground_wire::codec::{self, Decode, Encode};

use crate::error::StorageError;

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const PREFIX_LEN: usize = 1 + NONCE_LEN;
const KEY_MAGIC: &[u8; 8] = b"FGKEY\0\0\x01";
const KEY_FILE_LEN: usize = KEY_MAGIC.len() + 32;

/// Bytes that sealing adds to a payload.
pub const OVERHEAD: usize = PREFIX_LEN + TAG_LEN;

/// The root key of a daemon's stores.
#[derive(Clone)]
pub struct KeyFile {
    root: [u8; 32],
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile")
    }
}

impl KeyFile {
    /// Makes a new key and writes it to a new file that only its owner may read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        let mut root = [0_u8; 32];
        fill_random(&mut root)?;
        let io = StorageError::io;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(io(path))?;
        file.write_all(KEY_MAGIC).map_err(io(path))?;
        file.write_all(&root).map_err(io(path))?;
        file.sync_all().map_err(io(path))?;
        crate::store::sync_parent(path)?;
        Ok(Self { root })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// When the file cannot be read, is not a key, or others may read it.
    pub fn load(path: &Path) -> Result<Self, StorageError> {
        let refuse = |reason| StorageError::KeyFile { path: path.to_owned(), reason };
        let file = File::open(path).map_err(StorageError::io(path))?;
        let mode = file.metadata().map_err(StorageError::io(path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(refuse("others may read or write it"));
        }
        let mut bytes = Vec::with_capacity(KEY_FILE_LEN);
        let limit = u64::try_from(KEY_FILE_LEN).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes).map_err(StorageError::io(path))?;
        let root = bytes
            .strip_prefix(KEY_MAGIC)
            .and_then(|root| <[u8; 32]>::try_from(root).ok())
            .ok_or_else(|| refuse("not a key file of this release"))?;
        Ok(Self { root })
    }

    /// [`Self::load`] when the file is there, [`Self::create`] when not.
    ///
    /// # Errors
    /// As either.
    pub fn load_or_create(path: &Path) -> Result<Self, StorageError> {
        if path.exists() { Self::load(path) } else { Self::create(path) }
    }

    /// A key that is not in a file: of a test, or one that the caller keeps.
    #[must_use]
    pub const fn from_bytes(root: [u8; 32]) -> Self {
        Self { root }
    }

    /// A key for another purpose of the daemon, derived from the root.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::Hasher::new_derive_key("fairground 2026 store key v1")
            .update(&self.root)
            .update(purpose.as_bytes())
            .finalize()
            .into()
    }

    /// The cipher of a store.
    pub(crate) fn cipher(&self, store: &str) -> Result<RecordCipher, StorageError> {
        RecordCipher::new(&self.derive(store))
    }
}

pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), StorageError> {
    if fairground_seam::fill(bytes) {
        return Ok(());
    }
    aws_lc_rs::rand::fill(bytes).map_err(|_| StorageError::Io {
        path: "random source".into(),
        source: std::io::Error::other("no randomness"),
    })
}

/// Seals and opens the records of one store.
#[derive(Debug)]
pub struct RecordCipher {
    key: LessSafeKey,
}

impl RecordCipher {
    /// A cipher with this key.
    ///
    /// # Errors
    /// When the provider refuses the key.
    pub fn new(key: &[u8; 32]) -> Result<Self, StorageError> {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, key).map_err(|_| StorageError::Closed)?;
        Ok(Self { key: LessSafeKey::new(unbound) })
    }

    /// Seals payload bytes for a place.
    ///
    /// # Errors
    /// When there is no randomness, or the payload is too large for the cipher.
    pub fn seal(
        &self,
        table: &'static str,
        key: &[u8],
        version: u8,
        payload: &[u8],
    ) -> Result<Vec<u8>, StorageError> {
        let mut nonce = [0_u8; NONCE_LEN];
        fill_random(&mut nonce)?;
        self.seal_with(nonce, Place { table, key }, version, payload)
    }

    /// [`Self::seal`] with a nonce of the caller, for golden files.
    ///
    /// # Errors
    /// As [`Self::seal`].
    #[cfg(any(test, feature = "test-util"))]
    pub fn seal_with_nonce(
        &self,
        nonce: [u8; NONCE_LEN],
        place: (&'static str, &[u8]),
        version: u8,
        payload: &[u8],
    ) -> Result<Vec<u8>, StorageError> {
        self.seal_with(nonce, Place { table: place.0, key: place.1 }, version, payload)
    }

    fn seal_with(
        &self,
        nonce: [u8; NONCE_LEN],
        place: Place<'_>,
        version: u8,
        payload: &[u8],
    ) -> Result<Vec<u8>, StorageError> {
        let mut record = Vec::with_capacity(payload.len().saturating_add(OVERHEAD));
        record.push(version);
        record.extend_from_slice(&nonce);
        record.extend_from_slice(payload);
        let (_, body) = record.split_at_mut(PREFIX_LEN);
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.bound_to(version)),
                body,
            )
            .map_err(|_| {
                StorageError::TooLarge(u64::try_from(payload.len()).unwrap_or(u64::MAX))
            })?;
        record.extend_from_slice(tag.as_ref());
        Ok(record)
    }

    /// Opens a record from its place: version and payload.
    ///
    /// # Errors
    /// When it does not authenticate there, or its version is above `newest`.
    pub fn open(
        &self,
        table: &'static str,
        key: &[u8],
        newest: u8,
        record: &[u8],
    ) -> Result<(u8, Vec<u8>), StorageError> {
        let place = Place { table, key };
        let (prefix, sealed) =
            record.split_first_chunk::<PREFIX_LEN>().ok_or_else(|| place.damaged())?;
        let [version, nonce @ ..] = *prefix;
        let mut body = sealed.to_vec();
        let opened = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.bound_to(version)),
                &mut body,
            )
            .map_err(|_| place.damaged())?
            .len();
        if version == 0 || version > newest {
            return Err(StorageError::NewerVersion {
                table,
                key: place.name(),
                found: version,
                known: newest,
            });
        }
        body.truncate(opened);
        Ok((version, body))
    }

    /// Seals a value of its current version.
    ///
    /// # Errors
    /// As [`Self::seal`], and when the value has no representation.
    pub fn seal_value<T: Versioned + Encode>(
        &self,
        table: &'static str,
        key: &[u8],
        value: &T,
    ) -> Result<Vec<u8>, StorageError> {
        self.seal(table, key, T::VERSION, &codec::encode_payload(value)?)
    }

    /// Opens a value of its current version.
    ///
    /// # Errors
    /// As [`Self::open`], and when the payload is not the value.
    pub fn open_value<T: Versioned + Decode>(
        &self,
        table: &'static str,
        key: &[u8],
        record: &[u8],
    ) -> Result<T, StorageError> {
        let (_, payload) = self.open(table, key, T::VERSION, record)?;
        Ok(codec::decode_payload(&payload)?)
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    table: &'static str,
    key: &'a [u8],
}

impl Place<'_> {
    fn bound_to(self, version: u8) -> Vec<u8> {
        [self.table.as_bytes(), &[0], self.key, &[version]].concat()
    }

    fn name(self) -> String {
        match <[u8; 8]>::try_from(self.key) {
            Ok(index) => u64::from_le_bytes(index).to_string(),
            Err(_) if self.key.is_ascii() => String::from_utf8_lossy(self.key).into_owned(),
            Err(_) => self.key.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    fn damaged(self) -> StorageError {
        StorageError::Damaged { table: self.table, key: self.name() }
    }
}
