//! Orders, parcels and issues: each way they go, and each refusal.

use fairground_types::{Code, IssueId, Millis, NoticeKind, OrderId, limits};

use crate::script::World;
use crate::{Effect, IssueState, LedgerAccount, OrderState, ReviewReason};

/// One sold piece of 100.00, paid at 13:01; order A of buyer a and maker m, due 3d13:01:00.
const SOLD: &str = "policy initial 1h, window 0s
    11:00:00      device a phone t1       -> done
    11:00:00      device m phone t2       -> done
    12:00:00      offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
    13:00:00      tick marks 13:00:00     -> A locked to a at 100.00 (AutoAtClose)
    13:01:00      paid A EUR 100.00 ev_1  -> done; A closed (Sold); S1 sold
    ";

/// The same at 600.00, where one person does not refund alone.
const SOLD_DEAR: &str = "policy initial 1h, window 0s
    12:00:00      offer S1 a EUR 600.00   -> opened A; A closes 13:00:00
    13:00:00      tick marks 13:00:00     -> A locked to a at 600.00 (AutoAtClose)
    13:01:00      paid A EUR 600.00 ev_1  -> done; A closed (Sold); S1 sold
    ";

/// Delivered at 15:00.
const DELIVERED: &str = "14:00:00 ship A m BOAT-1   -> done
    15:00:00 confirm A a       -> done
    ";

fn play_on(head: &str, rest: &str) -> World {
    match World::play(&format!("{head}{rest}")) {
        Ok(world) => world,
        Err(why) => panic!("{why}"),
    }
}

fn play(rest: &str) -> World {
    play_on(SOLD, rest)
}

fn delivered(rest: &str) -> World {
    play_on(SOLD, &format!("{DELIVERED}{rest}"))
}

fn order(world: &World) -> &crate::Order {
    world.market.order(OrderId::from_bits(65)).expect("order A")
}

/// What has gone back of order A, in minor units.
fn refunded(world: &World) -> u64 {
    let buyer = order(world).buyer();
    world.market.order_row(OrderId::from_bits(65), buyer).expect("theirs").refunded_minor
}

fn balance(world: &World, account: LedgerAccount) -> i128 {
    world
        .market
        .ledger_balances()
        .filter(|(known, _, _)| *known == account)
        .map(|(_, _, balance)| balance)
        .sum()
}

#[test]
fn tracking_has_the_carriers_form_and_one_parcel() {
    play(
        "13:10:00 ship A m TRACK-0001 ups             -> TRACKING_INVALID
        13:10:01 ship A m 1Z999AA10123456785 ups     -> TRACKING_INVALID
        13:10:02 ship A a 1Z999AA10123456784 ups     -> FORBIDDEN
        13:10:03 ship A b 1Z999AA10123456784 ups     -> FORBIDDEN
        13:10:04 ship A n 1Z999AA10123456784 ups     -> NOT_FOUND
        13:10:05 ship A m 1Z999AA10123456784 ups     -> done
        13:10:06 ship A m 1Z999AA10123456784 ups     -> INVALID_STATE
        13:10:07 correct A a RA123456785US usps      -> FORBIDDEN
        13:10:08 correct A m RA123456784US usps      -> TRACKING_INVALID
        13:10:09 correct A m 1z-999aa10123456784 ups -> TRACKING_INVALID
        13:10:10 correct A m RA123456785US usps      -> done
        13:10:11 carrier 1Z999AA10123456784 ups transit e1 -> NOT_FOUND
        13:10:12 carrier RA123456785US usps transit e1 -> done",
    );
}

#[test]
fn a_parcel_number_serves_one_order() {
    play(
        "13:10:00 ship A m BOAT-1                -> done
        13:20:00 offer S2 b EUR 100.00 opens B  -> opened B; B closes 14:20:00
        14:20:00 tick marks 14:20:00            -> B locked to b at 100.00 (AutoAtClose)
        14:21:00 paid B EUR 100.00 ev_2         -> done; B closed (Sold); S2 sold
        14:22:00 ship B m boat1               -> TRACKING_INVALID
        14:22:01 ship B m BOAT-2                -> done",
    );
}

#[test]
fn corrections_are_kept_bounded_and_end_with_delivery() {
    let world = play(
        "13:10:00 correct A m BOAT-2  -> INVALID_STATE
        13:10:01 ship A m BOAT-1     -> done
        13:10:02 correct A m BOAT-2  -> done
        13:10:03 correct A m BOAT-1  -> done
        13:10:04 confirm A a         -> done
        13:10:05 correct A m BOAT-3  -> INVALID_STATE",
    );
    let shipment = order(&world).state().shipment().expect("a parcel");
    let before: Vec<&str> = shipment.corrections.iter().map(|old| old.number.as_str()).collect();
    assert_eq!(before, ["BOAT-1", "BOAT-2"]);
    let mut table = "13:10:00 ship A m BOAT-0 -> done\n".to_owned();
    for turn in 1..=limits::TRACKING_CORRECTIONS_MAX {
        table.push_str(&format!("13:11:{turn:02} correct A m BOAT-{turn} -> done\n"));
    }
    table.push_str("13:12:00 correct A m BOAT-99 -> LIMIT_REACHED");
    play(&table);
}

#[test]
fn the_address_changes_until_there_is_tracking() {
    let world = play(
        "13:10:00 address A a DE        -> done
        13:10:01 address A m DE        -> FORBIDDEN
        13:10:02 address A b DE        -> NOT_FOUND
        13:10:03 address A a DE 0      -> VALIDATION_FAILED
        13:10:04 address A a DE 2001   -> VALIDATION_FAILED
        13:10:05 address A a FR        -> done
        13:10:06 ship A m BOAT-1       -> done
        13:10:07 address A a DE        -> ADDRESS_LOCKED",
    );
    let row =
        world.market.order_row(OrderId::from_bits(65), order(&world).maker()).expect("theirs");
    let (_, address) = row.sealed_address.expect("the maker reads it after payment");
    assert_eq!(address.country.as_str(), "FR");
}

#[test]
fn the_maker_is_reminded_three_times_then_the_order_is_overdue() {
    let world = play("2d13:02:00 tick -> ");
    assert_eq!(world.notices(NoticeKind::ShipReminder).len(), 1, "after 48 h");
    let world = play("3d01:02:00 tick -> ");
    assert_eq!(world.notices(NoticeKind::ShipReminderUrgent).len(), 1, "after 60 h");
    let world = play("3d10:02:00 tick -> ");
    assert_eq!(world.notices(NoticeKind::ShipReminderLast).len(), 1, "after 69 h");
    let world = play("3d13:00:59 tick -> ");
    assert!(!order(&world).overdue);
    let world = play("3d13:01:01 tick -> ");
    assert!(order(&world).overdue && order(&world).struck);
    assert_eq!(world.notices(NoticeKind::ShipmentOverdue).len(), 1);
    assert_eq!(world.notices(NoticeKind::OrderOverdue).len(), 1);
}

#[test]
fn the_buyer_of_an_overdue_order_cancels_and_gets_everything_back() {
    let world = play(
        "13:02:00    withdraw A b     -> NOT_FOUND
        13:02:01    withdraw A a     -> CANCEL_NOT_ALLOWED
        3d13:01:00  withdraw A a     -> done; S1 listed
        3d13:01:01  withdraw A a     -> INVALID_STATE
        3d13:01:02  ship A m BOAT-1  -> INVALID_STATE
        3d13:01:03  confirm A a      -> INVALID_STATE
        3d13:01:04  address A a DE   -> ADDRESS_LOCKED",
    );
    assert_eq!(refunded(&world), 10_000);
    assert_eq!(balance(&world, LedgerAccount::FeePlatform), 0, "the fee goes back too");
    assert_eq!(balance(&world, LedgerAccount::BuyerRefunds), -10_000);
    assert!(world.market.outbox().any(|row| matches!(row.effect, Effect::CreateRefund(_))));
    // The piece is to be had again.
    play(
        "3d13:01:00  withdraw A a                     -> done; S1 listed
        3d13:02:00  offer S1 b EUR 100.00 opens B    -> opened B; B closes 3d14:02:00",
    );
}

#[test]
fn of_shipping_and_cancelling_the_first_one_counts() {
    play(
        "3d13:01:00  ship A m BOAT-1  -> done
        +           withdraw A a     -> INVALID_STATE",
    );
    play(
        "3d13:01:00  withdraw A a     -> done
        +           ship A m BOAT-1  -> INVALID_STATE; S1 listed",
    );
}

#[test]
fn the_maker_cancels_with_a_reason_and_a_strike() {
    let world = play(
        "13:02:00  withdraw A m         -> REASON_REQUIRED
        13:02:01  withdraw A m 10001   -> VALIDATION_FAILED
        13:02:02  withdraw A m 20      -> done
        13:02:03  withdraw A m 20      -> INVALID_STATE
        13:02:04  offer S1 b EUR 100.00 opens B -> INVALID_STATE",
    );
    assert!(order(&world).struck);
    assert_eq!(refunded(&world), 10_000);
}

#[test]
fn staff_cancels_delivers_and_completes() {
    play(
        "13:02:00  admin-cancel A a       -> FORBIDDEN
        13:02:01  admin-cancel A cluster -> done
        13:02:02  admin-cancel A cluster -> INVALID_STATE
        13:02:03  admin-cancel B cluster -> NOT_FOUND",
    );
    let world = play(
        "13:02:00  admin-deliver A  -> INVALID_STATE
        13:02:01  admin-complete A -> INVALID_STATE
        13:02:02  ship A m BOAT-1  -> done
        13:02:03  admin-deliver A  -> done
        13:02:04  admin-deliver A  -> INVALID_STATE
        13:02:05  admin-complete A -> done
        13:02:06  admin-complete A -> INVALID_STATE",
    );
    assert_eq!(order(&world).state().name(), "completed");
    play(
        "13:02:02  ship A m BOAT-1  -> done
        13:02:03  admin-cancel A   -> done",
    );
}

#[test]
fn an_order_that_stands_still_waits_for_staff() {
    let reason = |world: &World| {
        let rows = world.market.orders_to_review();
        rows.first().and_then(|row| row.review_reason)
    };
    assert_eq!(reason(&play("7d13:00:59 tick -> ")), None);
    let world = play("7d13:01:01 tick -> ");
    assert_eq!(reason(&world), Some(ReviewReason::NotShipped));
    let shipped = "14:00:00 ship A m BOAT-1 -> done\n";
    let world = play(&format!("{shipped}7d14:00:01 tick -> "));
    assert_eq!(reason(&world), Some(ReviewReason::LongInTransit));
    let world = play(&format!("{shipped}14d14:00:01 tick -> "));
    assert_eq!(world.notices(NoticeKind::ParcelLate).len(), 1);
    let world = play(&format!("{shipped}14d14:00:02 confirm A a -> done"));
    assert_eq!(reason(&world), None);
}

#[test]
fn a_parcel_follows_its_carrier_and_never_goes_back() {
    let world = play(
        "14:00:00 ship A m JD014600000000 dhl                       -> done
        14:10:00 carrier JD014600000001 dhl transit e1             -> NOT_FOUND
        14:10:01 carrier JD014600000000 dhl label e1 14:05:00      -> done
        14:10:02 carrier JD014600000000 dhl label e1 14:05:00      -> done
        14:10:03 carrier JD014600000000 dhl transit e2 14:06:00    -> done
        14:10:04 carrier JD014600000000 dhl label e3 14:05:59      -> STALE_EVENT
        14:10:05 carrier JD014600000000 dhl exception e4 14:07:00  -> done
        14:10:06 carrier JD014600000000 dhl transit e5 14:08:00    -> done
        14:10:07 carrier JD014600000000 dhl out e6 14:09:00        -> done
        14:10:08 carrier JD014600000000 dhl attempt e7 14:09:00    -> done
        14:10:09 carrier JD014600000000 dhl delivered e8 15:00:00  -> done
        14:10:10 carrier JD014600000000 dhl out e9 14:10:10        -> STALE_EVENT
        14:10:11 confirm A a                                       -> done
        14:10:12 carrier JD014600000000 dhl returned e10 14:10:12  -> STALE_EVENT",
    );
    let shipment = order(&world).state().shipment().expect("a parcel");
    let ids: Vec<&str> = shipment.events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["e1", "e2", "e4", "e5", "e6", "e7", "e8"]);
    assert!(shipment.events.iter().all(|event| event.at <= world.market.last_at()));
}

#[test]
fn events_of_a_carrier_are_bounded_and_need_an_id() {
    let mut table = "14:00:00 ship A m BOAT-1 -> done\n".to_owned();
    for number in 0..limits::CARRIER_EVENTS_MAX + 5 {
        let (minute, second) = (number / 60, number % 60);
        table.push_str(&format!(
            "15:{minute:02}:{second:02} carrier BOAT-1 other transit e{number} -> done\n"
        ));
    }
    let long = "x".repeat(limits::CARRIER_EVENT_ID_MAX + 1);
    table.push_str(&format!("16:00:00 carrier BOAT-1 other transit {long} -> VALIDATION_FAILED\n"));
    table.push_str("16:00:01 carrier BOAT-1 other transit e0 15:00:00 -> STALE_EVENT");
    let world = play(&table);
    let shipment = order(&world).state().shipment().expect("a parcel");
    assert_eq!(shipment.events.len(), limits::CARRIER_EVENTS_MAX);
}

#[test]
fn a_delivery_that_is_taken_back_completes_nothing() {
    let world = play(
        "14:00:00  ship A m BOAT-1                       -> done
        14:10:00  carrier BOAT-1 other delivered e1      -> done
        14:20:00  carrier BOAT-1 other returned e2       -> done
        14:20:01  carrier BOAT-1 other transit e3        -> STALE_EVENT
        20d00:00:00 tick                                 -> ",
    );
    assert_eq!(order(&world).state().name(), "delivered");
    let rows = world.market.orders_to_review();
    assert_eq!(rows[0].review_reason, Some(ReviewReason::DeliveryTakenBack));
}

#[test]
fn delivered_completes_by_the_buyer_or_after_seven_days() {
    let world = delivered(
        "15:00:01    confirm A m     -> FORBIDDEN
        15:00:02    confirm A a 0   -> VALIDATION_FAILED
        15:00:03    confirm A a 6   -> VALIDATION_FAILED
        15:00:04    confirm A a 5   -> done
        15:00:05    confirm A a     -> INVALID_STATE",
    );
    let row =
        world.market.order_row(OrderId::from_bits(65), order(&world).buyer()).expect("theirs");
    assert_eq!((row.state, row.rating), ("completed", Some(5)));
    assert_eq!(order(&delivered("7d14:59:59 tick -> ")).state().name(), "delivered");
    let world = delivered("7d15:00:01 tick -> ");
    assert_eq!(order(&world).state().name(), "completed");
    assert_eq!(balance(&world, LedgerAccount::FeePlatform), -500);
}

#[test]
fn an_issue_is_opened_in_its_window_once_and_holds_the_order() {
    let world = delivered(
        "15:10:00  issue A a #1 damaged 1 49      -> VALIDATION_FAILED
        15:10:01  issue A a #1 damaged 1 1001    -> VALIDATION_FAILED
        15:10:02  issue A a #1 damaged 0         -> VALIDATION_FAILED
        15:10:03  issue A a #1 damaged 7         -> VALIDATION_FAILED
        15:10:04  issue A m #1 damaged           -> FORBIDDEN
        15:10:05  issue A b #1 damaged           -> NOT_FOUND
        2d15:00:00  issue A a #1 damaged 6 1000  -> done
        2d15:00:01  issue A a #2 other 0         -> DUPLICATE_ISSUE
        2d15:00:02  confirm A a                  -> ISSUE_OPEN
        2d15:00:03  admin-complete A             -> ISSUE_OPEN
        2d15:00:04  admin-cancel A               -> ISSUE_OPEN
        2d15:00:05  evidence #1 a 1              -> VALIDATION_FAILED
        30d00:00:00 tick                         -> ",
    );
    assert_eq!(order(&world).state().name(), "delivered", "a held order does not complete");
    assert!(order(&world).open_issue().is_some());
    delivered("2d15:00:00.001 issue A a #1 damaged -> ISSUE_WINDOW_CLOSED");
    play(
        "13:02:00 issue A a #1 other          -> INVALID_STATE
        13:03:00 withdraw A m 9              -> done
        13:04:00 issue A a #1 other          -> INVALID_STATE",
    );
    delivered(
        "15:00:01  confirm A a           -> done
        15:00:02  issue A a #1 other    -> ISSUE_WINDOW_CLOSED",
    );
}

#[test]
fn what_never_came_is_reported_after_fourteen_days_or_when_the_carrier_lost_it() {
    play(
        "14:00:00     ship A m BOAT-1              -> done
        14d13:59:59  issue A a #1 not-received 0  -> INVALID_STATE
        14d14:00:00  issue A a #1 damaged 1       -> INVALID_STATE
        14d14:00:00  issue A a #1 not-received 0  -> done
        14d14:00:01  confirm A a                  -> ISSUE_OPEN
        14d14:00:02  correct A m BOAT-2           -> done",
    );
    play(
        "14:00:00  ship A m BOAT-1                      -> done
        14:10:00  carrier BOAT-1 other exception e1    -> done
        14:10:01  issue A a #1 not-received 0          -> done
        14:10:02  assign #1 cluster b                  -> done
        14:10:03  decide #1 cluster full               -> done",
    );
}

#[test]
fn a_maker_offers_and_the_buyer_takes_it_or_not() {
    let world = delivered(
        "15:10:00  issue A a #1 damaged      -> done
        15:10:01  suggest #1 a 50           -> FORBIDDEN
        15:10:02  suggest #1 b 50           -> NOT_FOUND
        15:10:03  suggest #1 m 9            -> AMOUNT_OUT_OF_RANGE
        15:10:04  suggest #1 m 91           -> AMOUNT_OUT_OF_RANGE
        15:10:05  suggest #1 m 10 1001      -> VALIDATION_FAILED
        15:10:06  take #1 a                 -> INVALID_STATE
        15:10:07  suggest #1 m 10 50        -> done
        15:10:08  suggest #1 m 50           -> INVALID_STATE
        15:10:09  take #1 m                 -> FORBIDDEN
        15:10:10  answer #1 m               -> INVALID_STATE
        15:10:11  answer #1 a 0             -> VALIDATION_FAILED
        15:10:12  answer #1 a               -> done
        15:10:13  answer #1 a               -> INVALID_STATE
        15:10:14  suggest #1 m 40           -> done
        15:10:15  take #1 a                 -> done
        15:10:16  take #1 a                 -> INVALID_STATE
        15:10:17  evidence #1 a 1           -> INVALID_STATE
        7d15:10:16  tick                    -> ",
    );
    // 40.00 went back; the fee is 5 % of what is left.
    assert_eq!(refunded(&world), 4_000);
    assert_eq!(order(&world).state().name(), "completed", "seven days after it was settled");
    assert_eq!(balance(&world, LedgerAccount::FeePlatform), -300);
    assert_eq!(balance(&world, LedgerAccount::MakerPayable(order(&world).maker())), -5_700);
}

#[test]
fn a_full_refund_cancels_the_order_for_good() {
    let world = delivered(
        "15:10:00  issue A a #1 wrong-item   -> done
        15:10:01  suggest #1 m full         -> done
        15:10:02  take #1 a                 -> done
        15:10:03  appeal #1 m               -> INVALID_STATE
        15:10:04  confirm A a               -> INVALID_STATE",
    );
    assert!(matches!(order(&world).state(), OrderState::Cancelled { .. }));
    assert_eq!(refunded(&world), 10_000);
}

#[test]
fn a_replacement_is_sent_within_seven_days_or_the_issue_goes_up() {
    let agreed = "15:10:00  issue A a #1 damaged      -> done
        15:10:01  suggest #1 m replacement  -> done
        15:10:02  take #1 a                 -> done
        ";
    let world = delivered(&format!(
        "{agreed}7d15:10:01  ship A m BOAT-1          -> TRACKING_INVALID
        7d15:10:02  ship A m BOAT-2         -> INVALID_STATE"
    ));
    let state = world.market.issue(IssueId::from_bits(1)).expect("issue 1").state();
    assert!(matches!(state, IssueState::Escalated { .. }));
    let world = delivered(&format!(
        "{agreed}2d10:00:00  ship A m BOAT-2          -> done
        2d10:00:01  ship A m BOAT-3         -> INVALID_STATE
        2d10:00:02  appeal #1 m             -> ISSUE_WINDOW_CLOSED
        3d10:00:00  carrier BOAT-2 other delivered e1 -> done
        3d11:00:00  issue A a #2 other 0    -> done
        3d11:00:01  assign #2 cluster b     -> done
        3d11:00:02  decide #2 cluster nothing -> done
        10d11:00:03 tick                    -> "
    ));
    assert_eq!(order(&world).state().name(), "completed");
}

#[test]
fn support_assigns_asks_and_decides() {
    let world = delivered(
        "15:10:00  issue A a #1 damaged            -> done
        15:10:01  assign #1 a                     -> FORBIDDEN
        15:10:02  assign #9 cluster b             -> NOT_FOUND
        15:10:03  assign #1 cluster a             -> FORBIDDEN
        15:10:04  ask #1 cluster maker            -> INVALID_STATE
        15:10:05  decide #1 cluster nothing       -> INVALID_STATE
        15:10:06  assign #1 cluster b             -> done
        15:10:07  ask #1 cluster maker            -> done
        15:10:08  ask #1 cluster buyer            -> INVALID_STATE
        15:10:09  decide #1 cluster nothing       -> INVALID_STATE
        15:10:10  take #1 a                       -> INVALID_STATE
        15:10:11  answer #1 a                     -> INVALID_STATE
        15:10:12  answer #1 m                     -> done
        15:10:13  decide #1 cluster partial USD 10.00  -> CURRENCY_MISMATCH
        15:10:14  decide #1 cluster partial EUR 0.00   -> AMOUNT_OUT_OF_RANGE
        15:10:15  decide #1 cluster partial EUR 100.00 -> AMOUNT_OUT_OF_RANGE
        15:10:16  decide #1 a nothing             -> FORBIDDEN
        15:10:17  decide #1 cluster partial EUR 25.00  -> done
        15:10:18  decide #1 cluster nothing       -> INVALID_STATE
        15:10:19  assign #1 cluster b             -> INVALID_STATE",
    );
    assert_eq!(refunded(&world), 2_500);
    assert_eq!(world.notices(NoticeKind::IssueResolved).len(), 2, "both hear it");
}

#[test]
fn stages_that_last_too_long_go_up() {
    let opened = "15:10:00 issue A a #1 damaged -> done\n";
    let state_at = |rest: &str| {
        let world = delivered(&format!("{opened}{rest}"));
        world.market.issue(IssueId::from_bits(1)).expect("issue 1").state().name()
    };
    // Nobody takes it on within a day.
    assert_eq!(state_at("1d15:09:59 tick -> "), "open");
    assert_eq!(state_at("1d15:10:01 tick -> "), "escalated");
    // Nothing happens for two days of review.
    let assigned = "16:00:00 assign #1 cluster b -> done\n";
    assert_eq!(state_at(&format!("{assigned}2d15:59:59 tick -> ")), "underReview");
    assert_eq!(state_at(&format!("{assigned}2d16:00:01 tick -> ")), "escalated");
    // Two days to answer, a reminder, a day more.
    let asked = format!("{assigned}17:00:00 ask #1 cluster buyer -> done\n");
    assert_eq!(state_at(&format!("{asked}3d16:59:59 tick -> ")), "awaitingResponse");
    assert_eq!(state_at(&format!("{asked}3d17:00:01 tick -> ")), "escalated");
    let world = delivered(&format!("{opened}{asked}2d17:00:01 tick -> "));
    assert!(!world.notices(NoticeKind::IssueUpdated).is_empty(), "the buyer is reminded");
    // The maker's time for offers ends after two days.
    assert_eq!(
        state_at(&format!(
            "{asked}1d12:00:00 answer #1 a -> done\n2d15:10:00 suggest #1 m 50 -> INVALID_STATE"
        )),
        "underReview"
    );
}

#[test]
fn an_issue_goes_up_after_five_business_days_whatever_happens() {
    // The tables' day 0 is a Friday: the fifth business day after it is the next one.
    let mut table =
        "15:10:00 issue A a #1 damaged -> done\n15:11:00 assign #1 cluster b -> done\n".to_owned();
    for day in [1, 2, 3, 4, 5, 6] {
        table.push_str(&format!("{day}d14:00:00 ask #1 cluster maker -> done\n"));
        table.push_str(&format!("{day}d15:00:00 answer #1 m -> done\n"));
    }
    table.push_str(
        "7d15:09:59 ask #1 cluster maker -> done\n7d15:10:01 answer #1 m -> INVALID_STATE",
    );
    let world = delivered(&table);
    let issue = world.market.issue(IssueId::from_bits(1)).expect("issue 1");
    assert_eq!(issue.state().name(), "escalated");
    assert!(issue.timeline.iter().any(|entry| entry.step == crate::IssueStep::Warned));
}

#[test]
fn a_refund_above_five_hundred_needs_two_people() {
    let head = format!(
        "{SOLD_DEAR}{DELIVERED}15:10:00 issue A a #1 damaged -> done
        15:10:01 duty e support -> done
        15:10:02 duty f support -> done
        15:10:03 assign #1 e    -> done
        "
    );
    let world = play_on(
        &head,
        "15:11:00 decide #1 e partial EUR 500.01 -> proposed
        15:11:01 decide #1 e partial EUR 500.01 -> SECOND_APPROVER_REQUIRED
        15:11:02 decide #1 f full               -> proposed
        15:11:03 decide #1 f full               -> SECOND_APPROVER_REQUIRED
        15:11:04 decide #1 e full               -> done",
    );
    assert_eq!(refunded(&world), 60_000);
    play_on(&head, "15:11:00 decide #1 e partial EUR 500.00 -> done");
}

#[test]
fn a_decision_is_appealed_against_once_within_seven_days() {
    let decided = "15:10:00  issue A a #1 damaged    -> done
        15:10:01  assign #1 cluster b      -> done
        15:10:02  decide #1 cluster nothing -> done
        ";
    let world = delivered(&format!(
        "{decided}15:10:03  appeal #1 b            -> NOT_FOUND
        7d15:10:01  appeal #1 a           -> done
        7d15:10:02  appeal #1 a           -> INVALID_STATE
        7d15:10:03  decide #1 cluster partial EUR 10.00 -> done
        7d15:10:04  appeal #1 m           -> INVALID_STATE"
    ));
    assert_eq!(refunded(&world), 1_000);
    delivered(&format!("{decided}7d15:10:03 appeal #1 a -> INVALID_STATE"));
}

#[test]
fn a_thread_takes_sealed_texts_of_both_parties_within_bounds() {
    let mut table = "13:02:00 message A a 10         -> done
        13:02:01 message A m 10000      -> done
        13:02:02 message A b 10         -> NOT_FOUND
        13:02:03 message A a 0          -> VALIDATION_FAILED
        13:02:04 message A a 10001      -> VALIDATION_FAILED
        13:02:05 message A a 10 clear   -> VALIDATION_FAILED
        "
    .to_owned();
    for number in 2..limits::ORDER_MESSAGES_MAX {
        let (minute, second) = (number / 60, number % 60);
        table.push_str(&format!("14:{minute:02}:{second:02} message A a -> done\n"));
    }
    table.push_str("15:00:00 message A m -> LIMIT_REACHED");
    let world = play(&table);
    assert_eq!(order(&world).messages().len(), limits::ORDER_MESSAGES_MAX);
    assert_eq!(world.notices(NoticeKind::OrderMessage).len(), limits::ORDER_MESSAGES_MAX);
}

#[test]
fn windows_go_on_for_as_long_as_an_outage_was() {
    // Nothing was due for six hours after the window had ended: nobody could have shipped.
    let world = play("3d19:01:00 tick outage -> ");
    assert!(!order(&world).overdue);
    let moved = Millis::from_hours(78).plus(limits::OUTAGE_EXTENSION);
    assert_eq!(order(&world).ship_by.since(order(&world).paid_at), moved);
    let world = delivered("7d17:00:00 tick outage -> ");
    assert_eq!(order(&world).state().name(), "delivered");
    let world = delivered("7d17:00:00 tick outage -> \n7d17:15:01 tick -> ");
    assert_eq!(order(&world).state().name(), "completed");
    // An open auction shows an outage at once.
    delivered(
        "2d14:30:00  offer S2 b EUR 100.00 opens B -> opened B; B closes 2d15:30:00
        2d15:00:10  tick outage                   -> 
        2d15:20:00  issue A a #1 damaged          -> done",
    );
}

#[test]
fn an_order_that_is_not_shipped_is_cancelled_by_itself_only_where_the_operator_wants_it() {
    let policy = fairground_types::command::MarketPolicy::default();
    assert!(!policy.auto_cancel_on_ship_sla, "off unless the operator wants it");
    let world = World::play(&format!("policy auto-cancel 1s\n{SOLD}3d13:01:01 tick -> S1 listed"));
    let world = world.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(order(&world).state().name(), "cancelled");
    assert_eq!(refunded(&world), 10_000);
}

#[test]
fn silent_parcels_are_named_for_whoever_asks_carriers() {
    let world = play(
        "14:00:00  ship A m JD014600000000 dhl             -> done
        15:00:00  carrier JD014600000000 dhl transit e1   -> done",
    );
    let now = world.market.last_at();
    assert!(world.market.silent_parcels(now).is_empty());
    let later = now.plus(limits::CARRIER_SILENCE);
    assert_eq!(world.market.silent_parcels(later).len(), 1);
}

#[test]
fn who_may_complain_is_said_before_it_is_tried() {
    let world = delivered("15:00:01 tick -> ");
    let id = OrderId::from_bits(65);
    let row = world.market.issue_eligibility(id, order(&world).buyer()).expect("theirs");
    assert!(row.eligible && row.kinds.len() == 6);
    assert!(world.market.issue_eligibility(id, order(&world).maker()).is_none());
    let world = play("13:02:00 tick -> ");
    let row = world.market.issue_eligibility(id, order(&world).buyer()).expect("theirs");
    assert_eq!((row.eligible, row.code), (false, Some(Code::InvalidState)));
}

#[test]
fn what_staff_did_about_an_order_is_written_down_with_what_it_was_about() {
    let world = play(
        "14:00:00  ship A m BOAT-1                      -> done
        14:10:00  carrier BOAT-1 other exception e1    -> done
        14:10:01  issue A a #1 not-received 0          -> done
        14:10:02  assign #1 cluster b                  -> done
        14:10:03  decide #1 cluster full               -> done
        14:10:04  admin-cancel A b why                 -> FORBIDDEN",
    );
    let rows: Vec<crate::AuditRow> = world.market.audit(1, &Default::default()).collect();
    let acts: Vec<(&str, &str)> =
        rows.iter().rev().take(3).map(|row| (row.action.as_str(), row.target.as_str())).collect();
    let issue = IssueId::from_bits(1).to_string();
    let order = OrderId::from_bits(65).to_string();
    let [refused, decided, assigned] = acts.as_slice() else { panic!("there are three") };
    assert_eq!(refused, &("Order.AdminCancelOrder", order.as_str()));
    assert_eq!(decided, &("Issue.DecideIssue", issue.as_str()));
    assert_eq!(assigned, &("Issue.AssignIssue", issue.as_str()));
    let told = rows.iter().rev().take(3).all(|row| row.reason.is_some());
    assert!(told, "each has its reason");
    assert!(rows.iter().rev().nth(1).is_some_and(|row| row.before != row.after));
    let own = rows.iter().any(|row| row.action == "Order.AddTracking");
    assert!(!own, "a maker's own parcel is no privileged act");
}
