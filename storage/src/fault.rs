//! A disk in memory that can be cut off, torn and broken, for tests of this and other crates.
//!
//! ```text
//!  durable image  +  operations since the last sync, in order
//!  power cut:  durable image + a chosen part of those operations, some torn at a sector
//! ```
//! A sync moves everything into the durable image. At a cut the disk keeps either a prefix of the
//! unsynced operations or any subset of them; each write kept may be torn at 512 bytes. The old
//! disk answers nothing any more; [`FaultDisk::cut_power`] gives the new one.

#[cfg(feature = "sim")]
mod folder;

use std::io;
#[cfg(feature = "edge")]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "edge")]
use fairground_types::id::BlobHash;
#[cfg(feature = "edge")]
use redb::ReadableTable as _;
use redb::{Database, StorageBackend};

use crate::error::StorageError;
#[cfg(feature = "edge")]
use crate::tables::{JOURNAL_ENTRIES, SEGMENT_CHUNKS};
#[cfg(feature = "sim")]
pub use folder::FaultFolder;

const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Operation {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Operation {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset.saturating_add(bytes.len());
                if image.len() < end {
                    image.resize(end, 0);
                }
                if let Some(target) = image.get_mut(*offset..end) {
                    target.copy_from_slice(bytes);
                }
            }
            Self::SetLen(length) => image.resize(*length, 0),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Operation>,
    syncs: u64,
    fails_syncs: bool,
    writes_left: Option<u64>,
    operations_left: Option<u64>,
    is_dead: bool,
}

/// A disk that holds one database. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

/// The part of a disk that survived, chosen by a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// Next number of a splitmix64 sequence.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

impl FaultDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the database on it, or makes one.
    ///
    /// # Errors
    /// When the database cannot be opened: after a cut, a finding.
    pub fn open(&self) -> Result<Database, StorageError> {
        let backend = FaultBackend { disk: self.clone() };
        Ok(Database::builder().create_with_backend(backend)?)
    }

    /// Syncs so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// From here on every sync fails.
    pub fn fail_syncs(&self) {
        self.lock().fails_syncs = true;
    }

    /// After so many more writes every write fails.
    pub fn fail_writes_after(&self, writes: u64) {
        self.lock().writes_left = Some(writes);
    }

    /// After so many more writes and syncs the power goes; what survives is chosen by
    /// [`Self::cut_power`].
    pub fn die_after(&self, operations: u64) {
        self.lock().operations_left = Some(operations);
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().is_dead
    }

    /// The same bytes on another disk: an image that is put back later, or a clone.
    #[must_use]
    pub fn image_of_now(&self) -> Self {
        let durable = self.lock().durable.clone();
        let state = State { durable: durable.clone(), current: durable, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Flips one bit of the image, past all caches but the database's own.
    pub fn flip_bit(&self, offset: usize, bit: u8) {
        let mut state = self.lock();
        let mask = 1_u8 << (bit % 8);
        let State { durable, current, .. } = &mut *state;
        for image in [durable, current] {
            if let Some(byte) = image.get_mut(offset) {
                *byte ^= mask;
            }
        }
    }

    /// Bytes of the image.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        self.lock().current.clone()
    }

    /// Cuts the power. This disk is dead; the one answered holds what survived, chosen by `seed`.
    #[must_use]
    pub fn cut_power(&self, seed: u64) -> Self {
        let mut state = self.lock();
        state.is_dead = true;
        let mut chance = Chance(seed);
        let mut image = state.durable.clone();
        let keeps_prefix = chance.one_in(2);
        let prefix = chance.below(state.unsynced.len().saturating_add(1));
        for (number, operation) in state.unsynced.iter().enumerate() {
            let is_kept = if keeps_prefix { number < prefix } else { chance.one_in(2) };
            if !is_kept {
                continue;
            }
            match operation {
                Operation::Write { offset, bytes } if chance.one_in(5) => {
                    let sectors = bytes.len() / SECTOR;
                    let kept = chance.below(sectors.saturating_add(1)).saturating_mul(SECTOR);
                    let bytes = bytes.get(..kept).unwrap_or_default().to_vec();
                    Operation::Write { offset: *offset, bytes }.apply(&mut image);
                }
                Operation::Write { .. } | Operation::SetLen(_) => operation.apply(&mut image),
            }
        }
        let state = State { durable: image.clone(), current: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A fresh disk with the same durable bytes: a process that ended without a power cut.
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut state = self.lock();
        state.is_dead = true;
        let image = state.current.clone();
        let state = State { durable: image.clone(), current: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

/// redb's view of a [`FaultDisk`].
#[derive(Debug)]
pub struct FaultBackend {
    disk: FaultDisk,
}

fn broken(reason: &'static str) -> io::Error {
    io::Error::other(reason)
}

impl FaultBackend {
    fn alive(&self) -> Result<MutexGuard<'_, State>, io::Error> {
        let state = self.disk.lock();
        if state.is_dead { Err(broken("the power is off")) } else { Ok(state) }
    }

    /// The same for a write or a sync, which may be the one that the power goes in.
    fn powered(&self) -> Result<MutexGuard<'_, State>, io::Error> {
        let mut state = self.alive()?;
        match &mut state.operations_left {
            Some(0) => {
                state.is_dead = true;
                return Err(broken("the power is off"));
            }
            Some(left) => *left = left.saturating_sub(1),
            None => {}
        }
        Ok(state)
    }

    fn change(&self, operation: Operation) -> Result<(), io::Error> {
        let mut state = self.powered()?;
        if let Some(left) = &mut state.writes_left {
            if *left == 0 {
                return Err(broken("no space left on this disk"));
            }
            *left = left.saturating_sub(1);
        }
        operation.apply(&mut state.current);
        state.unsynced.push(operation);
        Ok(())
    }
}

fn position(offset: u64) -> Result<usize, io::Error> {
    usize::try_from(offset).map_err(|_| broken("an offset beyond memory"))
}

impl StorageBackend for FaultBackend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(u64::try_from(self.alive()?.current.len()).unwrap_or(u64::MAX))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let start = position(offset)?;
        let state = self.alive()?;
        let source = state
            .current
            .get(start..start.saturating_add(out.len()))
            .ok_or_else(|| broken("a read past the end"))?;
        out.copy_from_slice(source);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.change(Operation::SetLen(position(len)?))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.powered()?;
        if state.fails_syncs {
            return Err(broken("the disk did not take the flush"));
        }
        let State { durable, unsynced, .. } = &mut *state;
        for operation in unsynced.drain(..) {
            operation.apply(durable);
        }
        state.syncs = state.syncs.saturating_add(1);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.change(Operation::Write { offset: position(offset)?, bytes: data.to_vec() })
    }
}

/// Flips a bit in the first chunk of a cached segment, as a disk does that forgets; the cache is
/// closed.
///
/// # Errors
/// When there is no such cache or segment.
#[cfg(feature = "edge")]
pub fn damage_segment(folder: &Path, hash: &BlobHash) -> Result<(), StorageError> {
    let database = Database::open(folder.join("segments.redb"))?;
    let transaction = database.begin_write()?;
    {
        let mut chunks = transaction.open_table(SEGMENT_CHUNKS)?;
        let key = [hash.as_bytes().as_slice(), &[0; 4]].concat();
        let record = chunks.get(key.as_slice())?.map(|record| record.value().to_vec());
        let mut record = record.ok_or(StorageError::Malformed("segment"))?;
        let middle = record.len() / 2;
        if let Some(byte) = record.get_mut(middle) {
            *byte ^= 1;
        }
        chunks.insert(key.as_slice(), record.as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}

/// Flips a bit in the records of journal entries, as a disk does that forgets; the journal is closed.
///
/// # Errors
/// When there is no such journal or entry.
#[cfg(feature = "edge")]
pub fn damage_journal(folder: &Path, seqs: &[u64]) -> Result<(), StorageError> {
    let database = Database::open(folder.join("journal.redb"))?;
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(JOURNAL_ENTRIES)?;
        for seq in seqs {
            let record = entries.get(*seq)?.map(|record| record.value().to_vec());
            let mut record = record.ok_or(StorageError::Malformed("sequence"))?;
            let middle = record.len() / 2;
            if let Some(byte) = record.get_mut(middle) {
                *byte ^= 1;
            }
            entries.insert(*seq, record.as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}
