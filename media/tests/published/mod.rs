//! One revision of a generated clip as files under the names that players see, and defects of it.

mod boxes;
mod defect;

use std::collections::BTreeMap;

use fairground_media::manifest::Manifest;
use fairground_media::path::{PlayPath, Resource, resolve};
use fairground_media::{EncodeTuning, Tools, TranscodeJob};

pub(crate) use defect::defects;

use crate::common::{MemorySink, ffmpeg};

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Frames of the clip: two whole groups and a short one.
pub(crate) const FRAMES: u64 = 105;

/// Transcodes a generated clip in high definition with sound, both revisions, and writes out the
/// second.
pub(crate) fn revision(tools: &Tools) -> (Manifest, Files) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("clip.mp4");
    let picture = "testsrc2=size=1280x720:rate=25:duration=4.2";
    let args =
        ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=frequency=440:duration=4.2"];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-shortest"];
    ffmpeg(tools, &[args.as_slice(), &codecs].concat(), &source);
    let tuning = EncodeTuning { keeps_all: true, ..EncodeTuning::default() };
    let mut job = TranscodeJob::new(source, folder.path().join("work"), tools.clone(), tuning);
    let mut sink = MemorySink::default();
    let revision = job.av1_revision(&mut sink, &mut |_| {}).unwrap();
    assert_eq!(revision.manifest.frame_count, FRAMES);
    let files = files(&revision.manifest, &sink);
    (revision.manifest, files)
}

/// Fetches everything that playlists lead to, beginning as players do.
fn files(manifest: &Manifest, sink: &MemorySink) -> Files {
    let mut files = Files::new();
    let mut wanted: Vec<String> =
        ["master.m3u8", "master.avc.m3u8", "master.av1.m3u8"].map(str::to_owned).to_vec();
    while let Some(name) = wanted.pop() {
        if files.contains_key(&name) {
            continue;
        }
        let path = PlayPath::parse(&name).unwrap_or_else(|| panic!("{name} is no name"));
        let bytes = match resolve(manifest, &path) {
            Some(Resource::Blob(hash, _)) => sink.0[&hash].to_vec(),
            Some(Resource::Text(text, _)) => {
                wanted.extend(named(&text));
                text.into_bytes()
            }
            None => panic!("{name} does not resolve"),
        };
        files.insert(name, bytes);
    }
    files
}

/// The URIs of a playlist: its plain lines, and the values of `URI` attributes.
fn named(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let values = text.split("URI=\"").skip(1).filter_map(|rest| rest.split('"').next());
    lines.chain(values).map(str::to_owned).collect()
}
