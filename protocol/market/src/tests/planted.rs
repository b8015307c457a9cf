//! The check of invariants sees what is wrong: each is broken once by hand, in a market that is sound.

use std::sync::Arc;

use fairground_types::command::{CarrierEvent, CarrierStatus};
use fairground_types::people::{Identity, IdentityProvider};
use fairground_types::{
    AuctionId, CommandId, Currency, Digest, EffectId, InvitationId, IssueId, LogIndex, Millis,
    Money, OfferId, OrderId, SaleLockId, SignInId, StoryId, Timestamp, UserId,
};

use crate::auction::Extension;
use crate::script::{World, auction_named, edge_named, person};
use crate::view::StoryStatus;
use crate::{
    AccountStanding, Auction, Charge, Issue, LedgerAccount, LedgerCause, LockState, Market,
    OfferState, Order, OrderState, Payout, SaleLock, Story, StoryState,
};

/// A sold piece with an open issue, an auction with a private maximum, a draft and a story in review.
const SOUND: &str = "policy initial 1h, window 15m, extension 15m, proxies 1
    12:00:00  offer S1 a EUR 100.00              -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00              -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  paid A EUR 100.00 ev_1             -> done; A closed (Sold); S1 sold
    12:10:00  ship A m TRACK-0001                -> done
    12:11:00  confirm A a                        -> done
    12:12:00  issue A a #1 damaged               -> done
    12:20:00  offer S2 b EUR 100.00 opens B      -> opened B; B closes 13:20:00
    12:21:00  bid B c EUR 105.00 up-to EUR 200.00 -> placed
    12:22:00  watch B d                          -> done
    12:23:00  save S3 m                          -> done
    12:24:00  save S4 m                          -> done
    12:25:00  submit S4 m                        -> done";

fn sound() -> Market {
    let world = World::play(SOUND).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(world.market.violations(), Vec::<String>::new());
    world.market
}

fn user(letter: &str) -> UserId {
    person(letter).expect("a letter")
}

const ORDER: OrderId = OrderId::from_bits(65);

fn auction(market: &mut Market, name: &str, change: impl FnOnce(&mut Auction)) {
    let id = auction_named(name).expect("a capital");
    change(Arc::make_mut(market.auctions.get_mut(&id).expect("there")));
}

fn order(market: &mut Market, change: impl FnOnce(&mut Order)) {
    change(Arc::make_mut(market.orders.get_mut(&ORDER).expect("there")));
}

fn charge(market: &mut Market, change: impl FnOnce(&mut Charge)) {
    change(Arc::make_mut(market.treasury.charges.get_mut(&ORDER).expect("there")));
}

fn issue(market: &mut Market, change: impl FnOnce(&mut Issue)) {
    change(Arc::make_mut(market.issues.get_mut(&IssueId::from_bits(1)).expect("there")));
}

fn story(market: &mut Market, number: u128, change: impl FnOnce(&mut Story)) {
    change(Arc::make_mut(market.stories.get_mut(&StoryId::from_bits(number)).expect("there")));
}

fn lock(market: &Market) -> SaleLock {
    SaleLock::clone(market.locks.values().next().expect("there"))
}

/// How something is broken, and what must be said of it.
type Plant = (fn(&mut Market), &'static str);

fn each_is_seen(plants: &[Plant]) {
    let sound = sound();
    for (place, (break_it, said)) in plants.iter().enumerate() {
        let mut market = sound.clone();
        break_it(&mut market);
        let broken = market.violations();
        assert!(
            broken.iter().any(|line| line.contains(said)),
            "plant {place}: nothing says that {said:?}: {broken:?}"
        );
    }
}

const PEOPLE: &[Plant] = &[
    (
        |market| {
            let identity =
                Identity { provider: IdentityProvider::Apple, subject: Digest::of(b"s") };
            market.change_person(user("a"), |person| {
                person.identities.extend([identity]);
            });
        },
        "is not in the index",
    ),
    (
        |market| {
            let identity =
                Identity { provider: IdentityProvider::Apple, subject: Digest::of(b"s") };
            market.accounts.identities.insert(identity, user("a"));
        },
        "the index of identities has others",
    ),
    (
        |market| {
            let at = market.last_at();
            market.accounts.change(user("a"), |account| {
                account.sign_ins.insert(SignInId::from_bits(1));
                account.person.standing = AccountStanding::Suspended { at };
            });
        },
        "is suspended and signed in",
    ),
    (
        |market| {
            market.change_person(user("a"), |person| {
                person.blocks.insert(user("a"));
            });
        },
        "blocks wrongly",
    ),
    (
        |market| {
            let at = market.last_at();
            market.accounts.change(user("a"), |account| {
                account.person.standing = AccountStanding::Erased { at };
                account.contact.wrapped_key = vec![1];
            });
        },
        "is erased and its key is there",
    ),
    (
        |market| {
            let id = InvitationId::from_bits(1);
            market.accounts.invitation_codes.insert(Digest::of(b"code"), id);
        },
        "invitations and their codes disagree",
    ),
    (
        |market| {
            let key = (user("d"), auction_named("B").expect("B"));
            market.social.watches.remove(&key);
        },
        "watchers are not found by their auction",
    ),
    (
        |market| {
            market.social.likes.insert((user("e"), StoryId::from_bits(1)), ());
        },
        "an account has rows that are not counted",
    ),
    (
        |market| {
            market.social.likes.insert((user("d"), StoryId::from_bits(1)), ());
        },
        "are counted wrong",
    ),
];

#[test]
fn what_is_wrong_with_people_is_seen() {
    each_is_seen(PEOPLE);
}

const MONEY: &[Plant] = &[
    (
        |market| {
            let posting = market.ledger.postings.values_mut().next().expect("a posting");
            Arc::make_mut(posting).lines[0].amount = Money::new(1, Currency::Eur);
        },
        "is not balanced",
    ),
    (
        |market| {
            let posting = market.ledger.postings.values_mut().next().expect("a posting");
            Arc::make_mut(posting).lines[0].amount = Money::new(1, Currency::Eur);
        },
        "balances are not the sum of postings",
    ),
    (
        |market| {
            let posting = market.ledger.postings.values_mut().next().expect("a posting");
            Arc::make_mut(posting).lines.remove(0);
        },
        "the ledger's EUR sum is",
    ),
    (
        |market| {
            let key = (LedgerAccount::MakerDebt(user("m")), Currency::Eur);
            market.ledger.balances.insert(key, -5);
        },
        "a debt is not owed",
    ),
    (|market| charge(market, |row| row.lost = row.amount.plus(row.amount)), "paid went back"),
    (|market| charge(market, |row| row.refunded = row.fee), "are not their sum"),
    (|market| charge(market, |row| row.refunded = row.fee), "the sales say"),
    (|market| charge(market, |row| row.fee_returned = row.amount), "the fee of order"),
    (
        |market| {
            charge(market, |row| {
                let effect = EffectId::from_bits(9);
                row.payout = Payout::Sending { amount: row.amount, effect };
            });
        },
        "is sent by nobody",
    ),
    (
        |market| {
            for count in market.treasury.receipts.values_mut() {
                *count += 1;
            }
        },
        "a gap or a twin",
    ),
    (|market| charge(market, |row| row.lock = SaleLockId::from_bits(9)), "has no charge"),
    (
        |market| {
            let paid = LedgerCause::Paid(lock(market).lock);
            market.ledger.postings.remove(&paid);
        },
        "was not posted",
    ),
];

#[test]
fn what_is_wrong_with_money_is_seen() {
    each_is_seen(MONEY);
}

const AUCTIONS: &[Plant] = &[
    (
        |market| {
            for number in [901, 902] {
                let mut copy = lock(market);
                (copy.lock, copy.state) = (SaleLockId::from_bits(number), LockState::Active);
                market.locks.insert(copy.lock, Arc::new(copy));
            }
        },
        "has two active locks",
    ),
    (
        |market| order(market, |row| row.lock = SaleLockId::from_bits(9)),
        "is paid without its order",
    ),
    (
        |market| {
            let mut copy = market.order(ORDER).expect("there").clone();
            copy.order = OrderId::from_bits(9);
            market.orders.insert(copy.order, Arc::new(copy));
        },
        "has two orders",
    ),
    (
        |market| {
            let mut copy = lock(market);
            copy.state = LockState::Active;
            market.locks.insert(copy.lock, Arc::new(copy));
        },
        "and its lock disagree",
    ),
    (
        |market| {
            let id = auction_named("B").expect("B");
            let mut copy = market.auction(id).expect("there").clone();
            copy.auction = AuctionId::from_bits(9);
            market.auctions.insert(copy.auction, Arc::new(copy));
        },
        "has two auctions",
    ),
    (
        |market| {
            market.open.insert((Timestamp::EPOCH, AuctionId::from_bits(9)));
        },
        "the index of open auctions is wrong",
    ),
    (
        |market| {
            story(market, 2, |row| {
                row.state = StoryState::Live { auction: AuctionId::from_bits(9) };
            });
        },
        "is live without its auction",
    ),
    (|market| auction(market, "B", |row| row.closes_by = Timestamp::EPOCH), "its latest close"),
    (
        |market| {
            auction(market, "B", |row| {
                let leading = row.leading.as_mut().expect("a bid");
                leading.amount = Money::new(10_100, Currency::Eur);
            });
        },
        "has a bid below the increment",
    ),
    (
        |market| {
            auction(market, "B", |row| {
                let leading = row.leading.as_mut().expect("a bid");
                leading.amount = Money::new(10_000, Currency::Eur);
            });
        },
        "has bids that do not rise",
    ),
    (
        |market| {
            auction(market, "B", |row| {
                row.proxy.as_mut().expect("a maximum").bidder = user("b");
            });
        },
        "bids on for somebody who does not lead",
    ),
    (
        |market| {
            auction(market, "B", |row| {
                let moved = Extension {
                    index: LogIndex(1),
                    at: row.opened_at,
                    closes_at: row.closes_at,
                    by: fairground_types::event::CloseMove::Admin,
                    cause: None,
                };
                row.extensions = vec![moved, moved];
            });
        },
        "moved its close back",
    ),
    (
        |market| {
            let bid = auction_named("B").expect("B");
            let bid = market.auction(bid).expect("there").leading().expect("a bid").command;
            market.dedup.verdicts.remove(&bid);
        },
        "has no accepted verdict",
    ),
    (
        |market| {
            let nobody = CommandId::from_bytes([0; 32]);
            market.dedup.short.insert((Timestamp::EPOCH, nobody));
        },
        "dedup and its ages disagree",
    ),
];

#[test]
fn what_is_wrong_with_auctions_and_locks_is_seen() {
    each_is_seen(AUCTIONS);
}

#[test]
fn a_bid_that_is_held_and_judged_or_held_after_the_end_is_seen() {
    let world = World::play(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        13:00:01  bid A b EUR 110.00         -> held",
    );
    let sound = world.unwrap_or_else(|why| panic!("{why}")).market;
    let mut ended = sound.clone();
    let reason = fairground_types::event::CloseReason::Cancelled;
    let closed_at = ended.last_at();
    auction(&mut ended, "A", |row| {
        row.state = crate::AuctionState::Closed { ended: None, reason, lock: None, closed_at };
    });
    assert!(ended.violations().iter().any(|line| line.contains("ended and holds bids")));
    let mut judged = sound;
    let id = auction_named("A").expect("A");
    let row = judged.auction(id).expect("there");
    let held = row.held.values().next().expect("held").intake.command();
    let known = row.bids().next().expect("the opening").command;
    let verdict = Arc::clone(judged.dedup.verdicts.get(&known).expect("remembered"));
    judged.dedup.verdicts.insert(held, verdict);
    assert!(judged.violations().iter().any(|line| line.contains("is held and judged")));
}

const OFFERS: &[Plant] = &[
    (
        |market| {
            let listed = market.offering.of_story.entry(StoryId::from_bits(1)).or_default();
            listed.push(OfferId::from_bits(9));
        },
        "under a story that is not its own",
    ),
    (
        |market| {
            market.offering.of_story.remove(&StoryId::from_bits(1));
        },
        "the index of offers is wrong",
    ),
    (
        |market| {
            let opens_at = market.last_at();
            let ids = market.offering.of_story[&StoryId::from_bits(2)].clone();
            let offer = market.offering.offers.get_mut(&ids[0]).expect("there");
            Arc::make_mut(offer).state = OfferState::Pending { opens_at };
        },
        "is live and 1 offers wait",
    ),
    (
        |market| {
            let at = market.last_at();
            market.offering.recent.push_back((at, user("a")));
        },
        "are counted wrong",
    ),
    (|market| story(market, 4, |row| row.review = None), "and its review disagree"),
    (|market| story(market, 2, |row| row.published = None), "is shown without a decision"),
    (|market| story(market, 2, |row| row.published = Some(99)), "a version that was not kept"),
    (
        |market| {
            let other = market.story(StoryId::from_bits(1)).expect("there").contents.clone();
            story(market, 2, |row| row.contents = other);
        },
        "shows other contents than its version",
    ),
    (
        |market| {
            let edge = edge_named("e1").expect("an edge");
            let state = market.edges.get_mut(&edge).expect("there");
            let mark = fairground_types::journal::Mark {
                watermark: Timestamp::EPOCH,
                tail: state.applied,
            };
            state.pending.push(mark);
        },
        "a mark waiting for an applied tail",
    ),
    (
        |market| {
            let edge = edge_named("e1").expect("an edge");
            let state = market.edges.get_mut(&edge).expect("there");
            let mark = fairground_types::journal::Mark {
                watermark: Timestamp::EPOCH,
                tail: fairground_types::journal::Tail { seq: 99, ..state.applied },
            };
            state.pending = vec![mark; 9];
        },
        "has too many marks waiting",
    ),
    (|market| market.view.index = LogIndex(0), "the view is not at the market's index"),
    (
        |market| {
            let id = auction_named("B").expect("B");
            market.view.auctions.remove(&id);
        },
        "the view has other auctions than the market",
    ),
    (
        |market| {
            let id = auction_named("B").expect("B");
            let seen = market.view.auctions.get_mut(&id).expect("there");
            Arc::make_mut(seen).bid_count = 9;
        },
        "the view shows auction",
    ),
    (
        |market| {
            let seen = market.view.stories.get_mut(&StoryId::from_bits(2)).expect("there");
            Arc::make_mut(seen).status = StoryStatus::Sold;
        },
        "the view shows story",
    ),
];

#[test]
fn what_is_wrong_with_offers_stories_and_edges_is_seen() {
    each_is_seen(OFFERS);
}

fn completes_at(market: &mut Market, at: Option<Timestamp>) {
    order(market, |row| {
        let OrderState::Delivered { completes_at, .. } = &mut row.state else {
            panic!("delivered")
        };
        *completes_at = at;
    });
}

const ORDERS: &[Plant] = &[
    (|market| market.parcels.clear(), "the index of parcels is wrong"),
    (
        |market| {
            let at = market.last_at();
            order(market, |row| {
                let OrderState::Delivered { shipment, .. } = &mut row.state else {
                    panic!("delivered")
                };
                let event = |id: &str, at| CarrierEvent {
                    id: id.to_owned(),
                    at,
                    status: CarrierStatus::InTransit,
                };
                shipment.events =
                    vec![event("e2", at), event("e1", at.minus(Millis::from_hours(1)))];
            });
        },
        "the timeline of order",
    ),
    (|market| order(market, |row| row.issue = None), "and its order disagree"),
    (|market| market.deadlines = crate::deadline::Deadlines::default(), "a deadline of issue"),
    (
        |market| {
            let late = market.last_at();
            issue(market, |row| {
                row.state = crate::IssueState::Resolved {
                    resolution: crate::Resolution::NoAction,
                    refund: Money::new(0, Currency::Eur),
                    resolved_at: late,
                    appeal_until: Timestamp::EPOCH,
                };
            });
        },
        "is over before it begins",
    ),
    (
        |market| {
            let at = market.last_at();
            completes_at(market, Some(at));
        },
        "is held and completes by itself",
    ),
    (
        |market| {
            let at = market.last_at();
            completes_at(market, Some(at));
        },
        "the deadline of order",
    ),
    (
        |market| {
            let at = market.last_at();
            order(market, |row| {
                row.state = OrderState::Cancelled {
                    cancelled_at: at,
                    cause: crate::CancelCause::Admin,
                    shipment: None,
                    reason: None,
                };
            });
        },
        "is settled with an open issue",
    ),
];

#[test]
fn what_is_wrong_with_orders_and_issues_is_seen() {
    each_is_seen(ORDERS);
}
