//! What an edge may send in a day: who begins is refused first, then all, and a restart forgets
//! nothing. And what one playback may take.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fairground_runtime::config::SizeText;
use fairground_storage::KeyFile;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use fairground_types::event::PublicEvent;
use fairground_types::{Millis, UserId};
use reqwest::Method;
use serde_json::{Value, json};

use super::alone::{control, playback_token};
use super::clip::{clip, clip_of};
use super::member::{ASSET, FakeMember};
use super::support::{Running, World, header, options, problem, start, until};

const BUYER: UserId = UserId::from_bits(11);
const BUDGET: u64 = 10_000;

/// What the edge says of the bytes that it sent.
async fn media(dir: &Path) -> Value {
    until("the socket is there", || control(dir, "status")).await["media"].clone()
}

/// Fetches until the edge refuses; answers how many bytes came.
async fn drain(edge: &Running, path: &str) -> u64 {
    let mut came = 0;
    loop {
        let answer = edge.get(path).await;
        if answer.status() != 200 {
            assert_eq!(
                (answer.status().as_u16(), header(&answer, "cache-control")),
                (404, "no-store")
            );
            return came;
        }
        came += u64::try_from(answer.bytes().await.unwrap().len()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_over_its_budget_begins_nothing_and_then_serves_nothing() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    serving.member.blobs.lock().unwrap().extend(clip().blobs);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let limited = || {
        let mut options = options(dir.path());
        options.delivery.bytes_per_day = SizeText::new(BUDGET);
        options
    };
    let edge = start(limited()).await;
    let base = format!("/p/{}/{ASSET}/1", playback_token(&world, ASSET, Millis::from_mins(5)));
    let (master, segment) = (format!("{base}/master.m3u8"), format!("{base}/c360/0.m4s"));
    let first = until("a playback begins", || async {
        let answer = edge.get(&master).await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    let mut sent = u64::try_from(first.bytes().await.unwrap().len()).unwrap();
    until("the segment is there", || async {
        (edge.request(Method::HEAD, &segment).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
    let listed = async || edge.get("/v1/edges").await.json::<Value>().await.unwrap();
    assert_eq!(
        media(dir.path()).await,
        json!({
            "bytesToday": sent, "bytesPerDay": BUDGET, "standing": "within",
        }),
        "neither refusals nor heads count"
    );

    while sent < BUDGET {
        let answer = edge.get(&segment).await;
        assert_eq!(answer.status(), 200);
        sent += u64::try_from(answer.bytes().await.unwrap().len()).unwrap();
    }
    assert_eq!(media(dir.path()).await["standing"], "over");
    let refused = edge.get(&master).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "cache-control")), (404, "no-store"));
    let minted = edge.get(&format!("/v1/media/{ASSET}/playback")).await;
    assert_eq!(minted.status(), 200, "a playback that may begin at another edge");
    let row = listed().await["edges"][0].clone();
    assert_eq!((&row["servesVideo"], &row["loadPermille"]), (&json!(true), &json!(1_000)));

    let more = drain(&edge, &segment).await;
    assert!(more > 0, "who plays goes on");
    sent += more;
    let segment_bytes = u64::try_from(clip().segment.len()).unwrap();
    assert!((BUDGET + BUDGET / 10..BUDGET + BUDGET / 10 + segment_bytes).contains(&sent), "{sent}");
    let row = listed().await["edges"][0].clone();
    assert_eq!(row["servesVideo"], false);
    let metrics = edge.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("fairground_node_media_refused_total{reason=\"exhausted\"}"),
        "{metrics}"
    );
    edge.stop().await;

    let edge = start(limited()).await;
    let after = media(dir.path()).await;
    assert_eq!((&after["bytesToday"], &after["standing"]), (&json!(sent), &json!("exhausted")));
    assert_eq!(edge.get(&segment).await.status(), 404);
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playback_ends_when_it_has_taken_its_clip_too_often() {
    const LARGE: usize = 24 * 1024 * 1024;
    let world = World::new();
    let dir = world.folder(&[]);
    let clip = clip_of(&[Bytes::from(vec![7; LARGE])]);
    let (asset, manifest) = (clip.asset, clip.manifest);
    let published = PublicEvent::AssetPublished { asset, revision: 1, manifest };
    world.persist_view(dir.path(), vec![published]).await;
    {
        let key = KeyFile::load(&dir.path().join("storage.key")).unwrap();
        let budget = Budget { disk: 1 << 26, memory: 1 << 20 };
        let cache = SegmentCache::open(&dir.path().join("segments.redb"), &key, budget).unwrap();
        cache.insert(clip.blobs).await.unwrap();
    }
    let edge = start(options(dir.path())).await;
    let token = playback_token(&world, asset, Millis::from_mins(5));
    let segment = format!("/p/{token}/{asset}/1/c360/0.m4s");
    for _ in 0..3 {
        let answer = edge.get(&segment).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.bytes().await.unwrap().len(), LARGE);
    }
    let spent = problem(edge.get(&segment).await).await;
    assert_eq!((spent.0, &spent.1["code"]), (403, &json!("PLAYBACK_DENIED")));
    edge.stop().await;
}
