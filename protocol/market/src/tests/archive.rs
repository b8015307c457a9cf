//! What leaves the state, when, and what stays.

use fairground_types::UserId;

use crate::script::World;
use crate::{ArchivedSale, Market, OrderRole};

const SOLD: &str = "policy initial 1h, window 0s
    12:00:00      offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
    12:30:00      bid A b EUR 120.00 key k -> placed
    13:00:00      tick marks 13:00:00     -> A locked to b at 120.00 (AutoAtClose)
    13:01:00      paid A EUR 120.00 ev_1  -> done; A closed (Sold); S1 sold
    14:00:00      ship A m TRACK-0001     -> done
    15:00:00      confirm A b             -> done
    16:00:00      confirm A b             -> done
    16:00:01      account m               -> done
    16:00:02      made m                  -> done
    16:00:03      ready m                 -> done
    16:00:04      sent A                  -> done
    89d00:00:00   archive 9               -> done
    ";

fn play(rest: &str) -> World {
    match World::play(&format!("{SOLD}{rest}")) {
        Ok(world) => world,
        Err(why) => panic!("{why}"),
    }
}

fn archived(world: &World) -> Vec<&ArchivedSale> {
    world.applied.iter().flat_map(|applied| &applied.archived).collect()
}

#[test]
fn a_completed_sale_leaves_with_its_story_ninety_days_after_its_end() {
    let world = play(
        "90d15:00:00 archive 9          -> done
        90d16:00:00 archive 9          -> done; A archived and its story
        90d16:00:01 archive 9          -> done",
    );
    let sales = archived(&world);
    assert_eq!(sales.len(), 1);
    assert_eq!(world.market.archived(), 1);
    let sale = sales[0];
    assert_eq!((sale.seq, sale.postings.len(), sale.locks().count()), (0, 3, 1));
    let buyer: UserId = sale.order().expect("an order").buyer();
    assert_eq!(sale.order_row(buyer).expect("theirs").role, OrderRole::Buyer);
    assert_eq!(sale.auction_record().bids.len(), 2);
    let left: &Market = &world.market;
    assert_eq!((left.auctions().count(), left.orders().len(), left.locks().len()), (0, 0, 0));
    assert!(left.story(sale.story().expect("it left").id()).is_none());
    assert_eq!(left.ledger_balances().count(), play("").market.ledger_balances().count());
}

#[test]
fn an_archived_sale_shows_its_payment_and_its_receipt_to_the_same_people() {
    let before = play("").market;
    let world = play("90d16:00:00 archive 9          -> done; A archived and its story");
    let sale = archived(&world)[0];
    let lock = sale.locks().next().expect("a lock").id();
    let order = sale.order().expect("an order");
    let (buyer, maker, stranger) = (order.buyer(), order.maker(), UserId::from_bits(99));
    assert!(before.receipt_row(lock).is_some() && world.market.receipt_row(lock).is_none());
    assert_eq!(sale.receipt_row(lock), before.receipt_row(lock));
    for reader in [buyer, maker] {
        assert_eq!(sale.payment_row(lock, reader), before.payment_row(lock, reader));
        assert_eq!(sale.messages(reader), before.messages_of(order.id(), reader));
    }
    assert_eq!(sale.payment_row(lock, stranger), None);
    assert_eq!(sale.lock_row(lock, buyer), before.lock_row(lock));
    assert_eq!((sale.lock_row(lock, maker), sale.messages(stranger)), (None, None));
}

#[test]
fn what_is_archived_can_not_be_done_again() {
    play(
        "90d16:00:00 archive 9                  -> done; A archived and its story
        90d16:00:01 bid A c EUR 500.00         -> NOT_FOUND
        90d16:00:02 bid A b EUR 120.00 key k   -> placed
        121d16:00:03 bid A b EUR 120.00 key k  -> NOT_FOUND
        121d16:00:04 offer S1 c EUR 500.00     -> NOT_FOUND",
    );
}

#[test]
fn an_auction_without_a_sale_leaves_and_its_story_stays() {
    let world = World::play(
        "policy initial 1h, window 0s, payment 1h, decision 1h
        12:00:00     offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
        12:10:00     cancel A                -> done; A closed (Cancelled)
        91d00:00:00  archive 0               -> done
        91d00:00:01  archive 1               -> done; A archived
        91d00:00:02  offer S1 b EUR 200.00 opens B -> opened B; B closes 91d01:00:02",
    );
    let world = world.unwrap_or_else(|why| panic!("{why}"));
    let sale = archived(&world)[0];
    assert!(sale.story().is_none() && sale.order().is_none());
}

/// A lost chargeback leaves no money to wait for; the order it was about is open all the same.
#[test]
fn an_open_order_stays_when_its_money_is_settled() {
    let world = World::play(
        "policy initial 1h, window 0s
        12:00:00     offer S1 a EUR 100.00                -> opened A; A closes 13:00:00
        13:00:00     tick marks 13:00:00                  -> A locked to a at 100.00 (AutoAtClose)
        13:01:00     paid A EUR 100.00 ev_1               -> done; A closed (Sold); S1 sold
        13:10:00     dispute A EUR 100.00 open EUR 15.00  -> done
        13:20:00     dispute A EUR 100.00 lost            -> done
        95d00:00:00  archive 9                            -> done",
    );
    let world = world.unwrap_or_else(|why| panic!("{why}"));
    assert!(archived(&world).is_empty());
    assert_eq!(world.market.orders().len(), 1);
}

#[test]
fn what_still_waits_for_something_is_looked_at_again() {
    let world = World::play(
        "policy initial 1h, window 0s
        12:00:00     offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
        13:00:00     tick marks 13:00:00     -> A locked to a at 100.00 (AutoAtClose)
        13:01:00     paid A EUR 100.00 ev_1  -> done; A closed (Sold); S1 sold
        95d00:00:00  archive 9               -> done
        95d00:00:01  ship A m TRACK-0001     -> done
        95d00:00:02  confirm A a             -> done
        95d00:00:03  confirm A a             -> done
        95d00:00:04  account m               -> done
        95d00:00:05  made m                  -> done
        95d00:00:06  ready m                 -> done
        95d00:00:07  sent A                  -> done
        97d00:00:00  archive 9               -> done
        185d00:00:02 archive 9               -> done
        185d00:00:04 archive 9               -> done; A archived and its story",
    );
    world.map(|_| ()).unwrap_or_else(|why| panic!("{why}"));
}
