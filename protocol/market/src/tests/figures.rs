//! Figures against histories whose sums are known.

use fairground_types::command::{Actor, Command, SocialCommand};
use fairground_types::{Currency, Millis, Money, Timestamp, UserId, limits};

use crate::script::{World, person};
use crate::{MarketReport, MoneyTotals};

const SOLD: &str = "policy initial 1h, window 0s
    11:30:00  duty f finance             -> done
    11:30:01  duty g finance             -> done
    12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  checkout A a               -> attempt 1
    12:00:03  opened A                   -> done
    12:00:04  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
    12:00:05  read A EUR 3.20            -> done
";

/// Sold to `b` for 120.00, shipped, completed and paid out.
const COMPLETED: &str = "policy initial 1h, window 0s
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
";

fn play(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

fn user(name: &str) -> UserId {
    person(name).expect("a letter")
}

/// Of everything.
fn whole(world: &World) -> MarketReport {
    world.market.report(Timestamp::EPOCH, world.market.last_at().plus(Millis::new(1)))
}

#[test]
fn a_report_sums_what_fell_into_its_time() {
    let world = play(SOLD);
    let report = whole(&world);
    assert_eq!((report.auctions.sold, report.auctions.running), (1, 0));
    assert_eq!((report.orders.awaiting_shipment, report.orders.completed), (1, 0));
    assert_eq!(report.stories.sold, 1);
    assert_eq!(report.complete_from, Timestamp::EPOCH, "nothing has left");
    let charge = Money::new(10_000, Currency::Eur);
    let fee = world.market.fee_of(charge).minor();
    let sums = MoneyTotals {
        currency: Currency::Eur,
        sales: 1,
        gross_sales_minor: 10_000,
        fees_minor: fee,
        refunds_minor: 0,
        fees_returned_minor: 0,
        payouts_minor: 0,
    };
    assert_eq!(report.money, [sums]);
    let accounts = world.market.find_accounts(None, None).len();
    assert_eq!(report.accounts_made, u64::try_from(accounts).expect("few"));
    let at = world.market.last_at();
    let later = world.market.report(at.plus(Millis::new(1)), at.plus(Millis::from_hours(1)));
    assert_eq!((later.accounts_made, later.auctions.sold), (0, 0));
    assert_eq!((later.orders.awaiting_shipment, later.money.len()), (0, 0));
    assert_eq!(later.stories.sold, 1, "stories are counted as they stand");
    let before = world.market.report(Timestamp::EPOCH, Timestamp::EPOCH);
    assert_eq!(before.money, []);
}

#[test]
fn refunds_and_payouts_are_counted_when_they_arrived() {
    let refunded = play(&format!(
        "{SOLD}    12:10:00  propose A f EUR 20.00      -> done
        12:10:04  refunded A pending         -> done"
    ));
    let money = *whole(&refunded).money.first().expect("one currency");
    assert_eq!((money.refunds_minor, money.gross_sales_minor), (0, 10_000), "on its way");
    let refunded = play(&format!(
        "{SOLD}    12:10:00  propose A f EUR 20.00      -> done
        12:10:04  refunded A succeeded       -> done"
    ));
    let money = *whole(&refunded).money.first().expect("one currency");
    assert_eq!((money.refunds_minor, money.fees_returned_minor), (2_000, 100));
    assert_eq!(money.payouts_minor, 0);
    let sent = play(COMPLETED);
    let report = whole(&sent);
    assert_eq!((report.orders.completed, report.auctions.sold), (1, 1));
    let money = *report.money.first().expect("one currency");
    assert_eq!((money.gross_sales_minor, money.fees_minor), (12_000, 600));
    assert_eq!(money.payouts_minor, 11_400);
}

#[test]
fn a_maker_sees_what_became_of_each_story_also_of_one_that_has_left() {
    let world = play(COMPLETED);
    let (maker, buyer) = (user("m"), user("b"));
    let list = world.market.publications_of(maker);
    assert_eq!(list.stories.len(), world.market.stories_of(maker).len());
    let sold: Vec<_> = list.stories.iter().filter(|row| row.sold.is_some()).collect();
    assert_eq!(sold.len(), 1);
    let row = sold[0].clone();
    assert_eq!(row.sold, Some(Money::new(12_000, Currency::Eur)));
    assert_eq!((row.state.as_str(), row.bids, row.offers), ("sold", 2, 1));
    assert!(row.published_at.is_some() && !row.title.is_empty());
    assert_eq!(world.market.publications_of(buyer).stories, []);

    let left = play(&format!(
        "{COMPLETED}    90d16:00:00 archive 9          -> done; A archived and its story"
    ));
    assert!(left.market.publications_of(maker).stories.iter().all(|row| row.sold.is_none()));
    let sale = left.applied.iter().flat_map(|applied| &applied.archived).next().expect("it left");
    let last = sale.publication_row(maker).expect("the maker's");
    assert_eq!((last.sold, last.bids, &last.title), (row.sold, row.bids, &row.title));
    assert_eq!(sale.publication_row(buyer), None);
    let report = whole(&left);
    assert_eq!(report.complete_from, left.market.last_at().minus(limits::ARCHIVE_AFTER));
    assert_eq!(report.money, []);
}

#[test]
fn likes_and_watches_are_in_the_figures_of_a_story() {
    let mut world = play(
        "policy initial 1h, window 0s
        12:00:00      offer S1 a EUR 100.00   -> opened A; A closes 13:00:00",
    );
    let live = |world: &World| {
        let rows = world.market.publications_of(user("m")).stories;
        rows.into_iter().find(|row| row.state == "live").expect("one is live")
    };
    let story = live(&world).story_id;
    let at = world.market.last_at().plus(Millis::from_secs(1));
    let auction = crate::script::auction_named("A").expect("a name");
    for command in [
        SocialCommand::SetLike { story, on: true },
        SocialCommand::SetSave { story, on: true },
        SocialCommand::SetWatch { auction, on: true },
    ] {
        let verdict = world.direct(at, Actor::User(user("b")), Command::Social(command));
        assert_eq!(verdict.code(), None);
    }
    let row = live(&world);
    assert_eq!((row.likes, row.saves, row.shares, row.watchers), (1, 1, 0, 1));
    assert_eq!((row.bids, row.sold), (1, None));
    assert_eq!(whole(&world).auctions.running, 1);
}
