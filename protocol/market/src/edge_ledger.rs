//! What the log knows about each edge's journal: how far it is applied, and what it promised.
//!
//! ```text
//!  mark { watermark, tail }   waits until its tail is applied, then counts
//!  counted(at)                the highest counted watermark, never above `at`
//!  horizon                    the least counted mark of the intake
//! ```
//! It must not know auctions: who closes what is decided in `auction/`. Read next:
//! `docs/src/internals/bids.md`.

use fairground_types::journal::{Batch, JournalEntry, Mark, Stamp, Tail};
use fairground_types::limits;
use fairground_types::text::Region;
use fairground_types::{
    Accepted, Code, Digest, EdgeId, LogIndex, PublicEvent, Rejection, Timestamp,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::offer::Candidate;

/// Whether closes wait for an edge.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Standing {
    /// They do not; its entries are not applied.
    Outside,
    /// They do.
    InIntake {
        /// Log time of its admission.
        admitted_at: Timestamp,
        /// Since when its counted mark lags, if it does.
        lagging_since: Option<Timestamp>,
        /// It leaves once this is applied.
        seal: Option<Tail>,
    },
}

/// One edge, as the log knows it.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct EdgeState {
    pub(crate) edge: EdgeId,
    pub(crate) region: Region,
    pub(crate) public_url: String,
    pub(crate) takes_bids: bool,
    pub(crate) standing: Standing,
    pub(crate) applied: Tail,
    pub(crate) last_stamp: Stamp,
    pub(crate) watermark: Timestamp,
    pub(crate) pending: Vec<Mark>,
    pub(crate) violations: u64,
    pub(crate) missing: Vec<Missing>,
}

/// Entries that an edge has lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The edge.
    pub edge: EdgeId,
    /// First sequence.
    pub first: u64,
    /// Last sequence.
    pub last: u64,
    /// Log time of the report.
    pub at: Timestamp,
    /// The entry of the log with the report.
    pub index: LogIndex,
}

/// Whether the stamp of an applied journal entry may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StampCheck {
    Good,
    Refused(&'static str),
}

impl EdgeState {
    pub(crate) const fn new(
        edge: EdgeId,
        region: Region,
        public_url: String,
        takes_bids: bool,
    ) -> Self {
        Self {
            edge,
            region,
            public_url,
            takes_bids,
            standing: Standing::Outside,
            applied: Tail::START,
            last_stamp: Stamp { earliest: Timestamp::EPOCH, latest: Timestamp::EPOCH },
            watermark: Timestamp::EPOCH,
            pending: Vec::new(),
            violations: 0,
            missing: Vec::new(),
        }
    }

    /// Whether closes wait for it.
    #[must_use]
    pub const fn in_intake(&self) -> bool {
        matches!(self.standing, Standing::InIntake { .. })
    }

    /// The last journal entry applied.
    #[must_use]
    pub const fn applied(&self) -> Tail {
        self.applied
    }

    /// How many promises it broke.
    #[must_use]
    pub const fn violations(&self) -> u64 {
        self.violations
    }

    /// What it has lost, oldest report first.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// No bid stamped at or before this can still come from it.
    #[must_use]
    pub fn counted(&self, at: Timestamp) -> Timestamp {
        self.watermark.min(at)
    }

    const fn violate(&mut self) {
        self.violations = self.violations.saturating_add(1);
    }

    /// Takes a mark: it counts at once when its tail is applied, and waits otherwise.
    pub(crate) fn take_mark(&mut self, mark: Mark) {
        if mark.tail.seq > self.applied.seq {
            self.keep_mark(mark);
        } else {
            self.count_mark(mark);
        }
    }

    fn keep_mark(&mut self, mark: Mark) {
        if let Some(known) = self.pending.iter_mut().find(|known| known.tail == mark.tail) {
            known.watermark = known.watermark.max(mark.watermark);
            return;
        }
        if self.pending.len() >= limits::PENDING_MARKS_MAX {
            self.pending.pop();
        }
        let place = self.pending.partition_point(|known| known.tail.seq <= mark.tail.seq);
        self.pending.insert(place, mark);
    }

    fn count_mark(&mut self, mark: Mark) {
        let breaks_tail = mark.tail.seq == self.applied.seq && mark.tail.hash != self.applied.hash;
        let breaks_stamp =
            mark.tail.seq < self.applied.seq && self.last_stamp.earliest <= mark.watermark;
        if breaks_tail || breaks_stamp {
            self.violate();
        } else {
            self.watermark = self.watermark.max(mark.watermark);
        }
    }

    /// Counts the marks whose tail has been applied by now.
    fn count_pending(&mut self) {
        let ready = self.pending.partition_point(|mark| mark.tail.seq <= self.applied.seq);
        let ready: Vec<Mark> = self.pending.drain(..ready).collect();
        for mark in ready {
            self.count_mark(mark);
        }
    }

    /// Whether a mark, if it came now, would count.
    pub(crate) fn would_count(&self, mark: &Mark) -> bool {
        if mark.tail.seq == self.applied.seq {
            mark.tail.hash == self.applied.hash
        } else {
            mark.tail.seq < self.applied.seq && self.last_stamp.earliest > mark.watermark
        }
    }

    /// Takes the next journal entry. Its sequence is used, whatever the check says.
    fn take_entry(&mut self, entry: &JournalEntry, body: &Digest) -> StampCheck {
        let hash = JournalEntry::chain_of(
            self.applied.hash,
            entry.seq,
            entry.stamp,
            (&entry.intake, body),
        );
        let check = self.check_stamp(entry, hash == entry.hash);
        // The hash is always that of what was applied: a journal that says otherwise stays refused.
        self.applied = Tail { seq: entry.seq, hash };
        if check == StampCheck::Good {
            self.last_stamp = entry.stamp;
        } else {
            self.violate();
        }
        self.count_pending();
        check
    }

    fn check_stamp(&self, entry: &JournalEntry, chains: bool) -> StampCheck {
        let stamp = entry.stamp;
        if !chains {
            StampCheck::Refused("the edge's journal does not follow what was applied")
        } else if stamp.latest < stamp.earliest || stamp.width() > limits::STAMP_WIDTH_MAX {
            StampCheck::Refused("the edge's stamp is too wide")
        } else if stamp.earliest < self.last_stamp.earliest || stamp.latest < self.last_stamp.latest
        {
            StampCheck::Refused("the edge's stamp fell")
        } else if stamp.earliest <= self.watermark {
            StampCheck::Refused("the edge's stamp breaks its mark")
        } else {
            StampCheck::Good
        }
    }

    /// Log time at which it leaves the intake for its silence, if nothing is heard.
    pub(crate) fn silent_at(&self, resumed_at: Timestamp) -> Option<Timestamp> {
        let Standing::InIntake { admitted_at, lagging_since, .. } = &self.standing else {
            return None;
        };
        let since = lagging_since.unwrap_or_else(|| self.watermark.plus(limits::INTAKE_LAG_MAX));
        Some(since.max(resumed_at).max(*admitted_at).plus(limits::INTAKE_SILENCE_MAX))
    }

    /// Notes whether its counted mark lags.
    pub(crate) fn note_lag(&mut self, at: Timestamp) {
        let counted = self.counted(at);
        if let Standing::InIntake { lagging_since, .. } = &mut self.standing {
            *lagging_since = if at.since(counted) > limits::INTAKE_LAG_MAX {
                let began = counted.plus(limits::INTAKE_LAG_MAX);
                Some(lagging_since.map_or(began, |known| known.min(began)))
            } else {
                None
            };
        }
    }

    /// Whether its seal has come due.
    const fn is_sealed(&self) -> bool {
        match &self.standing {
            Standing::InIntake { seal: Some(seal), .. } => self.applied.seq >= seal.seq,
            Standing::InIntake { seal: None, .. } | Standing::Outside => false,
        }
    }
}

impl Market {
    /// Edges that closes wait for.
    pub(crate) fn intake(&self) -> impl Iterator<Item = &EdgeState> {
        self.edges.values().filter(|edge| edge.in_intake())
    }

    /// The least counted mark of the intake; `at` when it is empty.
    pub(crate) fn horizon(&self, at: Timestamp) -> Timestamp {
        self.intake().map(|edge| edge.counted(at)).min().unwrap_or(at)
    }

    pub(crate) fn take_mark(&mut self, edge: &EdgeId, mark: Mark) {
        // A mark of an edge outside promises nothing that a close waits for; its journal is not
        // applied either.
        if let Some(state) = self.edges.get_mut(edge).filter(|state| state.in_intake()) {
            state.take_mark(mark);
        }
    }

    /// Applies the journal entries of a batch that come next, and hands them on with what is to be
    /// thought of their stamps. A gap ends it: the edge sends again from what is expected.
    pub(crate) fn take_batch(&mut self, batch: &Batch) -> Vec<Candidate> {
        let Some(state) = self.edges.get_mut(&batch.edge).filter(|state| state.in_intake()) else {
            return Vec::new();
        };
        let mut taken = Vec::with_capacity(batch.entries.len());
        for entry in batch.entries.iter().take(limits::BATCH_ENTRIES_MAX) {
            if entry.seq == state.applied.seq && entry.hash != state.applied.hash {
                state.violate();
            }
            if entry.seq <= state.applied.seq {
                continue;
            }
            if state.applied.seq.checked_add(1) != Some(entry.seq) {
                break;
            }
            let body = entry.intake.body_digest();
            let check = state.take_entry(entry, &body);
            taken.push(Candidate::fresh(batch.edge.clone(), entry.clone(), body, check));
        }
        taken
    }

    pub(crate) fn admit_edge(&mut self, turn: &mut Turn, edge: &EdgeId, tail: Tail) -> Answer {
        let knows_rules = self.edge_knows_rules(edge);
        let state = self.edges.get_mut(edge).ok_or_else(|| unknown(edge))?;
        if !knows_rules {
            let why = "the edge does not know the rules in force";
            return Err(Rejection::new(Code::InvalidState, why));
        }
        if !state.takes_bids {
            return Err(Rejection::new(Code::InvalidState, "the edge takes no bids"));
        }
        if tail.seq < state.applied.seq
            || (tail.seq == state.applied.seq && tail.hash != state.applied.hash)
        {
            state.violate();
            return Err(Rejection::new(
                Code::InvalidState,
                "the edge's journal is not the one that was applied; it needs a new id",
            ));
        }
        let answer = Accepted::EdgeAdmitted { tail: state.applied };
        match &mut state.standing {
            Standing::InIntake { seal, .. } => {
                *seal = None;
                return Ok(answer);
            }
            Standing::Outside => {
                state.standing =
                    Standing::InIntake { admitted_at: turn.at, lagging_since: None, seal: None };
            }
        }
        // Marks from before it left say nothing about the journal that it has now.
        state.pending.clear();
        state.take_mark(Mark { watermark: turn.at, tail });
        turn.events.push(PublicEvent::EdgeAdmitted { edge: edge.clone() });
        Ok(answer)
    }

    pub(crate) fn seal_edge(&mut self, edge: &EdgeId, tail: Tail) -> Answer {
        let state = self.edges.get_mut(edge).ok_or_else(|| unknown(edge))?;
        if let Standing::InIntake { seal, .. } = &mut state.standing {
            *seal = Some(tail);
        }
        Ok(Accepted::Done)
    }

    /// An edge goes on behind entries that it cannot read any more. They have no verdict; the record of
    /// every auction that was open says which they are.
    pub(crate) fn report_missing(
        &mut self,
        turn: &mut Turn,
        edge: &EdgeId,
        (first, last): (u64, Tail),
    ) -> Answer {
        let state = self.edges.get_mut(edge).ok_or_else(|| unknown(edge))?;
        if !state.in_intake() {
            return Err(Rejection::new(Code::InvalidState, "closes do not wait for the edge"));
        }
        // Said before, to another member.
        if state.applied.seq >= last.seq {
            return Ok(Accepted::Done);
        }
        if state.applied.seq.checked_add(1) != Some(first) || last.seq < first {
            let why = format!("entry {} comes next", state.applied.seq.saturating_add(1));
            return Err(Rejection::new(Code::InvalidState, why));
        }
        if state.missing.len() >= limits::MISSING_KEPT_MAX {
            state.missing.remove(0);
        }
        let (at, index) = (turn.at, turn.index);
        let edge = edge.clone();
        state.missing.push(Missing { edge: edge.clone(), first, last: last.seq, at, index });
        state.applied = last;
        state.count_pending();
        turn.events.push(PublicEvent::EntriesMissing { edge, first, last: last.seq });
        Ok(Accepted::Done)
    }

    /// Edges that drained, and edges that were not heard for too long, leave the intake.
    pub(crate) fn leave_intake(&mut self, turn: &mut Turn) {
        let resumed_at = self.resumed_at;
        for state in self.edges.values_mut().filter(|state| state.in_intake()) {
            state.note_lag(turn.at);
            let is_silent = state.silent_at(resumed_at).is_some_and(|due| turn.at >= due);
            if is_silent || state.is_sealed() {
                state.standing = Standing::Outside;
                turn.events.push(PublicEvent::EdgeLeftIntake { edge: state.edge.clone() });
            }
        }
    }
}

fn unknown(edge: &EdgeId) -> Rejection {
    Rejection::new(Code::NotFound, format!("edge {edge} is not registered"))
}
