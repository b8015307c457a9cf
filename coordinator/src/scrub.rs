//! Reads every blob through, slowly, and sets aside what the disk has damaged.
//!
//! ```text
//!  shelf n: list -> a blob: read at most so many bytes a second -> its hash? --no--> read again: set aside
//!           then a pause, so that all shelves together take one period
//! ```
//! It begins on a shelf by chance, so a member that is started again and again still gets around.
//! What is set aside is fetched by repair. A bucket that members share is left to its own scrubbing.
//! It must not know what a blob is for.

use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::ids;
use fairground_runtime::shutdown::Shutdown;
use fairground_storage::blob::Held;
use fairground_types::BlobHash;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::blobs::Blobs;
use crate::options::BlobOptions;

/// Bytes that are read and hashed at once.
const PART: usize = 256 * 1024;
/// What a blob costs besides its bytes: so that a thousand small ones are not read in one go.
const EACH: u64 = 4 * 1024;
/// Least time for a round, whatever is configured and however little there is.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// How fast blobs are read.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Bytes a second, at most.
    rate: u64,
    /// How long a round takes, at least.
    period: Duration,
}

/// `part` of `whole` of a length of time.
fn share(time: Duration, part: u64, whole: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(u128::from(part)) / u128::from(whole.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Pace {
    fn of(options: &BlobOptions) -> Self {
        Self {
            rate: options.scrub_rate.bytes().max(1),
            period: options.scrub_period.to_duration().max(PERIOD_MIN),
        }
    }

    /// How long reading so many bytes takes at least.
    fn reading(self, bytes: u64) -> Duration {
        share(Duration::from_secs(1), bytes, self.rate)
    }

    /// How long a blob takes at least, pause included, when so much is read in a round.
    fn blob(self, bytes: u64, round: u64) -> Duration {
        let even = share(self.period, cost(bytes), round);
        even.min(self.period).max(self.reading(cost(bytes)))
    }
}

const fn cost(bytes: u64) -> u64 {
    bytes.saturating_add(EACH)
}

/// Goes around for ever, until `shutdown`.
pub(crate) async fn run(blobs: Arc<Blobs>, options: BlobOptions, shutdown: Shutdown) {
    let pace = Pace::of(&options);
    let [first] = ids::random_bytes::<1>();
    loop {
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            () = go_around(&blobs, pace, first) => {}
        }
    }
}

/// Looks at every shelf once; takes a period at least.
async fn go_around(blobs: &Blobs, pace: Pace, first: u8) {
    let began = Instant::now();
    let mut round = 0_u64;
    for shelf in 0..=u8::MAX {
        let lengths = list(blobs, shelf).await.into_iter().map(|held| cost(held.bytes));
        round = lengths.fold(round, u64::saturating_add);
    }
    for shelf in 0..=u8::MAX {
        for Held { hash, bytes, .. } in list(blobs, shelf.wrapping_add(first)).await {
            let until = Instant::now() + pace.blob(bytes, round);
            look_at(blobs, hash, pace).await;
            tokio::time::sleep_until(until).await;
        }
    }
    tokio::time::sleep_until(began + pace.period).await;
}

async fn list(blobs: &Blobs, shelf: u8) -> Vec<Held> {
    blobs.store.shelf(shelf).await.unwrap_or_else(|error| {
        tracing::error!(shelf, %error, "blobs could not be looked through");
        Vec::new()
    })
}

async fn look_at(blobs: &Blobs, hash: BlobHash, pace: Pace) {
    let Some((mut file, _)) = blobs.open_here(hash).await else { return };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0_u8; PART];
    let mut total = 0_u64;
    let is_read = loop {
        let since = Instant::now();
        let Ok(count) = file.read(&mut buffer).await else { break false };
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            break true;
        }
        hasher.update(part);
        let bytes = u64::try_from(count).unwrap_or(u64::MAX);
        total = total.saturating_add(bytes);
        tokio::time::sleep_until(since + pace.reading(bytes)).await;
    };
    metrics::counter!(crate::metrics::BLOBS_SCRUBBED).increment(total);
    if !is_read || hasher.finalize().as_bytes() != hash.as_bytes() {
        blobs.set_aside(hash).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

    #[test]
    fn a_store_is_read_in_a_period_or_as_fast_as_is_allowed() {
        let pace = Pace { rate: 4 * MIB, period: WEEK };
        // A thousand blobs of a mebibyte: each has its even part of the week.
        let (bytes, count) = (MIB, 1_000_u32);
        let round = cost(bytes) * u64::from(count);
        let whole = pace.blob(bytes, round) * count;
        assert!(whole <= WEEK && whole > WEEK - Duration::from_secs(1), "{whole:?}");
        // Sixteen tebibytes do not fit into a week at that rate: the rate holds.
        let round = 16 << 40;
        assert_eq!(pace.blob(MIB - EACH, round), Duration::from_millis(250));
        assert_eq!(pace.reading(MIB), Duration::from_millis(250));
    }

    #[test]
    fn pauses_are_bounded_whatever_was_put_since_the_round_was_planned() {
        let pace = Pace { rate: MIB, period: WEEK };
        assert_eq!(pace.blob(4 * MIB, 1), WEEK);
        assert_eq!(pace.blob(0, 0), WEEK);
        assert!(pace.blob(0, u64::MAX) >= pace.reading(EACH));
        let options = BlobOptions {
            scrub_rate: fairground_runtime::config::SizeText::new(0),
            scrub_period: fairground_runtime::config::DurationText::new(
                fairground_types::Millis::ZERO,
            ),
            ..BlobOptions::default()
        };
        let least = Pace::of(&options);
        assert_eq!((least.rate, least.period), (1, PERIOD_MIN));
    }
}
