//! What moderators do after publication: take down, restore, answer reports; and the appeal.
//!
//! A takedown hides a story everywhere at once and cancels its open auction. A piece that is
//! reserved or sold stays so: the order goes on under the market's people. Read next:
//! [`crate::view`] for what edges hide.

use fairground_types::command::TakeDown;
use fairground_types::people::{StrikeAbout, StrikeKind};
use fairground_types::text::Note;
use fairground_types::{Accepted, Code, PublicEvent, Rejection, StoryId, UserId, limits};

use super::{Measure, MeasureKind, Story, StoryState, missing, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::NoticeKind;
use crate::notice::about;

fn check_not_own(moderator: Option<UserId>, story: &Story) -> Result<(), Rejection> {
    if moderator == Some(story.maker) {
        return Err(Rejection::new(Code::Forbidden, "nobody moderates an own story"));
    }
    Ok(())
}

impl Market {
    pub(super) fn take_down_story(
        &mut self,
        turn: &mut Turn,
        moderator: Option<UserId>,
        takedown: &TakeDown,
    ) -> Answer {
        let id = takedown.story;
        let story = self.stories.get(&id).cloned().ok_or_else(missing)?;
        check_not_own(moderator, &story)?;
        let (sold_at, auction) = match &story.state {
            StoryState::Listed { .. } => (None, None),
            StoryState::Live { auction } => (None, Some(*auction)),
            StoryState::Sold { sold_at } => (Some(*sold_at), None),
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Scheduled { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(wrong_state(&story)),
        };
        let is_open =
            auction.is_some_and(|id| self.auctions.get(&id).is_some_and(|row| row.is_open()));
        if let Some(open) = auction.filter(|_| is_open) {
            self.cancel_auction(turn, open, (moderator, &takedown.reason))?;
        }
        self.drop_review(id);
        let appeal_by = turn.at.plus(limits::APPEAL_WINDOW);
        let measure = Measure {
            kind: MeasureKind::Takedown,
            by: moderator,
            ground: Some(takedown.ground),
            reason: takedown.reason.clone(),
            at: turn.at,
        };
        self.change_story(id, |story| {
            story.state = StoryState::TakenDown {
                taken_down_at: turn.at,
                appeal_by,
                appeal: None,
                sold_at,
                auction: auction.filter(|_| !is_open),
            };
            story.note(measure);
            story.reports.clear();
            story.changed_at = turn.at;
        });
        turn.events.push(PublicEvent::StoryHidden { story: id });
        let mut notice = about(story.maker, NoticeKind::StoryTakenDown);
        notice.story = Some(id);
        notice.until = Some(appeal_by);
        notice.text = Some(takedown.reason.as_str().to_owned());
        self.notify(turn, notice);
        if takedown.is_strike {
            self.add_strike(turn, story.maker, StrikeKind::Policy, StrikeAbout::Story(id));
        }
        Ok(Accepted::Done)
    }

    pub(super) fn restore_story(
        &mut self,
        turn: &mut Turn,
        moderator: Option<UserId>,
        id: StoryId,
        reason: &Note,
    ) -> Answer {
        let story = self.stories.get(&id).cloned().ok_or_else(missing)?;
        check_not_own(moderator, &story)?;
        let StoryState::TakenDown { sold_at, auction, .. } = &story.state else {
            return Err(wrong_state(&story));
        };
        let state = match (sold_at, auction) {
            (Some(sold_at), _) => StoryState::Sold { sold_at: *sold_at },
            (None, Some(auction)) => StoryState::Live { auction: *auction },
            (None, None) => StoryState::Listed { listed_at: turn.at },
        };
        let measure = Measure {
            kind: MeasureKind::Restore,
            by: moderator,
            ground: None,
            reason: reason.clone(),
            at: turn.at,
        };
        self.change_story(id, |story| {
            story.state = state;
            story.note(measure);
            story.changed_at = turn.at;
        });
        self.tell_listed(turn, id);
        let mut notice = about(story.maker, NoticeKind::StoryRestored);
        notice.story = Some(id);
        self.notify(turn, notice);
        Ok(Accepted::Done)
    }

    pub(super) fn appeal_takedown(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: StoryId,
        text: &Note,
    ) -> Answer {
        let story = self.own_story(id, user)?;
        let StoryState::TakenDown { appeal_by, appeal, .. } = &story.state else {
            return Err(wrong_state(story));
        };
        if appeal.is_some() || turn.at >= *appeal_by {
            return Err(Rejection::new(Code::InvalidState, "there is nothing to appeal any more"));
        }
        self.change_story(id, |story| {
            if let StoryState::TakenDown { appeal, .. } = &mut story.state {
                *appeal = Some(text.clone());
            }
            story.changed_at = turn.at;
        });
        self.tell_moderators(turn, NoticeKind::TakedownAppealed, id);
        Ok(Accepted::Done)
    }

    pub(super) fn dismiss_reports(
        &mut self,
        turn: &Turn,
        moderator: Option<UserId>,
        id: StoryId,
        reason: &Note,
    ) -> Answer {
        let story = self.stories.get(&id).ok_or_else(missing)?;
        check_not_own(moderator, story)?;
        if story.reports.is_empty() {
            return Err(wrong_state(story));
        }
        let measure = Measure {
            kind: MeasureKind::ReportsDismissed,
            by: moderator,
            ground: None,
            reason: reason.clone(),
            at: turn.at,
        };
        self.change_story(id, |story| {
            story.reports.clear();
            story.note(measure);
        });
        Ok(Accepted::Done)
    }
}
