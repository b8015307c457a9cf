//! The bucket as a place for blobs.
//!
//! A blob that is read wrong is not moved: another member may have put a good one meanwhile, which a
//! removal would hit. This process remembers which version it saw, and takes that one for absent
//! until somebody has put the blob again. It must not know what a blob is for.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path as FilePath;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fairground_storage::StorageError;
use fairground_storage::blob::{Ages, BlobPlace, BlobReader, BlobSink, Condemned, Held, Reply};
use fairground_types::BlobHash;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{GetResult, MultipartUpload, ObjectMeta, ObjectStore};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;
use tokio_util::io::StreamReader;

use crate::request::{Layout, Named, Objects};
use crate::settings::{S3Settings, SettingError};
use crate::sink::S3Sink;

/// Blobs written at once; each takes two parts of memory at most.
const WRITERS_MAX: usize = 8;
/// Damaged blobs remembered. More than this is a store that nobody should use.
const WRONG_MAX: usize = 10_000;
/// How long a blob that is read into memory may take.
const READ_WAIT: Duration = Duration::from_secs(90);
/// Longest name of a cluster.
const OWNER_BYTES_MAX: u64 = 1_024;

/// What tells one version of an object from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    tag: Option<String>,
    stamp: i64,
}

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Self { tag: meta.e_tag.clone(), stamp: stamp(meta) }
    }
}

/// When an object was written last, in seconds of the store's clock: an answer to a request for one
/// object says no more than that.
pub(crate) fn stamp(meta: &ObjectMeta) -> i64 {
    meta.last_modified.timestamp()
}

pub(crate) struct Inner {
    pub(crate) objects: Objects,
    pub(crate) layout: Layout,
    cluster: String,
    /// Whether the bucket was seen to be this cluster's.
    claimed: OnceCell<()>,
    pub(crate) ages: Ages,
    /// When blobs of no use were last put or renewed, as the last look at them saw it.
    pub(crate) stamps: Mutex<BTreeMap<BlobHash, i64>>,
    /// Words about removals that an earlier look already saw, by key, since when.
    pub(crate) left: Mutex<BTreeMap<String, Instant>>,
    /// Removals so far.
    pub(crate) removals: AtomicU64,
    wrong: Mutex<BTreeMap<BlobHash, Version>>,
    writers: Arc<Semaphore>,
}

/// A bucket, or a part of one, that holds the blobs of one cluster. Clones share it.
#[derive(Clone)]
pub struct S3Store {
    pub(crate) inner: Arc<Inner>,
}

/// Without what is inside: the client holds a secret.
impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Store(..)")
    }
}

/// What is locked here is whole after every change, so a lock that a panic left is used on.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl S3Store {
    /// A bucket as `settings` say. `cluster` names whose blobs these are, `member` who asks, in
    /// letters that stand in a key and that no other process uses or used; `ages` is a file of this
    /// member's own. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn open(
        settings: &S3Settings,
        cluster: &str,
        member: &str,
        ages: &FilePath,
    ) -> Result<Self, SettingError> {
        Ok(Self::over(settings.connect()?, &settings.prefix, cluster, member, ages))
    }

    /// The same over any object store, for tests.
    #[must_use]
    pub fn over(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        cluster: &str,
        member: &str,
        ages: &FilePath,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                objects: Objects(objects),
                layout: Layout::new(prefix, member),
                cluster: cluster.to_owned(),
                claimed: OnceCell::new(),
                ages: Ages::open(ages),
                stamps: Mutex::default(),
                left: Mutex::default(),
                removals: AtomicU64::new(0),
                wrong: Mutex::default(),
                writers: Arc::new(Semaphore::new(WRITERS_MAX)),
            }),
        }
    }

    /// Makes the bucket this cluster's, once, unless it is another one's: that one would take our
    /// blobs for unused. Everything that changes the bucket asks this first.
    ///
    /// # Errors
    /// [`StorageError::Foreign`] when it is another's; others when the store fails.
    pub async fn claim(&self) -> Result<(), StorageError> {
        let inner = &self.inner;
        let claiming = || async {
            let key = inner.layout.cluster();
            if self.owner(&key).await?.is_none() {
                let name = Bytes::from(inner.cluster.clone());
                inner.objects.put(&key, name).await?;
            }
            match self.owner(&key).await? {
                Some(owner) if owner == inner.cluster.as_bytes() => Ok(()),
                Some(_) => Err(StorageError::Foreign),
                None => Err(StorageError::Malformed("bucket")),
            }
        };
        inner.claimed.get_or_try_init(claiming).await.map(|_| ())
    }

    async fn owner(&self, key: &Path) -> Result<Option<Bytes>, StorageError> {
        match self.inner.objects.get(key).await? {
            Some(found) if found.meta.size > OWNER_BYTES_MAX => Err(StorageError::Foreign),
            Some(found) => collect(found).await.map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn begin(
        &self,
        hash: &BlobHash,
    ) -> Result<Box<dyn MultipartUpload>, StorageError> {
        self.inner.objects.begin(&self.inner.layout.blob(hash)).await
    }

    pub(crate) async fn put_whole(
        &self,
        hash: &BlobHash,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        self.inner.objects.put(&self.inner.layout.blob(hash), bytes).await
    }

    /// Whether an object is the version of a blob that was found damaged.
    fn is_wrong(&self, hash: &BlobHash, meta: &ObjectMeta) -> bool {
        let mut wrong = lock(&self.inner.wrong);
        let is_wrong = wrong.get(hash).map(|version| *version == Version::of(meta));
        if is_wrong == Some(false) {
            wrong.remove(hash);
        }
        is_wrong == Some(true)
    }

    /// A blob was just put or removed: whatever was wrong with it is over, and its age as well.
    pub(crate) fn refresh(&self, hash: &BlobHash) {
        lock(&self.inner.wrong).remove(hash);
        lock(&self.inner.stamps).remove(hash);
        self.inner.ages.forget(hash);
    }

    pub(crate) async fn head(&self, hash: &BlobHash) -> Result<Option<ObjectMeta>, StorageError> {
        let found = self.inner.objects.head(&self.inner.layout.blob(hash)).await?;
        Ok(found.filter(|meta| !self.is_wrong(hash, meta)))
    }

    async fn get(&self, hash: &BlobHash) -> Result<Option<GetResult>, StorageError> {
        let found = self.inner.objects.get(&self.inner.layout.blob(hash)).await?;
        Ok(found.filter(|found| !self.is_wrong(hash, &found.meta)))
    }

    async fn read_whole(&self, hash: &BlobHash, max: u64) -> Result<Option<Bytes>, StorageError> {
        let Some(found) = self.get(hash).await? else { return Ok(None) };
        if found.meta.size > max {
            return Err(StorageError::TooLarge(found.meta.size));
        }
        let bytes = collect(found).await?;
        if BlobHash::of(&bytes) != *hash {
            return Err(StorageError::Damaged { table: "blobs", key: hash.to_string() });
        }
        Ok(Some(bytes))
    }

    async fn look_again(&self, hash: &BlobHash) -> Result<Condemned, StorageError> {
        let Some(found) = self.get(hash).await? else { return Ok(Condemned::Absent) };
        let version = Version::of(&found.meta);
        let mut hasher = blake3::Hasher::new();
        let mut parts = found.into_stream();
        while let Some(part) = parts.try_next().await.map_err(broken)? {
            hasher.update(&part);
        }
        if hasher.finalize().as_bytes() == hash.as_bytes() {
            return Ok(Condemned::Whole);
        }
        let mut wrong = lock(&self.inner.wrong);
        wrong.insert(*hash, version);
        if wrong.len() > WRONG_MAX {
            wrong.pop_first();
        }
        Ok(Condemned::SetAside)
    }

    /// Blobs of a shelf and when each was last put or renewed.
    async fn list(&self, shelf: u8) -> Result<Vec<Held>, StorageError> {
        let (objects, layout) = (&self.inner.objects, &self.inner.layout);
        let mut held: BTreeMap<BlobHash, Held> = BTreeMap::new();
        let mut marks = Vec::new();
        objects
            .list(&layout.blobs(shelf), |meta| {
                match Named::of(layout, &meta.location) {
                    Some(Named::Blob(hash)) if !self.is_wrong(&hash, &meta) => {
                        held.insert(hash, Held { hash, bytes: meta.size, stamp: stamp(&meta) });
                    }
                    Some(Named::Used(hash)) => marks.push((hash, stamp(&meta), meta.location)),
                    Some(Named::Blob(_)) | None => {}
                }
                true
            })
            .await?;
        // Marks on blobs that are gone.
        let mut idle = Vec::new();
        for (hash, stamp, key) in marks {
            match held.get_mut(&hash) {
                Some(held) => held.stamp = held.stamp.max(stamp),
                None => idle.push(key),
            }
        }
        self.remove_idle(&idle).await?;
        Ok(held.into_values().collect())
    }
}

fn broken(error: object_store::Error) -> StorageError {
    StorageError::Remote { what: "send an object", source: Box::new(error) }
}

/// The bytes of a small object.
async fn collect(found: GetResult) -> Result<Bytes, StorageError> {
    match tokio::time::timeout(READ_WAIT, found.bytes()).await {
        Ok(bytes) => bytes.map_err(broken),
        Err(_) => {
            let source = Box::new(io::Error::from(io::ErrorKind::TimedOut));
            Err(StorageError::Remote { what: "send an object", source })
        }
    }
}

impl BlobPlace for S3Store {
    fn is_shared(&self) -> bool {
        true
    }

    fn has<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.head(hash).await?.is_some()) })
    }

    fn reader<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Option<(BlobReader, u64)>> {
        Box::pin(async move {
            let Some(found) = self.get(hash).await? else { return Ok(None) };
            let bytes = found.meta.size;
            let reader: BlobReader = Box::pin(StreamReader::new(found.into_stream()));
            Ok(Some((reader, bytes)))
        })
    }

    fn read<'a>(&'a self, hash: &'a BlobHash, max: u64) -> Reply<'a, Option<Bytes>> {
        Box::pin(self.read_whole(hash, max))
    }

    fn put<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Box<dyn BlobSink>> {
        Box::pin(async move {
            self.claim().await?;
            let writers = Arc::clone(&self.inner.writers);
            let place = writers.acquire_owned().await.map_err(|_| StorageError::Closed)?;
            let sink: Box<dyn BlobSink> = Box::new(S3Sink::new(self.clone(), *hash, place));
            Ok(sink)
        })
    }

    fn renew<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool> {
        Box::pin(self.rely_on(hash))
    }

    fn condemn<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, Condemned> {
        Box::pin(self.look_again(hash))
    }

    fn damaged(&self) -> Reply<'_, Vec<BlobHash>> {
        let found: Vec<BlobHash> = lock(&self.inner.wrong).keys().copied().collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn remove_damaged<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, ()> {
        // Nobody needs it, so from now on it is an object of no use like others, and goes by its age.
        lock(&self.inner.wrong).remove(hash);
        Box::pin(std::future::ready(Ok(())))
    }

    fn shelf(&self, shelf: u8) -> Reply<'_, Vec<Held>> {
        Box::pin(self.list(shelf))
    }

    fn remove<'a>(&'a self, hash: &'a BlobHash) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.sweep(hash, None).await?.is_some()) })
    }

    fn note_unused(&self, shelf: u8, dead: &[Held], passed: Duration) {
        self.note(shelf, dead, passed);
    }

    fn cap_unused(&self, max: Duration) {
        self.inner.ages.cap(max);
    }

    fn unused_for(&self, grace: Duration) -> Vec<BlobHash> {
        self.inner.ages.due(grace)
    }

    fn remove_unused<'a>(&'a self, hash: &'a BlobHash, grace: Duration) -> Reply<'a, Option<u64>> {
        Box::pin(async move {
            let seen = lock(&self.inner.stamps).get(hash).copied();
            if seen.is_none() || !self.inner.ages.is_due(hash, grace) {
                return Ok(None);
            }
            self.sweep(hash, seen).await
        })
    }

    fn save_unused(&self) -> Reply<'_, ()> {
        Box::pin(self.tidy_up())
    }
}
