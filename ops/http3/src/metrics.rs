//! Every metric of this crate, with its help text.
//!
//! Labels come from closed sets. It must not know how metrics are shown.

const CONNECTIONS: &str = "fairground_http3_connections";
const REFUSED: &str = "fairground_http3_connections_refused_total";
const REQUESTS: &str = "fairground_http3_requests_total";

/// Tells the recorder what each metric means.
pub fn describe() {
    metrics::describe_gauge!(CONNECTIONS, "HTTP/3 connections after their handshake.");
    metrics::describe_counter!(REFUSED, "HTTP/3 connections that were not taken, by reason.");
    metrics::describe_counter!(REQUESTS, "Requests over HTTP/3 by how they ended.");
}

/// A connection was not taken.
pub(crate) fn refused(reason: &'static str) {
    metrics::counter!(REFUSED, "reason" => reason).increment(1);
}

/// A request ended.
pub(crate) fn request_ended(outcome: &'static str) {
    metrics::counter!(REQUESTS, "outcome" => outcome).increment(1);
}

/// Counts a connection while it is there, however it ends.
pub(crate) struct Counted(());

impl Counted {
    pub(crate) fn new() -> Self {
        metrics::gauge!(CONNECTIONS).increment(1.0);
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(CONNECTIONS).decrement(1.0);
    }
}
