//! Raft on the wire and on disk, in our own plain structs.
//!
//! The consensus library's types never reach a byte that leaves the process: the library changes
//! between releases, these do not. `fairground-storage` maps them both ways.

use fairground_types::command::LogCommand;
use fairground_types::id::{Digest, LogIndex};
use fairground_types::time::Timestamp;
use wincode::{SchemaRead, SchemaWrite};

/// Position of an entry. At most one leader per term, so term and index name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub struct LogIdWire {
    /// Term of the leader that proposed it.
    pub term: u64,
    /// Index.
    pub index: u64,
}

/// A vote: for whom, in which term, and whether a quorum has granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct VoteWire {
    /// Term.
    pub term: u64,
    /// Candidate or leader.
    pub node: u64,
    /// Granted by a quorum.
    pub committed: bool,
}

/// Who takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct MembershipWire {
    /// One set of voters, or two while it changes.
    pub configs: Vec<Vec<u64>>,
    /// Every member, voter or learner, with its address.
    pub nodes: Vec<(u64, String)>,
}

/// A membership and the entry that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct StoredMembershipWire {
    /// The entry; absent before the first.
    pub log_id: Option<LogIdWire>,
    /// The membership.
    pub membership: MembershipWire,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum LogPayloadWire {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded [`fairground_types::Entry`].
    Normal(Vec<u8>),
    /// A new membership.
    Membership(MembershipWire),
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct LogEntryWire {
    /// Its position.
    pub log_id: LogIdWire,
    /// What it carries.
    pub payload: LogPayloadWire,
}

/// AppendEntries.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct AppendWire {
    /// The leader.
    pub vote: VoteWire,
    /// Entry before the first one here.
    pub prev_log_id: Option<LogIdWire>,
    /// Entries, consecutive.
    pub entries: Vec<LogEntryWire>,
    /// How far the leader has committed.
    pub leader_commit: Option<LogIdWire>,
}

/// Answer to [`AppendWire`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum AppendReplyWire {
    /// All are stored.
    Success,
    /// Stored up to here.
    PartialSuccess(Option<LogIdWire>),
    /// The entry before the first is not there, or another.
    Conflict,
    /// A higher vote was seen.
    HigherVote(VoteWire),
}

/// RequestVote, and the dry run before it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct VoteRequestWire {
    /// The candidate.
    pub vote: VoteWire,
    /// Its last entry.
    pub last_log_id: Option<LogIdWire>,
    /// The leader itself asked for this election.
    pub leadership_transfer: bool,
}

/// Answer to [`VoteRequestWire`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct VoteReplyWire {
    /// The vote that the answering member holds.
    pub vote: VoteWire,
    /// Whether it was granted.
    pub vote_granted: bool,
    /// Last entry of the answering member.
    pub last_log_id: Option<LogIdWire>,
}

/// What a snapshot covers; its bytes follow on the stream, [`SnapshotWire::bytes`] of them.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SnapshotWire {
    /// The leader.
    pub vote: VoteWire,
    /// What is in it.
    pub meta: SnapshotMetaWire,
    /// How many bytes follow.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub digest: [u8; 32],
}

/// What a snapshot covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SnapshotMetaWire {
    /// Last entry in it.
    pub last_log_id: Option<LogIdWire>,
    /// Membership at that entry.
    pub last_membership: StoredMembershipWire,
}

/// TransferLeader.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct TransferLeaderWire {
    /// The leader that gives up.
    pub from_leader: VoteWire,
    /// The member that shall lead.
    pub to_node: u64,
    /// What that member must have stored.
    pub last_log_id: Option<LogIdWire>,
}

/// First frame of a stream of kind [`crate::message::StreamKind::Raft`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum RaftRequest {
    /// Store entries, or a heartbeat.
    Append(AppendWire),
    /// Vote for me.
    Vote(VoteRequestWire),
    /// Would you vote for me?
    PreVote(VoteRequestWire),
    /// A snapshot follows.
    Snapshot(SnapshotWire),
    /// Lead, please.
    TransferLeader(TransferLeaderWire),
    /// A follower passes commands to the leader.
    Propose(Vec<LogCommand>),
    /// What does your wall clock say?
    Clock,
    /// A member asks the leader how far it must be before it may answer a read.
    ReadIndex,
    /// How far are you, and what is the digest of your state there, or at the index named?
    Status(Option<LogIndex>),
}

/// Answer on a stream of kind [`crate::message::StreamKind::Raft`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum RaftReply {
    /// To [`RaftRequest::Append`].
    Append(AppendReplyWire),
    /// To [`RaftRequest::Vote`].
    Vote(VoteReplyWire),
    /// To [`RaftRequest::PreVote`].
    PreVote(VoteReplyWire),
    /// To [`RaftRequest::Snapshot`]: the vote that the member holds.
    Snapshot(VoteWire),
    /// To [`RaftRequest::TransferLeader`]: whether it will.
    TransferLeader(bool),
    /// To [`RaftRequest::Propose`]: one answer per command, or none when this is not the leader.
    Proposed(Vec<crate::message::CommandReply>),
    /// To [`RaftRequest::Clock`].
    Clock(Timestamp),
    /// To [`RaftRequest::ReadIndex`].
    ReadIndex(Option<LogIdWire>),
    /// This member is not the leader; perhaps that one is.
    NotLeader(Option<u64>),
    /// It broke, or is stopping.
    Unavailable(String),
    /// To [`RaftRequest::Status`].
    Status(StatusWire),
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct StatusWire {
    /// Newest entry that it has applied.
    pub applied: LogIndex,
    /// Its log time.
    pub at: Timestamp,
    /// Entry of the digest.
    pub digest_index: LogIndex,
    /// Running digest there; absent when it is not remembered any more.
    pub digest: Option<Digest>,
}

crate::codec::version_one!(
    LogIdWire,
    VoteWire,
    MembershipWire,
    StoredMembershipWire,
    LogPayloadWire,
    LogEntryWire,
    SnapshotMetaWire,
    RaftRequest,
    RaftReply
);
