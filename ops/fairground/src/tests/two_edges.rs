//! Two edges are one market: what is asked through both at once has one outcome, and what ends at one
//! ends at the other.

use anyhow::{Context, ensure};
use futures_util::future::{join_all, try_join_all};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::sandbox::{CURRENCY, PATIENCE, Person, Sandbox, has_tools};
use crate::demo::client::{Answer, Client, text_at, until};
use crate::demo::market;

/// Words that would tell a price or an auction.
const NOT_IN_A_FEED: [&str; 7] =
    ["amountminor", "price", "auction", "bid", "closesat", "minimumoffer", "highest"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_edges_are_one_market() -> anyhow::Result<()> {
    if !has_tools("two_edges_are_one_market") {
        return Ok(());
    }
    let sandbox = Sandbox::start(1).await?;
    let maker = sandbox.maker(0, "maker-1").await?;
    let mut buyers = Vec::new();
    for number in 0..4 {
        buyers.push(sandbox.person(number % 2, &format!("buyer-{number}")).await?);
    }
    let asset = sandbox.clip(&maker).await?;
    let console = sandbox.console()?;
    let listing = market::list_story(&maker.client, &console, &asset, "A jug", 10_000).await?;
    let story = listing.story;
    for buyer in &buyers {
        buyer.sees(&format!("/v1/stories/{story}"), |row| row["state"] == "listed").await?;
    }
    no_price_in_a_feed(&buyers).await?;
    let auction = one_auction(&console, &buyers, &story).await?;
    one_bid(&buyers, &auction).await?;
    one_key(&sandbox, &buyers, &auction).await?;
    taken_down(&sandbox, &console, &story).await?;
    signed_out(&sandbox, &buyers).await?;
    sandbox.is_whole().await?;
    sandbox.stop().await
}

fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                found.push(name.to_ascii_lowercase());
                names(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

async fn no_price_in_a_feed(buyers: &[Person]) -> anyhow::Result<()> {
    for buyer in buyers {
        let feed = buyer.sees("/v1/feed", |feed| feed["items"] != json!([])).await?;
        let mut found = Vec::new();
        names(&feed, &mut found);
        let told = found.iter().find(|name| NOT_IN_A_FEED.iter().any(|bad| name.contains(bad)));
        ensure!(told.is_none(), "a feed tells of {told:?}: {feed}");
    }
    Ok(())
}

fn code(answer: &Answer) -> String {
    answer.body["code"].as_str().unwrap_or_default().to_owned()
}

/// Everybody makes the first offer at once.
async fn one_auction(console: &Client, buyers: &[Person], story: &str) -> anyhow::Result<String> {
    let path = format!("/v1/stories/{story}/offers");
    let body = json!({"amountMinor": 10_000, "currency": CURRENCY});
    let asked = buyers.iter().map(|buyer| buyer.client.post_patiently(&path, &body, Some(10)));
    let answers = try_join_all(asked).await?;
    let (opened, refused): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == StatusCode::CREATED);
    ensure!(opened.len() == 1, "{} first offers", opened.len());
    for answer in refused {
        ensure!(code(answer) == "AUCTION_ACTIVE", "{}", answer.body);
    }
    let auctions = console.get("/v1/admin/auctions").await?;
    ensure!(auctions["auctions"].as_array().map(Vec::len) == Some(1), "{auctions}");
    let auction = text_at(&opened.first().context("no auction")?.body, "auctionId")?;
    for buyer in buyers {
        buyer.sees(&format!("/v1/auctions/{auction}"), |row| row["status"] == "open").await?;
    }
    Ok(auction)
}

/// Everybody bids the same at once.
async fn one_bid(buyers: &[Person], auction: &str) -> anyhow::Result<()> {
    let path = format!("/v1/auctions/{auction}/bids");
    let body = json!({"amountMinor": 12_000, "currency": CURRENCY});
    let asked = buyers.iter().map(|buyer| buyer.client.post_patiently(&path, &body, Some(10)));
    let answers = try_join_all(asked).await?;
    let accepted = answers.iter().filter(|answer| answer.status == StatusCode::CREATED);
    ensure!(accepted.count() == 1, "equal bids: {answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::CREATED) {
        ensure!(code(answer) == "BID_TOO_LOW", "{}", answer.body);
        ensure!(answer.body["minNextBid"]["amountMinor"] == 12_500, "{}", answer.body);
        ensure!(answer.body["detail"].is_string() && answer.body["requestId"].is_string());
    }
    Ok(())
}

/// One key is one bid, whichever edge it comes through, and no other bid.
async fn one_key(sandbox: &Sandbox, buyers: &[Person], auction: &str) -> anyhow::Result<()> {
    let buyer = buyers.first().context("no buyer")?;
    let key = uuid::Uuid::new_v4().to_string();
    let at = sandbox.edges.iter().map(|edge| buyer.client.at(edge)).collect::<Vec<_>>();
    let sent = at.iter().map(|client| market::bid(client, auction, 14_000, &key, 10));
    let mut bids = Vec::new();
    for answer in join_all(sent).await {
        let answer = answer?.ok()?;
        ensure!(answer["state"] == "accepted", "{answer}");
        bids.push((answer["bidId"].clone(), answer["logIndex"].clone()));
    }
    ensure!(bids.first() == bids.last(), "one key, two bids: {bids:?}");
    for client in &at {
        let other = market::bid(client, auction, 15_000, &key, 10).await?;
        ensure!(code(&other) == "IDEMPOTENCY_KEY_REUSED", "{}", other.body);
    }
    Ok(())
}

/// A takedown hides the story at both edges and ends its auction.
async fn taken_down(sandbox: &Sandbox, console: &Client, story: &str) -> anyhow::Result<()> {
    let silent = json!({"storyId": story, "reasonCode": "policy", "reason": ""});
    let refused = console.post_patiently("/v1/admin/takedowns", &silent, None).await?;
    ensure!(code(&refused) == "REASON_REQUIRED", "{}", refused.body);
    let body = json!({"storyId": story, "reasonCode": "policy", "reason": "not own work"});
    console.post("/v1/admin/takedowns", &body).await?;
    for edge in &sandbox.edges {
        let guest = Client::new(edge)?;
        until("a story that is gone", PATIENCE, || async {
            let path = format!("/v1/stories/{story}");
            let answer = guest.request(Method::GET, &path).send().await?;
            Ok((answer.status() == StatusCode::GONE).then_some(()))
        })
        .await?;
        let feed = guest.get("/v1/feed").await?;
        ensure!(!feed.to_string().contains(story), "the feed still shows it: {feed}");
    }
    let audit = console.get("/v1/admin/audit").await?;
    ensure!(audit.to_string().contains("not own work"), "{audit}");
    Ok(())
}

/// Whoever signs out at one edge is out at the other and at the members, with both tokens.
async fn signed_out(sandbox: &Sandbox, buyers: &[Person]) -> anyhow::Result<()> {
    let buyer = buyers.first().context("no buyer")?;
    buyer.client.post("/v1/auth/logout", &json!({})).await?;
    let console = sandbox.console()?;
    let everywhere = sandbox.edges.iter().map(String::as_str).chain([console.base()]);
    for place in everywhere {
        let client = buyer.client.at(place);
        until("a sign-in that is over everywhere", PATIENCE, || async {
            let answer = client.request(Method::GET, "/v1/users/me").send().await?;
            Ok((answer.status() == StatusCode::UNAUTHORIZED).then_some(()))
        })
        .await?;
    }
    let code = buyer.refused("/v1/auth/refresh", &buyer.refresh_body()).await?;
    ensure!(code == "SESSION_REVOKED" || code == "AUTH_REQUIRED", "{code}");
    Ok(())
}
