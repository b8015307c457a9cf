//! The office clock: what a leader stamps log time with.
//!
//! ```text
//!  taking office   ask every member for its clock, allow for half the round trip, take the median,
//!                  once the clocks of more than half of all voters are within 500 ms of it
//!  in office       median + time that passed on the clock that counts suspension
//!  every 10 s      a new median; the difference is made up at 300 ppm at most
//!  over 500 ms off the leader gives up office
//! ```
//!
//! Everything here is arithmetic on values handed in; who asks whom is in `office.rs`. No wall clock
//! is read while in office, so a step of it moves nothing.

use fairground_types::{Millis, Timestamp};

/// How far the office clock may be from the members' median.
pub(crate) const OFFICE_OFF_MAX: Millis = Millis::new(500);
/// How fast a difference is made up, parts per million.
const SLEW_PPM: i64 = 300;

/// The clock of one leader in one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfficeClock {
    /// Coordinator time at `taken`.
    base: Timestamp,
    /// Reading of the monotonic clock when `base` held.
    taken: Millis,
    /// What is still to be made up, milliseconds.
    pending: i64,
}

/// A member's clock, as the leader learned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What the member said.
    pub(crate) said: Timestamp,
    /// The leader's monotonic clock when it asked.
    pub(crate) asked: Millis,
    /// The leader's monotonic clock when it heard.
    pub(crate) heard: Millis,
}

impl Reading {
    /// What the member's clock shows when the leader's monotonic clock shows `monotonic`.
    pub(crate) fn at(self, monotonic: Millis) -> Timestamp {
        let round_trip = self.heard.as_millis().saturating_sub(self.asked.as_millis());
        let since = monotonic.as_millis().saturating_sub(self.heard.as_millis());
        self.said.plus(Millis::new((round_trip / 2).saturating_add(since)))
    }
}

/// The median of clocks, the mean of the middle two when they are even in number.
pub(crate) fn median(readings: &[Reading], monotonic: Millis) -> Option<Timestamp> {
    let mut clocks: Vec<u64> =
        readings.iter().map(|reading| reading.at(monotonic).as_unix_millis()).collect();
    clocks.sort_unstable();
    let upper = clocks.get(clocks.len() / 2).copied()?;
    let lower = clocks.get(clocks.len().saturating_sub(1) / 2).copied()?;
    Some(Timestamp::from_unix_millis(lower.midpoint(upper)))
}

/// The median of clocks, when those of more than half of all `voters` are near it. Of two clocks that
/// differ nobody can say which one is right, and their mean is neither.
pub(crate) fn agreed(readings: &[Reading], voters: usize, monotonic: Millis) -> Option<Timestamp> {
    let median = median(readings, monotonic)?;
    let is_near = |reading: &&Reading| {
        let clock = reading.at(monotonic);
        clock.since(median).max(median.since(clock)) <= OFFICE_OFF_MAX
    };
    let near = readings.iter().filter(is_near).count();
    (near.saturating_mul(2) > voters).then_some(median)
}

impl OfficeClock {
    /// Takes office at `median`.
    pub(crate) fn take(median: Timestamp, monotonic: Millis) -> Self {
        Self { base: median, taken: monotonic, pending: 0 }
    }

    /// Coordinator time; never falls while the monotonic clock does not.
    pub(crate) fn now(&self, monotonic: Millis) -> Timestamp {
        let elapsed = monotonic.as_millis().saturating_sub(self.taken.as_millis());
        let allowed =
            i64::try_from(elapsed).unwrap_or(i64::MAX).saturating_mul(SLEW_PPM) / 1_000_000;
        let correction = self.pending.clamp(allowed.saturating_neg(), allowed);
        let run = self.base.plus(Millis::new(elapsed));
        let magnitude = Millis::new(correction.unsigned_abs());
        if correction < 0 { run.minus(magnitude) } else { run.plus(magnitude) }
    }

    /// Aims at a new median. Says how far off it was when that is too far to stay in office.
    pub(crate) fn aim(&mut self, median: Timestamp, monotonic: Millis) -> Result<(), Millis> {
        let now = self.now(monotonic);
        let ahead = median.since(now);
        let behind = now.since(median);
        let off = ahead.max(behind);
        if off > OFFICE_OFF_MAX {
            return Err(off);
        }
        self.base = now;
        self.taken = monotonic;
        let span = i64::try_from(off.as_millis()).unwrap_or(i64::MAX);
        self.pending = if behind > ahead { span.saturating_neg() } else { span };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(said: u64, asked: u64, heard: u64) -> Reading {
        Reading {
            said: Timestamp::from_unix_millis(said),
            asked: Millis::new(asked),
            heard: Millis::new(heard),
        }
    }

    #[test]
    fn median_ignores_one_wrong_clock() {
        let readings = [reading(1_000, 0, 0), reading(1_010, 0, 0), reading(9_999_999, 0, 0)];
        assert_eq!(median(&readings, Millis::ZERO), Some(Timestamp::from_unix_millis(1_010)));
        assert_eq!(median(&readings[..2], Millis::ZERO), Some(Timestamp::from_unix_millis(1_005)));
        assert_eq!(median(&[], Millis::ZERO), None);
    }

    #[test]
    fn clocks_of_a_majority_of_all_voters_must_agree() {
        let near = [reading(1_000, 0, 0), reading(1_400, 0, 0)];
        assert_eq!(agreed(&near, 3, Millis::ZERO), Some(Timestamp::from_unix_millis(1_200)));
        assert_eq!(agreed(&near, 4, Millis::ZERO), None, "two of four are no majority");
        let apart = [reading(1_000, 0, 0), reading(3_601_000, 0, 0)];
        assert_eq!(agreed(&apart, 3, Millis::ZERO), None, "their mean is nobody's clock");
        let third = [apart[0], apart[1], reading(1_100, 0, 0)];
        assert_eq!(agreed(&third, 3, Millis::ZERO), Some(Timestamp::from_unix_millis(1_100)));
        assert_eq!(agreed(&apart[..1], 1, Millis::ZERO), Some(Timestamp::from_unix_millis(1_000)));
        assert_eq!(agreed(&[], 1, Millis::ZERO), None);
    }

    #[test]
    fn reading_allows_for_half_the_round_trip_and_the_time_since() {
        let reading = reading(1_000, 10, 30);
        assert_eq!(reading.at(Millis::new(35)), Timestamp::from_unix_millis(1_015));
    }

    #[test]
    fn office_clock_makes_up_a_difference_slowly_and_never_falls() {
        let mut clock = OfficeClock::take(Timestamp::from_unix_millis(100_000), Millis::ZERO);
        let wrong = Timestamp::from_unix_millis(109_900);
        assert_eq!(clock.aim(wrong, Millis::new(10_000)), Ok(()));
        let mut last = clock.now(Millis::new(10_000));
        assert_eq!(last, Timestamp::from_unix_millis(110_000));
        for step in 1..=100_u64 {
            let now = clock.now(Millis::new(10_000 + step * 1_000));
            assert!(now >= last);
            last = now;
        }
        // 100 s at 300 ppm make up 30 ms of the 100 ms.
        assert_eq!(last, Timestamp::from_unix_millis(209_970));
    }

    #[test]
    fn leader_that_is_half_a_second_off_is_told_so() {
        let mut clock = OfficeClock::take(Timestamp::from_unix_millis(100_000), Millis::ZERO);
        let off = clock.aim(Timestamp::from_unix_millis(100_501), Millis::ZERO);
        assert_eq!(off, Err(Millis::new(501)));
        assert_eq!(clock.now(Millis::ZERO), Timestamp::from_unix_millis(100_000));
    }
}
