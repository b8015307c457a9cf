//! Where daemons touch wires, chance, clocks, threads and wake-ups, so that a simulator can put its
//! own in their place.
//!
//! ```text
//!  daemons, storage --> link      QUIC connections and streams      or wires in memory
//!                       watch     tokio's watch                     or one that wakes in order
//!                       blocking  tokio's blocking threads          or here and now
//!                       chance    the system's generator            or a seeded sequence
//!                       clock     the machine's clocks              or a clock per process
//! ```
//! Without the feature `sim` this crate is names for what tokio and quinn offer, and nothing else.
//! With it the second column is compiled in and used on threads that have called [`sim::enter`],
//! nowhere else: the same binary runs as ever on all others. It must not know a message, a rule or a
//! daemon. Read next: `link/memory.rs`; `tests/sim` for who enters.

#[cfg(feature = "link")]
pub mod link;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "sim")]
pub mod watch;
#[cfg(not(feature = "sim"))]
pub use tokio::sync::watch;

use tokio::task::JoinError;

/// Runs work that blocks its thread where that disturbs nobody.
///
/// # Errors
/// When the work panicked, or the runtime stops.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(feature = "sim")]
    if sim::is_simulated() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}

/// Fills `bytes` from a simulator's sequence; false when the system's generator must.
#[must_use]
pub fn fill(bytes: &mut [u8]) -> bool {
    #[cfg(feature = "sim")]
    if let Some(number) = sim::fill(bytes) {
        return number;
    }
    let _ = bytes;
    false
}
