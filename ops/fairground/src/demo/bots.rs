//! Bidders that never sleep: they read the price at their edge and go over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::client::Client;
use super::market::{self, Opened};

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
    taken: AtomicU64,
    in_flight: AtomicU64,
    stop: AtomicBool,
}

impl Ledger {
    /// How many bids an edge gave a receipt for.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many bids are sent and not answered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
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

/// Starts one task per bidder; bidder `n` bids at edge `n` modulo the edges. The first one is who
/// opened the auction.
pub(crate) fn start(
    bidders: &[Client],
    edges: &[String],
    opened: &Opened,
    manner: &Manner,
) -> (Arc<Ledger>, JoinSet<()>) {
    let ledger = Arc::new(Ledger::default());
    let mut tasks = JoinSet::new();
    for (number, bidder) in bidders.iter().enumerate() {
        let edge = number % edges.len().max(1);
        let client = bidder.at(edges.get(edge).map_or_else(|| bidder.base(), String::as_str));
        let own = (number == 0).then(|| opened.bid.clone());
        let auction = opened.auction.clone();
        let bot = Bot { number, edge, client, auction, own, manner: manner.clone() };
        tasks.spawn(bot.run(Arc::clone(&ledger)));
    }
    (ledger, tasks)
}

struct Bot {
    number: usize,
    edge: usize,
    client: Client,
    auction: String,
    /// Its newest bid: a bot that leads waits.
    own: Option<String>,
    manner: Manner,
}

impl Bot {
    async fn run(mut self, ledger: Arc<Ledger>) {
        while !ledger.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(self.manner.pause).await;
            let Ok(auction) = self.client.get(&format!("/v1/auctions/{}", self.auction)).await
            else {
                continue;
            };
            if auction["status"] != "open" {
                return;
            }
            if self.own.is_some() && auction["highest"]["bidId"].as_str() == self.own.as_deref() {
                continue;
            }
            let Some(least) = auction["minNextBid"]["amountMinor"].as_u64() else { continue };
            if least > self.manner.budget_minor {
                return;
            }
            // Bots that read the same price would all but one be refused if all bid the minimum.
            let above = u64::try_from(self.number % 4).unwrap_or(0) * 500;
            self.bid(least.saturating_add(above), &ledger).await;
        }
    }

    async fn bid(&mut self, minor: u64, ledger: &Ledger) {
        let key = uuid::Uuid::new_v4().to_string();
        let sent = Instant::now();
        ledger.in_flight.fetch_add(1, Ordering::Relaxed);
        let body = self.bid_until_answered(minor, &key).await;
        ledger.in_flight.fetch_sub(1, Ordering::Relaxed);
        let answered = Instant::now();
        let bid = body["bidId"].as_str().map(str::to_owned);
        if bid.is_some() {
            self.own.clone_from(&bid);
        }
        let has_receipt = body["receipt"].is_string();
        ledger.taken.fetch_add(u64::from(has_receipt), Ordering::Relaxed);
        ledger.bids.lock().await.push(SentBid {
            edge: self.edge,
            bidder: self.number,
            bid,
            has_receipt,
            log_index: body["logIndex"].as_u64(),
            took: answered.duration_since(sent),
            sent,
            answered,
        });
    }

    /// A lost answer leaves unknown whether the edge kept the bid: the same key is sent again until
    /// somebody knows. An edge that declines the first try has kept nothing.
    async fn bid_until_answered(&self, minor: u64, key: &str) -> Value {
        let deadline = Instant::now() + LOST_ANSWER_PATIENCE;
        let mut is_unknown = false;
        loop {
            match market::bid(&self.client, &self.auction, minor, key, self.manner.wait).await {
                Ok(answer) if !is_unknown || answer.status != StatusCode::SERVICE_UNAVAILABLE => {
                    return answer.body;
                }
                Ok(_) => {}
                Err(_) => is_unknown = true,
            }
            if Instant::now() > deadline {
                return Value::Null;
            }
            tokio::time::sleep(LOST_ANSWER_PAUSE).await;
        }
    }
}

/// How long a bot asks after a lost answer.
const LOST_ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Between two of those tries.
const LOST_ANSWER_PAUSE: Duration = Duration::from_millis(100);
