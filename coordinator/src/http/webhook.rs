//! Events of the payment provider: verified on raw bytes, committed, then answered.
//!
//! ```text
//!  body -> signature -> event -> RecordProviderEvent in the log -> 200
//!                \-> 401    |       \-> no quorum: 503, the provider tries again
//!                           \-> a session in a shape not read: looked up; no answer: 503 as well
//! ```
//! Any member takes them; a follower's proposal goes to the leader. What an event means is decided
//! in the market, which knows each event's id and takes it once. Never served by an edge.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use fairground_runtime::problem::{ApiBytes, Problem};
use fairground_stripe::webhook::{self, EventObject};
use fairground_stripe::{PaymentStatus, ProviderEvent, StripeError};
use fairground_types::command::{
    self, Command, FinanceCommand, PaymentCommand, ProviderAccountState, ProviderDisputeState,
    ProviderEventKind, ProviderObject, ProviderObjectEvent,
};
use fairground_types::limits::WEBHOOK_BODY_MAX;
use fairground_types::{Code, CommandId, Digest, OrderId, Verdict};

use super::answer::{propose_problem, rejected};
use super::{Api, Webhooks};
use crate::member::Member;

const SIGNATURE: &str = "stripe-signature";

fn count(outcome: &'static str) {
    metrics::counter!(crate::metrics::WEBHOOKS, "outcome" => outcome).increment(1);
}

/// A delivery is larger than other bodies.
pub(super) const fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(WEBHOOK_BODY_MAX)
}

/// Takes one delivery.
#[utoipa::path(post, path = "/v1/webhooks/stripe", operation_id = "receiveStripeEvent",
    tag = "webhooks", params(("Stripe-Signature" = String, Header)),
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, description = "Kept.")),
    extensions(("x-codes" = json!(["SIGNATURE_INVALID", "COORDINATOR_UNAVAILABLE",
        "EXTERNAL_SERVICE_UNAVAILABLE"]))))]
pub(super) async fn stripe(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<StatusCode, Problem> {
    let member = &api.member;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let secrets: Vec<Vec<u8>> = api
        .webhooks
        .secrets
        .iter()
        .map(|secret| secret.expose().trim().as_bytes().to_vec())
        .collect();
    let event = webhook::verify(&body, signature, &secrets, member.clock.now());
    let event = event.map_err(|error| {
        count("refused");
        tracing::warn!(%error, "webhook refused");
        Problem::new(Code::SignatureInvalid, "the signature does not fit")
    })?;
    if event.livemode != api.webhooks.expects_live {
        count("wrong_mode");
        tracing::error!(event = event.id, live = event.livemode, "event of the other mode");
        return Err(Problem::new(Code::ValidationFailed, "an event of the other mode"));
    }
    let event = in_full(&api.webhooks, event).await?;
    if event.cluster().is_some_and(|cluster| cluster != member.cluster) {
        count("foreign");
        return Ok(StatusCode::OK);
    }
    let raw = Digest::of(&body);
    let id = CommandId::derive_system("stripe", &event.id, &raw.to_string());
    let command = match shown_object(&api, &event).await? {
        Some(object) => {
            let (event, created) = (event.id.clone(), member.inside(event.created));
            let told = ProviderObjectEvent { event, created, object, raw };
            Command::Finance(FinanceCommand::RecordProviderObject(told))
        }
        None => Command::Payment(PaymentCommand::RecordProviderEvent(record(member, &event, raw))),
    };
    let judged = member.command(id, command).await.map_err(|error| {
        count("unavailable");
        propose_problem(error)
    })?;
    match &judged.verdict {
        Verdict::Accepted(_) => {
            count("recorded");
            Ok(StatusCode::OK)
        }
        Verdict::Rejected(rejection) => {
            count("rejected");
            tracing::error!(event = event.id, code = %rejection.code, "event not recorded");
            Err(rejected(member, rejection))
        }
    }
}

/// An event about a checkout session that it does not show in a shape we read: the session is looked
/// up, so that a payment is never missed for one odd field.
async fn in_full(webhooks: &Webhooks, event: ProviderEvent) -> Result<ProviderEvent, Problem> {
    if !event.kind.starts_with("checkout.session.") || shows_enough(&event.object) {
        return Ok(event);
    }
    let named = match &event.object {
        EventObject::Checkout(session) => Some(&session.session_id),
        EventObject::Other { id } => id.as_ref(),
        EventObject::PaymentIntent(_)
        | EventObject::Refund(_)
        | EventObject::Dispute(_)
        | EventObject::Account { .. }
        | EventObject::FraudWarning { .. } => None,
    };
    let Some(session) = named else {
        tracing::error!(event = event.id, "an event about a session that it does not name");
        return Ok(event);
    };
    match webhooks.payments.look_up(session).await {
        Ok(Some(found)) => {
            count("looked_up");
            Ok(ProviderEvent { object: EventObject::Checkout(found), ..event })
        }
        Ok(None) => Ok(event),
        Err(error @ StripeError::Refused { .. }) => {
            tracing::error!(event = event.id, %error, "an event about a session that there is not");
            Ok(event)
        }
        // Not recorded, so that the next delivery counts.
        Err(error) => {
            count("not_looked_up");
            tracing::error!(event = event.id, %error, "an event's session was not looked up");
            let detail = "the session of this event cannot be looked up now";
            Err(Problem::new(Code::ExternalServiceUnavailable, detail))
        }
    }
}

/// What an event about something other than a checkout shows. An account is always read again: its
/// events may come in any sequence.
async fn shown_object(api: &Api, event: &ProviderEvent) -> Result<Option<ProviderObject>, Problem> {
    let (member, webhooks) = (&api.member, &api.webhooks);
    let object = match &event.object {
        EventObject::Refund(shown) => ProviderObject::Refund {
            refund: shown.id.clone(),
            ours: shown.ours,
            payment: shown.payment.clone(),
            amount: shown.amount,
            state: crate::effects::money::state_of(shown.status),
        },
        EventObject::Dispute(shown) => ProviderObject::Dispute {
            dispute: shown.id.clone(),
            payment: shown.payment.clone(),
            charge: shown.charge.clone(),
            amount: shown.amount,
            fee: shown.fee,
            reason: shown.reason.clone(),
            due_by: shown.due_by.map(|at| member.inside(at)),
            state: dispute_state(&shown.status),
        },
        EventObject::Account { id } => match read_account(webhooks, event, id).await? {
            Some(object) => object,
            None => return Ok(None),
        },
        EventObject::FraudWarning { payment, charge } => {
            ProviderObject::FraudWarning { payment: payment.clone(), charge: charge.clone() }
        }
        EventObject::Other { .. } if event.kind == "balance.available" => {
            ProviderObject::BalanceAvailable
        }
        EventObject::Checkout(_) | EventObject::PaymentIntent(_) | EventObject::Other { .. } => {
            return Ok(None);
        }
    };
    Ok(Some(object))
}

async fn read_account(
    webhooks: &Webhooks,
    event: &ProviderEvent,
    id: &str,
) -> Result<Option<ProviderObject>, Problem> {
    let Some(stripe) = webhooks.payments.stripe() else { return Ok(None) };
    if event.kind == "account.application.deauthorized" {
        let state = ProviderAccountState::Closed;
        return Ok(Some(ProviderObject::Account { account: id.to_owned(), user: None, state }));
    }
    match stripe.account(id).await {
        Ok(shown) => {
            let state = if shown.is_closed {
                ProviderAccountState::Closed
            } else if shown.is_ready {
                ProviderAccountState::Ready
            } else if shown.is_restricted {
                ProviderAccountState::Restricted
            } else {
                ProviderAccountState::Onboarding
            };
            Ok(Some(ProviderObject::Account { account: shown.id, user: shown.user, state }))
        }
        Err(error @ StripeError::Refused { .. }) => {
            tracing::error!(event = event.id, %error, "an event about an account that there is not");
            Ok(None)
        }
        Err(error) => {
            count("not_looked_up");
            tracing::error!(event = event.id, %error, "an event's account was not looked up");
            let detail = "the account of this event cannot be looked up now";
            Err(Problem::new(Code::ExternalServiceUnavailable, detail))
        }
    }
}

/// Stripe's word for a dispute. One that is not known moves no money; a later event will.
fn dispute_state(status: &str) -> ProviderDisputeState {
    match status {
        "needs_response" | "under_review" => ProviderDisputeState::Open,
        "won" => ProviderDisputeState::Won,
        "lost" => ProviderDisputeState::Lost,
        "warning_closed" | "prevented" => ProviderDisputeState::InquiryClosed,
        _ => ProviderDisputeState::Inquiry,
    }
}

/// Whether it can be told if the session is paid, and how much.
fn shows_enough(object: &EventObject) -> bool {
    match object {
        EventObject::Checkout(session) => match session.payment_status {
            PaymentStatus::Paid => session.total().is_some(),
            PaymentStatus::Unpaid | PaymentStatus::NoPaymentRequired => true,
            PaymentStatus::Other(_) => false,
        },
        EventObject::PaymentIntent(_)
        | EventObject::Refund(_)
        | EventObject::Dispute(_)
        | EventObject::Account { .. }
        | EventObject::FraudWarning { .. } => true,
        EventObject::Other { .. } => false,
    }
}

fn record(member: &Member, event: &ProviderEvent, raw: Digest) -> command::ProviderEvent {
    let (checkout_session, payment) = match &event.object {
        EventObject::Checkout(session) => {
            (Some(session.session_id.clone()), session.payment_intent.clone())
        }
        EventObject::PaymentIntent(intent) => (None, Some(intent.payment_intent.clone())),
        EventObject::Refund(_)
        | EventObject::Dispute(_)
        | EventObject::Account { .. }
        | EventObject::FraudWarning { .. }
        | EventObject::Other { .. } => (None, None),
    };
    command::ProviderEvent {
        event: event.id.clone(),
        kind: kind(event),
        created: member.inside(event.created),
        lock: event.sale_lock(),
        checkout_session,
        payment,
        amount: event.total(),
        raw,
        new_order: order_of(&event.id),
    }
}

fn kind(event: &ProviderEvent) -> ProviderEventKind {
    let is_paid = match &event.object {
        EventObject::Checkout(session) => session.payment_status == PaymentStatus::Paid,
        EventObject::PaymentIntent(_)
        | EventObject::Refund(_)
        | EventObject::Dispute(_)
        | EventObject::Account { .. }
        | EventObject::FraudWarning { .. }
        | EventObject::Other { .. } => false,
    };
    match event.kind.as_str() {
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" if is_paid => {
            ProviderEventKind::CheckoutPaid
        }
        "checkout.session.expired" => ProviderEventKind::CheckoutExpired,
        "checkout.session.async_payment_failed" | "payment_intent.payment_failed" => {
            ProviderEventKind::PaymentFailed
        }
        _ => ProviderEventKind::Other,
    }
}

/// The order that an event makes, if it makes one: equal for every delivery of the event.
fn order_of(event: &str) -> OrderId {
    let digest = Digest::of(event.as_bytes());
    let (half, _) = digest.as_bytes().split_at(16);
    OrderId::from_bits(half.try_into().map_or(0, u128::from_be_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_of_an_event_names_one_order() {
        assert_eq!(order_of("evt_1"), order_of("evt_1"));
        assert_ne!(order_of("evt_1"), order_of("evt_2"));
    }
}
