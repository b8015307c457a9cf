//! Which part of a body a request asks for (RFC 9110 section 14), and whether it has it already.
//!
//! Pure text. One range is served; several in one request are answered with the whole, as the
//! standard allows.

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything, 200.
    Whole,
    /// Bytes `first..=last`, 206.
    Bytes {
        /// First byte.
        first: usize,
        /// Last byte.
        last: usize,
    },
    /// Nothing there, 416.
    Unsatisfiable,
}

/// Reads a `Range` header against a body of `length` bytes. What is not understood is ignored.
pub(crate) fn part(range: Option<&str>, length: usize) -> Part {
    let Some(spec) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    if spec.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    match (number(first), number(last)) {
        (Number::Absent, Number::Is(0)) => Part::Unsatisfiable,
        (Number::Absent, Number::Is(suffix)) if length > 0 => {
            Part::Bytes { first: length.saturating_sub(suffix), last: length - 1 }
        }
        (Number::Is(first), last) => {
            let last = match last {
                Number::Is(last) if last < first => return Part::Whole,
                Number::Is(last) => last,
                Number::Absent => usize::MAX,
                Number::Malformed => return Part::Whole,
            };
            if first >= length {
                return Part::Unsatisfiable;
            }
            Part::Bytes { first, last: last.min(length - 1) }
        }
        (Number::Absent, Number::Is(_)) => Part::Unsatisfiable,
        (Number::Absent | Number::Malformed, _) => Part::Whole,
    }
}

enum Number {
    Absent,
    Is(usize),
    Malformed,
}

fn number(text: &str) -> Number {
    if text.is_empty() {
        return Number::Absent;
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Number::Malformed;
    }
    // More digits than a length can have mean "beyond the end".
    Number::Is(text.parse().unwrap_or(usize::MAX))
}

/// Whether an `If-None-Match` or `If-Range` header names the entity tag; weak comparison.
pub(crate) fn names_tag(header: &str, tag: &str) -> bool {
    header.split(',').map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let bytes = |first, last| Part::Bytes { first, last };
        let cases = [
            (None, Part::Whole),
            (Some("bytes=0-"), bytes(0, 99)),
            (Some("bytes=0-0"), bytes(0, 0)),
            (Some("bytes=10-19"), bytes(10, 19)),
            (Some("bytes=90-1000"), bytes(90, 99)),
            (Some("bytes=-10"), bytes(90, 99)),
            (Some("bytes=-1000"), bytes(0, 99)),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=100-"), Part::Unsatisfiable),
            (Some("bytes=99999999999999999999999-"), Part::Unsatisfiable),
            (Some("bytes=20-10"), Part::Whole),
            (Some("bytes=0-1,5-6"), Part::Whole),
            (Some("bytes=a-b"), Part::Whole),
            (Some("bytes="), Part::Whole),
            (Some("items=0-1"), Part::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(part(header, 100), expected, "{header:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=-5"), 0), Part::Unsatisfiable);
    }

    #[test]
    fn tags_are_compared_weakly() {
        assert!(names_tag("\"a\", W/\"b\"", "\"b\""));
        assert!(names_tag("*", "\"b\""));
        assert!(!names_tag("\"a\"", "\"b\""));
    }
}
