//! Offers on listed stories, kept one by one, and what each maker takes.
//!
//! ```text
//!   submitted --too low--> AutoRejected
//!       |--maker opens by hand--> Pending --withdrawn, rejected--> Withdrawn, Rejected
//!       |                            | accepted, or silence        | another opened
//!       +--good enough-------------> Accepted: opens the auction   +--> Superseded
//! ```
//! An offer keeps the version of the story that it was made for. Notes are the maker's to read, and
//! the buyer's. It must not know how offers travel: that is `offer.rs`. Read next: `take.rs` for what
//! comes in, `review.rs` for what makers and buyers do with it, `policy.rs` for what a maker takes.

mod history;
mod policy;
mod review;
mod rows;
mod take;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fairground_types::command::OfferPolicy;
use fairground_types::journal::Stamp;
use fairground_types::text::{Country, Note, OfferNote};
use fairground_types::{
    AuctionId, CommandId, EdgeId, LogIndex, Money, OfferId, StoryId, Timestamp, UserId, limits,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::cow_map::CowMap;

pub use history::{OfferHistory, OfferMoment};
pub use rows::{
    EligibilityRow, MakerDashboard, OfferList, OfferPolicyRow, OfferRow, OfferStep, OwnAuctionList,
    OwnAuctionRow,
};

/// An offer.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Offer {
    pub(crate) offer: OfferId,
    pub(crate) story: StoryId,
    pub(crate) story_version: u64,
    pub(crate) maker: UserId,
    pub(crate) buyer: UserId,
    pub(crate) amount: Money,
    pub(crate) note: Option<OfferNote>,
    pub(crate) ship_to: Option<Country>,
    pub(crate) command: CommandId,
    /// Id of the auction that it opens.
    pub(crate) opens: AuctionId,
    pub(crate) edge: EdgeId,
    pub(crate) seq: u64,
    pub(crate) stamp: Stamp,
    pub(crate) index: LogIndex,
    pub(crate) submitted_at: Timestamp,
    pub(crate) state: OfferState,
}

/// Where an offer stands.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum OfferState {
    /// Waits for the maker.
    Pending {
        /// When it opens an auction by itself.
        opens_at: Timestamp,
    },
    /// It opened the auction.
    Accepted {
        /// When.
        at: Timestamp,
    },
    /// It was below the minimum.
    AutoRejected {
        /// The minimum then.
        minimum: Money,
    },
    /// The maker refused it.
    Rejected {
        /// When.
        at: Timestamp,
        /// Why, if the maker said so.
        reason: Option<Note>,
    },
    /// The buyer took it back.
    Withdrawn {
        /// When.
        at: Timestamp,
        /// Why, if the buyer said so.
        reason: Option<Note>,
    },
    /// Another offer opened the auction.
    Superseded {
        /// When.
        at: Timestamp,
        /// The auction.
        auction: AuctionId,
    },
}

/// How an offer was taken.
pub(crate) enum Taken {
    /// It waits for the maker.
    Waits {
        /// When it opens by itself.
        opens_at: Timestamp,
    },
    /// It opens the auction.
    Opens,
}

/// Offers of every story, and the policies of makers.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Offering {
    /// With their version.
    pub(crate) policies: BTreeMap<UserId, (u64, OfferPolicy)>,
    pub(crate) offers: CowMap<OfferId, Arc<Offer>>,
    /// In the order of the log.
    pub(crate) of_story: BTreeMap<StoryId, Vec<OfferId>>,
    /// Offers of the last hour.
    pub(crate) recent: VecDeque<(Timestamp, UserId)>,
    pub(crate) recent_of: BTreeMap<UserId, u32>,
}

impl OfferState {
    /// Whether nothing can become of it any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Pending { .. } => false,
            Self::Accepted { .. }
            | Self::AutoRejected { .. }
            | Self::Rejected { .. }
            | Self::Withdrawn { .. }
            | Self::Superseded { .. } => true,
        }
    }
}

impl Offering {
    /// Offers on one story, in the order of the log.
    pub(crate) fn on(&self, story: StoryId) -> impl DoubleEndedIterator<Item = &Arc<Offer>> {
        let ids = self.of_story.get(&story).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| self.offers.get(id))
    }

    pub(crate) fn pending_on(&self, story: StoryId) -> Vec<OfferId> {
        self.on(story).filter(|row| !row.state.is_final()).map(|row| row.offer).collect()
    }

    fn add(&mut self, offer: Offer) {
        let ids = self.of_story.entry(offer.story).or_default();
        ids.push(offer.offer);
        let finals = ids
            .iter()
            .filter(|id| self.offers.get(id).is_some_and(|row| row.state.is_final()))
            .count();
        if finals > limits::OFFERS_KEPT_MAX {
            let oldest = ids.iter().position(|id| {
                self.offers
                    .get(id)
                    .is_some_and(|row| matches!(row.state, OfferState::AutoRejected { .. }))
            });
            if let Some(oldest) = oldest {
                let gone = ids.remove(oldest);
                self.offers.remove(&gone);
            }
        }
        self.offers.insert(offer.offer, Arc::new(offer));
    }

    /// Offers that a finished auction takes along.
    pub(crate) fn let_go(&mut self, story: StoryId, until: Timestamp) -> Vec<Arc<Offer>> {
        let Some(ids) = self.of_story.remove(&story) else { return Vec::new() };
        let is_over = |offers: &CowMap<OfferId, Arc<Offer>>, id: &OfferId| {
            offers.get(id).is_none_or(|row| row.state.is_final() && row.submitted_at <= until)
        };
        let (gone, kept): (Vec<OfferId>, Vec<OfferId>) =
            ids.into_iter().partition(|id| is_over(&self.offers, id));
        if !kept.is_empty() {
            self.of_story.insert(story, kept);
        }
        gone.iter().filter_map(|id| self.offers.remove(id)).collect()
    }

    fn count(&mut self, at: Timestamp, buyer: UserId) {
        self.recent.push_back((at, buyer));
        let made = self.recent_of.entry(buyer).or_default();
        *made = made.saturating_add(1);
    }

    /// Offers older than an hour no longer count.
    pub(crate) fn forget(&mut self, at: Timestamp) {
        while let Some((made_at, buyer)) = self.recent.front().copied() {
            if at.since(made_at) < fairground_types::Millis::from_hours(1) {
                break;
            }
            self.recent.pop_front();
            if let Some(made) = self.recent_of.get_mut(&buyer) {
                *made = made.saturating_sub(1);
                if *made == 0 {
                    self.recent_of.remove(&buyer);
                }
            }
        }
    }
}

impl Market {
    fn change_offer(&mut self, id: OfferId, change: impl FnOnce(&mut Offer)) {
        if let Some(offer) = self.offering.offers.get_mut(&id) {
            change(Arc::make_mut(offer));
        }
    }

    /// An offer, while it is in the state.
    #[must_use]
    pub fn offer(&self, id: OfferId) -> Option<&Offer> {
        self.offering.offers.get(&id).map(AsRef::as_ref)
    }

    /// Makes a maker's policy of a maker.
    pub(crate) fn offer_policy(&self, maker: UserId) -> OfferPolicy {
        self.offering.policies.get(&maker).map(|(_, policy)| policy.clone()).unwrap_or_default()
    }
}
