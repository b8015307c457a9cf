//! The sound: AAC-LC at two bit rates, cut so that its segments start where the picture's do.
//!
//! ```text
//!  frame   0 (priming)   1      2     ...                 k
//!          | 1024        | 1024 | 1024                    |
//!  shown   cut by edit   0      1024                      first frame nearest to 2 s
//!  segment 0 ------------------------------------------>  1 --------->
//! ```

use std::path::Path;

use bytes::Bytes;

use super::Context;
use super::normalise::{common, limits, seconds_max};
use crate::error::MediaError;
use crate::jail::{Invocation, run, words};
use crate::manifest::FrameRate;
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
const FRAME: u64 = FRAME_SAMPLES as u64;

/// One encoding of the sound.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) name: &'static str,
    bit_rate: &'static str,
}

/// Encodes the whole sound, and silence after it, as long as the picture may become.
pub(super) fn encode(
    context: &Context<'_>,
    file: &Path,
    sound: &Sound,
) -> Result<AacStream, MediaError> {
    let seconds = seconds_max(context.source).saturating_add(1);
    let padding = format!("apad=whole_len={}", seconds.saturating_mul(SAMPLE_RATE.into()));
    let mut args = common();
    args.extend(fenced_input("wav"));
    args.push("-i".into());
    args.push(file.as_os_str().to_owned());
    args.extend(words(["-map", "0:a:0", "-map_metadata", "-1", "-af", &padding]));
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
    let stream = adts::parse(&run(&invocation, OUTPUT_MAX)?)?;
    if stream.sample_rate != SAMPLE_RATE || u16::from(stream.channels) != CHANNELS {
        return Err(MediaError::Stream("AAC: not 48 kHz stereo".to_owned()));
    }
    Ok(stream)
}

/// Cuts a sound where the picture's groups end, as far as the picture goes.
#[derive(Debug)]
pub(super) struct Cutter {
    stream: AacStream,
    rate: FrameRate,
    /// Groups that are cut.
    groups: u64,
    /// The first frame that is in no segment.
    start: u64,
    /// The next segment.
    index: u32,
}

/// A segment and its length in samples.
pub(super) type Cut = (Bytes, u64);

impl Cutter {
    pub(super) const fn new(stream: AacStream, rate: FrameRate) -> Self {
        Self { stream, rate, groups: 0, start: 0, index: 0 }
    }

    /// The header and the codec string.
    pub(super) fn header(&self) -> Result<(Bytes, String), MediaError> {
        Ok((init::aac(&self.stream)?, codecs::aac(&self.stream)))
    }

    /// The next segments up to the end of `groups` whole groups that others follow.
    pub(super) fn advance(&mut self, groups: u64) -> Result<Vec<Cut>, MediaError> {
        let mut cuts = Vec::new();
        while self.groups < groups {
            let shown = (self.groups + 1).saturating_mul(self.rate.frames_per_gop());
            let end = (self.samples_until(shown) + FRAME + FRAME / 2) / FRAME;
            cuts.extend(self.cut(end)?);
        }
        Ok(cuts)
    }

    /// The rest, which ends with a picture of so many frames.
    pub(super) fn finish(&mut self, frames: u64) -> Result<Vec<Cut>, MediaError> {
        let wanted = self.samples_until(frames).div_ceil(FRAME) + 1;
        let found = u64::try_from(self.stream.frames.len()).unwrap_or(u64::MAX);
        if found < wanted {
            return Err(MediaError::Stream(format!("AAC: {found} frames instead of {wanted}")));
        }
        let groups = frames.div_ceil(self.rate.frames_per_gop());
        let mut cuts = self.advance(groups.saturating_sub(1))?;
        // A last picture group shorter than an AAC frame has no sound of its own.
        cuts.extend(self.cut(wanted)?);
        Ok(cuts)
    }

    /// The next group, up to a frame of the sound.
    fn cut(&mut self, end: u64) -> Result<Option<Cut>, MediaError> {
        self.groups += 1;
        let bounds = usize::try_from(self.start).ok().zip(usize::try_from(end).ok());
        let samples = bounds.and_then(|(start, end)| self.stream.frames.get(start..end));
        let samples = samples.ok_or_else(|| MediaError::Stream("AAC: too short".to_owned()))?;
        if samples.is_empty() {
            return Ok(None);
        }
        let position = Position {
            index: self.index,
            decode_time: self.start.saturating_mul(FRAME),
            sample_ticks: FRAME_SAMPLES,
            last_ticks: FRAME_SAMPLES,
        };
        let bytes = segment::write(position, samples)?;
        let priming = if self.start == 0 { FRAME } else { 0 };
        let ticks = (end - self.start).saturating_mul(FRAME).saturating_sub(priming);
        self.start = end;
        self.index += 1;
        Ok(Some((bytes, ticks)))
    }

    /// Sound samples that are shown with the first `frames` pictures, rounded to nearest.
    fn samples_until(&self, frames: u64) -> u64 {
        let num = u128::from(self.rate.num.max(1));
        let ticks = u128::from(frames) * u128::from(self.rate.den) * u128::from(SAMPLE_RATE);
        u64::try_from((ticks + num / 2) / num).unwrap_or(u64::MAX)
    }
}
