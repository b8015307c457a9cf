//! What the scenario says: one JSON object, steps in order, figures measured in the same run.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

/// The names of all steps, in the order in which they run.
pub(crate) const STEPS: [&str; 12] = [
    "cluster_up",
    "upload",
    "playable_h264",
    "playable_av1",
    "listed",
    "auction_open",
    "bids_two_edges",
    "leader_killed",
    "auction_closed",
    "paid",
    "order_completed",
    "invariants",
];

/// One step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    name: &'static str,
    ok: bool,
    ms: u64,
    detail: String,
}

/// The object on standard output.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    ok: bool,
    steps: Vec<Step>,
    figures: BTreeMap<&'static str, Value>,
}

impl Report {
    /// Runs a step and writes down how it went; the error is handed on so that the caller stops.
    pub(crate) async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<(T, String)>>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        let result = work.await;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (ok, detail, value) = match result {
            Ok((value, detail)) => (true, detail, Ok(value)),
            Err(error) => (false, format!("{error:#}"), Err(error)),
        };
        self.steps.push(Step { name, ok, ms, detail });
        value
    }

    pub(crate) fn figure(&mut self, name: &'static str, value: impl Into<Value>) {
        self.figures.insert(name, value.into());
    }

    /// Fills in the steps that were never reached and decides the whole. What went wrong between two
    /// steps is told with the first that was not reached.
    pub(crate) fn finish(mut self, error: Option<anyhow::Error>) -> Self {
        let mut between = error.filter(|_| self.steps.iter().all(|step| step.ok));
        for name in STEPS {
            if !self.steps.iter().any(|step| step.name == name) {
                let reason = between.take().map(|error| format!("before it: {error:#}"));
                let detail = reason.unwrap_or_else(|| "not reached".to_owned());
                self.steps.push(Step { name, ok: false, ms: 0, detail });
            }
        }
        self.ok = self.steps.iter().all(|step| step.ok);
        self
    }

    /// One line per step and per figure, for people.
    pub(crate) fn steps(&self) -> impl Iterator<Item = String> {
        let steps = self.steps.iter().map(|step| {
            let mark = if step.ok { "ok    " } else { "FAILED" };
            format!("{mark} {:15} {:>7} ms  {}", step.name, step.ms, step.detail)
        });
        steps.chain(self.figures.iter().map(|(name, value)| format!("{name} = {value}")))
    }

    /// The step that went wrong first.
    pub(crate) fn first_failure(&self) -> Option<(&'static str, &str)> {
        self.steps.iter().find(|step| !step.ok).map(|step| (step.name, step.detail.as_str()))
    }
}

/// The value below which `percent` of the sorted samples lie.
pub(crate) fn percentile(samples: &mut [u64], percent: usize) -> Option<u64> {
    samples.sort_unstable();
    let rank = (samples.len() * percent).div_ceil(100).max(1);
    samples.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut samples: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut samples, 50), Some(50));
        assert_eq!(percentile(&mut samples, 99), Some(99));
        assert_eq!(percentile(&mut [], 50), None);
    }

    #[test]
    fn a_report_without_every_step_is_not_ok() {
        let report = Report::default().finish(None);
        assert!(!report.ok);
        assert_eq!(report.first_failure().map(|(name, _)| name), Some("cluster_up"));
    }
}
