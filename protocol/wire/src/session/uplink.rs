//! The uplink: an edge's journal to the cluster, verdicts back.
//!
//! ```text
//!  edge                                     member
//!   Hello{tail, open_from}        ------>
//!                                 <------    Welcome{applied, in_intake}
//!   Batch{applied+1 ..}           ------>    propose
//!   Batch{..}  (window not full)  ------>
//!                                 <------    Verdicts[..], Applied{tail}
//!                                 <------    Expected{seq}     go back, send again from there
//! ```
//! Entries travel in the order of the journal. Nothing is lost when the stream breaks: the sender
//! starts again from what `Welcome` says is applied, and the log answers copies from its memory.
//! It must not know the journal's file; a shell reads entries when [`UplinkSender::wants`] says so.

use fairground_types::Code;
use fairground_types::id::EdgeId;
use fairground_types::journal::{Batch, JournalEntry, Mark, Tail};
use fairground_types::limits::BATCH_ENTRIES_MAX;

use crate::codec;
use crate::message::{SeqVerdict, UplinkDown, UplinkUp};

/// Bounds of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkLimits {
    /// Entries in one batch.
    pub batch_entries: usize,
    /// Encoded bytes in one batch.
    pub batch_bytes: usize,
    /// Entries sent and not yet known to be taken.
    pub window_entries: u64,
}

impl Default for UplinkLimits {
    fn default() -> Self {
        Self { batch_entries: BATCH_ENTRIES_MAX, batch_bytes: 512 * 1024, window_entries: 4_096 }
    }
}

/// Entries that the sender would send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// First sequence.
    pub from: u64,
    /// How many at most.
    pub count: usize,
}

/// What a message from the member means to the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkEvent {
    /// The stream is open. The shell compares `applied` with its journal: another hash at that
    /// sequence, or a sequence it never wrote, means that this edge needs a new identity.
    Open {
        /// Where the state knows the journal to end.
        applied: Tail,
        /// Whether closes wait for this edge.
        in_intake: bool,
    },
    /// Verdicts to store.
    Judged(Vec<SeqVerdict>),
    /// Applied up to here.
    Applied(Tail),
    /// Sending starts again from this sequence.
    Rewound(u64),
    /// The member ended the stream for cause.
    Refused {
        /// Why.
        code: Code,
        /// One sentence.
        detail: String,
    },
    /// Try another member.
    NotReady,
}

/// The member did not follow the protocol; the stream must be closed and opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UplinkError {
    /// Something came before `Welcome`, or a second `Welcome`.
    #[error("a message out of place")]
    OutOfPlace,
    /// A sequence that was never sent.
    #[error("sequence {0} was never sent")]
    NeverSent(u64),
    /// The entries do not follow what was sent before.
    #[error("sequence {found} where {expected} was due")]
    OutOfOrder {
        /// Sequence due.
        expected: u64,
        /// Sequence found.
        found: u64,
    },
    /// One entry is larger than a batch may be.
    #[error("unrepresentable entry")]
    Unrepresentable,
    /// The edge is not the one of the certificate.
    #[error("another edge than the certificate names")]
    WrongEdge,
    /// More entries than a batch may have, or none.
    #[error("a batch of {0} entries")]
    BatchSize(usize),
}

/// The edge's end.
#[derive(Debug)]
pub struct UplinkSender {
    edge: EdgeId,
    limits: UplinkLimits,
    tail: Tail,
    next: u64,
    // Last sequence that the member is known to have taken; the window begins after it.
    taken: u64,
    applied: u64,
    is_open: bool,
}

impl UplinkSender {
    /// A sender for a new stream, the journal ending at `tail`.
    #[must_use]
    pub const fn new(edge: EdgeId, tail: Tail, limits: UplinkLimits) -> Self {
        Self { edge, limits, tail, next: 0, taken: 0, applied: 0, is_open: false }
    }

    /// First message of the stream.
    #[must_use]
    pub fn hello(&self, journal_open_from: u64) -> UplinkUp {
        UplinkUp::Hello { edge: self.edge.clone(), tail: self.tail, journal_open_from }
    }

    /// The journal has grown: only synced entries count.
    pub const fn synced(&mut self, tail: Tail) {
        if tail.seq > self.tail.seq {
            self.tail = tail;
        }
    }

    /// Entries sent and not known to be taken.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        if self.is_open { self.next.saturating_sub(1).saturating_sub(self.taken) } else { 0 }
    }

    /// Whether the member owes no answer.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.is_open && self.in_flight() == 0
    }

    /// Which entries to read from the journal and hand to [`Self::batch`]; `None` when there are
    /// none or the window is full.
    #[must_use]
    pub fn wants(&self) -> Option<Wanted> {
        let unsent = self.tail.seq.checked_add(1)?.saturating_sub(self.next);
        let room = self.limits.window_entries.saturating_sub(self.in_flight());
        let batch = u64::try_from(self.limits.batch_entries).unwrap_or(u64::MAX);
        let count = usize::try_from(unsent.min(room).min(batch)).unwrap_or(usize::MAX);
        (self.is_open && count > 0).then_some(Wanted { from: self.next, count })
    }

    /// Makes the next batch of entries read for [`Self::wants`]; those beyond its bound in bytes
    /// are left out and wanted again.
    ///
    /// # Errors
    /// When the entries are not the ones wanted.
    pub fn batch(
        &mut self,
        mut entries: Vec<JournalEntry>,
        mark: Option<Mark>,
    ) -> Result<Option<UplinkUp>, UplinkError> {
        if !self.is_open {
            return Err(UplinkError::OutOfPlace);
        }
        entries.truncate(self.limits.batch_entries);
        let mut next = self.next;
        let mut bytes = 0_usize;
        let mut taken = 0_usize;
        for entry in &entries {
            if entry.seq != next {
                return Err(UplinkError::OutOfOrder { expected: next, found: entry.seq });
            }
            let length = codec::encoded_len(entry).map_err(|_| UplinkError::Unrepresentable)?;
            bytes = bytes.saturating_add(length);
            if bytes > self.limits.batch_bytes && taken > 0 {
                break;
            }
            next = next.saturating_add(1);
            taken = taken.saturating_add(1);
        }
        entries.truncate(taken);
        if entries.is_empty() {
            return Ok(None);
        }
        self.next = next;
        Ok(Some(UplinkUp::Batch(Batch { edge: self.edge.clone(), mark, entries })))
    }

    /// Takes a message of the member.
    ///
    /// # Errors
    /// When the member does not follow the protocol.
    pub fn receive(&mut self, message: UplinkDown) -> Result<UplinkEvent, UplinkError> {
        match message {
            UplinkDown::Welcome { applied, in_intake } => {
                if self.is_open {
                    return Err(UplinkError::OutOfPlace);
                }
                self.is_open = true;
                self.applied = applied.seq;
                self.taken = applied.seq;
                self.next = applied.seq.saturating_add(1);
                Ok(UplinkEvent::Open { applied, in_intake })
            }
            UplinkDown::Verdicts(verdicts) => {
                self.must_be_open()?;
                if let Some(verdict) = verdicts.iter().find(|verdict| verdict.seq > self.tail.seq) {
                    return Err(UplinkError::NeverSent(verdict.seq));
                }
                Ok(UplinkEvent::Judged(verdicts))
            }
            UplinkDown::Applied { tail } => {
                self.must_be_open()?;
                if tail.seq > self.tail.seq {
                    return Err(UplinkError::NeverSent(tail.seq));
                }
                self.applied = self.applied.max(tail.seq);
                self.taken = self.taken.max(self.applied);
                self.next = self.next.max(self.applied.saturating_add(1));
                Ok(UplinkEvent::Applied(tail))
            }
            UplinkDown::Expected { seq } => {
                self.must_be_open()?;
                if seq > self.next {
                    return Err(UplinkError::NeverSent(seq));
                }
                self.next = seq.max(1);
                self.taken = self.next.saturating_sub(1);
                self.applied = self.applied.min(self.taken);
                Ok(UplinkEvent::Rewound(self.next))
            }
            UplinkDown::Refused { code, detail } => Ok(UplinkEvent::Refused { code, detail }),
            UplinkDown::NotReady => Ok(UplinkEvent::NotReady),
        }
    }

    const fn must_be_open(&self) -> Result<(), UplinkError> {
        if self.is_open { Ok(()) } else { Err(UplinkError::OutOfPlace) }
    }
}

/// What a message from an edge means to the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkAction {
    /// Look the edge up in the state and answer with [`UplinkReceiver::welcome`].
    Greet {
        /// Where the edge's journal ends.
        tail: Tail,
        /// Its oldest sequence without a verdict.
        journal_open_from: u64,
    },
    /// Propose this.
    Propose(Batch),
    /// Answer with this; nothing to propose.
    Answer(UplinkDown),
}

/// The member's end.
#[derive(Debug)]
pub struct UplinkReceiver {
    edge: EdgeId,
    expected: Option<u64>,
    greeted: bool,
}

impl UplinkReceiver {
    /// A receiver for a new stream of the edge that its certificate names.
    #[must_use]
    pub const fn new(edge: EdgeId) -> Self {
        Self { edge, expected: None, greeted: false }
    }

    /// Takes a message of the edge.
    ///
    /// # Errors
    /// When the edge does not follow the protocol; the stream ends with `Refused`.
    pub fn receive(&mut self, message: UplinkUp) -> Result<UplinkAction, UplinkError> {
        match message {
            UplinkUp::Hello { edge, tail, journal_open_from } => {
                if self.greeted {
                    return Err(UplinkError::OutOfPlace);
                }
                if edge != self.edge {
                    return Err(UplinkError::WrongEdge);
                }
                self.greeted = true;
                Ok(UplinkAction::Greet { tail, journal_open_from })
            }
            UplinkUp::Batch(batch) => self.take_batch(batch),
        }
    }

    fn take_batch(&mut self, batch: Batch) -> Result<UplinkAction, UplinkError> {
        let expected = self.expected.ok_or(UplinkError::OutOfPlace)?;
        if batch.edge != self.edge {
            return Err(UplinkError::WrongEdge);
        }
        let size = batch.entries.len();
        if size > BATCH_ENTRIES_MAX {
            return Err(UplinkError::BatchSize(size));
        }
        let Some(first) = batch.entries.first() else {
            return Err(UplinkError::BatchSize(0));
        };
        let mut next = first.seq;
        for entry in &batch.entries {
            if entry.seq != next {
                return Err(UplinkError::OutOfOrder { expected: next, found: entry.seq });
            }
            next = next.saturating_add(1);
        }
        if first.seq > expected {
            return Ok(UplinkAction::Answer(UplinkDown::Expected { seq: expected }));
        }
        self.expected = Some(next.max(expected));
        Ok(UplinkAction::Propose(batch))
    }

    /// The state knows the edge's journal to end at `applied`.
    #[must_use]
    pub const fn welcome(&mut self, applied: Tail, in_intake: bool) -> UplinkDown {
        self.expected = Some(applied.seq.saturating_add(1));
        UplinkDown::Welcome { applied, in_intake }
    }

    /// A proposal failed or the log found a gap: the edge must send again from `seq`.
    #[must_use]
    pub const fn rewind(&mut self, seq: u64) -> UplinkDown {
        self.expected = Some(seq);
        UplinkDown::Expected { seq }
    }
}
