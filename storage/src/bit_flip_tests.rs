//! Bits that flip in files that were closed in order: the store says so or nothing changes; altered
//! data is never answered. Each test prints how many flips it made and what came of them.
//!
//! The journal's are in `power_cut_tests.rs`. A flip in the database's own pages may end it by a
//! panic, in builds with debug assertions; that is a store that does not open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fairground_wire::history::HistoryRecord;
use fairground_wire::raft::{LogIdWire, SnapshotMetaWire, StoredMembershipWire, VoteWire};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader};

use crate::error::StorageError;
use crate::fault::FaultDisk;
use crate::history::History;
use crate::raft_log::LogStore;
use crate::raft_types::{LogPayload, TypeConfig, log_id_from_wire, vote_from_wire, vote_to_wire};
use crate::record::KeyFile;
use crate::snapshot::SnapshotStore;
use crate::tables::{RAFT_LOG, RAFT_STATE};

/// Flips of each store in one run, unless `FAIRGROUND_BIT_FLIPS` says otherwise.
const FLIPS: usize = 4_000;

fn flips() -> usize {
    let asked = std::env::var("FAIRGROUND_BIT_FLIPS").ok().and_then(|flips| flips.parse().ok());
    asked.unwrap_or(FLIPS)
}

fn key() -> KeyFile {
    KeyFile::from_bytes([9; 32])
}

/// Bytes that hold something, so that most flips hit more than free space; every third is any byte.
fn places(image: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let used: Vec<usize> = (0..image.len()).filter(|at| image.get(*at) != Some(&0)).collect();
    let length = image.len();
    (0..flips()).map(move |probe| {
        let far = probe.wrapping_mul(2_654_435_761);
        let place = match probe % 3 {
            0 => far % length.max(1),
            _ => used.get(far % used.len().max(1)).copied().unwrap_or(0),
        };
        (place, u8::try_from(probe % 8).unwrap_or(0))
    })
}

fn tell(store: &str, noticed: usize, harmless: usize) {
    println!(
        "{store}: {} bit flips, {noticed} noticed, {harmless} changed nothing, 0 served altered",
        noticed + harmless
    );
    assert!(noticed > 0 && harmless > 0, "{store}: {noticed} noticed, {harmless} harmless");
}

async fn log_with_entries(disk: &FaultDisk) -> Result<(), StorageError> {
    let mut store = LogStore::over(disk.open()?, &key())?;
    let vote = VoteWire { term: 3, node: 1, committed: true };
    store.save_vote(&vote_from_wire(vote)).await.expect("saved");
    for index in 1..=60_u64 {
        let entry = openraft::Entry {
            log_id: log_id_from_wire(LogIdWire { term: 3, index }),
            payload: EntryPayload::Normal(LogPayload(vec![u8::try_from(index).unwrap_or(0); 90])),
        };
        let (done, flushed) = TypeConfig::oneshot();
        store.append([entry], IOFlushed::signal(done)).await.expect("queued");
        flushed.await.expect("answered").expect("on disk");
    }
    Ok(())
}

type ReadLog = (Option<VoteWire>, Vec<(u64, Vec<u8>)>);

fn read_log(disk: &FaultDisk, runtime: &tokio::runtime::Runtime) -> Result<ReadLog, StorageError> {
    let mut store = LogStore::over(disk.open()?, &key())?;
    runtime.block_on(async move {
        let mut reader = store.get_log_reader().await;
        let io = |error| StorageError::io(std::path::Path::new("raft"))(error);
        let vote = reader.read_vote().await.map_err(io)?;
        let entries = reader.try_get_log_entries(0..=100).await.map_err(io)?;
        let entries = entries.into_iter().map(|entry| match entry.payload {
            EntryPayload::Normal(payload) => (entry.log_id.index, payload.0),
            EntryPayload::Blank | EntryPayload::Membership(_) => (entry.log_id.index, Vec::new()),
        });
        Ok((vote.as_ref().map(vote_to_wire), entries.collect()))
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_flipped_bit_of_the_log_is_never_answered_from() {
    let (disk, runtime) = (FaultDisk::new(), runtime());
    runtime.block_on(log_with_entries(&disk)).expect("written");
    let closed = disk.restart();
    let written = read_log(&closed, &runtime).expect("sound");
    assert_eq!(written.1.len(), 60);
    let image = closed.restart();
    let (mut noticed, mut harmless) = (0, 0);
    for (place, bit) in places(&image.image()) {
        let bad = image.cut_power(0);
        bad.flip_bit(place, bit);
        match catch_unwind(AssertUnwindSafe(|| read_log(&bad, &runtime))) {
            Ok(Ok(read)) => {
                assert_eq!(read, written, "byte {place} bit {bit} was served altered");
                harmless += 1;
            }
            Ok(Err(_)) | Err(_) => noticed += 1,
        }
    }
    tell("raft log", noticed, harmless);
}

/// One bit in the page that lists the tables, and a table looks empty.
#[test]
fn a_log_that_looks_empty_or_without_its_state_is_noticed() {
    let (disk, runtime) = (FaultDisk::new(), runtime());
    runtime.block_on(log_with_entries(&disk)).expect("written");
    let closed = disk.restart();
    let without = |table: fn(&redb::WriteTransaction) -> Result<bool, redb::TableError>| {
        let bad = closed.image_of_now();
        let database = bad.open().expect("opens");
        let transaction = database.begin_write().expect("begun");
        assert!(table(&transaction).expect("there"));
        transaction.commit().expect("committed");
        drop(database);
        LogStore::over(bad.restart().open().expect("opens"), &key()).map(|_| ())
    };
    for gone in [
        without(|transaction| transaction.delete_table(RAFT_LOG)),
        without(|transaction| transaction.delete_table(RAFT_STATE)),
    ] {
        assert!(matches!(gone, Err(StorageError::Damaged { .. })), "{gone:?}");
    }
}

#[test]
fn a_flipped_bit_of_the_history_is_never_answered_from() {
    let (disk, runtime) = (FaultDisk::new(), runtime());
    let row = |seq: u64| HistoryRecord { seq, keys: vec![vec![1]], body: vec![7; 120] };
    let written: Vec<HistoryRecord> = (0..60).map(row).collect();
    let history = History::over(disk.open().expect("opens"), &key()).expect("sound");
    runtime.block_on(history.append(written.clone())).expect("kept");
    drop(history);
    let image = disk.restart();
    let (mut noticed, mut harmless) = (0, 0);
    for (place, bit) in places(&image.image()) {
        let bad = image.cut_power(0);
        bad.flip_bit(place, bit);
        let read = catch_unwind(AssertUnwindSafe(|| {
            let history = History::over(bad.open()?, &key())?;
            runtime.block_on(history.range(0, 1_000, usize::MAX))
        }));
        match read {
            Ok(Ok(read)) if read == written => harmless += 1,
            // A range ends before a row that cannot be read.
            Ok(Ok(read)) => {
                assert_eq!(read, written[..read.len()], "byte {place} bit {bit}");
                noticed += 1;
            }
            Ok(Err(_)) | Err(_) => noticed += 1,
        }
    }
    tell("history", noticed, harmless);
}

#[test]
fn a_flipped_bit_of_a_snapshot_is_always_noticed() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("made");
    let runtime = runtime();
    let store = SnapshotStore::open(folder.path(), &key()).expect("opens");
    let meta = SnapshotMetaWire {
        last_log_id: Some(LogIdWire { term: 2, index: 40 }),
        last_membership: StoredMembershipWire::default(),
    };
    // Two parts, so that there is a border between records.
    let state =
        bytes::Bytes::from((0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
    runtime.block_on(store.save(meta, state)).expect("saved");
    let file = folder.path().join("snapshot.sealed");
    let whole = std::fs::read(&file).expect("readable");
    for (place, bit) in places(&whole) {
        let mut bad = whole.clone();
        if let Some(byte) = bad.get_mut(place) {
            *byte ^= 1 << bit;
        }
        std::fs::write(&file, bad).expect("written");
        let loaded = runtime.block_on(store.load());
        assert!(loaded.is_err(), "byte {place} bit {bit} was served");
    }
    std::fs::write(&file, whole).expect("written");
    assert!(runtime.block_on(store.load()).expect("sound").is_some());
    println!("snapshot: {} bit flips, all noticed, 0 served altered", flips());
}
