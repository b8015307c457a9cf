//! Which versions of the stream messages two daemons speak.
//!
//! Each side names the range it speaks; the highest common version is used. A release speaks the
//! version before its own too, so neighbours always interoperate (architecture 7).

use wincode::{SchemaRead, SchemaWrite};

/// What this release speaks.
pub const SPOKEN: VersionRange = VersionRange { min: 1, max: 1 };

/// Application protocol name of the QUIC connections between daemons (RFC 7301).
pub const ALPN: &[u8] = b"fairground/1";

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct VersionRange {
    /// Oldest.
    pub min: u16,
    /// Newest.
    pub max: u16,
}

/// First frame of each direction of a connection's first stream.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Hello {
    /// What the sender speaks.
    pub speaks: VersionRange,
    /// Newest rules of the market that the sender knows.
    pub rules: u32,
    /// Release of the sender, for logs.
    pub release: String,
}

/// Two daemons have no version in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no version in common: we speak {}-{}, they speak {}-{}", .ours.min, .ours.max, .theirs.min, .theirs.max)]
pub struct NoCommonVersion {
    /// Our range.
    pub ours: VersionRange,
    /// Their range.
    pub theirs: VersionRange,
}

impl VersionRange {
    /// The highest version that both ranges hold.
    ///
    /// # Errors
    /// When the ranges do not meet, or one is upside down.
    pub fn common(self, theirs: Self) -> Result<u16, NoCommonVersion> {
        let highest = self.max.min(theirs.max);
        let lowest = self.min.max(theirs.min);
        let is_sound = self.min <= self.max && theirs.min <= theirs.max;
        if is_sound && lowest <= highest {
            Ok(highest)
        } else {
            Err(NoCommonVersion { ours: self, theirs })
        }
    }
}

crate::codec::version_one!(Hello);

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(min: u16, max: u16) -> VersionRange {
        VersionRange { min, max }
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        assert_eq!(range(1, 3).common(range(2, 5)), Ok(3));
        assert_eq!(range(2, 5).common(range(1, 3)), Ok(3));
        assert_eq!(range(4, 4).common(range(4, 4)), Ok(4));
    }

    #[test]
    fn ranges_that_do_not_meet_are_refused() {
        assert!(range(1, 2).common(range(3, 4)).is_err());
        assert!(range(1, 4).common(range(3, 2)).is_err());
    }
}
