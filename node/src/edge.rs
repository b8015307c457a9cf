//! What the parts of an edge share.
//!
//! It must not do anything by itself: parts are made in `lib.rs` and run in their own files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairground_runtime::cursor::CursorKey;
use fairground_runtime::guard;
use fairground_runtime::health::Health;
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_storage::replica::Replica;
use fairground_types::EdgeId;
use fairground_wire::message::EdgeStatus;

use crate::analytics::Analytics;
use crate::beat::Directory;
use crate::clock::CoordinatorTime;
use crate::delivery::Delivery;
use crate::delivery::budget::Standing;
use crate::delivery::prefetch::Prefetch;
use crate::ingest::Uploads;
use crate::ingest::picture::Pictures;
use crate::intake::IntakeDesk;
use crate::leaving::Leaving;
use crate::link::Links;
use crate::options::Options;
use crate::replica::Followed;
use crate::uplink::UplinkState;
use crate::worker::Work;

/// Requests that are answered at a time; more are told to come back.
pub(crate) const REQUESTS_MAX: usize = 2_048;

/// An edge.
pub(crate) struct Edge {
    pub(crate) options: Options,
    pub(crate) id: EdgeId,
    pub(crate) region: String,
    pub(crate) public_url: String,
    pub(crate) tasks: Tasks,
    pub(crate) shutdown: Shutdown,
    pub(crate) health: Health,
    pub(crate) links: Arc<Links>,
    pub(crate) time: Arc<CoordinatorTime>,
    pub(crate) view: Arc<Followed>,
    pub(crate) store: Replica,
    pub(crate) intake: Arc<IntakeDesk>,
    pub(crate) uplink: UplinkState,
    pub(crate) directory: Directory,
    pub(crate) delivery: Delivery,
    pub(crate) leaving: Leaving,
    pub(crate) prefetch: Prefetch,
    pub(crate) uploads: Uploads,
    pub(crate) pictures: Pictures,
    pub(crate) analytics: Analytics,
    pub(crate) work: Work,
    /// Signs cursors of lists that this edge pages.
    pub(crate) cursors: CursorKey,
    pub(crate) feed: crate::feed::Feed,
    pub(crate) requests: AtomicUsize,
    pub(crate) live_streams: AtomicUsize,
}

impl Edge {
    /// Scheme and authority of every edge, as clients reach them: those that have joined, and those
    /// that say now that they are elsewhere.
    pub(crate) fn origins(&self) -> BTreeSet<String> {
        let joined = self.view.read(|view| {
            let urls = view.edges().map(|row| row.public_url.clone());
            urls.collect::<Vec<_>>()
        });
        let told = self.directory.rows(self.status()).into_iter().map(|row| row.public_url);
        let all = joined.into_iter().chain(told);
        all.filter_map(|url| guard::origin_of(&url).map(str::to_owned)).collect()
    }

    /// How this edge is.
    pub(crate) fn status(&self) -> EdgeStatus {
        let is_draining = self.intake.is_draining.load(Ordering::Acquire);
        let standing = self.delivery.meter.standing(|| self.time.now());
        let load = self.requests.load(Ordering::Relaxed).saturating_mul(1_000) / REQUESTS_MAX;
        EdgeStatus {
            edge: self.id.clone(),
            region: self.region.clone(),
            public_url: self.public_url.clone(),
            serves_video: !is_draining
                && !self.leaving.is_begun()
                && standing != Standing::Exhausted,
            takes_bids: self.intake.readiness().is_ok(),
            // Who has sent too much has no capacity left for more viewers: they go elsewhere.
            load_permille: match standing {
                Standing::Within => u32::try_from(load.min(1_000)).unwrap_or(1_000),
                Standing::Over | Standing::Exhausted => 1_000,
            },
            feed_index: self.view.index(),
        }
    }
}
