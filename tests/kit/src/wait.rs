//! Waits that end.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// Between two looks at a condition of somebody else's.
pub const LOOK: Duration = Duration::from_millis(20);

/// Asks until the answer is a value, or the patience ends.
///
/// # Errors
/// When it ends; the last error is told.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    let mut last = None;
    loop {
        match ask().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if Instant::now() > deadline {
            let reason = last.map_or_else(|| "not yet".to_owned(), |error| format!("{error:#}"));
            bail!("{what} did not happen in {patience:?}: {reason}");
        }
        sleep(LOOK).await;
    }
}

/// A wait that ends; for tasks of several threads, which [`until`] is not made for.
#[derive(Debug)]
pub struct Patience {
    what: &'static str,
    deadline: Instant,
}

impl Patience {
    /// Begins to wait for something.
    #[must_use]
    pub fn new(what: &'static str, patience: Duration) -> Self {
        Self { what, deadline: Instant::now() + patience }
    }

    /// Rests until the next look.
    ///
    /// # Errors
    /// When there was time enough.
    pub async fn rest(&self) -> anyhow::Result<()> {
        if Instant::now() > self.deadline {
            bail!("{} did not happen in time", self.what);
        }
        sleep(LOOK).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_is_answered_and_what_does_not_says_why() {
        let mut looks = 0;
        let third = until("the third look", Duration::from_secs(20), async || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(third.await.expect("it came"), 3);
        let never: anyhow::Result<()> =
            until("rain", Duration::ZERO, async || bail!("the sky is blue")).await;
        let why = never.expect_err("it did not come").to_string();
        assert!(why.contains("rain") && why.contains("the sky is blue"), "{why}");
    }
}
