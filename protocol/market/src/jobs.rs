//! Which transcode job a worker gets, and what becomes of one that fails.
//!
//! ```text
//!  1  what has waited for JOB_PATIENCE, oldest first
//!  2  clips of a live auction, then of a listed story, then the rest
//!  3  the maker for whom workers did least lately
//!  4  of one maker the shortest clip, then the oldest
//! ```
//! A job that failed pauses, and goes to a worker that has not failed at it: while such a one is
//! known the others stand back, for a while. All of it since rules 4; before, jobs went oldest
//! first. It must not know codecs or files. Read next: `media.rs` for leases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairground_types::command::{FailedJob, JOBS_RULES, JobFault};
use fairground_types::limits;
use fairground_types::{
    Accepted, AssetId, Code, EdgeId, Millis, Rejection, StoryId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::apply::{Answer, Turn};
use crate::cow_map::CowMap;
use crate::media::{Asset, Job};
use crate::story::StoryState;
use crate::{JobRow, Market};

/// Makers whose share is remembered; one that would be beyond takes the place of what is least.
const SHARES_MAX: usize = 4_096;

/// What is remembered of jobs beside their assets.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Jobs {
    /// Jobs that an attempt failed at and that are not done.
    tried: CowMap<AssetId, Arc<Tried>>,
    /// What workers did for each maker.
    shares: BTreeMap<UserId, Share>,
    /// When each worker last had a word about a job of its own.
    workers: BTreeMap<EdgeId, Timestamp>,
}

/// Attempts that failed.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Tried {
    /// Failed attempts by weight; since an operator had the job done again.
    strikes: u32,
    /// Nobody gets it before.
    ready_at: Timestamp,
    /// Who failed.
    workers: BTreeSet<EdgeId>,
    /// Why it failed last.
    reason: String,
    /// What the tool wrote then.
    detail: String,
}

/// Length of the clips that workers took on for a maker, as of `at`; halved as time goes by.
#[derive(Clone, Copy, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Share {
    spent: Millis,
    at: Timestamp,
}

impl Share {
    fn as_of(self, at: Timestamp) -> Self {
        let life = limits::JOB_SHARE_HALF_LIFE.as_millis();
        let lives = at.since(self.at).as_millis().checked_div(life).unwrap_or(0);
        let shift = u32::try_from(lives).unwrap_or(u32::MAX);
        let spent = Millis::new(self.spent.as_millis().checked_shr(shift).unwrap_or(0));
        // By whole lives, or who is served often would never be forgiven.
        Self { spent, at: self.at.plus(Millis::new(lives.saturating_mul(life))) }
    }
}

/// How an attempt ended without a result.
pub(crate) struct Failure<'a> {
    pub(crate) worker: &'a EdgeId,
    pub(crate) reason: &'a str,
    pub(crate) detail: &'a str,
    /// For how many attempts it counts.
    pub(crate) weight: u32,
    /// Whether the job waits before it is tried again.
    pub(crate) pauses: bool,
    pub(crate) is_final: bool,
}

impl<'a> Failure<'a> {
    /// As a worker reported it.
    pub(crate) fn reported(worker: &'a EdgeId, failed: &'a FailedJob) -> Self {
        let (weight, is_final) = match failed.fault {
            JobFault::Worker | JobFault::Tool => (1, false),
            JobFault::Poison => (2, false),
            JobFault::Clip => (1, true),
        };
        let FailedJob { reason, detail, .. } = failed;
        Self { worker, reason, detail, weight, pauses: true, is_final }
    }
}

impl Jobs {
    fn heard(&mut self, worker: &EdgeId, at: Timestamp) {
        self.workers.retain(|_, heard| heard.plus(limits::WORKER_KNOWN) > at);
        self.workers.insert(worker.clone(), at);
    }

    fn charge(&mut self, maker: UserId, spent: Millis, at: Timestamp) {
        let share = self.shares.get(&maker).copied().unwrap_or(Share { spent: Millis::ZERO, at });
        let share = share.as_of(at);
        self.shares.insert(maker, Share { spent: share.spent.plus(spent), ..share });
        if self.shares.len() > SHARES_MAX {
            let least = self.shares.iter().min_by_key(|(_, share)| share.as_of(at).spent);
            if let Some(least) = least.map(|(maker, _)| *maker) {
                self.shares.remove(&least);
            }
        }
    }

    pub(crate) fn spent(&self, maker: UserId, at: Timestamp) -> Millis {
        self.shares.get(&maker).map_or(Millis::ZERO, |share| share.as_of(at).spent)
    }

    /// From when on a worker may have a job.
    fn ready_for(&self, worker: &EdgeId, id: AssetId, at: Timestamp) -> Timestamp {
        let Some(tried) = self.tried.get(&id) else { return Timestamp::EPOCH };
        if !tried.workers.contains(worker) {
            return tried.ready_at;
        }
        let is_other_known = self.workers.iter().any(|(other, heard)| {
            heard.plus(limits::WORKER_KNOWN) > at && !tried.workers.contains(other)
        });
        let wait =
            if is_other_known { limits::JOB_OTHERS_FIRST } else { limits::JOB_OTHERS_UNKNOWN };
        tried.ready_at.plus(wait)
    }

    /// Writes a failure down; `before` attempts were begun before rules 4 knew them. Answers
    /// whether that was the last attempt.
    fn failed(&mut self, id: AssetId, before: u32, failure: &Failure<'_>, at: Timestamp) -> bool {
        let first = || Arc::new(Tried { strikes: before, ..Tried::default() });
        let mut tried = self.tried.get(&id).cloned().unwrap_or_else(first);
        let row = Arc::make_mut(&mut tried);
        row.strikes = row.strikes.saturating_add(failure.weight);
        let doubled = 1_u64.checked_shl(row.strikes.saturating_sub(1)).unwrap_or(u64::MAX);
        let pause = Millis::new(limits::JOB_PAUSE.as_millis().saturating_mul(doubled));
        let pause = if failure.pauses { pause.min(limits::JOB_PAUSE_MAX) } else { Millis::ZERO };
        row.ready_at = at.plus(pause);
        row.workers.insert(failure.worker.clone());
        row.reason = head(failure.reason, limits::JOB_DETAIL_MAX).to_owned();
        row.detail = tail(failure.detail, limits::JOB_DETAIL_MAX).to_owned();
        let is_over = row.strikes >= limits::TRANSCODE_ATTEMPTS_MAX;
        self.tried.insert(id, tried);
        is_over
    }

    /// A job is done: nothing has to be remembered.
    pub(crate) fn done(&mut self, id: AssetId) {
        self.tried.remove(&id);
    }
}

/// The first bytes of a text, at most so many.
fn head(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// The last bytes of a text, at most so many.
fn tail(text: &str, bytes_max: usize) -> &str {
    let from = text.len().saturating_sub(bytes_max);
    let start = (from..=text.len()).find(|start| text.is_char_boundary(*start));
    start.and_then(|start| text.get(start..)).unwrap_or_default()
}

impl Market {
    /// Whether the rules in force remember attempts and share workers out.
    #[must_use]
    pub const fn shares_workers(&self) -> bool {
        self.rules_version >= JOBS_RULES
    }

    /// A worker had a word about a job of its own.
    pub(crate) fn worker_heard(&mut self, worker: &EdgeId, at: Timestamp) {
        if self.shares_workers() {
            self.jobs.heard(worker, at);
        }
    }

    /// A worker takes a job on.
    pub(crate) fn job_begins(&mut self, worker: &EdgeId, id: AssetId, at: Timestamp) {
        let clip = self.assets.get(&id).map(|asset| (asset.owner, asset.duration));
        if let Some((owner, duration)) = clip.filter(|_| self.shares_workers()) {
            self.jobs.charge(owner, duration, at);
            self.jobs.heard(worker, at);
        }
    }

    /// An attempt failed. Answers whether it was the last.
    pub(crate) fn job_failed(&mut self, id: AssetId, failure: &Failure<'_>, at: Timestamp) -> bool {
        let attempts = self.assets.get(&id).map_or(0, |asset| asset.attempts);
        if !self.shares_workers() {
            return attempts >= limits::TRANSCODE_ATTEMPTS_MAX;
        }
        if failure.pauses {
            // Whose lease ran out was not heard.
            self.jobs.heard(failure.worker, at);
        }
        self.jobs.failed(id, attempts.saturating_sub(1), failure, at)
    }

    /// The job in the queue that a worker gets at `at`.
    pub(crate) fn next_job(&self, worker: &EdgeId, at: Timestamp) -> Option<(Timestamp, AssetId)> {
        if !self.shares_workers() {
            return self.queue.first().copied();
        }
        let is_ready = |id: &AssetId| self.jobs.ready_for(worker, *id, at) <= at;
        let oldest = self.queue.iter().find(|(_, id)| is_ready(id))?;
        if oldest.0.plus(limits::JOB_PATIENCE) <= at {
            return Some(*oldest);
        }
        let mut shown: BTreeMap<UserId, BTreeMap<AssetId, u8>> = BTreeMap::new();
        let ready = self.queue.iter().filter(|(_, id)| is_ready(id));
        let ready = ready.filter_map(|(since, id)| Some((*since, self.assets.get(id)?)));
        let ranked = ready.map(|(since, asset)| {
            let rank = if asset.is_whole() {
                let of_maker = shown.entry(asset.owner);
                let of_maker = of_maker.or_insert_with(|| self.shown_clips(asset.owner));
                of_maker.get(&asset.asset).copied().unwrap_or(NOT_SHOWN)
            } else {
                // No story can be shown with it.
                NOT_SHOWN
            };
            let spent = self.jobs.spent(asset.owner, at);
            (rank, spent, asset.owner, asset.duration, since, asset.asset)
        });
        ranked.min().map(|(.., since, id)| (since, id))
    }

    /// Clips in the stories of a maker that people see, by how much they are wanted.
    fn shown_clips(&self, maker: UserId) -> BTreeMap<AssetId, u8> {
        let mut clips = BTreeMap::new();
        let from = (maker, StoryId::from_bits(0));
        let own = self.by_maker.iter_from(from).take_while(|((owner, _), ())| *owner == maker);
        for story in own.filter_map(|((_, id), ())| self.stories.get(id)) {
            let rank: u8 = match &story.state {
                StoryState::Live { .. } => 0,
                StoryState::Listed { .. } => 1,
                StoryState::Draft
                | StoryState::Submitted { .. }
                | StoryState::Rejected { .. }
                | StoryState::Approved { .. }
                | StoryState::Scheduled { .. }
                | StoryState::Sold { .. }
                | StoryState::TakenDown { .. }
                | StoryState::Archived { .. } => continue,
            };
            for clip in &story.contents.clips {
                let known = clips.entry(clip.asset_id).or_insert(rank);
                *known = rank.min(*known);
            }
        }
        clips
    }

    /// An admin has a failed job done again, as if it had not been tried; whoever failed at it
    /// still stands back.
    pub(crate) fn requeue_job(&mut self, turn: &Turn, id: AssetId) -> Answer {
        if !self.shares_workers() {
            let why = "the rules in force know no such command";
            return Err(Rejection::new(Code::InvalidState, why));
        }
        let Some(asset) = self.assets.get_mut(&id) else {
            return Err(Rejection::new(Code::NotFound, "no such asset"));
        };
        match asset.job {
            Job::Failed { .. } => {}
            Job::Queued | Job::Leased { .. } | Job::Done => {
                return Err(Rejection::new(Code::InvalidState, "only a failed job is done again"));
            }
        }
        Arc::make_mut(asset).job = Job::Queued;
        let mut tried = self.jobs.tried.get(&id).cloned().unwrap_or_default();
        let row = Arc::make_mut(&mut tried);
        (row.strikes, row.ready_at) = (0, turn.at);
        self.jobs.tried.insert(id, tried);
        self.queue.insert((turn.at, id));
        Ok(Accepted::Done)
    }

    /// Transcode jobs as one worker should see them: those that are leased, and those in the queue
    /// that it would get at `at`, oldest first; at most 512.
    #[must_use]
    pub fn jobs_for(&self, worker: &EdgeId, at: Timestamp) -> Vec<JobRow> {
        let mut rows = self.open_jobs();
        rows.retain(|row| {
            row.edge.is_some() || self.jobs.ready_for(worker, row.asset_id, at) <= at
        });
        for row in &mut rows {
            // For operators; a worker asks often.
            row.detail = None;
        }
        rows
    }

    /// What a row of a job says about its failed attempts.
    pub(crate) fn show_attempts(&self, asset: &Asset, row: &mut JobRow) {
        let Some(tried) = self.jobs.tried.get(&asset.asset) else { return };
        row.strikes = tried.strikes;
        row.failed_workers = tried.workers.iter().cloned().collect();
        row.detail = Some(tried.detail.clone()).filter(|detail| !detail.is_empty());
        if row.reason.is_none() && !tried.reason.is_empty() {
            row.reason = Some(tried.reason.clone());
        }
        row.ready_at = match asset.job {
            Job::Queued => Some(tried.ready_at),
            Job::Leased { .. } | Job::Done | Job::Failed { .. } => None,
        };
    }
}

/// Rank of a clip that no visible story shows.
const NOT_SHOWN: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_halves_with_time_however_often_it_is_looked_at() {
        let begun = Timestamp::from_unix_millis(1_000_000);
        let mut share = Share { spent: Millis::from_secs(64), at: begun };
        let ten = Millis::from_mins(10);
        for _ in 0..12 {
            share = share.as_of(share.at.plus(ten)).as_of(share.at.plus(ten));
        }
        assert_eq!(share.spent, Millis::from_secs(64), "as_of of its own date changes nothing");
        let mut now = begun;
        for _ in 0..12 {
            now = now.plus(ten);
            share = share.as_of(now);
        }
        assert_eq!(share.spent, Millis::from_secs(16), "two hours by steps of ten minutes");
        assert_eq!(share.as_of(now.plus(Millis::from_hours(900))).spent, Millis::ZERO);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((head("abc", 9), tail("abc", 9)), ("abc", "abc"));
        assert_eq!((head("a\u{e9}b", 2), tail("a\u{e9}b", 2)), ("a", "b"));
        assert_eq!((head("", 2), tail("", 2)), ("", ""));
    }
}
