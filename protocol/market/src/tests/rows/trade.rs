//! Offers, auctions, bids and their records, as buyers, makers and staff see them.

use std::sync::Arc;

use fairground_types::event::{CloseReason, LockReason};
use fairground_types::text::Country;
use fairground_types::verdict::BidState;
use fairground_types::{AuctionId, Currency, Money, OfferId, StoryId, limits};

use super::{goes_on, lock_of, plays, user};
use crate::script::{World, auction_named, story_named};
use crate::view::AuctionStatus;
use crate::{OfferStep, OwnAuctionRow};

fn auction(name: &str) -> AuctionId {
    auction_named(name).expect("a capital")
}

fn story(name: &str) -> StoryId {
    story_named(name).expect("a story")
}

const fn euros(minor: u64) -> Money {
    Money::new(minor, Currency::Eur)
}

/// Five offers on S1: one too low, four that wait for `m`.
const OFFERS: &str = "policy initial 1h
    11:30:00  duty f admin                              -> done
    12:00:00  policy-of m review window 1h              -> done
    12:00:01  offer S1 a EUR 99.00                      -> OFFER_MIN_VIOLATION minimum 100.00
    12:00:02  offer S1 a EUR 120.00 note hello to DE    -> waits until 13:00:02
    12:00:03  offer S1 b EUR 130.00 opens B             -> waits until 13:00:03
    12:00:04  offer S1 c EUR 140.00 opens C             -> waits until 13:00:04
    12:00:05  offer S1 d EUR 150.00 opens D             -> waits until 13:00:05
    12:00:06  save S3 m                                 -> done";
/// Each of the four goes another way, and the opening bid is passed.
const DECIDED: &str = "12:01:00  decline-offer S1 a m  -> done
    12:02:00  take-back S1 b                            -> done
    12:03:00  take-offer S1 c m                         -> opened C; C closes 13:03:00
    12:04:00  bid C e EUR 145.00                        -> placed";

#[test]
fn an_offer_is_its_buyers_and_its_makers_newest_first_with_how_it_came_out() {
    let mut world = plays(OFFERS);
    let waiting = world.market.maker_dashboard(user("m")).offers_to_review;
    assert!(waiting.iter().all(|row| row.status == OfferStep::Pending && row.opens_at.is_some()));
    assert!(waiting.is_sorted_by_key(|row| row.opens_at), "what opens first is on top");
    assert_eq!(waiting.len(), 4);
    assert!(world.market.maker_dashboard(user("n")).offers_to_review.is_empty());
    goes_on(&mut world, DECIDED);
    let market = &world.market;
    let rows = market.story_offers(story("S1"), user("m")).expect("theirs").offers;
    let steps: Vec<OfferStep> = rows.iter().map(|row| row.status).collect();
    assert_eq!(
        steps,
        [
            OfferStep::Superseded,
            OfferStep::Superseded,
            OfferStep::Withdrawn,
            OfferStep::Rejected,
            OfferStep::AutoRejected,
        ]
    );
    let (passed, opening, low) = (&rows[0], &rows[1], &rows[4]);
    assert_eq!((passed.is_opening, passed.auction_id), (false, Some(auction("C"))));
    assert_eq!((opening.is_opening, opening.auction_id), (true, Some(auction("C"))));
    assert_eq!((rows[2].reason.is_some(), rows[3].reason.is_some()), (false, true));
    assert_eq!(rows[3].note.as_ref().map(|note| note.as_str()), Some("hello"));
    assert_eq!(rows[3].ship_to_country, Country::parse("DE").ok());
    assert_eq!((low.minimum, low.decided_at), (Some(euros(10_000)), Some(low.submitted_at)));
    assert!(rows.iter().all(|row| row.decided_at.is_some() && row.opens_at.is_none()));
    // A buyer sees their own, everywhere; who made none sees none.
    let own = market.story_offers(story("S1"), user("a")).expect("public").offers;
    assert_eq!(own, rows[3..]);
    assert_eq!(market.offers_of(user("a")), rows[3..]);
    assert!(market.story_offers(story("S1"), user("e")).expect("public").offers.is_empty());
    assert_eq!(market.story_offers(story("S3"), user("a")), None, "a draft is its maker's");
    assert!(market.story_offers(story("S3"), user("m")).expect("theirs").offers.is_empty());
    assert_eq!(market.story_offers(story("S9"), user("m")), None);
    for row in &rows {
        assert_eq!(market.offer_row(row.offer_id, user("m")).as_ref(), Some(row));
        assert_eq!(market.offer_row(row.offer_id, row.buyer_id).as_ref(), Some(row));
        assert_eq!(market.offer_row(row.offer_id, user("e")), None);
        assert!(market.offer(row.offer_id).expect("here").state.is_final());
    }
    assert_eq!(market.offer_row(OfferId::from_bits(0), user("m")), None);
}

#[test]
fn the_history_of_an_offer_is_told_to_its_sides_and_to_staff() {
    let mut world = plays(OFFERS);
    goes_on(&mut world, DECIDED);
    let rows = world.market.offers_on(story("S1"), user("m"));
    let steps = |place: usize, reader: &str| {
        let history = world.market.offer_history(rows[place].offer_id, user(reader))?;
        assert!(history.steps.is_sorted_by_key(|step| step.at));
        Some(history.steps.into_iter().map(|step| step.status).collect::<Vec<_>>())
    };
    let pending = OfferStep::Pending;
    assert_eq!(steps(0, "d"), Some(vec![pending, OfferStep::Superseded]));
    let opening = Some(vec![pending, OfferStep::Accepted, OfferStep::Superseded]);
    assert_eq!(
        (steps(1, "c"), steps(1, "m"), steps(1, "f")),
        (opening.clone(), opening.clone(), opening)
    );
    assert_eq!(steps(2, "b"), Some(vec![pending, OfferStep::Withdrawn]));
    assert_eq!(steps(3, "a"), Some(vec![pending, OfferStep::Rejected]));
    assert_eq!(steps(4, "a"), Some(vec![pending, OfferStep::AutoRejected]));
    assert_eq!((steps(4, "b"), steps(1, "e")), (None, None), "nobody else's");
    let unread = world.market.offer_history(OfferId::from_bits(0), user("m"));
    assert_eq!(unread, None);
}

#[test]
fn of_too_many_old_offers_the_oldest_that_was_too_low_is_forgotten() {
    let mut world = plays(
        "policy initial 1h
        12:00:01  offer S1 a EUR 99.00                  -> OFFER_MIN_VIOLATION minimum 100.00
        12:00:02  offer S1 a EUR 98.00                  -> OFFER_MIN_VIOLATION minimum 100.00",
    );
    let known = world.market.offers_on(story("S1"), user("m"));
    let first = world.market.offer(known[1].offer_id).expect("the older").clone();
    for number in 0..limits::OFFERS_KEPT_MAX {
        let mut copy = first.clone();
        copy.offer = OfferId::from_bits(10_000 + number as u128);
        world.market.offering.of_story.entry(copy.story).or_default().push(copy.offer);
        world.market.offering.offers.insert(copy.offer, Arc::new(copy));
    }
    let before = world.market.offers_on(story("S1"), user("m")).len();
    goes_on(&mut world, "12:00:03 offer S1 b EUR 97.00 -> OFFER_MIN_VIOLATION minimum 100.00");
    let after = world.market.offers_on(story("S1"), user("m"));
    assert_eq!(after.len(), before, "one came, one went");
    assert_eq!(world.market.offer_row(first.offer, user("a")), None);
    assert!(world.market.offer_row(known[0].offer_id, user("a")).is_some());
}

fn own(world: &World, reader: &str) -> OwnAuctionRow {
    let rows = world.market.auctions_bid_in(user(reader));
    rows.into_iter().find(|row| row.auction_id == auction("A")).expect("they bid in A")
}

fn made(world: &World, maker: &str) -> OwnAuctionRow {
    let rows = world.market.auctions_made_by(user(maker));
    rows.into_iter().find(|row| row.auction_id == auction("A")).expect("they made A")
}

#[test]
fn an_auction_shows_each_side_what_is_theirs_in_every_state() {
    let mut world = plays(
        "policy initial 1h, window 0s, payment 1h, decision 1h, proxies 1
        12:00:00  offer S1 a EUR 100.00                 -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00 up-to EUR 200.00   -> placed",
    );
    let (a, b, m) = (own(&world, "a"), own(&world, "b"), made(&world, "m"));
    assert_eq!((a.leads, b.leads, m.leads), (false, true, false));
    assert_eq!((a.own_highest, b.own_highest), (Some(euros(10_000)), Some(euros(10_500))));
    assert_eq!((m.own_highest, m.status), (None, AuctionStatus::Open));
    assert_eq!((a.own_maximum, b.own_maximum, m.own_maximum), (None, Some(euros(20_000)), None));
    assert_eq!((a.highest, a.min_next_bid), (b.highest, b.min_next_bid));
    assert!(world.market.auctions_bid_in(user("c")).is_empty());
    let board = |world: &World| {
        let board = world.market.maker_dashboard(user("m"));
        (board.active_auctions.len(), board.awaiting_payment.len(), board.to_decide.len())
    };
    assert_eq!(board(&world), (1, 0, 0));

    goes_on(&mut world, "13:00:00 tick marks 13:00:00 -> A locked to b at 105.00 (AutoAtClose)");
    let (a, b, m) = (own(&world, "a"), own(&world, "b"), made(&world, "m"));
    let lock = Some(lock_of(&world, "A"));
    assert_eq!((a.sale_lock_id, b.sale_lock_id, m.sale_lock_id), (None, lock, lock));
    assert_eq!((b.status, b.decide_by), (AuctionStatus::Locked, None));
    assert_eq!(board(&world), (0, 1, 0));

    goes_on(&mut world, "14:00:00 tick -> A awaits until 15:00:00");
    let (a, m) = (own(&world, "a"), made(&world, "m"));
    assert_eq!(
        (a.status, m.status),
        (AuctionStatus::AwaitingDecision, AuctionStatus::AwaitingDecision)
    );
    let opening = world.market.auction(auction("A")).expect("A").bids().next().expect("a bid");
    assert_eq!((a.next_best_bid_id, m.next_best_bid_id), (None, Some(opening.bid_id)));
    assert!(a.decide_by.is_some() && a.decide_by == m.decide_by);
    assert_eq!(board(&world), (0, 0, 1));

    goes_on(
        &mut world,
        "14:00:01  relist A m                           -> done; A closed (Unsold)
        14:00:02  offer S1 c EUR 100.00 opens B         -> opened B; B closes 15:00:02",
    );
    assert_eq!((own(&world, "a").status, board(&world)), (AuctionStatus::Closed, (1, 0, 0)));
    let newest = world.market.auctions_made_by(user("m"));
    let newest: Vec<AuctionId> = newest.into_iter().map(|row| row.auction_id).collect();
    assert_eq!(newest, [auction("B"), auction("A")], "newest first");
}

#[test]
fn what_a_maker_has_to_ship_is_listed_and_counted_when_it_is_late() {
    let mut world = plays(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00                 -> opened A; A closes 13:00:00
        13:00:00  tick marks 13:00:00                   -> A locked to a at 100.00 (AutoAtClose)
        13:01:00  paid A EUR 100.00 ev_1                -> done; A closed (Sold); S1 sold",
    );
    let counts = |world: &World, maker: &str| {
        let board = world.market.maker_dashboard(user(maker));
        (board.orders_to_ship.len(), board.overdue)
    };
    assert_eq!((counts(&world, "m"), counts(&world, "n")), ((1, 0), (0, 0)));
    goes_on(&mut world, "3d13:01:00.001 tick ->");
    assert_eq!(counts(&world, "m"), (1, 1));
    goes_on(&mut world, "3d13:02:00 ship A m TRACK-0001 -> done");
    assert_eq!(counts(&world, "m"), (0, 0), "it is on its way");
}

#[test]
fn whether_an_offer_would_be_taken_is_told_before_it_is_made() {
    let mut world = plays("policy initial 1h\n12:00:00  save S3 m -> done");
    let asks = |world: &World, buyer: &str, name: &str, amount: Option<Money>| {
        world.market.eligibility(user(buyer), story(name), (amount, None))
    };
    let rules = |world: &World, buyer: &str, name: &str, amount: Option<Money>| {
        asks(world, buyer, name, amount).expect("public").rules
    };
    let fresh = asks(&world, "b", "S1", None).expect("public");
    assert!(fresh.ok && fresh.rules.is_empty() && fresh.auction_id.is_none());
    assert_eq!((fresh.minimum, fresh.offers_left), (euros(10_000), limits::OFFERS_PER_BUYER_MAX));
    assert_eq!(rules(&world, "b", "S1", Some(euros(9_999))), ["OFFER_MIN_VIOLATION"]);
    let dollars = Some(Money::new(10_000, Currency::Usd));
    assert_eq!(rules(&world, "b", "S1", dollars), ["CURRENCY_MISMATCH"]);
    assert_eq!(rules(&world, "m", "S1", None), ["SELF_BID"]);
    assert_eq!(asks(&world, "b", "S3", None), None, "nobody knows of a draft");
    assert_eq!(asks(&world, "b", "S9", None), None);
    goes_on(&mut world, "12:01:00 offer S1 a EUR 100.00 -> opened A; A closes 13:01:00");
    let live = asks(&world, "b", "S1", None).expect("public");
    assert_eq!((live.minimum, live.auction_id), (euros(10_500), Some(auction("A"))));
    assert_eq!(rules(&world, "b", "S1", Some(euros(10_499))), ["BID_TOO_LOW"]);
    let used = asks(&world, "a", "S1", None).expect("public");
    assert_eq!(used.offers_left, limits::OFFERS_PER_BUYER_MAX - 1);
    goes_on(
        &mut world,
        "12:02:00  accept A m EUR 100.00                -> done; A locked to a at 100.00 (MakerAccepted)
        12:03:00  paid A EUR 100.00 ev_1                -> done; A closed (Sold); S1 sold",
    );
    let sold = asks(&world, "b", "S1", None).expect("public");
    assert!(!sold.ok && sold.rules.contains(&"STORY_NOT_ELIGIBLE".to_owned()), "{:?}", sold.rules);
}

#[test]
fn a_bid_that_was_taken_back_says_so_to_its_bidder_alone() {
    let world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00                 -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00                    -> placed
        12:02:00  bid A b EUR 110.00                    -> placed
        12:03:00  retract A 110.00                      -> done; A falls to 105.00",
    );
    let rows = world.market.my_bids(user("b"), auction("A"));
    let states: Vec<(BidState, Option<Money>)> =
        rows.iter().map(|row| (row.state, row.amount)).collect();
    assert_eq!(
        states,
        [(BidState::Accepted, Some(euros(10_500))), (BidState::Retracted, Some(euros(11_000)))]
    );
    let gone = world.market.bid(user("b"), rows[1].bid_id).expect("theirs");
    assert_eq!((gone.state, gone.amount, gone.leads), (BidState::Retracted, rows[1].amount, false));
    assert_eq!(gone.detail.as_deref(), Some("by the operator"));
    assert!(world.market.bid(user("b"), rows[0].bid_id).expect("theirs").leads, "it leads again");
    assert_eq!(world.market.bid(user("a"), rows[1].bid_id), None);
    assert!(world.market.my_bids(user("a"), auction("B")).is_empty());
}

/// Kinds and details of the audit of A.
fn audit(world: &World) -> Vec<(&'static str, String)> {
    let audit = world.market.auction_audit(auction("A")).expect("known");
    audit
        .lines
        .into_iter()
        .map(|line| (line.kind.as_str(), line.detail.unwrap_or_default()))
        .collect()
}

fn details(world: &World, kind: &str) -> Vec<String> {
    audit(world).into_iter().filter(|(known, _)| *known == kind).map(|(_, detail)| detail).collect()
}

#[test]
fn the_audit_names_who_moved_a_close_and_why_an_auction_ended() {
    let opened = "policy initial 1h, window 15m, extension 15m, cap 70m, payment 1h, decision 1h
        12:00:00  offer S1 a EUR 100.00                 -> opened A; A closes 13:00:00";
    let sold = plays(&format!(
        "{opened}
        12:02:00  accept A m EUR 100.00                 -> done; A locked to a at 100.00 (MakerAccepted)
        12:03:00  paid A EUR 100.00 ev_1                -> done; A closed (Sold); S1 sold"
    ));
    let lines = audit(&sold);
    let lines: Vec<(&str, &str)> =
        lines.iter().map(|(kind, detail)| (*kind, detail.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("offerSubmitted", "story version 1"),
            ("bidPlaced", ""),
            ("offerDecided", "accepted"),
            ("auctionOpened", ""),
            ("biddingEnded", "makerAccepted"),
            ("auctionClosed", "sold"),
        ]
    );
    let capped = plays(&format!(
        "{opened}
        12:59:00  bid A b EUR 105.00                    -> placed; A closes 13:10:00 for good
        13:10:00  tick marks 13:10:00                   -> A locked to b at 105.00 (AutoAtCap)
        14:10:00  tick                                  -> A awaits until 15:10:00
        14:10:01  second-chance A m                     -> done; A locked to a at 100.00 (SecondChance)
        15:10:01  tick                                  -> A awaits until 16:10:01
        16:10:01  tick                                  -> A closed (Unsold)"
    ));
    assert_eq!(details(&capped, "biddingEnded"), ["autoAtCap"]);
    assert_eq!(details(&capped, "auctionClosed"), ["unsold"]);
    assert!(details(&capped, "closeExtended")[0].ends_with("by a late bid"));
    let outage = plays(&format!("{opened}\n12:58:00  tick outage -> A closes 13:13:00"));
    assert!(details(&outage, "closeExtended")[0].ends_with("by an outage"));
    let admin = plays(&format!(
        "{opened}
        12:10:00  prolong A 5m                          -> done; A closes 13:05:00
        12:11:00  fix A                                 -> done; A closes 13:05:00 for good
        12:12:00  retract A 100.00                      -> done; A falls to nothing
        13:05:00  tick marks 13:05:00                   -> A closed (NoBids)"
    ));
    assert!(details(&admin, "closeExtended")[0].ends_with("by an admin"));
    assert_eq!(details(&admin, "auctionClosed"), ["noBids"]);
    let audit = admin.market.auction_audit(auction("A")).expect("known");
    let acts: Vec<String> = audit
        .lines
        .into_iter()
        .filter(|line| line.kind == crate::AuctionAuditKind::AdminAct)
        .filter_map(|line| line.subject)
        .collect();
    assert_eq!(acts, ["extendClose", "lockEnd", "retractBid"]);
    assert_eq!(details(&admin, "bidRetracted"), ["by the operator"]);
    let cancelled = plays(&format!("{opened}\n12:10:00 cancel A -> done; A closed (Cancelled)"));
    assert_eq!(details(&cancelled, "auctionClosed"), ["cancelled"]);
    assert!(cancelled.market.auction_audit(auction("B")).is_none());
}

#[test]
fn the_audit_tells_of_each_offer_that_led_to_an_auction() {
    let mut world = plays(OFFERS);
    goes_on(&mut world, DECIDED);
    let lines = world.market.auction_audit(auction("C")).expect("known").lines;
    let decided: Vec<&str> = lines
        .iter()
        .filter(|line| line.kind == crate::AuctionAuditKind::OfferDecided)
        .filter_map(|line| line.detail.as_deref())
        .collect();
    assert_eq!(decided, ["autoRejected", "rejected", "withdrawn", "accepted", "superseded"]);
    let by_buyer = lines.iter().find(|line| line.detail.as_deref() == Some("withdrawn"));
    assert_eq!(by_buyer.expect("told").actor_id, Some(user("b")));
    let submitted = crate::AuctionAuditKind::OfferSubmitted;
    assert_eq!(lines.iter().filter(|line| line.kind == submitted).count(), 5);
}

#[test]
fn a_record_explains_an_auction_in_every_state() {
    let mut world = plays(
        "policy initial 1h, window 0s, payment 1h, decision 1h
        12:00:00  offer S1 a EUR 100.00                 -> opened A; A closes 13:00:00",
    );
    let record = |world: &World| world.market.auction_record(auction("A")).expect("known");
    let open = record(&world);
    assert_eq!((open.status, open.ended_at, open.sale_lock_id), (AuctionStatus::Open, None, None));
    goes_on(&mut world, "13:00:00 tick marks 13:00:00 -> A locked to a at 100.00 (AutoAtClose)");
    let locked = record(&world);
    assert_eq!(locked.status, AuctionStatus::Locked);
    assert_eq!(locked.lock_reason, Some(LockReason::AutoAtClose));
    assert_eq!(locked.sale_lock_id, Some(lock_of(&world, "A")));
    goes_on(&mut world, "14:00:00 tick -> A awaits until 15:00:00");
    assert_eq!(record(&world).status, AuctionStatus::AwaitingDecision);
    goes_on(&mut world, "15:00:00 tick -> A closed (Unsold)");
    let closed = record(&world);
    assert_eq!(
        (closed.status, closed.close_reason),
        (AuctionStatus::Closed, Some(CloseReason::Unsold))
    );
    assert_eq!(world.market.auction_record(auction("B")), None);
    let row = world.market.auction(auction("A")).expect("known");
    assert_eq!(
        (row.maker(), row.story, row.closes_by >= row.closes_at()),
        (user("m"), story("S1"), true)
    );
}
