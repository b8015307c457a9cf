//! Bounded, parsed text: what a person typed, once it is known to be acceptable.
//!
//! A constructor either returns the value or says which bound it broke; nothing is changed silently
//! except that white space around it goes and letters are composed (Unicode NFC).

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use wincode::{SchemaRead, SchemaWrite};

/// Why a text was not accepted. Public: may be shown to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Shorter or longer than allowed, counted in characters.
    #[error("must have {min} to {max} characters")]
    Length {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// Holds a character that is not allowed.
    #[error("may hold only {allowed}")]
    Characters {
        /// What is allowed, in words.
        allowed: &'static str,
    },
}

/// White space around a text that is looked at.
const TRIMMED_MAX: usize = 1_024;

/// Bounds count the characters of the composed form (Unicode NFC): what looks like one letter is one,
/// however a keyboard writes it.
pub(crate) fn bounded(text: &str, min: usize, max: usize) -> Result<String, TextError> {
    // Composing makes no text longer than three times its characters; more cannot fit anyway.
    if text.len() > max.saturating_add(TRIMMED_MAX).saturating_mul(12) {
        return Err(TextError::Length { min, max });
    }
    let composed: String = text.nfc().collect();
    let text = composed.trim();
    if !(min..=max).contains(&text.chars().count()) {
        return Err(TextError::Length { min, max });
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(TextError::Characters { allowed: "printable characters" });
    }
    Ok(text.to_owned())
}

macro_rules! bounded_text {
    ($($(#[$doc:meta])* $name:ident $min:literal..=$max:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, SchemaRead, SchemaWrite)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// When it is too short, too long or holds a forbidden character.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let text = bounded(text, $min, $max)?;
                let check: fn(&str) -> Result<(), TextError> = $check;
                check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(D::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::openapi::bounded($min, $max)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

const fn any(_: &str) -> Result<(), TextError> {
    Ok(())
}

fn handle_characters(text: &str) -> Result<(), TextError> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        Ok(())
    } else {
        Err(TextError::Characters { allowed: "letters, digits, _ and -" })
    }
}

fn slug_characters(text: &str) -> Result<(), TextError> {
    if text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        Ok(())
    } else {
        Err(TextError::Characters { allowed: "a-z, 0-9 and -" })
    }
}

fn country_characters(text: &str) -> Result<(), TextError> {
    if text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err(TextError::Characters { allowed: "A-Z" })
    }
}

fn tracking_characters(text: &str) -> Result<(), TextError> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b' ')) {
        Ok(())
    } else {
        Err(TextError::Characters { allowed: "letters, digits, - and spaces" })
    }
}

fn locale_characters(text: &str) -> Result<(), TextError> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        Ok(())
    } else {
        Err(TextError::Characters { allowed: "letters, digits and -" })
    }
}

fn zone_characters(text: &str) -> Result<(), TextError> {
    let is_zone =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'+' | b'-');
    if text.bytes().all(is_zone) {
        Ok(())
    } else {
        Err(TextError::Characters { allowed: "letters, digits, /, _, + and -" })
    }
}

impl FlagText {
    /// The empty text.
    #[must_use]
    pub const fn empty() -> Self {
        Self(String::new())
    }
}

impl Default for FlagText {
    fn default() -> Self {
        Self::empty()
    }
}

bounded_text! {
    /// The public name of an account, unique, compared without case.
    Handle 3..=30, handle_characters;
    /// Title of a story.
    Title 1..=255, any;
    /// One-line description of a story.
    Summary 1..=140, any;
    /// The long text of a story.
    Overview 0..=10000, any;
    /// Category of a story.
    Category 1..=40, slug_characters;
    /// Label of a clip.
    ClipLabel 1..=30, any;
    /// A note of a maker, moderator or admin.
    Note 1..=1000, any;
    /// A region name that the operator chose.
    Region 1..=40, slug_characters;
    /// One line of an address: a name, a street, a town.
    AddressLine 1..=120, any;
    /// What somebody wants to be called.
    DisplayName 1..=60, any;
    /// A country (ISO 3166-1, two letters).
    Country 2..=2, country_characters;
    /// What a buyer writes with an offer, for the maker alone.
    OfferNote 1..=240, any;
    /// A carrier's tracking number.
    TrackingNumber 4..=40, tracking_characters;
    /// Why a capability is not given, for machines.
    BlockerCode 1..=40, slug_characters;
    /// What a client uses to name its intent (`Idempotency-Key`).
    IdempotencyKey 8..=255, any;
    /// A language (BCP 47).
    Locale 2..=16, locale_characters;
    /// A time zone by its IANA name.
    ZoneName 1..=64, zone_characters;
    /// Subject of a notice.
    TemplateSubject 1..=200, any;
    /// Text of a notice.
    TemplateBody 1..=2000, any;
    /// Value of a flag that holds a text.
    FlagText 0..=400, any;
}

/// Normalises a mail address for comparison, or says that it is none.
///
/// Only the shape is checked (one `@`, a dot in the domain, at most 254 bytes); the one-time code
/// proves the rest.
#[must_use]
pub fn normalise_email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b','))
    };
    let valid = !local.is_empty()
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && text.len() <= 254
        && plain(local)
        && plain(domain)
        && !local.contains('@');
    valid.then_some(text)
}

/// Normalises a telephone number to E.164, or says that it is none.
#[must_use]
pub fn normalise_phone(text: &str) -> Option<String> {
    let digits: String =
        text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let number = digits.strip_prefix('+')?;
    let valid = (8..=15).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.starts_with('0');
    valid.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_counted_in_characters_after_trimming() {
        assert!(Handle::parse("  maker-1 ").is_ok());
        assert_eq!(Handle::parse("ab"), Err(TextError::Length { min: 3, max: 30 }));
        assert!(Title::parse(&"é".repeat(255)).is_ok());
        assert!(Title::parse("a\u{7}b").is_err());
    }

    #[test]
    fn a_letter_counts_once_however_it_is_written() {
        let spelled = "e\u{301}".repeat(255);
        let title = Title::parse(&spelled).expect("255 letters");
        assert_eq!(title.as_str(), "\u{e9}".repeat(255));
        assert_eq!(Title::parse("\u{e9}"), Title::parse("e\u{301}"));
        assert!(Title::parse(&"e\u{301}".repeat(256)).is_err());
        assert!(Title::parse(&"\u{e9}".repeat(256)).is_err());
    }

    #[test]
    fn contacts_are_normalised_or_refused() {
        assert_eq!(normalise_email(" Buyer-7@Shop.Example "), Some("buyer-7@shop.example".into()));
        assert_eq!(normalise_email("a@b@c.example"), None);
        assert_eq!(normalise_email("nobody"), None);
        assert_eq!(normalise_phone("+44 20 7946 0000"), Some("+442079460000".into()));
        assert_eq!(normalise_phone("12"), None);
    }
}
