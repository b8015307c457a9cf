//! Reads everything that a multivariant playlist leads to, applying the rules of files and segments
//! on the way: the bytes of a segment are kept only while it is looked at.

use std::collections::BTreeMap;

use fairground_types::BlobHash;

use super::parse::header::Header;
use super::parse::playlist::{Map, Media, Multivariant, Range};
use super::report::Report;
use super::rules::segment::{self, Facts};
use super::rules::{Rule, media};
use super::source::{Source, SourceError};
use crate::manifest::{self, I_FRAMES_MAX, IFrame};

/// Most bytes of a playlist.
pub(super) const PLAYLIST_BYTES_MAX: u64 = 4 << 20;
/// Most bytes of a header.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of a segment, or of a file that segments are ranges of.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// Billionths of a second in one.
const NANOS: u32 = 1_000_000_000;
/// Most media playlists of a revision.
const RENDITIONS_MAX: usize = 64;

/// A revision as players see it.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Names and contents of the multivariant playlists, the full one first.
    pub(crate) entries: Vec<(String, Multivariant)>,
    /// The media playlists and what they lead to, by name.
    pub(crate) renditions: BTreeMap<String, Rendition>,
}

/// What a media playlist is listed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A variant.
    Video,
    /// `EXT-X-MEDIA` of type AUDIO.
    Audio,
    /// `EXT-X-I-FRAME-STREAM-INF`.
    IFrames,
    /// `EXT-X-MEDIA` of type SUBTITLES.
    Subtitles,
}

/// A media playlist and what it leads to.
#[derive(Debug)]
pub(crate) struct Rendition {
    pub(crate) uri: String,
    pub(crate) role: Role,
    pub(crate) media: Media,
    /// Headers by map; `None` where one could not be read.
    pub(crate) headers: Vec<Option<Header>>,
    pub(crate) fragments: Vec<Fragment>,
    /// Whether every segment could be read, so that sums mean something.
    pub(crate) whole: bool,
}

/// A segment that could be read.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) name: String,
    pub(crate) range: Option<Range>,
    pub(crate) bytes: u64,
    pub(crate) facts: Facts,
    /// `EXTINF` in billionths of a second.
    pub(crate) stated: u64,
}

impl Published {
    /// Reads a revision from its multivariant playlists.
    pub(crate) fn load(
        source: &dyn Source,
        entries: Vec<(String, Multivariant)>,
        report: &mut Report,
    ) -> Self {
        let mut listed: Vec<(String, Role)> = Vec::new();
        for (name, playlist) in &entries {
            let variants = playlist.variants.iter().map(|it| (it.line, &it.uri, Role::Video));
            let iframes = playlist.iframes.iter().map(|it| (it.line, &it.uri, Role::IFrames));
            let media = playlist.media.iter().filter_map(|tag| {
                let role = match tag.kind.as_str() {
                    "AUDIO" => Role::Audio,
                    "SUBTITLES" => Role::Subtitles,
                    _ => return None,
                };
                Some((tag.line, tag.uri.as_ref()?, role))
            });
            for (line, uri, role) in variants.chain(media).chain(iframes) {
                let place = format!("{name}:{line}");
                report.check(Rule::M18, is_plain(uri), &place, || {
                    format!("{uri:?} is no plain relative path")
                });
                if is_plain(uri) && !listed.iter().any(|(known, _)| known == uri) {
                    listed.push((uri.clone(), role));
                }
            }
        }
        let mut published = Self { entries, renditions: BTreeMap::new() };
        if listed.len() > RENDITIONS_MAX {
            report.fault(Rule::F1, "playlists", "there are too many renditions to read");
            listed.truncate(RENDITIONS_MAX);
        }
        for (uri, role) in listed {
            if let Some(bytes) = read(source, &uri, PLAYLIST_BYTES_MAX, report) {
                let rendition = Rendition::load(source, &uri, role, &bytes, report);
                published.renditions.insert(uri, rendition);
            }
        }
        published
    }
}

impl Rendition {
    /// Reads a media playlist and what it leads to.
    fn load(source: &dyn Source, uri: &str, role: Role, bytes: &[u8], report: &mut Report) -> Self {
        let playlist = Media::parse(bytes);
        media::syntax(report, uri, &playlist);
        if playlist.kind.as_deref() == Some("EVENT") {
            media::grows(report, uri, &playlist, &source.get(uri, PLAYLIST_BYTES_MAX));
        }
        let mut rendition = Self {
            uri: uri.to_owned(),
            role,
            headers: Vec::new(),
            fragments: Vec::new(),
            whole: true,
            media: playlist,
        };
        if role == Role::Subtitles {
            captions(source, &rendition, report);
            return rendition;
        }
        for map in &rendition.media.maps {
            let header = read_header(source, uri, map, report);
            rendition.whole &= header.is_some();
            rendition.headers.push(header);
        }
        segments(source, &mut rendition, report);
        if let Some(Some(header)) = rendition.headers.first() {
            segment::rate(report, uri, header, &rendition.fragments);
        }
        rendition
    }

    /// The header of its first map.
    pub(crate) fn header(&self) -> Option<&Header> {
        self.headers.first()?.as_ref()
    }

    /// Beginning and end of each segment as it is shown, in billionths of a second.
    pub(crate) fn shown(&self) -> Vec<(u64, u64)> {
        let Some(header) = self.header() else { return Vec::new() };
        let at = |ticks: u64| nanos(ticks.saturating_sub(header.edit), header.timescale);
        self.fragments
            .iter()
            .map(|it| (at(it.facts.start), at(it.facts.start.saturating_add(it.facts.duration))))
            .collect()
    }

    /// Longest sample in billionths of a second.
    pub(crate) fn frame(&self) -> u64 {
        let ticks = self.fragments.iter().map(|it| it.facts.sample_ticks).max().unwrap_or(0);
        self.header().map_or(0, |header| nanos(ticks.into(), header.timescale))
    }

    /// Measured peak and average, bits per second; `None` when a segment is missing.
    pub(crate) fn measured(&self) -> Option<(u64, u64)> {
        let header = self.header().filter(|_| self.whole && !self.fragments.is_empty())?;
        if self.role == Role::IFrames {
            // What is stated counts, because a range may hold a part of its fragment only.
            let frames: Vec<IFrame> = self
                .fragments
                .iter()
                .map(|it| IFrame { bytes: it.bytes, duration_ticks: it.stated })
                .collect();
            let target = self.media.target.map_or(1, |(_, target)| target);
            let target = u32::try_from(target).unwrap_or(u32::MAX);
            return Some(manifest::measure_i_frames(&frames, NANOS, target));
        }
        let segments: Vec<manifest::Segment> = self
            .fragments
            .iter()
            .map(|it| {
                let cut = header.edit.saturating_sub(it.facts.start);
                let duration_ticks = it.facts.duration.saturating_sub(cut);
                // The measure does not look at the hash.
                manifest::Segment { hash: BlobHash::of(b""), bytes: it.bytes, duration_ticks }
            })
            .collect();
        Some(manifest::measure_bandwidth(&segments, header.timescale))
    }
}

fn read_header(source: &dyn Source, uri: &str, map: &Map, report: &mut Report) -> Option<Header> {
    let name = plain(report, uri, map.line, &map.uri)?;
    let bytes = read(source, &name, HEADER_BYTES_MAX, report)?;
    let bytes = part(report, &name, &bytes, map.range)?;
    match Header::parse(bytes) {
        Ok(header) => {
            segment::header(report, &name, &header);
            Some(header)
        }
        Err(what) => {
            report.fault(Rule::S4, &name, what);
            None
        }
    }
}

/// Subtitles are text: they have no header, and nothing in them is as long as their segment.
fn captions(source: &dyn Source, rendition: &Rendition, report: &mut Report) {
    for listed in rendition.media.segments.iter().take(I_FRAMES_MAX) {
        let name = plain(report, &rendition.uri, listed.line, &listed.uri);
        let Some(name) = name else { continue };
        let bytes = read(source, &name, PLAYLIST_BYTES_MAX, report);
        let Some(bytes) = bytes else { continue };
        report.check(Rule::L10, bytes.starts_with(b"WEBVTT"), &name, || {
            "it is not WebVTT".to_owned()
        });
    }
}

fn segments(source: &dyn Source, rendition: &mut Rendition, report: &mut Report) {
    let Rendition { uri, role, media, headers, fragments, whole } = rendition;
    if media.segments.len() > I_FRAMES_MAX {
        report.fault(Rule::F1, uri, "there are too many segments to read");
        *whole = false;
    }
    let mut open: Option<(String, Vec<u8>)> = None;
    let mut expected = Some(0_u64);
    for listed in media.segments.iter().take(I_FRAMES_MAX) {
        let Some(name) = plain(report, uri, listed.line, &listed.uri) else {
            *whole = false;
            continue;
        };
        if open.as_ref().is_none_or(|(known, _)| *known != name) {
            open =
                read(source, &name, SEGMENT_BYTES_MAX, report).map(|bytes| (name.clone(), bytes));
        }
        let place = place_of(&name, listed.range);
        let bytes = open.as_ref().and_then(|(_, all)| part(report, &place, all, listed.range));
        let header = listed.map.and_then(|map| headers.get(map)).and_then(Option::as_ref);
        let asked = segment::Asked {
            place: &place,
            expected: if *role == Role::IFrames { None } else { expected },
            iframe: *role == Role::IFrames,
        };
        let facts = bytes
            .zip(header)
            .and_then(|(bytes, header)| segment::check(report, &asked, header, bytes));
        let (Some(facts), Some(bytes)) = (facts, bytes) else {
            // Nothing can be said about what must follow a segment that cannot be read.
            (*whole, expected) = (false, None);
            continue;
        };
        expected = facts.start.checked_add(facts.duration);
        fragments.push(Fragment {
            name,
            range: listed.range,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            facts,
            stated: listed.duration,
        });
    }
}

/// Ticks in billionths of a second, rounded to nearest.
pub(crate) fn nanos(ticks: u64, timescale: u32) -> u64 {
    let scale = u128::from(timescale.max(1));
    let nanos = (u128::from(ticks) * 1_000_000_000 + scale / 2) / scale;
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Whether a URI is a plain relative path: short parts of letters, digits, dots and dashes, no
/// scheme, no query, nothing that leads out. A part that is long enough for a secret is not plain.
pub(crate) fn is_plain(uri: &str) -> bool {
    const PART_MAX: usize = 40;
    const PARTS_MAX: usize = 4;
    uri.split('/').count() <= PARTS_MAX
        && uri.split('/').all(|part| {
            (1..=PART_MAX).contains(&part.len())
                && part.bytes().any(|byte| byte != b'.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        })
}

fn place_of(name: &str, range: Option<Range>) -> String {
    range.map_or_else(|| name.to_owned(), |range| format!("{name}@{}", range.start))
}

/// The name of a file that a media playlist names, relative to the multivariant playlist.
fn plain(report: &mut Report, playlist: &str, line: usize, uri: &str) -> Option<String> {
    let place = format!("{playlist}:{line}");
    report.check(Rule::M18, is_plain(uri), &place, || format!("{uri:?} is no plain relative path"));
    if !is_plain(uri) {
        return None;
    }
    Some(beside(playlist, uri))
}

/// A URI of a media playlist, relative to the multivariant playlist.
pub(super) fn beside(playlist: &str, uri: &str) -> String {
    match playlist.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{uri}"),
        None => uri.to_owned(),
    }
}

fn read(source: &dyn Source, name: &str, bytes_max: u64, report: &mut Report) -> Option<Vec<u8>> {
    let answer: Result<Vec<u8>, SourceError> = source.get(name, bytes_max);
    report.check(Rule::F1, answer.is_ok(), name, || {
        answer.as_ref().err().map(ToString::to_string).unwrap_or_default()
    });
    let bytes = answer.ok()?;
    report.count_file();
    Some(bytes)
}

fn part<'a>(
    report: &mut Report,
    place: &str,
    bytes: &'a [u8],
    range: Option<Range>,
) -> Option<&'a [u8]> {
    let Some(Range { start, length }) = range else { return Some(bytes) };
    let bounds = usize::try_from(start).ok().zip(start.checked_add(length));
    let bounds = bounds.and_then(|(start, end)| Some((start, usize::try_from(end).ok()?)));
    let part = bounds.and_then(|(start, end)| bytes.get(start..end));
    report.check(Rule::F1, part.is_some(), place, || {
        format!("the range of {length} bytes leaves the file of {}", bytes.len())
    });
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_short_and_lead_nowhere_else() {
        for good in ["c360.m3u8", "c360/0.m4s", "a-hi/init.mp4"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "",
            "/c360.m3u8",
            "https://h/x",
            "../x",
            "a/./b",
            "x?token=1",
            "x#y",
            "%63",
            "a b",
            "a/b/c/d/e",
            "0123456789012345678901234567890123456789x",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
