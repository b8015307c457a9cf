//! From an offer to a completed order in a fortnight of the market's time.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::sandbox::{CURRENCY, DAY, HOUR, Person, Sandbox, address, has_tools};
use crate::cli::ClockVerb;
use crate::demo::client::{Client, text_at};
use crate::demo::market;

const PARCEL: &str = "1Z999AA10123456784";
/// What the piece goes for: the fee is 5 percent of it.
const PRICE: u64 = 15_000;
const SHARE: u64 = 14_250;

struct People {
    maker: Person,
    first: Person,
    second: Person,
}

impl People {
    fn all(&mut self) -> [&mut Person; 3] {
        [&mut self.maker, &mut self.first, &mut self.second]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_offer_is_a_completed_order_fourteen_days_later() -> anyhow::Result<()> {
    if !has_tools("an_offer_is_a_completed_order_fourteen_days_later") {
        return Ok(());
    }
    let sandbox = Sandbox::start(3).await?;
    let mut people = People {
        maker: sandbox.maker(0, "maker-1").await?,
        first: sandbox.person(0, "buyer-1").await?,
        second: sandbox.person(1, "buyer-2").await?,
    };
    let story = publish(&sandbox, &people.maker).await?;

    let began = Instant::now();
    let begins = sandbox.now().await?;
    let auction = bid(&sandbox, &mut people, &story).await?;
    let lock = win(&sandbox, &mut people, &auction).await?;
    let order = pay(&people, &lock).await?;
    ship(&sandbox, &mut people, &order).await?;
    complete(&sandbox, &mut people, &order).await?;
    let ends = sandbox.now().await?;
    let took = began.elapsed();
    println!("from {begins} to {ends} in {} ms", took.as_millis());
    ensure!(took.as_secs() < 90, "a fortnight took {took:?}");

    books(&sandbox, &people, &lock).await?;
    outcome(&sandbox, &auction).await?;
    sandbox.is_whole().await?;
    sandbox.stop().await
}

/// The maker writes, submits and, once approved, publishes.
async fn publish(sandbox: &Sandbox, maker: &Person) -> anyhow::Result<String> {
    let asset = sandbox.clip(maker).await?;
    let draft = json!({
        "title": "Walnut bowl, turned green",
        "shortDescription": "Made by hand, once.",
        "category": "craft",
        "overview": "One piece, from the raw trunk to the oiled surface.",
        "clips": [{"assetId": asset, "label": "how it is made"}],
        "minimumOffer": {"amountMinor": 10_000, "currency": CURRENCY},
        "publishWhenApproved": false,
    });
    let story = text_at(&maker.post("/v1/stories", &draft).await?, "storyId")?;
    let path = |step: &str| format!("/v1/stories/{story}/{step}");
    let early = maker.refused(&path("publish"), &json!({})).await?;
    ensure!(early == "INVALID_STATE", "published without a decision: {early}");
    maker.post(&path("submit"), &json!({"attestation": true})).await?;
    let console = sandbox.console()?;
    let decision = format!("/v1/admin/moderation/{story}/decision");
    console.post(&decision, &json!({"decision": "approve"})).await?;
    maker.post(&path("publish"), &json!({})).await?;
    for edge in &sandbox.edges {
        let guest = Client::new(edge)?;
        crate::demo::client::until("the story at each edge", super::sandbox::PATIENCE, || async {
            let page = guest.get(&format!("/v1/stories/{story}")).await?;
            Ok((page["state"] == "listed").then_some(()))
        })
        .await?;
    }
    Ok(story)
}

async fn place(who: &Person, auction: &str, minor: u64) -> anyhow::Result<Value> {
    let body = json!({"amountMinor": minor, "currency": CURRENCY});
    let path = format!("/v1/auctions/{auction}/bids");
    let answer = who.client.post_patiently(&path, &body, Some(10)).await?.ok()?;
    ensure!(answer["state"] == "accepted", "{answer}");
    Ok(answer)
}

/// An offer opens the auction, both edges take bids, the last one moves the close.
async fn bid(sandbox: &Sandbox, people: &mut People, story: &str) -> anyhow::Result<String> {
    let opened = market::open_auction(&people.first.client, story, 10_000).await?;
    let auction = opened.auction;
    let path = format!("/v1/auctions/{auction}");
    people.second.sees(&path, |row| row["status"] == "open").await?;
    place(&people.second, &auction, 12_000).await?;
    place(&people.first, &auction, 13_000).await?;
    // By the operator's command, to ten minutes before the close.
    let verb = ClockVerb::Advance {
        by: 3 * DAY - HOUR / 6,
        dir: sandbox.member_dir()?,
        reason: "ten minutes before the close".to_owned(),
    };
    crate::govern::clock(verb).await?;
    sandbox.advance(std::time::Duration::from_secs(1), &mut people.all()).await?;
    let before = people.second.get(&path).await?;
    ensure!(before["status"] == "open", "{before}");
    let late = place(&people.second, &auction, PRICE).await?;
    let (was, is) = (text_at(&before, "closesAt")?, text_at(&late, "closesAt")?);
    ensure!(is > was, "the close did not move: {was} {is}");
    Ok(auction)
}

/// The clock passes the close: the highest bid has won.
async fn win(sandbox: &Sandbox, people: &mut People, auction: &str) -> anyhow::Result<String> {
    sandbox.advance(HOUR, &mut people.all()).await?;
    let path = format!("/v1/auctions/{auction}");
    for who in [&people.first, &people.second] {
        let over = who.sees(&path, |row| row["status"] == "locked").await?;
        ensure!(over["lockReason"] == "autoAtClose", "{over}");
        ensure!(over["highest"]["amountMinor"] == PRICE, "{over}");
    }
    let beyond = json!({"amountMinor": 20_000, "currency": CURRENCY});
    let code = people.first.refused(&format!("{path}/bids"), &beyond).await?;
    ensure!(code == "AUCTION_CLOSED", "a bid after the close: {code}");
    let none = people.first.get("/v1/users/me/payments").await?;
    ensure!(none["locks"] == json!([]), "who lost must pay: {none}");
    market::wait_for_lock(&people.second.client, super::sandbox::PATIENCE).await
}

/// The winner pays on the provider's page.
async fn pay(people: &People, lock: &str) -> anyhow::Result<String> {
    let (maker, buyer) = (&people.maker, &people.second);
    market::pay(&buyer.client, lock).await?;
    let payment = format!("/v1/payments/{lock}");
    buyer.sees(&payment, |row| row["status"] == "succeeded").await?;
    let order = market::wait_for_order(&buyer.client, super::sandbox::PATIENCE).await?;
    ensure!(order["state"] == "awaitingShipment", "{order}");
    let order = text_at(&order, "orderId")?;
    let wanted = json!({"name": "buyer-2", "line1": "1 Market Lane", "city": "Oldtown",
        "country": "DE"});
    buyer.put(&format!("/v1/orders/{order}/shipping-address"), &wanted).await?;
    let shown = maker.get(&format!("/v1/orders/{order}")).await?;
    ensure!(shown["address"]["city"] == "Oldtown", "{shown}");
    Ok(order)
}

/// The maker ships in time and the carrier delivers.
async fn ship(sandbox: &Sandbox, people: &mut People, order: &str) -> anyhow::Result<()> {
    sandbox.advance(2 * DAY, &mut people.all()).await?;
    let path = format!("/v1/orders/{order}");
    let tracking = json!({"carrier": "ups", "number": PARCEL});
    let shipped = people.maker.post(&format!("{path}/tracking"), &tracking).await?;
    ensure!(shipped["state"] == "inTransit", "{shipped}");
    let early = people.second.refused(&format!("{path}/cancel"), &json!({})).await?;
    ensure!(early == "CANCEL_NOT_ALLOWED" || early == "INVALID_STATE", "{early}");
    sandbox.advance(2 * DAY, &mut people.all()).await?;
    let now = sandbox.now().await?;
    sandbox.carrier_says(PARCEL, ("delivered", &now)).await?;
    let row = people.second.sees(&path, |row| row["state"] == "delivered").await?;
    ensure!(row["tracking"]["events"][0]["status"] == "delivered", "{row}");
    let eligible = people.second.get(&format!("{path}/issue-eligibility")).await?;
    ensure!(eligible["eligible"] == true, "{eligible}");
    Ok(())
}

/// The time to complain passes, then the order completes by itself and the maker is paid.
async fn complete(sandbox: &Sandbox, people: &mut People, order: &str) -> anyhow::Result<()> {
    sandbox.advance(2 * DAY + HOUR, &mut people.all()).await?;
    let path = format!("/v1/orders/{order}");
    let words = "The piece is not the one of the story: the wood has another colour and grain.";
    let issue = json!({"kind": "other", "description": words});
    let code = people.second.refused(&format!("{path}/issues"), &issue).await?;
    ensure!(code == "ISSUE_WINDOW_CLOSED", "{code}");
    sandbox.advance(5 * DAY, &mut people.all()).await?;
    let row = people.second.sees(&path, |row| row["state"] == "completed").await?;
    ensure!(row["completion"] == "auto", "{row}");
    let lock = text_at(&row, "saleLockId")?;
    let payment = format!("/v1/payments/{lock}");
    let paid = people.maker.sees(&payment, |row| row["charge"]["payout"] == "sent").await?;
    ensure!(paid["charge"]["payoutAmount"]["amountMinor"] == SHARE, "{paid}");
    Ok(())
}

/// The receipt is the first of its year, and each posting of the ledger sums to zero.
async fn books(sandbox: &Sandbox, people: &People, lock: &str) -> anyhow::Result<()> {
    let shown = people.second.get(&format!("/v1/payments/{lock}/receipt")).await?;
    let receipt = &shown["receipt"];
    let number = text_at(receipt, "number")?;
    ensure!(number.ends_with("00001"), "the first receipt has the number {number}");
    ensure!(receipt["makerShare"]["amountMinor"] == SHARE, "{receipt}");
    let other = sandbox.edges.first().context("no edge")?;
    let by_link = Client::new(other)?.get(&text_at(&shown, "link")?).await?;
    ensure!(by_link == *receipt, "{by_link}");

    let console = sandbox.console()?;
    let ledger = console.get("/v1/admin/ledger").await?;
    let lines = ledger["lines"].as_array().cloned().unwrap_or_default();
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for line in &lines {
        let minor = line["amount"]["amountMinor"].as_i64().context("an amount")?;
        let signed = if line["side"] == "debit" { minor } else { -minor };
        *sums.entry(text_at(line, "cause")?).or_default() += signed;
    }
    ensure!(sums.len() >= 3, "paid, released, sent: {sums:?}");
    ensure!(sums.values().all(|sum| *sum == 0), "{sums:?}");
    let mails = sandbox.fakes.mail_to(&address("maker-1"));
    ensure!(mails.iter().any(|mail| mail.subject.contains("Sold")), "the maker heard nothing");
    Ok(())
}

/// Everything that explains how the auction came out.
async fn outcome(sandbox: &Sandbox, auction: &str) -> anyhow::Result<()> {
    let record = sandbox.console()?.get(&format!("/v1/admin/auctions/{auction}")).await?;
    ensure!(record["closeReason"] == "sold", "{record}");
    ensure!(record["lockReason"] == "autoAtClose", "{record}");
    let count = |name: &str| record[name].as_array().map_or(0, Vec::len);
    ensure!(count("bids") == 4 && count("extensions") == 1, "{record}");
    ensure!(record["refused"].is_array() && record["policy"].is_object(), "{record}");
    ensure!(record["unheard"] == json!([]), "{record}");
    Ok(())
}
