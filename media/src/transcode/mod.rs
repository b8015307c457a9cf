//! From an accepted upload to published revisions.
//!
//! ```text
//!  upload --probe--> facts --normalise (jailed ffmpeg, the only reader of the upload)-->
//!      mezz.mp4 (constant rate, two-second groups, BT.709, marked) + mezz.wav (48 kHz stereo)
//!        |                                   |
//!        | first: h264, aac, stills (ffmpeg) | av1 (rav1e, one context per group, in parallel)
//!        | along with the mezzanine          |
//!        v                                   v
//!      beginnings, then H.264 + AAC        the same and AV1
//! ```
//!
//! The completion rule holds for every rendition: exactly the mezzanine's frames, or exactly every
//! second, third of them, groups that start with a key frame, durations that add up; anything else
//! is an error, never a shorter rendition. Must not know where blobs go: they leave through a [`BlobSink`].

mod aac;
mod av1;
mod first;
mod follow;
mod growth;
mod h264;
mod mark;
pub(crate) mod normalise;
mod pace;
mod quality;
mod rendition;
mod stills;
mod title;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fairground_types::BlobHash;

use crate::error::MediaError;
use crate::jail::Tools;
use crate::ladder::{self, Size};
use crate::manifest::{FrameRate, MANIFEST_VERSION, Manifest, Rendition, VideoFamily};
use crate::probe::{ProbePolicy, SourceFacts, probe};

use av1::Plan;
use first::FirstMedia;
use normalise::{Mezzanine, Outline};
use rendition::target_of;

/// Takes blobs; the caller stores them where it likes.
pub trait BlobSink {
    /// Stores a blob and returns its address.
    ///
    /// # Errors
    /// [`MediaError::Sink`] when it could not be stored; the job then stops.
    fn put(&mut self, bytes: Bytes) -> Result<BlobHash, MediaError>;

    /// A beginning of the clip can be played: all its blobs have been put before. Later ones are longer,
    /// and the whole comes at last, as what the job returns.
    ///
    /// # Errors
    /// [`MediaError::Sink`] when nobody wants the rest; the job then stops.
    fn grown(&mut self, _beginning: &Beginning) -> Result<(), MediaError> {
        Ok(())
    }
}

/// The first seconds of a clip as a revision of their own, while the rest is being made.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The manifest, which says that it grows.
    pub manifest: Manifest,
    /// Address of the manifest's own blob.
    pub manifest_hash: BlobHash,
}

/// What trades speed for quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeTuning {
    /// rav1e's speed, 0 (best) to 10 (fastest).
    pub av1_speed: u8,
    /// Short side of the tallest AV1 rung; 0 for none.
    pub av1_tallest: u32,
    /// Whether AV1 rungs stay that do not beat the H.264 rungs of their size.
    pub keeps_all: bool,
    /// Encoders that run at a time: runs of ffmpeg, or groups of pictures in rav1e.
    pub workers: usize,
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Making the mezzanine, the H.264 rungs and the sound.
    H264,
    /// Making the AV1 rungs.
    Av1,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Frames done, over all rungs of the stage.
    pub done_frames: u64,
    /// Frames to do, over all rungs of the stage.
    pub total_frames: u64,
}

/// A revision that is ready to be published: all its blobs have been put.
#[derive(Debug, Clone)]
pub struct Revision {
    /// The manifest.
    pub manifest: Manifest,
    /// Address of the manifest's own blob.
    pub manifest_hash: BlobHash,
    /// How it was made.
    pub report: Report,
}

/// How a revision was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Facts about the upload.
    pub source: SourceFacts,
    /// Time until the mezzanine was whole.
    pub normalise: Duration,
    /// Time until the H.264 rungs, I-frames, sound and stills were, from the same start.
    pub h264: Duration,
    /// Time for the AV1 rungs, in revisions for which they were made.
    pub av1: Option<Duration>,
    /// Frames per second of the AV1 encoder, all workers together, reading and probing included.
    pub av1_fps: Option<f64>,
    /// What was found out about each AV1 rung.
    pub av1_rungs: Vec<RungReport>,
}

/// How an AV1 rung compares with the H.264 rung of its size, on a few groups.
#[derive(Debug, Clone, PartialEq)]
pub struct RungReport {
    /// Its name.
    pub name: String,
    /// The quantizer that was chosen, 1 to 255: the coarsest that is as good as H.264, among those
    /// between the probes.
    pub quantizer: u8,
    /// Whether it is published.
    pub is_kept: bool,
    /// SSIM at that quantizer, 0 to 1.
    pub ssim: f64,
    /// SSIM of the H.264 rung.
    pub ssim_h264: f64,
    /// Its bits by those of the H.264 rung.
    pub bits_ratio: f64,
}

/// One upload on its way to being playable.
#[derive(Debug)]
pub struct TranscodeJob {
    /// The upload.
    pub source: PathBuf,
    /// A folder of its own; the mezzanine stays in it until the caller removes the folder.
    pub work_dir: PathBuf,
    /// The tools.
    pub tools: Tools,
    /// Speed against quality.
    pub tuning: EncodeTuning,
    /// What is accepted.
    pub policy: ProbePolicy,
    /// Number of the next revision, from 1.
    pub next_revision: u32,
    /// Text that is drawn into a corner of every picture: ASCII, anything else becomes question marks.
    /// Default: none.
    pub mark: Option<String>,
    first: Option<FirstCut>,
}

/// What the first stage leaves for the second.
#[derive(Debug)]
struct FirstCut {
    mezzanine: Mezzanine,
    made: FirstMedia,
    report: Report,
}

impl Default for EncodeTuning {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { av1_speed: 10, av1_tallest: 360, keeps_all: false, workers }
    }
}

impl TranscodeJob {
    /// Describes a job of a clip that has no revision; nothing runs yet.
    #[must_use]
    pub fn new(source: PathBuf, work_dir: PathBuf, tools: Tools, tuning: EncodeTuning) -> Self {
        let policy = ProbePolicy::default();
        let (mark, first) = (None, None);
        Self { source, work_dir, tools, tuning, policy, next_revision: 1, mark, first }
    }

    /// Stage 1: probe, normalise, H.264 rungs, I-frames, sound and stills. Beginnings are told to the
    /// sink, each a revision of its own; the one that is returned is whole.
    ///
    /// # Errors
    /// [`MediaError::Rejected`] when the clip is at fault; else by what the caller can do.
    pub fn h264_revision(
        &mut self,
        sink: &mut dyn BlobSink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Revision, MediaError> {
        // Whoever plays a beginning of an earlier attempt must never see a shorter one.
        let grows = self.next_revision == 1;
        let first = self.first_cut(grows, sink, progress)?;
        let revision = self.publish(&first, first.made.renditions.clone(), sink);
        self.first = Some(first);
        revision
    }

    /// Stage 2: adds the AV1 rungs that are worth it; the revision is complete by itself. Runs stage 1 before when it
    /// has not run in this job, and tells nobody of beginnings then.
    ///
    /// # Errors
    /// Those of [`TranscodeJob::h264_revision`], and [`MediaError::Encoder`].
    pub fn av1_revision(
        &mut self,
        sink: &mut dyn BlobSink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Revision, MediaError> {
        let mut first = match self.first.take() {
            Some(first) => first,
            None => self.first_cut(false, sink, progress)?,
        };
        let started = Instant::now();
        let work_dir =
            self.work_dir.canonicalize().map_err(MediaError::io("find the work folder"))?;
        let context = Context {
            tools: &self.tools,
            work_dir: &work_dir,
            source: &first.report.source,
            mark: self.mark.as_deref(),
        };
        let (rungs, reports) = av1_rungs(&context, &first, self.tuning, sink, progress)?;
        let elapsed = started.elapsed();
        let frames = first.mezzanine.frames.saturating_mul(u64::try_from(rungs.len()).unwrap_or(0));
        first.report.av1 = Some(elapsed);
        first.report.av1_fps = (frames > 0).then(|| frames_per_second(frames, elapsed));
        first.report.av1_rungs = reports;
        let made = &first.made.renditions;
        let videos = made.iter().filter(|rendition| rendition.family().is_some());
        let sounds = made.iter().filter(|rendition| rendition.family().is_none());
        let renditions = videos.cloned().chain(rungs).chain(sounds.cloned()).collect();
        let revision = self.publish(&first, renditions, sink);
        self.first = Some(first);
        revision
    }

    fn first_cut(
        &mut self,
        grows: bool,
        sink: &mut dyn BlobSink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<FirstCut, MediaError> {
        std::fs::create_dir_all(&self.work_dir).map_err(MediaError::io("make the work folder"))?;
        let work_dir =
            self.work_dir.canonicalize().map_err(MediaError::io("find the work folder"))?;
        let upload = self.source.canonicalize().map_err(MediaError::io("find the upload"))?;
        let source = probe(&self.source, &self.tools, &self.policy)?;
        let context = Context {
            tools: &self.tools,
            work_dir: &work_dir,
            source: &source,
            mark: self.mark.as_deref(),
        };
        let outline = Outline::new(&context);
        let started = Instant::now();
        let next = &mut self.next_revision;
        let mut grown = |sink: &mut dyn BlobSink, renditions, frames| {
            if !grows {
                return Ok(());
            }
            let manifest = beginning(*next, &outline, renditions, frames);
            let manifest_hash = sink.put(manifest.to_bytes()?.into())?;
            *next = next.saturating_add(1);
            sink.grown(&Beginning { manifest, manifest_hash })
        };
        let from = (upload.as_path(), &outline);
        let (mezzanine, made, normalise) =
            first::make(&context, from, self.tuning, sink, progress, &mut grown)?;
        let h264 = started.elapsed();
        let (av1, av1_fps, av1_rungs) = (None, None, Vec::new());
        let report = Report { source, normalise, h264, av1, av1_fps, av1_rungs };
        Ok(FirstCut { mezzanine, made, report })
    }

    fn publish(
        &mut self,
        first: &FirstCut,
        renditions: Vec<Rendition>,
        sink: &mut dyn BlobSink,
    ) -> Result<Revision, MediaError> {
        let manifest = first.manifest(self.next_revision, renditions);
        let manifest_hash = sink.put(manifest.to_bytes()?.into())?;
        self.next_revision = self.next_revision.saturating_add(1);
        Ok(Revision { manifest, manifest_hash, report: first.report.clone() })
    }
}

/// What every stage needs to start a tool.
struct Context<'a> {
    tools: &'a Tools,
    work_dir: &'a Path,
    source: &'a SourceFacts,
    /// What is drawn into every picture.
    mark: Option<&'a str>,
}

impl FirstCut {
    fn manifest(&self, revision: u32, renditions: Vec<Rendition>) -> Manifest {
        let Mezzanine { size, rate, frames, .. } = &self.mezzanine;
        Manifest {
            i_frames: self.made.i_frames.clone(),
            poster: Some(self.made.poster),
            storyboard: Some(self.made.storyboard.clone()),
            ..bare(revision, (*size, *rate), renditions, *frames)
        }
    }
}

/// Makes the AV1 rungs that beat their H.264 twins, or all where all are wanted.
fn av1_rungs(
    context: &Context<'_>,
    first: &FirstCut,
    tuning: EncodeTuning,
    sink: &mut dyn BlobSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Rendition>, Vec<RungReport>), MediaError> {
    let mezzanine = &first.mezzanine;
    let (mut rungs, mut reports) = (Vec::new(), Vec::new());
    let all = ladder::av1_rungs(mezzanine.size, mezzanine.rate, tuning.av1_tallest);
    let plans: Vec<Plan<'_>> =
        all.into_iter().map(|rung| Plan::new(mezzanine, rung, tuning)).collect();
    let total_frames = plans.iter().map(|plan| plan.pace.frames()).sum();
    let mut before = 0_u64;
    for plan in plans {
        let rung = plan.rung;
        let is_twin = |made: &&Rendition| {
            made.family() == Some(VideoFamily::Avc) && made.short_side() == rung.size.short_side()
        };
        let twin = first.made.renditions.iter().find(is_twin);
        let twin = twin.ok_or_else(|| MediaError::Stream("a rung without its twin".to_owned()))?;
        let mut report = title::probe(context, plan, twin)?;
        report.is_kept |= tuning.keeps_all;
        if report.is_kept {
            let mut told = |of_rung: Progress| {
                let done_frames = before.saturating_add(of_rung.done_frames);
                progress(Progress { done_frames, total_frames, ..of_rung });
            };
            let made = av1::encode(context, plan, report.quantizer, sink, &mut told)?;
            report.is_kept = made.is_some();
            rungs.extend(made);
        }
        before = before.saturating_add(plan.pace.frames());
        reports.push(report);
    }
    Ok((rungs, reports))
}

/// The first frames of a clip, which others will follow.
fn beginning(
    revision: u32,
    outline: &Outline,
    renditions: Vec<Rendition>,
    frames: u64,
) -> Manifest {
    let is_growing = true;
    Manifest { is_growing, ..bare(revision, (outline.size, outline.rate), renditions, frames) }
}

/// A manifest of renditions alone.
fn bare(
    revision: u32,
    (size, rate): (Size, FrameRate),
    renditions: Vec<Rendition>,
    frames: u64,
) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        revision,
        is_growing: false,
        duration_ms: rate.millis_of(frames),
        frame_count: frames,
        frame_rate: rate,
        width: size.width,
        height: size.height,
        target_duration_s: target_of(&renditions),
        renditions,
        i_frames: Vec::new(),
        poster: None,
        storyboard: None,
        captions: Vec::new(),
    }
}

#[expect(clippy::float_arithmetic, reason = "a measured figure for people, stored nowhere")]
fn frames_per_second(frames: u64, elapsed: Duration) -> f64 {
    // A clip has far fewer frames than 32 bits can count.
    let frames = f64::from(u32::try_from(frames).unwrap_or(u32::MAX));
    frames / elapsed.as_secs_f64().max(1e-9)
}
