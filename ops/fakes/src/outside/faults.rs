//! How a service misbehaves when it is told to.
//!
//! Faults queue up per service; each eats one call. Read next: `mod.rs`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Outside, Part};
use crate::serve::DropAnswer;

const SILENCE_MAX: Duration = Duration::from_secs(120);

/// One call gone wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Never answered; the connection stays open.
    Silence,
    /// Answered late, by so many milliseconds.
    Delay(u64),
    /// The connection is closed before the call is carried out.
    Reset,
    /// The call is carried out, then the connection is closed: a repetition comes twice.
    LostAnswer,
    /// An error of this status, with this `Retry-After` in seconds; 0 sends none.
    Status(u16, u32),
    /// 502 with a page for people, as a proxy answers.
    Page,
    /// Carried out, but the answer is JSON that ends in the middle.
    Truncated,
}

/// Lets a call through, or has it go wrong.
pub(super) async fn misbehaving(
    Shared((outside, part)): Shared<(Arc<Outside>, Part)>,
    request: Request,
    next: Next,
) -> Response {
    let fault =
        outside.state().faults.get_mut(&part).and_then(std::collections::VecDeque::pop_front);
    match fault {
        None => next.run(request).await,
        Some(Fault::Silence) => {
            tokio::time::sleep(SILENCE_MAX).await;
            dropped()
        }
        Some(Fault::Delay(millis)) => {
            tokio::time::sleep(Duration::from_millis(millis).min(SILENCE_MAX)).await;
            next.run(request).await
        }
        Some(Fault::Reset) => dropped(),
        Some(Fault::LostAnswer) => {
            next.run(request).await;
            dropped()
        }
        Some(Fault::Status(status, retry_after)) => refused(status, retry_after),
        Some(Fault::Page) => {
            let page = "<html><body>Bad gateway</body></html>";
            (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        Some(Fault::Truncated) => {
            let answer = next.run(request).await;
            let headers = [(header::CONTENT_TYPE, "application/json")];
            (answer.status(), headers, "{\"cut\": \"he").into_response()
        }
    }
}

fn dropped() -> Response {
    let mut answer = Response::new(Body::empty());
    answer.extensions_mut().insert(DropAnswer);
    answer
}

fn refused(status: u16, retry_after: u32) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = (status, axum::Json(serde_json::json!({}))).into_response();
    if retry_after > 0 {
        answer.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
    }
    answer
}
