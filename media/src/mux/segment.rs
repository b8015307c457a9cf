//! CMAF media segments: `styp`, one `moof` with one run, one `mdat`.
//!
//! ```text
//!  styp msdh msix cmfs | moof: mfhd n, tfhd (default base is moof), tfdt, trun | mdat: samples
//! ```
//!
//! The bytes are a pure function of the arguments. Read next: `init`.

use bytes::Bytes;
use mp4_atom::{
    Encode as _, FourCC, Mfhd, Moof, Styp, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples,
};

use crate::error::MediaError;
use crate::mux::Sample;
use crate::mux::init::TRACK_ID;

/// Sample flags (ISO/IEC 14496-12 section 8.8.3.1): depends on no other sample.
const FLAGS_SYNC: u32 = 0x0200_0000;
/// Depends on others and is not a sync sample.
const FLAGS_DELTA: u32 = 0x0101_0000;
/// Bytes of the header of an `mdat`.
pub(crate) const MDAT_HEADER: usize = 8;

/// Where a segment stands in its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Index of the segment, from 0.
    pub index: u32,
    /// Decode time of its first sample, in ticks.
    pub decode_time: u64,
    /// Duration of every sample but one, in ticks.
    pub sample_ticks: u32,
    /// Duration of the sample that is shown last, in ticks; at most the same.
    pub last_ticks: u32,
}

/// Writes one segment.
///
/// # Errors
/// [`MediaError::Stream`] when it is empty, does not start with a sync sample or is too large.
pub fn write(position: Position, samples: &[Sample]) -> Result<Bytes, MediaError> {
    if !samples.first().is_some_and(|sample| sample.sync) {
        return Err(fault("a segment must start with a sync sample"));
    }
    let payload: usize = samples.iter().map(|sample| sample.bytes.len()).sum();
    let mdat_size =
        u32::try_from(payload + MDAT_HEADER).map_err(|_| fault("a segment is too large"))?;
    let mut bytes = Vec::with_capacity(payload + 64 + samples.len() * 16);
    Styp {
        major_brand: FourCC::new(b"msdh"),
        minor_version: 0,
        compatible_brands: [b"msdh", b"msix", b"cmfs"].map(FourCC::new).to_vec(),
    }
    .encode(&mut bytes)?;
    // The offset of the samples is part of the box whose length it depends on: measure, then write.
    let mut measured = Vec::new();
    movie_fragment(position, samples, 0)?.encode(&mut measured)?;
    let offset =
        i32::try_from(measured.len() + MDAT_HEADER).map_err(|_| fault("too many samples"))?;
    movie_fragment(position, samples, offset)?.encode(&mut bytes)?;
    bytes.extend_from_slice(&mdat_size.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    for sample in samples {
        bytes.extend_from_slice(&sample.bytes);
    }
    Ok(bytes.into())
}

fn movie_fragment(
    position: Position,
    samples: &[Sample],
    data_offset: i32,
) -> Result<Moof, MediaError> {
    let reordered = samples.iter().any(|sample| sample.composition != 0);
    let short_by = position.sample_ticks.saturating_sub(position.last_ticks);
    let last = shown_last(samples, position.sample_ticks);
    let entries: Result<Vec<TrunEntry>, MediaError> = samples
        .iter()
        .enumerate()
        .map(|(index, sample)| {
            let ticks = position.sample_ticks - if index == last { short_by } else { 0 };
            // What is decoded after the short one is decoded sooner, and shown when it was.
            let sooner = if index > last { i64::from(short_by) } else { 0 };
            let composition = i64::from(sample.composition) + sooner;
            Ok(TrunEntry {
                duration: (short_by > 0).then_some(ticks),
                size: Some(u32::try_from(sample.bytes.len()).map_err(|_| fault("a sample"))?),
                flags: Some(if sample.sync { FLAGS_SYNC } else { FLAGS_DELTA }),
                cts: reordered.then_some(composition),
            })
        })
        .collect();
    let traf = Traf {
        tfhd: Tfhd {
            track_id: TRACK_ID,
            default_sample_duration: Some(position.sample_ticks),
            default_base_is_moof: true,
            ..Tfhd::default()
        },
        tfdt: Some(Tfdt { base_media_decode_time: position.decode_time }),
        trun: vec![Trun {
            data_offset: Some(data_offset),
            samples: TrunSamples::Explicit(entries?),
        }],
        ..Traf::default()
    };
    let mfhd = Mfhd { sequence_number: position.index.saturating_add(1) };
    Ok(Moof { mfhd, traf: vec![traf] })
}

/// Index of the sample that is shown after all others.
fn shown_last(samples: &[Sample], sample_ticks: u32) -> usize {
    let shown_at = |(index, sample): &(usize, &Sample)| {
        let decoded_at =
            i64::try_from(*index).unwrap_or(i64::MAX).saturating_mul(sample_ticks.into());
        decoded_at.saturating_add(sample.composition.into())
    };
    samples.iter().enumerate().max_by_key(shown_at).map_or(0, |(index, _)| index)
}

fn fault(what: &str) -> MediaError {
    MediaError::Stream(what.to_owned())
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode as _;

    use super::*;
    use crate::mux::fragments::Fragments;

    fn sample(bytes: &[u8], composition: i32, sync: bool) -> Sample {
        Sample { bytes: bytes.to_vec(), composition, sync }
    }

    const POSITION: Position =
        Position { index: 3, decode_time: 1 << 33, sample_ticks: 1001, last_ticks: 1001 };

    #[test]
    fn segment_reads_back() {
        let samples =
            vec![sample(b"key", 0, true), sample(b"p", 2002, false), sample(b"bb", -1001, false)];
        let bytes = write(POSITION, &samples).unwrap();
        let mut fragments = Fragments::new(bytes.as_ref());
        let read = fragments.next_fragment().unwrap().unwrap();
        assert_eq!(read.samples, samples);
        assert!(fragments.next_fragment().unwrap().is_none());
        let mut rest = bytes.as_ref();
        Styp::decode(&mut rest).unwrap();
        let tfdt = Moof::decode(&mut rest).unwrap().traf[0].tfdt.clone().unwrap();
        assert_eq!(tfdt.base_media_decode_time, 1 << 33);
    }

    #[test]
    fn last_sample_may_be_shorter() {
        let samples = vec![sample(b"key", 0, true), sample(b"p", 0, false)];
        let durations = |position| -> Vec<Option<u32>> {
            let bytes = write(position, &samples).unwrap();
            let mut rest = bytes.as_ref();
            Styp::decode(&mut rest).unwrap();
            let moof = Moof::decode(&mut rest).unwrap();
            assert_eq!(moof.traf[0].tfhd.default_sample_duration, Some(1001));
            moof.traf[0].trun[0].samples.iter().map(|entry| entry.duration).collect()
        };
        assert_eq!(durations(POSITION), [None, None]);
        let short = Position { last_ticks: 500, ..POSITION };
        assert_eq!(durations(short), [Some(1001), Some(500)]);
    }

    #[test]
    fn picture_shown_last_is_the_short_one() {
        // Decoded in the order 0 2 1: the third to be shown is decoded second.
        let samples =
            [sample(b"key", 0, true), sample(b"p", 1001, false), sample(b"b", -1001, false)];
        let short = Position { last_ticks: 500, ..POSITION };
        let bytes = write(short, &samples).unwrap();
        let mut rest = bytes.as_ref();
        Styp::decode(&mut rest).unwrap();
        let moof = Moof::decode(&mut rest).unwrap();
        let mut decoded_at = 0_i64;
        let mut shown: Vec<_> = moof.traf[0].trun[0]
            .samples
            .iter()
            .map(|entry| {
                let duration = i64::from(entry.duration.unwrap());
                let at = decoded_at + entry.cts.unwrap();
                decoded_at += duration;
                (at, duration)
            })
            .collect();
        shown.sort_unstable();
        assert_eq!(shown, [(0, 1001), (1001, 1001), (2002, 500)]);
    }

    #[test]
    fn same_samples_give_the_same_bytes() {
        let samples = vec![sample(b"key", 0, true), sample(b"p", 0, false)];
        assert_eq!(write(POSITION, &samples).unwrap(), write(POSITION, &samples).unwrap());
    }

    #[test]
    fn segment_must_start_with_a_sync_sample() {
        assert!(write(POSITION, &[]).is_err());
        assert!(write(POSITION, &[sample(b"p", 0, false)]).is_err());
    }
}
