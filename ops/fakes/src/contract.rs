//! Checks calls and answers against an OpenAPI description that the operator has at hand.
//!
//! The description stays outside the project; without it nothing is checked. Understands the part of
//! JSON Schema that such descriptions use. It must not know Stripe. Read next: `stripe/api.rs`,
//! which notes what it finds.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::form::{self, Field};

const VIOLATIONS_MAX: usize = 50;
const DEPTH_MAX: usize = 40;

/// A description could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The file could not be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("parse {path}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// An OpenAPI 3.1 description.
#[derive(Debug)]
pub struct Contract {
    document: Value,
}

impl Contract {
    /// Loads a description.
    ///
    /// # Errors
    /// See [`ContractError`].
    pub fn load(path: &Path) -> Result<Self, ContractError> {
        let text = std::fs::read(path)
            .map_err(|source| ContractError::Read { path: path.to_owned(), source })?;
        let document = serde_json::from_slice(&text)
            .map_err(|source| ContractError::Parse { path: path.to_owned(), source })?;
        Ok(Self { document })
    }

    /// What is wrong with a request whose form or query is `text`; empty when nothing is.
    #[must_use]
    pub fn request_violations(&self, method: &str, path: &str, text: &[u8]) -> Vec<String> {
        match form::parse(text) {
            Ok(fields) => self.fields_violations(method, path, &fields),
            Err(error) => vec![format!("{method} {path}: cannot {error}")],
        }
    }

    pub(crate) fn fields_violations(
        &self,
        method: &str,
        path: &str,
        fields: &[Field],
    ) -> Vec<String> {
        let Some(operation) = self.operation(method, path) else {
            return vec![format!("{method} {path}: no such operation")];
        };
        let form = "/requestBody/content/application~1x-www-form-urlencoded/schema";
        let schema = match operation.pointer(form) {
            Some(schema) => schema.clone(),
            None => self.query_schema(operation),
        };
        let mut check = Check { contract: self, text_only: true, found: Vec::new() };
        check.value(&schema, &form::to_tree(fields), &format!("{method} {path}"), 0);
        check.found
    }

    /// What is wrong with a request whose body is JSON; empty when nothing is.
    #[must_use]
    pub fn json_violations(&self, method: &str, path: &str, body: &Value) -> Vec<String> {
        let Some(operation) = self.operation(method, path) else {
            return vec![format!("{method} {path}: no such operation")];
        };
        let request = operation.get("requestBody").map(|request| self.resolved(request));
        let schema = request.and_then(|r| r.pointer("/content/application~1json/schema"));
        let Some(schema) = schema else {
            return vec![format!("{method} {path}: takes no JSON")];
        };
        let mut check = Check { contract: self, text_only: false, found: Vec::new() };
        check.value(schema, body, &format!("{method} {path}"), 0);
        check.found
    }

    /// What is wrong with an answer; empty when nothing is.
    #[must_use]
    pub fn answer_violations(
        &self,
        method: &str,
        path: &str,
        status: u16,
        body: &Value,
    ) -> Vec<String> {
        let Some(responses) = self.operation(method, path).and_then(|op| op.get("responses"))
        else {
            return vec![format!("{method} {path}: no such operation")];
        };
        let response = responses.get(status.to_string()).or_else(|| responses.get("default"));
        let response = response.map(|response| self.resolved(response));
        let schema = response.and_then(|r| r.pointer("/content/application~1json/schema"));
        let Some(schema) = schema else {
            // One without a body is described by its status alone.
            let is_described = response.is_some() && body.is_null();
            let missing = format!("{method} {path}: no answer {status}");
            return if is_described { Vec::new() } else { vec![missing] };
        };
        let mut check = Check { contract: self, text_only: false, found: Vec::new() };
        check.value(schema, body, &format!("answer {status} to {method} {path}"), 0);
        check.found
    }

    /// What is wrong with an object of the named schema; empty when nothing is.
    #[must_use]
    pub fn object_violations(&self, schema: &str, body: &Value) -> Vec<String> {
        let Some(found) = self.document["components"]["schemas"].get(schema) else {
            return vec![format!("no schema {schema}")];
        };
        let mut check = Check { contract: self, text_only: false, found: Vec::new() };
        check.value(found, body, schema, 0);
        check.found
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let paths = self.document.get("paths")?.as_object()?;
        let wanted: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == wanted.len()
                && parts
                    .iter()
                    .zip(&wanted)
                    .all(|(part, word)| part.starts_with('{') || part == word)
        };
        let item = paths
            .get(path)
            .or_else(|| paths.iter().find(|(name, _)| fits(name)).map(|(_, item)| item))?;
        item.get(method.to_ascii_lowercase())
    }

    fn query_schema(&self, operation: &Value) -> Value {
        let mut properties = Map::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = self.resolved(parameter);
            if parameter["in"] == "query"
                && let Some(name) = parameter["name"].as_str()
            {
                properties.insert(name.to_owned(), parameter["schema"].clone());
            }
        }
        serde_json::json!({"type": "object", "properties": properties, "additionalProperties": false})
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value.get("$ref").and_then(Value::as_str);
        let pointer = target.and_then(|target| target.strip_prefix('#'));
        pointer.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value)
    }
}

struct Check<'a> {
    contract: &'a Contract,
    /// Forms carry text alone: a number is text that reads as one, an array is indexed fields.
    text_only: bool,
    found: Vec<String>,
}

impl Check<'_> {
    fn report(&mut self, at: &str, what: &str) {
        if self.found.len() < VIOLATIONS_MAX {
            self.found.push(format!("{at}: {what}"));
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str, depth: usize) {
        let schema = self.contract.resolved(schema);
        if depth > DEPTH_MAX {
            return;
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            let fits = choices.iter().any(|choice| {
                let mut check =
                    Check { contract: self.contract, text_only: self.text_only, found: Vec::new() };
                check.value(choice, value, at, depth + 1);
                check.found.is_empty()
            });
            if !fits {
                self.report(at, "fits none of the choices");
            }
            return;
        }
        if !self.has_type(schema, value) {
            self.report(at, &format!("is not of type {}", schema["type"]));
            return;
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array)
            && !words.contains(value)
        {
            self.report(at, "is not one of the words");
        }
        if let (Some(max), Some(text)) = (schema["maxLength"].as_u64(), value.as_str())
            && u64::try_from(text.chars().count()).unwrap_or(u64::MAX) > max
        {
            self.report(at, "is too long");
        }
        match value {
            Value::Object(fields) if self.text_only && is_array(schema) => {
                for (index, item) in fields {
                    self.value(&schema["items"], item, &format!("{at}/{index}"), depth + 1);
                }
            }
            Value::Object(fields) => self.object(schema, fields, at, depth),
            Value::Array(items) if schema.get("items").is_some() => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&schema["items"], item, &format!("{at}/{index}"), depth + 1);
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, at: &str, depth: usize) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.report(at, &format!("lacks {name}"));
            }
        }
        if schema["maxProperties"].as_u64().is_some_and(|max| fields.len() as u64 > max) {
            self.report(at, "has too many fields");
        }
        let name_max = schema.pointer("/propertyNames/maxLength").and_then(Value::as_u64);
        for (name, field) in fields {
            let at = format!("{at}/{name}");
            if name_max.is_some_and(|max| name.len() as u64 > max) {
                self.report(&at, "has too long a name");
            }
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(inner), _) => self.value(inner, field, &at, depth + 1),
                (None, Some(Value::Bool(false))) => self.report(&at, "is not known"),
                (None, Some(inner @ Value::Object(_))) => self.value(inner, field, &at, depth + 1),
                (None, _) => {}
            }
        }
    }

    fn has_type(&self, schema: &Value, value: &Value) -> bool {
        match schema.get("type") {
            Some(Value::String(name)) => self.is_a(name, value),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).any(|name| self.is_a(name, value))
            }
            _ => true,
        }
    }

    fn is_a(&self, name: &str, value: &Value) -> bool {
        match (name, value) {
            ("integer", Value::String(text)) if self.text_only => text.parse::<i64>().is_ok(),
            ("number", Value::String(text)) if self.text_only => text.parse::<f64>().is_ok(),
            ("boolean", Value::String(text)) if self.text_only => text == "true" || text == "false",
            ("array", Value::Object(fields)) if self.text_only => {
                fields.keys().all(|index| index.parse::<usize>().is_ok())
            }
            ("integer", Value::Number(number)) => number.is_i64() || number.is_u64(),
            ("string", Value::String(_))
            | ("number", Value::Number(_))
            | ("boolean", Value::Bool(_))
            | ("object", Value::Object(_))
            | ("array", Value::Array(_))
            | ("null", Value::Null) => true,
            _ => false,
        }
    }
}

fn is_array(schema: &Value) -> bool {
    schema["type"] == "array"
        || schema["type"].as_array().is_some_and(|names| names.iter().any(|name| name == "array"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract() -> Contract {
        let document = serde_json::json!({
            "paths": {"/v1/things/{id}": {
                "post": {
                    "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": {
                        "type": "object", "additionalProperties": false, "required": ["count"],
                        "properties": {
                            "count": {"type": "integer"},
                            "kind": {"type": "string", "enum": ["a", "b"]},
                            "on": {"anyOf": [{"type": "boolean"}, {"enum": [""]}]},
                            "list": {"type": "array", "items": {"type": "object",
                                "additionalProperties": false,
                                "properties": {"name": {"type": "string", "maxLength": 3}}}},
                            "metadata": {"type": "object", "additionalProperties": {"type": "string"}}
                        }}}}},
                    "responses": {"200": {"content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/thing"}}}}}
                },
                "get": {"parameters": [{"name": "limit", "in": "query",
                    "schema": {"type": "integer"}}], "responses": {}}
            }},
            "components": {"schemas": {"thing": {"type": "object", "required": ["id"],
                "properties": {"id": {"type": "string"}, "next": {"type": ["string", "null"]}}}}}
        });
        Contract { document }
    }

    #[test]
    fn good_forms_pass_and_each_kind_of_fault_is_named() {
        let contract = contract();
        let check =
            |text: &str| contract.request_violations("POST", "/v1/things/x", text.as_bytes());
        let good = "count=3&kind=a&on=true&list[0][name]=abc&metadata[x]=1";
        assert_eq!(check(good), Vec::<String>::new());
        for (text, fault) in [
            ("kind=a", "lacks count"),
            ("count=three", "is not of type"),
            ("count=1&kind=c", "is not one of the words"),
            ("count=1&other=1", "is not known"),
            ("count=1&list[0][name]=abcd", "is too long"),
            ("count=1&list[x][name]=a", "is not of type"),
            ("count=1&on=perhaps", "fits none"),
            ("count=%", "cannot decode"),
        ] {
            let found = check(text);
            assert!(found.iter().any(|line| line.contains(fault)), "{text}: {found:?}");
        }
    }

    #[test]
    fn queries_and_answers_are_checked_too() {
        let contract = contract();
        assert!(contract.request_violations("GET", "/v1/things/x", b"limit=3").is_empty());
        assert_eq!(contract.request_violations("GET", "/v1/things/x", b"first=3").len(), 1);
        assert_eq!(contract.request_violations("GET", "/v1/others", b"").len(), 1);
        let answer = |body| contract.answer_violations("POST", "/v1/things/x", 200, &body);
        assert!(answer(serde_json::json!({"id": "x", "next": null})).is_empty());
        assert_eq!(answer(serde_json::json!({"next": 1})).len(), 2);
        assert_eq!(contract.object_violations("nothing", &Value::Null).len(), 1);
    }
}
