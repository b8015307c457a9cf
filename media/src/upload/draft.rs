//! The IETF's resumable uploads (draft-ietf-httpbis-resumable-upload): its requests, typed, and its
//! answers.
//!
//! Four iterations of the draft are spoken, told apart by `Upload-Draft-Interop-Version`:
//!
//! | version | drafts | what differs here |
//! | --- | --- | --- |
//! | 5 | -03 | no media type of chunks, no `Upload-Limit` |
//! | 6 | -04, -05 | `application/partial-upload`; the life of an upload is the limit `expires` |
//! | 7, 8 | -06 to -12 | the life of an upload is the limit `max-age` |
//!
//! The length must be known when an upload is made, by `Upload-Length` or by a body that is all of
//! it (`min-size` of `Upload-Limit` says so). An upload is complete here when it has ended at the
//! edge: as an asset, or refused for good. Bytes that reach the length end it, whatever
//! `Upload-Complete` says; an empty chunk at the end asks for the outcome again. No interim answers
//! (104) are sent, which the draft leaves open: hyper 1 gives a service no way to. It must not keep
//! anything. Read next: `tus.rs`, the other dialect.

use fairground_types::{Timestamp, UploadId};

use super::headers::{self, HeaderLookup, Headers};
use super::{Chunk, Standing, UploadPolicy, UploadRefusal, UploadState};

/// Media type of a chunk, from interop version 6 on.
pub const PARTIAL_UPLOAD: &str = "application/partial-upload";
/// Problem type of a chunk for another offset.
pub const MISMATCHING_OFFSET: &str =
    "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
/// Problem type of lengths that do not agree.
pub const INCONSISTENT_LENGTH: &str =
    "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";

const VERSION: &str = "Upload-Draft-Interop-Version";

/// An iteration of the draft, by its interop version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interop(u8);

impl Interop {
    /// The oldest that is spoken.
    pub const OLDEST: Self = Self(5);
    /// The newest that is spoken.
    pub const NEWEST: Self = Self(8);
    const WITH_MEDIA_TYPE: Self = Self(6);
    const WITH_MAX_AGE: Self = Self(7);

    /// The iteration that a request speaks; `None` when it speaks none.
    pub(super) fn of(request: &HeaderLookup<'_>) -> Result<Option<Self>, UploadRefusal> {
        let Some(text) = item(request, VERSION) else { return Ok(None) };
        let spoken = text.parse().ok().map(Self);
        let spoken = spoken.filter(|version| (Self::OLDEST..=Self::NEWEST).contains(version));
        spoken.map(Some).ok_or(UploadRefusal::Draft)
    }
}

/// Judges a creation (any request that says `Upload-Complete`). A body yields the first chunk.
pub(super) fn create(
    request: &HeaderLookup<'_>,
    policy: &UploadPolicy,
    upload: UploadId,
    now: Timestamp,
) -> Result<(UploadState, Option<Chunk>), UploadRefusal> {
    let is_all = is_end(request)?;
    let body = headers::number(request, "Content-Length")?;
    let declared = integer(request, "Upload-Length");
    let length = match (declared, body.filter(|_| is_all)) {
        (Some(declared), Some(body)) if declared != body => return Err(UploadRefusal::Length),
        (Some(length), _) | (None, Some(length)) => length,
        (None, None) => return Err(UploadRefusal::Header("Upload-Length")),
    };
    if length == 0 {
        return Err(UploadRefusal::Header("Upload-Length"));
    }
    if length > policy.bytes_max {
        return Err(UploadRefusal::TooLarge { limit: policy.bytes_max });
    }
    let (file_name, file_type) = described(request)?;
    let expires_at = now.plus(policy.life);
    let state = UploadState { upload, length, offset: 0, expires_at, file_name, file_type };
    if body == Some(0) {
        return Ok((state, None));
    }
    let chunk = chunk(&state, body, is_all)?;
    Ok((state, Some(chunk)))
}

/// Judges a chunk (`PATCH`).
pub(super) fn accept(
    state: &UploadState,
    request: &HeaderLookup<'_>,
    version: Interop,
    now: Timestamp,
) -> Result<Chunk, UploadRefusal> {
    state.check_expiry(now)?;
    let is_all = is_end(request)?;
    let offset = integer(request, "Upload-Offset").ok_or(UploadRefusal::Header("Upload-Offset"))?;
    state.check_offset(offset)?;
    let media_type = request("Content-Type").unwrap_or_default();
    let is_named = media_type.eq_ignore_ascii_case(PARTIAL_UPLOAD);
    if version >= Interop::WITH_MEDIA_TYPE && !is_named {
        return Err(UploadRefusal::ContentType(PARTIAL_UPLOAD));
    }
    if integer(request, "Upload-Length").is_some_and(|length| length != state.length) {
        return Err(UploadRefusal::Length);
    }
    chunk(state, headers::number(request, "Content-Length")?, is_all)
}

fn chunk(state: &UploadState, body: Option<u64>, is_all: bool) -> Result<Chunk, UploadRefusal> {
    let remaining = state.remaining();
    // What is announced is held against the length before anything is read.
    if body.is_some_and(|bytes| bytes > remaining || (is_all && bytes != remaining)) {
        return Err(UploadRefusal::Length);
    }
    Ok(Chunk {
        at: state.offset,
        bytes_max: body.unwrap_or(remaining),
        seen: 0,
        checksum: None,
        must_end_at: is_all.then_some(state.length),
    })
}

/// Name and type of the file: as tus clients say them in either dialect, else as HTTP does.
fn described(
    request: &HeaderLookup<'_>,
) -> Result<(Option<String>, Option<String>), UploadRefusal> {
    let metadata = headers::metadata(request)?;
    let disposition = || {
        let text = request("Content-Disposition")?;
        let (_, rest) = text.split_once("filename=\"")?;
        let (name, _) = rest.split_once('"')?;
        Some(name.to_owned())
    };
    let media_type =
        || request("Content-Type").filter(|text| !text.eq_ignore_ascii_case(PARTIAL_UPLOAD));
    let harmless = |text: &String| !text.is_empty() && headers::is_harmless(text);
    let file_name = metadata.file_name.or_else(|| disposition().filter(harmless));
    let file_type = metadata.file_type.or_else(|| media_type().filter(harmless));
    Ok((file_name, file_type))
}

/// A structured item without its parameters (RFC 9651 section 3.3).
fn item(request: &HeaderLookup<'_>, name: &str) -> Option<String> {
    let text = request(name)?;
    let bare = text.split(';').next().unwrap_or_default().trim();
    Some(bare.to_owned())
}

/// A non-negative Integer of at most 15 digits (RFC 9651 section 3.3.1); other values count as
/// absent, as the draft says.
fn integer(request: &HeaderLookup<'_>, name: &str) -> Option<u64> {
    let text = item(request, name)?;
    let plain = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// `Upload-Complete`: whether the body ends the upload.
fn is_end(request: &HeaderLookup<'_>) -> Result<bool, UploadRefusal> {
    const NAME: &str = "Upload-Complete";
    match item(request, NAME).as_deref() {
        Some("?1") => Ok(true),
        Some("?0") => Ok(false),
        Some(_) | None => Err(UploadRefusal::Header(NAME)),
    }
}

fn begun(version: Interop, is_ended: bool) -> Headers {
    let complete = if is_ended { "?1" } else { "?0" };
    vec![(VERSION, version.0.to_string()), ("Upload-Complete", complete.to_owned())]
}

/// Limits; `left` is how many seconds an upload has.
fn limits(version: Interop, policy: &UploadPolicy, left: u64) -> Headers {
    if version < Interop::WITH_MEDIA_TYPE {
        return Vec::new();
    }
    let life = if version < Interop::WITH_MAX_AGE { "expires" } else { "max-age" };
    let text = format!("max-size={}, min-size=1, {life}={left}", policy.bytes_max);
    vec![("Upload-Limit", text)]
}

fn seconds(millis: u64) -> u64 {
    millis / 1_000
}

pub(super) fn options(policy: &UploadPolicy) -> Headers {
    limits(Interop::NEWEST, policy, seconds(policy.life.as_millis()))
}

pub(super) fn created(version: Interop, standing: &Standing<'_>, location: &str) -> Headers {
    let mut headers = patched(version, standing);
    headers.push(("Location", location.to_owned()));
    headers
}

pub(super) fn patched(version: Interop, standing: &Standing<'_>) -> Headers {
    let mut headers = begun(version, standing.is_ended);
    headers.push(("Upload-Offset", standing.state.offset.to_string()));
    let left = standing.state.expires_at.since(standing.now);
    headers.extend(limits(version, standing.policy, seconds(left.as_millis())));
    headers
}

pub(super) fn head(version: Interop, standing: &Standing<'_>) -> Headers {
    let mut headers = patched(version, standing);
    headers.push(("Upload-Length", standing.state.length.to_string()));
    headers.push(("Cache-Control", "no-store".to_owned()));
    headers
}

pub(super) fn gone(version: Interop) -> Headers {
    vec![(VERSION, version.0.to_string())]
}

pub(super) fn refused(
    version: Interop,
    refusal: Option<&UploadRefusal>,
    policy: &UploadPolicy,
    is_ended: bool,
) -> Headers {
    let mut headers = begun(version, is_ended);
    match refusal {
        Some(UploadRefusal::Offset { expected, .. }) => {
            headers.push(("Upload-Offset", expected.to_string()));
        }
        Some(UploadRefusal::TooLarge { .. }) => {
            headers.extend(limits(version, policy, seconds(policy.life.as_millis())));
        }
        Some(_) | None => {}
    }
    headers
}
