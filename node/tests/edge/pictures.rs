//! Pictures of people: drawn anew in the jail, kept by the members, shown to whom the profile is.

use std::sync::Arc;

use fairground_types::{BlobHash, UserId};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::member::FakeMember;
use super::support::{Running, World, header, options, problem, start, until};

const BUYER: UserId = UserId::from_bits(11);
/// Four yellow pixels.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02\
\x00\x00\x00\xfd\xd4\x9a\x73\x00\x00\x00\x19IDAT\x78\x01\x01\x0e\x00\xf1\xff\x00\xff\xc8\x00\xff\
\xc8\x00\x00\xff\xc8\x00\xff\xc8\x00\x35\xce\x07\x1d\x01\x5a\xc7\x02\x00\x00\x00\x00IEND\xaeB\x60\
\x82";

/// Whether pictures can be decoded here.
fn has_tools() -> bool {
    let found = ["/usr/local/bin/ffmpeg", "/usr/bin/ffmpeg", "/bin/ffmpeg"];
    found.iter().any(|program| std::path::Path::new(program).exists())
}

async fn send(edge: &Running, token: &str, key: &str, bytes: &[u8]) -> Response {
    edge.request(Method::POST, "/v1/users/me/avatar/upload")
        .bearer_auth(token)
        .header("Idempotency-Key", key)
        .header("content-type", "application/octet-stream")
        .body(bytes.to_vec())
        .send()
        .await
        .unwrap()
}

async fn remove(edge: &Running, token: &str) -> u16 {
    let request = edge.request(Method::DELETE, "/v1/users/me/avatar").bearer_auth(token);
    request.header("Idempotency-Key", "avatar-away").send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_drawn_anew_shown_to_everybody_and_taken_away() {
    if !has_tools() {
        return;
    }
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let token = world.token(BUYER, &[]);
    until("the edge reaches its member", || async {
        let me =
            edge.request(Method::GET, "/v1/users/me").bearer_auth(&token).send().await.unwrap();
        (me.status() == 200).then_some(())
    })
    .await;
    let shown = format!("/v1/users/{BUYER}/avatar");
    assert_eq!(edge.get(&shown).await.status(), 404, "there is none yet");

    let taken = send(&edge, &token, "avatar-one", PNG).await;
    assert_eq!(taken.status(), 201);
    let taken: Value = taken.json().await.unwrap();
    assert_eq!(taken["avatarUrl"], json!(shown));
    let again: Value = send(&edge, &token, "avatar-one", PNG).await.json().await.unwrap();
    assert_eq!(taken, again, "the same key, the same answer");

    let answer = edge.get(&shown).await;
    assert_eq!(answer.status(), 200);
    let tag = header(&answer, "etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", taken["avatar"].as_str().unwrap()));
    assert_eq!(header(&answer, "content-type"), "image/webp");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(&answer, "cache-control"), "public, max-age=300");
    let bytes = answer.bytes().await.unwrap();
    assert_eq!(json!(BlobHash::of(&bytes)), taken["avatar"]);
    let stored = serving.member.blobs.lock().unwrap().keys().copied().collect::<Vec<_>>();
    assert_eq!(stored, [BlobHash::of(&bytes)], "what was sent went nowhere");
    let asked = edge.request(Method::GET, &shown).header("If-None-Match", &tag);
    let known = asked.send().await.unwrap();
    assert_eq!((known.status().as_u16(), header(&known, "etag")), (304, tag.as_str()));
    for path in [&format!("/v1/users/{BUYER}/public-profile"), "/v1/users/me/profile"] {
        let row = edge.request(Method::GET, path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(row.json::<Value>().await.unwrap()["avatar"], taken["avatar"], "{path}");
    }
    let left = std::fs::read_dir(dir.path().join("pictures")).unwrap().count();
    assert_eq!(left, 0, "nothing stays on the edge's disk");

    assert_eq!(remove(&edge, &token).await, 204);
    assert_eq!(edge.get(&shown).await.status(), 404);
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_or_too_large_is_refused_and_nothing_is_kept() {
    if !has_tools() {
        return;
    }
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let token = world.token(BUYER, &[]);
    let huge = vec![0xFF_u8; 5 * 1024 * 1024 + 1];
    let mut wide = PNG.to_vec();
    // 4096 pixels across, says the header; its checksum is not looked at before that.
    wide[18..20].copy_from_slice(&[0x10, 0x00]);
    for (bytes, expected) in [
        (huge.as_slice(), (413, "BODY_TOO_LARGE")),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", (415, "MEDIA_UNSUPPORTED")),
        (b"\x89PNG\r\n\x1a\n....", (422, "MEDIA_REJECTED")),
        (&PNG[..PNG.len() - 20], (422, "MEDIA_REJECTED")),
        (&wide, (422, "MEDIA_REJECTED")),
    ] {
        let (status, body) = problem(send(&edge, &token, "avatar-bad", bytes).await).await;
        assert_eq!((status, body["code"].as_str().unwrap()), expected);
    }
    let unnamed = edge.request(Method::POST, "/v1/users/me/avatar/upload").bearer_auth(&token);
    let (status, _) = problem(unnamed.body(PNG).send().await.unwrap()).await;
    assert_eq!(status, 400, "without a key");
    assert!(serving.member.blobs.lock().unwrap().is_empty());
    edge.stop().await;
    serving.stop().await;
}
