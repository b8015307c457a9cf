//! The one place that reads the system's clock.
//!
//! Read next: [`crate::stripe`], which may run ahead of it.

use std::time::{SystemTime, UNIX_EPOCH};

use fairground_types::Timestamp;

/// Now, by the system's clock.
#[expect(clippy::disallowed_methods, reason = "the fakes may not depend on the runtime's clock")]
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
