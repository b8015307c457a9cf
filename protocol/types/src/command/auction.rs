//! Commands about auctions; bids and offers come through journals.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::{AuctionId, BidId};
use crate::text::Note;
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about auctions.
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
}
