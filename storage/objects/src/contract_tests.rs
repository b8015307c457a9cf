//! One contract, three places: a directory, a bucket in memory, and a bucket of a real S3-compatible
//! server. Then what only members that share a bucket can get wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairground_storage::StorageError;
use fairground_storage::blob::{BlobPlace, BlobStore, Condemned, Held};
use fairground_types::BlobHash;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use crate::moto::Moto;
use crate::request::Layout;
use crate::sink::PART;
use crate::store::{S3Store, lock};

const HOUR: Duration = Duration::from_secs(3_600);
const GRACE: Duration = Duration::from_secs(24 * 3_600);
const PREFIX: &str = "eu/one";

/// A bucket in memory as a member of a cluster sees it.
fn member(objects: &Arc<dyn ObjectStore>, folder: &FilePath, name: &str) -> S3Store {
    S3Store::over(Arc::clone(objects), PREFIX, "cluster-1", name, &folder.join(name))
}

fn in_memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Every kind of place, each empty, and what must live as long.
struct Places {
    folder: TempDir,
    moto: Option<Moto>,
}

impl Places {
    fn new() -> Self {
        let moto = Moto::start().expect("moto_server starts where it is installed");
        Self { folder: tempfile::tempdir().expect("a folder"), moto }
    }

    fn all(&self) -> BTreeMap<&'static str, Arc<dyn BlobPlace>> {
        let mut places: BTreeMap<&'static str, Arc<dyn BlobPlace>> = BTreeMap::new();
        let directory = BlobStore::open(&self.folder.path().join("blobs")).expect("opens");
        places.insert("directory", Arc::new(directory));
        places.insert("memory", Arc::new(member(&in_memory(), self.folder.path(), "m1")));
        if let Some(moto) = &self.moto {
            moto.make_bucket("media").expect("a bucket");
            let settings = moto.settings("media", PREFIX);
            let ages = self.folder.path().join("m1-s3");
            let store = S3Store::open(&settings, "cluster-1", "m1", &ages).expect("usable");
            places.insert("s3", Arc::new(store));
        }
        places
    }
}

async fn put(place: &dyn BlobPlace, bytes: &[u8]) -> BlobHash {
    let hash = BlobHash::of(bytes);
    try_put(place, hash, bytes).await.expect("stored");
    hash
}

async fn try_put(place: &dyn BlobPlace, hash: BlobHash, bytes: &[u8]) -> Result<(), StorageError> {
    let mut sink = place.put(&hash).await?;
    for part in bytes.chunks(700 * 1024) {
        sink.write(part).await?;
    }
    sink.finish().await
}

async fn read(place: &dyn BlobPlace, hash: &BlobHash) -> Option<Vec<u8>> {
    let (mut reader, length) = place.reader(hash).await.expect("readable")?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.expect("whole");
    assert_eq!(u64::try_from(bytes.len()).expect("short"), length);
    Some(bytes)
}

fn shelf_of(hash: &BlobHash) -> u8 {
    let [first, ..] = *hash.as_bytes();
    first
}

async fn held(place: &dyn BlobPlace, hash: &BlobHash) -> Option<Held> {
    let shelf = place.shelf(shelf_of(hash)).await.expect("listed");
    shelf.into_iter().find(|held| held.hash == *hash)
}

/// A look at the shelves of some blobs, in which they alone are of no use.
async fn age(place: &dyn BlobPlace, hashes: &[BlobHash], passed: Duration) {
    for shelf in hashes.iter().map(shelf_of).collect::<BTreeSet<u8>>() {
        let mut dead = place.shelf(shelf).await.expect("listed");
        dead.retain(|held| hashes.contains(&held.hash));
        place.note_unused(shelf, &dead, passed);
    }
}

/// Bytes that compress to nothing of their own and hash apart.
fn long(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn a_blob_is_there_when_it_is_whole_and_not_before() {
    let places = Places::new();
    for (name, place) in places.all() {
        let (place, bytes) = (place.as_ref(), b"a clip".as_slice());
        let hash = BlobHash::of(bytes);
        let mut sink = place.put(&hash).await.expect("begun");
        sink.write(b"a cl").await.expect("room");
        assert!(!place.has(&hash).await.expect("answered"), "{name}");
        sink.write(b"ip").await.expect("room");
        sink.finish().await.expect("stored");
        assert!(place.has(&hash).await.expect("answered"), "{name}");
        assert_eq!(read(place, &hash).await.as_deref(), Some(bytes), "{name}");
        let whole = place.read(&hash, 6).await.expect("short enough");
        assert_eq!(whole.as_deref(), Some(bytes), "{name}");
        let refused = place.read(&hash, 5).await;
        assert!(matches!(refused, Err(StorageError::TooLarge(6))), "{name}: {refused:?}");
        assert_eq!(held(place, &hash).await.map(|held| held.bytes), Some(6), "{name}");
        assert!(place.renew(&hash).await.expect("answered"), "{name}");
        // The same bytes again are no failure.
        put(place, bytes).await;

        let other = BlobHash::of(b"something else");
        let refused = try_put(place, other, bytes).await;
        assert!(matches!(refused, Err(StorageError::WrongDigest)), "{name}: {refused:?}");
        assert!(!place.has(&other).await.expect("answered"), "{name}");
        assert!(!place.renew(&other).await.expect("answered"), "{name}");
        assert!(read(place, &other).await.is_none() && held(place, &other).await.is_none());

        assert!(place.remove(&hash).await.expect("removed"), "{name}");
        assert!(!place.remove(&hash).await.expect("answered"), "{name}");
        assert!(!place.has(&hash).await.expect("answered"), "{name}");
        let empty = put(place, b"").await;
        assert_eq!(read(place, &empty).await.as_deref(), Some(b"".as_slice()), "{name}");
    }
}

#[tokio::test]
async fn a_long_blob_goes_in_parts_and_none_of_them_is_seen_before_the_last() {
    let places = Places::new();
    for (name, place) in places.all() {
        let place = place.as_ref();
        for (seed, length) in [(1, PART), (2, PART + 1), (3, 2 * PART), (4, 2 * PART + 123)] {
            let bytes = long(seed, length);
            let hash = put(place, &bytes).await;
            assert!(
                read(place, &hash).await.is_some_and(|found| found == bytes),
                "{name} {length}"
            );
        }
        let bytes = long(5, PART + 7);
        let hash = BlobHash::of(&bytes);
        let mut given_up = place.put(&hash).await.expect("begun");
        given_up.write(&bytes).await.expect("room");
        drop(given_up);
        assert!(!place.has(&hash).await.expect("answered"), "{name}");
        let refused = try_put(place, hash, &long(6, PART + 7)).await;
        assert!(matches!(refused, Err(StorageError::WrongDigest)), "{name}: {refused:?}");
        assert!(!place.has(&hash).await.expect("answered"), "{name}");
        put(place, &bytes).await;
    }
}

#[tokio::test]
async fn what_is_of_no_use_goes_after_its_grace_unless_somebody_relies_on_it() {
    let places = Places::new();
    for (name, place) in places.all() {
        let place = place.as_ref();
        let gone = put(place, b"an old revision").await;
        let again = put(place, b"a picture").await;
        let asked = put(place, b"a segment").await;
        let all = [gone, again, asked];
        age(place, &all, Duration::ZERO).await;
        age(place, &all, GRACE - HOUR).await;
        for hash in &all {
            assert_eq!(place.remove_unused(hash, GRACE).await.expect("answered"), None, "{name}");
        }
        age(place, &all, HOUR).await;
        assert_eq!(place.unused_for(GRACE).len(), 3, "{name}");
        put(place, b"a picture").await;
        assert!(place.renew(&asked).await.expect("answered"), "{name}");
        for hash in [&again, &asked] {
            assert_eq!(place.remove_unused(hash, GRACE).await.expect("answered"), None, "{name}");
            assert!(place.has(hash).await.expect("answered"), "{name}");
        }
        assert_eq!(place.remove_unused(&gone, GRACE).await.expect("removed"), Some(15), "{name}");
        assert!(!place.has(&gone).await.expect("answered"), "{name}");
        assert!(place.unused_for(Duration::ZERO).is_empty(), "{name}");
        place.save_unused().await.expect("saved");
        // What went can come back.
        put(place, b"an old revision").await;
        assert!(place.has(&gone).await.expect("answered"), "{name}");
    }
}

#[tokio::test]
async fn ages_outlive_a_process_and_are_capped() {
    let (folder, objects) = (tempfile::tempdir().expect("a folder"), in_memory());
    let store = member(&objects, folder.path(), "m1");
    let hash = put(&store, b"an old revision").await;
    age(&store, &[hash], Duration::ZERO).await;
    age(&store, &[hash], GRACE).await;
    store.save_unused().await.expect("saved");
    let store = member(&objects, folder.path(), "m1");
    assert_eq!(store.unused_for(GRACE), [hash]);
    assert_eq!(store.remove_unused(&hash, GRACE).await.expect("answered"), None, "not looked at");
    store.cap_unused(GRACE / 2);
    age(&store, &[hash], HOUR).await;
    assert_eq!(store.remove_unused(&hash, GRACE).await.expect("answered"), None);
    age(&store, &[hash], GRACE / 2).await;
    assert_eq!(store.remove_unused(&hash, GRACE).await.expect("removed"), Some(15));
}

#[tokio::test]
async fn what_one_member_renews_no_other_removes() {
    let (folder, objects) = (tempfile::tempdir().expect("a folder"), in_memory());
    let first = member(&objects, folder.path(), "m1");
    let second = member(&objects, folder.path(), "m2");
    let renewed = put(&first, b"a segment").await;
    let again = put(&first, b"a picture").await;
    age(&first, &[renewed, again], Duration::ZERO).await;
    age(&first, &[renewed, again], GRACE).await;
    // The store's clock tells seconds apart.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(second.renew(&renewed).await.expect("answered"));
    put(&second, b"a picture").await;
    // Once by asking before the removal, once by the next look.
    assert_eq!(first.remove_unused(&renewed, GRACE).await.expect("answered"), None);
    age(&first, &[again], HOUR).await;
    assert!(first.unused_for(HOUR).is_empty());
    for hash in [&renewed, &again] {
        assert!(first.has(hash).await.expect("answered"));
    }
    // Nobody renews it again: its mark goes with it.
    age(&first, &[renewed], Duration::ZERO).await;
    age(&first, &[renewed], GRACE).await;
    assert_eq!(first.remove_unused(&renewed, GRACE).await.expect("removed"), Some(9));
    let used = Layout::new(PREFIX, "m1").used(&renewed);
    assert!(objects.head(&used).await.is_err());
}

#[tokio::test]
async fn a_blob_that_somebody_is_about_to_remove_is_refused() {
    let (folder, objects) = (tempfile::tempdir().expect("a folder"), in_memory());
    let store = member(&objects, folder.path(), "m1");
    let hash = put(&store, b"a segment").await;
    let word = Layout::new(PREFIX, "m9").word(&hash, 3);
    objects.put(&word, Bytes::new().into()).await.expect("written");
    assert!(!store.renew(&hash).await.expect("answered"));
    let refused = try_put(&store, hash, b"a segment").await;
    assert!(matches!(refused, Err(StorageError::Busy)), "{refused:?}");
    // Its member is gone: a look takes the word back, but not before a removal would have arrived.
    store.save_unused().await.expect("tidied");
    assert!(objects.head(&word).await.is_ok());
    let long_ago = Instant::now().checked_sub(Duration::from_secs(16 * 60));
    if let Some(long_ago) = long_ago {
        lock(&store.inner.left).insert(word.to_string(), long_ago);
        store.save_unused().await.expect("tidied");
        assert!(store.renew(&hash).await.expect("answered"));
        assert!(lock(&store.inner.left).contains_key(&word.to_string()), "until the next look");
        store.save_unused().await.expect("tidied");
        assert!(lock(&store.inner.left).is_empty());
    }
}

/// A removal and somebody who relies on the blob, at every distance in time: whoever was told that
/// it stays finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_and_a_renewal_never_both_succeed() {
    let wait = Duration::from_millis(4);
    let slow = ThrottleConfig {
        wait_put_per_call: wait,
        wait_get_per_call: wait,
        wait_list_per_call: wait,
        wait_delete_per_call: wait,
        ..ThrottleConfig::default()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let objects: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(InMemory::new(), slow));
    let first = member(&objects, folder.path(), "m1");
    let second = member(&objects, folder.path(), "m2");
    let mut rounds = Vec::new();
    for distance in 0..40_u64 {
        for by_putting in [false, true] {
            let bytes = format!("blob {distance} {by_putting}").into_bytes();
            rounds.push((distance, by_putting, put(&first, &bytes).await, bytes));
        }
    }
    let all: Vec<BlobHash> = rounds.iter().map(|(_, _, hash, _)| *hash).collect();
    age(&first, &all, Duration::ZERO).await;
    age(&first, &all, GRACE).await;
    second.claim().await.expect("ours");
    // The store's clock tells seconds apart.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (mut removed, mut stayed) = (0, 0);
    for (distance, by_putting, hash, bytes) in rounds {
        let relying = async {
            tokio::time::sleep(Duration::from_millis(distance)).await;
            if by_putting {
                try_put(&second, hash, &bytes).await.is_ok()
            } else {
                second.renew(&hash).await.expect("answered")
            }
        };
        // It begins in the middle of what is tried.
        let removing = async {
            tokio::time::sleep(Duration::from_millis(16)).await;
            first.remove_unused(&hash, GRACE).await.expect("answered")
        };
        let (is_relied_on, gone) = tokio::join!(relying, removing);
        let is_there = first.has(&hash).await.expect("answered");
        assert!(is_there || !is_relied_on, "{distance} ms, by putting: {by_putting}");
        removed += u32::from(gone.is_some());
        stayed += u32::from(gone.is_none());
    }
    assert!(removed > 0 && stayed > 0, "{removed} removed, {stayed} stayed");
}

#[tokio::test]
async fn a_damaged_blob_is_absent_until_it_is_put_again() {
    let (folder, objects) = (tempfile::tempdir().expect("a folder"), in_memory());
    let store = member(&objects, folder.path(), "m1");
    let hash = put(&store, b"a clip").await;
    assert_eq!(store.condemn(&hash).await.expect("readable"), Condemned::Whole);
    let key = Layout::new(PREFIX, "m1").blob(&hash);
    objects.put(&key, Bytes::from_static(b"a clap").into()).await.expect("damaged");
    let found = store.read(&hash, 100).await;
    assert!(matches!(found, Err(StorageError::Damaged { .. })), "{found:?}");
    assert_eq!(store.condemn(&hash).await.expect("readable"), Condemned::SetAside);
    assert!(!store.has(&hash).await.expect("answered"));
    assert!(!store.renew(&hash).await.expect("answered"));
    assert!(held(&store, &hash).await.is_none());
    assert_eq!(store.damaged().await.expect("known"), [hash]);
    put(&store, b"a clip").await;
    assert_eq!(read(&store, &hash).await.as_deref(), Some(b"a clip".as_slice()));
    assert!(store.damaged().await.expect("known").is_empty());
    // One that nobody needs goes by its age like others.
    objects.put(&key, Bytes::from_static(b"a clup").into()).await.expect("damaged");
    assert_eq!(store.condemn(&hash).await.expect("readable"), Condemned::SetAside);
    store.remove_damaged(&hash).await.expect("given up");
    assert!(held(&store, &hash).await.is_some());
}

#[tokio::test]
async fn a_bucket_of_another_cluster_is_left_alone() {
    let (folder, objects) = (tempfile::tempdir().expect("a folder"), in_memory());
    let ours = member(&objects, folder.path(), "m1");
    put(&ours, b"a clip").await;
    let theirs = S3Store::over(
        Arc::clone(&objects),
        PREFIX,
        "cluster-2",
        "m1",
        &folder.path().join("theirs"),
    );
    assert!(matches!(theirs.claim().await, Err(StorageError::Foreign)));
    let hash = BlobHash::of(b"a clip");
    assert!(matches!(theirs.remove(&hash).await, Err(StorageError::Foreign)));
    assert!(matches!(theirs.put(&hash).await, Err(StorageError::Foreign)));
    assert!(ours.has(&hash).await.expect("answered"));
    // Beside it there is room.
    let beside = S3Store::over(objects, "eu/two", "cluster-2", "m1", &folder.path().join("beside"));
    assert!(!beside.has(&hash).await.expect("answered"));
    beside.claim().await.expect("free");
}

#[tokio::test]
async fn what_else_lies_in_the_bucket_is_passed_by() {
    let (folder, objects) = (tempfile::tempdir().expect("a folder"), in_memory());
    let store = member(&objects, folder.path(), "m1");
    let hash = put(&store, b"a clip").await;
    let other = BlobHash::of(b"another");
    let shelf = format!("{PREFIX}/blobs/{:02x}", shelf_of(&hash));
    for key in [format!("{shelf}/readme"), format!("{shelf}/zz/{hash}"), format!("{shelf}/{other}")]
    {
        objects.put(&key.as_str().into(), Bytes::from_static(b"x").into()).await.expect("put");
    }
    let found = store.shelf(shelf_of(&hash)).await.expect("listed");
    assert_eq!(found.iter().map(|held| (held.hash, held.bytes)).collect::<Vec<_>>(), [(hash, 6)]);
}
