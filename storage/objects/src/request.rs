//! Single requests to the store, each with an end, and the keys that they are about.
//!
//! It must not know why a request is made.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairground_storage::StorageError;
use fairground_types::BlobHash;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    GetOptions, GetResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload,
};

/// How long a request may take, repetitions included.
const REQUEST_WAIT: Duration = Duration::from_secs(90);
/// What the mark on a blob is called by besides its hash.
const USED: &str = ".used";

/// The keys of one cluster's blobs, as one member uses them.
#[derive(Debug)]
pub(crate) struct Layout {
    prefix: String,
    member: String,
}

impl Layout {
    pub(crate) fn new(prefix: &str, member: &str) -> Self {
        Self { prefix: prefix.trim_matches('/').to_owned(), member: member.to_owned() }
    }

    fn key(&self, rest: &str) -> Path {
        Path::from(format!("{}/{rest}", self.prefix))
    }

    pub(crate) fn cluster(&self) -> Path {
        self.key("cluster")
    }

    pub(crate) fn blob(&self, hash: &BlobHash) -> Path {
        let name = hash.to_string();
        let (first, rest) = name.split_at(2);
        let (second, _) = rest.split_at(2);
        self.key(&format!("blobs/{first}/{second}/{name}"))
    }

    /// The mark of who relies on a blob: beside it, so that one listing shows both.
    pub(crate) fn used(&self, hash: &BlobHash) -> Path {
        Path::from(format!("{}{USED}", self.blob(hash)))
    }

    pub(crate) fn blobs(&self, shelf: u8) -> Path {
        self.key(&format!("blobs/{shelf:02x}"))
    }

    /// This member's word that it is about to remove a blob; `number` tells its removals apart.
    pub(crate) fn word(&self, hash: &BlobHash, number: u64) -> Path {
        self.key(&format!("doomed/{hash}/{}-{number}", self.member))
    }

    /// The same of every member.
    pub(crate) fn doomed(&self, hash: &BlobHash) -> Path {
        self.key(&format!("doomed/{hash}"))
    }

    pub(crate) fn all_doomed(&self) -> Path {
        self.key("doomed")
    }
}

/// What stands below [`Layout::blobs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Blob(BlobHash),
    Used(BlobHash),
}

impl Named {
    /// What a key names; nothing when it is not ours.
    pub(crate) fn of(layout: &Layout, key: &Path) -> Option<Self> {
        let name = key.filename()?;
        let (named, ours) = match name.strip_suffix(USED) {
            Some(name) => {
                let hash = name.parse().ok()?;
                (Self::Used(hash), layout.used(&hash))
            }
            None => {
                let hash = name.parse().ok()?;
                (Self::Blob(hash), layout.blob(&hash))
            }
        };
        (ours == *key).then_some(named)
    }
}

fn failed(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StorageError {
    StorageError::Remote { what, source: source.into() }
}

/// Bounds a request.
pub(crate) async fn within<T>(
    what: &'static str,
    request: impl Future<Output = object_store::Result<T>> + Send,
) -> Result<T, StorageError> {
    match tokio::time::timeout(REQUEST_WAIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(what, error)),
        Err(_) => Err(failed(what, io::Error::from(io::ErrorKind::TimedOut))),
    }
}

/// Bounds a request about one object; `None` when there is no such object.
async fn if_there<T>(
    what: &'static str,
    request: impl Future<Output = object_store::Result<T>> + Send,
) -> Result<Option<T>, StorageError> {
    let request = async {
        match request.await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            answer => answer.map(Some),
        }
    };
    within(what, request).await
}

/// The store as this crate asks it. Without `Debug`: the client holds a secret.
#[derive(Clone)]
pub(crate) struct Objects(pub(crate) Arc<dyn ObjectStore>);

impl Objects {
    pub(crate) async fn head(&self, key: &Path) -> Result<Option<ObjectMeta>, StorageError> {
        let options = GetOptions::new().with_head(true);
        let found = if_there("look for an object", self.0.get_opts(key, options)).await?;
        Ok(found.map(|found| found.meta))
    }

    /// The object, whose bytes are still on their way: they have an end of their own each time that
    /// the store is silent.
    pub(crate) async fn get(&self, key: &Path) -> Result<Option<GetResult>, StorageError> {
        if_there("read an object", self.0.get_opts(key, GetOptions::new())).await
    }

    pub(crate) async fn put(&self, key: &Path, bytes: Bytes) -> Result<(), StorageError> {
        let request = self.0.put_opts(key, PutPayload::from(bytes), PutOptions::default());
        within("store an object", request).await.map(|_| ())
    }

    pub(crate) async fn begin(&self, key: &Path) -> Result<Box<dyn MultipartUpload>, StorageError> {
        let request = self.0.put_multipart_opts(key, PutMultipartOptions::default());
        within("begin an upload", request).await
    }

    /// Removes an object; one that is not there is no failure.
    pub(crate) async fn delete(&self, key: &Path) -> Result<(), StorageError> {
        let keys = stream::once(std::future::ready(Ok(key.clone()))).boxed();
        let mut removed = self.0.delete_stream(keys);
        if_there("remove an object", removed.try_next()).await.map(|_| ())
    }

    /// Calls `take` for every object below a key; stops when it answers `false`.
    pub(crate) async fn list(
        &self,
        below: &Path,
        mut take: impl FnMut(ObjectMeta) -> bool + Send,
    ) -> Result<(), StorageError> {
        let mut found = self.0.list(Some(below));
        while let Some(object) = within("list objects", found.try_next()).await? {
            if !take(object) {
                break;
            }
        }
        Ok(())
    }
}
