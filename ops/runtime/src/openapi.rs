//! The document of an API (OpenAPI 3.1): made from the annotated routes, completed here.
//!
//! Handlers say what is theirs (`#[utoipa::path]`): parameters, bodies, answers, and under `x-codes`
//! the refusals that only they have. What every route shares is added here, so that no handler
//! repeats it: refusals by status with their codes, the shape of a problem, who may sign in how.
//! Schemas are bent into what generators of clients cope with: no `allOf` of plain objects.
//!
//! It must not know any route. Read next: [`crate::problem`], `docs/src/develop/api.md`.

mod links;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fairground_types::{AuctionId, BidId, Code, LogIndex, Money};
use serde_json::{Map, Value, json};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{OpenApi, Required};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::problem::WHOLE_NUMBER_MAX;

/// Name of the scheme of access tokens in `security(...)`.
pub const BEARER: &str = "bearer";
/// Name of the scheme of a member's own key.
pub const ADMIN_KEY: &str = "adminKey";
/// Where a document is served.
pub const ADDRESS: &str = "/openapi.json";

const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch"];
const CODES: &str = "x-codes";
const UNKNOWN_CODES: &str = "x-unknown-codes";

/// What a document says of the whole API.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Whether a member's own key is taken as well as access tokens.
    pub takes_admin_key: bool,
}

/// A finished document.
#[derive(Clone, Debug)]
pub struct Document {
    json: Value,
    bytes: Bytes,
    tag: HeaderValue,
}

impl Document {
    /// Completes what the routes say of themselves.
    #[must_use]
    pub fn new(collected: &OpenApi, about: &About) -> Self {
        // Every part of the model can be written as JSON; a test would see an empty document.
        let mut json = serde_json::to_value(collected).unwrap_or_default();
        complete(&mut json, about);
        let bytes = Bytes::from(json.to_string());
        let hash = blake3::hash(&bytes).to_hex();
        let tag = HeaderValue::from_str(&format!("\"{hash}\""));
        Self { json, bytes, tag: tag.unwrap_or(HeaderValue::from_static("\"\"")) }
    }

    /// The document.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.json
    }

    /// The document for people and for files: indented, with a final line feed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json)
    }

    /// Every method and path that it describes, methods in capitals.
    #[must_use]
    pub fn operations(&self) -> BTreeSet<(String, String)> {
        let paths = self.json["paths"].as_object();
        let each = paths.into_iter().flatten().flat_map(|(path, item)| {
            let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
            methods.map(|method| (method.to_uppercase(), path.clone()))
        });
        each.collect()
    }

    /// `/openapi.json`, for anybody.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let document = self.clone();
        Router::new()
            .route(ADDRESS, get(move |headers: HeaderMap| async move { document.answer(&headers) }))
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let is_known = headers.get(header::IF_NONE_MATCH) == Some(&self.tag);
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "application/json")], self.bytes.clone()).into_response()
        };
        let all = response.headers_mut();
        all.insert(header::ETAG, self.tag.clone());
        all.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        all.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

/// `Idempotency-Key`, in `params(...)` of every route that creates or moves something.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyKeyHeader;

impl IntoParams for IdempotencyKeyHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = "Names the intent of this request, best a random UUID: sent again with the same \
                     key, the request happens once.";
        vec![header_parameter("Idempotency-Key", words, true, (8, 255))]
    }
}

/// `Prefer: wait=N`, in `params(...)` of routes that wait for a verdict.
#[derive(Clone, Copy, Debug)]
pub struct PreferHeader;

impl IntoParams for PreferHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = "`wait=N`: how many seconds to wait for the verdict, 0 to 10 (RFC 7240).";
        vec![header_parameter("Prefer", words, false, (0, 255))]
    }
}

/// `If-Match`, in `params(...)` of routes that write a version of something.
#[derive(Clone, Copy, Debug)]
pub struct IfMatchHeader;

impl IntoParams for IfMatchHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words =
            "The `ETag` of the version that is changed; another version is not overwritten.";
        vec![header_parameter("If-Match", words, false, (3, 64))]
    }
}

fn header_parameter(
    name: &str,
    words: &str,
    is_required: bool,
    (min, max): (usize, usize),
) -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(min).filter(|min| *min > 0))
        .max_length(Some(max));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(if is_required { Required::True } else { Required::False })
        .description(Some(words))
        .schema(Some(text))
        .build()
}

fn complete(document: &mut Value, about: &About) {
    document["info"] = json!({
        "title": about.title,
        "version": env!("CARGO_PKG_VERSION"),
        "description": about.description,
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    if let Some(paths) = document["paths"].as_object_mut() {
        // A parameter that takes the rest of the path is a plain one here.
        *paths = std::mem::take(paths)
            .into_iter()
            .map(|(path, item)| (path.replace("{*", "{"), item))
            .collect();
        for (path, item) in paths.iter_mut() {
            for method in METHODS {
                if let Some(operation) = item.get_mut(*method) {
                    refuse(path, operation);
                }
            }
        }
    }
    document["components"]["securitySchemes"] = security_schemes(about.takes_admin_key);
    if !document["components"]["schemas"].is_object() {
        document["components"]["schemas"] = json!({});
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        shared_schemas(schemas);
        let known = schemas.clone();
        for schema in schemas.values_mut() {
            merge_parts(schema, &known);
            let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
            for property in properties.into_iter().flat_map(Map::values_mut) {
                let Some(words) = property.as_object_mut() else { continue };
                // "Nothing, unless said": generators would make a member of it that must be said.
                if words.get("default") == Some(&Value::Null) {
                    words.remove("default");
                }
                // What is named twice in a set counts once; it is not refused.
                words.remove("uniqueItems");
            }
        }
    }
    bound_numbers(document);
    links::link(document);
}

/// States for every number of 64 bits the bound that bodies are held to.
fn bound_numbers(part: &mut Value) {
    match part {
        Value::Object(words) => {
            if words.get("format").is_some_and(|format| format == "int64") {
                words.entry("maximum").or_insert_with(|| json!(WHOLE_NUMBER_MAX));
            }
            words.values_mut().for_each(bound_numbers);
        }
        Value::Array(parts) => parts.iter_mut().for_each(bound_numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn security_schemes(takes_admin_key: bool) -> Value {
    let mut schemes = json!({
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of `/v1/auth/otp/verify` or `/v1/auth/refresh`.",
        },
    });
    if takes_admin_key {
        schemes[ADMIN_KEY] = json!({
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Admin` and the key in `admin.key`, from the member's own machine.",
        });
    }
    schemes
}

/// Adds the refusals that follow from what an operation takes, and writes all of them as answers.
fn refuse(path: &str, operation: &mut Value) {
    let mut codes: BTreeSet<Code> = operation[CODES]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|code| Code::parse(code.as_str()?))
        .collect();
    codes.extend(implied(path, operation));
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in &codes {
        by_status.entry(code.status()).or_default().push(*code);
    }
    let unknown: Vec<Value> = operation[CODES]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|code| code.as_str().and_then(Code::parse).is_none())
        .cloned()
        .collect();
    if !unknown.is_empty() {
        operation[UNKNOWN_CODES] = unknown.into();
    }
    operation[CODES] = codes.iter().map(|code| code.as_str()).collect();
    for (status, codes) in by_status {
        let words: Vec<String> =
            codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
        let answer = json!({
            "description": words.join(" "),
            "content": {
                "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
            },
        });
        let answers = &mut operation["responses"][status.to_string()];
        if answers.is_null() {
            *answers = answer;
        }
    }
}

fn implied(path: &str, operation: &Value) -> Vec<Code> {
    let mut codes =
        vec![Code::RateLimited, Code::RetryLater, Code::Internal, Code::UpstreamTimeout];
    let parameters = operation["parameters"].as_array();
    let takes = |name: &str| {
        parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == name))
    };
    let body = &operation["requestBody"]["content"];
    if parameters.is_some_and(|all| !all.is_empty()) || !body.is_null() {
        codes.push(Code::ValidationFailed);
    }
    if !body.is_null() {
        codes.extend([Code::MediaUnsupported, Code::BodyTooLarge]);
    }
    if path.contains('{') {
        codes.push(Code::NotFound);
    }
    let security = operation["security"].as_array();
    let is_signed_in = security.is_some_and(|ways| !ways.is_empty());
    if is_signed_in {
        codes.extend([Code::AuthRequired, Code::TokenExpired, Code::SessionRevoked]);
        codes.push(Code::CoordinatorUnavailable);
    }
    if takes("Idempotency-Key") {
        codes.extend([Code::IdempotencyKeyRequired, Code::IdempotencyKeyReused]);
        codes.extend([Code::Forbidden, Code::InvalidState]);
    }
    if takes("If-Match") {
        codes.push(Code::PreconditionFailed);
    }
    codes
}

fn shared_schemas(schemas: &mut Map<String, Value>) {
    let mut known: Vec<(String, Value)> = Vec::new();
    macro_rules! schema {
        ($($shared:ty),*) => {$(
            let schema = serde_json::to_value(<$shared>::schema()).unwrap_or_default();
            known.push((<$shared as ToSchema>::name().into_owned(), schema));
            let mut parts = Vec::new();
            <$shared>::schemas(&mut parts);
            known.extend(parts.into_iter().map(|(name, part)| {
                (name, serde_json::to_value(part).unwrap_or_default())
            }));
        )*};
    }
    schema!(Code, Money, AuctionId, BidId, LogIndex);
    for (name, schema) in known {
        schemas.entry(name).or_insert(schema);
    }
    schemas.insert("FieldProblem".to_owned(), json!({
        "type": "object",
        "description": "What is wrong with one field of a request.",
        "required": ["field", "detail"],
        "properties": {
            "field": { "type": "string", "description": "Its path: `amountMinor`, `draft.clips[0].label`." },
            "detail": { "type": "string", "description": "What is wrong." },
        },
    }));
    schemas.insert("Problem".to_owned(), problem_schema());
}

fn problem_schema() -> Value {
    let shared = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    json!({
        "type": "object",
        "description": "A refusal or a fault (RFC 9457). Decide by `code`; other members may be added.",
        "required": ["type", "title", "status", "detail", "code", "requestId", "retryable", "fields"],
        "properties": {
            "type": { "type": "string", "description": "Page of the code, or a registered type." },
            "title": { "type": "string", "description": "The code in words." },
            "status": { "type": "integer", "format": "int32", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "One sentence for people." },
            "instance": { "type": "string", "description": "The path that was asked." },
            "code": shared("Code"),
            "requestId": { "type": "string", "description": "Names the request in logs." },
            "retryable": { "type": "boolean", "description": "The same request may succeed later." },
            "retryAfterMs": { "type": "integer", "format": "int64", "minimum": 0 },
            "fields": { "type": "array", "items": shared("FieldProblem") },
            "minNextBid": shared("Money"),
            "auctionId": shared("AuctionId"),
            "bidId": shared("BidId"),
            "logIndex": shared("LogIndex"),
            "late": { "type": "boolean", "description": "In time by its stamp, but after the close." },
            "receipt": { "type": "string", "description": "The edge's signed receipt." },
            "reason": { "type": "string", "description": "Why a clip was refused." },
            "uploadOffset": { "type": "integer", "format": "int64", "minimum": 0 },
            "expected-offset": { "type": "integer", "format": "int64", "minimum": 0 },
            "provided-offset": { "type": "integer", "format": "int64", "minimum": 0 },
        },
    })
}

/// A flattened member is written as `allOf`; one object with all properties says the same, and
/// generators make one plain type of it.
fn merge_parts(schema: &mut Value, known: &Map<String, Value>) {
    let Some(parts) = schema.get("allOf").and_then(Value::as_array).cloned() else { return };
    let mut merged = json!({ "type": "object", "properties": {}, "required": [] });
    if !parts.iter().all(|part| gather(part, known, &mut merged)) {
        return;
    }
    if let Some(words) = schema.get("description").cloned() {
        merged["description"] = words;
    }
    *schema = merged;
}

fn gather(part: &Value, known: &Map<String, Value>, merged: &mut Value) -> bool {
    if let Some(name) = part["$ref"].as_str().and_then(|text| text.rsplit('/').next()) {
        return known.get(name).is_some_and(|schema| gather(schema, known, merged));
    }
    if let Some(parts) = part["allOf"].as_array() {
        return parts.iter().all(|part| gather(part, known, merged));
    }
    let Some(properties) = part["properties"].as_object() else { return false };
    for (name, property) in properties {
        merged["properties"][name] = property.clone();
    }
    let required = part["required"].as_array().cloned().unwrap_or_default();
    if let Some(all) = merged["required"].as_array_mut() {
        all.extend(required);
    }
    true
}

/// Every method and path that a router serves, as it prints itself: for tests that compare it with
/// its document. `HEAD` is left out where `GET` answers it.
#[must_use]
pub fn served<S>(router: &Router<S>) -> BTreeSet<(String, String)> {
    let text = format!("{router:?}");
    let text = text.split(", fallback_router: ").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for (id, path) in printed_paths(text) {
        let marker = format!("{id}: MethodRouter(MethodRouter {{ ");
        let Some(methods) = text.split(&marker).nth(1) else { continue };
        let methods = methods.split(" fallback: ").next().unwrap_or_default();
        for method in METHODS {
            let is_absent = methods.split(", ").any(|entry| entry == format!("{method}: None"));
            if !is_absent {
                found.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    found
}

/// What generators of clients would stumble over; a test says that there is nothing.
#[must_use]
pub fn faults(document: &Document) -> Vec<String> {
    let json = document.json();
    let mut faults = Vec::new();
    for (name, schema) in json["components"]["schemas"].as_object().into_iter().flatten() {
        for union in ["oneOf", "anyOf", "allOf"] {
            if schema.get(union).is_some() {
                faults.push(format!("schema {name} is one {union}"));
            }
        }
        if schema["enum"].as_array().is_some_and(|values| !values.iter().all(Value::is_string)) {
            faults.push(format!("schema {name} lists values that are no texts"));
        }
    }
    unresolved(json, &json["components"]["schemas"], &mut faults);
    let mut names = BTreeSet::new();
    for (path, item) in json["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(*method) else { continue };
            let place = format!("{method} {path}");
            match operation["operationId"].as_str() {
                Some(id) if !is_camel_case(id) => faults.push(format!("{place}: name {id}")),
                Some(id) if !names.insert(id) => faults.push(format!("{place}: {id} is twice")),
                Some(_) => {}
                None => faults.push(format!("{place} has no name")),
            }
            for word in path.split(['{', '}']).skip(1).step_by(2) {
                let named = operation["parameters"].as_array().into_iter().flatten();
                if !named.clone().any(|each| each["name"] == word && each["in"] == "path") {
                    faults.push(format!("{place}: parameter {word} is not described"));
                }
            }
            faults.extend(missing_manners(json, (*method, path), operation));
            for code in operation[UNKNOWN_CODES].as_array().into_iter().flatten() {
                faults.push(format!("{place}: there is no code {code}"));
            }
        }
    }
    faults
}

/// References to schemas that the document does not hold: no generator can follow them.
fn unresolved(value: &Value, schemas: &Value, faults: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let named = inner.as_str().and_then(|to| to.strip_prefix("#/components/schemas/"));
                match named.filter(|_| name == "$ref") {
                    Some(schema) if schemas.get(schema).is_none() => {
                        faults.push(format!("there is no schema {schema}"));
                    }
                    _ => unresolved(inner, schemas, faults),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                unresolved(item, schemas, faults);
            }
        }
        _ => {}
    }
}

/// Addresses whose requests need no `Idempotency-Key`: sign-in has codes and tokens that count once,
/// uploads have offsets, and an operator's command makes ids of its own.
const WITHOUT_KEY: [&str; 5] =
    ["/v1/auth/", "/v1/uploads", "/v1/playback/", "/v1/cluster/", "/v1/webhooks/"];

fn missing_manners(json: &Value, (method, path): (&str, &str), operation: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    let parameters = operation["parameters"].as_array();
    let has_key = parameters
        .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "Idempotency-Key"));
    let changes = matches!(method, "post" | "put" | "delete" | "patch");
    if changes && !has_key && !WITHOUT_KEY.iter().any(|prefix| path.starts_with(prefix)) {
        missing.push(format!("{method} {path} takes no Idempotency-Key"));
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(name) = body["$ref"].as_str().and_then(|text| text.rsplit('/').next()) {
        let schema = &json["components"]["schemas"][name];
        if schema["additionalProperties"] != Value::Bool(false) {
            missing.push(format!("{method} {path}: {name} takes unknown members"));
        }
    }
    missing
}

fn is_camel_case(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Compares a document, and the page about it, with the files that hold them since they were last looked
/// at: `tests/golden/openapi/openapi_NAME.json` and `docs/src/reference/api-NAME.md`. With
/// `FAIRGROUND_BLESS=1` in the environment the files are written instead. For tests.
///
/// # Panics
/// When they differ.
pub fn check_frozen(document: &Document, name: &str) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let frozen = root.join(format!("tests/golden/openapi/openapi_{name}.json"));
    compare(&frozen, &document.text());
    let page = root.join(format!("docs/src/reference/api-{name}.md"));
    compare(&page, &page::page(document.json()));
}

fn compare(file: &std::path::Path, now: &str) {
    if std::env::var("FAIRGROUND_BLESS").is_ok_and(|value| value == "1") {
        let written = std::fs::write(file, now);
        assert!(written.is_ok(), "{} is not writable: {written:?}", file.display());
        return;
    }
    let then = std::fs::read_to_string(file).unwrap_or_default();
    let line = now.lines().zip(then.lines()).position(|(now, then)| now != then);
    assert!(
        now == then,
        "{} differs from line {}; was it meant? FAIRGROUND_BLESS=1 writes it anew",
        file.display(),
        line.unwrap_or_default().saturating_add(1)
    );
}

/// `RouteId(3): "/v1/feed"` in the printed form.
fn printed_paths(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for piece in text.split("RouteId(").skip(1) {
        let Some((number, rest)) = piece.split_once("): \"") else { continue };
        if number.bytes().all(|byte| byte.is_ascii_digit())
            && let Some((path, _)) = rest.split_once('"')
        {
            found.push((format!("RouteId({number})"), path.replace("{*", "{")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use axum::routing::{delete, post};
    use fairground_types::Currency;
    use serde::Serialize;
    use utoipa::openapi::{Components, OpenApiBuilder};

    use super::{
        About, AuctionId, BTreeSet, Document, IdempotencyKeyHeader, Money, Router, get, json,
        served,
    };

    #[derive(Serialize, utoipa::ToSchema)]
    #[serde(rename_all = "camelCase")]
    struct Priced {
        #[serde(flatten)]
        amount: Money,
        #[serde(skip_serializing_if = "Option::is_none")]
        note_text: Option<String>,
    }

    #[utoipa::path(post, path = "/things/{thing}", params(("thing" = String, Path), IdempotencyKeyHeader),
        request_body = Priced, responses((status = 201, body = Priced)),
        security(("bearer" = [])), extensions(("x-codes" = json!(["BID_TOO_LOW"]))))]
    async fn make() {}

    fn document() -> Document {
        use utoipa::Path as _;
        let mut paths = utoipa::openapi::path::Paths::new();
        paths.add_path_operation(
            __path_make::path(),
            __path_make::methods(),
            __path_make::operation(),
        );
        let components = Components::builder().schema_from::<Priced>().schema_from::<Currency>();
        let collected = OpenApiBuilder::new().paths(paths).components(Some(components.build()));
        let about = About { title: "T", description: "D", takes_admin_key: true };
        Document::new(&collected.build(), &about)
    }

    #[test]
    fn refusals_follow_from_what_an_operation_takes() {
        let document = document();
        let operation = &document.json()["paths"]["/things/{thing}"]["post"];
        let statuses: Vec<&String> =
            operation["responses"].as_object().expect("answers").keys().collect();
        assert_eq!(
            statuses,
            ["201", "400", "401", "403", "404", "409", "413", "415", "429", "500", "503", "504"]
        );
        let codes = operation["x-codes"].to_string();
        for code in ["BID_TOO_LOW", "IDEMPOTENCY_KEY_REQUIRED", "VALIDATION_FAILED"] {
            assert!(codes.contains(code), "{codes}");
        }
        assert!(
            document.json()["components"]["schemas"]["Problem"]["properties"]["code"].is_object()
        );
    }

    #[test]
    fn a_flattened_member_makes_one_plain_object() {
        let document = document();
        let priced = &document.json()["components"]["schemas"]["Priced"];
        assert_eq!(priced["type"], "object", "{priced:#}");
        assert!(priced.get("allOf").is_none());
        for name in ["amountMinor", "currency", "noteText"] {
            assert!(priced["properties"][name].is_object(), "{priced:#}");
        }
        assert_eq!(priced["required"], json!(["amountMinor", "currency"]));
    }

    #[derive(Serialize, utoipa::ToSchema)]
    #[serde(rename_all = "camelCase")]
    struct Made {
        auction_id: AuctionId,
    }

    #[utoipa::path(post, path = "/auctions", operation_id = "open",
        responses((status = 201, body = Made)))]
    async fn open() {}

    #[utoipa::path(get, path = "/auctions/{auction}", operation_id = "look",
        params(("auction" = AuctionId, Path)),
        responses((status = 200, body = Made)))]
    async fn look() {}

    #[test]
    fn an_answer_with_an_id_links_to_who_takes_it() {
        use utoipa::Path as _;
        let mut paths = utoipa::openapi::path::Paths::new();
        paths.add_path_operation(
            __path_open::path(),
            __path_open::methods(),
            __path_open::operation(),
        );
        paths.add_path_operation(
            __path_look::path(),
            __path_look::methods(),
            __path_look::operation(),
        );
        let components = Components::builder().schema_from::<Made>().build();
        let collected = OpenApiBuilder::new().paths(paths).components(Some(components)).build();
        let about = About { title: "T", description: "D", takes_admin_key: false };
        let document = Document::new(&collected, &about);
        let answer = &document.json()["paths"]["/auctions"]["post"]["responses"]["201"];
        let link = json!({
            "operationId": "look",
            "parameters": { "auction": "$response.body#/auctionId" },
        });
        assert_eq!(answer["links"], json!({ "look": link }), "{answer:#}");
    }

    #[test]
    fn a_router_says_what_it_serves() {
        let router = Router::<()>::new()
            .route("/a", get(look).post(open))
            .route("/a/{b}", delete(make))
            .route("/c", post(make));
        let pair = |method: &str, path: &str| (method.to_owned(), path.to_owned());
        let expected =
            [pair("GET", "/a"), pair("POST", "/a"), pair("DELETE", "/a/{b}"), pair("POST", "/c")];
        assert_eq!(served(&router), BTreeSet::from(expected), "{router:?}");
    }
}
