//! Merkle trees with SHA-256 (RFC 9162 section 2.1): one signature over the root speaks for every leaf.
//!
//! It must not know what a leaf means. Read next: the parent module.

use aws_lc_rs::digest::{Context, SHA256};

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// A hash of a leaf or a node.
pub(super) type Hash = [u8; 32];

fn hash(prefix: u8, parts: [&[u8]; 2]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The hash of a leaf.
pub(super) fn leaf_hash(leaf: &[u8]) -> Hash {
    hash(LEAF, [leaf, &[]])
}

/// A tree over leaves, every level kept.
pub(super) struct Tree(Vec<Vec<Hash>>);

impl Tree {
    /// The tree over the hashes of leaves; there is at least one.
    pub(super) fn over(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            // A node without a sibling goes up as it is.
            let above = last.chunks(2).map(|pair| match pair {
                [left, right] => hash(NODE, [left, right]),
                rest => rest.first().copied().unwrap_or_default(),
            });
            let above = above.collect();
            levels.push(above);
        }
        Self(levels)
    }

    /// The root.
    pub(super) fn root(&self) -> Hash {
        self.0.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// The inclusion proof of a leaf (RFC 9162 section 2.1.3.1), from the leaf up.
    pub(super) fn path(&self, leaf: usize) -> Vec<Hash> {
        let siblings = self.0.iter().enumerate().filter_map(|(level, hashes)| {
            let place = leaf.checked_shr(u32::try_from(level).ok()?)?;
            hashes.get(place ^ 1).copied()
        });
        siblings.collect()
    }
}

/// The root that a proof leads to (RFC 9162 section 2.1.3.2); nothing when the proof has the wrong
/// length for a leaf at this place of a tree of this size.
pub(super) fn root_of(leaf: Hash, (place, size): (u64, u64), path: &[Hash]) -> Option<Hash> {
    let mut last = size.checked_sub(1).filter(|last| place <= *last)?;
    let (mut place, mut root) = (place, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            root = hash(NODE, [sibling, &root]);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            root = hash(NODE, [&root, sibling]);
        }
        place >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 9162 section 2.1.1, word for word.
    fn root_by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [only] => *only,
            many => {
                let split = many.len().next_power_of_two() / 2;
                let (left, right) = many.split_at(split);
                hash(NODE, [&root_by_definition(left), &root_by_definition(right)])
            }
        }
    }

    #[test]
    fn trees_of_every_size_have_the_root_of_the_definition_and_prove_each_leaf_alone() {
        for size in 1..=70_u64 {
            let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let tree = Tree::over(leaves.clone());
            assert_eq!(tree.root(), root_by_definition(&leaves), "size {size}");
            for place in 0..size {
                let index = usize::try_from(place).expect("small");
                let path = tree.path(index);
                let proven = root_of(leaves[index], (place, size), &path);
                assert_eq!(proven, Some(tree.root()), "leaf {place} of {size}");
                let foreign = leaf_hash(b"another");
                assert_ne!(root_of(foreign, (place, size), &path), Some(tree.root()));
                let elsewhere = (place + 1) % size;
                if elsewhere != place {
                    let moved = root_of(leaves[index], (elsewhere, size), &path);
                    assert_ne!(moved, Some(tree.root()), "leaf {place} of {size} elsewhere");
                }
                let longer: Vec<Hash> = path.iter().copied().chain([foreign]).collect();
                assert_eq!(root_of(leaves[index], (place, size), &longer), None);
            }
        }
        assert_eq!(root_of(leaf_hash(b"x"), (1, 1), &[]), None, "outside of the tree");
        assert_eq!(root_of(leaf_hash(b"x"), (0, 0), &[]), None, "an empty tree");
    }

    #[test]
    fn a_leaf_is_hashed_as_the_standard_says() {
        // SHA-256 of one zero byte: the hash of the empty leaf.
        let hex: String = leaf_hash(b"").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }
}
