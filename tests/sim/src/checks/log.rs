//! The log itself: one sequence of entries, one state after each, and its time.

use fairground_coordinator::sim::Seen;
use fairground_types::{Millis, Timestamp};
use fairground_wire::raft::VoteWire;

use super::holds;
use crate::record::{Record, Row};
use crate::trace::Trace;

/// How far log time may be ahead of the truth while a majority of clocks is right: half a second,
/// and what those clocks are off by.
const AHEAD_MAX: Millis = Millis::new(800);

/// RSM-2, RSM-3, G1: a member that applies an entry later shows the same entry and state.
pub fn same_entry_same_state(trace: &Trace, member: &str, seen: &Seen<'_>, row: &Row) {
    trace.check(
        "rsm2_entry_never_changes",
        holds(*seen.entry == row.entry, || format!("{member}: entry {} differs", seen.index)),
    );
    trace.check(
        "rsm3_same_index_same_state",
        holds(seen.digest == row.digest && seen.applied.at == row.at, || {
            format!("{member}: state after {} differs", seen.index)
        }),
    );
}

/// RSM-2: nothing is applied before what comes before it.
pub fn entries_come_in_order(record: &Record, seen: &Seen<'_>) {
    let last = record.last();
    record.trace.check(
        "rsm2_no_entry_is_skipped",
        holds(seen.index > last, || format!("{} comes after {last}", seen.index)),
    );
}

/// RSM-5, G10: log time never falls and is no later than the truth.
pub fn time(record: &Record, seen: &Seen<'_>, (before, term): (Timestamp, u64)) {
    let at = seen.applied.at;
    record.trace.check(
        "rsm5_log_time_never_falls",
        holds(at >= before && at == seen.entry.at.max(before), || {
            format!("{} has {at} after {before}, stamped {}", seen.index, seen.entry.at)
        }),
    );
    record.trace.check(
        "g1_terms_never_fall",
        holds(seen.entry.term >= term, || {
            format!("{} is of term {} after {term}", seen.index, seen.entry.term)
        }),
    );
    if record.clocks_are_right {
        let now = record.true_time().plus(record.offset);
        record.trace.check(
            "g10_log_time_is_right",
            holds(at <= now.plus(AHEAD_MAX), || {
                format!("{} is stamped {at}, {} ms ahead", seen.index, at.since(now).as_millis())
            }),
        );
    }
}

/// RSM-8: a member votes once in a term, whatever happened to it in between: of the terms it has voted
/// in it forgets none, and whom it voted for it does not forget within one.
pub fn votes_stand(trace: &Trace, member: &str, before: VoteWire, now: Option<VoteWire>) {
    let is_kept = now.is_some_and(|now| {
        now.term > before.term
            || (now.term == before.term
                && now.node == before.node
                && now.committed >= before.committed)
    });
    trace.check(
        "rsm8_vote_survives",
        holds(is_kept, || format!("{member}: {before:?} was saved, {now:?} is left")),
    );
}
