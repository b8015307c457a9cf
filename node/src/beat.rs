//! Beats: this edge's promise and condition to every member, coordinator time and the other edges
//! back.
//!
//! ```text
//!   schedule --content--> speak(m1), speak(m2), speak(m3)      each sets its own t0 as it writes
//!       ^                     |
//!       next close in the     +--- answers: clock, leader, directory
//!       view, half a second
//! ```
//! It must not decide anything; the estimator of `fairground_wire` does. Read next: `clock.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fairground_seam::link::{RecvStream, SendStream};
use fairground_seam::watch;
use fairground_types::journal::Mark;
use fairground_types::limits::BEAT_PERIOD;
use fairground_types::{EdgeId, MemberId};
use fairground_wire::message::{BeatDown, BeatUp, EdgeStatus, StreamKind};
use fairground_wire::session::beat::{BeatDue, BeatSchedule, Heard};

use crate::edge::Edge;
use crate::link::{LinkError, Live, chain, stream};
use crate::metrics;

const PAUSE: Duration = Duration::from_millis(200);

/// What the next beat says; `t0` is added by who writes it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    mark: Option<Mark>,
    status: EdgeStatus,
}

/// The other edges, as the members last told.
#[derive(Default)]
pub(crate) struct Directory(RwLock<BTreeMap<EdgeId, EdgeStatus>>);

impl Directory {
    fn replace(&self, rows: Vec<EdgeStatus>) {
        let rows = rows.into_iter().map(|row| (row.edge.clone(), row)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    /// Whether an edge fits.
    pub(crate) fn any(&self, fits: impl Fn(&EdgeStatus) -> bool) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().any(fits)
    }

    /// Every edge, this one as it is now.
    pub(crate) fn rows(&self, own: EdgeStatus) -> Vec<EdgeStatus> {
        let mut rows = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        rows.insert(own.edge.clone(), own);
        rows.into_values().collect()
    }
}

/// Decides when to beat and what to say, until shutdown.
pub(crate) async fn schedule(edge: Arc<Edge>, beats: watch::Sender<Option<Content>>) {
    let mut schedule = BeatSchedule::new();
    let mut position = edge.view.position();
    loop {
        let now = edge.time.monotonic().as_millis();
        let earliest = edge.time.interval().map(|stamp| stamp.earliest);
        let promised = schedule.promised();
        // Who promises nothing has nothing to say the sooner for a close.
        let next_close = promises(&edge).then(|| {
            edge.view.read(|view| {
                let closes = view.open_auctions().map(|auction| auction.closes_at);
                closes.filter(|at| *at > promised).min()
            })
        });
        let next_close = next_close.flatten();
        match schedule.due(now, earliest, next_close) {
            BeatDue::Now => {
                let mark =
                    earliest.filter(|_| promises(&edge)).map(|at| edge.intake.journal.mark(at));
                schedule.sent(now, mark);
                beats.send_replace(Some(Content { mark, status: edge.status() }));
            }
            BeatDue::In(wait) => {
                tokio::select! {
                    biased;
                    () = edge.shutdown.wait() => return,
                    () = tokio::time::sleep(wait.to_duration()) => {}
                    // A new or a moved close may be due earlier.
                    _ = position.changed() => {}
                }
            }
        }
    }
}

fn promises(edge: &Edge) -> bool {
    edge.options.takes_bids
        && edge.intake.is_checked.load(Ordering::Acquire)
        && !edge.intake.needs_new_identity.load(Ordering::Acquire)
}

/// Keeps one beat stream to every connected member, until shutdown.
pub(crate) async fn keep_streams(edge: Arc<Edge>, beats: watch::Receiver<Option<Content>>) {
    let mut changes = edge.links.changes();
    let mut speaking: BTreeMap<MemberId, usize> = BTreeMap::new();
    loop {
        let live = edge.links.candidates();
        speaking.retain(|member, id| {
            live.iter().any(|live| live.member == *member && live.connection.stable_id() == *id)
        });
        for live in live {
            let id = live.connection.stable_id();
            if speaking.insert(live.member, id) != Some(id) {
                let speak = speak(Arc::clone(&edge), live, beats.clone());
                edge.tasks.spawn("beat", speak);
            }
        }
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Beats over one connection for as long as it lives.
async fn speak(edge: Arc<Edge>, live: Live, beats: watch::Receiver<Option<Content>>) {
    loop {
        let beating = async {
            let (send, receive) = live.open(StreamKind::Beat).await?;
            tokio::select! {
                biased;
                ended = write(&edge, send, beats.clone()) => ended,
                ended = read(&edge, receive) => ended,
            }
        };
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            ended = beating => if let Err(error) = ended {
                tracing::debug!(member = %live.member, error = %chain(&error), "beats ended");
            },
        }
        if live.connection.close_reason().is_some() {
            return;
        }
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn write(
    edge: &Edge,
    mut send: SendStream,
    mut beats: watch::Receiver<Option<Content>>,
) -> Result<(), LinkError> {
    beats.mark_changed();
    loop {
        if beats.changed().await.is_err() {
            return Ok(());
        }
        let Some(Content { mark, status }) = beats.borrow_and_update().clone() else { continue };
        let t0 = edge.time.departs();
        let beat = BeatUp { t0, edge: edge.id.clone(), mark, status };
        let sent = stream::send(&mut send, &beat);
        // A member that takes no beat for so long is not listening.
        let sent = tokio::time::timeout(BEAT_PERIOD.to_duration().saturating_mul(6), sent).await;
        sent.map_err(|_| LinkError::Timeout)??;
    }
}

async fn read(edge: &Edge, mut receive: RecvStream) -> Result<(), LinkError> {
    loop {
        let answer: BeatDown = stream::expect(&mut receive).await?;
        let heard = edge.time.answered(&answer);
        match heard {
            Heard::Dropped => continue,
            Heard::Fault => {
                metrics::clock_fault();
                tracing::warn!(term = answer.term, "beat answers contradict each other");
            }
            Heard::NewTerm => tracing::info!(term = answer.term, "a term begins"),
            Heard::Recovered => tracing::info!("beat answers agree again"),
            Heard::Agreed => {}
        }
        if answer.leader.is_some() {
            edge.links.set_leader(answer.leader);
        }
        if let Some(rows) = answer.directory {
            edge.directory.replace(rows);
        }
    }
}
