//! Who may trade and what happens when somebody no longer may; what watchers hear; which version of
//! a story an offer keeps; what the record of one auction tells.

use std::collections::BTreeSet;

use fairground_types::command::{Actor, Command, PeopleCommand, StaffCommand};
use fairground_types::text::Note;
use fairground_types::{Millis, NoticeKind, Role, StrikeAbout, StrikeKind, UserId, Verdict};

use crate::apply::Turn;
use crate::script::{World, auction_named, person, story_named};
use crate::{AuctionAuditKind, AuctionState, OfferStep};

fn plays(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

fn user(letter: &str) -> UserId {
    person(letter).expect("a letter")
}

fn give(world: &mut World, actor: Actor, command: Command) -> Verdict {
    let at = world.market.last_at();
    world.direct(at, actor, command)
}

fn goes_on(world: &mut World, lines: &str) {
    world.play_on(lines).unwrap_or_else(|why| panic!("{why}"));
}

fn told(world: &World, kind: NoticeKind) -> BTreeSet<UserId> {
    world.notices(kind).into_iter().map(|(user, _)| user).collect()
}

fn listed(world: &World, letter: &str, kind: NoticeKind) -> usize {
    let rows = world.market.notices_of(user(letter));
    rows.into_iter().filter(|row| row.told.kind == kind).count()
}

fn suspend(world: &mut World, letter: &str) {
    let reason = Note::parse("as the test says").expect("a note");
    let command = StaffCommand::Suspend { user: user(letter), reason };
    let command = Command::People(PeopleCommand::Staff(command));
    assert!(give(world, Actor::Cluster, command).is_accepted());
}

#[test]
fn a_suspended_buyer_leaves_no_bid_and_a_suspended_maker_no_auction() {
    let mut world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00               -> placed
        12:02:00  bid A c EUR 110.00               -> placed
        12:03:00  bid A b EUR 115.00               -> placed",
    );
    let id = auction_named("A").expect("A");
    let close = world.market.auction(id).expect("A").closes_at();
    suspend(&mut world, "b");
    let row = world.market.auction(id).expect("A");
    assert_eq!((row.leader(), row.bids().count(), row.closes_at()), (Some(user("c")), 2, close));
    goes_on(
        &mut world,
        "12:04:00  bid A b EUR 200.00              -> ACCOUNT_LOCKED
        12:04:01  offer S2 b EUR 200.00 opens B    -> ACCOUNT_LOCKED",
    );
    suspend(&mut world, "m");
    let state = world.market.auction(id).expect("A").state().clone();
    assert!(matches!(state, AuctionState::Closed { .. }), "{state:?}");
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn an_offer_of_a_buyer_who_was_suspended_since_opens_nothing() {
    let mut world = plays(
        "policy initial 1h
        12:00:00  policy-of m review window 1h     -> done
        12:01:00  offer S1 a EUR 120.00            -> waits until 13:01:00
        12:02:00  offer S2 b EUR 130.00 opens B    -> waits until 13:02:00",
    );
    suspend(&mut world, "a");
    suspend(&mut world, "b");
    goes_on(
        &mut world,
        "12:03:00  take-offer S1 a m               -> NOT_ELIGIBLE ACCOUNT_RESTRICTED
        13:03:00  tick                             -> ",
    );
    for (story, buyer) in [("S1", "a"), ("S2", "b")] {
        let rows = world.market.offers_on(story_named(story).expect("known"), user(buyer));
        assert_eq!(rows[0].status, OfferStep::Rejected, "silence opens nothing either");
    }
}

#[test]
fn a_bid_and_an_offer_ask_whether_their_buyer_may_trade() {
    let mut world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00",
    );
    let mut turn = Turn::for_tests(world.market.last_at());
    for lock in [1, 2] {
        let about = StrikeAbout::Lock(fairground_types::SaleLockId::from_bits(lock));
        world.market.add_strike(&mut turn, user("b"), StrikeKind::NonPayment, about);
    }
    goes_on(
        &mut world,
        "12:01:00  bid A b EUR 105.00              -> NOT_ELIGIBLE UNPAID_STRIKES
        12:01:01  offer S2 b EUR 200.00 opens B    -> NOT_ELIGIBLE UNPAID_STRIKES",
    );
    let asked = world.market.eligibility(user("b"), story_named("S2").expect("S2"), (None, None));
    assert_eq!(asked.expect("public").rules, ["UNPAID_STRIKES"]);
    world.market.accounts.change(user("c"), |account| {
        account.roles.insert(Role::Support);
    });
    goes_on(
        &mut world,
        "12:02:00  bid A c EUR 105.00              -> NOT_ELIGIBLE ACCOUNT_RESTRICTED
        12:02:01  bid A d EUR 105.00               -> placed",
    );
}

#[test]
fn an_account_that_its_maker_has_blocked_is_not_eligible() {
    let mut world = plays("policy initial 1h");
    let block = |on| Command::People(PeopleCommand::SetBlock { user: user("b"), on });
    assert!(give(&mut world, Actor::User(user("m")), block(true)).is_accepted());
    goes_on(&mut world, "12:01:00  offer S1 b EUR 200.00 -> NOT_ELIGIBLE BUYER_BLOCKED");
    let asked = world.market.eligibility(user("b"), story_named("S1").expect("S1"), (None, None));
    assert_eq!(asked.expect("public").rules, ["BUYER_BLOCKED"]);
    assert!(give(&mut world, Actor::User(user("m")), block(false)).is_accepted());
    goes_on(&mut world, "12:02:00  offer S1 b EUR 200.00 -> opened A; A closes 13:02:00");
}

#[test]
fn a_second_chance_that_nobody_pays_is_no_strike() {
    let world = plays(
        "policy initial 1h, payment 1h, decision 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00               -> placed
        13:00:00  tick marks 13:00:00              -> A locked to b at 105.00 (AutoAtClose)
        14:00:00  tick                             -> A awaits until 15:00:00
        14:01:00  second-chance A m                -> done; A locked to a at 100.00 (SecondChance)
        15:01:00  tick                             -> A awaits until 16:01:00
        16:01:00  tick                             -> A closed (Unsold)",
    );
    let strikes = |letter| world.market.person(user(letter)).expect("known").strikes.len();
    assert_eq!((strikes("b"), strikes("a")), (1, 0), "who won is bound, who is asked is not");
    assert_eq!(listed(&world, "m", NoticeKind::DecisionTimeout), 1);
    assert_eq!(world.market.may_trade(user("a")), Ok(()));
}

#[test]
fn a_close_that_moves_is_told_to_watchers_and_bidders_but_not_to_whom_it_moved() {
    let devices = "policy initial 1h, window 15m, extension 15m
        12:00:00  device a phone t1                -> done
        12:00:00  device b phone t2                -> done
        12:00:00  device c phone t3                -> done
        12:00:00  device d phone t4                -> done
        12:00:00  device m phone t5                -> done
        12:00:01  offer S1 a EUR 100.00            -> opened A; A closes 13:00:01
        12:00:02  bid A b EUR 105.00               -> placed
        12:00:03  watch A d                        -> done";
    let world = plays(&format!(
        "{devices}
        12:46:00  bid A c EUR 110.00               -> placed; A closes 13:15:01"
    ));
    assert_eq!(told(&world, NoticeKind::CloseExtended), [user("a"), user("b"), user("d")].into());
    // Moves in quick succession are told once.
    let world = plays(&format!(
        "{devices}
        12:58:00  bid A c EUR 110.00               -> placed; A closes 13:15:01
        13:00:02  bid A b EUR 115.00               -> placed; A closes 13:30:01
        13:20:00  bid A c EUR 120.00               -> placed; A closes 13:45:01"
    ));
    assert_eq!(world.notices(NoticeKind::CloseExtended).len(), 6);
    let world = plays(&format!(
        "{devices}
        12:10:00  prolong A 10m                    -> done; A closes 13:10:01"
    ));
    assert_eq!(told(&world, NoticeKind::CloseExtended), [user("a"), user("b"), user("d")].into());
}

#[test]
fn an_end_that_is_near_is_told_once_to_watchers_and_to_the_maker() {
    let start = "policy initial 1h, window 15m, extension 15m
        12:00:00  device d phone t4                -> done
        12:00:00  device b phone t2                -> done
        12:00:00  device m phone t5                -> done
        12:00:01  offer S1 a EUR 100.00            -> opened A; A closes 13:00:01
        12:00:02  bid A b EUR 105.00               -> placed
        12:00:03  watch A d                        -> done";
    let world = plays(&format!("{start}\n12:45:00.999 tick -> "));
    assert!(told(&world, NoticeKind::FinalWindow).is_empty());
    let world = plays(&format!("{start}\n12:45:01.001 tick -> "));
    assert_eq!(told(&world, NoticeKind::FinalWindow), [user("d")].into());
    assert_eq!(told(&world, NoticeKind::FinalWindowMaker), [user("m")].into());
    let world = plays(&format!(
        "{start}
        12:50:00  bid A c EUR 110.00               -> placed; A closes 13:15:01
        13:14:00  tick                             -> "
    ));
    assert_eq!(world.notices(NoticeKind::FinalWindow).len(), 1, "once, though the close moved");
    let world = plays(&format!(
        "{start}
        12:30:00  prolong A 30m                    -> done; A closes 13:30:01
        12:46:00  tick                             -> "
    ));
    assert_eq!(world.notices(NoticeKind::FinalWindow).len(), 0, "the end is not near any more");
    let world = plays(&format!(
        "{start}
        12:30:00  prolong A 30m                    -> done; A closes 13:30:01
        13:15:02  tick                             -> "
    ));
    assert_eq!(world.notices(NoticeKind::FinalWindow).len(), 1);
    assert_eq!(world.notices(NoticeKind::FinalWindowMaker).len(), 1);
    let world = plays(&format!(
        "{start}
        12:30:00  cancel A                         -> done; A closed (Cancelled)
        12:46:00  tick                             -> "
    ));
    assert_eq!(world.notices(NoticeKind::FinalWindow).len(), 0, "nothing ends that has ended");
}

#[test]
fn the_view_counts_who_watches_an_auction() {
    let world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:01:00  watch A b                        -> done
        12:01:01  watch A b                        -> done
        12:01:02  watch A c                        -> done
        12:01:03  watch A d                        -> done
        12:01:04  unwatch A c                      -> done
        12:01:05  unwatch A c                      -> done",
    );
    let row = world.market.view().auction(auction_named("A").expect("A")).expect("known");
    assert_eq!((row.watchers, row.bidder_count), (2, 1));
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn an_offer_keeps_the_version_of_the_story_that_its_buyer_saw() {
    let world = plays(
        "policy initial 1h
        12:00:00  policy-of m review window 2h           -> done
        12:01:00  offer S1 a EUR 120.00                  -> waits until 14:01:00
        12:02:00  save S1 m base 1 title Jug             -> done
        12:03:00  offer S1 b EUR 130.00 opens B          -> waits until 14:03:00
        12:04:00  approve S1                             -> done
        12:05:00  offer S1 c EUR 140.00 opens C          -> waits until 14:05:00
        12:06:00  take-offer S1 a m                      -> opened A; A closes 13:06:00",
    );
    let s1 = story_named("S1").expect("S1");
    assert_eq!(world.market.story(s1).expect("known").published(), Some(2));
    let rows = world.market.offers_on(s1, user("m"));
    let kept: Vec<(UserId, u64)> =
        rows.iter().rev().map(|row| (row.buyer_id, row.story_version)).collect();
    assert_eq!(kept, [(user("a"), 1), (user("b"), 1), (user("c"), 2)]);
    let versions = world.market.story_versions(s1).expect("known").versions;
    assert!(kept.iter().all(|(_, kept)| versions.iter().any(|row| row.version == *kept)));
    let history = world.market.offer_history(rows[0].offer_id, user("c")).expect("own");
    let steps: Vec<OfferStep> = history.steps.iter().map(|step| step.status).collect();
    assert_eq!(
        (history.story_version, steps),
        (2, vec![OfferStep::Pending, OfferStep::Superseded])
    );
    assert!(world.market.offer_history(rows[0].offer_id, user("a")).is_none());
}

#[test]
fn the_audit_of_an_auction_tells_everything_and_no_maximum() {
    let world = plays(
        "policy initial 1h, window 15m, extension 15m, proxies 1
        12:00:00  policy-of m review window 2h           -> done
        12:00:01  offer S1 b EUR 99.00                   -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:02  offer S1 a EUR 100.00                  -> waits until 14:00:02
        12:00:03  take-offer S1 a m                      -> opened A; A closes 13:00:03
        12:01:00  bid A b EUR 105.00 up-to EUR 777.77    -> placed
        12:02:00  bid A c EUR 106.00                     -> BID_TOO_LOW minimum 110.00
        12:50:00  bid A c EUR 110.00                     -> placed; A closes 13:15:03
        12:51:00  bid A d EUR 900.00                     -> placed
        12:52:00  retract A 900.00                       -> done; A falls to 115.00
        12:53:00  prolong A 1m                           -> done; A closes 13:16:03
        13:16:03  tick marks 13:16:03                    -> A locked to b at 115.00 (AutoAtClose)",
    );
    let audit = world.market.auction_audit(auction_named("A").expect("A")).expect("known");
    let kinds: Vec<AuctionAuditKind> = audit.lines.iter().map(|line| line.kind).collect();
    assert_eq!(
        kinds,
        [
            AuctionAuditKind::OfferSubmitted,
            AuctionAuditKind::OfferDecided,
            AuctionAuditKind::OfferSubmitted,
            AuctionAuditKind::BidPlaced,
            AuctionAuditKind::OfferDecided,
            AuctionAuditKind::AuctionOpened,
            AuctionAuditKind::BidPlaced,
            AuctionAuditKind::BidRefused,
            AuctionAuditKind::BidPlaced,
            AuctionAuditKind::BidPlaced,
            AuctionAuditKind::CloseExtended,
            AuctionAuditKind::BidPlaced,
            AuctionAuditKind::BidRetracted,
            AuctionAuditKind::AdminAct,
            AuctionAuditKind::CloseExtended,
            AuctionAuditKind::AdminAct,
            AuctionAuditKind::BiddingEnded,
        ]
    );
    assert!(audit.lines.is_sorted_by_key(|line| line.at));
    let text = format!("{audit:?}");
    assert!(!text.contains("77777") && !text.contains("777.77"), "{text}");
}

#[test]
fn a_flag_lets_auctions_take_maximums_from_their_opening_on() {
    plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        12:00:01  flag op auctions.proxy_bids on 0       -> done; auctions.proxy_bids changed
        12:00:02  bid A b EUR 105.00 up-to EUR 200.00    -> FEATURE_DISABLED
        12:00:03  offer S2 a EUR 100.00 opens B          -> opened B; B closes 13:00:03
        12:00:04  flag op auctions.proxy_bids off 1      -> done; auctions.proxy_bids changed
        12:00:05  bid B b EUR 105.00 up-to EUR 200.00    -> placed",
    );
}

#[test]
fn a_rolling_auction_of_a_wanted_story_begins_with_a_longer_tier() {
    let world = plays(
        "policy rolling 1
        12:00:00  keep S1 a                              -> done
        12:00:01  offer S1 a EUR 100.00                  -> opened A; A closes 4d12:00:01
        12:00:02  offer S2 b EUR 100.00 opens B          -> opened B; B closes 2d12:00:02",
    );
    let close = |name| {
        let row = world.market.auction(auction_named(name).expect("a capital")).expect("known");
        row.closes_at().since(row.opened_at())
    };
    assert_eq!((close("A"), close("B")), (Millis::from_hours(96), Millis::from_hours(48)));
}
