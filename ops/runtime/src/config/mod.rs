//! Configuration: defaults, then a TOML file, then environment variables.
//!
//! An unknown key stops the start and names the key that was probably meant. Secrets are never in
//! the configuration itself, only paths of files ([`Secret`]). It must not know any option: those
//! live with the modules that own them. Read next: `units.rs` for lengths of time and sizes.

mod known;
mod secret;
mod units;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub use crate::config::secret::Secret;
pub use crate::config::units::{DurationText, SizeText};
pub use crate::error::ConfigError;

/// Longest configuration file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Loads a configuration: `T::default()`, overridden by `file`, overridden by the environment.
///
/// The variable of a key is the prefix and the path in capitals with double underscores:
/// `FAIRGROUND__RAFT__HEARTBEAT=50ms` sets `heartbeat` of `[raft]`. `T` and its sections must be
/// `#[serde(default, deny_unknown_fields)]`.
///
/// # Errors
/// When the file cannot be read, is no TOML, or a key or value is not known.
pub fn load<T>(file: Option<&Path>, env_prefix: &str) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    load_from(file, env_prefix, std::env::vars())
}

/// As [`load`], with the environment as an argument.
///
/// # Errors
/// As [`load`].
pub fn load_from<T>(
    file: Option<&Path>,
    env_prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let defaults =
        serde_json::to_value(T::default()).map_err(|source| ConfigError::Defaults { source })?;
    let known = known::Known::new(&defaults);

    let mut table = file.map(read_file).transpose()?.unwrap_or_default();
    if let Some(path) = file {
        known.check(&table, &path.display().to_string())?;
    }
    let overrides = overrides(&known, env_prefix, variables)?;
    for setting in &overrides {
        insert(&mut table, &setting.path, setting.value.clone());
    }

    let first: Result<T, _> = Value::Table(table.clone()).try_into();
    let error = match first {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    // An absent default says nothing about its type: such text may also be a number or a list.
    let mut ambiguous = false;
    for setting in &overrides {
        if let Some(other) = &setting.alternative {
            ambiguous = true;
            insert(&mut table, &setting.path, other.clone());
        }
    }
    let second: Option<T> = if ambiguous { Value::Table(table).try_into().ok() } else { None };
    second.ok_or_else(|| ConfigError::Value { source: Box::new(error) })
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
        return Err(read(std::io::Error::other("longer than 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    text.parse()
        .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })
}

/// One variable of the environment, ready to be put into the table.
struct Setting {
    path: Vec<String>,
    value: Value,
    /// What the text might mean too, when the default does not tell its type.
    alternative: Option<Value>,
}

fn overrides(
    known: &known::Known<'_>,
    env_prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Setting>, ConfigError> {
    let prefix = format!("{env_prefix}__");
    let mut settings = Vec::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        let default = known.find(&path).map_err(|nearest| ConfigError::UnknownKey {
            key: path.join("."),
            origin: format!("environment variable {name}"),
            nearest,
        })?;
        let (value, alternative) = interpret(default, &text)
            .map_err(|problem| ConfigError::Variable { name: name.clone(), problem })?;
        settings.push(Setting { path, value, alternative });
    }
    // The order of the environment is nobody's choice; a section comes before its keys.
    settings.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(settings)
}

/// Reads a variable's text by the type of the key's default.
fn interpret(default: &serde_json::Value, text: &str) -> Result<(Value, Option<Value>), String> {
    use serde_json::Value as Json;

    let as_text = || Value::String(text.to_owned());
    match default {
        Json::String(_) => Ok((as_text(), None)),
        Json::Null => Ok((as_text(), parse_value(text))),
        Json::Array(_) => {
            let list = || text.split(',').map(|item| Value::String(item.trim().to_owned()));
            let value = parse_value(text).filter(Value::is_array);
            Ok((value.unwrap_or_else(|| Value::Array(list().collect())), None))
        }
        Json::Bool(_) => match parse_value(text) {
            Some(value @ Value::Boolean(_)) => Ok((value, None)),
            _ => Err("expected true or false".to_owned()),
        },
        Json::Number(_) => match parse_value(text) {
            Some(value @ (Value::Integer(_) | Value::Float(_))) => Ok((value, None)),
            _ => Err("expected a number".to_owned()),
        },
        Json::Object(_) => match parse_value(text) {
            Some(value @ Value::Table(_)) => Ok((value, None)),
            _ => Err("this is a section; set its keys".to_owned()),
        },
    }
}

fn parse_value(text: &str) -> Option<Value> {
    let line: Table = format!("value = {text}").parse().ok()?;
    // A line break could smuggle in a second key.
    if line.len() == 1 { line.get("value").cloned() } else { None }
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    let Some((last, sections)) = path.split_last() else { return };
    let mut current = table;
    for section in sections {
        let entry = current.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
        if !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        let Some(next) = entry.as_table_mut() else { return };
        current = next;
    }
    current.insert(last.clone(), value);
}

#[cfg(test)]
mod tests;
