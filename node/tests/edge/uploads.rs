//! Uploads as stock clients of both dialects make and fill them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fairground_types::{AssetId, Role, UserId};
use futures_util::{StreamExt as _, stream};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::member::{FakeMember, MAKER};
use super::support::{PATIENCE, Running, World, header, options, problem, start, until};

const USER: UserId = UserId::from_bits(7);
const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OCTETS: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const DRAFT: (&str, &str) = ("Upload-Draft-Interop-Version", "8");
const PARTIAL: (&str, &str) = ("Content-Type", "application/partial-upload");
const MORE: (&str, &str) = ("Upload-Complete", "?0");
const END: (&str, &str) = ("Upload-Complete", "?1");

/// Whether clips can be looked into here.
fn has_tools() -> bool {
    let found = Command::new("ffprobe").arg("-version").output().is_ok();
    if !found {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: ffprobe is not installed");
    }
    found
}

/// A client that is signed in.
struct Client<'a> {
    edge: &'a Running,
    token: String,
}

impl Client<'_> {
    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> RequestBuilder {
        let path = path.strip_prefix(self.edge.base.as_str()).unwrap_or(path);
        let request = self.edge.request(method, path).bearer_auth(&self.token);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request(method, path, headers).send().await.unwrap()
    }

    async fn send(
        &self,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        bytes: &[u8],
    ) -> Response {
        self.request(method, path, headers).body(bytes.to_vec()).send().await.unwrap()
    }

    async fn create(&self, headers: &[(&str, &str)], bytes: &[u8]) -> Response {
        self.send((Method::POST, "/v1/uploads"), headers, bytes).await
    }
}

fn parts(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("uploads")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tus_client_learns_what_is_spoken_and_fills_what_it_made() {
    if !has_tools() {
        return;
    }
    let world = World::new();
    let dir = world.folder(&[]);
    world.persist_view(dir.path(), Vec::new()).await;
    let edge = start(options(dir.path())).await;
    let client = Client { edge: &edge, token: world.token(USER, &[Role::Maker]) };

    let told = edge.request(Method::OPTIONS, "/v1/uploads").send().await.unwrap();
    assert_eq!((told.status().as_u16(), header(&told, "tus-version")), (204, "1.0.0"));
    assert!(header(&told, "tus-extension").contains("creation-with-upload"));
    let largest = header(&told, "tus-max-size").to_owned();
    assert!(header(&told, "upload-limit").contains(&format!("max-size={largest}")));

    let old = client.create(&[("Tus-Resumable", "0.2.2"), ("Upload-Length", "10")], b"").await;
    assert_eq!(header(&old, "tus-version"), "1.0.0");
    assert_eq!(problem(old).await.0, 412);
    let none = client.create(&[("Upload-Length", "10")], b"").await;
    assert_eq!((none.status().as_u16(), header(&none, "tus-version")), (412, "1.0.0"));
    let larger = (largest.parse::<u64>().unwrap() + 1).to_string();
    let large = client.create(&[TUS, ("Upload-Length", &larger)], b"").await;
    let (status, refused) = problem(large).await;
    assert_eq!((status, &refused["code"]), (413, &json!("UPLOAD_TOO_LARGE")));
    let typed = [TUS, ("Upload-Length", "10"), ("Content-Type", "video/mp4")];
    assert_eq!(problem(client.create(&typed, b"abc").await).await.0, 415);
    let stranger = Client { edge: &edge, token: "a.b.c".to_owned() };
    let unknown = stranger.create(&[TUS, ("Upload-Length", "10")], b"").await;
    assert_eq!(problem(unknown).await.0, 401);

    let named = ("Upload-Metadata", "filename anVnLm1wNA==,filetype dmlkZW8vbXA0,extra");
    let made = client.create(&[TUS, ("Upload-Length", "100"), named], b"").await;
    assert_eq!((made.status().as_u16(), header(&made, "upload-offset")), (201, "0"));
    assert_eq!(header(&made, "tus-resumable"), "1.0.0");
    assert!(header(&made, "upload-expires").ends_with("GMT"));
    let place = header(&made, "location").to_owned();
    assert!(place.starts_with(&format!("{}/v1/uploads/", edge.base)), "{place}");

    let bytes = [b'x'; 100];
    let sent =
        client.send((Method::PATCH, &place), &[TUS, OCTETS, ("Upload-Offset", "0")], &bytes[..60]);
    let sent = sent.await;
    assert_eq!((sent.status().as_u16(), header(&sent, "upload-offset")), (204, "60"));
    let head = client.ask(Method::HEAD, &place, &[TUS]).await;
    assert_eq!((header(&head, "upload-offset"), header(&head, "upload-length")), ("60", "100"));
    assert_eq!(header(&head, "cache-control"), "no-store");
    let sum = format!("sha256 {}", STANDARD.encode(digest(&SHA256, b"other bytes")));
    let checked = [TUS, OCTETS, ("Upload-Offset", "60"), ("Upload-Checksum", sum.as_str())];
    let (status, refused) =
        problem(client.send((Method::PATCH, &place), &checked, &bytes[60..70]).await).await;
    assert_eq!((status, &refused["code"]), (460, &json!("CHECKSUM_MISMATCH")));
    let over = [TUS, OCTETS, ("Upload-Offset", "60")];
    let over = client.send((Method::PATCH, &place), &over, &bytes[..41]).await;
    assert_eq!(problem(over).await.0, 413);
    assert_eq!(client.ask(Method::DELETE, &place, &[TUS]).await.status(), 204);
    assert_eq!(client.ask(Method::HEAD, &place, &[TUS]).await.status(), 404);
    assert_eq!(parts(dir.path()), 0);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_with_bytes_keeps_them_or_leaves_nothing() {
    if !has_tools() {
        return;
    }
    let world = World::new();
    let dir = world.folder(&[]);
    world.persist_view(dir.path(), Vec::new()).await;
    let edge = start(options(dir.path())).await;
    let client = Client { edge: &edge, token: world.token(USER, &[Role::Maker]) };
    let text = b"this is a text and no clip, however long it is";
    let length = text.len().to_string();

    let first = client.create(&[TUS, OCTETS, ("Upload-Length", &length)], &text[..10]).await;
    assert_eq!((first.status().as_u16(), header(&first, "upload-offset")), (201, "10"));
    let place = header(&first, "location").to_owned();
    // What one dialect began another may end: it is one upload.
    let rest = [DRAFT, PARTIAL, END, ("Upload-Offset", "10")];
    let refused = client.send((Method::PATCH, &place), &rest, &text[10..]).await;
    assert_eq!(header(&refused, "upload-complete"), "?1", "no retry mends it");
    let (status, refused) = problem(refused).await;
    assert_eq!((status, &refused["code"]), (422, &json!("MEDIA_REJECTED")));
    assert_eq!(parts(dir.path()), 0);

    // More than one maker may have open, each lost at once: nothing stays of them.
    let sum = format!("sha256 {}", STANDARD.encode(digest(&SHA256, b"other bytes")));
    for _ in 0..12 {
        let checked = [TUS, OCTETS, ("Upload-Length", length.as_str()), ("Upload-Checksum", &sum)];
        assert_eq!(problem(client.create(&checked, &text[..10]).await).await.0, 460);
    }
    assert_eq!(parts(dir.path()), 0);
    edge.stop().await;

    let edge = start(options(dir.path())).await;
    let client = Client { edge: &edge, token: world.token(USER, &[Role::Maker]) };
    for open in 0..10 {
        let made = client.create(&[TUS, ("Upload-Length", "10")], b"").await;
        assert_eq!(made.status(), 201, "upload {open}");
    }
    let (status, refused) =
        problem(client.create(&[TUS, ("Upload-Length", "10")], b"").await).await;
    assert_eq!((status, &refused["code"]), (409, &json!("LIMIT_REACHED")));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_draft_is_answered_in_its_words() {
    if !has_tools() {
        return;
    }
    let world = World::new();
    let dir = world.folder(&[]);
    world.persist_view(dir.path(), Vec::new()).await;
    let edge = start(options(dir.path())).await;
    let client = Client { edge: &edge, token: world.token(USER, &[Role::Maker]) };
    let text = b"this is a text and no clip, however long it is";

    let old = [("Upload-Draft-Interop-Version", "3"), ("Upload-Length", "46"), MORE];
    let (status, refused) = problem(client.create(&old, b"").await).await;
    assert_eq!((status, &refused["reason"]), (400, &json!("upload_draft_version")));
    let stream = problem(client.create(&[DRAFT, MORE], b"").await).await;
    assert_eq!((stream.0, &stream.1["fields"][0]["field"]), (400, &json!("Upload-Length")));

    let made = client.create(&[DRAFT, MORE, ("Upload-Length", "46")], &text[..6]).await;
    assert_eq!((made.status().as_u16(), header(&made, "upload-complete")), (201, "?0"));
    assert_eq!((header(&made, "upload-offset"), header(&made, "tus-resumable")), ("6", ""));
    assert!(header(&made, "upload-limit").contains("max-age="));
    let place = header(&made, "location").to_owned();

    let wrong = [DRAFT, PARTIAL, MORE, ("Upload-Offset", "9")];
    let wrong = client.send((Method::PATCH, &place), &wrong, &text[9..]).await;
    assert_eq!((header(&wrong, "upload-offset"), header(&wrong, "upload-complete")), ("6", "?0"));
    let (status, body) = problem(wrong).await;
    assert_eq!(status, 409);
    let kind = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
    assert_eq!((&body["type"], &body["code"]), (&json!(kind), &json!("UPLOAD_OFFSET_MISMATCH")));
    assert_eq!((&body["expected-offset"], &body["provided-offset"]), (&json!(6), &json!(9)));
    let short = [DRAFT, PARTIAL, END, ("Upload-Offset", "6")];
    let (status, body) =
        problem(client.send((Method::PATCH, &place), &short, &text[6..20]).await).await;
    let kind = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
    assert_eq!((status, &body["type"]), (400, &json!(kind)));
    let typed = [DRAFT, OCTETS, MORE, ("Upload-Offset", "6")];
    let typed = client.send((Method::PATCH, &place), &typed, &text[6..20]).await;
    assert_eq!(problem(typed).await.0, 415);

    let more = [DRAFT, PARTIAL, MORE, ("Upload-Offset", "6")];
    let more = client.send((Method::PATCH, &place), &more, &text[6..20]).await;
    assert_eq!((more.status().as_u16(), header(&more, "upload-offset")), (204, "20"));
    assert_eq!(header(&more, "upload-complete"), "?0");
    edge.stop().await;

    let edge = start(options(dir.path())).await;
    let client = Client { edge: &edge, token: world.token(USER, &[Role::Maker]) };
    let place = place.split_once("/v1/").map(|(_, rest)| format!("/v1/{rest}")).unwrap();
    let head = client.ask(Method::HEAD, &place, &[DRAFT]).await;
    assert_eq!((header(&head, "upload-offset"), header(&head, "upload-length")), ("20", "46"));
    assert_eq!((head.status().as_u16(), header(&head, "upload-complete")), (200, "?0"));
    // The answer to the last bytes may be lost: an empty chunk asks for it again.
    for (offset, rest) in [("20", &text[20..]), ("46", b"".as_slice())] {
        let last = [DRAFT, PARTIAL, END, ("Upload-Offset", offset)];
        let last = client.send((Method::PATCH, &place), &last, rest).await;
        assert_eq!(header(&last, "upload-complete"), "?1", "at {offset}");
        let (status, refused) = problem(last).await;
        assert_eq!((status, &refused["code"]), (422, &json!("MEDIA_REJECTED")), "at {offset}");
    }
    let head = client.ask(Method::HEAD, &place, &[DRAFT]).await;
    assert_eq!(header(&head, "upload-complete"), "?1");
    assert_eq!(client.ask(Method::DELETE, &place, &[DRAFT]).await.status(), 204);
    assert_eq!(client.ask(Method::HEAD, &place, &[DRAFT]).await.status(), 404);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_in_one_request_is_an_asset_in_either_dialect() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("clip.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2"])
        .args(["-c:v", "libx264", "-pix_fmt", "yuv420p"])
        .arg(&file)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: ffmpeg is not installed");
        return;
    }
    let clip = std::fs::read(&file).unwrap();
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[USER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let client = Client { edge: &edge, token: world.token(MAKER, &[Role::Maker]) };
    until("the edge reaches its member", || async {
        let me = client.ask(Method::GET, "/v1/users/me", &[]).await;
        (me.status() == 200).then_some(())
    })
    .await;

    let length = clip.len().to_string();
    let mut assets = Vec::new();
    for headers in [
        [TUS, OCTETS, ("Upload-Length", length.as_str())],
        [DRAFT, END, ("Content-Type", "video/mp4")],
    ] {
        let done = client.create(&headers, &clip).await;
        let asset = header(&done, "fairground-asset").to_owned();
        assert_eq!(header(&done, "upload-offset"), length);
        assert_eq!(done.status(), 201, "{}", done.text().await.unwrap());
        assets.push(asset.parse::<AssetId>().unwrap());
    }
    let owners = serving.member.look(|market| {
        let owners = assets.iter().filter_map(|asset| Some(market.asset(*asset)?.owner()));
        owners.collect::<Vec<_>>()
    });
    assert_eq!(owners, [MAKER, MAKER]);
    assert_eq!(parts(dir.path()), 0);
    edge.stop().await;
    serving.stop().await;
}

/// Names the folder of an edge that is to run in a process of its own.
const OWN_PROCESS: &str = "FAIRGROUND_TEST_EDGE_DIR";

/// An edge in a process of its own, killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other half of the test below: serves until it is killed. Without a folder there is nothing to
/// do.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_serves_in_a_process_of_its_own() {
    let Some(dir) = std::env::var_os(OWN_PROCESS) else { return };
    let edge = start(options(Path::new(&dir))).await;
    // Longer than anybody waits for it: then whoever started it is gone.
    let _ = tokio::time::timeout(PATIENCE * 3, std::future::pending::<()>()).await;
    edge.stop().await;
}

/// Starts it; answers where it serves.
async fn in_its_own_process(dir: &Path) -> (Killed, String) {
    let ready = dir.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "uploads::an_edge_serves_in_a_process_of_its_own", "--nocapture"])
        .env(OWN_PROCESS, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    let ready: Value = until("the edge of its own serves", || async {
        std::fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    })
    .await;
    (child, format!("http://{}", ready["httpAddr"].as_str().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_resumes_at_the_acknowledged_offset_after_a_sigkill() {
    if !has_tools() {
        return;
    }
    let world = World::new();
    let dir = world.folder(&[]);
    world.persist_view(dir.path(), Vec::new()).await;
    let token = world.token(USER, &[Role::Maker]);
    let bytes: Bytes = (0..1_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let http = reqwest::Client::new();
    let ask = |method: Method, url: &str, offset: &str| {
        let request = http.request(method, url).bearer_auth(&token).header(TUS.0, TUS.1);
        request.header(OCTETS.0, OCTETS.1).header("Upload-Offset", offset)
    };

    let (killed, base) = in_its_own_process(dir.path()).await;
    let made = http.post(format!("{base}/v1/uploads")).bearer_auth(&token);
    let made = made.header(TUS.0, TUS.1).header("Upload-Length", 1_000).send().await.unwrap();
    let url = header(&made, "location").to_owned();
    let sent = ask(Method::PATCH, &url, "0").body(bytes.slice(..300)).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), header(&sent, "upload-offset")), (204, "300"));
    // The next chunk is under way, and nothing of it acknowledged, when the process dies.
    let some = stream::iter([Ok::<_, std::io::Error>(bytes.slice(300..700))]);
    let stalled = reqwest::Body::wrap_stream(some.chain(stream::pending()));
    let mut sending = std::pin::pin!(ask(Method::PATCH, &url, "300").body(stalled).send());
    let id = url.rsplit('/').next().unwrap();
    let part = dir.path().join("uploads").join(format!("{id}.part"));
    let written = until("the edge has written what is not acknowledged", || async {
        let now = std::fs::metadata(&part).map_or(0, |file| file.len());
        (now == 700).then_some(())
    });
    tokio::select! {
        biased;
        answer = &mut sending => panic!("an open chunk is answered: {answer:?}"),
        () = written => {}
    }
    drop(killed);
    assert!(sending.await.is_err(), "the process is gone");

    let edge = start(options(dir.path())).await;
    let client = Client { edge: &edge, token: token.clone() };
    let place = format!("/v1/uploads/{id}");
    let head = client.ask(Method::HEAD, &place, &[TUS]).await;
    assert_eq!((head.status().as_u16(), header(&head, "upload-offset")), (200, "300"));
    let more = [TUS, OCTETS, ("Upload-Offset", "300")];
    let more = client.send((Method::PATCH, &place), &more, &bytes[300..900]).await;
    assert_eq!((more.status().as_u16(), header(&more, "upload-offset")), (204, "900"));
    assert_eq!(std::fs::read(&part).unwrap(), bytes[..900]);
    edge.stop().await;
}
