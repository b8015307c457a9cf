//! What happens to a session: opened, paid, declined, expired; and the events that tell of it.
//!
//! Read next: `objects.rs` for how it looks, `webhooks.rs` for how the events leave.

use serde_json::Value;
use tokio::sync::oneshot;

use super::params::{self, Asked};
use super::refusal::Refusal;
use super::{Cause, EVENTS_MAX, Event, SESSIONS_MAX, State, StripeFake, objects, push_bounded};
use crate::form::Field;

/// A checkout session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) status: Status,
    pub(crate) asked: Asked,
    /// There is none before the first attempt to pay.
    pub(crate) intent: Option<Intent>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Open,
    Complete,
    Expired,
}

impl Status {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Expired => "expired",
        }
    }
}

/// The payment of a session.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) charge: String,
    pub(crate) method: String,
    pub(crate) payment: Payment,
}

/// How the last attempt to pay went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payment {
    Succeeded,
    Declined { code: &'static str },
}

/// What became of a card on the hosted page.
#[derive(Debug)]
pub(crate) enum Paid {
    /// It was taken: where the buyer goes, and the deliveries that tell of it.
    Yes { to: String, told: Vec<oneshot::Receiver<()>> },
    /// It was declined; another may be tried.
    Declined { code: &'static str },
    /// It is not a card that this page knows.
    UnknownCard,
    /// The session is not open.
    NotOpen,
    /// There is no such session.
    NoSession,
}

/// How Stripe's test cards go. `None`: not one of them.
fn payment_by(card: &str) -> Option<Payment> {
    let digits: String = card.chars().filter(|character| !" -".contains(*character)).collect();
    match digits.as_str() {
        "4242424242424242" | "5555555555554444" => Some(Payment::Succeeded),
        "4000000000000002" => Some(Payment::Declined { code: "generic_decline" }),
        "4000000000009995" => Some(Payment::Declined { code: "insufficient_funds" }),
        _ => None,
    }
}

impl StripeFake {
    pub(super) fn page_of(&self, id: &str) -> String {
        format!("{}/pay/{id}", self.base_url)
    }

    pub(super) fn session_json(&self, session: &Session, expand_intent: bool) -> Value {
        objects::session(session, &self.page_of(&session.id), expand_intent)
    }

    pub(super) fn open(&self, state: &mut State, fields: &[Field]) -> Result<Session, Refusal> {
        let now = state.now().as_unix_seconds();
        let session = Session {
            asked: params::read(fields, now)?,
            id: self.ids.mixed("cs_test_", 58),
            created: now,
            status: Status::Open,
            intent: None,
        };
        state.sessions.insert(session.id.clone(), session.clone(), SESSIONS_MAX);
        Ok(session)
    }

    /// Ends an open session and tells of it.
    pub(super) fn expire(
        &self,
        state: &mut State,
        id: &str,
        cause: Cause<'_>,
    ) -> Result<Session, Refusal> {
        let session =
            state.sessions.get_mut(id).ok_or_else(|| Refusal::not_found("checkout.session", id))?;
        if session.status != Status::Open {
            let message = format!(
                "Only Checkout Sessions with a status in [\"open\"] can be expired. This one is {}.",
                session.status.word()
            );
            return Err(Refusal::invalid(None, "", &message));
        }
        session.status = Status::Expired;
        let session = session.clone();
        self.tell(state, "checkout.session.expired", cause, self.session_json(&session, false));
        Ok(session)
    }

    /// Ends the sessions whose time has come.
    pub(super) fn expire_due(&self, state: &mut State) {
        let now = state.now().as_unix_seconds();
        let due: Vec<String> = state
            .sessions
            .things
            .values()
            .filter(|session| session.status == Status::Open && session.asked.expires_at <= now)
            .map(|session| session.id.clone())
            .collect();
        for id in due {
            if self.expire(state, &id, Cause::default()).is_err() {
                tracing::debug!(session = %id, "session ended meanwhile");
            }
        }
    }

    /// Tries a card on a session, as the hosted page does.
    pub(super) fn pay(&self, id: &str, card: &str) -> Paid {
        let mut state = self.state();
        self.expire_due(&mut state);
        let now = state.now().as_unix_seconds();
        let Some(session) = state.sessions.get_mut(id) else { return Paid::NoSession };
        if session.status != Status::Open {
            return Paid::NotOpen;
        }
        let Some(payment) = payment_by(card) else { return Paid::UnknownCard };
        let (intent_id, created) = match &session.intent {
            Some(intent) => (intent.id.clone(), intent.created),
            None => (self.ids.mixed("pi_", 24), now),
        };
        let intent = Intent {
            id: intent_id.clone(),
            created,
            charge: self.ids.mixed("ch_", 24),
            method: self.ids.mixed("pm_", 24),
            payment,
        };
        session.intent = Some(intent.clone());
        if payment == Payment::Succeeded {
            session.status = Status::Complete;
        }
        let session = session.clone();
        state.sessions_of_payments.insert(intent_id, session.id.clone(), SESSIONS_MAX);
        let intent_json = objects::intent(&session, &intent);
        let cause = Cause::default();
        if let Payment::Declined { code } = payment {
            self.tell(&mut state, "payment_intent.payment_failed", cause, intent_json);
            return Paid::Declined { code };
        }
        let mut told = self.tell(&mut state, "payment_intent.succeeded", cause, intent_json);
        let session_json = self.session_json(&session, false);
        told.extend(self.tell(&mut state, "checkout.session.completed", cause, session_json));
        Paid::Yes { to: session.asked.success_url.replace("{CHECKOUT_SESSION_ID}", id), told }
    }

    /// Makes an event, keeps it for listing and hands it to the deliveries.
    pub(super) fn tell(
        &self,
        state: &mut State,
        kind: &'static str,
        cause: Cause<'_>,
        object: Value,
    ) -> Vec<oneshot::Receiver<()>> {
        let id = self.ids.mixed("evt_", 24);
        let created = state.now().as_unix_seconds();
        let body = objects::event(&id, kind, created, cause, object);
        let event = Event { id, kind, created, body };
        let copies = if state.faults.deliver_twice { 2 } else { 1 };
        let told = (0..copies).map(|_| self.webhooks.queue(&event)).collect();
        push_bounded(&mut state.events, event, EVENTS_MAX);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_cards_go_as_documented() {
        assert_eq!(payment_by("4242 4242 4242 4242"), Some(Payment::Succeeded));
        assert_eq!(
            payment_by("4000-0000-0000-0002"),
            Some(Payment::Declined { code: "generic_decline" })
        );
        assert_eq!(payment_by("4111 1111 1111 1112"), None);
        assert_eq!(payment_by(""), None);
    }
}
