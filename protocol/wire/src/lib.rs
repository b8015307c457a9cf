//! Bytes between edges and coordinators, and the bytes that storage keeps.
//!
//! Pure: what it gets are bytes and instants, what it answers are values. It must not know sockets,
//! clocks, QUIC or the rules of the market. Layouts are drawn in
//! `docs/src/internals/formats.md`. Read next: [`message`] for everything that crosses a stream,
//! [`codec`] for how a value becomes bytes, [`session`] for both ends of the long-lived streams.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

pub mod codec;
pub mod frame;
pub mod history;
pub mod message;
pub mod raft;
pub mod session;
pub mod version;

pub use codec::{CodecError, Versioned, decode, encode, from_bytes, to_bytes, to_frame};
pub use frame::{FrameDecoder, FrameError, encode_frame};
pub use version::{Hello, VersionRange};
