//! Collects the segments of one rendition, puts them, and applies the completion rule.
//!
//! Read next: `super::pace`, which says how many pictures a rendition must have.

use bytes::Bytes;
use fairground_types::BlobHash;

use super::BlobSink;
use super::pace::Pace;
use crate::error::MediaError;
use crate::ladder::{Rung, Size};
use crate::manifest::{
    IFrame, IFrameStream, Rendition, RenditionId, Segment, Track, measure_bandwidth,
    measure_i_frames, target_duration,
};

/// Bytes of the file of an I-frame stream at most.
const I_FRAME_FILE_MAX: usize = 128 << 20;

/// A rendition in the making.
#[derive(Debug)]
pub(super) struct RenditionParts {
    id: RenditionId,
    track: Track,
    timescale: u32,
    /// Which frames a picture must have.
    pace: Option<Pace>,
    /// What its picture does not exceed, bits per second; zero for sound.
    cap_bps: u64,
    header: Option<(BlobHash, String)>,
    segments: Vec<Segment>,
    frames: u64,
}

/// An I-frame stream in the making. Its file is one blob, so its pictures wait in memory.
#[derive(Debug)]
pub(super) struct IFrameParts {
    id: RenditionId,
    size: Size,
    pace: Pace,
    header: Option<(BlobHash, String)>,
    file: Vec<u8>,
    frames: Vec<IFrame>,
}

impl RenditionParts {
    pub(super) fn video(rung: &Rung, pace: Pace) -> Result<Self, MediaError> {
        let track = Track::Video {
            family: rung.family,
            width: rung.size.width,
            height: rung.size.height,
            frame_rate: pace.rate(),
        };
        let mut parts = Self::sound(&rung.name(), track, pace.rate().num)?;
        parts.pace = Some(pace);
        parts.cap_bps = rung.cap_bps;
        Ok(parts)
    }

    pub(super) fn sound(name: &str, track: Track, timescale: u32) -> Result<Self, MediaError> {
        let id = named(name)?;
        let segments = Vec::new();
        let (pace, header) = (None, None);
        Ok(Self { id, track, timescale, pace, cap_bps: 0, header, segments, frames: 0 })
    }

    pub(super) fn put_header(
        &mut self,
        bytes: Bytes,
        codec: String,
        sink: &mut dyn BlobSink,
    ) -> Result<(), MediaError> {
        self.header = Some((sink.put(bytes)?, codec));
        Ok(())
    }

    /// `frames` are the pictures of the segment; none for sound.
    pub(super) fn put_segment(
        &mut self,
        bytes: Bytes,
        duration_ticks: u64,
        frames: u64,
        sink: &mut dyn BlobSink,
    ) -> Result<(), MediaError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let hash = sink.put(bytes)?;
        self.segments.push(Segment { hash, bytes: length, duration_ticks });
        self.frames = self.frames.saturating_add(frames);
        Ok(())
    }

    /// Segments so far.
    pub(super) fn groups(&self) -> u64 {
        u64::try_from(self.segments.len()).unwrap_or(u64::MAX)
    }

    /// Its first `groups` segments as a rendition of their own, once they are there. What its peak will
    /// be is not known: the cap is.
    pub(super) fn beginning(&self, groups: u64) -> Option<Rendition> {
        let (init, codec) = self.header.clone()?;
        let segments = self.segments.get(..usize::try_from(groups).ok()?)?.to_vec();
        let (peak, average_bandwidth) = measure_bandwidth(&segments, self.timescale);
        Some(Rendition {
            id: self.id.clone(),
            codec,
            track: self.track.clone(),
            bandwidth: peak.max(self.cap_bps),
            average_bandwidth,
            init,
            segments,
            timescale: self.timescale,
        })
    }

    /// Measures the bit rates and closes the rendition, if it is complete: as long as a mezzanine of
    /// so many frames.
    pub(super) fn finish(self, mezzanine_frames: u64) -> Result<Rendition, MediaError> {
        let (init, codec) = self.header.ok_or_else(|| incomplete(&self.id, "no header"))?;
        if let Some(pace) = self.pace {
            let ticks = self.segments.iter().map(|segment| segment.duration_ticks).sum();
            check_complete(&self.id, pace.closed(mezzanine_frames), (self.frames, ticks))?;
        }
        let (bandwidth, average_bandwidth) = measure_bandwidth(&self.segments, self.timescale);
        Ok(Rendition {
            id: self.id,
            codec,
            track: self.track,
            bandwidth,
            average_bandwidth,
            init,
            segments: self.segments,
            timescale: self.timescale,
        })
    }
}

impl IFrameParts {
    pub(super) fn new(rung: &Rung, pace: Pace) -> Result<Self, MediaError> {
        let id = named(&rung.name())?;
        let (file, frames) = (Vec::new(), Vec::new());
        Ok(Self { id, size: rung.size, pace, header: None, file, frames })
    }

    pub(super) fn put_header(
        &mut self,
        bytes: Bytes,
        codec: String,
        sink: &mut dyn BlobSink,
    ) -> Result<(), MediaError> {
        self.header = Some((sink.put(bytes)?, codec));
        Ok(())
    }

    pub(super) fn add(&mut self, bytes: &[u8], duration_ticks: u64) -> Result<(), MediaError> {
        if self.file.len().saturating_add(bytes.len()) > I_FRAME_FILE_MAX {
            return Err(incomplete(&self.id, "more bytes than its bound"));
        }
        self.file.extend_from_slice(bytes);
        let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.frames.push(IFrame { bytes, duration_ticks });
        Ok(())
    }

    /// Puts the file and closes the stream, if it is complete: as long as a mezzanine of so many frames.
    pub(super) fn finish(
        self,
        mezzanine_frames: u64,
        target_duration_s: u32,
        sink: &mut dyn BlobSink,
    ) -> Result<IFrameStream, MediaError> {
        let (init, codec) = self.header.ok_or_else(|| incomplete(&self.id, "no header"))?;
        let count = u64::try_from(self.frames.len()).unwrap_or(u64::MAX);
        let ticks = self.frames.iter().map(|frame| frame.duration_ticks).sum();
        check_complete(&self.id, self.pace.closed(mezzanine_frames), (count, ticks))?;
        let timescale = self.pace.rate().num;
        let (bandwidth, average_bandwidth) =
            measure_i_frames(&self.frames, timescale, target_duration_s);
        Ok(IFrameStream {
            id: self.id,
            codec,
            width: self.size.width,
            height: self.size.height,
            bandwidth,
            average_bandwidth,
            init,
            file: sink.put(self.file.into())?,
            frames: self.frames,
            timescale,
        })
    }
}

/// Longest segment of all renditions in whole seconds.
pub(super) fn target_of(renditions: &[Rendition]) -> u32 {
    renditions
        .iter()
        .map(|rendition| target_duration(&rendition.segments, rendition.timescale))
        .max()
        .unwrap_or(1)
}

/// The completion rule: exactly the pictures that the pace says, and not a tick more or less.
fn check_complete(
    id: &RenditionId,
    pace: Pace,
    (frames, ticks): (u64, u64),
) -> Result<(), MediaError> {
    if frames != pace.frames() {
        let wanted = pace.frames();
        return Err(incomplete(id, &format!("{frames} frames instead of {wanted}")));
    }
    if ticks != pace.ticks() {
        return Err(incomplete(id, "durations do not add up"));
    }
    Ok(())
}

fn named(name: &str) -> Result<RenditionId, MediaError> {
    RenditionId::new(name)
        .ok_or_else(|| MediaError::Stream(format!("{name} is not a rendition's name")))
}

fn incomplete(id: &RenditionId, what: &str) -> MediaError {
    MediaError::Stream(format!("{id}: {what}"))
}
