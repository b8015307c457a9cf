//! How much each viewer watches at a time: who is served here, and what the cluster says of the rest.
//!
//! ```text
//!   a segment is asked for -> refused by the cluster? -> a seat here? -> served
//!         |                          ^
//!         +--- seen, each 5 s -------+---- members count what all edges saw
//! ```
//! What the cluster said lapses when it is not said again: an edge that reaches no member counts its
//! own viewers only. A visitor without an account is not counted. It must not know HTTP. Read next:
//! `fairground_wire::session::playing`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_media::path::PlayPath;
use fairground_media::token::Claims;
use fairground_types::{Millis, PlaybackId};
use fairground_wire::message::{ForwardRequest, ForwardResponse, STREAMS_MAX, StreamsRefused};
use fairground_wire::session::playing::{Seats, Stream, StreamSeen};

use crate::edge::Edge;
use crate::metrics;

/// How often the cluster is told.
const REPORT_PERIOD: Duration = Duration::from_secs(5);
/// How long its word counts: three reports may get lost.
const REFUSED_FOR: Millis = Millis::from_secs(20);
/// Playbacks that are remembered between two reports; more are counted here only.
const SEEN_MAX: usize = 8 * STREAMS_MAX;

/// Who watches at this edge.
#[derive(Debug, Default)]
pub(crate) struct StreamDesk(Mutex<Watching>);

/// Whether this costs a seat: what is seen or heard, not what describes it.
pub(crate) const fn is_stream(path: &PlayPath) -> bool {
    matches!(path, PlayPath::Segment { .. } | PlayPath::IFrames { .. })
}

impl StreamDesk {
    fn lock(&self) -> MutexGuard<'_, Watching> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a playback may have the segment that it asks for at `now`, on the monotonic clock.
    pub(crate) fn admit(&self, claims: &Claims, now: Millis) -> bool {
        let Some(viewer) = claims.viewer else { return true };
        let stream = Stream {
            viewer: viewer.pseudonym,
            sign_in: viewer.sign_in,
            playback: claims.playback,
            begun_at: claims.begun_at,
        };
        self.lock().ask(stream, now)
    }
}

#[derive(Debug, Default)]
struct Watching {
    seats: Seats,
    /// Who asked since the last report, and when last.
    seen: BTreeMap<PlaybackId, (Stream, Millis)>,
    /// Until when the cluster's refusals count.
    refused: BTreeMap<PlaybackId, Millis>,
}

impl Watching {
    fn ask(&mut self, stream: Stream, now: Millis) -> bool {
        if self.seen.len() < SEEN_MAX || self.seen.contains_key(&stream.playback) {
            self.seen.insert(stream.playback, (stream, now));
        }
        let is_refused = self.refused.get(&stream.playback).is_some_and(|until| now < *until);
        // One that is refused keeps no seat here either.
        !is_refused && self.seats.ask(&stream, now)
    }

    /// Takes out what is to be reported, in parts.
    fn report(&mut self, now: Millis) -> Vec<Vec<StreamSeen>> {
        self.seats.forget(now);
        self.refused.retain(|_, until| now < *until);
        let seen = std::mem::take(&mut self.seen).into_values();
        let rows = seen.map(|(stream, at)| StreamSeen { stream, ago: now.less(at) });
        let rows: Vec<StreamSeen> = rows.collect();
        rows.chunks(STREAMS_MAX).map(<[StreamSeen]>::to_vec).collect()
    }

    /// Takes in what the cluster said to a part.
    fn told(&mut self, part: &[StreamSeen], refused: &[PlaybackId], now: Millis) {
        for row in part {
            let playback = row.stream.playback;
            if refused.contains(&playback) {
                self.refused.insert(playback, now.plus(REFUSED_FOR));
            } else {
                self.refused.remove(&playback);
            }
        }
    }
}

/// Reports who watches and hears who is one too many, until shutdown.
pub(crate) async fn run(edge: Arc<Edge>) {
    loop {
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(REPORT_PERIOD) => {}
        }
        let streams = &edge.delivery.streams;
        let parts = streams.lock().report(edge.time.monotonic());
        for part in parts {
            let request = ForwardRequest::Streams { seen: part.clone() };
            let answer = tokio::select! {
                biased;
                () = edge.shutdown.wait() => return,
                answer = edge.links.forward(&request) => answer,
            };
            // No answer, or one of a member that does not count yet: nobody is refused for that.
            let Ok(ForwardResponse::Json(bytes)) = answer else { break };
            let Ok(StreamsRefused { refused }) = serde_json::from_slice(&bytes) else { break };
            metrics::streams_refused(refused.len());
            streams.lock().told(&part, &refused, edge.time.monotonic());
        }
    }
}

#[cfg(test)]
mod tests {
    use fairground_types::{SignInId, Timestamp};

    use super::*;

    fn stream(n: u128) -> Stream {
        Stream {
            viewer: [1; 16],
            sign_in: SignInId::from_bits(n),
            playback: PlaybackId::from_bits(n),
            begun_at: Timestamp::from_unix_millis(1),
        }
    }

    const fn at(seconds: u64) -> Millis {
        Millis::from_secs(seconds)
    }

    #[test]
    fn third_device_is_refused_at_one_edge_without_the_cluster() {
        let mut watching = Watching::default();
        assert!(watching.ask(stream(1), at(0)) && watching.ask(stream(2), at(0)));
        assert!(!watching.ask(stream(3), at(1)));
        assert!(watching.ask(stream(3), at(11)), "the others have stopped");
    }

    #[test]
    fn who_is_refused_by_the_cluster_asks_on_and_is_let_in_when_it_says_so() {
        let mut watching = Watching::default();
        assert!(watching.ask(stream(1), at(0)));
        let parts = watching.report(at(5));
        assert_eq!(parts, [[StreamSeen { stream: stream(1), ago: at(5) }]]);
        watching.told(&parts[0], &[stream(1).playback], at(5));
        assert!(!watching.ask(stream(1), at(6)));
        let parts = watching.report(at(10));
        assert_eq!(parts[0][0].ago, at(4), "it is reported although it was refused");
        watching.told(&parts[0], &[], at(10));
        assert!(watching.ask(stream(1), at(11)));
        assert!(watching.report(at(12)).len() == 1 && watching.report(at(13)).is_empty());
    }

    #[test]
    fn word_of_the_cluster_lapses() {
        let mut watching = Watching::default();
        assert!(watching.ask(stream(1), at(0)));
        let parts = watching.report(at(1));
        watching.told(&parts[0], &[stream(1).playback], at(1));
        assert!(!watching.ask(stream(1), at(20)));
        assert!(watching.ask(stream(1), at(21)));
    }

    #[test]
    fn reports_are_bounded() {
        let mut watching = Watching::default();
        for n in 0..u128::try_from(SEEN_MAX).expect("few") + 10 {
            watching.ask(Stream { viewer: n.to_be_bytes(), ..stream(n) }, at(0));
        }
        let parts = watching.report(at(1));
        assert_eq!(parts.len(), SEEN_MAX / STREAMS_MAX);
        assert!(parts.iter().all(|part| part.len() == STREAMS_MAX));
    }
}
