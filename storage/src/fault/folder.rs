//! A folder in memory for files that are replaced as a whole; what was replaced survives a restart.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::broken;

/// A folder in memory for files that are replaced as a whole. Clones are the same folder.
#[derive(Clone, Debug, Default)]
pub struct FaultFolder {
    files: Arc<Mutex<Files>>,
}

#[derive(Clone, Debug, Default)]
struct Files {
    durable: BTreeMap<String, Vec<u8>>,
    is_dead: bool,
    fails_writes: bool,
}

impl FaultFolder {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on nothing can be replaced.
    pub fn fail_writes(&self) {
        self.lock().fails_writes = true;
    }

    /// The folder after a restart. The one before answers nothing any more.
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut files = self.lock();
        files.is_dead = true;
        let files = Files { durable: files.durable.clone(), ..Files::default() };
        Self { files: Arc::new(Mutex::new(files)) }
    }

    /// The same files in another folder.
    #[must_use]
    pub fn image_of_now(&self) -> Self {
        let files = Files { durable: self.lock().durable.clone(), ..Files::default() };
        Self { files: Arc::new(Mutex::new(files)) }
    }

    pub(crate) fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<(), io::Error> {
        let mut files = self.lock();
        if files.is_dead || files.fails_writes {
            return Err(broken("the folder cannot be written"));
        }
        files.durable.insert(name.to_owned(), bytes);
        Ok(())
    }

    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, io::Error> {
        let files = self.lock();
        if files.is_dead {
            return Err(broken("the power is off"));
        }
        Ok(files.durable.get(name).cloned())
    }
}
