//! What an edge passes on about people, and how it answers: sign-in by a provider, ways back, profiles,
//! addresses.

use std::sync::Arc;

use fairground_types::UserId;
use fairground_wire::message::{ForwardRequest, PrivateText};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::member::FakeMember;
use super::support::{Running, World, header, options, problem, start, until};

const BUYER: UserId = UserId::from_bits(11);

async fn until_it_answers(edge: &Running, token: &str) {
    until("the edge reaches its member", || async {
        let me = edge.request(Method::GET, "/v1/users/me").bearer_auth(token).send().await.unwrap();
        (me.status() == 200).then_some(())
    })
    .await;
}

async fn post(edge: &Running, path: &str, body: Value) -> Response {
    edge.request(Method::POST, path)
        .header("user-agent", "App/1 (iPhone)")
        .json(&body)
        .send()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_code_is_known_by_their_network_unless_a_proxy_asks() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let token = world.token(BUYER, &[]);
    let asked = json!({ "identifier": "buyer-7@fairground.example", "channel": "email" });
    for (limits, expected) in [(false, None), (true, Some("127.0.0.1"))] {
        let dir = world.folder(std::slice::from_ref(&serving.address));
        let mut options = options(dir.path());
        options.limit_this_machine = limits;
        let edge = start(options).await;
        until_it_answers(&edge, &token).await;
        let answer = post(&edge, "/v1/auth/otp/request", asked.clone()).await;
        assert_eq!(answer.status(), 200);
        let recovery = json!({ "identifier": "buyer-7@fairground.example" });
        assert_eq!(post(&edge, "/v1/auth/recovery/send", recovery).await.status(), 200);
        for call in serving.member.take_calls() {
            let (origin, agent) = match call {
                ForwardRequest::RequestCode { origin, .. } => (origin, None),
                ForwardRequest::RequestRecovery { origin, agent, .. } => (origin, Some(agent)),
                other => panic!("unexpected: {other:?}"),
            };
            assert_eq!(origin.as_ref().map(PrivateText::expose), expected);
            assert!(agent.is_none_or(|agent| agent.expose() == "App/1 (iPhone)"));
        }
        edge.stop().await;
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_word_and_a_way_back_are_passed_on_and_never_kept() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let token = world.token(BUYER, &[]);
    until_it_answers(&edge, &token).await;
    let told = json!({ "provider": "google", "idToken": "a.b.c", "nonce": "n1" });
    let prompt = post(&edge, "/v1/auth/social/callback", told.clone()).await;
    assert_eq!((prompt.status().as_u16(), header(&prompt, "cache-control")), (200, "no-store"));
    let prompt: Value = prompt.json().await.unwrap();
    assert_eq!(prompt, json!({ "linkRequired": true, "linkToken": "fgl1.x.y" }));
    for (member, value) in [("provider", json!("other")), ("nonce", json!("")), ("more", json!(1))]
    {
        let mut wrong = told.clone();
        wrong[member] = value;
        let refused = post(&edge, "/v1/auth/social/callback", wrong).await;
        assert_eq!(problem(refused).await.1["code"], "VALIDATION_FAILED", "{member}");
    }
    let large = json!({ "provider": "google", "idToken": "x".repeat(8_193), "nonce": "n1" });
    let refused = post(&edge, "/v1/auth/social/callback", large).await;
    assert_eq!(problem(refused).await.1["code"], "VALIDATION_FAILED");
    let link = json!({ "linkToken": "fgl1.x.y" });
    let stranger = post(&edge, "/v1/auth/link", link.clone()).await;
    assert_eq!(problem(stranger).await.1["code"], "AUTH_REQUIRED");
    let linked = edge.post("/v1/auth/link", &token, "link-0001", &link).await;
    let linked: Value = linked.json().await.unwrap();
    assert_eq!(linked["providers"], json!(["google"]));
    let way = json!({ "token": "fgw1.x.y" });
    let taken = post(&edge, "/v1/auth/recovery/verify", way.clone()).await;
    assert_eq!(problem(taken).await.1["code"], "TOKEN_EXPIRED");
    assert_eq!(post(&edge, "/v1/auth/recovery/deny", way).await.status(), 204);
    let none = post(&edge, "/v1/auth/recovery/send", json!({ "identifier": "nobody" })).await;
    assert_eq!(problem(none).await.1["code"], "VALIDATION_FAILED");
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_keeps_its_version_and_shows_what_is_public() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let token = world.token(BUYER, &[]);
    until_it_answers(&edge, &token).await;
    let put = async |key: &str, seen: Option<&str>, body: Value| {
        let mut request = edge
            .request(Method::PUT, "/v1/users/me/profile")
            .bearer_auth(&token)
            .header("Idempotency-Key", key);
        if let Some(seen) = seen {
            request = request.header("If-Match", seen);
        }
        request.json(&body).send().await.unwrap()
    };
    let profile =
        json!({ "displayName": " Seven ", "city": "Springfield", "timeZone": "Europe/Kyiv" });
    let set = put("profile-1", None, json!({ "baseVersion": 0, "profile": profile })).await;
    assert_eq!(set.status(), 200);
    let tag = header(&set, "etag").to_owned();
    let set: Value = set.json().await.unwrap();
    assert_eq!((&set["version"], &set["profile"]["displayName"]), (&json!(1), &json!("Seven")));
    let shown = edge.get(&format!("/v1/users/{BUYER}/public-profile")).await;
    let shown: Value = shown.json().await.unwrap();
    assert_eq!((&shown["displayName"], &shown["city"]), (&json!("Seven"), &json!("Springfield")));
    assert!(shown.get("timeZone").is_none());
    let next = put("profile-2", Some(&tag), json!({ "profile": {} })).await;
    assert_eq!(next.status(), 200);
    let stale = put("profile-3", Some(&tag), json!({ "profile": {} })).await;
    assert_eq!(problem(stale).await.1["code"], "PRECONDITION_FAILED");
    let stale = put("profile-4", None, json!({ "baseVersion": 1, "profile": {} })).await;
    assert_eq!(problem(stale).await.1["code"], "VERSION_CONFLICT");
    for wrong in [
        json!({ "displayName": "x".repeat(61) }),
        json!({ "timeZone": "Nowhere/At_All" }),
        json!({ "nickname": "x" }),
    ] {
        let refused = put("profile-5", None, json!({ "baseVersion": 2, "profile": wrong })).await;
        assert_eq!(problem(refused).await.1["code"], "VALIDATION_FAILED");
    }
    let nobody = UserId::from_bits(99);
    assert_eq!(edge.get(&format!("/v1/users/{nobody}/public-profile")).await.status(), 404);
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_kept_changed_and_let_go_by_their_owner() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let token = world.token(BUYER, &[]);
    until_it_answers(&edge, &token).await;
    let home = json!({ "address": { "name": "B. Seven", "line1": "12 Some Street",
        "city": "Springfield", "country": "US" } });
    let path = "/v1/users/me/addresses";
    let kept = edge.post(path, &token, "address-1", &home).await;
    assert_eq!(kept.status(), 200);
    let kept: Value = kept.json().await.unwrap();
    let again: Value = edge.post(path, &token, "address-1", &home).await.json().await.unwrap();
    assert_eq!(kept, again, "the same key, the same address");
    let id = kept["addressId"].as_str().unwrap();
    let call = async |method: Method, path: &str, key: &str, body: Option<&Value>| {
        let mut request =
            edge.request(method, path).bearer_auth(&token).header("Idempotency-Key", key);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    };
    let mut moved = home.clone();
    moved["address"]["line1"] = json!("13 Some Street");
    let one = format!("{path}/{id}");
    assert_eq!(call(Method::PUT, &one, "address-2", Some(&moved)).await.status(), 200);
    let list: Value = call(Method::GET, path, "unused", None).await.json().await.unwrap();
    assert_eq!(list["addresses"][0]["address"]["line1"], "13 Some Street");
    assert_eq!(list["addresses"][0]["isDefault"], true);
    assert_eq!(list["addresses"].as_array().map(Vec::len), Some(1));
    moved["address"]["country"] = json!("Utopia");
    let refused = call(Method::PUT, &one, "address-3", Some(&moved)).await;
    assert_eq!(problem(refused).await.1["code"], "VALIDATION_FAILED");
    assert_eq!(call(Method::DELETE, &one, "address-4", None).await.status(), 204);
    let gone = call(Method::PUT, &one, "address-5", Some(&home)).await;
    assert_eq!(problem(gone).await.1["code"], "NOT_FOUND");
    edge.stop().await;
    serving.stop().await;
}
