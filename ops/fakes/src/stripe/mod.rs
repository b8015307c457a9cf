//! A stand-in for Stripe: Checkout, payments, events, webhooks, and a hosted page to pay on.
//!
//! One lock around the state, never held across a wait; deliveries run in a task of their own.
//! Bounded everywhere: the oldest goes first. Read next: `api` for a call's way through,
//! `checkout` for what happens to a session, `webhooks` for what is sent out.
//!
//! ```text
//! open --pay, card taken--> complete        checkout.session.completed, payment_intent.succeeded
//!   | \--pay, declined----> open            payment_intent.payment_failed
//!   +----expire or time---> expired         checkout.session.expired
//! ```

mod api;
mod checkout;
mod control;
mod faults;
mod money;
mod objects;
mod page;
mod params;
mod refusal;
mod webhooks;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{any, get, post};
use bytes::Bytes;
use fairground_types::{Millis, Timestamp};
use serde_json::Value;

pub use api::CallRecord;
pub use faults::Faults;
pub use webhooks::DeliveryRecord;

use crate::contract::Contract;
use crate::ids::Ids;
use crate::serve::{Stop, stopped};
use checkout::Session;
pub(crate) use webhooks::Webhooks;

/// The API version that is spoken.
pub(crate) const API_VERSION: &str = "2026-09-30.endive";
const SESSIONS_MAX: usize = 10_000;
const SAVED_ANSWERS_MAX: usize = 10_000;
const EVENTS_MAX: usize = 2_000;
const CALLS_MAX: usize = 2_000;
const VIOLATIONS_MAX: usize = 500;
const SWEEP_PERIOD: Duration = Duration::from_millis(250);

/// What the stand-in is made of.
pub(crate) struct StripeSettings {
    pub(crate) key: String,
    pub(crate) base_url: String,
    pub(crate) seed: u64,
    pub(crate) contract: Option<Contract>,
}

/// The stand-in.
pub(crate) struct StripeFake {
    key: String,
    base_url: String,
    ids: Ids,
    contract: Option<Contract>,
    webhooks: Arc<Webhooks>,
    state: Mutex<State>,
}

/// All that is remembered.
#[derive(Default)]
struct State {
    /// How far this clock runs ahead of the system's.
    ahead: Millis,
    sessions: Recent<Session>,
    /// Which session a payment belongs to.
    sessions_of_payments: Recent<String>,
    saved: Recent<SavedAnswer>,
    /// Newest last.
    events: VecDeque<Event>,
    /// Newest last.
    calls: VecDeque<CallRecord>,
    violations: VecDeque<String>,
    faults: Faults,
    books: money::Books,
}

/// An answer under an idempotency key.
#[derive(Clone)]
struct SavedAnswer {
    fingerprint: [u8; 32],
    status: u16,
    body: Bytes,
    /// Until then the first call counts as still running.
    ready_at: Instant,
}

/// An event as it is listed and delivered.
#[derive(Clone)]
struct Event {
    id: String,
    kind: &'static str,
    created: u64,
    body: Value,
}

/// The call that an event came of.
#[derive(Clone, Copy, Default)]
struct Cause<'a> {
    request_id: Option<&'a str>,
    key: Option<&'a str>,
}

/// The newest things by name; the oldest is forgotten first.
struct Recent<T> {
    order: VecDeque<String>,
    things: BTreeMap<String, T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), things: BTreeMap::new() }
    }
}

impl<T> Recent<T> {
    fn insert(&mut self, name: String, thing: T, max: usize) {
        if self.things.insert(name.clone(), thing).is_none() {
            self.order.push_back(name);
        }
        while self.order.len() > max {
            if let Some(oldest) = self.order.pop_front() {
                self.things.remove(&oldest);
            }
        }
    }

    fn get(&self, name: &str) -> Option<&T> {
        self.things.get(name)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.things.get_mut(name)
    }
}

/// Adds at the end and forgets at the front.
fn push_bounded<T>(queue: &mut VecDeque<T>, thing: T, max: usize) {
    queue.push_back(thing);
    while queue.len() > max {
        queue.pop_front();
    }
}

impl StripeFake {
    pub(crate) fn new(settings: StripeSettings, webhooks: Arc<Webhooks>) -> Self {
        Self {
            key: settings.key,
            base_url: settings.base_url,
            ids: Ids::new(settings.seed),
            contract: settings.contract,
            webhooks,
            state: Mutex::new(State::default()),
        }
    }

    /// Everything that is served.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/{*rest}", any(api::handle))
            .route("/v2/{*rest}", any(api::handle))
            .route("/pay/{session}", get(page::show).post(page::submit))
            .route("/pay/{session}/cancel", post(page::cancel))
            .merge(control::routes())
            .route("/healthz", get(async || "ok\n"))
            .with_state(Arc::clone(self))
    }

    /// Ends sessions whose time has come, until told to stop.
    pub(crate) async fn sweep(self: Arc<Self>, mut stop: Stop) {
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(SWEEP_PERIOD) => self.expire_due(&mut self.state()),
            }
        }
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        let faults = faults.bounded();
        self.webhooks.hold(faults.hold_webhooks);
        self.state().faults = faults;
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().faults
    }

    pub(crate) fn calls(&self) -> Vec<CallRecord> {
        self.state().calls.iter().cloned().collect()
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.iter().cloned().collect()
    }

    pub(crate) fn advance_clock(&self, by: Millis) {
        let mut state = self.state();
        state.ahead = Millis::new(state.ahead.as_millis().saturating_add(by.as_millis()));
        self.expire_due(&mut state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> Timestamp {
        crate::clock::wall().plus(self.ahead)
    }
}
