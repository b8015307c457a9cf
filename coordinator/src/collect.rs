//! Removes blobs that nothing needs any more: marks what is needed, waits, then sweeps.
//!
//! ```text
//!  up to date? --> mark --> age what is not marked, shelf by shelf --> old enough, and not named since?
//!   no: held    unread: held                                            too many: held --> remove
//! ```
//! Every member does it by itself, over its own copies or over the bucket that all share, where one
//! sees what another was told to keep. What is needed and not there is counted on the way: in a bucket
//! nobody else has it. What could lose data ends a look
//! without removing anything, is counted and said in `fairground status`:
//!
//! - this member is behind: it first has a quorum confirm how far the log is, and waits for that;
//! - a manifest or a record of the history cannot be read: what they name is not known;
//! - a transcode job has run for half of the grace: its blobs are named when it is done;
//! - more than a share of everything would go: rather a fault here than the truth.
//!
//! A blob is put before the command that names it, so the grace must be longer than anything takes
//! from one to the other; at a start no age is more than half of it, for what was put again and not
//! written down. It must not know what the state needs: `fairground_market`'s `reach.rs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fairground_runtime::shutdown::Shutdown;
use fairground_runtime::telemetry;
use fairground_storage::StorageError;
use fairground_storage::blob::Held as HeldBlob;
use fairground_types::{AssetId, BlobHash};
use serde::Serialize;
use tokio::time::Instant;

use crate::blobs::Blobs;
use crate::member::Member;
use crate::options::BlobOptions;

/// Pause after a look for which this member was not ready, if that is shorter than the period.
const AGAIN: Duration = Duration::from_secs(60);
/// Least pause between two looks, whatever is configured.
const PERIOD_MIN: Duration = Duration::from_millis(100);
/// Removals in one look; the rest waits for the next.
const REMOVALS_MAX: usize = 50_000;

/// Blobs of this member, or of the bucket that all share, at its last look.
#[derive(Clone, Copy, Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlobFigures {
    /// How many are here.
    held: u64,
    /// Their bytes.
    bytes: u64,
    /// How many of them nothing needs.
    unused: u64,
    /// Their bytes.
    unused_bytes: u64,
    /// How many are needed and not here.
    missing: u64,
    /// `done`, or why nothing was removed: `behind`, `unread`, `longJob`, `tooMany` or `failed`;
    /// absent before the first look.
    last_collection: Option<&'static str>,
}

/// Why a look removed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Behind,
    Unread,
    LongJob,
    TooMany,
    Failed,
}

impl Held {
    const fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Unread => "unread",
            Self::LongJob => "longJob",
            Self::TooMany => "tooMany",
            Self::Failed => "failed",
        }
    }
}

impl From<StorageError> for Held {
    fn from(error: StorageError) -> Self {
        let error = telemetry::chain(&error);
        tracing::error!(%error, "blobs could not be looked through");
        Self::Failed
    }
}

/// A number of blobs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    blobs: u64,
    bytes: u64,
}

impl Amount {
    const fn add(&mut self, bytes: u64) {
        self.blobs = self.blobs.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether it is more than `percent` of a whole, in number or in bytes.
    fn exceeds(self, percent: u8, whole: Self) -> bool {
        let is_more = |part: u64, whole: u64| {
            u128::from(part).saturating_mul(100)
                > u128::from(whole).saturating_mul(u128::from(percent))
        };
        is_more(self.blobs, whole.blobs) || is_more(self.bytes, whole.bytes)
    }
}

/// How long jobs have been seen under their leases.
#[derive(Debug, Default)]
struct Leases(BTreeMap<(AssetId, u64), Duration>);

impl Leases {
    /// Takes in which leases are held, `passed` after the last time; answers the longest.
    fn note(&mut self, held: &BTreeSet<(AssetId, u64)>, passed: Duration) -> Duration {
        self.0.retain(|lease, _| held.contains(lease));
        for lease in held {
            let longer = self.0.get(lease).map(|age| age.saturating_add(passed));
            self.0.insert(*lease, longer.unwrap_or_default());
        }
        self.0.values().max().copied().unwrap_or_default()
    }
}

/// What one look through the shelves found.
#[derive(Debug, Default)]
struct Found {
    all: Amount,
    unused: BTreeMap<BlobHash, u64>,
}

/// What is needed and was not found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missing {
    count: u64,
    first: Option<BlobHash>,
}

impl Missing {
    /// Takes in what a shelf holds, in the order of hashes.
    fn look_for(&mut self, shelf: u8, wanted: &BTreeSet<BlobHash>, held: &[HeldBlob]) {
        let [mut low, mut high] = [[0; 32], [u8::MAX; 32]];
        [low[0], high[0]] = [shelf, shelf];
        let bounds = BlobHash::from_bytes(low)..=BlobHash::from_bytes(high);
        for hash in wanted.range(bounds) {
            if held.binary_search_by_key(hash, |blob| blob.hash).is_err() {
                self.count = self.count.saturating_add(1);
                self.first = self.first.or(Some(*hash));
            }
        }
    }
}

struct Collector {
    member: Arc<Member>,
    blobs: Arc<Blobs>,
    options: BlobOptions,
    leases: Leases,
    last: Option<Instant>,
}

/// Looks each period, until `shutdown`.
pub(crate) async fn run(member: Arc<Member>, options: BlobOptions, shutdown: Shutdown) {
    let period = options.collect_period.to_duration().max(PERIOD_MIN);
    let blobs = Arc::clone(&member.blobs);
    // Ages are written after a look. What was put again after that is only in the memory of a
    // process that is gone, so the other half of the grace is waited for anew.
    blobs.store.cap_unused(options.collect_grace.to_duration() / 2);
    let leases = Leases::default();
    let mut collector = Collector { member, blobs, options, leases, last: None };
    loop {
        let held = tokio::select! {
            biased;
            () = shutdown.wait() => return,
            outcome = collector.look() => outcome.err(),
        };
        collector.report(held);
        let wait = match held {
            Some(Held::Behind | Held::Failed) => period.min(AGAIN),
            Some(Held::Unread | Held::LongJob | Held::TooMany) | None => period,
        };
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Collector {
    async fn look(&mut self) -> Result<(), Held> {
        self.member.linearize().await.map_err(|_| Held::Behind)?;
        let marked = self.blobs.mark().await;
        if !marked.has_manifests || !marked.has_history {
            return Err(Held::Unread);
        }
        let passed = self.passed();
        // Before anything can fail: blobs must not grow older than the jobs that put them.
        let leases = self.leases_held();
        let longest = self.leases.note(&leases, passed);
        let found = self.age(&marked.wanted, passed).await?;
        self.blobs.store.save_unused().await?;
        for hash in self.blobs.store.damaged().await? {
            if !marked.wanted.contains(&hash) {
                self.blobs.store.remove_damaged(&hash).await?;
            }
        }
        let grace = self.options.collect_grace.to_duration();
        if longest >= grace / 2 {
            return Err(Held::LongJob);
        }
        let due = self.due(&found, grace);
        let mut amount = Amount::default();
        due.values().for_each(|bytes| amount.add(*bytes));
        if amount.exceeds(self.options.collect_share_max, found.all) {
            tracing::error!(
                blobs = amount.blobs,
                of = found.all.blobs,
                "more blobs than allowed would be removed, so none is"
            );
            return Err(Held::TooMany);
        }
        self.sweep(due, grace).await
    }

    /// How long ago the last look aged blobs, as far as it counts: a pause in which nothing could
    /// be looked at makes nothing older than a regular one.
    fn passed(&mut self) -> Duration {
        let now = Instant::now();
        let last = self.last.replace(now);
        let period = self.options.collect_period.to_duration().max(PERIOD_MIN);
        last.map_or(Duration::ZERO, |last| now.duration_since(last).min(period.saturating_mul(2)))
    }

    async fn age(
        &self,
        wanted: &BTreeSet<BlobHash>,
        passed: Duration,
    ) -> Result<Found, StorageError> {
        let mut found = Found::default();
        let mut missing = Missing::default();
        for shelf in 0..=u8::MAX {
            let mut dead: Vec<HeldBlob> = Vec::new();
            let held = self.blobs.store.shelf(shelf).await?;
            missing.look_for(shelf, wanted, &held);
            for blob in held {
                found.all.add(blob.bytes);
                if !wanted.contains(&blob.hash) {
                    found.unused.insert(blob.hash, blob.bytes);
                    dead.push(blob);
                }
            }
            self.blobs.store.note_unused(shelf, &dead, passed);
        }
        if missing.count > 0 && self.blobs.store.is_shared() {
            let first = missing.first.map(|hash| hash.to_string());
            tracing::error!(blobs = missing.count, first, "blobs that are needed are not there");
        }
        let mut unused = Amount::default();
        found.unused.values().for_each(|bytes| unused.add(*bytes));
        let mut figures = self.blobs.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.held = found.all.blobs;
        figures.bytes = found.all.bytes;
        figures.unused = unused.blobs;
        figures.unused_bytes = unused.bytes;
        figures.missing = missing.count;
        drop(figures);
        metrics::gauge!(crate::metrics::BLOBS_MISSING).set(as_gauge(missing.count));
        metrics::gauge!(crate::metrics::BLOB_BYTES).set(as_gauge(found.all.bytes));
        metrics::gauge!(crate::metrics::BLOB_BYTES_UNUSED).set(as_gauge(unused.bytes));
        Ok(found)
    }

    fn leases_held(&self) -> BTreeSet<(AssetId, u64)> {
        let jobs = self.member.state.read(fairground_market::Market::jobs);
        let leased = jobs.into_iter().filter(|job| job.state == "leased");
        leased.map(|job| (job.asset_id, job.fence)).collect()
    }

    /// What is to go. The state is asked once more: marking took a while, and what was named
    /// meanwhile without being put again, such as a picture that was sent a day ago, stays.
    fn due(&self, found: &Found, grace: Duration) -> BTreeMap<BlobHash, u64> {
        let roots = self.blobs.state.read(fairground_market::Market::blob_roots);
        let old = self.blobs.store.unused_for(grace).into_iter();
        old.filter(|hash| !roots.blobs.contains(hash) && !roots.manifests.contains(hash))
            .filter_map(|hash| found.unused.get(&hash).map(|bytes| (hash, *bytes)))
            .collect()
    }

    async fn sweep(&self, due: BTreeMap<BlobHash, u64>, grace: Duration) -> Result<(), Held> {
        let mut removed = Amount::default();
        for (hash, _) in due.into_iter().take(REMOVALS_MAX) {
            if let Some(bytes) = self.blobs.store.remove_unused(&hash, grace).await? {
                removed.add(bytes);
                metrics::counter!(crate::metrics::BLOBS_COLLECTED).increment(1);
                metrics::counter!(crate::metrics::BLOB_BYTES_COLLECTED).increment(bytes);
                tracing::debug!(%hash, bytes, "a blob that nothing needs was removed");
            }
        }
        if removed.blobs > 0 {
            tracing::info!(blobs = removed.blobs, bytes = removed.bytes, "unused blobs removed");
        }
        Ok(())
    }

    fn report(&self, held: Option<Held>) {
        let outcome = held.map_or("done", Held::name);
        self.blobs.figures.lock().unwrap_or_else(PoisonError::into_inner).last_collection =
            Some(outcome);
        if held.is_some() {
            metrics::counter!(crate::metrics::COLLECTIONS_HELD, "reason" => outcome).increment(1);
            tracing::debug!(reason = outcome, "no blob is removed now");
        }
    }
}

/// For a gauge, which is a float: the one conversion of 64 bits that the standard library has.
const fn as_gauge(bytes: u64) -> f64 {
    Duration::from_secs(bytes).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_share_is_of_number_and_of_bytes() {
        let whole = Amount { blobs: 10, bytes: 1_000 };
        let is_more = |blobs, bytes| Amount { blobs, bytes }.exceeds(50, whole);
        assert!(!is_more(5, 500));
        assert!(is_more(6, 1));
        assert!(is_more(1, 501));
        assert!(!Amount { blobs: 10, bytes: 1_000 }.exceeds(100, whole));
        assert!(!Amount::default().exceeds(0, Amount::default()));
    }

    #[test]
    fn the_longest_job_is_as_old_as_its_lease_was_seen() {
        let mut leases = Leases::default();
        let lease = |number: u128, fence| (AssetId::from_bits(number), fence);
        let both = BTreeSet::from([lease(1, 1), lease(2, 1)]);
        assert_eq!(leases.note(&both, 9 * HOUR), Duration::ZERO);
        assert_eq!(leases.note(&both, HOUR), HOUR);
        let again = BTreeSet::from([lease(1, 2)]);
        assert_eq!(leases.note(&again, HOUR), Duration::ZERO, "leased anew: it begins anew");
        assert_eq!(leases.note(&BTreeSet::new(), HOUR), Duration::ZERO);
    }

    #[test]
    fn what_is_needed_and_on_no_shelf_is_missing() {
        let hash = |shelf: u8, rest: u8| {
            let mut bytes = [rest; 32];
            bytes[0] = shelf;
            BlobHash::from_bytes(bytes)
        };
        let wanted = BTreeSet::from([hash(0, 0), hash(7, 1), hash(7, 9), hash(255, 255)]);
        let held = [hash(7, 1), hash(7, 5)].map(|hash| HeldBlob { hash, bytes: 1, stamp: 0 });
        let mut missing = Missing::default();
        missing.look_for(7, &wanted, &held);
        assert_eq!(missing, Missing { count: 1, first: Some(hash(7, 9)) });
        missing.look_for(8, &wanted, &[]);
        assert_eq!(missing.count, 1);
        missing.look_for(0, &wanted, &[]);
        missing.look_for(255, &wanted, &[]);
        assert_eq!(missing, Missing { count: 3, first: Some(hash(7, 9)) });
    }

    #[test]
    fn a_gauge_says_how_many_bytes() {
        assert_eq!(as_gauge(4_096).to_bits(), 4_096.0_f64.to_bits());
        assert_eq!(as_gauge(6 << 32).to_bits(), 25_769_803_776.0_f64.to_bits());
    }
}
