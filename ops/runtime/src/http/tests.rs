//! The accept loop against real sockets on loopback.

use axum::body::Body;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    tasks: Tasks,
}

async fn start(router: Router, limits: HttpLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let token = shutdown.clone();
    tasks.spawn("serve", async move {
        serve(listener, router, limits, None, token).await.expect("served");
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
    stream.write_all(sent.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("closed").expect("read");
    String::from_utf8(answer).expect("text")
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
