//! The same seed gives the same run: twice in one process, and in processes of their own.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Command;

use fairground_sim::run::{Mode, run};

/// With many kinds of fault.
const SEEDS: [u64; 3] = [1, 2, 3];

fn in_a_process(seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fairground-sim"))
        .args(["--seed", &seed.to_string()])
        .output()
        .expect("it starts");
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(text.starts_with("reproduce: "), "{text}");
    let last = text.lines().last().expect("it says something");
    last.strip_prefix("trace ").expect("the digest is the last line").to_owned()
}

#[test]
fn a_seed_is_the_same_run_in_one_process_and_in_two() {
    for seed in SEEDS {
        let first = run(seed, Mode::default()).expect("it runs");
        let second = run(seed, Mode::default()).expect("it runs");
        assert_eq!(first.digest, second.digest, "seed {seed}, twice in a process");
        assert_eq!(first.digest, in_a_process(seed), "seed {seed}, in another process");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    let [one, two] = [1, 2].map(|seed| run(seed, Mode { is_calm: true, prints: false }));
    assert_ne!(one.expect("it runs").digest, two.expect("it runs").digest);
}

#[test]
fn a_calm_run_finds_nothing_and_tries_much() {
    let outcome = run(11, Mode { is_calm: true, prints: false }).expect("it runs");
    assert_eq!(outcome.violations, Vec::<String>::new());
    for what in ["receipt", "bid accepted", "closed by time", "verdict heard"] {
        assert!(outcome.happened.contains_key(what), "no {what}: {:?}", outcome.happened);
    }
}
