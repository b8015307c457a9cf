//! Events on their way out: signed, delivered side by side, repeated with growing gaps.
//!
//! Knows bytes and an address, not what an event means. Bounded in queue, in deliveries under way
//! and in attempts. Read next: `docs/src/operate/payments.md` for what the receiver does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fairground_types::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::{Event, push_bounded};
use crate::serve::{Stop, stopped};

const QUEUE_MAX: usize = 4_096;
const UNDER_WAY_MAX: usize = 64;
const ATTEMPTS_MAX: u32 = 20;
const GAP_MAX: Duration = Duration::from_secs(60);
const RECORDS_MAX: usize = 2_000;
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRecord {
    /// The event.
    pub event: String,
    /// Its type.
    pub kind: &'static str,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// When.
    pub at: Timestamp,
}

struct Delivery {
    event: String,
    kind: &'static str,
    body: Bytes,
    done: oneshot::Sender<()>,
}

#[derive(Clone, Default)]
struct Target {
    url: Option<String>,
    held: bool,
}

/// The way out.
pub(crate) struct Webhooks {
    secret: String,
    first_gap: Duration,
    http: reqwest::Client,
    target: watch::Sender<Target>,
    queue: mpsc::Sender<Delivery>,
    records: Mutex<VecDeque<DeliveryRecord>>,
}

/// The deliveries that wait, for [`Webhooks::run`].
pub(crate) struct Queued(mpsc::Receiver<Delivery>);

impl Webhooks {
    pub(crate) fn new(
        url: Option<String>,
        secret: String,
        first_gap: Duration,
    ) -> Result<(Arc<Self>, Queued), reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_WAIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("Stripe/1.0 (stand-in)")
            .build()?;
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let webhooks = Self {
            secret,
            first_gap,
            http,
            target: watch::Sender::new(Target { url, held: false }),
            queue,
            records: Mutex::new(VecDeque::new()),
        };
        Ok((Arc::new(webhooks), Queued(waiting)))
    }

    pub(crate) fn set_url(&self, url: Option<String>) {
        self.target.send_modify(|target| target.url = url);
    }

    pub(crate) fn hold(&self, held: bool) {
        self.target.send_modify(|target| target.held = held);
    }

    pub(crate) fn records(&self) -> Vec<DeliveryRecord> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().cloned().collect()
    }

    /// Queues a delivery; what comes back resolves once it was taken.
    pub(super) fn queue(&self, event: &Event) -> oneshot::Receiver<()> {
        let (done, taken) = oneshot::channel();
        let body = Bytes::from(event.body.to_string());
        let delivery = Delivery { event: event.id.clone(), kind: event.kind, body, done };
        if self.queue.try_send(delivery).is_err() {
            tracing::warn!(event = %event.id, "delivery queue is full, event not delivered");
        }
        taken
    }

    /// Delivers until told to stop.
    pub(crate) async fn run(self: Arc<Self>, queued: Queued, mut stop: Stop) {
        let Queued(mut waiting) = queued;
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
                delivery = waiting.recv(), if under_way.len() < UNDER_WAY_MAX => {
                    let Some(delivery) = delivery else { break };
                    under_way.spawn(Arc::clone(&self).deliver(delivery));
                }
            }
        }
        under_way.shutdown().await;
    }

    async fn deliver(self: Arc<Self>, delivery: Delivery) {
        for attempt in 1..=ATTEMPTS_MAX {
            let Some(url) = self.address().await else { return };
            let status = self.post(&url, &delivery.body).await;
            let record = DeliveryRecord {
                event: delivery.event.clone(),
                kind: delivery.kind,
                attempt,
                status,
                at: crate::clock::wall(),
            };
            self.note(record);
            if status.is_some_and(|status| (200..300).contains(&status)) {
                // Nobody waits for most deliveries.
                delivery.done.send(()).ok();
                return;
            }
            tracing::debug!(event = %delivery.event, attempt, ?status, "delivery was not taken");
            let gap = self.first_gap.saturating_mul(1 << attempt.saturating_sub(1).min(16));
            tokio::time::sleep(gap.min(GAP_MAX)).await;
        }
        tracing::warn!(event = %delivery.event, "delivery given up");
    }

    fn note(&self, record: DeliveryRecord) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        push_bounded(&mut records, record, RECORDS_MAX);
    }

    /// The receiver's address, once there is one and nothing is held.
    async fn address(&self) -> Option<String> {
        let mut target = self.target.subscribe();
        let ready = target.wait_for(|target| !target.held && target.url.is_some()).await;
        ready.ok().and_then(|target| target.url.clone())
    }

    async fn post(&self, url: &str, body: &Bytes) -> Option<u16> {
        let at = crate::clock::wall().as_unix_seconds();
        let request = self
            .http
            .post(url)
            .header("Content-Type", "application/json; charset=utf-8")
            .header("Stripe-Signature", signature_header(&self.secret, at, body))
            .body(body.clone());
        request.send().await.ok().map(|answer| answer.status().as_u16())
    }
}

/// `t=<seconds>,v1=<hex>`: HMAC-SHA256 with the whole secret over the time, a dot and the body.
fn signature_header(secret: &str, seconds: u64, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let signature: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        let body = br#"{"id":"evt_1","type":"ping","created":1790000000,"livemode":false,"data":{"object":{"id":"obj_1"}}}"#;
        assert_eq!(
            signature_header("whsec_one", 1_790_000_000, body),
            "t=1790000000,v1=3255af5cd0152aab7aaae1c1af293efbade03c642d2bab848c0bf90f2383a020"
        );
    }
}
