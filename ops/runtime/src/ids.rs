//! Bits of new ids and other randomness, from the operating system's generator.
//!
//! It must not know what the bits are for. Read next: `fairground_types::id`.

use fairground_types::Timestamp;

/// Bits of a UUIDv7 (RFC 9562 section 5.7): 48 bits of `now`, 74 random bits.
///
/// Ids made in one millisecond are not ordered among themselves.
#[must_use]
pub fn uuid_v7_bits(now: Timestamp) -> u128 {
    let random = u128::from_be_bytes(random_bytes::<16>());
    let time = u128::from(now.as_unix_millis() & 0xFFFF_FFFF_FFFF) << 80;
    let version = 0x7_u128 << 76;
    let variant = 0b10_u128 << 62;
    let kept = (0xFFF_u128 << 64) | ((1_u128 << 62) - 1);
    time | version | variant | (random & kept)
}

/// `N` random bytes, fit for keys.
///
/// # Panics
/// Never on a system whose generator works: a process without randomness must not go on.
#[must_use]
#[expect(clippy::expect_used, reason = "a process without randomness must not make keys or ids")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    if !fairground_seam::fill(&mut bytes) {
        aws_lc_rs::rand::fill(&mut bytes).expect("the system's random generator answers");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_carry_time_version_and_variant() {
        let now = Timestamp::from_unix_millis(1_790_000_000_123);
        let bits = uuid_v7_bits(now);
        assert_eq!(bits >> 80, u128::from(now.as_unix_millis()));
        assert_eq!((bits >> 76) & 0xF, 7);
        assert_eq!((bits >> 62) & 0b11, 0b10);
        assert_ne!(bits, uuid_v7_bits(now));
    }
}
