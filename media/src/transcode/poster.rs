//! The poster: a JPEG of one picture, a third into the clip.

use bytes::Bytes;

use super::Context;
use super::normalise::{Mezzanine, SCALE_FLAGS, common, limits};
use crate::error::MediaError;
use crate::jail::{Invocation, run, words};
use crate::ladder::Size;
use crate::probe::fenced_input;

const SHORT_SIDE: u32 = 360;
const OUTPUT_MAX: usize = 4 << 20;

pub(super) fn make(context: &Context<'_>, mezzanine: &Mezzanine) -> Result<Bytes, MediaError> {
    let Size { width, height } = mezzanine.size.fit(SHORT_SIDE);
    let at = mezzanine.rate.millis_of(mezzanine.frames / 3);
    let at = format!("{}.{:03}", at / 1000, at % 1000);
    let scale = format!("scale={width}:{height}:flags={SCALE_FLAGS}:out_range=pc,format=yuvj420p");
    let mut args = common();
    args.extend(words(["-ss", &at]));
    args.extend(fenced_input("mov"));
    args.push("-i".into());
    args.push(mezzanine.video.clone().into());
    args.extend(words(["-map", "0:v:0", "-map_metadata", "-1", "-frames:v", "1"]));
    args.extend(words(["-vf", &scale, "-c:v", "mjpeg", "-q:v", "4", "-bitexact"]));
    args.extend(words(["-f", "image2pipe", "pipe:1"]));
    let invocation = Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args,
        read: vec![mezzanine.video.clone()],
        write: None,
        limits: limits(context.source),
        report: false,
    };
    let jpeg = run(&invocation, OUTPUT_MAX)?;
    if !jpeg.starts_with(&[0xFF, 0xD8, 0xFF]) {
        return Err(MediaError::Stream("the poster is not a JPEG".to_owned()));
    }
    Ok(jpeg.into())
}
