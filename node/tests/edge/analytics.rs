//! Events of apps: only of people who agreed, in files that name nobody.

use std::sync::Arc;

use fairground_types::UserId;
use reqwest::Method;
use serde_json::{Value, json};

use super::member::FakeMember;
use super::support::{World, options, problem, start, until};

const BUYER: UserId = UserId::from_bits(11);
const PATH: &str = "/v1/analytics/events";

fn event(name: &str) -> Value {
    json!({
        "name": name,
        "occurredAt": "2026-11-24T10:00:00.000Z",
        "context": { "appVersion": "1.4.0", "platform": "ios", "screen": "feed", "sessionId": "run-1" },
        "properties": { "source": "feed" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_of_people_who_agreed_and_name_nobody() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let token = world.token(BUYER, &[]);
    until("the edge reaches its member", || async {
        let me =
            edge.request(Method::GET, "/v1/users/me").bearer_auth(&token).send().await.unwrap();
        (me.status() == 200).then_some(())
    })
    .await;
    let batch = json!({ "events": [event("feed_viewed"), event("bid_confirmed"), event("x")] });
    let told = edge.post(PATH, &token, "events-one", &batch).await;
    assert_eq!(told.status(), 202);
    let told: Value = told.json().await.unwrap();
    assert_eq!(told, json!({ "taken": 0, "quarantined": 0, "dropped": 3 }), "nobody agreed");

    let agree = json!({ "purpose": "analytics", "granted": true, "policyVersion": 1 });
    let agreed = edge
        .request(Method::PUT, "/v1/users/me/consents")
        .bearer_auth(&token)
        .header("Idempotency-Key", "agree-one")
        .json(&agree)
        .send()
        .await
        .unwrap();
    assert_eq!(agreed.status(), 200);
    let told: Value = edge.post(PATH, &token, "events-two", &batch).await.json().await.unwrap();
    assert_eq!(told, json!({ "taken": 1, "quarantined": 2, "dropped": 0 }));
    let again: Value = edge.post(PATH, &token, "events-two", &batch).await.json().await.unwrap();
    assert_eq!(told, again);

    let many = json!({ "events": vec![event("feed_viewed"); 51] });
    let (status, body) = problem(edge.post(PATH, &token, "events-six", &many).await).await;
    assert_eq!((status, &body["code"]), (400, &json!("VALIDATION_FAILED")));
    let guest = edge.request(Method::POST, PATH).json(&batch).send().await.unwrap();
    assert_eq!(guest.status(), 401);
    let metrics = edge.get("/metrics").await.text().await.unwrap();
    for outcome in ["taken", "quarantined", "optedOut"] {
        let row = format!("fairground_node_analytics_events_total{{outcome=\"{outcome}\"}}");
        assert!(metrics.contains(&row), "{row}");
    }
    edge.stop().await;

    let read = |name: &str| {
        let path = dir.path().join("analytics").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let (kept, apart) = (read("events-00000001.ndjson"), read("quarantine-00000001.ndjson"));
    assert_eq!((kept.lines().count(), apart.lines().count()), (1, 2), "a retry counts once");
    let line: Value = serde_json::from_str(kept.trim()).unwrap();
    assert_eq!(
        (&line["name"], &line["properties"]["source"]),
        (&json!("feed_viewed"), &json!("feed"))
    );
    for secret in [BUYER.to_string().as_str(), "run-1"] {
        assert!(!kept.contains(secret) && !apart.contains(secret), "{kept}{apart}");
    }
    serving.stop().await;
}
