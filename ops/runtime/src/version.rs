//! Versions of resources as entity tags: `ETag: "v3"` in answers, `If-Match: "v3"` in changes
//! (RFC 9110 section 13.1.1).
//!
//! It must not know any resource.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use fairground_types::Code;

use crate::problem::Problem;

/// The tag of a version.
#[must_use]
pub fn tag(version: u64) -> HeaderValue {
    // Digits in quotes are always a header value.
    HeaderValue::from_str(&format!("\"v{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The version that a client has seen, when it sent `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<u64>);

impl IfMatch {
    /// The version to change: what the header says, or the body; both must agree.
    ///
    /// # Errors
    /// `PRECONDITION_FAILED` when they differ, `VALIDATION_FAILED` when neither says it.
    pub fn or(self, field: &str, version: Option<u64>) -> Result<u64, Problem> {
        match (self.0, version) {
            (Some(header), Some(body)) if header != body => {
                let detail = format!("If-Match and `{field}` name different versions");
                Err(Problem::new(Code::PreconditionFailed, detail))
            }
            (Some(version), _) | (None, Some(version)) => Ok(version),
            (None, None) => Err(Problem::invalid(field, "say the version here or in If-Match")),
        }
    }

    /// A conflict of versions is a failed precondition for who stated one (RFC 9110 section 15.5.13).
    pub fn explain(self, problem: Problem) -> Problem {
        let is_conflict = matches!(problem.code(), Code::DraftConflict | Code::VersionConflict);
        if self.0.is_some() && is_conflict {
            Problem::new(Code::PreconditionFailed, problem.detail())
        } else {
            problem
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let digits = text.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"'));
        let version = digits.and_then(|digits| digits.parse().ok());
        // A tag that is none of ours matches nothing.
        let missing =
            || Problem::new(Code::PreconditionFailed, "If-Match names no version of this");
        version.map(|version| Self(Some(version))).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(value: &str) -> Result<IfMatch, Problem> {
        let request = Request::builder().header(header::IF_MATCH, value).body(()).expect("valid");
        IfMatch::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn a_tag_of_ours_is_read_back_and_any_other_matches_nothing() {
        let written = tag(17);
        assert_eq!(read(written.to_str().expect("ascii")).await, Ok(IfMatch(Some(17))));
        assert_eq!(read("*").await, Ok(IfMatch(None)));
        for other in ["W/\"v17\"", "v17", "\"17\"", "\"v\"", "\"v1\", \"v2\""] {
            let refused = read(other).await.expect_err(other);
            assert_eq!(refused.code(), Code::PreconditionFailed);
        }
    }

    #[test]
    fn header_and_body_must_agree() {
        assert_eq!(IfMatch(Some(2)).or("baseVersion", None), Ok(2));
        assert_eq!(IfMatch(None).or("baseVersion", Some(2)), Ok(2));
        let differ = IfMatch(Some(2)).or("baseVersion", Some(3)).expect_err("differ");
        assert_eq!(differ.code(), Code::PreconditionFailed);
        assert!(IfMatch(None).or("baseVersion", None).is_err());
        let conflict = Problem::from(Code::DraftConflict);
        assert_eq!(IfMatch(Some(1)).explain(conflict.clone()).code(), Code::PreconditionFailed);
        assert_eq!(IfMatch(None).explain(conflict).code(), Code::DraftConflict);
    }
}
