//! HLS playlists rendered from a manifest (RFC 8216, Apple's authoring rules).
//!
//! Pure text: no hash, no host, no token appears here, because relative URIs inherit the signed
//! path that the playlist itself was fetched under. Read next: `path`, which takes the URIs back.

use std::fmt::Write as _;

use crate::manifest::{
    CaptionTrack, IFrameStream, Manifest, Rendition, RenditionId, Track, VideoFamily,
};

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

/// Content steering: who tells players where to go, and what their variants are called meanwhile
/// (RFC 8216bis section 4.4.6.6).
///
/// Only one pathway is ever listed. Chromium's own player does not know steering and takes a second
/// one for more variants (measured); the others are clones, which the steering manifest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steering<'a> {
    /// Address of the steering manifest, relative to the playlist.
    pub server: &'a str,
    /// The pathway of every variant, of `A-Z a-z 0-9 . - _`.
    pub pathway: &'a str,
}

/// The group of all captions.
const CAPTIONS_GROUP: &str = "captions";
/// Tallest picture that is listed with the sound of the lower bit rate.
const LOW_SOUND_SHORT_SIDE_MAX: u32 = 360;

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
    render(manifest, set, None)
}

/// The same for players that are to be steered.
#[must_use]
pub fn steered(manifest: &Manifest, set: CodecSet, steering: Steering<'_>) -> Option<String> {
    render(manifest, set, Some(steering))
}

fn render(manifest: &Manifest, set: CodecSet, steering: Option<Steering<'_>>) -> Option<String> {
    let variants: Vec<&Rendition> = manifest
        .renditions
        .iter()
        .filter(|rendition| rendition.family().is_some_and(|family| set.holds(family)))
        .collect();
    if variants.is_empty() {
        return None;
    }
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if let Some(Steering { server, pathway }) = steering {
        push(&mut text, format_args!("#EXT-X-CONTENT-STEERING:SERVER-URI=\"{server}\","));
        push(&mut text, format_args!("PATHWAY-ID=\"{pathway}\"\n"));
    }
    let tallest = variants.iter().map(|variant| variant.short_side()).max().unwrap_or(0);
    let sound_of =
        |variant: &Rendition| sound_for(variant.short_side(), tallest, manifest.sounds());
    let heard: Vec<&RenditionId> =
        variants.iter().filter_map(|variant| Some(&sound_of(variant)?.id)).collect();
    for sound in manifest.sounds().filter(|sound| heard.contains(&&sound.id)) {
        push_sound(&mut text, sound);
    }
    for track in &manifest.captions {
        push_captions(&mut text, track);
    }
    for variant in variants {
        push_variant(&mut text, variant, sound_of(variant), &manifest.captions, steering);
    }
    // The I-frames are H.264, which a playlist for players that bear AV1 alone must not name.
    if set.holds(VideoFamily::Avc) {
        for stream in &manifest.i_frames {
            push_i_frames(&mut text, stream, steering);
        }
    }
    Some(text)
}

/// Renders the media playlist of one rendition; `None` when there is no such rendition. That of a clip
/// that grows has no end yet, and what is in it stays (RFC 8216 section 4.3.3.5).
#[must_use]
pub fn media_playlist(manifest: &Manifest, id: &RenditionId) -> Option<String> {
    let rendition = manifest.rendition(id)?;
    let mut text = String::with_capacity(160 + rendition.segments.len() * 32);
    push_head(&mut text, manifest, "#EXT-X-INDEPENDENT-SEGMENTS");
    if manifest.is_growing {
        // Without it players take a clip that grows for a live one and begin near its end.
        text.push_str("#EXT-X-START:TIME-OFFSET=0\n");
    }
    push(&mut text, format_args!("#EXT-X-MAP:URI=\"{id}/init.mp4\"\n"));
    let mut clock = Clock::new(rendition.timescale);
    for (n, segment) in rendition.segments.iter().enumerate() {
        push_duration(&mut text, clock.advance(segment.duration_ticks));
        push(&mut text, format_args!("{id}/{n}.m4s\n"));
    }
    if !manifest.is_growing {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    Some(text)
}

/// Renders the playlist of an I-frame stream; `None` when there is no such stream.
#[must_use]
pub fn i_frame_playlist(manifest: &Manifest, id: &RenditionId) -> Option<String> {
    let stream = manifest.i_frame_stream(id)?;
    let mut text = String::with_capacity(160 + stream.frames.len() * 64);
    push_head(&mut text, manifest, "#EXT-X-I-FRAMES-ONLY");
    push(&mut text, format_args!("#EXT-X-MAP:URI=\"{id}/init.mp4\"\n"));
    let mut clock = Clock::new(stream.timescale);
    for (start, frame) in stream.ranges() {
        push_duration(&mut text, clock.advance(frame.duration_ticks));
        let bytes = frame.bytes;
        push(&mut text, format_args!("#EXT-X-BYTERANGE:{bytes}@{start}\n{id}/frames.mp4\n"));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    Some(text)
}

/// Renders the playlist of captions, one segment as long as the clip; `None` when there are none of
/// that name. Its target duration is its own, which subtitles of finished clips may have (RFC 8216
/// section 6.2.4).
#[must_use]
pub fn caption_playlist(manifest: &Manifest, id: &RenditionId) -> Option<String> {
    manifest.caption_track(id)?;
    let rate = manifest.frame_rate;
    let mut clock = Clock::new(rate.num);
    let micros = clock.advance(manifest.frame_count.saturating_mul(rate.den.into()));
    let target = micros.div_ceil(1_000_000).max(manifest.target_duration_s.into());
    let mut text = String::new();
    push(&mut text, format_args!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{target}\n"));
    text.push_str("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    push_duration(&mut text, micros);
    push(&mut text, format_args!("{id}/0.vtt\n#EXT-X-ENDLIST\n"));
    Some(text)
}

/// The sound that a variant is listed with: the cheaper one with small pictures, unless none is
/// listed that is larger, with which the better one could go.
pub(crate) fn sound_for<'a>(
    short_side: u32,
    tallest: u32,
    sounds: impl Iterator<Item = &'a Rendition>,
) -> Option<&'a Rendition> {
    let bandwidth = |sound: &&Rendition| sound.bandwidth;
    if short_side <= LOW_SOUND_SHORT_SIDE_MAX && short_side < tallest {
        sounds.min_by_key(bandwidth)
    } else {
        sounds.max_by_key(bandwidth)
    }
}

/// Turns ticks into microseconds so that rounding never adds up: after every segment the sum of
/// what was written is the nearest microsecond to the real position.
struct Clock {
    timescale: u32,
    ticks: u128,
    written_micros: u128,
}

impl Clock {
    const fn new(timescale: u32) -> Self {
        Self { timescale, ticks: 0, written_micros: 0 }
    }

    fn advance(&mut self, ticks: u64) -> u128 {
        let scale = u128::from(self.timescale.max(1));
        self.ticks += u128::from(ticks);
        let position = (self.ticks * 1_000_000 + scale / 2) / scale;
        let micros = position - self.written_micros;
        self.written_micros = position;
        micros
    }
}

fn push_head(text: &mut String, manifest: &Manifest, kind: &str) {
    let target = manifest.target_duration_s;
    push(text, format_args!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{target}\n"));
    let grows = if manifest.is_growing { "EVENT" } else { "VOD" };
    push(text, format_args!("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:{grows}\n{kind}\n"));
}

fn push_duration(text: &mut String, micros: u128) {
    push(text, format_args!("#EXTINF:{}.{:06},\n", micros / 1_000_000, micros % 1_000_000));
}

/// A group of one: the encodings of the same sound differ by group, and players match them by name.
fn push_sound(text: &mut String, sound: &Rendition) {
    let channels = match sound.track {
        Track::Audio { channels, .. } => channels,
        Track::Video { .. } => 0,
    };
    let id = &sound.id;
    push(
        text,
        format_args!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{id}\",NAME=\"Original\",\
             LANGUAGE=\"und\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"{channels}\",\
             URI=\"{id}.m3u8\"\n"
        ),
    );
}

fn push_captions(text: &mut String, track: &CaptionTrack) {
    let CaptionTrack { label, language, describes_sounds, .. } = track;
    push(
        text,
        format_args!(
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"{CAPTIONS_GROUP}\",NAME=\"{label}\",\
             LANGUAGE=\"{language}\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO"
        ),
    );
    if *describes_sounds {
        text.push_str(
            ",CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,\
             public.accessibility.describes-music-and-sound\"",
        );
    }
    push(text, format_args!(",URI=\"{}.m3u8\"\n", track.id()));
}

fn push_i_frames(text: &mut String, stream: &IFrameStream, steering: Option<Steering<'_>>) {
    let IFrameStream { id, codec, width, height, bandwidth, average_bandwidth, .. } = stream;
    push(
        text,
        format_args!(
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={bandwidth},\
             AVERAGE-BANDWIDTH={average_bandwidth},CODECS=\"{codec}\",\
             RESOLUTION={width}x{height},VIDEO-RANGE=SDR,URI=\"{id}.m3u8\""
        ),
    );
    push_pathway(text, id, steering);
    text.push('\n');
}

fn push_variant(
    text: &mut String,
    variant: &Rendition,
    sound: Option<&Rendition>,
    captions: &[CaptionTrack],
    steering: Option<Steering<'_>>,
) {
    let Track::Video { width, height, frame_rate, .. } = variant.track else { return };
    let peak = variant.bandwidth.saturating_add(sound.map_or(0, |sound| sound.bandwidth));
    let average =
        variant.average_bandwidth.saturating_add(sound.map_or(0, |sound| sound.average_bandwidth));
    push(text, format_args!("#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}"));
    push(text, format_args!(",CODECS=\"{}", variant.codec));
    if let Some(sound) = sound {
        push(text, format_args!(",{}", sound.codec));
    }
    push(text, format_args!("\",RESOLUTION={width}x{height}"));
    push(text, format_args!(",FRAME-RATE={},VIDEO-RANGE=SDR", frame_rate.to_decimal()));
    if let Some(sound) = sound {
        push(text, format_args!(",AUDIO=\"{}\"", sound.id));
    }
    if !captions.is_empty() {
        push(text, format_args!(",SUBTITLES=\"{CAPTIONS_GROUP}\""));
    }
    text.push_str(",CLOSED-CAPTIONS=NONE");
    push_pathway(text, &variant.id, steering);
    push(text, format_args!("\n{}.m3u8\n", variant.id));
}

/// The pathway, and the name by which a player knows the variant again on another one.
fn push_pathway(text: &mut String, id: &RenditionId, steering: Option<Steering<'_>>) {
    if let Some(Steering { pathway, .. }) = steering {
        push(text, format_args!(",PATHWAY-ID=\"{pathway}\",STABLE-VARIANT-ID=\"{id}\""));
    }
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
        let (pictures, stills): (Vec<_>, Vec<_>) =
            playlist.variants.iter().partition(|variant| !variant.is_i_frame);
        assert_eq!(pictures.len(), 3);
        let first = pictures[0];
        assert_eq!(first.uri, "c360.m3u8");
        assert_eq!(first.bandwidth, 650_000);
        assert_eq!(first.average_bandwidth, Some(528_000));
        assert_eq!(first.codecs.as_deref(), Some("avc1.64001e,mp4a.40.2"));
        assert_eq!(first.resolution.map(|size| (size.width, size.height)), Some((640, 360)));
        assert_eq!(first.audio.as_deref(), Some("a-hi"));
        let slowest = pictures[1];
        assert_eq!((slowest.uri.as_str(), slowest.bandwidth), ("c234.m3u8", 183_000));
        assert_eq!(slowest.audio.as_deref(), Some("a-lo"));
        assert_eq!(slowest.frame_rate, Some(14.985));
        let sounds: Vec<_> = playlist.alternatives[..2]
            .iter()
            .map(|sound| (&*sound.group_id, &*sound.name))
            .collect();
        assert_eq!(sounds, [("a-hi", "Original"), ("a-lo", "Original")]);
        let sounds_and_captions = playlist.alternatives.len();
        assert_eq!(sounds_and_captions, 3);
        let sound = &playlist.alternatives[0];
        assert_eq!(sound.media_type, AlternativeMediaType::Audio);
        assert_eq!(sound.uri.as_deref(), Some("a-hi.m3u8"));
        assert!(sound.default && sound.autoselect);
        let [still] = stills.as_slice() else { panic!("{stills:?}") };
        assert_eq!((still.uri.as_str(), still.bandwidth), ("i234.m3u8", 40_000));
        assert_eq!(still.codecs.as_deref(), Some("avc1.64000d"));
        assert_eq!(still.resolution.map(|size| (size.width, size.height)), Some((416, 234)));
    }

    #[test]
    fn steered_variants_are_on_one_pathway_and_nothing_else_changes() {
        let steering = Steering { server: "steering/eu-1.3", pathway: "eu-1.3" };
        for set in [CodecSet::All, CodecSet::Avc, CodecSet::Av1] {
            let text = steered(&sample(), set, steering).unwrap();
            let tag =
                "\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering/eu-1.3\",PATHWAY-ID=\"eu-1.3\"\n";
            assert_eq!(text.matches(tag).count(), 1, "{text}");
            let variants = text.lines().filter(|line| line.contains("STREAM-INF"));
            for line in variants {
                assert!(line.contains(",PATHWAY-ID=\"eu-1.3\",STABLE-VARIANT-ID=\""), "{line}");
            }
            m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
            let plain: String = text
                .replacen(&tag[1..], "", 1)
                .lines()
                .map(|line| format!("{}\n", without_pathway(line)))
                .collect();
            assert_eq!(plain, multivariant(&sample(), set).unwrap());
        }
    }

    fn without_pathway(line: &str) -> &str {
        line.split_once(",PATHWAY-ID").map_or(line, |(before, _)| before)
    }

    #[test]
    fn codec_sets_do_not_mix() {
        let uris = |set| -> Vec<String> {
            master(set).variants.into_iter().map(|variant| variant.uri).collect()
        };
        assert_eq!(uris(CodecSet::Avc), ["c360.m3u8", "c234.m3u8", "i234.m3u8"]);
        assert_eq!(uris(CodecSet::Av1), ["v360.m3u8"]);
        assert!(!multivariant(&sample(), CodecSet::Av1).unwrap().contains("a-lo"));
        let mut first_cut = sample();
        first_cut.renditions.remove(2);
        assert_eq!(multivariant(&first_cut, CodecSet::Av1), None);
    }

    #[test]
    fn captions_are_one_segment_as_long_as_the_clip() {
        let playlist = master(CodecSet::Avc);
        let captions = &playlist.alternatives[2];
        assert_eq!(captions.media_type, AlternativeMediaType::Subtitles);
        assert_eq!(captions.language.as_deref(), Some("pt-br"));
        assert_eq!(captions.name, "Português");
        assert!(captions.autoselect && !captions.default && !captions.forced);
        assert_eq!(captions.uri.as_deref(), Some("captions-pt-br.m3u8"));
        assert!(captions.characteristics.as_deref().is_some_and(|c| c.contains("music")));
        assert_eq!(playlist.variants[0].subtitles.as_deref(), Some("captions"));
        let id = RenditionId::new("captions-pt-br").unwrap();
        let text = caption_playlist(&sample(), &id).unwrap();
        let list = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        assert!(list.end_list && list.segments[0].map.is_none());
        assert_eq!(list.target_duration, 4);
        assert!(text.contains("#EXTINF:3.003000,\ncaptions-pt-br/0.vtt\n"), "{text}");
        let mut without = sample();
        without.captions.clear();
        assert!(!multivariant(&without, CodecSet::Avc).unwrap().contains("SUBTITLES"));
        assert_eq!(caption_playlist(&without, &id), None);
    }

    #[test]
    fn beginning_has_no_end_and_is_what_the_whole_begins_with() {
        let mut beginning = sample();
        beginning.is_growing = true;
        let id = RenditionId::new("c360").unwrap();
        let text = media_playlist(&beginning, &id).unwrap();
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        assert!(!playlist.end_list);
        assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Event));
        assert_eq!(playlist.start.map(|start| start.time_offset.to_bits()), Some(0));
        assert_eq!(playlist.segments, media("c360").segments);
    }

    #[test]
    fn i_frame_ranges_follow_each_other() {
        let text = i_frame_playlist(&sample(), &RenditionId::new("i234").unwrap()).unwrap();
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        assert!(playlist.i_frames_only && playlist.end_list);
        assert_eq!(playlist.target_duration, 2);
        let first = &playlist.segments[0];
        assert_eq!(first.map.as_ref().map(|map| map.uri.as_str()), Some("i234/init.mp4"));
        let ranges: Vec<_> = playlist
            .segments
            .iter()
            .map(|segment| {
                let range = segment.byte_range.as_ref().unwrap();
                (&*segment.uri, range.offset.unwrap(), range.length)
            })
            .collect();
        let file = "i234/frames.mp4";
        assert_eq!(ranges, [(file, 0, 5_000), (file, 5_000, 4_000), (file, 9_000, 3_000)]);
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
        let mut clock = Clock::new(24_000);
        let sum: u128 = (0..1000).map(|_| clock.advance(48 * 1001)).sum();
        assert_eq!(sum, 2_002_000 * 1000);
        let mut clock = Clock::new(48_000);
        let sum: u128 = (0..1000).map(|_| clock.advance(94 * 1024)).sum();
        assert_eq!(sum, (94_u128 * 1024 * 1000 * 1_000_000 + 24_000) / 48_000);
    }

    #[test]
    fn silent_revision_has_no_audio_attribute() {
        let mut manifest = sample();
        manifest.renditions.truncate(3);
        let text = multivariant(&manifest, CodecSet::Avc).unwrap();
        assert!(!text.contains("AUDIO"), "{text}");
        assert!(text.contains("CODECS=\"avc1.64001e\""), "{text}");
    }
}
