//! Kept QUIC connections to every known member, and streams over them.
//!
//! ```text
//!   bootstrap list ---+                       +-- keep(m1) --- connection
//!                     +--> wanted addresses --+-- keep(m2) --- connection
//!   members in view --+                       +-- keep(m3) --- connection
//!                                                    ^ back-off, dial, check the certificate, wait
//! ```
//! Who a member is comes from its certificate. Who leads comes from answers to beats. It must not
//! know what a stream carries. Read next: [`forward`] for calls, [`blob`] for blobs.

pub(crate) mod blob;
pub(crate) mod forward;
pub(crate) mod sibling;
pub(crate) mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use fairground_runtime::pki::{PeerIdentity, Role};
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_seam::link::{self as wire, Connection, RecvStream, SendStream};
use fairground_seam::watch;
use fairground_types::{ClusterId, MemberId};
use fairground_wire::message::StreamKind;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, IdleTimeout, TransportConfig, VarInt};
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Name that every member's certificate carries.
pub(crate) const MEMBER_NAME: &str = "member.fairground.internal";
/// How long a new connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long a stream may take to open: a member that grants none is as good as gone.
const OPEN_WAIT: Duration = Duration::from_secs(2);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_millis(700);
const IDLE_MILLIS: u32 = 4_000;
/// Addresses dialled at a time; a cluster has a handful of members.
const MEMBERS_MAX: usize = 32;

/// Why a member could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address has no meaning here.
    #[error("resolve {address}")]
    Resolve {
        /// The address.
        address: String,
        /// What the resolver said.
        #[source]
        source: std::io::Error,
    },
    /// The resolver knows no such address.
    #[error("find an address for {0}")]
    NoAddress(String),
    /// The address cannot be dialled.
    #[error("dial")]
    Dial(#[from] quinn::ConnectError),
    /// No connection came about, or it broke.
    #[error("connect")]
    Connection(#[from] quinn::ConnectionError),
    /// Nothing came in time.
    #[error("hear from a member in time")]
    Timeout,
    /// Somebody else answered at that address.
    #[error("find a member of this cluster at {0}")]
    Stranger(String),
    /// The stream broke.
    #[error("talk to a member")]
    Stream(#[from] stream::StreamError),
}

/// A member that is connected now.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// Who, by its certificate.
    pub(crate) member: MemberId,
    pub(crate) connection: Connection,
}

impl Live {
    /// Opens a stream of a kind.
    pub(crate) async fn open(
        &self,
        kind: StreamKind,
    ) -> Result<(SendStream, RecvStream), LinkError> {
        open(&self.connection, kind).await
    }
}

async fn open(
    connection: &Connection,
    kind: StreamKind,
) -> Result<(SendStream, RecvStream), LinkError> {
    let opened = tokio::time::timeout(OPEN_WAIT, connection.open_bi()).await;
    let (mut send, receive) = opened.map_err(|_| LinkError::Timeout)??;
    let written = send.write_all(&[kind.to_byte()]).await;
    written.map_err(stream::StreamError::from)?;
    Ok((send, receive))
}

/// The sockets that members are dialled from: one per address family that this machine has.
pub(crate) struct Endpoints {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

/// How members are dialled.
#[cfg_attr(feature = "sim", expect(clippy::large_enum_variant, reason = "there is one of it"))]
pub(crate) enum Way {
    /// From these sockets, with this certificate.
    Quic(Endpoints, RwLock<quinn::ClientConfig>),
    /// Over the wires of a simulated world.
    #[cfg(feature = "sim")]
    Memory(wire::memory::Port),
}

impl Way {
    pub(crate) const fn quic(endpoints: Endpoints, client: quinn::ClientConfig) -> Self {
        Self::Quic(endpoints, RwLock::new(client))
    }

    async fn dial(&self, address: &str, name: &str) -> Result<Connection, LinkError> {
        match self {
            Self::Quic(endpoints, client) => {
                let target = resolve(address).await?;
                let client = client.read().unwrap_or_else(PoisonError::into_inner).clone();
                let endpoint = endpoints.reaching(target);
                let endpoint = endpoint.ok_or(LinkError::NoAddress(address.to_owned()))?;
                let connection = endpoint.connect_with(client, target, name)?.await?;
                Ok(wire::over_quic(connection))
            }
            #[cfg(feature = "sim")]
            Self::Memory(port) => Ok(Connection::Memory(port.dial(address).await?)),
        }
    }
}

impl Endpoints {
    /// Binds them.
    pub(crate) fn bind() -> Result<Self, Error> {
        let v6 = crate::identity::client_endpoint(true).ok();
        match crate::identity::client_endpoint(false) {
            Ok(v4) => Ok(Self { v4: Some(v4), v6 }),
            Err(_) if v6.is_some() => Ok(Self { v4: None, v6 }),
            Err(error) => Err(error),
        }
    }

    fn reaching(&self, target: std::net::SocketAddr) -> Option<&Endpoint> {
        if target.is_ipv6() { self.v6.as_ref() } else { self.v4.as_ref() }
    }

    fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.v4.iter().chain(&self.v6)
    }
}

/// One wanted address.
struct Link {
    live: watch::Sender<Option<Live>>,
    cancelled: CancellationToken,
}

/// Every member.
pub(crate) struct Links {
    way: Way,
    cluster: ClusterId,
    links: Mutex<BTreeMap<String, Arc<Link>>>,
    leader: watch::Sender<Option<MemberId>>,
    changed: watch::Sender<u64>,
    tasks: Tasks,
    shutdown: Shutdown,
}

/// What the connections of an edge present and expect.
pub(crate) fn client_config(tls: rustls::ClientConfig) -> Result<quinn::ClientConfig, Error> {
    let crypto = QuicClientConfig::try_from(tls).map_err(Error::QuicTls)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(2 * 1024 * 1024))
        .receive_window(VarInt::from_u32(16 * 1024 * 1024))
        .send_window(16 * 1024 * 1024)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))));
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Who is at the other end, by its certificate.
pub(crate) fn peer_identity(connection: &Connection) -> Option<PeerIdentity> {
    #[cfg(feature = "sim")]
    if let Some(peer) = connection.simulated_peer() {
        return peer.downcast_ref::<PeerIdentity>().cloned();
    }
    let presented = wire::quic(connection)?.peer_identity()?;
    let chain = presented.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PeerIdentity::from_cert(chain.first()?).ok()
}

/// The first address of a `host:port`.
pub(crate) async fn resolve(address: &str) -> Result<std::net::SocketAddr, LinkError> {
    let found = tokio::net::lookup_host(address).await;
    let mut found =
        found.map_err(|source| LinkError::Resolve { address: address.to_owned(), source })?;
    found.next().ok_or_else(|| LinkError::NoAddress(address.to_owned()))
}

impl Links {
    pub(crate) fn new(
        way: Way,
        cluster: ClusterId,
        (tasks, shutdown): (Tasks, Shutdown),
    ) -> Arc<Self> {
        Arc::new(Self {
            way,
            cluster,
            links: Mutex::default(),
            leader: watch::Sender::new(None),
            changed: watch::Sender::new(0),
            tasks,
            shutdown,
        })
    }

    /// The cluster whose members these are.
    pub(crate) const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Dials with a new certificate from here on.
    pub(crate) fn renew(&self, client: quinn::ClientConfig) {
        match &self.way {
            Way::Quic(_, known) => {
                *known.write().unwrap_or_else(PoisonError::into_inner) = client;
            }
            #[cfg(feature = "sim")]
            Way::Memory(_) => {}
        }
    }

    /// Keeps connections to exactly these addresses.
    pub(crate) fn follow(self: &Arc<Self>, addresses: &BTreeSet<String>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|address, link| {
            let is_wanted = addresses.contains(address);
            if !is_wanted {
                link.cancelled.cancel();
            }
            is_wanted
        });
        for address in addresses.iter().take(MEMBERS_MAX) {
            if links.contains_key(address) {
                continue;
            }
            let link = Arc::new(Link {
                live: watch::Sender::new(None),
                cancelled: CancellationToken::new(),
            });
            links.insert(address.clone(), Arc::clone(&link));
            let keep = Arc::clone(self).keep(address.clone(), link);
            self.tasks.spawn("link", keep);
        }
        drop(links);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn keep(self: Arc<Self>, address: String, link: Arc<Link>) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let dialled = tokio::select! {
                biased;
                () = self.shutdown.wait() => return,
                () = link.cancelled.cancelled() => return,
                dialled = tokio::time::timeout(CONNECT_WAIT, self.dial(&address)) => {
                    dialled.unwrap_or(Err(LinkError::Timeout))
                }
            };
            match dialled {
                Ok(live) => {
                    back_off = BACK_OFF_MIN;
                    self.hold(&address, &link, live).await;
                }
                Err(error) => {
                    tracing::debug!(%address, error = %chain(&error), "member not reached")
                }
            }
            tokio::select! {
                biased;
                () = self.shutdown.wait() => return,
                () = link.cancelled.cancelled() => return,
                () = tokio::time::sleep(back_off) => {}
            }
            back_off = back_off.saturating_mul(2).min(BACK_OFF_MAX);
        }
    }

    /// Publishes a connection for as long as it lives.
    async fn hold(&self, address: &str, link: &Link, live: Live) {
        tracing::info!(member = %live.member, %address, "member connected");
        let connection = live.connection.clone();
        link.live.send_replace(Some(live));
        self.announce();
        tokio::select! {
            biased;
            // Triggered only once the journal has drained.
            () = self.shutdown.wait() => {}
            () = link.cancelled.cancelled() => connection.close(VarInt::from_u32(0), b"member left"),
            reason = connection.closed() => {
                tracing::info!(%address, %reason, "member disconnected");
            }
        }
        link.live.send_replace(None);
        self.announce();
    }

    async fn dial(&self, address: &str) -> Result<Live, LinkError> {
        let connection = self.way.dial(address, MEMBER_NAME).await?;
        match peer_identity(&connection) {
            Some(PeerIdentity { cluster, role: Role::Member(member) })
                if cluster == self.cluster =>
            {
                Ok(Live { member, connection })
            }
            Some(_) | None => Err(LinkError::Stranger(address.to_owned())),
        }
    }

    fn announce(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Notes who leads.
    pub(crate) fn set_leader(&self, leader: Option<MemberId>) {
        self.leader.send_if_modified(|known| {
            let is_new = *known != leader;
            *known = leader;
            is_new
        });
    }

    /// Who leads, and when that changes.
    pub(crate) fn leader(&self) -> watch::Receiver<Option<MemberId>> {
        self.leader.subscribe()
    }

    /// Wakes when a member connects or goes, or the members change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Connected members, the leader first.
    pub(crate) fn candidates(&self) -> Vec<Live> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live: Vec<Live> =
            links.values().filter_map(|link| link.live.borrow().clone()).collect();
        drop(links);
        let leader = *self.leader.borrow();
        live.sort_by_key(|candidate| (Some(candidate.member) != leader, candidate.member));
        live.dedup_by_key(|candidate| candidate.member);
        live
    }

    /// The best connected member, waiting for one; `None` after `wait`.
    pub(crate) async fn any(&self, wait: Duration) -> Option<Live> {
        let mut changes = self.changes();
        let found = async {
            loop {
                if let Some(live) = self.candidates().into_iter().next() {
                    return live;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(wait, found).await.ok()
    }

    /// Closes every connection and waits a little until members were told.
    pub(crate) async fn close(&self) {
        let endpoints = match &self.way {
            Way::Quic(endpoints, _) => endpoints,
            #[cfg(feature = "sim")]
            Way::Memory(_) => return,
        };
        for endpoint in endpoints.all() {
            endpoint.close(VarInt::from_u32(0), b"stopping");
            let told = tokio::time::timeout(Duration::from_millis(500), endpoint.wait_idle());
            if told.await.is_err() {
                tracing::debug!("members were not told in time");
            }
        }
    }
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
