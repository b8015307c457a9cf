//! Power cuts of the snapshot store: every state that a cut in the middle of a replacement leaves on
//! a disk, opened again.
//!
//! ```text
//!  snapshot.sealed.new   any sectors of it, any length    |  a cut before its sync
//!  snapshot.sealed       the one before, whole            |
//!  snapshot.sealed       the new one, whole               |  a cut after the rename
//!  snapshot.sealed       the new one, in part             |  a disk that syncs late: said, not served
//! ```
//! The bytes come from the store itself; the sequence (write, sync, rename, sync of the folder) is
//! that of `sealed_file.rs`. The states are made here, since a real disk cannot be cut.

use std::path::Path;

use bytes::Bytes;
use fairground_wire::raft::{LogIdWire, SnapshotMetaWire};

use crate::fault::Chance;
use crate::record::KeyFile;
use crate::snapshot::SnapshotStore;

/// Cuts in one run, unless `FAIRGROUND_POWER_CUTS` says otherwise.
const CUTS: u64 = 10_000;
/// A real replacement with its syncs after so many cuts.
const SAVE_EVERY: u64 = 40;
const SECTOR: usize = 512;

/// A snapshot of a number: small most often, of several parts now and then.
fn snapshot(number: u64, chance: &mut Chance) -> (SnapshotMetaWire, Bytes) {
    let length = if number % 400 == 399 { 300_000 } else { chance.below(4_000) };
    let state: Vec<u8> = (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let last_log_id = Some(LogIdWire { term: 1, index: number });
    (SnapshotMetaWire { last_log_id, ..SnapshotMetaWire::default() }, state.into())
}

/// What a disk may keep of bytes that were never synced.
fn torn(whole: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut kept = whole.to_vec();
    for sector in kept.chunks_mut(SECTOR) {
        if chance.below(3) == 0 {
            sector.fill(0);
        }
    }
    kept.truncate(chance.below(whole.len() + 1));
    kept
}

/// In memory where that can be had: what is cut is made here, so no sync has to reach a disk.
fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("made")
}

fn put(path: &Path, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => std::fs::write(path, bytes).expect("written"),
        None => drop(std::fs::remove_file(path)),
    }
}

#[test]
fn an_acknowledged_snapshot_survives_every_power_cut() {
    let asked = std::env::var("FAIRGROUND_POWER_CUTS").ok().and_then(|cuts| cuts.parse().ok());
    let cuts = asked.unwrap_or(CUTS);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (folder, made) = (tempdir(), tempdir());
    let key = KeyFile::from_bytes([9; 32]);
    let open = |folder: &Path| SnapshotStore::open(folder, &key).expect("opens");
    let (path, fresh) =
        (folder.path().join("snapshot.sealed"), folder.path().join("snapshot.sealed.new"));
    let mut chance = Chance(7);
    // What was acknowledged last, with its bytes.
    let mut acknowledged: Option<((SnapshotMetaWire, Bytes), Vec<u8>)> = None;
    let mut said = 0;
    for cut in 0..cuts {
        let next = snapshot(cut, &mut chance);
        runtime.block_on(open(made.path()).save(next.0.clone(), next.1.clone())).expect("saved");
        let whole = std::fs::read(made.path().join("snapshot.sealed")).expect("readable");
        let before = acknowledged.as_ref().map(|(_, bytes)| bytes.as_slice());
        let load = || runtime.block_on(open(folder.path()).load());
        // Before the sync of the new file: the one before stands.
        put(&fresh, Some(&torn(&whole, &mut chance)));
        put(&path, before);
        let found = load().expect("sound");
        assert_eq!(found, acknowledged.as_ref().map(|(it, _)| it.clone()), "cut {cut}");
        // A disk that renames before it has written: noticed, unless it had.
        let part = torn(&whole, &mut chance);
        put(&path, Some(&part));
        match load() {
            Ok(found) => assert_eq!(found.as_ref(), Some(&next), "cut {cut} was served in part"),
            Err(error) => {
                assert!(error.is_damage(), "cut {cut}: {error}");
                said += 1;
            }
        }
        // After the rename: the new one. What the cut left beside it is in nobody's way.
        put(&path, Some(&whole));
        assert_eq!(load().expect("sound").as_ref(), Some(&next), "cut {cut} lost a snapshot");
        if cut % SAVE_EVERY == 0 {
            let again = snapshot(cut + 1, &mut chance);
            let store = open(folder.path());
            runtime
                .block_on(store.save(again.0.clone(), again.1.clone()))
                .expect("saved over what a cut left");
            assert_eq!(load().expect("sound"), Some(again.clone()), "cut {cut}");
            let bytes = std::fs::read(&path).expect("readable");
            acknowledged = Some((again, bytes));
        } else {
            acknowledged = Some((next, whole));
        }
    }
    println!("snapshot: {cuts} power cuts, 0 acknowledged lost, {said} partial files noticed");
    assert!(said > 0, "no partial file was tried");
}
