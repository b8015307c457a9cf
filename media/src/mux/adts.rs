//! AAC in ADTS framing (ISO/IEC 13818-7 section 6.2), as ffmpeg writes it to a pipe.
//!
//! Strips the headers and derives the AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1) from
//! the first one; every other must agree. Pure. Read next: `init`.

use crate::error::MediaError;
use crate::mux::Sample;

/// Samples of one AAC-LC frame.
pub const FRAME_SAMPLES: u32 = 1024;

/// An elementary AAC stream without framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AacStream {
    /// Audio object type; 2 is AAC-LC.
    pub object_type: u8,
    /// Samples per second.
    pub sample_rate: u32,
    /// Index of the sample rate in the standard's table.
    pub rate_index: u8,
    /// Channels.
    pub channels: u8,
    /// The frames in order.
    pub frames: Vec<Sample>,
}

const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Parses a whole ADTS stream.
///
/// # Errors
/// [`MediaError::Stream`] when a header is malformed, changes in mid-stream or runs past the end.
pub fn parse(mut bytes: &[u8]) -> Result<AacStream, MediaError> {
    let mut stream: Option<AacStream> = None;
    while let Some(header) = bytes.first_chunk::<7>() {
        let [sync, flags, a, b, c, d, _] = *header;
        if sync != 0xFF || flags & 0xF6 != 0xF0 {
            return Err(fault("no sync word"));
        }
        let header_length = if flags & 1 == 1 { 7 } else { 9 };
        let length = usize::from(b & 3) << 11 | usize::from(c) << 3 | usize::from(d >> 5);
        let frame = bytes.get(header_length..length).ok_or_else(|| fault("a cut frame"))?;
        let object_type = (a >> 6) + 1;
        let rate_index = a >> 2 & 0xF;
        let channels = (a & 1) << 2 | b >> 6;
        let sample_rate = SAMPLE_RATES
            .get(usize::from(rate_index))
            .copied()
            .ok_or_else(|| fault("an unknown sample rate"))?;
        let known = stream.get_or_insert_with(|| AacStream {
            object_type,
            sample_rate,
            rate_index,
            channels,
            frames: Vec::new(),
        });
        let same = known.object_type == object_type
            && known.rate_index == rate_index
            && known.channels == channels;
        if !same {
            return Err(fault("a change of format"));
        }
        known.frames.push(Sample { bytes: frame.to_vec(), composition: 0, sync: true });
        bytes = &bytes[length..];
    }
    if !bytes.is_empty() {
        return Err(fault("a cut header"));
    }
    stream.ok_or_else(|| fault("no frame"))
}

fn fault(what: &str) -> MediaError {
    MediaError::Stream(format!("AAC: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len() + 7).unwrap();
        // AAC-LC, 48 kHz, stereo, no CRC.
        let c = u8::try_from(length >> 3 & 0xFF).unwrap();
        let b = 0x80 | u8::try_from(length >> 11).unwrap();
        let d = u8::try_from(length & 7).unwrap() << 5 | 0x1F;
        [&[0xFF, 0xF1, 0x4C, b, c, d, 0xFC], body].concat()
    }

    #[test]
    fn frames_lose_their_headers() {
        let stream = parse(&[frame(b"one"), frame(b"three")].concat()).unwrap();
        assert_eq!((stream.object_type, stream.sample_rate, stream.channels), (2, 48_000, 2));
        let bodies: Vec<_> = stream.frames.iter().map(|frame| frame.bytes.as_slice()).collect();
        assert_eq!(bodies, [b"one".as_slice(), b"three"]);
    }

    #[test]
    fn damaged_streams_are_refused() {
        let good = frame(b"one");
        assert!(parse(&[]).is_err());
        assert!(parse(&good[..good.len() - 1]).is_err());
        assert!(parse(&[good.as_slice(), &[0xFF]].concat()).is_err());
        assert!(parse(&[good.as_slice(), &[0; 8]].concat()).is_err());
        let mut mono = frame(b"two");
        mono[3] &= 0x3F;
        assert!(parse(&[good, mono].concat()).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&[frame(b"x"), bytes].concat());
        }
    }
}
