//! Laws that hold for any history.
//!
//! A history is a list of small steps (bids, offers, marks, ticks, payments, noise) played against a
//! market through `apply` alone.

use std::collections::BTreeMap;

use fairground_types::command::{
    Actor, AuctionCommand, BalanceRecord, ClusterCommand, Command, EffectOutcome, EffectResult,
    Entry, Envelope, FinanceCommand, LogCommand, MarketPolicy, OrderCommand, PaymentCommand,
    ProviderEvent, ProviderEventKind, ProviderRefundState, StartCheckout,
};
use fairground_types::journal::{
    Batch, Eligibility, Intake, JournalEntry, Mark, PlaceBid, Stamp, SubmitOffer, Tail,
};
use fairground_types::{
    AuctionId, ChainHash, CommandId, Currency, Digest, EdgeId, EffectId, LogIndex, Millis, Money,
    OfferId, OrderId, SaleLockId, StoryId, Timestamp, UserId, Verdict, limits,
};
use proptest::prelude::*;

use crate::script::{World, edge_named, person};
use crate::{Market, PublicView, admission};

const PEOPLE: [&str; 4] = ["a", "b", "c", "d"];
const EDGES: [&str; 3] = ["e1", "e2", "e3"];

/// One step of a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Time goes on and a leader ticks; the bits of `heard` say whose marks it has.
    Wait {
        span: u64,
        heard: u8,
    },
    /// Time goes on to within milliseconds of what falls due next.
    Brink {
        before: u64,
        after: u64,
        heard: u8,
    },
    Outage(u64),
    Intake {
        edge: usize,
        person: usize,
        story: u8,
        minor: u64,
        age: u64,
        offer: bool,
        key: u8,
    },
    Mark {
        edge: usize,
        age: u64,
        ahead: bool,
    },
    Accept {
        auction: usize,
        maker: bool,
    },
    Cancel {
        auction: usize,
    },
    Checkout {
        lock: usize,
    },
    Paid {
        lock: usize,
        event: u8,
    },
    Effect {
        place: usize,
        outcome: u8,
    },
    Ship {
        order: usize,
    },
    Confirm {
        order: usize,
    },
    Term,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let age = prop_oneof![3 => 0..3_000_u64, 1 => 0..70_000_u64];
    let intake = (0..3_usize, 0..4_usize, 0..8_u8, 0..30_000_u64, age, any::<u8>());
    let wait = prop_oneof![4 => 0..4_000_u64, 4 => 0..90_000_u64, 1 => 0..600_000_u64];
    prop_oneof![
        8 => (wait, 0..8_u8).prop_map(|(span, heard)| Step::Wait { span, heard }),
        6 => (0..4_u64, 0..4_u64, 0..8_u8)
            .prop_map(|(before, after, heard)| Step::Brink { before, after, heard }),
        1 => (30_000_u64..9_000_000).prop_map(Step::Outage),
        24 => intake.prop_map(|(edge, person, story, minor, age, key)| Step::Intake {
            edge, person, story, minor, age, offer: key.is_multiple_of(4), key
        }),
        4 => (0..3_usize, 0..3_000_u64, any::<bool>())
            .prop_map(|(edge, age, ahead)| Step::Mark { edge, age, ahead }),
        1 => (0..2_usize, any::<bool>()).prop_map(|(auction, maker)| Step::Accept { auction, maker }),
        1 => (0..9_usize).prop_map(|auction| Step::Cancel { auction }),
        2 => (0..2_usize).prop_map(|lock| Step::Checkout { lock }),
        4 => (0..2_usize, 0..6_u8).prop_map(|(lock, event)| Step::Paid { lock, event }),
        2 => (0..9_usize, 0..3_u8).prop_map(|(place, outcome)| Step::Effect { place, outcome }),
        3 => (0..3_usize).prop_map(|order| Step::Ship { order }),
        4 => (0..3_usize).prop_map(|order| Step::Confirm { order }),
        1 => Just(Step::Term),
    ]
}

/// Plays steps, checking what must hold after every entry.
pub(super) struct Player {
    pub(super) world: World,
    at: Timestamp,
    term: u64,
    commands: u64,
    tails: BTreeMap<EdgeId, (Tail, Stamp)>,
    closes: BTreeMap<AuctionId, Timestamp>,
    replica: PublicView,
    /// A view that lags, as an edge's may.
    stale: PublicView,
}

impl Player {
    pub(super) fn new() -> Self {
        let mut policy = MarketPolicy::default();
        policy.auction.initial = Millis::from_mins(5);
        policy.auction.window = Millis::from_mins(1);
        policy.auction.extension = Millis::from_mins(1);
        policy.auction.extension_total_max = Millis::from_mins(4);
        policy.auction.total_max = Millis::from_mins(8);
        policy.payment_window = Millis::from_mins(10);
        policy.decision_window = Millis::from_mins(3);
        policy.ship_by = Millis::from_mins(5);
        policy.auto_complete = Millis::from_mins(5);
        let world = World::new(policy, &["e1", "e2"]).expect("the set-up is accepted");
        let mut replica = PublicView::default();
        for applied in &world.applied {
            replica.fold(&applied.feed);
        }
        let at = world.market.last_at();
        let stale = replica.clone();
        Self {
            world,
            at,
            term: 1,
            commands: 0,
            tails: BTreeMap::new(),
            closes: BTreeMap::new(),
            replica,
            stale,
        }
    }

    fn market(&self) -> &Market {
        &self.world.market
    }

    fn entry(&mut self, marks: Vec<(EdgeId, Mark)>, commands: Vec<LogCommand>) {
        let applied = self.world.apply(Entry { term: self.term, at: self.at, marks, commands });
        self.replica.fold(&applied.feed);
        self.check();
    }

    fn check(&mut self) {
        let market = &self.world.market;
        assert_eq!(market.violations(), Vec::<String>::new());
        assert_eq!(&self.replica, market.view(), "an edge folds what the market folds");
        for auction in market.auctions() {
            let before = self.closes.insert(auction.id(), auction.closes_at());
            assert!(before.is_none_or(|before| before <= auction.closes_at()), "a close fell");
            let policy = auction.policy();
            let by_bids: Millis = auction.extensions.iter().fold(Millis::ZERO, |sum, extension| {
                if extension.cause.is_some() { sum_of(sum, policy.extension) } else { sum }
            });
            let outages = auction.extensions.iter().any(|extension| extension.cause.is_none());
            let cap = auction.opened_at().plus(policy.total_max);
            assert!(outages || auction.closes_at() <= cap, "the cap holds");
            assert!(outages || by_bids <= Millis::from_mins(5), "extensions are bounded");
        }
        if let Some(due) = market.next_deadline() {
            assert!(due > Timestamp::EPOCH);
        }
    }

    fn direct(&mut self, actor: Actor, command: Command) {
        self.commands += 1;
        let id = CommandId::derive_system("law", &self.commands.to_string(), "");
        self.entry(vec![], vec![LogCommand::Direct(Envelope { id, actor, command })]);
    }

    fn auction(&self, place: usize) -> Option<AuctionId> {
        let all: Vec<AuctionId> = self.market().auctions().map(crate::Auction::id).collect();
        all.iter().rev().nth(place).copied()
    }

    fn lock(&self, place: usize) -> Option<SaleLockId> {
        self.market().locks().get(place).map(|row| row.sale_lock_id)
    }

    fn order(&self, place: usize) -> Option<OrderId> {
        self.market().orders().get(place).map(|row| row.order_id)
    }

    pub(super) fn play(&mut self, step: &Step) {
        match step {
            Step::Wait { span, heard } => self.wait(*span, *heard),
            Step::Brink { before, after, heard } => self.brink(*before, *after, *heard),
            Step::Outage(span) => {
                self.at = self.at.plus(Millis::new(*span));
                self.entry(vec![], vec![]);
            }
            Step::Intake { .. } => self.intake(step),
            Step::Mark { edge, age, ahead } => self.mark(*edge, *age, *ahead),
            Step::Accept { auction, maker } => {
                let Some(id) = self.auction(*auction) else { return };
                let expected = self
                    .market()
                    .auction(id)
                    .expect("known")
                    .leading()
                    .expect("a bid leads")
                    .bid_id;
                let who = person(if *maker { "m" } else { "n" }).expect("a letter");
                let accept =
                    Command::Auction(AuctionCommand::AcceptHighest { auction: id, expected });
                self.direct(Actor::User(who), accept);
            }
            Step::Cancel { auction } => {
                let Some(auction) = self.auction(*auction) else { return };
                let reason = fairground_types::text::Note::parse("why").expect("a note");
                self.direct(
                    Actor::Cluster,
                    Command::Auction(AuctionCommand::CancelAuction { auction, reason }),
                );
            }
            Step::Checkout { lock } => {
                let Some(lock) = self.lock(*lock) else { return };
                let buyer = self.market().lock(lock).expect("known").buyer();
                let start =
                    StartCheckout { lock, return_url: String::new(), cancel_url: String::new() };
                self.direct(
                    Actor::User(buyer),
                    Command::Payment(PaymentCommand::StartCheckout(start)),
                );
            }
            Step::Paid { lock, event } => self.paid(*lock, *event),
            Step::Effect { place, outcome } => self.effect(*place, *outcome),
            Step::Ship { order } => {
                let Some(order) = self.order(*order) else { return };
                let number = format!("TRACK-{}", self.commands);
                let number = fairground_types::text::TrackingNumber::parse(&number)
                    .expect("a tracking number");
                let carrier = fairground_types::command::Carrier::Other;
                let maker = person("m").expect("a letter");
                let add = Command::Order(OrderCommand::AddTracking { order, carrier, number });
                self.direct(Actor::User(maker), add);
            }
            Step::Confirm { order } => {
                let Some(order) = self.order(*order) else { return };
                let buyer = self.market().order(order).expect("known").buyer();
                self.direct(
                    Actor::User(buyer),
                    Command::Order(OrderCommand::ConfirmDelivery { order, review: None }),
                );
            }
            Step::Term => {
                self.term += 1;
                self.entry(vec![], vec![]);
            }
        }
    }

    fn effect(&mut self, place: usize, outcome: u8) {
        let pending = self.market().outbox().nth(place).cloned();
        let effect = pending.as_ref().map_or(EffectId::from_bits(3), |pending| pending.id);
        let result = pending.and_then(|pending| self.result_of(&pending.effect, outcome));
        let outcome = match outcome {
            0 => EffectOutcome::Happened,
            1 => EffectOutcome::Unknown,
            _ => EffectOutcome::Abandoned,
        };
        let report = match result {
            Some(result) => Command::Finance(FinanceCommand::ReportEffect { effect, result }),
            None => Command::Payment(PaymentCommand::CompleteEffect { effect, outcome }),
        };
        self.direct(Actor::Cluster, report);
    }

    /// What came of an effect that moves money.
    fn result_of(&self, effect: &crate::Effect, outcome: u8) -> Option<EffectResult> {
        if !effect.moves_money() {
            return None;
        }
        let code = "of_the_test".to_owned();
        let name = self.commands.to_string();
        Some(match (outcome, effect) {
            (0, crate::Effect::CreateRefund(_)) => {
                EffectResult::RefundMade { refund: name, state: ProviderRefundState::Succeeded }
            }
            (0, crate::Effect::ReadCharge { order, .. }) => {
                let gross = self.market().charge(*order).expect("a charge").amount;
                let fee = Money::new(gross.minor() / 34 + 30, gross.currency());
                let available_at = self.at.plus(Millis::from_mins(10));
                let balance = BalanceRecord { record: name.clone(), fee, gross, available_at };
                EffectResult::ChargeRead { charge: name, balance }
            }
            (0, _) => EffectResult::TransferMade { transfer: name },
            (1, _) => EffectResult::Lost { code },
            (_, _) => EffectResult::Refused { code },
        })
    }

    fn brink(&mut self, before: u64, after: u64, heard: u8) {
        let closes = self.market().auctions().filter(|row| row.is_open());
        let closes = closes.map(|row| row.closes_at()).min();
        let due = [self.market().next_deadline(), closes].into_iter().flatten().min();
        let Some(due) = due.filter(|due| due.since(self.at) < Millis::from_hours(1)) else {
            return;
        };
        let until = due.minus(Millis::new(before)).plus(Millis::new(after));
        self.wait(until.since(self.at).as_millis(), heard);
    }

    fn wait(&mut self, span: u64, heard: u8) {
        let until = self.at.plus(Millis::new(span));
        while self.at < until {
            self.at = self.at.plus(limits::RESUME_GAP).min(until);
            let mut marks = Vec::new();
            for (place, name) in EDGES.iter().enumerate() {
                if heard & (1 << place) != 0 {
                    let edge = edge_named(name).expect("an edge");
                    let (tail, _) = self.tail(&edge);
                    let watermark = self.at.minus(Millis::new(600));
                    marks.push((edge, Mark { watermark, tail }));
                }
            }
            let entry = Entry { term: self.term, at: self.at, marks, commands: vec![] };
            let applied = self.world.apply(entry);
            self.replica.fold(&applied.feed);
        }
        self.check();
    }

    fn paid(&mut self, lock: usize, event: u8) {
        let Some(lock) = self.lock(lock) else { return };
        let amount = self.market().lock(lock).expect("known").amount();
        let amount =
            if event > 0 { amount } else { Money::new(amount.minor() + 1, amount.currency()) };
        self.direct(
            Actor::Cluster,
            Command::Payment(PaymentCommand::RecordProviderEvent(ProviderEvent {
                event: format!("ev_{event}_{lock}"),
                kind: ProviderEventKind::CheckoutPaid,
                created: self.at,
                lock: Some(lock),
                checkout_session: None,
                payment: Some(format!("pi_{event}_{lock}")),
                amount: Some(amount),
                raw: Digest::of(b"raw"),
                new_order: OrderId::from_bits(u128::from(self.commands) + 1_000),
            })),
        );
    }

    fn mark(&mut self, edge: usize, age: u64, ahead: bool) {
        let edge = edge_named(EDGES[edge]).expect("an edge");
        let (tail, _) = self.tail(&edge);
        let tail = if ahead {
            Tail { seq: tail.seq + 1, hash: ChainHash::from_bytes([9; 32]) }
        } else {
            tail
        };
        let mark = Mark { watermark: self.at.minus(Millis::new(age)), tail };
        self.entry(vec![(edge, mark)], vec![]);
    }

    fn tail(&self, edge: &EdgeId) -> (Tail, Stamp) {
        let start = Stamp { earliest: Timestamp::EPOCH, latest: Timestamp::EPOCH };
        self.tails.get(edge).copied().unwrap_or((Tail::START, start))
    }

    fn intake(&mut self, step: &Step) {
        let Step::Intake { edge, person: who, story, minor, age, offer, key } = step else {
            return;
        };
        let edge = edge_named(EDGES[*edge]).expect("an edge");
        if !self.market().edge(&edge).expect("registered").in_intake() {
            let (tail, _) = self.tail(&edge);
            let admit = Command::Cluster(ClusterCommand::AdmitEdge { edge: edge.clone(), tail });
            self.direct(Actor::Edge(edge.clone()), admit);
            self.at = self.at.plus(Millis::new(10));
        }
        let (tail, last) = self.tail(&edge);
        let mut earliest = self.at.minus(Millis::new(*age));
        if let (6.., Some(ended)) = (*story, self.just_ended()) {
            earliest = ended.closes_at().minus(Millis::new(1));
        }
        earliest = earliest.max(last.earliest);
        if !key.is_multiple_of(9) {
            // An edge that keeps its promises, most of the time.
            let promised = self.market().edge(&edge).expect("registered").counted(Timestamp::MAX);
            earliest = earliest.max(promised.plus(Millis::new(1)));
        }
        let latest = earliest.plus(Millis::new(*age % 400)).max(last.latest);
        let stamp = Stamp { earliest, latest };
        let intake = self.some_intake((*who, *story, *minor), *offer, *key);
        let journaled = JournalEntry::after(tail, stamp, intake);
        self.tails.insert(edge.clone(), (journaled.tail(), stamp));
        let command = journaled.intake.command();
        let refused = admission::admit(&self.stale, &journaled.intake).is_err();
        let known = admission::placed(&self.stale, &command).copied();
        let batch = Batch { edge, mark: None, entries: vec![journaled] };
        self.entry(vec![], vec![LogCommand::Batch(batch)]);
        let told = self.world.applied.last().and_then(|applied| applied.judged.first());
        let accepted = told.is_some_and(|told| told.judged.verdict.is_accepted());
        match known {
            Some(placed) => {
                let verdict = self.market().verdict(&command).expect("placed");
                assert!(verdict.verdict.is_accepted(), "what the view shows as placed, is");
                assert_eq!(verdict.index, placed.index);
            }
            None => assert!(!(refused && accepted), "an edge refused what the log accepts"),
        }
        if self.world.log.len().is_multiple_of(7) {
            self.stale = self.replica.clone();
        }
    }

    /// Somebody always bids on what has just ended.
    fn just_ended(&self) -> Option<&crate::Auction> {
        let ended = self.market().auctions().filter(|row| row.ended().is_some());
        ended.max_by_key(|row| row.ended().map(|ended| ended.index))
    }

    fn some_intake(&self, (who, story, minor): (usize, u8, u64), offer: bool, key: u8) -> Intake {
        let user = person(PEOPLE[who]).expect("a letter");
        let valid_until = self.at.plus(Millis::from_secs(100));
        let open: Vec<&crate::Auction> =
            self.market().auctions().filter(|row| row.is_open()).collect();
        let target = match story {
            6.. => self.just_ended(),
            _ => open.get(usize::from(story % 2)).copied(),
        };
        let auction =
            target.map_or_else(|| AuctionId::from_bits(u128::from(story)), crate::Auction::id);
        // Around the least amount that is taken: some below it, most at or above it.
        let least = target.map_or(10_000, |row| row.min_next().minor());
        let amount = Money::new(least.saturating_sub(2_000) + minor % 9_000, Currency::Eur);
        let command = CommandId::derive(user, &format!("key-{key}"), "law", &auction.to_string());
        if offer {
            return Intake::Offer(SubmitOffer {
                command,
                offer: OfferId::from_bits(self.world.log.len() as u128),
                auction: AuctionId::from_bits(self.world.log.len() as u128),
                story: StoryId::from_bits(u128::from(story % 3)),
                buyer: user,
                amount,
                note: None,
                ship_to: None,
                eligibility: Eligibility::Allowed,
                bid_if_open: key.is_multiple_of(8),
                valid_until,
            });
        }
        Intake::Bid(PlaceBid { command, auction, bidder: user, amount, maximum: None, valid_until })
    }
}

fn sum_of(one: Millis, other: Millis) -> Millis {
    Millis::new(one.as_millis() + other.as_millis())
}

fn played(steps: &[Step]) -> Player {
    let mut player = Player::new();
    for step in steps {
        player.play(step);
    }
    player
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn invariants_hold_after_any_history(steps in prop::collection::vec(step(), 1..120)) {
        let player = played(&steps);
        prop_assert!(player.market().ledger_totals().values().all(|sum| *sum == 0));
    }

    #[test]
    fn prices_rise_by_the_increment(steps in prop::collection::vec(step(), 1..120)) {
        let player = played(&steps);
        for auction in player.market().auctions() {
            let amounts: Vec<u64> = auction.bids().map(|bid| bid.amount.minor()).collect();
            for pair in amounts.windows(2) {
                prop_assert!(pair[1] >= pair[0] + 500.max(pair[0].div_ceil(100)));
            }
        }
    }

    #[test]
    fn a_command_has_one_verdict(steps in prop::collection::vec(step(), 1..120)) {
        let player = played(&steps);
        let mut verdicts = BTreeMap::new();
        for told in player.world.applied.iter().flat_map(|applied| &applied.judged) {
            let code = told.judged.verdict.code();
            let is_passing = matches!(
                code,
                Some(
                    fairground_types::Code::Closing
                        | fairground_types::Code::TooManyBids
                        | fairground_types::Code::IdempotencyKeyReused
                )
            );
            if is_passing {
                continue;
            }
            let first = verdicts.entry(told.command).or_insert_with(|| told.judged.clone());
            prop_assert_eq!(&*first, &told.judged);
        }
    }

    #[test]
    fn restore_and_replay_equals_replay(
        steps in prop::collection::vec(step(), 1..80),
        cut in 0..200_usize,
    ) {
        let player = played(&steps);
        let log = &player.world.log;
        let cut = cut.min(log.len());
        let mut whole = Market::default();
        let mut snapshot = whole.snapshot();
        for (place, entry) in log.iter().enumerate() {
            if place == cut {
                snapshot = whole.snapshot();
            }
            whole.apply(LogIndex(place as u64 + 1), entry);
        }
        let mut restored = Market::restore(snapshot);
        let start = if cut == log.len() { 0 } else { cut };
        for (place, entry) in log.iter().enumerate().skip(start) {
            restored.apply(LogIndex(place as u64 + 1), entry);
        }
        prop_assert!(restored == whole);
        prop_assert!(player.market() == &whole);
    }

    #[test]
    fn a_refused_command_changes_nothing(steps in prop::collection::vec(step(), 1..80)) {
        let player = played(&steps);
        let mut market = Market::default();
        for (index, entry) in (1..).zip(&player.world.log) {
            let before = market.clone();
            let applied = market.apply(LogIndex(index), entry);
            let refused = |verdict: &Verdict| matches!(verdict, Verdict::Rejected(_));
            let is_direct = |command: &LogCommand| matches!(command, LogCommand::Direct(_));
            if entry.commands.is_empty()
                || !entry.commands.iter().all(is_direct)
                || !applied.outcomes.iter().all(refused)
            {
                continue;
            }
            // The same entry without its commands; a mark of nobody keeps it from being a nudge.
            let nobody = EdgeId::new("nobody", 1).expect("a name");
            let mut bare = entry.clone();
            bare.commands.clear();
            bare.marks.push((nobody, Mark { watermark: Timestamp::EPOCH, tail: Tail::START }));
            let mut without = before;
            without.apply(LogIndex(index), &bare);
            // That something was refused is remembered and, of staff, written down.
            let mut with = market.clone();
            with.dedup = without.dedup.clone();
            with.audit = without.audit.clone();
            prop_assert!(with == without, "{:?} left a trace", entry.commands);
        }
    }

    #[test]
    fn a_tick_at_the_same_instant_judges_nothing(steps in prop::collection::vec(step(), 1..60)) {
        let mut player = played(&steps);
        let at = player.at;
        player.entry(vec![], vec![]);
        let before: Vec<_> =
            player.market().dedup.verdicts.iter().map(|(id, row)| (*id, row.judged.clone())).collect();
        let applied = player.world.apply(Entry { term: player.term, at, marks: vec![], commands: vec![] });
        prop_assert!(applied.judged.is_empty());
        prop_assert!(applied.outcomes.is_empty());
        let after: Vec<_> =
            player.market().dedup.verdicts.iter().map(|(id, row)| (*id, row.judged.clone())).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn copies_through_any_edges_in_any_order_are_one_bid(
        order in Just(vec![0_usize, 1, 2, 0, 1, 2]).prop_shuffle(),
        ages in prop::collection::vec(0..4_000_u64, 6),
        together in any::<bool>(),
    ) {
        let mut player = Player::new();
        let opening = Step::Intake {
            edge: 0, person: 0, story: 1, minor: 8_000, age: 0, offer: true, key: 1,
        };
        player.at = player.at.plus(Millis::from_secs(1));
        player.play(&opening);
        player.at = player.at.plus(Millis::from_secs(10));
        let edge = edge_named("e3").expect("an edge");
        player.direct(Actor::Edge(edge.clone()), Command::Cluster(ClusterCommand::AdmitEdge { edge, tail: Tail::START }));
        player.at = player.at.plus(Millis::from_mins(5));
        // Some copies are stamped before the close, some after it.
        let auction = player.auction(0).expect("opened");
        let command = CommandId::derive(UserId::from_bits(98), "one-key", "bid", "A");
        let mut commands = Vec::new();
        for (place, age) in order.iter().zip(&ages) {
            let edge = edge_named(EDGES[*place]).expect("an edge");
            let intake = Intake::Bid(PlaceBid {
                command,
                auction,
                bidder: person("b").expect("a letter"),
                amount: Money::new(20_000, Currency::Eur),
                maximum: None,
                valid_until: player.at.plus(Millis::from_secs(60)),
            });
            let (tail, last) = player.tail(&edge);
            let earliest = player.at.minus(Millis::new(8_000)).plus(Millis::new(*age)).max(last.earliest);
            let stamp = Stamp { earliest, latest: earliest };
            let journaled = JournalEntry::after(tail, stamp, intake);
            player.tails.insert(edge.clone(), (journaled.tail(), stamp));
            commands.push(LogCommand::Batch(Batch { edge, mark: None, entries: vec![journaled] }));
        }
        if together {
            player.entry(vec![], commands);
        } else {
            for command in commands {
                player.entry(vec![], vec![command]);
            }
        }
        player.at = player.at.plus(Millis::from_mins(20));
        player.entry(vec![], vec![]);
        player.entry(vec![], vec![]);
        let told: Vec<_> = player.world.applied.iter().flat_map(|applied| &applied.judged)
            .filter(|told| told.command == command).collect();
        prop_assert_eq!(told.len(), 6, "every copy is told");
        prop_assert!(told.windows(2).all(|pair| pair[0].judged == pair[1].judged));
        let placed = player.market().auction(auction).expect("known").bids()
            .filter(|bid| bid.command == command).count();
        prop_assert!(placed <= 1);
    }

    #[test]
    fn a_forged_journal_is_refused_and_panics_nobody(
        seq in 0..4_u64,
        hash in any::<[u8; 32]>(),
        earliest in any::<u64>(),
        latest in any::<u64>(),
        minor in any::<u64>(),
        valid_until in any::<u64>(),
        at in any::<u64>(),
        index in 1_u64..,
        watermark in any::<u64>(),
        mark_seq in 0..4_u64,
    ) {
        let mut player = Player::new();
        let edge = edge_named("e1").expect("an edge");
        let intake = Intake::Bid(PlaceBid {
            command: CommandId::from_bytes(hash),
            auction: AuctionId::from_bits(1),
            bidder: UserId::from_bits(u128::from(minor)),
            amount: Money::new(minor, Currency::Jpy),
            maximum: None,
            valid_until: Timestamp::from_unix_millis(valid_until),
        });
        let stamp = Stamp {
            earliest: Timestamp::from_unix_millis(earliest),
            latest: Timestamp::from_unix_millis(latest),
        };
        let forged = JournalEntry { seq, stamp, intake, hash: ChainHash::from_bytes(hash) };
        let mark = Mark {
            watermark: Timestamp::from_unix_millis(watermark),
            tail: Tail { seq: mark_seq, hash: ChainHash::from_bytes(hash) },
        };
        let batch = Batch { edge: edge.clone(), mark: Some(mark), entries: vec![forged.clone(), forged] };
        let before = player.market().edge(&edge).expect("registered").violations();
        let entry = Entry {
            term: minor,
            at: Timestamp::from_unix_millis(at),
            marks: vec![(edge.clone(), mark)],
            commands: vec![LogCommand::Batch(batch.clone()), LogCommand::Batch(batch)],
        };
        let index = player.world.log.len() as u64 + index % 1_000_000;
        let applied = player.world.market.apply(LogIndex(index), &entry);
        prop_assert!(applied.judged.iter().all(|told| !told.judged.verdict.is_accepted()));
        prop_assert_eq!(player.market().violations(), Vec::<String>::new());
        let after = player.market().edge(&edge).expect("registered").violations();
        prop_assert!(seq != 1 || after > before);
    }
}

/// A law proves little over histories in which nothing happens.
#[test]
fn histories_reach_the_states_that_the_laws_are_about() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let histories = prop::collection::vec(step(), 60..120);
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for _ in 0..200 {
        let steps = histories.new_tree(&mut runner).expect("a history").current();
        let player = played(&steps);
        let market = player.market();
        let mut count = |name, number: usize| *seen.entry(name).or_default() += number as u64;
        for auction in market.auctions() {
            count("auctions", 1);
            count("raised", auction.earlier.len());
            count("extended", auction.extensions.iter().filter(|e| e.cause.is_some()).count());
            count("outage", auction.extensions.iter().filter(|e| e.cause.is_none()).count());
            count("held", auction.held.len());
            count("refused", auction.refused.len());
            count("late", auction.refused.iter().filter(|bid| bid.late).count());
            let unheard = auction.ended().is_some_and(|ended| !ended.unheard.is_empty());
            count("unheard", usize::from(unheard));
        }
        for name in market.orders().iter().map(|row| row.state) {
            count(name, 1);
        }
        for name in market.locks().iter().map(|row| row.state) {
            count(name, 1);
        }
        let refunds =
            market.postings().filter(|(cause, _)| matches!(cause, crate::LedgerCause::Unwanted(_)));
        count("unwanted money", refunds.count());
        let broken = market.edges().iter().map(|edge| edge.violations).sum::<u64>();
        count("violations", usize::try_from(broken).expect("few"));
    }
    let wanted = [
        "auctions",
        "raised",
        "extended",
        "outage",
        "held",
        "refused",
        "late",
        "unheard",
        "awaitingShipment",
        "inTransit",
        "delivered",
        "completed",
        "pending",
        "paid",
        "expired",
        "unwanted money",
        "violations",
    ];
    for name in wanted {
        assert!(seen.get(name).is_some_and(|number| *number > 0), "no {name} in {seen:?}");
    }
}
