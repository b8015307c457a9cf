//! The audit of one auction: a line for each offer, bid, refusal, move and end, oldest first.
//!
//! Made from the auction and the offers that led to it, so that a finished one gives the same lines
//! from the history. No private maximum is in it; the source of a bid is the edge that received it,
//! and its place in that edge's journal. It must not know who may read it. Read next:
//! `../archive.rs`.

use fairground_types::event::{CloseMove, CloseReason, LockReason};
use fairground_types::{AuctionId, EdgeId, LogIndex, Money, StoryId, Timestamp, UserId};
use serde::Serialize;

use crate::Market;
use crate::archive::ArchivedSale;
use crate::auction::{
    ActKind, AdminAct, Auction, AuctionState, Bid, Extension, RefusedBid, RetractedBid,
};
use crate::offering::{Offer, OfferState};

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AuctionAuditKind {
    /// An offer came.
    OfferSubmitted,
    /// An offer was decided.
    OfferDecided,
    /// The auction opened.
    AuctionOpened,
    /// A bid was placed.
    BidPlaced,
    /// A bid was refused.
    BidRefused,
    /// The close moved.
    CloseExtended,
    /// A bid was taken back.
    BidRetracted,
    /// An edge lost entries of its journal while the auction ran.
    EntriesMissing,
    /// An admin moved or fixed the close, took a bid back, or cancelled.
    AdminAct,
    /// The bidding ended.
    BiddingEnded,
    /// The auction ended for good.
    AuctionClosed,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuctionAuditLine {
    /// Log time.
    pub at: Timestamp,
    /// The entry of the log, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_index: Option<LogIndex>,
    /// What.
    pub kind: AuctionAuditKind,
    /// Who, where somebody did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<UserId>,
    /// The bid or offer, or what an admin did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// The edge that received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeId>,
    /// Its place in that edge's journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_seq: Option<u64>,
    /// A code, a close, a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Everything that happened in an auction.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuctionAudit {
    /// The auction.
    pub auction_id: AuctionId,
    /// Its story.
    pub story_id: StoryId,
    /// Oldest first.
    pub lines: Vec<AuctionAuditLine>,
}

impl AuctionAuditKind {
    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OfferSubmitted => "offerSubmitted",
            Self::OfferDecided => "offerDecided",
            Self::AuctionOpened => "auctionOpened",
            Self::BidPlaced => "bidPlaced",
            Self::BidRefused => "bidRefused",
            Self::CloseExtended => "closeExtended",
            Self::BidRetracted => "bidRetracted",
            Self::EntriesMissing => "entriesMissing",
            Self::AdminAct => "adminAct",
            Self::BiddingEnded => "biddingEnded",
            Self::AuctionClosed => "auctionClosed",
        }
    }
}

impl AuctionAuditLine {
    fn new(at: Timestamp, kind: AuctionAuditKind) -> Self {
        Self {
            at,
            log_index: None,
            kind,
            actor_id: None,
            subject: None,
            amount: None,
            edge: None,
            edge_seq: None,
            detail: None,
        }
    }

    fn of_bid(bid: &Bid) -> Self {
        Self {
            log_index: Some(bid.index),
            actor_id: Some(bid.bidder),
            subject: Some(bid.bid_id.to_string()),
            amount: Some(bid.amount),
            edge: Some(bid.edge.clone()),
            edge_seq: Some(bid.seq),
            detail: bid.is_proxy.then(|| "by a private maximum".to_owned()),
            ..Self::new(bid.at, AuctionAuditKind::BidPlaced)
        }
    }

    fn of_refused(bid: &RefusedBid) -> Self {
        Self {
            log_index: Some(bid.index),
            actor_id: Some(bid.bidder),
            subject: Some(bid.bid_id.to_string()),
            amount: Some(bid.amount),
            edge: Some(bid.edge.clone()),
            edge_seq: Some(bid.seq),
            detail: Some(bid.code.as_str().to_owned()),
            ..Self::new(bid.at, AuctionAuditKind::BidRefused)
        }
    }

    fn of_move(moved: &Extension) -> Self {
        let by = match moved.by {
            CloseMove::Bid => "a late bid",
            CloseMove::Outage => "an outage",
            CloseMove::Admin => "an admin",
        };
        Self {
            log_index: Some(moved.index),
            subject: moved.cause.map(|bid| bid.to_string()),
            detail: Some(format!("to {} by {by}", moved.closes_at)),
            ..Self::new(moved.at, AuctionAuditKind::CloseExtended)
        }
    }

    fn of_retracted(gone: &RetractedBid) -> Self {
        Self {
            log_index: Some(gone.index),
            actor_id: Some(gone.bid.bidder),
            subject: Some(gone.bid.bid_id.to_string()),
            amount: Some(gone.bid.amount),
            detail: Some(gone.reason.as_str().to_owned()),
            ..Self::new(gone.at, AuctionAuditKind::BidRetracted)
        }
    }

    fn of_act(act: &AdminAct) -> Self {
        let name = match act.kind {
            ActKind::ExtendClose => "extendClose",
            ActKind::LockEnd => "lockEnd",
            ActKind::RetractBid => "retractBid",
            ActKind::Cancel => "cancel",
        };
        Self {
            log_index: Some(act.index),
            actor_id: act.actor,
            subject: Some(name.to_owned()),
            detail: Some(act.reason.as_str().to_owned()),
            ..Self::new(act.at, AuctionAuditKind::AdminAct)
        }
    }

    fn of_offer(offer: &Offer) -> Self {
        Self {
            log_index: Some(offer.index),
            actor_id: Some(offer.buyer),
            subject: Some(offer.offer.to_string()),
            amount: Some(offer.amount),
            edge: Some(offer.edge.clone()),
            edge_seq: Some(offer.seq),
            detail: Some(format!("story version {}", offer.story_version)),
            ..Self::new(offer.submitted_at, AuctionAuditKind::OfferSubmitted)
        }
    }

    fn of_decision(offer: &Offer) -> Option<Self> {
        let decided = |at, who: Option<UserId>, detail: &str| Self {
            actor_id: who,
            subject: Some(offer.offer.to_string()),
            detail: Some(detail.to_owned()),
            ..Self::new(at, AuctionAuditKind::OfferDecided)
        };
        match &offer.state {
            OfferState::Pending { .. } => None,
            OfferState::Accepted { at } => Some(decided(*at, None, "accepted")),
            OfferState::AutoRejected { .. } => {
                Some(decided(offer.submitted_at, None, "autoRejected"))
            }
            OfferState::Rejected { at, .. } => Some(decided(*at, None, "rejected")),
            OfferState::Withdrawn { at, .. } => Some(decided(*at, Some(offer.buyer), "withdrawn")),
            OfferState::Superseded { at, .. } => Some(decided(*at, None, "superseded")),
        }
    }

    /// What edges lost meanwhile, and the ends.
    fn of_ends(auction: &Auction) -> impl Iterator<Item = Self> {
        let lost = auction.ended().into_iter().flat_map(|ended| &ended.missing).map(|lost| Self {
            log_index: Some(lost.index),
            edge: Some(lost.edge.clone()),
            detail: Some(format!("entries {} to {}", lost.first, lost.last)),
            ..Self::new(lost.at, AuctionAuditKind::EntriesMissing)
        });
        let ended = auction.ended().map(|ended| {
            let reason = match ended.reason {
                LockReason::MakerAccepted => "makerAccepted",
                LockReason::AutoAtClose => "autoAtClose",
                LockReason::AutoAtCap => "autoAtCap",
                LockReason::SecondChance => "secondChance",
            };
            Self {
                log_index: Some(ended.index),
                detail: Some(reason.to_owned()),
                ..Self::new(ended.at, AuctionAuditKind::BiddingEnded)
            }
        });
        let closed = match &auction.state {
            AuctionState::Closed { reason, closed_at, .. } => Some((*reason, *closed_at)),
            AuctionState::Open
            | AuctionState::Locked { .. }
            | AuctionState::AwaitingDecision { .. } => None,
        };
        let closed = closed.map(|(reason, at)| {
            let reason = match reason {
                CloseReason::Sold => "sold",
                CloseReason::Unsold => "unsold",
                CloseReason::Cancelled => "cancelled",
                CloseReason::NoBids => "noBids",
            };
            Self {
                detail: Some(reason.to_owned()),
                ..Self::new(at, AuctionAuditKind::AuctionClosed)
            }
        });
        lost.chain(ended).chain(closed)
    }
}

impl AuctionAudit {
    /// Everything about an auction, with the offers among `offers` that were made until it opened.
    pub(crate) fn of<'a>(auction: &Auction, offers: impl Iterator<Item = &'a Offer>) -> Self {
        let opened = AuctionAuditLine {
            actor_id: Some(auction.maker),
            ..AuctionAuditLine::new(auction.opened_at, AuctionAuditKind::AuctionOpened)
        };
        let mut lines = vec![opened];
        for offer in offers.filter(|offer| offer.submitted_at <= auction.opened_at) {
            lines.push(AuctionAuditLine::of_offer(offer));
            lines.extend(AuctionAuditLine::of_decision(offer));
        }
        let taken_back = auction.retracted.iter().map(|gone| &gone.bid);
        lines.extend(auction.bids().chain(taken_back).map(AuctionAuditLine::of_bid));
        lines.extend(auction.refused.iter().map(AuctionAuditLine::of_refused));
        lines.extend(auction.extensions.iter().map(AuctionAuditLine::of_move));
        lines.extend(auction.retracted.iter().map(AuctionAuditLine::of_retracted));
        lines.extend(auction.acts.iter().map(AuctionAuditLine::of_act));
        lines.extend(AuctionAuditLine::of_ends(auction));
        lines.sort_by_key(|line| (line.at, line.log_index.is_none(), line.log_index, line.kind));
        Self { auction_id: auction.auction, story_id: auction.story, lines }
    }
}

impl Market {
    /// The audit of an auction in the state.
    #[must_use]
    pub fn auction_audit(&self, id: AuctionId) -> Option<AuctionAudit> {
        let auction = self.auction(id)?;
        let offers = self.offering.on(auction.story).map(AsRef::as_ref);
        Some(AuctionAudit::of(auction, offers))
    }
}

impl ArchivedSale {
    /// The audit of its auction.
    #[must_use]
    pub fn auction_audit(&self) -> AuctionAudit {
        AuctionAudit::of(self.auction(), self.offers())
    }
}
