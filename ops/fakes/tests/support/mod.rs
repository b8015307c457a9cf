//! What the tests of the stand-ins share: a receiver of webhooks, a caller of the API, a deadline.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up must fail")]
#![expect(unreachable_pub, reason = "a module of a test crate has no one to export to")]

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use fairground_fakes::{Fakes, FakesHandle, FakesOptions};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The key of the stand-ins' defaults.
pub const KEY: &str = "sk_test_fairground_fakes";
/// A form that opens a session of 125.00 EUR.
pub const KITE: &str = "mode=payment&success_url=http://127.0.0.1:9/paid?s={CHECKOUT_SESSION_ID}\
    &cancel_url=http://127.0.0.1:9/back&client_reference_id=lck_1\
    &line_items[0][quantity]=1&line_items[0][price_data][currency]=eur\
    &line_items[0][price_data][unit_amount]=12500\
    &line_items[0][price_data][product_data][name]=A %3Cblue%3E kite\
    &metadata[sale_lock]=lck_1&payment_intent_data[metadata][sale_lock]=lck_1\
    &payment_intent_data[transfer_group]=lck_1&adaptive_pricing[enabled]=false";

/// A delivery as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub signature: String,
    pub raw: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.raw).expect("a delivery is JSON")
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().expect("an event has a type").to_owned()
    }
}

/// A receiver of webhooks on a port of its own.
pub struct Receiver {
    pub url: String,
    status: Arc<AtomicU16>,
    received: watch::Sender<Vec<Received>>,
    _task: JoinSet<()>,
}

type Shared = (Arc<AtomicU16>, watch::Sender<Vec<Received>>);

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
        let status = Arc::new(AtomicU16::new(200));
        let received = watch::Sender::new(Vec::new());
        let shared: Shared = (Arc::clone(&status), received.clone());
        let router = Router::new().route("/hook", post(receive)).with_state(shared);
        let mut task = JoinSet::new();
        task.spawn(async move {
            axum::serve(listener, router).await.expect("serving loopback does not fail");
        });
        Self { url, status, received, _task: task }
    }

    /// What it answers from now on.
    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub fn so_far(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// The deliveries, once there are so many.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.received.subscribe();
        let enough = received.wait_for(|all| all.len() >= count);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .expect("the deliveries come in time")
            .expect("the receiver is alive")
            .clone()
    }
}

async fn receive(
    State((status, received)): State<Shared>,
    headers: HeaderMap,
    raw: Bytes,
) -> StatusCode {
    let signature = headers.get("Stripe-Signature").and_then(|value| value.to_str().ok());
    let signature = signature.unwrap_or_default().to_owned();
    received.send_modify(|all| all.push(Received { signature, raw }));
    StatusCode::from_u16(status.load(Ordering::SeqCst)).expect("a status")
}

/// A caller of the stand-in's API.
pub struct Caller {
    pub http: reqwest::Client,
    pub base: String,
}

/// Status, whether it was replayed, and the body.
pub type Answer = (u16, bool, Value);

impl Caller {
    pub fn of(fakes: &FakesHandle) -> Self {
        Self { http: client(), base: fakes.stripe_url.clone() }
    }

    pub async fn open(&self, key: &str) -> Value {
        let (status, _, session) = self.post("/v1/checkout/sessions", KITE, key).await;
        assert_eq!(status, 200, "{session}");
        session
    }

    pub async fn post(&self, path: &str, form: &str, key: &str) -> Answer {
        self.try_post(path, form, key).await.expect("an answer")
    }

    pub async fn try_post(
        &self,
        path: &str,
        form: &str,
        key: &str,
    ) -> Result<Answer, reqwest::Error> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(KEY)
            .header("Idempotency-Key", key)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        answer_of(request.send().await?).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(KEY);
        answer_of(request.send().await.expect("an answer")).await.expect("a body")
    }

    /// Submits the hosted page.
    pub async fn submit(&self, session: &str, form: &str) -> reqwest::Response {
        let request = self
            .http
            .post(format!("{}/pay/{session}", self.base))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        request.send().await.expect("an answer")
    }
}

async fn answer_of(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("Idempotent-Replayed");
    Ok((status, replayed, response.json().await?))
}

/// A client that follows no redirect and knows no proxy.
pub fn client() -> reqwest::Client {
    let redirects = reqwest::redirect::Policy::none();
    reqwest::Client::builder().no_proxy().redirect(redirects).build().expect("a client")
}

/// Stand-ins that deliver to `receiver`, check the contract where there is one, and repeat fast.
pub async fn start(receiver: &Receiver) -> FakesHandle {
    let options = FakesOptions {
        webhook_url: Some(receiver.url.clone()),
        webhook_first_gap: Duration::from_millis(5),
        stripe_contract: contract(),
        ..FakesOptions::default()
    };
    Fakes::start(options).await.expect("the fakes start")
}

/// Stripe's description, when the operator has one.
pub fn contract() -> Option<PathBuf> {
    let folder = std::env::var_os("FAIRGROUND_TEST_SPECS")?;
    Some(PathBuf::from(folder).join("stripe-openapi-subset.json"))
}

/// Waits until `claim` holds; it is asked again each time `tick` resolves.
pub async fn eventually<T, F: Future<Output = ()>>(
    mut claim: impl FnMut() -> Option<T>,
    mut tick: impl FnMut() -> F,
) -> T {
    let waiting = async {
        loop {
            if let Some(found) = claim() {
                return found;
            }
            tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the claim holds in time")
}
