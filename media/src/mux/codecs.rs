//! Entries of the `CODECS` attribute (RFC 6381), computed from what the bitstream says.
//!
//! A wrong or typed-in string makes players refuse the source buffer, so none is ever typed in.

use crate::error::MediaError;
use crate::mux::adts::AacStream;
use crate::mux::obu::SequenceHeader;

/// `av01...` (AV1-ISOBMFF section 5). The short form when the rest is at its defaults.
#[must_use]
pub fn av1(header: &SequenceHeader) -> String {
    let tier = if header.tier { 'H' } else { 'M' };
    let short =
        format!("av01.{}.{:02}{tier}.{:02}", header.profile, header.level, header.bit_depth);
    let tail = format!(
        ".{}.{}{}{}.{:02}.{:02}.{:02}.{}",
        u8::from(header.monochrome),
        u8::from(header.subsampling_x),
        u8::from(header.subsampling_y),
        header.chroma_position,
        header.primaries,
        header.transfer,
        header.matrix,
        u8::from(header.full_range),
    );
    if tail == ".0.110.01.01.01.0" { short } else { short + &tail }
}

/// `avc1.PPCCLL` from a sequence parameter set (RFC 6381 section 3.3).
///
/// # Errors
/// [`MediaError::Stream`] when the set is cut.
pub fn avc(sequence_parameter_set: &[u8]) -> Result<String, MediaError> {
    match sequence_parameter_set {
        [header, profile, constraints, level, ..] if header & 0x1F == 7 => {
            Ok(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
        }
        _ => Err(MediaError::Stream("H.264: not a sequence parameter set".to_owned())),
    }
}

/// `mp4a.40.N` (RFC 6381 section 3.3).
#[must_use]
pub fn aac(stream: &AacStream) -> String {
    format!("mp4a.40.{}", stream.object_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SequenceHeader {
        SequenceHeader {
            obu: Vec::new(),
            profile: 0,
            level: 5,
            tier: false,
            bit_depth: 8,
            monochrome: false,
            subsampling_x: true,
            subsampling_y: true,
            chroma_position: 0,
            primaries: 1,
            transfer: 1,
            matrix: 1,
            full_range: false,
            width: 1280,
            height: 720,
        }
    }

    #[test]
    fn av1_has_the_short_form_for_the_defaults_only() {
        assert_eq!(av1(&header()), "av01.0.05M.08");
        let hdr = SequenceHeader {
            bit_depth: 10,
            primaries: 9,
            transfer: 16,
            matrix: 9,
            level: 8,
            tier: true,
            ..header()
        };
        assert_eq!(av1(&hdr), "av01.0.08H.10.0.110.09.16.09.0");
    }

    #[test]
    fn avc_shows_profile_constraints_and_level() {
        assert_eq!(avc(&[0x67, 0x64, 0x00, 0x1F, 0xAC]).unwrap(), "avc1.64001f");
        assert!(avc(&[0x68, 0x64, 0x00, 0x1F]).is_err());
        assert!(avc(&[0x67, 0x64]).is_err());
    }
}
