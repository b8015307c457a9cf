//! Judges a published revision as players see it: the conformance engine.
//!
//! ```text
//!  Source (folder, URL, map)
//!    | master.m3u8  --parse::playlist-->  Multivariant ---------------+
//!    | c360.m3u8    --parse::playlist-->  Media                       |  rules::multivariant
//!    | c360/init.mp4 --parse::header--->  Header   rules::segment     |  rules::media
//!    | c360/0.m4s   --parse::boxes----->  Facts    rules::segment     v
//!    +-------------------------------------------------------------> Report
//! ```
//!
//! It has readers of its own for playlists and boxes, so that a mistake of the writer is not made
//! twice; facts of bitstreams come from the muxer's readers. It must not know what a manifest says:
//! only published bytes count. Pure but for [`Lint::decode`]. Read next: `rules`, the table.

mod decode;
mod parse;
mod published;
mod report;
mod rules;
mod source;

use std::path::Path;

pub use report::{Checked, Finding, Report, Skipped};
pub use rules::delivery::{Answer, Client, Name, NameKind, Request};
pub use rules::{Level, RULES, Rule};
pub use source::{Folder, Source, SourceError};

use crate::jail::Tools;
use parse::playlist::Multivariant;
use published::{PLAYLIST_BYTES_MAX, Published, Role};

/// The full multivariant playlist, and those of one codec family beside it.
const FULL: &str = "master.m3u8";
const FAMILIES: [&str; 2] = ["master.avc.m3u8", "master.av1.m3u8"];

/// A revision that was read, and what was found.
#[derive(Debug)]
pub struct Lint {
    report: Report,
    published: Published,
}

/// Reads a revision from its multivariant playlist and applies every rule that its bytes decide.
///
/// With the full playlist of a revision those of one codec family beside it are read as well.
///
/// # Errors
/// [`SourceError`] when the multivariant playlist itself cannot be read.
pub fn lint(source: &dyn Source, entry: &str) -> Result<Lint, SourceError> {
    let mut report = Report::default();
    let bytes = source.get(entry, PLAYLIST_BYTES_MAX)?;
    report.count_file();
    let mut entries = vec![(entry.to_owned(), Multivariant::parse(&bytes))];
    for family in FAMILIES.into_iter().filter(|_| entry == FULL) {
        match source.get(family, PLAYLIST_BYTES_MAX) {
            Ok(bytes) => {
                report.count_file();
                entries.push((family.to_owned(), Multivariant::parse(&bytes)));
            }
            Err(SourceError::Absent) => {}
            Err(error) => report.fault(Rule::F1, family, error.to_string()),
        }
    }
    let published = Published::load(source, entries, &mut report);
    rules::multivariant::check(&mut report, &published);
    rules::media::check(&mut report, &published);
    rules::steering::check(&mut report, source, &published);
    Ok(Lint { report, published })
}

impl Lint {
    /// What was found so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Applies the rules of delivery to real answers of the server behind `address`, the URL of the
    /// multivariant playlist.
    pub fn delivery(&mut self, address: &str, client: &dyn Client) {
        let names = self.names();
        rules::delivery::check(&mut self.report, address, &names, client);
    }

    /// Decodes every rendition with the jailed tools, in a folder that may be written.
    pub fn decode(&mut self, source: &dyn Source, tools: &Tools, work_dir: &Path) {
        decode::check(&mut self.report, &self.published, source, tools, work_dir);
    }

    /// Says why nothing was decoded.
    pub fn skip_decode(&mut self, reason: &str) {
        self.report.skip(Rule::S10, reason);
    }

    /// What a server is asked for: every playlist, and of each rendition a header and a segment.
    fn names(&self) -> Vec<Name> {
        let playlist = |name: &String| Name { name: name.clone(), kind: NameKind::Playlist };
        let mut names: Vec<Name> =
            self.published.entries.iter().map(|(name, _)| playlist(name)).collect();
        for rendition in self.published.renditions.values() {
            names.push(playlist(&rendition.uri));
            let kind = match rendition.role {
                Role::Video | Role::IFrames => NameKind::Video,
                Role::Audio => NameKind::Audio,
                Role::Subtitles => NameKind::Subtitles,
            };
            let map = rendition.media.maps.first().map(|map| &map.uri);
            let segment = rendition.media.segments.first().map(|segment| &segment.uri);
            for name in map.into_iter().chain(segment) {
                if published::is_plain(name) {
                    names.push(Name { name: published::beside(&rendition.uri, name), kind });
                }
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::mux::adts::AacStream;
    use crate::mux::segment::{self, Position};
    use crate::mux::{Sample, init};

    /// A revision of two segments of sound, listed as a variant.
    fn sound() -> BTreeMap<String, Vec<u8>> {
        let stream = AacStream {
            object_type: 2,
            sample_rate: 48_000,
            rate_index: 3,
            channels: 2,
            frames: Vec::new(),
        };
        let frame = Sample { bytes: vec![7; 50], composition: 0, sync: true };
        let segment = |index: u32| {
            let decode_time = u64::from(index) * 94 * 1024;
            let position = Position { index, decode_time, sample_ticks: 1024, last_ticks: 1024 };
            segment::write(position, &vec![frame.clone(); 94]).unwrap().to_vec()
        };
        let rate = segment(0).len() * 8 * 48_000 / (94 * 1024);
        let master = format!(
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-STREAM-INF:BANDWIDTH={rate},\
             CODECS=\"mp4a.40.2\"\na.m3u8\n"
        );
        let media = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
                     #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"a/init.mp4\"\n\
                     #EXTINF:1.984000,\na/0.m4s\n#EXTINF:2.005333,\na/1.m4s\n#EXT-X-ENDLIST\n";
        BTreeMap::from([
            (FULL.to_owned(), master.as_bytes().to_vec()),
            ("a.m3u8".to_owned(), media.as_bytes().to_vec()),
            ("a/init.mp4".to_owned(), init::aac(&stream).unwrap().to_vec()),
            ("a/0.m4s".to_owned(), segment(0)),
            ("a/1.m4s".to_owned(), segment(1)),
        ])
    }

    fn broken(files: &BTreeMap<String, Vec<u8>>) -> Vec<&'static str> {
        let linted = lint(files, FULL).unwrap();
        let mut rules: Vec<_> = linted.report().findings().iter().map(|it| it.rule.id()).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_else() {
        // Sound alone is no revision: what is asked of pictures is missing, the rest holds.
        let missing = ["M10", "M11", "M13", "M3", "M7", "M8"];
        let found = broken(&sound());
        assert!(found.iter().all(|rule| missing.contains(rule)), "{found:?}");
        assert!(lint(&BTreeMap::new(), FULL).is_err());
        let mut cut = sound();
        cut.remove("a/1.m4s");
        assert!(broken(&cut).contains(&"F1"));
    }

    proptest! {
        #[test]
        fn linting_never_panics(file in 0_usize..5, at: prop::sample::Index, value: u8) {
            let mut files = sound();
            let bytes = files.values_mut().nth(file).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = value;
            let _ = lint(&files, FULL).map(|linted| linted.report().to_string());
        }
    }
}
