//! Requests over HTTP: bodies of bids and offers, `Range`, tus headers, signed webhooks.

use fairground_media::upload::{Dialect, Standing, UploadPolicy};
use fairground_stripe::webhook;
use fairground_types::{Timestamp, UploadId};

use crate::{Outcome, Target};

const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);
const SECRET: &[u8] = b"whsec_fuzz";

/// Divides an input at its first line break.
fn two(input: &[u8]) -> (&[u8], &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (head, rest) = input.split_at(at);
    (head, rest.get(1..).unwrap_or_default())
}

/// A delivery as anybody may send it: header, then body. Then the same body, signed.
fn webhook_delivery(input: &[u8]) -> Outcome {
    let (header, body) = two(input);
    if let Ok(header) = std::str::from_utf8(header) {
        let read = webhook::verify(body, header, &[SECRET.to_vec()], NOW);
        assert!(read.is_err(), "nobody signed this");
    }
    let seconds = NOW.as_unix_millis() / 1_000;
    let signed = [format!("{seconds}.").as_bytes(), body].concat();
    let mac = fairground_runtime::secret::mac_hex(SECRET, &signed);
    match webhook::verify(body, &format!("t={seconds},v1={mac}"), &[SECRET.to_vec()], NOW) {
        Ok(_) => Outcome::Read,
        Err(webhook::WebhookError::MalformedBody(_)) => Outcome::Refused,
        Err(error) => panic!("a signed body was refused for {error}"),
    }
}

/// Headers `Name: value`, one a line, to every verb of the dialect that they speak.
fn upload_headers(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::Refused };
    let request = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned())
    };
    let policy = UploadPolicy::default();
    let id = UploadId::from_bits(9);
    let Ok(dialect) = Dialect::of(&request) else { return Outcome::Refused };
    let made = dialect.create(&request, &policy, id, NOW);
    let Ok((state, chunk)) = made else { return Outcome::Refused };
    assert!((1..=policy.bytes_max).contains(&state.length) && state.offset == 0);
    if let Some(chunk) = chunk {
        assert!(chunk.bytes_max() <= state.length, "a chunk of more than the upload");
    }
    if let Ok(chunk) = dialect.accept(&state, &request, NOW) {
        let mut state = state.clone();
        assert!(state.advance(&chunk, chunk.bytes_max().saturating_add(1)).is_err());
        state.advance(&chunk, chunk.bytes_max()).expect("as much as was allowed");
        assert!(state.offset <= state.length);
    }
    let standing = Standing { state: &state, is_ended: false, policy: &policy, now: NOW };
    for (name, value) in dialect.head_headers(&standing) {
        assert!(value.bytes().all(|byte| (0x20..0x7F).contains(&byte)), "{name}: {value:?}");
    }
    Outcome::Read
}

/// `Range` against a body: a part is never outside of it.
fn range(input: &[u8]) -> Outcome {
    let (header, length) = two(input);
    let Ok(header) = std::str::from_utf8(header) else { return Outcome::Refused };
    let length = length.iter().take(4).fold(0_usize, |all, byte| all * 256 + usize::from(*byte));
    match fairground_node::fuzz::range(header, length) {
        Some((first, last)) => {
            assert!(first <= last && last < length, "{header:?} of {length}: {first}-{last}");
            Outcome::Read
        }
        None => Outcome::Refused,
    }
}

fn read(is_read: bool) -> Outcome {
    if is_read { Outcome::Read } else { Outcome::Refused }
}

fn bid_body(input: &[u8]) -> Outcome {
    read(fairground_node::fuzz::bid_body(input))
}

fn offer_body(input: &[u8]) -> Outcome {
    read(fairground_node::fuzz::offer_body(input))
}

pub(super) const TARGETS: &[Target] = &[
    Target { name: "webhook", run: webhook_delivery, golden: &[] },
    Target { name: "tus_headers", run: upload_headers, golden: &[] },
    Target { name: "range", run: range, golden: &[] },
    Target { name: "bid_body", run: bid_body, golden: &[] },
    Target { name: "offer_body", run: offer_body, golden: &[] },
];
