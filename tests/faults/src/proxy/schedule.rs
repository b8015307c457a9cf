//! When which link is how, drawn from a seed: one trouble at a time, then calm, so that a majority
//! can always be reached sooner or later.
//!
//! It must not know a socket: [`super::Proxy`] carries it out by `crate::nemesis`.

use std::fmt;

use fairground_kit::chance::Chance;
use tokio::time::Duration;

use super::link::{Link, Pair};

/// What is troubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Everything on its way to or from one member.
    Member(usize),
    /// What two members say to each other.
    Between(usize, usize),
    /// Everything.
    All,
}

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One to thirty of a hundred packets are lost.
    Loss,
    /// 20 to 150 ms more, each way.
    Delay,
    /// Up to 80 ms more, unevenly.
    Jitter,
    /// Up to a third comes twice.
    Doubled,
    /// Up to a third is overtaken.
    Reordered,
    /// Nothing comes in, everything goes out.
    CutIn,
    /// Nothing goes out, everything comes in.
    CutOut,
    /// Nothing passes.
    Blackhole,
    /// Some of everything, everywhere.
    Weather,
}

/// All of them.
pub const KINDS: [Kind; 9] = [
    Kind::Loss,
    Kind::Delay,
    Kind::Jitter,
    Kind::Doubled,
    Kind::Reordered,
    Kind::CutIn,
    Kind::CutOut,
    Kind::Blackhole,
    Kind::Weather,
];

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When it begins, from the beginning of the schedule.
    pub begins: Duration,
    /// When it is over.
    pub ends: Duration,
    /// Which.
    pub kind: Kind,
    /// Where.
    pub place: Place,
    /// How links are meanwhile.
    pub pair: Pair,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.ends.saturating_sub(self.begins).as_millis();
        write!(f, "{:?} at {:?} for {span} ms", self.kind, self.place)
    }
}

/// Troubles for so many members until `length` is over: every kind once in a drawn sequence, then
/// again.
#[must_use]
pub fn draw(seed: u64, members: usize, length: Duration) -> Vec<Trouble> {
    let mut chance = Chance::of_part(seed, 0x5C4E);
    let mut troubles = Vec::new();
    let mut at = Duration::from_millis(chance.between(100, 400));
    let mut kinds = Vec::new();
    while at < length {
        if kinds.is_empty() {
            kinds = KINDS.to_vec();
            chance.shuffle(&mut kinds);
        }
        let Some(kind) = kinds.pop() else { continue };
        let span = Duration::from_millis(chance.between(600, 2_500));
        let place = place_of(kind, members, &mut chance);
        let pair = pair_of(kind, &mut chance);
        let ends = at + span;
        troubles.push(Trouble { begins: at, ends, kind, place, pair });
        at = ends + Duration::from_millis(chance.between(300, 900));
    }
    troubles
}

fn place_of(kind: Kind, members: usize, chance: &mut Chance) -> Place {
    let one = chance.place(members);
    let is_pair = chance.below(2) == 0 && members > 1;
    match kind {
        Kind::Weather => Place::All,
        Kind::Blackhole if is_pair => {
            let step = chance.place(members.saturating_sub(1)).saturating_add(1);
            Place::Between(one, one.saturating_add(step) % members.max(1))
        }
        _ => Place::Member(one),
    }
}

fn pair_of(kind: Kind, chance: &mut Chance) -> Pair {
    let calm = Link::default();
    let percent = |chance: &mut Chance, from: u64, to: u64| {
        u32::try_from(chance.between(from, to) * 10_000).unwrap_or(0)
    };
    let ms = |chance: &mut Chance, from, to| Duration::from_millis(chance.between(from, to));
    match kind {
        Kind::Loss => Pair::both(Link { loss: percent(chance, 1, 30), ..calm }),
        Kind::Delay => Pair::both(Link { delay: ms(chance, 20, 150), ..calm }),
        Kind::Jitter => Pair::both(Link { jitter: ms(chance, 20, 80), ..calm }),
        Kind::Doubled => Pair::both(Link { doubled: percent(chance, 5, 33), ..calm }),
        Kind::Reordered => Pair::both(Link { reordered: percent(chance, 5, 33), ..calm }),
        Kind::CutIn => Pair { toward: Link::CUT, back: calm },
        Kind::CutOut => Pair { toward: calm, back: Link::CUT },
        Kind::Blackhole => Pair::both(Link::CUT),
        Kind::Weather => Pair::both(Link {
            delay: ms(chance, 1, 10),
            jitter: ms(chance, 1, 10),
            loss: percent(chance, 1, 5),
            doubled: percent(chance, 1, 5),
            reordered: percent(chance, 1, 5),
            is_cut: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_draws_the_same_troubles_and_all_kinds_come() {
        let minute = Duration::from_mins(1);
        assert_eq!(draw(4, 3, minute), draw(4, 3, minute));
        assert_ne!(draw(4, 3, minute), draw(5, 3, minute));
        let kinds: BTreeSet<Kind> = draw(4, 3, minute).iter().map(|one| one.kind).collect();
        assert_eq!(kinds.len(), KINDS.len(), "{kinds:?}");
    }

    #[test]
    fn one_trouble_is_over_before_the_next_begins() {
        for seed in 0..50 {
            for pair in draw(seed, 3, Duration::from_secs(30)).windows(2) {
                assert!(pair[0].ends < pair[1].begins, "{pair:?}");
            }
            for trouble in draw(seed, 3, Duration::from_secs(30)) {
                match trouble.place {
                    Place::Member(one) => assert!(one < 3),
                    Place::Between(one, two) => assert!(one < 3 && two < 3 && one != two),
                    Place::All => assert!(!trouble.pair.toward.is_cut),
                }
            }
        }
    }
}
