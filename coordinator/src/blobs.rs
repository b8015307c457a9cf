//! Media by hash, held by a majority of members.
//!
//! ```text
//!  put      this member, then the others until a majority holds it
//!  get      this member, else another one: fetched, checked by hash, kept
//!  repair   each minute: what the market refers to and is not here is fetched; a picture that no
//!           account shows any more is removed
//! ```
//! A blob's name is its hash, so any copy is as good as another and nothing is ever overwritten. A
//! damaged one is set aside, by whoever finds it: then it is not here, and repair fetches it. It must
//! not know what a blob is for, but for repair, which reads manifests. Read next: `scrub.rs`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fairground_media::Manifest;
use fairground_runtime::shutdown::Shutdown;
use fairground_seam::link::{RecvStream, SendStream};
use fairground_storage::StorageError;
use fairground_storage::blob::BlobStore;
use fairground_types::limits::{BLOB_MAX, EVIDENCE_BYTES_MAX};
use fairground_types::{BlobHash, MemberId};
use fairground_wire::message::{BlobRequest, BlobResponse, StreamKind};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::peers::Peers;
use crate::state::State;
use crate::stream::{self, StreamError};

/// How long one copy may take.
const COPY_WAIT: Duration = Duration::from_secs(120);
/// How long another member may take to say whether it holds a blob.
const ASK_WAIT: Duration = Duration::from_secs(5);
const REPAIR_PERIOD: Duration = Duration::from_secs(60);
/// Blobs fetched in one repair.
const REPAIR_MAX: usize = 2_000;
const MANIFEST_MAX: u64 = 4 * 1024 * 1024;
const BUFFER: usize = 64 * 1024;
/// What Linux says of a sector that cannot be read.
const EIO: i32 = 5;

/// How taking a blob ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    Stored,
    Mismatch,
    Failed,
}

/// The blobs of this member, and its way to those of the others.
pub(crate) struct Blobs {
    me: MemberId,
    pub(crate) store: BlobStore,
    peers: Arc<Peers>,
    state: Arc<State>,
    /// Pictures of accounts as the last repair knew them.
    avatars: Mutex<BTreeSet<BlobHash>>,
}

impl Blobs {
    pub(crate) fn new(
        me: MemberId,
        store: BlobStore,
        peers: Arc<Peers>,
        state: Arc<State>,
    ) -> Self {
        Self { me, store, peers, state, avatars: Mutex::default() }
    }

    fn others(&self) -> Vec<MemberId> {
        self.state.read(|market| {
            market.members().map(|row| row.member).filter(|member| *member != self.me).collect()
        })
    }

    /// Which of these are here.
    pub(crate) async fn has(&self, hashes: &[BlobHash]) -> Vec<bool> {
        let mut held = Vec::with_capacity(hashes.len());
        for hash in hashes {
            held.push(self.store.has(hash).await.unwrap_or(false));
        }
        held
    }

    /// The blob, when it is here.
    pub(crate) async fn open_here(&self, hash: BlobHash) -> Option<(File, u64)> {
        match self.store.open_file(&hash).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%hash, %error, "blob not read");
                None
            }
        }
    }

    /// The blob, fetched from another member when it is not here.
    pub(crate) async fn open_anywhere(&self, hash: BlobHash) -> Option<(File, u64)> {
        if let Some(found) = self.open_here(hash).await {
            return Some(found);
        }
        if self.fetch(hash).await { self.open_here(hash).await } else { None }
    }

    /// A small blob in memory.
    pub(crate) async fn read(&self, hash: BlobHash) -> Option<bytes::Bytes> {
        self.read_up_to(hash, MANIFEST_MAX).await
    }

    /// A picture in memory.
    pub(crate) async fn picture(&self, hash: BlobHash) -> Option<bytes::Bytes> {
        self.read_up_to(hash, u64::try_from(EVIDENCE_BYTES_MAX).unwrap_or(u64::MAX)).await
    }

    /// A blob in memory; a damaged copy here is replaced by another member's.
    async fn read_up_to(&self, hash: BlobHash, max: u64) -> Option<bytes::Bytes> {
        for _ in 0..2 {
            self.open_anywhere(hash).await?;
            match self.store.read(&hash, max).await {
                Ok(found) => return found,
                Err(StorageError::Damaged { .. }) => self.set_aside(hash).await,
                Err(error) => {
                    tracing::warn!(%hash, %error, "blob not read");
                    return None;
                }
            }
        }
        None
    }

    /// Sends the bytes of a blob that is here.
    ///
    /// Nothing is hashed before it is sent: a source of hundreds of megabytes would be read twice
    /// and a segment's viewer would wait. It is hashed on the way instead, and the last part only
    /// leaves when the hash is right, so that whoever asked never has a damaged blob whole: it
    /// finds the stream short and asks another member, and this one no longer has the blob.
    pub(crate) async fn send(
        &self,
        hash: BlobHash,
        mut file: File,
        send: &mut SendStream,
    ) -> Result<(), StreamError> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0_u8; BUFFER];
        let mut last = Vec::new();
        let is_read = loop {
            let Ok(count) = file.read(&mut buffer).await else { break false };
            let part = buffer.get(..count).unwrap_or_default();
            if part.is_empty() {
                break true;
            }
            hasher.update(part);
            if !last.is_empty() {
                send.write_all(&last).await?;
            }
            last.clear();
            last.extend_from_slice(part);
        };
        if !is_read || hasher.finalize().as_bytes() != hash.as_bytes() {
            self.set_aside(hash).await;
            return Err(StreamError::Ended);
        }
        send.write_all(&last).await?;
        Ok(())
    }

    /// Takes a blob out of the way that was read wrong, once it is read wrong again: memory and
    /// cables err as well, and a copy that is good must stay.
    pub(crate) async fn set_aside(&self, hash: BlobHash) {
        match self.store.verify(&hash).await {
            Ok(Some(false)) => {}
            Ok(Some(true)) => {
                tracing::warn!(%hash, "a blob was read wrong once and right the second time");
                return;
            }
            Ok(None) => return,
            Err(StorageError::Io { source, .. }) if source.raw_os_error() == Some(EIO) => {}
            Err(error) => {
                tracing::warn!(%hash, %error, "blob not read");
                return;
            }
        }
        match self.store.set_aside(&hash).await {
            Ok(true) => {
                metrics::counter!(crate::metrics::BLOBS_DAMAGED).increment(1);
                tracing::warn!(%hash, "a damaged blob was set aside");
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%hash, %error, "a damaged blob could not be set aside"),
        }
    }

    /// Takes the bytes that follow on a stream.
    pub(crate) async fn take(
        &self,
        hash: BlobHash,
        bytes: u64,
        receive: &mut RecvStream,
    ) -> PutOutcome {
        let taking = async {
            let mut writer = self.store.put().await.ok()?;
            let mut left = bytes;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
                let chunk = receive.read_chunk(part, true).await.ok()??;
                writer.write(&chunk.bytes).await.ok()?;
                left = left.saturating_sub(u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX));
            }
            Some(writer.finish(Some(hash)).await)
        };
        match tokio::time::timeout(COPY_WAIT, taking).await {
            Ok(Some(Ok(_))) => PutOutcome::Stored,
            Ok(Some(Err(StorageError::WrongDigest))) => PutOutcome::Mismatch,
            Ok(Some(Err(error))) => {
                tracing::error!(%hash, %error, "blob not stored");
                PutOutcome::Failed
            }
            Ok(None) | Err(_) => PutOutcome::Failed,
        }
    }

    /// Copies a blob that is here to the others; says whether a majority of members holds it. The
    /// rest get it by repair.
    pub(crate) async fn spread(&self, hash: BlobHash) -> bool {
        let others = self.others();
        let needed = others.len().div_ceil(2);
        let mut copies: FuturesUnordered<_> =
            others.iter().map(|member| self.push(*member, hash)).collect();
        let mut held = 0;
        while held < needed {
            match copies.next().await {
                Some(true) => held += 1,
                Some(false) => {}
                None => return false,
            }
        }
        true
    }

    async fn push(&self, member: MemberId, hash: BlobHash) -> bool {
        let pushing = async {
            let (file, bytes) = self.open_here(hash).await?;
            let (mut send, mut receive) = self.peers.open(member, StreamKind::Blob).await.ok()?;
            stream::send(&mut send, &BlobRequest::Put { hash, bytes }).await.ok()?;
            let first: BlobResponse = stream::expect(&mut receive).await.ok()?;
            match first {
                BlobResponse::Stored => return Some(true),
                BlobResponse::Send => {}
                BlobResponse::Found { .. }
                | BlobResponse::Absent
                | BlobResponse::Held(_)
                | BlobResponse::Refused { .. } => return None,
            }
            self.send(hash, file, &mut send).await.ok()?;
            // A peer that is gone needs no end of stream.
            let _ = send.finish();
            let last: BlobResponse = stream::expect(&mut receive).await.ok()?;
            Some(last == BlobResponse::Stored)
        };
        let pushed = tokio::time::timeout(COPY_WAIT, pushing).await;
        let is_held = matches!(pushed, Ok(Some(true)));
        if !is_held {
            tracing::warn!(%member, %hash, "blob not copied");
        }
        is_held
    }

    /// Fetches a blob from any other member.
    async fn fetch(&self, hash: BlobHash) -> bool {
        for member in self.others() {
            let fetching = self.fetch_from(member, hash);
            if matches!(tokio::time::timeout(COPY_WAIT, fetching).await, Ok(Some(true))) {
                return true;
            }
        }
        false
    }

    async fn fetch_from(&self, member: MemberId, hash: BlobHash) -> Option<bool> {
        let opening = self.peers.open(member, StreamKind::Blob);
        let (mut send, mut receive) = tokio::time::timeout(ASK_WAIT, opening).await.ok()?.ok()?;
        stream::send(&mut send, &BlobRequest::Get { hash }).await.ok()?;
        // A peer that is gone needs no end of stream.
        let _ = send.finish();
        let answer =
            tokio::time::timeout(ASK_WAIT, stream::expect(&mut receive)).await.ok()?.ok()?;
        let BlobResponse::Found { bytes } = answer else { return None };
        if bytes > u64::try_from(BLOB_MAX).unwrap_or(u64::MAX) {
            return None;
        }
        Some(self.take(hash, bytes, &mut receive).await == PutOutcome::Stored)
    }

    /// Fetches what the market refers to and is not here, until `shutdown`.
    pub(crate) async fn repair(self: Arc<Self>, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(REPAIR_PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = self.repair_once() => {}
            }
        }
    }

    async fn repair_once(&self) {
        let (sources, manifests, avatars) = self.state.read(|market| {
            let sources = market.assets().map(fairground_market::Asset::source);
            let manifests: Vec<BlobHash> =
                market.view().assets().map(|asset| asset.manifest).collect();
            let avatars: BTreeSet<BlobHash> = market.avatars().collect();
            (sources.chain(market.evidence_images()).collect(), manifests, avatars)
        });
        let mut wanted: BTreeSet<BlobHash> = sources;
        wanted.extend(&avatars);
        for manifest in manifests {
            wanted.insert(manifest);
            let Some(bytes) = self.read(manifest).await else { continue };
            match Manifest::parse(&bytes) {
                Ok(manifest) => wanted.extend(manifest.blobs()),
                Err(error) => tracing::warn!(%manifest, %error, "manifest not read"),
            }
        }
        let mut repaired = 0_usize;
        for hash in &wanted {
            if repaired >= REPAIR_MAX {
                break;
            }
            if !self.store.has(hash).await.unwrap_or(false) && self.fetch(*hash).await {
                repaired = repaired.saturating_add(1);
            }
        }
        self.forget_avatars(avatars, &wanted).await;
        if repaired > 0 {
            let count = u64::try_from(repaired).unwrap_or(u64::MAX);
            metrics::counter!(crate::metrics::BLOBS_REPAIRED).increment(count);
            tracing::info!(blobs = repaired, "blobs repaired");
        }
    }
}

impl Blobs {
    /// Removes pictures that some account showed at the last repair and none does now: of people who
    /// took theirs away, changed it, or were erased.
    async fn forget_avatars(&self, now: BTreeSet<BlobHash>, wanted: &BTreeSet<BlobHash>) {
        let before = {
            let mut known = self.avatars.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *known, now)
        };
        for hash in before.difference(wanted) {
            match self.store.remove(hash).await {
                Ok(_) => tracing::debug!(%hash, "a picture that nobody shows was removed"),
                Err(error) => tracing::warn!(%hash, %error, "picture not removed"),
            }
        }
    }
}
