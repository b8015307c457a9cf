//! Programs of others about the same revision and the same defects: none complains about the clean
//! one, and each sees the defects that name it.
//!
//! A program that is absent is skipped with a line. `hls-parser` and `mp4box` are packages of
//! `tests/media`, there once `npm ci` has run in that folder; `packager` is shaka-packager, which
//! `make setup-test` puts beside the other Python tools.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;
mod published;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fairground_media::Tools;
use fairground_media::manifest::{Manifest, Track};
use serde_json::Value;

use common::{note, tools};
use published::{FRAMES, Files, defects, revision};

/// Fewest defects that another program must see, where all programs are there.
const AGREEING_MIN: usize = 10;
/// Frames of a group.
const GROUP: u64 = 50;

/// A revision on disk, and what is needed to look at it.
struct Place<'a> {
    tools: &'a Tools,
    files: &'a Files,
    /// Every how many frames of the clip a rendition has one.
    steps: &'a BTreeMap<String, u64>,
    folder: PathBuf,
}

/// What a program says: nothing wrong, what is wrong, or that it is not there.
enum Opinion {
    Fine,
    Complaint(String),
    Absent,
}

impl Opinion {
    fn of(complaint: String) -> Self {
        if complaint.is_empty() { Self::Fine } else { Self::Complaint(complaint) }
    }
}

impl<'a> Place<'a> {
    fn new(
        tools: &'a Tools,
        files: &'a Files,
        steps: &'a BTreeMap<String, u64>,
        folder: PathBuf,
    ) -> Self {
        for (name, bytes) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        Self { tools, files, steps, folder }
    }

    /// Asks a program by the name that defects give it, about the rendition of a file.
    fn ask(&self, program: &str, file: &str) -> Opinion {
        let rendition = file.split(['/', '.']).next().unwrap();
        match program {
            "ffprobe-hls" => self.hls(),
            "ffprobe-frames" => self.frames(rendition),
            "ffprobe-keys" => self.keys(rendition),
            "ffprobe-times" => self.times(rendition),
            "ffprobe-facts" => self.facts(),
            "ffprobe-tag" => self.tag(rendition),
            "dav1d" => self.dav1d(rendition),
            "mediainfo" => self.mediainfo(rendition),
            "m3u8-rs" => self.m3u8_rs(),
            "packager" => self.packager(rendition),
            "hls-parser" | "mp4box" => self.node(program),
            other => panic!("{other} is no program"),
        }
    }

    fn ffprobe(&self, args: &[&str], path: &Path) -> Output {
        Command::new(&self.tools.ffprobe).args(args).arg(path).output().unwrap()
    }

    /// Header and segments of a rendition as one file, in the order of its playlist.
    fn joined(&self, rendition: &str) -> PathBuf {
        let text = String::from_utf8_lossy(&self.files[&format!("{rendition}.m3u8")]).into_owned();
        let mut bytes = self.files[&format!("{rendition}/init.mp4")].clone();
        for name in text.lines().filter(|line| !line.starts_with('#')) {
            bytes.extend_from_slice(&self.files[name]);
        }
        let path = self.folder.join(format!("{rendition}.joined.mp4"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// ffprobe opens the playlist as a player does.
    fn hls(&self) -> Opinion {
        let args = ["-v", "warning", "-count_packets", "-show_entries", "stream=nb_read_packets"];
        let output = self.ffprobe(&args, &self.folder.join("master.m3u8"));
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            said.push_str(&output.status.to_string());
        }
        Opinion::of(said)
    }

    /// Every frame decodes, and there are as many as there must be.
    fn frames(&self, rendition: &str) -> Opinion {
        let args = ["-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames"];
        let path = self.joined(rendition);
        let output = self.ffprobe(&[args.as_slice(), &["-of", "csv=p=0"]].concat(), &path);
        let frames = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = self.steps.get(rendition).map(|step| FRAMES.div_ceil(*step).to_string());
        if expected.is_some_and(|expected| expected != frames) {
            said.push_str(&format!("{frames:?} frames"));
        }
        Opinion::of(said)
    }

    fn packets(&self, rendition: &str) -> Vec<Value> {
        let args = ["-v", "error", "-show_packets", "-of", "json"];
        let output = self.ffprobe(&args, &self.joined(rendition));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        document["packets"].as_array().cloned().unwrap_or_default()
    }

    /// Key packets are those that start a group.
    fn keys(&self, rendition: &str) -> Opinion {
        let packets = self.packets(rendition);
        let is_key = |packet: &Value| packet["flags"].as_str().unwrap_or("").starts_with('K');
        let keys: Vec<usize> =
            packets.iter().enumerate().filter(|(_, it)| is_key(it)).map(|(at, _)| at).collect();
        let Some(step) = self.steps.get(rendition) else { return Opinion::Fine };
        let group = usize::try_from(GROUP / step).unwrap();
        let expected: Vec<usize> = (0..packets.len()).step_by(group).collect();
        Opinion::of(if keys == expected { String::new() } else { format!("keys at {keys:?}") })
    }

    /// Decode times are one packet apart, and so are presentation times in their order.
    fn times(&self, rendition: &str) -> Opinion {
        let packets = self.packets(rendition);
        let of = |name: &str| packets.iter().filter_map(|it| it[name].as_i64()).collect::<Vec<_>>();
        let (dts, mut pts) = (of("dts"), of("pts"));
        pts.sort_unstable();
        let steps = |times: &[i64]| -> BTreeSet<i64> {
            times.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        let (dts, pts) = (steps(&dts), steps(&pts));
        let even = dts.len() == 1 && pts == dts;
        Opinion::of(if even { String::new() } else { format!("steps {dts:?} and {pts:?}") })
    }

    fn stream(&self, rendition: &str) -> Value {
        let args = ["-v", "error", "-show_streams", "-of", "json"];
        let output = self.ffprobe(&args, &self.joined(rendition));
        let mut document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        document["streams"][0].take()
    }

    /// Another playlist parser and ffprobe tell the same of size, rate and range.
    fn facts(&self) -> Opinion {
        let master = &self.files["master.m3u8"];
        let playlist = match m3u8_rs::parse_master_playlist_res(master) {
            Ok(playlist) => playlist,
            Err(error) => return Opinion::Complaint(error.to_string()),
        };
        let mut complaints = String::new();
        for variant in playlist.variants.iter().filter(|it| !it.is_i_frame) {
            let stream = self.stream(variant.uri.trim_end_matches(".m3u8"));
            let size = variant.resolution.map(|it| (Some(it.width), Some(it.height)));
            let real = (stream["width"].as_u64(), stream["height"].as_u64());
            if size != Some(real) {
                complaints.push_str(&format!("{}: {size:?} and {real:?}; ", variant.uri));
            }
            let rate = stream["r_frame_rate"].as_str().unwrap_or_default();
            let parts = rate
                .split_once('/')
                .and_then(|(num, den)| Some((num.parse::<u64>().ok()?, den.parse::<u64>().ok()?)));
            let real = parts.map(|(num, den)| num * 1000 / den);
            let real = real.map(|milli| format!("{}.{:03}", milli / 1000, milli % 1000));
            let stated = variant.frame_rate.map(|rate| format!("{rate:.3}"));
            if stated != real {
                complaints.push_str(&format!("{}: {stated:?} and {real:?}; ", variant.uri));
            }
            let is_sdr = stream["color_transfer"] == "bt709";
            let range = variant.other_attributes.as_ref().and_then(|it| it.get("VIDEO-RANGE"));
            let range = range.map(ToString::to_string).unwrap_or_default();
            if is_sdr != range.contains("SDR") {
                complaints.push_str(&format!("{}: {range} and {is_sdr}; ", variant.uri));
            }
        }
        Opinion::of(complaints)
    }

    fn tag(&self, rendition: &str) -> Opinion {
        let stream = self.stream(rendition);
        let tag = stream["codec_tag_string"].as_str().unwrap_or_default();
        let known = ["avc1", "av01", "mp4a"].contains(&tag);
        Opinion::of(if known { String::new() } else { format!("the entry is {tag}") })
    }

    /// dav1d decodes the raw stream to every frame.
    fn dav1d(&self, rendition: &str) -> Opinion {
        if !rendition.starts_with('v') {
            return Opinion::Fine;
        }
        let joined = self.joined(rendition);
        let raw = joined.with_extension("obu");
        let input = joined.to_str().unwrap();
        let mut extract = Command::new(&self.tools.ffmpeg);
        extract.args(["-nostdin", "-v", "error", "-y", "-i", input, "-map", "0:v:0"]);
        let extracted = extract.args(["-c", "copy", "-f", "obu"]).arg(&raw).output().unwrap();
        if !extracted.status.success() {
            return Opinion::of(String::from_utf8_lossy(&extracted.stderr).into_owned());
        }
        let run =
            Command::new("dav1d").args(["--muxer", "null", "-o", "-", "-i"]).arg(raw).output();
        let Ok(output) = run else { return Opinion::Absent };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let whole = said.contains(&format!("Decoded {FRAMES}/{FRAMES}"));
        Opinion::of(if output.status.success() && whole { String::new() } else { said })
    }

    /// MediaInfo tells the same of every rendition as it tells of a good one.
    fn mediainfo(&self, rendition: &str) -> Opinion {
        let path = self.joined(rendition);
        let run = Command::new("mediainfo").arg("--Output=JSON").arg(path).output();
        let Ok(output) = run else { return Opinion::Absent };
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let track = &document["media"]["track"][1];
        let text = |name: &str| track[name].as_str().unwrap_or_default().to_owned();
        let expected: &[(&str, &str)] = match rendition {
            "c360" => &[
                ("Format", "AVC"),
                ("Format_Level", "3"),
                ("Width", "640"),
                ("Height", "360"),
                ("colour_primaries", "BT.709"),
                ("colour_range", "Limited"),
            ],
            "c720" => &[("Format", "AVC"), ("Format_Level", "3.1"), ("Width", "1280")],
            "v360" => &[
                ("Format", "AV1"),
                ("Format_Level", "2.1"),
                ("Width", "640"),
                ("colour_range", "Limited"),
            ],
            sound if sound.starts_with('a') => {
                &[("Format", "AAC"), ("SamplingRate", "48000"), ("Channels", "2")]
            }
            _ => &[("Format", "AVC"), ("colour_range", "Limited")],
        };
        let wrong = expected.iter().filter(|(name, value)| text(name) != *value);
        let wrong = wrong.map(|(name, value)| format!("{name} is {}, not {value}; ", text(name)));
        let own = ["colour_primaries", "colour_range", "Width"].into_iter().filter_map(|name| {
            // What container and stream disagree on has a second field.
            let other = text(&format!("{name}_Original"));
            (!other.is_empty()).then(|| format!("{name} is {other} in the stream; "))
        });
        Opinion::of(wrong.chain(own).collect())
    }

    fn m3u8_rs(&self) -> Opinion {
        let parsed = m3u8_rs::parse_master_playlist_res(&self.files["master.m3u8"]);
        Opinion::of(parsed.err().map(|error| error.to_string()).unwrap_or_default())
    }

    /// shaka-packager packages every variant with its sound anew, or that of one rendition, and its
    /// playlist states the same as ours.
    fn packager(&self, rendition: &str) -> Opinion {
        let Some(program) = packager() else { return Opinion::Absent };
        let master = String::from_utf8_lossy(&self.files["master.m3u8"]).into_owned();
        let lines: Vec<&str> = master.lines().collect();
        let sound_of = |stated: &Attributes| {
            let group = stated.get("AUDIO")?;
            let sounds = lines.iter().filter(|line| line.starts_with("#EXT-X-MEDIA:"));
            let mut sounds = sounds.map(|line| attributes(line));
            let sound = sounds.find(|sound| sound.get("GROUP-ID") == Some(group))?;
            Some(sound.get("URI")?.trim_end_matches(".m3u8").to_owned())
        };
        let mut complaints = String::new();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("#EXT-X-STREAM-INF:")) {
            let picture = pair[1].trim_end_matches(".m3u8");
            if ![picture, "master"].contains(&rendition) {
                continue;
            }
            let stated = attributes(pair[0]);
            let said = match self.packaged(&program, picture, sound_of(&stated).as_deref()) {
                Ok(found) => differences(picture, &stated, &found),
                Err(said) => format!("{picture}: {said}; "),
            };
            complaints.push_str(&said);
        }
        Opinion::of(complaints)
    }

    /// What shaka-packager's own multivariant playlist says of a picture and its sound; what it warns
    /// of is an error.
    fn packaged(
        &self,
        program: &Path,
        picture: &str,
        sound: Option<&str>,
    ) -> Result<Attributes, String> {
        let folder = self.folder.join(format!("{picture}.packaged"));
        std::fs::create_dir_all(&folder).unwrap();
        let stream = |rendition: &str, kind: &str| {
            let input = self.joined(rendition);
            format!(
                "in={},stream={kind},init_segment={kind}.mp4,segment_template={kind}$Number$.m4s,\
                 playlist_name={kind}.m3u8",
                input.display()
            )
        };
        let mut command = Command::new(program);
        command.current_dir(&folder).arg(stream(picture, "video"));
        command.args(sound.map(|sound| stream(sound, "audio")));
        command.args(["--quiet", "--segment_duration", "2"]);
        command.args(["--hls_master_playlist_output", "master.m3u8"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() || !said.is_empty() {
            return Err(format!("{}: {said}", output.status));
        }
        let master = std::fs::read_to_string(folder.join("master.m3u8")).unwrap_or_default();
        let line = master.lines().find(|line| line.starts_with("#EXT-X-STREAM-INF:"));
        line.map(attributes).ok_or_else(|| "it made no variant".to_owned())
    }

    /// Packages for Node, one process per question.
    fn node(&self, program: &str) -> Opinion {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/media");
        if !home.join("node_modules").join(program).is_dir() {
            return Opinion::Absent;
        }
        let run = Command::new("node")
            .arg(home.join("opinion.mjs"))
            .arg(program)
            .arg(&self.folder)
            .output();
        let Ok(output) = run else { return Opinion::Absent };
        assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        Opinion::of(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The attributes of a line of a playlist, without their quotes.
type Attributes = BTreeMap<String, String>;

fn attributes(line: &str) -> Attributes {
    let list = line.split_once(':').map_or("", |(_, list)| list);
    let mut is_quoted = false;
    let parts = list.split(|letter: char| {
        is_quoted ^= letter == '"';
        letter == ',' && !is_quoted
    });
    parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

/// shaka-packager, where `make setup-test` has put it.
fn packager() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let own = || of("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = of("XDG_CACHE_HOME").map(PathBuf::from).or_else(own)?;
    Some(cache.join("fairground/python-tests/bin/packager")).filter(|program| program.is_file())
}

/// What a variant states that shaka-packager does not find.
fn differences(picture: &str, stated: &Attributes, found: &Attributes) -> String {
    let text = |from: &Attributes, name: &str| from.get(name).cloned().unwrap_or_default();
    // The short form of AV1's string leaves out what is at its default.
    let codecs = |from: &Attributes| -> BTreeSet<String> {
        let codecs = text(from, "CODECS");
        codecs.split(',').map(|it| it.trim_end_matches(".0.110.01.01.01.0").to_owned()).collect()
    };
    let mut complaints = String::new();
    if codecs(stated) != codecs(found) {
        let (ours, theirs) = (text(stated, "CODECS"), text(found, "CODECS"));
        complaints.push_str(&format!("{picture}: CODECS {ours}, not {theirs}; "));
    }
    for name in ["RESOLUTION", "FRAME-RATE"] {
        let (ours, theirs) = (text(stated, name), text(found, name));
        if ours != theirs {
            complaints.push_str(&format!("{picture}: {name} {ours}, not {theirs}; "));
        }
    }
    // Its boxes have other sizes than ours, and it takes the peak of single segments, where we also
    // count runs of them (RFC 8216 section 4.1).
    for (name, least, most) in [("AVERAGE-BANDWIDTH", 98, 102), ("BANDWIDTH", 98, 125)] {
        let number = |from: &Attributes| text(from, name).parse::<u64>().unwrap_or(0);
        let (ours, theirs) = (number(stated), number(found));
        if ours * 100 < theirs * least || ours * 100 > theirs * most {
            complaints.push_str(&format!("{picture}: {name} {ours}, not about {theirs}; "));
        }
    }
    complaints
}

const PROGRAMS: [&str; 12] = [
    "ffprobe-hls",
    "ffprobe-frames",
    "ffprobe-keys",
    "ffprobe-times",
    "ffprobe-facts",
    "ffprobe-tag",
    "dav1d",
    "mediainfo",
    "m3u8-rs",
    "packager",
    "hls-parser",
    "mp4box",
];

/// Every how many frames of the clip the renditions with a picture have one.
fn steps(manifest: &Manifest) -> BTreeMap<String, u64> {
    let pictures = manifest.renditions.iter().filter_map(|rendition| match rendition.track {
        Track::Video { frame_rate, .. } => Some((rendition.id.to_string(), frame_rate)),
        Track::Audio { .. } => None,
    });
    pictures
        .map(|(id, rate)| {
            let (own, whole) = (u64::from(rate.den), u64::from(manifest.frame_rate.den));
            let scale = u64::from(manifest.frame_rate.num) / u64::from(rate.num);
            (id, own * scale / whole)
        })
        .collect()
}

#[test]
fn other_programs_agree_about_the_revision_and_its_defects() {
    let Some(tools) = tools() else { return };
    let (manifest, files) = revision(&tools);
    let folder = tempfile::tempdir().unwrap();
    let steps = steps(&manifest);
    let clean = Place::new(&tools, &files, &steps, folder.path().join("clean"));
    let mut absent = BTreeSet::new();
    for program in PROGRAMS {
        for rendition in &manifest.renditions {
            match clean.ask(program, &format!("{}.m3u8", rendition.id)) {
                Opinion::Fine => {}
                Opinion::Complaint(said) => panic!("{program} on {}: {said}", rendition.id),
                Opinion::Absent => {
                    absent.insert(program);
                }
            }
        }
    }
    for program in &absent {
        note(&format!("skipped: {program} is absent"));
    }
    let mut agreed: BTreeMap<String, usize> = BTreeMap::new();
    let (mut seen, mut silent) = (0, Vec::new());
    for (index, defect) in defects().iter().enumerate() {
        let known = |program: &&String| !absent.contains(program.as_str());
        let asked: Vec<&String> = defect.agree.iter().filter(known).collect();
        if asked.is_empty() {
            continue;
        }
        let files = defect.apply(&files);
        let place = Place::new(&tools, &files, &steps, folder.path().join(index.to_string()));
        for program in &asked {
            match place.ask(program, defect.file()) {
                Opinion::Complaint(_) => *agreed.entry((*program).clone()).or_default() += 1,
                Opinion::Fine | Opinion::Absent => {
                    silent.push(format!("{}: {program} sees nothing", defect.name));
                }
            }
        }
        seen += 1;
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert!(seen >= AGREEING_MIN, "{seen} defects");
    note(&format!("{seen} defects are seen by others too: {agreed:?}"));
}
