//! Resumable upload as a pure state machine: one kind of state, two dialects of HTTP.
//!
//! ```text
//!  client            edge (HTTP, file, database)                 this module
//!    | POST  ------------> |  dialect.create(request, policy) ->  UploadState, first Chunk?
//!    | PATCH ------------> |  dialect.accept(state, request) -->  Chunk { at, bytes_max }
//!    |  bytes ===========> |  write at `at`, chunk.update(bytes)
//!    |                     |  chunk.finish()?; fsync; store the state that advance() gives
//!    | <--- 204, offset -- |  state.advance(&chunk, written)  -->  Progress
//! ```
//!
//! The order in the drawing is the contract: an offset is stored only after the bytes are durable,
//! and bytes whose checksum failed are cut off again (truncate the file to `chunk.at()`). Nothing
//! here reads a clock, a socket or a file. One writer per upload is the edge's lease to keep.
//! Read next: `tus` and `draft` for what each request must carry.

mod draft;
mod headers;
mod tus;

use std::fmt;

use aws_lc_rs::digest::Context;
use fairground_types::{Millis, Timestamp, UploadId, limits};
use serde::{Deserialize, Serialize};

pub use draft::{INCONSISTENT_LENGTH, Interop, MISMATCHING_OFFSET, PARTIAL_UPLOAD};
pub use headers::{HeaderLookup, Headers};
pub use tus::{CONTENT_TYPE, TUS_CHECKSUM_ALGORITHMS, TUS_EXTENSIONS, TUS_VERSION};

/// The words in which a request is made and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// tus 1.0.0.
    Tus,
    /// The IETF's draft.
    Draft(Interop),
}

/// What an answer tells of an upload.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The upload.
    pub state: &'a UploadState,
    /// Whether it has ended: it is an asset, or refused for good.
    pub is_ended: bool,
    /// What the edge allows.
    pub policy: &'a UploadPolicy,
    /// The present.
    pub now: Timestamp,
}

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
    must_end_at: Option<u64>,
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
    /// `Upload-Draft-Interop-Version` is no version that is spoken.
    #[error("this server speaks interop versions 5 to 8 of the resumable uploads draft")]
    Draft,
    /// A header is absent or malformed.
    #[error("the header {0} is missing or malformed")]
    Header(&'static str),
    /// The upload is longer than allowed, or a chunk runs past its end.
    #[error("the upload is limited to {limit} bytes")]
    TooLarge {
        /// Bytes that would have been taken.
        limit: u64,
    },
    /// A chunk of another media type than the dialect prescribes.
    #[error("a chunk must be {0}")]
    ContentType(&'static str),
    /// The chunk does not start where the upload stands.
    #[error("the upload stands at offset {expected}")]
    Offset {
        /// The durable offset.
        expected: u64,
        /// The chunk's.
        provided: u64,
    },
    /// The lengths that a request names do not agree with each other or with the upload's.
    #[error("the lengths that were named do not agree")]
    Length,
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

impl Dialect {
    /// The dialect of a request. One that names none is taken for tus, which refuses it.
    ///
    /// # Errors
    /// [`UploadRefusal::Draft`] for an iteration of the draft that is not spoken.
    pub fn of(request: &HeaderLookup<'_>) -> Result<Self, UploadRefusal> {
        if request("Tus-Resumable").is_some() {
            return Ok(Self::Tus);
        }
        Ok(Interop::of(request)?.map_or(Self::Tus, Self::Draft))
    }

    /// Judges a creation. A body yields the first chunk.
    ///
    /// # Errors
    /// [`UploadRefusal`] by what is wrong first.
    pub fn create(
        self,
        request: &HeaderLookup<'_>,
        policy: &UploadPolicy,
        upload: UploadId,
        now: Timestamp,
    ) -> Result<(UploadState, Option<Chunk>), UploadRefusal> {
        match self {
            Self::Tus => tus::create(request, policy, upload, now),
            Self::Draft(_) => draft::create(request, policy, upload, now),
        }
    }

    /// Judges a chunk (`PATCH`).
    ///
    /// # Errors
    /// [`UploadRefusal`] by what is wrong first.
    pub fn accept(
        self,
        state: &UploadState,
        request: &HeaderLookup<'_>,
        now: Timestamp,
    ) -> Result<Chunk, UploadRefusal> {
        match self {
            Self::Tus => tus::accept(state, request, now),
            Self::Draft(version) => draft::accept(state, request, version, now),
        }
    }

    /// Judges a question for the offset (`HEAD`) or a termination (`DELETE`): version and expiry.
    ///
    /// # Errors
    /// [`UploadRefusal::Version`] or [`UploadRefusal::Expired`].
    pub fn accept_plain(
        self,
        state: &UploadState,
        request: &HeaderLookup<'_>,
        now: Timestamp,
    ) -> Result<(), UploadRefusal> {
        match self {
            Self::Tus => tus::accept_plain(state, request, now),
            Self::Draft(_) => state.check_expiry(now),
        }
    }

    /// Headers of the answer to a creation; `location` is where the upload lives.
    #[must_use]
    pub fn created_headers(self, standing: &Standing<'_>, location: &str) -> Headers {
        match self {
            Self::Tus => tus::created(standing.state, location),
            Self::Draft(version) => draft::created(version, standing, location),
        }
    }

    /// Headers of the answer to a chunk.
    #[must_use]
    pub fn patched_headers(self, standing: &Standing<'_>) -> Headers {
        match self {
            Self::Tus => tus::patched(standing.state),
            Self::Draft(version) => draft::patched(version, standing),
        }
    }

    /// Headers of the answer to `HEAD`.
    #[must_use]
    pub fn head_headers(self, standing: &Standing<'_>) -> Headers {
        match self {
            Self::Tus => tus::head(standing.state),
            Self::Draft(version) => draft::head(version, standing),
        }
    }

    /// Headers of the answer to `DELETE`.
    #[must_use]
    pub fn gone_headers(self) -> Headers {
        match self {
            Self::Tus => tus::gone(),
            Self::Draft(version) => draft::gone(version),
        }
    }

    /// Headers of a refusal. `is_ended` says that the upload is over and no retry mends it.
    #[must_use]
    pub fn refused_headers(
        self,
        refusal: Option<&UploadRefusal>,
        policy: &UploadPolicy,
        is_ended: bool,
    ) -> Headers {
        match self {
            Self::Tus => tus::refused(refusal),
            Self::Draft(version) => draft::refused(version, refusal, policy, is_ended),
        }
    }
}

/// Headers of the answer to `OPTIONS`, of both dialects.
#[must_use]
pub fn options_headers(policy: &UploadPolicy) -> Headers {
    let mut headers = tus::options(policy);
    headers.extend(draft::options(policy));
    headers
}

impl UploadState {
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
            return Err(UploadRefusal::Offset { expected: self.offset, provided: chunk.at });
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

    fn check_offset(&self, provided: u64) -> Result<(), UploadRefusal> {
        if provided == self.offset {
            return Ok(());
        }
        Err(UploadRefusal::Offset { expected: self.offset, provided })
    }

    const fn remaining(&self) -> u64 {
        self.length.saturating_sub(self.offset)
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

    /// Checks that a chunk that was to end the upload does, and the announced checksum, if there is
    /// one, over all bytes of the chunk.
    ///
    /// # Errors
    /// [`UploadRefusal::Length`] or [`UploadRefusal::Checksum`]; truncate the file to [`Chunk::at`]
    /// then.
    pub fn finish(&self) -> Result<(), UploadRefusal> {
        let end = self.at.saturating_add(self.seen);
        if self.must_end_at.is_some_and(|must| must != end) {
            return Err(UploadRefusal::Length);
        }
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
    /// The HTTP status, as both dialects prescribe it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Header(_) | Self::ChecksumAlgorithm | Self::Draft | Self::Length => 400,
            Self::Offset { .. } => 409,
            Self::Expired => 410,
            Self::Version => 412,
            Self::TooLarge { .. } => 413,
            Self::ContentType(_) => 415,
            Self::Checksum => 460,
        }
    }

    /// Stable machine reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Version => "tus_version",
            Self::Draft => "upload_draft_version",
            Self::Length => "upload_length",
            Self::Header(_) => "upload_header",
            Self::TooLarge { .. } => "upload_too_large",
            Self::ContentType(_) => "upload_content_type",
            Self::Offset { .. } => "upload_offset",
            Self::Checksum => "upload_checksum",
            Self::ChecksumAlgorithm => "upload_checksum_algorithm",
            Self::Expired => "upload_expired",
        }
    }
}

#[cfg(test)]
mod draft_tests;
#[cfg(test)]
mod tests;
