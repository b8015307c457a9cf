//! A limit of requests per key, in bounded memory.
//!
//! The generic cell rate algorithm (ITU-T I.371): per key only the instant at which its bucket will
//! be full again. Keys live in small sets chosen by a randomly seeded hash; a full set forgets the
//! key that is closest to a full bucket, so memory is fixed and nobody can fill it on purpose. It
//! must not know what a key is.

use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use fairground_types::Millis;

/// Keys of one set.
const WAYS: usize = 8;

/// How much a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests at once from a full bucket; at least 1.
    pub burst: u32,
    /// Time in which one request is earned back.
    pub refill: Millis,
    /// Keys that are remembered, rounded up to a multiple of eight.
    pub keys_max: usize,
}

/// What is left in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests that would be allowed at once.
    pub requests: u32,
    /// Until the bucket is full again.
    pub full_in: Millis,
}

/// Limits requests per key. Times come from `Clock::monotonic`.
pub struct RateLimiter<K> {
    limit: RateLimit,
    hasher: RandomState,
    sets: Mutex<Vec<Vec<Slot<K>>>>,
}

struct Slot<K> {
    key: K,
    full_at: u64,
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// A limiter whose buckets are all full.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        let sets = limit.keys_max.div_ceil(WAYS).max(1);
        let sets = std::iter::repeat_with(Vec::new).take(sets).collect();
        Self { limit, hasher: RandomState::new(), sets: Mutex::new(sets) }
    }

    /// Takes one request from the bucket of `key`.
    ///
    /// # Errors
    /// How long until the next request is allowed; nothing is taken then.
    pub fn check(&self, key: &K, now: Millis) -> Result<(), Millis> {
        self.take(key, now).map(|_| ())
    }

    /// The limit.
    #[must_use]
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Takes one request from the bucket of `key` and says what is left in it.
    ///
    /// # Errors
    /// How long until the next request is allowed; nothing is taken then.
    pub fn take(&self, key: &K, now: Millis) -> Result<Left, Millis> {
        let now = now.as_millis();
        let refill = self.limit.refill.as_millis().max(1);
        let capacity = refill.saturating_mul(u64::from(self.limit.burst.max(1)));
        let hash = usize::try_from(self.hasher.hash_one(key) >> 1).unwrap_or(usize::MAX);

        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sets.len();
        let set = &mut sets[hash % count];
        let found = set.iter().position(|slot| slot.key == *key);
        let full_at = found.map_or(now, |at| set[at].full_at.max(now));
        let next = full_at.saturating_add(refill);
        if next > now.saturating_add(capacity) {
            return Err(Millis::new(next - now - capacity));
        }
        match found {
            Some(at) => set[at].full_at = next,
            None if set.len() < WAYS => set.push(Slot { key: key.clone(), full_at: next }),
            None => {
                if let Some(slot) = set.iter_mut().min_by_key(|slot| slot.full_at) {
                    *slot = Slot { key: key.clone(), full_at: next };
                }
            }
        }
        let used = next.saturating_sub(now);
        let left = capacity.saturating_sub(used) / refill;
        Ok(Left { requests: u32::try_from(left).unwrap_or(u32::MAX), full_in: Millis::new(used) })
    }
}

impl<K> fmt::Debug for RateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> RateLimiter<u32> {
        RateLimiter::new(RateLimit { burst: 3, refill: Millis::new(100), keys_max: 64 })
    }

    #[test]
    fn a_burst_passes_and_then_one_per_refill() {
        let limiter = limiter();
        let start = Millis::new(1_000);
        assert!((0..3).all(|_| limiter.check(&1, start).is_ok()));
        assert_eq!(limiter.check(&1, start), Err(Millis::new(100)));
        assert_eq!(limiter.check(&1, Millis::new(1_040)), Err(Millis::new(60)));
        assert_eq!(limiter.check(&1, Millis::new(1_100)), Ok(()));
        assert!(limiter.check(&1, Millis::new(1_100)).is_err());
        assert_eq!(limiter.check(&2, start), Ok(()));
    }

    #[test]
    fn what_is_left_is_told() {
        let limiter = limiter();
        let left = |requests, full_in| Ok(Left { requests, full_in: Millis::new(full_in) });
        assert_eq!(limiter.take(&1, Millis::new(0)), left(2, 100));
        assert_eq!(limiter.take(&1, Millis::new(0)), left(1, 200));
        assert_eq!(limiter.take(&1, Millis::new(150)), left(1, 150));
    }

    #[test]
    fn many_keys_take_no_more_memory() {
        let limiter = limiter();
        for key in 0..10_000 {
            assert_eq!(limiter.check(&key, Millis::new(5)), Ok(()));
        }
        let kept: usize = limiter.sets.lock().expect("whole").iter().map(Vec::len).sum();
        assert!(kept <= 64);
    }
}
