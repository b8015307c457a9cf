//! Stories: drafts, their review, and their way to being sold.
//!
//! ```text
//!  Draft -> Submitted -> Approved -> Listed <-> Live -> Sold
//!              |  ^
//!              v  | at most three times
//!           Rejected
//! ```
//! It must not know bytes of media: an asset is an id with a revision. Read next: `offer.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::command::{ReviewDecision, SaveDraft, StoryDraft};
use fairground_types::limits;
use fairground_types::text::Note;
use fairground_types::{
    Accepted, AuctionId, Code, Currency, PublicEvent, Rejection, StoryId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::NoticeKind;
use crate::notice::about;

/// Stories of one maker.
const STORIES_PER_MAKER_MAX: usize = 1_000;

/// A story.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Story {
    pub(crate) story: StoryId,
    pub(crate) maker: UserId,
    pub(crate) version: u64,
    pub(crate) contents: StoryDraft,
    pub(crate) state: StoryState,
    pub(crate) resubmissions: u32,
    pub(crate) auction_seq: u32,
    /// Offers per buyer in this listing cycle.
    pub(crate) offers: BTreeMap<UserId, u32>,
    pub(crate) changed_at: Timestamp,
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
            Self::Listed { .. } => "listed",
            Self::Live { .. } => "live",
            Self::Sold { .. } => "sold",
        }
    }

    /// Whether everybody may see the story.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        match self {
            Self::Draft
            | Self::Submitted { .. }
            | Self::Rejected { .. }
            | Self::Approved { .. } => false,
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

    /// Version of its contents, from 1.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Its contents.
    #[must_use]
    pub const fn contents(&self) -> &StoryDraft {
        &self.contents
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &StoryState {
        &self.state
    }
}

/// One unit of a currency: no listing asks for less.
fn offer_floor(currency: Currency) -> u64 {
    // The limit is written for two digits after the mark.
    let digits = currency.exponent();
    limits::OFFER_FLOOR_MINOR.saturating_mul(10_u64.saturating_pow(digits)) / 100
}

fn incomplete(detail: &str) -> Rejection {
    Rejection::new(Code::StoryIncomplete, detail)
}

fn wrong_state(story: &Story) -> Rejection {
    Rejection::new(Code::InvalidState, format!("the story is {}", story.state.name()))
}

impl Market {
    pub(crate) fn change_story(&mut self, id: StoryId, change: impl FnOnce(&mut Story)) {
        if let Some(story) = self.stories.get_mut(&id) {
            change(Arc::make_mut(story));
        }
    }

    fn own_story(&self, id: StoryId, user: UserId) -> Result<&Story, Rejection> {
        // A story of somebody else is hidden while it is not listed, and not changed ever.
        self.stories
            .get(&id)
            .filter(|story| story.maker == user)
            .map(AsRef::as_ref)
            .ok_or_else(|| Rejection::new(Code::NotFound, "no such story"))
    }

    pub(crate) fn save_draft(&mut self, turn: &Turn, user: UserId, save: &SaveDraft) -> Answer {
        if save.draft.clips.len() > limits::CLIPS_PER_STORY_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "a story has at most 7 clips"));
        }
        let Some(base_version) = save.base_version else {
            return self.new_story(turn, user, save);
        };
        let story = self.own_story(save.story, user)?;
        if story.version != base_version {
            return Err(Rejection::new(Code::DraftConflict, "the draft was changed elsewhere"));
        }
        let state = match &story.state {
            StoryState::Draft | StoryState::Approved { .. } => StoryState::Draft,
            StoryState::Rejected { notes } => StoryState::Rejected { notes: notes.clone() },
            StoryState::Submitted { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. } => return Err(wrong_state(story)),
        };
        let version = story.version.saturating_add(1);
        self.change_story(save.story, |story| {
            story.version = version;
            story.contents = save.draft.clone();
            story.state = state;
            story.changed_at = turn.at;
        });
        Ok(Accepted::StorySaved { story: save.story, version })
    }

    fn new_story(&mut self, turn: &Turn, user: UserId, save: &SaveDraft) -> Answer {
        if self.stories.contains_key(&save.story) {
            return Err(Rejection::new(Code::DraftConflict, "the story exists"));
        }
        let own = self.stories.values().filter(|story| story.maker == user).count();
        if own >= STORIES_PER_MAKER_MAX {
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
        };
        self.stories.insert(save.story, Arc::new(story));
        Ok(Accepted::StorySaved { story: save.story, version: 1 })
    }

    pub(crate) fn submit_story(&mut self, turn: &Turn, user: UserId, id: StoryId) -> Answer {
        let story = self.own_story(id, user)?;
        let resubmissions = match &story.state {
            StoryState::Draft => story.resubmissions,
            StoryState::Rejected { .. } => story.resubmissions.saturating_add(1),
            StoryState::Submitted { .. }
            | StoryState::Approved { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. } => return Err(wrong_state(story)),
        };
        self.check_complete(story)?;
        if resubmissions > limits::RESUBMISSIONS_MAX {
            return Err(Rejection::new(Code::ResubmitLimit, "the story was refused too often"));
        }
        self.change_story(id, |story| {
            story.resubmissions = resubmissions;
            story.state = StoryState::Submitted { submitted_at: turn.at };
            story.changed_at = turn.at;
        });
        Ok(Accepted::Done)
    }

    fn check_complete(&self, story: &Story) -> Result<(), Rejection> {
        let contents = &story.contents;
        if !(1..=limits::CLIPS_PER_STORY_MAX).contains(&contents.clips.len()) {
            return Err(incomplete("a story has one to seven clips"));
        }
        for clip in &contents.clips {
            let asset = self.assets.get(&clip.asset_id).filter(|asset| asset.owner == story.maker);
            let Some(asset) = asset else {
                return Err(incomplete("a clip is not an upload of the maker"));
            };
            if asset.revision == 0 {
                return Err(incomplete("a clip cannot be played yet"));
            }
        }
        let minimum = contents.minimum_offer;
        if minimum.minor() < offer_floor(minimum.currency())
            || minimum.minor() > limits::AMOUNT_CEILING_MINOR
        {
            return Err(incomplete("the minimum offer is out of range"));
        }
        Ok(())
    }

    pub(crate) fn review_story(
        &mut self,
        turn: &mut Turn,
        reviewer: Option<UserId>,
        id: StoryId,
        decision: &ReviewDecision,
    ) -> Answer {
        let missing = || Rejection::new(Code::NotFound, "no such story");
        let story = self.stories.get(&id).ok_or_else(missing)?;
        if reviewer == Some(story.maker) {
            return Err(Rejection::new(Code::Forbidden, "nobody reviews an own story"));
        }
        match &story.state {
            StoryState::Submitted { .. } => {}
            StoryState::Draft
            | StoryState::Rejected { .. }
            | StoryState::Approved { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. } => return Err(wrong_state(story)),
        }
        let maker = story.maker;
        let lists_at_once = story.contents.publish_when_approved;
        let mut notice = about(maker, NoticeKind::StoryApproved);
        notice.story = Some(id);
        match decision {
            ReviewDecision::Approve => {
                self.change_story(id, |story| {
                    story.state = StoryState::Approved { approved_at: turn.at };
                    story.changed_at = turn.at;
                });
                if lists_at_once {
                    self.list_story(turn, id);
                }
            }
            ReviewDecision::Reject { notes } => {
                self.change_story(id, |story| {
                    story.state = StoryState::Rejected { notes: notes.clone() };
                    story.changed_at = turn.at;
                });
                notice.kind = NoticeKind::StoryRejected;
                notice.text = Some(notes.as_str().to_owned());
            }
        }
        self.notify(turn, notice);
        Ok(Accepted::Done)
    }

    pub(crate) fn publish_story(&mut self, turn: &mut Turn, user: UserId, id: StoryId) -> Answer {
        let story = self.own_story(id, user)?;
        match &story.state {
            StoryState::Approved { .. } => {}
            StoryState::Draft
            | StoryState::Submitted { .. }
            | StoryState::Rejected { .. }
            | StoryState::Listed { .. }
            | StoryState::Live { .. }
            | StoryState::Sold { .. } => return Err(wrong_state(story)),
        }
        self.list_story(turn, id);
        Ok(Accepted::Done)
    }

    fn list_story(&mut self, turn: &mut Turn, id: StoryId) {
        self.change_story(id, |story| {
            story.state = StoryState::Listed { listed_at: turn.at };
            story.offers.clear();
            story.changed_at = turn.at;
        });
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
            story.state = StoryState::Sold { sold_at: turn.at };
            story.changed_at = turn.at;
        });
        turn.events.push(PublicEvent::StorySold { story: id });
    }

    /// The story takes offers again, in a new cycle.
    pub(crate) fn relist_story(&mut self, id: StoryId) {
        let at = self.at;
        self.change_story(id, |story| {
            story.state = StoryState::Listed { listed_at: at };
            story.offers.clear();
            story.changed_at = at;
        });
    }
}
