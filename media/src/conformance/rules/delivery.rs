//! Rules of delivery, `D1` to `D7`, and `S9`, judged on real answers.
//!
//! It does not speak HTTP: a [`Client`] does, without following redirects and without taking
//! compression off.

use std::fmt;
use std::net::IpAddr;

use fairground_types::BlobHash;

use super::Rule;
use crate::conformance::report::Report;
use crate::token::{TOKEN_CHARS_MAX, TOKEN_CHARS_MIN};

/// Playlists shorter than this need no compression.
const GZIP_MIN: usize = 256;
/// A range that no file is long enough for.
const RANGE_BEYOND: &str = "bytes=999999999999-";
/// A range that every file has.
const RANGE_FIRST: &str = "bytes=1-9";
/// The site that asks, for the headers of other origins.
const ORIGIN: &str = "https://lint.invalid";

/// Asks the server that is looked at.
pub trait Client {
    /// Sends one request for a name relative to the multivariant playlist.
    ///
    /// # Errors
    /// The text of what failed, when there is no answer at all.
    fn ask(&self, name: &str, request: &Request) -> Result<Answer, String>;
}

/// A request that a rule needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `HEAD` instead of `GET`.
    pub head: bool,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub body: Vec<u8>,
}

/// A file to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its name relative to the multivariant playlist.
    pub name: String,
    /// What it is.
    pub kind: NameKind,
}

/// What a file is, for its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A playlist of either kind.
    Playlist,
    /// A header or segment with a picture.
    Video,
    /// A header or segment with sound.
    Audio,
    /// WebVTT.
    Subtitles,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl NameKind {
    const fn types(self) -> &'static [&'static str] {
        match self {
            Self::Playlist => &["application/vnd.apple.mpegurl"],
            Self::Video => &["video/mp4", "video/iso.segment"],
            Self::Audio => &["audio/mp4", "video/iso.segment"],
            Self::Subtitles => &["text/vtt"],
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.head { "HEAD" } else { "GET" })?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, ", {name}: {value}"))
    }
}

/// Asks for every name in every way that a rule looks at.
pub(crate) fn check(report: &mut Report, address: &str, names: &[Name], client: &dyn Client) {
    addressed(report, address);
    for name in names {
        Server { report, name, client }.check();
    }
}

/// `D6` and `D7`, which the address decides. No place repeats it: it may hold a token.
fn addressed(report: &mut Report, address: &str) {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    if scheme != "https" && is_loopback(rest) {
        report.skip(Rule::D6, "the server is asked on loopback, without TLS");
    } else {
        // An older version than 1.2 is not spoken here, so an answer by TLS is good enough.
        report
            .check(Rule::D6, scheme == "https", "address", || "it is not delivered by TLS".into());
    }
    let is_token = |part: &str| {
        (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    report.check(Rule::D7, rest.split('/').any(is_token), "address", || {
        "no part of it is a playback token".to_owned()
    });
}

/// Whether what follows `http://` begins with an address of this machine.
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

struct Server<'a> {
    report: &'a mut Report,
    name: &'a Name,
    client: &'a dyn Client,
}

impl Server<'_> {
    fn check(mut self) {
        let plain = Request { head: false, headers: vec![("Origin", ORIGIN.to_owned())] };
        let Some(answer) = self.ask(&plain) else { return };
        let redirected = (300..400).contains(&answer.status);
        self.judge(Rule::D3, !redirected, || format!("status {}", answer.status));
        self.judge(Rule::F1, answer.status == 200, || format!("status {}", answer.status));
        if answer.status != 200 {
            return;
        }
        let stated = answer.header("content-type").unwrap_or_default();
        let kind = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        self.judge(Rule::D2, self.name.kind.types().contains(&kind.as_str()), || {
            format!("the media type is {stated:?}")
        });
        let allowed = answer.header("access-control-allow-origin");
        self.judge(Rule::D5, matches!(allowed, Some("*" | ORIGIN)), || {
            format!("access-control-allow-origin is {allowed:?}")
        });
        let credentials = answer.header("access-control-allow-credentials").is_some();
        self.judge(Rule::D5, !credentials, || "credentials of other sites are allowed".to_owned());
        if self.name.kind == NameKind::Playlist {
            self.compression(&answer);
        }
        self.ranges(&answer);
        self.conditions(&answer);
    }

    fn ask(&mut self, request: &Request) -> Option<Answer> {
        match self.client.ask(&self.name.name, request) {
            Ok(answer) => Some(answer),
            Err(what) => {
                self.report.fault(Rule::F1, &self.name.name, format!("{request}: {what}"));
                None
            }
        }
    }

    fn judge(&mut self, rule: Rule, holds: bool, message: impl FnOnce() -> String) {
        self.report.check(rule, holds, &self.name.name, message);
    }

    fn compression(&mut self, plain: &Answer) {
        let request = Request { head: false, headers: vec![("Accept-Encoding", "gzip".into())] };
        let Some(answer) = self.ask(&request) else { return };
        let coding = answer.header("content-encoding");
        let zipped = coding == Some("gzip") && answer.body.starts_with(&[0x1F, 0x8B]);
        let short = plain.body.len() < GZIP_MIN;
        self.judge(Rule::D1, zipped || short && coding.is_none(), || {
            format!("content-encoding is {coding:?} where gzip is accepted")
        });
        let varies = answer.header("vary").unwrap_or_default().to_ascii_lowercase();
        self.judge(Rule::D1, varies.contains("accept-encoding"), || {
            "vary does not name accept-encoding".to_owned()
        });
    }

    fn ranges(&mut self, whole: &Answer) {
        let ranged = |range: &str| Request { head: false, headers: vec![("Range", range.into())] };
        let length = whole.body.len();
        if let Some(some) = self.ask(&ranged(RANGE_FIRST)) {
            let expected = format!("bytes 1-9/{length}");
            let holds = some.status == 206
                && some.header("content-range") == Some(expected.as_str())
                && whole.body.get(1..10) == Some(some.body.as_slice());
            self.judge(Rule::D4, holds, || {
                format!(
                    "{RANGE_FIRST} is answered with {} and {:?}",
                    some.status,
                    some.header("content-range")
                )
            });
        }
        if let Some(none) = self.ask(&ranged(RANGE_BEYOND)) {
            self.judge(Rule::D4, none.status == 416, || {
                format!("a range beyond the end is answered with {}", none.status)
            });
        }
        let head = Request { head: true, headers: Vec::new() };
        if let Some(head) = self.ask(&head) {
            let stated = head.header("content-length").and_then(|text| text.parse().ok());
            let holds = head.status == 200 && head.body.is_empty() && stated == Some(length);
            self.judge(Rule::D4, holds, || {
                format!("HEAD is answered with {} and a length of {stated:?}", head.status)
            });
        }
    }

    fn conditions(&mut self, whole: &Answer) {
        let tag = whole.header("etag").map(str::to_owned);
        self.judge(Rule::D4, tag.is_some(), || "there is no ETag".to_owned());
        let Some(tag) = tag else { return };
        let known = Request { head: false, headers: vec![("If-None-Match", tag.clone())] };
        if let Some(known) = self.ask(&known) {
            self.judge(Rule::D4, known.status == 304 && known.body.is_empty(), || {
                format!("If-None-Match is answered with {}", known.status)
            });
        }
        let hash = BlobHash::of(&whole.body).to_string();
        self.judge(Rule::S9, tag.trim_matches('"') == hash, || {
            format!("the bytes hash to {hash}, the ETag is {tag}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "http://127.0.0.1:7480/p/x/master.m3u8";

    /// A server that keeps every rule, and what a test makes it do wrong.
    struct Fake(fn(&Request, &mut Answer));

    impl Client for Fake {
        fn ask(&self, _name: &str, request: &Request) -> Result<Answer, String> {
            let body = b"#EXTM3U\n".repeat(40);
            let tag = format!("\"{}\"", BlobHash::of(&body));
            let mut headers = vec![
                ("content-type".to_owned(), "application/vnd.apple.mpegurl".to_owned()),
                ("access-control-allow-origin".to_owned(), "*".to_owned()),
                ("vary".to_owned(), "Accept-Encoding".to_owned()),
                ("content-length".to_owned(), body.len().to_string()),
                ("etag".to_owned(), tag.clone()),
            ];
            let asked = |name: &str| {
                request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
            };
            let (status, body) = if asked("If-None-Match") == Some(&tag) {
                (304, Vec::new())
            } else if asked("Accept-Encoding").is_some() {
                headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
                (200, vec![0x1F, 0x8B, 8])
            } else if asked("Range").is_some_and(|range| range == RANGE_FIRST) {
                headers.push(("content-range".to_owned(), format!("bytes 1-9/{}", body.len())));
                (206, body[1..10].to_vec())
            } else if asked("Range").is_some() {
                (416, Vec::new())
            } else {
                (200, if request.head { Vec::new() } else { body })
            };
            let mut answer = Answer { status, headers, body };
            (self.0)(request, &mut answer);
            Ok(answer)
        }
    }

    fn broken(wrong: fn(&Request, &mut Answer)) -> Vec<Rule> {
        let mut report = Report::default();
        let name = Name { name: "master.m3u8".to_owned(), kind: NameKind::Playlist };
        check(&mut report, ADDRESS, &[name], &Fake(wrong));
        let mut rules: Vec<Rule> = report.findings().iter().map(|finding| finding.rule).collect();
        // Nothing in the address of this test is a token.
        rules.retain(|rule| *rule != Rule::D7);
        rules.dedup();
        rules
    }

    fn without(answer: &mut Answer, name: &str) {
        answer.headers.retain(|(known, _)| known != name);
    }

    #[test]
    fn a_server_that_keeps_the_rules_has_no_finding() {
        assert_eq!(broken(|_, _| {}), []);
    }

    #[test]
    fn every_broken_answer_is_found_by_its_rule() {
        assert_eq!(broken(|_, answer| without(answer, "content-encoding")), [Rule::D1]);
        assert_eq!(broken(|_, answer| without(answer, "vary")), [Rule::D1]);
        assert_eq!(broken(|_, answer| without(answer, "content-type")), [Rule::D2]);
        assert_eq!(broken(|_, answer| answer.status = 302), [Rule::D3, Rule::F1]);
        assert_eq!(broken(|_, answer| without(answer, "content-range")), [Rule::D4]);
        assert_eq!(broken(|_, answer| without(answer, "content-length")), [Rule::D4]);
        assert_eq!(broken(|_, answer| without(answer, "etag")), [Rule::D4]);
        for status in [206, 304, 416] {
            let wrong: fn(&Request, &mut Answer) = match status {
                206 => |_, answer| {
                    answer.status = if answer.status == 206 { 200 } else { answer.status }
                },
                304 => |_, answer| {
                    answer.status = if answer.status == 304 { 200 } else { answer.status }
                },
                _ => |_, answer| {
                    answer.status = if answer.status == 416 { 206 } else { answer.status }
                },
            };
            assert_eq!(broken(wrong), [Rule::D4], "{status}");
        }
        assert_eq!(broken(|_, answer| without(answer, "access-control-allow-origin")), [Rule::D5]);
        assert_eq!(
            broken(|_, answer| answer.body.retain(|byte| *byte != b'M')),
            [Rule::D4, Rule::S9]
        );
    }

    #[test]
    fn the_address_decides_on_tls_and_tokens() {
        let rules = |address: &str| {
            let mut report = Report::default();
            addressed(&mut report, address);
            report.findings().iter().map(|finding| finding.rule).collect::<Vec<_>>()
        };
        let token = "a".repeat(TOKEN_CHARS_MIN);
        assert_eq!(rules(&format!("https://edge.example/p/{token}/x/1/master.m3u8")), []);
        assert_eq!(rules("https://edge.example/clips/master.m3u8"), [Rule::D7]);
        assert_eq!(rules(&format!("http://edge.example/p/{token}/master.m3u8")), [Rule::D6]);
        for host in ["127.0.0.1:80", "127.0.0.3", "localhost:80", "[::1]:80"] {
            assert_eq!(rules(&format!("http://{host}/p/{token}/master.m3u8")), [], "{host}");
        }
        let other = format!("http://127.0.0.1.example/p/{token}/master.m3u8");
        assert_eq!(rules(&other), [Rule::D6]);
    }
}
