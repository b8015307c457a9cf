//! Media by hash, held by a majority of members or by a bucket that all of them share.
//!
//! ```text
//!           a folder of each member                          a shared bucket
//!  put      this member, then the others until a majority    the bucket
//!           holds it
//!  get      this member, else another one: fetched,          the bucket
//!           checked by hash, kept
//!  mark     what the market and the history need, by way of manifests
//!  repair   each minute: what is marked and not here is      nothing: what is missing is found by
//!           fetched                                          the collection, and said
//!           a picture that no account shows any more is removed
//! ```
//! A blob's name is its hash, so any copy is as good as another and nothing is ever overwritten. A
//! damaged one is set aside, by whoever finds it: then it is not here, and repair fetches it. It
//! must not know what a blob is for, but for marking, which reads manifests. Read next: `scrub.rs`
//! for damage, `collect.rs` for what is of no use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_market::Market;
use fairground_media::Manifest;
use fairground_runtime::shutdown::Shutdown;
use fairground_runtime::telemetry;
use fairground_seam::link::{RecvStream, SendStream};
use fairground_storage::StorageError;
use fairground_storage::blob::{BlobPlace, BlobReader, Condemned};
use fairground_types::limits::{BLOB_MAX, EVIDENCE_BYTES_MAX};
use fairground_types::{BlobHash, MemberId};
use fairground_wire::message::{BlobRequest, BlobResponse, StreamKind};
use futures_util::stream::{self as futures, FuturesUnordered, StreamExt};
use tokio::io::AsyncReadExt;

use crate::collect::BlobFigures;
use crate::history::History;
use crate::peers::Peers;
use crate::state::State;
use crate::stream::{self, StreamError};

/// How long one copy may take.
const COPY_WAIT: Duration = Duration::from_secs(120);
/// How long another member may take to say whether it holds a blob.
const ASK_WAIT: Duration = Duration::from_secs(5);
/// Least pause between two repairs, whatever is configured.
const REPAIR_PERIOD_MIN: Duration = Duration::from_millis(100);
/// Blobs fetched in one repair.
const REPAIR_MAX: usize = 2_000;
const MANIFEST_MAX: u64 = 4 * 1024 * 1024;
const BUFFER: usize = 64 * 1024;
/// Blobs that are asked about at once.
const RENEWALS_MAX: usize = 32;

/// How taking a blob ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    Stored,
    Mismatch,
    Failed,
}

/// What is needed, as far as this member can say.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    /// Everything that was found.
    pub(crate) wanted: BTreeSet<BlobHash>,
    /// Pictures of accounts among it.
    avatars: BTreeSet<BlobHash>,
    /// Whether every manifest was read.
    pub(crate) has_manifests: bool,
    /// Whether every record of the history was.
    pub(crate) has_history: bool,
}

/// Pictures that the history names, as far as it was looked at.
#[derive(Debug, Default)]
struct Archived {
    images: BTreeSet<BlobHash>,
    next: u64,
}

/// The blobs of this member, and its way to those of the others.
pub(crate) struct Blobs {
    me: MemberId,
    pub(crate) store: Arc<dyn BlobPlace>,
    peers: Arc<Peers>,
    pub(crate) state: Arc<State>,
    history: History,
    archived: Mutex<Archived>,
    /// What the last look at what is of no use found.
    pub(crate) figures: Mutex<BlobFigures>,
    /// Pictures of accounts as the last repair knew them.
    avatars: Mutex<BTreeSet<BlobHash>>,
    /// What manifests name that were read from a shared bucket, so that they are not read from there
    /// each minute. Of a folder they are read again, which finds the damaged ones.
    named: Mutex<BTreeMap<BlobHash, Vec<BlobHash>>>,
}

impl Blobs {
    pub(crate) fn new(
        me: MemberId,
        store: Arc<dyn BlobPlace>,
        peers: Arc<Peers>,
        state: Arc<State>,
        history: History,
    ) -> Self {
        Self {
            me,
            store,
            peers,
            state,
            history,
            archived: Mutex::default(),
            figures: Mutex::default(),
            avatars: Mutex::default(),
            named: Mutex::default(),
        }
    }

    fn others(&self) -> Vec<MemberId> {
        self.state.read(|market| {
            market.members().map(|row| row.member).filter(|member| *member != self.me).collect()
        })
    }

    /// Which of these are here, for somebody who relies on it: they stay for a grace from now on.
    pub(crate) async fn renew(&self, hashes: &[BlobHash]) -> Vec<bool> {
        let asking = hashes.iter().copied().map(|hash| self.renew_one(hash));
        futures::iter(asking).buffered(RENEWALS_MAX).collect().await
    }

    async fn renew_one(&self, hash: BlobHash) -> bool {
        self.store.renew(&hash).await.unwrap_or_else(|error| {
            tracing::warn!(%hash, error = %telemetry::chain(&error), "blob not looked for");
            false
        })
    }

    /// The blob, when it is here.
    pub(crate) async fn open_here(&self, hash: BlobHash) -> Option<(BlobReader, u64)> {
        match self.store.reader(&hash).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%hash, error = %telemetry::chain(&error), "blob not read");
                None
            }
        }
    }

    /// The blob, fetched from another member when it is not here.
    pub(crate) async fn open_anywhere(&self, hash: BlobHash) -> Option<(BlobReader, u64)> {
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
        // Read; when it is damaged or not here fetched and read; once more when both.
        for _ in 0..3 {
            match self.store.read(&hash, max).await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {
                    if !self.fetch(hash).await {
                        return None;
                    }
                }
                Err(StorageError::Damaged { .. }) => self.set_aside(hash).await,
                Err(error) => {
                    tracing::warn!(%hash, error = %telemetry::chain(&error), "blob not read");
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
        mut file: BlobReader,
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
        let is_right = is_read && hasher.finalize().as_bytes() == hash.as_bytes();
        if !is_right {
            // A network that breaks says nothing about the blob behind it.
            if is_read || !self.store.is_shared() {
                self.set_aside(hash).await;
            }
            return Err(StreamError::Ended);
        }
        send.write_all(&last).await?;
        Ok(())
    }

    /// Takes a blob out of the way that was read wrong, once it is read wrong again: memory and
    /// cables err as well, and a copy that is good must stay.
    pub(crate) async fn set_aside(&self, hash: BlobHash) {
        match self.store.condemn(&hash).await {
            Ok(Condemned::SetAside) => {
                metrics::counter!(crate::metrics::BLOBS_DAMAGED).increment(1);
                tracing::warn!(%hash, "a damaged blob was set aside");
            }
            Ok(Condemned::Whole) => {
                tracing::warn!(%hash, "a blob was read wrong once and right the second time");
            }
            Ok(Condemned::Absent) => {}
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::error!(%hash, %error, "a blob that was read wrong could not be looked at");
            }
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
            let mut sink = self.store.put(&hash).await?;
            let mut left = bytes;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
                let Ok(Some(chunk)) = receive.read_chunk(part, true).await else {
                    return Ok(false);
                };
                sink.write(&chunk.bytes).await?;
                left = left.saturating_sub(u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX));
            }
            sink.finish().await.map(|()| true)
        };
        match tokio::time::timeout(COPY_WAIT, taking).await {
            Ok(Ok(true)) => PutOutcome::Stored,
            Ok(Err(StorageError::WrongDigest)) => PutOutcome::Mismatch,
            Ok(Err(error)) => {
                tracing::error!(%hash, error = %telemetry::chain(&error), "blob not stored");
                PutOutcome::Failed
            }
            Ok(Ok(false)) => PutOutcome::Failed,
            Err(_) => {
                tracing::error!(%hash, "blob not stored in time");
                PutOutcome::Failed
            }
        }
    }

    /// Copies a blob that is here to the others; says whether a majority of members holds it. The
    /// rest get it by repair.
    pub(crate) async fn spread(&self, hash: BlobHash) -> bool {
        if self.store.is_shared() {
            return true;
        }
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
        // What is not in a bucket that members share no other member has.
        if self.store.is_shared() {
            return false;
        }
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

    /// Finds everything that is needed: what the state names, what manifests name, what the history
    /// names.
    pub(crate) async fn mark(&self) -> Marked {
        let (roots, avatars, archived) = self
            .state
            .read(|market| (market.blob_roots(), market.avatars().collect(), market.archived()));
        let mut marked =
            Marked { wanted: roots.blobs, avatars, has_manifests: true, has_history: false };
        self.named().retain(|hash, _| roots.manifests.contains(hash));
        for hash in roots.manifests {
            marked.wanted.insert(hash);
            match self.names(hash).await {
                Some(blobs) => marked.wanted.extend(blobs),
                None => marked.has_manifests = false,
            }
        }
        let from = self.archived().next;
        if let Some((images, next)) = self.history.images(from, archived).await {
            let mut known = self.archived();
            known.images.extend(images);
            known.next = known.next.max(next);
            marked.has_history = known.next >= archived;
            marked.wanted.extend(&known.images);
        }
        marked
    }

    /// What a manifest names, when it can be read.
    async fn names(&self, hash: BlobHash) -> Option<Vec<BlobHash>> {
        if let Some(known) = self.named().get(&hash) {
            return Some(known.clone());
        }
        let bytes = self.read(hash).await?;
        match Manifest::parse(&bytes) {
            Ok(manifest) => {
                let blobs: Vec<BlobHash> = manifest.blobs().collect();
                if self.store.is_shared() {
                    self.named().insert(hash, blobs.clone());
                }
                Some(blobs)
            }
            Err(error) => {
                tracing::warn!(manifest = %hash, %error, "manifest not read");
                None
            }
        }
    }

    /// What is in it is true whenever it is there, so a lock that a panic left is used on.
    fn named(&self) -> MutexGuard<'_, BTreeMap<BlobHash, Vec<BlobHash>>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pictures are only ever added to it, so a lock that a panic left is used on.
    fn archived(&self) -> MutexGuard<'_, Archived> {
        self.archived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches what is marked and not here each `period`, until `shutdown`.
    pub(crate) async fn repair(self: Arc<Self>, period: Duration, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(period.max(REPAIR_PERIOD_MIN));
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
        let marked = self.mark().await;
        if !self.store.is_shared() {
            self.fetch_missing(&marked.wanted).await;
        }
        // In a bucket there is one copy, and others may rely on it by now: the collection looks twice.
        if marked.has_history && !self.store.is_shared() {
            self.forget_avatars(marked.avatars, &marked.wanted).await;
        }
    }

    async fn fetch_missing(&self, wanted: &BTreeSet<BlobHash>) {
        let mut repaired = 0_usize;
        for hash in wanted {
            if repaired >= REPAIR_MAX {
                break;
            }
            if !self.store.has(hash).await.unwrap_or(false) && self.fetch(*hash).await {
                repaired = repaired.saturating_add(1);
            }
        }
        if repaired > 0 {
            let count = u64::try_from(repaired).unwrap_or(u64::MAX);
            metrics::counter!(crate::metrics::BLOBS_REPAIRED).increment(count);
            tracing::info!(blobs = repaired, "blobs repaired");
        }
    }

    /// Removes pictures that some account showed at the last repair and none does now: of people
    /// who took theirs away, changed it, or were erased. They do not wait for the collection.
    async fn forget_avatars(&self, now: BTreeSet<BlobHash>, wanted: &BTreeSet<BlobHash>) {
        let before = {
            let mut known = self.avatars.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *known, now)
        };
        for hash in before.difference(wanted) {
            // Marking and fetching took a while.
            let roots = self.state.read(Market::blob_roots);
            if roots.blobs.contains(hash) || roots.manifests.contains(hash) {
                continue;
            }
            match self.store.remove(hash).await {
                Ok(_) => tracing::debug!(%hash, "a picture that nobody shows was removed"),
                Err(error) => tracing::warn!(%hash, %error, "picture not removed"),
            }
        }
    }
}
