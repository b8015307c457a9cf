//! Review: the automatic check first, a moderator where it is not sure, and decisions with notes.
//!
//! ```text
//!  submit --> Scanning --clean and allowed--> approved (system)
//!                |  \--certain--------------> rejected (system)
//!                |---anything else, no answer--> PendingHuman --> approved | rejected
//!                                                     | 24 h: moderators are told
//! ```
//! A checker that cannot be reached never publishes anything. A moderator may decide before the
//! check is back. Read next: `takedown.rs` for what comes after publication.

use fairground_types::command::{CheckResult, Finding, RecordCheck, ReviewDecision, StoryDraft};
use fairground_types::people::Capability;
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{Accepted, Code, Rejection, StoryId, Timestamp, UserId, limits};

use super::draft::check_room;
use super::{Review, ReviewStage, Story, StoryState, missing, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::{Effect, NoticeKind, StoryCheck};
use crate::notice::about;

/// What the automatic check allows to conclude.
#[derive(Debug, PartialEq, Eq)]
enum Conclusion {
    Approve,
    Reject(Vec<&'static str>),
    Human,
}

fn conclude(result: &CheckResult, may_approve: bool) -> Conclusion {
    let (findings, confidence) = match result {
        CheckResult::Scored { findings, confidence } => (findings, *confidence),
        CheckResult::Unavailable => return Conclusion::Human,
    };
    let certain: Vec<&'static str> = findings
        .iter()
        .filter(|finding| finding.score > limits::CHECK_REJECT_ABOVE)
        .map(|finding| finding.category.as_str())
        .collect();
    if !certain.is_empty() {
        return Conclusion::Reject(certain);
    }
    let is_clean = findings.iter().all(|finding| finding.score <= limits::CHECK_CLEAN_MAX);
    if may_approve && is_clean && confidence >= limits::CHECK_CONFIDENCE_MIN {
        Conclusion::Approve
    } else {
        Conclusion::Human
    }
}

impl Market {
    pub(super) fn submit_story(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: StoryId,
        attested: bool,
    ) -> Answer {
        let story = self.own_story(id, user)?.clone();
        let resubmissions = match &story.state {
            StoryState::Draft => story.resubmissions,
            StoryState::Rejected { .. } => story.resubmissions.saturating_add(1),
            StoryState::Submitted { .. }
            | StoryState::Approved { .. }
            | StoryState::Scheduled { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(wrong_state(&story)),
        };
        let mut lacking = self.lacking(&story, &story.contents);
        if !attested {
            lacking.push("attestation".to_owned());
        }
        if !lacking.is_empty() {
            return Err(
                Rejection::new(Code::StoryIncomplete, "something is missing").with_fields(lacking)
            );
        }
        if resubmissions > limits::RESUBMISSIONS_MAX {
            return Err(Rejection::new(Code::ResubmitLimit, "the story was refused too often"));
        }
        self.require_capability(user, Capability::Publish)?;
        check_room(&story)?;
        self.freeze(turn, id, &story.contents, (None, Some(user)));
        self.change_story(id, |story| {
            story.resubmissions = resubmissions;
            story.state = StoryState::Submitted { submitted_at: turn.at };
            story.changed_at = turn.at;
        });
        self.begin_review(turn, id, None);
        Ok(Accepted::Done)
    }

    /// Hands a story, or an edit of it, to the automatic check.
    pub(super) fn begin_review(
        &mut self,
        turn: &mut Turn,
        id: StoryId,
        edit: Option<Box<StoryDraft>>,
    ) {
        let Some(story) = self.stories.get(&id).cloned() else { return };
        let contents = edit.as_deref().unwrap_or(&story.contents).clone();
        let until = turn.at.plus(limits::CHECK_WAIT);
        let due_at = turn.at.plus(self.cluster.policy.stories.review_sla);
        let check = StoryCheck {
            story: id,
            version: story.version,
            clips: self.checked_clips(&contents),
            contents,
            reported_words: self.cluster.policy.stories.reported_words.clone(),
        };
        let effect = self.add_effect(turn, Effect::CheckStory(Box::new(check)), Some(until));
        self.deadlines.add(until, DueKind::Check(id));
        self.deadlines.add(due_at, DueKind::Review(id));
        let review = Review {
            version: story.version,
            edit,
            submitted_at: turn.at,
            due_at,
            stage: ReviewStage::Scanning { effect, until },
            findings: Vec::new(),
            is_overdue: false,
        };
        self.change_story(id, |story| story.review = Some(review));
        let mut notice = about(story.maker, NoticeKind::StorySubmitted);
        notice.story = Some(id);
        notice.until = Some(due_at);
        self.notify(turn, notice);
    }

    /// Nothing is to be decided any more.
    pub(super) fn drop_review(&mut self, id: StoryId) {
        let Some(review) = self.stories.get(&id).and_then(|story| story.review.clone()) else {
            return;
        };
        if let ReviewStage::Scanning { effect, until } = review.stage {
            self.deadlines.remove(until, DueKind::Check(id));
            self.drop_effect(effect);
        }
        self.deadlines.remove(review.due_at, DueKind::Review(id));
        self.change_story(id, |story| story.review = None);
    }

    pub(crate) fn withdraw_story(&mut self, turn: &mut Turn, user: UserId, id: StoryId) -> Answer {
        let story = self.own_story(id, user)?;
        if story.review.is_none() {
            return Err(wrong_state(story));
        }
        self.drop_review(id);
        self.change_story(id, |story| {
            if matches!(story.state, StoryState::Submitted { .. }) {
                story.state = StoryState::Draft;
            }
            story.changed_at = turn.at;
        });
        Ok(Accepted::Done)
    }

    /// What the automatic check came to. A result that comes too late changes nothing.
    pub(crate) fn record_check(&mut self, turn: &mut Turn, check: &RecordCheck) -> Answer {
        if let CheckResult::Scored { findings, .. } = &check.result
            && findings.len() > limits::FINDINGS_MAX
        {
            return Err(Rejection::new(Code::ValidationFailed, "too many findings"));
        }
        self.drop_effect(check.effect);
        let is_awaited = self.stories.get(&check.story).and_then(|story| story.review.as_ref());
        let is_awaited = is_awaited.is_some_and(|review| {
            review.version == check.version
                && matches!(&review.stage, ReviewStage::Scanning { effect, .. } if *effect == check.effect)
        });
        if !is_awaited {
            return Ok(Accepted::Done);
        }
        match conclude(&check.result, self.cluster.policy.stories.auto_approve) {
            Conclusion::Approve => self.approve(turn, check.story),
            Conclusion::Reject(categories) => {
                let text = format!("The automatic check found: {}.", categories.join(", "));
                let notes = Note::parse(&text)
                    .map_err(|error| Rejection::new(Code::ValidationFailed, error.to_string()))?;
                self.reject(turn, check.story, &notes);
            }
            Conclusion::Human => {
                let findings = match &check.result {
                    CheckResult::Scored { findings, .. } => findings.clone(),
                    CheckResult::Unavailable => Vec::new(),
                };
                self.ask_moderators(check.story, findings);
            }
        }
        Ok(Accepted::Done)
    }

    fn ask_moderators(&mut self, id: StoryId, findings: Vec<Finding>) {
        let review = self.stories.get(&id).and_then(|story| story.review.as_ref());
        if let Some(Review { stage: ReviewStage::Scanning { effect, until }, .. }) = review {
            let (effect, until) = (*effect, *until);
            self.deadlines.remove(until, DueKind::Check(id));
            self.drop_effect(effect);
        }
        self.change_story(id, |story| {
            if let Some(review) = &mut story.review {
                review.stage = ReviewStage::PendingHuman;
                review.findings = findings;
            }
        });
    }

    /// The automatic check has not answered in time.
    pub(crate) fn end_check(&mut self, id: StoryId, due: Timestamp) {
        let review = self.stories.get(&id).and_then(|story| story.review.as_ref());
        let is_due = review.is_some_and(|review| match &review.stage {
            ReviewStage::Scanning { until, .. } => *until == due,
            ReviewStage::PendingHuman => false,
        });
        if is_due {
            self.ask_moderators(id, Vec::new());
        }
    }

    /// Nobody has decided in time: whoever reviews stories is told.
    pub(crate) fn end_review_time(&mut self, turn: &mut Turn, id: StoryId, due: Timestamp) {
        let review = self.stories.get(&id).and_then(|story| story.review.as_ref());
        if review.is_none_or(|review| review.due_at != due) {
            return;
        }
        self.change_story(id, |story| {
            if let Some(review) = &mut story.review {
                review.is_overdue = true;
            }
        });
        self.tell_moderators(turn, NoticeKind::ReviewOverdue, id);
    }

    pub(super) fn tell_moderators(&mut self, turn: &mut Turn, kind: NoticeKind, id: StoryId) {
        let reviewers: Vec<UserId> = self
            .accounts
            .users
            .values()
            .filter(|account| account.roles.iter().any(|role| role.may(Action::ReviewStory)))
            .map(|account| account.user)
            .take(limits::MODERATORS_TOLD_MAX)
            .collect();
        for reviewer in reviewers {
            let mut notice = about(reviewer, kind);
            notice.story = Some(id);
            self.notify(turn, notice);
        }
    }

    pub(super) fn review_story(
        &mut self,
        turn: &mut Turn,
        reviewer: Option<UserId>,
        id: StoryId,
        decision: &ReviewDecision,
    ) -> Answer {
        let story = self.stories.get(&id).ok_or_else(missing)?;
        if reviewer == Some(story.maker) {
            return Err(Rejection::new(Code::Forbidden, "nobody reviews an own story"));
        }
        if story.review.is_none() {
            return Err(wrong_state(story));
        }
        match decision {
            ReviewDecision::Approve => self.approve(turn, id),
            ReviewDecision::Reject { notes } => self.reject(turn, id, notes),
        }
        Ok(Accepted::Done)
    }

    fn approve(&mut self, turn: &mut Turn, id: StoryId) {
        let Some(story) = self.stories.get(&id).cloned() else { return };
        let edit = story.review.as_ref().and_then(|review| review.edit.clone());
        self.drop_review(id);
        self.tell_decided(turn, &story, NoticeKind::StoryApproved, None);
        if let Some(contents) = edit {
            self.show_version(turn, id, &contents, (None, Some(story.maker)));
            return;
        }
        self.change_story(id, |story| {
            story.state = StoryState::Approved { approved_at: turn.at };
            story.changed_at = turn.at;
        });
        if story.contents.publish_when_approved && self.check_publishable(&story).is_ok() {
            self.list_story(turn, id);
        }
    }

    fn reject(&mut self, turn: &mut Turn, id: StoryId, notes: &Note) {
        let Some(story) = self.stories.get(&id).cloned() else { return };
        let is_edit = story.review.as_ref().is_some_and(|review| review.edit.is_some());
        self.drop_review(id);
        self.tell_decided(turn, &story, NoticeKind::StoryRejected, Some(notes));
        self.change_story(id, |story| {
            // A refused edit leaves what is shown as it is.
            if !is_edit {
                story.state = StoryState::Rejected { notes: notes.clone() };
            }
            story.changed_at = turn.at;
        });
    }

    fn tell_decided(
        &mut self,
        turn: &mut Turn,
        story: &Story,
        kind: NoticeKind,
        notes: Option<&Note>,
    ) {
        let mut notice = about(story.maker, kind);
        notice.story = Some(story.story);
        notice.text = notes.map(|notes| notes.as_str().to_owned());
        self.notify(turn, notice);
    }
}

#[cfg(test)]
mod tests {
    use fairground_types::command::CheckCategory;

    use super::*;

    fn scored(score: u16, confidence: u16) -> CheckResult {
        let findings = vec![
            Finding { category: CheckCategory::Words, score },
            Finding { category: CheckCategory::Links, score: 0 },
        ];
        CheckResult::Scored { findings, confidence }
    }

    #[test]
    fn a_check_rejects_above_95_approves_at_90_and_leaves_the_rest_to_people() {
        assert_eq!(conclude(&scored(9_501, 0), true), Conclusion::Reject(vec!["words"]));
        assert_eq!(conclude(&scored(9_500, 10_000), true), Conclusion::Human);
        assert_eq!(conclude(&scored(1_000, 9_000), true), Conclusion::Approve);
        assert_eq!(conclude(&scored(1_001, 9_000), true), Conclusion::Human);
        assert_eq!(conclude(&scored(0, 8_999), true), Conclusion::Human);
    }

    #[test]
    fn nothing_is_approved_by_a_machine_unless_the_operator_allows_it() {
        assert_eq!(conclude(&scored(0, 10_000), false), Conclusion::Human);
        assert_eq!(conclude(&CheckResult::Unavailable, true), Conclusion::Human);
    }
}
