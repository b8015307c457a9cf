//! One auction through one member: what an admin does to it, and what its people and its audit read.

use fairground_types::command::{AccountCommand, AuctionCommand, Command, OfferPolicy};
use fairground_types::text::{Country, Handle};
use fairground_types::{Currency, Money, OfferId, UserId};
use fairground_wire::message::{ForwardRequest, ForwardResponse, ReadRequest};
use serde_json::{Value, json};

use crate::sale::{Scene, scene};

async fn text_of(scene: &Scene, path: &str) -> String {
    let key = std::fs::read_to_string(scene.member.dir.join("admin.key")).expect("the admin key");
    let request = reqwest::Client::new()
        .get(format!("http://{}{path}", scene.member.http))
        .header("authorization", format!("Admin {key}"));
    request.send().await.expect("an answer").text().await.expect("text")
}

/// What a maker and a buyer read of offers and of their auctions.
async fn parties_read_their_own(scene: &Scene, (maker, buyer): (UserId, UserId), offer: OfferId) {
    let story = scene.read(ReadRequest::MyStories { user: maker }).await["stories"][0].clone();
    let story = story["storyId"].as_str().expect("a story").parse().expect("an id");
    let list = scene.read(ReadRequest::StoryOffers { user: maker, story }).await;
    assert_eq!(list["offers"][0]["status"], "accepted");
    let mine = scene.read(ReadRequest::MyOffers { user: buyer }).await;
    assert_eq!(mine["offers"][0]["offerId"], offer.to_string());
    let row = scene.read(ReadRequest::Offer { user: buyer, offer }).await;
    assert_eq!(row["isOpening"], true);
    let history = scene.read(ReadRequest::OfferHistory { user: maker, offer }).await;
    assert_eq!(history["steps"][1]["status"], "accepted");
    let stranger = ReadRequest::OfferHistory { user: UserId::from_bits(99), offer };
    let hidden = scene.forward(ForwardRequest::Read(stranger)).await;
    assert!(matches!(hidden, ForwardResponse::Rejected(_)), "{hidden:?}");
    let asked = scene
        .read(ReadRequest::Eligibility {
            user: buyer,
            story,
            amount: Some(Money::new(1, Currency::Eur)),
            ship_to: Country::parse("DE").ok(),
        })
        .await;
    assert_eq!((&asked["ok"], &asked["rules"]), (&json!(false), &json!(["BID_TOO_LOW"])));
    let policy = OfferPolicy { max_offers_per_buyer: 2, ..OfferPolicy::default() };
    let set = AuctionCommand::SetOfferPolicy { base_version: 0, policy };
    scene.act(maker, Command::Auction(set)).await;
    let policy = scene.read(ReadRequest::OfferPolicy { user: maker }).await;
    assert_eq!(
        (&policy["version"], &policy["policy"]["maxOffersPerBuyer"]),
        (&json!(1), &json!(2))
    );
    let board = scene.read(ReadRequest::MakerDashboard { user: maker }).await;
    assert_eq!(board["activeAuctions"].as_array().map(Vec::len), Some(1));
    let figures = scene.read(ReadRequest::Publications { user: maker }).await;
    let row = &figures["stories"][0];
    assert_eq!(
        (&row["state"], &row["bids"], &row["offers"]),
        (&json!("live"), &json!(1), &json!(1))
    );
    assert!(row["publishedAt"].is_string() && row["sold"].is_null(), "{row}");
    let none = scene.read(ReadRequest::Publications { user: buyer }).await;
    assert_eq!(none["stories"], json!([]));
    let as_bidder = scene.read(ReadRequest::MyAuctions { user: buyer, as_maker: false }).await;
    assert_eq!(as_bidder["auctions"][0]["leads"], true);
    let as_maker = scene.read(ReadRequest::MyAuctions { user: buyer, as_maker: true }).await;
    assert_eq!(as_maker["auctions"], json!([]));
}

/// Moves the close, takes the bid back, and finds both in the audits.
async fn an_admin_steps_in(scene: &Scene, auction: &str, bid: &str) {
    let path = |step: &str| format!("/v1/admin/auctions/{auction}/{step}");
    let post = async |step: &str, body: Value| scene.member.post(&path(step), body).await;
    let before = scene.member.get(&format!("/v1/admin/auctions/{auction}")).await;
    let silent = post("soft-close/override", json!({ "action": "lock", "reason": " " })).await;
    assert_eq!((silent.status, &silent.body["code"]), (400, &json!("REASON_REQUIRED")));
    let odd = json!({ "action": "extend", "reason": "no length" });
    assert_eq!(post("soft-close/override", odd).await.body["code"], "VALIDATION_FAILED");
    let odd = json!({ "action": "lock", "minutes": 5, "reason": "a length" });
    assert_eq!(post("soft-close/override", odd).await.body["code"], "VALIDATION_FAILED");
    let longer = json!({ "action": "extend", "minutes": 30, "reason": "the page was away" });
    let moved = post("soft-close/override", longer).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert!(moved.body["closesAt"].as_str() > before["closesAt"].as_str());
    let fixed = json!({ "action": "lock", "reason": "=SUM(1)" });
    assert_eq!(post("soft-close/override", fixed).await.status, 200);
    let silent = post(&format!("bids/{bid}/retract"), json!({ "reason": "" })).await;
    assert_eq!(silent.body["code"], "REASON_REQUIRED");
    let typo = json!({ "reason": "a zero too many, \"sorry\"" });
    assert_eq!(post(&format!("bids/{bid}/retract"), typo.clone()).await.status, 200);
    assert_eq!(post(&format!("bids/{bid}/retract"), typo).await.status, 404);

    let audit = scene.member.get(&path("audit")).await;
    let kinds: Vec<&str> = audit["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .filter_map(|line| line["kind"].as_str())
        .collect();
    for kind in ["offerSubmitted", "auctionOpened", "bidPlaced", "closeExtended", "bidRetracted"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert_eq!(kinds.iter().filter(|kind| **kind == "adminAct").count(), 3);
    let none = scene.member.get(&path("audit?until=2001-01-01T00:00:00.000Z")).await;
    assert_eq!(none["lines"], json!([]));
    let table = text_of(scene, &path("audit?format=csv")).await;
    assert!(table.starts_with("at,logIndex,kind,actorId,subject,amountMinor,currency,"), "{table}");
    assert!(table.contains("\"a zero too many, \"\"sorry\"\"\""), "{table}");
    assert!(table.contains(",'=SUM(1)"), "no formula: {table}");
    assert_eq!(table.lines().count(), kinds.len() + 1);
    let chain = scene.member.get(&format!("/v1/admin/audit?auction={auction}")).await.to_string();
    for (action, reason) in
        [("Auction.OverrideClose", "the page was away"), ("Auction.RetractBid", "a zero too many")]
    {
        assert!(chain.contains(action) && chain.contains(reason), "{chain}");
    }
}

/// Totals for whoever may read the market, and for nobody else.
async fn staff_reads_a_report(scene: &Scene) {
    let report = scene.member.get("/v1/admin/reports").await;
    assert_eq!(report["auctions"]["running"], 1, "{report}");
    assert_eq!((&report["stories"]["live"], &report["money"]), (&json!(1), &json!([])));
    assert!(report["accountsMade"].as_u64() >= Some(2), "{report}");
    let until = report["from"].as_str().expect("a time");
    let before = scene.member.get(&format!("/v1/admin/reports?until={until}")).await;
    assert_eq!(before["accountsMade"], 0, "{before}");
    let odd = format!("from={until}&until={until}");
    let refused = text_of(scene, &format!("/v1/admin/reports?{odd}")).await;
    assert!(refused.contains("VALIDATION_FAILED"), "{refused}");
    let stranger = reqwest::get(format!("http://{}/v1/admin/reports", scene.member.http)).await;
    assert_eq!(stranger.expect("an answer").status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_moves_a_close_and_takes_a_bid_back_with_a_reason_on_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path()).await;
    let (maker, _) = scene.sign_in("maker-1@fairground.example").await;
    scene.act(maker, Command::Account(AccountCommand::BecomeMaker)).await;
    let handle = Handle::parse("maker-1").expect("valid");
    scene.act(maker, Command::Account(AccountCommand::SetHandle { handle })).await;
    let (buyer, _) = scene.sign_in("buyer-7@fairground.example").await;
    let asset = scene.publish_clip(maker).await;
    let story = scene.publish_story(maker, asset).await;
    let (auction, bid) = scene.offer(buyer, story).await;
    parties_read_their_own(&scene, (maker, buyer), OfferId::from_bits(32)).await;
    staff_reads_a_report(&scene).await;
    an_admin_steps_in(&scene, &auction.to_string(), &bid.to_string()).await;
    assert_eq!(scene.member.get("/v1/admin/violations").await["violations"], json!([]));
    scene.member.stop().await;
    scene.fakes.shutdown().await;
}
