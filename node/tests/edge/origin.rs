//! Where an edge gets what it has not: one fetch for all who wait, again when its own copy is damaged,
//! and the next segment before it is asked for.

use std::sync::Arc;

use bytes::Bytes;
use fairground_runtime::config::SizeText;
use fairground_storage::fault::damage_segment;
use fairground_types::{BlobHash, EdgeId, Millis, UserId};
use futures_util::future::join_all;
use serde_json::Value;

use super::alone::playback_token;
use super::clip::{clip, clip_of};
use super::member::{ASSET, FakeMember, Serving};
use super::support::{Running, World, header, options, start, until};

const BUYER: UserId = UserId::from_bits(11);

/// How often a member was asked for a blob.
fn gets(serving: &Serving, hash: &BlobHash) -> usize {
    serving.member.gets.lock().unwrap().iter().filter(|asked| *asked == hash).count()
}

async fn until_served(edge: &Running, path: &str) -> Bytes {
    until("it is served", || async {
        let answer = edge.get(path).await;
        if answer.status() == 200 { Some(answer.bytes().await.unwrap()) } else { None }
    })
    .await
}

/// A counter or gauge without labels; 0 while it was never touched.
async fn metric(edge: &Running, name: &str) -> u64 {
    let text = edge.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_misses_at_once_make_one_fetch() {
    const VIEWERS: usize = 256;
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let clip = clip();
    let hash = BlobHash::of(&clip.segment);
    serving.member.blobs.lock().unwrap().extend(clip.blobs);
    serving.member.held.lock().unwrap().insert(hash);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    // The clip fits, but not into the half that is filled without being asked: the flight begins with
    // the first request.
    let mut small = options(dir.path());
    small.cache.budget = SizeText::new(u64::try_from(clip.segment.len()).unwrap() * 3 / 2);
    let edge = start(small).await;
    let base = format!("/p/{}/{ASSET}/1", playback_token(&world, ASSET, Millis::from_mins(5)));
    until_served(&edge, &format!("{base}/c360/init.mp4")).await;
    let waited = metric(&edge, "fairground_node_origin_waits_total").await;

    // Few connections: what counts is requests.
    let clients = [(); 4]
        .map(|()| reqwest::Client::builder().http2_prior_knowledge().build().expect("a client"));
    let segment = format!("{}{base}/c360/0.m4s", edge.base);
    let segment = segment.as_str();
    let asks = clients.iter().cycle().take(VIEWERS).map(|client| async move {
        let answer = client.get(segment).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap())
    });
    let release = async {
        until("all wait", || async {
            let listed: Value = edge.get("/v1/edges").await.json().await.unwrap();
            // Thousandths of the 2,048 requests that an edge has in hand at most; one is this one.
            (listed["edges"][0]["loadPermille"].as_u64()? >= 125).then_some(())
        })
        .await;
        serving.member.held.lock().unwrap().clear();
    };
    let (answers, ()) = tokio::join!(join_all(asks), release);
    assert_eq!(answers.len(), VIEWERS);
    assert!(answers.iter().all(|answer| *answer == (200, clip.segment.clone())));
    assert_eq!(gets(&serving, &hash), 1, "members were asked once");
    let waited = metric(&edge, "fairground_node_origin_waits_total").await - waited;
    assert!(waited > 128, "{waited} waited for the one fetch");
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_is_fetched_again_and_never_served() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let clip = clip();
    let hash = BlobHash::of(&clip.segment);
    serving.member.blobs.lock().unwrap().extend(clip.blobs);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let base = format!("/p/{}/{ASSET}/1", playback_token(&world, ASSET, Millis::from_mins(5)));
    let (init, segment) = (format!("{base}/c360/init.mp4"), format!("{base}/c360/0.m4s"));
    let edge = start(options(dir.path())).await;
    assert_eq!(until_served(&edge, &segment).await, clip.segment);
    edge.stop().await;
    damage_segment(dir.path(), &hash).unwrap();

    let body = serving.member.blobs.lock().unwrap().remove(&hash).unwrap();
    let edge = start(options(dir.path())).await;
    until_served(&edge, &init).await;
    let before = gets(&serving, &hash);
    let without = edge.get(&segment).await;
    let caching = header(&without, "cache-control");
    assert_eq!((without.status().as_u16(), caching), (404, "no-store"), "not what is damaged");
    assert!(gets(&serving, &hash) > before, "a member was asked");

    serving.member.blobs.lock().unwrap().insert(hash, body);
    assert_eq!(until_served(&edge, &segment).await, clip.segment);
    until("the edge says so", || async {
        (metric(&edge, "fairground_node_cache_damaged").await > 0).then_some(())
    })
    .await;
    let healed = gets(&serving, &hash);
    serving.member.blobs.lock().unwrap().remove(&hash);
    edge.stop().await;
    let edge = start(options(dir.path())).await;
    assert_eq!(until_served(&edge, &segment).await, clip.segment, "the new copy is on disk");
    assert_eq!(gets(&serving, &hash), healed);
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_segment_comes_before_it_is_asked_for() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let segments = [1_u8, 2, 3].map(|byte| Bytes::from(vec![byte; 100_000]));
    let [_, second, third] = segments.each_ref().map(|bytes| BlobHash::of(bytes));
    let long = clip_of(&segments);
    serving.member.blobs.lock().unwrap().extend(clip().blobs.into_iter().chain(long.blobs));
    serving.member.publish(long.asset, long.manifest);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    // Room for the clip, but more than the half that is filled without being asked.
    let mut small = options(dir.path());
    small.cache.budget = SizeText::new(500_000);
    let edge = start(small).await;
    let token = playback_token(&world, long.asset, Millis::from_mins(5));
    let path = |n: usize| format!("/p/{token}/{}/1/c360/{n}.m4s", long.asset);

    assert_eq!(until_served(&edge, &path(0)).await, segments[0]);
    until("the second is fetched", || async { (gets(&serving, &second) > 0).then_some(()) }).await;
    assert_eq!(gets(&serving, &third), 0, "one ahead, not more");
    assert_eq!(edge.get(&path(1)).await.bytes().await.unwrap(), segments[1]);
    until("the third is fetched", || async { (gets(&serving, &third) > 0).then_some(()) }).await;
    assert_eq!(edge.get(&path(2)).await.bytes().await.unwrap(), segments[2]);
    assert_eq!((gets(&serving, &second), gets(&serving, &third)), (1, 1));
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sibling_has_is_not_needed_from_a_member() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let clip = clip();
    let hash = BlobHash::of(&clip.segment);
    serving.member.blobs.lock().unwrap().extend(clip.blobs);
    let members = std::slice::from_ref(&serving.address);
    // Edges of a region are told apart by their hosts and share a port.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = |dir: &tempfile::TempDir, host: &str| {
        let mut options = options(dir.path());
        options.http_listen = format!("{host}:0");
        options.sibling_listen = format!("{host}:{free}");
        options
    };
    let base = format!("/p/{}/{ASSET}/1", playback_token(&world, ASSET, Millis::from_mins(5)));
    let segment = format!("{base}/c360/0.m4s");
    let one_dir = world.folder(members);
    let one = start(at(&one_dir, "127.0.0.1")).await;
    assert_eq!(until_served(&one, &segment).await, clip.segment);

    serving.member.blobs.lock().unwrap().remove(&hash);
    let other_dir = world.folder_of(&EdgeId::new("eu-2", 1).unwrap(), members);
    let other = start(at(&other_dir, "127.0.0.2")).await;
    assert_eq!(until_served(&other, &segment).await, clip.segment);
    let metrics = other.get("/metrics").await.text().await.unwrap();
    let asked = "fairground_node_sibling_asks_total{outcome=\"fetched\"}";
    assert!(metrics.contains(asked), "{metrics}");

    // Without its sibling it serves what it has by now.
    one.stop().await;
    assert_eq!(other.get(&segment).await.bytes().await.unwrap(), clip.segment);
    other.stop().await;
    serving.stop().await;
}
