//! Our own pipeline on a clip: its revision, and what each of its processes cost.
//!
//! ```text
//!  blocking thread: H.264 revision | AV1 rung | AV1 rung       CPU of this process and its children
//!  this thread:     looks at the children every 50 ms          CPU of each run of ffmpeg
//! ```
//! One run of ffmpeg makes several rungs of one decoded mezzanine, so their CPU time has one line. What
//! a run spends after the last look at it is not in its line, but in that of its stage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use fairground_media::ladder::Size;
use fairground_media::manifest::{FrameRate, Manifest, Rendition, Track, VideoFamily};
use fairground_media::{
    Beginning, BlobSink, EncodeTuning, Launcher, MediaError, Revision, RungReport, Stage, Tools,
    TranscodeJob,
};
use fairground_types::BlobHash;

use super::{Row, ssim};
use crate::process::{Running, children, cpu};

/// Between two looks at what runs.
const LOOK: Duration = Duration::from_millis(50);
/// What the rows of the pipeline are called.
pub(super) const OURS: &str = "fairground";

/// What something took.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

/// What the pipeline made of a clip.
pub(super) struct Made {
    folder: PathBuf,
    revision: Revision,
    blobs: BTreeMap<BlobHash, Bytes>,
    speed: u8,
    first: Cost,
    av1: Cost,
    av1_rungs: Vec<Cost>,
    runs: Vec<Run>,
}

/// One line of processes that did the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    name: String,
    /// The rungs that it made.
    rungs: Vec<String>,
    cpu: Duration,
    first_seen: Instant,
    last_seen: Instant,
}

/// A rendition with a picture.
#[derive(Clone, Debug)]
pub(super) struct Rung {
    pub(super) name: String,
    pub(super) family: VideoFamily,
    /// Every how many frames of the mezzanine it has one.
    pub(super) step: u32,
    pub(super) quantizer: Option<u8>,
}

/// Runs the pipeline on a clip; everything is made in `work`, where the mezzanine stays.
pub(super) async fn make(clip: &Path, work: &Path, av1_tallest: u32) -> anyhow::Result<Made> {
    let tuning = EncodeTuning { av1_tallest, keeps_all: true, ..EncodeTuning::default() };
    let job = TranscodeJob::new(clip.to_owned(), work.to_owned(), Tools::find(launcher())?, tuning);
    let is_left = Arc::new(AtomicBool::new(false));
    let stop = StopOnDrop(Arc::clone(&is_left));
    let mut encoding = tokio::task::spawn_blocking(move || encode(job, &is_left));
    let mut seen = BTreeMap::new();
    let encoded = loop {
        tokio::select! {
            biased;
            ended = &mut encoding => break ended.context("the pipeline panicked")??,
            () = tokio::time::sleep(LOOK) => look(&mut seen, children(std::process::id())),
        }
    };
    drop(stop);
    let Encoded { revision, blobs, first, av1, av1_rungs } = encoded;
    let (folder, speed, runs) = (work.to_owned(), tuning.av1_speed, runs(seen));
    Ok(Made { folder, revision, blobs, speed, first, av1, av1_rungs, runs })
}

/// The jail of the binary that is measured, where one is named.
fn launcher() -> Option<Launcher> {
    let program = PathBuf::from(std::env::var_os("FAIRGROUND_BIN")?);
    let program = std::fs::canonicalize(program).ok()?;
    Some(Launcher { program, verb: "transcode-jail".to_owned() })
}

/// Lets the pipeline end at its next blob when nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Sink<'a> {
    blobs: BTreeMap<BlobHash, Bytes>,
    is_left: &'a AtomicBool,
}

impl BlobSink for Sink<'_> {
    fn put(&mut self, bytes: Bytes) -> Result<BlobHash, MediaError> {
        if self.is_left.load(Ordering::Relaxed) {
            return Err(MediaError::Sink("nobody waits for it".to_owned()));
        }
        let hash = BlobHash::of(&bytes);
        self.blobs.insert(hash, bytes);
        Ok(hash)
    }

    fn grown(&mut self, _beginning: &Beginning) -> Result<(), MediaError> {
        Ok(())
    }
}

struct Encoded {
    revision: Revision,
    blobs: BTreeMap<BlobHash, Bytes>,
    first: Cost,
    av1: Cost,
    /// Of each AV1 rung that was made, in their order; looking for its quantizer is part of it.
    av1_rungs: Vec<Cost>,
}

fn encode(mut job: TranscodeJob, is_left: &AtomicBool) -> anyhow::Result<Encoded> {
    let mut sink = Sink { blobs: BTreeMap::new(), is_left };
    let began = Clock::now();
    job.h264_revision(&mut sink, &mut |_| {})?;
    let first = began.cost();
    let began = Clock::now();
    let (mut from, mut av1_rungs) = (began, Vec::new());
    let revision = job.av1_revision(&mut sink, &mut |progress| {
        // The last group of a rung.
        if progress.stage == Stage::Av1 && progress.done_frames == progress.total_frames {
            av1_rungs.push(from.cost());
            from = Clock::now();
        }
    })?;
    let av1 = began.cost();
    Ok(Encoded { revision, blobs: sink.blobs, first, av1, av1_rungs })
}

/// When something began.
#[derive(Clone, Copy)]
struct Clock {
    cpu: Duration,
    at: Instant,
}

impl Clock {
    fn now() -> Self {
        Self { cpu: cpu(&[std::process::id()]), at: Instant::now() }
    }

    fn cost(self) -> Cost {
        let spent = cpu(&[std::process::id()]).saturating_sub(self.cpu);
        Cost { cpu: spent, wall: self.at.elapsed() }
    }
}

/// Notes what runs now; the last words of a process are those of the tool that its jail became.
fn look(seen: &mut BTreeMap<u32, (Vec<String>, Run)>, now: Vec<Running>) {
    let at = Instant::now();
    for running in now {
        let (words, run) = seen.entry(running.pid).or_insert_with(|| {
            let (name, rungs) = (String::new(), Vec::new());
            let run = Run { name, rungs, cpu: running.cpu, first_seen: at, last_seen: at };
            (Vec::new(), run)
        });
        if !running.words.is_empty() {
            *words = running.words;
        }
        (run.cpu, run.last_seen) = (running.cpu, at);
    }
}

/// Puts together what did the same, in the order of their beginnings.
fn runs(seen: BTreeMap<u32, (Vec<String>, Run)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (words, mut run) in seen.into_values() {
        run.rungs = rungs_of(&words);
        run.name =
            if run.rungs.is_empty() { work_of(&words).to_owned() } else { run.rungs.join("+") };
        match runs.iter_mut().find(|known| known.name == run.name) {
            Some(known) => {
                known.cpu += run.cpu;
                known.first_seen = known.first_seen.min(run.first_seen);
                known.last_seen = known.last_seen.max(run.last_seen);
            }
            None => runs.push(run),
        }
    }
    runs.sort_by_key(|run| run.first_seen);
    runs
}

/// The rungs that a run of ffmpeg makes by its arguments: `c` and the short side for the ladder, `i` for
/// I-frames, which have the main profile.
fn rungs_of(words: &[String]) -> Vec<String> {
    let after = |option: &str| {
        let place = words.iter().position(|word| word == option)?;
        words.get(place + 1)
    };
    let Some(graph) = after("-filter_complex") else { return Vec::new() };
    let sizes = graph.split("scale=").skip(1).filter_map(|rest| {
        let (width, rest) = rest.split_once(':')?;
        let height = rest.split(':').next()?;
        Some(width.parse::<u32>().ok()?.min(height.parse::<u32>().ok()?))
    });
    sizes
        .enumerate()
        .map(|(index, side)| {
            let profile = after(&format!("-profile:v:{index}")).map_or("", String::as_str);
            format!("{}{side}", if profile == "main" { 'i' } else { 'c' })
        })
        .collect()
}

/// What another run does, by what only it has among its arguments.
fn work_of(words: &[String]) -> &'static str {
    let is_said = |word: &str| words.iter().any(|said| said == word);
    if is_said("ultrafast") {
        "mezzanine"
    } else if is_said("pcm_s16le") || is_said("adts") {
        "sound"
    } else if is_said("rawvideo") {
        "frames for AV1 and stills"
    } else if words.first().is_some_and(|program| program.ends_with("ffprobe")) {
        "probe"
    } else {
        "stills"
    }
}

impl Made {
    /// Length of the clip.
    pub(super) const fn length(&self) -> Duration {
        Duration::from_millis(self.revision.manifest.duration_ms)
    }

    /// The file of the mezzanine, its size and its rate.
    pub(super) fn mezzanine(&self) -> (PathBuf, Size, FrameRate) {
        let Manifest { width, height, frame_rate, .. } = self.revision.manifest;
        (self.folder.join("mezz.mp4"), Size { width, height }, frame_rate)
    }

    /// The folder for what is compared with it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything with a picture, as it stands in the manifest.
    pub(super) fn rungs(&self) -> Vec<Rung> {
        let whole = self.revision.manifest.frame_rate;
        let of = |rendition: &Rendition| match rendition.track {
            Track::Video { family, frame_rate, .. } => {
                let name = rendition.id.to_string();
                let found = self.kept().into_iter().find(|report| report.name == name);
                let quantizer = found.map(|report| report.quantizer);
                Some(Rung { step: whole.step_to(frame_rate)?, name, family, quantizer })
            }
            Track::Audio { .. } => None,
        };
        self.revision.manifest.renditions.iter().filter_map(of).collect()
    }

    fn kept(&self) -> Vec<&RungReport> {
        self.revision.report.av1_rungs.iter().filter(|report| report.is_kept).collect()
    }

    /// Writes a rendition as one file; answers it and its length in bytes.
    fn write(&self, name: &str) -> anyhow::Result<(PathBuf, u64)> {
        let mut renditions = self.revision.manifest.renditions.iter();
        let rendition = renditions.find(|rendition| rendition.id.as_str() == name);
        let rendition = rendition.with_context(|| format!("no rendition {name}"))?;
        let parts = rendition.segments.iter().map(|segment| &segment.hash);
        let mut bytes = Vec::new();
        for hash in std::iter::once(&rendition.init).chain(parts) {
            bytes.extend_from_slice(self.blobs.get(hash).context("a blob was not put")?);
        }
        let file = self.folder.join(format!("{name}.mp4"));
        std::fs::write(&file, &bytes)?;
        Ok((file, u64::try_from(bytes.len())?))
    }

    /// The rows of the pipeline: its stages, its runs, its rungs.
    pub(super) async fn rows(&self, ffmpeg: &Path) -> anyhow::Result<Vec<Row>> {
        let mut rows = vec![
            row("revision 1, all of it", "mezzanine, H.264, sound, stills", self.first),
            row("revision 2, all of it", "AV1 rungs", self.av1),
        ];
        for run in &self.runs {
            let settings = match run.rungs.as_slice() {
                [] => "",
                [only] if self.alone(only).is_some() => continue,
                [_] => "again, with a lower cap",
                _ => "of one decoded mezzanine",
            };
            rows.push(row(&run.name, settings, run.cost()));
        }
        let kept = self.kept();
        let (mezzanine, size, _) = self.mezzanine();
        for rung in self.rungs() {
            let (file, bytes) = self.write(&rung.name)?;
            let near = ssim(ffmpeg, (&file, rung.step), (&mezzanine, size)).await?;
            let place = kept.iter().position(|report| report.name == rung.name);
            let made = place.and_then(|place| self.av1_rungs.get(place)).copied();
            let cost = match rung.family {
                VideoFamily::Avc => self.alone(&rung.name).map(Run::cost),
                VideoFamily::Av1 => made,
            };
            let settings = match (rung.quantizer, cost) {
                (Some(quantizer), _) => {
                    format!("rav1e speed {}, quantizer {quantizer}, found", self.speed)
                }
                (None, Some(_)) => "x264 veryfast, crf 23, cap".to_owned(),
                (None, None) => "x264 veryfast, crf 23, cap; CPU above".to_owned(),
            };
            rows.push(Row {
                encoder: OURS.to_owned(),
                rung: rung.name,
                settings,
                cpu: cost.map(|cost| cost.cpu),
                wall: cost.map(|cost| cost.wall),
                bytes: Some(bytes),
                ssim: Some(near),
            });
        }
        Ok(rows)
    }

    /// The run that made this rung and nothing else, if no other one had a part in it.
    fn alone(&self, rung: &str) -> Option<&Run> {
        let mut runs = self.runs.iter().filter(|run| run.rungs.iter().any(|made| made == rung));
        let first = runs.next().filter(|run| run.rungs.len() == 1);
        first.filter(|_| runs.next().is_none())
    }
}

impl Run {
    fn cost(&self) -> Cost {
        Cost { cpu: self.cpu, wall: self.last_seen.duration_since(self.first_seen) }
    }
}

fn row(name: &str, settings: &str, cost: Cost) -> Row {
    Row {
        encoder: OURS.to_owned(),
        rung: name.to_owned(),
        settings: settings.to_owned(),
        cpu: Some(cost.cpu),
        wall: Some(cost.wall),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    const PICTURES: &str = "/usr/bin/ffmpeg -i pipe:0 -filter_complex \
        [0:v:0]split=3[in0][in1][in2];[in0]framestep=1,scale=1280:720:flags=lanczos,setsar=1[out0];\
        [in1]framestep=2,scale=234:416:flags=lanczos[out1];[in2]framestep=30,scale=640:360:flags=x[out2] \
        -c:v libx264 -preset veryfast -profile:v:0 high -profile:v:1 baseline -profile:v:2 main";

    #[test]
    fn rungs_of_a_run_are_read_from_its_arguments() {
        assert_eq!(rungs_of(&words(PICTURES)), ["c720", "c234", "i360"]);
        assert!(rungs_of(&words("/usr/bin/ffmpeg -i mezz.mp4 -vf scale=1:1 x")).is_empty());
        assert!(rungs_of(&words("ffmpeg -filter_complex")).is_empty());
    }

    #[test]
    fn other_runs_are_named_by_what_only_they_have() {
        let of = |line: &str| work_of(&words(line));
        assert_eq!(of("/usr/bin/ffmpeg -c:v libx264 -preset ultrafast mezz.mp4"), "mezzanine");
        assert_eq!(of("/usr/bin/ffmpeg -c:a aac -f adts pipe:1"), "sound");
        assert_eq!(of("/usr/bin/ffprobe -show_streams clip.mp4"), "probe");
    }

    #[test]
    fn a_process_is_what_its_jail_became_and_keeps_its_last_figure() {
        let running = |words: Vec<String>, millis| Running {
            pid: 7,
            words,
            cpu: Duration::from_millis(millis),
        };
        let mut seen = BTreeMap::new();
        look(&mut seen, vec![running(words("fairground transcode-jail {}"), 10)]);
        look(&mut seen, vec![running(words(PICTURES), 250)]);
        // Ended, and not waited for yet.
        look(&mut seen, vec![running(Vec::new(), 260)]);
        let runs = runs(seen);
        let names: Vec<_> = runs.iter().map(|run| (run.name.as_str(), run.cpu)).collect();
        assert_eq!(names, [("c720+c234+i360", Duration::from_millis(260))]);
    }
}
