//! A complaint with evidence: an offer that is refused, a decision, an appeal, and a chargeback that
//! is another matter.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::sandbox::{
    CURRENCY, DAY, HOUR, Person, Sale, Sandbox, address, deliver, has_tools, sell,
};
use crate::demo::client::text_at;

const PRICE: u64 = 12_000;
const PART: u64 = 4_000;
/// Four yellow pixels.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\
\x02\x00\x00\x00\xfd\xd4\x9a\x73\x00\x00\x00\x19IDAT\x78\x01\x01\x0e\x00\xf1\xff\x00\xff\xc8\x00\
\xff\xc8\x00\x00\xff\xc8\x00\xff\xc8\x00\x35\xce\x07\x1d\x01\x5a\xc7\x02\x00\x00\x00\x00IEND\xaeB\
\x60\x82";
const WORDS: &str =
    "The lid has a crack from the rim to the foot, see the picture that I took today.";

struct People {
    maker: Person,
    buyer: Person,
    support: Person,
}

impl People {
    fn all(&mut self) -> [&mut Person; 3] {
        [&mut self.maker, &mut self.buyer, &mut self.support]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_complaint_goes_from_evidence_to_a_refund_and_an_appeal() -> anyhow::Result<()> {
    if !has_tools("a_complaint_goes_from_evidence_to_a_refund_and_an_appeal") {
        return Ok(());
    }
    let sandbox = Sandbox::start(1).await?;
    let mut people = People {
        maker: sandbox.maker(0, "maker-1").await?,
        buyer: sandbox.person(1, "buyer-1").await?,
        support: sandbox.staff("support-1", "support").await?,
    };
    let asset = sandbox.clip(&people.maker).await?;
    let piece = (asset.as_str(), "A lidded jar", PRICE);
    let sale = sell(&sandbox, (&people.maker, &people.buyer), piece).await?;
    deliver((&people.maker, &people.buyer), (&sale.order, "FG-0001-JAR")).await?;

    let issue = complain(&people, &sale).await?;
    haggle(&sandbox, &mut people, &issue).await?;
    decide(&sandbox, &people, (&sale, &issue)).await?;
    appeal(&people, &issue).await?;
    chargeback(&sandbox, &mut people, &sale).await?;
    sandbox.is_whole().await?;
    sandbox.stop().await
}

/// The buyer shows a picture, which the maker and support see; the order and the payout are held.
async fn complain(people: &People, sale: &Sale) -> anyhow::Result<String> {
    let (maker, buyer) = (&people.maker, &people.buyer);
    let order = format!("/v1/orders/{}", sale.order);
    let path = format!("{order}/issues");
    let bare = json!({"kind": "damaged", "description": WORDS});
    ensure!(buyer.refused(&path, &bare).await? == "VALIDATION_FAILED", "damage without evidence");
    let evidence = format!("{order}/evidence");
    let cut = buyer.picture(&evidence, PICTURE.get(..60).context("shorter")?).await;
    let refused = cut.err().context("half a picture was taken")?.to_string();
    ensure!(refused.contains("422") && refused.contains("MEDIA_REJECTED"), "{refused}");
    let shown = buyer.picture(&evidence, PICTURE).await?;
    let body = json!({"kind": "damaged", "description": WORDS,
        "evidence": [{"image": shown}]});
    ensure!(maker.refused(&path, &body).await? != "INTERNAL", "the maker complains");
    let opened = buyer.post(&path, &body).await?;
    ensure!(opened["state"] == "open", "{opened}");
    let issue = text_at(&opened, "issueId")?;
    ensure!(buyer.refused(&path, &body).await? == "DUPLICATE_ISSUE", "a second issue");
    let confirm = format!("{order}/confirm-delivery");
    ensure!(buyer.refused(&confirm, &json!({})).await? == "ISSUE_OPEN", "completed on the way");
    let held = maker.get(&format!("/v1/payments/{}", sale.lock)).await?;
    ensure!(held["charge"]["holds"] == json!(["issue"]), "{held}");
    let read = maker.get(&format!("/v1/issues/{issue}")).await?;
    ensure!(read["description"] == WORDS && read["evidence"][0]["image"] == shown, "{read}");
    for (who, path) in [
        (maker, format!("/v1/issues/{issue}/evidence/{shown}")),
        (&people.support, format!("/v1/admin/issues/{issue}/evidence/{shown}")),
    ] {
        let answer = who.client.request(Method::GET, &path).send().await?;
        ensure!(answer.headers()["content-type"] == "image/png", "{:?}", answer.headers());
        ensure!(answer.bytes().await?.as_ref() == PICTURE, "another picture");
    }
    Ok(issue)
}

/// The maker offers a part, the buyer says no, nobody decides in time: it goes up.
async fn haggle(sandbox: &Sandbox, people: &mut People, issue: &str) -> anyhow::Result<()> {
    let path = format!("/v1/issues/{issue}");
    let respond = format!("{path}/respond");
    let little = json!({"offer": "partialRefund", "percent": 5});
    let code = people.maker.refused(&respond, &little).await?;
    ensure!(code == "AMOUNT_OUT_OF_RANGE" || code == "VALIDATION_FAILED", "{code}");
    let part = json!({"offer": "partialRefund", "percent": 20, "text": "I can glue it."});
    let offered = people.maker.post(&respond, &part).await?;
    ensure!(offered["state"] == "awaitingResponse", "{offered}");
    let row = people.buyer.get(&path).await?;
    ensure!(row["offer"] == "partialRefund" && row["offerPercent"] == 20, "{row}");
    let no = json!({"text": "A fifth does not pay for a new lid."});
    let said = people.buyer.post(&respond, &no).await?;
    ensure!(said["state"] == "underReview", "{said}");
    let accept = format!("{path}/accept-offer");
    let code = people.buyer.refused(&accept, &json!({})).await?;
    ensure!(code == "INVALID_STATE", "an offer that was refused is taken: {code}");
    sandbox.advance(2 * DAY + HOUR, &mut people.all()).await?;
    people.buyer.sees(&path, |row| row["state"] == "escalated").await?;
    Ok(())
}

/// Support gives a part back, and the money leaves.
async fn decide(
    sandbox: &Sandbox,
    people: &People,
    (sale, issue): (&Sale, &str),
) -> anyhow::Result<()> {
    let support = &people.support;
    let queue = support.get("/v1/admin/issues").await?;
    ensure!(queue["issues"][0]["issueId"] == issue, "{queue}");
    let path = |step: &str| format!("/v1/admin/issues/{issue}/{step}");
    support.post(&path("assign"), &json!({"reason": "first in the queue"})).await?;
    let silent = json!({"decision": "noAction", "reason": " "});
    ensure!(support.refused(&path("resolve"), &silent).await? == "REASON_REQUIRED", "no reason");
    let decision = json!({"decision": "partialRefund", "amountMinor": PART,
        "currency": CURRENCY, "reason": "the picture shows the crack"});
    let resolved = support.post(&path("resolve"), &decision).await?;
    ensure!(resolved["state"] == "resolved", "{resolved}");
    let payment = format!("/v1/payments/{}", sale.lock);
    let paid =
        people.buyer.sees(&payment, |row| row["charge"]["refunds"][0]["state"] == "succeeded");
    let paid = paid.await?;
    ensure!(paid["status"] == "partiallyRefunded", "{paid}");
    ensure!(paid["charge"]["refunded"]["amountMinor"] == PART, "{paid}");
    let calls = sandbox.fakes.calls();
    let refunds = calls.iter().filter(|call| call.method == "POST" && call.path == "/v1/refunds");
    ensure!(refunds.count() == 1, "one refund goes out");
    for who in ["maker-1", "buyer-1"] {
        let mails = sandbox.fakes.mail_to(&address(who));
        ensure!(mails.len() > 2, "{who} heard of nothing");
    }
    Ok(())
}

/// The maker appeals, once; what support says then is final.
async fn appeal(people: &People, issue: &str) -> anyhow::Result<()> {
    let path = format!("/v1/issues/{issue}/appeal");
    let body = json!({"text": "The crack is in the story, at the end of its clip."});
    let appealed = people.maker.post(&path, &body).await?;
    ensure!(appealed["state"] == "escalated", "{appealed}");
    let kept = json!({"decision": "noAction", "reason": "what went back is enough"});
    let resolve = format!("/v1/admin/issues/{issue}/resolve");
    let resolved = people.support.post(&resolve, &kept).await?;
    ensure!(resolved["state"] == "resolved", "{resolved}");
    let code = people.buyer.refused(&path, &body).await?;
    ensure!(code == "INVALID_STATE", "a second appeal: {code}");
    Ok(())
}

/// The card holder's bank asks for the money: no issue opens, the payout is held until it is won.
async fn chargeback(sandbox: &Sandbox, people: &mut People, sale: &Sale) -> anyhow::Result<()> {
    let sessions = sandbox.fakes_control(Method::GET, "sessions").send().await?;
    let sessions: Value = serde_json::from_str(&sessions.text().await?)?;
    let payment = sessions["sessions"].as_array().into_iter().flatten();
    let payment = payment.filter_map(|row| row["payment_intent"].as_str()).next();
    let payment = payment.context("no session was paid")?.to_owned();
    let dispute = async |status: &str| {
        let path = format!("disputes/{payment}/{status}");
        sandbox.fakes_control(Method::POST, &path).send().await
    };
    dispute("needs_response").await?;
    let shown = format!("/v1/payments/{}", sale.lock);
    people.maker.sees(&shown, |row| row["charge"]["holds"] == json!(["dispute"])).await?;
    let console = sandbox.console()?;
    let listed = console.get("/v1/admin/chargebacks").await?;
    ensure!(listed["chargebacks"][0]["state"] == "open", "{listed}");
    ensure!(listed["chargebacks"][0]["orderId"] == sale.order, "{listed}");
    let order = format!("/v1/orders/{}", sale.order);
    let row = people.buyer.get(&order).await?;
    ensure!(row["issueId"].is_null() && row["onHold"] == false, "a chargeback is no issue: {row}");

    sandbox.advance(8 * DAY, &mut people.all()).await?;
    people.buyer.sees(&order, |row| row["state"] == "completed").await?;
    let held = people.maker.get(&shown).await?;
    ensure!(held["charge"]["payout"] == "waiting", "paid out in a dispute: {held}");
    dispute("won").await?;
    let paid = people.maker.sees(&shown, |row| row["charge"]["payout"] == "sent").await?;
    ensure!(paid["charge"]["holds"].is_null(), "{paid}");
    let listed = console.get("/v1/admin/chargebacks").await?;
    ensure!(listed["chargebacks"][0]["state"] == "won", "{listed}");
    Ok(())
}
