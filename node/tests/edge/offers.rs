//! Offers and auctions over HTTP, from a maker's policy to the next listing.

use std::sync::Arc;

use fairground_types::command::{
    Actor, AuctionCommand, AuctionPolicy, CloseOverride, Command, MarketPolicy,
};
use fairground_types::text::Note;
use fairground_types::{AuctionId, BidId, Millis, Role, UserId};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::member::{FakeMember, MAKER, STORY, Serving};
use super::support::{Running, World, header, options, problem, start, until};

const BUYERS: [UserId; 3] = [UserId::from_bits(11), UserId::from_bits(12), UserId::from_bits(13)];

/// An amount that is nowhere else: what one buyer would give at most.
const SECRET: u64 = 77_777;

struct Scene {
    edge: Running,
    serving: Serving,
    maker: String,
    buyers: [String; 3],
    _dir: tempfile::TempDir,
}

async fn scene() -> Scene {
    let world = Arc::new(World::new());
    let auction = AuctionPolicy { proxy_bids: true, ..AuctionPolicy::FIXED_72 };
    let policy =
        MarketPolicy { auction, payment_window: Millis::from_secs(4), ..MarketPolicy::default() };
    let serving = FakeMember::serve_with(&world, &BUYERS, policy);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    until("the edge takes bids", || async {
        let edges: Value = edge.get("/v1/edges").await.json().await.unwrap();
        (edges["edges"][0]["takesBids"] == true).then_some(())
    })
    .await;
    let maker = world.token(MAKER, &[Role::Maker]);
    let buyers = BUYERS.map(|user| world.token(user, &[]));
    Scene { edge, serving, maker, buyers, _dir: dir }
}

impl Scene {
    async fn get(&self, who: &str, path: &str) -> Value {
        let response = self.edge.request(Method::GET, path).bearer_auth(who).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    async fn post(&self, who: &str, key: &str, path: &str, body: &Value) -> Response {
        self.edge
            .request(Method::POST, path)
            .bearer_auth(who)
            .header("Idempotency-Key", key)
            .header("Prefer", "wait=10")
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// A POST that succeeds.
    async fn done(&self, who: &str, key: &str, path: &str, body: &Value) -> Value {
        let response = self.post(who, key, path, body).await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "POST {path}: {status} {body}");
        body
    }

    /// A POST that is refused.
    async fn refused(&self, who: &str, key: &str, path: &str, body: &Value) -> Value {
        problem(self.post(who, key, path, body).await).await.1
    }

    async fn offer(&self, who: &str, key: &str, minor: u64) -> Value {
        let path = format!("/v1/stories/{STORY}/offers");
        let body = json!({ "amountMinor": minor, "currency": "EUR", "note": "for the hall" });
        self.done(who, key, &path, &body).await
    }

    async fn set_policy(&self, key: &str, if_match: Option<&str>, body: &Value) -> Response {
        let mut request = self
            .edge
            .request(Method::PUT, "/v1/maker/offer-policy")
            .bearer_auth(&self.maker)
            .header("Idempotency-Key", key);
        if let Some(tag) = if_match {
            request = request.header("If-Match", tag);
        }
        request.json(body).send().await.unwrap()
    }

    async fn auction(&self, auction: &str) -> Value {
        self.edge.get(&format!("/v1/auctions/{auction}")).await.json().await.unwrap()
    }

    /// What an admin does at a member.
    fn as_admin(&self, command: AuctionCommand) {
        self.serving.member.must(Actor::Cluster, Command::Auction(command));
    }

    /// Every answer about an auction that somebody else may read, as one text.
    async fn what_others_read(&self, auction: &str) -> String {
        let [first, _, third] = &self.buyers;
        let mut all = vec![self.auction(auction).await];
        for path in [format!("/v1/auctions/{auction}/bids"), format!("/v1/stories/{STORY}")] {
            all.push(self.edge.get(&path).await.json().await.unwrap());
        }
        for who in [first, third] {
            all.push(self.get(who, "/v1/users/me/auctions").await);
            all.push(self.get(who, "/v1/users/me/offers").await);
        }
        let maker = &self.maker;
        all.push(self.get(maker, "/v1/users/me/auctions?role=maker").await);
        all.push(self.get(maker, "/v1/maker/dashboard").await);
        all.push(self.get(maker, &format!("/v1/stories/{STORY}/offers")).await);
        let audit = self.serving.member.look(|market| {
            let id = auction.parse().unwrap();
            let record = serde_json::to_value(market.auction_record(id)).unwrap();
            (record, serde_json::to_value(market.auction_audit(id)).unwrap())
        });
        all.extend([audit.0, audit.1]);
        all.iter().map(Value::to_string).collect()
    }
}

fn review(base_version: Option<u64>) -> Value {
    let mut body = json!({ "policy": {
        "enabled": true, "maxOffersPerBuyer": 3, "openMode": "review",
        "reviewWindowMs": 3_600_000, "shipTo": ["DE"],
    } });
    if let (Some(version), Some(members)) = (base_version, body.as_object_mut()) {
        members.insert("baseVersion".to_owned(), json!(version));
    }
    body
}

async fn a_policy_is_set_once(scene: &Scene) {
    let read = scene.edge.request(Method::GET, "/v1/maker/offer-policy");
    let read = read.bearer_auth(&scene.maker).send().await.unwrap();
    assert_eq!(header(&read, "etag"), "\"v0\"");
    let set = scene.set_policy("policy-01", Some("\"v0\""), &review(None)).await;
    assert_eq!((set.status().as_u16(), header(&set, "etag")), (200, "\"v1\""));
    let stale = problem(scene.set_policy("policy-02", None, &review(Some(0))).await).await;
    assert_eq!((stale.0, &stale.1["code"]), (409, &json!("VERSION_CONFLICT")));
    let stale = problem(scene.set_policy("policy-03", Some("\"v0\""), &review(None)).await).await;
    assert_eq!((stale.0, &stale.1["code"]), (412, &json!("PRECONDITION_FAILED")));
    let [first, ..] = &scene.buyers;
    let path = format!("/v1/stories/{STORY}/offers/eligibility");
    let asked = scene.get(first, &path).await;
    assert_eq!((&asked["ok"], &asked["minimum"]["amountMinor"]), (&json!(true), &json!(10_000)));
    let query = "?amountMinor=9999&currency=EUR&shipToCountry=FR";
    let asked = scene.get(first, &format!("{path}{query}")).await;
    assert_eq!(asked["rules"], json!(["OFFER_MIN_VIOLATION", "GEOGRAPHIC_RESTRICTION"]));
}

/// The auction that the maker opens.
async fn offers_wait_for_their_maker(scene: &Scene) -> String {
    let ([first, second, third], maker) = (&scene.buyers, &scene.maker);
    let made = scene.offer(first, "offer-001", 12_000).await;
    assert!(made["opensAt"].is_string() && made["auctionId"].is_null(), "{made}");
    let path = |offer: &Value, step: &str| format!("/v1/offers/{}/{step}", offer.as_str().unwrap());
    let withdraw = path(&made["offerId"], "withdraw");
    let theirs = scene.refused(second, "withdraw-1", &withdraw, &json!({})).await;
    assert_eq!(theirs["code"], "NOT_FOUND");
    scene.done(first, "withdraw-1", &withdraw, &json!({ "reason": "too hasty" })).await;
    scene.done(first, "withdraw-1", &withdraw, &json!({ "reason": "too hasty" })).await;
    let again = scene.refused(first, "withdraw-2", &withdraw, &json!({})).await;
    assert_eq!(again["code"], "OFFER_NOT_WITHDRAWABLE");

    let made = scene.offer(second, "offer-002", 13_000).await;
    let reject = path(&made["offerId"], "reject");
    let theirs = scene.refused(second, "reject-01", &reject, &json!({})).await;
    assert_eq!(theirs["code"], "FORBIDDEN");
    scene.done(maker, "reject-01", &reject, &json!({ "reason": "it is promised" })).await;
    let history = scene.get(second, &path(&made["offerId"], "history")).await;
    let steps: Vec<&Value> =
        history["steps"].as_array().unwrap().iter().map(|step| &step["status"]).collect();
    assert_eq!(steps, [&json!("pending"), &json!("rejected")]);
    assert_eq!(history["steps"][1]["reason"], "it is promised");
    let path_of = format!("/v1/offers/{}", history["offerId"].as_str().unwrap());
    let shown = scene.get(second, &path_of).await;
    assert_eq!((&shown["status"], &shown["storyVersion"]), (&json!("rejected"), &json!(1)));

    let made = scene.offer(third, "offer-003", 14_000).await;
    let board = scene.get(maker, "/v1/maker/dashboard").await;
    assert_eq!(board["offersToReview"][0]["offerId"], made["offerId"]);
    let figures = scene.get(maker, "/v1/maker/publication-analytics?limit=1").await;
    let row = &figures["stories"][0];
    assert_eq!((&row["storyId"], &row["offers"]), (&json!(STORY), &json!(3)), "{figures}");
    assert_eq!((&row["state"], figures["nextCursor"].is_null()), (&json!("listed"), true));
    let list = format!("/v1/stories/{STORY}/offers");
    let page = scene.get(maker, &format!("{list}?limit=2")).await;
    assert_eq!(page["offers"].as_array().map(Vec::len), Some(2));
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = scene.get(maker, &format!("{list}?limit=2&cursor={cursor}")).await;
    assert_eq!(
        (&rest["offers"][0]["status"], rest["nextCursor"].is_null()),
        (&json!("withdrawn"), true)
    );
    let rejected = scene.get(maker, &format!("{list}?status=rejected")).await;
    assert_eq!(rejected["offers"].as_array().map(Vec::len), Some(1));
    let own = scene.get(first, &list).await;
    assert_eq!(own["offers"].as_array().map(Vec::len), Some(1), "own ones alone");
    let opened =
        scene.done(maker, "accept-01", &path(&made["offerId"], "accept"), &json!({})).await;
    let again = scene.done(maker, "accept-01", &path(&made["offerId"], "accept"), &json!({})).await;
    assert_eq!(opened, again, "one key, one auction");
    opened["auctionId"].as_str().unwrap().to_owned()
}

/// A private maximum bids on, and nobody else reads it.
async fn a_maximum_stays_with_its_bidder(scene: &Scene, auction: &str) {
    let [first, second, third] = &scene.buyers;
    let bids = format!("/v1/auctions/{auction}/bids");
    let body = json!({ "amountMinor": 14_500, "currency": "EUR", "maximumMinor": SECRET });
    let placed = scene.done(second, "bid-00001", &bids, &body).await;
    assert_eq!((&placed["state"], &placed["amountMinor"]), (&json!("accepted"), &json!(14_500)));
    for (who, key, minor) in [(first, "bid-00002", 15_500), (third, "bid-00003", 20_000)] {
        let body = json!({ "amountMinor": minor, "currency": "EUR" });
        let placed = scene.done(who, key, &bids, &body).await;
        assert!(!placed.to_string().contains("77777"), "{placed}");
    }
    until("the answer to the last bid is seen", || async {
        let row = scene.auction(auction).await;
        (row["highest"]["amountMinor"] == 20_500).then_some(())
    })
    .await;
    let read = scene.what_others_read(auction).await;
    assert!(!read.contains("77777") && !read.contains("777.77"), "{read}");
    let own = scene.get(second, "/v1/users/me/auctions").await;
    assert_eq!(own["auctions"][0]["ownMaximum"]["amountMinor"], SECRET);
    assert_eq!(own["auctions"][0]["leads"], true);
}

/// An admin moves the close and takes a bid back; every edge shows it.
async fn an_admin_steps_in(scene: &Scene, auction: &str) {
    let before = scene.auction(auction).await;
    let id: AuctionId = auction.parse().unwrap();
    let reason = || Note::parse("as the test says").unwrap();
    let action = CloseOverride::Extend { by: Millis::from_mins(10) };
    scene.as_admin(AuctionCommand::OverrideClose { auction: id, action, reason: reason() });
    let bid: BidId = before["highest"]["bidId"].as_str().unwrap().parse().unwrap();
    scene.as_admin(AuctionCommand::RetractBid { auction: id, bid, reason: reason() });
    let after = until("the bid is gone", || async {
        let row = scene.auction(auction).await;
        (row["priceEpoch"] == 1).then_some(row)
    })
    .await;
    assert_eq!(after["highest"]["amountMinor"], 20_000);
    assert!(after["closesAt"].as_str() > before["closesAt"].as_str());
    assert_eq!(after["lastExtension"]["by"], "admin");
    let timer: Value =
        scene.edge.get(&format!("/v1/auctions/{auction}/timer")).await.json().await.unwrap();
    assert_eq!(timer["closesAt"], after["closesAt"]);
    let [first, ..] = &scene.buyers;
    let body = json!({ "auctionId": auction, "clientTimestamp": timer["serverTime"] });
    let synced = scene.done(first, "timer-001", "/v1/timers/sync", &body).await;
    assert!(synced["clientAheadMs"].as_i64().unwrap() <= 0, "{synced}");
}

/// Nobody pays: the next bidder is asked and declines, then the piece is listed again.
async fn nobody_pays(scene: &Scene, auction: &str) {
    let (maker, [_, second, third]) = (&scene.maker, &scene.buyers);
    let path = |step: &str| format!("/v1/auctions/{auction}/{step}");
    let highest = scene.auction(auction).await["highest"]["bidId"].clone();
    scene.done(maker, "take-0001", &path("accept"), &json!({ "expectedBidId": highest })).await;
    let early = scene.refused(maker, "second-01", &path("second-chance"), &json!({})).await;
    assert_eq!(early["code"], "AUCTION_LOCKED");
    let decided = until("the time to pay is over", || async {
        let list = scene.get(maker, "/v1/users/me/auctions?role=maker").await;
        let row = list["auctions"][0].clone();
        (row["status"] == "awaitingDecision").then_some(row)
    })
    .await;
    let theirs = scene.refused(third, "second-01", &path("second-chance"), &json!({})).await;
    assert!(["FORBIDDEN", "CAPABILITY_REQUIRED"].contains(&theirs["code"].as_str().unwrap()));
    let wrong = json!({ "bidId": highest });
    let wrong = scene.refused(maker, "second-02", &path("second-chance"), &wrong).await;
    assert_eq!(wrong["code"], "NO_ELIGIBLE_BID");
    let body = json!({ "bidId": decided["nextBestBidId"] });
    let asked = scene.done(maker, "second-03", &path("second-chance"), &body).await;
    let decline = format!("/v1/sale-locks/{}/decline", asked["saleLockId"].as_str().unwrap());
    let theirs = scene.refused(third, "decline-1", &decline, &json!({})).await;
    assert_eq!(theirs["code"], "NOT_FOUND");
    scene.done(second, "decline-1", &decline, &json!({})).await;
    scene.done(maker, "relist-01", &path("relist"), &json!({})).await;
    let again = scene.refused(maker, "relist-02", &path("relist"), &json!({})).await;
    assert_eq!(again["code"], "DECISION_WINDOW_CLOSED");
    let made = scene.offer(second, "offer-009", 15_000).await;
    assert!(made["opensAt"].is_string(), "a new cycle: {made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_goes_from_offers_through_two_buyers_to_its_next_listing() {
    let scene = scene().await;
    a_policy_is_set_once(&scene).await;
    let auction = offers_wait_for_their_maker(&scene).await;
    a_maximum_stays_with_its_bidder(&scene, &auction).await;
    an_admin_steps_in(&scene, &auction).await;
    nobody_pays(&scene, &auction).await;
    assert_eq!(scene.serving.member.look(|market| market.violations()), Vec::<String>::new());
    scene.edge.stop().await;
    scene.serving.stop().await;
}
