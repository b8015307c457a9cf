//! A clip of seconds: a true manifest over segments that nobody decodes.

use bytes::Bytes;
use fairground_media::Manifest;
use fairground_media::manifest::{
    FrameRate, MANIFEST_VERSION, Poster, Rendition, RenditionId, Segment, Track, VideoFamily,
};
use fairground_types::{AssetId, BlobHash};

pub(crate) struct Clip {
    pub(crate) asset: AssetId,
    pub(crate) manifest: BlobHash,
    pub(crate) blobs: Vec<(BlobHash, Bytes)>,
    pub(crate) segment: Bytes,
}

/// Two seconds.
pub(crate) fn clip() -> Clip {
    clip_of(&[Bytes::from("segment-0".repeat(100))])
}

/// Two seconds for each of these segments.
pub(crate) fn clip_of(segments: &[Bytes]) -> Clip {
    let count = u64::try_from(segments.len()).unwrap();
    let blob = |text: &str| {
        let bytes = Bytes::from(text.repeat(100));
        (BlobHash::of(&bytes), bytes)
    };
    let (init, poster) = (blob("init"), blob("poster"));
    let named: Vec<_> = segments.iter().map(|bytes| (BlobHash::of(bytes), bytes.clone())).collect();
    let rows = named.iter().map(|(hash, bytes)| Segment {
        hash: *hash,
        bytes: u64::try_from(bytes.len()).unwrap(),
        duration_ticks: 50,
    });
    let rate = FrameRate { num: 25, den: 1 };
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        revision: 1,
        duration_ms: 2_000 * count,
        frame_count: 50 * count,
        frame_rate: rate,
        width: 640,
        height: 360,
        target_duration_s: 2,
        renditions: vec![Rendition {
            id: RenditionId::new("c360").unwrap(),
            codec: "avc1.64001e".to_owned(),
            track: Track::Video {
                family: VideoFamily::Avc,
                width: 640,
                height: 360,
                frame_rate: rate,
            },
            bandwidth: 500_000,
            average_bandwidth: 400_000,
            init: init.0,
            segments: rows.collect(),
            timescale: 25,
        }],
        i_frames: Vec::new(),
        poster: Some(Poster { jpeg: poster.0, avif: poster.0 }),
        storyboard: None,
        captions: Vec::new(),
        is_growing: false,
    };
    let bytes = Bytes::from(manifest.to_bytes().unwrap());
    let manifest = BlobHash::of(&bytes);
    let segment = segments.first().unwrap().clone();
    let blobs = named.into_iter().chain([init, poster, (manifest, bytes)]).collect();
    Clip { asset: AssetId::from_bits(9), manifest, blobs, segment }
}
