//! An ordered map whose copies share what has not changed since.
//!
//! ```text
//!  branches: first key -> Arc<[ first key -> Arc<[(key, value), ...]> , ...]>
//!                               leaves: sorted, at most LEAF_MAX entries, BRANCH_MAX leaves a branch
//! ```
//! A copy clones one pointer a branch, so a snapshot of millions of entries does not stop apply; the
//! first change afterwards copies one branch and one leaf. A look-up is three binary searches. The order
//! is the keys', equal on every machine. It must not know what it holds. Read next: `snapshot.rs` for
//! who copies.

use std::borrow::Borrow;
use std::sync::Arc;

use wincode::{SchemaRead, SchemaWrite};

/// Entries of one leaf at most: small enough to copy within microseconds.
const LEAF_MAX: usize = 64;
/// Leaves of one branch at most.
const BRANCH_MAX: usize = 64;

/// Parts in order, each behind a key that none of its keys is below.
type Parts<K, T> = Vec<(K, Arc<T>)>;
type Leaf<K, V> = Vec<(K, V)>;
type Branch<K, V> = Parts<K, Leaf<K, V>>;

/// See the module.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(crate) struct CowMap<K: Ord, V> {
    branches: Parts<K, Branch<K, V>>,
    len: u64,
}

impl<K: Ord, V> Default for CowMap<K, V> {
    fn default() -> Self {
        Self { branches: Vec::new(), len: 0 }
    }
}

impl<K: Ord, V: PartialEq> PartialEq for CowMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        // How the entries lie in leaves depends on the order in which they came.
        self.len == other.len && self.iter().eq(other.iter())
    }
}

fn search<K: Borrow<Q>, V, Q: Ord + ?Sized>(leaf: &[(K, V)], key: &Q) -> Result<usize, usize> {
    leaf.binary_search_by(|(known, _)| known.borrow().cmp(key))
}

/// The part in which a key lies, or would lie; nothing when it is below every bound.
fn part_of<K: Borrow<Q>, T, Q: Ord + ?Sized>(parts: &[(K, T)], key: &Q) -> Option<usize> {
    parts.partition_point(|(bound, _)| bound.borrow() <= key).checked_sub(1)
}

/// The part that takes a new key. The first takes one below every bound as its own.
fn part_for<'a, K: Ord + Clone, T: Clone>(
    parts: &'a mut Parts<K, T>,
    key: &K,
) -> Option<(usize, &'a mut T)> {
    let found = part_of(parts, key);
    let place = found.unwrap_or(0);
    let (bound, part) = parts.get_mut(place)?;
    if found.is_none() {
        bound.clone_from(key);
    }
    Some((place, Arc::make_mut(part)))
}

/// Takes the upper half off a list that has become too long, with its bound; where it grew at the end,
/// the new entry alone.
fn split<K: Clone, T>(
    list: &mut Vec<(K, T)>,
    max: usize,
    at_end: bool,
) -> Option<(K, Vec<(K, T)>)> {
    if list.len() <= max {
        return None;
    }
    let upper = list.split_off(if at_end { max } else { max / 2 });
    upper.first().map(|(bound, _)| bound.clone()).map(|bound| (bound, upper))
}

/// Joins a part that has become small to a neighbour, when both fit; an empty one goes.
fn merge<K: Clone, T: Clone>(parts: &mut Parts<K, Vec<(K, T)>>, place: usize, max: usize) {
    let len = |place: usize| parts.get(place).map(|(_, part)| part.len());
    let Some(own) = len(place).filter(|own| *own < max / 4) else { return };
    if own == 0 {
        parts.remove(place);
        return;
    }
    let left = place.saturating_sub(1);
    let right = left.saturating_add(1);
    let fits = |(one, other): (usize, usize)| one.saturating_add(other) <= max / 2;
    if !len(left).zip(len(right)).is_some_and(fits) {
        return;
    }
    let (_, upper) = parts.remove(right);
    if let Some((_, lower)) = parts.get_mut(left) {
        Arc::make_mut(lower).extend(Arc::unwrap_or_clone(upper));
    }
}

impl<K: Ord, V> CowMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Branch, leaf and place of a key that is there.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(usize, usize, usize)>
    where
        K: Borrow<Q>,
    {
        let branch = part_of(&self.branches, key)?;
        let (_, leaves) = self.branches.get(branch)?;
        let leaf = part_of(leaves, key)?;
        let (_, entries) = leaves.get(leaf)?;
        search(entries, key).ok().map(|place| (branch, leaf, place))
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (_, leaves) = self.branches.get(part_of(&self.branches, key)?)?;
        let (_, entries) = leaves.get(part_of(leaves, key)?)?;
        let place = search(entries, key).ok()?;
        entries.get(place).map(|(_, value)| value)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        let leaves = self.branches.iter().flat_map(|(_, leaves)| leaves.iter());
        leaves.flat_map(|(_, entries)| entries.iter()).map(|(key, value)| (key, value))
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Entries from a key on, in order: where a search by prefix begins.
    pub(crate) fn iter_from(&self, from: K) -> impl Iterator<Item = (&K, &V)> {
        let branch = part_of(&self.branches, &from).unwrap_or(0);
        let branches = self.branches.get(branch..).unwrap_or_default();
        let first = branches.first().and_then(|(_, leaves)| part_of(leaves, &from)).unwrap_or(0);
        let leaves = branches.iter().flat_map(|(_, leaves)| leaves.iter()).skip(first);
        leaves
            .flat_map(|(_, entries)| entries.iter())
            .map(|(key, value)| (key, value))
            .skip_while(move |(key, _)| **key < from)
    }
}

impl<K: Ord + Clone, V: Clone> CowMap<K, V> {
    fn leaves_mut(&mut self, branch: usize) -> Option<&mut Branch<K, V>> {
        self.branches.get_mut(branch).map(|(_, leaves)| Arc::make_mut(leaves))
    }

    fn leaf_mut(&mut self, (branch, leaf): (usize, usize)) -> Option<&mut Leaf<K, V>> {
        self.leaves_mut(branch)?.get_mut(leaf).map(|(_, entries)| Arc::make_mut(entries))
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        // Looked up first: what is shared is not copied for a key that is not there.
        let (branch, leaf, place) = self.find(key)?;
        self.leaf_mut((branch, leaf))?.get_mut(place).map(|(_, value)| value)
    }

    /// Puts a value in its place; answers the one that was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.branches.is_empty() {
            let leaf = Arc::new(vec![(key.clone(), value)]);
            self.branches.push((key.clone(), Arc::new(vec![(key, leaf)])));
            self.len = 1;
            return None;
        }
        let (branch, leaves) = part_for(&mut self.branches, &key)?;
        let (leaf, entries) = part_for(leaves, &key)?;
        let place = match search(entries, &key) {
            Ok(place) => {
                let known = entries.get_mut(place);
                return known.map(|(_, known)| std::mem::replace(known, value));
            }
            Err(place) => place,
        };
        // Keys that only ever grow fill their leaves.
        let is_last = place == entries.len();
        entries.insert(place, (key, value));
        self.len = self.len.saturating_add(1);
        let (bound, upper) = split(entries, LEAF_MAX, is_last)?;
        let above = leaf.saturating_add(1);
        let is_last = above == leaves.len();
        leaves.insert(above, (bound, Arc::new(upper)));
        let (bound, upper) = split(leaves, BRANCH_MAX, is_last)?;
        self.branches.insert(branch.saturating_add(1), (bound, Arc::new(upper)));
        None
    }

    /// Takes a value out.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (branch, leaf, place) = self.find(key)?;
        let leaves = self.leaves_mut(branch)?;
        let (_, entries) = leaves.get_mut(leaf)?;
        let (_, value) = Arc::make_mut(entries).remove(place);
        merge(leaves, leaf, LEAF_MAX);
        merge(&mut self.branches, branch, BRANCH_MAX);
        self.len = self.len.saturating_sub(1);
        Some(value)
    }

    /// Keeps what `keep` says; copies only leaves that lose something.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let gone: Vec<K> = self
            .iter()
            .filter(|(key, value)| !keep(key, value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.remove(&key);
        }
    }
}

/// An ordered set of the same kind.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(crate) struct CowSet<K: Ord> {
    keys: CowMap<K, ()>,
}

impl<K: Ord> Default for CowSet<K> {
    fn default() -> Self {
        Self { keys: CowMap::default() }
    }
}

impl<K: Ord> PartialEq for CowSet<K> {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl<K: Ord> CowSet<K> {
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.keys.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.keys.iter().map(|(key, ())| key)
    }

    pub(crate) fn first(&self) -> Option<&K> {
        self.iter().next()
    }
}

impl<K: Ord + Clone> CowSet<K> {
    /// Puts a key in; says whether it is new.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        self.keys.insert(key, ()).is_none()
    }

    /// Takes a key out; says whether it was there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        self.keys.remove(key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::CowMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_map_is_what_an_ordinary_one_is_and_its_copy_stays(
            steps in prop::collection::vec((0_u8..6, 0_u16..9_000), 1..20_000)
        ) {
            let mut map = CowMap::default();
            let mut model = BTreeMap::new();
            let mut copy = (map.clone(), model.clone());
            for (step, key) in steps {
                match step {
                    0..=2 => prop_assert_eq!(map.insert(key, step), model.insert(key, step)),
                    3 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    4 => {
                        prop_assert_eq!(map.get(&key), model.get(&key));
                        if let Some(value) = map.get_mut(&key) {
                            *value = 9;
                            model.insert(key, 9);
                        }
                        let ours: Vec<_> = map.iter_from(key).take(3).collect();
                        prop_assert_eq!(ours, model.range(key..).take(3).collect::<Vec<_>>());
                    }
                    _ => copy = (map.clone(), model.clone()),
                }
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(copy.0.iter().eq(copy.1.iter()), "a copy changed");
            for key in model.keys() {
                map.remove(key);
            }
            prop_assert!(map.is_empty() && map.branches.is_empty());
        }
    }

    #[test]
    fn growing_keys_fill_their_leaves() {
        let mut map = CowMap::default();
        for key in 0..6_400_u32 {
            map.insert(key, ());
        }
        let leaves: usize = map.branches.iter().map(|(_, leaves)| leaves.len()).sum();
        assert!(leaves <= 101 && map.branches.len() <= 3, "{leaves} leaves");
    }
}
