//! Beats: the edge's estimate of coordinator time, and when it must beat.
//!
//! Cristian's method: an answer stamped `t1` to a beat sent at `t0` and back at `now` was stamped
//! while the beat travelled, so coordinator time now lies in `[t1, t1 + (now - t0)]`.
//!
//! ```text
//!          t0 ------- beat ------>  t1 (leader)
//!          now <----- answer -----
//!
//!   estimate at now          [ t1 ........ t1 + rtt + 2 ms ]     2 ms: three instants cut to ms
//!   e ms later               [ t1 + e - drift .. t1 + rtt + 2 + e + drift ]   drift = 500 ppm of e, + 1
//! ```
//! Answers narrow the estimate by intersection. One that does not meet it is a clock fault: no
//! stamp until three answers in a row agree with each other. Answers of an older term are dropped;
//! a new term starts a new estimate. Both ends of a stamp never fall, whatever happens to the
//! estimate. It must not know a clock: `now` is milliseconds of a clock that counts suspension.

use fairground_types::journal::{Mark, Stamp};
use fairground_types::limits::{BEAT_GAP_MIN, BEAT_PERIOD, CLOCK_DRIFT_PPM, STAMP_WIDTH_MAX};
use fairground_types::time::{Millis, Timestamp};

use crate::message::BeatDown;

/// Answers that must agree before a clock fault is over.
pub const FAULT_ANSWERS: u32 = 3;

/// How long after its first estimate an edge takes bids (bids.md 3).
pub const FIRST_ESTIMATE_WAIT: Millis = Millis::from_secs(1);

/// Why an edge cannot stamp now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockUnfit {
    /// No answer was heard yet.
    #[error("no estimate of coordinator time yet")]
    NoEstimate,
    /// Answers contradict each other.
    #[error("answers contradict each other")]
    Fault,
    /// Too uncertain.
    #[error("coordinator time is uncertain by {0}")]
    TooWide(Millis),
    /// The first estimate has not passed yet.
    #[error("the first estimate has not passed yet")]
    Starting,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It narrowed or confirmed the estimate.
    Agreed,
    /// It began a term's estimate.
    NewTerm,
    /// Of an older term, or to a beat never sent: dropped.
    Dropped,
    /// It contradicts the estimate.
    Fault,
    /// Three answers agree again.
    Recovered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Estimate {
    taken: u64,
    earliest: u64,
    latest: u64,
}

impl Estimate {
    fn at(self, now: u64) -> Self {
        let elapsed = now.saturating_sub(self.taken);
        let drift = elapsed.saturating_mul(CLOCK_DRIFT_PPM).div_ceil(1_000_000);
        let slack = if elapsed == 0 { 0 } else { drift.saturating_add(1) };
        Self {
            taken: now.max(self.taken),
            earliest: self.earliest.saturating_add(elapsed).saturating_sub(slack),
            latest: self.latest.saturating_add(elapsed).saturating_add(slack),
        }
    }

    fn meet(self, other: Self) -> Option<Self> {
        let earliest = self.earliest.max(other.earliest);
        let latest = self.latest.min(other.latest);
        (earliest <= latest).then_some(Self { taken: other.taken, earliest, latest })
    }
}

#[derive(Clone, Copy, Debug)]
enum Belief {
    Nothing,
    Trusted(Estimate),
    Faulty { candidate: Estimate, agreeing: u32 },
}

/// The edge's estimate of coordinator time.
#[derive(Debug)]
pub struct ClockEstimator {
    term: u64,
    belief: Belief,
    floor: Stamp,
    ready_above: Option<u64>,
    last_sent: Option<u64>,
    faults: u64,
}

impl ClockEstimator {
    /// An estimator that will never stamp below `floor`, the journal's last stamp.
    #[must_use]
    pub const fn new(floor: Option<Stamp>) -> Self {
        let floor = match floor {
            Some(floor) => floor,
            None => Stamp { earliest: Timestamp::EPOCH, latest: Timestamp::EPOCH },
        };
        Self {
            term: 0,
            belief: Belief::Nothing,
            floor,
            ready_above: None,
            last_sent: None,
            faults: 0,
        }
    }

    /// A beat was sent.
    pub const fn sent(&mut self, t0: u64) {
        self.last_sent = Some(t0);
    }

    /// The newest term heard of.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// Contradictions so far.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// Takes an answer that arrived at `now`.
    pub fn answered(&mut self, answer: &BeatDown, now: u64) -> Heard {
        let never_sent = self.last_sent.is_none_or(|sent| answer.t0 > sent) || answer.t0 > now;
        if answer.term < self.term || never_sent {
            return Heard::Dropped;
        }
        let round_trip = now.saturating_sub(answer.t0);
        let stamped = answer.t1.as_unix_millis();
        let fresh = Estimate {
            taken: now,
            earliest: stamped,
            latest: stamped.saturating_add(round_trip).saturating_add(2),
        };
        if self.ready_above.is_none() {
            let wait = FIRST_ESTIMATE_WAIT.as_millis();
            self.ready_above = Some(fresh.latest.saturating_add(wait));
        }
        if answer.term > self.term {
            self.term = answer.term;
            self.belief = Belief::Trusted(fresh);
            return Heard::NewTerm;
        }
        self.weigh(fresh, now)
    }

    fn weigh(&mut self, fresh: Estimate, now: u64) -> Heard {
        match self.belief {
            Belief::Nothing => {
                self.belief = Belief::Trusted(fresh);
                Heard::Agreed
            }
            Belief::Trusted(estimate) => match estimate.at(now).meet(fresh) {
                Some(met) => {
                    self.belief = Belief::Trusted(met);
                    Heard::Agreed
                }
                None => {
                    self.faults = self.faults.saturating_add(1);
                    self.belief = Belief::Faulty { candidate: fresh, agreeing: 1 };
                    Heard::Fault
                }
            },
            Belief::Faulty { candidate, agreeing } => match candidate.at(now).meet(fresh) {
                Some(met) if agreeing.saturating_add(1) >= FAULT_ANSWERS => {
                    self.belief = Belief::Trusted(met);
                    Heard::Recovered
                }
                Some(met) => {
                    let agreeing = agreeing.saturating_add(1);
                    self.belief = Belief::Faulty { candidate: met, agreeing };
                    Heard::Fault
                }
                None => {
                    self.faults = self.faults.saturating_add(1);
                    self.belief = Belief::Faulty { candidate: fresh, agreeing: 1 };
                    Heard::Fault
                }
            },
        }
    }

    /// The interval of coordinator time at `now`, whatever its width; `None` without a trusted
    /// estimate. Neither end ever falls.
    pub fn interval(&mut self, now: u64) -> Option<Stamp> {
        let Belief::Trusted(estimate) = self.belief else {
            return None;
        };
        let estimate = estimate.at(now);
        let earliest = self.floor.earliest.max(Timestamp::from_unix_millis(estimate.earliest));
        let latest =
            self.floor.latest.max(Timestamp::from_unix_millis(estimate.latest)).max(earliest);
        self.floor = Stamp { earliest, latest };
        Some(self.floor)
    }

    /// A stamp for a bid received at `now`.
    ///
    /// # Errors
    /// When the edge must not take bids now.
    pub fn stamp(&mut self, now: u64) -> Result<Stamp, ClockUnfit> {
        let Some(stamp) = self.interval(now) else {
            return Err(match self.belief {
                Belief::Faulty { .. } => ClockUnfit::Fault,
                Belief::Nothing | Belief::Trusted(_) => ClockUnfit::NoEstimate,
            });
        };
        if stamp.width() > STAMP_WIDTH_MAX {
            return Err(ClockUnfit::TooWide(stamp.width()));
        }
        let ready = self.ready_above.is_some_and(|above| stamp.earliest.as_unix_millis() > above);
        if ready { Ok(stamp) } else { Err(ClockUnfit::Starting) }
    }
}

/// When the next beat is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatDue {
    /// Now.
    Now,
    /// After so long, unless something changes.
    In(Millis),
}

/// Says when to beat: each half second, and at once when `earliest` passes a close, at most once
/// per 20 ms.
#[derive(Debug, Default)]
pub struct BeatSchedule {
    last: Option<u64>,
    promised: Timestamp,
}

impl BeatSchedule {
    /// A schedule whose first beat is due at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The highest watermark sent; a close at or before it needs no further beat.
    #[must_use]
    pub const fn promised(&self) -> Timestamp {
        self.promised
    }

    /// When to beat. `earliest` is that of now; `next_close` the first `closes_at` in the view
    /// above [`Self::promised`].
    #[must_use]
    pub fn due(
        &self,
        now: u64,
        earliest: Option<Timestamp>,
        next_close: Option<Timestamp>,
    ) -> BeatDue {
        let Some(last) = self.last else {
            return BeatDue::Now;
        };
        let since = now.saturating_sub(last);
        let period = BEAT_PERIOD.as_millis().saturating_sub(since);
        let early = match (earliest, next_close) {
            (Some(earliest), Some(close)) if close > self.promised => {
                let gap = BEAT_GAP_MIN.as_millis().saturating_sub(since);
                let passes = close
                    .as_unix_millis()
                    .saturating_add(1)
                    .saturating_sub(earliest.as_unix_millis());
                Some(gap.max(passes))
            }
            (Some(_) | None, Some(_) | None) => None,
        };
        match early.map_or(period, |early| early.min(period)) {
            0 => BeatDue::Now,
            wait => BeatDue::In(Millis::new(wait)),
        }
    }

    /// A beat was sent with this mark.
    pub fn sent(&mut self, now: u64, mark: Option<Mark>) {
        self.last = Some(now);
        if let Some(mark) = mark {
            self.promised = self.promised.max(mark.watermark);
        }
    }
}
