//! Issues: what the two parties of an order do about a complaint.
//!
//! Staff works at a member. Read next: `orders.rs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fairground_market::IssueRow;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{
    Command, Evidence, IssueCommand, IssueKind, MakerOffer, OpenIssue,
};
use fairground_types::{AssetId, BlobHash, CommandId, IssueId, OrderId, limits};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::orders::private;
use super::{call, evidence as pictures};
use crate::edge::Edge;
use crate::intake::derived_bits;

/// A complaint.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IssueRequest {
    kind: IssueKind,
    /// 50 to 1,000 characters.
    #[schema(min_length = 50, max_length = 1000)]
    description: String,
    /// Pictures and clips, at most six.
    #[serde(default)]
    #[schema(max_items = 6)]
    evidence: Vec<EvidenceReference>,
}

/// Something that shows what is wrong: one of the two.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EvidenceReference {
    /// A picture that was sent to `/v1/orders/{order}/evidence`.
    image: Option<BlobHash>,
    /// An uploaded clip of one's own.
    asset_id: Option<AssetId>,
}

/// More that shows what is wrong.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EvidenceRequest {
    #[schema(min_items = 1, max_items = 6)]
    evidence: Vec<EvidenceReference>,
}

/// What a party says.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RespondRequest {
    /// In words; without an offer they are needed.
    #[schema(max_length = 1000)]
    text: Option<String>,
    /// What the maker offers.
    offer: Option<OfferName>,
    /// How much of the price a partial refund is.
    #[schema(minimum = 10, maximum = 90)]
    percent: Option<u8>,
}

/// What a maker may offer.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OfferName {
    FullRefund,
    PartialRefund,
    Replacement,
}

/// Why a decision is not accepted.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AppealRequest {
    #[schema(min_length = 1, max_length = 1000)]
    text: String,
}

/// The state of an issue after a step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssueChanged {
    issue_id: IssueId,
    /// `open`, `underReview`, `awaitingResponse`, `escalated` or `resolved`.
    state: Option<String>,
}

fn evidence_of(references: &[EvidenceReference]) -> Result<Vec<Evidence>, Problem> {
    if references.len() > limits::EVIDENCE_MAX {
        return Err(Problem::invalid("evidence", "at most six"));
    }
    references
        .iter()
        .map(|reference| match (reference.image, reference.asset_id) {
            (Some(image), None) => Ok(Evidence::Image(image)),
            (None, Some(asset)) => Ok(Evidence::Clip(asset)),
            _ => Err(Problem::invalid("evidence", "name either `image` or `assetId`")),
        })
        .collect()
}

/// Sees to it that pictures are kept that somebody relies on from now on: what nothing named for a day
/// may have gone since it was sent.
async fn rely_on(edge: &Edge, shown: &[Evidence]) -> Result<(), Problem> {
    for one in shown {
        if let Evidence::Image(image) = one {
            let bytes = pictures::fetch(edge, *image).await?;
            pictures::keep(edge, *image, &bytes).await?;
        }
    }
    Ok(())
}

async fn change(
    edge: &Edge,
    who: &SignedIn,
    id: CommandId,
    (issue, command): (IssueId, IssueCommand),
) -> Result<IssueChanged, Problem> {
    call::command(edge, who, id, Command::Issue(command)).await?;
    let row = call::read(edge, ReadRequest::Issue { user: who.user, issue }).await?;
    let state = row.get("state").and_then(Value::as_str).map(str::to_owned);
    Ok(IssueChanged { issue_id: issue, state })
}

/// Opens an issue, for the buyer.
#[utoipa::path(post, path = "/v1/orders/{order}/issues", operation_id = "openIssue",
    tag = "issues", params(("order" = OrderId, Path), IdempotencyKeyHeader),
    request_body = IssueRequest,
    responses((status = 201, description = "The order is held.", body = IssueChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["ISSUE_WINDOW_CLOSED", "DUPLICATE_ISSUE", "LIMIT_REACHED"]))))]
pub(crate) async fn open(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(order): ApiPath<OrderId>,
    ApiJson(body): ApiJson<IssueRequest>,
) -> Result<(StatusCode, Json<IssueChanged>), Problem> {
    let bounds = (limits::ISSUE_TEXT_MIN, limits::ISSUE_TEXT_MAX);
    let description = private("description", &body.description, bounds)?;
    let evidence = evidence_of(&body.evidence)?;
    rely_on(&edge, &evidence).await?;
    let id = intent.command(&who, "open-issue", &order.to_string());
    let issue = IssueId::from_bits(derived_bits("fairground 2026 issue id v1", &id));
    let open = OpenIssue { issue, order, kind: body.kind, description, evidence };
    let changed = change(&edge, &who, id, (issue, IssueCommand::OpenIssue(open))).await?;
    Ok((StatusCode::CREATED, Json(changed)))
}

/// Shows an issue to its parties.
#[utoipa::path(get, path = "/v1/issues/{issue}", operation_id = "getIssue", tag = "issues",
    params(("issue" = IssueId, Path)),
    responses((status = 200, description = "The issue.", body = IssueRow)),
    security(("bearer" = [])))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiPath(issue): ApiPath<IssueId>,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::Issue { user: who.user, issue }).await.map(Json)
}

/// Shows more.
#[utoipa::path(post, path = "/v1/issues/{issue}/evidence", operation_id = "addEvidence",
    tag = "issues", params(("issue" = IssueId, Path), IdempotencyKeyHeader),
    request_body = EvidenceRequest,
    responses((status = 200, description = "It was taken.", body = IssueChanged)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["LIMIT_REACHED"]))))]
pub(crate) async fn add_evidence(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(issue): ApiPath<IssueId>,
    ApiJson(body): ApiJson<EvidenceRequest>,
) -> Result<Json<IssueChanged>, Problem> {
    let evidence = evidence_of(&body.evidence)?;
    rely_on(&edge, &evidence).await?;
    let id = intent.command(&who, "add-evidence", &issue.to_string());
    change(&edge, &who, id, (issue, IssueCommand::AddEvidence { issue, evidence })).await.map(Json)
}

/// Offers a way out (the maker), or answers what was asked (either party; the buyer says no to an
/// offer so).
#[utoipa::path(post, path = "/v1/issues/{issue}/respond", operation_id = "respondToIssue",
    tag = "issues", params(("issue" = IssueId, Path), IdempotencyKeyHeader),
    request_body = RespondRequest,
    responses((status = 200, description = "It was said.", body = IssueChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["AMOUNT_OUT_OF_RANGE", "LIMIT_REACHED"]))))]
pub(crate) async fn respond(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(issue): ApiPath<IssueId>,
    ApiJson(body): ApiJson<RespondRequest>,
) -> Result<Json<IssueChanged>, Problem> {
    let bounds = (1, limits::ISSUE_TEXT_MAX);
    let text = body.text.map(|text| private("text", &text, bounds)).transpose()?;
    let offer = match (body.offer, body.percent) {
        (Some(OfferName::PartialRefund), Some(percent)) => {
            Some(MakerOffer::PartialRefund { percent })
        }
        (Some(OfferName::PartialRefund), None) => {
            return Err(Problem::invalid("percent", "say how much"));
        }
        (_, Some(_)) => return Err(Problem::invalid("percent", "belongs to a partial refund")),
        (Some(OfferName::FullRefund), None) => Some(MakerOffer::FullRefund),
        (Some(OfferName::Replacement), None) => Some(MakerOffer::Replacement),
        (None, None) => None,
    };
    let command = match (offer, text) {
        (Some(offer), text) => IssueCommand::OfferResolution { issue, offer, text },
        (None, Some(text)) => IssueCommand::AnswerIssue { issue, text },
        (None, None) => return Err(Problem::invalid("text", "say something, or offer something")),
    };
    let id = intent.command(&who, "respond-issue", &issue.to_string());
    change(&edge, &who, id, (issue, command)).await.map(Json)
}

/// Takes the maker's offer, for the buyer.
#[utoipa::path(post, path = "/v1/issues/{issue}/accept-offer", operation_id = "acceptIssueOffer",
    tag = "issues", params(("issue" = IssueId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "The issue is settled.", body = IssueChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["AMOUNT_OUT_OF_RANGE", "LIMIT_REACHED"]))))]
pub(crate) async fn accept_offer(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(issue): ApiPath<IssueId>,
) -> Result<Json<IssueChanged>, Problem> {
    let id = intent.command(&who, "accept-offer", &issue.to_string());
    change(&edge, &who, id, (issue, IssueCommand::AcceptResolution { issue })).await.map(Json)
}

/// Appeals against the decision, once.
#[utoipa::path(post, path = "/v1/issues/{issue}/appeal", operation_id = "appealIssue",
    tag = "issues", params(("issue" = IssueId, Path), IdempotencyKeyHeader),
    request_body = AppealRequest,
    responses((status = 200, description = "It is decided again.", body = IssueChanged)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["ISSUE_WINDOW_CLOSED", "DUPLICATE_ISSUE", "LIMIT_REACHED"]))))]
pub(crate) async fn appeal(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(issue): ApiPath<IssueId>,
    ApiJson(body): ApiJson<AppealRequest>,
) -> Result<Json<IssueChanged>, Problem> {
    let text = private("text", &body.text, (1, limits::ISSUE_TEXT_MAX))?;
    let id = intent.command(&who, "appeal-issue", &issue.to_string());
    change(&edge, &who, id, (issue, IssueCommand::AppealIssue { issue, text })).await.map(Json)
}
