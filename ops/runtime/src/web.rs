//! Page parts that the viewer and the console share: style, sign-in, calls, formatting.
//!
//! Plain ES modules and CSS, embedded; no build step. The pages themselves live with the daemon that
//! serves them (`node/web`, `coordinator/web`).

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::guard;

/// An embedded file and its media type.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Name below `/assets/`.
    pub name: &'static str,
    /// `Content-Type`.
    pub mime: &'static str,
    /// The bytes.
    pub body: &'static [u8],
}

/// Content security policy of every page: own scripts and styles only, video from blobs (media
/// source extensions), captions begun by the player as an empty `data:` track, no frames.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; media-src 'self' blob: data:; \
     worker-src 'self' blob:; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// Origins that a policy names; a header has its limits.
const ORIGINS_MAX: usize = 64;

/// [`CONTENT_SECURITY_POLICY`], with calls, video and pictures from `origins` too: other daemons that
/// serve the same page. What is not exactly an http origin is left out.
#[must_use]
pub fn policy_reaching<'a>(origins: impl IntoIterator<Item = &'a str>) -> HeaderValue {
    let mut sources = String::new();
    for origin in origins.into_iter().filter(|origin| is_source(origin)).take(ORIGINS_MAX) {
        sources.push(' ');
        sources.push_str(origin);
    }
    let policy = format!(
        "default-src 'self'; connect-src 'self'{sources}; media-src 'self' blob: data:{sources}; \
         worker-src 'self' blob:; img-src 'self' data:{sources}; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(CONTENT_SECURITY_POLICY))
}

/// Whether a policy can name it: it must not end a directive or be more than one source.
fn is_source(origin: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'.' | b'-');
    guard::origin_of(origin) == Some(origin) && origin.bytes().all(is_plain)
}

/// Files that both pages use.
pub const SHARED: &[Asset] = &[
    Asset {
        name: "base.css",
        mime: "text/css; charset=utf-8",
        body: include_bytes!("../web/base.css"),
    },
    Asset { name: "dom.js", mime: JAVASCRIPT, body: include_bytes!("../web/dom.js") },
    Asset { name: "api.js", mime: JAVASCRIPT, body: include_bytes!("../web/api.js") },
    Asset { name: "signin.js", mime: JAVASCRIPT, body: include_bytes!("../web/signin.js") },
];

/// Media type of ES modules (RFC 9239).
pub const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Embedded files, each with its entity tag. Clones share them.
#[derive(Clone, Debug)]
pub struct Pages(Arc<[(Asset, HeaderValue)]>);

impl Pages {
    /// Takes the files.
    pub fn new(assets: impl IntoIterator<Item = Asset>) -> Self {
        Self(assets.into_iter().map(|asset| (asset, tag_of(&asset))).collect())
    }

    /// Answers with a file, or that the one that the client has is the same.
    #[must_use]
    pub fn answer(&self, name: &str, headers: &HeaderMap) -> Option<Response> {
        let (asset, tag) = self.0.iter().find(|(asset, _)| asset.name == name)?;
        let known = headers.get(header::IF_NONE_MATCH);
        let mut response = if known.is_some_and(|known| names(known, tag)) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, asset.mime)], asset.body).into_response()
        };
        let all = response.headers_mut();
        all.insert(header::ETAG, tag.clone());
        all.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
        all.insert(header::CONTENT_SECURITY_POLICY, policy);
        all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        all.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Some(response)
    }
}

fn tag_of(asset: &Asset) -> HeaderValue {
    let hash = blake3::hash(asset.body).to_hex();
    // Hexadecimal digits in quotes are always a header value.
    HeaderValue::from_str(&format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether an `If-None-Match` names the tag; weak comparison (RFC 9110 section 13.1.2).
fn names(header: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(header), Ok(tag)) = (header.to_str(), tag.to_str()) else { return false };
    header.split(',').map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names_the_other_origins_and_nothing_else() {
        let policy = policy_reaching(["https://e2.example:8443", "http://127.0.0.3:9"]);
        let policy = policy.to_str().expect("text");
        let both = "https://e2.example:8443 http://127.0.0.3:9;";
        for directive in ["connect-src 'self'", "media-src 'self' blob: data:"] {
            assert!(policy.contains(&format!("{directive} {both}")), "{policy}");
        }
        assert!(policy.contains("default-src 'self';"), "{policy}");
        for bad in [
            "https://e2.example; script-src *",
            "https://e2.example *",
            "https://e2.example/path",
            "javascript:alert(1)",
            "*",
            "",
        ] {
            assert_eq!(policy_reaching([bad]), policy_reaching([]), "{bad}");
        }
    }

    #[test]
    fn file_that_the_client_has_is_not_sent_again() {
        let pages = Pages::new(SHARED.iter().copied());
        let first = pages.answer("dom.js", &HeaderMap::new()).expect("there");
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::REFERRER_POLICY], "no-referrer");
        let tag = first.headers()[header::ETAG].clone();
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        let again = pages.answer("dom.js", &known).expect("there");
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(pages.answer("base.css", &known).expect("there").status(), StatusCode::OK);
        assert!(pages.answer("../web/dom.js", &known).is_none());
    }
}
