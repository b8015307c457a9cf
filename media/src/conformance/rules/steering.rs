//! `D8`: the steering manifest (RFC 8216bis section 7.2), when its address lies in the revision.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Rule;
use crate::conformance::published::{PLAYLIST_BYTES_MAX, Published, is_plain};
use crate::conformance::report::Report;
use crate::conformance::source::Source;

/// What a steering manifest says.
#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "VERSION")]
    version: u64,
    #[serde(rename = "TTL")]
    ttl: u64,
    #[serde(rename = "RELOAD-URI")]
    reload_uri: Option<String>,
    #[serde(rename = "PATHWAY-PRIORITY")]
    priority: Vec<String>,
    #[serde(rename = "PATHWAY-CLONES", default)]
    clones: Vec<PathwayClone>,
}

#[derive(Deserialize)]
struct PathwayClone {
    #[serde(rename = "BASE-ID")]
    base: String,
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "URI-REPLACEMENT")]
    _replacement: serde_json::Map<String, serde_json::Value>,
}

/// Reads and judges the manifest of each playlist that has one.
pub(crate) fn check(report: &mut Report, source: &dyn Source, published: &Published) {
    for (name, playlist) in &published.entries {
        let Some(steering) = &playlist.steering else { continue };
        if !is_plain(&steering.server) {
            report.skip(Rule::D8, format!("{name}: the steering server lies outside"));
            continue;
        }
        let pathways: BTreeSet<&str> = playlist
            .variants
            .iter()
            .map(|variant| variant.pathway.as_deref().unwrap_or("."))
            .collect();
        match source.get(&steering.server, PLAYLIST_BYTES_MAX) {
            Ok(bytes) => judge(report, &steering.server, &bytes, &pathways),
            Err(error) => report.fault(Rule::D8, &steering.server, error.to_string()),
        }
    }
}

fn judge(report: &mut Report, place: &str, bytes: &[u8], pathways: &BTreeSet<&str>) {
    let manifest: Manifest = match serde_json::from_slice(bytes) {
        Ok(manifest) => manifest,
        Err(error) => return report.fault(Rule::D8, place, error.to_string()),
    };
    let mut check = |holds: bool, what: &str| {
        report.check(Rule::D8, holds, place, || what.to_owned());
    };
    check(manifest.version == 1, "VERSION is not 1");
    check(manifest.ttl > 0, "TTL is zero");
    let unique: BTreeSet<&String> = manifest.priority.iter().collect();
    let whole = !manifest.priority.is_empty() && unique.len() == manifest.priority.len();
    check(whole, "PATHWAY-PRIORITY is empty or names a pathway twice");
    let mut known: BTreeSet<&str> = pathways.clone();
    for clone in &manifest.clones {
        check(known.contains(clone.base.as_str()), "BASE-ID of a clone is unknown");
        check(known.insert(&clone.id), "ID of a clone is that of another pathway");
    }
    let any_known = manifest.priority.iter().any(|id| known.contains(id.as_str()));
    check(any_known, "PATHWAY-PRIORITY names no known pathway");
    let inside = manifest
        .reload_uri
        .as_ref()
        .is_none_or(|uri| !uri.contains("://") && !uri.starts_with("//"));
    check(inside, "RELOAD-URI names another origin");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> u64 {
        let mut report = Report::default();
        judge(&mut report, "steer.json", text.as_bytes(), &BTreeSet::from(["e1"]));
        report.errors()
    }

    #[test]
    fn a_steering_manifest_is_judged_field_by_field() {
        let good = "{\"VERSION\":1,\"TTL\":30,\"PATHWAY-PRIORITY\":[\"e2\",\"e1\"],\
                    \"PATHWAY-CLONES\":[{\"BASE-ID\":\"e1\",\"ID\":\"e2\",\
                    \"URI-REPLACEMENT\":{}}],\"RELOAD-URI\":\"s\"}";
        assert_eq!(errors(good), 0);
        for (from, to) in [
            ("\"VERSION\":1", "\"VERSION\":2"),
            ("\"TTL\":30", "\"TTL\":0"),
            ("[\"e2\",\"e1\"]", "[]"),
            ("[\"e2\",\"e1\"]", "[\"e1\",\"e1\"]"),
            ("[\"e2\",\"e1\"]", "[\"e9\"]"),
            ("\"ID\":\"e2\"", "\"ID\":\"e1\""),
            ("\"BASE-ID\":\"e1\"", "\"BASE-ID\":\"e7\""),
            ("\"RELOAD-URI\":\"s\"", "\"RELOAD-URI\":\"https://other.example/s\""),
            ("\"RELOAD-URI\":\"s\"", "\"RELOAD-URI\":\"//other.example/s\""),
            (",\"URI-REPLACEMENT\":{}", ""),
            ("{\"VERSION\"", "{\"VERSIO\""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(errors(&bad) > 0, "{bad}");
        }
    }
}
