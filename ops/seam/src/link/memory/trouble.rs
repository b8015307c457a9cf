//! What a network does to its wires: cuts, holds, freezes and ends them.
//!
//! It must not know what passes. Read next: the parent, for what a trouble means to a part on its way.

use tokio::time::Instant;

use super::{IDLE, Net, Process, Way, bit};

impl Net {
    /// Changes how a way is.
    pub fn shape(&self, from: Process, to: Process, shape: impl FnOnce(&mut Way)) {
        shape(self.state().ways.entry((from, to)).or_default());
    }

    /// Nothing passes from one process to another until it is healed.
    pub fn cut(&self, from: Process, to: Process) {
        let mut state = self.state();
        let way = state.ways.entry((from, to)).or_default();
        way.cut_since.get_or_insert_with(Instant::now);
        drop(state);
        self.wake();
    }

    /// Ends a cut; connections that were silent for too long are lost.
    pub fn heal(&self, from: Process, to: Process) {
        let (silent, cores) = {
            let mut state = self.state();
            let way = state.ways.entry((from, to)).or_default();
            let Some(since) = way.cut_since.take() else { return };
            way.healed_at = Some(Instant::now());
            (since.elapsed() >= IDLE, state.cores())
        };
        if silent {
            for core in cores {
                core.time_out(from, to);
            }
        }
        self.wake();
    }

    /// Streams of a kind do not pass; the kind is their first byte.
    pub fn hold(&self, from: Process, to: Process, kind: u8) {
        self.state().ways.entry((from, to)).or_default().held |= bit(kind);
        self.wake();
    }

    /// Streams of a kind pass again.
    pub fn release(&self, from: Process, to: Process, kind: u8) {
        self.state().ways.entry((from, to)).or_default().held &= !bit(kind);
        self.wake();
    }

    /// Ends every hold and every cut.
    pub fn heal_all(&self) {
        let cut: Vec<(Process, Process)> = {
            let mut state = self.state();
            for way in state.ways.values_mut() {
                way.held = 0;
            }
            let cut = state.ways.iter().filter(|(_, way)| way.cut_since.is_some());
            cut.map(|(ends, _)| *ends).collect()
        };
        for (from, to) in cut {
            self.heal(from, to);
        }
        self.wake();
    }

    /// Whether a way is cut.
    #[must_use]
    pub fn is_cut(&self, from: Process, to: Process) -> bool {
        self.state().ways.get(&(from, to)).is_some_and(|way| way.cut_since.is_some())
    }

    /// A process hears nothing and is not heard before an instant, as one that is suspended.
    pub fn freeze(&self, process: Process, until: Instant) {
        if let Some(known) = self.state().processes.get_mut(process) {
            known.frozen_until = Some(until);
        }
        self.wake();
    }

    /// Ends connections between two processes, as a middlebox does that forgets.
    pub fn sever(&self, one: Process, other: Process) {
        let cores = self.state().cores();
        for core in cores {
            core.time_out(one, other);
        }
        self.wake();
    }
}
