//! Rows about money: for the two parties of a sale, and for finance.
//!
//! Read next: `query.rs` for how they are made.

use fairground_types::command::{HoldDecision, RefundCause};
use fairground_types::text::Note;
use fairground_types::{
    Digest, DisputeId, EffectId, LogIndex, Money, OrderId, RefundId, SaleLockId, Timestamp, UserId,
};
use serde::Serialize;

use super::PayoutHold;
use crate::ledger::{LedgerAccount, Side};
use crate::row::LockRow;

/// A payment, for its buyer and its maker.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentRow {
    /// Its id: that of its sale lock.
    pub payment_id: SaleLockId,
    /// The sale lock.
    pub sale_lock: LockRow,
    /// `pending`, `succeeded`, `partiallyRefunded`, `refunded`, `failed` or `expired`.
    pub status: &'static str,
    /// What was paid and what becomes of it, once paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeRow>,
}

/// A charge.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChargeRow {
    /// The order that it paid.
    pub order_id: OrderId,
    /// What was paid.
    pub amount: Money,
    /// The market's share.
    pub platform_fee: Money,
    /// What the payment provider kept, once known; for makers and finance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_fee: Option<Money>,
    /// What went back or is on its way back.
    pub refunded: Money,
    /// When it was paid.
    pub paid_at: Timestamp,
    /// Number of the receipt.
    pub receipt: String,
    /// `waiting`, `parked`, `sending`, `sent`, `failed` or `nothing`; for makers and finance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout: Option<&'static str>,
    /// The maker's share so far as it is known; for makers and finance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout_amount: Option<Money>,
    /// What holds the share back; for makers and finance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<PayoutHold>,
    /// Refunds.
    pub refunds: Vec<RefundRow>,
}

/// A refund.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefundRow {
    /// Its id.
    pub refund_id: RefundId,
    /// The sale lock.
    pub sale_lock_id: SaleLockId,
    /// The order, if the payment bought one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// How much.
    pub amount: Money,
    /// What the market gave back of its fee.
    pub fee_returned: Money,
    /// Why.
    pub cause: RefundCause,
    /// `proposed`, `pending`, `succeeded`, `failed` or `cancelled`.
    pub state: &'static str,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Who asked; for finance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposer: Option<UserId>,
    /// Who decided; for finance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<UserId>,
    /// Why; for finance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// The provider's word for a failure; for finance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A payment that does not match its lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldRow {
    /// The sale lock.
    pub sale_lock_id: SaleLockId,
    /// The provider's event.
    pub event: String,
    /// Always `AMOUNT_MISMATCH`.
    pub code: &'static str,
    /// What the lock is for.
    pub expected: Money,
    /// What came, where that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub came: Option<Money>,
    /// When it was held.
    pub at: Timestamp,
    /// What was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<HoldDecision>,
}

/// A chargeback.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DisputeRow {
    /// Its id.
    pub dispute_id: DisputeId,
    /// The provider's id.
    pub provider_id: String,
    /// The order.
    pub order_id: OrderId,
    /// How much is disputed.
    pub amount: Money,
    /// What the provider takes for it, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<Money>,
    /// The card network's word for why.
    pub reason: String,
    /// Until when evidence is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
    /// `inquiry`, `open`, `closed`, `won` or `lost`.
    pub state: &'static str,
    /// When it was heard of.
    pub opened_at: Timestamp,
    /// What was asked back from the maker.
    pub claimed: Money,
}

/// An effect that failed for good.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterRow {
    /// The effect.
    pub effect_id: EffectId,
    /// Its kind.
    pub kind: &'static str,
    /// Why it failed.
    pub code: String,
    /// When.
    pub failed_at: Timestamp,
    /// It is known not to have happened.
    pub certain: bool,
    /// The order that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// How much it moves, if it moves money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerRow {
    /// The entry that posted it.
    pub log_index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// Why it was posted; equal for the lines of one posting.
    pub cause: String,
    /// The account.
    pub account: String,
    /// Its side.
    pub side: Side,
    /// How much.
    pub amount: Money,
}

/// The ledger, for finance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerList {
    /// Oldest first.
    pub lines: Vec<LedgerRow>,
    /// There are more after these.
    pub has_more: bool,
}

/// A receipt: what a buyer paid for, to whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptRow {
    /// Gap-free within a year.
    pub number: String,
    /// The order.
    pub order_id: OrderId,
    /// The sale lock.
    pub sale_lock_id: SaleLockId,
    /// Who paid.
    pub buyer_id: UserId,
    /// Who sold.
    pub maker_id: UserId,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What was paid.
    pub amount: Money,
    /// The market's share in it.
    pub platform_fee: Money,
    /// What the maker gets of it.
    pub maker_share: Money,
    /// What went back since.
    pub refunded: Money,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Hash over what was issued; never changes.
    pub hash: Digest,
}

/// A receipt, with a link that may be handed on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptWithLink {
    /// The receipt.
    pub receipt: ReceiptRow,
    /// A path that shows it to whoever has it.
    pub link: String,
    /// Until when.
    pub link_expires_at: Timestamp,
}

impl std::fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ProviderPending => f.write_str("stripe.pending"),
            Self::ProviderAvailable => f.write_str("stripe.available"),
            Self::Held(order) => write!(f, "held:{order}"),
            Self::Unclaimed(lock) => write!(f, "unclaimed:{lock}"),
            Self::BuyerRefunds => f.write_str("buyer.refunds"),
            Self::MakerPayable(maker) => write!(f, "maker.payable:{maker}"),
            Self::MakerDebt(maker) => write!(f, "maker.debt:{maker}"),
            Self::FeePlatform => f.write_str("fee.platform"),
            Self::CostProvider => f.write_str("cost.stripe"),
            Self::CostDispute => f.write_str("cost.dispute"),
            Self::DisputeOpen(dispute) => write!(f, "dispute.open:{dispute}"),
            Self::Conversion => f.write_str("conversion"),
            Self::Writeoff => f.write_str("writeoff"),
        }
    }
}
