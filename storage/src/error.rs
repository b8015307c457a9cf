//! What can go wrong, by what a caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use fairground_wire::CodecError;

/// Storage broke, or is full.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A record does not authenticate: bit rot, another key, or a misplaced value. Fetch it again
    /// from elsewhere, or report it; never answer from it.
    #[error("damaged record {key} in {table}")]
    Damaged {
        /// The table or file.
        table: &'static str,
        /// The key, for people.
        key: String,
    },
    /// Written by a newer release.
    #[error("record {key} in {table} has version {found} where at most {known} is known")]
    NewerVersion {
        /// The table or file.
        table: &'static str,
        /// The key, for people.
        key: String,
        /// Version found.
        found: u8,
        /// Newest version known.
        known: u8,
    },
    /// No room by our own bound. Decline and try again later.
    #[error("the store is full")]
    Full,
    /// The writer's queue is full. Decline and try again soon.
    #[error("the writer is busy")]
    Busy,
    /// The store was closed, or an earlier write failed: restart from what is durable.
    #[error("the store is closed")]
    Closed,
    /// The database failed; this store is over.
    #[error("database failure")]
    Database(#[source] Box<redb::Error>),
    /// A file could not be read or written.
    #[error("input or output failed on {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A value could not become bytes, or bytes that authenticate are not the value.
    #[error("codec failure")]
    Codec(#[from] CodecError),
    /// A key file is not ours.
    #[error("unusable key file {path}: {reason}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// Bytes that decode, but name something impossible.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The bytes are not those of the hash.
    #[error("digest mismatch")]
    WrongDigest,
    /// More bytes than allowed.
    #[error("{0} bytes are more than allowed")]
    TooLarge(u64),
    /// A store that is reached over a network did not do what it was asked, or not in time.
    #[error("the object store failed to {what}")]
    Remote {
        /// What it was asked to do.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bucket and prefix belong to another cluster, whose blobs would be taken for unused ones.
    #[error("another cluster keeps its blobs under this bucket and prefix")]
    Foreign,
}

impl StorageError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether a record cannot be read for good, while the store itself works.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Codec(_))
    }

    /// Whether trying again later may succeed with this store still open.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full | Self::Busy)
    }
}

macro_rules! from_database {
    ($($error:ty),*) => {$(
        impl From<$error> for StorageError {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )*};
}

from_database!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);

impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        Self::other(error)
    }
}
