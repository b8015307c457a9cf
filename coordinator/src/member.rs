//! What every part of a running member shares.
//!
//! One value behind an `Arc`, made once at the start (`daemon.rs`). It holds handles, no logic but
//! the few lines that put them together.

use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_runtime::health::Health;
use fairground_runtime::ids;
use fairground_types::command::{Actor, Command, Envelope};
use fairground_types::verdict::Judged;
use fairground_types::{ClusterId, CommandId, LogIndex, MemberId, Timestamp};
use tokio::time::Instant;

use crate::auth::Auth;
use crate::blobs::Blobs;
use crate::edge::directory::EdgeDirectory;
use crate::edge::streams::StreamCounts;
use crate::effects::Payments;
use crate::history::History;
use crate::identity::Secrets;
use crate::join::Admission;
use crate::peers::Peers;
use crate::progress::Reports;
use crate::propose::{ProposeError, Proposer};
use crate::raft::office::Office;
use crate::raft::{self, NotLinearizable, Raft};
use crate::social::Social;
use crate::state::State;

/// How long a read waits for a quorum and for this member to be up to date.
const READ_WAIT: Duration = Duration::from_secs(2);

/// A running member.
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) cluster: ClusterId,
    pub(crate) clock: Clock,
    pub(crate) secrets: Secrets,
    pub(crate) state: Arc<State>,
    pub(crate) raft: Raft,
    pub(crate) peers: Arc<Peers>,
    pub(crate) office: Arc<Office>,
    pub(crate) proposer: Proposer,
    pub(crate) edges: Arc<EdgeDirectory>,
    pub(crate) streams: StreamCounts,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) history: History,
    pub(crate) auth: Auth,
    pub(crate) social: Social,
    pub(crate) admission: Admission,
    pub(crate) health: Health,
    pub(crate) payments: Payments,
    /// How far jobs are, as told while this member led.
    pub(crate) reports: Reports,
    /// Base URL of the app that people use, for links in mails.
    pub(crate) app_url: Option<String>,
}

impl Member {
    /// The time that people are told and tokens are dated by: this machine's, moved as a sandbox
    /// was.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().plus(self.state.clock_offset())
    }

    /// An instant of the market as the world outside counts it, which no sandbox moves.
    #[cfg(feature = "stripe")]
    pub(crate) fn outside(&self, at: Timestamp) -> Timestamp {
        at.minus(self.state.clock_offset())
    }

    /// An instant that the world outside names, as the market counts it.
    #[cfg(feature = "stripe")]
    pub(crate) fn inside(&self, at: Timestamp) -> Timestamp {
        at.plus(self.state.clock_offset())
    }

    /// Bits of a new id.
    pub(crate) fn new_bits(&self) -> u128 {
        ids::uuid_v7_bits(self.clock.now())
    }

    /// An id for a command that nobody will send twice.
    pub(crate) fn new_command(&self, operation: &str) -> CommandId {
        let random = format!("{:032x}", u128::from_le_bytes(ids::random_bytes::<16>()));
        CommandId::derive_system(operation, &self.id.to_string(), &random)
    }

    /// Puts a command of the cluster itself into the log.
    pub(crate) async fn command(
        &self,
        id: CommandId,
        command: Command,
    ) -> Result<Judged, ProposeError> {
        self.proposer.submit(Envelope { id, actor: Actor::Cluster, command }).await
    }

    /// Waits until this member has applied everything that was committed when it was called.
    pub(crate) async fn linearize(&self) -> Result<(), NotLinearizable> {
        let until = Instant::now() + READ_WAIT;
        let index = raft::read_position(&self.raft, &self.peers, READ_WAIT).await?;
        if self.state.wait_for(LogIndex(index), until).await {
            Ok(())
        } else {
            Err(NotLinearizable)
        }
    }

    /// The member that leads, as far as this one knows.
    pub(crate) fn leader(&self) -> Option<MemberId> {
        match self.raft.as_leader() {
            Ok(_) => Some(self.id),
            Err(forward) => forward.leader_id.map(MemberId),
        }
    }

    /// Whether this member leads.
    pub(crate) fn leads(&self) -> bool {
        self.raft.as_leader().is_ok()
    }
}
