//! Every row as each of its readers sees it: whose it is, what it leaves out, and in what order.

mod issues;
mod jobs;
mod machines;
mod money;
mod people;
mod state;
mod trade;

use fairground_types::{SaleLockId, UserId};

use crate::script::{World, auction_named, person};

fn plays(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

fn goes_on(world: &mut World, lines: &str) {
    world.play_on(lines).unwrap_or_else(|why| panic!("{why}"));
}

fn user(letter: &str) -> UserId {
    person(letter).expect("a letter")
}

/// The newest sale lock of an auction.
fn lock_of(world: &World, auction: &str) -> SaleLockId {
    let id = auction_named(auction).expect("a capital");
    world.market.auction(id).expect("an auction").lock().expect("a lock")
}
