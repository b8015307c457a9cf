//! Blobs from the cache, and from the members when they are not there: one flight per hash.
//!
//! ```text
//!   get(h) --hit--> bytes
//!     |  miss
//!     +--> flight(h)?  yes: wait for it      no: fetch over QUIC, a sibling edge before
//!                                            the members; check, tell all, cache
//! ```
//! A flight goes on when its first client leaves: others may wait for it, and the bytes are wanted.
//! What is damaged in the cache is a miss there. Few flights at a time are of what nobody asked for
//! yet, so that they never hold up viewers.
//! It must not know tokens or names. Read next: `link/blob.rs` for the checks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fairground_media::Manifest;
use fairground_runtime::shutdown::Tasks;
use fairground_seam::watch;
use fairground_storage::segment_cache::{SEGMENT_MAX, SegmentCache};
use fairground_types::BlobHash;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use crate::link::blob::BlobError;
use crate::link::sibling::Siblings;
use crate::link::{Links, chain};
use crate::metrics;

/// Fetches at a time.
const FLIGHTS_MAX: usize = 24;
/// Fetches at a time of what nobody has asked for yet.
const AHEAD_MAX: usize = 6;
/// Parsed manifests that are remembered.
const MANIFESTS_MAX: usize = 1_000;

/// Why a blob cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    /// No member has it.
    #[error("no member has the blob")]
    Absent,
    /// No member answers, or what came was wrong.
    #[error("the blob cannot be had now")]
    Unavailable,
    /// The blob is not what its name says.
    #[error("the blob is not a manifest")]
    NotAManifest,
}

type Flights = HashMap<BlobHash, watch::Receiver<Outcome>>;
type Outcome = Option<Result<Bytes, OriginError>>;

/// Where media come from.
pub(crate) struct Origin {
    pub(crate) cache: SegmentCache,
    links: Arc<Links>,
    pub(crate) siblings: Siblings,
    tasks: Tasks,
    flights: Mutex<Flights>,
    permits: Semaphore,
    ahead: Arc<Semaphore>,
    manifests: Cache<BlobHash, Arc<Manifest>>,
}

impl Origin {
    pub(crate) fn new(
        cache: SegmentCache,
        links: Arc<Links>,
        siblings: Siblings,
        tasks: Tasks,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache,
            links,
            siblings,
            tasks,
            flights: Mutex::default(),
            permits: Semaphore::new(FLIGHTS_MAX),
            ahead: Arc::new(Semaphore::new(AHEAD_MAX)),
            manifests: Cache::new(MANIFESTS_MAX),
        })
    }

    /// A blob.
    pub(crate) async fn get(self: &Arc<Self>, hash: BlobHash) -> Result<Bytes, OriginError> {
        if let Some(bytes) = self.cache.get(&hash).await {
            return Ok(bytes);
        }
        let mut flight = self.join_flight(hash);
        let landed = flight.wait_for(Option::is_some).await;
        let outcome = landed.map_err(|_| OriginError::Unavailable)?.clone();
        outcome.unwrap_or(Err(OriginError::Unavailable))
    }

    /// Fetches a blob that will be asked for soon, unless it is on its way or enough others are.
    pub(crate) fn fetch_ahead(self: &Arc<Self>, hash: BlobHash) {
        if self.lock().contains_key(&hash) {
            return;
        }
        let Ok(place) = Arc::clone(&self.ahead).try_acquire_owned() else { return };
        metrics::origin_ahead();
        let mut flight = self.join_flight(hash);
        self.tasks.spawn_one("fetch ahead", async move {
            // However it ends: who asks for it tries again.
            let _ = flight.wait_for(Option::is_some).await.is_ok();
            drop(place);
        });
    }

    fn join_flight(self: &Arc<Self>, hash: BlobHash) -> watch::Receiver<Outcome> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&hash) {
            metrics::origin_waited();
            return flight.clone();
        }
        let (landing, flight) = watch::channel(None);
        flights.insert(hash, flight.clone());
        drop(flights);
        let origin = Arc::clone(self);
        self.tasks.spawn_one("blob fetch", async move {
            // An earlier flight may have landed since our caller looked.
            let here = if origin.cache.holds(&hash) { origin.cache.get(&hash).await } else { None };
            let is_here = here.is_some();
            let outcome = match here {
                Some(bytes) => Ok(bytes),
                None => origin.fetch(hash).await,
            };
            let fetched = outcome.as_ref().ok().filter(|_| !is_here).cloned();
            landing.send_replace(Some(outcome));
            // Cached before the flight is over, so that the next request finds one or the other.
            if let Some(bytes) = fetched {
                origin.keep(vec![(hash, bytes)]).await;
            }
            origin.lock().remove(&hash);
        });
        flight
    }

    async fn fetch(&self, hash: BlobHash) -> Result<Bytes, OriginError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await.map_err(|_| OriginError::Unavailable)?;
        if let Some(bytes) = self.siblings.fetch(hash).await {
            return Ok(bytes);
        }
        match self.links.fetch(hash).await {
            Ok(bytes) => {
                metrics::origin_fetched("fetched");
                Ok(bytes)
            }
            Err(BlobError::Absent) => {
                metrics::origin_fetched("absent");
                Err(OriginError::Absent)
            }
            Err(error) => {
                metrics::origin_fetched("failed");
                tracing::debug!(%hash, error = %chain(&error), "blob not had");
                Err(OriginError::Unavailable)
            }
        }
    }

    /// Puts blobs into the cache, those that fit.
    pub(crate) async fn keep(&self, mut blobs: Vec<(BlobHash, Bytes)>) {
        blobs.retain(|(_, bytes)| bytes.len() <= SEGMENT_MAX);
        if blobs.is_empty() {
            return;
        }
        if let Err(error) = self.cache.insert(blobs).await {
            tracing::warn!(error = %chain(&error), "blobs not cached");
        }
    }

    /// A manifest, parsed.
    pub(crate) async fn manifest(
        self: &Arc<Self>,
        hash: BlobHash,
    ) -> Result<Arc<Manifest>, OriginError> {
        if let Some(manifest) = self.manifests.get(&hash) {
            return Ok(manifest);
        }
        let bytes = self.get(hash).await?;
        let manifest = Manifest::parse(&bytes).map_err(|error| {
            tracing::error!(%hash, error = %chain(&error), "manifest not read");
            OriginError::NotAManifest
        })?;
        let manifest = Arc::new(manifest);
        self.manifests.insert(hash, Arc::clone(&manifest));
        Ok(manifest)
    }

    /// Forgets a parsed manifest.
    pub(crate) fn forget_manifest(&self, hash: &BlobHash) {
        self.manifests.remove(hash);
    }

    fn lock(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
