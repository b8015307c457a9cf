//! Drops what is cached of clips that the public must not play any more.
//!
//! Requests for them are refused at once, whatever is cached ([`super::Delivery::find`]); here the
//! bytes go as well. A clip is dropped when its story was hidden, once more when what was on its
//! way then has landed, and again whenever its manifest is cached: somebody who may, its maker or a
//! moderator, looked at it. Read next: [`super::prefetch`], whose pass this is part of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fairground_types::{AssetId, BlobHash};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::edge::Edge;
use crate::link::chain;
use crate::metrics;

/// How long a fetch may be on its way: what lands after that was asked for later.
const LANDED: Duration = Duration::from_secs(45);
/// Removals at a time: those that wait together are one write.
const PURGES: usize = 16;
/// Clips that could not be dropped before the rest waits for the next pass.
const FAILURES_MAX: u32 = 3;
/// Clips that are dropped in a pass at most: what viewers wait for goes on.
const DROPS_MAX: usize = 32;

/// Clips that were dropped, for as long as they are withheld.
#[derive(Default)]
pub(super) struct Dropped {
    gone: BTreeMap<AssetId, Gone>,
    /// Those that could not be: they are tried again after all others.
    failed: BTreeSet<AssetId>,
}

#[derive(Clone, Copy)]
struct Gone {
    manifest: BlobHash,
    at: Instant,
    /// What was on its way at the first time was looked for as well.
    is_final: bool,
}

impl Dropped {
    /// Whether the clip is to be dropped now, and whether for the last time.
    fn is_due(
        &self,
        (asset, manifest): (AssetId, BlobHash),
        is_cached: bool,
        now: Instant,
    ) -> Option<bool> {
        let Some(before) = self.gone.get(&asset).filter(|before| before.manifest == manifest)
        else {
            return Some(false);
        };
        let has_landed = now.duration_since(before.at) >= LANDED;
        let is_due = is_cached || (!before.is_final && has_landed);
        is_due.then_some(before.is_final || has_landed)
    }
}

/// Drops every clip that is withheld and not dropped yet, but for what is `pinned` because another
/// clip, which is on sale, shares it; says whether that could be done.
pub(super) async fn drop_withheld(
    edge: &Arc<Edge>,
    dropped: &mut Dropped,
    pinned: &BTreeSet<BlobHash>,
) -> bool {
    let withheld: BTreeMap<AssetId, BlobHash> = edge.view.read(|view| {
        let rows = view.assets().filter(|row| view.is_withheld(row.asset));
        rows.map(|row| (row.asset, row.manifest)).collect()
    });
    dropped.gone.retain(|asset, _| withheld.contains_key(asset));
    dropped.failed.retain(|asset| withheld.contains_key(asset));
    let mut order: Vec<(AssetId, BlobHash)> = withheld.into_iter().collect();
    order.sort_by_key(|(asset, _)| dropped.failed.contains(asset));
    let (mut failures, mut drops) = (0, 0);
    for (asset, manifest) in order {
        let is_cached = edge.delivery.origin.cache.holds(&manifest);
        let now = Instant::now();
        let due = dropped.is_due((asset, manifest), is_cached, now);
        let Some(is_final) = due else { continue };
        if drops == DROPS_MAX {
            return false;
        }
        drops += 1;
        if drop_one(edge, manifest, pinned).await {
            dropped.failed.remove(&asset);
            dropped.gone.insert(asset, Gone { manifest, at: now, is_final });
            tracing::debug!(asset_id = %asset, "bytes of a withheld clip dropped");
        } else {
            dropped.failed.insert(asset);
            failures += 1;
            // Members that cannot be reached must not hold up what viewers wait for.
            if failures >= FAILURES_MAX {
                break;
            }
        }
    }
    failures == 0
}

async fn drop_one(edge: &Arc<Edge>, hash: BlobHash, pinned: &BTreeSet<BlobHash>) -> bool {
    let origin = &edge.delivery.origin;
    // It names the rest, so it may have to be fetched, and goes last.
    let Ok(manifest) = origin.manifest(hash).await else { return false };
    let named: BTreeSet<BlobHash> = manifest.blobs().collect();
    let held: Vec<BlobHash> = named
        .into_iter()
        .filter(|named| origin.cache.holds(named) && !pinned.contains(named))
        .collect();
    let purges = held.into_iter().map(|hash| {
        let edge = Arc::clone(edge);
        async move { purge(&edge, hash).await }
    });
    let outcomes: Vec<bool> =
        futures_util::stream::iter(purges).buffer_unordered(PURGES).collect().await;
    let are_gone = outcomes.into_iter().all(|is_gone| is_gone);
    origin.forget_manifest(&hash);
    are_gone && purge(edge, hash).await
}

async fn purge(edge: &Arc<Edge>, hash: BlobHash) -> bool {
    match edge.delivery.origin.cache.purge(&hash).await {
        Ok(()) => {
            metrics::withheld_dropped();
            true
        }
        Err(error) => {
            tracing::warn!(%hash, error = %chain(&error), "a withheld blob was not dropped");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_dropped_once_more_after_a_while_and_whenever_it_was_looked_at() {
        let (asset, manifest) = (AssetId::from_bits(1), BlobHash::of(b"manifest"));
        let clip = (asset, manifest);
        let begun = Instant::now();
        let landed = begun + LANDED;
        let mut dropped = Dropped::default();
        assert_eq!(dropped.is_due(clip, false, begun), Some(false));
        dropped.gone.insert(asset, Gone { manifest, at: begun, is_final: false });
        assert_eq!(dropped.is_due(clip, false, begun), None);
        assert_eq!(dropped.is_due(clip, true, begun), Some(false));
        assert_eq!(dropped.is_due(clip, false, landed), Some(true));
        dropped.gone.insert(asset, Gone { manifest, at: landed, is_final: true });
        assert_eq!(dropped.is_due(clip, false, landed + LANDED), None);
        assert_eq!(dropped.is_due(clip, true, landed), Some(true));
        let other = BlobHash::of(b"captions");
        assert_eq!(dropped.is_due((asset, other), false, landed), Some(false));
    }
}
