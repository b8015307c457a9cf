//! The words of notices and codes.
//!
//! Short, in English, without links that a stranger could imitate: they name what happened and where
//! to look. It must not know how they travel.

use fairground_market::{Notice, NoticeKind};
use fairground_types::command::{TemplateKey, TemplateText};
use fairground_types::{Currency, Money, Timestamp, UserId};

/// Subject and text of a message with a code.
pub(crate) fn code_words(code: &str) -> (&'static str, String) {
    let text = format!(
        "Your Fairground code is {code}. It is valid for 5 minutes. \
         If you did not ask for it, ignore this message; nobody can sign in without it.\n"
    );
    ("Your sign-in code", text)
}

/// Subject and text of a message with a way back into an account: who asked, the links of the app
/// where it has some, and the token itself.
pub(crate) fn recovery_words(
    token: &str,
    (agent, place): (&str, Option<&str>),
    app_url: Option<&str>,
) -> (&'static str, String) {
    let place = place.unwrap_or("an unknown address");
    let mut text = format!(
        "Somebody asked for a way back into your Fairground account, with {agent}, from {place}.\n\n\
         It is valid for 15 minutes and counts once; taking it signs you out everywhere else.\n"
    );
    if let Some(app) = app_url {
        let app = app.trim_end_matches('/');
        text.push_str(&format!("Take it: {app}/recovery?token={token}\n"));
        text.push_str(&format!("This was not me: {app}/recovery/deny?token={token}\n"));
    }
    text.push_str(&format!("\nThe token, for the app: {token}\n"));
    ("A way back into your account", text)
}

/// Subject and text of a notice, in words that somebody wrote or the default ones.
pub(super) fn text(notice: &Notice, words: Option<&TemplateText>) -> (String, String) {
    let piece = notice.title.as_deref().unwrap_or("your piece");
    if let Some(words) = words {
        let amount = notice.amount.map(|amount| amount.to_string()).unwrap_or_default();
        let until = notice.until.map(|until| until.to_string()).unwrap_or_default();
        let more = notice.text.clone().unwrap_or_default();
        let places = [("title", piece), ("amount", &amount), ("until", &until), ("text", &more)];
        return (fill(words.subject.as_str(), &places), fill(words.body.as_str(), &places));
    }
    let (subject, body) = default_words(notice.kind, piece);
    let mut text = format!("{body}\n");
    if let Some(amount) = notice.amount {
        text.push_str(&format!("Amount: {amount}\n"));
    }
    if let Some(until) = notice.until {
        text.push_str(&format!("Until: {until}\n"));
    }
    if let Some(more) = &notice.text {
        text.push_str(&format!("{more}\n"));
    }
    (subject, text)
}

/// A notice as it would be sent, about an invented piece.
pub(crate) fn preview(key: &TemplateKey, words: Option<&TemplateText>) -> (String, String) {
    let notice = Notice {
        user: UserId::from_bits(0),
        channel: key.channel,
        kind: key.kind,
        story: None,
        auction: None,
        lock: None,
        order: None,
        title: Some("A turned bowl".to_owned()),
        amount: Some(Money::new(12_500, Currency::Eur)),
        until: Some(Timestamp::from_unix_millis(1_800_000_000_000)),
        text: None,
    };
    text(&notice, words)
}

/// Puts values where a template names them, in one pass: a value that looks like a place stays as
/// it is.
fn fill(template: &str, places: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after.split_once('}').and_then(|(name, tail)| {
            let place = places.iter().find(|(known, _)| *known == name)?;
            Some((place.1, tail))
        });
        if let Some((value, tail)) = known {
            filled.push_str(value);
            rest = tail;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

/// Puts the name of the piece where it belongs.
fn default_words(kind: NoticeKind, piece: &str) -> (String, String) {
    let subject = kind.subject().replace("{title}", piece);
    let body = kind.body().replace("{title}", piece);
    let is_about_a_piece = kind.body().contains("{title}");
    (if is_about_a_piece { format!("{subject}: {piece}") } else { subject }, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once_and_stay_as_they_are() {
        let places = [("title", "{amount}"), ("amount", "EUR 1.00")];
        assert_eq!(fill("{title}: {amount}", &places), "{amount}: EUR 1.00");
        assert_eq!(fill("{name} {", &places), "{name} {");
    }
}
