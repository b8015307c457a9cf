//! The Raft log of a member, on redb.
//!
//! ```text
//!  append ---> entries readable at once (cache) ---> writer thread ---> one commit ---> callbacks
//!  save_vote, truncate_after, purge ---> the same thread, in order; answered after their commit
//! ```
//! Every write goes through one thread in the order it was asked for. A commit that holds a vote or
//! a membership is two-phase, one that holds entries alone one-phase. The committed position rides
//! along with the next commit and with the closing one: losing it costs a restart some waiting,
//! never safety. Entries stay in a cache until they are on disk, and the newest longer.
//!
//! It must not know what an entry holds. Read next: [`crate::raft_types`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairground_wire::codec::encoded_len;
use fairground_wire::raft::{LogEntryWire, LogIdWire, LogPayloadWire, VoteWire};
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table};
use tokio::sync::oneshot;

use crate::error::StorageError;
use crate::raft_types::{
    TypeConfig, entry_from_wire, entry_to_wire, log_id_from_wire, log_id_to_wire, vote_from_wire,
    vote_to_wire,
};
use crate::record::{KeyFile, RecordCipher};
use crate::store::{blocking, open_database};
use crate::tables::{RAFT_LOG, RAFT_LOG_NAME, RAFT_STATE, RAFT_STATE_NAME};
use crate::writer::{Writer, WriterLimits};

const CACHE_BYTES: usize = 64 * 1024 * 1024;
const LIMITS: WriterLimits = WriterLimits { queue: 1_024, batch: 256 };
/// Entries that one transaction of a purge removes.
const PURGE_STEP: u64 = 4_096;
/// Bytes of entries on disk that stay in the cache for followers a little behind.
const RECENT_BYTES: usize = 16 * 1024 * 1024;
/// Entries of one read for replication.
const READ_ENTRIES: u64 = 256;
/// Bytes of one read for replication.
const READ_BYTES: usize = 2 * 1024 * 1024;
/// Looks at a part of the log that is not as it must be, before it counts as damaged.
const LOOKS: u32 = 4;
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";
/// The last entry, when there is one: a damaged page may make the database show an empty table.
const LAST: &str = "last";

type Done = oneshot::Sender<Result<(), StorageError>>;

enum Job {
    Append { entries: Vec<Arc<LogEntryWire>>, flushed: IOFlushed<TypeConfig> },
    Vote { vote: VoteWire, done: Done },
    Truncate { from: u64, done: Done },
    Purge { upto: LogIdWire, done: Done },
}

enum Settled {
    Flushed(IOFlushed<TypeConfig>),
    Done(Done),
}

#[derive(Debug, Default)]
struct View {
    vote: Option<VoteWire>,
    committed: Option<LogIdWire>,
    purged: Option<LogIdWire>,
    last: Option<LogIdWire>,
    /// The first entry of a log that was never purged.
    begins: Option<u64>,
    cache: BTreeMap<u64, Arc<LogEntryWire>>,
    cache_bytes: usize,
    durable: u64,
    has_failed: bool,
}

impl View {
    /// The part of a half-open range that is in the log.
    fn clamp(&self, (start, end): (u64, u64)) -> (u64, u64) {
        let first = self.purged.map_or(self.begins, |purged| Some(purged.index.saturating_add(1)));
        let behind = self.last.map_or(0, |last| last.index.saturating_add(1));
        (start.max(first.unwrap_or(0)), end.min(behind))
    }

    fn insert(&mut self, entry: Arc<LogEntryWire>) {
        self.cache_bytes = self.cache_bytes.saturating_add(weight(&entry));
        self.last = Some(entry.log_id);
        self.begins.get_or_insert(entry.log_id.index);
        if let Some(old) = self.cache.insert(entry.log_id.index, entry) {
            self.cache_bytes = self.cache_bytes.saturating_sub(weight(&old));
        }
    }

    fn shrink(&mut self) {
        while self.cache_bytes > RECENT_BYTES
            && let Some(oldest) = self.cache.first_entry()
            && *oldest.key() <= self.durable
        {
            self.cache_bytes = self.cache_bytes.saturating_sub(weight(&oldest.remove()));
        }
    }

    fn drop_cached(&mut self, range: impl RangeBounds<u64>) {
        let gone: Vec<u64> = self.cache.range(range).map(|(index, _)| *index).collect();
        for index in gone {
            if let Some(entry) = self.cache.remove(&index) {
                self.cache_bytes = self.cache_bytes.saturating_sub(weight(&entry));
            }
        }
    }
}

fn weight(entry: &LogEntryWire) -> usize {
    encoded_len(entry).unwrap_or(usize::MAX)
}

#[derive(Debug)]
struct Shared {
    database: Database,
    cipher: RecordCipher,
    view: Mutex<View>,
}

/// The log store of a member. Clones share it.
#[derive(Clone, Debug)]
pub struct LogStore {
    // Before `shared`, so that the queue is written before the database closes.
    writer: Arc<Writer<Job>>,
    shared: Arc<Shared>,
}

/// Reads the log, for replication and applying.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl LogStore {
    /// Opens or creates the log in `folder`.
    ///
    /// # Errors
    /// When the file cannot be opened, or its state is damaged or has a hole.
    pub fn open(folder: &Path, key: &KeyFile) -> Result<Self, StorageError> {
        Self::over(open_database(&folder.join("raft.redb"), CACHE_BYTES)?, key)
    }

    /// A log in a database that is already open.
    ///
    /// # Errors
    /// When its state is damaged or has a hole.
    pub fn over(database: Database, key: &KeyFile) -> Result<Self, StorageError> {
        let cipher = key.cipher("raft")?;
        let transaction = database.begin_write()?;
        transaction.open_table(RAFT_LOG)?;
        transaction.open_table(RAFT_STATE)?;
        transaction.commit()?;
        let view = load_view(&database, &cipher)?;
        let shared = Arc::new(Shared { database, cipher, view: Mutex::new(view) });
        let for_thread = Arc::clone(&shared);
        let writer = Writer::spawn("raft-log-writer", LIMITS, move |jobs| for_thread.write(jobs))?;
        Ok(Self { writer: Arc::new(writer), shared })
    }

    async fn ask(&self, job: impl FnOnce(Done) -> Job) -> Result<(), io::Error> {
        let (done, answer) = oneshot::channel();
        self.writer.reserve().await?.send(job(done));
        Ok(answer.await.map_err(|_| StorageError::Closed)??)
    }
}

fn load_view(database: &Database, cipher: &RecordCipher) -> Result<View, StorageError> {
    let transaction = database.begin_read()?;
    let state = transaction.open_table(RAFT_STATE)?;
    let position = |name: &'static str| -> Result<Option<LogIdWire>, StorageError> {
        state
            .get(name)?
            .map(|record| cipher.open_value(RAFT_STATE_NAME, name.as_bytes(), record.value()))
            .transpose()
    };
    let vote = state
        .get(VOTE)?
        .map(|record| cipher.open_value(RAFT_STATE_NAME, VOTE.as_bytes(), record.value()))
        .transpose()?;
    let purged = position(PURGED)?;
    let log = transaction.open_table(RAFT_LOG)?;
    let first_kept = purged.map_or(0, |purged| purged.index.saturating_add(1));
    let stated = position(LAST)?.filter(|last| last.index >= first_kept);
    let mut last = purged;
    let mut begins = None;
    if let Some((index, record)) = log.last()?
        && index.value() >= first_kept
    {
        let index = index.value();
        let entry: LogEntryWire =
            cipher.open_value(RAFT_LOG_NAME, &index.to_le_bytes(), record.value())?;
        let first = log.first()?.map_or(index, |(first, _)| first.value());
        let span = index.saturating_sub(first).saturating_add(1);
        // Before the first purge a log begins where the first leader began it.
        let has_gap = purged.is_some() && first > first_kept;
        if span != log.len()? || has_gap {
            return Err(StorageError::Damaged {
                table: RAFT_LOG_NAME,
                key: format!("between {first_kept} and {index}"),
            });
        }
        last = Some(entry.log_id);
        begins = Some(first);
    }
    if stated != last.filter(|last| last.index >= first_kept) {
        return Err(StorageError::Damaged {
            table: RAFT_LOG_NAME,
            key: format!("the end: {stated:?} is stated"),
        });
    }
    Ok(View {
        begins,
        vote,
        committed: position(COMMITTED)?,
        purged,
        last,
        durable: last.map_or(0, |last| last.index),
        ..View::default()
    })
}

impl Shared {
    /// A panic elsewhere cannot leave the view half changed: every change is made of infallible
    /// steps, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, jobs: Vec<Job>) {
        let (committed, has_failed) = {
            let view = self.lock();
            (view.committed, view.has_failed)
        };
        let mut settled = Vec::with_capacity(jobs.len());
        let outcome = if has_failed {
            refuse(jobs, &mut settled);
            Err(StorageError::Closed)
        } else {
            self.commit(jobs, committed, &mut settled)
        };
        match outcome {
            Ok(durable) => {
                let mut view = self.lock();
                if let Some(durable) = durable {
                    view.durable = durable;
                }
                view.shrink();
                drop(view);
                for settled in settled {
                    settled.answer(Ok(()));
                }
            }
            Err(error) => {
                // Never tried again: what a failed sync left on disk is unknown until a restart.
                self.lock().has_failed = true;
                if !settled.is_empty() {
                    tracing::error!(error = %error, source = ?error, "the raft log failed");
                }
                for settled in settled {
                    settled.answer(Err(StorageError::Closed));
                }
            }
        }
    }

    /// Answers the highest index written when that changed.
    fn commit(
        &self,
        jobs: Vec<Job>,
        committed: Option<LogIdWire>,
        settled: &mut Vec<Settled>,
    ) -> Result<Option<u64>, StorageError> {
        let mut jobs = jobs.into_iter();
        let outcome = self.commit_all(&mut jobs, committed, settled);
        if outcome.is_err() {
            refuse(jobs, settled);
        }
        outcome
    }

    fn commit_all(
        &self,
        jobs: &mut impl Iterator<Item = Job>,
        committed: Option<LogIdWire>,
        settled: &mut Vec<Settled>,
    ) -> Result<Option<u64>, StorageError> {
        let mut transaction = self.database.begin_write()?;
        let mut needs_two_phases = false;
        let mut last = None;
        let mut purge_rest = None;
        {
            let mut log = transaction.open_table(RAFT_LOG)?;
            let mut state = transaction.open_table(RAFT_STATE)?;
            for job in jobs {
                match job {
                    Job::Append { entries, flushed } => {
                        settled.push(Settled::Flushed(flushed));
                        for entry in entries {
                            needs_two_phases |=
                                matches!(entry.payload, LogPayloadWire::Membership(_));
                            last = Some(Some(entry.log_id));
                            self.put_entry(&mut log, &entry)?;
                        }
                    }
                    Job::Vote { vote, done } => {
                        settled.push(Settled::Done(done));
                        needs_two_phases = true;
                        let record =
                            self.cipher.seal_value(RAFT_STATE_NAME, VOTE.as_bytes(), &vote)?;
                        state.insert(VOTE, record.as_slice())?;
                    }
                    Job::Truncate { from, done } => {
                        settled.push(Settled::Done(done));
                        log.retain_in(from.., |_, _| false)?;
                        last = Some(self.last_of(&log)?);
                    }
                    Job::Purge { upto, done } => {
                        settled.push(Settled::Done(done));
                        self.put_position(&mut state, PURGED, upto)?;
                        purge_rest = Some(upto.index);
                    }
                }
            }
            if let Some(committed) = committed {
                self.put_position(&mut state, COMMITTED, committed)?;
            }
            match last {
                Some(Some(last)) => self.put_position(&mut state, LAST, last)?,
                Some(None) => drop(state.remove(LAST)?),
                None => {}
            }
        }
        transaction.set_two_phase_commit(needs_two_phases);
        transaction.commit()?;
        if let Some(upto) = purge_rest {
            self.purge_entries(upto)?;
        }
        Ok(last.map(|last| last.map_or(0, |last| last.index)))
    }

    fn last_of(
        &self,
        log: &Table<'_, u64, &'static [u8]>,
    ) -> Result<Option<LogIdWire>, StorageError> {
        let Some((index, record)) = log.last()? else { return Ok(None) };
        let place = index.value().to_le_bytes();
        let entry: LogEntryWire = self.cipher.open_value(RAFT_LOG_NAME, &place, record.value())?;
        Ok(Some(entry.log_id))
    }

    fn put_entry(
        &self,
        log: &mut Table<'_, u64, &'static [u8]>,
        entry: &LogEntryWire,
    ) -> Result<(), StorageError> {
        let index = entry.log_id.index;
        let record = self.cipher.seal_value(RAFT_LOG_NAME, &index.to_le_bytes(), entry)?;
        log.insert(index, record.as_slice())?;
        Ok(())
    }

    fn put_position(
        &self,
        state: &mut Table<'_, &'static str, &'static [u8]>,
        name: &'static str,
        position: LogIdWire,
    ) -> Result<(), StorageError> {
        let record = self.cipher.seal_value(RAFT_STATE_NAME, name.as_bytes(), &position)?;
        state.insert(name, record.as_slice())?;
        Ok(())
    }

    /// Removes from the front in small transactions: a crash between two leaves no hole.
    fn purge_entries(&self, upto: u64) -> Result<(), StorageError> {
        loop {
            let transaction = self.database.begin_write()?;
            let is_done = {
                let mut log = transaction.open_table(RAFT_LOG)?;
                let first = log.first()?.map(|(first, _)| first.value());
                match first.filter(|first| *first <= upto) {
                    None => true,
                    Some(first) => {
                        let end = first.saturating_add(PURGE_STEP).min(upto.saturating_add(1));
                        log.retain_in(first..end, |_, _| false)?;
                        false
                    }
                }
            };
            if is_done {
                transaction.abort()?;
                return Ok(());
            }
            transaction.commit()?;
        }
    }

    fn stored(&self, range: (u64, u64)) -> Result<Vec<LogEntryWire>, StorageError> {
        let log = self.database.begin_read()?.open_table(RAFT_LOG)?;
        let mut entries = Vec::new();
        for row in log.range(range.0..range.1)? {
            let (index, record) = row?;
            let place = index.value().to_le_bytes();
            entries.push(self.cipher.open_value(RAFT_LOG_NAME, &place, record.value())?);
        }
        Ok(entries)
    }
}

impl Settled {
    fn answer(self, outcome: Result<(), StorageError>) {
        match self {
            Self::Flushed(flushed) => flushed.io_completed(outcome.map_err(io::Error::from)),
            // A receiver that is gone has stopped waiting.
            Self::Done(done) => drop(done.send(outcome)),
        }
    }
}

fn refuse(jobs: impl IntoIterator<Item = Job>, settled: &mut Vec<Settled>) {
    for job in jobs {
        settled.push(match job {
            Job::Append { flushed, .. } => Settled::Flushed(flushed),
            Job::Vote { done, .. } | Job::Truncate { done, .. } | Job::Purge { done, .. } => {
                Settled::Done(done)
            }
        });
    }
}

/// The half-open range of indexes that `range` means.
fn half_open(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl LogReader {
    /// Entries of the half-open range that are there: from the cache, and from disk below it.
    ///
    /// A database whose own pages are damaged may leave rows out without a word, so what comes is
    /// compared with what must be there. A truncation shows on disk a moment before it shows here.
    async fn read(&self, range: (u64, u64)) -> Result<Vec<EntryOf<TypeConfig>>, io::Error> {
        let mut missing = 0;
        for _ in 0..LOOKS {
            let (start, end, cached) = {
                let view = self.shared.lock();
                let (start, end) = view.clamp(range);
                if start >= end {
                    return Ok(Vec::new());
                }
                let cached: Vec<_> =
                    view.cache.range(start..end).map(|(_, entry)| Arc::clone(entry)).collect();
                (start, end, cached)
            };
            let cached_from = cached.first().map_or(end, |entry| entry.log_id.index);
            let mut entries = Vec::new();
            if start < cached_from {
                let shared = Arc::clone(&self.shared);
                entries = blocking(move || shared.stored((start, cached_from))).await?;
            }
            entries.extend(cached.iter().map(|entry| LogEntryWire::clone(entry)));
            let wrong = (start..end).zip(&entries).find(|(it, entry)| *it != entry.log_id.index);
            let wrong = wrong.map(|(index, _)| index);
            let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
            if wrong.is_none() && count == end.saturating_sub(start) {
                return Ok(entries.into_iter().map(entry_from_wire).collect::<Result<_, _>>()?);
            }
            missing = wrong.unwrap_or_else(|| start.saturating_add(count));
            // Purged meanwhile, or truncated: then the view knows by now, or in a moment.
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let key = missing.to_string();
        Err(StorageError::Damaged { table: RAFT_LOG_NAME, key }.into())
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<EntryOf<TypeConfig>>, io::Error> {
        self.read(half_open(&range)).await
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<TypeConfig>>, io::Error> {
        Ok(self.shared.lock().vote.map(vote_from_wire))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<EntryOf<TypeConfig>>, io::Error> {
        let mut entries = self.read((start, end.min(start.saturating_add(READ_ENTRIES)))).await?;
        let mut bytes = 0_usize;
        let fits = entries
            .iter()
            .take_while(|entry| {
                let is_first = bytes == 0;
                bytes = bytes.saturating_add(payload_bytes(entry));
                is_first || bytes <= READ_BYTES
            })
            .count();
        entries.truncate(fits.max(1));
        Ok(entries)
    }
}

const fn payload_bytes(entry: &EntryOf<TypeConfig>) -> usize {
    match &entry.payload {
        openraft::EntryPayload::Normal(payload) => payload.0.len().saturating_add(64),
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 64,
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let view = self.shared.lock();
        Ok(LogState {
            last_purged_log_id: view.purged.map(log_id_from_wire),
            last_log_id: view.last.map(log_id_from_wire),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> Result<(), io::Error> {
        let vote = vote_to_wire(vote);
        self.ask(|done| Job::Vote { vote, done }).await?;
        self.shared.lock().vote = Some(vote);
        Ok(())
    }

    async fn save_committed(
        &mut self,
        committed: Option<LogIdOf<TypeConfig>>,
    ) -> Result<(), io::Error> {
        self.shared.lock().committed = committed.as_ref().map(log_id_to_wire);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<TypeConfig>>, io::Error> {
        Ok(self.shared.lock().committed.map(log_id_from_wire))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().map(entry_to_wire).map(Arc::new).collect();
        let place = self.writer.reserve().await?;
        {
            let mut view = self.shared.lock();
            for entry in &entries {
                view.insert(Arc::clone(entry));
            }
        }
        place.send(Job::Append { entries, flushed });
        Ok(())
    }

    async fn truncate_after(
        &mut self,
        last_log_id: Option<LogIdOf<TypeConfig>>,
    ) -> Result<(), io::Error> {
        let kept = last_log_id.as_ref().map(log_id_to_wire);
        let from = kept.map_or(0, |kept| kept.index.saturating_add(1));
        self.ask(|done| Job::Truncate { from, done }).await?;
        let mut view = self.shared.lock();
        view.drop_cached(from..);
        if view.last > kept {
            view.last = kept.or(view.purged);
        }
        Ok(())
    }

    async fn purge(&mut self, log_id: LogIdOf<TypeConfig>) -> Result<(), io::Error> {
        let upto = log_id_to_wire(&log_id);
        {
            let mut view = self.shared.lock();
            view.purged = view.purged.max(Some(upto));
            view.last = view.last.max(Some(upto));
            view.drop_cached(..=upto.index);
        }
        self.ask(|done| Job::Purge { upto, done }).await
    }
}
