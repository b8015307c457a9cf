//! What the crate `h3` is given for QUIC: quinn's connection and streams, with two bounds of ours.
//!
//! ```text
//!  h3  ── reads ──►  Receiving   at most so many bytes of a stream, ever
//!      ── writes ─►  Sending     one frame at a time; finished when the peer has acknowledged all
//! ```
//! `h3` keeps a frame that has not come whole, whatever length it announces, so what it may read is
//! bounded here. That a stream is finished when all of it has arrived is what a drain waits for. The
//! crate `h3-quinn` has neither, and panics when a stream is stopped while it is read; our tests speak
//! to this file through it. It must not know a request.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, StoppedError, VarInt, WriteError};

/// A wait of quinn's that outlives one poll: dropped, it would not wake anybody.
type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;
type Pair = (quinn::SendStream, quinn::RecvStream);

/// Bytes that a peer may send on one stream, ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// On a stream of a request.
    pub(crate) request: usize,
    /// On a stream in one direction: control and reserved types.
    pub(crate) control: usize,
}

/// A peer sent more than its allowance.
#[derive(Debug, thiserror::Error)]
#[error("more bytes on a stream than are taken")]
struct TooMuch;

/// A connection as `h3` sees it.
pub(crate) struct Wire {
    opener: Opener,
    pair: Waiting<Result<Pair, ConnectionError>>,
    single: Waiting<Result<quinn::RecvStream, ConnectionError>>,
    allowance: Allowance,
}

impl Wire {
    pub(crate) fn new(connection: quinn::Connection, allowance: Allowance) -> Self {
        Self {
            pair: accept_pair(connection.clone()),
            single: accept_single(connection.clone()),
            opener: Opener::new(connection),
            allowance,
        }
    }
}

fn accept_pair(connection: quinn::Connection) -> Waiting<Result<Pair, ConnectionError>> {
    Box::pin(async move { connection.accept_bi().await })
}

fn accept_single(
    connection: quinn::Connection,
) -> Waiting<Result<quinn::RecvStream, ConnectionError>> {
    Box::pin(async move { connection.accept_uni().await })
}

impl quic::Connection<Bytes> for Wire {
    type RecvStream = Receiving;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Receiving, ConnectionErrorIncoming>> {
        let accepted = ready!(self.single.as_mut().poll(context));
        self.single = accept_single(self.opener.connection.clone());
        let left = self.allowance.control;
        Poll::Ready(accepted.map(|stream| Receiving { stream, left }).map_err(of_connection))
    }

    fn poll_accept_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        let accepted = ready!(self.pair.as_mut().poll(context));
        self.pair = accept_pair(self.opener.connection.clone());
        let left = self.allowance.request;
        Poll::Ready(accepted.map(|pair| Both::new(pair, left)).map_err(of_connection))
    }

    fn opener(&self) -> Opener {
        Opener::new(self.opener.connection.clone())
    }
}

impl quic::OpenStreams<Bytes> for Wire {
    type BidiStream = Both;
    type SendStream = Sending;

    fn poll_open_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Both, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(context)
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Sending, StreamErrorIncoming>> {
        self.opener.poll_open_send(context)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens streams: a server those in one direction.
pub(crate) struct Opener {
    connection: quinn::Connection,
    pair: Option<Waiting<Result<Pair, ConnectionError>>>,
    single: Option<Waiting<Result<quinn::SendStream, ConnectionError>>>,
}

impl Opener {
    fn new(connection: quinn::Connection) -> Self {
        Self { connection, pair: None, single: None }
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Both;
    type SendStream = Sending;

    fn poll_open_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Both, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opening = self.pair.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_bi().await })
        });
        let opened = ready!(opening.as_mut().poll(context));
        self.pair = None;
        Poll::Ready(opened.map(|pair| Both::new(pair, 0)).map_err(lost))
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Sending, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opening = self.single.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(context));
        self.single = None;
        Poll::Ready(opened.map(Sending::new).map_err(lost))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(close_code(code), reason);
    }
}

/// A stream of a request.
pub(crate) struct Both {
    send: Sending,
    receive: Receiving,
}

impl Both {
    fn new((send, receive): Pair, left: usize) -> Self {
        Self { send: Sending::new(send), receive: Receiving { stream: receive, left } }
    }
}

impl quic::RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(context)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl quic::SendStream<Bytes> for Both {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(context)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(context)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

/// The half that is read.
pub(crate) struct Receiving {
    stream: quinn::RecvStream,
    /// Bytes that are still taken.
    left: usize,
}

impl quic::RecvStream for Receiving {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if self.left == 0 {
            return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(TooMuch))));
        }
        // The wait itself holds nothing: who is woken is kept with the stream.
        let reading = pin!(self.stream.read_chunk(self.left, true));
        let read = ready!(reading.poll(context)).map_err(of_read)?;
        let read = read.map(|chunk| chunk.bytes);
        self.left = self.left.saturating_sub(read.as_ref().map_or(0, Bytes::len));
        Poll::Ready(Ok(read))
    }

    fn stop_sending(&mut self, code: u64) {
        // An error says that the stream is over already.
        let _ = self.stream.stop(VarInt::from_u64(code).unwrap_or(VarInt::MAX));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

/// The half that is written.
pub(crate) struct Sending {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    delivery: Option<Waiting<Result<Option<VarInt>, StoppedError>>>,
}

impl Sending {
    fn new(stream: quinn::SendStream) -> Self {
        Self { stream, writing: None, delivery: None }
    }
}

impl quic::SendStream<Bytes> for Sending {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let stream = Pin::new(&mut self.stream);
                let written = ready!(stream.poll_write(context, data.chunk())).map_err(of_write)?;
                data.advance(written);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            let problem = "a frame was begun inside another".to_owned();
            return Err(StreamErrorIncoming::ConnectionErrorIncoming {
                connection_error: ConnectionErrorIncoming::InternalError(problem),
            });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if self.delivery.is_none() {
            let finished = self.stream.finish();
            finished.map_err(|error| StreamErrorIncoming::Unknown(Box::new(error)))?;
            self.delivery = Some(Box::pin(self.stream.stopped()));
        }
        let Some(delivery) = &mut self.delivery else { return Poll::Ready(Ok(())) };
        Poll::Ready(match ready!(delivery.as_mut().poll(context)) {
            Ok(None) => Ok(()),
            Ok(Some(code)) => {
                Err(StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() })
            }
            Err(StoppedError::ConnectionLost(error)) => Err(lost(error)),
            Err(error @ StoppedError::ZeroRttRejected) => {
                Err(StreamErrorIncoming::Unknown(Box::new(error)))
            }
        })
    }

    fn reset(&mut self, code: u64) {
        // An error says that the stream is over already.
        let _ = self.stream.reset(VarInt::from_u64(code).unwrap_or(VarInt::MAX));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

/// A code of HTTP/3 as QUIC closes with it.
pub(crate) fn close_code(code: Code) -> VarInt {
    VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX)
}

#[expect(
    clippy::expect_used,
    reason = "quinn's ids are variable-length integers, which is the bound"
)]
fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(id)).expect("an id of a stream is below 2^62")
}

fn of_connection(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error @ (ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted) => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn lost(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: of_connection(error) }
}

fn of_read(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        ReadError::ConnectionLost(error) => lost(error),
        error @ (ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected) => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn of_write(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        WriteError::ConnectionLost(error) => lost(error),
        error @ (WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
            StreamErrorIncoming::Unknown(Box::new(error))
        }
    }
}
