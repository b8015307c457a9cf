//! A page for people from a document: every operation in one line.
//!
//! It must say nothing that the document does not. Read next: `mod.rs` of a daemon's routes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::METHODS;

/// Codes that follow from what an operation takes; the page names the others.
const SHARED: &[&str] = &[
    "VALIDATION_FAILED",
    "IDEMPOTENCY_KEY_REQUIRED",
    "IDEMPOTENCY_KEY_REUSED",
    "AUTH_REQUIRED",
    "TOKEN_EXPIRED",
    "SESSION_REVOKED",
    "FORBIDDEN",
    "NOT_FOUND",
    "INVALID_STATE",
    "BODY_TOO_LARGE",
    "MEDIA_UNSUPPORTED",
    "RATE_LIMITED",
    "RETRY_LATER",
    "INTERNAL",
    "COORDINATOR_UNAVAILABLE",
    "UPSTREAM_TIMEOUT",
];

/// Writes the page.
pub(super) fn page(document: &Value) -> String {
    let mut by_tag: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(*method) else { continue };
            let tag = operation["tags"][0].as_str().unwrap_or("other");
            by_tag.entry(tag).or_default().push(line(method, path, operation));
        }
    }
    let title = document["info"]["title"].as_str().unwrap_or_default();
    let mut text = format!(
        "# {title}\n\nMade from its OpenAPI document; see [what all routes share](../develop/api.md). \
         Refusals are those that only the route has.\n"
    );
    for (tag, lines) in by_tag {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## {tag}\n\n| request | what it does | who | refusals |\n| --- | --- | --- | --- |\n{}",
            lines.concat()
        );
    }
    text
}

fn line(method: &str, path: &str, operation: &Value) -> String {
    let summary = operation["summary"].as_str().unwrap_or_default().trim_end_matches('.');
    let codes: Vec<String> = operation["x-codes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|code| !SHARED.contains(code))
        .map(|code| format!("[`{code}`](errors/{code}.md)"))
        .collect();
    let method = method.to_uppercase();
    let who = who(&operation["security"]);
    format!("| `{method} {path}` | {summary} | {who} | {} |\n", codes.join(", "))
}

fn who(security: &Value) -> &'static str {
    let Some(ways) = security.as_array() else { return "anybody" };
    let takes = |scheme: &str| ways.iter().any(|way| way.get(scheme).is_some());
    let is_open = ways.iter().any(|way| way.as_object().is_some_and(serde_json::Map::is_empty));
    match (is_open, takes(super::BEARER), takes(super::ADMIN_KEY)) {
        (true, _, false) => "anybody; more when signed in",
        (true, _, true) => "this machine; a duty elsewhere",
        (false, true, true) => "a duty, or this machine's key",
        (false, true, false) => "signed in",
        (false, false, _) => "this machine's key",
    }
}
