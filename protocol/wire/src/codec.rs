//! Values to bytes and back: the only file that calls the codec (ADR 0002).
//!
//! ```text
//!  0         1              5                9
//!  | version | length u32LE | crc32c u32 LE  | payload ...
//! ```
//! `length` counts the payload, `crc32c` covers the version byte and the payload. The payload is
//! bincode 1.3's default format: little endian, fixed integers, u64 lengths, u32 enum tags. It is
//! positional, so a changed shape is a new version, never a changed old one.
//!
//! States (a market's snapshot, an edge's view) are larger than a frame and never cross a stream as
//! one frame; their envelope has a length of u64 and their sequences a wider bound:
//!
//! ```text
//!  0         1              9               13
//!  | version | length u64LE | crc32c u32 LE | payload ...
//! ```
//! Decoding never panics, accepts exactly one value without trailing bytes, and allocates at most
//! [`FRAME_MAX`] for one sequence whatever the bytes claim ([`STATE_MAX`] in a state, whose bytes are
//! authenticated before they get here).

use fairground_types::command::{Command, Entry, Envelope, LogCommand};
use fairground_types::event::FeedItem;
use fairground_types::journal::{Batch, JournalEntry, Mark, Tail};
use fairground_types::limits::FRAME_MAX;
use fairground_types::verdict::{Judged, Verdict};
use wincode::config::Configuration;
use wincode::len::BincodeLen;
use wincode::{SchemaRead, SchemaWrite};

/// Bytes in front of a payload.
pub const HEADER_LEN: usize = 9;

/// The payload format. Only the bound on one sequence differs from bincode 1.3's defaults.
pub type Format = Configuration<true, FRAME_MAX, BincodeLen>;

const FORMAT: Format = Configuration::new();

/// Bytes in front of a state's payload.
pub const STATE_HEADER_LEN: usize = 13;

/// Bytes of one state, and of one sequence in it.
pub const STATE_MAX: usize = 1024 * 1024 * 1024;

/// The payload format of a state.
pub type StateFormat = Configuration<true, STATE_MAX, BincodeLen>;

const STATE_FORMAT: StateFormat = Configuration::new();

/// Why bytes are not the value that was wanted, or a value cannot become bytes.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Fewer bytes than a header, or not the length that the header names.
    #[error("a record of {found} bytes where {expected} were announced")]
    Length {
        /// Bytes announced.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// The bytes were altered.
    #[error("checksum mismatch")]
    Checksum,
    /// Written by a newer release, or not by us.
    #[error("version {found} where at most {known} is known")]
    Version {
        /// Version found.
        found: u8,
        /// Newest version known.
        known: u8,
    },
    /// More bytes than one record may have.
    #[error("a record of {0} bytes is larger than allowed")]
    TooLarge(usize),
    /// The payload is not the value that was wanted.
    #[error("malformed payload")]
    Malformed(#[source] wincode::ReadError),
    /// The value has something for which an older version of its shape has no place.
    #[error("a value that version {0} has no place for")]
    NoPlace(u8),
    /// The value has no representation.
    #[error("unrepresentable value")]
    Unrepresentable(#[source] wincode::WriteError),
}

/// A value that can be written.
pub trait Encode: SchemaWrite<Format, Src = Self> {}
impl<T: SchemaWrite<Format, Src = T>> Encode for T {}

/// A value that can be read without borrowing from the bytes.
pub trait Decode: for<'de> SchemaRead<'de, Format, Dst = Self> + Sized {}
impl<T: for<'de> SchemaRead<'de, Format, Dst = T>> Decode for T {}

/// A state that can be written.
pub trait EncodeState: SchemaWrite<StateFormat, Src = Self> {}
impl<T: SchemaWrite<StateFormat, Src = T>> EncodeState for T {}

/// A state that can be read without borrowing from the bytes.
pub trait DecodeState: for<'de> SchemaRead<'de, StateFormat, Dst = Self> + Sized {}
impl<T: for<'de> SchemaRead<'de, StateFormat, Dst = T>> DecodeState for T {}

/// A value with a current version of its shape.
pub trait Versioned {
    /// From 1; raised with every change of the shape.
    const VERSION: u8;
}

macro_rules! version_one {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::codec::Versioned for $type {
            const VERSION: u8 = 1;
        }
    )*};
}
pub(crate) use version_one;

version_one!(
    Entry,
    LogCommand,
    Envelope,
    Command,
    JournalEntry,
    Batch,
    Mark,
    Tail,
    Judged,
    Verdict,
    FeedItem
);

/// Writes a bare payload, without version or checksum.
///
/// # Errors
/// When a sequence is larger than one frame.
pub fn encode_payload<T: Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    wincode::config::serialize(value, FORMAT).map_err(CodecError::Unrepresentable)
}

/// Reads a bare payload; all of `bytes` must be used.
///
/// # Errors
/// When the bytes are not exactly one value.
pub fn decode_payload<T: Decode>(bytes: &[u8]) -> Result<T, CodecError> {
    wincode::config::deserialize_exact(bytes, FORMAT).map_err(CodecError::Malformed)
}

/// Bytes that [`encode`] would make of a value.
///
/// # Errors
/// When the value has no representation.
pub fn encoded_len<T: Encode>(value: &T) -> Result<usize, CodecError> {
    let payload =
        wincode::config::serialized_size(value, FORMAT).map_err(CodecError::Unrepresentable)?;
    Ok(usize::try_from(payload).unwrap_or(usize::MAX).saturating_add(HEADER_LEN))
}

/// Writes a value in an envelope of the given version.
///
/// # Errors
/// When it is larger than one frame.
pub fn encode<T: Encode>(version: u8, value: &T) -> Result<Vec<u8>, CodecError> {
    seal(version, &encode_payload(value)?)
}

/// Reads an envelope with a version from 1 to `newest`.
///
/// # Errors
/// When it is truncated, extended, altered, of an unknown version, or not this value.
pub fn decode<T: Decode>(newest: u8, bytes: &[u8]) -> Result<(u8, T), CodecError> {
    let (version, payload) = open(newest, bytes)?;
    Ok((version, decode_payload(payload)?))
}

/// Puts an envelope around payload bytes.
///
/// # Errors
/// When they are larger than one frame.
pub fn seal(version: u8, payload: &[u8]) -> Result<Vec<u8>, CodecError> {
    let total = payload.len().saturating_add(HEADER_LEN);
    if total > FRAME_MAX {
        return Err(CodecError::TooLarge(total));
    }
    let length = u32::try_from(payload.len()).map_err(|_| CodecError::TooLarge(total))?;
    let mut bytes = Vec::with_capacity(total);
    bytes.push(version);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(version, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Takes the envelope off: the version and the payload bytes. For values of which several versions
/// are readable.
///
/// # Errors
/// When it is truncated, extended, altered or of an unknown version.
pub fn open(newest: u8, bytes: &[u8]) -> Result<(u8, &[u8]), CodecError> {
    let short = CodecError::Length { expected: HEADER_LEN, found: bytes.len() };
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(short);
    };
    let [version, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if length.saturating_add(HEADER_LEN) > FRAME_MAX {
        return Err(CodecError::TooLarge(length));
    }
    if length != payload.len() {
        return Err(CodecError::Length { expected: length, found: payload.len() });
    }
    if u32::from_le_bytes([c0, c1, c2, c3]) != checksum(version, payload) {
        return Err(CodecError::Checksum);
    }
    if version == 0 || version > newest {
        return Err(CodecError::Version { found: version, known: newest });
    }
    Ok((version, payload))
}

fn checksum(version: u8, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[version]), payload)
}

/// Writes a value in an envelope of its current version.
///
/// # Errors
/// When it is larger than one frame.
pub fn to_bytes<T: Versioned + Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode(T::VERSION, value)
}

/// Reads a value of its current version.
///
/// # Errors
/// As [`decode`].
pub fn from_bytes<T: Versioned + Decode>(bytes: &[u8]) -> Result<T, CodecError> {
    decode(T::VERSION, bytes).map(|(_, value)| value)
}

/// Writes a value as one frame of a stream: [`to_bytes`] with a length in front.
///
/// # Errors
/// When it is larger than one frame.
pub fn to_frame<T: Versioned + Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = to_bytes(value)?;
    crate::frame::encode_frame(&bytes).map_err(|_| CodecError::TooLarge(bytes.len()))
}

/// Writes a log entry.
///
/// # Errors
/// As [`to_bytes`].
pub fn encode_entry(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    to_bytes(entry)
}

/// Reads a log entry.
///
/// # Errors
/// As [`from_bytes`].
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    from_bytes(bytes)
}

/// Writes a state in an envelope of the given version.
///
/// # Errors
/// When it is larger than [`STATE_MAX`].
pub fn encode_state<T: EncodeState>(version: u8, state: &T) -> Result<Vec<u8>, CodecError> {
    let payload =
        wincode::config::serialize(state, STATE_FORMAT).map_err(CodecError::Unrepresentable)?;
    seal_state(version, &payload)
}

fn seal_state(version: u8, payload: &[u8]) -> Result<Vec<u8>, CodecError> {
    let length = payload.len();
    if length > STATE_MAX {
        return Err(CodecError::TooLarge(length));
    }
    let prefix = u64::try_from(length).map_err(|_| CodecError::TooLarge(length))?;
    let mut bytes = Vec::with_capacity(length.saturating_add(STATE_HEADER_LEN));
    bytes.push(version);
    bytes.extend_from_slice(&prefix.to_le_bytes());
    bytes.extend_from_slice(&checksum(version, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Takes the envelope of a state off: the version and the payload bytes.
///
/// # Errors
/// When it is truncated, extended, altered or of an unknown version.
pub fn open_state(newest: u8, bytes: &[u8]) -> Result<(u8, &[u8]), CodecError> {
    let short = CodecError::Length { expected: STATE_HEADER_LEN, found: bytes.len() };
    let Some((header, payload)) = bytes.split_first_chunk::<STATE_HEADER_LEN>() else {
        return Err(short);
    };
    let [version, l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3] = *header;
    let length = u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length != payload.len() {
        return Err(CodecError::Length { expected: length, found: payload.len() });
    }
    if u32::from_le_bytes([c0, c1, c2, c3]) != checksum(version, payload) {
        return Err(CodecError::Checksum);
    }
    if version == 0 || version > newest {
        return Err(CodecError::Version { found: version, known: newest });
    }
    Ok((version, payload))
}

/// Writes a state in the shape of an older version: without what was put behind it `since`, which
/// must be as it is there in a state that has none of it.
///
/// # Errors
/// When it is larger than [`STATE_MAX`], or has something that the older shape has no place for.
pub fn encode_state_before<T: EncodeState, U: EncodeState>(
    version: u8,
    state: &T,
    since: &U,
) -> Result<Vec<u8>, CodecError> {
    let payload =
        wincode::config::serialize(state, STATE_FORMAT).map_err(CodecError::Unrepresentable)?;
    let behind =
        wincode::config::serialize(since, STATE_FORMAT).map_err(CodecError::Unrepresentable)?;
    let older = payload.strip_suffix(behind.as_slice()).ok_or(CodecError::NoPlace(version))?;
    seal_state(version, older)
}

/// Reads the payload of a state of an older version, taken off its envelope by [`open_state`]:
/// completed by what was put behind it `since`.
///
/// # Errors
/// When the bytes are not exactly this state.
pub fn decode_state_before<T: DecodeState, U: EncodeState>(
    payload: &[u8],
    since: &U,
) -> Result<T, CodecError> {
    let behind =
        wincode::config::serialize(since, STATE_FORMAT).map_err(CodecError::Unrepresentable)?;
    let whole = [payload, &behind].concat();
    wincode::config::deserialize_exact(&whole, STATE_FORMAT).map_err(CodecError::Malformed)
}

/// Reads a state with a version from 1 to `newest`.
///
/// # Errors
/// When it is truncated, extended, altered, of an unknown version, or not this state.
pub fn decode_state<T: DecodeState>(newest: u8, bytes: &[u8]) -> Result<(u8, T), CodecError> {
    let (version, payload) = open_state(newest, bytes)?;
    let state =
        wincode::config::deserialize_exact(payload, STATE_FORMAT).map_err(CodecError::Malformed)?;
    Ok((version, state))
}
