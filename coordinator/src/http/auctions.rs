//! What admins do to running auctions, and the audit of one.
//!
//! Every write carries a reason and is decided by the market. Read next: `admin.rs` for cancelling
//! and for records.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use fairground_market::AuctionAudit;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_types::command::{AuctionCommand, CloseOverride, Command};
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{AuctionId, BidId, Code, Millis, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::audit::{Format, field};
use super::guard::{Caller, IntentKey};

/// What is done to a close.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum CloseAction {
    /// Moves it later by `minutes`, at most to the cap.
    Extend,
    /// No bid moves it any more.
    Lock,
}

/// Body of an override.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OverrideBody {
    action: CloseAction,
    /// With `extend` alone: 1 to 1,440.
    #[serde(default)]
    minutes: Option<u32>,
    reason: String,
}

/// Body of a retraction.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RetractBody {
    reason: String,
}

/// An auction after an admin's step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuctionStepped {
    auction_id: AuctionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    closes_at: Option<Timestamp>,
}

fn reason(text: &str) -> Result<Note, Problem> {
    Note::parse(text).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })
}

async fn give(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    (what, auction): (&str, AuctionId),
    command: AuctionCommand,
) -> Result<Response, Problem> {
    let id = caller.command(api, key, what, &auction.to_string())?;
    submit(&api.member, caller.actor()?, id, Command::Auction(command)).await?;
    let closes_at =
        api.member.state.read(|market| market.auction(auction).map(|row| row.closes_at()));
    Ok(fresh(AuctionStepped { auction_id: auction, closes_at }))
}

/// Moves the close of an auction later, or fixes it.
#[utoipa::path(post, path = "/v1/admin/auctions/{auction}/soft-close/override",
    operation_id = "overrideSoftClose", tag = "auctions",
    params(("auction" = AuctionId, Path), IdempotencyKeyHeader), request_body = OverrideBody,
    responses((status = 200, description = "The close.", body = AuctionStepped)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "AUCTION_CLOSED", "AUCTION_LOCKED"]))))]
pub(super) async fn override_close(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiJson(body): ApiJson<OverrideBody>,
) -> Result<Response, Problem> {
    let reason = reason(&body.reason)?;
    let action = match (body.action, body.minutes) {
        (CloseAction::Extend, Some(minutes @ 1..=1_440)) => {
            CloseOverride::Extend { by: Millis::from_mins(u64::from(minutes)) }
        }
        (CloseAction::Lock, None) => CloseOverride::LockEnd,
        (CloseAction::Extend, _) => return Err(Problem::invalid("minutes", "must be 1 to 1440")),
        (CloseAction::Lock, Some(_)) => {
            return Err(Problem::invalid("minutes", "belongs to `extend`"));
        }
    };
    let command = AuctionCommand::OverrideClose { auction, action, reason };
    give(&api, (&caller, &key), ("override-close", auction), command).await
}

/// Takes a bid back that was made by obvious error or fraud.
#[utoipa::path(post, path = "/v1/admin/auctions/{auction}/bids/{bid}/retract",
    operation_id = "retractBid", tag = "auctions",
    params(("auction" = AuctionId, Path), ("bid" = BidId, Path), IdempotencyKeyHeader),
    request_body = RetractBody,
    responses((status = 200, description = "It is taken back.", body = AuctionStepped)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "AUCTION_CLOSED", "AUCTION_LOCKED"]))))]
pub(super) async fn retract(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath((auction, bid)): ApiPath<(AuctionId, BidId)>,
    ApiJson(body): ApiJson<RetractBody>,
) -> Result<Response, Problem> {
    let reason = reason(&body.reason)?;
    let command = AuctionCommand::RetractBid { auction, bid, reason };
    give(&api, (&caller, &key), ("retract", auction), command).await
}

/// Which lines of an audit.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// `json` unless said.
    #[param(inline)]
    format: Option<Format>,
    /// Of this account alone.
    user: Option<UserId>,
    /// From here on.
    from: Option<Timestamp>,
    /// Before this.
    until: Option<Timestamp>,
}

/// Exports everything that happened in an auction.
#[utoipa::path(get, path = "/v1/admin/auctions/{auction}/audit",
    operation_id = "exportAuctionAudit", tag = "auctions",
    params(("auction" = AuctionId, Path), AuditQuery),
    responses((status = 200, description = "The lines, oldest first.",
        content((AuctionAudit = "application/json"), (String = "text/csv")))),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn audit(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let live = api.member.state.read(|market| market.auction_audit(auction));
    let audit = match live {
        Some(audit) => Some(audit),
        None => api.member.history.auction_audit(auction).await,
    };
    let mut audit = audit.ok_or_else(|| Problem::from(Code::NotFound))?;
    audit.lines.retain(|line| {
        query.user.is_none_or(|user| line.actor_id == Some(user))
            && query.from.is_none_or(|from| line.at >= from)
            && query.until.is_none_or(|until| line.at < until)
    });
    match query.format.unwrap_or(Format::Json) {
        Format::Json => Ok(fresh(audit)),
        Format::Csv => {
            let name = format!("attachment; filename=\"{auction}.csv\"");
            let headers = [
                (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
                (CONTENT_DISPOSITION, name),
                (CACHE_CONTROL, "no-store".to_owned()),
            ];
            Ok((headers, csv(&audit)).into_response())
        }
    }
}

const HEAD: &str = "at,logIndex,kind,actorId,subject,amountMinor,currency,edge,edgeSeq,detail\r\n";

fn csv(audit: &AuctionAudit) -> String {
    let mut text = HEAD.to_owned();
    for line in &audit.lines {
        let fields = [
            line.at.to_string(),
            line.log_index.map(|index| index.to_string()).unwrap_or_default(),
            line.kind.as_str().to_owned(),
            line.actor_id.map(|actor| actor.to_string()).unwrap_or_default(),
            line.subject.clone().unwrap_or_default(),
            line.amount.map(|amount| amount.minor().to_string()).unwrap_or_default(),
            line.amount.map(|amount| amount.currency().to_string()).unwrap_or_default(),
            line.edge.as_ref().map(ToString::to_string).unwrap_or_default(),
            line.edge_seq.map(|seq| seq.to_string()).unwrap_or_default(),
            line.detail.clone().unwrap_or_default(),
        ];
        text.push_str(&fields.map(|text| field(&text)).join(","));
        text.push_str("\r\n");
    }
    text
}
