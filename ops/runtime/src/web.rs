//! Page parts that the viewer and the console share: style, sign-in, calls, formatting.
//!
//! Plain ES modules and CSS, embedded; no build step. The pages themselves live with the daemon that
//! serves them (`node/web`, `coordinator/web`).

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
/// source extensions), no frames.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; media-src 'self' blob:; \
     worker-src 'self' blob:; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

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
