//! The subject and the plain text of a mail (RFC 5322, RFC 2045 to 2047).
//!
//! Reads what mail clients send to a market's users, leniently: what it cannot decode it shows as it
//! came. Read next: `smtp.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::form::hex_digit;

const PARTS_MAX: usize = 64;
const DEPTH_MAX: usize = 8;

/// What is shown of a mail.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// Reads a mail as it came over the wire.
pub(crate) fn read(raw: &[u8]) -> Letter {
    let raw = String::from_utf8_lossy(raw).replace("\r\n", "\n");
    let part = Part::of(&raw);
    let subject = part.header("subject").map(|subject| decoded_words(&subject)).unwrap_or_default();
    let text = part.plain_text(0).unwrap_or_else(|| part.body.to_owned());
    Letter { subject, text: text.trim_end().to_owned() }
}

struct Part<'a> {
    headers: &'a str,
    body: &'a str,
}

impl<'a> Part<'a> {
    fn of(raw: &'a str) -> Self {
        if let Some(body) = raw.strip_prefix('\n') {
            return Self { headers: "", body };
        }
        raw.split_once("\n\n")
            .map_or(Self { headers: raw, body: "" }, |(headers, body)| Self { headers, body })
    }

    /// A header's value with its folds undone.
    fn header(&self, name: &str) -> Option<String> {
        let mut found: Option<String> = None;
        for line in self.headers.split('\n') {
            let continues = line.starts_with([' ', '\t']);
            match (&mut found, continues) {
                (Some(value), true) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                (Some(_), false) => break,
                (None, true) => {}
                (None, false) => {
                    let (key, value) = line.split_once(':').unwrap_or((line, ""));
                    if key.trim().eq_ignore_ascii_case(name) {
                        found = Some(value.trim().to_owned());
                    }
                }
            }
        }
        found
    }

    /// The first plain text in this part or the parts within it.
    fn plain_text(&self, depth: usize) -> Option<String> {
        let kind = self.header("content-type").unwrap_or_else(|| "text/plain".to_owned());
        let lower = kind.to_ascii_lowercase();
        if lower.starts_with("multipart/") && depth < DEPTH_MAX {
            let boundary = format!("--{}", parameter(&kind, "boundary")?);
            return self
                .body
                .split(boundary.as_str())
                .skip(1)
                .take(PARTS_MAX)
                .take_while(|part| !part.starts_with("--"))
                .find_map(|part| {
                    Part::of(part.strip_prefix('\n').unwrap_or(part)).plain_text(depth + 1)
                });
        }
        lower.starts_with("text/plain").then(|| self.decoded_body())
    }

    fn decoded_body(&self) -> String {
        let encoding = self.header("content-transfer-encoding").unwrap_or_default();
        match encoding.to_ascii_lowercase().as_str() {
            "base64" => {
                let packed: String = self.body.split_whitespace().collect();
                STANDARD.decode(packed).map_or_else(|_| self.body.to_owned(), lossy)
            }
            "quoted-printable" => lossy(unquoted(self.body.as_bytes(), false)),
            _ => self.body.to_owned(),
        }
    }
}

/// A parameter of a header, quoted or not.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|piece| {
        let (key, value) = piece.split_once('=')?;
        let named = key.trim().eq_ignore_ascii_case(name);
        named.then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Quoted-printable (RFC 2045 section 6.7), or the `Q` of a header (RFC 2047 section 4.2).
fn unquoted(text: &[u8], in_header: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'=', [b'\n', after @ ..]) => rest = after,
            (b'=', [high, low, after @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'='),
            },
            (b'_', _) if in_header => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// Encoded words of a header (RFC 2047); blanks between two of them are not text.
fn decoded_words(text: &str) -> String {
    let mut shown = String::new();
    let mut last_was_encoded = false;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let decoded = decoded_word(word);
        let joined = last_was_encoded && decoded.is_some();
        if !shown.is_empty() && !joined {
            shown.push(' ');
        }
        last_was_encoded = decoded.is_some();
        shown.push_str(&decoded.unwrap_or_else(|| word.to_owned()));
    }
    shown
}

fn decoded_word(word: &str) -> Option<String> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut parts = inner.splitn(3, '?');
    let (_charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    match encoding {
        "B" | "b" => STANDARD.decode(text).ok().map(lossy),
        "Q" | "q" => Some(lossy(unquoted(text.as_bytes(), true))),
        _ => None,
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        .replace("\r\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_mail_is_shown_as_it_is() {
        let letter = read(b"Subject: Your code\r\nFrom: a@b.example\r\n\r\n123456\r\n\r\nBye\r\n");
        assert_eq!(letter.subject, "Your code");
        assert_eq!(letter.text, "123456\n\nBye");
    }

    #[test]
    fn folded_and_encoded_subjects_are_read() {
        let letter = read(
            b"X-A: 1\r\nSubject: =?utf-8?B?w4Rw?=\r\n =?utf-8?Q?fel_=3D?= for\r\n\tsale\r\n\r\nx",
        );
        assert_eq!(letter.subject, "\u{c4}pfel = for sale");
        assert_eq!(letter.text, "x");
    }

    #[test]
    fn the_plain_part_of_a_multipart_mail_is_found() {
        let raw = "Subject: s\r\nContent-Type: multipart/mixed; boundary=\"o\"\r\n\r\nnothing\r\n\
            --o\r\nContent-Type: multipart/alternative;\r\n boundary=i\r\n\r\n\
            --i\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n\
            --i\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nPreis =E2=82=AC=\r\n 5=3D\r\n--i--\r\n--o--\r\n";
        assert_eq!(read(raw.as_bytes()).text, "Preis \u{20ac} 5=");
    }

    #[test]
    fn base64_bodies_are_decoded_and_broken_ones_shown() {
        let raw = b"Content-Transfer-Encoding: base64\r\n\r\nSGVs\r\nbG8=\r\n";
        assert_eq!(read(raw).text, "Hello");
        let raw = b"Content-Transfer-Encoding: base64\r\n\r\n!!\r\n";
        assert_eq!(read(raw).text, "!!");
        assert_eq!(read(b""), Letter::default());
        assert_eq!(read(b"\r\nno headers").text, "no headers");
    }
}
