//! The table of the market's rules: every section has its rows, every row its code and its test.
//!
//! `docs/src/reference/domain-coverage.md` holds it: section, rule, file, test. A test is named as
//! its runner names it: `package test::path` for Rust, a path for other files. With the logs of a
//! run, a named test must also have passed in it. And no refusal of the market is without a line of
//! a script table that shows it. Read next: `xtask/scripts/gate.sh`, which gives the logs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::sources::{self, Source};

const TABLE: &str = "docs/src/reference/domain-coverage.md";
const CODES: &str = "protocol/types/src/code.rs";
const RULES: &str = "protocol/market/src/";
const SCRIPTS: &str = "protocol/market/src/tests/";

/// Sections of the domain that must have a row.
const SECTIONS: &[&str] = &[
    "1.2", "1.3", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9", "3.10",
    "3.11", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", "5.1", "5.2", "5.3", "6.1",
    "6.2", "6.3", "9", "10.1", "10.2", "10.3", "10.4", "10.5", "10.6", "10.7", "10.8", "10.9",
    "10.10", "10.11", "10.12", "10.13", "10.14", "10.15", "10.16",
];

/// Groups of acceptance criteria (section 7), each with how many it has.
const CRITERIA: &[(&str, &[&str])] = &[
    ("AUTH", &["2", "4", "5", "7", "S1", "S2", "S3"]),
    ("CAP", &["1"]),
    ("PROF", &["1"]),
    ("FEED", &["1", "P1", "P5"]),
    ("STORY", &["1"]),
    ("SHARE", &["1"]),
    ("PUB", &["1"]),
    ("VER", &["1"]),
    (
        "OA",
        &["STATE-1", "STATE-2", "STATE-3", "STATE-4", "CONTROL-3", "CONTROL-4", "CONC-1", "IDEM-1"],
    ),
    ("TIME", &["1", "2", "3", "4", "5", "6"]),
    ("MAKER", &["1"]),
    ("MKD", &["1"]),
    ("PAY", &["1", "W1", "R1"]),
    ("CHK", &["6"]),
    ("LEDGER", &["1"]),
    ("SHIP", &["1"]),
    ("ORD", &["B-3", "M-1"]),
    ("ISS", &["1"]),
    ("NOTIF", &["1"]),
    ("MED", &["1"]),
    ("ADM", &["1"]),
    ("AUD", &["1"]),
];

/// Codes that no rule answers but by a fault of its own.
const WITHOUT_SCRIPT: [&str; 1] = ["INTERNAL"];

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    section: String,
    file: String,
    test: String,
}

/// Checks the table against the tree, and against the logs of a run when they are given. Prints
/// what is wrong; true when nothing is.
pub(crate) fn run(root: &Path, logs: &[&str]) -> anyhow::Result<bool> {
    let sources = sources::read(root)?;
    let table = sources.iter().find(|source| source.path == TABLE);
    let table = table.with_context(|| format!("{TABLE} is not there"))?;
    let rows = rows(table);
    let mut wrong = missing_sections(&rows);
    for row in &rows {
        wrong.extend(check_row(row, &sources, root));
    }
    wrong.extend(without_script(&sources));
    if !logs.is_empty() {
        let ran = ran(logs)?;
        let absent = rows.iter().filter(|row| row.test.contains("::") && !ran.contains(&row.test));
        wrong
            .extend(absent.map(|row| at(row, &format!("`{}` did not pass in this run", row.test))));
    }
    let mut report = String::new();
    for line in &wrong {
        writeln!(report, "{line}")?;
    }
    writeln!(report, "coverage: {} rules, {} findings", rows.len(), wrong.len())?;
    crate::say(&report)?;
    Ok(wrong.is_empty())
}

fn at(row: &Row, message: &str) -> String {
    format!("{TABLE}:{}: {message}", row.line)
}

/// Rows have four cells; the last two in backquotes.
fn rows(table: &Source) -> Vec<Row> {
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let read = |(line, text): (usize, &str)| {
        let cells: Vec<&str> =
            text.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
        let [section, _, file, test] = cells.as_slice() else { return None };
        let is_body = file.trim().starts_with('`');
        is_body.then(|| Row { line, section: cell(section), file: cell(file), test: cell(test) })
    };
    table.lines().filter_map(read).collect()
}

fn missing_sections(rows: &[Row]) -> Vec<String> {
    // A section may be followed by words: `2 Flag`.
    let named: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| row.section.split(", "))
        .filter_map(|part| part.split(' ').next())
        .collect();
    let criteria = CRITERIA
        .iter()
        .flat_map(|(group, numbers)| numbers.iter().map(move |number| format!("{group}-{number}")));
    let wanted = SECTIONS.iter().map(|section| (*section).to_owned()).chain(criteria);
    wanted
        .filter(|section| !named.contains(section.as_str()))
        .map(|section| format!("{TABLE}: section {section} has no row"))
        .collect()
}

fn check_row(row: &Row, sources: &[Source], root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    if !root.join(&row.file).exists() {
        wrong.push(at(row, &format!("`{}` is not there", row.file)));
    }
    let exists = match row.test.rsplit_once(['/', ':', ' ']) {
        Some((path, name)) if !row.test.contains('.') => has_function(path, name, sources),
        _ => root.join(&row.test).exists(),
    };
    if !exists {
        wrong.push(at(row, &format!("the test `{}` is not there", row.test)));
    }
    wrong
}

/// Whether a function is in the file of the module that `path` names: `package a::b`, or `a::tests`
/// of a module at the end of `a.rs`.
fn has_function(path: &str, name: &str, sources: &[Source]) -> bool {
    let head = format!("fn {name}(");
    let modules = path.rsplit_once(' ').map_or("", |(_, modules)| modules.trim_end_matches(':'));
    let outer = modules.strip_suffix("::tests").unwrap_or(modules);
    let file = outer.rsplit("::").next().unwrap_or_default();
    let is_home = |source: &Source| {
        let place = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let place = place.strip_suffix("/tests").unwrap_or(place);
        modules.is_empty() || place.ends_with(&format!("/{file}"))
    };
    let mut rust = sources.iter().filter(|source| source.is_rust());
    rust.any(|source| source.text.contains(&head) && is_home(source))
}

/// Tests that passed, as nextest prints them: `PASS [time] (n/m) package test::path`. `LEAK` is a
/// pass whose process left a handle open for a moment, which a busy machine alone can cause.
fn ran(logs: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut ran = BTreeSet::new();
    for log in logs {
        let text = std::fs::read_to_string(log).with_context(|| format!("read {log}"))?;
        for line in text.lines() {
            let line = line.trim_start();
            let rest = line.strip_prefix("PASS [").or_else(|| line.strip_prefix("LEAK ["));
            let Some(rest) = rest else { continue };
            let name = rest.rsplit(") ").next().unwrap_or_default();
            let name = name.split_once("] ").map_or(name, |(_, name)| name);
            ran.insert(name.trim().to_owned());
        }
    }
    Ok(ran)
}

/// Codes that the rules answer and no table shows.
fn without_script(sources: &[Source]) -> Vec<String> {
    let Some(codes) = sources.iter().find(|source| source.path == CODES) else {
        return vec![format!("{CODES} is not there")];
    };
    let is_rule = |source: &&Source| {
        let is_test = source.path.starts_with(SCRIPTS) || source.path.contains("/script");
        source.path.starts_with(RULES) && source.is_rust() && !is_test
    };
    let rules: Vec<&Source> = sources.iter().filter(is_rule).collect();
    let tables: Vec<&Source> =
        sources.iter().filter(|source| source.path.starts_with(SCRIPTS)).collect();
    let mut wrong = Vec::new();
    for (name, text) in codes.lines().filter_map(|(_, line)| code(line)) {
        let used = format!("Code::{name}");
        let is_answered = rules.iter().any(|source| names(&source.text, &used));
        let shown = format!("-> {text}");
        // A table of lines, or a case of Rust's own.
        let quoted = format!("\"{text}\"");
        let shows = [shown, used, quoted];
        let is_shown =
            tables.iter().any(|source| shows.iter().any(|shown| names(&source.text, shown)));
        if is_answered && !is_shown && !WITHOUT_SCRIPT.contains(&text) {
            wrong.push(format!("{SCRIPTS}: no table shows {text}, which the rules answer"));
        }
    }
    wrong
}

/// Whether a text holds a word that does not go on.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(place, _)| {
        let next = text.get(place + word.len()..).and_then(|rest| rest.chars().next());
        !next.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    })
}

/// `Name "TEXT" 400 ...;`
fn code(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.trim().split_once(" \"")?;
    let (text, _) = rest.split_once('"')?;
    let is_code = line.trim().ends_with(';') && name.chars().all(char::is_alphanumeric);
    is_code.then_some((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn rows_are_read_and_heads_are_not() {
        let table = source(
            TABLE,
            "| section | rule | where | test |\n| --- | --- | --- | --- |\n\
             | 3.3, OA-STATE-1 | one | `a.rs` | `p m::t` |",
        );
        let row = Row {
            line: 3,
            section: "3.3, OA-STATE-1".to_owned(),
            file: "a.rs".to_owned(),
            test: "p m::t".to_owned(),
        };
        assert_eq!(rows(&table), [row]);
    }

    #[test]
    fn a_test_is_looked_for_in_the_file_of_its_module() {
        let sources = [
            source("protocol/market/src/tests/people/leaving.rs", "fn one() {}"),
            source("node/src/analytics/event.rs", "mod tests { fn two() {} }"),
            source("tests/cluster/tests/scenario.rs", "fn three() {}"),
        ];
        assert!(has_function("fairground-market tests::people::leaving:", "one", &sources));
        assert!(!has_function("fairground-market tests::people", "one", &sources));
        assert!(has_function("fairground-node analytics::event::tests", "two", &sources));
        assert!(has_function("fairground-tests-cluster::scenario", "three", &sources));
    }

    #[test]
    fn a_refusal_that_no_table_shows_is_found() {
        let codes = source(
            CODES,
            "    BidTooLow \"BID_TOO_LOW\" 409 \"Low\" false;\n    Gone \"GONE\" 410 \"x\" false;",
        );
        let rule = source("protocol/market/src/a.rs", "Code::BidTooLow, Code::GoneAway");
        let shown = source("protocol/market/src/tests/t.rs", "bid A -> BID_TOO_LOW minimum");
        assert_eq!(without_script(&[codes, rule, shown]), Vec::<String>::new());
        let codes = source(CODES, "    BidTooLow \"BID_TOO_LOW\" 409 \"Low\" false;");
        let rule = source("protocol/market/src/a.rs", "Code::BidTooLow");
        assert_eq!(without_script(&[codes, rule]).len(), 1);
    }

    #[test]
    fn a_log_tells_which_tests_passed() {
        let folder = std::env::temp_dir().join(format!("coverage-{}", std::process::id()));
        let log = folder.to_string_lossy().into_owned();
        std::fs::write(
            &folder,
            "        PASS [   0.028s] (61/62) fairground-market tests::t\n FAIL x\n\
             \x20       LEAK [   1.204s] (62/62) fairground-media::pictures p",
        )
        .expect("written");
        let ran = ran(&[&log]).expect("read");
        std::fs::remove_file(&folder).expect("removed");
        assert_eq!(
            ran.into_iter().collect::<Vec<_>>(),
            ["fairground-market tests::t", "fairground-media::pictures p"]
        );
    }
}
