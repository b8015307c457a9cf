//! Counts the bytes of media that leave, and keeps the count of today over a restart.
//!
//! ```text
//!   permit(begins?) -- over or exhausted --> another edge
//!   tab(playback) --> is_spent? --> ... the connection takes the body --> sent(bytes)
//!   each minute and at the end: DIR/sent.json
//! ```
//! A crash forgets a minute of counting at most. Counts are of this edge: a playback that moves
//! begins anew elsewhere. It must not know HTTP or names. Read next: [`super::budget`].

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_types::{PlaybackId, Timestamp};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::DeliveryError;
use super::budget::{DayBytes, PLAYBACK_FREE, Standing, playback_max, standing};
use crate::edge::Edge;
use crate::link::chain;
use crate::metrics;
use crate::options::DeliveryOptions;

const FILE: &str = "sent.json";
const FILE_VERSION: u32 = 1;
const FILE_BYTES_MAX: u64 = 1_024;
/// How often the count is written.
const WRITE_PERIOD: Duration = Duration::from_secs(60);
/// Playbacks whose bytes are remembered; those that took nothing for longest are forgotten.
const PLAYBACKS_MAX: usize = 100_000;

/// The count as it is kept in the edge's folder.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// When it was written; its day is the one that the bytes are of.
    at: Timestamp,
    bytes: u64,
}

/// What is shown of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    /// Bytes sent today, UTC.
    pub(crate) bytes_today: u64,
    /// Bytes that may be sent in a day; 0 for any number.
    pub(crate) bytes_per_day: u64,
    /// What follows from that.
    pub(crate) standing: Standing,
}

/// Counts what is sent.
#[derive(Debug)]
pub(crate) struct Meter {
    options: DeliveryOptions,
    path: PathBuf,
    today: Mutex<DayBytes>,
    /// Since the start.
    total: AtomicU64,
    playbacks: Cache<PlaybackId, Arc<AtomicU64>>,
}

impl Meter {
    /// Goes on where an earlier run on the same day stopped. A file that cannot be read counts as
    /// none: it holds one day.
    pub(crate) fn open(dir: &Path, options: DeliveryOptions) -> Arc<Self> {
        let path = dir.join(FILE);
        let today = read(&path).unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "the count of bytes sent begins anew");
            DayBytes::default()
        });
        Arc::new(Self {
            options,
            path,
            today: Mutex::new(today),
            total: AtomicU64::new(0),
            playbacks: Cache::new(PLAYBACKS_MAX),
        })
    }

    /// How this edge stands now.
    pub(crate) fn shown(&self, now: Timestamp) -> Shown {
        let bytes_today = self.lock().sent(now);
        let bytes_per_day = self.options.bytes_per_day.bytes();
        Shown { bytes_today, bytes_per_day, standing: standing(bytes_today, bytes_per_day) }
    }

    /// What follows from what was sent so far; the clock is looked at only where there is a budget.
    pub(crate) fn standing(&self, now: impl FnOnce() -> Timestamp) -> Standing {
        match self.options.bytes_per_day.bytes() {
            0 => Standing::Within,
            budget => standing(self.lock().sent(now()), budget),
        }
    }

    /// Bytes sent since the start.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether media may leave now, for one who begins or who plays already.
    pub(crate) fn permit(&self, begins: bool, now: Timestamp) -> Result<(), DeliveryError> {
        let reason = match self.standing(|| now) {
            Standing::Within => return Ok(()),
            Standing::Over if !begins => return Ok(()),
            Standing::Over => "over",
            Standing::Exhausted => "exhausted",
        };
        metrics::media_refused(reason);
        Err(DeliveryError::OverBudget)
    }

    /// What one playback has taken, to be looked at and added to.
    pub(crate) fn tab(self: &Arc<Self>, playback: PlaybackId, now: Timestamp) -> Tab {
        let made =
            self.playbacks.get_or_insert_with(&playback, || Ok::<_, Infallible>(Arc::default()));
        let Ok(taken) = made;
        Tab { meter: Arc::clone(self), taken, now }
    }

    /// A tab that no playback has.
    pub(crate) fn open_tab(self: &Arc<Self>, now: Timestamp) -> Tab {
        Tab { meter: Arc::clone(self), taken: Arc::default(), now }
    }

    /// Bytes left.
    fn count(&self, now: Timestamp, bytes: u64) {
        self.lock().count(now, bytes);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Writes today's count.
    async fn write(&self, now: Timestamp) -> io::Result<()> {
        let kept = Kept { version: FILE_VERSION, at: now, bytes: self.lock().sent(now) };
        let text = serde_json::to_vec(&kept)?;
        let new = self.path.with_extension("json.new");
        // Not synced: a crash of the machine may forget it.
        tokio::fs::write(&new, text).await?;
        tokio::fs::rename(&new, &self.path).await
    }

    fn lock(&self) -> MutexGuard<'_, DayBytes> {
        self.today.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one playback has taken, for one request.
#[derive(Debug)]
pub(crate) struct Tab {
    meter: Arc<Meter>,
    taken: Arc<AtomicU64>,
    now: Timestamp,
}

impl Tab {
    /// Whether the playback has had its share; `clip` tells the size of its clip.
    pub(crate) fn is_spent(&self, clip: impl FnOnce() -> u64) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        let sizes = self.meter.options.playback_sizes_max;
        // The size is a long sum, and hardly ever asked for.
        let is_spent = sizes > 0 && taken >= PLAYBACK_FREE && taken >= playback_max(clip(), sizes);
        if is_spent {
            metrics::media_refused("playback");
        }
        is_spent
    }

    /// The connection took so many bytes.
    pub(crate) fn sent(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        self.meter.count(self.now, bytes);
    }
}

fn read(path: &Path) -> io::Result<DayBytes> {
    use std::io::Read as _;

    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DayBytes::default()),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    let kept: Kept = serde_json::from_slice(&text)?;
    if kept.version != FILE_VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a count of another release"));
    }
    Ok(DayBytes::new(kept.at, kept.bytes))
}

/// Writes the count each minute and at the end.
pub(crate) async fn keep(edge: Arc<Edge>) {
    let meter = &edge.delivery.meter;
    loop {
        let is_over = tokio::select! {
            biased;
            () = edge.shutdown.wait() => true,
            () = tokio::time::sleep(WRITE_PERIOD) => false,
        };
        if let Err(error) = meter.write(edge.time.now()).await {
            tracing::warn!(error = %chain(&error), "the count of bytes sent was not written");
        }
        if is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use fairground_runtime::config::SizeText;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

    fn options(bytes: u64) -> DeliveryOptions {
        DeliveryOptions { bytes_per_day: SizeText::new(bytes), playback_sizes_max: 3 }
    }

    #[tokio::test]
    async fn the_count_outlives_the_process_and_not_the_day() {
        let dir = tempfile::tempdir().expect("a folder");
        let meter = Meter::open(dir.path(), options(1_000));
        meter.tab(PlaybackId::from_bits(1), NOW).sent(1_050);
        assert_eq!(meter.shown(NOW).standing, Standing::Over);
        meter.write(NOW).await.expect("written");
        let again = Meter::open(dir.path(), options(1_000));
        assert_eq!((again.shown(NOW).bytes_today, again.total()), (1_050, 0));
        assert!(again.permit(true, NOW).is_err() && again.permit(false, NOW).is_ok());
        let tomorrow = NOW.plus(fairground_types::Millis::from_hours(24));
        assert!(again.permit(true, tomorrow).is_ok());

        std::fs::write(dir.path().join(FILE), b"{").expect("written");
        assert_eq!(Meter::open(dir.path(), options(0)).shown(NOW).bytes_today, 0);
    }

    #[test]
    fn a_playback_that_took_its_share_is_spent_and_others_are_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let meter = Meter::open(dir.path(), options(0));
        let clip = || PLAYBACK_FREE;
        let tab = || meter.tab(PlaybackId::from_bits(1), NOW);
        tab().sent(3 * PLAYBACK_FREE - 1);
        assert!(!tab().is_spent(clip));
        tab().sent(1);
        assert!(tab().is_spent(clip));
        assert!(!tab().is_spent(|| PLAYBACK_FREE + 1), "a larger clip");
        assert!(!meter.tab(PlaybackId::from_bits(2), NOW).is_spent(clip));
        assert_eq!(meter.shown(NOW).bytes_today, 3 * PLAYBACK_FREE);
        let any = Meter::open(dir.path(), DeliveryOptions { playback_sizes_max: 0, ..options(0) });
        let tab = any.tab(PlaybackId::from_bits(1), NOW);
        tab.sent(u64::MAX);
        assert!(!tab.is_spent(clip), "no limit");
    }
}
