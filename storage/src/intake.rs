//! The edge's journal: what was received, before it is acknowledged.
//!
//! ```text
//!  append ----> [lock: stamp raised to the floor, seq and hash given, queued] ----> writer thread
//!  append ----> [lock: ...                                                 ]          one commit
//!  append  <----------------- Synced, once the commit is on disk ---------------------+
//!
//!  mark = { tail: last synced entry,
//!           watermark: 1 ms below the oldest unsynced stamp, else below earliest of now }
//!         and from then on the floor of stamps is above the watermark (bids.md 3)
//! ```
//! Order of the journal = order of stamps = order of sending. It must not know the market: a
//! verdict is a value that it keeps. Reads (`lookup`, `entries_from`) touch the disk for what is
//! not in its cache; a caller on an async thread that minds uses a blocking one. Read next:
//! `intake/commands.rs`.

mod commands;

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fairground_seam::watch;
use fairground_types::id::{ChainHash, CommandId};
use fairground_types::journal::{Intake, JournalEntry, Mark, Stamp, Tail};
use fairground_types::limits::JOURNAL_OPEN_MAX;
use fairground_types::time::{Millis, Timestamp};
use fairground_types::verdict::Judged;
use fairground_wire::Versioned;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use tokio::sync::oneshot;
use wincode::{SchemaRead, SchemaWrite};

use crate::error::StorageError;
use crate::record::{KeyFile, RecordCipher};
use crate::store::open_database;
use crate::tables::{
    JOURNAL_COMMANDS, JOURNAL_ENTRIES, JOURNAL_ENTRIES_NAME, JOURNAL_STATE, JOURNAL_STATE_NAME,
    JOURNAL_VERDICTS, JOURNAL_VERDICTS_NAME,
};
use crate::writer::{Writer, WriterLimits};
use commands::CommandIndex;

const CACHE_BYTES: usize = 32 * 1024 * 1024;
const LIMITS: WriterLimits = WriterLimits { queue: 16_384, batch: 2_048 };
const TAIL_KEY: &str = "tail";
/// Judged entries that one call of [`Journal::trim`] removes at most.
pub const TRIM_MAX: usize = 1_024;
/// Judged entries that are kept for [`Journal::lookup`] whatever their age.
pub const JUDGED_MAX: u64 = 1_000_000;

/// An entry with its place in the chain, as it is stored: what follows a damaged record still says
/// what that record was.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Written {
    /// The entry, its stamp raised where the journal demanded it.
    pub entry: JournalEntry,
    /// Hash of the journal before it; a receipt names it.
    pub previous: ChainHash,
}

impl Versioned for Written {
    const VERSION: u8 = 1;
}

/// Entries that cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// First sequence.
    pub first: u64,
    /// The last one, and the hash of the journal up to it.
    pub last: Tail,
}

/// What one commit put on disk: entries of consecutive sequences, and what is made once for all.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    written: Vec<Written>,
    texts: OnceLock<Vec<Arc<str>>>,
}

impl Group {
    /// Its entries, oldest first.
    #[must_use]
    pub fn written(&self) -> &[Written] {
        &self.written
    }

    /// A text for each entry, made by whoever asks first; the others wait for it.
    pub fn texts(&self, make: impl FnOnce(&[Written]) -> Vec<Arc<str>>) -> &[Arc<str>] {
        self.texts.get_or_init(|| make(&self.written))
    }
}

/// An appended entry, on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The entry.
    pub entry: JournalEntry,
    /// Its place in the group.
    pub place: usize,
    /// Everything that the same commit put on disk.
    pub group: Arc<Group>,
}

/// An entry and what the log said to it, if anything yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The entry.
    pub entry: JournalEntry,
    /// Its verdict.
    pub judged: Option<Judged>,
}

impl Found {
    /// Whether its verdict leaves its command to a later entry.
    #[must_use]
    pub fn is_of_signature(&self) -> bool {
        self.judged.as_ref().is_some_and(|judged| judged.verdict.is_of_signature())
    }
}

/// How an opened journal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Last synced entry.
    pub tail: Tail,
    /// Its stamp: the floor of the edge's clock after a restart.
    pub last_stamp: Option<Stamp>,
    /// Oldest sequence without a verdict; one past the tail when there is none.
    pub open_from: u64,
    /// Entries without a verdict.
    pub open_count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
struct TailRecord {
    tail: Tail,
    stamp: Option<Stamp>,
}

impl Versioned for TailRecord {
    const VERSION: u8 = 1;
}

#[expect(clippy::large_enum_variant, reason = "most jobs append")]
enum Job {
    Append { written: Written, done: oneshot::Sender<Result<Synced, StorageError>> },
    Judge { verdicts: Vec<(u64, Judged)>, done: oneshot::Sender<Result<(), StorageError>> },
    Trim { upto: u64, before: Timestamp, done: oneshot::Sender<Result<usize, StorageError>> },
    GiveUp { lost: Lost, done: oneshot::Sender<Result<(), StorageError>> },
}

/// A job whose work is in the transaction; answered after the commit.
enum Settled {
    Append(Box<Written>, oneshot::Sender<Result<Synced, StorageError>>),
    Done(oneshot::Sender<Result<(), StorageError>>),
    Trim(Vec<(u64, CommandId)>, oneshot::Sender<Result<usize, StorageError>>),
}

#[derive(Debug)]
struct Ledger {
    assigned: Tail,
    synced: Tail,
    last_stamp: Option<Stamp>,
    floor: Timestamp,
    unsynced: VecDeque<Stamp>,
    open: BTreeSet<u64>,
    open_max: usize,
    has_failed: bool,
}

#[derive(Debug)]
struct Shared {
    database: Database,
    cipher: RecordCipher,
    commands: CommandIndex,
    ledger: Mutex<Ledger>,
    tail: watch::Sender<Tail>,
}

/// The journal of an edge.
#[derive(Debug)]
pub struct Journal {
    // Before `shared`, so that the queue is written before the database closes.
    writer: Writer<Job>,
    shared: Arc<Shared>,
}

impl Journal {
    /// Opens or creates the journal in `folder`.
    ///
    /// # Errors
    /// When the file cannot be opened or a record of its state is damaged.
    pub fn open(folder: &Path, key: &KeyFile) -> Result<Self, StorageError> {
        Self::over(open_database(&folder.join("journal.redb"), CACHE_BYTES)?, key)
    }

    /// A journal in a database that is already open.
    ///
    /// # Errors
    /// When a record of its state is damaged.
    pub fn over(database: Database, key: &KeyFile) -> Result<Self, StorageError> {
        let cipher = key.cipher("journal")?;
        drop_old_index(&database)?;
        let commands = CommandIndex::default();
        let ledger = load_ledger(&database, &cipher, &commands)?;
        let (tail, _) = watch::channel(ledger.synced);
        let ledger = Mutex::new(ledger);
        let shared = Arc::new(Shared { database, cipher, commands, ledger, tail });
        let for_thread = Arc::clone(&shared);
        let writer = Writer::spawn("journal-writer", LIMITS, move |jobs| for_thread.write(jobs))?;
        Ok(Self { writer, shared })
    }

    /// Lowers the bound on entries without a verdict from [`JOURNAL_OPEN_MAX`].
    pub fn set_open_max(&self, open_max: usize) {
        self.shared.lock().open_max = open_max.min(JOURNAL_OPEN_MAX);
    }

    /// Writes down an intake behind all that was handed in before this call, and answers once it is on
    /// disk. Both ends of the stamp are raised to what earlier stamps and marks demand. Dropping the
    /// future does not undo the entry.
    ///
    /// # Errors
    /// `Full` or `Busy` before anything was written: decline. Any other error: the journal is over
    /// and whether the entry is on disk is unknown; give no receipt.
    pub fn append(
        &self,
        stamp: Stamp,
        intake: Intake,
    ) -> impl Future<Output = Result<Synced, StorageError>> + use<> {
        let (done, answer) = oneshot::channel();
        let queued = self.enqueue(stamp, intake, done);
        async move {
            queued?;
            answer.await.map_err(|_| StorageError::Closed)?
        }
    }

    fn enqueue(
        &self,
        stamp: Stamp,
        intake: Intake,
        done: oneshot::Sender<Result<Synced, StorageError>>,
    ) -> Result<(), StorageError> {
        let mut ledger = self.shared.lock();
        if ledger.has_failed {
            return Err(StorageError::Closed);
        }
        if ledger.open.len().saturating_add(ledger.unsynced.len()) >= ledger.open_max {
            return Err(StorageError::Full);
        }
        // Reserved under the lock, so that the queue has the order of the sequences.
        let place = self.writer.try_reserve()?;
        let stamp = ledger.raise(stamp);
        let previous = ledger.assigned.hash;
        let entry = JournalEntry::after(ledger.assigned, stamp, intake);
        ledger.assigned = entry.tail();
        ledger.unsynced.push_back(stamp);
        place.send(Job::Append { written: Written { entry, previous }, done });
        Ok(())
    }

    /// Takes a mark; from here on every stamp is above its watermark. `earliest` is that of now.
    #[must_use]
    pub fn mark(&self, earliest: Timestamp) -> Mark {
        let mut ledger = self.shared.lock();
        let bound = match ledger.unsynced.front() {
            Some(oldest) => oldest.earliest,
            None => earliest.max(ledger.floor),
        };
        let watermark = Timestamp::from_unix_millis(bound.as_unix_millis().saturating_sub(1));
        ledger.floor = ledger.floor.max(watermark.plus(Millis::new(1)));
        Mark { watermark, tail: ledger.synced }
    }

    /// The last synced entry.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.shared.lock().synced
    }

    /// Changes whenever entries were synced.
    #[must_use]
    pub fn watch_tail(&self) -> watch::Receiver<Tail> {
        self.shared.tail.subscribe()
    }

    /// How the journal stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let ledger = self.shared.lock();
        let after_tail = ledger.synced.seq.saturating_add(1);
        Standing {
            tail: ledger.synced,
            last_stamp: ledger.last_stamp,
            open_from: ledger.open.first().copied().unwrap_or(after_tail),
            open_count: ledger.open.len(),
        }
    }

    /// Entries without a verdict.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// Whether a synced entry has no verdict.
    #[must_use]
    pub fn is_open(&self, seq: u64) -> bool {
        self.shared.lock().open.contains(&seq)
    }

    /// Whether every entry that has a sequence is synced.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.shared.lock().unsynced.is_empty()
    }

    /// Whether a write failed: the journal takes nothing more until it is opened again.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.lock().has_failed
    }

    /// Synced entries from `seq` on, at most `max`, and none from the first damaged record on.
    ///
    /// # Errors
    /// When the first record is damaged, or the database fails.
    pub fn entries_from(&self, seq: u64, max: usize) -> Result<Vec<JournalEntry>, StorageError> {
        let transaction = self.shared.database.begin_read()?;
        let Some(table) = open_existing(transaction.open_table(JOURNAL_ENTRIES))? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for row in table.range(seq..)?.take(max) {
            let (seq, record) = row?;
            match self.shared.open_entry(seq.value(), record.value()) {
                Ok(written) => entries.push(written.entry),
                Err(error) if error.is_damage() && !entries.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// What cannot be read any more from `seq` on, up to the next entry that can; nothing when `seq`
    /// can be read or was never written.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lost_from(&self, seq: u64) -> Result<Option<Lost>, StorageError> {
        let tail = self.tail();
        if seq > tail.seq {
            return Ok(None);
        }
        let transaction = self.shared.database.begin_read()?;
        if let Some(table) = open_existing(transaction.open_table(JOURNAL_ENTRIES))? {
            for row in table.range(seq..)? {
                let (place, record) = row?;
                match self.shared.open_entry(place.value(), record.value()) {
                    Ok(written) if written.entry.seq == seq => return Ok(None),
                    Ok(Written { entry, previous }) => {
                        let last = Tail { seq: entry.seq.saturating_sub(1), hash: previous };
                        return Ok(Some(Lost { first: seq, last }));
                    }
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Some(Lost { first: seq, last: tail }))
    }

    /// The hash of the journal at `seq`: of the tail of nothing at 0, and `None` for a sequence
    /// that was never written or was trimmed.
    ///
    /// # Errors
    /// As [`Self::entries_from`].
    pub fn hash_at(&self, seq: u64) -> Result<Option<ChainHash>, StorageError> {
        if seq == 0 {
            return Ok(Some(ChainHash::START));
        }
        let tail = self.tail();
        if tail.seq == seq {
            return Ok(Some(tail.hash));
        }
        match self.entries_from(seq, 1) {
            Ok(found) if found.first().is_some_and(|entry| entry.seq == seq) => {
                return Ok(found.first().map(|entry| entry.hash));
            }
            Ok(_) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        // The entry is gone; the one behind it still knows.
        let transaction = self.shared.database.begin_read()?;
        let Some(table) = open_existing(transaction.open_table(JOURNAL_ENTRIES))? else {
            return Ok(None);
        };
        let next = seq.saturating_add(1);
        let Some(record) = table.get(next)? else { return Ok(None) };
        match self.shared.open_entry(next, record.value()) {
            Ok(written) => Ok(Some(written.previous)),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives up entries that cannot be read any more, once the cluster knows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up(&self, lost: Lost) -> Result<(), StorageError> {
        let (done, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Job::GiveUp { lost, done });
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// The entry of a command that counts, and its verdict: its first, unless that was refused for its
    /// signature.
    ///
    /// # Errors
    /// When a record is damaged or the database fails.
    pub fn lookup(&self, command: &CommandId) -> Result<Option<Found>, StorageError> {
        let Some(seq) = self.shared.commands.find(command) else { return Ok(None) };
        let transaction = self.shared.database.begin_read()?;
        let Some(entries) = open_existing(transaction.open_table(JOURNAL_ENTRIES))? else {
            return Ok(None);
        };
        let Some(record) = entries.get(seq)? else {
            return Ok(None);
        };
        let Written { entry, .. } = self.shared.open_entry(seq, record.value())?;
        if entry.intake.command() != *command {
            return Ok(None);
        }
        let judged = match open_existing(transaction.open_table(JOURNAL_VERDICTS))? {
            None => None,
            Some(verdicts) => verdicts
                .get(seq)?
                .map(|record| {
                    let place = seq.to_le_bytes();
                    self.shared.cipher.open_value(JOURNAL_VERDICTS_NAME, &place, record.value())
                })
                .transpose()?,
        };
        Ok(Some(Found { entry, judged }))
    }

    /// Keeps the log's verdicts; one that is there already stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_verdicts(&self, verdicts: Vec<(u64, Judged)>) -> Result<(), StorageError> {
        let (done, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Job::Judge { verdicts, done });
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// [`Self::set_verdicts`] of one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_verdict(&self, seq: u64, judged: Judged) -> Result<(), StorageError> {
        self.set_verdicts(vec![(seq, judged)]).await
    }

    /// Forgets judged entries from the oldest on, up to `upto`, that were received before `before`
    /// (90 d ago) or exceed [`JUDGED_MAX`]; at most [`TRIM_MAX`] per call. Answers how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trim(&self, upto: u64, before: Timestamp) -> Result<usize, StorageError> {
        let (done, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Job::Trim { upto, before, done });
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// Reads everything and lists the sequences whose record is damaged or does not follow the one
    /// before.
    ///
    /// # Errors
    /// When the database fails.
    pub fn verify(&self) -> Result<Vec<u64>, StorageError> {
        let transaction = self.shared.database.begin_read()?;
        let Some(table) = open_existing(transaction.open_table(JOURNAL_ENTRIES))? else {
            return Ok(Vec::new());
        };
        let mut damaged = Vec::new();
        let mut tail: Option<Tail> = None;
        for row in table.iter()? {
            let (seq, record) = row?;
            let seq = seq.value();
            match self.shared.open_entry(seq, record.value()) {
                Ok(Written { entry, previous }) => {
                    let before = Tail { seq: seq.saturating_sub(1), hash: previous };
                    let is_next = tail.is_none_or(|tail| tail.seq != before.seq || tail == before);
                    if !entry.follows(before) || !is_next {
                        damaged.push(seq);
                    }
                    tail = Some(entry.tail());
                }
                Err(error) if error.is_damage() => {
                    damaged.push(seq);
                    tail = None;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(damaged)
    }
}

/// A table that no transaction has made yet is an empty one.
fn open_existing<T>(table: Result<T, redb::TableError>) -> Result<Option<T>, StorageError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Earlier releases kept the index of commands on disk; a stale one must not be found by them.
fn drop_old_index(database: &Database) -> Result<(), StorageError> {
    let has_one = open_existing(database.begin_read()?.open_table(JOURNAL_COMMANDS))?.is_some();
    if has_one {
        let transaction = database.begin_write()?;
        transaction.delete_table(JOURNAL_COMMANDS)?;
        transaction.commit()?;
    }
    Ok(())
}

/// How the journal stands, and the first entry of each command; what is damaged has no command.
fn load_ledger(
    database: &Database,
    cipher: &RecordCipher,
    commands: &CommandIndex,
) -> Result<Ledger, StorageError> {
    let transaction = database.begin_read()?;
    let mut last = TailRecord { tail: Tail::START, stamp: None };
    if let Some(state) = open_existing(transaction.open_table(JOURNAL_STATE))?
        && let Some(record) = state.get(TAIL_KEY)?
    {
        last = cipher.open_value(JOURNAL_STATE_NAME, TAIL_KEY.as_bytes(), record.value())?;
    }
    let mut open = BTreeSet::new();
    let verdicts = open_existing(transaction.open_table(JOURNAL_VERDICTS))?;
    if let Some(entries) = open_existing(transaction.open_table(JOURNAL_ENTRIES))? {
        // A damaged page may make the database show an empty table: no number is given out twice.
        if entries.last()?.is_some_and(|(seq, _)| seq.value() > last.tail.seq) {
            return Err(StorageError::Damaged {
                table: JOURNAL_STATE_NAME,
                key: format!("{TAIL_KEY}: entries follow {}", last.tail.seq),
            });
        }
        for row in entries.iter()? {
            let (seq, record) = row?;
            let seq = seq.value();
            open.insert(seq);
            let entry = match open_entry(cipher, seq, record.value()) {
                Ok(Written { entry, .. }) => entry,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            commands.note(&entry, |first| {
                stands(cipher, &entries, verdicts.as_ref(), (first, &entry))
            })?;
        }
    }
    if let Some(verdicts) = verdicts {
        for row in verdicts.iter()? {
            open.remove(&row?.0.value());
        }
    }
    Ok(Ledger {
        assigned: last.tail,
        synced: last.tail,
        last_stamp: last.stamp,
        floor: Timestamp::EPOCH,
        unsynced: VecDeque::new(),
        open,
        open_max: JOURNAL_OPEN_MAX,
        has_failed: false,
    })
}

/// Whether the entry `first` stands for the command of a later one. An entry that was refused for its
/// signature, or had another, makes room: what comes after it is judged by itself. What is damaged
/// stays where it is, and is reported by whoever reads it.
fn stands(
    cipher: &RecordCipher,
    entries: &impl ReadableTable<u64, &'static [u8]>,
    verdicts: Option<&impl ReadableTable<u64, &'static [u8]>>,
    (first, later): (u64, &JournalEntry),
) -> Result<bool, StorageError> {
    if let Some(verdicts) = verdicts
        && let Some(record) = verdicts.get(first)?
    {
        let judged: Result<Judged, _> =
            cipher.open_value(JOURNAL_VERDICTS_NAME, &first.to_le_bytes(), record.value());
        if judged.is_ok_and(|judged| judged.verdict.is_of_signature()) {
            return Ok(false);
        }
    }
    let Some(record) = entries.get(first)? else { return Ok(false) };
    let known = open_entry(cipher, first, record.value());
    Ok(known.map_or(true, |known| known.entry.intake.signature() == later.intake.signature()))
}

fn open_entry(cipher: &RecordCipher, seq: u64, record: &[u8]) -> Result<Written, StorageError> {
    cipher.open_value(JOURNAL_ENTRIES_NAME, &seq.to_le_bytes(), record)
}

impl Ledger {
    fn raise(&mut self, stamp: Stamp) -> Stamp {
        let last = self.last_stamp.unwrap_or(stamp);
        let earliest = stamp.earliest.max(last.earliest).max(self.floor);
        let latest = stamp.latest.max(last.latest).max(earliest);
        let raised = Stamp { earliest, latest };
        self.last_stamp = Some(raised);
        raised
    }
}

impl Shared {
    /// A panic elsewhere cannot leave the ledger half changed: every change is made of infallible
    /// steps, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_entry(&self, seq: u64, record: &[u8]) -> Result<Written, StorageError> {
        open_entry(&self.cipher, seq, record)
    }

    fn write(&self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        if self.lock().has_failed {
            return;
        }
        let mut settled = Vec::with_capacity(jobs.len());
        let mut removed = Vec::new();
        let mut judged = Vec::new();
        let outcome = self.commit(jobs, &mut settled, &mut judged, &mut removed);
        let mut ledger = self.lock();
        if let Err(error) = outcome {
            // Never tried again: what a failed sync left on disk is unknown until a restart.
            ledger.has_failed = true;
            tracing::error!(error = %error, source = ?error, "the journal failed and is closed");
            return;
        }
        for settled in &settled {
            if let Settled::Append(written, _) = settled {
                ledger.unsynced.pop_front();
                ledger.synced = written.entry.tail();
                ledger.open.insert(written.entry.seq);
            }
        }
        for seq in judged.iter().chain(&removed) {
            ledger.open.remove(seq);
        }
        let tail = ledger.synced;
        drop(ledger);
        self.tail.send_if_modified(|known| std::mem::replace(known, tail) != tail);
        let mut written = Vec::new();
        let mut appended = Vec::new();
        for settled in settled {
            // A receiver that is gone has stopped waiting; what was asked is done all the same.
            match settled {
                Settled::Append(entry, done) => {
                    written.push(*entry);
                    appended.push(done);
                }
                Settled::Done(done) => drop(done.send(Ok(()))),
                Settled::Trim(victims, done) => {
                    self.commands.forget(&victims);
                    drop(done.send(Ok(victims.len())));
                }
            }
        }
        let group = Arc::new(Group { written, texts: OnceLock::new() });
        for (place, (written, done)) in group.written.iter().zip(appended).enumerate() {
            let entry = written.entry.clone();
            drop(done.send(Ok(Synced { entry, place, group: Arc::clone(&group) })));
        }
    }

    fn commit(
        &self,
        jobs: Vec<Job>,
        settled: &mut Vec<Settled>,
        judged: &mut Vec<u64>,
        removed: &mut Vec<u64>,
    ) -> Result<(), StorageError> {
        let transaction = self.database.begin_write()?;
        {
            let mut entries = transaction.open_table(JOURNAL_ENTRIES)?;
            let mut verdicts = transaction.open_table(JOURNAL_VERDICTS)?;
            let mut last = None;
            for job in jobs {
                match job {
                    Job::Append { written, done } => {
                        let entry = &written.entry;
                        let place = entry.seq.to_le_bytes();
                        let record =
                            self.cipher.seal_value(JOURNAL_ENTRIES_NAME, &place, &written)?;
                        self.commands.note(entry, |first| {
                            stands(&self.cipher, &entries, Some(&verdicts), (first, entry))
                        })?;
                        entries.insert(entry.seq, record.as_slice())?;
                        last = Some(TailRecord { tail: entry.tail(), stamp: Some(entry.stamp) });
                        settled.push(Settled::Append(Box::new(written), done));
                    }
                    Job::Judge { verdicts: new, done } => {
                        for (seq, verdict) in new {
                            if entries.get(seq)?.is_some() && verdicts.get(seq)?.is_none() {
                                let place = seq.to_le_bytes();
                                let record = self.cipher.seal_value(
                                    JOURNAL_VERDICTS_NAME,
                                    &place,
                                    &verdict,
                                )?;
                                verdicts.insert(seq, record.as_slice())?;
                            }
                            judged.push(seq);
                        }
                        settled.push(Settled::Done(done));
                    }
                    Job::Trim { upto, before, done } => {
                        let victims = self.trimmable(&entries, &verdicts, upto, before)?;
                        for (seq, _) in &victims {
                            entries.remove(*seq)?;
                            verdicts.remove(*seq)?;
                            removed.push(*seq);
                        }
                        settled.push(Settled::Trim(victims, done));
                    }
                    Job::GiveUp { lost: Lost { first, last }, done } => {
                        for seq in first..=last.seq {
                            entries.remove(seq)?;
                            removed.push(seq);
                        }
                        settled.push(Settled::Done(done));
                    }
                }
            }
            if let Some(last) = last {
                let mut state = transaction.open_table(JOURNAL_STATE)?;
                let place = TAIL_KEY.as_bytes();
                let record = self.cipher.seal_value(JOURNAL_STATE_NAME, place, &last)?;
                state.insert(TAIL_KEY, record.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn trimmable(
        &self,
        entries: &redb::Table<'_, u64, &'static [u8]>,
        verdicts: &redb::Table<'_, u64, &'static [u8]>,
        upto: u64,
        before: Timestamp,
    ) -> Result<Vec<(u64, CommandId)>, StorageError> {
        let mut surplus = verdicts.len()?.saturating_sub(JUDGED_MAX);
        let mut victims = Vec::new();
        for row in entries.range(..=upto)?.take(TRIM_MAX) {
            let (seq, record) = row?;
            let seq = seq.value();
            // What is damaged waits to be given up.
            let Written { entry, .. } = match self.open_entry(seq, record.value()) {
                Ok(written) => written,
                Err(error) if error.is_damage() => break,
                Err(error) => return Err(error),
            };
            let is_old = entry.stamp.latest < before || surplus > 0;
            if verdicts.get(seq)?.is_none() || !is_old {
                break;
            }
            surplus = surplus.saturating_sub(1);
            victims.push((seq, entry.intake.command()));
        }
        Ok(victims)
    }
}
