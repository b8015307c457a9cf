//! Named checks: the guarantees of `docs/src/internals/bids.md`, each with a counter of how often it
//! had something to check.
//!
//! ```text
//!  log       order, time, equal states, votes     G1 G10, RSM-2 RSM-3 RSM-5 RSM-8
//!  auction   price, closes, extensions, winners   G1 G3 G5 G6 G7, AU-1 to AU-4
//!  verdict   what bids are told                   G6 G8 G11, EJ-4 EJ-5
//!  edge      marks, sequences, stamps             G3 G9, AU-7, EJ-6 EJ-10
//!  client    receipts, answers, own refusals      G2 G12, EJ-1 EJ-2
//!  end       after healing: everything converges  G2 G4, RSM-7, the oracle
//!  rows      the failure table, row by row        section 6
//! ```
//! A check looks and tells; it changes nothing.

pub mod auction;
pub mod client;
pub mod edge;
pub mod end;
pub mod log;
pub mod oracle;
pub mod rows;
pub mod verdict;

use fairground_types::Code;

/// Verdicts that are no final word on their command: they stand for one journal entry, and the same key
/// may get another.
const fn is_passing(code: Option<Code>) -> bool {
    matches!(
        code,
        Some(
            Code::Closing
                | Code::TooManyBids
                | Code::IdempotencyKeyReused
                | Code::SignatureRequired
                | Code::SignatureInvalid
        )
    )
}

/// `Ok` when something holds.
fn holds(it_does: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if it_does { Ok(()) } else { Err(why()) }
}
