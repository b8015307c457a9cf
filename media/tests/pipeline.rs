//! The pipeline against real tools: ffmpeg's generated clips (and real ones where the folder named
//! by `FAIRGROUND_TEST_MEDIA` exists) go in, other programs judge what comes out.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use fairground_media::manifest::{IFrameStream, Manifest, Rendition, Track, VideoFamily};
use fairground_media::path::{PlayPath, Resource, resolve};
use fairground_media::probe::{ProbePolicy, probe};
use fairground_media::{
    BlobSink, EncodeTuning, Jail, JailLevel, Launcher, MediaError, Progress, Revision, Stage,
    Tools, TranscodeJob,
};
use fairground_types::BlobHash;

use common::{MemorySink, ffmpeg, note, tools};

fn skip(reason: &str) {
    note(&format!("skipped: {reason}"));
}

fn clip(tools: &Tools, folder: &Path) -> PathBuf {
    let path = folder.join("clip.mp4");
    let args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=25:duration=4.2",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:duration=4.2",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-c:a",
        "aac",
        "-shortest",
    ];
    ffmpeg(tools, &args, &path);
    path
}

struct Probed {
    frames: u64,
    errors: String,
}

/// Frames that ffprobe decodes.
fn decode(tools: &Tools, path: &Path, stream: &str) -> Probed {
    let output = Command::new(&tools.ffprobe)
        .args(["-v", "error", "-count_frames", "-select_streams", stream])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let frames = text.trim().trim_end_matches(',').parse();
    Probed {
        frames: frames.unwrap_or_else(|_| panic!("no count for {}: {text}", path.display())),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Frames that dav1d decodes, or `None` where it is absent.
fn dav1d(path: &Path) -> Option<u64> {
    let run = Command::new("dav1d").args(["--muxer", "null", "-o", "-", "-i"]).arg(path).output();
    let Ok(output) = run else {
        skip("dav1d is absent");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let counts = text.rsplit("Decoded ").next()?;
    counts.split(['/', ' ']).next()?.trim().parse().ok()
}

/// Fetches a rendition as a player does, by names from its playlist, into one file.
fn fetch(manifest: &Manifest, sink: &MemorySink, rendition: &Rendition, folder: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    let mut take = |name: &str| {
        let path = PlayPath::parse(name).unwrap_or_else(|| panic!("{name} is no name"));
        let Some(Resource::Blob(hash, _)) = resolve(manifest, &path) else {
            panic!("{name} does not resolve")
        };
        bytes.extend_from_slice(&sink.0[&hash]);
    };
    take(&format!("{}/init.mp4", rendition.id));
    for n in 0..rendition.segments.len() {
        take(&format!("{}/{n}.m4s", rendition.id));
    }
    let file = folder.join(format!("{}.mp4", rendition.id));
    std::fs::write(&file, bytes).unwrap();
    file
}

/// Extracts the raw AV1 stream for dav1d, whose Debian build reads no MP4.
fn raw_av1(tools: &Tools, file: &Path) -> PathBuf {
    let raw = file.with_extension("obu");
    let input = file.to_str().unwrap();
    ffmpeg(tools, &["-i", input, "-map", "0:v:0", "-c", "copy", "-f", "obu"], &raw);
    raw
}

fn check_revision(tools: &Tools, revision: &Revision, sink: &MemorySink, folder: &Path) {
    let manifest = &revision.manifest;
    let stored = &sink.0[&revision.manifest_hash];
    assert_eq!(Manifest::parse(stored).unwrap(), *manifest);
    for hash in manifest.blobs() {
        assert!(sink.0.contains_key(&hash), "a blob of the manifest was not put");
    }
    for rendition in &manifest.renditions {
        let file = fetch(manifest, sink, rendition, folder);
        match &rendition.track {
            Track::Video { family, frame_rate, .. } => {
                let step = manifest.frame_rate.step_to(*frame_rate).unwrap();
                let wanted = manifest.frame_count.div_ceil(step.into());
                let decoded = decode(tools, &file, "v:0");
                assert_eq!(decoded.errors, "", "{}", rendition.id);
                assert_eq!(decoded.frames, wanted, "{}", rendition.id);
                if *family == VideoFamily::Av1 {
                    let frames = dav1d(&raw_av1(tools, &file));
                    assert!(frames.is_none_or(|frames| frames == wanted));
                }
                check_stream(tools, &file, rendition);
            }
            Track::Audio { .. } => {
                let decoded = decode(tools, &file, "a:0");
                assert_eq!(decoded.errors, "", "{}", rendition.id);
                // Length within one AAC frame of the picture.
                let ticks = rendition.duration_ticks();
                let picture = manifest.duration_ms * 48;
                assert!(ticks + 48 >= picture && ticks < picture + 1024 + 48, "{ticks}");
            }
        }
        check_aligned(manifest, rendition);
    }
    for stream in &manifest.i_frames {
        check_i_frames(tools, manifest, stream, sink, folder);
    }
    check_slowest(manifest);
    check_stills(tools, manifest, sink, folder);
}

/// One value of the first stream, as ffprobe prints it.
fn entry(tools: &Tools, file: &Path, name: &str) -> String {
    let output = Command::new(&tools.ffprobe)
        .args(["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0", "-show_entries"])
        .arg(format!("stream={name}"))
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').to_owned()
}

/// What ffprobe reads from the stream is what the manifest says of it.
fn check_stream(tools: &Tools, file: &Path, rendition: &Rendition) {
    let Track::Video { family, width, height, .. } = rendition.track else { return };
    let id = &rendition.id;
    assert_eq!(entry(tools, file, "width,height"), format!("{width},{height}"), "{id}");
    if family == VideoFamily::Avc {
        let level: u8 = entry(tools, file, "level").parse().unwrap();
        assert!(rendition.codec.ends_with(&format!("{level:02x}")), "{id}: level {level}");
        let profile = match rendition.codec.get(5..9) {
            Some("42c0") => "Constrained Baseline",
            Some("6400") => "High",
            other => panic!("{id}: {other:?}"),
        };
        assert_eq!(entry(tools, file, "profile"), profile, "{id}");
    }
}

/// Every byte range is a segment of its own that decodes to one picture, and the pictures are one
/// second apart.
fn check_i_frames(
    tools: &Tools,
    manifest: &Manifest,
    stream: &IFrameStream,
    sink: &MemorySink,
    folder: &Path,
) {
    let blob = |name: &str| match resolve(manifest, &PlayPath::parse(name).unwrap()) {
        Some(Resource::Blob(hash, _)) => sink.0[&hash].clone(),
        other => panic!("{name} is {other:?}"),
    };
    let id = &stream.id;
    let (init, pictures) = (blob(&format!("{id}/init.mp4")), blob(&format!("{id}/frames.mp4")));
    let step = manifest.frame_rate.frames_per_gop() / 2;
    assert_eq!(u64::try_from(stream.frames.len()).unwrap(), manifest.frame_count.div_ceil(step));
    let file = folder.join(format!("{id}.mp4"));
    let mut end = 0;
    for (start, frame) in stream.ranges() {
        assert_eq!(start, end, "{id}");
        end = start + frame.bytes;
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        let alone = &pictures[range];
        assert_eq!(&alone[4..8], b"styp", "{id}");
        std::fs::write(&file, [&init, alone].concat()).unwrap();
        let decoded = decode(tools, &file, "v:0");
        assert_eq!((decoded.frames, decoded.errors.as_str()), (1, ""), "{id} at {start}");
    }
    assert_eq!(u64::try_from(pictures.len()).unwrap(), end, "{id}");
    let playlist = PlayPath::parse(&format!("{id}.m3u8")).unwrap();
    let Some(Resource::Text(text, _)) = resolve(manifest, &playlist) else { panic!("{id}") };
    assert_eq!(text.matches("#EXT-X-BYTERANGE:").count(), stream.frames.len());
    note(&format!("{id}: {} b/s on average", stream.average_bandwidth));
}

/// The poster has its size in both formats; the sheets are grids of which the index names every
/// part.
fn check_stills(tools: &Tools, manifest: &Manifest, sink: &MemorySink, folder: &Path) {
    let save = |name: &str| {
        let Some(Resource::Blob(hash, _)) = resolve(manifest, &PlayPath::parse(name).unwrap())
        else {
            panic!("{name} does not resolve")
        };
        let file = folder.join(name.replace('/', "-"));
        std::fs::write(&file, &sink.0[&hash]).unwrap();
        note(&format!("{name}: {} bytes", sink.0[&hash].len()));
        file
    };
    let jpeg = save("poster.jpg");
    let size = entry(tools, &jpeg, "width,height");
    // The picture's item as a bare stream: the payload of the last box, after a delimiter.
    let avif = std::fs::read(save("poster.avif")).unwrap();
    let start = avif.windows(4).position(|bytes| bytes == b"mdat").unwrap() + 4;
    let stream = folder.join("poster.obu");
    std::fs::write(&stream, [&[0x12, 0], &avif[start..]].concat()).unwrap();
    assert_eq!(entry(tools, &stream, "codec_name,width,height"), format!("av1,{size}"));
    let frames = dav1d(&stream);
    assert!(frames.is_none_or(|frames| frames == 1), "{frames:?}");

    let board = manifest.storyboard.as_ref().unwrap();
    let grid = format!("{},{}", board.columns * board.width, board.rows * board.height);
    for n in 0..board.sheets.len() {
        let sheet = save(&format!("storyboard/{n}.jpg"));
        assert_eq!(entry(tools, &sheet, "codec_name,width,height"), format!("mjpeg,{grid}"));
    }
    let index = PlayPath::parse("storyboard.vtt").unwrap();
    let Some(Resource::Text(text, "text/vtt")) = resolve(manifest, &index) else {
        panic!("no index")
    };
    let seconds = manifest.duration_ms.div_ceil(2002);
    assert_eq!(u64::try_from(text.matches("#xywh=").count()).unwrap(), seconds, "{text}");
}

/// There is a variant for slow networks, sound included.
fn check_slowest(manifest: &Manifest) {
    let sound = manifest.sounds().map(|sound| sound.bandwidth).min().unwrap_or(0);
    let slowest = manifest.videos().map(|video| video.bandwidth).min().unwrap();
    assert!(slowest + sound <= 192_000, "{slowest} and {sound}");
}

/// Segment starts agree with the first rendition's within one AAC frame.
fn check_aligned(manifest: &Manifest, rendition: &Rendition) {
    let starts = |rendition: &Rendition| -> Vec<u64> {
        let mut ticks = 0;
        let mut starts = Vec::new();
        for segment in &rendition.segments {
            starts.push(ticks * 1_000_000 / u64::from(rendition.timescale));
            ticks += segment.duration_ticks;
        }
        starts
    };
    let reference = starts(&manifest.renditions[0]);
    for (ours, theirs) in starts(rendition).into_iter().zip(reference) {
        assert!(ours.abs_diff(theirs) < 21_400, "{}: {ours} and {theirs}", rendition.id);
    }
}

struct Ran {
    first: Revision,
    second: Revision,
    stages: Vec<Stage>,
}

fn run(tools: &Tools, source: &Path, folder: &Path, short_side: u32) -> Ran {
    let tuning =
        EncodeTuning { av1_tallest: short_side, keeps_all: true, ..EncodeTuning::default() };
    let work = folder.join("work");
    let mut job = TranscodeJob::new(source.to_owned(), work, tools.clone(), tuning);
    let mut sink = MemorySink::default();
    let mut stages = Vec::new();
    let mut last = 0;
    let mut progress = |progress: Progress| {
        if stages.last() != Some(&progress.stage) {
            stages.push(progress.stage);
            last = 0;
        }
        assert!(progress.done_frames >= last, "progress went back");
        assert!(progress.done_frames <= progress.total_frames);
        last = progress.done_frames;
    };
    let first = job.h264_revision(&mut sink, &mut progress).unwrap();
    check_revision(tools, &first, &sink, folder);
    let second = job.av1_revision(&mut sink, &mut progress).unwrap();
    check_revision(tools, &second, &sink, folder);
    check_beginnings(&sink, &first.manifest);
    let before = u32::try_from(sink.1.len()).unwrap();
    assert_eq!((first.manifest.revision, second.manifest.revision), (before + 1, before + 2));
    Ran { first, second, stages }
}

/// Each beginning can be played, continues the one before, and is what the whole begins with.
fn check_beginnings(sink: &MemorySink, whole: &Manifest) {
    let mut groups = 1;
    for (number, beginning) in (1..).zip(&sink.1) {
        let manifest = &beginning.manifest;
        assert_eq!(Manifest::parse(&sink.0[&beginning.manifest_hash]).unwrap(), *manifest);
        assert!(manifest.is_growing && manifest.revision == number);
        let of = |rendition: &Rendition| (rendition.id.to_string(), rendition.init);
        let (mut ours, mut all): (Vec<_>, Vec<_>) =
            (manifest.renditions.iter().collect(), whole.renditions.iter().collect());
        ours.sort_by_key(|rendition| of(rendition));
        all.sort_by_key(|rendition| of(rendition));
        assert!(ours.iter().map(|r| of(r)).eq(all.iter().map(|r| of(r))), "other renditions");
        let count = ours[0].segments.len();
        assert!(count > groups, "a beginning that is not longer");
        groups = count;
        for (ours, all) in ours.iter().zip(all) {
            // The variant for slow networks may be made again with a lower cap.
            if ours.id.as_str() != "c234" {
                assert_eq!(ours.segments, all.segments[..count], "{}", ours.id);
            }
            assert!(ours.segments.iter().all(|segment| sink.0.contains_key(&segment.hash)));
        }
        let playlist = PlayPath::parse(&format!("{}.m3u8", ours[0].id)).unwrap();
        let Some(Resource::Text(text, _)) = resolve(manifest, &playlist) else { panic!() };
        assert!(text.contains("PLAYLIST-TYPE:EVENT") && !text.contains("ENDLIST"), "{text}");
    }
}

fn names(revision: &Revision) -> Vec<String> {
    revision.manifest.renditions.iter().map(|rendition| rendition.id.to_string()).collect()
}

#[test]
fn generated_clip_becomes_two_complete_revisions() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = clip(&tools, folder.path());
    let ran = run(&tools, &source, folder.path(), 360);
    assert_eq!(ran.first.manifest.frame_count, 105);
    assert_eq!(names(&ran.first), ["c360", "c234", "a-hi", "a-lo"]);
    assert_eq!(names(&ran.second), ["c360", "c234", "v360", "a-hi", "a-lo"]);
    let streams: Vec<_> = ran.first.manifest.i_frames.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(streams, ["i360", "i234"]);
    assert_eq!(ran.stages, [Stage::H264, Stage::Av1]);
    let codecs: Vec<_> =
        ran.second.manifest.renditions.iter().map(|rendition| rendition.codec.as_str()).collect();
    let aac = "mp4a.40.2";
    assert_eq!(codecs, ["avc1.64001e", "avc1.42c00d", "av01.0.01M.08", aac, aac]);
    let segments: Vec<_> =
        ran.second.manifest.renditions.iter().map(|rendition| rendition.segments.len()).collect();
    assert_eq!(segments, [3; 5]);
    assert!(ran.first.report.av1_fps.is_none());
    assert!(ran.second.report.av1_fps.is_some_and(|fps| fps > 0.0));
    for Rendition { id, bandwidth, average_bandwidth, .. } in &ran.second.manifest.renditions {
        note(&format!("{id}: {average_bandwidth} b/s on average, {bandwidth} at most"));
    }
    note(&format!("report of revision 2: {:?}", ran.second.report));
}

#[test]
fn long_clip_can_be_played_while_it_is_made() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (workers, name) in [(2, "sounding.mp4"), (1, "silent.mp4")] {
        let source = folder.path().join(name);
        let mut args = vec!["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=30"];
        if workers > 1 {
            args.extend(["-f", "lavfi", "-i", "sine=frequency=440:duration=29"]);
        }
        ffmpeg(&tools, &args, &source);
        let tuning = EncodeTuning { workers, ..EncodeTuning::default() };
        let work = folder.path().join(name.replace('.', "-"));
        let mut job = TranscodeJob::new(source, work, tools.clone(), tuning);
        let mut sink = MemorySink::default();
        let whole = job.h264_revision(&mut sink, &mut |_| {}).unwrap();
        assert!(!sink.1.is_empty(), "nothing could be played before the whole");
        check_beginnings(&sink, &whole.manifest);
        assert!(!whole.manifest.is_growing && whole.manifest.frame_count == 750);
        note(&format!("{name}: {} beginnings, {:?}", sink.1.len(), whole.report));
    }
}

#[test]
fn av1_that_does_not_beat_h264_is_left_out() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    // Noise: nothing can be predicted, and H.264 spends its cap on it.
    for (name, picture) in [
        ("noise.mp4", "nullsrc=size=320x240:rate=10:duration=5,geq=random(1)*255:128:128"),
        (
            "still.mp4",
            "color=gray:size=320x240:rate=10:duration=5,drawbox=60:40:90:70:white@1:fill",
        ),
    ] {
        let source = folder.path().join(name);
        ffmpeg(&tools, &["-f", "lavfi", "-i", picture, "-qp", "0"], &source);
        let work = folder.path().join(name.replace('.', "-"));
        let mut job = TranscodeJob::new(source, work, tools.clone(), EncodeTuning::default());
        let mut sink = MemorySink::default();
        let revision = job.av1_revision(&mut sink, &mut |_| {}).unwrap();
        let [rung] = revision.report.av1_rungs.as_slice() else { panic!("one rung") };
        note(&format!("{name}: {rung:?}"));
        let has_av1 = revision.manifest.renditions.iter().any(|r| r.id.as_str() == "v240");
        assert_eq!(rung.is_kept, has_av1);
        assert!(!has_av1 || rung.ssim >= rung.ssim_h264 && rung.bits_ratio < 1.0, "{rung:?}");
        assert!((0.0..=1.0).contains(&rung.ssim_h264), "{rung:?}");
    }
}

#[test]
fn av1_bytes_do_not_depend_on_the_number_of_workers() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("small.mp4");
    let args = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=10:duration=5"];
    ffmpeg(&tools, &args, &source);
    let hashes = |workers, work: &str| {
        let tuning = EncodeTuning { workers, keeps_all: true, ..EncodeTuning::default() };
        let work = folder.path().join(work);
        let mut job = TranscodeJob::new(source.clone(), work, tools.clone(), tuning);
        let mut sink = MemorySink::default();
        // Stage 2 without stage 1 runs both.
        let revision = job.av1_revision(&mut sink, &mut |_| {}).unwrap();
        let rung = revision.manifest.renditions.iter().find(|r| r.id.as_str() == "v96").unwrap();
        rung.segments.iter().map(|segment| segment.hash).collect::<Vec<_>>()
    };
    let one = hashes(1, "one");
    assert_eq!(one.len(), 3);
    assert_eq!(one, hashes(3, "three"));
}

#[test]
fn portrait_ntsc_clip_keeps_every_frame() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat.mp4");
    let args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=480x270:rate=30000/1001",
        "-frames:v",
        "91",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-bf",
        "2",
    ];
    ffmpeg(&tools, &args, &flat);
    let source = folder.path().join("turned.mov");
    let args = ["-i", flat.to_str().unwrap(), "-c", "copy", "-metadata:s:v:0", "rotate=90"];
    ffmpeg(&tools, &args, &source);
    let ran = run(&tools, &source, folder.path(), 270);
    let manifest = &ran.second.manifest;
    assert_eq!(manifest.frame_count, 91);
    assert_eq!((manifest.frame_rate.num, manifest.frame_rate.den), (30_000, 1001));
    assert_eq!((manifest.width, manifest.height), (270, 480));
    assert_eq!(names(&ran.second), ["c270", "c234", "v270"]);
}

/// Mean brightness of every picture of a file.
fn brightness(tools: &Tools, file: &Path) -> Vec<u8> {
    let output = Command::new(&tools.ffmpeg)
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-vf", "scale=1:1:flags=area,format=gray", "-f", "rawvideo", "pipe:1"])
        .output()
        .unwrap();
    output.stdout
}

#[test]
fn half_rate_has_exactly_every_second_frame() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("blinking.mp4");
    // Every second picture is bright; the number of pictures is odd.
    let args = [
        "-f",
        "lavfi",
        "-i",
        "color=black:size=640x360:rate=25,geq=lum='if(mod(N,2),200,50)':cb=128:cr=128",
        "-frames:v",
        "105",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ];
    ffmpeg(&tools, &args, &source);
    let work = folder.path().join("work");
    let mut job = TranscodeJob::new(source, work, tools.clone(), EncodeTuning::default());
    let mut sink = MemorySink::default();
    let revision = job.h264_revision(&mut sink, &mut |_| {}).unwrap();
    check_revision(&tools, &revision, &sink, folder.path());
    let manifest = &revision.manifest;
    let pictures = |name: &str| {
        let rendition = manifest.renditions.iter().find(|r| r.id.as_str() == name).unwrap();
        brightness(&tools, &fetch(manifest, &sink, rendition, folder.path()))
    };
    let full = pictures("c360");
    assert_eq!(full.len(), 105);
    assert_eq!(full.iter().filter(|mean| **mean > 120).count(), 52);
    let half = pictures("c234");
    assert_eq!(half.len(), 53);
    assert!(half.iter().all(|mean| *mean < 120), "a picture between two: {half:?}");
    let output = Command::new(&tools.ffprobe)
        .args(["-v", "error", "-of", "csv=p=0", "-show_entries", "packet=pts"])
        .arg(folder.path().join("c234.mp4"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let packets: Vec<_> = text.lines().map(|line| line.trim_end_matches(',')).collect();
    assert_eq!((packets[0], packets[52]), ("0", "104"), "{text}");
    // The last picture is shown for one frame only, so that both end together.
    let lengths: Vec<_> = manifest.videos().map(Rendition::duration_ticks).collect();
    assert_eq!(lengths, [105, 105]);
}

#[test]
fn fast_clip_has_the_whole_ladder_within_its_caps() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("fast.mp4");
    let args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=1280x720:rate=50:duration=3.5",
        "-f",
        "lavfi",
        "-i",
        "anoisesrc=duration=3.5:amplitude=0.4",
        "-vf",
        "noise=alls=40:allf=t",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-c:a",
        "aac",
        "-shortest",
    ];
    ffmpeg(&tools, &args, &source);
    let work = folder.path().join("work");
    let tuning = EncodeTuning { workers: 2, ..EncodeTuning::default() };
    let mut job = TranscodeJob::new(source, work, tools.clone(), tuning);
    let mut sink = MemorySink::default();
    let revision = job.h264_revision(&mut sink, &mut |_| {}).unwrap();
    check_revision(&tools, &revision, &sink, folder.path());
    let manifest = &revision.manifest;
    let mut rungs: Vec<_> = manifest
        .videos()
        .map(|video| {
            let Track::Video { frame_rate, .. } = video.track else { panic!("no video") };
            (video.id.as_str(), frame_rate.to_decimal(), video.codec.as_str())
        })
        .collect();
    rungs.sort();
    let rung = |name, rate: &str, codec| (name, rate.to_owned(), codec);
    assert_eq!(
        rungs,
        [
            rung("c234", "12.500", "avc1.42c00d"),
            rung("c360", "25.000", "avc1.64001e"),
            rung("c480", "25.000", "avc1.64001e"),
            rung("c720", "50.000", "avc1.640020"),
        ]
    );
    // Noise meets every cap.
    for (name, cap) in [("c234", 112_000), ("c360", 750_000), ("c480", 1_500_000)] {
        let rendition = manifest.videos().find(|video| video.id.as_str() == name).unwrap();
        note(&format!("{name}: {} of {cap} b/s", rendition.bandwidth));
        assert!(rendition.bandwidth <= cap, "{name}: {}", rendition.bandwidth);
    }
}

/// A picture of a file as grey bytes.
fn grey(tools: &Tools, file: &Path, number: u64) -> Vec<u8> {
    let raw = file.with_extension("grey");
    let select = format!("select=eq(n\\,{number})");
    let input = ["-i", file.to_str().unwrap(), "-vf", select.as_str()];
    let output = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray"];
    ffmpeg(tools, &[input.as_slice(), &output].concat(), &raw);
    std::fs::read(raw).unwrap()
}

/// Where a flat picture is not flat: the first and last column and row, and the darkest and lightest
/// difference.
fn drawn(picture: &[u8], width: usize) -> Option<([usize; 4], [i16; 2])> {
    let ground = i16::from(picture[0]);
    let mut found: Option<([usize; 4], [i16; 2])> = None;
    for (at, pixel) in picture.iter().enumerate() {
        let difference = i16::from(*pixel) - ground;
        if difference.abs() < 12 {
            continue;
        }
        let (x, y) = (at % width, at / width);
        let ([left, right, top, bottom], [dark, light]) =
            found.unwrap_or(([x, x, y, y], [difference; 2]));
        let place = [left.min(x), right.max(x), top.min(y), bottom.max(y)];
        found = Some((place, [dark.min(difference), light.max(difference)]));
    }
    found
}

#[test]
fn makers_mark_is_in_the_corner_of_every_picture_and_nowhere_else() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("flat.mp4");
    let clip = "color=c=gray:size=640x360:rate=25:duration=4.2";
    let args = ["-f", "lavfi", "-i", clip, "-c:v", "libx264", "-preset", "ultrafast"];
    ffmpeg(&tools, &args, &source);
    let made = |mark: Option<&str>| {
        let work = folder.path().join("work");
        let mut job =
            TranscodeJob::new(source.clone(), work, tools.clone(), EncodeTuning::default());
        job.mark = mark.map(str::to_owned);
        let mut sink = MemorySink::default();
        let revision = job.h264_revision(&mut sink, &mut |_| {}).unwrap();
        (revision, sink)
    };
    // A quote and a filter's signs are only characters.
    for mark in ["ash-and-oak", "a':[x];drawtext=\\"] {
        let (revision, sink) = made(Some(mark));
        check_revision(&tools, &revision, &sink, folder.path());
        let mut seen = 0;
        for video in revision.manifest.videos() {
            let Track::Video { width, height, .. } = video.track else { panic!("no video") };
            let (width, height) =
                (usize::try_from(width).unwrap(), usize::try_from(height).unwrap());
            let file = fetch(&revision.manifest, &sink, video, folder.path());
            for number in [0, 40] {
                let picture = grey(&tools, &file, number);
                let (place, shades) = drawn(&picture, width).expect("no mark");
                let [left, right, top, bottom] = place;
                note(&format!("{}: {place:?} {shades:?}", video.id));
                assert!(left > width / 2 && right < width, "{}: {place:?}", video.id);
                assert!(top > height * 9 / 10 && bottom < height, "{}: {place:?}", video.id);
                assert!(shades[0] < -12 && shades[1] > 12, "{}: {shades:?}", video.id);
                seen += 1;
            }
        }
        assert!(seen >= 4, "{seen} pictures");
        let poster = folder.path().join("poster.jpg");
        std::fs::write(&poster, &sink.0[&revision.manifest.poster.unwrap().jpeg]).unwrap();
        assert!(drawn(&grey(&tools, &poster, 0), 640).is_some(), "the poster has no mark");
    }
    let (revision, sink) = made(None);
    let video = revision.manifest.videos().next().unwrap();
    let file = fetch(&revision.manifest, &sink, video, folder.path());
    let Track::Video { width, .. } = video.track else { panic!("no video") };
    assert_eq!(drawn(&grey(&tools, &file, 0), usize::try_from(width).unwrap()), None);
}

#[test]
fn bad_uploads_are_refused_with_a_reason() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(clip(&tools, folder.path())).unwrap();
    let reason = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = probe(&path, &tools, &ProbePolicy::default()).unwrap_err();
        error.rejection().unwrap_or_else(|| panic!("{name}: {error}")).reason
    };
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.mp4\n#EXT-X-ENDLIST\n";
    assert_eq!(reason("playlist.mp4", playlist), "playlist_in_disguise");
    assert_eq!(
        reason("concat.mp4", b"ffconcat version 1.0\nfile clip.mp4\n"),
        "playlist_in_disguise"
    );
    assert_eq!(reason("notes.mp4", b"dear diary"), "text_not_video");
    assert_eq!(reason("image.mp4", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "not_a_video");
    assert_eq!(reason("empty.mp4", b""), "empty");
    assert_eq!(reason("cut.mp4", &good[..good.len() / 2]), "truncated");
    // A box that claims to be a video and holds a playlist reaches the forced demuxer only.
    let ftyp = b"\0\0\0\x10ftypisom\0\0\0\0";
    let moov = b"\0\0\0\x10moov\0\0\0\x08trak";
    let hollow = [ftyp.as_slice(), moov, playlist].concat();
    assert!(
        ["truncated", "malformed", "unreadable", "no_video"]
            .contains(&reason("hollow.mp4", &hollow))
    );
    let sound = folder.path().join("sound.mp4");
    ffmpeg(&tools, &["-f", "lavfi", "-i", "sine=duration=2"], &sound);
    assert_eq!(reason("sound-only.mp4", &std::fs::read(&sound).unwrap()), "no_video");
    let short = folder.path().join("short-source.mp4");
    ffmpeg(&tools, &["-f", "lavfi", "-i", "testsrc2=duration=0.2"], &short);
    assert_eq!(reason("short.mp4", &std::fs::read(&short).unwrap()), "too_short");
}

#[test]
fn clip_that_decodes_to_less_than_it_promises_is_refused() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mkv");
    let args = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=8", "-g", "25"];
    ffmpeg(&tools, &args, &whole);
    let mut bytes = std::fs::read(&whole).unwrap();
    bytes.truncate(bytes.len() / 2);
    let cut = folder.path().join("cut.mkv");
    std::fs::write(&cut, bytes).unwrap();
    let work = folder.path().join("work");
    let mut job = TranscodeJob::new(cut, work, tools, EncodeTuning::default());
    let error = job.h264_revision(&mut MemorySink::default(), &mut |_| {}).unwrap_err();
    assert_eq!(error.rejection().map(|rejection| rejection.reason), Some("truncated"), "{error}");
}

#[test]
fn failing_sink_stops_the_job() {
    struct Full(u32);
    impl BlobSink for Full {
        fn put(&mut self, bytes: Bytes) -> Result<BlobHash, MediaError> {
            self.0 += 1;
            if self.0 > 2 {
                return Err(MediaError::Sink("full".to_owned()));
            }
            Ok(BlobHash::of(&bytes))
        }
    }
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = clip(&tools, folder.path());
    let work = folder.path().join("work");
    let mut job = TranscodeJob::new(source, work, tools, EncodeTuning::default());
    let error = job.h264_revision(&mut Full(0), &mut |_| {}).unwrap_err();
    assert!(matches!(error, MediaError::Sink(_)), "{error}");
}

#[test]
fn real_clips_become_playable() {
    let Some(tools) = tools() else { return };
    let Some(folder) = std::env::var_os("FAIRGROUND_TEST_MEDIA").map(PathBuf::from) else {
        skip("FAIRGROUND_TEST_MEDIA is not set");
        return;
    };
    // AV1 of one is enough: it takes a minute.
    for (name, frames, tallest, av1) in
        [("city.mpg", 190, "c360", 360), ("phone-vfr.mp4", 0, "c1080", 0)]
    {
        let source = folder.join(name);
        if !source.is_file() {
            skip(&format!("{name} is absent"));
            continue;
        }
        let work = tempfile::tempdir().unwrap();
        let ran = run(&tools, &source, work.path(), av1);
        let manifest = &ran.second.manifest;
        assert!(names(&ran.second).iter().any(|id| id == tallest), "{name}");
        note(&format!("{name}: {:?}", ran.second.report));
        assert!(frames == 0 || manifest.frame_count == frames, "{name}: {}", manifest.frame_count);
    }
}

/// Runs a program inside the jail as the pipeline does; success, and what it wrote in all.
fn jailed(launcher: &Launcher, program: &str, args: &[&str], read: &Path) -> (bool, String) {
    let spec = format!(
        "{{\"program\":{program:?},\"read\":[{read:?}],\"write\":null,\"limits\":\
         {{\"addressSpace\":2147483648,\"cpuSeconds\":10,\"files\":64,\"fileBytes\":1000000,\
         \"wall\":{{\"secs\":10,\"nanos\":0}}}},\"parent\":{},\"report\":false}}",
        std::process::id()
    );
    let output = Command::new(&launcher.program)
        .args([launcher.verb.as_str(), spec.as_str(), "--"])
        .args(args)
        .env_clear()
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn jailed_tool_reads_its_input_and_nothing_else() {
    let Some(tools) = tools() else { return };
    let Some(launcher) = &tools.launcher else {
        skip("the launcher example is not built");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (own, foreign) = (folder.path().join("own"), folder.path().join("foreign"));
    std::fs::write(&own, "mine").unwrap();
    std::fs::write(&foreign, "another maker's").unwrap();
    let cat = |path: &Path| jailed(launcher, "/bin/cat", &[path.to_str().unwrap()], &own);
    assert_eq!(cat(&own), (true, "mine".to_owned()));
    if Jail::level(&tools).unwrap() == JailLevel::Full {
        let (success, text) = cat(&foreign);
        assert!(!success && text.contains("Permission denied"), "{text}");
    } else {
        skip("the kernel has no complete Landlock; foreign files are not checked");
    }
}

#[test]
fn jailed_tool_has_no_network_and_no_children() {
    let Some(tools) = tools() else { return };
    let Some(launcher) = &tools.launcher else {
        skip("the launcher example is not built");
        return;
    };
    let own = std::env::current_exe().unwrap();
    let ffmpeg = tools.ffmpeg.to_str().unwrap();
    let args = ["-v", "error", "-f", "mpegts", "-i", "tcp://127.0.0.1:9", "-f", "null", "-"];
    let (success, text) = jailed(launcher, ffmpeg, &args, &own);
    assert!(!success && text.contains("Operation not permitted"), "{text}");
    let (success, text) = jailed(launcher, "/bin/sh", &["-c", "(echo escaped) & wait"], &own);
    assert!(!success && !text.contains("escaped"), "{text}");
}

#[test]
fn jail_reports_its_level_and_keeps_tools_inside() {
    let Some(tools) = tools() else { return };
    if tools.launcher.is_none() {
        skip("the launcher example is not built");
        return;
    }
    let level = Jail::level(&tools).unwrap();
    assert!(level >= JailLevel::Partial);
    note(&format!("jail level: {}", level.name()));
    let plain = Tools { launcher: None, ..tools };
    assert_eq!(Jail::level(&plain).unwrap(), JailLevel::Off);
}
