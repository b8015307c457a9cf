//! Opening a database file safely.
//!
//! A crash during the very first creation of a redb file can leave one that does not open, so a new
//! file is made under a temporary name, synced and renamed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use redb::Database;

use crate::error::StorageError;

/// Opens or creates the database at `path`, with a page cache of so many bytes.
pub(crate) fn open_database(path: &Path, cache_bytes: usize) -> Result<Database, StorageError> {
    if !path.exists() {
        create_database(path)?;
    }
    Ok(Database::builder().set_cache_size(cache_bytes).open(path)?)
}

fn create_database(path: &Path) -> Result<(), StorageError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(StorageError::io(folder))?;
    }
    let fresh = beside(path, "new");
    if fresh.exists() {
        fs::remove_file(&fresh).map_err(StorageError::io(&fresh))?;
    }
    let database = Database::builder().create(&fresh)?;
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    transaction.commit()?;
    drop(database);
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(StorageError::io(&fresh))?;
    fs::rename(&fresh, path).map_err(StorageError::io(path))?;
    sync_parent(path)
}

/// The name of a temporary file in the same folder.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// Makes a rename or creation in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StorageError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder).and_then(|file| file.sync_all()).map_err(StorageError::io(folder))
}

/// Runs work that touches the disk on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match fairground_seam::blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StorageError::Closed),
    }
}
