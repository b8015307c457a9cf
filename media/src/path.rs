//! Typed names below a playback token: what a player may ask for, and nothing else.
//!
//! A path never carries a hash and never reaches a file system: it parses to a [`PlayPath`] or it
//! does not exist. Read next: `token`, which is checked before, and `playlist`, which makes the
//! relative names that players send back.

use fairground_types::BlobHash;

use crate::manifest::{Manifest, RenditionId, Track};
use crate::playlist::{self, CodecSet};
use crate::storyboard;

/// MIME type of playlists (RFC 8216 section 4).
pub const MIME_PLAYLIST: &str = "application/vnd.apple.mpegurl";
/// MIME type of video headers and segments.
pub const MIME_VIDEO: &str = "video/mp4";
/// MIME type of audio headers and segments.
pub const MIME_AUDIO: &str = "audio/mp4";
/// MIME type of the poster and of sheets.
pub const MIME_JPEG: &str = "image/jpeg";
/// MIME type of the smaller poster.
pub const MIME_AVIF: &str = "image/avif";
/// MIME type of captions and of the storyboard's index.
pub const MIME_VTT: &str = "text/vtt";

/// A parsed name, relative to the asset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PlayPath {
    /// `master.m3u8`, `master.avc.m3u8` or `master.av1.m3u8`.
    Master(CodecSet),
    /// `{rendition}.m3u8`.
    MediaPlaylist {
        /// Which rendition.
        rendition: RenditionId,
    },
    /// `{rendition}/init.mp4`.
    Init {
        /// Which rendition.
        rendition: RenditionId,
    },
    /// `{rendition}/{n}.m4s`.
    Segment {
        /// Which rendition.
        rendition: RenditionId,
        /// Which segment, from 0.
        n: u32,
    },
    /// `{rendition}/frames.mp4`: the pictures of an I-frame stream.
    IFrames {
        /// Which stream.
        rendition: RenditionId,
    },
    /// `{rendition}/0.vtt`: captions from beginning to end.
    Captions {
        /// Which captions.
        rendition: RenditionId,
    },
    /// `poster.jpg`.
    Poster,
    /// `poster.avif`.
    PosterAvif,
    /// `storyboard.vtt`: which part of which sheet shows what time.
    Storyboard,
    /// `storyboard/{n}.jpg`.
    Sheet {
        /// Which sheet, from 0.
        n: u32,
    },
}

/// What a name stands for in one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// An immutable blob and its MIME type.
    Blob(BlobHash, &'static str),
    /// Text rendered from the manifest and its MIME type.
    Text(String, &'static str),
}

impl PlayPath {
    /// Parses a path relative to the asset, without a leading slash, already percent-decoded or
    /// not: no valid name needs decoding.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "master.m3u8" => return Some(Self::Master(CodecSet::All)),
            "master.avc.m3u8" => return Some(Self::Master(CodecSet::Avc)),
            "master.av1.m3u8" => return Some(Self::Master(CodecSet::Av1)),
            "poster.jpg" => return Some(Self::Poster),
            "poster.avif" => return Some(Self::PosterAvif),
            "storyboard.vtt" => return Some(Self::Storyboard),
            _ => {}
        }
        let Some((rendition, file)) = path.split_once('/') else {
            let rendition = RenditionId::new(path.strip_suffix(".m3u8")?)?;
            return Some(Self::MediaPlaylist { rendition });
        };
        if rendition == "storyboard" {
            return Some(Self::Sheet { n: number(file.strip_suffix(".jpg")?)? });
        }
        let rendition = RenditionId::new(rendition)?;
        if file == "init.mp4" {
            return Some(Self::Init { rendition });
        }
        if file == "frames.mp4" {
            return Some(Self::IFrames { rendition });
        }
        if file == "0.vtt" {
            return Some(Self::Captions { rendition });
        }
        Some(Self::Segment { rendition, n: number(file.strip_suffix(".m4s")?)? })
    }

    /// The rendition that the name belongs to, if it belongs to one.
    #[must_use]
    pub const fn rendition(&self) -> Option<&RenditionId> {
        match self {
            Self::MediaPlaylist { rendition }
            | Self::Init { rendition }
            | Self::IFrames { rendition }
            | Self::Captions { rendition }
            | Self::Segment { rendition, .. } => Some(rendition),
            Self::Master(_)
            | Self::Poster
            | Self::PosterAvif
            | Self::Storyboard
            | Self::Sheet { .. } => None,
        }
    }

    /// Whether the name stands for text that is rendered from the manifest, wherever it exists.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        match self {
            Self::Master(_) | Self::MediaPlaylist { .. } | Self::Storyboard => true,
            Self::Init { .. }
            | Self::Segment { .. }
            | Self::IFrames { .. }
            | Self::Captions { .. }
            | Self::Poster
            | Self::PosterAvif
            | Self::Sheet { .. } => false,
        }
    }
}

/// Looks a name up in a revision; `None` means that it does not exist.
#[must_use]
pub fn resolve(manifest: &Manifest, path: &PlayPath) -> Option<Resource> {
    match path {
        PlayPath::Master(set) => {
            let text = playlist::multivariant(manifest, *set)?;
            Some(Resource::Text(text, MIME_PLAYLIST))
        }
        PlayPath::MediaPlaylist { rendition } => {
            let text = playlist::media_playlist(manifest, rendition)
                .or_else(|| playlist::i_frame_playlist(manifest, rendition))
                .or_else(|| playlist::caption_playlist(manifest, rendition))?;
            Some(Resource::Text(text, MIME_PLAYLIST))
        }
        PlayPath::Init { rendition: id } => match manifest.rendition(id) {
            Some(rendition) => Some(Resource::Blob(rendition.init, mime(&rendition.track))),
            None => Some(Resource::Blob(manifest.i_frame_stream(id)?.init, MIME_VIDEO)),
        },
        PlayPath::IFrames { rendition } => {
            Some(Resource::Blob(manifest.i_frame_stream(rendition)?.file, MIME_VIDEO))
        }
        PlayPath::Segment { rendition, n } => {
            let rendition = manifest.rendition(rendition)?;
            let segment = rendition.segments.get(usize::try_from(*n).ok()?)?;
            Some(Resource::Blob(segment.hash, mime(&rendition.track)))
        }
        PlayPath::Captions { rendition } => {
            Some(Resource::Blob(manifest.caption_track(rendition)?.file, MIME_VTT))
        }
        PlayPath::Poster => Some(Resource::Blob(manifest.poster?.jpeg, MIME_JPEG)),
        PlayPath::PosterAvif => Some(Resource::Blob(manifest.poster?.avif, MIME_AVIF)),
        PlayPath::Storyboard => Some(Resource::Text(storyboard::index(manifest)?, MIME_VTT)),
        PlayPath::Sheet { n } => {
            let sheets = &manifest.storyboard.as_ref()?.sheets;
            Some(Resource::Blob(*sheets.get(usize::try_from(*n).ok()?)?, MIME_JPEG))
        }
    }
}

/// A number that can be written in one way only, of at most six digits.
fn number(digits: &str) -> Option<u32> {
    let canonical = (1..=6).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().ok() } else { None }
}

const fn mime(track: &Track) -> &'static str {
    match track {
        Track::Video { .. } => MIME_VIDEO,
        Track::Audio { .. } => MIME_AUDIO,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::tests::sample;

    #[test]
    fn names_of_a_revision_resolve() {
        let manifest = sample();
        let blob = |text: &str| match resolve(&manifest, &PlayPath::parse(text).unwrap()) {
            Some(Resource::Blob(hash, mime)) => Some((hash, mime)),
            _ => None,
        };
        assert_eq!(blob("c360/init.mp4"), Some((BlobHash::of(&[10]), MIME_VIDEO)));
        assert_eq!(blob("v360/1.m4s"), Some((BlobHash::of(&[22]), MIME_VIDEO)));
        assert_eq!(blob("a-hi/0.m4s"), Some((BlobHash::of(&[31]), MIME_AUDIO)));
        assert_eq!(blob("i234/init.mp4"), Some((BlobHash::of(&[50]), MIME_VIDEO)));
        assert_eq!(blob("i234/frames.mp4"), Some((BlobHash::of(&[51]), MIME_VIDEO)));
        assert_eq!(blob("captions-pt-br/0.vtt"), Some((BlobHash::of(b"captions"), MIME_VTT)));
        assert_eq!(blob("captions-en/0.vtt"), None);
        assert_eq!(blob("c360/0.vtt"), None);
        assert_eq!(blob("i234/0.m4s"), None);
        assert_eq!(blob("c360/frames.mp4"), None);
        assert_eq!(blob("poster.jpg"), Some((BlobHash::of(b"poster"), MIME_JPEG)));
        assert_eq!(blob("poster.avif"), Some((BlobHash::of(b"smaller poster"), MIME_AVIF)));
        assert_eq!(blob("storyboard/1.jpg"), Some((BlobHash::of(b"sheet 1"), MIME_JPEG)));
        assert_eq!(blob("storyboard/2.jpg"), None);
        assert_eq!(blob("storyboard.vtt"), None);
        assert_eq!(blob("c360/2.m4s"), None);
        assert_eq!(blob("c720/0.m4s"), None);
    }

    /// The URIs of a playlist, in tags and between them.
    fn uris(text: &str) -> Vec<&str> {
        text.lines()
            .filter_map(|line| match line.split_once("URI=\"") {
                Some((_, uri)) => uri.split('"').next(),
                None => (!line.starts_with('#')).then_some(line),
            })
            .collect()
    }

    #[test]
    fn every_uri_of_every_playlist_resolves() {
        let manifest = sample();
        for master in ["master.m3u8", "master.avc.m3u8", "master.av1.m3u8"] {
            let Some(Resource::Text(text, _)) =
                resolve(&manifest, &PlayPath::parse(master).unwrap())
            else {
                panic!("{master} is missing");
            };
            for name in uris(&text) {
                let path = PlayPath::parse(name).unwrap();
                let Some(Resource::Text(media, _)) = resolve(&manifest, &path) else {
                    panic!("{name} is missing");
                };
                assert!(path.is_text(), "{name}");
                for uri in uris(&media) {
                    let path = PlayPath::parse(uri).unwrap();
                    let resource = resolve(&manifest, &path).expect(uri);
                    assert_eq!(matches!(resource, Resource::Text(..)), path.is_text(), "{uri}");
                }
            }
        }
    }

    #[test]
    fn other_names_do_not_parse() {
        for bad in [
            "",
            "/",
            "../master.m3u8",
            "c360/../c360/0.m4s",
            "c360/00.m4s",
            "c360/-1.m4s",
            "c360/1234567.m4s",
            "c360/0.m4s/",
            "c360/0.mp4",
            "c360",
            "master.hevc.m3u8",
            "master/init.mp4",
            "poster.jpg?x",
            "poster.png",
            "captions-en/1.vtt",
            "storyboard/00.jpg",
            "storyboard/init.mp4",
            "storyboard/0.m4s",
            "storyboard.m3u8",
            "%63360.m3u8",
        ] {
            assert_eq!(PlayPath::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_segment_names_are_unique(text in ".{0,40}") {
            if let Some(PlayPath::Segment { rendition, n }) = PlayPath::parse(&text) {
                prop_assert_eq!(format!("{rendition}/{n}.m4s"), text);
            }
        }
    }
}
