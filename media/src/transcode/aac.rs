//! The sound: AAC-LC at two bit rates, cut so that its segments start where the picture's do.
//!
//! ```text
//!  frame   0 (priming)   1      2     ...                 k
//!          | 1024        | 1024 | 1024                    |
//!  shown   cut by edit   0      1024                      first frame nearest to 2 s
//!  segment 0 ------------------------------------------>  1 --------->
//! ```

use std::path::Path;

use super::Context;
use super::first::{Part, Queue};
use super::normalise::{Mezzanine, common, limits};
use crate::error::MediaError;
use crate::jail::{Invocation, run, words};
use crate::mux::adts::{self, AacStream, FRAME_SAMPLES};
use crate::mux::segment::{self, Position};
use crate::mux::{codecs, init};
use crate::probe::fenced_input;

/// Samples per second of every sound.
pub(super) const SAMPLE_RATE: u32 = 48_000;
/// Channels of every sound.
pub(super) const CHANNELS: u16 = 2;

/// The encodings of the sound, best first.
pub(super) const SOUNDS: [Sound; 2] =
    [Sound { name: "a-hi", bit_rate: "128k" }, Sound { name: "a-lo", bit_rate: "64k" }];

const OUTPUT_MAX: usize = 64 << 20;

/// One encoding of the sound.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) name: &'static str,
    bit_rate: &'static str,
}

/// Where the parts of one encoding go.
pub(super) struct Outlet<'a> {
    pub(super) queue: &'a Queue,
    pub(super) rendition: usize,
}

impl Outlet<'_> {
    fn send(&self, part: Part) -> Result<(), MediaError> {
        self.queue.send(self.rendition, part)
    }
}

pub(super) fn encode(
    context: &Context<'_>,
    mezzanine: &Mezzanine,
    file: &Path,
    sound: &Sound,
    outlet: &Outlet<'_>,
) -> Result<(), MediaError> {
    let span = samples_until(mezzanine, mezzanine.frames);
    let mut args = common();
    args.extend(fenced_input("wav"));
    args.push("-i".into());
    args.push(file.as_os_str().to_owned());
    let filter = format!("apad=whole_len={span},atrim=end_sample={span}");
    args.extend(words(["-map", "0:a:0", "-map_metadata", "-1", "-af", &filter]));
    args.extend(words(["-c:a", "aac", "-b:a", sound.bit_rate, "-ac", "2", "-ar", "48000"]));
    args.extend(words(["-f", "adts", "pipe:1"]));
    let invocation = Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args,
        read: vec![file.to_owned()],
        write: None,
        limits: limits(context.source),
        report: false,
    };
    let mut stream = adts::parse(&run(&invocation, OUTPUT_MAX)?)?;
    if stream.sample_rate != SAMPLE_RATE || u16::from(stream.channels) != CHANNELS {
        return Err(MediaError::Stream("AAC: not 48 kHz stereo".to_owned()));
    }
    let wanted = usize::try_from(span.div_ceil(FRAME_SAMPLES.into()) + 1).unwrap_or(usize::MAX);
    if stream.frames.len() < wanted {
        let found = stream.frames.len();
        return Err(MediaError::Stream(format!("AAC: {found} frames instead of {wanted}")));
    }
    stream.frames.truncate(wanted);
    let bytes = init::aac(&stream)?;
    outlet.send(Part::Header { bytes, codec: codecs::aac(&stream) })?;
    cut(&stream, mezzanine, outlet)
}

fn cut(stream: &AacStream, mezzanine: &Mezzanine, outlet: &Outlet<'_>) -> Result<(), MediaError> {
    let frames = u64::try_from(stream.frames.len()).unwrap_or(u64::MAX);
    let frame = u64::from(FRAME_SAMPLES);
    let mut start = 0_u64;
    let mut index = 0_u32;
    for group in 1..=mezzanine.groups() {
        let end = if group == mezzanine.groups() {
            frames
        } else {
            let shown = samples_until(mezzanine, group.saturating_mul(mezzanine.gop()));
            ((shown + frame + frame / 2) / frame).min(frames)
        };
        let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let samples = bounds.and_then(|(start, end)| stream.frames.get(start..end));
        let samples = samples.filter(|samples| !samples.is_empty());
        // A last picture group shorter than an AAC frame has no sound of its own.
        let Some(samples) = samples else { continue };
        let decode_time = start.saturating_mul(frame);
        let position =
            Position { index, decode_time, sample_ticks: FRAME_SAMPLES, last_ticks: FRAME_SAMPLES };
        let bytes = segment::write(position, samples)?;
        let priming = if start == 0 { frame } else { 0 };
        let duration_ticks = (end - start).saturating_mul(frame).saturating_sub(priming);
        outlet.send(Part::Segment { bytes, duration_ticks, frames: 0 })?;
        start = end;
        index += 1;
    }
    Ok(())
}

/// Sound samples that are shown with the first `frames` pictures, rounded to nearest.
fn samples_until(mezzanine: &Mezzanine, frames: u64) -> u64 {
    let num = u128::from(mezzanine.rate.num.max(1));
    let ticks = u128::from(frames) * u128::from(mezzanine.rate.den) * u128::from(SAMPLE_RATE);
    u64::try_from((ticks + num / 2) / num).unwrap_or(u64::MAX)
}
