//! Consensus: everything that touches the Raft library on this side.
//!
//! ```text
//!  network     calls to other members          serve        their calls here
//!  state_machine  committed entries -> market  membership   who votes
//!  clock, office  what log time is             deadline     when time alone makes an entry
//! ```
//! The library's types stay in these files, `propose.rs` and storage. Read next: `state_machine.rs`.

use std::sync::Arc;

use fairground_types::MemberId;
use fairground_wire::raft::{RaftReply, RaftRequest};
use openraft::{Config, SnapshotPolicy};

pub(crate) use fairground_storage::raft_types::{ApplyReply, LogPayload, MemberNode, TypeConfig};

use crate::error::Error;
use crate::options::RaftOptions;

pub(crate) mod archive;
pub(crate) mod clock;
pub(crate) mod deadline;
pub(crate) mod membership;
pub(crate) mod network;
pub(crate) mod office;
pub(crate) mod rules;
pub(crate) mod serve;
mod signatures;
pub(crate) mod state_machine;

/// Raft with our types and our state machine.
pub(crate) type Raft = openraft::Raft<TypeConfig, state_machine::StateMachine>;

/// Raft's settings from ours.
pub(crate) fn config(options: &RaftOptions, cluster: &str) -> Result<Arc<Config>, Error> {
    let config = Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: options.heartbeat.millis().as_millis(),
        election_timeout_min: options.election_min.millis().as_millis(),
        election_timeout_max: options.election_max.millis().as_millis(),
        install_snapshot_timeout: 60_000,
        max_payload_entries: 256,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_entries),
        max_in_snapshot_log_to_keep: options.snapshot_entries,
        enable_pre_vote: Some(true),
        // A restarted leader must win a new term: an office clock lives as long as its term, and
        // edges drop what a clock of the same term contradicts.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| Error::RaftConfig(error.to_string()))
}

/// Why a read cannot be answered with the newest state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("confirm with a quorum that the state is the newest")]
pub(crate) struct NotLinearizable;

/// Asks the leader how far this member must be; also right on the leader itself.
pub(crate) async fn read_position(
    raft: &Raft,
    peers: &crate::peers::Peers,
    wait: std::time::Duration,
) -> Result<u64, NotLinearizable> {
    match raft.as_leader() {
        Ok(_) => {
            let asking = raft.get_read_log_id(openraft::ReadPolicy::ReadIndex);
            let answered = tokio::time::timeout(wait, asking).await;
            let (read, _) = answered.map_err(|_| NotLinearizable)?.map_err(|_| NotLinearizable)?;
            Ok(read.index())
        }
        Err(forward) => {
            let leader = MemberId(forward.leader_id.ok_or(NotLinearizable)?);
            let reply = peers.call(leader, &RaftRequest::ReadIndex, wait).await;
            match reply {
                Ok(RaftReply::ReadIndex(Some(read))) => Ok(read.index),
                Ok(_) | Err(_) => Err(NotLinearizable),
            }
        }
    }
}
