//! The table of rules: identifier, level, source and meaning of each, in one place.
//!
//! A source is a letter and a number: `A` is Apple's HLS authoring specification, `R` RFC 8216bis,
//! `C` CMAF, ISO base media and the AV1 and H.264 bindings, `P` a rule of this project. A rule that
//! looks at two strengths of one thing is two rows, the second with a `b`. The page
//! `docs/src/reference/media-lint.md` lists the same rows; a test compares them. Read next: the
//! file of each group.

pub(crate) mod delivery;
pub(crate) mod media;
pub(crate) mod multivariant;
pub(crate) mod segment;
pub(crate) mod steering;

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad it is to break a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Must not be published.
    Error,
    /// Should be looked at.
    Warning,
}

macro_rules! rules {
    ($($id:ident $level:ident $source:literal $meaning:literal $absent:literal;)*) => {
        /// A rule that a published revision keeps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $meaning] $id,)*
        }

        /// Every rule, in the order of the groups.
        pub const RULES: &[Rule] = &[$(Rule::$id),*];

        impl Rule {
            /// Permanent identifier, such as `S2`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$id => stringify!($id),)* }
            }

            /// How bad it is to break it.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Self::$id => Level::$level,)* }
            }

            /// Where it comes from.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$id => $source,)* }
            }

            /// What it asks for, as one phrase.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$id => $meaning,)* }
            }

            /// Why it is skipped when nothing it looks at is there.
            #[must_use]
            pub const fn when_absent(self) -> &'static str {
                match self { $(Self::$id => $absent,)* }
            }
        }
    };
}

rules! {
    F1 Error "R 4.1" "every file that a playlist names can be read and is within its bound" "no playlist names a file";
    M1 Error "R 4.1, 4.2" "a playlist is UTF-8 without byte order mark, begins with EXTM3U, and every tag and attribute parses" "no playlist could be read";
    M2 Error "R 7" "EXT-X-VERSION stands at most once and covers every tag that is used" "no playlist could be read";
    M3 Error "A 9.1, 9.2, 9.14, 9.15" "every variant has BANDWIDTH, AVERAGE-BANDWIDTH, CODECS, RESOLUTION and FRAME-RATE" "no variant is listed";
    M4 Error "P; R 4.4.6.2" "CODECS names exactly what the headers of the variant and its groups say; the groups exist" "no variant is listed";
    M5 Error "P; R 4.4.6.2" "RESOLUTION and FRAME-RATE are those of the header and the samples" "no variant is listed";
    M6 Error "A 1.26, 1.27" "AVERAGE-BANDWIDTH and BANDWIDTH are within 10 % of what is measured" "no variant is listed";
    M6b Warning "A 1.30" "the peak is at most twice the average" "no variant is listed";
    M7 Error "A 6.1, 6.14, 9.3, 9.4" "I-frame variants are listed with CODECS and RESOLUTION, one of them in H.264" "no multivariant playlist could be read";
    M8 Error "A 9.11, 9.12" "EXT-X-INDEPENDENT-SEGMENTS is stated" "no multivariant playlist could be read";
    M9 Error "A 8.9, 8.10; R 4.4.6.1" "audio renditions have LANGUAGE, unique names, and one default per group" "there is no audio rendition";
    M10 Error "A 9.9" "several video variants are listed" "no multivariant playlist could be read";
    M10b Warning "A 9.10" "content in high definition has two variants of its greatest size" "nothing is in high definition";
    M11 Error "A 1.3, 1.12, 1.23, 1.33" "some variant is H.264 up to High 4.1, no other codec reaches higher than H.264, all have one aspect ratio" "no variant is listed";
    M12 Error "A 2.3" "sound is there as stereo AAC" "there is no audio rendition";
    M13 Error "A 9.21" "a variant of at most 192 kb/s is listed" "no multivariant playlist could be read";
    M14 Error "A 1.24, 9.16" "VIDEO-RANGE agrees with the bitstream, and some variant is SDR" "no variant is listed";
    M15 Error "A 9.18; R 4.4.6.6" "with content steering, the pathway exists and stable ids are unique within it" "no EXT-X-CONTENT-STEERING";
    M16 Error "A 9.19" "SCORE stands on every variant or on none" "no variant is listed";
    M17 Error "P" "the playlist of one codec family holds that family alone, and the same variants as the full one" "there is no playlist of one codec family";
    M18 Error "A 11.4; P" "URIs are plain relative paths without secrets, and no title is told" "no playlist could be read";
    M19 Warning "A 1.32" "the first variant is the one nearest to 2 Mb/s" "no variant is listed";
    M20 Error "A 1.19" "no variant has more than 60 frames per second" "no variant is listed";
    L1 Error "R 4.4.3.1; A 7.7" "no EXTINF rounds to more than EXT-X-TARGETDURATION or exceeds it by half a second" "no media playlist could be read";
    L2 Error "A 8.6" "a finished playlist says VOD and ends with EXT-X-ENDLIST" "no playlist is finished";
    L3 Error "A 8.20; R 7" "segments have an EXT-X-MAP, and the version allows it" "no media playlist could be read";
    L4 Error "A 8.1" "the EXTINF of any run of segments add up to its real length within a frame" "no segment could be read";
    L5 Error "A 8.2, 8.3, 8.7" "all playlists have one target duration and one length" "fewer than two media playlists could be read";
    L6 Error "A 8.22" "segments start together in all renditions: video within 1 ms, sound within a frame" "fewer than two renditions could be read";
    L7 Error "A 8.13" "EXT-X-DISCONTINUITY stands only where the encoding changes" "no media playlist could be read";
    L8 Error "A 6.8, 6.10" "I-frame playlists say EXT-X-I-FRAMES-ONLY, and each range holds a fragment header and a whole key frame" "no I-frame playlist is listed";
    L9 Error "R 4.4.3.5, 6.2.1" "a growing playlist only grows, and its media sequence stays" "no playlist is of type EVENT";
    L10 Error "A 4.7, 5.5" "subtitles are WebVTT, have LANGUAGE, and span everything" "there are no subtitles";
    S1 Error "A 1.13, 7.4" "a segment starts with a key frame, sync flags are true, and key frames are at most two seconds apart" "no video segment could be read";
    S2 Error "A 7.3" "the decode time is the sum of all earlier durations" "no segment could be read";
    S3 Error "A 2.17; C" "header and segments have one track, and it is the same" "no segment could be read";
    S4 Error "C" "boxes are whole, sample sizes add up to the data, and the offset points at it" "no segment could be read";
    S5 Error "A 1.37; C" "AV1: no temporal delimiter, the sequence header is that of the configuration, the level suffices and is at most 6.2" "there is no AV1 rendition";
    S6 Error "A 1.11; C" "H.264: avc1 with parameter sets in the header alone, one level that is not above need, BT.709" "there is no H.264 rendition";
    S7 Error "C" "the colour box says what the bitstream says" "no video rendition could be read";
    S8 Error "P" "forensic variants of a segment have one header, one number of samples, one length" "there are no forensic variants";
    S9 Error "P" "the bytes of a file hash to its name" "files of a folder have no hashes; asked of a URL";
    S10 Error "P" "every variant and sound decodes without an error to exactly its samples" "decoding was not asked for (--decode)";
    D1 Error "A 10.1" "playlists come compressed with gzip when the client takes it" "nothing is delivered from a folder";
    D2 Error "A 10.4" "media types are those of the format" "nothing is delivered from a folder";
    D3 Error "A 8.18" "nothing is redirected" "nothing is delivered from a folder";
    D4 Error "P" "ranges, HEAD and conditional requests are answered as RFC 9110 says" "nothing is delivered from a folder";
    D5 Error "P" "other sites may read without a preflight" "nothing is delivered from a folder";
    D6 Error "A 12.1" "delivery is by TLS 1.2 or newer" "nothing is delivered from a folder";
    D7 Warning "A 12.4" "the address is not the same for everybody: it holds a playback token" "nothing is delivered from a folder";
    D8 Error "R 7.1" "the steering manifest is whole: version, time to live, priorities, clones, one origin" "no steering manifest could be read";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_rule_with_its_level_source_and_meaning() {
        let page = include_str!("../../../../docs/src/reference/media-lint.md");
        for rule in RULES {
            let row =
                format!("| {rule} | {} | {} | {} |", rule.level(), rule.source(), rule.meaning());
            assert!(page.lines().any(|line| line == row), "the page has no row {row}");
        }
        let rows = page.lines().filter(|line| {
            let id = line.strip_prefix("| ").and_then(|line| line.split(' ').next());
            id.is_some_and(|id| RULES.iter().any(|rule| rule.id() == id))
        });
        assert_eq!(rows.count(), RULES.len(), "a rule has two rows");
        let stale = page.lines().filter(|line| line.starts_with("| ")).filter(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (id, level) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
            matches!(level, "error" | "warning") && !RULES.iter().any(|rule| rule.id() == id)
        });
        assert_eq!(stale.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
