//! Roles and what each may do, as one exhaustive match.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A duty of an account. A viewer has none of these.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// Publishes stories and sells pieces.
    Maker,
    /// Decides about content.
    Moderator,
    /// Helps buyers and makers in disputes.
    Support,
    /// Refunds, ledger, payouts.
    Finance,
    /// Runs the market.
    Admin,
}

/// Something that needs a right beyond being signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Draft, upload for and submit a story.
    WriteStory,
    /// Accept the highest bid, add tracking: acts on one's own listing or order.
    SellPiece,
    /// Approve or reject a submitted story.
    ReviewStory,
    /// Read every order, auction record and the ledger.
    ReadMarket,
    /// Ask for a refund.
    ProposeRefund,
    /// Decide about refunds, holds and payouts.
    MoveMoney,
    /// Grant roles, cancel auctions, change policies.
    Administer,
}

impl Role {
    /// Whether this duty includes the action. Ownership is checked apart, in the market.
    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        match (self, action) {
            (Self::Maker, Action::WriteStory | Action::SellPiece)
            | (Self::Moderator, Action::ReviewStory)
            | (Self::Support, Action::ReadMarket | Action::ProposeRefund)
            | (Self::Finance, Action::ReadMarket | Action::ProposeRefund | Action::MoveMoney)
            | (
                Self::Admin,
                Action::ReviewStory
                | Action::ReadMarket
                | Action::ProposeRefund
                | Action::MoveMoney
                | Action::Administer,
            ) => true,
            (
                Self::Maker,
                Action::ReviewStory
                | Action::ReadMarket
                | Action::ProposeRefund
                | Action::MoveMoney
                | Action::Administer,
            )
            | (
                Self::Moderator,
                Action::WriteStory
                | Action::SellPiece
                | Action::ReadMarket
                | Action::ProposeRefund
                | Action::MoveMoney
                | Action::Administer,
            )
            | (
                Self::Support | Self::Finance,
                Action::WriteStory | Action::SellPiece | Action::ReviewStory | Action::Administer,
            )
            | (Self::Support, Action::MoveMoney)
            | (Self::Admin, Action::WriteStory | Action::SellPiece) => false,
        }
    }
}
