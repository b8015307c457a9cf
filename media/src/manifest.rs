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
/// Most pictures of an I-frame stream.
pub const I_FRAMES_MAX: usize = 8192;
/// Most languages of captions.
pub const CAPTIONS_MAX: usize = 16;
/// Most sheets of a storyboard.
pub const SHEETS_MAX: usize = 10;
/// Most rows and columns of a sheet.
pub const SHEET_SIDE_MAX: u32 = 10;
/// Most I-frame streams of a revision.
pub const I_FRAME_STREAMS_MAX: usize = 4;
/// Farthest that a boundary of the sound is from the picture's: one AAC frame, in samples.
const SOUND_SLACK: u128 = 1024;

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
    /// Frames of the mezzanine; a video rendition has every one of them, or every second, third.
    pub frame_count: u64,
    /// Frame rate of the mezzanine.
    pub frame_rate: FrameRate,
    /// Width of the mezzanine in pixels.
    pub width: u32,
    /// Height of the mezzanine in pixels.
    pub height: u32,
    /// Longest segment of all renditions, rounded to whole seconds.
    pub target_duration_s: u32,
    /// The renditions, video first, best default first.
    pub renditions: Vec<Rendition>,
    /// Key frames alone, for players that show pictures while a viewer seeks; tallest first.
    pub i_frames: Vec<IFrameStream>,
    /// A still.
    pub poster: Option<Poster>,
    /// Small pictures of the whole length.
    pub storyboard: Option<Storyboard>,
    /// Captions, by language.
    pub captions: Vec<CaptionTrack>,
}

/// Captions in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptionTrack {
    /// Which language.
    pub language: Language,
    /// What a viewer chooses it by: 1 to 40 characters without quotes and control characters.
    pub label: String,
    /// Whether it tells sounds as well as speech, for who cannot hear.
    pub describes_sounds: bool,
    /// One WebVTT segment that spans everything, as `webvtt` writes it.
    pub file: BlobHash,
}

/// A language tag of the common kind (RFC 5646): language, then script and region if need be, all
/// in lower case: `en`, `pt-br`, `zh-hant-tw`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Language(String);

/// One still in two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Poster {
    /// As JPEG, which everything shows.
    pub jpeg: BlobHash,
    /// As AVIF, which is smaller.
    pub avif: BlobHash,
}

/// Small pictures at even distances, side by side on JPEG sheets, left to right, top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storyboard {
    /// The sheets in order; the last may have empty places at its end.
    pub sheets: Vec<BlobHash>,
    /// Pictures side by side on a sheet.
    pub columns: u32,
    /// Rows of a sheet.
    pub rows: u32,
    /// Width of one picture in pixels.
    pub width: u32,
    /// Height of one picture in pixels.
    pub height: u32,
    /// Pictures in all.
    pub pictures: u32,
    /// Frames of the mezzanine from one picture to the next.
    pub frames_apart: u64,
}

/// A frame rate as a fraction, frames per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Numerator; also the timescale of the video tracks.
    pub num: u32,
    /// Denominator; also the duration of one frame in that timescale.
    pub den: u32,
}

/// Name of a rendition in paths: `c360` (H.264), `v360` (AV1), `a-hi` (audio), `i360` (I-frames).
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
}

/// The I-frames of one size in one file, each a byte range of it (RFC 8216 section 4.3.3.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IFrameStream {
    /// Its name.
    pub id: RenditionId,
    /// Entry of the `CODECS` attribute (RFC 6381), computed from the bitstream.
    pub codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Measured peak, bits per second.
    pub bandwidth: u64,
    /// Measured average, bits per second.
    pub average_bandwidth: u64,
    /// The CMAF header.
    pub init: BlobHash,
    /// The file; the pictures follow each other without gaps.
    pub file: BlobHash,
    /// The pictures in order.
    pub frames: Vec<IFrame>,
    /// Ticks per second of the durations.
    pub timescale: u32,
}

/// One picture of an I-frame stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IFrame {
    /// Length of its segment in bytes.
    pub bytes: u64,
    /// Ticks until the next picture or the end.
    pub duration_ticks: u64,
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
            .chain(self.i_frames.iter().flat_map(|stream| [stream.init, stream.file]))
            .chain(self.poster.iter().flat_map(|poster| [poster.jpeg, poster.avif]))
            .chain(self.captions.iter().map(|track| track.file))
            .chain(self.storyboard.iter().flat_map(|storyboard| storyboard.sheets.iter().copied()))
    }

    /// The rendition of that name.
    #[must_use]
    pub fn rendition(&self, id: &RenditionId) -> Option<&Rendition> {
        self.renditions.iter().find(|rendition| rendition.id == *id)
    }

    /// The I-frame stream of that name.
    #[must_use]
    pub fn i_frame_stream(&self, id: &RenditionId) -> Option<&IFrameStream> {
        self.i_frames.iter().find(|stream| stream.id == *id)
    }

    /// The captions of that name.
    #[must_use]
    pub fn caption_track(&self, id: &RenditionId) -> Option<&CaptionTrack> {
        self.captions.iter().find(|track| track.is_named(id))
    }

    /// The same clip with other captions, as a revision of its own: nothing is encoded for it.
    ///
    /// # Errors
    /// [`MediaError::Manifest`] when a rule is broken: two tracks of one language, a bad label.
    pub fn with_captions(
        &self,
        revision: u32,
        captions: Vec<CaptionTrack>,
    ) -> Result<Self, MediaError> {
        let manifest = Self { revision, captions, ..self.clone() };
        manifest.check()?;
        Ok(manifest)
    }

    /// The shorter side of the picture that a name stands for, which tokens cap; zero for sound and
    /// for what does not exist.
    #[must_use]
    pub fn short_side(&self, id: &RenditionId) -> u32 {
        let still = |stream: &IFrameStream| stream.width.min(stream.height);
        let video = self.rendition(id).map(Rendition::short_side);
        video.or_else(|| self.i_frame_stream(id).map(still)).unwrap_or(0)
    }

    /// The video renditions.
    pub fn videos(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions.iter().filter(|rendition| rendition.family().is_some())
    }

    /// The sounds, which are encodings of one.
    pub fn sounds(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions.iter().filter(|rendition| rendition.family().is_none())
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
        if self.i_frames.len() > I_FRAME_STREAMS_MAX {
            return Err(broken("too many I-frame streams"));
        }
        if self.target_duration_s == 0 || self.target_duration_s > 60 {
            return Err(broken("an impossible target duration"));
        }
        let renditions = self.renditions.iter().map(|rendition| &rendition.id);
        let mut names: Vec<_> = renditions.chain(self.i_frames.iter().map(|s| &s.id)).collect();
        names.sort();
        names.dedup();
        if names.len() != self.renditions.len() + self.i_frames.len() {
            return Err(broken("two renditions of one name"));
        }
        self.renditions.iter().try_for_each(|rendition| rendition.check(self))?;
        self.i_frames.iter().try_for_each(|stream| stream.check(self))?;
        self.storyboard.as_ref().map_or(Ok(()), |storyboard| storyboard.check(self))?;
        self.check_captions()?;
        self.check_aligned()
    }

    fn check_captions(&self) -> Result<(), MediaError> {
        if self.captions.len() > CAPTIONS_MAX {
            return Err(broken("captions in too many languages"));
        }
        let distinct = |of: fn(&CaptionTrack) -> &str| {
            let mut all: Vec<&str> = self.captions.iter().map(of).collect();
            all.sort_unstable();
            all.dedup();
            all.len() == self.captions.len()
        };
        // Names must differ within a group of renditions (RFC 8216 section 4.3.4.1.1).
        if !distinct(|track| track.language.as_str()) || !distinct(|track| &track.label) {
            return Err(broken("two captions of one language or label"));
        }
        let is_label = |label: &str| {
            (1..=40).contains(&label.chars().count())
                && !label.chars().any(|c| c == '"' || c.is_control())
        };
        if self.captions.iter().all(|track| is_label(&track.label)) {
            Ok(())
        } else {
            Err(broken("a label of captions that cannot be written"))
        }
    }

    /// Players switch where segments start, so all must start at the same times: pictures exactly,
    /// sounds within one of their frames.
    fn check_aligned(&self) -> Result<(), MediaError> {
        let Some(first) = self.videos().next() else {
            return Err(broken("no picture"));
        };
        let durations = |rendition: &Rendition| -> Vec<u64> {
            rendition.segments.iter().map(|segment| segment.duration_ticks).collect()
        };
        let wanted = durations(first);
        if self.videos().any(|video| durations(video) != wanted) {
            return Err(broken("video renditions with other boundaries"));
        }
        let ends_meet = |sound: &Rendition| {
            let (scale, picture_scale) = (u128::from(sound.timescale), u128::from(first.timescale));
            let (mut end, mut picture_end) = (0_u128, 0_u128);
            sound.segments.iter().zip(&wanted).all(|(segment, picture)| {
                end += u128::from(segment.duration_ticks);
                picture_end += u128::from(*picture);
                let apart = (end * picture_scale).abs_diff(picture_end * scale);
                apart <= SOUND_SLACK * picture_scale + scale
            })
        };
        // A last picture group shorter than an AAC frame has no sound of its own.
        let is_whole = |sound: &Rendition| {
            sound.segments.len() == wanted.len() || sound.segments.len() + 1 == wanted.len()
        };
        if self.sounds().all(|sound| is_whole(sound) && ends_meet(sound)) {
            Ok(())
        } else {
            Err(broken("a sound with other boundaries than the picture"))
        }
    }

    /// Whether a track with that clock lasts exactly as long as the picture.
    fn lasts(&self, ticks: u64, timescale: u32) -> bool {
        let whole = u128::from(self.frame_count) * u128::from(self.frame_rate.den);
        u128::from(ticks) * u128::from(self.frame_rate.num) == whole * u128::from(timescale)
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
        check_codec(&self.codec)?;
        if self.timescale == 0 {
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
        if target_duration(&self.segments, self.timescale) > manifest.target_duration_s {
            return Err(broken("a segment longer than the target duration"));
        }
        if let Track::Video { frame_rate, .. } = self.track {
            frame_rate.check()?;
            if manifest.frame_rate.step_to(frame_rate).is_none() {
                return Err(broken("a frame rate that is no whole part of the mezzanine's"));
            }
            if self.timescale != manifest.frame_rate.num {
                return Err(broken("a video rendition with another clock than the picture"));
            }
            if !manifest.lasts(self.duration_ticks(), self.timescale) {
                return Err(broken("a video rendition of another length than the picture"));
            }
        }
        Ok(())
    }
}

impl IFrameStream {
    /// Where each picture is in the file: first byte, length, ticks until the next.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, IFrame)> + '_ {
        self.frames.iter().scan(0_u64, |start, frame| {
            let at = *start;
            *start = start.saturating_add(frame.bytes);
            Some((at, *frame))
        })
    }

    fn check(&self, manifest: &Manifest) -> Result<(), MediaError> {
        check_codec(&self.codec)?;
        if self.timescale == 0 || self.width < 2 || self.height < 2 {
            return Err(broken("an impossible I-frame stream"));
        }
        if self.frames.is_empty() || self.frames.len() > I_FRAMES_MAX {
            return Err(broken("too few or too many I-frames"));
        }
        let longest =
            u64::from(manifest.target_duration_s).saturating_mul(u64::from(self.timescale));
        let sane = |frame: &IFrame| {
            u32::try_from(frame.bytes).is_ok_and(|bytes| bytes > 0)
                && (1..=longest).contains(&frame.duration_ticks)
        };
        let ticks = self.frames.iter().map(|frame| frame.duration_ticks).sum();
        if !self.frames.iter().all(sane) || !manifest.lasts(ticks, self.timescale) {
            return Err(broken("I-frames that do not last as long as the picture"));
        }
        Ok(())
    }
}

impl CaptionTrack {
    /// Its name in paths: `captions-` and the language.
    #[must_use]
    pub fn id(&self) -> RenditionId {
        RenditionId(format!("captions-{}", self.language))
    }

    fn is_named(&self, id: &RenditionId) -> bool {
        id.as_str().strip_prefix("captions-") == Some(self.language.as_str())
    }
}

impl Language {
    /// Reads a tag; `None` when it is not of the common kind.
    #[must_use]
    pub fn new(tag: &str) -> Option<Self> {
        let mut parts = tag.split('-').peekable();
        let letters = |part: &str, lengths: &[usize]| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
        };
        let is_region = |part: &str| {
            letters(part, &[2])
                || (part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        parts.next().filter(|part| letters(part, &[2, 3]))?;
        parts.next_if(|part| letters(part, &[4]));
        parts.next_if(|part| is_region(part));
        parts.next().is_none().then(|| Self(tag.to_ascii_lowercase()))
    }

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tag = String::deserialize(deserializer)?;
        // Lower case alone is what `new` writes.
        Self::new(&tag)
            .filter(|language| language.as_str() == tag)
            .ok_or_else(|| serde::de::Error::custom("not a language tag of the common kind"))
    }
}

impl Storyboard {
    fn check(&self, manifest: &Manifest) -> Result<(), MediaError> {
        let sides = 1..=SHEET_SIDE_MAX;
        if !sides.contains(&self.columns) || !sides.contains(&self.rows) {
            return Err(broken("a storyboard without a grid"));
        }
        if !(2..=512).contains(&self.width) || !(2..=512).contains(&self.height) {
            return Err(broken("a storyboard of impossible pictures"));
        }
        let per_sheet = self.columns * self.rows;
        let sheets = usize::try_from(self.pictures.div_ceil(per_sheet)).unwrap_or(usize::MAX);
        if sheets == 0 || sheets > SHEETS_MAX || self.sheets.len() != sheets {
            return Err(broken("a storyboard with too few or too many sheets"));
        }
        let wanted = manifest.frame_count.div_ceil(self.frames_apart.max(1));
        if self.frames_apart == 0 || u64::from(self.pictures) != wanted {
            return Err(broken("a storyboard that does not span the picture"));
        }
        Ok(())
    }
}

fn check_codec(codec: &str) -> Result<(), MediaError> {
    let is_plain = codec.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    if codec.is_empty() || codec.len() > 64 || !is_plain {
        return Err(broken("a codec string that is not one"));
    }
    Ok(())
}

impl FrameRate {
    fn check(self) -> Result<(), MediaError> {
        let frames_fit = self.den > 0 && self.num >= self.den && !self.is_above(240);
        if frames_fit { Ok(()) } else { Err(broken("an impossible frame rate")) }
    }

    /// The rate of every `step`-th frame; the clock, which is the numerator, stays the same.
    #[must_use]
    pub const fn every(self, step: u32) -> Self {
        Self { num: self.num, den: self.den.saturating_mul(step) }
    }

    /// Every how many frames one must be taken to get the other rate, when that is a whole number
    /// and divides a group of pictures.
    #[must_use]
    pub fn step_to(self, other: Self) -> Option<u32> {
        let step = other.den.checked_div(self.den)?;
        let divides = step > 0 && self.frames_per_gop().is_multiple_of(u64::from(step));
        (divides && self.every(step) == other).then_some(step)
    }

    /// Whether there are more than so many frames per second.
    #[must_use]
    pub fn is_above(self, fps: u32) -> bool {
        u64::from(self.num) > u64::from(self.den).saturating_mul(u64::from(fps))
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
    /// Names a rendition: 1 to 24 of `a-z 0-9 -`, and not what the asset's own files are called.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let valid = (1..=24).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !["master", "poster", "storyboard"].contains(&name);
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
    let spans: Vec<_> = segments.iter().map(|s| (s.bytes, s.duration_ticks)).collect();
    measure(&spans, timescale, target_duration(segments, timescale))
}

/// The same of I-frames, in a playlist with that target duration.
#[must_use]
pub fn measure_i_frames(frames: &[IFrame], timescale: u32, target_duration_s: u32) -> (u64, u64) {
    let spans: Vec<_> = frames.iter().map(|frame| (frame.bytes, frame.duration_ticks)).collect();
    measure(&spans, timescale, target_duration_s)
}

/// `spans` are bytes and ticks.
fn measure(spans: &[(u64, u64)], timescale: u32, target_duration_s: u32) -> (u64, u64) {
    let scale = u128::from(timescale.max(1));
    let rate = |bytes: u128, ticks: u128| -> u64 {
        let bits = (bytes * 8 * scale).div_ceil(ticks.max(1));
        u64::try_from(bits).unwrap_or(u64::MAX)
    };
    let total_bytes: u128 = spans.iter().map(|(bytes, _)| u128::from(*bytes)).sum();
    let total_ticks: u128 = spans.iter().map(|(_, ticks)| u128::from(*ticks)).sum();
    let average = rate(total_bytes, total_ticks);
    let target = u128::from(target_duration_s) * scale;
    let mut peak = 0;
    for start in 0..spans.len() {
        let (mut bytes, mut ticks) = (0_u128, 0_u128);
        for (span_bytes, span_ticks) in &spans[start..] {
            bytes += u128::from(*span_bytes);
            ticks += u128::from(*span_ticks);
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
        let sound = |id: &str, bits: u64, seed: u8| Rendition {
            id: RenditionId::new(id).unwrap(),
            codec: "mp4a.40.2".to_owned(),
            track: Track::Audio { channels: 2, sample_rate: 48_000 },
            bandwidth: bits + 2_000,
            average_bandwidth: bits,
            init: BlobHash::of(&[seed]),
            segments: vec![
                segment(seed + 1, bits / 4, 96_256),
                segment(seed + 2, bits / 8, 48_128),
            ],
            timescale: 48_000,
        };
        let video =
            |id: &str, family, codec: &str, (side, step, bits): (u32, u32, u64), seed| Rendition {
                id: RenditionId::new(id).unwrap(),
                codec: codec.to_owned(),
                track: Track::Video {
                    family,
                    width: side * 16 / 9,
                    height: side,
                    frame_rate: rate.every(step),
                },
                bandwidth: bits * 13 / 10,
                average_bandwidth: bits,
                init: BlobHash::of(&[seed]),
                segments: vec![
                    segment(seed + 1, 100_000, 60 * 1001),
                    segment(seed + 2, 50_000, 30 * 1001),
                ],
                timescale: 30_000,
            };
        Manifest {
            version: MANIFEST_VERSION,
            revision: 2,
            duration_ms: 3003,
            frame_count: 90,
            frame_rate: rate,
            width: 1280,
            height: 720,
            target_duration_s: 2,
            renditions: vec![
                video("c360", VideoFamily::Avc, "avc1.64001e", (360, 1, 400_000), 10),
                video("c234", VideoFamily::Avc, "avc1.42c00d", (234, 2, 90_000), 60),
                video("v360", VideoFamily::Av1, "av01.0.01M.08", (360, 1, 300_000), 20),
                sound("a-hi", 128_000, 30),
                sound("a-lo", 64_000, 40),
            ],
            i_frames: vec![IFrameStream {
                id: RenditionId::new("i234").unwrap(),
                codec: "avc1.64000d".to_owned(),
                width: 416,
                height: 234,
                bandwidth: 40_000,
                average_bandwidth: 32_000,
                init: BlobHash::of(&[50]),
                file: BlobHash::of(&[51]),
                frames: [5_000, 4_000, 3_000]
                    .map(|bytes| IFrame { bytes, duration_ticks: 30 * 1001 })
                    .to_vec(),
                timescale: 30_000,
            }],
            poster: Some(Poster {
                jpeg: BlobHash::of(b"poster"),
                avif: BlobHash::of(b"smaller poster"),
            }),
            storyboard: Some(Storyboard {
                sheets: vec![BlobHash::of(b"sheet 0"), BlobHash::of(b"sheet 1")],
                columns: 2,
                rows: 1,
                width: 160,
                height: 90,
                pictures: 3,
                frames_apart: 30,
            }),
            captions: vec![CaptionTrack {
                language: Language::new("pt-BR").unwrap(),
                label: "Português".to_owned(),
                describes_sounds: true,
                file: BlobHash::of(b"captions"),
            }],
        }
    }

    #[test]
    fn manifest_round_trips() {
        let manifest = sample();
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        assert_eq!(manifest.blobs().count(), 22);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\"averageBandwidth\":400000"), "{text}");
        assert!(text.contains("\"kind\":\"video\""), "{text}");
    }

    fn set_rate(rendition: &mut Rendition, rate: FrameRate) {
        let Track::Video { frame_rate, .. } = &mut rendition.track else { panic!("no video") };
        *frame_rate = rate;
    }

    #[test]
    fn slower_rates_are_whole_parts_of_the_mezzanines() {
        let rate = FrameRate { num: 30_000, den: 1001 };
        assert_eq!(rate.step_to(rate), Some(1));
        assert_eq!(rate.step_to(rate.every(2)), Some(2));
        assert_eq!(rate.step_to(rate.every(30)), Some(30));
        // Sixty frames of a group do not come apart by seven.
        assert_eq!(rate.step_to(rate.every(7)), None);
        assert_eq!(rate.step_to(FrameRate { num: 15, den: 1 }), None);
        assert_eq!(rate.every(2).step_to(rate), None);
        assert!(!rate.is_above(30) && rate.is_above(29));
    }

    #[test]
    fn every_broken_rule_is_refused() {
        let broken: [fn(&mut Manifest); 29] = [
            |m| m.version = 2,
            |m| m.revision = 0,
            |m| m.frame_rate.den = 0,
            |m| m.frame_count = 91,
            |m| m.renditions.clear(),
            |m| m.renditions[1].id = m.renditions[0].id.clone(),
            |m| m.renditions[0].codec = "avc1\",X=\"".to_owned(),
            |m| m.renditions[0].segments.clear(),
            |m| m.renditions[3].segments[0].duration_ticks = 0,
            |m| m.target_duration_s = 0,
            |m| m.target_duration_s = 1,
            |m| m.renditions[0].timescale = 60_000,
            |m| set_rate(&mut m.renditions[1], FrameRate { num: 15, den: 1 }),
            |m| set_rate(&mut m.renditions[1], FrameRate { num: 30_000, den: 7 * 1001 }),
            |m| {
                // As long in all, but cut elsewhere.
                m.renditions[1].segments[0].duration_ticks -= 1001;
                m.renditions[1].segments[1].duration_ticks += 1001;
            },
            |m| {
                m.renditions[4].segments[0].duration_ticks -= 3 * 1024;
                m.renditions[4].segments[1].duration_ticks += 3 * 1024;
            },
            |m| m.renditions.retain(|rendition| rendition.family().is_none()),
            |m| m.i_frames[0].id = m.renditions[0].id.clone(),
            |m| m.i_frames[0].frames.truncate(2),
            |m| m.i_frames[0].frames[0].bytes = 0,
            |m| m.i_frames[0].codec = String::new(),
            |m| m.storyboard.as_mut().unwrap().columns = 0,
            |m| m.storyboard.as_mut().unwrap().frames_apart = 0,
            |m| m.storyboard.as_mut().unwrap().frames_apart = 45,
            |m| m.storyboard.as_mut().unwrap().sheets.truncate(1),
            |m| m.storyboard.as_mut().unwrap().width = 1024,
            |m| m.captions[0].label = "a\",URI=\"x".to_owned(),
            |m| m.captions[0].label.clear(),
            |m| m.captions.push(m.captions[0].clone()),
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
    fn captions_come_with_a_new_revision() {
        let manifest = sample();
        let none = manifest.with_captions(3, Vec::new()).unwrap();
        assert_eq!((none.revision, none.captions.len()), (3, 0));
        assert_eq!(none.renditions, manifest.renditions);
        let twice = vec![manifest.captions[0].clone(); 2];
        assert!(manifest.with_captions(3, twice).is_err());
        let mut other = manifest.captions[0].clone();
        other.language = Language::new("en").unwrap();
        let same_label = vec![manifest.captions[0].clone(), other];
        assert!(manifest.with_captions(3, same_label).is_err());
    }

    #[test]
    fn languages_are_tags_of_the_common_kind() {
        let tag = |text: &str| Language::new(text).map(|language| language.to_string());
        assert_eq!(tag("en"), Some("en".to_owned()));
        assert_eq!(tag("gsw"), Some("gsw".to_owned()));
        assert_eq!(tag("zh-Hant-TW"), Some("zh-hant-tw".to_owned()));
        assert_eq!(tag("es-419"), Some("es-419".to_owned()));
        for bad in ["", "e", "english", "en-", "en-us-x", "en_US", "en-\"", "x-private", "é"] {
            assert_eq!(tag(bad), None, "{bad}");
        }
        let longest = Language::new("gsw-latn-419").unwrap();
        let track = CaptionTrack { language: longest, ..sample().captions[0].clone() };
        assert_eq!(RenditionId::new(track.id().as_str()), Some(track.id()));
    }

    #[test]
    fn rendition_names_are_safe_in_paths() {
        for bad in
            ["", "..", "a/b", "C360", "master", "storyboard", "a-name-of-more-than-24-letters"]
        {
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
