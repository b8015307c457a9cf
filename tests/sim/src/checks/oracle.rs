//! The oracle: the bids that the log found in time, one after the other, by rules written down a second
//! time, on a market without edges, leaders or faults. It must find the same winners and closes.
//!
//! It knows prices, extensions, validity and held bids; not how anything comes to the log. An auction
//! that an outage or an admin moved is left out of the comparison of closes, not of winners.

use std::collections::{BTreeMap, BTreeSet};

use fairground_types::command::{AuctionPolicy, ExtensionMode, LogCommand};
use fairground_types::event::{CloseMove, PublicEvent};
use fairground_types::journal::{Intake, JournalEntry};
use fairground_types::{AuctionId, Code, CommandId, EdgeId, StoryId, Timestamp, UserId};

use super::holds;
use crate::record::Record;

/// Where a bid comes among those of one entry.
type Place = (u64, EdgeId, u64);

struct Auction {
    story: StoryId,
    policy: AuctionPolicy,
    base: Timestamp,
    closes_at: Timestamp,
    closes_by: Timestamp,
    leader: Option<UserId>,
    leading: Option<(CommandId, u64)>,
    least: u64,
    held: BTreeMap<UserId, (Place, JournalEntry)>,
    is_open: bool,
    is_moved: bool,
}

#[derive(Default)]
struct Oracle {
    auctions: BTreeMap<AuctionId, Auction>,
    judged: BTreeSet<CommandId>,
    released: BTreeMap<Place, JournalEntry>,
}

/// G1, G6, G7: what the log decided is what its bids alone decide.
pub fn replay(record: &Record) {
    let mut oracle = Oracle::default();
    for (index, row) in &record.rows {
        let mut fresh: BTreeMap<Place, JournalEntry> = BTreeMap::new();
        // An entry may hold several batches of an edge.
        let mut reached: BTreeMap<EdgeId, u64> = BTreeMap::new();
        for command in &row.entry.commands {
            let LogCommand::Batch(batch) = command else { continue };
            let middle = reached.entry(batch.edge.clone()).or_default();
            for entry in &batch.entries {
                let place = (batch.edge.clone(), entry.seq);
                if !row.fresh.contains(&place) || record.applied.get(&place) != Some(entry) {
                    continue;
                }
                let told = record.told.get(&place);
                let is_outside = told.is_some_and(|told| {
                    told.index < *index
                        || matches!(
                            told.verdict.code(),
                            Some(
                                Code::AuctionClosed
                                    | Code::AuctionLocked
                                    | Code::StampRefused
                                    | Code::SignatureRequired
                            )
                        ) && told.index == *index
                });
                *middle = entry.stamp.doubled_middle().max(*middle);
                if !is_outside {
                    fresh.insert((*middle, batch.edge.clone(), entry.seq), entry.clone());
                }
            }
        }
        oracle.row(record, row.at, (&row.events, fresh));
    }
}

/// Who sent a command: the public knows bidders by a number alone.
fn bidder(record: &Record, command: &CommandId) -> Option<UserId> {
    record.sent.get(command).and_then(|bodies| bodies.first()).map(Intake::user)
}

impl Oracle {
    fn row(
        &mut self,
        record: &Record,
        at: Timestamp,
        (events, fresh): (&[PublicEvent], BTreeMap<Place, JournalEntry>),
    ) {
        let opened = |event: &&PublicEvent| matches!(event, PublicEvent::AuctionOpened { .. });
        for event in events.iter().filter(opened) {
            self.open(record, event);
        }
        for event in events.iter().filter(|event| !opened(event)) {
            self.outside(record, event);
        }
        for (place, entry) in fresh {
            self.free(at, Some(&place));
            self.judge(at, place, entry);
        }
        self.free(at, None);
        for event in events {
            self.compare(record, event);
        }
    }

    fn open(&mut self, record: &Record, event: &PublicEvent) {
        let PublicEvent::AuctionOpened {
            auction,
            story,
            policy,
            closes_at,
            closes_by,
            opening,
            min_next,
            ..
        } = event
        else {
            return;
        };
        self.judged.insert(opening.command);
        let auction_now = Auction {
            story: *story,
            policy: *policy,
            base: *closes_at,
            closes_at: *closes_at,
            closes_by: *closes_by,
            leader: bidder(record, &opening.command),
            leading: Some((opening.command, opening.amount.minor())),
            least: min_next.minor(),
            held: BTreeMap::new(),
            is_open: true,
            is_moved: false,
        };
        self.auctions.insert(*auction, auction_now);
    }

    /// What is decided by others than bidders is taken as given.
    fn outside(&mut self, record: &Record, event: &PublicEvent) {
        match event {
            PublicEvent::CloseExtended { auction, closes_at, by, .. }
                if !matches!(by, CloseMove::Bid) =>
            {
                if let Some(row) = self.auctions.get_mut(auction) {
                    row.closes_at = *closes_at;
                    row.is_moved = true;
                }
            }
            PublicEvent::BidRetracted { auction, highest, min_next, .. } => {
                if let Some(row) = self.auctions.get_mut(auction) {
                    row.leading = highest.as_ref().map(|bid| (bid.command, bid.amount.minor()));
                    let leads = highest.as_ref().map(|bid| bid.command);
                    row.leader = leads.and_then(|command| bidder(record, &command));
                    row.least = min_next.minor();
                }
            }
            _ => {}
        }
    }

    fn free(&mut self, at: Timestamp, until: Option<&Place>) {
        while let Some((place, _)) = self.released.first_key_value() {
            if until.is_some_and(|until| place >= until) {
                return;
            }
            if let Some((place, entry)) = self.released.pop_first() {
                self.judge_in(at, place, entry, true);
            }
        }
    }

    fn judge(&mut self, at: Timestamp, place: Place, entry: JournalEntry) {
        let command = entry.intake.command();
        if self.judged.contains(&command) {
            return;
        }
        self.judge_in(at, place, entry, false);
    }

    fn meant(&self, intake: &Intake) -> Option<AuctionId> {
        match intake {
            Intake::Bid(bid) | Intake::SignedBid(bid, _) => Some(bid.auction),
            Intake::Offer(offer) | Intake::SignedOffer(offer, _) => {
                let mut open = self.auctions.iter().filter(|(_, row)| row.is_open);
                open.find(|(_, row)| row.story == offer.story).map(|(id, _)| *id)
            }
        }
    }

    fn judge_in(&mut self, at: Timestamp, place: Place, entry: JournalEntry, was_held: bool) {
        let Some(id) = self.meant(&entry.intake) else { return };
        let Some(row) = self.auctions.get_mut(&id).filter(|row| row.is_open) else { return };
        let (command, user) = (entry.intake.command(), entry.intake.user());
        let amount = entry.intake.amount().minor();
        let is_over = !was_held && at > entry.intake.valid_until();
        if entry.stamp.earliest >= row.closes_at {
            if is_over {
                self.judged.insert(command);
                return;
            }
            match row.held.get_mut(&user) {
                // Of two copies the earlier stamp stands.
                Some((_, held)) if held.intake.command() == command => {
                    if entry.stamp.earliest < held.stamp.earliest {
                        row.held.insert(user, (place, entry));
                    }
                }
                Some(_) => {}
                None => {
                    row.held.insert(user, (place, entry));
                }
            }
            return;
        }
        let twin = row.held.get(&user).is_some_and(|(_, held)| held.intake.command() == command);
        if twin {
            row.held.remove(&user);
        }
        self.judged.insert(command);
        if amount < row.least || is_over && !twin {
            return;
        }
        let is_new = row.leader != Some(user);
        row.leading = Some((command, amount));
        row.leader = Some(user);
        let share = amount.div_ceil(100);
        row.least = amount.saturating_add(share.max(100));
        if !is_new {
            return;
        }
        let policy = &row.policy;
        let (wanted, latest) = match policy.mode {
            ExtensionMode::AddToEnd if row.closes_at.since(at) >= policy.window => return,
            ExtensionMode::AddToEnd => (
                row.closes_at.plus(policy.extension),
                row.base.plus(policy.extension_total_max).min(row.closes_by),
            ),
            ExtensionMode::Reset => {
                (at.plus(policy.reset_by(entry.intake.amount())), row.closes_by)
            }
        };
        let moved = wanted.min(latest);
        if moved > row.closes_at {
            row.closes_at = moved;
            let free: Vec<UserId> = row
                .held
                .iter()
                .filter(|(_, (_, held))| held.stamp.earliest < moved)
                .map(|(user, _)| *user)
                .collect();
            for user in free {
                if let Some(((_, edge, seq), held)) = row.held.remove(&user) {
                    self.released.insert((held.stamp.doubled_middle(), edge, seq), held);
                }
            }
        }
    }

    fn compare(&mut self, record: &Record, event: &PublicEvent) {
        let (auction, bid) = match event {
            PublicEvent::AuctionLocked { auction, bid, .. } => (auction, Some(bid)),
            PublicEvent::AuctionClosed { auction, .. }
            | PublicEvent::BiddingEnded { auction, .. } => (auction, None),
            _ => return,
        };
        let Some(row) = self.auctions.get_mut(auction).filter(|row| row.is_open) else { return };
        row.is_open = false;
        let Some(bid) = bid else { return };
        // An outage moves more than a close.
        if row.is_moved {
            record.trace.count("oracle left out a moved auction");
            return;
        }
        let found = row.leading == Some((bid.command, bid.amount.minor()));
        record.trace.check(
            "oracle_fault_free_replay_has_the_same_winner",
            holds(found, || {
                format!("{auction}: {} won, the oracle says {:?}", bid.command, row.leading)
            }),
        );
        let closes_at = record.auctions.get(auction).map(|known| known.closes_at);
        record.trace.check(
            "oracle_fault_free_replay_has_the_same_close",
            holds(closes_at == Some(row.closes_at), || {
                format!("{auction} closes {closes_at:?}, the oracle says {}", row.closes_at)
            }),
        );
    }
}
