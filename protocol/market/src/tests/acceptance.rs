//! What domain 7 promises of the market and no other file of tables says as it is said there.

use fairground_types::command::{Entry, MarketPolicy};
use fairground_types::journal::Mark;
use fairground_types::{LogIndex, Millis, OrderId, PublicEvent, StoryId, limits};

use crate::script::{World, edge_named};
use crate::{Applied, AuctionState, LedgerAccount, Market, Snapshot};

fn play(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn of_first_offers_in_one_entry_one_opens_and_of_equal_bids_one_is_placed() {
    let world = play(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00 opens A  -> opened A
        +         offer S1 b EUR 100.00 opens B  -> AUCTION_ACTIVE minimum 105.00
        +         offer S1 c EUR 100.00 opens C  -> AUCTION_ACTIVE minimum 105.00
        +         offer S1 d EUR 100.00 opens D  -> AUCTION_ACTIVE minimum 105.00; A closes 13:00:00
        12:01:00  bid A b EUR 105.00             -> placed
        +         bid A c EUR 105.00             -> BID_TOO_LOW minimum 110.00
        +         bid A d EUR 105.00             -> BID_TOO_LOW minimum 110.00
        +         bid A e EUR 105.00             -> BID_TOO_LOW minimum 110.00",
    );
    assert_eq!(world.market.auctions().count(), 1);
    let auction = world.market.auctions().next().expect("the auction");
    assert_eq!(world.market.auction_record(auction.id()).expect("a record").bids.len(), 2);
}

#[test]
fn a_refused_first_offer_opens_nothing_and_the_story_takes_the_next() {
    let world = play(
        "12:00:00  offer S1 a EUR 99.99 opens A   -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:01  offer S1 m EUR 100.00 opens A  -> SELF_BID",
    );
    assert_eq!(world.market.auctions().count(), 0);
    assert_eq!(listed(&world.market), Some("listed"));
    play(
        "12:00:00  offer S1 a EUR 99.99 opens A   -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:01  offer S1 a EUR 100.00 opens A  -> opened A; A closes 3d12:00:01",
    );
}

fn listed(market: &Market) -> Option<&'static str> {
    market.story_row(StoryId::from_bits(1)).map(|row| row.state)
}

const PAID: &str = "policy initial 1h, window 0s
    12:00:00  offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
    13:00:00  tick marks 13:00:00     -> A locked to a at 100.00 (AutoAtClose)
    13:01:00  paid A EUR 100.00 ev_1  -> done; A closed (Sold); S1 sold
    ";

#[test]
fn a_maker_sees_until_when_to_ship_and_the_address_only_of_what_is_paid() {
    let world = play(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
        13:00:00  tick marks 13:00:00     -> A locked to a at 100.00 (AutoAtClose)",
    );
    assert!(world.market.orders().is_empty(), "nothing to ship before it is paid");
    let world = play(&format!("{PAID}13:02:00 address A a DE -> done"));
    let order = world.market.order(OrderId::from_bits(65)).expect("an order");
    let rows = world.market.orders_of(order.maker());
    let row = rows.first().expect("the maker's list");
    assert_eq!(row.ship_by.since(row.paid_at), limits::SHIP_BY);
    assert!(row.sealed_address.is_some(), "the maker may read where it goes");
    assert!(world.market.order_row(order.id(), fairground_types::UserId::from_bits(99)).is_none());
}

#[test]
fn an_open_issue_holds_completion_and_payout_and_its_end_lets_both_go() {
    let held = format!(
        "{PAID}14:00:00     ship A m BOAT-1            -> done
        15:00:00     confirm A a                -> done
        15:00:01     account m                  -> done
        15:00:02     made m                     -> done
        15:00:03     ready m                    -> done
        15:10:00     issue A a #1 damaged       -> done
        15:11:00     assign #1 cluster b        -> done
        8d00:00:00   tick                       -> 
        "
    );
    let world = play(&held);
    let order = world.market.order(OrderId::from_bits(65)).expect("an order");
    assert_eq!(order.state().name(), "delivered");
    let charge = world.market.charge(order.id()).expect("a charge");
    assert_eq!(charge.payout.name(), "waiting");
    let world = play(&format!(
        "{held}8d00:00:01   decide #1 cluster nothing  -> done
        15d00:00:02  tick                       -> 
        15d00:00:03  sent A                     -> done"
    ));
    let order = world.market.order(OrderId::from_bits(65)).expect("an order");
    assert_eq!(order.state().name(), "completed");
    let charge = world.market.charge(order.id()).expect("a charge");
    assert_eq!(charge.payout.name(), "sent");
    let owed = world.market.ledger_balances();
    let owed = owed.filter(|(account, ..)| matches!(account, LedgerAccount::MakerPayable(_)));
    assert!(owed.map(|(.., sum)| sum).all(|sum| sum == 0), "nothing is owed to the maker");
}

/// Auctions `A1` to `A100`, opened in one entry at 12:00 by ten buyers, which all close at 13:00.
fn a_hundred_due_at_one(intake: &[&str]) -> World {
    let mut policy = MarketPolicy::default();
    policy.auction.initial = Millis::from_hours(1);
    policy.auction.window = Millis::ZERO;
    let mut world = World::new(policy, intake).expect("the set-up is accepted");
    let at = world.market.last_at();
    world.join_person(at, 'o').expect("an account");
    for number in 3..=100 {
        world.list_story(at, &format!("S{number}")).expect("a listed story");
    }
    let buyers: Vec<char> = "abcdefghno".chars().collect();
    let mut table = String::new();
    let mut closes = String::new();
    for number in 1..=100 {
        let buyer = buyers[number % buyers.len()];
        let head = if number == 1 { "12:00:00" } else { "+" };
        closes.push_str(&format!("; A{number} closes 13:00:00"));
        let all = if number == 100 { closes.as_str() } else { "" };
        table.push_str(&format!(
            "{head} offer S{number} {buyer} EUR 100.00 opens A{number} -> opened A{number}{all}\n"
        ));
    }
    world.play_on(&table).unwrap_or_else(|why| panic!("{why}"));
    world
}

fn locked_in(applied: &Applied) -> usize {
    let events = applied.feed.events.iter();
    events.filter(|event| matches!(event, PublicEvent::AuctionLocked { .. })).count()
}

#[test]
fn a_hundred_auctions_due_at_once_all_close_in_the_entry_of_their_close() {
    let mut world = a_hundred_due_at_one(&["e1"]);
    let closes_at = world.market.auctions().next().expect("open").closes_at();
    world.keep_time(closes_at);
    assert_eq!(world.applied.iter().map(locked_in).sum::<usize>(), 0, "none is early");
    // Timers are state: a member that starts again from a snapshot closes the same ones.
    let bytes = wincode::serialize(&world.market.snapshot()).expect("encodes");
    let snapshot: Snapshot = wincode::deserialize(&bytes).expect("decodes");
    let mut restarted = Market::restore(snapshot);
    let edge = edge_named("e1").expect("an edge");
    let tail = world.market.edge(&edge).expect("registered").tail();
    let mark = Mark { watermark: closes_at, tail };
    let entry = Entry { term: 1, at: closes_at, marks: vec![(edge, mark)], commands: vec![] };
    let applied = world.apply(entry.clone());
    assert_eq!(locked_in(&applied), 100);
    assert_eq!(restarted.apply(LogIndex(world.log.len() as u64), &entry), applied);
    assert!(restarted == world.market);
    for auction in world.market.auctions() {
        let record = world.market.auction_record(auction.id()).expect("known");
        assert_eq!((record.lateness, record.unheard.len()), (Some(Millis::ZERO), 0));
        assert!(matches!(auction.state(), AuctionState::Locked { .. }));
    }
    assert_eq!(world.market.locks().len(), 100);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn a_hundred_auctions_due_at_once_wait_for_no_silent_edge_longer_than_a_minute() {
    let mut world = a_hundred_due_at_one(&["e1", "e2"]);
    let closes_at = world.market.auctions().next().expect("open").closes_at();
    world.play_on("12:59:00 silence e2 ->").expect("plays");
    let entries = world.applied.len();
    world.keep_time(closes_at.plus(Millis::from_secs(60)));
    let ends: Vec<&Applied> =
        world.applied[entries..].iter().filter(|applied| locked_in(applied) > 0).collect();
    assert_eq!(ends.len(), 1, "all end in one entry");
    assert_eq!(locked_in(ends[0]), 100);
    assert!(ends[0].at > closes_at, "e2 had its grace");
    let silent = edge_named("e2").expect("an edge");
    for auction in world.market.auctions() {
        let record = world.market.auction_record(auction.id()).expect("known");
        assert!(record.unheard.contains(&silent), "the record says who was not heard");
    }
}
