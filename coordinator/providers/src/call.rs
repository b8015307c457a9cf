//! One call to a provider: a place among the bounded, a breaker, bounded retries with jitter.
//!
//! ```text
//!  closed --5 failures in a row--> open --30 s--> one probe --success--> closed
//!                                    ^------------- failure ---'
//! ```
//! Time and chance are [`Ports`], so a test runs through half an hour of failures at once and sees
//! the same waits each time. It must not know what a call does. Read next: `http.rs`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_types::Timestamp;
use tokio::sync::Semaphore;

use crate::error::ProviderError;

/// How long a call waits for a place before it is told to come back.
const PLACE_WAIT: Duration = Duration::from_secs(5);

/// A wait under way.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where a client learns the time and waits.
pub trait Time: Send + Sync {
    /// Time since some start; it never falls.
    fn monotonic(&self) -> Duration;
    /// Wall time.
    fn wall(&self) -> Timestamp;
    /// Resolves after `length`.
    fn wait(&self, length: Duration) -> Wait<'_>;
}

/// The machine's own time.
#[derive(Debug, Clone, Copy)]
pub struct MachineTime(pub Clock);

impl Time for MachineTime {
    fn monotonic(&self) -> Duration {
        self.0.monotonic_fine()
    }

    fn wall(&self) -> Timestamp {
        self.0.now()
    }

    fn wait(&self, length: Duration) -> Wait<'_> {
        Box::pin(tokio::time::sleep(length))
    }
}

/// Time and chance as a client gets them.
#[derive(Clone)]
pub struct Ports {
    /// Time.
    pub time: Arc<dyn Time>,
    /// The seed of the jitter.
    pub seed: u64,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// What is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Everything that may succeed later; the other side recognises a repetition, or bears it.
    Transient,
    /// Only what was certainly not carried out.
    Unsent,
}

/// How a provider is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in one call, the first included. Default: 3.
    pub attempts_max: u32,
    /// The bound of the first wait; it doubles. Default: 500 ms.
    pub wait_min: Duration,
    /// The greatest wait inside a call; a longer one is left to the caller. Default: 20 s.
    pub wait_max: Duration,
    /// Failures in a row that open the breaker. Default: 5.
    pub open_after: u32,
    /// How long it stays open before a probe. Default: 30 s.
    pub open_for: Duration,
    /// Calls at a time. Default: 8.
    pub at_once: usize,
    /// What is repeated. Default: everything transient.
    pub repeat: Repeat,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            wait_min: Duration::from_millis(500),
            wait_max: Duration::from_secs(20),
            open_after: 5,
            open_for: Duration::from_secs(30),
            at_once: 8,
            repeat: Repeat::Transient,
        }
    }
}

/// Guards the calls to one provider.
pub struct Guard {
    provider: &'static str,
    policy: Policy,
    ports: Ports,
    places: Semaphore,
    breaker: Mutex<Breaker>,
    calls: AtomicU64,
}

impl Guard {
    /// A guard with its breaker closed.
    #[must_use]
    pub fn new(provider: &'static str, policy: Policy, ports: Ports) -> Self {
        Self {
            provider,
            policy,
            ports,
            places: Semaphore::new(policy.at_once),
            breaker: Mutex::new(Breaker::Closed { failures: 0 }),
            calls: AtomicU64::new(0),
        }
    }

    /// Makes a call: `attempt` gets the number of the attempt, from 1, and bounds its own time.
    ///
    /// # Errors
    /// The last attempt's, or [`ProviderError::Paused`].
    pub async fn call<T, F, A>(&self, mut attempt: F) -> Result<T, ProviderError>
    where
        F: FnMut(u32) -> A,
        A: Future<Output = Result<T, ProviderError>>,
    {
        let _place = self.place().await?;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut number = 1;
        loop {
            let now = self.ports.time.monotonic();
            let admitted = self.breaker().admit(now, &self.policy);
            admitted.map_err(|wait| self.paused(wait))?;
            let ended = attempt(number).await;
            let is_failure = ended.as_ref().err().is_some_and(ProviderError::is_failure);
            let now = self.ports.time.monotonic();
            let has_opened = self.breaker().record(now, is_failure, &self.policy);
            if has_opened {
                tracing::warn!(provider = self.provider, "calls paused after repeated failures");
            }
            let error = match ended {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let jitter = Chance { seed: self.ports.seed, call, number };
            let wait = back_off(&self.policy, jitter).max(error.retry_after().unwrap_or_default());
            if number >= self.policy.attempts_max
                || !self.may_repeat(&error)
                || wait > self.policy.wait_max
            {
                return Err(error);
            }
            self.ports.time.wait(wait).await;
            number = number.saturating_add(1);
        }
    }

    /// The time that this guard goes by.
    pub(crate) fn time(&self) -> &dyn Time {
        self.ports.time.as_ref()
    }

    async fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, ProviderError> {
        tokio::select! {
            biased;
            place = self.places.acquire() => place.map_err(|_| self.paused(PLACE_WAIT)),
            () = self.ports.time.wait(PLACE_WAIT) => Err(self.paused(PLACE_WAIT)),
        }
    }

    fn may_repeat(&self, error: &ProviderError) -> bool {
        match error {
            // Neither gets better within seconds.
            ProviderError::Misconfigured { .. } | ProviderError::Paused { .. } => false,
            _ => match self.policy.repeat {
                Repeat::Transient => error.is_transient(),
                Repeat::Unsent => error.is_unsent(),
            },
        }
    }

    const fn paused(&self, retry_after: Duration) -> ProviderError {
        ProviderError::Paused { provider: self.provider, retry_after }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("provider", &self.provider)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaker {
    Closed {
        failures: u32,
    },
    Open {
        since: Duration,
    },
    /// One call is let through; when it is never heard of again, the next one may try.
    Probing {
        since: Duration,
    },
}

impl Breaker {
    /// Lets a call through, or says how long not to.
    fn admit(&mut self, now: Duration, policy: &Policy) -> Result<(), Duration> {
        match *self {
            Self::Closed { .. } => Ok(()),
            Self::Open { since } | Self::Probing { since } => {
                let left = since.saturating_add(policy.open_for).saturating_sub(now);
                if left > Duration::ZERO {
                    return Err(left);
                }
                *self = Self::Probing { since: now };
                Ok(())
            }
        }
    }

    /// Notes how a call ended; says whether it opened the breaker.
    const fn record(&mut self, now: Duration, is_failure: bool, policy: &Policy) -> bool {
        let failures = match *self {
            Self::Closed { failures } => failures.saturating_add(1),
            Self::Open { .. } | Self::Probing { .. } => policy.open_after,
        };
        if !is_failure {
            *self = Self::Closed { failures: 0 };
            return false;
        }
        let was_open = matches!(self, Self::Open { .. });
        if failures < policy.open_after {
            *self = Self::Closed { failures };
            return false;
        }
        *self = Self::Open { since: now };
        !was_open
    }
}

#[derive(Debug, Clone, Copy)]
struct Chance {
    seed: u64,
    call: u64,
    number: u32,
}

/// Full jitter: anything up to a bound that doubles with each attempt.
fn back_off(policy: &Policy, chance: Chance) -> Duration {
    let doublings = chance.number.saturating_sub(1).min(16);
    let bound = policy.wait_min.saturating_mul(1_u32 << doublings).min(policy.wait_max);
    let mixed = mix(mix(chance.seed ^ chance.call).wrapping_add(u64::from(chance.number)));
    let share = u32::try_from(mixed % 1_024).unwrap_or(0);
    bound.saturating_mul(share) / 1_024
}

/// The finaliser of `SplitMix64`.
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time that moves only by waiting, and notes each wait.
    #[derive(Default)]
    struct Dial {
        now: AtomicU64,
        waits: Mutex<Vec<Duration>>,
    }

    impl Time for Dial {
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.now.load(Ordering::Relaxed))
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_unix_millis(self.now.load(Ordering::Relaxed))
        }

        fn wait(&self, length: Duration) -> Wait<'_> {
            Box::pin(async move {
                self.waits.lock().expect("nobody panicked").push(length);
                let passed = u64::try_from(length.as_millis()).expect("it fits");
                self.now.fetch_add(passed, Ordering::Relaxed);
            })
        }
    }

    fn guard(policy: Policy) -> (Guard, Arc<Dial>) {
        let dial = Arc::new(Dial::default());
        let ports = Ports { time: Arc::<Dial>::clone(&dial), seed: 7 };
        (Guard::new("somebody", policy, ports), dial)
    }

    fn unavailable(status: u16, retry_after: Option<u64>) -> ProviderError {
        let retry_after = retry_after.map(Duration::from_secs);
        ProviderError::Unavailable {
            provider: "somebody",
            status,
            code: String::new(),
            retry_after,
        }
    }

    async fn attempts(guard: &Guard, error: fn() -> ProviderError) -> (u32, ProviderError) {
        let mut made = 0;
        let ended: Result<(), _> = guard
            .call(|number| {
                made = number;
                async move { Err(error()) }
            })
            .await;
        (made, ended.expect_err("it fails"))
    }

    #[tokio::test]
    async fn retries_are_three_at_most_and_wait_by_the_seed() {
        let (first, dial) = guard(Policy::default());
        let (made, _) = attempts(&first, || unavailable(503, None)).await;
        assert_eq!(made, 3);
        let waits = dial.waits.lock().expect("nobody panicked").clone();
        assert_eq!(waits.len(), 2);
        assert!(waits[0] <= Duration::from_millis(500) && waits[1] <= Duration::from_secs(1));
        let (second, again) = guard(Policy::default());
        attempts(&second, || unavailable(503, None)).await;
        assert_eq!(*again.waits.lock().expect("nobody panicked"), waits);
    }

    #[tokio::test]
    async fn the_asked_wait_is_kept_and_a_long_one_is_left_to_the_caller() {
        let (guard, dial) = guard(Policy::default());
        let (made, _) = attempts(&guard, || unavailable(429, Some(3))).await;
        assert_eq!(made, 3);
        let waits = dial.waits.lock().expect("nobody panicked").clone();
        assert!(waits.iter().all(|wait| *wait >= Duration::from_secs(3)), "{waits:?}");
        let (made, error) = attempts(&guard, || unavailable(429, Some(60))).await;
        assert_eq!((made, error.retry_after()), (1, Some(Duration::from_secs(60))));
    }

    #[tokio::test]
    async fn what_may_have_happened_is_not_repeated_where_that_would_send_twice() {
        let (guard, _) = guard(Policy { repeat: Repeat::Unsent, ..Policy::default() });
        let lost = || ProviderError::Unsettled { provider: "somebody", status: None, source: None };
        assert_eq!(attempts(&guard, lost).await.0, 1);
        let refused = || ProviderError::Refused { provider: "somebody", code: String::new() };
        assert_eq!(attempts(&guard, refused).await.0, 1);
        let unreached = || ProviderError::Unreached { provider: "somebody", source: None };
        assert_eq!(attempts(&guard, unreached).await.0, 3);
    }

    #[tokio::test]
    async fn five_failures_pause_calls_until_a_probe_succeeds() {
        let (guard, dial) = guard(Policy { attempts_max: 1, ..Policy::default() });
        for _ in 0..5 {
            assert_eq!(attempts(&guard, || unavailable(500, None)).await.0, 1);
        }
        let (made, error) = attempts(&guard, || unavailable(500, None)).await;
        assert!(matches!(error, ProviderError::Paused { .. }) && made == 0);
        dial.wait(Duration::from_secs(30)).await;
        // The probe fails: paused for another while.
        assert_eq!(attempts(&guard, || unavailable(500, None)).await.0, 1);
        assert_eq!(attempts(&guard, || unavailable(500, None)).await.0, 0);
        dial.wait(Duration::from_secs(30)).await;
        guard.call(|_| async { Ok(()) }).await.expect("the probe succeeds");
        assert_eq!(attempts(&guard, || unavailable(500, None)).await.0, 1);
        guard.call(|_| async { Ok(()) }).await.expect("closed again");
    }

    #[test]
    fn one_probe_at_a_time() {
        let policy = Policy::default();
        let mut breaker = Breaker::Open { since: Duration::ZERO };
        let later = Duration::from_secs(31);
        assert!(breaker.admit(later, &policy).is_ok());
        assert!(breaker.admit(later, &policy).is_err());
        // A probe that was never heard of again blocks nobody for ever.
        assert!(breaker.admit(Duration::from_secs(62), &policy).is_ok());
    }

    #[tokio::test]
    async fn refusals_and_rate_limits_never_open_the_breaker() {
        let (guard, _) = guard(Policy { attempts_max: 1, ..Policy::default() });
        for _ in 0..20 {
            assert_eq!(attempts(&guard, || unavailable(429, None)).await.0, 1);
            let refused = || ProviderError::Refused { provider: "somebody", code: String::new() };
            assert_eq!(attempts(&guard, refused).await.0, 1);
        }
    }

    #[tokio::test]
    async fn calls_beyond_the_places_are_told_to_come_back() {
        let (guard, _) = guard(Policy { at_once: 1, ..Policy::default() });
        let inner = guard
            .call(|_| async {
                let refused: Result<(), _> = guard.call(|_| async { Ok(()) }).await;
                Ok(refused.expect_err("there is no place"))
            })
            .await;
        assert!(matches!(inner, Ok(ProviderError::Paused { .. })));
    }
}
