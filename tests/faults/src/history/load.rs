//! Lines become a compact history: names are numbers, and what belongs to a bid is found by its key.
//!
//! Ten million operations must fit into memory, so nothing here holds a text per operation. It must
//! not judge; a line that contradicts itself is left for the checker. Read next: [`super::check`].

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::{AuctionEnd, JudgedBid, Line, Operation, Receipt, Told, VERSION, What};

/// Texts as numbers.
#[derive(Clone, Debug, Default)]
pub struct Names {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    /// The number of a text, the same for the same text.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// The number of a text that is known.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// The text of a number.
    #[must_use]
    pub fn text(&self, number: u32) -> &str {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        self.texts.get(place).map_or("?", String::as_str)
    }
}

/// What was said about a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A verdict of the log; the code when it was refused.
    Judged {
        /// The entry.
        index: u64,
        /// Why it was refused, by number.
        code: Option<u32>,
    },
    /// Durable at the edge.
    Received,
    /// Refused by the edge alone.
    RefusedAtEdge {
        /// The index of the view.
        index: u64,
        /// Why, by number.
        code: u32,
    },
    /// Not taken.
    Declined,
    /// Nobody knows.
    Unknown,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A bid was sent: its command, and the answer.
    Bid(u32, Answer),
    /// A bid was asked about: the bid's name, and the answer.
    Lookup(u32, Answer),
    /// An auction was looked at: its number, and the place of what was seen.
    Look(u32, Option<u32>),
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it was sent.
    pub called: u64,
    /// When it was answered; the greatest number when never.
    pub answered: u64,
    /// Whose.
    pub session: u32,
    /// Which edge.
    pub edge: u32,
    /// Which life of it; the greatest number when more than one.
    pub life: u32,
    /// What.
    pub done: Done,
}

/// What one key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whose.
    pub session: u32,
    /// The auction, by number.
    pub auction: u32,
    /// How much.
    pub amount: u64,
    /// The bid's name, once an answer told it.
    pub bid: Option<u32>,
}

/// A view of an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The index of the view.
    pub index: u64,
    /// The leading bid, by name.
    pub bid: u32,
    /// Its amount.
    pub amount: u64,
    /// How many were placed.
    pub count: u64,
    /// The least next bid, while bids are taken.
    pub min_next: Option<u64>,
    /// When it closes.
    pub closes_at: u64,
}

/// A receipt that a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// For which command.
    pub command: u32,
    /// The edge, by name.
    pub edge: u32,
    /// Place in its journal.
    pub seq: u64,
    /// Not earlier.
    pub earliest: u64,
    /// Not later.
    pub latest: u64,
    /// Until when it may be judged.
    pub valid_until: u64,
    /// Hash of the journal before it, by name.
    pub previous: u32,
    /// And with it.
    pub hash: u32,
}

/// A bid of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The bid, by name.
    pub bid: u32,
    /// Whose; the greatest number when nobody's.
    pub session: u32,
    /// How much.
    pub amount: u64,
    /// The edge, by name.
    pub edge: u32,
    /// Place in its journal.
    pub seq: u64,
    /// Not earlier.
    pub earliest: u64,
    /// Not later.
    pub latest: u64,
    /// The entry.
    pub index: u64,
    /// Its log time.
    pub at: u64,
    /// Why it was refused.
    pub code: Option<u32>,
    /// In time, but after the close.
    pub late: bool,
}

/// The record of an auction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auction {
    /// Its number.
    pub auction: u32,
    /// Least increment in hundredths of a percent.
    pub increment_points: u64,
    /// Least increment, minor units.
    pub increment_floor: u64,
    /// Its last close.
    pub closes_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// Accepted bids in the order of the log.
    pub placed: Vec<Judged>,
    /// Refused bids.
    pub refused: Vec<Judged>,
    /// How many were refused in all.
    pub refused_count: u64,
}

/// Everything, in numbers.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Where the choices came from.
    pub seed: u64,
    /// Operations, in no sequence.
    pub steps: Vec<Step>,
    /// What keys stand for.
    pub commands: Vec<Command>,
    /// What was seen of auctions.
    pub views: Vec<View>,
    /// Receipts.
    pub receipts: Vec<Held>,
    /// Records.
    pub auctions: Vec<Auction>,
    /// Names of auctions.
    pub auction_names: Names,
    /// Names of bids.
    pub bid_names: Names,
    /// Names of keys.
    pub key_names: Names,
    /// Names of codes.
    pub code_names: Names,
    /// Names of edges and hashes.
    pub other_names: Names,
    /// Lines that contradict earlier ones, for the checker.
    pub contradictions: Vec<String>,
    users: HashMap<String, u32>,
}

/// No session.
pub const NOBODY: u32 = u32::MAX;

impl History {
    /// Reads a file of lines.
    ///
    /// # Errors
    /// When it cannot be read or a line is none of ours.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
        let mut history = Self::default();
        let mut ends = Vec::new();
        for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
            let line = line.with_context(|| format!("read {}", path.display()))?;
            let parsed: Line = serde_json::from_str(&line)
                .with_context(|| format!("{}:{} is no line", path.display(), number + 1))?;
            match parsed {
                Line::Head { version, seed } => {
                    if version != VERSION {
                        bail!("{} has version {version}, not {VERSION}", path.display());
                    }
                    history.seed = seed;
                }
                Line::Session { session, user } => {
                    history.users.insert(user, session);
                }
                Line::Blow { .. } => {}
                Line::Did(operation) => history.add(&operation),
                // After all sessions and commands are known.
                Line::End(end) => ends.push(end),
            }
        }
        for end in &ends {
            history.add_end(end);
        }
        Ok(history)
    }

    /// Says which account a session is.
    pub fn add_session(&mut self, session: u32, user: &str) {
        self.users.insert(user.to_owned(), session);
    }

    /// Takes an operation.
    pub fn add(&mut self, operation: &Operation) {
        let done = match &operation.what {
            What::Bid { key, auction, amount, told } => {
                let command = self.command(operation.session, key, auction, *amount);
                Done::Bid(command, self.answer(command, told))
            }
            What::Lookup { bid, told } => {
                let name = self.bid_names.number(bid);
                Done::Lookup(name, self.answer_of(told))
            }
            What::Look { auction, seen } => {
                let auction = self.auction_names.number(auction);
                let place = seen.as_ref().map(|seen| {
                    let bid = self.bid_names.number(&seen.bid);
                    self.views.push(View {
                        index: seen.index,
                        bid,
                        amount: seen.amount,
                        count: seen.count,
                        min_next: seen.min_next,
                        closes_at: seen.closes_at,
                    });
                    u32::try_from(self.views.len() - 1).unwrap_or(u32::MAX)
                });
                Done::Look(auction, place)
            }
        };
        self.steps.push(Step {
            called: operation.called,
            answered: operation.answered.unwrap_or(u64::MAX),
            session: operation.session,
            edge: operation.edge,
            life: operation.life.unwrap_or(u32::MAX),
            done,
        });
    }

    fn command(&mut self, session: u32, key: &str, auction: &str, amount: u64) -> u32 {
        let auction = self.auction_names.number(auction);
        let number = self.key_names.number(key);
        let meant = Command { session, auction, amount, bid: None };
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        match self.commands.get(place) {
            None => self.commands.push(meant),
            Some(known) if Command { bid: None, ..*known } == meant => {}
            Some(_) => self.contradictions.push(format!("key {key} stands for two bids")),
        }
        number
    }

    fn answer(&mut self, command: u32, told: &Told) -> Answer {
        if let Told::Accepted { bid, receipt, .. }
        | Told::Refused { bid, receipt, .. }
        | Told::Received { bid, receipt } = told
        {
            let name = self.bid_names.number(bid);
            let place = usize::try_from(command).unwrap_or(usize::MAX);
            if let Some(known) = self.commands.get_mut(place) {
                if known.bid.is_some_and(|other| other != name) {
                    let key = self.key_names.text(command);
                    self.contradictions.push(format!("key {key} was answered with two bids"));
                }
                known.bid = Some(name);
            }
            if let Some(receipt) = receipt {
                self.add_receipt(command, receipt);
            }
        }
        self.answer_of(told)
    }

    fn add_receipt(&mut self, command: u32, receipt: &Receipt) {
        let held = Held {
            command,
            edge: self.other_names.number(&receipt.edge),
            seq: receipt.seq,
            earliest: receipt.earliest,
            latest: receipt.latest,
            valid_until: receipt.valid_until,
            previous: self.other_names.number(&receipt.previous),
            hash: self.other_names.number(&receipt.hash),
        };
        self.receipts.push(held);
    }

    fn answer_of(&mut self, told: &Told) -> Answer {
        match told {
            Told::Accepted { index, .. } => Answer::Judged { index: *index, code: None },
            Told::Refused { index, code, .. } => {
                Answer::Judged { index: *index, code: Some(self.code_names.number(code)) }
            }
            Told::Received { .. } => Answer::Received,
            Told::RefusedAtEdge { index, code } => {
                Answer::RefusedAtEdge { index: *index, code: self.code_names.number(code) }
            }
            Told::Declined { .. } => Answer::Declined,
            Told::Unknown { .. } => Answer::Unknown,
        }
    }

    /// Takes a record; after all operations.
    pub fn add_end(&mut self, end: &AuctionEnd) {
        let auction = self.auction_names.number(&end.auction);
        let placed = end.placed.iter().map(|bid| self.judged(bid)).collect();
        let refused = end.refused.iter().map(|bid| self.judged(bid)).collect();
        self.auctions.push(Auction {
            auction,
            increment_points: end.increment_points,
            increment_floor: end.increment_floor,
            closes_at: end.closes_at,
            ended_at: end.ended_at,
            placed,
            refused,
            refused_count: end.refused_count,
        });
    }

    fn judged(&mut self, bid: &JudgedBid) -> Judged {
        Judged {
            bid: self.bid_names.number(&bid.bid),
            session: self.users.get(&bid.user).copied().unwrap_or(NOBODY),
            amount: bid.amount,
            edge: self.other_names.number(&bid.edge),
            seq: bid.seq,
            earliest: bid.earliest,
            latest: bid.latest,
            index: bid.index,
            at: bid.at,
            code: bid.code.as_ref().map(|code| self.code_names.number(code)),
            late: bid.late,
        }
    }
}
