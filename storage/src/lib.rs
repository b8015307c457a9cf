//! Durable state: the Raft log and snapshots of a member, the journal, replica and segment cache of
//! an edge, and origin blobs.
//!
//! Bytes, not rules: it must not know the market, HTTP or QUIC. Every stored value carries a version
//! and an authentication tag ([`record`]); every table is named in one file (`tables.rs`). A failed
//! write or sync ends a store for good: it is never retried, the daemon restarts from what is
//! durable. Layouts are drawn in `docs/src/internals/formats.md`. Read next: [`record`], then
//! [`intake`] for the edge or [`raft_log`] for a member.

#[cfg(feature = "raft")]
#[cfg(test)]
mod bit_flip_tests;
pub mod blob;
pub mod error;
#[cfg(any(test, feature = "test-util"))]
pub mod fault;
#[cfg(feature = "raft")]
pub mod history;
#[cfg(feature = "edge")]
pub mod intake;
#[cfg(feature = "edge")]
#[cfg(test)]
mod power_cut_tests;
#[cfg(feature = "raft")]
pub mod raft_log;
#[cfg(all(feature = "raft", feature = "sim"))]
pub mod raft_runtime;
#[cfg(feature = "raft")]
pub mod raft_types;
pub mod record;
#[cfg(feature = "edge")]
pub mod replica;
mod sealed_file;
#[cfg(feature = "edge")]
pub mod segment_cache;
#[cfg(feature = "raft")]
pub mod snapshot;
#[cfg(feature = "raft")]
#[cfg(test)]
mod snapshot_cut_tests;
mod store;
mod tables;
mod writer;

pub use error::StorageError;
pub use record::KeyFile;
