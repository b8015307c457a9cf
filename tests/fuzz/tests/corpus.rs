//! Every target over its corpus and a fixed number of mutations: the same in every run.
//!
//! `FAIRGROUND_FUZZ_RUNS` says how many for each, `FAIRGROUND_FUZZ_SEED` which ones.
#![expect(clippy::print_stdout, reason = "figures of a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use fairground_fuzz::{corpus, feed, targets};

/// Mutations of each target, unless the environment says otherwise.
const RUNS: u64 = 5_000;
/// One input takes no longer on a core, in a build without optimisation.
const LONGEST: Duration = Duration::from_millis(10);
/// All inputs of a target together ask for no more address space than this.
const GROWN_MAX: u64 = 64 * 1024 * 1024;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn part(of: usize, which: usize) {
    let (runs, seed) =
        (number("FAIRGROUND_FUZZ_RUNS", RUNS), number("FAIRGROUND_FUZZ_SEED", 20_260));
    for target in targets::all().into_iter().skip(which).step_by(of) {
        // Said before: a finding ends the test by a panic.
        println!("{} from seed {seed}", target.name);
        let figures = feed(&target, seed, runs);
        println!("{}: {figures:?}", target.name);
        assert!(figures.runs > runs, "{} had no corpus", target.name);
        assert!(figures.slowest <= LONGEST, "{} took {:?}", target.name, figures.slowest);
        assert!(figures.grown <= GROWN_MAX, "{} grew by {} bytes", target.name, figures.grown);
    }
}

#[test]
fn no_input_breaks_a_target_first_part() {
    part(2, 0);
}

#[test]
fn no_input_breaks_a_target_second_part() {
    part(2, 1);
}

#[test]
fn every_target_has_inputs_and_a_harness_of_libfuzzer() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(folder.join("libfuzzer/Cargo.toml")).expect("readable");
    let mut names = BTreeSet::new();
    for target in targets::all() {
        assert!(names.insert(target.name), "two targets {}", target.name);
        assert!(corpus(&target).iter().any(|input| !input.is_empty()), "{}", target.name);
        let line = format!("name = \"{}\"", target.name);
        assert!(manifest.contains(&line), "libfuzzer/Cargo.toml has no {line}");
    }
    assert!(names.len() >= 14, "{}", names.len());
    for corpus in std::fs::read_dir(folder.join("corpus")).expect("readable").flatten() {
        let name = corpus.file_name();
        assert!(name.to_str().is_some_and(|name| names.contains(name)), "{name:?} is no target");
    }
}
