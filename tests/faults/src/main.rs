//! `fairground-faults`: rounds of faults on a market of real processes, and the checker by itself.
//!
//! `check FILE` checks a stored history once more; `run` makes new ones and prints one line a round;
//! `measure N` says how fast the checker is. Read next: `lib.rs`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use fairground_faults::history::check::check;
use fairground_faults::history::load::History;
use fairground_faults::history::synthetic;
use fairground_faults::market::Shape;
use fairground_faults::nemesis::{Plan, Recoveries};
use fairground_faults::round::{Size, Stage};
use fairground_faults::{binary, say};
use tokio::time::Duration;

#[derive(Parser)]
#[command(name = "fairground-faults", about = "Faults on real processes, and the checker")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Checks a stored history.
    Check {
        /// The history, JSON lines.
        file: PathBuf,
    },
    /// Says how long the checker takes for a synthetic history.
    Measure {
        /// Operations.
        operations: usize,
    },
    /// Runs rounds of faults; `FAIRGROUND_BIN` names the binary.
    Run(RunArgs),
}

#[derive(Args)]
struct RunArgs {
    /// Where choices come from; round N has the seed `SEED + N - 1`. Default: by the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Rounds, each with auctions of its own.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Kills of one member a round.
    #[arg(long, default_value_t = 10)]
    single: usize,
    /// Kills of all members a round.
    #[arg(long, default_value_t = 1)]
    whole: usize,
    /// Kills of an edge a round.
    #[arg(long, default_value_t = 3)]
    edges: usize,
    /// Pauses (SIGSTOP) of a member or an edge a round.
    #[arg(long, default_value_t = 3)]
    pauses: usize,
    /// Seconds of a round in which links are troubled.
    #[arg(long, default_value_t = 20)]
    troubles: u64,
    /// Bidders.
    #[arg(long, default_value_t = 12)]
    bidders: usize,
    /// Auctions a round.
    #[arg(long, default_value_t = 4)]
    auctions: usize,
    /// Where histories are kept; those of clean rounds are removed.
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("fairground-faults: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Check { file } => {
            let report = check(&History::read(&file)?);
            say(&report.to_string());
            if report.is_clean() { Ok(()) } else { bail!("{} breaks the rules", file.display()) }
        }
        Verb::Measure { operations } => measure(operations),
        Verb::Run(arguments) => {
            // One thread: children end with the thread that started them.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(rounds(&arguments))
        }
    }
}

fn measure(operations: usize) -> anyhow::Result<()> {
    let history = synthetic::history(1, operations);
    let began = Instant::now();
    let report = check(&history);
    let took = began.elapsed().as_millis();
    say(&report.to_string());
    say(&format!("{} operations checked in {took} ms", history.steps.len()));
    if report.is_clean() { Ok(()) } else { bail!("a sound history was found to break rules") }
}

async fn rounds(arguments: &RunArgs) -> anyhow::Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| {
        let bits = uuid::Uuid::new_v4().as_u128();
        u64::try_from(bits & 0xFFFF_FFFF).unwrap_or(1)
    });
    let folder = tempfile::Builder::new().prefix("fairground-faults-").tempdir()?;
    let keep = arguments.keep.clone().unwrap_or_else(|| folder.path().to_owned());
    std::fs::create_dir_all(&keep)?;
    let plan = Plan {
        single: arguments.single,
        whole: arguments.whole,
        edges: arguments.edges,
        pauses: arguments.pauses,
        troubles: Duration::from_secs(arguments.troubles),
    };
    let size = Size { bidders: arguments.bidders, auctions: arguments.auctions };
    let shape = Shape { initial: Duration::from_secs(20), ..Shape::default() };
    say(&format!("reproduce: fairground-faults run --seed {seed} --rounds {}", arguments.rounds));
    let mut stage = Stage::set(&binary()?, folder.path(), shape, size, seed).await?;
    let mut all = Totals::default();
    for round in 0..arguments.rounds {
        let seed = seed.wrapping_add(round);
        let file = keep.join(format!("history-{seed}.jsonl"));
        let begun = Instant::now();
        let outcome = stage.round(&plan, seed, &file).await;
        let outcome = outcome.with_context(|| format!("round {} (seed {seed})", round + 1))?;
        let seconds = begun.elapsed().as_secs();
        say(&format!("round {} (seed {seed}), {seconds} s: {}", round + 1, last(&outcome.report)));
        if outcome.report.is_clean() {
            std::fs::remove_file(&file)?;
        } else {
            all.broken += 1;
            say(&outcome.report.to_string());
            say(&format!("kept: {}", kept(&file)?.display()));
        }
        all.add(&outcome.report, outcome.recoveries);
    }
    stage.market.stop().await;
    all.tell(&plan, arguments.rounds);
    if all.broken > 0 { bail!("{} rounds broke the rules", all.broken) } else { Ok(()) }
}

/// A history that must outlive this run's own folder.
fn kept(file: &Path) -> anyhow::Result<PathBuf> {
    let name = file.file_name().context("a file has a name")?;
    let place = std::env::temp_dir().join(name);
    if file.parent() != place.parent() {
        std::fs::copy(file, &place)?;
    }
    Ok(place)
}

fn last(report: &fairground_faults::history::check::Report) -> String {
    report.to_string().lines().last().unwrap_or_default().to_owned()
}

#[derive(Default)]
struct Totals {
    broken: u64,
    bids: u64,
    received: u64,
    judged: u64,
    unknown: u64,
    lost: u64,
    violations: u64,
    recoveries: Recoveries,
}

impl Totals {
    fn add(&mut self, report: &fairground_faults::history::check::Report, recoveries: Recoveries) {
        self.bids += report.bids;
        self.received += report.received;
        self.judged += report.judged;
        self.unknown += report.unknown;
        self.lost += report.lost;
        self.violations += report.violation_count;
        for (kind, times) in recoveries {
            self.recoveries.entry(kind).or_default().extend(times);
        }
    }

    fn tell(&mut self, plan: &Plan, rounds: u64) {
        for (kind, times) in &mut self.recoveries {
            times.sort_unstable();
            let at = |per_cent: usize| {
                let place = (times.len() * per_cent).div_ceil(100).max(1) - 1;
                times.get(place).copied().unwrap_or(0)
            };
            let count = times.len();
            say(&format!(
                "  {kind}: {count}, first new verdict p50 {} ms, p99 {} ms, max {} ms",
                at(50),
                at(99),
                at(100)
            ));
        }
        let times = |count: usize| count * usize::try_from(rounds).unwrap_or(0);
        say(&format!(
            "faults: {rounds} rounds, {} single and {} whole-cluster kills, {} edge kills, {} stops; \
             bids {}, received {}, judged {}, unknown {}, lost verdicts {}, violations {}",
            times(plan.single),
            times(plan.whole),
            times(plan.edges),
            times(plan.pauses),
            self.bids,
            self.received,
            self.judged,
            self.unknown,
            self.lost,
            self.violations
        ));
    }
}
