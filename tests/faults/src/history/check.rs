//! The checker: what must hold of a history, each rule under a name, in O(n log n).
//!
//! Every verdict carries its place in the log, so nothing has to be searched: the record is replayed
//! in that sequence through a model of the rules (`replay.rs`), and what clients were told is
//! compared with it. An answer that did not come, or that says nothing, is unknown: its bid may be
//! in the record or not, but what is not there must never have been seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::load::{Answer, Auction, Done, History, Judged, NOBODY, Names};
use super::replay::{self, Fault};

/// Violations of a rule that are kept with their words; all are counted.
const KEPT_MAX: u64 = 10;
/// Refusals that the market gives without remembering them.
const PASSING: [&str; 3] = ["CLOSING", "TOO_MANY_BIDS", "IDEMPOTENCY_KEY_REUSED"];

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// How.
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How much each rule had to look at: a rule that looks at nothing proves nothing.
    pub looked_at: BTreeMap<&'static str, u64>,
    /// How often each rule was broken.
    pub broken: BTreeMap<&'static str, u64>,
    /// The first violations of each rule.
    pub violations: Vec<Violation>,
    /// All of them.
    pub violation_count: u64,
    /// Bids that clients sent, by key.
    pub bids: u64,
    /// Bids with a receipt or another word that they were received.
    pub received: u64,
    /// Bids with a verdict in the record.
    pub judged: u64,
    /// Bids that no answer said anything about.
    pub unknown: u64,
    /// Those of them that the record holds.
    pub unknown_found: u64,
    /// Received bids without a verdict.
    pub lost: u64,
    /// Refusals too old for the record, which keeps the newest.
    pub undecided: u64,
    /// Looks at an edge that did not show an own verdict of that edge yet; the wait for it is bounded.
    pub behind_own: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.violation_count == 0
    }

    fn look(&mut self, rule: &'static str) {
        let count = self.looked_at.entry(rule).or_default();
        *count = count.saturating_add(1);
    }

    fn break_rule(&mut self, rule: &'static str, text: impl FnOnce() -> String) {
        self.violation_count = self.violation_count.saturating_add(1);
        let count = self.broken.entry(rule).or_default();
        *count = count.saturating_add(1);
        if *count <= KEPT_MAX {
            self.violations.push(Violation { rule, text: text() });
        }
    }

    /// Counts a look and what it found.
    fn demand(&mut self, rule: &'static str, holds: bool, text: impl FnOnce() -> String) {
        self.look(rule);
        if !holds {
            self.break_rule(rule, text);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, count) in &self.looked_at {
            writeln!(f, "  {rule}: {count} looked at")?;
        }
        for Violation { rule, text } in self.violations.iter().take(20) {
            writeln!(f, "  VIOLATION {rule}: {text}")?;
        }
        write!(
            f,
            "bids {}, received {}, judged {}, unknown {} (found {}), undecided {}, lost {}, \
             looks behind an own verdict {}, violations {}",
            self.bids,
            self.received,
            self.judged,
            self.unknown,
            self.unknown_found,
            self.undecided,
            self.lost,
            self.behind_own,
            self.violation_count
        )
    }
}

/// Where a bid stands in the record.
#[derive(Clone, Copy)]
struct Entry {
    auction: u32,
    bid: Judged,
}

/// Tables over a history.
struct Checker<'a> {
    history: &'a History,
    report: Report,
    /// By the bid's number.
    entries: Vec<Option<Entry>>,
    /// By the command's number: the bid in the record.
    bid_of: Vec<Option<u32>>,
    /// By the bid's number: the command whose answers name it.
    command_of: Vec<u32>,
    /// By the auction's number: its place among the records.
    records: HashMap<u32, usize>,
}

/// Checks everything.
#[must_use]
pub fn check(history: &History) -> Report {
    let mut checker = Checker {
        history,
        report: Report::default(),
        entries: Vec::new(),
        bid_of: Vec::new(),
        command_of: Vec::new(),
        records: HashMap::new(),
    };
    for text in &history.contradictions {
        checker.report.break_rule("one bid per key", || text.clone());
    }
    checker.enter_record();
    checker.find_commands();
    checker.answers_agree();
    checker.prices();
    checker.log_time();
    checker.real_time();
    checker.looks();
    checker.sessions_go_forward();
    checker.journals();
    checker.report
}

fn slot(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl<'a> Checker<'a> {
    fn key(&self, command: u32) -> String {
        self.history.key_names.text(command).to_owned()
    }

    fn entry(&self, bid: u32) -> Option<Entry> {
        self.entries.get(slot(bid)).copied().flatten()
    }

    fn record(&self, auction: u32) -> Option<&'a Auction> {
        self.records.get(&auction).and_then(|place| self.history.auctions.get(*place))
    }

    /// No bid is in the record twice, nor a journal's sequence.
    fn enter_record(&mut self) {
        let mut sequences = Vec::new();
        for (place, auction) in self.history.auctions.iter().enumerate() {
            self.records.insert(auction.auction, place);
            for bid in auction.placed.iter().chain(&auction.refused) {
                let at = slot(bid.bid);
                if self.entries.len() <= at {
                    self.entries.resize(at.saturating_add(1), None);
                }
                let name = || self.history.bid_names.text(bid.bid).to_owned();
                let slot = self.entries.get_mut(at).map(|slot| {
                    slot.replace(Entry { auction: auction.auction, bid: *bid }).is_none()
                });
                self.report.demand("one verdict per bid", slot == Some(true), || {
                    format!("bid {} is in the record twice", name())
                });
                sequences.push((bid.edge, bid.seq));
            }
        }
        sequences.sort_unstable();
        for pair in sequences.windows(2) {
            let [before, after] = pair else { continue };
            self.report.demand("no sequence twice", before != after, || {
                let edge = self.history.other_names.text(after.0);
                format!("two bids have the sequence {} of {edge}", after.1)
            });
        }
    }

    /// Every bid of the record is one that a client sent, as it was sent.
    fn find_commands(&mut self) {
        let history = self.history;
        let commands = || (0_u32..).zip(&history.commands);
        let mut sent: Vec<(u32, u32, u64, u32)> =
            commands().map(|(number, it)| (it.auction, it.session, it.amount, number)).collect();
        sent.sort_unstable();
        for pair in sent.windows(2) {
            let [one, two] = pair else { continue };
            if (one.0, one.1, one.2) == (two.0, two.1, two.2) {
                let (one, two) = (self.key(one.3), self.key(two.3));
                let text = format!("keys {one} and {two} cannot be told apart");
                self.report.break_rule("one bid per key", || text);
            }
        }
        self.bid_of = history.commands.iter().map(|command| command.bid).collect();
        self.command_of = vec![u32::MAX; self.entries.len()];
        for (number, command) in commands() {
            let Some(bid) = command.bid else { continue };
            if self.command_of.len() <= slot(bid) {
                self.command_of.resize(slot(bid).saturating_add(1), u32::MAX);
            }
            if let Some(place) = self.command_of.get_mut(slot(bid)) {
                *place = number;
            }
        }
        let entries = std::mem::take(&mut self.entries);
        for entry in entries.iter().flatten() {
            let bid = entry.bid;
            let meant = (entry.auction, bid.session, bid.amount);
            let told = self.command_of.get(slot(bid.bid)).copied().filter(|it| *it != u32::MAX);
            let place = sent.partition_point(|it| (it.0, it.1, it.2) < meant);
            let by_body = sent.get(place).filter(|it| (it.0, it.1, it.2) == meant);
            let command = told.or_else(|| by_body.map(|it| it.3));
            let same = command.and_then(|number| history.commands.get(slot(number)));
            let is_as_sent = same.is_some_and(|command| {
                (command.auction, command.session, command.amount) == meant && bid.session != NOBODY
            });
            self.report.demand("nothing is invented", is_as_sent, || {
                format!("bid {} is not as anybody sent it", history.bid_names.text(bid.bid))
            });
            if let Some(place) = command.and_then(|number| self.bid_of.get_mut(slot(number))) {
                *place = Some(bid.bid);
            }
        }
        self.entries = entries;
    }

    /// Whether a refusal may be missing from the record.
    fn may_be_missing(&self, auction: u32, code: Option<u32>) -> bool {
        let text = code.map(|code| self.history.code_names.text(code));
        if text.is_some_and(|text| PASSING.contains(&text)) {
            return true;
        }
        self.record(auction).is_some_and(|record| {
            u64::try_from(record.refused.len()).unwrap_or(u64::MAX) < record.refused_count
        })
    }

    /// What clients were told is what the record says; what was received is judged.
    fn answers_agree(&mut self) {
        let history = self.history;
        let mut known = vec![Known::default(); history.commands.len()];
        for step in &history.steps {
            match step.done {
                Done::Bid(command, answer) => {
                    if let Some(known) = known.get_mut(slot(command)) {
                        known.hear(answer);
                    }
                    self.told(self.bid_of.get(slot(command)).copied().flatten(), command, answer);
                    if let Answer::RefusedAtEdge { index, code } = answer {
                        self.refused_at_edge(command, index, code);
                    }
                }
                Done::Lookup(bid, answer) => {
                    let command = self.command_of.get(slot(bid)).copied().unwrap_or(u32::MAX);
                    self.told(Some(bid), command, answer);
                }
                Done::Look(..) => {}
            }
        }
        for (number, known) in (0_u32..).zip(known) {
            self.settle(number, known);
        }
    }

    fn told(&mut self, bid: Option<u32>, command: u32, answer: Answer) {
        let Answer::Judged { index, code } = answer else { return };
        let found = bid.and_then(|bid| self.entry(bid));
        let name = || match bid {
            Some(bid) => self.history.bid_names.text(bid).to_owned(),
            None => self.key(command),
        };
        let Some(entry) = found else {
            let auction = self.history.commands.get(slot(command)).map(|found| found.auction);
            let may_be = code.is_some() && auction.is_some_and(|it| self.may_be_missing(it, code));
            if may_be {
                self.report.undecided = self.report.undecided.saturating_add(1);
                return;
            }
            let text = format!("{} was told a verdict of entry {index}, which is gone", name());
            self.report.demand("verdicts are final", false, || text);
            return;
        };
        let is_same = entry.bid.index == index && entry.bid.code == code;
        let text = if is_same {
            String::new()
        } else {
            format!("{} was told entry {index}, the record says {}", name(), entry.bid.index)
        };
        self.report.demand("verdicts are final", is_same, || text);
    }

    /// An edge refuses alone on what is true at the index that it names.
    fn refused_at_edge(&mut self, command: u32, index: u64, code: u32) {
        let history = self.history;
        let Some(meant) = history.commands.get(slot(command)) else { return };
        let Some(record) = self.record(meant.auction) else { return };
        let leading = replay::placed_at(record, index).checked_sub(1);
        let leading = leading.and_then(|place| record.placed.get(place));
        let holds = match history.code_names.text(code) {
            "BID_TOO_LOW" => {
                leading.is_some_and(|bid| meant.amount < replay::min_next(record, bid.amount))
            }
            "AUCTION_CLOSED" => record.ended_at.is_some(),
            _ => false,
        };
        let text = || {
            let code = history.code_names.text(code);
            format!("{} was refused as {code} at {index}", history.key_names.text(command))
        };
        self.report.demand("edges refuse on facts", holds, text);
    }

    /// What becomes of a command, by all that was heard of it.
    fn settle(&mut self, number: u32, known: Known) {
        let bid = self.bid_of.get(slot(number)).copied().flatten();
        let entry = bid.and_then(|bid| self.entry(bid));
        let auction = self.history.commands.get(slot(number)).map_or(NOBODY, |it| it.auction);
        let report = &mut self.report;
        report.bids = report.bids.saturating_add(1);
        report.judged = report.judged.saturating_add(u64::from(entry.is_some()));
        if known.was_received || known.was_judged {
            report.received = report.received.saturating_add(1);
            if entry.is_some() {
                self.report.look("what is received is judged");
            } else if self.may_be_missing(auction, known.code) {
                self.report.undecided = self.report.undecided.saturating_add(1);
            } else {
                self.report.lost = self.report.lost.saturating_add(1);
                let key = self.key(number);
                let text = format!("{key} has a receipt and no verdict");
                self.report.demand("what is received is judged", false, || text);
            }
            return;
        }
        if known.is_unknown {
            report.unknown = report.unknown.saturating_add(1);
            report.unknown_found = report.unknown_found.saturating_add(u64::from(entry.is_some()));
            report.look("unknown is there or never seen");
            return;
        }
        let key = self.key(number);
        self.report.demand("what is declined is not kept", entry.is_none(), || {
            format!("{key} was declined everywhere and is in the record")
        });
    }

    fn prices(&mut self) {
        let history = self.history;
        let valid: HashMap<u32, u64> = history
            .receipts
            .iter()
            .filter_map(|held| {
                let bid = self.bid_of.get(slot(held.command)).copied().flatten()?;
                Some((bid, held.valid_until))
            })
            .collect();
        let ranks = ranks(&history.other_names, history.auctions.iter());
        for auction in &history.auctions {
            let name = history.auction_names.text(auction.auction).to_owned();
            let ended = auction.ended_at.is_none_or(|ended| ended >= auction.closes_at);
            self.report
                .demand("no early close", ended, || format!("{name} ended before its close"));
            for _ in auction.placed.iter().chain(&auction.refused) {
                self.report.look("prices");
            }
            replay::replay(
                auction,
                |code| history.code_names.text(code).to_owned(),
                |edge| ranks.get(&edge).copied().unwrap_or(0),
                |bid| valid.get(&bid).copied(),
                |bid, fault| {
                    let (rule, text) = match fault {
                        Fault::Price(text) => ("prices", text),
                        Fault::Close(text) => ("closes", text),
                        Fault::Sequence(text) => ("sequence of an entry", text),
                        Fault::Code(text) => ("codes of the rules", text),
                    };
                    let bid_name = history.bid_names.text(bid.bid);
                    self.report.break_rule(rule, || {
                        format!("bid {bid_name} of {name} at entry {}: {text}", bid.index)
                    });
                },
            );
        }
    }

    /// Log time never falls, and an entry has one.
    fn log_time(&mut self) {
        let mut times: Vec<(u64, u64)> =
            self.entries.iter().flatten().map(|entry| (entry.bid.index, entry.bid.at)).collect();
        times.sort_unstable();
        for pair in times.windows(2) {
            let [(index, at), (next, then)] = pair else { continue };
            let holds = at <= then && (index != next || at == then);
            self.report.demand("log time never falls", holds, || {
                format!("entry {next} has {then}, entry {index} had {at}")
            });
        }
    }

    /// What was sent after an answer was seen is later in the log than that answer.
    fn real_time(&mut self) {
        let history = self.history;
        let mut first_calls = vec![u64::MAX; history.commands.len()];
        let mut answers: Vec<(u64, u64)> = Vec::with_capacity(history.steps.len());
        for step in &history.steps {
            let index = match step.done {
                Done::Bid(command, answer) => {
                    if let Some(first) = first_calls.get_mut(slot(command)) {
                        *first = step.called.min(*first);
                    }
                    index_of(answer)
                }
                Done::Lookup(_, answer) => index_of(answer),
                Done::Look(_, seen) => {
                    seen.and_then(|place| history.views.get(slot(place))).map(|view| view.index)
                }
            };
            answers.extend(index.map(|index| (step.answered, index)));
        }
        answers.sort_unstable();
        let mut calls: Vec<(u64, u32)> =
            (0_u32..).zip(first_calls).map(|(n, at)| (at, n)).collect();
        calls.sort_unstable();
        let mut answers = answers.into_iter().peekable();
        let mut floor = 0;
        for (called, command) in calls {
            while let Some((_, index)) = answers.next_if(|(answered, _)| *answered < called) {
                floor = floor.max(index);
            }
            let bid = self.bid_of.get(slot(command)).copied().flatten();
            let Some(entry) = bid.and_then(|bid| self.entry(bid)) else { continue };
            let index = entry.bid.index;
            self.report.demand("real time", index > floor, || {
                let key = history.key_names.text(command);
                format!("{key} is in entry {index}, sent after {floor} was seen")
            });
        }
    }

    /// A view equals the model at its index.
    fn looks(&mut self) {
        let history = self.history;
        for step in &history.steps {
            let Done::Look(auction, Some(place)) = step.done else { continue };
            let Some(view) = history.views.get(slot(place)) else { continue };
            let name = || history.auction_names.text(auction).to_owned();
            let Some(record) = self.record(auction) else {
                self.report.demand("views equal the model", false, || {
                    format!("{} was seen and has no record", name())
                });
                continue;
            };
            let count = replay::placed_at(record, view.index);
            let leading = count.checked_sub(1).and_then(|place| record.placed.get(place));
            let holds = leading.is_some_and(|bid| {
                bid.bid == view.bid
                    && bid.amount == view.amount
                    && u64::try_from(count).is_ok_and(|count| count == view.count)
                    && view.min_next.is_none_or(|min| min == replay::min_next(record, bid.amount))
                    && view.closes_at <= record.closes_at
            });
            self.report.demand("views equal the model", holds, || {
                format!("{} at {} showed {view:?}, the model has {leading:?}", name(), view.index)
            });
        }
    }

    /// The views that a session sees at one edge never go back while that edge lives.
    fn sessions_go_forward(&mut self) {
        let history = self.history;
        let mut seen: Vec<(u32, u32, u32, u64, u64, u64, bool)> = Vec::new();
        for step in history.steps.iter().filter(|step| step.life != u32::MAX) {
            let (index, is_view) = match step.done {
                Done::Look(_, Some(place)) => match history.views.get(slot(place)) {
                    Some(view) => (view.index, true),
                    None => continue,
                },
                Done::Bid(_, Answer::RefusedAtEdge { index, .. }) => (index, true),
                Done::Bid(_, Answer::Judged { index, code: None }) => (index, false),
                Done::Bid(..) | Done::Lookup(..) | Done::Look(_, None) => continue,
            };
            seen.push((
                step.session,
                step.edge,
                step.life,
                step.called,
                step.answered,
                index,
                is_view,
            ));
        }
        seen.sort_unstable();
        let (mut whose, mut floor, mut own) = ((0, 0, 0), (0, 0), (0, 0));
        for (session, edge, life, called, answered, index, is_view) in seen {
            if whose != (session, edge, life) {
                (whose, floor, own) = ((session, edge, life), (0, 0), (0, 0));
            }
            if !is_view {
                own = (answered, index);
                continue;
            }
            // Two operations of a session at once say nothing about each other.
            let holds = floor.0 > called || index >= floor.1;
            self.report.demand("sessions go forward", holds, || {
                format!("session {session} saw {index} at edge {edge} after {}", floor.1)
            });
            let is_behind = own.0 <= called && index < own.1;
            self.report.behind_own = self.report.behind_own.saturating_add(u64::from(is_behind));
            floor = (floor.0.max(answered), floor.1.max(index));
        }
    }

    /// An edge's journal is one chain: a sequence has one hash, which the next one names.
    fn journals(&mut self) {
        let history = self.history;
        let mut links: Vec<(u32, u64, u32, u32, u32)> = history
            .receipts
            .iter()
            .map(|held| (held.edge, held.seq, held.previous, held.hash, held.command))
            .collect();
        links.sort_unstable();
        for pair in links.windows(2) {
            let [before, after] = pair else { continue };
            if before.0 != after.0 {
                continue;
            }
            let holds = if before.1 == after.1 {
                (before.2, before.3, before.4) == (after.2, after.3, after.4)
            } else {
                before.1.checked_add(1) != Some(after.1) || before.3 == after.2
            };
            self.report.demand("one chain per journal", holds, || {
                let edge = history.other_names.text(after.0);
                format!("receipts {} and {} of {edge} do not fit", before.1, after.1)
            });
        }
        for held in &history.receipts {
            let bid = self.bid_of.get(slot(held.command)).copied().flatten();
            let Some(entry) = bid.and_then(|bid| self.entry(bid)) else { continue };
            if (entry.bid.edge, entry.bid.seq) != (held.edge, held.seq) {
                continue;
            }
            let holds = (entry.bid.earliest, entry.bid.latest) == (held.earliest, held.latest);
            self.report.demand("stamps are as receipted", holds, || {
                let key = history.key_names.text(held.command);
                format!("{key} was judged by another stamp than its receipt's")
            });
        }
    }
}

/// What all answers about a command say together.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    was_received: bool,
    was_judged: bool,
    is_unknown: bool,
    code: Option<u32>,
}

impl Known {
    const fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Judged { code, .. } => {
                self.was_judged = true;
                self.code = code;
            }
            Answer::Received => self.was_received = true,
            Answer::Unknown => self.is_unknown = true,
            Answer::RefusedAtEdge { .. } | Answer::Declined => {}
        }
    }
}

/// The index of the log that an answer shows to have been reached.
const fn index_of(answer: Answer) -> Option<u64> {
    match answer {
        Answer::Judged { index, .. } | Answer::RefusedAtEdge { index, .. } => Some(index),
        Answer::Received | Answer::Declined | Answer::Unknown => None,
    }
}

/// Edges in their sequence: by name, then by incarnation.
fn ranks<'a>(names: &Names, auctions: impl Iterator<Item = &'a Auction>) -> HashMap<u32, u32> {
    let mut edges: Vec<u32> = auctions
        .flat_map(|auction| auction.placed.iter().chain(&auction.refused))
        .map(|bid| bid.edge)
        .collect::<HashSet<u32>>()
        .into_iter()
        .collect();
    edges.sort_by_cached_key(|edge| {
        let text = names.text(*edge);
        let (name, incarnation) = text.rsplit_once('.').unwrap_or((text, "0"));
        (name.to_owned(), incarnation.parse::<u64>().unwrap_or(0), *edge)
    });
    edges.into_iter().zip(0..).collect()
}
