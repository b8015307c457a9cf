//! Three members over loopback QUIC, with real stores: they begin, join, lose their leader, catch up.
#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]

mod auctions;
mod blobs;
mod jobs;
mod people;
mod sale;
mod support;

use std::time::{Duration, Instant};

use fairground_runtime::clock::Clock;
use fairground_types::journal::{JournalEntry, Tail};
use fairground_types::{Code, LogIndex, Millis, Verdict};
use fairground_wire::message::{
    FeedDown, ForwardRequest, ForwardResponse, ReadRequest, StreamKind, UplinkDown,
};
use fairground_wire::session::feed::VIEW_VERSION;
use serde_json::json;
use support::edge::{self, Joined, Stream, TestEdge};
use support::{PATIENCE, TestMember, equal_digests, eventually, options};

async fn three_members(folder: &std::path::Path) -> Vec<TestMember> {
    let first = TestMember::found(options(folder, "m1")).await;
    let mut members = vec![first];
    for name in ["m2", "m3"] {
        let founder = members.first().expect("the founder");
        let token = founder.token("member", 60_000).await;
        let joined = TestMember::join(options(folder, name), &token).await;
        members.push(joined);
        let expected = members.len();
        equal_digests(members.first().expect("the founder"), expected).await;
    }
    members
}

async fn leader_of(member: &TestMember) -> u64 {
    eventually("a leader", async || member.status().await["leader"].as_u64()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_survive_their_leader_and_catch_up_from_log_and_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut members = three_members(folder.path()).await;
    for number in 0..5 {
        assert!(members.get(number % 3).expect("a member").make_account(number).await);
    }
    equal_digests(members.first().expect("m1"), 3).await;

    // The leader is killed; the next command is judged by another.
    let leader = usize::try_from(leader_of(members.first().expect("m1")).await).expect("small");
    let killed = members.remove(leader - 1);
    let options = killed.kill().await;
    let began = Instant::now();
    let survivor = members.first().expect("a survivor");
    eventually("a verdict under a new leader", async || {
        survivor.make_account(100).await.then_some(())
    })
    .await;
    let failover = began.elapsed();
    assert!(failover < PATIENCE, "took {failover:?}");
    eprintln_failover(failover);
    assert_ne!(leader_of(survivor).await, leader as u64);

    // It comes back and catches up from the log.
    let returned = TestMember::start(options).await;
    members.push(returned);
    equal_digests(members.first().expect("a survivor"), 3).await;

    // It is gone for longer than the log is kept, and catches up from a snapshot.
    let returned = members.pop().expect("the one that returned");
    let options = returned.stop().await;
    let survivor = members.first().expect("a survivor");
    for number in 200..340 {
        eventually("an account", async || survivor.make_account(number).await.then_some(())).await;
    }
    members.push(TestMember::start(options).await);
    equal_digests(members.first().expect("a survivor"), 3).await;
    for member in &members {
        assert!(member.dir.join("raft").join("snapshot.sealed").exists(), "a snapshot was kept");
        let violations = member.get("/v1/admin/violations").await;
        assert_eq!(violations["violations"], json!([]));
    }

    // All stop and start again: the state is rebuilt to the same digest.
    let mut stopped = Vec::new();
    for member in members {
        stopped.push(member.stop().await);
    }
    let mut started = Vec::new();
    for options in stopped {
        started.push(TestMember::start(options).await);
    }
    let first = started.first().expect("a member");
    leader_of(first).await;
    equal_digests(first, 3).await;
    assert!(first.make_account(1_000).await);
    equal_digests(first, 3).await;
    for member in started {
        member.stop().await;
    }
}

#[expect(clippy::print_stderr, reason = "a figure for whoever runs the test")]
fn eprintln_failover(failover: Duration) {
    eprintln!("failover took {} ms", failover.as_millis());
}

async fn joined(member: &TestMember, name: &str) -> TestEdge {
    let token = member.token("edge", 60_000).await;
    match edge::join(&token, name).await {
        Joined::Welcome(edge) => *edge,
        Joined::Refused(code) => panic!("refused: {code}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_tokens_and_certificates_of_the_cluster_let_daemons_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let member = TestMember::found(options(folder.path(), "m1")).await;
    let other = TestMember::found(options(folder.path(), "other")).await;

    // A token works once and makes a name; the same name gets the next incarnation.
    let token = member.token("edge", 60_000).await;
    let Joined::Welcome(first) = edge::join(&token, "eu-1").await else { panic!("refused") };
    assert_eq!(first.id.to_string(), "eu-1.1");
    let used = edge::join(&token, "eu-2").await;
    assert!(matches!(used, Joined::Refused(Code::JoinRefused)), "a used token is refused");
    assert_eq!(joined(&member, "eu-1").await.id.to_string(), "eu-1.2");

    // A token past its time, and one for members, are refused.
    let short = member.token("edge", 300).await;
    let expires_at = Clock::system().now().plus(Millis::new(300));
    eventually("the token's time is over", async || {
        (Clock::system().now() > expires_at).then_some(())
    })
    .await;
    let expired = edge::join(&short, "eu-3").await;
    assert!(matches!(expired, Joined::Refused(Code::JoinRefused)), "an old token is refused");
    let for_members = member.token("member", 60_000).await;
    let refused = edge::join(&for_members, "eu-4").await;
    assert!(matches!(refused, Joined::Refused(Code::JoinRefused)));

    // The certificate of another cluster ends at the handshake; none at all ends at the protocol.
    let address = &member.options.cluster_listen;
    let stranger = joined(&other, "eu-1").await;
    assert!(is_turned_away(stranger.connect(address).await).await);
    // An edge that names another edge, or speaks as a member, is cut off.
    let connection = first.connect(address).await.expect("connected");
    let mut raft = Stream::open(&connection, StreamKind::Raft).await;
    assert!(raft.receive::<fairground_wire::raft::RaftReply>().await.is_none());
    tokio::time::timeout(PATIENCE, connection.closed()).await.expect("closed");
    member.stop().await;
    other.stop().await;
}

/// TLS 1.3 lets a client finish before the server has looked at its certificate.
async fn is_turned_away(connected: Result<quinn::Connection, quinn::ConnectionError>) -> bool {
    match connected {
        Err(_) => true,
        Ok(connection) => tokio::time::timeout(PATIENCE, connection.closed()).await.is_ok(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_is_fed_timed_and_answered_through_any_member() {
    let folder = tempfile::tempdir().expect("a folder");
    let members = three_members(folder.path()).await;
    let leader = leader_of(members.first().expect("m1")).await;
    let position = usize::try_from(leader).expect("small") - 1;
    let follower = members.get((position + 1) % 3).expect("a follower");
    let edge = joined(members.first().expect("m1"), "eu-1").await;
    let connection = edge.connect(&follower.options.cluster_listen).await.expect("connected");

    // Coordinator time comes from the leader, through the follower.
    let answer = eventually("a beat answered", async || edge.beat(&connection, None).await).await;
    assert_eq!(answer.leader.map(|member| member.0), Some(leader));
    assert_eq!(answer.directory.expect("the first has a directory").len(), 1);
    eventually("the follower lists the edge", async || {
        let edges = follower.get("/v1/edges").await;
        (edges["edges"][0]["edge"] == "eu-1.1").then_some(())
    })
    .await;

    // The feed begins with a view and goes on.
    let (mut feed, first) = edge.feed(&connection, LogIndex(0)).await;
    let FeedDown::Snapshot { index, total_bytes, offset, bytes } = first else {
        panic!("a view first")
    };
    assert_eq!((offset, total_bytes), (0, bytes.len() as u64));
    let (_, view): (_, fairground_market::PublicView) =
        fairground_wire::codec::decode_state(VIEW_VERSION, &bytes).expect("a view");
    assert_eq!(view.index(), index);
    assert_eq!(view.members().count(), 3);
    assert!(follower.make_account(1).await);
    let item = loop {
        match feed.receive::<FeedDown>().await.expect("a message") {
            FeedDown::Item(item) => break item,
            FeedDown::Alive { .. } => {}
            FeedDown::Snapshot { .. } => panic!("one view only"),
        }
    };
    assert!(item.index > index);

    // A read that shows money is answered by a follower; what is not theirs is not found.
    let user = fairground_types::UserId::from_bits(7);
    let locks = ForwardRequest::Read(ReadRequest::MyLocks { user });
    let ForwardResponse::Json(document) = edge.forward(&connection, &locks).await else {
        panic!("a document")
    };
    assert_eq!(document, br#"{"locks":[]}"#);

    // Journal entries are judged, also when they are sent twice; outside the intake they are not.
    let admitted = edge.admit(&connection, Tail::START).await;
    let ForwardResponse::Judged(judged) = admitted else { panic!("a verdict: {admitted:?}") };
    assert!(judged.verdict.is_accepted(), "{judged:?}");
    let (mut uplink, welcome) = edge.uplink(&connection, Tail::START).await;
    assert_eq!(welcome, UplinkDown::Welcome { applied: Tail::START, in_intake: true });
    let now = eventually("a beat answered", async || edge.beat(&connection, None).await).await.t1;
    let one = edge::entry_after(Tail::START, now);
    let two = edge::entry_after(one.tail(), now);
    uplink.send(&edge.batch(vec![one.clone(), two.clone()])).await;
    let first = verdicts(&mut uplink, &[&one, &two]).await;
    uplink.send(&edge.batch(vec![one.clone(), two.clone()])).await;
    assert_eq!(verdicts(&mut uplink, &[&one, &two]).await, first);
    // A gap is answered with the sequence that is due.
    let four = edge::entry_after(Tail { seq: 3, hash: two.hash }, now);
    uplink.send(&edge.batch(vec![four])).await;
    eventually("the gap is named", async || {
        let message: UplinkDown = uplink.receive().await.expect("a message");
        (message == UplinkDown::Expected { seq: 3 }).then_some(())
    })
    .await;
    for member in members {
        member.stop().await;
    }
}

/// The final verdicts on these entries, which are rejections: there is no such auction.
async fn verdicts(uplink: &mut Stream, entries: &[&JournalEntry]) -> Vec<(u64, Verdict)> {
    let mut found = Vec::new();
    while found.len() < entries.len() {
        let message: UplinkDown = uplink.receive().await.expect("a message");
        match message {
            UplinkDown::Verdicts(verdicts) => {
                for verdict in verdicts {
                    assert!(!verdict.judged.verdict.is_accepted());
                    found.push((verdict.seq, verdict.judged.verdict));
                }
            }
            UplinkDown::Applied { .. } => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    found
}
