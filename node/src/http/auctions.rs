//! Auctions as the view shows them, and the maker's acceptance.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use fairground_market::{AuctionStatus, AuctionView, PublicView};
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{AuctionCommand, Command};
use fairground_types::event::PublicBid;
use fairground_types::{Accepted, AuctionId, BidId, Code, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// What the maker saw.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Acceptance {
    expected_bid_id: BidId,
}

fn is_open(auction: &AuctionView) -> bool {
    auction.status == AuctionStatus::Open
}

/// An auction inside a story.
pub(crate) fn summary(auction: &AuctionView) -> Value {
    let mut summary = json!({
        "auctionId": auction.auction,
        "status": auction.status,
        "closesAt": auction.closes_at,
        "highest": auction.highest,
        "bidCount": auction.bid_count,
    });
    if let (true, Some(members)) = (is_open(auction), summary.as_object_mut()) {
        members.insert("minNextBid".to_owned(), json!(auction.min_next));
    }
    summary
}

/// An auction by itself; also the `snapshot` of a live stream.
pub(crate) fn document(view: &PublicView, auction: &AuctionView, now: Timestamp) -> Value {
    let mut shown = json!({
        "auctionId": auction.auction,
        "storyId": auction.story,
        "seq": auction.seq,
        "status": auction.status,
        "openedAt": auction.opened_at,
        "closesAt": auction.closes_at,
        "closesBy": auction.closes_by,
        "finalWindow": auction.final_window,
        "highest": auction.highest,
        "bidCount": auction.bid_count,
        "bidderCount": auction.bidder_count,
        "unheardEdges": auction.unheard,
        "serverTime": now,
        "version": auction.changed_index,
        "asOf": { "index": view.index(), "at": view.at() },
    });
    let mut optional = Map::new();
    if is_open(auction) {
        optional.insert("minNextBid".to_owned(), json!(auction.min_next));
    }
    if let Some(reason) = auction.lock_reason {
        optional.insert("lockReason".to_owned(), json!(reason));
    }
    if let Some(reason) = auction.close_reason {
        optional.insert("closeReason".to_owned(), json!(reason));
    }
    if let Some(decide_by) = auction.decide_by {
        optional.insert("decideBy".to_owned(), json!(decide_by));
    }
    if let Some(members) = shown.as_object_mut() {
        members.extend(optional);
    }
    shown
}

/// There is no such auction in the view.
pub(crate) fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no such auction here")
}

/// `GET /v1/auctions/{auction}`
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), Problem> {
    let now = edge.time.now();
    let found = edge.view.read(|view| view.auction(auction).map(|row| document(view, row, now)));
    let found = found.ok_or_else(unknown)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(found)))
}

/// `GET /v1/auctions/{auction}/bids`
pub(crate) async fn bids(
    State(edge): State<Arc<Edge>>,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<Json<Value>, Problem> {
    let found = edge.view.read(|view| {
        let row = view.auction(auction)?;
        let newest_first: Vec<&PublicBid> = row.bids.iter().rev().collect();
        Some(json!({ "bids": newest_first }))
    });
    found.map(Json).ok_or_else(unknown)
}

/// `POST /v1/auctions/{auction}/accept`
pub(crate) async fn accept(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiJson(body): ApiJson<Acceptance>,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "accept", &auction.to_string());
    let command =
        Command::Auction(AuctionCommand::AcceptHighest { auction, expected: body.expected_bid_id });
    match call::command(&edge, &who, id, command).await? {
        Accepted::Locked { auction, lock } => {
            Ok(Json(json!({ "auctionId": auction, "saleLockId": lock })))
        }
        _ => Err(call::wrong_kind()),
    }
}
