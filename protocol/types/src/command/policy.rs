//! The rules of a market that an operator may set.
//!
//! An auction keeps the rules that it opened with. Read next: `fairground-market`.

use crate::limits;
use crate::money::{BasisPoints, Currency, Money};
use crate::people::{Capability, MakerAccess};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// The rules of a market that an operator may set. Frozen into an auction when it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct MarketPolicy {
    /// Timing and increments of auctions.
    pub auction: AuctionPolicy,
    /// Offers on listed stories.
    pub offers: OfferLimits,
    /// Times that a maker may ask another bidder after a failed payment.
    pub second_chances_max: u32,
    /// How long a lock waits at a close for the maker's capability to be paid.
    pub capability_wait: Millis,
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
            clips_min: limits::CLIPS_PER_STORY_MIN,
            auto_approve: false,
            reported_words: Vec::new(),
            review_sla: limits::REVIEW_SLA,
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

/// What offers a market takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct OfferLimits {
    /// Offers of one buyer per listing cycle; a maker may allow fewer.
    pub per_cycle_max: u32,
    /// Offers of one buyer in an hour, over all stories.
    pub per_hour_max: u32,
    /// How long a buyer may withdraw an offer that waits for its maker.
    pub withdrawal: Millis,
    /// How long a maker may look at an offer before it opens by itself.
    pub review: Millis,
    /// Offers up to so many units of the currency pass while nobody can check their buyers.
    pub unchecked_max_units: u64,
}

/// How a bid moves a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ExtensionMode {
    /// A bid in the window before the close adds the extension to the close.
    AddToEnd,
    /// Every bid sets the close to the extension from its time on, if that is later.
    Reset,
}

/// How wanted a listing was when its auction opened; decides its tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Popularity {
    /// Like most.
    Common,
    /// Among the most wanted fifth.
    Popular,
    /// Among the most wanted twentieth.
    Top,
}

/// The least increment of each currency, minor units ("five units").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are ISO 4217 codes")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncrementFloors {
    pub eur: u64,
    pub usd: u64,
    pub gbp: u64,
    pub chf: u64,
    pub jpy: u64,
    pub kwd: u64,
}

impl IncrementFloors {
    /// Five units; for yen and dinars what is about as much.
    pub const DEFAULT: Self = Self {
        eur: Currency::Eur.increment_floor_minor(),
        usd: Currency::Usd.increment_floor_minor(),
        gbp: Currency::Gbp.increment_floor_minor(),
        chf: Currency::Chf.increment_floor_minor(),
        jpy: Currency::Jpy.increment_floor_minor(),
        kwd: Currency::Kwd.increment_floor_minor(),
    };

    /// The same for every currency.
    #[must_use]
    pub const fn flat(minor: u64) -> Self {
        Self { eur: minor, usd: minor, gbp: minor, chf: minor, jpy: minor, kwd: minor }
    }

    /// The floor of one currency.
    #[must_use]
    pub const fn of(&self, currency: Currency) -> u64 {
        match currency {
            Currency::Eur => self.eur,
            Currency::Usd => self.usd,
            Currency::Gbp => self.gbp,
            Currency::Chf => self.chf,
            Currency::Jpy => self.jpy,
            Currency::Kwd => self.kwd,
        }
    }
}

impl Default for IncrementFloors {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Timing and increments of auctions. Preset `fixed72` is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuctionPolicy {
    /// How a bid moves the close.
    pub mode: ExtensionMode,
    /// From opening to the base close. In mode `reset` set at the opening, from the tier.
    pub initial: Millis,
    /// A bid with less than this left extends; mode `add_to_end` alone.
    pub window: Millis,
    /// By how much. In mode `reset` set at the opening, from the tier.
    pub extension: Millis,
    /// All extensions together; mode `add_to_end` alone.
    pub extension_total_max: Millis,
    /// Life of an auction at most.
    pub total_max: Millis,
    /// Tier of most listings; mode `reset` alone.
    pub tier_common: Millis,
    /// Tier of the most wanted fifth.
    pub tier_popular: Millis,
    /// Tier of the most wanted twentieth.
    pub tier_top: Millis,
    /// Above so many units of the currency the tier is longer; mode `reset` alone.
    pub high_value_units: u64,
    /// By how much.
    pub high_value_bonus: Millis,
    /// How long a silent edge is waited for past a close.
    pub grace: Millis,
    /// Least increment as a share of the highest bid, rounded up.
    pub increment: BasisPoints,
    /// Least increment of each currency, minor units.
    pub increment_floor_minor: IncrementFloors,
    /// Highest amount, minor units.
    pub amount_max_minor: u64,
    /// Judged bids of one bidder in one auction.
    pub bids_per_bidder_max: u32,
    /// Whether a bid may carry a private maximum (the flag `auctions.proxy_bids`).
    pub proxy_bids: bool,
}

impl AuctionPolicy {
    /// 72 h; a bid in the last 15 min adds 15 min, at most 24 h in all; 7 d at most.
    pub const FIXED_72: Self = Self {
        mode: ExtensionMode::AddToEnd,
        initial: Millis::from_hours(72),
        window: Millis::from_mins(15),
        extension: Millis::from_mins(15),
        extension_total_max: Millis::from_hours(24),
        total_max: Millis::from_hours(7 * 24),
        tier_common: Millis::from_hours(48),
        tier_popular: Millis::from_hours(72),
        tier_top: Millis::from_hours(96),
        high_value_units: 1_000,
        high_value_bonus: Millis::from_hours(24),
        grace: limits::GRACE_DEFAULT,
        increment: BasisPoints(100),
        increment_floor_minor: IncrementFloors::DEFAULT,
        amount_max_minor: limits::AMOUNT_CEILING_MINOR,
        bids_per_bidder_max: limits::BIDS_PER_BIDDER_MAX,
        proxy_bids: false,
    };

    /// 48, 72 or 96 h by popularity, 24 h more above 1,000 units; every bid sets the close to that
    /// long from its time on; 7 d at most.
    pub const ROLLING: Self = Self {
        mode: ExtensionMode::Reset,
        initial: Millis::from_hours(48),
        extension: Millis::from_hours(48),
        ..Self::FIXED_72
    };

    /// The least time that an auction is open for, unless it is ended by somebody.
    const fn shortest(&self) -> Millis {
        match self.mode {
            ExtensionMode::AddToEnd => self.initial,
            ExtensionMode::Reset => self.tier_common,
        }
    }

    /// The rules of an auction that opens at `opening`: the tier is frozen into them.
    #[must_use]
    pub fn frozen(mut self, popularity: Popularity, opening: Money) -> Self {
        match self.mode {
            ExtensionMode::AddToEnd => {}
            ExtensionMode::Reset => {
                self.extension = match popularity {
                    Popularity::Common => self.tier_common,
                    Popularity::Popular => self.tier_popular,
                    Popularity::Top => self.tier_top,
                };
                self.initial = self.reset_by(opening);
            }
        }
        self
    }

    /// The tier with its bonus: how far from its time a bid of this amount sets the close.
    #[must_use]
    pub fn reset_by(&self, amount: Money) -> Millis {
        let bonus = if is_above(amount, self.high_value_units) {
            self.high_value_bonus
        } else {
            Millis::ZERO
        };
        Millis::new(self.extension.as_millis().saturating_add(bonus.as_millis()))
    }
}

/// Whether an amount is above so many units of its currency.
#[must_use]
pub fn is_above(amount: Money, units: u64) -> bool {
    let unit = 10_u64.saturating_pow(amount.currency().exponent());
    amount.minor() > units.saturating_mul(unit)
}

impl Default for OfferLimits {
    fn default() -> Self {
        Self {
            per_cycle_max: limits::OFFERS_PER_BUYER_MAX,
            per_hour_max: limits::OFFERS_PER_HOUR_MAX,
            withdrawal: limits::OFFER_WITHDRAWAL,
            review: limits::OFFER_REVIEW,
            unchecked_max_units: 500,
        }
    }
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
            offers: OfferLimits::default(),
            second_chances_max: limits::SECOND_CHANCES_MAX,
            capability_wait: limits::CAPABILITY_WAIT,
            payment_window: limits::PAYMENT_WINDOW,
            decision_window: limits::DECISION_WINDOW,
            ship_by: limits::SHIP_BY,
            auto_complete: limits::AUTO_COMPLETE,
            issue_window: limits::ISSUE_WINDOW,
            auto_cancel_on_ship_sla: false,
            fee: BasisPoints(500),
            fee_min_minor: 50,
            fee_max_minor: 5_000,
            refund_alone_max_minor: 50_000,
            payout_release: PayoutRelease::OnCompleted,
            payout_wait_max: limits::PAYOUT_WAIT_MAX,
            payment_extension_max: limits::PAYMENT_EXTENSION_MAX,
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
        if auction.shortest() > auction.total_max {
            return Some("auction.initial is longer than auction.total_max");
        }
        if auction.grace < limits::GRACE_MIN || auction.grace > Millis::from_hours(1) {
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
