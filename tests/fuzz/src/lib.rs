//! Fuzz targets for every frame, record and text that comes from outside, and a runner that needs no
//! nightly compiler.
//!
//! ```text
//!   corpus/TARGET/* --+                        +-- the gate: so many mutations from a fixed seed
//!   golden/files  ----+--> a target: bytes in, +
//!                          no panic, bounded   +-- libfuzzer/: the same function, for cargo-fuzz
//! ```
//! What a target reads it writes again and reads back: it must be the same. It must not know how
//! inputs are found. Read next: [`targets`], then [`mutate`] for the runner's inputs.
//!
//! An input that broke something goes into `corpus/TARGET/` and stays there.

#![expect(clippy::expect_used, reason = "a finding is a panic")]

pub mod mutate;
pub mod targets;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a target made of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Refused,
    /// It was read, and was the same when written and read again.
    Read,
}

/// A reader of bytes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Reads an input; panics on a finding.
    pub run: fn(&[u8]) -> Outcome,
    /// Golden files that begin like this are inputs as well, without their envelopes.
    pub golden: &'static [&'static str],
}

/// Longest input.
pub const INPUT_MAX: usize = 16 * 1024;

/// Runs one input by a target's name; for libFuzzer.
///
/// # Panics
/// On a finding, or when there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = targets::all().into_iter().find(|target| target.name == name);
    let Some(target) = target else { panic!("there is no target {name}") };
    (target.run)(input);
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The corpus of a target, kept files first; never empty.
#[must_use]
pub fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = files(&folder().join("corpus").join(target.name), |_| true);
    let is_wanted = |name: &str| target.golden.iter().any(|start| name.starts_with(start));
    let golden = files(&folder().join("../golden/files"), |name| is_wanted(name));
    inputs.extend(golden.iter().filter_map(|text| payload(text)));
    if inputs.is_empty() {
        inputs.push(Vec::new());
    }
    inputs
}

/// Files of a folder whose names are wanted, by name.
fn files(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_wanted))
        .collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// The bytes of a golden file behind its envelope: its checksum would refuse every mutation.
fn payload(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let digits: Vec<u8> =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(str::bytes).collect();
    let pairs = digits.chunks_exact(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    bytes?.get(fairground_wire::codec::HEADER_LEN..).map(<[u8]>::to_vec)
}

/// What a run of the gate's runner found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Inputs.
    pub runs: u64,
    /// Of them read.
    pub read: u64,
    /// Longest time on a core of one input.
    pub slowest: Duration,
    /// Growth of the address space over the whole run, in bytes.
    pub grown: u64,
}

/// Feeds a target its corpus and `runs` mutations of it, all chosen by `seed`.
///
/// # Panics
/// When the target does.
#[must_use]
pub fn feed(target: &Target, seed: u64, runs: u64) -> Figures {
    let corpus = corpus(target);
    let mut mutator = mutate::Mutator::new(seed);
    let mut figures = Figures::default();
    let one = |input: &[u8], figures: &mut Figures| {
        let before = cpu();
        let outcome = (target.run)(input);
        figures.slowest = figures.slowest.max(cpu().saturating_sub(before));
        figures.runs = figures.runs.saturating_add(1);
        figures.read = figures.read.saturating_add(u64::from(outcome == Outcome::Read));
    };
    // What is set up once is not counted.
    one(corpus.first().map_or(&[][..], Vec::as_slice), &mut Figures::default());
    let space = address_space();
    for input in &corpus {
        one(input, &mut figures);
    }
    for _ in 0..runs {
        let input = mutator.next(&corpus);
        one(&input, &mut figures);
    }
    figures.grown = address_space().saturating_sub(space);
    figures
}

/// Time of this thread on a core: waiting for one is nobody's fault.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The most address space that this process had: memory that was asked for, touched or not.
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmPeak:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1_024)
}
