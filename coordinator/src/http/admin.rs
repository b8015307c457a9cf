//! The admin API: what runs, what waits for a decision, and the decisions.
//!
//! Reads need a duty with the right; decisions go through the market, which checks again. Status is
//! open to this machine, so that `fairground status` works before anybody has an account.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use fairground_market::{AuctionRecord, AuctionView, Market, OrderRow, StoryRow};
use fairground_runtime::cursor::Paging;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_types::command::{AuctionCommand, Command, ReviewDecision, StoryCommand};
use fairground_types::role::Action;
use fairground_types::text::{Handle, Note};
use fairground_types::{AuctionId, Code, Digest, LogIndex, StoryId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::guard::{Caller, IntentKey};
use crate::status as cluster_status;

fn may_look(api: &Api, caller: &Caller) -> Result<(), Problem> {
    match caller {
        Caller::Local => Ok(()),
        Caller::Operator | Caller::Account { .. } | Caller::Stranger => {
            caller.may(api, Action::ReadMarket)
        }
    }
}

/// The cluster as this member sees it.
#[utoipa::path(get, path = "/v1/admin/status", operation_id = "getStatus", tag = "operation",
    responses((status = 200, description = "The cluster.", body = cluster_status::Status)),
    security((), ("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn status(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_look(&api, &caller)?;
    Ok(fresh(cluster_status::take(&api.member).await))
}

/// Which index.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DigestQuery {
    index: Option<LogIndex>,
}

/// The running digest at an index.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct DigestAt {
    index: LogIndex,
    digest: Digest,
}

/// Broken invariants at an index.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Violations {
    index: LogIndex,
    violations: Vec<String>,
}

/// The running digest at an index, or the newest.
#[utoipa::path(get, path = "/v1/admin/digest", operation_id = "getDigest", tag = "operation",
    params(DigestQuery),
    responses((status = 200, description = "The digest.", body = DigestAt)),
    security((), ("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "NOT_FOUND"]))))]
pub(super) async fn digest(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<DigestQuery>,
) -> Result<Response, Problem> {
    may_look(&api, &caller)?;
    let state = &api.member.state;
    let found = match query.index {
        Some(index) => state.digest_at(index).map(|digest| (index, digest)),
        None => state.digest(),
    };
    let missing = || Problem::new(Code::NotFound, "no digest is remembered for this index");
    let (index, digest) = found.ok_or_else(missing)?;
    Ok(fresh(DigestAt { index, digest }))
}

/// Broken invariants; there are none.
#[utoipa::path(get, path = "/v1/admin/violations", operation_id = "listViolations", tag = "operation",
    responses((status = 200, description = "Broken invariants.", body = Violations)),
    security((), ("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn violations(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_look(&api, &caller)?;
    let (index, violations) =
        api.member.state.read(|market| (market.last_index(), market.violations()));
    Ok(fresh(Violations { index, violations }))
}

/// Which stories.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StoriesQuery {
    /// `submitted`.
    state: Option<String>,
}

/// Stories that wait for a reviewer.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ReviewList {
    stories: Vec<ReviewRow>,
}

/// Where a story stands after a decision.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoryMoved {
    story_id: StoryId,
    /// As in the maker's list.
    state: Option<&'static str>,
}

/// A story for its reviewer.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewRow {
    #[serde(flatten)]
    story: StoryRow,
    maker_handle: Option<Handle>,
}

/// Stories that wait for a reviewer.
#[utoipa::path(get, path = "/v1/admin/stories", operation_id = "listStoriesForReview", tag = "stories",
    params(StoriesQuery),
    responses((status = 200, description = "The stories.", body = ReviewList)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn stories(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<StoriesQuery>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    if query.state.as_deref().is_some_and(|state| state != "submitted") {
        return Err(Problem::invalid("state", "only `submitted` is listed"));
    }
    let stories: Vec<ReviewRow> = api.member.state.read(|market| {
        let waiting = market.stories_waiting_for_review().into_iter();
        waiting.map(|story| review_row(market, story)).collect()
    });
    Ok(fresh(ReviewList { stories }))
}

fn review_row(market: &Market, story: StoryRow) -> ReviewRow {
    let account = market.account(story.maker_id);
    let maker_handle = account.and_then(|account| account.handle().cloned());
    ReviewRow { story, maker_handle }
}

async fn review(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    story: StoryId,
    decision: ReviewDecision,
) -> Result<Response, Problem> {
    let id = caller.command(api, key, "review", &story.to_string())?;
    let command = Command::Story(StoryCommand::ReviewStory { story, decision });
    submit(&api.member, caller.actor()?, id, command).await?;
    let state = api.member.state.read(|market| market.story_row(story).map(|row| row.state));
    Ok(fresh(StoryMoved { story_id: story, state }))
}

/// Approves a story.
#[utoipa::path(post, path = "/v1/admin/stories/{story}/approve", operation_id = "approveStory", tag = "stories",
    params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = []), ("adminKey" = [])))]
pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Response, Problem> {
    review(&api, (&caller, &key), story, ReviewDecision::Approve).await
}

/// Body of a rejection.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RejectBody {
    notes: String,
}

/// Rejects a story, with notes.
#[utoipa::path(post, path = "/v1/admin/stories/{story}/reject", operation_id = "rejectStory", tag = "stories",
    params(("story" = StoryId, Path), IdempotencyKeyHeader),
    request_body = RejectBody,
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["NOTES_REQUIRED"]))))]
pub(super) async fn reject(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<RejectBody>,
) -> Result<Response, Problem> {
    let notes = Note::parse(&body.notes).map_err(|error| {
        Problem::new(Code::NotesRequired, "a rejection needs notes")
            .with_field("notes", error.to_string())
    })?;
    review(&api, (&caller, &key), story, ReviewDecision::Reject { notes }).await
}

/// An auction by itself.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuctionNamed {
    auction_id: AuctionId,
}

/// A page of auctions, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuctionList {
    auctions: Vec<AuctionRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A page of orders.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderPage {
    pub(super) orders: Vec<OrderRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// An auction in a list.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuctionRow {
    auction_id: AuctionId,
    story_id: StoryId,
    title: Option<String>,
    status: fairground_market::AuctionStatus,
    closes_at: fairground_types::Timestamp,
    closes_by: fairground_types::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    highest: Option<fairground_types::Money>,
    bid_count: u64,
    unheard_edges: Vec<fairground_types::EdgeId>,
}

fn auction_row(market: &Market, row: &AuctionView) -> AuctionRow {
    let story = market.view().story(row.story);
    AuctionRow {
        auction_id: row.auction,
        story_id: row.story,
        title: story.map(|story| story.contents.title.to_string()),
        status: row.status,
        closes_at: row.closes_at,
        closes_by: row.closes_by,
        highest: row.highest.as_ref().map(|bid| bid.amount),
        bid_count: row.bid_count,
        unheard_edges: row.unheard.clone(),
    }
}

/// Every auction.
#[utoipa::path(get, path = "/v1/admin/auctions", operation_id = "listAuctions", tag = "auctions",
    params(Paging),
    responses((status = 200, description = "The auctions.", body = AuctionList)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn auctions(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let list = api.member.state.read(|market| {
        let keyed = market.view().auctions().map(|row| ((row.opened_at, row.auction), row));
        let page = paging.page(keyed, api.pager("auctions"))?;
        let auctions = page.rows.into_iter().map(|row| auction_row(market, row)).collect();
        Ok::<_, Problem>(AuctionList { auctions, next_cursor: page.next })
    })?;
    Ok(fresh(list))
}

/// Everything that explains how an auction came out.
#[utoipa::path(get, path = "/v1/admin/auctions/{auction}", operation_id = "getAuctionRecord", tag = "auctions",
    params(("auction" = AuctionId, Path)),
    responses((status = 200, description = "The record.", body = AuctionRecord)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn auction(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let live = api.member.state.read(|market| market.auction_record(auction));
    let record = match live {
        Some(record) => Some(record),
        None => api.member.history.auction(auction).await,
    };
    record.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}

/// Body of a cancellation.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CancelBody {
    reason: String,
}

/// Ends an auction without a sale.
#[utoipa::path(post, path = "/v1/admin/auctions/{auction}/cancel", operation_id = "cancelAuction", tag = "auctions",
    params(("auction" = AuctionId, Path), IdempotencyKeyHeader),
    request_body = CancelBody,
    responses((status = 200, description = "It is cancelled.", body = AuctionNamed)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "AUCTION_CLOSED", "AUCTION_LOCKED"]))))]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiJson(body): ApiJson<CancelBody>,
) -> Result<Response, Problem> {
    let reason = Note::parse(&body.reason).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })?;
    let command = Command::Auction(AuctionCommand::CancelAuction { auction, reason });
    let id = caller.command(&api, &key, "cancel", &auction.to_string())?;
    submit(&api.member, caller.actor()?, id, command).await?;
    Ok(fresh(AuctionNamed { auction_id: auction }))
}

/// Every order.
#[utoipa::path(get, path = "/v1/admin/orders", operation_id = "listAllOrders", tag = "orders",
    params(Paging),
    responses((status = 200, description = "The orders.", body = OrderPage)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN", "CURSOR_EXPIRED"]))))]
pub(super) async fn orders(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReadMarket)?;
    let rows = api.member.state.read(Market::orders);
    let keyed = rows.into_iter().map(|row| ((row.paid_at, row.order_id), row));
    let page = paging.page(keyed, api.pager("orders"))?;
    Ok(fresh(OrderPage { orders: page.rows, next_cursor: page.next }))
}
