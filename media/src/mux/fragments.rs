//! Reads fragmented MP4 as ffmpeg writes it to a pipe, one fragment of one track at a time.
//!
//! The writer is jailed and may have been taken over by a hostile clip, so sizes are bounded and
//! nothing is believed that is not checked again later. Read next: `transcode::h264`, its user.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

use mp4_atom::{Atom as _, Avcc, Codec, Moof, Moov, Traf};

use crate::error::MediaError;
use crate::mux::Sample;

/// Bytes of one box at most; a fragment is two seconds of one track.
const BOX_BYTES_MAX: u64 = 256 << 20;
/// Samples of one fragment at most.
const SAMPLES_MAX: usize = 10_000;
/// Tracks of one stream at most.
const TRACKS_MAX: usize = 16;
/// Bit of the sample flags that says "not a sync sample".
const FLAG_NON_SYNC: u32 = 0x0001_0000;

/// Kind and body of a box.
type RawBox = ([u8; 4], Vec<u8>);

/// A reader of fragments.
#[derive(Debug)]
pub struct Fragments<R> {
    source: R,
    header: Option<Moov>,
    /// Read already, of the same `moof`.
    waiting: VecDeque<Fragment>,
}

/// What one `moof` and its `mdat` hold of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The track.
    pub track: u32,
    /// The samples in decode order.
    pub samples: Vec<Sample>,
}

/// The samples of a `moof`, in its `mdat`.
struct Media<'a> {
    body: &'a [u8],
    /// Length of the `moof`, header included, from whose start offsets count.
    length: u64,
    /// Bytes that are of no sample yet: no byte is of two, or a few would become many.
    left: usize,
}

impl<'a> Media<'a> {
    fn take(&mut self, at: usize, size: usize) -> Result<&'a [u8], MediaError> {
        let end = at.checked_add(size);
        let bytes = end.and_then(|end| self.body.get(at..end));
        let bytes = bytes.ok_or_else(|| fault("a cut sample"))?;
        self.left =
            self.left.checked_sub(size).ok_or_else(|| fault("bytes of more than one sample"))?;
        Ok(bytes)
    }
}

impl<R: Read> Fragments<R> {
    /// Starts reading.
    pub const fn new(source: R) -> Self {
        Self { source, header: None, waiting: VecDeque::new() }
    }

    /// The next fragment, or `None` at a clean end.
    ///
    /// # Errors
    /// [`MediaError::Io`] when reading fails, [`MediaError::Stream`] when the structure is not one
    /// of tracks in fragments.
    pub fn next_fragment(&mut self) -> Result<Option<Fragment>, MediaError> {
        if let Some(fragment) = self.waiting.pop_front() {
            return Ok(Some(fragment));
        }
        let mut moof: Option<(Moof, u64)> = None;
        while let Some((kind, body)) = self.next_box()? {
            match &kind {
                b"moov" => self.header = Some(Moov::decode_body(&mut body.as_slice())?),
                b"moof" => {
                    let length = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_add(8);
                    moof = Some((Moof::decode_body(&mut body.as_slice())?, length));
                }
                b"mdat" => {
                    let (moof, length) = moof.ok_or_else(|| fault("samples without an index"))?;
                    if moof.traf.len() > TRACKS_MAX {
                        return Err(fault("too many tracks"));
                    }
                    let mut media = Media { body: &body, length, left: body.len() };
                    for traf in &moof.traf {
                        let fragment = self.fragment(traf, &mut media)?;
                        self.waiting.push_back(fragment);
                    }
                    let first = self.waiting.pop_front();
                    return first.map(Some).ok_or_else(|| fault("a fragment without a track"));
                }
                _ => {}
            }
        }
        if moof.is_some() {
            return Err(fault("an index without samples"));
        }
        Ok(None)
    }

    /// The H.264 configuration of a track; known after the first fragment.
    ///
    /// # Errors
    /// [`MediaError::Stream`] when there is no such track or it is of another codec.
    pub fn avc_config(&self, track: u32) -> Result<&Avcc, MediaError> {
        let header = self.header.as_ref().ok_or_else(|| fault("no header"))?;
        let trak = header.trak.iter().find(|trak| trak.tkhd.track_id == track);
        match trak.and_then(|trak| trak.mdia.minf.stbl.stsd.codecs.first()) {
            Some(Codec::Avc1(entry)) => Ok(&entry.avcc),
            Some(_) | None => Err(fault("no H.264 configuration")),
        }
    }

    fn fragment(&self, traf: &Traf, media: &mut Media<'_>) -> Result<Fragment, MediaError> {
        let track = traf.tfhd.track_id;
        let default_flags = traf
            .tfhd
            .default_sample_flags
            .or_else(|| {
                let extends = &self.header.as_ref()?.mvex.as_ref()?.trex;
                let of_track = extends.iter().find(|extend| extend.track_id == track)?;
                Some(of_track.default_sample_flags)
            })
            .unwrap_or(0);
        let mut samples = Vec::new();
        let mut at = 0_usize;
        for trun in &traf.trun {
            // Offsets count from the start of the moof; the body starts after its own header.
            if let Some(offset) = trun.data_offset {
                let start = u64::try_from(offset)
                    .ok()
                    .and_then(|offset| offset.checked_sub(media.length.saturating_add(8)));
                at = start
                    .and_then(|start| usize::try_from(start).ok())
                    .ok_or_else(|| fault("samples outside their box"))?;
            }
            if trun.samples.len().saturating_add(samples.len()) > SAMPLES_MAX {
                return Err(fault("too many samples"));
            }
            for entry in &trun.samples {
                let size = entry.size.or(traf.tfhd.default_sample_size);
                let size = size.and_then(|size| usize::try_from(size).ok());
                let bytes =
                    media.take(at, size.ok_or_else(|| fault("a sample without a size"))?)?;
                at += bytes.len();
                let composition = i32::try_from(entry.cts.unwrap_or(0))
                    .map_err(|_| fault("a composition offset"))?;
                let sync = entry.flags.unwrap_or(default_flags) & FLAG_NON_SYNC == 0;
                samples.push(Sample { bytes: bytes.to_vec(), composition, sync });
            }
        }
        if samples.is_empty() {
            return Err(fault("a track without samples"));
        }
        Ok(Fragment { track, samples })
    }

    fn next_box(&mut self) -> Result<Option<RawBox>, MediaError> {
        let mut header = [0_u8; 8];
        if !self.fill(&mut header)? {
            return Ok(None);
        }
        let [s0, s1, s2, s3, k0, k1, k2, k3] = header;
        let size = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
        let length = size
            .checked_sub(8)
            .filter(|length| *length <= BOX_BYTES_MAX)
            .ok_or_else(|| fault("a box of impossible size"))?;
        let mut body = Vec::new();
        (&mut self.source)
            .take(length)
            .read_to_end(&mut body)
            .map_err(MediaError::io("read fragments"))?;
        if u64::try_from(body.len()).unwrap_or(u64::MAX) != length {
            return Err(fault("a cut box"));
        }
        Ok(Some(([k0, k1, k2, k3], body)))
    }

    /// Fills the buffer; `false` when the source ends exactly before it.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, MediaError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(fault("a cut box header")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(MediaError::io("read fragments")(error)),
            }
        }
        Ok(true)
    }
}

fn fault(what: &str) -> MediaError {
    MediaError::Stream(format!("fragmented MP4: {what}"))
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Decode as _, Encode as _, Styp};
    use proptest::prelude::*;

    use super::*;
    use crate::mux::segment::{Position, write};

    fn segment() -> Vec<u8> {
        let sample = Sample { bytes: vec![1; 20], composition: 0, sync: true };
        let position = Position { index: 0, decode_time: 0, sample_ticks: 1, last_ticks: 1 };
        write(position, &[sample.clone(), sample]).unwrap().to_vec()
    }

    #[test]
    fn cut_streams_are_refused() {
        let whole = segment();
        for length in [1, 9, 30, whole.len() - 41, whole.len() - 1] {
            let mut fragments = Fragments::new(&whole[..length]);
            assert!(fragments.next_fragment().is_err(), "cut at {length}");
        }
        assert!(Fragments::new([].as_slice()).next_fragment().unwrap().is_none());
    }

    #[test]
    fn tracks_of_one_fragment_come_apart() {
        let whole = segment();
        let mut rest = whole.as_slice();
        Styp::decode(&mut rest).unwrap();
        let mut moof = Moof::decode(&mut rest).unwrap();
        let payload = &rest[8..];
        let mut other = moof.traf[0].clone();
        other.tfhd.track_id = 7;
        moof.traf.push(other);
        let mut measured = Vec::new();
        moof.encode(&mut measured).unwrap();
        let start = i32::try_from(measured.len() + 8).unwrap();
        moof.traf[0].trun[0].data_offset = Some(start);
        moof.traf[1].trun[0].data_offset = Some(start + 40);
        let mut bytes = Vec::new();
        moof.encode(&mut bytes).unwrap();
        bytes.extend_from_slice(&u32::try_from(8 + 2 * payload.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(b"mdat");
        bytes.extend_from_slice(payload);
        bytes.extend(payload.iter().map(|byte| byte + 1));
        let mut fragments = Fragments::new(bytes.as_slice());
        let first = fragments.next_fragment().unwrap().unwrap();
        let second = fragments.next_fragment().unwrap().unwrap();
        assert_eq!((first.track, second.track), (1, 7));
        assert_eq!(first.samples.len(), 2);
        assert!(first.samples.iter().all(|sample| sample.bytes == [1; 20]));
        assert!(second.samples.iter().all(|sample| sample.bytes == [2; 20]));
        assert!(fragments.next_fragment().unwrap().is_none());
    }

    #[test]
    fn no_byte_is_of_two_samples() {
        let whole = segment();
        let mut rest = whole.as_slice();
        Styp::decode(&mut rest).unwrap();
        let mut moof = Moof::decode(&mut rest).unwrap();
        let payload = &rest[8..];
        let of = |moof: &Moof| {
            let mut bytes = Vec::new();
            moof.encode(&mut bytes).unwrap();
            let offset = i32::try_from(bytes.len() + 8).unwrap();
            let mut moof = moof.clone();
            for run in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun) {
                run.data_offset = Some(offset);
            }
            let mut bytes = Vec::new();
            moof.encode(&mut bytes).unwrap();
            bytes.extend_from_slice(&u32::try_from(8 + payload.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(b"mdat");
            bytes.extend_from_slice(payload);
            Fragments::new(bytes.as_slice()).next_fragment().map(|_| ())
        };
        assert!(of(&moof).is_ok());
        let traf = moof.traf[0].clone();
        moof.traf.push(traf.clone());
        assert!(of(&moof).is_err(), "of two tracks");
        moof.traf.truncate(1);
        moof.traf[0].trun.push(traf.trun[0].clone());
        assert!(of(&moof).is_err(), "of two runs");
    }

    proptest! {
        #[test]
        fn reading_never_panics(at in 0_usize..200, value: u8) {
            let mut bytes = segment();
            let at = at % bytes.len();
            bytes[at] = value;
            let mut fragments = Fragments::new(bytes.as_slice());
            while let Ok(Some(_)) = fragments.next_fragment() {}
        }
    }
}
