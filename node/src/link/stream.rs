//! Frames on a QUIC stream to a member, each read bounded by the frame limit.
//!
//! It must not know what is in a frame. Read next: [`super`] for who opens streams.

use fairground_seam::link::{RecvStream, SendStream};
use fairground_wire::codec::{Decode, Encode};
use fairground_wire::frame::{PREFIX_LEN, frame_len};
use fairground_wire::{CodecError, FrameError, Versioned, from_bytes, to_frame};
use quinn::ReadExactError;

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The member or the path is gone.
    #[error("write to a stream")]
    Write(#[from] quinn::WriteError),
    /// The member or the path is gone.
    #[error("read from a stream")]
    Read(#[from] ReadExactError),
    /// The member sent more than allowed.
    #[error("take a frame")]
    Frame(#[from] FrameError),
    /// The member sent what this release cannot read.
    #[error("read a message")]
    Codec(#[from] CodecError),
    /// The stream ended where a message was due.
    #[error("read a message that did not come")]
    Ended,
}

/// Sends one message.
pub(crate) async fn send<T: Versioned + Encode + Sync>(
    stream: &mut SendStream,
    message: &T,
) -> Result<(), StreamError> {
    let frame = to_frame(message)?;
    stream.write_all(&frame).await?;
    Ok(())
}

/// Receives one message; `None` when the member ended the stream between messages. Not safe to
/// cancel: a reader that is raced against other things belongs in a task of its own.
pub(crate) async fn receive<T: Versioned + Decode>(
    stream: &mut RecvStream,
) -> Result<Option<T>, StreamError> {
    let mut prefix = [0_u8; PREFIX_LEN];
    match stream.read_exact(&mut prefix).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(StreamError::Read(error)),
    }
    let mut bytes = vec![0_u8; frame_len(prefix)?];
    stream.read_exact(&mut bytes).await?;
    Ok(Some(from_bytes(&bytes)?))
}

/// Receives one message that must come.
pub(crate) async fn expect<T: Versioned + Decode>(
    stream: &mut RecvStream,
) -> Result<T, StreamError> {
    receive(stream).await?.ok_or(StreamError::Ended)
}
