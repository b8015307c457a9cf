//! Pages that must be there: one per error code, as generated, and the folder of release notes.

use std::path::Path;

use super::Finding;
use crate::error_pages::{self, Page};
use crate::sources::Source;

const NOTES: &str = "docs/src/release-notes/unreleased";

pub(crate) fn check(root: &Path, sources: &[Source]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if !root.join(NOTES).is_dir() {
        findings.push(Finding::new(NOTES, 1, "release-notes", "the folder is not there"));
    }
    match error_pages::pages(root) {
        Ok(pages) => findings.extend(stale(&pages, sources)),
        Err(error) => {
            findings.push(Finding::new(error_pages::TABLE, 1, "error-page", format!("{error:#}")));
        }
    }
    Ok(findings)
}

/// Pages that are missing, differ from what would be generated, or belong to no code.
fn stale(pages: &[Page], sources: &[Source]) -> Vec<Finding> {
    const HOW: &str = "run `cargo xtask error-pages`";
    let mut findings = Vec::new();
    for page in pages {
        let found = sources.iter().find(|source| source.path == page.path);
        let message = match found {
            None => format!("the page is not there; {HOW}"),
            Some(source) if source.text != page.text => format!("the page is not current; {HOW}"),
            Some(_) => continue,
        };
        findings.push(Finding::new(&page.path, 1, "error-page", message));
    }
    let written = sources.iter().filter(|source| source.path.starts_with(error_pages::FOLDER));
    for source in written {
        if !pages.iter().any(|page| page.path == source.path) {
            let message = "belongs to no code of protocol/types/src/code.rs";
            findings.push(Finding::new(&source.path, 1, "error-page", message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn missing_stale_and_orphaned_pages_are_found() {
        let path = |name: &str| format!("{}{name}.md", error_pages::FOLDER);
        let page = |name: &str| Page { path: path(name), text: "new".to_owned() };
        let pages = [page("MISSING"), page("STALE"), page("CURRENT")];
        let sources = [
            source(&path("STALE"), "old"),
            source(&path("CURRENT"), "new"),
            source(&path("ORPHAN"), "new"),
        ];
        let found: Vec<String> =
            stale(&pages, &sources).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, [path("MISSING"), path("STALE"), path("ORPHAN")]);
    }
}
