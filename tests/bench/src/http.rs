//! The lightest client that speaks HTTP/1.1, with or without TLS 1.3: one connection, one request at
//! a time, answers with a `Content-Length`.
//!
//! A generator shares the cores with what it measures, so each microsecond here is taken from the
//! servers; every peer behind HTTP is asked by this same client. It must not know what is asked.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT_WAIT: Duration = Duration::from_secs(10);
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Where to connect, and whom to trust.
#[derive(Clone)]
pub struct Target {
    /// The address.
    pub address: SocketAddr,
    /// TLS, unless plain.
    pub tls: Option<Arc<ClientConfig>>,
}

/// TLS 1.3 alone, trusting one authority.
///
/// # Errors
/// When the certificate is none.
pub fn trusting(authority: CertificateDer<'static>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its head.
    pub head: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

/// A connection that is opened when it is needed, and again after a failure.
pub struct Http {
    target: Target,
    stream: Option<Stream>,
    received: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Http {
    /// A connection to `target`, not opened yet.
    #[must_use]
    pub const fn new(target: Target) -> Self {
        Self { target, stream: None, received: Vec::new() }
    }

    /// Opens the connection, so that the first request does not pay for it.
    ///
    /// # Errors
    /// When nobody answers there, or not who should.
    pub async fn open(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let opened = timeout(CONNECT_WAIT, connect(&self.target)).await;
            self.stream = Some(opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??);
        }
        Ok(())
    }

    /// Sends a whole request and reads its answer, within `wait`.
    ///
    /// # Errors
    /// When the connection fails or the answer is not one; the next call connects again.
    pub async fn send(&mut self, request: &[u8], wait: Duration) -> io::Result<Answer<'_>> {
        self.open().await?;
        // Taken out for the time of the exchange: a failure, or a caller that gives up, closes it.
        let Some(mut stream) = self.stream.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let exchanged = timeout(wait, exchange(&mut stream, request, &mut self.received)).await;
        let found = exchanged.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if !found.closes {
            self.stream = Some(stream);
        }
        let (head, body) = self.received.split_at(found.head);
        Ok(Answer { status: found.status, head, body })
    }
}

async fn connect(target: &Target) -> io::Result<Stream> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let Some(config) = &target.tls else { return Ok(Stream::Plain(stream)) };
    let name = ServerName::from(target.address.ip());
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

struct Found {
    status: u16,
    head: usize,
    closes: bool,
}

async fn exchange(
    stream: &mut Stream,
    request: &[u8],
    received: &mut Vec<u8>,
) -> io::Result<Found> {
    stream.write_all(request).await?;
    stream.flush().await?;
    received.clear();
    let head = loop {
        if let Some(end) = find(received, b"\r\n\r\n") {
            break end + 4;
        }
        read_more(stream, received).await?;
    };
    let (status, length, closes) = {
        let text = received.get(..head).unwrap_or_default();
        let status = status_of(text).ok_or(io::ErrorKind::InvalidData)?;
        let length = match header(text, b"content-length") {
            Some(value) => number(value).ok_or(io::ErrorKind::InvalidData)?,
            None if header(text, b"transfer-encoding").is_none() => 0,
            None => return Err(io::Error::other("an answer in chunks")),
        };
        let closes = header(text, b"connection").is_some_and(|value| value == b"close");
        (status, length, closes)
    };
    if length > ANSWER_MAX {
        return Err(io::Error::other("an answer that is too long"));
    }
    while received.len() < head + length {
        read_more(stream, received).await?;
    }
    received.truncate(head + length);
    Ok(Found { status, head, closes })
}

async fn read_more(stream: &mut Stream, received: &mut Vec<u8>) -> io::Result<()> {
    received.reserve(4_096);
    if stream.read_buf(received).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.len() > ANSWER_MAX {
        return Err(io::Error::other("an answer that is too long"));
    }
    Ok(())
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The number in `HTTP/1.1 201 Created`.
fn status_of(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

/// A header's value, spaces around it left out; `name` in lower case.
#[must_use]
pub fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (key, value) = line.split_at(colon);
        key.eq_ignore_ascii_case(name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

fn number(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const WAIT: Duration = Duration::from_secs(5);

    /// Answers every connection's first bytes with `answer`, in two parts.
    async fn answering(answer: &'static [u8]) -> (Target, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut server = JoinSet::new();
        server.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0_u8; 1_024];
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    let (first, second) = answer.split_at(answer.len() / 2);
                    stream.write_all(first).await.expect("sent");
                    tokio::task::yield_now().await;
                    stream.write_all(second).await.expect("sent");
                }
            }
        });
        (Target { address, tls: None }, server)
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_length_and_the_connection_kept() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-Y:  z \r\n\r\nhello";
        let (target, _server) = answering(answer).await;
        let mut http = Http::new(target);
        for _ in 0..2 {
            let answer = http.send(REQUEST, WAIT).await.expect("answered");
            assert_eq!((answer.status, answer.body), (201, &b"hello"[..]));
            assert_eq!(header(answer.head, b"x-y"), Some(&b"z"[..]));
        }
        assert!(http.stream.is_some());
    }

    #[tokio::test]
    async fn what_is_no_answer_closes_the_connection() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        for answer in [&b"HTTP/1.1 abc nonsense\r\n\r\n"[..], chunked] {
            let (target, _server) = answering(answer).await;
            let mut http = Http::new(target);
            assert!(http.send(REQUEST, WAIT).await.is_err());
            assert!(http.stream.is_none());
        }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut http = Http::new(Target { address, tls: None });
        let error = http.send(REQUEST, Duration::from_millis(20)).await.expect_err("too late");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
