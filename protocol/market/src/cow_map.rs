//! An ordered map whose copies share what has not changed since.
//!
//! ```text
//!  leaves: first key -> Arc<[(key, value), ...]>     sorted, at most LEAF_MAX entries a leaf
//! ```
//! A copy clones one pointer a leaf, so a snapshot of millions of entries does not stop apply; the
//! first change of a leaf afterwards copies that leaf alone. The order is the keys', equal on every
//! machine. It must not know what it holds. Read next: `snapshot.rs` for who copies.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use wincode::{SchemaRead, SchemaWrite};

/// Entries of one leaf at most: small enough to copy within microseconds.
const LEAF_MAX: usize = 64;

type Leaf<K, V> = Arc<Vec<(K, V)>>;

/// See the module.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(crate) struct CowMap<K: Ord, V> {
    leaves: BTreeMap<K, Leaf<K, V>>,
    len: u64,
}

impl<K: Ord, V> Default for CowMap<K, V> {
    fn default() -> Self {
        Self { leaves: BTreeMap::new(), len: 0 }
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

/// Takes the upper part off a leaf that has become too large, with its bound.
fn split<K: Clone, V: Clone>(leaf: &mut Leaf<K, V>, at_end: bool) -> Option<(K, Leaf<K, V>)> {
    if leaf.len() <= LEAF_MAX {
        return None;
    }
    let at = if at_end { LEAF_MAX } else { LEAF_MAX / 2 };
    let upper = Arc::make_mut(leaf).split_off(at);
    upper.first().map(|(bound, _)| bound.clone()).map(|bound| (bound, Arc::new(upper)))
}

impl<K: Ord, V> CowMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn leaf<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&Leaf<K, V>>
    where
        K: Borrow<Q>,
    {
        let until = (Bound::Unbounded, Bound::Included(key));
        self.leaves.range::<Q, _>(until).next_back().map(|(_, leaf)| leaf)
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let leaf = self.leaf(key)?;
        let place = search(leaf, key).ok()?;
        leaf.get(place).map(|(_, value)| value)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.leaves.values().flat_map(|leaf| leaf.iter()).map(|(key, value)| (key, value))
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Entries from the greatest key that is at most `from` on, in order: where a search by prefix
    /// begins.
    pub(crate) fn iter_from(&self, from: K) -> impl Iterator<Item = (&K, &V)> {
        let until = (Bound::Unbounded, Bound::Included(&from));
        let first = self.leaves.range::<K, _>(until).next_back().map(|(bound, _)| bound);
        self.leaves
            .range::<K, _>((first.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded))
            .flat_map(|(_, leaf)| leaf.iter())
            .map(|(key, value)| (key, value))
            .skip_while(move |(key, _)| **key < from)
    }
}

impl<K: Ord + Clone, V: Clone> CowMap<K, V> {
    fn leaf_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut Vec<(K, V)>>
    where
        K: Borrow<Q>,
    {
        let until = (Bound::Unbounded, Bound::Included(key));
        self.leaves.range_mut::<Q, _>(until).next_back().map(|(_, leaf)| Arc::make_mut(leaf))
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let until = (Bound::Unbounded, Bound::Included(key));
        let (_, leaf) = self.leaves.range_mut::<Q, _>(until).next_back()?;
        // Looked up first: a leaf that is shared is not copied for a key that is not there.
        let place = search(leaf, key).ok()?;
        Arc::make_mut(leaf).get_mut(place).map(|(_, value)| value)
    }

    /// Puts a value in its place; answers the one that was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let until = (Bound::Unbounded, Bound::Included(&key));
        let Some((_, leaf)) = self.leaves.range_mut::<K, _>(until).next_back() else {
            // Below every bound: the first leaf takes the key as its bound.
            let mut first = self.leaves.pop_first().map(|(_, leaf)| leaf).unwrap_or_default();
            Arc::make_mut(&mut first).insert(0, (key.clone(), value));
            self.len = self.len.saturating_add(1);
            if let Some((bound, upper)) = split(&mut first, false) {
                self.leaves.insert(bound, upper);
            }
            self.leaves.insert(key, first);
            return None;
        };
        let place = search(leaf, &key);
        let entries = Arc::make_mut(leaf);
        let place = match place {
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
        if let Some((bound, upper)) = split(leaf, is_last) {
            self.leaves.insert(bound, upper);
        }
        None
    }

    /// Takes a value out.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = search(self.leaf(key)?, key).ok()?;
        let leaf = self.leaf_mut(key)?;
        let (_, value) = leaf.remove(place);
        let left = leaf.len();
        self.len = self.len.saturating_sub(1);
        if left < LEAF_MAX / 4 {
            self.merge(key);
        }
        Some(value)
    }

    /// Joins a leaf that has become small to the one before it, when both fit.
    fn merge<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let until = (Bound::Unbounded, Bound::Included(key));
        let mut before = self.leaves.range::<Q, _>(until).rev();
        let Some((bound, small)) = before.next() else { return };
        let fits = before
            .next()
            .is_some_and(|(_, leaf)| leaf.len().saturating_add(small.len()) <= LEAF_MAX / 2);
        if !fits && !small.is_empty() {
            return;
        }
        let bound = bound.clone();
        let Some(small) = self.leaves.remove::<K>(&bound) else { return };
        if let Some(leaf) = self.leaf_mut::<K>(&bound) {
            leaf.extend(small.iter().cloned());
        }
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
        #[test]
        fn a_map_is_what_an_ordinary_one_is_and_its_copy_stays(
            steps in prop::collection::vec((0_u8..6, 0_u16..600), 1..2_000)
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
            prop_assert!(map.is_empty() && map.leaves.is_empty());
        }
    }

    #[test]
    fn growing_keys_fill_their_leaves() {
        let mut map = CowMap::default();
        for key in 0..6_400_u32 {
            map.insert(key, ());
        }
        assert!(map.leaves.len() <= 101, "{} leaves", map.leaves.len());
    }
}
