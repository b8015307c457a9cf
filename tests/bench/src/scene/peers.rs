//! `peers`: the market and what a shop would use instead, in turn, on one machine and one disk.
//!
//! A round measures every system at every number of bidders; ratios are taken within a round and the
//! median is told. A system that is not installed is named with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_load::drive::{Amounts, Figures, Pace, drive};
use fairground_load::report::{self, Aim, Row, hundredths, median, with_point};

use super::hot::hot_row;
use super::{Common, LONG, tell};
use crate::market::cluster::Shape;
use crate::market::{Market, OPENING_MINOR};
use crate::peer::etcd::{Etcd, Manner};
use crate::peer::front::Front;
use crate::peer::postgres::{POOL, Postgres};
use crate::peer::redis::Redis;
use crate::peer::{etcd, postgres, redis};
use crate::place::Place;
use crate::process::cpu;

/// The market and its peers on one hot auction.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PeersArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Bidders, one row each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1000")]
    pub(crate) bidders: Vec<usize>,
    /// Rounds; ratios are medians over them.
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: usize,
    /// Systems; all unless given.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) systems: Vec<System>,
}

/// A system that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum System {
    /// The market with the members and edges of the options.
    Market,
    /// The market with one member and one edge.
    Single,
    /// PostgreSQL, the locking transaction.
    PgTx,
    /// PostgreSQL behind the batching front.
    PgFront,
    /// The same with a synchronous standby.
    PgFrontStandby,
    /// Redis, the script.
    Redis,
    /// etcd, puts.
    EtcdPut,
    /// etcd, compare-and-swap.
    EtcdSwap,
}

const ALL: [System; 8] = [
    System::Market,
    System::PgTx,
    System::PgFrontStandby,
    System::EtcdPut,
    System::EtcdSwap,
    System::Single,
    System::PgFront,
    System::Redis,
];

impl System {
    const fn name(self) -> &'static str {
        match self {
            Self::Market => "fairground",
            Self::Single => "fairground 1+1",
            Self::PgTx => "pg-tx",
            Self::PgFront => "http+pg-batch",
            Self::PgFrontStandby => "http+pg-batch+sync",
            Self::Redis => "redis-lua",
            Self::EtcdPut => "etcd-put",
            Self::EtcdSwap => "etcd-swap",
        }
    }

    fn missing(self) -> Option<String> {
        match self {
            Self::Market | Self::Single => None,
            Self::PgTx | Self::PgFront | Self::PgFrontStandby => postgres::missing(),
            Self::Redis => redis::missing(),
            Self::EtcdPut | Self::EtcdSwap => etcd::missing(),
        }
    }
}

/// What was seen: by system and bidders, one per round.
type Seen = BTreeMap<(System, usize), Vec<Figures>>;

struct Bench<'a> {
    arguments: &'a PeersArgs,
    place: &'a Place,
    markets: BTreeMap<System, Market>,
    seen: Seen,
}

pub(crate) async fn peers(arguments: PeersArgs) -> anyhow::Result<()> {
    let place = arguments.common.place()?;
    report::line(&format!(
        "peers: all synced at every commit; pg-tx by a pool of at most {POOL} connections; \
         http+pg-batch over TLS 1.3 by the client that the market is asked by, no token checked; \
         etcd: 256-byte puts at the leader, swap = compare, set and put in one transaction"
    ))?;
    let chosen = if arguments.systems.is_empty() { &ALL[..] } else { &arguments.systems };
    let mut systems = Vec::new();
    for system in chosen {
        match system.missing() {
            None => systems.push(*system),
            Some(reason) => report::line(&format!("{} skipped: {reason}", system.name()))?,
        }
    }
    let (markets, seen) = (BTreeMap::new(), Seen::new());
    let mut bench = Bench { arguments: &arguments, place: &place, markets, seen };
    bench.start_markets(&systems).await?;
    report::line(&report::heads())?;
    for round in 0..arguments.rounds.max(1) {
        for system in &systems {
            bench.turn(*system, round).await?;
        }
    }
    for market in bench.markets.values_mut() {
        market.cluster.stop().await;
    }
    let aims = aims(&bench.seen, &arguments.bidders);
    tell(&aims)
}

impl Bench<'_> {
    async fn start_markets(&mut self, systems: &[System]) -> anyhow::Result<()> {
        let most = self.arguments.bidders.iter().copied().max().unwrap_or(1);
        let single = Shape { members: 1, edges: 1, initial: LONG };
        for (system, shape) in
            [(System::Market, self.arguments.common.shape()), (System::Single, single)]
        {
            if systems.contains(&system) {
                let market = Market::start(self.place, shape, most).await?;
                self.markets.insert(system, market);
            }
        }
        Ok(())
    }

    async fn turn(&mut self, system: System, round: usize) -> anyhow::Result<()> {
        let name = format!("{}-{round}", system.name().replace([' ', '+'], "-"));
        match system {
            System::Market | System::Single => self.market(system).await,
            System::PgTx => self.locking(&name).await,
            System::PgFront | System::PgFrontStandby => self.front(system, &name).await,
            System::Redis => self.redis(&name).await,
            System::EtcdPut => self.etcd(system, &name, Manner::Put).await,
            System::EtcdSwap => self.etcd(system, &name, Manner::Swap).await,
        }
    }

    async fn market(&mut self, system: System) -> anyhow::Result<()> {
        let Some(market) = self.markets.get_mut(&system) else { return Ok(()) };
        for bidders in &self.arguments.bidders {
            let row = hot_row(market, &self.arguments.common, *bidders).await?;
            self.seen.entry((system, *bidders)).or_default().push(row.figures);
        }
        Ok(())
    }

    fn keep(&mut self, system: System, bidders: usize, figures: Figures) -> anyhow::Result<()> {
        let (name, pace) = (system.name().to_owned(), Pace::Closed);
        let row = Row { system: name, auctions: 1, bidders, pace, figures };
        report::line(&row.line())?;
        self.seen.entry((system, bidders)).or_default().push(row.figures);
        Ok(())
    }

    async fn locking(&mut self, name: &str) -> anyhow::Result<()> {
        let postgres = Postgres::start(self.place, name, 1, false).await?;
        let (run, amounts) = (self.arguments.common.run(Pace::Closed), amounts());
        for bidders in self.arguments.bidders.clone() {
            let crowd = postgres.bidders(bidders).await?;
            let pids = postgres.pids();
            let figures = drive(crowd, &amounts, run, || cpu(&pids)).await?;
            self.keep(System::PgTx, bidders, figures)?;
        }
        postgres.stop().await
    }

    async fn front(&mut self, system: System, name: &str) -> anyhow::Result<()> {
        let with_standby = system == System::PgFrontStandby;
        let postgres = Postgres::start(self.place, name, 1, with_standby).await?;
        let front = Front::start(self.place, &postgres).await?;
        let (run, amounts) = (self.arguments.common.run(Pace::Closed), amounts());
        for bidders in self.arguments.bidders.clone() {
            let crowd = front.bidders(bidders).await?;
            let mut pids = postgres.pids();
            pids.extend(front.pid());
            let figures = drive(crowd, &amounts, run, || cpu(&pids)).await?;
            self.keep(system, bidders, figures)?;
        }
        front.stop().await?;
        postgres.stop().await
    }

    async fn redis(&mut self, name: &str) -> anyhow::Result<()> {
        let redis = Redis::start(self.place, name).await?;
        let (run, amounts) = (self.arguments.common.run(Pace::Closed), amounts());
        for bidders in self.arguments.bidders.clone() {
            let crowd = redis.bidders(bidders).await?;
            let pids = redis.pids();
            let figures = drive(crowd, &amounts, run, || cpu(&pids)).await?;
            self.keep(System::Redis, bidders, figures)?;
        }
        redis.stop().await
    }

    async fn etcd(&mut self, system: System, name: &str, manner: Manner) -> anyhow::Result<()> {
        let etcd = Etcd::start(self.place, name).await?;
        let run = self.arguments.common.run(Pace::Closed);
        for bidders in self.arguments.bidders.clone() {
            // The price begins anew with each crowd.
            let crowd = etcd.bidders(bidders, 1, manner).await?;
            let pids = etcd.pids();
            let figures = drive(crowd, &amounts(), run, || cpu(&pids)).await?;
            self.keep(system, bidders, figures)?;
        }
        etcd.stop().await
    }
}

fn amounts() -> Arc<Amounts> {
    Arc::new(Amounts::new(1, OPENING_MINOR))
}

/// The median over the rounds of a ratio of accepted bids a second, in hundredths.
fn ratio(seen: &Seen, of: System, to: System, bidders: usize) -> Option<u64> {
    let (of, to) = (seen.get(&(of, bidders))?, seen.get(&(to, bidders))?);
    let rounds = of.iter().zip(to);
    median(
        rounds.filter_map(|(of, to)| hundredths(of.accepted_rate(), to.accepted_rate())).collect(),
    )
}

fn aims(seen: &Seen, levels: &[usize]) -> Vec<Aim> {
    let mut aims = Vec::new();
    let wanted = [
        (System::Market, System::PgTx, 64, usize::MAX, 1_000),
        (System::Market, System::EtcdPut, 64, usize::MAX, 200),
        (System::Market, System::PgFrontStandby, 64, usize::MAX, 100),
        (System::Single, System::PgFront, 64, 256, 100),
    ];
    for (of, to, least, most, hundredths) in wanted {
        for bidders in levels.iter().filter(|bidders| (least..=most).contains(*bidders)) {
            let Some(seen) = ratio(seen, of, to, *bidders) else { continue };
            let wanted = with_point(hundredths, 2);
            let name = format!(
                "{} at least {wanted} x {}, {bidders} bidders, accepted/s",
                of.name(),
                to.name()
            );
            aims.push(Aim::at_least(name, seen, hundredths));
        }
    }
    for bidders in levels.iter().filter(|bidders| (64..=256).contains(*bidders)) {
        let used = |system| {
            let rounds = seen.get(&(system, *bidders))?.iter().filter_map(Figures::cpu_tenths_us);
            median(rounds.collect())
        };
        let Some((own, peer)) = used(System::Single).zip(used(System::PgFront)) else { continue };
        aims.push(Aim {
            name: format!(
                "{} no more CPU an accepted bid than {}, {bidders} bidders",
                System::Single.name(),
                System::PgFront.name()
            ),
            seen: format!("{} : {} us", with_point(own, 1), with_point(peer, 1)),
            is_met: own <= peer,
        });
    }
    aims
}
