//! A clip of two seconds: a true manifest over segments that nobody decodes.

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

pub(crate) fn clip() -> Clip {
    let blob = |text: &str| {
        let bytes = Bytes::from(text.repeat(100));
        (BlobHash::of(&bytes), bytes)
    };
    let (init, segment, poster) = (blob("init"), blob("segment-0"), blob("poster"));
    let rate = FrameRate { num: 25, den: 1 };
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        revision: 1,
        duration_ms: 2_000,
        frame_count: 50,
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
            segments: vec![Segment {
                hash: segment.0,
                bytes: u64::try_from(segment.1.len()).unwrap(),
                duration_ticks: 50,
            }],
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
    let body = segment.1.clone();
    let blobs = vec![init, segment, poster, (manifest, bytes)];
    Clip { asset: AssetId::from_bits(9), manifest, blobs, segment: body }
}
