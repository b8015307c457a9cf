//! What the market wants done in the world: values in the outbox, carried out by the leader.
//!
//! An effect's id is derived from the entry that made it, so every member names it alike and it can
//! be the idempotency key abroad. It must not hold anything in clear that a member would not log.
//! Read next: [`crate::outbox`] for how long one lives.

use fairground_types::command::{Channel, RefundCause, SealedContact, StoryDraft};
use fairground_types::{
    AssetId, AuctionId, BlobHash, ChallengeId, EffectId, LogIndex, Millis, Money, OrderId,
    RefundId, SaleLockId, StoryId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

pub(crate) use fairground_types::{NoticeChannel, NoticeKind};

/// Something to be done in the world, once.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum Effect {
    /// Send a one-time code. The code itself is in the memory of the leader that made it.
    SendCode {
        /// Names the code.
        challenge: ChallengeId,
        /// How it travels.
        channel: Channel,
        /// Where to, sealed.
        contact: SealedContact,
    },
    /// Open a checkout session.
    OpenCheckout(OpenCheckout),
    /// End a checkout session that must not be paid any more.
    ExpireCheckout {
        /// The lock.
        lock: SaleLockId,
        /// Which attempt.
        attempt: u32,
        /// The provider's id of the session.
        checkout_session: String,
    },
    /// Tell an account something.
    Notify(Notice),
    /// Look at a story before a moderator does; the outcome is a `RecordCheck`.
    CheckStory(Box<StoryCheck>),
    /// Give a payment back, or a part of it.
    CreateRefund(CreateRefund),
    /// Send a share to its maker.
    CreateTransfer(CreateTransfer),
    /// Take a transfer back, as far as it goes.
    ReverseTransfer(ReverseTransfer),
    /// Make a maker's account.
    CreateConnectedAccount {
        /// Whose.
        user: UserId,
    },
    /// Read a charge and its record in the provider's books.
    ReadCharge {
        /// The order that it paid.
        order: OrderId,
        /// The provider's id of the payment.
        payment: String,
    },
}

/// See [`Effect::CreateRefund`].
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct CreateRefund {
    /// The refund.
    pub refund: RefundId,
    /// The lock that the payment was meant for.
    pub lock: SaleLockId,
    /// The order that it paid, if it bought one.
    pub order: Option<OrderId>,
    /// The provider's id of the payment.
    pub payment: String,
    /// How much.
    pub amount: Money,
    /// Why.
    pub cause: RefundCause,
}

/// See [`Effect::CreateTransfer`].
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct CreateTransfer {
    /// The order.
    pub order: OrderId,
    /// Its sale lock.
    pub lock: SaleLockId,
    /// The provider's id of the maker's account.
    pub account: String,
    /// The provider's id of the payment.
    pub payment: String,
    /// The provider's id of the charge, where it was read.
    pub charge: Option<String>,
    /// How much.
    pub amount: Money,
}

/// See [`Effect::ReverseTransfer`].
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct ReverseTransfer {
    /// The order.
    pub order: OrderId,
    /// The provider's id of the transfer.
    pub transfer: String,
    /// The provider's id of the account that it went to.
    pub account: String,
    /// How much at most.
    pub amount: Money,
    /// The refund that waits for it.
    pub refund: Option<RefundId>,
}

/// See [`Effect::CheckStory`].
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct StoryCheck {
    /// The story.
    pub story: StoryId,
    /// The version to look at.
    pub version: u64,
    /// Its contents.
    pub contents: StoryDraft,
    /// Facts of its clips.
    pub clips: Vec<CheckedClip>,
    /// Words that the operator wants to be told of.
    pub reported_words: Vec<String>,
}

/// Facts of a clip that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CheckedClip {
    /// The asset.
    pub asset: AssetId,
    /// The uploaded bytes.
    pub source: BlobHash,
    /// How long it is.
    pub duration: Millis,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// See [`Effect::OpenCheckout`].
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct OpenCheckout {
    /// The lock.
    pub lock: SaleLockId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Who pays.
    pub buyer: UserId,
    /// How much.
    pub amount: Money,
    /// What for.
    pub title: String,
    /// Where the buyer comes back to.
    pub return_url: String,
    /// Where the buyer comes back to without paying.
    pub cancel_url: String,
    /// The session must not outlive this.
    pub expires_at: Timestamp,
}

/// See [`Effect::Notify`].
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Notice {
    /// To whom.
    pub user: UserId,
    /// By which channel.
    pub channel: NoticeChannel,
    /// What.
    pub kind: NoticeKind,
    /// About which story.
    pub story: Option<StoryId>,
    /// About which auction.
    pub auction: Option<AuctionId>,
    /// About which sale lock.
    pub lock: Option<SaleLockId>,
    /// About which order.
    pub order: Option<OrderId>,
    /// Title of the story.
    pub title: Option<String>,
    /// An amount that the text names.
    pub amount: Option<Money>,
    /// An instant that the text names: a close, the end of a window.
    pub until: Option<Timestamp>,
    /// A free text: a reviewer's notes, a tracking number.
    pub text: Option<String>,
}

/// An effect that waits in the outbox.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct PendingEffect {
    /// Its id, the idempotency key abroad.
    pub id: EffectId,
    /// What is to be done.
    pub effect: Effect,
    /// The entry that made it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// Dropped from the outbox at this log time, done or not.
    pub expires_at: Option<Timestamp>,
}

impl Effect {
    /// A constant name of its kind, for counters.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SendCode { .. } => "send_code",
            Self::OpenCheckout(_) => "open_checkout",
            Self::ExpireCheckout { .. } => "expire_checkout",
            Self::Notify(_) => "notify",
            Self::CheckStory(_) => "check_story",
            Self::CreateRefund(_) => "create_refund",
            Self::CreateTransfer(_) => "create_transfer",
            Self::ReverseTransfer(_) => "reverse_transfer",
            Self::CreateConnectedAccount { .. } => "create_connected_account",
            Self::ReadCharge { .. } => "read_charge",
        }
    }

    /// Whether its outcome is reported with what came of it, and a failure kept for finance.
    #[must_use]
    pub const fn moves_money(&self) -> bool {
        match self {
            Self::CreateRefund(_)
            | Self::CreateTransfer(_)
            | Self::ReverseTransfer(_)
            | Self::CreateConnectedAccount { .. }
            | Self::ReadCharge { .. } => true,
            Self::SendCode { .. }
            | Self::OpenCheckout(_)
            | Self::ExpireCheckout { .. }
            | Self::CheckStory(_)
            | Self::Notify(_) => false,
        }
    }
}
