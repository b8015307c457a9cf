//! Segments of an edge: in memory, and below that in redb, by the hash of their bytes.
//!
//! ```text
//!  get ----> memory (shared Bytes) ----> redb: chunks opened, joined, hash checked ----> miss
//!  insert --> writer thread: hash checked, room made, several segments in one durable commit
//! ```
//! A segment is cut into chunks a little under 64 KiB, so that a row fits a page order. Every chunk
//! authenticates; the whole is checked against its hash each time it is read from disk. What is
//! damaged is a miss and removed. It must not know HLS, origins or tokens. Read next: [`policy`].

pub mod policy;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fairground_types::id::BlobHash;
use fairground_wire::Versioned;
use quick_cache::Weighter;
use redb::{Database, ReadableDatabase, ReadableTable, Table};
use tokio::sync::oneshot;
use wincode::{SchemaRead, SchemaWrite};

use crate::error::StorageError;
use crate::record::{KeyFile, RecordCipher};
use crate::store::{blocking, open_database};
use crate::tables::{SEGMENT_CHUNKS, SEGMENT_CHUNKS_NAME, SEGMENT_INDEX, SEGMENT_INDEX_NAME};
use crate::writer::{Writer, WriterLimits};
use policy::{Admission, Policy};

const CACHE_BYTES: usize = 64 * 1024 * 1024;
const LIMITS: WriterLimits = WriterLimits { queue: 256, batch: 32 };
/// Bytes of a chunk: with the record's and the row's own bytes it stays under 64 KiB.
const CHUNK: usize = 64 * 1024 - 1024;
const CHUNK_VERSION: u8 = 1;
/// Bytes of one segment that is cached at most.
pub const SEGMENT_MAX: usize = 32 * 1024 * 1024;

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of segments on disk.
    pub disk: u64,
    /// Bytes of segments in memory.
    pub memory: u64,
}

/// Counters since the cache was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Reads answered from memory.
    pub memory_hits: u64,
    /// Reads answered from disk.
    pub disk_hits: u64,
    /// Reads not answered.
    pub misses: u64,
    /// Segments stored.
    pub stored: u64,
    /// Segments evicted.
    pub evicted: u64,
    /// Segments that were damaged.
    pub damaged: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: u64,
}

#[derive(Debug, Default)]
struct Counters {
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    misses: AtomicU64,
    stored: AtomicU64,
    evicted: AtomicU64,
    damaged: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
struct IndexRecord {
    bytes: u64,
    age: u64,
}

impl Versioned for IndexRecord {
    const VERSION: u8 = 1;
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<BlobHash, Bytes> for ByBytes {
    fn weight(&self, _: &BlobHash, segment: &Bytes) -> u64 {
        u64::try_from(segment.len()).unwrap_or(u64::MAX).max(1)
    }
}

enum Job {
    Insert { segments: Vec<(BlobHash, Bytes)>, done: oneshot::Sender<Result<(), StorageError>> },
    Purge { hash: BlobHash, done: oneshot::Sender<Result<(), StorageError>> },
}

#[derive(Debug)]
struct Shared {
    database: Database,
    cipher: RecordCipher,
    memory: quick_cache::sync::Cache<BlobHash, Bytes, ByBytes>,
    policy: Mutex<Policy>,
    counters: Counters,
    next_age: AtomicU64,
    has_failed: AtomicBool,
}

/// The segment cache of an edge.
#[derive(Debug)]
pub struct SegmentCache {
    // Before `shared`, so that the queue is written before the database closes.
    writer: Writer<Job>,
    shared: Arc<Shared>,
}

impl SegmentCache {
    /// Opens or creates the cache at `path`. What is above a lowered budget goes as segments come.
    ///
    /// # Errors
    /// When the file cannot be opened. It holds nothing that is not elsewhere: a caller may remove
    /// it and open again.
    pub fn open(path: &Path, key: &KeyFile, budget: Budget) -> Result<Self, StorageError> {
        Self::over(open_database(path, CACHE_BYTES)?, key, budget)
    }

    /// A cache in a database that is already open.
    ///
    /// # Errors
    /// When the database fails.
    pub fn over(database: Database, key: &KeyFile, budget: Budget) -> Result<Self, StorageError> {
        let cipher = key.cipher("segments")?;
        let transaction = database.begin_write()?;
        transaction.open_table(SEGMENT_INDEX)?;
        transaction.open_table(SEGMENT_CHUNKS)?;
        transaction.commit()?;
        let (policy, next_age) = load_policy(&database, &cipher, budget.disk)?;
        let average = 256 * 1024;
        let items = usize::try_from(budget.memory / average).unwrap_or(usize::MAX).max(16);
        let shared = Arc::new(Shared {
            database,
            cipher,
            memory: quick_cache::sync::Cache::with_weighter(items, budget.memory, ByBytes),
            policy: Mutex::new(policy),
            counters: Counters::default(),
            next_age: AtomicU64::new(next_age),
            has_failed: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let writer =
            Writer::spawn("segment-cache-writer", LIMITS, move |jobs| for_thread.write(jobs))?;
        Ok(Self { writer, shared })
    }

    /// A segment, or `None`: not here, or damaged and being removed. Never wrong bytes.
    pub async fn get(&self, hash: &BlobHash) -> Option<Bytes> {
        if let Some(segment) = self.shared.memory.get(hash) {
            self.shared.lock().touch(hash);
            count(&self.shared.counters.memory_hits);
            return Some(segment);
        }
        if !self.shared.lock().holds(hash) {
            count(&self.shared.counters.misses);
            return None;
        }
        let (shared, wanted) = (Arc::clone(&self.shared), *hash);
        match blocking(move || shared.read(&wanted)).await {
            Ok(Some(segment)) => {
                self.shared.lock().touch(hash);
                self.shared.memory.insert(*hash, segment.clone());
                if !self.shared.lock().holds(hash) {
                    // Purged while it was read.
                    self.shared.memory.remove(hash);
                }
                count(&self.shared.counters.disk_hits);
                Some(segment)
            }
            Ok(None) => {
                count(&self.shared.counters.misses);
                None
            }
            Err(error) => {
                count(&self.shared.counters.misses);
                count(&self.shared.counters.damaged);
                tracing::warn!(segment = %hash, error = %error, "a cached segment is damaged");
                if let Err(error) = self.purge(hash).await {
                    tracing::warn!(error = %error, "a damaged segment could not be removed");
                }
                None
            }
        }
    }

    /// Whether a segment is on disk.
    #[must_use]
    pub fn holds(&self, hash: &BlobHash) -> bool {
        self.shared.lock().holds(hash)
    }

    /// Stores segments and answers once they are on disk, in one commit with what others store at
    /// the time. Those that do not fit beside what is pinned are left out.
    ///
    /// # Errors
    /// `WrongDigest` or `TooLarge`: none of these was stored. Any other: the cache's file is over.
    pub async fn insert(&self, segments: Vec<(BlobHash, Bytes)>) -> Result<(), StorageError> {
        for (_, segment) in &segments {
            if segment.len() > SEGMENT_MAX {
                return Err(StorageError::TooLarge(
                    u64::try_from(segment.len()).unwrap_or(u64::MAX),
                ));
            }
        }
        let (done, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Job::Insert { segments, done });
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// Removes a segment from memory and disk.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(&self, hash: &BlobHash) -> Result<(), StorageError> {
        let (done, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Job::Purge { hash: *hash, done });
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// Keeps a held segment from being evicted; answers whether it is held. Pins do not outlive
    /// the process.
    pub fn pin(&self, hash: &BlobHash) -> bool {
        self.shared.lock().pin(hash)
    }

    /// Takes one pin back.
    pub fn unpin(&self, hash: &BlobHash) {
        self.shared.lock().unpin(hash);
    }

    /// Counters, for metrics.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let (bytes, segments) = {
            let policy = self.shared.lock();
            (policy.bytes(), u64::try_from(policy.len()).unwrap_or(u64::MAX))
        };
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            memory_hits: read(&counters.memory_hits),
            disk_hits: read(&counters.disk_hits),
            misses: read(&counters.misses),
            stored: read(&counters.stored),
            evicted: read(&counters.evicted),
            damaged: read(&counters.damaged),
            bytes,
            segments,
        }
    }

    /// Forgets what is in memory, so that reads come from disk; for measurements.
    #[cfg(any(test, feature = "test-util"))]
    pub fn clear_memory(&self) {
        self.shared.memory.clear();
    }
}

fn load_policy(
    database: &Database,
    cipher: &RecordCipher,
    budget: u64,
) -> Result<(Policy, u64), StorageError> {
    let index = database.begin_read()?.open_table(SEGMENT_INDEX)?;
    let mut rows = Vec::new();
    for row in index.iter()? {
        let (key, record) = row?;
        let key = key.value();
        // A damaged row is not taken back; its chunks are overwritten when the segment returns.
        let opened: Result<IndexRecord, _> =
            cipher.open_value(SEGMENT_INDEX_NAME, key, record.value());
        if let (Ok(record), Ok(hash)) = (opened, <[u8; 32]>::try_from(key)) {
            rows.push((record.age, BlobHash::from_bytes(hash), record.bytes));
        }
    }
    rows.sort_unstable();
    let next_age = rows.last().map_or(0, |(age, _, _)| age.saturating_add(1));
    let mut policy = Policy::new(budget);
    for (_, hash, bytes) in rows {
        policy.restore(hash, bytes);
    }
    Ok((policy, next_age))
}

fn chunk_key(hash: &BlobHash, number: u32) -> [u8; 36] {
    let mut key = [0_u8; 36];
    let (head, tail) = key.split_at_mut(32);
    head.copy_from_slice(hash.as_bytes());
    tail.copy_from_slice(&number.to_be_bytes());
    key
}

/// Segments to store and to remove in one commit, and who waits for it.
#[derive(Default)]
struct Plan {
    store: Vec<(BlobHash, Bytes)>,
    remove: Vec<BlobHash>,
    waiting: Vec<oneshot::Sender<Result<(), StorageError>>>,
}

impl Shared {
    /// A panic elsewhere cannot leave the policy half changed in a way that serves wrong bytes, so
    /// a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, hash: &BlobHash) -> Result<Option<Bytes>, StorageError> {
        let transaction = self.database.begin_read()?;
        let index = transaction.open_table(SEGMENT_INDEX)?;
        let key = hash.as_bytes().as_slice();
        let Some(record) = index.get(key)? else {
            return Ok(None);
        };
        let record: IndexRecord =
            self.cipher.open_value(SEGMENT_INDEX_NAME, key, record.value())?;
        let damaged =
            || StorageError::Damaged { table: SEGMENT_CHUNKS_NAME, key: hash.to_string() };
        let length = usize::try_from(record.bytes)
            .ok()
            .filter(|length| *length <= SEGMENT_MAX)
            .ok_or_else(damaged)?;
        let chunks = transaction.open_table(SEGMENT_CHUNKS)?;
        let mut segment = Vec::with_capacity(length);
        let (first, last) = (chunk_key(hash, 0), chunk_key(hash, u32::MAX));
        for row in chunks.range(first.as_slice()..=last.as_slice())? {
            let (key, record) = row?;
            let (_, chunk) = self.cipher.open(
                SEGMENT_CHUNKS_NAME,
                key.value(),
                CHUNK_VERSION,
                record.value(),
            )?;
            segment.extend_from_slice(&chunk);
        }
        if segment.len() != length || BlobHash::of(&segment) != *hash {
            return Err(damaged());
        }
        Ok(Some(segment.into()))
    }

    fn write(&self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        if self.has_failed.load(Ordering::Acquire) {
            return;
        }
        let plan = self.plan(jobs);
        match self.commit(&plan) {
            Ok(()) => {
                for (hash, segment) in plan.store {
                    count(&self.counters.stored);
                    self.memory.insert(hash, segment);
                }
                for done in plan.waiting {
                    // A receiver that is gone has stopped waiting.
                    drop(done.send(Ok(())));
                }
            }
            Err(error) => {
                // Never tried again. Memory and what is readable go on being served.
                self.has_failed.store(true, Ordering::Release);
                tracing::error!(error = %error, source = ?error, "the segment cache failed");
            }
        }
    }

    fn plan(&self, jobs: Vec<Job>) -> Plan {
        let mut plan = Plan::default();
        for job in jobs {
            match job {
                Job::Insert { segments, done } => {
                    if segments.iter().any(|(hash, bytes)| BlobHash::of(bytes) != *hash) {
                        drop(done.send(Err(StorageError::WrongDigest)));
                        continue;
                    }
                    for (hash, segment) in segments {
                        self.plan_insert(&mut plan, hash, segment);
                    }
                    plan.waiting.push(done);
                }
                Job::Purge { hash, done } => {
                    // In this order: a reader that has it in hand looks at the policy afterwards.
                    self.lock().remove(&hash);
                    self.memory.remove(&hash);
                    plan.store.retain(|(stored, _)| *stored != hash);
                    plan.remove.push(hash);
                    plan.waiting.push(done);
                }
            }
        }
        plan
    }

    fn plan_insert(&self, plan: &mut Plan, hash: BlobHash, segment: Bytes) {
        let bytes = u64::try_from(segment.len()).unwrap_or(u64::MAX);
        let admission = self.lock().admit(hash, bytes);
        let (evict, is_stored) = match admission {
            Admission::Held => return,
            Admission::Store { evict } => (evict, true),
            Admission::Refused { evict } => (evict, false),
        };
        for victim in evict {
            count(&self.counters.evicted);
            plan.store.retain(|(stored, _)| *stored != victim);
            plan.remove.push(victim);
        }
        if is_stored {
            plan.remove.retain(|removed| *removed != hash);
            plan.store.push((hash, segment));
        }
    }

    fn commit(&self, plan: &Plan) -> Result<(), StorageError> {
        let mut transaction = self.database.begin_write()?;
        // The file can be large, and without it a kill means reading it through at the next start.
        transaction.set_quick_repair(true);
        {
            let mut index = transaction.open_table(SEGMENT_INDEX)?;
            let mut chunks = transaction.open_table(SEGMENT_CHUNKS)?;
            for hash in &plan.remove {
                index.remove(hash.as_bytes().as_slice())?;
                remove_chunks(&mut chunks, hash)?;
            }
            for (hash, segment) in &plan.store {
                remove_chunks(&mut chunks, hash)?;
                for (number, chunk) in (0_u32..).zip(segment.chunks(CHUNK)) {
                    let key = chunk_key(hash, number);
                    let record =
                        self.cipher.seal(SEGMENT_CHUNKS_NAME, &key, CHUNK_VERSION, chunk)?;
                    chunks.insert(key.as_slice(), record.as_slice())?;
                }
                let record = IndexRecord {
                    bytes: u64::try_from(segment.len()).unwrap_or(u64::MAX),
                    age: self.next_age.fetch_add(1, Ordering::Relaxed),
                };
                let key = hash.as_bytes().as_slice();
                let record = self.cipher.seal_value(SEGMENT_INDEX_NAME, key, &record)?;
                index.insert(key, record.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn remove_chunks(
    chunks: &mut Table<'_, &'static [u8], &'static [u8]>,
    hash: &BlobHash,
) -> Result<(), StorageError> {
    let (first, last) = (chunk_key(hash, 0), chunk_key(hash, u32::MAX));
    chunks.retain_in(first.as_slice()..=last.as_slice(), |_, _| false)?;
    Ok(())
}
