//! Lengths: at most 800 lines of a file that are not tests, 100 of a function, 70 under `protocol/`.
//!
//! Counts by layout, not by syntax: rustfmt puts the brace that ends an item in the column where
//! the item began. Clippy counts functions too, but only in code that its configuration builds.

use super::Finding;
use crate::sources::Source;

/// Lines of a file before its tests.
const FILE_MAX: usize = 800;
/// Lines of a function's body, blank lines and comments not counted.
const FUNCTION_MAX: usize = 100;
const PROTOCOL_FUNCTION_MAX: usize = 70;

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    let own = lines.get(..tests_begin(&lines)).unwrap_or(&lines);
    if !is_test_file(&source.path) && own.len() > FILE_MAX {
        let message = format!("{} lines without tests, at most {FILE_MAX}", own.len());
        findings.push(Finding::new(&source.path, own.len(), "file-size", message));
    }
    let most =
        if source.path.starts_with("protocol/") { PROTOCOL_FUNCTION_MAX } else { FUNCTION_MAX };
    for (line, length) in functions(&lines) {
        if length > most {
            let message = format!("a function of {length} lines, at most {most}");
            findings.push(Finding::new(&source.path, line, "function-size", message));
        }
    }
    findings
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests") || path.ends_with("/tests.rs")
}

/// The index of the line where the file's own test module begins; its length when there is none.
fn tests_begin(lines: &[&str]) -> usize {
    let opens_tests = |at: usize| {
        let mut rest = lines.iter().skip(at + 1);
        let item = rest.find(|line| !line.starts_with("#[") && !line.starts_with([' ', ')', ']']));
        item.is_some_and(|line| line.contains("mod ") && line.trim_end().ends_with('{'))
    };
    (0..lines.len())
        .find(|at| lines.get(*at).is_some_and(|line| *line == "#[cfg(test)]") && opens_tests(*at))
        .unwrap_or(lines.len())
}

/// Where each function begins, counted from 1, and how many lines of code its body has.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if !begins_function(text) || excused(lines, at) {
            continue;
        }
        let indent = line.len() - text.len();
        let ends =
            |line: &&str| line.len() == indent + 1 && line.ends_with('}') && line.trim() == "}";
        let body = lines.iter().skip(at);
        // One-liners and declarations end on their own line or with a semicolon.
        let Some(opening) =
            body.clone().position(|line| line.trim_end().ends_with(['{', '}', ';']))
        else {
            continue;
        };
        if !lines.get(at + opening).is_some_and(|line| line.trim_end().ends_with('{')) {
            continue;
        }
        let Some(closing) = body.clone().position(ends) else { continue };
        let inside = body.skip(opening + 1).take(closing.saturating_sub(opening + 1));
        let length = inside.filter(|line| counts(line)).count();
        found.push((at + 1, length));
    }
    found
}

fn counts(line: &str) -> bool {
    let text = line.trim_start();
    !text.is_empty() && !text.starts_with("//")
}

fn begins_function(text: &str) -> bool {
    let mut words = text.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || ["async", "const", "unsafe", "in", "default"].contains(word)
    });
    words.next() == Some("fn")
}

/// A function that says why it is long, in the attributes above it.
fn excused(lines: &[&str], at: usize) -> bool {
    let above = lines.get(..at).unwrap_or_default().iter().rev();
    let attributes = above.take_while(|line| {
        let text = line.trim();
        text.starts_with(['#', '/', ')', ']'])
            || text.starts_with("clippy::")
            || text.starts_with("reason")
    });
    attributes.into_iter().any(|line| line.contains("clippy::too_many_lines"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: String) -> Source {
        Source { path: path.to_owned(), text }
    }

    fn rules(source: &Source) -> Vec<&'static str> {
        check(source).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_file_of_801_lines_is_found_and_its_tests_are_not_counted() {
        let long = "//! x\n".repeat(801);
        assert_eq!(rules(&source("node/src/a.rs", long.clone())), ["file-size"]);
        assert!(rules(&source("node/tests/a.rs", long.clone())).is_empty());
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "//! x\n".repeat(800));
        assert!(rules(&source("node/src/a.rs", tested)).is_empty());
    }

    #[test]
    fn a_test_only_import_does_not_hide_the_rest_of_the_file() {
        let text = format!("#[cfg(test)]\nuse a::b;\n{}", "//! x\n".repeat(801));
        assert_eq!(rules(&source("node/src/a.rs", text)), ["file-size"]);
    }

    #[test]
    fn a_long_function_is_found_where_it_begins() {
        let body = "    let x = 1;\n".repeat(101);
        let found =
            check(&source("node/src/a.rs", format!("//! x\npub async fn f() {{\n{body}}}\n")));
        assert_eq!(found.first().map(|finding| finding.line), Some(2));
        assert_eq!(found.first().map(|finding| finding.rule), Some("function-size"));
    }

    #[test]
    fn protocol_functions_end_at_70_lines_and_comments_are_free() {
        let body = format!("{}{}", "    f();\n".repeat(70), "    // why\n\n".repeat(50));
        let text = format!("//! x\nfn f(\n    a: u8,\n) -> u8 {{\n{body}}}\n");
        assert!(rules(&source("protocol/wire/src/a.rs", text)).is_empty());
        let longer = format!("//! x\nfn f() {{\n{}}}\n", "    f();\n".repeat(71));
        assert_eq!(rules(&source("protocol/wire/src/a.rs", longer)), ["function-size"]);
    }

    #[test]
    fn a_function_that_says_why_is_left_alone() {
        let body = "    f();\n".repeat(120);
        let text = format!(
            "//! x\n#[expect(clippy::too_many_lines, reason = \"one match\")]\nfn f() {{\n{body}}}\n"
        );
        assert!(rules(&source("node/src/a.rs", text)).is_empty());
    }
}
