//! The untrusted upload becomes a trusted mezzanine, in jailed runs of ffmpeg: first the sound, which
//! takes seconds, then the picture, along which renditions are made.
//!
//! Upright, square pixels, BT.709, eight bits, constant frame rate, closed groups of two seconds,
//! at the size of the tallest rung, with the maker's mark drawn in; sound as 48 kHz stereo, aligned to
//! the first picture. Its frame count is the truth that every rendition is held to. No other stage
//! reads the upload.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Context;
use super::follow::Following;
use super::mark::Overlay;
use super::pace::Pace;
use crate::error::{MediaError, Rejection};
use crate::jail::{Invocation, JailLimits, run, run_streaming, words};
use crate::ladder::{Size, constant_rate, mezzanine_size};
use crate::manifest::FrameRate;
use crate::mux::fragments::Fragments;
use crate::probe::{SourceFacts, fenced_input};

/// Scaler flags whose result does not depend on the processor (measured).
pub(crate) const SCALE_FLAGS: &str = "lanczos+accurate_rnd+bitexact+full_chroma_int";
/// Bytes of the header of a WAV file; a file that is not longer has no sound.
const WAV_HEADER_MAX: u64 = 128;

/// What the mezzanine will be: known before it is made.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    pub(super) video: PathBuf,
    pub(super) size: Size,
    pub(super) rate: FrameRate,
    /// Frames that the upload promises.
    pub(super) expected: u64,
}

/// What every rendition is made of.
#[derive(Debug)]
pub(super) struct Mezzanine {
    pub(super) video: PathBuf,
    pub(super) size: Size,
    pub(super) rate: FrameRate,
    pub(super) frames: u64,
}

impl Outline {
    pub(super) fn new(context: &Context<'_>) -> Self {
        let facts = context.source;
        let rate = constant_rate(facts.frame_rate);
        Self {
            video: context.work_dir.join("mezz.mp4"),
            size: mezzanine_size(facts.display_size()),
            rate,
            expected: expected_frames(facts, rate),
        }
    }

    /// The mezzanine, once its frames are counted.
    pub(super) fn whole(&self, frames: u64) -> Mezzanine {
        let Self { video, size, rate, .. } = self.clone();
        Mezzanine { video, size, rate, frames }
    }
}

impl Mezzanine {
    /// Frames of every group but the last.
    pub(super) fn gop(&self) -> u64 {
        self.rate.frames_per_gop()
    }

    /// Groups of pictures, which are segments.
    pub(super) fn groups(&self) -> u64 {
        self.frames.div_ceil(self.gop())
    }

    /// The pictures of a rendition that has every `step`-th frame.
    pub(super) fn pace(&self, step: u32) -> Pace {
        Pace::new(self.rate, self.frames, step)
    }
}

/// Makes the picture; ends early when nobody needs it any more.
pub(super) fn picture(
    context: &Context<'_>,
    source: &Path,
    following: &Following<'_>,
) -> Result<Mezzanine, MediaError> {
    let outline = following.outline;
    let mark = context.mark.map(|text| Overlay::write(text, outline.size, context.work_dir));
    let mark = mark.transpose()?.flatten();
    let args = picture_arguments(context.source, source, outline, mark.as_ref());
    let mut invocation = invocation(context, source, args);
    invocation.read.extend(mark.map(|mark| mark.file));
    run_streaming(&invocation, |stdout| {
        // Its progress is of interest only as a beat.
        for line in BufReader::new(stdout).lines() {
            line.map_err(MediaError::io("follow ffmpeg"))?;
            if following.is_stopped() {
                return Err(MediaError::Sink("the job has stopped".to_owned()));
            }
        }
        Ok(())
    })
    .map_err(blame_the_clip)?;
    let mezzanine = outline.whole(count_frames(outline)?);
    check_length(context.source, &mezzanine)?;
    Ok(mezzanine)
}

/// Makes the sound; `None` when the upload has none.
pub(super) fn sound(context: &Context<'_>, source: &Path) -> Result<Option<PathBuf>, MediaError> {
    let facts = context.source;
    if !facts.has_audio {
        return Ok(None);
    }
    let file = context.work_dir.join("mezz.wav");
    let mut args = open_upload(facts, source);
    args.extend(words(["-map", "0:a:0", "-vn", "-dn", "-sn", "-map_metadata", "-1"]));
    let time_cap = seconds_max(facts).to_string();
    args.extend(words(["-t", &time_cap, "-af", "aresample=48000:async=1:first_pts=0"]));
    args.extend(words(["-ac", "2", "-ar", "48000", "-c:a", "pcm_s16le"]));
    args.extend(words(["-bitexact", "-f", "wav"]));
    args.push(file.clone().into());
    run(&invocation(context, source, args), 0).map_err(blame_the_clip)?;
    let bytes = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
    Ok((bytes > WAV_HEADER_MAX).then_some(file))
}

fn invocation<'a>(context: &Context<'a>, source: &Path, args: Vec<OsString>) -> Invocation<'a> {
    Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args,
        read: vec![source.to_owned()],
        write: Some(context.work_dir.to_owned()),
        limits: limits(context.source),
        report: false,
    }
}

/// Bounds that grow with the length of the clip.
pub(super) fn limits(facts: &SourceFacts) -> JailLimits {
    let seconds = facts.duration.as_millis() / 1000 + 1;
    let allowed = 120 + seconds.saturating_mul(30);
    JailLimits { cpu_seconds: allowed, wall: Duration::from_secs(allowed), ..JailLimits::default() }
}

/// Arguments that begin every run of ffmpeg.
pub(crate) fn common() -> Vec<OsString> {
    words([
        "-nostdin",
        "-hide_banner",
        "-v",
        "error",
        "-nostats",
        "-y",
        "-max_alloc",
        "268435456",
        "-filter_threads",
        "1",
        "-threads",
        "1",
    ])
}

/// Arguments that open a file of our own: the mezzanine's picture, a rendition.
pub(super) fn open_video(file: &Path) -> Vec<OsString> {
    let mut args = fenced_input("mov");
    args.push("-i".into());
    args.push(file.into());
    args
}

/// Seconds of a clip at most that promises to be that long.
pub(super) fn seconds_max(facts: &SourceFacts) -> u64 {
    facts.duration.as_millis() / 1000 + 5
}

fn open_upload(facts: &SourceFacts, source: &Path) -> Vec<OsString> {
    let mut args = common();
    args.extend(fenced_input(facts.container.demuxer()));
    args.extend(words(["-max_pixels", "9000000", "-i"]));
    args.push(source.as_os_str().to_owned());
    args
}

fn picture_arguments(
    facts: &SourceFacts,
    source: &Path,
    outline: &Outline,
    mark: Option<&Overlay>,
) -> Vec<OsString> {
    let FrameRate { num, den } = outline.rate;
    let gop = outline.rate.frames_per_gop().to_string();
    let frame_cap = outline.expected.saturating_mul(2).saturating_add(600).to_string();
    let time_cap = seconds_max(facts).to_string();
    let mut args = open_upload(facts, source);
    let picture = filters(facts, outline.size, outline.rate);
    match mark {
        None => args.extend(words(["-map", "0:V:0", "-vf", &picture])),
        Some(mark) => {
            args.extend(mark.input());
            args.extend(words(["-filter_complex_threads", "1", "-filter_complex"]));
            args.push(mark.over(&picture).into());
            args.extend(words(["-map", "[marked]"]));
        }
    }
    args.extend(words(["-an", "-dn", "-sn", "-map_metadata", "-1"]));
    args.extend(words(["-map_chapters", "-1", "-fps_mode", "passthrough"]));
    args.extend(words(["-frames:v", &frame_cap, "-t", &time_cap]));
    args.extend(words(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10"]));
    args.extend(words(["-threads", "1", "-g", &gop, "-keyint_min", &gop]));
    args.extend(words(["-sc_threshold", "0", "-bf", "0", "-flags", "+cgop"]));
    args.extend(bt709());
    args.extend(words(["-video_track_timescale", &num.to_string()]));
    args.extend(words(["-movflags", "+frag_keyframe+empty_moov+default_base_moof"]));
    args.extend(words(["-progress", "pipe:1", "-f", "mp4"]));
    args.push(outline.video.clone().into());
    tracing::debug!(rate = %format_args!("{num}/{den}"), "mezzanine planned");
    args
}

/// Output tags of the picture: BT.709 in limited range.
pub(super) fn bt709() -> Vec<OsString> {
    words([
        "-pix_fmt",
        "yuv420p",
        "-color_primaries",
        "bt709",
        "-color_trc",
        "bt709",
        "-colorspace",
        "bt709",
        "-color_range",
        "tv",
    ])
}

fn filters(facts: &SourceFacts, size: Size, rate: FrameRate) -> String {
    let Size { width, height } = size;
    let mut chain = String::new();
    if facts.interlaced {
        chain.push_str("yadif=mode=send_frame:deint=interlaced,");
    }
    if facts.hdr {
        // Linear light, BT.709 primaries, a film-like curve, and back to the usual transfer.
        chain.push_str(
            "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,\
             tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p,",
        );
    }
    chain
        + &format!(
            "scale={width}:{height}:flags={SCALE_FLAGS}:out_color_matrix=bt709:out_range=tv,\
         setsar=1,fps=fps={}/{}:start_time=0:round=near,format=yuv420p",
            rate.num, rate.den
        )
}

fn expected_frames(facts: &SourceFacts, rate: FrameRate) -> u64 {
    let frames = u128::from(facts.duration.as_millis()) * u128::from(rate.num)
        / (u128::from(rate.den) * 1000).max(1);
    u64::try_from(frames).unwrap_or(u64::MAX)
}

/// Counts with our own reader, which also checks the groups.
fn count_frames(outline: &Outline) -> Result<u64, MediaError> {
    let gop = outline.rate.frames_per_gop();
    let file = File::open(&outline.video).map_err(MediaError::io("open the mezzanine"))?;
    let mut fragments = Fragments::new(BufReader::new(file));
    let (mut frames, mut short) = (0_u64, false);
    while let Some(fragment) = fragments.next_fragment()? {
        let count = u64::try_from(fragment.samples.len()).unwrap_or(u64::MAX);
        let keys = fragment.samples.iter().filter(|sample| sample.sync).count();
        let starts_with_key = fragment.samples.first().is_some_and(|sample| sample.sync);
        if short || keys != 1 || !starts_with_key || count > gop {
            return Err(MediaError::Stream("the mezzanine's groups are not closed".to_owned()));
        }
        short = count < gop;
        frames += count;
    }
    if frames == 0 {
        return Err(Rejection::new("undecodable", "no picture could be decoded").into());
    }
    Ok(frames)
}

/// A clip that decodes to far less than its header promises was cut off.
fn check_length(facts: &SourceFacts, mezzanine: &Mezzanine) -> Result<(), MediaError> {
    let promised = facts.duration.as_millis();
    let decoded = mezzanine.rate.millis_of(mezzanine.frames);
    if decoded + 1000 < promised && decoded * 10 < promised * 9 {
        return Err(Rejection::new("truncated", "the file ends too early; upload it again").into());
    }
    Ok(())
}

/// The upload is the only unknown input of this run, so a failing or stuck tool is its doing.
fn blame_the_clip(error: MediaError) -> MediaError {
    match error {
        // Another machine may have more of it.
        MediaError::Tool { .. } if error.is_kill() => error,
        MediaError::Tool { ref detail, .. } if detail.contains("No space left on device") => {
            let source = std::io::ErrorKind::StorageFull.into();
            MediaError::Io { action: "write the mezzanine", source }
        }
        MediaError::Tool { ref detail, ref status, .. } => {
            tracing::info!(%status, %detail, "upload not decodable");
            Rejection::new("undecodable", "the picture or sound could not be decoded").into()
        }
        MediaError::TimedOut { .. } => {
            Rejection::new("too_complex", "the clip takes too long to decode").into()
        }
        other => other,
    }
}
