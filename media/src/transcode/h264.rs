//! The H.264 rungs (x264 through jailed ffmpeg), all at once, with the sound beside them.
//!
//! Each rung is one process whose fragments arrive on a pipe, are checked, rewritten with our own
//! boxes and handed to the sink on the calling thread. Read next: `mux::fragments`.

use std::process::ChildStdout;
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::Bytes;

use super::normalise::{Mezzanine, SCALE_FLAGS, bt709, common, limits, open_video};
use super::rendition::RenditionParts;
use super::{BlobSink, Context, Progress, Stage, aac};
use crate::error::MediaError;
use crate::jail::{Invocation, run_streaming, words};
use crate::ladder::{Rung, Size, avc_level, avc_rungs};
use crate::manifest::{Rendition, Track};
use crate::mux::fragments::{Fragment, Fragments};
use crate::mux::segment::{self, Position};
use crate::mux::{codecs, init};

/// Segments that wait for the sink, over all rungs.
const QUEUE_MAX: usize = 4;

/// What a rung's thread hands to the thread that owns the sink.
pub(super) enum Part {
    /// The header and the codec string.
    Header { bytes: Bytes, codec: String },
    /// The next segment.
    Segment { bytes: Bytes, duration_ticks: u64, frames: u64 },
}

/// A sender of parts that remembers whose they are.
pub(super) struct Outlet {
    rendition: usize,
    queue: SyncSender<(usize, Part)>,
}

impl Outlet {
    pub(super) fn send(&self, part: Part) -> Result<(), MediaError> {
        self.queue
            .send((self.rendition, part))
            .map_err(|_| MediaError::Sink("the job has stopped".to_owned()))
    }
}

pub(super) fn encode_all(
    context: &Context<'_>,
    mezzanine: &Mezzanine,
    sink: &mut dyn BlobSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Rendition>, MediaError> {
    let mut rungs = avc_rungs(mezzanine.size, mezzanine.rate);
    // The first variant is the one that players start with: the middle one, if there are several.
    let default = rungs.len() / 2;
    rungs.rotate_left(default);
    let mut parts = Vec::new();
    for rung in &rungs {
        parts.push((RenditionParts::video(rung, mezzanine)?, 0_u64));
    }
    if mezzanine.audio.is_some() {
        let track = Track::Audio { channels: aac::CHANNELS, sample_rate: aac::SAMPLE_RATE };
        parts.push((RenditionParts::new("a-hi", track, aac::SAMPLE_RATE)?, 0));
    }
    let videos = u64::try_from(rungs.len()).unwrap_or(1);
    let total_frames = mezzanine.frames.saturating_mul(videos);
    let mut done_frames = 0;
    std::thread::scope(|scope| {
        let (queue, parts_in) = sync_channel(QUEUE_MAX);
        let outlet = |rendition| Outlet { rendition, queue: queue.clone() };
        let mut threads = Vec::new();
        for (index, rung) in rungs.iter().enumerate() {
            let outlet = outlet(index);
            threads.push(scope.spawn(move || encode(context, mezzanine, rung, &outlet)));
        }
        if let Some(audio) = &mezzanine.audio {
            let outlet = outlet(rungs.len());
            threads.push(scope.spawn(move || aac::encode(context, mezzanine, audio, &outlet)));
        }
        drop(queue);
        let stored = parts_in.iter().try_for_each(|(index, part)| {
            let (rendition, frames) = parts
                .get_mut(index)
                .ok_or_else(|| MediaError::Stream("a part of no rendition".to_owned()))?;
            match part {
                Part::Header { bytes, codec } => rendition.put_header(bytes, codec, sink),
                Part::Segment { bytes, duration_ticks, frames: added } => {
                    *frames += added;
                    done_frames += added;
                    progress(Progress { stage: Stage::H264, done_frames, total_frames });
                    rendition.put_segment(bytes, duration_ticks, sink)
                }
            }
        });
        // Without a receiver the threads stop at their next part.
        drop(parts_in);
        let ended: Vec<Result<(), MediaError>> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
            .collect();
        stored.and_then(|()| ended.into_iter().collect::<Result<(), MediaError>>())
    })?;
    parts.into_iter().map(|(rendition, frames)| rendition.finish(frames, mezzanine)).collect()
}

fn encode(
    context: &Context<'_>,
    mezzanine: &Mezzanine,
    rung: &Rung,
    outlet: &Outlet,
) -> Result<(), MediaError> {
    let invocation = Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args: arguments(mezzanine, rung),
        read: vec![mezzanine.video.clone()],
        write: None,
        limits: limits(context.source),
        report: false,
    };
    run_streaming(&invocation, |stdout| repackage(stdout, mezzanine, rung.size, outlet))
}

fn arguments(mezzanine: &Mezzanine, rung: &Rung) -> Vec<std::ffi::OsString> {
    let Size { width, height } = rung.size;
    let level = avc_level(rung.size, mezzanine.rate);
    let level = format!("{}.{}", level / 10, level % 10);
    let gop = mezzanine.gop().to_string();
    let cap = rung.cap_bps.to_string();
    let scale = format!("scale={width}:{height}:flags={SCALE_FLAGS},setsar=1,format=yuv420p");
    let mut args = common();
    args.extend(open_video(mezzanine));
    args.extend(words(["-map", "0:v:0", "-map_metadata", "-1", "-fps_mode", "passthrough"]));
    args.extend(words(["-vf", &scale, "-c:v", "libx264", "-preset", "veryfast"]));
    args.extend(words(["-profile:v", "high", "-level:v", &level, "-threads", "1"]));
    args.extend(words(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]));
    args.extend(words(["-flags", "+cgop", "-crf", "23", "-maxrate", &cap, "-bufsize", &cap]));
    args.extend(bt709());
    // Unit type 6 is supplemental information, which only names the encoder.
    args.extend(words(["-bsf:v", "filter_units=remove_types=6"]));
    args.extend(words(["-video_track_timescale", &mezzanine.rate.num.to_string()]));
    args.extend(words(["-movflags", "+frag_keyframe+empty_moov+default_base_moof"]));
    args.extend(words(["-f", "mp4", "pipe:1"]));
    args
}

fn repackage(
    stdout: &mut ChildStdout,
    mezzanine: &Mezzanine,
    size: Size,
    outlet: &Outlet,
) -> Result<(), MediaError> {
    let mut fragments = Fragments::new(stdout);
    let mut group = 0_u64;
    while let Some(fragment) = fragments.next_fragment()? {
        if group == 0 {
            let avcc = fragments.avc_config()?;
            let sps = avcc.sequence_parameter_sets.first().map(Vec::as_slice);
            let codec = codecs::avc(sps.unwrap_or_default())?;
            let bytes = init::avc(avcc, size, mezzanine.rate)?;
            outlet.send(Part::Header { bytes, codec })?;
        }
        let (bytes, frames) = rewrite(fragment, mezzanine, group)?;
        let duration_ticks = frames.saturating_mul(mezzanine.rate.den.into());
        outlet.send(Part::Segment { bytes, duration_ticks, frames })?;
        group += 1;
    }
    Ok(())
}

/// Checks a group and writes it with its place on our own exact clock.
///
/// ffmpeg delays all presentation times by a constant so that no offset is negative; the delay is
/// taken out again, since players take the decode time of the first sample as the start.
fn rewrite(
    fragment: Fragment,
    mezzanine: &Mezzanine,
    group: u64,
) -> Result<(Bytes, u64), MediaError> {
    let wrong = |what: &str| MediaError::Stream(format!("H.264 group {group}: {what}"));
    let mut samples = fragment.samples;
    let frames = u64::try_from(samples.len()).unwrap_or(u64::MAX);
    if frames != mezzanine.frames_of(group) {
        return Err(wrong("another number of frames than the mezzanine"));
    }
    let mut keys = samples.iter().map(|sample| sample.sync);
    if keys.next() != Some(true) || keys.any(|sync| sync) {
        return Err(wrong("key frames are not where groups start"));
    }
    let delay = samples.first().map_or(0, |sample| sample.composition);
    let ticks = i64::from(mezzanine.rate.den);
    let mut shown = vec![false; samples.len()];
    for (index, sample) in samples.iter_mut().enumerate() {
        sample.composition = sample.composition.saturating_sub(delay);
        let offset = i64::from(sample.composition);
        let place = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(offset / ticks);
        let slot = usize::try_from(place).ok().and_then(|place| shown.get_mut(place));
        let slot = slot.filter(|taken| !**taken && offset % ticks == 0);
        *slot.ok_or_else(|| wrong("presentation times are not one per frame"))? = true;
    }
    let start = group.saturating_mul(mezzanine.gop());
    let position = Position {
        index: u32::try_from(group).map_err(|_| wrong("too many groups"))?,
        decode_time: start.saturating_mul(mezzanine.rate.den.into()),
        sample_ticks: mezzanine.rate.den,
    };
    Ok((segment::write(position, &samples)?, frames))
}

fn panicked() -> MediaError {
    MediaError::Encoder("a packaging thread panicked".to_owned())
}
