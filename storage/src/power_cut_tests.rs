//! Power cuts, failing disks and flipped bits: what was answered is there, what is damaged is said.

use fairground_types::id::{AuctionId, BlobHash, CommandId, LogIndex, UserId};
use fairground_types::journal::{Intake, JournalEntry, PlaceBid, Stamp, Tail};
use fairground_types::money::{Currency, Money};
use fairground_types::time::Timestamp;
use fairground_types::verdict::{Accepted, Judged, Verdict};

use crate::error::StorageError;
use crate::fault::{FaultDisk, damage_journal};
use crate::intake::Journal;
use crate::record::KeyFile;
use crate::segment_cache::{Budget, SegmentCache};
use crate::tables::JOURNAL_STATE;

/// Power cuts of each store in one run, unless `FAIRGROUND_POWER_CUTS` says otherwise.
const CUTS: u64 = 10_000;
/// Power cuts after which a store begins anew: what is read again at each start stays small.
const CUTS_OF_A_LIFE: u64 = 25;

/// Seeds of the cuts of one life after another.
fn lives() -> impl Iterator<Item = std::ops::Range<u64>> {
    let asked = std::env::var("FAIRGROUND_POWER_CUTS").ok().and_then(|cuts| cuts.parse().ok());
    let lives = asked.unwrap_or(CUTS).div_ceil(CUTS_OF_A_LIFE);
    (0..lives).map(|life| life * CUTS_OF_A_LIFE..(life + 1) * CUTS_OF_A_LIFE)
}

fn key() -> KeyFile {
    KeyFile::from_bytes([9; 32])
}

fn bid(number: u64) -> Intake {
    let mut command = [0; 32];
    command[..8].copy_from_slice(&number.to_le_bytes());
    Intake::Bid(PlaceBid {
        command: CommandId::from_bytes(command),
        auction: AuctionId::from_bits(1),
        bidder: UserId::from_bits(2),
        amount: Money::new(100, Currency::Eur),
        maximum: None,
        valid_until: Timestamp::from_unix_millis(9_000),
    })
}

fn stamp(at: u64) -> Stamp {
    Stamp { earliest: Timestamp::from_unix_millis(at), latest: Timestamp::from_unix_millis(at + 2) }
}

fn judged(index: u64) -> Judged {
    Judged {
        index: LogIndex(index),
        at: Timestamp::from_unix_millis(index),
        verdict: Verdict::Accepted(Accepted::Done),
    }
}

fn open(disk: &FaultDisk) -> Journal {
    Journal::over(disk.open().expect("opens"), &key()).expect("sound")
}

/// Appends that are polled once, so that they are queued but not waited for.
fn queue<'a>(journal: &'a Journal, number: u64) -> impl Future<Output = ()> + 'a {
    let append = journal.append(stamp(number), bid(number));
    async move {
        let mut append = std::pin::pin!(append);
        std::future::poll_fn(|context| {
            let _ = append.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_acknowledged_entry_survives_every_power_cut() {
    for seeds in lives() {
        live_as_a_journal(seeds).await;
    }
}

async fn live_as_a_journal(seeds: std::ops::Range<u64>) {
    let mut disk = FaultDisk::new();
    let mut acknowledged: Vec<JournalEntry> = Vec::new();
    let mut number = 0;
    for seed in seeds {
        let journal = open(&disk);
        let kept = journal.entries_from(1, usize::MAX).expect("readable");
        assert!(kept.len() >= acknowledged.len(), "seed {seed} lost an entry");
        assert_eq!(&kept[..acknowledged.len()], acknowledged, "seed {seed} changed an entry");
        let mut tail = Tail::START;
        for entry in &kept {
            assert!(entry.follows(tail), "seed {seed} broke the chain");
            tail = entry.tail();
        }
        assert_eq!(journal.tail(), tail, "seed {seed}");
        acknowledged = kept;
        for _ in 0..=seed % 4 {
            number += 1;
            let synced = journal.append(stamp(number), bid(number)).await.expect("room");
            acknowledged.push(synced.entry);
        }
        if seed % 3 == 0 {
            let last = acknowledged.last().map_or(0, |entry| entry.seq);
            journal.set_verdict(last, judged(seed)).await.expect("kept");
        }
        // In flight when the power goes: may or may not be there, whole.
        for _ in 0..seed % 5 {
            number += 1;
            queue(&journal, number).await;
        }
        disk = disk.cut_power(seed);
    }
}

#[tokio::test]
async fn a_verdict_that_was_kept_survives_a_power_cut() {
    let disk = FaultDisk::new();
    let journal = open(&disk);
    journal.append(stamp(1), bid(1)).await.expect("room");
    journal.set_verdict(1, judged(5)).await.expect("kept");
    queue(&journal, 2).await;
    for seed in 0..20 {
        let journal = open(&disk.cut_power(seed));
        let found = journal.lookup(&bid(1).command()).expect("readable").expect("there");
        assert_eq!(found.judged, Some(judged(5)));
    }
}

#[tokio::test]
async fn a_failed_sync_ends_the_journal_and_gives_no_receipt() {
    let disk = FaultDisk::new();
    let journal = open(&disk);
    let first = journal.append(stamp(1), bid(1)).await.expect("room");
    disk.fail_syncs();
    assert!(journal.append(stamp(2), bid(2)).await.is_err());
    let closed = journal.append(stamp(3), bid(3)).await;
    assert!(matches!(closed, Err(StorageError::Closed)));
    assert!(journal.has_failed() && !journal.is_synced());
    assert_eq!(journal.tail(), first.entry.tail(), "nothing unsynced is promised");
    let mark = journal.mark(Timestamp::from_unix_millis(50));
    assert_eq!(mark.tail, first.entry.tail());
    assert!(mark.watermark < Timestamp::from_unix_millis(2), "2 may be on disk");
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let disk = FaultDisk::new();
    let journal = open(&disk);
    let mut acknowledged = Vec::new();
    disk.fail_writes_after(40);
    for number in 1..200 {
        match journal.append(stamp(number), bid(number)).await {
            Ok(synced) => acknowledged.push(synced.entry),
            Err(_) => break,
        }
    }
    assert!(acknowledged.len() < 199, "the disk was never full");
    drop(journal);
    let journal = open(&disk.restart());
    let kept = journal.entries_from(1, usize::MAX).expect("readable");
    assert_eq!(&kept[..acknowledged.len()], acknowledged);
}

#[tokio::test]
async fn damaged_entries_are_found_passed_over_and_given_up() {
    let folder = tempfile::tempdir().expect("made");
    let reopen = || Journal::open(folder.path(), &key()).expect("opens");
    let journal = reopen();
    for number in 1..=6 {
        journal.append(stamp(number), bid(number)).await.expect("room");
    }
    let entries = journal.entries_from(1, 10).expect("readable");
    assert_eq!(journal.lost_from(3).expect("readable"), None, "nothing is lost");
    drop(journal);
    damage_journal(folder.path(), &[3, 4]).expect("damaged");
    let journal = reopen();
    assert_eq!(journal.verify().expect("readable"), [3, 4]);
    assert_eq!(journal.entries_from(1, 10).expect("readable"), entries[..2], "up to the damage");
    assert!(journal.entries_from(3, 10).is_err_and(|error| error.is_damage()));
    assert_eq!(journal.entries_from(5, 10).expect("readable"), entries[4..]);
    let lost = journal.lost_from(3).expect("readable").expect("two are lost");
    assert_eq!((lost.first, lost.last), (3, entries[3].tail()), "the next one knows the hash");
    assert_eq!(journal.hash_at(4).expect("readable"), Some(entries[3].hash));
    assert_eq!(journal.hash_at(3).expect("readable"), None);
    journal.give_up(lost).await.expect("given up");
    assert!(!journal.is_open(3) && !journal.is_open(4) && journal.is_open(5));
    assert_eq!(journal.entries_from(1, 10).expect("readable").len(), 4);
    assert_eq!(journal.verify().expect("readable"), Vec::<u64>::new());
    assert_eq!(journal.hash_at(4).expect("readable"), Some(entries[3].hash));
    drop(journal);
    damage_journal(folder.path(), &[6]).expect("damaged");
    let journal = reopen();
    let lost = journal.lost_from(6).expect("readable").expect("the last is lost");
    assert_eq!((lost.first, lost.last), (6, entries[5].tail()));
    assert_eq!(journal.lost_from(7).expect("readable"), None, "never written");
}

#[tokio::test]
async fn a_journal_whose_tail_is_gone_gives_out_no_number_twice() {
    let disk = FaultDisk::new();
    let journal = open(&disk);
    for number in 1..=3 {
        journal.append(stamp(number), bid(number)).await.expect("room");
    }
    drop(journal);
    let bad = disk.restart();
    let database = bad.open().expect("opens");
    let transaction = database.begin_write().expect("begun");
    assert!(transaction.delete_table(JOURNAL_STATE).expect("there"));
    transaction.commit().expect("committed");
    drop(database);
    let opened = Journal::over(bad.restart().open().expect("opens"), &key());
    assert!(matches!(opened, Err(StorageError::Damaged { .. })));
}

/// Every bit flip is either noticed or changes nothing that is read.
#[tokio::test]
async fn a_flipped_bit_is_never_answered_from() {
    let disk = FaultDisk::new();
    let journal = open(&disk);
    let mut written = Vec::new();
    for number in 1..=40 {
        written.push(journal.append(stamp(number), bid(number)).await.expect("room").entry);
    }
    drop(journal);
    let image = disk.restart();
    let length = image.image().len();
    let (mut noticed, mut harmless) = (0, 0);
    for probe in 0..4_000_usize {
        let bad = image.cut_power(0);
        // Spread over the file; pages in use are few, so most of a sparse file is free space.
        bad.flip_bit((probe * 2_654_435_761) % length, 3);
        // The database itself stops at some damage by a panic, in builds with debug assertions.
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let journal = Journal::over(bad.open()?, &key())?;
            let entries = journal.entries_from(1, 100)?;
            let lost = journal.lost_from(u64::try_from(entries.len()).unwrap_or(u64::MAX) + 1)?;
            Ok::<_, StorageError>((entries, lost))
        }));
        match read {
            Ok(Ok((entries, None))) => {
                assert_eq!(entries, written, "probe {probe} was served altered");
                harmless += 1;
            }
            Ok(Ok((entries, Some(_)))) => {
                assert_eq!(entries, written[..entries.len()], "probe {probe} was served altered");
                noticed += 1;
            }
            Ok(Err(_)) | Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 0 && harmless > 0, "{noticed} noticed, {harmless} harmless");
}

#[tokio::test]
async fn a_damaged_segment_is_a_miss_and_goes() {
    let disk = FaultDisk::new();
    let budget = Budget { disk: 1 << 20, memory: 1 };
    let cache = SegmentCache::over(disk.open().expect("opens"), &key(), budget).expect("sound");
    let bytes = bytes::Bytes::from(vec![0xAB; 150_000]);
    let hash = BlobHash::of(&bytes);
    cache.insert(vec![(hash, bytes.clone())]).await.expect("stored");
    drop(cache);
    let image = disk.restart();
    // The ciphertext of a chunk fills whole pages; flip a bit in the middle of the largest run of
    // bytes that are not zero.
    let whole = image.image();
    let mut damaged = 0;
    for position in (0..whole.len()).step_by(20_011) {
        if whole[position] == 0 {
            continue;
        }
        let bad = image.cut_power(0);
        bad.flip_bit(position, 1);
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            SegmentCache::over(bad.open()?, &key(), budget)
        }));
        let Ok(Ok(cache)) = opened else { continue };
        match cache.get(&hash).await {
            Some(found) => assert_eq!(found, bytes),
            None => {
                damaged += 1;
                assert!(!cache.holds(&hash), "a damaged segment goes");
            }
        }
    }
    assert!(damaged > 0, "no probe hit the segment");
}

#[cfg(feature = "raft")]
mod raft {
    use fairground_wire::history::HistoryRecord;
    use fairground_wire::raft::{LogIdWire, VoteWire};
    use openraft::storage::{IOFlushed, RaftLogStorage};
    use openraft::type_config::TypeConfigExt;
    use openraft::{EntryPayload, RaftLogReader};

    use super::{FaultDisk, KeyFile, key, lives};
    use crate::history::History;
    use crate::raft_log::LogStore;
    use crate::raft_types::{
        LogPayload, TypeConfig, log_id_from_wire, vote_from_wire, vote_to_wire,
    };

    fn open(disk: &FaultDisk, key: &KeyFile) -> LogStore {
        LogStore::over(disk.open().expect("opens"), key).expect("sound")
    }

    async fn append(store: &mut LogStore, term: u64, index: u64, waits: bool) {
        let entry = openraft::Entry {
            log_id: log_id_from_wire(LogIdWire { term, index }),
            payload: EntryPayload::Normal(LogPayload(index.to_le_bytes().to_vec())),
        };
        let (done, flushed) = TypeConfig::oneshot();
        store.append([entry], IOFlushed::signal(done)).await.expect("queued");
        if waits {
            flushed.await.expect("answered").expect("on disk");
        }
    }

    #[tokio::test]
    async fn votes_and_flushed_entries_survive_every_power_cut() {
        for seeds in lives() {
            live_as_a_log(seeds).await;
        }
    }

    async fn live_as_a_log(seeds: std::ops::Range<u64>) {
        let mut disk = FaultDisk::new();
        let mut flushed_upto = 0;
        let mut vote = None;
        for seed in seeds {
            let mut store = open(&disk, &key());
            let mut reader = store.get_log_reader().await;
            let found = reader.read_vote().await.expect("readable");
            assert_eq!(found.as_ref().map(vote_to_wire), vote, "seed {seed} lost a vote");
            let last = store.get_log_state().await.expect("readable").last_log_id;
            let last = last.map_or(0, |last| last.index);
            assert!(last >= flushed_upto, "seed {seed} lost an entry");
            let entries = reader.try_get_log_entries(1..=last).await.expect("readable");
            let first = store.get_log_state().await.expect("readable").last_purged_log_id;
            let first = first.map_or(1, |purged| purged.index + 1);
            let indexes: Vec<u64> = entries.iter().map(|entry| entry.log_id.index).collect();
            assert_eq!(indexes, (first..=last).collect::<Vec<_>>(), "seed {seed} left a hole");
            let mut next = last + 1;
            let new = VoteWire { term: seed + 1, node: seed % 3, committed: seed % 2 == 0 };
            store.save_vote(&vote_from_wire(new)).await.expect("saved");
            vote = Some(new);
            for _ in 0..=seed % 3 {
                append(&mut store, seed + 1, next, true).await;
                flushed_upto = next;
                next += 1;
            }
            if seed % 10 == 9 {
                let upto = LogIdWire { term: seed + 1, index: flushed_upto - 1 };
                store.purge(log_id_from_wire(upto)).await.expect("purged");
            }
            for _ in 0..seed % 4 {
                append(&mut store, seed + 1, next, false).await;
                next += 1;
            }
            disk = disk.cut_power(seed);
        }
    }

    /// Snapshots are files that are replaced by a rename; the histories that they leave behind are kept
    /// in a database like the log.
    #[tokio::test]
    async fn kept_history_survives_every_power_cut() {
        for seeds in lives() {
            live_as_a_history(seeds).await;
        }
    }

    async fn live_as_a_history(seeds: std::ops::Range<u64>) {
        let mut disk = FaultDisk::new();
        let mut kept = 0;
        for seed in seeds {
            let history = History::over(disk.open().expect("opens"), &key()).expect("sound");
            assert!(history.first_missing() >= kept, "seed {seed} lost a record");
            let found = history.range(0, 1_000, usize::MAX).await.expect("readable");
            assert!(found.iter().zip(0..).all(|(row, seq)| *row == record(seq)), "seed {seed}");
            kept = history.first_missing();
            for _ in 0..=seed % 3 {
                history.append(vec![record(kept), record(kept + 1)]).await.expect("kept");
                kept += 2;
            }
            // Not waited for: it may be there or not, both rows or none.
            let rest = history.clone();
            let mut writing = tokio::task::JoinSet::new();
            writing.spawn(async move {
                let _ = rest.append(vec![record(kept), record(kept + 1)]).await;
            });
            if seed % 2 == 0 {
                tokio::task::yield_now().await;
            }
            disk = disk.cut_power(seed);
            writing.join_next().await.expect("one").expect("no panic");
        }
    }

    fn record(seq: u64) -> HistoryRecord {
        HistoryRecord { seq, keys: vec![vec![1]], body: seq.to_le_bytes().to_vec() }
    }

    #[tokio::test]
    async fn a_failed_sync_ends_the_log() {
        let disk = FaultDisk::new();
        let mut store = open(&disk, &key());
        append(&mut store, 1, 1, true).await;
        disk.fail_syncs();
        let vote = vote_from_wire(VoteWire { term: 2, node: 1, committed: false });
        assert!(store.save_vote(&vote).await.is_err());
        assert!(store.save_vote(&vote).await.is_err(), "never tried again");
        let read = store.get_log_reader().await.read_vote().await.expect("readable");
        assert_eq!(read, None, "a vote that is not on disk was not given");
    }
}
