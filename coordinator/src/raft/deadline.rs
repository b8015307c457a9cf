//! The leader's alarm: proposes an entry when time or a mark makes one useful.
//!
//! ```text
//!  a deadline has passed            \
//!  a mark completes a close          >  one Tick (coalesced with commands that wait)
//!  an auction is open, 1 s is over  /
//! ```
//! Followers never look at a clock. What fires is decided in apply; a Tick too many changes nothing.

use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::shutdown::Shutdown;
use fairground_types::Timestamp;
use fairground_types::limits::TICK_PERIOD;

use super::office::Office;
use crate::edge::directory::EdgeDirectory;
use crate::propose::Proposer;
use crate::state::State;

/// Longest sleep: an office just taken is noticed after this.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// Shortest sleep after a Tick was asked for, so that one that does nothing is not asked for again
/// at once.
const TICK_PAUSE: Duration = Duration::from_millis(10);

/// Watches the clock for the market.
pub(crate) struct DeadlineLoop {
    pub(crate) state: Arc<State>,
    pub(crate) office: Arc<Office>,
    pub(crate) edges: Arc<EdgeDirectory>,
    pub(crate) proposer: Proposer,
}

impl DeadlineLoop {
    /// Runs until `shutdown`.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut position = self.state.watch();
        loop {
            let pause = self.look();
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.edges.marked() => {}
                changed = position.changed(), if pause > TICK_PAUSE => {
                    if changed.is_err() { return; }
                }
            }
        }
    }

    fn look(&self) -> Duration {
        let Some((_, now)) = self.office.now() else { return LOOK_PERIOD };
        let marks = self.edges.fresh_marks();
        let (is_due, next) = self.state.read(|market| {
            let closes = market.completes_close(&marks, now);
            let beat = market.has_open_auction().then(|| market.last_at().plus(TICK_PERIOD));
            let next = match (market.next_deadline(), beat) {
                (Some(deadline), Some(beat)) => Some(deadline.min(beat)),
                (deadline, beat) => deadline.or(beat),
            };
            let silent = market.next_silence().filter(|_| !marks.is_empty());
            let next = [next, silent].into_iter().flatten().min();
            (closes || next.is_some_and(|next| next <= now), next)
        });
        if is_due {
            self.proposer.tick();
            return TICK_PAUSE;
        }
        next.map_or(LOOK_PERIOD, |next| {
            until(next, now).clamp(Duration::from_millis(1), LOOK_PERIOD)
        })
    }
}

fn until(instant: Timestamp, now: Timestamp) -> Duration {
    instant.since(now).to_duration()
}
