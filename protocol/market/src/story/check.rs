//! What the automatic check of a story is given: its texts and the facts of its clips.
//!
//! Read next: [`crate::effect::StoryCheck`], and the shell that carries it out.

use fairground_types::command::StoryDraft;

use crate::Market;
use crate::effect::CheckedClip;

impl Market {
    pub(super) fn checked_clips(&self, contents: &StoryDraft) -> Vec<CheckedClip> {
        let assets = contents.clips.iter().filter_map(|clip| self.assets.get(&clip.asset_id));
        assets
            .map(|asset| CheckedClip {
                asset: asset.asset,
                source: asset.source,
                duration: asset.duration,
                width: asset.width,
                height: asset.height,
            })
            .collect()
    }
}
