//! The client API of an edge: every route in one table.
//!
//! Handlers parse once, ask one part of the edge, and answer; what they cannot answer from the view
//! is the cluster's to say. Read next: [`stack`] for what goes around the routes, [`problem_map`] for
//! every refusal, `docs/src/reference` for the API.

mod addresses;
mod analytics;
mod auctions;
mod auth;
mod avatar;
mod bids;
mod call;
mod captions;
mod decisions;
mod device_keys;
mod drafts;
mod edges;
mod evidence;
mod feed;
mod flags;
mod issues;
mod maker;
mod media;
mod notifications;
mod offers;
mod orders;
mod pages;
mod payments;
mod people;
mod price;
mod problem_map;
mod profile;
mod quotas;
mod recovery;
mod seed;
mod segments;
mod sign_in;
mod social;
mod social_sign_in;
mod stack;
mod stories;
mod updates;
mod uploads;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use fairground_runtime::metrics::PrometheusHandle;
use fairground_runtime::openapi::{About, Document};
use fairground_runtime::{metrics, problem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::edge::Edge;

#[cfg(feature = "fuzz")]
pub(crate) use bids::{reads_bid, reads_offer};
pub(crate) use call::typed as typed_read;

const ABOUT: About = About {
    title: "Fairground edge",
    description: include_str!("about.md"),
    takes_admin_key: false,
};

/// What no route names: messages of the live stream.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(updates::LiveUpdate)))]
struct Base;

/// Every route of an edge.
pub(crate) fn router(edge: &Arc<Edge>, recorder: PrometheusHandle) -> Router {
    let limiter = stack::limiter();
    let (timed, _) = api().split_for_parts();
    let (uploads, _) = uploading().split_for_parts();
    let routes = timed
        .layer(from_fn(stack::time_limit))
        .merge(uploads)
        .layer(from_fn_with_state((Arc::clone(edge), limiter), stack::limit))
        .layer(from_fn_with_state(Arc::clone(edge), stack::shed))
        .with_state(Arc::clone(edge))
        .merge(pages::routes(edge))
        .merge(document().routes())
        .merge(edge.health.routes())
        .merge(metrics::routes(recorder));
    // Outside of what answers unknown methods: a preflight is one.
    let shared =
        problem::wrap(routes).layer(from_fn_with_state(Arc::clone(edge), stack::cross_origin));
    seed::with_seed_paths(shared)
}

/// The API as a document (OpenAPI 3.1), made from the routes.
pub(crate) fn document() -> Document {
    use utoipa::OpenApi as _;
    let mut collected = Base::openapi();
    collected.merge(api().merge(uploading()).into_openapi());
    Document::new(&collected, &ABOUT)
}

/// Routes that answer in bounded time. Every handler says its method and path itself; handlers in
/// one `routes!` share a path.
fn api() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::default()
        .routes(routes!(sign_in::request_code))
        .routes(routes!(sign_in::verify_code))
        .routes(routes!(sign_in::refresh))
        .routes(routes!(sign_in::sign_out))
        .routes(routes!(users::me))
        .routes(routes!(users::set_handle))
        .routes(routes!(users::become_maker))
        .merge(people())
        .routes(routes!(stories::mine))
        .routes(routes!(payments::mine))
        .routes(routes!(edges::list))
        .routes(routes!(edges::time))
        .routes(routes!(edges::keys))
        .routes(routes!(uploads::create))
        .routes(routes!(media::show))
        .routes(routes!(media::playback))
        .routes(routes!(media::renew))
        .routes(routes!(captions::list))
        .routes(routes!(captions::set, captions::remove).layer(captions::body_limit()))
        .routes(routes!(segments::serve))
        .routes(routes!(segments::serve_by_cat))
        .routes(routes!(segments::steer))
        .routes(routes!(feed::show))
        .routes(routes!(feed::interact))
        .routes(routes!(analytics::record).layer(analytics::body_limit()))
        .routes(routes!(feed::preferences, feed::set_preferences))
        .routes(routes!(stories::create))
        .routes(routes!(stories::show, stories::save))
        .routes(routes!(drafts::submit))
        .routes(routes!(drafts::resubmit))
        .routes(routes!(drafts::withdraw))
        .routes(routes!(drafts::publish))
        .routes(routes!(drafts::schedule))
        .routes(routes!(drafts::unschedule))
        .routes(routes!(drafts::archive))
        .routes(routes!(drafts::appeal))
        .routes(routes!(drafts::status))
        .routes(routes!(drafts::versions))
        .routes(routes!(drafts::diff))
        .routes(routes!(drafts::roll_back))
        .routes(routes!(social::like, social::unlike))
        .routes(routes!(social::keep, social::unkeep))
        .routes(routes!(social::watch, social::unwatch))
        .routes(routes!(social::saved))
        .routes(routes!(social::report))
        .routes(routes!(social::share))
        .routes(routes!(social::open))
        .merge(offers())
        .routes(routes!(decisions::show_timer))
        .routes(routes!(decisions::sync))
        .routes(routes!(decisions::mine))
        .routes(routes!(decisions::second_chance))
        .routes(routes!(decisions::relist))
        .routes(routes!(decisions::decline))
        .routes(routes!(auctions::show))
        .routes(routes!(auctions::bids, bids::place))
        .routes(routes!(updates::follow))
        .routes(routes!(auctions::accept))
        .routes(routes!(bids::show))
        .routes(routes!(payments::checkout))
        .routes(routes!(payments::lock))
        .routes(routes!(payments::show))
        .routes(routes!(payments::receipt))
        .routes(routes!(payments::receipt_by_link))
        .routes(routes!(payments::payout_link))
        .routes(routes!(orders::mine))
        .routes(routes!(orders::show))
        .routes(routes!(orders::tracking, orders::track, orders::correct))
        .routes(routes!(orders::change_address))
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::confirm))
        .routes(routes!(flags::list))
        .routes(routes!(notifications::mine))
        .routes(routes!(notifications::unread))
        .routes(routes!(notifications::read))
        .routes(routes!(notifications::read_all))
        .routes(routes!(notifications::kinds))
        .routes(routes!(notifications::preferences, notifications::set_preferences))
        .routes(routes!(notifications::devices, notifications::add_device))
        .routes(routes!(notifications::remove_device))
        .routes(routes!(orders::eligibility))
        .routes(routes!(orders::messages, orders::post_message))
        .routes(routes!(issues::open))
        .routes(routes!(issues::show))
        .routes(routes!(evidence::add).layer(evidence::body_limit()))
        .routes(routes!(evidence::show))
        .routes(routes!(issues::add_evidence))
        .routes(routes!(issues::respond))
        .routes(routes!(issues::accept_offer))
        .routes(routes!(issues::appeal))
}

/// Offers, and what a maker takes.
fn offers() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::default()
        .routes(routes!(offers::on_story, bids::offer))
        .routes(routes!(offers::eligibility))
        .routes(routes!(offers::mine))
        .routes(routes!(offers::show))
        .routes(routes!(offers::history))
        .routes(routes!(offers::withdraw))
        .routes(routes!(offers::reject))
        .routes(routes!(offers::accept))
        .routes(routes!(offers::policy, offers::set_policy))
        .routes(routes!(offers::dashboard))
        .routes(routes!(maker::publications))
}

/// What an account does about itself.
fn people() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::default()
        .routes(routes!(people::sign_out_everywhere))
        .routes(routes!(people::sessions))
        .routes(routes!(people::end_session))
        .routes(routes!(people::register_device))
        .routes(routes!(people::devices))
        .routes(routes!(people::revoke_device))
        .routes(routes!(device_keys::register, device_keys::remove))
        .routes(routes!(people::capabilities))
        .routes(routes!(people::request_capability))
        .routes(routes!(people::task))
        .routes(routes!(people::privacy, people::set_privacy))
        .routes(routes!(people::consents, people::set_consent))
        .routes(routes!(people::follows))
        .routes(routes!(people::follow, people::unfollow))
        .routes(routes!(people::blocked, people::block))
        .routes(routes!(people::unblock))
        .routes(routes!(people::identities))
        .routes(routes!(social_sign_in::callback))
        .routes(routes!(social_sign_in::link))
        .routes(routes!(recovery::send))
        .routes(routes!(recovery::verify))
        .routes(routes!(recovery::deny))
        .routes(routes!(profile::mine, profile::set))
        .routes(routes!(avatar::upload).layer(avatar::body_limit()))
        .routes(routes!(avatar::remove))
        .routes(routes!(avatar::show))
        .routes(routes!(profile::public))
        .routes(routes!(addresses::mine, addresses::add))
        .routes(routes!(addresses::change, addresses::remove))
        .routes(routes!(people::unlink))
        .routes(routes!(people::export))
        .routes(routes!(people::delete_later))
        .routes(routes!(people::data_request))
        .routes(routes!(people::data_copy))
        .routes(routes!(people::delete_now))
        .routes(routes!(people::claim))
}

/// Routes whose requests last as long as their bodies.
fn uploading() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::default().routes(routes!(uploads::begin, uploads::limits)).routes(routes!(
        uploads::append,
        uploads::head,
        uploads::terminate,
        uploads::options
    ))
}

#[cfg(test)]
mod tests {
    use fairground_runtime::openapi::{check_frozen, faults, served};

    use super::*;

    #[test]
    fn openapi_holds_every_route_and_no_other() {
        let (routes, _) = api().merge(uploading()).split_for_parts();
        assert_eq!(served(&routes), document().operations());
    }

    #[test]
    fn openapi_of_the_edge_is_what_its_golden_file_says() {
        check_frozen(&document(), "edge");
    }

    #[test]
    fn openapi_of_the_edge_suits_generators() {
        assert_eq!(faults(&document()), Vec::<String>::new());
    }
}
