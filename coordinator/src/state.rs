//! What this member knows: the market as applied here, and the newest entries it was made from.
//!
//! ```text
//!  state machine --write--> market --read--> sessions, reads, effects, console
//!                     \---> backlog: what each entry published, for feeds and verdicts
//!                     \---> digests: the running digest at each index
//! ```
//! Only the state machine writes (`raft/state_machine.rs`); everybody else reads and waits. Locks
//! are held for one closure and never across an await.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fairground_market::{Applied, Market};
use fairground_seam::watch;
use fairground_types::limits::FEED_BACKLOG_MAX;
use fairground_types::{Digest, LogIndex, Millis, Timestamp};
use tokio::time::Instant;

/// What one entry did, as sessions need it.
pub(crate) type Published = Arc<Applied>;

/// How far this member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Newest Raft entry that is applied, blank and membership entries among them.
    pub(crate) raft: u64,
    /// Newest market entry that is applied.
    pub(crate) index: LogIndex,
    /// Its log time.
    pub(crate) at: Timestamp,
}

/// Entries after a position, or the fact that they are not remembered.
pub(crate) enum Since {
    /// In order; empty when there is nothing newer.
    Entries(Vec<Published>),
    /// Start from a snapshot.
    TooOld,
}

/// The applied state of this member.
pub(crate) struct State {
    market: RwLock<Market>,
    backlog: RwLock<Backlog>,
    position: watch::Sender<Position>,
    /// How far the test clock of a sandbox was moved, in milliseconds.
    clock_offset: AtomicU64,
    /// Looks at every entry right after it was applied here.
    #[cfg(feature = "sim")]
    observer: std::sync::OnceLock<crate::sim::Observer>,
}

#[derive(Default)]
struct Backlog {
    /// Every market entry above this index is in `entries`.
    covered: LogIndex,
    entries: VecDeque<Published>,
    digests: VecDeque<(LogIndex, Digest)>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            market: RwLock::new(Market::default()),
            backlog: RwLock::default(),
            position: watch::Sender::new(Position::default()),
            clock_offset: AtomicU64::new(0),
            #[cfg(feature = "sim")]
            observer: std::sync::OnceLock::new(),
        }
    }

    /// A state that shows every applied entry to `observer`.
    #[cfg(feature = "sim")]
    pub(crate) fn observed(observer: crate::sim::Observer) -> Self {
        let state = Self::new();
        // There is none yet.
        let _ = state.observer.set(observer);
        state
    }

    /// Shows an entry that was just published to the observer.
    #[cfg(feature = "sim")]
    pub(crate) fn observe(&self, entry: &fairground_types::command::Entry, index: LogIndex) {
        let Some((observer, applied)) = self.observer.get().zip(self.published(index)) else {
            return;
        };
        let digest = self.digest().map(|(_, digest)| digest);
        self.read(|market| {
            observer(&crate::sim::Seen { index, entry, applied: &applied, market, digest });
        });
    }

    /// Reads the market.
    pub(crate) fn read<R>(&self, reader: impl FnOnce(&Market) -> R) -> R {
        reader(&read(&self.market))
    }

    /// How far this member is.
    pub(crate) fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// How far log time is ahead of the members' clocks: nothing but in a sandbox.
    pub(crate) fn clock_offset(&self) -> Millis {
        Millis::new(self.clock_offset.load(Ordering::Acquire))
    }

    /// Wakes with every applied entry.
    pub(crate) fn watch(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// Waits until the market entry `index` is applied here; says whether it is.
    pub(crate) async fn wait_for(&self, index: LogIndex, until: Instant) -> bool {
        let mut position = self.position.subscribe();
        let wait = position.wait_for(|position| position.raft >= index.0);
        matches!(tokio::time::timeout_at(until, wait).await, Ok(Ok(_)))
    }

    /// At most `max` entries after `index`.
    pub(crate) fn since(&self, index: LogIndex, max: usize) -> Since {
        let backlog = read(&self.backlog);
        if index < backlog.covered {
            return Since::TooOld;
        }
        let first = backlog.entries.partition_point(|entry| entry.index <= index);
        Since::Entries(backlog.entries.iter().skip(first).take(max).cloned().collect())
    }

    /// What one entry did, when it is remembered.
    pub(crate) fn published(&self, index: LogIndex) -> Option<Published> {
        let backlog = read(&self.backlog);
        let position = backlog.entries.binary_search_by_key(&index, |entry| entry.index).ok()?;
        backlog.entries.get(position).cloned()
    }

    /// The newest running digest and its index.
    pub(crate) fn digest(&self) -> Option<(LogIndex, Digest)> {
        read(&self.backlog).digests.back().copied()
    }

    /// The running digest after the entry `index`.
    pub(crate) fn digest_at(&self, index: LogIndex) -> Option<Digest> {
        let backlog = read(&self.backlog);
        let position = backlog.digests.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        backlog.digests.get(position).map(|(_, digest)| *digest)
    }

    /// Changes the market; for the state machine alone.
    pub(crate) fn write<R>(&self, writer: impl FnOnce(&mut Market) -> R) -> R {
        writer(&mut write(&self.market))
    }

    /// Publishes what an entry did; for the state machine alone.
    pub(crate) fn publish(&self, applied: Applied, digest: Digest) {
        let mut backlog = write(&self.backlog);
        if backlog.entries.len() >= FEED_BACKLOG_MAX
            && let Some(oldest) = backlog.entries.pop_front()
        {
            backlog.covered = oldest.index;
        }
        let index = applied.index;
        backlog.entries.push_back(Arc::new(applied));
        backlog.remember(index, digest);
    }

    /// Keeps a digest for an entry that did not touch the market.
    pub(crate) fn remember_digest(&self, index: LogIndex, digest: Digest) {
        write(&self.backlog).remember(index, digest);
    }

    /// Tells everybody how far this member is.
    pub(crate) fn announce(&self, raft: u64) {
        let (index, at, offset) =
            self.read(|market| (market.last_index(), market.last_at(), market.clock_offset()));
        self.clock_offset.store(offset.as_millis(), Ordering::Release);
        self.position.send_replace(Position { raft, index, at });
    }

    /// Starts over from a snapshot; for the state machine alone.
    pub(crate) fn replace(&self, market: Market, digest: Digest, raft: u64) {
        let covered = market.last_index();
        *write(&self.market) = market;
        let mut backlog = write(&self.backlog);
        *backlog = Backlog { covered, ..Backlog::default() };
        backlog.remember(LogIndex(raft), digest);
        drop(backlog);
        self.announce(raft);
    }
}

impl Backlog {
    fn remember(&mut self, index: LogIndex, digest: Digest) {
        if self.digests.len() >= FEED_BACKLOG_MAX {
            self.digests.pop_front();
        }
        self.digests.push_back((index, digest));
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
