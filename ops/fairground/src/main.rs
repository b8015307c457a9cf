//! The `fairground` binary: one program, a role per verb.
//!
//! Read next: `cli.rs` for the command tree; each verb has a file of its name.

mod admin;
mod cli;
mod daemon;
mod demo;
mod edge;
mod fakes;
mod govern;
mod init;
mod jobs;
mod join;
mod media;
mod operator;
mod output;
mod status;
mod token;
mod verify;
mod version;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::{Cli, Verb};

/// A request makes and drops a hundred small things on whatever thread is free; measured on a market
/// under load, this allocator decides a quarter to a third more bids a second than the C library's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long blocking work may take once everything else has ended.
const BLOCKING_WAIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    if let Verb::TranscodeJail { arguments } = verb {
        return daemon::transcode_jail(arguments);
    }
    if !demo::process::die_with_parent() {
        return ExitCode::FAILURE;
    }
    fairground_runtime::pki::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(run(verb));
        // An encoder's thread may be in the middle of a picture: the process does not wait for it.
        runtime.shutdown_timeout(BLOCKING_WAIT);
        result
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to say when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "fairground: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let done = match verb {
        Verb::Demo(arguments) => demo::run(arguments).await,
        Verb::Init(arguments) => init::run(arguments).await,
        Verb::Join(arguments) => join::run(arguments).await,
        Verb::Token(verb) => token::run(verb).await,
        Verb::Coordinator(arguments) => daemon::coordinator(arguments).await,
        Verb::Node(arguments) => daemon::node(arguments).await,
        Verb::Status(arguments) => status::run(arguments).await,
        Verb::Jobs(verb) => jobs::run(verb).await,
        Verb::Edge(verb) => edge::run(verb).await,
        Verb::Admin(verb) => admin::run(verb).await,
        Verb::Clock(verb) => govern::clock(verb).await,
        Verb::Rules(verb) => govern::rules(verb).await,
        Verb::Fakes(arguments) => fakes::run(arguments).await,
        Verb::Verify(verb) => verify::run(verb),
        // The only verb whose answer is its exit code.
        Verb::Media(verb) => return Ok(media::run(verb)),
        Verb::Version(arguments) => version::run(&arguments),
        Verb::TranscodeJail { .. } => anyhow::bail!("handled before the runtime starts"),
    };
    done.map(|()| ExitCode::SUCCESS)
}
