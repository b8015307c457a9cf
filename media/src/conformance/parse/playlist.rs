//! Playlists (RFC 8216bis section 4): what they state, and every line that does not parse.
//!
//! Stricter than a player: a tag that the specification does not know is a fault, because nothing
//! that we publish has one. Read next: `attributes`.

use super::attributes::{Attributes, Fault, decimal, integer};

/// Most lines that are read.
const LINES_MAX: usize = 40_000;

/// What both kinds of playlist state.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// Lines that do not parse.
    pub(crate) faults: Vec<Fault>,
    /// Line and value of each `EXT-X-VERSION`.
    pub(crate) versions: Vec<(usize, u64)>,
    /// The lowest version that covers what is used, and what uses it.
    pub(crate) needed: (u64, &'static str),
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub(crate) independent: bool,
}

/// A multivariant playlist.
#[derive(Debug, Default)]
pub(crate) struct Multivariant {
    pub(crate) common: Common,
    pub(crate) variants: Vec<Variant>,
    pub(crate) iframes: Vec<Variant>,
    pub(crate) media: Vec<MediaTag>,
    pub(crate) steering: Option<Steering>,
    /// Lines of `EXT-X-SESSION-DATA`.
    pub(crate) session_data: Vec<usize>,
}

/// `EXT-X-STREAM-INF` or `EXT-X-I-FRAME-STREAM-INF`.
#[derive(Debug, Default)]
pub(crate) struct Variant {
    pub(crate) line: usize,
    pub(crate) uri: String,
    pub(crate) bandwidth: Option<u64>,
    pub(crate) average: Option<u64>,
    pub(crate) codecs: Option<String>,
    pub(crate) resolution: Option<(u64, u64)>,
    /// Billionths of a frame per second.
    pub(crate) frame_rate: Option<u64>,
    pub(crate) video_range: Option<String>,
    pub(crate) audio: Option<String>,
    pub(crate) subtitles: Option<String>,
    pub(crate) score: bool,
    pub(crate) pathway: Option<String>,
    pub(crate) stable_id: Option<String>,
}

/// `EXT-X-MEDIA`.
#[derive(Debug)]
pub(crate) struct MediaTag {
    pub(crate) line: usize,
    pub(crate) kind: String,
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) language: Option<String>,
    pub(crate) default: bool,
    pub(crate) channels: Option<String>,
    pub(crate) uri: Option<String>,
}

/// `EXT-X-CONTENT-STEERING`.
#[derive(Debug)]
pub(crate) struct Steering {
    pub(crate) line: usize,
    pub(crate) server: String,
    pub(crate) pathway: Option<String>,
}

/// A media playlist.
#[derive(Debug, Default)]
pub(crate) struct Media {
    pub(crate) common: Common,
    /// Line and value of `EXT-X-TARGETDURATION`.
    pub(crate) target: Option<(usize, u64)>,
    pub(crate) sequence: u64,
    pub(crate) kind: Option<String>,
    pub(crate) ended: bool,
    pub(crate) iframes_only: bool,
    pub(crate) maps: Vec<Map>,
    pub(crate) segments: Vec<Segment>,
}

/// `EXT-X-MAP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) line: usize,
    pub(crate) uri: String,
    pub(crate) range: Option<Range>,
}

/// A part of a file: first byte and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// A segment and the tags before it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) line: usize,
    pub(crate) uri: String,
    /// Billionths of a second.
    pub(crate) duration: u64,
    pub(crate) title: String,
    pub(crate) range: Option<Range>,
    /// Index of its map.
    pub(crate) map: Option<usize>,
    pub(crate) discontinuity: bool,
}

/// Tags of the specification that state nothing that a rule asks about.
const IGNORED: [&str; 9] = [
    "EXT-X-START",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-DATERANGE",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-PART-INF",
    "EXT-X-PART",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
    "EXT-X-SESSION-KEY",
];

enum Line<'a> {
    Tag(&'a str, Option<&'a str>),
    Uri(&'a str),
}

impl Common {
    fn need(&mut self, version: u64, what: &'static str) {
        if version > self.needed.0 {
            self.needed = (version, what);
        }
    }

    fn fault(&mut self, line: usize, what: impl Into<String>) {
        self.faults.push(Fault { line, what: what.into() });
    }

    /// Takes a tag that both kinds have; `false` when it is not one.
    fn tag(&mut self, line: usize, name: &str, value: Option<&str>) -> bool {
        match name {
            "EXT-X-VERSION" => match value.and_then(integer) {
                Some(version) => self.versions.push((line, version)),
                None => self.fault(line, "EXT-X-VERSION has no number"),
            },
            "EXT-X-INDEPENDENT-SEGMENTS" => self.independent = true,
            "EXT-X-DEFINE" => {
                let queried = value.is_some_and(|value| value.contains("QUERYPARAM="));
                self.need(if queried { 11 } else { 8 }, "EXT-X-DEFINE");
            }
            name if IGNORED.contains(&name) => {}
            _ => return false,
        }
        true
    }

    /// Splits a playlist into tags and URIs, past the comments.
    fn lines<'a>(&mut self, bytes: &'a [u8]) -> Vec<(usize, Line<'a>)> {
        self.needed = (1, "nothing");
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.fault(1, "the playlist is not UTF-8");
            return Vec::new();
        };
        if text.starts_with('\u{feff}') {
            self.fault(1, "the playlist begins with a byte order mark");
        }
        if text.lines().next() != Some("#EXTM3U") {
            self.fault(1, "the first line is not #EXTM3U");
        }
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let number = index + 1;
            if number > LINES_MAX {
                self.fault(number, "there are too many lines");
                break;
            }
            if line.chars().any(char::is_control) {
                self.fault(number, "a line holds a control character");
            } else if line.trim() != line {
                self.fault(number, "a line begins or ends with space");
            } else if let Some(tag) = line.strip_prefix('#') {
                if tag.starts_with("EXT") {
                    let (name, value) = tag
                        .split_once(':')
                        .map_or((tag, None), |(name, value)| (name, Some(value)));
                    lines.push((number, Line::Tag(name, value)));
                }
            } else if !line.is_empty() {
                lines.push((number, Line::Uri(line)));
            }
        }
        lines
    }
}

impl Multivariant {
    /// Reads a multivariant playlist to its end, whatever is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut playlist = Self::default();
        let mut open: Option<Variant> = None;
        for (line, part) in playlist.common.lines(bytes) {
            match part {
                Line::Uri(uri) => match open.take() {
                    Some(variant) => {
                        playlist.variants.push(Variant { uri: uri.to_owned(), ..variant });
                    }
                    None => playlist.common.fault(line, "a URI without EXT-X-STREAM-INF"),
                },
                Line::Tag(name, value) => {
                    if open.take().is_some() {
                        playlist.common.fault(line, "no URI follows EXT-X-STREAM-INF");
                    }
                    match playlist.tag(line, name, value) {
                        Ok(variant) => open = variant,
                        Err(fault) => playlist.common.faults.push(fault),
                    }
                }
            }
        }
        if open.is_some() {
            playlist.common.fault(1, "no URI follows the last EXT-X-STREAM-INF");
        }
        playlist
    }

    /// Takes a tag; returns the variant whose URI must follow.
    fn tag(
        &mut self,
        line: usize,
        name: &str,
        value: Option<&str>,
    ) -> Result<Option<Variant>, Fault> {
        if self.common.tag(line, name, value) {
            return Ok(None);
        }
        let list = || Attributes::parse(value.unwrap_or_default(), line);
        match name {
            "EXT-X-STREAM-INF" => {
                let list = list()?;
                if list.has_prefix("REQ-") {
                    self.common.need(12, "a REQ- attribute");
                }
                return Variant::parse(&list, line).map(Some);
            }
            "EXT-X-I-FRAME-STREAM-INF" => {
                let list = list()?;
                let uri = list.required("URI", list.quoted("URI")?)?;
                self.iframes.push(Variant { uri, ..Variant::parse(&list, line)? });
            }
            "EXT-X-MEDIA" => {
                let tag = MediaTag::parse(&list()?, line)?;
                self.media.push(tag);
            }
            "EXT-X-CONTENT-STEERING" => {
                let list = list()?;
                let server = list.required("SERVER-URI", list.quoted("SERVER-URI")?)?;
                if self.steering.is_some() {
                    self.common.fault(line, "EXT-X-CONTENT-STEERING stands twice");
                }
                self.steering =
                    Some(Steering { line, server, pathway: list.quoted("PATHWAY-ID")? });
            }
            "EXT-X-SESSION-DATA" => self.session_data.push(line),
            _ => {
                let what = format!("{name} is no tag of a multivariant playlist");
                return Err(Fault { line, what });
            }
        }
        Ok(None)
    }

    /// The renditions of a group.
    pub(crate) fn group<'a>(
        &'a self,
        kind: &'a str,
        group: &'a str,
    ) -> impl Iterator<Item = &'a MediaTag> {
        self.media.iter().filter(move |tag| tag.kind == kind && tag.group == group)
    }
}

impl Variant {
    fn parse(list: &Attributes, line: usize) -> Result<Self, Fault> {
        list.required("BANDWIDTH", list.integer("BANDWIDTH")?)?;
        if list.plain("CLOSED-CAPTIONS").is_ok() {
            list.one_of("CLOSED-CAPTIONS", &["NONE"])?;
        }
        list.one_of("HDCP-LEVEL", &["NONE", "TYPE-0", "TYPE-1"])?;
        list.quoted("VIDEO")?;
        Ok(Self {
            line,
            uri: String::new(),
            bandwidth: list.integer("BANDWIDTH")?,
            average: list.integer("AVERAGE-BANDWIDTH")?,
            codecs: list.quoted("CODECS")?,
            resolution: list.resolution("RESOLUTION")?,
            frame_rate: list.decimal("FRAME-RATE")?,
            video_range: list.one_of("VIDEO-RANGE", &["SDR", "HLG", "PQ"])?,
            audio: list.quoted("AUDIO")?,
            subtitles: list.quoted("SUBTITLES")?,
            score: list.decimal("SCORE")?.is_some(),
            pathway: list.quoted("PATHWAY-ID")?,
            stable_id: list.quoted("STABLE-VARIANT-ID")?,
        })
    }
}

impl MediaTag {
    fn parse(list: &Attributes, line: usize) -> Result<Self, Fault> {
        const KINDS: [&str; 4] = ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"];
        let default = list.yes("DEFAULT")?;
        let autoselect = list.yes("AUTOSELECT")?;
        list.yes("FORCED")?;
        if default && list.has("AUTOSELECT") && !autoselect {
            let what = "DEFAULT is YES and AUTOSELECT is not".to_owned();
            return Err(Fault { line, what });
        }
        Ok(Self {
            line,
            kind: list.required("TYPE", list.one_of("TYPE", &KINDS)?)?,
            group: list.required("GROUP-ID", list.quoted("GROUP-ID")?)?,
            name: list.required("NAME", list.quoted("NAME")?)?,
            language: list.quoted("LANGUAGE")?,
            default,
            channels: list.quoted("CHANNELS")?,
            uri: list.quoted("URI")?,
        })
    }
}

/// What stands before the URI of a segment.
#[derive(Default)]
struct Pending {
    extinf: Option<(u64, String)>,
    range: Option<(u64, Option<u64>)>,
    discontinuity: bool,
}

impl Media {
    /// Reads a media playlist to its end, whatever is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut playlist = Self::default();
        let mut pending = Pending::default();
        for (line, part) in playlist.common.lines(bytes) {
            let taken = match part {
                Line::Uri(uri) => playlist.segment(line, uri, std::mem::take(&mut pending)),
                Line::Tag(name, value) => playlist.tag(line, name, value, &mut pending),
            };
            if let Err(fault) = taken {
                playlist.common.faults.push(fault);
            }
        }
        if pending.extinf.is_some() {
            playlist.common.fault(1, "no URI follows the last EXTINF");
        }
        if playlist.target.is_none() {
            playlist.common.fault(1, "there is no EXT-X-TARGETDURATION");
        }
        playlist
    }

    fn segment(&mut self, line: usize, uri: &str, pending: Pending) -> Result<(), Fault> {
        let fault = |what: &str| Fault { line, what: what.to_owned() };
        let (duration, title) = pending.extinf.ok_or_else(|| fault("a URI without EXTINF"))?;
        let range = match pending.range {
            None => None,
            Some((length, Some(start))) => Some(Range { start, length }),
            // Without an offset a range begins where the one before it ended.
            Some((length, None)) => {
                let before = self.segments.last().filter(|before| before.uri == uri);
                let before = before.and_then(|before| before.range);
                let start = before.and_then(|range| range.start.checked_add(range.length));
                let start = start.ok_or_else(|| fault("a range without a beginning"))?;
                Some(Range { start, length })
            }
        };
        self.segments.push(Segment {
            line,
            uri: uri.to_owned(),
            duration,
            title,
            range,
            map: self.maps.len().checked_sub(1),
            discontinuity: pending.discontinuity,
        });
        Ok(())
    }

    fn tag(
        &mut self,
        line: usize,
        name: &str,
        value: Option<&str>,
        pending: &mut Pending,
    ) -> Result<(), Fault> {
        if self.common.tag(line, name, value) {
            return Ok(());
        }
        let fault = |what: &str| Fault { line, what: what.to_owned() };
        let text = value.unwrap_or_default();
        let number = || integer(text).ok_or_else(|| fault(&format!("{name} has no number")));
        match name {
            "EXT-X-TARGETDURATION" if self.target.is_some() => {
                return Err(fault("EXT-X-TARGETDURATION stands twice"));
            }
            "EXT-X-TARGETDURATION" => self.target = Some((line, number()?)),
            "EXT-X-MEDIA-SEQUENCE" if !self.segments.is_empty() => {
                return Err(fault("EXT-X-MEDIA-SEQUENCE follows a segment"));
            }
            "EXT-X-MEDIA-SEQUENCE" => self.sequence = number()?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                number()?;
            }
            "EXT-X-PLAYLIST-TYPE" if matches!(text, "VOD" | "EVENT") => {
                self.kind = Some(text.to_owned());
            }
            "EXT-X-PLAYLIST-TYPE" => return Err(fault("EXT-X-PLAYLIST-TYPE is neither kind")),
            "EXT-X-ENDLIST" => self.ended = true,
            "EXT-X-I-FRAMES-ONLY" => {
                self.iframes_only = true;
                self.common.need(4, "EXT-X-I-FRAMES-ONLY");
            }
            "EXT-X-MAP" => {
                let list = Attributes::parse(text, line)?;
                let uri = list.required("URI", list.quoted("URI")?)?;
                let range = match list.quoted("BYTERANGE")? {
                    None => None,
                    Some(range) => match byte_range(&range) {
                        Some((length, Some(start))) => Some(Range { start, length }),
                        _ => return Err(fault("BYTERANGE of a map is malformed")),
                    },
                };
                self.maps.push(Map { line, uri, range });
                let version = if self.iframes_only { 5 } else { 6 };
                self.common.need(version, "EXT-X-MAP");
            }
            "EXTINF" => {
                let (duration, title) =
                    text.split_once(',').ok_or_else(|| fault("EXTINF without a comma"))?;
                let nanos = decimal(duration).ok_or_else(|| fault("EXTINF has no duration"))?;
                if duration.contains('.') {
                    self.common.need(3, "a fraction in EXTINF");
                }
                if pending.extinf.replace((nanos, title.to_owned())).is_some() {
                    return Err(fault("two EXTINF before one URI"));
                }
            }
            "EXT-X-BYTERANGE" => {
                pending.range =
                    Some(byte_range(text).ok_or_else(|| fault("EXT-X-BYTERANGE is malformed"))?);
                self.common.need(4, "EXT-X-BYTERANGE");
            }
            "EXT-X-DISCONTINUITY" => pending.discontinuity = true,
            "EXT-X-GAP" | "EXT-X-BITRATE" => {}
            "EXT-X-KEY" => {
                Attributes::parse(text, line)?;
            }
            "EXT-X-SKIP" => self.common.need(9, "EXT-X-SKIP"),
            _ => return Err(fault(&format!("{name} is no tag of a media playlist"))),
        }
        Ok(())
    }
}

/// `length[@start]`.
fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    match text.split_once('@') {
        Some((length, start)) => Some((integer(length)?, Some(integer(start)?))),
        None => Some((integer(text)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whats(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
    }

    #[test]
    fn a_multivariant_playlist_is_read() {
        let playlist = Multivariant::parse(
            b"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
              #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,AUTOSELECT=YES,URI=\"a.m3u8\"\n\
              # a comment\n\
              #EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO=\"a\",CLOSED-CAPTIONS=NONE\nc.m3u8\n\
              #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=4,URI=\"i.m3u8\"\n",
        );
        assert_eq!(whats(&playlist.common.faults), Vec::<String>::new());
        assert_eq!((playlist.variants[0].uri.as_str(), playlist.variants[0].line), ("c.m3u8", 6));
        assert_eq!(playlist.iframes[0].uri, "i.m3u8");
        assert!(playlist.common.independent && playlist.group("AUDIO", "a").count() == 1);
    }

    #[test]
    fn a_media_playlist_is_read_with_ranges() {
        let playlist = Media::parse(
            b"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n\
              #EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"700@0\"\n\
              #EXTINF:2.002,\n#EXT-X-BYTERANGE:10@700\nx.mp4\n\
              #EXTINF:2,\n#EXT-X-BYTERANGE:20\nx.mp4\n#EXT-X-ENDLIST\n",
        );
        assert_eq!(whats(&playlist.common.faults), Vec::<String>::new());
        assert_eq!(playlist.common.needed, (5, "EXT-X-MAP"));
        assert_eq!(playlist.segments[1].range, Some(Range { start: 710, length: 20 }));
        assert_eq!(playlist.segments[0].duration, 2_002_000_000);
        assert!(playlist.ended && playlist.iframes_only && playlist.segments[1].map == Some(0));
    }

    #[test]
    fn every_malformed_line_is_named() {
        let playlist = Media::parse(
            b"\xef\xbb\xbf#EXTM3U\n#EXT-X-TARGETDURATION:x\n#EXT-X-NEW\n#EXTINF:2\nlost.m4s\n #X\n",
        );
        let expected = [
            "1: the playlist begins with a byte order mark",
            "1: the first line is not #EXTM3U",
            "6: a line begins or ends with space",
            "2: EXT-X-TARGETDURATION has no number",
            "3: EXT-X-NEW is no tag of a media playlist",
            "4: EXTINF without a comma",
            "5: a URI without EXTINF",
            "1: there is no EXT-X-TARGETDURATION",
        ];
        assert_eq!(whats(&playlist.common.faults), expected);
        let playlist = Multivariant::parse(b"#EXTM3U\n#EXTINF:2,\nx\n#EXT-X-STREAM-INF:A=1\n");
        assert_eq!(playlist.common.faults.len(), 3);
        assert_eq!(Media::parse(&[0xFF]).common.faults[0].what, "the playlist is not UTF-8");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(#EXT(M3U|INF:|-X-MAP:|-X-BYTERANGE:|-X-MEDIA:)?[A-Z0-9=@,\".\n]{0,12}\n){0,8}") {
            let bytes = [b"#EXTM3U\n".as_slice(), text.as_bytes()].concat();
            let _ = Media::parse(&bytes);
            let _ = Multivariant::parse(&bytes);
        }
    }
}
