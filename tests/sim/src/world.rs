//! A world: members and edges on simulated machines, joined by simulated wires.
//!
//! ```text
//!  machine = clocks + disks + a process on the network; what runs on it comes and goes
//!  member  Raft, log, snapshots, proposer, office, sessions     of the coordinator
//!  edge    journal, intake, uplink, beats, feed                 of the node
//! ```
//! Starting, killing and asking is here; when that is done is `nemesis.rs`'s, what people do
//! `people.rs`'s. A start that fails after a crash is a finding.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_coordinator::sim::{self as member_sim, ClusterSecrets, RunningMember};
use fairground_coordinator::{Options, RaftOptions};
use fairground_node::sim::{self as edge_sim, RunningEdge};
use fairground_runtime::clock::Clock;
use fairground_runtime::pki::{PeerIdentity, Role};
use fairground_runtime::secret::SigningPair;
use fairground_seam::link::memory::{Net, Process};
use fairground_seam::sim::{self, Chance, Pace};
use fairground_storage::KeyFile;
use fairground_storage::fault::{FaultDisk, FaultFolder};
use fairground_storage::history::History;
use fairground_storage::intake::Journal;
use fairground_storage::raft_log::LogStore;
use fairground_storage::replica::Replica;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use fairground_storage::snapshot::SnapshotStore;
use fairground_types::command::{
    Actor, ClusterCommand, Command, CreateJoinToken, Envelope, JoinProof, JoinRole, RegisterEdge,
    RegisterMember,
};
use fairground_types::text::Region;
use fairground_types::verdict::Judged;
use fairground_types::{
    Accepted, ClusterId, CommandId, Digest, EdgeId, JoinTokenId, MemberId, Millis, Timestamp,
    Verdict,
};
use fairground_wire::raft::VoteWire;

use crate::checks;
use crate::plan::{EDGES, JOINER, MEMBERS, Plan, Who};
use crate::record::Record;
use crate::trace::Trace;

/// True time at the beginning of every world.
pub const EPOCH: u64 = 1_800_000_000_000;
/// How long a command of the set-up may take.
const SETUP_WAIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// What survives on the machine of a member.
#[derive(Clone, Default)]
pub struct MemberDisks {
    log: FaultDisk,
    history: FaultDisk,
    snapshots: FaultFolder,
}

/// What survives on the machine of an edge.
#[derive(Clone, Default)]
pub struct EdgeDisks {
    journal: FaultDisk,
    store: FaultDisk,
    cache: FaultDisk,
    view: FaultFolder,
}

/// The machine of a member.
pub struct MemberSlot {
    /// Its number; 0 until it has joined.
    pub id: Mutex<MemberId>,
    /// How it is dialled.
    pub address: String,
    /// The process.
    pub process: Mutex<Process>,
    /// Its clocks.
    pub clock: u32,
    /// Its disk.
    pub pace: Pace,
    disks: Mutex<MemberDisks>,
    /// The last vote that a life of it saved.
    saved_vote: Mutex<Option<VoteWire>>,
    running: Mutex<Option<Arc<RunningMember>>>,
}

impl MemberSlot {
    /// Takes the member that runs, to end it, and notes what it must still know when it comes back.
    fn take(&self) -> Option<Arc<RunningMember>> {
        let member = lock(&self.running).take()?;
        if let Some(vote) = member.saved_vote() {
            *lock(&self.saved_vote) = Some(vote);
        }
        Some(member)
    }
}

/// The machine of an edge.
pub struct EdgeSlot {
    /// Its name.
    pub name: String,
    /// Who it is now.
    pub id: Mutex<Option<EdgeId>>,
    /// The process.
    pub process: Mutex<Process>,
    /// Its clocks.
    pub clock: u32,
    /// Its disk.
    pub pace: Pace,
    pair: SigningPair,
    disks: Mutex<EdgeDisks>,
    image: Mutex<Option<EdgeDisks>>,
    running: Mutex<Option<Arc<RunningEdge>>>,
}

/// See the module.
pub struct World {
    /// Which.
    pub seed: u64,
    /// What the seed decided.
    pub plan: Plan,
    /// Wires.
    pub net: Net,
    /// What happened.
    pub trace: Trace,
    /// What the log holds.
    pub record: Arc<Mutex<Record>>,
    /// The cluster.
    pub cluster: ClusterId,
    /// Machines of members.
    pub members: Vec<MemberSlot>,
    /// Machines of edges.
    pub edges: Vec<EdgeSlot>,
    options: Options,
    secrets: ClusterSecrets,
    folder: PathBuf,
    /// The edge that lies, once it has joined.
    pub liar: Mutex<Option<crate::hostile::Liar>>,
    chance: Mutex<Chance>,
    keys: Mutex<u64>,
}

/// Locks what no panic leaves half changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A world of a seed, nothing running.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn new(seed: u64, plan: Plan, trace: Trace, folder: PathBuf) -> anyhow::Result<Self> {
        let mut chance = Chance::new(seed ^ 0x5EED_0F70_0D15_EA5E);
        let net = Net::new(chance.fork());
        let cluster = ClusterId::from_bits(u128::from(seed) + 1);
        let now = Timestamp::from_unix_millis(EPOCH);
        let secrets = ClusterSecrets::generate(cluster, now)?;
        let options = Options {
            raft: RaftOptions { ..plan.raft.clone() },
            sandbox: plan.sandbox,
            policy: plan.policy.clone(),
            ..Options::default()
        };
        let mut world = Self {
            seed,
            net,
            record: Arc::new(Mutex::new(Record::new(trace.clone(), EPOCH))),
            trace,
            cluster,
            members: Vec::new(),
            edges: Vec::new(),
            options,
            secrets,
            folder,
            chance: Mutex::new(chance),
            keys: Mutex::new(0),
            liar: Mutex::default(),
            plan,
        };
        world.make_machines()?;
        world.shape_wires();
        Ok(world)
    }

    fn make_machines(&mut self) -> anyhow::Result<()> {
        for place in 0..=MEMBERS {
            let number = MemberId(u64::try_from(place)?.saturating_add(1));
            let peer = PeerIdentity { cluster: self.cluster, role: Role::Member(number) };
            let process = self.net.add(Arc::new(peer));
            let address = format!("member-{place}");
            self.net.name(&address, process);
            self.members.push(MemberSlot {
                id: Mutex::new(number),
                address,
                process: Mutex::new(process),
                clock: self.clock(),
                pace: self.pace(),
                disks: Mutex::default(),
                saved_vote: Mutex::default(),
                running: Mutex::default(),
            });
        }
        for place in 0..EDGES {
            self.edges.push(EdgeSlot {
                name: format!("e{place}"),
                id: Mutex::new(None),
                process: Mutex::new(usize::MAX),
                clock: self.clock(),
                pace: self.pace(),
                pair: SigningPair::generate()?,
                disks: Mutex::default(),
                image: Mutex::default(),
                running: Mutex::default(),
            });
        }
        Ok(())
    }

    /// A clock that is some milliseconds off.
    fn clock(&self) -> u32 {
        let off = i64::try_from(lock(&self.chance).below(200)).unwrap_or(0).saturating_sub(100);
        sim::add_clock(i64::try_from(EPOCH).unwrap_or(i64::MAX).saturating_add(off))
    }

    fn pace(&self) -> Pace {
        let pace = Pace::default();
        pace.set(self.plan.commit);
        pace
    }

    /// Numbers of the world's own.
    pub fn chance(&self) -> Chance {
        lock(&self.chance).fork()
    }

    /// Gives every way the plan's latency.
    pub fn shape_wires(&self) {
        let processes = self.processes();
        for from in &processes {
            for to in &processes {
                self.net.shape(*from, *to, |way| {
                    way.latency = self.plan.latency;
                    way.jitter = self.plan.jitter;
                    way.loss_permille = self.plan.loss_permille;
                });
            }
        }
    }

    /// Every process that is known by now.
    pub fn processes(&self) -> Vec<Process> {
        let edges = self.edges.iter().map(|slot| *lock(&slot.process));
        self.member_processes()
            .into_iter()
            .chain(edges)
            .filter(|process| *process != usize::MAX)
            .collect()
    }

    /// Every process that is or may become a member.
    pub fn member_processes(&self) -> Vec<Process> {
        self.members.iter().map(|slot| *lock(&slot.process)).collect()
    }

    /// The process of somebody.
    pub fn process(&self, who: Who) -> Option<Process> {
        match who {
            Who::Member(place) => self.members.get(place).map(|slot| *lock(&slot.process)),
            Who::Leader => self.process(Who::Member(self.leader()?)),
            Who::Edge(place) => {
                let process = self.edges.get(place).map(|slot| *lock(&slot.process))?;
                (process != usize::MAX).then_some(process)
            }
        }
    }

    /// A member that runs.
    pub fn member(&self, place: usize) -> Option<Arc<RunningMember>> {
        lock(&self.members.get(place)?.running).clone()
    }

    /// An edge that runs.
    pub fn edge(&self, place: usize) -> Option<Arc<RunningEdge>> {
        lock(&self.edges.get(place)?.running).clone()
    }

    /// Who an edge is.
    pub fn edge_id(&self, place: usize) -> Option<EdgeId> {
        lock(&self.edges.get(place)?.id).clone()
    }

    /// The public half of an edge's receipt key.
    pub fn receipt_key(&self, place: usize) -> [u8; 32] {
        self.edges.get(place).map(|slot| *slot.pair.public()).unwrap_or_default()
    }

    /// The member that has taken office last, as members know.
    pub fn leader(&self) -> Option<usize> {
        let led = (0..self.members.len()).filter_map(|place| {
            let member = self.member(place).filter(|member| member.leads())?;
            Some((member.office().map_or(0, |(term, _)| term), place))
        });
        led.max().map(|(_, place)| place)
    }

    /// Starts a member.
    ///
    /// # Errors
    /// When its disks cannot be opened.
    pub async fn start_member(&self, place: usize) -> anyhow::Result<()> {
        let slot = self.members.get(place).context("no such member")?;
        let id = *lock(&slot.id);
        let disks = lock(&slot.disks).clone();
        let key = KeyFile::from_bytes([u8::try_from(id.0)?; 32]);
        sim::set_pace(slot.pace.clone());
        let log = LogStore::over(disks.log.open()?, &key)?;
        let history = History::over(disks.history.open()?, &key)?;
        let snapshots = SnapshotStore::over(disks.snapshots.clone(), &key)?;
        let process = *lock(&slot.process);
        let accept = self.net.listen(process);
        let record = Arc::clone(&self.record);
        let name = format!("m{}", id.0);
        let others: BTreeMap<MemberId, String> = self
            .members
            .iter()
            .map(|other| (*lock(&other.id), other.address.clone()))
            .filter(|(other, _)| *other != id)
            .take(MEMBERS)
            .collect();
        let member = RunningMember::start(member_sim::Setup {
            id,
            cluster: self.cluster,
            clock: Clock::simulated(slot.clock),
            port: self.net.port(process),
            accept,
            others,
            log,
            snapshots,
            history,
            folder: self.folder.join("blobs"),
            options: &self.options,
            secrets: &self.secrets,
            observer: Box::new(move |seen| lock(&record).see(&name, seen)),
        });
        let member = member.await?;
        if let Some(before) = *lock(&slot.saved_vote) {
            checks::log::votes_stand(&self.trace, &slot.address, before, member.first_vote());
        }
        *lock(&slot.running) = Some(Arc::new(member));
        self.trace.note(&slot.address, "starts");
        Ok(())
    }

    /// Kills a member; `power` loses what its disks had not synced.
    pub async fn kill_member(&self, place: usize, power: bool) {
        let Some(slot) = self.members.get(place) else { return };
        let Some(member) = slot.take() else { return };
        let seed = lock(&self.chance).next();
        self.net.crash(*lock(&slot.process));
        {
            let mut disks = lock(&slot.disks);
            *disks = if power || disks.log.is_dead() || disks.history.is_dead() {
                MemberDisks {
                    log: disks.log.cut_power(seed),
                    history: disks.history.cut_power(seed.rotate_left(17)),
                    snapshots: disks.snapshots.restart(),
                }
            } else {
                MemberDisks {
                    log: disks.log.restart(),
                    history: disks.history.restart(),
                    snapshots: disks.snapshots.restart(),
                }
            };
        }
        slot.pace.set(self.plan.commit);
        self.trace.note(&slot.address, if power { "loses power" } else { "is killed" });
        member.die().await;
    }

    /// Stops a member in order.
    pub async fn stop_member(&self, place: usize) {
        let Some(slot) = self.members.get(place) else { return };
        let Some(member) = slot.take() else { return };
        self.trace.note(&slot.address, "stops");
        member.stop().await;
        self.net.crash(*lock(&slot.process));
        let mut disks = lock(&slot.disks);
        *disks = MemberDisks {
            log: disks.log.restart(),
            history: disks.history.restart(),
            snapshots: disks.snapshots.restart(),
        };
    }

    /// The disks of a member's log, to be broken.
    pub fn member_disks(&self, place: usize) -> Option<FaultDisk> {
        self.members.get(place).map(|slot| lock(&slot.disks).log.clone())
    }

    /// The disk of an edge's journal, to be broken.
    pub fn edge_disk(&self, place: usize) -> Option<FaultDisk> {
        self.edges.get(place).map(|slot| lock(&slot.disks).journal.clone())
    }

    /// Starts an edge that has an id.
    ///
    /// # Errors
    /// When its disks cannot be opened.
    pub fn start_edge(&self, place: usize) -> anyhow::Result<()> {
        let slot = self.edges.get(place).context("no such edge")?;
        let id = lock(&slot.id).clone().context("not registered")?;
        let disks = lock(&slot.disks).clone();
        let key = KeyFile::from_bytes([u8::try_from(place)?.saturating_add(100); 32]);
        sim::set_pace(slot.pace.clone());
        let journal = Journal::over(disks.journal.open()?, &key)?;
        let store = Replica::over(disks.store.open()?, disks.view.clone(), &key)?;
        let budget = Budget { disk: 1 << 20, memory: 1 << 16 };
        let cache = SegmentCache::over(disks.cache.open()?, &key, budget)?;
        let process = *lock(&slot.process);
        // Nobody dials an edge; this ends what an earlier life left behind.
        drop(self.net.listen(process));
        let edge = RunningEdge::start(edge_sim::Setup {
            cluster: self.cluster,
            edge: id,
            receipt_key: slot.pair.expose_pkcs8().to_vec(),
            members: self.members.iter().take(MEMBERS).map(|m| m.address.clone()).collect(),
            clock: Clock::simulated(slot.clock),
            port: self.net.port(process),
            store,
            journal,
            cache,
            folder: self.folder.join(&slot.name),
        })?;
        *lock(&slot.running) = Some(Arc::new(edge));
        self.trace.note(&slot.name, "starts");
        Ok(())
    }

    /// Kills an edge; `power` loses what its disks had not synced.
    pub async fn kill_edge(&self, place: usize, power: bool) {
        let Some(slot) = self.edges.get(place) else { return };
        let Some(edge) = lock(&slot.running).take() else { return };
        let seed = lock(&self.chance).next();
        self.note_death(&edge);
        self.net.crash(*lock(&slot.process));
        {
            let mut disks = lock(&slot.disks);
            let cuts = power || disks.journal.is_dead();
            let after = |disk: &FaultDisk, turn: u32| {
                if cuts { disk.cut_power(seed.rotate_left(turn)) } else { disk.restart() }
            };
            *disks = EdgeDisks {
                journal: after(&disks.journal, 0),
                store: after(&disks.store, 7),
                cache: after(&disks.cache, 13),
                view: disks.view.restart(),
            };
        }
        slot.pace.set(self.plan.commit);
        self.trace.note(&slot.name, if power { "loses power" } else { "is killed" });
        edge.die().await;
    }

    fn note_death(&self, edge: &RunningEdge) {
        let journal = edge.journal();
        let standing = journal.standing();
        if !journal.is_synced() {
            self.trace.count("edge died with unsynced bids");
        }
        if standing.open_count > 0 {
            self.trace.count("edge died with open bids");
        }
        let record = lock(&self.record);
        let applied = record.market.as_ref().and_then(|market| {
            let id = self.edges.iter().find_map(|slot| {
                let is_it = lock(&slot.running).is_none();
                if is_it { lock(&slot.id).clone() } else { None }
            })?;
            market.edge(&id).map(|state| state.applied().seq)
        });
        if applied.is_some_and(|applied| applied < standing.tail.seq) {
            self.trace.count("edge died with unsent bids");
        }
    }

    /// Stops an edge in order.
    pub async fn stop_edge(&self, place: usize) {
        let Some(slot) = self.edges.get(place) else { return };
        let Some(edge) = lock(&slot.running).take() else { return };
        self.trace.note(&slot.name, "stops");
        edge.stop(Duration::from_secs(4)).await;
        self.net.crash(*lock(&slot.process));
        let mut disks = lock(&slot.disks);
        *disks = EdgeDisks {
            journal: disks.journal.restart(),
            store: disks.store.restart(),
            cache: disks.cache.restart(),
            view: disks.view.restart(),
        };
    }

    /// Keeps an image of an edge's disks as they are now.
    pub fn keep_image(&self, place: usize) {
        let Some(slot) = self.edges.get(place) else { return };
        let disks = lock(&slot.disks);
        *lock(&slot.image) = Some(EdgeDisks {
            journal: disks.journal.image_of_now(),
            store: disks.store.image_of_now(),
            cache: disks.cache.image_of_now(),
            view: disks.view.image_of_now(),
        });
    }

    /// Puts the image in the place of the disks of an edge that is down; says whether there was one.
    pub fn restore_image(&self, place: usize) -> bool {
        let Some(slot) = self.edges.get(place) else { return false };
        let Some(image) = lock(&slot.image).take() else { return false };
        *lock(&slot.disks) = image;
        if let Some(id) = lock(&slot.id).clone() {
            lock(&self.record).tainted.insert(id);
        }
        true
    }

    /// Gives an edge that is down empty disks and a new identity.
    ///
    /// # Errors
    /// When the cluster does not register it.
    pub async fn renew_edge(&self, place: usize) -> anyhow::Result<()> {
        let slot = self.edges.get(place).context("no such edge")?;
        if let Some(id) = lock(&slot.id).clone() {
            lock(&self.record).tainted.insert(id);
        }
        *lock(&slot.disks) = EdgeDisks::default();
        self.register_edge(place).await?;
        self.start_edge(place)
    }

    /// A command id that nobody used.
    pub fn fresh_command(&self, operation: &str) -> CommandId {
        let mut keys = lock(&self.keys);
        *keys = keys.saturating_add(1);
        CommandId::derive_system(operation, "simulator", &keys.to_string())
    }

    /// Puts a command into the log by whoever takes it; tries for a while.
    ///
    /// # Errors
    /// When nobody gives a verdict in time.
    pub async fn submit(&self, actor: Actor, command: Command) -> anyhow::Result<Judged> {
        let envelope = Envelope { id: self.fresh_command("setup"), actor, command };
        let until = tokio::time::Instant::now() + SETUP_WAIT;
        loop {
            let place = self
                .leader()
                .or_else(|| (0..self.members.len()).find(|place| self.member(*place).is_some()));
            if let Some(member) = place.and_then(|place| self.member(place))
                && let Ok(judged) = member.submit(envelope.clone()).await
            {
                return Ok(judged);
            }
            if tokio::time::Instant::now() >= until {
                bail!("no verdict on {:?}", envelope.command);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// As [`Self::submit`], of a command that must be accepted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn must(&self, actor: Actor, command: Command) -> anyhow::Result<Accepted> {
        match self.submit(actor, command.clone()).await?.verdict {
            Verdict::Accepted(accepted) => Ok(accepted),
            Verdict::Rejected(rejection) => bail!("{command:?} was refused: {rejection:?}"),
        }
    }

    async fn join_proof(&self, role: JoinRole) -> anyhow::Result<JoinProof> {
        let number = {
            let mut keys = lock(&self.keys);
            *keys = keys.saturating_add(1);
            *keys
        };
        let token = JoinTokenId::from_bits(u128::from(number));
        let secret = Digest::of(&number.to_le_bytes());
        let now = lock(&self.record).at.max(Timestamp::from_unix_millis(EPOCH));
        let create = CreateJoinToken {
            token,
            secret,
            role,
            region: Region::parse("eu")?,
            expires_at: now.plus(Millis::from_hours(1)),
        };
        self.must(Actor::Cluster, Command::Cluster(ClusterCommand::CreateJoinToken(create)))
            .await?;
        Ok(JoinProof { token, secret })
    }

    /// Registers a member and starts it.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn join_member(&self, place: usize) -> anyhow::Result<()> {
        let proof = self.join_proof(JoinRole::Member).await?;
        let slot = self.members.get(place).context("no such member")?;
        let register = RegisterMember {
            proof: Some(proof),
            cluster_address: slot.address.clone(),
            public_url: format!("http://{}", slot.address),
        };
        let command = Command::Cluster(ClusterCommand::RegisterMember(register));
        let Accepted::MemberRegistered { member } = self.must(Actor::Anonymous, command).await?
        else {
            bail!("no member was registered");
        };
        if member != *lock(&slot.id) {
            bail!("{member} was registered in the place of {}", *lock(&slot.id));
        }
        self.start_member(place).await
    }

    /// Registers an edge of a name and a receipt key.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn register(&self, name: &str, key: [u8; 32]) -> anyhow::Result<(EdgeId, Process)> {
        let proof = self.join_proof(JoinRole::Edge).await?;
        let register = RegisterEdge {
            proof,
            name: name.to_owned(),
            public_url: format!("http://{name}.example"),
            receipt_key: key,
            takes_bids: true,
        };
        let command = Command::Cluster(ClusterCommand::RegisterEdge(register));
        let Accepted::EdgeRegistered { edge } = self.must(Actor::Anonymous, command).await? else {
            bail!("no edge was registered");
        };
        let peer = PeerIdentity { cluster: self.cluster, role: Role::Edge(edge.clone()) };
        let process = self.net.add(Arc::new(peer));
        Ok((edge, process))
    }

    async fn register_edge(&self, place: usize) -> anyhow::Result<()> {
        let slot = self.edges.get(place).context("no such edge")?;
        let (edge, process) = self.register(&slot.name, *slot.pair.public()).await?;
        *lock(&slot.process) = process;
        *lock(&slot.id) = Some(edge);
        self.shape_wires();
        Ok(())
    }

    /// Begins the cluster: three voters, then the edges.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn begin(&self) -> anyhow::Result<()> {
        self.start_member(0).await?;
        let first = self.member(0).context("started")?;
        let options = Options { policy: self.plan.policy.clone(), ..self.options.clone() };
        let address = &self.members.first().context("there")?.address;
        first.begin(&options, address, self.plan.rules).await?;
        for place in 1..MEMBERS {
            self.join_member(place).await?;
        }
        self.wait_until("three voters", |world| {
            world.member(0).is_some_and(|member| member.voters().len() == MEMBERS)
        })
        .await?;
        for place in 0..EDGES {
            self.register_edge(place).await?;
            self.start_edge(place)?;
        }
        self.wait_until("edges that take bids", |world| {
            (0..EDGES).all(|place| world.edge(place).is_some_and(|edge| edge.declines().is_none()))
        })
        .await
    }

    /// Whether the joiner is one of the cluster.
    pub fn has_joined(&self) -> bool {
        self.member(JOINER).is_some()
    }

    /// Waits for something, for a while.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn wait_until(
        &self,
        what: &str,
        is_so: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + SETUP_WAIT.saturating_mul(2);
        while !is_so(self) {
            if tokio::time::Instant::now() >= until {
                bail!("{what} did not come");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
