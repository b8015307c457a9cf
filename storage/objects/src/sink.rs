//! A blob on its way into the bucket.
//!
//! ```text
//!  up to PART bytes   kept in memory, hashed; one put when the hash is right
//!  longer             parts sent as they fill, hashed; joined when the hash is right, else aborted
//! ```
//! So nothing is ever visible under a hash that is not its own, and a blob takes two parts of memory
//! at most however long it is. It must not know what a blob is for.

use std::time::Duration;

use fairground_storage::StorageError;
use fairground_storage::blob::{BlobSink, Reply};
use fairground_types::BlobHash;
use fairground_types::limits::BLOB_MAX;
use object_store::{MultipartUpload, PutPayload};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use crate::request::within;
use crate::store::S3Store;

/// Bytes that are sent at once. S3 takes parts of 5 MiB and more, all of one length but the last, and
/// 10,000 of them.
pub(crate) const PART: usize = 8 * 1024 * 1024;
const BLOB_MAX_BYTES: u64 = BLOB_MAX as u64;
/// How long giving an upload up may take in the background.
const ABORT_WAIT: Duration = Duration::from_secs(30);

pub(crate) struct S3Sink {
    store: S3Store,
    hash: BlobHash,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    written: u64,
    upload: Option<Box<dyn MultipartUpload>>,
    _place: OwnedSemaphorePermit,
}

impl S3Sink {
    pub(crate) fn new(store: S3Store, hash: BlobHash, place: OwnedSemaphorePermit) -> Self {
        Self {
            store,
            hash,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
            written: 0,
            upload: None,
            _place: place,
        }
    }

    async fn add(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.written = self.written.saturating_add(count);
        if self.written > BLOB_MAX_BYTES {
            return Err(StorageError::TooLarge(self.written));
        }
        self.hasher.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            // Only when more follows: what fits into one part needs no upload in parts.
            if self.buffer.len() >= PART {
                self.send_part().await?;
            }
            let room = PART.saturating_sub(self.buffer.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), StorageError> {
        let part = PutPayload::from(std::mem::take(&mut self.buffer));
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => self.store.begin(&self.hash).await?,
        };
        let sending = upload.put_part(part);
        // Back in its place before anything is waited for: dropped meanwhile, it is given up.
        self.upload = Some(upload);
        within("store part of an object", sending).await
    }

    async fn complete(&mut self) -> Result<(), StorageError> {
        if self.hasher.finalize().as_bytes() != self.hash.as_bytes() {
            return Err(StorageError::WrongDigest);
        }
        if self.upload.is_none() {
            let bytes = std::mem::take(&mut self.buffer);
            self.store.put_whole(&self.hash, bytes.into()).await?;
        } else {
            if !self.buffer.is_empty() {
                self.send_part().await?;
            }
            if let Some(upload) = self.upload.as_mut() {
                within("join an upload", upload.complete()).await?;
            }
            self.upload = None;
        }
        self.store.stands(&self.hash).await
    }

    /// Gives up what was sent in parts, so that the store does not keep it.
    async fn abort(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            give_up(upload.as_mut()).await;
        }
    }
}

async fn give_up(upload: &mut dyn MultipartUpload) {
    match tokio::time::timeout(ABORT_WAIT, upload.abort()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "parts of an upload stay in the bucket"),
        Err(_) => tracing::warn!("parts of an upload stay in the bucket: no answer"),
    }
}

impl BlobSink for S3Sink {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Reply<'a, ()> {
        Box::pin(self.add(bytes))
    }

    fn finish(self: Box<Self>) -> Reply<'static, ()> {
        Box::pin(async move {
            let mut sink = *self;
            let finished = sink.complete().await;
            sink.abort().await;
            finished
        })
    }
}

impl Drop for S3Sink {
    fn drop(&mut self) {
        // Whoever was sending is gone or took too long. Nobody waits for this, so it has its own end.
        if let Some(mut upload) = self.upload.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { give_up(upload.as_mut()).await });
        }
    }
}
