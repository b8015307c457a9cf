//! What a file must hold and must not: module heads, bounds, marks of unfinished work, home paths.

use super::Finding;
use crate::sources::Source;

/// What `protocol/` denies on top of the workspace; a manifest that inherits lints cannot add any.
const PROTOCOL_DENIES: [&str; 4] = [
    "clippy::arithmetic_side_effects",
    "clippy::indexing_slicing",
    "clippy::as_conversions",
    "clippy::wildcard_enum_match_arm",
];

/// Queues without a bound. Written in two halves, so that this file is not a finding.
const UNBOUNDED: [&str; 5] = [
    concat!("unbounded_", "channel"),
    concat!("Unbounded", "Sender"),
    concat!("Unbounded", "Receiver"),
    concat!("mpsc::", "unbounded("),
    concat!("std::sync::mpsc::", "channel("),
];

const UNFINISHED: [&str; 2] = [concat!("todo", "!("), concat!("unimplemented", "!(")];
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const CODE: [&str; 10] = ["rs", "toml", "sh", "js", "mjs", "css", "html", "yml", "service", "conf"];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.is_rust() {
        findings.extend(head(source));
        findings.extend(bounds(source));
        findings.extend(denies(source));
    }
    if CODE.contains(&source.extension()) {
        findings.extend(marks(source));
    }
    findings.extend(homes(source));
    findings
}

fn head(source: &Source) -> Option<Finding> {
    let opens = source.text.starts_with("//! ");
    (!opens).then(|| Finding::new(&source.path, 1, "module-head", "must begin with `//!`"))
}

fn bounds(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in source.lines() {
        let code = without_comment(text);
        for word in UNBOUNDED.iter().filter(|word| code.contains(**word)) {
            let message = format!("`{word}` has no bound");
            findings.push(Finding::new(&source.path, line, "bounded", message));
        }
        for word in UNFINISHED.iter().filter(|word| code.contains(**word)) {
            let message = format!("`{word}..)` is not done");
            findings.push(Finding::new(&source.path, line, "unfinished", message));
        }
    }
    findings
}

fn denies(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("protocol/") || !source.path.ends_with("/src/lib.rs") {
        return Vec::new();
    }
    let list = source.text.split_once("#![deny(").and_then(|(_, rest)| rest.split_once(")]"));
    let list = list.map_or("", |(list, _)| list);
    let missing = PROTOCOL_DENIES.iter().filter(|lint| !list.contains(**lint));
    missing
        .map(|lint| {
            let message = format!("must deny {lint} in `#![deny(..)]`");
            Finding::new(&source.path, 1, "protocol-denies", message)
        })
        .collect()
}

/// A mark of unfinished work names the issue that ends it: a word and `#` with a number.
fn marks(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in source.lines() {
        let Some(mark) = MARKS.iter().find(|mark| has_word(text, mark)) else { continue };
        let numbered =
            text.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !numbered {
            let message = format!("{mark} without the number of its issue");
            findings.push(Finding::new(&source.path, line, "mark", message));
        }
    }
    findings
}

/// An absolute path into somebody's home means nothing on another machine.
fn homes(source: &Source) -> Vec<Finding> {
    let homes = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Use", "rs/")];
    let found = source.lines().filter(|(_, text)| {
        homes.iter().any(|home| text.split(home).count() > 1 && begins_path(text, home))
    });
    found
        .map(|(line, _)| {
            Finding::new(&source.path, line, "home-path", "names somebody's home folder")
        })
        .collect()
}

/// Whether `home` stands where an absolute path begins, not inside a longer one such as a URL's.
fn begins_path(text: &str, home: &str) -> bool {
    text.match_indices(home).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-$~})".contains(c))
    })
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

fn without_comment(text: &str) -> &str {
    // A `//` inside a string is a URL at worst; what follows it is then not checked.
    text.split_once("//").map_or(text, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&source).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_module_without_a_head_is_found() {
        assert_eq!(rules("node/src/a.rs", "use std::fmt;\n"), ["module-head"]);
        assert!(rules("node/src/a.rs", "//! What it is for.\n").is_empty());
        assert!(rules("node/a.toml", "x = 1\n").is_empty());
    }

    #[test]
    fn a_queue_without_a_bound_is_found_in_code_but_not_in_a_comment() {
        let call = concat!("tokio::sync::mpsc::unbounded_", "channel()");
        assert_eq!(rules("a/src/a.rs", &format!("//! A.\nlet (a, b) = {call};\n")), ["bounded"]);
        assert!(rules("a/src/a.rs", &format!("//! A.\n// never {call}\n")).is_empty());
    }

    #[test]
    fn unfinished_code_is_found() {
        let text = concat!("//! A.\nfn f() { todo", "!() }\n");
        assert_eq!(rules("a/src/a.rs", text), ["unfinished"]);
    }

    #[test]
    fn a_mark_needs_the_number_of_its_issue() {
        let mark = concat!("TO", "DO");
        assert_eq!(rules("a/src/a.rs", &format!("//! A.\n// {mark}: later\n")), ["mark"]);
        assert!(rules("a/src/a.rs", &format!("//! A.\n// {mark} #12: later\n")).is_empty());
        assert!(rules("a/src/a.rs", &format!("//! A.\n// {mark}S_MAX\n")).is_empty());
    }

    #[test]
    fn protocol_crates_deny_what_the_workspace_cannot() {
        let some = "//! A.\n#![deny(clippy::indexing_slicing, clippy::as_conversions)]\n";
        assert_eq!(rules("protocol/wire/src/lib.rs", some), ["protocol-denies", "protocol-denies"]);
        let all = format!("//! A.\n#![deny(\n{}\n)]\n", PROTOCOL_DENIES.join(",\n"));
        assert!(rules("protocol/wire/src/lib.rs", &all).is_empty());
        assert!(rules("node/src/lib.rs", some).is_empty());
    }

    #[test]
    fn a_path_into_a_home_folder_is_found_and_a_url_is_not() {
        let home = concat!("see /ro", "ot/notes\n");
        assert_eq!(rules("README.md", home), ["home-path"]);
        assert!(rules("README.md", concat!("https://a.example/ho", "me/b\n")).is_empty());
    }
}
