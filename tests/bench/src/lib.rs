//! Load on something that takes bids: closed and open loops, latencies, one table.
//!
//! ```text
//!  Amounts   one counter: every bid is one minor unit above the last given out
//!  drive     bidders against it for a while: counts, latencies, CPU of the servers
//!  http      the lightest client that speaks HTTP/1.1 over TLS; the same for every peer
//!  report    figures as text, ratios, aims
//! ```
//! It must not know what is measured: that is [`drive::Bidder`]'s. Read next: `drive.rs`, then
//! `docs/src/internals/performance.md` for how the figures are to be read.

pub mod drive;
pub mod http;
pub mod report;
