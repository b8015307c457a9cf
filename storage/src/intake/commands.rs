//! Which entry of the journal was a command's first: in memory, made from the entries at opening.
//!
//! On disk such an index has random keys: a commit of many bids copies about as many pages as it has
//! bids, while everything else of it goes to the end. Only the first eight bytes of a command, which
//! is a hash, are kept; whoever finds an entry by them compares the whole. It must not know the disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fairground_types::id::CommandId;

/// First entries by command. As many as the journal has entries, 17 bytes each and room to grow.
#[derive(Debug, Default)]
pub(super) struct CommandIndex {
    first: Mutex<HashMap<u64, u64>>,
}

impl CommandIndex {
    /// The entry that may be the command's first.
    pub(super) fn find(&self, command: &CommandId) -> Option<u64> {
        self.lock().get(&key(command)).copied()
    }

    /// Notes entries in the order of the journal; the first of a command stays.
    pub(super) fn note(&self, entries: impl Iterator<Item = (CommandId, u64)>) {
        let mut first = self.lock();
        for (command, seq) in entries {
            first.entry(key(&command)).or_insert(seq);
        }
    }

    /// Forgets entries that have left. A second copy may outlive its first; only the first is known.
    pub(super) fn forget(&self, entries: &[(u64, CommandId)]) {
        let mut first = self.lock();
        for (seq, command) in entries {
            if let Entry::Occupied(known) = first.entry(key(command))
                && known.get() == seq
            {
                known.remove();
            }
        }
    }

    /// Every change is one infallible step, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(command: &CommandId) -> u64 {
    let mut start = [0_u8; 8];
    for (to, from) in start.iter_mut().zip(command.as_bytes()) {
        *to = *from;
    }
    u64::from_le_bytes(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(number: u64) -> CommandId {
        CommandId::derive_system("bid", &number.to_string(), "")
    }

    #[test]
    fn first_entry_of_a_command_stays_until_it_leaves() {
        let index = CommandIndex::default();
        let (one, two) = (command(1), command(2));
        index.note([(one, 1), (two, 2), (one, 3)].into_iter());
        assert_eq!(index.find(&one), Some(1));
        assert_eq!(index.find(&two), Some(2));
        assert_eq!(index.find(&command(3)), None);
        index.forget(&[(3, one)]);
        assert_eq!(index.find(&one), Some(1), "the copy was not the first");
        index.forget(&[(1, one)]);
        assert_eq!(index.find(&one), None);
    }
}
