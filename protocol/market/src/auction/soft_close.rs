//! When an auction closes, and what moves that.
//!
//! Pure arithmetic over an auction and log time; every function says what would be, nothing changes
//! here. Read next: `closing.rs` for who asks.

use fairground_types::command::{AuctionPolicy, ExtensionMode};
use fairground_types::event::LockReason;
use fairground_types::{Millis, Money, Timestamp, limits};

use crate::auction::Auction;
use crate::outage::Outage;

impl Auction {
    /// The latest close that bids can bring about.
    pub(crate) fn extendable_to(&self) -> Timestamp {
        if self.end_locked {
            return self.closes_at;
        }
        match self.policy.mode {
            ExtensionMode::AddToEnd => {
                self.base_close.plus(self.policy.extension_total_max).min(self.closes_by)
            }
            ExtensionMode::Reset => self.closes_by,
        }
    }

    /// Whether no bid can move the close any more.
    pub(crate) fn is_final_window(&self) -> bool {
        self.closes_at >= self.extendable_to() || never_extends(&self.policy)
    }

    /// The close that a bid of `amount` committed at `at` brings about, when it moves it.
    ///
    /// `add_to_end`: added to the end, not to the bid's time, so one burst extends once, since more
    /// than the window is left then. `reset`: the tier from the bid's time on, with the bonus of a
    /// high price.
    pub(crate) fn extended_close(&self, at: Timestamp, amount: Money) -> Option<Timestamp> {
        let wanted = match self.policy.mode {
            ExtensionMode::AddToEnd if self.closes_at.since(at) >= self.policy.window => {
                return None;
            }
            ExtensionMode::AddToEnd => self.closes_at.plus(self.policy.extension),
            ExtensionMode::Reset => at.plus(self.policy.reset_by(amount)),
        };
        let moved = wanted.min(self.extendable_to());
        (moved > self.closes_at).then_some(moved)
    }

    /// The close after an outage. Outside the caps: they move along.
    pub(crate) fn close_after_outage(&self, outage: &Outage) -> Option<Timestamp> {
        let (gap, at) = (outage.gap(), outage.until);
        let near = at.plus(limits::OUTAGE_EXTENSION);
        let touched = self.closes_at > outage.last && self.closes_at <= near;
        let extension = if gap >= limits::OUTAGE_LONG_GAP {
            limits::OUTAGE_LONG_EXTENSION
        } else {
            limits::OUTAGE_EXTENSION
        };
        let moved = at.plus(extension);
        (touched && moved > self.closes_at).then_some(moved)
    }

    /// How long past its close a silent edge is waited for. Short once nothing can extend: what an
    /// edge could still bring can then only raise the price.
    pub(crate) fn grace(&self) -> Millis {
        if self.is_final_window() {
            limits::GRACE_MIN
        } else {
            self.policy.grace.max(limits::GRACE_MIN)
        }
    }

    /// The instant after which it closes, whoever was not heard.
    pub(crate) fn grace_over_at(&self, resumed_at: Timestamp) -> Timestamp {
        self.closes_at.max(resumed_at).plus(self.grace())
    }

    /// What a close by time is called.
    pub(crate) fn time_reason(&self) -> LockReason {
        if self.closes_at >= self.closes_by {
            LockReason::AutoAtCap
        } else {
            LockReason::AutoAtClose
        }
    }
}

/// Whether these rules have no soft close at all.
pub(crate) fn never_extends(policy: &AuctionPolicy) -> bool {
    let window = match policy.mode {
        ExtensionMode::AddToEnd => policy.window.min(policy.extension_total_max),
        ExtensionMode::Reset => policy.extension,
    };
    window == Millis::ZERO || policy.extension == Millis::ZERO
}
