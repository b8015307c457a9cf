//! Blobs that go: damaged ones aside, those of no use after a grace, and never one that is wanted.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use fairground_storage::blob::BlobStore;
use fairground_types::BlobHash;

const HOUR: Duration = Duration::from_secs(3_600);
const GRACE: Duration = Duration::from_secs(24 * 3_600);

fn open(folder: &Path) -> BlobStore {
    BlobStore::open(folder).expect("opens")
}

fn shelf_of(hash: &BlobHash) -> u8 {
    let [first, ..] = *hash.as_bytes();
    first
}

/// Says that blobs are of no use, now and `passed` later.
fn ages(store: &BlobStore, hashes: &[BlobHash], passed: Duration) {
    for shelf in hashes.iter().map(shelf_of).collect::<BTreeSet<u8>>() {
        let there = hashes.iter().filter(|hash| shelf_of(hash) == shelf);
        let dead: BTreeSet<BlobHash> = there.copied().collect();
        store.note_unused(shelf, &dead, Duration::ZERO);
        store.note_unused(shelf, &dead, passed);
    }
}

#[tokio::test]
async fn every_blob_stands_on_the_shelf_of_its_first_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let mut put = BTreeSet::new();
    for number in 0..40_u8 {
        let bytes = vec![number; usize::from(number) + 1];
        put.insert((store.put_bytes(&bytes).await.expect("room"), u64::from(number) + 1));
    }
    let mut found = BTreeSet::new();
    for shelf in 0..=u8::MAX {
        for (hash, length) in store.shelf(shelf).await.expect("readable") {
            assert_eq!(shelf_of(&hash), shelf);
            found.insert((hash, length));
        }
    }
    assert_eq!(found, put);
}

#[tokio::test]
async fn a_blob_of_no_use_goes_after_its_grace_and_stays_when_it_is_put_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let gone = store.put_bytes(b"an old revision").await.expect("room");
    let again = store.put_bytes(b"a picture").await.expect("room");
    let asked = store.put_bytes(b"a segment").await.expect("room");
    ages(&store, &[gone, again, asked], GRACE - HOUR);
    for hash in [&gone, &again, &asked] {
        assert_eq!(store.remove_unused(hash, GRACE).await.expect("readable"), None);
    }
    ages(&store, &[gone, again, asked], HOUR);
    assert_eq!(store.unused_for(GRACE).len(), 3);
    // Chosen for removal, and put or asked for meanwhile: whoever did relies on it.
    let mut writer = store.put().await.expect("room");
    writer.write(b"a picture").await.expect("room");
    writer.finish(Some(again)).await.expect("stored");
    assert!(store.renew(&asked).await.expect("readable"));
    for hash in [&again, &asked] {
        assert_eq!(store.remove_unused(hash, GRACE).await.expect("readable"), None);
        assert!(store.has(hash).await.expect("readable"));
    }
    assert_eq!(store.remove_unused(&gone, GRACE).await.expect("removed"), Some(15));
    assert!(!store.has(&gone).await.expect("readable"));
    assert!(!store.renew(&gone).await.expect("readable"));
    assert!(store.unused_for(Duration::ZERO).is_empty());
}

#[tokio::test]
async fn ages_outlive_a_restart_and_what_is_damaged_of_them_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let hash = store.put_bytes(b"an old revision").await.expect("room");
    ages(&store, &[hash], GRACE);
    store.save_unused().await.expect("written");
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.unused_for(GRACE), [hash]);
    store.cap_unused(GRACE / 2);
    assert!(store.unused_for(GRACE).is_empty());
    assert_eq!(store.unused_for(GRACE / 2), [hash]);
    drop(store);
    std::fs::write(folder.path().join("unused"), [0xFF; 100]).expect("written");
    assert!(open(folder.path()).unused_for(Duration::ZERO).is_empty());
}

#[tokio::test]
async fn a_damaged_blob_counts_as_absent_until_a_good_copy_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let hash = store.put_bytes(b"bytes of a blob").await.expect("room");
    std::fs::write(store.path(&hash), b"bytes of a blot").expect("written");
    let seen = store.file_of(&hash).await.expect("readable").expect("here");
    let other = store.put_bytes(b"another blob").await.expect("room");
    let elsewhere = store.file_of(&other).await.expect("readable").expect("here");
    assert!(!store.set_aside(&hash, elsewhere).await.expect("another file came in its place"));
    assert!(store.set_aside(&hash, seen).await.expect("moved"));
    assert!(!store.set_aside(&hash, seen).await.expect("gone already"));
    assert!(!store.has(&hash).await.expect("readable"));
    assert!(store.shelf(shelf_of(&hash)).await.expect("readable").is_empty());
    assert_eq!(store.damaged().await.expect("readable"), [hash]);
    assert_eq!(store.put_bytes(b"bytes of a blob").await.expect("room"), hash);
    assert_eq!(store.verify(&hash).await.expect("readable"), Some(true));
    assert!(store.damaged().await.expect("readable").is_empty());
    store.remove_damaged(&hash).await.expect("nothing to remove");
}
