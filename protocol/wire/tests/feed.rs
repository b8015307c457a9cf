//! The feed: a view in parts, then items in order.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use fairground_types::event::FeedItem;
use fairground_types::id::LogIndex;
use fairground_types::time::Timestamp;
use fairground_wire::message::FeedDown;
use fairground_wire::session::feed::{
    FeedError, FeedEvent, FeedFollower, FeedStart, SNAPSHOT_PART, snapshot_parts, start,
};

fn item(index: u64) -> FeedDown {
    FeedDown::Item(FeedItem { index: LogIndex(index), at: Timestamp::EPOCH, events: Vec::new() })
}

fn replaced(follower: &mut FeedFollower, index: u64, view: &[u8]) -> FeedEvent {
    let mut last = FeedEvent::Pending;
    for part in snapshot_parts(LogIndex(index), view) {
        assert_eq!(last, FeedEvent::Pending);
        last = follower.receive(part).expect("in order");
    }
    last
}

#[test]
fn a_view_arrives_whole_in_parts() {
    for size in [0, 1, SNAPSHOT_PART, SNAPSHOT_PART + 1, 3 * SNAPSHOT_PART + 17] {
        let view: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).expect("small")).collect();
        let mut follower = FeedFollower::new(LogIndex(0));
        let event = replaced(&mut follower, 40, &view);
        assert_eq!(event, FeedEvent::Replace { index: LogIndex(40), view });
        assert_eq!(follower.position(), LogIndex(40));
    }
}

#[test]
fn items_must_be_above_the_position() {
    let mut follower = FeedFollower::new(LogIndex(5));
    assert!(follower.receive(item(6)).is_ok());
    assert!(follower.receive(item(9)).is_ok(), "entries without a market command have no item");
    let wrong = FeedError::OutOfOrder { position: LogIndex(9), found: LogIndex(9) };
    assert_eq!(follower.receive(item(9)), Err(wrong));
    let alive = FeedDown::Alive { index: LogIndex(9), at: Timestamp::EPOCH };
    assert!(follower.receive(alive).is_ok());
}

#[test]
fn a_part_missing_or_repeated_is_a_violation() {
    let view = vec![7; 3 * SNAPSHOT_PART];
    let parts: Vec<FeedDown> = snapshot_parts(LogIndex(3), &view).collect();
    let mut follower = FeedFollower::new(LogIndex(0));
    follower.receive(parts[0].clone()).expect("first");
    assert_eq!(follower.receive(parts[2].clone()), Err(FeedError::PartOutOfPlace));
    let mut follower = FeedFollower::new(LogIndex(0));
    follower.receive(parts[0].clone()).expect("first");
    assert_eq!(follower.receive(parts[0].clone()), Err(FeedError::PartOutOfPlace));
    let mut follower = FeedFollower::new(LogIndex(0));
    follower.receive(parts[0].clone()).expect("first");
    assert!(matches!(follower.receive(item(4)), Err(FeedError::OutOfOrder { .. })));
}

#[test]
fn a_view_of_a_size_that_nobody_sends_is_refused() {
    let mut follower = FeedFollower::new(LogIndex(0));
    let part =
        FeedDown::Snapshot { index: LogIndex(1), total_bytes: u64::MAX, offset: 0, bytes: vec![1] };
    assert_eq!(follower.receive(part), Err(FeedError::TooLarge(u64::MAX)));
}

#[test]
fn a_member_resumes_what_it_still_holds_and_sends_a_view_else() {
    let (oldest, newest) = (LogIndex(100), LogIndex(200));
    assert_eq!(start(LogIndex(150), oldest, newest), FeedStart::After(LogIndex(150)));
    assert_eq!(start(LogIndex(99), oldest, newest), FeedStart::After(LogIndex(99)));
    assert_eq!(start(LogIndex(200), oldest, newest), FeedStart::After(LogIndex(200)));
    assert_eq!(start(LogIndex(98), oldest, newest), FeedStart::Snapshot);
    assert_eq!(start(LogIndex(0), oldest, newest), FeedStart::Snapshot);
    assert_eq!(start(LogIndex(201), oldest, newest), FeedStart::Snapshot, "of another history");
}
