//! Mail, push and sign-in services as their APIs look from here: SendGrid, Postmark, FCM with Google's
//! token endpoint, APNs, and the key sets and identity tokens of Apple and Google.
//!
//! One HTTP port, a path for each, and one HTTP/2 port for APNs. Each remembers the newest 500 calls
//! and misbehaves on request. Read next: `faults.rs`, then `mail.rs`, `push.rs`, `oidc.rs`.
//!
//! ```text
//!  /sendgrid/v3/mail/send   /postmark/email   /fcm/v1/projects/{id}/messages:send
//!  /google/token   /google/certs   /apple/auth/keys   /apple/auth/token   /apple/auth/revoke
//!  APNs' own port: /3/device/{token}            both: /_control/faults   /_control/calls
//! ```

mod faults;
mod keys;
mod mail;
mod oidc;
mod push;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Json, State as Shared};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::FakesError;
use crate::ids::Ids;
use crate::inbox::Inbox;
pub use faults::Fault;
use keys::{EcKey, RsaKey};
pub use oidc::IdToken;

const CALLS_MAX: usize = 500;
const GONE_MAX: usize = 10_000;
const FAULTS_MAX: u32 = 1_000;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// SendGrid's mail.
    Sendgrid,
    /// Postmark's mail.
    Postmark,
    /// Google's push.
    Fcm,
    /// Google's token endpoint.
    GoogleToken,
    /// Google's public keys.
    GoogleKeys,
    /// Apple's push.
    Apns,
    /// Apple's public keys.
    AppleKeys,
    /// Apple's token endpoint and revocation.
    AppleToken,
}

/// A call that was carried out or refused; those eaten by a fault are not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutsideCall {
    /// By which service.
    pub part: Part,
    /// The path as the service's own description writes it.
    pub path: String,
    /// The headers, names in lower case; credentials are left out.
    pub headers: BTreeMap<String, String>,
    /// The body; a form is an object of texts.
    pub body: Value,
    /// The status of the answer.
    pub status: u16,
    /// The answer's body; null when it is empty.
    pub answer: Value,
}

/// How APNs is called.
#[derive(Clone, Debug)]
pub struct AppleKey {
    /// The private key, PEM.
    pub pem: String,
    /// Its id.
    pub key_id: String,
    /// The team.
    pub team_id: String,
}

/// The services.
pub struct Outside {
    pub(crate) inbox: Arc<Inbox>,
    ids: Ids,
    /// Base address of the HTTP port.
    base_url: String,
    google: RsaKey,
    apple: RsaKey,
    account: RsaKey,
    apple_key: EcKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: VecDeque<OutsideCall>,
    faults: BTreeMap<Part, VecDeque<Fault>>,
    gone: BTreeSet<String>,
    access: BTreeSet<String>,
    codes: BTreeMap<String, String>,
    refresh: BTreeSet<String>,
    expire_provider_token: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Misbehaviour {
    part: Part,
    fault: Fault,
    #[serde(default = "once")]
    times: u32,
}

const fn once() -> u32 {
    1
}

/// What SendGrid wants as a key.
pub const SENDGRID_KEY: &str = "SG.fairground-fakes";
/// What Postmark wants as a server token.
pub const POSTMARK_TOKEN: &str = "fairground-fakes";
/// The project that FCM knows.
pub const FCM_PROJECT: &str = "fairground-fakes";
/// The app that Apple's services know, by its bundle id.
pub const APPLE_APP: &str = "example.fairground.app";

impl Outside {
    pub(crate) fn new(
        inbox: Arc<Inbox>,
        base_url: String,
        seed: u64,
    ) -> Result<Arc<Self>, FakesError> {
        Ok(Arc::new(Self {
            inbox,
            ids: Ids::new(seed ^ 0x5eed),
            base_url,
            google: RsaKey::generate("google-1")?,
            apple: RsaKey::generate("apple-1")?,
            account: RsaKey::generate("account-1")?,
            apple_key: EcKey::generate("KEY1234567")?,
            state: Mutex::default(),
        }))
    }

    /// Has the next `times` calls of a service go wrong this way.
    pub fn misbehave(&self, part: Part, fault: Fault, times: u32) {
        let mut state = self.state();
        let queue = state.faults.entry(part).or_default();
        queue.extend((0..times.min(FAULTS_MAX)).map(|_| fault));
        queue.truncate(usize::try_from(FAULTS_MAX).unwrap_or(usize::MAX));
    }

    /// Forgets all faults.
    pub fn behave(&self) {
        self.state().faults.clear();
    }

    /// The newest 500 calls of a service, oldest first.
    #[must_use]
    pub fn calls(&self, part: Part) -> Vec<OutsideCall> {
        self.state().calls.iter().filter(|call| call.part == part).cloned().collect()
    }

    /// Has both push services answer that this device is gone.
    pub fn forget_device(&self, token: &str) {
        let mut state = self.state();
        if state.gone.len() < GONE_MAX {
            state.gone.insert(token.to_owned());
        }
    }

    /// Has APNs find the provider's token too old, once.
    pub fn expire_provider_token(&self) {
        self.state().expire_provider_token = true;
    }

    fn keep(&self, call: OutsideCall) {
        let mut state = self.state();
        state.calls.push_back(call);
        while state.calls.len() > CALLS_MAX {
            state.calls.pop_front();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything but APNs.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let part = |part: Part, path: &str, method| {
            let layer = from_fn_with_state((Arc::clone(self), part), faults::misbehaving);
            Router::new().route(path, method).layer(layer)
        };
        Router::new()
            .merge(part(Part::Sendgrid, "/sendgrid/v3/mail/send", post(mail::sendgrid)))
            .merge(part(Part::Postmark, "/postmark/email", post(mail::postmark)))
            .merge(part(Part::Fcm, "/fcm/v1/projects/{project}/{action}", post(push::fcm)))
            .merge(part(Part::GoogleToken, "/google/token", post(push::google_token)))
            .merge(part(Part::GoogleKeys, "/google/certs", get(oidc::google_keys)))
            .merge(part(Part::AppleKeys, "/apple/auth/keys", get(oidc::apple_keys)))
            .merge(part(Part::AppleToken, "/apple/auth/token", post(oidc::apple_token)))
            .merge(part(Part::AppleToken, "/apple/auth/revoke", post(oidc::apple_revoke)))
            .merge(control())
            .with_state(Arc::clone(self))
    }

    /// APNs alone; served over HTTP/2.
    pub(crate) fn apns_router(self: &Arc<Self>) -> Router {
        let layer = from_fn_with_state((Arc::clone(self), Part::Apns), faults::misbehaving);
        Router::new()
            .route("/3/device/{token}", post(push::apns))
            .layer(layer)
            .merge(control())
            .with_state(Arc::clone(self))
    }
}

fn control() -> Router<Arc<Outside>> {
    Router::new()
        .route("/_control/faults", put(set_fault).delete(no_faults))
        .route("/_control/calls", get(calls))
        .route("/healthz", get(async || "ok\n"))
}

async fn set_fault(
    Shared(outside): Shared<Arc<Outside>>,
    Json(wanted): Json<Misbehaviour>,
) -> StatusCode {
    outside.misbehave(wanted.part, wanted.fault, wanted.times);
    StatusCode::NO_CONTENT
}

async fn no_faults(Shared(outside): Shared<Arc<Outside>>) -> StatusCode {
    outside.behave();
    StatusCode::NO_CONTENT
}

async fn calls(Shared(outside): Shared<Arc<Outside>>) -> Json<Value> {
    let calls: Vec<OutsideCall> = outside.state().calls.iter().cloned().collect();
    Json(json!({"calls": calls}))
}
