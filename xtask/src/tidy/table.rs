//! Who may depend on whom: the dependency table of the architecture, checked against the manifests.
//!
//! Only declared, direct dependencies count. Read next: `ARCHITECTURE.md`, invariants AI-1 and AI-2.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::Finding;

const RULE: &str = "dependency";

/// One row of the table.
struct Row {
    package: &'static str,
    /// Workspace packages that it may use.
    may_use: &'static [&'static str],
    /// Workspace packages that its tests may use as well.
    tests_may_use: &'static [&'static str],
    /// Packages from outside that it must never see.
    must_not_see: &'static [&'static str],
}

const PURE: &[&str] = &["tokio", "quinn", "axum", "redb", "rand", "hyper", "reqwest", "openraft"];
const EVERYTHING: &[&str] = &["*"];

const TABLE: &[Row] = &[
    Row { package: "fairground-types", may_use: &[], tests_may_use: &[], must_not_see: PURE },
    Row {
        package: "fairground-market",
        may_use: &["fairground-types"],
        // Its bench writes a state as a member does.
        tests_may_use: &["fairground-wire"],
        must_not_see: PURE,
    },
    Row {
        package: "fairground-wire",
        may_use: &["fairground-types"],
        tests_may_use: &[],
        must_not_see: PURE,
    },
    Row {
        package: "fairground-storage",
        may_use: &["fairground-types", "fairground-wire", "fairground-seam"],
        tests_may_use: &[],
        must_not_see: &["axum", "quinn"],
    },
    Row {
        package: "fairground-objects",
        may_use: &["fairground-types", "fairground-storage"],
        tests_may_use: &[],
        must_not_see: &["axum", "quinn", "openraft", "redb"],
    },
    Row {
        package: "fairground-media",
        may_use: &["fairground-types"],
        tests_may_use: &[],
        must_not_see: &["axum", "quinn"],
    },
    Row {
        package: "fairground-seam",
        may_use: &[],
        tests_may_use: &[],
        must_not_see: &["axum", "openraft", "redb"],
    },
    Row {
        package: "fairground-runtime",
        may_use: &["fairground-types", "fairground-seam"],
        tests_may_use: &[],
        must_not_see: &["openraft", "redb"],
    },
    Row {
        package: "fairground-http3",
        may_use: &["fairground-types", "fairground-runtime"],
        tests_may_use: &[],
        must_not_see: &["openraft", "redb"],
    },
    Row {
        package: "fairground-providers",
        may_use: &["fairground-types", "fairground-runtime"],
        tests_may_use: &["fairground-fakes"],
        must_not_see: &["openraft", "quinn", "redb"],
    },
    Row {
        package: "fairground-stripe",
        may_use: &["fairground-types"],
        tests_may_use: &["fairground-fakes"],
        must_not_see: &["openraft", "quinn", "redb"],
    },
    Row {
        package: "fairground-node",
        may_use: &[
            "fairground-types",
            "fairground-market",
            "fairground-wire",
            "fairground-storage[edge]",
            "fairground-media",
            "fairground-runtime",
            "fairground-seam",
            // Behind the feature of that name.
            "fairground-http3",
        ],
        tests_may_use: &["fairground-storage[edge,test-util]", "fairground-market[test-util]"],
        must_not_see: &["openraft"],
    },
    Row {
        package: "fairground-coordinator",
        may_use: &[
            "fairground-types",
            "fairground-market",
            "fairground-wire",
            "fairground-storage[raft]",
            "fairground-objects",
            "fairground-media",
            "fairground-runtime",
            "fairground-seam",
            "fairground-providers",
            "fairground-stripe",
        ],
        tests_may_use: &[
            "fairground-fakes",
            "fairground-storage[raft,test-util]",
            "fairground-market[test-util]",
        ],
        must_not_see: &[],
    },
    Row {
        package: "fairground-fakes",
        may_use: &["fairground-types"],
        tests_may_use: &[],
        must_not_see: &["openraft", "quinn", "redb"],
    },
    Row {
        package: "fairground",
        may_use: &[
            "fairground-coordinator",
            "fairground-node",
            "fairground-fakes",
            // What is published is judged without a daemon.
            "fairground-media",
            "fairground-runtime",
        ],
        tests_may_use: &["fairground-types"],
        must_not_see: &["openraft", "redb"],
    },
    Row {
        package: "fairground-tests-golden",
        may_use: EVERYTHING,
        tests_may_use: &[],
        must_not_see: &[],
    },
    Row {
        package: "fairground-sim",
        may_use: EVERYTHING,
        tests_may_use: &[],
        must_not_see: &["axum", "quinn", "redb"],
    },
    Row {
        package: "fairground-tests-cluster",
        may_use: &[],
        tests_may_use: &[],
        must_not_see: &["openraft", "quinn", "redb"],
    },
    Row {
        package: "fairground-tests-faults",
        may_use: &["fairground-tests-kit"],
        tests_may_use: &[],
        must_not_see: &["openraft", "quinn", "redb"],
    },
    Row {
        package: "fairground-tests-fuzz",
        may_use: EVERYTHING,
        tests_may_use: &[],
        must_not_see: &[],
    },
    Row {
        package: "fairground-tests-kit",
        may_use: &[],
        tests_may_use: &[],
        must_not_see: &["openraft", "quinn", "redb"],
    },
    Row {
        package: "fairground-bench",
        // What one rung costs cannot be seen from outside of the pipeline.
        may_use: &["fairground-media", "fairground-tests-kit", "fairground-types"],
        tests_may_use: &[],
        must_not_see: &["openraft", "quinn", "redb", "reqwest"],
    },
    Row { package: "xtask", may_use: &[], tests_may_use: &[], must_not_see: &["tokio"] },
];

/// What `cargo metadata --no-deps` says, as far as the table needs it.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    /// Registries it may be published to; `publish = false` is an empty list.
    publish: Option<Vec<String>>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing.
    kind: Option<String>,
    features: Vec<String>,
    uses_default_features: bool,
}

/// Asks cargo for the declared dependencies of every member; no network.
pub(crate) fn metadata(root: &Path) -> anyhow::Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .context("start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("read what cargo metadata says")
}

pub(crate) fn check(metadata: &Metadata, root: &Path) -> Vec<Finding> {
    let members: Vec<&str> =
        metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let manifest = manifest(package, root);
        let Some(row) = TABLE.iter().find(|row| row.package == package.name) else {
            let message = format!("{} has no row in xtask/src/tidy/table.rs", package.name);
            findings.push(Finding::new(&manifest, 1, RULE, message));
            continue;
        };
        if package.publish.as_ref().is_none_or(|registries| !registries.is_empty()) {
            findings.push(Finding::new(&manifest, 1, "publish", "must say `publish = false`"));
        }
        for dependency in &package.dependencies {
            if let Some(message) = judge(row, dependency, &members) {
                findings.push(Finding::new(&manifest, 1, RULE, message));
            }
        }
    }
    findings
}

/// The reason why the table forbids a dependency, if it does.
fn judge(row: &Row, dependency: &Dependency, members: &[&str]) -> Option<String> {
    let name = dependency.name.as_str();
    if row.must_not_see.contains(&name) {
        return Some(format!("{} must not see {name}", row.package));
    }
    if !members.contains(&name) || row.may_use == EVERYTHING {
        return None;
    }
    let is_test = dependency.kind.as_deref() == Some("dev");
    let also = if is_test { row.tests_may_use } else { &[] };
    let mut allowed = also.iter().chain(row.may_use).filter_map(|entry| {
        let (package, features) = split(entry);
        (package == name).then_some(features)
    });
    let Some(features) = allowed.next() else {
        return Some(format!("{} may not use {name}", row.package));
    };
    let features = features?;
    if dependency.uses_default_features {
        return Some(format!("{} must take {name} without default features", row.package));
    }
    let extra = dependency.features.iter().find(|one| !features.split(',').any(|two| two == *one));
    extra.map(|one| format!("{} may not switch on {one} of {name}", row.package))
}

/// `name[a,b]` into the name and its allowed features; a bare name allows all.
fn split(entry: &str) -> (&str, Option<&str>) {
    match entry.split_once('[') {
        Some((name, features)) => (name, Some(features.trim_end_matches(']'))),
        None => (entry, None),
    }
}

fn manifest(package: &Package, root: &Path) -> String {
    let path = Path::new(&package.manifest_path);
    let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(package: &str, dependency: &str) -> Vec<String> {
        let json = format!(
            r#"{{"packages": [
                {{"name": "{package}", "manifest_path": "/r/Cargo.toml", "publish": [],
                  "dependencies": [{dependency}]}},
                {{"name": "fairground-node", "manifest_path": "/r/n/Cargo.toml", "publish": [],
                  "dependencies": []}},
                {{"name": "fairground-storage", "manifest_path": "/r/s/Cargo.toml", "publish": [],
                  "dependencies": []}},
                {{"name": "fairground-fakes", "manifest_path": "/r/f/Cargo.toml", "publish": [],
                  "dependencies": []}}]}}"#
        );
        let metadata: Metadata = serde_json::from_str(&json).unwrap();
        check(&metadata, Path::new("/r")).into_iter().map(|finding| finding.message).collect()
    }

    fn dependency(name: &str, kind: &str, features: &str, default: bool) -> String {
        format!(
            r#"{{"name": "{name}", "kind": {kind}, "features": [{features}],
                "uses_default_features": {default}}}"#
        )
    }

    #[test]
    fn coordinator_may_not_use_node() {
        let found =
            found("fairground-coordinator", &dependency("fairground-node", "null", "", true));
        assert_eq!(found, ["fairground-coordinator may not use fairground-node"]);
    }

    #[test]
    fn the_market_must_not_see_tokio_even_in_tests() {
        let found = found("fairground-market", &dependency("tokio", "\"dev\"", "", true));
        assert_eq!(found, ["fairground-market must not see tokio"]);
    }

    #[test]
    fn fakes_are_for_the_tests_of_stripe_alone() {
        let dev = dependency("fairground-fakes", "\"dev\"", "", true);
        let normal = dependency("fairground-fakes", "null", "", true);
        assert!(found("fairground-stripe", &dev).is_empty());
        assert_eq!(
            found("fairground-stripe", &normal),
            ["fairground-stripe may not use fairground-fakes"]
        );
    }

    #[test]
    fn the_coordinator_takes_only_the_raft_half_of_storage() {
        let all = dependency("fairground-storage", "null", "", true);
        let edge = dependency("fairground-storage", "null", "\"edge\"", false);
        let raft = dependency("fairground-storage", "null", "\"raft\"", false);
        let found = |dependency: &str| found("fairground-coordinator", dependency);
        assert_eq!(
            found(&all),
            ["fairground-coordinator must take fairground-storage without default features"]
        );
        assert_eq!(
            found(&edge),
            ["fairground-coordinator may not switch on edge of fairground-storage"]
        );
        assert!(found(&raft).is_empty());
    }

    #[test]
    fn a_package_without_a_row_is_found() {
        assert_eq!(
            found("fairground-new", ""),
            ["fairground-new has no row in xtask/src/tidy/table.rs"]
        );
    }

    #[test]
    fn every_row_names_packages_that_have_rows() {
        for row in TABLE {
            for entry in row.may_use.iter().chain(row.tests_may_use) {
                let name = split(entry).0;
                assert!(name == "*" || TABLE.iter().any(|other| other.package == name), "{name}");
            }
        }
    }
}
