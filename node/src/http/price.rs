//! Money as clients type it: `amountMinor`, an integer, or `amount`, a decimal text in major units.
//!
//! | sent | refused with |
//! | --- | --- |
//! | both, neither, a number with a point, a text where a number belongs | `VALIDATION_FAILED` |
//! | `amount` that is no decimal of its currency | `VALIDATION_FAILED` |
//! | zero, negative, larger than any amount | `AMOUNT_OUT_OF_RANGE` |
//!
//! Whether the currency is the listing's is the market's to say. A request has the members
//! `amount_minor: Option<MinorUnits>`, `amount: Option<String>`, `currency: Currency` and asks
//! [`money_of`].

use std::fmt;

use fairground_runtime::problem::Problem;
use fairground_types::limits::AMOUNT_CEILING_MINOR;
use fairground_types::{Code, Currency, Money, MoneyError};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

/// An integer as it was typed, also where it is no amount: that has a code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinorUnits(Option<u64>);

struct Integer;

impl Visitor<'_> for Integer {
    type Value = MinorUnits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer in minor units")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<MinorUnits, E> {
        Ok(MinorUnits(Some(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<MinorUnits, E> {
        Ok(MinorUnits(u64::try_from(value).ok()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<MinorUnits, E> {
        // What the reader cannot hold as an integer comes as a float: 20 digits and more.
        const INTEGERS_END: f64 = 9.2e18;
        if value.abs() >= INTEGERS_END {
            return Ok(MinorUnits(None));
        }
        Err(E::custom("must be an integer in minor units, not a number with a point"))
    }
}

impl<'de> Deserialize<'de> for MinorUnits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Integer)
    }
}

impl utoipa::PartialSchema for MinorUnits {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .description(Some("An amount in the currency's minor unit. Send this or `amount`."))
            .minimum(Some(1_usize))
            .maximum(usize::try_from(AMOUNT_CEILING_MINOR).ok())
            .into()
    }
}

impl utoipa::ToSchema for MinorUnits {}

/// The amount that was typed.
pub(crate) fn money_of(
    amount_minor: Option<MinorUnits>,
    amount: Option<&str>,
    currency: Currency,
) -> Result<Money, Problem> {
    let out_of_range = |field: &str| {
        let detail = format!("must be 1 to {AMOUNT_CEILING_MINOR} minor units");
        Problem::new(Code::AmountOutOfRange, "the amount is out of range").with_field(field, detail)
    };
    let (field, money) = match (amount_minor, amount) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("amount", "send `amountMinor` or `amount`, not both"));
        }
        (None, None) => {
            return Err(Problem::invalid("amountMinor", "send `amountMinor` or `amount`"));
        }
        (Some(minor), None) => {
            let minor = minor.0.ok_or_else(|| out_of_range("amountMinor"))?;
            ("amountMinor", Money::new(minor, currency))
        }
        (None, Some(text)) => {
            let money = Money::parse_major(text, currency).map_err(|error| match error {
                MoneyError::TooLarge => out_of_range("amount"),
                MoneyError::Malformed | MoneyError::TooFine { .. } => {
                    Problem::invalid("amount", error.to_string())
                }
            })?;
            ("amount", money)
        }
    };
    if (1..=AMOUNT_CEILING_MINOR).contains(&money.minor()) {
        Ok(money)
    } else {
        Err(out_of_range(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Typed {
        #[serde(default)]
        amount_minor: Option<MinorUnits>,
        #[serde(default)]
        amount: Option<String>,
    }

    fn read(body: &str) -> Result<u64, String> {
        let typed: Typed = serde_json::from_str(body).map_err(|_| "shape".to_owned())?;
        let money = money_of(typed.amount_minor, typed.amount.as_deref(), Currency::Eur);
        money.map(Money::minor).map_err(|problem| problem.code().to_string())
    }

    #[test]
    fn money_is_an_integer_or_a_decimal_text_and_nothing_else() {
        assert_eq!(read(r#"{"amountMinor": 12500}"#), Ok(12_500));
        assert_eq!(read(r#"{"amount": "125.00"}"#), Ok(12_500));
        for malformed in [
            "{}",
            r#"{"amountMinor": 1, "amount": "0.01"}"#,
            r#"{"amount": "125.001"}"#,
            r#"{"amount": "-1"}"#,
            r#"{"amount": "1e3"}"#,
            r#"{"amount": ""}"#,
        ] {
            assert_eq!(read(malformed), Err("VALIDATION_FAILED".to_owned()), "{malformed}");
        }
        for wrong in [
            r#"{"amountMinor": 125.5}"#,
            r#"{"amountMinor": 125.0}"#,
            r#"{"amountMinor": 1e3}"#,
            r#"{"amountMinor": "125"}"#,
            r#"{"amountMinor": true}"#,
            r#"{"amount": 125.5}"#,
            r#"{"amount": 125}"#,
        ] {
            assert_eq!(read(wrong), Err("shape".to_owned()), "{wrong}");
        }
        for outside in [
            r#"{"amountMinor": 0}"#,
            r#"{"amountMinor": -1}"#,
            r#"{"amountMinor": 100000000}"#,
            r#"{"amountMinor": 18446744073709551615}"#,
            r#"{"amountMinor": 99999999999999999999999}"#,
            r#"{"amountMinor": -99999999999999999999999}"#,
            r#"{"amount": "0"}"#,
            r#"{"amount": "99999999999999999999999"}"#,
        ] {
            assert_eq!(read(outside), Err("AMOUNT_OUT_OF_RANGE".to_owned()), "{outside}");
        }
    }
}
