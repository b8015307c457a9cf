//! Which renditions are made of a source: the ladder.
//!
//! The short side of the picture names a rung; no rung is larger than the source. Numbers are those
//! of the measured ladder (internals page on media). Pure; read next: `transcode`.

use serde::{Deserialize, Serialize};

use crate::manifest::{FrameRate, VideoFamily};

/// Highest total of the variant for the slowest networks, sound included, bits per second (Apple's
/// authoring rules, 9.21).
pub const CELLULAR_BPS_MAX: u64 = 192_000;
/// Short side of that variant's picture.
const CELLULAR_SHORT_SIDE: u32 = 234;
/// Its frames per second at most.
const CELLULAR_FPS_MAX: u32 = 15;
/// Its cap in kilobits per second: what the sound and the boxes leave of the total.
const CELLULAR_KILOBITS: u64 = 112;

/// The H.264 rungs for other networks, tallest first.
const AVC_ROWS: [AvcRow; 4] = [
    AvcRow { short_side: 1080, fps_max: 60, kilobits: 6_000, kilobits_fast: 8_000 },
    AvcRow { short_side: 720, fps_max: 60, kilobits: 3_000, kilobits_fast: 4_200 },
    AvcRow { short_side: 480, fps_max: 30, kilobits: 1_500, kilobits_fast: 1_500 },
    AvcRow { short_side: 360, fps_max: 30, kilobits: 750, kilobits_fast: 750 },
];
/// Short sides of the I-frame streams, tallest first.
const I_FRAME_SHORT_SIDES: [u32; 2] = [360, CELLULAR_SHORT_SIDE];
/// Highest bit rate of an I-frame stream, kilobits per second.
const I_FRAME_KILOBITS: u64 = 160;

/// Constant frame rates of mezzanines, as fractions.
const STANDARD_RATES: [(u32, u32); 13] = [
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

/// A line of the H.264 ladder.
struct AvcRow {
    short_side: u32,
    fps_max: u32,
    /// Highest bit rate of a segment, in kilobits per second.
    kilobits: u64,
    /// The same above 30 frames per second.
    kilobits_fast: u64,
}

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
    /// Every how many frames of the mezzanine one is taken; divides its groups.
    pub frame_step: u32,
    /// Highest bit rate of a segment, bits per second.
    pub cap_bps: u64,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a video rendition is for, which decides the settings of its encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Watching.
    Watch,
    /// Watching over the slowest networks, on the simplest decoders: within [`CELLULAR_BPS_MAX`].
    Cellular,
    /// Still pictures that players show while a viewer seeks: key frames alone.
    Seek,
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
            let scaled = u64::from(side) * u64::from(target);
            // The nearest even number, the lower of two.
            let half = (scaled + u64::from(base) - 1) / (2 * u64::from(base));
            u32::try_from(half * 2).unwrap_or(u32::MAX).max(2)
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
    /// Name of the rendition: `c` for H.264, `v` for AV1, `i` for I-frames, and the short side.
    #[must_use]
    pub fn name(&self) -> String {
        let letter = match (self.purpose, self.family) {
            (Purpose::Seek, _) => 'i',
            (_, VideoFamily::Avc) => 'c',
            (_, VideoFamily::Av1) => 'v',
        };
        format!("{letter}{}", self.size.short_side())
    }
}

impl AvcRow {
    fn rung(&self, source: Size, rate: FrameRate) -> Rung {
        let frame_step = frame_step(rate, self.fps_max);
        let is_fast = rate.every(frame_step).is_above(30);
        let kilobits = if is_fast { self.kilobits_fast } else { self.kilobits };
        Rung {
            family: VideoFamily::Avc,
            size: source.fit(self.short_side),
            frame_step,
            cap_bps: kilobits * 1000,
            purpose: Purpose::Watch,
        }
    }
}

/// The H.264 rungs of a source, tallest first. A source that is smaller than every line keeps its
/// own size; the last rung is the one for the slowest networks, unless there is no room below.
#[must_use]
pub fn avc_rungs(source: Size, rate: FrameRate) -> Vec<Rung> {
    let short_side = source.short_side();
    let mut rungs: Vec<Rung> = AVC_ROWS
        .iter()
        .filter(|row| row.short_side <= short_side)
        .map(|row| row.rung(source, rate))
        .collect();
    if rungs.is_empty() {
        let own = AvcRow { short_side, fps_max: 60, kilobits: 500, kilobits_fast: 700 };
        rungs.push(own.rung(source, rate));
    }
    let below =
        if short_side > CELLULAR_SHORT_SIDE { CELLULAR_SHORT_SIDE } else { short_side * 2 / 3 };
    let cellular = Rung {
        family: VideoFamily::Avc,
        size: source.fit(below),
        frame_step: frame_step(rate, CELLULAR_FPS_MAX),
        cap_bps: CELLULAR_KILOBITS * 1000,
        purpose: Purpose::Cellular,
    };
    if rungs.iter().all(|rung| rung.name() != cellular.name()) {
        rungs.push(cellular);
    }
    rungs
}

/// The I-frame streams of a source, tallest first: about one picture per second, two per group.
#[must_use]
pub fn i_frame_rungs(source: Size, rate: FrameRate) -> Vec<Rung> {
    let mut sides: Vec<u32> =
        I_FRAME_SHORT_SIDES.into_iter().filter(|side| *side <= source.short_side()).collect();
    if sides.is_empty() {
        sides.push(source.short_side());
    }
    let frame_step = frame_step(rate, 1);
    sides
        .into_iter()
        .map(|side| Rung {
            family: VideoFamily::Avc,
            size: source.fit(side),
            frame_step,
            cap_bps: I_FRAME_KILOBITS * 1000,
            purpose: Purpose::Seek,
        })
        .collect()
}

/// The AV1 rungs of a source, smallest first: one for each H.264 rung up to that short side, of the
/// same size and pace, so that they can be compared.
#[must_use]
pub fn av1_rungs(source: Size, rate: FrameRate, tallest: u32) -> Vec<Rung> {
    let twins = avc_rungs(source, rate).into_iter().rev();
    twins
        .filter(|twin| twin.purpose == Purpose::Watch && twin.size.short_side() <= tallest)
        .map(|twin| {
            let is_fast = rate.every(twin.frame_step).is_above(30);
            let cap_bps = av1_cap(twin.size, is_fast);
            Rung { family: VideoFamily::Av1, cap_bps, ..twin }
        })
        .collect()
}

fn av1_cap(size: Size, is_fast: bool) -> u64 {
    let kilobits: u64 = match size.short_side() {
        0..=240 => 300,
        241..=360 => 900,
        361..=480 => 1_000,
        481..=720 => 2_200,
        _ => 4_400,
    };
    (if is_fast { kilobits * 7 / 5 } else { kilobits }) * 1000
}

/// Size of the mezzanine: the source's, or that of the tallest rung.
#[must_use]
pub fn mezzanine_size(source: Size) -> Size {
    source.fit(AVC_ROWS.iter().map(|row| row.short_side).max().unwrap_or(1080))
}

/// Every how many frames one is taken so that there are at most `fps_max` per second: the smallest
/// number that also divides a group, so that all renditions have their boundaries in common.
#[must_use]
pub fn frame_step(rate: FrameRate, fps_max: u32) -> u32 {
    let group = u32::try_from(rate.frames_per_gop()).unwrap_or(u32::MAX).max(1);
    let fits = |step: &u32| group.is_multiple_of(*step) && !rate.every(*step).is_above(fps_max);
    (1..=group).find(fits).unwrap_or(group)
}

/// The constant frame rate for a measured one: the nearest standard rate within one percent, else
/// the next standard rate above, so that no frame is lost; 60 at most.
#[must_use]
pub fn constant_rate(measured: FrameRate) -> FrameRate {
    let milli = |rate: FrameRate| u64::from(rate.num) * 1000 / u64::from(rate.den.max(1));
    let wanted = milli(measured);
    let standard = || STANDARD_RATES.into_iter().map(|(num, den)| FrameRate { num, den });
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

/// Lowest H.264 level from 1.3 on (ITU-T H.264 table A-1), times ten, that holds a picture of that
/// size and rate with at least four reference frames of room. Levels that differ from the one below
/// by their bit rate alone are left out.
#[must_use]
pub fn avc_level(size: Size, rate: FrameRate) -> u8 {
    // Level times ten, macroblocks per second, macroblocks of a frame, macroblocks of the buffer.
    const LEVELS: [(u8, u64, u64, u64); 11] = [
        (13, 11_880, 396, 2_376),
        (21, 19_800, 792, 4_752),
        (22, 20_250, 1_620, 8_100),
        (30, 40_500, 1_620, 8_100),
        (31, 108_000, 3_600, 18_000),
        (32, 216_000, 5_120, 20_480),
        (40, 245_760, 8_192, 32_768),
        (42, 522_240, 8_704, 34_816),
        (50, 589_824, 22_080, 110_400),
        (51, 983_040, 36_864, 184_320),
        (52, 2_073_600, 36_864, 184_320),
    ];
    let blocks = u64::from(size.width.div_ceil(16)) * u64::from(size.height.div_ceil(16));
    let per_second = (blocks * u64::from(rate.num)).div_ceil(u64::from(rate.den.max(1)));
    LEVELS
        .into_iter()
        .find(|(_, rate, frame, buffer)| {
            per_second <= *rate && blocks <= *frame && blocks * 4 <= *buffer
        })
        .map_or(52, |(level, ..)| level)
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
        let of = |width, height| names(&avc_rungs(size(width, height), RATE));
        assert_eq!(of(1920, 1080), ["c1080", "c720", "c480", "c360", "c234"]);
        assert_eq!(of(1080, 1920), ["c1080", "c720", "c480", "c360", "c234"]);
        assert_eq!(of(1280, 720), ["c720", "c480", "c360", "c234"]);
        assert_eq!(of(720, 405), ["c360", "c234"]);
        assert_eq!(of(320, 240), ["c240", "c234"]);
        // What is smaller than every line keeps its size, and something smaller beside it.
        assert_eq!(of(320, 234), ["c234", "c156"]);
        assert_eq!(of(320, 180), ["c180", "c120"]);
        assert_eq!(of(2, 2), ["c2"]);
        let sizes = |width, height| {
            let rungs = avc_rungs(size(width, height), RATE);
            rungs.into_iter().map(|rung| rung.size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(720, 405), [size(640, 360), size(416, 234)]);
        let portrait = sizes(1080, 1920);
        assert_eq!(portrait[3..], [size(360, 640), size(234, 416)]);
        assert_eq!(sizes(1920, 1080)[2], size(854, 480));
        let av1 = |source, tallest| names(&av1_rungs(source, RATE, tallest));
        assert_eq!(av1(size(320, 180), 360), ["v180"]);
        assert_eq!(av1(size(1280, 720), 720), ["v360", "v480", "v720"]);
        assert!(av1(size(1280, 720), 0).is_empty());
        assert_eq!(names(&i_frame_rungs(size(1920, 1080), RATE)), ["i360", "i234"]);
        assert_eq!(names(&i_frame_rungs(size(320, 180), RATE)), ["i180"]);
    }

    #[test]
    fn slower_rungs_take_whole_frames_and_keep_the_groups() {
        let steps = |num, den| {
            let rate = FrameRate { num, den };
            let rungs = avc_rungs(size(1280, 720), rate);
            rungs.iter().map(|rung| rung.frame_step).collect::<Vec<_>>()
        };
        assert_eq!(steps(30, 1), [1, 1, 1, 2]);
        assert_eq!(steps(30_000, 1001), [1, 1, 1, 2]);
        assert_eq!(steps(24, 1), [1, 1, 1, 2]);
        assert_eq!(steps(25, 1), [1, 1, 1, 2]);
        assert_eq!(steps(15, 1), [1, 1, 1, 1]);
        assert_eq!(steps(60_000, 1001), [1, 2, 2, 4]);
        assert_eq!(steps(50, 1), [1, 2, 2, 4]);
        assert_eq!(steps(48, 1), [1, 2, 2, 4]);
        for (num, den) in STANDARD_RATES {
            let rate = FrameRate { num, den };
            for rung in avc_rungs(size(1920, 1080), rate) {
                assert_eq!(rate.frames_per_gop() % u64::from(rung.frame_step), 0, "{rate}");
            }
            let seek = i_frame_rungs(size(1920, 1080), rate)[0];
            assert_eq!(u64::from(seek.frame_step) * 2, rate.frames_per_gop(), "{rate}");
        }
    }

    #[test]
    fn caps_are_those_of_the_ladder() {
        let caps = |rate| {
            let rungs = avc_rungs(size(1920, 1080), rate);
            rungs.iter().map(|rung| rung.cap_bps / 1000).collect::<Vec<_>>()
        };
        assert_eq!(caps(RATE), [6_000, 3_000, 1_500, 750, 112]);
        assert_eq!(caps(FrameRate { num: 60, den: 1 }), [8_000, 4_200, 1_500, 750, 112]);
    }

    #[test]
    fn levels_are_those_of_the_ladder() {
        assert_eq!(av1_level(size(426, 240), RATE), 0);
        assert_eq!(av1_level(size(640, 360), RATE), 1);
        assert_eq!(av1_level(size(1280, 720), RATE), 5);
        assert_eq!(avc_level(size(416, 234), RATE.every(2)), 13);
        assert_eq!(avc_level(size(640, 360), RATE), 30);
        // Level 3.0 holds this size only up to 25 frames per second.
        assert_eq!(avc_level(size(854, 480), RATE), 31);
        assert_eq!(avc_level(size(1280, 720), RATE), 31);
        assert_eq!(avc_level(size(1280, 720), FrameRate { num: 60, den: 1 }), 32);
        assert_eq!(avc_level(size(1920, 1080), RATE), 40);
        assert_eq!(avc_level(size(1920, 1080), FrameRate { num: 60, den: 1 }), 42);
        assert_eq!(avc_level(size(3840, 1080), FrameRate { num: 30, den: 1 }), 50);
        assert_eq!(avc_level(size(4096, 1080), FrameRate { num: 60, den: 1 }), 52);
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
