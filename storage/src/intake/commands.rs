//! Which entry of the journal stands for a command: in memory, made from the entries at opening.
//!
//! On disk such an index has random keys: a commit of many bids copies about as many pages as it has
//! bids, while everything else of it goes to the end. Only the first eight bytes of a command, which
//! is a hash, are kept; whoever finds an entry by them compares the whole. It must not know the disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fairground_types::id::CommandId;
use fairground_types::journal::JournalEntry;

use crate::error::StorageError;

/// Entries by command. As many as the journal has entries, 17 bytes each and room to grow.
#[derive(Debug, Default)]
pub(super) struct CommandIndex {
    entries: Mutex<HashMap<u64, u64>>,
}

impl CommandIndex {
    /// The entry that may stand for the command.
    pub(super) fn find(&self, command: &CommandId) -> Option<u64> {
        self.lock().get(&key(command)).copied()
    }

    /// Notes an entry, unless the one that is known stands for its command as well.
    ///
    /// # Errors
    /// As `stands`.
    pub(super) fn note(
        &self,
        entry: &JournalEntry,
        stands: impl FnOnce(u64) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let command = entry.intake.command();
        let is_known = self.find(&command).map_or(Ok(false), stands)?;
        if !is_known {
            self.set(&command, entry.seq);
        }
        Ok(())
    }

    fn set(&self, command: &CommandId, seq: u64) {
        self.lock().insert(key(command), seq);
    }

    /// Forgets entries that have left. A copy may outlive the entry that stood for its command.
    pub(super) fn forget(&self, gone: &[(u64, CommandId)]) {
        let mut entries = self.lock();
        for (seq, command) in gone {
            if let Entry::Occupied(known) = entries.entry(key(command))
                && known.get() == seq
            {
                known.remove();
            }
        }
    }

    /// Every change is one infallible step, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn entry_of_a_command_stays_until_it_leaves() {
        let index = CommandIndex::default();
        let (one, two) = (command(1), command(2));
        index.set(&one, 1);
        index.set(&two, 2);
        assert_eq!(index.find(&one), Some(1));
        assert_eq!(index.find(&two), Some(2));
        assert_eq!(index.find(&command(3)), None);
        index.forget(&[(3, one)]);
        assert_eq!(index.find(&one), Some(1), "a copy that did not stand for it");
        index.forget(&[(1, one)]);
        assert_eq!(index.find(&one), None);
    }
}
