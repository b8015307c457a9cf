//! Every metric of this crate, with its help text.
//!
//! Labels come from closed sets. It must not know how metrics are shown.

use fairground_media::JailLevel;
use fairground_storage::segment_cache::CacheStats;
use fairground_types::{Millis, Verdict};

use crate::delivery::meter::Shown;
use crate::intake::Answer;

const BIDS: &str = "fairground_node_bids_total";
const RECEIVED_TO_VERDICT: &str = "fairground_node_received_to_verdict_seconds";
const CLOCK_FAULTS: &str = "fairground_node_clock_faults_total";
const FEED_INDEX: &str = "fairground_node_feed_index";
const STAMP_WIDTH: &str = "fairground_node_stamp_width_seconds";
const JOURNAL_OPEN: &str = "fairground_node_journal_open_entries";
const ENTRIES_LOST: &str = "fairground_node_journal_entries_lost_total";
const LIVE_STREAMS: &str = "fairground_node_live_streams";
const CACHE_HITS: &str = "fairground_node_cache_hits";
const CACHE_MISSES: &str = "fairground_node_cache_misses";
const CACHE_BYTES: &str = "fairground_node_cache_bytes";
const CACHE_DAMAGED: &str = "fairground_node_cache_damaged";
const JAIL_LEVEL: &str = "fairground_node_jail_level";
const MEDIA_BYTES: &str = "fairground_node_media_bytes_total";
const MEDIA_BYTES_TODAY: &str = "fairground_node_media_today_bytes";
const MEDIA_BUDGET: &str = "fairground_node_media_budget_bytes";
const MEDIA_REFUSED: &str = "fairground_node_media_refused_total";
const ORIGIN_FETCHES: &str = "fairground_node_origin_fetches_total";
const SIBLING_ASKS: &str = "fairground_node_sibling_asks_total";
const ORIGIN_WAITS: &str = "fairground_node_origin_waits_total";
const ORIGIN_AHEAD: &str = "fairground_node_origin_ahead_total";
const WITHHELD_DROPPED: &str = "fairground_node_cache_withheld_dropped_total";
const STREAMS_REFUSED: &str = "fairground_node_streams_refused_total";
const UPLOADS: &str = "fairground_node_uploads_total";
const ANALYTICS: &str = "fairground_node_analytics_events_total";
const PICTURES: &str = "fairground_node_pictures_total";
const TRANSCODES: &str = "fairground_node_transcodes_total";

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    metrics::describe_counter!(BIDS, "Bids and offers by what the client was told.");
    metrics::describe_histogram!(RECEIVED_TO_VERDICT, "From a request to its verdict.");
    metrics::describe_counter!(CLOCK_FAULTS, "Beat answers that contradicted the estimate.");
    metrics::describe_gauge!(FEED_INDEX, "Newest log index folded in.");
    metrics::describe_gauge!(STAMP_WIDTH, "How wide a stamp of a bid would be now.");
    metrics::describe_gauge!(JOURNAL_OPEN, "Journal entries without a verdict.");
    metrics::describe_counter!(ENTRIES_LOST, "Journal entries that could not be read any more.");
    metrics::describe_gauge!(LIVE_STREAMS, "Live streams open.");
    metrics::describe_gauge!(CACHE_HITS, "Segments answered from the cache since the start.");
    metrics::describe_gauge!(CACHE_MISSES, "Segments not in the cache since the start.");
    metrics::describe_gauge!(
        CACHE_DAMAGED,
        "Segments found damaged in the cache since the start; each was fetched again."
    );
    metrics::describe_gauge!(CACHE_BYTES, "Bytes of segments on disk.");
    metrics::describe_gauge!(
        JAIL_LEVEL,
        "How media tools are fenced: 0 not at all or no tools, 1 in part, 2 in full."
    );
    metrics::describe_counter!(MEDIA_BYTES, "Bytes of media that connections took.");
    metrics::describe_gauge!(MEDIA_BYTES_TODAY, "The same, today in UTC.");
    metrics::describe_gauge!(MEDIA_BUDGET, "Bytes of media that may be sent in a day; 0 for any.");
    metrics::describe_counter!(
        MEDIA_REFUSED,
        "Requests for media refused for a budget, by reason."
    );
    metrics::describe_counter!(ORIGIN_FETCHES, "Blobs fetched from members, by outcome.");
    metrics::describe_counter!(SIBLING_ASKS, "Blobs asked of other edges, by outcome.");
    metrics::describe_counter!(ORIGIN_WAITS, "Misses that waited for another's fetch.");
    metrics::describe_counter!(ORIGIN_AHEAD, "Next segments fetched before they were asked for.");
    metrics::describe_counter!(WITHHELD_DROPPED, "Cached blobs dropped after a takedown.");
    metrics::describe_counter!(STREAMS_REFUSED, "Playbacks one too many, each report.");
    metrics::describe_counter!(UPLOADS, "Uploads by how they ended.");
    metrics::describe_counter!(ANALYTICS, "Events of apps by what became of them.");
    metrics::describe_counter!(PICTURES, "Pictures decoded, by outcome.");
    metrics::describe_counter!(TRANSCODES, "Transcode jobs by how they ended.");
}

fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}

/// Exact up to 2^53: petabytes.
const fn as_float(count: u64) -> f64 {
    count as f64
}

/// A bid or offer was answered after so many milliseconds.
pub(crate) fn taken(answer: &Answer, millis: u64) {
    let outcome = match answer {
        Answer::Judged { judged, .. } => match judged.verdict {
            Verdict::Accepted(_) => "accepted",
            Verdict::Rejected(_) => "rejected",
        },
        Answer::Received { .. } => "received",
        Answer::Refused { .. } => "refused",
        Answer::Declined { .. } => "declined",
        Answer::Unknown => "unknown",
    };
    metrics::counter!(BIDS, "outcome" => outcome).increment(1);
    if matches!(answer, Answer::Judged { .. }) {
        metrics::histogram!(RECEIVED_TO_VERDICT).record(seconds(millis));
    }
}

/// Beat answers contradicted each other.
pub(crate) fn clock_fault() {
    metrics::counter!(CLOCK_FAULTS).increment(1);
}

/// So many journal entries could not be read any more, and the cluster knows.
pub(crate) fn entries_lost(count: u64) {
    metrics::counter!(ENTRIES_LOST).increment(count);
}

/// Gauges that are looked at each second.
#[derive(Clone, Copy)]
pub(crate) struct Gauges {
    pub(crate) feed_index: u64,
    /// How wide a stamp would be now, while there is an estimate.
    pub(crate) stamp_width: Option<Millis>,
    pub(crate) journal_open: usize,
    pub(crate) live_streams: usize,
    pub(crate) cache: CacheStats,
    pub(crate) sent: Shown,
    /// Bytes of media since the start.
    pub(crate) sent_total: u64,
}

/// Sets the gauges.
pub(crate) fn gauges(now: Gauges) {
    let of_size = |count: usize| as_float(u64::try_from(count).unwrap_or(u64::MAX));
    metrics::gauge!(FEED_INDEX).set(as_float(now.feed_index));
    if let Some(width) = now.stamp_width {
        metrics::gauge!(STAMP_WIDTH).set(seconds(width.as_millis()));
    }
    metrics::gauge!(JOURNAL_OPEN).set(of_size(now.journal_open));
    metrics::gauge!(LIVE_STREAMS).set(of_size(now.live_streams));
    let hits = now.cache.memory_hits.saturating_add(now.cache.disk_hits);
    metrics::gauge!(CACHE_HITS).set(as_float(hits));
    metrics::gauge!(CACHE_MISSES).set(as_float(now.cache.misses));
    metrics::gauge!(CACHE_DAMAGED).set(as_float(now.cache.damaged));
    metrics::gauge!(CACHE_BYTES).set(as_float(now.cache.bytes));
    metrics::counter!(MEDIA_BYTES).absolute(now.sent_total);
    metrics::gauge!(MEDIA_BYTES_TODAY).set(as_float(now.sent.bytes_today));
    metrics::gauge!(MEDIA_BUDGET).set(as_float(now.sent.bytes_per_day));
}

/// The media tools are fenced so far.
pub(crate) fn jail_level(level: JailLevel) {
    metrics::gauge!(JAIL_LEVEL).set(match level {
        JailLevel::Off => 0.0,
        JailLevel::Partial => 1.0,
        JailLevel::Full => 2.0,
    });
}

/// Media were refused because a budget is spent: this edge's (`over`, `exhausted`) or a playback's.
pub(crate) fn media_refused(reason: &'static str) {
    metrics::counter!(MEDIA_REFUSED, "reason" => reason).increment(1);
}

/// A blob was asked of the members.
pub(crate) fn origin_fetched(outcome: &'static str) {
    metrics::counter!(ORIGIN_FETCHES, "outcome" => outcome).increment(1);
}

/// A blob was asked of another edge.
pub(crate) fn sibling_asked(outcome: &'static str) {
    metrics::counter!(SIBLING_ASKS, "outcome" => outcome).increment(1);
}

/// A miss waits for a fetch that is on its way.
pub(crate) fn origin_waited() {
    metrics::counter!(ORIGIN_WAITS).increment(1);
}

/// A segment is fetched before it is asked for.
pub(crate) fn origin_ahead() {
    metrics::counter!(ORIGIN_AHEAD).increment(1);
}

/// A cached blob of a clip that must not be played was dropped.
pub(crate) fn withheld_dropped() {
    metrics::counter!(WITHHELD_DROPPED).increment(1);
}

/// The cluster found so many playbacks of a report one too many.
pub(crate) fn streams_refused(count: usize) {
    metrics::counter!(STREAMS_REFUSED).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

/// An upload ended.
pub(crate) fn upload_ended(outcome: &'static str) {
    metrics::counter!(UPLOADS, "outcome" => outcome).increment(1);
}

/// Events of apps were taken, or not.
pub(crate) fn analytics(outcome: &'static str, count: u64) {
    metrics::counter!(ANALYTICS, "outcome" => outcome).increment(count);
}

/// A picture was decoded, or not.
pub(crate) fn picture_decoded(outcome: &'static str) {
    metrics::counter!(PICTURES, "outcome" => outcome).increment(1);
}

/// A transcode job ended.
pub(crate) fn transcode_ended(outcome: &'static str) {
    metrics::counter!(TRANSCODES, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::as_float;

    #[test]
    fn gauges_of_bytes_go_beyond_what_32_bits_hold() {
        for bytes in [0, 1 << 32, (1 << 40) + 1, 1 << 53] {
            assert_eq!(format!("{:.0}", as_float(bytes)), bytes.to_string());
        }
    }
}
