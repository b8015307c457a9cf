//! From approved to sold: publish, schedule, list, sell, list again, archive.
//!
//! Read next: `takedown.rs`.

use fairground_types::people::Capability;
use fairground_types::text::ZoneName;
use fairground_types::{
    Accepted, Code, PublicEvent, Rejection, StoryId, Timestamp, UserId, limits,
};

use super::{Story, StoryState, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::about;

impl Market {
    /// Whether an approved story may be shown now.
    pub(crate) fn check_publishable(&self, story: &Story) -> Result<(), Rejection> {
        self.require_capability(story.maker, Capability::Publish)?;
        let lacking = self.lacking(story, &story.contents);
        if !lacking.is_empty() {
            return Err(
                Rejection::new(Code::StoryIncomplete, "something is missing").with_fields(lacking)
            );
        }
        Ok(())
    }

    pub(super) fn publish_story(&mut self, turn: &mut Turn, user: UserId, id: StoryId) -> Answer {
        let story = self.own_story(id, user)?;
        match &story.state {
            StoryState::Approved { .. } | StoryState::Scheduled { .. } => {}
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(wrong_state(story)),
        }
        self.check_publishable(story)?;
        self.drop_schedule(id);
        self.list_story(turn, id);
        Ok(Accepted::Done)
    }

    pub(super) fn schedule_story(
        &mut self,
        turn: &Turn,
        user: UserId,
        id: StoryId,
        (publish_at, zone): (Timestamp, &ZoneName),
    ) -> Answer {
        let story = self.own_story(id, user)?;
        match &story.state {
            StoryState::Approved { .. } | StoryState::Scheduled { .. } => {}
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(wrong_state(story)),
        }
        if publish_at <= turn.at || publish_at > turn.at.plus(limits::SCHEDULE_AHEAD_MAX) {
            return Err(Rejection::new(Code::ValidationFailed, "plan a time within the next year")
                .with_fields(vec!["publishAt".to_owned()]));
        }
        self.check_publishable(story)?;
        self.drop_schedule(id);
        self.deadlines.add(publish_at, DueKind::Publish(id));
        self.change_story(id, |story| {
            story.state =
                StoryState::Scheduled { publish_at, zone: zone.clone(), is_overdue: false };
            story.changed_at = turn.at;
        });
        Ok(Accepted::Done)
    }

    pub(super) fn unschedule_story(&mut self, turn: &Turn, user: UserId, id: StoryId) -> Answer {
        let story = self.own_story(id, user)?;
        if !matches!(story.state, StoryState::Scheduled { .. }) {
            return Err(wrong_state(story));
        }
        self.drop_schedule(id);
        self.change_story(id, |story| {
            story.state = StoryState::Approved { approved_at: turn.at };
            story.changed_at = turn.at;
        });
        Ok(Accepted::Done)
    }

    /// The planned time has come. What cannot be shown now stays, and its maker is told.
    pub(crate) fn publish_due(&mut self, turn: &mut Turn, id: StoryId, due: Timestamp) {
        let Some(story) = self.stories.get(&id).cloned() else { return };
        let is_due = match &story.state {
            StoryState::Scheduled { publish_at, .. } => *publish_at == due,
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => false,
        };
        if !is_due {
            return;
        }
        match self.check_publishable(&story) {
            Ok(()) => self.list_story(turn, id),
            Err(rejection) => {
                self.change_story(id, |story| {
                    if let StoryState::Scheduled { is_overdue, .. } = &mut story.state {
                        *is_overdue = true;
                    }
                });
                let mut notice = about(story.maker, NoticeKind::StoryNotPublished);
                notice.story = Some(id);
                notice.text = Some(rejection.detail);
                self.notify(turn, notice);
            }
        }
    }

    pub(super) fn list_story(&mut self, turn: &mut Turn, id: StoryId) {
        self.change_story(id, |story| {
            story.state = StoryState::Listed { listed_at: turn.at };
            story.published = Some(story.version);
            story.offers.clear();
            story.changed_at = turn.at;
        });
        let Some(maker) = self.stories.get(&id).map(|story| story.maker) else { return };
        self.tell_listed(turn, id);
        let mut notice = about(maker, NoticeKind::StoryPublished);
        notice.story = Some(id);
        self.notify(turn, notice);
    }

    /// Tells everybody what the story shows now.
    pub(super) fn tell_listed(&self, turn: &mut Turn, id: StoryId) {
        let Some(story) = self.stories.get(&id) else { return };
        let maker_handle =
            self.accounts.account(story.maker).and_then(|account| account.handle.clone());
        turn.events.push(PublicEvent::StoryListed {
            story: id,
            maker: story.maker,
            maker_handle,
            contents: Box::new(story.contents.clone()),
        });
    }

    pub(crate) fn sell_story(&mut self, turn: &mut Turn, id: StoryId) {
        self.change_story(id, |story| {
            if let StoryState::TakenDown { sold_at, auction, .. } = &mut story.state {
                *sold_at = Some(turn.at);
                *auction = None;
            } else {
                story.state = StoryState::Sold { sold_at: turn.at };
            }
            story.changed_at = turn.at;
        });
        self.drop_review(id);
        turn.events.push(PublicEvent::StorySold { story: id });
    }

    /// A sold piece is to be had again: its sale was undone.
    pub(crate) fn list_again(&mut self, turn: &mut Turn, id: StoryId) {
        let is_sold = self.stories.get(&id).is_some_and(|story| {
            matches!(
                story.state,
                StoryState::Sold { .. } | StoryState::TakenDown { sold_at: Some(_), .. }
            )
        });
        if is_sold {
            self.relist_story(id);
            turn.events.push(PublicEvent::StoryRelisted { story: id });
        }
    }

    /// The story takes offers again, in a new cycle; one that is taken down stays so.
    pub(crate) fn relist_story(&mut self, id: StoryId) {
        let at = self.at;
        self.change_story(id, |story| {
            if let StoryState::TakenDown { sold_at, auction, .. } = &mut story.state {
                *sold_at = None;
                *auction = None;
            } else {
                story.state = StoryState::Listed { listed_at: at };
            }
            story.offers.clear();
            story.changed_at = at;
        });
    }

    pub(crate) fn archive_story(&mut self, turn: &mut Turn, user: UserId, id: StoryId) -> Answer {
        let story = self.own_story(id, user)?;
        let was_listed = match &story.state {
            StoryState::Draft
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Scheduled { .. } => false,
            StoryState::Listed { .. } => true,
            StoryState::Live { auction } => {
                return Err(Rejection::new(Code::AuctionActive, "an auction is open")
                    .with_auction(*auction));
            }
            StoryState::Submitted { .. }
            | StoryState::Sold { .. }
            | StoryState::TakenDown { .. }
            | StoryState::Archived { .. } => return Err(wrong_state(story)),
        };
        self.drop_schedule(id);
        self.drop_review(id);
        self.change_story(id, |story| {
            story.state = StoryState::Archived { archived_at: turn.at };
            story.changed_at = turn.at;
        });
        if was_listed {
            turn.events.push(PublicEvent::StoryHidden { story: id });
        }
        Ok(Accepted::Done)
    }
}
