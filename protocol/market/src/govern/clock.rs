//! The test clock of a sandbox cluster: log time moved forward by hand.
//!
//! The offset is state, the leader adds it when it stamps entries and answers beats. The entry that
//! moves the clock keeps its own time, so it closes nothing; the jump appears between it and a later
//! entry, where it is no outage: every edge gets a full grace again, and no close is moved. It must
//! not know a clock. Read next: `apply.rs`, `move_time`.

use fairground_types::{Accepted, Code, Millis, Rejection, limits};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::Answer;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct TestClock {
    pub(crate) is_sandbox: bool,
    pub(crate) offset: Millis,
    /// What was advanced and has not shown between two entries yet.
    unseen: Millis,
}

impl TestClock {
    /// The part of a gap between two entries that somebody made by hand.
    pub(crate) fn take_jump(&mut self, gap: Millis) -> Millis {
        let jump = self.unseen.min(gap);
        self.unseen = Millis::new(self.unseen.as_millis().saturating_sub(jump.as_millis()));
        jump
    }
}

impl Market {
    /// How far log time is ahead of the members' clocks; nothing but in a sandbox.
    #[must_use]
    pub const fn clock_offset(&self) -> Millis {
        self.govern.clock.offset
    }

    /// Whether the clock may be moved by hand.
    #[must_use]
    pub const fn is_sandbox(&self) -> bool {
        self.govern.clock.is_sandbox
    }

    pub(super) fn advance_clock(&mut self, by: Millis) -> Answer {
        if !self.govern.clock.is_sandbox {
            let why = "only a sandbox cluster has a test clock";
            return Err(Rejection::new(Code::InvalidState, why));
        }
        if by == Millis::ZERO || by > limits::CLOCK_ADVANCE_MAX {
            let why = "the clock moves by more than nothing and at most 366 days";
            return Err(Rejection::new(Code::ValidationFailed, why));
        }
        let clock = &mut self.govern.clock;
        clock.offset = Millis::new(clock.offset.as_millis().saturating_add(by.as_millis()));
        clock.unseen = Millis::new(clock.unseen.as_millis().saturating_add(by.as_millis()));
        Ok(Accepted::Done)
    }
}
