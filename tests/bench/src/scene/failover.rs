//! `failover`: how long until bids are decided again after the leader was killed.
//!
//! Bidders probe at a fixed rate through all edges. The time is from just before the kill to the first
//! verdict of a bid that was sent after the killed process was gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use fairground_load::drive::{Amounts, Bidder, Outcome, micros};
use fairground_load::report::{self, Aim, with_point};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Common, tell};
use crate::market::{Market, OPENING_MINOR};

/// Probes a second. Bidders enough that some are free for longer than a failover may take.
const PROBES: u64 = 100;
const BIDDERS: usize = 512;
const PATIENCE: Duration = Duration::from_secs(30);
/// Steady bidding before each kill.
const CALM: Duration = Duration::from_secs(2);
const AIM: Duration = Duration::from_millis(1_500);

/// Kills of the leader under load.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FailoverArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How often the leader is killed.
    #[arg(long, default_value_t = 5)]
    pub(crate) kills: usize,
}

/// A verdict: when its bid was sent and when it came.
type Seen = (Instant, Instant);

/// Bidders that probe until they are told to end.
struct Probes {
    tasks: JoinSet<()>,
    verdicts: mpsc::Receiver<Seen>,
    is_over: Arc<AtomicBool>,
}

impl Probes {
    async fn start(market: &mut Market) -> anyhow::Result<Self> {
        let auctions = market.auctions(1).await?;
        let (bidders, _) = market.bidders(BIDDERS, &auctions).await?;
        let amounts = Arc::new(Amounts::new(1, OPENING_MINOR));
        let (sender, verdicts) = mpsc::channel(65_536);
        let (is_over, number) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut bidder in bidders {
            let (amounts, sender) = (Arc::clone(&amounts), sender.clone());
            let (is_over, number) = (Arc::clone(&is_over), Arc::clone(&number));
            tasks.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let after = number.fetch_add(1, Ordering::Relaxed) * 1_000_000 / PROBES;
                    sleep_until(start + Duration::from_micros(after)).await;
                    let sent = Instant::now();
                    let outcome = bidder.bid(amounts.next()).await;
                    if outcome != Outcome::Undecided {
                        // Nobody reads any more at the end.
                        let _ = sender.try_send((sent, Instant::now()));
                    }
                }
            });
        }
        Ok(Self { tasks, verdicts, is_over })
    }

    /// Waits for the first verdict of a bid that was sent after `instant`.
    async fn first_after(&mut self, instant: Instant) -> anyhow::Result<Instant> {
        let found = timeout(PATIENCE, async {
            loop {
                let (sent, came) = self.verdicts.recv().await.context("no bidder is left")?;
                if sent > instant {
                    return Ok(came);
                }
            }
        });
        found.await.with_context(|| format!("no verdict in {PATIENCE:?}"))?
    }

    async fn stop(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
    }
}

pub(crate) async fn failover(arguments: FailoverArgs) -> anyhow::Result<()> {
    let common = &arguments.common;
    let place = common.place()?;
    let mut market = Market::start(&place, common.shape(), 64).await?;
    let mut took = Vec::new();
    for kill in 1..=arguments.kills.max(1) {
        let mut probes = Probes::start(&mut market).await?;
        probes.first_after(Instant::now()).await?;
        sleep(CALM).await;
        let leader = market.cluster.leader().await?;
        let began = Instant::now();
        market.cluster.kill_member(leader).await?;
        let gone = Instant::now();
        let back = probes.first_after(gone).await?;
        let time = back.duration_since(began);
        report::line(&format!(
            "kill {kill}: m{} led; first new verdict after {time:?}",
            leader + 1
        ))?;
        took.push(micros(time));
        probes.stop().await;
        market.cluster.restart_member(leader).await?;
    }
    market.cluster.stop().await;
    took.sort_unstable();
    let at = |per_cent: usize| {
        let place = (took.len() * per_cent).div_ceil(100).max(1) - 1;
        took.get(place).copied().unwrap_or(0)
    };
    let text = |us| format!("{} ms", with_point(us, 3));
    report::line(&format!(
        "{} kills: min {}, p50 {}, p90 {}, p99 {}, max {}",
        took.len(),
        text(at(0)),
        text(at(50)),
        text(at(90)),
        text(at(99)),
        text(at(100))
    ))?;
    let name = format!("first new verdict p99 within 1.5 s, {} kills", took.len());
    tell(&[Aim { name, seen: text(at(99)), is_met: at(99) <= micros(AIM) }])
}
