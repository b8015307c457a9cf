//! What the market came to in a time, for whoever may read the market.
//!
//! Read next: `fairground_market::MarketReport`, which is counted from the state when it is asked for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use fairground_market::MarketReport;
use fairground_runtime::problem::{ApiQuery, Problem};
use fairground_types::role::Action;
use fairground_types::{Millis, Timestamp};
use serde::Deserialize;

use super::Api;
use super::answer::fresh;
use super::guard::Caller;

/// The time that is reported about when none is said.
const SPAN: Millis = Millis::from_hours(30 * 24);

/// Which time.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReportQuery {
    /// What fell then or later. Default: 30 days before `until`.
    from: Option<Timestamp>,
    /// What fell before. Default: now.
    until: Option<Timestamp>,
}

/// Reports what the market came to: accounts, auctions, orders and money of a time; stories and issues now.
#[utoipa::path(get, path = "/v1/admin/reports", operation_id = "getReport", tag = "operation",
    params(ReportQuery),
    responses((status = 200, description = "The totals.", body = MarketReport)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "VALIDATION_FAILED"]))))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<ReportQuery>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let report = api.member.state.read(|market| {
        // What happened at this very millisecond is in it.
        let until = query.until.unwrap_or_else(|| market.last_at().plus(Millis::new(1)));
        let from = query.from.unwrap_or_else(|| until.minus(SPAN));
        (from < until).then(|| market.report(from, until))
    });
    report.map(fresh).ok_or_else(|| Problem::invalid("from", "must be before `until`"))
}
