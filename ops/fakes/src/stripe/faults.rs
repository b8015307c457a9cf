//! How the stand-in misbehaves when it is told to. Read next: `api.rs`, which does it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const DELAY_MAX_MS: u64 = 60_000;

/// Misbehaviour that is switched on; all off at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// Each webhook is delivered twice.
    pub deliver_twice: bool,
    /// A session is paid, and its webhooks delivered, before the call that creates it is answered.
    pub early: bool,
    /// So many more calls that change something are carried out and then get no answer.
    pub drop_answers: u32,
    /// The status that calls are answered with in place of being carried out, such as 500 or 429.
    pub answer_status: u16,
    /// So many more calls get `answer_status`.
    pub answer_status_times: u32,
    /// `Retry-After` of those answers, in seconds; 0 sends none.
    pub retry_after_seconds: u32,
    /// How long each answer waits, in milliseconds; at most 60,000.
    pub delay_ms: u64,
    /// Webhooks wait until this is off again.
    pub hold_webhooks: bool,
}

impl Faults {
    pub(crate) fn bounded(mut self) -> Self {
        self.delay_ms = self.delay_ms.min(DELAY_MAX_MS);
        if !(400..=599).contains(&self.answer_status) {
            self.answer_status_times = 0;
        }
        self
    }

    pub(crate) const fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// Uses up one answer in place of a call.
    pub(crate) const fn take_status(&mut self) -> Option<u16> {
        if self.answer_status_times == 0 {
            return None;
        }
        self.answer_status_times -= 1;
        Some(self.answer_status)
    }

    /// Uses up one dropped answer.
    pub(crate) const fn take_drop(&mut self) -> bool {
        let dropped = self.drop_answers > 0;
        self.drop_answers = self.drop_answers.saturating_sub(1);
        dropped
    }
}
