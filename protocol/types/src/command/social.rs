//! Commands about what people do with stories: like, save, watch, share, report, set up a feed.
//!
//! Rows of one person are exact and bounded, counts are approximate, and nothing here is ever used
//! in a decision about money. Read next: `fairground-market` for what they do.

use std::collections::BTreeSet;

use crate::id::{AuctionId, ShareId, StoryId, UserId};
use crate::text::{Category, Note};
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What people do with stories.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum SocialCommand {
    /// Likes a story, or no longer.
    SetLike {
        /// The story.
        story: StoryId,
        /// Whether it is liked from now on.
        on: bool,
    },
    /// Saves a story for later, or no longer.
    SetSave {
        /// The story.
        story: StoryId,
        /// Whether it is saved from now on.
        on: bool,
    },
    /// Watches an auction, or no longer.
    SetWatch {
        /// The auction.
        auction: AuctionId,
        /// Whether it is watched from now on.
        on: bool,
    },
    /// Makes a link to a story.
    ShareStory {
        /// Names the link.
        share: ShareId,
        /// The story.
        story: StoryId,
        /// Where it is meant to go.
        channel: ShareChannel,
    },
    /// Tells moderators about a story.
    ReportStory {
        /// The story.
        story: StoryId,
        /// What is wrong with it.
        ground: ReportGround,
        /// In own words.
        note: Option<Note>,
    },
    /// Sets up the feed of an account.
    SetFeedPreferences(Box<FeedPreferences>),
    /// Views that an edge has counted.
    CountViews {
        /// Per story, at most [`crate::limits::VIEW_COUNTS_MAX`].
        counts: Vec<ViewCount>,
    },
}

/// Views of one story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ViewCount {
    /// The story.
    pub story: StoryId,
    /// How many, at most [`crate::limits::VIEWS_PER_COUNT_MAX`].
    pub views: u32,
}

/// What people did with a story; approximate, never part of a decision about money.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoryCounts {
    /// Accounts that like it.
    pub likes: u64,
    /// Accounts that saved it.
    pub saves: u64,
    /// Links made to it.
    pub shares: u64,
    /// Times it was looked at.
    pub views: u64,
}

/// Where a shared link is meant to go.
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ShareChannel {
    /// Copied.
    Link,
    /// A message.
    Message,
    /// A mail.
    Email,
    /// A social network.
    Social,
}

/// What is wrong with a story, in the eyes of who reports it.
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReportGround {
    /// It is not what it says.
    Misleading,
    /// It is somebody else's work.
    Copyright,
    /// It must not be sold.
    Prohibited,
    /// It insults or threatens.
    Abusive,
    /// It leads away or floods.
    Spam,
    /// Something else.
    Other,
}

/// How a feed is put together.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FeedAlgorithm {
    /// By what its reader liked.
    #[default]
    Personalized,
    /// By what everybody looked at in the last 24 hours.
    Trending,
    /// By time.
    Newest,
    /// Of makers that its reader follows, by time.
    Following,
}

/// How fast clips run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PlaybackSpeed {
    /// Half as fast.
    Half,
    /// As recorded.
    #[default]
    Normal,
    /// Half as fast again.
    Faster,
    /// Twice as fast.
    Double,
}

/// How good clips look.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PlaybackQuality {
    /// As the network allows.
    #[default]
    Auto,
    /// Few bytes.
    Saver,
    /// Many pixels.
    High,
}

/// What an account wants of its feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedPreferences {
    /// Tags and categories that come first.
    pub preferred_tags: BTreeSet<Category>,
    /// Makers whose stories never appear.
    pub blocked_makers: BTreeSet<UserId>,
    /// How the feed is put together unless a request says otherwise.
    pub algorithm: FeedAlgorithm,
    /// Whether clips start by themselves.
    pub autoplay: bool,
    /// Whether captions are shown.
    pub captions: bool,
    /// How fast clips run.
    pub speed: PlaybackSpeed,
    /// How good clips look.
    pub quality: PlaybackQuality,
}

impl Default for FeedPreferences {
    fn default() -> Self {
        Self {
            preferred_tags: BTreeSet::new(),
            blocked_makers: BTreeSet::new(),
            algorithm: FeedAlgorithm::Personalized,
            autoplay: true,
            captions: true,
            speed: PlaybackSpeed::Normal,
            quality: PlaybackQuality::Auto,
        }
    }
}
