//! What both daemons put around their routes: limits per user or address, who may read answers from
//! another origin, headers that keep browsers from guessing.
//!
//! ```text
//!   origins      Origin in the allow-list -> Access-Control-*; media and documents: anybody
//!   quotas       a table of method, route, number -> 429, Retry-After, RateLimit-*
//!   headers      nosniff, no referrer, no frames; HSTS where the address is https
//! ```
//! It must not know any route; tables are given. Read next: `rate.rs`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairground_types::{Code, Millis, UserId};

use crate::problem::Problem;
use crate::rate::{Left, RateLimit, RateLimiter};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

const ALLOWED_METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, CTA-Common-Access-Token, Idempotency-Key, If-Match, \
     If-None-Match, Last-Event-ID, Prefer, Range, Tus-Resumable, Upload-Checksum, Upload-Complete, Upload-Draft-Interop-Version, \
     Upload-Length, Upload-Metadata, Upload-Offset, X-Request-Id",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Content-Range, ETag, Fairground-Asset, Location, Preference-Applied, \
     RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, Tus-Checksum-Algorithm, \
     Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Complete, \
     Upload-Draft-Interop-Version, Upload-Expires, Upload-Length, Upload-Limit, Upload-Offset, \
     X-Request-Id",
);
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Who is limited: an account wherever it is, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A signed-in account.
    User(UserId),
    /// Anybody else.
    Address(IpAddr),
}

/// What a quota is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The subject, over every address of the rows of the same name.
    Subject,
    /// The subject at one address: one auction, one story.
    Target,
}

/// One row of a table of quotas.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Rows of one name share a bucket.
    pub name: &'static str,
    /// Method and route pattern.
    pub route: (Method, &'static str),
    /// How many requests.
    pub requests: u32,
    /// In which time.
    pub time: Millis,
    /// Counted for what.
    pub per: Per,
    /// Whether requests of this route count for the general quotas as well.
    pub counts_generally: bool,
}

/// Quotas of requests that no row names, and beside every row.
#[derive(Clone, Copy, Debug)]
pub struct General {
    /// Of an account.
    pub user: RateLimit,
    /// Of an address that shows no token.
    pub address: RateLimit,
}

/// A table of quotas with its buckets, in bounded memory.
#[derive(Debug)]
pub struct Quotas {
    rows: Vec<(Quota, usize)>,
    buckets: Vec<(&'static str, RateLimiter<(Subject, u64)>)>,
    user: RateLimiter<Subject>,
    address: RateLimiter<Subject>,
}

/// How a request stands with the quotas: of all that it counts for, the one with the least left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    burst: u32,
    left: Left,
}

impl Quotas {
    /// Takes the table; `keys_max` subjects are remembered for each name.
    #[must_use]
    pub fn new(table: &[Quota], general: General, keys_max: usize) -> Self {
        let mut buckets: Vec<(&'static str, RateLimiter<(Subject, u64)>)> = Vec::new();
        let rows = table
            .iter()
            .map(|quota| {
                let known = buckets.iter().position(|(name, _)| *name == quota.name);
                let at = known.unwrap_or_else(|| {
                    let refill =
                        Millis::new(quota.time.as_millis() / u64::from(quota.requests.max(1)));
                    let limit = RateLimit { burst: quota.requests, refill, keys_max };
                    buckets.push((quota.name, RateLimiter::new(limit)));
                    buckets.len().saturating_sub(1)
                });
                (quota.clone(), at)
            })
            .collect();
        let (user, address) = (RateLimiter::new(general.user), RateLimiter::new(general.address));
        Self { rows, buckets, user, address }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time to wait.
    pub fn count(
        &self,
        subject: Subject,
        request: (&Method, &str, &str),
        now: Millis,
    ) -> Result<Standing, Problem> {
        let (method, route, path) = request;
        let mut tightest: Option<Standing> = None;
        let mut note = |limit: RateLimit, taken: Result<Left, Millis>, what: &str| match taken {
            Ok(left) => {
                let standing = Standing { burst: limit.burst, left };
                if tightest.is_none_or(|known| left.requests < known.left.requests) {
                    tightest = Some(standing);
                }
                Ok(())
            }
            Err(wait) => {
                let detail = format!("too many requests ({what})");
                Err(Problem::new(Code::RateLimited, detail).with_retry_after(wait))
            }
        };
        let mut counts_generally = true;
        for (quota, at) in &self.rows {
            if quota.route.0 != *method || quota.route.1 != route {
                continue;
            }
            counts_generally &= quota.counts_generally;
            let Some((name, limiter)) = self.buckets.get(*at) else { continue };
            let target = match quota.per {
                Per::Subject => 0,
                Per::Target => hash(path),
            };
            note(limiter.limit(), limiter.take(&(subject, target), now), name)?;
        }
        if counts_generally {
            let limiter = match subject {
                Subject::User(_) => &self.user,
                Subject::Address(_) => &self.address,
            };
            note(limiter.limit(), limiter.take(&subject, now), "all routes")?;
        }
        let full = Left { requests: u32::MAX, full_in: Millis::ZERO };
        Ok(tightest.unwrap_or(Standing { burst: u32::MAX, left: full }))
    }
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

impl Standing {
    /// Writes `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (draft-ietf-httpapi).
    pub fn tell(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.burst));
        headers.insert(REMAINING, HeaderValue::from(self.left.requests));
        headers.insert(RESET, HeaderValue::from(self.left.full_in.as_millis().div_ceil(1_000)));
    }
}

/// The headers of a refusal: nothing is left until the wait is over.
pub fn tell_refused(headers: &mut HeaderMap) {
    headers.insert(REMAINING, HeaderValue::from(0_u32));
    if let Some(wait) = headers.get(header::RETRY_AFTER).cloned() {
        headers.insert(RESET, wait);
    }
}

/// The route that a request matched, for the table.
#[must_use]
pub fn route_of(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(String::new, |path| path.as_str().to_owned())
}

/// Who may read the answer to a request from another origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Anybody: nothing here is told by a cookie, so nothing is given away by it.
    Anybody,
    /// This origin, which the allow-list knows.
    Origin(HeaderValue),
    /// Nobody.
    Nobody,
}

/// The answer to a preflight (Fetch standard, section 4.8).
#[must_use]
pub fn preflight(reader: &Reader) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    share(response.headers_mut(), reader);
    if *reader != Reader::Nobody {
        let all = response.headers_mut();
        all.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        all.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        all.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        all.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
    }
    response
}

/// Whether a request is a preflight.
#[must_use]
pub fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets `reader` read an answer.
pub fn share(headers: &mut HeaderMap, reader: &Reader) {
    let origin = match reader {
        Reader::Anybody => HeaderValue::from_static("*"),
        Reader::Origin(origin) => origin.clone(),
        Reader::Nobody => {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
            return;
        }
    };
    if matches!(reader, Reader::Origin(_)) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
}

/// Scheme and authority of an absolute http address.
#[must_use]
pub fn origin_of(url: &str) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| url.starts_with(scheme))?;
    let rest = url.get(scheme.len()..)?;
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..scheme.len().saturating_add(authority))
}

/// Keeps browsers from guessing types, telling addresses and framing answers; where the public
/// address is https, from ever using anything else.
pub fn secure(headers: &mut HeaderMap, is_https: bool) {
    let mut unless_set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    unless_set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    unless_set(header::REFERRER_POLICY, "no-referrer");
    unless_set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    if is_https {
        unless_set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Quota] = &[
        Quota {
            name: "bids",
            route: (Method::POST, "/bids/{auction}"),
            requests: 4,
            time: Millis::from_mins(1),
            per: Per::Subject,
            counts_generally: true,
        },
        Quota {
            name: "bids in one auction",
            route: (Method::POST, "/bids/{auction}"),
            requests: 2,
            time: Millis::from_mins(5),
            per: Per::Target,
            counts_generally: true,
        },
        Quota {
            name: "media",
            route: (Method::GET, "/p/{path}"),
            requests: 100,
            time: Millis::from_mins(1),
            per: Per::Subject,
            counts_generally: false,
        },
    ];

    fn quotas() -> Quotas {
        let limit = |burst| RateLimit { burst, refill: Millis::new(100), keys_max: 64 };
        Quotas::new(TABLE, General { user: limit(50), address: limit(3) }, 64)
    }

    #[test]
    fn rows_and_the_general_quota_are_all_counted() {
        let quotas = quotas();
        let now = Millis::new(1_000);
        let user = Subject::User(UserId::from_bits(1));
        let bid =
            |subject, path| quotas.count(subject, (&Method::POST, "/bids/{auction}", path), now);
        assert_eq!(bid(user, "/bids/1").expect("taken").left.requests, 1);
        assert!(bid(user, "/bids/1").is_ok());
        let refused = bid(user, "/bids/1").expect_err("two in one auction");
        assert!(refused.detail().contains("bids in one auction"), "{}", refused.detail());
        assert_eq!(refused.code(), Code::RateLimited);
        // The refused request has taken one of the four as well: who hammers is not rewarded.
        assert!(bid(user, "/bids/2").is_ok());
        assert!(bid(user, "/bids/3").expect_err("four in all").detail().contains("(bids)"));
        assert!(bid(Subject::User(UserId::from_bits(2)), "/bids/1").is_ok());
    }

    #[test]
    fn media_does_not_count_for_the_general_quota() {
        let quotas = quotas();
        let now = Millis::new(1_000);
        let guest = Subject::Address(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..50 {
            assert!(quotas.count(guest, (&Method::GET, "/p/{path}", "/p/1"), now).is_ok());
        }
        let get = || quotas.count(guest, (&Method::GET, "/feed", "/feed"), now);
        assert!((0..3).all(|_| get().is_ok()));
        assert!(get().is_err());
    }

    #[test]
    fn what_is_left_is_told_in_headers() {
        let quotas = quotas();
        let guest = Subject::Address(IpAddr::from([192, 0, 2, 1]));
        let standing =
            quotas.count(guest, (&Method::GET, "/x", "/x"), Millis::ZERO).expect("first");
        let mut headers = HeaderMap::new();
        standing.tell(&mut headers);
        let text = |name: &str| headers[name].to_str().expect("ascii").to_owned();
        assert_eq!(
            [text("ratelimit-limit"), text("ratelimit-remaining"), text("ratelimit-reset")],
            ["3", "2", "1"]
        );
    }

    #[test]
    fn only_a_known_origin_reads_answers() {
        let mut headers = HeaderMap::new();
        share(&mut headers, &Reader::Nobody);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        let origin = HeaderValue::from_static("https://shop.example");
        share(&mut headers, &Reader::Origin(origin.clone()));
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin);
        assert_eq!(headers[header::VARY], "Origin");
        assert_eq!(origin_of("https://shop.example/#/x"), Some("https://shop.example"));
        assert_eq!(origin_of("ftp://shop.example"), None);
        assert!(preflight(&Reader::Nobody).headers().get("access-control-allow-methods").is_none());
    }

    #[test]
    fn pages_keep_their_own_policy() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'self'"),
        );
        secure(&mut headers, true);
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'self'");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }
}
