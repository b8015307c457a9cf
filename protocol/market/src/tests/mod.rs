//! The market's own tests: tables of cases and laws that hold for any input.
#![expect(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests may panic")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look for one kind among many")]

mod acceptance;
mod against_model;
mod archive;
mod auctions;
mod events;
mod figures;
mod govern;
mod inbox;
mod interleavings;
mod journal;
mod laws;
mod model;
mod money;
mod orders;
mod parts;
mod people;
mod planted;
mod reach;
mod rows;
mod rules;
mod signing;
mod stories;
mod tables;
mod trade;
