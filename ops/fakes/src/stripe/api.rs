//! A call's way through the API: key, version, ordered faults, idempotency, execution, record.
//!
//! Decided under the state's lock in one go; only the waiting that a fault orders is outside it.
//! Read next: `checkout.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fairground_types::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::checkout::{Paid, Payment};
use super::refusal::Refusal;
use super::{
    API_VERSION, CALLS_MAX, Cause, SAVED_ANSWERS_MAX, SavedAnswer, State, StripeFake,
    VIOLATIONS_MAX, objects, push_bounded,
};
use crate::form::{self, Field};
use crate::serve::DropAnswer;

const BODY_MAX: usize = 1024 * 1024;
const KEY_MAX: usize = 255;
const LIST_DEFAULT: usize = 10;
const LIST_MAX: usize = 100;
const EARLY_WAIT: Duration = Duration::from_secs(5);

/// A call that the API received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Which method.
    pub method: String,
    /// Which path, without the query.
    pub path: String,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// The fields of its form or query.
    pub fields: BTreeMap<String, String>,
    /// What it was answered.
    pub status: u16,
    /// Whether the answer was one that an earlier call with its key got.
    pub replayed: bool,
    /// Whether the answer was not sent.
    pub dropped: bool,
    /// `Request-Id` of the answer.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
}

struct Call {
    method: String,
    path: String,
    fields: Vec<Field>,
    key: Option<String>,
    authorization: Option<String>,
    version: Option<String>,
    /// A JSON body, of API v2.
    json: Option<Value>,
    /// The connected account that is acted for.
    account: Option<String>,
}

struct Answered {
    status: u16,
    body: Bytes,
    request_id: String,
    replayed: bool,
    dropped: bool,
    delay: Duration,
    retry_after: Option<u32>,
    /// The session to pay before this is answered.
    early: Option<String>,
}

/// What was decided, before it is dressed as an answer.
struct Decision {
    status: u16,
    body: Bytes,
    replayed: bool,
    ordered: bool,
    created: Option<String>,
}

impl Decision {
    fn refused(refusal: &Refusal) -> Self {
        Self {
            status: refusal.status,
            body: Bytes::from(refusal.body().to_string()),
            replayed: false,
            ordered: false,
            created: None,
        }
    }
}

/// Everything under `/v1/`.
pub(super) async fn handle(Shared(fake): Shared<Arc<StripeFake>>, request: Request) -> Response {
    let call = match Call::read(request).await {
        Ok(call) => call,
        Err(refusal) => return fake.turned_away(&refusal),
    };
    let answered = fake.answer(&call);
    if let Some(session) = &answered.early {
        fake.pay_early(session).await;
    }
    if !answered.delay.is_zero() {
        tokio::time::sleep(answered.delay).await;
    }
    answered.into_response()
}

impl Call {
    async fn read(request: Request) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let method = head.method.as_str().to_owned();
        let body = axum::body::to_bytes(body, BODY_MAX)
            .await
            .map_err(|_| Refusal::invalid(None, "", "The body is too long or was cut short."))?;
        let is_json = text_of(&head.headers, "Content-Type")
            .is_some_and(|kind| kind.starts_with("application/json"));
        let json = if is_json {
            let read = serde_json::from_slice(&body);
            Some(read.map_err(|_| Refusal::invalid(None, "", "Invalid JSON"))?)
        } else {
            None
        };
        let body = if is_json { Bytes::new() } else { body };
        let mut fields = Vec::new();
        for text in [head.uri.query().unwrap_or_default().as_bytes(), &body] {
            let more = form::parse(text).map_err(|error| {
                Refusal::invalid(None, "", &format!("Invalid form: cannot {error}"))
            })?;
            fields.extend(more);
        }
        Ok(Self {
            method,
            path: head.uri.path().to_owned(),
            fields,
            key: text_of(&head.headers, "Idempotency-Key"),
            authorization: text_of(&head.headers, "Authorization"),
            version: text_of(&head.headers, "Stripe-Version"),
            json,
            account: text_of(&head.headers, "Stripe-Account"),
        })
    }

    fn writes(&self) -> bool {
        self.method != "GET"
    }

    /// Alike for calls that ask for the same, in whatever order.
    fn fingerprint(&self) -> [u8; 32] {
        let mut pairs: Vec<(&str, &str)> =
            self.fields.iter().map(|f| (f.name.as_str(), f.value.as_str())).collect();
        pairs.sort_unstable();
        let mut hash = Sha256::new();
        for text in [self.method.as_str(), self.path.as_str()] {
            hash.update(text.as_bytes());
            hash.update([0]);
        }
        for (name, value) in pairs {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(value.as_bytes());
            hash.update([0]);
        }
        if let Some(json) = &self.json {
            hash.update(json.to_string().as_bytes());
        }
        hash.finalize().into()
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl StripeFake {
    fn answer(&self, call: &Call) -> Answered {
        let request_id = self.ids.mixed("req_", 14);
        let mut state = self.state();
        self.expire_due(&mut state);
        let decision = self.decide(&mut state, call, &request_id);
        let executed = call.writes() && (200..300).contains(&decision.status);
        let dropped = executed && state.faults.take_drop();
        let early = decision.created.filter(|_| state.faults.early);
        let record = CallRecord {
            method: call.method.clone(),
            path: call.path.clone(),
            idempotency_key: call.key.clone(),
            fields: call.fields.iter().map(|f| (f.name.clone(), f.value.clone())).collect(),
            status: decision.status,
            replayed: decision.replayed,
            dropped,
            request_id: request_id.clone(),
            at: state.now(),
        };
        push_bounded(&mut state.calls, record, CALLS_MAX);
        self.check_contract(&mut state, call, decision.status, &decision.body);
        let wait = state.faults.retry_after_seconds;
        Answered {
            status: decision.status,
            body: decision.body,
            request_id,
            replayed: decision.replayed,
            dropped,
            delay: state.faults.delay(),
            retry_after: (decision.ordered && wait > 0).then_some(wait),
            early,
        }
    }

    fn decide(&self, state: &mut State, call: &Call, request_id: &str) -> Decision {
        if let Err(refusal) = self.admit(call) {
            return Decision::refused(&refusal);
        }
        if let Some(status) = state.faults.take_status() {
            return Decision { ordered: true, ..Decision::refused(&Refusal::ordered(status)) };
        }
        let fingerprint = call.fingerprint();
        let key = call.key.as_ref().filter(|_| call.writes());
        if let Some(saved) = key.and_then(|key| state.saved.get(key)) {
            if saved.fingerprint != fingerprint {
                return Decision::refused(&Refusal::other_parameters());
            }
            if saved.ready_at > Instant::now() {
                return Decision::refused(&Refusal::still_running());
            }
            let saved = saved.clone();
            return Decision {
                status: saved.status,
                body: saved.body,
                replayed: true,
                ordered: false,
                created: None,
            };
        }
        let (object, created) = match self.execute(state, call, request_id) {
            Ok(done) => done,
            // What is refused before it begins is not saved: the key may be used again.
            Err(refusal) => return Decision::refused(&refusal),
        };
        let body = Bytes::from(object.to_string());
        if let Some(key) = key {
            let ready_at = Instant::now() + state.faults.delay();
            let saved = SavedAnswer { fingerprint, status: 200, body: body.clone(), ready_at };
            state.saved.insert(key.clone(), saved, SAVED_ANSWERS_MAX);
        }
        Decision { status: 200, body, replayed: false, ordered: false, created }
    }

    fn admit(&self, call: &Call) -> Result<(), Refusal> {
        let sent = call.authorization.as_deref().and_then(|text| text.strip_prefix("Bearer "));
        let sent = sent.ok_or_else(|| {
            Refusal::unauthorized(
                "You did not provide an API key. Use the Authorization header with Bearer.",
            )
        })?;
        if sent != self.key {
            return Err(Refusal::unauthorized("Invalid API Key provided."));
        }
        if call.version.as_deref().is_some_and(|version| version != API_VERSION) {
            let message = format!("Only Stripe-Version {API_VERSION} is spoken here.");
            return Err(Refusal::invalid(None, "", &message));
        }
        if call.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_MAX) {
            let message = "Idempotency keys have 1 to 255 characters.";
            return Err(Refusal::invalid(None, "", message));
        }
        Ok(())
    }

    /// Carries a call out; the second half names a session that it created.
    fn execute(
        &self,
        state: &mut State,
        call: &Call,
        request_id: &str,
    ) -> Result<(Value, Option<String>), Refusal> {
        let cause = Cause { request_id: Some(request_id), key: call.key.as_deref() };
        let all: Vec<&str> = call.path.trim_matches('/').split('/').collect();
        let asked = (call.fields.as_slice(), call.json.as_ref(), call.account.as_deref());
        let method = (call.method.as_str(), all.as_slice());
        if let Some(done) = self.execute_money(state, method, asked, cause) {
            return done.map(|object| (object, None));
        }
        let parts: Vec<&str> = all.into_iter().skip(1).collect();
        let done = match (call.method.as_str(), parts.as_slice()) {
            ("POST", ["checkout", "sessions"]) => {
                let session = self.open(state, &call.fields)?;
                return Ok((self.session_json(&session, false), Some(session.id)));
            }
            ("GET", ["checkout", "sessions", id]) => {
                let expand = expands(&call.fields, "payment_intent")?;
                let found = state.sessions.get(id);
                let session = found.ok_or_else(|| Refusal::not_found("checkout.session", id))?;
                self.session_json(session, expand)
            }
            ("POST", ["checkout", "sessions", id, "expire"]) => {
                no_fields(&call.fields)?;
                let session = self.expire(state, id, cause)?;
                self.session_json(&session, false)
            }
            ("GET", ["payment_intents", id]) => {
                let expand = expands(&call.fields, "latest_charge.balance_transaction")?;
                let session = state.sessions_of_payments.get(id);
                let session = session.and_then(|session| state.sessions.get(session));
                let found = session.and_then(|session| Some((session, session.intent.as_ref()?)));
                let (session, intent) =
                    found.ok_or_else(|| Refusal::not_found("payment_intent", id))?;
                let mut shown = objects::intent(session, intent);
                if expand && intent.payment == Payment::Succeeded {
                    shown["latest_charge"] = super::money::charge(session, intent);
                }
                shown
            }
            ("GET", ["events"]) => list_events(state, &call.fields)?,
            ("GET", ["events", id]) => {
                no_fields(&call.fields)?;
                let found = state.events.iter().find(|event| event.id == **id);
                found.ok_or_else(|| Refusal::not_found("event", id))?.body.clone()
            }
            (method, _) => return Err(Refusal::no_route(method, &call.path)),
        };
        Ok((done, None))
    }

    /// Notes where a call or its answer is not as the description says.
    fn check_contract(&self, state: &mut State, call: &Call, status: u16, body: &[u8]) {
        let Some(contract) = &self.contract else { return };
        let mut found = Vec::new();
        if status != 404 {
            found.extend(contract.fields_violations(&call.method, &call.path, &call.fields));
            let body = serde_json::from_slice(body).unwrap_or(Value::Null);
            found.extend(contract.answer_violations(&call.method, &call.path, status, &body));
        }
        for violation in found {
            tracing::warn!(%violation, "stripe contract broken");
            push_bounded(&mut state.violations, violation, VIOLATIONS_MAX);
        }
    }

    /// A buyer who is faster than the answer.
    async fn pay_early(&self, session: &str) {
        if let Paid::Yes { told, .. } = self.pay(session, "4242424242424242") {
            let all = async {
                for one in told {
                    one.await.ok();
                }
            };
            if tokio::time::timeout(EARLY_WAIT, all).await.is_err() {
                tracing::warn!(session, "early webhooks were not taken in time");
            }
        }
    }

    fn turned_away(&self, refusal: &Refusal) -> Response {
        Answered {
            status: refusal.status,
            body: Bytes::from(refusal.body().to_string()),
            request_id: self.ids.mixed("req_", 14),
            replayed: false,
            dropped: false,
            delay: Duration::ZERO,
            retry_after: None,
            early: None,
        }
        .into_response()
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let mut response = Response::builder()
            .status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header("Content-Type", "application/json")
            .header("Request-Id", self.request_id)
            .header("Stripe-Version", API_VERSION);
        if self.replayed {
            response = response.header("Idempotent-Replayed", "true");
        }
        if let Some(seconds) = self.retry_after {
            response = response.header("Retry-After", seconds);
        }
        if self.dropped {
            response = response.extension(DropAnswer);
        }
        response
            .body(Body::from(self.body))
            .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// Whether `expand[]` asks for the one thing that can be expanded.
fn expands(fields: &[Field], known: &str) -> Result<bool, Refusal> {
    for field in fields {
        if field.path.first().is_none_or(|name| name != "expand") || field.value != known {
            return Err(Refusal::unknown(&field.name));
        }
    }
    Ok(!fields.is_empty())
}

fn no_fields(fields: &[Field]) -> Result<(), Refusal> {
    fields.first().map_or(Ok(()), |field| Err(Refusal::unknown(&field.name)))
}

/// `GET /v1/events`: newest first, by `type`, `types[]`, `created[..]`, `limit`, `starting_after`.
fn list_events(state: &State, fields: &[Field]) -> Result<Value, Refusal> {
    let mut limit = LIST_DEFAULT;
    let mut after = None;
    let mut kinds: Vec<&str> = Vec::new();
    let (mut from, mut to) = (0, u64::MAX);
    for field in fields {
        let path: Vec<&str> = field.path.iter().map(String::as_str).collect();
        let number = || {
            let parsed = field.value.parse::<u64>();
            parsed.map_err(|_| Refusal::invalid(None, &field.name, "Invalid integer"))
        };
        match path.as_slice() {
            ["limit"] => {
                limit = usize::try_from(number()?).unwrap_or(LIST_MAX).clamp(1, LIST_MAX);
            }
            ["starting_after"] => after = Some(field.value.as_str()),
            ["type"] | ["types", _] => kinds.push(&field.value),
            ["created"] => (from, to) = (number()?, number()?),
            ["created", "gte"] => from = number()?,
            ["created", "gt"] => from = number()?.saturating_add(1),
            ["created", "lte"] => to = number()?,
            ["created", "lt"] => to = number()?.saturating_sub(1),
            _ => return Err(Refusal::unknown(&field.name)),
        }
    }
    let mut newest_first = state.events.iter().rev();
    if let Some(after) = after
        && !newest_first.any(|event| event.id == after)
    {
        return Err(Refusal::not_found("event", after));
    }
    let mut found = newest_first.filter(|event| {
        (from..=to).contains(&event.created) && (kinds.is_empty() || kinds.contains(&event.kind))
    });
    let page = found.by_ref().take(limit).map(|event| event.body.clone()).collect();
    Ok(objects::list("/v1/events", page, found.next().is_some()))
}
