//! What domain 7 promises of the market and no other file of tables says as it is said there.

use fairground_types::{OrderId, StoryId, limits};

use crate::script::World;
use crate::{LedgerAccount, Market};

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
