//! The feed: built here from the replica, sorted once a session, paged without surprises.
//!
//! ```text
//!  first page --> profile (cluster, a second old at most) + listed stories (replica)
//!                   --> recommender, 150 ms, two tries --late or broken--> trending
//!                   --> session: the sorted ids, ten minutes
//!  next pages --> the same ids, without what was sold, hidden or blocked since
//!  interactions --> signals of the reader (here), views per story (shipped in batches)
//! ```
//! What is remembered of readers is bounded and lost with the process: it sorts, it decides nothing.
//! Read next: `rank.rs` for the order, `crate::http::feed` for the API.

pub(crate) mod rank;
mod recommend;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fairground_market::{PublicView, StoryStatus, StoryView};
use fairground_types::command::FeedPreferences;
use fairground_types::text::Category;
use fairground_types::{Millis, StoryId, Timestamp, UserId};
use fairground_wire::message::{ForwardRequest, ReadRequest};
use quick_cache::sync::Cache;
use serde::Deserialize;

use crate::edge::Edge;
use crate::http::typed_read;
use rank::{Ask, Candidate, InteractionKind, SIGNALS_MAX, Taste};
use recommend::{LocalRecommender, Recommender};
use views::ViewBuffer;

pub(crate) use views::ship;

/// Life of a session after its last page.
pub(crate) const SESSION_LIFE: Millis = Millis::from_mins(10);
/// Sessions that are remembered; the ones that end first go first.
const SESSIONS_MAX: usize = 2_000;
/// Readers whose interactions are remembered.
const READERS_MAX: usize = 20_000;
/// Stories that one reader does not want to see again.
const UNWANTED_MAX: usize = 200;
/// How old a profile may be: blocked makers are gone within it.
const PROFILE_AGE_MAX: Millis = Millis::from_secs(1);

/// What the cluster knows about a reader.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    pub(crate) preferences: FeedPreferences,
    /// Accounts that the reader has blocked altogether.
    pub(crate) blocked: Vec<UserId>,
    pub(crate) following: Vec<UserId>,
    pub(crate) liked: Vec<StoryId>,
}

impl Profile {
    /// Makers whose stories the reader never sees.
    pub(crate) fn blocked_makers(&self) -> BTreeSet<UserId> {
        self.preferences.blocked_makers.iter().chain(&self.blocked).copied().collect()
    }
}

/// What a reader did at this edge.
#[derive(Clone, Debug, Default)]
struct Reader {
    signals: VecDeque<(InteractionKind, StoryId)>,
    unwanted: VecDeque<StoryId>,
}

/// One sorted feed.
#[derive(Clone, Debug)]
struct Session {
    ranked: Arc<Vec<StoryId>>,
    ends_at: Timestamp,
}

/// What the feed remembers.
pub(crate) struct Feed {
    sessions: Mutex<BTreeMap<String, Session>>,
    made: AtomicU64,
    readers: Cache<UserId, Arc<Mutex<Reader>>>,
    profiles: Cache<UserId, (Timestamp, Arc<Profile>)>,
    recommender: Box<dyn Recommender>,
    pub(crate) views: ViewBuffer,
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that holds it can leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Mutex::new(BTreeMap::new()),
            made: AtomicU64::new(0),
            readers: Cache::new(READERS_MAX),
            profiles: Cache::new(READERS_MAX),
            recommender: Box::new(LocalRecommender),
            views: ViewBuffer::default(),
        }
    }

    /// Keeps a sorted feed; answers its name.
    fn begin(&self, ranked: Vec<StoryId>, now: Timestamp) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut seed = now.as_unix_millis().to_le_bytes().to_vec();
        seed.extend_from_slice(&number.to_le_bytes());
        let name = blake3::derive_key("fairground 2026 feed session v1", &seed);
        let name = blake3::Hash::from_bytes(name).to_hex().chars().take(32).collect::<String>();
        let mut sessions = unpoisoned(&self.sessions);
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, session| session.ends_at > now);
        }
        if sessions.len() >= SESSIONS_MAX {
            let first = sessions.iter().min_by_key(|(_, session)| session.ends_at);
            if let Some(first) = first.map(|(name, _)| name.clone()) {
                sessions.remove(&first);
            }
        }
        let session = Session { ranked: Arc::new(ranked), ends_at: now.plus(SESSION_LIFE) };
        sessions.insert(name.clone(), session);
        name
    }

    /// The ids of a session that lives; it lives on.
    pub(crate) fn session(&self, name: &str, now: Timestamp) -> Option<Arc<Vec<StoryId>>> {
        let mut sessions = unpoisoned(&self.sessions);
        let session = sessions.get_mut(name).filter(|session| session.ends_at > now)?;
        session.ends_at = now.plus(SESSION_LIFE);
        Some(Arc::clone(&session.ranked))
    }

    /// Notes what a reader did. A first look counts for the story.
    pub(crate) fn note(&self, user: UserId, kind: InteractionKind, story: StoryId) {
        let known = self.readers.get_or_insert_with(&user, || {
            Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Reader::default())))
        });
        let Ok(reader) = known;
        let mut reader = unpoisoned(&reader);
        let is_look = matches!(kind, InteractionKind::View | InteractionKind::Complete);
        let was_seen = reader.signals.iter().any(|(before, seen)| {
            *seen == story && matches!(before, InteractionKind::View | InteractionKind::Complete)
        });
        if is_look && !was_seen {
            self.views.add(story, 1);
        }
        if kind == InteractionKind::NotInterested {
            reader.unwanted.push_back(story);
            while reader.unwanted.len() > UNWANTED_MAX {
                reader.unwanted.pop_front();
            }
        }
        reader.signals.push_back((kind, story));
        while reader.signals.len() > SIGNALS_MAX {
            reader.signals.pop_front();
        }
    }

    /// Forgets what was read of a profile, so that a change is seen at once.
    pub(crate) fn forget_profile(&self, user: UserId) {
        self.profiles.remove(&user);
    }

    fn taste(&self, view: &PublicView, user: UserId, profile: &Profile) -> Taste {
        let reader = self.readers.get(&user);
        let reader = reader.map(|reader| unpoisoned(&reader).clone()).unwrap_or_default();
        let liked = profile.liked.iter().map(|story| (InteractionKind::Like, *story));
        let signals = liked
            .chain(reader.signals)
            .filter_map(|(kind, story)| {
                let row = view.story(story)?;
                Some((kind, tags_of(row), row.maker))
            })
            .collect();
        Taste {
            signals,
            preferred_tags: profile.preferences.preferred_tags.clone(),
            blocked: profile.blocked_makers(),
            following: profile.following.iter().copied().collect(),
            unwanted: reader.unwanted.into_iter().collect(),
        }
    }
}

/// What the cluster knows about a reader, a second old at most; what is known here while the cluster
/// cannot be asked.
pub(crate) async fn profile(edge: &Edge, user: UserId) -> Arc<Profile> {
    let now = edge.time.now();
    let known = edge.feed.profiles.get(&user);
    if let Some((at, profile)) = &known
        && now.since(*at) <= PROFILE_AGE_MAX
    {
        return Arc::clone(profile);
    }
    let read = ForwardRequest::Read(ReadRequest::FeedProfile { user });
    match typed_read::<Profile>(edge, &read).await {
        Ok(profile) => {
            let profile = Arc::new(profile);
            edge.feed.profiles.insert(user, (now, Arc::clone(&profile)));
            profile
        }
        Err(_) => known.map(|(_, profile)| profile).unwrap_or_default(),
    }
}

/// Whether a story may be in a feed at all.
pub(crate) fn is_shown(row: &StoryView) -> bool {
    match row.status {
        StoryStatus::Listed | StoryStatus::Live => true,
        StoryStatus::Sold => false,
    }
}

fn tags_of(row: &StoryView) -> BTreeSet<Category> {
    let mut tags: BTreeSet<Category> = row.contents.tags.iter().cloned().collect();
    tags.insert(row.contents.category.clone());
    tags
}

/// What a request asks for.
pub(crate) struct Wanted {
    pub(crate) algorithm: fairground_types::command::FeedAlgorithm,
    pub(crate) tags: BTreeSet<Category>,
    /// The reader, with what the cluster knows; a guest has none.
    pub(crate) reader: Option<(UserId, Arc<Profile>)>,
}

/// Sorts a feed and keeps it as a session.
pub(crate) async fn begin(edge: &Edge, wanted: Wanted) -> (String, Arc<Vec<StoryId>>) {
    let now = edge.time.now();
    let ask = edge.view.read(|view| {
        let playable = |row: &StoryView| {
            let primary = row.contents.clips.first();
            primary.is_some_and(|clip| view.asset(clip.asset_id).is_some())
        };
        let candidates = view
            .stories()
            .filter(|row| is_shown(row) && playable(row))
            .map(|row| Candidate {
                story: row.story,
                maker: row.maker,
                tags: tags_of(row),
                heat: row.heat(now),
                listed_at: row.listed_at,
                listed_index: row.listed_index,
            })
            .collect();
        let taste = wanted
            .reader
            .as_ref()
            .map(|(user, profile)| edge.feed.taste(view, *user, profile))
            .unwrap_or_default();
        Ask {
            algorithm: wanted.algorithm,
            tags: wanted.tags,
            taste,
            candidates,
            now,
            seed: edge.feed.made.load(Ordering::Relaxed),
        }
    });
    let ranked = recommend::recommend(edge.feed.recommender.as_ref(), ask).await;
    let name = edge.feed.begin(ranked, now);
    let ranked = edge.feed.session(&name, now).unwrap_or_default();
    (name, ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

    #[test]
    fn a_session_keeps_its_order_until_it_ends() {
        let feed = Feed::new();
        let ids: Vec<StoryId> = (1..=5).map(StoryId::from_bits).collect();
        let name = feed.begin(ids.clone(), NOW);
        assert_eq!(name.len(), 32);
        assert_eq!(*feed.session(&name, NOW).expect("lives"), ids);
        assert!(feed.session(&name, NOW.plus(SESSION_LIFE)).is_none());
        assert!(feed.session("other", NOW).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_go_first() {
        let feed = Feed::new();
        let first = feed.begin(vec![], NOW);
        for step in 1..=u64::try_from(SESSIONS_MAX).expect("small") {
            feed.begin(vec![], NOW.plus(Millis::new(step)));
        }
        assert!(feed.session(&first, NOW.plus(Millis::from_secs(10))).is_none());
        assert_eq!(unpoisoned(&feed.sessions).len(), SESSIONS_MAX);
    }

    #[test]
    fn a_look_counts_once_for_one_reader() {
        let feed = Feed::new();
        let (user, story) = (UserId::from_bits(1), StoryId::from_bits(2));
        for kind in [InteractionKind::View, InteractionKind::View, InteractionKind::Complete] {
            feed.note(user, kind, story);
        }
        feed.note(UserId::from_bits(3), InteractionKind::View, story);
        let counts = feed.views.take();
        assert_eq!(counts.iter().map(|count| count.views).collect::<Vec<_>>(), [2]);
    }
}
