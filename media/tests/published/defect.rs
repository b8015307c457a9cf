//! Reads and applies the files of `media/tests/defects`; their format is described in its README.

use std::path::Path;

use super::{Files, boxes};

/// One seeded defect.
#[derive(Debug)]
pub(crate) struct Defect {
    /// Name of the file that describes it.
    pub(crate) name: String,
    /// The rule that must catch it.
    pub(crate) rule: String,
    /// Other tools that must see it too.
    pub(crate) agree: Vec<String>,
    edits: Vec<(String, Edit)>,
}

#[derive(Debug)]
enum Edit {
    Replace { from: String, to: String },
    Box { path: String, offset: isize, bytes: usize, change: Change },
    Text(String),
    Remove,
    Cut(usize),
    Pad(usize),
}

#[derive(Debug)]
enum Change {
    Add(u64),
    Subtract(u64),
    Flip(u64),
    Set(u64),
}

/// Every defect, in the order of the file names.
pub(crate) fn defects() -> Vec<Defect> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/defects");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "defect"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        Defect::parse(name, &std::fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

impl Defect {
    fn parse(name: &str, text: &str) -> Self {
        let mut defect = Self {
            name: name.to_owned(),
            rule: String::new(),
            agree: Vec::new(),
            edits: Vec::new(),
        };
        let mut file = String::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            let edit = match verb {
                "rule" => {
                    rest.clone_into(&mut defect.rule);
                    continue;
                }
                "agree" => {
                    defect.agree.push(rest.to_owned());
                    continue;
                }
                "file" => {
                    rest.clone_into(&mut file);
                    continue;
                }
                "replace" => {
                    let (from, to) = rest.split_once(" => ").unwrap_or_else(|| {
                        panic!("{name}: no => in {line}");
                    });
                    Edit::Replace { from: unescaped(from), to: unescaped(to) }
                }
                "drop" => Edit::Replace { from: unescaped(rest), to: String::new() },
                "box" => parse_box(name, rest),
                "text" => Edit::Text(unescaped(rest)),
                "remove" => Edit::Remove,
                "cut" => Edit::Cut(rest.parse().unwrap()),
                "pad" => Edit::Pad(rest.parse().unwrap()),
                other => panic!("{name}: {other} is no verb"),
            };
            assert!(!file.is_empty(), "{name}: an edit of no file");
            defect.edits.push((file.clone(), edit));
        }
        assert!(!defect.rule.is_empty() && !defect.edits.is_empty(), "{name} is empty");
        defect
    }

    /// The file that the first edit is about.
    pub(crate) fn file(&self) -> &str {
        &self.edits[0].0
    }

    /// Applies every edit to a copy.
    pub(crate) fn apply(&self, clean: &Files) -> Files {
        let mut files = clean.clone();
        for (file, edit) in &self.edits {
            let before = files.get(file).cloned();
            let known =
                || before.clone().unwrap_or_else(|| panic!("{}: there is no {file}", self.name));
            let after = match edit {
                Edit::Text(text) => Some(text.clone().into_bytes()),
                Edit::Remove => {
                    known();
                    None
                }
                Edit::Pad(count) => {
                    let size = u32::try_from(*count).unwrap().to_be_bytes();
                    Some([known().as_slice(), &size, b"free", &vec![0; count - 8]].concat())
                }
                Edit::Cut(count) => {
                    let bytes = known();
                    Some(bytes[..bytes.len() - count].to_vec())
                }
                Edit::Replace { from, to } => {
                    let text = String::from_utf8(known()).unwrap();
                    let text = replaced(&text, from, to);
                    Some(text.unwrap_or_else(|| panic!("{}: no {from:?}", self.name)).into_bytes())
                }
                Edit::Box { path, offset, bytes: count, change } => {
                    let mut bytes = known();
                    let body = boxes::body(&bytes, path)
                        .unwrap_or_else(|| panic!("{}: no box {path}", self.name));
                    let at = body.start.checked_add_signed(*offset).unwrap();
                    assert!(at + count <= body.end, "{}: outside of {path}", self.name);
                    edited(&mut bytes[at..at + count], change);
                    Some(bytes)
                }
            };
            assert_ne!(before, after, "{}: an edit changes nothing", self.name);
            match after {
                Some(bytes) => files.insert(file.clone(), bytes),
                None => files.remove(file),
            };
        }
        files
    }
}

/// `path @offset type change`.
fn parse_box(name: &str, text: &str) -> Edit {
    let [path, offset, kind, change] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{name}: {text} is no edit of a box");
    };
    let offset = offset.strip_prefix('@').and_then(|offset| offset.parse().ok());
    let bytes = kind.strip_prefix('u').and_then(|bits| bits.parse::<usize>().ok());
    let (sign, number) = change.split_at(1);
    let number = match number.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => number.parse().unwrap(),
    };
    let change = match sign {
        "+" => Change::Add(number),
        "-" => Change::Subtract(number),
        "^" => Change::Flip(number),
        "=" => Change::Set(number),
        _ => panic!("{name}: {change} is no change"),
    };
    Edit::Box { path: path.to_owned(), offset: offset.unwrap(), bytes: bytes.unwrap() / 8, change }
}

fn edited(bytes: &mut [u8], change: &Change) {
    let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let value = match change {
        Change::Add(number) => value.wrapping_add(*number),
        Change::Subtract(number) => value.wrapping_sub(*number),
        Change::Flip(number) => value ^ number,
        Change::Set(number) => *number,
    };
    let width = bytes.len();
    bytes.copy_from_slice(&value.to_be_bytes()[8 - width..]);
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n")
}

/// Replaces the first place that a pattern fits. `<n>` in it stands for a run of digits, `<w>` for
/// a run of letters, digits, dots and dashes; `<n>` in the replacement is the number, `<n*2>` and
/// `<n/2>` are made of it.
fn replaced(text: &str, from: &str, to: &str) -> Option<String> {
    let mut starts = (0..text.len()).filter(|at| text.is_char_boundary(*at));
    let (start, (end, number)) =
        starts.find_map(|start| Some((start, fits(&text[start..], from)?)))?;
    let mut put = to.to_owned();
    if let Some(number) = number {
        let double = (number * 2).to_string();
        put = put.replace("<n*2>", &double).replace("<n/2>", &(number / 2).to_string());
        put = put.replace("<n>", &number.to_string());
    }
    Some(format!("{}{put}{}", &text[..start], &text[start + end..]))
}

/// Length of the pattern at the beginning of a text, and the number it stands for.
fn fits(text: &str, pattern: &str) -> Option<(usize, Option<u64>)> {
    let wild = |rest: &str, allowed: fn(char) -> bool| {
        let length = rest.len() - rest.trim_start_matches(allowed).len();
        (length > 0).then_some(length)
    };
    let (mut at, mut number, mut pattern) = (0, None, pattern);
    while !pattern.is_empty() {
        if let Some(rest) = pattern.strip_prefix("<n>") {
            let length = wild(&text[at..], |c| c.is_ascii_digit())?;
            number = text[at..at + length].parse().ok();
            at += length;
            pattern = rest;
        } else if let Some(rest) = pattern.strip_prefix("<w>") {
            at += wild(&text[at..], |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))?;
            pattern = rest;
        } else {
            let first = pattern.chars().next()?;
            if !text[at..].starts_with(first) {
                return None;
            }
            at += first.len_utf8();
            pattern = &pattern[first.len_utf8()..];
        }
    }
    Some((at, number))
}
