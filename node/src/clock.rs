//! Coordinator time as this edge knows it: the estimator of `fairground_wire` over one clock.
//!
//! It must not be asked for what decides anything but stamps, marks and expiries; without an
//! estimate the wall clock stands in for expiries only. Read next: `beat.rs`, which feeds it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fairground_runtime::clock::Clock;
use fairground_types::journal::Stamp;
use fairground_types::{Millis, Timestamp};
use fairground_wire::message::BeatDown;
use fairground_wire::session::beat::{ClockEstimator, ClockUnfit, Heard};

/// The edge's clocks.
pub(crate) struct CoordinatorTime {
    clock: Clock,
    estimator: Mutex<ClockEstimator>,
}

impl CoordinatorTime {
    /// No estimate yet. `floor` is the journal's last stamp.
    pub(crate) fn new(clock: Clock, floor: Option<Stamp>) -> Self {
        Self { clock, estimator: Mutex::new(ClockEstimator::new(floor)) }
    }

    /// Milliseconds since boot.
    pub(crate) fn monotonic(&self) -> Millis {
        self.clock.monotonic()
    }

    /// A beat leaves now; answers its `t0`.
    pub(crate) fn departs(&self) -> u64 {
        let mut estimator = self.lock();
        let now = self.clock.monotonic().as_millis();
        estimator.sent(now);
        now
    }

    /// An answer came.
    pub(crate) fn answered(&self, answer: &BeatDown) -> Heard {
        let mut estimator = self.lock();
        let now = self.clock.monotonic().as_millis();
        estimator.answered(answer, now)
    }

    /// The interval of coordinator time now, however wide.
    pub(crate) fn interval(&self) -> Option<Stamp> {
        let mut estimator = self.lock();
        let now = self.clock.monotonic().as_millis();
        estimator.interval(now)
    }

    /// A stamp for a bid received now.
    pub(crate) fn stamp(&self) -> Result<Stamp, ClockUnfit> {
        let mut estimator = self.lock();
        let now = self.clock.monotonic().as_millis();
        estimator.stamp(now)
    }

    /// The middle of the interval, or the wall clock while there is none: for expiries and for
    /// clients that count down.
    pub(crate) fn now(&self) -> Timestamp {
        match self.interval() {
            Some(stamp) => Timestamp::from_unix_millis(stamp.doubled_middle() / 2),
            None => self.clock.now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClockEstimator> {
        self.estimator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(t0: u64, t1: u64, term: u64) -> BeatDown {
        BeatDown { t0, t1: Timestamp::from_unix_millis(t1), term, leader: None, directory: None }
    }

    #[test]
    fn without_an_estimate_nothing_is_stamped_and_expiries_use_the_wall() {
        let time = CoordinatorTime::new(Clock::system(), None);
        assert_eq!(time.stamp(), Err(ClockUnfit::NoEstimate));
        assert!(time.now() > Timestamp::from_unix_millis(1_700_000_000_000));
    }

    #[test]
    fn an_answer_starts_the_wait_for_the_first_estimate() {
        let time = CoordinatorTime::new(Clock::system(), None);
        let t0 = time.departs();
        assert_eq!(time.answered(&answer(t0, 5_000_000, 1)), Heard::NewTerm);
        assert_eq!(time.stamp(), Err(ClockUnfit::Starting));
        let now = time.now().as_unix_millis();
        assert!((5_000_000..5_060_000).contains(&now), "{now}");
    }
}
