//! The inbox as JSON for tests and as a page for people. Read next: `mod.rs`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Inbox;
use crate::form::{self, value_of};
use crate::html::{escaped, page};

const SHOWN_MAX: usize = 50;

/// `GET /mail?to=ADDRESS`.
pub(super) async fn mails(
    Shared(inbox): Shared<Arc<Inbox>>,
    RawQuery(query): RawQuery,
) -> Json<Value> {
    Json(json!({"messages": inbox.mails(to_of(query).as_deref())}))
}

/// `GET /sms?to=NUMBER`.
pub(super) async fn texts(
    Shared(inbox): Shared<Arc<Inbox>>,
    RawQuery(query): RawQuery,
) -> Json<Value> {
    Json(json!({"messages": inbox.texts(to_of(query).as_deref())}))
}

/// `GET /`.
pub(super) async fn show(Shared(inbox): Shared<Arc<Inbox>>) -> Response {
    let mut main = "<p>Nothing leaves this machine. <a href=\"/\">Look again</a></p>".to_owned();
    let (mails, texts) = (inbox.mails(None), inbox.texts(None));
    heading(&mut main, "Mail", mails.is_empty());
    for mail in mails.iter().take(SHOWN_MAX) {
        let at = mail.received_at.to_string();
        article(&mut main, &mail.subject, &format!("to {} at {at}", mail.to), &mail.text);
    }
    heading(&mut main, "Text messages", texts.is_empty());
    for sms in texts.iter().take(SHOWN_MAX) {
        article(&mut main, &sms.to, &format!("at {}", sms.received_at), &sms.text);
    }
    page(StatusCode::OK, "Inbox", &main)
}

fn to_of(query: Option<String>) -> Option<String> {
    let fields = form::parse(query?.as_bytes()).ok()?;
    value_of(&fields, "to").map(str::to_owned)
}

/// Writing to a text cannot fail.
fn heading(main: &mut String, title: &str, empty: bool) {
    write!(main, "<h2>{title}</h2>").ok();
    if empty {
        main.push_str("<p>None yet.</p>");
    }
}

fn article(main: &mut String, title: &str, line: &str, text: &str) {
    let (title, line, text) = (escaped(title), escaped(line), escaped(text));
    write!(
        main,
        "<article><h3>{title}</h3><p class=\"hint\">{line}</p><pre>{text}</pre></article>"
    )
    .ok();
}
