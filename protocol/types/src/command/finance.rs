//! Commands about money behind a sale: refunds, payouts, chargebacks, holds, dead letters.
//!
//! What a person of finance decides, what the payment provider says, and what came of an effect.
//! Read next: `payment.rs` for checkout, `fairground-market` for what they do.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::id::{Digest, EffectId, OrderId, RefundId, SaleLockId, UserId};
use crate::money::Money;
use crate::text::Note;
use crate::time::{Millis, Timestamp};

/// What is asked about money behind a sale.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum FinanceCommand {
    /// A maker wants to be paid out: an account at the provider is made, once.
    OpenPayoutAccount,
    /// A verified webhook about something other than a checkout.
    RecordProviderObject(ProviderObjectEvent),
    /// What came of an effect that moves money.
    ReportEffect {
        /// The effect.
        effect: EffectId,
        /// What came of it.
        result: EffectResult,
    },
    /// An admin moves the end of a payment window.
    OverrideWindow {
        /// The lock.
        lock: SaleLockId,
        /// How.
        change: WindowChange,
        /// Why.
        reason: Note,
    },
    /// Finance decides about money that does not match its lock.
    ResolveHold {
        /// The lock.
        lock: SaleLockId,
        /// The provider's event that was held.
        event: String,
        /// What becomes of the money.
        decision: HoldDecision,
        /// Id that the order gets if this makes one.
        new_order: OrderId,
        /// Why.
        reason: Note,
    },
    /// Somebody of support or finance wants money to go back.
    ProposeRefund {
        /// The order.
        order: OrderId,
        /// How much.
        amount: Money,
        /// Why.
        reason: Note,
    },
    /// Finance decides about a refund.
    DecideRefund {
        /// The refund.
        refund: RefundId,
        /// What becomes of it.
        decision: RefundDecision,
        /// Why.
        reason: Note,
    },
    /// Finance keeps a payout back.
    HoldPayout {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Note,
    },
    /// Finance lets a payout go.
    UnholdPayout {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Note,
    },
    /// Finance has a failed payout tried again.
    RetryPayout {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Note,
    },
    /// Finance has a dead letter tried again.
    ReplayEffect {
        /// The effect that failed.
        effect: EffectId,
        /// Why.
        reason: Note,
    },
}

/// What becomes of a payment window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum WindowChange {
    /// It ends later.
    Extend {
        /// By how much.
        by: Millis,
    },
    /// It ends now.
    Terminate,
}

/// What becomes of held money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum HoldDecision {
    /// It buys the piece all the same.
    Accept,
    /// It goes back in full.
    Refund,
}

/// What becomes of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RefundDecision {
    /// A proposed one is carried out.
    Approve,
    /// A proposed one is not.
    Reject,
    /// A failed one is tried again.
    Retry,
    /// A failed one is given up: the money stays where it was.
    Cancel,
}

/// Why money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RefundCause {
    /// The order was cancelled by a rule of the market.
    OrderCancelled,
    /// An issue was decided for the buyer.
    IssueResolved,
    /// The payment came when the piece was no longer to be had.
    TooLate,
    /// The payment did not match and finance gave it back.
    Mismatch,
    /// Somebody of support or finance asked for it.
    Asked,
}

/// See [`FinanceCommand::RecordProviderObject`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ProviderObjectEvent {
    /// The provider's id of the event; processed once.
    pub event: String,
    /// When the provider made it.
    pub created: Timestamp,
    /// What it shows.
    pub object: ProviderObject,
    /// Hash of the raw bytes.
    pub raw: Digest,
}

/// An object of the provider, as an event or a look-up shows it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ProviderObject {
    /// A refund.
    Refund {
        /// The provider's id.
        refund: String,
        /// The refund of ours that it names.
        ours: Option<RefundId>,
        /// The payment it belongs to.
        payment: Option<String>,
        /// How much.
        amount: Option<Money>,
        /// Where it stands.
        state: ProviderRefundState,
    },
    /// A dispute of a card holder.
    Dispute {
        /// The provider's id.
        dispute: String,
        /// The payment it is about.
        payment: Option<String>,
        /// The charge it is about.
        charge: Option<String>,
        /// How much is disputed.
        amount: Option<Money>,
        /// What the provider charges for it, once known.
        fee: Option<Money>,
        /// The card network's word for why.
        reason: String,
        /// Until when evidence is taken.
        due_by: Option<Timestamp>,
        /// Where it stands.
        state: ProviderDisputeState,
    },
    /// A maker's account at the provider, read again after an event.
    Account {
        /// The provider's id.
        account: String,
        /// Whose it is, by what we attached to it.
        user: Option<UserId>,
        /// Whether money can be sent to it.
        state: ProviderAccountState,
    },
    /// The card network warns that a payment may be fraudulent.
    FraudWarning {
        /// The payment.
        payment: Option<String>,
        /// The charge.
        charge: Option<String>,
    },
    /// Money has become available.
    BalanceAvailable,
}

/// Where a refund stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ProviderRefundState {
    /// Under way.
    Pending,
    /// The money has gone.
    Succeeded,
    /// The money came back.
    Failed,
    /// It was called off.
    Cancelled,
}

/// Where a dispute stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ProviderDisputeState {
    /// A question of the bank; no money has moved.
    Inquiry,
    /// The question ended without a dispute.
    InquiryClosed,
    /// The money was taken; it is argued about.
    Open,
    /// The money comes back.
    Won,
    /// The money is gone.
    Lost,
}

/// Whether money can be sent to a maker's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ProviderAccountState {
    /// The maker has not told the provider enough.
    Onboarding,
    /// It can.
    Ready,
    /// It could and cannot now.
    Restricted,
    /// It never will again.
    Closed,
}

/// What came of an effect that moves money.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum EffectResult {
    /// A refund was made.
    RefundMade {
        /// The provider's id.
        refund: String,
        /// Where it stands.
        state: ProviderRefundState,
    },
    /// A transfer was made.
    TransferMade {
        /// The provider's id.
        transfer: String,
    },
    /// A transfer was taken back as far as it went.
    ReversalMade {
        /// The provider's id; none when nothing could be taken back.
        reversal: Option<String>,
        /// How much came back.
        amount: Money,
    },
    /// A maker's account was made.
    AccountMade {
        /// The provider's id.
        account: String,
    },
    /// A charge and its record in the provider's books were read.
    ChargeRead {
        /// The provider's id of the charge.
        charge: String,
        /// Its record.
        balance: BalanceRecord,
    },
    /// It did not happen and will not by itself.
    Refused {
        /// The provider's code.
        code: String,
    },
    /// It is not known whether it happened, and nothing more can be done about it without a person.
    Lost {
        /// Why.
        code: String,
    },
}

/// A record in the provider's books.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct BalanceRecord {
    /// The provider's id.
    pub record: String,
    /// What the provider kept, in the currency of its books.
    pub fee: Money,
    /// What came in, in the currency of its books.
    pub gross: Money,
    /// When the money can be used.
    pub available_at: Timestamp,
}
