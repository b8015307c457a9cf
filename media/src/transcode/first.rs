//! What revision 1 is made of: all H.264 pictures, the sound and the stills, in few runs of ffmpeg.
//!
//! ```text
//!  tasks: tallest rung | other rungs and I-frames | sound, 128 kb/s | sound, 64 kb/s | stills
//!            \_______________ `workers` threads take them in order ______________/
//!                                      | headers and segments, a bounded queue
//!                            calling thread: sink, counters
//! ```
//!
//! The tallest rung costs about as much as all others together, and decoding the mezzanine as much
//! as a middle rung: hence two runs of pictures, not one per rung. Read next: `super::h264`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::aac::{self, SOUNDS, Sound};
use super::h264::{self, Picture};
use super::normalise::Mezzanine;
use super::rendition::{IFrameParts, RenditionParts, target_of};
use super::stills::{self, Stills};
use super::{BlobSink, Context, Progress, Stage};
use crate::error::MediaError;
use crate::ladder::{CELLULAR_BPS_MAX, Purpose, Rung, avc_rungs, i_frame_rungs};
use crate::manifest::{IFrameStream, Poster, Rendition, Storyboard, Track};
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
    /// The stills, which are of no rendition.
    Stills(Box<Stills>),
}

/// Where tasks put their parts.
pub(super) struct Queue(SyncSender<(usize, Part)>);

/// One run of ffmpeg, or a few short ones.
enum Task<'a> {
    Pictures(Vec<Picture>),
    Sound { file: &'a Path, sound: &'static Sound, rendition: usize },
    Stills { slot: usize },
}

/// What is collected of one rendition.
enum Parts {
    Rendition(RenditionParts),
    IFrames(IFrameParts),
    Stills(Option<(Poster, Storyboard)>),
}

/// What every step of this module needs.
struct Work<'a> {
    context: &'a Context<'a>,
    mezzanine: &'a Mezzanine,
    workers: usize,
}

pub(super) fn make(
    context: &Context<'_>,
    mezzanine: &Mezzanine,
    workers: usize,
    sink: &mut dyn BlobSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<FirstMedia, MediaError> {
    let work = Work { context, mezzanine, workers };
    let rungs = avc_rungs(mezzanine.size, mezzanine.rate);
    let seek = i_frame_rungs(mezzanine.size, mezzanine.rate);
    let mut parts = Vec::new();
    let mut pictures = Vec::new();
    for rung in rungs.iter().chain(&seek) {
        pictures.push(work.picture(rung, parts.len()));
        parts.push(work.parts(rung)?);
    }
    let others = pictures.split_off(1);
    let mut tasks: VecDeque<Task<'_>> = [pictures, others].map(Task::Pictures).into();
    if let Some(file) = &mezzanine.audio {
        for sound in &SOUNDS {
            tasks.push_back(Task::Sound { file, sound, rendition: parts.len() });
            let track = Track::Audio { channels: aac::CHANNELS, sample_rate: aac::SAMPLE_RATE };
            let made = RenditionParts::sound(sound.name, track, aac::SAMPLE_RATE)?;
            parts.push(Parts::Rendition(made));
        }
    }
    tasks.push_back(Task::Stills { slot: parts.len() });
    parts.push(Parts::Stills(None));
    work.run(tasks, &mut parts, sink, progress)?;
    let (mut renditions, mut streams, mut stills) = (Vec::new(), Vec::new(), None);
    for parts in parts {
        match parts {
            Parts::Rendition(parts) => renditions.push(parts.finish()?),
            Parts::IFrames(parts) => streams.push(parts),
            Parts::Stills(made) => stills = made,
        }
    }
    work.fit_cellular(&rungs, &mut renditions, sink)?;
    put_default_first(&rungs, &mut renditions);
    let target = target_of(&renditions);
    let i_frames: Result<Vec<_>, MediaError> =
        streams.into_iter().map(|stream| stream.finish(target, sink)).collect();
    let (poster, storyboard) =
        stills.ok_or_else(|| MediaError::Stream("no stills were made".to_owned()))?;
    Ok(FirstMedia { renditions, i_frames: i_frames?, poster, storyboard })
}

impl Queue {
    pub(super) fn send(&self, rendition: usize, part: Part) -> Result<(), MediaError> {
        self.0
            .send((rendition, part))
            .map_err(|_| MediaError::Sink("the job has stopped".to_owned()))
    }
}

impl Work<'_> {
    fn picture(&self, rung: &Rung, rendition: usize) -> Picture {
        Picture { rung: *rung, pace: self.mezzanine.pace(rung.frame_step), rendition }
    }

    fn parts(&self, rung: &Rung) -> Result<Parts, MediaError> {
        let pace = self.mezzanine.pace(rung.frame_step);
        Ok(match rung.purpose {
            Purpose::Seek => Parts::IFrames(IFrameParts::new(rung, pace)?),
            Purpose::Watch | Purpose::Cellular => {
                Parts::Rendition(RenditionParts::video(rung, pace)?)
            }
        })
    }

    /// Runs the tasks, `workers` at a time, and collects what they make.
    fn run(
        &self,
        tasks: VecDeque<Task<'_>>,
        parts: &mut [Parts],
        sink: &mut dyn BlobSink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), MediaError> {
        let pictures = tasks.iter().flat_map(|task| match task {
            Task::Pictures(pictures) => pictures.as_slice(),
            Task::Sound { .. } | Task::Stills { .. } => &[],
        });
        let total_frames = pictures.map(|picture| picture.pace.frames()).sum();
        let mut done_frames = 0;
        let workers = self.workers.clamp(1, tasks.len().max(1));
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
                let parts = parts
                    .get_mut(index)
                    .ok_or_else(|| MediaError::Stream("a part of no rendition".to_owned()))?;
                let added = parts.take(part, sink)?;
                if added > 0 {
                    done_frames += added;
                    progress(Progress { stage: Stage::H264, done_frames, total_frames });
                }
                Ok(())
            });
            // Without a receiver the threads stop at their next part.
            drop(parts_in);
            let ended: Vec<Result<(), MediaError>> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
                .collect();
            stored.and_then(|()| ended.into_iter().collect())
        })
    }

    fn work_off(&self, tasks: &Mutex<VecDeque<Task<'_>>>, queue: &Queue) -> Result<(), MediaError> {
        let list = || tasks.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(task) = list().pop_front() else { return Ok(()) };
            let done = match task {
                Task::Pictures(pictures) => {
                    h264::encode(self.context, self.mezzanine, &pictures, queue)
                }
                Task::Sound { file, sound, rendition } => {
                    let outlet = aac::Outlet { queue, rendition };
                    aac::encode(self.context, self.mezzanine, file, sound, &outlet)
                }
                Task::Stills { slot } => stills::make(self.context, self.mezzanine)
                    .and_then(|made| queue.send(slot, Part::Stills(Box::new(made)))),
            };
            if done.is_err() {
                // What others would still begin is of no use.
                list().clear();
                return done;
            }
        }
    }

    /// Makes the variant for slow networks again, with a lower cap, until it keeps its total.
    fn fit_cellular(
        &self,
        rungs: &[Rung],
        renditions: &mut [Rendition],
        sink: &mut dyn BlobSink,
    ) -> Result<(), MediaError> {
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
            self.run([task].into(), &mut parts, sink, &mut |_| {})?;
            for parts in parts {
                if let Parts::Rendition(parts) = parts {
                    *slot = parts.finish()?;
                }
            }
        }
        Ok(())
    }
}

impl Parts {
    /// Takes a part; returns its pictures.
    fn take(&mut self, part: Part, sink: &mut dyn BlobSink) -> Result<u64, MediaError> {
        match (self, part) {
            (Self::Rendition(parts), Part::Header { bytes, codec }) => {
                parts.put_header(bytes, codec, sink).map(|()| 0)
            }
            (Self::IFrames(parts), Part::Header { bytes, codec }) => {
                parts.put_header(bytes, codec, sink).map(|()| 0)
            }
            (Self::Rendition(parts), Part::Segment { bytes, duration_ticks, frames }) => {
                parts.put_segment(bytes, duration_ticks, frames, sink).map(|()| frames)
            }
            (Self::IFrames(parts), Part::Segment { bytes, duration_ticks, frames }) => {
                parts.add(&bytes, duration_ticks).map(|()| frames)
            }
            (Self::Stills(made), Part::Stills(stills)) => {
                *made = Some(stills.put(sink)?);
                Ok(0)
            }
            (Self::Stills(_), _) | (_, Part::Stills(_)) => {
                Err(MediaError::Stream("a part of another kind".to_owned()))
            }
        }
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
