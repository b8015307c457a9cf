//! What an edge, and so anybody, may know: the public side of what the log decided.
//!
//! Edges fold these into their view in the order of the log. No personal data is in them: bidders
//! appear under a pseudonym that holds for one auction.

use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::command::{AuctionPolicy, ClusterKey, MemberRow, StoryCounts, StoryDraft};
use crate::flag::{Flag, FlagSetting};
use crate::id::{
    AssetId, AuctionId, BidId, BlobHash, ClusterId, CommandId, EdgeId, LogIndex, MemberId, ShareId,
    SignInId, StoryId, UserId,
};
use crate::money::Money;
use crate::text::{Handle, Region};
use crate::time::Timestamp;

/// Everything public that one log entry did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct FeedItem {
    /// Which entry; position to resume from.
    pub index: LogIndex,
    /// Its log time.
    pub at: Timestamp,
    /// In order; may be empty (a Tick).
    pub events: Vec<PublicEvent>,
}

/// A bid as anybody may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublicBid {
    /// The bid.
    pub bid_id: BidId,
    /// Identity of the intent, so that a retry through another edge finds its verdict.
    #[serde(skip)]
    pub command: CommandId,
    /// `bidder 1`, `bidder 2` ... in the order of their first bids in this auction.
    pub bidder: u32,
    /// How much.
    #[serde(flatten)]
    pub amount: Money,
    /// When its edge received it, at the earliest: whether it was in time is decided by this.
    pub received_at: Timestamp,
    /// When it was judged.
    pub at: Timestamp,
    /// Whether it was judged so long after it was received that somebody may ask why
    /// ([`crate::limits::BID_DELAYED_AFTER`]).
    pub delayed: bool,
}

/// Why an auction stopped taking bids in favour of a buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LockReason {
    /// The maker accepted.
    MakerAccepted,
    /// Its time was over.
    AutoAtClose,
    /// Its time was over, at the cap.
    AutoAtCap,
    /// The buyer before did not pay, and the maker asked the next bidder.
    SecondChance,
}

/// Why an auction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CloseReason {
    /// Paid.
    Sold,
    /// Not paid, and nobody else was asked in time.
    Unsold,
    /// Ended by an admin.
    Cancelled,
    /// Its time was over, and every bid had been taken back.
    NoBids,
}

/// Who or what moved a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CloseMove {
    /// A late bid.
    Bid,
    /// The service was away.
    Outage,
    /// An admin.
    Admin,
}

/// One public fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PublicEvent {
    /// The cluster began.
    ClusterInitialised {
        /// Its id.
        cluster: ClusterId,
    },
    /// A public key is valid from here on.
    KeyAdded {
        /// The key.
        key: ClusterKey,
    },
    /// A member joined or changed.
    MemberChanged {
        /// The member.
        member: MemberRow,
    },
    /// A member left.
    MemberRemoved {
        /// The member.
        member: MemberId,
    },
    /// An edge joined.
    EdgeRegistered {
        /// Its id.
        edge: EdgeId,
        /// Where it is.
        region: Region,
        /// Base URL for clients.
        public_url: String,
    },
    /// Closes wait for this edge from here on.
    EdgeAdmitted {
        /// The edge.
        edge: EdgeId,
    },
    /// Closes no longer wait for this edge.
    EdgeLeftIntake {
        /// The edge.
        edge: EdgeId,
    },
    /// An edge has lost entries of its journal; their receipts will have no verdict.
    EntriesMissing {
        /// The edge.
        edge: EdgeId,
        /// First sequence that is lost.
        first: u64,
        /// Last sequence that is lost.
        last: u64,
    },
    /// A sign-in was ended; its access tokens are refused until they expire.
    SignInRevoked {
        /// The sign-in.
        sign_in: SignInId,
    },
    /// A maker has a public name.
    HandleSet {
        /// The account.
        user: UserId,
        /// The name.
        handle: Handle,
    },
    /// A revision of an asset can be played.
    AssetPublished {
        /// The asset.
        asset: AssetId,
        /// The revision.
        revision: u32,
        /// Its manifest.
        manifest: BlobHash,
    },
    /// A story is listed, or its contents changed.
    StoryListed {
        /// The story.
        story: StoryId,
        /// Its maker.
        maker: UserId,
        /// The maker's public name.
        maker_handle: Option<Handle>,
        /// Its contents.
        contents: Box<StoryDraft>,
    },
    /// A story is not shown any more.
    StoryHidden {
        /// The story.
        story: StoryId,
    },
    /// What people did with a story, counted; approximate.
    StoryCounted {
        /// The story.
        story: StoryId,
        /// All so far.
        counts: StoryCounts,
    },
    /// Somebody shared a story.
    StoryShared {
        /// The link.
        share: ShareId,
        /// The story.
        story: StoryId,
        /// Until when the link opens it.
        expires_at: Timestamp,
    },
    /// A story is sold.
    StorySold {
        /// The story.
        story: StoryId,
    },
    /// A sold story takes offers again: its sale was undone.
    StoryRelisted {
        /// The story.
        story: StoryId,
    },
    /// An auction opened.
    AuctionOpened {
        /// The auction.
        auction: AuctionId,
        /// The story.
        story: StoryId,
        /// Which auction of the story, from 1.
        seq: u32,
        /// The maker, who may not bid.
        maker: UserId,
        /// Rules, frozen.
        policy: AuctionPolicy,
        /// When it closes, unless extended.
        closes_at: Timestamp,
        /// When it closes at the latest.
        closes_by: Timestamp,
        /// The opening bid.
        opening: PublicBid,
        /// The least next bid.
        min_next: Money,
    },
    /// A bid leads.
    BidPlaced {
        /// The auction.
        auction: AuctionId,
        /// The bid.
        bid: PublicBid,
        /// The least next bid.
        min_next: Money,
    },
    /// An admin took a bid back: a new price epoch begins.
    BidRetracted {
        /// The auction.
        auction: AuctionId,
        /// The bid.
        bid: BidId,
        /// The leading bid from here on.
        highest: Option<PublicBid>,
        /// The least next bid.
        min_next: Money,
        /// The price epoch, from 0.
        epoch: u32,
    },
    /// The close moved later, or cannot move any more.
    CloseExtended {
        /// The auction.
        auction: AuctionId,
        /// To when.
        closes_at: Timestamp,
        /// When it closes at the latest.
        closes_by: Timestamp,
        /// By whom.
        by: CloseMove,
        /// By which bid.
        cause: Option<BidId>,
        /// No further extension is possible.
        final_window: bool,
    },
    /// The bidding ended, but the maker cannot be paid yet.
    BiddingEnded {
        /// The auction.
        auction: AuctionId,
        /// Why.
        reason: LockReason,
        /// Edges that were not heard in time.
        unheard: Vec<EdgeId>,
    },
    /// The piece is reserved for a bidder.
    AuctionLocked {
        /// The auction.
        auction: AuctionId,
        /// Why.
        reason: LockReason,
        /// The winning bid.
        bid: PublicBid,
        /// Edges that were not heard in time.
        unheard: Vec<EdgeId>,
    },
    /// The buyer did not pay; the maker decides.
    AuctionAwaitsDecision {
        /// The auction.
        auction: AuctionId,
        /// Until when.
        decide_by: Timestamp,
    },
    /// The auction ended.
    AuctionClosed {
        /// The auction.
        auction: AuctionId,
        /// Why.
        reason: CloseReason,
    },
    /// A flag was set, or got its default back.
    FlagChanged {
        /// The flag.
        flag: Flag,
        /// Its setting; absent for the default.
        setting: Option<Box<FlagSetting>>,
    },
    /// A version of the rules is in force.
    RulesActivated {
        /// Which version.
        version: u32,
    },
    /// A finished auction left the state; members still answer about it from their history.
    AuctionArchived {
        /// The auction.
        auction: AuctionId,
        /// Its story.
        story: StoryId,
        /// Whether the story, sold, left with it.
        with_story: bool,
    },
    /// Accounts watch an open auction.
    AuctionWatched {
        /// The auction.
        auction: AuctionId,
        /// How many watch it now.
        watchers: u32,
    },
}
