//! When the pictures of a rendition are shown: every `step`-th frame of the mezzanine.
//!
//! ```text
//!  mezzanine   0  1  2  3  4 | 5 ..        groups of two seconds; `step` divides them
//!  step 2      0     2     4 | 5 ..        the last picture of all may be shown for less long
//! ```
//!
//! Everything counts in ticks of the mezzanine's clock, so that all renditions are cut at the same
//! ticks and end at the same one. Pure. Read next: `super::rendition`.

use crate::error::MediaError;
use crate::manifest::FrameRate;
use crate::mux::segment::Position;

/// Which frames of the mezzanine a rendition has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Rate of the mezzanine.
    mezzanine: FrameRate,
    /// Frames of the mezzanine.
    frames: u64,
    /// Every how many one is taken.
    step: u32,
}

impl Pace {
    /// `step` is one that divides the mezzanine's groups, as `ladder::frame_step` gives it.
    pub(super) fn new(mezzanine: FrameRate, frames: u64, step: u32) -> Self {
        Self { mezzanine, frames, step: step.max(1) }
    }

    /// While the mezzanine is being made: as if it had no end.
    pub(super) fn open(mezzanine: FrameRate, step: u32) -> Self {
        Self::new(mezzanine, u64::MAX, step)
    }

    /// The same of a mezzanine that has ended.
    pub(super) const fn closed(self, frames: u64) -> Self {
        Self { frames, ..self }
    }

    /// Every how many frames of the mezzanine one is taken.
    pub(super) const fn step(self) -> u32 {
        self.step
    }

    /// Frame rate of the rendition; its numerator is the clock.
    pub(super) const fn rate(self) -> FrameRate {
        self.mezzanine.every(self.step)
    }

    /// Pictures of the rendition.
    pub(super) fn frames(self) -> u64 {
        self.frames.div_ceil(self.step.into())
    }

    /// Pictures of every group but the last.
    pub(super) fn gop(self) -> u64 {
        self.mezzanine.frames_per_gop() / u64::from(self.step)
    }

    /// Groups of pictures, which are segments.
    pub(super) fn groups(self) -> u64 {
        self.frames.div_ceil(self.mezzanine.frames_per_gop())
    }

    /// Pictures of one group.
    pub(super) fn frames_of(self, group: u64) -> u64 {
        self.frames().saturating_sub(group.saturating_mul(self.gop())).min(self.gop())
    }

    /// Length of the whole in ticks.
    pub(super) fn ticks(self) -> u64 {
        self.frames.saturating_mul(self.mezzanine.den.into())
    }

    /// Length of `count` pictures that follow `first`, in ticks; they end with the mezzanine.
    pub(super) fn ticks_of(self, first: u64, count: u64) -> u64 {
        let at = |picture: u64| {
            picture
                .saturating_mul(self.step.into())
                .min(self.frames)
                .saturating_mul(self.mezzanine.den.into())
        };
        at(first.saturating_add(count)).saturating_sub(at(first))
    }

    /// Where a run of pictures stands in its track, as segment `index`.
    ///
    /// # Errors
    /// [`MediaError::Stream`] when there are more than a segment's header can count.
    pub(super) fn position(
        self,
        index: u64,
        first: u64,
        count: u64,
    ) -> Result<Position, MediaError> {
        let short = |value: u64| {
            u32::try_from(value)
                .map_err(|_| MediaError::Stream("a clip too long for its format".to_owned()))
        };
        let last = first.saturating_add(count.saturating_sub(1));
        Ok(Position {
            index: short(index)?,
            decode_time: self.ticks_of(0, first),
            sample_ticks: self.rate().den,
            last_ticks: short(self.ticks_of(last, 1))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_clip_at_half_rate_ends_with_a_short_picture() {
        let pace = Pace::new(FrameRate { num: 25, den: 1 }, 105, 2);
        assert_eq!(pace.frames(), 53);
        assert_eq!((pace.gop(), pace.groups()), (25, 3));
        assert_eq!([0, 1, 2].map(|group| pace.frames_of(group)), [25, 25, 3]);
        assert_eq!((pace.ticks_of(0, 25), pace.ticks_of(50, 3)), (50, 5));
        let last = pace.position(2, 50, 3).unwrap();
        assert_eq!((last.decode_time, last.sample_ticks, last.last_ticks), (100, 2, 1));
        assert_eq!(pace.position(0, 0, 25).unwrap().last_ticks, 2);
        assert_eq!(pace.rate(), FrameRate { num: 25, den: 2 });
    }

    #[test]
    fn while_it_is_made_every_group_is_whole() {
        let open = Pace::open(FrameRate { num: 25, den: 1 }, 2);
        assert_eq!((open.frames_of(2), open.ticks_of(50, 25)), (25, 50));
        let closed = open.closed(105);
        assert_eq!(closed, Pace::new(FrameRate { num: 25, den: 1 }, 105, 2));
    }

    proptest! {
        #[test]
        fn groups_of_every_pace_meet(frames in 1_u64..5_000, step in prop::sample::select(
            vec![1_u32, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60],
        )) {
            let rate = FrameRate { num: 30_000, den: 1001 };
            let (full, slow) = (Pace::new(rate, frames, 1), Pace::new(rate, frames, step));
            prop_assert_eq!(full.groups(), slow.groups());
            let (mut counted, mut ticks) = (0, 0);
            for group in 0..slow.groups() {
                let count = slow.frames_of(group);
                prop_assert!(count > 0);
                let first = group * slow.gop();
                let same = full.ticks_of(group * full.gop(), full.frames_of(group));
                prop_assert_eq!(slow.ticks_of(first, count), same);
                let position = slow.position(group, first, count).unwrap();
                prop_assert_eq!(position.decode_time, ticks);
                let whole = (count - 1) * u64::from(position.sample_ticks);
                prop_assert_eq!(whole + u64::from(position.last_ticks), same);
                counted += count;
                ticks += same;
            }
            prop_assert_eq!(counted, slow.frames());
            prop_assert_eq!(ticks, slow.ticks());
        }
    }
}
