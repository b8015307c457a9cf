//! The whole path without a human: from an uploaded clip to a completed order, faults included.
//!
//! Every figure is measured in the run that prints it. A step that fails ends the run; the report
//! names the steps that were not reached.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::bots::{self, Manner, SentBid};
use super::client::{Client, text_at, until};
use super::clip::{self, SourceClip};
use super::cluster::{Cluster, ClusterOptions};
use super::market::{self, Listing, Opened, VideoPlaylist};
use super::report::{Report, percentile};

/// Bidders of the scenario, half of them at each edge.
const BIDDERS: usize = 16;
/// Bids that edges must have given a receipt for.
const BIDS_MIN: u64 = 100;
/// How many of them before the leader is killed.
const BIDS_BEFORE_KILL: u64 = 50;
/// How many of them before an edge is killed.
const BIDS_BEFORE_EDGE: u64 = 80;

/// The people of the scenario.
struct People {
    maker: Client,
    admin: Client,
    bidders: Vec<Client>,
}

/// The auction once it is over.
struct Closed {
    auction: String,
    winner: usize,
    bids: Vec<SentBid>,
}

/// Runs every step; what went wrong is in the report.
pub(crate) async fn run(dir: &Path, clip: Option<&Path>) -> Report {
    let mut report = Report::default();
    let mut cluster = None;
    let result = all_steps(dir, clip, &mut report, &mut cluster).await;
    if let Some(mut cluster) = cluster {
        cluster.stop().await;
    }
    report.finish(result.err())
}

async fn all_steps(
    dir: &Path,
    clip: Option<&Path>,
    report: &mut Report,
    slot: &mut Option<Cluster>,
) -> anyhow::Result<()> {
    let source = clip::prepare(dir, clip, 0, 6).await?;
    let frames = clip::count_frames(&source.file).await?;
    let started = Instant::now();
    let up = report.step("cluster_up", cluster_up(dir)).await?;
    let cluster = slot.insert(up);
    report.figure("cold_start_ms", millis(started.elapsed()));
    let binary = std::fs::metadata(std::env::current_exe()?)?.len();
    report.figure("binary_mb", binary.div_ceil(1024 * 1024));
    report.figure("member_rss_mb", cluster.member_rss_mb().context("no member memory")?);
    report.figure("edge_rss_mb", cluster.edge_rss_mb().context("no edge memory")?);
    let people = people(cluster).await?;

    let asset = report.step("upload", upload(&people, &source)).await?;
    report.step("playable_h264", playable(cluster, &people, &asset, "h264", frames, dir)).await?;
    let av1 = playable(cluster, &people, &asset, "av1", frames, dir);
    report.step("playable_av1", av1).await?;
    report.figure("av1_fps", av1_fps(cluster, &people, &asset).await?);
    let listing = report.step("listed", listed(&people, &asset)).await?;
    let opened = report.step("auction_open", auction_open(&people, &listing)).await?;
    let closed = sell(cluster, &people, &opened, report).await?;
    let winner = people.bidders.get(closed.winner).context("no winner")?;
    report.step("paid", paid(winner)).await?;
    report.step("order_completed", order_completed(winner, &people.maker)).await?;
    report.step("invariants", invariants(cluster, &people, &closed)).await
}

async fn cluster_up(dir: &Path) -> anyhow::Result<(Cluster, String)> {
    let cluster = Cluster::start(dir, ClusterOptions::scenario()).await?;
    for edge in cluster.edge_urls() {
        let page = Client::new(&edge)?.request(reqwest::Method::GET, "/").send().await?;
        ensure!(page.status().is_success(), "{edge} served no page: {}", page.status());
    }
    let detail = format!("3 members, edges at {}", cluster.edge_urls().join(" and "));
    Ok((cluster, detail))
}

async fn people(cluster: &Cluster) -> anyhow::Result<People> {
    let edges = cluster.edge_urls();
    let inbox = cluster.inbox_url();
    let maker = market::maker(&edges[0], &inbox, "maker-1").await?;
    let admin = cluster.admin().await?;
    // The bots bid each other past what may come unsigned.
    admin.sign_nothing().await?;
    let mut bidders = Vec::with_capacity(BIDDERS);
    for number in 0..BIDDERS {
        let edge = &edges[number % edges.len()];
        bidders.push(market::account(edge, &inbox, &format!("buyer-{}", number + 1)).await?);
    }
    Ok(People { maker, admin, bidders })
}

async fn upload(people: &People, source: &SourceClip) -> anyhow::Result<(String, String)> {
    let disguised =
        people.maker.upload("clip.mp4", b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n").await;
    ensure!(
        disguised.as_ref().is_err_and(|error| error.to_string().contains("MEDIA_REJECTED")),
        "a playlist in disguise was not refused: {disguised:?}"
    );
    let asset = market::upload(&people.maker, source).await?;
    let detail = format!("{} is {asset}; a playlist in disguise was refused", source.name);
    Ok((asset, detail))
}

/// Waits for the codec, then fetches and decodes every segment of its rungs through each edge, with
/// the members there and with all of them stopped.
async fn playable(
    cluster: &mut Cluster,
    people: &People,
    asset: &str,
    codec: &str,
    frames: u64,
    dir: &Path,
) -> anyhow::Result<((), String)> {
    let state =
        market::wait_for_codec(&people.maker, asset, codec, Duration::from_secs(180), |_| {})
            .await?;
    let revision = state["revision"].as_u64().context("no revision")?;
    let mut playlists = Vec::new();
    for edge in cluster.edge_urls() {
        let client = people.maker.at(&edge);
        let url = until("the revision at the edge", Duration::from_secs(30), || async {
            let playback = client.get(&format!("/v1/media/{asset}/playback")).await?;
            let is_there = playback["revision"].as_u64() >= Some(revision);
            let member = if codec == "av1" { "av1Url" } else { "avcUrl" };
            Ok(if is_there { playback[member].as_str().map(str::to_owned) } else { None })
        })
        .await?;
        playlists.push((Client::new(&edge)?, url));
    }
    let rungs = decode_all(&playlists, frames, dir).await?;
    cluster.stop_members().await?;
    let again = decode_all(&playlists, frames, dir).await;
    cluster.start_members().await?;
    ensure!(rungs == again?, "with all members stopped other rungs were served");
    let detail = format!(
        "rungs {} through {} edges, all of {frames} frames or every second, also with all members stopped",
        rungs.into_iter().collect::<Vec<_>>().join(", "),
        playlists.len()
    );
    Ok(((), detail))
}

/// How fast rav1e was, from the edge that did the work.
async fn av1_fps(cluster: &Cluster, people: &People, asset: &str) -> anyhow::Result<Value> {
    for edge in cluster.edge_urls() {
        let state = market::media(&people.maker.at(&edge), asset).await?;
        if state["figures"]["av1Fps"].is_number() {
            return Ok(state["figures"]["av1Fps"].clone());
        }
    }
    bail!("no edge knows how fast the AV1 rung was made")
}

async fn decode_all(
    playlists: &[(Client, String)],
    frames: u64,
    dir: &Path,
) -> anyhow::Result<BTreeSet<String>> {
    let mut rungs = BTreeSet::new();
    for (edge, url) in playlists {
        let renditions = market::video_renditions(edge, url).await?;
        let full_rate = renditions.iter().map(|playlist| playlist.rate).max().unwrap_or(0);
        for VideoPlaylist { name, rate } in renditions {
            let file = dir.join("decode.mp4");
            market::fetch_rendition(edge, url, &name, &file).await?;
            let counted = clip::count_frames(&file).await?;
            // A slower rendition has every second or third frame, the first included.
            let step = (full_rate + rate / 2) / rate.max(1);
            let wanted = frames.div_ceil(step.max(1));
            ensure!(
                counted == wanted,
                "{name} at {} has {counted} of {wanted} frames",
                edge.base()
            );
            rungs.insert(name);
        }
    }
    Ok(rungs)
}

async fn listed(people: &People, asset: &str) -> anyhow::Result<(Listing, String)> {
    let listing =
        market::list_story(&people.maker, &people.admin, asset, "Walnut bowl, turned green", 2_000)
            .await?;
    let detail = format!("{} approved and listed", listing.story);
    Ok((listing, detail))
}

async fn auction_open(people: &People, listing: &Listing) -> anyhow::Result<(Opened, String)> {
    let buyer = people.bidders.first().context("no bidder")?;
    let low = json!({"amountMinor": 1_999, "currency": market::CURRENCY});
    let offers = format!("/v1/stories/{}/offers", listing.story);
    let refused = buyer.post_patiently(&offers, &low, Some(10)).await?;
    ensure!(
        refused.body["code"] == "OFFER_MIN_VIOLATION",
        "a low offer was answered {}",
        refused.body
    );
    let opened = market::open_auction(buyer, &listing.story, 2_000).await?;
    let auction = &opened.auction;
    for edge in 0..2 {
        let client = people.bidders.get(edge).context("no bidder")?;
        until("the auction at each edge", Duration::from_secs(5), || async {
            Ok((client.get(&format!("/v1/auctions/{auction}")).await?["status"] == "open")
                .then_some(()))
        })
        .await?;
    }
    let detail = format!("{auction} opened by an offer of EUR 20.00");
    Ok((opened, detail))
}

/// Bids through both edges, kills the leader and then an edge on the way, and waits for the close.
async fn sell(
    cluster: &mut Cluster,
    people: &People,
    opened: &Opened,
    report: &mut Report,
) -> anyhow::Result<Closed> {
    let edges = cluster.edge_urls();
    let manner = Manner { pause: Duration::from_millis(40), budget_minor: 90_000_000, wait: 10 };
    let (ledger, mut tasks) = bots::start(&people.bidders, &edges, opened, &manner);
    let enough = async |count: u64| {
        until("enough bids", Duration::from_secs(60), || async {
            Ok((ledger.taken() >= count).then_some(()))
        })
        .await
    };
    enough(BIDS_BEFORE_KILL).await?;
    let leader = cluster.leader().await?;
    until("bids in flight", Duration::from_secs(10), || async {
        Ok((ledger.in_flight() >= 2).then_some(()))
    })
    .await?;
    let killed_at = Instant::now();
    cluster.kill_member(&leader).await?;
    let gone_at = Instant::now();
    enough(BIDS_BEFORE_EDGE).await?;
    let edge = cluster.restart_edge(1).await?;
    enough(BIDS_MIN).await?;
    ledger.stop();
    while tasks.join_next().await.is_some() {}
    let bids = ledger.bids().await;

    report.step("bids_two_edges", async { bids_two_edges(&bids, killed_at, &edge) }).await?;
    let mut latencies: Vec<u64> = bids
        .iter()
        .filter(|bid| bid.log_index.is_some() && bid.answered < killed_at)
        .map(|bid| millis(bid.took))
        .collect();
    report.figure("verdict_p50_ms", percentile(&mut latencies, 50).context("no verdict in time")?);
    report.figure("verdict_p99_ms", percentile(&mut latencies, 99).context("no verdict in time")?);
    let failover = report
        .step("leader_killed", async { failover(&bids, killed_at, gone_at, &leader) })
        .await?;
    report.figure("failover_ms", millis(failover));
    cluster.start_members().await?;
    report.step("auction_closed", auction_closed(people, &opened.auction, bids)).await
}

fn bids_two_edges(
    bids: &[SentBid],
    killed_at: Instant,
    edge: &str,
) -> anyhow::Result<((), String)> {
    let at = |edge| bids.iter().filter(|bid| bid.edge == edge && bid.has_receipt).count();
    let (first, second) = (at(0), at(1));
    ensure!(first > 0 && second > 0, "receipts: {first} and {second}");
    ensure!(first + second >= usize::try_from(BIDS_MIN)?, "only {} receipts", first + second);
    let in_flight =
        bids.iter().filter(|bid| bid.sent < killed_at && bid.answered > killed_at).count();
    ensure!(in_flight > 0, "no bid was in flight when the leader was killed");
    let detail = format!(
        "{first} and {second} bids with receipt, {in_flight} in flight at the kill; {edge} killed and restarted among them"
    );
    Ok(((), detail))
}

/// From the kill to the first verdict on a bid that was sent when the leader was gone: none of the
/// old leader's verdicts can be taken for it.
fn failover(
    bids: &[SentBid],
    killed_at: Instant,
    gone_at: Instant,
    leader: &str,
) -> anyhow::Result<(Duration, String)> {
    let next = bids
        .iter()
        .filter(|bid| bid.sent > gone_at && bid.has_receipt && bid.log_index.is_some())
        .map(|bid| bid.answered)
        .min()
        .context("no new verdict after the kill")?;
    let took = next.duration_since(killed_at);
    Ok((took, format!("{leader} killed, next verdict after {} ms", millis(took))))
}

async fn auction_closed(
    people: &People,
    auction: &str,
    bids: Vec<SentBid>,
) -> anyhow::Result<(Closed, String)> {
    let watcher = people.bidders.first().context("no bidder")?;
    let over = until("the close", Duration::from_secs(120), || async {
        let found = watcher.get(&format!("/v1/auctions/{auction}")).await?;
        Ok((found["status"] == "locked").then_some(found))
    })
    .await?;
    let winning = text_at(&over["highest"], "bidId")?;
    let winner = bids
        .iter()
        .find(|bid| bid.bid.as_deref() == Some(&winning))
        .map(|bid| bid.bidder)
        .context("the winning bid is nobody's")?;
    let amount = over["highest"]["amountMinor"].as_u64().unwrap_or(0);
    let detail = format!("won by buyer-{} at {}.{:02} EUR", winner + 1, amount / 100, amount % 100);
    Ok((Closed { auction: auction.to_owned(), winner, bids }, detail))
}

async fn paid(winner: &Client) -> anyhow::Result<((), String)> {
    let lock = market::wait_for_lock(winner, Duration::from_secs(10)).await?;
    market::pay(winner, &lock).await?;
    let order = market::wait_for_order(winner, Duration::from_secs(20)).await?;
    ensure!(order["state"] == "awaitingShipment", "the order is {order}");
    Ok(((), format!("{lock} paid on the provider's page, order {}", order["number"])))
}

async fn order_completed(winner: &Client, maker: &Client) -> anyhow::Result<((), String)> {
    let order = text_at(&market::wait_for_order(winner, Duration::from_secs(5)).await?, "orderId")?;
    maker
        .post(
            &format!("/v1/orders/{order}/tracking"),
            &json!({"carrier": "other", "number": "FG-0001-DEMO"}),
        )
        .await?;
    for expected in ["delivered", "completed"] {
        let answer =
            winner.post(&format!("/v1/orders/{order}/confirm-delivery"), &json!({})).await?;
        ensure!(answer["state"] == expected, "expected {expected}, got {answer}");
    }
    Ok(((), format!("{order} shipped, delivered, completed")))
}

async fn invariants(
    cluster: &Cluster,
    people: &People,
    closed: &Closed,
) -> anyhow::Result<((), String)> {
    let (index, digest) = cluster.equal_digests().await?;
    for member in cluster.admins()? {
        let found = member.get("/v1/admin/violations").await?;
        let none = found["violations"].as_array().is_some_and(Vec::is_empty);
        ensure!(none, "violations: {found}");
        let status = member.get("/v1/admin/status").await?;
        let ledger: BTreeMap<String, i64> = serde_json::from_value(status["ledger"].clone())?;
        ensure!(
            ledger.values().all(|sum| *sum == 0),
            "the ledger does not sum to zero: {ledger:?}"
        );
    }
    let judged = one_verdict_per_receipt(cluster, people, closed).await?;
    let orders = people.admin.get("/v1/admin/orders").await?;
    let count = orders["orders"].as_array().map_or(0, Vec::len);
    ensure!(count == 1, "{count} orders instead of one");
    let detail = format!(
        "digest {} at index {index} on 3 members, no violation, {judged} receipts with one verdict each, 1 order, ledger 0",
        digest.get(..12).unwrap_or(&digest)
    );
    Ok(((), detail))
}

/// Asks both edges for every receipt's verdict: there must be one, and it must be the same.
async fn one_verdict_per_receipt(
    cluster: &Cluster,
    people: &People,
    closed: &Closed,
) -> anyhow::Result<usize> {
    let edges = cluster.edge_urls();
    let mut judged = 0;
    for sent in closed.bids.iter().filter(|bid| bid.has_receipt) {
        let bid = sent.bid.as_deref().context("a receipt without a bid")?;
        let bidder = people.bidders.get(sent.bidder).context("a bid of nobody")?;
        let mut answers = BTreeSet::new();
        for edge in &edges {
            let client = bidder.at(edge);
            let verdict = until("the verdict of a receipt", Duration::from_secs(20), || async {
                let found = client.get(&format!("/v1/bids/{bid}")).await?;
                Ok((found["state"] != "received").then_some(found))
            })
            .await?;
            answers.insert(format!(
                "{} {} {}",
                verdict["state"], verdict["code"], verdict["logIndex"]
            ));
        }
        if answers.len() != 1 {
            bail!("bid {bid} of {} has the verdicts {answers:?}", closed.auction);
        }
        judged += 1;
    }
    Ok(judged)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
