//! Four actors around one auction, in every order in which their steps can fall.
//!
//! Each actor does its own steps in its own order: bidder, maker, clock, payment. Every interleaving
//! is played; after each step the invariants hold, and at the end there is at most one sale.

use fairground_types::command::{
    Actor, AuctionCommand, Carrier, Command, Entry, Envelope, LogCommand, OrderCommand,
    PaymentCommand, ProviderEvent, ProviderEventKind, StartCheckout,
};
use fairground_types::journal::{Batch, Intake, JournalEntry, Mark, PlaceBid, Stamp, Tail};
use fairground_types::text::TrackingNumber;
use fairground_types::{
    AuctionId, CommandId, Currency, Digest, EdgeId, LogIndex, Millis, Money, OrderId, Timestamp,
};

use crate::script::{World, edge_named, person};
use crate::{AuctionState, LockState, Market};

/// What an actor does next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// A bid of this many cents.
    Bid(&'static str, u64),
    Accept,
    Ship,
    /// Time passes, so long, and every edge is heard.
    Pass(Millis),
    Checkout,
    Paid(&'static str),
}

const ACTORS: [&[Move]; 4] = [
    &[Move::Bid("b", 11_000), Move::Bid("c", 12_000)],
    &[Move::Accept, Move::Ship],
    &[
        Move::Pass(Millis::from_secs(29)),
        Move::Pass(Millis::from_secs(25)),
        Move::Pass(Millis::from_mins(5)),
    ],
    &[Move::Checkout, Move::Paid("ev_1"), Move::Paid("ev_2")],
];

#[derive(Clone)]
struct Scene {
    market: Market,
    index: u64,
    at: Timestamp,
    tail: Tail,
    edge: EdgeId,
    auction: AuctionId,
}

impl Scene {
    /// An auction that closes half a minute after its opening offer.
    fn open() -> Self {
        let world = World::play(
            "policy initial 30s, window 10s, extension 10s, payment 1m, decision 1m
            12:00:00 offer S1 a EUR 100.00 -> opened A; A closes 12:00:30",
        );
        let world = world.unwrap_or_else(|why| panic!("{why}"));
        let auction = world.market.auctions().next().expect("it is open").id();
        let edge = edge_named("e1").expect("an edge");
        let tail = world.market.edge(&edge).expect("registered").applied();
        let (at, index) = (world.market.last_at(), world.market.last_index().0);
        Self { market: world.market, index, at, tail, edge, auction }
    }

    fn entry(&mut self, marks: Vec<(EdgeId, Mark)>, commands: Vec<LogCommand>) {
        self.index += 1;
        self.at = self.at.plus(Millis::new(10));
        let entry = Entry { term: 1, at: self.at, marks, commands };
        self.market.apply(LogIndex(self.index), &entry);
    }

    fn direct(&mut self, actor: Actor, command: Command) {
        let id = CommandId::derive_system("move", &self.index.to_string(), "");
        self.entry(vec![], vec![LogCommand::Direct(Envelope { id, actor, command })]);
    }

    fn make(&mut self, made: Move) {
        match made {
            Move::Bid(who, minor) => self.bid(who, minor),
            Move::Accept => {
                let expected = self
                    .market
                    .auction(self.auction)
                    .expect("known")
                    .leading()
                    .expect("a bid leads")
                    .bid_id;
                let maker = Actor::User(person("m").expect("a letter"));
                let auction = self.auction;
                let accept = AuctionCommand::AcceptHighest { auction, expected };
                self.direct(maker, Command::Auction(accept));
            }
            Move::Ship => {
                let Some(order) = self.market.orders().first().map(|row| row.order_id) else {
                    return;
                };
                let number = TrackingNumber::parse("TRACK-0001").expect("a number");
                let add = OrderCommand::AddTracking { order, carrier: Carrier::Other, number };
                self.direct(Actor::User(person("m").expect("a letter")), Command::Order(add));
            }
            Move::Pass(span) => self.pass(span),
            Move::Checkout => {
                let Some(lock) = self.market.locks().first().map(|row| row.sale_lock_id) else {
                    return;
                };
                let buyer = self.market.lock(lock).expect("known").buyer();
                let start =
                    StartCheckout { lock, return_url: String::new(), cancel_url: String::new() };
                let start = Command::Payment(PaymentCommand::StartCheckout(start));
                self.direct(Actor::User(buyer), start);
            }
            Move::Paid(event) => self.paid(event),
        }
    }

    fn bid(&mut self, who: &str, minor: u64) {
        let user = person(who).expect("a letter");
        let key = format!("{who}-{minor}");
        let bid = PlaceBid {
            command: CommandId::derive(user, &key, "bid", "A"),
            auction: self.auction,
            bidder: user,
            amount: Money::new(minor, Currency::Eur),
            maximum: None,
            valid_until: self.at.plus(Millis::from_secs(120)),
        };
        let earliest = self.at.plus(Millis::new(5));
        let stamp = Stamp { earliest, latest: earliest };
        let journaled = JournalEntry::after(self.tail, stamp, Intake::Bid(bid));
        self.tail = journaled.tail();
        let edge = self.edge.clone();
        let batch = Batch { edge, mark: None, entries: vec![journaled] };
        self.entry(vec![], vec![LogCommand::Batch(batch)]);
    }

    /// Ticks as a leader would, with a mark of the edge each time.
    fn pass(&mut self, span: Millis) {
        let until = self.at.plus(span);
        while self.at < until {
            let pace = if self.market.has_open_auction() { 2_900 } else { 3_600_000 };
            let due = self.market.next_deadline().unwrap_or(Timestamp::MAX);
            let next = self.at.plus(Millis::new(pace)).min(due).min(until);
            self.at = next.minus(Millis::new(9)).max(self.at);
            let mark = Mark { watermark: self.at.minus(Millis::new(1)), tail: self.tail };
            let edge = self.edge.clone();
            self.entry(vec![(edge, mark)], vec![]);
        }
    }

    fn paid(&mut self, event: &str) {
        let Some(lock) = self.market.locks().first().map(|row| row.sale_lock_id) else { return };
        let amount = self.market.lock(lock).expect("known").amount();
        let event = ProviderEvent {
            event: event.to_owned(),
            kind: ProviderEventKind::CheckoutPaid,
            created: self.at,
            lock: Some(lock),
            checkout_session: None,
            payment: Some(format!("pi_{event}")),
            amount: Some(amount),
            raw: Digest::of(b"raw"),
            new_order: OrderId::from_bits(u128::from(self.index)),
        };
        let record = Command::Payment(PaymentCommand::RecordProviderEvent(event));
        self.direct(Actor::Cluster, record);
    }

    fn check(&self, path: &[Move]) {
        let broken = self.market.violations();
        assert!(broken.is_empty(), "after {path:?}: {broken:?}");
        let paid = self.market.locks.values();
        let paid = paid.filter(|lock| matches!(lock.state, LockState::Paid { .. })).count();
        assert!(paid <= 1, "two payments after {path:?}");
        assert_eq!(self.market.orders().len(), paid, "an order for each payment, after {path:?}");
    }
}

/// Plays every order in which the rest can go on; answers how many ends there are.
fn explore(scene: &Scene, places: [usize; 4], path: &mut Vec<Move>) -> u64 {
    let mut ends = 0;
    for actor in 0..ACTORS.len() {
        let Some(next) = ACTORS[actor].get(places[actor]) else { continue };
        let mut scene = scene.clone();
        path.push(*next);
        scene.make(*next);
        scene.check(path);
        let mut places = places;
        places[actor] += 1;
        ends += explore(&scene, places, path);
        path.pop();
    }
    if ends > 0 {
        return ends;
    }
    let auction = scene.market.auction(scene.auction).expect("known");
    assert!(!matches!(auction.state(), AuctionState::Open), "open after {path:?}");
    1
}

#[test]
fn no_order_of_bids_accept_time_and_payment_breaks_an_invariant() {
    let ends = explore(&Scene::open(), [0; 4], &mut Vec::new());
    // 10! / (2! 2! 3! 3!)
    assert_eq!(ends, 25_200);
}
