//! A member in the world of a simulator: the parts of `daemon.rs` over disks, wires and clocks that
//! are handed in.
//!
//! Compiled with the feature `sim` only. Everything that decides anything is the daemon's own; what is
//! left out is what needs the world outside: HTTP, certificates, mail and payments. It must not know
//! what the simulator does to it. Read next: `tests/sim`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fairground_market::{Applied, Market};
use fairground_runtime::clock::Clock;
use fairground_runtime::pki::Ca;
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_seam::link::Connection;
use fairground_seam::link::memory::{self, Port};
use fairground_storage::blob::BlobStore;
use fairground_storage::history::History as Store;
use fairground_storage::raft_log::LogStore;
use fairground_storage::raft_types::vote_to_wire;
use fairground_storage::snapshot::SnapshotStore;
use fairground_types::command::{Entry, Envelope};
use fairground_types::verdict::Judged;
use fairground_types::{ClusterId, Digest, LogIndex, MemberId, Timestamp};
use fairground_wire::raft::VoteWire;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::storage::RaftLogStorage as _;
use openraft::{ChangeMembers, RaftLogReader as _};
use tokio::sync::mpsc;

use crate::daemon::{self, Parts};
use crate::error::Error;
use crate::history::History;
use crate::identity::{Secrets, SharedSecrets};
use crate::member::Member;
use crate::options::Options;
use crate::peers::{Peers, Way};
use crate::propose::ProposeError;
use crate::quic;
use crate::state::State;

/// How long the loops of a member that died may take to notice.
const DEATH_WAIT: Duration = Duration::from_millis(1);
const STOP_WAIT: Duration = Duration::from_secs(5);
const SHUTDOWN_WAIT: Duration = Duration::from_secs(20);

/// An entry right after a member applied it.
pub struct Seen<'a> {
    /// Its place.
    pub index: LogIndex,
    /// What was in it.
    pub entry: &'a Entry,
    /// What it did.
    pub applied: &'a Applied,
    /// The state after it.
    pub market: &'a Market,
    /// The running digest after it.
    pub digest: Option<Digest>,
}

/// Looks at entries as a member applies them.
pub type Observer = Box<dyn Fn(&Seen<'_>) + Send + Sync>;

/// What members of one cluster share.
pub struct ClusterSecrets {
    shared: SharedSecrets,
    ca_pem: String,
    ca_key: String,
}

impl ClusterSecrets {
    /// Secrets of a new cluster.
    ///
    /// # Errors
    /// When a key cannot be made.
    pub fn generate(cluster: ClusterId, now: Timestamp) -> Result<Self, Error> {
        let ca = Ca::create(cluster, now)?;
        let ca_key = ca.expose_key_pem();
        let shared = Secrets::generate()?.share(ca_key.clone());
        Ok(Self { shared, ca_pem: ca.certificate_pem(), ca_key })
    }
}

/// What a member is made of.
pub struct Setup<'a> {
    /// Its number.
    pub id: MemberId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its clocks.
    pub clock: Clock,
    /// Where it dials from.
    pub port: Port,
    /// Where connections to it arrive.
    pub accept: mpsc::Receiver<memory::Connection>,
    /// Other members, and how they are dialled.
    pub others: BTreeMap<MemberId, String>,
    /// Its Raft log.
    pub log: LogStore,
    /// Its snapshots.
    pub snapshots: SnapshotStore,
    /// What has left its state.
    pub history: Store,
    /// A folder for blobs.
    pub folder: PathBuf,
    /// Settings.
    pub options: &'a Options,
    /// Secrets of the cluster.
    pub secrets: &'a ClusterSecrets,
    /// Looks at what it applies.
    pub observer: Observer,
}

/// A member that runs.
pub struct RunningMember {
    member: Arc<Member>,
    first_vote: Option<VoteWire>,
    tasks: Tasks,
    closing: Shutdown,
}

impl RunningMember {
    /// Starts a member.
    ///
    /// # Errors
    /// When its stores cannot be read.
    pub async fn start(mut setup: Setup<'_>) -> Result<Self, Error> {
        let mut log = setup.log.get_log_reader().await;
        let first_vote = log.read_vote().await.ok().flatten().as_ref().map(vote_to_wire);
        let peers = Arc::new(Peers::new(Way::Memory(setup.port), setup.cluster));
        for (member, address) in &setup.others {
            peers.learn(*member, address);
        }
        let parts = Parts {
            options: setup.options,
            id: setup.id,
            cluster: setup.cluster,
            clock: setup.clock,
            secrets: setup.secrets.shared.secrets()?,
            ca: Ca::from_pem(&setup.secrets.ca_pem, &setup.secrets.ca_key)?,
            log: setup.log,
            snapshots: setup.snapshots,
            history: History::new(setup.history),
            blobs: Arc::new(BlobStore::open(&setup.folder)?),
            state: Arc::new(State::observed(setup.observer)),
            peers,
        };
        let started = Box::pin(daemon::assemble(parts)).await?;
        let closing = Shutdown::new();
        let tasks = Tasks::new(Shutdown::new());
        let member = started.spawn_loops(&tasks, &closing);
        let accepting = accept(Arc::clone(&member), setup.accept, tasks.clone());
        tasks.spawn("accept", accepting);
        Ok(Self { member, first_vote, tasks, closing })
    }

    /// Begins the cluster with this member.
    ///
    /// # Errors
    /// When it does not begin in time.
    pub async fn begin(&self, options: &Options, address: &str, rules: u32) -> Result<(), Error> {
        Box::pin(daemon::begin(&self.member, options, address, rules)).await
    }

    /// Asks for an entry that nobody needs.
    pub fn nudge(&self) {
        self.member.proposer.tick();
    }

    /// Whether it leads, as far as it knows.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.member.leads()
    }

    /// Who leads, as far as it knows.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        self.member.leader()
    }

    /// Its term, and coordinator time if it has taken office.
    #[must_use]
    pub fn office(&self) -> Option<(u64, Timestamp)> {
        self.member.office.now()
    }

    /// Newest Raft entry applied, newest market entry and its log time.
    #[must_use]
    pub fn position(&self) -> (u64, LogIndex, Timestamp) {
        let position = self.member.state.position();
        (position.raft, position.index, position.at)
    }

    /// The running digest after an entry.
    #[must_use]
    pub fn digest_at(&self, index: LogIndex) -> Option<Digest> {
        self.member.state.digest_at(index)
    }

    /// Looks at its state.
    pub fn read<R>(&self, look: impl FnOnce(&Market) -> R) -> R {
        self.member.state.read(look)
    }

    /// Whether Raft still runs: a disk that fails ends it.
    #[must_use]
    pub fn runs(&self) -> bool {
        daemon::raft_runs(&self.member).is_ok()
    }

    /// The vote that it has saved, once it has saved one since it started: others may have been told.
    #[must_use]
    pub fn saved_vote(&self) -> Option<VoteWire> {
        self.member.raft.watch_vote_progress().get().as_ref().map(vote_to_wire)
    }

    /// The vote that its log held when it started.
    #[must_use]
    pub const fn first_vote(&self) -> Option<VoteWire> {
        self.first_vote
    }

    /// Who votes, as it knows.
    #[must_use]
    pub fn voters(&self) -> Vec<u64> {
        self.member.raft.voter_ids().collect()
    }

    /// Its term, newest entry and last snapshot, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let metrics = self.member.raft.metrics();
        let now = metrics.borrow_watched();
        format!(
            "term {} state {:?} leader {:?} log {:?} applied {:?} snapshot {:?}",
            now.current_term,
            now.state,
            now.current_leader,
            now.last_log_index,
            now.last_applied.map(|id| id.index),
            now.snapshot.map(|id| id.index),
        )
    }

    /// Puts a command into the log.
    ///
    /// # Errors
    /// When there is no verdict; it may come yet.
    pub async fn submit(&self, envelope: Envelope) -> Result<Judged, ProposeError> {
        self.member.proposer.submit(envelope).await
    }

    /// Takes a vote away; the membership loop gives it back.
    ///
    /// # Errors
    /// When Raft refuses.
    pub async fn remove_voter(&self, voter: MemberId) -> Result<(), String> {
        let change = ChangeMembers::RemoveVoters([voter.0].into());
        let changing = self.member.raft.change_membership(change, true);
        let changed = tokio::time::timeout(STOP_WAIT, changing).await;
        changed.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Takes a snapshot now.
    pub async fn snapshot(&self) {
        if let Err(error) = self.member.raft.trigger().snapshot().await {
            tracing::debug!(%error, "no snapshot");
        }
    }

    /// Hands leadership over, if it has it.
    pub async fn hand_over(&self) {
        daemon::hand_over(&self.member).await;
    }

    /// Stops it in order.
    pub async fn stop(&self) {
        daemon::hand_over(&self.member).await;
        self.closing.trigger();
        self.tasks.join(DEATH_WAIT).await;
        end_raft(&self.member).await;
    }

    /// Ends it as a power cut does; its disks and wires are dead before this is called.
    pub async fn die(&self) {
        self.tasks.join(Duration::ZERO).await;
        end_raft(&self.member).await;
    }
}

async fn end_raft(member: &Arc<Member>) {
    let ended = tokio::time::timeout(SHUTDOWN_WAIT, member.raft.shutdown()).await;
    if ended.is_err() {
        tracing::debug!(member = %member.id, "raft has not ended");
    }
}

async fn accept(
    member: Arc<Member>,
    mut incoming: mpsc::Receiver<memory::Connection>,
    tasks: Tasks,
) {
    while let Some(connection) = incoming.recv().await {
        let member = Arc::clone(&member);
        tasks.spawn_one("connection", async move {
            let connection = Connection::Memory(connection);
            if let Err(reason) = quic::serve_peer(&member, &connection).await {
                connection.close(quic::CLOSE_REFUSED, reason.as_bytes());
            }
        });
    }
}
