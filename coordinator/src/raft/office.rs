//! Taking office: the new leader asks the members for their clocks and stamps by their median.
//!
//! ```text
//!  elected in term t -> ask all, a majority answers -> clock of term t -> a Tick begins the term
//!  every 10 s        -> ask again, slew; over 500 ms off -> hand leadership over
//!  deposed           -> the clock is dropped
//! ```
//! Nothing is proposed before the clock is there. The arithmetic is in `clock.rs`.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_runtime::shutdown::Shutdown;
use fairground_types::{MemberId, Timestamp};
use fairground_wire::raft::{RaftReply, RaftRequest};
use futures_util::future::join_all;

use super::Raft;
use super::clock::{OfficeClock, Reading, median};
use crate::peers::Peers;
use crate::propose::Proposer;

/// How long a member may take to tell its clock.
const ASK_WAIT: Duration = Duration::from_millis(400);
/// Pause before the members are asked again when too few answered.
const ASK_PAUSE: Duration = Duration::from_millis(50);
/// How often the median is taken anew in office.
const AIM_PERIOD: Duration = Duration::from_secs(10);

/// The office clock of this member, while it leads.
pub(crate) struct Office {
    clock: Clock,
    held: RwLock<Option<Held>>,
}

#[derive(Clone, Copy)]
struct Held {
    term: u64,
    clock: OfficeClock,
}

impl Office {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, held: RwLock::new(None) }
    }

    /// Coordinator time, when this member leads in `term` and has taken office.
    pub(crate) fn stamp(&self, term: u64) -> Option<Timestamp> {
        let held = (*self.held.read().unwrap_or_else(PoisonError::into_inner))?;
        (held.term == term).then(|| held.clock.now(self.clock.monotonic()))
    }

    /// Term and coordinator time, when this member has taken office.
    pub(crate) fn now(&self) -> Option<(u64, Timestamp)> {
        let held = (*self.held.read().unwrap_or_else(PoisonError::into_inner))?;
        Some((held.term, held.clock.now(self.clock.monotonic())))
    }

    fn set(&self, held: Option<Held>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    fn held(&self) -> Option<Held> {
        *self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

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
            let pause = self.step().await;
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = tokio::time::sleep(pause) => {}
                changed = Self::leadership_changed(&mut metrics, self.me) => {
                    if !changed { return; }
                }
            }
        }
    }

    async fn leadership_changed(
        metrics: &mut openraft::alias::WatchReceiverOf<
            super::TypeConfig,
            openraft::RaftMetrics<super::TypeConfig>,
        >,
        me: MemberId,
    ) -> bool {
        use openraft::async_runtime::watch::WatchReceiver;
        let before = {
            let now = metrics.borrow_watched();
            (now.current_leader == Some(me.0), now.current_term)
        };
        loop {
            if metrics.changed().await.is_err() {
                return false;
            }
            let now = metrics.borrow_watched();
            if (now.current_leader == Some(me.0), now.current_term) != before {
                return true;
            }
        }
    }

    /// Does what is due and says when to look again.
    async fn step(&self) -> Duration {
        let Ok(leader) = self.raft.as_leader() else {
            self.office.set(None);
            return AIM_PERIOD;
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

    /// Gives leadership to another voter: this clock cannot be trusted with deadlines.
    async fn resign(&self, off_ms: u64) {
        tracing::error!(off_ms, "office clock too far from the members' median");
        metrics::counter!(crate::metrics::OFFICE_RESIGNED).increment(1);
        let next = self.raft.voter_ids().find(|voter| *voter != self.me.0);
        if let Some(next) = next
            && let Err(error) = self.raft.trigger().transfer_leader(next).await
        {
            tracing::warn!(%error, "leadership not handed over");
        }
        self.office.set(None);
    }

    /// The members' median now; `None` when fewer than a majority answer.
    async fn ask(&self) -> Option<Timestamp> {
        let voters: Vec<u64> = self.raft.voter_ids().collect();
        let asked = voters.iter().map(|voter| self.ask_one(MemberId(*voter)));
        let readings: Vec<Reading> = join_all(asked).await.into_iter().flatten().collect();
        if readings.len() * 2 <= voters.len() {
            return None;
        }
        median(&readings, self.clock.monotonic())
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
