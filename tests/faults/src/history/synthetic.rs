//! A history that never happened and in which nothing is wrong: for tests of the checker, which break
//! it in one place each, and for measuring how fast it is.

use fairground_kit::chance::Chance;

use super::load::{Answer, Auction, Command, Done, Held, History, Judged, NOBODY, Step, View};

const AUCTIONS: u32 = 40;
const SESSIONS: u32 = 64;
const EDGES: u32 = 3;
/// Microseconds of one entry of the log, from its first bid to the last answer.
const ENTRY: u64 = 400;

struct Maker {
    chance: Chance,
    history: History,
    now: u64,
    index: u64,
    too_low: u32,
    bids: u32,
    seqs: Vec<u64>,
    hashes: Vec<u32>,
    views: Vec<u64>,
    /// By auction: the highest amount that somebody was refused over.
    refused_at: Vec<u64>,
}

/// A sound history of at least so many operations.
#[must_use]
pub fn history(seed: u64, operations: usize) -> History {
    let mut history = History::default();
    history.seed = seed;
    let too_low = history.code_names.number("BID_TOO_LOW");
    for edge in 0..EDGES {
        history.other_names.number(&format!("e{edge}.1"));
    }
    for session in 0..SESSIONS {
        history.add_session(session, &format!("usr_{session}"));
    }
    let edges = usize::try_from(EDGES).unwrap_or(0);
    let mut maker = Maker {
        chance: Chance::new(seed),
        history,
        now: 1_000,
        index: 10,
        too_low,
        bids: 0,
        seqs: vec![0; edges],
        hashes: vec![1_000; edges],
        views: vec![0; edges],
        refused_at: Vec::new(),
    };
    for auction in 0..AUCTIONS {
        maker.open(auction);
    }
    maker.views.fill(maker.index);
    while maker.history.steps.len() < operations {
        maker.entry();
        maker.look();
    }
    maker.close();
    maker.history
}

impl Maker {
    fn open(&mut self, number: u32) {
        let name = format!("auc_{number}");
        let auction = self.history.auction_names.number(&name);
        self.history.auctions.push(Auction {
            auction,
            increment_points: 0,
            increment_floor: 1,
            closes_at: u64::MAX / 2,
            ended_at: None,
            placed: Vec::new(),
            refused: Vec::new(),
            refused_count: 0,
        });
        self.refused_at.push(0);
        self.step_on();
        self.bid(auction, number % SESSIONS, 100, 0, None);
    }

    fn step_on(&mut self) {
        self.now = self.now.saturating_add(ENTRY);
        self.index = self.index.saturating_add(self.chance.between(1, 3));
    }

    /// One entry with some bids.
    fn entry(&mut self) {
        self.step_on();
        for place in 0..self.chance.between(1, 4) {
            let auction = u32::try_from(self.chance.below(u64::from(AUCTIONS))).unwrap_or(0);
            let session = u32::try_from(self.chance.below(u64::from(SESSIONS))).unwrap_or(0);
            let at = usize::try_from(auction).unwrap_or(0);
            let leading = self.history.auctions.get(at).and_then(|it| it.placed.last().copied());
            let Some(leading) = leading else { continue };
            let refused_at = self.refused_at.get(at).copied().unwrap_or(0);
            let is_refusable = leading.session != session && refused_at != leading.amount;
            if is_refusable && self.chance.below(4) == 0 {
                if let Some(slot) = self.refused_at.get_mut(at) {
                    *slot = leading.amount;
                }
                self.bid(auction, session, leading.amount, place, Some(self.too_low));
            } else {
                let amount = leading.amount.saturating_add(self.chance.between(1, 3));
                self.bid(auction, session, amount, place, None);
            }
        }
    }

    fn bid(&mut self, auction: u32, session: u32, amount: u64, place: u64, code: Option<u32>) {
        let edge = u32::try_from(self.chance.below(u64::from(EDGES))).unwrap_or(0);
        let command = u32::try_from(self.history.commands.len()).unwrap_or(NOBODY);
        let called = self.now.saturating_add(place);
        let fate = self.chance.below(50);
        let step =
            |answered: u64, done: Done| Step { called, answered, session, edge, life: 1, done };
        if fate == 0 && place > 0 {
            // Never arrived, and nobody knows.
            // An amount that nobody else sends.
            let amount = u64::from(command) << 40;
            self.history.commands.push(Command { session, auction, amount, bid: None });
            let done = Done::Bid(command, Answer::Unknown);
            self.history.steps.push(step(u64::MAX, done));
            return;
        }
        let bid = self.bids;
        self.bids = self.bids.saturating_add(1);
        let judged = Answer::Judged { index: self.index, code };
        let answered = called.saturating_add(100);
        let (answer, known) = match fate {
            1 => (Answer::Unknown, None),
            2 | 3 => (Answer::Received, Some(bid)),
            _ => (judged, Some(bid)),
        };
        self.history.commands.push(Command { session, auction, amount, bid: known });
        self.history.steps.push(step(answered, Done::Bid(command, answer)));
        if answer == Answer::Received {
            let later = Step { called: answered, ..step(answered + 50, Done::Lookup(bid, judged)) };
            self.history.steps.push(later);
        }
        self.journal(edge, command, known.is_some(), called);
        let seq = self.seqs.get(usize::try_from(edge).unwrap_or(0)).copied().unwrap_or(0);
        let row = Judged {
            bid,
            session,
            amount,
            edge,
            seq,
            earliest: called,
            latest: called.saturating_add(2),
            index: self.index,
            at: self.now,
            code,
            late: false,
        };
        let at = usize::try_from(auction).unwrap_or(0);
        let Some(record) = self.history.auctions.get_mut(at) else { return };
        if code.is_some() {
            record.refused.push(row);
            record.refused_count = record.refused_count.saturating_add(1);
        } else {
            record.placed.push(row);
        }
    }

    fn journal(&mut self, edge: u32, command: u32, has_receipt: bool, called: u64) {
        let at = usize::try_from(edge).unwrap_or(0);
        let (Some(seq), Some(hash)) = (self.seqs.get_mut(at), self.hashes.get_mut(at)) else {
            return;
        };
        let previous = *hash;
        *seq = seq.saturating_add(1);
        // Unlike those of the other edges.
        *hash = hash.saturating_add(EDGES).saturating_add(edge);
        if has_receipt {
            self.history.receipts.push(Held {
                command,
                edge,
                seq: *seq,
                earliest: called,
                latest: called.saturating_add(2),
                valid_until: called.saturating_add(120_000),
                previous,
                hash: *hash,
            });
        }
    }

    /// Somebody looks at an auction, at an edge that may be behind.
    fn look(&mut self) {
        let edge = u32::try_from(self.chance.below(u64::from(EDGES))).unwrap_or(0);
        let at = usize::try_from(edge).unwrap_or(0);
        let Some(seen) = self.views.get_mut(at) else { return };
        *seen = self.chance.between(*seen, self.index);
        let index = *seen;
        let auction = u32::try_from(self.chance.below(u64::from(AUCTIONS))).unwrap_or(0);
        let record = self.history.auctions.get(usize::try_from(auction).unwrap_or(0));
        let Some(record) = record else { return };
        let count = record.placed.partition_point(|bid| bid.index <= index);
        let Some(leading) = count.checked_sub(1).and_then(|it| record.placed.get(it)) else {
            return;
        };
        let view = View {
            index,
            bid: leading.bid,
            amount: leading.amount,
            count: u64::try_from(count).unwrap_or(0),
            min_next: Some(leading.amount.saturating_add(1)),
            closes_at: record.closes_at,
        };
        let place = u32::try_from(self.history.views.len()).unwrap_or(NOBODY);
        self.history.views.push(view);
        let called = self.now.saturating_add(200);
        let session = u32::try_from(self.chance.below(u64::from(SESSIONS))).unwrap_or(0);
        let done = Done::Look(auction, Some(place));
        self.history.steps.push(Step {
            called,
            answered: called + 10,
            session,
            edge,
            life: 1,
            done,
        });
    }

    /// All auctions end after everything.
    fn close(&mut self) {
        let closes_at = self.now.saturating_mul(2);
        for auction in &mut self.history.auctions {
            auction.closes_at = closes_at;
            auction.ended_at = Some(closes_at.saturating_add(1));
        }
        for view in &mut self.history.views {
            view.closes_at = closes_at;
        }
    }
}
