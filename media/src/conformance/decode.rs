//! `S10`: every variant and sound decodes without an error to exactly its samples.
//!
//! Files come from outside, so ffmpeg reads them in the jail, with one demuxer forced. Read next:
//! `crate::jail`.

use std::path::Path;
use std::time::Duration;

use super::published::{Published, Rendition, Role, beside};
use super::report::Report;
use super::rules::Rule;
use super::source::Source;
use crate::error::MediaError;
use crate::jail::{Invocation, JailLimits, Tools, run, words};
use crate::probe::fenced_input;

/// Bytes of a rendition that is decoded.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Bytes of ffmpeg's report on its progress.
const OUTPUT_MAX: usize = 4 << 20;
/// How long one rendition may take.
const WALL: Duration = Duration::from_secs(600);

pub(super) fn check(
    report: &mut Report,
    published: &Published,
    source: &dyn Source,
    tools: &Tools,
    work_dir: &Path,
) {
    for rendition in published.renditions.values().filter(|it| it.whole) {
        if matches!(rendition.role, Role::Subtitles | Role::IFrames) {
            continue;
        }
        let samples: u64 = rendition.fragments.iter().map(|it| it.facts.samples).sum();
        let decoded = join(rendition, source).and_then(|bytes| decode(&bytes, tools, work_dir));
        let is_video = rendition.role == Role::Video;
        // The sound's priming is cut by an edit, so its frames are not counted.
        let holds = decoded.as_ref().is_ok_and(|frames| !is_video || *frames == samples);
        report.check(Rule::S10, holds, &rendition.uri, || match &decoded {
            Ok(frames) => format!("{frames} frames are decoded, there are {samples} samples"),
            Err(error) => error.to_string(),
        });
    }
}

/// Header and segments as one file.
fn join(rendition: &Rendition, source: &dyn Source) -> Result<Vec<u8>, MediaError> {
    let failed = |what: String| MediaError::Stream(what);
    let map = rendition.media.maps.first().ok_or_else(|| failed("there is no map".to_owned()))?;
    let mut bytes = Vec::new();
    let header = beside(&rendition.uri, &map.uri);
    let names = std::iter::once((&header, map.range))
        .chain(rendition.fragments.iter().map(|it| (&it.name, it.range)));
    for (name, range) in names {
        let all = source.get(name, FILE_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
        let part = match range {
            None => Some(all.as_slice()),
            Some(range) => usize::try_from(range.start).ok().and_then(|start| {
                let length = usize::try_from(range.length).ok()?;
                all.get(start..start.checked_add(length)?)
            }),
        };
        bytes.extend_from_slice(part.ok_or_else(|| failed("a range leaves its file".to_owned()))?);
        if u64::try_from(bytes.len()).map_or(true, |length| length > FILE_BYTES_MAX) {
            return Err(failed("it is too long to be decoded here".to_owned()));
        }
    }
    Ok(bytes)
}

/// Decodes a file and counts the frames.
fn decode(bytes: &[u8], tools: &Tools, work_dir: &Path) -> Result<u64, MediaError> {
    let file = work_dir.join("lint.mp4");
    std::fs::write(&file, bytes).map_err(MediaError::io("write a rendition"))?;
    let mut args = words(["-nostdin", "-hide_banner", "-v", "error", "-nostats", "-threads", "1"]);
    // Any error of the bitstream ends the run.
    args.extend(words(["-xerror", "-err_detect", "explode", "-max_alloc", "268435456"]));
    args.extend(fenced_input("mov"));
    args.extend(words(["-i"]));
    args.push(file.clone().into_os_string());
    args.extend(words(["-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", "-"]));
    let invocation = Invocation {
        tools,
        tool: "ffmpeg",
        program: &tools.ffmpeg,
        args,
        read: vec![file],
        write: None,
        limits: JailLimits { wall: WALL, ..JailLimits::default() },
        report: false,
    };
    let output = run(&invocation, OUTPUT_MAX)?;
    let text = String::from_utf8_lossy(&output);
    let last = text.lines().rev().find_map(|line| line.strip_prefix("frame="));
    Ok(last.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}
