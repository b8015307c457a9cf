//! Media over HTTP/3, by the client of `h3`: the same rules as over TCP, and nothing but media.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use fairground_node::Options;
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_storage::KeyFile;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use fairground_types::event::PublicEvent;
use fairground_types::{BlobHash, Millis};
use h3::client::SendRequest;
use http::{HeaderValue, Method, Request, Response, header};
use quinn::crypto::rustls::QuicClientConfig;
use reqwest::Certificate;
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use super::alone::playback_token;
use super::clip::clip;
use super::support::{PATIENCE, World, header as header_of, options, until};

const NAME: &str = "localhost";

type Requests = SendRequest<h3_quinn::OpenStreams, Bytes>;

/// A certificate in `dir`, and the options that show it.
fn encrypted(dir: &Path) -> (Options, CertificateDer<'static>) {
    let (certificate, key) = (dir.join("public.pem"), dir.join("public.key"));
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let options = Options {
        http_tls_cert_file: Some(certificate),
        http_tls_key_file: Some(key),
        http3: true,
        ..options(dir)
    };
    (options, made.cert.der().clone())
}

async fn connect(tasks: &Tasks, port: u16, trusted: CertificateDer<'static>) -> Requests {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = quinn::Endpoint::client(here).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connection = endpoint.connect_with(config, address, NAME).unwrap().await.unwrap();
    let wire = h3_quinn::Connection::new(connection);
    let (mut driver, requests) = h3::client::new(wire).await.unwrap();
    tasks.spawn_one("client", async move {
        driver.wait_idle().await;
        drop(endpoint);
    });
    requests
}

async fn fetch(
    requests: &mut Requests,
    method: Method,
    path: &str,
    range: Option<&'static str>,
) -> (Response<()>, Bytes) {
    let uri = format!("https://{NAME}{path}");
    let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
    if let Some(range) = range {
        request.headers_mut().insert(header::RANGE, HeaderValue::from_static(range));
    }
    let fetching = async {
        let mut stream = requests.send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        let response = stream.recv_response().await.unwrap();
        let mut body = BytesMut::new();
        while let Some(part) = stream.recv_data().await.unwrap() {
            body.put(part);
        }
        (response, body.freeze())
    };
    tokio::time::timeout(PATIENCE, fetching).await.expect("in time")
}

fn said<'a>(response: &'a Response<()>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn media_go_over_http_3_by_the_same_rules_and_nothing_else_does() {
    let world = World::new();
    let dir = world.folder(&[]);
    let clip = clip();
    let published =
        PublicEvent::AssetPublished { asset: clip.asset, revision: 1, manifest: clip.manifest };
    world.persist_view(dir.path(), vec![published]).await;
    {
        let key = KeyFile::load(&dir.path().join("storage.key")).unwrap();
        let budget = Budget { disk: 1 << 24, memory: 1 << 20 };
        let cache = SegmentCache::open(&dir.path().join("segments.redb"), &key, budget).unwrap();
        cache.insert(clip.blobs.clone()).await.unwrap();
    }
    let (options, certificate) = encrypted(dir.path());
    let (shutdown, ready) = (Shutdown::new(), dir.path().join("ready.json"));
    let tasks = Tasks::new(shutdown.clone());
    let token = shutdown.clone();
    tasks.spawn_one("edge", async move {
        fairground_node::run(options, token).await.expect("ran");
    });
    let ready: Value = until("the edge serves", || async {
        std::fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    })
    .await;
    let address: SocketAddr = ready["httpAddr"].as_str().unwrap().parse().unwrap();
    let token = playback_token(&world, clip.asset, Millis::from_mins(5));
    let base = format!("/p/{token}/{}/1", clip.asset);
    let segment = format!("{base}/c360/0.m4s");

    // Over TCP it is said that there is HTTP/3, and where.
    let trusted = Certificate::from_der(&certificate).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
    let over_tcp =
        client.get(format!("https://{NAME}:{}{segment}", address.port())).send().await.unwrap();
    assert_eq!(over_tcp.status(), 200);
    let service = format!("h3=\":{}\"; ma=86400", address.port());
    assert_eq!(header_of(&over_tcp, "alt-svc"), service);
    let tag = header_of(&over_tcp, "etag").to_owned();
    let feed = client.get(format!("https://{NAME}:{}/v1/feed", address.port()));
    assert_eq!(header_of(&feed.send().await.unwrap(), "alt-svc"), "");

    let mut requests = connect(&tasks, address.port(), certificate).await;
    let (response, body) =
        fetch(&mut requests, Method::GET, &format!("{base}/c360.m3u8"), None).await;
    assert_eq!(response.status(), 200);
    assert_eq!(said(&response, "content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(said(&response, "access-control-allow-origin"), "*");
    assert!(body.starts_with(b"#EXTM3U"));
    let (response, body) = fetch(&mut requests, Method::GET, &segment, None).await;
    assert_eq!((response.status().as_u16(), said(&response, "etag")), (200, tag.as_str()));
    assert_eq!(tag, format!("\"{}\"", BlobHash::of(&clip.segment)));
    assert_eq!(body, clip.segment);
    let (response, body) = fetch(&mut requests, Method::GET, &segment, Some("bytes=5-14")).await;
    assert_eq!(response.status(), 206);
    assert_eq!(said(&response, "content-range"), format!("bytes 5-14/{}", clip.segment.len()));
    assert_eq!(body, clip.segment.slice(5..15));
    let (response, body) = fetch(&mut requests, Method::HEAD, &segment, None).await;
    assert_eq!((response.status().as_u16(), body.len()), (200, 0));
    assert_eq!(said(&response, "content-length"), clip.segment.len().to_string());

    let expired = playback_token(&world, clip.asset, Millis::ZERO);
    let expired = format!("/p/{expired}/{}/1/c360/0.m4s", clip.asset);
    for (method, path, status, code) in [
        (Method::GET, expired.as_str(), 401, "TOKEN_EXPIRED"),
        (Method::POST, &segment, 405, "METHOD_NOT_ALLOWED"),
        (Method::GET, "/v1/feed", 421, "MISDIRECTED_REQUEST"),
        (Method::GET, "/metrics", 421, "MISDIRECTED_REQUEST"),
    ] {
        let (response, body) = fetch(&mut requests, method, path, None).await;
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((response.status().as_u16(), problem["code"].as_str()), (status, Some(code)));
    }
    drop(requests);
    shutdown.trigger();
    assert!(tasks.join(PATIENCE).await.is_empty(), "the edge stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_3_without_a_certificate_is_a_fault_of_the_configuration() {
    let world = World::new();
    let dir = world.folder(&[]);
    let options = Options { http3: true, ..options(dir.path()) };
    let error = fairground_node::run(options, Shutdown::new()).await.expect_err("no certificate");
    assert!(error.to_string().contains("http_tls_cert_file"), "{error}");
}
