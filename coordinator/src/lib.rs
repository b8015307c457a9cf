//! The authority: a member of the coordinator cluster.
//!
//! ```text
//!            edges                     other members            people, provider
//!              | QUIC                      | QUIC                    | HTTP
//!  quic -> edge/* sessions         raft/serve, blobs           http/*
//!              \                           |                        /
//!               +------> propose ------> Raft ------> raft/state_machine -> Market
//!                           ^ clock          \-> log, snapshots      |
//!                     raft/office, deadline                     state (backlog, digests)
//!                                                                    |
//!                                             sessions, feeds, effects/* (leader only)
//! ```
//! Start and stop order are in `daemon.rs`. The crate turns the world into commands and effects back
//! into the world; every rule is in `fairground_market`, and it must not know `fairground_node`. Read
//! next: `state.rs`, `propose.rs`, then `edge/mod.rs`.

mod auth;
mod blob_place;
mod blobs;
mod collect;
mod copy;
mod daemon;
mod edge;
mod effects;
mod error;
mod history;
mod http;
mod identity;
mod join;
mod member;
mod metrics;
mod options;
mod payout;
mod peers;
mod playback;
mod private;
mod progress;
mod propose;
mod quic;
mod raft;
mod reads;
mod receipt;
mod recovery;
mod scrub;
mod setup;
#[cfg(feature = "sim")]
pub mod sim;
mod social;
mod state;
mod status;
mod stream;
mod tls;
mod viewer_mark;

pub use daemon::run;
pub use error::Error;
pub use options::{
    BlobOptions, BlobStoreKind, MailOptions, MailProvider, Options, PushOptions, RaftOptions,
    S3Options, SignInOptions, SmsOptions, StripeSettings, TrackingOptions, VerificationOptions,
};
pub use peers::LinkError;
pub use propose::ProposeError;
pub use setup::{InitOptions, JoinOptions, SetUp, init, is_member, join};
pub use social::Social;
pub use stream::StreamError;
