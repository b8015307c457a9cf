//! A member from start to stop.
//!
//! ```text
//!  start  data directory -> sockets -> stores -> state machine -> Raft -> proposer, office, alarms
//!         -> QUIC accept loop -> effects, blobs, renewal -> HTTP -> ready.json
//!  stop   HTTP drains -> leadership is handed over -> loops end -> QUIC closes -> Raft closes its log
//! ```
//! What is below is wiring: every decision is in the part that it belongs to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_runtime::config::Secret;
use fairground_runtime::health::Health;
use fairground_runtime::http::{self as listener, HttpLimits};
use fairground_runtime::pki::{self, Ca, Identity};
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_runtime::telemetry;
use fairground_storage::KeyFile;
use fairground_storage::blob::BlobPlace;
use fairground_storage::history::History as Store;
use fairground_storage::raft_log::LogStore;
use fairground_storage::snapshot::SnapshotStore;
use fairground_types::command::{ClusterCommand, Command, InitialiseCluster, RegisterMember};
use fairground_types::{ClusterId, CommandId, MemberId, Millis, Verdict};
use openraft::async_runtime::watch::WatchReceiver;
use quinn::Endpoint;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::auth::Auth;
use crate::blobs::Blobs;
use crate::edge::directory::EdgeDirectory;
use crate::edge::streams::StreamCounts;
use crate::effects::{EffectRunner, Outlets, Payments};
use crate::error::Error;
use crate::history::History;
use crate::http::mail_events::MailHook;
use crate::http::{Api, Webhooks, router};
use crate::identity::{ClusterFile, DataDir, Secrets};
use crate::join::Admission;
use crate::member::Member;
use crate::options::Options;
use crate::peers::{Peers, Way};
use crate::progress::Reports;
use crate::propose::{ProposerLoop, ProposerParts, proposer};
use crate::raft::archive::ArchiveLoop;
use crate::raft::deadline::DeadlineLoop;
use crate::raft::membership::MembershipLoop;
use crate::raft::network::Network;
use crate::raft::office::{Office, OfficeLoop, heir};
use crate::raft::state_machine::StateMachine;
use crate::raft::{self, MemberNode, Raft};
use crate::social::Social;
use crate::state::State;
use crate::{blob_place, collect, effects, quic, scrub, tls};

/// Names of the own certificate's file.
pub(crate) const IDENTITY: &str = "member";
/// How long a new cluster may take to begin.
const BEGIN_WAIT: Duration = Duration::from_secs(20);
/// Pause between attempts to begin a cluster.
const BEGIN_PAUSE: Duration = Duration::from_millis(50);
/// How long a leader waits for another to take over when it stops.
const HAND_OVER_WAIT: Duration = Duration::from_secs(1);
/// How long loops may take to end.
const STOP_WAIT: Duration = Duration::from_secs(5);
const HEALTH_PERIOD: Duration = Duration::from_millis(250);
/// Least time that blobs without a use are kept, but in a sandbox.
const COLLECT_GRACE_MIN: Millis = Millis::from_hours(1);

/// Who this member is, read from its data directory.
struct Own {
    dir: DataDir,
    file: ClusterFile,
    identity: Identity,
    ca: Ca,
    key: KeyFile,
}

/// The sockets of a member.
struct Sockets {
    endpoint: Endpoint,
    http: TcpListener,
    cluster_address: SocketAddr,
    http_address: SocketAddr,
    advertised: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    http_addr: SocketAddr,
    cluster_addr: SocketAddr,
    pid: u32,
}

/// Runs a member until `shutdown`.
///
/// # Errors
/// When it cannot start: see [`Error`].
pub async fn run(options: Options, shutdown: Shutdown) -> Result<(), Error> {
    pki::install_provider();
    check_grace(&options)?;
    let own = read_own(&options)?;
    start_telemetry(&options, own.file.member)?;
    own.dir.remove("ready.json");
    let sockets = bind(&options, &own).await?;
    let started = Box::pin(start(&options, &own, &sockets)).await?;
    let member = Arc::clone(&started.member);
    // Triggered when stopping is asked for, and by a task that panics.
    let stopping = Shutdown::new();
    // Other daemons are talked to until leadership is handed over: a token of its own.
    let leaving = Shutdown::new();
    let network = Tasks::new(stopping.clone());
    let endpoint = sockets.endpoint.clone();
    network.spawn("quic accept", quic::accept(Arc::clone(&member), endpoint, leaving.clone()));
    let relayed = async {
        shutdown.wait().await;
        stopping.trigger();
        std::future::pending::<()>().await;
    };
    let served = tokio::select! {
        biased;
        served = Box::pin(serve(&options, &own, started, sockets, &stopping)) => served,
        () = relayed => Ok(()),
    };
    let served = served
        .and_then(|()| raft_runs(&member))
        .and_then(|()| if shutdown.is_triggered() { Ok(()) } else { Err(Error::Vital) });
    own.dir.remove("ready.json");
    stopping.trigger();
    leaving.trigger();
    network.join(STOP_WAIT).await;
    if let Err(error) = member.raft.shutdown().await {
        tracing::warn!(%error, "Raft did not close in order");
    }
    tracing::info!(member = %member.id, "stopped");
    served
}

/// A grace that is too short would lose what is being uploaded.
fn check_grace(options: &Options) -> Result<(), Error> {
    if options.blobs.collect_grace.millis() >= COLLECT_GRACE_MIN || options.sandbox {
        return Ok(());
    }
    let problem = "shorter than what may pass between storing a blob and naming it".to_owned();
    Err(Error::Setting { key: "blobs.collect_grace", problem })
}

fn start_telemetry(options: &Options, member: MemberId) -> Result<(), Error> {
    let format = options.log_format.parse()?;
    if let Err(error) = telemetry::init("fairground-coordinator", &member.to_string(), format) {
        // Several members of one process (tests) share the first one's log.
        tracing::debug!(error = %telemetry::chain(&error), "logging not started here");
    }
    Ok(())
}

fn read_own(options: &Options) -> Result<Own, Error> {
    let dir = DataDir::new(&options.dir);
    let file = dir.cluster()?;
    let ca = Ca::from_pem(&dir.read_text("ca.pem")?, &dir.read_text("ca.key")?)?;
    let identity = Identity::load(&options.dir, IDENTITY)?;
    let key = KeyFile::load_or_create(&dir.path("storage.key"))?;
    let own = Own { dir, file, identity, ca, key };
    // A member that was off for longer than its certificate lives signs itself a new one.
    if own.identity.needs_renewal(Clock::system().now()) {
        let identity = tls::renew(&own.ca, own.file.member, Clock::system())?;
        identity.save(&options.dir, IDENTITY)?;
        return Ok(Own { identity, ..own });
    }
    Ok(own)
}

fn parse_address(key: &'static str, text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| Error::Setting {
        key,
        problem: format!("expected `address:port`, found `{text}`"),
    })
}

async fn bind(options: &Options, own: &Own) -> Result<Sockets, Error> {
    let cluster = parse_address("cluster_listen", &options.cluster_listen)?;
    let http = parse_address("http_listen", &options.http_listen)?;
    let has_tls = options.http_tls_cert_file.is_some();
    listener::refuse_plain_http(http, has_tls)?;
    let reset_key = own.key.derive("quic reset");
    let endpoint = quic::bind(cluster, tls::server(&own.identity)?, &reset_key)?;
    let bound = |source| Error::Bind { address: cluster, source };
    let cluster_address = endpoint.local_addr().map_err(bound)?;
    let refused = |source| Error::Bind { address: http, source };
    let http = TcpListener::bind(http).await.map_err(refused)?;
    let http_address = http.local_addr().map_err(refused)?;
    let advertised =
        options.cluster_advertise.clone().unwrap_or_else(|| cluster_address.to_string());
    Ok(Sockets { endpoint, http, cluster_address, http_address, advertised })
}

/// What a member is put together from.
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a Options,
    pub(crate) id: MemberId,
    pub(crate) cluster: ClusterId,
    pub(crate) clock: Clock,
    pub(crate) secrets: Secrets,
    pub(crate) ca: Ca,
    pub(crate) log: LogStore,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) history: History,
    pub(crate) blobs: Arc<dyn BlobPlace>,
    pub(crate) state: Arc<State>,
    pub(crate) peers: Arc<Peers>,
}

/// A member whose loops are not running yet, and the loops.
pub(crate) struct Started {
    pub(crate) member: Arc<Member>,
    proposer_loop: ProposerLoop,
    office_loop: OfficeLoop,
    deadline_loop: DeadlineLoop,
    archive_loop: ArchiveLoop,
    membership_loop: MembershipLoop,
}

async fn start(options: &Options, own: &Own, sockets: &Sockets) -> Result<Started, Error> {
    let id = own.file.member;
    let cluster = own.file.cluster;
    let clock = Clock::system();
    let secrets = own.dir.secrets()?;
    let raft_folder = own.dir.path("raft");
    std::fs::create_dir_all(&raft_folder).map_err(Error::file(&raft_folder))?;
    let log = LogStore::open(&raft_folder, &own.key)?;
    let snapshots = SnapshotStore::open(&raft_folder, &own.key)?;
    let history = History::new(Store::open(&raft_folder, &own.key)?);
    let blobs = blob_place::open(&options.blobs, cluster, id, &options.dir).await?;

    let client = tls::client(&own.identity)?;
    let peers = Arc::new(Peers::new(Way::Quic(sockets.endpoint.clone(), client), cluster));
    for (member, address) in &own.file.members {
        if *member != id {
            peers.learn(*member, address);
        }
    }
    let ca = Ca::from_pem(&own.ca.certificate_pem(), &own.ca.expose_key_pem())?;
    assemble(Parts {
        options,
        id,
        cluster,
        clock,
        secrets,
        ca,
        log,
        snapshots,
        history,
        blobs,
        state: Arc::new(State::new()),
        peers,
    })
    .await
}

/// Puts a member together: its state from what is durable, Raft, and the loops around it.
pub(crate) async fn assemble(parts: Parts<'_>) -> Result<Started, Error> {
    let Parts {
        options,
        id,
        cluster,
        clock,
        secrets,
        ca,
        log,
        snapshots,
        history,
        blobs,
        state,
        peers,
    } = parts;
    let machine = StateMachine::open(Arc::clone(&state), snapshots, history.clone())
        .await
        .map_err(Error::State)?;
    let config = raft::config(&options.raft, &cluster.to_string())?;
    let network = Network::new(Arc::clone(&peers));
    let raft = Raft::new(id.0, config, network, log, machine)
        .await
        .map_err(|error| Error::Raft(error.to_string()))?;

    let office = Arc::new(Office::new(clock, Arc::clone(&state)));
    let edges = Arc::new(EdgeDirectory::default());
    let (handle, proposer_loop) = proposer(ProposerParts {
        me: id,
        raft: raft.clone(),
        state: Arc::clone(&state),
        office: Arc::clone(&office),
        peers: Arc::clone(&peers),
        edges: Arc::clone(&edges),
    });
    let blobs = Blobs::new(id, blobs, Arc::clone(&peers), Arc::clone(&state), history.clone());
    let auth = Auth::new(&secrets, cluster)?;
    let social = Social::new(&options.sign_in, effects::ports(clock, id.0))?;
    let member = Arc::new(Member {
        id,
        cluster,
        clock,
        secrets,
        state: Arc::clone(&state),
        raft: raft.clone(),
        peers: Arc::clone(&peers),
        office: Arc::clone(&office),
        proposer: handle.clone(),
        edges: Arc::clone(&edges),
        streams: StreamCounts::default(),
        blobs: Arc::new(blobs),
        history,
        auth,
        social,
        admission: Admission::new(ca),
        health: Health::new(&["raft", "http"]),
        payments: Payments::new(&options.stripe, id.0)?,
        reports: Reports::default(),
        app_url: options.app_url.clone(),
    });
    Ok(Started {
        member,
        proposer_loop,
        office_loop: OfficeLoop {
            me: id,
            raft: raft.clone(),
            peers: Arc::clone(&peers),
            office: Arc::clone(&office),
            proposer: handle.clone(),
            clock,
        },
        archive_loop: ArchiveLoop {
            state: Arc::clone(&state),
            office: Arc::clone(&office),
            proposer: handle.clone(),
        },
        deadline_loop: DeadlineLoop { state: Arc::clone(&state), office, edges, proposer: handle },
        membership_loop: MembershipLoop { me: id, raft, state, peers },
    })
}

impl Started {
    /// Starts the loops that keep a member one of its cluster.
    pub(crate) fn spawn_loops(self, loops: &Tasks, closing: &Shutdown) -> Arc<Member> {
        let member = self.member;
        loops.spawn("proposer", self.proposer_loop.run(closing.clone()));
        loops.spawn("office", self.office_loop.run(closing.clone()));
        loops.spawn("deadlines", self.deadline_loop.run(closing.clone()));
        loops.spawn("membership", self.membership_loop.run(closing.clone()));
        loops.spawn("archive", self.archive_loop.run(closing.clone()));
        loops.spawn("rules", raft::rules::report(Arc::clone(&member), closing.clone()));
        let (history, state, peers) =
            (member.history.clone(), Arc::clone(&member.state), Arc::clone(&member.peers));
        loops.spawn("history", history.fill(member.id, state, peers, closing.clone()));
        member
    }
}

async fn serve(
    options: &Options,
    own: &Own,
    started: Started,
    sockets: Sockets,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    // The loops outlive the HTTP listener, so that running requests can end: they stop by a token
    // of their own. When one panics the whole daemon stops.
    let closing = Shutdown::new();
    let loops = Tasks::new(shutdown.clone());
    let member = started.spawn_loops(&loops, &closing);
    loops
        .spawn("health", watch_health(Arc::clone(&member), [shutdown, &closing].map(Clone::clone)));
    let outlets = Outlets::new(options, &member)?;
    let runner = EffectRunner::new(Arc::clone(&member), outlets);
    loops.spawn("effects", runner.run(closing.clone()));
    spawn_blob_loops(options, &member, &loops, &closing);
    let renewing = tls::keep_renewed(tls::Renewal {
        member: Arc::clone(&member),
        endpoint: sockets.endpoint.clone(),
        identity: own.identity.clone(),
        dir: options.dir.clone(),
    });
    let stop = closing.clone();
    loops.spawn("certificate", async move {
        tokio::select! {
            biased;
            () = stop.wait() => {}
            () = renewing => {}
        }
    });
    if own.file.founder {
        let rules = fairground_market::RULES_VERSION;
        begin(&member, options, &sockets.advertised, rules).await?;
    }
    let webhooks = Webhooks {
        secrets: webhook_secrets(options)?,
        tracking: secret_of(options.tracking.webhook_secret_file.as_deref())?,
        verification: secret_of(options.verification.webhook_secret_file.as_deref())?,
        mail: secret_of(options.mail.webhook_key_file.as_deref())?
            .map(|key| MailHook { provider: options.mail.provider, key }),
        expects_live: options.stripe.live,
        payments: member.payments.clone(),
    };
    let metrics = fairground_runtime::metrics::install().ok();
    if let Some(recorder) = metrics.clone() {
        loops.spawn("metrics", fairground_runtime::metrics::keep(recorder, closing.clone()));
    }
    let api = Api::new(Arc::clone(&member), own.dir.admin_key()?, webhooks, metrics);
    let served = serve_http(options, own, api, sockets, shutdown).await;
    hand_over(&member).await;
    closing.trigger();
    loops.join(STOP_WAIT).await;
    served
}

fn spawn_blob_loops(options: &Options, member: &Arc<Member>, loops: &Tasks, closing: &Shutdown) {
    let blobs = &options.blobs;
    let period = blobs.repair_period.to_duration();
    loops.spawn("blob repair", Arc::clone(&member.blobs).repair(period, closing.clone()));
    // A store that members share looks after its disks itself.
    if !member.blobs.store.is_shared() {
        let scrubbing = scrub::run(Arc::clone(&member.blobs), blobs.clone(), closing.clone());
        loops.spawn("blob scrub", scrubbing);
    }
    let collecting = collect::run(Arc::clone(member), blobs.clone(), closing.clone());
    loops.spawn("blob collection", collecting);
}

async fn serve_http(
    options: &Options,
    own: &Own,
    api: Api,
    sockets: Sockets,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let tls = match (&options.http_tls_cert_file, &options.http_tls_key_file) {
        (Some(certificate), Some(key)) => Some(listener::tls_config(certificate, key)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let problem = "certificate and key belong together".to_owned();
            return Err(Error::Setting { key: "http_tls_key_file", problem });
        }
    };
    own.dir.write_json(
        "ready.json",
        &Ready {
            http_addr: sockets.http_address,
            cluster_addr: sockets.cluster_address,
            pid: std::process::id(),
        },
    )?;
    api.member.health.part("http").ready();
    tracing::info!(
        member = %api.member.id,
        http = %sockets.http_address,
        cluster = %sockets.cluster_address,
        "ready"
    );
    let limits = HttpLimits::default();
    listener::serve(sockets.http, router(Arc::new(api)), limits, tls, shutdown.clone())
        .await
        .map_err(Error::Http)
}

fn webhook_secrets(options: &Options) -> Result<Vec<Secret>, Error> {
    let files = [&options.stripe.webhook_secret_file, &options.stripe.webhook_secret_old_file];
    let mut secrets = Vec::new();
    for file in files.into_iter().flatten() {
        secrets.push(Secret::from_file(file)?);
    }
    Ok(secrets)
}

fn secret_of(file: Option<&Path>) -> Result<Option<Secret>, Error> {
    Ok(Secret::from_option(file)?)
}

/// Begins the cluster, once: Raft with one voter, then the first two commands of the log.
pub(crate) async fn begin(
    member: &Arc<Member>,
    options: &Options,
    address: &str,
    rules: u32,
) -> Result<(), Error> {
    let raft_error = |error: &dyn std::error::Error| Error::Raft(error.to_string());
    let is_initialised = member.raft.is_initialized().await.map_err(|error| raft_error(&error))?;
    if !is_initialised {
        let node = MemberNode { addr: address.to_owned() };
        let nodes = BTreeMap::from([(member.id.0, node)]);
        member.raft.initialize(nodes).await.map_err(|error| raft_error(&error))?;
    } else if has_begun(member).await {
        return Ok(());
    }
    let cluster = member.cluster.to_string();
    let commands = [
        (
            CommandId::derive_system("initialise", &cluster, ""),
            Command::Cluster(ClusterCommand::InitialiseCluster(InitialiseCluster {
                cluster: member.cluster,
                policy: options.policy.clone(),
                keys: member.secrets.public_keys(),
                sandbox: options.sandbox,
                rules,
            })),
        ),
        (
            CommandId::derive_system("register", &cluster, "founder"),
            Command::Cluster(ClusterCommand::RegisterMember(RegisterMember {
                proof: None,
                cluster_address: address.to_owned(),
                public_url: options.public_url.clone(),
            })),
        ),
    ];
    let beginning = async {
        for (id, command) in commands {
            loop {
                match member.command(id, command.clone()).await.map(|judged| judged.verdict) {
                    Ok(Verdict::Accepted(_)) => break,
                    Ok(Verdict::Rejected(rejection)) => {
                        return Err(Error::Raft(format!(
                            "begin the cluster: {}",
                            rejection.detail
                        )));
                    }
                    Err(_) => tokio::time::sleep(BEGIN_PAUSE).await,
                }
            }
        }
        Ok(())
    };
    match tokio::time::timeout(BEGIN_WAIT, beginning).await {
        Ok(begun) => begun,
        Err(_) => Err(Error::Raft("the cluster did not begin in time".to_owned())),
    }
}

/// Whether a cluster that Raft knows has its first two commands as well: its founder may have died
/// before them.
async fn has_begun(member: &Member) -> bool {
    // Others join after those commands only; their quorum may not be there yet.
    if member.raft.voter_ids().count() > 1 {
        return true;
    }
    let deadline = Instant::now() + BEGIN_WAIT;
    loop {
        let is_newest = member.linearize().await.is_ok();
        if member.state.read(|market| market.members().next().is_some()) {
            return true;
        }
        if is_newest || Instant::now() >= deadline {
            return !is_newest;
        }
        tokio::time::sleep(BEGIN_PAUSE).await;
    }
}

/// What ended Raft, if it ended by itself: a disk that fails stops it for good.
pub(crate) fn raft_runs(member: &Member) -> Result<(), Error> {
    let metrics = member.raft.metrics();
    let running = metrics.borrow_watched().running_state.clone();
    running.map_err(|fatal| Error::Raft(fatal.to_string()))
}

/// Reports on Raft, and stops the daemon when Raft has ended: a member without it is of no use, and
/// one that is started again may be.
async fn watch_health(member: Arc<Member>, [daemon, shutdown]: [Shutdown; 2]) {
    let part = member.health.part("raft");
    loop {
        if let Err(error) = raft_runs(&member) {
            tracing::error!(%error, "Raft has ended, so this member stops");
            part.not_ready("stopped");
            daemon.trigger();
            return;
        }
        match member.leader() {
            Some(_) if member.state.position().raft > 0 => part.ready(),
            Some(_) => part.not_ready("nothing applied yet"),
            None => part.not_ready("no leader"),
        }
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            () = tokio::time::sleep(HEALTH_PERIOD) => {}
        }
    }
}

/// Gives leadership away before stopping, so that nobody waits for an election: to a voter that has
/// just been heard, if there is one.
pub(crate) async fn hand_over(member: &Member) {
    let Some(next) = member.leads().then(|| heir(&member.raft, member.id)).flatten() else {
        return;
    };
    if let Err(error) = member.raft.trigger().transfer_leader(next.0).await {
        tracing::warn!(%error, "leadership not handed over");
        return;
    }
    let gone = async {
        while member.leads() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(HAND_OVER_WAIT, gone).await.is_err() {
        tracing::warn!(%next, "leadership not taken over in time");
    }
}
