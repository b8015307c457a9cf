//! What became of one offer, step by step.
//!
//! An offer passes two or three steps: it comes, it is decided, and its bid may be passed by another.
//! It must not know who asked beyond whether they may. Read next: `rows.rs`.

use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{BidId, OfferId, Timestamp, UserId};
use serde::Serialize;

use super::rows::OfferStep;
use super::{Offer, OfferState};
use crate::Market;

/// A step of an offer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferMoment {
    /// When.
    pub at: Timestamp,
    /// Where it stood from then on.
    pub status: OfferStep,
    /// Why, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

/// Every step of an offer, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferHistory {
    /// The offer.
    pub offer_id: OfferId,
    /// The version of the story that it was made for.
    pub story_version: u64,
    /// The steps.
    pub steps: Vec<OfferMoment>,
}

impl Market {
    /// What became of an offer, for its buyer, its maker, and who may read the whole market.
    #[must_use]
    pub fn offer_history(&self, id: OfferId, reader: UserId) -> Option<OfferHistory> {
        let offer = self.offer(id)?;
        let is_theirs = offer.buyer == reader || offer.maker == reader;
        if !is_theirs && !self.may(reader, Action::ReadMarket) {
            return None;
        }
        let came = OfferMoment { at: offer.submitted_at, status: OfferStep::Pending, reason: None };
        let mut steps = vec![came];
        steps.extend(decision(offer));
        steps.extend(self.passed(offer));
        Some(OfferHistory { offer_id: id, story_version: offer.story_version, steps })
    }

    /// When another bid led over the opening one.
    fn passed(&self, offer: &Offer) -> Option<OfferMoment> {
        if !matches!(offer.state, OfferState::Accepted { .. }) {
            return None;
        }
        let opening = BidId::of(&offer.command);
        let mut bids = self.auction(offer.opens)?.bids().filter(|bid| bid.bid_id != opening);
        bids.next().map(|bid| OfferMoment {
            at: bid.at,
            status: OfferStep::Superseded,
            reason: None,
        })
    }
}

fn decision(offer: &Offer) -> Option<OfferMoment> {
    let (at, status, reason) = match &offer.state {
        OfferState::Pending { .. } => return None,
        OfferState::Accepted { at } => (*at, OfferStep::Accepted, None),
        OfferState::AutoRejected { .. } => (offer.submitted_at, OfferStep::AutoRejected, None),
        OfferState::Rejected { at, reason } => (*at, OfferStep::Rejected, reason.clone()),
        OfferState::Withdrawn { at, reason } => (*at, OfferStep::Withdrawn, reason.clone()),
        OfferState::Superseded { at, .. } => (*at, OfferStep::Superseded, None),
    };
    Some(OfferMoment { at, status, reason })
}
