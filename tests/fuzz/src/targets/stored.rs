//! Records and files of a store: what stands behind the tag, and that nothing gets past the tag.

use std::cell::OnceCell;

use fairground_storage::KeyFile;
use fairground_storage::intake::Written;
use fairground_storage::record::RecordCipher;
use fairground_storage::snapshot::SnapshotStore;
use fairground_types::journal::{JournalEntry, Mark, Tail};
use fairground_wire::codec;
use fairground_wire::history::HistoryRecord;
use fairground_wire::raft::{LogEntryWire, LogIdWire, MembershipWire, SnapshotMetaWire, VoteWire};

use super::wire::payload;
use crate::{Outcome, Target};

fn cipher() -> RecordCipher {
    RecordCipher::new(&KeyFile::from_bytes([7; 32]).derive("fuzz")).expect("32 bytes")
}

/// A record of a store, as a disk gives it back: only what was sealed there opens.
fn record(input: &[u8]) -> Outcome {
    let (key, record) = input.split_at(input.len().min(8));
    let opened = cipher().open("table", key, u8::MAX, record);
    assert!(opened.is_err(), "a record that nobody sealed was opened");
    let sealed = cipher().seal("table", key, 1, record).expect("small");
    let opened = cipher().open("table", key, 1, &sealed).expect("our own");
    assert_eq!(opened, (1, record.to_vec()));
    assert!(cipher().open("other", key, 1, &sealed).is_err(), "it belongs to its table");
    for place in [0, sealed.len() / 2, sealed.len().saturating_sub(1)] {
        let mut bad = sealed.clone();
        if let Some(byte) = bad.get_mut(place) {
            *byte ^= 1;
        }
        assert!(cipher().open("table", key, 1, &bad).is_err(), "a flipped bit was served");
    }
    Outcome::Read
}

/// The envelope of a state: nothing is made of it that its bytes do not hold.
fn state_envelope(input: &[u8]) -> Outcome {
    let Ok((version, payload)) = codec::open_state(3, input) else {
        // The checksum refuses mutations; with a right one the payload is what was put in.
        let sealed = codec::encode_state(1, &input.to_vec()).expect("small");
        let (version, read): (u8, Vec<u8>) = codec::decode_state(1, &sealed).expect("our own");
        assert_eq!((version, read.as_slice()), (1, input));
        return Outcome::Refused;
    };
    assert!((1..=3).contains(&version) && payload.len() <= input.len());
    Outcome::Read
}

struct Place {
    folder: tempfile::TempDir,
    store: SnapshotStore,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SnapshotStore::open(folder.path(), &KeyFile::from_bytes([7; 32]));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Self { store: store.expect("opens"), folder, runtime }
    }
}

/// A snapshot's file, as a disk gives it back: never served when it is not whole.
fn snapshot_file(input: &[u8]) -> Outcome {
    thread_local! {
        static PLACE: OnceCell<Place> = const { OnceCell::new() };
    }
    PLACE.with(|place| {
        let Place { folder, store, runtime } = place.get_or_init(Place::make);
        std::fs::write(folder.path().join("snapshot.sealed"), input).expect("written");
        let loaded = runtime.block_on(store.load());
        assert!(loaded.is_err(), "a file that nobody sealed was served: {loaded:?}");
        Outcome::Refused
    })
}

macro_rules! records {
    ($($name:literal: $type:ty, $golden:expr;)*) => {
        &[
            Target { name: "record", run: record, golden: &["record_"] },
            Target { name: "state_envelope", run: state_envelope, golden: &["state_"] },
            Target { name: "snapshot_file", run: snapshot_file, golden: &[] },
            $(Target { name: $name, run: payload::<$type>, golden: &$golden }),*
        ]
    };
}

pub(super) const TARGETS: &[Target] = records! {
    "journal_record": Written, [];
    "journal_entry": JournalEntry, ["journal_entry_"];
    "mark": Mark, ["mark"];
    "tail": Tail, ["tail"];
    "log_entry": LogEntryWire, ["raft_log_entry_"];
    "log_id": LogIdWire, ["raft_log_id"];
    "vote": VoteWire, ["raft_vote"];
    "membership": MembershipWire, ["raft_membership"];
    "snapshot_meta": SnapshotMetaWire, ["raft_snapshot_meta"];
    "history_record": HistoryRecord, [];
};
