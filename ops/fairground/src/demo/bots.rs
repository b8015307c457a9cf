//! Bidders that never sleep: they read the price at their edge and go over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::client::Client;
use super::market;

/// One bid as its bidder saw it.
#[derive(Clone, Debug)]
pub(crate) struct SentBid {
    /// Which edge took it.
    pub(crate) edge: usize,
    /// Its bidder, by number.
    pub(crate) bidder: usize,
    /// Its id; absent when no edge took it.
    pub(crate) bid: Option<String>,
    /// Whether the answer held a receipt.
    pub(crate) has_receipt: bool,
    /// Log index of the verdict, when the answer was one.
    pub(crate) log_index: Option<u64>,
    /// From sending to the answer.
    pub(crate) took: Duration,
    /// When it was sent and answered.
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
}

/// What the bidders share.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    bids: Mutex<Vec<SentBid>>,
    sent: AtomicU64,
    stop: AtomicBool,
}

impl Ledger {
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn bids(&self) -> Vec<SentBid> {
        self.bids.lock().await.clone()
    }
}

/// How the bots bid.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Pause between two bids of one bot.
    pub(crate) pause: Duration,
    /// A bot that meets a higher minimum stops.
    pub(crate) budget_minor: u64,
    /// `Prefer: wait` in seconds.
    pub(crate) wait: u64,
}

/// Starts one task per bidder; bidder `n` bids at edge `n` modulo the edges.
pub(crate) fn start(
    bidders: &[Client],
    edges: &[String],
    auction: &str,
    manner: &Manner,
) -> (Arc<Ledger>, JoinSet<()>) {
    let ledger = Arc::new(Ledger::default());
    let mut tasks = JoinSet::new();
    for (number, bidder) in bidders.iter().enumerate() {
        let edge = number % edges.len().max(1);
        let client = bidder.at(edges.get(edge).map_or(bidder.base(), String::as_str));
        let bot = Bot { number, edge, client, auction: auction.to_owned(), manner: manner.clone() };
        tasks.spawn(bot.run(Arc::clone(&ledger)));
    }
    (ledger, tasks)
}

struct Bot {
    number: usize,
    edge: usize,
    client: Client,
    auction: String,
    manner: Manner,
}

impl Bot {
    async fn run(self, ledger: Arc<Ledger>) {
        while !ledger.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(self.manner.pause).await;
            let Ok(auction) = self.client.get(&format!("/v1/auctions/{}", self.auction)).await
            else {
                continue;
            };
            if auction["status"] != "open" {
                return;
            }
            let Some(least) = auction["minNextBid"]["amountMinor"].as_u64() else { continue };
            if least > self.manner.budget_minor {
                return;
            }
            self.bid(least, &ledger).await;
        }
    }

    async fn bid(&self, minor: u64, ledger: &Ledger) {
        let key = uuid::Uuid::new_v4().to_string();
        ledger.sent.fetch_add(1, Ordering::Relaxed);
        let sent = Instant::now();
        let answer = market::bid(&self.client, &self.auction, minor, &key, self.manner.wait).await;
        let answered = Instant::now();
        let body = answer.map_or(Value::Null, |answer| answer.body);
        ledger.bids.lock().await.push(SentBid {
            edge: self.edge,
            bidder: self.number,
            bid: body["bidId"].as_str().map(str::to_owned),
            has_receipt: body["receipt"].is_string(),
            log_index: body["logIndex"].as_u64(),
            took: answered.duration_since(sent),
            sent,
            answered,
        });
    }
}
