//! Writing a story: drafts, edits of published ones, frozen versions, going back to one.
//!
//! A draft changes in place, one version up at each save. A published story keeps what it shows
//! until its edit is approved; what bidders rely on cannot be edited while an auction is open.
//! Read next: `review.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::command::{SaveDraft, StoryCounts, StoryDraft};
use fairground_types::text::Note;
use fairground_types::{Accepted, Code, Rejection, StoryId, UserId, limits};

use super::{Story, StoryState, StoryVersion, missing, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::permission::Subject;

/// Stories of one maker.
const STORIES_PER_MAKER_MAX: usize = 1_000;

fn check_bounds(draft: &StoryDraft) -> Result<(), Rejection> {
    let bounds = [
        ("clips", draft.clips.len(), limits::CLIPS_PER_STORY_MAX),
        ("tags", draft.tags.len(), limits::TAGS_PER_STORY_MAX),
        ("sections", draft.sections.process_timeline.len(), limits::STEPS_PER_STORY_MAX),
    ];
    for (field, length, max) in bounds {
        if length > max {
            return Err(Rejection::new(
                Code::ValidationFailed,
                format!("{field} may hold at most {max}"),
            )
            .with_fields(vec![field.to_owned()]));
        }
    }
    Ok(())
}

/// What bidders rely on: it stays while an auction is open.
fn locked_fields(before: &StoryDraft, after: &StoryDraft) -> Vec<String> {
    let changed = [
        ("title", before.title != after.title),
        ("category", before.category != after.category),
        ("clips", before.clips != after.clips),
        ("sections.materials", before.sections.materials != after.sections.materials),
        ("minimumOffer", before.minimum_offer != after.minimum_offer),
    ];
    changed.iter().filter(|(_, changed)| *changed).map(|(name, _)| (*name).to_owned()).collect()
}

/// Whether an edit changes anything that people read or see.
fn needs_review(before: &StoryDraft, after: &StoryDraft) -> bool {
    let mut plain = after.clone();
    plain.minimum_offer = before.minimum_offer;
    plain.publish_when_approved = before.publish_when_approved;
    plain != *before
}

impl Market {
    pub(super) fn save_draft(&mut self, turn: &mut Turn, user: UserId, save: &SaveDraft) -> Answer {
        check_bounds(&save.draft)?;
        let Some(base_version) = save.base_version else {
            return self.new_story(turn, user, save);
        };
        let story = self.own_story(save.story, user)?;
        if story.version != base_version {
            return Err(Rejection::new(Code::DraftConflict, "the draft was changed elsewhere")
                .with_version(story.version));
        }
        let state = match &story.state {
            StoryState::Draft | StoryState::Approved { .. } | StoryState::Scheduled { .. } => {
                StoryState::Draft
            }
            StoryState::Rejected { notes } => StoryState::Rejected { notes: notes.clone() },
            StoryState::Listed { .. } | StoryState::Live { .. } => {
                return self.edit_published(turn, save);
            }
            StoryState::Submitted { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(wrong_state(story)),
        };
        check_currency(story, &save.draft)?;
        let version = story.version.saturating_add(1);
        self.drop_schedule(save.story);
        self.change_story(save.story, |story| {
            story.version = version;
            story.contents = save.draft.clone();
            story.state = state;
            story.changed_at = turn.at;
        });
        Ok(Accepted::StorySaved { story: save.story, version })
    }

    fn new_story(&mut self, turn: &Turn, user: UserId, save: &SaveDraft) -> Answer {
        if let Some(known) = self.stories.get(&save.story) {
            return Err(
                Rejection::new(Code::DraftConflict, "the story exists").with_version(known.version)
            );
        }
        if self.stories_by(user).count() >= STORIES_PER_MAKER_MAX {
            return Err(Rejection::new(Code::LimitReached, "too many stories"));
        }
        let story = Story {
            story: save.story,
            maker: user,
            version: 1,
            contents: save.draft.clone(),
            state: StoryState::Draft,
            resubmissions: 0,
            auction_seq: 0,
            offers: BTreeMap::new(),
            changed_at: turn.at,
            review: None,
            published: None,
            versions: BTreeMap::new(),
            measures: Vec::new(),
            counts: StoryCounts::default(),
            reports: BTreeMap::new(),
        };
        self.stories.insert(save.story, Arc::new(story));
        self.by_maker.insert((user, save.story), ());
        Ok(Accepted::StorySaved { story: save.story, version: 1 })
    }

    /// An edit of what people can see: texts and clips are reviewed first, the rest counts at once.
    fn edit_published(&mut self, turn: &mut Turn, save: &SaveDraft) -> Answer {
        let story = self.stories.get(&save.story).cloned().ok_or_else(missing)?;
        check_currency(&story, &save.draft)?;
        if matches!(story.state, StoryState::Live { .. }) {
            let locked = locked_fields(&story.contents, &save.draft);
            if !locked.is_empty() {
                let detail = "bidders rely on this while the auction is open";
                return Err(Rejection::new(Code::EditLocked, detail).with_fields(locked));
            }
        }
        let lacking = self.lacking(&story, &save.draft);
        if !lacking.is_empty() {
            return Err(Rejection::new(Code::StoryIncomplete, "the edit is not complete")
                .with_fields(lacking));
        }
        check_room(&story)?;
        let version = story.version.saturating_add(1);
        self.drop_review(save.story);
        self.change_story(save.story, |story| {
            story.version = version;
            story.changed_at = turn.at;
        });
        if needs_review(&story.contents, &save.draft) {
            self.begin_review(turn, save.story, Some(Box::new(save.draft.clone())));
        } else {
            self.show_version(turn, save.story, &save.draft, (None, Some(story.maker)));
        }
        Ok(Accepted::StorySaved { story: save.story, version })
    }

    /// Makes contents what people see, as the story's newest version.
    pub(super) fn show_version(
        &mut self,
        turn: &mut Turn,
        id: StoryId,
        contents: &StoryDraft,
        (reason, author): (Option<Note>, Option<UserId>),
    ) {
        self.freeze(turn, id, contents, (reason, author));
        self.change_story(id, |story| {
            story.contents = contents.clone();
            story.published = Some(story.version);
            story.changed_at = turn.at;
        });
        self.tell_listed(turn, id);
    }

    /// Keeps contents as the story's newest version, for ever.
    pub(super) fn freeze(
        &mut self,
        turn: &Turn,
        id: StoryId,
        contents: &StoryDraft,
        (reason, author): (Option<Note>, Option<UserId>),
    ) {
        self.change_story(id, |story| {
            let version = story.version;
            let frozen =
                StoryVersion { version, contents: contents.clone(), reason, author, at: turn.at };
            story.versions.entry(version).or_insert_with(|| Arc::new(frozen));
        });
    }

    pub(super) fn roll_back_story(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        id: StoryId,
        (version, reason): (u64, &Note),
    ) -> Answer {
        let is_admin = subject.is_cluster
            || subject
                .user
                .is_some_and(|user| self.may(user, fairground_types::role::Action::Administer));
        let story = self.stories.get(&id).cloned().ok_or_else(missing)?;
        if !is_admin && subject.user != Some(story.maker) {
            return Err(missing());
        }
        match &story.state {
            StoryState::Listed { .. } => {}
            StoryState::Live { .. } if is_admin => {}
            StoryState::Live { .. } => {
                return Err(Rejection::new(
                    Code::EditLocked,
                    "nobody but an admin goes back while an auction is open",
                ));
            }
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Scheduled { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(wrong_state(&story)),
        }
        let frozen = story.versions.get(&version).filter(|frozen| frozen.version <= version);
        let frozen =
            frozen.ok_or_else(|| Rejection::new(Code::NotFound, "there is no such version"))?;
        check_currency(&story, &frozen.contents)?;
        check_room(&story)?;
        let contents = frozen.contents.clone();
        self.drop_review(id);
        let newest = story.version.saturating_add(1);
        self.change_story(id, |story| story.version = newest);
        self.show_version(turn, id, &contents, (Some(reason.clone()), subject.user));
        Ok(Accepted::StorySaved { story: id, version: newest })
    }

    /// What keeps contents from being shown, all of it; empty when nothing does.
    pub(super) fn lacking(&self, story: &Story, contents: &StoryDraft) -> Vec<String> {
        let mut fields = Vec::new();
        let mut lack = |name: String| fields.push(name);
        if contents.overview.as_str().is_empty() {
            lack("overview".to_owned());
        }
        let fewest = usize::try_from(self.cluster.policy.stories.clips_min).unwrap_or(usize::MAX);
        let fewest = fewest.clamp(1, limits::CLIPS_PER_STORY_MAX);
        if !(fewest..=limits::CLIPS_PER_STORY_MAX).contains(&contents.clips.len()) {
            lack("clips".to_owned());
        }
        for (place, clip) in contents.clips.iter().enumerate() {
            let asset = self.assets.get(&clip.asset_id).filter(|asset| asset.owner == story.maker);
            // Absent, somebody else's, or not to be played to its end yet.
            if asset.is_none_or(|asset| !asset.is_whole()) {
                lack(format!("clips[{place}].assetId"));
            }
        }
        let minimum = contents.minimum_offer;
        // The limit is written for two digits after the mark.
        let unit = 10_u64.saturating_pow(minimum.currency().exponent());
        let floor = limits::OFFER_FLOOR_MINOR.saturating_mul(unit) / 100;
        if minimum.minor() < floor || minimum.minor() > limits::AMOUNT_CEILING_MINOR {
            lack("minimumOffer".to_owned());
        }
        fields
    }

    pub(super) fn drop_schedule(&mut self, id: StoryId) {
        let due = self.stories.get(&id).and_then(|story| match &story.state {
            StoryState::Scheduled { publish_at, .. } => Some(*publish_at),
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => None,
        });
        if let Some(due) = due {
            self.deadlines.remove(due, DueKind::Publish(id));
        }
    }
}

/// A listing keeps the currency that it was first published in.
fn check_currency(story: &Story, draft: &StoryDraft) -> Result<(), Rejection> {
    let kept = story.contents.minimum_offer.currency();
    if story.published.is_some() && draft.minimum_offer.currency() != kept {
        return Err(Rejection::new(
            Code::CurrencyMismatch,
            format!("the listing is in {kept} for ever"),
        ));
    }
    Ok(())
}

pub(super) fn check_room(story: &Story) -> Result<(), Rejection> {
    if story.versions.len() >= limits::VERSIONS_PER_STORY_MAX {
        return Err(Rejection::new(Code::LimitReached, "the story has too many versions"));
    }
    Ok(())
}
