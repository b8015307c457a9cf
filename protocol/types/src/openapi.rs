//! Schemas of the types that the public API writes as text, for documents made from code.
//!
//! Only behind the feature `openapi`; types that derive their schema do so where they stand. It must
//! not say anything that the type's own parser or printer does not keep.

use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::code::Code;
use crate::id::EdgeId;
use crate::time::Timestamp;

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// An id with its prefix.
pub(crate) fn id(prefix: &str) -> RefOr<Schema> {
    let pattern = format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$");
    text().pattern(Some(pattern)).into()
}

/// 32 bytes in hexadecimal digits.
pub(crate) fn hash() -> RefOr<Schema> {
    text().pattern(Some("^[0-9a-f]{64}$")).into()
}

/// A text of `min` to `max` characters.
pub(crate) fn bounded(min: usize, max: usize) -> RefOr<Schema> {
    let min = Some(min).filter(|min| *min > 0);
    text().min_length(min).max_length(Some(max)).into()
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        text().format(Some(format)).description(Some("RFC 3339, UTC.")).into()
    }
}

impl ToSchema for Timestamp {}

impl PartialSchema for EdgeId {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[a-z0-9-]{1,40}\\.[0-9]{1,20}$")).into()
    }
}

impl ToSchema for EdgeId {}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let codes = Self::ALL.iter().map(|code| code.as_str());
        let words = "A permanent code; its page says what it means. New ones may be added.";
        text().description(Some(words)).enum_values(Some(codes)).into()
    }
}

impl ToSchema for Code {}
