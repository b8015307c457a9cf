//! Commands about stories.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::{AssetId, StoryId};
use crate::money::Money;
use crate::text::{Category, ClipLabel, Note, Overview, Summary, Title};
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about stories and moderation.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum StoryCommand {
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
}

/// A clip of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Clip {
    /// The asset.
    pub asset_id: AssetId,
    /// What it shows.
    pub label: ClipLabel,
}

/// The contents of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// See [`StoryCommand::SaveDraft`].
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
