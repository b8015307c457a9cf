//! What a daemon says about itself: alive, started, ready, part by part.
//!
//! A daemon names its parts at the start; each part reports through its [`Part`]. Everything here
//! may be seen by anybody who reaches the listener, so reasons carry no addresses and no persons.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The readiness of all parts of a daemon. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<RwLock<BTreeMap<&'static str, Condition>>>);

#[derive(Debug)]
struct Condition {
    /// Why it is not ready; absent when it is.
    reason: Option<Cow<'static, str>>,
    /// Whether it ever was.
    was_ready: bool,
}

impl Health {
    /// Names the parts; none is ready yet.
    #[must_use]
    pub fn new(parts: &[&'static str]) -> Self {
        let starting = |name: &&'static str| {
            (*name, Condition { reason: Some(Cow::Borrowed("starting")), was_ready: false })
        };
        Self(Arc::new(RwLock::new(parts.iter().map(starting).collect())))
    }

    /// The handle by which a part reports. A name not given to [`Health::new`] is added.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        Part { health: self.clone(), name }
    }

    /// Whether every part is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.read(|parts| parts.values().all(|part| part.reason.is_none()))
    }

    /// Whether every part has been ready once.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.read(|parts| parts.values().all(|part| part.was_ready))
    }

    /// Whether one part is ready; an unknown part is not.
    #[must_use]
    pub fn is_part_ready(&self, name: &str) -> bool {
        self.read(|parts| parts.get(name).is_some_and(|part| part.reason.is_none()))
    }

    /// One line per part: `name: ready` or `name: not ready: reason`.
    #[must_use]
    pub fn report(&self) -> String {
        self.read(|parts| {
            let mut text = String::new();
            for (name, part) in parts {
                // Writing to a string cannot fail.
                let _ = match &part.reason {
                    None => writeln!(text, "{name}: ready"),
                    Some(reason) => writeln!(text, "{name}: not ready: {reason}"),
                };
            }
            text
        })
    }

    /// `/livez`, `/readyz` (and `/readyz/PART` for one part alone) and `/startupz`.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        Router::new()
            .route("/livez", get(|| async { answer(true, "alive\n".to_owned()) }))
            .route("/readyz", get(readyz))
            .route("/readyz/{part}", get(part_readyz))
            .route("/startupz", get(startupz))
            .with_state(self.clone())
    }

    fn read<R>(&self, look: impl FnOnce(&BTreeMap<&'static str, Condition>) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, name: &'static str, reason: Option<Cow<'static, str>>) {
        let mut parts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let part = parts.entry(name).or_insert(Condition { reason: None, was_ready: false });
        if part.reason == reason && (part.was_ready || reason.is_some()) {
            return;
        }
        match &reason {
            None => tracing::info!(part = name, "ready"),
            Some(reason) => tracing::info!(part = name, reason = %reason, "not ready"),
        }
        part.was_ready |= reason.is_none();
        part.reason = reason;
    }
}

/// How one part of a daemon reports.
#[derive(Clone, Debug)]
pub struct Part {
    health: Health,
    name: &'static str,
}

impl Part {
    /// The part works.
    pub fn ready(&self) {
        self.health.set(self.name, None);
    }

    /// The part does not work now.
    pub fn not_ready(&self, reason: impl Into<Cow<'static, str>>) {
        self.health.set(self.name, Some(reason.into()));
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    answer(health.is_ready(), health.report())
}

async fn part_readyz(State(health): State<Health>, Path(name): Path<String>) -> Response {
    let told = health.read(|parts| {
        parts.get(name.as_str()).map(|part| match &part.reason {
            None => (true, format!("{name}: ready\n")),
            Some(reason) => (false, format!("{name}: not ready: {reason}\n")),
        })
    });
    match told {
        Some((is_ready, text)) => answer(is_ready, text),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn startupz(State(health): State<Health>) -> Response {
    answer(health.is_started(), health.report())
}

fn answer(good: bool, body: String) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_lost_and_started_is_not() {
        let health = Health::new(&["raft", "http"]);
        assert!(!health.is_ready());
        health.part("raft").ready();
        health.part("http").ready();
        assert!(health.is_ready() && health.is_started());
        health.part("raft").not_ready("no leader");
        assert_eq!(health.report(), "http: ready\nraft: not ready: no leader\n");
        assert!(health.is_started() && !health.is_ready());
        assert!(health.is_part_ready("http") && !health.is_part_ready("raft"));
    }

    #[tokio::test]
    async fn one_part_is_asked_for_alone() {
        let health = Health::new(&["raft", "http"]);
        health.part("http").ready();
        let ask = async |name: &str| {
            part_readyz(State(health.clone()), Path(name.to_owned())).await.status()
        };
        assert_eq!(ask("http").await, StatusCode::OK);
        assert_eq!(ask("raft").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask("disk").await, StatusCode::NOT_FOUND);
    }
}
