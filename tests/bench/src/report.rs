//! Figures as text: a table in the order of measuring, ratios of one run, aims met or not.
//!
//! Numbers are whole numbers of their smallest unit; the point is put in here.

use std::io::{self, Write as _};
use std::time::Duration;

use crate::drive::{Figures, Pace};

/// What one row measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// The system.
    pub system: String,
    /// Auctions that were bid on.
    pub auctions: usize,
    /// Bidders.
    pub bidders: usize,
    /// When bids were sent.
    pub pace: Pace,
    /// What was seen.
    pub figures: Figures,
}

const HEADS: [&str; 11] = [
    "system",
    "loop",
    "auctions",
    "bidders",
    "accepted/s",
    "decided/s",
    "undecided",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "CPU us/acc",
];
const WIDTHS: [usize; 11] = [20, 10, 8, 7, 10, 10, 9, 9, 9, 9, 10];

fn cells(cells: [String; 11]) -> String {
    let mut line = String::new();
    for (place, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        let padded = if place < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
        line.push_str(&padded);
        line.push_str("  ");
    }
    line.trim_end().to_owned()
}

/// The heads of the table.
#[must_use]
pub fn heads() -> String {
    cells(HEADS.map(str::to_owned))
}

impl Row {
    /// The row as a line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        let figures = &self.figures;
        let pace = match self.pace {
            Pace::Closed => "closed".to_owned(),
            Pace::Open { per_second } => format!("{per_second}/s"),
        };
        let ms = |quantile| with_point(figures.latency_us(quantile), 3);
        cells([
            self.system.clone(),
            pace,
            self.auctions.to_string(),
            self.bidders.to_string(),
            figures.accepted_rate().to_string(),
            figures.decided_rate().to_string(),
            figures.undecided.to_string(),
            ms(0.5),
            ms(0.99),
            ms(0.999),
            figures.cpu_tenths_us().map_or_else(|| "-".to_owned(), |us| with_point(us, 1)),
        ])
    }
}

/// A whole number of ten to the minus `decimals` with its point.
#[must_use]
pub fn with_point(value: u64, decimals: u32) -> String {
    let unit = 10_u64.pow(decimals);
    let width = usize::try_from(decimals).unwrap_or(0);
    format!("{}.{:0width$}", value / unit, value % unit)
}

/// Seconds with three decimals.
#[must_use]
pub fn seconds(span: Duration) -> String {
    with_point(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), 3)
}

/// A ratio in hundredths; nothing when there is nothing to compare with.
#[must_use]
pub fn hundredths(value: u64, of: u64) -> Option<u64> {
    (of > 0).then(|| value.saturating_mul(100) / of)
}

/// CPU time in hundredths of a second for each GB that was sent; nothing when nothing was.
#[must_use]
pub fn cpu_per_gb(spent: Duration, bytes: u64) -> Option<u64> {
    let scaled = spent.as_micros().saturating_mul(100_000);
    let per_gb = scaled.checked_div(u128::from(bytes))?;
    Some(u64::try_from(per_gb).unwrap_or(u64::MAX))
}

/// The middle one of several figures; the upper middle of an even number.
#[must_use]
pub fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// An aim and what was seen of it.
#[derive(Clone, Debug)]
pub struct Aim {
    /// What is to be reached.
    pub name: String,
    /// What was seen.
    pub seen: String,
    /// Whether that is reached.
    pub is_met: bool,
}

impl Aim {
    /// At least so many hundredths.
    #[must_use]
    pub fn at_least(name: impl Into<String>, seen: u64, wanted: u64) -> Self {
        let seen_text = format!("{} x", with_point(seen, 2));
        Self { name: name.into(), seen: seen_text, is_met: seen >= wanted }
    }

    /// Within that time; `None` did not happen.
    #[must_use]
    pub fn within(name: impl Into<String>, seen: Option<Duration>, most: Duration) -> Self {
        let seen_text =
            seen.map_or_else(|| "never".to_owned(), |seen| format!("{} s", seconds(seen)));
        Self { name: name.into(), seen: seen_text, is_met: seen.is_some_and(|seen| seen <= most) }
    }

    /// The aim as a line.
    #[must_use]
    pub fn line(&self) -> String {
        let verdict = if self.is_met { "met" } else { "NOT MET" };
        format!("{:<78} {:>16}  {verdict}", self.name, self.seen)
    }
}

/// Prints a line.
///
/// # Errors
/// When nobody reads any more.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Tells a person what goes on, on standard error.
pub fn note(text: &str) {
    // Who does not read it misses nothing of the result.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_is_put_where_it_belongs() {
        assert_eq!(with_point(1_234, 3), "1.234");
        assert_eq!(with_point(5, 2), "0.05");
        assert_eq!(with_point(700, 1), "70.0");
    }

    #[test]
    fn ratios_need_something_to_compare_with() {
        assert_eq!(hundredths(300, 200), Some(150));
        assert_eq!(hundredths(300, 0), None);
    }

    #[test]
    fn cpu_time_is_told_for_each_gigabyte() {
        assert_eq!(cpu_per_gb(Duration::from_millis(1_300), 2_000_000_000), Some(65));
        assert_eq!(cpu_per_gb(Duration::from_secs(1), 0), None);
    }

    #[test]
    fn an_aim_says_whether_it_is_met() {
        assert!(Aim::at_least("twice", 200, 200).line().ends_with("2.00 x  met"));
        assert!(Aim::at_least("twice", 199, 200).line().ends_with("1.99 x  NOT MET"));
        let within = |seen: Option<u64>| {
            let seen = seen.map(Duration::from_millis);
            Aim::within("soon", seen, Duration::from_secs(10)).line()
        };
        assert!(within(Some(10_000)).ends_with("10.000 s  met"));
        assert!(within(Some(10_001)).ends_with("10.001 s  NOT MET"));
        assert!(within(None).ends_with("never  NOT MET"));
        assert_eq!(median(vec![3, 1, 2]), Some(2));
        assert_eq!(median(Vec::new()), None);
    }
}
