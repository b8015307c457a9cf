//! A reader of bits, most significant first, for sequence headers of both codecs. Pure.

use crate::error::MediaError;

/// A place in a run of bytes.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    fault: &'static str,
}

impl<'a> Bits<'a> {
    /// Starts at the first bit; `fault` is what a failed read is reported as.
    pub(super) const fn new(bytes: &'a [u8], fault: &'static str) -> Self {
        Self { bytes, at: 0, fault }
    }

    /// One bit.
    pub(super) fn flag(&mut self) -> Result<bool, MediaError> {
        let byte = self.bytes.get(self.at / 8).ok_or_else(|| self.broken())?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// At most 32 bits.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, MediaError> {
        let mut value = 0_u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// At most eight bits.
    pub(super) fn small(&mut self, count: u32) -> Result<u8, MediaError> {
        u8::try_from(self.read(count)?).map_err(|_| self.broken())
    }

    /// `ue(v)` of H.264 (ITU-T H.264 section 9.1), which AV1 calls `uvlc()`.
    pub(super) fn exp_golomb(&mut self) -> Result<u32, MediaError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return Ok(u32::MAX);
            }
        }
        let rest = self.read(zeros)?;
        // Fewer than 32 zeros were counted.
        Ok((1_u32 << zeros) - 1 + rest)
    }

    /// `se(v)` of H.264 (ITU-T H.264 section 9.1.1).
    pub(super) fn signed_exp_golomb(&mut self) -> Result<i64, MediaError> {
        let code = i64::from(self.exp_golomb()?);
        Ok(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }

    pub(super) fn broken(&self) -> MediaError {
        MediaError::Stream(self.fault.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_standard_are_read() {
        // 1 010 011 00100 00101, the first five codes of the table.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000], "cut");
        let codes: Vec<u32> = (0..5).map(|_| bits.exp_golomb().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4]);
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000], "cut");
        let codes: Vec<i64> = (0..5).map(|_| bits.signed_exp_golomb().unwrap()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -2]);
        assert!(Bits::new(&[0], "cut").exp_golomb().is_err());
    }
}
