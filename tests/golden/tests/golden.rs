//! Bytes of today against the files of yesterday.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use fairground_tests_golden::{Sample, all};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("files")
}

/// One line for people, then 32 bytes a line.
fn text(sample: &Sample) -> String {
    let lines = sample.bytes.chunks(32).map(|line| {
        line.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")) + "\n"
    });
    let heading = format!("# {}: {} bytes\n", sample.name, sample.bytes.len());
    std::iter::once(heading).chain(lines).collect()
}

#[test]
fn every_format_is_what_its_golden_file_says() {
    let bless = std::env::var("FAIRGROUND_BLESS").is_ok_and(|value| value == "1");
    let mut wrong = Vec::new();
    for sample in all() {
        let path = folder().join(format!("{}.hex", sample.name));
        let now = text(&sample);
        if bless {
            fs::write(&path, now).expect("the folder is writable");
        } else if fs::read_to_string(&path).ok().as_deref() != Some(now.as_str()) {
            wrong.push(format!("{}\n{now}", path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "changed formats; a new version belongs beside the old one, or run with \
         FAIRGROUND_BLESS=1:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_golden_file_has_its_sample_and_no_two_share_a_name() {
    let samples = all();
    let names: BTreeSet<String> =
        samples.iter().map(|sample| format!("{}.hex", sample.name)).collect();
    assert_eq!(names.len(), samples.len());
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|file| file.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, names);
}
