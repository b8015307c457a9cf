//! Pictures against the real tools: what people send goes in, only pixels come out.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use fairground_media::picture::{Drawing, PictureRules, decode};
use fairground_media::sniff::picture;
use fairground_media::{Launcher, MediaError, Tools};

/// What somebody hides behind a picture.
const HIDDEN: &[u8] = b"<script>alert(document.domain)</script> 52.5200 N, 13.4050 E";

/// The launcher that cargo builds as an example beside the tests.
fn launcher() -> Option<Launcher> {
    let test = std::env::current_exe().ok()?;
    let program = test.parent()?.parent()?.join("examples/jail_launcher");
    program.is_file().then(|| Launcher { program, verb: "transcode-jail".to_owned() })
}

fn tools() -> Option<Tools> {
    use std::io::Write as _;
    let found = Tools::find(launcher());
    if let Err(error) = &found {
        let _ = writeln!(std::io::stderr(), "skipped: {error}");
    }
    found.ok()
}

/// A drawn picture of a size, in the format that its name says.
fn drawn(tools: &Tools, folder: &Path, name: &str, size: &str) -> PathBuf {
    let path = folder.join(name);
    let source = format!("testsrc=size={size}:rate=1");
    let mut command = Command::new(&tools.ffmpeg);
    command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &source]);
    let output = command.args(["-frames:v", "1"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

fn reason(outcome: Result<Bytes, MediaError>) -> &'static str {
    let error = outcome.unwrap_err();
    error.rejection().unwrap_or_else(|| panic!("{error}")).reason
}

/// Width and height of a lossy WebP (RFC 9649 section 2.5, RFC 6386 section 9.1).
fn size_of_webp(bytes: &[u8]) -> (u16, u16) {
    let start = bytes.windows(3).position(|window| window == [0x9D, 0x01, 0x2A]).unwrap();
    let at = |offset: usize| {
        u16::from_le_bytes([bytes[start + offset], bytes[start + offset + 1]]) & 0x3FFF
    };
    (at(3), at(5))
}

#[test]
fn every_format_becomes_a_square_that_holds_nothing_of_what_was_sent() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["wide.jpg", "wide.png", "wide.webp"] {
        let path = drawn(&tools, folder.path(), name, "640x400");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(HIDDEN);
        std::fs::write(&path, &bytes).unwrap();
        let square = decode(&path, &tools, &PictureRules::AVATAR).unwrap();
        assert_eq!(picture(&square), Some("image/webp"), "{name}");
        assert_eq!(size_of_webp(&square), (512, 512), "{name}");
        let is_in = square.windows(8).any(|window| HIDDEN.windows(8).any(|part| part == window));
        assert!(!is_in, "{name}: what was behind the picture came through");
        let again = decode(&path, &tools, &PictureRules::AVATAR).unwrap();
        assert_eq!(square, again, "{name}: the same picture, the same bytes");
        assert!(decode(&path, &tools, &PictureRules::EVIDENCE).unwrap().is_empty());
    }
}

#[test]
fn a_picture_of_a_phone_held_upright_is_turned() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = drawn(&tools, folder.path(), "phone.jpg", "640x400");
    let lying = decode(&path, &tools, &PictureRules::AVATAR).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    // An Exif segment with one entry: orientation, right side at the top.
    let exif = b"\xFF\xE1\x00\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let turned = [&bytes[..2], exif, &bytes[2..]].concat();
    std::fs::write(&path, turned).unwrap();
    let upright = decode(&path, &tools, &PictureRules::AVATAR).unwrap();
    assert_eq!(size_of_webp(&upright), (512, 512));
    assert_ne!(upright, lying);
    assert!(!upright.windows(4).any(|window| window == b"Exif"));
}

#[test]
fn a_picture_that_is_cut_off_or_something_else_is_refused() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["cut.jpg", "cut.png", "cut.webp"] {
        let path = drawn(&tools, folder.path(), name, "640x400");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        for rules in [PictureRules::AVATAR, PictureRules::EVIDENCE] {
            assert_eq!(reason(decode(&path, &tools, &rules)), "unreadable", "{name}");
        }
    }
    for (text, expected) in [
        (&b"\x89PNG\r\n\x1a\n...."[..], "unreadable"),
        (b"\xFF\xD8\xFF\xE0", "unreadable"),
        (b"#EXTM3U\n/etc/passwd\n", "not_a_picture"),
        (b"GIF89a", "not_a_picture"),
        (b"", "not_a_picture"),
    ] {
        let path = folder.path().join("other");
        std::fs::write(&path, text).unwrap();
        assert_eq!(reason(decode(&path, &tools, &PictureRules::AVATAR)), expected, "{text:?}");
    }
}

#[test]
fn a_picture_larger_than_its_rules_allow_is_refused_before_it_is_drawn() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = drawn(&tools, folder.path(), "long.png", "2050x16");
    assert_eq!(reason(decode(&path, &tools, &PictureRules::AVATAR)), "dimensions");
    assert!(decode(&path, &tools, &PictureRules::EVIDENCE).is_ok());
    let few = PictureRules { pixels_max: 32_799, ..PictureRules::EVIDENCE };
    assert_eq!(reason(decode(&path, &tools, &few)), "dimensions");
    let thin = drawn(&tools, folder.path(), "thin.png", "2048x1");
    assert_eq!(size_of_webp(&decode(&thin, &tools, &PictureRules::AVATAR).unwrap()), (512, 512));
    let small = PictureRules { drawing: Drawing::Square(64), ..PictureRules::EVIDENCE };
    assert_eq!(size_of_webp(&decode(&path, &tools, &small).unwrap()), (64, 64));
}
