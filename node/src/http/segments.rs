//! Playlists, headers, segments and stills below a playback token.
//!
//! ```text
//!   /p/{token}/{asset}/{revision}/{path}      /c/{asset}/{revision}/{path} with a header
//!   ETag: "<BLAKE3>"     If-None-Match -> 304     Range -> 206, 416     HEAD
//!   playlists: gzip, whole then                   segments: never compressed
//! ```
//! What cannot be had is 404 with `no-store`, never 503: players then try another edge at once. It
//! must not log the token. Read next: `crate::delivery`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response as HttpResponse, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fairground_media::path::PlayPath;
use fairground_media::token::Claims;
use fairground_runtime::counted::counted;
use fairground_runtime::problem::{ApiQuery, Problem};
use fairground_types::{AssetId, EdgeId, Timestamp};
use serde::Deserialize;

use super::problem_map;
use crate::delivery::meter::Tab;
use crate::delivery::range::{Part, names_tag, part};
use crate::delivery::rendered::Tagged;
use crate::delivery::steering::{self, MIME_STEERING, SteeringManifest, Viewer};
use crate::delivery::streams::is_stream;
use crate::delivery::{Delivery, DeliveryError, Found};
use crate::edge::Edge;

/// Where a Common Access Token stands (CTA-5007).
const CAT_HEADER: &str = "cta-common-access-token";

/// Which way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Under a playback's token: one viewer, who may be steered.
    Playback,
    /// Under a Common Access Token: a CDN, which is one address for many viewers.
    Cdn,
}

/// Playlists, headers, segments and posters of one playback.
#[utoipa::path(get, path = "/p/{token}/{asset}/{revision}/{*path}", operation_id = "getMedia",
    tag = "media",
    params(("token" = String, Path), ("asset" = AssetId, Path), ("revision" = u32, Path),
        ("path" = String, Path, description = "Below the playback's address; may hold slashes.")),
    responses(
        (status = 200, description = "The file.", content(
                (Vec<u8> = "application/vnd.apple.mpegurl"),
                (Vec<u8> = "video/mp4"),
                (Vec<u8> = "audio/mp4"),
                (Vec<u8> = "image/avif"),
                (Vec<u8> = "image/jpeg"),
                (Vec<u8> = "text/vtt"),
            )),
        (status = 206, description = "The range asked for.", content(
                (Vec<u8> = "application/vnd.apple.mpegurl"),
                (Vec<u8> = "video/mp4"),
                (Vec<u8> = "audio/mp4"),
                (Vec<u8> = "image/avif"),
                (Vec<u8> = "image/jpeg"),
                (Vec<u8> = "text/vtt"),
            )),
        (status = 304, description = "The client has it."),
        (status = 416, description = "There is no such range."),
    ),
    extensions(("x-codes" = json!(["TOKEN_EXPIRED", "PLAYBACK_DENIED", "STREAM_LIMIT"]))))]
pub(crate) async fn serve(
    State(edge): State<Arc<Edge>>,
    Path((token, asset, revision, path)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    edge.leaving.note_media(edge.time.monotonic());
    match find(&edge, &token, (&asset, &revision), &path, edge.time.now()).await {
        Ok((found, tab)) => answer(&found, &headers, Door::Playback, move |bytes| tab.sent(bytes)),
        Err(error) => problem_map::not_delivered(&error).into_response(),
    }
}

/// The same under a Common Access Token.
///
/// For a CDN in front of the edges, whose tokens an issuer of the operator's makes. The token is in the
/// header `CTA-Common-Access-Token`; its `catu` claim must have rules for the path. Clips that the public
/// may see are served, and no others. There is no steering here: a CDN is one address.
#[utoipa::path(get, path = "/c/{asset}/{revision}/{*path}", operation_id = "getMediaByAccessToken",
    tag = "media",
    params(("asset" = AssetId, Path), ("revision" = u32, Path),
        ("path" = String, Path, description = "As below the address of a playback."),
        ("CTA-Common-Access-Token" = String, Header, description = "The token (CTA-5007), base64url.")),
    responses(
        (status = 200, description = "The file.", content(
                (Vec<u8> = "application/vnd.apple.mpegurl"),
                (Vec<u8> = "video/mp4"),
                (Vec<u8> = "audio/mp4"),
                (Vec<u8> = "image/avif"),
                (Vec<u8> = "image/jpeg"),
                (Vec<u8> = "text/vtt"),
            )),
        (status = 206, description = "The range asked for.", content(
                (Vec<u8> = "application/vnd.apple.mpegurl"),
                (Vec<u8> = "video/mp4"),
                (Vec<u8> = "audio/mp4"),
                (Vec<u8> = "image/avif"),
                (Vec<u8> = "image/jpeg"),
                (Vec<u8> = "text/vtt"),
            )),
        (status = 304, description = "The client has it."),
        (status = 416, description = "There is no such range."),
    ),
    extensions(("x-codes" = json!(["TOKEN_EXPIRED", "PLAYBACK_DENIED"]))))]
pub(crate) async fn serve_by_cat(
    State(edge): State<Arc<Edge>>,
    Path((asset, revision, path)): Path<(String, String, String)>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
) -> Response {
    edge.leaving.note_media(edge.time.monotonic());
    let token = headers.get(CAT_HEADER).and_then(|value| value.to_str().ok());
    let request = (token.unwrap_or_default(), method.as_str(), uri.path());
    match find_by_cat(&edge, request, (&asset, &revision), &path).await {
        Ok((found, tab)) => answer(&found, &headers, Door::Cdn, move |bytes| tab.sent(bytes)),
        Err(error) => problem_map::not_delivered(&error).into_response(),
    }
}

async fn find_by_cat(
    edge: &Edge,
    (token, method, uri): (&str, &str, &str),
    (asset, revision): (&str, &str),
    path: &str,
) -> Result<(Found, Tab), DeliveryError> {
    let asset_id: AssetId = asset.parse().map_err(|_| DeliveryError::NotFound)?;
    let now = edge.time.now();
    let claims = edge.delivery.verify_cat(token, (method, uri), asset_id, now)?;
    // No account stands behind the token: nobody's draft is shown to it. This looks through every
    // story, which is for the CDN's misses, not for each viewer.
    if !edge.view.read(|view| view.is_listed_asset(asset_id)) {
        return Err(DeliveryError::NotFound);
    }
    // A CDN asks for many viewers: nothing is counted by playback.
    let tab = edge.delivery.meter.open_tab(now);
    find_under(edge, (&claims, tab, Door::Cdn), (asset, revision), path, now).await
}

async fn find(
    edge: &Edge,
    token: &str,
    (asset, revision): (&str, &str),
    path: &str,
    now: Timestamp,
) -> Result<(Found, Tab), DeliveryError> {
    let claims = edge.delivery.verify(&edge.view, token, now)?;
    let tab = edge.delivery.meter.tab(claims.playback, now);
    find_under(edge, (&claims, tab, Door::Playback), (asset, revision), path, now).await
}

async fn find_under(
    edge: &Edge,
    (claims, tab, door): (&Claims, Tab, Door),
    (asset, revision): (&str, &str),
    path: &str,
    now: Timestamp,
) -> Result<(Found, Tab), DeliveryError> {
    let asset: AssetId = asset.parse().map_err(|_| DeliveryError::NotFound)?;
    let revision: u32 = revision.parse().map_err(|_| DeliveryError::NotFound)?;
    let path = PlayPath::parse(path).ok_or(DeliveryError::NotFound)?;
    // A master playlist begins a playback; who plays already goes on.
    let begins = matches!(path, PlayPath::Master(_));
    if begins && !edge.view.is_fresh(edge.time.monotonic()) {
        return Err(DeliveryError::Stale);
    }
    edge.delivery.meter.permit(begins, now)?;
    let takes_seat = is_stream(&path);
    let steers = door == Door::Playback;
    let asked = (asset, revision, steers);
    let found = edge.delivery.find(&edge.view, (claims, &tab), asked, path).await?;
    // Last: what was not had costs no seat.
    if takes_seat && !edge.delivery.streams.admit(claims, edge.time.monotonic()) {
        return Err(DeliveryError::StreamLimit);
    }
    Ok((found, tab))
}

/// What a player says when it asks where to go (RFC 8216bis section 7.1). It also says what it gets
/// per second, which is not looked at: an edge knows its own load.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SteeringQuery {
    /// The pathway that it plays from; some players put it in quotes.
    #[serde(rename = "_HLS_pathway")]
    pathway: Option<String>,
}

/// Where a playback goes on: the steering manifest.
///
/// `pathway` is the one that the playlist lists, wherever the player is by now.
#[utoipa::path(get, path = "/p/{token}/{asset}/{revision}/steering/{pathway}",
    operation_id = "getSteering", tag = "media",
    params(("token" = String, Path), ("asset" = AssetId, Path), ("revision" = u32, Path),
        ("pathway" = EdgeId, Path), SteeringQuery),
    responses((status = 200, description = "Edges in the order in which they are to be used.",
        body = SteeringManifest, content_type = "application/vnd.apple.steering-list")),
    extensions(("x-codes" = json!(["TOKEN_EXPIRED", "PLAYBACK_DENIED"]))))]
pub(crate) async fn steer(
    State(edge): State<Arc<Edge>>,
    Path((token, asset, revision, pathway)): Path<(String, String, String, String)>,
    ApiQuery(query): ApiQuery<SteeringQuery>,
) -> Result<Response, Problem> {
    let place = (asset.as_str(), revision.as_str(), pathway.as_str());
    let manifest = steered(&edge, &token, place, query.pathway.as_deref())
        .map_err(|error| problem_map::not_delivered(&error))?;
    let headers = [(header::CONTENT_TYPE, MIME_STEERING), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(manifest)).into_response())
}

fn steered(
    edge: &Edge,
    token: &str,
    (asset, revision, pathway): (&str, &str, &str),
    now_at: Option<&str>,
) -> Result<SteeringManifest, DeliveryError> {
    let claims = edge.delivery.verify(&edge.view, token, edge.time.now())?;
    let asset: AssetId = asset.parse().map_err(|_| DeliveryError::NotFound)?;
    let revision: u32 = revision.parse().map_err(|_| DeliveryError::NotFound)?;
    let base: EdgeId = pathway.parse().map_err(|_| DeliveryError::NotFound)?;
    Delivery::permit(&edge.view, &claims, (asset, revision))?;
    let now_at = now_at.and_then(|text| text.trim_matches('"').parse().ok());
    let current = now_at.unwrap_or_else(|| base.clone());
    let viewer = Viewer { base, current, playback: claims.playback };
    let rows = edge.directory.rows(edge.status());
    Ok(steering::manifest(&viewer, &edge.public_url, rows))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT_ENCODING).is_some_and(|accepted| {
        accepted.split(',').any(|coding| {
            let mut parts = coding.split(';');
            let is_gzip = parts.next().is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip"));
            is_gzip && !parts.any(|weight| matches!(weight.trim(), "q=0" | "q=0.0"))
        })
    })
}

/// The answer to a request for it; `tell` learns how many bytes of it the connection takes.
fn answer(
    found: &Found,
    headers: &HeaderMap,
    door: Door,
    tell: impl FnOnce(u64) + Send + Unpin + 'static,
) -> Response {
    let zipped = found.zipped.as_ref().filter(|_| accepts_gzip(headers));
    let Tagged { bytes, tag } = zipped.unwrap_or(&found.whole);
    let is_named = |header: &str| std::str::from_utf8(tag).is_ok_and(|tag| names_tag(header, tag));
    let mut response = if text(headers, header::IF_NONE_MATCH).is_some_and(is_named) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if zipped.is_some() {
        with_body(StatusCode::OK, counted(bytes.clone(), tell))
    } else {
        let if_range = text(headers, header::IF_RANGE);
        let is_current = if_range.is_none_or(|wanted| wanted.trim().as_bytes() == tag);
        let range = text(headers, header::RANGE).filter(|_| is_current);
        partial(bytes, part(range, bytes.len()), tell)
    };
    let all = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_maybe_shared(tag.clone()) {
        all.insert(header::ETAG, tag);
    }
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static(found.mime));
    all.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let caching = match (found.is_immutable, door) {
        (true, Door::Playback) => "private, max-age=31536000, immutable",
        // A takedown reaches a CDN within the minute: it asks again, by the tag.
        (true, Door::Cdn) => "public, max-age=31536000, s-maxage=60, immutable",
        (false, _) => "no-cache",
    };
    all.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if found.is_text {
        all.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if zipped.is_some() {
        all.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn with_body(status: StatusCode, body: Body) -> Response {
    let mut response = HttpResponse::new(body);
    *response.status_mut() = status;
    response
}

fn partial(body: &Bytes, part: Part, tell: impl FnOnce(u64) + Send + Unpin + 'static) -> Response {
    let length = body.len();
    let (status, bytes, range) = match part {
        Part::Whole => return with_body(StatusCode::OK, counted(body.clone(), tell)),
        Part::Bytes { first, last } => (
            StatusCode::PARTIAL_CONTENT,
            body.slice(first..last.saturating_add(1).min(length)),
            format!("bytes {first}-{last}/{length}"),
        ),
        Part::Unsatisfiable => {
            (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new(), format!("bytes */{length}"))
        }
    };
    let mut response = with_body(status, counted(bytes, tell));
    if let Ok(range) = HeaderValue::from_str(&range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

#[cfg(test)]
mod tests {
    use fairground_types::BlobHash;

    use super::*;
    use crate::delivery::rendered::Rendered;

    fn segment(body: &str) -> Found {
        let bytes = Bytes::from(body.to_owned());
        let whole = Tagged::new(bytes.clone(), &BlobHash::of(&bytes));
        Found { whole, zipped: None, mime: "video/mp4", is_text: false, is_immutable: true }
    }

    fn playlist(body: &str) -> Found {
        let Rendered { whole, zipped, mime } = Rendered::new(body.to_owned(), "text/plain");
        Found { whole, zipped, mime, is_text: true, is_immutable: true }
    }

    fn answer(found: &Found, headers: &HeaderMap) -> Response {
        super::answer(found, headers, Door::Playback, |_| {})
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("value"))).collect()
    }

    fn header_of<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
    }

    #[test]
    fn ranges_and_tags_are_answered() {
        let segment = segment("0123456789");
        let whole = answer(&segment, &HeaderMap::new());
        assert_eq!(whole.status(), 200);
        let tag = header_of(&whole, "etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", BlobHash::of(b"0123456789")));
        let some = answer(&segment, &headers(&[(header::RANGE, "bytes=2-4")]));
        assert_eq!(
            (some.status().as_u16(), header_of(&some, "content-range")),
            (206, "bytes 2-4/10")
        );
        let none = answer(&segment, &headers(&[(header::RANGE, "bytes=10-")]));
        assert_eq!(
            (none.status().as_u16(), header_of(&none, "content-range")),
            (416, "bytes */10")
        );
        let known = answer(&segment, &headers(&[(header::IF_NONE_MATCH, &tag)]));
        assert_eq!(known.status(), 304);
        let changed = answer(
            &segment,
            &headers(&[(header::RANGE, "bytes=2-4"), (header::IF_RANGE, "\"x\"")]),
        );
        assert_eq!(changed.status(), 200);
    }

    #[test]
    fn playlists_are_zipped_whole_and_segments_never() {
        let long = "#EXTM3U\n".repeat(100);
        let asked = headers(&[(header::ACCEPT_ENCODING, "br, gzip"), (header::RANGE, "bytes=0-")]);
        let playlist = answer(&playlist(&long), &asked);
        assert_eq!(playlist.status(), 200);
        assert_eq!(header_of(&playlist, "content-encoding"), "gzip");
        assert!(header_of(&playlist, "etag").ends_with("-gzip\""));
        assert_eq!(answer(&segment(&long), &asked).status(), 206);
        assert!(!accepts_gzip(&headers(&[(header::ACCEPT_ENCODING, "gzip;q=0")])));
    }
}
