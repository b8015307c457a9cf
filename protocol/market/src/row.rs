//! Rows that shells answer with: small owned values in the words of the public API.
//!
//! They must not carry anything that their reader may not see; who may read which row is the
//! shell's decision. Read next: [`crate::query`] for how they are made.

use fairground_types::command::{
    AuctionPolicy, JoinRole, NoticePreferences, PushPlatform, StoryDraft,
};
use fairground_types::event::{CloseReason, LockReason};
use fairground_types::journal::Tail;
use fairground_types::text::{Handle, Note, Region};
use fairground_types::verdict::BidState;
use fairground_types::{
    AssetId, AuctionId, BidId, BlobHash, Code, EdgeId, JoinTokenId, LogIndex, Millis, Money,
    NoticeId, NoticeKind, OrderId, PushDeviceId, Role, SaleLockId, StoryId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use crate::auction::{AdminAct, Bid, Extension, RefusedBid, RetractedBid};

/// An account, for its owner.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeRow {
    /// Its id.
    pub user_id: UserId,
    /// Its public name.
    pub handle: Option<Handle>,
    /// Its duties.
    pub roles: Vec<Role>,
}

/// A story, for its maker and its reviewers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoryRow {
    /// Its id.
    pub story_id: StoryId,
    /// Its maker.
    pub maker_id: UserId,
    /// `draft`, `submitted`, `rejected`, `approved`, `scheduled`, `listed`, `live`, `sold`,
    /// `takenDown` or `archived`.
    pub state: &'static str,
    /// Version of its contents.
    pub version: u64,
    /// Its contents.
    pub draft: StoryDraft,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Note>,
    /// Since when it waits for a reviewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// Its newest auction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auction_id: Option<AuctionId>,
}

/// An asset, for its owner and for workers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssetRow {
    /// Its id.
    pub asset_id: AssetId,
    /// Whose it is.
    pub owner_id: UserId,
    /// `queued`, `transcoding`, `ready` or `failed`.
    pub state: &'static str,
    /// Newest revision that can be played; 0 for none.
    pub revision: u32,
    /// Whether that revision is a beginning, which later ones continue.
    pub is_growing: bool,
    /// Manifest of that revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<BlobHash>,
    /// Codecs of that revision.
    pub codecs: Vec<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its captions can be set now.
    pub takes_captions: bool,
    /// The uploaded bytes.
    pub source: BlobHash,
    /// How many.
    pub source_bytes: u64,
    /// How long the clip is.
    pub duration: Millis,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// A transcode job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRow {
    /// The asset.
    pub asset_id: AssetId,
    /// `queued`, `leased`, `done` or `failed`.
    pub state: &'static str,
    /// Who works on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeId>,
    /// Until when, without a heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Attempts begun.
    pub attempts: u32,
    /// Fencing number of the newest lease.
    pub fence: u64,
    /// Newest revision published.
    pub revision: u32,
    /// Whether that revision is a beginning, which later ones continue.
    pub is_growing: bool,
    /// The uploaded bytes.
    pub source: BlobHash,
    /// How many.
    pub source_bytes: u64,
    /// The owner's handle now, which workers draw into the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_handle: Option<Handle>,
    /// Why it failed, or failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the tool wrote then, for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Failed attempts; one in which a tool was killed counts double.
    pub strikes: u32,
    /// The workers that failed at it.
    pub failed_workers: Vec<EdgeId>,
    /// Nobody gets it before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// Whose clip it is.
    pub owner_id: UserId,
    /// How long the clip is.
    pub duration: Millis,
}

/// A sale lock, for its buyer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockRow {
    /// Its id.
    pub sale_lock_id: SaleLockId,
    /// Its auction.
    pub auction_id: AuctionId,
    /// Its story.
    pub story_id: StoryId,
    /// The price.
    #[serde(flatten)]
    pub amount: Money,
    /// `pending`, `ending`, `paid`, `expired` or `released`.
    pub state: &'static str,
    /// End of the payment window.
    pub expires_at: Timestamp,
    /// Where the buyer pays, while a session is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout_url: Option<String>,
    /// When that session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout_expires_at: Option<Timestamp>,
    /// Attempts begun.
    pub attempt: u32,
    /// Attempts left.
    pub attempts_left: u32,
    /// Before this no further attempt may be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// The order, once paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// A payment that does not match waits for finance.
    pub on_hold: bool,
}

/// On which side of an order its reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OrderRole {
    /// Bought the piece.
    Buyer,
    /// Made the piece.
    Maker,
    /// Runs the market.
    Staff,
}

/// A bid, for its bidder.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BidRow {
    /// The bid.
    pub bid_id: BidId,
    /// Its auction, where it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auction_id: Option<AuctionId>,
    /// How much, where that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Received (held), accepted or rejected.
    pub state: BidState,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// In time by its stamp, but after the close.
    pub late: bool,
    /// The entry that judged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_index: Option<LogIndex>,
    /// Log time of that entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether it leads now.
    pub leads: bool,
}

/// Everything that explains how an auction came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuctionRecord {
    /// The auction.
    pub auction_id: AuctionId,
    /// Its story.
    pub story_id: StoryId,
    /// Which auction of the story.
    pub seq: u32,
    /// The maker.
    pub maker_id: UserId,
    /// Rules, frozen.
    pub policy: AuctionPolicy,
    /// Where it stands.
    pub status: crate::view::AuctionStatus,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Its close.
    pub closes_at: Timestamp,
    /// Its latest close.
    pub closes_by: Timestamp,
    /// Moves of the close.
    pub extensions: Vec<Extension>,
    /// Accepted bids in the order of the log.
    pub bids: Vec<Bid>,
    /// The newest refused bids.
    pub refused: Vec<RefusedBid>,
    /// Bids that an admin took back.
    pub retracted: Vec<RetractedBid>,
    /// What admins did.
    pub acts: Vec<AdminAct>,
    /// How many were refused in all.
    pub refused_count: u64,
    /// Bids that wait for the end.
    pub held: u32,
    /// Log time of the entry that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How long after its close that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Millis>,
    /// Why it stopped taking bids in favour of a buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_reason: Option<LockReason>,
    /// Why it ended for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<CloseReason>,
    /// Edges that were not heard in time.
    pub unheard: Vec<EdgeId>,
    /// Its sale lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale_lock_id: Option<SaleLockId>,
}

/// An edge as the cluster's operators see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EdgeRow {
    /// Its id.
    pub edge: EdgeId,
    /// Where it is.
    pub region: Region,
    /// Base URL for clients.
    pub public_url: String,
    /// Whether it may take bids.
    pub takes_bids: bool,
    /// Whether closes wait for it.
    pub in_intake: bool,
    /// Last journal entry applied.
    pub applied_seq: u64,
    /// The instant up to which nothing new can come from it.
    pub counted_mark: Timestamp,
    /// How far that is behind log time.
    pub counted_mark_age: Millis,
    /// Marks that wait for their tail.
    pub pending_marks: u32,
    /// Broken promises.
    pub violations: u64,
}

/// A join token, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinTokenRow {
    /// Its id.
    pub token_id: JoinTokenId,
    /// What it admits.
    pub role: JoinRole,
    /// Where.
    pub region: Region,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Bids of an account, newest last.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BidList {
    /// The rows.
    pub bids: Vec<BidRow>,
}

/// Sale locks of an account.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LockList {
    /// The rows.
    pub locks: Vec<LockRow>,
}

/// Orders.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderList {
    /// The rows.
    pub orders: Vec<crate::OrderRow>,
}

/// Stories of a maker.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StoryList {
    /// The rows.
    pub stories: Vec<StoryRow>,
}

/// Assets of an account.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AssetList {
    /// The rows.
    pub assets: Vec<AssetRow>,
}

/// Transcode jobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct JobList {
    /// The rows.
    pub jobs: Vec<JobRow>,
}

/// Join tokens that are open.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenList {
    /// The rows.
    pub tokens: Vec<JoinTokenRow>,
}

impl EdgeRow {
    pub(crate) fn of(state: &crate::EdgeState, at: Timestamp) -> Self {
        let counted = state.counted(at);
        Self {
            edge: state.edge.clone(),
            region: state.region.clone(),
            public_url: state.public_url.clone(),
            takes_bids: state.takes_bids,
            in_intake: state.in_intake(),
            applied_seq: state.applied.seq,
            counted_mark: counted,
            counted_mark_age: at.since(counted),
            pending_marks: u32::try_from(state.pending.len()).unwrap_or(u32::MAX),
            violations: state.violations,
        }
    }
}

impl crate::EdgeState {
    /// Where the journal is known to end.
    #[must_use]
    pub const fn tail(&self) -> Tail {
        self.applied
    }
}

/// One privileged act, for whoever audits.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRow {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// Log time.
    pub at: Timestamp,
    /// The entry of the log.
    pub log_index: LogIndex,
    /// An account, an edge, or `operator` for a command at a member's machine.
    pub actor: String,
    /// Duties that the actor had.
    pub roles: Vec<Role>,
    /// The duty that was needed.
    pub need: String,
    /// What was asked.
    pub action: String,
    /// What it was about.
    pub target: String,
    /// Digest of the target before.
    pub before: fairground_types::Digest,
    /// Digest of the target after.
    pub after: fairground_types::Digest,
    /// Why it was refused; absent when it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Code>,
    /// The reason that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// Identity of the command.
    pub command: String,
    /// Hash of the row before.
    pub previous: fairground_types::Digest,
    /// Hash of this row.
    pub hash: fairground_types::Digest,
}

impl AuditRow {
    pub(crate) fn of(entry: &crate::AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            at: entry.at,
            log_index: entry.index,
            actor: crate::audit::actor_text(&entry.actor),
            roles: entry.roles.clone(),
            need: entry.need.clone(),
            action: entry.action.clone(),
            target: entry.target.clone(),
            before: entry.before,
            after: entry.after,
            refused: entry.refused,
            reason: entry.reason.clone(),
            command: entry.command.to_string(),
            previous: entry.previous,
            hash: entry.hash,
        }
    }
}

/// Which audit rows are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// About this auction.
    pub auction: Option<AuctionId>,
    /// By or about this account.
    pub user: Option<UserId>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    pub(crate) fn passes(&self, row: &AuditRow) -> bool {
        let is_about = |wanted: String| row.target == wanted || row.actor == wanted;
        self.auction.is_none_or(|auction| row.target == auction.to_string())
            && self.user.is_none_or(|user| is_about(user.to_string()))
            && self.from.is_none_or(|from| row.at >= from)
            && self.until.is_none_or(|until| row.at < until)
    }
}

/// A notice, for its reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeRow {
    /// Its id; later ones are greater.
    pub notice_id: NoticeId,
    /// What it says.
    pub kind: NoticeKind,
    /// Whether it is one that cannot be switched off.
    pub critical: bool,
    /// Its subject in default words.
    pub subject: String,
    /// Its text in default words.
    pub body: String,
    /// When it was made.
    pub at: Timestamp,
    /// When it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// About which story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story_id: Option<StoryId>,
    /// About which auction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auction_id: Option<AuctionId>,
    /// About which sale lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_lock_id: Option<SaleLockId>,
    /// About which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// An instant that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// An amount that it names, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// A text that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Notices, newest first, and how many are unread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeList {
    /// The rows.
    pub notices: Vec<NoticeRow>,
    /// How many are unread, of all.
    pub unread: u32,
}

/// Preferences and their version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreferenceRow {
    /// Their version; 0 while nobody has set them.
    pub version: u64,
    /// The preferences.
    pub preferences: NoticePreferences,
}

/// A device that takes push messages, without its token.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushDeviceRow {
    /// Its id.
    pub device_id: PushDeviceId,
    /// Which service.
    pub platform: PushPlatform,
    /// When it was heard of last.
    pub seen_at: Timestamp,
}

/// Devices that take push messages.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushDeviceList {
    /// The rows.
    pub devices: Vec<PushDeviceRow>,
}

impl NoticeRow {
    fn of(row: &crate::InboxNotice) -> Self {
        let told = &row.told;
        let piece = told.title.as_deref().unwrap_or("your piece");
        Self {
            notice_id: row.notice,
            kind: told.kind,
            critical: told.kind.is_critical(),
            subject: told.kind.subject().replace("{title}", piece),
            body: told.kind.body().replace("{title}", piece),
            at: row.at,
            read_at: row.read_at,
            story_id: told.story,
            auction_id: told.auction,
            sale_lock_id: told.lock,
            order_id: told.order,
            until: told.until,
            amount: told.amount.map(|amount| amount.to_string()),
            text: told.text.clone(),
        }
    }
}

impl crate::Market {
    /// The notices of somebody, newest first.
    #[must_use]
    pub fn notice_list(&self, user: UserId) -> NoticeList {
        NoticeList {
            notices: self.notices_of(user).into_iter().map(NoticeRow::of).collect(),
            unread: self.unread_notices(user),
        }
    }

    /// What somebody wants to be told.
    #[must_use]
    pub fn preference_row(&self, user: UserId) -> PreferenceRow {
        let state = self.preferences(user);
        PreferenceRow { version: state.version, preferences: state.preferences }
    }

    /// Devices of somebody that take push messages.
    #[must_use]
    pub fn push_device_list(&self, user: UserId) -> PushDeviceList {
        let row = |device: &crate::PushDevice| PushDeviceRow {
            device_id: device.device,
            platform: device.platform,
            seen_at: device.seen_at,
        };
        PushDeviceList { devices: self.push_devices(user).into_iter().map(row).collect() }
    }
}
