//! The rules of tus as tests, one claim each; those of the draft are in `draft_tests.rs`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

pub(super) type Pairs<'a> = &'a [(&'a str, &'a str)];

pub(super) const NOW: Timestamp = Timestamp::from_unix_millis(1_000);
const VERSION: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OCTETS: (&str, &str) = ("Content-Type", CONTENT_TYPE);

pub(super) fn lookup(pairs: Pairs<'_>) -> impl Fn(&str) -> Option<String> {
    let map: BTreeMap<String, String> = pairs
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
        .collect();
    move |name| map.get(&name.to_ascii_lowercase()).cloned()
}

fn try_create(pairs: Pairs<'_>) -> Result<(UploadState, Option<Chunk>), UploadRefusal> {
    let policy = UploadPolicy { bytes_max: 1_000, life: Millis::from_secs(60) };
    Dialect::Tus.create(&lookup(pairs), &policy, UploadId::from_bits(1), NOW)
}

pub(super) fn state(length: u64, offset: u64) -> UploadState {
    UploadState {
        upload: UploadId::from_bits(1),
        length,
        offset,
        expires_at: NOW.plus(Millis::from_secs(60)),
        file_name: None,
        file_type: None,
    }
}

fn refusal(state: &UploadState, pairs: Pairs<'_>) -> UploadRefusal {
    Dialect::Tus.accept(state, &lookup(pairs), NOW).unwrap_err()
}

#[test]
fn creation_takes_length_and_metadata() {
    let metadata = format!(
        "filename {},filetype {}, other",
        STANDARD.encode("jug, blue.mp4"),
        STANDARD.encode("video/mp4")
    );
    let (state, chunk) =
        try_create(&[VERSION, ("Upload-Length", "10"), ("Upload-Metadata", &metadata)]).unwrap();
    assert_eq!((state.length, state.offset), (10, 0));
    assert_eq!(state.file_name.as_deref(), Some("jug, blue.mp4"));
    assert_eq!(state.file_type.as_deref(), Some("video/mp4"));
    assert_eq!(state.expires_at, NOW.plus(Millis::from_secs(60)));
    assert!(chunk.is_none());
}

#[test]
fn creation_with_upload_yields_the_first_chunk() {
    let headers = [VERSION, OCTETS, ("Upload-Length", "10"), ("Content-Length", "4")];
    let (mut state, chunk) = try_create(&headers).unwrap();
    let mut chunk = chunk.unwrap();
    assert_eq!((chunk.at(), chunk.bytes_max()), (0, 4));
    chunk.update(b"abcd").unwrap();
    chunk.finish().unwrap();
    assert_eq!(state.advance(&chunk, 4), Ok(Progress::Partial));
    assert_eq!(state.offset, 4);
}

#[test]
fn creation_refuses_what_it_cannot_honour() {
    let status = |pairs| try_create(pairs).map(|_| ()).unwrap_err().status();
    assert_eq!(status(&[("Upload-Length", "10")]), 412);
    assert_eq!(status(&[("Tus-Resumable", "0.2.2"), ("Upload-Length", "10")]), 412);
    assert_eq!(status(&[VERSION]), 400);
    assert_eq!(status(&[VERSION, ("Upload-Length", "0")]), 400);
    assert_eq!(status(&[VERSION, ("Upload-Length", "-1")]), 400);
    assert_eq!(status(&[VERSION, ("Upload-Length", "1e3")]), 400);
    assert_eq!(status(&[VERSION, ("Upload-Length", "99999999999999999999")]), 400);
    assert_eq!(status(&[VERSION, ("Upload-Defer-Length", "1")]), 400);
    assert_eq!(status(&[VERSION, ("Upload-Length", "1001")]), 413);
    assert_eq!(status(&[VERSION, ("Upload-Length", "9"), ("Upload-Metadata", "a b c")]), 400);
    assert_eq!(status(&[VERSION, ("Upload-Length", "9"), ("Upload-Metadata", "filename !")]), 400);
    let control = format!("filename {}", STANDARD.encode("a\nb"));
    assert_eq!(status(&[VERSION, ("Upload-Length", "9"), ("Upload-Metadata", &control)]), 400);
}

#[test]
fn chunk_at_another_offset_is_a_conflict() {
    let refused = refusal(&state(10, 4), &[VERSION, OCTETS, ("Upload-Offset", "0")]);
    assert_eq!(refused, UploadRefusal::Offset { expected: 4, provided: 0 });
    assert_eq!(refused.status(), 409);
}

#[test]
fn chunk_of_another_type_is_refused() {
    let headers = [VERSION, ("Content-Type", "video/mp4"), ("Upload-Offset", "4")];
    assert_eq!(refusal(&state(10, 4), &headers).status(), 415);
    assert_eq!(refusal(&state(10, 4), &[VERSION, ("Upload-Offset", "4")]).status(), 415);
}

#[test]
fn chunk_past_the_end_is_refused_before_its_body() {
    let headers = [VERSION, OCTETS, ("Upload-Offset", "4"), ("Content-Length", "7")];
    assert_eq!(refusal(&state(10, 4), &headers).status(), 413);
}

#[test]
fn body_longer_than_announced_is_refused() {
    let headers = [VERSION, OCTETS, ("Upload-Offset", "4")];
    let mut chunk = Dialect::Tus.accept(&state(10, 4), &lookup(&headers), NOW).unwrap();
    assert_eq!(chunk.bytes_max(), 6);
    chunk.update(b"123456").unwrap();
    assert_eq!(chunk.update(b"7").unwrap_err().status(), 413);
}

#[test]
fn expired_upload_is_gone_and_a_complete_one_is_not() {
    let late = NOW.plus(Millis::from_secs(60));
    let headers = [VERSION, OCTETS, ("Upload-Offset", "4")];
    let refused = Dialect::Tus.accept(&state(10, 4), &lookup(&headers), late).unwrap_err();
    assert_eq!(refused.status(), 410);
    assert!(Dialect::Tus.accept_plain(&state(10, 10), &lookup(&[VERSION]), late).is_ok());
}

#[test]
fn checksum_guards_the_chunk() {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"hello");
    let value = format!("sha256 {}", STANDARD.encode(digest.as_ref()));
    let headers = [VERSION, OCTETS, ("Upload-Offset", "0"), ("Upload-Checksum", &value)];
    let accept = || Dialect::Tus.accept(&state(5, 0), &lookup(&headers), NOW).unwrap();

    let mut good = accept();
    good.update(b"hel").unwrap();
    good.update(b"lo").unwrap();
    assert_eq!(good.finish(), Ok(()));

    let mut bad = accept();
    bad.update(b"hellO").unwrap();
    assert_eq!(bad.finish().unwrap_err().status(), 460);

    for (value, status) in
        [("sha1 AAAA", 400), ("sha256", 400), ("sha256 AAAA", 400), ("sha256 ?", 400)]
    {
        let headers = [VERSION, OCTETS, ("Upload-Offset", "0"), ("Upload-Checksum", value)];
        assert_eq!(refusal(&state(5, 0), &headers).status(), status, "{value}");
    }
}

#[test]
fn answers_carry_what_tus_asks_for() {
    let (state, policy) = (state(10, 4), UploadPolicy::default());
    let standing = Standing { state: &state, is_ended: false, policy: &policy, now: NOW };
    let head: BTreeMap<_, _> = Dialect::Tus.head_headers(&standing).into_iter().collect();
    assert_eq!(head["Upload-Offset"], "4");
    assert_eq!(head["Upload-Length"], "10");
    assert_eq!(head["Cache-Control"], "no-store");
    assert_eq!(head["Upload-Expires"], "Thu, 01 Jan 1970 00:01:01 GMT");
    let created = Dialect::Tus.created_headers(&standing, "/v1/u/1");
    let created: BTreeMap<_, _> = created.into_iter().collect();
    assert_eq!(created["Location"], "/v1/u/1");
    let options: BTreeMap<_, _> = options_headers(&policy).into_iter().collect();
    assert_eq!(options["Tus-Version"], TUS_VERSION);
    assert!(options["Tus-Extension"].contains("termination"));
    let refused = |refusal| {
        let headers = Dialect::Tus.refused_headers(Some(&refusal), &policy, false);
        headers.into_iter().collect::<BTreeMap<_, _>>()
    };
    assert_eq!(refused(UploadRefusal::Version)["Tus-Version"], TUS_VERSION);
    assert!(!refused(UploadRefusal::Expired).contains_key("Tus-Version"));
    assert_eq!(refused(UploadRefusal::Expired)["Tus-Resumable"], TUS_VERSION);
}

#[test]
fn what_is_not_offered_is_refused_at_the_creation() {
    let concat = [VERSION, ("Upload-Length", "9"), ("Upload-Concat", "partial")];
    assert_eq!(try_create(&concat).unwrap_err(), UploadRefusal::Header("Upload-Concat"));
    let other = [VERSION, ("Upload-Length", "9"), ("Content-Type", "video/mp4")];
    assert_eq!(try_create(&other).unwrap_err().status(), 415);
}

proptest! {
    /// However the bytes are cut, with lost connections in between, the offset is the number of
    /// durable bytes, never passes the length, and the end is reached exactly once.
    #[test]
    fn offset_counts_durable_bytes(length in 1_u64..500, cuts in prop::collection::vec(1_u64..80, 1..40)) {
        let mut state = state(length, 0);
        let mut durable = 0;
        for cut in cuts {
            let offset = durable.to_string();
            let headers = [VERSION, OCTETS, ("Upload-Offset", offset.as_str())];
            let mut chunk = Dialect::Tus.accept(&state, &lookup(&headers), NOW).unwrap();
            prop_assert_eq!(chunk.at(), durable);
            prop_assert_eq!(chunk.bytes_max(), length - durable);
            let written = cut.min(chunk.bytes_max());
            chunk.update(&vec![0; usize::try_from(written).unwrap()]).unwrap();
            let progress = state.advance(&chunk, written).unwrap();
            durable += written;
            prop_assert_eq!(state.offset, durable);
            prop_assert_eq!(progress == Progress::Complete, durable == length);
            // The same permission does not count twice.
            if written > 0 {
                prop_assert!(state.advance(&chunk, written).is_err());
            }
        }
    }
}
