//! The transcode role: leases jobs of the cluster, makes revisions, hands their blobs over.
//!
//! ```text
//!   jobs waiting? -> LeaseJob -> source blob -> work folder -> TranscodeJob (blocking threads)
//!                                                   |  blobs, a few at a time, to a quorum
//!       PublishRevision: beginnings, H.264 whole  <-+-> PublishRevision: with AV1
//!       RenewLease each 15 s meanwhile; a lease that is lost ends the job
//!       ReportProgress each 5 s, for the leader's memory
//! ```
//! A job that is leased again starts from the beginning; blobs that are there already cost nothing.
//! It must not know codecs. Read next: `fairground_media::transcode`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fairground_market::PublicView;
use fairground_media::manifest::VideoFamily;
use fairground_media::{
    Beginning, BlobSink, EncodeTuning, Manifest, MediaError, Progress, Revision, RungReport, Stage,
    Tools, TranscodeJob,
};
use fairground_types::command::{
    Command, Extent, FailedJob, JOBS_RULES, JobFault, MediaCommand, PublishRevision,
};
use fairground_types::text::Handle;
use fairground_types::{Accepted, AssetId, BlobHash, EdgeId, Millis, Timestamp, Verdict, limits};
use fairground_wire::message::{
    ForwardRequest, ForwardResponse, JobProgress, JobStage, ReadRequest,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::edge::Edge;
use crate::error::Error;
use crate::link::blob::{BlobError, BlobSource};
use crate::link::chain;
use crate::metrics;
use crate::uplink::own_command;

/// How often the cluster is asked for jobs.
const POLL_PERIOD: Duration = Duration::from_millis(1_500);
/// How often the leader is told how far a job is.
const BEAT_PERIOD: Duration = Duration::from_secs(5);
/// How long that may take; the lease must be renewed in time.
const BEAT_WAIT: Duration = Duration::from_secs(2);
/// Beats between two renewals of a lease.
const BEATS_PER_RENEWAL: u32 = 3;
/// Blobs on their way to the cluster at a time.
const PUTS: usize = 4;
/// Blobs that wait for their way to the cluster.
const PUT_QUEUE: usize = 16;
/// Attempts to hand one blob over before the job is given back.
const PUT_ATTEMPTS: u32 = 8;
const PUT_PAUSE: Duration = Duration::from_millis(500);
/// Attempts to publish a revision; members may be electing a leader.
const REPORT_ATTEMPTS: u32 = 5;
/// Jobs whose progress is remembered after their end.
const REPORTS_MAX: usize = 64;

/// Wakes the worker, and tells how its jobs go.
#[derive(Default)]
pub(crate) struct Work {
    notify: Notify,
    reports: Mutex<BTreeMap<AssetId, JobReport>>,
}

/// How a job at this edge goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobReport {
    /// Absent when nothing runs.
    running: Option<RunningStage>,
    /// How long the stages took, once they are over.
    pub(crate) figures: Option<Figures>,
}

#[derive(Clone, Copy, Debug)]
struct RunningStage {
    progress: JobProgress,
    /// Monotonic.
    began_at: Millis,
}

/// How far a stage is.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StageReport {
    stage: JobStage,
    /// Frames done, over all rungs of the stage.
    done_frames: u64,
    /// Frames to do, over all rungs of the stage.
    total_frames: u64,
    /// Frames done in a thousand seconds, on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fps_milli: Option<u64>,
    /// How long the rest of the stage takes as it goes now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eta_ms: Option<Millis>,
    /// When the stage began.
    since: Timestamp,
    /// The edge that works on it.
    edge: EdgeId,
}

/// Measured figures of a finished job.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    normalise_ms: u64,
    h264_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    av1_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    av1_fps: Option<f64>,
    /// How each AV1 rung compares with H.264.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    av1_rungs: Vec<RungFigures>,
}

/// How an AV1 rung compares with the H.264 rung of its size, on a few groups of the clip.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RungFigures {
    name: String,
    /// 1 to 255.
    quantizer: u8,
    /// Whether it is published.
    is_kept: bool,
    /// SSIM at that quantizer, 0 to 1.
    ssim: f64,
    /// SSIM of the H.264 rung.
    ssim_h264: f64,
    /// Its bits by those of the H.264 rung.
    bits_ratio: f64,
}

impl Work {
    /// A job may wait.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// What this edge knows of a job.
    pub(crate) fn report(&self, asset: AssetId) -> Option<JobReport> {
        self.lock().get(&asset).cloned()
    }

    /// Notes how far a stage is at `now` on the monotonic clock.
    fn note(&self, asset: AssetId, told: Progress, now: Millis) {
        let stage = match told.stage {
            Stage::H264 => JobStage::H264,
            Stage::Av1 => JobStage::Av1,
        };
        self.update(asset, |report| {
            let began_at = match report.running {
                Some(running) if running.progress.stage == stage => running.began_at,
                Some(_) | None => now,
            };
            let elapsed = now.less(began_at);
            let Progress { done_frames, total_frames, .. } = told;
            let progress = JobProgress { stage, done_frames, total_frames, elapsed };
            report.running = Some(RunningStage { progress, began_at });
        });
    }

    fn running(&self, asset: AssetId) -> Option<RunningStage> {
        self.lock().get(&asset)?.running
    }

    fn update(&self, asset: AssetId, change: impl FnOnce(&mut JobReport)) {
        let mut reports = self.lock();
        change(reports.entry(asset).or_default());
        while reports.len() > REPORTS_MAX {
            reports.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AssetId, JobReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job as members list it; what this worker does not need is skipped.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobRow {
    asset_id: AssetId,
    state: String,
    source: BlobHash,
    revision: u32,
    fence: u64,
    /// Absent where a member of an earlier release answers.
    #[serde(default)]
    is_growing: bool,
    /// Absent as well where a member of an earlier release answers.
    owner_handle: Option<Handle>,
}

#[derive(Debug, Deserialize)]
struct JobList {
    jobs: Vec<JobRow>,
}

#[derive(Clone)]
struct Leased {
    asset: AssetId,
    fence: u64,
    source: BlobHash,
    revision: u32,
    /// Whether the whole clip can be played in H.264.
    is_whole: bool,
    /// Whose clip it is, for the picture.
    handle: Option<Handle>,
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("make the clip playable")]
    Media(#[from] MediaError),
    #[error("move a blob")]
    Blob(#[from] BlobError),
    #[error("prepare the work")]
    Node(#[from] Error),
    #[error("go on: the lease is lost")]
    LeaseLost,
    #[error("report to the cluster: no answer")]
    NoAnswer,
    #[error("go on: the encoder ended early")]
    Ended,
}

impl JobError {
    /// Why, in a stable word, and what is at fault.
    fn verdict(&self) -> (String, JobFault) {
        let (reason, fault) = match self {
            Self::Media(MediaError::Rejected(rejection)) => (rejection.reason, JobFault::Clip),
            Self::Media(MediaError::TimedOut { .. }) => ("timed_out", JobFault::Poison),
            Self::Media(error) if error.is_kill() => ("tool_killed", JobFault::Poison),
            Self::Media(
                MediaError::Io { .. }
                | MediaError::ToolMissing { .. }
                | MediaError::Jail(_)
                | MediaError::Sink(_),
            ) => ("worker_failed", JobFault::Worker),
            Self::Media(_) => ("transcode_failed", JobFault::Tool),
            Self::Blob(_) | Self::Node(_) | Self::NoAnswer | Self::Ended | Self::LeaseLost => {
                ("worker_failed", JobFault::Worker)
            }
        };
        (reason.to_owned(), fault)
    }
}

/// The last bytes of a text that the log keeps of a failure.
fn end_of(text: &str) -> String {
    let from = text.len().saturating_sub(limits::JOB_DETAIL_MAX);
    let start = (from..=text.len()).find(|start| text.is_char_boundary(*start));
    start.and_then(|start| text.get(start..)).unwrap_or_default().to_owned()
}

/// The report of a failure as the rules in force know it.
fn failure(leased: &Leased, error: &JobError, rules: u32) -> MediaCommand {
    let (reason, fault) = error.verdict();
    let (asset, fence) = (leased.asset, leased.fence);
    if rules < JOBS_RULES {
        return MediaCommand::FailJob { asset, fence, reason, is_final: fault == JobFault::Clip };
    }
    let detail = end_of(&chain(error));
    MediaCommand::ReportFailure(FailedJob { asset, fence, reason, fault, detail })
}

/// Works until shutdown.
pub(crate) async fn run(edge: Arc<Edge>, tools: Tools) {
    loop {
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = edge.work.notify.notified() => {}
            () = tokio::time::sleep(POLL_PERIOD) => {}
        }
        // One job after the other: a job uses the cores by itself.
        while let Some(leased) = lease(&edge).await {
            let asset = leased.asset;
            tracing::info!(asset_id = %asset, revision = leased.revision, "transcode begins");
            tokio::select! {
                biased;
                () = edge.shutdown.wait() => return,
                () = work(&edge, &tools, leased) => {}
            }
            edge.work.update(asset, |report| report.running = None);
        }
    }
}

/// A job, if one waits.
async fn lease(edge: &Arc<Edge>) -> Option<Leased> {
    if edge.shutdown.is_triggered() || edge.links.candidates().is_empty() {
        return None;
    }
    let is_waiting = jobs(edge).await?.iter().any(|row| row.state == "queued");
    if !is_waiting {
        return None;
    }
    let answer = edge
        .links
        .forward(&own_command(edge, "lease", Command::Media(MediaCommand::LeaseJob)))
        .await
        .ok()?;
    let ForwardResponse::Judged(judged) = answer else { return None };
    let Verdict::Accepted(Accepted::JobLeased { asset, fence, .. }) = judged.verdict else {
        return None;
    };
    // A follower may not have applied the lease yet, and tell how things stood before it.
    let is_ours = |row: &JobRow| row.asset_id == asset && row.fence == fence;
    for _ in 0..REPORT_ATTEMPTS {
        let row = jobs(edge).await.into_iter().flatten().find(is_ours);
        if let Some(row) = row {
            let JobRow { source, revision, is_growing, owner_handle: handle, .. } = row;
            let is_whole = revision > 0 && !is_growing;
            return Some(Leased { asset, fence, source, revision, is_whole, handle });
        }
        tokio::time::sleep(PUT_PAUSE).await;
    }
    None
}

async fn jobs(edge: &Edge) -> Option<Vec<JobRow>> {
    let answer = edge.links.forward(&ForwardRequest::Read(ReadRequest::Jobs)).await.ok()?;
    let ForwardResponse::Json(bytes) = answer else { return None };
    match serde_json::from_slice(&bytes) {
        Ok(JobList { jobs }) => Some(jobs),
        Err(error) => {
            tracing::warn!(%error, "jobs not read");
            None
        }
    }
}

async fn work(edge: &Arc<Edge>, tools: &Tools, leased: Leased) {
    let folder = edge.options.dir.join("work").join(leased.asset.to_string());
    let is_lost = Arc::new(AtomicBool::new(false));
    let stop = StopOnDrop(Arc::clone(&is_lost));
    let outcome = {
        let job = transcode(edge, tools, &leased, &folder, &is_lost);
        tokio::select! {
            biased;
            outcome = job => outcome,
            () = keep_lease(edge, &leased, &is_lost) => Err(JobError::LeaseLost),
        }
    };
    drop(stop);
    if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
        tracing::debug!(%error, "work folder not removed");
    }
    match outcome {
        Ok(()) => {
            metrics::transcode_ended("done");
            tracing::info!(asset_id = %leased.asset, "transcode done");
        }
        Err(JobError::LeaseLost) => {
            metrics::transcode_ended("lease_lost");
            tracing::warn!(asset_id = %leased.asset, "lease lost, job left to others");
        }
        Err(error) => {
            metrics::transcode_ended("failed");
            tracing::warn!(asset_id = %leased.asset, error = %chain(&error), "transcode failed");
            let rules = edge.view.read(PublicView::rules);
            let command = Command::Media(failure(&leased, &error, rules));
            if report(edge, "fail-job", command).await.is_err() {
                tracing::warn!("failure not reported; the lease runs out");
            }
        }
    }
}

/// Tells the encoder's thread to stop at its next blob when the job is left, however that comes.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Renews the lease; returns when it is lost.
async fn keep_lease(edge: &Arc<Edge>, leased: &Leased, is_lost: &AtomicBool) {
    loop {
        // A report that is slow takes from the pause, not from the lease.
        let mut beats = tokio::time::interval_at(Instant::now() + BEAT_PERIOD, BEAT_PERIOD);
        for _ in 0..BEATS_PER_RENEWAL {
            beats.tick().await;
            tell_progress(edge, leased).await;
        }
        let command =
            Command::Media(MediaCommand::RenewLease { asset: leased.asset, fence: leased.fence });
        let answer = edge.links.forward(&own_command(edge, "renew-lease", command)).await;
        if let Ok(ForwardResponse::Judged(judged)) = answer
            && !judged.verdict.is_accepted()
        {
            is_lost.store(true, Ordering::Release);
            return;
        }
    }
}

/// Tells the leader how far the job is. What is lost of it the next beat makes good.
async fn tell_progress(edge: &Edge, leased: &Leased) {
    let Some(RunningStage { progress, .. }) = edge.work.running(leased.asset) else { return };
    let request = ForwardRequest::ReportProgress {
        edge: edge.id.clone(),
        asset: leased.asset,
        fence: leased.fence,
        progress,
    };
    match tokio::time::timeout(BEAT_WAIT, edge.links.forward(&request)).await {
        Ok(Ok(ForwardResponse::Rejected(rejection))) => {
            tracing::debug!(detail = %rejection.detail, "progress not taken");
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "progress not told"),
        Err(_) => tracing::debug!("progress not told in time"),
    }
}

/// How far a job that runs at this edge is, newer than what the leader was told.
pub(crate) fn progress_here(edge: &Edge, asset: AssetId) -> Option<StageReport> {
    let RunningStage { progress, began_at } = edge.work.running(asset)?;
    Some(StageReport {
        stage: progress.stage,
        done_frames: progress.done_frames,
        total_frames: progress.total_frames,
        fps_milli: progress.fps_milli(),
        eta_ms: progress.eta(),
        since: edge.time.now().minus(edge.time.monotonic().less(began_at)),
        edge: edge.id.clone(),
    })
}

/// A command that must get its verdict; the same identity at every attempt.
async fn report(edge: &Arc<Edge>, operation: &str, command: Command) -> Result<Verdict, JobError> {
    let request = own_command(edge, operation, command);
    for _ in 0..REPORT_ATTEMPTS {
        match edge.links.forward(&request).await {
            Ok(ForwardResponse::Judged(judged)) => return Ok(judged.verdict),
            Ok(ForwardResponse::Rejected(rejection)) => return Ok(Verdict::Rejected(rejection)),
            Ok(_) | Err(_) => tokio::time::sleep(PUT_PAUSE).await,
        }
    }
    Err(JobError::NoAnswer)
}

async fn transcode(
    edge: &Arc<Edge>,
    tools: &Tools,
    leased: &Leased,
    folder: &Path,
    is_lost: &Arc<AtomicBool>,
) -> Result<(), JobError> {
    prepare(folder).await?;
    let source = folder.join("source");
    edge.links.fetch_into(leased.source, &source).await?;
    let options = edge.options.transcode;
    let tuning = EncodeTuning {
        av1_speed: options.av1_speed.min(10),
        av1_tallest: options.av1_tallest,
        keeps_all: options.av1_keeps_all,
        workers: options.workers.max(1),
    };
    let mut job = TranscodeJob::new(source, folder.join("mezzanine"), tools.clone(), tuning);
    job.next_revision = leased.revision.saturating_add(1);
    job.mark = leased.handle.as_ref().filter(|_| options.mark).map(ToString::to_string);
    let mut stage = RunStage { edge, leased: leased.clone(), is_lost, job: Some(job) };
    if !leased.is_whole {
        let revision = stage.run(false).await?;
        let extent = if options.av1_tallest == 0 { Extent::Last } else { Extent::Whole };
        publish(edge, leased, &revision.manifest, revision.manifest_hash, extent).await?;
        if extent == Extent::Last {
            return Ok(());
        }
    }
    let revision = stage.run(true).await?;
    publish(edge, leased, &revision.manifest, revision.manifest_hash, Extent::Last).await
}

async fn prepare(folder: &Path) -> Result<(), Error> {
    // What an interrupted job left is of no use.
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file(folder)(error));
        }
        Ok(()) | Err(_) => {}
    }
    crate::identity::make_private_folder(folder)
}

struct RunStage<'a> {
    edge: &'a Arc<Edge>,
    leased: Leased,
    is_lost: &'a Arc<AtomicBool>,
    job: Option<TranscodeJob>,
}

impl RunStage<'_> {
    /// Runs a stage on a blocking thread; its blobs are with the cluster when it returns.
    async fn run(&mut self, is_av1: bool) -> Result<Revision, JobError> {
        let mut job = self.job.take().ok_or(JobError::Ended)?;
        let (made, queue) = mpsc::channel(PUT_QUEUE);
        let mut handing_over = JoinSet::new();
        handing_over.spawn(hand_over(Arc::clone(self.edge), self.leased.clone(), queue));
        let (edge, is_lost) = (Arc::clone(self.edge), Arc::clone(self.is_lost));
        let asset = self.leased.asset;
        let encoding = tokio::task::spawn_blocking(move || {
            let is_left = Arc::clone(&is_lost);
            let mut sink = QueueSink { made, is_lost };
            // Whoever has the job now tells how it goes.
            let mut progress = |told: Progress| {
                if !is_left.load(Ordering::Acquire) {
                    edge.work.note(asset, told, edge.time.monotonic());
                }
            };
            let made = if is_av1 {
                job.av1_revision(&mut sink, &mut progress)
            } else {
                job.h264_revision(&mut sink, &mut progress)
            };
            (job, made)
        });
        let (job, made) = encoding.await.map_err(|_| JobError::Ended)?;
        self.job = Some(job);
        let handed_over = handing_over.join_next().await;
        match handed_over {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return Err(error),
            Some(Err(_)) | None => return Err(JobError::Ended),
        }
        let revision = made?;
        self.note_figures(&revision);
        Ok(revision)
    }

    fn note_figures(&self, revision: &Revision) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let report = &revision.report;
        let figures = Figures {
            normalise_ms: millis(report.normalise),
            h264_ms: millis(report.h264),
            av1_ms: report.av1.map(millis),
            av1_fps: report.av1_fps,
            av1_rungs: report.av1_rungs.iter().map(figures_of).collect(),
        };
        tracing::info!(
            asset_id = %self.leased.asset,
            normalise_ms = figures.normalise_ms,
            h264_ms = figures.h264_ms,
            av1_ms = figures.av1_ms,
            av1_fps = figures.av1_fps,
            "stage done"
        );
        self.edge.work.update(self.leased.asset, |report| report.figures = Some(figures));
    }
}

fn figures_of(report: &RungReport) -> RungFigures {
    let RungReport { name, quantizer, is_kept, ssim, ssim_h264, bits_ratio } = report.clone();
    RungFigures { name, quantizer, is_kept, ssim, ssim_h264, bits_ratio }
}

/// What the encoder's thread has made.
enum Made {
    Blob(BlobHash, Bytes),
    /// Everything that was made before can be played.
    Beginning(Box<Beginning>),
}

/// Takes what the encoder's thread makes into the queue of the uploader.
struct QueueSink {
    made: mpsc::Sender<Made>,
    is_lost: Arc<AtomicBool>,
}

impl QueueSink {
    fn send(&self, made: Made) -> Result<(), MediaError> {
        if self.is_lost.load(Ordering::Acquire) {
            return Err(MediaError::Sink("the lease is lost".to_owned()));
        }
        let sent = self.made.blocking_send(made);
        sent.map_err(|_| MediaError::Sink("nothing is taken any more".to_owned()))
    }
}

impl BlobSink for QueueSink {
    fn put(&mut self, bytes: Bytes) -> Result<BlobHash, MediaError> {
        let hash = BlobHash::of(&bytes);
        self.send(Made::Blob(hash, bytes))?;
        Ok(hash)
    }

    fn grown(&mut self, beginning: &Beginning) -> Result<(), MediaError> {
        self.send(Made::Beginning(Box::new(beginning.clone())))
    }
}

/// Hands blobs to the cluster, a few at a time, and keeps them here: they will be asked for. A
/// beginning is published when all that it is made of is there.
async fn hand_over(
    edge: Arc<Edge>,
    leased: Leased,
    mut queue: mpsc::Receiver<Made>,
) -> Result<(), JobError> {
    let mut puts: JoinSet<Result<(), BlobError>> = JoinSet::new();
    while let Some(made) = queue.recv().await {
        match made {
            Made::Blob(hash, bytes) => {
                settle(&mut puts, PUTS - 1).await?;
                let edge = Arc::clone(&edge);
                puts.spawn(async move {
                    put(&edge, hash, &bytes).await?;
                    edge.delivery.origin.keep(vec![(hash, bytes)]).await;
                    Ok(())
                });
            }
            Made::Beginning(beginning) => {
                settle(&mut puts, 0).await?;
                let Beginning { manifest, manifest_hash } = *beginning;
                publish(&edge, &leased, &manifest, manifest_hash, Extent::Beginning).await?;
            }
        }
    }
    settle(&mut puts, 0).await?;
    Ok(())
}

/// Waits until no more than `left` blobs are on their way.
async fn settle(puts: &mut JoinSet<Result<(), BlobError>>, left: usize) -> Result<(), BlobError> {
    while puts.len() > left {
        match puts.join_next().await {
            Some(Ok(outcome)) => outcome?,
            Some(Err(_)) => return Err(BlobError::Unavailable),
            None => return Ok(()),
        }
    }
    Ok(())
}

async fn put(edge: &Edge, hash: BlobHash, bytes: &Bytes) -> Result<(), BlobError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match edge.links.store(hash, BlobSource::Memory(bytes)).await {
            Ok(()) => return Ok(()),
            Err(error) if attempt >= PUT_ATTEMPTS => return Err(error),
            Err(error) => {
                tracing::debug!(%hash, attempt, error = %chain(&error), "blob not handed over yet");
                tokio::time::sleep(PUT_PAUSE.saturating_mul(attempt)).await;
            }
        }
    }
}

async fn publish(
    edge: &Arc<Edge>,
    leased: &Leased,
    manifest: &Manifest,
    manifest_hash: BlobHash,
    extent: Extent,
) -> Result<(), JobError> {
    let number = manifest.revision;
    let command = Command::Media(MediaCommand::PublishRevision(PublishRevision {
        asset: leased.asset,
        fence: leased.fence,
        revision: number,
        manifest: manifest_hash,
        codecs: codecs(manifest),
        extent,
    }));
    match report(edge, "publish", command).await? {
        Verdict::Accepted(_) => {
            tracing::info!(
                asset_id = %leased.asset, revision = number, ?extent, "revision published"
            );
            Ok(())
        }
        Verdict::Rejected(rejection) => {
            tracing::warn!(code = %rejection.code, detail = %rejection.detail, "not published");
            Err(JobError::LeaseLost)
        }
    }
}

fn codecs(manifest: &Manifest) -> Vec<String> {
    let has = |wanted: VideoFamily| {
        manifest.renditions.iter().any(|rendition| rendition.family() == Some(wanted))
    };
    let mut codecs = Vec::new();
    if has(VideoFamily::Avc) {
        codecs.push("h264".to_owned());
    }
    if has(VideoFamily::Av1) {
        codecs.push("av1".to_owned());
    }
    codecs
}

/// Removes what interrupted jobs of an earlier run left.
pub(crate) fn clear(dir: &Path) {
    let folder: PathBuf = dir.join("work");
    match std::fs::remove_dir_all(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "old work not removed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn told(stage: Stage, done_frames: u64) -> Progress {
        Progress { stage, done_frames, total_frames: 100 }
    }

    fn leased() -> Leased {
        let (asset, source) = (AssetId::from_bits(1), BlobHash::of(b"source"));
        Leased { asset, fence: 3, source, revision: 0, is_whole: false, handle: None }
    }

    #[test]
    fn a_failure_says_what_is_at_fault_and_under_old_rules_only_whether_it_is_final() {
        let tool = |status: &str, detail: &str| {
            let (status, detail) = (status.to_owned(), detail.to_owned());
            JobError::Media(MediaError::Tool { tool: "ffmpeg", status, detail })
        };
        let limit = Duration::from_secs(1);
        let rejection = fairground_media::Rejection::new("no_video", "there is no picture");
        for (error, reason, fault) in [
            (tool("signal: 9 (SIGKILL)", ""), "tool_killed", JobFault::Poison),
            (tool("exit status: 1", "Cannot allocate memory"), "tool_killed", JobFault::Poison),
            (tool("exit status: 1", "no such filter"), "transcode_failed", JobFault::Tool),
            (
                JobError::Media(MediaError::TimedOut { tool: "ffmpeg", limit }),
                "timed_out",
                JobFault::Poison,
            ),
            (JobError::Media(MediaError::Rejected(rejection)), "no_video", JobFault::Clip),
            (JobError::NoAnswer, "worker_failed", JobFault::Worker),
        ] {
            let MediaCommand::ReportFailure(failed) = failure(&leased(), &error, JOBS_RULES) else {
                panic!("the new command");
            };
            assert_eq!((failed.reason.as_str(), failed.fault), (reason, fault));
            assert!(failed.detail.contains(&error.to_string()));
            let MediaCommand::FailJob { is_final, .. } = failure(&leased(), &error, 3) else {
                panic!("the old command");
            };
            assert_eq!(is_final, fault == JobFault::Clip);
        }
        let long = tool("exit status: 1", &"\u{e9}".repeat(2_000));
        let MediaCommand::ReportFailure(failed) = failure(&leased(), &long, JOBS_RULES) else {
            panic!("the new command");
        };
        assert_eq!(failed.detail.len(), limits::JOB_DETAIL_MAX);
    }

    #[test]
    fn a_stage_is_timed_from_its_first_word() {
        let (work, asset) = (Work::default(), AssetId::from_bits(1));
        assert!(work.running(asset).is_none());
        work.note(asset, told(Stage::H264, 0), Millis::new(1_000));
        work.note(asset, told(Stage::H264, 50), Millis::new(6_000));
        let running = work.running(asset).expect("noted");
        assert_eq!(running.progress.elapsed, Millis::from_secs(5));
        assert_eq!(running.progress.fps_milli(), Some(10_000));
        work.note(asset, told(Stage::Av1, 10), Millis::new(9_000));
        let running = work.running(asset).expect("noted");
        assert_eq!((running.progress.stage, running.began_at), (JobStage::Av1, Millis::new(9_000)));
    }
}
