//! Pulls what is published before anybody asks, pins what is on sale now, drops what is withheld.
//!
//! A reconciler: idempotent, woken by the feed and by period. It compares the published assets with
//! what the cache holds, newest first, within half of the cache. A story that is hidden does not
//! wait for what is being fetched: the pass begins anew after the clip it is at. It must not get in
//! the way of viewers: few fetches at a time. Read next: [`super::origin`], `withheld.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairground_media::Manifest;
use fairground_types::{AssetId, BlobHash, Timestamp};
use futures_util::StreamExt as _;
use tokio::sync::Notify;

use super::withheld::{Dropped, drop_withheld};
use crate::edge::Edge;

const PERIOD: Duration = Duration::from_secs(60);
/// Pause after a pass that could not get everything.
const AGAIN: Duration = Duration::from_secs(2);
/// Fetches of this reconciler at a time.
const FETCHES: usize = 3;

/// Wakes the reconciler.
#[derive(Default)]
pub(crate) struct Prefetch {
    notify: Notify,
    is_hidden: AtomicBool,
}

impl Prefetch {
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// A story was hidden: what is cached of it goes first.
    pub(crate) fn hide(&self) {
        self.is_hidden.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    fn is_hidden(&self) -> bool {
        self.is_hidden.load(Ordering::Acquire)
    }
}

/// What the reconciler did and may have to undo.
#[derive(Default)]
struct Done {
    pinned: BTreeMap<AssetId, (BlobHash, Vec<BlobHash>)>,
    dropped: Dropped,
}

#[derive(Clone, Copy)]
struct Wanted {
    asset: AssetId,
    manifest: BlobHash,
    at: Timestamp,
    is_listed: bool,
    is_on_sale: bool,
}

/// Runs until shutdown.
pub(crate) async fn run(edge: Arc<Edge>) {
    let mut done = Done::default();
    loop {
        let is_whole = tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            is_whole = pass(&edge, &mut done) => is_whole,
        };
        if edge.prefetch.is_hidden() {
            continue;
        }
        let wait = if is_whole { PERIOD } else { AGAIN };
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = edge.prefetch.notify.notified(), if is_whole => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One comparison; says whether everything wanted is here.
async fn pass(edge: &Arc<Edge>, done: &mut Done) -> bool {
    // Before the view is read: what is hidden after that is for the next pass.
    edge.prefetch.is_hidden.store(false, Ordering::Release);
    let wanted = wanted(edge);
    release(edge, &mut done.pinned, &wanted);
    let pinned = done.pinned.values().flat_map(|(_, held)| held.iter().copied()).collect();
    let mut is_whole = drop_withheld(edge, &mut done.dropped, &pinned).await;
    let mut left = edge.options.cache.budget.bytes() / 2;
    for want in wanted {
        if edge.prefetch.is_hidden() {
            return false;
        }
        let origin = &edge.delivery.origin;
        let Ok(manifest) = origin.manifest(want.manifest).await else {
            is_whole = false;
            continue;
        };
        let Some(rest) = left.checked_sub(manifest.media_bytes()) else { continue };
        left = rest;
        let missing: Vec<BlobHash> =
            manifest.blobs().filter(|hash| !origin.cache.holds(hash)).collect();
        let fetches = missing.into_iter().map(|hash| {
            let origin = Arc::clone(origin);
            async move { origin.get(hash).await.is_ok() }
        });
        let outcomes: Vec<bool> =
            futures_util::stream::iter(fetches).buffer_unordered(FETCHES).collect().await;
        is_whole &= outcomes.into_iter().all(|is_here| is_here);
        if want.is_on_sale {
            pin(edge, &mut done.pinned, want, &manifest);
        }
    }
    is_whole
}

/// Published assets that may be played: on sale first, then listed, then the rest; each newest
/// first.
fn wanted(edge: &Edge) -> Vec<Wanted> {
    let mut rows = edge.view.read(|view| {
        let clips_of = |story| {
            view.story(story)
                .into_iter()
                .flat_map(|row| row.contents.clips.iter().map(|clip| clip.asset_id))
        };
        let on_sale: BTreeSet<AssetId> =
            view.open_auctions().flat_map(|auction| clips_of(auction.story)).collect();
        let listed: BTreeSet<AssetId> = view
            .stories()
            .flat_map(|row| row.contents.clips.iter().map(|clip| clip.asset_id))
            .collect();
        view.assets()
            .filter(|row| !view.is_withheld(row.asset))
            .map(|row| Wanted {
                asset: row.asset,
                manifest: row.manifest,
                at: row.at,
                is_listed: listed.contains(&row.asset),
                is_on_sale: on_sale.contains(&row.asset),
            })
            .collect::<Vec<_>>()
    });
    rows.sort_by_key(|row| (!row.is_on_sale, !row.is_listed, std::cmp::Reverse(row.at)));
    rows
}

fn pin(
    edge: &Edge,
    pinned: &mut BTreeMap<AssetId, (BlobHash, Vec<BlobHash>)>,
    want: Wanted,
    manifest: &Manifest,
) {
    let cache = &edge.delivery.origin.cache;
    let (of, held) = pinned.entry(want.asset).or_insert_with(|| (want.manifest, Vec::new()));
    if *of == want.manifest && !held.is_empty() {
        return;
    }
    let before = std::mem::take(held);
    *of = want.manifest;
    // New pins before old ones go: what both revisions share is never loose.
    *held = manifest
        .blobs()
        .chain(std::iter::once(want.manifest))
        .filter(|hash| cache.pin(hash))
        .collect();
    for hash in &before {
        cache.unpin(hash);
    }
}

/// Takes back the pins of what is no longer on sale.
fn release(
    edge: &Edge,
    pinned: &mut BTreeMap<AssetId, (BlobHash, Vec<BlobHash>)>,
    wanted: &[Wanted],
) {
    pinned.retain(|asset, (_, held)| {
        let is_on_sale = wanted.iter().any(|want| want.asset == *asset && want.is_on_sale);
        if !is_on_sale {
            for hash in held.iter() {
                edge.delivery.origin.cache.unpin(hash);
            }
        }
        is_on_sale
    });
}
