//! A file of sealed records that is replaced as a whole: snapshots and views.
//!
//! ```text
//!  "FGSF" | format u8 | [length u32 LE | record] ...
//!  record 0: the description; records 1..: 256 KiB of the body each
//!  key of a record = number u32 LE | 1 for the last, 0 else
//! ```
//! Written under a temporary name, synced, renamed, the folder synced: a crash leaves the old or
//! the new file, never a mix. Number and last mark are authenticated, so neither order nor end can
//! be changed unseen.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::StorageError;
use crate::record::{OVERHEAD, RecordCipher};
use crate::store::{beside, sync_parent};

const MAGIC: &[u8; 4] = b"FGSF";
const FORMAT: u8 = 1;
const PART: usize = 256 * 1024;
const DESCRIPTION_MAX: usize = 1024 * 1024;

/// What a sealed file is, and how it is sealed.
#[derive(Clone, Copy)]
pub(crate) struct Kind<'a> {
    pub(crate) cipher: &'a RecordCipher,
    pub(crate) name: &'static str,
    pub(crate) version: u8,
}

fn key(number: usize, is_last: bool) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    [a, b, c, d, u8::from(is_last)]
}

/// Where a sealed file is.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    /// On a disk.
    Path(PathBuf),
    /// In a folder in memory, under a name.
    #[cfg(feature = "sim")]
    Memory(crate::fault::FaultFolder, &'static str),
}

/// Replaces the file.
pub(crate) fn replace(
    home: &Home,
    kind: Kind<'_>,
    description: &[u8],
    body: &[u8],
) -> Result<(), StorageError> {
    if description.len() > DESCRIPTION_MAX {
        return Err(StorageError::TooLarge(u64::try_from(description.len()).unwrap_or(u64::MAX)));
    }
    let io = StorageError::io;
    let path = match home {
        Home::Path(path) => path,
        #[cfg(feature = "sim")]
        Home::Memory(folder, name) => {
            let place = Path::new(name);
            let bytes = seal_into(Vec::new(), (kind, place), description, body)?;
            return folder.replace(name, bytes).map_err(io(place));
        }
    };
    let fresh = beside(path, "new");
    let file = File::create(&fresh).map_err(io(&fresh))?;
    let out = seal_into(BufWriter::new(file), (kind, &fresh), description, body)?;
    let file = out.into_inner().map_err(|error| io(&fresh)(error.into_error()))?;
    file.sync_all().map_err(io(&fresh))?;
    fs::rename(&fresh, path).map_err(io(path))?;
    sync_parent(path)
}

fn seal_into<W: Write>(
    mut out: W,
    (kind, fresh): (Kind<'_>, &Path),
    description: &[u8],
    body: &[u8],
) -> Result<W, StorageError> {
    let io = StorageError::io;
    out.write_all(MAGIC).and_then(|()| out.write_all(&[FORMAT])).map_err(io(fresh))?;
    let parts = std::iter::once(description).chain(body.chunks(PART));
    let last = body.len().div_ceil(PART);
    for (number, part) in parts.enumerate() {
        let place = key(number, number == last);
        let record = kind.cipher.seal(kind.name, &place, kind.version, part)?;
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        out.write_all(&length.to_le_bytes())
            .and_then(|()| out.write_all(&record))
            .map_err(io(fresh))?;
    }
    Ok(out)
}

/// What was in a sealed file.
pub(crate) struct Contents {
    pub(crate) description: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// Reads the file; `None` when there is none.
pub(crate) fn read(home: &Home, kind: Kind<'_>) -> Result<Option<Contents>, StorageError> {
    let path = match home {
        Home::Path(path) => path,
        #[cfg(feature = "sim")]
        Home::Memory(folder, name) => {
            let place = Path::new(name);
            let Some(bytes) = folder.read(name).map_err(StorageError::io(place))? else {
                return Ok(None);
            };
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return open_from(bytes.as_slice(), size, (kind, place)).map(Some);
        }
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io(path)(error)),
    };
    let size = file.metadata().map_err(StorageError::io(path))?.len();
    open_from(BufReader::new(file), size, (kind, path)).map(Some)
}

fn open_from(
    mut input: impl Read,
    size: u64,
    (kind, path): (Kind<'_>, &Path),
) -> Result<Contents, StorageError> {
    let damaged = || StorageError::Damaged { table: kind.name, key: path.display().to_string() };
    let mut header = [0_u8; 5];
    input.read_exact(&mut header).map_err(|_| damaged())?;
    if header != [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], FORMAT] {
        return Err(damaged());
    }
    let mut left = size.saturating_sub(5);
    let mut description = None;
    let mut body = Vec::new();
    let mut number = 0_usize;
    while left > 0 {
        let mut prefix = [0_u8; 4];
        input.read_exact(&mut prefix).map_err(|_| damaged())?;
        let length = u32::from_le_bytes(prefix);
        left = left.checked_sub(u64::from(length).saturating_add(4)).ok_or_else(damaged)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > PART.max(DESCRIPTION_MAX).saturating_add(OVERHEAD) {
            return Err(damaged());
        }
        let mut record = vec![0_u8; length];
        input.read_exact(&mut record).map_err(|_| damaged())?;
        let place = key(number, left == 0);
        let (_, part) = kind.cipher.open(kind.name, &place, kind.version, &record)?;
        match description {
            None => description = Some(part),
            Some(_) => body.extend_from_slice(&part),
        }
        number = number.saturating_add(1);
    }
    description.map(|description| Contents { description, body }).ok_or_else(damaged)
}
