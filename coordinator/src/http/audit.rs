//! What people with a duty did: read page by page, and exported whole as CSV (RFC 4180) or JSON.
//!
//! Rows that have left the state come from this member's history. Read next:
//! `fairground_market`'s `audit` for the chain.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use fairground_market::{AuditFilter, AuditRow};
use fairground_runtime::problem::{ApiQuery, Problem, WHOLE_NUMBER_MAX};
use fairground_types::{AuctionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::fresh;
use super::govern::may_read;
use super::guard::Caller;

/// Rows of one page at most.
const PAGE_MAX: usize = 100;
const PAGE_DEFAULT: usize = 20;
/// Rows of one export at most; the newest.
const EXPORT_MAX: usize = 100_000;
/// Parts of the history that an export reads.
const PARTS_MAX: usize = EXPORT_MAX / fairground_types::limits::AUDIT_STEP_MAX;

/// Which rows.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// About this auction.
    auction: Option<AuctionId>,
    /// By or about this account.
    user: Option<UserId>,
    /// At or after.
    from: Option<Timestamp>,
    /// Before.
    until: Option<Timestamp>,
    /// Rows after this place in the chain.
    after: Option<u64>,
    /// Rows of a page, at most 100.
    limit: Option<usize>,
}

/// A page of the chain.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditPage {
    /// Oldest first.
    entries: Vec<AuditRow>,
    /// Where the next page begins, while there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<u64>,
}

/// Every row that matches and is kept here, oldest first, at most `max` after a place.
async fn rows(api: &Api, after: u64, filter: &AuditFilter, max: usize) -> Vec<AuditRow> {
    let mut rows: Vec<AuditRow> = Vec::new();
    let mut parts = api.member.history.audit(u64::MAX, PARTS_MAX).await;
    parts.reverse();
    for part in &parts {
        rows.extend(part.rows(filter).filter(|row| row.seq > after));
    }
    let newest = api.member.state.read(|market| -> Vec<AuditRow> {
        market.audit(after.saturating_add(1), filter).collect()
    });
    rows.extend(newest);
    rows.truncate(max);
    rows
}

/// Privileged acts, oldest first.
#[utoipa::path(get, path = "/v1/admin/audit", operation_id = "listAudit", tag = "operation",
    params(AuditQuery),
    responses((status = 200, description = "A page of the chain.", body = AuditPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn audit(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", "1 to 100"));
    }
    if query.after.is_some_and(|after| after > WHOLE_NUMBER_MAX) {
        return Err(Problem::invalid("after", format!("at most {WHOLE_NUMBER_MAX}")));
    }
    let filter = AuditFilter {
        auction: query.auction,
        user: query.user,
        from: query.from,
        until: query.until,
    };
    let mut entries = rows(&api, query.after.unwrap_or(0), &filter, limit + 1).await;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next_after = entries.last().filter(|_| has_more).map(|row| row.seq);
    Ok(fresh(AuditPage { entries, next_after }))
}

/// How an export is written.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Format {
    /// RFC 4180, a head line first.
    Csv,
    /// One array.
    Json,
}

/// Which rows, and how.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// `csv` or `json`.
    #[param(inline)]
    format: Format,
    /// About this auction.
    auction: Option<AuctionId>,
    /// By or about this account.
    user: Option<UserId>,
    /// At or after.
    from: Option<Timestamp>,
    /// Before.
    until: Option<Timestamp>,
}

const HEAD: &str = "seq,at,logIndex,actor,roles,need,action,target,before,after,refused,reason,\
                    command,previous,hash\r\n";

/// A field that a table program cannot take for a formula, quoted where it must be.
pub(super) fn field(text: &str) -> String {
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if guarded.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

fn csv(rows: &[AuditRow]) -> String {
    let mut text = HEAD.to_owned();
    for row in rows {
        let roles: Vec<String> =
            row.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
        let fields = [
            row.seq.to_string(),
            row.at.to_string(),
            row.log_index.0.to_string(),
            row.actor.clone(),
            roles.join(" "),
            row.need.clone(),
            row.action.clone(),
            row.target.clone(),
            row.before.to_string(),
            row.after.to_string(),
            row.refused.map_or_else(String::new, |code| code.as_str().to_owned()),
            row.reason.as_ref().map_or_else(String::new, |reason| reason.as_str().to_owned()),
            row.command.clone(),
            row.previous.to_string(),
            row.hash.to_string(),
        ];
        let fields: Vec<String> = fields.iter().map(|text| field(text)).collect();
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Privileged acts as a file.
#[utoipa::path(get, path = "/v1/admin/audit/export", operation_id = "exportAudit", tag = "operation",
    params(ExportQuery),
    responses((status = 200, description = "The rows.", content(
        (Vec<AuditRow> = "application/json"), (String = "text/csv")))),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<ExportQuery>,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    let filter = AuditFilter {
        auction: query.auction,
        user: query.user,
        from: query.from,
        until: query.until,
    };
    let rows = rows(&api, 0, &filter, EXPORT_MAX).await;
    Ok(match query.format {
        Format::Json => fresh(rows),
        Format::Csv => {
            let head = [
                (CONTENT_TYPE, "text/csv; charset=utf-8"),
                (CACHE_CONTROL, "no-store"),
                (CONTENT_DISPOSITION, "attachment; filename=\"audit.csv\""),
            ];
            (head, csv(&rows)).into_response()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_table_are_quoted_and_are_no_formulas() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(field("=1+1"), "'=1+1");
        assert_eq!(field("two\nlines"), "\"two\nlines\"");
    }
}
