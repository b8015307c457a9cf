//! One request: its head, whether it is served here, and its answer as DATA frames.
//!
//! No body of a request is read: the answer goes out beside it, and then the peer is asked to stop
//! sending, which is no error (RFC 9114 section 4.1). An answer goes out in parts, each of which must
//! be taken by the peer within the idle time, so that a reader that stands still holds nothing for
//! longer. It must not know a route.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use fairground_runtime::problem::Problem;
use fairground_types::Code as Refusal;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::connection::Context;
use crate::wire::{Both, Wire};

/// Bytes of one DATA frame at most: what a peer must take within the idle time.
const PART_MAX: usize = 64 * 1024;
/// Fields that are about a connection of HTTP/1.1 and make an answer malformed here (RFC 9114 section
/// 4.2).
const OF_CONNECTIONS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// A request whose head has not been read.
pub(crate) type Resolver = RequestResolver<Wire, Bytes>;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The router's answer has arrived, whatever it was.
    Answered,
    /// Nothing that is served here.
    Refused,
    /// Its head did not come whole, in time, or as one.
    Headless,
    /// The answer could not be brought to its end.
    Broken,
}

impl Ended {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Headless => "headless",
            Self::Broken => "broken",
        }
    }
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("speak to the peer")]
    Stream(#[from] StreamError),
    #[error("make the body")]
    Body(#[source] axum::Error),
    #[error("wait for the peer or for the body")]
    Still,
}

/// Answers a request.
pub(crate) async fn answer(context: Arc<Context>, resolver: Resolver, peer: SocketAddr) -> Ended {
    let resolving = resolver.resolve_request();
    let (request, stream) = match timeout(context.limits.header_timeout, resolving).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            tracing::debug!(%error, "request without a head");
            return Ended::Headless;
        }
        Err(_) => {
            tracing::debug!("head of a request took too long");
            return Ended::Headless;
        }
    };
    let is_head = request.method() == Method::HEAD;
    let admitted = admit(request.method(), request.uri().path(), context.media.prefixes);
    let mut answering = Answering { stream, idle: context.limits.idle, is_whole: false };
    let (response, served) = match admitted {
        Ok(()) => (route(&context, request, peer).await, Ended::Answered),
        Err(refusal) => (refused(refusal), Ended::Refused),
    };
    match answering.send(response, is_head).await {
        Ok(()) => served,
        Err(error) => {
            tracing::debug!(%error, "answer broke off");
            Ended::Broken
        }
    }
}

async fn route(context: &Context, request: Request<()>, peer: SocketAddr) -> Response {
    let mut request = request.map(|()| Body::empty());
    request.extensions_mut().insert(ConnectInfo(peer));
    match context.media.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Whether `path` begins as one of `prefixes`.
pub(crate) fn is_below(prefixes: &[&str], path: &str) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether this is served here: GET and HEAD below the prefixes.
///
/// Whatever the same origin answers over TCP is misdirected here, preflights among it, and a browser
/// asks again there by itself (RFC 9110 section 15.5.20, RFC 7838 section 6). A method that media have
/// nowhere is refused as it is there.
fn admit(method: &Method, path: &str, prefixes: &[&str]) -> Result<(), Refusal> {
    if !is_below(prefixes, path) || method == Method::OPTIONS {
        return Err(Refusal::MisdirectedRequest);
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    Err(Refusal::MethodNotAllowed)
}

fn refused(refusal: Refusal) -> Response {
    if refusal != Refusal::MethodNotAllowed {
        let detail = "this connection serves media alone; ask again without HTTP/3";
        return Problem::new(refusal, detail).into_response();
    }
    let mut response = Problem::new(refusal, "media are fetched by GET and HEAD").into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// An answer on its way. Dropped before it is whole, it says so, or what has been sent would look whole.
struct Answering {
    stream: RequestStream<Both, Bytes>,
    idle: Duration,
    is_whole: bool,
}

impl Answering {
    async fn send(&mut self, response: Response, is_head: bool) -> Result<(), Broken> {
        let (parts, mut body) = response.into_parts();
        let mut head = http::Response::new(());
        *head.status_mut() = parts.status;
        *head.headers_mut() = parts.headers;
        let length = body.size_hint().exact().filter(|_| !is_head);
        mend(parts.status, head.headers_mut(), length);
        in_time(self.idle, self.stream.send_response(head)).await??;
        while let Some(frame) = in_time(self.idle, body.frame()).await? {
            // Trailers, which no answer of ours has, are left out.
            let Ok(mut data) = frame.map_err(Broken::Body)?.into_data() else { continue };
            while !is_head && !data.is_empty() {
                let part = data.split_to(data.len().min(PART_MAX));
                in_time(self.idle, self.stream.send_data(part)).await??;
            }
        }
        let finished = timeout(self.idle, self.stream.finish()).await;
        // All is handed over: what is not acknowledged by now is QUIC's to bring or to give up.
        self.is_whole = true;
        match finished {
            Ok(finished) => Ok(finished?),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_whole {
            self.stream.stop_stream(Code::H3_INTERNAL_ERROR);
        }
        self.stream.stop_sending(Code::H3_NO_ERROR);
    }
}

async fn in_time<T>(idle: Duration, step: impl Future<Output = T>) -> Result<T, Broken> {
    timeout(idle, step).await.map_err(|_| Broken::Still)
}

/// Takes out what is about connections, and says how long the body is where that is known and unsaid.
fn mend(status: StatusCode, headers: &mut HeaderMap, length: Option<u64>) {
    for name in OF_CONNECTIONS {
        headers.remove(name);
    }
    let has_body = status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
    let Some(length) = length.filter(|_| has_body) else { return };
    headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIXES: &[&str] = &["/p/"];

    #[test]
    fn gets_of_media_are_served_and_nothing_else() {
        for (method, path, expected) in [
            (Method::GET, "/p/token/ast/1/c360/0.m4s", Ok(())),
            (Method::HEAD, "/p/token/ast/1/c360/0.m4s", Ok(())),
            (Method::POST, "/p/token/ast/1/c360/0.m4s", Err(Refusal::MethodNotAllowed)),
            (Method::DELETE, "/p/x", Err(Refusal::MethodNotAllowed)),
            (Method::OPTIONS, "/p/x", Err(Refusal::MisdirectedRequest)),
            (Method::GET, "/p", Err(Refusal::MisdirectedRequest)),
            (Method::GET, "/px/", Err(Refusal::MisdirectedRequest)),
            (Method::GET, "/v1/feed", Err(Refusal::MisdirectedRequest)),
            (Method::POST, "/v1/auctions/auc_1/bids", Err(Refusal::MisdirectedRequest)),
            (Method::CONNECT, "", Err(Refusal::MisdirectedRequest)),
        ] {
            assert_eq!(admit(&method, path, PREFIXES), expected, "{method} {path}");
        }
    }

    #[test]
    fn refusals_have_their_status() {
        assert_eq!(refused(Refusal::MisdirectedRequest).status(), 421);
        let response = refused(Refusal::MethodNotAllowed);
        assert_eq!(response.status(), 405);
        assert_eq!(
            response.headers().get("allow").map(HeaderValue::as_bytes),
            Some(&b"GET, HEAD"[..])
        );
    }

    #[test]
    fn heads_lose_what_is_about_connections_and_gain_a_length() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        headers.insert(header::ETAG, HeaderValue::from_static("\"x\""));
        mend(StatusCode::OK, &mut headers, Some(7));
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.get(header::CONTENT_LENGTH), Some(&HeaderValue::from(7)));
        // What is said stays.
        mend(StatusCode::OK, &mut headers, Some(8));
        assert_eq!(headers.get(header::CONTENT_LENGTH), Some(&HeaderValue::from(7)));
        let mut headers = HeaderMap::new();
        mend(StatusCode::NOT_MODIFIED, &mut headers, Some(0));
        mend(StatusCode::OK, &mut headers, None);
        assert!(headers.is_empty());
    }
}
