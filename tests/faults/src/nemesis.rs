//! What is done to a market: processes killed and paused, links troubled, all drawn from a seed.
//!
//! Every blow is followed by a wait for a verdict of a bid that was sent after it: a market that does
//! not come back ends the run. It must not look at what bids said. Read next: `crate::round`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use fairground_kit::chance::Chance;
use fairground_kit::wait::until;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::history::Line;
use crate::market::bidder::Scene;
use crate::market::{Market, PATIENCE};
use crate::proxy::Proxy;
use crate::proxy::link::Pair;
use crate::proxy::schedule::{self, Place, Trouble};

/// How long a market may take to judge bids again.
const BACK_WAIT: Duration = Duration::from_secs(45);

/// How much is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Kills of one member; every other one is the leader.
    pub single: usize,
    /// Kills of all members at once; every other one with all edges.
    pub whole: usize,
    /// Kills of one edge.
    pub edges: usize,
    /// Pauses of one member or edge.
    pub pauses: usize,
    /// How long links are troubled meanwhile.
    pub troubles: Duration,
}

/// One blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Kills a member.
    KillMember(usize),
    /// Kills whoever leads.
    KillLeader,
    /// Kills all members at once.
    KillMembers,
    /// Kills members and edges at once.
    KillEverything,
    /// Kills an edge.
    KillEdge(usize),
    /// Pauses a member.
    PauseMember(usize, Duration),
    /// Pauses whoever leads.
    PauseLeader(Duration),
    /// Pauses an edge.
    PauseEdge(usize, Duration),
}

impl Blow {
    /// Its kind, for figures.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::KillMember(_) => "follower or leader killed",
            Self::KillLeader => "leader killed",
            Self::KillMembers => "all members killed",
            Self::KillEverything => "everything killed",
            Self::KillEdge(_) => "edge killed",
            Self::PauseMember(..) | Self::PauseLeader(_) => "member stopped",
            Self::PauseEdge(..) => "edge stopped",
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Plan {
    /// The blows of a seed, in a drawn sequence.
    #[must_use]
    pub fn draw(&self, seed: u64, members: usize, edges: usize) -> Vec<Blow> {
        let mut chance = Chance::of_part(seed, 0xB10);
        let mut blows = Vec::new();
        for number in 0..self.single {
            blows.push(match number % 2 {
                0 => Blow::KillLeader,
                _ => Blow::KillMember(chance.place(members)),
            });
        }
        for number in 0..self.whole {
            blows.push(if number % 2 == 0 { Blow::KillEverything } else { Blow::KillMembers });
        }
        blows.extend((0..self.edges).map(|number| Blow::KillEdge(number % edges.max(1))));
        for number in 0..self.pauses {
            let span = Duration::from_millis(chance.between(400, 2_500));
            blows.push(match number % 3 {
                0 => Blow::PauseLeader(span),
                1 => Blow::PauseEdge(chance.place(edges), span),
                _ => Blow::PauseMember(chance.place(members), span),
            });
        }
        chance.shuffle(&mut blows);
        blows
    }
}

/// How long it took from each kind of blow to the first new verdict, in milliseconds.
pub type Recoveries = BTreeMap<&'static str, Vec<u64>>;

/// Carries out a plan.
pub struct Nemesis<'a> {
    market: &'a mut Market,
    scene: Arc<Scene>,
    chance: Chance,
    recoveries: Recoveries,
}

impl<'a> Nemesis<'a> {
    /// A nemesis of a running market.
    pub fn new(market: &'a mut Market, scene: Arc<Scene>, seed: u64) -> Self {
        let chance = Chance::of_part(seed, 0xFA7E);
        Self { market, scene, chance, recoveries: Recoveries::new() }
    }

    /// Does all of it.
    ///
    /// # Errors
    /// When the market does not come back after a blow.
    pub async fn run(mut self, plan: &Plan, seed: u64) -> anyhow::Result<Recoveries> {
        let blows = plan.draw(seed, self.market.members.len(), self.market.edges.len());
        let mut background = JoinSet::new();
        let began = Instant::now();
        if !plan.troubles.is_zero() {
            let troubles = schedule::draw(seed, self.market.members.len(), plan.troubles);
            let lines = Lines::of(self.market);
            background.spawn(trouble(troubles, lines, Arc::clone(&self.scene)));
        }
        self.scene.load.watch_from(self.scene.recorder.now());
        self.wait_for_verdict().await.context("before the first blow")?;
        for blow in blows {
            sleep(Duration::from_millis(self.chance.between(100, 500))).await;
            let struck = self.scene.recorder.now();
            self.note(blow.to_string())?;
            self.strike(blow).await.with_context(|| format!("{blow} at {struck} us"))?;
            let back = self.wait_for_verdict().await;
            let back = back.with_context(|| format!("after {blow} at {struck} us"))?;
            let took = back.saturating_sub(struck) / 1_000;
            self.recoveries.entry(blow.kind()).or_default().push(took);
        }
        sleep_until(began + plan.troubles).await;
        while let Some(ended) = background.join_next().await {
            ended??;
        }
        self.market.heal();
        Ok(self.recoveries)
    }

    fn note(&self, what: String) -> anyhow::Result<()> {
        self.scene.recorder.write(&Line::Blow { at: self.scene.recorder.now(), what })
    }

    /// Waits for the verdict that is watched for; answers when it came.
    async fn wait_for_verdict(&self) -> anyhow::Result<u64> {
        until("a new verdict", BACK_WAIT, async || Ok(self.scene.load.first_at())).await
    }

    /// The blow, and what it takes to undo it.
    async fn strike(&mut self, blow: Blow) -> anyhow::Result<()> {
        let scene = Arc::clone(&self.scene);
        let watch = || scene.load.watch_from(scene.recorder.now());
        let down = Duration::from_millis(self.chance.between(0, 900));
        match blow {
            Blow::KillMember(number) => {
                self.member(number)?.kill().await?;
                watch();
                self.raise(number, down).await
            }
            Blow::KillLeader => {
                let leader = self.market.leader().await?;
                self.member(leader)?.kill().await?;
                watch();
                self.raise(leader, down).await
            }
            Blow::KillMembers | Blow::KillEverything => {
                self.kill_many(blow == Blow::KillEverything).await?;
                watch();
                sleep(down).await;
                self.market.members.iter_mut().try_for_each(|member| member.daemon.start())?;
                for edge in &mut self.market.edges {
                    if !edge.daemon.is_started() {
                        edge.start()?;
                    }
                }
                for number in 0..self.market.members.len() {
                    self.member(number)?.ready(PATIENCE).await?;
                }
                for edge in &mut self.market.edges {
                    edge.daemon.ready(PATIENCE).await?;
                }
                Ok(())
            }
            Blow::KillEdge(number) => {
                let edge = self.market.edges.get_mut(number).context("no such edge")?;
                edge.kill().await?;
                watch();
                sleep(down).await;
                edge.start()?;
                edge.daemon.ready(PATIENCE).await.map(|_| ())
            }
            Blow::PauseMember(number, span) => {
                watch();
                pause(self.member(number)?, span).await
            }
            Blow::PauseLeader(span) => {
                let leader = self.market.leader().await?;
                watch();
                pause(self.member(leader)?, span).await
            }
            Blow::PauseEdge(number, span) => {
                watch();
                let edge = self.market.edges.get_mut(number).context("no such edge")?;
                pause(&mut edge.daemon, span).await
            }
        }
    }

    async fn kill_many(&mut self, with_edges: bool) -> anyhow::Result<()> {
        // All are struck before any is waited for.
        for member in &self.market.members {
            member.daemon.strike()?;
        }
        if with_edges {
            for edge in &self.market.edges {
                edge.daemon.strike()?;
            }
            for edge in &mut self.market.edges {
                edge.kill().await?;
            }
        }
        for member in &mut self.market.members {
            member.daemon.kill().await?;
        }
        Ok(())
    }

    fn member(&mut self, number: usize) -> anyhow::Result<&mut crate::process::Daemon> {
        let member = self.market.members.get_mut(number).context("no such member")?;
        Ok(&mut member.daemon)
    }

    async fn raise(&mut self, number: usize, down: Duration) -> anyhow::Result<()> {
        sleep(down).await;
        let daemon = self.member(number)?;
        daemon.start()?;
        daemon.ready(PATIENCE).await.map(|_| ())
    }
}

async fn pause(daemon: &mut crate::process::Daemon, span: Duration) -> anyhow::Result<()> {
    daemon.pause()?;
    sleep(span).await;
    daemon.go_on()
}

/// The proxies, and where what members send comes from.
struct Lines {
    proxies: Vec<Arc<Proxy>>,
    sources: Vec<SocketAddr>,
}

impl Lines {
    fn of(market: &Market) -> Self {
        Self {
            proxies: market.members.iter().map(|member| Arc::clone(&member.proxy)).collect(),
            sources: market.members.iter().map(|member| member.cluster).collect(),
        }
    }

    fn set(&self, place: Place, pair: Option<Pair>) {
        match place {
            Place::All => {
                for proxy in &self.proxies {
                    proxy.set(pair.unwrap_or_default());
                }
            }
            Place::Member(number) => {
                if let Some(proxy) = self.proxies.get(number) {
                    proxy.set(pair.unwrap_or_default());
                }
            }
            Place::Between(one, two) => {
                for (at, from) in [(one, two), (two, one)] {
                    if let (Some(proxy), Some(source)) =
                        (self.proxies.get(at), self.sources.get(from))
                    {
                        proxy.set_for(*source, pair);
                    }
                }
            }
        }
    }
}

/// Carries out a schedule, then lets everything pass.
async fn trouble(troubles: Vec<Trouble>, lines: Lines, scene: Arc<Scene>) -> anyhow::Result<()> {
    let began = Instant::now();
    for trouble in troubles {
        sleep_until(began + trouble.begins).await;
        scene
            .recorder
            .write(&Line::Blow { at: scene.recorder.now(), what: trouble.to_string() })?;
        lines.set(trouble.place, Some(trouble.pair));
        sleep_until(began + trouble.ends).await;
        lines.set(trouble.place, None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_drawn_whole_and_the_same_from_a_seed() {
        let plan = Plan { single: 6, whole: 2, edges: 3, pauses: 3, troubles: Duration::ZERO };
        let blows = plan.draw(5, 3, 2);
        assert_eq!(blows, plan.draw(5, 3, 2));
        assert_ne!(blows, plan.draw(6, 3, 2));
        let count = |kinds: &[&str]| blows.iter().filter(|it| kinds.contains(&it.kind())).count();
        assert_eq!(count(&["follower or leader killed", "leader killed"]), 6);
        assert_eq!(count(&["all members killed", "everything killed"]), 2);
        assert_eq!(count(&["edge killed"]), 3);
        assert_eq!(count(&["member stopped", "edge stopped"]), 3);
    }
}
