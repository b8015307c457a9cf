//! Every place of the protocol that names a blob, and why the collection of blobs may rely on it.
//!
//! Members remove what `Market::blob_roots` does not reach. A new field with a hash that nobody has
//! looked at would lose the blobs that it names, so it is a finding until it has its line here. It
//! must not know what the collection does. Read next: `protocol/market/src/reach.rs`.

use std::collections::BTreeMap;

use super::Finding;
use crate::sources::Source;

const RULE: &str = "blob-roots";
const HASH: &str = concat!("Blob", "Hash");

/// File, line without its margin, how often, and what makes it safe.
const NAMED: [(&str, &str, usize, &str); 14] = [
    ("protocol/market/src/effect.rs", "pub source: BlobHash,", 1, "root: the outbox"),
    ("protocol/market/src/issue/rows.rs", "pub image: Option<BlobHash>,", 1, "a row, not state"),
    ("protocol/market/src/media.rs", "pub(crate) manifest: Option<BlobHash>,", 1, "root: assets"),
    ("protocol/market/src/media.rs", "pub(crate) source: BlobHash,", 1, "root: assets"),
    ("protocol/market/src/people/profile.rs", "pub(crate) avatar: Option<BlobHash>,", 1, "root"),
    ("protocol/market/src/people/rows.rs", "avatar: Option<BlobHash>,", 2, "rows, not state"),
    ("protocol/market/src/row.rs", "pub manifest: Option<BlobHash>,", 1, "a row, not state"),
    ("protocol/market/src/row.rs", "pub source: BlobHash,", 2, "rows, not state"),
    ("protocol/market/src/view.rs", "pub manifest: BlobHash,", 1, "root: the view"),
    ("protocol/types/src/command/issue.rs", "Image(BlobHash),", 1, "root: evidence of issues"),
    ("protocol/types/src/command/media.rs", "pub manifest: BlobHash,", 2, "becomes an asset's"),
    ("protocol/types/src/command/media.rs", "pub source: BlobHash,", 1, "becomes an asset's"),
    ("protocol/types/src/command/people.rs", "image: Option<BlobHash>,", 1, "becomes an avatar"),
    ("protocol/types/src/event.rs", "manifest: BlobHash,", 1, "becomes the view's"),
];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut known: BTreeMap<(&str, &str), usize> =
        NAMED.iter().map(|(path, text, count, _)| ((*path, *text), *count)).collect();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| is_looked_at(&source.path)) {
        for (line, text) in source.lines() {
            let text = text.trim();
            if !names_a_blob(text) {
                continue;
            }
            match known.get_mut(&(source.path.as_str(), text)) {
                Some(left) if *left > 0 => *left -= 1,
                Some(_) | None => {
                    let message = "names a blob that the collection does not know: see \
                        protocol/market/src/reach.rs, then add it to xtask/src/tidy/blobs.rs";
                    findings.push(Finding::new(&source.path, line, RULE, message));
                }
            }
        }
    }
    for ((path, text), _) in known.into_iter().filter(|(_, left)| *left > 0) {
        let message = format!("`{text}` is in xtask/src/tidy/blobs.rs and no longer here");
        findings.push(Finding::new(path, 1, RULE, message));
    }
    findings
}

/// What the state is made of. Ids are where the type itself is; the roots name themselves.
fn is_looked_at(path: &str) -> bool {
    let is_protocol =
        path.starts_with("protocol/market/src/") || path.starts_with("protocol/types/src/");
    let is_test = path.contains("/tests/") || path.contains("/script");
    let is_known = path.ends_with("/types/src/id.rs") || path.ends_with("/market/src/reach.rs");
    is_protocol && path.ends_with(".rs") && !is_test && !is_known
}

/// Whether a line holds a blob's name in a type: not an import, a function or a comment.
fn names_a_blob(line: &str) -> bool {
    let is_list = !line.contains(['(', '=', '<', '&']) && !line.contains(": ");
    let is_import = line.starts_with("use ") || line.starts_with("pub use ") || is_list;
    line.contains(HASH) && !line.starts_with("//") && !line.contains("fn ") && !is_import
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(market: &str) -> Vec<Source> {
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for (path, text, count, _) in NAMED {
            let lines = format!("    {text}\n").repeat(count);
            texts.entry(path).or_default().push_str(&lines);
        }
        texts.entry("protocol/market/src/order/mod.rs").or_default().push_str(market);
        let source = |(path, text): (&str, String)| Source { path: path.to_owned(), text };
        texts.into_iter().map(source).collect()
    }

    #[test]
    fn a_blob_named_anywhere_new_is_a_finding() {
        assert!(check(&sources("    AssetId, BlobHash, Code,\n")).is_empty());
        for field in ["proof: BlobHash,", "Shown(BlobHash),", "proofs: Vec<BlobHash>,"] {
            let found = check(&sources(&format!("//! Orders.\n    {field}\n")));
            let places: Vec<_> =
                found.iter().map(|found| (found.path.as_str(), found.line)).collect();
            assert_eq!(places, [("protocol/market/src/order/mod.rs", 2)], "{field}");
        }
    }

    #[test]
    fn a_second_field_of_the_same_text_and_a_field_that_went_are_findings() {
        let mut twice = sources("");
        let media = twice.iter_mut().find(|one| one.path.ends_with("market/src/media.rs"));
        media.expect("there").text.push_str("pub(crate) source: BlobHash,\n");
        assert_eq!(check(&twice).len(), 1);
        let gone: Vec<Source> =
            sources("").into_iter().filter(|one| !one.path.ends_with("view.rs")).collect();
        assert_eq!(check(&gone).len(), 1);
    }
}
