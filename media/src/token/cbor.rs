//! The part of CBOR (RFC 8949) that COSE claims are written in: integers, strings, arrays and maps of
//! known length, every head in its shortest form (RFC 8949 section 4.2.1).
//!
//! What else CBOR has (floats, tags, streams of unknown length) is refused, so a value has one
//! spelling. Nothing is nested here: who reads says what comes next. It must not know tokens.

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// Writes items one after the other.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An integer; CBOR's negative ones are stored as `-1 - value`.
    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(UINT, value),
            Err(_) => self.head(NEGATIVE, value.unsigned_abs().saturating_sub(1)),
        }
    }

    pub(super) fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UINT, value)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, length(bytes.len()));
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, length(text.len()));
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Begins an array of so many items.
    pub(super) fn array(&mut self, items: usize) -> &mut Self {
        self.head(ARRAY, length(items))
    }

    /// Begins a map of so many pairs.
    pub(super) fn map(&mut self, pairs: usize) -> &mut Self {
        self.head(MAP, length(pairs))
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        if let Ok(value) = u8::try_from(value) {
            if value < 24 {
                self.0.push(major | value);
            } else {
                self.0.extend_from_slice(&[major | 24, value]);
            }
        } else if let Ok(value) = u16::try_from(value) {
            self.0.push(major | 25);
            self.0.extend_from_slice(&value.to_be_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.0.push(major | 26);
            self.0.extend_from_slice(&value.to_be_bytes());
        } else {
            self.0.push(major | 27);
            self.0.extend_from_slice(&value.to_be_bytes());
        }
        self
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Reads items one after the other; `None` when the next one is another, or spelled otherwise.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn int(&mut self) -> Option<i64> {
        match self.head()? {
            (UINT, value) => i64::try_from(value).ok(),
            (NEGATIVE, value) => i64::try_from(value).ok().map(|value| !value),
            _ => None,
        }
    }

    pub(super) fn uint(&mut self) -> Option<u64> {
        self.of(UINT)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.of(BYTES)?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A string of exactly so many bytes.
    pub(super) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes()?.try_into().ok()
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.of(TEXT)?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(bytes).ok()
    }

    /// How many items an array has.
    pub(super) fn array(&mut self) -> Option<u64> {
        self.of(ARRAY)
    }

    /// How many pairs a map has.
    pub(super) fn map(&mut self) -> Option<u64> {
        self.of(MAP)
    }

    fn of(&mut self, wanted: u8) -> Option<u64> {
        let (major, value) = self.head()?;
        (major == wanted).then_some(value)
    }

    fn head(&mut self) -> Option<(u8, u64)> {
        let [first] = self.take()?;
        let (major, short) = (first >> 5, first & 31);
        let (value, least) = match short {
            0..24 => (u64::from(short), 0),
            24 => (u64::from(u8::from_be_bytes(self.take()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.take()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.take()?), 1 << 32),
            _ => return None,
        };
        (value >= least).then_some((major, value))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Integers of RFC 8949 appendix A.
    #[test]
    fn integers_are_written_as_the_rfc_says() {
        let rows: [(i64, &[u8]); 9] = [
            (0, &[0x00]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (1_000, &[0x19, 0x03, 0xe8]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (1_000_000_000_000, &[0x1b, 0x00, 0x00, 0x00, 0xe8, 0xd4, 0xa5, 0x10, 0x00]),
            (-1, &[0x20]),
            (-100, &[0x38, 0x63]),
            (-1_000, &[0x39, 0x03, 0xe7]),
        ];
        for (value, bytes) in rows {
            let mut writer = Writer::default();
            writer.int(value);
            assert_eq!(writer.into_bytes(), bytes, "{value}");
            assert_eq!(Reader::new(bytes).int(), Some(value));
        }
    }

    #[test]
    fn longer_spellings_and_other_kinds_are_refused() {
        for bytes in [&[0x18, 0x17][..], &[0x19, 0x00, 0xff], &[0x1a, 0, 0, 0xff, 0xff]] {
            assert_eq!(Reader::new(bytes).uint(), None, "{bytes:?}");
        }
        for bytes in [&[0x5f, 0x41, 0x00, 0xff][..], &[0x43, 0x00], &[0x61, 0x61], &[0xf6], &[]] {
            assert_eq!(Reader::new(bytes).bytes(), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(int: i64, uint: u64, bytes: Vec<u8>, items in 0_usize..99_999) {
            let mut writer = Writer::default();
            writer.array(items).int(int).bytes(&bytes).uint(uint).text("x").map(items);
            let written = writer.into_bytes();
            let mut reader = Reader::new(&written);
            prop_assert_eq!(reader.array(), Some(length(items)));
            prop_assert_eq!(reader.int(), Some(int));
            prop_assert_eq!(reader.bytes(), Some(&bytes[..]));
            prop_assert_eq!(reader.uint(), Some(uint));
            prop_assert_eq!(reader.text(), Some("x"));
            prop_assert_eq!(reader.map(), Some(length(items)));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.int().is_some() || reader.bytes().is_some() {}
        }
    }
}
