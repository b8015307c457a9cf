//! A device over HTTP: its key at a sign-in, signed bids, what is refused here and what by the log.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_market::script::DeviceSigner;
use fairground_runtime::clock::Clock;
use fairground_types::command::{
    AccountCommand, Actor, Channel, Command, RequestCode, SealedContact, VerifyCode,
};
use fairground_types::journal::{Eligibility, Intake, PlaceBid, SubmitOffer};
use fairground_types::{
    AuctionId, ChallengeId, CommandId, Currency, Digest, KeyAlgorithm, Millis, Money, OfferId,
    SignInId, Timestamp, UserId,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::member::{FakeMember, STORY, Serving};
use super::support::{Running, World, options, problem, start, until};

const BUYERS: [UserId; 2] = [UserId::from_bits(11), UserId::from_bits(12)];

struct Scene {
    world: Arc<World>,
    edge: Running,
    serving: Serving,
    token: String,
    _dir: tempfile::TempDir,
}

/// An edge, and a buyer who signed in a moment ago; the sign-in is the one that every token names.
async fn scene() -> Scene {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &BUYERS);
    let (identifier, code) = (Digest::of(b"buyer-1"), Digest::of(b"123456"));
    let request = RequestCode {
        challenge: ChallengeId::from_bits(1),
        identifier,
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        channel: Channel::Email,
        code,
        origin: None,
    };
    let verify = VerifyCode {
        identifier,
        code,
        new_user: BUYERS[0],
        sign_in: SignInId::from_bits(1),
        refresh: Digest::of(b"refresh"),
    };
    for command in [AccountCommand::RequestCode(request), AccountCommand::VerifyCode(verify)] {
        serving.member.must(Actor::Anonymous, Command::Account(command));
    }
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    until("the edge takes bids", || async {
        let edges: Value = edge.get("/v1/edges").await.json().await.unwrap();
        (edges["edges"][0]["takesBids"] == true).then_some(())
    })
    .await;
    let token = world.token(BUYERS[0], &[]);
    Scene { world, edge, serving, token, _dir: dir }
}

impl Scene {
    async fn send(&self, method: Method, path: &str, key: &str, body: &Value) -> Response {
        let request = self.edge.request(method, path).bearer_auth(&self.token);
        let request = request.header("Idempotency-Key", key).header("Prefer", "wait=10");
        request.json(body).send().await.unwrap()
    }

    async fn done(&self, method: Method, path: &str, key: &str, body: &Value) -> Value {
        let response = self.send(method, path, key, body).await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    async fn refused(&self, method: Method, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let (status, body) = problem(self.send(method, path, key, body).await).await;
        (status, body["code"].clone())
    }

    async fn device(&self) -> String {
        let named = json!({ "installationId": "this-browser", "platform": "web" });
        let path = "/v1/devices/register";
        let device = self.done(Method::POST, path, "device-key-1", &named).await;
        device["deviceId"].as_str().unwrap().to_owned()
    }
}

fn key_body(algorithm: &str, bytes: &[u8]) -> Value {
    json!({ "algorithm": algorithm, "publicKey": URL_SAFE_NO_PAD.encode(bytes) })
}

fn soon() -> Timestamp {
    Clock::system().now().plus(Millis::from_secs(60))
}

/// A request for what was signed.
fn signed(intake: &Intake, minor: u64) -> Value {
    let signature = intake.signature().unwrap();
    json!({
        "amountMinor": minor, "currency": "EUR", "validUntil": intake.valid_until(),
        "signature": {
            "keyId": signature.key, "value": URL_SAFE_NO_PAD.encode(signature.bytes),
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_signs_what_its_owner_bids_and_nothing_else_counts() {
    for signer in [DeviceSigner::ed25519([3; 32]), DeviceSigner::p256([3; 32])] {
        let scene = scene().await;
        let device = scene.device().await;
        let path = format!("/v1/devices/{device}/key");
        let public = signer.public();
        let algorithm = if public.algorithm() == KeyAlgorithm::P256 { "p256" } else { "ed25519" };
        let body = key_body(algorithm, public.as_bytes());
        let registered = scene.done(Method::PUT, &path, "key-key-1", &body).await;
        assert_eq!(registered["keyId"], json!(public.id()));
        assert_eq!(registered["clusterId"], json!(scene.world.cluster));
        let other = key_body("ed25519", DeviceSigner::ed25519([4; 32]).public().as_bytes());
        let again = scene.refused(Method::PUT, &path, "key-key-2", &other).await;
        assert_eq!(again, (409, json!("INVALID_STATE")));
        let shown = scene.edge.request(Method::GET, "/v1/devices").bearer_auth(&scene.token);
        let shown: Value = shown.send().await.unwrap().json().await.unwrap();
        let rows = shown["devices"].as_array().unwrap();
        let row = rows.iter().find(|row| row["deviceId"] == json!(device));
        assert_eq!(row.unwrap()["signingKey"]["keyId"], registered["keyId"], "{shown}");

        let offers = format!("/v1/stories/{STORY}/offers");
        let plain = json!({ "amountMinor": 10_000, "currency": "EUR" });
        let unsigned = scene.refused(Method::POST, &offers, "offer-key-1", &plain).await;
        assert_eq!(unsigned, (403, json!("SIGNATURE_REQUIRED")));
        let offer = |key: &str, minor| {
            let command = CommandId::derive(BUYERS[0], key, "offer", &STORY.to_string());
            Intake::Offer(SubmitOffer {
                command,
                offer: OfferId::from_bits(0),
                auction: AuctionId::from_bits(0),
                story: STORY,
                buyer: BUYERS[0],
                amount: Money::new(minor, Currency::Eur),
                note: None,
                ship_to: None,
                eligibility: Eligibility::Allowed,
                bid_if_open: false,
                valid_until: soon(),
            })
        };
        let intake = signer.sign(scene.world.cluster, offer("offer-key-2", 10_000));
        let altered = signed(&intake, 10_001);
        let altered = scene.refused(Method::POST, &offers, "offer-key-2", &altered).await;
        assert_eq!(altered, (403, json!("SIGNATURE_REFUSED")));
        // The refusal does not stand in the way of what was signed, under the same key.
        let taken =
            scene.done(Method::POST, &offers, "offer-key-2", &signed(&intake, 10_000)).await;
        let auction: AuctionId = taken["auctionId"].as_str().unwrap().parse().unwrap();

        let bids = format!("/v1/auctions/{auction}/bids");
        let bid = |key: &str, minor| {
            Intake::Bid(PlaceBid {
                command: CommandId::derive(BUYERS[0], key, "bid", &auction.to_string()),
                auction,
                bidder: BUYERS[0],
                amount: Money::new(minor, Currency::Eur),
                maximum: None,
                valid_until: soon(),
            })
        };
        let intake = signer.sign(scene.world.cluster, bid("bid-key-1", 12_000));
        let placed = scene.done(Method::POST, &bids, "bid-key-1", &signed(&intake, 12_000)).await;
        assert_eq!(placed["state"], "accepted");
        // A retry signs anew: it is the same bid.
        let later = signer.sign(scene.world.cluster, bid("bid-key-1", 12_000));
        let again = scene.done(Method::POST, &bids, "bid-key-1", &signed(&later, 12_000)).await;
        assert_eq!(again["bidId"], placed["bidId"]);
        scene.edge.stop().await;
        scene.serving.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_key_or_a_signature_is_refused_at_the_edge() {
    let scene = scene().await;
    let device = scene.device().await;
    let path = format!("/v1/devices/{device}/key");
    let key = *DeviceSigner::ed25519([3; 32]).public().as_bytes().first_chunk::<32>().unwrap();
    for (number, body) in [
        key_body("ed25519", &key[..31]),
        key_body("ed25519", &[0; 32]),
        key_body("p256", &key),
        json!({ "algorithm": "ed25519", "publicKey": "=" }),
        json!({ "algorithm": "rsa", "publicKey": URL_SAFE_NO_PAD.encode(key) }),
    ]
    .iter()
    .enumerate()
    {
        let refused = scene.refused(Method::PUT, &path, &format!("key-key-{number}"), body).await;
        assert_eq!(refused, (400, json!("VALIDATION_FAILED")), "{body}");
    }
    let bids = format!("/v1/auctions/{}/bids", AuctionId::from_bits(9));
    let with = |change: &dyn Fn(&mut Value)| {
        let value = URL_SAFE_NO_PAD.encode([7; 64]);
        let mut body = json!({
            "amountMinor": 10_000, "currency": "EUR", "validUntil": soon(),
            "signature": { "keyId": DeviceSigner::ed25519([3; 32]).public().id(), "value": value },
        });
        change(&mut body);
        body
    };
    let half = [[7; 32], [0; 32]].concat();
    for (number, (body, wanted)) in [
        (with(&|body| body["signature"]["value"] = json!("AAAA")), (400, "VALIDATION_FAILED")),
        (with(&|body| body["signature"]["value"] = json!("?")), (400, "VALIDATION_FAILED")),
        (with(&|body| body["validUntil"] = Value::Null), (400, "VALIDATION_FAILED")),
        (with(&|body| body["validForMs"] = json!(60_000)), (400, "VALIDATION_FAILED")),
        (
            with(&|body| body["validUntil"] = json!(soon().plus(Millis::from_secs(300)))),
            (400, "VALIDATION_FAILED"),
        ),
        (
            with(&|body| body["signature"]["value"] = json!(URL_SAFE_NO_PAD.encode(&half))),
            (403, "SIGNATURE_REFUSED"),
        ),
        (with(&|_| ()), (403, "SIGNATURE_REFUSED")),
    ]
    .iter()
    .enumerate()
    {
        let key = format!("the-bid-key-{number}");
        let (status, code) = scene.refused(Method::POST, &bids, &key, body).await;
        assert_eq!((status, code.as_str().unwrap()), *wanted, "{body}");
    }
    // Only the last one, which could have been a signature, went into the journal.
    let edge = &scene.world.edge;
    let applied = scene.serving.member.look(|market| market.edge(edge).unwrap().applied().seq);
    assert_eq!(applied, 1);
    scene.edge.stop().await;
    scene.serving.stop().await;
}
