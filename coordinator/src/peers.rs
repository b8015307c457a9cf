//! One kept QUIC connection to every other member, and calls over it.
//!
//! A call is one bidirectional stream: the kind, one request, one answer. A connection that a call
//! timed out on is dropped, so that a member that came back under the same address is reached by a
//! new one. A dial is shared by everybody who waits for it, and a member that could not be reached is
//! left alone for a moment, so that nobody queues behind dials to a dead one. It must not know what a
//! call means. Read next: `raft/network.rs`, `propose.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use fairground_runtime::pki::{MEMBER_SERVER_NAME, PeerIdentity, Role};
use fairground_seam::link::{self, Connection, RecvStream, SendStream};
use fairground_types::{ClusterId, MemberId};
use fairground_wire::message::StreamKind;
use fairground_wire::raft::{RaftReply, RaftRequest};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use quinn::Endpoint;
use tokio::time::Instant;

use crate::quic::peer_identity;
use crate::stream::{self, StreamError};

/// How long a new connection may take.
const CONNECT_WAIT: Duration = Duration::from_millis(1_500);
/// How long a member that could not be reached is not dialled again.
const DIAL_REST: Duration = Duration::from_millis(250);

/// Why another member gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody has said where the member is.
    #[error("find an address for {0}")]
    NoAddress(MemberId),
    /// The address has no meaning here.
    #[error("resolve the address of {member}")]
    Resolve {
        /// Which member.
        member: MemberId,
        /// What the resolver said.
        #[source]
        source: std::io::Error,
    },
    /// The address cannot be dialled.
    #[error("dial {member}")]
    Dial {
        /// Which member.
        member: MemberId,
        /// What was wrong.
        #[source]
        source: quinn::ConnectError,
    },
    /// No connection came about, or it broke.
    #[error("reach {member}")]
    Connection {
        /// Which member.
        member: MemberId,
        /// Why.
        #[source]
        source: quinn::ConnectionError,
    },
    /// Nothing came in time.
    #[error("hear from {0} in time")]
    Timeout(MemberId),
    /// Somebody else answered at that address.
    #[error("find {0} at its address")]
    Stranger(MemberId),
    /// A dial that others waited for as well came to nothing, now or a moment ago.
    #[error("dial {member} with others")]
    Shared {
        /// Which member.
        member: MemberId,
        /// Why.
        #[source]
        source: Arc<Self>,
    },
    /// The stream broke.
    #[error("talk to {member}")]
    Stream {
        /// Which member.
        member: MemberId,
        /// Why.
        #[source]
        source: StreamError,
    },
}

impl LinkError {
    /// Whether the request cannot have reached the other member.
    pub(crate) const fn never_left(&self) -> bool {
        match self {
            Self::NoAddress(_)
            | Self::Resolve { .. }
            | Self::Dial { .. }
            | Self::Connection { .. }
            | Self::Shared { .. }
            | Self::Stranger(_) => true,
            Self::Timeout(_) | Self::Stream { .. } => false,
        }
    }
}

/// How other members are dialled.
#[derive(Clone)]
pub(crate) enum Way {
    /// From this socket, with this certificate.
    Quic(Endpoint, quinn::ClientConfig),
    /// Over the wires of a simulated world.
    #[cfg(feature = "sim")]
    Memory(link::memory::Port),
}

/// The other members.
pub(crate) struct Peers {
    way: RwLock<Way>,
    cluster: ClusterId,
    addresses: RwLock<BTreeMap<MemberId, String>>,
    links: Mutex<BTreeMap<MemberId, Link>>,
}

type Dialling = Shared<BoxFuture<'static, Result<Connection, Arc<LinkError>>>>;

/// What is known of the way to one member.
#[derive(Default)]
struct Link {
    open: Option<Connection>,
    /// A dial that goes on also when who began it has stopped waiting.
    dialling: Option<Dialling>,
    failed: Option<(Instant, Arc<LinkError>)>,
}

impl Peers {
    pub(crate) fn new(way: Way, cluster: ClusterId) -> Self {
        Self {
            way: RwLock::new(way),
            cluster,
            addresses: RwLock::default(),
            links: Mutex::default(),
        }
    }

    /// Dials with a new certificate from here on.
    pub(crate) fn renew(&self, client: quinn::ClientConfig) {
        match &mut *self.way.write().unwrap_or_else(PoisonError::into_inner) {
            Way::Quic(_, known) => *known = client,
            #[cfg(feature = "sim")]
            Way::Memory(_) => {}
        }
    }

    /// Notes where a member is.
    pub(crate) fn learn(&self, member: MemberId, address: &str) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        let known = addresses.entry(member).or_default();
        if known != address {
            address.clone_into(known);
            self.links().remove(&member);
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<MemberId, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream of a kind.
    pub(crate) async fn open(
        &self,
        member: MemberId,
        kind: StreamKind,
    ) -> Result<(SendStream, RecvStream), LinkError> {
        let connection = self.connection(member).await?;
        let opened = connection.open_bi().await;
        let (mut send, receive) =
            opened.map_err(|source| LinkError::Connection { member, source })?;
        send.write_all(&[kind.to_byte()])
            .await
            .map_err(|source| LinkError::Stream { member, source: source.into() })?;
        Ok((send, receive))
    }

    /// One Raft call. After a time-out the next call dials anew.
    pub(crate) async fn call(
        &self,
        member: MemberId,
        request: &RaftRequest,
        wait: Duration,
    ) -> Result<RaftReply, LinkError> {
        let exchange = async {
            let (mut send, mut receive) = self.open(member, StreamKind::Raft).await?;
            let spoken = async {
                stream::send(&mut send, request).await?;
                // A stream that was stopped has nothing left to finish.
                let _ = send.finish();
                stream::expect::<RaftReply>(&mut receive).await
            };
            spoken.await.map_err(|source| LinkError::Stream { member, source })
        };
        match tokio::time::timeout(wait, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.forget(member);
                Err(LinkError::Timeout(member))
            }
        }
    }

    /// Drops the connection to a member, not a dial: the next call dials anew.
    pub(crate) fn forget(&self, member: MemberId) {
        if let Some(link) = self.links().get_mut(&member) {
            link.open = None;
        }
    }

    async fn connection(&self, member: MemberId) -> Result<Connection, LinkError> {
        let dialling = {
            let mut links = self.links();
            let link = links.entry(member).or_default();
            match &link.open {
                Some(open) if open.close_reason().is_none() => return Ok(open.clone()),
                Some(_) => link.open = None,
                None => {}
            }
            match &link.failed {
                Some((at, source)) if at.elapsed() < DIAL_REST => {
                    return Err(LinkError::Shared { member, source: Arc::clone(source) });
                }
                Some(_) | None => {}
            }
            link.dialling.get_or_insert_with(|| self.dial(member)).clone()
        };
        let dialled = dialling.clone().await;
        let mut links = self.links();
        let link = links.entry(member).or_default();
        if link.dialling.as_ref().is_some_and(|known| known.ptr_eq(&dialling)) {
            link.dialling = None;
            match &dialled {
                Ok(connection) => {
                    link.open = Some(connection.clone());
                    link.failed = None;
                }
                Err(error) => link.failed = Some((Instant::now(), Arc::clone(error))),
            }
        }
        dialled.map_err(|source| LinkError::Shared { member, source })
    }

    fn dial(&self, member: MemberId) -> Dialling {
        let address = {
            let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
            addresses.get(&member).cloned()
        };
        let way = self.way.read().unwrap_or_else(PoisonError::into_inner).clone();
        let cluster = self.cluster;
        let dialling = async move {
            let dialled = async {
                let address = address.ok_or(LinkError::NoAddress(member))?;
                let connection = way.dial(member, &address).await?;
                let meant = PeerIdentity { cluster, role: Role::Member(member) };
                if peer_identity(&connection).is_some_and(|identity| identity == meant) {
                    Ok(connection)
                } else {
                    Err(LinkError::Stranger(member))
                }
            };
            let dialled = tokio::time::timeout(CONNECT_WAIT, dialled).await;
            dialled.unwrap_or(Err(LinkError::Timeout(member))).map_err(Arc::new)
        };
        dialling.boxed().shared()
    }
}

impl Way {
    async fn dial(&self, member: MemberId, address: &str) -> Result<Connection, LinkError> {
        let lost = |source| LinkError::Connection { member, source };
        match self {
            Self::Quic(endpoint, client) => {
                let address = resolve(member, address).await?;
                let connecting = endpoint
                    .connect_with(client.clone(), address, MEMBER_SERVER_NAME)
                    .map_err(|source| LinkError::Dial { member, source })?;
                connecting.await.map(link::over_quic).map_err(lost)
            }
            #[cfg(feature = "sim")]
            Self::Memory(port) => port.dial(address).await.map(Connection::Memory).map_err(lost),
        }
    }
}

async fn resolve(member: MemberId, address: &str) -> Result<SocketAddr, LinkError> {
    let found = tokio::net::lookup_host(address).await;
    let mut found = found.map_err(|source| LinkError::Resolve { member, source })?;
    found.next().ok_or(LinkError::NoAddress(member))
}
