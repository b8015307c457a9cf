//! How a feed is sorted: a pure function of what is listed, what its reader did, and the time.
//!
//! ```text
//!  score = 3 tag affinity + 3 maker affinity + 2 log of trending + 2 freshness   (90 %)
//!        + exploration, the same for one session                                 (10 %)
//! ```
//! Every part is 0 to 1000. Freshness halves in a day. Nothing about prices, bids or auctions goes
//! in, and nothing comes out. At most two stories in a row are of one maker while another maker has
//! one left; every tenth place is for a new maker. It must not read a clock. Read next: `mod.rs`.

use std::collections::{BTreeMap, BTreeSet};

use fairground_types::command::FeedAlgorithm;
use fairground_types::text::Category;
use fairground_types::{LogIndex, StoryId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// Interactions of one reader that count.
pub(crate) const SIGNALS_MAX: usize = 100;
/// Tags of one reader that count.
const TOP_TAGS: usize = 10;
/// Stories that one session can show.
pub(crate) const RANKED_MAX: usize = 500;
/// Stories in a row of one maker.
const RUN_MAX: usize = 2;
/// One place in so many is for a new maker.
const EXPLORE_EACH: usize = 10;
/// A maker whose first story is younger than this is new, milliseconds.
const NEW_MAKER_MS: u64 = 14 * 24 * 3_600_000;
const DAY_MS: u64 = 24 * 3_600_000;

/// What somebody did with a story.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub(crate) enum InteractionKind {
    /// Looked at it.
    View,
    /// Liked it.
    Like,
    /// Shared it.
    Share,
    /// Said something about it.
    Comment,
    /// Follows its maker.
    Follow,
    /// Watched it to the end.
    Complete,
    /// Went on at once.
    Skip,
    /// Does not want to see it again.
    NotInterested,
}

impl InteractionKind {
    const fn weight(self) -> i64 {
        match self {
            Self::Complete => 5,
            Self::Comment | Self::Share => 4,
            Self::Like | Self::Follow => 3,
            Self::View => 1,
            Self::Skip | Self::NotInterested => -1,
        }
    }
}

/// A story that may be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) story: StoryId,
    pub(crate) maker: UserId,
    /// Its category and tags.
    pub(crate) tags: BTreeSet<Category>,
    /// How wanted it was in the last 24 hours.
    pub(crate) heat: u64,
    pub(crate) listed_at: Timestamp,
    pub(crate) listed_index: LogIndex,
}

/// What is known of a reader.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Taste {
    /// Newest interactions, at most [`SIGNALS_MAX`], with the tags and maker of their story.
    pub(crate) signals: Vec<(InteractionKind, BTreeSet<Category>, UserId)>,
    pub(crate) preferred_tags: BTreeSet<Category>,
    pub(crate) blocked: BTreeSet<UserId>,
    pub(crate) following: BTreeSet<UserId>,
    /// Stories that the reader does not want to see again.
    pub(crate) unwanted: BTreeSet<StoryId>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) algorithm: FeedAlgorithm,
    /// Only stories with one of these; all when empty.
    pub(crate) tags: BTreeSet<Category>,
    pub(crate) taste: Taste,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) now: Timestamp,
    /// Fixes what exploration shows.
    pub(crate) seed: u64,
}

/// Sorts what may be shown.
pub(crate) fn rank(ask: &Ask) -> Vec<StoryId> {
    let taste = &ask.taste;
    let is_wanted = |row: &&Candidate| {
        !taste.blocked.contains(&row.maker)
            && !taste.unwanted.contains(&row.story)
            && (ask.tags.is_empty() || !ask.tags.is_disjoint(&row.tags))
            && (ask.algorithm != FeedAlgorithm::Following || taste.following.contains(&row.maker))
    };
    let mut rows: Vec<&Candidate> = ask.candidates.iter().filter(is_wanted).collect();
    let newest = |row: &&Candidate| std::cmp::Reverse((row.listed_index, row.story));
    match ask.algorithm {
        FeedAlgorithm::Newest | FeedAlgorithm::Following => rows.sort_by_key(newest),
        FeedAlgorithm::Trending => {
            rows.sort_by_key(|row| (std::cmp::Reverse(row.heat), newest(row)));
        }
        FeedAlgorithm::Personalized => {
            let affinity = Affinity::of(taste);
            rows.sort_by_cached_key(|row| {
                (std::cmp::Reverse(affinity.score(row, ask)), newest(row))
            });
        }
    }
    let explores = ask.algorithm == FeedAlgorithm::Personalized;
    let new_makers = if explores { new_makers(ask) } else { BTreeSet::new() };
    spread(rows, &new_makers)
}

/// Makers all of whose stories are young.
fn new_makers(ask: &Ask) -> BTreeSet<UserId> {
    let mut oldest: BTreeMap<UserId, Timestamp> = BTreeMap::new();
    for row in &ask.candidates {
        let first = oldest.entry(row.maker).or_insert(row.listed_at);
        *first = (*first).min(row.listed_at);
    }
    let is_new = |at: Timestamp| ask.now.since(at).as_millis() < NEW_MAKER_MS;
    oldest.into_iter().filter(|(_, at)| is_new(*at)).map(|(maker, _)| maker).collect()
}

/// Keeps runs of one maker short and every tenth place for a new one.
fn spread(rows: Vec<&Candidate>, new_makers: &BTreeSet<UserId>) -> Vec<StoryId> {
    let mut rest: Vec<&Candidate> = rows;
    let mut shown: Vec<&Candidate> = Vec::new();
    while !rest.is_empty() && shown.len() < RANKED_MAX {
        let tail = shown.iter().rev().take(RUN_MAX);
        let makers: BTreeSet<UserId> = tail.map(|row| row.maker).collect();
        let run = if shown.len() >= RUN_MAX && makers.len() == 1 { makers.first() } else { None };
        let may_follow = |row: &&Candidate| run != Some(&row.maker);
        let is_turn = (shown.len() + 1).is_multiple_of(EXPLORE_EACH);
        let explored = rest
            .iter()
            .position(|row| is_turn && may_follow(row) && new_makers.contains(&row.maker));
        // Where only one maker is left, a long run is better than an empty page.
        let next = explored.or_else(|| rest.iter().position(may_follow)).unwrap_or(0);
        shown.push(rest.remove(next));
    }
    shown.into_iter().map(|row| row.story).collect()
}

struct Affinity<'a> {
    tags: BTreeMap<&'a Category, i64>,
    makers: BTreeMap<UserId, i64>,
    preferred: &'a BTreeSet<Category>,
}

impl<'a> Affinity<'a> {
    fn of(taste: &'a Taste) -> Self {
        let mut tags: BTreeMap<&Category, i64> = BTreeMap::new();
        let mut makers: BTreeMap<UserId, i64> = BTreeMap::new();
        for (kind, of, maker) in taste.signals.iter().rev().take(SIGNALS_MAX) {
            for tag in of {
                *tags.entry(tag).or_default() += kind.weight();
            }
            *makers.entry(*maker).or_default() += kind.weight();
        }
        let mut best: Vec<(&Category, i64)> = tags.into_iter().collect();
        best.sort_by_key(|(tag, weight)| (std::cmp::Reverse(*weight), *tag));
        best.truncate(TOP_TAGS);
        for maker in &taste.following {
            *makers.entry(*maker).or_default() += InteractionKind::Follow.weight();
        }
        Self { tags: best.into_iter().collect(), makers, preferred: &taste.preferred_tags }
    }

    fn score(&self, row: &Candidate, ask: &Ask) -> i64 {
        let liked: i64 = row.tags.iter().filter_map(|tag| self.tags.get(tag)).sum();
        let asked = if self.preferred.is_disjoint(&row.tags) { 0 } else { 500 };
        let tags = (liked * 20 + asked).clamp(-1_000, 1_000);
        let maker = (self.makers.get(&row.maker).copied().unwrap_or(0) * 40).clamp(-1_000, 1_000);
        let known = 3 * tags + 3 * maker + 2 * trending(row.heat) + 2 * freshness(row, ask.now);
        // A tenth is chance.
        known * 9 / 100 + explored(ask.seed, row.story)
    }
}

/// 0 to 1000 by powers of two.
fn trending(heat: u64) -> i64 {
    let steps = heat.saturating_add(1).ilog2().min(20);
    i64::from(steps) * 50
}

/// 1000 for a new story, half of it a day later; straight lines between the halves.
fn freshness(row: &Candidate, now: Timestamp) -> i64 {
    let age = now.since(row.listed_at).as_millis();
    let days = age / DAY_MS;
    if days >= 10 {
        return 0;
    }
    let from = 1_000_u64 >> days;
    let fallen = from / 2 * (age % DAY_MS) / DAY_MS;
    i64::try_from(from - fallen).unwrap_or(0)
}

/// 0 to 99, the same for one session and story.
fn explored(seed: u64, story: StoryId) -> i64 {
    let mut bytes = [0_u8; 24];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&story.to_bits().to_le_bytes());
    i64::from(blake3::hash(&bytes).as_bytes()[0]) * 99 / 255
}

#[cfg(test)]
mod tests {
    use fairground_types::Millis;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

    fn tag(name: &str) -> Category {
        Category::parse(name).expect("a tag")
    }

    fn candidate(number: u64, maker: u128, heat: u64, hours: u64) -> Candidate {
        Candidate {
            story: StoryId::from_bits(number.into()),
            maker: UserId::from_bits(maker),
            tags: BTreeSet::from([tag(if number.is_multiple_of(2) { "wood" } else { "clay" })]),
            heat,
            listed_at: NOW.minus(Millis::from_hours(hours)),
            listed_index: LogIndex(number),
        }
    }

    fn ask(algorithm: FeedAlgorithm, candidates: Vec<Candidate>) -> Ask {
        let (tags, taste) = (BTreeSet::new(), Taste::default());
        Ask { algorithm, tags, taste, candidates, now: NOW, seed: 7 }
    }

    fn numbers(ranked: &[StoryId]) -> Vec<u128> {
        ranked.iter().map(|story| story.to_bits()).collect()
    }

    #[test]
    fn trending_goes_by_the_last_day_and_newest_by_the_log() {
        let rows = vec![candidate(1, 1, 5, 1), candidate(2, 2, 9, 2), candidate(3, 3, 5, 3)];
        assert_eq!(numbers(&rank(&ask(FeedAlgorithm::Trending, rows.clone()))), [2, 3, 1]);
        assert_eq!(numbers(&rank(&ask(FeedAlgorithm::Newest, rows))), [3, 2, 1]);
    }

    #[test]
    fn what_a_reader_finished_comes_before_what_a_reader_skipped() {
        let rows: Vec<Candidate> = (1..=8).map(|n| candidate(n, n.into(), 0, 24)).collect();
        let mut asked = ask(FeedAlgorithm::Personalized, rows);
        let other = UserId::from_bits(99);
        for _ in 0..5 {
            let wood = BTreeSet::from([tag("wood")]);
            let clay = BTreeSet::from([tag("clay")]);
            asked.taste.signals.push((InteractionKind::Complete, wood, other));
            asked.taste.signals.push((InteractionKind::Skip, clay, other));
        }
        let first: Vec<u128> = numbers(&rank(&asked)).into_iter().take(4).collect();
        assert!(first.iter().all(|number| number % 2 == 0), "{first:?}");
    }

    #[test]
    fn following_shows_followed_makers_alone_and_tags_filter() {
        let rows: Vec<Candidate> = (1..=6).map(|n| candidate(n, n.into(), 0, 1)).collect();
        let mut asked = ask(FeedAlgorithm::Following, rows);
        asked.taste.following = [UserId::from_bits(2), UserId::from_bits(5)].into();
        assert_eq!(numbers(&rank(&asked)), [5, 2]);
        asked.algorithm = FeedAlgorithm::Newest;
        asked.tags = [tag("clay")].into();
        assert_eq!(numbers(&rank(&asked)), [5, 3, 1]);
    }

    #[test]
    fn a_new_maker_gets_every_tenth_place() {
        let mut rows: Vec<Candidate> =
            (1..=30).map(|n| candidate(n, u128::from(n % 7), 1_000_000, 24 * 30)).collect();
        rows.push(Candidate { heat: 0, ..candidate(99, 50, 0, 24 * 13) });
        let mut asked = ask(FeedAlgorithm::Personalized, rows);
        asked.taste.signals =
            vec![(InteractionKind::Skip, BTreeSet::new(), UserId::from_bits(50)); 50];
        let ranked = numbers(&rank(&asked));
        assert!(ranked.iter().take(10).any(|number| *number == 99), "{ranked:?}");
    }

    #[test]
    fn freshness_halves_in_a_day() {
        let of = |hours| freshness(&candidate(1, 1, 0, hours), NOW);
        assert_eq!((of(0), of(12), of(24), of(48), of(240)), (1_000, 750, 500, 250, 0));
    }

    proptest! {
        /// Whatever is listed and whatever a reader did: the order is a function of its inputs, holds
        /// every wanted story once, no blocked or unwanted one, and no third story in a row of one
        /// maker while another maker has one left.
        #[test]
        fn any_feed_is_deterministic_complete_and_mixed(
            makers in prop::collection::vec((0_u128..5, 0_u64..1_000, 0_u64..500), 0..60),
            blocked in 0_u128..6,
            unwanted in 1_u64..60,
            which in 0_usize..3,
            seed in any::<u64>(),
        ) {
            let algorithm = [
                FeedAlgorithm::Personalized, FeedAlgorithm::Trending, FeedAlgorithm::Newest,
            ][which];
            let rows: Vec<Candidate> = makers
                .iter()
                .zip(1..)
                .map(|((maker, heat, hours), number)| candidate(number, *maker, *heat, *hours))
                .collect();
            let maker_of: BTreeMap<StoryId, UserId> =
                rows.iter().map(|row| (row.story, row.maker)).collect();
            let mut asked = Ask { seed, ..ask(algorithm, rows) };
            asked.taste.blocked = [UserId::from_bits(blocked)].into();
            asked.taste.unwanted = [StoryId::from_bits(unwanted.into())].into();
            let ranked = rank(&asked);
            prop_assert_eq!(&ranked, &rank(&asked));
            let shown: BTreeSet<StoryId> = ranked.iter().copied().collect();
            prop_assert_eq!(shown.len(), ranked.len());
            for (story, maker) in &maker_of {
                let is_wanted = *maker != UserId::from_bits(blocked)
                    && *story != StoryId::from_bits(unwanted.into());
                prop_assert_eq!(shown.contains(story), is_wanted);
            }
            for (place, run) in ranked.windows(3).enumerate() {
                let makers: BTreeSet<UserId> = run.iter().map(|story| maker_of[story]).collect();
                let rest = &ranked[place + 2..];
                let is_alone = rest.iter().all(|story| makers.contains(&maker_of[story]));
                prop_assert!(makers.len() > 1 || is_alone);
            }
        }
    }
}
