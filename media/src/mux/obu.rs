//! Open bitstream units of AV1 (AV1 specification section 5.3) and the sequence header (5.5).
//!
//! Only what packaging needs: which units go into a sample, and the facts for `av1C`, `colr` and
//! `CODECS`. rav1e's own container header is not used, because it states a fixed level. Pure.

use crate::error::MediaError;
use crate::mux::bits::Bits;

const OBU_SEQUENCE_HEADER: u8 = 1;
/// Kind of a temporal delimiter, which a sample must not hold (AV1-ISOBMFF section 2.4).
pub(crate) const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;
const OBU_TILE_LIST: u8 = 8;
const OBU_PADDING: u8 = 15;

/// What the sequence header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceHeader {
    /// The unit as it stands in the stream, for `configOBUs`.
    pub obu: Vec<u8>,
    /// `seq_profile`.
    pub profile: u8,
    /// `seq_level_idx[0]`.
    pub level: u8,
    /// `seq_tier[0]`.
    pub tier: bool,
    /// Bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// No chroma.
    pub monochrome: bool,
    /// Chroma is halved horizontally.
    pub subsampling_x: bool,
    /// Chroma is halved vertically.
    pub subsampling_y: bool,
    /// `chroma_sample_position`.
    pub chroma_position: u8,
    /// Colour primaries (ITU-T H.273).
    pub primaries: u8,
    /// Transfer characteristics (ITU-T H.273).
    pub transfer: u8,
    /// Matrix coefficients (ITU-T H.273).
    pub matrix: u8,
    /// Full-range samples.
    pub full_range: bool,
    /// Largest frame width.
    pub width: u32,
    /// Largest frame height.
    pub height: u32,
}

/// A temporal unit made ready for a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemporalUnit {
    /// The units that stay (AV1-ISOBMFF section 2.4).
    pub sample: Vec<u8>,
    /// The sequence header, if the unit has one.
    pub sequence: Option<SequenceHeader>,
}

/// Splits a temporal unit, drops delimiters, padding and tile lists, finds the sequence header.
///
/// # Errors
/// [`MediaError::Stream`] when a unit is malformed.
pub fn repack(unit: &[u8]) -> Result<TemporalUnit, MediaError> {
    let mut kept = TemporalUnit { sample: Vec::with_capacity(unit.len()), sequence: None };
    for unit in units(unit) {
        let Unit { kind, payload, whole } = unit?;
        match kind {
            OBU_TEMPORAL_DELIMITER | OBU_TILE_LIST | OBU_PADDING => {}
            OBU_SEQUENCE_HEADER => {
                kept.sequence = Some(sequence_header(whole, payload)?);
                kept.sample.extend_from_slice(whole);
            }
            _ => kept.sample.extend_from_slice(whole),
        }
    }
    if kept.sample.is_empty() {
        return Err(fault("an empty temporal unit"));
    }
    Ok(kept)
}

/// Whether the first frame of a sample is a key frame that is shown from it, not repeated.
///
/// # Errors
/// [`MediaError::Stream`] when a unit is malformed or there is no frame.
pub(crate) fn starts_with_key_frame(sample: &[u8]) -> Result<bool, MediaError> {
    for unit in units(sample) {
        let unit = unit?;
        if matches!(unit.kind, OBU_FRAME_HEADER | OBU_FRAME) {
            let first = unit.payload.first().ok_or_else(|| fault("an empty frame"))?;
            // Not show_existing_frame, and frame_type 0 (AV1 specification section 5.9.2).
            return Ok(first & 0b1110_0000 == 0);
        }
    }
    Err(fault("a sample without a frame"))
}

/// One open bitstream unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit<'a> {
    /// `obu_type`.
    pub(crate) kind: u8,
    /// What follows the header and the size.
    pub(crate) payload: &'a [u8],
    /// Header, size and payload.
    pub(crate) whole: &'a [u8],
}

/// The units of a sample, up to the first that is malformed.
pub(crate) const fn units(sample: &[u8]) -> Units<'_> {
    Units { rest: sample }
}

/// Iterator of [`units`].
pub(crate) struct Units<'a> {
    rest: &'a [u8],
}

impl<'a> Units<'a> {
    fn split(&self, first: u8) -> Result<(Unit<'a>, &'a [u8]), MediaError> {
        let has_extension = first & 0b100 != 0;
        if first & 0x80 != 0 || first & 0b10 == 0 {
            return Err(fault("a unit without a size"));
        }
        let header = if has_extension { 2 } else { 1 };
        let (size, size_length) = leb128(self.rest.get(header..).unwrap_or_default())?;
        let body = header + size_length;
        let end = body.checked_add(size).ok_or_else(|| fault("an impossible size"))?;
        let payload = self.rest.get(body..end).ok_or_else(|| fault("a cut unit"))?;
        let (whole, rest) = self.rest.split_at(end);
        Ok((Unit { kind: first >> 3 & 0xF, payload, whole }, rest))
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<Unit<'a>, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.rest.first()?;
        match self.split(first) {
            Ok((unit, rest)) => {
                self.rest = rest;
                Some(Ok(unit))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

fn leb128(bytes: &[u8]) -> Result<(usize, usize), MediaError> {
    let mut value: u64 = 0;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (index * 7);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok().and_then(|value| usize::try_from(value).ok());
            return value.map(|value| (value, index + 1)).ok_or_else(|| fault("a huge unit"));
        }
    }
    Err(fault("an endless size"))
}

fn sequence_header(obu: &[u8], payload: &[u8]) -> Result<SequenceHeader, MediaError> {
    let mut bits = Bits::new(payload, "AV1: a cut or malformed sequence header");
    let profile = bits.small(3)?;
    let _still_picture = bits.flag()?;
    let reduced = bits.flag()?;
    let (level, tier) = if reduced { (bits.small(5)?, false) } else { operating_point(&mut bits)? };
    let width_bits = bits.read(4)? + 1;
    let height_bits = bits.read(4)? + 1;
    let width = bits.read(width_bits)? + 1;
    let height = bits.read(height_bits)? + 1;
    if !reduced && bits.flag()? {
        bits.read(7)?; // Lengths of frame ids.
    }
    bits.read(3)?; // Superblock size, filter intra, intra edge filter.
    if !reduced {
        skip_inter_tools(&mut bits)?;
    }
    bits.read(3)?; // Superres, CDEF, restoration.
    let mut header = SequenceHeader {
        obu: obu.to_vec(),
        profile,
        level,
        tier,
        bit_depth: 8,
        monochrome: false,
        subsampling_x: true,
        subsampling_y: true,
        chroma_position: 0,
        primaries: 2,
        transfer: 2,
        matrix: 2,
        full_range: false,
        width,
        height,
    };
    color_config(&mut bits, &mut header)?;
    Ok(header)
}

/// Timing, decoder model and operating points; returns level and tier of the first point.
fn operating_point(bits: &mut Bits<'_>) -> Result<(u8, bool), MediaError> {
    let mut delay_length = None;
    if bits.flag()? {
        bits.read(32)?;
        bits.read(32)?;
        if bits.flag()? {
            bits.exp_golomb()?;
        }
        if bits.flag()? {
            delay_length = Some(bits.read(5)? + 1);
            bits.read(32)?;
            bits.read(10)?;
        }
    }
    let has_display_delay = bits.flag()?;
    let points = bits.read(5)? + 1;
    let mut first = None;
    for _ in 0..points {
        bits.read(12)?;
        let level = bits.small(5)?;
        let tier = level > 7 && bits.flag()?;
        first.get_or_insert((level, tier));
        if let Some(length) = delay_length
            && bits.flag()?
        {
            bits.read(length)?;
            bits.read(length)?;
            bits.flag()?;
        }
        if has_display_delay && bits.flag()? {
            bits.read(4)?;
        }
    }
    first.ok_or_else(|| fault("no operating point"))
}

fn skip_inter_tools(bits: &mut Bits<'_>) -> Result<(), MediaError> {
    bits.read(4)?; // Inter-intra, masked compound, warped motion, dual filter.
    let order_hint = bits.flag()?;
    if order_hint {
        bits.read(2)?;
    }
    let choose_screen_content = bits.flag()?;
    let screen_content = choose_screen_content || bits.flag()?;
    if screen_content && !bits.flag()? {
        bits.flag()?;
    }
    if order_hint {
        bits.read(3)?;
    }
    Ok(())
}

fn color_config(bits: &mut Bits<'_>, header: &mut SequenceHeader) -> Result<(), MediaError> {
    const SRGB: (u8, u8, u8) = (1, 13, 0);
    let high = bits.flag()?;
    let twelve = header.profile == 2 && high && bits.flag()?;
    header.bit_depth = match (high, twelve) {
        (_, true) => 12,
        (true, false) => 10,
        (false, false) => 8,
    };
    header.monochrome = header.profile != 1 && bits.flag()?;
    if bits.flag()? {
        header.primaries = bits.small(8)?;
        header.transfer = bits.small(8)?;
        header.matrix = bits.small(8)?;
    }
    if header.monochrome {
        header.full_range = bits.flag()?;
        return Ok(());
    }
    if (header.primaries, header.transfer, header.matrix) == SRGB {
        header.full_range = true;
        (header.subsampling_x, header.subsampling_y) = (false, false);
        return Ok(());
    }
    header.full_range = bits.flag()?;
    (header.subsampling_x, header.subsampling_y) = match header.profile {
        0 => (true, true),
        1 => (false, false),
        _ if header.bit_depth == 12 => {
            let x = bits.flag()?;
            (x, x && bits.flag()?)
        }
        _ => (true, false),
    };
    if header.subsampling_x && header.subsampling_y {
        header.chroma_position = bits.small(2)?;
    }
    Ok(())
}

fn fault(what: &str) -> MediaError {
    MediaError::Stream(format!("AV1: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn obu(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u8::try_from(payload.len()).unwrap();
        [&[kind << 3 | 0b10, size], payload].concat()
    }

    #[test]
    fn delimiters_and_padding_leave_the_sample() {
        let unit = [obu(2, &[]), obu(6, &[1, 2, 3]), obu(15, &[9; 4]), obu(5, &[4])].concat();
        let repacked = repack(&unit).unwrap();
        assert_eq!(repacked.sample, [obu(6, &[1, 2, 3]), obu(5, &[4])].concat());
        assert_eq!(repacked.sequence, None);
    }

    #[test]
    fn malformed_units_are_refused() {
        assert!(repack(&[]).is_err());
        assert!(repack(&obu(2, &[])).is_err());
        assert!(repack(&[6 << 3, 0]).is_err());
        assert!(repack(&[6 << 3 | 0b10, 5, 0]).is_err());
        assert!(repack(&[6 << 3 | 0b10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).is_err());
        assert!(repack(&obu(1, &[0])).is_err());
    }

    #[test]
    fn sequence_header_of_another_encoder_is_read() {
        // The configOBUs of an SVT-AV1 640x480 stream: Main profile, level 3.0 (index 4), 8 bit.
        let mut bits = String::from("000 0 0 0 0 00000 000000000000 00100");
        bits.push_str("1001 1000 1001111111 111011111 0 001 0000 1 11 1 1 110 011");
        bits.push_str("0 0 1 00000001 00000001 00000001 0 01 0 0");
        let digits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        let payload: Vec<u8> = digits
            .chunks(8)
            .map(|chunk| (0..8).fold(0, |byte, i| byte << 1 | chunk.get(i).copied().unwrap_or(0)))
            .collect();
        let unit = obu(1, &payload);
        let sequence = repack(&unit).unwrap().sequence.unwrap();
        assert_eq!(sequence.obu, unit);
        assert_eq!((sequence.width, sequence.height), (640, 480));
        assert_eq!((sequence.profile, sequence.level, sequence.tier), (0, 4, false));
        assert_eq!((sequence.bit_depth, sequence.monochrome), (8, false));
        assert_eq!((sequence.primaries, sequence.transfer, sequence.matrix), (1, 1, 1));
        assert_eq!(sequence.chroma_position, 1);
    }

    proptest! {
        #[test]
        fn repacking_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = repack(&bytes);
            let _ = repack(&obu(1, &bytes));
        }
    }
}
