//! What a device's signature costs: looked into, for Ed25519 and P-256, on one core.
//!
//! Keys are read anew for each signature, as a member does: it keeps bytes, not points. The bytes are those
//! of a bid. Read next: `docs/src/internals/performance.md` for what to expect.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../../../tests/measure.rs"]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench has a clock, what it measures has none"
)]
mod measure;

use std::hint::black_box;

use fairground_market::Claim;
use fairground_market::script::World;

use crate::measure::{Effort, Figure, quotient, took};

/// So many claims of one key, each over other bytes.
fn claims(key: &str, count: usize) -> Vec<Claim> {
    let mut world = World::play(&format!(
        "signed above EUR 500.00
        12:00:00  offer S1 b EUR 100.00     -> opened A; A closes 3d12:00:00
        12:00:01  in a                      -> done
        12:00:02  key a {key}               -> done"
    ))
    .expect("the table plays");
    let line = |place: usize| format!("bid A a EUR {}.00 signed {key}", 105 + 5 * place);
    let lines: Vec<String> = (0..count).map(line).collect();
    let entry = world.entry_of("12:00:03", &lines).expect("the lines are bids");
    world.market.claims(&entry)
}

fn main() {
    let effort = Effort::from_environment();
    let count = effort.size(2_000, 4);
    let (ed, p) = (claims("ed", count), claims("p256", count));
    let mut ed_rate = Figure::new("signatures: Ed25519, one core", "1/s", 0);
    let mut p_rate = Figure::new("signatures: P-256, one core", "1/s", 0);
    let mut ratio = Figure::new("signatures: Ed25519 against P-256", "x", 2);
    for _ in 0..=effort.rounds() {
        let (one, other) = (rate(&ed), rate(&p));
        ed_rate.add(one);
        p_rate.add(other);
        ratio.add(quotient(one.into(), 100, other.into()));
    }
    for figure in [ed_rate, p_rate, ratio] {
        figure.print();
    }
}

/// Claims a second.
fn rate(claims: &[Claim]) -> u64 {
    let (spent, held) =
        took(|| claims.iter().filter(|claim| black_box(claim.check()).holds()).count());
    assert_eq!(held, claims.len(), "every claim holds");
    let nanos = spent.as_nanos().max(1);
    quotient(u128::try_from(held).expect("small"), 1_000_000_000, nanos)
}
