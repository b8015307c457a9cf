//! Pictures that show what is wrong with a piece.
//!
//! ```text
//!   POST /v1/orders/{order}/evidence           -> 201 image: its hash, which an issue then names
//!   GET  /v1/issues/{issue}/evidence/{image}   -> the picture, for the parties of the issue
//! ```
//! A picture is kept as it was sent, once it was decoded inside the jail; it leaves as a download of
//! its type, which no browser runs. It must not know what an issue says. Read next: `issues.rs`,
//! `crate::ingest::picture`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fairground_media::picture::PictureRules;
use fairground_media::sniff::picture;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiBytes, ApiPath, Problem};
use fairground_types::limits::EVIDENCE_BYTES_MAX;
use fairground_types::{BlobHash, Code, IssueId, Millis, OrderId};
use fairground_wire::message::ReadRequest;
use serde::Serialize;
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::{call, problem_map};
use crate::delivery::origin::OriginError;
use crate::edge::Edge;
use crate::link::blob::BlobSource;
use crate::link::chain;
use crate::link::forward::CallError;

const BUSY_WAIT: Millis = Millis::from_secs(1);

/// A picture that was kept.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvidenceKept {
    order_id: OrderId,
    /// What an issue names it by.
    image: BlobHash,
}

/// A picture is larger than other bodies.
pub(super) const fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(EVIDENCE_BYTES_MAX)
}

/// Keeps a picture (JPEG, PNG or WebP, 5 MiB at most) that shows what is wrong, for a party.
#[utoipa::path(post, path = "/v1/orders/{order}/evidence", operation_id = "uploadEvidence",
    tag = "issues", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "It is kept; an issue names it.", body = EvidenceKept)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["MEDIA_REJECTED", "FEATURE_DISABLED"]))))]
pub(crate) async fn add(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    _: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiBytes(bytes): ApiBytes,
) -> Result<(StatusCode, Json<EvidenceKept>), Problem> {
    super::avatar::require_picture(&bytes)?;
    call::read(&edge, ReadRequest::Order { user: who.user, order }).await?;
    let decoded = edge.pictures.decode(bytes.clone(), PictureRules::EVIDENCE).await;
    decoded.map_err(|error| problem_map::not_a_picture(&error))?;
    let image = BlobHash::of(&bytes);
    keep(&edge, image, &bytes).await?;
    Ok((StatusCode::CREATED, Json(EvidenceKept { order_id: order, image })))
}

/// Hands what an account sent to a majority of the members.
pub(super) async fn keep(edge: &Edge, hash: BlobHash, bytes: &Bytes) -> Result<(), Problem> {
    edge.links.store(hash, BlobSource::Memory(bytes)).await.map_err(|error| {
        tracing::warn!(error = %chain(&error), "a blob was not kept");
        problem_map::call(CallError::Unavailable { retry_after: BUSY_WAIT })
    })
}

/// The bytes of a picture.
pub(super) async fn fetch(edge: &Edge, image: BlobHash) -> Result<Bytes, Problem> {
    edge.delivery.origin.get(image).await.map_err(|error| match error {
        OriginError::Absent => Problem::from(Code::NotFound),
        OriginError::Unavailable | OriginError::NotAManifest => {
            problem_map::call(CallError::Unavailable { retry_after: BUSY_WAIT })
        }
    })
}

/// Shows a picture of an issue to its parties.
#[utoipa::path(get, path = "/v1/issues/{issue}/evidence/{image}", operation_id = "getEvidence",
    tag = "issues", params(("issue" = IssueId, Path), ("image" = BlobHash, Path)),
    responses((status = 200, description = "The picture.", content((Vec<u8> = "image/jpeg"),
        (Vec<u8> = "image/png"), (Vec<u8> = "image/webp")))),
    security(("bearer" = [])))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath((issue, image)): ApiPath<(IssueId, BlobHash)>,
) -> Result<Response, Problem> {
    let row = call::read(&edge, ReadRequest::Issue { user: who.user, issue }).await?;
    let name = Value::from(image.to_string());
    let shown = row.get("evidence").and_then(Value::as_array);
    if !shown.is_some_and(|shown| shown.iter().any(|one| one.get("image") == Some(&name))) {
        return Err(Problem::new(Code::NotFound, "the issue shows no such picture"));
    }
    let bytes = fetch(&edge, image).await?;
    let kind = picture(&bytes).ok_or_else(|| Problem::from(Code::NotFound))?;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "private, no-store"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ];
    Ok((headers, bytes).into_response())
}
