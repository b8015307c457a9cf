//! The manifest: one immutable blob that says what a revision of an asset consists of.
//!
//! Everything else is found from it by hash. It must not name files, tokens or people. A reader
//! takes nothing on trust: [`Manifest::parse`] bounds the size and checks every rule that the
//! playlists rely on. Read next: `playlist`, which renders it, and `path`, which looks names up.

use std::fmt;

use fairground_types::BlobHash;
use serde::{Deserialize, Serialize};

use crate::error::MediaError;

/// Version of the layout that this release writes.
pub const MANIFEST_VERSION: u32 = 1;
/// Most bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most renditions of a revision.
pub const RENDITIONS_MAX: usize = 32;
/// Most segments of a rendition.
pub const SEGMENTS_MAX: usize = 4096;

/// One published revision of an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Layout version, [`MANIFEST_VERSION`].
    pub version: u32,
    /// Revision of the asset, from 1; a higher one replaces a lower one.
    pub revision: u32,
    /// Length of the picture in milliseconds, rounded to nearest.
    pub duration_ms: u64,
    /// Frames of the mezzanine; every full-rate video rendition has exactly as many.
    pub frame_count: u64,
    /// Frame rate of the mezzanine.
    pub frame_rate: FrameRate,
    /// Width of the mezzanine in pixels.
    pub width: u32,
    /// Height of the mezzanine in pixels.
    pub height: u32,
    /// The renditions, video first, best default first.
    pub renditions: Vec<Rendition>,
    /// A JPEG still.
    pub poster: Option<BlobHash>,
}

/// A frame rate as a fraction, frames per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Numerator; also the timescale of the video tracks.
    pub num: u32,
    /// Denominator; also the duration of one frame in that timescale.
    pub den: u32,
}

/// Name of a rendition in paths: `c360` (H.264), `v360` (AV1), `a-hi` (audio).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RenditionId(String);

/// One encoding of one track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rendition {
    /// Its name.
    pub id: RenditionId,
    /// Entry of the `CODECS` attribute (RFC 6381), computed from the bitstream.
    pub codec: String,
    /// What kind of track it is.
    pub track: Track,
    /// Measured peak, bits per second, as `BANDWIDTH` defines it (RFC 8216 section 4.3.4.2).
    pub bandwidth: u64,
    /// Measured average, bits per second.
    pub average_bandwidth: u64,
    /// The CMAF header.
    pub init: BlobHash,
    /// The media segments in order.
    pub segments: Vec<Segment>,
    /// Ticks per second of the durations.
    pub timescale: u32,
    /// Longest segment, rounded to whole seconds.
    pub target_duration_s: u32,
}

/// The kind of a rendition's track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Track {
    /// A picture.
    #[serde(rename_all = "camelCase")]
    Video {
        /// Codec family.
        family: VideoFamily,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Frame rate.
        frame_rate: FrameRate,
    },
    /// A sound.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// Channels.
        channels: u16,
        /// Samples per second.
        sample_rate: u32,
    },
}

/// Codec family of a video rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VideoFamily {
    /// H.264.
    Avc,
    /// AV1.
    Av1,
}

/// One media segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// The blob.
    pub hash: BlobHash,
    /// Its length.
    pub bytes: u64,
    /// Its length in time, in ticks of the rendition.
    pub duration_ticks: u64,
}

impl Manifest {
    /// Parses and checks a manifest blob.
    ///
    /// # Errors
    /// [`MediaError::Manifest`] when it is too large, does not parse, has another version, or
    /// breaks a rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, MediaError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(broken("longer than its bound"));
        }
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| MediaError::Manifest(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Writes the blob, checking the same rules as [`Manifest::parse`].
    ///
    /// # Errors
    /// [`MediaError::Manifest`] when a rule is broken.
    pub fn to_bytes(&self) -> Result<Vec<u8>, MediaError> {
        self.check()?;
        let bytes =
            serde_json::to_vec(self).map_err(|error| MediaError::Manifest(error.to_string()))?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(broken("longer than its bound"));
        }
        Ok(bytes)
    }

    /// Every blob that the revision needs, the manifest itself not included.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> + '_ {
        self.renditions
            .iter()
            .flat_map(|rendition| {
                std::iter::once(rendition.init)
                    .chain(rendition.segments.iter().map(|segment| segment.hash))
            })
            .chain(self.poster)
    }

    /// The rendition of that name.
    #[must_use]
    pub fn rendition(&self, id: &RenditionId) -> Option<&Rendition> {
        self.renditions.iter().find(|rendition| rendition.id == *id)
    }

    /// The sound, if there is one.
    #[must_use]
    pub fn audio(&self) -> Option<&Rendition> {
        self.renditions.iter().find(|rendition| matches!(rendition.track, Track::Audio { .. }))
    }

    fn check(&self) -> Result<(), MediaError> {
        if self.version != MANIFEST_VERSION {
            return Err(broken("another layout version"));
        }
        if self.revision == 0 || self.frame_count == 0 || self.duration_ms == 0 {
            return Err(broken("an empty revision"));
        }
        self.frame_rate.check()?;
        if !(2..=16_384).contains(&self.width) || !(2..=16_384).contains(&self.height) {
            return Err(broken("impossible dimensions"));
        }
        if self.renditions.is_empty() || self.renditions.len() > RENDITIONS_MAX {
            return Err(broken("too few or too many renditions"));
        }
        let mut names: Vec<_> = self.renditions.iter().map(|rendition| &rendition.id).collect();
        names.sort();
        names.dedup();
        if names.len() != self.renditions.len() {
            return Err(broken("two renditions of one name"));
        }
        self.renditions.iter().try_for_each(|rendition| rendition.check(self))
    }
}

impl Rendition {
    /// Sum of the segments' durations in ticks.
    #[must_use]
    pub fn duration_ticks(&self) -> u64 {
        self.segments.iter().map(|segment| segment.duration_ticks).sum()
    }

    /// The codec family, for a video rendition.
    #[must_use]
    pub const fn family(&self) -> Option<VideoFamily> {
        match self.track {
            Track::Video { family, .. } => Some(family),
            Track::Audio { .. } => None,
        }
    }

    /// The shorter side of the picture, which tokens cap; zero for sound.
    #[must_use]
    pub fn short_side(&self) -> u32 {
        match self.track {
            Track::Video { width, height, .. } => width.min(height),
            Track::Audio { .. } => 0,
        }
    }

    fn check(&self, manifest: &Manifest) -> Result<(), MediaError> {
        let codec_is_plain =
            self.codec.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if self.codec.is_empty() || self.codec.len() > 64 || !codec_is_plain {
            return Err(broken("a codec string that is not one"));
        }
        if self.timescale == 0 || self.target_duration_s == 0 || self.target_duration_s > 60 {
            return Err(broken("an impossible timescale"));
        }
        if self.segments.is_empty() || self.segments.len() > SEGMENTS_MAX {
            return Err(broken("too few or too many segments"));
        }
        let longest = u64::from(self.timescale).saturating_mul(120);
        let sane = |segment: &Segment| {
            segment.bytes > 0
                && u32::try_from(segment.bytes).is_ok()
                && (1..=longest).contains(&segment.duration_ticks)
        };
        if !self.segments.iter().all(sane) {
            return Err(broken("a segment without length"));
        }
        if let Track::Video { frame_rate, .. } = self.track {
            frame_rate.check()?;
            let ticks = u128::from(manifest.frame_count) * u128::from(manifest.frame_rate.den);
            let exact = u128::from(self.duration_ticks()) * u128::from(manifest.frame_rate.num)
                == ticks * u128::from(self.timescale);
            if !exact {
                return Err(broken("a video rendition of another length than the picture"));
            }
        }
        Ok(())
    }
}

impl FrameRate {
    fn check(self) -> Result<(), MediaError> {
        let frames_fit = self.den > 0
            && self.num >= self.den
            && u64::from(self.num) <= u64::from(self.den).saturating_mul(240);
        if frames_fit { Ok(()) } else { Err(broken("an impossible frame rate")) }
    }

    /// Frames in a closed group of pictures of two seconds, rounded to nearest.
    #[must_use]
    pub fn frames_per_gop(self) -> u64 {
        let den = u64::from(self.den.max(1));
        (u64::from(self.num) * 2 + den / 2) / den
    }

    /// Length of `frames` in milliseconds, rounded to nearest.
    #[must_use]
    pub fn millis_of(self, frames: u64) -> u64 {
        let num = u128::from(self.num.max(1));
        let millis = (u128::from(frames) * u128::from(self.den) * 1000 + num / 2) / num;
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    /// Three decimals, as `FRAME-RATE` wants them.
    #[must_use]
    pub fn to_decimal(self) -> String {
        let den = u64::from(self.den.max(1));
        let milli = (u64::from(self.num) * 1000 + den / 2) / den;
        format!("{}.{:03}", milli / 1000, milli % 1000)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

impl RenditionId {
    /// Names a rendition: 1 to 16 of `a-z 0-9 -`, and not `master` or `poster`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let valid = (1..=16).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && name != "master"
            && name != "poster";
        valid.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RenditionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RenditionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| serde::de::Error::custom("not a rendition's name"))
    }
}

/// Peak and average bit rate of segments, bits per second.
///
/// The peak is the highest rate of any run of consecutive segments whose length is between half and
/// one and a half target durations (RFC 8216 section 4.1); a single segment counts when nothing
/// else does.
#[must_use]
pub fn measure_bandwidth(segments: &[Segment], timescale: u32) -> (u64, u64) {
    let scale = u128::from(timescale.max(1));
    let rate = |bytes: u128, ticks: u128| -> u64 {
        let bits = (bytes * 8 * scale).div_ceil(ticks.max(1));
        u64::try_from(bits).unwrap_or(u64::MAX)
    };
    let total_bytes: u128 = segments.iter().map(|segment| u128::from(segment.bytes)).sum();
    let total_ticks: u128 = segments.iter().map(|segment| u128::from(segment.duration_ticks)).sum();
    let average = rate(total_bytes, total_ticks);
    let target = u128::from(target_duration(segments, timescale)) * scale;
    let mut peak = 0;
    for start in 0..segments.len() {
        let (mut bytes, mut ticks) = (0_u128, 0_u128);
        for segment in &segments[start..] {
            bytes += u128::from(segment.bytes);
            ticks += u128::from(segment.duration_ticks);
            if ticks * 2 > target * 3 {
                break;
            }
            if ticks * 2 >= target {
                peak = peak.max(rate(bytes, ticks));
            }
        }
    }
    (peak.max(average), average)
}

/// `EXT-X-TARGETDURATION`: the longest segment, rounded to the nearest second, at least one.
#[must_use]
pub fn target_duration(segments: &[Segment], timescale: u32) -> u32 {
    let scale = u64::from(timescale.max(1));
    let longest = segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
    u32::try_from((longest + scale / 2) / scale).unwrap_or(u32::MAX).max(1)
}

fn broken(what: &str) -> MediaError {
    MediaError::Manifest(what.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Manifest {
        let rate = FrameRate { num: 30_000, den: 1001 };
        let segment = |seed: u8, bytes, duration_ticks| Segment {
            hash: BlobHash::of(&[seed]),
            bytes,
            duration_ticks,
        };
        let video = |id: &str, family, codec: &str, seed: u8| Rendition {
            id: RenditionId::new(id).unwrap(),
            codec: codec.to_owned(),
            track: Track::Video { family, width: 640, height: 360, frame_rate: rate },
            bandwidth: 520_000,
            average_bandwidth: 400_000,
            init: BlobHash::of(&[seed]),
            segments: vec![
                segment(seed + 1, 100_000, 60 * 1001),
                segment(seed + 2, 50_000, 30 * 1001),
            ],
            timescale: 30_000,
            target_duration_s: 2,
        };
        Manifest {
            version: MANIFEST_VERSION,
            revision: 2,
            duration_ms: 3003,
            frame_count: 90,
            frame_rate: rate,
            width: 1280,
            height: 720,
            renditions: vec![
                video("c360", VideoFamily::Avc, "avc1.64001e", 10),
                video("v360", VideoFamily::Av1, "av01.0.01M.08", 20),
                Rendition {
                    id: RenditionId::new("a-hi").unwrap(),
                    codec: "mp4a.40.2".to_owned(),
                    track: Track::Audio { channels: 2, sample_rate: 48_000 },
                    bandwidth: 130_000,
                    average_bandwidth: 128_000,
                    init: BlobHash::of(&[30]),
                    segments: vec![segment(31, 32_000, 96_256), segment(32, 16_000, 48_128)],
                    timescale: 48_000,
                    target_duration_s: 2,
                },
            ],
            poster: Some(BlobHash::of(b"poster")),
        }
    }

    #[test]
    fn manifest_round_trips() {
        let manifest = sample();
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        assert_eq!(manifest.blobs().count(), 10);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\"averageBandwidth\":400000"), "{text}");
        assert!(text.contains("\"kind\":\"video\""), "{text}");
    }

    #[test]
    fn every_broken_rule_is_refused() {
        let broken: [fn(&mut Manifest); 9] = [
            |m| m.version = 2,
            |m| m.revision = 0,
            |m| m.frame_rate.den = 0,
            |m| m.frame_count = 91,
            |m| m.renditions.clear(),
            |m| m.renditions[1].id = m.renditions[0].id.clone(),
            |m| m.renditions[0].codec = "avc1\",X=\"".to_owned(),
            |m| m.renditions[0].segments.clear(),
            |m| m.renditions[2].segments[0].duration_ticks = 0,
        ];
        for (index, breaks) in broken.iter().enumerate() {
            let mut manifest = sample();
            breaks(&mut manifest);
            let bytes = serde_json::to_vec(&manifest).unwrap();
            assert!(Manifest::parse(&bytes).is_err(), "rule {index} is not checked");
        }
        assert!(Manifest::parse(&vec![b' '; MANIFEST_BYTES_MAX + 1]).is_err());
        assert!(Manifest::parse(b"{}").is_err());
    }

    #[test]
    fn rendition_names_are_safe_in_paths() {
        for bad in ["", "..", "a/b", "C360", "master", "poster", "seventeen-letters"] {
            assert!(RenditionId::new(bad).is_none(), "{bad}");
        }
        assert!(RenditionId::new("a-hi").is_some());
    }

    #[test]
    fn short_last_segment_does_not_set_the_peak() {
        let segment =
            |bytes, duration_ticks| Segment { hash: BlobHash::of(b"x"), bytes, duration_ticks };
        let (peak, average) = measure_bandwidth(
            &[segment(250_000, 60), segment(250_000, 60), segment(60_000, 1)],
            30,
        );
        // The run of the last two lasts 61 ticks; the last alone would be 14 Mb/s.
        assert_eq!(peak, (310_000_u64 * 8 * 30).div_ceil(61));
        assert_eq!(average, (560_000_u64 * 8 * 30).div_ceil(121));
    }

    #[test]
    fn ntsc_groups_have_sixty_frames() {
        let rate = FrameRate { num: 30_000, den: 1001 };
        assert_eq!(rate.frames_per_gop(), 60);
        assert_eq!(rate.to_decimal(), "29.970");
        assert_eq!(rate.millis_of(90), 3003);
    }
}
