//! What a player asks for next: the segment after the one that it was given.
//!
//! Pure: it must not fetch or know tokens. Read next: [`super::Delivery::find`], and
//! [`super::prefetch`] for what is pulled when it is published.

use fairground_media::Manifest;
use fairground_media::path::PlayPath;
use fairground_types::BlobHash;

/// The next segment of the same rendition, when there is one that is not held. What is not public,
/// and looked at by somebody who may, is fetched piece by piece as it is asked for.
pub(super) fn wanted(
    manifest: &Manifest,
    path: &PlayPath,
    is_public: bool,
    holds: impl FnOnce(&BlobHash) -> bool,
) -> Option<BlobHash> {
    let PlayPath::Segment { rendition, n } = path else { return None };
    let next = usize::try_from(*n).ok()?.checked_add(1)?;
    let segment = manifest.rendition(rendition)?.segments.get(next)?;
    (is_public && !holds(&segment.hash)).then_some(segment.hash)
}

#[cfg(test)]
mod tests {
    use fairground_media::manifest::{
        FrameRate, MANIFEST_VERSION, Rendition, RenditionId, Segment, Track, VideoFamily,
    };

    use super::*;

    fn hash(number: u8) -> BlobHash {
        BlobHash::of(&[number])
    }

    fn rendition(name: &str, first: u8) -> Rendition {
        let frame_rate = FrameRate { num: 25, den: 1 };
        let segments = (first..first + 3).map(|number| Segment {
            hash: hash(number),
            bytes: 1,
            duration_ticks: 50,
        });
        Rendition {
            id: RenditionId::new(name).expect("a name"),
            codec: "avc1.64001e".to_owned(),
            track: Track::Video { family: VideoFamily::Avc, width: 640, height: 360, frame_rate },
            bandwidth: 1,
            average_bandwidth: 1,
            init: hash(0),
            segments: segments.collect(),
            timescale: 25,
        }
    }

    fn manifest() -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            revision: 1,
            duration_ms: 6_000,
            frame_count: 150,
            frame_rate: FrameRate { num: 25, den: 1 },
            width: 640,
            height: 360,
            is_growing: false,
            target_duration_s: 2,
            renditions: vec![rendition("c360", 10), rendition("c480", 20)],
            i_frames: Vec::new(),
            poster: None,
            storyboard: None,
            captions: Vec::new(),
        }
    }

    fn next(name: &str, is_public: bool, held: &[u8]) -> Option<BlobHash> {
        let path = PlayPath::parse(name).expect("a name");
        let held: Vec<BlobHash> = held.iter().copied().map(hash).collect();
        wanted(&manifest(), &path, is_public, |hash| held.contains(hash))
    }

    #[test]
    fn the_next_segment_of_the_same_rendition_is_wanted() {
        assert_eq!(next("c360/0.m4s", true, &[]), Some(hash(11)));
        assert_eq!(next("c480/1.m4s", true, &[11, 21]), Some(hash(22)));
    }

    #[test]
    fn nothing_is_wanted_of_what_is_here_over_secret_or_no_segment() {
        assert_eq!(next("c360/0.m4s", true, &[11]), None, "here");
        assert_eq!(next("c360/2.m4s", true, &[]), None, "the last");
        assert_eq!(next("c360/999999.m4s", true, &[]), None, "beyond it");
        assert_eq!(next("c360/0.m4s", false, &[]), None, "withheld");
        for other in ["v360/0.m4s", "c360/init.mp4", "c360.m3u8", "poster.jpg"] {
            assert_eq!(next(other, true, &[]), None, "{other}");
        }
    }
}
