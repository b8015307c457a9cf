//! What revision 1 is made of: all H.264 pictures, the sound and the stills, in few runs of ffmpeg,
//! begun while the mezzanine is still being written.
//!
//! ```text
//!  normalise: mezz.mp4, which grows
//!     |
//!  tasks: sound | tallest rung | other rungs and I-frames | stills
//!            \_____ `workers` threads take them in order ____/
//!                           | headers and segments, a bounded queue
//!                 calling thread: sink, counters, beginnings
//! ```
//!
//! The tallest rung costs about as much as all others together, and decoding the mezzanine as much
//! as a middle rung: hence two runs of pictures, not one per rung. The sound takes seconds and comes
//! first, since a beginning without it is of no use. Read next: `super::h264`, `super::growth`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::aac::{self, Cutter, SOUNDS};
use super::follow::Following;
use super::growth::Growth;
use super::h264::{self, Picture};
use super::normalise::{self, Mezzanine, Outline};
use super::pace::Pace;
use super::rendition::{IFrameParts, RenditionParts, target_of};
use super::stills::{self, Stills};
use super::{BlobSink, Context, EncodeTuning, Progress, Stage, title};
use crate::error::MediaError;
use crate::ladder::{CELLULAR_BPS_MAX, Purpose, Rung, avc_rungs, i_frame_rungs};
use crate::manifest::{IFrameStream, Poster, Rendition, Storyboard, Track};
use crate::mux::adts::AacStream;
use crate::playlist::sound_for;

/// Segments that wait for the sink, over all renditions.
const QUEUE_MAX: usize = 4;
/// Bit rate of the variant that players start with, bits per second (Apple's authoring rules, 1.32).
const DEFAULT_BPS: u64 = 2_000_000;
/// How often the variant for slow networks is made again at most while it is over its total.
const CELLULAR_TRIES: u32 = 3;

/// What revision 1 is made of, and later ones too.
#[derive(Debug, Clone)]
pub(super) struct FirstMedia {
    pub(super) renditions: Vec<Rendition>,
    pub(super) i_frames: Vec<IFrameStream>,
    pub(super) poster: Poster,
    pub(super) storyboard: Storyboard,
}

/// What a task hands to the thread that owns the sink.
pub(super) enum Part {
    /// The header and the codec string.
    Header { bytes: Bytes, codec: String },
    /// The next segment.
    Segment { bytes: Bytes, duration_ticks: u64, frames: u64 },
    /// A whole sound.
    Sound(AacStream),
    /// The stills, which are of no rendition.
    Stills(Box<Stills>),
}

/// Where tasks put their parts.
pub(super) struct Queue(SyncSender<(usize, Part)>);

/// One run of ffmpeg, or a few short ones.
enum Task {
    Pictures(Vec<Picture>),
    /// All encodings of the sound; the first is that rendition.
    Sounds {
        rendition: usize,
    },
    Stills {
        slot: usize,
    },
}

/// What is collected of one rendition.
enum Parts {
    /// With a copy in the work folder, where an AV1 rung of its size will be compared with it.
    Rendition(RenditionParts, Option<File>),
    IFrames(IFrameParts),
    Sound(RenditionParts, Option<Cutter>),
    Stills(Option<(Poster, Storyboard)>),
}

/// What every step of this module needs.
struct Work<'a> {
    context: &'a Context<'a>,
    source: &'a Path,
    following: &'a Following<'a>,
    rungs: &'a [Rung],
    tuning: EncodeTuning,
}

/// Told of every beginning: its renditions, and the frames that they have.
pub(super) type Grown<'a> =
    &'a mut dyn FnMut(&mut dyn BlobSink, Vec<Rendition>, u64) -> Result<(), MediaError>;

/// Makes the mezzanine and all of revision 1; says how long the mezzanine took.
pub(super) fn make(
    context: &Context<'_>,
    (source, outline): (&Path, &Outline),
    tuning: EncodeTuning,
    sink: &mut dyn BlobSink,
    progress: &mut dyn FnMut(Progress),
    grown: Grown<'_>,
) -> Result<(Mezzanine, FirstMedia, Duration), MediaError> {
    forget(&outline.video)?;
    let following = Following::new(outline);
    let rungs = avc_rungs(outline.size, outline.rate);
    let work = Work { context, source, following: &following, rungs: &rungs, tuning };
    let (tasks, mut parts) = work.plan()?;
    let started = Instant::now();
    let (written, run) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            following.written_by(|| {
                let mezzanine = normalise::picture(context, source, &following)?;
                let frames = mezzanine.frames;
                Ok(((mezzanine, started.elapsed()), frames))
            })
        });
        let run = work.run(tasks, &mut parts, sink, progress, grown);
        (writer.join().unwrap_or_else(|_| Err(panicked())), run)
    });
    // A writer that was stopped tells nothing of the cause; one that failed is the cause.
    let (mezzanine, took) = match (written, run) {
        (Err(MediaError::Sink(_)), Err(cause)) => return Err(cause),
        (written, run) => {
            let written = written?;
            run?;
            written
        }
    };
    let made = work.finish(mezzanine.frames, parts, sink)?;
    Ok((mezzanine, made, took))
}

impl Queue {
    pub(super) fn send(&self, rendition: usize, part: Part) -> Result<(), MediaError> {
        self.0
            .send((rendition, part))
            .map_err(|_| MediaError::Sink("the job has stopped".to_owned()))
    }
}

impl Work<'_> {
    /// What is to be done, and where its parts are collected.
    fn plan(&self) -> Result<(VecDeque<Task>, Vec<Parts>), MediaError> {
        let Outline { size, rate, .. } = *self.following.outline;
        let (mut tasks, mut parts, mut pictures) = (VecDeque::new(), Vec::new(), Vec::new());
        for rung in self.rungs.iter().chain(&i_frame_rungs(size, rate)) {
            pictures.push(self.picture(rung, parts.len()));
            parts.push(self.parts(rung)?);
        }
        if self.context.source.has_audio {
            tasks.push_back(Task::Sounds { rendition: parts.len() });
            for sound in &SOUNDS {
                let track = Track::Audio { channels: aac::CHANNELS, sample_rate: aac::SAMPLE_RATE };
                let made = RenditionParts::sound(sound.name, track, aac::SAMPLE_RATE)?;
                parts.push(Parts::Sound(made, None));
            }
        }
        // A lone worker makes all pictures in one run, or beginnings would wait for the end.
        let others = if self.tuning.workers > 1 { pictures.split_off(1) } else { Vec::new() };
        let runs = [pictures, others].into_iter().filter(|pictures| !pictures.is_empty());
        tasks.extend(runs.map(Task::Pictures));
        tasks.push_back(Task::Stills { slot: parts.len() });
        parts.push(Parts::Stills(None));
        Ok((tasks, parts))
    }

    fn pace(&self, rung: &Rung) -> Pace {
        Pace::open(self.following.outline.rate, rung.frame_step)
    }

    fn picture(&self, rung: &Rung, rendition: usize) -> Picture {
        Picture { rung: *rung, pace: self.pace(rung), rendition }
    }

    fn parts(&self, rung: &Rung) -> Result<Parts, MediaError> {
        let pace = self.pace(rung);
        Ok(match rung.purpose {
            Purpose::Seek => Parts::IFrames(IFrameParts::new(rung, pace)?),
            Purpose::Watch if rung.size.short_side() <= self.tuning.av1_tallest => {
                let file = self.context.work_dir.join(title::twin_file(&rung.name()));
                let copy = File::create(file).map_err(MediaError::io("keep a rung"))?;
                Parts::Rendition(RenditionParts::video(rung, pace)?, Some(copy))
            }
            Purpose::Watch | Purpose::Cellular => {
                Parts::Rendition(RenditionParts::video(rung, pace)?, None)
            }
        })
    }

    /// Runs the tasks, `workers` at a time, and collects what they make.
    fn run(
        &self,
        tasks: VecDeque<Task>,
        parts: &mut [Parts],
        sink: &mut dyn BlobSink,
        progress: &mut dyn FnMut(Progress),
        grown: Grown<'_>,
    ) -> Result<(), MediaError> {
        let pictures = tasks.iter().flat_map(|task| match task {
            Task::Pictures(pictures) => pictures.as_slice(),
            Task::Sounds { .. } | Task::Stills { .. } => &[],
        });
        let expected = self.following.outline.expected;
        let total = pictures.map(|picture| picture.pace.closed(expected).frames()).sum();
        let mut counter = Counter { done: 0, total };
        let mut growth = Growth::default();
        let workers = self.tuning.workers.clamp(1, tasks.len().max(1));
        let tasks = Mutex::new(tasks);
        std::thread::scope(|scope| {
            let (queue, parts_in) = sync_channel(QUEUE_MAX);
            let mut threads = Vec::new();
            for _ in 0..workers {
                let queue = Queue(queue.clone());
                let tasks = &tasks;
                threads.push(scope.spawn(move || self.work_off(tasks, &queue)));
            }
            // Only the threads may keep senders, or nobody would see that they have ended.
            drop(queue);
            let stored: Result<(), MediaError> = parts_in.iter().try_for_each(|(index, part)| {
                let slot = parts.get_mut(index);
                let slot =
                    slot.ok_or_else(|| MediaError::Stream("a part of no rendition".into()))?;
                let added = slot.take(part, self.following.outline, sink)?;
                if added > 0 {
                    progress(counter.add(added));
                    self.grow(&mut growth, parts, sink, grown)?;
                }
                Ok(())
            });
            if stored.is_err() {
                self.following.stop();
            }
            // Without a receiver the threads stop at their next part.
            drop(parts_in);
            let ended: Vec<Result<(), MediaError>> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
                .collect();
            stored.and_then(|()| ended.into_iter().collect())
        })
    }

    /// Publishes a beginning when there is one. Of a picture it has all groups that others follow: only
    /// then is it known where their sound ends.
    fn grow(
        &self,
        growth: &mut Growth,
        parts: &mut [Parts],
        sink: &mut dyn BlobSink,
        grown: Grown<'_>,
    ) -> Result<(), MediaError> {
        let pictures = parts.iter().filter_map(|parts| match parts {
            Parts::Rendition(parts, _) => Some(parts.groups()),
            Parts::Sound(..) | Parts::IFrames(_) | Parts::Stills(_) => None,
        });
        let groups = pictures.min().unwrap_or(0).saturating_sub(1);
        let gop = self.following.outline.rate.frames_per_gop();
        let all = self.following.frames_now().map(|frames| frames.div_ceil(gop));
        // The whole is about to come.
        if all.is_some_and(|all| groups.saturating_add(1) >= all) {
            return Ok(());
        }
        let is_mute = parts.iter().any(|parts| matches!(parts, Parts::Sound(_, None)));
        if is_mute || !growth.is_due(groups, Instant::now()) {
            return Ok(());
        }
        let mut renditions = Vec::new();
        for parts in parts {
            let beginning = match parts {
                Parts::Rendition(parts, _) => parts.beginning(groups),
                Parts::Sound(parts, Some(cutter)) => {
                    put_cuts(parts, cutter.advance(groups)?, sink)?;
                    parts.beginning(groups)
                }
                Parts::Sound(_, None) | Parts::IFrames(_) | Parts::Stills(_) => continue,
            };
            let Some(beginning) = beginning else { return Ok(()) };
            renditions.push(beginning);
        }
        put_default_first(self.rungs, &mut renditions);
        grown(sink, renditions, groups.saturating_mul(gop))
    }

    fn work_off(&self, tasks: &Mutex<VecDeque<Task>>, queue: &Queue) -> Result<(), MediaError> {
        let list = || tasks.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(task) = list().pop_front() else { return Ok(()) };
            let done = match task {
                Task::Pictures(pictures) => {
                    h264::encode(self.context, self.following, &pictures, queue)
                }
                Task::Sounds { rendition } => self.sounds(rendition, queue),
                Task::Stills { slot } => self.stills(slot, queue),
            };
            if done.is_err() {
                // What others would still begin is of no use, nor is the rest of the mezzanine.
                list().clear();
                self.following.stop();
                return done;
            }
        }
    }

    fn sounds(&self, rendition: usize, queue: &Queue) -> Result<(), MediaError> {
        let Some(file) = normalise::sound(self.context, self.source)? else {
            return Ok(());
        };
        for (index, sound) in SOUNDS.iter().enumerate() {
            let stream = aac::encode(self.context, &file, sound)?;
            queue.send(rendition.saturating_add(index), Part::Sound(stream))?;
        }
        Ok(())
    }

    fn stills(&self, slot: usize, queue: &Queue) -> Result<(), MediaError> {
        let mezzanine = self.following.outline.whole(self.following.frames()?);
        let made = stills::make(self.context, &mezzanine)?;
        queue.send(slot, Part::Stills(Box::new(made)))
    }

    /// Closes what was collected, once the mezzanine is whole.
    fn finish(
        &self,
        frames: u64,
        parts: Vec<Parts>,
        sink: &mut dyn BlobSink,
    ) -> Result<FirstMedia, MediaError> {
        let (mut renditions, mut streams, mut stills) = (Vec::new(), Vec::new(), None);
        for parts in parts {
            match parts {
                Parts::Rendition(parts, _) => renditions.push(parts.finish(frames)?),
                Parts::Sound(mut parts, Some(mut cutter)) => {
                    put_cuts(&mut parts, cutter.finish(frames)?, sink)?;
                    renditions.push(parts.finish(frames)?);
                }
                // A track of sound without any: the clip is mute.
                Parts::Sound(_, None) => {}
                Parts::IFrames(parts) => streams.push(parts),
                Parts::Stills(made) => stills = made,
            }
        }
        self.fit_cellular(frames, &mut renditions, sink)?;
        put_default_first(self.rungs, &mut renditions);
        let target = target_of(&renditions);
        let i_frames: Result<Vec<_>, MediaError> =
            streams.into_iter().map(|stream| stream.finish(frames, target, sink)).collect();
        let (poster, storyboard) =
            stills.ok_or_else(|| MediaError::Stream("no stills were made".to_owned()))?;
        Ok(FirstMedia { renditions, i_frames: i_frames?, poster, storyboard })
    }

    /// Makes the variant for slow networks again, with a lower cap, until it keeps its total.
    fn fit_cellular(
        &self,
        frames: u64,
        renditions: &mut [Rendition],
        sink: &mut dyn BlobSink,
    ) -> Result<(), MediaError> {
        let rungs = self.rungs;
        let Some(index) = rungs.iter().position(|rung| rung.purpose == Purpose::Cellular) else {
            return Ok(());
        };
        let sounds = renditions.iter().filter(|rendition| rendition.family().is_none());
        let sound = sounds.map(|sound| sound.bandwidth).min().unwrap_or(0);
        let Some((rung, slot)) = rungs.get(index).zip(renditions.get_mut(index)) else {
            return Ok(());
        };
        let mut rung = *rung;
        for attempt in 0.. {
            let total = slot.bandwidth.saturating_add(sound);
            if total <= CELLULAR_BPS_MAX {
                break;
            }
            if attempt == CELLULAR_TRIES {
                tracing::warn!(total, "no variant for slow networks");
                break;
            }
            tracing::debug!(total, cap = rung.cap_bps, "variant for slow networks over its total");
            rung.cap_bps = rung.cap_bps / 4 * 3;
            let task = Task::Pictures(vec![self.picture(&rung, 0)]);
            let mut parts = [self.parts(&rung)?];
            self.run([task].into(), &mut parts, sink, &mut |_| {}, &mut |_, _, _| Ok(()))?;
            for parts in parts {
                if let Parts::Rendition(parts, _) = parts {
                    *slot = parts.finish(frames)?;
                }
            }
        }
        Ok(())
    }
}

impl Parts {
    /// Takes a part; returns its pictures.
    fn take(
        &mut self,
        part: Part,
        outline: &Outline,
        sink: &mut dyn BlobSink,
    ) -> Result<u64, MediaError> {
        match (self, part) {
            (Self::Rendition(parts, copy), Part::Header { bytes, codec }) => {
                append(copy, &bytes)?;
                parts.put_header(bytes, codec, sink).map(|()| 0)
            }
            (Self::IFrames(parts), Part::Header { bytes, codec }) => {
                parts.put_header(bytes, codec, sink).map(|()| 0)
            }
            (Self::Rendition(parts, copy), Part::Segment { bytes, duration_ticks, frames }) => {
                append(copy, &bytes)?;
                parts.put_segment(bytes, duration_ticks, frames, sink).map(|()| frames)
            }
            (Self::IFrames(parts), Part::Segment { bytes, duration_ticks, frames }) => {
                parts.add(&bytes, duration_ticks).map(|()| frames)
            }
            (Self::Sound(parts, cutter), Part::Sound(stream)) => {
                let made = cutter.insert(Cutter::new(stream, outline.rate));
                let (bytes, codec) = made.header()?;
                parts.put_header(bytes, codec, sink).map(|()| 0)
            }
            (Self::Stills(made), Part::Stills(stills)) => {
                *made = Some(stills.put(sink)?);
                Ok(0)
            }
            (Self::Stills(_) | Self::Sound(..), _) | (_, Part::Stills(_) | Part::Sound(_)) => {
                Err(MediaError::Stream("a part of another kind".to_owned()))
            }
        }
    }
}

fn append(copy: &mut Option<File>, bytes: &[u8]) -> Result<(), MediaError> {
    copy.as_mut()
        .map_or(Ok(()), |copy| copy.write_all(bytes))
        .map_err(MediaError::io("keep a rung"))
}

/// Whoever reads along must never begin with what an earlier attempt has left.
fn forget(file: &Path) -> Result<(), MediaError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(MediaError::io("remove an old mezzanine")(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn put_cuts(
    parts: &mut RenditionParts,
    cuts: Vec<aac::Cut>,
    sink: &mut dyn BlobSink,
) -> Result<(), MediaError> {
    cuts.into_iter().try_for_each(|(bytes, ticks)| parts.put_segment(bytes, ticks, 0, sink))
}

/// Pictures done of all that are to be made.
struct Counter {
    done: u64,
    total: u64,
}

impl Counter {
    fn add(&mut self, frames: u64) -> Progress {
        self.done = self.done.saturating_add(frames);
        // The upload may have promised fewer.
        self.total = self.total.max(self.done);
        Progress { stage: Stage::H264, done_frames: self.done, total_frames: self.total }
    }
}

/// Players start with the first variant: the one that is, with its sound and on average, nearest to
/// what most networks bear.
fn put_default_first(rungs: &[Rung], renditions: &mut [Rendition]) {
    let tallest = rungs.iter().map(|rung| rung.size.short_side()).max().unwrap_or(0);
    let bps = |rendition: &Rendition| {
        let sounds = renditions.iter().filter(|rendition| rendition.family().is_none());
        let sound = sound_for(rendition.short_side(), tallest, sounds);
        let sound = sound.map_or(0, |sound| sound.average_bandwidth);
        rendition.average_bandwidth.saturating_add(sound)
    };
    let default = rungs
        .iter()
        .zip(renditions.iter())
        .enumerate()
        .filter(|(_, (rung, _))| rung.purpose == Purpose::Watch)
        .min_by_key(|(_, (_, rendition))| bps(rendition).abs_diff(DEFAULT_BPS))
        .map(|(index, _)| index);
    if let Some(upto) = default.and_then(|index| renditions.get_mut(..=index)) {
        upto.rotate_right(1);
    }
}

fn panicked() -> MediaError {
    MediaError::Encoder("a packaging thread panicked".to_owned())
}
