//! Origin blobs: a directory of files named by the BLAKE3 hash of their bytes.
//!
//! ```text
//!  blobs/ab/cd/abcd...   a blob          blobs/incoming/<number>   being written
//! ```
//! A blob is written under `incoming`, hashed on the way, synced, renamed, its folder synced; so a
//! name that is there holds the whole blob. Media blobs are public once published and checked by
//! their hash wherever they are read, so they are not sealed at rest. It must not know what a blob
//! is for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fairground_types::id::BlobHash;
use fairground_types::limits::BLOB_MAX;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};

use crate::error::StorageError;
use crate::store::{blocking, sync_parent};

const INCOMING: &str = "incoming";
const BLOB_MAX_BYTES: u64 = BLOB_MAX as u64;

/// A directory of blobs. Clones share it.
#[derive(Clone, Debug)]
pub struct BlobStore {
    root: Arc<PathBuf>,
    next: Arc<AtomicU64>,
}

impl BlobStore {
    /// Opens or creates the directory; what an earlier run left unfinished is removed.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let incoming = root.join(INCOMING);
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming).map_err(StorageError::io(&incoming))?;
        }
        std::fs::create_dir_all(&incoming).map_err(StorageError::io(&incoming))?;
        sync_parent(&incoming)?;
        Ok(Self { root: Arc::new(root.to_owned()), next: Arc::new(AtomicU64::new(0)) })
    }

    /// Where a blob is, or would be.
    #[must_use]
    pub fn path(&self, hash: &BlobHash) -> PathBuf {
        let name = hash.to_string();
        let (first, rest) = name.split_at(2);
        let (second, _) = rest.split_at(2);
        self.root.join(first).join(second).join(&name)
    }

    /// Whether it is here.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn has(&self, hash: &BlobHash) -> Result<bool, StorageError> {
        self.len(hash).await.map(|len| len.is_some())
    }

    /// How long it is, when it is here.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn len(&self, hash: &BlobHash) -> Result<Option<u64>, StorageError> {
        let path = self.path(hash);
        match fs::metadata(&path).await {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io(&path)(error)),
        }
    }

    /// Begins to write a blob.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub async fn put(&self) -> Result<BlobWriter, StorageError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(INCOMING).join(number.to_string());
        let file = File::create(&path).await.map_err(StorageError::io(&path))?;
        Ok(BlobWriter {
            store: self.clone(),
            incoming: Incoming { path },
            file,
            hasher: blake3::Hasher::new(),
            written: 0,
        })
    }

    /// Writes a blob that is in memory.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    pub async fn put_bytes(&self, bytes: &[u8]) -> Result<BlobHash, StorageError> {
        let hash = BlobHash::of(bytes);
        if self.has(&hash).await? {
            return Ok(hash);
        }
        let mut writer = self.put().await?;
        writer.write(bytes).await?;
        writer.finish(Some(hash)).await
    }

    /// Copies a file in.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`], and when the file cannot be read.
    pub async fn put_file(&self, source: &Path) -> Result<(BlobHash, u64), StorageError> {
        let mut file = File::open(source).await.map_err(StorageError::io(source))?;
        let mut writer = self.put().await?;
        let mut buffer = vec![0_u8; 256 * 1024];
        loop {
            let count = file.read(&mut buffer).await.map_err(StorageError::io(source))?;
            if count == 0 {
                break;
            }
            writer.write(buffer.get(..count).unwrap_or_default()).await?;
        }
        let length = writer.written();
        Ok((writer.finish(None).await?, length))
    }

    /// The file and its length, when the blob is here.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn open_file(&self, hash: &BlobHash) -> Result<Option<(File, u64)>, StorageError> {
        let path = self.path(hash);
        let file = match File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(&path)(error)),
        };
        let length = file.metadata().await.map_err(StorageError::io(&path))?.len();
        Ok(Some((file, length)))
    }

    /// The whole blob, checked against its hash, when it is here and at most `max` bytes.
    ///
    /// # Errors
    /// When it is larger, damaged, or the disk fails.
    pub async fn read(&self, hash: &BlobHash, max: u64) -> Result<Option<Bytes>, StorageError> {
        let Some((mut file, length)) = self.open_file(hash).await? else {
            return Ok(None);
        };
        if length > max {
            return Err(StorageError::TooLarge(length));
        }
        let path = self.path(hash);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.read_to_end(&mut bytes).await.map_err(StorageError::io(&path))?;
        if BlobHash::of(&bytes) != *hash {
            return Err(StorageError::Damaged { table: "blobs", key: hash.to_string() });
        }
        Ok(Some(bytes.into()))
    }

    /// Part of a blob, unchecked: a part has no hash of its own.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn read_range(
        &self,
        hash: &BlobHash,
        offset: u64,
        length: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let Some((mut file, total)) = self.open_file(hash).await? else {
            return Ok(None);
        };
        let path = self.path(hash);
        let left = usize::try_from(total.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0_u8; length.min(left)];
        file.seek(SeekFrom::Start(offset)).await.map_err(StorageError::io(&path))?;
        file.read_exact(&mut bytes).await.map_err(StorageError::io(&path))?;
        Ok(Some(bytes.into()))
    }

    /// Reads a blob through and says whether its bytes are those of its hash; `None` when it is
    /// not here.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn verify(&self, hash: &BlobHash) -> Result<Option<bool>, StorageError> {
        let (path, wanted) = (self.path(hash), *hash);
        blocking(move || {
            let mut file = match std::fs::File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(StorageError::io(&path)(error)),
            };
            let mut hasher = blake3::Hasher::new();
            io::copy(&mut file, &mut hasher).map_err(StorageError::io(&path))?;
            Ok(Some(BlobHash::from_bytes(hasher.finalize().into()) == wanted))
        })
        .await
    }

    /// Removes a blob; answers whether it was here.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove(&self, hash: &BlobHash) -> Result<bool, StorageError> {
        let path = self.path(hash);
        match fs::remove_file(&path).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StorageError::io(&path)(error)),
        }
    }
}

#[derive(Debug)]
struct Incoming {
    path: PathBuf,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(error = %error, "an unfinished blob stays until the next start");
        }
    }
}

/// A blob being written. Dropped before [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    incoming: Incoming,
    file: File,
    hasher: blake3::Hasher,
    written: u64,
}

impl BlobWriter {
    /// Bytes so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When the blob gets larger than allowed or the disk fails.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.written = self.written.saturating_add(count);
        if self.written > BLOB_MAX_BYTES {
            return Err(StorageError::TooLarge(self.written));
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).await.map_err(StorageError::io(&self.incoming.path))
    }

    /// Makes the blob durable under its hash.
    ///
    /// # Errors
    /// When the hash is not the one expected, or the disk fails; nothing stays then.
    pub async fn finish(mut self, expected: Option<BlobHash>) -> Result<BlobHash, StorageError> {
        let hash = BlobHash::from_bytes(self.hasher.finalize().into());
        if expected.is_some_and(|expected| expected != hash) {
            return Err(StorageError::WrongDigest);
        }
        let io = StorageError::io;
        self.file.flush().await.map_err(io(&self.incoming.path))?;
        self.file.sync_all().await.map_err(io(&self.incoming.path))?;
        let (from, to) = (self.incoming.path.clone(), self.store.path(&hash));
        let root = Arc::clone(&self.store.root);
        blocking(move || {
            let folder = to.parent().unwrap_or(&root);
            let is_new = !folder.exists();
            std::fs::create_dir_all(folder).map_err(io(folder))?;
            std::fs::rename(&from, &to).map_err(io(&to))?;
            sync_parent(&to)?;
            if is_new {
                sync_parent(folder)?;
                sync_parent(folder.parent().unwrap_or(&root))?;
            }
            Ok(())
        })
        .await?;
        Ok(hash)
    }
}
