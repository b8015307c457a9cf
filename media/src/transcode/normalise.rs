//! The untrusted upload becomes a trusted mezzanine, in one jailed run of ffmpeg.
//!
//! Upright, square pixels, BT.709, eight bits, constant frame rate, closed groups of two seconds,
//! at the size of the tallest rung; sound as 48 kHz stereo, aligned to the first picture. Its frame
//! count is the truth that every rendition is held to. No other stage reads the upload.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pace::Pace;
use super::{Context, Progress, Stage};
use crate::error::{MediaError, Rejection};
use crate::jail::{Invocation, JailLimits, run_streaming, words};
use crate::ladder::{Size, constant_rate, mezzanine_size};
use crate::manifest::FrameRate;
use crate::mux::fragments::Fragments;
use crate::probe::{SourceFacts, fenced_input};

/// Scaler flags whose result does not depend on the processor (measured).
pub(crate) const SCALE_FLAGS: &str = "lanczos+accurate_rnd+bitexact+full_chroma_int";
/// Bytes of the header of a WAV file; a file that is not longer has no sound.
const WAV_HEADER_MAX: u64 = 128;

/// What every rendition is made of.
#[derive(Debug)]
pub(super) struct Mezzanine {
    pub(super) video: PathBuf,
    pub(super) audio: Option<PathBuf>,
    pub(super) size: Size,
    pub(super) rate: FrameRate,
    pub(super) frames: u64,
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

pub(super) fn run(
    context: &Context<'_>,
    source: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Mezzanine, MediaError> {
    let source = source.canonicalize().map_err(MediaError::io("find the upload"))?;
    let facts = context.source;
    let mut mezzanine = Mezzanine {
        video: context.work_dir.join("mezz.mp4"),
        audio: facts.has_audio.then(|| context.work_dir.join("mezz.wav")),
        size: mezzanine_size(facts.display_size()),
        rate: constant_rate(facts.frame_rate),
        frames: 0,
    };
    let expected = expected_frames(facts, mezzanine.rate);
    let invocation = Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args: arguments(facts, &source, &mezzanine, expected),
        read: vec![source],
        write: Some(context.work_dir.to_owned()),
        limits: limits(facts),
        report: false,
    };
    run_streaming(&invocation, |stdout| {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(MediaError::io("follow ffmpeg"))?;
            let frame = line.strip_prefix("frame=").and_then(|frame| frame.trim().parse().ok());
            if let Some(done) = frame {
                let total_frames = expected.max(done);
                progress(Progress { stage: Stage::Normalise, done_frames: done, total_frames });
            }
        }
        Ok(())
    })
    .map_err(blame_the_clip)?;
    mezzanine.frames = count_frames(&mezzanine)?;
    check_length(facts, &mezzanine)?;
    if let Some(audio) = &mezzanine.audio {
        let bytes = std::fs::metadata(audio).map_or(0, |metadata| metadata.len());
        if bytes <= WAV_HEADER_MAX {
            mezzanine.audio = None;
        }
    }
    let done_frames = mezzanine.frames;
    progress(Progress { stage: Stage::Normalise, done_frames, total_frames: done_frames });
    Ok(mezzanine)
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

/// Arguments that open the mezzanine's picture.
pub(super) fn open_video(mezzanine: &Mezzanine) -> Vec<OsString> {
    let mut args = fenced_input("mov");
    args.push("-i".into());
    args.push(mezzanine.video.clone().into());
    args
}

fn arguments(
    facts: &SourceFacts,
    source: &Path,
    mezzanine: &Mezzanine,
    expected: u64,
) -> Vec<OsString> {
    let FrameRate { num, den } = mezzanine.rate;
    let gop = mezzanine.gop().to_string();
    let frame_cap = expected.saturating_mul(2).saturating_add(600).to_string();
    let time_cap = format!("{}", facts.duration.as_millis() / 1000 + 5);
    let mut args = common();
    args.extend(words(["-progress", "pipe:1"]));
    args.extend(fenced_input(facts.container.demuxer()));
    args.extend(words(["-max_pixels", "9000000", "-i"]));
    args.push(source.as_os_str().to_owned());
    let picture = filters(facts, mezzanine.size, mezzanine.rate);
    args.extend(words(["-map", "0:V:0", "-dn", "-sn", "-map_metadata", "-1"]));
    args.extend(words(["-map_chapters", "-1", "-fps_mode", "passthrough"]));
    args.extend(words(["-frames:v", &frame_cap, "-t", &time_cap, "-vf", &picture]));
    args.extend(words(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10"]));
    args.extend(words(["-threads", "1", "-g", &gop, "-keyint_min", &gop]));
    args.extend(words(["-sc_threshold", "0", "-bf", "0", "-flags", "+cgop"]));
    args.extend(bt709());
    args.extend(words(["-video_track_timescale", &num.to_string()]));
    args.extend(words(["-movflags", "+frag_keyframe+empty_moov+default_base_moof"]));
    args.extend(words(["-f", "mp4"]));
    args.push(mezzanine.video.clone().into());
    if let Some(audio) = &mezzanine.audio {
        args.extend(words(["-map", "0:a:0", "-dn", "-sn", "-map_metadata", "-1"]));
        args.extend(words(["-t", &time_cap, "-af", "aresample=48000:async=1:first_pts=0"]));
        args.extend(words(["-ac", "2", "-ar", "48000", "-c:a", "pcm_s16le"]));
        args.extend(words(["-bitexact", "-f", "wav"]));
        args.push(audio.clone().into());
    }
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
fn count_frames(mezzanine: &Mezzanine) -> Result<u64, MediaError> {
    let file = File::open(&mezzanine.video).map_err(MediaError::io("open the mezzanine"))?;
    let mut fragments = Fragments::new(BufReader::new(file));
    let (mut frames, mut short) = (0_u64, false);
    while let Some(fragment) = fragments.next_fragment()? {
        let count = u64::try_from(fragment.samples.len()).unwrap_or(u64::MAX);
        let keys = fragment.samples.iter().filter(|sample| sample.sync).count();
        let starts_with_key = fragment.samples.first().is_some_and(|sample| sample.sync);
        if short || keys != 1 || !starts_with_key || count > mezzanine.gop() {
            return Err(MediaError::Stream("the mezzanine's groups are not closed".to_owned()));
        }
        short = count < mezzanine.gop();
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
