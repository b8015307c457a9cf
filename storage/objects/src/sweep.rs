//! Removing a blob from a bucket in which others may be relying on it at that moment.
//!
//! ```text
//!  who removes                            who puts or renews
//!  1  write doomed/<hash>/<word>          1  write the blob, or <hash>.used
//!  2  look: put or renewed since the      2  look: is anything below doomed/<hash>?  yes: refused,
//!     age began?  yes: 4                                                             try again
//!  3  remove the blob                     3  look: is the blob there?  no: refused
//!  4  remove doomed/<hash>/<word>
//! ```
//! Each side writes before it looks, and the store shows every write that it has answered. So either
//! the remover's 2 sees the other's 1 and nothing is removed, or it came before it; then the other's 2
//! sees the remover's 1, or comes after its 4, thus after its 3, and the other's 3 sees the blob gone.
//! A removal that got no answer may still be carried out later: its word stays, and goes when it has
//! been there for longer than any request is on its way. Each removal writes a word of its own, so
//! that none takes back another's.
//!
//! Ages are counted as for a directory, by each member, while nobody puts or renews the blob; what
//! tells that is the store's own time of the last write, compared with itself only, so no two clocks
//! need to agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fairground_storage::StorageError;
use fairground_storage::blob::Held;
use fairground_types::BlobHash;
use object_store::path::Path;
use tokio::time::Instant;

use crate::store::{S3Store, lock, stamp};

/// Longer than a request to remove something can be on its way.
const WORD_LIFE: Duration = Duration::from_secs(15 * 60);

impl S3Store {
    /// Says that somebody relies on a blob, and whether it is there and will stay.
    pub(crate) async fn rely_on(&self, hash: &BlobHash) -> Result<bool, StorageError> {
        if self.head(hash).await?.is_none() {
            return Ok(false);
        }
        self.claim().await?;
        let (objects, layout) = (&self.inner.objects, &self.inner.layout);
        objects.put(&layout.used(hash), Bytes::new()).await?;
        self.inner.ages.forget(hash);
        lock(&self.inner.stamps).remove(hash);
        Ok(!self.is_doomed(hash).await? && self.head(hash).await?.is_some())
    }

    /// Makes sure of a blob that has just been put.
    ///
    /// # Errors
    /// [`StorageError::Busy`] when it was being removed: to be put again.
    pub(crate) async fn stands(&self, hash: &BlobHash) -> Result<(), StorageError> {
        self.refresh(hash);
        if !self.is_doomed(hash).await? && self.head(hash).await?.is_some() {
            Ok(())
        } else {
            Err(StorageError::Busy)
        }
    }

    async fn is_doomed(&self, hash: &BlobHash) -> Result<bool, StorageError> {
        let mut is_doomed = false;
        let below = self.inner.layout.doomed(hash);
        self.inner
            .objects
            .list(&below, |_| {
                is_doomed = true;
                false
            })
            .await?;
        Ok(is_doomed)
    }

    /// Removes a blob that nobody has put or renewed since `seen`, or in any case; answers how long
    /// it was.
    pub(crate) async fn sweep(
        &self,
        hash: &BlobHash,
        seen: Option<i64>,
    ) -> Result<Option<u64>, StorageError> {
        self.claim().await?;
        let (objects, layout) = (&self.inner.objects, &self.inner.layout);
        let number = self.inner.removals.fetch_add(1, Ordering::Relaxed);
        let (blob, used, word) = (layout.blob(hash), layout.used(hash), layout.word(hash, number));
        // Every failure from here on leaves the word, which refuses the blob until it is tidied up.
        objects.put(&word, Bytes::new()).await?;
        let mut removed = None;
        if let Some(meta) = objects.head(&blob).await? {
            let renewed = objects.head(&used).await?.map_or(i64::MIN, |meta| stamp(&meta));
            let last = stamp(&meta).max(renewed);
            if seen.is_none_or(|seen| seen == last) {
                objects.delete(&blob).await?;
                objects.delete(&used).await?;
                removed = Some(meta.size);
            }
        }
        self.refresh(hash);
        objects.delete(&word).await?;
        Ok(removed)
    }

    /// Ages the blobs of a shelf that are of no use; one that was put or renewed since the last look
    /// begins anew.
    pub(crate) fn note(&self, shelf: u8, dead: &[Held], passed: Duration) {
        let hashes: BTreeSet<BlobHash> = dead.iter().map(|held| held.hash).collect();
        {
            let mut stamps = lock(&self.inner.stamps);
            let is_here = |hash: &BlobHash| hash.as_bytes().first() == Some(&shelf);
            stamps.retain(|hash, _| !is_here(hash) || hashes.contains(hash));
            for held in dead {
                let before = stamps.insert(held.hash, held.stamp);
                if before.is_some_and(|before| before != held.stamp) {
                    self.inner.ages.forget(&held.hash);
                }
            }
        }
        self.inner.ages.note(shelf, &hashes, passed);
    }

    /// Removes marks on blobs that are gone. One on a blob that is there stays with it: another
    /// member may not have seen it yet.
    pub(crate) async fn remove_idle(&self, idle: &[Path]) -> Result<(), StorageError> {
        if !idle.is_empty() {
            self.claim().await?;
        }
        for key in idle {
            self.inner.objects.delete(key).await?;
        }
        Ok(())
    }

    /// Makes the ages durable, and takes back words about removals whose members did not.
    pub(crate) async fn tidy_up(&self) -> Result<(), StorageError> {
        self.inner.ages.save().await?;
        let mut words: BTreeMap<String, Path> = BTreeMap::new();
        self.inner
            .objects
            .list(&self.inner.layout.all_doomed(), |meta| {
                words.insert(meta.location.to_string(), meta.location);
                true
            })
            .await?;
        let now = Instant::now();
        let mut old = Vec::new();
        {
            let mut left = lock(&self.inner.left);
            left.retain(|word, _| words.contains_key(word));
            for (word, key) in words {
                let since = *left.entry(word).or_insert(now);
                if now.duration_since(since) >= WORD_LIFE {
                    old.push(key);
                }
            }
        }
        for key in &old {
            self.claim().await?;
            self.inner.objects.delete(key).await?;
        }
        Ok(())
    }
}
