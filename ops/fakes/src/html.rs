//! The frame of the plain pages: one style, escaped text, no script. Read next:
//! `stripe/page.rs`, `inbox/page.rs`.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:40rem;\
padding:1rem;color:#1b1b1f;background:#fff}h1{font-size:1.5rem}\
label{display:block;font-weight:600;margin:1rem 0 .25rem}\
input{font:inherit;width:100%;box-sizing:border-box;padding:.6rem;border:1px solid #6b6b76;\
border-radius:.4rem}.hint{color:#55555f;margin:.25rem 0 0}\
button{font:inherit;padding:.7rem 1.4rem;margin:1.25rem .5rem 0 0;border-radius:.4rem;\
border:1px solid #2f3fbf;background:#fff;color:#2f3fbf}\
button.main{background:#2f3fbf;color:#fff}\
.amount{font-size:1.75rem;font-weight:700;margin:.25rem 0}\
[role=alert]{border:2px solid #b3261e;border-radius:.4rem;padding:.75rem;color:#8c1d18}\
article{border-top:1px solid #d0d0d8;padding:.75rem 0}pre{white-space:pre-wrap;\
overflow-wrap:anywhere}:focus-visible{outline:3px solid #f2a900;outline-offset:2px}";

/// Text made safe between tags and in quoted attributes.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A whole page around `main`, which is markup already.
pub(crate) fn page(status: StatusCode, title: &str, main: &str) -> Response {
    let title = escaped(title);
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{main}</main></body></html>\n"
    );
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Html(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(escaped(r#"<a b="c">&'"#), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
    }
}
