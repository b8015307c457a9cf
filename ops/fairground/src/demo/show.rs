//! The demo for people: a seeded market that stays up until Ctrl-C.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::bots::{self, Manner};
use super::client::Client;
use super::clip;
use super::cluster::{ADMIN_ADDRESS, Cluster, ClusterOptions};
use super::market::{self, Listing, Opened};
use super::progress::Progress;
use crate::cli::DemoArgs;
use crate::output;

/// Stories that are seeded: title and least offer in cents.
const STORIES: [(&str, u64); 2] =
    [("Walnut bowl, turned green", 2_000), ("Indigo scarf, woven twice", 4_500)];
/// Who made them.
const MAKER: &str = "maker-1";

/// What may come unsigned by default, less what bots put on top of the least next bid.
const BOT_BUDGET_MAX_MINOR: u64 = 50_000 - 1_500;

/// What was seeded.
struct Seeded {
    listings: Vec<Listing>,
    opened: Opened,
    maker: Client,
    bidders: Vec<Client>,
}

pub(crate) async fn run(dir: &Path, arguments: &DemoArgs) -> anyhow::Result<()> {
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut cluster = start_cluster(dir, arguments).await?;
    let work = serve(dir, arguments, &cluster);
    let result = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = stop.recv() => Ok(()),
        result = work => result,
    };
    cluster.stop().await;
    result
}

async fn start_cluster(dir: &Path, arguments: &DemoArgs) -> anyhow::Result<Cluster> {
    let progress = Progress::new("starting the cluster");
    let options = ClusterOptions { initial: arguments.auction, window: Duration::from_secs(15) };
    let cluster = Cluster::start(dir, options).await?;
    progress.done("3 members, 2 edges");
    Ok(cluster)
}

async fn serve(dir: &Path, arguments: &DemoArgs, cluster: &Cluster) -> anyhow::Result<()> {
    let seeded = seed(dir, arguments, cluster).await?;
    announce(arguments, cluster, &seeded)?;
    let manner = Manner {
        pause: Duration::from_secs(4),
        // Bots have no device that signs: above the default limit their bids would be refused.
        budget_minor: arguments.bot_budget.saturating_mul(100).min(BOT_BUDGET_MAX_MINOR),
        wait: 5,
    };
    let edges = cluster.edge_urls();
    let bots = seeded.bidders.get(..arguments.bots.min(seeded.bidders.len())).unwrap_or_default();
    let (_ledger, _bots) = bots::start(bots, &edges, &seeded.opened, &manner);
    if let Err(error) = finish_av1(&seeded).await {
        // The market stays open: in its console anybody may suspend the maker whose clips are watched.
        output::note(&format!("AV1 is not watched any more: {error:#}"))?;
    }
    std::future::pending().await
}

async fn seed(dir: &Path, arguments: &DemoArgs, cluster: &Cluster) -> anyhow::Result<Seeded> {
    let edges = cluster.edge_urls();
    let first = edges.first().context("no edge")?;
    let inbox = cluster.inbox_url();
    let admin = cluster.admin().await?;
    let maker = market::maker(first, &inbox, MAKER).await?;
    let mut bidders = Vec::new();
    for number in 1..=arguments.bots.max(1) {
        bidders.push(market::account(first, &inbox, &format!("buyer-{number}")).await?);
    }
    let mut listings = Vec::new();
    for (number, (title, minimum)) in STORIES.iter().enumerate() {
        let given = arguments.clip.as_deref().filter(|_| number == 0);
        let clip = clip::prepare(dir, given, number, 8).await?;
        let asset = market::upload(&maker, &clip).await?;
        let mut progress = Progress::new(title);
        market::wait_for_codec(&maker, &asset, "h264", Duration::from_secs(300), |state| {
            progress.set(percent(state), &stage(state));
        })
        .await?;
        progress.done("H.264 plays; AV1 follows");
        listings.push(market::list_story(&maker, &admin, &asset, title, *minimum).await?);
    }
    let opening = bidders.first().context("no bidder")?;
    let story = &listings.first().context("no story")?.story;
    let opened = market::open_auction(opening, story, STORIES[0].1).await?;
    Ok(Seeded { listings, opened, maker, bidders })
}

fn announce(arguments: &DemoArgs, cluster: &Cluster, seeded: &Seeded) -> anyhow::Result<()> {
    let edges = cluster.edge_urls();
    let console = cluster.console_url()?;
    let inbox = cluster.inbox_url();
    let story = &seeded.listings.first().context("no story")?.story;
    if arguments.json {
        let ready = json!({
            "viewers": edges,
            "console": console,
            "inbox": inbox,
            "adminAddress": ADMIN_ADDRESS,
            "makerAddress": market::address_of(MAKER),
            "storyId": story,
            "assetId": seeded.listings.first().map(|listing| &listing.asset),
            "auctionId": seeded.opened.auction,
        });
        output::line(&ready.to_string())?;
        return Ok(());
    }
    let viewer = edges.first().context("no edge")?;
    let other = edges.get(1).context("no second edge")?;
    output::line(&format!(
        "
  The market is open.

  viewer    {viewer}  (and {other})
  auction   {viewer}/#/story/{story}
  console   {console}  (sign in as {ADMIN_ADDRESS})
  inbox     {inbox}  (every code and notice lands here)

  Sign in with any address that ends in .example, bid, and pay with card 4242 4242 4242 4242.
  Ctrl-C ends everything and leaves nothing behind.
"
    ))?;
    Ok(())
}

/// Shows how the AV1 revisions come along.
async fn finish_av1(seeded: &Seeded) -> anyhow::Result<()> {
    for listing in &seeded.listings {
        let mut progress = Progress::new("AV1 by rav1e");
        market::wait_for_codec(
            &seeded.maker,
            &listing.asset,
            "av1",
            Duration::from_secs(1_800),
            |state| {
                progress.set(percent(state), &stage(state));
            },
        )
        .await?;
        progress.done("AV1 plays");
    }
    Ok(())
}

fn percent(state: &Value) -> u64 {
    let (done, total) =
        (state["progress"]["doneFrames"].as_u64(), state["progress"]["totalFrames"].as_u64());
    done.zip(total).map_or(0, |(done, total)| done.saturating_mul(100) / total.max(1))
}

fn stage(state: &Value) -> String {
    state["progress"]["stage"].as_str().unwrap_or("waiting").to_owned()
}
