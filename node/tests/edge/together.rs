//! An edge and a member: from a request to a verdict, over restarts and silences.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fairground_runtime::receipt;
use fairground_storage::fault::damage_journal;
use fairground_types::{Role, UserId};
use futures_util::StreamExt as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::member::{FakeMember, MAKER, STORY};
use super::support::{Running, World, header, options, problem, start, until};

const BUYERS: [UserId; 2] = [UserId::from_bits(11), UserId::from_bits(12)];

fn money(minor: u64) -> Value {
    json!({ "amountMinor": minor, "currency": "EUR" })
}

async fn until_it_takes_bids(edge: &Running) {
    until("the edge takes bids", || async {
        let edges: Value = edge.get("/v1/edges").await.json().await.unwrap();
        (edges["edges"][0]["takesBids"] == true).then_some(())
    })
    .await;
}

/// A signed-in POST that waits long for its verdict.
async fn post(edge: &Running, who: &str, key: &str, path: &str, body: &Value) -> Response {
    edge.request(Method::POST, path)
        .bearer_auth(who)
        .header("Idempotency-Key", key)
        .header("Prefer", "wait=10")
        .json(body)
        .send()
        .await
        .unwrap()
}

async fn open_auction(edge: &Running, who: &str) -> String {
    let offers = format!("/v1/stories/{STORY}/offers");
    let opened = post(edge, who, "offer-001", &offers, &money(10_000)).await;
    assert_eq!(opened.status(), 201);
    let opened: Value = opened.json().await.unwrap();
    opened["auctionId"].as_str().unwrap().to_owned()
}

/// Three rising bids of one bidder, each received and none judged yet.
async fn receive_three(edge: &Running, who: &str, bids: &str) -> Vec<Value> {
    let mut received = Vec::new();
    for (key, minor) in [("bid-00001", 11_000), ("bid-00002", 12_000), ("bid-00003", 13_000)] {
        let request = edge.request(Method::POST, bids).bearer_auth(who);
        let request = request.header("Idempotency-Key", key).header("Prefer", "wait=0");
        let answer = request.json(&money(minor)).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["state"], "received");
        received.push(answer);
    }
    received
}

/// The state of a received bid, once it is judged.
async fn judged_state(edge: &Running, who: &str, received: &Value) -> Value {
    let path = format!("/v1/bids/{}", received["bidId"].as_str().unwrap());
    until("the bid is judged", || async {
        let shown = edge.request(Method::GET, &path).bearer_auth(who).send().await.unwrap();
        let shown: Value = shown.json().await.unwrap();
        (shown["state"] != "received").then(|| shown["state"].clone())
    })
    .await
}

fn claims(world: &World, receipt: &str) -> Value {
    let checked = receipt::verify(receipt, |_| Some(*world.receipt.public())).unwrap();
    serde_json::to_value(checked).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bid_gets_its_verdict_and_a_receipt_that_verifies() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &BUYERS);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    until_it_takes_bids(&edge).await;
    let [one, two] = BUYERS.map(|user| world.token(user, &[]));
    let auction = open_auction(&edge, &one).await;
    let bids = format!("/v1/auctions/{auction}/bids");

    let placed = post(&edge, &two, "bid-00001", &bids, &money(12_000)).await;
    assert_eq!(placed.status(), 201);
    assert_eq!(header(&placed, "preference-applied"), "wait=10");
    let location = header(&placed, "location").to_owned();
    let placed: Value = placed.json().await.unwrap();
    assert_eq!(placed["state"], "accepted");
    assert_eq!(placed["minNextBid"]["amountMinor"], 12_500);
    let receipt = claims(&world, placed["receipt"].as_str().unwrap());
    assert_eq!((receipt["seq"].as_u64(), receipt["bidId"] == placed["bidId"]), (Some(2), true));

    // The same key again is the same bid; with another amount it is refused.
    let again: Value =
        post(&edge, &two, "bid-00001", &bids, &money(12_000)).await.json().await.unwrap();
    assert_eq!((&again["bidId"], &again["logIndex"]), (&placed["bidId"], &placed["logIndex"]));
    let other = post(&edge, &two, "bid-00001", &bids, &money(13_000)).await;
    assert_eq!(problem(other).await.1["code"], "IDEMPOTENCY_KEY_REUSED");

    let low = problem(post(&edge, &one, "bid-00002", &bids, &money(12_100)).await).await.1;
    assert_eq!(
        (&low["code"], &low["minNextBid"]["amountMinor"]),
        (&json!("BID_TOO_LOW"), &json!(12_500))
    );
    let dollars = json!({ "amountMinor": 20_000, "currency": "USD" });
    let dollars = problem(post(&edge, &one, "bid-00003", &bids, &dollars).await).await.1;
    assert_eq!(dollars["code"], "CURRENCY_MISMATCH");
    let maker = world.token(MAKER, &[Role::Maker]);
    let own = problem(post(&edge, &maker, "bid-00004", &bids, &money(20_000)).await).await.1;
    assert_eq!(own["code"], "SELF_BID");

    let shown = edge.request(Method::GET, &location).bearer_auth(&two).send().await.unwrap();
    let shown: Value = shown.json().await.unwrap();
    assert_eq!((&shown["state"], &shown["logIndex"]), (&json!("accepted"), &placed["logIndex"]));
    let theirs = edge.request(Method::GET, &location).bearer_auth(&one).send().await.unwrap();
    assert_eq!(theirs.status(), 404);
    assert_eq!(serving.member.judged().len(), 2, "refusals at the edge reach no log");
    let page: Value = edge.get(&format!("/v1/auctions/{auction}")).await.json().await.unwrap();
    assert_eq!(page["highest"]["amountMinor"], 12_000);
    edge.stop().await;
    let sealed = serving.member.look(|market| market.edge(&world.edge).map(|row| row.in_intake()));
    assert_eq!(sealed, Some(false), "an edge that stops is not waited for");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_is_judged_after_silence_and_restart() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &BUYERS);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    until_it_takes_bids(&edge).await;
    let [one, two] = BUYERS.map(|user| world.token(user, &[]));
    let auction = open_auction(&edge, &one).await;
    let bids = format!("/v1/auctions/{auction}/bids");

    serving.member.is_judging.store(false, Ordering::Release);
    let received = receive_three(&edge, &two, &bids).await;
    let receipts: Vec<Value> =
        received.iter().map(|answer| claims(&world, answer["receipt"].as_str().unwrap())).collect();
    for pair in receipts.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["previousHash"], "receipts form a chain");
    }
    let first = format!("/v1/bids/{}", received[0]["bidId"].as_str().unwrap());
    edge.stop().await;

    let edge = start(options(dir.path())).await;
    let waiting = edge.request(Method::GET, &first).bearer_auth(&two).send().await.unwrap();
    let waiting: Value = waiting.json().await.unwrap();
    assert_eq!(waiting["state"], "received", "known from the journal");
    serving.member.is_judging.store(true, Ordering::Release);
    for answer in &received {
        assert_eq!(judged_state(&edge, &two, answer).await, "accepted");
    }
    let judged = serving.member.judged();
    let distinct: BTreeSet<_> = judged.iter().map(|(_, command)| *command).collect();
    assert_eq!((judged.len(), distinct.len()), (4, 4), "every receipt has one verdict");
    assert_eq!(
        serving.member.look(|market| market.edge(&world.edge).map(|row| row.violations())),
        Some(0)
    );
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_the_disk_lost_is_passed_over_and_named() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &BUYERS);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    until_it_takes_bids(&edge).await;
    let [one, two] = BUYERS.map(|user| world.token(user, &[]));
    let auction = open_auction(&edge, &one).await;
    let bids = format!("/v1/auctions/{auction}/bids");
    serving.member.is_judging.store(false, Ordering::Release);
    let received = receive_three(&edge, &two, &bids).await;
    edge.stop().await;
    damage_journal(dir.path(), &[3]).unwrap();

    serving.member.is_judging.store(true, Ordering::Release);
    let edge = start(options(dir.path())).await;
    for answer in [&received[0], &received[2]] {
        assert_eq!(judged_state(&edge, &two, answer).await, "accepted");
    }
    let lost: Option<Vec<(u64, u64)>> = serving.member.look(|market| {
        let edge = market.edge(&world.edge)?;
        Some(edge.missing().iter().map(|lost| (lost.first, lost.last)).collect())
    });
    assert_eq!(lost, Some(vec![(3, 3)]), "the record says which is lost");
    assert_eq!(serving.member.judged().len(), 3, "the offer and two bids");
    until_it_takes_bids(&edge).await;
    let next = post(&edge, &two, "bid-00004", &bids, &money(14_000)).await;
    assert_eq!(next.status(), 201, "the journal goes on");
    edge.stop().await;
    serving.stop().await;
}

/// The next message of a live stream: its id, its name, its document.
async fn message(
    stream: &mut (impl futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    buffer: &mut String,
) -> (u64, String, Value) {
    loop {
        if let Some((text, rest)) = buffer.split_once("\n\n") {
            let field = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            };
            let found = (field("id:"), field("event:"), field("data:"));
            *buffer = rest.to_owned();
            if !found.0.is_empty() {
                return (
                    found.0.parse().unwrap(),
                    found.1,
                    serde_json::from_str(&found.2).unwrap(),
                );
            }
            continue;
        }
        let chunk = tokio::time::timeout(super::support::PATIENCE, stream.next());
        let chunk = chunk.await.unwrap().unwrap().unwrap();
        buffer.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_begins_with_a_snapshot_and_resumes_by_index() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &BUYERS);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    until_it_takes_bids(&edge).await;
    let [one, two] = BUYERS.map(|user| world.token(user, &[]));
    let auction = open_auction(&edge, &one).await;
    let (bids, updates) =
        (format!("/v1/auctions/{auction}/bids"), format!("/v1/auctions/{auction}/updates"));

    let mut live = edge.get(&updates).await.bytes_stream();
    let mut buffer = String::new();
    let (_, name, snapshot) = message(&mut live, &mut buffer).await;
    assert_eq!((name.as_str(), &snapshot["highest"]["amountMinor"]), ("snapshot", &json!(10_000)));
    assert_eq!(post(&edge, &two, "bid-00001", &bids, &money(11_000)).await.status(), 201);
    let (index, name, update) = message(&mut live, &mut buffer).await;
    assert_eq!((name.as_str(), update["index"].as_u64()), ("update", Some(index)));
    assert_eq!(update["events"][0]["type"], "bidPlaced");
    drop(live);

    assert_eq!(post(&edge, &one, "bid-00002", &bids, &money(12_000)).await.status(), 201);
    let resumed = edge.request(Method::GET, &updates).header("Last-Event-ID", index);
    let mut resumed = resumed.send().await.unwrap().bytes_stream();
    let (later, name, update) = message(&mut resumed, &mut String::new()).await;
    assert!(later > index && name == "update");
    assert_eq!(update["events"][0]["bid"]["amountMinor"], 12_000);
    let ahead = edge.request(Method::GET, &updates).header("Last-Event-ID", u64::MAX);
    let mut ahead = ahead.send().await.unwrap().bytes_stream();
    assert_eq!(message(&mut ahead, &mut String::new()).await.1, "snapshot");

    // A browser that comes from another edge cannot set the header.
    let moved = format!("{updates}?lastEventId={index}");
    let mut moved_stream = edge.get(&moved).await.bytes_stream();
    assert_eq!(message(&mut moved_stream, &mut String::new()).await.0, later);
    let newer = edge.request(Method::GET, &format!("{updates}?lastEventId={}", u64::MAX));
    let newer = newer.header("Last-Event-ID", index).send().await.unwrap();
    assert_eq!(message(&mut newer.bytes_stream(), &mut String::new()).await.0, later);
    assert_eq!(edge.get(&format!("{updates}?lastEventId=x")).await.status(), 400);
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_journal_is_not_the_known_one_takes_no_bids() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &BUYERS);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    until_it_takes_bids(&edge).await;
    let one = world.token(BUYERS[0], &[]);
    let auction = open_auction(&edge, &one).await;
    edge.stop().await;

    std::fs::remove_file(dir.path().join("journal.redb")).unwrap();
    let edge = start(options(dir.path())).await;
    let bids = format!("/v1/auctions/{auction}/bids");
    let key = std::sync::atomic::AtomicU32::new(0);
    until("the edge knows that it is another one", || async {
        let key = format!("bid-{:05}", key.fetch_add(1, Ordering::Relaxed));
        let answer = edge.post(&bids, &one, &key, &money(20_000)).await;
        let (status, declined) = problem(answer).await;
        assert_eq!((status, &declined["code"]), (503, &json!("NOT_BID_READY")));
        declined["detail"].as_str().unwrap().contains("join").then_some(())
    })
    .await;
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_clip_becomes_playable_and_outlives_the_members() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("clip.mp4");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi"])
        .args(["-i", "sine=d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&file)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: ffmpeg is not installed");
        return;
    }
    let clip = std::fs::read(&file).unwrap();
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &BUYERS);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let mut options = options(dir.path());
    options.transcode.enabled = true;
    options.transcode.av1_keeps_all = true;
    let edge = start(options).await;
    until_it_takes_bids(&edge).await;
    let maker = world.token(MAKER, &[Role::Maker]);

    let body = json!({ "filename": "clip.mp4", "size": clip.len() });
    let session = edge.post("/v1/media/uploadSession", &maker, "upload-01", &body).await;
    let session: Value = session.json().await.unwrap();
    let upload = edge.client.patch(session["uploadUrl"].as_str().unwrap()).bearer_auth(&maker);
    let upload = upload.header("Tus-Resumable", "1.0.0").header("Upload-Offset", 0);
    let upload = upload.header("Content-Type", "application/offset+octet-stream").body(clip);
    let answer = upload.send().await.unwrap();
    let asset = header(&answer, "fairground-asset").to_owned();
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());

    let shown = until("both revisions are published", || async {
        let shown = edge.request(Method::GET, &format!("/v1/media/{asset}")).bearer_auth(&maker);
        let shown: Value = shown.send().await.unwrap().json().await.unwrap();
        assert_ne!(shown["state"], "failed", "{shown}");
        (shown["revision"] == 2 && shown["figures"]["av1Fps"].is_number()).then_some(shown)
    })
    .await;
    assert_eq!(shown["codecs"], json!(["h264", "av1"]));
    assert!(shown["figures"]["av1Fps"].as_f64().unwrap() > 0.0);
    let playback = edge.get(&format!("/v1/media/{asset}/playback")).await;
    let playback: Value = playback.json().await.unwrap();
    let master = playback["url"].as_str().unwrap_or_else(|| panic!("{playback}"));
    let base = master.strip_suffix("master.m3u8").unwrap();
    // Twice: from the members, then from the cache alone.
    let text = edge.get(master).await.text().await.unwrap();
    assert!(text.contains("av01.") && text.contains("avc1."), "{text}");
    let media = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    for round in 0..2 {
        for playlist in &media {
            let rendition = playlist.strip_suffix(".m3u8").unwrap();
            let list = edge.get(&format!("{base}{playlist}")).await;
            assert_eq!(list.status(), 200, "round {round}");
            let segments = list.text().await.unwrap().matches(".m4s").count();
            assert!(segments > 0);
            for segment in 0..segments {
                let path = format!("{base}{rendition}/{segment}.m4s");
                assert_eq!(edge.get(&path).await.status(), 200, "round {round}: {path}");
            }
            let init = edge.get(&format!("{base}{rendition}/init.mp4")).await;
            assert_eq!(init.status(), 200);
        }
        serving.member.blobs.lock().unwrap().clear();
    }
    edge.stop().await;
    serving.stop().await;
}
