//! How many bytes of media an edge may send in a day, and what it does when it has.
//!
//! ```text
//!   0 ............ budget ............ budget + a tenth .........
//!     within        | over              | exhausted
//!     all is served | no new playbacks, | nothing is served until midnight, UTC
//!                   | who plays goes on |
//! ```
//! Pure: instants are arguments; it must not know requests, files or other edges. Read next:
//! [`super::meter`], which counts, and `edge.rs`, which says to the others how it stands.

use fairground_types::Timestamp;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Who plays already may take this share of the budget beyond it.
const MARGIN_SHARE: u64 = 10;
/// One playback may always take so many bytes: short clips are looked at again and again.
pub(crate) const PLAYBACK_FREE: u64 = 64 * 1024 * 1024;

/// Bytes sent on one day of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayBytes {
    /// Days since 1970-01-01.
    day: u64,
    bytes: u64,
}

impl DayBytes {
    /// What was sent on the day of `at`.
    pub(crate) const fn new(at: Timestamp, bytes: u64) -> Self {
        Self { day: at.as_unix_millis() / DAY_MS, bytes }
    }

    /// So many more are sent now. A clock that was set back goes on with the newest day seen, so a
    /// budget cannot be had twice.
    pub(crate) fn count(&mut self, now: Timestamp, bytes: u64) {
        let (sent, today) = (self.sent(now), Self::new(now, 0).day);
        self.day = if self.is_far(today) { today } else { self.day.max(today) };
        self.bytes = sent.saturating_add(bytes);
    }

    /// What was sent so far on the day of `now`.
    pub(crate) const fn sent(&self, now: Timestamp) -> u64 {
        let today = Self::new(now, 0).day;
        if today > self.day || self.is_far(today) { 0 } else { self.bytes }
    }

    /// Whether the clock was wrong when this was counted: nobody counts for two days ahead.
    const fn is_far(&self, today: u64) -> bool {
        self.day.saturating_sub(today) > 1
    }
}

/// How an edge stands with its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Standing {
    /// All is served.
    Within,
    /// No playback begins here; who plays goes on.
    Over,
    /// Nothing is served.
    Exhausted,
}

/// How an edge stands that has sent so many bytes today; a budget of 0 is none.
pub(crate) const fn standing(sent: u64, budget: u64) -> Standing {
    if budget == 0 || sent < budget {
        Standing::Within
    } else if sent < budget.saturating_add(budget / MARGIN_SHARE) {
        Standing::Over
    } else {
        Standing::Exhausted
    }
}

/// How many bytes one playback of a clip of this size may take, each rung of it counted: so many
/// times its size, which a viewer hardly comes near and a crowd behind one token soon does.
pub(crate) fn playback_max(clip: u64, sizes: u32) -> u64 {
    clip.saturating_mul(u64::from(sizes)).max(PLAYBACK_FREE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u64, hour: u64) -> Timestamp {
        Timestamp::from_unix_millis(day * DAY_MS + hour * 3_600_000)
    }

    #[test]
    fn a_day_ends_at_midnight_of_utc() {
        let mut sent = DayBytes::default();
        sent.count(at(20_000, 0), 5);
        sent.count(at(20_000, 23), 6);
        let last = Timestamp::from_unix_millis(20_001 * DAY_MS - 1);
        assert_eq!((sent.sent(last), sent.sent(at(20_001, 0))), (11, 0));
        sent.count(at(20_001, 0), 3);
        assert_eq!(sent.sent(at(20_001, 23)), 3);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_back() {
        let mut sent = DayBytes::new(at(20_000, 1), 7);
        sent.count(at(19_999, 23), 2);
        assert_eq!((sent.sent(at(19_999, 23)), sent.sent(at(20_000, 2))), (9, 9));
        sent.count(at(20_000, 2), u64::MAX);
        assert_eq!(sent.sent(at(20_000, 2)), u64::MAX, "it stops at the most there is");
    }

    #[test]
    fn new_playbacks_are_refused_first_and_then_all() {
        let table = [
            (0, Standing::Within),
            (999, Standing::Within),
            (1_000, Standing::Over),
            (1_099, Standing::Over),
            (1_100, Standing::Exhausted),
            (u64::MAX, Standing::Exhausted),
        ];
        for (sent, expected) in table {
            assert_eq!(standing(sent, 1_000), expected, "{sent}");
            assert_eq!(standing(sent, 0), Standing::Within, "no budget");
        }
        assert_eq!(standing(u64::MAX - 1, u64::MAX), Standing::Within);
    }

    #[test]
    fn a_playback_has_several_sizes_and_short_clips_a_floor() {
        assert_eq!(playback_max(PLAYBACK_FREE, 3), 3 * PLAYBACK_FREE);
        assert_eq!(playback_max(1_000, 3), PLAYBACK_FREE);
        assert_eq!(playback_max(u64::MAX, 3), u64::MAX);
    }

    proptest::proptest! {
        #[test]
        fn what_is_counted_on_one_day_is_the_sum(
            parts in proptest::collection::vec(0_u64..1 << 40, 0..50),
        ) {
            let mut sent = DayBytes::default();
            for (hour, bytes) in (0_u64..).zip(&parts) {
                sent.count(at(20_000, hour % 24), *bytes);
            }
            proptest::prop_assert_eq!(sent.sent(at(20_000, 23)), parts.iter().sum::<u64>());
        }
    }
}
