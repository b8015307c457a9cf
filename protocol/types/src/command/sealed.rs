//! Private texts inside commands: addresses, messages, complaints.
//!
//! An edge sends a text as it was typed, over the cluster's own connection; the member that takes
//! the command seals it before it enters the log, and the market refuses one that is not sealed. It
//! must not know keys. Read next: `private.rs` of the coordinator.

use std::fmt;

use crate::id::Digest;
use crate::text::{self, TextError};
use wincode::{SchemaRead, SchemaWrite};

/// A private text, sealed before it enters the log.
#[derive(Clone, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SealedText {
    /// The key that opens it, wrapped; empty while it is not sealed.
    pub key: Vec<u8>,
    /// The sealed bytes, or the text itself while it is not sealed.
    pub body: Vec<u8>,
    /// Tells equal texts apart from others without opening them; keyed.
    pub mark: Digest,
    /// Characters of the text, after normalisation.
    pub chars: u32,
}

impl SealedText {
    /// A text on its way to the member that seals it: normalised, of `min` to `max` characters.
    ///
    /// # Errors
    /// When it is too short, too long or holds a forbidden character.
    pub fn typed(typed: &str, min: usize, max: usize) -> Result<Self, TextError> {
        let text = text::bounded(typed, min, max)?;
        let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let mark = Digest::of(b"");
        Ok(Self { key: Vec::new(), body: text.into_bytes(), mark, chars })
    }

    /// Whether it may enter the log.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        !self.key.is_empty()
    }

    /// Whether its length in characters, and in bytes, is one that a text of `min` to `max`
    /// characters may have.
    #[must_use]
    pub fn fits(&self, min: usize, max: usize) -> bool {
        // Four bytes a character, and what sealing adds.
        let bytes_max = max.saturating_mul(4).saturating_add(SEAL_BYTES_MAX);
        usize::try_from(self.chars).is_ok_and(|chars| (min..=max).contains(&chars))
            && self.body.len() <= bytes_max
            && self.key.len() <= KEY_BYTES_MAX
    }

    /// Bytes that it takes in the state.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.key.len().saturating_add(self.body.len())
    }
}

/// Bytes that sealing adds to a text.
const SEAL_BYTES_MAX: usize = 64;
/// Bytes of a wrapped key.
const KEY_BYTES_MAX: usize = 256;

impl fmt::Debug for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedText({} characters)", self.chars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_text_is_never_printed() {
        let text = SealedText::typed("12 Some Street", 1, 100).expect("fits");
        assert!(!format!("{text:?}").contains("Street"));
        assert!(!text.is_sealed());
    }

    #[test]
    fn length_is_counted_in_characters_after_normalisation() {
        // An e with a combining acute accent is one character once it is composed.
        let text = SealedText::typed("e\u{301}e\u{301}", 1, 2).expect("two characters");
        assert_eq!(text.chars, 2);
        assert!(text.fits(1, 2));
        assert!(!text.fits(3, 9));
        assert!(SealedText::typed(" ", 1, 9).is_err());
    }
}
