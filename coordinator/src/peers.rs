//! One kept QUIC connection to every other member, and calls over it.
//!
//! A call is one bidirectional stream: the kind, one request, one answer. A connection that a call
//! timed out on is dropped, so that a member that came back under the same address is reached by a
//! new one. It must not know what a call means. Read next: `raft/network.rs`, `propose.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use fairground_runtime::pki::{MEMBER_SERVER_NAME, PeerIdentity, Role};
use fairground_types::{ClusterId, MemberId};
use fairground_wire::message::StreamKind;
use fairground_wire::raft::{RaftReply, RaftRequest};
use quinn::{Connection, Endpoint, RecvStream, SendStream};

use crate::quic::peer_identity;
use crate::stream::{self, StreamError};

/// How long a new connection may take.
const CONNECT_WAIT: Duration = Duration::from_millis(1_500);

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
            | Self::Stranger(_) => true,
            Self::Timeout(_) | Self::Stream { .. } => false,
        }
    }
}

/// The other members.
pub(crate) struct Peers {
    endpoint: Endpoint,
    cluster: ClusterId,
    client: RwLock<quinn::ClientConfig>,
    addresses: RwLock<BTreeMap<MemberId, String>>,
    links: Mutex<BTreeMap<MemberId, Arc<Link>>>,
}

#[derive(Default)]
struct Link {
    open: tokio::sync::Mutex<Option<Connection>>,
}

impl Peers {
    pub(crate) fn new(endpoint: Endpoint, cluster: ClusterId, client: quinn::ClientConfig) -> Self {
        Self {
            endpoint,
            cluster,
            client: RwLock::new(client),
            addresses: RwLock::default(),
            links: Mutex::default(),
        }
    }

    /// Dials with a new certificate from here on.
    pub(crate) fn renew(&self, client: quinn::ClientConfig) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Notes where a member is.
    pub(crate) fn learn(&self, member: MemberId, address: &str) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        let known = addresses.entry(member).or_default();
        if known != address {
            address.clone_into(known);
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.remove(&member);
        }
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
            Ok(Err(error)) => {
                self.forget_broken(member).await;
                Err(error)
            }
            Err(_) => {
                self.forget(member);
                Err(LinkError::Timeout(member))
            }
        }
    }

    /// Drops the connection to a member: the next call dials anew.
    pub(crate) fn forget(&self, member: MemberId) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.remove(&member);
    }

    async fn forget_broken(&self, member: MemberId) {
        let link = self.link(member);
        let mut open = link.open.lock().await;
        if open.as_ref().is_some_and(|connection| connection.close_reason().is_some()) {
            *open = None;
        }
    }

    fn link(&self, member: MemberId) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(links.entry(member).or_default())
    }

    async fn connection(&self, member: MemberId) -> Result<Connection, LinkError> {
        let link = self.link(member);
        let mut open = link.open.lock().await;
        if let Some(connection) = open.as_ref()
            && connection.close_reason().is_none()
        {
            return Ok(connection.clone());
        }
        *open = None;
        let dialled = tokio::time::timeout(CONNECT_WAIT, self.dial(member)).await;
        let connection = dialled.map_err(|_| LinkError::Timeout(member))??;
        *open = Some(connection.clone());
        Ok(connection)
    }

    async fn dial(&self, member: MemberId) -> Result<Connection, LinkError> {
        let address = self.resolve(member).await?;
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connecting = self
            .endpoint
            .connect_with(client, address, MEMBER_SERVER_NAME)
            .map_err(|source| LinkError::Dial { member, source })?;
        let connection =
            connecting.await.map_err(|source| LinkError::Connection { member, source })?;
        let is_meant = peer_identity(&connection).is_some_and(|identity| {
            identity == PeerIdentity { cluster: self.cluster, role: Role::Member(member) }
        });
        if is_meant { Ok(connection) } else { Err(LinkError::Stranger(member)) }
    }

    async fn resolve(&self, member: MemberId) -> Result<SocketAddr, LinkError> {
        let address = {
            let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
            addresses.get(&member).cloned().ok_or(LinkError::NoAddress(member))?
        };
        let found = tokio::net::lookup_host(&address).await;
        let mut found = found.map_err(|source| LinkError::Resolve { member, source })?;
        found.next().ok_or(LinkError::NoAddress(member))
    }
}
