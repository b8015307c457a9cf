//! From an uploaded clip to HLS: resumable upload, probe, transcode, package, play.
//!
//! The crate knows bytes: tus requests, containers, bitstreams, playlists, tokens. It must not know
//! the market, the cluster, HTTP servers or where blobs are kept; the edge hands it paths, clocks
//! and a [`BlobSink`]. Everything is synchronous; callers run it on a blocking pool.
//!
//! ```text
//!  upload (tus)  ->  probe (jailed ffprobe)  ->  transcode::TranscodeJob
//!                                                  |  jailed ffmpeg, rav1e
//!                                                  v
//!                          mux (CMAF)  ->  BlobSink  ->  Manifest (one blob per revision)
//!                                                          |
//!                     viewer  <-  path::resolve  <-  playlist, token
//!                       |
//!                       +- what viewers get is judged by conformance
//! ```
//!
//! Read next: `manifest` for what a published revision is, then `transcode` for how it comes to be.

#[cfg(feature = "transcode")]
pub mod conformance;
pub mod error;
#[cfg(feature = "transcode")]
pub mod jail;
pub mod ladder;
pub mod manifest;
#[cfg(feature = "transcode")]
pub mod mux;
pub mod path;
#[cfg(feature = "transcode")]
pub mod picture;
pub mod playlist;
#[cfg(feature = "transcode")]
pub mod probe;
pub mod sniff;
pub mod storyboard;
pub mod token;
#[cfg(feature = "transcode")]
pub mod transcode;
pub mod upload;
pub mod webvtt;

pub use error::{MediaError, Rejection};
#[cfg(feature = "transcode")]
pub use jail::{Jail, JailLevel, Launcher, Tools, launch_main};
pub use manifest::Manifest;
#[cfg(feature = "transcode")]
pub use transcode::{
    Beginning, BlobSink, EncodeTuning, Progress, Revision, RungReport, Stage, TranscodeJob,
};
