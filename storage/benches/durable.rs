//! What it costs to be durable: the journal's group commit beside the disk alone, and segments.
//!
//! The disk alone is a file that grows: the same sealed bytes written and `fdatasync`ed, as many
//! records a sync as there are waiters. It has one write and one sync where a commit of redb has a
//! tree to write as well. Files are made below the target folder, which is on a disk where a
//! temporary folder may not be. Read next: `docs/src/internals/performance.md`.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../../tests/measure.rs"]
mod measure;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairground_storage::KeyFile;
use fairground_storage::intake::Journal;
use fairground_storage::record::RecordCipher;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use fairground_types::id::{AuctionId, BlobHash, CommandId, UserId};
use fairground_types::journal::{Intake, JournalEntry, PlaceBid, Stamp, Tail};
use fairground_types::money::{Currency, Money};
use fairground_types::time::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::measure::{Effort, Figure, quotient, took};

const NANOS: u128 = 1_000_000_000;
const SEGMENT_BYTES: usize = 300 * 1024;
/// Tasks that store segments at the same time.
const STORERS: usize = 8;

fn main() {
    let effort = Effort::from_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    for (waiters, each) in [(1, 300), (16, 150), (256, 25)] {
        journal(effort, &runtime, waiters, effort.size(each, 2));
    }
    segments(effort, &runtime);
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk")
}

fn key() -> KeyFile {
    KeyFile::from_bytes([5; 32])
}

/// `waiters` tasks append, each the next bid once the one before is on disk.
fn journal(effort: Effort, runtime: &Runtime, waiters: usize, each: usize) {
    let folder = folder();
    let journal = Arc::new(Journal::open(folder.path(), &key()).expect("opens"));
    let mut file = File::create(folder.path().join("raw")).expect("a file");
    let record = record();
    let name = |what: &str| format!("journal: {waiters} waiting: {what}");
    let mut rate = Figure::new(name("bids"), "bids/s", 0);
    let mut middle = Figure::new(name("append p50"), "ms", 3);
    let mut worst = Figure::new(name("append p99"), "ms", 3);
    let mut raw_rate = Figure::new(name("disk alone"), "bids/s", 0);
    let mut raw_middle = Figure::new(name("disk alone p50"), "ms", 3);
    let mut ratio = Figure::new(name("bids against the disk"), "x", 2);
    let bids = u128::try_from(waiters * each).expect("small");
    for _ in 0..=effort.rounds() {
        let (time, mut latencies) = took(|| append(runtime, &journal, waiters, each));
        let (raw_time, mut raw_latencies) =
            took(|| sync(&mut file, &record.repeat(waiters), each.max(50)));
        let raw_bids = u128::try_from(waiters * each.max(50)).expect("small");
        let rates = (
            quotient(bids, NANOS, time.as_nanos()),
            quotient(raw_bids, NANOS, raw_time.as_nanos()),
        );
        rate.add(rates.0);
        raw_rate.add(rates.1);
        ratio.add(quotient(rates.0.into(), 100, rates.1.into()));
        middle.add(percentile(&mut latencies, 50));
        worst.add(percentile(&mut latencies, 99));
        raw_middle.add(percentile(&mut raw_latencies, 50));
    }
    for figure in [rate, middle, worst, raw_rate, raw_middle, ratio] {
        figure.print();
    }
}

fn append(runtime: &Runtime, journal: &Arc<Journal>, waiters: usize, each: usize) -> Vec<Duration> {
    let first = u64::try_from(journal.open_count()).expect("small");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for waiter in 0..waiters {
            let journal = Arc::clone(journal);
            let number = first + u64::try_from(waiter * each).expect("small");
            tasks.spawn(async move {
                let mut latencies = Vec::with_capacity(each);
                for number in (number..).take(each) {
                    let begun = std::time::Instant::now();
                    journal.append(stamp(), bid(number)).await.expect("room");
                    latencies.push(begun.elapsed());
                }
                latencies
            });
        }
        tasks.join_all().await.concat()
    })
}

fn sync(file: &mut File, bytes: &[u8], times: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(times);
    for _ in 0..times {
        let (time, ()) = took(|| {
            file.write_all(bytes).expect("room");
            file.sync_data().expect("a disk");
        });
        latencies.push(time);
    }
    latencies
}

/// In microseconds.
fn percentile(latencies: &mut [Duration], percent: usize) -> u64 {
    latencies.sort_unstable();
    let place = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
    let found = latencies.get(place).copied().unwrap_or_default();
    quotient(found.as_nanos(), 1, 1_000)
}

fn stamp() -> Stamp {
    Stamp { earliest: Timestamp::from_unix_millis(10), latest: Timestamp::from_unix_millis(12) }
}

fn bid(number: u64) -> Intake {
    Intake::Bid(PlaceBid {
        command: CommandId::derive_system("bid", &number.to_string(), ""),
        auction: AuctionId::from_bits(1),
        bidder: UserId::from_bits(u128::from(number % 2_000)),
        amount: Money::new(10_000 + number, Currency::Eur),
        maximum: None,
        valid_until: Timestamp::from_unix_millis(120_000),
    })
}

/// A journal entry as it lies in the database: envelope, nonce and tag included.
fn record() -> Vec<u8> {
    let cipher = RecordCipher::new(&[3; 32]).expect("a key");
    let entry = JournalEntry::after(Tail::START, stamp(), bid(1));
    cipher.seal_value("journal_entries", &1_u64.to_le_bytes(), &entry).expect("small")
}

/// Segments stored by a few tasks at once, beside the disk alone, then read one after the other.
fn segments(effort: Effort, runtime: &Runtime) {
    let folder = folder();
    let budget = Budget { disk: 1024 * 1024 * 1024, memory: 1_000 };
    let path = folder.path().join("segments.redb");
    let cache = Arc::new(SegmentCache::open(&path, &key(), budget).expect("opens"));
    let count = effort.size(32, STORERS);
    let mut stored = Figure::new("segments: 300 KB stored, 8 at once", "MB/s", 0);
    let mut raw = Figure::new("segments: disk alone, 8 a sync", "MB/s", 0);
    let mut ratio = Figure::new("segments: stored against the disk", "x", 2);
    let mut read = Figure::new("segments: 300 KB read from redb", "MB/s", 0);
    for round in 0..=effort.rounds() {
        let fresh: Vec<(BlobHash, Bytes)> =
            (0..count).map(|number| segment(round * count + number)).collect();
        let (time, ()) = took(|| store(runtime, &cache, &fresh));
        let raw_time = write(folder.path(), &fresh);
        let (read_time, ()) = took(|| fetch(runtime, &cache, &fresh));
        let bytes = u128::try_from(count * SEGMENT_BYTES).expect("small");
        stored.add(quotient(bytes, 1_000, time.as_nanos()));
        raw.add(quotient(bytes, 1_000, raw_time.as_nanos()));
        ratio.add(quotient(raw_time.as_nanos(), 100, time.as_nanos()));
        read.add(quotient(bytes, 1_000, read_time.as_nanos()));
    }
    assert_eq!(cache.stats().memory_hits, 0, "reads come from the database");
    for figure in [stored, raw, ratio, read] {
        figure.print();
    }
}

fn store(runtime: &Runtime, cache: &Arc<SegmentCache>, segments: &[(BlobHash, Bytes)]) {
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for part in segments.chunks(segments.len().div_ceil(STORERS)) {
            let (cache, part) = (Arc::clone(cache), part.to_vec());
            tasks.spawn(async move {
                for segment in part {
                    cache.insert(vec![segment]).await.expect("stored");
                }
            });
        }
        tasks.join_all().await;
    });
}

fn write(folder: &Path, segments: &[(BlobHash, Bytes)]) -> Duration {
    let mut file = File::create(folder.join("raw")).expect("a file");
    let (time, ()) = took(|| {
        for together in segments.chunks(STORERS) {
            for (_, bytes) in together {
                file.write_all(bytes).expect("room");
            }
            file.sync_data().expect("a disk");
        }
    });
    time
}

fn fetch(runtime: &Runtime, cache: &SegmentCache, segments: &[(BlobHash, Bytes)]) {
    runtime.block_on(async {
        for (hash, bytes) in segments {
            let found = cache.get(hash).await.expect("held");
            assert_eq!(found.len(), bytes.len());
        }
    });
}

/// Bytes that no two segments share and that do not compress.
fn segment(number: usize) -> (BlobHash, Bytes) {
    let mut state = u64::try_from(number).expect("small").wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(SEGMENT_BYTES);
    while bytes.len() < SEGMENT_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let bytes = Bytes::from(bytes);
    (BlobHash::of(&bytes), bytes)
}
