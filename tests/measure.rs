//! What every bench shares: how much to measure, and how a figure is printed.
//!
//! A bench warms up, measures some rounds and prints one line a figure: `name  median  min  max
//! unit`. Figures are whole numbers of their smallest unit; the decimal point is put in at the end.
//! With `FAIRGROUND_BENCH_ONCE=1` there is one small round: that it runs is all that is claimed then.
//! It must not know what is measured. Read next: `docs/src/internals/performance.md`.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    is_once: bool,
}

impl Effort {
    pub(crate) fn from_environment() -> Self {
        Self {
            is_once: std::env::var_os("FAIRGROUND_BENCH_ONCE").is_some_and(|value| value == "1"),
        }
    }

    /// Rounds that count; one before them warms up.
    pub(crate) const fn rounds(self) -> usize {
        self.size(9, 1)
    }

    /// `full`, or `once` where it matters only that the bench runs.
    pub(crate) const fn size(self, full: usize, once: usize) -> usize {
        if self.is_once { once } else { full }
    }
}

/// One quantity, measured once a round.
#[derive(Debug)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    decimals: u32,
    values: Vec<u64>,
}

impl Figure {
    /// A quantity of which values are given in units of ten to the minus `decimals`.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, decimals: u32) -> Self {
        Self { name: name.into(), unit, decimals, values: Vec::new() }
    }

    pub(crate) fn add(&mut self, value: u64) {
        self.values.push(value);
    }

    /// Prints the line. The first value is that of the warm-up, and left out unless it is alone.
    #[expect(clippy::expect_used, reason = "a bench that cannot print has nothing else to do")]
    pub(crate) fn print(mut self) {
        if self.values.len() > 1 {
            self.values.remove(0);
        }
        self.values.sort_unstable();
        let at = |place: usize| self.text(self.values.get(place).copied().unwrap_or_default());
        let last = self.values.len().saturating_sub(1);
        let (median, least, most) = (at(last / 2), at(0), at(last));
        let (name, unit) = (&self.name, self.unit);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{name:<48} {median:>12} {least:>12} {most:>12}  {unit}")
            .expect("standard output is open");
    }

    fn text(&self, value: u64) -> String {
        let scale = 10_u64.pow(self.decimals);
        if scale == 1 {
            return value.to_string();
        }
        let width = usize::try_from(self.decimals).unwrap_or_default();
        format!("{}.{:0width$}", value / scale, value % scale)
    }
}

/// Does the work and says how long it took.
pub(crate) fn took<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let made = work();
    (begun.elapsed(), made)
}

/// `many * scale / few`: a rate with the nanoseconds of a second as scale, a ratio with 100.
pub(crate) fn quotient(many: u128, scale: u128, few: u128) -> u64 {
    u64::try_from(many * scale / few.max(1)).unwrap_or(u64::MAX)
}
