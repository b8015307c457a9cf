//! What a client sees when something is refused: problem+json (RFC 9457) with a permanent code.
//!
//! ```text
//! request ─► context (id, span) ─► catch panic ─► body limit ─► route ─► extractors ─► handler
//!                                      │                                     │            │
//! response ◄── X-Request-Id ◄──────────┴──────────── Problem ◄───────────────┴────────────┘
//! ```
//!
//! Text here is for strangers; what went wrong inside goes to the log under the request's id. It
//! must not know any route. Read next: `context.rs`, `extract.rs`, and `fairground_types::code`.

mod context;
mod extract;

use std::any::Any;
use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairground_types::limits::JSON_BODY_MAX;
use fairground_types::{Code, Millis, Rejection, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use tower_http::catch_panic::CatchPanicLayer;

pub use crate::problem::context::{REQUEST_ID_HEADER, RequestId, request_context};
pub use crate::problem::extract::{ApiBytes, ApiJson, ApiPath, ApiQuery, WHOLE_NUMBER_MAX};

use crate::telemetry::chain;

/// Wait that a client is told when a retryable problem names none.
const RETRY_DEFAULT: Millis = Millis::from_secs(1);
/// Most fields that one problem names.
const FIELDS_MAX: usize = 32;

/// A refusal or a fault, ready to be answered.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Problem {
    code: Code,
    detail: String,
    fields: Vec<FieldProblem>,
    retry_after: Option<Millis>,
    kind: Option<&'static str>,
    members: Map<String, Value>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Its path: `amountMinor`, `draft.clips[0].label`.
    pub field: String,
    /// What is wrong.
    pub detail: String,
}

impl Problem {
    /// A problem with a code and one sentence for people.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
            kind: None,
            members: Map::new(),
        }
    }

    /// A malformed request, with the field that is wrong.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new(Code::ValidationFailed, detail.clone()).with_field(field, detail)
    }

    /// A fault of ours: the error goes to the log, the client gets the request's id.
    pub fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = chain(error), "request failed");
        Self::new(Code::Internal, "the fault was logged under this request id")
    }

    /// What the market answered.
    pub fn from_rejection(rejection: &Rejection, now: Timestamp) -> Self {
        let mut problem = Self::new(rejection.code, rejection.detail.clone());
        if let Some(amount) = &rejection.min_next {
            problem = problem.with("minNextBid", amount);
        }
        if let Some(auction) = &rejection.auction {
            problem = problem.with("auctionId", auction);
        }
        if rejection.late {
            problem = problem.with("late", true);
        }
        if let Some(version) = rejection.version {
            problem = problem.with("version", version);
        }
        for field in &rejection.fields {
            problem = problem.with_field(field.clone(), rejection.code.title());
        }
        match rejection.retry_at {
            Some(at) => problem.with_retry_after(at.since(now)),
            None => problem,
        }
    }

    /// Names a field that is wrong; beyond 32 they are dropped.
    pub fn with_field(mut self, field: impl Into<String>, detail: impl Into<String>) -> Self {
        if self.fields.len() < FIELDS_MAX {
            self.fields.push(FieldProblem { field: field.into(), detail: detail.into() });
        }
        self
    }

    /// Says how long to wait before trying again.
    pub const fn with_retry_after(mut self, wait: Millis) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Names a registered problem type (RFC 9457 section 4.2) in place of the code's page: for clients
    /// of a standard that decide by it.
    pub const fn with_type(mut self, uri: &'static str) -> Self {
        self.kind = Some(uri);
        self
    }

    /// Adds a member of the caller's own. A value that JSON cannot hold is left out, and members of
    /// RFC 9457 and ours keep their meaning.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.members.insert(name.to_owned(), value);
        }
        self
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    fn wait(&self) -> Option<Millis> {
        self.retry_after.or_else(|| self.code.retryable().then_some(RETRY_DEFAULT))
    }

    fn body(&self, request: &RequestId, instance: Option<&str>) -> Value {
        let mut body = self.members.clone();
        let page = || format!("/errors/{}", self.code);
        body.insert("type".into(), self.kind.map_or_else(page, str::to_owned).into());
        body.insert("title".into(), self.code.title().into());
        body.insert("status".into(), self.code.status().into());
        body.insert("detail".into(), self.detail.clone().into());
        if let Some(instance) = instance {
            body.insert("instance".into(), instance.into());
        }
        body.insert("code".into(), self.code.as_str().into());
        body.insert("requestId".into(), request.as_str().into());
        body.insert("retryable".into(), self.code.retryable().into());
        if let Some(wait) = self.wait() {
            body.insert("retryAfterMs".into(), wait.as_millis().into());
        }
        let fields = self
            .fields
            .iter()
            .map(|field| serde_json::json!({ "field": field.field, "detail": field.detail }));
        body.insert("fields".into(), fields.collect());
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (request, instance) = context::current();
        let body = self.body(&request, instance.as_deref()).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.wait() {
            // Whole seconds, rounded up, so that who obeys is never too early.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, code.title())
    }
}

/// Answers what no route takes.
pub async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this address")
}

/// Answers a method that a route does not take; axum adds `Allow`.
pub async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this address does not take this method")
}

/// Answers a panic of a handler, which is logged.
#[must_use]
pub fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "handler panicked");
    Problem::new(Code::Internal, "the fault was logged under this request id").into_response()
}

/// Puts what every API needs around its routes, in the order drawn above. A route that takes longer
/// bodies than [`JSON_BODY_MAX`] sets a limit of its own.
pub fn wrap(routes: Router) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(JSON_BODY_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(request_context))
}

#[cfg(test)]
mod tests;
