//! Auctions: what one is, and how a bid becomes a verdict.
//!
//! ```text
//!   offer --> Open --(maker accepts | time is over)--> Locked --paid--> Closed(Sold)
//!              |                                        |  ^
//!              |                             window over|  |second chance
//!              |                                        v  |
//!              |                                  AwaitingDecision --> Closed(Unsold)
//!              +--admin cancels--> Closed(Cancelled)       time over, relisted, three times asked
//!              +--time is over, every bid taken back--> Closed(NoBids)
//! ```
//! A bid is decided in `decide.rs` (state and bid to events), events change the auction in
//! `evolve.rs` and nowhere else. It must not know edges beyond their names in stamps. Read next:
//! `decide.rs`, `proxy.rs`, `soft_close.rs`, `closing.rs`, `decision.rs`, `audit.rs`;
//! [`admission`] for what an edge may refuse.

mod admin;
pub mod admission;
mod audience;
mod audit;
mod closing;
mod decide;
mod decision;
mod evolve;
mod proxy;
mod soft_close;

use std::collections::{BTreeMap, BTreeSet};

use fairground_types::command::AuctionPolicy;
use fairground_types::event::{CloseMove, CloseReason, LockReason, PublicBid};
use fairground_types::journal::{Intake, Maximum, Stamp};
use fairground_types::text::Note;
use fairground_types::{
    AuctionId, BidId, Code, CommandId, Digest, EdgeId, LogIndex, Millis, Money, SaleLockId,
    StoryId, Timestamp, UserId, limits,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

pub use audit::{AuctionAudit, AuctionAuditKind, AuctionAuditLine};
pub(crate) use decide::{Decision, Offered, bid_of, check_validity, decide_bid};
pub(crate) use evolve::AuctionEvent;
pub(crate) use soft_close::never_extends;

use crate::edge_ledger::Missing;

/// Refused bids that an auction's record keeps.
pub(crate) const REFUSED_KEPT_MAX: usize = 1_000;

/// An auction.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Auction {
    pub(crate) auction: AuctionId,
    pub(crate) story: StoryId,
    pub(crate) seq: u32,
    pub(crate) maker: UserId,
    pub(crate) policy: AuctionPolicy,
    pub(crate) opened_at: Timestamp,
    /// Where extensions are counted from; moves with outages only.
    pub(crate) base_close: Timestamp,
    pub(crate) closes_at: Timestamp,
    pub(crate) closes_by: Timestamp,
    pub(crate) extensions: Vec<Extension>,
    /// No bid moves the close any more, by an admin's word.
    pub(crate) end_locked: bool,
    /// Its watchers were told that it ends soon.
    pub(crate) end_told: bool,
    /// The least bid while there is none: what the opening offer had to reach.
    pub(crate) opening_min: Money,
    /// Accepted bids before the leading one, in the order of the log.
    pub(crate) earlier: Vec<Bid>,
    /// Absent when every bid was taken back.
    pub(crate) leading: Option<Bid>,
    /// What the market may bid on for the leading bidder.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) retracted: Vec<RetractedBid>,
    /// Counts retractions: a lower price than before is lawful in a new epoch.
    pub(crate) epoch: u32,
    pub(crate) bidders: BTreeMap<UserId, Bidder>,
    /// Pseudonyms given so far.
    pub(crate) numbered: u32,
    pub(crate) held: BTreeMap<UserId, HeldBid>,
    pub(crate) refused: Vec<RefusedBid>,
    pub(crate) refused_count: u64,
    /// Who had a lock: nobody is asked twice.
    pub(crate) asked: BTreeSet<UserId>,
    pub(crate) second_chances: u32,
    /// Every lock, oldest first.
    pub(crate) all_locks: Vec<SaleLockId>,
    pub(crate) acts: Vec<AdminAct>,
    pub(crate) state: AuctionState,
}

/// Where an auction stands.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum AuctionState {
    /// It takes bids.
    Open,
    /// Reserved for the leading bidder.
    Locked {
        /// How the bidding ended.
        ended: Ended,
        /// The sale lock.
        lock: SaleLockId,
    },
    /// The buyer did not pay, so the maker decides; or the maker cannot be paid, and the lock waits.
    AwaitingDecision {
        /// How the bidding ended.
        ended: Ended,
        /// The lock that expired; absent while the maker cannot be paid.
        lock: Option<SaleLockId>,
        /// Until when.
        decide_by: Timestamp,
    },
    /// It ended.
    Closed {
        /// How the bidding ended; absent when an admin cancelled it.
        ended: Option<Ended>,
        /// Its last lock.
        lock: Option<SaleLockId>,
        /// Why.
        reason: CloseReason,
        /// Log time of the end.
        closed_at: Timestamp,
    },
}

/// How the bidding of an auction ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// The entry that ended it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// Why.
    pub reason: LockReason,
    /// `at` less the close; zero when the maker accepted before.
    pub lateness: Millis,
    /// Edges that were not heard in time.
    pub unheard: Vec<EdgeId>,
    /// Journal entries that edges lost while the auction ran: bids in it may have been among them.
    pub missing: Vec<Missing>,
}

/// An accepted bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bid {
    /// The bid.
    pub bid_id: BidId,
    /// Identity of the intent.
    #[serde(skip)]
    pub command: CommandId,
    /// Who bids.
    pub bidder: UserId,
    /// The same under the pseudonym that the public sees.
    pub number: u32,
    /// How much.
    #[serde(flatten)]
    pub amount: Money,
    /// The edge that received it.
    pub edge: EdgeId,
    /// Its place in that edge's journal.
    pub seq: u64,
    /// When it was received.
    pub stamp: Stamp,
    /// The entry that judged it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// Judged more than two seconds after its stamp.
    pub is_late_commit: bool,
    /// Made by the market for a bidder with a private maximum.
    pub is_proxy: bool,
}

/// A bid that an admin took back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetractedBid {
    /// The bid.
    pub bid: Bid,
    /// Why.
    pub reason: Note,
    /// The entry that took it back.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
}

/// What an admin did to an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdminAct {
    /// What.
    pub kind: ActKind,
    /// Who; absent for the cluster itself.
    pub actor: Option<UserId>,
    /// Why.
    pub reason: Note,
    /// The entry.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
}

/// What an admin may do to an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ActKind {
    /// The close was moved.
    ExtendClose,
    /// The close was fixed.
    LockEnd,
    /// A bid was taken back.
    RetractBid,
    /// The auction was cancelled.
    Cancel,
}

/// Up to how much the market bids for a bidder.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Proxy {
    pub(crate) bidder: UserId,
    pub(crate) maximum: Maximum,
}

/// A refused bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedBid {
    /// The bid.
    pub bid_id: BidId,
    /// Who bid.
    pub bidder: UserId,
    /// How much.
    #[serde(flatten)]
    pub amount: Money,
    /// Why it was refused.
    pub code: Code,
    /// In time by its stamp, but after the close.
    pub late: bool,
    /// The edge that received it.
    pub edge: EdgeId,
    /// Its place in that edge's journal.
    pub seq: u64,
    /// When it was received.
    pub stamp: Stamp,
    /// The entry that judged it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
}

/// A move of the close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Extension {
    /// The entry that moved it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// The close from then on.
    pub closes_at: Timestamp,
    /// By whom.
    pub by: CloseMove,
    /// By which bid.
    pub cause: Option<BidId>,
}

/// Somebody who bids in an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Bidder {
    /// The public pseudonym; 0 until a bid was accepted.
    pub(crate) number: u32,
    /// Bids judged, accepted or not.
    pub(crate) judged: u32,
}

/// A bid that waits for the end: it would be too late, unless the close moves.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct HeldBid {
    pub(crate) intake: Intake,
    pub(crate) body: Digest,
    pub(crate) stamp: Stamp,
    pub(crate) edge: EdgeId,
    pub(crate) seq: u64,
    /// Other journal entries with the same command.
    pub(crate) copies: Vec<(EdgeId, u64)>,
}

impl Auction {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> AuctionId {
        self.auction
    }

    /// Which auction of the story, from 1.
    #[must_use]
    pub const fn seq(&self) -> u32 {
        self.seq
    }

    /// The maker.
    #[must_use]
    pub const fn maker(&self) -> UserId {
        self.maker
    }

    /// Rules, frozen at the opening.
    #[must_use]
    pub const fn policy(&self) -> &AuctionPolicy {
        &self.policy
    }

    /// When it opened.
    #[must_use]
    pub const fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// When it closes, unless extended; never falls.
    #[must_use]
    pub const fn closes_at(&self) -> Timestamp {
        self.closes_at
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &AuctionState {
        &self.state
    }

    /// The leading bid; none when every bid was taken back.
    #[must_use]
    pub const fn leading(&self) -> Option<&Bid> {
        self.leading.as_ref()
    }

    /// Whether a bid leads.
    #[must_use]
    pub fn leads(&self, bid: BidId) -> bool {
        self.leading().is_some_and(|leading| leading.bid_id == bid)
    }

    /// Who leads.
    #[must_use]
    pub fn leader(&self) -> Option<UserId> {
        self.leading().map(|leading| leading.bidder)
    }

    /// Accepted bids in the order of the log.
    pub fn bids(&self) -> impl Iterator<Item = &Bid> {
        self.earlier.iter().chain(&self.leading)
    }

    /// Whether it takes bids.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, AuctionState::Open)
    }

    /// The least next bid.
    #[must_use]
    pub fn min_next(&self) -> Money {
        match &self.leading {
            Some(leading) => min_next(leading.amount, &self.policy),
            None => self.opening_min,
        }
    }

    /// How the bidding ended, once it has.
    #[must_use]
    pub const fn ended(&self) -> Option<&Ended> {
        match &self.state {
            AuctionState::Open => None,
            AuctionState::Locked { ended, .. } | AuctionState::AwaitingDecision { ended, .. } => {
                Some(ended)
            }
            AuctionState::Closed { ended, .. } => ended.as_ref(),
        }
    }

    /// Its newest sale lock.
    #[must_use]
    pub const fn lock(&self) -> Option<SaleLockId> {
        match &self.state {
            AuctionState::Open => None,
            AuctionState::Locked { lock, .. } => Some(*lock),
            AuctionState::AwaitingDecision { lock, .. } | AuctionState::Closed { lock, .. } => {
                *lock
            }
        }
    }

    /// Bids of one bidder that were judged.
    pub(crate) fn judged_of(&self, bidder: UserId) -> u32 {
        self.bidders.get(&bidder).map_or(0, |known| known.judged)
    }

    /// The number that a bidder has, or gets with a first accepted bid.
    pub(crate) fn number_of(&self, bidder: UserId) -> u32 {
        let known = self.bidders.get(&bidder).map(|known| known.number).filter(|n| *n > 0);
        known.unwrap_or_else(|| self.numbered.saturating_add(1))
    }
}

impl Bid {
    /// The bid as the public sees it.
    #[must_use]
    pub const fn public(&self) -> PublicBid {
        PublicBid {
            bid_id: self.bid_id,
            command: self.command,
            bidder: self.number,
            amount: self.amount,
            received_at: self.stamp.earliest,
            at: self.at,
            delayed: self.at.since(self.stamp.latest).as_millis()
                > limits::BID_DELAYED_AFTER.as_millis(),
        }
    }
}

/// The least bid over `highest`: plus the greater of a share, rounded up, and "five units" of the
/// currency.
pub(crate) fn min_next(highest: Money, policy: &AuctionPolicy) -> Money {
    let share = highest.share_ceil(policy.increment).minor();
    let increment = share.max(policy.increment_floor_minor.of(highest.currency())).max(1);
    Money::new(highest.minor().saturating_add(increment), highest.currency())
}
