//! Frames on a byte stream: `[length u32 LE][bytes]`, pure.
//!
//! It must not know what is in a frame; that is [`crate::codec`].

use fairground_types::limits::FRAME_MAX;

/// Bytes in front of a frame.
pub const PREFIX_LEN: usize = 4;

/// Why a stream cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is larger than allowed.
    #[error("a frame of {0} bytes is larger than allowed")]
    TooLarge(usize),
}

/// Puts a length in front of `bytes`.
///
/// # Errors
/// When they are larger than [`FRAME_MAX`].
pub fn encode_frame(bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = bytes.len();
    let prefix = u32::try_from(length).map_err(|_| FrameError::TooLarge(length))?;
    if length > FRAME_MAX {
        return Err(FrameError::TooLarge(length));
    }
    let mut frame = Vec::with_capacity(length.saturating_add(PREFIX_LEN));
    frame.extend_from_slice(&prefix.to_le_bytes());
    frame.extend_from_slice(bytes);
    Ok(frame)
}

/// Length of the frame that follows a prefix; for shells that read straight from a stream.
///
/// # Errors
/// When it is larger than [`FRAME_MAX`].
pub fn frame_len(prefix: [u8; PREFIX_LEN]) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if length > FRAME_MAX { Err(FrameError::TooLarge(length)) } else { Ok(length) }
}

/// Cuts a byte stream into frames. Holds at most one frame and what was pushed last.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    start: usize,
    failed: bool,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start.min(self.buffer.len()));
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the bytes pushed so far end with a frame.
    #[must_use]
    pub const fn is_at_boundary(&self) -> bool {
        self.start == self.buffer.len() && !self.failed
    }
}

impl Iterator for FrameDecoder {
    type Item = Result<Vec<u8>, FrameError>;

    /// The next whole frame; `None` asks for more bytes. After an error the stream is over.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let rest = self.buffer.get(self.start..)?;
        let (prefix, rest) = rest.split_first_chunk::<PREFIX_LEN>()?;
        let length = match frame_len(*prefix) {
            Ok(length) => length,
            Err(error) => {
                self.failed = true;
                self.buffer = Vec::new();
                self.start = 0;
                return Some(Err(error));
            }
        };
        let frame = rest.get(..length)?.to_vec();
        self.start = self.start.saturating_add(PREFIX_LEN).saturating_add(length);
        Some(Ok(frame))
    }
}
