//! What an upload is: sniff, walk its boxes, ask a jailed ffprobe, apply the policy.
//!
//! The order matters: each step may assume what the one before has refused. The demuxer is forced
//! by the sniff, so nothing that follows references is ever opened. Must not decode a frame; that
//! is `transcode::normalise`. Read next: `boxes`, then `report`.

mod boxes;
mod report;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use fairground_types::{Millis, limits};
use serde::{Deserialize, Serialize};

use crate::error::{MediaError, Rejection};
use crate::jail::{Invocation, JailLimits, Tools, run, words};
use crate::ladder::Size;
use crate::manifest::FrameRate;
use crate::sniff::{Container, SNIFF_BYTES, sniff};

/// Decoders that ffmpeg and ffprobe may open.
const DECODERS: &str = "h264,hevc,av1,libdav1d,libaom-av1,vp9,libvpx-vp9,vp8,libvpx,\
mpeg4,mpeg2video,mpeg1video,aac,aac_fixed,mp3,mp3float,mp2,mp2float,opus,libopus,flac,vorbis,\
libvorbis,ac3,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_f32le,pcm_u8,pcm_mulaw,\
pcm_alaw";

const PROBE_OUTPUT_MAX: usize = 256 * 1024;

/// What an edge accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePolicy {
    /// Shortest clip.
    pub duration_min: Millis,
    /// Longest clip.
    pub duration_max: Millis,
    /// Most bytes.
    pub bytes_max: u64,
    /// Longest side in pixels.
    pub side_max: u32,
    /// Most pixels of a frame.
    pub pixels_max: u64,
    /// Highest frame rate.
    pub frame_rate_max: u32,
    /// Wall-clock time for ffprobe.
    pub wall: Duration,
}

/// The facts about an accepted upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceFacts {
    /// Its container.
    pub container: Container,
    /// Name of the video codec.
    pub video_codec: String,
    /// Name of the audio codec, if there is sound.
    pub audio_codec: Option<String>,
    /// Coded width.
    pub width: u32,
    /// Coded height.
    pub height: u32,
    /// Clockwise rotation to apply for display: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Sample aspect ratio, width to height.
    pub sample_aspect: (u32, u32),
    /// Average frame rate.
    pub frame_rate: FrameRate,
    /// Frames, as the container counts or the length and rate suggest.
    pub frame_count_estimate: u64,
    /// Length.
    pub duration: Millis,
    /// Whether there is sound.
    pub has_audio: bool,
    /// Whether the stream says that it is interlaced.
    pub interlaced: bool,
    /// Whether the transfer function is one of HDR (PQ or HLG).
    pub hdr: bool,
}

impl Default for ProbePolicy {
    fn default() -> Self {
        Self {
            duration_min: Millis::new(900),
            duration_max: limits::CLIP_DURATION_MAX,
            bytes_max: limits::CLIP_BYTES_MAX,
            side_max: 4096,
            pixels_max: 8_912_896,
            frame_rate_max: 120,
            wall: Duration::from_secs(60),
        }
    }
}

impl SourceFacts {
    /// Size as displayed: square pixels, rotation applied, sides even.
    #[must_use]
    pub fn display_size(&self) -> Size {
        let (across, down) = self.sample_aspect;
        let width = u64::from(self.width) * u64::from(across.max(1)) / u64::from(down.max(1));
        let width = u32::try_from(width).unwrap_or(u32::MAX).clamp(2, 16_384);
        let turned = self.rotation == 90 || self.rotation == 270;
        let size = if turned {
            Size { width: self.height, height: width }
        } else {
            Size { width, height: self.height }
        };
        size.fit(size.short_side())
    }
}

/// Decides whether a file is an acceptable clip, and what it is.
///
/// # Errors
/// [`MediaError::Rejected`] when the clip is at fault; the others when a file or tool failed.
pub fn probe(path: &Path, tools: &Tools, policy: &ProbePolicy) -> Result<SourceFacts, MediaError> {
    let path = path.canonicalize().map_err(MediaError::io("find the upload"))?;
    let mut file = File::open(&path).map_err(MediaError::io("open the upload"))?;
    let bytes = file.metadata().map_err(MediaError::io("measure the upload"))?.len();
    if bytes > policy.bytes_max {
        return Err(Rejection::new("too_large", "the file is larger than allowed").into());
    }
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    (&mut file)
        .take(u64::try_from(SNIFF_BYTES).unwrap_or(u64::MAX))
        .read_to_end(&mut head)
        .map_err(MediaError::io("read the upload"))?;
    let container = sniff(&head)?;
    if container == Container::Mp4 {
        boxes::check(&mut file, bytes)?;
    }
    let text = ask(&path, container, tools, policy)?;
    report::judge(&text, container, bytes, policy)
}

/// Arguments that fence every demuxer: one format, local files only, known decoders, bounds.
pub(crate) fn fenced_input(demuxer: &str) -> Vec<OsString> {
    fenced(demuxer, DECODERS)
}

/// The same for other decoders.
pub(crate) fn fenced(demuxer: &str, decoders: &str) -> Vec<OsString> {
    words([
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        demuxer,
        "-codec_whitelist",
        decoders,
        "-max_streams",
        "16",
        "-probesize",
        "32M",
        "-analyzeduration",
        "10M",
        "-f",
        demuxer,
    ])
}

fn ask(
    path: &Path,
    container: Container,
    tools: &Tools,
    policy: &ProbePolicy,
) -> Result<Vec<u8>, MediaError> {
    let mut args = words(["-hide_banner", "-v", "error", "-threads", "1"]);
    args.extend(words(["-max_alloc", "268435456"]));
    args.extend(fenced_input(container.demuxer()));
    args.extend(words(["-of", "json", "-show_format", "-show_streams", "-i"]));
    args.push(path.as_os_str().to_owned());
    let invocation = Invocation {
        tools,
        tool: "ffprobe",
        program: &tools.ffprobe,
        args,
        read: vec![path.to_owned()],
        write: None,
        limits: JailLimits { wall: policy.wall, cpu_seconds: 60, ..JailLimits::default() },
        report: false,
    };
    run(&invocation, PROBE_OUTPUT_MAX).map_err(|error| match error {
        MediaError::Tool { .. } | MediaError::TimedOut { .. } | MediaError::Stream(_) => {
            tracing::info!(%error, "upload not readable");
            Rejection::new("unreadable", "the file is damaged or not a video").into()
        }
        other => other,
    })
}
