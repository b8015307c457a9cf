//! Edges: what they promised counts when it may, and nothing they use is used twice.

use fairground_coordinator::sim::Seen;
use fairground_types::EdgeId;
use fairground_types::journal::JournalEntry;

use super::holds;
use crate::record::Record;

/// G3, EJ-6: marks count with their tail, journals go on where they ended.
pub fn promises(record: &Record, seen: &Seen<'_>) {
    for row in seen.market.edges() {
        let Some(known) = record.promises.get(&row.edge) else { continue };
        record.trace.check(
            "row_mark_counts_only_with_its_tail",
            holds(row.counted_mark <= known.counted, || {
                format!(
                    "{}: {} counts, what is applied allows {}",
                    row.edge, row.counted_mark, known.counted
                )
            }),
        );
        let is_honest = !record.hostile.contains(&row.edge) && !record.tainted.contains(&row.edge);
        record.trace.check(
            "ej6_honest_edge_breaks_no_promise",
            holds(!is_honest || row.violations == 0, || {
                format!("{} is said to have broken {} promises", row.edge, row.violations)
            }),
        );
        record.trace.check(
            "intake_is_public",
            holds(row.in_intake == record.intake.contains(&row.edge), || {
                format!("{}: in the intake {}", row.edge, row.in_intake)
            }),
        );
    }
}

/// EJ-6: a sequence of an honest edge names one entry, however often it comes.
pub fn sequence_is_used_once(record: &Record, edge: &EdgeId, copy: &JournalEntry) {
    if record.hostile.contains(edge) || record.tainted.contains(edge) {
        return;
    }
    if let Some(known) = record.applied.get(&(edge.clone(), copy.seq)) {
        record.trace.check(
            "ej6_sequence_is_used_once",
            holds(known.hash == copy.hash, || format!("{edge}/{} names two entries", copy.seq)),
        );
    }
}
