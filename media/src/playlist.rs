//! HLS playlists rendered from a manifest (RFC 8216, Apple's authoring rules).
//!
//! Pure text: no hash, no host, no token appears here, because relative URIs inherit the signed
//! path that the playlist itself was fetched under. Read next: `path`, which takes the URIs back.

use std::fmt::Write as _;

use crate::manifest::{Manifest, Rendition, RenditionId, Track, VideoFamily};

/// Which variants a multivariant playlist lists.
///
/// Chromium's native player fails at the first switch between codecs, so it must be given
/// [`CodecSet::Avc`] or [`CodecSet::Av1`], never a mixed [`CodecSet::All`] (measured).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodecSet {
    /// Everything: for players that stay in one family by themselves.
    All,
    /// H.264 only.
    Avc,
    /// AV1 only.
    Av1,
}

const AUDIO_GROUP: &str = "audio";

impl CodecSet {
    const fn holds(self, family: VideoFamily) -> bool {
        match (self, family) {
            (Self::All, _) | (Self::Avc, VideoFamily::Avc) | (Self::Av1, VideoFamily::Av1) => true,
            (Self::Avc, VideoFamily::Av1) | (Self::Av1, VideoFamily::Avc) => false,
        }
    }
}

/// Renders the multivariant playlist; `None` when the revision has no variant of the set.
#[must_use]
pub fn multivariant(manifest: &Manifest, set: CodecSet) -> Option<String> {
    let variants: Vec<&Rendition> = manifest
        .renditions
        .iter()
        .filter(|rendition| rendition.family().is_some_and(|family| set.holds(family)))
        .collect();
    if variants.is_empty() {
        return None;
    }
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let audio = manifest.audio();
    if let Some(audio) = audio {
        push_audio(&mut text, audio);
    }
    for variant in variants {
        push_variant(&mut text, variant, audio);
    }
    Some(text)
}

/// Renders the media playlist of one rendition; `None` when there is no such rendition.
#[must_use]
pub fn media_playlist(manifest: &Manifest, id: &RenditionId) -> Option<String> {
    let rendition = manifest.rendition(id)?;
    let mut text = String::with_capacity(160 + rendition.segments.len() * 32);
    text.push_str("#EXTM3U\n#EXT-X-VERSION:6\n");
    push(&mut text, format_args!("#EXT-X-TARGETDURATION:{}\n", rendition.target_duration_s));
    text.push_str("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    push(&mut text, format_args!("#EXT-X-MAP:URI=\"{id}/init.mp4\"\n"));
    let mut clock = Clock { timescale: rendition.timescale, ticks: 0, written_micros: 0 };
    for (n, segment) in rendition.segments.iter().enumerate() {
        let micros = clock.advance(segment.duration_ticks);
        let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
        push(&mut text, format_args!("#EXTINF:{whole}.{part:06},\n{id}/{n}.m4s\n"));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    Some(text)
}

/// Turns ticks into microseconds so that rounding never adds up: after every segment the sum of
/// what was written is the nearest microsecond to the real position.
struct Clock {
    timescale: u32,
    ticks: u128,
    written_micros: u128,
}

impl Clock {
    fn advance(&mut self, ticks: u64) -> u128 {
        let scale = u128::from(self.timescale.max(1));
        self.ticks += u128::from(ticks);
        let position = (self.ticks * 1_000_000 + scale / 2) / scale;
        let micros = position - self.written_micros;
        self.written_micros = position;
        micros
    }
}

fn push_audio(text: &mut String, audio: &Rendition) {
    let channels = match audio.track {
        Track::Audio { channels, .. } => channels,
        Track::Video { .. } => 0,
    };
    let id = &audio.id;
    push(
        text,
        format_args!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"Original\",\
             LANGUAGE=\"und\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"{channels}\",\
             URI=\"{id}.m3u8\"\n"
        ),
    );
}

fn push_variant(text: &mut String, variant: &Rendition, audio: Option<&Rendition>) {
    let Track::Video { width, height, frame_rate, .. } = variant.track else { return };
    let peak = variant.bandwidth + audio.map_or(0, |audio| audio.bandwidth);
    let average = variant.average_bandwidth + audio.map_or(0, |audio| audio.average_bandwidth);
    push(text, format_args!("#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}"));
    push(text, format_args!(",CODECS=\"{}", variant.codec));
    if let Some(audio) = audio {
        push(text, format_args!(",{}", audio.codec));
    }
    push(text, format_args!("\",RESOLUTION={width}x{height}"));
    push(text, format_args!(",FRAME-RATE={},VIDEO-RANGE=SDR", frame_rate.to_decimal()));
    if audio.is_some() {
        push(text, format_args!(",AUDIO=\"{AUDIO_GROUP}\""));
    }
    push(text, format_args!(",CLOSED-CAPTIONS=NONE\n{}.m3u8\n", variant.id));
}

fn push(text: &mut String, parts: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(parts);
}

#[cfg(test)]
mod tests {
    use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist, MediaPlaylistType};

    use super::*;
    use crate::manifest::tests::sample;

    fn master(set: CodecSet) -> MasterPlaylist {
        let text = multivariant(&sample(), set).unwrap();
        m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap()
    }

    fn media(id: &str) -> MediaPlaylist {
        let text = media_playlist(&sample(), &RenditionId::new(id).unwrap()).unwrap();
        m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap()
    }

    #[test]
    fn another_parser_reads_the_multivariant_playlist_back() {
        let playlist = master(CodecSet::All);
        assert!(playlist.independent_segments);
        assert_eq!(playlist.version, Some(6));
        assert_eq!(playlist.variants.len(), 2);
        let first = &playlist.variants[0];
        assert_eq!(first.uri, "c360.m3u8");
        assert_eq!(first.bandwidth, 650_000);
        assert_eq!(first.average_bandwidth, Some(528_000));
        assert_eq!(first.codecs.as_deref(), Some("avc1.64001e,mp4a.40.2"));
        assert_eq!(first.resolution.map(|size| (size.width, size.height)), Some((640, 360)));
        assert_eq!(first.audio.as_deref(), Some("audio"));
        let audio = &playlist.alternatives[0];
        assert_eq!(audio.media_type, AlternativeMediaType::Audio);
        assert_eq!(audio.uri.as_deref(), Some("a-hi.m3u8"));
        assert!(audio.default && audio.autoselect);
    }

    #[test]
    fn codec_sets_do_not_mix() {
        let uris = |set| -> Vec<String> {
            master(set).variants.into_iter().map(|variant| variant.uri).collect()
        };
        assert_eq!(uris(CodecSet::Avc), ["c360.m3u8"]);
        assert_eq!(uris(CodecSet::Av1), ["v360.m3u8"]);
        let mut first_cut = sample();
        first_cut.renditions.remove(1);
        assert_eq!(multivariant(&first_cut, CodecSet::Av1), None);
    }

    #[test]
    fn another_parser_reads_the_media_playlist_back() {
        let playlist = media("c360");
        assert!(playlist.end_list && playlist.independent_segments);
        assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Vod));
        assert_eq!(playlist.target_duration, 2);
        let first = &playlist.segments[0];
        assert_eq!(first.map.as_ref().map(|map| map.uri.as_str()), Some("c360/init.mp4"));
        let uris: Vec<_> = playlist.segments.iter().map(|segment| segment.uri.as_str()).collect();
        assert_eq!(uris, ["c360/0.m4s", "c360/1.m4s"]);
    }

    #[test]
    fn written_durations_add_up_to_the_real_one() {
        let mut clock = Clock { timescale: 24_000, ticks: 0, written_micros: 0 };
        let sum: u128 = (0..1000).map(|_| clock.advance(48 * 1001)).sum();
        assert_eq!(sum, 2_002_000 * 1000);
        let mut clock = Clock { timescale: 48_000, ticks: 0, written_micros: 0 };
        let sum: u128 = (0..1000).map(|_| clock.advance(94 * 1024)).sum();
        assert_eq!(sum, (94_u128 * 1024 * 1000 * 1_000_000 + 24_000) / 48_000);
    }

    #[test]
    fn silent_revision_has_no_audio_attribute() {
        let mut manifest = sample();
        manifest.renditions.pop();
        let text = multivariant(&manifest, CodecSet::Avc).unwrap();
        assert!(!text.contains("AUDIO"), "{text}");
        assert!(text.contains("CODECS=\"avc1.64001e\""), "{text}");
    }
}
