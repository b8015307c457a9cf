//! The rules of a market that an operator may set.
//!
//! An auction keeps the rules that it opened with. Read next: `fairground-market`.

use crate::money::BasisPoints;
use crate::people::{Capability, MakerAccess};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// The rules of a market that an operator may set. Frozen into an auction when it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct MarketPolicy {
    /// Timing of auctions.
    pub auction: AuctionPolicy,
    /// How long a buyer may take to pay.
    pub payment_window: Millis,
    /// How long a maker may decide after a failed payment.
    pub decision_window: Millis,
    /// From payment to tracking.
    pub ship_by: Millis,
    /// From delivery to completion.
    pub auto_complete: Millis,
    /// From delivery to the last moment of a complaint; at most 14 days.
    pub issue_window: Millis,
    /// Whether an order that is not shipped in time is cancelled by itself.
    pub auto_cancel_on_ship_sla: bool,
    /// The platform's share.
    pub fee: BasisPoints,
    /// Least fee, hundredths of a unit of the currency.
    pub fee_min_minor: u64,
    /// Greatest fee, hundredths of a unit of the currency.
    pub fee_max_minor: u64,
    /// Greatest refund that one person decides alone, hundredths of a unit of the currency.
    pub refund_alone_max_minor: u64,
    /// When a maker's share is let go.
    pub payout_release: PayoutRelease,
    /// How long a share waits for a maker who cannot be paid before a person must decide.
    pub payout_wait_max: Millis,
    /// By how much an admin may move the end of a payment window at a time.
    pub payment_extension_max: Millis,
    /// Whether a maker must be able to be paid out before a buyer pays.
    pub payout_account_required: bool,
    /// Who may become a maker.
    pub maker_access: MakerAccess,
    /// Capabilities that wait for a check by a provider.
    pub checked_capabilities: Vec<Capability>,
    /// Least trust of a device that may ask for a capability, in hundredths of a percent.
    pub device_trust_min: u16,
    /// Version of the market's terms that trading needs consent to, besides being of age; 0 while
    /// the market has published none.
    pub terms_version: u32,
    /// What strikes lead to.
    pub strikes: StrikePolicy,
    /// Stories and their review.
    pub stories: StoryPolicy,
}

/// What strikes lead to (domain 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StrikePolicy {
    /// How long a strike for broken rules counts.
    pub policy_life: Millis,
    /// Strikes for broken rules that pause publishing.
    pub policy_pause_at: u32,
    /// How long publishing pauses.
    pub publish_pause: Millis,
    /// Strikes for broken rules that suspend.
    pub policy_suspend_at: u32,
    /// How long strikes for unpaid and unshipped pieces count.
    pub trade_life: Millis,
    /// Unpaid pieces that pause bidding.
    pub unpaid_pause_at: u32,
    /// How long bidding pauses.
    pub bid_pause: Millis,
    /// Pieces shipped late that have fulfilment looked at.
    pub late_review_at: u32,
}

impl Default for StrikePolicy {
    fn default() -> Self {
        Self {
            policy_life: Millis::from_hours(365 * 24),
            policy_pause_at: 2,
            publish_pause: Millis::from_hours(7 * 24),
            policy_suspend_at: 3,
            trade_life: Millis::from_hours(90 * 24),
            unpaid_pause_at: 2,
            bid_pause: Millis::from_hours(30 * 24),
            late_review_at: 3,
        }
    }
}

/// Stories and their review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct StoryPolicy {
    /// Fewest clips of a story that is submitted.
    pub clips_min: u32,
    /// Whether a story that the automatic checks find clean needs no moderator.
    pub auto_approve: bool,
    /// Words that the automatic check reports.
    pub reported_words: Vec<String>,
    /// How long moderators may take.
    pub review_sla: Millis,
}

impl Default for StoryPolicy {
    fn default() -> Self {
        Self {
            clips_min: crate::limits::CLIPS_PER_STORY_MIN,
            auto_approve: false,
            reported_words: Vec::new(),
            review_sla: crate::limits::REVIEW_SLA,
        }
    }
}

/// When a maker's share is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum PayoutRelease {
    /// When the order is completed.
    OnCompleted,
    /// When the buyer may open no issue any more.
    AfterIssueWindow,
}

/// Timing of auctions. Preset `fixed72` is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuctionPolicy {
    /// From opening to the base close.
    pub initial: Millis,
    /// A bid with less than this left extends.
    pub window: Millis,
    /// By how much, added to the end.
    pub extension: Millis,
    /// All extensions together.
    pub extension_total_max: Millis,
    /// Life of an auction at most.
    pub total_max: Millis,
    /// How long a silent edge is waited for past a close.
    pub grace: Millis,
    /// Least increment as a share of the highest bid, rounded up.
    pub increment: BasisPoints,
}

impl AuctionPolicy {
    /// 72 h; a bid in the last 15 min adds 15 min, at most 24 h in all; 7 d at most.
    pub const FIXED_72: Self = Self {
        initial: Millis::from_hours(72),
        window: Millis::from_mins(15),
        extension: Millis::from_mins(15),
        extension_total_max: Millis::from_hours(24),
        total_max: Millis::from_hours(7 * 24),
        grace: crate::limits::GRACE_DEFAULT,
        increment: BasisPoints(100),
    };
}

impl Default for AuctionPolicy {
    fn default() -> Self {
        Self::FIXED_72
    }
}

impl Default for MarketPolicy {
    fn default() -> Self {
        Self {
            auction: AuctionPolicy::FIXED_72,
            payment_window: crate::limits::PAYMENT_WINDOW,
            decision_window: crate::limits::DECISION_WINDOW,
            ship_by: crate::limits::SHIP_BY,
            auto_complete: crate::limits::AUTO_COMPLETE,
            issue_window: crate::limits::ISSUE_WINDOW,
            auto_cancel_on_ship_sla: false,
            fee: BasisPoints(500),
            fee_min_minor: 50,
            fee_max_minor: 5_000,
            refund_alone_max_minor: 50_000,
            payout_release: PayoutRelease::OnCompleted,
            payout_wait_max: crate::limits::PAYOUT_WAIT_MAX,
            payment_extension_max: crate::limits::PAYMENT_EXTENSION_MAX,
            payout_account_required: false,
            maker_access: MakerAccess::Open,
            checked_capabilities: Vec::new(),
            device_trust_min: 0,
            terms_version: 0,
            strikes: StrikePolicy::default(),
            stories: StoryPolicy::default(),
        }
    }
}

impl MarketPolicy {
    /// Says what is wrong with it, if anything: values that no market could work with.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let auction = &self.auction;
        let year = Millis::from_hours(366 * 24);
        let spans = [
            auction.initial,
            auction.total_max,
            self.payment_window,
            self.decision_window,
            self.ship_by,
            self.auto_complete,
        ];
        if spans.iter().any(|span| *span == Millis::ZERO || *span > year) {
            return Some("a window must be longer than nothing and at most a year");
        }
        if auction.initial > auction.total_max {
            return Some("auction.initial is longer than auction.total_max");
        }
        if auction.grace < crate::limits::GRACE_MIN || auction.grace > Millis::from_hours(1) {
            return Some("auction.grace must be 3 s to 1 h");
        }
        if auction.increment.0 > 10_000 || self.fee.0 > 10_000 {
            return Some("a share cannot be more than the whole");
        }
        if self.fee_min_minor > self.fee_max_minor {
            return Some("fee_min_minor is greater than fee_max_minor");
        }
        None
    }
}
