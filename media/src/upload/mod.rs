//! Resumable upload: the tus 1.0.0 protocol as a pure state machine.
//!
//! ```text
//!  client            edge (HTTP, file, database)                 this module
//!    | POST  ------------> |  create(request, policy)  --------->  UploadState, first Chunk?
//!    | PATCH ------------> |  state.accept(request, now) ------->  Chunk { at, bytes_max }
//!    |  bytes ===========> |  write at `at`, chunk.update(bytes)
//!    |                     |  chunk.finish()?; fsync; store the state that advance() gives
//!    | <--- 204, offset -- |  state.advance(&chunk, written)  -->  Progress
//! ```
//!
//! The order in the drawing is the contract: an offset is stored only after the bytes are durable,
//! and bytes whose checksum failed are cut off again (truncate the file to `chunk.at()`). Nothing
//! here reads a clock, a socket or a file. One writer per upload is the edge's lease to keep.
//! Read next: `headers` for what each request must carry.

mod headers;

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use fairground_types::{Millis, Timestamp, UploadId, limits};
use serde::{Deserialize, Serialize};

pub use headers::{
    CONTENT_TYPE, HeaderLookup, created_headers, head_headers, options_headers, patched_headers,
};

/// The protocol version that is spoken.
pub const TUS_VERSION: &str = "1.0.0";
/// The extensions that are offered.
pub const TUS_EXTENSIONS: &str = "creation,creation-with-upload,checksum,expiration,termination";
/// The checksum algorithms that are offered.
pub const TUS_CHECKSUM_ALGORITHMS: &str = "sha256";

/// What an edge allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPolicy {
    /// Most bytes of one upload.
    pub bytes_max: u64,
    /// How long an upload lives without an end.
    pub life: Millis,
}

/// One upload, as the edge stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadState {
    /// Its name.
    pub upload: UploadId,
    /// Bytes in all.
    pub length: u64,
    /// Bytes that are durable.
    pub offset: u64,
    /// When it is forgotten.
    pub expires_at: Timestamp,
    /// `filename` of the metadata, for people only; never a path.
    pub file_name: Option<String>,
    /// `filetype` of the metadata; a claim of the client.
    pub file_type: Option<String>,
}

/// Permission to write one chunk.
pub struct Chunk {
    at: u64,
    bytes_max: u64,
    seen: u64,
    checksum: Option<(Context, [u8; 32])>,
}

/// Where an upload stands after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are to come.
    Partial,
    /// All bytes are durable.
    Complete,
}

/// Why a request is refused; [`UploadRefusal::status`] is its HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadRefusal {
    /// `Tus-Resumable` is absent or another version.
    #[error("this server speaks tus {TUS_VERSION}")]
    Version,
    /// A header is absent or malformed.
    #[error("the header {0} is missing or malformed")]
    Header(&'static str),
    /// The upload is longer than allowed, or a chunk runs past its end.
    #[error("the upload is limited to {limit} bytes")]
    TooLarge {
        /// Bytes that would have been taken.
        limit: u64,
    },
    /// A chunk of another media type than tus prescribes.
    #[error("a chunk must be {CONTENT_TYPE}")]
    ContentType,
    /// The chunk does not start where the upload stands.
    #[error("the upload stands at offset {expected}")]
    Offset {
        /// The durable offset.
        expected: u64,
    },
    /// The bytes are not the ones that were announced.
    #[error("the checksum of the chunk does not match")]
    Checksum,
    /// A checksum of an algorithm that is not offered.
    #[error("the checksum algorithm must be {TUS_CHECKSUM_ALGORITHMS}")]
    ChecksumAlgorithm,
    /// The upload's time is over.
    #[error("the upload has expired")]
    Expired,
}

impl Default for UploadPolicy {
    fn default() -> Self {
        Self { bytes_max: limits::CLIP_BYTES_MAX, life: limits::UPLOAD_LIFE }
    }
}

/// Judges a creation (`POST`). A body makes it a creation-with-upload and yields the first chunk.
///
/// # Errors
/// [`UploadRefusal`] by what is wrong first.
pub fn create(
    request: &HeaderLookup<'_>,
    policy: &UploadPolicy,
    upload: UploadId,
    now: Timestamp,
) -> Result<(UploadState, Option<Chunk>), UploadRefusal> {
    headers::check_version(request)?;
    if request("Upload-Defer-Length").is_some() {
        return Err(UploadRefusal::Header("Upload-Defer-Length"));
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
    let chunk = state.chunk(request)?;
    Ok((state, Some(chunk)))
}

impl UploadState {
    /// Judges a chunk (`PATCH`).
    ///
    /// # Errors
    /// [`UploadRefusal`] by what is wrong first.
    pub fn accept(
        &self,
        request: &HeaderLookup<'_>,
        now: Timestamp,
    ) -> Result<Chunk, UploadRefusal> {
        headers::check_version(request)?;
        self.check_expiry(now)?;
        let offset = headers::number(request, "Upload-Offset")?
            .ok_or(UploadRefusal::Header("Upload-Offset"))?;
        if offset != self.offset {
            return Err(UploadRefusal::Offset { expected: self.offset });
        }
        self.chunk(request)
    }

    /// Judges a question for the offset (`HEAD`) or a termination (`DELETE`): version and expiry.
    ///
    /// # Errors
    /// [`UploadRefusal::Version`] or [`UploadRefusal::Expired`].
    pub fn accept_plain(
        &self,
        request: &HeaderLookup<'_>,
        now: Timestamp,
    ) -> Result<(), UploadRefusal> {
        headers::check_version(request)?;
        self.check_expiry(now)
    }

    /// Takes note that the first `written` bytes of a chunk are durable.
    ///
    /// Call it after the file has been synced; store the state before answering. A connection that
    /// broke in the middle of a chunk without a checksum keeps what was written.
    ///
    /// # Errors
    /// [`UploadRefusal::Offset`] when the chunk was accepted for another offset, and
    /// [`UploadRefusal::TooLarge`] when more was written than allowed.
    pub fn advance(&mut self, chunk: &Chunk, written: u64) -> Result<Progress, UploadRefusal> {
        if chunk.at != self.offset {
            return Err(UploadRefusal::Offset { expected: self.offset });
        }
        if written > chunk.bytes_max {
            return Err(UploadRefusal::TooLarge { limit: self.length });
        }
        self.offset = self.offset.saturating_add(written);
        Ok(self.progress())
    }

    /// Whether all bytes are durable.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        if self.offset == self.length { Progress::Complete } else { Progress::Partial }
    }

    /// Whether its time is over. A complete upload does not expire here.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.offset < self.length && self.expires_at <= now
    }

    fn check_expiry(&self, now: Timestamp) -> Result<(), UploadRefusal> {
        if self.is_expired(now) { Err(UploadRefusal::Expired) } else { Ok(()) }
    }

    fn chunk(&self, request: &HeaderLookup<'_>) -> Result<Chunk, UploadRefusal> {
        let media_type = request("Content-Type").unwrap_or_default();
        if !media_type.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(UploadRefusal::ContentType);
        }
        let remaining = self.length.saturating_sub(self.offset);
        let announced = headers::number(request, "Content-Length")?;
        if announced.is_some_and(|bytes| bytes > remaining) {
            return Err(UploadRefusal::TooLarge { limit: self.length });
        }
        let checksum =
            headers::checksum(request)?.map(|expected| (Context::new(&SHA256), expected));
        let bytes_max = announced.unwrap_or(remaining);
        Ok(Chunk { at: self.offset, bytes_max, seen: 0, checksum })
    }
}

impl Chunk {
    /// Offset at which the bytes belong.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Most bytes that may be written.
    #[must_use]
    pub const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Whether the chunk counts only as a whole, because it carries a checksum.
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.checksum.is_some()
    }

    /// Takes note of bytes that are about to be written.
    ///
    /// # Errors
    /// [`UploadRefusal::TooLarge`] when the body is longer than was accepted; write nothing then.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), UploadRefusal> {
        let added = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let seen = self.seen.saturating_add(added);
        if seen > self.bytes_max {
            let limit = self.at.saturating_add(self.bytes_max);
            return Err(UploadRefusal::TooLarge { limit });
        }
        self.seen = seen;
        if let Some((context, _)) = &mut self.checksum {
            context.update(bytes);
        }
        Ok(())
    }

    /// Bytes taken note of so far.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Checks the announced checksum, if there is one, over all bytes of the chunk.
    ///
    /// # Errors
    /// [`UploadRefusal::Checksum`]; truncate the file to [`Chunk::at`] then.
    pub fn finish(&self) -> Result<(), UploadRefusal> {
        match &self.checksum {
            Some((context, expected)) if context.clone().finish().as_ref() != expected => {
                Err(UploadRefusal::Checksum)
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("at", &self.at)
            .field("bytes_max", &self.bytes_max)
            .field("seen", &self.seen)
            .field("is_checked", &self.is_checked())
            .finish()
    }
}

impl UploadRefusal {
    /// The HTTP status, as tus prescribes it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Header(_) | Self::ChecksumAlgorithm => 400,
            Self::Offset { .. } => 409,
            Self::Expired => 410,
            Self::Version => 412,
            Self::TooLarge { .. } => 413,
            Self::ContentType => 415,
            Self::Checksum => 460,
        }
    }

    /// Stable machine reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Version => "tus_version",
            Self::Header(_) => "tus_header",
            Self::TooLarge { .. } => "upload_too_large",
            Self::ContentType => "upload_content_type",
            Self::Offset { .. } => "upload_offset",
            Self::Checksum => "upload_checksum",
            Self::ChecksumAlgorithm => "upload_checksum_algorithm",
            Self::Expired => "upload_expired",
        }
    }
}

#[cfg(test)]
mod tests;
