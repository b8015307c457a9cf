//! A second, slow and simple market: auctions, sale locks, orders and money, written from the
//! rules alone.
//!
//! It shares no code with the first but the vocabulary. Nothing is indexed, nothing is incremental:
//! every question is answered by looking at everything. It is told the same entries and must come to
//! the same verdicts, closes, locks, orders and balances. Read next: `bids.rs`,
//! `ends.rs`; `../against_model.rs` for the comparison.

mod bids;
mod ends;

use std::collections::{BTreeMap, BTreeSet};

use fairground_types::command::{
    Actor, AuctionCommand, ClusterCommand, Command, EffectOutcome, EffectResult, Entry, Envelope,
    FinanceCommand, LogCommand, MarketPolicy, OrderCommand, PaymentCommand, ProviderEvent,
    ProviderEventKind,
};
use fairground_types::journal::{Batch, Intake, JournalEntry, Mark, Stamp};
use fairground_types::{
    AuctionId, ChainHash, Code, CommandId, Currency, EdgeId, EffectId, Money, OrderId, SaleLockId,
    StoryId, Timestamp, UserId,
};

const SECOND: u64 = 1_000;

/// What the model says to a bid, an offer or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    Yes,
    No(Code),
}

#[derive(Clone, Debug)]
pub(super) struct ModelBid {
    pub(super) command: CommandId,
    pub(super) bidder: UserId,
    pub(super) minor: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    Locked,
    Awaiting { until: u64 },
    Sold,
    Unsold,
    Cancelled,
}

#[derive(Clone, Debug)]
struct Waiting {
    edge: EdgeId,
    seq: u64,
    stamp: Stamp,
    intake: Intake,
    /// Copies of the same command that wait along.
    copies: u32,
}

#[derive(Clone, Debug)]
pub(super) struct ModelAuction {
    pub(super) story: StoryId,
    maker: UserId,
    pub(super) closes_at: u64,
    base_close: u64,
    cap: u64,
    pub(super) bids: Vec<ModelBid>,
    judged: BTreeMap<UserId, u32>,
    held: Vec<Waiting>,
    pub(super) status: Status,
    /// Ended by time, not by its maker or an admin.
    by_time: bool,
    currency: Currency,
}

#[derive(Clone, Debug)]
struct ModelStory {
    maker: UserId,
    least: u64,
    currency: Currency,
    sold: bool,
    offers: BTreeMap<UserId, u32>,
}

#[derive(Clone, Debug)]
struct ModelEdge {
    in_intake: bool,
    admitted_at: u64,
    applied: (u64, ChainHash),
    last: (u64, u64),
    watermark: u64,
    waiting: Vec<Mark>,
    lag_began: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct ModelLock {
    pub(super) auction: AuctionId,
    pub(super) buyer: UserId,
    pub(super) minor: u64,
    expires: u64,
    pub(super) state: LockSays,
    /// Checkout attempts made, and what became of the newest.
    attempts: usize,
    open_since: Option<u64>,
    failed_at: Option<u64>,
    /// Until when an open session is waited for, once the window is over.
    settles: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockSays {
    Active,
    Paid,
    Expired,
}

#[derive(Clone, Debug)]
pub(super) struct ModelOrder {
    pub(super) buyer: UserId,
    maker: UserId,
    minor: u64,
    ship_by: u64,
    pub(super) overdue: bool,
    pub(super) state: OrderSays,
    completes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderSays {
    ToShip,
    OnItsWay,
    Delivered,
    Completed,
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Model {
    policy: MarketPolicy,
    at: u64,
    term: u64,
    resumed_at: u64,
    people: BTreeSet<UserId>,
    stories: BTreeMap<StoryId, ModelStory>,
    edges: BTreeMap<EdgeId, ModelEdge>,
    pub(super) auctions: BTreeMap<AuctionId, ModelAuction>,
    /// By auction, in the order in which they were made.
    pub(super) locks: Vec<ModelLock>,
    pub(super) orders: BTreeMap<OrderId, ModelOrder>,
    remembered: BTreeMap<CommandId, ([u8; 32], Said)>,
    events: BTreeSet<String>,
    /// Offers, with their time.
    offered: Vec<(u64, UserId)>,
    /// When each buyer left a won piece unpaid.
    unpaid: BTreeMap<UserId, Vec<u64>>,
    given_back: BTreeSet<String>,
    /// Places of locks by the ids that the market gave them.
    pub(super) lock_ids: BTreeMap<SaleLockId, usize>,
    /// What waits to be given back, by the ids of the market's effects.
    pub(super) refunds: BTreeMap<EffectId, u64>,
    /// Sessions that are being opened, by the ids of the market's effects.
    pub(super) sessions: BTreeMap<EffectId, usize>,
    tracking: BTreeSet<String>,
    /// Balances by account in words; debits are positive.
    pub(super) balances: BTreeMap<String, i128>,
    /// What was said to bids in the entry at hand.
    said: Vec<(CommandId, Said)>,
}

const fn ms(at: Timestamp) -> u64 {
    at.as_unix_millis()
}

/// Where the bids of one entry stand among each other: middle of the stamp, edge, sequence.
type Place = (u64, EdgeId, u64);

impl Model {
    /// A model of a market that has this policy, people, listed stories and edges.
    pub(super) fn new(
        policy: MarketPolicy,
        at: Timestamp,
        people: &[UserId],
        stories: &[(StoryId, UserId, Money)],
    ) -> Self {
        let story = |(id, maker, least): &(StoryId, UserId, Money)| {
            let row = ModelStory {
                maker: *maker,
                least: least.minor(),
                currency: least.currency(),
                sold: false,
                offers: BTreeMap::new(),
            };
            (*id, row)
        };
        Self {
            policy,
            at: ms(at),
            term: 1,
            resumed_at: ms(at),
            people: people.iter().copied().collect(),
            stories: stories.iter().map(story).collect(),
            edges: BTreeMap::new(),
            auctions: BTreeMap::new(),
            locks: Vec::new(),
            orders: BTreeMap::new(),
            remembered: BTreeMap::new(),
            events: BTreeSet::new(),
            offered: Vec::new(),
            unpaid: BTreeMap::new(),
            given_back: BTreeSet::new(),
            lock_ids: BTreeMap::new(),
            refunds: BTreeMap::new(),
            sessions: BTreeMap::new(),
            tracking: BTreeSet::new(),
            balances: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    /// An edge that is registered, in the intake since `at` or outside.
    pub(super) fn admit(&mut self, edge: EdgeId, at: Timestamp, in_intake: bool) {
        let start = fairground_types::journal::Tail::START;
        let row = ModelEdge {
            in_intake,
            admitted_at: ms(at),
            applied: (start.seq, start.hash),
            last: (0, 0),
            watermark: if in_intake { ms(at) } else { 0 },
            waiting: Vec::new(),
            lag_began: None,
        };
        self.edges.insert(edge, row);
    }

    /// One entry: what is said to its direct commands, and to every bid that it judges.
    pub(super) fn apply(&mut self, entry: &Entry) -> (Vec<Option<Said>>, Vec<(CommandId, Said)>) {
        self.said.clear();
        let last = self.at;
        let begins = entry.term > self.term;
        self.at = self.at.max(ms(entry.at));
        self.term = self.term.max(entry.term);
        if begins || self.at - last > 3 * SECOND {
            self.resumed_at = self.at;
        }
        self.sale_windows_move(last);
        let mut released = self.outage(last);
        self.order_windows_move(last);
        self.fire(last);
        for (edge, mark) in &entry.marks {
            self.mark(edge, *mark);
        }
        for batch in batches(entry) {
            if let Some(mark) = batch.mark {
                self.mark(&batch.edge, mark);
            }
        }
        let mut direct = Vec::new();
        for command in &entry.commands {
            if let LogCommand::Direct(envelope) = command {
                direct.push(self.direct(envelope));
            }
        }
        self.bids(entry, &mut released);
        self.close_what_the_horizon_reached();
        if !entry.is_nudge() {
            self.edges_leave();
        }
        (direct, std::mem::take(&mut self.said))
    }

    // Time.

    /// After an outage payment and decision windows go on for as long as it was.
    fn sale_windows_move(&mut self, last: u64) {
        let is_open = self.auctions.values().any(|row| row.status == Status::Open);
        let active = self.locks.iter().filter(|lock| lock.state == LockSays::Active);
        let waiting = self.auctions.values().filter_map(|row| match row.status {
            Status::Awaiting { until } => Some(until),
            _ => None,
        });
        let first = active.map(|lock| lock.expires).chain(waiting).min();
        let Some(began) = (if is_open { Some(last) } else { first }) else { return };
        let gap = self.at.saturating_sub(began.max(last));
        if gap <= 30 * SECOND {
            return;
        }
        for lock in self.locks.iter_mut().filter(|lock| lock.state == LockSays::Active) {
            lock.expires = (lock.expires + gap).max(self.at + 900 * SECOND);
        }
        for row in self.auctions.values_mut() {
            if let Status::Awaiting { until } = &mut row.status {
                *until = (*until + gap).max(self.at + 900 * SECOND);
            }
        }
    }

    /// Windows of orders go on for as long as nobody could act.
    fn order_windows_move(&mut self, last: u64) {
        let is_open = self.auctions.values().any(|row| row.status == Status::Open);
        let ends = self.orders.values().filter_map(|order| match order.state {
            OrderSays::ToShip if !order.overdue => Some(order.ship_by),
            OrderSays::Delivered => order.completes,
            _ => None,
        });
        let ended = ends.filter(|end| *end <= self.at).min().unwrap_or(self.at);
        let began = if is_open { last } else { ended.max(last) };
        let mut gap = self.at - began;
        if gap <= 30 * SECOND {
            return;
        }
        if !is_open {
            gap += 900 * SECOND;
        }
        for order in self.orders.values_mut() {
            if order.state == OrderSays::ToShip && !order.overdue && order.ship_by > last {
                order.ship_by += gap;
            }
            if order.state == OrderSays::Delivered {
                order.completes = order.completes.map(|at| if at > last { at + gap } else { at });
            }
        }
    }

    fn outage(&mut self, last: u64) -> Vec<(Place, Waiting)> {
        let gap = self.at - last;
        if gap <= 30 * SECOND {
            return Vec::new();
        }
        let quarter = 900 * SECOND;
        let moved = self.at + if gap >= 7_200 * SECOND { 86_400 * SECOND } else { quarter };
        let mut released = Vec::new();
        for auction in self.auctions.values_mut().filter(|row| row.status == Status::Open) {
            let touched = auction.closes_at > last && auction.closes_at <= self.at + quarter;
            if touched && moved > auction.closes_at {
                let by = moved - auction.closes_at;
                auction.closes_at = moved;
                auction.base_close += by;
                auction.cap += by;
                released.extend(auction.release());
            }
        }
        released
    }

    /// What is due happens as of then, unless that was in a gap.
    fn fire(&mut self, last: u64) {
        let now = self.at;
        loop {
            let mut due: Vec<(u64, u8, u128)> = Vec::new();
            for (id, auction) in &self.auctions {
                match auction.status {
                    Status::Open if auction.closes_at <= self.heard_until(now) => {
                        due.push((auction.closes_at, 0, id.to_bits()));
                    }
                    Status::Open if auction.closes_at <= now => {
                        due.push((self.patience(auction), 0, id.to_bits()));
                    }
                    Status::Awaiting { until } => due.push((until, 2, id.to_bits())),
                    _ => {}
                }
            }
            for (place, lock) in self.locks.iter().enumerate() {
                match (lock.state, lock.settles) {
                    (LockSays::Active, None) => due.push((lock.expires, 1, place as u128)),
                    (LockSays::Active, Some(at)) => due.push((at, 8, place as u128)),
                    _ => {}
                }
            }
            for (id, order) in &self.orders {
                if order.state == OrderSays::ToShip && !order.overdue {
                    due.push((order.ship_by, 3, id.to_bits()));
                }
                if let (OrderSays::Delivered, Some(at)) = (order.state, order.completes) {
                    due.push((at, 4, id.to_bits()));
                }
            }
            due.retain(|(at, _, _)| *at <= now);
            let Some((at, kind, id)) = due.into_iter().min() else { break };
            self.at = at.max(last).max(self.resumed_at);
            match kind {
                0 => self.end_by_time(AuctionId::from_bits(id)),
                1 => self.window_ends(usize::try_from(id).expect("a place")),
                8 => self.lock_expires(usize::try_from(id).expect("a place")),
                2 => self.end(AuctionId::from_bits(id), Status::Unsold),
                3 => self.orders.get_mut(&OrderId::from_bits(id)).expect("due").overdue = true,
                _ => self.complete(OrderId::from_bits(id)),
            }
        }
        self.at = now;
    }

    /// Up to when every edge of the intake was heard.
    fn heard_until(&self, now: u64) -> u64 {
        let heard = self.edges.values().filter(|row| row.in_intake).map(|row| row.watermark);
        heard.min().unwrap_or(u64::MAX).min(now)
    }

    /// Until when an auction waits for edges that are not heard.
    fn patience(&self, auction: &ModelAuction) -> u64 {
        let least = 3 * SECOND;
        let grace =
            if self.may_extend(auction) { self.policy.auction.grace.as_millis() } else { least };
        auction.closes_at.max(self.resumed_at) + grace.max(least)
    }

    fn latest_close(&self, auction: &ModelAuction) -> u64 {
        let most = auction.base_close + self.policy.auction.extension_total_max.as_millis();
        most.min(auction.cap)
    }

    fn may_extend(&self, auction: &ModelAuction) -> bool {
        auction.closes_at < self.latest_close(auction)
            && self.policy.auction.window.as_millis() > 0
            && self.policy.auction.extension.as_millis() > 0
    }

    // Edges.

    fn mark(&mut self, edge: &EdgeId, mark: Mark) {
        let Some(row) = self.edges.get_mut(edge).filter(|row| row.in_intake) else { return };
        if mark.tail.seq <= row.applied.0 {
            row.count(mark);
            return;
        }
        if let Some(known) = row.waiting.iter_mut().find(|known| known.tail == mark.tail) {
            known.watermark = known.watermark.max(mark.watermark);
            return;
        }
        row.waiting.truncate(7);
        row.waiting.push(mark);
        row.waiting.sort_by_key(|known| known.tail.seq);
    }

    fn edges_leave(&mut self) {
        for row in self.edges.values_mut().filter(|row| row.in_intake) {
            let counted = row.watermark.min(self.at);
            row.lag_began = if self.at - counted > 5 * SECOND {
                let began = counted + 5 * SECOND;
                Some(row.lag_began.map_or(began, |known| known.min(began)))
            } else {
                None
            };
            let since = row.lag_began.unwrap_or(row.watermark + 5 * SECOND);
            if self.at >= since.max(self.resumed_at).max(row.admitted_at) + 300 * SECOND {
                row.in_intake = false;
            }
        }
    }

    fn close_what_the_horizon_reached(&mut self) {
        let horizon = self.heard_until(self.at);
        loop {
            let open = self.auctions.iter().filter(|(_, row)| row.status == Status::Open);
            let first = open.map(|(id, row)| (row.closes_at, *id)).min();
            match first {
                Some((closes_at, id)) if closes_at <= horizon => self.end_by_time(id),
                _ => return,
            }
        }
    }
}

fn batches(entry: &Entry) -> impl Iterator<Item = &Batch> {
    entry.commands.iter().filter_map(|command| match command {
        LogCommand::Batch(batch) => Some(batch),
        LogCommand::Direct(_) => None,
    })
}

impl Waiting {
    fn place(&self) -> Place {
        (self.stamp.doubled_middle(), self.edge.clone(), self.seq)
    }
}

impl ModelAuction {
    /// The least next bid: one per cent more, rounded up, and five units at least.
    pub(super) fn next(&self) -> u64 {
        let highest = self.bids.last().expect("an opening bid").minor;
        highest + highest.div_ceil(100).max(500)
    }

    fn release(&mut self) -> Vec<(Place, Waiting)> {
        let closes_at = self.closes_at;
        let (free, kept) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held: &Waiting| ms(held.stamp.earliest) < closes_at);
        self.held = kept;
        free.into_iter().map(|held: Waiting| (held.place(), held)).collect()
    }

    const fn takes_bids(&self) -> Result<(), Code> {
        match self.status {
            Status::Open => Ok(()),
            Status::Locked | Status::Awaiting { .. } => Err(Code::AuctionLocked),
            Status::Sold | Status::Unsold | Status::Cancelled => Err(Code::AuctionClosed),
        }
    }
}

impl ModelEdge {
    /// A mark whose tail is applied: it counts, unless it is broken.
    fn count(&mut self, mark: Mark) {
        let wrong_tail = mark.tail.seq == self.applied.0 && mark.tail.hash != self.applied.1;
        let broken = mark.tail.seq < self.applied.0 && self.last.0 <= ms(mark.watermark);
        if !wrong_tail && !broken {
            self.watermark = self.watermark.max(ms(mark.watermark));
        }
    }

    /// The next journal entry: none when it is not the next, else whether its stamp is believed.
    fn take(&mut self, entry: &JournalEntry) -> Option<bool> {
        if !self.in_intake || entry.seq != self.applied.0 + 1 {
            return None;
        }
        let hash = JournalEntry::chain(self.applied.1, entry.seq, entry.stamp, &entry.intake);
        let (earliest, latest) = (ms(entry.stamp.earliest), ms(entry.stamp.latest));
        let good = hash == entry.hash
            && latest >= earliest
            && latest - earliest <= 500
            && earliest >= self.last.0
            && latest >= self.last.1
            && earliest > self.watermark;
        self.applied = (entry.seq, hash);
        if good {
            self.last = (earliest, latest);
        }
        let ready: Vec<Mark> =
            self.waiting.iter().filter(|mark| mark.tail.seq <= entry.seq).copied().collect();
        self.waiting.retain(|mark| mark.tail.seq > entry.seq);
        for mark in ready {
            self.count(mark);
        }
        Some(good)
    }
}
