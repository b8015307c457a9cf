//! The manifest: one immutable blob that says what a revision of an asset consists of.
//!
//! Everything else is found from it by hash. It must not name files, tokens or people. A reader
//! takes nothing on trust: [`Manifest::parse`] bounds the size and checks every rule that the
//! playlists rely on. Read next: `playlist`, which renders it, and `path`, which looks names up.

mod bandwidth;
mod name;
mod rate;
#[cfg(test)]
pub(crate) mod tests;

use fairground_types::BlobHash;
use serde::{Deserialize, Serialize};

use crate::error::MediaError;

pub use bandwidth::{measure_bandwidth, measure_i_frames, target_duration};
pub use name::{Language, RenditionId};
pub use rate::FrameRate;

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
    /// Whether it is a beginning that later revisions continue: its playlists have no end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_growing: bool,
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

    /// Bytes of all segments and of all pictures of I-frame streams.
    #[must_use]
    pub fn media_bytes(&self) -> u64 {
        let segments = self.renditions.iter().flat_map(|rendition| &rendition.segments);
        let pictures = self.i_frames.iter().flat_map(|stream| &stream.frames);
        let lengths =
            segments.map(|segment| segment.bytes).chain(pictures.map(|frame| frame.bytes));
        lengths.fold(0, u64::saturating_add)
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
        check_size(self.width, self.height)?;
        if self.duration_ms != self.frame_rate.millis_of(self.frame_count) {
            return Err(broken("another length than that of its frames"));
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
        let renditions = self.renditions.iter().map(|rendition| rendition.id.clone());
        let streams = self.i_frames.iter().map(|stream| stream.id.clone());
        let captions = self.captions.iter().map(CaptionTrack::id);
        let mut names: Vec<_> = renditions.chain(streams).chain(captions).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        if names.len() != all {
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
        if let Track::Audio { channels, sample_rate } = self.track
            && (!(1..=8).contains(&channels) || sample_rate == 0)
        {
            return Err(broken("a sound of impossible channels or sample rate"));
        }
        if let Track::Video { frame_rate, width, height, .. } = self.track {
            check_size(width, height)?;
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
        check_size(self.width, self.height)?;
        if self.timescale == 0 {
            return Err(broken("an impossible timescale"));
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
        RenditionId::of_captions(&self.language)
    }

    fn is_named(&self, id: &RenditionId) -> bool {
        self.id() == *id
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

fn check_size(width: u32, height: u32) -> Result<(), MediaError> {
    let sides = 2..=16_384;
    if sides.contains(&width) && sides.contains(&height) {
        Ok(())
    } else {
        Err(broken("impossible dimensions"))
    }
}

fn check_codec(codec: &str) -> Result<(), MediaError> {
    let is_plain = codec.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    if codec.is_empty() || codec.len() > 64 || !is_plain {
        return Err(broken("a codec string that is not one"));
    }
    Ok(())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

fn broken(what: &str) -> MediaError {
    MediaError::Manifest(what.to_owned())
}
