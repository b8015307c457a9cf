//! The memory of verdicts: one per [`CommandId`], whichever way the command comes.
//!
//! Commands about money are remembered for 120 days, the others for an hour, heartbeats not at all
//! (they may be repeated without harm). It must not know what a command means. Read next:
//! `apply.rs` and `offer.rs`, which ask it first.

use std::sync::Arc;

use fairground_types::verdict::Judged;
use fairground_types::{
    Accepted, AuctionId, BidId, CommandId, Digest, Millis, Timestamp, UserId, Verdict,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::cow_map::{CowMap, CowSet};

/// How long a verdict on money is remembered: by then most auctions have left the state, a month of
/// bidding, paying and shipping and [`fairground_types::limits::ARCHIVE_AFTER`] behind them.
pub(crate) const LONG_MEMORY: Millis = Millis::from_hours(120 * 24);
/// How long any other verdict is remembered.
pub(crate) const SHORT_MEMORY: Millis = Millis::from_hours(1);

/// How long a verdict is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Repeating the command is harmless.
    None,
    /// An hour.
    Short,
    /// Until the auction has left the state.
    Long,
}

/// A verdict with what it needs to recognise a retry.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Remembered {
    pub(crate) body: Digest,
    /// Who sent a bid or offer; absent for direct commands.
    pub(crate) user: Option<UserId>,
    pub(crate) judged: Judged,
}

impl Remembered {
    /// The auction that a bid or an offer was about: its verdict stays as long as the auction does.
    pub(crate) const fn auction(&self) -> Option<AuctionId> {
        match &self.judged.verdict {
            Verdict::Accepted(
                Accepted::BidPlaced { auction, .. } | Accepted::AuctionOpened { auction, .. },
            ) => Some(*auction),
            Verdict::Accepted(_) => None,
            Verdict::Rejected(rejection) => rejection.auction,
        }
    }
}

/// Verdicts by command, with their age.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Dedup {
    pub(crate) verdicts: CowMap<CommandId, Arc<Remembered>>,
    pub(crate) short: CowSet<(Timestamp, CommandId)>,
    pub(crate) long: CowSet<(Timestamp, CommandId)>,
}

impl Dedup {
    pub(crate) fn get(&self, command: &CommandId) -> Option<&Remembered> {
        self.verdicts.get(command).map(AsRef::as_ref)
    }

    /// The verdict on a bid or an offer: a bid's id is most of its command's first half,
    /// so the command is among the few that share its first bits.
    pub(crate) fn of_bid(&self, bid: BidId) -> Option<&Remembered> {
        let (first, last) = bid.commands();
        self.verdicts
            .iter_from(first)
            .take_while(|(command, _)| **command <= last)
            .find(|(command, entry)| entry.user.is_some() && BidId::of(command) == bid)
            .map(|(_, entry)| entry.as_ref())
    }

    pub(crate) fn remember(&mut self, command: CommandId, memory: Memory, entry: Remembered) {
        let at = entry.judged.at;
        match memory {
            Memory::None => return,
            Memory::Short => {
                self.short.insert((at, command));
            }
            Memory::Long => {
                self.long.insert((at, command));
            }
        }
        self.verdicts.insert(command, Arc::new(entry));
    }

    /// Forgets what is older than its memory, unless it is still `needed`: that is asked again later.
    pub(crate) fn forget(&mut self, at: Timestamp, needed: impl Fn(&Remembered) -> bool) {
        let Self { verdicts, short, long } = self;
        for (queue, memory) in [(short, SHORT_MEMORY), (long, LONG_MEMORY)] {
            while let Some((judged_at, command)) = queue.first().copied() {
                if at.since(judged_at) <= memory {
                    break;
                }
                queue.remove(&(judged_at, command));
                if verdicts.get(&command).is_some_and(|entry| needed(entry)) {
                    queue.insert((judged_at.plus(memory), command));
                } else {
                    verdicts.remove(&command);
                }
            }
        }
    }
}

impl Market {
    /// The verdict on a command, while it is remembered. Held bids have none yet.
    #[must_use]
    pub fn verdict(&self, command: &CommandId) -> Option<&Judged> {
        self.dedup.get(command).map(|entry| &entry.judged)
    }
}
