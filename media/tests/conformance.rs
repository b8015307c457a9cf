//! The conformance engine against a revision that the pipeline made, and against defects of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;
mod published;

use std::collections::BTreeSet;

use fairground_media::conformance::{Folder, RULES, Report, lint};
use fairground_media::manifest::Manifest;

use common::{note, tools};
use published::{Files, defects, revision};

/// Fewest seeded defects.
const DEFECTS_MIN: usize = 40;

fn report(files: &Files) -> Report {
    lint(files, "master.m3u8").unwrap().report().clone()
}

/// The identifiers and places of all findings.
fn found(report: &Report) -> BTreeSet<(String, String, String)> {
    let findings = report.findings().iter();
    findings.map(|it| (it.rule.id().to_owned(), it.place.clone(), it.message.clone())).collect()
}

fn clean_revision_has_no_error(manifest: &Manifest, files: &Files) {
    let report = report(files);
    note(&report.to_string());
    assert_eq!(report.errors(), 0, "{report}");
    let segments: usize = manifest.renditions.iter().map(|it| it.segments.len() + 2).sum();
    let files_read = u64::try_from(segments + 3 * manifest.i_frames.len() + 3).unwrap();
    assert!(report.files() >= files_read, "{} files of {files_read}", report.files());
    assert_eq!(report.checked().len() + report.skipped().len(), RULES.len());
    let skipped: Vec<&str> = report.skipped().iter().map(|it| it.rule.id()).collect();
    for rule in ["M6", "M7", "L4", "L6", "L8", "S1", "S2", "S3", "S4", "S5", "S6", "S7"] {
        assert!(!skipped.contains(&rule), "{rule} was not applied");
    }
}

/// A folder is read as a map is.
fn folder_gives_the_same_report(files: &Files) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let source = Folder::new(folder.path().to_owned());
    let from_folder = lint(&source, "master.m3u8").unwrap().report().to_string();
    assert_eq!(from_folder, report(files).to_string());
}

fn every_rendition_decodes(files: &Files) {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let work_dir = folder.path().canonicalize().unwrap();
    let mut linted = lint(files, "master.m3u8").unwrap();
    let before = linted.report().errors();
    linted.decode(files, &tools, &work_dir);
    assert_eq!(linted.report().errors(), before, "{}", linted.report());
    // A picture that is damaged inside is beyond the boxes: only decoding sees it.
    let mut damaged = files.clone();
    let segment = damaged.get_mut("c720/0.m4s").unwrap();
    let middle = segment.len() / 2;
    segment[middle..middle + 400].fill(0x55);
    let mut linted = lint(&damaged, "master.m3u8").unwrap();
    linted.decode(&damaged, &tools, &work_dir);
    let rules: Vec<&str> = linted.report().findings().iter().map(|it| it.rule.id()).collect();
    assert!(rules.contains(&"S10"), "{}", linted.report());
}

fn every_defect_is_caught_by_its_rule(files: &Files) {
    let before = found(&report(files));
    let (mut missed, mut rules) = (Vec::new(), BTreeSet::new());
    let defects = defects();
    for defect in &defects {
        let report = report(&defect.apply(files));
        let new: Vec<_> = found(&report).difference(&before).cloned().collect();
        if new.iter().any(|(rule, ..)| *rule == defect.rule) {
            rules.insert(defect.rule.clone());
        } else {
            let others: BTreeSet<&String> = new.iter().map(|(rule, ..)| rule).collect();
            missed.push(format!(
                "{}: {} is silent about {}, found {others:?}",
                defect.name,
                defect.rule,
                defect.file()
            ));
        }
        assert!(defect.name.contains(&format!("-{}-", defect.rule)), "{} is misnamed", defect.name);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(defects.len() >= DEFECTS_MIN, "{} defects", defects.len());
    let shown = defects.iter().filter(|defect| !defect.agree.is_empty()).count();
    let (count, rules_count) = (defects.len(), rules.len());
    note(&format!("{count} defects of {rules_count} rules; {shown} are shown to others as well"));
    // Rules of answers are tested beside their code; decoding above; the rest need what is not made.
    let elsewhere = ["S8", "S9", "S10", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8"];
    let untested: Vec<&str> = RULES
        .iter()
        .map(|rule| rule.id())
        .filter(|id| !rules.contains(*id) && !elsewhere.contains(id))
        .collect();
    assert_eq!(untested, Vec::<&str>::new(), "rules without a defect");
}

/// Captions as they are published: one segment as long as everything.
fn captions_are_judged(files: &Files) {
    let mut with = files.clone();
    for name in ["master.m3u8", "master.avc.m3u8", "master.av1.m3u8"] {
        let text = String::from_utf8(with[name].clone()).unwrap();
        let tag = "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",\
                   NAME=\"Português\",LANGUAGE=\"pt-br\",URI=\"captions-pt.m3u8\"";
        let text = text.replace("#EXT-X-INDEPENDENT-SEGMENTS", tag);
        let text = text.replace(",CLOSED-CAPTIONS", ",SUBTITLES=\"captions\",CLOSED-CAPTIONS");
        with.insert(name.to_owned(), text.into_bytes());
    }
    let playlist = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:5\n#EXT-X-PLAYLIST-TYPE:VOD\n\
                    #EXTINF:4.200000,\ncaptions-pt/0.vtt\n#EXT-X-ENDLIST\n";
    with.insert("captions-pt.m3u8".to_owned(), playlist.as_bytes().to_vec());
    with.insert("captions-pt/0.vtt".to_owned(), b"WEBVTT\n".to_vec());
    let good = report(&with);
    assert_eq!(good.errors(), 0, "{good}");
    assert!(good.checked().iter().any(|checked| checked.rule.id() == "L10"));
    with.insert("captions-pt/0.vtt".to_owned(), b"1\n00:00:00,000\n".to_vec());
    assert_eq!(report(&with).errors(), 1);
}

/// One test, because the revision takes longer to make than to judge.
#[test]
fn published_revision_is_judged() {
    let Some(tools) = tools() else { return };
    let (manifest, files) = revision(&tools);
    clean_revision_has_no_error(&manifest, &files);
    folder_gives_the_same_report(&files);
    captions_are_judged(&files);
    every_defect_is_caught_by_its_rule(&files);
    every_rendition_decodes(&files);
}

#[test]
fn defects_are_numbered_without_gaps() {
    for (index, defect) in defects().iter().enumerate() {
        let number: usize = defect.name.split('-').next().unwrap().parse().unwrap();
        assert_eq!(number, index + 1, "{}", defect.name);
    }
}
