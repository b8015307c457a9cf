//! Notices of the account: the list, what was read, preferences, devices for push messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use fairground_market::{NoticeList, NoticeRow, PreferenceRow, PushDeviceList};
use fairground_runtime::cursor::Paging;
use fairground_runtime::openapi::{IdempotencyKeyHeader, IfMatchHeader};
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_runtime::version::{self, IfMatch};
use fairground_types::command::{Command, NoticeCommand, NoticePreferences, PushPlatform};
use fairground_types::{Millis, NoticeChannel, NoticeId, NoticeKind, PushDeviceId};
use fairground_wire::message::{ForwardRequest, PrivateText, ReadRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

const CURSOR_LIFE: Millis = Millis::from_hours(1);
const LIST: &str = "notices";

/// Which notices.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NoticeQuery {
    /// Rows of a page.
    limit: Option<usize>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Only what was not read.
    #[serde(default)]
    unread_only: bool,
    /// Only this kind.
    kind: Option<NoticeKind>,
}

/// A page of notices, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoticePage {
    notices: Vec<NoticeRow>,
    /// How many are unread, of all.
    unread: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

async fn list(edge: &Edge, who: &SignedIn) -> Result<NoticeList, Problem> {
    let read = ReadRequest::Notices { user: who.user };
    call::typed(edge, &ForwardRequest::Read(read)).await
}

/// Lists own notices, newest first.
#[utoipa::path(get, path = "/v1/notifications", operation_id = "listNotices", tag = "notifications",
    params(NoticeQuery),
    responses((status = 200, description = "A page of notices.", body = NoticePage)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["CURSOR_EXPIRED"]))))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiQuery(query): ApiQuery<NoticeQuery>,
) -> Result<Json<NoticePage>, Problem> {
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let now = edge.time.now();
    let after: Option<NoticeId> = paging.position(&edge.cursors, LIST, now)?;
    let all = list(&edge, &who).await?;
    let mut rows: Vec<NoticeRow> = all
        .notices
        .into_iter()
        .filter(|row| after.is_none_or(|after| row.notice_id < after))
        .filter(|row| !query.unread_only || row.read_at.is_none())
        .filter(|row| query.kind.is_none_or(|kind| row.kind == kind))
        .collect();
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows
        .last()
        .filter(|_| has_more)
        .map(|last| edge.cursors.seal(LIST, &last.notice_id, (now, CURSOR_LIFE)));
    Ok(Json(NoticePage { notices: rows, unread: all.unread, next_cursor }))
}

/// How many notices are unread.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct UnreadCount {
    unread: u32,
}

/// Counts unread notices.
#[utoipa::path(get, path = "/v1/notifications/unread-count", operation_id = "countUnreadNotices",
    tag = "notifications",
    responses((status = 200, description = "The count.", body = UnreadCount)),
    security(("bearer" = [])))]
pub(crate) async fn unread(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<UnreadCount>, Problem> {
    Ok(Json(UnreadCount { unread: list(&edge, &who).await?.unread }))
}

/// Marks a notice as read.
#[utoipa::path(post, path = "/v1/notifications/{notice}/read", operation_id = "readNotice",
    tag = "notifications", params(("notice" = NoticeId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "How many are unread now.", body = UnreadCount)),
    security(("bearer" = [])))]
pub(crate) async fn read(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(notice): ApiPath<NoticeId>,
) -> Result<Json<UnreadCount>, Problem> {
    let id = intent.command(&who, "read-notice", &notice.to_string());
    call::command(&edge, &who, id, Command::Notice(NoticeCommand::ReadNotice { notice })).await?;
    Ok(Json(UnreadCount { unread: list(&edge, &who).await?.unread }))
}

/// Marks every notice as read.
#[utoipa::path(post, path = "/v1/notifications/mark-all-read", operation_id = "readAllNotices",
    tag = "notifications", params(IdempotencyKeyHeader),
    responses((status = 200, description = "How many are unread now.", body = UnreadCount)),
    security(("bearer" = [])))]
pub(crate) async fn read_all(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
) -> Result<Json<UnreadCount>, Problem> {
    let id = intent.command(&who, "read-all-notices", &who.user.to_string());
    call::command(&edge, &who, id, Command::Notice(NoticeCommand::ReadAllNotices)).await?;
    Ok(Json(UnreadCount { unread: list(&edge, &who).await?.unread }))
}

/// A kind of notice and how it travels.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct NoticeKindRow {
    kind: NoticeKind,
    channels: Vec<NoticeChannel>,
    /// Cannot be switched off.
    critical: bool,
}

/// Every kind of notice.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct NoticeKinds {
    kinds: Vec<NoticeKindRow>,
}

/// Lists the kinds of notices, for a page of preferences.
#[utoipa::path(get, path = "/v1/notifications/kinds", operation_id = "listNoticeKinds",
    tag = "notifications",
    responses((status = 200, description = "The kinds.", body = NoticeKinds)),
    security((), ("bearer" = [])))]
pub(crate) async fn kinds() -> Json<NoticeKinds> {
    let row = |kind: &NoticeKind| NoticeKindRow {
        kind: *kind,
        channels: NoticeChannel::ALL
            .into_iter()
            .filter(|channel| kind.route().takes(*channel))
            .collect(),
        critical: kind.is_critical(),
    };
    Json(NoticeKinds { kinds: NoticeKind::ALL.iter().map(row).collect() })
}

type Tagged = ([(header::HeaderName, HeaderValue); 1], Json<PreferenceRow>);

async fn kept(edge: &Edge, who: &SignedIn) -> Result<Tagged, Problem> {
    let read = ReadRequest::NoticePreferences { user: who.user };
    let row: PreferenceRow = call::typed(edge, &ForwardRequest::Read(read)).await?;
    Ok(([(header::ETAG, version::tag(row.version))], Json(row)))
}

/// Shows what the account wants to be told.
#[utoipa::path(get, path = "/v1/users/me/notification-preferences",
    operation_id = "getNoticePreferences", tag = "notifications",
    responses((status = 200, description = "The preferences.", body = PreferenceRow)),
    security(("bearer" = [])))]
pub(crate) async fn preferences(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<impl IntoResponse, Problem> {
    kept(&edge, &who).await
}

/// New preferences.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PreferenceChange {
    /// The version that was changed, where `If-Match` does not say it.
    #[serde(default)]
    base_version: Option<u64>,
    preferences: NoticePreferences,
}

/// Sets what the account wants to be told, whole.
#[utoipa::path(put, path = "/v1/users/me/notification-preferences",
    operation_id = "setNoticePreferences", tag = "notifications",
    params(IdempotencyKeyHeader, IfMatchHeader), request_body = PreferenceChange,
    responses((status = 200, description = "The preferences now.", body = PreferenceRow)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CRITICAL_NOT_DISABLABLE", "VERSION_CONFLICT"]))))]
pub(crate) async fn set_preferences(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    seen: IfMatch,
    ApiJson(body): ApiJson<PreferenceChange>,
) -> Result<impl IntoResponse, Problem> {
    let base_version = seen.or("baseVersion", body.base_version)?;
    if let Some(hours) = &body.preferences.quiet_hours
        && !fairground_runtime::zone::is_known(hours.zone.as_str())
    {
        return Err(Problem::invalid("preferences.quietHours.zone", "no such time zone"));
    }
    let id = intent.command(&who, "notice-preferences", &who.user.to_string());
    let preferences = Box::new(body.preferences);
    let command = NoticeCommand::SetPreferences { preferences, base_version };
    call::command(&edge, &who, id, Command::Notice(command))
        .await
        .map_err(|problem| seen.explain(problem))?;
    kept(&edge, &who).await
}

/// Lists own devices that take push messages.
#[utoipa::path(get, path = "/v1/notifications/devices", operation_id = "listPushDevices",
    tag = "notifications",
    responses((status = 200, description = "The devices.", body = PushDeviceList)),
    security(("bearer" = [])))]
pub(crate) async fn devices(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::PushDevices { user: who.user }).await.map(Json)
}

/// A device for push messages.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PushDeviceRequest {
    /// As the service gave it.
    #[schema(min_length = 1, max_length = 4096)]
    token: String,
    platform: PushPlatform,
}

/// A device that takes push messages now.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushDeviceAdded {
    device_id: PushDeviceId,
}

/// Registers a device for push messages; the same token again is the same device.
#[utoipa::path(post, path = "/v1/notifications/devices", operation_id = "addPushDevice",
    tag = "notifications", params(IdempotencyKeyHeader), request_body = PushDeviceRequest,
    responses((status = 200, description = "The device.", body = PushDeviceAdded)),
    security(("bearer" = [])))]
pub(crate) async fn add_device(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(body): ApiJson<PushDeviceRequest>,
) -> Result<Json<PushDeviceAdded>, Problem> {
    let request = ForwardRequest::AddPushDevice {
        user: who.user,
        sign_in: who.sign_in,
        command: intent.command(&who, "add-push-device", &who.user.to_string()),
        platform: body.platform,
        token: PrivateText::new(body.token),
    };
    call::typed(&edge, &request).await.map(Json)
}

/// Takes a device off push messages.
#[utoipa::path(delete, path = "/v1/notifications/devices/{device}",
    operation_id = "removePushDevice", tag = "notifications",
    params(("device" = PushDeviceId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "It takes none any more.", body = PushDeviceList)),
    security(("bearer" = [])))]
pub(crate) async fn remove_device(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(device): ApiPath<PushDeviceId>,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "remove-push-device", &device.to_string());
    let command = Command::Notice(NoticeCommand::RemovePushDevice { device });
    call::command(&edge, &who, id, command).await?;
    call::read(&edge, ReadRequest::PushDevices { user: who.user }).await.map(Json)
}
