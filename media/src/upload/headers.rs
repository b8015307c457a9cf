//! What both dialects read and write alike: numbers, what a client says of its file, dates.
//!
//! Requests are read through a [`HeaderLookup`], so that no HTTP crate is needed; answers are name
//! and value pairs. It must not know a dialect. Read next: `tus.rs`, `draft.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fairground_types::Timestamp;

use super::UploadRefusal;

/// Finds the text of a request header by name, in any case.
pub type HeaderLookup<'a> = dyn Fn(&str) -> Option<String> + 'a;
/// Names and values of an answer's headers.
pub type Headers = Vec<(&'static str, String)>;

const METADATA_CHARS_MAX: usize = 4096;
const METADATA_VALUE_MAX: usize = 255;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) file_name: Option<String>,
    pub(super) file_type: Option<String>,
}

pub(super) fn number(
    request: &HeaderLookup<'_>,
    name: &'static str,
) -> Result<Option<u64>, UploadRefusal> {
    let Some(text) = request(name) else { return Ok(None) };
    let plain = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain {
        return Err(UploadRefusal::Header(name));
    }
    text.parse().map(Some).map_err(|_| UploadRefusal::Header(name))
}

/// `Upload-Metadata: key base64, key base64, key` (tus extension creation). Keys other than
/// `filename` and `filetype` are checked for form and dropped.
pub(super) fn metadata(request: &HeaderLookup<'_>) -> Result<Metadata, UploadRefusal> {
    const REFUSAL: UploadRefusal = UploadRefusal::Header("Upload-Metadata");
    let mut metadata = Metadata::default();
    let Some(text) = request("Upload-Metadata") else { return Ok(metadata) };
    if text.len() > METADATA_CHARS_MAX {
        return Err(REFUSAL);
    }
    if text.trim().is_empty() {
        return Ok(metadata);
    }
    for pair in text.split(',') {
        let mut words = pair.split_ascii_whitespace();
        let key = words.next().ok_or(REFUSAL)?;
        let value = STANDARD.decode(words.next().unwrap_or("")).map_err(|_| REFUSAL)?;
        if words.next().is_some() || !key.is_ascii() {
            return Err(REFUSAL);
        }
        let slot = match key {
            "filename" | "name" => &mut metadata.file_name,
            "filetype" | "type" => &mut metadata.file_type,
            _ => continue,
        };
        let value = String::from_utf8(value).map_err(|_| REFUSAL)?;
        if !is_harmless(&value) {
            return Err(REFUSAL);
        }
        *slot = Some(value);
    }
    Ok(metadata)
}

/// Whether a text of a client may be shown to people.
pub(super) fn is_harmless(text: &str) -> bool {
    text.len() <= METADATA_VALUE_MAX && !text.chars().any(char::is_control)
}

/// IMF-fixdate (RFC 9110 section 5.6.7).
pub(super) fn http_date(at: Timestamp) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.as_unix_seconds();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let mut day = days;
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // A cycle of 400 years has 146,097 days; the loop then runs at most 400 times.
    year += day / 146_097 * 400;
    day %= 146_097;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = "Dec";
    for (name, length) in MONTHS.into_iter().zip(lengths) {
        if day < length {
            month = name;
            break;
        }
        day -= length;
    }
    let weekday = WEEKDAYS.into_iter().cycle().nth((days % 7) as usize).unwrap_or("Thu");
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{weekday}, {:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_ones_of_the_standard() {
        let date = |seconds: u64| http_date(Timestamp::from_unix_millis(seconds * 1000));
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        // The example of RFC 9110.
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(951_827_696), "Tue, 29 Feb 2000 12:34:56 GMT");
        assert_eq!(date(4_102_444_799), "Thu, 31 Dec 2099 23:59:59 GMT");
    }
}
