//! Sequence parameter sets of H.264 (ITU-T H.264 section 7.3.2.1.1 and annex E.1.1).
//!
//! Only what the container and the playlists state again: profile, level, picture size, colour.
//! Pure. Read next: `codecs`.

use crate::error::MediaError;
use crate::mux::bits::Bits;

/// Kind of a network abstraction layer unit that holds a sequence parameter set.
pub(crate) const NAL_SPS: u8 = 7;
/// Kind of a unit that holds a picture parameter set.
pub(crate) const NAL_PPS: u8 = 8;
/// Kind of a slice of an instantaneous decoding refresh picture.
pub(crate) const NAL_IDR: u8 = 5;

/// Most offsets of a picture order count cycle (ITU-T H.264 section 7.4.2.1.1).
const CYCLE_MAX: u32 = 255;
/// Profiles that say their chroma format (ITU-T H.264 section 7.3.2.1.1).
const PROFILES_WITH_CHROMA: [u8; 13] =
    [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// What a set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceParameterSet {
    /// `profile_idc`; 100 is High.
    pub profile: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    /// `level_idc`, the level times ten.
    pub level: u8,
    /// Width after cropping, in pixels.
    pub width: u32,
    /// Height after cropping, in pixels.
    pub height: u32,
    /// The colour, where the usability information describes it.
    pub colour: Option<Colour>,
}

/// A description of colour (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Colour primaries.
    pub primaries: u8,
    /// Transfer characteristics.
    pub transfer: u8,
    /// Matrix coefficients.
    pub matrix: u8,
    /// Full-range samples.
    pub full_range: bool,
}

/// Reads a set with its unit header.
///
/// # Errors
/// [`MediaError::Stream`] when it is of another kind, cut, or says impossible sizes.
pub fn parse(unit: &[u8]) -> Result<SequenceParameterSet, MediaError> {
    let fault = "H.264: a cut or malformed sequence parameter set";
    let raw = without_emulation_prevention(unit);
    let mut bits = Bits::new(&raw, fault);
    if bits.small(8)? & 0x1F != NAL_SPS {
        return Err(bits.broken());
    }
    let (profile, constraints, level) = (bits.small(8)?, bits.small(8)?, bits.small(8)?);
    bits.exp_golomb()?; // Id of the set.
    let chroma = if PROFILES_WITH_CHROMA.contains(&profile) { chroma(&mut bits)? } else { 1 };
    bits.exp_golomb()?; // Length of frame numbers.
    picture_order(&mut bits)?;
    bits.exp_golomb()?; // Reference frames.
    bits.flag()?;
    let columns = bits.exp_golomb()?;
    let rows = bits.exp_golomb()?;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.flag()?;
    }
    bits.flag()?; // Direct 8x8 inference.
    let fields = if frames_only { 1 } else { 2 };
    let (unit_x, unit_y) = match chroma {
        1 => (2, 2 * fields),
        2 => (2, fields),
        _ => (1, fields),
    };
    let mut cropped = (0, 0);
    if bits.flag()? {
        let mut next = || bits.exp_golomb().map(u64::from);
        let (left, right, top, bottom) = (next()?, next()?, next()?, next()?);
        cropped = ((left + right) * unit_x, (top + bottom) * unit_y);
    }
    let side = |blocks: u64, cropped: u64| {
        blocks.checked_mul(16)?.checked_sub(cropped).and_then(|side| u32::try_from(side).ok())
    };
    let width = side(u64::from(columns) + 1, cropped.0).ok_or_else(|| bits.broken())?;
    let height = side((u64::from(rows) + 1) * fields, cropped.1).ok_or_else(|| bits.broken())?;
    let colour = if bits.flag()? { colour(&mut bits)? } else { None };
    Ok(SequenceParameterSet { profile, constraints, level, width, height, colour })
}

/// Chroma format, depths and scaling lists; returns `chroma_format_idc`.
fn chroma(bits: &mut Bits<'_>) -> Result<u32, MediaError> {
    let chroma = bits.exp_golomb()?;
    if chroma == 3 {
        bits.flag()?;
    }
    bits.exp_golomb()?;
    bits.exp_golomb()?;
    bits.flag()?;
    if bits.flag()? {
        let lists = if chroma == 3 { 12 } else { 8 };
        for list in 0..lists {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(chroma)
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Result<(), MediaError> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_exp_golomb()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn picture_order(bits: &mut Bits<'_>) -> Result<(), MediaError> {
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.flag()?;
            bits.signed_exp_golomb()?;
            bits.signed_exp_golomb()?;
            let offsets = bits.exp_golomb()?;
            if offsets > CYCLE_MAX {
                return Err(bits.broken());
            }
            for _ in 0..offsets {
                bits.signed_exp_golomb()?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The colour of the usability information, which is read no further.
fn colour(bits: &mut Bits<'_>) -> Result<Option<Colour>, MediaError> {
    const EXTENDED_ASPECT: u8 = 255;
    if bits.flag()? && bits.small(8)? == EXTENDED_ASPECT {
        bits.read(32)?;
    }
    if bits.flag()? {
        bits.flag()?; // Overscan.
    }
    if !bits.flag()? {
        return Ok(None);
    }
    bits.read(3)?; // Video format.
    let full_range = bits.flag()?;
    if !bits.flag()? {
        return Ok(None);
    }
    let (primaries, transfer, matrix) = (bits.small(8)?, bits.small(8)?, bits.small(8)?);
    Ok(Some(Colour { primaries, transfer, matrix, full_range }))
}

/// Takes out each byte 3 that only keeps two zero bytes from looking like a start code
/// (ITU-T H.264 section 7.4.1).
fn without_emulation_prevention(unit: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        raw.push(*byte);
    }
    raw
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes a set field by field, independent of the reader.
    #[derive(Default)]
    struct Writer(String);

    impl Writer {
        fn bits(mut self, text: &str) -> Self {
            self.0.push_str(text);
            self
        }

        fn byte(self, value: u8) -> Self {
            self.bits(&format!("{value:08b}"))
        }

        fn ue(self, value: u32) -> Self {
            let code = format!("{:b}", value + 1);
            self.bits(&"0".repeat(code.len() - 1)).bits(&code)
        }

        fn done(mut self) -> Vec<u8> {
            self.0.push('1');
            let digits = self.0.as_bytes().chunks(8);
            digits
                .map(|chunk| {
                    (0..8).fold(0, |byte, at| {
                        byte << 1 | chunk.get(at).map_or(0, |digit| digit - b'0')
                    })
                })
                .collect()
        }
    }

    fn high(level: u8) -> Writer {
        // High, 4:2:0, 8 bit, order count type 0, four references, 640x368 coded as 40x23 blocks.
        Writer::default()
            .byte(0x67)
            .byte(100)
            .byte(0)
            .byte(level)
            .ue(0)
            .ue(1)
            .ue(0)
            .ue(0)
            .bits("00")
            .ue(0)
            .ue(0)
            .ue(2)
            .ue(4)
            .bits("0")
            .ue(39)
            .ue(22)
            .bits("11")
    }

    #[test]
    fn size_level_and_colour_are_read() {
        let set = high(30)
            .bits("1")
            .ue(0)
            .ue(0)
            .ue(0)
            .ue(4)
            // Usability: no aspect, no overscan, limited range, BT.709.
            .bits("1001 101 0 1".replace(' ', "").as_str())
            .byte(1)
            .byte(1)
            .byte(1)
            .done();
        let set = parse(&set).unwrap();
        assert_eq!((set.profile, set.level, set.width, set.height), (100, 30, 640, 360));
        let bt709 = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        assert_eq!(set.colour, Some(bt709));
    }

    #[test]
    fn silence_about_colour_is_none() {
        let set = parse(&high(31).bits("00").done()).unwrap();
        assert_eq!((set.width, set.height, set.colour), (640, 368, None));
    }

    #[test]
    fn other_units_and_cut_ones_are_refused() {
        assert!(parse(&[0x68, 0xEE]).is_err());
        let whole = high(30).bits("00").done();
        for length in 0..whole.len() - 1 {
            assert!(parse(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn emulation_prevention_is_taken_out() {
        assert_eq!(without_emulation_prevention(&[0, 0, 3, 1, 0, 0, 3]), [0, 0, 1, 0, 0]);
        assert_eq!(without_emulation_prevention(&[0, 3, 0, 3]), [0, 3, 0, 3]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&[&[0x67, 100, 0, 30], bytes.as_slice()].concat());
            let _ = parse(&bytes);
        }
    }
}
