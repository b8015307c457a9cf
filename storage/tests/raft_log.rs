//! The log store under the consensus library's own suite, and over restarts.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::Arc;

use fairground_storage::KeyFile;
use fairground_storage::raft_log::{LogReader, LogStore};
use fairground_storage::raft_types::{
    ApplyReply, LogPayload, TypeConfig, log_id_from_wire, vote_from_wire,
};
use fairground_wire::raft::{LogIdWire, VoteWire};
use futures_util::{Stream, TryStreamExt};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftStateMachine, Snapshot};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{
    EntryPayload, OptionalSend, RaftLogReader, RaftSnapshotBuilder, SnapshotMeta, StorageError,
};
use tempfile::TempDir;

/// A state machine that keeps what the suite looks at and nothing else.
#[derive(Clone, Default)]
struct Memory {
    applied: Option<LogIdOf<TypeConfig>>,
    membership: StoredMembershipOf<TypeConfig>,
    snapshot: Option<SnapshotMetaOf<TypeConfig>>,
    shared: Arc<std::sync::Mutex<Option<SnapshotMetaOf<TypeConfig>>>>,
}

impl Memory {
    fn meta(&self) -> SnapshotMetaOf<TypeConfig> {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    fn current(&self) -> Option<SnapshotMetaOf<TypeConfig>> {
        self.shared.lock().expect("not poisoned").clone().or_else(|| self.snapshot.clone())
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Memory {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Vec<u8>>, io::Error> {
        let meta = self.meta();
        *self.shared.lock().expect("not poisoned") = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: Vec::new() })
    }
}

impl RaftStateMachine<TypeConfig> for Memory {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                self.membership =
                    StoredMembershipOf::<TypeConfig>::new(Some(entry.log_id), membership);
            }
            if let Some(responder) = responder {
                responder.send(ApplyReply::NONE);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        _: Vec<u8>,
    ) -> Result<(), io::Error> {
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.snapshot = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, Vec<u8>>>, io::Error> {
        Ok(self.current().map(|meta| Snapshot { meta, snapshot: Vec::new() }))
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Memory, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Memory), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = open(&folder);
        Ok((folder, store, Memory::default()))
    }
}

fn open(folder: &TempDir) -> LogStore {
    LogStore::open(folder.path(), &KeyFile::from_bytes([5; 32])).expect("opens")
}

const fn at(term: u64, index: u64) -> LogIdWire {
    LogIdWire { term, index }
}

fn entries(term: u64, indexes: std::ops::Range<u64>) -> Vec<EntryOf<TypeConfig>> {
    indexes
        .map(|index| {
            let payload = LogPayload(index.to_le_bytes().repeat(20));
            openraft::Entry {
                log_id: log_id_from_wire(at(term, index)),
                payload: EntryPayload::Normal(payload),
            }
        })
        .collect()
}

async fn append(store: &mut LogStore, entries: Vec<EntryOf<TypeConfig>>) {
    let (done, flushed) = TypeConfig::oneshot();
    store.append(entries, IOFlushed::signal(done)).await.expect("queued");
    flushed.await.expect("answered").expect("on disk");
}

async fn read(store: &mut LogStore, range: std::ops::Range<u64>) -> Vec<EntryOf<TypeConfig>> {
    store.get_log_reader().await.try_get_log_entries(range).await.expect("readable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_the_suite_of_the_consensus_library() {
    Suite::test_all(Builder).await.expect("passes");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let vote = vote_from_wire(VoteWire { term: 4, node: 2, committed: true });
    {
        let mut store = open(&folder);
        store.save_vote(&vote).await.expect("saved");
        append(&mut store, entries(4, 1..50)).await;
        store.save_committed(Some(log_id_from_wire(at(4, 40)))).await.expect("noted");
        store.purge(log_id_from_wire(at(4, 10))).await.expect("purged");
        store.truncate_after(Some(log_id_from_wire(at(4, 45)))).await.expect("truncated");
    }
    let mut store = open(&folder);
    let state = store.get_log_state().await.expect("readable");
    assert_eq!(state.last_purged_log_id, Some(log_id_from_wire(at(4, 10))));
    assert_eq!(state.last_log_id, Some(log_id_from_wire(at(4, 45))));
    let mut reader: LogReader = store.get_log_reader().await;
    assert_eq!(reader.read_vote().await.expect("readable"), Some(vote));
    assert_eq!(store.read_committed().await.expect("readable"), Some(log_id_from_wire(at(4, 40))));
    let kept = read(&mut store, 0..100).await;
    assert_eq!(kept, entries(4, 11..46));
}

#[tokio::test]
async fn entries_on_disk_and_in_the_cache_read_as_one_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    append(&mut open(&folder), entries(1, 1..20)).await;
    let mut store = open(&folder);
    append(&mut store, entries(2, 20..30)).await;
    let all = read(&mut store, 1..30).await;
    assert_eq!(all, [entries(1, 1..20), entries(2, 20..30)].concat());
    assert_eq!(read(&mut store, 15..25).await.len(), 10);
    assert_eq!(read(&mut store, 25..1_000).await.len(), 5);
    assert!(read(&mut store, 40..50).await.is_empty());
}

#[tokio::test]
async fn a_read_for_replication_is_bounded_in_bytes_and_never_empty() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = open(&folder);
    let large: Vec<_> = (1..6)
        .map(|index| openraft::Entry {
            log_id: log_id_from_wire(at(1, index)),
            payload: EntryPayload::Normal(LogPayload(vec![1; 1_500_000])),
        })
        .collect();
    append(&mut store, large).await;
    let mut reader = store.get_log_reader().await;
    let some = reader.limited_get_log_entries(1, 6).await.expect("readable");
    assert_eq!(some.len(), 1);
    append(&mut store, entries(1, 6..600)).await;
    let some = reader.limited_get_log_entries(6, 600).await.expect("readable");
    assert_eq!(some.len(), 256);
    assert_eq!(some.first().map(RaftEntry::index), Some(6));
}

#[tokio::test]
async fn a_log_under_another_key_is_damaged_not_empty() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    append(&mut open(&folder), entries(1, 1..3)).await;
    let other = LogStore::open(folder.path(), &KeyFile::from_bytes([6; 32]));
    assert!(matches!(other, Err(fairground_storage::StorageError::Damaged { .. })));
}
