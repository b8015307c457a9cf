//! How far transcode jobs are, as their workers tell.
//!
//! ```text
//!  worker -> its member -> leader: ReportProgress each few seconds, kept in memory
//!  any member asked for a clip or for jobs -> leader: ReadProgress
//! ```
//! Nothing of it is in the log: a new leader knows it again by the next report. What is told counts
//! as long as the lease that it was told under is held, and a while at most. It must not decide
//! anything: leases are the market's. Read next: `edge/forward.rs`, `reads.rs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_market::{Asset, AssetRow, JobRow, Market};
use fairground_types::{AssetId, Code, EdgeId, Millis, Rejection, Timestamp};
use fairground_wire::message::{ForwardRequest, ForwardResponse, JobProgress, JobStage};
use serde::{Deserialize, Serialize};

use crate::edge::forward;
use crate::member::Member;

/// What was told longer ago says nothing about now.
const FRESH: Millis = Millis::from_secs(45);
/// Jobs whose progress is held; more than workers that a cluster has.
const HELD_MAX: usize = 1_024;
/// How long a reader waits for the leader's word; the rest of its answer does not need it.
const ASK_WAIT: Duration = Duration::from_secs(1);

/// What this member was told while it led.
#[derive(Default)]
pub(crate) struct Reports {
    held: Mutex<BTreeMap<AssetId, Held>>,
}

struct Held {
    edge: EdgeId,
    fence: u64,
    progress: JobProgress,
    /// When the stage began.
    since: Timestamp,
    /// Monotonic.
    heard_at: Millis,
}

/// How far a job is, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProgressRow {
    pub(crate) asset_id: AssetId,
    /// The worker.
    pub(crate) edge: EdgeId,
    pub(crate) stage: JobStage,
    /// Frames done, over all rungs of the stage.
    pub(crate) done_frames: u64,
    /// Frames to do, over all rungs of the stage.
    pub(crate) total_frames: u64,
    /// Frames done in a thousand seconds, on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fps_milli: Option<u64>,
    /// How long the rest of the stage takes as it goes now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) eta_ms: Option<Millis>,
    /// When the stage began.
    pub(crate) since: Timestamp,
}

/// How far jobs are, from the leader.
#[derive(Serialize, Deserialize)]
struct ProgressList {
    rows: Vec<ProgressRow>,
}

/// A clip of its owner, and how its making goes.
#[derive(Serialize)]
pub(crate) struct AssetWithProgress {
    #[serde(flatten)]
    row: AssetRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressRow>,
}

/// A job, and how it goes.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct JobWithProgress {
    #[serde(flatten)]
    row: JobRow,
    /// As its worker told last; absent when that is too long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressRow>,
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AssetId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a worker told, at `now` and at `monotonic`.
    fn hear(
        &self,
        (edge, asset, fence): (EdgeId, AssetId, u64),
        progress: JobProgress,
        (now, monotonic): (Timestamp, Millis),
    ) {
        let mut held = self.lock();
        let is_newer = held.get(&asset).is_none_or(|known| known.fence <= fence);
        if !is_newer {
            return;
        }
        let since = now.minus(progress.elapsed);
        held.insert(asset, Held { edge, fence, progress, since, heard_at: monotonic });
        if held.len() > HELD_MAX {
            let oldest = held.iter().min_by_key(|(_, row)| row.heard_at).map(|(asset, _)| *asset);
            if let Some(oldest) = oldest {
                held.remove(&oldest);
            }
        }
    }

    /// What was told of the leases that `market` still holds; what is old is forgotten.
    fn rows(&self, market: &Market, asset: Option<AssetId>, monotonic: Millis) -> Vec<ProgressRow> {
        let mut held = self.lock();
        held.retain(|_, row| monotonic.less(row.heard_at) <= FRESH);
        let wanted = held.iter().filter(|(id, _)| asset.is_none_or(|asset| asset == **id));
        let is_leased = |id: &AssetId, row: &Held| {
            market.asset(*id).and_then(Asset::lease) == Some((&row.edge, row.fence))
        };
        wanted.filter(|(id, row)| is_leased(id, row)).map(|(id, row)| row.shown(*id)).collect()
    }
}

impl Held {
    fn shown(&self, asset_id: AssetId) -> ProgressRow {
        ProgressRow {
            asset_id,
            edge: self.edge.clone(),
            stage: self.progress.stage,
            done_frames: self.progress.done_frames,
            total_frames: self.progress.total_frames,
            fps_milli: self.progress.fps_milli(),
            eta_ms: self.progress.eta(),
            since: self.since,
        }
    }
}

/// Takes in a [`ForwardRequest::ReportProgress`]; this member leads.
pub(crate) fn hear(
    member: &Member,
    (edge, asset, fence): (EdgeId, AssetId, u64),
    progress: JobProgress,
) -> ForwardResponse {
    let is_held = member
        .state
        .read(|market| market.asset(asset).and_then(Asset::lease) == Some((&edge, fence)));
    if !is_held {
        let lost = Rejection::new(Code::InvalidState, "the lease is not held any more");
        return ForwardResponse::Rejected(lost);
    }
    let times = (member.now(), member.clock.monotonic());
    member.reports.hear((edge, asset, fence), progress, times);
    ForwardResponse::Json(b"{}".to_vec())
}

/// Answers a [`ForwardRequest::ReadProgress`] from what this member was told itself.
pub(crate) fn told(member: &Member, asset: Option<AssetId>) -> ForwardResponse {
    forward::json(&ProgressList { rows: here(member, asset) })
}

fn here(member: &Member, asset: Option<AssetId>) -> Vec<ProgressRow> {
    let monotonic = member.clock.monotonic();
    member.state.read(|market| member.reports.rows(market, asset, monotonic))
}

/// How far one job is, or all; nothing when the leader does not say in time.
pub(crate) async fn read(member: &Member, asset: Option<AssetId>) -> Vec<ProgressRow> {
    if member.leads() {
        return here(member, asset);
    }
    let request = ForwardRequest::ReadProgress { asset };
    match tokio::time::timeout(ASK_WAIT, forward::pass_on(member, &request)).await {
        Ok(ForwardResponse::Json(bytes)) => match serde_json::from_slice(&bytes) {
            Ok(ProgressList { rows }) => rows,
            Err(error) => {
                tracing::warn!(%error, "progress not read");
                Vec::new()
            }
        },
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// A clip with its progress, while somebody works on it.
pub(crate) async fn with_asset(member: &Member, row: AssetRow) -> AssetWithProgress {
    let asset = row.asset_id;
    let is_leased = member
        .state
        .read(|market| market.asset(asset).is_some_and(|asset| asset.lease().is_some()));
    let progress =
        if is_leased { read(member, Some(asset)).await.into_iter().next() } else { None };
    AssetWithProgress { row, progress }
}

/// Jobs with their progress.
pub(crate) async fn with_jobs(member: &Member, rows: Vec<JobRow>) -> Vec<JobWithProgress> {
    let is_any_leased = rows.iter().any(|row| row.edge.is_some());
    let told = if is_any_leased { read(member, None).await } else { Vec::new() };
    let mut told: BTreeMap<AssetId, ProgressRow> =
        told.into_iter().map(|row| (row.asset_id, row)).collect();
    let with = |row: JobRow| JobWithProgress { progress: told.remove(&row.asset_id), row };
    rows.into_iter().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(name: &str) -> EdgeId {
        EdgeId::new(name, 1).expect("a name")
    }

    fn done(done_frames: u64) -> JobProgress {
        let elapsed = Millis::from_secs(10);
        JobProgress { stage: JobStage::H264, done_frames, total_frames: 100, elapsed }
    }

    fn shown(reports: &Reports) -> Vec<(AssetId, u64)> {
        reports.lock().iter().map(|(asset, row)| (*asset, row.progress.done_frames)).collect()
    }

    #[test]
    fn a_worker_that_lost_its_lease_does_not_speak_over_the_next() {
        let reports = Reports::default();
        let (asset, now) = (AssetId::from_bits(1), Timestamp::from_unix_millis(50_000));
        reports.hear((edge("a"), asset, 2), done(7), (now, Millis::ZERO));
        reports.hear((edge("b"), asset, 1), done(90), (now, Millis::ZERO));
        assert_eq!(shown(&reports), [(asset, 7)]);
        reports.hear((edge("c"), asset, 3), done(1), (now, Millis::ZERO));
        assert_eq!(shown(&reports), [(asset, 1)]);
        let row = reports.lock().get(&asset).map(|row| row.shown(asset)).expect("held");
        assert_eq!(row.since, Timestamp::from_unix_millis(40_000));
        assert_eq!((row.fps_milli, row.eta_ms), (Some(100), Some(Millis::from_secs(990))));
    }

    #[test]
    fn what_is_old_or_of_no_lease_is_not_shown() {
        let (reports, market) = (Reports::default(), Market::default());
        let (asset, now) = (AssetId::from_bits(1), Timestamp::from_unix_millis(50_000));
        reports.hear((edge("a"), asset, 1), done(7), (now, Millis::ZERO));
        assert!(reports.rows(&market, None, FRESH).is_empty(), "no such lease");
        assert_eq!(shown(&reports).len(), 1, "it may be that this member is behind");
        assert!(reports.rows(&market, None, FRESH.plus(Millis::new(1))).is_empty());
        assert!(shown(&reports).is_empty(), "too long ago");
    }

    #[test]
    fn only_so_many_are_held_and_the_longest_silent_goes() {
        let reports = Reports::default();
        let now = Timestamp::from_unix_millis(50_000);
        for number in 0..=u64::try_from(HELD_MAX).expect("small") {
            let asset = AssetId::from_bits(u128::from(number));
            reports.hear((edge("a"), asset, 1), done(1), (now, Millis::new(number)));
        }
        let held = shown(&reports);
        assert_eq!(held.len(), HELD_MAX);
        assert_eq!(held.first().map(|(asset, _)| *asset), Some(AssetId::from_bits(1)));
    }
}
