//! Extractors whose refusals are problems: body, path and query.
//!
//! They answer shape only (`VALIDATION_FAILED`, `BODY_TOO_LARGE`, `MEDIA_UNSUPPORTED`); whether a
//! well-formed request is allowed is decided elsewhere.

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use fairground_types::Code;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The largest whole number that a body may hold, 2^53 - 1: not every reader of JSON tells greater ones
/// apart (RFC 8259 section 6).
pub const WHOLE_NUMBER_MAX: u64 = (1 << 53) - 1;

/// A JSON body, at most as long as the route's body limit.
#[derive(Clone, Copy, Debug)]
pub struct ApiJson<T>(pub T);

/// A body as it came, at most as long as the route's body limit.
#[derive(Clone, Debug)]
pub struct ApiBytes(pub Bytes);

/// The parameters of the path.
#[derive(Clone, Copy, Debug)]
pub struct ApiPath<T>(pub T);

/// The parameters of the query.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

impl<T, S> FromRequest<S> for ApiJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Code::MediaUnsupported,
                "the body must be sent as application/json",
            ));
        }
        let ApiBytes(bytes) = ApiBytes::from_request(request, state).await?;
        parse_json(&bytes).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for ApiBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(Code::BodyTooLarge, "the body is longer than this address takes")
            } else {
                Problem::new(Code::ValidationFailed, "the body ended early")
            }
        })
    }
}

impl<T, S> FromRequestParts<S> for ApiPath<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                let names = RawPathParams::from_request_parts(parts, state).await.ok();
                Err(path_problem(&rejection, names.as_ref()))
            }
        }
    }
}

impl<T, S> FromRequestParts<S> for ApiQuery<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(query_problem(&rejection)),
        }
    }
}

/// Whether the body says that it is JSON (RFC 8259, or a `+json` type of RFC 6839).
fn is_json(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.and_then(|text| text.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else { return false };
    subtype == "json" || subtype.ends_with("+json")
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        json_problem(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| json_problem(".", &error))?;
    if let Some(field) = too_large_number(bytes) {
        return Err(Problem::new(Code::ValidationFailed, "a field is missing or wrong")
            .with_field(field, format!("at most {WHOLE_NUMBER_MAX}")));
    }
    Ok(value)
}

/// The name before the first whole number above [`WHOLE_NUMBER_MAX`], in a text that is JSON.
fn too_large_number(json: &[u8]) -> Option<String> {
    let mut name: &[u8] = b"body";
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let rest = json.get(at + 1..).unwrap_or_default();
        at += 1;
        if *byte == b'"' {
            let mut is_escaped = false;
            let end = rest.iter().position(|byte| {
                let is_end = *byte == b'"' && !is_escaped;
                is_escaped = *byte == b'\\' && !is_escaped;
                is_end
            })?;
            at += end + 1;
            if json.get(at..)?.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
                name = rest.get(..end)?;
            }
        } else if byte.is_ascii_digit() {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = std::str::from_utf8(json.get(at - 1..at + digits)?).ok()?;
            at += digits;
            if json.get(at) == Some(&b'.') {
                let fraction = json.get(at + 1..).unwrap_or_default();
                at += 1 + fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            }
            // Amounts have a bound and a code of their own.
            let is_amount = name.ends_with(b"Minor");
            if !is_amount && number.parse::<u64>().is_ok_and(|number| number > WHOLE_NUMBER_MAX) {
                return Some(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    None
}

fn json_problem(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(
            Code::ValidationFailed,
            format!("the body is no JSON (line {}, column {})", error.line(), error.column()),
        );
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default().to_owned();
    Problem::new(Code::ValidationFailed, "a field is missing or wrong")
        .with_field(field_of(path, &text), text)
}

/// A field that is absent has no path of its own: its name stands in the message.
fn field_of(path: &str, text: &str) -> String {
    let parent = if path == "." { "" } else { path };
    let quoted = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match (parent, quoted) {
        ("", None) => "body".to_owned(),
        ("", Some(name)) => name.to_owned(),
        (parent, None) => parent.to_owned(),
        (parent, Some(name)) => format!("{parent}.{name}"),
    }
}

fn path_problem(rejection: &PathRejection, names: Option<&RawPathParams>) -> Problem {
    let at = |index: usize| {
        let name = names.and_then(|names| names.iter().nth(index));
        name.map_or_else(|| "path".to_owned(), |(name, _)| name.to_owned())
    };
    let field = match rejection {
        PathRejection::FailedToDeserializePathParams(inner) => match inner.kind() {
            ErrorKind::ParseErrorAtKey { key, .. }
            | ErrorKind::InvalidUtf8InPathParam { key }
            | ErrorKind::DeserializeError { key, .. } => key.clone(),
            ErrorKind::ParseErrorAtIndex { index, .. } => at(*index),
            // Errors without a place come from addresses with one part to read.
            _ => at(0),
        },
        _ => at(0),
    };
    Problem::new(Code::ValidationFailed, "a part of the address is malformed")
        .with_field(field, "not of the form that this address takes")
}

fn query_problem(rejection: &QueryRejection) -> Problem {
    let text = rejection.body_text();
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    // `name: what is wrong`, when the library knows the parameter.
    let (field, detail) = match text.split_once(": ") {
        Some((name, detail)) if !name.contains(' ') => (name.to_owned(), detail),
        _ => (field_of(".", text), text),
    };
    Problem::new(Code::ValidationFailed, "a parameter is missing or wrong")
        .with_field(field, detail)
}
