//! A whole Fairground cluster in one thread and one seed.
//!
//! ```text
//!  real       Raft with our log store, snapshots and state machine; proposer, office clock, deadlines,
//!             sessions; edges with their journal, intake, uplink, beats, feed; the wire codec
//!  simulated  wires (`fairground_seam::link::memory`), disks (`fairground_storage::fault`), clocks,
//!             chance, threads (`fairground_seam::sim`)
//!  absent     HTTP, certificates, mail, payments, media
//! ```
//! A seed decides everything: rules, timing, faults, what people do. Two runs of one seed give the same
//! trace, byte for byte, in any process. `fairground-sim --seed N` runs one; without it many are swept.
//!
//! ```text
//!  plan      what a seed decides          run      one seed, from beginning to last check
//!  world     machines and what runs       sweep    many seeds
//!  nemesis   faults, and a supervisor     record   the log, as it is applied
//!  people    makers and bidders           checks   guarantees, by name
//!  hostile   an edge that lies
//! ```
//! Nothing here decides a rule: a check that fails is a finding about the product or about the check.

pub mod checks;
pub mod hostile;
pub mod nemesis;
pub mod people;
pub mod plan;
pub mod record;
pub mod run;
pub mod sweep;
pub mod trace;
pub mod world;

use std::io::Write;

use fairground_runtime::clock::Clock;

use crate::run::Outcome;
use crate::sweep::Swept;

/// A first seed that differs from sweep to sweep.
#[must_use]
pub fn fresh_seed() -> u64 {
    Clock::system().now().as_unix_millis().saturating_mul(1_000)
}

/// Prints an outcome, its digest last.
///
/// # Errors
/// When nobody reads it.
pub fn tell(out: &mut impl Write, outcome: &Outcome) -> std::io::Result<()> {
    for (name, count) in &outcome.checked {
        writeln!(out, "checked {count:>8} {name}")?;
    }
    for (name, count) in &outcome.happened {
        writeln!(out, "happened {count:>7} {name}")?;
    }
    for violation in &outcome.violations {
        writeln!(out, "VIOLATION {violation}")?;
    }
    writeln!(out, "simulated {:.1} s", outcome.simulated.as_secs_f64())?;
    writeln!(out, "trace {}", outcome.digest)
}

/// Prints a seed that failed, while a sweep goes on.
pub fn tell_failure(outcome: &Outcome) {
    if outcome.violations.is_empty() {
        return;
    }
    let mut out = std::io::stdout().lock();
    // A reader that is gone loses lines and nothing else: the exit code says it too.
    let _ = writeln!(out, "FAILED seed {}: fairground-sim --seed {}", outcome.seed, outcome.seed);
    for violation in &outcome.violations {
        let _ = writeln!(out, "  {violation}");
    }
}

/// Prints what came of a sweep, its sum last; answers how many violations there are.
///
/// # Errors
/// When nobody reads it.
pub fn tell_all(out: &mut impl Write, swept: &Swept) -> std::io::Result<usize> {
    for (name, count) in &swept.checked {
        writeln!(out, "checked {count:>10} {name}")?;
    }
    for (name, count) in &swept.happened {
        writeln!(out, "happened {count:>9} {name}")?;
    }
    for line in swept.dead() {
        writeln!(out, "{line}")?;
    }
    let failed: Vec<String> = swept.violations.keys().map(u64::to_string).collect();
    if !failed.is_empty() {
        writeln!(out, "failing seeds: {}", failed.join(" "))?;
    }
    let violations = swept.violations.values().map(Vec::len).sum();
    let tenths = swept.simulated.as_secs() / 360;
    let hours = format!("{}.{}", tenths / 10, tenths % 10);
    writeln!(out, "seeds {}, simulated hours {hours}, violations {violations}", swept.seeds)?;
    Ok(violations)
}
