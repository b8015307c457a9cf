//! The failure table of the bid protocol, row by row: what has to happen in a run for a row to be
//! tried, and which checks hold it.
//!
//! A row that no seed of a sweep tries is printed by name, so that a dead one shows.

use std::collections::BTreeMap;

/// A row: its name, what must have happened, and the checks that hold it.
pub struct Row {
    /// As in the table.
    pub name: &'static str,
    /// Counters of which one must have moved.
    pub tried_by: &'static [&'static str],
    /// Checks.
    pub held_by: &'static [&'static str],
}

/// Every row of bids.md section 6.
pub const ROWS: &[Row] = &[
    Row {
        name: "edge killed before fsync",
        tried_by: &["edge died with unsynced bids"],
        held_by: &["ej1_receipted_entry_survives", "g8_one_verdict_per_command"],
    },
    Row {
        name: "edge killed after fsync, before sending",
        tried_by: &["edge died with unsent bids"],
        held_by: &["ej1_receipted_entry_survives", "g2_every_receipt_has_one_verdict"],
    },
    Row {
        name: "edge killed after sending, before verdict",
        tried_by: &["edge died with open bids"],
        held_by: &["g8_journal_entry_is_told_once", "g2_every_receipt_has_one_verdict"],
    },
    Row {
        name: "mark overtakes its batch; leader killed between them",
        tried_by: &["mark waited for its tail"],
        held_by: &["row_mark_counts_only_with_its_tail", "au7_no_honest_stamp_is_refused"],
    },
    Row {
        name: "beats pass, batches do not",
        tried_by: &["batches held"],
        held_by: &["g5_close_is_bounded", "g4_who_was_not_heard_is_named"],
    },
    Row {
        name: "edge's disk lost",
        tried_by: &["edge lost its disk"],
        held_by: &["ej6_sequence_is_used_once", "ej6_receipts_use_a_sequence_once"],
    },
    Row {
        name: "edge restored from an image or cloned",
        tried_by: &["edge came back with less than the log has"],
        held_by: &["row_restored_edge_gives_no_receipt", "ej6_receipts_use_a_sequence_once"],
    },
    Row {
        name: "edge partitioned longer than grace",
        tried_by: &["closed without an edge"],
        held_by: &["g4_who_was_not_heard_is_named", "row_late_flag_says_who_was_cut_off"],
    },
    Row {
        name: "edge partitioned, back within grace",
        tried_by: &["edge cut off"],
        held_by: &["g6_accepted_bids_are_in_time", "g7_price_rises_in_log_order"],
    },
    Row {
        name: "bid stamped after the close committed before the one that extends",
        tried_by: &["held bid accepted"],
        held_by: &["row_held_bid_is_judged_when_the_close_moves_or_comes"],
    },
    Row {
        name: "retry of an accepted bid through another edge",
        tried_by: &["retry elsewhere answered"],
        held_by: &["g8_every_edge_answers_the_first_verdict"],
    },
    Row {
        name: "leader killed with entries in flight",
        tried_by: &["leader died"],
        held_by: &["g2_every_receipt_has_one_verdict", "rsm2_entry_never_changes"],
    },
    Row {
        name: "leader's wall clock steps an hour in office",
        tried_by: &["leader's wall clock stepped"],
        held_by: &["g10_log_time_is_right", "g3_no_close_before_its_time"],
    },
    Row {
        name: "edge's clock steps, machine suspended",
        tried_by: &["edge's wall clock stepped", "edge suspended"],
        held_by: &["au7_no_honest_stamp_is_refused", "au7_stamp_is_narrow"],
    },
    Row {
        name: "no quorum longer than grace over a close",
        tried_by: &["outage rule", "whole cluster died"],
        held_by: &["g3_every_edge_was_heard_or_grace_is_over", "g5_close_is_bounded"],
    },
    Row {
        name: "same key through two edges at once",
        tried_by: &["same key through two edges"],
        held_by: &["g8_one_verdict_per_command"],
    },
    Row {
        name: "snapshot install on a slow member",
        tried_by: &["snapshot installed"],
        held_by: &["rsm3_same_index_same_state", "rsm7_snapshot_is_the_replayed_state"],
    },
    Row {
        name: "test clock advanced",
        tried_by: &["test clock advanced"],
        held_by: &["row_test_clock_closes_nothing_in_its_entry", "rsm5_log_time_never_falls"],
    },
    Row {
        name: "rolling upgrade",
        tried_by: &["rules put in force"],
        held_by: &["rsm3_same_index_same_state"],
    },
];

/// Rows that nothing in these counters has tried, and checks that had nothing to check.
#[must_use]
pub fn dead(
    happened: &BTreeMap<&'static str, u64>,
    checked: &BTreeMap<&'static str, u64>,
) -> Vec<String> {
    let mut dead = Vec::new();
    for row in ROWS {
        if !row.tried_by.iter().any(|what| happened.contains_key(what)) {
            dead.push(format!("row not tried: {}", row.name));
        }
        for check in row.held_by {
            if !checked.contains_key(check) {
                dead.push(format!("check with nothing to check: {check}"));
            }
        }
    }
    dead.sort();
    dead.dedup();
    dead
}
