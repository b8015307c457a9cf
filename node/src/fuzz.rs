//! Readers of requests, opened for the fuzz targets alone (feature `fuzz`).
//!
//! Each answers whether an input was read, and panics on a finding. It must not hold rules of its
//! own.

use crate::delivery::range::{Part, part};
use crate::http;

/// The part of a body of `length` bytes that a `Range` header asks for, first and last byte.
#[must_use]
pub fn range(header: &str, length: usize) -> Option<(usize, usize)> {
    match part(Some(header), length) {
        Part::Bytes { first, last } => Some((first, last)),
        Part::Whole | Part::Unsatisfiable => None,
    }
}

/// Reads the body of a bid.
#[must_use]
pub fn bid_body(body: &[u8]) -> bool {
    http::reads_bid(body)
}

/// Reads the body of an offer.
#[must_use]
pub fn offer_body(body: &[u8]) -> bool {
    http::reads_offer(body)
}
