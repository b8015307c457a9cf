//! Uploads at this edge: bytes to disk, then to the cluster, then an asset.
//!
//! ```text
//!   create -> record (redb)          uploads/<id>.part
//!   chunk  -> append, fsync -> offset (redb) -> answer      one writer per upload
//!   last   -> whole hash -> probe -> refused: file removed, reason kept
//!                                 -> blob on a quorum of members -> RegisterAsset -> file removed
//! ```
//! An offset is acknowledged only after bytes and offset are on disk. What is complete but not
//! registered, for want of a quorum, is tried again by [`tend`]. It must not know HTTP. Read next:
//! `fairground_media::upload` for what tus says, [`finish`] for the end of an upload, [`picture`] for
//! pictures, which come whole.

mod finish;
pub(crate) mod picture;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fairground_media::Tools;
use fairground_media::upload::{Chunk, Progress, UploadPolicy, UploadRefusal, UploadState};
use fairground_storage::StorageError;
use fairground_storage::replica::Replica;
use fairground_types::{AssetId, Timestamp, UploadId, UserId};
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

pub(crate) use finish::{FinishError, finish};

use crate::edge::Edge;
use crate::error::Error;
use crate::link::chain;
use crate::metrics;

/// Unfinished uploads of one maker at a time.
const UPLOADS_PER_MAKER_MAX: usize = 10;
/// Unfinished uploads at this edge.
const UPLOADS_MAX: usize = 1_000;
/// Bytes that stay free on the disk whatever is uploaded.
const FREE_FLOOR: u64 = 256 << 20;
const TEND_PERIOD: Duration = Duration::from_secs(5);

/// How an upload ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "camelCase")]
pub(crate) enum UploadEnd {
    /// The cluster knows the asset.
    Registered,
    /// The clip was refused.
    Rejected {
        /// Stable machine reason.
        reason: String,
        /// One sentence for people.
        detail: String,
    },
}

/// An upload as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UploadRecord {
    /// What tus knows.
    pub(crate) state: UploadState,
    /// Whose it is.
    pub(crate) owner: UserId,
    /// The asset that it becomes.
    pub(crate) asset: AssetId,
    /// How it ended.
    pub(crate) end: Option<UploadEnd>,
}

/// Why an upload is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreateRefusal {
    /// An empty file.
    Empty,
    /// More bytes than allowed.
    TooLarge,
    /// Too many unfinished uploads.
    TooMany,
    /// The disk is nearly full.
    DiskFull,
    /// The tools that look into clips are absent here.
    NoTools,
}

/// Why a chunk was not taken whole.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The request.
    Refused(UploadRefusal),
    /// The connection broke; what came is kept.
    Broken,
    /// This edge's disk.
    Failed(Error),
}

/// A hash that has seen the first bytes of an upload.
struct Rolling {
    offset: u64,
    hasher: blake3::Hasher,
}

/// The uploads of this edge.
pub(crate) struct Uploads {
    folder: PathBuf,
    pub(crate) policy: UploadPolicy,
    pub(crate) tools: Option<Tools>,
    store: Replica,
    writing: Arc<Mutex<HashSet<UploadId>>>,
    rolling: Mutex<HashMap<UploadId, Rolling>>,
}

/// The right to write one upload; it ends when dropped.
pub(crate) struct Lease {
    id: UploadId,
    writing: Arc<Mutex<HashSet<UploadId>>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Uploads {
    /// Opens the folder.
    pub(crate) fn open(dir: &Path, store: Replica, tools: Option<Tools>) -> Result<Self, Error> {
        let folder = dir.join("uploads");
        crate::identity::make_private_folder(&folder)?;
        Ok(Self {
            folder,
            policy: UploadPolicy::default(),
            tools,
            store,
            writing: Arc::default(),
            rolling: Mutex::default(),
        })
    }

    /// Makes an upload.
    pub(crate) async fn create(
        &self,
        record: UploadRecord,
    ) -> Result<Result<UploadRecord, CreateRefusal>, StorageError> {
        if self.tools.is_none() {
            return Ok(Err(CreateRefusal::NoTools));
        }
        if record.state.length == 0 {
            return Ok(Err(CreateRefusal::Empty));
        }
        if record.state.length > self.policy.bytes_max {
            return Ok(Err(CreateRefusal::TooLarge));
        }
        let open: Vec<UploadRecord> =
            self.all()?.into_iter().filter(|row| row.end.is_none()).collect();
        let of_maker = open.iter().filter(|row| row.owner == record.owner).count();
        if of_maker >= UPLOADS_PER_MAKER_MAX || open.len() >= UPLOADS_MAX {
            return Ok(Err(CreateRefusal::TooMany));
        }
        let promised = open.iter().fold(record.state.length, |total, row| {
            total.saturating_add(row.state.length.saturating_sub(row.state.offset))
        });
        if free_bytes(&self.folder).is_some_and(|free| free < promised.saturating_add(FREE_FLOOR)) {
            return Ok(Err(CreateRefusal::DiskFull));
        }
        self.save(&record).await?;
        Ok(Ok(record))
    }

    /// An upload.
    pub(crate) fn load(&self, id: UploadId) -> Result<Option<UploadRecord>, StorageError> {
        Ok(self.store.upload(id)?.and_then(|bytes| decode(&bytes)))
    }

    fn all(&self) -> Result<Vec<UploadRecord>, StorageError> {
        let rows = self.store.uploads()?;
        Ok(rows.iter().filter_map(|(_, bytes)| decode(bytes)).collect())
    }

    pub(crate) async fn save(&self, record: &UploadRecord) -> Result<(), StorageError> {
        // A record of texts and numbers always has a JSON form.
        let bytes = serde_json::to_vec(record).unwrap_or_default();
        self.store.put_upload(record.state.upload, bytes).await
    }

    /// The right to write; `None` while somebody else has it.
    pub(crate) fn lease(&self, id: UploadId) -> Option<Lease> {
        let is_free = self.writing.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        is_free.then(|| Lease { id, writing: Arc::clone(&self.writing) })
    }

    /// Where the bytes are.
    pub(crate) fn path(&self, id: UploadId) -> PathBuf {
        self.folder.join(format!("{id}.part"))
    }

    /// Writes a chunk; the record that comes back is stored.
    pub(crate) async fn write<S, E>(
        &self,
        _lease: &Lease,
        mut record: UploadRecord,
        mut chunk: Chunk,
        body: S,
    ) -> Result<(UploadRecord, Progress), WriteError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Send,
    {
        let id = record.state.upload;
        let path = self.path(id);
        let mut hashing =
            self.lock_rolling().remove(&id).filter(|known| known.offset == chunk.at());
        if chunk.at() == 0 {
            hashing = Some(Rolling { offset: 0, hasher: blake3::Hasher::new() });
        }
        let io = |source| WriteError::Failed(Error::File { path: path.clone(), source });
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .await
            .map_err(io)?;
        let held = file.metadata().await.map_err(io)?.len();
        if held < chunk.at() {
            // What was acknowledged is gone: zeros in its place would be taken for the clip.
            return Err(io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if chunk.at() == 0 {
            // The name must outlive the power as well as the bytes.
            let folder = self.folder.clone();
            let synced = async { tokio::fs::File::open(&folder).await?.sync_all().await };
            synced.await.map_err(io)?;
        }
        // Bytes beyond the stored offset were never acknowledged.
        file.set_len(chunk.at()).await.map_err(io)?;
        file.seek(std::io::SeekFrom::Start(chunk.at())).await.map_err(io)?;

        let mut broken = None;
        let mut body = std::pin::pin!(body);
        while let Some(next) = body.next().await {
            let Ok(bytes) = next else {
                broken = Some(WriteError::Broken);
                break;
            };
            if let Err(refusal) = chunk.update(&bytes) {
                broken = Some(WriteError::Refused(refusal));
                break;
            }
            file.write_all(&bytes).await.map_err(io)?;
            if let Some(rolling) = &mut hashing {
                rolling.hasher.update(&bytes);
                rolling.offset = rolling.offset.saturating_add(len(&bytes));
            }
        }
        file.flush().await.map_err(io)?;
        let is_whole = broken.is_none();
        let fails_check = if is_whole { chunk.finish().err() } else { None };
        if let Some(refusal) = fails_check {
            file.set_len(chunk.at()).await.map_err(io)?;
            return Err(WriteError::Refused(refusal));
        }
        if !is_whole && chunk.is_checked() {
            file.set_len(chunk.at()).await.map_err(io)?;
            return Err(broken.unwrap_or(WriteError::Broken));
        }
        file.sync_all().await.map_err(io)?;
        let progress = record.state.advance(&chunk, chunk.seen()).map_err(WriteError::Refused)?;
        self.save(&record).await.map_err(|error| WriteError::Failed(error.into()))?;
        if let Some(rolling) = hashing.filter(|rolling| rolling.offset == record.state.offset) {
            self.lock_rolling().insert(id, rolling);
        }
        match broken {
            Some(error) => Err(error),
            None => Ok((record, progress)),
        }
    }

    /// The hash of all bytes, if it was kept while they came.
    fn take_hash(&self, record: &UploadRecord) -> Option<blake3::Hash> {
        let rolling = self.lock_rolling().remove(&record.state.upload)?;
        (rolling.offset == record.state.length).then(|| rolling.hasher.finalize())
    }

    /// Removes the bytes of an upload; a file that is not there is no error.
    pub(crate) async fn remove_file(&self, id: UploadId) {
        self.lock_rolling().remove(&id);
        let path = self.path(id);
        match tokio::fs::remove_file(&path).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(upload = %id, %error, "upload file not removed"),
        }
    }

    /// Forgets an upload.
    pub(crate) async fn remove(&self, id: UploadId) -> Result<(), StorageError> {
        // In this order: a row without its file would be resumed over a hole.
        self.store.remove_upload(id).await?;
        self.remove_file(id).await;
        Ok(())
    }

    fn lock_rolling(&self) -> MutexGuard<'_, HashMap<UploadId, Rolling>> {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn len(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn decode(bytes: &[u8]) -> Option<UploadRecord> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::warn!(%error, "upload record not read"))
        .ok()
}

/// Bytes that may still be written to the disk of a folder; `None` when the system does not say.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Forgets uploads whose time is over and finishes those that a lost quorum held up: a reconciler.
pub(crate) async fn tend(edge: Arc<Edge>) {
    loop {
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(TEND_PERIOD) => {}
        }
        let records = match edge.uploads.all() {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "uploads not read");
                continue;
            }
        };
        let now = edge.time.now();
        for record in records {
            if edge.shutdown.is_triggered() {
                return;
            }
            tend_one(&edge, record, now).await;
        }
    }
}

async fn tend_one(edge: &Arc<Edge>, record: UploadRecord, now: Timestamp) {
    let id = record.state.upload;
    let is_over = record.state.expires_at <= now;
    let is_complete = record.state.offset == record.state.length;
    // What is complete gets as long again to be handed over.
    let is_hopeless = record.state.expires_at.plus(edge.uploads.policy.life) <= now;
    let should_forget = is_hopeless || (is_over && (record.end.is_some() || !is_complete));
    let should_finish = is_complete && record.end.is_none();
    if !should_forget && !should_finish {
        return;
    }
    let Some(lease) = edge.uploads.lease(id) else { return };
    if should_forget {
        match edge.uploads.remove(id).await {
            Ok(()) if record.end.is_none() => metrics::upload_ended("expired"),
            Ok(()) => {}
            Err(error) => tracing::warn!(error = %chain(&error), "upload not forgotten"),
        }
        return;
    }
    if let Err(error) = finish(edge, &lease, record).await {
        tracing::debug!(upload = %id, ?error, "upload not finished yet");
    }
}

/// The state of a new upload.
pub(crate) fn new_record(
    (upload, asset): (UploadId, AssetId),
    owner: UserId,
    state: impl FnOnce(UploadId) -> UploadState,
) -> UploadRecord {
    UploadRecord { state: state(upload), owner, asset, end: None }
}
