//! Finance: a large refund by two people, a payout kept back and let go, lists in pages, and what is
//! left of a sale when it has gone to the history.

use anyhow::ensure;
use serde_json::{Value, json};

use super::sandbox::{CURRENCY, DAY, Person, Sale, Sandbox, deliver, has_tools, sell};
use crate::demo::client::text_at;

const PRICE: u64 = 90_000;
/// Above what one person may give back.
const PART: u64 = 60_000;

struct People {
    maker: Person,
    buyer: Person,
    first: Person,
    second: Person,
}

impl People {
    fn all(&mut self) -> [&mut Person; 4] {
        [&mut self.maker, &mut self.buyer, &mut self.first, &mut self.second]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_refund_takes_two_people_and_an_archived_sale_keeps_its_receipt()
-> anyhow::Result<()> {
    if !has_tools("a_large_refund_takes_two_people_and_an_archived_sale_keeps_its_receipt") {
        return Ok(());
    }
    let sandbox = Sandbox::start(1).await?;
    sandbox.console()?.sign_nothing().await?;
    let mut people = People {
        maker: sandbox.maker(0, "maker-1").await?,
        buyer: sandbox.person(1, "buyer-1").await?,
        first: sandbox.staff("finance-1", "finance").await?,
        second: sandbox.staff("finance-2", "finance").await?,
    };
    let asset = sandbox.clip(&people.maker).await?;
    let parties = (&people.maker, &people.buyer);
    let large = sell(&sandbox, parties, (&asset, "A tall clock", PRICE)).await?;
    let small = sell(&sandbox, parties, (&asset, "A small clock", 10_000)).await?;
    deliver(parties, (&large.order, "FG-0001-TALL")).await?;
    deliver(parties, (&small.order, "FG-0002-SMALL")).await?;

    refund(&people, &large).await?;
    let numbers = receipts(&people, [&large, &small]).await?;
    payout(&sandbox, &mut people, &small).await?;
    pages(&people, &small).await?;
    sandbox.is_whole().await?;
    archived(&sandbox, &mut people, (&small, &numbers[1])).await?;
    sandbox.stop().await
}

/// One proposes, another one approves.
async fn refund(people: &People, sale: &Sale) -> anyhow::Result<()> {
    let (first, second) = (&people.first, &people.second);
    let path = format!("/v1/admin/orders/{}/refunds", sale.order);
    let body = json!({"amountMinor": PART, "currency": CURRENCY, "reason": "two hands short"});
    let code = people.buyer.refused(&path, &body).await;
    ensure!(code.is_err() || code.is_ok_and(|code| code != "INTERNAL"), "a buyer refunds");
    let asked = first.post(&path, &body).await?;
    ensure!(asked["awaitsApproval"] == true, "{asked}");
    let refund = text_at(&asked, "id")?;
    let listed = first.get("/v1/admin/refunds?state=proposed").await?;
    ensure!(listed["refunds"][0]["refundId"] == refund, "{listed}");
    let decide = format!("/v1/admin/refunds/{refund}/decision");
    let approve = json!({"decision": "approve", "reason": "seen the photographs"});
    let code = first.refused(&decide, &approve).await?;
    ensure!(code == "SECOND_APPROVER_REQUIRED", "one person alone: {code}");
    second.post(&decide, &approve).await?;
    let done = "/v1/admin/refunds?state=succeeded";
    let done = first.sees(done, |row| row["refunds"][0]["refundId"] == refund).await?;
    let row = &done["refunds"][0];
    ensure!(row["proposer"] == first.user && row["approver"] == second.user, "{row}");
    let paid = people.buyer.get(&format!("/v1/payments/{}", sale.lock)).await?;
    ensure!(paid["charge"]["refunded"]["amountMinor"] == PART, "{paid}");
    Ok(())
}

/// Numbers of receipts follow each other without a gap.
async fn receipts(people: &People, sales: [&Sale; 2]) -> anyhow::Result<Vec<Value>> {
    let mut shown = Vec::new();
    for sale in sales {
        let answer = people.buyer.get(&format!("/v1/payments/{}/receipt", sale.lock)).await?;
        shown.push(answer["receipt"].clone());
    }
    let mut numbers = Vec::new();
    for receipt in &shown {
        let number = text_at(receipt, "number")?;
        let (_, counted) = number.rsplit_once('-').unwrap_or_default();
        // Behind the year.
        numbers.push(counted.parse::<u64>()? % 100_000);
    }
    ensure!(numbers == [1, 2], "{numbers:?}");
    Ok(shown)
}

/// Finance keeps a payout back over the completion, and lets it go.
async fn payout(sandbox: &Sandbox, people: &mut People, sale: &Sale) -> anyhow::Result<()> {
    let path = format!("/v1/admin/orders/{}/payout", sale.order);
    let hold = json!({"decision": "hold", "reason": "the account has changed hands"});
    people.first.post(&path, &hold).await?;
    sandbox.advance(8 * DAY, &mut people.all()).await?;
    let order = format!("/v1/orders/{}", sale.order);
    people.buyer.sees(&order, |row| row["state"] == "completed").await?;
    let listed = people.first.get("/v1/admin/payouts").await?;
    let held = listed["payouts"].as_array().into_iter().flatten();
    let held = held.filter(|row| row["holds"] == json!(["finance"])).count();
    ensure!(held == 1, "{listed}");
    let unhold = json!({"decision": "unhold", "reason": "it is the maker's own"});
    people.first.post(&path, &unhold).await?;
    let payment = format!("/v1/payments/{}", sale.lock);
    people.maker.sees(&payment, |row| row["charge"]["payout"] == "sent").await?;
    Ok(())
}

/// A list comes in pages that neither repeat nor leave out anything.
async fn pages(people: &People, sale: &Sale) -> anyhow::Result<()> {
    let path = format!("/v1/admin/orders/{}/refunds", sale.order);
    let body = json!({"amountMinor": 1_000, "currency": CURRENCY, "reason": "late by a week"});
    people.first.post(&path, &body).await?;
    let whole = people.first.get("/v1/admin/refunds").await?;
    ensure!(whole["refunds"].as_array().map(Vec::len) == Some(2), "{whole}");
    let page = people.first.get("/v1/admin/refunds?limit=1").await?;
    let cursor = text_at(&page, "nextCursor")?;
    let rest = people.first.get(&format!("/v1/admin/refunds?limit=1&cursor={cursor}")).await?;
    let both = [page["refunds"][0].clone(), rest["refunds"][0].clone()];
    ensure!(whole["refunds"] == json!(both), "{page} {rest}");
    ensure!(rest["nextCursor"].is_null(), "{rest}");
    let foreign = format!("/v1/admin/payouts?limit=1&cursor={cursor}");
    let refused = people.first.get(&foreign).await;
    ensure!(refused.is_err(), "a cursor of another list counts: {refused:?}");
    Ok(())
}

/// Ninety days later the sale has left the state; its receipt is what it was.
async fn archived(
    sandbox: &Sandbox,
    people: &mut People,
    (sale, receipt): (&Sale, &Value),
) -> anyhow::Result<()> {
    let shown = people.buyer.get(&format!("/v1/payments/{}/receipt", sale.lock)).await?;
    sandbox.advance(100 * DAY, &mut people.all()).await?;
    let auction = format!("/v1/auctions/{}", sale.auction);
    let gone =
        crate::demo::client::until("the sale to leave", super::sandbox::PATIENCE, || async {
            let answer = people.buyer.client.request(reqwest::Method::GET, &auction).send().await?;
            Ok((answer.status() == reqwest::StatusCode::NOT_FOUND).then_some(()))
        });
    gone.await?;
    let path = format!("/v1/payments/{}", sale.lock);
    for who in [&people.buyer, &people.maker] {
        let again = who.get(&format!("{path}/receipt")).await?;
        ensure!(again["receipt"]["number"] == receipt["number"], "{again}");
        ensure!(again["receipt"]["hash"] == receipt["hash"], "{again}");
        ensure!(again["receipt"]["title"] == receipt["title"], "{again}");
        let payment = who.get(&path).await?;
        ensure!(payment["status"] == "partiallyRefunded", "{payment}");
    }
    let old = people.buyer.client.request(reqwest::Method::GET, &text_at(&shown, "link")?);
    ensure!(old.send().await?.status().as_u16() == 410, "a link of a day counts after ninety");
    let record = format!("/v1/admin/auctions/{}", sale.auction);
    let record = people.first.get(&record).await?;
    ensure!(record["closeReason"] == "sold", "{record}");
    Ok(())
}
