//! Pictures that people send, decoded inside the jail one or two at a time.
//!
//! ```text
//!   bytes -> pictures/<number>.part -> jail (fenced ffprobe, ffmpeg) -> drawn bytes; file removed
//! ```
//! It must not know HTTP, nor what a picture is for. Read next: `fairground_media::picture`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fairground_media::picture::{PictureRules, decode};
use fairground_media::{MediaError, Rejection, Tools};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::metrics;

/// Pictures that are decoded at a time.
const AT_A_TIME: usize = 2;
/// How long a picture waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// Why a picture is not taken.
#[derive(Debug)]
pub(crate) enum PictureError {
    /// The picture is at fault.
    Rejected(Rejection),
    /// The tools that look into pictures are absent here.
    NoTools,
    /// Others are looked at.
    Busy,
    /// A fault of this edge.
    Failed(Error),
}

/// The pictures in hand.
pub(crate) struct Pictures {
    folder: PathBuf,
    tools: Option<Tools>,
    turns: Arc<Semaphore>,
    next: AtomicU64,
}

/// A file that is gone when dropped.
struct Scrap(PathBuf);

impl Drop for Scrap {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a picture stays until the next start");
        }
    }
}

impl Pictures {
    /// Opens the folder, empty.
    pub(crate) fn open(dir: &Path, tools: Option<Tools>) -> Result<Self, Error> {
        let folder = dir.join("pictures");
        // What an interrupted run left is of no use.
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file(&folder)(error));
            }
            Ok(()) | Err(_) => {}
        }
        crate::identity::make_private_folder(&folder)?;
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        Ok(Self { folder, tools, turns, next: AtomicU64::new(0) })
    }

    /// Decodes a picture; answers what the rules make of it.
    pub(crate) async fn decode(
        &self,
        bytes: Bytes,
        rules: PictureRules,
    ) -> Result<Bytes, PictureError> {
        let tools = self.tools.clone().ok_or(PictureError::NoTools)?;
        let turn = tokio::time::timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        // The semaphore is never closed.
        let turn = turn.ok().and_then(Result::ok).ok_or(PictureError::Busy)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.part"));
        // The thread ends by itself when the client leaves: file and turn are its own.
        let decoding = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let scrap = write(path, &bytes)?;
            decode(&scrap.0, &tools, &rules)
        });
        let decoded = decoding.await.map_err(|_| PictureError::Failed(Error::Vital))?;
        let outcome = decoded.map_err(|error| match error {
            MediaError::Rejected(rejection) => PictureError::Rejected(rejection),
            other => PictureError::Failed(other.into()),
        });
        metrics::picture_decoded(match &outcome {
            Ok(_) => "taken",
            Err(PictureError::Rejected(_)) => "rejected",
            Err(_) => "failed",
        });
        outcome
    }
}

fn write(path: PathBuf, bytes: &Bytes) -> Result<Scrap, MediaError> {
    let io = |source| MediaError::Io { action: "write a picture", source };
    let scrap = Scrap(path);
    std::fs::write(&scrap.0, bytes).map_err(io)?;
    Ok(scrap)
}
