//! A whole edge over real HTTP, alone and with a member that applies the real market.
//!
//! `support` makes an identity and runs the edge; `member` is the other end of its QUIC streams.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails ends its test, in helpers as in the test itself"
)]

mod alone;
mod analytics;
mod budgets;
mod captions;
mod clip;
#[cfg(feature = "http3")]
mod http3;
mod jobs;
mod member;
mod offers;
mod origin;
mod people;
mod pictures;
mod playing;
mod signing;
mod support;
mod takedown;
mod together;
mod uploads;
