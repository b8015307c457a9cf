//! What linting found: findings, and for every rule how often it was applied or why it was not.
//!
//! Nothing passes silently: a rule without an application is listed as skipped. Read next: `rules`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::rules::{Level, RULES, Rule};

/// Most findings that are kept; more are only counted.
const FINDINGS_MAX: usize = 1000;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which rule.
    pub rule: Rule,
    /// The file, and the line or box in it.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// A rule that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Which rule.
    pub rule: Rule,
    /// How many times it was asked.
    pub times: u64,
}

/// A rule that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Which rule.
    pub rule: Rule,
    /// Why not.
    pub reason: String,
}

/// Everything that linting found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    files: u64,
    errors: u64,
    warnings: u64,
    findings: Vec<Finding>,
    times: BTreeMap<Rule, u64>,
    reasons: BTreeMap<Rule, String>,
}

/// The report as it is written to programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    files: u64,
    errors: u64,
    warnings: u64,
    findings: &'a [Finding],
    checked: Vec<Checked>,
    skipped: Vec<Skipped>,
}

impl Report {
    /// Applies a rule once; when it does not hold, keeps a finding.
    pub(crate) fn check(
        &mut self,
        rule: Rule,
        holds: bool,
        place: &str,
        message: impl FnOnce() -> String,
    ) {
        *self.times.entry(rule).or_default() += 1;
        if holds {
            return;
        }
        match rule.level() {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
        }
        if self.findings.len() < FINDINGS_MAX {
            let place = place.to_owned();
            self.findings.push(Finding { level: rule.level(), rule, place, message: message() });
        }
    }

    /// Applies a rule that does not hold.
    pub(crate) fn fault(&mut self, rule: Rule, place: &str, message: impl Into<String>) {
        self.check(rule, false, place, || message.into());
    }

    /// Says why a rule is not applied; the last reason counts, and only if it never is.
    pub(crate) fn skip(&mut self, rule: Rule, reason: impl Into<String>) {
        self.reasons.insert(rule, reason.into());
    }

    pub(crate) const fn count_file(&mut self) {
        self.files += 1;
    }

    /// What is wrong, in the order in which it was found; at most a thousand.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings must not be published.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.errors
    }

    /// How many findings should be looked at.
    #[must_use]
    pub const fn warnings(&self) -> u64 {
        self.warnings
    }

    /// How many files were read.
    #[must_use]
    pub const fn files(&self) -> u64 {
        self.files
    }

    /// The rules that were applied.
    #[must_use]
    pub fn checked(&self) -> Vec<Checked> {
        self.times.iter().map(|(rule, times)| Checked { rule: *rule, times: *times }).collect()
    }

    /// The rules that were not, with the reason.
    #[must_use]
    pub fn skipped(&self) -> Vec<Skipped> {
        let unasked = RULES.iter().filter(|rule| !self.times.contains_key(rule));
        unasked
            .map(|rule| {
                let reason =
                    self.reasons.get(rule).map_or_else(|| rule.when_absent(), String::as_str);
                Skipped { rule: *rule, reason: reason.to_owned() }
            })
            .collect()
    }

    /// The report as one JSON value.
    ///
    /// # Errors
    /// Those of the JSON writer, which this value does not cause.
    pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(Document {
            files: self.files,
            errors: self.errors,
            warnings: self.warnings,
            findings: &self.findings,
            checked: self.checked(),
            skipped: self.skipped(),
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.level, self.rule, self.place, self.message)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let kept = u64::try_from(self.findings.len()).unwrap_or(u64::MAX);
        let more = (self.errors + self.warnings).saturating_sub(kept);
        if more > 0 {
            writeln!(f, "and {more} more")?;
        }
        let skipped = self.skipped();
        for Skipped { rule, reason } in &skipped {
            writeln!(f, "skipped {rule}: {reason}")?;
        }
        let count = |number: u64, one: &str| {
            if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
        };
        write!(
            f,
            "lint: {}, {}, {}, {} skipped",
            count(self.files, "file"),
            count(self.errors, "error"),
            count(self.warnings, "warning"),
            count(u64::try_from(skipped.len()).unwrap_or(u64::MAX), "rule"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_checked_or_skipped_with_a_reason_and_never_both() {
        let mut report = Report::default();
        report.check(Rule::S2, true, "c360/0.m4s", String::new);
        report.check(Rule::S2, false, "c360/1.m4s", || "starts late".to_owned());
        report.fault(Rule::M19, "master.m3u8:5", "too slow");
        report.skip(Rule::S10, "ffmpeg is absent");
        report.skip(Rule::S2, "never shown, for it was applied");
        assert_eq!((report.errors(), report.warnings()), (1, 1));
        assert_eq!(report.checked().len() + report.skipped().len(), RULES.len());
        let text = report.to_string();
        assert!(text.starts_with("error S2 c360/1.m4s: starts late\n"), "{text}");
        assert!(text.contains("\nskipped S10: ffmpeg is absent\n"), "{text}");
        assert!(text.contains("\nskipped M15: no EXT-X-CONTENT-STEERING\n"), "{text}");
        assert!(text.contains("lint: 0 files, 1 error, 1 warning, "), "{text}");
        let json = report.to_json().unwrap();
        assert_eq!(json["findings"][0]["rule"], "S2");
        assert_eq!(json["findings"][1]["level"], "warning");
    }

    #[test]
    fn findings_are_bounded_and_counted() {
        let mut report = Report::default();
        for _ in 0..=FINDINGS_MAX {
            report.fault(Rule::F1, "x", "absent");
        }
        assert_eq!(report.findings().len(), FINDINGS_MAX);
        assert!(report.to_string().contains("\nand 1 more\n"));
    }
}
