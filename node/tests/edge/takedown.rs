//! A story is taken down: its clip stops at once, its bytes go, and both come back with it.

use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use fairground_media::token::{self, Claims, TokenFlags};
use fairground_runtime::clock::Clock;
use fairground_types::command::{Actor, Command, StoryCommand, TakeDown, TakedownGround};
use fairground_types::text::Note;
use fairground_types::{Millis, PlaybackId, UserId};

use super::clip::clip;
use super::member::{ASSET, FakeMember, STORY};
use super::support::{Running, World, options, problem, start, until};

const BUYER: UserId = UserId::from_bits(11);

/// Where the segment of the clip is, for a viewer or for one who previews.
fn segment(world: &World, preview: bool) -> String {
    let key = Ed25519KeyPair::from_pkcs8(world.playback.expose_pkcs8()).unwrap();
    let claims = Claims {
        key_id: 1,
        asset: ASSET,
        playback: PlaybackId::from_bits(1),
        min_revision: 1,
        begun_at: Clock::system().now(),
        expires_at: Clock::system().now().plus(Millis::from_mins(5)),
        viewer: None,
        rung_cap: None,
        flags: TokenFlags { preview, ..TokenFlags::default() },
    };
    format!("/p/{}/{ASSET}/1/c360/0.m4s", token::mint(&key, &claims))
}

async fn until_status(edge: &Running, what: &str, path: &str, status: u16) {
    until(what, || async { (edge.get(path).await.status() == status).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takedown_stops_a_clip_at_once_and_drops_its_bytes() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let clip = clip();
    let blobs = clip.blobs.clone();
    serving.member.blobs.lock().unwrap().extend(blobs.clone());
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let (viewer, preview) = (segment(&world, false), segment(&world, true));
    until_status(&edge, "the clip plays", &viewer, 200).await;
    // From now on its bytes are at the edge alone, but for the manifest.
    serving.member.blobs.lock().unwrap().retain(|hash, _| *hash == clip.manifest);
    assert_eq!(edge.get(&viewer).await.bytes().await.unwrap(), clip.segment);

    let reason = || Note::parse("somebody else's film").unwrap();
    let ground = TakedownGround::Copyright;
    let takedown = TakeDown { story: STORY, ground, reason: reason(), is_strike: false };
    let command = StoryCommand::TakeDownStory(takedown);
    serving.member.must(Actor::Cluster, Command::Story(command));
    until_status(&edge, "the clip stops", &viewer, 403).await;
    assert_eq!(problem(edge.get(&viewer).await).await.1["code"], "PLAYBACK_DENIED");
    // Who previews is not refused: there is nothing left to be shown.
    until_status(&edge, "the bytes are gone", &preview, 404).await;

    serving.member.blobs.lock().unwrap().extend(blobs);
    let restore = StoryCommand::RestoreStory { story: STORY, reason: reason() };
    serving.member.must(Actor::Cluster, Command::Story(restore));
    until_status(&edge, "the clip plays again", &viewer, 200).await;
    assert_eq!(edge.get(&viewer).await.bytes().await.unwrap(), clip.segment);
    edge.stop().await;
    serving.stop().await;
}
