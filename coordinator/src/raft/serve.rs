//! Answers other members: Raft's own calls, passed-on commands, clocks, read positions, status.
//!
//! The peer is a member by its certificate (`quic.rs` has checked). One request, one answer. It must
//! not answer anything that an edge or a client may ask.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairground_seam::link::{RecvStream, SendStream};
use fairground_storage::raft_types as map;
use fairground_types::MemberId;
use fairground_types::limits::FRAME_MAX;
use fairground_wire::raft::{
    AppendReplyWire, AppendWire, RaftReply, RaftRequest, SnapshotWire, StatusWire,
    TransferLeaderWire, VoteReplyWire, VoteRequestWire,
};
use openraft::ReadPolicy;
use openraft::alias::SnapshotOf;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};

use super::TypeConfig;
use crate::member::Member;
use crate::stream::{self, StreamError};

/// Bytes of a snapshot at most: four thousand frames.
const SNAPSHOT_BYTES_MAX: u64 = 4_096 * FRAME_MAX as u64;
/// How long a leader may take to confirm that it leads.
const READ_INDEX_WAIT: Duration = Duration::from_secs(2);

/// Serves one stream of a member.
pub(crate) async fn serve(
    member: &Arc<Member>,
    from: MemberId,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), StreamError> {
    let request: RaftRequest = stream::expect(&mut receive).await?;
    let reply = match request {
        RaftRequest::Append(wire) => append(member, wire).await,
        RaftRequest::Vote(wire) => vote(member, &wire, false).await,
        RaftRequest::PreVote(wire) => vote(member, &wire, true).await,
        RaftRequest::Snapshot(wire) => install(member, &wire, &mut receive).await?,
        RaftRequest::TransferLeader(wire) => transfer(member, &wire).await,
        RaftRequest::Propose(commands) => {
            if member.raft.as_leader().is_ok() {
                RaftReply::Proposed(member.proposer.submit_all(commands).await)
            } else {
                RaftReply::NotLeader(member.raft.current_leader().await)
            }
        }
        RaftRequest::Clock => RaftReply::Clock(member.clock.now()),
        RaftRequest::ReadIndex => read_index(member).await,
        RaftRequest::Status(index) => RaftReply::Status(status(member, index)),
    };
    tracing::trace!(%from, "member answered");
    stream::send(&mut send, &reply).await?;
    // A peer that is gone needs no end of stream.
    let _ = send.finish();
    Ok(())
}

fn broken(error: &dyn std::error::Error) -> RaftReply {
    RaftReply::Unavailable(error.to_string())
}

async fn append(member: &Member, wire: AppendWire) -> RaftReply {
    let entries: Result<Vec<_>, _> = wire.entries.into_iter().map(map::entry_from_wire).collect();
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => return broken(&error),
    };
    let request = AppendEntriesRequest::<TypeConfig> {
        vote: map::vote_from_wire(wire.vote),
        prev_log_id: wire.prev_log_id.map(map::log_id_from_wire),
        entries,
        leader_commit: wire.leader_commit.map(map::log_id_from_wire),
    };
    match member.raft.append_entries(request).await {
        Ok(AppendEntriesResponse::Success) => RaftReply::Append(AppendReplyWire::Success),
        Ok(AppendEntriesResponse::PartialSuccess(upto)) => RaftReply::Append(
            AppendReplyWire::PartialSuccess(upto.as_ref().map(map::log_id_to_wire)),
        ),
        Ok(AppendEntriesResponse::Conflict) => RaftReply::Append(AppendReplyWire::Conflict),
        Ok(AppendEntriesResponse::HigherVote(vote)) => {
            RaftReply::Append(AppendReplyWire::HigherVote(map::vote_to_wire(&vote)))
        }
        Err(error) => broken(&error),
    }
}

async fn vote(member: &Member, wire: &VoteRequestWire, is_dry: bool) -> RaftReply {
    let request = VoteRequest::<TypeConfig> {
        vote: map::vote_from_wire(wire.vote),
        last_log_id: wire.last_log_id.map(map::log_id_from_wire),
        leadership_transfer: wire.leadership_transfer,
    };
    let answered =
        if is_dry { member.raft.pre_vote(request).await } else { member.raft.vote(request).await };
    match answered {
        Ok(VoteResponse { vote, vote_granted, last_log_id }) => {
            let reply = VoteReplyWire {
                vote: map::vote_to_wire(&vote),
                vote_granted,
                last_log_id: last_log_id.as_ref().map(map::log_id_to_wire),
            };
            if is_dry { RaftReply::PreVote(reply) } else { RaftReply::Vote(reply) }
        }
        Err(error) => broken(&error),
    }
}

async fn install(
    member: &Member,
    wire: &SnapshotWire,
    receive: &mut RecvStream,
) -> Result<RaftReply, StreamError> {
    if wire.bytes > SNAPSHOT_BYTES_MAX {
        return Ok(RaftReply::Unavailable("the snapshot is too large".to_owned()));
    }
    let mut bytes = Vec::new();
    let mut left = wire.bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(FRAME_MAX);
        let chunk = receive.read_chunk(part, true).await;
        let chunk =
            chunk.map_err(|error| StreamError::Read(quinn::ReadExactError::ReadError(error)))?;
        let Some(chunk) = chunk else { return Err(StreamError::Ended) };
        left = left.saturating_sub(u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX));
        bytes.extend_from_slice(&chunk.bytes);
    }
    if *blake3::hash(&bytes).as_bytes() != wire.digest {
        return Ok(RaftReply::Unavailable("the snapshot was damaged on its way".to_owned()));
    }
    let meta = match map::snapshot_meta_from_wire(wire.meta.clone()) {
        Ok(meta) => meta,
        Err(error) => return Ok(broken(&error)),
    };
    let snapshot = SnapshotOf::<TypeConfig, Bytes> { meta, snapshot: Bytes::from(bytes) };
    let vote = map::vote_from_wire(wire.vote);
    Ok(match member.raft.install_full_snapshot(vote, snapshot).await {
        Ok(response) => RaftReply::Snapshot(map::vote_to_wire(&response.vote)),
        Err(error) => broken(&error),
    })
}

async fn transfer(member: &Member, wire: &TransferLeaderWire) -> RaftReply {
    let request = TransferLeaderRequest::<TypeConfig>::new(
        map::vote_from_wire(wire.from_leader),
        wire.to_node,
        wire.last_log_id.map(map::log_id_from_wire),
    );
    match member.raft.handle_transfer_leader(request).await {
        Ok(outcome) => RaftReply::TransferLeader(outcome.is_ok()),
        Err(error) => broken(&error),
    }
}

async fn read_index(member: &Member) -> RaftReply {
    let asking = member.raft.get_read_log_id(ReadPolicy::ReadIndex);
    match tokio::time::timeout(READ_INDEX_WAIT, asking).await {
        Ok(Ok((read, _))) => RaftReply::ReadIndex(Some(map::log_id_to_wire(read.log_id()))),
        Ok(Err(_)) => RaftReply::NotLeader(member.raft.current_leader().await),
        Err(_) => RaftReply::Unavailable("no quorum".to_owned()),
    }
}

/// How far this member is.
pub(crate) fn status(member: &Member, index: Option<fairground_types::LogIndex>) -> StatusWire {
    let position = member.state.position();
    let newest = member.state.digest();
    let digest_index = index.or_else(|| newest.map(|(index, _)| index)).unwrap_or_default();
    StatusWire {
        applied: fairground_types::LogIndex(position.raft),
        at: position.at,
        digest_index,
        digest: member.state.digest_at(digest_index),
    }
}
