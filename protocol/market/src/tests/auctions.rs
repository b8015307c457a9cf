//! Offers that wait, both timings, admins, second chances, private maximums: tables and laws.

use fairground_types::command::{
    Actor, AuctionCommand, AuctionPolicy, CloseOverride, Command, IncrementFloors, MarketPolicy,
    OfferPolicy, OpenMode, Popularity,
};
use fairground_types::money::BasisPoints;
use fairground_types::text::Note;
use fairground_types::{
    AuctionId, BidId, Capability, Currency, Millis, Money, SaleLockId, Timestamp, Verdict,
};
use proptest::prelude::*;

use crate::admission::{admit_bid, admit_offer};
use crate::auction::min_next;
use crate::script::{World, auction_named, person, story_named};
use crate::{AuctionState, OfferStep};

fn plays(table: &str) -> World {
    match World::play(table) {
        Ok(world) => world,
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn a_maker_in_review_mode_opens_rejects_or_lets_silence_open() {
    let world = plays(
        "policy initial 1h
        12:00:00  policy-of m review window 1h     -> done
        12:01:00  offer S1 a EUR 99.99             -> OFFER_MIN_VIOLATION minimum 100.00
        12:02:00  offer S1 a EUR 120.00            -> waits until 13:02:00
        12:03:00  offer S1 b EUR 130.00 opens B    -> waits until 13:03:00
        12:04:00  decline-offer S1 a n             -> NOT_FOUND
        12:04:01  decline-offer S1 a a             -> FORBIDDEN
        12:04:02  take-offer S1 a a                -> FORBIDDEN
        12:05:00  decline-offer S1 a m             -> done
        12:05:01  decline-offer S1 a m             -> INVALID_STATE
        12:05:02  take-offer S1 a m                -> INVALID_STATE
        12:06:00  offer S1 c EUR 140.00 opens C    -> waits until 13:06:00
        12:07:00  take-offer S1 c m                -> opened C; C closes 13:07:00
        12:07:01  take-offer S1 b m                -> AUCTION_ACTIVE
        12:07:02  offer S1 d EUR 150.00            -> AUCTION_ACTIVE minimum 145.00
        12:10:00  offer S2 a EUR 200.00 opens D    -> waits until 13:10:00
        13:20:00  tick                             -> C locked to c at 140.00 (AutoAtClose) without e1; D closes 14:10:00",
    );
    let market = &world.market;
    let (a, b) = (person("a").expect("a"), person("b").expect("b"));
    let s1 = story_named("S1").expect("S1");
    let steps: Vec<OfferStep> = market.offers_on(s1, a).iter().map(|row| row.status).collect();
    assert_eq!(steps, [OfferStep::Rejected, OfferStep::AutoRejected]);
    assert_eq!(market.offers_on(s1, b)[0].status, OfferStep::Superseded);
    let seen_by_maker = market.offers_on(s1, person("m").expect("m"));
    assert_eq!(seen_by_maker.len(), 4);
    assert!(seen_by_maker.iter().all(|row| row.story_version >= 1));
}

#[test]
fn offers_are_withdrawn_while_they_wait_and_for_five_minutes() {
    plays(
        "policy initial 1h
        12:00:00  policy-of m review               -> done
        12:01:00  offer S1 a EUR 120.00            -> waits until 1d12:01:00
        12:02:00  take-back S1 a b                  -> NOT_FOUND
        12:06:00  take-back S1 a                    -> done
        12:06:01  take-back S1 a                    -> OFFER_NOT_WITHDRAWABLE
        12:10:00  offer S1 b EUR 120.00 opens B    -> waits until 1d12:10:00
        12:15:00.001  take-back S1 b                -> OFFER_WINDOW_CLOSED
        12:16:00  take-offer S1 b m                -> opened B; B closes 13:16:00
        12:16:01  take-back S1 b                    -> OFFER_NOT_WITHDRAWABLE",
    );
}

#[test]
fn a_policy_is_felt_by_later_offers_alone_and_its_rules_are_named() {
    plays(
        "policy initial 1h
        12:00:00  policy-of m block b ship DE ship FR minimum 150.00 max 2 -> done
        12:01:00  offer S1 b EUR 200.00            -> NOT_ELIGIBLE BUYER_BLOCKED
        12:01:01  offer S1 a EUR 200.00 to US      -> NOT_ELIGIBLE GEOGRAPHIC_RESTRICTION
        12:01:02  offer S1 a EUR 200.00 denied     -> NOT_ELIGIBLE RISK_DECLINED
        12:01:03  offer S1 a EUR 500.01 unchecked  -> NOT_ELIGIBLE RISK_DECLINED
        12:01:04  offer S1 a EUR 149.99 to DE      -> OFFER_MIN_VIOLATION minimum 150.00
        12:01:05  offer S1 a EUR 149.99            -> OFFER_MIN_VIOLATION minimum 150.00
        12:01:06  offer S1 a EUR 150.00            -> NOT_ELIGIBLE OFFER_LIMIT_EXCEEDED
        12:02:00  policy-of m closed               -> done
        12:02:01  offer S1 c EUR 500.00            -> NOT_ELIGIBLE MAKER_NOT_ACCEPTING_OFFERS
        12:03:00  policy-of m block b              -> done
        12:03:01  offer S1 c EUR 500.00 unchecked  -> opened A; A closes 13:03:01
        12:04:00  policy-of m closed               -> done
        12:04:01  bid A d EUR 505.00               -> placed
        12:04:02  bid A b EUR 600.00               -> placed",
    );
}

#[test]
fn ten_offers_an_hour_are_counted_over_all_stories() {
    let mut table = String::from("policy initial 1h\n");
    // Cancelling begins a new cycle, so that only the hour counts.
    for round in 0..5 {
        for (story, name) in [("S1", "A"), ("S2", "B")] {
            let name = char::from(name.as_bytes()[0] + 2 * round);
            let minute = u32::from(round) * 2;
            table.push_str(&format!(
                "12:{minute:02}:00  offer {story} a EUR 100.00 opens {name} -> opened {name}; {name} closes 13:{minute:02}:00
                12:{minute:02}:30  cancel {name} -> done; {name} closed (Cancelled)\n",
            ));
        }
    }
    let last = "12:30:00 offer S1 a EUR 100.00 opens Z -> NOT_ELIGIBLE OFFER_LIMIT_EXCEEDED
        12:30:01 offer S1 b EUR 1.00 opens Z -> OFFER_MIN_VIOLATION minimum 100.00
        13:00:00 offer S1 a EUR 100.00 opens Z -> opened Z; Z closes 14:00:00";
    let ordered: String = order_by_time(&table) + last;
    plays(&ordered);
}

/// The rounds above interleave two stories; a table goes forward in time.
fn order_by_time(table: &str) -> String {
    let (head, lines): (Vec<&str>, Vec<&str>) =
        table.lines().map(str::trim).partition(|line| line.starts_with("policy"));
    let mut lines = lines;
    lines.sort_by_key(|line| line.split_whitespace().next().unwrap_or_default());
    head.into_iter().chain(lines).map(|line| format!("{line}\n")).collect()
}

#[test]
fn rolling_auctions_are_reset_by_every_bid_of_another_up_to_the_cap() {
    plays(
        "policy rolling 1, tier 2h, bonus 1h, cap 6h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 14:00:00
        12:30:00  bid A b EUR 105.00               -> placed; A closes 14:30:00
        13:00:00  bid A b EUR 110.00               -> placed
        13:30:00  bid A c EUR 110.00               -> BID_TOO_LOW minimum 115.00
        14:00:00  bid A c EUR 1000.00              -> placed; A closes 16:00:00
        14:00:01  bid A d EUR 1010.00              -> placed; A closes 17:00:01
        15:30:00  bid A e EUR 1100.00              -> placed; A closes 18:00:00 for good
        15:40:00  bid A d EUR 1200.00              -> placed
        18:00:00  tick marks 18:00:00              -> A locked to d at 1200.00 (AutoAtCap)",
    );
}

#[test]
fn presets_hold_the_numbers_of_the_domain() {
    let fixed = AuctionPolicy::FIXED_72;
    assert_eq!(fixed.initial, Millis::from_hours(72));
    assert_eq!((fixed.window, fixed.extension), (Millis::from_mins(15), Millis::from_mins(15)));
    assert_eq!(fixed.extension_total_max, Millis::from_hours(24));
    assert_eq!(fixed.total_max, Millis::from_hours(7 * 24));
    let rolling = AuctionPolicy::ROLLING;
    let low = Money::new(100_000, Currency::Eur);
    let high = Money::new(100_001, Currency::Eur);
    let tiers = [(Popularity::Common, 48), (Popularity::Popular, 72), (Popularity::Top, 96)];
    for (popularity, hours) in tiers {
        let frozen = rolling.frozen(popularity, low);
        assert_eq!(frozen.initial, Millis::from_hours(hours));
        assert_eq!(frozen.reset_by(low), Millis::from_hours(hours));
        assert_eq!(frozen.reset_by(high), Millis::from_hours(hours + 24));
        assert_eq!(rolling.frozen(popularity, high).initial, Millis::from_hours(hours + 24));
    }
    // Above 1,000 units, whatever a unit is worth in minor ones.
    assert_eq!(rolling.reset_by(Money::new(1_001, Currency::Jpy)), Millis::from_hours(72));
    assert_eq!(rolling.reset_by(Money::new(1_000_000, Currency::Kwd)), Millis::from_hours(48));
    assert_eq!(fixed.frozen(Popularity::Top, high), fixed);
}

#[test]
fn a_flat_step_of_one_minor_unit_is_an_ordinary_setting() {
    plays(
        "policy initial 1h, flat 1
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:00:01  bid A b EUR 100.00               -> BID_TOO_LOW minimum 100.01
        12:00:02  bid A b EUR 100.01               -> placed
        12:00:03  bid A c EUR 100.02               -> placed",
    );
}

#[test]
fn admins_move_a_close_later_or_fix_it_and_makers_may_not() {
    let world = plays(
        "policy initial 1h, window 15m, extension 15m, cap 2h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:00:01  prolong A 10m m                   -> FORBIDDEN
        12:00:02  prolong A 0m                      -> VALIDATION_FAILED
        12:00:03  prolong A 25h                     -> VALIDATION_FAILED
        12:01:00  prolong A 10m                     -> done; A closes 13:10:00
        13:00:00  bid A b EUR 105.00               -> placed; A closes 13:25:00
        13:20:00  fix A                            -> done; A closes 13:25:00 for good
        13:21:00  bid A c EUR 110.00               -> placed
        13:22:00  prolong A 24h                     -> done; A closes 14:00:00 for good
        13:23:00  prolong A 1m                      -> INVALID_STATE
        14:00:00  tick marks 14:00:00              -> A locked to c at 110.00 (AutoAtCap)
        14:00:01  prolong A 1m                      -> AUCTION_LOCKED
        14:00:02  fix A                            -> AUCTION_LOCKED",
    );
    let record = world.market.auction_record(auction_named("A").expect("A")).expect("known");
    assert_eq!(record.acts.len(), 3);
}

#[test]
fn a_bid_taken_back_lowers_the_price_in_a_new_epoch_and_keeps_the_close() {
    let world = plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:50:00  bid A b EUR 105.00               -> placed; A closes 13:15:00
        12:51:00  bid A c EUR 900.00               -> placed
        12:52:00  retract A 900.00 m               -> FORBIDDEN
        12:53:00  retract A 900.00                 -> done; A falls to 105.00
        12:54:00  bid A d EUR 109.99               -> BID_TOO_LOW minimum 110.00
        12:54:01  bid A d EUR 110.00               -> placed
        12:55:00  retract A 105.00                 -> done; A falls to 110.00
        13:15:00  tick marks 13:15:00              -> A locked to d at 110.00 (AutoAtClose)
        13:15:01  retract A 110.00                 -> AUCTION_LOCKED",
    );
    let row = world.market.auction(auction_named("A").expect("A")).expect("known");
    assert_eq!(row.epoch, 2);
    let mine = world.market.my_bids(person("c").expect("c"), row.id());
    assert_eq!(mine[0].state, fairground_types::verdict::BidState::Retracted);
}

#[test]
fn an_auction_whose_every_bid_was_taken_back_ends_without_bids() {
    plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 120.00            -> opened A; A closes 13:00:00
        12:10:00  retract A 120.00                 -> done; A falls to nothing
        12:11:00  bid A b EUR 99.99                -> BID_TOO_LOW minimum 100.00
        13:00:00  tick marks 13:00:00              -> A closed (NoBids)
        13:00:01  bid A b EUR 200.00               -> AUCTION_CLOSED
        13:00:02  retract A 120.00                 -> AUCTION_CLOSED
        13:01:00  offer S1 a EUR 120.00 opens B    -> opened B; B closes 14:01:00
        13:02:00  retract B 120.00                 -> done; B falls to nothing
        13:03:00  bid B b EUR 100.00               -> placed
        14:01:00  tick marks 14:01:00              -> B locked to b at 100.00 (AutoAtClose)",
    );
}

#[test]
fn an_edge_that_has_not_seen_the_retraction_names_the_older_index() {
    let world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:10:00  bid A c EUR 900.00               -> placed",
    );
    let before = world.market.view().clone();
    let bid = fairground_types::journal::PlaceBid {
        command: fairground_types::CommandId::from_bytes([9; 32]),
        auction: auction_named("A").expect("A"),
        bidder: person("b").expect("b"),
        amount: Money::new(10_500, Currency::Eur),
        maximum: None,
        valid_until: Timestamp::MAX,
    };
    let refused = admit_bid(&before, &bid).expect_err("below the price");
    assert_eq!(refused.index, before.index());
    let mut after = world;
    let leading = after.market.auction(bid.auction).expect("A").leading().expect("leads").bid_id;
    let at = after.market.last_at().plus(Millis::from_secs(1));
    let reason = Note::parse("a typing error").expect("a note");
    let command = AuctionCommand::RetractBid { auction: bid.auction, bid: leading, reason };
    let verdict = after.direct(at, Actor::Cluster, Command::Auction(command));
    assert!(verdict.is_accepted());
    assert!(admit_bid(after.market.view(), &bid).is_ok());
    assert_eq!(after.market.view().auction(bid.auction).expect("A").epoch, 1);
}

#[test]
fn second_chances_go_down_the_bidders_at_their_own_price_three_times() {
    plays(
        "policy initial 1h, payment 1h, decision 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00               -> placed
        12:02:00  bid A c EUR 110.00               -> placed
        12:03:00  bid A d EUR 115.00               -> placed
        12:04:00  bid A e EUR 120.00               -> placed
        12:05:00  bid A d EUR 125.00               -> placed
        12:06:00  second-chance A m                -> INVALID_STATE
        13:00:00  tick marks 13:00:00              -> A locked to d at 125.00 (AutoAtClose)
        13:00:01  second-chance A m                -> AUCTION_LOCKED
        13:00:02  no-thanks A d                    -> INVALID_STATE
        14:00:00  tick                             -> A awaits until 15:00:00
        14:01:00  second-chance A n                -> FORBIDDEN
        14:02:00  second-chance A m 110.00         -> NO_ELIGIBLE_BID
        14:03:00  second-chance A m 120.00         -> done; A locked to e at 120.00 (SecondChance)
        14:04:00  no-thanks A c                    -> NOT_FOUND
        14:05:00  no-thanks A e                    -> done; A awaits until 15:05:00
        14:05:01  no-thanks A e                    -> PAYMENT_TIMEOUT
        14:06:00  second-chance A m                -> done; A locked to c at 110.00 (SecondChance)
        15:06:00  tick                             -> A awaits until 16:06:00
        15:07:00  second-chance A m                -> done; A locked to b at 105.00 (SecondChance)
        16:07:00  tick                             -> A closed (Unsold)
        16:07:01  second-chance A m                -> DECISION_WINDOW_CLOSED
        16:08:00  offer S1 d EUR 100.00 opens B    -> opened B; B closes 17:08:00",
    );
}

#[test]
fn nobody_is_left_to_ask_and_relisting_begins_the_next_auction() {
    let world = plays(
        "policy initial 1h, payment 1h, decision 1h
        12:00:00  offer S1 a EUR 99.00             -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:01  offer S1 a EUR 99.00             -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:02  offer S1 a EUR 100.00            -> opened A; A closes 13:00:02
        12:01:00  relist A m                       -> INVALID_STATE
        13:00:02  tick marks 13:00:02              -> A locked to a at 100.00 (AutoAtClose)
        13:01:00  relist A m                       -> AUCTION_LOCKED
        14:00:02  tick                             -> A awaits until 15:00:02
        14:01:00  second-chance A m                -> NO_ELIGIBLE_BID
        14:02:00  relist A n                       -> FORBIDDEN
        14:03:00  relist A m                       -> done; A closed (Unsold)
        14:04:00  relist A m                       -> DECISION_WINDOW_CLOSED
        14:05:00  offer S1 a EUR 99.00 opens B     -> OFFER_MIN_VIOLATION minimum 100.00
        14:05:01  offer S1 a EUR 100.00 opens B    -> opened B; B closes 15:05:01",
    );
    let seq = |name: &str| {
        world.market.auction(auction_named(name).expect("a capital")).expect("known").seq()
    };
    assert_eq!((seq("A"), seq("B")), (1, 2));
}

#[test]
fn a_lock_waits_while_its_maker_cannot_be_paid() {
    let mut world = plays(
        "policy initial 1h, capability 2h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:00:01  offer S2 b EUR 100.00 opens B    -> opened B; B closes 13:00:01",
    );
    let maker = person("m").expect("m");
    let id = auction_named("A").expect("A");
    stop_pay(&mut world);
    let expected = world.market.auction(id).expect("A").leading().expect("leads").bid_id;
    let accept = Command::Auction(AuctionCommand::AcceptHighest { auction: id, expected });
    let at = world.market.last_at().plus(Millis::from_secs(1));
    assert!(!world.direct(at, Actor::User(maker), accept).is_accepted());
    let after = world.market.last_at().plus(Millis::from_mins(62));
    world.keep_time(after);
    let state = |world: &World| world.market.auction(id).expect("A").state().clone();
    assert!(matches!(state(&world), AuctionState::AwaitingDecision { lock: None, .. }));
    assert_eq!(world.market.locks().len(), 0);
    let mut turn = crate::apply::Turn::for_tests(after);
    let given = crate::CapabilityState::Approved { at: after };
    world.market.set_capability(&mut turn, maker, Capability::CollectPayments, given);
    assert!(matches!(state(&world), AuctionState::Locked { .. }));
    assert_eq!(world.market.locks().len(), 2);
}

#[test]
fn a_maker_who_cannot_be_paid_in_time_sells_nothing() {
    let mut world = plays(
        "policy initial 1h, capability 2h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00",
    );
    stop_pay(&mut world);
    let end = world.market.last_at().plus(Millis::from_hours(4));
    let facts = world.keep_time(end);
    assert!(facts.iter().any(|fact| fact == "A awaits until 15:00:30"), "{facts:?}");
    assert!(facts.iter().any(|fact| fact == "A closed (Unsold)"), "{facts:?}");
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

fn stop_pay(world: &mut World) {
    let maker = person("m").expect("m");
    world.market.change_person(maker, |row| {
        row.capabilities.remove(&Capability::CollectPayments);
    });
}

#[test]
fn a_suspended_leader_leaves_no_bid_behind() {
    let mut world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00               -> placed
        12:02:00  bid A c EUR 110.00               -> placed
        12:03:00  bid A b EUR 115.00               -> placed",
    );
    let id = auction_named("A").expect("A");
    let close = world.market.auction(id).expect("A").closes_at();
    let mut turn = crate::apply::Turn::for_tests(world.market.last_at());
    let reason = Note::parse("suspended").expect("a note");
    world.market.retract_bids_of(&mut turn, person("b").expect("b"), (None, &reason));
    let row = world.market.auction(id).expect("A");
    assert_eq!(row.leader(), person("c").ok());
    assert_eq!(row.bids().count(), 2);
    assert_eq!(row.closes_at(), close);
}

#[test]
fn an_outage_moves_payment_and_decision_windows_by_its_length() {
    plays(
        "policy initial 1h, payment 1h, decision 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        13:00:00  tick marks 13:00:00              -> A locked to a at 100.00 (AutoAtClose)
        14:30:00  tick outage                      ->
        14:44:59  tick                             ->
        14:46:00  tick                             -> A awaits until 15:45:00
        17:00:00  tick outage                      -> A awaits until 17:15:00
        17:16:00  tick                             -> A closed (Unsold)",
    );
}

// Private maximums.

#[test]
fn a_maximum_bids_on_by_the_increment_and_the_earlier_one_wins_a_tie() {
    plays(
        "policy initial 1h, window 15m, extension 15m, proxies 1
        12:00:00  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to EUR 200.00    -> placed
        12:02:00  bid A c EUR 110.00                     -> placed
        12:02:01  bid A d EUR 119.99                     -> BID_TOO_LOW minimum 120.00
        12:03:00  bid A c EUR 120.00 up-to EUR 150.00    -> placed
        12:03:01  bid A d EUR 159.99                     -> BID_TOO_LOW minimum 160.00
        12:04:00  bid A d EUR 160.00 up-to EUR 200.00    -> placed
        12:04:01  bid A c EUR 204.99                     -> BID_TOO_LOW minimum 205.00
        12:05:00  bid A d EUR 205.00                     -> placed",
    );
}

#[test]
fn a_bid_of_just_the_maximum_loses_to_it() {
    let world = plays(
        "policy initial 1h, proxies 1
        12:00:00  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to EUR 200.00    -> placed
        12:02:00  bid A c EUR 200.00                     -> BID_TOO_LOW minimum 205.00",
    );
    let row = world.market.auction(auction_named("A").expect("A")).expect("A");
    assert_eq!(
        (row.leader(), row.leading().map(|bid| bid.amount.minor())),
        (person("b").ok(), Some(20_000))
    );
}

#[test]
fn a_higher_maximum_leads_at_the_least_that_beats_the_other() {
    let world = plays(
        "policy initial 1h, proxies 1
        12:00:00  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to EUR 200.00    -> placed
        12:02:00  bid A c EUR 110.00 up-to EUR 300.00    -> placed
        12:02:01  bid A d EUR 209.99                     -> BID_TOO_LOW minimum 210.00
        12:03:00  bid A b EUR 210.00                     -> placed
        12:03:01  bid A d EUR 219.99                     -> BID_TOO_LOW minimum 220.00",
    );
    let row = world.market.auction(auction_named("A").expect("A")).expect("A");
    assert_eq!(row.leader(), person("c").ok());
    let answer = row.leading().expect("leads");
    let woken = &row.earlier.last().expect("the bid before");
    assert!(answer.is_proxy);
    assert_eq!((answer.stamp, answer.at, answer.index), (woken.stamp, woken.at, woken.index));
}

#[test]
fn a_late_bid_extends_once_also_when_a_maximum_answers_it() {
    plays(
        "policy initial 1h, window 15m, extension 15m, proxies 1
        12:00:00  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to EUR 200.00    -> placed
        12:50:00  bid A c EUR 110.00                     -> placed; A closes 13:15:00
        12:50:01  bid A b EUR 150.00                     -> placed
        13:01:00  bid A c EUR 200.00                     -> BID_TOO_LOW minimum 205.00
        13:15:00  tick marks 13:15:00                    -> A locked to b at 200.00 (AutoAtClose)",
    );
}

#[test]
fn maximums_are_refused_where_they_make_no_sense_or_are_switched_off() {
    plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to EUR 200.00    -> FEATURE_DISABLED",
    );
    plays(
        "policy initial 1h, proxies 1
        12:00:00  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to USD 200.00    -> CURRENCY_MISMATCH
        12:01:01  bid A b EUR 105.00 up-to EUR 104.99    -> VALIDATION_FAILED
        12:01:02  bid A b EUR 105.00 up-to EUR 1000000.00 -> AMOUNT_OUT_OF_RANGE
        12:01:03  bid A b EUR 105.00 up-to EUR 105.00    -> placed",
    );
}

#[test]
fn no_feed_and_no_record_holds_a_maximum() {
    // An amount that appears nowhere else, and its text.
    let secret = 77_777_777_u64;
    let world = plays(
        "policy initial 1h, proxies 1
        12:00:00  offer S1 a EUR 100.00                    -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to EUR 777777.77   -> placed
        12:02:00  bid A c EUR 110.00                       -> placed
        12:03:00  bid A c EUR 120.00                       -> placed
        12:04:00  bid A d EUR 500.00 up-to EUR 600.00      -> placed",
    );
    let id = auction_named("A").expect("A");
    let holds = |bytes: &[u8]| {
        bytes.windows(8).any(|window| window == secret.to_le_bytes())
            || bytes.windows(8).any(|window| window == b"77777777")
            || bytes.windows(9).any(|window| window == b"777777.77")
    };
    for applied in &world.applied {
        assert!(!holds(&wincode::serialize(&applied.feed).expect("a feed item")));
        assert!(!holds(format!("{:?}", applied.judged).as_bytes()));
        assert!(!holds(&wincode::serialize(&applied.judged).expect("verdicts")));
    }
    assert!(!holds(&wincode::serialize(world.market.view()).expect("a view")));
    assert!(!holds(format!("{:?}", world.market.auction(id)).as_bytes()));
    let record = world.market.auction_record(id).expect("a record");
    assert!(!holds(&format!("{record:?}").into_bytes()));
    for other in ["a", "c", "d", "m"] {
        let reader = person(other).expect("a letter");
        let bid_in = world.market.auctions_bid_in(reader);
        let made = world.market.auctions_made_by(reader);
        assert!(!holds(&format!("{bid_in:?}{made:?}").into_bytes()));
    }
    let owner = world.market.auctions_bid_in(person("b").expect("b"));
    assert_eq!(owner[0].own_maximum, Some(Money::new(secret, Currency::Eur)));
    // The state itself keeps it, or nothing could bid on.
    assert!(holds(&wincode::serialize(&world.market).expect("a market")));
}

fn policy_with(open_mode: OpenMode) -> OfferPolicy {
    OfferPolicy { open_mode, ..OfferPolicy::default() }
}

#[test]
fn bad_policies_and_overrides_are_refused() {
    let mut world = World::new(MarketPolicy::default(), &["e1"]).expect("a world");
    let maker = person("m").expect("m");
    let at = world.market.last_at().plus(Millis::from_secs(1));
    let mut set = |base_version, policy| {
        let command = AuctionCommand::SetOfferPolicy { base_version, policy };
        match world.direct(at, Actor::User(maker), Command::Auction(command)) {
            Verdict::Accepted(_) => "done",
            Verdict::Rejected(rejection) => rejection.code.as_str(),
        }
    };
    let fine = policy_with(OpenMode::Review);
    let minimum = |minor| Some(Money::new(minor, Currency::Jpy));
    for (wrong, code) in [
        (OfferPolicy { max_offers_per_buyer: 0, ..fine.clone() }, "VALIDATION_FAILED"),
        (OfferPolicy { max_offers_per_buyer: 4, ..fine.clone() }, "VALIDATION_FAILED"),
        (OfferPolicy { review_window_ms: Millis::ZERO, ..fine.clone() }, "VALIDATION_FAILED"),
        (
            OfferPolicy { review_window_ms: Millis::from_hours(25), ..fine.clone() },
            "VALIDATION_FAILED",
        ),
        (OfferPolicy { minimum: minimum(0), ..fine.clone() }, "AMOUNT_OUT_OF_RANGE"),
        (OfferPolicy { minimum: minimum(u64::MAX), ..fine.clone() }, "AMOUNT_OUT_OF_RANGE"),
        (OfferPolicy { blocked_buyers: [maker].into(), ..fine.clone() }, "VALIDATION_FAILED"),
    ] {
        assert_eq!(set(0, wrong), code);
    }
    assert_eq!(set(0, OfferPolicy { minimum: minimum(1), ..fine.clone() }), "done");
    assert_eq!(set(0, fine.clone()), "VERSION_CONFLICT");
    assert_eq!(set(1, fine), "done");
    let reason = Note::parse("x").expect("a note");
    let auction = AuctionId::from_bits(1);
    for command in [
        AuctionCommand::OverrideClose {
            auction,
            action: CloseOverride::LockEnd,
            reason: reason.clone(),
        },
        AuctionCommand::RetractBid { auction, bid: BidId::of(&command_id()), reason },
        AuctionCommand::OfferSecondChance { auction, bid: None },
        AuctionCommand::Relist { auction },
        AuctionCommand::DeclineSecondChance { lock: SaleLockId::from_bits(1) },
    ] {
        for actor in [Actor::Cluster, Actor::User(maker)] {
            let verdict = world.direct(at, actor, Command::Auction(command.clone()));
            let code = verdict.code().expect("refused").as_str();
            assert!(["NOT_FOUND", "FORBIDDEN", "AUTH_REQUIRED"].contains(&code), "{code}");
        }
    }
}

const fn command_id() -> fairground_types::CommandId {
    fairground_types::CommandId::from_bytes([1; 32])
}

#[test]
fn the_dashboard_counts_what_its_lists_hold() {
    let world = plays(
        "policy initial 1h, payment 1h
        12:00:00  policy-of m review window 2h     -> done
        12:01:00  offer S1 a EUR 120.00            -> waits until 14:01:00
        12:02:00  take-offer S1 a m                -> opened A; A closes 13:02:00
        12:03:00  offer S2 b EUR 120.00 opens B    -> waits until 14:03:00",
    );
    let maker = person("m").expect("m");
    let board = world.market.maker_dashboard(maker);
    assert_eq!(board.active_auctions.len(), 1);
    assert_eq!(board.offers_to_review.len(), 1);
    assert_eq!((board.awaiting_payment.len(), board.to_decide.len()), (0, 0));
    let s1 = story_named("S1").expect("S1");
    let asked = world.market.eligibility(maker, s1, (None, None)).expect("public");
    assert_eq!((asked.ok, asked.rules), (false, vec!["SELF_BID".to_owned()]));
    let s2 = story_named("S2").expect("S2");
    let low = Some(Money::new(1, Currency::Eur));
    let asked = world.market.eligibility(person("c").expect("c"), s2, (low, None)).expect("public");
    assert_eq!(asked.rules, ["OFFER_MIN_VIOLATION"]);
    assert_eq!(asked.offers_left, 3);
}

#[test]
fn an_edge_refuses_an_offer_only_on_what_stays_so() {
    let world = plays("12:00:00  policy-of m closed -> done");
    let offer = fairground_types::journal::SubmitOffer {
        command: command_id(),
        offer: fairground_types::OfferId::from_bits(1),
        auction: AuctionId::from_bits(1),
        story: story_named("S1").expect("S1"),
        buyer: person("a").expect("a"),
        amount: Money::new(1, Currency::Eur),
        note: None,
        ship_to: None,
        eligibility: fairground_types::journal::Eligibility::Denied,
        bid_if_open: false,
        valid_until: Timestamp::MAX,
    };
    assert!(admit_offer(world.market.view(), &offer).is_ok());
}

fn any_currency() -> impl Strategy<Value = Currency> {
    prop_oneof![
        Just(Currency::Eur),
        Just(Currency::Usd),
        Just(Currency::Gbp),
        Just(Currency::Chf),
        Just(Currency::Jpy),
        Just(Currency::Kwd),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_least_next_bid_is_a_hundredth_more_or_five_units(
        minor in 1_u64..=99_999_999, currency in any_currency(),
    ) {
        let highest = Money::new(minor, currency);
        let next = min_next(highest, &AuctionPolicy::FIXED_72).minor();
        let floor = IncrementFloors::DEFAULT.of(currency);
        prop_assert_eq!(next, minor + minor.div_ceil(100).max(floor));
        let flat = AuctionPolicy {
            increment: BasisPoints(0),
            increment_floor_minor: IncrementFloors::flat(1),
            ..AuctionPolicy::FIXED_72
        };
        prop_assert_eq!(min_next(highest, &flat).minor(), minor + 1);
    }

    #[test]
    fn maximums_never_break_a_law_and_the_greatest_leads(
        bids in prop::collection::vec((0_usize..4, 0_u64..2_000, 0_u64..8_000), 1..25),
    ) {
        let mut table =
            String::from("policy initial 1h, proxies 1\n12:00:00 offer S1 h EUR 100.00 -> opened A; A closes 13:00:00\n");
        let mut world = plays(&table);
        let mut greatest: Option<(u64, &str)> = None;
        for (turn, (who, over, more)) in bids.into_iter().enumerate() {
            let who = ["a", "b", "c", "d"][who];
            let row = world.market.auction(auction_named("A").expect("A")).expect("A");
            let leads = row.leader() == person(who).ok();
            let amount = row.min_next().minor() + over;
            let most = amount + more;
            let text = |minor: u64| format!("{}.{:02}", minor / 100, minor % 100);
            let line = format!(
                "12:{:02}:{:02} bid A {who} EUR {} up-to EUR {}",
                1 + turn / 60, turn % 60, text(amount), text(most),
            );
            if leads || greatest.is_none_or(|(known, _)| most > known) {
                greatest = Some((most, who));
            }
            let told = if !leads && world.market.auction(auction_named("A").expect("A"))
                .and_then(|row| row.proxy.as_ref().map(|proxy| proxy.maximum.reveal().minor()))
                == Some(amount) && most == amount
            {
                let next = min_next(Money::new(amount, Currency::Eur), &AuctionPolicy::FIXED_72);
                format!("{line} -> BID_TOO_LOW minimum {}\n", text(next.minor()))
            } else {
                format!("{line} -> placed\n")
            };
            table.push_str(&told);
            world = plays(&table);
            let row = world.market.auction(auction_named("A").expect("A")).expect("A");
            prop_assert_eq!(row.leader(), greatest.and_then(|(_, who)| person(who).ok()));
            if let Some(proxy) = &row.proxy {
                let price = row.leading().map_or(0, |bid| bid.amount.minor());
                prop_assert!(price <= proxy.maximum.reveal().minor());
            }
        }
    }
}
