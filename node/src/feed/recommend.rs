//! The recommender: a port with a deadline, and the one that needs nobody else.
//!
//! Whoever sorts gets 150 ms in all and two tries; then the feed is what is trending. Read next:
//! `rank.rs`.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use fairground_types::StoryId;
use fairground_types::command::FeedAlgorithm;

use super::rank::{Ask, rank};

/// How long sorting may take, all tries together.
const DEADLINE: Duration = Duration::from_millis(150);
const TRIES: u32 = 2;

/// Sorted ids, some time later; none when it cannot sort.
pub(super) type Sorting<'a> = Pin<Box<dyn Future<Output = Option<Vec<StoryId>>> + Send + 'a>>;

/// Sorts feeds by what their readers like.
pub(super) trait Recommender: Send + Sync {
    /// Sorts.
    fn sort<'a>(&'a self, ask: &'a Ask) -> Sorting<'a>;
}

/// Sorts in this process.
#[derive(Debug)]
pub(super) struct LocalRecommender;

impl Recommender for LocalRecommender {
    fn sort<'a>(&'a self, ask: &'a Ask) -> Sorting<'a> {
        Box::pin(async move { Some(rank(ask)) })
    }
}

/// Sorts a feed, whatever becomes of the recommender.
pub(super) async fn recommend(recommender: &dyn Recommender, mut ask: Ask) -> Vec<StoryId> {
    if ask.algorithm != FeedAlgorithm::Personalized {
        return rank(&ask);
    }
    let trying = async {
        for _ in 0..TRIES {
            if let Some(sorted) = recommender.sort(&ask).await {
                return Some(sorted);
            }
        }
        None
    };
    let reason = match tokio::time::timeout(DEADLINE, trying).await {
        Ok(Some(sorted)) => return sorted,
        Ok(None) => "it cannot sort",
        Err(_) => "it took too long",
    };
    tracing::warn!(reason, "recommender failed, the feed is what is trending");
    ask.algorithm = FeedAlgorithm::Trending;
    rank(&ask)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU32, Ordering};

    use fairground_types::{LogIndex, Timestamp, UserId};

    use super::*;
    use crate::feed::rank::{Candidate, Taste};

    fn ask() -> Ask {
        let now = Timestamp::from_unix_millis(1_790_000_000_000);
        let row = |number: u64, heat| Candidate {
            story: StoryId::from_bits(number.into()),
            maker: UserId::from_bits(number.into()),
            tags: BTreeSet::new(),
            heat,
            listed_at: now,
            listed_index: LogIndex(number),
        };
        Ask {
            algorithm: FeedAlgorithm::Personalized,
            tags: BTreeSet::new(),
            taste: Taste::default(),
            candidates: vec![row(1, 5), row(2, 50)],
            now,
            seed: 1,
        }
    }

    struct Broken(AtomicU32);

    impl Recommender for Broken {
        fn sort<'a>(&'a self, _: &'a Ask) -> Sorting<'a> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { None })
        }
    }

    struct Silent;

    impl Recommender for Silent {
        fn sort<'a>(&'a self, _: &'a Ask) -> Sorting<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_recommender_that_fails_or_hangs_falls_back_to_trending() {
        let trending = [StoryId::from_bits(2), StoryId::from_bits(1)];
        let broken = Broken(AtomicU32::new(0));
        assert_eq!(recommend(&broken, ask()).await, trending);
        assert_eq!(broken.0.load(Ordering::Relaxed), TRIES);
        let began = tokio::time::Instant::now();
        assert_eq!(recommend(&Silent, ask()).await, trending);
        assert!(began.elapsed() >= DEADLINE);
        assert_eq!(recommend(&LocalRecommender, ask()).await.len(), 2);
    }
}
