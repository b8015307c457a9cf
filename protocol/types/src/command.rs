//! Everything that may be put in the log.
//!
//! Commands are imperatives. A command carries every id, instant and chance it needs; applying it
//! reads nothing else. Whether it is allowed is decided in the market, at apply time.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::id::{
    AssetId, AuctionId, BidId, BlobHash, ChallengeId, ClusterId, CommandId, Digest, EdgeId,
    EffectId, JoinTokenId, MemberId, OrderId, SaleLockId, SignInId, StoryId, UserId,
};
use crate::journal::{Batch, Mark, Tail};
use crate::money::{BasisPoints, Money};
use crate::role::Role;
use crate::text::{
    Category, ClipLabel, Handle, Note, Overview, Region, Summary, Title, TrackingNumber,
};
use crate::time::{Millis, Timestamp};

/// One entry of the replicated log: time moves to `at`, what is due fires, then marks, commands and
/// closes (architecture: the core's contract).
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Entry {
    /// Raft term of the leader that stamped it; a higher one than before begins a term.
    pub term: u64,
    /// Log time, stamped by the leader; never falls.
    pub at: Timestamp,
    /// Newest marks of edges.
    pub marks: Vec<(EdgeId, Mark)>,
    /// At most [`crate::limits::ENTRY_COMMANDS_MAX`]; none makes the entry a Tick.
    pub commands: Vec<LogCommand>,
}

/// A command in an entry.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum LogCommand {
    /// Forwarded by a shell.
    Direct(Envelope),
    /// Journal entries of an edge.
    Batch(Batch),
}

/// A command with its identity and its author.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Envelope {
    /// Identity of the intent; the same id is answered once.
    pub id: CommandId,
    /// On whose authority.
    pub actor: Actor,
    /// What.
    pub command: Command,
}

/// On whose authority a command is given.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Actor {
    /// A signed-in account.
    User(UserId),
    /// An edge, by its certificate.
    Edge(EdgeId),
    /// A member itself, or an operator at a member's machine.
    Cluster,
    /// Nobody yet: asking for a code, verifying it.
    Anonymous,
}

/// What is asked of the market.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Command {
    // Cluster.
    /// First command of a cluster.
    InitialiseCluster(InitialiseCluster),
    /// Makes a join token.
    CreateJoinToken(CreateJoinToken),
    /// Ends a join token.
    RevokeJoinToken {
        /// The token.
        token: JoinTokenId,
    },
    /// A member joins by a token, or the first one names itself.
    RegisterMember(RegisterMember),
    /// An edge joins by a token; a name seen before gets the next incarnation.
    RegisterEdge(RegisterEdge),
    /// An edge enters the intake.
    AdmitEdge {
        /// The edge.
        edge: EdgeId,
        /// Where its journal ends.
        tail: Tail,
    },
    /// An edge leaves the intake once its journal up to `tail` is applied.
    SealEdge {
        /// The edge.
        edge: EdgeId,
        /// Where its journal ends.
        tail: Tail,
    },

    // Accounts.
    /// Makes an account from the operator's machine.
    CreateAccount(CreateAccount),
    /// Asks for a one-time code.
    RequestCode(RequestCode),
    /// Redeems a one-time code.
    VerifyCode(VerifyCode),
    /// Exchanges a refresh token.
    RefreshSignIn(RefreshSignIn),
    /// Ends a sign-in.
    SignOut {
        /// The sign-in.
        sign_in: SignInId,
    },
    /// Sets the public name.
    SetHandle {
        /// The name.
        handle: Handle,
    },
    /// Gives a duty.
    GrantRole {
        /// To whom.
        user: UserId,
        /// Which.
        role: Role,
    },
    /// A viewer becomes a maker, where makers are admitted freely.
    BecomeMaker,

    // Media.
    /// A clip was uploaded and probed at an edge.
    RegisterAsset(RegisterAsset),
    /// An edge asks for transcode work.
    LeaseJob,
    /// Keeps a lease.
    RenewLease {
        /// The asset.
        asset: AssetId,
        /// Fencing number of the lease.
        fence: u64,
    },
    /// A revision is complete.
    PublishRevision(PublishRevision),
    /// A job failed.
    FailJob {
        /// The asset.
        asset: AssetId,
        /// Fencing number of the lease.
        fence: u64,
        /// A stable reason, for people and machines.
        reason: String,
        /// Whether trying again is pointless.
        is_final: bool,
    },

    // Stories.
    /// Makes a draft or a new version of it.
    SaveDraft(SaveDraft),
    /// Hands a draft to moderation.
    SubmitStory {
        /// The story.
        story: StoryId,
    },
    /// Decides about a submitted story.
    ReviewStory {
        /// The story.
        story: StoryId,
        /// How.
        decision: ReviewDecision,
    },
    /// Lists an approved story.
    PublishStory {
        /// The story.
        story: StoryId,
    },

    // Sale.
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
    /// The buyer asks for a checkout session.
    StartCheckout(StartCheckout),
    /// The effect runner opened the session.
    CheckoutOpened(CheckoutOpened),
    /// The provider refused to open it.
    CheckoutRefused {
        /// The effect.
        effect: EffectId,
        /// The lock.
        lock: SaleLockId,
        /// Which attempt.
        attempt: u32,
        /// Why, without anything private.
        reason: String,
    },
    /// A verified webhook of the payment provider.
    RecordProviderEvent(ProviderEvent),

    // Orders.
    /// The maker has shipped.
    AddTracking {
        /// The order.
        order: OrderId,
        /// Who carries it.
        carrier: Carrier,
        /// Under which number.
        number: TrackingNumber,
    },
    /// The buyer has the piece (in transit), or is content with it (delivered).
    ConfirmDelivery {
        /// The order.
        order: OrderId,
    },

    // Outbox.
    /// An effect happened, or never will.
    CompleteEffect {
        /// The effect.
        effect: EffectId,
        /// Whether it happened.
        outcome: EffectOutcome,
    },
}

/// See [`Command::InitialiseCluster`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct InitialiseCluster {
    /// The cluster.
    pub cluster: ClusterId,
    /// The rules in force.
    pub policy: MarketPolicy,
    /// Public keys that edges check tokens and receipts with.
    pub keys: Vec<ClusterKey>,
}

/// What a public key is for.
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
pub enum KeyPurpose {
    /// Access tokens.
    Access,
    /// Playback tokens.
    Playback,
    /// Receipts of an edge.
    Receipt,
}

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKey {
    /// Its name in tokens: `kid`.
    pub kid: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// 32 bytes.
    pub public: [u8; 32],
}

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
    /// The platform's share.
    pub fee: BasisPoints,
    /// Least fee, minor units.
    pub fee_min_minor: u64,
    /// Greatest fee, minor units.
    pub fee_max_minor: u64,
    /// Whether a viewer becomes a maker by asking.
    pub makers_open: bool,
}

/// Timing of auctions. Preset `fixed72` is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
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
            fee: BasisPoints(500),
            fee_min_minor: 50,
            fee_max_minor: 5_000,
            makers_open: true,
        }
    }
}

/// What a join token admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub enum JoinRole {
    /// A member of the coordinator cluster.
    Member,
    /// An edge.
    Edge,
}

/// See [`Command::CreateJoinToken`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CreateJoinToken {
    /// Its id.
    pub token: JoinTokenId,
    /// Hash of its secret.
    pub secret: Digest,
    /// What it admits.
    pub role: JoinRole,
    /// Where.
    pub region: Region,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Proof of a join token.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct JoinProof {
    /// The token.
    pub token: JoinTokenId,
    /// Hash of its secret.
    pub secret: Digest,
}

/// See [`Command::RegisterMember`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterMember {
    /// The token; absent for the first member, registered by [`Actor::Cluster`].
    pub proof: Option<JoinProof>,
    /// Where other daemons reach it: `host:port`, QUIC.
    pub cluster_address: String,
    /// Base URL of its console and webhook listener.
    pub public_url: String,
}

/// See [`Command::RegisterEdge`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterEdge {
    /// The token.
    pub proof: JoinProof,
    /// The operator's name for it.
    pub name: String,
    /// Base URL that clients use.
    pub public_url: String,
    /// Key that its receipts are signed with.
    pub receipt_key: [u8; 32],
    /// Whether it takes bids; a video-only edge is never in the intake.
    pub takes_bids: bool,
}

/// An address that only a member can read.
#[derive(Clone, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SealedContact {
    /// The account's own key, wrapped under the members' epoch key.
    pub wrapped_key: Vec<u8>,
    /// The address, sealed under the account's own key.
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for SealedContact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedContact")
    }
}

/// How a code travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub enum Channel {
    /// Mail.
    Email,
    /// Text message.
    Sms,
}

/// See [`Command::CreateAccount`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CreateAccount {
    /// Its id, should the identifier be new.
    pub user: UserId,
    /// Keyed hash of the normalised address.
    pub identifier: Digest,
    /// The address, sealed.
    pub contact: SealedContact,
    /// How it is reached.
    pub channel: Channel,
    /// Public name.
    pub handle: Option<Handle>,
    /// Duties to give, also when the account exists.
    pub roles: Vec<Role>,
}

/// See [`Command::RequestCode`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RequestCode {
    /// Names this code.
    pub challenge: ChallengeId,
    /// Keyed hash of the normalised address.
    pub identifier: Digest,
    /// The address, sealed.
    pub contact: SealedContact,
    /// How the code travels.
    pub channel: Channel,
    /// Keyed hash of the code; the code itself stays in the leader's memory.
    pub code: Digest,
}

/// See [`Command::VerifyCode`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct VerifyCode {
    /// Keyed hash of the normalised address.
    pub identifier: Digest,
    /// Keyed hash of the code that was typed.
    pub code: Digest,
    /// Id that the account gets when it is new.
    pub new_user: UserId,
    /// Id of the sign-in.
    pub sign_in: SignInId,
    /// Hash of the refresh token.
    pub refresh: Digest,
}

/// See [`Command::RefreshSignIn`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RefreshSignIn {
    /// The sign-in.
    pub sign_in: SignInId,
    /// Hash of the refresh token presented.
    pub presented: Digest,
    /// Hash of the next one.
    pub next: Digest,
}

/// See [`Command::RegisterAsset`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterAsset {
    /// Its id.
    pub asset: AssetId,
    /// The uploaded bytes.
    pub source: BlobHash,
    /// How many.
    pub source_bytes: u64,
    /// How long the clip is.
    pub duration: Millis,
    /// Pixels across, after rotation.
    pub width: u32,
    /// Pixels down, after rotation.
    pub height: u32,
}

/// See [`Command::PublishRevision`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PublishRevision {
    /// The asset.
    pub asset: AssetId,
    /// Fencing number of the lease.
    pub fence: u64,
    /// From 1; must be the next.
    pub revision: u32,
    /// Where the manifest is.
    pub manifest: BlobHash,
    /// Video codecs in it, for people: `h264`, `av1`.
    pub codecs: Vec<String>,
    /// Whether the job is done with this one.
    pub is_last: bool,
}

/// A clip of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clip {
    /// The asset.
    pub asset_id: AssetId,
    /// What it shows.
    pub label: ClipLabel,
}

/// The contents of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoryDraft {
    /// Title.
    pub title: Title,
    /// One line.
    pub short_description: Summary,
    /// Category.
    pub category: Category,
    /// The long text.
    pub overview: Overview,
    /// One to seven clips; the first is the primary one.
    pub clips: Vec<Clip>,
    /// Offers below it are refused; its currency is the listing's.
    pub minimum_offer: Money,
    /// Whether approval lists it at once.
    pub publish_when_approved: bool,
}

/// See [`Command::SaveDraft`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SaveDraft {
    /// The story; new when `base_version` is absent.
    pub story: StoryId,
    /// The version that the maker changed.
    pub base_version: Option<u64>,
    /// The contents.
    pub draft: StoryDraft,
}

/// How a review ended.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ReviewDecision {
    /// It may be listed.
    Approve,
    /// It may not, for this reason.
    Reject {
        /// Shown to the maker.
        notes: Note,
    },
}

/// See [`Command::StartCheckout`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct StartCheckout {
    /// The lock.
    pub lock: SaleLockId,
    /// Where the buyer comes back to.
    pub return_url: String,
    /// Where the buyer comes back to without paying.
    pub cancel_url: String,
}

/// See [`Command::CheckoutOpened`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CheckoutOpened {
    /// The effect.
    pub effect: EffectId,
    /// The lock.
    pub lock: SaleLockId,
    /// Which attempt.
    pub attempt: u32,
    /// The provider's id of the session.
    pub checkout_session: String,
    /// Where the buyer pays.
    pub url: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What a provider's event says about a checkout session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ProviderEventKind {
    /// The session was paid.
    CheckoutPaid,
    /// The session ended without payment.
    CheckoutExpired,
    /// An attempt failed; the session is still open.
    PaymentFailed,
    /// Anything else: kept, not interpreted.
    Other,
}

/// See [`Command::RecordProviderEvent`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ProviderEvent {
    /// The provider's id of the event; processed once.
    pub event: String,
    /// What it says.
    pub kind: ProviderEventKind,
    /// When the provider made it.
    pub created: Timestamp,
    /// The sale lock it names, by reference or metadata.
    pub lock: Option<SaleLockId>,
    /// The provider's id of the session.
    pub checkout_session: Option<String>,
    /// The provider's id of the payment.
    pub payment: Option<String>,
    /// What was paid.
    pub amount: Option<Money>,
    /// Hash of the raw bytes.
    pub raw: Digest,
    /// Id that the order gets if this event makes one.
    pub new_order: OrderId,
}

/// Who carries a parcel.
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
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of carriers")]
pub enum Carrier {
    Usps,
    Ups,
    Fedex,
    Dhl,
    Other,
}

/// How an effect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum EffectOutcome {
    /// It happened.
    Happened,
    /// It cannot be known whether it happened; it is not repeated.
    Unknown,
    /// It will not happen.
    Abandoned,
}

/// A member as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct MemberRow {
    /// Its number.
    pub member: MemberId,
    /// `host:port`, QUIC.
    pub cluster_address: String,
    /// Base URL of its console.
    pub public_url: String,
}
