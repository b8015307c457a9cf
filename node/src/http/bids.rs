//! Bids and offers: the only requests that this edge keeps itself.
//!
//! ```text
//!   201 verdict   202 received: receipt, Location   4xx verdict or refusal   503 not taken here
//! ```
//! Errors of shape only are found here; the rest is `crate::intake`'s and the log's.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_market::PublicView;
use fairground_runtime::openapi::{IdempotencyKeyHeader, PreferHeader};
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::journal::{Eligibility, Intake, Maximum, PlaceBid, SubmitOffer};
use fairground_types::limits::{
    BID_VALID_DEFAULT, BID_VALID_MAX, BID_VALID_MIN, BID_WAIT_DEFAULT, BID_WAIT_MAX,
};
use fairground_types::signature::SIGNED_BIDS_RULES;
use fairground_types::text::{Country, OfferNote};
use fairground_types::verdict::{Accepted, BidState, Judged};
use fairground_types::{
    AuctionId, BidId, Code, Currency, DeviceKeyId, DeviceSignature, LogIndex, Millis, Money,
    OfferId, StoryId, Timestamp, Verdict,
};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};

use super::auth::{Intent, PreferredWait, SignedIn};
use super::price::{MinorUnits, money_of};
use super::{call, problem_map};
use crate::edge::Edge;
use crate::intake::{Answer, Known, auction_of, offer_of};

/// How long an accepted bid's answer waits for the feed: who bids and then looks must see the bid.
const VIEW_WAIT: Duration = Duration::from_millis(500);

/// A bid as it is typed.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BidRequest {
    #[serde(default)]
    amount_minor: Option<MinorUnits>,
    /// A decimal in major units, as text, instead of `amountMinor`.
    #[serde(default)]
    amount: Option<String>,
    currency: Currency,
    /// Up to how much the market bids on, in minor units; private, where the auction takes it.
    #[serde(default)]
    maximum_minor: Option<MinorUnits>,
    /// How long the bid may wait for its verdict; 120,000 unless said.
    #[serde(default)]
    valid_for_ms: Option<u64>,
    /// Until when the bid may wait, instead of `validForMs`; a signed bid says it so.
    #[serde(default)]
    valid_until: Option<Timestamp>,
    /// The device's signature.
    #[serde(default)]
    signature: Option<BidSignature>,
}

/// A device's signature under a bid or an offer.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BidSignature {
    /// The key, as its registration named it.
    key_id: DeviceKeyId,
    /// The 64 bytes of the signature, base64url without padding.
    #[schema(min_length = 86, max_length = 86)]
    value: String,
}

/// An offer as it is typed.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OfferRequest {
    #[serde(default)]
    amount_minor: Option<MinorUnits>,
    /// A decimal in major units, as text, instead of `amountMinor`.
    #[serde(default)]
    amount: Option<String>,
    currency: Currency,
    /// For the maker's eyes.
    #[serde(default)]
    note: Option<OfferNote>,
    /// Where the piece would go (ISO 3166-1).
    #[serde(default)]
    ship_to_country: Option<Country>,
    /// Agrees to the terms of trade; an offer is binding once it opens an auction.
    #[serde(default)]
    accept_terms: Option<bool>,
    /// Bid when an auction is open already.
    #[serde(default)]
    bid_if_open: bool,
    #[serde(default)]
    valid_for_ms: Option<u64>,
    /// Until when the offer may wait, instead of `validForMs`; a signed offer says it so.
    #[serde(default)]
    valid_until: Option<Timestamp>,
    /// The device's signature.
    #[serde(default)]
    signature: Option<BidSignature>,
}

/// A bid or an offer that was taken.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BidAnswer {
    bid_id: BidId,
    state: BidState,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_id: Option<OfferId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auction_id: Option<AuctionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_next_bid: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closes_at: Option<Timestamp>,
    /// The entry that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_index: Option<LogIndex>,
    /// Log time of that entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// When an offer that waits for its maker opens an auction by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<Timestamp>,
    /// The edge's signed receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

/// What became of a bid, for its bidder.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BidStatus {
    bid_id: BidId,
    state: BidState,
    #[serde(skip_serializing_if = "Option::is_none")]
    auction_id: Option<AuctionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// In time by its stamp, but after the close.
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_index: Option<LogIndex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    /// Whether it leads now, where the cluster was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    leads: Option<bool>,
}

/// Until when a bid may take effect: counted from the earliest that it can have been received, so
/// that the log never finds it valid for too long. An instant that the client has signed is taken as
/// it is, also when it is past: only the log expires a bid.
fn valid_until(
    edge: &Edge,
    (valid_for_ms, valid_until): (Option<u64>, Option<Timestamp>),
    is_signed: bool,
) -> Result<Timestamp, Problem> {
    let from = edge.time.interval().map_or_else(|| edge.time.now(), |stamp| stamp.earliest);
    if let Some(until) = valid_until {
        if valid_for_ms.is_some() {
            return Err(Problem::invalid("validUntil", "comes instead of validForMs"));
        }
        if until > from.plus(BID_VALID_MAX) {
            return Err(Problem::invalid("validUntil", "is more than 300 s from now"));
        }
        return Ok(until);
    }
    if is_signed {
        return Err(Problem::invalid("validUntil", "a signed bid says until when it is valid"));
    }
    let valid_for = valid_for_ms.map_or(BID_VALID_DEFAULT, Millis::new);
    if !(BID_VALID_MIN..=BID_VALID_MAX).contains(&valid_for) {
        let detail =
            format!("must be {} to {}", BID_VALID_MIN.as_millis(), BID_VALID_MAX.as_millis());
        return Err(Problem::invalid("validForMs", detail));
    }
    Ok(from.plus(valid_for))
}

/// A bid or an offer with the signature that came with it. Before the rules know signatures none is
/// kept: no account has a key yet, and an older member could not read it.
fn signed(edge: &Edge, intake: Intake, signature: Option<BidSignature>) -> Result<Intake, Problem> {
    let Some(BidSignature { key_id, value }) = signature else { return Ok(intake) };
    let bytes = URL_SAFE_NO_PAD.decode(value).ok().and_then(|bytes| bytes.try_into().ok());
    let malformed = || Problem::invalid("signature.value", "is not 64 bytes in base64url");
    let signature = DeviceSignature { key: key_id, bytes: bytes.ok_or_else(malformed)? };
    if edge.view.read(PublicView::rules) < SIGNED_BIDS_RULES {
        return Ok(intake);
    }
    Ok(intake.signed(signature))
}

fn wait_of(preferred: PreferredWait) -> Duration {
    let wait = preferred.0.map_or(BID_WAIT_DEFAULT, Millis::from_secs);
    wait.min(BID_WAIT_MAX).to_duration()
}

fn maximum_of(body: &BidRequest) -> Result<Option<Maximum>, Problem> {
    let Some(minor) = body.maximum_minor else { return Ok(None) };
    money_of(Some(minor), None, body.currency).map(|maximum| Some(Maximum::new(maximum)))
}

/// Places a bid.
#[utoipa::path(post, path = "/v1/auctions/{auction}/bids", operation_id = "placeBid", tag = "bids",
    params(("auction" = AuctionId, Path), IdempotencyKeyHeader, PreferHeader),
    request_body = BidRequest,
    responses(
        (status = 201, description = "The bid leads.", body = BidAnswer),
        (status = 202, description = "Received; the verdict follows at `Location`.", body = BidAnswer),
    ),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["AMOUNT_OUT_OF_RANGE", "CURRENCY_MISMATCH", "SELF_BID",
        "NOT_ELIGIBLE", "BID_TOO_LOW", "BID_EXPIRED", "STAMP_REFUSED", "CLOSING", "TOO_MANY_BIDS",
        "AUCTION_CLOSED", "AUCTION_LOCKED", "NOT_BID_READY", "SIGNATURE_REQUIRED",
        "SIGNATURE_REFUSED"]))))]
pub(crate) async fn place(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    preferred: PreferredWait,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiJson(body): ApiJson<BidRequest>,
) -> Result<Response, Problem> {
    let is_signed = body.signature.is_some();
    let bid = PlaceBid {
        command: intent.command(&who, "bid", &auction.to_string()),
        auction,
        bidder: who.user,
        amount: money_of(body.amount_minor, body.amount.as_deref(), body.currency)?,
        maximum: maximum_of(&body)?,
        valid_until: valid_until(&edge, (body.valid_for_ms, body.valid_until), is_signed)?,
    };
    take(&edge, signed(&edge, Intake::Bid(bid), body.signature)?, preferred).await
}

/// Makes an offer, which opens an auction; or bids, when one is open and that is wanted.
#[utoipa::path(post, path = "/v1/stories/{story}/offers", operation_id = "makeOffer", tag = "bids",
    params(("story" = StoryId, Path), IdempotencyKeyHeader, PreferHeader),
    request_body = OfferRequest,
    responses(
        (status = 201, description = "The offer leads.", body = BidAnswer),
        (status = 202, description = "Received; the verdict follows at `Location`.", body = BidAnswer),
    ),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["AMOUNT_OUT_OF_RANGE", "CURRENCY_MISMATCH",
        "OFFER_MIN_VIOLATION", "SELF_BID", "NOT_ELIGIBLE", "BID_TOO_LOW", "BID_EXPIRED",
        "STAMP_REFUSED", "CLOSING", "TOO_MANY_BIDS", "AUCTION_ACTIVE", "AUCTION_CLOSED",
        "AUCTION_LOCKED", "NOT_BID_READY", "SIGNATURE_REQUIRED", "SIGNATURE_REFUSED"]))))]
pub(crate) async fn offer(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    preferred: PreferredWait,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<OfferRequest>,
) -> Result<Response, Problem> {
    if body.accept_terms == Some(false) {
        return Err(Problem::invalid("acceptTerms", "an offer needs the terms accepted"));
    }
    let command = intent.command(&who, "offer", &story.to_string());
    let is_signed = body.signature.is_some();
    let offer = SubmitOffer {
        command,
        offer: offer_of(&command),
        auction: auction_of(&command),
        story,
        buyer: who.user,
        amount: money_of(body.amount_minor, body.amount.as_deref(), body.currency)?,
        note: body.note,
        ship_to: body.ship_to_country,
        // No check of this deployment's own is configured.
        eligibility: Eligibility::Allowed,
        bid_if_open: body.bid_if_open,
        valid_until: valid_until(&edge, (body.valid_for_ms, body.valid_until), is_signed)?,
    };
    take(&edge, signed(&edge, Intake::Offer(offer), body.signature)?, preferred).await
}

async fn take(
    edge: &Arc<Edge>,
    intake: Intake,
    preferred: PreferredWait,
) -> Result<Response, Problem> {
    let (bid, amount) = (intake.bid(), intake.amount());
    let offer = match &intake {
        Intake::Bid(_) | Intake::SignedBid(..) => None,
        Intake::Offer(offer) | Intake::SignedOffer(offer, _) => Some(offer.offer),
    };
    let wait = wait_of(preferred);
    let answer = edge.intake.take(intake, wait).await;
    if let Answer::Judged { judged, .. } = &answer
        && judged.verdict.is_accepted()
    {
        edge.view.reach(judged.index, VIEW_WAIT).await;
    }
    let mut response = answered(edge, answer, (bid, offer), amount)?;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/bids/{bid}")) {
        headers.insert(header::LOCATION, location);
    }
    let applied = preferred.0.map(|_| format!("wait={}", wait.as_secs()));
    if let Some(applied) = applied.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert("preference-applied", applied);
    }
    Ok(response)
}

fn answered(
    edge: &Edge,
    answer: Answer,
    (bid, offer): (BidId, Option<OfferId>),
    amount: Money,
) -> Result<Response, Problem> {
    let now = edge.time.now();
    match answer {
        Answer::Judged { judged: Judged { index, at, verdict }, receipt } => match verdict {
            Verdict::Accepted(accepted) => {
                let receipt = receipt.as_deref().map(str::to_owned);
                let found = accepted_facts(&accepted);
                let amount = placed_amount(&accepted, amount);
                let body = BidAnswer {
                    bid_id: bid,
                    state: BidState::Accepted,
                    offer_id: offer,
                    auction_id: found.0,
                    amount_minor: Some(amount.minor()),
                    currency: Some(amount.currency()),
                    min_next_bid: found.1,
                    closes_at: found.2,
                    log_index: Some(index),
                    at: Some(at),
                    opens_at: match accepted {
                        Accepted::OfferSubmitted { opens_at, .. } => Some(opens_at),
                        _ => None,
                    },
                    receipt,
                };
                Ok((StatusCode::CREATED, Json(body)).into_response())
            }
            Verdict::Rejected(rejection) => {
                let problem = problem_map::rejection(&rejection, now, Some(index));
                let problem = problem.with("bidId", bid);
                Err(match receipt {
                    Some(receipt) => problem.with("receipt", &*receipt),
                    None => problem,
                })
            }
        },
        Answer::Received { receipt } => {
            let body = BidAnswer {
                bid_id: bid,
                state: BidState::Received,
                offer_id: offer,
                auction_id: None,
                amount_minor: None,
                currency: None,
                min_next_bid: None,
                closes_at: None,
                log_index: None,
                at: None,
                opens_at: None,
                receipt: receipt.as_deref().map(str::to_owned),
            };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Answer::Refused { rejection, index } => {
            Err(problem_map::rejection(&rejection, now, Some(index)))
        }
        Answer::Declined { reason } => Err(problem_map::not_ready(reason)),
        Answer::Unknown => Err(problem_map::unknown_fate()),
    }
}

/// What was placed, which a private maximum may raise above what was asked.
const fn placed_amount(accepted: &Accepted, asked: Money) -> Money {
    match accepted {
        Accepted::BidPlaced { amount, .. } => *amount,
        _ => asked,
    }
}

/// The auction, the least next bid and the close, as far as a verdict tells them.
const fn accepted_facts(
    accepted: &Accepted,
) -> (Option<AuctionId>, Option<Money>, Option<Timestamp>) {
    match accepted {
        Accepted::BidPlaced { auction, min_next, closes_at, .. } => {
            (Some(*auction), Some(*min_next), Some(*closes_at))
        }
        Accepted::AuctionOpened { auction, closes_at, .. } => {
            (Some(*auction), None, Some(*closes_at))
        }
        _ => (None, None, None),
    }
}

/// Tells what became of an own bid.
#[utoipa::path(get, path = "/v1/bids/{bid}", operation_id = "getBid", tag = "bids",
    params(("bid" = BidId, Path)),
    responses((status = 200, description = "The bid.", body = BidStatus)),
    security(("bearer" = [])))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(bid): ApiPath<BidId>,
) -> Result<Response, Problem> {
    match edge.intake.known(bid) {
        Some(known) if known.user != who.user => {
            Err(Problem::new(Code::NotFound, "there is no such bid"))
        }
        Some(known) => Ok(Json(known_body(bid, &known)).into_response()),
        None => {
            let row = call::read(&edge, ReadRequest::Bid { user: who.user, bid }).await?;
            Ok(Json(row).into_response())
        }
    }
}

fn known_body(bid: BidId, known: &Known) -> BidStatus {
    let mut body = BidStatus {
        bid_id: bid,
        state: BidState::Received,
        auction_id: None,
        amount: None,
        code: None,
        detail: None,
        late: None,
        log_index: None,
        at: None,
        receipt: known.receipt.as_deref().map(str::to_owned),
        leads: None,
    };
    if let Some(judged) = &known.judged {
        body.log_index = Some(judged.index);
        body.at = Some(judged.at);
        match &judged.verdict {
            Verdict::Rejected(rejection) => {
                body.state = BidState::Rejected;
                body.code = Some(rejection.code);
                body.detail = Some(rejection.detail.clone());
                body.late = Some(rejection.late);
            }
            Verdict::Accepted(accepted) => {
                body.state = BidState::Accepted;
                body.auction_id = accepted_facts(accepted).0;
            }
        }
    }
    body
}

/// A body as a handler reads it; all of it is there already.
#[cfg(feature = "fuzz")]
fn read_body<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    use axum::extract::FromRequest as _;
    use futures_util::FutureExt as _;

    let request = http::Request::builder().header(header::CONTENT_TYPE, "application/json");
    let request = request.body(axum::body::Body::from(body.to_vec())).ok()?;
    let ApiJson(read) = ApiJson::<T>::from_request(request, &()).now_or_never()?.ok()?;
    Some(read)
}

/// Whether a body is that of a bid; for the fuzz targets.
#[cfg(feature = "fuzz")]
pub(crate) fn reads_bid(body: &[u8]) -> bool {
    read_body::<BidRequest>(body).is_some_and(|body| {
        let amount = money_of(body.amount_minor, body.amount.as_deref(), body.currency);
        amount.is_ok() && maximum_of(&body).is_ok()
    })
}

/// Whether a body is that of an offer; for the fuzz targets.
#[cfg(feature = "fuzz")]
pub(crate) fn reads_offer(body: &[u8]) -> bool {
    read_body::<OfferRequest>(body).is_some_and(|body| {
        money_of(body.amount_minor, body.amount.as_deref(), body.currency).is_ok()
    })
}
