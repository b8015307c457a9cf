//! The types Raft is run with, and how they become our own plain structs and back.
//!
//! Standard Raft terms: at most one leader per term, so a term names a leader's clock
//! (`docs/src/internals/bids.md`). It must not know what a payload holds.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use fairground_wire::raft::{
    LogEntryWire, LogIdWire, LogPayloadWire, MembershipWire, SnapshotMetaWire,
    StoredMembershipWire, VoteWire,
};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use openraft::impls::leader_id_std::LeaderId;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, LogId, Membership, SnapshotMeta, StoredMembership, Vote};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::StorageError;

/// An encoded [`fairground_types::Entry`], opaque to Raft and storage.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPayload(pub Vec<u8>);

impl fmt::Debug for LogPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogPayload({} bytes)", self.0.len())
    }
}

impl fmt::Display for LogPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A member's address, `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberNode {
    /// Where other daemons reach it.
    pub addr: String,
}

/// What the state machine answers to whoever proposed the entry, in this process only: any value
/// of the coordinator's. It never becomes bytes.
#[derive(Clone, Default)]
pub struct ApplyReply(Option<Arc<dyn Any + Send + Sync>>);

impl ApplyReply {
    /// The answer to entries that nobody waits for.
    pub const NONE: Self = Self(None);

    /// Wraps an answer.
    pub fn new<T: Any + Send + Sync>(answer: T) -> Self {
        Self(Some(Arc::new(answer)))
    }

    /// The answer, when it is of this type.
    #[must_use]
    pub fn downcast<T: Any + Send + Sync>(self) -> Option<Arc<T>> {
        self.0.and_then(|answer| answer.downcast().ok())
    }
}

impl fmt::Debug for ApplyReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ApplyReply(..)" } else { "ApplyReply(none)" })
    }
}

impl Serialize for ApplyReply {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("an apply reply stays in its process"))
    }
}

impl<'de> Deserialize<'de> for ApplyReply {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("an apply reply stays in its process"))
    }
}

#[cfg(feature = "sim")]
type Runtime = crate::raft_runtime::SteadyRuntime;
#[cfg(not(feature = "sim"))]
type Runtime = openraft::impls::TokioRuntime;

openraft::declare_raft_types!(
    /// How Raft is configured here.
    pub TypeConfig:
        D = LogPayload,
        R = ApplyReply,
        NodeId = u64,
        Node = MemberNode,
        LeaderId = LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

/// Position of an entry, as bytes.
#[must_use]
pub fn log_id_to_wire(id: &LogIdOf<TypeConfig>) -> LogIdWire {
    LogIdWire { term: **id.committed_leader_id(), index: id.index }
}

/// Position of an entry, from bytes.
#[must_use]
pub fn log_id_from_wire(id: LogIdWire) -> LogIdOf<TypeConfig> {
    // The committed form of a leader id keeps the term alone, so any member's number makes it.
    LogId::new(LeaderId::<u64, u64>::new(id.term, 0).to_committed(), id.index)
}

/// A vote, as bytes.
#[must_use]
pub fn vote_to_wire(vote: &VoteOf<TypeConfig>) -> VoteWire {
    let leader = vote.leader_id();
    VoteWire { term: leader.term, node: leader.voted_for, committed: vote.is_committed() }
}

/// A vote, from bytes.
#[must_use]
pub fn vote_from_wire(vote: VoteWire) -> VoteOf<TypeConfig> {
    Vote { leader_id: LeaderId::new(vote.term, vote.node), committed: vote.committed }
}

/// A membership, as bytes.
#[must_use]
pub fn membership_to_wire(membership: &Membership<u64, MemberNode>) -> MembershipWire {
    MembershipWire {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| voters.iter().copied().collect())
            .collect(),
        nodes: membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
    }
}

/// A membership, from bytes.
///
/// # Errors
/// When a set of voters is empty, or a voter has no address.
pub fn membership_from_wire(
    membership: MembershipWire,
) -> Result<Membership<u64, MemberNode>, StorageError> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.into_iter().map(|voters| voters.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, MemberNode> =
        membership.nodes.into_iter().map(|(id, addr)| (id, MemberNode { addr })).collect();
    Membership::new(configs, nodes).map_err(|_| StorageError::Malformed("membership"))
}

/// A membership and its entry, as bytes.
#[must_use]
pub fn stored_membership_to_wire(stored: &StoredMembershipOf<TypeConfig>) -> StoredMembershipWire {
    StoredMembershipWire {
        log_id: stored.log_id().as_ref().map(log_id_to_wire),
        membership: membership_to_wire(stored.membership()),
    }
}

/// A membership and its entry, from bytes.
///
/// # Errors
/// As [`membership_from_wire`].
pub fn stored_membership_from_wire(
    stored: StoredMembershipWire,
) -> Result<StoredMembershipOf<TypeConfig>, StorageError> {
    let membership = membership_from_wire(stored.membership)?;
    Ok(StoredMembership::new(stored.log_id.map(log_id_from_wire), membership))
}

/// What a snapshot covers, as bytes.
#[must_use]
pub fn snapshot_meta_to_wire(meta: &SnapshotMetaOf<TypeConfig>) -> SnapshotMetaWire {
    SnapshotMetaWire {
        last_log_id: meta.last_log_id.as_ref().map(log_id_to_wire),
        last_membership: stored_membership_to_wire(&meta.last_membership),
    }
}

/// What a snapshot covers, from bytes.
///
/// # Errors
/// As [`membership_from_wire`].
pub fn snapshot_meta_from_wire(
    meta: SnapshotMetaWire,
) -> Result<SnapshotMetaOf<TypeConfig>, StorageError> {
    Ok(SnapshotMeta {
        last_log_id: meta.last_log_id.map(log_id_from_wire),
        last_membership: stored_membership_from_wire(meta.last_membership)?,
    })
}

/// An entry, as bytes.
#[must_use]
pub fn entry_to_wire(entry: EntryOf<TypeConfig>) -> LogEntryWire {
    let payload = match entry.payload {
        EntryPayload::Blank => LogPayloadWire::Blank,
        EntryPayload::Normal(payload) => LogPayloadWire::Normal(payload.0),
        EntryPayload::Membership(membership) => {
            LogPayloadWire::Membership(membership_to_wire(&membership))
        }
    };
    LogEntryWire { log_id: log_id_to_wire(&entry.log_id), payload }
}

/// An entry, from bytes.
///
/// # Errors
/// As [`membership_from_wire`].
pub fn entry_from_wire(entry: LogEntryWire) -> Result<EntryOf<TypeConfig>, StorageError> {
    let payload = match entry.payload {
        LogPayloadWire::Blank => EntryPayload::Blank,
        LogPayloadWire::Normal(payload) => EntryPayload::Normal(LogPayload(payload)),
        LogPayloadWire::Membership(membership) => {
            EntryPayload::Membership(membership_from_wire(membership)?)
        }
    };
    Ok(openraft::Entry { log_id: log_id_from_wire(entry.log_id), payload })
}
