//! What every daemon shares: configuration, telemetry, health, shutdown, the HTTP accept loop,
//! problem+json, access tokens, sealed secrets and the cluster's own certificates.
//!
//! It must not know the market, the wire protocol or storage. Read next: [`pki`] for who may speak
//! to whom inside a cluster, [`problem`] for what a client sees when something is refused,
//! [`shutdown`] for how a daemon stops.

pub mod access;
pub mod clock;
pub mod config;
pub mod counted;
pub mod cursor;
pub mod error;
pub mod guard;
pub mod health;
pub mod http;
pub mod ids;
pub mod metrics;
pub mod openapi;
pub mod pki;
pub mod problem;
pub mod rate;
pub mod receipt;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod version;
pub mod web;
pub mod zone;
