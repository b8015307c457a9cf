//! The ages of blobs that are of no use, and the file that they are kept in.
//!
//! Read without trust: ages that are lost or damaged begin anew, so blobs only stay longer. It must
//! not know why a blob is of no use, nor where the blobs are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_types::BlobHash;

use super::unused::Unused;
use crate::error::StorageError;
use crate::store::{beside, blocking, sync_parent};

/// A larger file of ages is not read: blobs stay longer then.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How long blobs have been of no use, as far as this process and the file know.
#[derive(Debug)]
pub struct Ages {
    path: PathBuf,
    unused: Mutex<Unused>,
}

impl Ages {
    /// Reads the file, if there is one that can be read.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), unused: Mutex::new(read(path)) }
    }

    /// Ages are whole after every change of them, so a lock that a panic left is used on.
    pub(super) fn lock(&self) -> MutexGuard<'_, Unused> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in which blobs of a shelf are of no use, `passed` after the last time.
    pub fn note(&self, shelf: u8, dead: &BTreeSet<BlobHash>, passed: Duration) {
        self.lock().note(shelf, dead, passed);
    }

    /// Lets no blob have been of no use for longer than `max`.
    pub fn cap(&self, max: Duration) {
        self.lock().cap(max);
    }

    /// A blob is wanted, or gone.
    pub fn forget(&self, hash: &BlobHash) {
        self.lock().forget(hash);
    }

    /// Whether a blob has been of no use for `grace`.
    #[must_use]
    pub fn is_due(&self, hash: &BlobHash, grace: Duration) -> bool {
        self.lock().is_due(hash, grace)
    }

    /// Blobs that have been of no use for `grace`.
    #[must_use]
    pub fn due(&self, grace: Duration) -> Vec<BlobHash> {
        self.lock().due(grace)
    }

    /// Makes the ages durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn save(&self) -> Result<(), StorageError> {
        let (path, text) = (self.path.clone(), self.lock().to_text());
        blocking(move || {
            let fresh = beside(&path, "new");
            std::fs::write(&fresh, text).map_err(StorageError::io(&fresh))?;
            let synced = std::fs::File::open(&fresh).and_then(|file| file.sync_all());
            synced.map_err(StorageError::io(&fresh))?;
            std::fs::rename(&fresh, &path).map_err(StorageError::io(&path))?;
            sync_parent(&path)
        })
        .await
    }
}

fn read(path: &Path) -> Unused {
    let is_small = std::fs::metadata(path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
    match is_small.then(|| std::fs::read_to_string(path)) {
        Some(Ok(text)) => Unused::parse(&text),
        Some(Err(error)) => {
            tracing::warn!(%error, "ages of unused blobs not read: they begin anew");
            Unused::default()
        }
        None => Unused::default(),
    }
}
