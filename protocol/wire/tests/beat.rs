//! The edge's clock against a simulated leader, and the beat schedule.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use fairground_types::id::MemberId;
use fairground_types::journal::{Mark, Stamp, Tail};
use fairground_types::time::{Millis, Timestamp};
use fairground_wire::message::BeatDown;
use fairground_wire::session::beat::{BeatDue, BeatSchedule, ClockEstimator, ClockUnfit, Heard};
use proptest::prelude::*;

fn answer(t0: u64, t1: u64, term: u64) -> BeatDown {
    BeatDown {
        t0,
        t1: Timestamp::from_unix_millis(t1),
        term,
        leader: Some(MemberId(1)),
        directory: None,
    }
}

fn hear(clock: &mut ClockEstimator, t0: u64, t1: u64, now: u64, term: u64) -> Heard {
    clock.sent(t0);
    clock.answered(&answer(t0, t1, term), now)
}

/// An edge that has been up for two seconds: coordinator time is its own clock and 1,000,000.
fn settled() -> ClockEstimator {
    let mut clock = ClockEstimator::new(None);
    assert_eq!(hear(&mut clock, 1_000, 1_001_010, 1_020, 1), Heard::NewTerm);
    assert_eq!(hear(&mut clock, 3_000, 1_003_010, 3_020, 1), Heard::Agreed);
    clock.stamp(3_100).expect("fit");
    clock
}

fn width(clock: &mut ClockEstimator, now: u64) -> Millis {
    clock.interval(now).expect("an estimate").width()
}

#[test]
fn without_an_answer_there_is_no_stamp() {
    let mut clock = ClockEstimator::new(None);
    assert_eq!(clock.stamp(5), Err(ClockUnfit::NoEstimate));
    assert_eq!(clock.interval(5), None);
}

#[test]
fn the_first_estimate_must_have_passed_by_a_second() {
    let mut clock = ClockEstimator::new(None);
    hear(&mut clock, 1_000, 1_001_010, 1_020, 1);
    assert_eq!(clock.stamp(1_030), Err(ClockUnfit::Starting));
    assert_eq!(clock.stamp(2_030), Err(ClockUnfit::Starting));
    assert!(clock.stamp(2_100).is_ok());
}

#[test]
fn the_interval_is_the_round_trip_and_grows_by_the_drift() {
    let mut clock = ClockEstimator::new(None);
    hear(&mut clock, 1_000, 1_001_010, 1_020, 1);
    assert_eq!(width(&mut clock, 1_020), Millis::new(22));
    // 10 s later: 5 ms of drift and 1 ms of rounding on either side.
    assert_eq!(width(&mut clock, 11_020), Millis::new(22 + 2 * 6));
}

#[test]
fn an_hour_without_answers_is_too_uncertain() {
    let mut clock = settled();
    assert!(matches!(clock.stamp(3_603_000), Err(ClockUnfit::TooWide(_))));
}

#[test]
fn answers_of_an_older_term_and_to_beats_never_sent_are_dropped() {
    let mut clock = settled();
    assert_eq!(hear(&mut clock, 4_000, 1_004_010, 4_020, 2), Heard::NewTerm);
    assert_eq!(hear(&mut clock, 4_500, 9_999_999, 4_520, 1), Heard::Dropped);
    assert_eq!(clock.answered(&answer(9_000, 1_009_000, 2), 9_020), Heard::Dropped);
    assert_eq!(clock.term(), 2);
}

#[test]
fn a_new_term_starts_a_new_estimate_and_stamps_still_never_fall() {
    let mut clock = settled();
    let before = clock.stamp(4_000).expect("fit");
    // The new leader's clock is 300 ms behind the old one's.
    assert_eq!(hear(&mut clock, 4_100, 1_003_810, 4_120, 2), Heard::NewTerm);
    let after = clock.interval(4_130).expect("an estimate");
    assert!(after.earliest >= before.earliest && after.latest >= before.latest);
}

#[test]
fn a_contradiction_stops_stamps_until_three_answers_agree() {
    let mut clock = settled();
    assert_eq!(hear(&mut clock, 4_000, 2_004_010, 4_020, 1), Heard::Fault);
    assert_eq!(clock.stamp(4_030), Err(ClockUnfit::Fault));
    assert_eq!(hear(&mut clock, 4_500, 2_004_510, 4_520, 1), Heard::Fault);
    assert_eq!(hear(&mut clock, 5_000, 2_005_010, 5_020, 1), Heard::Recovered);
    assert!(clock.stamp(5_030).is_ok());
    assert_eq!(clock.faults(), 1);
}

#[test]
fn answers_that_disagree_with_each_other_begin_the_count_again() {
    let mut clock = settled();
    hear(&mut clock, 4_000, 2_004_010, 4_020, 1);
    hear(&mut clock, 4_500, 2_004_510, 4_520, 1);
    assert_eq!(hear(&mut clock, 5_000, 3_005_010, 5_020, 1), Heard::Fault);
    assert_eq!(hear(&mut clock, 5_500, 3_005_510, 5_520, 1), Heard::Fault);
    assert_eq!(hear(&mut clock, 6_000, 3_006_010, 6_020, 1), Heard::Recovered);
}

#[test]
fn a_restart_does_not_stamp_below_the_journal() {
    let last = Stamp {
        earliest: Timestamp::from_unix_millis(1_500_000),
        latest: Timestamp::from_unix_millis(1_500_040),
    };
    let mut clock = ClockEstimator::new(Some(last));
    hear(&mut clock, 1_000, 1_001_010, 1_020, 1);
    let interval = clock.interval(1_100).expect("an estimate");
    assert!(interval.earliest >= last.earliest && interval.latest >= last.latest);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Delays are anything, the edge's clock runs up to 200 ppm wrong and the leader's slews up to
    /// 300 ppm: true coordinator time is always inside the interval, and no end ever falls.
    #[test]
    fn true_time_is_always_inside(
        edge_ppm in -200_i64..=200,
        leader_ppm in -300_i64..=300,
        beats in proptest::collection::vec((1_i64..2_000, 0_i64..400, 0_i64..400), 1..60),
    ) {
        let own = |real: i64| u64::try_from(5_000_000 + real + real * edge_ppm / 1_000_000).expect("after start");
        let coordinator = |real: i64| {
            u64::try_from(1_700_000_000_000 + real + real * leader_ppm / 1_000_000).expect("after 1970")
        };
        let mut clock = ClockEstimator::new(None);
        let mut real = 0_i64;
        let mut last = Stamp { earliest: Timestamp::EPOCH, latest: Timestamp::EPOCH };
        for (gap, there, back) in beats {
            let sent = real + gap;
            let back_at = sent + there + back;
            clock.sent(own(sent));
            let heard = clock.answered(&answer(own(sent), coordinator(sent + there), 1), own(back_at));
            prop_assert!(matches!(heard, Heard::Agreed | Heard::NewTerm), "{:?}", heard);
            for later in [0, 7, 150] {
                let interval = clock.interval(own(back_at + later)).expect("an estimate");
                let truth = Timestamp::from_unix_millis(coordinator(back_at + later));
                prop_assert!(interval.earliest <= truth && truth <= interval.latest);
                prop_assert!(interval.earliest >= last.earliest && interval.latest >= last.latest);
                last = interval;
            }
            real = back_at + 150;
        }
    }
}

fn mark(watermark: u64) -> Option<Mark> {
    Some(Mark { watermark: Timestamp::from_unix_millis(watermark), tail: Tail::START })
}

const fn at(millis: u64) -> Option<Timestamp> {
    Some(Timestamp::from_unix_millis(millis))
}

#[test]
fn the_first_beat_is_due_at_once_and_then_each_half_second() {
    let mut schedule = BeatSchedule::new();
    assert_eq!(schedule.due(0, None, None), BeatDue::Now);
    schedule.sent(0, None);
    assert_eq!(schedule.due(100, None, None), BeatDue::In(Millis::new(400)));
    assert_eq!(schedule.due(500, None, None), BeatDue::Now);
}

#[test]
fn a_close_that_earliest_passes_is_announced_at_once_but_not_within_the_gap() {
    let mut schedule = BeatSchedule::new();
    schedule.sent(1_000, mark(9_990));
    // Earliest is 10,001 in 5 ms, but a beat was sent just now.
    assert_eq!(schedule.due(1_000, at(9_996), at(10_000)), BeatDue::In(Millis::new(20)));
    assert_eq!(schedule.due(1_020, at(10_016), at(10_000)), BeatDue::Now);
    schedule.sent(1_020, mark(10_015));
    assert_eq!(schedule.due(1_040, at(10_036), at(10_000)), BeatDue::In(Millis::new(480)));
}

#[test]
fn a_mark_held_back_by_an_unsynced_entry_is_followed_by_another() {
    let mut schedule = BeatSchedule::new();
    schedule.sent(1_000, mark(9_999));
    assert_eq!(schedule.promised(), Timestamp::from_unix_millis(9_999));
    assert_eq!(schedule.due(1_020, at(10_030), at(10_000)), BeatDue::Now);
}
