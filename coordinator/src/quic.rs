//! The QUIC endpoint: one socket that daemons connect to and that other members are dialled from.
//!
//! ```text
//!  ALPN fairground/1        certificate of this cluster required    sessions by stream kind
//!  ALPN fairground-join/1   no certificate                          join streams only
//! ```
//! Who a peer is comes from its certificate and from nowhere else; an edge that names another edge
//! in a message is refused by the session. It must not know what a session does. Read next:
//! `edge/mod.rs`, `raft/serve.rs`, `join.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use fairground_runtime::ids::random_bytes;
use fairground_runtime::pki::{self, PeerIdentity, Role};
use fairground_runtime::shutdown::Shutdown;
use fairground_seam::link::{self, Connection, QuicConnection, RecvStream, SendStream};
use fairground_types::limits::EDGES_MAX;
use fairground_wire::message::StreamKind;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{
    ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout, Incoming,
    TokioRuntime, TransportConfig, VarInt,
};
use rustls_pki_types::CertificateDer;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::member::Member;
use crate::{edge, join, raft};

/// Bytes of a connection's name.
const CONNECTION_NAME_LEN: usize = 8;
/// Streams that one peer may have open.
const STREAMS_MAX: u32 = 1_024;
/// Connections at a time: every edge twice, and the members.
const CONNECTIONS_MAX: usize = EDGES_MAX * 2 + 100;
const KEEP_ALIVE: Duration = Duration::from_secs(1);
const IDLE_MILLIS: u32 = 6_000;
/// How long a peer may take for its handshake and the first byte of a stream.
const OPENING_WAIT: Duration = Duration::from_secs(5);

/// How long peers are given to hear that this member stops.
const CLOSING_WAIT: Duration = Duration::from_millis(300);

/// Closed because this member stops.
pub(crate) const CLOSE_STOPPING: VarInt = VarInt::from_u32(1);
/// Closed because the peer may not do what it did.
pub(crate) const CLOSE_REFUSED: VarInt = VarInt::from_u32(2);

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(2 * 1024 * 1024))
        .receive_window(VarInt::from_u32(32 * 1024 * 1024))
        .send_window(32 * 1024 * 1024)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))));
    Arc::new(transport)
}

/// What the socket presents to peers.
pub(crate) fn server_config(tls: rustls::ServerConfig) -> Result<quinn::ServerConfig, Error> {
    let crypto = QuicServerConfig::try_from(tls).map_err(Error::QuicTls)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport());
    Ok(config)
}

/// What this member presents when it dials.
pub(crate) fn client_config(tls: rustls::ClientConfig) -> Result<quinn::ClientConfig, Error> {
    let crypto = QuicClientConfig::try_from(tls).map_err(Error::QuicTls)?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    Ok(config)
}

/// Random names of connections. Any is taken for one of ours, so that a packet of a connection that
/// died with an earlier process is answered by a reset.
struct ConnectionNames;

impl ConnectionIdGenerator for ConnectionNames {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&random_bytes::<CONNECTION_NAME_LEN>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_NAME_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Binds the socket. With the same `reset_key` as before a restart, peers of the process before
/// learn at once that it is gone (RFC 9000 section 10.3), instead of by silence.
pub(crate) fn bind(
    listen: SocketAddr,
    server: quinn::ServerConfig,
    reset_key: &[u8; 32],
) -> Result<Endpoint, Error> {
    let failed = |source| Error::Bind { address: listen, source };
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset_key)));
    config.cid_generator(|| Box::new(ConnectionNames));
    let socket = std::net::UdpSocket::bind(listen).map_err(failed)?;
    Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime)).map_err(failed)
}

/// Who is at the other end, by its certificate.
pub(crate) fn peer_identity(connection: &Connection) -> Option<PeerIdentity> {
    #[cfg(feature = "sim")]
    if let Some(peer) = connection.simulated_peer() {
        return peer.downcast_ref::<PeerIdentity>().cloned();
    }
    let presented = link::quic(connection)?.peer_identity()?;
    let chain = presented.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PeerIdentity::from_cert(chain.first()?).ok()
}

fn protocol(connection: &QuicConnection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    data.protocol
}

/// Accepts peers until `shutdown`, then closes the endpoint.
pub(crate) async fn accept(member: Arc<Member>, endpoint: Endpoint, shutdown: Shutdown) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.wait() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            incoming = endpoint.accept() => match incoming {
                Some(incoming) if connections.len() >= CONNECTIONS_MAX => incoming.refuse(),
                Some(incoming) => {
                    connections.spawn(serve_connection(Arc::clone(&member), incoming));
                }
                None => break,
            },
        }
    }
    endpoint.close(CLOSE_STOPPING, b"stopping");
    connections.shutdown().await;
    // Peers learn of the end when the last packets are out; nobody waits longer than this.
    let _ = tokio::time::timeout(CLOSING_WAIT, endpoint.wait_idle()).await;
}

async fn serve_connection(member: Arc<Member>, incoming: Incoming) {
    let connection = match tokio::time::timeout(OPENING_WAIT, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "handshake failed");
            return;
        }
        Err(_) => return,
    };
    let (remote, protocol) = (connection.remote_address(), protocol(&connection));
    let connection = link::over_quic(connection);
    let served = match protocol.as_deref() {
        Some(pki::ALPN_JOIN) => join::serve_connection(&member, &connection).await,
        Some(pki::ALPN) => serve_peer(&member, &connection).await,
        Some(_) | None => Err("protocol"),
    };
    if let Err(reason) = served {
        metrics::counter!(crate::metrics::PEERS_REFUSED).increment(1);
        tracing::warn!(peer = %remote, reason, "peer refused");
        connection.close(CLOSE_REFUSED, reason.as_bytes());
    }
}

/// Serves the streams of a connection until it ends.
pub(crate) async fn serve_peer(
    member: &Arc<Member>,
    connection: &Connection,
) -> Result<(), &'static str> {
    let identity = peer_identity(connection).ok_or("certificate required")?;
    if identity.cluster != member.cluster {
        return Err("another cluster");
    }
    let _connected = match &identity.role {
        Role::Edge(edge) => Some(member.edges.connected(edge)),
        Role::Member(_) => None,
    };
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
            opened = connection.accept_bi() => {
                let Ok((send, receive)) = opened else { break };
                streams.spawn(serve_stream(
                    Arc::clone(member),
                    identity.role.clone(),
                    connection.clone(),
                    (send, receive),
                ));
            }
        }
    }
    streams.shutdown().await;
    Ok(())
}

async fn serve_stream(
    member: Arc<Member>,
    peer: Role,
    connection: Connection,
    (send, mut receive): (SendStream, RecvStream),
) {
    let mut kind = [0_u8; 1];
    let first = tokio::time::timeout(OPENING_WAIT, receive.read_exact(&mut kind)).await;
    let Ok(Ok(())) = first else { return };
    let [kind] = kind;
    let served = match (StreamKind::from_byte(kind), peer) {
        (Some(StreamKind::Raft), Role::Member(from)) => {
            Box::pin(raft::serve::serve(&member, from, send, receive)).await
        }
        (Some(StreamKind::History), Role::Member(_)) => member.history.serve(send, receive).await,
        (Some(StreamKind::Join), _) => join::renew(&member, &connection, send, receive).await,
        (Some(StreamKind::Blob), peer) => {
            let is_edge = matches!(peer, Role::Edge(_));
            edge::blob::serve(&member, is_edge, send, receive).await
        }
        (Some(StreamKind::Beat), peer) => edge::beat::serve(&member, &peer, send, receive).await,
        (Some(StreamKind::Forward), peer) => {
            Box::pin(edge::forward::serve(&member, &peer, send, receive)).await
        }
        (Some(StreamKind::Uplink), Role::Edge(edge)) => {
            Box::pin(edge::uplink::serve(&member, &edge, send, receive)).await
        }
        (Some(StreamKind::Feed), Role::Edge(_)) => edge::feed::serve(&member, send, receive).await,
        (
            Some(
                StreamKind::Raft
                | StreamKind::Uplink
                | StreamKind::Feed
                | StreamKind::Clock
                | StreamKind::History,
            ),
            _,
        )
        | (None, _) => {
            connection.close(CLOSE_REFUSED, b"stream kind");
            return;
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, kind, "stream ended");
    }
}
