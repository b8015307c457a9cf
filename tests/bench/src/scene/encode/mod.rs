//! `encode`: what a rung costs beside ffmpeg's encoders, and how soon an upload plays.
//!
//! ```text
//!  encoders   clip -> TranscodeJob -> mezzanine, rungs: CPU, wall, bytes, SSIM
//!                          |
//!                          +-> ffmpeg -c:v libx264, librav1e, libsvtav1: the same rungs
//!  times      clip -> upload to a market 1+1 -> beginnings -> H.264 -> AV1
//! ```
//! CPU is that of all processes and threads, from `/proc`. SSIM is of luma, by ffmpeg's filter, each
//! rung scaled to the mezzanine's size and compared with its frames. Peers read the mezzanine too, so
//! what they save by not making one is a row of its own. Read next: `job`, `peers`, `times`.

mod job;
mod peers;
mod times;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_kit::place::find;
use fairground_load::report::{self, with_point};
use fairground_media::ladder::Size;

use super::tell;
use crate::market::stories;
use crate::place::{Place, machine};
use crate::process::{Account, Program};

/// How long one run of ffmpeg may take.
const RUN_WAIT: Duration = Duration::from_mins(30);
/// Ends of the names of clips in the folder of real ones.
const KINDS: [&str; 6] = ["mp4", "mov", "m4v", "mpg", "mkv", "webm"];

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Both.
    All,
    /// The encoders, rung by rung.
    Encoders,
    /// From an upload to a clip that plays.
    Times,
}

/// The pipeline beside ffmpeg, and from an upload to a clip that plays.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EncodeArgs {
    /// Where all files are; a folder inside is made and removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// What is measured.
    #[arg(long, value_enum, default_value_t = Part::All)]
    pub(crate) part: Part,
    /// Length of the uploaded clip, in seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Length of each generated clip of the encoders, in seconds; real clips are taken whole.
    #[arg(long, default_value_t = 20)]
    pub(crate) encoder_seconds: u64,
    /// Size of generated clips.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1920x1080")]
    pub(crate) size: String,
    /// Short side of the tallest AV1 rung of the encoders.
    #[arg(long, default_value_t = 360)]
    pub(crate) av1_tallest: u32,
}

/// One line of the table of encoders.
#[derive(Clone, Debug, Default)]
struct Row {
    encoder: String,
    rung: String,
    settings: String,
    cpu: Option<Duration>,
    wall: Option<Duration>,
    bytes: Option<u64>,
    /// In millionths.
    ssim: Option<u64>,
}

pub(crate) async fn encode(arguments: EncodeArgs) -> anyhow::Result<()> {
    let place = Place::make(arguments.dir.as_deref())?;
    report::line(&machine(&place.dir))?;
    if arguments.part != Part::Times {
        encoders(&place, &arguments).await?;
    }
    if arguments.part != Part::Encoders {
        tell(&times::times(&place, &arguments).await?)?;
    }
    Ok(())
}

async fn encoders(place: &Place, arguments: &EncodeArgs) -> anyhow::Result<()> {
    let ffmpeg = find("ffmpeg").context("ffmpeg is not installed; `make setup` installs it")?;
    let folder = place.folder("encoders")?;
    let known = peers::known(&ffmpeg).await?;
    report::line(
        "CPU and wall: seconds per minute of the clip; kB/min and SSIM of luma; peers read the \
         mezzanine",
    )?;
    for (number, (name, clip)) in clips(&folder, arguments).await?.into_iter().enumerate() {
        report::line(&format!("\nclip: {name}"))?;
        report::line(&heads())?;
        let work = folder.join(format!("work-{number}"));
        let made = match job::make(&clip, &work, arguments.av1_tallest).await {
            Ok(made) => made,
            Err(error) => {
                report::line(&format!("skipped: {error:#}"))?;
                continue;
            }
        };
        let ours = made.rows(&ffmpeg).await?;
        for row in &ours {
            report::line(&line(row, made.length()))?;
        }
        let theirs = peers::measure(&ffmpeg, &known, &made).await?;
        for row in &theirs {
            report::line(&line(row, made.length()))?;
        }
        for text in peers::ratios(&ours, &theirs) {
            report::line(&text)?;
        }
        // Mezzanines are large.
        std::fs::remove_dir_all(&work)?;
    }
    Ok(())
}

/// Real clips where a folder of them is named; generated ones otherwise: one that is easy, and one
/// with the noise that cameras have.
async fn clips(folder: &Path, arguments: &EncodeArgs) -> anyhow::Result<Vec<(String, PathBuf)>> {
    if let Some(real) = std::env::var_os("FAIRGROUND_TEST_MEDIA").map(PathBuf::from) {
        let mut found: Vec<PathBuf> = std::fs::read_dir(&real)
            .with_context(|| format!("no folder {}", real.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let kind = path.extension().and_then(|kind| kind.to_str());
                kind.is_some_and(|kind| KINDS.contains(&kind))
            })
            .collect();
        found.sort();
        if !found.is_empty() {
            let named = found.into_iter().map(|path| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                (name.unwrap_or_default(), path)
            });
            return Ok(named.collect());
        }
    }
    let mut made = Vec::new();
    for (name, filter) in [("pattern", ""), ("noise", ",noise=alls=12:allf=t")] {
        let picture = picture(&arguments.size, filter)?;
        let seconds = arguments.encoder_seconds.max(1);
        let file = format!("{name}.mp4");
        let clip = stories::source(folder, &file, &picture, seconds).await?;
        made.push((format!("generated, {picture}, {seconds} s"), clip));
    }
    Ok(made)
}

/// A picture that ffmpeg makes, 30 frames a second.
fn picture(size: &str, filter: &str) -> anyhow::Result<String> {
    let sides = size.split_once('x');
    let number = |side: &str| side.parse::<u32>().is_ok_and(|side| (16..=4_096).contains(&side));
    if !sides.is_some_and(|(width, height)| number(width) && number(height)) {
        bail!("{size} is no size such as 1920x1080");
    }
    Ok(format!("testsrc2=size={size}:rate=30{filter}"))
}

/// How near the frames of `made` come to every `step`-th of `whole`, which has that size; in
/// millionths. Frames are paired by their number, whatever their times say.
async fn ssim(
    ffmpeg: &Path,
    (made, step): (&Path, u32),
    (whole, size): (&Path, Size),
) -> anyhow::Result<u64> {
    let Size { width, height } = size;
    let graph = format!(
        "[0:v:0]settb=1/1000,setpts=N*100,scale={width}:{height}:flags=bicubic[ours];\
         [1:v:0]framestep={step},settb=1/1000,setpts=N*100[whole];\
         [ours][whole]ssim,metadata=mode=print:key=lavfi.ssim.Y:file=-"
    );
    let (made, whole) = (made.to_string_lossy(), whole.to_string_lossy());
    let quiet = ["-nostdin", "-hide_banner", "-v", "error"];
    let rest = ["-i", &made, "-i", &whole, "-filter_complex", &graph, "-f", "null", "-"];
    let program = Program::new("ffmpeg", Account::Own, ffmpeg, &[&quiet[..], &rest].concat());
    mean_ssim(&program.run_within(RUN_WAIT).await?)
}

/// The mean of lines such as `lavfi.ssim.Y=0.952930`, in millionths.
fn mean_ssim(printed: &str) -> anyhow::Result<u64> {
    let values = printed.lines().filter_map(|line| line.strip_prefix("lavfi.ssim.Y="));
    let values = values.map(millionths).collect::<anyhow::Result<Vec<u64>>>()?;
    let count = u64::try_from(values.len())?;
    values.iter().sum::<u64>().checked_div(count).context("no frame was compared")
}

fn millionths(text: &str) -> anyhow::Result<u64> {
    let (whole, part) = text.trim().split_once('.').unwrap_or_else(|| (text.trim(), ""));
    let part: String = format!("{part:0<6}").chars().take(6).collect();
    Ok(whole.parse::<u64>()? * 1_000_000 + part.parse::<u64>()?)
}

const HEADS: [&str; 7] = ["encoder", "rung", "settings", "CPU s", "wall s", "kB", "SSIM"];
const WIDTHS: [usize; 7] = [10, 30, 40, 8, 8, 8, 8];

fn cells(cells: [String; 7]) -> String {
    let mut line = String::new();
    for (place, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        let padded = if place < 3 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
        line.push_str(&padded);
        line.push_str("  ");
    }
    line.trim_end().to_owned()
}

fn heads() -> String {
    cells(HEADS.map(str::to_owned))
}

/// A row per minute of a clip of that length.
fn line(row: &Row, length: Duration) -> String {
    let none = || "-".to_owned();
    let seconds = |span: Duration| with_point(per_minute(micros(span), length) / 10_000, 2);
    let bytes = |bytes: u64| (per_minute(bytes, length) / 1_000).to_string();
    cells([
        row.encoder.clone(),
        row.rung.clone(),
        row.settings.clone(),
        row.cpu.map_or_else(none, seconds),
        row.wall.map_or_else(none, seconds),
        row.bytes.map_or_else(none, bytes),
        row.ssim.map_or_else(none, |ssim| with_point(ssim / 10, 5)),
    ])
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// What a clip of that length has, for a minute of it.
fn per_minute(value: u64, length: Duration) -> u64 {
    let length = length.as_millis().max(1);
    u64::try_from(u128::from(value) * 60_000 / length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_averaged_and_none_is_an_error() {
        let printed = "frame:0    pts:0       pts_time:0\nlavfi.ssim.Y=0.952930\n\
                       frame:1    pts:100     pts_time:0.1\nlavfi.ssim.Y=1\n";
        assert_eq!(mean_ssim(printed).expect("read"), 976_465);
        assert!(mean_ssim("frame:0    pts:0       pts_time:0\n").is_err());
        assert!(mean_ssim("lavfi.ssim.Y=nan\n").is_err());
        assert_eq!(millionths("0.5").expect("read"), 500_000);
    }

    #[test]
    fn rows_are_of_a_minute_whatever_the_clips_length() {
        let row = Row {
            encoder: "ffmpeg".to_owned(),
            rung: "c360".to_owned(),
            cpu: Some(Duration::from_millis(2_500)),
            bytes: Some(1_000_000),
            ssim: Some(976_465),
            ..Row::default()
        };
        let fields = line(&row, Duration::from_secs(30));
        let fields: Vec<&str> = fields.split_whitespace().collect();
        assert_eq!(fields, ["ffmpeg", "c360", "5.00", "-", "2000", "0.97646"]);
    }

    #[test]
    fn generated_clips_have_a_size() {
        assert_eq!(picture("320x180", "").expect("made"), "testsrc2=size=320x180:rate=30");
        for size in ["", "320", "0x0", "320x180,movie=/etc/passwd"] {
            assert!(picture(size, "").is_err(), "{size}");
        }
    }
}
