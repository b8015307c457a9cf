//! What a link does to one packet: a pure choice from a seed.
//!
//! It must not know a socket or a clock.

use fairground_kit::chance::Chance;
use tokio::time::{Duration, Instant};

/// What happens on one way. The default lets everything pass at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Every packet waits so long.
    pub delay: Duration,
    /// And up to so much more, without overtaking.
    pub jitter: Duration,
    /// Packets of a million that are lost.
    pub loss: u32,
    /// Packets of a million that come twice.
    pub doubled: u32,
    /// Packets of a million that are held back by [`HELD_BACK`], so that later ones overtake.
    pub reordered: u32,
    /// Nothing passes.
    pub is_cut: bool,
}

/// How long a reordered packet is held back.
pub const HELD_BACK: Duration = Duration::from_millis(8);

/// Both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// To the target.
    pub toward: Link,
    /// Back to the source.
    pub back: Link,
}

impl Pair {
    /// The same on both ways.
    #[must_use]
    pub const fn both(link: Link) -> Self {
        Self { toward: link, back: link }
    }
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// It does not come.
    pub is_lost: bool,
    /// It comes twice.
    pub is_doubled: bool,
    /// Later ones overtake it.
    pub is_held_back: bool,
    /// How long it waits.
    pub wait: Duration,
}

impl Link {
    /// Nothing passes.
    pub const CUT: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0,
        doubled: 0,
        reordered: 0,
        is_cut: true,
    };

    /// Draws what happens to the next packet. It takes the same number of draws whatever the link
    /// is, so that a change of the link does not change the choices behind it.
    pub fn fate(&self, chance: &mut Chance) -> Fate {
        let is_lost = chance.happens(self.loss);
        let is_doubled = chance.happens(self.doubled);
        let is_held_back = chance.happens(self.reordered);
        let most = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(chance.below(most.saturating_add(1)));
        Fate { is_lost, is_doubled, is_held_back, wait: self.delay.saturating_add(jitter) }
    }
}

/// Keeps packets in their sequence, but for those that are held back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    last: Option<Instant>,
}

impl Sequence {
    /// When a packet that came `now` is sent on.
    pub fn due(&mut self, now: Instant, fate: &Fate) -> Instant {
        let wanted = now + fate.wait;
        let due = self.last.map_or(wanted, |last| last.max(wanted));
        if fate.is_held_back {
            return due + HELD_BACK;
        }
        self.last = Some(due);
        due
    }
}
