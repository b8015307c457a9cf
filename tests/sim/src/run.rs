//! One seed from its beginning to its last check.
//!
//! ```text
//!  begin    three voters, three edges, people, listed pieces        no faults
//!  active   bids and faults, as the plan says; safety after every entry
//!  heal     faults end, everything is got up, nobody sends anything new
//!  end      everything must converge: liveness
//! ```
//! On a thread of its own, with a runtime whose clock is paused: time jumps when nothing is due.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_seam::sim;
use fairground_types::Millis;
use tokio::time::Instant;

use crate::checks;
use crate::nemesis::Nemesis;
use crate::people::{self, Bidder};
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::{World, lock};

/// How long convergence may take once everything is healed.
const HEAL_MAX: Duration = Duration::from_secs(180);
/// Auctions that close later than this are cancelled at the end.
const CLOSE_MAX: Millis = Millis::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// How a seed is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode {
    /// Without faults.
    pub is_calm: bool,
    /// Prints every line of the trace.
    pub prints: bool,
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// Digest of everything that happened.
    pub digest: String,
    /// How long the cluster lived.
    pub simulated: Duration,
    /// What is wrong.
    pub violations: Vec<String>,
    /// How often each check had something to check.
    pub checked: BTreeMap<&'static str, u64>,
    /// How often each thing happened.
    pub happened: BTreeMap<&'static str, u64>,
}

/// Runs a seed on a fresh thread.
///
/// # Errors
/// When the thread cannot be started, or panics.
pub fn run(seed: u64, mode: Mode) -> Result<Outcome> {
    let thread = std::thread::Builder::new().name(format!("seed-{seed}"));
    let running = thread.stack_size(16 * 1024 * 1024).spawn(move || run_here(seed, mode))?;
    match running.join() {
        Ok(outcome) => outcome,
        Err(panic) => {
            let why = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Ok(Outcome {
                seed,
                digest: String::new(),
                simulated: Duration::ZERO,
                violations: vec![format!("panic: {}", why.unwrap_or_default())],
                checked: BTreeMap::new(),
                happened: BTreeMap::new(),
            })
        }
    }
}

fn run_here(seed: u64, mode: Mode) -> Result<Outcome> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let folder = std::env::temp_dir().join(format!("fairground-sim-{}-{seed}", std::process::id()));
    let outcome = runtime.block_on(async {
        sim::enter(seed);
        let outcome = live(seed, mode, folder.clone()).await;
        sim::leave();
        outcome
    });
    // What is left behind is empty folders.
    let _ = std::fs::remove_dir_all(folder);
    outcome
}

async fn live(seed: u64, mode: Mode, folder: PathBuf) -> Result<Outcome> {
    let trace = Trace::printing(mode.prints);
    let plan = Plan::of(seed, mode.is_calm);
    let world = Arc::new(World::new(seed, plan, trace.clone(), folder)?);
    if let Err(error) = Box::pin(active(&world)).await {
        trace.check("cluster_comes_up", Err(format!("{error:#}")));
    }
    let (wire, bytes) = world.net.trace();
    trace.note("wires", &format!("{wire:016x} {bytes}"));
    let outcome = Outcome {
        seed,
        digest: trace.digest(),
        simulated: sim::elapsed(),
        violations: trace.violations(),
        checked: trace.checked(),
        happened: trace.happened(),
    };
    // Every process is dead before the world ends.
    for place in 0..world.members.len() {
        world.kill_member(place, false).await;
    }
    for place in 0..world.edges.len() {
        world.kill_edge(place, false).await;
    }
    Ok(outcome)
}

async fn active(world: &Arc<World>) -> Result<()> {
    world.begin().await?;
    people::settle(world).await?;
    let begin = Instant::now();
    let end = begin + world.plan.active;
    let tasks = Tasks::new(Shutdown::new());
    let mut chance = world.chance();
    for piece in 0..world.plan.stories {
        let at = chance.between(0, 30_000);
        let opener = Bidder::new(world, piece % world.plan.bidders, end);
        tasks.spawn_one("opener", async move {
            tokio::time::sleep(Duration::from_millis(at)).await;
            opener.open(piece).await;
        });
    }
    for number in 0..world.plan.bidders {
        tasks.spawn_one("bidder", Bidder::new(world, number, end).live());
    }
    if world.plan.races {
        tasks.spawn_one("racers", people::race(Arc::clone(world), end));
    }
    let mut nemesis = Nemesis::new(world);
    nemesis.run(begin).await;
    nemesis.heal().await;
    converge(world, &mut nemesis).await;
    tasks.join(Duration::from_secs(60)).await;
    checks::end::all(world);
    Ok(())
}

/// Waits until nothing is left to happen.
async fn converge(world: &Arc<World>, nemesis: &mut Nemesis) {
    let until = Instant::now() + HEAL_MAX;
    let mut last = String::new();
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        nemesis.supervise().await;
        let far: Vec<_> = {
            let record = lock(&world.record);
            let limit = record.true_time().plus(record.offset).plus(CLOSE_MAX);
            let open = record.auctions.iter().filter(|(_, known)| known.ending.is_none());
            open.filter(|(_, known)| known.closes_at > limit).map(|(id, _)| *id).collect()
        };
        for auction in far {
            people::cancel(world, auction).await;
        }
        match checks::end::unsettled(world) {
            None => {
                world.trace.check("liveness_everything_converges", Ok(()));
                return;
            }
            Some(why) => last = why,
        }
    }
    world.trace.check("liveness_everything_converges", Err(last));
}
