//! Stories as rows of the public API: for their makers and for moderators.
//!
//! Read next: [`crate::query`].

use std::collections::BTreeMap;

use fairground_types::command::{Finding, ReportGround, StoryCounts, StoryDraft, TakedownGround};
use fairground_types::text::{Note, Title, ZoneName};
use fairground_types::{AuctionId, StoryId, Timestamp, UserId, limits};
use serde::Serialize;

use super::{Measure, MeasureKind, Review, ReviewStage, Story, StoryState};
use crate::Market;
use crate::row::StoryRow;

/// A decision that is awaited, for the maker and for moderators.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReviewRow {
    /// The version that is looked at.
    pub version: u64,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// Whether it is an edit of a story that is shown.
    pub is_edit: bool,
    /// `scanning` or `pendingHuman`.
    pub stage: &'static str,
    /// Since when.
    pub submitted_at: Timestamp,
    /// When it should be decided.
    pub due_at: Timestamp,
    /// That time is over.
    pub is_overdue: bool,
    /// What the automatic check found; for moderators alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// What a moderator did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeasureRow {
    /// What.
    pub kind: MeasureKind,
    /// On what ground.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ground: Option<TakedownGround>,
    /// Why.
    pub reason: Note,
    /// When.
    pub at: Timestamp,
}

/// Where a story stands, for its maker.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoryStatusRow {
    /// The story.
    pub story_id: StoryId,
    /// As in [`StoryRow::state`].
    pub state: &'static str,
    /// Version of its newest contents.
    pub version: u64,
    /// The version that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_version: Option<u64>,
    /// What keeps it from being submitted; empty when nothing does.
    pub missing: Vec<String>,
    /// Resubmissions that are left.
    pub resubmissions_left: u32,
    /// The decision that is awaited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewRow>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Note>,
    /// When it will be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_at: Option<Timestamp>,
    /// In which zone that time was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneName>,
    /// Until when its maker may appeal against the takedown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal_by: Option<Timestamp>,
    /// What its maker said against the takedown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal: Option<Note>,
    /// What moderators did, oldest first.
    pub measures: Vec<MeasureRow>,
    /// What people did with it; approximate.
    pub counts: StoryCounts,
}

/// A frozen version, without its contents.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionRow {
    /// Its number.
    pub version: u64,
    /// Its title.
    pub title: Title,
    /// Why it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// When it was frozen.
    pub at: Timestamp,
    /// Whether it is the one that is shown.
    pub is_published: bool,
}

/// The frozen versions of a story, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionList {
    /// The story.
    pub story_id: StoryId,
    /// The rows.
    pub versions: Vec<VersionRow>,
}

/// One field that differs between two versions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldChange {
    /// Which.
    pub field: String,
    /// In the first version; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// In the second version; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What differs between two versions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionDiff {
    /// The story.
    pub story_id: StoryId,
    /// The first version.
    pub from: u64,
    /// The second version.
    pub to: u64,
    /// The fields that differ.
    pub changes: Vec<FieldChange>,
}

/// How often a story was reported on one ground.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportCount {
    /// The ground.
    pub ground: ReportGround,
    /// How often.
    pub count: u32,
}

/// Something that moderators have to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueRow {
    /// The story.
    pub story_id: StoryId,
    /// Its maker.
    pub maker_id: UserId,
    /// Where the story stands.
    pub state: &'static str,
    /// What is to be looked at.
    pub draft: StoryDraft,
    /// Whether people reported it or the automatic check found something.
    pub is_flagged: bool,
    /// The highest score of the automatic check, in hundredths of a percent.
    pub severity: u16,
    /// Since when it waits.
    pub waits_since: Timestamp,
    /// The decision that is awaited; absent when people reported a story that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewRow>,
    /// What people reported.
    pub reports: Vec<ReportCount>,
    /// What its maker says against a takedown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal: Option<Note>,
}

pub(crate) fn story_row(story: &Story) -> StoryRow {
    let (notes, submitted_at, auction_id) = match &story.state {
        StoryState::Rejected { notes } => (Some(notes.clone()), None, None),
        StoryState::Submitted { submitted_at } => (None, Some(*submitted_at), None),
        StoryState::Live { auction } => (None, None, Some(*auction)),
        StoryState::Draft
        | StoryState::Approved { .. }
        | StoryState::Scheduled { .. }
        | StoryState::Listed { .. }
        | StoryState::Sold { .. }
        | StoryState::TakenDown { .. }
        | StoryState::Archived { .. } => (None, None::<Timestamp>, None::<AuctionId>),
    };
    let submitted_at =
        submitted_at.or_else(|| story.review.as_ref().map(|review| review.submitted_at));
    StoryRow {
        story_id: story.story,
        maker_id: story.maker,
        state: story.state.name(),
        version: story.version,
        draft: story.newest().clone(),
        notes,
        submitted_at,
        auction_id,
    }
}

fn review_row(story: &Story, review: &Review, shows_findings: bool) -> ReviewRow {
    ReviewRow {
        version: review.version,
        attempt: story.resubmissions.saturating_add(1),
        is_edit: review.edit.is_some(),
        stage: match review.stage {
            ReviewStage::Scanning { .. } => "scanning",
            ReviewStage::PendingHuman => "pendingHuman",
        },
        submitted_at: review.submitted_at,
        due_at: review.due_at,
        is_overdue: review.is_overdue,
        findings: if shows_findings { review.findings.clone() } else { Vec::new() },
    }
}

fn measure_row(measure: &Measure) -> MeasureRow {
    MeasureRow {
        kind: measure.kind,
        ground: measure.ground,
        reason: measure.reason.clone(),
        at: measure.at,
    }
}

fn queue_row(story: &Story) -> Option<QueueRow> {
    let appeal = match &story.state {
        StoryState::TakenDown { appeal, .. } => appeal.clone(),
        StoryState::Draft
        | StoryState::Submitted { .. }
        | StoryState::Rejected { .. }
        | StoryState::Approved { .. }
        | StoryState::Scheduled { .. }
        | StoryState::Listed { .. }
        | StoryState::Live { .. }
        | StoryState::Sold { .. }
        | StoryState::Archived { .. } => None,
    };
    let review = story.review.as_ref();
    if review.is_none() && story.reports.is_empty() && appeal.is_none() {
        return None;
    }
    let mut reports: BTreeMap<ReportGround, u32> = BTreeMap::new();
    for ground in story.reports.values() {
        let count = reports.entry(*ground).or_default();
        *count = count.saturating_add(1);
    }
    let severity = review
        .map_or(0, |review| review.findings.iter().map(|finding| finding.score).max().unwrap_or(0));
    Some(QueueRow {
        story_id: story.story,
        maker_id: story.maker,
        state: story.state.name(),
        draft: story.newest().clone(),
        is_flagged: !reports.is_empty() || severity > limits::CHECK_CLEAN_MAX,
        severity,
        waits_since: review.map_or(story.changed_at, |review| review.submitted_at),
        review: review.map(|review| review_row(story, review, true)),
        reports: reports.into_iter().map(|(ground, count)| ReportCount { ground, count }).collect(),
        appeal,
    })
}

impl Market {
    /// Where a story stands, for its maker.
    #[must_use]
    pub fn story_status(&self, id: StoryId) -> Option<StoryStatusRow> {
        let story = self.story(id)?;
        let (publish_at, zone) = match &story.state {
            StoryState::Scheduled { publish_at, zone, .. } => {
                (Some(*publish_at), Some(zone.clone()))
            }
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => (None, None),
        };
        let (appeal_by, appeal) = match &story.state {
            StoryState::TakenDown { appeal_by, appeal, .. } => (Some(*appeal_by), appeal.clone()),
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Scheduled { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. }
            | StoryState::Archived { .. } => (None, None),
        };
        Some(StoryStatusRow {
            story_id: id,
            state: story.state.name(),
            version: story.version,
            published_version: story.published,
            missing: self.lacking(story, story.newest()),
            resubmissions_left: limits::RESUBMISSIONS_MAX.saturating_sub(story.resubmissions),
            review: story.review.as_ref().map(|review| review_row(story, review, false)),
            notes: story_row(story).notes,
            publish_at,
            zone,
            appeal_by,
            appeal,
            measures: story.measures.iter().map(measure_row).collect(),
            counts: story.counts,
        })
    }

    /// The frozen versions of a story, newest first.
    #[must_use]
    pub fn story_versions(&self, id: StoryId) -> Option<VersionList> {
        let story = self.story(id)?;
        let versions = story.versions.values().rev().map(|frozen| VersionRow {
            version: frozen.version,
            title: frozen.contents.title.clone(),
            reason: frozen.reason.clone(),
            at: frozen.at,
            is_published: story.published == Some(frozen.version),
        });
        Some(VersionList { story_id: id, versions: versions.collect() })
    }

    /// The contents of a frozen version.
    #[must_use]
    pub fn story_version(&self, id: StoryId, version: u64) -> Option<&StoryDraft> {
        self.story(id)?.versions.get(&version).map(|frozen| &frozen.contents)
    }

    /// What differs between two frozen versions.
    #[must_use]
    pub fn story_diff(&self, id: StoryId, from: u64, to: u64) -> Option<VersionDiff> {
        let before = texts_of(self.story_version(id, from)?);
        let after = texts_of(self.story_version(id, to)?);
        let fields: std::collections::BTreeSet<&String> =
            before.keys().chain(after.keys()).collect();
        let changes = fields
            .into_iter()
            .filter(|field| before.get(*field) != after.get(*field))
            .map(|field| FieldChange {
                field: field.clone(),
                before: before.get(field).cloned(),
                after: after.get(field).cloned(),
            })
            .collect();
        Some(VersionDiff { story_id: id, from, to, changes })
    }

    /// What moderators have to look at: what is flagged first, then by severity, then by age.
    #[must_use]
    pub fn moderation_queue(&self) -> Vec<QueueRow> {
        let mut rows: Vec<QueueRow> =
            self.stories.values().filter_map(|story| queue_row(story)).collect();
        rows.sort_by_key(|row| {
            let flagged = std::cmp::Reverse(row.is_flagged);
            (flagged, std::cmp::Reverse(row.severity), row.waits_since, row.story_id)
        });
        rows
    }
}

/// The fields of a version as texts, by name.
fn texts_of(contents: &StoryDraft) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let mut put = |field: &str, text: String| {
        if !text.is_empty() {
            texts.insert(field.to_owned(), text);
        }
    };
    put("title", contents.title.to_string());
    put("shortDescription", contents.short_description.to_string());
    put("category", contents.category.to_string());
    put("overview", contents.overview.to_string());
    put("minimumOffer", contents.minimum_offer.to_string());
    put("publishWhenApproved", contents.publish_when_approved.to_string());
    let tags: Vec<&str> = contents.tags.iter().map(|tag| tag.as_str()).collect();
    put("tags", tags.join(", "));
    for (place, clip) in contents.clips.iter().enumerate() {
        put(&format!("clips[{place}]"), format!("{} {}", clip.asset_id, clip.label));
    }
    let sections = &contents.sections;
    for (place, step) in sections.process_timeline.iter().enumerate() {
        put(&format!("sections.processTimeline[{place}]"), step.to_string());
    }
    let optional = |text: &Option<Note>| text.as_ref().map(ToString::to_string).unwrap_or_default();
    put("sections.materials", optional(&sections.materials));
    put("sections.notes", optional(&sections.notes));
    put(
        "sections.location",
        sections.location.as_ref().map(ToString::to_string).unwrap_or_default(),
    );
    texts
}
