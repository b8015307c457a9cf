//! Commands about offers and auctions; bids and offers themselves come through journals.
//!
//! Read next: `fairground-market` for what they do.

use std::collections::BTreeSet;

use crate::id::{AuctionId, BidId, OfferId, SaleLockId, UserId};
use crate::money::Money;
use crate::text::{Country, Note};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about offers and auctions.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum AuctionCommand {
    /// The maker ends the auction in favour of the bid named.
    AcceptHighest {
        /// The auction.
        auction: AuctionId,
        /// The bid that the maker saw.
        expected: BidId,
    },
    /// An admin ends an auction without a sale.
    CancelAuction {
        /// The auction.
        auction: AuctionId,
        /// Why.
        reason: Note,
    },
    /// An admin moves the close, or sees to it that no bid moves it any more.
    OverrideClose {
        /// The auction.
        auction: AuctionId,
        /// How.
        action: CloseOverride,
        /// Why.
        reason: Note,
    },
    /// An admin takes back a bid made by obvious error or fraud.
    RetractBid {
        /// The auction.
        auction: AuctionId,
        /// The bid.
        bid: BidId,
        /// Why.
        reason: Note,
    },
    /// The maker reserves the piece for the next bidder after a failed payment.
    OfferSecondChance {
        /// The auction.
        auction: AuctionId,
        /// The bid that the maker saw, if one is named.
        bid: Option<BidId>,
    },
    /// The buyer does not want a second chance.
    DeclineSecondChance {
        /// The lock.
        lock: SaleLockId,
    },
    /// The maker lists the piece again after a failed payment.
    Relist {
        /// The auction that ends.
        auction: AuctionId,
    },
    /// The buyer takes back an offer that waits for its maker.
    WithdrawOffer {
        /// The offer.
        offer: OfferId,
        /// Why, if the buyer says so.
        reason: Option<Note>,
    },
    /// The maker refuses an offer.
    RejectOffer {
        /// The offer.
        offer: OfferId,
        /// Why, if the maker says so.
        reason: Option<Note>,
    },
    /// The maker opens the auction with an offer.
    AcceptOffer {
        /// The offer.
        offer: OfferId,
    },
    /// A maker sets what offers are taken from now on.
    SetOfferPolicy {
        /// The policy that the maker changed; 0 for none yet.
        base_version: u64,
        /// The policy.
        policy: OfferPolicy,
    },
}

/// What an admin does to a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum CloseOverride {
    /// Moves it later.
    Extend {
        /// By how much, at most [`crate::limits::CLOSE_OVERRIDE_MAX`].
        by: Millis,
    },
    /// No bid moves it any more.
    LockEnd,
}

/// Who opens an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OpenMode {
    /// The first offer that is good enough.
    Auto,
    /// The maker, or silence after the time to review.
    Review,
}

/// Which offers a maker takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferPolicy {
    /// Whether offers are taken at all.
    pub enabled: bool,
    /// Offers below it are refused, where the listing uses its currency and asks for less.
    #[serde(default)]
    pub minimum: Option<Money>,
    /// Offers of one buyer per listing cycle.
    pub max_offers_per_buyer: u32,
    /// Who opens an auction.
    pub open_mode: OpenMode,
    /// How long the maker may look at an offer before it opens by itself.
    pub review_window_ms: Millis,
    /// Whose offers are refused.
    #[serde(default)]
    pub blocked_buyers: BTreeSet<UserId>,
    /// Where the maker ships to; everywhere when empty.
    #[serde(default)]
    pub ship_to: BTreeSet<Country>,
}

impl Default for OfferPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            minimum: None,
            max_offers_per_buyer: crate::limits::OFFERS_PER_BUYER_MAX,
            open_mode: OpenMode::Auto,
            review_window_ms: crate::limits::OFFER_REVIEW,
            blocked_buyers: BTreeSet::new(),
            ship_to: BTreeSet::new(),
        }
    }
}
