//! Offers on listed stories after they were made, and what a maker takes.
//!
//! Making one is `bids.rs`: it goes through this edge's journal. Here is what its buyer and its maker
//! see and decide, which is the cluster's answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use fairground_market::{
    EligibilityRow, MakerDashboard, OfferHistory, OfferList, OfferPolicyRow, OfferRow, OfferStep,
};
use fairground_runtime::cursor::{CURSOR_LIFE, Paging};
use fairground_runtime::openapi::{IdempotencyKeyHeader, IfMatchHeader};
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_runtime::version::{self, IfMatch};
use fairground_types::command::{AuctionCommand, Command, OfferPolicy};
use fairground_types::text::{Country, Note};
use fairground_types::{
    Accepted, AuctionId, BidId, Code, Currency, Money, OfferId, StoryId, Timestamp,
};
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;

/// What is asked about an offer before it is made.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EligibilityQuery {
    /// How much, in minor units.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    amount_minor: Option<u64>,
    /// Currency of the amount.
    #[param(inline)]
    currency: Option<Currency>,
    /// Where the piece would go (ISO 3166-1).
    ship_to_country: Option<String>,
}

/// Which offers, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OffersQuery {
    /// Only those that stand so.
    status: Option<OfferStep>,
    /// Only those that came then or later.
    from: Option<Timestamp>,
    /// Only those that came before.
    until: Option<Timestamp>,
    /// Where the page begins: `nextCursor` of the one before.
    #[param(max_length = 1024)]
    cursor: Option<String>,
    /// Rows of the page, 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// A page of offers, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfferPage {
    offers: Vec<OfferRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Why, if it is said.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OfferReason {
    #[serde(default)]
    reason: Option<Note>,
}

/// An offer after a decision.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfferDecided {
    offer_id: OfferId,
}

/// The auction that an offer opened.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfferOpened {
    offer_id: OfferId,
    auction_id: AuctionId,
    bid_id: BidId,
    closes_at: Timestamp,
}

/// What a maker takes from now on.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OfferPolicyChange {
    /// The version that was changed, where `If-Match` does not say it; 0 for the default.
    #[serde(default)]
    base_version: Option<u64>,
    policy: OfferPolicy,
}

/// The version of a maker's policy.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfferPolicySaved {
    version: u64,
}

/// Cuts a page out of offers that come newest first.
async fn page(
    edge: &Edge,
    (list, read): (&str, ReadRequest),
    query: OffersQuery,
) -> Result<Json<OfferPage>, Problem> {
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let now = edge.time.now();
    let after: Option<OfferId> = paging.position(&edge.cursors, list, now)?;
    let OfferList { offers: mut rows } = call::typed(edge, &ForwardRequest::Read(read)).await?;
    if let Some(after) = after {
        let place = rows.iter().position(|row| row.offer_id == after);
        rows.drain(..=place.ok_or_else(|| Problem::from(Code::CursorExpired))?);
    }
    rows.retain(|row| {
        query.status.is_none_or(|status| row.status == status)
            && query.from.is_none_or(|from| row.submitted_at >= from)
            && query.until.is_none_or(|until| row.submitted_at < until)
    });
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows
        .last()
        .filter(|_| has_more)
        .map(|last| edge.cursors.seal(list, &last.offer_id, (now, CURSOR_LIFE)));
    Ok(Json(OfferPage { offers: rows, next_cursor }))
}

/// Says whether an offer would be taken.
#[utoipa::path(get, path = "/v1/stories/{story}/offers/eligibility", operation_id = "checkOffer",
    tag = "offers", params(("story" = StoryId, Path), EligibilityQuery),
    responses((status = 200, description = "Whether, and why not.", body = EligibilityRow)),
    security(("bearer" = [])))]
pub(crate) async fn eligibility(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(story): ApiPath<StoryId>,
    ApiQuery(query): ApiQuery<EligibilityQuery>,
) -> Result<Json<Value>, Problem> {
    let amount = match (query.amount_minor, query.currency) {
        (Some(minor), Some(currency)) => Some(Money::new(minor, currency)),
        (None, None) => None,
        _ => return Err(Problem::invalid("amountMinor", "amount and currency come together")),
    };
    let ship_to = match query.ship_to_country.as_deref().map(Country::parse) {
        None => None,
        Some(Ok(country)) => Some(country),
        Some(Err(error)) => return Err(Problem::invalid("shipToCountry", error.to_string())),
    };
    let read = ReadRequest::Eligibility { user: who.user, story, amount, ship_to };
    call::read(&edge, read).await.map(Json)
}

/// Lists offers on a story: all for its maker, their own for a buyer.
#[utoipa::path(get, path = "/v1/stories/{story}/offers", operation_id = "listStoryOffers",
    tag = "offers", params(("story" = StoryId, Path), OffersQuery),
    responses((status = 200, description = "A page of offers, newest first.", body = OfferPage)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["CURSOR_EXPIRED"]))))]
pub(crate) async fn on_story(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(story): ApiPath<StoryId>,
    ApiQuery(query): ApiQuery<OffersQuery>,
) -> Result<Json<OfferPage>, Problem> {
    let read = ReadRequest::StoryOffers { user: who.user, story };
    page(&edge, (&format!("offers on {story}"), read), query).await
}

/// Lists own offers.
#[utoipa::path(get, path = "/v1/users/me/offers", operation_id = "listMyOffers", tag = "offers",
    params(OffersQuery),
    responses((status = 200, description = "A page of offers, newest first.", body = OfferPage)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["CURSOR_EXPIRED"]))))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiQuery(query): ApiQuery<OffersQuery>,
) -> Result<Json<OfferPage>, Problem> {
    page(&edge, ("own offers", ReadRequest::MyOffers { user: who.user }), query).await
}

/// Shows an offer to its buyer or its maker.
#[utoipa::path(get, path = "/v1/offers/{offer}", operation_id = "getOffer", tag = "offers",
    params(("offer" = OfferId, Path)),
    responses((status = 200, description = "The offer.", body = OfferRow)),
    security(("bearer" = [])))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(offer): ApiPath<OfferId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Offer { user: who.user, offer }).await.map(Json)
}

/// Shows what became of an offer, step by step.
#[utoipa::path(get, path = "/v1/offers/{offer}/history", operation_id = "getOfferHistory",
    tag = "offers", params(("offer" = OfferId, Path)),
    responses((status = 200, description = "Its steps, oldest first.", body = OfferHistory)),
    security(("bearer" = [])))]
pub(crate) async fn history(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(offer): ApiPath<OfferId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::OfferHistory { user: who.user, offer }).await.map(Json)
}

/// Takes an offer back that waits for its maker.
#[utoipa::path(post, path = "/v1/offers/{offer}/withdraw", operation_id = "withdrawOffer",
    tag = "offers", params(("offer" = OfferId, Path), IdempotencyKeyHeader),
    request_body = OfferReason,
    responses((status = 200, description = "It is withdrawn.", body = OfferDecided)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["OFFER_NOT_WITHDRAWABLE", "OFFER_WINDOW_CLOSED"]))))]
pub(crate) async fn withdraw(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(offer): ApiPath<OfferId>,
    ApiJson(body): ApiJson<OfferReason>,
) -> Result<Json<OfferDecided>, Problem> {
    let id = intent.command(&who, "withdraw-offer", &offer.to_string());
    let command = Command::Auction(AuctionCommand::WithdrawOffer { offer, reason: body.reason });
    call::command(&edge, &who, id, command).await?;
    Ok(Json(OfferDecided { offer_id: offer }))
}

/// Refuses an offer that waits, for the maker.
#[utoipa::path(post, path = "/v1/offers/{offer}/reject", operation_id = "rejectOffer",
    tag = "offers", params(("offer" = OfferId, Path), IdempotencyKeyHeader),
    request_body = OfferReason,
    responses((status = 200, description = "It is refused.", body = OfferDecided)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["CAPABILITY_REQUIRED"]))))]
pub(crate) async fn reject(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(offer): ApiPath<OfferId>,
    ApiJson(body): ApiJson<OfferReason>,
) -> Result<Json<OfferDecided>, Problem> {
    let id = intent.command(&who, "reject-offer", &offer.to_string());
    let command = Command::Auction(AuctionCommand::RejectOffer { offer, reason: body.reason });
    call::command(&edge, &who, id, command).await?;
    Ok(Json(OfferDecided { offer_id: offer }))
}

/// Opens the auction with an offer that waits, for the maker.
#[utoipa::path(post, path = "/v1/offers/{offer}/accept", operation_id = "acceptOffer",
    tag = "offers", params(("offer" = OfferId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "The auction is open.", body = OfferOpened)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["AUCTION_ACTIVE",
        "NOT_ELIGIBLE", "CAPABILITY_REQUIRED"]))))]
pub(crate) async fn accept(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(offer): ApiPath<OfferId>,
) -> Result<Json<OfferOpened>, Problem> {
    let id = intent.command(&who, "accept-offer", &offer.to_string());
    let command = Command::Auction(AuctionCommand::AcceptOffer { offer });
    match call::command(&edge, &who, id, command).await? {
        Accepted::AuctionOpened { offer, auction, bid, closes_at } => {
            Ok(Json(OfferOpened { offer_id: offer, auction_id: auction, bid_id: bid, closes_at }))
        }
        _ => Err(call::wrong_kind()),
    }
}

/// Shows what the maker takes.
#[utoipa::path(get, path = "/v1/maker/offer-policy", operation_id = "getOfferPolicy",
    tag = "offers",
    responses((status = 200, description = "The policy.", body = OfferPolicyRow)),
    security(("bearer" = [])))]
pub(crate) async fn policy(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<impl IntoResponse, Problem> {
    let row = call::read(&edge, ReadRequest::OfferPolicy { user: who.user }).await?;
    let version = row.get("version").and_then(Value::as_u64).unwrap_or_default();
    Ok(([(header::ETAG, version::tag(version))], Json(row)))
}

/// Sets what the maker takes from now on.
#[utoipa::path(put, path = "/v1/maker/offer-policy", operation_id = "setOfferPolicy",
    tag = "offers", params(IdempotencyKeyHeader, IfMatchHeader),
    request_body = OfferPolicyChange,
    responses((status = 200, description = "Its version.", body = OfferPolicySaved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["VERSION_CONFLICT", "AMOUNT_OUT_OF_RANGE"]))))]
pub(crate) async fn set_policy(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    seen: IfMatch,
    ApiJson(body): ApiJson<OfferPolicyChange>,
) -> Result<impl IntoResponse, Problem> {
    let base_version = seen.or("baseVersion", body.base_version)?;
    let id = intent.command(&who, "set-offer-policy", &who.user.to_string());
    let set = AuctionCommand::SetOfferPolicy { base_version, policy: body.policy };
    let made = call::command(&edge, &who, id, Command::Auction(set)).await;
    match made.map_err(|problem| seen.explain(problem))? {
        Accepted::OfferPolicySet { version } => {
            Ok(([(header::ETAG, version::tag(version))], Json(OfferPolicySaved { version })))
        }
        _ => Err(call::wrong_kind()),
    }
}

/// Shows what waits for the maker.
#[utoipa::path(get, path = "/v1/maker/dashboard", operation_id = "getMakerDashboard",
    tag = "offers",
    responses((status = 200, description = "What waits.", body = MakerDashboard)),
    security(("bearer" = [])))]
pub(crate) async fn dashboard(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::MakerDashboard { user: who.user }).await.map(Json)
}
