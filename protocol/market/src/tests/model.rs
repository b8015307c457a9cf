//! A second, slow and simple market: auctions, sale locks, orders and money, written from the
//! rules alone.
//!
//! It shares no code with the first but the vocabulary. Nothing is indexed, nothing is incremental:
//! every question is answered by looking at everything. It is told the same entries and must come to
//! the same verdicts, closes, locks, orders and balances. Read next: `against_model.rs`.

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
        let mut released = self.outage(last);
        self.fire();
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
        self.edges_leave();
        (direct, std::mem::take(&mut self.said))
    }

    // Time.

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

    fn fire(&mut self) {
        loop {
            let mut due: Vec<(u64, u8, u128)> = Vec::new();
            for (id, auction) in &self.auctions {
                match auction.status {
                    Status::Open if auction.closes_at <= self.at => {
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
            due.retain(|(at, _, _)| *at <= self.at);
            let Some((_, kind, id)) = due.into_iter().min() else { return };
            match kind {
                0 => self.end_by_time(AuctionId::from_bits(id)),
                1 => self.window_ends(usize::try_from(id).expect("a place")),
                8 => self.lock_expires(usize::try_from(id).expect("a place")),
                2 => self.end(AuctionId::from_bits(id), Status::Unsold),
                3 => self.orders.get_mut(&OrderId::from_bits(id)).expect("due").overdue = true,
                _ => self.complete(OrderId::from_bits(id)),
            }
        }
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
        let heard = self.edges.values().filter(|row| row.in_intake).map(|row| row.watermark);
        let horizon = heard.min().unwrap_or(u64::MAX).min(self.at);
        loop {
            let open = self.auctions.iter().filter(|(_, row)| row.status == Status::Open);
            let first = open.map(|(id, row)| (row.closes_at, *id)).min();
            match first {
                Some((closes_at, id)) if closes_at <= horizon => self.end_by_time(id),
                _ => return,
            }
        }
    }

    // Bids.

    fn bids(&mut self, entry: &Entry, released: &mut Vec<(Place, Waiting)>) {
        let mut queue: Vec<(Place, Waiting, bool, bool)> =
            released.drain(..).map(|(place, held)| (place, held, true, true)).collect();
        let mut reached: BTreeMap<EdgeId, u64> = BTreeMap::new();
        for batch in batches(entry) {
            for journaled in &batch.entries {
                let Some(row) = self.edges.get_mut(&batch.edge) else { continue };
                let Some(good) = row.take(journaled) else { continue };
                let middle = reached.entry(batch.edge.clone()).or_default();
                *middle = journaled.stamp.doubled_middle().max(*middle);
                let waiting = Waiting {
                    edge: batch.edge.clone(),
                    seq: journaled.seq,
                    stamp: journaled.stamp,
                    intake: journaled.intake.clone(),
                    copies: 0,
                };
                queue.push(((*middle, batch.edge.clone(), journaled.seq), waiting, good, false));
            }
        }
        loop {
            queue.sort_by(|one, other| other.0.cmp(&one.0));
            let Some((_, bid, good, was_held)) = queue.pop() else { return };
            for (place, held) in self.judge(bid, good, was_held) {
                queue.push((place, held, true, true));
            }
        }
    }

    /// Judges one bid or offer; answers the held bids that it lets go.
    fn judge(&mut self, mut bid: Waiting, good: bool, mut was_held: bool) -> Vec<(Place, Waiting)> {
        let command = bid.intake.command();
        let body = *bid.intake.body_digest().as_bytes();
        if let Some((known, said)) = self.remembered.get(&command) {
            let said = if *known == body { *said } else { Said::No(Code::IdempotencyKeyReused) };
            self.tell(&bid, said);
            return Vec::new();
        }
        if !was_held {
            match self.join(&bid, good) {
                Joined::Apart => {}
                Joined::Waits => return Vec::new(),
                Joined::Other => {
                    self.tell(&bid, Said::No(Code::IdempotencyKeyReused));
                    return Vec::new();
                }
                Joined::Now(held) => {
                    bid = held;
                    was_held = true;
                }
            }
        }
        let mut released = Vec::new();
        let said = if good || was_held {
            self.rule(&bid, was_held, &mut released)
        } else {
            Some(Said::No(Code::StampRefused))
        };
        if let Some(said) = said {
            self.tell(&bid, said);
            if !matches!(said, Said::No(Code::Closing | Code::TooManyBids)) {
                self.remembered.insert(command, (body, said));
            }
        }
        released
    }

    /// Says it to the bid and to every copy of it that waited along.
    fn tell(&mut self, bid: &Waiting, said: Said) {
        for _ in 0..=bid.copies {
            self.said.push((bid.intake.command(), said));
        }
    }

    /// A copy of a command that is held waits along; the earlier stamp stands.
    fn join(&mut self, bid: &Waiting, good: bool) -> Joined {
        let Some(auction) = self.meant(&bid.intake).and_then(|id| self.auctions.get_mut(&id))
        else {
            return Joined::Apart;
        };
        let same = |held: &Waiting| held.intake.command() == bid.intake.command();
        let Some(place) = auction.held.iter().position(same) else { return Joined::Apart };
        if auction.held[place].intake.body_digest() != bid.intake.body_digest() {
            return Joined::Other;
        }
        let held = &mut auction.held[place];
        held.copies += 1;
        if good && bid.stamp.earliest < held.stamp.earliest {
            held.stamp = bid.stamp;
            held.edge = bid.edge.clone();
            held.seq = bid.seq;
        }
        if ms(held.stamp.earliest) < auction.closes_at {
            return Joined::Now(auction.held.remove(place));
        }
        Joined::Waits
    }

    fn meant(&self, intake: &Intake) -> Option<AuctionId> {
        match intake {
            Intake::Bid(bid) => Some(bid.auction),
            Intake::Offer(offer) => self.live(offer.story).filter(|_| offer.bid_if_open),
        }
    }

    /// Has an account, and did not leave two pieces unpaid in 90 days: that pauses for 30 days.
    fn may_trade(&self, user: UserId) -> bool {
        const DAY: u64 = 86_400 * SECOND;
        let unpaid = self.unpaid.get(&user).map_or(&[][..], Vec::as_slice);
        let paused = unpaid.iter().enumerate().any(|(place, at)| {
            let young = unpaid.iter().take(place).any(|before| before + 90 * DAY > *at);
            young && at + 30 * DAY > self.at
        });
        self.people.contains(&user) && !paused
    }

    /// The auction of a story that is not closed.
    fn live(&self, story: StoryId) -> Option<AuctionId> {
        let live = |row: &ModelAuction| {
            matches!(row.status, Status::Open | Status::Locked | Status::Awaiting { .. })
        };
        let found = self.auctions.iter().find(|(_, row)| row.story == story && live(row));
        found.map(|(id, _)| *id)
    }

    fn rule(
        &mut self,
        bid: &Waiting,
        was_held: bool,
        released: &mut Vec<(Place, Waiting)>,
    ) -> Option<Said> {
        match &bid.intake {
            _ if was_held => {
                let id = self.meant(&bid.intake).or_else(|| self.held_in(bid))?;
                self.rule_in(id, bid, true, released)
            }
            Intake::Bid(placed) => self.rule_in(placed.auction, bid, false, released),
            Intake::Offer(_) => self.rule_on_offer(bid, released),
        }
    }

    fn held_in(&self, bid: &Waiting) -> Option<AuctionId> {
        match &bid.intake {
            Intake::Bid(placed) => Some(placed.auction),
            Intake::Offer(offer) => {
                let of_story = self.auctions.iter().filter(|(_, row)| row.story == offer.story);
                of_story.map(|(id, _)| *id).next_back()
            }
        }
    }

    fn rule_in(
        &mut self,
        id: AuctionId,
        bid: &Waiting,
        was_held: bool,
        released: &mut Vec<(Place, Waiting)>,
    ) -> Option<Said> {
        let at = self.at;
        let is_known = self.may_trade(bid.intake.user());
        let Some(auction) = self.auctions.get(&id) else { return Some(Said::No(Code::NotFound)) };
        let (user, amount) = (bid.intake.user(), bid.intake.amount());
        let fact = if auction.currency != amount.currency() {
            Some(Code::CurrencyMismatch)
        } else if amount.minor() == 0 || amount.minor() > 99_999_999 {
            Some(Code::AmountOutOfRange)
        } else if !is_known {
            Some(Code::NotEligible)
        } else if auction.maker == user {
            Some(Code::SelfBid)
        } else {
            match auction.status {
                Status::Open => None,
                Status::Locked | Status::Awaiting { .. } if !auction.by_time => {
                    Some(Code::AuctionLocked)
                }
                _ => Some(Code::AuctionClosed),
            }
        };
        let used_up = auction.judged.get(&user).is_some_and(|judged| *judged >= 500);
        let is_late = ms(bid.stamp.earliest) >= auction.closes_at;
        let holds_one = auction.held.iter().any(|held| held.intake.user() == user);
        let validity = if was_held { None } else { invalid(bid, at) };
        let refusal = if let Some(code) = fact {
            code
        } else if used_up {
            return Some(Said::No(Code::TooManyBids));
        } else if is_late {
            match validity {
                Some(code) => code,
                None if holds_one => return Some(Said::No(Code::Closing)),
                None => {
                    self.auctions.get_mut(&id)?.held.push(bid.clone());
                    return None;
                }
            }
        } else if amount.minor() < auction.next() {
            Code::BidTooLow
        } else if let Some(code) = validity {
            code
        } else {
            self.place(id, bid, released);
            return Some(Said::Yes);
        };
        *self.auctions.get_mut(&id)?.judged.entry(user).or_default() += 1;
        Some(Said::No(refusal))
    }

    fn place(&mut self, id: AuctionId, bid: &Waiting, released: &mut Vec<(Place, Waiting)>) {
        let (window, extension) =
            (self.policy.auction.window.as_millis(), self.policy.auction.extension.as_millis());
        let at = self.at;
        let latest = self.latest_close(&self.auctions[&id]);
        let auction = self.auctions.get_mut(&id).expect("known");
        let leader = auction.bids.last().map(|leading| leading.bidder);
        let user = bid.intake.user();
        auction.bids.push(ModelBid {
            command: bid.intake.command(),
            bidder: user,
            minor: bid.intake.amount().minor(),
        });
        *auction.judged.entry(user).or_default() += 1;
        let is_close = auction.closes_at.saturating_sub(at) < window;
        let moved = (auction.closes_at + extension).min(latest);
        if leader != Some(user) && is_close && moved > auction.closes_at {
            auction.closes_at = moved;
            released.extend(auction.release());
        }
    }

    fn rule_on_offer(
        &mut self,
        bid: &Waiting,
        released: &mut Vec<(Place, Waiting)>,
    ) -> Option<Said> {
        let Intake::Offer(offer) = &bid.intake else { return None };
        let no = |code| Some(Said::No(code));
        let Some(story) = self.stories.get(&offer.story) else { return no(Code::NotFound) };
        if story.sold {
            return no(Code::InvalidState);
        }
        if story.currency != offer.amount.currency() {
            return no(Code::CurrencyMismatch);
        }
        if offer.amount.minor() == 0 || offer.amount.minor() > 99_999_999 {
            return no(Code::AmountOutOfRange);
        }
        if !self.may_trade(offer.buyer) {
            return no(Code::NotEligible);
        }
        if story.maker == offer.buyer {
            return no(Code::SelfBid);
        }
        if let Some(live) = self.live(offer.story) {
            return match self.auctions[&live].status {
                Status::Open if offer.bid_if_open => self.rule_in(live, bid, false, released),
                Status::Open => no(Code::AuctionActive),
                _ => no(Code::AuctionLocked),
            };
        }
        if self.auctions.contains_key(&offer.auction) {
            return no(Code::ValidationFailed);
        }
        if let Some(code) = invalid(bid, self.at) {
            return no(code);
        }
        let story = self.stories.get_mut(&offer.story).expect("known");
        let made = story.offers.entry(offer.buyer).or_default();
        if *made >= 3 {
            return no(Code::LimitReached);
        }
        *made += 1;
        if offer.amount.minor() < story.least {
            return no(Code::OfferMinViolation);
        }
        let policy = self.policy.auction;
        let cap = self.at + policy.total_max.as_millis();
        // Rules 2: at a full second.
        let plain = self.at + policy.initial.min(policy.total_max).as_millis();
        let closes_at = (plain.div_ceil(1_000) * 1_000).min(cap);
        let leading =
            ModelBid { command: offer.command, bidder: offer.buyer, minor: offer.amount.minor() };
        let auction = ModelAuction {
            story: offer.story,
            maker: story.maker,
            closes_at,
            base_close: closes_at,
            cap,
            bids: vec![leading],
            judged: BTreeMap::from([(offer.buyer, 1)]),
            held: Vec::new(),
            status: Status::Open,
            by_time: false,
            currency: story.currency,
        };
        self.auctions.insert(offer.auction, auction);
        Some(Said::Yes)
    }

    // Ends.

    fn end_by_time(&mut self, id: AuctionId) {
        self.auctions.get_mut(&id).expect("open").by_time = true;
        self.lock(id);
    }

    fn lock(&mut self, id: AuctionId) {
        let expires = self.at + self.policy.payment_window.as_millis();
        let auction = self.auctions.get_mut(&id).expect("open");
        auction.status = Status::Locked;
        let leading = auction.bids.last().expect("an opening bid").clone();
        self.locks.push(ModelLock {
            auction: id,
            buyer: leading.bidder,
            minor: leading.minor,
            expires,
            state: LockSays::Active,
            attempts: 0,
            open_since: None,
            failed_at: None,
            settles: None,
        });
        self.refuse_held(id);
    }

    fn refuse_held(&mut self, id: AuctionId) {
        let mut held = std::mem::take(&mut self.auctions.get_mut(&id).expect("known").held);
        held.sort_by_key(Waiting::place);
        for bid in held {
            let said = self.rule_in(id, &bid, true, &mut Vec::new()).expect("it has ended");
            self.tell(&bid, said);
            let body = *bid.intake.body_digest().as_bytes();
            if !matches!(said, Said::No(Code::TooManyBids)) {
                self.remembered.insert(bid.intake.command(), (body, said));
            }
        }
    }

    fn end(&mut self, id: AuctionId, status: Status) {
        let auction = self.auctions.get_mut(&id).expect("known");
        auction.status = status;
        let story = auction.story;
        let story = self.stories.get_mut(&story).expect("known");
        if status == Status::Sold {
            story.sold = true;
        } else {
            story.offers.clear();
        }
    }

    /// The window is over; a session that may be paid is waited for.
    fn window_ends(&mut self, place: usize) {
        let at = self.at;
        match self.locks[place].open_since {
            Some(since) => {
                let settles = (since + 25 * 3_600 * SECOND).max(at + 600 * SECOND);
                self.locks[place].settles = Some(settles);
            }
            None => self.lock_expires(place),
        }
    }

    fn checkout(&mut self, lock: SaleLockId) {
        let Some(place) = self.lock_ids.get(&lock).copied() else { return };
        let at = self.at;
        let lock = &mut self.locks[place];
        let pause = [60, 300, 900].get(lock.attempts.wrapping_sub(1)).copied().unwrap_or(0);
        let waits = lock.failed_at.is_some_and(|failed| at < failed + pause * SECOND);
        let is_over = lock.state != LockSays::Active || lock.settles.is_some();
        if is_over || lock.open_since.is_some() || lock.attempts >= 4 || waits {
            return;
        }
        lock.attempts += 1;
        lock.open_since = Some(at);
        lock.failed_at = None;
    }

    /// The newest attempt of a lock came to nothing.
    fn attempt_fails(&mut self, place: usize) {
        let lock = &mut self.locks[place];
        lock.open_since = None;
        lock.failed_at = Some(self.at);
        if lock.state == LockSays::Active && (lock.settles.is_some() || lock.attempts >= 4) {
            self.lock_expires(place);
        }
    }

    fn lock_expires(&mut self, place: usize) {
        let until = self.at + self.policy.decision_window.as_millis();
        self.locks[place].state = LockSays::Expired;
        self.unpaid.entry(self.locks[place].buyer).or_default().push(self.at);
        let auction = self.locks[place].auction;
        self.auctions.get_mut(&auction).expect("known").status = Status::Awaiting { until };
    }

    // Commands.

    /// None for a command that is not about what the model knows.
    fn direct(&mut self, envelope: &Envelope) -> Option<Said> {
        let user = match &envelope.actor {
            Actor::User(user) => Some(*user),
            Actor::Edge(_) | Actor::Cluster | Actor::Anonymous => None,
        };
        let done = match &envelope.command {
            Command::Auction(AuctionCommand::AcceptHighest { auction, expected }) => {
                self.accept(user, *auction, *expected)
            }
            Command::Auction(AuctionCommand::CancelAuction { auction, .. }) => {
                self.cancel(*auction)
            }
            Command::Payment(PaymentCommand::RecordProviderEvent(event)) => {
                self.paid(event);
                Ok(())
            }
            Command::Payment(PaymentCommand::CompleteEffect { effect, outcome }) => {
                let place = self.sessions.get(effect).copied();
                if let Some(place) = place.filter(|_| *outcome != EffectOutcome::Happened) {
                    self.attempt_fails(place);
                }
                return None;
            }
            Command::Payment(PaymentCommand::StartCheckout(start)) => {
                self.checkout(start.lock);
                return None;
            }
            Command::Finance(FinanceCommand::ReportEffect { effect, result }) => {
                let refund = self.refunds.get(effect).copied();
                if let (Some(minor), EffectResult::RefundMade { .. }) = (refund, result) {
                    self.post("refunds", minor);
                    self.unpost("provider", minor);
                }
                return None;
            }
            Command::Order(OrderCommand::AddTracking { order, number, .. }) => {
                self.ship(user, *order, number.as_str())
            }
            Command::Order(OrderCommand::ConfirmDelivery { order }) => self.confirm(user, *order),
            Command::Cluster(ClusterCommand::AdmitEdge { edge, tail }) => {
                let at = self.at;
                let row = self.edges.get_mut(edge).expect("an edge of the tests");
                if !row.in_intake {
                    row.in_intake = true;
                    row.admitted_at = at;
                    row.lag_began = None;
                    row.waiting.clear();
                    let watermark = Timestamp::from_unix_millis(at);
                    self.mark(edge, Mark { watermark, tail: *tail });
                }
                Ok(())
            }
            _ => return None,
        };
        Some(done.map_or_else(Said::No, |()| Said::Yes))
    }

    fn accept(
        &mut self,
        user: Option<UserId>,
        id: AuctionId,
        expected: fairground_types::BidId,
    ) -> Result<(), Code> {
        let auction = self.auctions.get(&id).ok_or(Code::NotFound)?;
        if user != Some(auction.maker) {
            return Err(Code::Forbidden);
        }
        auction.takes_bids()?;
        let leading = auction.bids.last().expect("an opening bid").command;
        if fairground_types::BidId::of(&leading) != expected {
            return Err(Code::HighestChanged);
        }
        self.lock(id);
        Ok(())
    }

    fn cancel(&mut self, id: AuctionId) -> Result<(), Code> {
        self.auctions.get(&id).ok_or(Code::NotFound)?.takes_bids()?;
        self.end(id, Status::Cancelled);
        self.refuse_held(id);
        Ok(())
    }

    /// The test's locks are named by their place: the market makes their ids itself.
    fn paid(&mut self, event: &ProviderEvent) {
        let place = event.lock.and_then(|lock| self.lock_ids.get(&lock).copied());
        if event.kind != ProviderEventKind::CheckoutPaid || !self.events.insert(event.event.clone())
        {
            return;
        }
        let Some(place) = place else { return };
        let lock = self.locks[place].clone();
        let amount = event.amount.expect("tests say how much");
        let payment = event.payment.clone().expect("tests name payments");
        if amount.minor() != lock.minor {
            // It waits for finance.
            if self.given_back.insert(payment) {
                self.post("provider", amount.minor());
                self.unpost("refunds", amount.minor());
            }
            return;
        }
        let newest = self.locks.iter().rposition(|other| other.auction == lock.auction);
        let awaits = matches!(self.auctions[&lock.auction].status, Status::Awaiting { .. });
        let in_time = newest == Some(place) && awaits && ms(event.created) < lock.expires;
        let buys = match lock.state {
            LockSays::Active => true,
            LockSays::Expired => in_time,
            LockSays::Paid => false,
        };
        if !buys {
            if self.given_back.insert(payment) {
                self.post("provider", amount.minor());
                self.unpost("refunds", amount.minor());
            }
            return;
        }
        self.locks[place].state = LockSays::Paid;
        self.locks[place].open_since = None;
        self.post("provider", lock.minor);
        self.unpost("escrow", lock.minor);
        let maker = self.auctions[&lock.auction].maker;
        let order = ModelOrder {
            buyer: lock.buyer,
            maker,
            minor: lock.minor,
            ship_by: self.at + self.policy.ship_by.as_millis(),
            overdue: false,
            state: OrderSays::ToShip,
            completes: None,
        };
        self.orders.insert(event.new_order, order);
        self.end(lock.auction, Status::Sold);
    }

    fn order(&mut self, user: Option<UserId>, id: OrderId) -> Result<&mut ModelOrder, Code> {
        let theirs = |row: &ModelOrder| user == Some(row.buyer) || user == Some(row.maker);
        self.orders.get_mut(&id).filter(|row| theirs(row)).ok_or(Code::NotFound)
    }

    fn ship(&mut self, user: Option<UserId>, id: OrderId, number: &str) -> Result<(), Code> {
        let is_used = self.tracking.contains(number);
        let order = self.order(user, id)?;
        if user != Some(order.maker) {
            return Err(Code::Forbidden);
        }
        if order.state != OrderSays::ToShip {
            return Err(Code::InvalidState);
        }
        if is_used {
            return Err(Code::TrackingInvalid);
        }
        order.state = OrderSays::OnItsWay;
        self.tracking.insert(number.to_owned());
        Ok(())
    }

    fn confirm(&mut self, user: Option<UserId>, id: OrderId) -> Result<(), Code> {
        let completes = self.at + self.policy.auto_complete.as_millis();
        let order = self.order(user, id)?;
        if user != Some(order.buyer) {
            return Err(Code::Forbidden);
        }
        match order.state {
            OrderSays::OnItsWay => {
                order.state = OrderSays::Delivered;
                order.completes = Some(completes);
            }
            OrderSays::Delivered => self.complete(id),
            OrderSays::ToShip | OrderSays::Completed => return Err(Code::InvalidState),
        }
        Ok(())
    }

    fn complete(&mut self, id: OrderId) {
        let order = self.orders.get_mut(&id).expect("known");
        order.state = OrderSays::Completed;
        let (minor, maker) = (order.minor, order.maker);
        // Five parts in a hundred, halves upwards, between 0.50 and 50.00.
        let fee = ((minor * 5 + 50) / 100).clamp(50, 5_000).min(minor);
        self.post("escrow", minor);
        self.unpost("fees", fee);
        self.unpost(&format!("maker {maker}"), minor - fee);
    }

    fn post(&mut self, account: &str, minor: u64) {
        *self.balances.entry(account.to_owned()).or_default() += i128::from(minor);
    }

    fn unpost(&mut self, account: &str, minor: u64) {
        *self.balances.entry(account.to_owned()).or_default() -= i128::from(minor);
    }
}

/// What became of a copy of a command that may be held.
enum Joined {
    /// Nothing like it is held.
    Apart,
    /// It waits along.
    Waits,
    /// Another request under the same key.
    Other,
    /// Its earlier stamp is in time: both are judged now.
    Now(Waiting),
}

fn batches(entry: &Entry) -> impl Iterator<Item = &Batch> {
    entry.commands.iter().filter_map(|command| match command {
        LogCommand::Batch(batch) => Some(batch),
        LogCommand::Direct(_) => None,
    })
}

/// Why a bid must not take effect any more, or not yet.
fn invalid(bid: &Waiting, at: u64) -> Option<Code> {
    let until = ms(bid.intake.valid_until());
    if until > ms(bid.stamp.earliest) + 300 * SECOND {
        Some(Code::ValidationFailed)
    } else if at > until {
        Some(Code::BidExpired)
    } else {
        None
    }
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
