//! An edge that is drained: it says that it leaves, serves until its viewers have gone, and ends.
//!
//! ```text
//!   begin -> serves_video = false -> beats -> directory of every edge -> steering manifests, pages
//!   over when two steering periods have passed and no media was asked for; at the latest after a bound
//! ```
//! Bids are taken to the end; the stop that follows drains the journal. It must not know who asks for
//! it. Read next: `control.rs`, `delivery/steering.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fairground_runtime::shutdown::Shutdown;
use fairground_types::Millis;

use crate::edge::Edge;

/// Every player has asked once where to go, and has had as long again to act on it.
const LEAST: Millis = Millis::from_secs(60);
/// Silence after which nobody plays from here: longer than players hold of a clip at a time.
const QUIET: Millis = Millis::from_secs(20);
/// Who has not gone by now does not know steering, and is not waited for.
const MOST: Millis = Millis::from_mins(10);
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Whether this edge leaves, and since when.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// Monotonic milliseconds; 0 while it stays.
    since: AtomicU64,
    last_media: AtomicU64,
}

impl Leaving {
    /// Leaves from now on; a second call changes nothing.
    pub(crate) fn begin(&self, now: Millis) {
        let now = now.as_millis().max(1);
        let _ = self.since.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Stays after all.
    pub(crate) fn cancel(&self) {
        self.since.store(0, Ordering::Release);
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.since.load(Ordering::Acquire) != 0
    }

    /// Media were asked for.
    pub(crate) fn note_media(&self, now: Millis) {
        self.last_media.store(now.as_millis(), Ordering::Relaxed);
    }

    /// How long ago media were asked for; very long when never.
    pub(crate) fn quiet_for(&self, now: Millis) -> Millis {
        Millis::new(now.as_millis().saturating_sub(self.last_media.load(Ordering::Relaxed)))
    }

    /// Whether its viewers have gone, or have been waited for long enough.
    pub(crate) fn is_over(&self, now: Millis) -> bool {
        let since = self.since.load(Ordering::Acquire);
        let gone = now.as_millis().saturating_sub(since);
        let is_quiet = self.quiet_for(now) >= QUIET;
        since != 0 && (gone >= MOST.as_millis() || (gone >= LEAST.as_millis() && is_quiet))
    }
}

/// Stops the edge through `shutdown` once it has left.
pub(crate) async fn watch(edge: Arc<Edge>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
        if edge.leaving.is_over(edge.time.monotonic()) {
            tracing::info!("the viewers have gone");
            shutdown.trigger();
            // The stop begins with the journal, and only then with us.
            edge.shutdown.wait().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Millis {
        Millis::from_secs(1_000 + seconds)
    }

    #[test]
    fn it_leaves_when_it_is_quiet_and_never_before_players_have_asked() {
        let leaving = Leaving::default();
        assert!(!leaving.is_over(at(100_000)), "nobody asked it to");
        leaving.begin(at(0));
        assert!(leaving.is_begun() && !leaving.is_over(at(59)));
        assert!(leaving.is_over(at(60)));
        leaving.note_media(at(58));
        assert!(!leaving.is_over(at(77)));
        assert!(leaving.is_over(at(78)));
    }

    #[test]
    fn it_does_not_wait_for_ever() {
        let leaving = Leaving::default();
        leaving.begin(at(0));
        leaving.note_media(at(599));
        assert!(!leaving.is_over(at(599)));
        leaving.note_media(at(600));
        assert!(leaving.is_over(at(600)));
    }

    #[test]
    fn second_request_does_not_begin_anew_and_one_that_stays_stays() {
        let leaving = Leaving::default();
        leaving.begin(at(0));
        leaving.begin(at(50));
        assert!(leaving.is_over(at(60)));
        leaving.cancel();
        assert!(!leaving.is_begun() && !leaving.is_over(at(100_000)));
    }
}
