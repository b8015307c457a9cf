//! The HTTP listener of a member: console, admin API, webhooks. The route table is here.
//!
//! | who | may |
//! | --- | --- |
//! | anybody | sign in, list edges, ask whether the member is ready, load the page |
//! | an admin, by access token | what their duties allow; the market decides again |
//! | a command on this machine, by the key in `admin.key`, from loopback alone | act for the cluster |
//! | the payment provider, by its signature | report events |
//!
//! Handlers turn requests into commands and rows into JSON; they decide nothing. Read next:
//! `guard.rs` for who is asking, `answer.rs` for what refusals look like.

mod admin;
mod answer;
mod cluster;
mod console;
mod guard;
mod sign_in;
#[cfg(feature = "stripe")]
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use fairground_runtime::config::Secret;
use fairground_runtime::metrics::PrometheusHandle;
use fairground_runtime::problem;
use fairground_runtime::rate::{RateLimit, RateLimiter};
use fairground_types::Millis;

use crate::effects::Payments;
use crate::member::Member;

/// Sign-in requests of one address: a burst, then one in three seconds.
const SIGN_IN_RATE: RateLimit =
    RateLimit { burst: 20, refill: Millis::from_secs(3), keys_max: 20_000 };

/// What handlers share.
pub(crate) struct Api {
    pub(crate) member: Arc<Member>,
    pub(crate) admin_key: String,
    #[cfg_attr(not(feature = "stripe"), expect(dead_code, reason = "read by webhooks alone"))]
    pub(crate) webhooks: Webhooks,
    pub(crate) sign_in_rate: RateLimiter<std::net::IpAddr>,
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// How deliveries of the payment provider are checked.
#[cfg_attr(not(feature = "stripe"), expect(dead_code, reason = "read by webhooks alone"))]
pub(crate) struct Webhooks {
    pub(crate) secrets: Vec<Secret>,
    /// Whether events about real money are expected.
    pub(crate) expects_live: bool,
    /// Where a session is looked up that an event does not show.
    pub(crate) payments: Payments,
}

impl Api {
    pub(crate) fn new(
        member: Arc<Member>,
        admin_key: String,
        webhooks: Webhooks,
        metrics: Option<PrometheusHandle>,
    ) -> Self {
        let sign_in_rate = RateLimiter::new(SIGN_IN_RATE);
        Self { member, admin_key, webhooks, sign_in_rate, metrics }
    }
}

/// Every route of a member.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let routes = Router::new()
        .route("/v1/auth/otp/request", post(sign_in::request_code))
        .route("/v1/auth/otp/verify", post(sign_in::verify_code))
        .route("/v1/auth/refresh", post(sign_in::refresh))
        .route("/v1/auth/logout", post(sign_in::logout))
        .route("/v1/users/me", get(sign_in::me))
        .route("/v1/edges", get(console::edges))
        .route("/v1/admin/status", get(admin::status))
        .route("/v1/admin/digest", get(admin::digest))
        .route("/v1/admin/violations", get(admin::violations))
        .route("/v1/admin/stories", get(admin::stories))
        .route("/v1/admin/stories/{id}/approve", post(admin::approve))
        .route("/v1/admin/stories/{id}/reject", post(admin::reject))
        .route("/v1/admin/auctions", get(admin::auctions))
        .route("/v1/admin/auctions/{id}", get(admin::auction))
        .route("/v1/admin/auctions/{id}/cancel", post(admin::cancel))
        .route("/v1/admin/orders", get(admin::orders))
        .route("/v1/admin/jobs", get(admin::jobs))
        .route("/v1/admin/roles", post(admin::grant))
        .route("/v1/cluster/tokens", get(cluster::tokens).post(cluster::create_token))
        .route("/v1/cluster/tokens/{id}", delete(cluster::revoke_token))
        .route("/v1/cluster/accounts", post(cluster::create_account))
        .route("/metrics", get(console::metrics));
    #[cfg(feature = "stripe")]
    let routes =
        routes.route("/v1/webhooks/stripe", post(webhook::stripe).layer(webhook::body_limit()));
    let health = api.member.health.routes();
    problem::wrap(routes.with_state(api).merge(console::pages()).merge(health))
}
