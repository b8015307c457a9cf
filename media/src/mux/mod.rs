//! CMAF packaging (ISO/IEC 23000-19): headers, segments, and the bitstream facts they state; AVIF.
//!
//! One track per file; the timescale is the frame rate's numerator, so every time is exact. A
//! segment's bytes depend only on its samples and its index: the same input gives the same hash.
//! Nothing here knows encoders or playlists. Read next: `segment`, `init`; `obu`, `sps` and `adts`
//! for the bitstreams; `fragments` for what ffmpeg hands over.

pub mod adts;
pub mod avif;
mod bits;
pub mod codecs;
pub mod fragments;
pub mod init;
pub mod obu;
pub mod segment;
pub mod sps;

/// One access unit as it goes into a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its bytes, in the form that the container wants.
    pub bytes: Vec<u8>,
    /// Presentation time less decode time, in ticks of the track.
    pub composition: i32,
    /// Whether decoding can start here.
    pub sync: bool,
}
