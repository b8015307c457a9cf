//! What stays and what goes: S3-FIFO over bytes, pure.
//!
//! ```text
//!  new ----> small (a tenth of the budget) --- read again ---> main --- read again ---> back of main
//!              | not read                        ^               | not read
//!              v                                 |               v
//!            gone, remembered as a ghost --------+             gone
//! ```
//! One pass of a long video through a cache pushes out only what was in the small queue (Yang et
//! al., SOSP 2023). It must not know bytes or files; a caller removes what it is told to.

use std::collections::{HashMap, HashSet, VecDeque};

use fairground_types::id::BlobHash;

const READS_MAX: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Small,
    Main,
}

#[derive(Debug)]
struct Slot {
    bytes: u64,
    reads: u8,
    queue: Queue,
    // Tells this slot's place in a queue from one of an earlier life of the same hash.
    life: u64,
    pins: u32,
}

/// Which segments are kept, within a budget of bytes.
#[derive(Debug)]
pub struct Policy {
    budget: u64,
    slots: HashMap<BlobHash, Slot>,
    small: VecDeque<(BlobHash, u64)>,
    main: VecDeque<(BlobHash, u64)>,
    ghosts: VecDeque<BlobHash>,
    is_ghost: HashSet<BlobHash>,
    small_bytes: u64,
    main_bytes: u64,
    lives: u64,
}

/// Whether a segment may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes, once these are removed.
    Store {
        /// To remove.
        evict: Vec<BlobHash>,
    },
    /// It is stored.
    Held,
    /// It does not fit beside what is pinned. These were evicted in the attempt.
    Refused {
        /// To remove.
        evict: Vec<BlobHash>,
    },
}

impl Policy {
    /// An empty cache.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            slots: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: VecDeque::new(),
            is_ghost: HashSet::new(),
            small_bytes: 0,
            main_bytes: 0,
            lives: 0,
        }
    }

    /// Takes back a segment that an earlier run stored, oldest first.
    pub fn restore(&mut self, hash: BlobHash, bytes: u64) {
        self.place(hash, bytes, Queue::Main, 0, 0);
    }

    /// Bytes held.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.small_bytes.saturating_add(self.main_bytes)
    }

    /// Segments held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a segment is held.
    #[must_use]
    pub fn holds(&self, hash: &BlobHash) -> bool {
        self.slots.contains_key(hash)
    }

    /// A segment was read.
    pub fn touch(&mut self, hash: &BlobHash) {
        if let Some(slot) = self.slots.get_mut(hash) {
            slot.reads = slot.reads.saturating_add(1).min(READS_MAX);
        }
    }

    /// Keeps a held segment from being evicted; answers whether it is held.
    pub fn pin(&mut self, hash: &BlobHash) -> bool {
        self.slots.get_mut(hash).is_some_and(|slot| {
            slot.pins = slot.pins.saturating_add(1);
            true
        })
    }

    /// Takes one pin back.
    pub fn unpin(&mut self, hash: &BlobHash) {
        if let Some(slot) = self.slots.get_mut(hash) {
            slot.pins = slot.pins.saturating_sub(1);
        }
    }

    /// Asks to store a segment.
    pub fn admit(&mut self, hash: BlobHash, bytes: u64) -> Admission {
        if self.holds(&hash) {
            return Admission::Held;
        }
        let mut evict = Vec::new();
        while self.bytes().saturating_add(bytes) > self.budget {
            match self.evict() {
                Some(victim) => evict.push(victim),
                None => return Admission::Refused { evict },
            }
        }
        let was_ghost = self.is_ghost.remove(&hash);
        let queue = if was_ghost { Queue::Main } else { Queue::Small };
        self.place(hash, bytes, queue, 0, 0);
        Admission::Store { evict }
    }

    /// Forgets a segment; answers whether it was held.
    pub fn remove(&mut self, hash: &BlobHash) -> bool {
        match self.slots.remove(hash) {
            None => false,
            Some(slot) => {
                *self.counter(slot.queue) = self.counter(slot.queue).saturating_sub(slot.bytes);
                true
            }
        }
    }

    const fn counter(&mut self, queue: Queue) -> &mut u64 {
        match queue {
            Queue::Small => &mut self.small_bytes,
            Queue::Main => &mut self.main_bytes,
        }
    }

    fn place(&mut self, hash: BlobHash, bytes: u64, queue: Queue, reads: u8, pins: u32) {
        self.remove(&hash);
        self.lives = self.lives.saturating_add(1);
        let life = self.lives;
        self.slots.insert(hash, Slot { bytes, reads, queue, life, pins });
        *self.counter(queue) = self.counter(queue).saturating_add(bytes);
        match queue {
            Queue::Small => self.small.push_back((hash, life)),
            Queue::Main => self.main.push_back((hash, life)),
        }
    }

    fn evict(&mut self) -> Option<BlobHash> {
        // Every slot can be passed over for its reads and once for its pin, in each queue.
        let rounds = self.small.len().saturating_add(self.main.len()).saturating_mul(5);
        for _ in 0..=rounds {
            let small_is_over = self.small_bytes > self.budget / 10 || self.main_bytes == 0;
            let evicted = if small_is_over && !self.small.is_empty() {
                self.evict_from_small()
            } else {
                self.evict_from_main()
            };
            if evicted.is_some() {
                return evicted;
            }
            if self.small.is_empty() && self.main.is_empty() {
                return None;
            }
        }
        None
    }

    fn evict_from_small(&mut self) -> Option<BlobHash> {
        let (hash, life) = self.small.pop_front()?;
        let slot = self.slots.get(&hash).filter(|slot| slot.life == life)?;
        if slot.pins > 0 || slot.reads > 0 {
            let (bytes, pins) = (slot.bytes, slot.pins);
            self.place(hash, bytes, Queue::Main, 0, pins);
            return None;
        }
        self.remove(&hash);
        self.remember_ghost(hash);
        Some(hash)
    }

    fn evict_from_main(&mut self) -> Option<BlobHash> {
        let (hash, life) = self.main.pop_front()?;
        let slot = self.slots.get(&hash).filter(|slot| slot.life == life)?;
        if slot.pins > 0 || slot.reads > 0 {
            let (bytes, reads, pins) = (slot.bytes, slot.reads.saturating_sub(1), slot.pins);
            self.place(hash, bytes, Queue::Main, reads, pins);
            return None;
        }
        self.remove(&hash);
        Some(hash)
    }

    fn remember_ghost(&mut self, hash: BlobHash) {
        if self.is_ghost.insert(hash) {
            self.ghosts.push_back(hash);
        }
        let most = self.slots.len().max(64);
        while self.ghosts.len() > most
            && let Some(oldest) = self.ghosts.pop_front()
        {
            self.is_ghost.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> BlobHash {
        BlobHash::of(&number.to_le_bytes())
    }

    fn store(policy: &mut Policy, number: u32, bytes: u64) -> Vec<BlobHash> {
        match policy.admit(hash(number), bytes) {
            Admission::Store { evict } => evict,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_long_scan_does_not_push_out_what_is_read() {
        let mut policy = Policy::new(100);
        for number in 0..8 {
            store(&mut policy, number, 10);
            policy.touch(&hash(number));
        }
        for number in 100..200 {
            store(&mut policy, number, 10);
        }
        let kept = (0..8).filter(|number| policy.holds(&hash(*number))).count();
        assert!(kept >= 7, "{kept} of 8 kept");
        assert!(policy.bytes() <= 100);
    }

    #[test]
    fn a_segment_that_comes_back_soon_goes_to_the_main_queue() {
        let mut policy = Policy::new(100);
        for number in 0..11 {
            store(&mut policy, number, 10);
        }
        assert!(!policy.holds(&hash(0)));
        store(&mut policy, 0, 10);
        for number in 50..58 {
            store(&mut policy, number, 10);
        }
        assert!(policy.holds(&hash(0)), "a ghost is given a second life");
    }

    #[test]
    fn what_is_pinned_stays_and_the_rest_is_refused_when_nothing_can_go() {
        let mut policy = Policy::new(30);
        for number in 0..3 {
            store(&mut policy, number, 10);
            assert!(policy.pin(&hash(number)));
        }
        assert!(matches!(policy.admit(hash(9), 10), Admission::Refused { .. }));
        policy.unpin(&hash(1));
        assert_eq!(store(&mut policy, 9, 10), vec![hash(1)]);
        assert!(policy.holds(&hash(0)) && policy.holds(&hash(2)));
    }

    #[test]
    fn removed_and_stored_again_counts_once() {
        let mut policy = Policy::new(100);
        store(&mut policy, 1, 40);
        assert!(policy.remove(&hash(1)));
        store(&mut policy, 1, 40);
        assert_eq!((policy.bytes(), policy.len()), (40, 1));
        assert!(!policy.remove(&hash(2)));
    }

    #[test]
    fn on_a_zipf_trace_it_comes_near_to_knowing_what_is_popular() {
        const OBJECTS: u32 = 2_000;
        const REQUESTS: u32 = 60_000;
        let mut weights = Vec::new();
        let mut all = 0_u64;
        for rank in 1..=u64::from(OBJECTS) {
            all += (1 << 32) / rank;
            weights.push(all);
        }
        let mut policy = Policy::new(u64::from(OBJECTS / 10));
        let (mut hits, mut most, mut state) = (0_u32, 0_u32, 7_u64);
        for request in 0..REQUESTS {
            // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let drawn = (mixed ^ (mixed >> 31)) % all;
            let object = u32::try_from(weights.partition_point(|until| *until <= drawn)).unwrap();
            let is_hit = policy.holds(&hash(object));
            if is_hit {
                policy.touch(&hash(object));
            } else {
                store(&mut policy, object, 1);
            }
            if request >= REQUESTS / 5 {
                hits += u32::from(is_hit);
                most += u32::from(object < OBJECTS / 10);
            }
        }
        // Least recently used reaches 86 hundredths of it, first in first out less.
        assert!(hits * 100 >= most * 93, "{hits} hits, {most} at most");
    }

    proptest::proptest! {
        #[test]
        fn bytes_are_those_of_the_slots_and_never_above_the_budget(
            steps in proptest::collection::vec((0_u32..40, 1_u64..40, 0_u8..4), 1..300),
        ) {
            let mut policy = Policy::new(200);
            for (number, bytes, action) in steps {
                match action {
                    0 | 1 => { policy.admit(hash(number), bytes); }
                    2 => policy.touch(&hash(number)),
                    _ => { policy.remove(&hash(number)); }
                }
                let sum: u64 = policy.slots.values().map(|slot| slot.bytes).sum();
                proptest::prop_assert_eq!(sum, policy.bytes());
                proptest::prop_assert!(sum <= 200);
            }
        }
    }
}
