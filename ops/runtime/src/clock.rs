//! The system's clocks. The only file that may read them.
//!
//! In a simulated world a clock is one of that world's instead.
//! Nothing under `protocol/` sees this: instants enter there as values. Read next: `ids.rs`, which
//! needs an instant for every id.

use std::fmt;
use std::time::Duration;

use fairground_types::{Millis, Timestamp};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Reads wall time and time since boot.
#[derive(Clone, Copy)]
pub struct Clock(Source);

#[derive(Clone, Copy)]
enum Source {
    System,
    #[cfg(feature = "sim")]
    Simulated(u32),
}

impl Clock {
    /// The clocks of this machine.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock of the simulated world that this thread is in.
    #[cfg(feature = "sim")]
    #[must_use]
    pub const fn simulated(slot: u32) -> Self {
        Self(Source::Simulated(slot))
    }

    /// Wall time (`CLOCK_REALTIME`), UTC. It may jump; never use it to measure a length of time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        let millis = match self.0 {
            Source::System => millis(clock_gettime(ClockId::Realtime)),
            #[cfg(feature = "sim")]
            Source::Simulated(slot) => fairground_seam::sim::wall(slot),
        };
        Timestamp::from_unix_millis(millis)
    }

    /// Time since boot, suspension included (`CLOCK_BOOTTIME`). It never falls.
    #[must_use]
    pub fn monotonic(self) -> Millis {
        let millis = match self.0 {
            Source::System => millis(clock_gettime(ClockId::Boottime)),
            #[cfg(feature = "sim")]
            Source::Simulated(slot) => {
                let counted = fairground_seam::sim::monotonic(slot).as_millis();
                u64::try_from(counted).unwrap_or(u64::MAX)
            }
        };
        Millis::new(millis)
    }

    /// Time since boot with the clock's own resolution, for intervals shorter than a millisecond.
    #[must_use]
    pub fn monotonic_fine(self) -> Duration {
        #[cfg(feature = "sim")]
        if let Source::Simulated(slot) = self.0 {
            return fairground_seam::sim::monotonic(slot);
        }
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

fn millis(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::System => f.write_str("Clock(system)"),
            #[cfg(feature = "sim")]
            Source::Simulated(slot) => write!(f, "Clock({slot})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_never_falls_and_wall_time_is_of_this_age() {
        let clock = Clock::system();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.monotonic_fine() >= first.to_duration());
        assert!(clock.now() > Timestamp::from_unix_millis(1_700_000_000_000));
    }
}
