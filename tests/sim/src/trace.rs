//! What a run says about itself: a digest over everything that happened, counters, and violations.
//!
//! The trace is (world time, actor, event, payload); its digest is equal for equal seeds. It must not
//! know what an event means.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairground_seam::sim;

/// A place for what every part of a world tells. Clones are the same place.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    hasher: blake3::Hasher,
    lines: u64,
    prints: bool,
    checked: BTreeMap<&'static str, u64>,
    happened: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

/// Violations that are kept; one that repeats says nothing new.
const VIOLATIONS_MAX: usize = 20;

impl Trace {
    /// A trace that is also printed, line by line.
    #[must_use]
    pub fn printing(prints: bool) -> Self {
        let trace = Self::default();
        trace.lock().prints = prints;
        trace
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event.
    pub fn note(&self, actor: &str, event: &str) {
        let now = sim::elapsed();
        let mut told = self.lock();
        told.lines = told.lines.saturating_add(1);
        let line = format!("{:>10.3} {actor} {event}\n", now.as_secs_f64());
        told.hasher.update(line.as_bytes());
        if told.prints {
            eprint_line(&line);
        }
    }

    /// Counts something that happened and is worth knowing of a run.
    pub fn count(&self, what: &'static str) {
        let mut told = self.lock();
        let count = told.happened.entry(what).or_default();
        *count = count.saturating_add(1);
    }

    /// Says what a check found: `Err` is a violation.
    pub fn check(&self, name: &'static str, found: Result<(), String>) {
        let mut told = self.lock();
        let count = told.checked.entry(name).or_default();
        *count = count.saturating_add(1);
        if let Err(why) = found {
            let line = format!("{name}: {why} (at {:.3} s)", sim::elapsed().as_secs_f64());
            if told.prints {
                eprint_line(&format!("VIOLATION {line}\n"));
            }
            if told.violations.len() < VIOLATIONS_MAX {
                told.violations.push(line);
            }
        }
    }

    /// How often each check had something to check.
    #[must_use]
    pub fn checked(&self) -> BTreeMap<&'static str, u64> {
        self.lock().checked.clone()
    }

    /// How often each thing happened.
    #[must_use]
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.lock().happened.clone()
    }

    /// What is wrong.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// The digest of everything noted so far.
    #[must_use]
    pub fn digest(&self) -> String {
        self.lock().hasher.finalize().to_hex().to_string()
    }
}

fn eprint_line(line: &str) {
    use std::io::Write;
    // A terminal that is gone loses the line and nothing else.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
