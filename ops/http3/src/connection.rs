//! The life of one connection: handshake, requests, and its end.
//!
//! ```text
//! handshake ─► settings ─► requests ... ─┬─ nobody asks for `idle` ───────► close
//!                                        ├─ the peer goes ────────────────► running ones are ended
//!                                        ├─ too many without a head ──────► close, excessive load
//!                                        └─ stopping: GOAWAY ─► running ones arrive ─► close
//! ```
//! It must not know what is asked for. Read next: `request.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairground_runtime::shutdown::Shutdown;
use h3::error::Code;
use h3::server;
use quinn::Incoming;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::request::{self, Ended, Resolver};
use crate::wire::{Allowance, Wire, close_code};
use crate::{Http3Limits, Media, metrics};

/// Bytes that a stream of a request may carry beyond its head.
const REQUEST_SLACK: usize = 4 * 1024;
/// Bytes that a peer may send on its control stream: settings, and priorities for as long as it lasts.
const CONTROL_MAX: usize = 256 * 1024;
/// Requests of one connection that were taken back or broke off before their head was whole.
const HEADLESS_MAX: u32 = 256;
/// How long a peer is given to read what it has acknowledged, before the connection is closed.
const LINGER: Duration = Duration::from_millis(250);

/// What every connection of a listener shares.
pub(crate) struct Context {
    pub(crate) media: Media,
    pub(crate) limits: Http3Limits,
    pub(crate) shutdown: Shutdown,
}

type Driver = server::Connection<Wire, Bytes>;

/// How the requests of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Everything asked for has arrived: it is closed when the peer has had time to read.
    Served,
    /// The peer is gone, or must go; running requests end with the connection.
    Broken,
}

/// Serves a connection until it ends.
pub(crate) async fn run(context: Arc<Context>, incoming: Incoming) {
    let patience = context.limits.handshake_timeout;
    let connection = match timeout(patience, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!("handshake took too long");
            return;
        }
    };
    let _counted = metrics::Counted::new();
    let driver = match timeout(patience, open(&context.limits, connection.clone())).await {
        Ok(Ok(driver)) => driver,
        Ok(Err(error)) => {
            tracing::debug!(%error, "connection ended early");
            return;
        }
        Err(_) => return,
    };
    let mut serving = Serving {
        context,
        connection: connection.clone(),
        driver,
        requests: JoinSet::new(),
        headless: 0,
        still_since: Instant::now(),
        is_draining: false,
    };
    let over = serving.serve().await;
    if over == Over::Served {
        while serving.requests.join_next().await.is_some() {}
        let _ = timeout(LINGER, connection.closed()).await;
    }
    // The driver closes the connection without an error when it is dropped, unless it is closed.
}

async fn open(limits: &Http3Limits, connection: quinn::Connection) -> Result<Driver, String> {
    let head = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
    let allowance = Allowance { request: head.saturating_add(REQUEST_SLACK), control: CONTROL_MAX };
    let mut builder = server::builder();
    builder.max_field_section_size(u64::from(limits.header_bytes_max)).send_grease(false);
    builder.build(Wire::new(connection, allowance)).await.map_err(|error| error.to_string())
}

struct Serving {
    context: Arc<Context>,
    connection: quinn::Connection,
    driver: Driver,
    requests: JoinSet<Ended>,
    headless: u32,
    still_since: Instant,
    is_draining: bool,
}

enum Event {
    Stopping,
    Ended(Result<Ended, JoinError>),
    Asked(Box<Resolver>),
    /// The peer said that it asks no more, and has all that it asked for.
    Farewell,
    Broken(String),
    Idle,
}

impl Serving {
    async fn serve(&mut self) -> Over {
        loop {
            let over = match self.next().await {
                Event::Stopping => self.say_goodbye().await,
                Event::Ended(ended) => self.note(ended),
                Event::Asked(resolver) => {
                    self.take(*resolver);
                    None
                }
                Event::Farewell | Event::Idle => Some(Over::Served),
                Event::Broken(error) => {
                    tracing::debug!(error, "connection ended");
                    Some(Over::Broken)
                }
            };
            if let Some(over) = over {
                return over;
            }
            if self.is_draining && self.requests.is_empty() {
                return Over::Served;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let bored_at = self.still_since + self.context.limits.idle;
        tokio::select! {
            biased;
            () = self.context.shutdown.wait(), if !self.is_draining => Event::Stopping,
            Some(ended) = self.requests.join_next(), if !self.requests.is_empty() => {
                Event::Ended(ended)
            }
            accepted = self.driver.accept() => match accepted {
                Ok(Some(resolver)) => Event::Asked(Box::new(resolver)),
                Ok(None) => Event::Farewell,
                Err(error) => Event::Broken(error.to_string()),
            },
            () = tokio::time::sleep_until(bored_at), if self.requests.is_empty() => Event::Idle,
        }
    }

    /// Says by GOAWAY that nothing more is taken.
    async fn say_goodbye(&mut self) -> Option<Over> {
        self.is_draining = true;
        // The id is that of the first request that is not taken (RFC 9114 section 5.2), and h3 counts
        // from the last one that was.
        match timeout(self.context.limits.handshake_timeout, self.driver.shutdown(1)).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) | Err(_) => Some(Over::Broken),
        }
    }

    fn take(&mut self, resolver: Resolver) {
        self.still_since = Instant::now();
        let (context, peer) = (Arc::clone(&self.context), self.connection.remote_address());
        self.requests.spawn(request::answer(context, resolver, peer));
    }

    fn note(&mut self, ended: Result<Ended, JoinError>) -> Option<Over> {
        self.still_since = Instant::now();
        let ended = ended.unwrap_or(Ended::Broken);
        metrics::request_ended(ended.name());
        if ended == Ended::Headless {
            self.headless = self.headless.saturating_add(1);
        }
        if self.headless > HEADLESS_MAX {
            self.connection.close(close_code(Code::H3_EXCESSIVE_LOAD), b"too many broken requests");
            return Some(Over::Broken);
        }
        None
    }
}
