//! What one simulated world has of chance, time and disks, on its own thread.
//!
//! A world is entered once per thread and seed; everything here is thread-local, so worlds on other
//! threads and code outside any world are not touched. Wires are in `link/memory.rs`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A splitmix64 sequence.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number of `from..=to`.
    pub const fn between(&mut self, from: u64, to: u64) -> u64 {
        from.saturating_add(self.below(to.saturating_sub(from).saturating_add(1)))
    }

    /// True so often in a thousand.
    pub const fn permille(&mut self, often: u64) -> bool {
        self.below(1_000) < often
    }

    /// Another sequence, which this one decides.
    pub const fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let place = self.below(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.get(usize::try_from(place).unwrap_or(usize::MAX))
    }
}

/// The clocks of one simulated process, against the world's time.
#[derive(Clone, Copy, Debug)]
struct Skew {
    /// World time when the rate was set.
    since: Duration,
    /// What the process had counted then.
    counted: Duration,
    /// Parts per million that it runs fast.
    ppm: i64,
    /// Milliseconds that the wall clock shows when the process has counted nothing.
    wall_at_zero: i64,
}

struct World {
    began: Instant,
    chance: Chance,
    clocks: Vec<Skew>,
    pace: Pace,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// How long a disk takes for a commit. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<AtomicU64>);

impl Pace {
    /// Sets the time of a commit.
    pub fn set(&self, commit: Duration) {
        let micros = u64::try_from(commit.as_micros()).unwrap_or(u64::MAX);
        self.0.store(micros, Ordering::Relaxed);
    }

    /// The time of a commit.
    #[must_use]
    pub fn commit(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Begins a world on this thread, inside a runtime whose clock is paused.
pub fn enter(seed: u64) {
    let world = World {
        began: Instant::now(),
        chance: Chance::new(seed),
        clocks: Vec::new(),
        pace: Pace::default(),
    };
    WORLD.with(|place| place.replace(Some(world)));
}

/// Ends it.
pub fn leave() {
    WORLD.with(|place| place.replace(None));
}

/// Whether this thread is in a world.
#[must_use]
pub fn is_simulated() -> bool {
    WORLD.with(|place| place.borrow().is_some())
}

fn with<R>(work: impl FnOnce(&mut World) -> R) -> Option<R> {
    WORLD.with(|place| place.borrow_mut().as_mut().map(work))
}

/// World time.
#[must_use]
pub fn elapsed() -> Duration {
    with(|world| world.began.elapsed()).unwrap_or_default()
}

/// Fills `bytes`; nothing outside a world.
pub(crate) fn fill(bytes: &mut [u8]) -> Option<bool> {
    with(|world| {
        for part in bytes.chunks_mut(8) {
            let number = world.chance.next().to_le_bytes();
            let length = part.len();
            part.copy_from_slice(number.get(..length).unwrap_or_default());
        }
        true
    })
}

/// A number of the world's sequence; nothing outside a world.
#[must_use]
pub fn number() -> Option<u64> {
    with(|world| world.chance.next())
}

/// The disk that stores opened from now on are on.
pub fn set_pace(pace: Pace) {
    let _ = with(|world| world.pace = pace);
}

/// The disk of a store that is opened now.
#[must_use]
pub fn pace() -> Pace {
    with(|world| world.pace.clone()).unwrap_or_default()
}

/// Makes the clocks of a process; the wall clock shows `wall` milliseconds now.
#[must_use]
pub fn add_clock(wall: i64) -> u32 {
    with(|world| {
        let since = world.began.elapsed();
        let counted = Duration::from_secs(1_000);
        let wall_at_zero = wall.saturating_sub(signed(counted));
        world.clocks.push(Skew { since, counted, ppm: 0, wall_at_zero });
        u32::try_from(world.clocks.len().saturating_sub(1)).unwrap_or(u32::MAX)
    })
    .unwrap_or_default()
}

fn signed(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Skew {
    fn counted(&self, now: Duration) -> Duration {
        let passed = i64::try_from(now.saturating_sub(self.since).as_micros()).unwrap_or(i64::MAX);
        let extra = passed.saturating_mul(self.ppm) / 1_000_000;
        let counted = passed.saturating_add(extra).max(0);
        self.counted.saturating_add(Duration::from_micros(counted.unsigned_abs()))
    }
}

fn read<R: Default>(slot: u32, work: impl FnOnce(&mut Skew, Duration) -> R) -> R {
    with(|world| {
        let now = world.began.elapsed();
        let place = usize::try_from(slot).unwrap_or(usize::MAX);
        world.clocks.get_mut(place).map(|skew| work(skew, now)).unwrap_or_default()
    })
    .unwrap_or_default()
}

/// What the process has counted since it was made.
#[must_use]
pub fn monotonic(slot: u32) -> Duration {
    read(slot, |skew, now| skew.counted(now))
}

/// What its wall clock shows, milliseconds.
#[must_use]
pub fn wall(slot: u32) -> u64 {
    read(slot, |skew, now| {
        u64::try_from(skew.wall_at_zero.saturating_add(signed(skew.counted(now)))).unwrap_or(0)
    })
}

/// Steps its wall clock.
pub fn step(slot: u32, millis: i64) {
    read(slot, |skew, _| skew.wall_at_zero = skew.wall_at_zero.saturating_add(millis));
}

/// Sets how many parts per million its clocks run fast.
pub fn drift(slot: u32, ppm: i64) {
    read(slot, |skew, now| {
        skew.counted = skew.counted(now);
        skew.since = now;
        skew.ppm = ppm;
    });
}
