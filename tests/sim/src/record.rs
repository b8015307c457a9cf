//! What the log holds, as the first member to apply each entry showed it, and what clients were told.
//!
//! Every check of a single entry is called from here, in `checks/`. Entries come in the order of the
//! log; a member that applies one later must show the same. It must not know members, edges or wires.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::Excluded;

use fairground_coordinator::sim::Seen;
use fairground_market::Market;
use fairground_runtime::receipt::Claims;
use fairground_types::command::{
    AuctionPolicy, ClusterCommand, Command, Entry, GovernCommand, LogCommand,
};
use fairground_types::event::{CloseReason, LockReason, PublicEvent};
use fairground_types::journal::{Intake, JournalEntry, Mark};
use fairground_types::verdict::Judged;
use fairground_types::{
    AuctionId, CommandId, Digest, EdgeId, LogIndex, Millis, Money, StoryId, Timestamp, Verdict,
    limits,
};

use crate::checks;
use crate::trace::Trace;

/// One entry.
pub struct Row {
    /// Log time.
    pub at: Timestamp,
    /// The running digest after it.
    pub digest: Option<Digest>,
    /// The entry.
    pub entry: Entry,
    /// The journal entries that it applied; others in it are copies, or come behind a gap.
    pub fresh: BTreeSet<(EdgeId, u64)>,
    /// What it made public.
    pub events: Vec<PublicEvent>,
}

/// How the bidding in an auction ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The entry.
    pub index: LogIndex,
    /// By time, not by somebody.
    pub by_time: bool,
    /// Edges named as not heard.
    pub unheard: Vec<EdgeId>,
    /// Edges that closes waited for.
    pub intake: BTreeSet<EdgeId>,
}

/// How an auction stood after an entry.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The entry.
    pub index: LogIndex,
    /// The least next bid.
    pub min_next: Money,
    /// Whether bids were taken.
    pub is_open: bool,
}

/// An auction as its public events tell it.
#[derive(Clone, Debug)]
pub struct Known {
    /// What is sold.
    pub story: StoryId,
    /// Its rules.
    pub policy: AuctionPolicy,
    /// When it closes.
    pub closes_at: Timestamp,
    /// Whether no bid can move that.
    pub is_final: bool,
    /// How it ended.
    pub ending: Option<Ending>,
    /// How it stood over time.
    pub moments: Vec<Moment>,
    /// Amounts accepted since the last bid that was taken back.
    pub amounts: Vec<Money>,
    /// How many bids were taken back.
    pub retracted: u32,
}

impl Known {
    /// How long a silent edge is waited for.
    #[must_use]
    pub fn grace(&self) -> Millis {
        if self.is_final { limits::GRACE_MIN } else { self.policy.grace.max(limits::GRACE_MIN) }
    }

    /// How it stood at an entry.
    #[must_use]
    pub fn moment(&self, index: LogIndex) -> Option<Moment> {
        self.moments.iter().rev().find(|moment| moment.index <= index).copied()
    }
}

/// What is known of the promises of an edge.
#[derive(Default)]
pub struct Promises {
    /// Marks whose tail is not applied.
    pub waiting: Vec<Mark>,
    /// The highest watermark whose tail is.
    pub counted: Timestamp,
    /// The same before the newest entry of the log.
    pub before: Timestamp,
    /// Up to here the journal is applied.
    pub applied: u64,
}

/// A bid that was applied and has no verdict.
pub struct Waiting {
    /// Its entry.
    pub entry: JournalEntry,
    /// The auction that holds it.
    pub auction: AuctionId,
}

/// A receipt that a client got.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The command.
    pub command: CommandId,
    /// The edge that gave it.
    pub edge: EdgeId,
    /// What it says.
    pub claims: Claims,
}

/// See the module.
pub struct Record {
    /// Where everything is told.
    pub trace: Trace,
    /// Milliseconds that the true clock shows at world time zero.
    pub epoch: u64,
    /// Every entry so far.
    pub rows: BTreeMap<LogIndex, Row>,
    /// Every auction.
    pub auctions: BTreeMap<AuctionId, Known>,
    /// The verdict that is remembered of each command.
    pub verdicts: BTreeMap<CommandId, Judged>,
    /// What each journal entry was told.
    pub told: BTreeMap<(EdgeId, u64), Judged>,
    /// Journal entries as they were applied.
    pub applied: BTreeMap<(EdgeId, u64), JournalEntry>,
    /// The earliest stamp that each command was applied with: of copies it is the one that stands.
    pub stands: BTreeMap<CommandId, Timestamp>,
    /// Those that wait.
    pub waiting: BTreeMap<(EdgeId, u64), Waiting>,
    /// Those that ever waited.
    pub waited: BTreeSet<(EdgeId, u64)>,
    /// Commands of which a copy ever waited.
    pub held: BTreeSet<CommandId>,
    /// Somebody has just seen to it that a bid is held.
    pub is_raced: bool,
    /// Promises.
    pub promises: BTreeMap<EdgeId, Promises>,
    /// Edges that closes wait for.
    pub intake: BTreeSet<EdgeId>,
    /// What clients sent, by command: several bodies when a key was used twice.
    pub sent: BTreeMap<CommandId, Vec<Intake>>,
    /// Receipts.
    pub receipts: Vec<Receipt>,
    /// When open auctions closed before the newest entry.
    pub closes_before: BTreeMap<AuctionId, Timestamp>,
    /// Edges that do not follow the protocol.
    pub hostile: BTreeSet<EdgeId>,
    /// Edges whose disk was put back or lost.
    pub tainted: BTreeSet<EdgeId>,
    /// Edges that came back with less than the log has of them, and up to which sequence they know.
    pub outrun: BTreeMap<EdgeId, u64>,
    /// The last entry that each member applied.
    reached: BTreeMap<String, LogIndex>,
    /// Sequences of an edge that it lost, as the log was told.
    pub missing: BTreeMap<EdgeId, Vec<(u64, u64)>>,
    /// Log time.
    pub at: Timestamp,
    /// Term of the newest entry.
    pub term: u64,
    /// Since when everybody can be heard without a break.
    pub resumed_at: Timestamp,
    /// What was moved by hand and not seen yet.
    unseen: Millis,
    /// How far the test clock is moved.
    pub offset: Millis,
    /// The newest state.
    pub market: Option<Market>,
    /// Whether clocks of a majority are right, so that log time must be.
    pub clocks_are_right: bool,
}

impl Record {
    /// Nothing yet.
    #[must_use]
    pub fn new(trace: Trace, epoch: u64) -> Self {
        Self {
            trace,
            epoch,
            rows: BTreeMap::new(),
            auctions: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            told: BTreeMap::new(),
            applied: BTreeMap::new(),
            stands: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waited: BTreeSet::new(),
            held: BTreeSet::new(),
            is_raced: false,
            promises: BTreeMap::new(),
            intake: BTreeSet::new(),
            sent: BTreeMap::new(),
            receipts: Vec::new(),
            closes_before: BTreeMap::new(),
            hostile: BTreeSet::new(),
            tainted: BTreeSet::new(),
            outrun: BTreeMap::new(),
            reached: BTreeMap::new(),
            missing: BTreeMap::new(),
            at: Timestamp::EPOCH,
            term: 0,
            resumed_at: Timestamp::EPOCH,
            unseen: Millis::ZERO,
            offset: Millis::ZERO,
            market: None,
            clocks_are_right: true,
        }
    }

    /// True time, as no process knows it.
    #[must_use]
    pub fn true_time(&self) -> Timestamp {
        let passed = u64::try_from(fairground_seam::sim::elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_unix_millis(self.epoch.saturating_add(passed))
    }

    /// The newest entry.
    #[must_use]
    pub fn last(&self) -> LogIndex {
        self.rows.last_key_value().map_or(LogIndex(0), |(index, _)| *index)
    }

    /// A member has applied an entry.
    pub fn see(&mut self, member: &str, seen: &Seen<'_>) {
        let broken = seen.market.violations();
        self.note_jump(member, seen.index);
        self.trace.check(
            "market_violations",
            if broken.is_empty() { Ok(()) } else { Err(format!("{member}: {broken:?}")) },
        );
        if let Some(row) = self.rows.get(&seen.index) {
            checks::log::same_entry_same_state(&self.trace, member, seen, row);
            return;
        }
        self.trace.note(member, &format!("applies {} {:?}", seen.index, seen.digest));
        checks::log::entries_come_in_order(self, seen);
        self.take(seen);
    }

    /// Entries that others applied and this member never did came to it in a snapshot.
    fn note_jump(&mut self, member: &str, index: LogIndex) {
        let last = self.reached.insert(member.to_owned(), index).unwrap_or(LogIndex(0));
        if last < index && self.rows.range((Excluded(last), Excluded(index))).next().is_some() {
            self.trace.count("snapshot installed");
        }
    }

    /// An edge came back from an image whose journal ends at a sequence.
    pub fn came_back(&mut self, edge: &EdgeId, tail: u64) {
        if self.promises.get(edge).is_some_and(|promises| promises.applied > tail) {
            self.outrun.insert(edge.clone(), tail);
            self.trace.count("edge came back with less than the log has");
        }
    }

    fn take(&mut self, seen: &Seen<'_>) {
        let before = (self.at, self.term);
        self.move_time(seen);
        checks::log::time(self, seen, before);
        let open = self.auctions.iter().filter(|(_, known)| known.ending.is_none());
        self.closes_before = open.map(|(id, known)| (*id, known.closes_at)).collect();
        let was_intake = self.intake.clone();
        self.note_promises(seen);
        let fresh = self.note_entries(seen);
        let mut closing_intake = was_intake;
        for event in &seen.applied.feed.events {
            if let PublicEvent::EdgeAdmitted { edge } = event {
                closing_intake.insert(edge.clone());
            }
        }
        self.note_events(seen, &closing_intake);
        checks::auction::after_entry(self, seen);
        checks::verdict::of_entry(self, seen, &fresh);
        checks::auction::closes(self, seen);
        checks::edge::promises(self, seen);
        let row = Row {
            at: seen.applied.at,
            digest: seen.digest,
            entry: seen.entry.clone(),
            fresh: fresh.into_iter().collect(),
            events: seen.applied.feed.events.clone(),
        };
        self.rows.insert(seen.index, row);
        self.market = Some(seen.market.clone());
    }

    fn move_time(&mut self, seen: &Seen<'_>) {
        let at = seen.applied.at;
        let gap = at.since(self.at);
        let jump = self.unseen.min(gap);
        self.unseen = Millis::new(self.unseen.as_millis().saturating_sub(jump.as_millis()));
        let begins_term = seen.entry.term > self.term;
        let left = at.since(self.at.plus(jump));
        if begins_term || jump > Millis::ZERO || left > limits::RESUME_GAP {
            self.resumed_at = at;
        }
        if left > limits::OUTAGE_GAP && self.auctions.values().any(|row| row.ending.is_none()) {
            self.trace.count("outage rule");
        }
        self.at = at;
        self.term = self.term.max(seen.entry.term);
        self.offset = seen.market.clock_offset();
        let mut outcomes = seen.applied.outcomes.iter();
        for command in &seen.entry.commands {
            let LogCommand::Direct(envelope) = command else { continue };
            let verdict = outcomes.next();
            if let Command::Govern(GovernCommand::AdvanceClock { by, .. }) = &envelope.command
                && verdict.is_some_and(Verdict::is_accepted)
            {
                self.unseen = self.unseen.plus(*by);
                self.trace.count("test clock advanced");
            }
        }
    }

    /// Marks that came, and which of them may count by now.
    fn note_promises(&mut self, seen: &Seen<'_>) {
        let mut marks: Vec<(EdgeId, Mark)> = seen.entry.marks.clone();
        let mut outcomes = seen.applied.outcomes.iter();
        for command in &seen.entry.commands {
            match command {
                LogCommand::Batch(batch) => {
                    marks.extend(batch.mark.map(|mark| (batch.edge.clone(), mark)));
                }
                LogCommand::Direct(envelope) => {
                    let is_done = outcomes.next().is_some_and(Verdict::is_accepted);
                    if let Command::Cluster(ClusterCommand::AdmitEdge { edge, tail }) =
                        &envelope.command
                        && is_done
                    {
                        let watermark = seen.applied.at;
                        marks.push((edge.clone(), Mark { watermark, tail: *tail }));
                    }
                }
            }
        }
        for (edge, mark) in marks {
            self.promises.entry(edge).or_default().waiting.push(mark);
        }
        for (edge, promises) in &mut self.promises {
            let Some(state) = seen.market.edge(edge) else { continue };
            let applied = state.applied().seq;
            promises.before = promises.counted;
            if promises.waiting.iter().any(|mark| mark.tail.seq > applied) {
                self.trace.count("mark waited for its tail");
            }
            promises.waiting.retain(|mark| {
                if mark.tail.seq > applied {
                    return true;
                }
                promises.counted = promises.counted.max(mark.watermark);
                false
            });
        }
    }

    /// Journal entries that this entry of the log applied.
    fn note_entries(&mut self, seen: &Seen<'_>) -> Vec<(EdgeId, u64)> {
        let mut fresh = Vec::new();
        for command in &seen.entry.commands {
            let LogCommand::Batch(batch) = command else { continue };
            let Some(state) = seen.market.edge(&batch.edge) else { continue };
            let before = self.promises.entry(batch.edge.clone()).or_default().applied;
            for entry in &batch.entries {
                if entry.seq <= before {
                    self.trace.count("copy of a journal entry");
                    checks::edge::sequence_is_used_once(self, &batch.edge, entry);
                    continue;
                }
                let place = (batch.edge.clone(), entry.seq);
                if entry.seq <= state.applied().seq && !self.applied.contains_key(&place) {
                    self.applied.insert(place.clone(), entry.clone());
                    let earliest = entry.stamp.earliest;
                    let stands = self.stands.entry(entry.intake.command()).or_insert(earliest);
                    *stands = earliest.min(*stands);
                    fresh.push(place);
                }
            }
        }
        for (edge, promises) in &mut self.promises {
            if let Some(state) = seen.market.edge(edge) {
                promises.applied = state.applied().seq;
            }
        }
        fresh
    }

    fn note_events(&mut self, seen: &Seen<'_>, intake: &BTreeSet<EdgeId>) {
        let index = seen.index;
        for event in &seen.applied.feed.events {
            match event {
                PublicEvent::EdgeAdmitted { edge } => {
                    self.intake.insert(edge.clone());
                }
                PublicEvent::EdgeLeftIntake { edge } => {
                    self.intake.remove(edge);
                    self.trace.count("edge left the intake");
                }
                PublicEvent::EntriesMissing { edge, first, last } => {
                    self.missing.entry(edge.clone()).or_default().push((*first, *last));
                    self.trace.count("missing entries named");
                }
                PublicEvent::AuctionOpened {
                    auction,
                    story,
                    policy,
                    closes_at,
                    closes_by,
                    opening,
                    min_next,
                    ..
                } => {
                    let latest = closes_at.plus(policy.extension_total_max).min(*closes_by);
                    let is_final = match policy.mode {
                        fairground_types::command::ExtensionMode::AddToEnd => {
                            *closes_at >= latest || policy.window == Millis::ZERO
                        }
                        fairground_types::command::ExtensionMode::Reset => closes_at >= closes_by,
                    };
                    let known = Known {
                        story: *story,
                        policy: *policy,
                        closes_at: *closes_at,
                        is_final: is_final || policy.extension == Millis::ZERO,
                        ending: None,
                        moments: vec![Moment { index, min_next: *min_next, is_open: true }],
                        amounts: vec![opening.amount],
                        retracted: 0,
                    };
                    checks::auction::opens_once(self, *auction);
                    self.auctions.insert(*auction, known);
                    self.trace.count("auction opened");
                }
                PublicEvent::BidPlaced { auction, bid, min_next } => {
                    checks::auction::price(self, *auction, bid.amount, index);
                    if let Some(known) = self.auctions.get_mut(auction) {
                        known.amounts.push(bid.amount);
                        known.moments.push(Moment { index, min_next: *min_next, is_open: true });
                    }
                }
                PublicEvent::BidRetracted { auction, highest, min_next, .. } => {
                    if let Some(known) = self.auctions.get_mut(auction) {
                        known.amounts = highest.iter().map(|bid| bid.amount).collect();
                        known.retracted = known.retracted.saturating_add(1);
                        known.moments.push(Moment { index, min_next: *min_next, is_open: true });
                        self.trace.count("bid retracted");
                    }
                }
                PublicEvent::CloseExtended { auction, closes_at, final_window, .. } => {
                    checks::auction::extension(self, *auction, *closes_at);
                    if let Some(known) = self.auctions.get_mut(auction) {
                        known.closes_at = *closes_at;
                        known.is_final = *final_window;
                    }
                    self.trace.count("close extended");
                }
                PublicEvent::AuctionLocked { auction, reason, bid, unheard } => {
                    checks::auction::winner(self, seen, *auction, bid);
                    let by_time = !matches!(reason, LockReason::MakerAccepted);
                    self.end(index, *auction, (by_time, unheard.clone()), intake);
                }
                PublicEvent::BiddingEnded { auction, unheard, .. } => {
                    self.end(index, *auction, (true, unheard.clone()), intake);
                }
                PublicEvent::AuctionClosed { auction, reason } => {
                    let by_time = matches!(reason, CloseReason::NoBids);
                    let ended = seen.market.auction(*auction).and_then(|row| row.ended());
                    let unheard = ended.map(|ended| ended.unheard.clone()).unwrap_or_default();
                    self.end(index, *auction, (by_time, unheard), intake);
                }
                _ => {}
            }
        }
    }

    fn end(
        &mut self,
        index: LogIndex,
        auction: AuctionId,
        (by_time, unheard): (bool, Vec<EdgeId>),
        intake: &BTreeSet<EdgeId>,
    ) {
        checks::auction::ends_once(self, auction);
        let Some(known) = self.auctions.get_mut(&auction) else { return };
        if let Some(last) = known.moments.last().copied() {
            known.moments.push(Moment { index, is_open: false, ..last });
        }
        self.trace.count(if by_time { "closed by time" } else { "ended by somebody" });
        if !unheard.is_empty() {
            self.trace.count("closed without an edge");
        }
        let intake = intake.clone();
        known.ending.get_or_insert(Ending { index, by_time, unheard, intake });
    }
}
