//! The listener against the client of `h3` on loopback, with a certificate that only the test trusts.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails ends its test, in helpers as in the test itself"
)]

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use bytes::{BufMut as _, Bytes, BytesMut};
use fairground_http3::{Http3Limits, Listener, Media, serve};
use fairground_runtime::http::tls_config_http3;
use fairground_runtime::shutdown::{Shutdown, Tasks};
use h3::client::SendRequest;
use h3::error::{Code, StreamError};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, TransportConfig};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

const NAME: &str = "edge.example";
/// Longest wait for anything that should happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing happens where nothing should.
const MOMENT: Duration = Duration::from_millis(300);

struct Running {
    address: SocketAddr,
    certificate: rustls::pki_types::CertificateDer<'static>,
    shutdown: Shutdown,
    tasks: Tasks,
    _dir: TempDir,
}

type Requests = SendRequest<h3_quinn::OpenStreams, Bytes>;

struct Client {
    requests: Requests,
    connection: quinn::Connection,
    _endpoint: Endpoint,
}

fn start(router: Router, limits: Http3Limits) -> Running {
    let dir = TempDir::new().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let tls = tls_config_http3(&certificate, &key).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::bind(any, tls, limits).unwrap();
    let address = listener.address();
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let media = Media { router, prefixes: &["/p/"] };
    tasks.spawn("serve", serve(listener, media, shutdown.clone()));
    Running { address, certificate: made.cert.der().clone(), shutdown, tasks, _dir: dir }
}

impl Running {
    async fn connect(&self) -> Result<Client, ConnectionError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let mut transport = TransportConfig::default();
        // A client that stands still does not look gone.
        transport.keep_alive_interval(Some(Duration::from_millis(50)));
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let connection = endpoint.connect_with(config, self.address, NAME).unwrap().await?;
        let wire = h3_quinn::Connection::new(connection.clone());
        let (mut driver, requests) = h3::client::new(wire).await.unwrap();
        self.tasks.spawn_one("client", async move {
            driver.wait_idle().await;
        });
        Ok(Client { requests, connection, _endpoint: endpoint })
    }

    async fn stop(self) {
        self.shutdown.trigger();
        assert!(self.tasks.join(PATIENCE).await.is_empty(), "the listener stops");
    }
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("https://{NAME}{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

async fn exchange(
    requests: &mut Requests,
    request: Request<()>,
) -> Result<(Response<()>, Bytes), StreamError> {
    let mut stream = requests.send_request(request).await?;
    stream.finish().await?;
    let response = stream.recv_response().await?;
    let mut body = BytesMut::new();
    while let Some(part) = stream.recv_data().await? {
        body.put(part);
    }
    Ok((response, body.freeze()))
}

impl Client {
    async fn get(&mut self, path: &str) -> (Response<()>, Bytes) {
        let exchange = exchange(&mut self.requests, request(Method::GET, path));
        timeout(PATIENCE, exchange).await.expect("in time").expect("answered")
    }
}

fn header_of<'a>(response: &'a Response<()>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A handler that waits until it is let go, and counts who waits with it.
#[derive(Clone)]
struct Gate {
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    open: watch::Sender<bool>,
}

impl Gate {
    fn new() -> Self {
        Self { inside: Arc::default(), most: Arc::default(), open: watch::Sender::new(false) }
    }

    async fn pass(self) -> &'static str {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        let mut opened = self.open.subscribe();
        opened.wait_for(|open| *open).await.unwrap();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        "passed"
    }

    fn router(&self) -> Router {
        let gate = self.clone();
        Router::new()
            .route("/p/gate", get(move || gate.clone().pass()))
            .route("/p/quick", get(|| async { "quick" }))
    }

    async fn until_inside(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.inside.load(Ordering::SeqCst) < count {
            assert!(tokio::time::Instant::now() < deadline, "{count} requests inside");
            tokio::task::yield_now().await;
        }
    }
}

fn library() -> Router {
    let segment = Bytes::from(vec![7_u8; 300_000]);
    let whole = segment.clone();
    Router::new()
        .route(
            "/p/t/a/1/c360.m3u8",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
                format!("#EXTM3U\n# for {}\n", peer.ip())
            }),
        )
        .route("/p/t/a/1/0.m4s", get(move || async move { whole.clone() }))
        .route(
            "/p/t/a/1/part.m4s",
            get(move |headers: HeaderMap| async move {
                assert_eq!(headers.get(header::RANGE).unwrap(), "bytes=5-14");
                let range = [(header::CONTENT_RANGE, "bytes 5-14/300000")];
                (StatusCode::PARTIAL_CONTENT, range, segment.slice(5..15))
            }),
        )
        .route("/v1/feed", get(|| async { "never" }).post(|| async { "never" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn media_are_fetched_by_get_range_and_head() {
    let running = start(library(), Http3Limits::default());
    let mut client = running.connect().await.unwrap();
    let (response, body) = client.get("/p/t/a/1/c360.m3u8").await;
    assert_eq!(response.status(), 200);
    assert_eq!(body, "#EXTM3U\n# for 127.0.0.1\n");
    assert_eq!(header_of(&response, "content-length"), body.len().to_string());

    let (response, body) = client.get("/p/t/a/1/0.m4s").await;
    assert_eq!((response.status(), body.len()), (StatusCode::OK, 300_000));
    assert!(body.iter().all(|byte| *byte == 7));

    let mut ranged = request(Method::GET, "/p/t/a/1/part.m4s");
    ranged.headers_mut().insert(header::RANGE, "bytes=5-14".parse().unwrap());
    let (response, body) = exchange(&mut client.requests, ranged).await.unwrap();
    assert_eq!((response.status(), body.len()), (StatusCode::PARTIAL_CONTENT, 10));
    assert_eq!(header_of(&response, "content-range"), "bytes 5-14/300000");

    let head = request(Method::HEAD, "/p/t/a/1/0.m4s");
    let (response, body) = exchange(&mut client.requests, head).await.unwrap();
    assert_eq!((response.status(), body.len()), (StatusCode::OK, 0));
    assert_eq!(header_of(&response, "content-length"), "300000");
    drop(client);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_refused_without_reading_a_body() {
    let running = start(library(), Http3Limits::default());
    let mut client = running.connect().await.unwrap();
    for (method, path, status, code) in [
        (Method::GET, "/v1/feed", 421, "MISDIRECTED_REQUEST"),
        (Method::OPTIONS, "/p/t/a/1/0.m4s", 421, "MISDIRECTED_REQUEST"),
        (Method::POST, "/p/t/a/1/0.m4s", 405, "METHOD_NOT_ALLOWED"),
        (Method::DELETE, "/p/t/a/1/0.m4s", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let asked = request(method.clone(), path);
        let (response, body) = exchange(&mut client.requests, asked).await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(header_of(&response, "content-type"), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
    }
    // A body that is never finished: the answer comes all the same, and the peer is asked to stop.
    let mut stream = client.requests.send_request(request(Method::POST, "/v1/feed")).await.unwrap();
    let sent = stream.send_data(Bytes::from_static(b"{}")).await;
    assert!(sent.is_ok() || matches!(sent, Err(StreamError::RemoteTerminate { .. })));
    let response = timeout(PATIENCE, stream.recv_response()).await.unwrap().unwrap();
    assert_eq!(response.status(), 421);
    drop(stream);
    // The connection goes on.
    assert_eq!(client.get("/p/t/a/1/c360.m3u8").await.0.status(), 200);
    drop(client);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_connection_are_bounded() {
    let gate = Gate::new();
    let limits = Http3Limits { streams_max: 2, ..Http3Limits::default() };
    let running = start(gate.router(), limits);
    let client = running.connect().await.unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..6 {
        let mut requests = client.requests.clone();
        asked.spawn(async move {
            exchange(&mut requests, request(Method::GET, "/p/gate")).await.unwrap()
        });
    }
    gate.until_inside(2).await;
    assert!(timeout(MOMENT, asked.join_next()).await.is_err(), "nobody has passed");
    assert_eq!(gate.inside.load(Ordering::SeqCst), 2);
    gate.open.send_replace(true);
    while let Some(answered) = timeout(PATIENCE, asked.join_next()).await.expect("in time") {
        assert_eq!(answered.unwrap().1, "passed");
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 2);
    drop(client);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_network_are_bounded_and_places_come_back() {
    let limits = Http3Limits { connections_per_network_max: 1, ..Http3Limits::default() };
    let running = start(library(), limits);
    let first = running.connect().await.unwrap();
    let refused = running.connect().await.err().expect("no second place");
    assert!(matches!(refused, ConnectionError::ConnectionClosed(_)), "{refused}");
    first.connection.close(0x100_u32.into(), b"");
    drop(first);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut second = loop {
        match running.connect().await {
            Ok(client) => break client,
            Err(_) => assert!(tokio::time::Instant::now() < deadline, "the place is free again"),
        }
    };
    assert_eq!(second.get("/p/t/a/1/c360.m3u8").await.0.status(), 200);
    drop(second);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_is_cut_and_others_are_not() {
    let large = Bytes::from(vec![1_u8; 16 * 1024 * 1024]);
    let router = Router::new()
        .route("/p/large", get(move || async move { large.clone() }))
        .route("/p/quick", get(|| async { "quick" }));
    let limits = Http3Limits { idle: Duration::from_secs(2), ..Http3Limits::default() };
    let running = start(router, limits);
    let mut client = running.connect().await.unwrap();
    let mut stream = client.requests.send_request(request(Method::GET, "/p/large")).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(stream.recv_response().await.unwrap().status(), 200);
    // Others are answered while nothing of it is read, for longer than the idle time.
    let until = tokio::time::Instant::now() + Duration::from_secs(6);
    while tokio::time::Instant::now() < until {
        assert_eq!(client.get("/p/quick").await.1, "quick");
    }
    let cut = loop {
        match timeout(PATIENCE, stream.recv_data()).await.expect("in time") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("half an answer looks whole"),
            Err(StreamError::RemoteTerminate { code, .. }) => break code,
            Err(error) => panic!("not reset: {error}"),
        }
    };
    assert_eq!(cut, Code::H3_INTERNAL_ERROR);
    assert_eq!(client.get("/p/quick").await.1, "quick");
    drop(stream);
    drop(client);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_takes_nothing_new_and_brings_what_runs_to_its_end() {
    let gate = Gate::new();
    let running = start(gate.router(), Http3Limits::default());
    let mut client = running.connect().await.unwrap();
    let mut requests = client.requests.clone();
    let mut asked = JoinSet::new();
    asked.spawn(
        async move { exchange(&mut requests, request(Method::GET, "/p/gate")).await.unwrap() },
    );
    gate.until_inside(1).await;
    running.shutdown.trigger();
    // Until the client has heard of it, one more may be answered; none afterwards.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let asked = exchange(&mut client.requests, request(Method::GET, "/p/quick"));
        match timeout(PATIENCE, asked).await.expect("in time") {
            Err(StreamError::RemoteClosing { .. }) => break,
            Ok(_) | Err(_) => assert!(tokio::time::Instant::now() < deadline, "still taken"),
        }
    }
    assert_eq!(gate.inside.load(Ordering::SeqCst), 1, "what runs goes on");
    gate.open.send_replace(true);
    let answered = timeout(PATIENCE, asked.join_next()).await.expect("in time");
    assert_eq!(answered.expect("one").unwrap().1, "passed");
    match timeout(PATIENCE, client.connection.closed()).await.expect("in time") {
        ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code.into_inner(), Code::H3_NO_ERROR.value());
        }
        other => panic!("closed: {other}"),
    }
    drop(client);
    running.stop().await;
}
