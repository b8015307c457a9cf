//! The outer boxes of a file (ISO/IEC 14496-12 section 4.2), with their places.

/// Most boxes of one level.
const BOXES_MAX: usize = 1024;

/// A box and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoxAt<'a> {
    /// Its kind.
    pub(crate) kind: [u8; 4],
    /// First byte of its header.
    pub(crate) start: usize,
    /// First byte of its body.
    pub(crate) body_start: usize,
    /// The body.
    pub(crate) body: &'a [u8],
}

/// Splits a file into boxes; the text of a failure names the place. With `cut` the data may be
/// longer than what is there.
pub(crate) fn split(bytes: &[u8], cut: bool) -> Result<Vec<BoxAt<'_>>, String> {
    let mut boxes = Vec::new();
    let mut at = 0_usize;
    while at < bytes.len() {
        if boxes.len() == BOXES_MAX {
            return Err("there are too many boxes".to_owned());
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let Some([s0, s1, s2, s3, kind @ ..]) = rest.first_chunk::<8>() else {
            return Err(format!("a box header is cut at byte {at}"));
        };
        let kind = *kind;
        let (header, size) = match u32::from_be_bytes([*s0, *s1, *s2, *s3]) {
            0 => (8, rest.len()),
            1 => {
                let long = rest.get(8..16).and_then(|long| <[u8; 8]>::try_from(long).ok());
                let size = long.and_then(|long| usize::try_from(u64::from_be_bytes(long)).ok());
                (16, size.unwrap_or(usize::MAX))
            }
            size => (8, usize::try_from(size).unwrap_or(usize::MAX)),
        };
        let size = if cut && &kind == b"mdat" { size.min(rest.len()) } else { size };
        let whole = rest.get(..size).filter(|whole| whole.len() >= header);
        let name = String::from_utf8_lossy(&kind).into_owned();
        let whole = whole.ok_or_else(|| {
            format!("the box {name} at byte {at} has {size} bytes, {} are there", rest.len())
        })?;
        let body = whole.get(header..).unwrap_or_default();
        boxes.push(BoxAt { kind, start: at, body_start: at + header, body });
        at += size;
    }
    Ok(boxes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn boxes_are_split_with_their_places() {
        let bytes = b"\0\0\0\x08styp\0\0\0\x01mdat\0\0\0\0\0\0\0\x12xx\0\0\0\0free!";
        let boxes = split(bytes, false).unwrap();
        let places: Vec<_> = boxes.iter().map(|it| (it.start, it.body_start, it.body)).collect();
        assert_eq!(places, [(0, 8, b"".as_slice()), (8, 24, b"xx"), (26, 34, b"!")]);
        assert!(split(b"\0\0\0\x09styp", false).unwrap_err().contains("styp at byte 0"));
        assert!(split(b"\0\0\0\x07styp", false).is_err() && split(b"\0\0", true).is_err());
        let cut = b"\0\0\0\x0amdat!";
        assert!(split(cut, false).is_err() && split(cut, true).unwrap()[0].body == b"!");
    }

    proptest! {
        #[test]
        fn splitting_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = split(&bytes, bytes.len() % 2 == 0);
        }
    }
}
