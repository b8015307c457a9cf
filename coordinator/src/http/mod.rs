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
mod auctions;
mod audit;
mod cluster;
mod console;
mod finance;
mod fulfilment;
mod govern;
mod guard;
mod jobs;
pub(crate) mod mail_events;
mod marks;
mod moderation;
mod people;
mod quotas;
mod report;
mod sign_in;
mod signatures;
mod tracking;
mod verification;
#[cfg(feature = "stripe")]
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use fairground_runtime::config::Secret;
use fairground_runtime::cursor::{CursorKey, Pager};
use fairground_runtime::guard::{Quotas, secure};
use fairground_runtime::metrics::PrometheusHandle;
use fairground_runtime::openapi::{About, Document};
use fairground_runtime::problem;
use fairground_runtime::rate::{RateLimit, RateLimiter};
use fairground_types::Millis;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::router::UtoipaMethodRouterExt as _;
use utoipa_axum::routes;

use crate::effects::Payments;
use crate::member::Member;

const ABOUT: About = About {
    title: "Fairground member",
    description: include_str!("about.md"),
    takes_admin_key: true,
};

/// Sign-in requests of one address: a burst, then one in three seconds.
const SIGN_IN_RATE: RateLimit =
    RateLimit { burst: 20, refill: Millis::from_secs(3), keys_max: 20_000 };

/// What handlers share.
pub(crate) struct Api {
    pub(crate) member: Arc<Member>,
    pub(crate) admin_key: String,
    pub(crate) webhooks: Webhooks,
    pub(crate) sign_in_rate: RateLimiter<std::net::IpAddr>,
    cursors: CursorKey,
    quotas: Quotas,
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// How deliveries of the payment provider are checked.
#[cfg_attr(not(feature = "stripe"), expect(dead_code, reason = "read by webhooks alone"))]
pub(crate) struct Webhooks {
    pub(crate) secrets: Vec<Secret>,
    /// What signs events of carriers; without it none are taken.
    pub(crate) tracking: Option<Secret>,
    /// What signs answers to checks of people; without it none are taken.
    pub(crate) verification: Option<Secret>,
    /// How events of the mail service are known; without it none are taken.
    pub(crate) mail: Option<mail_events::MailHook>,
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
        // Every member holds this secret, so any of them reads the cursor of another.
        let cursors = CursorKey::derive(member.secrets.code.expose());
        let quotas = Quotas::new(&quotas::table(), quotas::GENERAL, quotas::KEYS_MAX);
        Self { member, admin_key, webhooks, sign_in_rate, cursors, quotas, metrics }
    }

    /// Cuts a list into pages.
    fn pager<'a>(&'a self, list: &'a str) -> Pager<'a> {
        Pager { key: &self.cursors, list, now: self.member.now() }
    }
}

/// Every route of a member.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let (described, _) = routes().split_for_parts();
    let health = api.member.health.routes();
    let served = described
        .layer(from_fn_with_state(Arc::clone(&api), quotas::limit))
        .with_state(api)
        .merge(console::pages())
        .merge(document().routes());
    problem::wrap(served.merge(health)).layer(map_response(secured))
}

async fn secured(mut response: Response) -> Response {
    // Whether a proxy in front speaks TLS is its own to say.
    secure(response.headers_mut(), false);
    response
}

/// The API as a document (OpenAPI 3.1), made from the routes.
pub(crate) fn document() -> Document {
    Document::new(routes().get_openapi(), &ABOUT)
}

/// Every handler says its method and path itself; handlers in one `routes!` share a path.
fn routes() -> OpenApiRouter<Arc<Api>> {
    let routes = OpenApiRouter::default()
        .routes(routes!(sign_in::request_code))
        .routes(routes!(sign_in::verify_code))
        .routes(routes!(sign_in::refresh))
        .routes(routes!(sign_in::logout))
        .routes(routes!(sign_in::me))
        .routes(routes!(console::edges))
        .routes(routes!(admin::status))
        .routes(routes!(admin::digest))
        .routes(routes!(admin::violations))
        .routes(routes!(admin::stories))
        .routes(routes!(admin::approve))
        .routes(routes!(admin::reject))
        .routes(routes!(moderation::queue))
        .routes(routes!(moderation::story))
        .routes(routes!(moderation::decision))
        .routes(routes!(moderation::take_down))
        .routes(routes!(moderation::restore))
        .routes(routes!(moderation::versions))
        .routes(routes!(moderation::diff))
        .routes(routes!(moderation::roll_back))
        .routes(routes!(marks::read))
        .routes(routes!(admin::auctions))
        .routes(routes!(admin::auction))
        .routes(routes!(admin::cancel))
        .routes(routes!(auctions::override_close))
        .routes(routes!(auctions::retract))
        .routes(routes!(auctions::audit))
        .routes(routes!(admin::orders))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::requeue))
        .routes(routes!(fulfilment::to_review))
        .routes(routes!(fulfilment::cancel_order))
        .routes(routes!(fulfilment::deliver_order))
        .routes(routes!(fulfilment::complete_order))
        .routes(routes!(fulfilment::issues))
        .routes(routes!(fulfilment::issue))
        .routes(routes!(fulfilment::evidence))
        .routes(routes!(fulfilment::assign))
        .routes(routes!(fulfilment::request_info))
        .routes(routes!(fulfilment::resolve))
        .routes(routes!(tracking::receive))
        .routes(routes!(verification::complete))
        .routes(routes!(mail_events::receive).layer(mail_events::body_limit()))
        .merge(people())
        .routes(routes!(finance::refunds))
        .routes(routes!(finance::propose_refund))
        .routes(routes!(finance::decide_refund))
        .routes(routes!(finance::payouts))
        .routes(routes!(finance::decide_payout))
        .routes(routes!(finance::holds))
        .routes(routes!(finance::resolve_hold))
        .routes(routes!(finance::override_window))
        .routes(routes!(finance::chargebacks))
        .routes(routes!(finance::dead_letters))
        .routes(routes!(finance::replay))
        .routes(routes!(finance::ledger))
        .routes(routes!(report::show))
        .routes(routes!(audit::audit))
        .routes(routes!(audit::export))
        .routes(routes!(govern::advance))
        .routes(routes!(govern::policies, govern::change_policies))
        .routes(routes!(govern::policy_history))
        .routes(routes!(govern::revert_policies))
        .routes(routes!(signatures::policy, signatures::set_policy))
        .routes(routes!(govern::flags))
        .routes(routes!(govern::set_flag))
        .routes(routes!(govern::kill_flag))
        .routes(routes!(govern::templates, govern::set_template))
        .routes(routes!(govern::preview_template))
        .routes(routes!(govern::rules))
        .routes(routes!(govern::activate_rules))
        .routes(routes!(cluster::tokens, cluster::create_token))
        .routes(routes!(cluster::revoke_token))
        .routes(routes!(cluster::create_account))
        .routes(routes!(console::metrics));
    #[cfg(feature = "stripe")]
    let routes = routes.routes(routes!(webhook::stripe).layer(webhook::body_limit()));
    routes
}

/// What staff do about accounts.
fn people() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::default()
        .routes(routes!(people::find))
        .routes(routes!(people::show))
        .routes(routes!(people::suspend))
        .routes(routes!(people::reinstate))
        .routes(routes!(people::force_sign_out))
        .routes(routes!(people::strike))
        .routes(routes!(people::lift))
        .routes(routes!(people::grant_duty))
        .routes(routes!(people::revoke_duty))
        .routes(routes!(people::decide_capability))
        .routes(routes!(people::invitations, people::invite))
        .routes(routes!(people::revoke_invitation))
}

#[cfg(test)]
mod tests {
    use fairground_runtime::openapi::{faults, served};

    use super::*;

    #[test]
    fn openapi_holds_every_route_and_no_other() {
        let (described, _) = routes().split_for_parts();
        assert_eq!(served(&described), document().operations());
    }

    #[cfg(feature = "stripe")]
    #[test]
    fn openapi_of_a_member_is_what_its_golden_file_says() {
        fairground_runtime::openapi::check_frozen(&document(), "member");
    }

    #[test]
    fn openapi_of_a_member_suits_generators() {
        assert_eq!(faults(&document()), Vec::<String>::new());
    }
}
