//! Commands about stories.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::{AssetId, EffectId, StoryId};
use crate::money::Money;
use crate::text::{Category, ClipLabel, Note, Overview, Summary, Title, ZoneName};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about stories and moderation.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
#[expect(
    clippy::large_enum_variant,
    reason = "a draft is written more often than anything else here"
)]
pub enum StoryCommand {
    /// Makes a draft or a new version of it.
    SaveDraft(SaveDraft),
    /// Hands a draft to moderation.
    SubmitStory {
        /// The story.
        story: StoryId,
        /// Whether its maker says that the piece is own work and may be sold.
        attested: bool,
    },
    /// Takes a story back from moderation.
    WithdrawStory {
        /// The story.
        story: StoryId,
    },
    /// What the automatic check of a story came to.
    RecordCheck(RecordCheck),
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
    /// Lists an approved story later.
    ScheduleStory {
        /// The story.
        story: StoryId,
        /// When.
        publish_at: Timestamp,
        /// The zone in which its maker chose that time.
        zone: ZoneName,
    },
    /// Takes a plan to list a story back.
    UnscheduleStory {
        /// The story.
        story: StoryId,
    },
    /// Makes an earlier version the newest one.
    RollBackStory {
        /// The story.
        story: StoryId,
        /// Which version.
        version: u64,
        /// Why.
        reason: Note,
    },
    /// Puts a story away.
    ArchiveStory {
        /// The story.
        story: StoryId,
    },
    /// Hides a story everywhere.
    TakeDownStory(TakeDown),
    /// Shows a story again that was taken down.
    RestoreStory {
        /// The story.
        story: StoryId,
        /// Why.
        reason: Note,
    },
    /// Asks moderators to look at a takedown again.
    AppealTakedown {
        /// The story.
        story: StoryId,
        /// In own words.
        text: Note,
    },
    /// Finds nothing in what people reported about a story.
    DismissReports {
        /// The story.
        story: StoryId,
        /// Why.
        reason: Note,
    },
}

/// See [`StoryCommand::TakeDownStory`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct TakeDown {
    /// The story.
    pub story: StoryId,
    /// On what ground.
    pub ground: TakedownGround,
    /// Why, for the maker.
    pub reason: Note,
    /// Whether it counts against the maker.
    pub is_strike: bool,
}

/// On what ground a story is taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TakedownGround {
    /// It breaks the rules of the market.
    Policy,
    /// Somebody shows a better right to it.
    Copyright,
    /// The law.
    Legal,
    /// It deceives.
    Fraud,
}

/// See [`StoryCommand::RecordCheck`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RecordCheck {
    /// The effect that asked for it.
    pub effect: EffectId,
    /// The story.
    pub story: StoryId,
    /// The version that was looked at.
    pub version: u64,
    /// What came of it.
    pub result: CheckResult,
}

/// What an automatic check came to.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum CheckResult {
    /// It looked.
    Scored {
        /// What it found, at most [`crate::limits::FINDINGS_MAX`].
        findings: Vec<Finding>,
        /// How sure it is that this is all, in hundredths of a percent.
        confidence: u16,
    },
    /// It could not look.
    Unavailable,
}

/// Something that an automatic check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// Of what kind.
    pub category: CheckCategory,
    /// How likely it breaks the rules, in hundredths of a percent.
    pub score: u16,
}

/// What automatic checks look for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CheckCategory {
    /// Words that the operator listed.
    Words,
    /// Links that lead away.
    Links,
    /// Addresses and numbers that lead around the market.
    ContactDetails,
    /// Moving pictures.
    Video,
    /// Still pictures.
    Images,
    /// Something else.
    Other,
}

impl CheckCategory {
    /// Its name in the public API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Links => "links",
            Self::ContactDetails => "contactDetails",
            Self::Video => "video",
            Self::Images => "images",
            Self::Other => "other",
        }
    }
}

/// What a story tells beside its overview.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorySections {
    /// How the piece came to be, step by step; at most [`crate::limits::STEPS_PER_STORY_MAX`].
    pub process_timeline: Vec<Note>,
    /// What it is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub materials: Option<Note>,
    /// What else there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Note>,
    /// Where it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Summary>,
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
    /// Up to seven clips; the first is the primary one.
    pub clips: Vec<Clip>,
    /// What it tells beside the overview.
    #[serde(default)]
    pub sections: StorySections,
    /// By what it is found; at most [`crate::limits::TAGS_PER_STORY_MAX`].
    #[serde(default)]
    pub tags: Vec<Category>,
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
