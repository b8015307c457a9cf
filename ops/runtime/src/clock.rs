//! The system's clocks. The only file that may read them.
//!
//! Nothing under `protocol/` sees this: instants enter there as values. Read next: `ids.rs`, which
//! needs an instant for every id.

use std::fmt;
use std::time::Duration;

use fairground_types::{Millis, Timestamp};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Reads wall time and time since boot.
#[derive(Clone, Copy)]
pub struct Clock(());

impl Clock {
    /// The clocks of this machine.
    #[must_use]
    pub const fn system() -> Self {
        Self(())
    }

    /// Wall time (`CLOCK_REALTIME`), UTC. It may jump; never use it to measure a length of time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        Timestamp::from_unix_millis(millis(clock_gettime(ClockId::Realtime)))
    }

    /// Time since boot, suspension included (`CLOCK_BOOTTIME`). It never falls.
    #[must_use]
    pub fn monotonic(self) -> Millis {
        Millis::new(millis(clock_gettime(ClockId::Boottime)))
    }

    /// Time since boot with the clock's own resolution, for intervals shorter than a millisecond.
    #[must_use]
    pub fn monotonic_fine(self) -> Duration {
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
        f.write_str("Clock(system)")
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
