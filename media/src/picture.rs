//! Pictures that people send: decoded whole inside the jail before anybody may see them.
//!
//! ```text
//!  first bytes -> one demuxer -> jailed ffprobe: size within bounds -> jailed ffmpeg: decoded whole
//!     Square   a WebP of that side, made of pixels alone: nothing of the sent bytes stays in it
//!     Proof    nothing is kept of it: the sent bytes are known to be a picture
//! ```
//! Damage that a decoder could hide is an error here. It must not know whose a picture is. Read
//! next: `sniff`, `jail`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fairground_types::limits;
use serde::Deserialize;

use crate::error::{MediaError, Rejection};
use crate::jail::{Invocation, JailLimits, Tools, run, words};
use crate::probe::fenced;
use crate::sniff::picture;
use crate::transcode::normalise::{SCALE_FLAGS, common};

/// Decoders that may be opened for a picture.
const DECODERS: &str = "mjpeg,png,webp";
/// Bytes that say what a picture is.
const HEAD: u64 = 16;
const REPORT_MAX: usize = 64 * 1024;
const DRAWN_MAX: usize = 1 << 20;
/// Quality of a WebP, of 100.
const QUALITY: &str = "82";
/// Side of what is drawn only to show that a picture decodes: one grey byte per pixel.
const PROOF_SIDE: usize = 8;

/// What is made of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// A WebP with sides of so many pixels: the middle of the picture, upright, without metadata.
    Square(u32),
    /// Nothing that is kept.
    Proof,
}

/// Which pictures are taken, and what is made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureRules {
    /// Longest side in pixels.
    pub side_max: u32,
    /// Most pixels.
    pub pixels_max: u64,
    /// Wall-clock time of each of the two tools.
    pub wall: Duration,
    /// What is made.
    pub drawing: Drawing,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
}

impl PictureRules {
    const WALL: Duration = Duration::from_secs(10);

    /// The picture of an account.
    pub const AVATAR: Self = Self {
        side_max: limits::AVATAR_SIDE_MAX,
        pixels_max: limits::AVATAR_PIXELS_MAX,
        wall: Self::WALL,
        drawing: Drawing::Square(limits::AVATAR_SIDE),
    };

    /// A picture that shows what is wrong with a piece.
    pub const EVIDENCE: Self = Self {
        side_max: limits::EVIDENCE_SIDE_MAX,
        pixels_max: limits::EVIDENCE_PIXELS_MAX,
        wall: Self::WALL,
        drawing: Drawing::Proof,
    };
}

/// Decodes the picture in a file; answers what was drawn, which is empty for [`Drawing::Proof`].
///
/// # Errors
/// [`MediaError::Rejected`] when the picture is at fault; the others when a file or tool failed.
pub fn decode(path: &Path, tools: &Tools, rules: &PictureRules) -> Result<Bytes, MediaError> {
    let path = path.canonicalize().map_err(MediaError::io("find the picture"))?;
    let demuxer = demuxer_of(&path)?;
    let report = probe(&path, demuxer, tools, rules)?;
    let report: Report = serde_json::from_slice(&report)
        .map_err(|error| MediaError::Stream(format!("ffprobe's report: {error}")))?;
    judge(&report, rules)?;
    let drawn = draw(&path, demuxer, tools, rules)?;
    match rules.drawing {
        Drawing::Square(_) if picture(&drawn) == Some("image/webp") => Ok(drawn.into()),
        Drawing::Proof if drawn.len() == PROOF_SIDE * PROOF_SIDE => Ok(Bytes::new()),
        Drawing::Square(_) | Drawing::Proof => Err(unreadable().into()),
    }
}

fn unreadable() -> Rejection {
    Rejection::new("unreadable", "the file is damaged or not a picture")
}

fn demuxer_of(path: &Path) -> Result<&'static str, MediaError> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(MediaError::io("open the picture"))?;
    file.take(HEAD).read_to_end(&mut head).map_err(MediaError::io("read the picture"))?;
    match picture(&head) {
        Some("image/jpeg") => Ok("jpeg_pipe"),
        Some("image/png") => Ok("png_pipe"),
        Some("image/webp") => Ok("webp_pipe"),
        Some(_) | None => {
            Err(Rejection::new("not_a_picture", "a picture is a JPEG, a PNG or a WebP").into())
        }
    }
}

fn judge(report: &Report, rules: &PictureRules) -> Result<(), Rejection> {
    let [stream] = report.streams.as_slice() else { return Err(unreadable()) };
    let (width, height) = (stream.width, stream.height);
    if width == 0 || height == 0 {
        return Err(unreadable());
    }
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > rules.side_max || pixels > rules.pixels_max {
        let detail = format!(
            "a picture has at most {} pixels a side and {} in all",
            rules.side_max, rules.pixels_max
        );
        return Err(Rejection::new("dimensions", detail));
    }
    Ok(())
}

fn probe(
    path: &Path,
    demuxer: &str,
    tools: &Tools,
    rules: &PictureRules,
) -> Result<Vec<u8>, MediaError> {
    let mut args = words(["-hide_banner", "-v", "error", "-threads", "1"]);
    args.extend(words(["-max_alloc", "268435456"]));
    args.extend(fenced(demuxer, DECODERS));
    args.extend(words(["-of", "json", "-show_streams", "-i"]));
    args.push(path.as_os_str().to_owned());
    let invocation = Invocation {
        tools,
        tool: "ffprobe",
        program: &tools.ffprobe,
        args,
        read: vec![path.to_owned()],
        write: None,
        limits: bounds(rules),
        report: false,
    };
    run(&invocation, REPORT_MAX).map_err(blame_the_picture)
}

fn draw(
    path: &Path,
    demuxer: &str,
    tools: &Tools,
    rules: &PictureRules,
) -> Result<Vec<u8>, MediaError> {
    let mut args = common();
    args.extend(words(["-xerror", "-err_detect", "explode"]));
    args.extend(fenced(demuxer, DECODERS));
    args.push("-i".into());
    args.push(path.as_os_str().to_owned());
    args.extend(words(["-map", "0:v:0", "-map_metadata", "-1", "-frames:v", "1", "-vf"]));
    match rules.drawing {
        Drawing::Square(side) => {
            // Cut first: what is long and thin would be huge when it is enlarged before.
            let chain = format!(
                "crop=w='min(iw,ih)':h='min(iw,ih)':exact=1,\
                 scale={side}:{side}:flags={SCALE_FLAGS}:out_color_matrix=bt601:out_range=tv,\
                 setsar=1,format=pix_fmts=yuv420p|yuva420p"
            );
            args.push(chain.into());
            args.extend(words(["-c:v", "libwebp", "-quality", QUALITY, "-threads", "1"]));
            args.extend(words(["-bitexact", "-f", "image2pipe", "pipe:1"]));
        }
        Drawing::Proof => {
            args.push(format!("scale={PROOF_SIDE}:{PROOF_SIDE},format=gray").into());
            args.extend(words(["-f", "rawvideo", "pipe:1"]));
        }
    }
    let invocation = Invocation {
        tools,
        tool: "ffmpeg",
        program: &tools.ffmpeg,
        args,
        read: vec![path.to_owned()],
        write: None,
        limits: bounds(rules),
        report: false,
    };
    run(&invocation, DRAWN_MAX).map_err(blame_the_picture)
}

fn bounds(rules: &PictureRules) -> JailLimits {
    let seconds = rules.wall.as_secs().max(1);
    JailLimits { wall: rules.wall, cpu_seconds: seconds, ..JailLimits::default() }
}

fn blame_the_picture(error: MediaError) -> MediaError {
    match error {
        MediaError::Tool { .. } | MediaError::TimedOut { .. } | MediaError::Stream(_) => {
            tracing::info!(%error, "picture not readable");
            unreadable().into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<(), &'static str> {
        let report: Report = serde_json::from_str(text).unwrap();
        judge(&report, &PictureRules::AVATAR).map_err(|rejection| rejection.reason)
    }

    #[test]
    fn only_one_picture_within_its_bounds_is_taken() {
        let of =
            |width, height| format!(r#"{{"streams":[{{"width":{width},"height":{height}}}]}}"#);
        assert_eq!(judged(&of(2048, 2048)), Ok(()));
        assert_eq!(judged(&of(1, 2048)), Ok(()));
        assert_eq!(judged(&of(2049, 8)), Err("dimensions"));
        assert_eq!(judged(&of(8, 2049)), Err("dimensions"));
        assert_eq!(judged(&of(0, 8)), Err("unreadable"));
        assert_eq!(judged(r#"{"streams":[{"codec_type":"video"}]}"#), Err("unreadable"));
        assert_eq!(judged("{}"), Err("unreadable"));
    }
}
