//! tus 1.0.0 (<https://tus.io/protocols/resumable-upload>): its requests, typed, and its answers.
//!
//! Core, creation, creation-with-upload, checksum, expiration, termination. It must not keep
//! anything; the parent module's state does. Read next: `draft.rs`, the other dialect.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fairground_types::{Timestamp, UploadId};

use super::headers::{self, HeaderLookup, Headers};
use super::{Chunk, UploadPolicy, UploadRefusal, UploadState};

/// The protocol version that is spoken.
pub const TUS_VERSION: &str = "1.0.0";
/// The extensions that are offered.
pub const TUS_EXTENSIONS: &str = "creation,creation-with-upload,checksum,expiration,termination";
/// The checksum algorithms that are offered.
pub const TUS_CHECKSUM_ALGORITHMS: &str = "sha256";
/// Media type of a chunk.
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// Judges a creation (`POST`). A body makes it a creation-with-upload and yields the first chunk.
pub(super) fn create(
    request: &HeaderLookup<'_>,
    policy: &UploadPolicy,
    upload: UploadId,
    now: Timestamp,
) -> Result<(UploadState, Option<Chunk>), UploadRefusal> {
    check_version(request)?;
    for unknown in ["Upload-Defer-Length", "Upload-Concat"] {
        if request(unknown).is_some() {
            return Err(UploadRefusal::Header(unknown));
        }
    }
    let length =
        headers::number(request, "Upload-Length")?.ok_or(UploadRefusal::Header("Upload-Length"))?;
    if length == 0 {
        return Err(UploadRefusal::Header("Upload-Length"));
    }
    if length > policy.bytes_max {
        return Err(UploadRefusal::TooLarge { limit: policy.bytes_max });
    }
    let metadata = headers::metadata(request)?;
    let state = UploadState {
        upload,
        length,
        offset: 0,
        expires_at: now.plus(policy.life),
        file_name: metadata.file_name,
        file_type: metadata.file_type,
    };
    let body = headers::number(request, "Content-Length")?.unwrap_or(0);
    if body == 0 && request("Content-Type").is_none() {
        return Ok((state, None));
    }
    let chunk = chunk(&state, request)?;
    Ok((state, Some(chunk)))
}

/// Judges a chunk (`PATCH`).
pub(super) fn accept(
    state: &UploadState,
    request: &HeaderLookup<'_>,
    now: Timestamp,
) -> Result<Chunk, UploadRefusal> {
    check_version(request)?;
    state.check_expiry(now)?;
    let offset =
        headers::number(request, "Upload-Offset")?.ok_or(UploadRefusal::Header("Upload-Offset"))?;
    state.check_offset(offset)?;
    chunk(state, request)
}

/// Judges a question for the offset (`HEAD`) or a termination (`DELETE`).
pub(super) fn accept_plain(
    state: &UploadState,
    request: &HeaderLookup<'_>,
    now: Timestamp,
) -> Result<(), UploadRefusal> {
    check_version(request)?;
    state.check_expiry(now)
}

fn check_version(request: &HeaderLookup<'_>) -> Result<(), UploadRefusal> {
    match request("Tus-Resumable").as_deref() {
        Some(TUS_VERSION) => Ok(()),
        Some(_) | None => Err(UploadRefusal::Version),
    }
}

fn chunk(state: &UploadState, request: &HeaderLookup<'_>) -> Result<Chunk, UploadRefusal> {
    let media_type = request("Content-Type").unwrap_or_default();
    if !media_type.eq_ignore_ascii_case(CONTENT_TYPE) {
        return Err(UploadRefusal::ContentType(CONTENT_TYPE));
    }
    let remaining = state.remaining();
    let announced = headers::number(request, "Content-Length")?;
    if announced.is_some_and(|bytes| bytes > remaining) {
        return Err(UploadRefusal::TooLarge { limit: state.length });
    }
    let checksum = checksum(request)?.map(|expected| (Context::new(&SHA256), expected));
    let bytes_max = announced.unwrap_or(remaining);
    Ok(Chunk { at: state.offset, bytes_max, seen: 0, checksum, must_end_at: None })
}

/// `Upload-Checksum: sha256 <base64>` (tus extension checksum).
fn checksum(request: &HeaderLookup<'_>) -> Result<Option<[u8; 32]>, UploadRefusal> {
    const NAME: &str = "Upload-Checksum";
    let Some(text) = request(NAME) else { return Ok(None) };
    let (algorithm, digest) = text.split_once(' ').ok_or(UploadRefusal::Header(NAME))?;
    if algorithm != TUS_CHECKSUM_ALGORITHMS {
        return Err(UploadRefusal::ChecksumAlgorithm);
    }
    let bytes = STANDARD.decode(digest.trim()).map_err(|_| UploadRefusal::Header(NAME))?;
    bytes.try_into().map(Some).map_err(|_| UploadRefusal::Header(NAME))
}

pub(super) fn options(policy: &UploadPolicy) -> Headers {
    vec![
        ("Tus-Resumable", TUS_VERSION.to_owned()),
        ("Tus-Version", TUS_VERSION.to_owned()),
        ("Tus-Extension", TUS_EXTENSIONS.to_owned()),
        ("Tus-Checksum-Algorithm", TUS_CHECKSUM_ALGORITHMS.to_owned()),
        ("Tus-Max-Size", policy.bytes_max.to_string()),
    ]
}

pub(super) fn created(state: &UploadState, location: &str) -> Headers {
    let mut headers = patched(state);
    headers.push(("Location", location.to_owned()));
    headers
}

pub(super) fn patched(state: &UploadState) -> Headers {
    let mut headers = gone();
    headers.push(("Upload-Offset", state.offset.to_string()));
    if state.offset < state.length {
        headers.push(("Upload-Expires", headers::http_date(state.expires_at)));
    }
    headers
}

pub(super) fn head(state: &UploadState) -> Headers {
    let mut headers = patched(state);
    headers.push(("Upload-Length", state.length.to_string()));
    headers.push(("Cache-Control", "no-store".to_owned()));
    headers
}

pub(super) fn gone() -> Headers {
    vec![("Tus-Resumable", TUS_VERSION.to_owned())]
}

/// A client of another version is told which one is spoken, as the protocol demands.
pub(super) fn refused(refusal: Option<&UploadRefusal>) -> Headers {
    let mut headers = gone();
    if refusal == Some(&UploadRefusal::Version) {
        headers.push(("Tus-Version", TUS_VERSION.to_owned()));
    }
    headers
}
