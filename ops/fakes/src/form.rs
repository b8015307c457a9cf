//! Form bodies and query strings, with names in brackets: `metadata[order]=1`, `expand[]=x`.
//!
//! Bounded in size, count and depth; knows no field. Read next: `stripe/params.rs`, which names
//! the fields that are taken.

use serde_json::{Map, Value};

const FIELDS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 8;

/// Why a text is not a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("decode an escape")]
    Escape,
    #[error("read the name `{0}`")]
    Name(String),
    #[error("take more than {FIELDS_MAX} fields")]
    TooMany,
}

/// One `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The name as sent, decoded.
    pub(crate) name: String,
    /// The name taken apart: `a[b][0]` is `a`, `b`, `0`.
    pub(crate) path: Vec<String>,
    /// The value, decoded.
    pub(crate) value: String,
}

/// Reads a form.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Field>, FormError> {
    let mut fields = Vec::new();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if fields.len() == FIELDS_MAX {
            return Err(FormError::TooMany);
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decoded(halves.next().unwrap_or_default())?;
        let value = decoded(halves.next().unwrap_or_default())?;
        let path = path_of(&name).ok_or_else(|| FormError::Name(name.clone()))?;
        fields.push(Field { name, path, value });
    }
    Ok(fields)
}

/// The value of the first field of this plain name.
pub(crate) fn value_of<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    fields.iter().find(|field| field.name == name).map(|field| field.value.as_str())
}

/// The fields as nested objects of strings; an array is an object with its indexes as names.
pub(crate) fn to_tree(fields: &[Field]) -> Value {
    let mut root = Map::new();
    for field in fields {
        plant(&mut root, &field.path, &field.value);
    }
    Value::Object(root)
}

/// As deep as a path is long, which is bounded.
fn plant(place: &mut Map<String, Value>, path: &[String], value: &str) {
    let Some((name, rest)) = path.split_first() else { return };
    let name = if name.is_empty() { place.len().to_string() } else { name.clone() };
    if rest.is_empty() {
        place.insert(name, Value::String(value.to_owned()));
        return;
    }
    let mut inner = match place.remove(&name) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    };
    plant(&mut inner, rest, value);
    place.insert(name, Value::Object(inner));
}

fn path_of(name: &str) -> Option<Vec<String>> {
    let (head, mut rest) = match name.find('[') {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    if head.is_empty() || head.contains(']') {
        return None;
    }
    let mut path = vec![head.to_owned()];
    while !rest.is_empty() {
        let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
        if inner.contains('[') || path.len() == DEPTH_MAX {
            return None;
        }
        path.push(inner.to_owned());
        rest = after;
    }
    Some(path)
}

fn decoded(text: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let high = rest.next().copied().and_then(hex_digit).ok_or(FormError::Escape)?;
                let low = rest.next().copied().and_then(hex_digit).ok_or(FormError::Escape)?;
                bytes.push(high << 4 | low);
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| FormError::Escape)
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_taken_apart_before_and_after_decoding() {
        let fields =
            parse(b"a=1&m[order%20id]=x+y&l%5B0%5D%5Bp%5D=%C3%A4&e[]=p&e[]=q").expect("a form");
        let paths: Vec<String> = fields.iter().map(|field| field.path.join("/")).collect();
        assert_eq!(paths, ["a", "m/order id", "l/0/p", "e/", "e/"]);
        assert_eq!(fields[1].value, "x y");
        assert_eq!(fields[2].value, "ä");
        let tree = to_tree(&fields);
        assert_eq!(tree["l"]["0"]["p"], "ä");
        assert_eq!(tree["e"]["1"], "q");
        assert_eq!(value_of(&fields, "a"), Some("1"));
    }

    #[test]
    fn broken_forms_are_refused() {
        for text in ["a=%", "a=%G0", "a=%FF", "[a]=1", "a[b=1", "a[b]c=1", "a]=1", "a[[b]]=1"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse("a[b][b][b][b][b][b][b][b]=1".as_bytes()).is_err());
        assert_eq!(parse("a=1&".repeat(1_001).as_bytes()), Err(FormError::TooMany));
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_name_that_is_both_a_value_and_a_parent_keeps_the_later() {
        let fields = parse(b"a=1&a[b]=2").expect("a form");
        assert_eq!(to_tree(&fields)["a"]["b"], "2");
    }
}
