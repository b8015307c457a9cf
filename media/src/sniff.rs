//! First look at an upload: which one container is it, from its first bytes.
//!
//! The answer forces exactly one demuxer later, so a playlist, script or document can never reach
//! a parser that follows references. Pure; read next: `probe`.

use serde::{Deserialize, Serialize};

use crate::error::Rejection;

/// Bytes that [`sniff`] wants to see.
pub const SNIFF_BYTES: usize = 4096;

/// A container that may be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Container {
    /// MP4 and QuickTime (ISO/IEC 14496-12).
    Mp4,
    /// Matroska and WebM (RFC 9559).
    Matroska,
    /// MPEG program stream (ISO/IEC 13818-1).
    MpegPs,
}

impl Container {
    /// The one demuxer that ffmpeg may use.
    #[must_use]
    pub const fn demuxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mov",
            Self::Matroska => "matroska",
            Self::MpegPs => "mpeg",
        }
    }
}

/// Decides the container from the first bytes of a file (up to [`SNIFF_BYTES`]).
///
/// # Errors
/// A [`Rejection`] `empty`, `playlist_in_disguise`, `text_not_video` or `not_a_video`.
pub fn sniff(head: &[u8]) -> Result<Container, Rejection> {
    if head.is_empty() {
        return Err(Rejection::new("empty", "the file is empty"));
    }
    if let Some(container) = by_magic(head) {
        return Ok(container);
    }
    if is_reference_text(head) {
        return Err(Rejection::new(
            "playlist_in_disguise",
            "the file is a playlist or script, not a video",
        ));
    }
    if is_text(head) {
        return Err(Rejection::new("text_not_video", "the file is text, not a video"));
    }
    Err(Rejection::new(
        "not_a_video",
        "the file is not an MP4, QuickTime, Matroska, WebM or MPEG video",
    ))
}

/// The media type of a picture that people may send, from its first bytes.
#[must_use]
pub fn picture(head: &[u8]) -> Option<&'static str> {
    const JPEG: [u8; 3] = [0xFF, 0xD8, 0xFF];
    const PNG: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A];
    if head.starts_with(&JPEG) {
        Some("image/jpeg")
    } else if head.starts_with(&PNG) {
        Some("image/png")
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else {
        None
    }
}

fn by_magic(head: &[u8]) -> Option<Container> {
    const EBML: [u8; 4] = [0x1A, 0x45, 0xDF, 0xA3];
    const PACK_START: [u8; 4] = [0x00, 0x00, 0x01, 0xBA];
    if head.starts_with(&PACK_START) {
        return Some(Container::MpegPs);
    }
    if head.starts_with(&EBML) {
        let start = &head[..head.len().min(256)];
        let names = |name: &[u8]| start.windows(name.len()).any(|window| window == name);
        return (names(b"webm") || names(b"matroska")).then_some(Container::Matroska);
    }
    let size = u32::from_be_bytes(*head.first_chunk()?);
    let kind: &[u8; 4] = head.get(4..8)?.try_into().ok()?;
    let is_box = matches!(kind, b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip");
    // Sizes 0 (to the end) and 1 (64 bits follow) are legal, 2 to 7 are not, and four printable
    // characters read as a size are far beyond any upload.
    let is_size = size < 2 || (8..0x2020_2020).contains(&size);
    (is_box && is_size).then_some(Container::Mp4)
}

fn is_reference_text(head: &[u8]) -> bool {
    let mut start = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    start = start.trim_ascii_start();
    let start = start[..start.len().min(512)].to_ascii_lowercase();
    let begins = |prefix: &str| start.starts_with(prefix.as_bytes());
    let holds = |word: &str| start.windows(word.len()).any(|window| window == word.as_bytes());
    begins("#extm3u")
        || begins("#ext-x-")
        || begins("ffconcat")
        || begins("<?xml")
        || begins("<mpd")
        || begins("<svg")
        || begins("<smil")
        || begins("<asx")
        || begins("v=0")
        || begins("[playlist]")
        || begins("[reference]")
        || begins("rtsptext")
        || (begins("file ") && holds("\n"))
}

fn is_text(head: &[u8]) -> bool {
    let printable = head.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'));
    // The head may end in the middle of a character; that is still text.
    printable
        && std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(head: &[u8]) -> &'static str {
        sniff(head).unwrap_err().reason
    }

    #[test]
    fn containers_are_known_by_their_first_bytes() {
        assert_eq!(sniff(b"\0\0\0\x18ftypmp42\0\0\0\0"), Ok(Container::Mp4));
        assert_eq!(sniff(b"\0\0\0\x08wide\0\0\x10\0mdat"), Ok(Container::Mp4));
        assert_eq!(sniff(b"\x1A\x45\xDF\xA3\x9F\x42\x82\x84webm"), Ok(Container::Matroska));
        assert_eq!(sniff(b"\0\0\x01\xBA\x44"), Ok(Container::MpegPs));
    }

    #[test]
    fn pictures_are_known_by_their_first_bytes_and_nothing_else_is_one() {
        assert_eq!(picture(&[0xFF, 0xD8, 0xFF, 0xE0, 1]), Some("image/jpeg"));
        assert_eq!(picture(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(picture(b"RIFF\x10\0\0\0WEBPVP8 "), Some("image/webp"));
        for other in [&b""[..], b"RIFF", b"RIFF....WAVE", b"<svg>", b"GIF89a", b"\x89PN"] {
            assert_eq!(picture(other), None, "{other:?}");
        }
    }

    #[test]
    fn playlists_are_named_as_such() {
        for text in [
            "#EXTM3U\n#EXT-X-VERSION:3\n",
            "\u{feff}#EXTM3U\n",
            "  \n#extm3u",
            "ffconcat version 1.0\nfile '/etc/passwd'\n",
            "<?xml version=\"1.0\"?><MPD/>",
            "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
            "[playlist]\nFile1=x\n",
        ] {
            assert_eq!(reason(text.as_bytes()), "playlist_in_disguise", "{text}");
        }
    }

    #[test]
    fn text_and_other_bytes_are_refused() {
        assert_eq!(reason(b""), "empty");
        assert_eq!(reason("just a note, gr\u{fc}n".as_bytes()), "text_not_video");
        assert_eq!(reason(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "not_a_video");
        assert_eq!(reason(b"\x1A\x45\xDF\xA3 unknown doctype"), "not_a_video");
        assert_eq!(reason(b"\0\0\0\x04ftyp"), "not_a_video");
    }

    proptest! {
        #[test]
        fn sniffing_never_panics(head in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = sniff(&head);
        }

        #[test]
        fn nothing_textual_is_a_video(text in "[ -~\n]{1,200}") {
            prop_assert!(sniff(text.as_bytes()).is_err());
        }
    }
}
