//! Bidders in a closed or an open loop, and what they saw.
//!
//! Closed: each bidder sends its next bid when the last one is answered; latency counts from sending.
//! Open: bids are planned at a fixed rate and latency counts from the planned instant, whether or not
//! a bidder was free to send then, so that a stall shows in every bid that it delayed (no coordinated
//! omission).

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Histograms that bidders share; one each would be hundreds of megabytes at a thousand bidders.
const SHARDS: usize = 16;
/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 120_000_000;
/// How long bids that are on their way at the end are waited for.
const DRAIN: Duration = Duration::from_secs(15);
/// From making the bidders to the first bid.
const GET_SET: Duration = Duration::from_millis(50);
/// Rest of a bidder whose bid was not decided: a server that declines at once is not to be flooded.
const REST: Duration = Duration::from_millis(10);

/// A bid to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid {
    /// Which auction, from 0.
    pub auction: usize,
    /// How much, in minor units.
    pub amount: u64,
}

/// What became of a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It leads, durably.
    Accepted,
    /// It was decided against: another was higher.
    Refused,
    /// It was not decided: an error, a timeout, "not now".
    Undecided,
}

/// Somebody who bids over a connection of its own.
pub trait Bidder: Send + 'static {
    /// Sends a bid and waits for what becomes of it.
    fn bid(&mut self, bid: Bid) -> impl Future<Output = Outcome> + Send;
}

/// Gives out bids from one counter, over the auctions in turn.
#[derive(Debug)]
pub struct Amounts {
    given: AtomicU64,
    auctions: u64,
    floor: u64,
}

impl Amounts {
    /// Bids on `auctions` auctions, the first on each one unit above `floor`.
    #[must_use]
    pub fn new(auctions: usize, floor: u64) -> Self {
        let auctions = u64::try_from(auctions).unwrap_or(u64::MAX).max(1);
        Self { given: AtomicU64::new(0), auctions, floor }
    }

    /// The next bid.
    #[must_use]
    pub fn next(&self) -> Bid {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let auction = usize::try_from(number % self.auctions).unwrap_or(0);
        Bid { auction, amount: self.floor + 1 + number / self.auctions }
    }
}

/// When bids are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When the last one of the bidder is answered.
    Closed,
    /// At a fixed rate over all bidders.
    Open {
        /// Bids a second.
        per_second: u64,
    },
}

/// How long and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// When bids are sent.
    pub pace: Pace,
    /// Before anything counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub measured: Duration,
}

/// What a run saw.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Bids that led.
    pub accepted: u64,
    /// Bids that were decided against.
    pub refused: u64,
    /// Bids without a decision.
    pub undecided: u64,
    /// How long was measured.
    pub measured: Duration,
    /// CPU time of the servers in that time.
    pub cpu: Duration,
    latency: Histogram<u64>,
}

impl Figures {
    fn new(measured: Duration) -> Option<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).ok()?;
        let cpu = Duration::ZERO;
        Some(Self { accepted: 0, refused: 0, undecided: 0, measured, cpu, latency })
    }

    fn record(&mut self, outcome: Outcome, latency: Duration) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Undecided => {
                self.undecided += 1;
                return;
            }
        }
        self.latency.saturating_record(micros(latency).clamp(1, LATENCY_MAX_US));
    }

    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.undecided += other.undecided;
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
    }

    /// Accepted bids a second.
    #[must_use]
    pub fn accepted_rate(&self) -> u64 {
        per_second(self.accepted, self.measured)
    }

    /// Decided bids a second, accepted or not.
    #[must_use]
    pub fn decided_rate(&self) -> u64 {
        per_second(self.accepted + self.refused, self.measured)
    }

    /// The latency in microseconds within which that share (0 to 1) of the decided bids lies.
    #[must_use]
    pub fn latency_us(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }

    /// CPU time of the servers for one accepted bid, in tenths of a microsecond.
    #[must_use]
    pub fn cpu_tenths_us(&self) -> Option<u64> {
        (self.accepted > 0).then(|| micros(self.cpu) * 10 / self.accepted)
    }
}

/// `count` in `time` as a rate.
#[must_use]
pub fn per_second(count: u64, time: Duration) -> u64 {
    count.saturating_mul(1_000_000) / micros(time).max(1)
}

/// Whole microseconds.
#[must_use]
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The instants of a run.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    from: Instant,
    until: Instant,
}

struct Shared {
    amounts: Arc<Amounts>,
    planned: AtomicU64,
    window: Window,
    pace: Pace,
    shards: Vec<Mutex<Figures>>,
}

/// Lets all bidders bid for a run; `cpu` tells the CPU time that the servers have used so far.
///
/// # Errors
/// When a bidder's task failed, which is a fault of its own.
pub async fn drive<B: Bidder>(
    bidders: Vec<B>,
    amounts: &Arc<Amounts>,
    run: Run,
    cpu: impl Fn() -> Duration,
) -> anyhow::Result<Figures> {
    let broken = || anyhow::anyhow!("the bounds of the histogram are wrong");
    let start = Instant::now() + GET_SET;
    let from = start + run.warm_up;
    let window = Window { start, from, until: from + run.measured };
    let shards = (0..SHARDS).map(|_| Figures::new(run.measured).map(Mutex::new));
    let shared = Arc::new(Shared {
        amounts: Arc::clone(amounts),
        planned: AtomicU64::new(0),
        window,
        pace: run.pace,
        shards: shards.collect::<Option<_>>().ok_or_else(broken)?,
    });
    let mut tasks = JoinSet::new();
    for (number, bidder) in bidders.into_iter().enumerate() {
        tasks.spawn(bid_on(bidder, Arc::clone(&shared), number % SHARDS));
    }
    sleep_until(window.from).await;
    let before = cpu();
    sleep_until(window.until).await;
    let used = cpu().saturating_sub(before);
    let deadline = window.until + DRAIN;
    while let Ok(Some(done)) = timeout_at(deadline, tasks.join_next()).await {
        done?;
    }
    tasks.shutdown().await;
    let mut all = Figures::new(run.measured).ok_or_else(broken)?;
    for shard in &shared.shards {
        all.add(&shard.lock().unwrap_or_else(PoisonError::into_inner));
    }
    all.cpu = used;
    if let Pace::Open { per_second } = run.pace {
        let planned = per_second.saturating_mul(micros(run.measured)) / 1_000_000;
        let told = all.accepted + all.refused + all.undecided;
        all.undecided += planned.saturating_sub(told);
    }
    Ok(all)
}

async fn bid_on<B: Bidder>(mut bidder: B, shared: Arc<Shared>, shard: usize) {
    let Window { start, from, until } = shared.window;
    sleep_until(start).await;
    loop {
        let sent = match shared.pace {
            Pace::Closed => Instant::now(),
            Pace::Open { per_second } => {
                let number = shared.planned.fetch_add(1, Ordering::Relaxed);
                let after = number.saturating_mul(1_000_000) / per_second.max(1);
                let due = start + Duration::from_micros(after);
                if due < until {
                    sleep_until(due).await;
                }
                due
            }
        };
        if sent >= until {
            return;
        }
        let outcome = bidder.bid(shared.amounts.next()).await;
        let done = Instant::now();
        let counts = match shared.pace {
            Pace::Closed => (from..until).contains(&done),
            Pace::Open { .. } => sent >= from,
        };
        if counts && let Some(figures) = shared.shards.get(shard) {
            let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
            figures.record(outcome, done.duration_since(sent));
        }
        if outcome == Outcome::Undecided {
            sleep(REST).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that takes everything, but stands still once.
    struct Stalling {
        stalled: Arc<std::sync::atomic::AtomicBool>,
    }

    impl Bidder for Stalling {
        async fn bid(&mut self, _: Bid) -> Outcome {
            if !self.stalled.swap(true, Ordering::Relaxed) {
                sleep(Duration::from_millis(300)).await;
            }
            Outcome::Accepted
        }
    }

    fn one_stalling() -> Vec<Stalling> {
        vec![Stalling { stalled: Arc::default() }]
    }

    #[test]
    fn amounts_go_up_by_one_unit_over_the_auctions_in_turn() {
        let amounts = Amounts::new(2, 100);
        let given: Vec<(usize, u64)> =
            (0..4).map(|_| amounts.next()).map(|bid| (bid.auction, bid.amount)).collect();
        assert_eq!(given, [(0, 101), (1, 101), (0, 102), (1, 102)]);
    }

    #[tokio::test]
    async fn an_open_loop_blames_the_stall_for_every_bid_that_it_delayed() {
        let run = Run {
            pace: Pace::Open { per_second: 100 },
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(1),
        };
        let amounts = Arc::new(Amounts::new(1, 0));
        let figures =
            drive(one_stalling(), &amounts, run, || Duration::ZERO).await.expect("driven");
        assert_eq!((figures.accepted, figures.undecided), (100, 0));
        // Thirty bids were due while the only bidder waited: every fifth was late by 100 ms and more.
        assert!(figures.latency_us(0.9) > 100_000, "{}", figures.latency_us(0.9));
    }

    #[tokio::test]
    async fn rates_are_of_the_measured_time_alone() {
        struct Slow;
        impl Bidder for Slow {
            async fn bid(&mut self, bid: Bid) -> Outcome {
                sleep(Duration::from_millis(10)).await;
                if bid.amount.is_multiple_of(2) { Outcome::Accepted } else { Outcome::Refused }
            }
        }
        let run = Run {
            pace: Pace::Closed,
            warm_up: Duration::from_millis(100),
            measured: Duration::from_millis(300),
        };
        let amounts = Arc::new(Amounts::new(1, 0));
        let figures =
            drive(vec![Slow, Slow], &amounts, run, || Duration::ZERO).await.expect("driven");
        let decided = figures.accepted + figures.refused;
        assert!(decided <= 62 && figures.accepted.abs_diff(figures.refused) <= 4, "{figures:?}");
        assert_eq!(figures.decided_rate(), decided * 10 / 3);
        assert!(figures.latency_us(0.5) >= 10_000);
    }
}
