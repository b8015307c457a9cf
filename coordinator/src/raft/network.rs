//! Raft's calls to other members, in our own wire structs over QUIC.
//!
//! One bidirectional stream per call on the connection kept in [`Peers`]. Entries that do not fit
//! one frame are sent in part and answered as a partial success, which Raft continues from. It must
//! not put one of the consensus library's types on the wire; `fairground_storage` maps them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairground_storage::raft_types as map;
use fairground_types::MemberId;
use fairground_types::limits::FRAME_MAX;
use fairground_wire::codec::encoded_len;
use fairground_wire::message::StreamKind;
use fairground_wire::raft::{
    AppendReplyWire, AppendWire, RaftReply, RaftRequest, SnapshotWire, TransferLeaderWire,
    VoteReplyWire, VoteRequestWire,
};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::{MemberNode, TypeConfig};
use crate::peers::{LinkError, Peers};
use crate::stream::{self, StreamError};

/// Least time for a call that carries entries: a member's disk may be busy.
const APPEND_WAIT: Duration = Duration::from_secs(2);
/// Time for a snapshot, per started MiB and at least.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(10);
/// Encoded entries of one message.
const APPEND_BYTES_MAX: usize = FRAME_MAX - 64 * 1024;

/// Makes clients to other members.
#[derive(Clone)]
pub(crate) struct Network {
    peers: Arc<Peers>,
}

/// Calls one member.
pub(crate) struct Client {
    peers: Arc<Peers>,
    target: MemberId,
}

impl Network {
    pub(crate) fn new(peers: Arc<Peers>) -> Self {
        Self { peers }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &MemberNode) -> Client {
        let target = MemberId(target);
        self.peers.learn(target, &node.addr);
        Client { peers: Arc::clone(&self.peers), target }
    }
}

fn unreachable(error: &LinkError) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

fn unexpected() -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::from_string("an answer to another question"))
}

impl Client {
    async fn call(
        &self,
        request: &RaftRequest,
        wait: Duration,
    ) -> Result<RaftReply, RPCError<TypeConfig>> {
        let reply = self.peers.call(self.target, request, wait).await;
        match reply.map_err(|error| unreachable(&error))? {
            RaftReply::Unavailable(reason) => {
                Err(RPCError::Network(NetworkError::from_string(reason)))
            }
            reply => Ok(reply),
        }
    }

    async fn ask_vote(
        &self,
        rpc: VoteRequest<TypeConfig>,
        is_dry: bool,
        wait: Duration,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let wire = VoteRequestWire {
            vote: map::vote_to_wire(&rpc.vote),
            last_log_id: rpc.last_log_id.as_ref().map(map::log_id_to_wire),
            leadership_transfer: rpc.leadership_transfer,
        };
        let request = if is_dry { RaftRequest::PreVote(wire) } else { RaftRequest::Vote(wire) };
        match (self.call(&request, wait).await?, is_dry) {
            (RaftReply::Vote(reply), false) | (RaftReply::PreVote(reply), true) => {
                Ok(vote_response(&reply))
            }
            _ => Err(unexpected()),
        }
    }

    async fn send_snapshot(
        &self,
        vote: &VoteOf<TypeConfig>,
        snapshot: &SnapshotOf<TypeConfig, Bytes>,
    ) -> Result<SnapshotResponse<TypeConfig>, LinkError> {
        let member = self.target;
        let header = RaftRequest::Snapshot(SnapshotWire {
            vote: map::vote_to_wire(vote),
            meta: map::snapshot_meta_to_wire(&snapshot.meta),
            bytes: u64::try_from(snapshot.snapshot.len()).unwrap_or(u64::MAX),
            digest: *blake3::hash(&snapshot.snapshot).as_bytes(),
        });
        let (mut send, mut receive) = self.peers.open(member, StreamKind::Raft).await?;
        let spoken = async {
            stream::send(&mut send, &header).await?;
            send.write_all(&snapshot.snapshot).await?;
            // A stream that was stopped has nothing left to finish.
            let _ = send.finish();
            stream::expect::<RaftReply>(&mut receive).await
        };
        let reply = spoken.await.map_err(|source| LinkError::Stream { member, source })?;
        match reply {
            RaftReply::Snapshot(vote) => Ok(SnapshotResponse::new(map::vote_from_wire(vote))),
            _ => Err(LinkError::Stream { member, source: StreamError::Ended }),
        }
    }
}

fn vote_response(reply: &VoteReplyWire) -> VoteResponse<TypeConfig> {
    VoteResponse {
        vote: map::vote_from_wire(reply.vote),
        vote_granted: reply.vote_granted,
        last_log_id: reply.last_log_id.map(map::log_id_from_wire),
    }
}

/// The entries that fit one message, and whether that is all of them.
fn fitting(rpc: &AppendEntriesRequest<TypeConfig>) -> (AppendWire, bool) {
    let mut entries = Vec::with_capacity(rpc.entries.len());
    let mut bytes = 0_usize;
    for entry in &rpc.entries {
        let wire = map::entry_to_wire(entry.clone());
        bytes = bytes.saturating_add(encoded_len(&wire).unwrap_or(APPEND_BYTES_MAX));
        if bytes > APPEND_BYTES_MAX && !entries.is_empty() {
            break;
        }
        entries.push(wire);
    }
    let is_all = entries.len() == rpc.entries.len();
    let wire = AppendWire {
        vote: map::vote_to_wire(&rpc.vote),
        prev_log_id: rpc.prev_log_id.as_ref().map(map::log_id_to_wire),
        entries,
        leader_commit: rpc.leader_commit.as_ref().map(map::log_id_to_wire),
    };
    (wire, is_all)
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (wire, is_all) = fitting(&rpc);
        let sent = wire.entries.last().map(|entry| map::log_id_from_wire(entry.log_id));
        let wait = if wire.entries.is_empty() {
            option.hard_ttl().max(Duration::from_millis(250))
        } else {
            option.hard_ttl().max(APPEND_WAIT)
        };
        match self.call(&RaftRequest::Append(wire), wait).await? {
            RaftReply::Append(reply) => Ok(match reply {
                AppendReplyWire::Success if is_all => AppendEntriesResponse::Success,
                AppendReplyWire::Success => AppendEntriesResponse::PartialSuccess(sent),
                AppendReplyWire::PartialSuccess(upto) => {
                    AppendEntriesResponse::PartialSuccess(upto.map(map::log_id_from_wire))
                }
                AppendReplyWire::Conflict => AppendEntriesResponse::Conflict,
                AppendReplyWire::HigherVote(vote) => {
                    AppendEntriesResponse::HigherVote(map::vote_from_wire(vote))
                }
            }),
            _ => Err(unexpected()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(rpc, false, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(rpc, true, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mebibytes = u32::try_from(snapshot.snapshot.len() >> 20).unwrap_or(u32::MAX);
        let wait = option.hard_ttl().max(SNAPSHOT_WAIT.saturating_mul(mebibytes.saturating_add(1)));
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = tokio::time::timeout(wait, self.send_snapshot(&vote, &snapshot)) => match sent {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(StreamingError::Unreachable(Unreachable::new(&error))),
                Err(_) => {
                    self.peers.forget(self.target);
                    let late = LinkError::Timeout(self.target);
                    Err(StreamingError::Unreachable(Unreachable::new(&late)))
                }
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let wire = TransferLeaderWire {
            from_leader: map::vote_to_wire(req.from_leader()),
            to_node: *req.to_node_id(),
            last_log_id: req.last_log_id().map(map::log_id_to_wire),
        };
        let wait = option.hard_ttl().max(APPEND_WAIT);
        match self.call(&RaftRequest::TransferLeader(wire), wait).await? {
            RaftReply::TransferLeader(true) => Ok(Ok(())),
            RaftReply::TransferLeader(false) => {
                Ok(Err(openraft::raft::TransferLeaderError::LogNotFlushed {
                    expected: req.last_log_id().copied(),
                    actual: None,
                }))
            }
            _ => Err(unexpected()),
        }
    }
}
