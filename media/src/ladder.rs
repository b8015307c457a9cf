//! Which renditions are made of a source: the ladder.
//!
//! The short side of the picture names a rung; no rung is larger than the source. Numbers are those
//! of the measured ladder (internals page on media). Pure; read next: `transcode`.

use serde::{Deserialize, Serialize};

use crate::manifest::{FrameRate, VideoFamily};

/// The H.264 rungs, tallest first.
const AVC_SHORT_SIDES: [u32; 2] = [720, 360];

/// A picture size in pixels, both sides even and at least two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// One video rendition to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Codec family.
    pub family: VideoFamily,
    /// Picture size.
    pub size: Size,
    /// Highest bit rate of a segment, bits per second.
    pub cap_bps: u64,
}

impl Size {
    /// The shorter side.
    #[must_use]
    pub const fn short_side(self) -> u32 {
        if self.width < self.height { self.width } else { self.height }
    }

    /// Scales so that the short side is at most `short_side`, keeps the aspect, evens both sides.
    #[must_use]
    pub fn fit(self, short_side: u32) -> Self {
        let target = short_side.min(self.short_side());
        let base = self.short_side().max(1);
        let scale = |side: u32| {
            let scaled =
                (u64::from(side) * u64::from(target) + u64::from(base) / 2) / u64::from(base);
            even(u32::try_from(scaled).unwrap_or(u32::MAX))
        };
        Self { width: scale(self.width), height: scale(self.height) }
    }

    /// Luma samples of one frame.
    #[must_use]
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl Rung {
    /// Name of the rendition: `c` for H.264, `v` for AV1, and the short side.
    #[must_use]
    pub fn name(&self) -> String {
        let letter = match self.family {
            VideoFamily::Avc => 'c',
            VideoFamily::Av1 => 'v',
        };
        format!("{letter}{}", self.size.short_side())
    }
}

/// The H.264 rungs of a source, the default (first) one included even for a small source.
#[must_use]
pub fn avc_rungs(source: Size, rate: FrameRate) -> Vec<Rung> {
    let mut sides: Vec<u32> =
        AVC_SHORT_SIDES.into_iter().filter(|side| *side <= source.short_side()).collect();
    if sides.is_empty() {
        sides.push(source.short_side());
    }
    sides.into_iter().map(|side| rung(VideoFamily::Avc, source.fit(side), rate)).collect()
}

/// The AV1 rung of a source: `short_side` or the source's own, if that is smaller.
#[must_use]
pub fn av1_rung(source: Size, rate: FrameRate, short_side: u32) -> Rung {
    rung(VideoFamily::Av1, source.fit(short_side), rate)
}

/// Size of the mezzanine: the tallest rung.
#[must_use]
pub fn mezzanine_size(source: Size) -> Size {
    let tallest = AVC_SHORT_SIDES.first().copied().unwrap_or(720);
    source.fit(tallest)
}

/// The constant frame rate for a measured one: the nearest standard rate within one percent, else
/// the next standard rate above, so that no frame is lost; 60 at most.
#[must_use]
pub fn constant_rate(measured: FrameRate) -> FrameRate {
    const STANDARD: [(u32, u32); 13] = [
        (10, 1),
        (12, 1),
        (15, 1),
        (20, 1),
        (24_000, 1001),
        (24, 1),
        (25, 1),
        (30_000, 1001),
        (30, 1),
        (48, 1),
        (50, 1),
        (60_000, 1001),
        (60, 1),
    ];
    let milli = |rate: FrameRate| u64::from(rate.num) * 1000 / u64::from(rate.den.max(1));
    let wanted = milli(measured);
    let standard = || STANDARD.into_iter().map(|(num, den)| FrameRate { num, den });
    let nearest = standard().min_by_key(|rate| milli(*rate).abs_diff(wanted));
    if let Some(rate) = nearest.filter(|rate| milli(*rate).abs_diff(wanted) * 100 <= wanted) {
        return rate;
    }
    standard().find(|rate| milli(*rate) >= wanted).unwrap_or(FrameRate { num: 60, den: 1 })
}

/// Lowest AV1 level index (AV1 specification annex A.3) that holds a picture of that size and rate.
#[must_use]
pub fn av1_level(size: Size, rate: FrameRate) -> u8 {
    // Index, pixels of a picture, width, height, displayed pixels per second.
    const LEVELS: [(u8, u64, u32, u32, u64); 8] = [
        (0, 147_456, 2048, 1152, 4_423_680),
        (1, 278_784, 2816, 1584, 8_363_520),
        (4, 665_856, 4352, 2448, 19_975_680),
        (5, 1_065_024, 5504, 3096, 31_950_720),
        (8, 2_359_296, 6144, 3456, 70_778_880),
        (9, 2_359_296, 6144, 3456, 141_557_760),
        (12, 8_912_896, 8192, 4352, 267_386_880),
        (13, 8_912_896, 8192, 4352, 534_773_760),
    ];
    let pixels = size.pixels();
    let display = (pixels * u64::from(rate.num)).div_ceil(u64::from(rate.den.max(1)));
    LEVELS
        .into_iter()
        .find(|(_, most, width, height, per_second)| {
            pixels <= *most
                && size.width <= *width
                && size.height <= *height
                && display <= *per_second
        })
        .map_or(13, |(index, ..)| index)
}

/// Lowest H.264 level (ITU-T H.264 table A-1), times ten, that holds a picture of that size and
/// rate with at least four reference frames of room.
#[must_use]
pub fn avc_level(size: Size, rate: FrameRate) -> u8 {
    // Level times ten, macroblocks per second, macroblocks of a frame, macroblocks of the buffer.
    const LEVELS: [(u8, u64, u64, u64); 8] = [
        (13, 11_880, 396, 2_376),
        (21, 19_800, 792, 4_752),
        (30, 40_500, 1_620, 8_100),
        (31, 108_000, 3_600, 18_000),
        (32, 216_000, 5_120, 20_480),
        (40, 245_760, 8_192, 32_768),
        (42, 522_240, 8_704, 34_816),
        (51, 983_040, 36_864, 184_320),
    ];
    let blocks = u64::from(size.width.div_ceil(16)) * u64::from(size.height.div_ceil(16));
    let per_second = (blocks * u64::from(rate.num)).div_ceil(u64::from(rate.den.max(1)));
    LEVELS
        .into_iter()
        .find(|(_, rate, frame, buffer)| {
            per_second <= *rate && blocks <= *frame && blocks * 4 <= *buffer
        })
        .map_or(51, |(level, ..)| level)
}

fn rung(family: VideoFamily, size: Size, rate: FrameRate) -> Rung {
    let short = size.short_side();
    let fast = u64::from(rate.num) > u64::from(rate.den) * 31;
    let kilobits = match family {
        VideoFamily::Avc => match short {
            0..=240 => 350,
            241..=360 => 900,
            361..=480 => 1_500,
            481..=720 => 3_000,
            _ => 6_000,
        },
        VideoFamily::Av1 => match short {
            0..=240 => 300,
            241..=360 => 900,
            361..=480 => 1_000,
            481..=720 => 2_200,
            _ => 4_400,
        },
    };
    let kilobits = if fast { kilobits * 7 / 5 } else { kilobits };
    Rung { family, size, cap_bps: kilobits * 1000 }
}

const fn even(side: u32) -> u32 {
    let side = side & !1;
    if side < 2 { 2 } else { side }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: FrameRate = FrameRate { num: 30, den: 1 };

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn names(rungs: &[Rung]) -> Vec<String> {
        rungs.iter().map(Rung::name).collect()
    }

    #[test]
    fn rungs_follow_the_short_side() {
        assert_eq!(names(&avc_rungs(size(1920, 1080), RATE)), ["c720", "c360"]);
        assert_eq!(names(&avc_rungs(size(1080, 1920), RATE)), ["c720", "c360"]);
        assert_eq!(names(&avc_rungs(size(720, 405), RATE)), ["c360"]);
        assert_eq!(names(&avc_rungs(size(320, 240), RATE)), ["c240"]);
        assert_eq!(avc_rungs(size(720, 405), RATE)[0].size, size(640, 360));
        assert_eq!(avc_rungs(size(1080, 1920), RATE)[1].size, size(360, 640));
        assert_eq!(av1_rung(size(320, 180), RATE, 360).name(), "v180");
    }

    #[test]
    fn levels_are_those_of_the_ladder() {
        assert_eq!(av1_level(size(426, 240), RATE), 0);
        assert_eq!(av1_level(size(640, 360), RATE), 1);
        assert_eq!(av1_level(size(1280, 720), RATE), 5);
        assert_eq!(avc_level(size(640, 360), RATE), 30);
        // Level 3.0 holds this size only up to 25 frames per second.
        assert_eq!(avc_level(size(854, 480), RATE), 31);
        assert_eq!(avc_level(size(1280, 720), RATE), 31);
        assert_eq!(avc_level(size(1280, 720), FrameRate { num: 60, den: 1 }), 32);
    }

    #[test]
    fn rates_become_standard_ones() {
        let rate = |num, den| constant_rate(FrameRate { num, den });
        assert_eq!(rate(25, 1), FrameRate { num: 25, den: 1 });
        assert_eq!(rate(30_000, 1001), FrameRate { num: 30_000, den: 1001 });
        assert_eq!(rate(24_000, 1001), FrameRate { num: 24_000, den: 1001 });
        // A phone with a variable rate of 27 loses no frame.
        assert_eq!(rate(2702, 100), FrameRate { num: 30_000, den: 1001 });
        assert_eq!(rate(120, 1), FrameRate { num: 60, den: 1 });
        assert_eq!(rate(3, 1), FrameRate { num: 10, den: 1 });
    }

    proptest! {
        #[test]
        fn no_rung_is_larger_than_its_source(width in 2_u32..4096, height in 2_u32..4096) {
            let source = size(width, height);
            for rung in avc_rungs(source, RATE) {
                prop_assert!(rung.size.width <= width.max(2) && rung.size.height <= height.max(2));
                prop_assert!(rung.size.width % 2 == 0 && rung.size.height % 2 == 0);
            }
        }
    }
}
