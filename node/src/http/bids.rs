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
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::journal::{Intake, PlaceBid, SubmitOffer};
use fairground_types::limits::{
    BID_VALID_DEFAULT, BID_VALID_MAX, BID_VALID_MIN, BID_WAIT_DEFAULT, BID_WAIT_MAX,
};
use fairground_types::verdict::{Accepted, BidState, Judged};
use fairground_types::{
    AuctionId, BidId, Code, Currency, Millis, Money, OfferId, StoryId, Timestamp, Verdict,
};
use fairground_wire::message::ReadRequest;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::{Intent, PreferredWait, SignedIn};
use super::{call, problem_map};
use crate::edge::Edge;
use crate::intake::{Answer, Known, auction_of, offer_of};

/// How long an accepted bid's answer waits for the feed: who bids and then looks must see the bid.
const VIEW_WAIT: Duration = Duration::from_millis(500);

/// A bid as it is typed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BidRequest {
    amount_minor: u64,
    currency: Currency,
    #[serde(default)]
    valid_for_ms: Option<u64>,
}

/// An offer as it is typed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OfferRequest {
    amount_minor: u64,
    currency: Currency,
    #[serde(default)]
    bid_if_open: bool,
    #[serde(default)]
    valid_for_ms: Option<u64>,
}

/// Until when a bid may take effect: counted from the earliest that it can have been received, so
/// that the log never finds it valid for too long.
fn valid_until(edge: &Edge, valid_for_ms: Option<u64>) -> Result<Timestamp, Problem> {
    let valid_for = valid_for_ms.map_or(BID_VALID_DEFAULT, Millis::new);
    if !(BID_VALID_MIN..=BID_VALID_MAX).contains(&valid_for) {
        let detail =
            format!("must be {} to {}", BID_VALID_MIN.as_millis(), BID_VALID_MAX.as_millis());
        return Err(Problem::invalid("validForMs", detail));
    }
    let from = edge.time.interval().map_or_else(|| edge.time.now(), |stamp| stamp.earliest);
    Ok(from.plus(valid_for))
}

fn wait_of(preferred: PreferredWait) -> Duration {
    let wait = preferred.0.map_or(BID_WAIT_DEFAULT, Millis::from_secs);
    wait.min(BID_WAIT_MAX).to_duration()
}

/// `POST /v1/auctions/{auction}/bids`
pub(crate) async fn place(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    preferred: PreferredWait,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiJson(body): ApiJson<BidRequest>,
) -> Result<Response, Problem> {
    let bid = PlaceBid {
        command: intent.command(&who, "bid", &auction.to_string()),
        auction,
        bidder: who.user,
        amount: Money::new(body.amount_minor, body.currency),
        valid_until: valid_until(&edge, body.valid_for_ms)?,
    };
    take(&edge, Intake::Bid(bid), preferred).await
}

/// `POST /v1/stories/{story}/offers`
pub(crate) async fn offer(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    preferred: PreferredWait,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<OfferRequest>,
) -> Result<Response, Problem> {
    let command = intent.command(&who, "offer", &story.to_string());
    let offer = SubmitOffer {
        command,
        offer: offer_of(&command),
        auction: auction_of(&command),
        story,
        buyer: who.user,
        amount: Money::new(body.amount_minor, body.currency),
        bid_if_open: body.bid_if_open,
        valid_until: valid_until(&edge, body.valid_for_ms)?,
    };
    take(&edge, Intake::Offer(offer), preferred).await
}

async fn take(
    edge: &Arc<Edge>,
    intake: Intake,
    preferred: PreferredWait,
) -> Result<Response, Problem> {
    let (bid, amount) = (intake.bid(), intake.amount());
    let offer = match &intake {
        Intake::Bid(_) => None,
        Intake::Offer(offer) => Some(offer.offer),
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
                let mut body = accepted_body(&accepted, bid, amount);
                body.insert("logIndex".to_owned(), json!(index));
                body.insert("at".to_owned(), json!(at));
                insert_some(&mut body, "offerId", offer);
                insert_some(&mut body, "receipt", receipt.as_deref());
                Ok((StatusCode::CREATED, Json(Value::Object(body))).into_response())
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
            let mut body = Map::new();
            body.insert("bidId".to_owned(), json!(bid));
            body.insert("state".to_owned(), json!(BidState::Received));
            insert_some(&mut body, "offerId", offer);
            insert_some(&mut body, "receipt", receipt.as_deref());
            Ok((StatusCode::ACCEPTED, Json(Value::Object(body))).into_response())
        }
        Answer::Refused { rejection, index } => {
            Err(problem_map::rejection(&rejection, now, Some(index)))
        }
        Answer::Declined { reason } => Err(problem_map::not_ready(reason)),
        Answer::Unknown => Err(problem_map::unknown_fate()),
    }
}

fn insert_some<T: serde::Serialize>(body: &mut Map<String, Value>, name: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), json!(value));
    }
}

fn accepted_body(accepted: &Accepted, bid: BidId, amount: Money) -> Map<String, Value> {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    set("bidId", json!(bid));
    set("state", json!(BidState::Accepted));
    set("amountMinor", json!(amount.minor()));
    set("currency", json!(amount.currency()));
    match accepted {
        Accepted::BidPlaced { auction, min_next, closes_at, .. } => {
            set("auctionId", json!(auction));
            set("minNextBid", json!(min_next));
            set("closesAt", json!(closes_at));
        }
        Accepted::AuctionOpened { auction, closes_at, .. } => {
            set("auctionId", json!(auction));
            set("closesAt", json!(closes_at));
        }
        _ => {}
    }
    body
}

/// `GET /v1/bids/{bid}`
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(bid): ApiPath<BidId>,
) -> Result<Json<Value>, Problem> {
    match edge.intake.known(bid) {
        Some(known) if known.user != who.user => {
            Err(Problem::new(Code::NotFound, "there is no such bid"))
        }
        Some(known) => Ok(Json(known_body(bid, &known))),
        None => call::read(&edge, ReadRequest::Bid { user: who.user, bid }).await.map(Json),
    }
}

fn known_body(bid: BidId, known: &Known) -> Value {
    let mut body = Map::new();
    body.insert("bidId".to_owned(), json!(bid));
    let state = match known.judged.as_ref().map(|judged| &judged.verdict) {
        None => BidState::Received,
        Some(Verdict::Accepted(_)) => BidState::Accepted,
        Some(Verdict::Rejected(_)) => BidState::Rejected,
    };
    body.insert("state".to_owned(), json!(state));
    if let Some(judged) = &known.judged {
        body.insert("logIndex".to_owned(), json!(judged.index));
        body.insert("at".to_owned(), json!(judged.at));
        match &judged.verdict {
            Verdict::Rejected(rejection) => {
                body.insert("code".to_owned(), json!(rejection.code));
                body.insert("detail".to_owned(), json!(rejection.detail));
                body.insert("late".to_owned(), json!(rejection.late));
            }
            Verdict::Accepted(
                Accepted::BidPlaced { auction, .. } | Accepted::AuctionOpened { auction, .. },
            ) => {
                body.insert("auctionId".to_owned(), json!(auction));
            }
            Verdict::Accepted(_) => {}
        }
    }
    insert_some(&mut body, "receipt", known.receipt.as_deref());
    Value::Object(body)
}
