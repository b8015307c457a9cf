//! How long blobs have been of no use, counted without a clock of the day.
//!
//! ```text
//!  not reached in a pass   age 0 -> age + what passed since the last pass -> ... -> due
//!  reached, or put again   the age is forgotten
//! ```
//! Only time that a running process saw pass is counted, so neither a stop nor a clock that is set
//! makes a blob older. Kept as text, a line per blob, and read without trust: what is damaged is
//! forgotten, which only makes blobs stay longer. It must not know why a blob is of no use.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use fairground_types::BlobHash;

/// First line of the file.
const HEAD: &str = "fairground unused blobs 1";

/// Ages by blob.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unused {
    ages: BTreeMap<BlobHash, Duration>,
}

impl Unused {
    /// Reads what [`Unused::to_text`] wrote; nothing when another version did.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Self::default();
        }
        let row = |line: &str| {
            let (hash, age) = line.split_once(' ')?;
            Some((hash.parse().ok()?, Duration::from_millis(age.parse().ok()?)))
        };
        Self { ages: lines.filter_map(row).collect() }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (hash, age) in &self.ages {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{hash} {}", age.as_millis());
        }
        text
    }

    /// Takes in a look at the blobs whose hash begins with `shelf`: those in `dead` are of no use,
    /// and `passed` has passed since the last look.
    pub(super) fn note(&mut self, shelf: u8, dead: &BTreeSet<BlobHash>, passed: Duration) {
        self.ages.retain(|hash, _| hash.as_bytes().first() != Some(&shelf) || dead.contains(hash));
        for hash in dead {
            let older = self.ages.get(hash).map(|age| age.saturating_add(passed));
            self.ages.insert(*hash, older.unwrap_or_default());
        }
    }

    /// A blob is wanted, or gone.
    pub(super) fn forget(&mut self, hash: &BlobHash) {
        self.ages.remove(hash);
    }

    /// Lets no blob be older than `max`.
    pub(super) fn cap(&mut self, max: Duration) {
        for age in self.ages.values_mut() {
            *age = (*age).min(max);
        }
    }

    pub(super) fn is_due(&self, hash: &BlobHash, grace: Duration) -> bool {
        self.ages.get(hash).is_some_and(|age| *age >= grace)
    }

    pub(super) fn due(&self, grace: Duration) -> Vec<BlobHash> {
        self.ages.iter().filter(|(_, age)| **age >= grace).map(|(hash, _)| *hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn hash(shelf: u8, rest: u8) -> BlobHash {
        let mut bytes = [rest; 32];
        bytes[0] = shelf;
        BlobHash::from_bytes(bytes)
    }

    #[test]
    fn a_blob_is_due_after_a_grace_in_which_no_pass_reached_it() {
        let mut unused = Unused::default();
        let dead = BTreeSet::from([hash(1, 1), hash(1, 2)]);
        unused.note(1, &dead, 30 * HOUR);
        assert!(
            unused.due(HOUR).is_empty(),
            "what passed before it was noticed counts for nothing"
        );
        unused.note(1, &dead, HOUR / 2);
        unused.note(2, &BTreeSet::from([hash(2, 1)]), HOUR);
        assert!(unused.due(HOUR).is_empty());
        unused.note(1, &BTreeSet::from([hash(1, 2)]), HOUR / 2);
        assert_eq!(unused.due(HOUR), [hash(1, 2)], "the other was reached");
        unused.note(1, &dead, HOUR);
        assert!(!unused.is_due(&hash(1, 1), HOUR), "and begins anew");
        unused.forget(&hash(1, 2));
        assert!(!unused.is_due(&hash(1, 2), Duration::ZERO));
    }

    #[test]
    fn ages_come_back_from_text_and_damage_only_forgets() {
        let mut unused = Unused::default();
        for _ in 0..3 {
            unused.note(0xAB, &BTreeSet::from([hash(0xAB, 0)]), HOUR);
            unused.note(0xCD, &BTreeSet::from([hash(0xCD, 1)]), HOUR * 2);
        }
        let text = unused.to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "fairground unused blobs 1");
        assert_eq!(lines[1], format!("ab{} 7200000", "00".repeat(31)));
        assert_eq!(lines[2], format!("cd{} 14400000", "01".repeat(31)));
        assert_eq!(Unused::parse(&text), unused);
        let cut: String = text.chars().take(text.len() - 40).collect();
        assert_eq!(Unused::parse(&cut).due(Duration::ZERO), [hash(0xAB, 0)]);
        assert_eq!(
            Unused::parse(&text.replace("ab00", "zz00")).due(Duration::ZERO),
            [hash(0xCD, 1)]
        );
        assert_eq!(Unused::parse(&text.replace("blobs 1", "blobs 2")), Unused::default());
        unused.cap(HOUR * 3);
        assert_eq!(unused.due(HOUR * 3), [hash(0xCD, 1)]);
        assert!(!unused.is_due(&hash(0xCD, 1), HOUR * 4));
    }
}
