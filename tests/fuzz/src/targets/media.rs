//! Media and what names it: paths and tokens of players, manifests, heads of uploads, streams of the
//! tools that transcode.

use fairground_media::manifest::Manifest;
use fairground_media::mux::{adts, fragments, obu};
use fairground_media::path::{PlayPath, resolve};
use fairground_media::playlist::{CodecSet, multivariant};
use fairground_media::sniff;
use fairground_media::token::cat::{self, CatIssuer, CatKey};
use fairground_media::token::{self, TokenKeys};
use fairground_types::Timestamp;

use crate::{Outcome, Target};

const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

/// The token of a path, which is what signs an address of a segment.
fn path_token(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::Refused };
    let mut keys = TokenKeys::default();
    keys.insert(1, [3; 32]);
    assert!(token::verify(text, &keys, NOW).is_err(), "nobody signed this");
    Outcome::Refused
}

/// A Common Access Token of an issuer whose key is known.
fn common_access_token(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::Refused };
    let key = CatKey::Ed25519([3; 32]);
    let issuer = CatIssuer { key_id: b"op".to_vec(), name: None, key };
    assert!(cat::verify(text, &[issuer], NOW).is_err(), "nobody signed this");
    Outcome::Refused
}

fn play_path(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::Refused };
    let Some(path) = PlayPath::parse(text) else { return Outcome::Refused };
    assert!(!text.contains("..") && !text.starts_with('/'), "{text:?} is {path:?}");
    Outcome::Read
}

/// A manifest, and everything that is rendered from it.
fn manifest(input: &[u8]) -> Outcome {
    let Ok(manifest) = Manifest::parse(input) else { return Outcome::Refused };
    let bytes = manifest.to_bytes().expect("it was one");
    let again = Manifest::parse(&bytes).expect("our own bytes");
    assert_eq!(again.to_bytes().expect("it was one"), bytes);
    for set in [CodecSet::All, CodecSet::Avc, CodecSet::Av1] {
        let _ = multivariant(&manifest, set);
    }
    let captions = manifest.captions.iter().map(|track| track.id());
    for file in captions.flat_map(|id| [format!("{id}.m3u8"), format!("{id}/0.vtt")]) {
        let path = PlayPath::parse(&file).expect("a name of ours");
        let _ = resolve(&manifest, &path);
    }
    for file in ["poster.jpg", "poster.avif", "storyboard.vtt", "storyboard/0.jpg"] {
        let path = PlayPath::parse(file).expect("a name of ours");
        let _ = resolve(&manifest, &path);
    }
    let renditions = manifest.renditions.iter().map(|rendition| &rendition.id);
    for id in renditions.chain(manifest.i_frames.iter().map(|stream| &stream.id)) {
        for file in [".m3u8", "/init.mp4", "/0.m4s", "/frames.mp4"] {
            let path = PlayPath::parse(&format!("{id}{file}")).expect("a name of ours");
            let _ = resolve(&manifest, &path);
        }
    }
    Outcome::Read
}

fn upload_head(input: &[u8]) -> Outcome {
    let _ = sniff::picture(input);
    match sniff::sniff(input) {
        Ok(_) => Outcome::Read,
        Err(_) => Outcome::Refused,
    }
}

fn aac_stream(input: &[u8]) -> Outcome {
    match adts::parse(input) {
        Ok(_) => Outcome::Read,
        Err(_) => Outcome::Refused,
    }
}

fn av1_unit(input: &[u8]) -> Outcome {
    match obu::repack(input) {
        Ok(_) => Outcome::Read,
        Err(_) => Outcome::Refused,
    }
}

fn mp4_fragments(input: &[u8]) -> Outcome {
    let mut found = fragments::Fragments::new(input);
    let _ = found.avc_config(1);
    // Each takes bytes of the input, so there are never more than that.
    for _ in 0..=input.len() {
        match found.next_fragment() {
            Ok(Some(_)) => {}
            Ok(None) => return Outcome::Read,
            Err(_) => return Outcome::Refused,
        }
    }
    panic!("fragments without an end");
}

pub(super) const TARGETS: &[Target] = &[
    Target { name: "path_token", run: path_token, golden: &[] },
    Target { name: "common_access_token", run: common_access_token, golden: &[] },
    Target { name: "play_path", run: play_path, golden: &[] },
    Target { name: "manifest", run: manifest, golden: &[] },
    Target { name: "upload_head", run: upload_head, golden: &[] },
    Target { name: "aac_stream", run: aac_stream, golden: &[] },
    Target { name: "av1_unit", run: av1_unit, golden: &[] },
    Target { name: "mp4_fragments", run: mp4_fragments, golden: &[] },
];
