//! CMAF headers: `ftyp` and a `moov` with one track and no samples.
//!
//! Everything stated here is taken from the bitstream. Read next: `segment`.

use bytes::Bytes;
use mp4_atom::{
    Audio, Av1c, Avc1, Avcc, Codec, Colr, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry,
    Encode as _, Esds, FixedPoint, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvex, Mvhd,
    Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd, esds,
};

use crate::error::MediaError;
use crate::ladder::Size;
use crate::manifest::FrameRate;
use crate::mux::adts::{AacStream, FRAME_SAMPLES};
use crate::mux::obu::SequenceHeader;

/// The track of every file.
pub(crate) const TRACK_ID: u32 = 1;

/// Header of an AV1 track.
///
/// # Errors
/// [`MediaError::Stream`] when a size does not fit the format.
pub fn av1(header: &SequenceHeader, rate: FrameRate) -> Result<Bytes, MediaError> {
    let size = Size { width: header.width, height: header.height };
    let entry = mp4_atom::Av01 {
        visual: visual(size)?,
        av1c: av1c(header),
        colr: Some(nclx(header)),
        pasp: Some(Pasp { h_spacing: 1, v_spacing: 1 }),
        ..mp4_atom::Av01::default()
    };
    video(Codec::Av01(entry), size, rate, b"av01")
}

/// The decoder configuration of an AV1 stream.
pub(super) fn av1c(header: &SequenceHeader) -> Av1c {
    Av1c {
        seq_profile: header.profile,
        seq_level_idx_0: header.level,
        seq_tier_0: header.tier,
        high_bitdepth: header.bit_depth > 8,
        twelve_bit: header.bit_depth == 12,
        monochrome: header.monochrome,
        chroma_subsampling_x: header.subsampling_x,
        chroma_subsampling_y: header.subsampling_y,
        chroma_sample_position: header.chroma_position,
        initial_presentation_delay: None,
        config_obus: header.obu.clone(),
    }
}

/// The colours of an AV1 stream.
pub(super) fn nclx(header: &SequenceHeader) -> Colr {
    Colr::Nclx {
        colour_primaries: header.primaries.into(),
        transfer_characteristics: header.transfer.into(),
        matrix_coefficients: header.matrix.into(),
        full_range_flag: header.full_range,
    }
}

/// Header of an H.264 track in BT.709, limited range.
///
/// # Errors
/// [`MediaError::Stream`] when a size does not fit the format.
pub fn avc(avcc: &Avcc, size: Size, rate: FrameRate) -> Result<Bytes, MediaError> {
    let colr = Colr::Nclx {
        colour_primaries: 1,
        transfer_characteristics: 1,
        matrix_coefficients: 1,
        full_range_flag: false,
    };
    let entry = Avc1 {
        visual: visual(size)?,
        avcc: avcc.clone(),
        btrt: None,
        colr: Some(colr),
        pasp: Some(Pasp { h_spacing: 1, v_spacing: 1 }),
        taic: None,
        fiel: None,
        spatial: None,
    };
    video(Codec::Avc1(entry), size, rate, b"avc1")
}

/// Header of an AAC track whose first frame primes the decoder and is cut off by an edit.
///
/// # Errors
/// [`MediaError::Stream`] when the format has no room for a value.
pub fn aac(stream: &AacStream) -> Result<Bytes, MediaError> {
    let rate = u16::try_from(stream.sample_rate).map_err(|_| too_large())?;
    let dec_specific = esds::DecoderSpecific {
        profile: stream.object_type,
        freq_index: stream.rate_index,
        chan_conf: stream.channels,
        raw: Vec::new(),
    };
    let dec_config = esds::DecoderConfig {
        object_type_indication: 0x40,
        stream_type: 5,
        dec_specific: Some(dec_specific),
        ..esds::DecoderConfig::default()
    };
    let es_desc = esds::EsDescriptor { es_id: 1, dec_config, ..esds::EsDescriptor::default() };
    let entry = Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: stream.channels.into(),
            sample_size: 16,
            sample_rate: FixedPoint::from(rate),
        },
        esds: Esds { es_desc },
        btrt: None,
        taic: None,
    };
    let minf = Minf {
        smhd: Some(Smhd::default()),
        dinf: own_file(),
        stbl: empty_table(Codec::Mp4a(entry)),
        ..Minf::default()
    };
    let edit = ElstEntry {
        segment_duration: 0,
        media_time: Some(FRAME_SAMPLES.into()),
        media_rate: FixedPoint::from(1),
    };
    let trak = Trak {
        tkhd: Tkhd { volume: FixedPoint::from(1), ..track_header() },
        edts: Some(Edts { elst: Some(Elst { entries: vec![edit] }) }),
        mdia: media(stream.sample_rate, b"soun", minf),
        ..Trak::default()
    };
    file(trak, stream.sample_rate, &[b"iso6", b"cmfc", b"mp41"])
}

fn video(codec: Codec, size: Size, rate: FrameRate, brand: &[u8; 4]) -> Result<Bytes, MediaError> {
    let minf = Minf {
        vmhd: Some(Vmhd::default()),
        dinf: own_file(),
        stbl: empty_table(codec),
        ..Minf::default()
    };
    let trak = Trak {
        tkhd: Tkhd {
            width: FixedPoint::from(side(size.width)?),
            height: FixedPoint::from(side(size.height)?),
            ..track_header()
        },
        mdia: media(rate.num, b"vide", minf),
        ..Trak::default()
    };
    // The second structural brand allows the negative composition offsets of reordered pictures.
    file(trak, rate.num, &[b"iso6", b"cmfc", b"cmf2", brand, b"mp41"])
}

fn file(trak: Trak, timescale: u32, brands: &[&[u8; 4]]) -> Result<Bytes, MediaError> {
    let ftyp = Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: brands.iter().map(|brand| FourCC::new(brand)).collect(),
    };
    let moov = Moov {
        mvhd: Mvhd {
            timescale,
            rate: FixedPoint::from(1),
            volume: FixedPoint::from(1),
            next_track_id: TRACK_ID + 1,
            ..Mvhd::default()
        },
        trak: vec![trak],
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: TRACK_ID,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
        }),
        ..Moov::default()
    };
    let mut bytes = Vec::with_capacity(1024);
    ftyp.encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes.into())
}

fn media(timescale: u32, handler: &[u8; 4], minf: Minf) -> Mdia {
    Mdia {
        mdhd: Mdhd { timescale, language: "und".to_owned(), ..Mdhd::default() },
        hdlr: Hdlr { handler: FourCC::new(handler), name: "Fairground".to_owned() },
        minf,
    }
}

fn track_header() -> Tkhd {
    Tkhd { track_id: TRACK_ID, enabled: true, in_movie: true, ..Tkhd::default() }
}

fn own_file() -> Dinf {
    Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } }
}

/// Sample tables of a fragmented file: the description only.
fn empty_table(codec: Codec) -> Stbl {
    Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() }
}

fn visual(size: Size) -> Result<Visual, MediaError> {
    Ok(Visual {
        data_reference_index: 1,
        width: side(size.width)?,
        height: side(size.height)?,
        ..Visual::default()
    })
}

fn side(pixels: u32) -> Result<u16, MediaError> {
    u16::try_from(pixels).map_err(|_| too_large())
}

fn too_large() -> MediaError {
    MediaError::Stream("a value is too large for the header".to_owned())
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Atom as _, Decode as _};

    use super::*;

    #[test]
    fn audio_header_reads_back() {
        let stream = AacStream {
            object_type: 2,
            sample_rate: 48_000,
            rate_index: 3,
            channels: 2,
            frames: Vec::new(),
        };
        let bytes = aac(&stream).unwrap();
        let mut rest = bytes.as_ref();
        Ftyp::decode(&mut rest).unwrap();
        let moov = Moov::decode(&mut rest).unwrap();
        let trak = &moov.trak[0];
        assert_eq!(trak.mdia.mdhd.timescale, 48_000);
        let edits = &trak.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
        assert_eq!(edits[0].media_time, Some(1024));
        let Codec::Mp4a(entry) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("not mp4a") };
        let specific = entry.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
        assert_eq!(specific.raw, [0x11, 0x90]);
        assert_eq!(Moov::KIND, FourCC::new(b"moov"));
    }
}
