//! Origin blobs: a directory of files named by the BLAKE3 hash of their bytes.
//!
//! ```text
//!  blobs/ab/cd/abcd...   a blob            blobs/incoming/<number>   being written
//!  blobs/unused          ages, see below   blobs/damaged/abcd...     set aside
//! ```
//! A blob is written under `incoming`, hashed on the way, synced, renamed, its folder synced; so a
//! name that is there held the whole blob once. Disks rot: who finds one that is not what its name
//! says sets it aside, where it counts as absent until a good copy comes. Media blobs are public
//! once published and checked by their hash wherever they are read, so they are not sealed at rest.
//! What is of no use any more is removed by its age (`unused.rs`); whoever puts a blob, or is told
//! that it is here already, may rely on it, so both forget its age, and one lock keeps that and the
//! removal apart. `place.rs` says what a directory has in common with other places for blobs. It must
//! not know what a blob is for.

mod ages;
mod place;
mod unused;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fairground_types::id::BlobHash;
use fairground_types::limits::BLOB_MAX;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};

use crate::error::StorageError;
use crate::store::{blocking, sync_parent};

pub use ages::Ages;
pub use place::{BlobPlace, BlobReader, BlobSink, Condemned, Held, Reply};
use unused::Unused;

const INCOMING: &str = "incoming";
const DAMAGED: &str = "damaged";
const UNUSED: &str = "unused";
const BLOB_MAX_BYTES: u64 = BLOB_MAX as u64;

/// A directory of blobs. Clones share it.
#[derive(Clone, Debug)]
pub struct BlobStore {
    root: Arc<PathBuf>,
    next: Arc<AtomicU64>,
    /// Held while a blob is renamed into its place, renewed or removed for its age.
    ages: Arc<Ages>,
}

/// A file that holds a blob, to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobFile {
    inode: u64,
}

impl BlobFile {
    fn at(path: &Path) -> Result<Option<Self>, StorageError> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self { inode: metadata.ino() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io(path)(error)),
        }
    }
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
        let ages = Arc::new(Ages::open(&root.join(UNUSED)));
        Ok(Self { root: Arc::new(root.to_owned()), next: Arc::new(AtomicU64::new(0)), ages })
    }

    fn lock(&self) -> MutexGuard<'_, Unused> {
        self.ages.lock()
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
        if self.renew(&hash).await? {
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
        let (bytes, wanted) = (Bytes::from(bytes), *hash);
        let checked = bytes.clone();
        if blocking(move || Ok(BlobHash::of(&checked) != wanted)).await? {
            return Err(StorageError::Damaged { table: "blobs", key: hash.to_string() });
        }
        Ok(Some(bytes))
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

    /// Blobs whose hash begins with `shelf`, by hash, with their lengths: a 256th of everything.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn shelf(&self, shelf: u8) -> Result<Vec<(BlobHash, u64)>, StorageError> {
        let folder = self.root.join(format!("{shelf:02x}"));
        blocking(move || {
            let mut found = Vec::new();
            for (_, inner) in entries(&folder)? {
                for (name, path) in entries(&inner)? {
                    let Ok(hash) = name.parse::<BlobHash>() else { continue };
                    match std::fs::metadata(&path) {
                        Ok(metadata) => found.push((hash, metadata.len())),
                        // Removed since the folder was read.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(StorageError::io(&path)(error)),
                    }
                }
            }
            found.sort_unstable();
            Ok(found)
        })
        .await
    }

    /// Whether a blob is here, for somebody who will rely on it: it is of use from now on.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn renew(&self, hash: &BlobHash) -> Result<bool, StorageError> {
        let (store, hash) = (self.clone(), *hash);
        blocking(move || {
            let path = store.path(&hash);
            let mut unused = store.lock();
            match std::fs::metadata(&path) {
                Ok(_) => {
                    unused.forget(&hash);
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(StorageError::io(&path)(error)),
            }
        })
        .await
    }

    /// Takes in which blobs of a shelf are of no use, `passed` after the last time.
    pub fn note_unused(&self, shelf: u8, dead: &BTreeSet<BlobHash>, passed: Duration) {
        self.lock().note(shelf, dead, passed);
    }

    /// Lets no blob have been of no use for longer than `max`.
    pub fn cap_unused(&self, max: Duration) {
        self.lock().cap(max);
    }

    /// Blobs that have been of no use for `grace`.
    #[must_use]
    pub fn unused_for(&self, grace: Duration) -> Vec<BlobHash> {
        self.lock().due(grace)
    }

    /// Removes a blob if it is still of no use and has been for `grace`; answers how long it was.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove_unused(
        &self,
        hash: &BlobHash,
        grace: Duration,
    ) -> Result<Option<u64>, StorageError> {
        let (store, hash) = (self.clone(), *hash);
        blocking(move || {
            let path = store.path(&hash);
            let mut unused = store.lock();
            if !unused.is_due(&hash, grace) {
                return Ok(None);
            }
            let removed = std::fs::metadata(&path)
                .and_then(|metadata| std::fs::remove_file(&path).map(|()| metadata.len()));
            match removed {
                Ok(length) => {
                    unused.forget(&hash);
                    Ok(Some(length))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    unused.forget(&hash);
                    Ok(None)
                }
                Err(error) => Err(StorageError::io(&path)(error)),
            }
        })
        .await
    }

    /// Makes the ages durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn save_unused(&self) -> Result<(), StorageError> {
        self.ages.save().await
    }

    /// Which file holds a blob now; `None` when there is none.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn file_of(&self, hash: &BlobHash) -> Result<Option<BlobFile>, StorageError> {
        let path = self.path(hash);
        blocking(move || BlobFile::at(&path)).await
    }

    /// Sets a damaged blob aside: it counts as absent, and its bytes are there for whoever has no
    /// other copy, until a good one is stored. Only the file that was looked at goes, not one that has
    /// come in its place. Answers whether it went.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn set_aside(&self, hash: &BlobHash, seen: BlobFile) -> Result<bool, StorageError> {
        let (store, from, to) = (self.clone(), self.path(hash), self.aside(hash));
        blocking(move || {
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder).map_err(StorageError::io(folder))?;
            }
            let _unused = store.lock();
            if BlobFile::at(&from)? != Some(seen) {
                return Ok(false);
            }
            std::fs::rename(&from, &to).map_err(StorageError::io(&from))?;
            sync_parent(&from).map(|()| true)
        })
        .await
    }

    /// Blobs that were set aside and have no good copy here.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn damaged(&self) -> Result<Vec<BlobHash>, StorageError> {
        let folder = self.root.join(DAMAGED);
        blocking(move || {
            let names = entries(&folder)?.into_iter();
            Ok(names.filter_map(|(name, _)| name.parse().ok()).collect())
        })
        .await
    }

    /// Removes the bytes that were set aside.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove_damaged(&self, hash: &BlobHash) -> Result<(), StorageError> {
        let path = self.aside(hash);
        match fs::remove_file(&path).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StorageError::io(&path)(error)),
        }
    }

    fn aside(&self, hash: &BlobHash) -> PathBuf {
        self.root.join(DAMAGED).join(hash.to_string())
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

/// Names and paths of what is in a folder; nothing when there is no such folder.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, StorageError> {
    let found = match std::fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StorageError::io(folder)(error)),
    };
    let mut entries = Vec::new();
    for entry in found {
        let entry = entry.map_err(StorageError::io(folder))?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(entries)
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
        let (store, aside) = (self.store.clone(), self.store.aside(&hash));
        blocking(move || {
            let root = &store.root;
            let folder = to.parent().unwrap_or(root);
            let is_new = !folder.exists();
            std::fs::create_dir_all(folder).map_err(io(folder))?;
            // Whoever is told under this lock that the blob is here relies on it.
            let mut unused = store.lock();
            std::fs::rename(&from, &to).map_err(io(&to))?;
            let synced = sync_parent(&to).and_then(|()| {
                if !is_new {
                    return Ok(());
                }
                sync_parent(folder)?;
                sync_parent(folder.parent().unwrap_or(root))
            });
            if let Err(error) = synced {
                // A name that may not outlive the power must not stand there.
                let _ = std::fs::remove_file(&to);
                return Err(error);
            }
            unused.forget(&hash);
            match std::fs::remove_file(&aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // The collection removes it later.
                    tracing::warn!(%hash, %error, "the damaged copy of a blob stays");
                }
                Ok(()) | Err(_) => {}
            }
            Ok(())
        })
        .await?;
        Ok(hash)
    }
}
