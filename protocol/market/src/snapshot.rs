//! The whole state as a value, with the version of its shape.
//!
//! ```text
//!  1   everything up to the view
//!  2   and, behind it, signatures of devices
//!  3   and, behind them, attempts at jobs and shares of workers
//! ```
//! A state grows at its end, so an older one is read by putting what an empty market has there
//! behind its bytes ([`SinceVersion1`], [`SinceVersion2`]). Shells encode it; nothing here may call
//! a codec. A clone shares every large value with the market it was taken from. Read next:
//! `docs/src/internals/formats.md` for the envelope.

use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::jobs::Jobs;
use crate::signing::Signing;

/// Newest shape of the state.
pub const SNAPSHOT_VERSION: u8 = 3;

/// A market at rest.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Snapshot {
    pub(crate) version: u32,
    pub(crate) market: Market,
}

/// What a state of version 1 lacks at its end, as a market has it that never used it.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct SinceVersion1 {
    signing: Signing,
    since: SinceVersion2,
}

/// What a state of version 2 lacks at its end, likewise.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct SinceVersion2 {
    jobs: Jobs,
}

impl Snapshot {
    /// The oldest shape that holds it. Under old rules it is the old one, so a member with an older
    /// binary can be given it, and one that goes back to it finds it.
    #[must_use]
    pub const fn shape(&self) -> u8 {
        if self.market.shares_workers() {
            SNAPSHOT_VERSION
        } else if self.market.knows_signatures() {
            2
        } else {
            1
        }
    }
}

impl Market {
    /// Takes a copy that shares every large value with this market.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { version: 1, market: self.clone() };
        snapshot.version = u32::from(snapshot.shape());
        snapshot
    }

    /// Goes on from a snapshot: applying the entries that follow it gives what applying every
    /// entry from the start gives.
    #[must_use]
    pub fn restore(snapshot: Snapshot) -> Self {
        snapshot.market
    }
}
