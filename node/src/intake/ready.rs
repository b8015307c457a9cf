//! Whether this edge may take a bid now (bids.md section 3), and the stamp if it may.
//!
//! It must not know the bid.

use std::fmt;
use std::sync::atomic::Ordering;

use fairground_types::Millis;
use fairground_types::journal::Stamp;
use fairground_wire::session::beat::ClockUnfit;

use super::IntakeDesk;

/// Why this edge takes no bids now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    /// It is video-only.
    VideoOnly,
    /// It is stopping.
    Draining,
    /// The cluster knows another journal under this edge's name.
    NewIdentity,
    /// Its view of the market is too old.
    StaleView,
    /// Its journal was not compared with what the cluster knows since the start.
    Unchecked,
    /// Its disk failed.
    JournalFailed,
    /// Its clock.
    Clock(ClockUnfit),
    /// Closes do not wait for it yet.
    NotAdmitted,
    /// Too many bids wait for their verdict.
    JournalFull,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VideoOnly => f.write_str("this edge serves video only"),
            Self::Draining => f.write_str("this edge is stopping"),
            Self::NewIdentity => f.write_str("this edge must join the cluster again"),
            Self::StaleView => f.write_str("this edge has not heard from the cluster for a while"),
            Self::Unchecked => {
                f.write_str("this edge has not compared its journal with the cluster yet")
            }
            Self::JournalFailed => f.write_str("this edge cannot write to its disk"),
            Self::Clock(unfit) => write!(f, "this edge's clock is not fit: {unfit}"),
            Self::NotAdmitted => f.write_str("the cluster does not wait for this edge yet"),
            Self::JournalFull => f.write_str("too many bids wait here for their verdict"),
        }
    }
}

impl NotReady {
    /// When to try again.
    pub(crate) const fn retry_after(self) -> Millis {
        match self {
            Self::VideoOnly | Self::NewIdentity | Self::Draining | Self::JournalFailed => {
                Millis::from_secs(30)
            }
            Self::StaleView
            | Self::Unchecked
            | Self::Clock(_)
            | Self::NotAdmitted
            | Self::JournalFull => super::DECLINED_RETRY,
        }
    }
}

impl IntakeDesk {
    /// A stamp for a bid received now, if this edge may take one.
    pub(crate) fn readiness(&self) -> Result<Stamp, NotReady> {
        if !self.takes_bids {
            return Err(NotReady::VideoOnly);
        }
        if self.is_draining.load(Ordering::Acquire) {
            return Err(NotReady::Draining);
        }
        if self.needs_new_identity.load(Ordering::Acquire) {
            return Err(NotReady::NewIdentity);
        }
        if !self.view.is_fresh(self.time.monotonic()) {
            return Err(NotReady::StaleView);
        }
        if !self.is_checked.load(Ordering::Acquire) {
            return Err(NotReady::Unchecked);
        }
        if self.journal.has_failed() {
            return Err(NotReady::JournalFailed);
        }
        let stamp = self.time.stamp().map_err(NotReady::Clock)?;
        let edge = self.receipts.edge();
        let admitted_at = self.view.read(|view| view.edge(edge).and_then(|row| row.admitted_at));
        if admitted_at.is_none_or(|at| stamp.earliest <= at) {
            return Err(NotReady::NotAdmitted);
        }
        if self.journal.open_count() >= fairground_types::limits::JOURNAL_OPEN_MAX {
            return Err(NotReady::JournalFull);
        }
        Ok(stamp)
    }
}
