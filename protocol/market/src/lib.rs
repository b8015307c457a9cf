//! The rules of the market as a pure state machine.
//!
//! [`Market::apply`] is the only thing that changes a market. It is total: a refusal is a verdict,
//! not an error; the same state and the same entry give the same outcome on every machine. Nothing
//! here may know a clock, a socket, a file or chance: they enter as values inside entries.
//!
//! ```text
//!  Entry --> apply:  1 time moves, outage rule      5 closes that the horizon has reached,
//!                    2 what is due fires              silent edges leave the intake
//!                    3 marks                       --> Applied { outcomes, judged, feed }
//!                    4 commands                    --> the view folds the feed
//! ```
//! Read next: `apply.rs` for that order, `auction/` for bids, `docs/src/internals/bids.md` for why.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

mod account;
mod apply;
mod archive;
mod auction;
mod audit;
mod cluster;
mod cow_map;
mod deadline;
mod dedup;
mod edge_ledger;
mod effect;
mod figures;
mod fingerprint;
mod govern;
mod inbox;
mod invariant;
mod issue;
mod jobs;
mod ledger;
mod media;
mod memory;
mod notice;
mod offer;
mod offering;
mod order;
mod outage;
mod outbox;
mod payment;
mod people;
mod permission;
mod query;
mod reach;
mod row;
mod sale;
#[cfg(any(test, feature = "test-util"))]
pub mod script;
mod signing;
mod snapshot;
mod social;
mod story;
#[cfg(test)]
mod tests;
mod treasury;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairground_types::event::FeedItem;
use fairground_types::verdict::Judged;
use fairground_types::{
    AssetId, AuctionId, CommandId, EdgeId, IssueId, LogIndex, OrderId, SaleLockId, StoryId,
    Timestamp, UserId, Verdict,
};
use wincode::{SchemaRead, SchemaWrite};

use cow_map::{CowMap, CowSet};

pub use account::{Account, Challenge, SignIn};
pub use archive::{ArchivedAudit, ArchivedSale};
pub use auction::admission;
pub use auction::{
    ActKind, AdminAct, Auction, AuctionAudit, AuctionAuditKind, AuctionAuditLine, AuctionState,
    Bid, Ended, Extension, RefusedBid, RetractedBid,
};
pub use audit::AuditEntry;
pub use cluster::JoinToken;
pub use edge_ledger::{EdgeState, Missing, Standing};
pub use effect::{
    CheckedClip, CreateRefund, CreateTransfer, Effect, Notice, OpenCheckout, PendingEffect,
    ReverseTransfer, StoryCheck,
};
pub use fairground_types::{NoticeChannel, NoticeKind};
pub use figures::{
    AuctionOutcomes, MarketReport, MoneyTotals, OrderTotals, PublicationList, PublicationRow,
    StoryTotals,
};
pub use govern::{
    Authored, FlagChange, FlagState, PolicyVersion, RulesReport, RulesRow, TemplateChange,
    TemplateState,
};
pub use inbox::{InboxNotice, PreferenceState, PushDevice};
pub use issue::rows::{EvidenceRow, IssueEntryRow, IssueRow, OfferKind};
pub use issue::{Issue, IssueEntry, IssueState, IssueStep, Resolution};
pub use ledger::{LedgerAccount, LedgerCause, LedgerLine, Posting, Side};
pub use media::{Asset, Job};
pub use offering::{
    EligibilityRow, MakerDashboard, Offer, OfferHistory, OfferList, OfferMoment, OfferPolicyRow,
    OfferRow, OfferState, OfferStep, OwnAuctionList, OwnAuctionRow,
};
pub use order::rows::{
    CarrierEventRow, IssueEligibilityRow, MessageList, MessageRow, OrderRow, TrackingRow, Words,
};
pub use order::{
    CancelCause, CompletionType, Correction, Order, OrderMessage, OrderState, ReviewReason,
    Shipment, ShipmentState,
};
pub use payment::{Attempt, AttemptState, FinanceHold};
pub use people::{
    AccountList, AccountRow, AccountStanding, AddressList, AddressRow, CapabilityList,
    CapabilityRow, CapabilityState, ConsentList, ConsentRow, DataRequest, DataRequestRow,
    DataRequestState, Device, DeviceKeyRow, DeviceList, DeviceRow, FollowList, IdentityList,
    InvitationList, InvitationRow, PrivacyRow, ProfileRow, PublicProfileRow, SignInList, SignInRow,
    Strike, StrikeRow, TaskRow,
};
pub use reach::BlobRoots;
pub use row::{
    AssetList, AssetRow, AuctionRecord, BidList, BidRow, EdgeRow, JobList, JobRow, JoinTokenList,
    JoinTokenRow, LockList, LockRow, MeRow, OrderList, OrderRole, StoryList, StoryRow,
};
pub use row::{
    AuditFilter, AuditRow, NoticeList, NoticeRow, PreferenceRow, PushDeviceList, PushDeviceRow,
};
pub use sale::{LockState, SaleLock};
pub use signing::{
    Checked, Claim, DeviceKey, KeyError, SignaturePolicyVersion, Verified, parse_key,
};
pub use snapshot::{SNAPSHOT_VERSION, SinceVersion1, SinceVersion2, Snapshot};
pub use social::{FeedProfile, SavedList, ViewerState};
pub use story::{
    FieldChange, Measure, MeasureKind, MeasureRow, QueueRow, ReportCount, Review, ReviewRow,
    ReviewStage, Story, StoryState, StoryStatusRow, StoryVersion, VersionDiff, VersionList,
    VersionRow,
};
pub use treasury::{
    Charge, ChargeRow, DeadLetter, DeadLetterRow, Dispute, DisputeRow, DisputeState, HoldRow,
    LedgerList, LedgerRow, PaymentRow, Payout, PayoutAccount, PayoutHold, ReceiptNumber,
    ReceiptRow, ReceiptWithLink, Refund, RefundRow, RefundState, Transfer,
};
pub use view::{
    AssetView, AuctionStatus, AuctionView, EdgeView, ExtensionView, Placed, PublicView, ShareView,
    StoryStatus, StoryView, VIEW_BIDS_MAX,
};

/// The newest rules that this crate knows. A state applies the rules that it names.
pub const RULES_VERSION: u32 = 4;

/// Everything that the log decides.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Market {
    pub(crate) rules_version: u32,
    pub(crate) index: LogIndex,
    pub(crate) at: Timestamp,
    pub(crate) term: u64,
    pub(crate) resumed_at: Timestamp,
    pub(crate) cluster: cluster::Cluster,
    pub(crate) edges: BTreeMap<EdgeId, EdgeState>,
    pub(crate) accounts: account::Accounts,
    pub(crate) assets: CowMap<AssetId, Arc<Asset>>,
    pub(crate) queue: BTreeSet<(Timestamp, AssetId)>,
    pub(crate) stories: CowMap<StoryId, Arc<Story>>,
    /// The same stories by maker.
    pub(crate) by_maker: CowMap<(UserId, StoryId), ()>,
    pub(crate) auctions: CowMap<AuctionId, Arc<Auction>>,
    pub(crate) offering: offering::Offering,
    pub(crate) open: CowSet<(Timestamp, AuctionId)>,
    pub(crate) locks: CowMap<SaleLockId, Arc<SaleLock>>,
    pub(crate) payments: payment::Payments,
    pub(crate) orders: CowMap<OrderId, Arc<Order>>,
    pub(crate) order_count: u64,
    /// The order of each parcel, by carrier and plain number.
    pub(crate) parcels: BTreeMap<(fairground_types::command::Carrier, String), OrderId>,
    pub(crate) issues: CowMap<IssueId, Arc<Issue>>,
    pub(crate) ledger: ledger::Ledger,
    pub(crate) treasury: treasury::Treasury,
    pub(crate) outbox: outbox::Outbox,
    pub(crate) dedup: dedup::Dedup,
    pub(crate) deadlines: deadline::Deadlines,
    pub(crate) archive: archive::Archive,
    pub(crate) audit: audit::Audit,
    pub(crate) govern: govern::Governance,
    pub(crate) inbox: inbox::Inbox,
    pub(crate) social: social::Social,
    pub(crate) view: PublicView,
    /// These are last, so that a state from before them can be read: see `snapshot.rs`.
    pub(crate) signing: signing::Signing,
    pub(crate) jobs: jobs::Jobs,
}

impl Default for Market {
    fn default() -> Self {
        Self {
            rules_version: 1,
            index: LogIndex::default(),
            at: Timestamp::EPOCH,
            term: 0,
            resumed_at: Timestamp::EPOCH,
            cluster: cluster::Cluster::default(),
            edges: BTreeMap::new(),
            accounts: account::Accounts::default(),
            assets: CowMap::default(),
            queue: BTreeSet::new(),
            stories: CowMap::default(),
            by_maker: CowMap::default(),
            auctions: CowMap::default(),
            offering: offering::Offering::default(),
            open: CowSet::default(),
            locks: CowMap::default(),
            payments: payment::Payments::default(),
            orders: CowMap::default(),
            order_count: 0,
            parcels: BTreeMap::new(),
            issues: CowMap::default(),
            ledger: ledger::Ledger::default(),
            treasury: treasury::Treasury::default(),
            outbox: outbox::Outbox::default(),
            dedup: dedup::Dedup::default(),
            deadlines: deadline::Deadlines::default(),
            archive: archive::Archive::default(),
            audit: audit::Audit::default(),
            govern: govern::Governance::default(),
            inbox: inbox::Inbox::default(),
            social: social::Social::default(),
            view: PublicView::default(),
            signing: signing::Signing::default(),
            jobs: jobs::Jobs::default(),
        }
    }
}

/// What one entry did.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Applied {
    /// Which entry.
    pub index: LogIndex,
    /// Its log time, never below the one before.
    pub at: Timestamp,
    /// One verdict per direct command, in the order of the entry.
    pub outcomes: Vec<Verdict>,
    /// Every journal command that got its final verdict in this entry, held ones included.
    pub judged: Vec<JudgedIntake>,
    /// What everybody may know.
    pub feed: FeedItem,
    /// Whether the outbox has something new.
    pub effects_added: bool,
    /// What left the state, in the order of its place in the history.
    pub archived: Vec<ArchivedSale>,
    /// Audit entries that left the state, behind the sales.
    pub archived_audit: Vec<ArchivedAudit>,
}

/// The verdict on one journal entry.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct JudgedIntake {
    /// Whose journal.
    pub edge: EdgeId,
    /// Which entry of it.
    pub seq: u64,
    /// Identity of the intent.
    pub command: CommandId,
    /// Who sent it.
    pub user: UserId,
    /// The verdict and where in the log it fell.
    pub judged: Judged,
}

impl Market {
    /// Index of the newest entry applied.
    #[must_use]
    pub const fn last_index(&self) -> LogIndex {
        self.index
    }

    /// Log time of the newest entry applied.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.at
    }

    /// The rules that this state applies.
    #[must_use]
    pub const fn rules_version(&self) -> u32 {
        self.rules_version
    }

    /// What anybody may know, at [`Market::last_index`].
    #[must_use]
    pub const fn view(&self) -> &PublicView {
        &self.view
    }
}
