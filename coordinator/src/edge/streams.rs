//! How much each viewer watches at a time, as the edges report it. In memory only.
//!
//! Edges ask the leader first, so it has the whole; a new leader has it again after a report of each.
//! Nobody is counted by an edge that reaches no member. It must not know accounts: viewers are
//! pseudonyms. Read next: `fairground_wire::session::playing`.

use std::sync::{Mutex, PoisonError};

use fairground_types::{Millis, PlaybackId};
use fairground_wire::message::STREAMS_MAX;
use fairground_wire::session::playing::{Seats, StreamSeen};

/// Who watches now.
#[derive(Debug, Default)]
pub(crate) struct StreamCounts(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    seats: Seats,
    forgot_at: Millis,
}

/// How often those who have stopped are looked for.
const FORGET_PERIOD: Millis = Millis::from_secs(15);

impl StreamCounts {
    /// Takes a report in, at `now` on the monotonic clock; answers who is one too many.
    pub(crate) fn hear(&self, seen: &[StreamSeen], now: Millis) -> Vec<PlaybackId> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.less(counted.forgot_at) >= FORGET_PERIOD {
            counted.seats.forget(now);
            counted.forgot_at = now;
        }
        let mut seen: Vec<&StreamSeen> = seen.iter().take(STREAMS_MAX).collect();
        // In the order in which they were asked for.
        seen.sort_by_key(|row| std::cmp::Reverse(row.ago));
        let refused =
            seen.into_iter().filter(|row| !counted.seats.ask(&row.stream, now.less(row.ago)));
        refused.map(|row| row.stream.playback).collect()
    }
}

#[cfg(test)]
mod tests {
    use fairground_types::{SignInId, Timestamp};
    use fairground_wire::session::playing::Stream;

    use super::*;

    fn seen(n: u128, ago: u64) -> StreamSeen {
        let stream = Stream {
            viewer: [1; 16],
            sign_in: SignInId::from_bits(n),
            playback: PlaybackId::from_bits(n),
            begun_at: Timestamp::from_unix_millis(1),
        };
        StreamSeen { stream, ago: Millis::from_secs(ago) }
    }

    #[test]
    fn playbacks_at_several_edges_are_counted_together() {
        let counts = StreamCounts::default();
        let at = Millis::from_secs;
        let third = vec![PlaybackId::from_bits(3)];
        assert_eq!(counts.hear(&[seen(1, 1)], at(100)), []);
        assert_eq!(counts.hear(&[seen(2, 1)], at(101)), []);
        assert_eq!(counts.hear(&[seen(3, 1)], at(102)), third);
        assert_eq!(counts.hear(&[seen(2, 0)], at(106)), []);
        assert_eq!(counts.hear(&[seen(3, 0)], at(107)), third);
        assert_eq!(counts.hear(&[seen(3, 0)], at(112)), [], "the first one has stopped");
        let first = vec![PlaybackId::from_bits(1)];
        assert_eq!(counts.hear(&[seen(1, 0), seen(2, 1)], at(113)), first);
    }

    #[test]
    fn report_that_comes_late_counts_by_when_segments_were_asked_for() {
        let counts = StreamCounts::default();
        let at = Millis::from_secs;
        assert_eq!(
            counts.hear(&[seen(3, 0), seen(2, 1), seen(1, 2)], at(100)),
            [PlaybackId::from_bits(3)]
        );
    }
}
