//! Where the bytes of a revision come from: a folder, a URL, a map in a test.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;

/// Gives the files of one revision by the names that playlists use.
pub trait Source {
    /// Reads a file, relative to the multivariant playlist.
    ///
    /// # Errors
    /// [`SourceError`] when it is absent, longer than `bytes_max`, or cannot be read.
    fn get(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, SourceError>;
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("it is absent")]
    Absent,
    /// It is longer than what is read of such a file.
    #[error("it is longer than {bytes_max} bytes")]
    TooLong {
        /// The bound.
        bytes_max: u64,
    },
    /// Reading failed, or the name leads out of the revision.
    #[error("it cannot be read: {0}")]
    Failed(String),
}

/// A folder of files.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// A revision written out as files.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Source for Folder {
    fn get(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
        let inside = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside {
            return Err(SourceError::Failed("the name leads out of the folder".to_owned()));
        }
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => SourceError::Absent,
            _ => SourceError::Failed(error.to_string()),
        };
        let file = File::open(self.0.join(name)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        bounded(bytes, bytes_max)
    }
}

impl Source for BTreeMap<String, Vec<u8>> {
    fn get(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
        bounded(Self::get(self, name).cloned().ok_or(SourceError::Absent)?, bytes_max)
    }
}

fn bounded(bytes: Vec<u8>, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= bytes_max) {
        Ok(bytes)
    } else {
        Err(SourceError::TooLong { bytes_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_own_files_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("c360")).unwrap();
        std::fs::write(folder.path().join("c360/0.m4s"), b"12345").unwrap();
        let source = Folder::new(folder.path().to_owned());
        assert_eq!(source.get("c360/0.m4s", 5), Ok(b"12345".to_vec()));
        assert_eq!(source.get("c360/0.m4s", 4), Err(SourceError::TooLong { bytes_max: 4 }));
        assert_eq!(source.get("c360/1.m4s", 4), Err(SourceError::Absent));
        for outside in ["../x", "/etc/hostname", "c360/../c360/0.m4s", "", "c360//0.m4s"] {
            assert!(matches!(source.get(outside, 9), Err(SourceError::Failed(_))), "{outside}");
        }
    }
}
