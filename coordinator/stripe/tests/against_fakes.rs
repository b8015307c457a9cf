//! The client against the stand-in: keys, retries, lost answers, refusals, webhooks, the contract.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up must fail")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use fairground_fakes::{CallRecord, Fakes, FakesHandle, FakesOptions, Faults};
use fairground_stripe::{
    CheckoutStatus, EventObject, OpenCheckout, PaymentStatus, Stripe, StripeError, StripeOptions,
    WebhookError, webhook,
};
use fairground_types::{ClusterId, Currency, Millis, Money, SaleLockId, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(10);
const SECRET: &str = "whsec_of_the_test";
const KEY: &str = "v1:clu_1:open:lck_7:1";

#[expect(clippy::disallowed_methods, reason = "a test may not depend on the runtime's clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.expect("it is after 1970").as_millis();
    Timestamp::from_unix_millis(u64::try_from(millis).expect("it fits"))
}

#[expect(clippy::print_stdout, reason = "a check that is skipped says so")]
fn contract() -> Option<PathBuf> {
    let folder = std::env::var_os("FAIRGROUND_TEST_SPECS");
    if folder.is_none() {
        println!("skipped the contract: FAIRGROUND_TEST_SPECS names no folder");
    }
    Some(PathBuf::from(folder?).join("stripe-openapi-subset.json"))
}

async fn start() -> FakesHandle {
    let options = FakesOptions {
        webhook_secret: SECRET.to_owned(),
        webhook_first_gap: Duration::from_millis(5),
        stripe_contract: contract(),
        ..FakesOptions::default()
    };
    Fakes::start(options).await.expect("the fakes start")
}

fn options(fakes: &FakesHandle) -> StripeOptions {
    StripeOptions {
        base_url: fakes.stripe_url.clone(),
        retry_seed: 7,
        ..StripeOptions::new(FakesOptions::default().stripe_key)
    }
}

fn client(fakes: &FakesHandle) -> Stripe {
    Stripe::new(options(fakes)).expect("the options are good")
}

fn kite() -> OpenCheckout {
    let requested_at = now();
    OpenCheckout {
        amount: Money::new(12_500, Currency::Eur),
        title: "A blue kite & its line, 100 %".to_owned(),
        sale_lock: SaleLockId::from_bits(7),
        cluster: ClusterId::from_bits(1),
        order: None,
        success_url: "http://127.0.0.2:8080/paid?lock=7&s={CHECKOUT_SESSION_ID}".to_owned(),
        cancel_url: "http://127.0.0.2:8080/back".to_owned(),
        requested_at,
        expires_at: requested_at.plus(Millis::from_mins(5)),
    }
}

fn statuses(calls: &[CallRecord]) -> Vec<(u16, bool)> {
    calls.iter().map(|call| (call.status, call.replayed)).collect()
}

async fn pay(fakes: &FakesHandle, session: &str) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let form = [("action", "pay"), ("card", "4242424242424242")];
    let paid = client.post(format!("{}/pay/{session}", fakes.stripe_url)).form(&form).send().await;
    assert_eq!(paid.expect("an answer").status(), 303);
}

#[tokio::test]
async fn a_repeat_with_its_key_gives_the_same_session() {
    let fakes = start().await;
    let (one, two) = (client(&fakes), client(&fakes));
    let request = kite();
    let first = one.open_checkout(&request, KEY).await.expect("it opens");
    let second = two.open_checkout(&request, KEY).await.expect("it opens");
    assert_eq!(first, second);
    assert_eq!(statuses(&fakes.calls()), [(200, false), (200, true)]);
    assert!(first.session_id.starts_with("cs_test_"));
    assert_eq!(first.url, format!("{}/pay/{}", fakes.stripe_url, first.session_id));
    let life = first.expires_at.since(request.requested_at);
    assert!(life >= Millis::from_mins(34) && life <= Millis::from_mins(35), "{life}");
    let fields = &fakes.calls()[0].fields;
    assert_eq!(fields["client_reference_id"], SaleLockId::from_bits(7).to_string());
    assert_eq!(fields["payment_intent_data[metadata][cluster]"], fields["metadata[cluster]"]);
    let title = "line_items[0][price_data][product_data][name]";
    assert_eq!(fields[title], request.title);
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn one_key_for_two_requests_is_refused() {
    let fakes = start().await;
    let stripe = client(&fakes);
    stripe.open_checkout(&kite(), KEY).await.expect("it opens");
    let other = OpenCheckout { amount: Money::new(12_600, Currency::Eur), ..kite() };
    let refused = stripe.open_checkout(&other, KEY).await;
    assert!(matches!(refused, Err(StripeError::Refused { ref kind, status: 400, .. })
        if kind == "idempotency_error"));
    assert_eq!(fakes.calls().len(), 2, "a refusal is not repeated");
}

#[tokio::test]
async fn failures_are_repeated_with_the_same_key_and_fields() {
    let fakes = start().await;
    fakes.set_faults(Faults { answer_status: 500, answer_status_times: 2, ..Faults::default() });
    let opened = client(&fakes).open_checkout(&kite(), KEY).await;
    assert!(opened.is_ok(), "{opened:?}");
    let calls = fakes.calls();
    assert_eq!(statuses(&calls), [(500, false), (500, false), (200, false)]);
    assert!(calls.iter().all(|call| call.idempotency_key.as_deref() == Some(KEY)));
    assert!(calls.iter().all(|call| call.fields == calls[0].fields));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_opens_nothing_new() {
    let fakes = start().await;
    fakes.set_faults(Faults { drop_answers: 2, ..Faults::default() });
    let stripe = client(&fakes);
    let opened = stripe.open_checkout(&kite(), KEY).await.expect("it opens");
    assert_eq!(statuses(&fakes.calls()), [(200, false), (200, true), (200, true)]);
    let seen = stripe.checkout(&opened.session_id).await.expect("it is there");
    assert_eq!(seen.status, CheckoutStatus::Open);
    assert_eq!(seen.sale_lock(), Some(SaleLockId::from_bits(7)));
}

#[tokio::test]
async fn what_stays_unanswered_is_unknown_and_is_learnt_later() {
    let fakes = start().await;
    fakes.set_faults(Faults { drop_answers: 4, ..Faults::default() });
    let stripe = client(&fakes);
    let request = kite();
    let unknown = stripe.open_checkout(&request, KEY).await;
    assert!(matches!(unknown, Err(StripeError::Unknown { .. })), "{unknown:?}");
    assert!(unknown.is_err_and(|error| error.is_repeatable()));
    assert_eq!(fakes.calls().len(), 4);
    stripe.open_checkout(&request, KEY).await.expect("it opens");
    assert_eq!(statuses(&fakes.calls())[4], (200, true), "it had been opened all along");
}

#[tokio::test]
async fn a_slow_call_times_out_and_its_repeat_is_no_second_one() {
    let fakes = start().await;
    fakes.set_faults(Faults { delay_ms: 600, ..Faults::default() });
    let hurried = StripeOptions { call_timeout: Duration::from_millis(100), ..options(&fakes) };
    let request = kite();
    let hurried = Stripe::new(hurried).expect("the options are good");
    let unknown = hurried.open_checkout(&request, KEY).await;
    assert!(matches!(unknown, Err(StripeError::Unknown { .. })), "{unknown:?}");
    fakes.set_faults(Faults::default());
    client(&fakes).open_checkout(&request, KEY).await.expect("it opens");
    let fresh = fakes.calls().iter().filter(|call| call.status == 200 && !call.replayed).count();
    assert_eq!(fresh, 1);
}

#[tokio::test]
async fn a_long_wait_is_handed_to_the_caller() {
    let fakes = start().await;
    fakes.set_faults(Faults {
        answer_status: 429,
        answer_status_times: 9,
        retry_after_seconds: 120,
        ..Faults::default()
    });
    let started = Instant::now();
    let refused = client(&fakes).open_checkout(&kite(), KEY).await;
    assert!(matches!(refused, Err(StripeError::Unavailable { retry_after, status: Some(429), .. })
        if retry_after == Millis::from_secs(120)));
    assert!(refused.is_err_and(|error| error.request_id().is_some()));
    assert_eq!(fakes.calls().len(), 1);
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_a_wrong_key_is_a_setting() {
    let fakes = start().await;
    let wrong = StripeOptions { secret_key: "sk_test_wrong".to_owned(), ..options(&fakes) };
    let wrong = Stripe::new(wrong).expect("the options are good");
    let refused = wrong.open_checkout(&kite(), KEY).await;
    assert!(matches!(refused, Err(StripeError::Misconfigured { .. })), "{refused:?}");
    assert_eq!(fakes.calls().len(), 1);
    let stripe = client(&fakes);
    fakes.shutdown().await;
    let absent = stripe.open_checkout(&kite(), KEY).await;
    assert!(matches!(absent, Err(StripeError::Unavailable { status: None, .. })), "{absent:?}");
    let absent = stripe.checkout("cs_test_1").await;
    assert!(matches!(absent, Err(StripeError::Unavailable { .. })), "{absent:?}");
}

#[tokio::test]
async fn bad_keys_and_amounts_do_not_leave_the_house() {
    let fakes = start().await;
    let stripe = client(&fakes);
    for key in [String::new(), "k".repeat(256), "line\nbreak".to_owned()] {
        let refused = stripe.open_checkout(&kite(), &key).await;
        assert!(matches!(refused, Err(StripeError::Refused { status: 0, .. })), "{refused:?}");
    }
    assert!(fakes.calls().is_empty());
    let cents = OpenCheckout { amount: Money::new(3, Currency::Eur), ..kite() };
    let refused = stripe.open_checkout(&cents, KEY).await;
    assert!(matches!(refused, Err(StripeError::Refused { ref code, status: 400, .. })
        if code == "amount_too_small"));
}

#[tokio::test]
async fn every_currency_of_ours_can_be_opened() {
    let fakes = start().await;
    let stripe = client(&fakes);
    for code in ["EUR", "USD", "GBP", "CHF", "JPY", "KWD"] {
        let amount = Money::new(5_000, Currency::parse(code).expect("one of ours"));
        let request = OpenCheckout { amount, ..kite() };
        let opened = stripe.open_checkout(&request, code).await.expect("it opens");
        let seen = stripe.checkout(&opened.session_id).await.expect("it is there");
        assert_eq!(seen.total(), Some(amount));
    }
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_open_session_is_ended_once() {
    let fakes = start().await;
    let stripe = client(&fakes);
    let opened = stripe.open_checkout(&kite(), KEY).await.expect("it opens");
    let ended = stripe.expire_checkout(&opened.session_id, "expire-1").await.expect("it ends");
    assert_eq!(ended.status, CheckoutStatus::Expired);
    let again = stripe.expire_checkout(&opened.session_id, "expire-1").await.expect("a replay");
    assert_eq!(again.status, CheckoutStatus::Expired);
    let refused = stripe.expire_checkout(&opened.session_id, "expire-2").await;
    assert!(matches!(refused, Err(StripeError::Refused { status: 400, .. })), "{refused:?}");
    let missing = stripe.checkout("cs_test_none").await;
    assert!(matches!(missing, Err(StripeError::Refused { ref code, status: 404, .. })
        if code == "resource_missing"));
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

type Deliveries = watch::Sender<Vec<(String, Bytes)>>;

async fn receive(State(all): State<Deliveries>, headers: HeaderMap, raw: Bytes) {
    let header = headers.get("Stripe-Signature").and_then(|value| value.to_str().ok());
    let header = header.unwrap_or_default().to_owned();
    all.send_modify(|all| all.push((header, raw)));
}

#[tokio::test]
async fn a_paid_sessions_webhooks_are_verified_and_read() {
    let fakes = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    fakes.set_webhook_url(format!("http://{}/", listener.local_addr().expect("it is bound")));
    let all = Deliveries::new(Vec::new());
    let router = Router::new().route("/", post(receive)).with_state(all.clone());
    let mut receiver = JoinSet::new();
    receiver.spawn(async move { axum::serve(listener, router).await.expect("it serves") });

    let stripe = client(&fakes);
    let opened = stripe.open_checkout(&kite(), KEY).await.expect("it opens");
    pay(&fakes, &opened.session_id).await;
    let mut received = all.subscribe();
    let both = received.wait_for(|all| all.len() == 2);
    let both = tokio::time::timeout(PATIENCE, both).await.expect("in time").expect("alive").clone();

    let secrets = [b"whsec_the_next_one".to_vec(), SECRET.as_bytes().to_vec()];
    for (header, raw) in &both {
        let event = webhook::verify(raw, header, &secrets, now()).expect("it is genuine");
        assert_eq!(event.sale_lock(), Some(SaleLockId::from_bits(7)));
        assert_eq!(event.cluster(), Some(ClusterId::from_bits(1)));
        assert_eq!(event.total(), Some(Money::new(12_500, Currency::Eur)));
        assert!(!event.livemode);
        match event.object {
            EventObject::Checkout(session) => {
                assert_eq!(event.kind, "checkout.session.completed");
                assert_eq!(session.session_id, opened.session_id);
                assert_eq!(session.payment_status, PaymentStatus::Paid);
                let seen = stripe.checkout(&opened.session_id).await.expect("it is there");
                assert_eq!(seen, session, "event and look agree");
            }
            EventObject::PaymentIntent(intent) => {
                assert_eq!(event.kind, "payment_intent.succeeded");
                assert_eq!(intent.status, "succeeded");
            }
            other => panic!("{other:?} does not follow a checkout"),
        }
        let mut changed = raw.to_vec();
        changed.push(b' ');
        let refused = webhook::verify(&changed, header, &secrets, now());
        assert!(matches!(refused, Err(WebhookError::NoMatch)));
        let refused = webhook::verify(raw, header, &secrets[..1], now());
        assert!(matches!(refused, Err(WebhookError::NoMatch)));
        let later = now().plus(Millis::from_mins(6));
        let refused = webhook::verify(raw, header, &secrets, later);
        assert!(matches!(refused, Err(WebhookError::TooOld { .. })));
    }
}

#[tokio::test]
async fn each_field_that_is_sent_is_known_to_stripes_description() {
    let Some(path) = contract() else { return };
    let description = fairground_fakes::Contract::load(&path).expect("it can be read");
    let fakes = start().await;
    let stripe = client(&fakes);
    stripe.open_checkout(&kite(), KEY).await.expect("it opens");
    for call in fakes.calls() {
        let form: Vec<String> = call
            .fields
            .iter()
            .map(|(name, value)| {
                format!("{name}={}", value.replace('%', "%25").replace('&', "%26"))
            })
            .collect();
        let form = form.join("&");
        let found = description.request_violations(&call.method, &call.path, form.as_bytes());
        assert_eq!(found, Vec::<String>::new());
        let misspelt = form.replace("product_data", "products");
        let found = description.request_violations(&call.method, &call.path, misspelt.as_bytes());
        assert_eq!(found.len(), 1, "the check sees a misspelt field");
    }
}
