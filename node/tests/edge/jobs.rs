//! How far a clip is that another edge makes.

use std::sync::Arc;

use fairground_types::UserId;
use reqwest::Method;
use serde_json::{Value, json};

use super::member::{ASSET, FakeMember, MAKER};
use super::support::{Running, World, options, start, until};

const BUYER: UserId = UserId::from_bits(11);

async fn asset(edge: &Running, token: &str) -> Value {
    until("the edge reaches the cluster", || async {
        let request = edge.request(Method::GET, &format!("/v1/media/{ASSET}"));
        let answer = request.bearer_auth(token).send().await.ok()?;
        if answer.status() == 200 { answer.json().await.ok() } else { None }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_shown_at_an_edge_that_does_not_work_on_the_clip() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let maker = world.token(MAKER, &[]);
    assert_eq!(asset(&edge, &maker).await.get("progress"), None, "nobody tells");

    let told = json!({
        "assetId": ASSET, "edge": "elsewhere.1", "stage": "av1", "doneFrames": 120,
        "totalFrames": 960, "fpsMilli": 4_000, "etaMs": 210_000, "since": "2026-01-02T03:04:05Z",
    });
    *serving.member.progress.lock().unwrap() = Some(told.clone());
    let shown = asset(&edge, &maker).await;
    let shown = &shown["progress"];
    for key in ["edge", "stage", "doneFrames", "totalFrames", "fpsMilli", "etaMs"] {
        assert_eq!(shown[key], told[key], "{key}");
    }
    assert!(shown["since"].as_str().unwrap().starts_with("2026-01-02T03:04:05"), "{shown}");
    edge.stop().await;
    serving.stop().await;
}
