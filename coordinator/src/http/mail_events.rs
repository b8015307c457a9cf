//! What the mail service says later about addresses: dead ones, and readers who complained.
//!
//! ```text
//!  delivery -> believed? no: 401 -> each ended address -> its account -> SuppressMail in the log -> 200
//! ```
//! Such an account gets no more mail but critical one. An address that belongs to nobody is passed
//! over. Off unless a key is set for the provider in use. Read next: `fairground_providers` for the
//! shapes, the market's `inbox` for what suppression means.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use fairground_providers::{DeadAddress, MailEventError, Shown, postmark_events, sendgrid_events};
use fairground_runtime::config::Secret;
use fairground_runtime::problem::{ApiBytes, Problem};
use fairground_types::command::{Channel, Command, NoticeCommand};
use fairground_types::limits::WEBHOOK_BODY_MAX;
use fairground_types::{Code, CommandId};

use super::Api;
use super::answer::propose_problem;
use crate::auth;
use crate::options::MailProvider;

const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";

/// How deliveries of the mail service are checked.
pub(crate) struct MailHook {
    pub(crate) provider: MailProvider,
    pub(crate) key: Secret,
}

fn count(outcome: &'static str) {
    metrics::counter!(crate::metrics::MAIL_EVENTS, "outcome" => outcome).increment(1);
}

/// A delivery is larger than other bodies.
pub(super) const fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(WEBHOOK_BODY_MAX)
}

/// Takes what the mail service says about addresses.
#[utoipa::path(post, path = "/v1/webhooks/mail", operation_id = "receiveMailEvents",
    tag = "webhooks",
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, description = "Kept.")),
    extensions(("x-codes" = json!(["SIGNATURE_INVALID", "FEATURE_DISABLED",
        "COORDINATOR_UNAVAILABLE"]))))]
pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<StatusCode, Problem> {
    let Some(hook) = &api.webhooks.mail else {
        let detail = "the mail service is not listened to here";
        return Err(Problem::new(Code::FeatureDisabled, detail));
    };
    let dead = read(&api, hook, &headers, &body).map_err(|error| {
        count("refused");
        tracing::warn!(%error, "mail events refused");
        match error {
            MailEventError::Unsigned => {
                Problem::new(Code::SignatureInvalid, "the delivery is not signed as it must be")
            }
            MailEventError::Unreadable => Problem::invalid("body", "is not an event"),
        }
    })?;
    for address in dead {
        suppress(&api, &address).await?;
    }
    Ok(StatusCode::OK)
}

fn read(
    api: &Api,
    hook: &MailHook,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Vec<DeadAddress>, MailEventError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let shown = Shown {
        signature: text(SIGNATURE),
        timestamp: text(TIMESTAMP),
        authorization: text(header::AUTHORIZATION.as_str()),
    };
    match hook.provider {
        MailProvider::Sendgrid => sendgrid_events(&hook.key, shown, body, api.member.clock.now()),
        MailProvider::Postmark => postmark_events(&hook.key, shown, body),
        MailProvider::Smtp => Err(MailEventError::Unsigned),
    }
}

async fn suppress(api: &Api, dead: &DeadAddress) -> Result<(), Problem> {
    let member = &api.member;
    let normal = auth::normalise(&dead.address, Channel::Email);
    let digest = normal.map(|address| auth::identifier_digest(&member.secrets, &address));
    let user = digest.and_then(|digest| {
        member.state.read(|market| Some(market.account_by_identifier(&digest)?.user()))
    });
    let Some(user) = user else {
        count("nobody");
        return Ok(());
    };
    let id = CommandId::derive_system("mail event", &user.to_string(), &dead.event);
    let command = Command::Notice(NoticeCommand::SuppressMail { user });
    member.command(id, command).await.map_err(propose_problem)?;
    count("suppressed");
    Ok(())
}
