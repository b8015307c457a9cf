//! The simulator's command line: one seed, or a sweep of many.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fairground_sim::run::{Mode, run};
use fairground_sim::sweep::{Sweep, sweep};

/// Runs a simulated cluster.
#[derive(Parser)]
struct Arguments {
    /// Runs this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints what happens, line by line.
    #[arg(long)]
    trace: bool,
    /// Without faults.
    #[arg(long)]
    calm: bool,
    /// Shows logs of the daemons: a filter as `debug` or `fairground_node=trace`.
    #[arg(long)]
    log: Option<String>,
    /// Sweeps for so long.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Sweeps so many fresh seeds, also when that takes longer.
    #[arg(long)]
    seeds: Option<u64>,
    /// Goes on until so many simulated hours are reached.
    #[arg(long)]
    hours: Option<u64>,
    /// The first fresh seed; by the clock when absent.
    #[arg(long)]
    from: Option<u64>,
    /// Stops at the first violation.
    #[arg(long)]
    stop: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(filter) = &arguments.log {
        let filter = tracing_subscriber::EnvFilter::try_new(filter)?;
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .without_time()
            .with_writer(std::io::stderr)
            .init();
    }
    let mut out = std::io::stdout();
    let violations = match arguments.seed {
        Some(seed) => {
            let calm = if arguments.calm { " --calm" } else { "" };
            writeln!(out, "reproduce: fairground-sim --seed {seed}{calm}")?;
            let outcome = run(seed, Mode { is_calm: arguments.calm, prints: arguments.trace })?;
            fairground_sim::tell(&mut out, &outcome)?;
            outcome.violations.len()
        }
        None => {
            let from = arguments.from.unwrap_or_else(fairground_sim::fresh_seed);
            writeln!(out, "reproduce: fairground-sim --from {from} --jobs {}", arguments.jobs)?;
            let swept = sweep(
                Sweep {
                    jobs: arguments.jobs,
                    time: Duration::from_secs(arguments.minutes.saturating_mul(60)),
                    seeds: arguments.seeds,
                    hours: arguments.hours,
                    from,
                    stops: arguments.stop,
                },
                fairground_sim::tell_failure,
            );
            fairground_sim::tell_all(&mut out, &swept)?
        }
    };
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
