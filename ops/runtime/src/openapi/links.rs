//! Links between operations (OpenAPI 3.1 section 4.8.20): the id that one answer holds is the
//! parameter that another operation takes.
//!
//! Found by type alone: a member of the answer and a parameter of a path that are the same kind of id.
//! Clients read them as documentation, the comparison of document and daemon walks along them. It must
//! not know any route.

use serde_json::{Map, Value, json};

const SCHEMA: &str = "#/components/schemas/";

/// An operation that takes an id in its path.
struct Target {
    name: String,
    parameter: String,
    kind: String,
}

/// Writes links into every answer that holds an id.
pub(super) fn link(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let targets = targets(document);
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let own = operation["operationId"].as_str().unwrap_or_default().to_owned();
        let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
            continue;
        };
        for (_, answer) in answers.iter_mut().filter(|(status, _)| status.starts_with('2')) {
            let body = &answer["content"]["application/json"]["schema"];
            let links = links(&ids_in(body, &schemas), &targets, &own);
            if !links.is_empty() {
                answer["links"] = links.into();
            }
        }
    }
}

fn targets(document: &Value) -> Vec<Target> {
    let mut found = Vec::new();
    let items = document["paths"].as_object().into_iter().flat_map(Map::values);
    for operation in items.filter_map(Value::as_object).flat_map(Map::values) {
        let in_path: Vec<&Value> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .collect();
        let [parameter] = in_path.as_slice() else { continue };
        if let (Some(name), Some(parameter), Some(kind)) = (
            operation["operationId"].as_str(),
            parameter["name"].as_str(),
            id_kind(&parameter["schema"]),
        ) {
            let (name, parameter) = (name.to_owned(), parameter.to_owned());
            found.push(Target { name, parameter, kind });
        }
    }
    found
}

fn id_kind(schema: &Value) -> Option<String> {
    let name = schema["$ref"].as_str()?.strip_prefix(SCHEMA)?;
    name.ends_with("Id").then(|| name.to_owned())
}

/// Kinds of ids in a body, each with the place of the first: members of the object, and of the first row
/// of each list in it.
fn ids_in(body: &Value, schemas: &Map<String, Value>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut note = |kind: String, place: String| {
        if !found.iter().any(|(known, _)| *known == kind) {
            found.push((kind, place));
        }
    };
    for (name, member) in members(body, schemas) {
        if let Some(kind) = id_kind(member) {
            note(kind, format!("/{name}"));
        }
        for (inner, row) in members(&member["items"], schemas) {
            if let Some(kind) = id_kind(row) {
                note(kind, format!("/{name}/0/{inner}"));
            }
        }
    }
    found
}

fn members<'a>(
    schema: &Value,
    schemas: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let name = schema["$ref"].as_str().and_then(|text| text.strip_prefix(SCHEMA));
    let known = name.and_then(|name| schemas.get(name));
    known.and_then(|schema| schema["properties"].as_object()).into_iter().flatten()
}

fn links(ids: &[(String, String)], targets: &[Target], own: &str) -> Map<String, Value> {
    let mut links = Map::new();
    for (kind, place) in ids {
        let fitting = targets.iter().filter(|target| target.kind == *kind && target.name != own);
        for target in fitting {
            let link = json!({
                "operationId": target.name,
                "parameters": { &target.parameter: format!("$response.body#{place}") },
            });
            links.insert(target.name.clone(), link);
        }
    }
    links
}
