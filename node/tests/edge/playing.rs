//! Who plays goes on under a new token, on two devices at most, until the sign-in ends.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fairground_media::token::{self, Claims, TokenFlags, Viewer};
use fairground_node::CatIssuerOptions;
use fairground_runtime::clock::Clock;
use fairground_storage::KeyFile;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use fairground_types::event::PublicEvent;
use fairground_types::{Millis, PlaybackId, SignInId, UserId};
use reqwest::Method;
use serde_json::{Value, json};

use super::clip::clip;
use super::member::{ASSET, FakeMember};
use super::support::{Running, World, options, problem, start, until};

const BUYER: UserId = UserId::from_bits(11);

/// Where a segment is for one person, on a device.
fn segment(world: &World, device: u128, playback: u128) -> String {
    let key = Ed25519KeyPair::from_pkcs8(world.playback.expose_pkcs8()).unwrap();
    let now = Clock::system().now();
    let claims = Claims {
        key_id: 1,
        asset: ASSET,
        playback: PlaybackId::from_bits(playback),
        min_revision: 1,
        begun_at: now,
        expires_at: now.plus(Millis::from_mins(5)),
        viewer: Some(Viewer { pseudonym: [4; 16], sign_in: SignInId::from_bits(device) }),
        rung_cap: None,
        flags: TokenFlags::default(),
    };
    format!("/p/{}/{ASSET}/1/c360/0.m4s", token::mint(&key, &claims))
}

async fn refusal(edge: &Running, path: &str) -> Option<String> {
    let answer = edge.get(path).await;
    if answer.status() == 200 {
        return None;
    }
    Some(problem(answer).await.1["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_sign_ins_and_third_devices_are_refused_without_the_cluster() {
    let world = World::new();
    let dir = world.folder(&[]);
    let clip = clip();
    let ended = SignInId::from_bits(9);
    let published =
        PublicEvent::AssetPublished { asset: ASSET, revision: 1, manifest: clip.manifest };
    let revoked = PublicEvent::SignInRevoked { sign_in: ended };
    world.persist_view(dir.path(), vec![published, revoked]).await;
    {
        let key = KeyFile::load(&dir.path().join("storage.key")).unwrap();
        let budget = Budget { disk: 1 << 24, memory: 1 << 20 };
        let cache = SegmentCache::open(&dir.path().join("segments.redb"), &key, budget).unwrap();
        cache.insert(clip.blobs.clone()).await.unwrap();
    }
    let edge = start(options(dir.path())).await;
    assert_eq!(refusal(&edge, &segment(&world, 9, 1)).await.as_deref(), Some("PLAYBACK_DENIED"));
    let [first, second, third] = [1, 2, 3].map(|n| segment(&world, n, n));
    assert_eq!(refusal(&edge, &first).await, None);
    assert_eq!(refusal(&edge, &second).await, None);
    assert_eq!(refusal(&edge, &third).await.as_deref(), Some("STREAM_LIMIT"));
    let poster = third.replace("c360/0.m4s", "poster.jpg");
    assert_eq!(refusal(&edge, &poster).await, None, "what describes a clip is no stream");
    // The next clip on a device that plays takes its place.
    let next = segment(&world, 1, 4);
    assert_eq!(refusal(&edge, &next).await, None);
    assert_eq!(refusal(&edge, &first).await.as_deref(), Some("STREAM_LIMIT"));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playback_is_renewed_and_ends_when_the_cluster_counts_too_many() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    serving.member.blobs.lock().unwrap().extend(clip().blobs);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let bearer = world.token(BUYER, &[]);
    let begun: Value = until("a playback begins", || async {
        let path = format!("/v1/media/{ASSET}/playback");
        let answer = edge.request(Method::GET, &path).bearer_auth(&bearer).send().await.unwrap();
        if answer.status() == 200 { answer.json().await.ok() } else { None }
    })
    .await;
    let id = begun["playbackId"].as_str().unwrap();
    let token = begun["url"].as_str().unwrap().split('/').nth(2).unwrap();
    let renew = |id: &str, body: Value| {
        let request = edge.request(Method::POST, &format!("/v1/playback/{id}/renew"));
        request.bearer_auth(&bearer).json(&body).send()
    };
    let renewed = renew(id, json!({ "token": token })).await.unwrap();
    assert_eq!(renewed.status(), 200);
    let renewed: Value = renewed.json().await.unwrap();
    assert_eq!(renewed["playbackId"], begun["playbackId"]);
    let other = PlaybackId::from_bits(99).to_string();
    for (id, token) in [(id, "x"), (other.as_str(), token)] {
        let refused = renew(id, json!({ "token": token })).await.unwrap();
        assert_eq!(problem(refused).await.1["code"], "PLAYBACK_DENIED", "{id}");
    }

    let path = renewed["url"].as_str().unwrap().replace("master.m3u8", "c360/0.m4s");
    until("the clip plays", || async { refusal(&edge, &path).await.is_none().then_some(()) }).await;
    let playback: PlaybackId = id.parse().unwrap();
    serving.member.streams.lock().unwrap().push(playback);
    let is = |wanted: Option<&'static str>| {
        let (edge, path) = (&edge, &path);
        async move { (refusal(edge, path).await.as_deref() == wanted).then_some(()) }
    };
    until("the cluster's word arrives", || is(Some("STREAM_LIMIT"))).await;
    serving.member.streams.lock().unwrap().clear();
    until("and is taken back", || is(None)).await;
    edge.stop().await;
    serving.stop().await;
}

/// A Common Access Token for every path below `prefix`, written byte by byte.
fn cat(key: &Ed25519KeyPair, prefix: &str) -> String {
    let header = b"\xa2\x01\x27\x04\x42op";
    let now = Clock::system().now().as_unix_seconds();
    let expires = u32::try_from(now + 300).unwrap();
    let length = u8::try_from(prefix.len()).unwrap();
    let payload = [
        &b"\xa2\x04\x1a"[..],
        &expires.to_be_bytes(),
        b"\x19\x01\x38\xa1\x03\xa1\x01\x78",
        &[length],
        prefix.as_bytes(),
    ]
    .concat();
    let length = u8::try_from(payload.len()).unwrap();
    let signed = [&b"\x84\x6aSignature1\x47"[..], header, &[0x40, 0x58, length], &payload].concat();
    let signature = key.sign(&signed);
    let token = [
        &b"\x84\x47"[..],
        header,
        &[0xa0, 0x58, length],
        &payload,
        &[0x58, 64],
        signature.as_ref(),
    ]
    .concat();
    URL_SAFE_NO_PAD.encode(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_of_the_operator_opens_public_clips() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let clip = clip();
    serving.member.blobs.lock().unwrap().extend(clip.blobs.clone());
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let key = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let mut options = options(dir.path());
    options.cat_issuers = vec![CatIssuerOptions {
        key_id: "op".to_owned(),
        issuer: String::new(),
        public_key: STANDARD.encode(key.public_key()),
    }];
    let edge = start(options).await;
    let path = format!("/c/{ASSET}/1/c360/0.m4s");
    let with = |token: String| {
        edge.request(Method::GET, &path).header("CTA-Common-Access-Token", token).send()
    };
    let good = || cat(&key, &format!("/c/{ASSET}/"));
    let body = until("the clip is served", || async {
        let answer = with(good()).await.unwrap();
        if answer.status() == 200 { answer.bytes().await.ok() } else { None }
    })
    .await;
    assert_eq!(body, clip.segment);
    let foreign = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let elsewhere = "/c/ast_00000000000000000000000009/";
    let refused = [cat(&foreign, &format!("/c/{ASSET}/")), cat(&key, elsewhere), String::new()];
    for token in refused {
        assert_eq!(problem(with(token).await.unwrap()).await.1["code"], "PLAYBACK_DENIED");
    }
    edge.stop().await;
    serving.stop().await;
}
