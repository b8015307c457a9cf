//! Auctions as the view shows them, and the maker's acceptance.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use fairground_market::{AuctionStatus, AuctionView, ExtensionView, PublicView};
use fairground_runtime::cursor::{CURSOR_LIFE, Paging};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_types::command::{AuctionCommand, Command};
use fairground_types::event::{CloseReason, LockReason, PublicBid};
use fairground_types::{
    Accepted, AuctionId, BidId, Code, EdgeId, LogIndex, Money, SaleLockId, StoryId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// What the maker saw.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Acceptance {
    /// The bid that the maker takes for the highest.
    expected_bid_id: BidId,
}

/// The entry of the log that an answer is as new as.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AsOf {
    index: LogIndex,
    at: Timestamp,
}

impl AsOf {
    pub(crate) const fn of(view: &PublicView) -> Self {
        Self { index: view.index(), at: view.at() }
    }
}

/// An auction inside a story.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuctionSummary {
    auction_id: AuctionId,
    status: AuctionStatus,
    closes_at: Timestamp,
    /// Absent when every bid was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    highest: Option<PublicBid>,
    bid_count: u64,
    /// While it takes bids.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_next_bid: Option<Money>,
}

impl AuctionSummary {
    pub(crate) fn of(auction: &AuctionView) -> Self {
        Self {
            auction_id: auction.auction,
            status: auction.status,
            closes_at: auction.closes_at,
            highest: auction.highest.clone(),
            bid_count: auction.bid_count,
            min_next_bid: min_next(auction),
        }
    }
}

fn min_next(auction: &AuctionView) -> Option<Money> {
    (auction.status == AuctionStatus::Open).then_some(auction.min_next)
}

/// An auction by itself; also the `snapshot` of a live stream.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuctionDocument {
    auction_id: AuctionId,
    story_id: StoryId,
    /// Which auction of the story, from 1.
    seq: u32,
    status: AuctionStatus,
    opened_at: Timestamp,
    closes_at: Timestamp,
    /// The latest that `closesAt` may move to.
    closes_by: Timestamp,
    /// No further extension is possible.
    final_window: bool,
    /// The newest move of the close, and why it moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_extension: Option<ExtensionView>,
    /// Absent when every bid was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    highest: Option<PublicBid>,
    /// Counts bids taken back: the least next bid may be lower in a new epoch.
    price_epoch: u32,
    bid_count: u64,
    bidder_count: u32,
    /// Accounts that watch it.
    watchers: u32,
    /// Edges that were not heard in time for its close.
    unheard_edges: Vec<EdgeId>,
    server_time: Timestamp,
    /// The entry that changed it last.
    version: LogIndex,
    as_of: AsOf,
    /// While it takes bids.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_next_bid: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_reason: Option<LockReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close_reason: Option<CloseReason>,
    /// Until when the maker decides, while that is awaited.
    #[serde(skip_serializing_if = "Option::is_none")]
    decide_by: Option<Timestamp>,
}

impl AuctionDocument {
    pub(crate) fn of(view: &PublicView, auction: &AuctionView, now: Timestamp) -> Self {
        Self {
            auction_id: auction.auction,
            story_id: auction.story,
            seq: auction.seq,
            status: auction.status,
            opened_at: auction.opened_at,
            closes_at: auction.closes_at,
            closes_by: auction.closes_by,
            final_window: auction.final_window,
            last_extension: auction.extensions.last().copied(),
            highest: auction.highest.clone(),
            bid_count: auction.bid_count,
            price_epoch: auction.epoch,
            bidder_count: auction.bidder_count,
            watchers: auction.watchers,
            unheard_edges: auction.unheard.clone(),
            server_time: now,
            version: auction.changed_index,
            as_of: AsOf::of(view),
            min_next_bid: min_next(auction),
            lock_reason: auction.lock_reason,
            close_reason: auction.close_reason,
            decide_by: auction.decide_by,
        }
    }
}

/// A page of the bids of an auction, newest first; an edge shows the newest 200.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuctionBids {
    bids: Vec<PublicBid>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What an acceptance made.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuctionAccepted {
    auction_id: AuctionId,
    sale_lock_id: SaleLockId,
}

/// There is no such auction in the view.
pub(crate) fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no such auction here")
}

/// Shows an auction as this edge knows it.
#[utoipa::path(get, path = "/v1/auctions/{auction}", operation_id = "getAuction", tag = "auctions",
    params(("auction" = AuctionId, Path)),
    responses((status = 200, description = "The auction.", body = AuctionDocument)))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<([(HeaderName, &'static str); 1], Json<AuctionDocument>), Problem> {
    let now = edge.time.now();
    let found =
        edge.view.read(|view| view.auction(auction).map(|row| AuctionDocument::of(view, row, now)));
    let found = found.ok_or_else(unknown)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(found)))
}

/// Lists the bids of an auction, newest first.
#[utoipa::path(get, path = "/v1/auctions/{auction}/bids", operation_id = "listAuctionBids",
    tag = "auctions", params(("auction" = AuctionId, Path), Paging),
    responses((status = 200, description = "The newest bids.", body = AuctionBids)),
    extensions(("x-codes" = json!(["CURSOR_EXPIRED"]))))]
pub(crate) async fn bids(
    State(edge): State<Arc<Edge>>,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<AuctionBids>, Problem> {
    let limit = paging.limit()?;
    let now = edge.time.now();
    let list = format!("bids of {auction}");
    let after: Option<BidId> = paging.position(&edge.cursors, &list, now)?;
    let newest_first: Vec<PublicBid> = edge
        .view
        .read(|view| view.auction(auction).map(|row| row.bids.iter().rev().cloned().collect()))
        .ok_or_else(unknown)?;
    let begin = match after {
        None => 0,
        // The last bid shown has left the newest ones only when 200 others came since.
        Some(last) => newest_first
            .iter()
            .position(|bid| bid.bid_id == last)
            .map(|at| at.saturating_add(1))
            .ok_or_else(|| Problem::from(Code::CursorExpired))?,
    };
    let has_more = newest_first.len() > begin.saturating_add(limit);
    let bids: Vec<PublicBid> = newest_first.into_iter().skip(begin).take(limit).collect();
    let next_cursor = bids
        .last()
        .filter(|_| has_more)
        .map(|last| edge.cursors.seal(&list, &last.bid_id, (now, CURSOR_LIFE)));
    Ok(Json(AuctionBids { bids, next_cursor }))
}

/// Accepts the highest bid, for the maker.
#[utoipa::path(post, path = "/v1/auctions/{auction}/accept", operation_id = "acceptHighestBid",
    tag = "auctions", params(("auction" = AuctionId, Path), IdempotencyKeyHeader),
    request_body = Acceptance,
    responses((status = 200, description = "The piece is reserved.", body = AuctionAccepted)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["HIGHEST_CHANGED", "AUCTION_CLOSED", "AUCTION_LOCKED",
        "CAPABILITY_REQUIRED"]))))]
pub(crate) async fn accept(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiJson(body): ApiJson<Acceptance>,
) -> Result<Json<AuctionAccepted>, Problem> {
    let id = intent.command(&who, "accept", &auction.to_string());
    let command =
        Command::Auction(AuctionCommand::AcceptHighest { auction, expected: body.expected_bid_id });
    match call::command(&edge, &who, id, command).await? {
        Accepted::Locked { auction, lock } => {
            Ok(Json(AuctionAccepted { auction_id: auction, sale_lock_id: lock }))
        }
        _ => Err(call::wrong_kind()),
    }
}
