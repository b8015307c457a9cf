//! The keys that a configuration has, learned from its defaults, and the nearest to a wrong one.
//!
//! It must not know what a key means.

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use crate::error::ConfigError;

/// The keys of a configuration.
pub(crate) struct Known<'a> {
    root: &'a Json,
    paths: Vec<Vec<&'a str>>,
}

impl<'a> Known<'a> {
    pub(crate) fn new(defaults: &'a Json) -> Self {
        let mut paths = Vec::new();
        if let Json::Object(map) = defaults {
            collect(map, &mut Vec::new(), &mut paths);
        }
        Self { root: defaults, paths }
    }

    /// Refuses a table with a key that is not known.
    pub(crate) fn check(&self, table: &Table, origin: &str) -> Result<(), ConfigError> {
        self.check_section(self.root, table, &mut Vec::new(), origin)
    }

    /// The default of a key, or the nearest key.
    pub(crate) fn find(&self, path: &[String]) -> Result<&'a Json, Option<String>> {
        let mut current = self.root;
        for part in path {
            let next = match current {
                Json::Object(map) if is_closed(map) => map.get(part.as_str()),
                // A free-form section or an absent one: its reader decides.
                Json::Object(_) | Json::Null => Some(&Json::Null),
                Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
            };
            current = next.ok_or_else(|| self.nearest(path))?;
        }
        Ok(current)
    }

    fn check_section(
        &self,
        known: &Json,
        table: &Table,
        path: &mut Vec<String>,
        origin: &str,
    ) -> Result<(), ConfigError> {
        let Json::Object(map) = known else { return Ok(()) };
        if !is_closed(map) {
            return Ok(());
        }
        for (key, value) in table {
            path.push(key.clone());
            let Some(default) = map.get(key) else {
                return Err(ConfigError::UnknownKey {
                    key: path.join("."),
                    origin: origin.to_owned(),
                    nearest: self.nearest(path),
                });
            };
            if let Value::Table(inner) = value {
                self.check_section(default, inner, path, origin)?;
            }
            path.pop();
        }
        Ok(())
    }

    /// The key with the fewest edits; a right name in a wrong section counts as one edit.
    fn nearest(&self, path: &[String]) -> Option<String> {
        let whole = path.join(".");
        let last = path.last()?;
        let distance = |candidate: &&Vec<&str>| {
            let by_path = strsim::damerau_levenshtein(&whole, &candidate.join("."));
            let by_name = candidate
                .last()
                .map_or(usize::MAX, |name| strsim::damerau_levenshtein(last, name) + 1);
            by_path.min(by_name)
        };
        self.paths.iter().min_by_key(distance).map(|nearest| nearest.join("."))
    }
}

/// An empty section in the defaults is a map with names of the operator's own.
fn is_closed(map: &Map<String, Json>) -> bool {
    !map.is_empty()
}

fn collect<'a>(map: &'a Map<String, Json>, at: &mut Vec<&'a str>, paths: &mut Vec<Vec<&'a str>>) {
    for (key, value) in map {
        at.push(key);
        paths.push(at.clone());
        if let Json::Object(inner) = value {
            collect(inner, at, paths);
        }
        at.pop();
    }
}
