//! The current snapshot of a member: what it covers, and the state's bytes.
//!
//! One sealed file, replaced as a whole (`sealed_file.rs`): after a crash the old or the new one is
//! there. It must not know what the state is.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fairground_wire::Versioned;
use fairground_wire::codec;
use fairground_wire::raft::SnapshotMetaWire;

use crate::error::StorageError;
use crate::record::{KeyFile, RecordCipher};
use crate::sealed_file::{self, Home, Kind};
use crate::store::blocking;

const NAME: &str = "raft_snapshot";
const FILE: &str = "snapshot.sealed";

#[derive(Debug)]
struct Shared {
    home: Home,
    cipher: RecordCipher,
}

impl Shared {
    const fn kind(&self) -> Kind<'_> {
        Kind { cipher: &self.cipher, name: NAME, version: SnapshotMetaWire::VERSION }
    }
}

/// The snapshot of a member. Clones share it.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    shared: Arc<Shared>,
}

impl SnapshotStore {
    /// The snapshot in `folder`, which is made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path, key: &KeyFile) -> Result<Self, StorageError> {
        std::fs::create_dir_all(folder).map_err(StorageError::io(folder))?;
        let shared =
            Shared { home: Home::Path(folder.join(FILE)), cipher: key.cipher("snapshot")? };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The snapshot in a folder of a simulated disk.
    ///
    /// # Errors
    /// When the provider refuses the key.
    #[cfg(feature = "sim")]
    pub fn over(folder: crate::fault::FaultFolder, key: &KeyFile) -> Result<Self, StorageError> {
        let shared = Shared { home: Home::Memory(folder, FILE), cipher: key.cipher("snapshot")? };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Replaces the snapshot; durable when answered.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub async fn save(&self, meta: SnapshotMetaWire, state: Bytes) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let description = codec::encode_payload(&meta)?;
            sealed_file::replace(&shared.home, shared.kind(), &description, &state)
        })
        .await
    }

    /// The snapshot, if one was saved.
    ///
    /// # Errors
    /// When it is damaged: the member must then be filled from another.
    pub async fn load(&self) -> Result<Option<(SnapshotMetaWire, Bytes)>, StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let Some(contents) = sealed_file::read(&shared.home, shared.kind())? else {
                return Ok(None);
            };
            Ok(Some((codec::decode_payload(&contents.description)?, contents.body.into())))
        })
        .await
    }
}
