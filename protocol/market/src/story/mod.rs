//! Stories: drafts, their review, and their way to being sold.
//!
//! ```text
//!  Draft --submit--> Submitted --+--> Approved <--> Scheduled
//!    ^                  |  ^     |        |            |
//!    +----withdraw------+  |     v        v            v        moderators
//!                          +-- Rejected   Listed <--> Live --> Sold ..> TakenDown
//!                   at most three times     ^ edits of a published story wait in
//!                                           | `review` while the old contents stand
//! ```
//! What was submitted or published is frozen as a version; offers name the version they were made
//! against. It must not know bytes of media: an asset is an id with a revision. Read next:
//! `draft.rs` (versions), `review.rs`, `publish.rs`, `takedown.rs`, then `offer.rs`.

mod check;
mod draft;
mod publish;
mod review;
mod rows;
mod takedown;

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::command::{Finding, ReportGround, StoryCounts, StoryDraft, TakedownGround};
use fairground_types::text::{Note, ZoneName};
use fairground_types::{AuctionId, Code, EffectId, Rejection, StoryId, Timestamp, UserId};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};

pub(crate) use rows::story_row;
pub use rows::{
    FieldChange, MeasureRow, QueueRow, ReportCount, ReviewRow, StoryStatusRow, VersionDiff,
    VersionList, VersionRow,
};

/// A story.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Story {
    pub(crate) story: StoryId,
    pub(crate) maker: UserId,
    /// Version of the newest contents, those under review included.
    pub(crate) version: u64,
    /// What is shown, or written while nothing is shown.
    pub(crate) contents: StoryDraft,
    pub(crate) state: StoryState,
    pub(crate) resubmissions: u32,
    pub(crate) auction_seq: u32,
    /// Offers per buyer in this listing cycle.
    pub(crate) offers: BTreeMap<UserId, u32>,
    pub(crate) changed_at: Timestamp,
    /// What a moderator or the automatic check has to decide.
    pub(crate) review: Option<Review>,
    /// The version that is shown.
    pub(crate) published: Option<u64>,
    pub(crate) versions: BTreeMap<u64, Arc<StoryVersion>>,
    /// What moderators did, oldest first.
    pub(crate) measures: Vec<Measure>,
    pub(crate) counts: StoryCounts,
    /// What people reported and nobody has answered.
    pub(crate) reports: BTreeMap<UserId, ReportGround>,
}

/// A frozen version of a story; never changed.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct StoryVersion {
    pub(crate) version: u64,
    pub(crate) contents: StoryDraft,
    pub(crate) reason: Option<Note>,
    pub(crate) author: Option<UserId>,
    pub(crate) at: Timestamp,
}

/// A decision that is awaited.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Review {
    /// What is looked at.
    pub(crate) version: u64,
    /// New contents of a published story; of others they are its contents.
    pub(crate) edit: Option<Box<StoryDraft>>,
    pub(crate) submitted_at: Timestamp,
    pub(crate) due_at: Timestamp,
    pub(crate) stage: ReviewStage,
    pub(crate) findings: Vec<Finding>,
    pub(crate) is_overdue: bool,
}

/// Who has to decide.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum ReviewStage {
    /// The automatic check.
    Scanning {
        /// Asks for it.
        effect: EffectId,
        /// A moderator has to look from then on.
        until: Timestamp,
    },
    /// A moderator.
    PendingHuman,
}

/// What a moderator did to a story.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Measure {
    pub(crate) kind: MeasureKind,
    pub(crate) by: Option<UserId>,
    pub(crate) ground: Option<TakedownGround>,
    pub(crate) reason: Note,
    pub(crate) at: Timestamp,
}

/// Kinds of measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MeasureKind {
    /// Hidden.
    Takedown,
    /// Shown again.
    Restore,
    /// Reports were answered.
    ReportsDismissed,
}

/// Where a story stands.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum StoryState {
    /// Being written.
    Draft,
    /// Waits for a reviewer.
    Submitted {
        /// Since when.
        submitted_at: Timestamp,
    },
    /// Refused.
    Rejected {
        /// Why, for the maker.
        notes: Note,
    },
    /// May be listed.
    Approved {
        /// Since when.
        approved_at: Timestamp,
    },
    /// Will be listed.
    Scheduled {
        /// When.
        publish_at: Timestamp,
        /// In which zone its maker chose that time.
        zone: ZoneName,
        /// The time has come and it could not be listed.
        is_overdue: bool,
    },
    /// Open for offers.
    Listed {
        /// Since when.
        listed_at: Timestamp,
    },
    /// With an auction that is not closed.
    Live {
        /// The auction.
        auction: AuctionId,
    },
    /// Sold.
    Sold {
        /// Since when.
        sold_at: Timestamp,
    },
    /// Hidden by a moderator.
    TakenDown {
        /// Since when.
        taken_down_at: Timestamp,
        /// Until when its maker may appeal.
        appeal_by: Timestamp,
        /// What its maker says against it.
        appeal: Option<Note>,
        /// Since when the piece is sold.
        sold_at: Option<Timestamp>,
        /// The auction that goes on without being shown: its piece is reserved.
        auction: Option<AuctionId>,
    },
    /// Put away by its maker.
    Archived {
        /// Since when.
        archived_at: Timestamp,
    },
}

impl StoryState {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted { .. } => "submitted",
            Self::Rejected { .. } => "rejected",
            Self::Approved { .. } => "approved",
            Self::Scheduled { .. } => "scheduled",
            Self::Listed { .. } => "listed",
            Self::Live { .. } => "live",
            Self::Sold { .. } => "sold",
            Self::TakenDown { .. } => "takenDown",
            Self::Archived { .. } => "archived",
        }
    }

    /// Whether everybody may see the story.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        match self {
            Self::Draft
            | Self::Submitted { .. }
            | Self::Rejected { .. }
            | Self::Approved { .. }
            | Self::Scheduled { .. }
            | Self::TakenDown { .. }
            | Self::Archived { .. } => false,
            Self::Listed { .. } | Self::Live { .. } | Self::Sold { .. } => true,
        }
    }
}

impl Story {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> StoryId {
        self.story
    }

    /// Its maker.
    #[must_use]
    pub const fn maker(&self) -> UserId {
        self.maker
    }

    /// The version that is shown; offers are made against it.
    #[must_use]
    pub const fn published(&self) -> Option<u64> {
        self.published
    }

    /// Its contents.
    #[must_use]
    pub const fn contents(&self) -> &StoryDraft {
        &self.contents
    }

    /// Its newest contents, those under review included.
    #[must_use]
    pub fn newest(&self) -> &StoryDraft {
        let edit = self.review.as_ref().and_then(|review| review.edit.as_deref());
        edit.unwrap_or(&self.contents)
    }

    /// Keeps the newest measures of moderators.
    fn note(&mut self, measure: Measure) {
        if self.measures.len() >= fairground_types::limits::MEASURES_PER_STORY_MAX {
            self.measures.remove(0);
        }
        self.measures.push(measure);
    }
}

fn wrong_state(story: &Story) -> Rejection {
    Rejection::new(Code::InvalidState, format!("the story is {}", story.state.name()))
}

fn missing() -> Rejection {
    Rejection::new(Code::NotFound, "no such story")
}

impl Market {
    pub(crate) fn change_story(&mut self, id: StoryId, change: impl FnOnce(&mut Story)) {
        if let Some(story) = self.stories.get_mut(&id) {
            change(Arc::make_mut(story));
        }
    }

    fn own_story(&self, id: StoryId, user: UserId) -> Result<&Arc<Story>, Rejection> {
        // A story of somebody else is hidden while it is not listed, and not changed ever.
        self.stories.get(&id).filter(|story| story.maker == user).ok_or_else(missing)
    }

    pub(crate) fn run_story(
        &mut self,
        turn: &mut Turn,
        subject: &crate::permission::Subject,
        command: &fairground_types::command::StoryCommand,
    ) -> Answer {
        use fairground_types::command::StoryCommand;
        match command {
            StoryCommand::SaveDraft(save) => self.save_draft(turn, subject.user()?, save),
            StoryCommand::SubmitStory { story, attested } => {
                self.submit_story(turn, subject.user()?, *story, *attested)
            }
            StoryCommand::WithdrawStory { story } => {
                self.withdraw_story(turn, subject.user()?, *story)
            }
            StoryCommand::RecordCheck(check) => self.record_check(turn, check),
            StoryCommand::ReviewStory { story, decision } => {
                self.review_story(turn, subject.user, *story, decision)
            }
            StoryCommand::PublishStory { story } => {
                self.publish_story(turn, subject.user()?, *story)
            }
            StoryCommand::ScheduleStory { story, publish_at, zone } => {
                self.schedule_story(turn, subject.user()?, *story, (*publish_at, zone))
            }
            StoryCommand::UnscheduleStory { story } => {
                self.unschedule_story(turn, subject.user()?, *story)
            }
            StoryCommand::RollBackStory { story, version, reason } => {
                self.roll_back_story(turn, subject, *story, (*version, reason))
            }
            StoryCommand::ArchiveStory { story } => {
                self.archive_story(turn, subject.user()?, *story)
            }
            StoryCommand::TakeDownStory(takedown) => {
                self.take_down_story(turn, subject.user, takedown)
            }
            StoryCommand::RestoreStory { story, reason } => {
                self.restore_story(turn, subject.user, *story, reason)
            }
            StoryCommand::AppealTakedown { story, text } => {
                self.appeal_takedown(turn, subject.user()?, *story, text)
            }
            StoryCommand::DismissReports { story, reason } => {
                self.dismiss_reports(turn, subject.user, *story, reason)
            }
        }
    }
}
