//! The nine addresses that were published before there was a `/v1`: answered as those with it.
//!
//! It must not know what they do. Read next: `mod.rs`.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use axum::routing::future::RouteFuture;
use tower::Service;

/// `*` stands for one part of the path.
const SEED_PATHS: [&str; 9] = [
    "/auth/otp/request",
    "/auth/social/callback",
    "/stories",
    "/stories/*/submit",
    "/stories/*/offers",
    "/offers/*/withdraw",
    "/auctions/*/bids",
    "/media/uploadSession",
    "/media/*/playback",
];

/// Puts the rewriting before every route.
pub(super) fn with_seed_paths(routes: Router) -> Router {
    Router::new().fallback_service(Rewriting { routes })
}

#[derive(Clone)]
struct Rewriting {
    routes: Router,
}

impl Service<Request> for Rewriting {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if let Some(uri) = rewritten(request.uri()) {
            *request.uri_mut() = uri;
        }
        self.routes.call(request)
    }
}

fn rewritten(uri: &Uri) -> Option<Uri> {
    if !SEED_PATHS.iter().any(|pattern| fits(pattern, uri.path())) {
        return None;
    }
    let path = uri.path_and_query().map_or_else(|| uri.path(), PathAndQuery::as_str);
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("/v1{path}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let is_alike = pattern.split('/').all(|wanted| {
        parts
            .next()
            .is_some_and(|part| if wanted == "*" { !part.is_empty() } else { part == wanted })
    });
    is_alike && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn the_nine_addresses_are_led_to_those_with_a_version() {
        let to = |text: &str| rewritten(&text.parse().expect("uri")).map(|uri| uri.to_string());
        assert_eq!(to("/stories").as_deref(), Some("/v1/stories"));
        assert_eq!(to("/auctions/auc_1/bids?x=1").as_deref(), Some("/v1/auctions/auc_1/bids?x=1"));
        assert_eq!(
            to("https://eu-1.example/media/ast_1/playback").as_deref(),
            Some("https://eu-1.example/v1/media/ast_1/playback")
        );
        for other in
            ["/", "/v1/stories", "/stories/", "/auctions//bids", "/auctions/a/b/bids", "/orders"]
        {
            assert_eq!(to(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn parameters_of_the_path_arrive_at_the_route() {
        use axum::extract::Path;
        let route = get(|Path(asset): Path<String>| async move { asset });
        let routes = with_seed_paths(Router::new().route("/v1/media/{asset}/playback", route));
        let request = Request::get("/media/ast_1/playback").body(Body::empty()).expect("valid");
        let response = routes.oneshot(request).await.expect("infallible");
        let body = axum::body::to_bytes(response.into_body(), 64).await.expect("short");
        assert_eq!(body, "ast_1");
    }
}
