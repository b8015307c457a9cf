//! A structural walk over the boxes of an MP4 file (ISO/IEC 14496-12), before any C code sees it.
//!
//! It reads headers and a few counts only, with hard bounds on depth, number and size, and refuses
//! what the demuxer must not be asked about: truncated files, references to other files, absurd
//! tables. It must not interpret a sample. Read next: `report`.

use std::io::{Read, Seek, SeekFrom};

use crate::error::{MediaError, Rejection};

const DEPTH_MAX: u32 = 12;
const TRACKS_MAX: u32 = 64;
const BOXES_MAX: u32 = 20_000;
const MOOV_BYTES_MAX: u64 = 64 << 20;
const SAMPLES_MAX: u32 = 2_000_000;

/// Checks a whole file of `length` bytes.
pub(super) fn check<R: Read + Seek>(file: &mut R, length: u64) -> Result<(), MediaError> {
    let mut walk = Walk { file, boxes: 0, tracks: 0, has_moov: false };
    walk.level(0, length, 0)?;
    if !walk.has_moov {
        return Err(truncated().into());
    }
    if walk.tracks == 0 {
        return Err(Rejection::new("no_video", "the file has no video track").into());
    }
    Ok(())
}

struct Walk<'a, R> {
    file: &'a mut R,
    boxes: u32,
    tracks: u32,
    has_moov: bool,
}

struct Header {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn level(&mut self, start: u64, end: u64, depth: u32) -> Result<(), MediaError> {
        if depth > DEPTH_MAX {
            return Err(malformed("boxes are nested too deep").into());
        }
        let mut at = start;
        while at < end {
            let header = self.header(at, end, depth)?;
            self.visit(&header, depth)?;
            at = header.end;
        }
        Ok(())
    }

    fn header(&mut self, at: u64, end: u64, depth: u32) -> Result<Header, MediaError> {
        self.boxes += 1;
        if self.boxes > BOXES_MAX {
            return Err(malformed("there are too many boxes").into());
        }
        // QuickTime ends some containers with a terminator of four zero bytes.
        let fault = || if depth == 0 { truncated() } else { malformed("a box has no header") };
        if end - at < 8 {
            if depth > 0 && end - at == 4 {
                return Ok(Header { kind: *b"    ", body: end, end });
            }
            return Err(fault().into());
        }
        let bytes: [u8; 8] = self.read_at(at)?;
        let [s0, s1, s2, s3, k0, k1, k2, k3] = bytes;
        let kind = [k0, k1, k2, k3];
        let (body, size) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => (at + 8, end - at),
            1 if end - at >= 16 => (at + 16, u64::from_be_bytes(self.read_at(at + 8)?)),
            size => (at + 8, u64::from(size)),
        };
        let stop = at.checked_add(size).filter(|stop| *stop >= body);
        let stop = stop.ok_or_else(|| malformed("a box has an impossible size"))?;
        if stop > end {
            let what = if depth == 0 { truncated() } else { malformed("a box leaves its parent") };
            return Err(what.into());
        }
        Ok(Header { kind, body, end: stop })
    }

    fn visit(&mut self, header: &Header, depth: u32) -> Result<(), MediaError> {
        match &header.kind {
            b"moov" if depth == 0 => {
                if header.end - header.body > MOOV_BYTES_MAX {
                    return Err(malformed("the index is too large").into());
                }
                self.has_moov = true;
                self.level(header.body, header.end, depth + 1)
            }
            b"trak" if depth == 1 => {
                self.tracks += 1;
                if self.tracks > TRACKS_MAX {
                    return Err(malformed("there are too many tracks").into());
                }
                self.level(header.body, header.end, depth + 1)
            }
            b"mdia" | b"minf" | b"stbl" | b"dinf" if depth > 1 => {
                self.level(header.body, header.end, depth + 1)
            }
            // Version, flags and a count come before the entries.
            b"dref" if depth > 1 => self.level(header.body + 8, header.end, depth + 1),
            b"url " | b"urn " | b"alis" if depth > 4 => self.reference(header),
            b"stsz" | b"stz2" if depth > 1 => self.sample_count(header),
            _ => Ok(()),
        }
    }

    /// A data reference must be to the file itself: flag bit 0 (ISO/IEC 14496-12 section 8.7.2).
    fn reference(&mut self, header: &Header) -> Result<(), MediaError> {
        let [_, _, _, flags] = self.read_at(header.body)?;
        if flags & 1 == 0 {
            return Err(Rejection::new(
                "external_reference",
                "the file refers to media in another file",
            )
            .into());
        }
        Ok(())
    }

    fn sample_count(&mut self, header: &Header) -> Result<(), MediaError> {
        let bytes: [u8; 4] = self.read_at(header.body + 8)?;
        if u32::from_be_bytes(bytes) > SAMPLES_MAX {
            return Err(malformed("there are too many samples").into());
        }
        Ok(())
    }

    fn read_at<const N: usize>(&mut self, at: u64) -> Result<[u8; N], MediaError> {
        let mut bytes = [0; N];
        self.file.seek(SeekFrom::Start(at)).map_err(MediaError::io("read the upload"))?;
        self.file.read_exact(&mut bytes).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                truncated().into()
            } else {
                MediaError::Io { action: "read the upload", source: error }
            }
        })?;
        Ok(bytes)
    }
}

pub(crate) fn truncated() -> Rejection {
    Rejection::new("truncated", "the file ends too early; upload it again")
}

fn malformed(what: &str) -> Rejection {
    Rejection::new("malformed", format!("the file is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn make(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes(), kind.as_slice(), body].concat()
    }

    fn movie(dref_flags: u8, samples: u32) -> Vec<u8> {
        let url = make(b"url ", &[0, 0, 0, dref_flags]);
        let dref = make(b"dref", &[&[0, 0, 0, 0, 0, 0, 0, 1], url.as_slice()].concat());
        let stsz = make(b"stsz", &[&[0; 8], samples.to_be_bytes().as_slice()].concat());
        let minf = [make(b"dinf", &dref), make(b"stbl", &stsz)].concat();
        let trak = make(b"trak", &make(b"mdia", &make(b"minf", &minf)));
        [make(b"ftyp", b"isom"), make(b"moov", &trak), make(b"mdat", &[7; 32])].concat()
    }

    fn reason(bytes: &[u8]) -> Result<(), &'static str> {
        let length = u64::try_from(bytes.len()).unwrap();
        check(&mut Cursor::new(bytes), length)
            .map_err(|error| error.rejection().unwrap_or_else(|| panic!("{error}")).reason)
    }

    #[test]
    fn sound_structure_passes() {
        assert_eq!(reason(&movie(1, 10)), Ok(()));
    }

    #[test]
    fn every_cut_is_noticed() {
        let movie = movie(1, 10);
        for length in 9..movie.len() {
            // A cut between two top-level boxes after the index is not visible in the structure.
            let between = length == movie.len() - 40;
            assert!(reason(&movie[..length]).is_err() != between, "cut at {length}");
        }
    }

    #[test]
    fn hostile_structures_are_refused() {
        assert_eq!(reason(&movie(0, 10)), Err("external_reference"));
        assert_eq!(reason(&movie(1, u32::MAX)), Err("malformed"));
        assert_eq!(reason(&make(b"ftyp", b"isom")), Err("truncated"));
        assert_eq!(reason(&make(b"moov", &[])), Err("no_video"));
        let tracks = make(b"trak", &[]).repeat(65);
        assert_eq!(reason(&make(b"moov", &tracks)), Err("malformed"));
        let mut deep = Vec::new();
        for _ in 0..20 {
            deep = make(b"mdia", &deep);
        }
        assert_eq!(reason(&make(b"moov", &make(b"trak", &deep))), Err("malformed"));
        let huge = [&1_u32.to_be_bytes(), b"moov".as_slice(), &u64::MAX.to_be_bytes()].concat();
        assert_eq!(reason(&huge), Err("truncated"));
    }

    proptest! {
        #[test]
        fn walking_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..150) {
            let mut movie = movie(1, 10);
            let at = at.min(movie.len());
            movie.splice(at.., bytes);
            let length = u64::try_from(movie.len()).unwrap();
            let _ = check(&mut Cursor::new(movie), length);
        }
    }
}
