//! Blobs from other edges of the same region, which are nearer than the members.
//!
//! ```text
//!   fetch(h) --> the siblings that a hash falls to, two at most, one after the other
//!                  |  has it: length and BLAKE3 checked while it streams
//!                  +--> absent, away, slow: the members are asked
//! ```
//! A sibling answers from its cache alone, so a question never goes in circles. One that cannot be
//! reached is left alone for a while. It must not know what a blob holds. Read next: [`super::blob`],
//! `siblings.rs` for who answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use fairground_runtime::guard;
use fairground_runtime::pki::{EDGE_SERVER_NAME, PeerIdentity, Role};
use fairground_seam::link::Connection;
use fairground_types::{BlobHash, EdgeId};
use fairground_wire::message::EdgeStatus;
use tokio::time::Instant;

use super::blob::{self, BlobError};
use super::{LinkError, Links, chain, peer_identity};
use crate::metrics;

/// Siblings that are asked for one blob.
const ASKED_MAX: usize = 2;
/// Siblings that are known.
const SIBLINGS_MAX: usize = 16;
/// How long a new connection may take: a sibling is near or of no use.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// How long all siblings together may take for a blob: players give up a silent edge after four seconds,
/// and a member is still to be asked.
const FETCH_WAIT: Duration = Duration::from_secs(2);
/// How long a sibling that could not be had is left alone.
const AWAY: Duration = Duration::from_secs(10);

/// Another edge of the region.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sibling {
    edge: EdgeId,
    /// `host:port`.
    address: String,
}

enum Held {
    Live(Connection),
    AwayUntil(Instant),
}

/// The other edges of the region.
pub(crate) struct Siblings {
    links: Arc<Links>,
    /// Where all edges listen for each other; `None`: nobody is asked.
    port: Option<u16>,
    rows: RwLock<Vec<Sibling>>,
    held: Mutex<BTreeMap<EdgeId, Held>>,
}

impl Siblings {
    pub(crate) fn new(links: Arc<Links>, port: Option<u16>) -> Self {
        Self { links, port, rows: RwLock::default(), held: Mutex::default() }
    }

    /// Takes over who there is now.
    pub(crate) fn follow(&self, own: &EdgeStatus, rows: &[EdgeStatus]) {
        let Some(port) = self.port else { return };
        let found = near(own, rows, port);
        self.lock().retain(|edge, _| found.iter().any(|sibling| sibling.edge == *edge));
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// A blob, when a sibling has it.
    pub(crate) async fn fetch(&self, hash: BlobHash) -> Option<Bytes> {
        let asked = {
            let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
            falls_to(&rows, hash)
        };
        let end = Instant::now() + FETCH_WAIT;
        for sibling in asked {
            if self.is_away(&sibling.edge) {
                continue;
            }
            let begun = Instant::now();
            if begun >= end {
                break;
            }
            let found = tokio::time::timeout_at(end, self.ask(&sibling, hash)).await;
            match found.unwrap_or(Err(BlobError::Link(LinkError::Timeout))) {
                Ok(bytes) => {
                    metrics::sibling_asked("fetched");
                    return Some(bytes);
                }
                Err(BlobError::Absent) => metrics::sibling_asked("absent"),
                Err(error) => {
                    metrics::sibling_asked("failed");
                    let edge = &sibling.edge;
                    tracing::debug!(%edge, error = %chain(&error), "a sibling could not be had");
                    // What another one took of the time is not this one's fault.
                    let is_late = matches!(error, BlobError::Link(LinkError::Timeout));
                    if !is_late || begun.elapsed() >= FETCH_WAIT / 2 {
                        let away = Held::AwayUntil(Instant::now() + AWAY);
                        self.lock().insert(sibling.edge, away);
                    }
                }
            }
        }
        None
    }

    fn is_away(&self, edge: &EdgeId) -> bool {
        let now = Instant::now();
        matches!(self.lock().get(edge), Some(Held::AwayUntil(until)) if now < *until)
    }

    async fn ask(&self, sibling: &Sibling, hash: BlobHash) -> Result<Bytes, BlobError> {
        let connection = self.connection(sibling).await?;
        blob::pull_into_memory(&connection, hash).await
    }

    async fn connection(&self, sibling: &Sibling) -> Result<Connection, BlobError> {
        match self.lock().get(&sibling.edge) {
            Some(Held::Live(live)) if live.close_reason().is_none() => return Ok(live.clone()),
            Some(_) | None => {}
        }
        let dialled = self.links.dial_edge(&sibling.address, &sibling.edge);
        let dialled = tokio::time::timeout(CONNECT_WAIT, dialled).await;
        let connection = dialled.unwrap_or(Err(LinkError::Timeout))?;
        self.lock().insert(sibling.edge.clone(), Held::Live(connection.clone()));
        Ok(connection)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EdgeId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// Connects to an edge of this cluster, this one and no other.
    async fn dial_edge(&self, address: &str, edge: &EdgeId) -> Result<Connection, LinkError> {
        let connection = self.way.dial(address, EDGE_SERVER_NAME).await?;
        let expected = PeerIdentity { cluster: self.cluster, role: Role::Edge(edge.clone()) };
        if peer_identity(&connection) == Some(expected) {
            Ok(connection)
        } else {
            Err(LinkError::Stranger(address.to_owned()))
        }
    }
}

/// The other edges of the region of `own` that serve video.
fn near(own: &EdgeStatus, rows: &[EdgeStatus], port: u16) -> Vec<Sibling> {
    let others = rows
        .iter()
        .filter(|row| row.edge != own.edge && row.region == own.region && row.serves_video);
    let siblings = others.filter_map(|row| {
        let address = format!("{}:{port}", host(&row.public_url)?);
        Some(Sibling { edge: row.edge.clone(), address })
    });
    siblings.take(SIBLINGS_MAX).collect()
}

/// The host of an http address; brackets stay.
fn host(url: &str) -> Option<&str> {
    let (_, authority) = guard::origin_of(url)?.split_once("://")?;
    let host = match authority.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    (!host.is_empty()).then_some(host)
}

/// Who is asked for a blob: always the same ones, so that what a region has is soon found there.
fn falls_to(siblings: &[Sibling], hash: BlobHash) -> Vec<Sibling> {
    let mut drawn: Vec<&Sibling> = siblings.iter().collect();
    drawn.sort_by_cached_key(|sibling| BlobHash::of(format!("{hash} {}", sibling.edge).as_bytes()));
    drawn.into_iter().take(ASKED_MAX).cloned().collect()
}

#[cfg(test)]
mod tests {
    use fairground_types::LogIndex;

    use super::*;

    fn row(name: &str, region: &str, url: &str) -> EdgeStatus {
        EdgeStatus {
            edge: EdgeId::new(name, 1).expect("a name"),
            region: region.to_owned(),
            public_url: url.to_owned(),
            serves_video: true,
            takes_bids: true,
            load_permille: 0,
            feed_index: LogIndex(1),
        }
    }

    #[test]
    fn siblings_are_the_other_edges_of_the_region_that_serve() {
        let own = row("e1", "eu", "https://e1.example");
        let leaving = EdgeStatus { serves_video: false, ..row("e4", "eu", "https://e4.example") };
        let rows = [
            own.clone(),
            row("e2", "eu", "https://e2.example:8443/"),
            row("e3", "us", "https://e3.example"),
            leaving,
            row("e5", "eu", "http://[::1]:80"),
            row("e6", "eu", "nowhere"),
        ];
        let found: Vec<String> =
            near(&own, &rows, 7_444).into_iter().map(|sibling| sibling.address).collect();
        assert_eq!(found, ["e2.example:7444", "[::1]:7444"]);
    }

    #[test]
    fn a_blob_falls_to_the_same_few_and_blobs_to_all() {
        let own = row("e0", "eu", "https://e0.example");
        let rows: Vec<EdgeStatus> =
            (1..6).map(|n| row(&format!("e{n}"), "eu", &format!("https://e{n}.example"))).collect();
        let siblings = near(&own, &rows, 1);
        let mut asked = std::collections::BTreeSet::new();
        for number in 0_u8..100 {
            let hash = BlobHash::of(&[number]);
            let first = falls_to(&siblings, hash);
            let mut turned = siblings.clone();
            turned.reverse();
            assert_eq!(falls_to(&turned, hash), first);
            assert_eq!(first.len(), ASKED_MAX);
            asked.extend(first.into_iter().map(|sibling| sibling.address));
        }
        assert_eq!(asked.len(), 5);
        assert!(falls_to(&[], BlobHash::of(b"")).is_empty());
    }
}
