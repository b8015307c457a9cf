//! Faults between and upon real processes, and the checker of what clients saw.
//!
//! ```text
//!   market/   members and edges as processes, people, bidders that retry
//!   proxy/    UDP between them: delay, loss, duplicates, other sequences, cuts, by a seed
//!   nemesis   kill -9, SIGSTOP, schedules of the proxies, by a seed
//!   history/  every operation as a line; the checker replays them against a model of the rules
//!   round     one market for a while under one nemesis, healed, asked, checked
//! ```
//! Nothing of the product is linked, only its binary is run: the model of the price rules in
//! `history/` is a second one, written from the rules and not from the market's sources. The binary
//! is named by `FAIRGROUND_BIN`; without it a test says that it is skipped and passes.

pub mod history;
pub mod market;
pub mod nemesis;
pub mod process;
pub mod proxy;
pub mod round;

use std::path::PathBuf;

/// The binary under test, or why there is none.
///
/// # Errors
/// When the environment does not name it.
pub fn binary() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("FAIRGROUND_BIN").map(PathBuf::from);
    let named =
        named.ok_or_else(|| anyhow::anyhow!("FAIRGROUND_BIN is not set; `make test` sets it"))?;
    Ok(std::fs::canonicalize(named)?)
}

/// Says that a test, or a part of it, does not run, and why.
#[expect(clippy::print_stdout, reason = "the test's output is where a skip is told")]
pub fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
}

/// A line for whoever runs this.
#[expect(clippy::print_stdout, reason = "what a program of tests has to say")]
pub fn say(line: &str) {
    println!("{line}");
}
