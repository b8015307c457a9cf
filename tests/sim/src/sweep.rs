//! Many seeds: former failures first, then fresh ones, on several threads until time is up.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use fairground_runtime::clock::Clock;

use crate::checks::rows;
use crate::run::{Mode, Outcome, run};
use crate::world::lock;

/// Seeds that once failed, one a line; what follows a seed says what it found.
const FORMER: &str = include_str!("../seeds");

/// How many times its time a sweep may take for the seeds that it must run.
const LATE_MAX: u32 = 3;

/// What to sweep.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// Threads.
    pub jobs: usize,
    /// For how long; longer only for the seeds that were asked for.
    pub time: Duration,
    /// How many fresh seeds.
    pub seeds: Option<u64>,
    /// How many simulated hours are enough, once the seeds are done.
    pub hours: Option<u64>,
    /// The first fresh seed.
    pub from: u64,
    /// Stops at the first violation.
    pub stops: bool,
}

/// What came of a sweep.
#[derive(Default)]
pub struct Swept {
    /// Seeds that ran.
    pub seeds: u64,
    /// How long their clusters lived.
    pub simulated: Duration,
    /// What is wrong, by seed.
    pub violations: BTreeMap<u64, Vec<String>>,
    /// How often each check had something to check.
    pub checked: BTreeMap<&'static str, u64>,
    /// How often each thing happened.
    pub happened: BTreeMap<&'static str, u64>,
    next: usize,
}

/// Seeds that once failed.
#[must_use]
pub fn former() -> Vec<u64> {
    let lines = FORMER.lines().filter_map(|line| line.split_whitespace().next());
    lines.filter_map(|seed| seed.parse().ok()).collect()
}

impl Swept {
    fn add(&mut self, outcome: Outcome) {
        self.seeds = self.seeds.saturating_add(1);
        self.simulated = self.simulated.saturating_add(outcome.simulated);
        for (all, one) in
            [(&mut self.checked, outcome.checked), (&mut self.happened, outcome.happened)]
        {
            for (name, count) in one {
                let sum = all.entry(name).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        if !outcome.violations.is_empty() {
            self.violations.insert(outcome.seed, outcome.violations);
        }
    }

    /// Rows that no seed tried and checks that had nothing to check.
    #[must_use]
    pub fn dead(&self) -> Vec<String> {
        rows::dead(&self.happened, &self.checked)
    }
}

/// Sweeps; `tell` hears of each outcome.
pub fn sweep(sweep: Sweep, tell: impl Fn(&Outcome) + Sync) -> Swept {
    let clock = Clock::system();
    let began = clock.monotonic_fine();
    let former = former();
    let swept = Mutex::new(Swept::default());
    std::thread::scope(|scope| {
        for _ in 0..sweep.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = {
                        let mut swept = lock(&swept);
                        let place = swept.next;
                        swept.next = place.saturating_add(1);
                        let fresh = u64::try_from(place.saturating_sub(former.len())).unwrap_or(0);
                        let is_former = former.get(place).copied();
                        let took = clock.monotonic_fine().saturating_sub(began);
                        let is_enough = sweep.seeds.is_some_and(|seeds| fresh >= seeds)
                            && sweep.hours.is_none_or(|hours| {
                                swept.simulated >= Duration::from_secs(hours.saturating_mul(3_600))
                            });
                        let is_failed = sweep.stops && !swept.violations.is_empty();
                        // Seeds that were asked for are not given up for a slow machine's sake.
                        let has_seeds = sweep.seeds.is_none_or(|seeds| fresh >= seeds);
                        let is_late = took >= sweep.time && has_seeds
                            || took >= sweep.time.saturating_mul(LATE_MAX);
                        if is_failed || (is_former.is_none() && (is_enough || is_late)) {
                            return;
                        }
                        is_former.unwrap_or_else(|| sweep.from.wrapping_add(fresh))
                    };
                    match run(seed, Mode::default()) {
                        Ok(outcome) => {
                            tell(&outcome);
                            lock(&swept).add(outcome);
                        }
                        Err(error) => {
                            let why = vec![format!("it could not be run: {error:#}")];
                            lock(&swept).violations.insert(seed, why);
                        }
                    }
                }
            });
        }
    });
    swept.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
