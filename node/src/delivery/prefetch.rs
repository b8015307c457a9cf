//! Pulls what is published before anybody asks, and pins what is on sale now.
//!
//! A reconciler: idempotent, woken by the feed and by period. It compares the published assets with
//! what the cache holds, newest first, within half of the cache. It must not get in the way of
//! viewers: few fetches at a time. Read next: [`super::origin`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fairground_media::Manifest;
use fairground_types::{AssetId, BlobHash, Timestamp};
use futures_util::StreamExt as _;
use tokio::sync::Notify;

use crate::edge::Edge;

const PERIOD: Duration = Duration::from_secs(60);
/// Pause after a pass that could not get everything.
const AGAIN: Duration = Duration::from_secs(2);
/// Fetches of this reconciler at a time.
const FETCHES: usize = 3;

/// Wakes the reconciler.
#[derive(Default)]
pub(crate) struct Prefetch(Notify);

impl Prefetch {
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }
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
    let mut pinned: BTreeMap<AssetId, (BlobHash, Vec<BlobHash>)> = BTreeMap::new();
    loop {
        let is_whole = tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            is_whole = pass(&edge, &mut pinned) => is_whole,
        };
        let wait = if is_whole { PERIOD } else { AGAIN };
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = edge.prefetch.0.notified(), if is_whole => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One comparison; says whether everything wanted is here.
async fn pass(edge: &Arc<Edge>, pinned: &mut BTreeMap<AssetId, (BlobHash, Vec<BlobHash>)>) -> bool {
    let wanted = wanted(edge);
    release(edge, pinned, &wanted);
    let mut left = edge.options.cache.budget.bytes() / 2;
    let mut is_whole = true;
    for want in wanted {
        let origin = &edge.delivery.origin;
        let Ok(manifest) = origin.manifest(want.manifest).await else {
            is_whole = false;
            continue;
        };
        let bytes: u64 = sizes(&manifest);
        let Some(rest) = left.checked_sub(bytes) else { continue };
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
            pin(edge, pinned, want, &manifest);
        }
    }
    is_whole
}

fn sizes(manifest: &Manifest) -> u64 {
    let segments = manifest.renditions.iter().flat_map(|rendition| &rendition.segments);
    let pictures = manifest.i_frames.iter().flat_map(|stream| &stream.frames);
    let lengths = segments.map(|segment| segment.bytes).chain(pictures.map(|frame| frame.bytes));
    lengths.fold(0, u64::saturating_add)
}

/// Published assets: on sale first, then listed, then the rest; each newest first.
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
