//! Taking office: the new leader asks the members for their clocks and stamps by their median.
//!
//! ```text
//!  elected in term t -> ask all, the clocks of a majority agree -> clock of term t -> a Tick
//!  every 10 s        -> ask again, slew; over 500 ms off -> hand leadership over
//!  deposed           -> the clock is dropped
//! ```
//! Nothing is proposed before the clock is there. While clocks do not agree the members are asked again;
//! who is in office goes on by the clock that it has. The arithmetic is in `clock.rs`.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_runtime::shutdown::Shutdown;
use fairground_types::{MemberId, Timestamp};
use fairground_wire::raft::{RaftReply, RaftRequest};
use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, RaftMetrics};

use super::clock::{OfficeClock, Reading, agreed};
use super::{Raft, TypeConfig};
use crate::peers::Peers;
use crate::propose::Proposer;
use crate::state::State;

/// How long a member may take to tell its clock.
const ASK_WAIT: Duration = Duration::from_millis(400);
/// How long the others may take once the clocks of a majority agree.
const REST_WAIT: Duration = Duration::from_millis(30);
/// Pause before the members are asked again when too few answered alike.
const ASK_PAUSE: Duration = Duration::from_millis(50);
/// How often a member that does not lead looks, besides being told.
const IDLE_PERIOD: Duration = Duration::from_millis(500);
/// A voter heard this long ago may take over.
const HEARD_LATELY: Duration = Duration::from_millis(300);
/// How often the median is taken anew in office.
const AIM_PERIOD: Duration = Duration::from_secs(10);

/// The office clock of this member, while it leads.
pub(crate) struct Office {
    clock: Clock,
    state: Arc<State>,
    held: RwLock<Option<Held>>,
}

#[derive(Clone, Copy)]
struct Held {
    term: u64,
    clock: OfficeClock,
}

impl Office {
    pub(crate) fn new(clock: Clock, state: Arc<State>) -> Self {
        Self { clock, state, held: RwLock::new(None) }
    }

    /// Coordinator time, when this member leads in `term` and has taken office.
    pub(crate) fn stamp(&self, term: u64) -> Option<Timestamp> {
        let held = (*self.held.read().unwrap_or_else(PoisonError::into_inner))?;
        (held.term == term).then(|| self.moved(held.clock.now(self.clock.monotonic())))
    }

    /// Term and coordinator time, when this member has taken office.
    pub(crate) fn now(&self) -> Option<(u64, Timestamp)> {
        let held = (*self.held.read().unwrap_or_else(PoisonError::into_inner))?;
        Some((held.term, self.moved(held.clock.now(self.clock.monotonic()))))
    }

    /// Coordinator time as a sandbox has moved it.
    fn moved(&self, now: Timestamp) -> Timestamp {
        now.plus(self.state.clock_offset())
    }

    fn set(&self, held: Option<Held>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    fn held(&self) -> Option<Held> {
        *self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another voter to lead in place of `me`: the one heard last, if one was heard lately.
pub(crate) fn heir(raft: &Raft, me: MemberId) -> Option<MemberId> {
    let metrics = raft.metrics().borrow_watched().clone();
    let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
    let heard = metrics.heartbeat?;
    let others = heard.into_iter().filter(|(voter, _)| *voter != me.0);
    others
        .filter(|(voter, _)| voters.contains(voter))
        .filter_map(|(voter, at)| Some((at?.into_inner().elapsed(), voter)))
        .filter(|(silence, _)| *silence < HEARD_LATELY)
        .min()
        .map(|(_, voter)| MemberId(voter))
}

type Metrics = WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>;

/// Takes office when this member is elected, and gives it up.
pub(crate) struct OfficeLoop {
    pub(crate) me: MemberId,
    pub(crate) raft: Raft,
    pub(crate) peers: Arc<Peers>,
    pub(crate) office: Arc<Office>,
    pub(crate) proposer: Proposer,
    pub(crate) clock: Clock,
}

impl OfficeLoop {
    /// Runs until `shutdown`.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut metrics = self.raft.metrics();
        loop {
            // Read before the step, so that no change during it is missed.
            let before = self.leadership(&metrics);
            let pause = self.step().await;
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = tokio::time::sleep(pause) => {}
                changed = self.leadership_changed(&mut metrics, before) => {
                    if !changed { return; }
                }
            }
        }
    }

    /// Whether this member leads, and in which term.
    fn leadership(&self, metrics: &Metrics) -> (bool, u64) {
        let now = metrics.borrow_watched();
        (now.current_leader == Some(self.me.0), now.current_term)
    }

    /// Waits for another leadership than `before`; false when Raft has stopped.
    async fn leadership_changed(&self, metrics: &mut Metrics, before: (bool, u64)) -> bool {
        while self.leadership(metrics) == before {
            if metrics.changed().await.is_err() {
                return false;
            }
        }
        true
    }

    /// Does what is due and says when to look again.
    async fn step(&self) -> Duration {
        let Ok(leader) = self.raft.as_leader() else {
            self.office.set(None);
            return IDLE_PERIOD;
        };
        let term = leader.leader_id().term;
        let Some(now) = self.ask().await else { return ASK_PAUSE };
        let monotonic = self.clock.monotonic();
        match self.office.held() {
            Some(held) if held.term == term => {
                let mut held = held;
                match held.clock.aim(now, monotonic) {
                    Ok(()) => self.office.set(Some(held)),
                    Err(off) => self.resign(off.as_millis()).await,
                }
            }
            Some(_) | None => {
                self.office.set(Some(Held { term, clock: OfficeClock::take(now, monotonic) }));
                tracing::info!(term, at = %now, "office taken");
                metrics::counter!(crate::metrics::TERMS_BEGUN).increment(1);
                self.proposer.tick();
            }
        }
        AIM_PERIOD
    }

    /// Gives leadership to another voter: this clock cannot be trusted with deadlines. Where there is
    /// nobody else the median is this machine's wall clock, and its step must reach nothing.
    async fn resign(&self, off_ms: u64) {
        tracing::error!(off_ms, "office clock too far from the members' median");
        let Some(next) = heir(&self.raft, self.me) else { return };
        metrics::counter!(crate::metrics::OFFICE_RESIGNED).increment(1);
        if let Err(error) = self.raft.trigger().transfer_leader(next.0).await {
            tracing::warn!(%error, "leadership not handed over");
        }
        self.office.set(None);
    }

    /// The members' median now; `None` when the clocks of fewer than a majority agree. Once they do, the
    /// rest are waited for a moment only: one that is gone must not hold up a term.
    async fn ask(&self) -> Option<Timestamp> {
        let voters: Vec<u64> = self.raft.voter_ids().collect();
        let mut asked: FuturesUnordered<_> =
            voters.iter().map(|voter| self.ask_one(MemberId(*voter))).collect();
        let mut readings: Vec<Reading> = Vec::with_capacity(voters.len());
        loop {
            let agreed = agreed(&readings, voters.len(), self.clock.monotonic());
            let wait = if agreed.is_some() { REST_WAIT } else { ASK_WAIT };
            match tokio::time::timeout(wait, asked.next()).await {
                Ok(Some(reading)) => readings.extend(reading),
                Ok(None) | Err(_) => return agreed,
            }
        }
    }

    async fn ask_one(&self, member: MemberId) -> Option<Reading> {
        let asked = self.clock.monotonic();
        if member == self.me {
            return Some(Reading { said: self.clock.now(), asked, heard: asked });
        }
        match self.peers.call(member, &RaftRequest::Clock, ASK_WAIT).await {
            Ok(RaftReply::Clock(said)) => {
                Some(Reading { said, asked, heard: self.clock.monotonic() })
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%member, %error, "clock not told");
                None
            }
        }
    }
}
