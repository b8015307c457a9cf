//! Uploads: made by a JSON request, filled by tus 1.0.
//!
//! ```text
//!   POST  /v1/media/uploadSession   -> 201 uploadUrl
//!   PATCH /v1/uploads/{id}          -> 204 Upload-Offset ... 204 Fairground-Asset with the last byte
//!                                      422 MEDIA_REJECTED when the clip is no clip
//!   HEAD, DELETE, OPTIONS           as tus says
//! ```
//! The work of a chunk goes on when its client hangs up: what came is kept. It must not touch files;
//! `crate::ingest` does.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use fairground_media::upload::{
    Chunk, HeaderLookup, Progress, TUS_VERSION, UploadState, head_headers, options_headers,
    patched_headers,
};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::{AssetId, Code, Millis, Timestamp, UploadId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::auth::{Intent, SignedIn};
use super::{problem_map, users};
use crate::edge::Edge;
use crate::ingest::{Lease, UploadEnd, UploadRecord, finish, new_record};
use crate::intake::derived_bits;

/// Tells which asset an upload has become.
const ASSET_HEADER: HeaderName = HeaderName::from_static("fairground-asset");
const NAME_BYTES_MAX: usize = 255;

/// A file that is to come.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UploadRequest {
    filename: String,
    size: u64,
    #[serde(default)]
    mime: Option<String>,
}

/// Where a clip is sent to.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadSession {
    upload_id: UploadId,
    /// For tus 1.0.
    upload_url: String,
    max_bytes: u64,
    expires_at: Timestamp,
}

/// Begins an upload (tus 1.0), for a maker.
#[utoipa::path(post, path = "/v1/media/uploadSession", operation_id = "createUpload",
    tag = "media", params(IdempotencyKeyHeader), request_body = UploadRequest,
    responses((status = 201, description = "Where the clip is sent to.", body = UploadSession)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED", "LIMIT_REACHED", "UPLOAD_TOO_LARGE",
        "FEATURE_DISABLED", "NOT_FOUND"]))))]
pub(crate) async fn create(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<UploadRequest>,
) -> Result<(StatusCode, Json<UploadSession>), Problem> {
    for (field, text) in [("filename", Some(&body.filename)), ("mime", body.mime.as_ref())] {
        let is_plain =
            |text: &String| text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control);
        if text.is_some_and(|text| !is_plain(text)) {
            return Err(Problem::invalid(field, "is too long or holds control characters"));
        }
    }
    if !users::is_maker(&edge, &who).await? {
        return Err(Problem::new(Code::CapabilityRequired, "only makers upload clips"));
    }
    let command = intent.command(&who, "upload", "");
    let id = UploadId::from_bits(derived_bits("fairground 2026 upload id v1", &command));
    let asset = AssetId::from_bits(derived_bits("fairground 2026 asset id v1", &command));
    let known = edge.uploads.load(id).map_err(|error| Problem::internal(&error))?;
    let record = match known {
        Some(known) if known.state.length != body.size => {
            let detail = "the Idempotency-Key was used for a file of another size";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        Some(known) => known,
        None => {
            let expires_at = edge.time.now().plus(edge.uploads.policy.life);
            let record = new_record((id, asset), who.user, |upload| UploadState {
                upload,
                length: body.size,
                offset: 0,
                expires_at,
                file_name: Some(body.filename),
                file_type: body.mime,
            });
            let created = edge.uploads.create(record).await;
            let created = created.map_err(|error| Problem::internal(&error))?;
            created.map_err(|refusal| {
                problem_map::not_created(refusal, edge.uploads.policy.bytes_max)
            })?
        }
    };
    let answer = UploadSession {
        upload_id: id,
        upload_url: format!("{}/v1/uploads/{id}", edge.public_url),
        max_bytes: edge.uploads.policy.bytes_max,
        expires_at: record.state.expires_at,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// A problem of a tus request carries the version too.
fn tus_problem(problem: Problem) -> Response {
    let mut response = problem.into_response();
    let version = HeaderValue::from_static(TUS_VERSION);
    response.headers_mut().insert("tus-resumable", version);
    response
}

fn with_headers(
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    record: Option<&UploadRecord>,
) -> Response {
    let mut response = status.into_response();
    let all = response.headers_mut();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            all.insert(name, value);
        }
    }
    let asset = record.filter(|record| record.end == Some(UploadEnd::Registered));
    if let Some(asset) = asset.and_then(|row| HeaderValue::from_str(&row.asset.to_string()).ok()) {
        all.insert(ASSET_HEADER, asset);
    }
    response
}

fn lookup(headers: &HeaderMap) -> impl Fn(&str) -> Option<String> + '_ {
    |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn own(edge: &Edge, who: &SignedIn, id: UploadId) -> Result<UploadRecord, Problem> {
    let known = edge.uploads.load(id).map_err(|error| Problem::internal(&error))?;
    // What is somebody else's is not there.
    known
        .filter(|record| record.owner == who.user)
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such upload here"))
}

/// Tells how much of an upload has come (tus 1.0).
#[utoipa::path(head, path = "/v1/uploads/{upload}", operation_id = "getUploadOffset",
    tag = "media", params(("upload" = UploadId, Path), ("Tus-Resumable" = String, Header)),
    responses((status = 200, description = "`Upload-Offset`; `Fairground-Asset` once it is a clip.")),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["PRECONDITION_FAILED", "UPLOAD_EXPIRED"]))))]
pub(crate) async fn head(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(id): ApiPath<UploadId>,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        let record = own(&edge, &who, id)?;
        let find = lookup(&headers);
        let find: &HeaderLookup<'_> = &find;
        let accepted = record.state.accept_plain(find, edge.time.now());
        accepted.map_err(|refusal| problem_map::tus(&refusal))?;
        Ok(record)
    };
    match asked() {
        Ok(record) => with_headers(StatusCode::OK, head_headers(&record.state), Some(&record)),
        Err(problem) => tus_problem(problem),
    }
}

/// Tells what this edge knows of tus.
#[utoipa::path(options, path = "/v1/uploads/{upload}", operation_id = "getUploadOptions",
    tag = "media", params(("upload" = UploadId, Path)),
    responses((status = 204, description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`.")))]
pub(crate) async fn options(
    State(edge): State<Arc<Edge>>,
    ApiPath(_): ApiPath<UploadId>,
) -> Response {
    with_headers(StatusCode::NO_CONTENT, options_headers(&edge.uploads.policy), None)
}

/// Gives an upload up (tus 1.0).
#[utoipa::path(delete, path = "/v1/uploads/{upload}", operation_id = "deleteUpload",
    tag = "media", params(("upload" = UploadId, Path), ("Tus-Resumable" = String, Header)),
    responses((status = 204, description = "It is gone.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["PRECONDITION_FAILED", "UPLOAD_EXPIRED", "VERSION_CONFLICT"]))))]
pub(crate) async fn terminate(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(id): ApiPath<UploadId>,
    headers: HeaderMap,
) -> Response {
    let terminated = async {
        let record = own(&edge, &who, id)?;
        {
            let find = lookup(&headers);
            let find: &HeaderLookup<'_> = &find;
            let accepted = record.state.accept_plain(find, edge.time.now());
            accepted.map_err(|refusal| problem_map::tus(&refusal))?;
        }
        let _lease = edge.uploads.lease(id).ok_or_else(being_written)?;
        edge.uploads.remove(id).await.map_err(|error| Problem::internal(&error))
    };
    match terminated.await {
        Ok(()) => {
            let version = vec![("Tus-Resumable", TUS_VERSION.to_owned())];
            with_headers(StatusCode::NO_CONTENT, version, None)
        }
        Err(problem) => tus_problem(problem),
    }
}

fn being_written() -> Problem {
    Problem::new(Code::VersionConflict, "another request writes this upload now")
        .with_retry_after(Millis::from_secs(1))
}

/// Sends the next bytes (tus 1.0).
#[utoipa::path(patch, path = "/v1/uploads/{upload}", operation_id = "sendUploadBytes",
    tag = "media",
    params(("upload" = UploadId, Path), ("Tus-Resumable" = String, Header),
        ("Upload-Offset" = u64, Header), ("Upload-Checksum" = Option<String>, Header)),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204,
        description = "`Upload-Offset`; `Fairground-Asset` when the last byte made it a clip.")),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["PRECONDITION_FAILED", "UPLOAD_EXPIRED", "VERSION_CONFLICT",
        "UPLOAD_OFFSET_MISMATCH", "UPLOAD_TOO_LARGE", "CHECKSUM_MISMATCH", "UPLOAD_INCOMPLETE",
        "MEDIA_REJECTED", "CAPABILITY_REQUIRED", "LIMIT_REACHED"]))))]
pub(crate) async fn append(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(id): ApiPath<UploadId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match begin(&edge, &who, id, &headers) {
        Ok((lease, record, chunk)) => {
            let (done, answer) = oneshot::channel();
            let worker = Arc::clone(&edge);
            edge.tasks.spawn_one("upload", async move {
                let answered = take(&worker, lease, record, chunk, body).await;
                // A client that hung up asks again with HEAD.
                let _ = done.send(answered);
            });
            match answer.await {
                Ok(Ok(record)) => {
                    let headers = patched_headers(&record.state);
                    with_headers(StatusCode::NO_CONTENT, headers, Some(&record))
                }
                Ok(Err(problem)) => tus_problem(problem),
                Err(_) => tus_problem(Problem::new(Code::Internal, "the upload was interrupted")),
            }
        }
        Err(problem) => tus_problem(problem),
    }
}

fn begin(
    edge: &Edge,
    who: &SignedIn,
    id: UploadId,
    headers: &HeaderMap,
) -> Result<(Lease, UploadRecord, Chunk), Problem> {
    // The right to write first: the offset must not move between reading and writing it.
    own(edge, who, id)?;
    let lease = edge.uploads.lease(id).ok_or_else(being_written)?;
    let record = own(edge, who, id)?;
    let find = lookup(headers);
    let find: &HeaderLookup<'_> = &find;
    let chunk = record.state.accept(find, edge.time.now());
    let chunk = chunk.map_err(|refusal| problem_map::tus(&refusal))?;
    Ok((lease, record, chunk))
}

async fn take(
    edge: &Arc<Edge>,
    lease: Lease,
    record: UploadRecord,
    chunk: Chunk,
    body: Body,
) -> Result<UploadRecord, Problem> {
    let (mut record, progress) = if record.end.is_some() {
        // Its bytes are gone already; the answer is the one it got.
        (record, Progress::Complete)
    } else {
        let written = edge.uploads.write(&lease, record, chunk, body.into_data_stream()).await;
        written.map_err(|error| problem_map::not_written(&error))?
    };
    if progress == Progress::Complete {
        let finished = finish(edge, &lease, record.clone()).await;
        finished.map_err(|error| problem_map::not_finished(&error, edge.time.now()))?;
        record.end = Some(UploadEnd::Registered);
    }
    Ok(record)
}
