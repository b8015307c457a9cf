//! Blobs by hash to and from the members: length and BLAKE3 are checked while they stream.
//!
//! It must not know what a blob holds or where it is kept. Read next: `delivery/origin.rs`,
//! `worker.rs`, `ingest/`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use fairground_seam::link::{Connection, RecvStream, SendStream};
use fairground_types::limits::BLOB_MAX;
use fairground_types::{BlobHash, Code};
use fairground_wire::message::{BlobRequest, BlobResponse, StreamKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::{self, StreamError};
use super::{LinkError, Links, Live};

/// How long a member may be silent in the middle of a blob.
const PROGRESS_WAIT: Duration = Duration::from_secs(10);
/// How long a quorum of members may take to store a blob after its last byte.
const STORE_WAIT: Duration = Duration::from_secs(30);
const REACH_WAIT: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 256 * 1024;
/// A blob that is kept in memory: an init, a segment, a playlist, a manifest, a poster.
pub(crate) const MEMORY_BLOB_MAX: u64 = 64 * 1024 * 1024;

/// Why a blob did not come or go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// No member has it.
    #[error("no member has the blob")]
    Absent,
    /// No member could be reached.
    #[error("no member answers")]
    Unavailable,
    /// What came is not the blob.
    #[error("the bytes are not those of the hash")]
    Damaged,
    /// The members refused it.
    #[error("refused with {code}: {detail}")]
    Refused {
        /// Why.
        code: Code,
        /// One sentence.
        detail: String,
    },
    /// The stream broke.
    #[error("stream a blob")]
    Link(#[from] LinkError),
    /// A file on this machine could not be read or written.
    #[error("input or output failed on {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl From<StreamError> for BlobError {
    fn from(error: StreamError) -> Self {
        Self::Link(LinkError::Stream(error))
    }
}

impl BlobError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What goes to the members.
#[derive(Clone, Copy)]
pub(crate) enum BlobSource<'a> {
    /// From memory.
    Memory(&'a Bytes),
    /// From a file of this many bytes.
    File(&'a Path, u64),
}

impl BlobSource<'_> {
    fn len(self) -> u64 {
        match self {
            Self::Memory(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File(_, bytes) => bytes,
        }
    }
}

enum Sink<'a> {
    Memory(Vec<u8>),
    File { file: tokio::fs::File, path: &'a Path },
}

impl Sink<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        match self {
            Self::Memory(buffer) => {
                buffer.extend_from_slice(bytes);
                Ok(())
            }
            Self::File { file, path } => file.write_all(bytes).await.map_err(BlobError::io(path)),
        }
    }
}

impl Links {
    /// Brings a blob into memory; one member after the other is asked.
    pub(crate) async fn fetch(&self, hash: BlobHash) -> Result<Bytes, BlobError> {
        let mut last = BlobError::Unavailable;
        if self.any(REACH_WAIT).await.is_none() {
            return Err(last);
        }
        for live in self.candidates() {
            match pull_into_memory(&live.connection, hash).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    tracing::debug!(member = %live.member, %hash, error = %super::chain(&error),
                        "blob not fetched");
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Brings a blob into a file; one member after the other is asked.
    pub(crate) async fn fetch_into(&self, hash: BlobHash, path: &Path) -> Result<(), BlobError> {
        let mut last = BlobError::Unavailable;
        if self.any(REACH_WAIT).await.is_none() {
            return Err(last);
        }
        let max = u64::try_from(BLOB_MAX).unwrap_or(u64::MAX);
        for live in self.candidates() {
            let file = tokio::fs::File::create(path).await.map_err(BlobError::io(path))?;
            let mut sink = Sink::File { file, path };
            match pull(&live.connection, hash, max, &mut sink).await {
                Ok(()) => {
                    let Sink::File { mut file, .. } = sink else { return Err(BlobError::Damaged) };
                    return file.flush().await.map_err(BlobError::io(path));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Hands a blob to the cluster: answered once a quorum of members has it.
    pub(crate) async fn store(
        &self,
        hash: BlobHash,
        source: BlobSource<'_>,
    ) -> Result<(), BlobError> {
        let mut last = BlobError::Unavailable;
        if self.any(REACH_WAIT).await.is_none() {
            return Err(last);
        }
        for live in self.candidates() {
            match push(&live, hash, source).await {
                Ok(()) => return Ok(()),
                Err(error @ BlobError::Io { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(member = %live.member, %hash, error = %super::chain(&error),
                        "blob not stored");
                    last = error;
                }
            }
        }
        Err(last)
    }
}

async fn within<T>(
    wait: Duration,
    work: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, BlobError> {
    tokio::time::timeout(wait, work).await.unwrap_or(Err(BlobError::Link(LinkError::Timeout)))
}

/// Brings a blob into memory from whoever is at the other end.
pub(super) async fn pull_into_memory(
    connection: &Connection,
    hash: BlobHash,
) -> Result<Bytes, BlobError> {
    let mut sink = Sink::Memory(Vec::new());
    pull(connection, hash, MEMORY_BLOB_MAX, &mut sink).await?;
    let Sink::Memory(buffer) = sink else { return Err(BlobError::Damaged) };
    Ok(buffer.into())
}

async fn pull(
    connection: &Connection,
    hash: BlobHash,
    max: u64,
    sink: &mut Sink<'_>,
) -> Result<(), BlobError> {
    let (mut send, mut receive) = super::open(connection, StreamKind::Blob).await?;
    stream::send(&mut send, &BlobRequest::Get { hash }).await?;
    // A stream that the member stopped has nothing left to finish.
    let _ = send.finish();
    let answer = within(PROGRESS_WAIT, async { Ok(stream::expect(&mut receive).await?) }).await?;
    let total = match answer {
        BlobResponse::Found { bytes } if bytes <= max => bytes,
        BlobResponse::Found { .. } => return Err(BlobError::Damaged),
        BlobResponse::Absent => return Err(BlobError::Absent),
        BlobResponse::Refused { code, detail } => return Err(BlobError::Refused { code, detail }),
        BlobResponse::Send | BlobResponse::Stored | BlobResponse::Held(_) => {
            return Err(BlobError::Damaged);
        }
    };
    copy_in(&mut receive, hash, total, sink).await
}

async fn copy_in(
    receive: &mut RecvStream,
    hash: BlobHash,
    total: u64,
    sink: &mut Sink<'_>,
) -> Result<(), BlobError> {
    let mut hasher = blake3::Hasher::new();
    let mut left = total;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
        let read = tokio::time::timeout(PROGRESS_WAIT, receive.read_chunk(wanted, true)).await;
        let chunk = match read {
            Ok(Ok(Some(chunk))) => chunk.bytes,
            Ok(Ok(None)) => return Err(BlobError::Damaged),
            Ok(Err(error)) => {
                return Err(StreamError::Read(quinn::ReadExactError::ReadError(error)).into());
            }
            Err(_) => return Err(BlobError::Link(LinkError::Timeout)),
        };
        hasher.update(&chunk);
        left = left.saturating_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        sink.write(&chunk).await?;
    }
    if hasher.finalize().as_bytes() == hash.as_bytes() { Ok(()) } else { Err(BlobError::Damaged) }
}

async fn push(live: &Live, hash: BlobHash, source: BlobSource<'_>) -> Result<(), BlobError> {
    let (mut send, mut receive) = live.open(StreamKind::Blob).await?;
    stream::send(&mut send, &BlobRequest::Put { hash, bytes: source.len() }).await?;
    let answer = within(PROGRESS_WAIT, async { Ok(stream::expect(&mut receive).await?) }).await?;
    match answer {
        BlobResponse::Send => {}
        other => return stored(other),
    }
    match source {
        BlobSource::Memory(bytes) => {
            within(STORE_WAIT, async {
                Ok(send.write_all(bytes).await.map_err(StreamError::from)?)
            })
            .await?;
        }
        BlobSource::File(path, length) => copy_out(&mut send, path, length).await?,
    }
    // A stream that the member stopped has nothing left to finish.
    let _ = send.finish();
    stored(within(STORE_WAIT, async { Ok(stream::expect(&mut receive).await?) }).await?)
}

async fn copy_out(send: &mut SendStream, path: &Path, length: u64) -> Result<(), BlobError> {
    let file = tokio::fs::File::open(path).await.map_err(BlobError::io(path))?;
    let mut file = file.take(length);
    let mut buffer = vec![0_u8; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).await.map_err(BlobError::io(path))?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
            return Ok(());
        };
        within(PROGRESS_WAIT, async {
            Ok(send.write_all(chunk).await.map_err(StreamError::from)?)
        })
        .await?;
    }
}

fn stored(answer: BlobResponse) -> Result<(), BlobError> {
    match answer {
        BlobResponse::Stored => Ok(()),
        BlobResponse::Refused { code, detail } => Err(BlobError::Refused { code, detail }),
        BlobResponse::Found { .. }
        | BlobResponse::Absent
        | BlobResponse::Send
        | BlobResponse::Held(_) => Err(BlobError::Damaged),
    }
}
