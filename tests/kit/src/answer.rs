//! Answers of the API, and mails of the stand-ins.

use anyhow::Context as _;
use serde_json::Value;

/// A text member of an answer.
///
/// # Errors
/// When it has none.
pub fn text_at(value: &Value, member: &str) -> anyhow::Result<String> {
    let text = value[member].as_str().map(str::to_owned);
    text.with_context(|| format!("the answer has no text {member}: {value}"))
}

/// The six digits of a mail about a code.
fn code_in(mail: &Value) -> Option<String> {
    mail["subject"].as_str().filter(|subject| subject.contains("code"))?;
    let mut words = mail["text"].as_str()?.split(|c: char| !c.is_ascii_digit());
    words.find(|word| word.len() == 6).map(str::to_owned)
}

/// The newest code among mails of which `known` came before it was asked for; newest first.
#[must_use]
pub fn new_code(found: &Value, known: usize) -> Option<String> {
    let mails = found["messages"].as_array().map_or(&[][..], Vec::as_slice);
    mails.get(..mails.len().saturating_sub(known))?.iter().find_map(code_in)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_code_is_six_digits_in_a_mail_that_says_so() {
        let mail = |subject, text| json!({"subject": subject, "text": text});
        assert_eq!(code_in(&mail("Your code", "it is 123456, good")), Some("123456".to_owned()));
        assert_eq!(code_in(&mail("Your order", "number 123456")), None);
        assert_eq!(code_in(&mail("Your code", "1234567")), None);
    }

    #[test]
    fn a_code_of_before_is_not_taken() {
        let mail = |code: &str| json!({"subject": "Your code", "text": code});
        let found = json!({"messages": [mail("222222"), mail("111111")]});
        assert_eq!(new_code(&found, 1), Some("222222".to_owned()));
        assert_eq!(new_code(&found, 2), None);
        assert_eq!(new_code(&json!({}), 0), None);
    }
}
