//! How many playbacks one viewer has running at a time, as edges see segments asked for.
//!
//! ```text
//!   a viewer has two seats; whoever asks for a segment needs one:
//!     its playback sits already                              it stays
//!     a seat is free, or whoever sits asked nothing for 10 s  it sits down
//!     whoever sits is older and of the same sign-in           it takes that seat: the same person
//!     else                                                    it is refused
//! ```
//! So a person who goes from clip to clip is never refused, one who changes device waits for seconds
//! at most, and a third device waits until another stops. An edge counts what it serves itself, the
//! leading member what all edges report; neither is money, so who cannot be counted is let through.
//! It must not know clocks, tokens or HTTP.

use std::collections::BTreeMap;

use fairground_types::id::{PlaybackId, SignInId};
use fairground_types::time::{Millis, Timestamp};
use wincode::{SchemaRead, SchemaWrite};

/// Playbacks of one viewer that may run at a time.
pub const STREAMS_PER_VIEWER_MAX: usize = 2;
/// Who asks for no segment for so long has stopped: players ask every few seconds.
pub const STREAM_IDLE: Millis = Millis::from_secs(10);
/// Who asks for none for so long is forgotten.
const FORGOTTEN_AFTER: Millis = Millis::from_mins(1);
/// Viewers that are counted; more are let through.
const VIEWERS_MAX: usize = 200_000;

/// Stands for an account: see the playback token.
pub type Pseudonym = [u8; 16];

/// A playback of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Stream {
    /// Whose.
    pub viewer: Pseudonym,
    /// Under which sign-in: one device.
    pub sign_in: SignInId,
    /// Which.
    pub playback: PlaybackId,
    /// When it began.
    pub begun_at: Timestamp,
}

/// A playback that an edge was asked for segments of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct StreamSeen {
    /// Which.
    pub stream: Stream,
    /// How long ago it was asked for last.
    pub ago: Millis,
}

/// Who sits where. Bounded: the viewers by `VIEWERS_MAX`, the seats of each by two.
#[derive(Debug, Default)]
pub struct Seats(BTreeMap<Pseudonym, Vec<Seat>>);

#[derive(Clone, Copy, Debug)]
struct Seat {
    stream: Stream,
    seen_at: Millis,
}

impl Seats {
    /// Nobody sits.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether a playback that asks for a segment at `at` may have it. Instants are of one monotonic
    /// clock; they need not come in order.
    pub fn ask(&mut self, stream: &Stream, at: Millis) -> bool {
        if self.0.len() >= VIEWERS_MAX && !self.0.contains_key(&stream.viewer) {
            return true;
        }
        let seats = self.0.entry(stream.viewer).or_default();
        let own = seats.iter_mut().find(|seat| seat.stream.playback == stream.playback);
        if let Some(seat) = own {
            seat.seen_at = seat.seen_at.max(at);
            return true;
        }
        let taken = Seat { stream: *stream, seen_at: at };
        if seats.len() < STREAMS_PER_VIEWER_MAX {
            seats.push(taken);
            return true;
        }
        let left = seats.iter_mut().filter(|seat| seat.is_left_to(stream, at));
        let Some(seat) = left.min_by_key(|seat| seat.seen_at) else { return false };
        *seat = taken;
        true
    }

    /// Forgets who has stopped for good.
    pub fn forget(&mut self, now: Millis) {
        self.0.retain(|_, seats| {
            seats.retain(|seat| now.less(seat.seen_at) < FORGOTTEN_AFTER);
            !seats.is_empty()
        });
    }

    /// Viewers that are counted.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.0.len()
    }
}

impl Seat {
    fn is_left_to(&self, other: &Stream, at: Millis) -> bool {
        let has_stopped = at.less(self.seen_at) >= STREAM_IDLE;
        let age = |stream: &Stream| (stream.begun_at, stream.playback);
        let is_followed = self.stream.sign_in == other.sign_in && age(&self.stream) < age(other);
        has_stopped || is_followed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The n-th playback of one person, on a device.
    fn stream(device: u128, n: u64) -> Stream {
        Stream {
            viewer: [1; 16],
            sign_in: SignInId::from_bits(device),
            playback: PlaybackId::from_bits(u128::from(n)),
            begun_at: Timestamp::from_unix_millis(n),
        }
    }

    const fn at(seconds: u64) -> Millis {
        Millis::from_secs(seconds)
    }

    #[test]
    fn third_device_is_refused_while_two_play() {
        let mut seats = Seats::new();
        for second in 0..60 {
            assert!(seats.ask(&stream(1, 1), at(second)));
            assert!(seats.ask(&stream(2, 2), at(second)));
            assert!(!seats.ask(&stream(3, 3), at(second)), "{second}");
        }
        let another = Stream { viewer: [2; 16], ..stream(3, 3) };
        assert!(seats.ask(&another, at(60)), "another person");
    }

    #[test]
    fn who_changes_device_goes_on_within_seconds() {
        let mut seats = Seats::new();
        assert!(seats.ask(&stream(1, 1), at(0)) && seats.ask(&stream(2, 2), at(0)));
        for second in 1..10 {
            assert!(seats.ask(&stream(2, 2), at(second)));
            assert!(!seats.ask(&stream(3, 3), at(second)), "{second}");
        }
        assert!(seats.ask(&stream(3, 3), at(10)), "the first device has stopped");
        assert!(!seats.ask(&stream(1, 1), at(11)), "and is the third now");
    }

    #[test]
    fn the_longest_idle_one_is_dropped() {
        let mut seats = Seats::new();
        assert!(seats.ask(&stream(1, 1), at(2)) && seats.ask(&stream(2, 2), at(1)));
        assert!(seats.ask(&stream(3, 3), at(20)));
        assert!(seats.ask(&stream(1, 1), at(20)), "it was seen later than the other");
        assert!(!seats.ask(&stream(2, 2), at(20)));
    }

    #[test]
    fn person_who_goes_from_clip_to_clip_is_never_refused() {
        let mut seats = Seats::new();
        assert!(seats.ask(&stream(2, 0), at(0)));
        for n in 1..100 {
            assert!(seats.ask(&stream(1, n), at(0)), "{n}");
            assert!(seats.ask(&stream(2, 0), at(0)), "the other device plays on: {n}");
        }
        assert!(!seats.ask(&stream(1, 50), at(0)), "an older clip does not come back");
    }

    #[test]
    fn who_has_stopped_is_forgotten() {
        let mut seats = Seats::new();
        assert!(seats.ask(&stream(1, 1), at(0)));
        seats.forget(at(59));
        assert_eq!(seats.viewers(), 1);
        seats.forget(at(60));
        assert_eq!(seats.viewers(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// In any ten seconds in which everybody asks each second, two devices at most are served.
        #[test]
        fn no_more_than_two_devices_play(first in 0_u64..50, devices in 3_u64..6) {
            let mut seats = Seats::new();
            let mut last = Vec::new();
            for second in first..first.saturating_add(30) {
                let served = (0..devices).filter(|device| {
                    seats.ask(&stream(u128::from(*device), *device), at(second))
                });
                last = served.collect();
                prop_assert!(last.len() <= STREAMS_PER_VIEWER_MAX, "{:?}", last);
            }
            prop_assert_eq!(last.len(), STREAMS_PER_VIEWER_MAX);
        }
    }
}
