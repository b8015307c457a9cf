//! A time in which the market took nothing: when it began, as far as that can be known.
//!
//! ```text
//!  an auction was open     a tick was due every second: it began after the last entry
//!  none was                no entry was due before the first window ended: it began by then
//! ```
//! It must not know what is moved by it. Read next: `auction/soft_close.rs` for closes,
//! `auction/decision.rs` for payments and decisions, `order/windows.rs` for orders and issues.

use fairground_types::{Millis, Timestamp, limits};

use crate::Market;

/// An entry came so much later than the one before that people may have lost time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    /// The entry before it.
    pub(crate) last: Timestamp,
    /// The entry that ended it.
    pub(crate) until: Timestamp,
    /// An auction was open: an entry was due every second.
    pub(crate) is_seen: bool,
}

impl Outage {
    /// How long nothing came.
    pub(crate) fn gap(&self) -> Millis {
        self.until.since(self.last)
    }

    /// How long it kept somebody from what they had to do, of whose windows `first_end` is the end
    /// of the first; none when that is too short to count.
    pub(crate) fn kept_from(
        &self,
        first_end: impl FnOnce() -> Option<Timestamp>,
    ) -> Option<Millis> {
        let began = if self.is_seen { self.last } else { first_end()?.max(self.last) };
        Some(self.until.since(began)).filter(|gap| *gap > limits::OUTAGE_GAP)
    }
}

impl Market {
    /// The outage between an entry at `last` and the next at `until`, if it was one.
    pub(crate) fn outage_between(&self, last: Timestamp, until: Timestamp) -> Option<Outage> {
        let is_seen = self.has_open_auction();
        (until.since(last) > limits::OUTAGE_GAP).then_some(Outage { last, until, is_seen })
    }
}
