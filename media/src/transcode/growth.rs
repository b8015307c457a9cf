//! When a beginning of the clip is worth publishing while the rest is being made.
//!
//! Pure. Read next: `super::first`, which asks.

use std::time::{Duration, Instant};

/// Groups of the first beginning: players start with two segments in hand.
const GROUPS_MIN: u64 = 2;
/// Least time from one beginning to the next.
const PERIOD: Duration = Duration::from_secs(3);
/// Beginnings of one clip at most: each is an entry of the cluster's log.
const BEGINNINGS_MAX: u32 = 200;

/// What has been published of a clip so far.
#[derive(Debug, Default)]
pub(super) struct Growth {
    groups: u64,
    at: Option<Instant>,
    count: u32,
}

impl Growth {
    /// Whether a beginning of `groups` groups is to be published now; then it counts as published.
    pub(super) fn is_due(&mut self, groups: u64, now: Instant) -> bool {
        let is_rested = self.at.is_none_or(|at| now.saturating_duration_since(at) >= PERIOD);
        let is_due = groups >= GROUPS_MIN
            && groups > self.groups
            && is_rested
            && self.count < BEGINNINGS_MAX;
        if is_due {
            *self = Self { groups, at: Some(now), count: self.count.saturating_add(1) };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_grow_and_keep_their_distance() {
        let mut growth = Growth::default();
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        assert!(!growth.is_due(1, start), "one segment plays for too short");
        assert!(growth.is_due(2, start));
        assert!(!growth.is_due(3, after(2)), "too soon");
        assert!(!growth.is_due(2, after(3)), "nothing new");
        assert!(growth.is_due(3, after(3)));
        let published = (4..1_000).filter(|n| growth.is_due(*n, after(n * 3))).count();
        assert_eq!(published, 198);
    }
}
