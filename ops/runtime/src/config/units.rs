//! Lengths of time and sizes as an operator writes them: `"30s"`, `"512 MiB"`.
//!
//! A number without a unit is refused, so that no reader has to guess.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fairground_types::Millis;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time in configuration: an integer and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationText(Millis);

/// A size in configuration: an integer and one of `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or
/// `kB`, `MB`, `GB`, `TB` (powers of 1000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeText(u64);

/// Why a text is no length or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct UnitError {
    expected: &'static str,
}

const DURATION: UnitError =
    UnitError { expected: "a length of time such as \"250ms\", \"30s\", \"2m\", \"1h\" or \"7d\"" };
const SIZE: UnitError =
    UnitError { expected: "a size such as \"64 KiB\", \"512 MiB\" or \"2 GB\"" };

const DURATION_UNITS: &[(&str, u64)] =
    &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn print(value: u64, units: &[(&'static str, u64)]) -> (u64, &'static str) {
    let whole = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    let (unit, factor) =
        units.iter().find(whole).or_else(|| units.last()).copied().unwrap_or(("", 1));
    (value / factor, unit)
}

impl DurationText {
    /// From a length.
    #[must_use]
    pub const fn new(length: Millis) -> Self {
        Self(length)
    }

    /// The length.
    #[must_use]
    pub const fn millis(self) -> Millis {
        self.0
    }

    /// As the standard library's duration.
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        self.0.to_duration()
    }
}

impl SizeText {
    /// From a number of bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for DurationText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, DURATION_UNITS).map(|millis| Self(Millis::new(millis))).ok_or(DURATION)
    }
}

impl FromStr for SizeText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, SIZE_UNITS).map(Self).ok_or(SIZE)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = print(self.0.as_millis(), DURATION_UNITS);
        write!(f, "{number}{unit}")
    }
}

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = print(self.0, SIZE_UNITS);
        write!(f, "{number} {unit}")
    }
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text! { DurationText SizeText }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_round_trip_in_their_largest_whole_unit() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("90s", 90_000), ("2m", 120_000)] {
            let parsed: DurationText = text.parse().expect(text);
            assert_eq!(parsed.millis().as_millis(), millis);
            assert_eq!(parsed.to_string(), text);
        }
        for (text, bytes) in [("512 MiB", 512 << 20), ("2 GB", 2_000_000_000), ("17 B", 17)] {
            let parsed: SizeText = text.parse().expect(text);
            assert_eq!((parsed.bytes(), parsed.to_string().as_str()), (bytes, text));
        }
        assert_eq!(DurationText::default().to_string(), "0ms");
    }

    #[test]
    fn a_bare_number_is_refused() {
        for text in ["30", "", "s", "-1s", "1.5s", "1 S", "99999999999999999999s", "1w"] {
            assert!(text.parse::<DurationText>().is_err(), "{text}");
        }
        assert!("512".parse::<SizeText>().is_err());
        assert!("18446744073709551615 KiB".parse::<SizeText>().is_err());
    }
}
