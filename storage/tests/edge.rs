//! What an edge keeps: journal, replica, segments, blobs, and the key they are sealed under.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use fairground_storage::blob::BlobStore;
use fairground_storage::intake::Journal;
use fairground_storage::replica::Replica;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use fairground_storage::{KeyFile, StorageError};
use fairground_types::id::{
    AuctionId, BlobHash, CommandId, DeviceKeyId, LogIndex, UploadId, UserId,
};
use fairground_types::journal::{Intake, JournalEntry, PlaceBid, Stamp, Tail};
use fairground_types::money::{Currency, Money};
use fairground_types::time::Timestamp;
use fairground_types::verdict::{Accepted, Judged, Rejection, Verdict};
use fairground_types::{Code, DeviceSignature};
use proptest::prelude::*;
use tempfile::TempDir;

fn key() -> KeyFile {
    KeyFile::from_bytes([5; 32])
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn command(number: u64) -> CommandId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    CommandId::from_bytes(bytes)
}

fn bid(number: u64) -> Intake {
    Intake::Bid(PlaceBid {
        command: command(number),
        auction: AuctionId::from_bits(1),
        bidder: UserId::from_bits(2),
        amount: Money::new(100 + number, Currency::Eur),
        maximum: None,
        valid_until: Timestamp::from_unix_millis(9_000),
    })
}

const fn stamp(earliest: u64, latest: u64) -> Stamp {
    Stamp {
        earliest: Timestamp::from_unix_millis(earliest),
        latest: Timestamp::from_unix_millis(latest),
    }
}

fn judged(index: u64) -> Judged {
    Judged {
        index: LogIndex(index),
        at: Timestamp::from_unix_millis(index),
        verdict: Verdict::Accepted(Accepted::Done),
    }
}

fn open_journal(folder: &Path) -> Journal {
    Journal::open(folder, &key()).expect("opens")
}

async fn filled(folder: &Path, count: u64) -> Journal {
    let journal = open_journal(folder);
    for number in 1..=count {
        journal.append(stamp(number * 10, number * 10 + 2), bid(number)).await.expect("room");
    }
    journal
}

#[tokio::test]
async fn an_appended_entry_is_there_after_a_restart_and_chained() {
    let folder = folder();
    let first = open_journal(folder.path()).append(stamp(10, 12), bid(1)).await.expect("room");
    assert_eq!(first.group.written()[first.place].previous, Tail::START.hash);
    assert!(first.entry.follows(Tail::START));
    let journal = open_journal(folder.path());
    assert_eq!(journal.tail(), first.entry.tail());
    let second = journal.append(stamp(20, 22), bid(2)).await.expect("room");
    assert!(second.entry.follows(first.entry.tail()));
    let entries = journal.entries_from(1, 10).expect("readable");
    assert_eq!(entries, vec![first.entry.clone(), second.entry]);
    assert_eq!(journal.hash_at(1).expect("readable"), Some(first.entry.hash));
    assert_eq!(journal.verify().expect("readable"), Vec::<u64>::new());
    let standing = journal.standing();
    assert_eq!((standing.open_from, standing.open_count), (1, 2));
    assert_eq!(standing.last_stamp, Some(stamp(20, 22)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_consecutive_sequences_and_stamps_that_never_fall() {
    let folder = folder();
    let journal = std::sync::Arc::new(open_journal(folder.path()));
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..500_u64 {
        let journal = std::sync::Arc::clone(&journal);
        // Stamps in no order at all.
        let at = 1_000 + (number * 7_919) % 500;
        waiting.spawn(async move { journal.append(stamp(at, at + 3), bid(number)).await });
    }
    let mut synced: Vec<JournalEntry> = Vec::new();
    while let Some(appended) = waiting.join_next().await {
        synced.push(appended.expect("no panic").expect("room").entry);
    }
    synced.sort_by_key(|entry| entry.seq);
    let mut tail = Tail::START;
    for (entry, next) in synced.iter().zip(synced.iter().skip(1)) {
        assert!(entry.follows(tail));
        assert!(next.stamp.earliest >= entry.stamp.earliest);
        assert!(next.stamp.latest >= entry.stamp.latest);
        tail = entry.tail();
    }
    assert_eq!(journal.entries_from(1, 1_000).expect("readable"), synced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_commit_wrote_is_known_to_each_of_its_entries_and_told_once() {
    let folder = folder();
    let journal = std::sync::Arc::new(open_journal(folder.path()));
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..200_u64 {
        let journal = std::sync::Arc::clone(&journal);
        waiting.spawn(async move { journal.append(stamp(10, 12), bid(number)).await });
    }
    let (mut groups, mut told) = (std::collections::BTreeSet::new(), 0);
    while let Some(appended) = waiting.join_next().await {
        let synced = appended.expect("no panic").expect("room");
        let written = synced.group.written();
        assert_eq!(written[synced.place].entry, synced.entry);
        let first = written[0].entry.seq;
        groups.insert(first);
        for (row, seq) in written.iter().zip(first..) {
            assert_eq!(row.entry.seq, seq);
            assert!(row.entry.follows(Tail { seq: seq - 1, hash: row.previous }));
        }
        let texts = synced.group.texts(|written| {
            told += 1;
            written.iter().map(|row| row.entry.seq.to_string().into()).collect()
        });
        assert_eq!(*texts[synced.place], *synced.entry.seq.to_string());
    }
    assert_eq!(told, groups.len(), "once for each commit");
    assert!(groups.len() < 200, "a commit takes all that wait");
}

#[tokio::test]
async fn a_command_is_found_with_its_verdict_and_the_first_copy_counts() {
    let folder = folder();
    let journal = filled(folder.path(), 3).await;
    let copy = journal.append(stamp(50, 52), bid(2)).await.expect("room");
    assert_eq!(copy.entry.seq, 4);
    let found = journal.lookup(&command(2)).expect("readable").expect("journalled");
    assert_eq!((found.entry.seq, found.judged), (2, None));
    journal.set_verdict(2, judged(7)).await.expect("kept");
    journal.set_verdict(2, judged(8)).await.expect("kept");
    let found = journal.lookup(&command(2)).expect("readable").expect("journalled");
    assert_eq!(found.judged, Some(judged(7)), "a verdict is final");
    assert_eq!(journal.open_count(), 3);
    assert!(!journal.is_open(2) && journal.is_open(4), "the copy waits for its own");
    assert!(journal.is_synced() && !journal.has_failed());
    drop(journal);
    let journal = open_journal(folder.path());
    assert_eq!(journal.open_count(), 3);
    assert_eq!(journal.standing().open_from, 1);
    assert_eq!(journal.lookup(&command(99)).expect("readable"), None);
}

#[tokio::test]
async fn an_entry_that_was_refused_for_its_signature_leaves_its_command_to_the_next() {
    let folder = folder();
    let journal = filled(folder.path(), 2).await;
    let refused = Rejection::new(Code::SignatureRequired, "unsigned");
    let refused = Judged { verdict: Verdict::Rejected(refused), ..judged(7) };
    journal.set_verdict(2, refused.clone()).await.expect("kept");
    let found = journal.lookup(&command(2)).expect("readable").expect("journalled");
    assert_eq!((found.entry.seq, found.judged.as_ref()), (2, Some(&refused)));
    assert!(found.is_of_signature());
    let signature = DeviceSignature { key: DeviceKeyId::from_bits(1), bytes: [1; 64] };
    let signed = bid(2).signed(signature);
    assert_eq!(journal.append(stamp(50, 52), signed).await.expect("room").entry.seq, 3);
    let found = journal.lookup(&command(2)).expect("readable").expect("journalled");
    assert_eq!((found.entry.seq, found.judged), (3, None));
    // The same entry once more, unjudged, is a copy: the first one counts.
    let copy = bid(2).signed(signature);
    assert_eq!(journal.append(stamp(53, 54), copy).await.expect("room").entry.seq, 4);
    assert_eq!(journal.lookup(&command(2)).expect("readable").expect("there").entry.seq, 3);
    journal.set_verdict(3, judged(8)).await.expect("kept");
    drop(journal);
    let journal = open_journal(folder.path());
    let found = journal.lookup(&command(2)).expect("readable").expect("journalled");
    assert_eq!((found.entry.seq, found.judged), (3, Some(judged(8))));
}

#[tokio::test]
async fn a_full_journal_declines_and_takes_again_after_verdicts() {
    let folder = folder();
    let journal = open_journal(folder.path());
    journal.set_open_max(2);
    journal.append(stamp(1, 2), bid(1)).await.expect("room");
    journal.append(stamp(1, 2), bid(2)).await.expect("room");
    let refused = journal.append(stamp(1, 2), bid(3)).await;
    assert!(matches!(refused, Err(StorageError::Full)));
    journal.set_verdict(1, judged(1)).await.expect("kept");
    assert_eq!(journal.append(stamp(1, 2), bid(3)).await.expect("room").entry.seq, 3);
}

#[tokio::test]
async fn every_stamp_after_a_mark_is_above_its_watermark() {
    let folder = folder();
    let journal = filled(folder.path(), 2).await;
    let mark = journal.mark(Timestamp::from_unix_millis(500));
    assert_eq!(mark.watermark, Timestamp::from_unix_millis(499));
    assert_eq!(mark.tail, journal.tail());
    // A clock that was slow to notice: its stamp would fall below the promise.
    let late = journal.append(stamp(300, 302), bid(3)).await.expect("room").entry.stamp;
    assert!(late.earliest > mark.watermark && late.latest >= late.earliest);
    // A promise is never taken back either.
    let next = journal.mark(Timestamp::from_unix_millis(10));
    assert!(next.watermark >= mark.watermark);
    assert_eq!(next.tail.seq, 3);
}

#[tokio::test]
async fn only_judged_and_old_entries_are_trimmed_from_the_front() {
    let folder = folder();
    let journal = filled(folder.path(), 5).await;
    for seq in [1, 2, 4] {
        journal.set_verdict(seq, judged(seq)).await.expect("kept");
    }
    let now = Timestamp::from_unix_millis(10_000);
    assert_eq!(journal.trim(5, Timestamp::from_unix_millis(12)).await.expect("trims"), 0);
    assert_eq!(journal.trim(5, now).await.expect("trims"), 2, "3 is open");
    assert_eq!(journal.lookup(&command(1)).expect("readable"), None);
    assert!(journal.lookup(&command(4)).expect("readable").is_some());
    assert_eq!(journal.hash_at(1).expect("readable"), None);
    drop(journal);
    let journal = open_journal(folder.path());
    assert_eq!(journal.tail().seq, 5);
    assert_eq!(journal.standing().open_from, 3);
    for seq in [3, 5] {
        journal.set_verdict(seq, judged(seq)).await.expect("kept");
    }
    assert_eq!(journal.trim(5, now).await.expect("trims"), 3);
    let next = journal.append(stamp(60, 62), bid(9)).await.expect("room");
    assert_eq!(next.entry.seq, 6, "sequences go on over an empty journal");
}

#[tokio::test]
async fn whoever_watches_the_tail_hears_of_every_sync() {
    let folder = folder();
    let journal = open_journal(folder.path());
    let mut tail = journal.watch_tail();
    journal.append(stamp(1, 2), bid(1)).await.expect("room");
    tail.changed().await.expect("the journal is open");
    assert_eq!(tail.borrow_and_update().seq, 1);
}

#[tokio::test]
async fn a_view_is_replaced_as_a_whole_and_found_after_a_restart() {
    let folder = folder();
    let view: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    {
        let replica = Replica::open(folder.path(), &key()).expect("opens");
        assert_eq!(replica.load().expect("readable"), None);
        replica.save(LogIndex(3), b"old".to_vec()).await.expect("saved");
        replica.save(LogIndex(9), view.clone()).await.expect("saved");
        replica.set_state("identity", b"edge-1.2".to_vec()).await.expect("saved");
        replica.put_upload(UploadId::from_bits(4), b"half".to_vec()).await.expect("saved");
        replica.put_upload(UploadId::from_bits(5), b"gone".to_vec()).await.expect("saved");
        replica.remove_upload(UploadId::from_bits(5)).await.expect("removed");
    }
    let replica = Replica::open(folder.path(), &key()).expect("opens");
    assert_eq!(replica.load().expect("readable"), Some((LogIndex(9), view)));
    assert_eq!(replica.state("identity").expect("readable"), Some(b"edge-1.2".to_vec()));
    assert_eq!(replica.state("other").expect("readable"), None);
    let uploads = replica.uploads().expect("readable");
    assert_eq!(uploads, vec![(UploadId::from_bits(4), b"half".to_vec())]);
    assert_eq!(replica.upload(UploadId::from_bits(5)).expect("readable"), None);
}

#[tokio::test]
async fn a_view_with_altered_cut_or_swapped_bytes_is_damaged() {
    let folder = folder();
    let replica = Replica::open(folder.path(), &key()).expect("opens");
    replica.save(LogIndex(3), vec![8; 600_000]).await.expect("saved");
    let path = folder.path().join("view.sealed");
    let good = std::fs::read(&path).expect("there");
    for position in [0, 4, 6, 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[position] ^= 1;
        std::fs::write(&path, &bad).expect("written");
        assert!(replica.load().is_err(), "byte {position} altered");
    }
    for length in [3, 5, 60, good.len() - 262_200, good.len() - 1] {
        std::fs::write(&path, &good[..length]).expect("written");
        assert!(replica.load().is_err(), "cut at {length}");
    }
}

fn segment(number: u32, length: usize) -> (BlobHash, Bytes) {
    let bytes: Bytes = number.to_le_bytes().into_iter().cycle().take(length).collect();
    (BlobHash::of(&bytes), bytes)
}

const SMALL: Budget = Budget { disk: 1_000_000, memory: 1_000 };

fn open_cache(folder: &Path, budget: Budget) -> SegmentCache {
    SegmentCache::open(&folder.join("segments.redb"), &key(), budget).expect("opens")
}

#[tokio::test]
async fn segments_of_every_size_are_found_after_a_restart() {
    let folder = folder();
    let sizes = [0, 1, 64_511, 64_512, 64_513, 200_000];
    let segments: Vec<_> =
        (0_u32..).zip(sizes).map(|(number, length)| segment(number, length)).collect();
    open_cache(folder.path(), SMALL).insert(segments.clone()).await.expect("stored");
    let cache = open_cache(folder.path(), SMALL);
    for (hash, bytes) in &segments {
        assert_eq!(cache.get(hash).await.as_ref(), Some(bytes));
    }
    assert_eq!(cache.stats().segments, 6);
    assert_eq!(cache.stats().disk_hits, 6);
    assert_eq!(cache.get(&BlobHash::of(b"other")).await, None);
}

#[tokio::test]
async fn the_budget_holds_and_pinned_segments_stay() {
    let folder = folder();
    let cache = open_cache(folder.path(), SMALL);
    let first = segment(0, 100_000);
    cache.insert(vec![first.clone()]).await.expect("stored");
    assert!(cache.pin(&first.0));
    for number in 1..40 {
        cache.insert(vec![segment(number, 100_000)]).await.expect("stored");
        assert!(cache.stats().bytes <= SMALL.disk);
    }
    assert_eq!(cache.get(&first.0).await, Some(first.1));
    assert!(cache.stats().evicted >= 30);
    assert_eq!(cache.get(&segment(1, 100_000).0).await, None, "evicted from disk too");
}

#[tokio::test]
async fn wrong_bytes_are_never_stored() {
    let folder = folder();
    let cache = open_cache(folder.path(), SMALL);
    let (hash, _) = segment(1, 10);
    let wrong = cache.insert(vec![(hash, Bytes::from_static(b"other"))]).await;
    assert!(matches!(wrong, Err(StorageError::WrongDigest)));
    assert_eq!(cache.get(&hash).await, None);
}

#[tokio::test]
async fn what_is_purged_is_gone_from_memory_and_disk() {
    let folder = folder();
    let cache = open_cache(folder.path(), Budget { disk: 1_000_000, memory: 1_000_000 });
    let (hash, bytes) = segment(1, 10_000);
    cache.insert(vec![(hash, bytes.clone())]).await.expect("stored");
    assert_eq!(cache.get(&hash).await, Some(bytes));
    assert_eq!(cache.stats().memory_hits, 1);
    cache.purge(&hash).await.expect("purged");
    assert_eq!(cache.get(&hash).await, None);
    assert!(!cache.holds(&hash));
    drop(cache);
    assert_eq!(open_cache(folder.path(), SMALL).get(&hash).await, None);
}

#[tokio::test]
async fn a_blob_is_under_its_hash_or_not_at_all() {
    let folder = folder();
    let store = BlobStore::open(folder.path()).expect("opens");
    let bytes = vec![7; 300_000];
    let hash = BlobHash::of(&bytes);
    let mut writer = store.put().await.expect("room");
    writer.write(&bytes[..100]).await.expect("room");
    drop(writer);
    let mut writer = store.put().await.expect("room");
    writer.write(&bytes[..100]).await.expect("room");
    assert!(matches!(writer.finish(Some(hash)).await, Err(StorageError::WrongDigest)));
    assert!(!store.has(&hash).await.expect("readable"));
    let left = std::fs::read_dir(folder.path().join("incoming")).expect("there").count();
    assert_eq!(left, 0);
    assert_eq!(store.put_bytes(&bytes).await.expect("room"), hash);
    assert_eq!(store.put_bytes(&bytes).await.expect("there already"), hash);
    assert_eq!(store.len(&hash).await.expect("readable"), Some(300_000));
    assert_eq!(store.read(&hash, 1 << 20).await.expect("readable").as_deref(), Some(&bytes[..]));
    let part = store.read_range(&hash, 299_990, 100).await.expect("readable");
    assert_eq!(part.as_deref(), Some(&bytes[..10]));
    assert!(matches!(store.read(&hash, 10).await, Err(StorageError::TooLarge(300_000))));
    assert_eq!(store.verify(&hash).await.expect("readable"), Some(true));
    let (copied, length) = store.put_file(&store.path(&hash)).await.expect("room");
    assert_eq!((copied, length), (hash, 300_000));
}

#[tokio::test]
async fn a_blob_that_rotted_is_noticed_and_can_be_removed() {
    let folder = folder();
    let store = BlobStore::open(folder.path()).expect("opens");
    let hash = store.put_bytes(b"bytes of a blob").await.expect("room");
    std::fs::write(store.path(&hash), b"bytes of a blot").expect("written");
    assert_eq!(store.verify(&hash).await.expect("readable"), Some(false));
    assert!(matches!(store.read(&hash, 100).await, Err(StorageError::Damaged { .. })));
    assert!(store.remove(&hash).await.expect("removed"));
    assert!(!store.remove(&hash).await.expect("gone already"));
    assert_eq!(store.verify(&hash).await.expect("readable"), None);
}

#[test]
fn a_key_file_is_made_once_for_its_owner_alone() {
    let folder = folder();
    let path = folder.path().join("key");
    let made = KeyFile::create(&path).expect("made");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(KeyFile::create(&path).is_err(), "never overwritten");
    let loaded = KeyFile::load(&path).expect("ours");
    assert_eq!(made.derive("a"), loaded.derive("a"));
    assert_ne!(made.derive("a"), made.derive("b"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
    assert!(matches!(KeyFile::load(&path), Err(StorageError::KeyFile { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_record_opens_only_unaltered_and_in_its_place(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        bit in 0_usize..1_000,
    ) {
        use fairground_storage::record::RecordCipher;
        let cipher = RecordCipher::new(&[3; 32]).expect("a key");
        let record = cipher.seal("table", b"key", 1, &payload).expect("small");
        let opened = cipher.open("table", b"key", 1, &record).expect("ours");
        prop_assert_eq!(opened, (1, payload));
        prop_assert!(cipher.open("other", b"key", 1, &record).is_err());
        prop_assert!(cipher.open("table", b"kez", 1, &record).is_err());
        let stranger = RecordCipher::new(&[4; 32]).expect("a key");
        prop_assert!(stranger.open("table", b"key", 1, &record).is_err());
        let mut altered = record.clone();
        let bit = bit % (altered.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(cipher.open("table", b"key", 255, &altered).is_err());
        prop_assert!(cipher.open("table", b"key", 1, &record[..record.len() - 1]).is_err());
    }
}
