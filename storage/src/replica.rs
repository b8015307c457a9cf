//! What an edge keeps besides its journal: its copy of the public view, and small state.
//!
//! The view is a sealed file that is replaced as a whole; uploads and named values are rows. All of
//! them are opaque bytes here: storage must not know the market or tus.

use std::path::Path;
use std::sync::Arc;

use fairground_types::id::{LogIndex, UploadId};
use fairground_wire::Versioned;
use fairground_wire::codec;
use redb::{Database, ReadableDatabase, ReadableTable};
use wincode::{SchemaRead, SchemaWrite};

use crate::error::StorageError;
use crate::record::{KeyFile, RecordCipher};
use crate::sealed_file::{self, Home, Kind};
use crate::store::{blocking, open_database};
use crate::tables::{EDGE_STATE, EDGE_STATE_NAME, EDGE_UPLOADS, EDGE_UPLOADS_NAME};

const CACHE_BYTES: usize = 8 * 1024 * 1024;
const BYTES_VERSION: u8 = 1;
const VIEW_NAME: &str = "edge_view";
const VIEW_FILE: &str = "view.sealed";

#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
struct Position {
    index: LogIndex,
}

impl Versioned for Position {
    const VERSION: u8 = 1;
}

#[derive(Debug)]
struct Shared {
    view: Home,
    database: Database,
    cipher: RecordCipher,
}

impl Shared {
    const fn view_kind(&self) -> Kind<'_> {
        Kind { cipher: &self.cipher, name: VIEW_NAME, version: Position::VERSION }
    }
}

/// The edge's replica. Clones share it.
#[derive(Clone, Debug)]
pub struct Replica {
    shared: Arc<Shared>,
}

impl Replica {
    /// Opens or creates the replica in `folder`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(folder: &Path, key: &KeyFile) -> Result<Self, StorageError> {
        let database = open_database(&folder.join("edge.redb"), CACHE_BYTES)?;
        Self::made(database, Home::Path(folder.join(VIEW_FILE)), key)
    }

    /// A replica on simulated disks.
    ///
    /// # Errors
    /// When the database fails.
    #[cfg(feature = "sim")]
    pub fn over(
        database: Database,
        folder: crate::fault::FaultFolder,
        key: &KeyFile,
    ) -> Result<Self, StorageError> {
        Self::made(database, Home::Memory(folder, VIEW_FILE), key)
    }

    fn made(database: Database, view: Home, key: &KeyFile) -> Result<Self, StorageError> {
        let transaction = database.begin_write()?;
        transaction.open_table(EDGE_STATE)?;
        transaction.open_table(EDGE_UPLOADS)?;
        transaction.commit()?;
        let cipher = key.cipher("edge")?;
        let shared = Shared { view, database, cipher };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The view and the index it is of. Reads a file: call it at start or on a blocking thread.
    ///
    /// # Errors
    /// When it is damaged; the caller then starts from nothing.
    pub fn load(&self) -> Result<Option<(LogIndex, Vec<u8>)>, StorageError> {
        let Some(contents) = sealed_file::read(&self.shared.view, self.shared.view_kind())? else {
            return Ok(None);
        };
        let position: Position = codec::decode_payload(&contents.description)?;
        Ok(Some((position.index, contents.body)))
    }

    /// Replaces the view.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub async fn save(&self, index: LogIndex, view: Vec<u8>) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let description = codec::encode_payload(&Position { index })?;
            sealed_file::replace(&shared.view, shared.view_kind(), &description, &view)
        })
        .await
    }

    /// A named value.
    ///
    /// # Errors
    /// When it is damaged or the database fails.
    pub fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let table = self.shared.database.begin_read()?.open_table(EDGE_STATE)?;
        let Some(record) = table.get(name)? else {
            return Ok(None);
        };
        let cipher = &self.shared.cipher;
        let (_, value) =
            cipher.open(EDGE_STATE_NAME, name.as_bytes(), BYTES_VERSION, record.value())?;
        Ok(Some(value))
    }

    /// Sets a named value, durably.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_state(&self, name: &str, value: Vec<u8>) -> Result<(), StorageError> {
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        blocking(move || {
            let key = name.as_bytes();
            let record = shared.cipher.seal(EDGE_STATE_NAME, key, BYTES_VERSION, &value)?;
            let transaction = shared.database.begin_write()?;
            transaction.open_table(EDGE_STATE)?.insert(name.as_str(), record.as_slice())?;
            transaction.commit()?;
            Ok(())
        })
        .await
    }

    /// Every upload.
    ///
    /// # Errors
    /// When a record is damaged or the database fails.
    pub fn uploads(&self) -> Result<Vec<(UploadId, Vec<u8>)>, StorageError> {
        let table = self.shared.database.begin_read()?.open_table(EDGE_UPLOADS)?;
        let mut uploads = Vec::new();
        for row in table.iter()? {
            let (key, record) = row?;
            let key = key.value();
            let opened =
                self.shared.cipher.open(EDGE_UPLOADS_NAME, key, BYTES_VERSION, record.value())?;
            let bits = <[u8; 16]>::try_from(key).map(u128::from_be_bytes).map_err(|_| {
                StorageError::Damaged { table: EDGE_UPLOADS_NAME, key: "of another length".into() }
            })?;
            uploads.push((UploadId::from_bits(bits), opened.1));
        }
        Ok(uploads)
    }

    /// One upload.
    ///
    /// # Errors
    /// When the record is damaged or the database fails.
    pub fn upload(&self, id: UploadId) -> Result<Option<Vec<u8>>, StorageError> {
        let key = id.to_bits().to_be_bytes();
        let table = self.shared.database.begin_read()?.open_table(EDGE_UPLOADS)?;
        let Some(record) = table.get(key.as_slice())? else {
            return Ok(None);
        };
        let opened =
            self.shared.cipher.open(EDGE_UPLOADS_NAME, &key, BYTES_VERSION, record.value())?;
        Ok(Some(opened.1))
    }

    /// Keeps an upload, durably.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_upload(&self, id: UploadId, value: Vec<u8>) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let key = id.to_bits().to_be_bytes();
            let record = shared.cipher.seal(EDGE_UPLOADS_NAME, &key, BYTES_VERSION, &value)?;
            let transaction = shared.database.begin_write()?;
            transaction.open_table(EDGE_UPLOADS)?.insert(key.as_slice(), record.as_slice())?;
            transaction.commit()?;
            Ok(())
        })
        .await
    }

    /// Forgets an upload, durably.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_upload(&self, id: UploadId) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let transaction = shared.database.begin_write()?;
            let key = id.to_bits().to_be_bytes();
            transaction.open_table(EDGE_UPLOADS)?.remove(key.as_slice())?;
            transaction.commit()?;
            Ok(())
        })
        .await
    }
}
