//! A whole manifest, and every rule of it broken once.

use super::*;

pub(crate) fn sample() -> Manifest {
    let rate = FrameRate { num: 30_000, den: 1001 };
    let segment = |seed: u8, bytes, duration_ticks| Segment {
        hash: BlobHash::of(&[seed]),
        bytes,
        duration_ticks,
    };
    let sound = |id: &str, bits: u64, seed: u8| Rendition {
        id: RenditionId::new(id).unwrap(),
        codec: "mp4a.40.2".to_owned(),
        track: Track::Audio { channels: 2, sample_rate: 48_000 },
        bandwidth: bits + 2_000,
        average_bandwidth: bits,
        init: BlobHash::of(&[seed]),
        segments: vec![segment(seed + 1, bits / 4, 96_256), segment(seed + 2, bits / 8, 48_128)],
        timescale: 48_000,
    };
    let video =
        |id: &str, family, codec: &str, (side, step, bits): (u32, u32, u64), seed| Rendition {
            id: RenditionId::new(id).unwrap(),
            codec: codec.to_owned(),
            track: Track::Video {
                family,
                width: side * 16 / 9,
                height: side,
                frame_rate: rate.every(step),
            },
            bandwidth: bits * 13 / 10,
            average_bandwidth: bits,
            init: BlobHash::of(&[seed]),
            segments: vec![
                segment(seed + 1, 100_000, 60 * 1001),
                segment(seed + 2, 50_000, 30 * 1001),
            ],
            timescale: 30_000,
        };
    Manifest {
        version: MANIFEST_VERSION,
        revision: 2,
        duration_ms: 3003,
        frame_count: 90,
        frame_rate: rate,
        width: 1280,
        height: 720,
        target_duration_s: 2,
        renditions: vec![
            video("c360", VideoFamily::Avc, "avc1.64001e", (360, 1, 400_000), 10),
            video("c234", VideoFamily::Avc, "avc1.42c00d", (234, 2, 90_000), 60),
            video("v360", VideoFamily::Av1, "av01.0.01M.08", (360, 1, 300_000), 20),
            sound("a-hi", 128_000, 30),
            sound("a-lo", 64_000, 40),
        ],
        i_frames: vec![IFrameStream {
            id: RenditionId::new("i234").unwrap(),
            codec: "avc1.64000d".to_owned(),
            width: 416,
            height: 234,
            bandwidth: 40_000,
            average_bandwidth: 32_000,
            init: BlobHash::of(&[50]),
            file: BlobHash::of(&[51]),
            frames: [5_000, 4_000, 3_000]
                .map(|bytes| IFrame { bytes, duration_ticks: 30 * 1001 })
                .to_vec(),
            timescale: 30_000,
        }],
        poster: Some(Poster {
            jpeg: BlobHash::of(b"poster"),
            avif: BlobHash::of(b"smaller poster"),
        }),
        storyboard: Some(Storyboard {
            sheets: vec![BlobHash::of(b"sheet 0"), BlobHash::of(b"sheet 1")],
            columns: 2,
            rows: 1,
            width: 160,
            height: 90,
            pictures: 3,
            frames_apart: 30,
        }),
        captions: vec![CaptionTrack {
            language: Language::new("pt-BR").unwrap(),
            label: "Português".to_owned(),
            describes_sounds: true,
            file: BlobHash::of(b"captions"),
        }],
        is_growing: false,
    }
}

#[test]
fn manifest_round_trips() {
    let manifest = sample();
    let bytes = manifest.to_bytes().unwrap();
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
    assert_eq!(manifest.blobs().count(), 22);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("\"averageBandwidth\":400000"), "{text}");
    assert!(text.contains("\"kind\":\"video\""), "{text}");
}

fn set_size(rendition: &mut Rendition, to: u32) {
    let Track::Video { width, height, .. } = &mut rendition.track else { panic!("no video") };
    (*width, *height) = (to, to);
}

fn set_rate(rendition: &mut Rendition, rate: FrameRate) {
    let Track::Video { frame_rate, .. } = &mut rendition.track else { panic!("no video") };
    *frame_rate = rate;
}

#[test]
fn every_broken_rule_is_refused() {
    let broken: [fn(&mut Manifest); 34] = [
        |m| m.version = 2,
        |m| m.revision = 0,
        |m| m.frame_rate.den = 0,
        |m| m.frame_count = 91,
        |m| m.duration_ms = 60_000,
        |m| m.renditions.clear(),
        |m| m.renditions[1].id = m.renditions[0].id.clone(),
        |m| m.renditions[0].codec = "avc1\",X=\"".to_owned(),
        |m| m.renditions[0].segments.clear(),
        |m| m.renditions[3].segments[0].duration_ticks = 0,
        |m| m.target_duration_s = 0,
        |m| m.target_duration_s = 1,
        |m| m.renditions[0].timescale = 60_000,
        |m| set_rate(&mut m.renditions[1], FrameRate { num: 15, den: 1 }),
        |m| set_rate(&mut m.renditions[1], FrameRate { num: 30_000, den: 7 * 1001 }),
        |m| {
            // As long in all, but cut elsewhere.
            m.renditions[1].segments[0].duration_ticks -= 1001;
            m.renditions[1].segments[1].duration_ticks += 1001;
        },
        |m| {
            m.renditions[4].segments[0].duration_ticks -= 3 * 1024;
            m.renditions[4].segments[1].duration_ticks += 3 * 1024;
        },
        |m| m.renditions.retain(|rendition| rendition.family().is_none()),
        |m| m.i_frames[0].id = m.renditions[0].id.clone(),
        |m| m.i_frames[0].id = m.captions[0].id(),
        |m| m.i_frames[0].height = 0,
        |m| set_size(&mut m.renditions[0], 0),
        |m| {
            let Track::Audio { channels, .. } = &mut m.renditions[3].track else { panic!() };
            *channels = 0;
        },
        |m| m.i_frames[0].frames.truncate(2),
        |m| m.i_frames[0].frames[0].bytes = 0,
        |m| m.i_frames[0].codec = String::new(),
        |m| m.storyboard.as_mut().unwrap().columns = 0,
        |m| m.storyboard.as_mut().unwrap().frames_apart = 0,
        |m| m.storyboard.as_mut().unwrap().frames_apart = 45,
        |m| m.storyboard.as_mut().unwrap().sheets.truncate(1),
        |m| m.storyboard.as_mut().unwrap().width = 1024,
        |m| m.captions[0].label = "a\",URI=\"x".to_owned(),
        |m| m.captions[0].label.clear(),
        |m| m.captions.push(m.captions[0].clone()),
    ];
    for (index, breaks) in broken.iter().enumerate() {
        let mut manifest = sample();
        breaks(&mut manifest);
        let bytes = serde_json::to_vec(&manifest).unwrap();
        assert!(Manifest::parse(&bytes).is_err(), "rule {index} is not checked");
    }
    assert!(Manifest::parse(&vec![b' '; MANIFEST_BYTES_MAX + 1]).is_err());
    assert!(Manifest::parse(b"{}").is_err());
}

#[test]
fn captions_come_with_a_new_revision() {
    let manifest = sample();
    let none = manifest.with_captions(3, Vec::new()).unwrap();
    assert_eq!((none.revision, none.captions.len()), (3, 0));
    assert_eq!(none.renditions, manifest.renditions);
    let twice = vec![manifest.captions[0].clone(); 2];
    assert!(manifest.with_captions(3, twice).is_err());
    let mut other = manifest.captions[0].clone();
    other.language = Language::new("en").unwrap();
    let same_label = vec![manifest.captions[0].clone(), other];
    assert!(manifest.with_captions(3, same_label).is_err());
}
