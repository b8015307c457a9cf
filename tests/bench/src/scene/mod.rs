//! What is measured, one file per sub-command. Each prints its rows as it goes, then its aims.

pub(crate) mod closes;
pub(crate) mod delivery;
pub(crate) mod encode;
pub(crate) mod failover;
pub(crate) mod hot;
pub(crate) mod misses;
pub(crate) mod peers;

use std::path::PathBuf;
use std::time::Duration;

use fairground_load::drive::{Pace, Run};
use fairground_load::report::{self, Aim};

use crate::market::cluster::{SETTINGS, Shape};
use crate::place::{Place, machine};

/// Auctions of the load benches do not close while they are measured.
const LONG: Duration = Duration::from_hours(48);

/// What every sub-command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Where all files are, on the disk to be measured; a folder inside is made and removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Members of the market.
    #[arg(long, default_value_t = 3)]
    pub(crate) members: usize,
    /// Edges of the market.
    #[arg(long, default_value_t = 2)]
    pub(crate) edges: usize,
    /// How long a row is measured, in seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How long it runs before that, in seconds.
    #[arg(long, default_value_t = 2)]
    pub(crate) warm_up: u64,
}

impl Common {
    pub(crate) const fn shape(&self) -> Shape {
        Shape { members: self.members, edges: self.edges, initial: LONG }
    }

    pub(crate) const fn run(&self, pace: Pace) -> Run {
        Run {
            pace,
            warm_up: Duration::from_secs(self.warm_up),
            measured: Duration::from_secs(self.seconds),
        }
    }

    /// Makes the folder and says what every figure below depends on.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        let place = Place::make(self.dir.as_deref())?;
        report::line(&machine(&place.dir))?;
        report::line(&format!("market: {SETTINGS}"))?;
        report::line(
            "loop: closed = the next bid when the last is answered, latency from sending; N/s = \
             planned at a fixed rate, latency from the planned instant",
        )?;
        Ok(place)
    }
}

/// Prints the aims of a sub-command, and whether this run met them.
pub(crate) fn tell(aims: &[Aim]) -> anyhow::Result<()> {
    report::line("")?;
    for aim in aims {
        report::line(&aim.line())?;
    }
    Ok(())
}
