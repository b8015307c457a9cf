//! Answers other edges of the cluster that ask for blobs: from the cache, and from nothing else.
//!
//! ```text
//!   accept --> certificate of an edge of this cluster? --> Get(hash) --> cache --> bytes | absent
//! ```
//! Nothing is fetched for a sibling, so that questions never go in circles. Connections, streams and
//! answers at a time are bounded. It must not know names or tokens: edges of one cluster trust each
//! other with media, and each refuses its own viewers. Read next: `link/sibling.rs`, which asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::pki::{self, Identity, PeerIdentity, Role};
use fairground_seam::link::{self as wire, RecvStream, SendStream};
use fairground_wire::message::{BlobRequest, BlobResponse, StreamKind};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, IdleTimeout, Incoming, TransportConfig, VarInt};
use tokio::sync::Semaphore;

use crate::edge::Edge;
use crate::error::Error;
use crate::link::blob::BlobError;
use crate::link::stream::{self, StreamError};
use crate::link::{chain, peer_identity};

/// Edges that are connected at a time.
const CONNECTIONS_MAX: usize = 64;
/// Questions of one edge at a time.
const STREAMS_MAX: u32 = 16;
/// Answers at a time.
const ANSWERS_MAX: usize = 16;
const IDLE_MILLIS: u32 = 10_000;
const HANDSHAKE_WAIT: Duration = Duration::from_secs(2);
const QUESTION_WAIT: Duration = Duration::from_secs(2);
/// A sibling that is slower asks the members.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Listens for siblings, when the option names an address.
pub(crate) fn bind(listen: &str, identity: &Identity) -> Result<Option<Endpoint>, Error> {
    if listen.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = listen.parse().map_err(|_| Error::Option {
        option: "sibling_listen",
        problem: format!("`{listen}` is not an address and port"),
    })?;
    if address.port() == 0 {
        let problem = "siblings must know the port".to_owned();
        return Err(Error::Option { option: "sibling_listen", problem });
    }
    let bound = Endpoint::server(server_config(identity)?, address);
    bound.map(Some).map_err(|source| Error::Bind { address, source })
}

/// What siblings are shown and allowed.
pub(crate) fn server_config(identity: &Identity) -> Result<quinn::ServerConfig, Error> {
    let crypto =
        QuicServerConfig::try_from(pki::server_config(identity)?).map_err(Error::QuicTls)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .send_window(16 * 1024 * 1024)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))));
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Keeps the list of siblings true, and answers them, until shutdown.
pub(crate) async fn serve(edge: Arc<Edge>, endpoint: Endpoint) {
    const LOOK_PERIOD: Duration = Duration::from_secs(1);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let answers = Arc::new(Semaphore::new(ANSWERS_MAX));
    let mut looks = tokio::time::interval(LOOK_PERIOD);
    loop {
        let incoming = tokio::select! {
            biased;
            () = edge.shutdown.wait() => break,
            _ = looks.tick() => {
                let own = edge.status();
                let rows = edge.directory.rows(own.clone());
                edge.delivery.origin.siblings.follow(&own, &rows);
                continue;
            }
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let (edge_of_it, answers) = (Arc::clone(&edge), Arc::clone(&answers));
        edge.tasks.spawn_one("sibling", async move {
            converse(&edge_of_it, incoming, &answers).await;
            drop(place);
        });
    }
    endpoint.close(VarInt::from_u32(0), b"stopping");
}

/// One sibling's connection, until it or the edge ends.
async fn converse(edge: &Arc<Edge>, incoming: Incoming, answers: &Arc<Semaphore>) {
    let Ok(Ok(connection)) = tokio::time::timeout(HANDSHAKE_WAIT, incoming).await else { return };
    let connection = wire::over_quic(connection);
    let is_sibling = matches!(
        peer_identity(&connection),
        Some(PeerIdentity { cluster, role: Role::Edge(_) }) if cluster == edge.links.cluster()
    );
    if !is_sibling {
        connection.close(VarInt::from_u32(0), b"only edges of this cluster");
        return;
    }
    loop {
        let opened = tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            opened = connection.accept_bi() => opened,
        };
        let Ok((send, receive)) = opened else { return };
        let (edge_of_it, answers) = (Arc::clone(edge), Arc::clone(answers));
        edge.tasks.spawn_one("sibling stream", async move {
            let answered = answer(&edge_of_it, (send, receive), &answers).await;
            if let Err(error) = answered {
                tracing::debug!(error = %chain(&error), "a sibling was not answered");
            }
        });
    }
}

async fn answer(
    edge: &Edge,
    (mut send, mut receive): (SendStream, RecvStream),
    answers: &Semaphore,
) -> Result<(), BlobError> {
    let asked = tokio::time::timeout(QUESTION_WAIT, question(&mut receive)).await;
    let asked = asked.map_err(|_| crate::link::LinkError::Timeout)??;
    let Some(BlobRequest::Get { hash }) = asked else { return Err(BlobError::Absent) };
    // Full: the members have time.
    let place = answers.try_acquire();
    let found = match place {
        Ok(_) => edge.delivery.origin.cache.get(&hash).await,
        Err(_) => None,
    };
    let told = async {
        match found {
            Some(bytes) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                stream::send(&mut send, &BlobResponse::Found { bytes: length }).await?;
                send.write_all(&bytes).await?;
            }
            None => stream::send(&mut send, &BlobResponse::Absent).await?,
        }
        // A stream that the sibling stopped has nothing left to finish.
        let _ = send.finish();
        Ok::<(), StreamError>(())
    };
    let told = tokio::time::timeout(ANSWER_WAIT, told).await;
    drop(place);
    Ok(told.map_err(|_| crate::link::LinkError::Timeout)??)
}

/// What is asked; `None` when it is nothing about blobs.
async fn question(receive: &mut RecvStream) -> Result<Option<BlobRequest>, StreamError> {
    let mut kind = [0_u8; 1];
    receive.read_exact(&mut kind).await?;
    let [kind] = kind;
    match StreamKind::from_byte(kind) {
        Some(StreamKind::Blob) => Ok(Some(stream::expect(receive).await?)),
        Some(_) | None => Ok(None),
    }
}
