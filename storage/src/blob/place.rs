//! What a place for origin blobs does, whichever kind it is: a directory of this member, or a bucket
//! that all members share.
//!
//! ```text
//!              directory (this crate)               bucket (`fairground-objects`)
//!  put         durable on this member               durable for every member
//!  damaged     set aside, fetched by repair         counts as absent until it is put again
//!  renew       forgets the age, under a lock        leaves a mark that other members see
//! ```
//! A blob is only ever visible whole, under the hash of its bytes. It must not know what a blob is
//! for, nor how copies come to other members.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use fairground_types::BlobHash;
use tokio::io::AsyncRead;

use super::{BlobStore, BlobWriter};
use crate::error::StorageError;

/// What Linux says of a sector that cannot be read.
const EIO: i32 = 5;

/// An answer of a place, later.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// The bytes of a blob from its beginning, unchecked: whoever reads them hashes them.
pub type BlobReader = Pin<Box<dyn AsyncRead + Send>>;

/// A blob that a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Its name.
    pub hash: BlobHash,
    /// How long it is.
    pub bytes: u64,
    /// Changes when somebody puts or renews it, where that cannot be seen otherwise; else 0.
    pub stamp: i64,
}

/// How a second look at a blob ended that was read wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condemned {
    /// It is not here any more.
    Absent,
    /// Its bytes are right: memory and cables err as well.
    Whole,
    /// It is damaged, and counts as absent from now on.
    SetAside,
}

/// A place for blobs. Every answer fails when the disk or the store behind it does.
pub trait BlobPlace: fmt::Debug + Send + Sync + 'static {
    /// Whether all members use this same place: what is put is there for each of them at once, and
    /// copies are the store's own business.
    fn is_shared(&self) -> bool;

    /// Whether a blob is here.
    fn has<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool>;

    /// Opens a blob that is here; its length with it.
    fn reader<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Option<(BlobReader, u64)>>;

    /// The whole blob, checked against its hash, when it is here; fails when it is longer than `max`
    /// bytes or damaged.
    fn read<'a>(&'a self, hash: &'a BlobHash, max: u64) -> Reply<'a, Option<Bytes>>;

    /// Begins to write a blob, which is there when [`BlobSink::finish`] has succeeded and not before.
    fn put<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Box<dyn BlobSink>>;

    /// Whether a blob is here, for somebody who will rely on it: it is of use from now on.
    fn renew<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool>;

    /// Looks again at a blob that was read wrong, and takes it out of the way when it is damaged.
    fn condemn<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Condemned>;

    /// Blobs that were found damaged and have no good copy here.
    fn damaged(&self) -> Reply<'_, Vec<BlobHash>>;

    /// Gives up a damaged blob that nobody needs.
    fn remove_damaged<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, ()>;

    /// Blobs whose hash begins with `shelf`, by hash: a 256th of everything.
    fn shelf(&self, shelf: u8) -> Reply<'_, Vec<Held>>;

    /// Removes a blob at once; answers whether it was here.
    fn remove<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool>;

    /// Takes in which blobs of a shelf, as it was just read, are of no use, `passed` after the last
    /// time.
    fn note_unused(&self, shelf: u8, dead: &[Held], passed: Duration);

    /// Lets no blob have been of no use for longer than `max`.
    fn cap_unused(&self, max: Duration);

    /// Blobs that have been of no use for `grace`.
    fn unused_for(&self, grace: Duration) -> Vec<BlobHash>;

    /// Removes a blob if it is still of no use and has been for `grace`; answers how long it was.
    fn remove_unused<'a>(&'a self, hash: &'a BlobHash, grace: Duration) -> Reply<'a, Option<u64>>;

    /// Makes the ages durable, and tidies up what removals left behind.
    fn save_unused(&self) -> Reply<'_, ()>;
}

/// A blob being written. Dropped before [`BlobSink::finish`], it leaves nothing that can be read.
pub trait BlobSink: Send {
    /// Adds bytes; fails when the blob gets longer than `BLOB_MAX` bytes.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Reply<'a, ()>;

    /// Makes the blob durable; fails with [`StorageError::WrongDigest`] when its bytes are not those
    /// of its hash, and nothing stays then.
    fn finish(self: Box<Self>) -> Reply<'static, ()>;
}

struct DirectorySink {
    writer: BlobWriter,
    hash: BlobHash,
}

impl BlobSink for DirectorySink {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Reply<'a, ()> {
        Box::pin(self.writer.write(bytes))
    }

    fn finish(self: Box<Self>) -> Reply<'static, ()> {
        let Self { writer, hash } = *self;
        Box::pin(async move { writer.finish(Some(hash)).await.map(|_| ()) })
    }
}

// Where a name is both a method of the directory and of the trait, the directory's own is called.
impl BlobPlace for BlobStore {
    fn is_shared(&self) -> bool {
        false
    }

    fn has<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool> {
        Box::pin(Self::has(self, hash))
    }

    fn reader<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Option<(BlobReader, u64)>> {
        Box::pin(async move {
            let found = self.open_file(hash).await?;
            Ok(found.map(|(file, bytes)| -> (BlobReader, u64) { (Box::pin(file), bytes) }))
        })
    }

    fn read<'a>(&'a self, hash: &'a BlobHash, max: u64) -> Reply<'a, Option<Bytes>> {
        Box::pin(Self::read(self, hash, max))
    }

    fn put<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Box<dyn BlobSink>> {
        Box::pin(async move {
            let writer = Self::put(self).await?;
            let sink: Box<dyn BlobSink> = Box::new(DirectorySink { writer, hash: *hash });
            Ok(sink)
        })
    }

    fn renew<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool> {
        Box::pin(Self::renew(self, hash))
    }

    fn condemn<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Condemned> {
        Box::pin(async move {
            let Some(seen) = self.file_of(hash).await? else { return Ok(Condemned::Absent) };
            match self.verify(hash).await {
                Ok(None) => return Ok(Condemned::Absent),
                Ok(Some(true)) => return Ok(Condemned::Whole),
                Ok(Some(false)) => {}
                Err(StorageError::Io { source, .. }) if source.raw_os_error() == Some(EIO) => {}
                Err(error) => return Err(error),
            }
            let is_aside = self.set_aside(hash, seen).await?;
            Ok(if is_aside { Condemned::SetAside } else { Condemned::Absent })
        })
    }

    fn damaged(&self) -> Reply<'_, Vec<BlobHash>> {
        Box::pin(Self::damaged(self))
    }

    fn remove_damaged<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, ()> {
        Box::pin(Self::remove_damaged(self, hash))
    }

    fn shelf(&self, shelf: u8) -> Reply<'_, Vec<Held>> {
        Box::pin(async move {
            let found = Self::shelf(self, shelf).await?.into_iter();
            Ok(found.map(|(hash, bytes)| Held { hash, bytes, stamp: 0 }).collect())
        })
    }

    fn remove<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool> {
        Box::pin(Self::remove(self, hash))
    }

    fn note_unused(&self, shelf: u8, dead: &[Held], passed: Duration) {
        let dead: BTreeSet<BlobHash> = dead.iter().map(|held| held.hash).collect();
        Self::note_unused(self, shelf, &dead, passed);
    }

    fn cap_unused(&self, max: Duration) {
        Self::cap_unused(self, max);
    }

    fn unused_for(&self, grace: Duration) -> Vec<BlobHash> {
        Self::unused_for(self, grace)
    }

    fn remove_unused<'a>(&'a self, hash: &'a BlobHash, grace: Duration) -> Reply<'a, Option<u64>> {
        Box::pin(Self::remove_unused(self, hash, grace))
    }

    fn save_unused(&self) -> Reply<'_, ()> {
        Box::pin(Self::save_unused(self))
    }
}
