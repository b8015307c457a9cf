//! What anybody may know, folded from the public events in the order of the log.
//!
//! The market folds every [`FeedItem`] that it makes into its own view, an edge folds the same
//! items from the feed: so both hold the same value at the same index. It must not know anything
//! private: bidders are numbers. Read next: [`crate::admission`] for what an edge may conclude.

mod fold;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fairground_types::command::{AuctionPolicy, ClusterKey, MemberRow, StoryCounts, StoryDraft};
use fairground_types::event::{
    CloseMove, CloseReason, FeedItem, LockReason, PublicBid, PublicEvent,
};
use fairground_types::flag::{Flag, FlagSetting, FlagSubject, FlagValue, evaluate};
use fairground_types::limits;
use fairground_types::text::{Handle, Region};
use fairground_types::{
    AssetId, AuctionId, BidId, BlobHash, ClusterId, CommandId, EdgeId, LogIndex, MemberId, Millis,
    Money, ShareId, SignInId, StoryId, Timestamp, UserId,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::auction::never_extends;
use crate::cow_map::{CowMap, CowSet};

/// Bids of one auction that a view keeps for display.
pub const VIEW_BIDS_MAX: usize = 200;
/// How long a view remembers which command placed a bid.
const PLACED_MEMORY: Millis = Millis::from_hours(90 * 24);
/// How long a view remembers that a sign-in was ended: longer than any token lives that was made under
/// it, those of playbacks among them.
const REVOKED_MEMORY: Millis = limits::PLAYBACK_LIFE_MAX.plus(limits::ACCESS_TOKEN_LIFE);

/// Everything public, at one log index.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct PublicView {
    pub(crate) index: LogIndex,
    pub(crate) at: Timestamp,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) keys: Vec<ClusterKey>,
    pub(crate) members: BTreeMap<MemberId, MemberRow>,
    pub(crate) edges: BTreeMap<EdgeId, EdgeView>,
    pub(crate) revoked: CowMap<SignInId, Timestamp>,
    pub(crate) handles: CowMap<UserId, Handle>,
    pub(crate) assets: CowMap<AssetId, AssetView>,
    pub(crate) stories: CowMap<StoryId, Arc<StoryView>>,
    /// Stories that nobody may see now, as they were.
    pub(crate) hidden: CowMap<StoryId, Arc<StoryView>>,
    /// Clips of hidden stories: they are not played.
    pub(crate) withheld: CowMap<AssetId, StoryId>,
    pub(crate) shares: CowMap<ShareId, ShareView>,
    pub(crate) shares_by_age: VecDeque<(Timestamp, ShareId)>,
    pub(crate) auctions: CowMap<AuctionId, Arc<AuctionView>>,
    pub(crate) open: CowSet<AuctionId>,
    pub(crate) placed: CowMap<CommandId, Arc<Placed>>,
    pub(crate) placed_by_age: CowSet<(Timestamp, CommandId)>,
    pub(crate) flags: BTreeMap<Flag, FlagSetting>,
    pub(crate) flags_changed: LogIndex,
    pub(crate) rules: u32,
}

/// An edge as anybody may see it.
#[derive(Clone, Debug, PartialEq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct EdgeView {
    /// Its id.
    pub edge: EdgeId,
    /// Where it is.
    pub region: Region,
    /// Base URL for clients.
    pub public_url: String,
    /// Log time of the entry that let it into the intake; absent while it is outside.
    pub admitted_at: Option<Timestamp>,
}

/// A playable asset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct AssetView {
    /// Its id.
    pub asset: AssetId,
    /// The newest revision.
    pub revision: u32,
    /// Its manifest.
    pub manifest: BlobHash,
    /// Log time of publication.
    pub at: Timestamp,
}

/// Where a listed story stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StoryStatus {
    /// Open for offers.
    Listed,
    /// With an auction that is not closed.
    Live,
    /// Sold.
    Sold,
}

/// A listed story.
#[derive(Clone, Debug, PartialEq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct StoryView {
    /// Its id.
    pub story: StoryId,
    /// Its maker.
    pub maker: UserId,
    /// The maker's public name.
    pub maker_handle: Option<Handle>,
    /// Its contents.
    pub contents: StoryDraft,
    /// Where it stands.
    pub status: StoryStatus,
    /// Its newest auction.
    pub auction: Option<AuctionId>,
    /// The entry that listed it first: sorts the feed.
    pub listed_index: LogIndex,
    /// Log time of that entry.
    pub listed_at: Timestamp,
    /// The entry that changed it last.
    pub changed_index: LogIndex,
    /// What people did with it; approximate.
    pub counts: StoryCounts,
    /// How wanted it was in each of the last hours (hours since the epoch), oldest first.
    #[serde(skip)]
    pub trend: VecDeque<(u64, u64)>,
}

/// A link to a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct ShareView {
    /// The story.
    pub story: StoryId,
    /// Until when the link opens it.
    pub expires_at: Timestamp,
}

impl StoryView {
    /// How wanted it was in the hours before `at`: a view counts once, a like three times, a link
    /// and a save four times.
    #[must_use]
    pub fn heat(&self, at: Timestamp) -> u64 {
        let oldest = hour_of(at).saturating_sub(limits::TREND_HOURS);
        let recent = self.trend.iter().filter(|(hour, _)| *hour > oldest);
        recent.fold(0, |sum, (_, weight)| sum.saturating_add(*weight))
    }

    fn count(&mut self, counts: StoryCounts, at: Timestamp) {
        let before = self.counts;
        self.counts = counts;
        let rise = |after: u64, before: u64, weight: u64| {
            after.saturating_sub(before).saturating_mul(weight)
        };
        let weight = rise(counts.views, before.views, 1)
            .saturating_add(rise(counts.likes, before.likes, 3))
            .saturating_add(rise(counts.shares, before.shares, 4))
            .saturating_add(rise(counts.saves, before.saves, 4));
        if weight == 0 {
            return;
        }
        let hour = hour_of(at);
        match self.trend.back_mut() {
            Some((newest, sum)) if *newest == hour => *sum = sum.saturating_add(weight),
            Some(_) | None => self.trend.push_back((hour, weight)),
        }
        let oldest = hour.saturating_sub(limits::TREND_HOURS);
        while self.trend.front().is_some_and(|(hour, _)| *hour <= oldest) {
            self.trend.pop_front();
        }
    }
}

const fn hour_of(at: Timestamp) -> u64 {
    at.as_unix_seconds() / 3_600
}

/// Where an auction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AuctionStatus {
    /// Takes bids.
    Open,
    /// Reserved for a buyer.
    Locked,
    /// The buyer did not pay; the maker decides.
    AwaitingDecision,
    /// Ended.
    Closed,
}

/// A move of the close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExtensionView {
    /// The entry that moved it.
    pub index: LogIndex,
    /// The close from then on.
    pub closes_at: Timestamp,
    /// By whom.
    pub by: CloseMove,
    /// By which bid.
    pub cause: Option<BidId>,
}

/// An auction as anybody may see it.
#[derive(Clone, Debug, PartialEq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct AuctionView {
    /// Its id.
    pub auction: AuctionId,
    /// Its story.
    pub story: StoryId,
    /// Which auction of the story, from 1.
    pub seq: u32,
    /// The maker, who may not bid.
    pub maker: UserId,
    /// Rules, frozen.
    pub policy: AuctionPolicy,
    /// Where it stands.
    pub status: AuctionStatus,
    /// Log time of its opening.
    pub opened_at: Timestamp,
    /// When it closes, unless extended.
    pub closes_at: Timestamp,
    /// When it closes at the latest.
    pub closes_by: Timestamp,
    /// No further extension is possible.
    pub final_window: bool,
    /// Moves of the close, oldest first.
    pub extensions: Vec<ExtensionView>,
    /// The leading bid; none when every bid was taken back.
    pub highest: Option<PublicBid>,
    /// Counts bids taken back: the least next bid may be lower in a new epoch.
    pub epoch: u32,
    /// The least next bid.
    pub min_next: Money,
    /// The newest bids, at most [`VIEW_BIDS_MAX`], oldest first.
    pub bids: VecDeque<PublicBid>,
    /// All bids.
    pub bid_count: u64,
    /// Distinct bidders.
    pub bidder_count: u32,
    /// Accounts that watch it.
    pub watchers: u32,
    /// Why it stopped taking bids, once it was locked.
    pub lock_reason: Option<LockReason>,
    /// Why it ended.
    pub close_reason: Option<CloseReason>,
    /// Until when the maker decides, while that is awaited.
    pub decide_by: Option<Timestamp>,
    /// Edges that were not heard in time for its close.
    pub unheard: Vec<EdgeId>,
    /// The entry that changed it last.
    pub changed_index: LogIndex,
    /// Log time of that entry.
    pub changed_at: Timestamp,
}

/// A bid that the view knows to be placed, found by its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// The auction.
    pub auction: AuctionId,
    /// The bid.
    pub bid: BidId,
    /// How much.
    pub amount: Money,
    /// The least next bid when it was placed.
    pub min_next: Money,
    /// The close when it was placed, its own extension not included.
    pub closes_at: Timestamp,
    /// Whether it was the offer that opened the auction.
    pub is_opening: bool,
    /// The entry that placed it.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
}

impl PublicView {
    /// The value of a flag.
    #[must_use]
    pub fn flag(&self, flag: Flag, subject: FlagSubject<'_>) -> FlagValue {
        evaluate(flag, self.flags.get(&flag), subject)
    }

    /// The entry that changed a flag last.
    #[must_use]
    pub const fn flags_changed(&self) -> LogIndex {
        self.flags_changed
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> u32 {
        self.rules
    }

    /// Takes in what one entry did. An item that is not newer than the view is ignored, so a feed
    /// may be resumed a little too early.
    pub fn fold(&mut self, item: &FeedItem) {
        if item.index <= self.index {
            return;
        }
        self.index = item.index;
        self.at = item.at;
        for event in &item.events {
            self.fold_event(event);
        }
        self.forget();
    }

    fn fold_event(&mut self, event: &PublicEvent) {
        match event {
            PublicEvent::ClusterInitialised { cluster } => self.cluster = Some(*cluster),
            PublicEvent::KeyAdded { key } => {
                self.keys.retain(|known| known.kid != key.kid || known.purpose != key.purpose);
                self.keys.push(key.clone());
            }
            PublicEvent::MemberChanged { member } => {
                self.members.insert(member.member, member.clone());
            }
            PublicEvent::MemberRemoved { member } => {
                self.members.remove(member);
            }
            PublicEvent::EdgeRegistered { edge, region, public_url } => {
                let row = EdgeView {
                    edge: edge.clone(),
                    region: region.clone(),
                    public_url: public_url.clone(),
                    admitted_at: None,
                };
                self.edges.insert(edge.clone(), row);
            }
            PublicEvent::EdgeAdmitted { edge } => self.set_admitted(edge, Some(self.at)),
            PublicEvent::EdgeLeftIntake { edge } => self.set_admitted(edge, None),
            // Who holds a receipt asks the auction's record.
            PublicEvent::EntriesMissing { .. } => {}
            PublicEvent::SignInRevoked { sign_in } => {
                self.revoked.insert(*sign_in, self.at);
            }
            PublicEvent::HandleSet { user, handle } => self.set_handle(*user, handle),
            PublicEvent::AssetPublished { asset, revision, manifest } => {
                let row = AssetView {
                    asset: *asset,
                    revision: *revision,
                    manifest: *manifest,
                    at: self.at,
                };
                self.assets.insert(*asset, row);
            }
            PublicEvent::FlagChanged { flag, setting } => {
                match setting {
                    Some(setting) => self.flags.insert(*flag, FlagSetting::clone(setting)),
                    None => self.flags.remove(flag),
                };
                self.flags_changed = self.index;
            }
            PublicEvent::RulesActivated { version } => self.rules = *version,
            PublicEvent::StoryListed { .. }
            | PublicEvent::StorySold { .. }
            | PublicEvent::StoryRelisted { .. }
            | PublicEvent::StoryHidden { .. }
            | PublicEvent::StoryCounted { .. }
            | PublicEvent::StoryShared { .. } => self.fold_story_event(event),
            PublicEvent::AuctionOpened { .. }
            | PublicEvent::BidPlaced { .. }
            | PublicEvent::BidRetracted { .. }
            | PublicEvent::AuctionWatched { .. }
            | PublicEvent::CloseExtended { .. }
            | PublicEvent::BiddingEnded { .. }
            | PublicEvent::AuctionLocked { .. }
            | PublicEvent::AuctionAwaitsDecision { .. }
            | PublicEvent::AuctionClosed { .. }
            | PublicEvent::AuctionArchived { .. } => self.fold_auction_event(event),
        }
    }

    fn archive(&mut self, auction: AuctionId, story: StoryId, with_story: bool) {
        self.auctions.remove(&auction);
        if with_story {
            self.stories.remove(&story);
            self.hidden.remove(&story);
        }
        self.change_story(story, |row| {
            row.auction = row.auction.filter(|newest| *newest != auction);
        });
    }

    fn open_auction(&mut self, event: &PublicEvent) {
        let PublicEvent::AuctionOpened {
            auction,
            story,
            seq,
            maker,
            policy,
            closes_at,
            closes_by,
            opening,
            min_next,
        } = event
        else {
            return;
        };
        let row = AuctionView {
            auction: *auction,
            story: *story,
            seq: *seq,
            maker: *maker,
            policy: *policy,
            status: AuctionStatus::Open,
            opened_at: self.at,
            closes_at: *closes_at,
            closes_by: *closes_by,
            final_window: *closes_at >= *closes_by || never_extends(policy),
            extensions: Vec::new(),
            highest: Some(opening.clone()),
            epoch: 0,
            min_next: *min_next,
            bids: VecDeque::from([opening.clone()]),
            bid_count: 1,
            bidder_count: 1,
            watchers: 0,
            lock_reason: None,
            close_reason: None,
            decide_by: None,
            unheard: Vec::new(),
            changed_index: self.index,
            changed_at: self.at,
        };
        self.auctions.insert(*auction, Arc::new(row));
        self.open.insert(*auction);
        self.place(*auction, opening, *min_next, true);
        self.change_story(*story, |row| {
            row.status = StoryStatus::Live;
            row.auction = Some(*auction);
        });
    }

    fn place(&mut self, auction: AuctionId, bid: &PublicBid, min_next: Money, is_opening: bool) {
        let Some(row) = self.auctions.get(&auction) else { return };
        let placed = Placed {
            auction,
            bid: bid.bid_id,
            amount: bid.amount,
            min_next,
            closes_at: row.closes_at,
            is_opening,
            index: self.index,
            at: self.at,
        };
        self.placed.insert(bid.command, Arc::new(placed));
        self.placed_by_age.insert((self.at, bid.command));
    }

    fn set_admitted(&mut self, edge: &EdgeId, admitted_at: Option<Timestamp>) {
        if let Some(row) = self.edges.get_mut(edge) {
            row.admitted_at = admitted_at;
        }
    }

    fn set_handle(&mut self, user: UserId, handle: &Handle) {
        self.handles.insert(user, handle.clone());
        let theirs: Vec<StoryId> =
            self.stories().filter(|row| row.maker == user).map(|row| row.story).collect();
        for story in theirs {
            if let Some(row) = self.stories.get_mut(&story) {
                Arc::make_mut(row).maker_handle = Some(handle.clone());
            }
        }
    }

    fn list_story(
        &mut self,
        story: StoryId,
        maker: UserId,
        maker_handle: Option<Handle>,
        contents: &StoryDraft,
    ) {
        let (index, at) = (self.index, self.at);
        let known = self.stories.get(&story).or_else(|| self.hidden.get(&story));
        let row = StoryView {
            story,
            maker,
            maker_handle,
            contents: contents.clone(),
            status: known.map_or(StoryStatus::Listed, |row| row.status),
            auction: known.and_then(|row| row.auction),
            listed_index: known.map_or(index, |row| row.listed_index),
            listed_at: known.map_or(at, |row| row.listed_at),
            changed_index: index,
            counts: known.map(|row| row.counts).unwrap_or_default(),
            trend: known.map(|row| row.trend.clone()).unwrap_or_default(),
        };
        self.hidden.remove(&story);
        for clip in &row.contents.clips {
            self.withheld.remove(&clip.asset_id);
        }
        self.stories.insert(story, Arc::new(row));
    }

    fn hide_story(&mut self, story: StoryId) {
        let Some(row) = self.stories.remove(&story) else { return };
        for clip in &row.contents.clips {
            self.withheld.insert(clip.asset_id, story);
        }
        self.hidden.insert(story, row);
    }

    fn change_story(&mut self, story: StoryId, change: impl FnOnce(&mut StoryView)) {
        let index = self.index;
        // A hidden story goes on where nobody sees it: it may come back.
        let row = match self.stories.get_mut(&story) {
            Some(row) => Some(row),
            None => self.hidden.get_mut(&story),
        };
        if let Some(row) = row {
            let row = Arc::make_mut(row);
            change(row);
            row.changed_index = index;
        }
    }

    fn change_auction(&mut self, auction: AuctionId, change: impl FnOnce(&mut AuctionView)) {
        let (index, at) = (self.index, self.at);
        if let Some(row) = self.auctions.get_mut(&auction) {
            let row = Arc::make_mut(row);
            change(row);
            row.changed_index = index;
            row.changed_at = at;
        }
    }

    /// Drops what time has made useless: placed commands nobody retries any more, and revoked
    /// sign-ins whose tokens have expired.
    fn forget(&mut self) {
        let oldest = self.at.minus(PLACED_MEMORY);
        while let Some((at, command)) = self.placed_by_age.first().copied() {
            if at >= oldest {
                break;
            }
            self.placed_by_age.remove(&(at, command));
            self.placed.remove(&command);
        }
        while let Some((expired, share)) = self.shares_by_age.front().copied() {
            if expired.plus(limits::SHARE_MEMORY) > self.at {
                break;
            }
            self.shares_by_age.pop_front();
            self.shares.remove(&share);
        }
        if !self.revoked.is_empty() {
            let expired = self.at.minus(REVOKED_MEMORY);
            self.revoked.retain(|_, at| *at >= expired);
        }
    }

    /// Index of the newest entry folded in.
    #[must_use]
    pub const fn index(&self) -> LogIndex {
        self.index
    }

    /// Log time of that entry.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The cluster, once it is initialised.
    #[must_use]
    pub const fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Every public key, oldest first.
    #[must_use]
    pub fn keys(&self) -> &[ClusterKey] {
        &self.keys
    }

    /// The members, by number.
    pub fn members(&self) -> impl Iterator<Item = &MemberRow> {
        self.members.values()
    }

    /// One edge.
    #[must_use]
    pub fn edge(&self, edge: &EdgeId) -> Option<&EdgeView> {
        self.edges.get(edge)
    }

    /// Every edge that has ever joined, by id.
    pub fn edges(&self) -> impl Iterator<Item = &EdgeView> {
        self.edges.values()
    }

    /// Whether a sign-in was ended recently enough for tokens of it to be alive.
    #[must_use]
    pub fn is_revoked(&self, sign_in: SignInId) -> bool {
        self.revoked.contains_key(&sign_in)
    }

    /// A playable asset.
    #[must_use]
    pub fn asset(&self, asset: AssetId) -> Option<&AssetView> {
        self.assets.get(&asset)
    }

    /// Every playable asset.
    pub fn assets(&self) -> impl Iterator<Item = &AssetView> {
        self.assets.values()
    }

    /// A listed story.
    #[must_use]
    pub fn story(&self, story: StoryId) -> Option<&StoryView> {
        self.stories.get(&story).map(AsRef::as_ref)
    }

    /// Every listed, live or sold story, by id.
    pub fn stories(&self) -> impl Iterator<Item = &StoryView> {
        self.stories.values().map(AsRef::as_ref)
    }

    /// Whether a story was public and is hidden now.
    #[must_use]
    pub fn is_hidden(&self, story: StoryId) -> bool {
        self.hidden.contains_key(&story)
    }

    /// Whether an asset must not be played by the public: its story is hidden.
    #[must_use]
    pub fn is_withheld(&self, asset: AssetId) -> bool {
        self.withheld.contains_key(&asset)
    }

    /// A link to a story, a while after its end still.
    #[must_use]
    pub fn share(&self, share: ShareId) -> Option<ShareView> {
        self.shares.get(&share).copied()
    }

    /// Whether an asset is a clip of a listed, live or sold story.
    #[must_use]
    pub fn is_listed_asset(&self, asset: AssetId) -> bool {
        self.stories().any(|row| row.contents.clips.iter().any(|clip| clip.asset_id == asset))
    }

    /// An auction.
    #[must_use]
    pub fn auction(&self, auction: AuctionId) -> Option<&AuctionView> {
        self.auctions.get(&auction).map(AsRef::as_ref)
    }

    /// Every auction, by id.
    pub fn auctions(&self) -> impl Iterator<Item = &AuctionView> {
        self.auctions.values().map(AsRef::as_ref)
    }

    /// The auctions that take bids.
    pub fn open_auctions(&self) -> impl Iterator<Item = &AuctionView> {
        self.open.iter().filter_map(|auction| self.auction(*auction))
    }

    /// What a command placed, if the view knows it as placed.
    #[must_use]
    pub fn placed(&self, command: &CommandId) -> Option<&Placed> {
        self.placed.get(command).map(AsRef::as_ref)
    }
}

impl AuctionView {
    fn push(&mut self, bid: &PublicBid, min_next: Money) {
        self.bidder_count = self.bidder_count.max(bid.bidder);
        self.bid_count = self.bid_count.saturating_add(1);
        self.highest = Some(bid.clone());
        self.min_next = min_next;
        self.bids.push_back(bid.clone());
        while self.bids.len() > VIEW_BIDS_MAX {
            self.bids.pop_front();
        }
    }
}
