//! Commands about issues: a buyer's complaint about an order, until it is settled.
//!
//! Read next: `fairground-market` for what they do.

use crate::command::SealedText;
use crate::id::{AssetId, BlobHash, IssueId, OrderId, UserId};
use crate::money::Money;
use crate::text::Note;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about issues.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum IssueCommand {
    /// The buyer complains.
    OpenIssue(OpenIssue),
    /// A party shows more.
    AddEvidence {
        /// The issue.
        issue: IssueId,
        /// What.
        evidence: Vec<Evidence>,
    },
    /// The maker offers a way out.
    OfferResolution {
        /// The issue.
        issue: IssueId,
        /// Which.
        offer: MakerOffer,
        /// In words.
        text: Option<SealedText>,
    },
    /// The party that was asked answers; to an offer of the maker, the buyer says no.
    AnswerIssue {
        /// The issue.
        issue: IssueId,
        /// What.
        text: SealedText,
    },
    /// The buyer takes the maker's offer.
    AcceptResolution {
        /// The issue.
        issue: IssueId,
    },
    /// A party does not accept the decision.
    AppealIssue {
        /// The issue.
        issue: IssueId,
        /// Why.
        text: SealedText,
    },
    /// Staff takes an issue on.
    AssignIssue {
        /// The issue.
        issue: IssueId,
        /// Who looks after it; whoever gives the command when absent.
        assignee: Option<UserId>,
        /// Why.
        reason: Note,
    },
    /// Staff asks a party.
    RequestAnswer {
        /// The issue.
        issue: IssueId,
        /// Who is asked.
        party: Party,
        /// What.
        reason: Note,
    },
    /// Staff decides.
    DecideIssue {
        /// The issue.
        issue: IssueId,
        /// How.
        decision: Decision,
        /// Why; both parties read it.
        reason: Note,
    },
}

/// See [`IssueCommand::OpenIssue`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct OpenIssue {
    /// Its id.
    pub issue: IssueId,
    /// The order.
    pub order: OrderId,
    /// What is wrong.
    pub kind: IssueKind,
    /// In words.
    pub description: SealedText,
    /// Pictures of it.
    pub evidence: Vec<Evidence>,
}

/// What is wrong with an order.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum IssueKind {
    /// It never came.
    NotReceived,
    /// It came broken.
    Damaged,
    /// It is not what was shown.
    NotAsDescribed,
    /// It is another piece.
    WrongItem,
    /// A part of it is missing.
    MissingParts,
    /// Anything else.
    Other,
}

impl IssueKind {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotReceived => "notReceived",
            Self::Damaged => "damaged",
            Self::NotAsDescribed => "notAsDescribed",
            Self::WrongItem => "wrongItem",
            Self::MissingParts => "missingParts",
            Self::Other => "other",
        }
    }

    /// Whether a complaint of this kind shows something.
    #[must_use]
    pub const fn needs_evidence(self) -> bool {
        match self {
            Self::Damaged | Self::NotAsDescribed | Self::WrongItem => true,
            Self::NotReceived | Self::MissingParts | Self::Other => false,
        }
    }
}

/// Something that shows what is wrong: a stored picture, or a clip of the party.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// A picture of at most 5 MB.
    Image(BlobHash),
    /// An uploaded clip.
    Clip(AssetId),
}

/// One of the two sides of an order.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Party {
    /// Who bought.
    Buyer,
    /// Who made.
    Maker,
}

impl Party {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Maker => "maker",
        }
    }
}

/// What a maker offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum MakerOffer {
    /// All the money.
    FullRefund,
    /// A part of it, 10 to 90 percent.
    PartialRefund {
        /// How much of the price.
        percent: u8,
    },
    /// Another piece.
    Replacement,
}

/// How staff decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Decision {
    /// All the money goes back.
    FullRefund,
    /// A part of it goes back.
    PartialRefund {
        /// How much.
        amount: Money,
    },
    /// The maker sends another piece.
    Replacement,
    /// Nothing happens.
    NoAction,
}
