//! What `BANDWIDTH` and `EXT-X-TARGETDURATION` say, measured on the bytes.
//!
//! Read next: `crate::playlist`, which states it.

use super::{IFrame, Segment};

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

#[cfg(test)]
mod tests {
    use fairground_types::BlobHash;

    use super::*;

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
}
