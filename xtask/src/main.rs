//! Checks and generators of this repository: `cargo xtask tidy | error-pages | coverage | golden`.
//!
//! It reads the tree and never depends on a crate of it. Read next: [`tidy`] for the rules,
//! [`error_pages`] for what is generated, [`coverage`] for the table of rules.

mod coverage;
mod error_pages;
mod sources;
mod tidy;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

const USAGE: &str = "\
cargo xtask tidy                 check the house rules that no lint knows
cargo xtask error-pages          write docs/src/reference/errors/ from xtask/error_pages.toml
cargo xtask coverage [LOG...]    check the table of rules; with logs, that its tests passed
cargo xtask golden [--bless]     run the golden tests; --bless rewrites the files from the code
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["tidy"] => tidy::run(sources::root()),
        ["error-pages"] => error_pages::write(sources::root()),
        ["coverage", logs @ ..] => coverage::run(sources::root(), logs),
        ["golden"] => golden(sources::root(), false),
        ["golden", "--bless"] => golden(sources::root(), true),
        _ => say(USAGE).map(|()| false),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Writes to stdout; a closed pipe is an error like any other.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("write to stdout")
}

fn golden(root: &Path, bless: bool) -> anyhow::Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["test", "--package", "fairground-tests-golden"]);
    if bless {
        command.env("FAIRGROUND_BLESS", "1");
    }
    let status = command.status().context("start cargo")?;
    if bless && !status.success() {
        bail!("the golden files could not be rewritten");
    }
    Ok(status.success())
}
