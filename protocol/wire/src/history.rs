//! What has left the state of the market and is kept in every member's history.
//!
//! A record is opaque here: its body is of the market, its keys say what it is found by. Members
//! that were away ask another one for what they miss. Read next: `fairground-storage`, `history.rs`.

use wincode::{SchemaRead, SchemaWrite};

/// Records of one answer at most.
pub const HISTORY_RECORDS_MAX: u32 = 256;

/// One finished thing.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct HistoryRecord {
    /// Its place in the history, from 0 and without gaps; the same on every member.
    pub seq: u64,
    /// What it is found by; of one length per kind of key.
    pub keys: Vec<Vec<u8>>,
    /// The thing itself, in an envelope of its own.
    pub body: Vec<u8>,
}

/// Asks another member for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct HistoryRequest {
    /// The first one.
    pub from: u64,
    /// How many at most; bounded by [`HISTORY_RECORDS_MAX`].
    pub max: u32,
}

/// Consecutive records, as far as they are held and fit a frame.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct HistoryResponse {
    /// In order; empty when the first one is not held.
    pub records: Vec<HistoryRecord>,
}

crate::codec::version_one!(HistoryRecord, HistoryRequest, HistoryResponse);
