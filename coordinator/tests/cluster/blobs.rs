//! Blobs of three members: what one loses or its disk damages comes back from another, and what
//! nothing names goes. Then the same of members that share a bucket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fairground_coordinator::{BlobStoreKind, Options, S3Options};
use fairground_objects::S3Store;
use fairground_objects::moto::Moto;
use fairground_runtime::config::{DurationText, SizeText};
use fairground_storage::blob::BlobPlace as _;
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

/// Settings of a member whose blobs are in a bucket. A look through it is 256 requests to a server in
/// Python, so there are few.
fn in_bucket(folder: &Path, name: &str, moto: &Moto) -> Options {
    let secret = folder.join("s3.secret");
    std::fs::write(&secret, "test\n").expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("set");
    let mut options = quick(folder, name);
    options.blobs.collect_period = DurationText::new(Millis::from_secs(2));
    options.blobs.collect_grace = DurationText::new(Millis::from_secs(4));
    options.blobs.store = BlobStoreKind::S3;
    options.blobs.s3 = S3Options {
        bucket: "media".to_owned(),
        prefix: "eu".to_owned(),
        endpoint: Some(moto.endpoint()),
        access_key_id: "test".to_owned(),
        secret_access_key_file: Some(secret),
        ..S3Options::default()
    };
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_a_bucket() {
    let Some(moto) = Moto::start().expect("moto_server starts where it is installed") else {
        return;
    };
    moto.make_bucket("media").expect("a bucket");
    let folder = tempfile::tempdir().expect("a folder");
    let first = TestMember::found(in_bucket(folder.path(), "m1", &moto)).await;
    let token = first.token("member", 60_000).await;
    let second = TestMember::join(in_bucket(folder.path(), "m2", &moto), &token).await;
    equal_digests(&first, 2).await;
    let token = first.token("edge", 60_000).await;
    let Joined::Welcome(edge) = edge::join(&token, "eu-1").await else { panic!("refused") };
    let connection = edge.connect(&first.options.cluster_listen).await.expect("connected");
    let maker = make_maker(&first).await;
    let source = edge.put_blob(&connection, b"the uploaded bytes").await;
    name(&edge, &connection, maker, (11, source)).await;

    // What one took the other serves, and neither keeps a copy.
    let elsewhere = edge.connect(&second.options.cluster_listen).await.expect("connected");
    assert_eq!(edge.get_blob(&elsewhere, source).await, b"the uploaded bytes");
    assert!(!place(&first, source).exists() && !place(&second, source).exists());
    edge.put_blob(&elsewhere, b"gone").await;
    eventually("what nothing names is gone", async || {
        let blobs = second.status().await["blobs"].clone();
        (blobs["lastCollection"] == "done" && blobs["held"] == 1 && blobs["unused"] == 0)
            .then_some(())
    })
    .await;
    assert_eq!(edge.get_blob(&connection, source).await, b"the uploaded bytes");

    // The bucket loses what is needed: nobody has it, so it is said.
    let status = first.status().await;
    assert_eq!(status["blobs"]["missing"], 0, "{status}");
    let cluster = status["cluster"].as_str().expect("a cluster").to_owned();
    let ages = folder.path().join("ages");
    let store =
        S3Store::open(&moto.settings("media", "eu"), &cluster, "m9", &ages).expect("usable");
    assert!(store.remove(&source).await.expect("removed"));
    eventually("the loss is said", async || {
        (first.status().await["blobs"]["missing"] == 1).then_some(())
    })
    .await;
    for member in [first, second] {
        member.kill().await;
    }
}

#[tokio::test]
async fn a_bucket_beyond_this_machine_without_tls_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = quick(folder.path(), "m1");
    let secret = folder.path().join("s3.secret");
    std::fs::write(&secret, "test\n").expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("set");
    options.blobs.store = BlobStoreKind::S3;
    options.blobs.s3 = S3Options {
        bucket: "media".to_owned(),
        endpoint: Some("http://objects.fairground.example:9000".to_owned()),
        access_key_id: "test".to_owned(),
        secret_access_key_file: Some(secret),
        ..S3Options::default()
    };
    fairground_coordinator::init(&fairground_coordinator::InitOptions { options: options.clone() })
        .expect("the cluster begins");
    let shutdown = fairground_runtime::shutdown::Shutdown::new();
    let error =
        fairground_coordinator::run(options, shutdown).await.expect_err("it does not start");
    assert!(error.to_string().contains("blobs.s3.endpoint"), "{error}");
}
