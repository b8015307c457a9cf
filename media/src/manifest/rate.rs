//! Frame rates, as fractions that never lose a frame.
//!
//! Read next: `crate::ladder`, which picks the rates of renditions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::broken;
use crate::error::MediaError;

/// A frame rate as a fraction, frames per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Numerator; also the timescale of the video tracks.
    pub num: u32,
    /// Denominator; also the duration of one frame in that timescale.
    pub den: u32,
}

impl FrameRate {
    pub(super) fn check(self) -> Result<(), MediaError> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn ntsc_groups_have_sixty_frames() {
        let rate = FrameRate { num: 30_000, den: 1001 };
        assert_eq!(rate.frames_per_gop(), 60);
        assert_eq!(rate.to_decimal(), "29.970");
        assert_eq!(rate.millis_of(90), 3003);
    }
}
