//! The accept loop of every HTTP listener: HTTP/1.1 and HTTP/2, with or without TLS.
//!
//! ```text
//! accept ─► permit (connections_max) ─► lane ─► TLS handshake ─► HTTP/1.1 or HTTP/2 ─► router
//!                                                    │                │
//!                                           handshake_timeout    header_timeout, idle
//! ```
//!
//! Every wait for a peer is bounded: a connection on which nothing moves for `idle` is closed,
//! whether the peer sends no request, no more of a body, or takes no more of an answer. A handler
//! that works is not interrupted; its own time limit is the daemon's affair. It must not know any
//! route. Read next: `problem` for what goes around the routes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::clock::Clock;
use crate::config::Secret;
use crate::error::ConfigError;
use crate::shutdown::{Shutdown, Tasks};

mod lanes;

use lanes::Lanes;

/// How long the loop rests after the system refused a connection, for want of file handles mostly.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Least and most time between two looks at a connection's idleness.
const LOOK_MIN: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Bounds of one listener.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Connections at a time; more wait in the system's queue.
    pub connections_max: usize,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for the head of a request, and for the first byte of a connection.
    pub header_timeout: Duration,
    /// Time without movement, while the peer is waited for, after which a connection is closed.
    pub idle: Duration,
    /// Headers of one request.
    pub headers_max: usize,
    /// Bytes of the head of one request; at least 8 KiB.
    pub header_bytes_max: u32,
    /// Requests at a time on one HTTP/2 connection.
    pub streams_max: u32,
    /// Time for running requests once stopping was asked for.
    pub drain: Duration,
    /// Threads that handle the requests, each in the order in which they come; 0: the workers of the
    /// caller's runtime, in any order.
    pub lanes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            headers_max: 64,
            header_bytes_max: 16 * 1024,
            streams_max: 128,
            drain: Duration::from_secs(10),
            lanes: 0,
        }
    }
}

/// Serves `router` until `shutdown`, then lets running requests end within `limits.drain`.
///
/// Handlers find the peer's address as `ConnectInfo<SocketAddr>`. Long-lived answers (live streams)
/// must watch `shutdown` themselves, or are cut at the end of the drain.
///
/// # Errors
/// When the listener has no local address, which means that it is broken, or a lane does not start.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    tls: Option<Arc<ServerConfig>>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, tls = tls.is_some(), "listening");
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let tasks = Tasks::new(shutdown.clone());
    let lanes = Lanes::start(limits.lanes)?;
    let acceptor = tls.map(TlsAcceptor::from);
    let limits = Arc::new(limits);
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((permit, stream, peer)) = accepted else { continue };
        let connection = Connection {
            peer,
            router: router.clone(),
            limits: Arc::clone(&limits),
            shutdown: shutdown.clone(),
        };
        let acceptor = acceptor.clone();
        tasks.spawn_one_on(&lanes.next(), "http connection", async move {
            connection.run(stream, acceptor).await;
            drop(permit);
        });
    }
    drop(listener);
    tasks.join(limits.drain).await;
    tracing::info!(%address, "stopped listening");
    Ok(())
}

/// Refuses plain HTTP anywhere but on loopback.
///
/// # Errors
/// When `address` is not loopback and there is no TLS.
pub const fn refuse_plain_http(address: SocketAddr, has_tls: bool) -> Result<(), ConfigError> {
    let ip = address.ip().to_canonical();
    if has_tls || ip.is_loopback() { Ok(()) } else { Err(ConfigError::PlainHttp { address }) }
}

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1 for a public listener, from two PEM files.
///
/// # Errors
/// When a file cannot be read, the key can be read by others, or they do not fit together.
pub fn tls_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, ConfigError> {
    presenting(certificate, key, rustls::DEFAULT_VERSIONS, &["h2", "http/1.1"])
}

/// TLS 1.3 with HTTP/3 for a public listener over QUIC, from the same files; without early data.
///
/// # Errors
/// As [`tls_config`].
pub fn tls_config_http3(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, ConfigError> {
    presenting(certificate, key, &[&rustls::version::TLS13], &["h3"])
}

fn presenting(
    certificate: &Path,
    key: &Path,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Result<Arc<ServerConfig>, ConfigError> {
    let wrong =
        |path: &Path, problem: String| ConfigError::Certificate { path: path.to_owned(), problem };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "it holds no certificate".to_owned()));
    }
    let secret = Secret::from_file(key)?;
    let private = PrivateKeyDer::from_pem_slice(secret.expose().as_bytes())
        .map_err(|error| wrong(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| wrong(certificate, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong(certificate, error.to_string()))?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

type Accepted = (tokio::sync::OwnedSemaphorePermit, std::net::TcpStream, SocketAddr);

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<Accepted> {
    // The permit first: who has no place is not accepted, so the peer's system waits.
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    // The stream's readiness is to be watched by the runtime that serves it.
    let accepted = listener.accept().await;
    match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
        Ok((stream, peer)) => Some((permit, stream, peer)),
        Err(error) => {
            tracing::warn!(%error, "connection not accepted");
            tokio::time::sleep(ACCEPT_REST).await;
            None
        }
    }
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    limits: Arc<HttpLimits>,
    shutdown: Shutdown,
}

impl Connection {
    async fn run(self, stream: std::net::TcpStream, acceptor: Option<TlsAcceptor>) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "connection not served");
                return;
            }
        };
        // Small answers must not wait for a second packet; a refusal costs only latency.
        let _ = stream.set_nodelay(true);
        match acceptor {
            None => self.speak(stream).await,
            Some(acceptor) => {
                let handshake = acceptor.accept(stream);
                match tokio::time::timeout(self.limits.handshake_timeout, handshake).await {
                    Ok(Ok(stream)) => self.speak(stream).await,
                    Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
                    Err(_) => tracing::debug!("handshake took too long"),
                }
            }
        }
    }

    async fn speak<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, router, limits, shutdown } = self;
        let movement = Arc::new(Movement::new());
        let watched = Arc::clone(&movement);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            watched.request();
            let inner = Arc::clone(&watched);
            let handler = Handler::start(&watched);
            let mut request: Request = request.map(|body| Body::new(Received::new(body, &inner)));
            request.extensions_mut().insert(ConnectInfo(peer));
            let router = router.clone();
            async move {
                let response: Response = match router.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                drop(handler);
                Ok::<_, Infallible>(response.map(|body| Body::new(Sent { body, movement: inner })))
            }
        });
        let builder = builder(&limits);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let look = (limits.idle.min(limits.header_timeout) / 4).clamp(LOOK_MIN, LOOK_MAX);
        let mut is_draining = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error = error.to_string(), "connection ended early");
                    }
                    return;
                }
                () = shutdown.wait(), if !is_draining => {
                    connection.as_mut().graceful_shutdown();
                    is_draining = true;
                }
                () = tokio::time::sleep(look) => {
                    if movement.stands_for(&limits) {
                        tracing::debug!("idle connection closed");
                        return;
                    }
                }
            }
        }
    }
}

fn builder(limits: &HttpLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let bytes = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX).max(8 * 1024);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers_max)
        .max_buf_size(bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes_max)
        .max_concurrent_streams(limits.streams_max)
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(limits.header_timeout);
    builder
}

/// When something last moved on a connection, and whose turn it is.
struct Movement {
    last: AtomicU64,
    has_request: AtomicBool,
    /// Handlers that have not answered yet.
    handlers: AtomicUsize,
    /// Bodies of requests whose next part was asked for and has not come.
    awaited: AtomicUsize,
}

impl Movement {
    fn new() -> Self {
        Self {
            last: AtomicU64::new(Clock::system().monotonic().as_millis()),
            has_request: AtomicBool::new(false),
            handlers: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
        }
    }

    fn touch(&self) {
        self.last.store(Clock::system().monotonic().as_millis(), Ordering::Relaxed);
    }

    fn request(&self) {
        self.has_request.store(true, Ordering::Relaxed);
        self.touch();
    }

    fn stands_for(&self, limits: &HttpLimits) -> bool {
        let is_working = self.handlers.load(Ordering::Relaxed) > 0;
        if is_working && self.awaited.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let now = Clock::system().monotonic().as_millis();
        let still = now.saturating_sub(self.last.load(Ordering::Relaxed));
        let is_started = self.has_request.load(Ordering::Relaxed);
        let bound = if is_started { limits.idle } else { limits.header_timeout };
        Duration::from_millis(still) >= bound
    }
}

/// Counts a handler while it works, however it ends.
struct Handler(Arc<Movement>);

impl Handler {
    fn start(movement: &Arc<Movement>) -> Self {
        movement.handlers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(movement))
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.0.handlers.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

/// The body of a request: every part is movement, and waiting for one is the peer's turn.
struct Received {
    body: Incoming,
    movement: Arc<Movement>,
    is_awaited: bool,
}

impl Received {
    fn new(body: Incoming, movement: &Arc<Movement>) -> Self {
        Self { body, movement: Arc::clone(movement), is_awaited: false }
    }

    fn set_awaited(&mut self, is_awaited: bool) {
        match (self.is_awaited, is_awaited) {
            (false, true) => drop(self.movement.awaited.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.movement.awaited.fetch_sub(1, Ordering::Relaxed)),
            (true, true) | (false, false) => {}
        }
        self.is_awaited = is_awaited;
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.set_awaited(polled.is_pending());
        if polled.is_ready() {
            self.movement.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.set_awaited(false);
    }
}

/// The body of an answer: every part that goes out is movement.
struct Sent {
    body: Body,
    movement: Arc<Movement>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.movement.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
