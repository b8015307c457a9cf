//! What the log says to a command: accepted with an answer, or rejected with a code.

use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::code::Code;
use crate::id::{
    AssetId, AuctionId, BidId, EdgeId, IssueId, LogIndex, MemberId, OfferId, OrderId, RefundId,
    SaleLockId, ShareId, SignInId, StoryId, UserId,
};
use crate::journal::Tail;
use crate::money::Money;
use crate::role::Role;
use crate::time::Timestamp;

/// The final word of the log on one command.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Verdict {
    /// It took effect.
    Accepted(Accepted),
    /// It did not, and nothing changed.
    Rejected(Rejection),
}

impl Verdict {
    /// Whether it took effect.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    /// The code of a rejection.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Accepted(_) => None,
            Self::Rejected(rejection) => Some(rejection.code),
        }
    }

    /// Whether it stands for one journal entry alone: the same command, sent again with another
    /// signature, is still judged.
    #[must_use]
    pub const fn is_of_signature(&self) -> bool {
        matches!(self.code(), Some(Code::SignatureRequired | Code::SignatureRefused))
    }
}

/// What an accepted command made.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Accepted {
    /// Nothing to tell.
    Done,
    /// A bid leads.
    BidPlaced {
        /// The auction.
        auction: AuctionId,
        /// The bid.
        bid: BidId,
        /// Its amount.
        amount: Money,
        /// The least next bid.
        min_next: Money,
        /// When the auction closes now.
        closes_at: Timestamp,
    },
    /// An offer opened an auction.
    AuctionOpened {
        /// The offer.
        offer: OfferId,
        /// The auction.
        auction: AuctionId,
        /// The opening bid.
        bid: BidId,
        /// When the auction closes now.
        closes_at: Timestamp,
    },
    /// An offer waits for its maker.
    OfferSubmitted {
        /// The offer.
        offer: OfferId,
        /// When it opens an auction, unless the maker is quicker.
        opens_at: Timestamp,
    },
    /// The maker has a new offer policy.
    OfferPolicySet {
        /// Its version.
        version: u64,
    },
    /// The close of an auction is decided anew.
    CloseSet {
        /// The auction.
        auction: AuctionId,
        /// When it closes now.
        closes_at: Timestamp,
    },
    /// Somebody signed in.
    SignedIn {
        /// The account.
        user: UserId,
        /// The sign-in.
        sign_in: SignInId,
        /// Whether the account is new.
        created: bool,
        /// What the account may do.
        roles: Vec<Role>,
    },
    /// A draft has a new version.
    StorySaved {
        /// The story.
        story: StoryId,
        /// Its version.
        version: u64,
    },
    /// Something that one account owns has a new version.
    Saved {
        /// Its version.
        version: u64,
    },
    /// A link to a story was made.
    StoryShared {
        /// The link.
        share: ShareId,
        /// Until when it opens the story.
        expires_at: Timestamp,
    },
    /// A sale lock was made.
    Locked {
        /// The auction.
        auction: AuctionId,
        /// The lock.
        lock: SaleLockId,
    },
    /// A checkout attempt was planned; its session follows.
    CheckoutPlanned {
        /// The lock.
        lock: SaleLockId,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A refund was asked for.
    Refunded {
        /// The refund.
        refund: RefundId,
        /// Whether a second person must approve it first.
        awaits_approval: bool,
    },
    /// An order changed.
    OrderChanged {
        /// The order.
        order: OrderId,
    },
    /// An issue changed.
    IssueChanged {
        /// The issue.
        issue: IssueId,
        /// Whether a second person must confirm the decision.
        awaits_approval: bool,
    },
    /// An edge is registered.
    EdgeRegistered {
        /// Its id.
        edge: EdgeId,
    },
    /// A member is registered.
    MemberRegistered {
        /// Its number.
        member: MemberId,
    },
    /// An edge takes part in closes from here on.
    EdgeAdmitted {
        /// Where its journal is known to end.
        tail: Tail,
    },
    /// A transcode job was leased.
    JobLeased {
        /// The asset to transcode.
        asset: AssetId,
        /// Fencing number; a report with an older one is refused.
        fence: u64,
        /// Until when, without a heartbeat.
        until: Timestamp,
    },
}

/// Which rule makes somebody not eligible (domain 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EligibilityRule {
    /// The story takes no offers.
    StoryNotEligible,
    /// The maker takes no offers now.
    MakerNotAcceptingOffers,
    /// The maker does not ship there.
    GeographicRestriction,
    /// The buyer made too many offers.
    OfferLimitExceeded,
    /// The deployment's check refused the buyer, or could not be asked.
    RiskDeclined,
    /// The maker takes no offers of this buyer.
    BuyerBlocked,
    /// The buyer did not pay before.
    UnpaidStrikes,
    /// The account may not trade.
    AccountRestricted,
}

impl EligibilityRule {
    /// Its name in the public API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StoryNotEligible => "STORY_NOT_ELIGIBLE",
            Self::MakerNotAcceptingOffers => "MAKER_NOT_ACCEPTING_OFFERS",
            Self::GeographicRestriction => "GEOGRAPHIC_RESTRICTION",
            Self::OfferLimitExceeded => "OFFER_LIMIT_EXCEEDED",
            Self::RiskDeclined => "RISK_DECLINED",
            Self::BuyerBlocked => "BUYER_BLOCKED",
            Self::UnpaidStrikes => "UNPAID_STRIKES",
            Self::AccountRestricted => "ACCOUNT_RESTRICTED",
        }
    }
}

/// The market said no. Everything here may be shown to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Rejection {
    /// Why.
    pub code: Code,
    /// One sentence, without anything private.
    pub detail: String,
    /// The least next bid, where that helps.
    pub min_next: Option<Money>,
    /// The auction that stands in the way or was meant.
    pub auction: Option<AuctionId>,
    /// When to try again.
    pub retry_at: Option<Timestamp>,
    /// The bid was in time by its stamp, but came after the close.
    pub late: bool,
    /// Names of the fields that are missing or wrong, all of them.
    pub fields: Vec<String>,
    /// The version that stands, where another one was expected.
    pub version: Option<u64>,
    /// Which rule makes somebody not eligible; with `NOT_ELIGIBLE` alone.
    pub rule: Option<EligibilityRule>,
}

impl Rejection {
    /// A rejection with nothing but a code and a sentence.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            min_next: None,
            auction: None,
            retry_at: None,
            late: false,
            fields: Vec::new(),
            version: None,
            rule: None,
        }
    }

    /// Names the fields that are missing or wrong.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<String>) -> Self {
        self.fields = fields;
        self
    }

    /// Names the version that stands.
    #[must_use]
    pub const fn with_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Somebody is not eligible, by this rule.
    #[must_use]
    pub fn not_eligible(rule: EligibilityRule, detail: impl Into<String>) -> Self {
        Self { rule: Some(rule), ..Self::new(Code::NotEligible, detail) }
    }

    /// Names the least next bid.
    #[must_use]
    pub fn with_min_next(mut self, min_next: Money) -> Self {
        self.min_next = Some(min_next);
        self
    }

    /// Names the auction.
    #[must_use]
    pub const fn with_auction(mut self, auction: AuctionId) -> Self {
        self.auction = Some(auction);
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn with_retry_at(mut self, at: Timestamp) -> Self {
        self.retry_at = Some(at);
        self
    }

    /// Marks a bid that was in time by its stamp.
    #[must_use]
    pub const fn late(mut self) -> Self {
        self.late = true;
        self
    }
}

/// A verdict and where in the log it fell.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Judged {
    /// The entry that decided.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// The decision.
    pub verdict: Verdict,
}

/// State of a bid as its bidder sees it (bids.md section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum BidState {
    /// Durable at an edge, not judged.
    Received,
    /// Judged and leading when judged.
    Accepted,
    /// Judged and refused.
    Rejected,
    /// Taken back by an admin.
    Retracted,
}
