//! The client API of an edge: every route in one table.
//!
//! Handlers parse once, ask one part of the edge, and answer; what they cannot answer from the view
//! is the cluster's to say. Read next: [`stack`] for what goes around the routes, [`problem_map`] for
//! every refusal, `docs/src/reference` for the API.

mod auctions;
mod auth;
mod bids;
mod call;
mod edges;
mod media;
mod orders;
mod pages;
mod payments;
mod problem_map;
mod segments;
mod sign_in;
mod stack;
mod stories;
mod updates;
mod uploads;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, patch, post, put};
use fairground_runtime::metrics::PrometheusHandle;
use fairground_runtime::{metrics, problem};

use crate::edge::Edge;

/// Every route of an edge.
pub(crate) fn router(edge: &Arc<Edge>, recorder: PrometheusHandle) -> Router {
    let limiter = stack::limiter();
    let timed = api().layer(from_fn(stack::time_limit));
    let routes = timed
        .merge(uploading())
        .layer(from_fn_with_state((Arc::clone(edge), limiter), stack::limit))
        .layer(from_fn_with_state(Arc::clone(edge), stack::shed))
        .with_state(Arc::clone(edge))
        .merge(pages::routes())
        .merge(edge.health.routes())
        .merge(metrics::routes(recorder))
        .layer(from_fn(stack::cross_origin));
    problem::wrap(routes)
}

fn api() -> Router<Arc<Edge>> {
    Router::new()
        .route("/v1/auth/otp/request", post(sign_in::request_code))
        .route("/v1/auth/otp/verify", post(sign_in::verify_code))
        .route("/v1/auth/refresh", post(sign_in::refresh))
        .route("/v1/auth/logout", post(sign_in::sign_out))
        .route("/v1/users/me", get(users::me))
        .route("/v1/users/me/handle", put(users::set_handle))
        .route("/v1/users/me/maker", post(users::become_maker))
        .route("/v1/users/me/stories", get(stories::mine))
        .route("/v1/users/me/payments", get(payments::mine))
        .route("/v1/edges", get(edges::list))
        .route("/v1/time", get(edges::time))
        .route("/.well-known/keys", get(edges::keys))
        .route("/v1/media/uploadSession", post(uploads::create))
        .route("/v1/media/{asset}", get(media::show))
        .route("/v1/media/{asset}/playback", get(media::playback))
        .route("/p/{token}/{asset}/{revision}/{*path}", get(segments::serve))
        .route("/v1/feed", get(stories::feed))
        .route("/v1/stories", post(stories::create))
        .route("/v1/stories/{story}", get(stories::show).put(stories::save))
        .route("/v1/stories/{story}/submit", post(stories::submit))
        .route("/v1/stories/{story}/publish", post(stories::publish))
        .route("/v1/stories/{story}/offers", post(bids::offer))
        .route("/v1/auctions/{auction}", get(auctions::show))
        .route("/v1/auctions/{auction}/bids", get(auctions::bids).post(bids::place))
        .route("/v1/auctions/{auction}/updates", get(updates::follow))
        .route("/v1/auctions/{auction}/accept", post(auctions::accept))
        .route("/v1/bids/{bid}", get(bids::show))
        .route("/v1/sale-locks/{lock}/checkout", post(payments::checkout))
        .route("/v1/orders", get(orders::mine))
        .route("/v1/orders/{order}", get(orders::show))
        .route("/v1/orders/{order}/tracking", post(orders::track))
        .route("/v1/orders/{order}/confirm-delivery", post(orders::confirm))
}

/// Routes whose requests last as long as their bodies.
fn uploading() -> Router<Arc<Edge>> {
    Router::new().route(
        "/v1/uploads/{upload}",
        patch(uploads::append)
            .head(uploads::head)
            .delete(uploads::terminate)
            .options(uploads::options),
    )
}
