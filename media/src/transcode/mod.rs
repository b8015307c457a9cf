//! From an accepted upload to published revisions.
//!
//! ```text
//!  upload --probe--> facts --normalise (jailed ffmpeg, the only reader of the upload)-->
//!      mezz.mp4 (constant rate, two-second groups, BT.709) + mezz.wav (48 kHz stereo)
//!        |                                   |
//!        | first: h264, aac, stills (ffmpeg) | av1 (rav1e, one context per group, in parallel)
//!        v                                   v
//!      revision 1: H.264 + AAC             revision 2: the same and AV1
//! ```
//!
//! The completion rule holds for every rendition: exactly the mezzanine's frames, or exactly every
//! second, third of them, groups that start with a key frame, durations that add up; anything else
//! is an error, never a shorter rendition. Must not know where blobs go: they leave through a [`BlobSink`].

mod aac;
mod av1;
mod first;
mod h264;
pub(crate) mod normalise;
mod pace;
mod rendition;
mod stills;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fairground_types::BlobHash;

use crate::error::MediaError;
use crate::jail::Tools;
use crate::manifest::{MANIFEST_VERSION, Manifest, Rendition};
use crate::probe::{ProbePolicy, SourceFacts, probe};

use first::FirstMedia;
use normalise::Mezzanine;
use rendition::target_of;

/// Takes blobs; the caller stores them where it likes.
pub trait BlobSink {
    /// Stores a blob and returns its address.
    ///
    /// # Errors
    /// [`MediaError::Sink`] when it could not be stored; the job then stops.
    fn put(&mut self, bytes: Bytes) -> Result<BlobHash, MediaError>;
}

/// What trades speed for quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeTuning {
    /// rav1e's speed, 0 (best) to 10 (fastest).
    pub av1_speed: u8,
    /// rav1e's constant quantizer, 1 to 255.
    pub av1_quantizer: u8,
    /// Short side of the AV1 rung.
    pub av1_short_side: u32,
    /// Encoders that run at a time: runs of ffmpeg, or groups of pictures in rav1e.
    pub workers: usize,
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Making the mezzanine.
    Normalise,
    /// Making the H.264 rungs and the sound.
    H264,
    /// Making the AV1 rung.
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
    /// Time for the mezzanine.
    pub normalise: Duration,
    /// Time for the H.264 rungs, I-frames, sound and stills.
    pub h264: Duration,
    /// Time for the AV1 rung, in revisions that have one.
    pub av1: Option<Duration>,
    /// Frames per second of the AV1 encoder, all workers together, reading included.
    pub av1_fps: Option<f64>,
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
        Self { av1_speed: 10, av1_quantizer: 130, av1_short_side: 360, workers }
    }
}

impl TranscodeJob {
    /// Describes a job; nothing runs yet.
    #[must_use]
    pub fn new(source: PathBuf, work_dir: PathBuf, tools: Tools, tuning: EncodeTuning) -> Self {
        Self { source, work_dir, tools, tuning, policy: ProbePolicy::default(), first: None }
    }

    /// Stage 1: probe, normalise, H.264 rungs, I-frames, sound and stills; revision 1.
    ///
    /// # Errors
    /// [`MediaError::Rejected`] when the clip is at fault; else by what the caller can do.
    pub fn h264_revision(
        &mut self,
        sink: &mut dyn BlobSink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Revision, MediaError> {
        let first = self.first_cut(sink, progress)?;
        let revision = first.publish(1, first.made.renditions.clone(), sink);
        self.first = Some(first);
        revision
    }

    /// Stage 2: adds the AV1 rung; revision 2 is complete by itself. Runs stage 1 before when it
    /// has not run in this job.
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
            None => self.first_cut(sink, progress)?,
        };
        let started = Instant::now();
        let work_dir =
            self.work_dir.canonicalize().map_err(MediaError::io("find the work folder"))?;
        let context =
            Context { tools: &self.tools, work_dir: &work_dir, source: &first.report.source };
        let rung = av1::encode(&context, &first.mezzanine, &self.tuning, sink, progress)?;
        let elapsed = started.elapsed();
        first.report.av1 = Some(elapsed);
        first.report.av1_fps = Some(frames_per_second(first.mezzanine.frames, elapsed));
        let made = &first.made.renditions;
        let videos = made.iter().filter(|rendition| rendition.family().is_some());
        let mut renditions: Vec<Rendition> = videos.cloned().collect();
        renditions.push(rung);
        let sounds = made.iter().filter(|rendition| rendition.family().is_none());
        renditions.extend(sounds.cloned());
        let revision = first.publish(2, renditions, sink);
        self.first = Some(first);
        revision
    }

    fn first_cut(
        &self,
        sink: &mut dyn BlobSink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<FirstCut, MediaError> {
        std::fs::create_dir_all(&self.work_dir).map_err(MediaError::io("make the work folder"))?;
        let work_dir =
            self.work_dir.canonicalize().map_err(MediaError::io("find the work folder"))?;
        let source = probe(&self.source, &self.tools, &self.policy)?;
        let context = Context { tools: &self.tools, work_dir: &work_dir, source: &source };
        let started = Instant::now();
        let mezzanine = normalise::run(&context, &self.source, progress)?;
        let normalise = started.elapsed();
        let started = Instant::now();
        let made = first::make(&context, &mezzanine, self.tuning.workers, sink, progress)?;
        let h264 = started.elapsed();
        let report = Report { source, normalise, h264, av1: None, av1_fps: None };
        Ok(FirstCut { mezzanine, made, report })
    }
}

/// What every stage needs to start a tool.
struct Context<'a> {
    tools: &'a Tools,
    work_dir: &'a Path,
    source: &'a SourceFacts,
}

impl FirstCut {
    fn publish(
        &self,
        revision: u32,
        renditions: Vec<Rendition>,
        sink: &mut dyn BlobSink,
    ) -> Result<Revision, MediaError> {
        let mezzanine = &self.mezzanine;
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            revision,
            duration_ms: mezzanine.rate.millis_of(mezzanine.frames),
            frame_count: mezzanine.frames,
            frame_rate: mezzanine.rate,
            width: mezzanine.size.width,
            height: mezzanine.size.height,
            target_duration_s: target_of(&renditions),
            renditions,
            i_frames: self.made.i_frames.clone(),
            poster: Some(self.made.poster),
            storyboard: Some(self.made.storyboard.clone()),
            captions: Vec::new(),
        };
        let manifest_hash = sink.put(manifest.to_bytes()?.into())?;
        Ok(Revision { manifest, manifest_hash, report: self.report.clone() })
    }
}

#[expect(clippy::float_arithmetic, reason = "a measured figure for people, stored nowhere")]
fn frames_per_second(frames: u64, elapsed: Duration) -> f64 {
    // A clip has far fewer frames than 32 bits can count.
    let frames = f64::from(u32::try_from(frames).unwrap_or(u32::MAX));
    frames / elapsed.as_secs_f64().max(1e-9)
}
