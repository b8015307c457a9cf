//! The one writer of analytics files: lines in, files of bounded number and size out.
//!
//! ```text
//!   analytics/events-00000001.ndjson ... the newest is written to; a full one is followed by the next
//!   analytics/quarantine-00000001.ndjson
//! ```
//! Files are an operator's to take away; the oldest go by themselves. A disk that fails costs lines,
//! never a request. Read next: `super` for the bounds.

use std::path::{Path, PathBuf};

use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::{EVENT_FILES_MAX, FILE_BYTES_MAX, FREE_FLOOR, Line, QUARANTINE_FILES_MAX, Shelf};
use crate::error::Error;
use crate::ingest::free_bytes;
use crate::metrics;

/// Lines that are written at a time.
const WRITE_MAX: usize = 256;

/// Files of one kind.
struct Series {
    folder: PathBuf,
    kind: &'static str,
    files_max: usize,
    bytes_max: u64,
    /// Number of the newest file; 0 before the first.
    newest: u64,
    /// The file that is written to, and its length.
    open: Option<(File, u64)>,
}

/// Writes what [`super::Analytics`] takes.
pub(crate) struct Writer {
    queue: mpsc::Receiver<Line>,
    events: Series,
    quarantine: Series,
}

/// The number in a file's name.
fn number_of(name: &str, kind: &str) -> Option<u64> {
    name.strip_prefix(kind)?.strip_prefix('-')?.strip_suffix(".ndjson")?.parse().ok()
}

impl Series {
    fn numbers(&self) -> std::io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| number_of(name, self.kind)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}-{number:08}.ndjson", self.kind))
    }

    fn open(
        folder: &Path,
        (kind, files_max): (&'static str, usize),
        bytes_max: u64,
    ) -> Result<Self, Error> {
        let folder = folder.to_owned();
        let mut series = Self { folder, kind, files_max, bytes_max, newest: 0, open: None };
        let numbers = series.numbers().map_err(Error::file(&series.folder))?;
        series.newest = numbers.last().copied().unwrap_or(0);
        Ok(series)
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let is_full = |written: u64| written > 0 && written.saturating_add(length) > self.bytes_max;
        let (mut file, written) = match self.open.take() {
            Some((file, written)) if !is_full(written) => (file, written),
            Some(_) | None => (self.begin().await?, 0),
        };
        file.write_all(bytes).await?;
        file.flush().await?;
        self.open = Some((file, written.saturating_add(length)));
        Ok(())
    }

    /// The next file, after room was made for it.
    async fn begin(&mut self) -> std::io::Result<File> {
        let numbers = self.numbers()?;
        let surplus = numbers.len().saturating_add(1).saturating_sub(self.files_max);
        for number in numbers.iter().take(surplus) {
            tokio::fs::remove_file(self.path(*number)).await?;
        }
        self.newest = self.newest.saturating_add(1);
        let path = self.path(self.newest);
        OpenOptions::new().create_new(true).append(true).mode(0o600).open(path).await
    }
}

impl Writer {
    pub(super) fn open(folder: PathBuf, queue: mpsc::Receiver<Line>) -> Result<Self, Error> {
        let events = Series::open(&folder, ("events", EVENT_FILES_MAX), FILE_BYTES_MAX)?;
        let kind = ("quarantine", QUARANTINE_FILES_MAX);
        let quarantine = Series::open(&folder, kind, FILE_BYTES_MAX)?;
        Ok(Self { queue, events, quarantine })
    }

    /// Writes until `stop` and what waits then is written, or until nobody says anything any more.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut lines = Vec::with_capacity(WRITE_MAX);
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut lines, WRITE_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                // Whatever was taken before is written first.
                () = &mut stop => self.queue.close(),
            }
            self.write(&mut lines).await;
        }
    }

    async fn write(&mut self, lines: &mut Vec<Line>) {
        let (mut events, mut apart) = ((Vec::new(), 0_u64), (Vec::new(), 0_u64));
        for line in lines.drain(..) {
            let (bytes, count) = match line.shelf {
                Shelf::Events => &mut events,
                Shelf::Quarantine => &mut apart,
            };
            bytes.extend_from_slice(&line.text);
            *count = count.saturating_add(1);
        }
        for ((bytes, count), series) in [(events, &mut self.events), (apart, &mut self.quarantine)]
        {
            if count == 0 {
                continue;
            }
            if free_bytes(&series.folder).is_some_and(|free| free < FREE_FLOOR) {
                metrics::analytics("lost", count);
                continue;
            }
            if let Err(error) = series.write(&bytes).await {
                tracing::warn!(%error, lines = count, "analytics not written");
                metrics::analytics("lost", count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_bounded_in_number_and_size_and_a_new_run_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let names = |series: &Series| series.numbers().unwrap();
        let mut series = Series::open(dir.path(), ("events", 3), 10).unwrap();
        for _ in 0..5 {
            series.write(b"12345\n").await.unwrap();
        }
        assert_eq!(names(&series), [3, 4, 5], "two lines do not fit into one file");
        let mut next = Series::open(dir.path(), ("events", 3), 10).unwrap();
        next.write(b"1\n").await.unwrap();
        next.write(b"2\n").await.unwrap();
        next.write(&[b'x'; 30]).await.unwrap();
        assert_eq!(names(&next), [5, 6, 7]);
        assert_eq!(std::fs::read(next.path(6)).unwrap(), b"1\n2\n");
        std::fs::write(dir.path().join("events-old.ndjson"), "kept").unwrap();
        next.write(b"3\n").await.unwrap();
        assert_eq!(names(&next), [6, 7, 8], "what is not ours is left alone");
        let mut other = Series::open(dir.path(), ("quarantine", 1), 10).unwrap();
        other.write(b"q\n").await.unwrap();
        assert_eq!((names(&other), names(&next)), (vec![1], vec![6, 7, 8]));
    }
}
