//! Connections and streams between daemons: quinn's, or wires in memory.
//!
//! The types have the methods and errors of quinn's that daemons use, so a daemon is written against
//! QUIC and nothing else. It must not know who dials whom.

#[cfg(feature = "sim")]
pub mod memory;

/// A connection over QUIC, whatever [`Connection`] is.
pub use quinn::Connection as QuicConnection;

#[cfg(feature = "sim")]
pub use either::{Connection, RecvStream, SendStream};
#[cfg(not(feature = "sim"))]
pub use quinn::{Connection, RecvStream, SendStream};

/// A connection over QUIC.
#[cfg(not(feature = "sim"))]
#[must_use]
pub const fn over_quic(connection: Connection) -> Connection {
    connection
}

/// The connection, when it is over QUIC.
#[cfg(not(feature = "sim"))]
#[must_use]
pub const fn quic(connection: &Connection) -> Option<&QuicConnection> {
    Some(connection)
}

/// A connection over QUIC.
#[cfg(feature = "sim")]
#[must_use]
pub const fn over_quic(connection: QuicConnection) -> Connection {
    Connection::Quic(connection)
}

/// The connection, when it is over QUIC.
#[cfg(feature = "sim")]
#[must_use]
pub const fn quic(connection: &Connection) -> Option<&QuicConnection> {
    match connection {
        Connection::Quic(connection) => Some(connection),
        Connection::Memory(_) => None,
    }
}

#[cfg(feature = "sim")]
mod either {
    use std::any::Any;
    use std::sync::Arc;

    use quinn::{Chunk, ConnectionError, ReadError, ReadExactError, VarInt, WriteError};

    use super::memory;

    /// A connection. Clones are the same one.
    #[derive(Clone, Debug)]
    pub enum Connection {
        /// Over a socket.
        Quic(quinn::Connection),
        /// Over a wire in memory.
        Memory(memory::Connection),
    }

    /// The sending half of a stream.
    #[derive(Debug)]
    pub enum SendStream {
        /// Over a socket.
        Quic(quinn::SendStream),
        /// Over a wire in memory.
        Memory(memory::SendStream),
    }

    /// The receiving half of a stream.
    #[derive(Debug)]
    pub enum RecvStream {
        /// Over a socket.
        Quic(quinn::RecvStream),
        /// Over a wire in memory.
        Memory(memory::RecvStream),
    }

    type Pair = (SendStream, RecvStream);

    impl Connection {
        /// Who the simulator says is at the other end.
        #[must_use]
        pub fn simulated_peer(&self) -> Option<Arc<dyn Any + Send + Sync>> {
            match self {
                Self::Quic(_) => None,
                Self::Memory(connection) => Some(connection.peer()),
            }
        }

        /// Opens a stream.
        ///
        /// # Errors
        /// When the connection is lost.
        pub async fn open_bi(&self) -> Result<Pair, ConnectionError> {
            match self {
                Self::Quic(connection) => {
                    let (send, receive) = connection.open_bi().await?;
                    Ok((SendStream::Quic(send), RecvStream::Quic(receive)))
                }
                Self::Memory(connection) => {
                    let (send, receive) = connection.open_bi()?;
                    Ok((SendStream::Memory(send), RecvStream::Memory(receive)))
                }
            }
        }

        /// The next stream that the peer opened.
        ///
        /// # Errors
        /// When the connection is lost.
        pub async fn accept_bi(&self) -> Result<Pair, ConnectionError> {
            match self {
                Self::Quic(connection) => {
                    let (send, receive) = connection.accept_bi().await?;
                    Ok((SendStream::Quic(send), RecvStream::Quic(receive)))
                }
                Self::Memory(connection) => {
                    let (send, receive) = connection.accept_bi().await?;
                    Ok((SendStream::Memory(send), RecvStream::Memory(receive)))
                }
            }
        }

        /// Ends the connection.
        pub fn close(&self, code: VarInt, reason: &[u8]) {
            match self {
                Self::Quic(connection) => connection.close(code, reason),
                Self::Memory(connection) => connection.close(code, reason),
            }
        }

        /// Waits for the end of the connection.
        pub async fn closed(&self) -> ConnectionError {
            match self {
                Self::Quic(connection) => connection.closed().await,
                Self::Memory(connection) => connection.closed().await,
            }
        }

        /// Why the connection ended, if it has.
        #[must_use]
        pub fn close_reason(&self) -> Option<ConnectionError> {
            match self {
                Self::Quic(connection) => connection.close_reason(),
                Self::Memory(connection) => connection.close_reason(),
            }
        }

        /// A number that tells connections apart.
        #[must_use]
        pub fn stable_id(&self) -> usize {
            match self {
                Self::Quic(connection) => connection.stable_id(),
                Self::Memory(connection) => connection.stable_id(),
            }
        }
    }

    impl SendStream {
        /// Writes everything.
        ///
        /// # Errors
        /// When the stream or the connection is over.
        pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
            match self {
                Self::Quic(stream) => stream.write_all(bytes).await,
                Self::Memory(stream) => stream.write_all(bytes).await,
            }
        }

        /// Says that nothing more comes.
        ///
        /// # Errors
        /// When the stream is over.
        pub fn finish(&mut self) -> Result<(), quinn::ClosedStream> {
            match self {
                Self::Quic(stream) => stream.finish(),
                Self::Memory(stream) => {
                    stream.finish();
                    Ok(())
                }
            }
        }
    }

    impl RecvStream {
        /// Fills `bytes`.
        ///
        /// # Errors
        /// When the stream ends before, or the connection is lost.
        pub async fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ReadExactError> {
            match self {
                Self::Quic(stream) => stream.read_exact(bytes).await,
                Self::Memory(stream) => stream.read_exact(bytes).await,
            }
        }

        /// What came, at most `max` bytes; nothing at the end.
        ///
        /// # Errors
        /// When the connection is lost.
        pub async fn read_chunk(
            &mut self,
            max: usize,
            ordered: bool,
        ) -> Result<Option<Chunk>, ReadError> {
            match self {
                Self::Quic(stream) => stream.read_chunk(max, ordered).await,
                Self::Memory(stream) => stream.read_chunk(max).await,
            }
        }
    }
}
