//! The history of a member: records of finished things, by place and by key.
//!
//! ```text
//!  history_records   seq u64               HistoryRecord
//!  history_keys      key | seq u64 BE      nothing
//! ```
//! Records are appended in the order of the log; a record that is there already is left alone, so a
//! log may be replayed. A member that took a snapshot lacks what left the state before: it asks for
//! [`History::first_missing`]. It must not know what a record holds. Read next:
//! [`fairground_wire::history`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fairground_wire::Versioned;
use fairground_wire::codec;
use fairground_wire::history::HistoryRecord;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::error::StorageError;
use crate::record::{KeyFile, RecordCipher};
use crate::store::{blocking, open_database};
use crate::tables::{HISTORY_KEYS, HISTORY_RECORDS, HISTORY_RECORDS_NAME};

const CACHE_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug)]
struct Shared {
    database: Database,
    cipher: RecordCipher,
    /// Everything below is held.
    whole: AtomicU64,
}

/// The history of a member. Clones share it.
#[derive(Clone, Debug)]
pub struct History {
    shared: Arc<Shared>,
}

impl History {
    /// Opens or creates the history in `folder`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(folder: &Path, key: &KeyFile) -> Result<Self, StorageError> {
        Self::over(open_database(&folder.join("history.redb"), CACHE_BYTES)?, key)
    }

    /// A history in a database that is already open.
    ///
    /// # Errors
    /// When the database fails.
    pub fn over(database: Database, key: &KeyFile) -> Result<Self, StorageError> {
        let transaction = database.begin_write()?;
        let records = transaction.open_table(HISTORY_RECORDS)?.len()?;
        transaction.open_table(HISTORY_KEYS)?;
        transaction.commit()?;
        let cipher = key.cipher("history")?;
        let shared = Shared { database, cipher, whole: AtomicU64::new(0) };
        shared.find_whole(records)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Keeps records; durable when answered.
    ///
    /// # Errors
    /// When the database fails: nothing of them is kept then.
    pub async fn append(&self, records: Vec<HistoryRecord>) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.append(&records)).await
    }

    /// The first record that is not held: everything before it is.
    #[must_use]
    pub fn first_missing(&self) -> u64 {
        self.shared.whole.load(Ordering::Acquire)
    }

    /// At most `max` consecutive records from `from` on, of at most `bytes` together but for the
    /// first; fewer when one is not held.
    ///
    /// # Errors
    /// When a record is damaged or the database fails.
    pub async fn range(
        &self,
        from: u64,
        max: u32,
        bytes: usize,
    ) -> Result<Vec<HistoryRecord>, StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.range(from, max, bytes)).await
    }

    /// The newest records with this key below `before`, newest first, at most `max`.
    ///
    /// # Errors
    /// When a record is damaged or the database fails.
    pub async fn find(
        &self,
        key: Vec<u8>,
        before: u64,
        max: usize,
    ) -> Result<Vec<HistoryRecord>, StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.find(&key, before, max)).await
    }
}

impl Shared {
    fn append(&self, records: &[HistoryRecord]) -> Result<(), StorageError> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(HISTORY_RECORDS)?;
            let mut keys = transaction.open_table(HISTORY_KEYS)?;
            for record in records {
                if table.get(record.seq)?.is_some() {
                    continue;
                }
                let payload = codec::encode_payload(record)?;
                let place = record.seq.to_be_bytes();
                let sealed = self.cipher.seal(
                    HISTORY_RECORDS_NAME,
                    &place,
                    HistoryRecord::VERSION,
                    &payload,
                )?;
                table.insert(record.seq, sealed.as_slice())?;
                for key in &record.keys {
                    keys.insert(index_key(key, record.seq).as_slice(), ())?;
                }
            }
        }
        transaction.commit()?;
        self.find_whole(u64::MAX)
    }

    /// Moves the end of what is whole over every record that follows it. When the file holds as
    /// many records as the newest place says, nothing is missing and nothing is read.
    fn find_whole(&self, records: u64) -> Result<(), StorageError> {
        let table = self.database.begin_read()?.open_table(HISTORY_RECORDS)?;
        let newest = table.last()?.map(|(seq, _)| seq.value());
        let mut whole = self.whole.load(Ordering::Acquire);
        if newest.and_then(|newest| newest.checked_add(1)) == Some(records) {
            whole = records;
        }
        for row in table.range(whole..)? {
            let (seq, _) = row?;
            if seq.value() != whole {
                break;
            }
            whole = whole.saturating_add(1);
        }
        self.whole.store(whole, Ordering::Release);
        Ok(())
    }

    fn open(&self, seq: u64, sealed: &[u8]) -> Result<HistoryRecord, StorageError> {
        let place = seq.to_be_bytes();
        let (_, payload) =
            self.cipher.open(HISTORY_RECORDS_NAME, &place, HistoryRecord::VERSION, sealed)?;
        Ok(codec::decode_payload(&payload)?)
    }

    fn range(&self, from: u64, max: u32, bytes: usize) -> Result<Vec<HistoryRecord>, StorageError> {
        let table = self.database.begin_read()?.open_table(HISTORY_RECORDS)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut records: Vec<HistoryRecord> = Vec::new();
        let mut total = 0_usize;
        let mut next = from;
        for row in table.range(from..)? {
            let (seq, sealed) = row?;
            let sealed = sealed.value();
            total = total.saturating_add(sealed.len());
            let is_full = records.len() >= max || (total > bytes && !records.is_empty());
            if seq.value() != next || is_full {
                break;
            }
            records.push(self.open(next, sealed)?);
            next = next.saturating_add(1);
        }
        Ok(records)
    }

    fn find(
        &self,
        key: &[u8],
        before: u64,
        max: usize,
    ) -> Result<Vec<HistoryRecord>, StorageError> {
        let transaction = self.database.begin_read()?;
        let keys = transaction.open_table(HISTORY_KEYS)?;
        let table = transaction.open_table(HISTORY_RECORDS)?;
        let (first, last) = (index_key(key, 0), index_key(key, before));
        let mut records = Vec::new();
        for row in keys.range(first.as_slice()..last.as_slice())?.rev().take(max) {
            let (found, ()) = row.map(|(found, _)| (found, ()))?;
            let place = found.value().last_chunk::<8>().copied().map_or(0, u64::from_be_bytes);
            if let Some(sealed) = table.get(place)? {
                records.push(self.open(place, sealed.value())?);
            }
        }
        Ok(records)
    }
}

fn index_key(key: &[u8], seq: u64) -> Vec<u8> {
    [key, &seq.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, key: &[u8]) -> HistoryRecord {
        HistoryRecord { seq, keys: vec![key.to_vec()], body: vec![7; 100] }
    }

    #[tokio::test]
    async fn records_are_found_by_place_and_by_key_newest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyFile::from_bytes([1; 32]);
        let history = History::open(folder.path(), &key).expect("opens");
        let records = (0..6).map(|seq| record(seq, if seq % 2 == 0 { b"a" } else { b"b" }));
        history.append(records.collect()).await.expect("kept");
        assert_eq!(history.first_missing(), 6);
        let found = history.find(b"a".to_vec(), u64::MAX, 2).await.expect("read");
        assert_eq!(found.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 2]);
        let older = history.find(b"a".to_vec(), 2, 2).await.expect("read");
        assert_eq!(older.iter().map(|row| row.seq).collect::<Vec<_>>(), [0]);
        let few = history.range(1, 10, 250).await.expect("read");
        assert_eq!(few.first().map(|row| row.seq), Some(1));
        assert!(few.len() < 5, "bounded in bytes");
    }

    #[tokio::test]
    async fn what_is_missing_is_known_also_after_a_restart_and_filled_in_any_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyFile::from_bytes([1; 32]);
        let history = History::open(folder.path(), &key).expect("opens");
        history.append(vec![record(0, b"a"), record(3, b"a")]).await.expect("kept");
        assert_eq!(history.first_missing(), 1);
        drop(history);
        let history = History::open(folder.path(), &key).expect("opens again");
        assert_eq!(history.first_missing(), 1);
        assert!(history.range(1, 10, 1_000).await.expect("read").is_empty());
        history
            .append(vec![record(2, b"a"), record(1, b"a"), record(0, b"x")])
            .await
            .expect("kept");
        assert_eq!(history.first_missing(), 4);
        let first = history.range(0, 1, 1_000).await.expect("read");
        assert_eq!(first.first().map(|row| row.keys.clone()), Some(vec![b"a".to_vec()]));
    }
}
