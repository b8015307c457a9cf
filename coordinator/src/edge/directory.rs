//! What edges have said lately: their newest marks and how they are. In memory only.
//!
//! Every edge beats to every member, so each member has its own picture; a follower passes beats on
//! as well, so the leader has the marks even of an edge that it cannot reach itself. It must not
//! decide anything: a mark counts in the market, when its tail is applied. Read next: `beat.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairground_types::journal::Mark;
use fairground_types::{EdgeId, Millis};
use fairground_wire::message::{BeatUp, EdgeStatus};
use tokio::sync::Notify;

/// Beats older than this say nothing about now.
const FRESH: Millis = Millis::from_secs(5);

/// The edges, as they beat.
#[derive(Default)]
pub(crate) struct EdgeDirectory {
    heard: Mutex<BTreeMap<EdgeId, Heard>>,
    marked: Notify,
}

#[derive(Default)]
struct Heard {
    mark: Option<Mark>,
    /// The mark that the newest entry of this member carried.
    taken: Option<Mark>,
    status: Option<(EdgeStatus, Millis)>,
    connections: usize,
}

/// An edge's row of this member's directory.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryRow {
    pub(crate) status: EdgeStatus,
    pub(crate) is_fresh: bool,
    pub(crate) is_connected: bool,
}

/// Held while an edge is connected to this member.
pub(crate) struct Connected {
    directory: Arc<EdgeDirectory>,
    edge: EdgeId,
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(heard) = self.directory.lock().get_mut(&self.edge) {
            heard.connections = heard.connections.saturating_sub(1);
        }
    }
}

impl EdgeDirectory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<EdgeId, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection of an edge until the value returned is dropped.
    pub(crate) fn connected(self: &Arc<Self>, edge: &EdgeId) -> Connected {
        let mut heard = self.lock();
        let row = heard.entry(edge.clone()).or_default();
        row.connections = row.connections.saturating_add(1);
        Connected { directory: Arc::clone(self), edge: edge.clone() }
    }

    /// Takes a beat in, at `now` on the monotonic clock.
    pub(crate) fn hear(&self, beat: &BeatUp, now: Millis) {
        let mut heard = self.lock();
        let row = heard.entry(beat.edge.clone()).or_default();
        row.status = Some((beat.status.clone(), now));
        let is_newer = beat.mark.is_some_and(|mark| {
            row.mark.is_none_or(|known| {
                (known.watermark, known.tail.seq) < (mark.watermark, mark.tail.seq)
            })
        });
        if is_newer {
            row.mark = beat.mark;
            drop(heard);
            // One waits, and a mark that comes while it looks must wake it afterwards.
            self.marked.notify_one();
        }
    }

    /// Wakes when a newer mark was heard, also before this was called; for one waiter.
    pub(crate) async fn marked(&self) {
        self.marked.notified().await;
    }

    /// Marks that no entry of this member has carried.
    pub(crate) fn fresh_marks(&self) -> BTreeMap<EdgeId, Mark> {
        let heard = self.lock();
        let fresh = heard.iter().filter(|(_, row)| row.mark != row.taken);
        fresh.filter_map(|(edge, row)| Some((edge.clone(), row.mark?))).collect()
    }

    /// The same, to be put in an entry now.
    pub(crate) fn take_fresh_marks(&self) -> Vec<(EdgeId, Mark)> {
        let mut heard = self.lock();
        let mut marks = Vec::new();
        for (edge, row) in heard.iter_mut() {
            if row.mark != row.taken
                && let Some(mark) = row.mark
            {
                row.taken = Some(mark);
                marks.push((edge.clone(), mark));
            }
        }
        marks
    }

    /// The entry that carried marks may not be in the log: they are fresh again.
    pub(crate) fn forget_taken_marks(&self) {
        for row in self.lock().values_mut() {
            row.taken = None;
        }
    }

    /// How the edges are, heard at `now` or shortly before.
    pub(crate) fn statuses(&self, now: Millis) -> Vec<EdgeStatus> {
        self.rows(now).into_iter().filter(|row| row.is_fresh).map(|row| row.status).collect()
    }

    /// Every edge that has ever beaten here.
    pub(crate) fn rows(&self, now: Millis) -> Vec<DirectoryRow> {
        let heard = self.lock();
        let rows = heard.values().filter_map(|row| {
            let (status, at) = row.status.as_ref()?;
            let age = now.as_millis().saturating_sub(at.as_millis());
            Some(DirectoryRow {
                status: status.clone(),
                is_fresh: age <= FRESH.as_millis(),
                is_connected: row.connections > 0,
            })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use fairground_types::journal::Tail;
    use fairground_types::{LogIndex, Timestamp};

    use super::*;

    fn beat(watermark: u64) -> BeatUp {
        let edge = EdgeId::new("eu-1", 1).expect("valid");
        BeatUp {
            t0: 0,
            edge: edge.clone(),
            mark: Some(Mark {
                watermark: Timestamp::from_unix_millis(watermark),
                tail: Tail::START,
            }),
            status: EdgeStatus {
                edge,
                region: "eu".to_owned(),
                public_url: "http://127.0.0.2".to_owned(),
                serves_video: true,
                takes_bids: true,
                load_permille: 0,
                feed_index: LogIndex(0),
            },
        }
    }

    #[test]
    fn mark_is_carried_once_unless_its_entry_is_lost() {
        let directory = EdgeDirectory::default();
        directory.hear(&beat(10), Millis::ZERO);
        assert_eq!(directory.take_fresh_marks().len(), 1);
        assert!(directory.fresh_marks().is_empty());
        directory.hear(&beat(9), Millis::ZERO);
        assert!(directory.fresh_marks().is_empty());
        directory.forget_taken_marks();
        assert_eq!(directory.fresh_marks().len(), 1);
    }

    #[tokio::test]
    async fn mark_that_comes_while_nobody_waits_is_noticed() {
        let directory = EdgeDirectory::default();
        directory.hear(&beat(10), Millis::ZERO);
        let noticed = tokio::time::timeout(std::time::Duration::from_secs(5), directory.marked());
        noticed.await.expect("noticed");
    }

    #[test]
    fn edge_that_is_silent_leaves_the_list() {
        let directory = EdgeDirectory::default();
        directory.hear(&beat(10), Millis::ZERO);
        assert_eq!(directory.statuses(Millis::from_secs(5)).len(), 1);
        assert!(directory.statuses(Millis::new(5_001)).is_empty());
        assert_eq!(directory.rows(Millis::from_mins(1)).len(), 1);
    }
}
