//! Which blobs are needed: the roots of everything that members keep by hash.
//!
//! ```text
//!  Market::blob_roots ----+                         +--> what a member misses is fetched
//!                         +--> roots --> manifests -+
//!  ArchivedSale::images --+                         +--> what nothing reaches is removed
//! ```
//! **What is missing here is destroyed**, on every member, a day later. `cargo xtask tidy` knows
//! every place where the state, an effect or a command names a blob and refuses one that is new
//! until somebody has looked here (`xtask/src/tidy/blobs.rs`). It must not know what is in a
//! manifest.

use std::collections::BTreeSet;

use fairground_types::BlobHash;

use crate::effect::Effect;
use crate::{ArchivedSale, Market};

/// Blobs that the state names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobRoots {
    /// Manifests: what they name is needed as well.
    pub manifests: BTreeSet<BlobHash>,
    /// Everything else.
    pub blobs: BTreeSet<BlobHash>,
}

impl Market {
    /// Every blob that the state names and that must be kept. Of a clip that is its newest manifest
    /// alone: edges answer older revisions from it.
    #[must_use]
    pub fn blob_roots(&self) -> BlobRoots {
        let mut roots = BlobRoots::default();
        for asset in self.assets.values() {
            roots.manifests.extend(asset.manifest);
            // Of a clip that was given up as well: it may be done again.
            roots.blobs.insert(asset.source);
        }
        // What edges are told; the same as above, and kept even if it were not.
        roots.manifests.extend(self.view.assets().map(|row| row.manifest));
        roots.blobs.extend(self.evidence_images());
        roots.blobs.extend(self.avatars());
        for pending in self.outbox.pending.values() {
            if let Effect::CheckStory(check) = &pending.effect {
                roots.blobs.extend(check.clips.iter().map(|clip| clip.source));
            }
        }
        roots
    }
}

impl ArchivedSale {
    /// Pictures of its issues, which are kept as long as the record. Clips stay in the state.
    pub fn images(&self) -> impl Iterator<Item = BlobHash> + '_ {
        self.issues.iter().flat_map(|issue| issue.images())
    }
}
