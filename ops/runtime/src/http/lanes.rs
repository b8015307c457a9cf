//! Lanes: threads that connections are spread over, each with a scheduler of its own.
//!
//! ```text
//!  accept ─► lane 1: one thread, one queue, first in, first out
//!         ─► lane 2: ...
//! ```
//! A runtime of several workers runs the task that woke last first, and its workers take tasks from each
//! other: requests that came within a millisecond are handled in any order but theirs. For bids that order
//! decides who leads. A lane handles its requests in the order in which they became readable; requests of
//! two lanes are handled at the same time, as on two workers. It must not know what a request is. Read next:
//! ADR 0005.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads that serve connections; they end with this.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    next: AtomicUsize,
}

struct Lane {
    handle: Handle,
    /// Dropped when the lane is to end.
    _open: oneshot::Sender<()>,
}

impl Lanes {
    /// Starts so many threads.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let lanes = (0..count).map(Lane::start).collect::<io::Result<_>>()?;
        Ok(Self { lanes, next: AtomicUsize::new(0) })
    }

    /// Where the next connection belongs: each lane in turn, or the caller's runtime without lanes.
    pub(super) fn next(&self) -> Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = turn.checked_rem(self.lanes.len()).and_then(|place| self.lanes.get(place));
        lane.map_or_else(Handle::current, |lane| lane.handle.clone())
    }
}

impl Lane {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (open, closed) = oneshot::channel::<()>();
        std::thread::Builder::new().name(format!("http-lane-{number}")).spawn(move || {
            // An error is the drop of the sender, which is what is waited for.
            let _ = runtime.block_on(closed);
            // A request that blocks a thread must not hold up the end of the process.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _open: open })
    }
}
