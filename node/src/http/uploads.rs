//! Uploads: made by a JSON request or by the client's own dialect, filled by that dialect.
//!
//! ```text
//!   POST  /v1/media/uploadSession   -> 201 uploadUrl                 JSON, by an Idempotency-Key
//!   POST  /v1/uploads               -> 201 Location, Upload-Offset   tus 1.0 or the IETF's draft
//!   PATCH /v1/uploads/{id}          -> 204 Upload-Offset ... 204 Fairground-Asset with the last byte
//!                                      422 MEDIA_REJECTED when the clip is no clip
//!   HEAD, DELETE, OPTIONS           as the dialects say
//! ```
//! `Tus-Resumable` or `Upload-Draft-Interop-Version` tells the dialect of a request; an upload that
//! was made in one may be filled in the other. The work of a chunk goes on when its client hangs
//! up: what came is kept, unless its client never learned the address. It must not touch files;
//! `crate::ingest` does, nor know what the dialects say; `fairground_media::upload` does.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use fairground_media::upload::{
    Chunk, Dialect, Headers, Interop, Progress, Standing, UploadRefusal, UploadState,
    options_headers,
};
use fairground_runtime::ids::uuid_v7_bits;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::{AssetId, Code, Millis, Timestamp, UploadId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::auth::{Intent, SignedIn};
use super::{problem_map, users};
use crate::edge::Edge;
use crate::ingest::{FinishError, Lease, UploadEnd, UploadRecord, WriteError, finish, new_record};
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
    /// For tus 1.0 and for the IETF's resumable uploads.
    upload_url: String,
    max_bytes: u64,
    expires_at: Timestamp,
}

/// Begins an upload, for a maker.
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
    refuse_others(&edge, &who).await?;
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
        upload_url: address(&edge, id),
        max_bytes: edge.uploads.policy.bytes_max,
        expires_at: record.state.expires_at,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn refuse_others(edge: &Edge, who: &SignedIn) -> Result<(), Problem> {
    if users::is_maker(edge, who).await? {
        return Ok(());
    }
    Err(Problem::new(Code::CapabilityRequired, "only makers upload clips"))
}

fn address(edge: &Edge, id: UploadId) -> String {
    format!("{}/v1/uploads/{id}", edge.public_url)
}

/// Why a request of an upload is not honoured.
enum Refused {
    /// The request itself.
    Request(UploadRefusal),
    /// Something else, or another time.
    Problem(Problem),
    /// The upload is over, and its clip is refused for good.
    Ended(Problem),
    /// All bytes are here; what is to be made of them is not done yet.
    Unfinished(Box<UploadRecord>, Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<UploadRefusal> for Refused {
    fn from(refusal: UploadRefusal) -> Self {
        Self::Request(refusal)
    }
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(refusal) => Self::Request(refusal),
            WriteError::Broken => Self::Problem(problem_map::broken()),
            WriteError::Failed(error) => Self::Problem(Problem::internal(&error)),
        }
    }
}

/// A request that speaks a dialect.
struct Spoken<'a> {
    edge: &'a Arc<Edge>,
    dialect: Dialect,
    headers: &'a HeaderMap,
}

impl<'a> Spoken<'a> {
    /// Finds the dialect out, or answers.
    fn new(edge: &'a Arc<Edge>, headers: &'a HeaderMap) -> Result<Self, Box<Response>> {
        let dialect = Dialect::of(&lookup(headers));
        dialect.map(|dialect| Self { edge, dialect, headers }).map_err(|refusal| {
            let newest = Self { edge, dialect: Dialect::Draft(Interop::NEWEST), headers };
            Box::new(newest.refuse(Refused::Request(refusal)))
        })
    }

    fn standing<'b>(&'b self, record: &'b UploadRecord) -> Standing<'b> {
        Standing {
            state: &record.state,
            is_ended: record.end.is_some(),
            policy: &self.edge.uploads.policy,
            now: self.edge.time.now(),
        }
    }

    /// A problem carries the words of the dialect too.
    fn refuse(&self, refused: Refused) -> Response {
        let (problem, refusal, is_ended) = match refused {
            Refused::Request(refusal) => {
                (problem_map::upload(self.dialect, &refusal), Some(refusal), false)
            }
            Refused::Problem(problem) | Refused::Unfinished(_, problem) => (problem, None, false),
            Refused::Ended(problem) => (problem, None, true),
        };
        let policy = &self.edge.uploads.policy;
        let headers = self.dialect.refused_headers(refusal.as_ref(), policy, is_ended);
        with_headers(problem.into_response(), headers, None)
    }

    fn answer(&self, answered: Result<Response, Refused>) -> Response {
        answered.unwrap_or_else(|refused| self.refuse(refused))
    }

    /// An upload that is asked about, or given up.
    fn plain(&self, who: &SignedIn, id: UploadId) -> Result<UploadRecord, Refused> {
        let record = own(self.edge, who, id)?;
        let now = self.edge.time.now();
        self.dialect.accept_plain(&record.state, &lookup(self.headers), now)?;
        Ok(record)
    }

    /// The right to write the next chunk. First of all the right: the offset must not move between
    /// reading and writing it.
    fn next_chunk(&self, who: &SignedIn, id: UploadId) -> Result<Writing, Refused> {
        own(self.edge, who, id)?;
        let lease = self.edge.uploads.lease(id).ok_or_else(being_written)?;
        let record = own(self.edge, who, id)?;
        let now = self.edge.time.now();
        let chunk = self.dialect.accept(&record.state, &lookup(self.headers), now)?;
        Ok(Writing { lease, record, chunk, is_new: false })
    }

    /// The state of a new upload, and its first chunk when a body came with it.
    fn judge_creation(&self, id: UploadId) -> Result<(UploadState, Option<Chunk>), Refused> {
        let (policy, now) = (&self.edge.uploads.policy, self.edge.time.now());
        Ok(self.dialect.create(&lookup(self.headers), policy, id, now)?)
    }

    async fn create(&self, who: &SignedIn, body: Body) -> Result<UploadRecord, Refused> {
        let now = self.edge.time.now();
        let id = UploadId::from_bits(uuid_v7_bits(now));
        let (state, chunk) = self.judge_creation(id)?;
        refuse_others(self.edge, who).await?;
        let asset = AssetId::from_bits(uuid_v7_bits(now));
        let uploads = &self.edge.uploads;
        let created = uploads.create(new_record((id, asset), who.user, |_| state)).await;
        let created = created.map_err(|error| Problem::internal(&error))?;
        let record = created
            .map_err(|refusal| problem_map::not_created(refusal, uploads.policy.bytes_max))?;
        let Some(chunk) = chunk else { return Ok(record) };
        let lease = uploads.lease(id).ok_or_else(being_written)?;
        let writing = Writing { lease, record, chunk, is_new: true };
        match write(self.edge, writing, body).await {
            // It is made and all of it is here; the edge goes on by itself.
            Err(Refused::Unfinished(record, _)) => Ok(*record),
            other => other,
        }
    }
}

/// A chunk that may be written.
struct Writing {
    lease: Lease,
    record: UploadRecord,
    chunk: Chunk,
    /// Whether the request made the upload too.
    is_new: bool,
}

fn with_headers(
    mut response: Response,
    headers: Headers,
    record: Option<&UploadRecord>,
) -> Response {
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

fn being_written() -> Problem {
    Problem::new(Code::VersionConflict, "another request writes this upload now")
        .with_retry_after(Millis::from_secs(1))
}

/// Begins an upload (tus 1.0, or the IETF's resumable uploads), for a maker.
///
/// tus says `Tus-Resumable`, `Upload-Length` and `Upload-Metadata`; the draft says
/// `Upload-Draft-Interop-Version` (5 to 8), `Upload-Complete` and `Upload-Length`. A body holds the
/// first bytes.
#[utoipa::path(post, path = "/v1/uploads", operation_id = "beginUpload", tag = "media",
    params(("Tus-Resumable" = Option<String>, Header), ("Upload-Length" = Option<u64>, Header),
        ("Upload-Metadata" = Option<String>, Header), ("Upload-Checksum" = Option<String>, Header),
        ("Upload-Draft-Interop-Version" = Option<u32>, Header),
        ("Upload-Complete" = Option<String>, Header)),
    request_body(content(("application/offset+octet-stream"), ("application/partial-upload")),
        description = "The first bytes, if any; in the draft of any media type."),
    responses((status = 201, description = "`Location` and `Upload-Offset`; `Fairground-Asset` when \
        the body was the whole clip.")),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["PRECONDITION_FAILED", "UPLOAD_TOO_LARGE", "CHECKSUM_MISMATCH",
        "UPLOAD_INCOMPLETE", "MEDIA_REJECTED", "CAPABILITY_REQUIRED", "LIMIT_REACHED",
        "VERSION_CONFLICT", "FEATURE_DISABLED", "NOT_FOUND"]))))]
pub(crate) async fn begin(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let spoken = match Spoken::new(&edge, &headers) {
        Ok(spoken) => spoken,
        Err(answer) => return *answer,
    };
    let created = spoken.create(&who, body).await.map(|record| {
        let location = address(&edge, record.state.upload);
        let headers = spoken.dialect.created_headers(&spoken.standing(&record), &location);
        with_headers(StatusCode::CREATED.into_response(), headers, Some(&record))
    });
    spoken.answer(created)
}

/// Tells what this edge knows of resumable uploads, before there is one.
#[utoipa::path(options, path = "/v1/uploads", operation_id = "getUploadLimits", tag = "media",
    responses((status = 204,
        description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Upload-Limit`.")))]
pub(crate) async fn limits(State(edge): State<Arc<Edge>>) -> Response {
    let headers = options_headers(&edge.uploads.policy);
    with_headers(StatusCode::NO_CONTENT.into_response(), headers, None)
}

/// Tells how much of an upload has come (tus 1.0, or the IETF's resumable uploads).
#[utoipa::path(head, path = "/v1/uploads/{upload}", operation_id = "getUploadOffset",
    tag = "media",
    params(("upload" = UploadId, Path), ("Tus-Resumable" = Option<String>, Header),
        ("Upload-Draft-Interop-Version" = Option<u32>, Header)),
    responses((status = 200, description = "`Upload-Offset`; `Fairground-Asset` once it is a clip.")),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["PRECONDITION_FAILED", "UPLOAD_EXPIRED"]))))]
pub(crate) async fn head(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(id): ApiPath<UploadId>,
    headers: HeaderMap,
) -> Response {
    let spoken = match Spoken::new(&edge, &headers) {
        Ok(spoken) => spoken,
        Err(answer) => return *answer,
    };
    spoken.answer(spoken.plain(&who, id).map(|record| {
        let headers = spoken.dialect.head_headers(&spoken.standing(&record));
        with_headers(StatusCode::OK.into_response(), headers, Some(&record))
    }))
}

/// Tells what this edge knows of resumable uploads.
#[utoipa::path(options, path = "/v1/uploads/{upload}", operation_id = "getUploadOptions",
    tag = "media", params(("upload" = UploadId, Path)),
    responses((status = 204,
        description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Upload-Limit`.")))]
pub(crate) async fn options(
    State(edge): State<Arc<Edge>>,
    ApiPath(_): ApiPath<UploadId>,
) -> Response {
    limits(State(edge)).await
}

/// Gives an upload up (tus 1.0, or the IETF's resumable uploads).
#[utoipa::path(delete, path = "/v1/uploads/{upload}", operation_id = "deleteUpload",
    tag = "media",
    params(("upload" = UploadId, Path), ("Tus-Resumable" = Option<String>, Header),
        ("Upload-Draft-Interop-Version" = Option<u32>, Header)),
    responses((status = 204, description = "It is gone.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["PRECONDITION_FAILED", "UPLOAD_EXPIRED", "VERSION_CONFLICT"]))))]
pub(crate) async fn terminate(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(id): ApiPath<UploadId>,
    headers: HeaderMap,
) -> Response {
    let spoken = match Spoken::new(&edge, &headers) {
        Ok(spoken) => spoken,
        Err(answer) => return *answer,
    };
    let terminated = async {
        spoken.plain(&who, id)?;
        let _lease = edge.uploads.lease(id).ok_or_else(being_written)?;
        edge.uploads.remove(id).await.map_err(|error| Problem::internal(&error))?;
        let gone = StatusCode::NO_CONTENT.into_response();
        Ok::<_, Refused>(with_headers(gone, spoken.dialect.gone_headers(), None))
    };
    spoken.answer(terminated.await)
}

/// Sends the next bytes (tus 1.0, or the IETF's resumable uploads).
#[utoipa::path(patch, path = "/v1/uploads/{upload}", operation_id = "sendUploadBytes",
    tag = "media",
    params(("upload" = UploadId, Path), ("Tus-Resumable" = Option<String>, Header),
        ("Upload-Offset" = u64, Header), ("Upload-Checksum" = Option<String>, Header),
        ("Upload-Draft-Interop-Version" = Option<u32>, Header),
        ("Upload-Complete" = Option<String>, Header), ("Upload-Length" = Option<u64>, Header)),
    request_body(content((Vec<u8> = "application/offset+octet-stream"),
        (Vec<u8> = "application/partial-upload"))),
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
    let spoken = match Spoken::new(&edge, &headers) {
        Ok(spoken) => spoken,
        Err(answer) => return *answer,
    };
    let appended = async {
        let writing = spoken.next_chunk(&who, id)?;
        let record = write(&edge, writing, body).await?;
        let headers = spoken.dialect.patched_headers(&spoken.standing(&record));
        let answer = StatusCode::NO_CONTENT.into_response();
        Ok::<_, Refused>(with_headers(answer, headers, Some(&record)))
    };
    spoken.answer(appended.await)
}

/// Takes a chunk in a task of its own: it goes on when its client hangs up.
async fn write(edge: &Arc<Edge>, writing: Writing, body: Body) -> Result<UploadRecord, Refused> {
    let (done, answer) = oneshot::channel();
    let worker = Arc::clone(edge);
    edge.tasks.spawn_one("upload", async move {
        let (id, is_new) = (writing.record.state.upload, writing.is_new);
        let Writing { lease, record, chunk, .. } = writing;
        let answered = take(&worker, &lease, record, chunk, body).await;
        let is_lost = matches!(&answered, Err(Refused::Request(_) | Refused::Problem(_)));
        if is_new
            && is_lost
            && let Err(error) = worker.uploads.remove(id).await
        {
            // Nobody knows its address; it would only expire.
            tracing::warn!(upload = %id, %error, "upload not removed");
        }
        drop(lease);
        // A client that hung up asks again with HEAD.
        let _ = done.send(answered);
    });
    let interrupted = |_| Problem::new(Code::Internal, "the upload was interrupted");
    answer.await.map_err(interrupted)?
}

async fn take(
    edge: &Arc<Edge>,
    lease: &Lease,
    record: UploadRecord,
    chunk: Chunk,
    body: Body,
) -> Result<UploadRecord, Refused> {
    let (mut record, progress) = if record.end.is_some() {
        // Its bytes are gone already; the answer is the one it got.
        (record, Progress::Complete)
    } else {
        edge.uploads.write(lease, record, chunk, body.into_data_stream()).await?
    };
    if progress == Progress::Partial {
        return Ok(record);
    }
    match finish(edge, lease, record.clone()).await {
        Ok(_) => {
            record.end = Some(UploadEnd::Registered);
            Ok(record)
        }
        Err(error) => {
            let problem = problem_map::not_finished(&error, edge.time.now());
            Err(match error {
                FinishError::Rejected { .. } | FinishError::Market(_) => Refused::Ended(problem),
                FinishError::Call(_) | FinishError::Blob(_) | FinishError::Failed(_) => {
                    Refused::Unfinished(Box::new(record), problem)
                }
            })
        }
    }
}
