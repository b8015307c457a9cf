//! Clips for the demo: the operator's own file, or a few seconds made by ffmpeg's sources.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

/// A clip to upload.
#[derive(Clone, Debug)]
pub(crate) struct SourceClip {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
}

/// Pictures that ffmpeg can draw by itself, one per story.
const PICTURES: [&str; 3] = [
    "testsrc2=size=640x360:rate=25",
    "mandelbrot=size=640x360:rate=25",
    "life=size=640x360:rate=25:mold=10:ratio=0.1:death_color=#8a3b12:life_color=#faf7f2",
];

/// Uses `given`, or draws picture `number` for `seconds`.
pub(crate) async fn prepare(
    dir: &Path,
    given: Option<&Path>,
    number: usize,
    seconds: u32,
) -> anyhow::Result<SourceClip> {
    if let Some(file) = given {
        let name = file
            .file_name()
            .map_or_else(|| "clip".into(), |name| name.to_string_lossy().into_owned());
        return Ok(SourceClip { file: file.to_owned(), name });
    }
    let picture = PICTURES.get(number % PICTURES.len()).copied().unwrap_or(PICTURES[0]);
    let name = format!("clip-{number}.mp4");
    let file = dir.join(&name);
    let length = seconds.to_string();
    let output = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-hide_banner",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-t",
            &length,
            "-i",
            picture,
        ])
        .args(["-f", "lavfi", "-t", &length, "-i", "sine=frequency=330:sample_rate=48000"])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-ac",
            "2",
            "-shortest",
        ])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .await
        .context("failed to run ffmpeg; `make setup` installs it")?;
    if !output.status.success() {
        bail!("ffmpeg could not make a clip: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(SourceClip { file, name })
}

/// How many video frames a file has, counted by decoding it.
pub(crate) async fn count_frames(file: &Path) -> anyhow::Result<u64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-count_frames"])
        .args([
            "-show_entries",
            "stream=nb_read_frames",
            "-of",
            "default=nokey=1:noprint_wrappers=1",
        ])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .await
        .context("failed to run ffprobe; `make setup` installs it")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !errors.trim().is_empty() {
        bail!("{} does not decode cleanly: {errors}", file.display());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("ffprobe counted {text:?}"))
}
