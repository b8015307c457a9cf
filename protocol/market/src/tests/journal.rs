//! What edges promise and bring: marks, tails, chains and stamps, and the time of the log.

use std::collections::BTreeMap;

use fairground_types::command::{Entry, LogCommand};
use fairground_types::journal::{Batch, Intake, JournalEntry, Mark, PlaceBid, Stamp, Tail};
use fairground_types::{ChainHash, Code, CommandId, Currency, EdgeId, Millis, Money, Timestamp};

use crate::Applied;
use crate::script::{World, auction_named, edge_named, person};

#[test]
fn marks_of_several_edges_complete_a_close_together() {
    let world = World::play(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        13:00:01  tick                             ->",
    )
    .expect("plays");
    let market = &world.market;
    let mark = |name: &str| {
        let edge = edge_named(name).expect("an edge");
        let tail = market.edge(&edge).expect("registered").tail();
        (edge, Mark { watermark: market.last_at(), tail })
    };
    let (first, second) = (mark("e1"), mark("e2"));
    let at = market.last_at();
    assert!(!market.completes_close(&BTreeMap::from([first.clone()]), at));
    let both = BTreeMap::from([first.clone(), second.clone()]);
    assert!(market.completes_close(&both, at));
    assert!(!market.completes_close(&both, market.auctions().next().expect("open").opened_at()));
    let ahead = Mark { tail: Tail { seq: 9, ..first.1.tail }, ..first.1 };
    let unmet = BTreeMap::from([(first.0, ahead), second]);
    assert!(!market.completes_close(&unmet, at), "a mark counts only with its tail");
}

#[test]
fn a_mark_that_overtakes_its_batch_counts_after_it() {
    let mut world = World::play(
        "policy initial 1h, window 0s, extension 0s
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:59:59  tick                             ->",
    )
    .expect("plays");
    let edge = edge_named("e1").expect("an edge");
    let auction = auction_named("A").expect("a capital");
    let closes_at = world.market.auction(auction).expect("open").closes_at();
    let before = closes_at.minus(Millis::new(1));
    let tail = world.market.edge(&edge).expect("registered").tail();
    let stamp = Stamp { earliest: before, latest: before };
    let journaled = JournalEntry::after(tail, stamp, bid(1, closes_at));
    let mark = Mark { watermark: closes_at, tail: journaled.tail() };
    let early =
        Entry { term: 1, at: closes_at, marks: vec![(edge.clone(), mark)], commands: vec![] };
    world.apply(early);
    assert!(world.market.has_open_auction(), "the mark waits for its tail");
    let gap = JournalEntry { seq: journaled.seq + 1, ..journaled.clone() };
    let applied = bring(&mut world, closes_at, &edge, vec![gap]);
    assert!(applied.judged.is_empty(), "a gap is no verdict");
    let applied = bring(&mut world, closes_at, &edge, vec![journaled.clone()]);
    assert!(applied.judged[0].judged.verdict.is_accepted());
    assert!(!world.market.has_open_auction(), "and then closes");
    let again = bring(&mut world, closes_at, &edge, vec![journaled.clone()]);
    assert!(again.judged.is_empty(), "an overlap is answered by the memory");
    let known = world.market.verdict_on_entry(&edge, &journaled).expect("judged");
    assert_eq!(known, applied.judged[0].judged);
    assert_eq!(world.market.edge(&edge).expect("registered").violations(), 0);
}

/// An entry with one batch of an edge.
fn bring(world: &mut World, at: Timestamp, edge: &EdgeId, entries: Vec<JournalEntry>) -> Applied {
    let batch = Batch { edge: edge.clone(), mark: None, entries };
    world.apply(Entry { term: 1, at, marks: vec![], commands: vec![LogCommand::Batch(batch)] })
}

fn codes(applied: &Applied) -> Vec<Option<Code>> {
    applied.judged.iter().map(|told| told.judged.verdict.code()).collect()
}

/// A bid of b in A, each number above the one before.
fn bid(number: u8, at: Timestamp) -> Intake {
    Intake::Bid(PlaceBid {
        command: CommandId::from_bytes([number; 32]),
        auction: auction_named("A").expect("a capital"),
        bidder: person("b").expect("letter"),
        amount: Money::new(20_000 * u64::from(number), Currency::Eur),
        maximum: None,
        valid_until: at.plus(Millis::from_secs(60)),
    })
}

#[test]
fn a_journal_that_does_not_chain_stays_refused() {
    let mut world = World::play(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00",
    )
    .expect("plays");
    let edge = edge_named("e1").expect("an edge");
    let at = world.market.last_at().plus(Millis::from_secs(1));
    let stamp = Stamp { earliest: at, latest: at };
    let tail = world.market.edge(&edge).expect("registered").tail();
    let cloned = Tail { hash: ChainHash::from_bytes([7; 32]), ..tail };
    let first = JournalEntry::after(cloned, stamp, bid(1, at));
    let second = JournalEntry::after(first.tail(), stamp, bid(2, at));
    let applied = bring(&mut world, at, &edge, vec![first, second]);
    assert_eq!(codes(&applied), vec![Some(Code::StampRefused); 2]);
    let state = world.market.edge(&edge).expect("registered");
    assert_eq!((state.violations(), state.tail().seq), (2, tail.seq + 2));
}

/// The stamps of a journal rise at both ends: a wider one that begins earlier fell too.
#[test]
fn a_stamp_that_falls_at_either_end_is_refused() {
    for (earlier, latest, expected) in [
        (0, 0, None),
        (1, 1, None),
        (-1, 1, Some(Code::StampRefused)),
        (1, -1, Some(Code::StampRefused)),
    ] {
        let mut world = World::play(
            "policy initial 1h
            12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00",
        )
        .expect("plays");
        let edge = edge_named("e1").expect("an edge");
        let at = world.market.last_at().plus(Millis::from_secs(1));
        let near = |off: i64| {
            let millis = i64::try_from(at.as_unix_millis()).expect("in range") + off;
            Timestamp::from_unix_millis(u64::try_from(millis).expect("in range"))
        };
        let tail = world.market.edge(&edge).expect("registered").tail();
        let stamp = Stamp { earliest: near(-3), latest: near(3) };
        let first = JournalEntry::after(tail, stamp, bid(1, at));
        let next = Stamp { earliest: near(-3 + earlier), latest: near(3 + latest) };
        let second = JournalEntry::after(first.tail(), next, bid(2, at));
        let at = at.plus(Millis::from_secs(1));
        let applied = bring(&mut world, at, &edge, vec![first, second]);
        assert_eq!(codes(&applied), vec![None, expected], "{earlier} and {latest}");
    }
}

/// RSM-5, AU-9: whoever stamps an entry, log time does not go back.
#[test]
fn log_time_stands_still_for_an_entry_that_is_dated_earlier() {
    let mut world = World::play(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00",
    )
    .expect("plays");
    let before = world.market.last_at();
    let early = Timestamp::from_unix_millis(before.as_unix_millis() - 5_000);
    let entry = Entry { term: 1, at: early, marks: vec![], commands: vec![] };
    assert_eq!(world.apply(entry).at, before);
    assert_eq!(world.market.last_at(), before);
}
