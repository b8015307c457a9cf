//! Ids in the shape of the provider's, from a seed and a counter.
//!
//! A run with one seed names things alike each time; without one the seed is random, so that two
//! runs against one kept cluster never share an event id. Read next: [`crate::stripe`].

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A source of ids.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    next: AtomicU64,
}

impl Ids {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }

    /// `prefix` and then `len` letters and digits.
    pub(crate) fn mixed(&self, prefix: &str, len: usize) -> String {
        let mut text = prefix.to_owned();
        let bytes = self.bytes(len);
        text.extend(bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])));
        text
    }

    /// `prefix` and then `len` lower-case hexadecimal digits.
    pub(crate) fn hex(&self, prefix: &str, len: usize) -> String {
        let digits = b"0123456789abcdef";
        let mut text = prefix.to_owned();
        text.extend(self.bytes(len).map(|byte| char::from(digits[usize::from(byte % 16)])));
        text
    }

    fn bytes(&self, len: usize) -> impl Iterator<Item = u8> + use<> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let seed = self.seed;
        (0_u64..)
            .flat_map(move |block| {
                let mut hash = Sha256::new();
                hash.update(seed.to_be_bytes());
                hash.update(number.to_be_bytes());
                hash.update(block.to_be_bytes());
                <[u8; 32]>::from(hash.finalize())
            })
            .take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_within_a_run_and_repeat_with_the_seed() {
        let (one, two) = (Ids::new(1), Ids::new(1));
        let first = one.mixed("cs_test_", 58);
        assert_eq!(first, two.mixed("cs_test_", 58));
        assert_eq!(first.len(), 66);
        assert_ne!(first, one.mixed("cs_test_", 58));
        assert_ne!(first, Ids::new(2).mixed("cs_test_", 58));
        assert!(one.hex("SM", 32).bytes().skip(2).all(|byte| byte.is_ascii_hexdigit()));
    }
}
