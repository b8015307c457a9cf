//! The stand-in for Stripe, by its own wire: sessions, the hosted page, webhooks, keys, faults.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up must fail")]

mod support;

use std::time::Duration;

use fairground_fakes::{Fakes, FakesError, FakesOptions, Faults};
use fairground_types::Millis;
use serde_json::json;
use support::{Caller, KITE, Receiver, client, contract, start};

const CARD: &str = "action=pay&card=4242+4242+4242+4242";
const DECLINED_CARD: &str = "action=pay&card=4000000000000002";

fn id(object: &serde_json::Value) -> String {
    object["id"].as_str().expect("an object has an id").to_owned()
}

#[tokio::test]
async fn a_session_is_declined_then_paid_and_each_webhook_comes_twice() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    fakes.set_faults(Faults { deliver_twice: true, ..Faults::default() });
    let caller = Caller::of(&fakes);
    let session = caller.open("key-1").await;
    let session_id = id(&session);
    assert_eq!(session["status"], "open");
    assert_eq!(session["url"], format!("{}/pay/{session_id}", fakes.stripe_url));
    assert_eq!(session["payment_intent"], json!(null));

    let page = caller.http.get(session["url"].as_str().expect("a url")).send().await;
    let page = page.expect("a page").text().await.expect("text");
    for part in ["EUR 125.00", "A &lt;blue&gt; kite", "4242 4242 4242 4242", ">Pay<", ">Cancel<"] {
        assert!(page.contains(part), "{part} is not on the page");
    }

    let declined = caller.submit(&session_id, DECLINED_CARD).await;
    assert_eq!(declined.status(), 402);
    assert!(declined.text().await.expect("text").contains("role=\"alert\""));
    let (_, _, seen) = caller.get(&format!("/v1/checkout/sessions/{session_id}")).await;
    assert_eq!((&seen["status"], &seen["payment_status"]), (&json!("open"), &json!("unpaid")));
    let payment = seen["payment_intent"].as_str().expect("an attempt made one").to_owned();

    let paid = caller.submit(&session_id, CARD).await;
    assert_eq!(paid.status(), 303);
    let wanted = format!("http://127.0.0.1:9/paid?s={session_id}");
    assert_eq!(paid.headers()["location"], wanted.as_str());

    let received = receiver.wait_for(6).await;
    let mut kinds: Vec<String> = received.iter().map(support::Received::kind).collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "checkout.session.completed",
            "checkout.session.completed",
            "payment_intent.payment_failed",
            "payment_intent.payment_failed",
            "payment_intent.succeeded",
            "payment_intent.succeeded"
        ]
    );
    let completed: Vec<_> =
        received.iter().filter(|one| one.kind() == "checkout.session.completed").collect();
    assert_eq!(completed[0].raw, completed[1].raw, "a repeat is the same event");
    let object = &completed[0].json()["data"]["object"];
    assert_eq!(object["payment_status"], "paid");
    assert_eq!(object["client_reference_id"], "lck_1");
    assert_eq!(object["metadata"]["sale_lock"], "lck_1");
    assert_eq!(object["url"], json!(null));

    let (status, _, intent) = caller.get(&format!("/v1/payment_intents/{payment}")).await;
    assert_eq!((status, &intent["status"]), (200, &json!("succeeded")));
    assert_eq!(intent["metadata"]["sale_lock"], "lck_1");
    assert_eq!(caller.submit(&session_id, CARD).await.status(), 409, "it is paid once");
    assert_eq!(fakes.violations(), Vec::<String>::new());
    fakes.shutdown().await;
}

#[tokio::test]
async fn early_mode_tells_of_the_payment_before_the_call_is_answered() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    fakes.set_faults(Faults { early: true, ..Faults::default() });
    let caller = Caller::of(&fakes);
    let session = caller.open("key-1").await;
    let told = receiver.so_far();
    assert_eq!(told.len(), 2, "both webhooks were taken before the answer");
    assert!(told.iter().any(|one| one.json()["data"]["object"]["id"] == session["id"]));
    assert_eq!(session["status"], "open", "the answer is of the time before");
    let (_, replayed, again) = caller.post("/v1/checkout/sessions", KITE, "key-1").await;
    assert!(replayed);
    assert_eq!(again, session);
    assert_eq!(receiver.so_far().len(), 2, "a replay pays nothing");
}

#[tokio::test]
async fn a_key_replays_its_answer_and_refuses_other_parameters() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let caller = Caller::of(&fakes);
    let first = caller.open("key-1").await;
    let mut pairs: Vec<&str> = KITE.split('&').collect();
    pairs.reverse();
    let reordered = pairs.join("&");
    let (status, replayed, second) =
        caller.post("/v1/checkout/sessions", &reordered, "key-1").await;
    assert_eq!((status, replayed), (200, true), "the order of fields does not matter");
    assert_eq!(first, second);

    let other = KITE.replace("12500", "12501");
    let (status, _, error) = caller.post("/v1/checkout/sessions", &other, "key-1").await;
    assert_eq!((status, &error["error"]["type"]), (400, &json!("idempotency_error")));
    assert_ne!(id(&caller.open("key-2").await), id(&first));

    let bad = format!("{KITE}&colour=red");
    let (status, _, error) = caller.post("/v1/checkout/sessions", &bad, "key-3").await;
    assert_eq!(status, 400);
    assert_eq!(error["error"]["code"], "parameter_unknown");
    assert_eq!(error["error"]["param"], "colour");
    let (status, replayed, _) = caller.post("/v1/checkout/sessions", KITE, "key-3").await;
    assert_eq!((status, replayed), (200, false), "a refusal does not use a key up");
}

#[tokio::test]
async fn a_call_that_still_runs_answers_409_to_its_repeat() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    fakes.set_faults(Faults { delay_ms: 60_000, ..Faults::default() });
    let caller = Caller::of(&fakes);
    let slow = caller
        .http
        .post(format!("{}/v1/checkout/sessions", caller.base))
        .bearer_auth(support::KEY)
        .header("Idempotency-Key", "key-1")
        .timeout(Duration::from_millis(50))
        .body(KITE);
    assert!(slow.send().await.is_err_and(|error| error.is_timeout()));
    fakes.set_faults(Faults::default());
    let (status, _, error) = caller.post("/v1/checkout/sessions", KITE, "key-1").await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("idempotency_key_in_use")));
}

#[tokio::test]
async fn ordered_failures_and_dropped_answers_happen_as_often_as_ordered() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let caller = Caller::of(&fakes);
    fakes.set_faults(Faults {
        answer_status: 429,
        answer_status_times: 1,
        drop_answers: 1,
        ..Faults::default()
    });
    let (status, _, error) = caller.post("/v1/checkout/sessions", KITE, "key-1").await;
    assert_eq!((status, &error["error"]["code"]), (429, &json!("rate_limit")));
    assert!(caller.try_post("/v1/checkout/sessions", KITE, "key-1").await.is_err());
    let (status, replayed, _) = caller.post("/v1/checkout/sessions", KITE, "key-1").await;
    assert_eq!((status, replayed), (200, true), "the dropped call was carried out");
    let calls = fakes.calls();
    let seen: Vec<_> =
        calls.iter().map(|call| (call.status, call.dropped, call.replayed)).collect();
    assert_eq!(seen, [(429, false, false), (200, true, false), (200, false, true)]);
    assert!(calls.iter().all(|call| call.idempotency_key.as_deref() == Some("key-1")));
    assert_eq!(calls[1].fields["metadata[sale_lock]"], "lck_1");
}

#[tokio::test]
async fn webhooks_wait_for_an_address_and_are_repeated_until_taken() {
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let options =
        FakesOptions { webhook_first_gap: Duration::from_millis(5), ..FakesOptions::default() };
    let fakes = Fakes::start(options).await.expect("the fakes start");
    let caller = Caller::of(&fakes);
    let session_id = id(&caller.open("key-1").await);
    assert_eq!(caller.submit(&session_id, CARD).await.status(), 303);
    assert!(fakes.deliveries().is_empty());

    fakes.set_webhook_url(&receiver.url);
    let refused = receiver.wait_for(6).await;
    receiver.answer_with(200);
    let taken = support::eventually(
        || {
            let deliveries = fakes.deliveries();
            let taken = deliveries.iter().filter(|one| one.status == Some(200)).count();
            (taken == 2).then_some(deliveries)
        },
        tokio::task::yield_now,
    )
    .await;
    assert!(refused.iter().all(|one| one.signature.starts_with("t=")));
    assert!(taken.iter().any(|one| one.attempt >= 3 && one.status == Some(503)));
}

#[tokio::test]
async fn held_webhooks_wait_and_an_event_can_be_sent_again() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let caller = Caller::of(&fakes);
    let control = |path: &str| format!("{}/_control/{path}", fakes.stripe_url);
    let held = client().put(control("faults")).json(&json!({"holdWebhooks": true})).send().await;
    assert_eq!(held.expect("an answer").status(), 200);
    let session_id = id(&caller.open("key-1").await);
    caller.submit(&session_id, CARD).await;
    assert!(receiver.so_far().is_empty());
    client().delete(control("faults")).send().await.expect("an answer");
    receiver.wait_for(2).await;

    let (_, _, events) = caller.get("/v1/events?types[]=checkout.session.completed").await;
    let event = events["data"][0].clone();
    let resend = control(&format!("events/{}/resend", id(&event)));
    assert_eq!(client().post(resend).send().await.expect("an answer").status(), 202);
    let received = receiver.wait_for(3).await;
    assert_eq!(received[2].json(), event, "listed and delivered alike");

    let unknown = client().put(control("faults")).json(&json!({"colour": 1})).send().await;
    assert_eq!(unknown.expect("an answer").status(), 422);
    let calls: serde_json::Value =
        client().get(control("calls")).send().await.expect("one").json().await.expect("JSON");
    assert_eq!(calls["calls"][0]["idempotencyKey"], "key-1");
    let sessions: serde_json::Value =
        client().get(control("sessions")).send().await.expect("one").json().await.expect("JSON");
    assert_eq!(sessions["sessions"][0]["id"], session_id.as_str());
}

#[tokio::test]
async fn a_session_expires_by_call_and_by_time() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let caller = Caller::of(&fakes);
    let by_call = id(&caller.open("key-1").await);
    let by_time = id(&caller.open("key-2").await);
    let path = format!("/v1/checkout/sessions/{by_call}/expire");
    let (status, _, expired) = caller.post(&path, "", "key-3").await;
    assert_eq!((status, &expired["status"]), (200, &json!("expired")));
    let (status, _, error) = caller.post(&path, "", "key-4").await;
    assert_eq!((status, &error["error"]["type"]), (400, &json!("invalid_request_error")));
    assert_eq!(caller.submit(&by_call, CARD).await.status(), 409);

    fakes.advance_stripe_clock(Millis::from_hours(24));
    let received = receiver.wait_for(2).await;
    assert!(received.iter().all(|one| one.kind() == "checkout.session.expired"));
    let cause = received[0].json()["request"]["idempotency_key"].clone();
    assert_eq!(cause, "key-3");
    assert_eq!(received[1].json()["data"]["object"]["id"], by_time.as_str());
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn cancelling_leads_back_and_leaves_the_session_open() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let caller = Caller::of(&fakes);
    let session_id = id(&caller.open("key-1").await);
    let cancelled = caller.submit(&session_id, "action=cancel&card=").await;
    assert_eq!(cancelled.status(), 303);
    assert_eq!(cancelled.headers()["location"], "http://127.0.0.1:9/back");
    assert_eq!(caller.submit(&session_id, "action=pay&card=1234").await.status(), 400);
    assert_eq!(caller.submit(&session_id, "action=pay&card=%").await.status(), 400);
    assert_eq!(caller.submit("cs_test_none", CARD).await.status(), 404);
    assert_eq!(caller.submit(&session_id, CARD).await.status(), 303);
}

#[tokio::test]
async fn wrong_keys_versions_and_paths_are_refused_as_stripe_does() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let at = |path: &str| format!("{}{path}", fakes.stripe_url);
    let without = client().get(at("/v1/events")).send().await.expect("an answer");
    assert_eq!(without.status(), 401);
    let wrong = client().get(at("/v1/events")).bearer_auth("sk_test_other").send().await;
    assert_eq!(wrong.expect("an answer").status(), 401);
    let old = client().get(at("/v1/events")).bearer_auth(support::KEY);
    let old = old.header("Stripe-Version", "2019-01-01").send().await.expect("an answer");
    assert_eq!(old.status(), 400);
    assert!(old.headers().contains_key("Request-Id"));
    let caller = Caller::of(&fakes);
    assert_eq!(caller.get("/v1/nothing").await.0, 404);
    assert_eq!(caller.get("/v1/checkout/sessions/cs_none").await.0, 404);
    assert_eq!(caller.get("/v1/payment_intents/pi_none").await.0, 404);
    assert_eq!(caller.get("/v1/events?colour=red").await.0, 400);
    let healthy = client().get(at("/healthz")).send().await.expect("an answer");
    assert_eq!(healthy.status(), 200);
}

#[tokio::test]
async fn events_are_listed_newest_first_in_pages() {
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let caller = Caller::of(&fakes);
    for number in 0..3 {
        let session_id = id(&caller.open(&format!("key-{number}")).await);
        caller.submit(&session_id, CARD).await;
    }
    let (_, _, first) = caller.get("/v1/events?limit=4").await;
    assert_eq!(first["data"].as_array().map(Vec::len), Some(4));
    assert_eq!(first["has_more"], true);
    let last = id(&first["data"][3]);
    let (_, _, rest) = caller.get(&format!("/v1/events?limit=4&starting_after={last}")).await;
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["has_more"], false);
    let (_, _, none) = caller.get("/v1/events?created[gt]=99999999999").await;
    assert_eq!(none["data"], json!([]));
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_fakes_stay_on_loopback_and_refuse_live_keys() {
    let beyond = FakesOptions { listen: [0, 0, 0, 0].into(), ..FakesOptions::default() };
    assert!(matches!(Fakes::start(beyond).await, Err(FakesError::NotLoopback(_))));
    let live = FakesOptions { stripe_key: "sk_live_x".to_owned(), ..FakesOptions::default() };
    assert!(matches!(Fakes::start(live).await, Err(FakesError::LiveKey)));
}

#[tokio::test]
async fn answers_and_events_are_as_stripes_description_says() {
    let Some(path) = contract() else {
        println!("skipped: FAIRGROUND_TEST_SPECS names no folder with Stripe's description");
        return;
    };
    let description = fairground_fakes::Contract::load(&path).expect("it can be read");
    let receiver = Receiver::start().await;
    let fakes = start(&receiver).await;
    let caller = Caller::of(&fakes);
    let session_id = id(&caller.open("key-1").await);
    caller.submit(&session_id, DECLINED_CARD).await;
    caller.submit(&session_id, CARD).await;
    let ended = id(&caller.open("key-2").await);
    caller.post(&format!("/v1/checkout/sessions/{ended}/expire"), "", "key-3").await;
    let received = receiver.wait_for(4).await;
    for one in received {
        let event = one.json();
        assert_eq!(description.object_violations("event", &event), Vec::<String>::new());
        let object = &event["data"]["object"];
        let schema = object["object"].as_str().expect("objects say what they are");
        assert_eq!(description.object_violations(schema, object), Vec::<String>::new());
    }
    let expand = format!("/v1/checkout/sessions/{session_id}?expand[]=payment_intent");
    let (status, _, expanded) = caller.get(&expand).await;
    assert_eq!((status, &expanded["payment_intent"]["status"]), (200, &json!("succeeded")));
    assert_eq!(caller.get("/v1/events").await.0, 200);
    assert_eq!(fakes.violations(), Vec::<String>::new());
    let bad = format!("{KITE}&line_items[0][price_data][colour]=red");
    assert_eq!(caller.post("/v1/checkout/sessions", &bad, "key-4").await.0, 400);
    assert_eq!(fakes.violations().len(), 1, "the guard sees what the stand-in refuses");
}
