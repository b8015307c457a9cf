//! Stories of the market over HTTP: real members and edges in this process, stand-ins for the world
//! outside, and the test clock of a sandbox, so that weeks pass in seconds.
//!
//! They say what domain 7 promises end to end; what a rule does at its edges is in the script tables
//! of `protocol/market`. Read next: `sandbox.rs` for what runs, `fortnight.rs` for a whole sale.

mod complaint;
mod fortnight;
mod refunds;
mod sandbox;
mod two_edges;
