//! How often the segment cache's policy has what is asked for, on a Zipf trace, beside a cache that
//! keeps what was asked for last and beside one that knows what is popular.
//!
//! Objects are asked for with a frequency of one to their rank (Zipf, exponent 1); sizes are spread
//! evenly from 100 to 500 KB, whatever the rank; the cache has room for a share of all bytes. The first
//! fifth of a trace warms up. No byte is stored: it is the policy alone, with what a read costs it. Read
//! next: `docs/src/internals/performance.md`.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../../tests/measure.rs"]
mod measure;

use std::collections::BTreeMap;

use fairground_storage::segment_cache::policy::{Admission, Policy};
use fairground_types::id::BlobHash;

use crate::measure::{Effort, Figure, quotient, took};

/// Shares of all bytes that a cache has room for, in hundredths.
const SHARES: [u64; 3] = [10, 25, 50];
/// The weight of the most popular object.
const TOP: u64 = 1 << 32;

fn main() {
    let effort = Effort::from_environment();
    let objects = objects(effort.size(20_000, 400));
    let requests = effort.size(400_000, 8_000);
    for share in SHARES {
        let of = |what: &str| format!("zipf 1.0, room for {share} %: {what}");
        let mut ours = Figure::new(of("hits"), "%", 1);
        let mut lru = Figure::new(of("hits of least recently used"), "%", 1);
        let mut ideal = Figure::new(of("hits of the most popular"), "%", 1);
        let mut cost = Figure::new(of("a request to the policy"), "ns", 0);
        for round in 0..=effort.rounds() {
            let trace = trace(&objects, requests, round);
            let room = objects.iter().map(|object| object.bytes).sum::<u64>() * share / 100;
            let (time, hits) = took(|| hits_of_policy(&objects, &trace, room));
            ours.add(hits);
            lru.add(hits_of_lru(&objects, &trace, room));
            ideal.add(hits_of_popular(&objects, &trace, room));
            cost.add(quotient(time.as_nanos(), 1, u128::try_from(requests).expect("small")));
        }
        for figure in [ours, lru, ideal, cost] {
            figure.print();
        }
    }
}

struct Object {
    hash: BlobHash,
    bytes: u64,
    /// Weights up to and including this one.
    until: u64,
}

/// Objects by rank, the most popular first.
fn objects(count: usize) -> Vec<Object> {
    let mut until = 0;
    let ranks = 1..=u64::try_from(count).expect("small");
    ranks
        .map(|rank| {
            until += TOP / rank;
            let bytes = 100_000 + rank * 7_919 % 400_000;
            Object { hash: BlobHash::of(&rank.to_le_bytes()), bytes, until }
        })
        .collect()
}

/// Which objects are asked for, by their place in `objects`.
fn trace(objects: &[Object], requests: usize, seed: usize) -> Vec<usize> {
    let all = objects.last().map_or(1, |object| object.until);
    let mut state = u64::try_from(seed).expect("small");
    let draws = (0..requests).map(|_| {
        // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let drawn = (mixed ^ (mixed >> 31)) % all;
        objects.partition_point(|object| object.until <= drawn)
    });
    draws.collect()
}

/// Thousandths of what was asked for after the warm-up that were there.
fn hits(trace: &[usize], mut is_there: impl FnMut(usize) -> bool) -> u64 {
    let warm_up = trace.len() / 5;
    let mut hits = 0_u128;
    for (number, &object) in trace.iter().enumerate() {
        let is_hit = is_there(object);
        hits += u128::from(is_hit && number >= warm_up);
    }
    quotient(hits, 1_000, u128::try_from(trace.len() - warm_up).expect("small"))
}

fn hits_of_policy(objects: &[Object], trace: &[usize], room: u64) -> u64 {
    let mut policy = Policy::new(room);
    let hits = hits(trace, |place| {
        let Object { hash, bytes, .. } = &objects[place];
        if policy.holds(hash) {
            policy.touch(hash);
            return true;
        }
        let admission = policy.admit(*hash, *bytes);
        assert!(matches!(admission, Admission::Store { .. }), "nothing is pinned: {admission:?}");
        false
    });
    assert!(policy.bytes() <= room);
    hits
}

fn hits_of_lru(objects: &[Object], trace: &[usize], room: u64) -> u64 {
    let (mut by_use, mut used_at) = (BTreeMap::new(), vec![None; objects.len()]);
    let (mut held, mut now) = (0, 0_u64);
    hits(trace, |place| {
        now += 1;
        by_use.insert(now, place);
        if let Some(before) = used_at[place].replace(now) {
            by_use.remove(&before);
            return true;
        }
        held += objects[place].bytes;
        while held > room {
            let (_, oldest) = by_use.pop_first().expect("it holds something");
            used_at[oldest] = None;
            held -= objects[oldest].bytes;
        }
        false
    })
}

/// What no cache can know: the most popular objects that fit, from the beginning.
fn hits_of_popular(objects: &[Object], trace: &[usize], room: u64) -> u64 {
    let mut held = 0;
    let fit = objects.iter().take_while(|object| {
        held += object.bytes;
        held <= room
    });
    let fit = fit.count();
    hits(trace, |place| place < fit)
}
