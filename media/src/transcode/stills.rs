//! Stills of a clip: the poster, a third into it, and the storyboard.
//!
//! ```text
//!  poster       one frame --> JPEG (ffmpeg)
//!                        \--> raw --> AVIF (rav1e, our own boxes)
//!  storyboard   the key frames alone --> small, side by side --> JPEG sheets
//! ```
//!
//! Key frames are two seconds apart, so the storyboard decodes nothing else. Read next:
//! `crate::storyboard`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use bytes::Bytes;

use super::normalise::{Mezzanine, SCALE_FLAGS, common, limits, open_video};
use super::{BlobSink, Context, av1};
use crate::error::MediaError;
use crate::jail::{Invocation, run, words};
use crate::ladder::Size;
use crate::manifest::{Poster, SHEET_SIDE_MAX, SHEETS_MAX, Storyboard};
use crate::mux::avif;

/// Short side of the poster.
const POSTER_SHORT_SIDE: u32 = 360;
/// Longer side of a picture of the storyboard.
const TILE_SIDE: u32 = 160;
const OUTPUT_MAX: usize = 4 << 20;

/// The stills in bytes.
pub(super) struct Stills {
    jpeg: Bytes,
    avif: Bytes,
    sheets: Vec<Bytes>,
    board: Storyboard,
}

impl Stills {
    /// Puts the blobs.
    pub(super) fn put(self, sink: &mut dyn BlobSink) -> Result<(Poster, Storyboard), MediaError> {
        let poster = Poster { jpeg: sink.put(self.jpeg)?, avif: sink.put(self.avif)? };
        let sheets: Result<Vec<_>, MediaError> =
            self.sheets.into_iter().map(|sheet| sink.put(sheet)).collect();
        Ok((poster, Storyboard { sheets: sheets?, ..self.board }))
    }
}

pub(super) fn make(context: &Context<'_>, mezzanine: &Mezzanine) -> Result<Stills, MediaError> {
    let (sheets, board) = storyboard(context, mezzanine)?;
    let size = mezzanine.size.fit(POSTER_SHORT_SIDE);
    let jpeg = frame(context, mezzanine, size, &Format::JPEG)?;
    if !jpeg.starts_with(&JPEG_MAGIC) {
        return Err(MediaError::Stream("the poster is not a JPEG".to_owned()));
    }
    let raw = frame(context, mezzanine, size, &Format::RAW)?;
    let (unit, header) = av1::still(size, &raw)?;
    let avif = avif::write(&header, &unit)?;
    Ok(Stills { jpeg: jpeg.into(), avif, sheets, board })
}

const JPEG_MAGIC: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// How ffmpeg hands a frame over.
struct Format {
    pixels: &'static str,
    encoder: [&'static str; 6],
}

impl Format {
    const JPEG: Self = Self {
        pixels: "out_range=pc,format=yuvj420p",
        encoder: ["-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe"],
    };
    const RAW: Self = Self {
        pixels: "out_range=tv,format=yuv420p",
        encoder: ["-c:v", "rawvideo", "-fps_mode", "passthrough", "-f", "rawvideo"],
    };
}

fn frame(
    context: &Context<'_>,
    mezzanine: &Mezzanine,
    size: Size,
    format: &Format,
) -> Result<Vec<u8>, MediaError> {
    let Size { width, height } = size;
    let at = mezzanine.rate.millis_of(mezzanine.frames / 3);
    let at = format!("{}.{:03}", at / 1000, at % 1000);
    let scale = format!("scale={width}:{height}:flags={SCALE_FLAGS}:{}", format.pixels);
    let mut args = common();
    args.extend(words(["-ss", &at]));
    args.extend(open_video(&mezzanine.video));
    args.extend(words(["-map", "0:v:0", "-map_metadata", "-1", "-frames:v", "1", "-vf", &scale]));
    args.extend(words(format.encoder));
    args.extend(words(["-bitexact", "pipe:1"]));
    run(&invocation(context, mezzanine, args, None), OUTPUT_MAX)
}

fn storyboard(
    context: &Context<'_>,
    mezzanine: &Mezzanine,
) -> Result<(Vec<Bytes>, Storyboard), MediaError> {
    let board = plan(mezzanine);
    let Storyboard { columns, rows, width, height, frames_apart, .. } = board;
    let step = frames_apart / mezzanine.gop().max(1);
    let filter = format!(
        "framestep={step},scale={width}:{height}:flags={SCALE_FLAGS}:out_range=pc,setsar=1,\
         format=yuvj420p,tile={columns}x{rows}"
    );
    let mut args = common();
    args.extend(words(["-skip_frame", "nokey"]));
    args.extend(open_video(&mezzanine.video));
    args.extend(words(["-map", "0:v:0", "-map_metadata", "-1", "-fps_mode", "passthrough"]));
    args.extend(words(["-vf", &filter, "-c:v", "mjpeg", "-q:v", "5", "-bitexact"]));
    args.extend(words(["-f", "image2", "-start_number", "0", "storyboard-%d.jpg"]));
    run(&invocation(context, mezzanine, args, Some(context.work_dir.to_owned())), OUTPUT_MAX)?;
    let wanted = board.pictures.div_ceil(columns.saturating_mul(rows).max(1));
    let file = |n: u32| context.work_dir.join(format!("storyboard-{n}.jpg"));
    if file(wanted).exists() {
        return Err(MediaError::Stream("a storyboard with too many sheets".to_owned()));
    }
    let sheets: Result<Vec<Bytes>, MediaError> = (0..wanted).map(|n| read(file(n))).collect();
    Ok((sheets?, board))
}

/// The grid: one sheet no larger than it must be, or full ones. A long clip has fewer pictures per
/// minute, never more sheets.
fn plan(mezzanine: &Mezzanine) -> Storyboard {
    let most = u64::from(SHEET_SIDE_MAX * SHEET_SIDE_MAX)
        .saturating_mul(u64::try_from(SHEETS_MAX).unwrap_or(1));
    let step = mezzanine.groups().div_ceil(most).max(1);
    let frames_apart = mezzanine.gop().saturating_mul(step);
    let pictures = mezzanine.frames.div_ceil(frames_apart.max(1));
    let pictures = u32::try_from(pictures).unwrap_or(u32::MAX);
    let columns = pictures.clamp(1, SHEET_SIDE_MAX);
    let Size { width, height } = mezzanine.size;
    let long = width.max(height).max(1);
    let size = mezzanine.size.fit(mezzanine.size.short_side().saturating_mul(TILE_SIDE) / long);
    Storyboard {
        sheets: Vec::new(),
        columns,
        rows: pictures.div_ceil(columns).clamp(1, SHEET_SIDE_MAX),
        width: size.width,
        height: size.height,
        pictures,
        frames_apart,
    }
}

fn read(file: PathBuf) -> Result<Bytes, MediaError> {
    let failed = || MediaError::io("read a storyboard's sheet");
    let file = File::open(file).map_err(failed())?;
    let mut bytes = Vec::new();
    let most = u64::try_from(OUTPUT_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(failed())?;
    if bytes.len() > OUTPUT_MAX || !bytes.starts_with(&JPEG_MAGIC) {
        return Err(MediaError::Stream("a storyboard's sheet is not a JPEG".to_owned()));
    }
    Ok(bytes.into())
}

fn invocation<'a>(
    context: &Context<'a>,
    mezzanine: &Mezzanine,
    args: Vec<OsString>,
    write: Option<PathBuf>,
) -> Invocation<'a> {
    Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args,
        read: vec![mezzanine.video.clone()],
        write,
        limits: limits(context.source),
        report: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::FrameRate;

    fn board(frames: u64, width: u32, height: u32) -> Storyboard {
        plan(&Mezzanine {
            video: PathBuf::new(),
            size: Size { width, height },
            rate: FrameRate { num: 25, den: 1 },
            frames,
        })
    }

    #[test]
    fn grid_is_as_large_as_the_clip_needs() {
        let short = board(150, 1280, 720);
        assert_eq!((short.columns, short.rows, short.pictures), (3, 1, 3));
        assert_eq!((short.width, short.height, short.frames_apart), (160, 90, 50));
        let minute = board(1_501, 720, 1280);
        assert_eq!((minute.columns, minute.rows, minute.pictures), (10, 4, 31));
        assert_eq!((minute.width, minute.height), (90, 160));
        let long = board(60 * 60 * 25, 1280, 720);
        assert_eq!((long.columns, long.rows, long.pictures), (10, 10, 900));
        assert_eq!(long.frames_apart, 100);
        let tiny = board(10, 64, 48);
        assert_eq!((tiny.width, tiny.height, tiny.pictures), (64, 48, 1));
    }
}
