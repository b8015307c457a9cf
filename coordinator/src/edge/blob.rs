//! Blobs by hash: media to edges, uploads from edges, and both between members.
//!
//! ```text
//!  Get  -> Found{bytes}, raw bytes        here, or fetched from another member first; cut short when
//!                                         they turn out not to be those of the hash
//!  Put  -> Send, raw bytes, Stored        from an edge: only once a majority of members holds it
//!  Has  -> Held[..]
//! ```
//! Read next: `crate::blobs` for where they are kept and how copies are made.

use std::sync::Arc;

use fairground_seam::link::{RecvStream, SendStream};
use fairground_types::limits::BLOB_MAX;
use fairground_types::{BlobHash, Code};
use fairground_wire::message::{BLOB_QUERY_MAX, BlobRequest, BlobResponse};

use crate::blobs::PutOutcome;
use crate::member::Member;
use crate::stream::{self, StreamError};

/// Serves one blob stream. Only what an edge puts is copied on: a member's copy is the copy.
pub(crate) async fn serve(
    member: &Arc<Member>,
    is_edge: bool,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), StreamError> {
    let request: BlobRequest = stream::expect(&mut receive).await?;
    match request {
        BlobRequest::Get { hash } => get(member, hash, is_edge, &mut send).await?,
        BlobRequest::Put { hash, bytes } => {
            put(member, hash, bytes, is_edge, (&mut send, &mut receive)).await?;
        }
        BlobRequest::Has { hashes } => {
            let hashes = hashes.get(..hashes.len().min(BLOB_QUERY_MAX)).unwrap_or_default();
            let held = member.blobs.renew(hashes).await;
            stream::send(&mut send, &BlobResponse::Held(held)).await?;
        }
    }
    // A peer that is gone needs no end of stream.
    let _ = send.finish();
    Ok(())
}

async fn get(
    member: &Member,
    hash: BlobHash,
    is_edge: bool,
    send: &mut SendStream,
) -> Result<(), StreamError> {
    let found = if is_edge {
        member.blobs.open_anywhere(hash).await
    } else {
        member.blobs.open_here(hash).await
    };
    let Some((file, bytes)) = found else {
        return stream::send(send, &BlobResponse::Absent).await;
    };
    stream::send(send, &BlobResponse::Found { bytes }).await?;
    member.blobs.send(hash, file, send).await
}

async fn put(
    member: &Member,
    hash: BlobHash,
    bytes: u64,
    is_edge: bool,
    (send, receive): (&mut SendStream, &mut RecvStream),
) -> Result<(), StreamError> {
    if bytes > u64::try_from(BLOB_MAX).unwrap_or(u64::MAX) {
        return refuse(send, Code::BodyTooLarge, "the blob is too large").await;
    }
    let is_here = member.blobs.renew(&[hash]).await == [true];
    if !is_here {
        stream::send(send, &BlobResponse::Send).await?;
        match member.blobs.take(hash, bytes, receive).await {
            PutOutcome::Stored => {}
            PutOutcome::Mismatch => {
                return refuse(send, Code::ChecksumMismatch, "other bytes than announced").await;
            }
            PutOutcome::Failed => {
                return refuse(send, Code::Internal, "the blob could not be stored").await;
            }
        }
    }
    if is_edge && !member.blobs.spread(hash).await {
        return refuse(send, Code::CoordinatorUnavailable, "no majority holds the blob").await;
    }
    stream::send(send, &BlobResponse::Stored).await
}

async fn refuse(
    send: &mut SendStream,
    code: Code,
    detail: &'static str,
) -> Result<(), StreamError> {
    stream::send(send, &BlobResponse::Refused { code, detail: detail.to_owned() }).await
}
