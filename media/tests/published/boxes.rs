//! Finds a box by its path, independently of the reader that is tested.

use std::ops::Range;

/// Bytes between the header of a box and its first child.
fn children_at(kind: &str) -> Option<usize> {
    match kind {
        "moov" | "trak" | "mdia" | "minf" | "stbl" | "mvex" | "edts" | "moof" | "traf" => Some(0),
        "stsd" => Some(8),
        "avc1" | "av01" => Some(78),
        "mp4a" => Some(28),
        _ => None,
    }
}

/// The place of a box's body; the path names every box from the outermost on.
pub(super) fn body(bytes: &[u8], path: &str) -> Option<Range<usize>> {
    let mut within = 0..bytes.len();
    let mut parts = path.split('/').peekable();
    while let Some(kind) = parts.next() {
        let mut at = within.start;
        let found = loop {
            let header = bytes.get(at..at + 8).filter(|_| at < within.end)?;
            let size = u32::from_be_bytes(header[..4].try_into().ok()?);
            let end = at + usize::try_from(size).ok()?;
            if header[4..] == *kind.as_bytes() {
                break at + 8..end;
            }
            at = end;
        };
        within = match parts.peek() {
            Some(_) => found.start + children_at(kind)?..found.end,
            None => found,
        };
    }
    Some(within)
}
