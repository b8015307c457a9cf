//! The accept loop against real sockets on loopback.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use axum::routing::get;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    tasks: Tasks,
}

async fn start(router: Router, limits: HttpLimits) -> Running {
    start_with(router, limits, None).await
}

async fn start_with(router: Router, limits: HttpLimits, tls: Option<Arc<ServerConfig>>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let token = shutdown.clone();
    tasks.spawn("serve", async move {
        serve(listener, router, limits, tls, token).await.expect("served");
    });
    Running { address, shutdown, tasks }
}

fn quick() -> HttpLimits {
    HttpLimits {
        header_timeout: Duration::from_millis(200),
        idle: Duration::from_millis(400),
        drain: Duration::from_secs(5),
        ..HttpLimits::default()
    }
}

async fn talk(stream: &mut TcpStream, sent: &str) -> String {
    String::from_utf8(talk_bytes(stream, sent).await).expect("text")
}

async fn talk_bytes(stream: &mut TcpStream, sent: &str) -> Vec<u8> {
    stream.write_all(sent.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("closed").expect("read");
    answer
}

/// Requests that wait while a lane is busy are handled in the order in which they came.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_keeps_the_order_of_requests() {
    const CLIENTS: usize = 40;
    let seen: Arc<std::sync::Mutex<Vec<usize>>> = Arc::default();
    let noting = Arc::clone(&seen);
    let note = move |axum::extract::Path(number): axum::extract::Path<usize>| {
        let seen = Arc::clone(&noting);
        async move {
            seen.lock().expect("whole").push(number);
            if number == 0 {
                // Blocks the lane: all others are readable when it looks again.
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    };
    let limits = HttpLimits { lanes: 1, ..HttpLimits::default() };
    let running = start(Router::new().route("/{number}", get(note)), limits).await;
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(running.address).await.expect("connected");
        // The lane has taken the connection in when it answers.
        stream.write_all(b"GET /1000 HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        assert!(stream.read(&mut [0; 512]).await.expect("answered") > 0);
        streams.push(stream);
    }
    seen.lock().expect("whole").clear();
    for (number, stream) in streams.iter_mut().enumerate() {
        let request = format!("GET /{number} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        if number == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    for stream in &mut streams {
        assert!(stream.read(&mut [0; 512]).await.expect("answered") > 0);
    }
    assert_eq!(*seen.lock().expect("whole"), (0..CLIENTS).collect::<Vec<_>>());
    running.shutdown.trigger();
    assert!(running.tasks.join(Duration::from_secs(5)).await.is_empty());
}

#[test]
fn plain_http_is_refused_off_loopback() {
    let parse = |text: &str| text.parse::<SocketAddr>().expect(text);
    for address in ["127.0.0.1:80", "127.0.0.3:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        assert!(refuse_plain_http(parse(address), false).is_ok(), "{address}");
    }
    for address in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[2001:db8::1]:80"] {
        let error = refuse_plain_http(parse(address), false).expect_err(address);
        assert!(error.to_string().contains("without TLS"), "{error}");
        assert!(refuse_plain_http(parse(address), true).is_ok(), "{address}");
    }
}

#[tokio::test]
async fn requests_see_their_peer_and_answers_keep_their_length() {
    let router = Router::new().route(
        "/",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
    );
    let running = start(router, HttpLimits::default()).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    let sent = "GET / HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n";
    let answer = talk(&mut stream, sent).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-length: 9\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    running.shutdown.trigger();
    assert!(running.tasks.join(Duration::from_secs(5)).await.is_empty());
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let running = start(Router::new(), quick()).await;
    let mut silent = TcpStream::connect(running.address).await.expect("connected");
    assert_eq!(talk(&mut silent, "").await, "");
    let mut slow = TcpStream::connect(running.address).await.expect("connected");
    let answer = talk(&mut slow, "GET / HTTP/1.1\r\nHost: edge.example\r\nX-Slow: ").await;
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut() {
    let router = Router::new().route("/", get(|| async { Body::new(Stalled) }));
    let running = start(router, quick()).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    let answer = talk(&mut stream, "GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut_and_a_handler_that_works_is_not() {
    let router = Router::new()
        .route("/body", axum::routing::post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/work",
            get(|| async {
                // Work that outlasts the idle time: a wait that nothing ends early.
                let work = std::future::pending::<()>();
                let _ = tokio::time::timeout(quick().idle * 3, work).await;
                "worked"
            }),
        );
    let running = start(router, quick()).await;
    let head = "Host: edge.example\r\nConnection: close\r\n";
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    let half = format!("POST /body HTTP/1.1\r\n{head}Content-Length: 10\r\n\r\nhalf");
    assert_eq!(talk(&mut stream, &half).await, "");
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    let answer = talk(&mut stream, &format!("GET /work HTTP/1.1\r\n{head}\r\n")).await;
    assert!(answer.ends_with("worked"), "{answer}");
}

#[tokio::test]
async fn http_2_is_spoken_to_who_opens_with_its_preface() {
    let running = start(Router::new(), quick()).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    let empty_settings = "\0\0\0\u{4}\0\0\0\0\0";
    let opening = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{empty_settings}");
    let answer = talk_bytes(&mut stream, &opening).await;
    // The type of the first frame: SETTINGS (RFC 9113 section 6.5).
    assert_eq!(answer.get(3), Some(&4), "{answer:?}");
}

#[tokio::test]
async fn stopping_waits_for_running_requests_and_accepts_no_more() {
    let (started, mut is_started) = tokio::sync::mpsc::channel::<()>(1);
    let (release, released) = tokio::sync::watch::channel(false);
    let router = Router::new().route(
        "/",
        get(move || {
            let (started, mut released) = (started.clone(), released.clone());
            async move {
                started.send(()).await.expect("heard");
                released.wait_for(|value| *value).await.expect("released");
                "done"
            }
        }),
    );
    let running = start(router, HttpLimits::default()).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n").await.expect("sent");
    is_started.recv().await.expect("handler runs");
    running.shutdown.trigger();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(running.address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "still accepting");
        tokio::task::yield_now().await;
    }
    release.send(true).expect("handler waits");
    let answer = talk(&mut stream, "").await;
    assert!(answer.ends_with("done"), "{answer}");
    assert!(running.tasks.join(Duration::from_secs(10)).await.is_empty());
}

#[tokio::test]
async fn a_public_listener_speaks_tls_with_the_files_it_was_given() {
    let dir = TempDir::new().expect("folder");
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["edge.example".to_owned()]).expect("made");
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("set");
    let refused = tls_config(&certificate, &key).expect_err("others can read the key");
    assert!(matches!(refused, ConfigError::SecretReadable { .. }), "{refused}");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("set");
    assert!(tls_config(&key, &key).is_err(), "no certificate in it");
    let tls = tls_config(&certificate, &key).expect("fits");

    let router = Router::new().route("/", get(|| async { "private" }));
    let running = start_with(router, quick(), Some(tls)).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(running.address).await.expect("connected");
    let name = rustls_pki_types::ServerName::try_from("edge.example").expect("name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, stream).await.expect("handshake");
    let sent = b"GET / HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n";
    stream.write_all(sent).await.expect("sent");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("in time").expect("read");
    assert!(answer.ends_with("private"), "{answer}");

    let mut plain = TcpStream::connect(running.address).await.expect("connected");
    let answered = talk_bytes(&mut plain, "GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n").await;
    assert!(!answered.starts_with(b"HTTP/"), "plain HTTP answered on a TLS port");
}

/// A body that never yields anything.
struct Stalled;

impl HttpBody for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}
