//! Blobs of three members: what one loses or its disk damages comes back from another, and what
//! nothing names goes.

use std::path::{Path, PathBuf};

use fairground_coordinator::Options;
use fairground_runtime::config::{DurationText, SizeText};
use fairground_types::command::{Actor, Command, MediaCommand, RegisterAsset};
use fairground_types::{AssetId, BlobHash, Millis, UserId};
use quinn::Connection;
use serde_json::json;

use crate::support::edge::{self, Joined, TestEdge};
use crate::support::{TestMember, equal_digests, eventually, options};

/// Settings under which everything that takes days takes seconds.
fn quick(folder: &Path, name: &str) -> Options {
    let mut options = options(folder, name);
    options.sandbox = true;
    options.blobs.repair_period = DurationText::new(Millis::new(300));
    options.blobs.scrub_rate = SizeText::new(64 << 20);
    options.blobs.scrub_period = DurationText::new(Millis::new(500));
    options.blobs.collect_period = DurationText::new(Millis::new(300));
    options.blobs.collect_grace = DurationText::new(Millis::from_secs(5));
    options
}

async fn three_members(folder: &Path) -> Vec<TestMember> {
    let mut members = vec![TestMember::found(quick(folder, "m1")).await];
    for name in ["m2", "m3"] {
        let founder = members.first().expect("the founder");
        let token = founder.token("member", 60_000).await;
        members.push(TestMember::join(quick(folder, name), &token).await);
        equal_digests(members.first().expect("the founder"), members.len()).await;
    }
    members
}

fn place(member: &TestMember, hash: BlobHash) -> PathBuf {
    let name = hash.to_string();
    let (first, rest) = name.split_at(2);
    let (second, _) = rest.split_at(2);
    member.dir.join("blobs").join(first).join(second).join(&name)
}

fn is_whole(member: &TestMember, hash: BlobHash) -> bool {
    std::fs::read(place(member, hash)).is_ok_and(|bytes| BlobHash::of(&bytes) == hash)
}

async fn all_hold(members: &[TestMember], hash: BlobHash) {
    eventually("every member holds the blob", async || {
        members.iter().all(|member| is_whole(member, hash)).then_some(())
    })
    .await;
}

async fn make_maker(member: &TestMember) -> UserId {
    let body = json!({ "identifier": "maker-1@fairground.example", "channel": "email",
        "handle": "maker-1", "roles": ["maker"] });
    let made = member.post("/v1/cluster/accounts", body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    made.body["userId"].as_str().expect("a user").parse().expect("an id")
}

/// Names a blob: it is the source of a clip.
async fn name(edge: &TestEdge, connection: &Connection, maker: UserId, blob: (u128, BlobHash)) {
    let register = RegisterAsset {
        asset: AssetId::from_bits(blob.0),
        source: blob.1,
        source_bytes: 18,
        duration: Millis::from_secs(9),
        width: 640,
        height: 360,
    };
    let command = Command::Media(MediaCommand::RegisterAsset(register));
    edge.act(connection, Actor::User(maker), command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_damaged_blobs_come_back_and_unused_ones_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let members = three_members(folder.path()).await;
    let [first, second, third] = members.as_slice() else { panic!("three members") };
    let token = first.token("edge", 60_000).await;
    let Joined::Welcome(edge) = edge::join(&token, "eu-1").await else { panic!("refused") };
    let connection = edge.connect(&first.options.cluster_listen).await.expect("connected");
    let maker = make_maker(first).await;
    let source = edge.put_blob(&connection, b"the uploaded bytes").await;
    name(&edge, &connection, maker, (11, source)).await;
    all_hold(&members, source).await;

    // One member loses its copy, and the disk of another flips a bit.
    std::fs::remove_file(place(second, source)).expect("removed");
    std::fs::write(place(third, source), b"the uploaded bytfs").expect("damaged");
    all_hold(&members, source).await;
    let aside = third.dir.join("blobs").join("damaged").join(source.to_string());
    eventually("the damaged copy is gone", async || (!aside.exists()).then_some(())).await;
    assert_eq!(edge.get_blob(&connection, source).await, b"the uploaded bytes");

    // Nothing names this one.
    let orphan = edge.put_blob(&connection, b"gone").await;
    assert!(is_whole(first, orphan));
    eventually("no member holds it", async || {
        members.iter().all(|member| !place(member, orphan).exists()).then_some(())
    })
    .await;
    assert!(members.iter().all(|member| is_whole(member, source)), "what is named stays");

    // Nothing names this one either, but it is most of what there is: rather nothing is removed.
    let most = edge.put_blob(&connection, &[7; 1_000]).await;
    eventually("the collection stops", async || {
        let status = first.status().await;
        (status["blobs"]["lastCollection"] == "tooMany").then_some(())
    })
    .await;
    assert!(is_whole(first, most));
    name(&edge, &connection, maker, (12, most)).await;
    eventually("the collection goes on", async || {
        let status = first.status().await;
        let blobs = &status["blobs"];
        (blobs["lastCollection"] == "done" && blobs["unused"] == 0).then_some(())
    })
    .await;
    all_hold(&members, most).await;
    for member in members {
        member.kill().await;
    }
}

#[tokio::test]
async fn a_grace_that_would_lose_uploads_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = quick(folder.path(), "m1");
    options.sandbox = false;
    fairground_coordinator::init(&fairground_coordinator::InitOptions { options: options.clone() })
        .expect("the cluster begins");
    let shutdown = fairground_runtime::shutdown::Shutdown::new();
    let stopped = fairground_coordinator::run(options, shutdown).await;
    let error = stopped.expect_err("it does not start");
    assert!(error.to_string().contains("blobs.collect_grace"), "{error}");
}
