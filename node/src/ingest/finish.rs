//! The end of an upload: hash, probe, hand over to the cluster, register.
//!
//! Every step may be repeated: the blob has its hash for a name, the command its identity. It must
//! not refuse a clip for a fault of ours.

use std::path::PathBuf;
use std::sync::Arc;

use fairground_media::MediaError;
use fairground_media::probe::{ProbePolicy, SourceFacts, probe};
use fairground_types::command::{Actor, Command, Envelope, MediaCommand, RegisterAsset};
use fairground_types::{AssetId, BlobHash, CommandId, Rejection, Verdict};
use fairground_wire::message::{ForwardRequest, ForwardResponse};

use super::{Lease, UploadEnd, UploadRecord};
use crate::edge::Edge;
use crate::error::Error;
use crate::link::blob::{BlobError, BlobSource};
use crate::link::forward::CallError;
use crate::metrics;

/// Why a complete upload is no asset yet, or never.
#[derive(Debug)]
pub(crate) enum FinishError {
    /// The clip is refused for good.
    Rejected {
        /// Stable machine reason.
        reason: String,
        /// One sentence for people.
        detail: String,
    },
    /// The market refuses the asset: its maker may not have one.
    Market(Rejection),
    /// No quorum now; it is tried again.
    Call(CallError),
    /// The blob did not reach a quorum; it is tried again.
    Blob(BlobError),
    /// A fault of this edge.
    Failed(Error),
}

/// Makes an asset of a complete upload.
pub(crate) async fn finish(
    edge: &Arc<Edge>,
    _lease: &Lease,
    mut record: UploadRecord,
) -> Result<AssetId, FinishError> {
    match &record.end {
        Some(UploadEnd::Registered) => return Ok(record.asset),
        Some(UploadEnd::Rejected { reason, detail }) => {
            return Err(FinishError::Rejected { reason: reason.clone(), detail: detail.clone() });
        }
        None => {}
    }
    let path = edge.uploads.path(record.state.upload);
    let hash = match edge.uploads.take_hash(&record) {
        Some(hash) => BlobHash::from_bytes(*hash.as_bytes()),
        None => hash_file(path.clone()).await.map_err(FinishError::Failed)?,
    };
    let facts = match look_into(edge, path.clone()).await {
        Ok(facts) => facts,
        Err(MediaError::Rejected(rejection)) => {
            let (reason, detail) = (rejection.reason.to_owned(), rejection.detail);
            reject(edge, record, &reason, &detail).await.map_err(FinishError::Failed)?;
            return Err(FinishError::Rejected { reason, detail });
        }
        Err(error) => return Err(FinishError::Failed(error.into())),
    };
    let source = BlobSource::File(&path, record.state.length);
    edge.links.store(hash, source).await.map_err(FinishError::Blob)?;
    register(edge, &record, hash, &facts).await?;
    record.end = Some(UploadEnd::Registered);
    let saved = edge.uploads.save(&record).await;
    saved.map_err(|error| FinishError::Failed(error.into()))?;
    edge.uploads.remove_file(record.state.upload).await;
    metrics::upload_ended("registered");
    tracing::info!(asset_id = %record.asset, bytes = record.state.length, "clip registered");
    edge.work.wake();
    Ok(record.asset)
}

async fn hash_file(path: PathBuf) -> Result<BlobHash, Error> {
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        let file = std::fs::File::open(&path).map_err(Error::file(&path))?;
        hasher.update_reader(file).map_err(Error::file(&path))?;
        Ok(BlobHash::from_bytes(*hasher.finalize().as_bytes()))
    });
    hashed.await.unwrap_or(Err(Error::Vital))
}

async fn look_into(edge: &Edge, path: PathBuf) -> Result<SourceFacts, MediaError> {
    let Some(tools) = edge.uploads.tools.clone() else {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(MediaError::ToolMissing { tool: "ffprobe", source });
    };
    let probed = tokio::task::spawn_blocking(move || probe(&path, &tools, &ProbePolicy::default()));
    probed.await.unwrap_or_else(|_| Err(MediaError::Jail("the probe ended early".to_owned())))
}

async fn reject(
    edge: &Edge,
    mut record: UploadRecord,
    reason: &str,
    detail: &str,
) -> Result<(), Error> {
    record.end = Some(UploadEnd::Rejected { reason: reason.to_owned(), detail: detail.to_owned() });
    edge.uploads.save(&record).await?;
    edge.uploads.remove_file(record.state.upload).await;
    metrics::upload_ended("rejected");
    Ok(())
}

async fn register(
    edge: &Edge,
    record: &UploadRecord,
    source: BlobHash,
    facts: &SourceFacts,
) -> Result<(), FinishError> {
    let size = facts.display_size();
    let upload = record.state.upload.to_string();
    let envelope = Envelope {
        id: CommandId::derive(record.owner, &upload, "register-asset", &record.asset.to_string()),
        actor: Actor::User(record.owner),
        command: Command::Media(MediaCommand::RegisterAsset(RegisterAsset {
            asset: record.asset,
            source,
            source_bytes: record.state.length,
            duration: facts.duration,
            width: size.width,
            height: size.height,
        })),
    };
    let request = ForwardRequest::Command(Box::new(envelope));
    let rejection = match edge.links.forward(&request).await.map_err(FinishError::Call)? {
        ForwardResponse::Judged(judged) => match judged.verdict {
            Verdict::Accepted(_) => return Ok(()),
            Verdict::Rejected(rejection) => rejection,
        },
        ForwardResponse::Rejected(rejection) => rejection,
        ForwardResponse::Json(_)
        | ForwardResponse::Tokens(_)
        | ForwardResponse::Unavailable { .. } => {
            return Err(FinishError::Call(CallError::Timeout));
        }
    };
    // The log's word on this command stays; the bytes are of no use any more.
    let reason = rejection.code.as_str().to_owned();
    reject(edge, record.clone(), &reason, &rejection.detail).await.map_err(FinishError::Failed)?;
    Err(FinishError::Market(rejection))
}
