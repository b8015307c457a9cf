//! The rules of the resumable uploads draft as tests, one claim each.

use std::collections::BTreeMap;

use super::tests::{NOW, Pairs, lookup, state};
use super::*;

const V8: (&str, &str) = ("Upload-Draft-Interop-Version", "8");
const PARTIAL: (&str, &str) = ("Content-Type", PARTIAL_UPLOAD);
const END: (&str, &str) = ("Upload-Complete", "?1");
const MORE: (&str, &str) = ("Upload-Complete", "?0");

fn dialect(version: &str) -> Dialect {
    Dialect::of(&lookup(&[("upload-draft-interop-version", version)])).unwrap()
}

fn try_create(pairs: Pairs<'_>) -> Result<(UploadState, Option<Chunk>), UploadRefusal> {
    let policy = UploadPolicy { bytes_max: 1_000, life: Millis::from_secs(60) };
    dialect("8").create(&lookup(pairs), &policy, UploadId::from_bits(1), NOW)
}

fn try_accept(
    version: &str,
    state: &UploadState,
    pairs: Pairs<'_>,
) -> Result<Chunk, UploadRefusal> {
    dialect(version).accept(state, &lookup(pairs), NOW)
}

#[test]
fn the_dialect_is_told_by_the_version_header() {
    let of = |pairs: Pairs<'_>| Dialect::of(&lookup(pairs));
    assert_eq!(of(&[("Tus-Resumable", "1.0.0"), V8]), Ok(Dialect::Tus));
    assert_eq!(of(&[]), Ok(Dialect::Tus), "which tus refuses for want of its version");
    assert_eq!(of(&[V8]), Ok(Dialect::Draft(Interop::NEWEST)));
    assert_eq!(dialect("5"), Dialect::Draft(Interop::OLDEST));
    for other in ["3", "4", "9", "", "eight", "256", "-5"] {
        let refused = of(&[("Upload-Draft-Interop-Version", other)]).unwrap_err();
        assert_eq!((&refused, refused.status()), (&UploadRefusal::Draft, 400), "{other}");
    }
}

#[test]
fn creation_learns_the_length_from_either_header() {
    let (declared, chunk) =
        try_create(&[V8, MORE, ("Upload-Length", "10"), ("Content-Length", "0")]).unwrap();
    assert_eq!((declared.length, declared.offset, chunk.is_none()), (10, 0, true));
    assert_eq!(declared.expires_at, NOW.plus(Millis::from_secs(60)));
    let (whole, chunk) = try_create(&[V8, END, ("Content-Length", "10")]).unwrap();
    let chunk = chunk.unwrap();
    assert_eq!((whole.length, chunk.at(), chunk.bytes_max()), (10, 0, 10));
    let first = [V8, MORE, ("Upload-Length", "10;x=1"), ("Content-Length", "4")];
    let (partial, chunk) = try_create(&first).unwrap();
    assert_eq!((partial.length, chunk.unwrap().bytes_max()), (10, 4));
}

#[test]
fn creation_takes_name_and_type_as_http_says_them() {
    let disposition = ("Content-Disposition", "inline; filename=\"jug, blue.mp4\"");
    let pairs = [V8, END, ("Content-Length", "9"), ("Content-Type", "video/mp4"), disposition];
    let (state, _) = try_create(&pairs).unwrap();
    assert_eq!(state.file_name.as_deref(), Some("jug, blue.mp4"));
    assert_eq!(state.file_type.as_deref(), Some("video/mp4"));
    let metadata = ("Upload-Metadata", "filename YS5tcDQ=");
    let (state, _) = try_create(&[V8, END, ("Content-Length", "9"), PARTIAL, metadata]).unwrap();
    assert_eq!((state.file_name.as_deref(), state.file_type), (Some("a.mp4"), None));
}

#[test]
fn creation_refuses_what_it_cannot_honour() {
    let refused = |pairs| try_create(pairs).map(|_| ()).unwrap_err();
    let length = UploadRefusal::Header("Upload-Length");
    assert_eq!(refused(&[V8, ("Upload-Length", "10")]), UploadRefusal::Header("Upload-Complete"));
    assert_eq!(refused(&[V8, MORE]), length, "streams of unknown length are not taken");
    assert_eq!(refused(&[V8, MORE, ("Upload-Length", "-1")]), length);
    assert_eq!(refused(&[V8, END, ("Content-Length", "0")]), length);
    let differing = [V8, END, ("Upload-Length", "10"), ("Content-Length", "9")];
    assert_eq!(refused(&differing), UploadRefusal::Length);
    let longer = [V8, MORE, ("Upload-Length", "10"), ("Content-Length", "11")];
    assert_eq!(refused(&longer), UploadRefusal::Length);
    assert_eq!(refused(&[V8, MORE, ("Upload-Length", "1001")]).status(), 413);
}

#[test]
fn a_chunk_of_another_type_is_refused_where_the_draft_has_one() {
    let pairs = [MORE, ("Upload-Offset", "4")];
    assert!(try_accept("5", &state(10, 4), &pairs).is_ok());
    for version in ["6", "7", "8"] {
        let refused = try_accept(version, &state(10, 4), &pairs).unwrap_err();
        assert_eq!(refused, UploadRefusal::ContentType(PARTIAL_UPLOAD), "{version}");
    }
}

#[test]
fn a_chunk_at_another_offset_is_told_the_right_one() {
    let pairs = [V8, PARTIAL, MORE, ("Upload-Offset", "9")];
    let refused = try_accept("8", &state(10, 4), &pairs).unwrap_err();
    assert_eq!(refused, UploadRefusal::Offset { expected: 4, provided: 9 });
    let policy = UploadPolicy::default();
    let headers = dialect("8").refused_headers(Some(&refused), &policy, false);
    let headers: BTreeMap<_, _> = headers.into_iter().collect();
    assert_eq!(
        (headers["Upload-Offset"].as_str(), headers["Upload-Complete"].as_str()),
        ("4", "?0")
    );
}

#[test]
fn lengths_that_do_not_agree_are_refused_before_the_body() {
    let at = ("Upload-Offset", "4");
    for more in [
        [MORE, ("Content-Length", "7")],
        [END, ("Content-Length", "5")],
        [END, ("Upload-Length", "11")],
    ] {
        let pairs = [&[PARTIAL, at][..], &more[..]].concat();
        let refused = try_accept("8", &state(10, 4), &pairs).unwrap_err();
        assert_eq!((&refused, refused.status()), (&UploadRefusal::Length, 400), "{more:?}");
    }
    // What is not announced is known when it ends.
    let mut chunk =
        try_accept("8", &state(10, 4), &[PARTIAL, at, ("Upload-Complete", "?1")]).unwrap();
    chunk.update(b"12345").unwrap();
    assert_eq!(chunk.finish(), Err(UploadRefusal::Length));
    chunk.update(b"6").unwrap();
    assert_eq!(chunk.finish(), Ok(()));
    assert!(chunk.update(b"7").is_err());
}

#[test]
fn an_empty_chunk_at_the_end_asks_for_the_outcome() {
    let pairs = [PARTIAL, END, ("Upload-Offset", "10"), ("Content-Length", "0")];
    let mut ended = state(10, 10);
    let chunk = try_accept("8", &ended, &pairs).unwrap();
    assert_eq!((chunk.bytes_max(), chunk.finish()), (0, Ok(())));
    assert_eq!(ended.advance(&chunk, 0), Ok(Progress::Complete));
}

#[test]
fn expired_uploads_are_gone() {
    let late = NOW.plus(Millis::from_secs(60));
    let draft = dialect("8");
    assert_eq!(draft.accept_plain(&state(10, 4), &lookup(&[]), NOW), Ok(()));
    let refused = draft.accept_plain(&state(10, 4), &lookup(&[]), late).unwrap_err();
    assert_eq!(refused.status(), 410);
}

#[test]
fn limits_are_named_as_each_iteration_names_them() {
    let (state, policy) = (state(10, 4), UploadPolicy { bytes_max: 99, life: Millis::ZERO });
    let head = |version: &str, is_ended| {
        let standing = Standing { state: &state, is_ended, policy: &policy, now: NOW };
        dialect(version).head_headers(&standing).into_iter().collect::<BTreeMap<_, _>>()
    };
    assert!(!head("5", false).contains_key("Upload-Limit"));
    assert_eq!(head("6", false)["Upload-Limit"], "max-size=99, min-size=1, expires=60");
    let newest = head("8", false);
    assert_eq!(newest["Upload-Limit"], "max-size=99, min-size=1, max-age=60");
    assert_eq!(newest["Upload-Offset"], "4");
    assert_eq!(newest["Upload-Length"], "10");
    assert_eq!(newest["Upload-Complete"], "?0");
    assert_eq!(newest["Upload-Draft-Interop-Version"], "8");
    assert_eq!(newest["Cache-Control"], "no-store");
    assert_eq!(head("8", true)["Upload-Complete"], "?1");
    let options: BTreeMap<_, _> = options_headers(&policy).into_iter().collect();
    assert_eq!(options["Upload-Limit"], "max-size=99, min-size=1, max-age=0");
}
