//! How often somebody may ask for what: the whole table.
//!
//! Numbers are requests per minute unless a row says otherwise; a full bucket holds as many at once.
//! They are counted per account where an access token is shown, per address otherwise, at this edge.
//! Requests from this machine (a proxy of the operator, tests) are not limited unless the option
//! `limit_this_machine` says so. It must not know what a route does. Read next: `stack.rs`.

use axum::http::Method;
use fairground_runtime::guard::{General, Per, Quota};
use fairground_runtime::rate::RateLimit;
use fairground_types::Millis;

/// Subjects remembered per row.
pub(super) const KEYS_MAX: usize = 16_384;

/// An account: 1,000 per minute, 50 at once; an address without one: 100 per minute, 20 at once.
pub(super) const GENERAL: General = General {
    user: RateLimit { burst: 50, refill: Millis::new(60), keys_max: KEYS_MAX },
    address: RateLimit { burst: 20, refill: Millis::new(600), keys_max: KEYS_MAX },
};

const fn row(name: &'static str, method: Method, path: &'static str, requests: u32) -> Quota {
    Quota {
        name,
        route: (method, path),
        requests,
        time: Millis::from_mins(1),
        per: Per::Subject,
        counts_generally: true,
    }
}

/// Every row. Rows of one name share a bucket.
pub(super) fn table() -> Vec<Quota> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    vec![
        row("codes", POST, "/v1/auth/otp/request", 10),
        row("sign-ins", POST, "/v1/auth/otp/verify", 10),
        row("sign-ins", POST, "/v1/auth/social/callback", 10),
        row("recoveries", POST, "/v1/auth/recovery/send", 10),
        row("sign-ins", POST, "/v1/auth/recovery/verify", 10),
        row("sign-ins", POST, "/v1/auth/recovery/deny", 10),
        row("refreshes", POST, "/v1/auth/refresh", 20),
        row("feed", GET, "/v1/feed", 100),
        row("auction reads", GET, "/v1/auctions/{auction}", 300),
        row("auction lists", GET, "/v1/auctions/{auction}/bids", 200),
        row("bids", POST, "/v1/auctions/{auction}/bids", 100),
        Quota {
            time: Millis::from_mins(5),
            per: Per::Target,
            ..row("bids in one auction", POST, "/v1/auctions/{auction}/bids", 20)
        },
        row("offers", POST, "/v1/stories/{story}/offers", 10),
        row("uploads", POST, "/v1/media/uploadSession", 10),
        row("uploads", POST, "/v1/uploads", 10),
        Quota {
            counts_generally: false,
            ..row("media", GET, "/p/{token}/{asset}/{revision}/{*path}", 1_000)
        },
        // A CDN asks for many.
        Quota {
            counts_generally: false,
            ..row("media by access token", GET, "/c/{asset}/{revision}/{*path}", 60_000)
        },
        // Beside the segments: a player that is refused here once never asks again.
        Quota {
            counts_generally: false,
            ..row("steering", GET, "/p/{token}/{asset}/{revision}/steering/{pathway}", 1_000)
        },
        row("playback renewals", POST, "/v1/playback/{playback}/renew", 30),
        row("captions", PUT, "/v1/media/{asset}/captions/{language}", 20),
        row("captions", DELETE, "/v1/media/{asset}/captions/{language}", 20),
        row("evidence", POST, "/v1/orders/{order}/evidence", 20),
        row("analytics", POST, "/v1/analytics/events", 60),
        row("avatars", POST, "/v1/users/me/avatar/upload", 10),
        row("checkouts", POST, "/v1/sale-locks/{lock}/checkout", 20),
        row("payments", GET, "/v1/users/me/payments", 30),
        row("orders", GET, "/v1/orders", 100),
        row("orders", GET, "/v1/orders/{order}", 100),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_names_a_route() {
        let known = crate::http::document().operations();
        for quota in table() {
            let (method, path) = quota.route;
            let path = path.replace("{*", "{");
            assert!(known.contains(&(method.to_string(), path.clone())), "{method} {path}");
        }
    }

    #[test]
    fn rows_of_one_name_have_one_number() {
        let numbers: BTreeSet<_> = table()
            .iter()
            .map(|quota| (quota.name, quota.requests, quota.time.as_millis()))
            .collect();
        let names: BTreeSet<_> = table().iter().map(|quota| quota.name).collect();
        assert_eq!(numbers.len(), names.len());
    }
}
