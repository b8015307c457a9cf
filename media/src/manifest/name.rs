//! Names that stand in paths and playlists: renditions and languages.
//!
//! Read next: `super`, where they are given.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of a rendition in paths: `c360` (H.264), `v360` (AV1), `a-hi` (audio), `i360` (I-frames).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RenditionId(String);

/// A language tag of the common kind (RFC 5646): language, then script and region if need be, all
/// in lower case: `en`, `pt-br`, `zh-hant-tw`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Language(String);

impl RenditionId {
    /// Names a rendition: 1 to 24 of `a-z 0-9 -`, and not what the asset's own files are called.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let valid = (1..=24).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !["master", "poster", "storyboard"].contains(&name);
        valid.then(|| Self(name.to_owned()))
    }

    /// The name of captions: `captions-` and the language.
    pub(super) fn of_captions(language: &Language) -> Self {
        Self(format!("captions-{language}"))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RenditionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RenditionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| serde::de::Error::custom("not a rendition's name"))
    }
}

impl Language {
    /// Reads a tag; `None` when it is not of the common kind.
    #[must_use]
    pub fn new(tag: &str) -> Option<Self> {
        let mut parts = tag.split('-').peekable();
        let letters = |part: &str, lengths: &[usize]| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
        };
        let is_region = |part: &str| {
            letters(part, &[2])
                || (part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        parts.next().filter(|part| letters(part, &[2, 3]))?;
        parts.next_if(|part| letters(part, &[4]));
        parts.next_if(|part| is_region(part));
        parts.next().is_none().then(|| Self(tag.to_ascii_lowercase()))
    }

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tag = String::deserialize(deserializer)?;
        // Lower case alone is what `new` writes.
        Self::new(&tag)
            .filter(|language| language.as_str() == tag)
            .ok_or_else(|| serde::de::Error::custom("not a language tag of the common kind"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_tags_of_the_common_kind() {
        let tag = |text: &str| Language::new(text).map(|language| language.to_string());
        assert_eq!(tag("en"), Some("en".to_owned()));
        assert_eq!(tag("gsw"), Some("gsw".to_owned()));
        assert_eq!(tag("zh-Hant-TW"), Some("zh-hant-tw".to_owned()));
        assert_eq!(tag("es-419"), Some("es-419".to_owned()));
        for bad in ["", "e", "english", "en-", "en-us-x", "en_US", "en-\"", "x-private", "é"] {
            assert_eq!(tag(bad), None, "{bad}");
        }
        let longest = RenditionId::of_captions(&Language::new("gsw-latn-419").unwrap());
        assert_eq!(RenditionId::new(longest.as_str()), Some(longest));
    }

    #[test]
    fn rendition_names_are_safe_in_paths() {
        for bad in
            ["", "..", "a/b", "C360", "master", "storyboard", "a-name-of-more-than-24-letters"]
        {
            assert!(RenditionId::new(bad).is_none(), "{bad}");
        }
        assert!(RenditionId::new("a-hi").is_some());
    }
}
