//! Money in minor units of one currency.
//!
//! No float, no arithmetic that can wrap, no comparison across currencies.

use std::cmp::Ordering;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A currency that listings may use (ISO 4217 code).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are ISO 4217 codes")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Currency {
    Eur,
    Usd,
    Gbp,
    Chf,
    Jpy,
    Kwd,
}

impl Currency {
    /// The ISO 4217 code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Eur => "EUR",
            Self::Usd => "USD",
            Self::Gbp => "GBP",
            Self::Chf => "CHF",
            Self::Jpy => "JPY",
            Self::Kwd => "KWD",
        }
    }

    /// Parses an ISO 4217 code in capitals.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Eur, Self::Usd, Self::Gbp, Self::Chf, Self::Jpy, Self::Kwd]
            .into_iter()
            .find(|currency| currency.code() == code)
    }

    /// How many digits follow the decimal mark (ISO 4217).
    #[must_use]
    pub const fn exponent(self) -> u32 {
        match self {
            Self::Eur | Self::Usd | Self::Gbp | Self::Chf => 2,
            Self::Jpy => 0,
            Self::Kwd => 3,
        }
    }

    /// Minor units of an amount that a policy names in hundredths of a unit. A yen counts as a
    /// hundredth, as with increments.
    #[must_use]
    pub const fn from_hundredths(self, hundredths: u64) -> u64 {
        match self {
            Self::Eur | Self::Usd | Self::Gbp | Self::Chf | Self::Jpy => hundredths,
            Self::Kwd => hundredths.saturating_mul(10),
        }
    }

    /// The least step of an amount that is sent to a maker, in minor units: providers want the last
    /// digit of three-digit currencies to be 0.
    #[must_use]
    pub const fn payout_step_minor(self) -> u64 {
        match self {
            Self::Eur | Self::Usd | Self::Gbp | Self::Chf | Self::Jpy => 1,
            Self::Kwd => 10,
        }
    }

    /// "Five units" of the minimum increment, in minor units (domain: 5.00, for yen 500).
    #[must_use]
    pub const fn increment_floor_minor(self) -> u64 {
        match self {
            Self::Eur | Self::Usd | Self::Gbp | Self::Chf | Self::Jpy => 500,
            Self::Kwd => 2_000,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BasisPoints(pub u32);

/// Why a text is no amount. Public: may be shown to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with at most one point.
    #[error("must be a decimal like 125.50, without sign or separators")]
    Malformed,
    /// More digits behind the point than the currency has.
    #[error("may have at most {digits} digits behind the point in this currency")]
    TooFine {
        /// How many it may have.
        digits: usize,
    },
    /// Larger than any amount.
    #[error("is larger than any amount")]
    TooLarge,
}

/// An amount of one currency. JSON: `{"amountMinor": 12500, "currency": "EUR"}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Money {
    #[serde(deserialize_with = "exact")]
    #[cfg_attr(feature = "openapi", schema(maximum = 9_007_199_254_740_991_u64))]
    amount_minor: u64,
    currency: Currency,
}

/// The largest integer that every reader of JSON keeps exactly (RFC 8259 section 6).
const EXACT_MAX: u64 = 9_007_199_254_740_991;

fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let amount = u64::deserialize(deserializer)?;
    if amount > EXACT_MAX {
        return Err(D::Error::custom("is larger than any amount"));
    }
    Ok(amount)
}

impl Money {
    /// An amount in minor units.
    #[must_use]
    pub const fn new(amount_minor: u64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// Parses a decimal in major units: digits, at most one point, at most as many digits behind it as
    /// the currency has. No sign, no exponent, no separators.
    ///
    /// # Errors
    /// When it is no such text, or too large for any amount.
    pub fn parse_major(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(MoneyError::Malformed),
            Some(parts) => parts,
            None => (text, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(MoneyError::Malformed);
        }
        let digits = usize::try_from(currency.exponent()).unwrap_or_default();
        if fraction.len() > digits {
            return Err(MoneyError::TooFine { digits });
        }
        let all = format!("{whole}{fraction:0<digits$}");
        // Only digits are left, so only size can be wrong.
        all.parse().map(|minor| Self::new(minor, currency)).map_err(|_| MoneyError::TooLarge)
    }

    /// Minor units.
    #[must_use]
    pub const fn minor(self) -> u64 {
        self.amount_minor
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum, when both are of one currency and it fits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        self.amount_minor
            .checked_add(other.amount_minor)
            .map(|minor| Self::new(minor, self.currency))
    }

    /// The difference, when both are of one currency and it is not negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        self.amount_minor
            .checked_sub(other.amount_minor)
            .map(|minor| Self::new(minor, self.currency))
    }

    /// A share of this amount, half a minor unit rounded up.
    #[must_use]
    pub fn share_half_up(self, share: BasisPoints) -> Self {
        let product = u128::from(self.amount_minor).saturating_mul(u128::from(share.0));
        let rounded = product.saturating_add(5_000) / 10_000;
        Self::new(u64::try_from(rounded).unwrap_or(u64::MAX), self.currency)
    }

    /// A share of this amount, any remainder rounded up.
    #[must_use]
    pub fn share_ceil(self, share: BasisPoints) -> Self {
        let product = u128::from(self.amount_minor).saturating_mul(u128::from(share.0));
        Self::new(u64::try_from(product.div_ceil(10_000)).unwrap_or(u64::MAX), self.currency)
    }

    /// The part of this amount that `part` is of `whole`, half a minor unit rounded up; all of it
    /// when there is no whole.
    #[must_use]
    pub fn pro_rata(self, part: Self, whole: Self) -> Self {
        if whole.amount_minor == 0 || part.amount_minor >= whole.amount_minor {
            return self;
        }
        let product = u128::from(self.amount_minor).saturating_mul(u128::from(part.amount_minor));
        let half = u128::from(whole.amount_minor) / 2;
        let shared = product.saturating_add(half).checked_div(u128::from(whole.amount_minor));
        let minor = shared.and_then(|minor| u64::try_from(minor).ok()).unwrap_or(self.amount_minor);
        Self::new(minor, self.currency)
    }

    /// The lesser of two amounts; this one when their currencies differ.
    #[must_use]
    pub const fn at_most(self, other: Self) -> Self {
        if other.amount_minor < self.amount_minor {
            Self::new(other.amount_minor, self.currency)
        } else {
            self
        }
    }

    /// What is left after `other` was taken, nothing at least.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self::new(self.amount_minor.saturating_sub(other.amount_minor), self.currency)
    }

    /// The sum, as far as it fits.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::new(self.amount_minor.saturating_add(other.amount_minor), self.currency)
    }

    /// Nothing, in this currency.
    #[must_use]
    pub const fn none(self) -> Self {
        Self::new(0, self.currency)
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.amount_minor == 0
    }

    /// Compares two amounts of one currency.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        (self.currency == other.currency).then(|| self.amount_minor.cmp(&other.amount_minor))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        // A power of ten is never zero, so neither division can fail.
        let unit = 10_u64.saturating_pow(exponent);
        let whole = self.amount_minor.checked_div(unit).unwrap_or_default();
        let rest = self.amount_minor.checked_rem(unit).unwrap_or_default();
        if exponent == 0 {
            return write!(f, "{} {whole}", self.currency);
        }
        let width = usize::try_from(exponent).unwrap_or(2);
        write!(f, "{} {whole}.{rest:0width$}", self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_follows_the_exponent_of_the_currency() {
        assert_eq!(Money::new(12_505, Currency::Eur).to_string(), "EUR 125.05");
        assert_eq!(Money::new(125, Currency::Jpy).to_string(), "JPY 125");
        assert_eq!(Money::new(125_005, Currency::Kwd).to_string(), "KWD 125.005");
    }

    #[test]
    fn decimals_in_major_units_are_read_exactly_or_refused() {
        let read = |text| Money::parse_major(text, Currency::Eur).map(Money::minor);
        assert_eq!(read("125.5"), Ok(12_550));
        assert_eq!(read("125.05"), Ok(12_505));
        assert_eq!(read("007"), Ok(700));
        assert_eq!(read("0.00"), Ok(0));
        for text in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,000", "1 ", "1.2.3", "0x1", "\u{661}"]
        {
            assert_eq!(read(text), Err(MoneyError::Malformed), "{text}");
        }
        assert_eq!(read("1.005"), Err(MoneyError::TooFine { digits: 2 }));
        assert_eq!(read("999999999999999999999"), Err(MoneyError::TooLarge));
        let yen = |text| Money::parse_major(text, Currency::Jpy).map(Money::minor);
        assert_eq!((yen("125"), yen("125.0")), (Ok(125), Err(MoneyError::TooFine { digits: 0 })));
        assert_eq!(Money::parse_major("1.005", Currency::Kwd).map(Money::minor), Ok(1_005));
    }

    #[test]
    fn amounts_of_two_currencies_never_meet() {
        let (euro, dollar) = (Money::new(1, Currency::Eur), Money::new(1, Currency::Usd));
        assert_eq!(euro.checked_add(dollar), None);
        assert_eq!(euro.compare(dollar), None);
    }

    #[test]
    fn shares_round_as_named() {
        let amount = Money::new(27_550, Currency::Eur);
        assert_eq!(amount.share_half_up(BasisPoints(500)).minor(), 1_378);
        assert_eq!(Money::new(101, Currency::Eur).share_ceil(BasisPoints(100)).minor(), 2);
    }
}
