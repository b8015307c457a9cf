//! Tables: one line, one entry, everything that must come of it.

use crate::script::World;

fn plays(table: &str) {
    if let Err(why) = World::play(table) {
        panic!("{why}");
    }
}

#[test]
fn offers_open_one_auction_and_prices_rise_by_the_increment() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 99.99           -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:01  offer S1 a USD 100.00          -> CURRENCY_MISMATCH
        12:00:02  offer S1 m EUR 100.00          -> SELF_BID
        12:00:03  offer S1 z EUR 100.00          -> NOT_ELIGIBLE ACCOUNT_RESTRICTED
        12:00:04  offer S9 a EUR 100.00          -> NOT_FOUND
        12:00:05  offer S1 a EUR 0.00            -> AMOUNT_OUT_OF_RANGE
        12:01:00  offer S1 a EUR 100.00          -> opened A; A closes 13:01:00
        12:02:00  offer S1 b EUR 150.00          -> AUCTION_ACTIVE minimum 105.00
        12:03:00  bid A b EUR 104.99             -> BID_TOO_LOW minimum 105.00
        12:03:01  bid A b USD 105.00             -> CURRENCY_MISMATCH
        12:03:02  bid A m EUR 105.00             -> SELF_BID
        12:03:03  bid A b EUR 105.00             -> placed
        12:03:04  bid A c EUR 105.00             -> BID_TOO_LOW minimum 110.00
        12:03:05  bid A b EUR 110.00             -> placed
        12:03:06  bid A z EUR 200.00             -> NOT_ELIGIBLE ACCOUNT_RESTRICTED
        12:03:07  bid B b EUR 200.00             -> NOT_FOUND
        12:03:08  bid A c EUR 1000000.00         -> AMOUNT_OUT_OF_RANGE
        12:03:09  offer S1 c EUR 600.00 if-open  -> placed
        12:03:10  bid A d EUR 605.99             -> BID_TOO_LOW minimum 606.00
        12:03:11  bid A d EUR 606.00             -> placed
        12:03:12  bid A a EUR 612.05             -> BID_TOO_LOW minimum 612.06
        12:03:13  bid A a EUR 612.06             -> placed
        12:03:14  bid A b EUR 618.18             -> BID_TOO_LOW minimum 618.19
        12:04:00  bid A b EUR 618.19             -> placed
        +         bid A c EUR 618.19             -> BID_TOO_LOW minimum 624.38",
    );
}

#[test]
fn an_offer_is_used_up_also_when_it_is_too_low() {
    plays(
        "12:00:00  offer S1 a EUR 1.00             -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:01  offer S1 a EUR 2.00             -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:02  offer S1 a EUR 3.00             -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:03  offer S1 a EUR 100.00           -> NOT_ELIGIBLE OFFER_LIMIT_EXCEEDED
        12:00:04  offer S1 b EUR 100.00           -> opened A
        +         offer S1 c EUR 100.00 opens B   -> AUCTION_ACTIVE minimum 105.00; A closes 3d12:00:04
        12:00:05  offer S2 c EUR 100.00 opens A   -> VALIDATION_FAILED
        12:00:06  offer S2 c EUR 100.00 opens B   -> opened B; B closes 3d12:00:06",
    );
}

#[test]
fn late_bids_of_others_extend_up_to_the_cap() {
    plays(
        "policy initial 1h, window 15m, extension 15m, extensions 30m
        12:00:00      offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
        12:45:00      bid A b EUR 105.00     -> placed
        12:45:01      bid A b EUR 110.00     -> placed
        12:45:02      bid A c EUR 114.99     -> BID_TOO_LOW minimum 115.00
        12:45:03      bid A c EUR 115.00     -> placed; A closes 13:15:00
        12:59:00      bid A b EUR 120.00     -> placed
        13:14:00      bid A c EUR 125.00     -> placed; A closes 13:30:00 for good
        13:29:59.999  bid A b EUR 130.00     -> placed
        13:30:00      bid A c EUR 135.00     -> held
        13:30:00      tick marks 13:30:00    -> A locked to b at 130.00 (AutoAtClose); c AUCTION_CLOSED
        13:30:01      bid A c EUR 140.00     -> AUCTION_CLOSED",
    );
}

#[test]
fn the_hard_cap_is_named_in_the_lock() {
    plays(
        "policy initial 1h, window 15m, extension 15m, cap 70m
        12:00:00  offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
        12:59:00  bid A b EUR 105.00     -> placed; A closes 13:10:00 for good
        13:10:00  tick marks 13:10:00    -> A locked to b at 105.00 (AutoAtCap)",
    );
}

#[test]
fn a_bid_at_the_close_is_late_and_a_millisecond_before_is_not() {
    plays(
        "policy initial 1h, window 0s, extension 0s
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                        -> opened A; A closes 13:00:00
        13:00:01  bid A b EUR 105.00 stamp 12:59:59.999        -> placed
        13:00:01  bid A c EUR 110.00 stamp 13:00:00 via e2     -> held
        13:00:02  tick mark e1 13:00:00                        ->
        13:00:02  tick mark e2 13:00:00                        -> A locked to b at 105.00 (AutoAtClose); c AUCTION_CLOSED",
    );
}

#[test]
fn a_bid_that_was_long_on_its_way_is_named_in_the_record() {
    let world = World::play(
        "policy initial 1h, window 0s, extension 0s
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                        -> opened A; A closes 13:00:00
        13:00:01      bid A b EUR 105.00 stamp 12:59:59.998        -> placed
        13:00:02.900  bid A c EUR 110.00 stamp 12:59:59.999 via e2 -> placed",
    );
    let world = world.unwrap_or_else(|why| panic!("{why}"));
    let view = world.market.view();
    let auction = view.open_auctions().next().expect("it is open");
    let bids: Vec<(u64, u64, bool)> = auction
        .bids
        .iter()
        .map(|bid| (bid.amount.minor(), bid.at.since(bid.received_at).as_millis(), bid.delayed))
        .collect();
    assert!(bids.contains(&(10_500, 1_002, false)), "{bids:?}");
    assert!(bids.contains(&(11_000, 2_901, true)), "{bids:?}");
}

#[test]
fn a_bid_after_the_close_is_held_until_an_extension_reaches_it() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00      offer S1 a EUR 100.00                             -> opened A; A closes 13:00:00
        13:00:01      bid A b EUR 110.00                                -> held
        13:00:01      bid A b EUR 120.00                                -> CLOSING
        13:00:02      bid A c EUR 105.00 via e2 stamp 12:59:59.999      -> placed; A closes 13:15:00; b placed; A closes 13:30:00
        13:00:03      bid A b EUR 114.99                                -> BID_TOO_LOW minimum 115.00",
    );
}

#[test]
fn held_bids_are_judged_in_the_order_of_their_stamps() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                         -> opened A; A closes 13:00:00
        13:00:02  bid A b EUR 110.00 via e1                     -> held
        13:00:03  bid A c EUR 110.00 via e2 stamp 13:00:01      -> held
        13:00:04  bid A d EUR 105.00 via e1 stamp 13:00:02      -> held
        13:00:05  offer S1 e EUR 105.00 if-open via e3          -> not applied
        13:00:05  bid A e EUR 105.00 via e2 stamp 13:00:01.500  -> held
        13:00:06  accept A m EUR 100.00                         -> done; A locked to a at 100.00 (MakerAccepted); b AUCTION_LOCKED; c AUCTION_LOCKED; d AUCTION_LOCKED; e AUCTION_LOCKED",
    );
}

#[test]
fn released_bids_win_by_their_stamps_not_by_their_arrival() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2 e3
        12:00:00  offer S1 a EUR 100.00                         -> opened A; A closes 13:00:00
        13:00:02  bid A b EUR 110.00 via e1                     -> held
        13:00:03  bid A c EUR 110.00 via e2 stamp 13:00:01      -> held
        13:00:04  bid A d EUR 105.00 via e2 stamp 13:00:01.500  -> held
        13:00:05  bid A f EUR 105.00 via e3 stamp 12:59:59.999  -> placed; A closes 13:15:00; c placed; A closes 13:30:00; d BID_TOO_LOW minimum 115.00; b BID_TOO_LOW minimum 115.00",
    );
}

#[test]
fn a_copy_of_a_held_bid_with_an_earlier_stamp_is_judged_by_it() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                                     -> opened A; A closes 13:00:00
        13:00:01  bid A b EUR 105.00 key same-key via e1                    -> held
        13:00:01  bid A b EUR 106.00 key same-key via e2 stamp 13:00:00.500 -> IDEMPOTENCY_KEY_REUSED
        13:00:02  bid A b EUR 105.00 key same-key via e1                    -> held
        13:00:02  tick mark e1 13:00:01.900                                 ->",
    );
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                                     -> opened A; A closes 13:00:00
        13:00:01  bid A b EUR 105.00 key same-key via e1                    -> held
        13:00:02  bid A b EUR 105.00 key same-key via e2 stamp 12:59:59.500 -> placed; A closes 13:15:00; b placed
        13:00:03  bid A b EUR 105.00 key same-key via e1                    -> placed",
    );
}

#[test]
fn one_key_is_one_bid_whichever_edge_it_comes_through() {
    plays(
        "policy initial 1h
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00 key open-key              -> opened A; A closes 13:00:00
        12:00:01  offer S1 a EUR 100.00 key open-key via e2       -> opened A
        12:00:02  bid A b EUR 105.00 key bid-key-1 via e1         -> placed
        +         bid A b EUR 105.00 key bid-key-1 via e2         -> placed
        12:00:03  bid A b EUR 106.00 key bid-key-1 via e2         -> IDEMPOTENCY_KEY_REUSED
        12:00:04  bid A c EUR 106.00 key bid-key-2                -> BID_TOO_LOW minimum 110.00
        12:00:05  bid A c EUR 106.00 key bid-key-2 via e2         -> BID_TOO_LOW minimum 110.00",
    );
}

#[test]
fn bids_of_one_entry_are_ordered_by_their_stamps_across_edges() {
    plays(
        "policy initial 1h
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                               -> opened A; A closes 13:00:00
        12:00:05  bid A b EUR 105.00 via e2 stamp 12:00:04.500        -> BID_TOO_LOW minimum 110.00
        +         bid A c EUR 105.00 via e1 stamp 12:00:04.400        -> placed
        12:00:06  bid A d EUR 110.00 via e2 stamp 12:00:05.500        -> BID_TOO_LOW minimum 115.00
        +         bid A b EUR 110.00 via e1 stamp 12:00:05.500        -> placed
        12:00:07  bid A d EUR 115.00 via e1 stamp 12:00:06.500        -> BID_TOO_LOW minimum 120.00
        +         bid A c EUR 115.00 via e2 stamp 12:00:06.400        -> placed",
    );
}

#[test]
fn a_stamp_is_refused_when_it_breaks_a_promise() {
    plays(
        "policy initial 1h
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                          -> opened A; A closes 13:00:00
        12:00:01  tick mark e1 12:00:00.900                      ->
        12:00:01  bid A b EUR 105.00 stamp 12:00:00.900          -> STAMP_REFUSED
        12:00:01  bid A b EUR 105.00 stamp 12:00:00.901          -> placed
        12:00:02  bid A c EUR 110.00 stamp 12:00:00.950 width 501 -> STAMP_REFUSED
        12:00:02  bid A c EUR 110.00 stamp 12:00:00.950 width 500 -> placed
        12:00:02  bid A b EUR 115.00 stamp 12:00:00.949 width 600 -> STAMP_REFUSED
        12:00:02  bid A b EUR 115.00 stamp 12:00:00.949 width 500 -> STAMP_REFUSED
        12:00:02  bid A b EUR 115.00 stamp 12:00:00.951 width 499 -> placed",
    );
}

#[test]
fn only_the_log_expires_a_bid() {
    plays(
        "policy initial 1h
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                                    -> opened A; A closes 13:00:00
        12:00:01  silence e2                                               ->
        12:00:31  bid A b EUR 105.00 via e2 stamp 12:00:01 valid 30s       -> placed
        12:00:32  bid A c EUR 110.00 via e2 stamp 12:00:01 valid 30s       -> BID_EXPIRED
        12:00:32  bid A c EUR 110.00 via e2 stamp 12:00:01 valid 301s      -> VALIDATION_FAILED
        12:00:33  bid A c EUR 110.00 via e2 stamp 12:00:01 valid 300s      -> placed
        12:00:34  offer S2 d EUR 100.00 via e2 stamp 12:00:01 valid 5s opens B -> BID_EXPIRED",
    );
}

#[test]
fn a_silent_edge_is_waited_for_named_and_its_bids_come_late() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00      offer S1 a EUR 100.00                                   -> opened A; A closes 13:00:00
        12:59:58      silence e2                                              ->
        13:00:00      tick mark e1 13:00:00                                   ->
        13:00:29.999  tick mark e1 13:00:29                                   ->
        13:00:30      tick                                                    -> A locked to a at 100.00 (AutoAtClose) without e2
        13:00:31      bid A b EUR 200.00 via e2 stamp 12:59:59                -> AUCTION_CLOSED late
        13:00:31      bid A c EUR 200.00 via e2 stamp 13:00:00                -> AUCTION_CLOSED
        13:00:32      offer S2 c EUR 100.00 opens B                           -> opened B; B closes 14:00:32
        13:06:00      tick mark e1 13:06:00                                   -> e2 left
        13:06:01      bid A d EUR 200.00 via e2                               -> not applied",
    );
}

#[test]
fn an_edge_back_within_grace_is_judged_by_its_stamps() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00                                   -> opened A; A closes 13:00:00
        12:59:50  silence e2                                              ->
        13:00:00  tick mark e1 13:00:00                                   ->
        13:00:20  bid A b EUR 105.00 via e2 stamp 12:59:59.999            -> placed; A closes 13:15:00
        13:15:00  tick marks 13:15:00                                     -> e2 left; A locked to b at 105.00 (AutoAtClose)",
    );
}

#[test]
fn grace_is_short_once_nothing_can_extend() {
    plays(
        "policy initial 1h, window 0s, extension 0s
        intake e1 e2
        12:00:00      offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
        13:00:02.999  tick                   ->
        13:00:03      tick                   -> A locked to a at 100.00 (AutoAtClose) without e1 without e2",
    );
}

#[test]
fn without_an_intake_log_time_closes() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00      offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
        12:00:01      silence e1             ->
        12:59:58      tick                   ->
        12:59:59      like S1 b              -> done; e1 left
        13:00:00      tick                   -> A locked to a at 100.00 (AutoAtClose)",
    );
}

#[test]
fn a_new_term_gives_every_edge_a_full_grace_again() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00      offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
        12:59:58      silence e2             ->
        13:00:20      tick term              ->
        13:00:30      tick                   ->
        13:00:49.999  tick                   ->
        13:00:50      tick                   -> A locked to a at 100.00 (AutoAtClose) without e1 without e2",
    );
}

#[test]
fn an_outage_moves_closes_that_it_touched() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00           -> opened A; A closes 13:00:00
        12:59:00  offer S2 a EUR 100.00 opens B   -> opened B; B closes 13:59:00
        12:59:20  tick                            ->
        12:59:50  tick outage                     ->
        13:00:21  tick outage                     -> A closes 13:15:21
        15:00:22  tick outage                     -> A closes 1d15:00:22; B closes 1d15:00:22",
    );
}

#[test]
fn an_outage_after_a_close_gives_grace_but_no_extension() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00      offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
        13:00:05      tick                   ->
        13:00:45      tick outage            ->
        13:01:14.999  tick                   ->
        13:01:15      tick                   -> A locked to a at 100.00 (AutoAtClose) without e1",
    );
}

#[test]
fn accept_names_the_bid_it_saw_and_ends_at_once() {
    plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00          -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00             -> placed
        12:02:00  accept A n EUR 105.00          -> FORBIDDEN
        12:02:01  accept A m EUR 100.00          -> HIGHEST_CHANGED minimum 110.00
        12:02:02  accept A m EUR 105.00          -> done; A locked to b at 105.00 (MakerAccepted)
        12:02:03  bid A c EUR 200.00             -> AUCTION_LOCKED
        12:02:04  bid A c EUR 200.00 stamp 12:02:03.500 -> AUCTION_LOCKED
        12:02:05  offer S1 c EUR 200.00          -> AUCTION_LOCKED
        12:02:06  accept A m EUR 105.00          -> AUCTION_LOCKED
        12:02:07  cancel A                       -> AUCTION_LOCKED",
    );
}

#[test]
fn a_cancelled_auction_frees_its_story() {
    plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00          -> opened A; A closes 13:00:00
        12:00:01  cancel A                       -> done; A closed (Cancelled)
        12:00:02  bid A c EUR 200.00             -> AUCTION_CLOSED
        12:00:03  cancel A                       -> AUCTION_CLOSED
        12:00:04  offer S1 c EUR 100.00 opens B  -> opened B; B closes 13:00:04",
    );
}

#[test]
fn a_paid_lock_makes_one_order_that_is_shipped_and_completed() {
    plays(
        "policy initial 1h, window 0s
        12:00:00    offer S1 a EUR 100.00          -> opened A; A closes 13:00:00
        13:00:00    tick marks 13:00:00            -> A locked to a at 100.00 (AutoAtClose)
        13:01:00    checkout A b                   -> NOT_FOUND
        13:01:01    checkout A a                   -> attempt 1
        13:01:02    checkout A a                   -> SESSION_ACTIVE
        13:01:03    opened A                       -> done
        13:01:04    checkout A a                   -> SESSION_ACTIVE
        13:02:00    paid A EUR 99.99 ev_wrong      -> done
        13:02:01    paid A USD 100.00 ev_dollars   -> done
        13:02:02    ship A m TRACK-0001            -> NOT_FOUND
        13:03:00    paid A EUR 100.00 ev_1         -> done; A closed (Sold); S1 sold
        13:03:01    paid A EUR 100.00 ev_1         -> done
        13:03:02    checkout A a                   -> INVALID_STATE
        13:04:00    offer S1 b EUR 500.00 opens B  -> INVALID_STATE
        13:05:00    confirm A a                    -> INVALID_STATE
        13:05:01    ship A a TRACK-0001            -> FORBIDDEN
        13:05:02    ship A n TRACK-0001            -> NOT_FOUND
        13:06:00    ship A m TRACK-0001            -> done
        13:06:01    ship A m TRACK-0002            -> INVALID_STATE
        13:07:00    confirm A m                    -> FORBIDDEN
        13:07:01    confirm A a                    -> done
        13:07:02    confirm A a                    -> done
        13:07:03    confirm A a                    -> INVALID_STATE",
    );
}

#[test]
fn a_payment_heard_before_its_session_makes_the_order_once() {
    plays(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        13:00:00  tick marks 13:00:00        -> A locked to a at 100.00 (AutoAtClose)
        13:01:00  checkout A a               -> attempt 1
        13:01:01  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
        13:01:02  opened A                   -> done
        13:01:03  paid A EUR 100.00 ev_1     -> done",
    );
}

#[test]
fn refused_sessions_are_retried_with_pauses_until_none_is_left() {
    plays(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        13:00:00  tick marks 13:00:00        -> A locked to a at 100.00 (AutoAtClose)
        13:01:00  checkout A a               -> attempt 1
        13:01:01  refused A                  -> done
        13:02:00  checkout A a               -> RETRY_LATER
        13:02:01  checkout A a               -> attempt 2
        13:02:02  refused A                  -> done
        13:07:01  checkout A a               -> RETRY_LATER
        13:07:02  checkout A a               -> attempt 3
        13:07:03  opened A                   -> done
        13:08:00  expired A ev_gone          -> done
        13:08:01  checkout A a               -> attempt 4
        13:08:02  refused A                  -> done; A awaits until 1d13:08:02
        13:08:03  checkout A a               -> RETRY_EXHAUSTED",
    );
}

#[test]
fn an_unpaid_lock_ends_in_a_new_cycle() {
    plays(
        "policy initial 1h, window 0s, payment 24h, decision 24h
        12:00:00        offer S1 a EUR 100.00          -> opened A; A closes 13:00:00
        13:00:00        tick marks 13:00:00            -> A locked to a at 100.00 (AutoAtClose)
        1d12:59:59      checkout A a                   -> attempt 1
        1d12:59:59.999  opened A                       -> done
        1d13:00:00      checkout A a                   -> PAYMENT_TIMEOUT
        1d13:00:00.500  ended A                        -> done; A awaits until 2d13:00:00.500
        1d13:00:01      bid A b EUR 200.00             -> AUCTION_CLOSED
        2d13:00:01      tick                           -> A closed (Unsold)
        2d13:00:02      paid A EUR 100.00 ev_late 1d12:59:59.999 -> done
        2d13:00:03      offer S1 a EUR 100.00 opens B  -> opened B; B closes 2d14:00:03",
    );
}

#[test]
fn a_payment_made_in_time_and_heard_late_still_buys() {
    plays(
        "policy initial 1h, window 0s
        12:00:00    offer S1 a EUR 100.00          -> opened A; A closes 13:00:00
        13:00:00    tick marks 13:00:00            -> A locked to a at 100.00 (AutoAtClose)
        13:01:00    checkout A a                   -> attempt 1
        13:01:01    opened A                       -> done
        1d13:00:01  ended A                        -> done; A awaits until 2d13:00:01
        1d13:00:02  paid A EUR 100.00 ev_2 1d13:00:00 -> done
        1d13:00:03  paid A EUR 100.00 ev_3 1d12:59:59 -> done; A closed (Sold); S1 sold",
    );
}

#[test]
fn orders_complete_by_time_and_show_when_they_are_overdue() {
    let played = World::play(
        "policy initial 1h, window 0s
        12:00:00    offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        13:00:00    tick marks 13:00:00        -> A locked to a at 100.00 (AutoAtClose)
        13:01:00    paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
        3d13:01:01  tick                       ->
        3d13:02:00  ship A m TRACK-0001        -> done
        4d13:00:00  confirm A a                -> done
        11d13:00:01 tick                       ->
        11d13:00:02 confirm A a                -> INVALID_STATE",
    );
    let world = match played {
        Ok(world) => world,
        Err(why) => panic!("{why}"),
    };
    let orders = world.market.orders();
    assert_eq!(orders.len(), 1);
    assert!(orders[0].overdue);
    assert_eq!(orders[0].state, "completed");
    let balances: Vec<i128> = world.market.ledger_balances().map(|(_, _, sum)| sum).collect();
    assert_eq!(balances.iter().sum::<i128>(), 0);
    assert!(balances.contains(&-500) && balances.contains(&-9_500), "{balances:?}");
}

#[test]
fn a_bidder_has_a_bounded_number_of_judged_bids() {
    let mut table = String::from(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00\n",
    );
    for _ in 0..500 {
        table.push_str("12:00:01  bid A b EUR 1.00  -> BID_TOO_LOW minimum 105.00\n");
    }
    table.push_str("12:00:02  bid A b EUR 200.00  -> TOO_MANY_BIDS\n");
    table.push_str("12:00:03  bid A c EUR 200.00  -> placed\n");
    plays(&table);
}
