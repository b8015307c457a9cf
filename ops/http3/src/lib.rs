//! HTTP/3 for media: a QUIC listener that hands GETs below some paths to a daemon's own router.
//!
//! ```text
//! datagrams ─► place ─► handshake ─► HTTP/3 ─► head of a request ─► admit ─► router ─► DATA
//!                │          │                        │                │
//!         all, per network  │                 header_timeout    421, 405: no body is ever read
//!         retry when half full                 and bytes
//!                    handshake_timeout
//! ```
//!
//! The router is the one of the TCP listener, so that every rule of a route is the same here. Every
//! wait for a peer is bounded, as in `fairground_runtime::http`; 0-RTT is not taken, since a replay
//! would count twice. It must not know a route or what a token is. Read next: `connection.rs` for the
//! life of a connection, `wire.rs` for what the crate `h3` leaves to us, ADR 0006 for why.

mod connection;
mod metrics;
mod place;
mod request;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use fairground_runtime::shutdown::{Shutdown, Tasks};
use http::{HeaderValue, header};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, Incoming, TokioRuntime, TransportConfig, VarInt,
};

pub use crate::metrics::describe;

use crate::connection::Context;
use crate::place::{Place, Places};

/// Streams in one direction that a peer may have open: control, two of QPACK, a push it must not
/// have, and some of reserved types (RFC 9114 section 6.2).
const UNI_STREAMS_MAX: u32 = 8;
/// Bytes that a peer may send ahead of us, on a stream and on a connection: heads of requests only.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of answers that a connection holds until they are acknowledged.
const SEND_WINDOW: u64 = 1024 * 1024;
/// Connections whose first packet has come and that nobody has looked at, and their bytes.
const INCOMING_MAX: usize = 256;
const INCOMING_BYTES_MAX: u64 = 64 * 1024;
const INCOMING_BYTES_ALL_MAX: u64 = 4 * 1024 * 1024;
/// How long peers are given to hear that this listener closes.
const CLOSING_WAIT: Duration = Duration::from_millis(300);
/// How long clients remember that there is HTTP/3 here, in seconds.
const ADVERTISED_SECS: u32 = 86_400;

/// Bounds of one listener.
#[derive(Clone, Debug)]
pub struct Http3Limits {
    /// Connections at a time; more are refused. Each holds at most 1 MiB of answers.
    pub connections_max: usize,
    /// Connections at a time from one IPv4 address or one IPv6 /64.
    pub connections_per_network_max: usize,
    /// Time for a handshake, and for the first frames after it.
    pub handshake_timeout: Duration,
    /// Time for the head of a request.
    pub header_timeout: Duration,
    /// Time without a request or without movement of an answer, after which it or its connection is
    /// ended.
    pub idle: Duration,
    /// Bytes of the head of one request, as RFC 9114 section 4.2.2 counts them.
    pub header_bytes_max: u32,
    /// Requests at a time on one connection.
    pub streams_max: u32,
    /// Time for running requests once stopping was asked for.
    pub drain: Duration,
}

impl Default for Http3Limits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_network_max: 64,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            header_bytes_max: 16 * 1024,
            streams_max: 128,
            drain: Duration::from_secs(10),
        }
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The TLS settings are none that QUIC takes.
    #[error("set up QUIC")]
    Tls(#[from] NoInitialCipherSuite),
    /// The address is in use or not ours.
    #[error("listen on {address}")]
    Bind {
        /// The address, UDP.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A bound socket that nobody is served on yet.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    address: SocketAddr,
    limits: Http3Limits,
}

impl Listener {
    /// Binds `address`, UDP. `tls` names `h3` and nothing else as its protocol. Must be called inside
    /// the runtime that serves.
    ///
    /// # Errors
    /// When the address cannot be bound, or `tls` lacks TLS 1.3 with AES-128-GCM.
    pub fn bind(
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        limits: Http3Limits,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address, source };
        let mut config =
            quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
        config
            .transport_config(Arc::new(transport(&limits)))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_ALL_MAX);
        let socket = std::net::UdpSocket::bind(address).map_err(failed)?;
        let settings = EndpointConfig::default();
        let endpoint = Endpoint::new(settings, Some(config), socket, Arc::new(TokioRuntime))
            .map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?;
        Ok(Self { endpoint, address, limits })
    }

    /// Where it listens, UDP.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What is served.
#[derive(Clone, Debug)]
pub struct Media {
    /// The daemon's routes.
    pub router: Router,
    /// Beginnings of the paths that are answered; every other is 421.
    pub prefixes: &'static [&'static str],
}

/// Serves `media` until `shutdown`, then lets running requests end within the listener's drain.
///
/// Handlers find the peer's address as `ConnectInfo<SocketAddr>`: where the connection is now, which
/// a peer may change (RFC 9000 section 9).
pub async fn serve(listener: Listener, media: Media, shutdown: Shutdown) {
    let Listener { endpoint, address, limits } = listener;
    tracing::info!(%address, "listening for HTTP/3");
    let places = Places::new(limits.connections_max, limits.connections_per_network_max);
    let tasks = Tasks::new(shutdown.clone());
    let drain = limits.drain;
    let context = Arc::new(Context { media, limits, shutdown: shutdown.clone() });
    loop {
        let incoming = tokio::select! {
            biased;
            () = shutdown.wait() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let Some((incoming, place)) = seat(&places, incoming) else { continue };
        let context = Arc::clone(&context);
        tasks.spawn_one("http3 connection", async move {
            connection::run(context, incoming).await;
            drop(place);
        });
    }
    // Whoever comes now hears nothing and asks another edge, or this one over TCP.
    endpoint.set_server_config(None);
    tasks.join(drain).await;
    endpoint.close(wire::close_code(h3::error::Code::H3_NO_ERROR), b"stopping");
    // Peers learn of the end when the last packets are out; nobody waits longer than this.
    let _ = tokio::time::timeout(CLOSING_WAIT, endpoint.wait_idle()).await;
    tracing::info!(%address, "stopped listening for HTTP/3");
}

/// Says on answers below `prefixes` that they are had over HTTP/3 too, on UDP `port` of the same host
/// (RFC 7838 section 3). The whole origin is meant by that: who then asks for something else here is
/// answered 421 and asks again over TCP.
pub fn advertise(router: Router, prefixes: &'static [&'static str], port: u16) -> Router {
    let Ok(service) = HeaderValue::from_str(&format!("h3=\":{port}\"; ma={ADVERTISED_SECS}"))
    else {
        return router;
    };
    router.layer(from_fn(move |request: Request, next: Next| {
        let service = service.clone();
        async move {
            let is_media = request::is_below(prefixes, request.uri().path());
            let mut response = next.run(request).await;
            if is_media {
                response.headers_mut().insert(header::ALT_SVC, service);
            }
            response
        }
    }))
}

/// A place for a connection that comes in; without one it is refused, and none is kept for an address
/// that may be forged while places are few.
fn seat(places: &Arc<Places>, incoming: Incoming) -> Option<(Incoming, Place)> {
    if places.are_few() && !incoming.remote_address_validated() && incoming.may_retry() {
        // An error gives the connection back, whose drop refuses it.
        let _ = incoming.retry();
        metrics::refused("retry");
        return None;
    }
    match places.take(incoming.remote_address().ip()) {
        Ok(place) => Some((incoming, place)),
        Err(full) => {
            metrics::refused(full.name());
            incoming.refuse();
            None
        }
    }
}

fn transport(limits: &Http3Limits) -> TransportConfig {
    let idle = u32::try_from(limits.idle.as_millis()).unwrap_or(u32::MAX);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))));
    transport
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn answers_below_the_prefixes_alone_name_the_service() {
        let routes = Router::new()
            .route("/p/{*path}", get(|| async { "media" }))
            .route("/v1/feed", get(|| async { "feed" }));
        let router = advertise(routes, &["/p/"], 8443);
        let named = async |path: &str| {
            let request = http::Request::builder().uri(path).body(Body::empty()).expect("request");
            let response = router.clone().oneshot(request).await.expect("answered");
            response
                .headers()
                .get(header::ALT_SVC)
                .map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(named("/p/a/b").await.as_deref(), Some("h3=\":8443\"; ma=86400"));
        assert_eq!(named("/v1/feed").await, None);
        assert_eq!(named("/nothing").await, None);
    }
}
