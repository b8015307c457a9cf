//! The leader asks for an Archive step when something may leave the state.
//!
//! One step at a time, each bounded, so that bids between two steps wait for neither. It must not
//! know what leaves. Read next: `crate::history` for where it goes.

use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::ids;
use fairground_runtime::shutdown::Shutdown;
use fairground_types::command::{Actor, ClusterCommand, Command, Envelope};
use fairground_types::{CommandId, limits};

use crate::propose::Proposer;
use crate::raft::office::Office;
use crate::state::State;

/// How often the leader looks.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Watches for what may leave.
pub(crate) struct ArchiveLoop {
    pub(crate) state: Arc<State>,
    pub(crate) office: Arc<Office>,
    pub(crate) proposer: Proposer,
}

impl ArchiveLoop {
    /// Runs until `shutdown`.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = tokio::time::sleep(LOOK_PERIOD) => {}
            }
            let Some((_, now)) = self.office.now() else { continue };
            if !self.state.read(|market| market.archive_due(now)) {
                continue;
            }
            let random = format!("{:032x}", u128::from_le_bytes(ids::random_bytes::<16>()));
            let max = u32::try_from(limits::ARCHIVE_STEP_MAX).unwrap_or(u32::MAX);
            let step = self.proposer.submit(Envelope {
                id: CommandId::derive_system("archive", "", &random),
                actor: Actor::Cluster,
                command: Command::Cluster(ClusterCommand::Archive { max }),
            });
            if let Err(error) = step.await {
                tracing::debug!(%error, "nothing archived");
            }
        }
    }
}
