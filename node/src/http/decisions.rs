//! Auctions after their bidding, own auctions, and countdowns.
//!
//! What follows an unpaid lock is the maker's decision and the cluster's word; timers come from the
//! view of this edge.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use fairground_market::{AuctionStatus, OwnAuctionList};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_types::command::{AuctionCommand, Command};
use fairground_types::{Accepted, AuctionId, BidId, LogIndex, Millis, SaleLockId, Timestamp};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auctions::unknown;
use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// An auction as its countdown needs it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TimerDocument {
    auction_id: AuctionId,
    status: AuctionStatus,
    closes_at: Timestamp,
    closes_by: Timestamp,
    final_window: bool,
    server_time: Timestamp,
    remaining_ms: Millis,
    /// The client's clock less this edge's, when the client said what it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ahead_ms: Option<i64>,
    version: LogIndex,
}

/// What the client's clock shows.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TimerSync {
    auction_id: AuctionId,
    client_timestamp: Timestamp,
}

/// Which of the own auctions.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AuctionRole {
    /// Those with a bid of one's own.
    Bidder,
    /// Those of one's own stories.
    Maker,
}

/// Which of the own auctions.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OwnAuctionsQuery {
    /// As which party; as a bidder unless said.
    #[param(inline)]
    role: Option<AuctionRole>,
}

/// The bid that the maker takes for the next best.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecondChance {
    #[serde(default)]
    bid_id: Option<BidId>,
}

/// The lock of a second chance.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecondChanceMade {
    auction_id: AuctionId,
    sale_lock_id: SaleLockId,
}

/// An auction that ended for a new listing.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuctionRelisted {
    auction_id: AuctionId,
}

/// A lock that its buyer gave up.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LockDeclined {
    sale_lock_id: SaleLockId,
}

fn timer(
    edge: &Edge,
    auction: AuctionId,
    client: Option<Timestamp>,
) -> Result<TimerDocument, Problem> {
    let now = edge.time.now();
    let ahead = client.map(|client| {
        let millis = |at: Timestamp| i64::try_from(at.as_unix_millis()).unwrap_or(i64::MAX);
        millis(client).saturating_sub(millis(now))
    });
    let found = edge.view.read(|view| {
        view.auction(auction).map(|row| TimerDocument {
            auction_id: auction,
            status: row.status,
            closes_at: row.closes_at,
            closes_by: row.closes_by,
            final_window: row.final_window,
            server_time: now,
            remaining_ms: row.closes_at.since(now),
            client_ahead_ms: ahead,
            version: row.changed_index,
        })
    });
    found.ok_or_else(unknown)
}

/// Shows the countdown of an auction.
#[utoipa::path(get, path = "/v1/auctions/{auction}/timer", operation_id = "getAuctionTimer",
    tag = "auctions", params(("auction" = AuctionId, Path)),
    responses((status = 200, description = "The countdown.", body = TimerDocument)))]
pub(crate) async fn show_timer(
    State(edge): State<Arc<Edge>>,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<([(HeaderName, &'static str); 1], Json<TimerDocument>), Problem> {
    let found = timer(&edge, auction, None)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(found)))
}

/// Sets a client's countdown right. Nothing is changed here, so a key is taken and not needed.
#[utoipa::path(post, path = "/v1/timers/sync", operation_id = "syncTimer", tag = "auctions",
    params(IdempotencyKeyHeader), request_body = TimerSync,
    responses((status = 200, description = "The countdown.", body = TimerDocument)),
    extensions(("x-codes" = json!(["NOT_FOUND"]))),
    security(("bearer" = [])))]
pub(crate) async fn sync(
    State(edge): State<Arc<Edge>>,
    _who: SignedIn,
    _intent: Intent,
    ApiJson(body): ApiJson<TimerSync>,
) -> Result<Json<TimerDocument>, Problem> {
    timer(&edge, body.auction_id, Some(body.client_timestamp)).map(Json)
}

/// Lists own auctions, as bidder or as maker; the newest hundred.
#[utoipa::path(get, path = "/v1/users/me/auctions", operation_id = "listMyAuctions",
    tag = "auctions", params(OwnAuctionsQuery),
    responses((status = 200, description = "The auctions, newest first.", body = OwnAuctionList)),
    security(("bearer" = [])))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiQuery(query): ApiQuery<OwnAuctionsQuery>,
) -> Result<Json<Value>, Problem> {
    let as_maker = matches!(query.role, Some(AuctionRole::Maker));
    call::read(&edge, ReadRequest::MyAuctions { user: who.user, as_maker }).await.map(Json)
}

/// Reserves the piece for the next best bidder after a failed payment, for the maker.
#[utoipa::path(post, path = "/v1/auctions/{auction}/second-chance",
    operation_id = "offerSecondChance", tag = "auctions",
    params(("auction" = AuctionId, Path), IdempotencyKeyHeader), request_body = SecondChance,
    responses((status = 200, description = "The piece is reserved.", body = SecondChanceMade)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["DECISION_WINDOW_CLOSED", "NO_ELIGIBLE_BID",
        "CAPABILITY_REQUIRED", "AUCTION_LOCKED"]))))]
pub(crate) async fn second_chance(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiJson(body): ApiJson<SecondChance>,
) -> Result<Json<SecondChanceMade>, Problem> {
    let id = intent.command(&who, "second-chance", &auction.to_string());
    let command = Command::Auction(AuctionCommand::OfferSecondChance { auction, bid: body.bid_id });
    match call::command(&edge, &who, id, command).await? {
        Accepted::Locked { auction, lock } => {
            Ok(Json(SecondChanceMade { auction_id: auction, sale_lock_id: lock }))
        }
        _ => Err(call::wrong_kind()),
    }
}

/// Lists the piece again after a failed payment, for the maker.
#[utoipa::path(post, path = "/v1/auctions/{auction}/relist", operation_id = "relistAuction",
    tag = "auctions", params(("auction" = AuctionId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "The piece takes offers.", body = AuctionRelisted)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["DECISION_WINDOW_CLOSED", "CAPABILITY_REQUIRED",
        "AUCTION_LOCKED"]))))]
pub(crate) async fn relist(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<Json<AuctionRelisted>, Problem> {
    let id = intent.command(&who, "relist", &auction.to_string());
    call::command(&edge, &who, id, Command::Auction(AuctionCommand::Relist { auction })).await?;
    Ok(Json(AuctionRelisted { auction_id: auction }))
}

/// Gives up a second chance; that is no strike.
#[utoipa::path(post, path = "/v1/sale-locks/{lock}/decline", operation_id = "declineSecondChance",
    tag = "auctions", params(("lock" = SaleLockId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "The maker decides anew.", body = LockDeclined)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["PAYMENT_TIMEOUT", "SESSION_ACTIVE"]))))]
pub(crate) async fn decline(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(lock): ApiPath<SaleLockId>,
) -> Result<Json<LockDeclined>, Problem> {
    let id = intent.command(&who, "decline-second-chance", &lock.to_string());
    let command = Command::Auction(AuctionCommand::DeclineSecondChance { lock });
    call::command(&edge, &who, id, command).await?;
    Ok(Json(LockDeclined { sale_lock_id: lock }))
}
