//! The whole state as a value, with the version of its shape.
//!
//! Shells encode it; nothing here may call a codec. A clone shares every large value with the
//! market it was taken from. Read next: `docs/src/internals/formats.md` for the envelope.

use wincode::{SchemaRead, SchemaWrite};

use crate::Market;

/// Shape of the state that this binary writes.
pub const SNAPSHOT_VERSION: u32 = 1;

/// A market at rest.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Snapshot {
    pub(crate) version: u32,
    pub(crate) market: Market,
}

impl Market {
    /// Takes a copy that shares every large value with this market.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { version: SNAPSHOT_VERSION, market: self.clone() }
    }

    /// Goes on from a snapshot: applying the entries that follow it gives what applying every
    /// entry from the start gives.
    #[must_use]
    pub fn restore(snapshot: Snapshot) -> Self {
        snapshot.market
    }
}
