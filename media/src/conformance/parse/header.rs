//! What a CMAF header (the file of `EXT-X-MAP`) states about its one track.

use mp4_atom::{Atom as _, Codec, Colr, Moov};

use super::boxes;
use crate::ladder::Size;
use crate::mux::adts::AacStream;
use crate::mux::codecs;
use crate::mux::obu::{SequenceHeader, repack};
use crate::mux::sps::{self, Colour, SequenceParameterSet};

/// A header.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) tracks: usize,
    pub(crate) track_id: u32,
    /// Ticks per second.
    pub(crate) timescale: u32,
    pub(crate) entry: Entry,
    /// Size of the sample entry; `None` for sound.
    pub(crate) size: Option<Size>,
    /// Size of the track header; `None` for sound.
    pub(crate) shown: Option<Size>,
    pub(crate) colour: Option<BoxColour>,
    /// Ticks that an edit cuts from the beginning.
    pub(crate) edit: u64,
    pub(crate) default_duration: u32,
    pub(crate) default_size: u32,
    pub(crate) default_flags: u32,
}

/// The `colr` box, whose fields are wider than the bitstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoxColour {
    pub(crate) primaries: u16,
    pub(crate) transfer: u16,
    pub(crate) matrix: u16,
    pub(crate) full_range: bool,
}

/// The sample entry and the facts of the bitstream in it.
#[derive(Debug)]
pub(crate) enum Entry {
    Avc(Avc),
    Av1(Av1),
    Aac(AacStream),
    /// Anything else, by the name of its entry.
    Other(String),
}

/// An H.264 entry.
#[derive(Debug)]
pub(crate) struct Avc {
    /// `avc1`, not `avc3`.
    pub(crate) in_header: bool,
    /// Bytes of a unit's length.
    pub(crate) length_size: u8,
    /// Profile, constraints and level of the configuration box.
    pub(crate) stated: (u8, u8, u8),
    pub(crate) sets: usize,
    pub(crate) picture_sets: usize,
    pub(crate) set: Result<SequenceParameterSet, String>,
    pub(crate) codec: Result<String, String>,
}

/// An AV1 entry.
#[derive(Debug)]
pub(crate) struct Av1 {
    /// Profile, level, tier of the configuration box.
    pub(crate) stated: (u8, u8, bool),
    pub(crate) sequence: Result<SequenceHeader, String>,
}

impl Header {
    /// Reads a header; the text of a failure says what is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let outer = boxes::split(bytes, false)?;
        let moov = outer.iter().find(|it| &it.kind == b"moov").ok_or("there is no moov box")?;
        if !outer.iter().any(|it| &it.kind == b"ftyp") {
            return Err("there is no ftyp box".to_owned());
        }
        let moov = Moov::decode_body(&mut &*moov.body).map_err(|error| error.to_string())?;
        let trak = moov.trak.first().ok_or("there is no track")?;
        let trex = moov.mvex.as_ref().and_then(|mvex| mvex.trex.first());
        let trex = trex.ok_or("there is no trex box")?;
        let mut entries = trak.mdia.minf.stbl.stsd.codecs.iter();
        let codec = entries.next().ok_or("there is no sample entry")?;
        if entries.next().is_some() {
            return Err("there are two sample entries".to_owned());
        }
        if trak.mdia.mdhd.timescale == 0 {
            return Err("the timescale is zero".to_owned());
        }
        let edits = trak.edts.as_ref().and_then(|edts| edts.elst.as_ref());
        let edit = edits.and_then(|elst| elst.entries.first()?.media_time).unwrap_or(0);
        let (size, colour) = visual(codec);
        let shown = size.map(|_| Size {
            width: u32::from(trak.tkhd.width.integer()),
            height: u32::from(trak.tkhd.height.integer()),
        });
        Ok(Self {
            tracks: moov.trak.len(),
            track_id: trak.tkhd.track_id,
            timescale: trak.mdia.mdhd.timescale,
            entry: Entry::of(codec),
            size,
            shown,
            colour,
            edit,
            default_duration: trex.default_sample_duration,
            default_size: trex.default_sample_size,
            default_flags: trex.default_sample_flags,
        })
    }

    /// The `CODECS` entry, computed from the bitstream's own words.
    pub(crate) fn codec(&self) -> Result<String, String> {
        match &self.entry {
            Entry::Avc(avc) => avc.codec.clone(),
            Entry::Av1(av1) => av1.sequence.as_ref().map(codecs::av1).map_err(Clone::clone),
            Entry::Aac(aac) => Ok(codecs::aac(aac)),
            Entry::Other(name) => Err(format!("{name} is a codec that is not known here")),
        }
    }

    /// The colour that the bitstream describes.
    pub(crate) fn bitstream_colour(&self) -> Option<Colour> {
        match &self.entry {
            Entry::Avc(avc) => avc.set.as_ref().ok()?.colour,
            Entry::Av1(av1) => av1.sequence.as_ref().ok().map(|header| Colour {
                primaries: header.primaries,
                transfer: header.transfer,
                matrix: header.matrix,
                full_range: header.full_range,
            }),
            Entry::Aac(_) | Entry::Other(_) => None,
        }
    }

    /// Whether the track is a picture.
    pub(crate) const fn is_video(&self) -> bool {
        self.size.is_some()
    }
}

impl Entry {
    fn of(codec: &Codec) -> Self {
        let avc = |in_header, avcc: &mp4_atom::Avcc| {
            let set = avcc.sequence_parameter_sets.first().map(Vec::as_slice).unwrap_or_default();
            Self::Avc(Avc {
                in_header,
                length_size: avcc.length_size,
                stated: (
                    avcc.avc_profile_indication,
                    avcc.profile_compatibility,
                    avcc.avc_level_indication,
                ),
                sets: avcc.sequence_parameter_sets.len(),
                picture_sets: avcc.picture_parameter_sets.len(),
                set: sps::parse(set).map_err(|error| error.to_string()),
                codec: codecs::avc(set).map_err(|error| error.to_string()),
            })
        };
        match codec {
            Codec::Avc1(entry) => avc(true, &entry.avcc),
            Codec::Avc3(entry) => avc(false, &entry.avcc),
            Codec::Av01(entry) => {
                let sequence = repack(&entry.av1c.config_obus)
                    .map_err(|error| error.to_string())
                    .and_then(|unit| unit.sequence.ok_or_else(|| "no sequence header".to_owned()));
                let av1c = &entry.av1c;
                let stated = (av1c.seq_profile, av1c.seq_level_idx_0, av1c.seq_tier_0);
                Self::Av1(Av1 { stated, sequence })
            }
            Codec::Mp4a(entry) => match &entry.esds.es_desc.dec_config.dec_specific {
                Some(specific) => Self::Aac(AacStream {
                    object_type: specific.profile,
                    sample_rate: u32::from(entry.audio.sample_rate.integer()),
                    rate_index: specific.freq_index,
                    channels: specific.chan_conf,
                    frames: Vec::new(),
                }),
                None => Self::Other("mp4a without a configuration".to_owned()),
            },
            other => {
                let text = format!("{other:?}");
                Self::Other(text.split(['(', ' ']).next().unwrap_or_default().to_owned())
            }
        }
    }
}

fn visual(codec: &Codec) -> (Option<Size>, Option<BoxColour>) {
    let (visual, colr) = match codec {
        Codec::Avc1(entry) => (&entry.visual, &entry.colr),
        Codec::Avc3(entry) => (&entry.visual, &entry.colr),
        Codec::Av01(entry) => (&entry.visual, &entry.colr),
        _ => return (None, None),
    };
    let size = Size { width: visual.width.into(), height: visual.height.into() };
    let colour = match colr {
        Some(Colr::Nclx {
            colour_primaries,
            transfer_characteristics,
            matrix_coefficients,
            full_range_flag,
        }) => Some(BoxColour {
            primaries: *colour_primaries,
            transfer: *transfer_characteristics,
            matrix: *matrix_coefficients,
            full_range: *full_range_flag,
        }),
        _ => None,
    };
    (Some(size), colour)
}

impl From<Colour> for BoxColour {
    fn from(colour: Colour) -> Self {
        Self {
            primaries: colour.primaries.into(),
            transfer: colour.transfer.into(),
            matrix: colour.matrix.into(),
            full_range: colour.full_range,
        }
    }
}
