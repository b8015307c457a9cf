//! Collects the segments of one rendition, puts them, and applies the completion rule.

use bytes::Bytes;
use fairground_types::BlobHash;

use super::BlobSink;
use crate::error::MediaError;
use crate::ladder::Rung;
use crate::manifest::{
    Rendition, RenditionId, Segment, Track, VideoFamily, measure_bandwidth, target_duration,
};

use super::normalise::Mezzanine;

/// A rendition in the making.
#[derive(Debug)]
pub(super) struct RenditionParts {
    id: RenditionId,
    track: Track,
    timescale: u32,
    header: Option<(BlobHash, String)>,
    segments: Vec<Segment>,
}

impl RenditionParts {
    pub(super) fn video(rung: &Rung, mezzanine: &Mezzanine) -> Result<Self, MediaError> {
        let family: VideoFamily = rung.family;
        let track = Track::Video {
            family,
            width: rung.size.width,
            height: rung.size.height,
            frame_rate: mezzanine.rate,
        };
        Self::new(&rung.name(), track, mezzanine.rate.num)
    }

    pub(super) fn new(name: &str, track: Track, timescale: u32) -> Result<Self, MediaError> {
        let id = RenditionId::new(name)
            .ok_or_else(|| MediaError::Stream(format!("{name} is not a rendition's name")))?;
        Ok(Self { id, track, timescale, header: None, segments: Vec::new() })
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

    pub(super) fn put_segment(
        &mut self,
        bytes: Bytes,
        duration_ticks: u64,
        sink: &mut dyn BlobSink,
    ) -> Result<(), MediaError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let hash = sink.put(bytes)?;
        self.segments.push(Segment { hash, bytes: length, duration_ticks });
        Ok(())
    }

    /// Measures the bit rates and closes the rendition.
    ///
    /// `frames` is what the encoder delivered; a picture must have exactly the mezzanine's.
    pub(super) fn finish(
        self,
        frames: u64,
        mezzanine: &Mezzanine,
    ) -> Result<Rendition, MediaError> {
        let incomplete = |what: String| MediaError::Stream(format!("{}: {what}", self.id));
        let (init, codec) =
            self.header.clone().ok_or_else(|| incomplete("no header".to_owned()))?;
        if matches!(self.track, Track::Video { .. }) {
            if frames != mezzanine.frames {
                let wanted = mezzanine.frames;
                return Err(incomplete(format!("{frames} frames instead of {wanted}")));
            }
            let ticks: u64 = self.segments.iter().map(|segment| segment.duration_ticks).sum();
            if ticks != frames.saturating_mul(mezzanine.rate.den.into()) {
                return Err(incomplete("durations do not add up".to_owned()));
            }
        }
        let (bandwidth, average_bandwidth) = measure_bandwidth(&self.segments, self.timescale);
        Ok(Rendition {
            target_duration_s: target_duration(&self.segments, self.timescale),
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
