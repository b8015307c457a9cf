//! The house rules that no lint knows, each a function from sources to findings.
//!
//! A finding reads `path:line: rule: message`. Read next: [`table`] for who may depend on whom,
//! [`text`] for what a file must and must not hold, [`size`] for lengths, [`pages`] for the docs,
//! [`blobs`] for what the collection of blobs has to know.

mod blobs;
mod pages;
mod size;
mod table;
mod text;

use std::fmt::{self, Write as _};
use std::path::Path;

use crate::sources::{self, Source};

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.message)
    }
}

/// Prints every finding; true when there is none.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let sources = sources::read(root)?;
    let mut findings = table::check(&table::metadata(root)?, root);
    findings.extend(check_sources(&sources));
    findings.extend(pages::check(root, &sources)?);
    findings.sort();

    let mut report = String::new();
    for finding in &findings {
        writeln!(report, "{finding}")?;
    }
    if findings.is_empty() {
        writeln!(report, "tidy: {} files, nothing found", sources.len())?;
    } else {
        writeln!(report, "tidy: {} files, {} findings", sources.len(), findings.len())?;
    }
    crate::say(&report)?;
    Ok(findings.is_empty())
}

fn check_sources(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        findings.extend(text::check(source));
        findings.extend(size::check(source));
    }
    findings.extend(blobs::check(sources));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_path_line_rule_message() {
        let finding = Finding::new("node/src/lib.rs", 7, "bound", "queue without a bound");
        assert_eq!(finding.to_string(), "node/src/lib.rs:7: bound: queue without a bound");
    }
}
