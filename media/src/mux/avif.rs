//! AVIF: one AV1 picture as an image item (AV1 Image File Format 1.1, ISO/IEC 23008-12).
//!
//! ```text
//!  ftyp avif mif1 miaf | meta: hdlr pict, pitm, iloc, iinf av01, iprp (ispe pixi av1C colr) | mdat
//! ```
//!
//! Everything stated here is taken from the bitstream. Read next: `obu`.

use bytes::Bytes;
use mp4_atom::{
    Encode as _, FourCC, Ftyp, Hdlr, Iinf, Iloc, Ipco, Ipma, Iprp, Ispe, ItemInfoEntry,
    ItemLocation, ItemLocationExtent, Meta, Pitm, Pixi, PropertyAssociation, PropertyAssociations,
};

use crate::error::MediaError;
use crate::mux::init::{av1c, nclx};
use crate::mux::obu::SequenceHeader;
use crate::mux::segment::MDAT_HEADER;

const ITEM: u32 = 1;

/// Writes a picture: `unit` is a temporal unit of one shown key frame, sequence header included.
///
/// # Errors
/// [`MediaError::Stream`] when it does not fit the format.
pub fn write(header: &SequenceHeader, unit: &[u8]) -> Result<Bytes, MediaError> {
    let length = u32::try_from(unit.len() + MDAT_HEADER).map_err(|_| too_large())?;
    let mut bytes = Vec::with_capacity(unit.len() + 512);
    Ftyp {
        major_brand: FourCC::new(b"avif"),
        minor_version: 0,
        compatible_brands: [b"avif", b"mif1", b"miaf"].map(FourCC::new).to_vec(),
    }
    .encode(&mut bytes)?;
    // Where the picture is stands in a box whose length it depends on: measure, then write. The
    // offset has a fixed width.
    let mut measured = Vec::new();
    meta(header, 0, unit.len())?.encode(&mut measured)?;
    let start = bytes.len() + measured.len() + MDAT_HEADER;
    meta(header, start, unit.len())?.encode(&mut bytes)?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    bytes.extend_from_slice(unit);
    Ok(bytes.into())
}

fn meta(header: &SequenceHeader, start: usize, length: usize) -> Result<Meta, MediaError> {
    let extent = ItemLocationExtent {
        item_reference_index: 0,
        offset: u64::try_from(start).map_err(|_| too_large())?,
        length: u64::try_from(length).map_err(|_| too_large())?,
    };
    let location = ItemLocation {
        item_id: ITEM,
        construction_method: 0,
        data_reference_index: 0,
        base_offset: 0,
        extents: vec![extent],
    };
    let entry = ItemInfoEntry {
        item_id: ITEM,
        item_protection_index: 0,
        item_type: Some(FourCC::new(b"av01")),
        item_name: String::new(),
        content_type: None,
        content_encoding: None,
        item_uri_type: None,
        item_not_in_presentation: false,
    };
    let channels = if header.monochrome { 1 } else { 3 };
    let properties = vec![
        Ispe { width: header.width, height: header.height }.into(),
        Pixi { bits_per_channel: vec![header.bit_depth; channels] }.into(),
        av1c(header).into(),
        nclx(header).into(),
    ];
    // A reader that does not know the decoder's configuration cannot show the item.
    let associations = [(1, false), (2, false), (3, true), (4, false)]
        .map(|(property_index, essential)| PropertyAssociation { essential, property_index })
        .to_vec();
    let of_item = PropertyAssociations { item_id: ITEM, associations };
    Ok(Meta {
        hdlr: Hdlr { handler: FourCC::new(b"pict"), name: String::new() },
        items: vec![
            Pitm { item_id: ITEM }.into(),
            Iloc { item_locations: vec![location] }.into(),
            Iinf { item_infos: vec![entry] }.into(),
            Iprp { ipco: Ipco { properties }, ipma: vec![Ipma { item_properties: vec![of_item] }] }
                .into(),
        ],
    })
}

fn too_large() -> MediaError {
    MediaError::Stream("AVIF: a picture too large for its file".to_owned())
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode as _;

    use super::*;

    #[test]
    fn item_is_where_the_file_says() {
        let header = SequenceHeader {
            obu: vec![1, 2, 3],
            profile: 0,
            level: 1,
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
            width: 640,
            height: 360,
        };
        let bytes = write(&header, b"picture").unwrap();
        let mut rest = bytes.as_ref();
        assert_eq!(Ftyp::decode(&mut rest).unwrap().major_brand, FourCC::new(b"avif"));
        let meta = Meta::decode(&mut rest).unwrap();
        let extent = &meta.get::<Iloc>().unwrap().item_locations[0].extents[0];
        let start = usize::try_from(extent.offset).unwrap();
        let end = start + usize::try_from(extent.length).unwrap();
        assert_eq!(&bytes[start..end], b"picture");
        assert_eq!(end, bytes.len());
        let properties = &meta.get::<Iprp>().unwrap().ipco.properties;
        assert_eq!(properties[0], Ispe { width: 640, height: 360 }.into());
    }
}
