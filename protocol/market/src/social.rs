//! What people do with stories: likes, saves, watches, share links, reports, feed preferences, views.
//!
//! A row of one person is exact and each person has a bounded number of them; counts are approximate
//! and nothing here is part of a decision about money. It must not know how a feed is sorted. Read
//! next: [`crate::view`] for what edges see of it.

use std::collections::VecDeque;

use fairground_types::command::{
    FeedPreferences, ReportGround, SocialCommand, StoryCounts, ViewCount,
};
use fairground_types::{
    Accepted, AuctionId, Code, Millis, PublicEvent, Rejection, ShareId, StoryId, Timestamp, UserId,
    limits,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::cow_map::CowMap;
use crate::permission::Subject;
use crate::story::Story;

const HOUR: Millis = Millis::from_hours(1);

/// Rows of people about stories and auctions.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Social {
    pub(crate) likes: CowMap<(UserId, StoryId), ()>,
    pub(crate) saves: CowMap<(UserId, StoryId), ()>,
    /// The same rows by story.
    pub(crate) savers: CowMap<(StoryId, UserId), ()>,
    pub(crate) watches: CowMap<(UserId, AuctionId), ()>,
    /// The same rows by auction.
    pub(crate) watchers: CowMap<(AuctionId, UserId), ()>,
    /// How many rows each auction has.
    pub(crate) watched: CowMap<AuctionId, u32>,
    pub(crate) totals: CowMap<UserId, Totals>,
    /// When an account made its links of the last hour.
    pub(crate) shared: CowMap<UserId, VecDeque<Timestamp>>,
    pub(crate) preferences: CowMap<UserId, FeedPreferences>,
}

/// How many rows an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Totals {
    pub(crate) likes: u32,
    pub(crate) saves: u32,
    pub(crate) watches: u32,
}

/// What one account did with one story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewerState {
    /// Whether it likes the story.
    pub liked: bool,
    /// Whether it has saved the story.
    pub saved: bool,
    /// Whether it watches the auction that is open.
    pub watching: bool,
}

/// What an edge needs for the feed of one account.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedProfile {
    /// What the account wants.
    pub preferences: FeedPreferences,
    /// Accounts that it has blocked altogether.
    pub blocked: Vec<UserId>,
    /// Makers that it follows.
    pub following: Vec<UserId>,
    /// Stories that it likes, the newest; at most a page of them.
    pub liked: Vec<StoryId>,
}

/// Stories that an account has saved, and the auctions that it watches.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SavedList {
    /// The stories.
    pub stories: Vec<StoryId>,
    /// The auctions.
    pub auctions: Vec<AuctionId>,
}

fn limit_reached(detail: &str) -> Rejection {
    Rejection::new(Code::LimitReached, detail)
}

impl Market {
    pub(crate) fn run_social(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &SocialCommand,
    ) -> Answer {
        match command {
            SocialCommand::SetLike { story, on } => {
                self.set_like(turn, subject.user()?, *story, *on)
            }
            SocialCommand::SetSave { story, on } => {
                self.set_save(turn, subject.user()?, *story, *on)
            }
            SocialCommand::SetWatch { auction, on } => {
                self.set_watch(turn, subject.user()?, (*auction, *on))
            }
            SocialCommand::ShareStory { share, story, channel: _ } => {
                self.share_story(turn, subject.user()?, *share, *story)
            }
            SocialCommand::ReportStory { story, ground, note: _ } => {
                self.report_story(subject.user()?, *story, *ground)
            }
            SocialCommand::SetFeedPreferences(wanted) => {
                self.set_feed_preferences(subject.user()?, wanted)
            }
            SocialCommand::CountViews { counts } => self.count_views(turn, counts),
        }
    }

    fn seen_story(&self, id: StoryId) -> Result<&Story, Rejection> {
        let story = self.stories.get(&id).filter(|story| story.state.is_public());
        story.map(AsRef::as_ref).ok_or_else(|| Rejection::new(Code::NotFound, "no such story"))
    }

    fn foreign_story(&self, user: UserId, id: StoryId) -> Result<(), Rejection> {
        if self.seen_story(id)?.maker == user {
            return Err(Rejection::new(Code::Forbidden, "the story is your own"));
        }
        Ok(())
    }

    fn totals(&self, user: UserId) -> Totals {
        self.social.totals.get(&user).copied().unwrap_or_default()
    }

    fn count_story(&mut self, turn: &mut Turn, id: StoryId, change: impl FnOnce(&mut StoryCounts)) {
        self.change_story(id, |story| change(&mut story.counts));
        if let Some(story) = self.stories.get(&id) {
            turn.events.push(PublicEvent::StoryCounted { story: id, counts: story.counts });
        }
    }

    fn set_like(&mut self, turn: &mut Turn, user: UserId, id: StoryId, on: bool) -> Answer {
        let has = self.social.likes.contains_key(&(user, id));
        let mut totals = self.totals(user);
        if on && !has {
            self.foreign_story(user, id)?;
            if totals.likes >= limits::LIKES_PER_USER_MAX {
                return Err(limit_reached("you like too many stories"));
            }
            self.social.likes.insert((user, id), ());
            totals.likes = totals.likes.saturating_add(1);
            self.count_story(turn, id, |counts| counts.likes = counts.likes.saturating_add(1));
        } else if !on && has {
            self.social.likes.remove(&(user, id));
            totals.likes = totals.likes.saturating_sub(1);
            self.count_story(turn, id, |counts| counts.likes = counts.likes.saturating_sub(1));
        } else if on {
            self.seen_story(id)?;
        }
        self.social.totals.insert(user, totals);
        Ok(Accepted::Done)
    }

    fn set_save(&mut self, turn: &mut Turn, user: UserId, id: StoryId, on: bool) -> Answer {
        let has = self.social.saves.contains_key(&(user, id));
        let mut totals = self.totals(user);
        if on && !has {
            self.foreign_story(user, id)?;
            if totals.saves >= limits::SAVES_PER_USER_MAX {
                return Err(limit_reached("you have saved too many stories"));
            }
            self.social.saves.insert((user, id), ());
            self.social.savers.insert((id, user), ());
            totals.saves = totals.saves.saturating_add(1);
            self.count_story(turn, id, |counts| counts.saves = counts.saves.saturating_add(1));
        } else if !on && has {
            self.social.saves.remove(&(user, id));
            self.social.savers.remove(&(id, user));
            totals.saves = totals.saves.saturating_sub(1);
            self.count_story(turn, id, |counts| counts.saves = counts.saves.saturating_sub(1));
        } else if on {
            self.seen_story(id)?;
        }
        self.social.totals.insert(user, totals);
        Ok(Accepted::Done)
    }

    fn set_watch(&mut self, turn: &mut Turn, user: UserId, (id, on): (AuctionId, bool)) -> Answer {
        let has = self.social.watches.contains_key(&(user, id));
        let mut totals = self.totals(user);
        if on && !has {
            let auction = self.auctions.get(&id);
            let auction =
                auction.ok_or_else(|| Rejection::new(Code::NotFound, "no such auction"))?;
            if auction.maker == user {
                return Err(Rejection::new(Code::Forbidden, "the auction is your own"));
            }
            if !auction.is_open() {
                return Err(
                    Rejection::new(Code::AuctionClosed, "the auction is closed").with_auction(id)
                );
            }
            if totals.watches >= limits::WATCHES_PER_USER_MAX {
                // Auctions that are over make room.
                totals.watches = self.forget_watches(turn, user);
            }
            if totals.watches >= limits::WATCHES_PER_USER_MAX {
                return Err(limit_reached("you watch too many auctions"));
            }
            self.social.watches.insert((user, id), ());
            self.add_watcher(turn, id, user);
            totals.watches = totals.watches.saturating_add(1);
        } else if !on && has {
            self.social.watches.remove(&(user, id));
            self.remove_watcher(turn, id, user);
            totals.watches = totals.watches.saturating_sub(1);
        }
        self.social.totals.insert(user, totals);
        Ok(Accepted::Done)
    }

    fn add_watcher(&mut self, turn: &mut Turn, id: AuctionId, user: UserId) {
        self.social.watchers.insert((id, user), ());
        let watchers = self.social.watched.get(&id).copied().unwrap_or(0).saturating_add(1);
        self.social.watched.insert(id, watchers);
        turn.events.push(PublicEvent::AuctionWatched { auction: id, watchers });
    }

    fn remove_watcher(&mut self, turn: &mut Turn, id: AuctionId, user: UserId) {
        self.social.watchers.remove(&(id, user));
        let watchers = self.social.watched.get(&id).copied().unwrap_or(0).saturating_sub(1);
        if watchers == 0 {
            self.social.watched.remove(&id);
        } else {
            self.social.watched.insert(id, watchers);
        }
        turn.events.push(PublicEvent::AuctionWatched { auction: id, watchers });
    }

    fn forget_watches(&mut self, turn: &mut Turn, user: UserId) -> u32 {
        let over: Vec<AuctionId> = self
            .watched(user)
            .into_iter()
            .filter(|id| self.auctions.get(id).is_none_or(|auction| !auction.is_open()))
            .collect();
        for auction in over {
            self.social.watches.remove(&(user, auction));
            self.remove_watcher(turn, auction, user);
        }
        u32::try_from(self.watched(user).len()).unwrap_or(u32::MAX)
    }

    /// Accounts that watch an auction.
    pub(crate) fn watchers_of(&self, id: AuctionId) -> impl Iterator<Item = UserId> {
        let rows = self.social.watchers.iter_from((id, UserId::from_bits(0))).map(|(key, ())| *key);
        rows.take_while(move |(auction, _)| *auction == id).map(|(_, user)| user)
    }

    /// Accounts that have saved a story.
    pub(crate) fn savers_of(&self, id: StoryId) -> impl Iterator<Item = UserId> {
        let rows = self.social.savers.iter_from((id, UserId::from_bits(0))).map(|(key, ())| *key);
        rows.take_while(move |(story, _)| *story == id).map(|(_, user)| user)
    }

    fn watched(&self, user: UserId) -> Vec<AuctionId> {
        let from = (user, AuctionId::from_bits(0));
        let rows = self.social.watches.iter_from(from).map(|(key, ())| *key);
        rows.take_while(|(owner, _)| *owner == user).map(|(_, auction)| auction).collect()
    }

    fn share_story(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        share: ShareId,
        id: StoryId,
    ) -> Answer {
        self.seen_story(id)?;
        if self.view.share(share).is_some() {
            return Err(Rejection::new(Code::ValidationFailed, "the link id is taken"));
        }
        let mut made = self.social.shared.get(&user).cloned().unwrap_or_default();
        made.retain(|at| at.plus(HOUR) > turn.at);
        if made.len() >= limits::SHARES_PER_HOUR_MAX {
            let again = made.front().map_or(turn.at, |first| first.plus(HOUR));
            return Err(
                Rejection::new(Code::RateLimited, "too many links in an hour").with_retry_at(again)
            );
        }
        made.push_back(turn.at);
        self.social.shared.insert(user, made);
        let expires_at = turn.at.plus(limits::SHARE_LIFE);
        turn.events.push(PublicEvent::StoryShared { share, story: id, expires_at });
        self.count_story(turn, id, |counts| counts.shares = counts.shares.saturating_add(1));
        Ok(Accepted::StoryShared { share, expires_at })
    }

    fn report_story(&mut self, user: UserId, id: StoryId, ground: ReportGround) -> Answer {
        self.foreign_story(user, id)?;
        self.change_story(id, |story| {
            let has_room = story.reports.len() < limits::REPORTS_PER_STORY_MAX;
            // More reports than these tell moderators nothing new.
            if has_room || story.reports.contains_key(&user) {
                story.reports.insert(user, ground);
            }
        });
        Ok(Accepted::Done)
    }

    fn set_feed_preferences(&mut self, user: UserId, wanted: &FeedPreferences) -> Answer {
        if wanted.blocked_makers.len() > limits::BLOCKED_MAKERS_MAX {
            return Err(limit_reached("a feed leaves out at most 200 makers"));
        }
        if wanted.preferred_tags.len() > limits::PREFERRED_TAGS_MAX {
            return Err(limit_reached("a feed prefers at most 20 tags"));
        }
        self.social.preferences.insert(user, wanted.clone());
        Ok(Accepted::Done)
    }

    fn count_views(&mut self, turn: &mut Turn, counts: &[ViewCount]) -> Answer {
        if counts.len() > limits::VIEW_COUNTS_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "too many stories in one batch"));
        }
        for count in counts {
            let views = u64::from(count.views.min(limits::VIEWS_PER_COUNT_MAX));
            if views > 0 && self.seen_story(count.story).is_ok() {
                self.count_story(turn, count.story, |counts| {
                    counts.views = counts.views.saturating_add(views);
                });
            }
        }
        Ok(Accepted::Done)
    }

    /// What one account did with one story.
    #[must_use]
    pub fn viewer_state(&self, user: UserId, story: StoryId) -> ViewerState {
        let auction = self.view.story(story).and_then(|row| row.auction);
        ViewerState {
            liked: self.social.likes.contains_key(&(user, story)),
            saved: self.social.saves.contains_key(&(user, story)),
            watching: auction.is_some_and(|id| self.social.watches.contains_key(&(user, id))),
        }
    }

    /// What an edge needs for the feed of one account.
    #[must_use]
    pub fn feed_profile(&self, user: UserId) -> FeedProfile {
        let person = self.person(user).ok();
        let from = (user, StoryId::from_bits(0));
        let rows = self.social.likes.iter_from(from).map(|(key, ())| *key);
        let theirs = rows.take_while(|(owner, _)| *owner == user).map(|(_, story)| story);
        FeedProfile {
            preferences: self.social.preferences.get(&user).cloned().unwrap_or_default(),
            blocked: person.map(|row| row.blocks.iter().copied().collect()).unwrap_or_default(),
            following: person.map(|row| row.follows.iter().copied().collect()).unwrap_or_default(),
            liked: theirs.take(limits::PAGE_LONG_MAX).collect(),
        }
    }

    /// What an account has saved and watches.
    #[must_use]
    pub fn saved_of(&self, user: UserId) -> SavedList {
        let from = (user, StoryId::from_bits(0));
        let rows = self.social.saves.iter_from(from).map(|(key, ())| *key);
        let theirs = rows.take_while(|(owner, _)| *owner == user).map(|(_, story)| story);
        SavedList { stories: theirs.collect(), auctions: self.watched(user) }
    }

    /// Accounts that watch an auction and that story's likers agree with their totals.
    pub(crate) fn check_social(&self, broken: &mut Vec<String>) {
        let mut counted: std::collections::BTreeMap<UserId, Totals> = Default::default();
        for ((user, _), ()) in self.social.likes.iter() {
            let totals = counted.entry(*user).or_default();
            totals.likes = totals.likes.saturating_add(1);
        }
        for ((user, _), ()) in self.social.saves.iter() {
            let totals = counted.entry(*user).or_default();
            totals.saves = totals.saves.saturating_add(1);
        }
        for ((user, _), ()) in self.social.watches.iter() {
            let totals = counted.entry(*user).or_default();
            totals.watches = totals.watches.saturating_add(1);
        }
        let is_found = |(auction, user): &(AuctionId, UserId)| {
            self.social.watches.contains_key(&(*user, *auction))
        };
        let mut by_auction: std::collections::BTreeMap<AuctionId, u32> = Default::default();
        for ((auction, _), ()) in self.social.watchers.iter() {
            let count = by_auction.entry(*auction).or_default();
            *count = count.saturating_add(1);
        }
        if self.social.watched.iter().any(|(id, count)| by_auction.get(id) != Some(count))
            || by_auction.len() != self.social.watched.len()
            || self.social.watches.len() != self.social.watchers.len()
            || !self.social.watchers.iter().all(|(key, ())| is_found(key))
        {
            broken.push("watchers are not found by their auction".to_owned());
        }
        let is_saved =
            |(story, user): &(StoryId, UserId)| self.social.saves.contains_key(&(*user, *story));
        if self.social.saves.len() != self.social.savers.len()
            || !self.social.savers.iter().all(|(key, ())| is_saved(key))
        {
            broken.push("who saved a story is not found by the story".to_owned());
        }
        for (user, totals) in self.social.totals.iter() {
            if counted.get(user).copied().unwrap_or_default() != *totals {
                broken.push(format!("rows of {user} are counted wrong"));
            }
        }
        if counted.keys().any(|user| !self.social.totals.contains_key(user)) {
            broken.push("an account has rows that are not counted".to_owned());
        }
    }
}
