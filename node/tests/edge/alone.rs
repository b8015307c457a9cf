//! An edge that reaches nobody: what it refuses, what it keeps, what it still serves.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fairground_media::token::{self, Claims, TokenFlags};
use fairground_runtime::clock::Clock;
use fairground_storage::KeyFile;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use fairground_types::event::PublicEvent;
use fairground_types::text::Region;
use fairground_types::{
    AssetId, AuctionId, BlobHash, EdgeId, Millis, PlaybackId, Role, StoryId, UserId,
};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::clip::clip;
use super::support::{World, header, options, problem, start, until};

const USER: UserId = UserId::from_bits(7);

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_get_their_code_and_change_nothing() {
    let world = World::new();
    let dir = world.folder(&[]);
    world.persist_view(dir.path(), Vec::new()).await;
    let edge = start(options(dir.path())).await;
    let token = world.token(USER, &[]);
    let auction = AuctionId::from_bits(1);
    let story = StoryId::from_bits(1);
    let bids = format!("/v1/auctions/{auction}/bids");
    let offers = format!("/v1/stories/{story}/offers");
    let good = json!({ "amountMinor": 100, "currency": "EUR" });

    for (path, body, code) in [
        (bids.as_str(), json!({ "amountMinor": -1, "currency": "EUR" }), "AMOUNT_OUT_OF_RANGE"),
        (&bids, json!({ "amountMinor": 1.5, "currency": "EUR" }), "VALIDATION_FAILED"),
        (&bids, json!({ "amountMinor": 100 }), "VALIDATION_FAILED"),
        (&bids, json!({ "amountMinor": 100, "currency": "XXX" }), "VALIDATION_FAILED"),
        (&bids, json!({ "amountMinor": 100, "currency": "EUR", "x": 1 }), "VALIDATION_FAILED"),
        (
            &bids,
            json!({ "amountMinor": 100, "currency": "EUR", "validForMs": 1 }),
            "VALIDATION_FAILED",
        ),
        (&bids, json!({ "amountMinor": 0, "currency": "EUR" }), "AMOUNT_OUT_OF_RANGE"),
        (&offers, json!([]), "VALIDATION_FAILED"),
        ("/v1/auctions/auc_x/bids", good.clone(), "VALIDATION_FAILED"),
        (&format!("/v1/auctions/{story}/bids"), good.clone(), "VALIDATION_FAILED"),
        ("/v1/stories", json!({ "title": "" }), "VALIDATION_FAILED"),
        ("/v1/media/uploadSession", json!({ "filename": "a" }), "VALIDATION_FAILED"),
        ("/v1/nothing", good.clone(), "NOT_FOUND"),
        ("/v1/feed", good.clone(), "METHOD_NOT_ALLOWED"),
    ] {
        let answer = edge.post(path, &token, "key-00001", &body).await;
        let (_, problem) = problem(answer).await;
        assert_eq!(problem["code"], code, "{path} {body}");
    }

    let send = |token: Option<String>, key: Option<&'static str>, body: &'static str| {
        let mut request = edge.request(Method::POST, &bids).body(body);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        request.header("Content-Type", "application/json").send()
    };
    let text = r#"{"amountMinor":100,"currency":"EUR"}"#;
    for (token, key, body, status, code) in [
        (None, Some("key-00001"), text, 401, "AUTH_REQUIRED"),
        (Some("a.b.c".to_owned()), Some("key-00001"), text, 401, "AUTH_REQUIRED"),
        (Some(token.clone()), None, text, 400, "IDEMPOTENCY_KEY_REQUIRED"),
        (Some(token.clone()), Some("short"), text, 400, "VALIDATION_FAILED"),
        (Some(token.clone()), Some("key-00001"), "{", 400, "VALIDATION_FAILED"),
    ] {
        let (found, problem) = problem(send(token, key, body).await.unwrap()).await;
        assert_eq!((found, problem["code"].as_str().unwrap()), (status, code), "{body}");
    }
    let long = vec![b' '; 70_000];
    let request = edge.request(Method::POST, &bids).bearer_auth(&token).body(long);
    let request = request.header("Content-Type", "application/json");
    let (status, _) =
        problem(request.header("Idempotency-Key", "key-00001").send().await.unwrap()).await;
    assert_eq!(status, 413);
    let plain = edge.request(Method::POST, &bids).bearer_auth(&token).body(text);
    let (status, _) =
        problem(plain.header("Idempotency-Key", "key-00001").send().await.unwrap()).await;
    assert_eq!(status, 415);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_bids_are_declined_and_calls_say_so() {
    let world = World::new();
    let dir = world.folder(&["127.0.0.1:9".to_owned()]);
    world.persist_view(dir.path(), Vec::new()).await;
    let edge = start(options(dir.path())).await;
    let token = world.token(USER, &[]);
    let path = format!("/v1/auctions/{}/bids", AuctionId::from_bits(1));
    let body = json!({ "amountMinor": 100, "currency": "EUR" });
    let answer = edge.post(&path, &token, "key-00001", &body).await;
    assert!(!header(&answer, "retry-after").is_empty());
    let (status, declined) = problem(answer).await;
    assert_eq!((status, declined["code"].as_str()), (503, Some("NOT_BID_READY")));
    assert_eq!(declined["retryable"], true);

    let me = edge.request(Method::GET, "/v1/users/me").bearer_auth(&token).send().await.unwrap();
    let (status, unavailable) = problem(me).await;
    assert_eq!((status, unavailable["code"].as_str()), (503, Some("COORDINATOR_UNAVAILABLE")));

    let feed: serde_json::Value = edge.get("/v1/feed").await.json().await.unwrap();
    assert_eq!(feed["asOf"]["index"], 7);
    let edges: serde_json::Value = edge.get("/v1/edges").await.json().await.unwrap();
    assert_eq!(edges["edges"][0]["edge"], "eu-1.1");
    assert_eq!(edges["edges"][0]["takesBids"], false);
    assert_eq!(edge.get("/livez").await.status(), 200);
    assert_eq!(edge.get("/readyz").await.status(), 503);
    assert_eq!(edge.get("/").await.status(), 200);
    assert_eq!(edge.get("/assets/app.js").await.status(), 200);
    assert_eq!(edge.get("/assets/none.js").await.status(), 404);
    let metrics = edge.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("fairground_node_jail_level 0"), "the sandbox is off: {metrics}");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_an_edge_that_is_gone_may_read_this_one() {
    let world = World::new();
    let dir = world.folder(&[]);
    let gone = "https://e2.market.example:8443";
    let joined = PublicEvent::EdgeRegistered {
        edge: EdgeId::new("e2", 1).unwrap(),
        region: Region::parse("eu-south").unwrap(),
        public_url: format!("{gone}/"),
    };
    world.persist_view(dir.path(), vec![joined]).await;
    let edge = start(options(dir.path())).await;

    let asked =
        |origin: &'static str| edge.request(Method::GET, "/v1/time").header("Origin", origin);
    let readable = asked(gone).send().await.unwrap();
    assert_eq!(header(&readable, "access-control-allow-origin"), gone);
    let foreign = asked("https://elsewhere.example").send().await.unwrap();
    assert!(foreign.headers().get("access-control-allow-origin").is_none());

    let page = edge.get("/").await;
    assert_eq!(page.status(), 200);
    assert!(page.headers().get("etag").is_none());
    let policy = header(&page, "content-security-policy");
    for directive in ["connect-src", "media-src", "img-src"] {
        let found = policy.split(';').find(|part| part.trim().starts_with(directive));
        let named = found.is_some_and(|part| part.split(' ').any(|source| source == gone));
        assert!(named, "{directive}: {policy}");
    }
    let script = policy.split(';').find(|part| part.trim().starts_with("script-src"));
    assert!(script.is_none() && policy.contains("default-src 'self';"), "{policy}");
    edge.stop().await;
}

/// Sends a line to the control socket; nothing while there is none yet.
pub(crate) async fn control(dir: &std::path::Path, line: &str) -> Option<serde_json::Value> {
    let mut stream = UnixStream::connect(dir.join("control.sock")).await.ok()?;
    stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some(serde_json::from_str(&answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_that_is_drained_says_so_and_an_only_one_refuses() {
    let world = World::new();
    let dir = world.folder(&[]);
    world.persist_view(dir.path(), Vec::new()).await;
    let edge = start(options(dir.path())).await;
    let serves = async || {
        let listed: serde_json::Value = edge.get("/v1/edges").await.json().await.unwrap();
        listed["edges"][0]["servesVideo"].clone()
    };
    let refused = until("the socket is there", || control(dir.path(), "drain")).await;
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("no other edge")));
    assert_eq!(serves().await, json!(true));
    let begun = control(dir.path(), "drain-alone").await.unwrap();
    assert_eq!((&begun["isDraining"], &begun["edge"]), (&json!(true), &json!(world.edge)));
    assert_eq!(serves().await, json!(false));
    let stays = control(dir.path(), "undrain").await.unwrap();
    assert_eq!(stays["isDraining"], json!(false));
    assert_eq!(serves().await, json!(true));
    let unknown = control(dir.path(), "stop").await.unwrap();
    assert!(unknown["error"].is_string());
    edge.stop().await;
    assert!(control(dir.path(), "status").await.is_none());
}

pub(crate) fn playback_token(world: &World, asset: AssetId, life: Millis) -> String {
    let key = Ed25519KeyPair::from_pkcs8(world.playback.expose_pkcs8()).unwrap();
    let claims = Claims {
        key_id: 1,
        asset,
        playback: PlaybackId::from_bits(1),
        min_revision: 1,
        begun_at: Clock::system().now(),
        expires_at: Clock::system().now().plus(life),
        viewer: None,
        rung_cap: None,
        flags: TokenFlags::default(),
    };
    token::mint(&key, &claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_media_are_served_to_who_plays_already() {
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
    let edge = start(options(dir.path())).await;
    let token = playback_token(&world, clip.asset, Millis::from_mins(5));
    let base = format!("/p/{token}/{}/1", clip.asset);
    let segment = format!("{base}/c360/0.m4s");

    let whole = edge.get(&segment).await;
    assert_eq!(whole.status(), 200);
    let tag = header(&whole, "etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", BlobHash::of(&clip.segment)));
    assert_eq!(header(&whole, "access-control-allow-origin"), "*");
    assert!(header(&whole, "cache-control").contains("immutable"));
    assert_eq!(whole.bytes().await.unwrap(), clip.segment);

    let with = |name: &'static str, value: String| {
        edge.request(Method::GET, &segment).header(name, value).send()
    };
    let part = with("Range", "bytes=5-14".to_owned()).await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(header(&part, "content-range"), format!("bytes 5-14/{}", clip.segment.len()));
    assert_eq!(part.bytes().await.unwrap(), clip.segment.slice(5..15));
    assert_eq!(with("Range", "bytes=99999-".to_owned()).await.unwrap().status(), 416);
    assert_eq!(with("If-None-Match", tag).await.unwrap().status(), 304);
    let head = edge.request(Method::HEAD, &segment).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(header(&head, "content-length"), clip.segment.len().to_string());

    let playlist = edge.request(Method::GET, &format!("{base}/c360.m3u8"));
    let playlist = playlist.header("Accept-Encoding", "gzip").send().await.unwrap();
    assert_eq!(playlist.status(), 200);
    assert_eq!(header(&playlist, "content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(edge.get(&format!("{base}/poster.jpg")).await.status(), 200);

    // Nothing was heard of revocations: no playback begins, who plays goes on.
    let steering = edge.get(&format!("{base}/steering/{}", world.edge)).await;
    assert_eq!(header(&steering, "content-type"), "application/vnd.apple.steering-list");
    assert_eq!(header(&steering, "cache-control"), "no-store");
    assert_eq!(header(&steering, "access-control-allow-origin"), "*");
    let steering: serde_json::Value = steering.json().await.unwrap();
    assert_eq!(steering["PATHWAY-PRIORITY"], json!([world.edge.to_string()]));
    assert_eq!(edge.get(&format!("{base}/steering/nowhere")).await.status(), 404);
    let foreign = format!("/p/x/{}/1/steering/{}", clip.asset, world.edge);
    assert_eq!(edge.get(&foreign).await.status(), 403);

    let master = edge.get(&format!("{base}/master.m3u8")).await;
    assert_eq!((master.status().as_u16(), header(&master, "cache-control")), (404, "no-store"));
    for path in ["c360/1.m4s", "v360/0.m4s", "c360/../0.m4s", "x", "c360/0.m4s/"] {
        let answer = edge.get(&format!("{base}/{path}")).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-store", "{path}");
    }
    let newer = edge.get(&format!("/p/{token}/{}/2/c360/0.m4s", clip.asset)).await;
    assert_eq!(newer.status(), 404);
    let other = edge.get(&format!("/p/{token}/{}/1/c360/0.m4s", AssetId::from_bits(8))).await;
    assert_eq!(problem(other).await.1["code"], "PLAYBACK_DENIED");
    let forged = playback_token(&World::new(), clip.asset, Millis::from_mins(5));
    let forged = edge.get(&format!("/p/{forged}/{}/1/c360/0.m4s", clip.asset)).await;
    assert_eq!(problem(forged).await.1["code"], "PLAYBACK_DENIED");
    let expired = playback_token(&world, clip.asset, Millis::ZERO);
    let expired = edge.get(&format!("/p/{expired}/{}/1/c360/0.m4s", clip.asset)).await;
    assert_eq!(problem(expired).await.1["code"], "TOKEN_EXPIRED");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_resumes_where_the_disk_says_after_a_restart() {
    if std::process::Command::new("ffprobe").arg("-version").output().is_err() {
        println!("skipped: ffprobe is not installed");
        return;
    }
    let world = World::new();
    let dir = world.folder(&[]);
    world.persist_view(dir.path(), Vec::new()).await;
    let edge = start(options(dir.path())).await;
    let maker = world.token(USER, &[Role::Maker]);
    let file = b"this is a text and no clip, however long it is".repeat(20);
    let body = json!({ "filename": "clip.mp4", "size": file.len() });
    let made = edge.post("/v1/media/uploadSession", &maker, "upload-01", &body).await;
    assert_eq!(made.status(), 201);
    let made: serde_json::Value = made.json().await.unwrap();
    let again = edge.post("/v1/media/uploadSession", &maker, "upload-01", &body).await;
    let again: serde_json::Value = again.json().await.unwrap();
    assert_eq!(made["uploadId"], again["uploadId"]);
    let path = format!("/v1/uploads/{}", made["uploadId"].as_str().unwrap());

    let patch = |edge: &super::support::Running, offset: usize, chunk: &[u8]| {
        edge.request(Method::PATCH, &path)
            .bearer_auth(&maker)
            .header("Tus-Resumable", "1.0.0")
            .header("Content-Type", "application/offset+octet-stream")
            .header("Upload-Offset", offset)
            .body(chunk.to_vec())
    };
    let first = patch(&edge, 0, &file[..300]).send().await.unwrap();
    assert_eq!((first.status().as_u16(), header(&first, "upload-offset")), (204, "300"));
    let wrong = patch(&edge, 100, &file[100..]).send().await.unwrap();
    assert_eq!(problem(wrong).await.1["code"], "UPLOAD_OFFSET_MISMATCH");
    let sum = STANDARD.encode(digest(&SHA256, b"other bytes"));
    let broken = patch(&edge, 300, &file[300..400]);
    let broken = broken.header("Upload-Checksum", format!("sha256 {sum}")).send().await.unwrap();
    assert_eq!(problem(broken).await.1["code"], "CHECKSUM_MISMATCH");
    let stranger = world.token(UserId::from_bits(8), &[Role::Maker]);
    let theirs = edge.request(Method::HEAD, &path).bearer_auth(stranger);
    assert_eq!(theirs.header("Tus-Resumable", "1.0.0").send().await.unwrap().status(), 404);
    edge.stop().await;

    let edge = start(options(dir.path())).await;
    let head = edge.request(Method::HEAD, &path).bearer_auth(&maker);
    let head = head.header("Tus-Resumable", "1.0.0").send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "upload-offset")), (200, "300"));
    let last = patch(&edge, 300, &file[300..]).send().await.unwrap();
    let (status, refused) = problem(last).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("MEDIA_REJECTED")));
    assert!(refused["reason"].is_string());
    let parts: Vec<_> = std::fs::read_dir(dir.path().join("uploads")).unwrap().collect();
    assert!(parts.is_empty(), "the refused clip is removed: {parts:?}");
    edge.stop().await;
}
