//! Attribute lists of playlist tags (RFC 8216bis section 4.2).

/// A line that does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Line of the playlist, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// The attributes of one tag.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    line: usize,
    pairs: Vec<(String, Value)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Quoted(String),
    Plain(String),
}

impl Attributes {
    /// Splits a list into names and values.
    pub(crate) fn parse(text: &str, line: usize) -> Result<Self, Fault> {
        let fault = |what: &str| Fault { line, what: what.to_owned() };
        let mut attributes = Self { line, pairs: Vec::new() };
        let mut rest = text;
        loop {
            let (name, after) =
                rest.split_once('=').ok_or_else(|| fault("an attribute without a value"))?;
            let named = !name.is_empty()
                && name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'-'));
            if !named {
                return Err(fault(&format!("{name:?} is no attribute's name")));
            }
            if attributes.has(name) {
                return Err(fault(&format!("{name} stands twice")));
            }
            let after = if let Some(quoted) = after.strip_prefix('"') {
                let (value, after) =
                    quoted.split_once('"').ok_or_else(|| fault("a quoted value without end"))?;
                attributes.pairs.push((name.to_owned(), Value::Quoted(value.to_owned())));
                after
            } else {
                let end = after.find(',').unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                if value.is_empty() || value.contains(['"', ' ', '\t']) {
                    return Err(fault(&format!("{name} has a malformed value")));
                }
                attributes.pairs.push((name.to_owned(), Value::Plain(value.to_owned())));
                after
            };
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None if after.is_empty() => return Ok(attributes),
                None => return Err(fault(&format!("text follows the value of {name}"))),
            }
        }
    }

    /// Whether the attribute is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known == name)
    }

    /// Whether any attribute's name begins so.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known.starts_with(prefix))
    }

    /// A quoted string.
    pub(crate) fn quoted(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.value(name) {
            Some(Value::Quoted(text)) => Ok(Some(text.clone())),
            Some(Value::Plain(_)) => Err(self.fault(name, "is not quoted")),
            None => Ok(None),
        }
    }

    /// An enumerated string, which is not quoted.
    pub(crate) fn plain(&self, name: &str) -> Result<Option<&str>, Fault> {
        match self.value(name) {
            Some(Value::Plain(text)) => Ok(Some(text)),
            Some(Value::Quoted(_)) => Err(self.fault(name, "is quoted")),
            None => Ok(None),
        }
    }

    /// One of a list of enumerated strings.
    pub(crate) fn one_of(&self, name: &str, allowed: &[&str]) -> Result<Option<String>, Fault> {
        let Some(text) = self.plain(name)? else { return Ok(None) };
        if allowed.contains(&text) {
            Ok(Some(text.to_owned()))
        } else {
            Err(self.fault(name, &format!("is {text}, not one of {}", allowed.join(", "))))
        }
    }

    /// `YES` or `NO`; `NO` when it is absent.
    pub(crate) fn yes(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.one_of(name, &["YES", "NO"])?.is_some_and(|text| text == "YES"))
    }

    /// A decimal integer.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(text) = self.plain(name)? else { return Ok(None) };
        integer(text).map(Some).ok_or_else(|| self.fault(name, "is no decimal integer"))
    }

    /// A decimal number in billionths.
    pub(crate) fn decimal(&self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(text) = self.plain(name)? else { return Ok(None) };
        decimal(text).map(Some).ok_or_else(|| self.fault(name, "is no decimal number"))
    }

    /// Width and height.
    pub(crate) fn resolution(&self, name: &str) -> Result<Option<(u64, u64)>, Fault> {
        let Some(text) = self.plain(name)? else { return Ok(None) };
        let sides = text.split_once('x').and_then(|(w, h)| integer(w).zip(integer(h)));
        sides.map(Some).ok_or_else(|| self.fault(name, "is no resolution"))
    }

    /// A value that must be there.
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| self.fault(name, "is missing"))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn fault(&self, name: &str, what: &str) -> Fault {
        Fault { line: self.line, what: format!("{name} {what}") }
    }
}

/// A decimal integer without sign, up to 20 digits.
pub(crate) fn integer(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A decimal number without sign, in billionths; further digits are rounded to nearest.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) if !part.is_empty() => (whole, part),
        Some(_) => return None,
        None => (text, ""),
    };
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nine: String = part.chars().chain(std::iter::repeat('0')).take(9).collect();
    let up = u64::from(part.as_bytes().get(9).is_some_and(|digit| *digit >= b'5'));
    integer(whole)?.checked_mul(1_000_000_000)?.checked_add(integer(&nine)?)?.checked_add(up)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_by_kind() {
        let text = "BANDWIDTH=650000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360,\
                    FRAME-RATE=29.970,DEFAULT=YES";
        let list = Attributes::parse(text, 4).unwrap();
        assert_eq!(list.integer("BANDWIDTH"), Ok(Some(650_000)));
        assert_eq!(list.quoted("CODECS").unwrap().unwrap(), "avc1.64001e,mp4a.40.2");
        assert_eq!(list.resolution("RESOLUTION"), Ok(Some((640, 360))));
        assert_eq!(list.decimal("FRAME-RATE"), Ok(Some(29_970_000_000)));
        assert_eq!(list.yes("DEFAULT"), Ok(true));
        assert_eq!(list.integer("SCORE"), Ok(None));
        let fault = list.integer("CODECS").unwrap_err();
        assert_eq!((fault.line, fault.what.as_str()), (4, "CODECS is quoted"));
        assert!(list.quoted("BANDWIDTH").is_err() && list.integer("RESOLUTION").is_err());
    }

    #[test]
    fn malformed_lists_are_refused() {
        for bad in [
            "", "A", "a=1", "A=", "A=1,", "A=1,A=2", "A=\"x", "A=\"x\"y", "A=1 ,B=2", "A= 1",
            "A=x\"y", "=1",
        ] {
            assert!(Attributes::parse(bad, 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn decimals_are_exact_to_a_billionth() {
        assert_eq!(decimal("2"), Some(2_000_000_000));
        assert_eq!(decimal("2.002"), Some(2_002_000_000));
        assert_eq!(decimal("0.0000000016"), Some(2));
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "1.2.3", "99999999999999999999"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,60}") {
            let _ = Attributes::parse(&text, 1);
            let _ = decimal(&text);
        }
    }
}
